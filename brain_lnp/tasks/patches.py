"""A dictionary of whitened image patches, learnt without labels: the encoder of colour images."""

from __future__ import annotations

from typing import Any

import numpy as np

from brain_lnp.tasks.task import whole
from models_eq.errors import ParameterError
from models_eq.rng import stream


class PatchDictionary:
    """K-means centroids of whitened patches, and the pooled similarity of an image to them.

    Parameters
    ----------
    k : int
        Number of centroids.
    size : int
        Side of a patch, pixels.
    stride : int
        Step between patches.
    grid : int
        An image is pooled over ``grid x grid`` equal cells.
    whiten : float
        Regularisation of the whitening, added to the variances of patches whose own contrast is 1.
    contrast : float
        Added to the variance of a patch (0..255 grey levels squared), so that flat ones stay flat.
    n_patches : int
        Patches that the dictionary is learnt from.
    seed : int
        Choice of patches and start of k-means.

    Attributes
    ----------
    centroids_ : ndarray, shape (k, size * size * colours), float32
        In whitened coordinates.
    mean_, whitening_ : ndarray
        The affine map of normalised patches to whitened ones.

    Notes
    -----
    Each patch has its mean removed and is divided by ``sqrt(variance + contrast)``, then whitened
    with ``V (D + whiten)^-1/2 V^T`` of the training patches' covariance. With ``z_k`` the distance
    to centroid k, the code is ``max(0, mean(z) - z_k)``, summed over a cell.

    References
    ----------
    Coates, Ng & Lee 2011, An analysis of single-layer networks in unsupervised feature learning,
    AISTATS, PMLR 15, 215-223.
    """

    def __init__(
        self,
        k: int = 250,
        *,
        size: int = 6,
        stride: int = 2,
        grid: int = 2,
        whiten: float = 0.1,
        contrast: float = 10.0,
        n_patches: int = 40000,
        seed: int = 0,
    ) -> None:
        self.k, self.size = whole(k, "k", 1), whole(size, "size", 1)
        self.stride, self.grid = whole(stride, "stride", 1), whole(grid, "grid", 1)
        self.n_patches = whole(n_patches, "n_patches", k)
        for name, value in (("whiten", whiten), ("contrast", contrast)):
            if isinstance(value, bool) or not np.isfinite(value) or value <= 0:
                raise ParameterError(name, "a finite number above 0", value)
        self.whiten, self.contrast, self.seed = float(whiten), float(contrast), seed

    def __repr__(self) -> str:
        return f"PatchDictionary({self.k} of {self.size} x {self.size}, grid {self.grid})"

    def _checked(self, images: Any) -> np.ndarray:
        array = np.asarray(images)
        if array.ndim != 4 or array.size == 0 or array.dtype.kind not in "uif":
            raise ParameterError(
                "images", "numbers of shape (n, height, width, colours)", f"shape {array.shape}"
            )
        cells = min((side - self.size) // self.stride + 1 for side in array.shape[1:3])
        if cells < self.grid:
            raise ParameterError(
                "images", f"at least {self.grid} patches of {self.size} a side", array.shape
            )
        return array

    def _normalised(self, patches: np.ndarray) -> np.ndarray:
        flat = patches.reshape(-1, patches.shape[-1]).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= np.sqrt(flat.var(axis=1, keepdims=True) + np.float32(self.contrast))
        return flat

    def fit(self, images: Any) -> PatchDictionary:
        """Learn the dictionary; give it the *training* images only.

        Parameters
        ----------
        images : array_like, shape (n, height, width, colours)
            Pixels, 0..255.

        Raises
        ------
        ParameterError
            For another shape, or images smaller than a patch.
        """
        # Only users of this encoder pay for the import.
        from sklearn.cluster import MiniBatchKMeans

        array = self._checked(images)
        rng = stream(self.seed, "input", 4)
        which = rng.integers(0, len(array), self.n_patches)
        top = rng.integers(0, array.shape[1] - self.size + 1, self.n_patches)
        left = rng.integers(0, array.shape[2] - self.size + 1, self.n_patches)
        side = np.arange(self.size)
        patches = array[which[:, None, None], (top[:, None] + side)[:, :, None],
                        (left[:, None] + side)[:, None, :]]  # fmt: skip
        flat = self._normalised(patches.reshape(self.n_patches, -1))
        self.mean_ = flat.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(flat.T).astype(np.float64))
        scale = 1.0 / np.sqrt(np.maximum(values, 0) + self.whiten)
        self.whitening_ = ((vectors * scale) @ vectors.T).astype(np.float32)
        white = (flat - self.mean_) @ self.whitening_
        means = MiniBatchKMeans(
            self.k,
            batch_size=4096,
            n_init=1,
            init="random",
            max_iter=30,
            random_state=int(rng.integers(2**31)),
        ).fit(white)
        self.centroids_ = means.cluster_centers_.astype(np.float32)
        return self

    def transform(self, images: Any, block: int = 200) -> np.ndarray:
        """Codes of images, pooled over the cells of the grid.

        Parameters
        ----------
        images : array_like, shape (n, height, width, colours)
        block : int
            Images at a time.

        Returns
        -------
        ndarray, shape (n, grid, grid, k), float32

        Raises
        ------
        ParameterError
            Before ``fit``, or for another shape than it saw.
        """
        if not hasattr(self, "centroids_"):
            raise ParameterError(
                "PatchDictionary", "a dictionary that was fitted", "an unfitted one"
            )
        array, block = self._checked(images), whole(block, "block", 1)
        if self.size**2 * array.shape[3] != self.centroids_.shape[1]:
            raise ParameterError("images", "as many colours as in training", array.shape[3])
        return np.concatenate(
            [self._codes(array[a : a + block]) for a in range(0, len(array), block)]
        )

    def _codes(self, images: np.ndarray) -> np.ndarray:
        # NumPy's stubs of this function know one axis only.
        window: Any = np.lib.stride_tricks.sliding_window_view
        view = window(images, (self.size, self.size), axis=(1, 2))
        view = view[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3)
        n, down, across = view.shape[:3]
        white = (self._normalised(view.reshape(n, down, across, -1)) - self.mean_) @ self.whitening_
        squares = (white**2).sum(axis=1, keepdims=True) + (self.centroids_**2).sum(axis=1)
        z = np.sqrt(np.maximum(squares - 2 * white @ self.centroids_.T, 0))
        code = np.maximum(z.mean(axis=1, keepdims=True) - z, 0).reshape(n, down, across, -1)
        rows = np.linspace(0, down, self.grid + 1).round().astype(int)[:-1]
        columns = np.linspace(0, across, self.grid + 1).round().astype(int)[:-1]
        return np.add.reduceat(np.add.reduceat(code, rows, axis=1), columns, axis=2)

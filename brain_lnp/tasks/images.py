"""Images read row by row: scikit-learn's digits, arrays, and npz files like MNIST's.

Pixels are turned into currents so that an image drives a neuron as strongly as a standardised
scalar series does, however many columns it has: each pixel position is centred on its mean over
the training images, and all are divided by one number, the root of the mean over training images
and rows of pixels of the *sum* over channels of the square. A neuron whose input weights have the
standard deviation ``input_sd`` then receives a current of that standard deviation while the rows
are shown, and none in the blank rows after them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from brain_lnp.tasks.encoders import row_by_row
from brain_lnp.tasks.imagefiles import read_image_npz
from brain_lnp.tasks.split import split_parts
from brain_lnp.tasks.task import Task
from models_eq.errors import ParameterError
from models_eq.units import positive_seconds


def _pair(images: Any, labels: Any, field: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim not in (3, 4) or images.size == 0 or images.dtype.kind not in "uif":
        raise ParameterError(
            field,
            "numbers of shape (trials, height, width) or (trials, height, width, colours)",
            f"{images.dtype}, shape {images.shape}",
        )
    if labels.shape != (len(images),):
        raise ParameterError("labels", f"shape ({len(images)},)", f"shape {labels.shape}")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ParameterError(field, "finite pixels", "NaN or infinite ones")
    return images, labels


def image_task(
    images: Any,
    labels: Any,
    *,
    test: tuple[Any, Any] | None = None,
    name: str = "images",
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    blank: int = 2,
    hold: Any = "10 ms",
    centre: bool = True,
    input_sd: float = 2.0,
    licence: str = "",
) -> Task:
    """Classification of images shown row by row.

    Parameters
    ----------
    images : array_like, shape (trials, height, width) or (trials, height, width, colours)
        Pixels in any unit.
    labels : array_like, shape (trials,)
        Integers or text.
    test : (images, labels), optional
        A test part that is kept apart; otherwise it is split off.
    name : str
        What the task is called.
    n_train, n_validation, n_test : int, optional
        Sizes of the stratified random parts. Default: 60, 20 and 20 % (with ``test``: 80 and
        20 %, and all of ``test``).
    seed : int
        Split and input weights.
    blank : int
        Rows without input after each image.
    hold : Quantity or str
        Biological time one row is held.
    centre : bool
        Subtract the mean training image.
    input_sd : float
        Standard deviation of the current while rows are shown (see the module's text).
    licence : str
        Terms of the data.

    Returns
    -------
    Task
        Inputs of shape (trials, height + blank, width * colours); the state is reset for each.

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    """
    images, labels = _pair(images, labels, "images")
    sizes: tuple[int | None, ...] = n_train, n_validation, n_test
    if test is None:
        parts, (order,) = split_parts([labels], sizes, seed, "images")
        images, labels = images[order], labels[order]
    else:
        held_images, held_labels = _pair(*test, "test")
        if held_images.shape[1:] != images.shape[1:]:
            raise ParameterError("test", f"images of shape {images.shape[1:]}", held_images.shape)
        parts, (order, kept) = split_parts([labels, held_labels], sizes, seed, "images")
        images = np.concatenate([images[order], held_images[kept]])
        labels = np.concatenate([labels[order], held_labels[kept]])
    pixels = images.astype(float)
    training = pixels[: parts[0]]
    if centre:
        pixels = pixels - training.mean(axis=0)
    power = np.mean(pixels[: parts[0]] ** 2) * np.prod(images.shape[2:])
    if np.ptp(training) == 0 or power == 0:
        raise ParameterError("images", "pixels that vary in the training part", "constant ones")
    return Task(
        name,
        row_by_row(pixels / np.sqrt(power), blank),
        labels,
        "images",
        hold=positive_seconds(hold, "hold"),
        washout=0,
        n_train=parts[0],
        n_validation=parts[1],
        n_test=parts[2],
        input_sd=input_sd,
        metric="accuracy",
        licence=licence,
        input_seed=seed,
    )


def digits(seed: int = 0, **settings: Any) -> Task:
    """The 1797 hand-written digits of 8 x 8 pixels that scikit-learn carries.

    Parameters
    ----------
    seed : int
        Split and input weights.
    **settings
        As for :func:`image_task`.

    Returns
    -------
    Task
        Inputs of shape (1797, 10, 8): eight rows of 10 ms and two blank ones; 1078, 360 and 359
        images for training, validation and test.

    References
    ----------
    Alpaydin & Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49.
    """
    # Only users of this task pay for the import.
    from sklearn.datasets import load_digits

    data = load_digits()
    defaults = {"name": "digits", "licence": "UCI repository, CC BY 4.0"}
    return image_task(data.images / 16, data.target, seed=seed, **{**defaults, **settings})


def load_npz_images(
    path: str | os.PathLike[str],
    *,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
    n_train: int | None = 2000,
    n_validation: int | None = 500,
    n_test: int | None = 1000,
    **settings: Any,
) -> Task:
    """Images from an npz file with the arrays x_train, y_train, x_test and y_test.

    Parameters
    ----------
    path : path-like
        Such as ``mnist.npz``; 8-bit pixels.
    directory : path-like, optional
        Folder to look in. Default: the working directory, then ``$BRAIN_LNP_DATA``.
    seed : int
        Split and input weights.
    n_train, n_validation, n_test : int or None
        Sizes of the stratified random parts (None: 80 and 20 % of the file's training part, and
        all of its test part, which nothing else is drawn from).
    **settings
        As for :func:`image_task`.

    Returns
    -------
    Task
        As of :func:`image_task`.

    Raises
    ------
    MissingFileError
        If the file is not there, saying what to do.
    FormatError
        If it is not such a file. Pickled arrays are refused.
    """
    images = read_image_npz(path, directory)
    return image_task(
        images.x_train,
        images.y_train,
        test=(images.x_test, images.y_test),
        seed=seed,
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        **{"name": Path(path).stem, **settings},
    )

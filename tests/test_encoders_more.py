"""Population code, whole-image currents, resampling, the patch dictionary, and chaos measured."""

from __future__ import annotations

import numpy as np
import pytest

from brain_lnp import tasks
from brain_lnp.tasks import chaotic, encoders
from brain_lnp.tasks.patches import PatchDictionary
from models_eq.errors import ParameterError

RNG = np.random.default_rng(0)


def test_population_is_a_hill_whose_middle_is_the_value():
    v = np.linspace(0.3, 0.7, 9)[:, None]
    code = encoders.population(v, 9)
    assert code.shape == (9, 9) and code.max() <= 1 and code.min() >= 0
    # Of a Gaussian hill on an even grid the centre of mass is the value.
    middle = np.linspace(0, 1, 9)
    inner = encoders.population(v, 41, low=-2.0, high=3.0)
    np.testing.assert_allclose(
        inner @ np.linspace(-2, 3, 41) / inner.sum(axis=1), v[:, 0], atol=1e-8
    )
    assert middle[code.argmax(axis=1)] == pytest.approx(v[:, 0], abs=1 / 16 + 1e-12)
    two = encoders.population([[0.0, 1.0]], 3)
    np.testing.assert_allclose(two[0, :3], two[0, 3:][::-1])
    np.testing.assert_allclose(encoders.population([[9.0]]), encoders.population([[1.0]]))
    for bad in ({"values": [np.nan]}, {"centres": 2}, {"low": 1.0}, {"high": np.inf}):
        with pytest.raises(ParameterError):
            encoders.population(**{"values": [0.5], **bad})


def test_current_shows_the_whole_image():
    images = RNG.random((3, 4, 5))
    shown = encoders.current(images, rows=2, blank=1)
    assert shown.shape == (3, 3, 20) and (shown[:, 2] == 0).all()
    np.testing.assert_array_equal(shown[:, 1], images.reshape(3, -1))
    with pytest.raises(ParameterError, match="images"):
        encoders.current(np.zeros(3))


def test_resampling_averages_before_the_scaling(tmp_path):
    values = RNG.random(121)
    (tmp_path / "f.csv").write_text("a\n" + "\n".join(map(repr, values.tolist())))
    task = tasks.csv_series(tmp_path / "f.csv", "a", resample=3, washout=0)
    means = values[:120].reshape(40, 3).mean(axis=1)
    scaled = (means - means[: task.n_train].mean()) / means[: task.n_train].std()
    np.testing.assert_allclose(task.inputs[:, 0], scaled[:-1])
    for resample in (0, 61, 1.5):
        with pytest.raises(ParameterError, match="resample"):
            tasks.csv_series(tmp_path / "f.csv", "a", resample=resample)


# ---------------------------------------------------------------- patches


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal or vertical stripes of random phase, in grey noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    at = np.arange(12)
    waves = 40 * np.sign(np.sin(at * 1.3 + rng.uniform(0, 6, n)[:, None]))
    images = np.where(labels[:, None, None] == 0, waves[:, :, None], waves[:, None, :])
    images = images[..., None] + rng.normal(120, 30, (n, 12, 12, 3))
    return np.clip(images, 0, 255).astype(np.uint8), labels


def small_dictionary(**change) -> PatchDictionary:
    return PatchDictionary(**{"k": 12, "size": 4, "n_patches": 2000, "seed": 1, **change})


def test_dictionary_whitens_and_its_codes_tell_stripes_apart():
    x, y = pictures(200, 0)
    dictionary = small_dictionary().fit(x[:100])
    code = dictionary.transform(x, block=33)
    assert code.shape == (200, 2, 2, 12) and code.min() >= 0
    flat = code.sum(axis=(1, 2))
    from sklearn.linear_model import RidgeClassifier

    model = RidgeClassifier().fit(flat[:100], y[:100])
    assert model.score(flat[100:], y[100:]) > 0.95
    # Negative control: mean colours say nothing about stripes of random phase (0.5, s.e. 0.05).
    colour = x.mean(axis=(1, 2))
    assert RidgeClassifier().fit(colour[:100], y[:100]).score(colour[100:], y[100:]) < 0.75


def test_code_is_the_published_formula():
    x, _ = pictures(20, 0)
    dictionary = small_dictionary(grid=1, stride=9).fit(x)
    one = x[3:4]
    patch = one[0, :4, :4].reshape(-1).astype(float)  # the only patch at a stride of 9
    patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
    white = (patch - dictionary.mean_) @ dictionary.whitening_
    z = np.linalg.norm(white - dictionary.centroids_, axis=1)
    expected = np.maximum(z.mean() - z, 0)
    np.testing.assert_allclose(dictionary.transform(one)[0, 0, 0], expected, atol=1e-3)


def test_dictionary_depends_on_seed_and_training_images_alone():
    x, _ = pictures(60, 0)
    a, b = (small_dictionary().fit(x[:40]) for _ in range(2))
    np.testing.assert_array_equal(a.centroids_, b.centroids_)
    assert not np.array_equal(small_dictionary(seed=2).fit(x[:40]).centroids_, a.centroids_)
    # Light and contrast of a whole image hardly matter, which is what normalising is for.
    gentle = x // 2 + 20
    np.testing.assert_allclose(a.transform(gentle).sum(), a.transform(x).sum(), rtol=0.05)
    for change in ({"k": 0}, {"size": 0}, {"whiten": 0.0}, {"n_patches": 3}):
        with pytest.raises(ParameterError, match=next(iter(change))):
            small_dictionary(**change)
    with pytest.raises(ParameterError, match="fitted"):
        small_dictionary().transform(x)
    for wrong in (x[0], x[:, :3], x[..., :1]):
        with pytest.raises(ParameterError, match="images"):
            a.transform(wrong)


# ---------------------------------------------------------------- chaotic systems against theory


def growth(field, jacobian, start, sample: float, rows: int) -> float:
    """Sum of all exponents, from the determinant of the flow along a trajectory of ours."""
    u = chaotic.trajectory(field, start, sample, rows)
    return float(np.mean([np.trace(jacobian(p)) for p in u]))


def test_volumes_shrink_as_they_must():
    # A small box of states, carried along: log of its volume falls by (sigma + 1 + beta) t.
    rate = 10 + 1 + 8 / 3
    start, h = np.array([1.0, 3.0, 20.0]), 1e-5
    corners = [start, *(start + h * e for e in np.eye(3))]
    ends = [chaotic.trajectory(chaotic.lorenz63_field, c, 0.3, 2, rtol=1e-12)[-1] for c in corners]
    volume = np.linalg.det((np.array(ends[1:]) - ends[0]) / h)
    assert np.log(volume) == pytest.approx(-rate * 0.3, abs=2e-3)


@pytest.mark.parametrize(
    ("field", "sample", "known", "tolerance"),
    # Sprott 2003, Chaos and Time-Series Analysis: 0.9056 and 0.0714.
    [(chaotic.lorenz63_field, 0.5, 0.9056, 0.06), (chaotic.rossler_field, 4.0, 0.0714, 0.012)],
)
def test_neighbours_part_at_the_known_exponent(field, sample, known, tolerance):
    u = chaotic.trajectory(field, [1.0, 1.0, 1.0], 50.0, 2, rtol=1e-8)[-1]
    d, steps, total = np.array([1e-7, 0.0, 0.0]), 200, 0.0
    for k in range(steps + 20):
        ends = [chaotic.trajectory(field, s, sample, 2, rtol=1e-9)[-1] for s in (u, u + d)]
        apart = np.linalg.norm(ends[1] - ends[0])
        total += np.log(apart / 1e-7) if k >= 20 else 0.0
        u, d = ends[0], (ends[1] - ends[0]) * 1e-7 / apart
    assert total / (steps * sample) == pytest.approx(known, abs=tolerance)


def test_mackey_glass_is_stable_below_and_chaotic_above():
    # The fixed point x = 1 loses stability at tau = 4.71: there b' = -0.4, gamma = 0.1 and the
    # characteristic equation i w = -0.1 - 0.4 exp(-i w tau) gives w = sqrt(0.15) and
    # tau = acos(-1/4)/w.
    critical = np.arccos(-0.25) / np.sqrt(0.15)
    for tau, settles in ((0.85 * critical, True), (1.15 * critical, False)):
        x = chaotic.mackey_glass_series(1.0, 2500, tau=tau, start=1.1)[-200:]
        assert (np.ptp(x) < 1e-3) == settles
    a, b = (chaotic.mackey_glass_series(1.0, 4000, tau=17.0, start=s) for s in (1.2, 1.2 + 1e-9))
    assert np.abs(a - b)[:100].max() < 1e-7 and np.abs(a - b)[-500:].max() > 1e-4

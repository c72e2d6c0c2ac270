"""Streams of one seed: reproducible, independent of one another and of the global state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models_eq.errors import ParameterError
from models_eq.rng import STREAMS, check_seed, stream, streams


def test_stream_and_streams_agree_and_repeat() -> None:
    for name in STREAMS:
        first, second = streams(7)[name].random(5), stream(7, name).random(5)
        np.testing.assert_array_equal(first, second)


def test_what_one_stream_draws_does_not_shift_another() -> None:
    a, b = streams(1), streams(1)
    a["topology"].random(1000)
    assert a["weights"].random() == b["weights"].random()


def test_names_seeds_and_paths_give_different_numbers() -> None:
    draws = [stream(s, name, *p).random() for s in (0, 1) for name in STREAMS for p in ((), (0,))]
    draws += [stream(0, "noise", *p).random() for p in ((1,), (0, 0), (0, 1), (1, 0))]
    assert len(set(draws)) == len(draws)


def test_streams_are_uncorrelated() -> None:
    x = np.stack([g.standard_normal(20_000) for g in streams(3).values()])
    correlation = np.corrcoef(x) - np.eye(len(STREAMS))
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_numbers_stay_the_same_between_versions() -> None:
    # Published results hang on these; a change of them is a change of every network.
    assert stream(5, "v_init", 2).random() == 0.6255286316674319
    assert stream(0, "topology").random() == 0.9429375528828794


def test_the_global_state_is_neither_read_nor_moved() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    value = stream(0, "noise").random()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002
    assert stream(0, "noise").random() == value


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, np.float64(2)])
def test_other_seeds_are_refused(seed: Any) -> None:
    for function in (check_seed, streams, lambda s: stream(s, "noise")):
        with pytest.raises(ParameterError, match="seed"):
            function(seed)


def test_numpy_integers_and_large_seeds_pass() -> None:
    assert check_seed(np.int64(3)) == 3
    assert stream(2**70, "noise").random() != stream(0, "noise").random()


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"stream.*topology"):
        stream(0, "toplogy")

"""Whoever asks is told how far a simulation is, on a terminal and off it, and nothing changes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from brain_lnp.cli_shell import Shell
from models_eq import HRSNNSpec, Stimulus, sample_hrsnn, simulate
from models_eq.progress import told

pytestmark = pytest.mark.usefixtures("numpy_device")


def test_reports_grow_from_nothing_to_all_and_the_run_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models_eq.progress._PERIOD", 0.0)
    net = sample_hrsnn(HRSNNSpec(n=30), seed=1)
    silent = simulate(net, duration="200 ms", seed=3)
    said: list[tuple[float, float]] = []
    with told(lambda done, total: said.append((done, total))):
        run = simulate(net, duration="200 ms", seed=3)
    done = [one for one, _ in said]
    assert done[0] == 0.0 and done[-1] == pytest.approx(0.2) and done == sorted(done)
    assert len(done) > 2 and {total for _, total in said} == {0.2}
    np.testing.assert_array_equal(run.t, silent.t)
    np.testing.assert_array_equal(run.i, silent.i)
    before = len(said)
    simulate(net, duration="10 ms")
    assert len(said) == before, "told after the block"


def test_trials_in_rounds_count_together() -> None:
    net = sample_hrsnn(HRSNNSpec(n=10), seed=1)
    stimulus = Stimulus(np.zeros((4, 10, 10)), "1 ms")  # 4 trials of 10 ms, two at a time
    said: list[tuple[float, float]] = []
    with told(lambda done, total: said.append((done, total))):
        simulate(net, stimulus, copies=2)
    assert said[-1] == pytest.approx((0.02, 0.02))


def test_a_listener_that_raises_stops_the_run() -> None:
    def stop(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), told(stop):
        simulate(sample_hrsnn(HRSNNSpec(n=10), seed=1), duration="10 ms")


@pytest.mark.parametrize(("quiet", "terminal"), [(False, True), (False, False), (True, True)])
def test_the_shell_shows_time_left_unless_quiet(
    quiet: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models_eq.progress._PERIOD", 0.02)
    monkeypatch.setattr("brain_lnp.cli_shell._EVERY", 0.0)
    monkeypatch.setattr("brain_lnp.cli_shell._RUSH", 0.0)
    screen = io.StringIO()
    shell = Shell(quiet=quiet, err=Console(file=screen, force_terminal=terminal, width=100))
    with shell.simulating("simulating 10 neurons"):
        simulate(sample_hrsnn(HRSNNSpec(n=10), seed=1), duration="300 ms")
    text = screen.getvalue()
    assert (text == "") is quiet
    if not quiet:
        assert "simulating 10 neurons: ms" in text and "left" in text
        assert ("300/300" if terminal else "300 of 300") in text

"""A pruning run that is interrupted, or killed, goes on to the identical result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.pruning.result import PruneResult
from brain_lnp import iteration
from brain_lnp.checkpoint import Checkpoint, run_digest
from brain_lnp.iteration import PruningRun
from brain_lnp.lnp import LNP
from models_eq.errors import FormatError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.storage import load, save

SETTINGS = LNP(mode="calibrated", n_iter=4, noise_duration="200 ms", connected=0.0, sharpness=1.5)


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=40), seed=3)


def run(net: HRSNN, path: Path | None, settings: LNP = SETTINGS, seed: int = 5) -> PruneResult:
    return settings.run(net, synapses=0.2, neurons=0.8, seed=seed, checkpoint=path)


def same(a: PruneResult, b: PruneResult) -> bool:
    return (
        a.net.digest == b.net.digest
        and a.net.history == b.net.history
        and a.steps == b.steps
        and a.stopped == b.stopped
    )


def interrupt_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Interrupt in the middle of an iteration: at the ``call``-th compensation from now on."""
    real, count = PruningRun.pay, [0]

    def pay(self: PruningRun, raw: HRSNN, last: bool) -> HRSNN:
        count[0] += 1
        if count[0] == call:
            raise KeyboardInterrupt
        return real(self, raw, last)

    monkeypatch.setattr(PruningRun, "pay", pay)


@pytest.mark.parametrize("done", [0, 1, 3])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(done, net, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    whole = run(net, None)
    with monkeypatch.context() as patch:
        interrupt_at(patch, done + 1)
        with pytest.raises(KeyboardInterrupt):
            run(net, path)
    assert path.exists() == (done > 0)
    if done:
        assert load(path, expected=Checkpoint).done == done
    calls: list[str] = []
    again = SETTINGS.run(
        net, synapses=0.2, neurons=0.8, seed=5, checkpoint=path,
        progress=lambda text, *_: calls.append(text),
    )  # fmt: skip
    assert same(whole, again)
    assert calls == [f"iteration {k + 1} of 4" for k in range(done, 4)] + ["done"]
    assert same(whole, run(net, path)), "a finished run comes back at once"


def test_a_checkpoint_that_forgets_something_would_be_noticed(net, tmp_path, monkeypatch):
    whole, path = run(net, None), tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(net, path)
    state = load(path, expected=Checkpoint)
    broken = Checkpoint(
        state.run, state.done, state.paid, state.paid, state.found, state.rate, state.steps
    )
    save(broken, path)  # weights as compensated in place of those as drawn
    assert not same(whole, run(net, path))


def test_an_early_stop_is_the_same_after_a_resume(net, tmp_path, monkeypatch):
    settings = LNP(mode="calibrated", n_iter=4, noise_duration="200 ms", connected=0.9)
    whole = settings.run(net, synapses=0.02, seed=5)
    assert "fell apart" in str(whole.stopped) and whole.steps
    path, count, real = tmp_path / "run.npz", [0], iteration._largest_part

    def cut(graph: HRSNN) -> float:
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt
        return real(graph)

    with monkeypatch.context() as patch:
        patch.setattr(iteration, "_largest_part", cut)
        with pytest.raises(KeyboardInterrupt):
            settings.run(net, synapses=0.02, seed=5, checkpoint=path)
    assert load(path, expected=Checkpoint).done == 1
    assert same(whole, settings.run(net, synapses=0.02, seed=5, checkpoint=path))


def test_a_checkpoint_of_another_run_is_refused(net, tmp_path):
    path = tmp_path / "run.npz"
    run(net, path)
    before = path.read_bytes()
    other = sample_hrsnn(HRSNNSpec(n=40), seed=4)
    for given in ((net, path, SETTINGS, 6), (other, path), (net, path, LNP(mode="calibrated"))):
        with pytest.raises(ParameterError, match=r"checkpoint.*another run"):
            run(*given)
    with pytest.raises(ParameterError, match="checkpoint"):
        SETTINGS.run(net, synapses=0.1, neurons=0.8, seed=5, checkpoint=path)
    assert path.read_bytes() == before, "and left as it is"
    assert run_digest(SETTINGS, net, 9, 9, 1) != run_digest(SETTINGS, net, 9, 8, 1)


def test_bad_places_and_files_are_refused(net, tmp_path):
    with pytest.raises(ParameterError, match="checkpoint"):
        run(net, tmp_path / "run.json")
    with pytest.raises(ParameterError, match="existing folder"):
        run(net, tmp_path / "nowhere" / "run.npz")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(FormatError):
        run(net, damaged)
    save(net, tmp_path / "net.npz")
    with pytest.raises(FormatError, match="Checkpoint"):
        run(net, tmp_path / "net.npz")


def test_step_four_resumes_in_its_own_record(net, tmp_path, monkeypatch):
    settings = LNP(
        mode="calibrated", n_iter=2, noise_duration="200 ms", connected=0.0,
        timescales="exponents", trials=12,
    )  # fmt: skip
    whole = run(net, None, settings)
    assert whole.steps[-1].name == "timescales"
    assert whole.steps[-1].diagnostics["value"] >= whole.steps[-1].diagnostics["value_start"]
    path = tmp_path / "run.npz"
    from analysis.pruning import timescales

    real, count = timescales.simulate_batch, [0]

    def cut(*args, **kwargs):
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(timescales, "simulate_batch", cut)
        with pytest.raises(KeyboardInterrupt):
            run(net, path, settings)
    assert (tmp_path / "run.timescales.json").exists()
    assert same(whole, run(net, path, settings))


_SCRIPT = """
import sys
from brain_lnp.lnp import LNP
from models_eq.device import use_device
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.storage import save
with use_device("numpy"):
    net = sample_hrsnn(HRSNNSpec(n=40), seed=3)
    settings = LNP(
        mode="calibrated", n_iter=4, noise_duration="200 ms", connected=0.0, sharpness=1.5
    )
    print("ready", flush=True)
    result = settings.run(net, synapses=0.2, neurons=0.8, seed=5, checkpoint=sys.argv[1])
save(result, sys.argv[2])
"""


def test_a_killed_process_resumes_to_the_identical_result(net, tmp_path):
    whole, path = run(net, None), tmp_path / "run.npz"
    command = [sys.executable, "-c", _SCRIPT, str(path), str(tmp_path / "result.npz")]
    rng = np.random.default_rng(0)
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ.copy()) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(0.1 + 0.9 * rng.random())
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert same(whole, load(tmp_path / "result.npz", expected=PruneResult))

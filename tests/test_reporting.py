"""Reports of runs: paired comparisons, the page, several runs, and what a browser makes of it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_lnp.cli import main
from brain_lnp.config import parse_experiment
from brain_lnp.experiment import run_experiment
from brain_lnp.reporting import (
    RunRecord,
    compare_runs,
    paired_methods,
    read_run,
    write_comparison,
    write_report,
)
from brain_lnp.reporting.numbers import short
from brain_lnp.reporting.paired import holm, pair, reference_method
from brain_lnp.reporting.panels import label, predictions
from brain_lnp.units import Cell, make_tasks
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.spec import sample_hrsnn

pytestmark = pytest.mark.usefixtures("numpy_device")

TEXT = """
[experiment]
name = "tiny"
seeds = [1, 2]
device = "numpy"
[network]
n = 50
[prune]
methods = ["dense", "none", "random_gain", "magnitude"]
synapses = [0.2]
[[tasks]]
name = "lorenz63"
horizon = 2
washout = 20
n_train = 80
n_validation = 20
n_test = 30
[[tasks]]
name = "digits"
n_train = 40
n_validation = 12
n_test = 12
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run_experiment(parse_experiment(TEXT), folder, jobs=1)
    return read_run(folder)


@pytest.fixture(scope="module")
def page(finished: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(finished, tmp_path_factory.mktemp("page") / "page.html")


def row(seed: int, error: float, method: str = "a", **more: Any) -> dict[str, Any]:
    """A row of a run."""
    base = {"seed": seed, "method": method, "synapses": 0.1, "neurons": 1.0, "task": "t",
            "metric": "nrmse", "error": error, "nrmse": error,
            "sops_per_second": 100.0}  # fmt: skip
    return base | more


# -- paired comparisons: known values --------------------------------------------------------------


def names() -> dict[str, Any]:
    return {"ours": "a", "other": "b", "synapses": 0.1, "neurons": 1.0, "task": "t"}


def test_a_paired_comparison_of_known_values() -> None:
    # Logarithms differ by -1, -2, -3: t = -2 sqrt(3), p = 0.0742 with two degrees of freedom.
    ours = [row(s, math.exp(-s), sops_per_second=50.0) for s in (1, 2, 3)]
    others = [row(s, 1.0) for s in (3, 1, 2)]  # in another order: seeds are what is paired
    found = pair(ours, others, **names())
    assert found is not None and found.ratio is not None and found.n == 3
    assert found.ratio.ratio == pytest.approx(math.exp(-2))
    assert found.p == pytest.approx(0.07418, abs=1e-5)
    assert found.operations == pytest.approx(0.5)
    d = [math.exp(-s) - 1 for s in (1, 2, 3)]
    assert found.difference == pytest.approx(np.mean(d))
    assert found.stderr == pytest.approx(np.std(d, ddof=1) / math.sqrt(3))
    assert found.verdict == "open" and replace(found, p_holm=0.01).verdict == "better"
    back = pair(others, ours, **names())
    assert back is not None and back.ratio is not None
    assert back.ratio.ratio == pytest.approx(math.exp(2)) and back.p == pytest.approx(found.p)
    assert replace(back, p_holm=0.01).verdict == "worse"


def test_rows_are_paired_by_seed_not_by_place() -> None:
    # Seeds differ by a factor of 100 and methods by 1.1: unpaired, nothing could be told.
    base = {1: 0.01, 2: 0.1, 3: 1.0, 4: 0.5}
    tilt = {1: 1.0, 2: 1.01, 3: 0.99, 4: 1.0}
    ours = [row(s, e) for s, e in base.items()]
    others = [row(s, 1.1 * e * tilt[s]) for s, e in reversed(base.items())]
    found = pair(ours, others, **names())
    assert found is not None and found.p < 1e-3
    unpaired = pair([dict(r, seed=k) for k, r in enumerate(ours)],
                    [dict(r, seed=k) for k, r in enumerate(others)], **names())  # fmt: skip
    assert unpaired is not None and unpaired.p > 0.5


def test_seeds_that_only_one_has_do_not_count() -> None:
    found = pair([row(1, 0.2), row(2, 0.2)], [row(2, 0.1), row(3, 9.0)], **names())
    assert found is not None and found.n == 1 and found.difference == pytest.approx(0.1)
    assert math.isnan(found.p) and found.ratio is None and found.verdict == "open"
    assert pair([row(1, 0.2)], [row(2, 0.2)], **names()) is None


def test_an_error_of_zero_has_no_ratio_and_equal_rows_are_equal() -> None:
    found = pair([row(1, 0.0), row(2, 0.1)], [row(1, 0.1), row(2, 0.3)], **names())
    assert found is not None and found.ratio is None and found.p == pytest.approx(0.2048, abs=1e-3)
    same = [row(s, 0.1 * s) for s in (1, 2, 3)]
    equal = pair(same, same, **names())
    assert equal is not None and equal.verdict == "equal" and math.isnan(equal.p)
    # A difference without spread says nothing: the test has no error to compare it with.
    shifted = pair(same, [dict(r, error=2 * r["error"]) for r in same], **names())
    assert shifted is not None and shifted.verdict == "open"


def test_holm_of_published_values() -> None:
    one = pair([row(1, 0.2), row(2, 0.3)], [row(1, 0.1), row(2, 0.1)], **names())
    assert one is not None
    # R: p.adjust(c(0.01, 0.04, 0.03), "holm")
    adjusted = holm([replace(one, p=p) for p in (0.01, 0.04, 0.03)])
    assert [found.p_holm for found in adjusted] == pytest.approx([0.03, 0.06, 0.06])


def test_the_reference_is_lnp_or_the_last_method_but_no_control() -> None:
    assert reference_method(["dense", "lnp", "random"]) == "lnp"
    assert reference_method(["dense", "random", "magnitude", "none"]) == "magnitude"
    assert reference_method(["dense", "none"]) is None


def test_methods_are_compared_at_their_own_budget_and_with_the_controls() -> None:
    rows = [
        row(s, 0.1 * s + 0.01 * k, m, synapses=b)
        for s in (1, 2, 3)
        for k, (m, b) in enumerate(
            [("dense", 1.0), ("lnp", 0.1), ("lnp", 0.2), ("random", 0.1), ("random", 0.2)]
        )
    ]
    found = {(one.other, one.synapses) for one in paired_methods(rows)}
    assert found == {("dense", 0.1), ("dense", 0.2), ("random", 0.1), ("random", 0.2)}
    assert all(one.p_holm >= one.p for one in paired_methods(rows))
    assert {one.ours for one in paired_methods(rows, "random")} == {"random"}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.14621, 0.00712, "0.1462 ± 0.0071"),
        (1234.4, 31.0, "1234 ± 31"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (800.0, 0.0, "800"),
        (0.25, 0.0, "0.25 ± 0"),
        (0.123456, None, "0.1235"),
        (0.1, float("nan"), "0.1"),
        (float("nan"), 0.1, "-"),
    ],
)
def test_a_number_has_the_digits_that_its_error_allows(
    value: float, error: float | None, text: str
) -> None:
    assert short(value, error) == text


# -- reading ---------------------------------------------------------------------------------------


def test_a_run_is_read_as_it_was_written(finished: RunRecord) -> None:
    assert finished.name == "tiny" and finished.seeds == [1, 2]
    assert finished.experiment is not None
    assert finished.experiment.digest == parse_experiment(TEXT).digest
    assert finished.methods == ["dense", "none", "random_gain", "magnitude"]
    cell = Cell(1, "random_gain", 0.2, 1.0)
    net = finished.network(cell)
    assert net is not None and net.digest in {r["digest"] for r in finished.rows}
    assert finished.network(Cell(9, "random_gain", 0.2, 1.0)) is None
    assert finished.unit(cell.key)["steps"] and finished.unit("nothing") == {}


def test_a_folder_that_is_no_finished_run_is_refused(finished: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="the folder of a run"):
        read_run(tmp_path / "none")
    with pytest.raises(MissingFileError, match=r"no results\.json"):
        read_run(tmp_path)
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    for text in ("{", "3", '{"rows": [{}], "baselines": []}', '{"rows": [], "baselines": [{}]}'):
        (folder / "results.json").write_text(text)
        with pytest.raises(FormatError, match=r"results\.json"):
            read_run(folder)
    shutil.copy(finished.folder / "results.json", folder)
    (folder / "config.toml").write_text("[")
    with pytest.raises(FormatError, match=r"config\.toml"):
        read_run(folder)
    (folder / "config.toml").write_bytes(b"\xff")
    with pytest.raises(FormatError, match=r"config\.toml"):
        read_run(folder)


# -- the page --------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """Tags, references and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.pictures: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.references += [str(given[k]) for k in ("src", "href", "srcset") if k in given]
        if tag == "img":
            assert given["alt"], "a picture without words"
            self.pictures.append(str(given["alt"]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_a_page_needs_nothing_but_itself(page: Path) -> None:
    found = Parsed(page)
    assert all(ref.startswith(("data:", "#")) for ref in found.references), found.references
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "script" not in found.tags
    assert not re.search(r"url\(|@import|https?://", text)
    anchors = [ref[1:] for ref in found.references if ref.startswith("#")]
    assert anchors and all(f'id="{name}"' in text for name in anchors)
    assert 'name="viewport"' in text


def test_a_page_says_what_was_asked_and_found(page: Path, finished: RunRecord) -> None:
    found = Parsed(page)
    for words in (
        "What was asked", "What came out", "Compared seed by seed", "What pruning did",
        "Environment", "How to reproduce", "brain-lnp run config.toml", "brian2", "1, 2",
        "random, 20 % of synapses", "not told apart", "persistence",
    ):  # fmt: skip
        assert words in found.text, words
    for one in finished.result.summary:
        name = "nrmse" if "nrmse_mean" in one else "accuracy"
        assert short(one[f"{name}_mean"], one[f"{name}_stderr"]) in found.text
    for one in paired_methods(finished.rows):
        assert short(one.difference, one.stderr) in found.text
    assert "nan" not in found.text.split() and "None" not in found.text.split()


def test_a_page_has_every_figure(page: Path) -> None:
    found = " | ".join(Parsed(page).pictures)
    for words in (
        "Error against synaptic operations: digits", "Weights: dense",
        "Weights: magnitude, 20 % of synapses", "Eigenvalues of the weights: dense",
        "Rasters: dense", "Exponents of neurons: magnitude", "Lyapunov spectra",
        "Predictions against truth: lorenz63", "Predictions against truth: digits",
    ):  # fmt: skip
        assert words in found, words
    assert "No " not in Parsed(page).text.partition("Figures")[2].partition("Error against")[0]


def test_predictions_are_those_that_were_judged(page: Path, finished: RunRecord) -> None:
    text = Parsed(page).text
    for one in finished.rows:
        if one["seed"] == 1 and one["method"] in ("dense", "magnitude"):
            name = "NRMSE" if one["metric"] == "nrmse" else "accuracy"
            assert f"{name} {one[name.lower()]:.4f}" in text


def test_predictions_of_the_wrong_network_are_told_apart(finished: RunRecord) -> None:
    assert finished.experiment is not None
    task = make_tasks(finished.experiment, 1)[0]
    net = sample_hrsnn(finished.experiment.network.to_spec(), seed=2)
    truth = task.targets[task.split.test]
    predicted = predictions({"wrong": net}, task, 1)["wrong"]
    from analysis import nrmse

    mine = next(r for r in finished.rows if r["method"] == "dense" and r["seed"] == 1)
    assert f"{float(nrmse(truth, predicted)):.4f}" != f"{mine['nrmse']:.4f}"


def test_what_a_file_says_is_escaped(finished: RunRecord, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    rows = [dict(one, task=evil) if one["task"] == "digits" else one for one in finished.rows]
    text = json.dumps({"rows": rows, "baselines": []})
    (tmp_path / "results.json").write_text(text)
    path = write_report(read_run(tmp_path), figures=False)
    assert path == tmp_path / "report.html"
    found = Parsed(path)
    assert "script" not in found.tags and "alert(1)" in found.text
    assert "no config.toml" in found.text or "not in the folder" in found.text


def test_a_folder_with_results_alone_has_a_page(finished: RunRecord, tmp_path: Path) -> None:
    shutil.copy(finished.folder / "results.json", tmp_path)
    text = Parsed(write_report(read_run(tmp_path), tmp_path / "x.html")).text
    assert "no config.toml" in text and "does not say" in text


def test_one_seed_has_no_interval_and_no_verdict(finished: RunRecord, tmp_path: Path) -> None:
    rows = [one for one in finished.rows if one["seed"] == 1]
    (tmp_path / "results.json").write_text(json.dumps({"rows": rows, "baselines": []}))
    text = Parsed(write_report(read_run(tmp_path), figures=False)).text
    assert (
        "over 1 seed." in text
        and "±" not in text.partition("Errors are")[0].partition("1 seed.")[2]
    )


def test_a_method_that_did_not_run_and_a_bad_place_are_refused(
    finished: RunRecord, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match=r"against: .*magnitude"):
        write_report(finished, tmp_path / "x.html", against="lnp")
    with pytest.raises((ParameterError, MissingFileError)):
        write_report(finished, tmp_path / "no" / "x.html", figures=False)


def test_a_label_says_what_was_kept() -> None:
    assert label(Cell(0, "dense", 1.0, 1.0)) == "dense"
    assert label(Cell(0, "lnp", 0.02, 0.5)) == "LNP tuned, 2 % of synapses, 50 % of neurons"


# -- several runs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(finished: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The same run, had every error been 10 % larger, but for seed 2, where it was 12 %."""
    folder = tmp_path_factory.mktemp("other") / "second"
    shutil.copytree(finished.folder, folder)
    factor = {1: 1.1, 2: 1.12}
    rows = [dict(one, error=one["error"] * factor[one["seed"]]) for one in finished.rows]
    text = json.dumps({"rows": rows, "baselines": finished.result.baselines})
    (folder / "results.json").write_text(text)
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("n_iter = 5", "n_iter = 4"))
    return read_run(folder)


def test_two_runs_are_paired_and_their_settings_compared(
    finished: RunRecord, other: RunRecord, tmp_path: Path
) -> None:
    found = compare_runs([finished, other])
    assert found.names == ("tiny", "second") and len(found.paired) == 4 * 2
    wanted = math.sqrt(1.1 * 1.12)
    assert all(one.ratio and one.ratio.ratio == pytest.approx(wanted) for one in found.paired)
    assert found.differences == {"prune.n_iter": ("5", "4")}
    text = Parsed(write_comparison(found, tmp_path / "c.html")).text
    assert "prune.n_iter" in text and "second: dense against tiny: dense" in text
    assert all(ref.startswith("data:") for ref in Parsed(tmp_path / "c.html").references)


def test_one_run_or_one_twice_is_refused(finished: RunRecord) -> None:
    with pytest.raises(ParameterError, match="at least two"):
        compare_runs([finished])
    with pytest.raises(ParameterError, match="each folder once"):
        compare_runs([finished, finished])


# -- the command line ------------------------------------------------------------------------------


def test_report_and_compare_on_the_command_line(
    finished: RunRecord,
    other: RunRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(finished.folder, tmp_path / "run")
    assert main(["report", "run", "--no-figures", "--json", "-o", "p.html"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["page"] == "p.html" and Path("p.html").is_file() and data["figures"] == []
    assert {one["verdict"] for one in data["paired"]} <= {"better", "worse", "equal", "open"}
    assert main(["report", "run", "--no-figures", "--against", "random_gain"]) == 0
    assert str(Path("run/report.html")) in capsys.readouterr().out
    assert "random against" in Parsed(run / "report.html").text
    assert main(["compare", "run", str(other.folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["page"] is None and data["runs"] == ["run", "second"]
    assert len(data["paired"]) == 8 and data["differences"] == {"prune.n_iter": ["5", "4"]}
    assert main(["compare", "run", str(other.folder), "-o", "c.html"]) == 0
    assert "c.html" in capsys.readouterr().out and Path("c.html").is_file()
    for wrong, word in (
        (["compare", "run"], "at least two"),
        (["compare", "run", "run"], "each folder once"),
        (["compare", "run", str(other.folder), "-o", "c.html"], "--force"),
        (["compare", "run", "none"], "none"),
        (["report", "run", "--against", "lnpp"], "against"),
        (["report", "run", "-o", "p.txt"], ".html"),
        (["report", "run", "-o", "no/p.html"], "existing folder"),
        (["report", "none"], "none"),
    ):
        assert main(wrong) == 2, wrong
        assert word in capsys.readouterr().err


# -- a browser -------------------------------------------------------------------------------------


def browser() -> str | None:
    """A Chromium: named by BRAIN_LNP_CHROMIUM, or found on the path."""
    named = os.environ.get("BRAIN_LNP_CHROMIUM", "")
    known = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
    return next(filter(None, map(shutil.which, (named, *known))), None)


def chromium(page: Path, folder: Path, width: int, *arguments: str) -> str:
    """Open a page without a network; what Chromium prints."""
    program = browser()
    assert program is not None
    command = [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1200", *arguments,
        page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def laid_out(text: str, folder: Path, width: int) -> dict[str, int]:
    """Widths and pictures of a page as a browser lays it out in a frame of that width."""
    # The page forbids scripts; a copy that allows one tells what was laid out. A window cannot be
    # as narrow as a phone, a frame can.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    script = """<script>addEventListener("load", () => {
      const r = document.documentElement, pics = [...document.images];
      parent.postMessage({inner: innerWidth, page: r.scrollWidth, pics: pics.length,
        broken: pics.filter(p => !p.naturalWidth).length,
        small: pics.filter(p => p.clientWidth < 260).length}, "*");
    });</script>"""
    inner, outer = folder / "inner.html", folder / "outer.html"
    inner.write_text(text.replace("</body>", script + "</body>"), encoding="utf-8")
    outer.write_text(
        f"""<body><script>addEventListener("message", e =>
        document.body.setAttribute("data-seen", JSON.stringify(e.data)))</script>
        <iframe src="{inner.as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>""",
        encoding="utf-8",
    )
    dom = chromium(outer, folder, 1400, "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found is not None
    seen: dict[str, int] = json.loads(found[1].replace("&quot;", '"'))
    return seen


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_whole_on_a_phone_and_a_desk(
    width: int, page: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "screen.png"
    chromium(page, tmp_path, width, f"--screenshot={picture}")
    from matplotlib import image

    seen = image.imread(picture)[..., :3]
    assert seen.shape[1] == width and seen.std() > 0.05, "an empty page"
    seen_by = laid_out(page.read_text(encoding="utf-8"), tmp_path, width)
    assert seen_by["inner"] == width and seen_by["page"] <= width, "wider than the screen"
    assert seen_by["pics"] > 10 and seen_by["broken"] == 0 and seen_by["small"] == 0


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_a_page_that_is_too_wide_would_be_noticed(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("overflow-x: auto", "")
    seen_by = laid_out(text, tmp_path, 390)
    assert seen_by["inner"] == 390 and seen_by["page"] > 390

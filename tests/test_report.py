"""Tables and figures of a finished experiment, also from its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from matplotlib import image
from rich.console import Console

from brain_lnp.config import METHODS, parse_experiment
from brain_lnp.experiment import ExperimentResult, run_experiment
from brain_lnp.report import TITLES, summary_table, write_figures, write_table
from brain_lnp.summary import Record, summarise
from brain_lnp.units import Cell

TEXT = """
[experiment]
name = "tiny"
seeds = [1, 2]
device = "numpy"
[network]
n = 50
[prune]
methods = ["dense", "none", "random_gain", "activity"]
synapses = [0.2, 0.05]
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
FIGURES = ["error_against_sops.png", "weights.png", "spectrum.png", "raster.png"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResult:
    return run_experiment(parse_experiment(TEXT), tmp_path_factory.mktemp("run"), jobs=1)


def only(result: ExperimentResult, folder: Path, **wanted: object) -> ExperimentResult:
    """The same run, had it held these rows alone."""
    rows = [r for r in result.rows if all(r[k] in v for k, v in wanted.items())]  # type: ignore[operator]
    return ExperimentResult(rows, summarise(rows), result.baselines, folder)


def written(result: ExperimentResult) -> str:
    console = Console(width=200, file=None, record=True, quiet=False)
    with console.capture() as capture:
        console.print(summary_table(result))
    return capture.get()


def lines_of(text: str, title: str) -> list[list[str]]:
    """Cells of the table's lines that start with a title."""
    cells = [
        [cell.strip() for cell in line.strip("│┃ ").split("│")]
        for line in text.splitlines()
        if "│" in line
    ]
    return [line for line in cells if line[0] == title]


def test_every_method_has_a_title() -> None:
    assert set(TITLES) == set(METHODS) and len(set(TITLES.values())) == len(TITLES)


# -- table -------------------------------------------------------------------------------------


def test_the_table_has_all_methods_budgets_and_tasks(finished: ExperimentResult) -> None:
    text = written(finished)
    assert "2 seed(s)" in text
    for title, count in (("dense", 1), ("no recurrence", 1), ("random", 2), ("activity", 2)):
        assert len(lines_of(text, title)) == count, title
    for words in ("0.2 of the synapses", "0.05 of the synapses", "digits", "accuracy", "NRMSE"):
        assert words in text
    assert "lorenz63 x to xyz h2" in text
    for name in {row["baseline"] for row in finished.baselines}:
        assert len(lines_of(text, name.replace("_", " "))) == 1
    assert "nan" not in text and "None" not in text


def test_a_line_of_the_table_is_what_the_rows_say(finished: ExperimentResult) -> None:
    mine = [r for r in finished.rows if r["method"] == "random_gain" and r["synapses"] == 0.05]
    first = [r for r in mine if r["task"].startswith("lorenz")]
    second = [r for r in mine if r["task"] == "digits"]

    def cell(rows: list[Record], name: str, form: str, factor: float = 1.0) -> str:
        a, b = (row[name] * factor for row in rows)
        return f"{form} ± {form}".format((a + b) / 2, abs(a - b) / 2)

    line = lines_of(written(finished), "random")[1]
    assert line == [
        "random",
        "50",
        "25",
        cell(first, "mean_rate", "{:.0f}"),
        cell(first, "sops_per_second", "{:.3g}", 1e-3),
        cell(first, "nrmse", "{:.3f}"),
        cell(second, "accuracy", "{:.3f}"),
    ]


def test_activity_shows_that_it_kept_fewer_neurons(finished: ExperimentResult) -> None:
    rows = [r for r in finished.rows if r["method"] == "activity" and r["synapses"] == 0.05]
    kept = sum(r["n_neurons"] for r in rows) / len(rows)
    assert kept < 50
    assert lines_of(written(finished), "activity")[1][1].split(" ")[0] == f"{kept:.0f}"


def test_the_table_is_written_as_text(finished: ExperimentResult, tmp_path: Path) -> None:
    path = write_table(finished, tmp_path)
    assert path == tmp_path / "table.txt"
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text, "no escape codes in a file"
    for line in written(finished).splitlines()[-4:-1]:
        assert line.strip() in text


# -- figures -----------------------------------------------------------------------------------


def check(paths: list[Path], folder: Path, names: list[str]) -> None:
    assert [path.name for path in paths] == names
    assert {p.name for p in (folder / "figures").iterdir()} == set(names)
    for path in paths:
        assert path.parent == folder / "figures"
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        picture = image.imread(path)[..., :3]
        assert min(picture.shape[:2]) > 200 and picture.std() > 0.02, "an empty picture"
    assert (folder / "table.txt").is_file()


def test_the_figures_can_be_drawn_from_the_folder_alone(
    finished: ExperimentResult, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished.folder, tmp_path / "elsewhere"))
    data = json.loads((folder / "results.json").read_text())
    again = ExperimentResult(data["rows"], data["summary"], data["baselines"], folder)
    check(write_figures(again, folder), folder, FIGURES)
    assert written(again) == written(finished)
    before = {p.name: p.read_bytes() for p in (folder / "figures").iterdir()}
    write_figures(again, folder)
    assert {p.name: p.read_bytes() for p in (folder / "figures").iterdir()} == before


def test_without_networks_there_are_still_the_errors(
    finished: ExperimentResult, tmp_path: Path
) -> None:
    check(write_figures(finished, tmp_path), tmp_path, FIGURES[:1])


def copy_networks(finished: ExperimentResult, folder: Path) -> None:
    shutil.copytree(finished.folder / "networks", folder / "networks")


def test_one_seed_has_no_standard_error(finished: ExperimentResult, tmp_path: Path) -> None:
    copy_networks(finished, tmp_path)
    one = only(finished, tmp_path, seed=[2])
    text = written(one)
    assert "1 seed(s)" in text
    assert "±" not in lines_of(text, "random")[0][5]
    check(write_figures(one, tmp_path), tmp_path, FIGURES)


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        (["dense", "none"], FIGURES),
        (["dense"], FIGURES[:1]),
        (["none"], FIGURES[:1]),
        (["random_gain"], FIGURES),
    ],
)
def test_few_methods_make_fewer_figures(
    methods: list[str], names: list[str], finished: ExperimentResult, tmp_path: Path
) -> None:
    copy_networks(finished, tmp_path)
    some = only(finished, tmp_path, method=methods, seed=[1])
    check(write_figures(some, tmp_path), tmp_path, names)


def test_a_run_without_rows_has_a_table_and_no_figures(tmp_path: Path) -> None:
    empty = ExperimentResult([], [], [], tmp_path)
    assert "method" in written(empty)
    assert write_figures(empty, tmp_path) == []
    assert (tmp_path / "table.txt").is_file()


def test_the_networks_drawn_are_those_of_the_first_seed(
    finished: ExperimentResult, tmp_path: Path
) -> None:
    # Seed 1 must not find the network of seed 10, whose name begins alike.
    (tmp_path / "networks").mkdir()
    key = Cell(1, "dense", 1.0, 1.0).key
    (mine,) = (finished.folder / "networks").glob(f"{key}-*.npz")
    (tmp_path / "networks" / f"{key}0-abc.npz").write_bytes(b"not a network")
    shutil.copy(mine, tmp_path / "networks")
    one = only(finished, tmp_path, seed=[1], method=["dense", "none"])
    check(write_figures(one, tmp_path), tmp_path, FIGURES[:1])

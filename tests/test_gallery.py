"""The gallery: every figure has its script, its picture and its place, and the scripts run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import make_gallery

ROOT = Path(__file__).resolve().parent.parent
FAST = ("raster", "weights")


def test_page_scripts_and_pictures_belong_together() -> None:
    names = {path.stem for path in (ROOT / "scripts" / "gallery").glob("*.py")}
    assert names == set(make_gallery.ORDER)
    pictures = {path.stem for path in (ROOT / "docs" / "figures").glob("gallery_*.png")}
    assert pictures == {f"gallery_{name}" for name in names}
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert text == make_gallery.page(), "written anew by: python scripts/make_gallery.py"


@pytest.mark.usefixtures("numpy_device")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in make_gallery.ORDER],
)
def test_a_figure_is_drawn(name: str) -> None:
    figure = make_gallery.load(name).draw()
    assert figure.axes and all(
        ax.has_data() for ax in figure.axes if ax.get_label() != "<colorbar>"
    )


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(SystemExit) as error:
        make_gallery.main(["nonsense"])
    assert error.value.code == 2


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d",
               str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "site")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index", "tutorial", "howto", "gallery", "api"):
        assert (tmp_path / "site" / f"{page}.html").stat().st_size > 1000

"""Draw every figure of the gallery and write its page.

    python scripts/make_gallery.py [NAME ...]

Each file of ``scripts/gallery`` has a title and a text as its docstring and a function ``draw()``
that returns a figure, which is saved as ``docs/figures/gallery_NAME.png``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
ORDER = (
    "weights", "eigenvalues", "raster", "node_exponents", "spectrum", "displacement", "prediction",
)  # fmt: skip


def load(name: str) -> ModuleType:
    """Import one file of the gallery."""
    spec = importlib.util.spec_from_file_location(
        f"gallery_{name}", ROOT / "scripts" / "gallery" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page() -> str:
    """Text of ``docs/gallery.md``."""
    parts = [
        "# Gallery",
        "Figures that a few lines make. Each is drawn by the script below it; "
        "`python scripts/make_gallery.py` makes them all again.",
    ]
    for name in ORDER:
        source = (ROOT / "scripts" / "gallery" / f"{name}.py").read_text(encoding="utf-8")
        title, _, text = source.split('"""')[1].strip().partition("\n")
        parts += [
            f"## {title}",
            text.strip(),
            f"```{{figure}} figures/gallery_{name}.png\n:alt: {title}\n```",
            f"```{{literalinclude}} ../scripts/gallery/{name}.py\n:start-at: from matplotlib\n```",
        ]
    return "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Draw the figures that are named, by default all, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(ORDER))
    names = parser.parse_args(argv).names
    if unknown := set(names) - set(ORDER):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    from models_eq import use_device

    for name in names or ORDER:
        with use_device("numpy"):
            figure = load(name).draw()
        target = ROOT / "docs" / "figures" / f"gallery_{name}.png"
        figure.savefig(target, dpi=150)
        print(target.relative_to(ROOT), file=sys.stderr)
    (ROOT / "docs" / "gallery.md").write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

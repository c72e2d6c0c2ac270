"""Sphinx settings. Build with ``sphinx-build -W docs docs/_build`` (extra ``docs``)."""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("MPLBACKEND", "Agg")  # Brian2 imports pylab, which needs no display here

_metadata = configparser.ConfigParser()
_metadata.read(ROOT / "setup.cfg", encoding="utf-8")

project = "brain_lnp"
author = _metadata["metadata"]["author"]
release = version = _metadata["metadata"]["version"]
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_ignore_module_all = True
# A name is documented where it is defined; packages that re-export it only list their modules.
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
autodoc_typehints = "none"  # numpydoc says types, with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Pruning of heterogeneous recurrent spiking networks",
    "fixed_sidebar": True,
    "page_width": "1100px",
}
html_show_sourcelink = False


def _escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let ``|w|`` stand for a magnitude, which reStructuredText takes for a substitution."""
    literal: int | None = None
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith(">>>"):
            parts = re.split("(``.*?``)", line)
            lines[k] = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in parts)
        if (literal is None and line.rstrip().endswith("::")) or ".. math::" in line:
            literal = indent


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to estimators; its text links into its own pages."""
    return True if re.fullmatch("set_.*_request", name) else None


def _page(
    role: str, raw: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()
) -> tuple[list[Any], list[Any]]:
    """Link a page by its name where there is one, and name it otherwise."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    source = Path(__file__).parent / f"{text}.md"
    if not source.is_file():
        return [nodes.inline("", text.replace("_", " "))], []
    title = re.search(r"^# (.*)", source.read_text(encoding="utf-8"), re.MULTILINE)
    shown = title[1] if title else text
    options = {"reftarget": f"/{text}", "refdomain": "std", "reftype": "doc"}
    link = pending_xref("", nodes.inline("", shown), refexplicit=True, refwarn=True, **options)
    link["refdoc"] = inliner.document.settings.env.docname
    return [link], []


def setup(app: Any) -> None:
    """Connect what stands above."""
    app.add_role("page", _page)
    app.connect("autodoc-process-docstring", _escape_bars, priority=900)  # after numpydoc
    app.connect("autodoc-skip-member", _skip)

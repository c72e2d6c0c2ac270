"""The house rules: which way imports run, what no file may do, and what the distribution holds.

Each rule is a function of ``{path: source}``, so that a negative control can show that it bites.
"""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models_eq", "analysis", "brain_lnp")
# A file may import from rooms of its own rank or below.
RANK = {"models_eq": 0, "analysis": 1, "brain_lnp": 2, "scripts": 3, "tests": 3}
LONGEST = 350
# The parts of numpy.random that hold no hidden state.
EXPLICIT_RANDOM = {
    "BitGenerator",
    "Generator",
    "MT19937",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "SeedSequence",
}

Sources = Mapping[str, str]


def tree_of(*folders: str) -> dict[str, str]:
    """Source of every Python file under the folders, by its path from the root."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def _absolute(node: ast.ImportFrom, path: str) -> str:
    """Module that a ``from ... import`` names, relative ones resolved against the file's folder."""
    if not node.level:
        return node.module or ""
    parents = list(PurePosixPath(path).parent.parts)
    base = parents[: max(0, len(parents) - node.level + 1)]
    return ".".join([*base, *(node.module or "").split(".")]).strip(".")


def imported(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and module of every import of a file, wherever it stands, by statement or by call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            # `from . import x` may name a module, and one above the root is a sibling package.
            yield from ((node.lineno, f"{base}.{alias.name}".strip(".")) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def wrong_arrows(sources: Sources) -> list[str]:
    """Imports from a room above, and relative imports, which hide where they lead."""
    wrong = []
    for path, source in sources.items():
        own = PurePosixPath(path).parts[0]
        for line, module in imported(path, source):
            room = module.partition(".")[0]
            if RANK.get(room, -1) > RANK[own]:
                wrong.append(f"{path}:{line}: {own} imports {module}")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level:
                wrong.append(f"{path}:{node.lineno}: relative import")
    return wrong


def _random_names(tree: ast.AST) -> set[str]:
    """Dotted names under which a file knows numpy.random."""
    numpy, random = {"numpy"}, {"numpy.random"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "numpy":
                    numpy.add(alias.asname or "numpy")
                elif alias.name == "numpy.random" and alias.asname:
                    random.add(alias.asname)
        elif isinstance(node, ast.ImportFrom) and node.module == "numpy":
            random |= {a.asname or a.name for a in node.names if a.name == "random"}
    return random | {f"{name}.random" for name in numpy}


def global_draws(sources: Sources) -> list[str]:
    """Uses of a random state that is not a Generator handed in: numpy's global one, or `random`."""
    wrong = []
    for path, source in sources.items():
        tree = ast.parse(source)
        random = _random_names(tree)
        seeded = {
            id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args
        }
        for node in ast.walk(tree):
            bad: list[str] = []
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in random:
                fine = node.attr in EXPLICIT_RANDOM
                fine = fine or (node.attr == "default_rng" and id(node) in seeded)
                bad = [] if fine else [ast.unparse(node)]
            elif isinstance(node, ast.Import):
                bad = [a.name for a in node.names if a.name == "random"]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                if node.module == "random":
                    bad = ["random"]
                elif node.module == "numpy.random":
                    bad = [a.name for a in node.names if a.name not in EXPLICIT_RANDOM]
            wrong += [f"{path}:{node.lineno}: {name}" for name in bad]
    return wrong


def prints(sources: Sources) -> list[str]:
    """Calls of ``print`` outside the command line."""
    return [
        f"{path}:{node.lineno}: print"
        for path, source in sources.items()
        if not path.startswith("brain_lnp/cli")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def too_long(sources: Sources) -> list[str]:
    """Files above the longest length."""
    lengths = {path: len(source.splitlines()) for path, source in sources.items()}
    return [f"{path}: {length} lines" for path, length in lengths.items() if length > LONGEST]


def undocumented(sources: Sources) -> list[str]:
    """Modules, and public functions, classes and methods of a module, without a docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    missing = []

    def visit(path: str, body: list[ast.stmt], prefix: str, inside: bool) -> None:
        for node in body:
            if not isinstance(node, kinds) or node.name.startswith("_"):
                continue
            decorators = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
            # A setter shares its getter's docstring; an override may inherit its own.
            inherits = inside and decorators & {"setter", "override"}
            if ast.get_docstring(node) is None and not inherits and "overload" not in decorators:
                missing.append(f"{path}:{node.lineno}: {prefix}{node.name}")
            if isinstance(node, ast.ClassDef):
                visit(path, node.body, f"{prefix}{node.name}.", True)

    for path, source in sources.items():
        module = ast.parse(source)
        if module.body and ast.get_docstring(module) is None:
            missing.append(f"{path}:1: the module")
        name = PurePosixPath(path).name
        if name == "__init__.py" or not name.startswith("_"):  # the rest is private as a whole
            visit(path, module.body, "", False)
    return missing


RULES: tuple[tuple[Callable[[Sources], list[str]], tuple[str, ...]], ...] = (
    (wrong_arrows, (*PACKAGES, "scripts", "tests")),
    (global_draws, PACKAGES),
    (prints, PACKAGES),
    (too_long, PACKAGES),
    (undocumented, PACKAGES),
)


@pytest.mark.parametrize(("rule", "folders"), RULES, ids=lambda v: getattr(v, "__name__", None))
def test_the_tree_keeps_the_rule(
    rule: Callable[[Sources], list[str]], folders: tuple[str, ...]
) -> None:
    sources = tree_of(*folders)
    assert {path.partition("/")[0] for path in sources} == set(folders), "a folder was not read"
    broken = rule(sources)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models_eq/a.py", "import analysis"),
        ("models_eq/a.py", "import numpy, analysis.spikes as s"),
        ("models_eq/a.py", "from analysis.spikes import rates"),
        ("models_eq/a.py", "from brain_lnp import LNP"),
        ("models_eq/a.py", "def f():\n    from analysis import spikes"),
        ("models_eq/a.py", "class A:\n    def f(self):\n        import analysis"),
        ("models_eq/a.py", "try:\n    import analysis\nexcept ImportError:\n    pass"),
        ("models_eq/a.py", "if TYPE_CHECKING:\n    from analysis import spikes"),
        ("models_eq/a.py", "from .. import analysis"),
        ("models_eq/sub/a.py", "from ...analysis.spikes import rates"),
        ("models_eq/a.py", "import importlib\nimportlib.import_module('analysis.spikes')"),
        ("models_eq/a.py", "__import__('analysis')"),
        ("analysis/pruning/a.py", "import brain_lnp"),
        ("analysis/pruning/a.py", "from ... import brain_lnp"),
        ("brain_lnp/a.py", "import scripts.start"),
        ("brain_lnp/a.py", "from tests import conftest"),
    ],
)
def test_an_arrow_the_other_way_is_caught(path: str, source: str) -> None:
    arrows = [found for found in wrong_arrows({path: source}) if "relative" not in found]
    assert len(arrows) == 1, arrows


def test_a_relative_import_is_caught_wherever_it_leads() -> None:
    found = wrong_arrows({"analysis/pruning/a.py": "from .result import PruneResult"})
    assert found == ["analysis/pruning/a.py:1: relative import"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("analysis/a.py", "from models_eq.hrsnn import HRSNN\nimport analysis.spikes"),
        ("brain_lnp/a.py", "import analysis, models_eq\nfrom brain_lnp.tasks import lorenz63"),
        ("tests/test_a.py", "import brain_lnp\nfrom scripts import start"),
        ("models_eq/a.py", "import numpy as np  # analysis\nx = 'import analysis'"),
        ("models_eq/a.py", "import analysis_of_variance"),
    ],
)
def test_an_arrow_the_right_way_passes(path: str, source: str) -> None:
    assert wrong_arrows({path: source}) == []


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.random.rand(3)",
        "import numpy\nnumpy.random.seed(0)",
        "import numpy as xp\ndef f():\n    return xp.random.normal()",
        "import numpy.random as npr\nnpr.choice(3)",
        "from numpy import random\nrandom.shuffle([1])",
        "from numpy.random import rand",
        "import numpy as np\nrng = np.random.default_rng()",
        "import numpy as np\nrng = np.random.RandomState(0)",
        "import random",
        "def f():\n    from random import choice",
    ],
)
def test_a_draw_from_global_state_is_caught(source: str) -> None:
    assert len(global_draws({"analysis/a.py": source})) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\ndef f(rng: np.random.Generator): return rng.random()",
        "import numpy as np\nnp.random.Generator(np.random.PCG64(np.random.SeedSequence(1)))",
        "import numpy as np\nnp.random.default_rng(1)",
        "from numpy.random import Generator",
        "from models_eq.rng import stream\nstream(1, 'input').normal()",
    ],
)
def test_a_generator_passes(source: str) -> None:
    assert global_draws({"analysis/a.py": source}) == []


def test_a_print_is_caught_outside_the_command_line_only() -> None:
    source = '"""A doctest.\n\n>>> print(1)\n"""\ndef f():\n    print(1)'
    assert prints({"analysis/a.py": source}) == ["analysis/a.py:6: print"]
    assert prints({"brain_lnp/cli.py": source, "brain_lnp/cli_prune.py": source}) == []


def test_a_long_file_is_caught() -> None:
    sources = {"analysis/a.py": "x = 1\n" * LONGEST, "analysis/b.py": "x = 1\n" * (LONGEST + 1)}
    assert too_long(sources) == [f"analysis/b.py: {LONGEST + 1} lines"]


def test_a_missing_docstring_is_caught() -> None:
    source = (
        '"""M."""\ndef f(): ...\nclass A:\n    "A."\n    def g(self): ...\n    def _h(self): ...'
    )
    assert undocumented({"analysis/a.py": source}) == ["analysis/a.py:2: f", "analysis/a.py:5: A.g"]
    assert undocumented({"analysis/a.py": "x = 1"}) == ["analysis/a.py:1: the module"]
    assert undocumented({"analysis/__init__.py": "", "analysis/_private.py": source}) == []


def test_the_distribution_holds_the_three_packages_and_all_their_folders() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    found = find_packages(str(ROOT), include=config["options.packages.find"]["include"].split())
    assert {name.partition(".")[0] for name in found} == set(PACKAGES)
    folders = {str(PurePosixPath(path).parent).replace("/", ".") for path in tree_of(*PACKAGES)}
    assert folders - set(found) == set(), "a folder without __init__.py is left out of the wheel"
    assert all((ROOT / name / "py.typed").is_file() for name in PACKAGES)


def test_the_first_run_needs_the_standard_library_only_and_names_no_registry() -> None:
    source = (ROOT / "scripts" / "start.py").read_text(encoding="utf-8")
    modules = {name.partition(".")[0] for _, name in imported("scripts/start.py", source)}
    assert modules <= set(sys.stdlib_module_names)
    for word in ("index-url", "find-links", "pypi", "http:", "https:", "trusted-host"):
        assert word not in source

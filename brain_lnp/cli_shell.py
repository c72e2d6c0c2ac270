"""How the command line talks to its user: results on stdout, progress and log on stderr."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

Progress = Callable[[str, int, int], None]
OURS = ("models_eq", "analysis", "brain_lnp")
_RUSH = 0.2  # seconds: a unit that takes less was there before
_EVERY = 15.0  # seconds between lines of progress where stderr is no terminal


@dataclass
class Shell:
    """How one call of the program talks to its user.

    Attributes
    ----------
    quiet, verbose : bool
        What was asked for, before or after the verb.
    terminated : bool
        Whether it is SIGTERM that ended the work, not Ctrl-C.
    resume : str
        What to tell after either.
    err : rich.console.Console
        Standard error: log and progress go through one console, or they would garble each other.
    """

    quiet: bool = False
    verbose: bool = False
    terminated: bool = False
    resume: str = ""
    err: Console = field(default_factory=lambda: Console(stderr=True))

    def reset(self) -> None:
        """Start anew; several calls may share one process."""
        self.quiet = self.verbose = self.terminated = False
        self.resume = ""
        self.err = Console(stderr=True)

    def be(self, *, quiet: bool = False, verbose: bool = False) -> None:
        """Take over -q and -v; what was once asked for stays."""
        self.quiet |= quiet
        self.verbose |= verbose
        logger = logging.getLogger("brain_lnp")
        logger.setLevel(
            logging.INFO if self.verbose else logging.ERROR if self.quiet else logging.WARNING
        )

    def line(self, text: str) -> None:
        """One line on stderr, line breaks and control characters in it made visible."""
        text = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        self.err.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line on stderr for people, left out with --quiet."""
        if not self.quiet:
            self.line(text)

    # -- results ---------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Write a result to stdout.

        A reader that has gone (``| head``) ends the output, not the work.
        """
        try:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def show(self, content: RenderableType) -> None:
        """Render a table to stdout; wide enough for files and pipes.

        What is not ours to word goes into a ``rich.text.Text``: plain text is read as markup.
        """
        console = Console()
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console = Console(width=200)
        with console.capture() as captured:
            console.print(content, highlight=False, emoji=False)
        self.write("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def results(self, data: Mapping[str, Any], *, as_json: bool) -> None:
        """One value a line, or one JSON object."""
        if as_json:
            self.write(json.dumps(jsonable(data), indent=1, allow_nan=False))
            return
        table = Table.grid(padding=(0, 2))
        for name, value in data.items():
            table.add_row(Text(name.replace("_", " ")), Text(_readable(value)))
        self.show(table)

    # -- progress --------------------------------------------------------------------------------

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Yield ``progress(text, done, total)``: a bar on a terminal, a line at times elsewhere."""
        if self.quiet:
            yield lambda text, done, total: None
        elif self.err.is_terminal:
            with self._bar(title) as report:
                yield report
        else:
            yield self._lines(title)

    @contextmanager
    def _bar(self, title: str) -> Iterator[Progress]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            # One unit may take minutes, and units differ: a short memory would jump about.
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        with Bar(
            *columns, console=self.err, transient=True, refresh_per_second=4,
            speed_estimate_period=3600,
        ) as bar:  # fmt: skip
            task, pace = bar.add_task(title, total=None), _Pace()

            def report(text: str, done: int, total: int) -> None:
                change = bar.reset if pace.is_resuming(done) else bar.update
                change(task, description=f"{title}: {text}", completed=done, total=total)

            yield report

    def _lines(self, title: str) -> Progress:
        pace, last = _Pace(), time.monotonic()

        def report(text: str, done: int, total: int) -> None:
            nonlocal last
            pace.is_resuming(done)
            if pace.now - last < _EVERY:
                return
            last, new = pace.now, done - pace.done_before
            seconds = (pace.now - pace.begun) / new * (total - done) if new else None
            left = "" if seconds is None else f", {duration(seconds)} left"
            self.line(f"{title}: {text} ({done} of {total}{left})")

        return report

    @contextmanager
    def simulating(self, title: str) -> Iterator[None]:
        """Show how far the simulations of a block are, in ms of biological time."""
        from models_eq.progress import told

        with self.progress(title) as report:
            with told(lambda done, total: report("ms", round(1e3 * done), round(1e3 * total))):
                yield

    def working(self, text: str) -> Any:
        """Context manager: a spinner while something of unknown length runs."""
        if self.quiet or not self.err.is_terminal:
            return nullcontext()
        return self.err.status(text)

    # -- log -------------------------------------------------------------------------------------

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Show our log and our warnings on stderr while a verb runs; restore everything."""
        logger = logging.getLogger("brain_lnp")
        handler, level, shown = _Handler(self), logger.level, warnings.showwarning
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))

        def showwarning(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
            # Those of libraries tell the user nothing that could be acted on.
            if category.__module__.partition(".")[0] in OURS:
                logger.warning("%s", message)
            else:
                logger.info("%s:%d: %s: %s", filename, lineno, category.__name__, message)

        logger.addHandler(handler)
        self.be()
        try:
            with warnings.catch_warnings():
                warnings.showwarning = showwarning  # type: ignore[assignment]
                yield
        finally:
            warnings.showwarning = shown
            logger.removeHandler(handler)
            logger.setLevel(level)


class _Pace:
    """Tells units that an earlier run had done, which come in a rush, from those done now."""

    def __init__(self) -> None:
        self.begun = self.now = time.monotonic()
        self.done_before = 0
        self._rush = True

    def is_resuming(self, done: int) -> bool:
        """Note a report; True as long as units come faster than they could be computed."""
        before, self.now = self.now, time.monotonic()
        self._rush = self._rush and self.now - before < _RUSH
        if self._rush:
            self.begun, self.done_before = self.now, done
        return self._rush


class _Handler(logging.Handler):
    def __init__(self, owner: Shell) -> None:
        super().__init__()
        self.owner = owner

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        name, _, rest = text.partition(":")
        self.owner.line(f"{name.lower()}:{rest}")


shell = Shell()


def duration(seconds: float) -> str:
    """A time in words: ``"42 s"``, ``"3 min 5 s"``, ``"2 h 10 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def jsonable(value: Any) -> Any:
    """NumPy values and paths as plain ones; what is not finite as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _readable(value: Any) -> str:
    value = jsonable(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_readable(item)}" for key, item in value.items())
    return str(value)

"""Tells the demo: an account for people as it happens, or one JSON document of facts at the end."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from foldstore.cli.output import print_json, show

_WIDTH = 110


class Narrator:
    """Collects facts by step, and tells them.

    Parameters
    ----------
    quiet : bool
        Tell nothing; `finish` prints the facts as JSON.
    """

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        width = None if sys.stdout.isatty() else _WIDTH
        self._console = Console(quiet=quiet, highlight=False, width=width)
        self._quiet = quiet
        self._steps: list[dict[str, Any]] = []

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[dict[str, Any]]:
        """Open a step; the block adds what it found to the dict."""
        facts: dict[str, Any] = {"step": name}
        self._steps.append(facts)
        self._console.print(f"\n[bold cyan]{len(self._steps)}. {title}[/]\n")
        _forget_peak()
        started = time.perf_counter()
        yield facts
        facts["seconds"] = round(time.perf_counter() - started, 3)
        facts["peak_memory_mb"] = _peak_memory_mb()
        self._console.print(f"[dim]({facts['seconds']:.1f} s, at most {facts['peak_memory_mb']:,} MB of memory)[/]")

    def say(self, text: str) -> None:
        """Tell something."""
        self._console.print(text, markup=False)

    def code(self, text: str, prompt: str = ">>>") -> None:
        """Show what was typed."""
        from rich.text import Text

        for number, line in enumerate(text.splitlines()):
            # SQL in a string goes on over lines that are not indented.
            goes_on = number > 0 and (line.startswith((" ", "FROM ", "GROUP ", "ORDER ")) or prompt != ">>>")
            lead = ("..." if prompt == ">>>" else "") if goes_on else prompt
            self._console.print(Text(f"    {lead} {line}".rstrip(), style="green"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show rows."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for position, name in enumerate(columns):
            right = any(isinstance(row[position], int | float) for row in rows)
            table.add_column(Text(show(name)), justify="right" if right else "left")
        for row in rows:
            table.add_row(*(Text(show(value)) for value in row))
        self._console.print(table)

    def block(self, text: str) -> None:
        """Show text as it is, indented."""
        for line in text.rstrip().splitlines():
            self._console.print(f"    {line}", markup=False, soft_wrap=True)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """End the account; when quiet, print it as JSON."""
        if self._quiet:
            print_json({**facts, "steps": self._steps})


def _forget_peak() -> None:
    with suppress(OSError):  # Linux: 5 resets the peak of the resident set
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_memory_mb() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // (1 << 20) if sys.platform == "darwin" else peak // 1024

"""How the command runs a query: in a thread, so that Ctrl-C reaches it; then it prints the rows."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import typer

from foldstore.cli.output import Format, print_rows, printable, progress, say
from foldstore.cli.sql_statements import without_quoted
from foldstore.errors import UsageError
from foldstore.types import Progress

if TYPE_CHECKING:
    from foldstore.store import Store
    from foldstore.views.sql import SqlResult

_LOOK_SECONDS = 0.1
_PATIENCE = 1.0
_EXPLAIN = re.compile(r"\s*EXPLAIN\b", re.IGNORECASE)
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """How rows are printed: in which form, and how many of a table.

    Attributes
    ----------
    limits : mapping of str to object
        What `Store.sql` takes beside the query: ``memory_limit``, ``threads``, ``timeout``.
    """

    form: Format = Format.TABLE
    limit: int = 100
    limits: Mapping[str, Any] = field(default_factory=dict)


def print_query(
    store: "Store", text: str, params: Sequence[str] | Mapping[str, str] | None, printing: Printing
) -> None:
    """Run a query and print its rows; Ctrl-C stops it.

    Raises
    ------
    KeyboardInterrupt
        When it was stopped.
    """

    def work(stopped: threading.Event) -> None:
        with shown_progress() as told:
            result = store.sql(text, params, progress=told, **printing.limits)
            rows = _rows(result, stopped)
            first = list(islice(rows, 1))
        if printing.form is Format.TABLE and _EXPLAIN.match(text):
            typer.echo(printable("\n".join(str(row[-1]) for row in chain(first, rows))))
            return
        rows = chain(first, rows)
        if printing.form is not Format.TABLE or printing.limit == 0:
            print_rows(result.arrow_schema.names, rows, printing.form)
            return
        print_rows(result.arrow_schema.names, islice(rows, printing.limit), printing.form)
        if next(rows, None) is not None:
            say(f"The first {printing.limit} rows; --limit 0 prints all, --output csv streams them.")

    run_interruptibly(store, work)


@contextmanager
def shown_progress() -> Iterator[Callable[[float], None] | None]:
    """Show a bar on stderr until the first row is there, once a query has taken a second and somebody is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    started = time.monotonic()
    with ExitStack() as stack:
        bars: list[Progress | None] = []

        def told(share: float) -> None:
            if time.monotonic() - started < _PATIENCE:
                return
            if not bars:
                bars.append(stack.enter_context(progress("query", unit="%")))
            if bars[0] is not None:
                bars[0](int(share * 100), 100)

        yield told


def run_interruptibly(store: "Store", work: Callable[[threading.Event], None]) -> None:
    """Do work on a store in a thread; Ctrl-C stops its queries, sets the event, and is raised here.

    DuckDB computes outside of Python, where a signal would wait until the query is done.
    """
    stopped, ended = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(stopped)
        except BaseException as error:  # noqa: BLE001  # raised again where somebody waits
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=copy_context().run, args=(run,), name="foldstore-sql", daemon=True)
    thread.start()
    # Not thread.join: a signal there makes CPython 3.11 believe that the thread has ended.
    while not ended.is_set():
        try:
            ended.wait(_LOOK_SECONDS)
        except KeyboardInterrupt:
            stopped.set()
        if stopped.is_set():
            store.interrupt()  # again and again: the query may have begun since
    if stopped.is_set():
        raise KeyboardInterrupt
    if failed:
        raise failed[0]


def read_params(query: str, given: Sequence[str]) -> list[str] | dict[str, str] | None:
    """Return the values for a query: by name where ``name=value`` names one of its ``$name``, else in turn for ``?``.

    Raises
    ------
    UsageError
        When some are named and some are not.

    Examples
    --------
    >>> read_params("SELECT $city", ["city=Oslo"]), read_params("SELECT ?", ["city=Oslo"])
    ({'city': 'Oslo'}, ['city=Oslo'])
    """
    if not given:
        return None
    asked = set(re.findall(r"\$([A-Za-z_]\w*)", without_quoted(query)))
    if not asked:
        return list(given)
    named = {found[1]: found[2] for found in map(_NAMED.fullmatch, given) if found}
    if len(named) < len(given):
        wrong = next(each for each in given if not _NAMED.fullmatch(each) or list(given).count(each) > 1)
        raise UsageError(
            f"{wrong[:60]!r} does not say for which of {', '.join(f'${name}' for name in sorted(asked))} it is.",
            hint=f"Write --param {min(asked)}=value, each name once.",
        )
    return named


def _rows(result: "SqlResult", stopped: threading.Event) -> Iterator[tuple[Any, ...]]:
    from foldstore.views.values import display_values

    for batch in result.to_batches():
        for row in zip(*(display_values(column) for column in batch.columns), strict=True):
            if stopped.is_set():
                return
            yield row

"""The interactive shell of ``foldstore sql``: statements of several lines, history, completion, a few commands.

It needs nothing but the standard library, and works without readline, too.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from foldstore.cli.output import Format, print_rows, say
from foldstore.cli.sql_completion import DELIMITERS, complete
from foldstore.cli.sql_names import StoreNames
from foldstore.cli.sql_running import Printing, print_query
from foldstore.cli.sql_statements import cut_statements, is_blank, join_lines
from foldstore.errors import FoldstoreError, UsageError, did_you_mean

if TYPE_CHECKING:
    from foldstore.store import Store

PROMPT: Final = "foldstore> "
CONTINUED: Final = "      ...> "
_MOST_HISTORY: Final = 2_000
_ON_OFF: Final = ("on", "off")
# What may stand behind each command, for the completion; behind \d stand the tables.
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "\\d": (),
    "\\h": (),
    "\\l": (),
    "\\o": tuple(Format),
    "\\q": (),
    "\\timing": _ON_OFF,
}
_HELP: Final = r"""A statement ends with ; and may take several lines. Tab completes names.
Addresses with @ or # are quoted: SELECT * FROM "flights@3";

  \d          list datasets, views and catalog tables
  \d NAME     list the columns of one of them
  \l [ROWS]   print at most so many rows of a table (0: all)
  \o [FORM]   print as table, json, jsonl or csv
  \timing     say how long each statement takes, or no longer
  \h          print this
  \q          leave; so does Ctrl-D. Ctrl-C stops a query."""
_TABLES: Final = """
SELECT dataset AS name, 'dataset' AS kind, rows, coalesce(description, latest) AS says FROM foldstore.datasets
UNION ALL
SELECT view, 'view', NULL, string_agg(address, ', ' ORDER BY version NULLS LAST) FROM foldstore.views
WHERE NOT is_archived GROUP BY view
UNION ALL
SELECT DISTINCT table_name, 'catalog', NULL, NULL FROM foldstore.tables
ORDER BY kind = 'catalog', name
"""


class Shell:
    """One session at a terminal.

    Parameters
    ----------
    store : Store
        The open store.
    printing : Printing
        How rows are printed until somebody says otherwise.
    read_line : callable
        Asks for a line, showing a prompt; raises EOFError at the end.
    """

    def __init__(self, store: "Store", printing: Printing, read_line: Callable[[str], str] = input) -> None:
        self._store = store
        self._printing = printing
        self._read_line = read_line
        self._names = StoreNames(store)
        self._text = ""
        self._timing = False
        self._readline: ModuleType | None = None

    def run(self) -> None:
        """Read and do until somebody leaves."""
        say(f"{self._store.root}: \\h for help, \\q to leave.")
        self._readline = _open_readline(self._complete)
        try:
            while self._step():
                pass
        finally:
            if self._readline is not None:
                self._readline.set_completer(None)
                _keep_history(self._readline)

    def _step(self) -> bool:
        """Do what one more line asks for; False to leave."""
        try:
            line = self._read_line(CONTINUED if self._text else PROMPT)
        except EOFError:
            print()  # noqa: T201  # the prompt's line ends
            return False
        except KeyboardInterrupt:
            print()  # noqa: T201
            self._text = ""
            return True
        if not self._text and line.strip().startswith("\\"):
            self._remember(line.strip())
            return self._guarded(lambda: self._command(line.strip()))
        if not self._text and line.strip().lower().rstrip(";") in ("exit", "quit"):
            return False
        statements, rest = cut_statements(f"{self._text}{line}\n")
        self._text = "" if is_blank(rest) else rest.lstrip()
        for statement in statements:
            self._remember(f"{statement};")
            if not self._guarded(lambda statement=statement: self._ask(statement)):  # type: ignore[misc]
                return False
        return True

    def _guarded(self, act: Callable[[], bool]) -> bool:
        """Do something; an error is shown, and the shell goes on."""
        try:
            return act()
        except FoldstoreError as error:
            say(f"error[{error.code}]: {error.message}" + (f"\n  hint: {error.hint}" if error.hint else ""))
        except KeyboardInterrupt:
            say("Stopped.")
        except Exception as error:  # noqa: BLE001  # a fault of ours ends no session
            say(f"error[bug]: {type(error).__name__}: {error}")
        return True

    def _ask(self, statement: str) -> bool:
        started = time.perf_counter()
        try:
            print_query(self._store, statement, None, self._printing)
        finally:
            self._names.forget()
        if self._timing:
            say(f"{time.perf_counter() - started:.3f} s")
        return True

    def _command(self, line: str) -> bool:
        name, _, rest = line.rstrip(";").partition(" ")
        rest = rest.strip()
        if name == "\\q":
            return False
        acts = {"\\h": self._help, "\\?": self._help, "\\d": self._describe, "\\l": self._limit, "\\o": self._form}
        act = {**acts, "\\timing": self._time}.get(name)
        if act is None:
            raise UsageError(f"There is no command {name}.", hint=f"{did_you_mean(name, COMMANDS)} \\h explains them.")
        act(rest)
        return True

    def _help(self, _rest: str) -> None:
        print(_HELP)  # noqa: T201  # what was asked for goes to stdout

    def _describe(self, rest: str) -> None:
        if not rest:
            self._ask(_TABLES)
            return
        table = rest.strip('"')
        if table.lower() in self._names.catalog_tables:
            print_query(
                self._store,
                "SELECT column_name AS column, type, description FROM foldstore.tables WHERE table_name = ?",
                [table.lower()],
                replace(self._printing, limit=0),
            )
            return
        print_rows(["column", "type"], self._names.describe(table), self._printing.form)

    def _limit(self, rest: str) -> None:
        if rest and not rest.isdecimal():
            raise UsageError(f"{rest!r} is no number of rows.", hint="Write \\l 20, or \\l 0 for all.")
        self._printing = replace(self._printing, limit=int(rest) if rest else self._printing.limit)
        say(f"Printing {self._printing.limit or 'all'} rows of a table.")

    def _form(self, rest: str) -> None:
        if rest and rest not in tuple(Format):
            raise UsageError(f"There is no form {rest!r}.", hint=did_you_mean(rest, tuple(Format)))
        self._printing = replace(self._printing, form=Format(rest) if rest else self._printing.form)
        say(f"Printing {self._printing.form}.")

    def _time(self, rest: str) -> None:
        if rest not in ("", *_ON_OFF):
            raise UsageError(f"\\timing is on or off, not {rest!r}.")
        self._timing = rest == "on" if rest else not self._timing
        say(f"Timing is {'on' if self._timing else 'off'}.")

    def _remember(self, statement: str) -> None:
        if self._readline is not None:
            for line in join_lines(statement).splitlines():
                self._readline.add_history(line)

    def _complete(self, word: str, state: int) -> str | None:
        """Answer readline, which asks for one candidate after another."""
        if state == 0:
            self._found: list[str] = []
            with suppress(Exception):  # a completion that fails is none
                self._found = self._candidates(word)
        return self._found[state] if state < len(self._found) else None

    def _candidates(self, word: str) -> list[str]:
        assert self._readline is not None  # noqa: S101  # it asked
        line, begin, end = self._readline.get_line_buffer(), self._readline.get_begidx(), self._readline.get_endidx()
        return complete(self._text + line[:begin], word, self._names.to_names(COMMANDS), line[end:])


def history_file() -> Path:
    """Return where the history is kept: in the user's own state folder, never in a store."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification of these folders says that a relative one is to be ignored.
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"  # noqa: PTH117
    return folder / "foldstore" / "sql_history"


def _open_readline(completer: Callable[[str, int], str | None]) -> ModuleType | None:
    try:
        import readline
    except ImportError:  # some systems come without
        return None
    with suppress(OSError):
        readline.read_history_file(history_file())
    readline.set_history_length(_MOST_HISTORY)
    readline.set_auto_history(False)
    readline.set_completer_delims(DELIMITERS)
    readline.set_completer(completer)
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    if not is_libedit:
        readline.parse_and_bind("set completion-ignore-case on")
        # After FROM "fl the candidates have their quotes already.
        readline.parse_and_bind("set bell-style none")
    return readline


def _keep_history(readline: ModuleType) -> None:
    path = history_file()
    with suppress(OSError):  # nobody leaves with an error because of it
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        readline.write_history_file(path)


def is_terminal() -> bool:
    """Say whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()

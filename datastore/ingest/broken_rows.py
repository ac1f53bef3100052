"""Rows that cannot be read, set aside: counted, some shown, all written to a file when one is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foldstore.errors import AlreadyExistsError, IngestError, UsageError

_EXAMPLES: Final = 20
_SHOWN: Final = 500
# So many mean that the types or the delimiter are wrong, not the rows.
MAX_BROKEN: Final = 100_000
POLICIES: Final = ("error", "quarantine")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRow:
    """A row, where it stands, and what is wrong with it."""

    file: str
    line: int
    column: str | None
    reason: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"file": self.file, "line": self.line, "column": self.column, "reason": self.reason, "text": self.text}


@dataclass(slots=True)
class BrokenRows:
    """What to do with rows that cannot be read, and those that were.

    Attributes
    ----------
    set_aside : bool
        Whether they are set aside; an error otherwise.
    path : pathlib.Path or None
        Where all of them are written, a JSON object a line.
    found : mapping
        Their count and the first of them; it fills while rows are read, and a version keeps it.
    """

    set_aside: bool = False
    path: Path | None = None
    found: dict[str, Any] = field(default_factory=lambda: {"count": 0, "examples": []})
    _begun: bool = False

    @property
    def count(self) -> int:
        """How many there are so far."""
        return int(self.found["count"])

    def take(self, row: BrokenRow) -> None:
        """Set a row aside, or raise the error that names it.

        Raises
        ------
        IngestError
            When rows are not set aside, or there are too many.
        """
        if not self.set_aside:
            raise broken_row(row)
        self.found["count"] += 1
        if self.count > MAX_BROKEN:
            raise IngestError(
                f"{row.file!r}: more than {MAX_BROKEN:,} rows are broken, up to line {row.line}.",
                hint="Nothing was committed. The delimiter or a type is more likely wrong than the rows.",
                code="too-many-broken-rows",
                line=row.line,
            )
        if len(self.found["examples"]) < _EXAMPLES:
            self.found["examples"].append({**row.to_dict(), "text": row.text[:_SHOWN]})
        if self.path is not None:
            self._write(row, self.path)

    def _write(self, row: BrokenRow, path: Path) -> None:
        try:
            with path.open("a" if self._begun else "x", encoding="utf-8") as file:
                file.write(json.dumps(row.to_dict()) + "\n")
        except FileExistsError as error:
            raise _taken(path) from error
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be written: {error.strerror}.", hint="Name another.") from error
        self._begun = True


def read_policy(policy: object, path: object) -> BrokenRows:
    """Check the options ``on_broken_row=`` and ``quarantine_to=``.

    Raises
    ------
    UsageError
        When there is no such policy, or a file is named and nothing is set aside.
    """
    if isinstance(policy, BrokenRows):
        return policy
    if policy not in POLICIES:
        raise UsageError(f"on_broken_row={policy!r} is not a choice.", hint="Write 'error' or 'quarantine'.")
    if path is None:
        return BrokenRows(set_aside=policy == "quarantine")
    if policy == "error" or not isinstance(path, str | Path):
        raise UsageError("quarantine_to= is the path of a file, beside on_broken_row='quarantine'.")
    if Path(path).exists():
        raise _taken(Path(path))
    return BrokenRows(set_aside=True, path=Path(path))


def _taken(path: Path) -> AlreadyExistsError:
    return AlreadyExistsError(f"There is already a file {str(path)!r}.", hint="Name a new one for broken rows.")


def described(broken: BrokenRows) -> Mapping[str, Any]:
    """Return what a version keeps of it; the mapping fills while rows are read, before the commit is written."""
    return {"broken_rows": broken.found} if broken.set_aside else {}


def broken_row(row: BrokenRow) -> IngestError:
    """Build the error that names a row by file, line and column."""
    where = f", line {row.line}" + (f", column {row.column!r}" if row.column is not None else "")
    return IngestError(
        f"{row.file!r}{where}: {row.reason.rstrip('.')}.",
        hint="Nothing was committed. Mend the row, or declare the column's type with types={...}, "
        "or set such rows aside with on_broken_row='quarantine'.",
        code="broken-row",
        path=row.file,
        line=row.line,
        column=row.column,
    )

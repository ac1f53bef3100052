"""The errors that Foldstore raises, one family.

::

    FoldstoreError                 code, message, hint, facts; exit_code for the command
    ├── UsageError                 the request was wrong (exit 2); also a ValueError
    │   ├── InvalidNameError       a name or address outside the grammar
    │   ├── InvalidExpressionError an SQL expression that does not parse or is not allowed
    │   ├── InvalidQueryError      an SQL query that does not run
    │   ├── AlreadyExistsError     the name is taken
    │   ├── SchemaMismatchError    columns or types do not fit the dataset
    │   ├── DuplicateKeyError      key values that occur twice
    │   ├── InvalidDefinitionError a file of features that says what cannot be
    │   └── InvalidSchemaError     a DataSchema that contradicts itself
    ├── NotFoundError              a thing that is named does not exist (exit 2); also a LookupError
    │   └── ColumnNotFoundError
    ├── UnreadableError            data that cannot be read: file, row, object (exit 3)
    │   ├── IngestError            an input file or stream
    │   └── CorruptObjectError     bytes of ours that do not match their checksum
    ├── ExportError                a file that cannot be written (exit 3)
    ├── StoreError                 the store cannot be opened or reached (exit 3)
    │   └── StoreFormatError       written by a newer Foldstore
    ├── CancelledError             the work was called off by whoever may, and changed nothing (exit 3)
    ├── ConflictError              another writer won (exit 3); `retry` says whether trying again helps
    ├── RefusedError               policy says no: role, seal, budget (exit 4); also a PermissionError
    └── ValidationFailedError      raised only by `report.raise_for_failures()` (exit 1)

Data that fails a check is a result (`report.passed`), not one of these. `code` is stable and in
kebab-case; `facts` holds what the message says, as plain data.

`SplitWarning` is a warning: a split was made, and something about it is worth a look.
"""

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar


class FoldstoreError(Exception):
    """The base of every error of Foldstore's own.

    Parameters
    ----------
    message : str
        What was wrong, and where.
    hint : str, optional
        What exists, or what to do.
    code : str, optional
        A stable name in kebab-case; the class's own code unless given.
    **facts
        What the message says, as plain data.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts: Mapping[str, Any] = facts
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may be more precise than its class

    def __str__(self) -> str:
        return f"{self.message}\n  Hint: {self.hint}" if self.hint else self.message

    def to_dict(self) -> dict[str, Any]:
        """Return code, message, hint and facts as plain data."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "facts": dict(self.facts)}


class UsageError(FoldstoreError, ValueError):
    """The request itself was wrong; nothing was done."""

    code = "usage"
    exit_code = 2


class InvalidNameError(UsageError):
    """A name or an address that the grammar does not allow."""

    code = "invalid-name"


class InvalidExpressionError(UsageError):
    """An SQL expression that does not parse, or uses what expressions may not."""

    code = "invalid-expression"


class InvalidQueryError(UsageError):
    """An SQL query that does not parse, is not a query, or cannot run."""

    code = "invalid-query"


class AlreadyExistsError(UsageError):
    """The name is taken."""

    code = "already-exists"


class SchemaMismatchError(UsageError):
    """Columns or types that do not fit the dataset."""

    code = "schema-mismatch"


class DuplicateKeyError(UsageError):
    """Key values that occur more than once."""

    code = "duplicate-key"


class InvalidDefinitionError(UsageError):
    """A definition of features, or its text form, that cannot be read or contradicts itself."""

    code = "invalid-definition"


class InvalidSchemaError(UsageError):
    """A DataSchema, or its text form, that contradicts itself."""

    code = "invalid-schema"


class NotFoundError(FoldstoreError, LookupError):
    """A thing that was named does not exist."""

    code = "not-found"
    exit_code = 2


class ColumnNotFoundError(NotFoundError):
    """A column that is not there."""

    code = "column-not-found"


class UnreadableError(FoldstoreError):
    """Data that cannot be read."""

    code = "unreadable"
    exit_code = 3


class IngestError(UnreadableError):
    """An input file or stream that cannot be read."""

    code = "ingest-failed"


class CorruptObjectError(UnreadableError):
    """A file of the store whose bytes are not the ones that were written."""

    code = "corrupt-object"


class ExportError(FoldstoreError):
    """A file that cannot be written."""

    code = "export-failed"
    exit_code = 3


class StoreError(FoldstoreError):
    """The store cannot be opened or reached."""

    code = "store-unavailable"
    exit_code = 3


class StoreFormatError(StoreError):
    """The store was written by a newer Foldstore."""

    code = "store-too-new"


class CancelledError(FoldstoreError):
    """The work was called off before its end, and changed nothing."""

    code = "cancelled"
    exit_code = 3


class ConflictError(FoldstoreError):
    """Another writer changed what this one built on.

    `retry` says whether doing the same again can succeed.
    """

    code = "commit-conflict"
    exit_code = 3

    def __init__(self, message: str, *, retry: bool, hint: str | None = None, **facts: Any) -> None:
        super().__init__(message, hint=hint, retry=retry, **facts)
        self.retry = retry


class RefusedError(FoldstoreError, PermissionError):
    """Policy says no."""

    code = "refused"
    exit_code = 4


class ValidationFailedError(FoldstoreError):
    """A report did not pass; raised only on request."""

    code = "validation-failed"
    exit_code = 1


class ExchangeWarning(UserWarning):
    """A schema was read from, or written for, another system, and something it says has no counterpart."""


class EmptyReferenceWarning(UserWarning):
    """A schema was inferred from no rows: it says types, and nothing of values."""


class SplitWarning(UserWarning):
    """A split or folds were made, and do not give what their arguments hope for: the message says what, and why."""


def frames_to_the_caller() -> int:
    """Return how many frames up whoever called into Foldstore is: the ``stacklevel`` of a warning."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "foldstore":
        frame, depth = frame.f_back, depth + 1
    return depth


def refuse_writing() -> RefusedError:
    """Build the error for a change of a store that was opened to be read."""
    return RefusedError(
        "The store was opened to be read only.", hint="Open it without read_only to change it.", code="read-only"
    )


def did_you_mean(wrong: object, available: Iterable[str], *, limit: int = 12) -> str:
    """Say what exists, and which of it was probably meant.

    Examples
    --------
    >>> did_you_mean("arr_dely", ["dep_delay", "arr_delay"])
    "Did you mean 'arr_delay'? Available: arr_delay, dep_delay."
    """
    names = sorted(set(available))
    if not names:
        return "There is none yet."
    close = get_close_matches(str(wrong), names, n=1, cutoff=0.6)
    lead = f"Did you mean {close[0]!r}? " if close else ""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{lead}Available: {', '.join(names[:limit])}{more}."


def column_not_found(missing: str, available: Iterable[str], *, where: str) -> ColumnNotFoundError:
    """Build the error for a column that is not there, with what is."""
    names = list(available)
    return ColumnNotFoundError(
        f"There is no column {missing!r} in {where}.",
        hint=did_you_mean(missing, names),
        column=missing,
        available=names,
        where=where,
    )

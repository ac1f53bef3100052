"""What a format's writer offers, and the refusal of what the format cannot hold."""

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from foldstore.errors import UsageError


class Writer(Protocol):
    """Writes batches of one schema to an open file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""

    def finish(self) -> None:
        """Write what comes behind the last row; the file stays open."""


class Form(Protocol):
    """A format: what it refuses, and its writer."""

    def check(self, schema: pa.Schema) -> None:
        """Refuse columns that the format cannot hold, before a byte is written."""

    def open(self, file: Any, schema: pa.Schema) -> Writer:
        """Begin a file."""


def refusal(column: str, kind: pa.DataType, form: str, why: str = "", *, hint: str = "") -> UsageError:
    """Build the error for a column that a format cannot hold."""
    return UsageError(
        f"Column {column!r} ({kind}) cannot be exported as {form}{': ' + why if why else ''}.",
        hint=hint or "Export as .arrow, which holds every type, or leave the column out: columns=[...].",
        code="not-exportable",
        column=column,
        type=str(kind),
        form=form,
    )


def unfit_value(column: str, kind: pa.DataType, form: str, error: BaseException) -> UsageError:
    """Build the error for a value that a format cannot hold; the file is not made."""
    said = " ".join(str(error).split())[:200].rstrip(".")
    return refusal(column, kind, form, said, hint="Nothing was written. Export as .arrow, which holds every value.")


def to_batch(columns: Sequence[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Return columns as a batch, whatever their fields said about nulls."""
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)

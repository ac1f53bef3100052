"""What the verbs on pools read and write: tables of predictions, files of rows, the part of a split that is named."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldstore.errors import UsageError
from foldstore.names import PARTS, parse_address

if TYPE_CHECKING:
    import pyarrow as pa


def read_part(text: str) -> tuple[str, str]:
    """Return the address of a split and the name of its part; both are to be said, for sealing is for good."""
    address = parse_address(text)
    if address.split is None:
        raise UsageError(
            f"{text!r} names no part of a split: the rows to seal are not said.",
            hint=f"Make a split (foldstore split {text} by_month ...), then write {text}#by_month.test.",
        )
    if address.part is None:
        parts = ", ".join(f"{text}.{part}" for part in PARTS)
        raise UsageError(f"{text!r} is a whole split: which part is to be sealed?", hint=f"Write one of {parts}.")
    return str(replace(address, part=None)), address.part


def check_target(file: Path) -> None:
    """Refuse what cannot become a Parquet file before the pool is asked for anything."""
    if file.suffix.lower() != ".parquet":
        raise UsageError(f"{file} does not end in .parquet.", hint="The rows are written as Parquet: FILE.parquet.")
    try:
        is_folder, has_folder = file.is_dir(), file.parent.is_dir()
    except OSError as error:
        raise _unwritable(file, error) from None
    if is_folder:
        raise UsageError(f"{file} is a folder.", hint="Give the file to write.")
    if not has_folder:
        raise UsageError(f"There is no folder {file.parent}.", hint="Make it first, or choose another.")


def _unwritable(file: Path, error: OSError) -> UsageError:
    return UsageError(f"{file} cannot be written: {error.strerror or error}.", hint="Choose another file.")


def write_parquet(table: "pa.Table", file: Path) -> None:
    """Write rows to a Parquet file."""
    import pyarrow.parquet as pq

    try:
        pq.write_table(table, file)
    except OSError as error:
        raise _unwritable(file, error) from None


def read_table(file: Path) -> Any:
    """Read a file of rows of any kind that is understood."""
    from foldstore.datastore.ingest.source import open_source

    source = open_source(file)
    import pyarrow as pa

    return pa.Table.from_batches(source.batches, source.schema)

"""Files as sources: Parquet, Arrow IPC (Feather) and CSV, told apart by their ending."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from foldstore.datastore.fragment_writer import ROWS_PER_BATCH
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.csv_file import CSV_OPTIONS, open_csv
from foldstore.errors import IngestError, UsageError, did_you_mean


def open_file(path: Path, target: pa.Schema | None, **options: Any) -> BatchSource:
    """Open a file for ingest.

    Raises
    ------
    IngestError
        When it is missing, is not a file, or is not what its ending says.
    UsageError
        When its ending is not known.
    """
    check_readable(path)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise UsageError(
            f"{path.name!r}: the ending {path.suffix!r} is not a known format.",
            hint=f"Known are {', '.join(sorted(_OPENERS))}.",
            path=str(path),
        )
    if opener is not open_csv and options:
        raise UsageError(f"{', '.join(sorted(options))}: only CSV files are read with options.", path=str(path))
    for name in options:
        if name not in CSV_OPTIONS:
            raise UsageError(f"There is no option {name!r} for CSV files.", hint=did_you_mean(name, CSV_OPTIONS))
    try:
        return opener(path, target, **options)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def check_readable(path: Path) -> None:
    """Refuse what is not a regular file (a pipe would block for ever)."""
    if not path.exists():
        close = [p.name for p in sorted(path.parent.glob("*")) if p.suffix == path.suffix][:5] if path.suffix else []
        raise IngestError(
            f"There is no file {str(path)!r}.",
            hint=f"In that folder: {', '.join(close)}." if close else "Check the path.",
            code="file-not-found",
            path=str(path),
        )
    if not path.is_file():
        raise IngestError(f"{str(path)!r} is not a file.", hint="Name one file.", path=str(path))


def unreadable(path: Path, error: BaseException) -> IngestError:
    """Build the error for a file that is not what its ending says."""
    return IngestError(
        f"{str(path)!r} cannot be read: {' '.join(str(error).split())}.",
        hint="Nothing was committed. Check that the file is whole and of the format that its ending says.",
        path=str(path),
    )


def _open_parquet(path: Path, _target: pa.Schema | None) -> BatchSource:
    file = pq.ParquetFile(path)
    return BatchSource(
        schema=file.schema_arrow,
        batches=_guarded(path, file.iter_batches(ROWS_PER_BATCH)),
        description={"file": path.name, "format": "parquet"},
        num_rows=file.metadata.num_rows,
    )


def _open_ipc(path: Path, _target: pa.Schema | None) -> BatchSource:
    reader = pa.ipc.open_file(pa.OSFile(str(path)))

    def batches() -> Iterator[pa.RecordBatch]:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)

    return BatchSource(
        schema=reader.schema, batches=_guarded(path, batches()), description={"file": path.name, "format": "arrow"}
    )


def _guarded(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


_OPENERS: Final[dict[str, Callable[..., BatchSource]]] = {
    ".parquet": _open_parquet,
    ".csv": open_csv,
    ".arrow": _open_ipc,
    ".feather": _open_ipc,
    ".ipc": _open_ipc,
}

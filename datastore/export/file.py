"""Files of rows: written beside their place, brought to the disk, and named when they are whole."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from foldstore.datastore.arrow_schema import check_names
from foldstore.datastore.export.arrow_form import ArrowForm
from foldstore.datastore.export.csv_form import CsvForm
from foldstore.datastore.export.form import Form, Writer
from foldstore.datastore.export.json_form import JsonForm
from foldstore.datastore.export.parquet_form import ParquetForm
from foldstore.datastore.files import LocalFiles
from foldstore.errors import AlreadyExistsError, ExportError, FoldstoreError, UsageError
from foldstore.types import Progress

_FORMS: Final[Mapping[str, Callable[[], Form]]] = {
    "parquet": ParquetForm,
    "csv": CsvForm,
    "tsv": lambda: CsvForm("\t"),
    "jsonl": JsonForm,
    "arrow": lambda: ArrowForm(stream=False),
    "arrows": lambda: ArrowForm(stream=True),
}
_SAME: Final = {"ndjson": "jsonl", "feather": "arrow", "ipc": "arrow"}


def write_file(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # what users call it
    overwrite: bool = False,
    rows_per_file: int | None = None,
    num_rows: int | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write rows to a file; memory holds one batch.

    Parameters
    ----------
    schema : pyarrow.Schema
        The columns of the batches.
    path : str or pathlib.Path
        The file. It appears when it is whole and on the disk; a failure leaves nothing.
    format : {'parquet', 'csv', 'tsv', 'jsonl', 'arrow', 'arrows'}, optional
        By the ending of `path` unless given.
    overwrite : bool
        Put the file in the place of one that is there.
    rows_per_file : int, optional
        Cut into several files of so many rows, ``name-00001.parquet`` and so on.
    num_rows : int, optional
        How many rows are to come, for `progress`.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    UsageError
        When a column or a value has no form in the format; the column is named.
    AlreadyExistsError
        When there is such a file, unless it may be overwritten.
    ExportError
        When the file cannot be written.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(overwrite, bool):
        raise UsageError(f"{ascii(path)[:40]} is no path to write to.", hint="export('a.parquet', overwrite=True)")
    target = Path(path)
    form = _form_of(target, format)
    check_names(schema.names)
    form.check(schema)
    counted = _told(batches, num_rows, progress)
    if rows_per_file is None:
        with _new_file(target, overwrite=overwrite) as file:
            _write(form, file, schema, counted)
        return [target]
    if isinstance(rows_per_file, bool) or not isinstance(rows_per_file, int) or not 1 <= rows_per_file < 2**63:
        raise UsageError(f"rows_per_file={ascii(rows_per_file)[:40]} is not a whole number from 1.")
    return _write_parts(form, target, schema, _parts(counted, rows_per_file), overwrite=overwrite)


def _write_parts(
    form: Form, target: Path, schema: pa.Schema, parts: Iterable[Iterable[pa.RecordBatch]], *, overwrite: bool
) -> list[Path]:
    written: list[Path] = []
    try:
        for part in parts:
            path = target.with_name(f"{target.stem}-{len(written) + 1:05}{target.suffix}")
            with _new_file(path, overwrite=overwrite) as file:
                _write(form, file, schema, part)
            written.append(path)
    except BaseException:
        for path in written:  # some of the files would be mistaken for all of them
            path.unlink(missing_ok=True)
        raise
    return written


def _form_of(path: Path, form: str | None) -> Form:
    name = path.suffix.lower().removeprefix(".") if form is None else form
    name = _SAME.get(name, name) if isinstance(name, str) else ascii(name)[:40]
    if name not in _FORMS:
        raise UsageError(
            f"{name!r} is not a format to export to."
            if form is not None
            else f"{path.name!r} has no ending of a known format.",
            hint=f"Known are {', '.join([*_FORMS, *_SAME])}: by the ending, or format='parquet'.",
        )
    return _FORMS[name]()


def _write(form: Form, file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    # Arrow would close a file of Python's together with its writer.
    kept_open = _Unclosed(file)
    writer: Writer = form.open(kept_open, schema)
    try:
        for batch in batches:
            writer.write(batch)
        writer.finish()
    except BaseException:
        kept_open.is_abandoned = True
        with suppress(Exception):
            writer.finish()  # else it would write when it is collected, to a file that is closed
        raise


class _Unclosed:
    """A file that is not closed by others, and takes nothing more when it is abandoned."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.closed = False
        self.is_abandoned = False

    def write(self, data: bytes) -> int:
        return len(data) if self.is_abandoned else self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True


def _told(
    batches: Iterable[pa.RecordBatch], num_rows: int | None, progress: Progress | None
) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        if progress:
            progress(done, num_rows)


def _parts(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[Iterator[pa.RecordBatch]]:
    """Cut a stream into streams of so many rows; each is read to its end before the next; one at least."""
    held: list[pa.RecordBatch] = []

    def part(first: pa.RecordBatch | None) -> Iterator[pa.RecordBatch]:
        room, batch = rows, first
        while batch is not None:
            yield batch.slice(0, room)
            if batch.num_rows > room:
                held.append(batch.slice(room))
                return
            room -= batch.num_rows
            batch = next(batches, None) if room else None

    yield part(next(batches, None))
    while (following := held.pop() if held else next(batches, None)) is not None:
        yield part(following)


@contextmanager
def _new_file(target: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    if not overwrite and os.path.lexists(target):
        raise _taken(target)
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(aside, target, overwrite=overwrite)
        LocalFiles().sync_folders([target.parent])
    except FoldstoreError:  # one of them is an OSError too
        raise
    except OSError as error:
        raise ExportError(
            f"{str(target)!r} cannot be written: {error.strerror or error}.",
            hint="Nothing was written. Check the folder and the room on the disk.",
            path=str(target),
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _name(aside: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        aside.replace(target)
        return
    try:
        os.link(aside, target)  # unlike a rename, it never takes the place of another file
    except FileExistsError as error:
        raise _taken(target) from error


def _taken(target: Path) -> AlreadyExistsError:
    return AlreadyExistsError(f"There is already a file {str(target)!r}.", hint="Give another name, or overwrite=True.")

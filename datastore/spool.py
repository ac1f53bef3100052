"""Batches put aside: a source that can be read once is looked at first and written after."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from foldstore.datastore.arrow_schema import storage_type
from foldstore.datastore.exact_cast import cast_exactly, is_binary, is_text
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.errors import SchemaMismatchError


def may_not_fit(found: pa.DataType, kept: pa.DataType) -> bool:
    """Say whether it depends on the values whether a castable column fits."""
    t = pa.types
    found = storage_type(found)
    value_type = found.value_type if t.is_dictionary(found) else found
    return not (found == kept or t.is_null(found) or is_text(value_type) or is_binary(value_type))


def spool(
    source: BatchSource, wanted: Mapping[str, pa.DataType], path: Path | None
) -> tuple[BatchSource, frozenset[str]]:
    """Read a source to its end; return it, to be read again, and the columns that do not fit.

    Parameters
    ----------
    wanted : mapping of str to pyarrow.DataType
        The types that columns shall become.
    path : pathlib.Path, optional
        A new file for the batches, removed by the caller; they are held in memory unless given.
    """
    unfit: set[str] = set()
    looked = _looked_at(source, wanted, unfit)
    if path is None:
        held = list(looked)
        return replace(source, batches=iter(held)), frozenset(unfit)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, source.schema) as writer:
        for batch in looked:
            writer.write_batch(batch)
    return replace(source, batches=_read(path)), frozenset(unfit)


def _looked_at(source: BatchSource, wanted: Mapping[str, pa.DataType], unfit: set[str]) -> Iterator[pa.RecordBatch]:
    for batch in source.batches:
        for name in wanted.keys() - unfit:
            try:
                cast_exactly(batch.column(name), wanted[name], name=name)
            except SchemaMismatchError:
                unfit.add(name)
        yield batch


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as reader:
        yield from reader

"""Takes cells out of column-group files: a copy for the sealed area, and files that hold nulls in their place.

Nulls are set by taking no value at all (`take` at a null index): `if_else` and masks leave the value in
the buffer, under the bitmap. A dictionary is made anew from the values that stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa

from foldstore.datastore.column_group import StagedFile
from foldstore.datastore.fragment_writer import write_column_group
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.seal_survey import Mask, Place, Survey, row_ids
from foldstore.datastore.storage import Storage
from foldstore.errors import CorruptObjectError, UsageError

ROW_ID = "row_id"


def copy_cells(storage: Storage, survey: Survey) -> pa.Table:
    """Return the cells to seal, a row for each row id in ascending order."""
    by_fragment: dict[int, list[Place]] = {}
    for place in survey.places:
        by_fragment.setdefault(place.fragment_id, []).append(place)
    opened = _open(storage, survey)
    tables: list[pa.Table] = []
    for fragment_id in sorted(survey.masks):
        mask = survey.masks[fragment_id]
        columns: dict[str, pa.ChunkedArray] = {ROW_ID: pa.chunked_array([pa.array(row_ids({fragment_id: mask}))])}
        for place in by_fragment.get(fragment_id, ()):
            for position, name in place.columns.items():
                cells = _copy_column(opened[place.object_id], position, mask)
                columns[_free_name(name, cells.type, columns, tables)] = cells
        tables.append(pa.table(columns))
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def rewrite_files(
    storage: Storage, survey: Survey, folder: Path
) -> tuple[list[StagedFile], dict[tuple[int, str], str]]:
    """Write the files of a survey anew with nulls for the sealed cells.

    Returns
    -------
    (list of StagedFile, dict)
        The finished files, and the new object by fragment id and old object; where nothing changed it is the old one.
    """
    opened = _open(storage, survey)
    written: dict[tuple[str, tuple[int, ...], bytes], StagedFile] = {}
    successors: dict[tuple[int, str], str] = {}
    for place in survey.places:
        mask = survey.masks[place.fragment_id]
        job = (place.object_id, tuple(sorted(place.columns)), np.packbits(mask).tobytes())
        if job not in written:
            batches = _with_nulls(opened[place.object_id], job[1], mask)
            schema = opened[place.object_id].batches[0].schema
            path = folder / f"{len(written)}.arrow"
            written[job] = write_column_group(storage.objects.files, path, schema, batches)
        successors[place.fragment_id, place.object_id] = written[job].record.id
    return list(written.values()), successors


def take_nulls(column: pa.Array, mask: Mask) -> pa.Array:
    """Return a column with nulls at the masked places and no trace of what was there.

    Examples
    --------
    >>> take_nulls(pa.array([7, 8]), np.array([True, False])).to_pylist()
    [None, 8]
    """
    return column.take(pa.array(np.arange(len(mask)), mask=mask))


def _open(storage: Storage, survey: Survey) -> dict[str, OpenObject]:
    ids = list(dict.fromkeys(place.object_id for place in survey.places))
    records = storage.catalog.read_objects(ids)
    for object_id in ids:
        if object_id not in records:
            raise CorruptObjectError(f"The catalog does not know object {object_id}.", object=object_id)
    return {object_id: storage.objects.open(records[object_id]) for object_id in ids}


def _parts(opened: OpenObject, mask: Mask) -> Iterator[tuple[int, pa.RecordBatch, Mask]]:
    ends = list(accumulate((batch.num_rows for batch in opened.batches), initial=0))
    for index, batch in enumerate(opened.batches):
        yield index, batch, mask[ends[index] : ends[index + 1]]


def _copy_column(opened: OpenObject, position: int, mask: Mask) -> pa.ChunkedArray:
    chunks = []
    for index, batch, here in _parts(opened, mask):
        opened.verify(index, (position,))
        chunks.append(_plain(batch.column(position)).filter(pa.array(here)))
    return pa.chunked_array(chunks)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _free_name(name: str, arrow_type: pa.DataType, taken: Mapping[str, object], tables: Sequence[pa.Table]) -> str:
    """Return a name under which cells of one column stand together, apart from those of another type or file."""
    fits = all(name not in t.column_names or t.column(name).type == arrow_type for t in tables)
    free = name if fits else f"{name}#{arrow_type}"
    while free in taken:
        free += "#"
    return free


def _with_nulls(opened: OpenObject, positions: Sequence[int], mask: Mask) -> Iterator[pa.RecordBatch]:
    schema = opened.batches[0].schema
    for position in positions:
        _refuse_inner_dictionary(schema.field(position))
    encoded = {
        position: _encode_again(opened, position, mask)
        for position in positions
        if pa.types.is_dictionary(schema.field(position).type)
    }
    for index, batch, here in _parts(opened, mask):
        # Damage must not be given a new, valid checksum.
        opened.verify(index, range(batch.num_columns))
        columns = list(batch.columns)
        for position in positions:
            dictionary = encoded.get(position)
            columns[position] = take_nulls(columns[position], here) if dictionary is None else dictionary[index]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _encode_again(opened: OpenObject, position: int, mask: Mask) -> list[pa.Array]:
    """Encode a dictionary column with the values that stay; a file has one dictionary per column."""
    chunks = [take_nulls(_plain(batch.column(position)), here) for _, batch, here in _parts(opened, mask)]
    encoded = pa.chunked_array(chunks).dictionary_encode().unify_dictionaries()
    return [_recast(chunk, opened.batches[0].schema.field(position).type) for chunk in encoded.chunks]


def _recast(chunk: pa.Array, target: pa.DataType) -> pa.Array:
    indices = chunk.indices.cast(target.index_type)
    dictionary = chunk.dictionary.cast(target.value_type)
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=target.ordered)


def _refuse_inner_dictionary(field: pa.Field) -> None:
    inner = [field.type.field(i).type for i in range(field.type.num_fields)]
    while inner:
        each = inner.pop()
        if pa.types.is_dictionary(each):
            raise UsageError(
                f"Column {field.name!r} has a dictionary inside a {field.type}; such cells cannot be sealed.",
                hint="Cast it to plain values before it is appended.",
                column=field.name,
            )
        inner += [each.field(i).type for i in range(each.num_fields)]

"""Whether Arrow data is what its types say, looked at once before any use: unsound data ends the process.

Arrow's own full validation passes over what stands in the place of a null. Its casts and the unifying of
dictionaries do not: a null with a damaged view or index made them read outside their memory (pyarrow 26).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import inner_fields
from foldstore.datastore.exact_cast import is_list
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.text_cells import WIDEST, is_one_width, text_places
from foldstore.errors import IngestError

# What is less than it, alone in UTF-8.
_ASCII: Final = 128


def checked(source: BatchSource) -> BatchSource:
    """Return a source whose names are text, and whose batches are looked at before they are used.

    Raises
    ------
    IngestError
        When a name is not text; from the batches, when a column does not hold what its type says.
    """
    for place, field in enumerate(source.schema):
        try:
            check_names_inside(field)
        except UnicodeDecodeError as error:
            raise IngestError(
                f"The name of column {place + 1}, or one inside it, is not UTF-8 text.",
                hint="Nothing was committed. Mend the data where it is made.",
                code="invalid-column-name",
            ) from error
    return replace(source, batches=_sound_batches(source.batches))


def check_names_inside(field: pa.Field) -> None:
    """Look at the names and types at every depth; damaged ones raise UnicodeDecodeError."""
    repr((field.name, str(field.type)))
    if not isinstance(field.type, pa.BaseExtensionType):
        for inner in inner_fields(field.type):
            check_names_inside(inner)


def _sound_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([])
    plain: list[int] = []
    others: list[int] = []
    for batch in batches:
        if not batch.schema.equals(schema):
            schema = batch.schema
            plain = [place for place, kind in enumerate(schema.types) if pa.types.is_primitive(kind)]
            others = [place for place in range(len(schema)) if place not in plain]
        # Numbers are looked at together first.
        for place in others if _is_sound(batch.select(plain)) else range(batch.num_columns):
            try:
                _check_sound(batch.column(place))
            except (pa.ArrowException, ValueError) as error:
                name = schema.names[place]
                raise IngestError(
                    f"Column {name!r} holds what is not {schema.types[place]}: {error}.",
                    hint="Nothing was committed. Mend the data where it is made.",
                    code="invalid-utf8" if "Invalid UTF8" in str(error) else None,
                    column=name,
                ) from error
        yield batch


def _is_sound(batch: pa.RecordBatch) -> bool:
    try:
        batch.validate(full=True)
    except (pa.ArrowException, ValueError):
        return False
    return True


def _check_sound(column: pa.Array) -> None:
    if not _is_ascii(column):
        column.validate(full=True)
        _check_nulls(column)


def _is_ascii(column: pa.Array) -> bool:
    """Whether a column is sound because it is text of ASCII cut at places that ascend, which is quick to see."""
    if not pa.types.is_large_string(column.type) and not pa.types.is_string(column.type):
        return False
    column.validate()  # that the buffers are as long as the column is
    found = text_places(column)
    if found is None:
        return False
    places, data = found
    begin, end = int(places[0]), int(places[-1])
    if not 0 <= begin < end <= data.size or len(places) != len(column) + 1:
        return False
    width, rest = divmod(end - begin, len(column))
    is_even = not rest and 0 < width <= WIDEST and is_one_width(places, width)
    return (is_even or bool(np.greater_equal(places[1:], places[:-1]).all())) and int(data[begin:end].max()) < _ASCII


def _check_nulls(column: pa.Array) -> None:
    """Check what stands in the places of nulls, at every depth."""
    t, kind = pa.types, column.type
    if t.is_primitive(kind):
        return
    if isinstance(kind, pa.BaseExtensionType):
        _check_nulls(column.storage)
    elif t.is_string_view(kind) or t.is_binary_view(kind):
        if column.null_count:
            bare = [None, *column.buffers()[1:]]
            pa.Array.from_buffers(pa.binary_view(), len(column), bare, 0, column.offset).validate(full=True)
    elif t.is_dictionary(kind):
        _check_indices(column)
        _check_nulls(column.dictionary)
    elif t.is_nested(kind):
        if t.is_list_view(kind) or t.is_large_list_view(kind):
            _check_list_views(column)
        for inner in _inner_arrays(column):
            _check_nulls(inner)


def _inner_arrays(column: pa.Array) -> list[pa.Array]:
    t, kind = pa.types, column.type
    if t.is_map(kind):
        return [column.keys, column.items]
    if is_list(kind) or t.is_run_end_encoded(kind):
        return [column.values]
    return [column.field(place) for place in range(kind.num_fields)]


def _numbers(buffer: pa.Buffer | None, kind: pa.DataType, column: pa.Array) -> NDArray[np.int64]:
    """Return the numbers of a buffer, those of nulls too."""
    if buffer is None or not len(column):
        return np.empty(0, np.int64)
    found = pa.Array.from_buffers(kind, len(column), [None, buffer], 0, column.offset).to_numpy(zero_copy_only=True)
    return np.asarray(found)


def _check_indices(column: pa.DictionaryArray) -> None:
    if not column.null_count:
        return
    indices = column.indices
    found = _numbers(indices.buffers()[1], column.type.index_type, indices)
    # A dictionary without values goes with nulls alone, whose index is 0.
    if len(found) and (found.min() < 0 or found.max() >= max(1, len(column.dictionary))):
        raise ValueError("a null's index lies outside the dictionary")


def _check_list_views(column: pa.Array) -> None:
    kind = pa.int64() if pa.types.is_large_list_view(column.type) else pa.int32()
    starts, sizes = (_numbers(buffer, kind, column).astype(np.int64) for buffer in column.buffers()[1:3])
    if len(starts) and (starts.min() < 0 or sizes.min() < 0 or (starts + sizes).max() > len(column.values)):
        raise ValueError("a null's list lies outside the values")

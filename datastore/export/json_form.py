"""JSON lines: every value exactly, as `foldstore.datastore.ingest.json_columns` reads it.

JSON has no form for some types, which are texts: instants and dates (ISO 8601, in UTC where they have a zone),
decimals, binary (base64), NaN and the infinities (by name). Durations are whole ticks; maps are lists of objects
with ``key`` and ``value``. Integers keep every digit.
"""

import base64
import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.arrow_schema import inner_fields
from foldstore.datastore.exact_cast import is_binary, is_list
from foldstore.datastore.export.form import Writer, refusal, unfit_value
from foldstore.datastore.plain_text import to_text

_NAME: Final = "JSON lines"
# Python's values take some ten times the memory of Arrow's.
_ROWS: Final = 8_192
_WRITE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JsonForm:
    """An object a line, UTF-8; null where a value is null."""

    def check(self, schema: pa.Schema) -> None:
        """Refuse types that have no form in JSON."""
        for field in schema:
            why = _unfit(field.type)
            if why:
                raise refusal(field.name, field.type, _NAME, why)

    def open(self, file: Any, schema: pa.Schema) -> Writer:
        """Begin a file."""
        return _JsonWriter(file, schema)


def _unfit(kind: pa.DataType) -> str:
    t = pa.types
    if t.is_union(kind) or t.is_interval(kind) or t.is_run_end_encoded(kind) or isinstance(kind, pa.BaseExtensionType):
        return f"{kind} has no form in JSON"
    inner = inner_fields(kind)
    names = [field.name for field in inner]
    if len(set(names)) < len(names):
        return "two fields inside have one name"
    return next((why for why in (_unfit(field.type) for field in inner) if why), "")


class _JsonWriter:
    """Writes batches as lines."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        names = self._schema.names
        for start in range(0, batch.num_rows, _ROWS):
            part = batch.slice(start, _ROWS)
            columns = [self._values(field, column) for field, column in zip(self._schema, part.columns, strict=True)]
            rows = zip(*columns, strict=True)
            self._file.write("".join(_WRITE(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode())

    def finish(self) -> None:
        """Do nothing: the last line has its end."""

    def _values(self, field: pa.Field, column: pa.Array) -> Sequence[Any]:
        try:
            return _plain(column)
        except pa.ArrowException as error:
            raise unfit_value(field.name, field.type, _NAME, error) from error


def _plain(column: pa.Array) -> Sequence[Any]:
    t, kind = pa.types, column.type
    if t.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if t.is_struct(kind):
        return _objects(column)
    if t.is_map(kind):
        entry = pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])
        return _lists(column.cast(pa.list_(entry)))
    if is_list(kind):
        return _lists(column)
    return _floats(column) if t.is_floating(kind) else _flat(column)


def _flat(column: pa.Array) -> list[Any]:
    t, kind = pa.types, column.type
    if is_binary(kind) or t.is_fixed_size_binary(kind):
        return [None if each is None else base64.b64encode(each).decode() for each in column.to_pylist()]
    if t.is_timestamp(kind):
        column = pc.replace_substring(to_text(column), " ", "T", max_replacements=1)
    elif t.is_duration(kind):
        column = column.cast(pa.int64())
    elif t.is_temporal(kind) or t.is_decimal(kind):
        column = to_text(column)
    return list(column.to_pylist())


def _objects(column: pa.StructArray) -> list[Any]:
    names = [field.name for field in column.type]
    valid = column.is_valid().to_pylist()
    if not names:
        return [{} if each else None for each in valid]
    rows = zip(*(_plain(column.field(place)) for place in range(len(names))), strict=True)
    return [dict(zip(names, row, strict=True)) if each else None for each, row in zip(valid, rows, strict=True)]


def _lists(column: pa.Array) -> list[Any]:
    lengths = pc.list_value_length(column).to_pylist()
    values: Iterator[Any] = iter(_plain(column.flatten()))
    return [None if length is None else list(islice(values, length)) for length in lengths]


def _floats(column: pa.Array) -> list[Any]:
    if column.type != pa.float64():
        column = _shortest(column)
    values = column.to_pylist()
    return [each if each is None or math.isfinite(each) else _named(each) for each in values]


def _shortest(column: pa.Array) -> pa.Array:
    """Return the doubles whose shortest text is that of the narrower floats, where they read back as these."""
    exact = column.cast(pa.float64())
    short = column.cast(pa.string()).cast(pa.float64())
    again = short.cast(column.type).cast(pa.float64())
    same = np.asarray(again.fill_null(0.0)) == np.asarray(exact.fill_null(0.0))
    return pc.if_else(pa.array(same), short, exact)


def _named(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"

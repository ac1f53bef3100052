"""Values as text and back, exactly: what CSV and JSON lines write for types that they have no form for.

Instants with a zone are written in UTC: their text would otherwise lose the seconds of old zones' offsets.
Durations are whole ticks of their unit.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.exact_cast import is_text, same_values

_DAY: Final = "1970-01-01T"


def to_text(column: pa.Array) -> pa.Array:
    """Write a flat column as text, null for null; see `from_text`.

    Raises
    ------
    pyarrow.ArrowInvalid
        When a value has no text that reads back as it, such as a date beyond the year 9999.
    """
    t, kind = pa.types, column.type
    if t.is_dictionary(kind):
        return to_text(column.dictionary_decode())
    if t.is_duration(kind):
        return column.cast(pa.int64()).cast(pa.string())
    if t.is_timestamp(kind) and kind.tz is not None:
        return _checked(column, column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.string()))
    text = column.cast(pa.string())
    return _checked(column, text) if t.is_temporal(kind) or t.is_decimal(kind) else text


def _checked(column: pa.Array, text: pa.Array) -> pa.Array:
    try:
        if same_values(from_text(text, column.type), column):
            return text
        why = "a value is none that text can hold"
    except pa.ArrowException as error:
        why = " ".join(str(error).split())
    raise pa.ArrowInvalid(why)


def from_text(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read a column of text as values of a flat type.

    Raises
    ------
    pyarrow.ArrowInvalid
        When a text is no such value.
    """
    t = pa.types
    if is_text(kind):
        return text.cast(kind)
    if t.is_null(kind):
        if text.null_count < len(text):
            raise pa.ArrowInvalid("a column of nulls cannot hold a value")
        return pa.nulls(len(text))
    if t.is_time(kind):
        return _clock(text, kind)
    if t.is_duration(kind):
        return text.cast(pa.int64()).cast(kind)
    return text.cast(kind)


def _clock(text: pa.Array, kind: pa.DataType) -> pa.Array:
    if pc.any(pc.not_equal(pc.binary_length(pc.utf8_trim_whitespace(text)), pc.binary_length(text))).as_py():
        raise pa.ArrowInvalid("a time has spaces around it")
    moments = pc.binary_join_element_wise(_DAY, text, "").cast(pa.timestamp(kind.unit))
    day = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}[kind.unit]
    ticks = moments.cast(pa.int64())
    if pc.any(pc.or_(pc.less(ticks, 0), pc.greater_equal(ticks, day))).as_py():
        raise pa.ArrowInvalid("a time lies outside the day")
    return ticks.cast(pa.int32() if t_is_32(kind) else pa.int64()).cast(kind)


def t_is_32(kind: pa.DataType) -> bool:
    """Say whether a time is kept in 32 bits."""
    return bool(pa.types.is_time32(kind))

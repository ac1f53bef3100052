"""Feature values as JSON, exactly: what a client reads back is the value, to the bit.

Integers keep every digit. A float64 is written as the shortest decimal that reads back as it, a float32 as the
shortest that reads back as that float32. NaN and the infinities, for which JSON has no number, are the texts
``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` (as in protobuf's JSON), and their status is PRESENT: null means
null. Times are RFC 3339 in UTC, bytes base64, decimals text, durations seconds with an ``s`` behind.
"""

import base64
import datetime as dt
import json
import math
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.instant import format_instant
from foldstore.views.online.cells import RowCells
from foldstore.views.online.result import OnlineColumn

_SAFE: Final = 2**53  # beyond it JavaScript's numbers lose digits
_FEW: Final = 64  # below this numpy writes float32 faster than Arrow
_TEXTS: Final = {str}
_COLONLESS: Final = {int, bool, type(None)}
_PLAIN: Final = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)


def json_columns(columns: Sequence[OnlineColumn], *, wide_as_text: bool = False) -> list[Sequence[Any]]:
    """Return the values of several features; see `json_values`.

    Float32 columns are written together: the conversion costs more to begin than to do.
    """
    narrow = [column.values for column in columns if pa.types.is_float32(column.type)]
    shortest = _shortest(list(chain.from_iterable(narrow)), np.dtype(np.float32)) if narrow else []
    start, written = 0, list[Sequence[Any]]()
    for column in columns:
        if pa.types.is_float32(column.type):
            written.append(_marked(shortest[start : start + len(column.values)]))
            start += len(column.values)
        else:
            written.append(json_values(column.values, column.type, wide_as_text=wide_as_text))
    return written


def json_values(values: Sequence[Any], kind: pa.DataType, *, wide_as_text: bool = False) -> Sequence[Any]:
    """Return values as what the standard library's JSON writes exactly.

    Parameters
    ----------
    values : sequence
        Values of one feature, None for null.
    kind : pyarrow.DataType
        Their type.
    wide_as_text : bool
        Write integers beyond 2**53 as text, for clients that read every number as a double.

    Examples
    --------
    >>> json_values([0.1, None, float("nan")], pa.float64())
    [0.1, None, 'NaN']
    >>> json_values([0.10000000149011612], pa.float32())
    [0.1]
    """
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return _marked(_shortest(values, np.dtype(kind.to_pandas_dtype())))
    if pa.types.is_float64(kind):
        return _marked(values)
    if wide_as_text and pa.types.is_integer(kind):
        return [str(value) if value is not None and not -_SAFE <= value <= _SAFE else value for value in values]
    if any(test(kind) for test in _PLAIN):
        return values
    return [_converted(value, wide_as_text=wide_as_text) for value in values]


def number_list(numbers: NDArray[Any], there: NDArray[np.bool_] | None = None) -> bytes:
    """Write numbers of one type as a list, exactly; null where there is none.

    Parameters
    ----------
    numbers : ndarray
        Integers, or floats of 32 or 64 bits.
    there : ndarray, optional
        Which of them count; all unless given.

    Examples
    --------
    >>> number_list(np.array([0.1, np.nan], np.float32))
    b'[0.1,"NaN"]'
    >>> number_list(np.array([1, 2]), np.array([True, False]))
    b'[1,null]'
    """
    text = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)
    if there is None and b"null" not in text:
        return text
    pieces = text[1:-1].split(b",")
    for place, piece in enumerate(pieces):
        if there is not None and not there[place]:
            pieces[place] = b"null"
        elif piece == b"null":  # what JSON has no number for
            pieces[place] = b'"%b"' % _name(float(numbers[place])).encode()
    return b"[%b]" % b",".join(pieces)


def row_texts(columns: RowCells, row: int) -> list[bytes]:
    """Write the values of one row, column by column, each as `json_values` has it.

    Float32 values are written together: numpy costs more to begin than to do.
    """
    if columns.matrix is not None:
        return number_list(columns.matrix[:, row].copy())[1:-1].split(b",")
    values, cells = columns.values(row), columns.cells
    if columns.is_float32 and None not in values:
        # Through bytes: numpy looks at each value of a list before it makes an array of it.
        return number_list(np.frombuffer(struct.pack(f"{len(values)}f", *values), np.float32))[1:-1].split(b",")
    narrow = [place for place, each in enumerate(cells) if each.is_float32 and values[place] is not None]
    texts: list[bytes] = [b""] * len(cells)
    if narrow:
        numbers = np.array([values[place] for place in narrow], dtype=np.float32)
        for place, text in zip(narrow, number_list(numbers)[1:-1].split(b","), strict=True):
            texts[place] = text
    for place, text in enumerate(texts):
        if not text:
            texts[place] = json_text(json_values([values[place]], cells[place].type))[1:-1]
    return texts


def narrow_texts(columns: RowCells, rows: NDArray[np.int64]) -> list[bytes] | None:
    """Write several rows of float32 columns, each a list as `number_list` has it, all at once.

    None where a column is of another type, or a value is null, or none that JSON has a number for.
    """
    if columns.matrix is None:
        return None
    numbers = np.ascontiguousarray(columns.matrix[:, rows])
    if not np.isfinite(numbers).all():
        return None
    text = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)
    # `[[1.0,2.0],[3.0,4.0]]`: to look for one character is faster than for several.
    return [b"%b]" % each[1:] for each in text[:-1].split(b"]")[:-1]]


def json_text(data: Any) -> bytes:
    """Write what `json_values` gave, or other plain data without numbers that JSON has none for.

    Examples
    --------
    >>> json_text(["UA", None, 2**70])
    b'["UA",null,1180591620717411303424]'
    """
    try:
        return orjson.dumps(data)
    except TypeError:  # integers beyond 64 bits, and text that has no UTF-8
        return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def parse_plain(data: bytes) -> Any:
    """Return what a plain body says; None for any that the careful parser has to look at, right or wrong.

    The fast parser keeps the last of two members of one name, and reads integers beyond 64 bits as floats. There is no
    escape in a plain body, so that every colon either stands in a text or follows a name: when those of the texts that
    were kept and the names make up all of them, no name was lost. Nor is there a float in it.

    Examples
    --------
    >>> parse_plain(b'{"a": "x:y"}'), parse_plain(b'{"a": 1, "a": 2}')
    ({'a': 'x:y'}, None)
    """
    value = load_plain(data)
    colons = _colons(value)
    return value if isinstance(value, dict) and colons == data.count(b":") else None


def load_plain(data: bytes) -> Any:
    """Return what a body without escapes says, of two members of one name the last; None for any other body.

    Whoever asks counts the colons; see `parse_plain`.
    """
    if b"\\" in data:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _colons(value: Any) -> int | None:
    """Count the colons that a value is written with; None where that takes a closer look."""
    kind = type(value)
    if kind is str:
        count: int = value.count(":")
        return count
    if kind is dict:
        count = len(value) + "".join(value).count(":")
        for item in value.values():
            inner = item.count(":") if type(item) is str else _colons(item)
            if inner is None:
                return None
            count += inner
        return count
    if kind is list:
        kinds = set(map(type, value))
        if kinds == _TEXTS:
            return "".join(value).count(":")
        return 0 if kinds <= _COLONLESS else None
    return 0 if kind in _COLONLESS else None


def is_finite_number(value: object) -> bool:
    """Say whether a value is a float that JSON has a number for."""
    return isinstance(value, float) and math.isfinite(value)


def to_plain(data: Any) -> Any:
    """Return plain data as what the standard library's JSON writes: of numbers only those that JSON has.

    Examples
    --------
    >>> to_plain({"mean": float("nan"), "rows": 3, "parts": (1, 2)})
    {'mean': 'NaN', 'rows': 3, 'parts': [1, 2]}
    """
    return _converted(data, wide_as_text=False)


def _shortest(values: Sequence[Any], kind: np.dtype[Any]) -> list[float | None]:
    """Return the doubles whose own shortest decimal is that of the narrower float."""
    if None in values:
        filled = _shortest([0.0 if value is None else float(value) for value in values], kind)
        return [None if value is None else short for value, short in zip(values, filled, strict=True)]
    numbers = np.array(values, dtype=kind)
    if len(numbers) < _FEW or kind != np.float32:
        return [float(text) for text in numbers.astype(str).tolist()]
    doubles: list[float | None] = pa.array(numbers).cast(pa.string()).cast(pa.float64()).to_numpy().tolist()
    return doubles


def _marked(values: Sequence[Any]) -> Sequence[Any]:
    if all(value is None or math.isfinite(value) for value in values):
        return values
    return [value if value is None or math.isfinite(value) else _name(value) for value in values]


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _converted(value: Any, *, wide_as_text: bool) -> Any:
    def again(item: Any) -> Any:
        return _converted(item, wide_as_text=wide_as_text)

    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, list | tuple):
        return [again(item) for item in value]
    if isinstance(value, dict):
        return {str(name): again(item) for name, item in value.items()}
    if isinstance(value, int):
        return str(value) if wide_as_text and not -_SAFE <= value <= _SAFE else value
    return next((write(value) for kind, write in _WRITERS if isinstance(value, kind)), str(value))


def _in_utc(value: dt.datetime) -> str:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _seconds(nanoseconds: int) -> str:
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}{seconds}{fraction}s"


_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MICROSECOND: Final = dt.timedelta(microseconds=1)
# datetime comes before date, whose subclass it is.
_WRITERS: Final[Sequence[tuple[type | tuple[type, ...], Callable[[Any], Any]]]] = (
    ((float, np.floating), lambda value: float(value) if math.isfinite(value) else _name(value)),
    (Decimal, str),
    (bytes, lambda value: base64.b64encode(value).decode()),
    (np.datetime64, lambda value: format_instant(int(value.astype("datetime64[ns]").astype(np.int64)))),
    (np.timedelta64, lambda value: _seconds(int(value.astype(np.int64)) * _NANOSECONDS[np.datetime_data(value)[0]])),
    (dt.datetime, _in_utc),
    ((dt.date, dt.time), lambda value: value.isoformat()),
    (dt.timedelta, lambda value: _seconds(value // _MICROSECOND * 1_000)),
)

"""JSON's values as Arrow columns that hold exactly these: what a type cannot hold is an error, nothing is cut.

Types that JSON lacks are texts: instants and dates in ISO 8601, binary in base64, NaN and the infinities by
name. Decimals are read from the digits of a number or from text, durations from whole ticks. A map is a list of
objects with ``key`` and ``value``, or an object when its keys are texts.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from foldstore.datastore.exact_cast import is_binary, is_list, is_text
from foldstore.datastore.plain_text import from_text
from foldstore.errors import IngestError

_NOT_FINITE: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_NONE: Final = type(None)


class UnfitValueError(ValueError):
    """A value that is not one of its column's type."""


class JsonNumber(float):
    """A number with a point or an exponent, and its digits."""

    __slots__ = ("digits",)
    digits: str

    def __new__(cls, digits: str) -> Self:
        """Read a number; the nearest double is its value."""
        number = super().__new__(cls, digits)
        number.digits = digits
        return number


def check_json_type(path: Path, name: str, kind: pa.DataType) -> None:
    """Refuse a type that JSON's values cannot become."""
    try:
        json_column([None], kind)
    except (UnfitValueError, pa.ArrowException) as error:
        raise IngestError(
            f"{path.name!r}: column {name!r} is {kind}, which is not supported in JSON lines.",
            hint="Append a table instead.",
            path=str(path),
            column=name,
        ) from error


def json_column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values, as the standard library reads JSON, as a column.

    Examples
    --------
    >>> json_column(["2020-02-29", None], pa.date32())[0]
    <pyarrow.Date32Scalar: datetime.date(2020, 2, 29)>

    Raises
    ------
    UnfitValueError
        When a value is not one of the type.
    """
    try:
        return _column(values, kind)
    except UnfitValueError:
        raise
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise UnfitValueError(" ".join(str(error).split())[:200]) from error


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_dictionary(kind):
        return _column(values, kind.value_type).dictionary_encode().cast(kind)
    if t.is_struct(kind):
        return _struct(values, kind)
    if t.is_map(kind):
        return _map(values, kind)
    if is_list(kind):
        return _list(values, kind)
    return _flat(values, kind)


def _flat(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_integer(kind):
        _only(values, kind, int)
        return pa.array(values, kind)
    if t.is_boolean(kind):
        _only(values, kind, bool)
        return pa.array(values, kind)
    if t.is_floating(kind):
        return _floats(values, kind)
    if t.is_decimal(kind):
        return _decimals(values, kind)
    if t.is_duration(kind):
        _only(values, kind, int)
        return pa.array(values, pa.int64()).cast(kind)
    if is_binary(kind) or t.is_fixed_size_binary(kind):
        _only(values, kind, str)
        return pa.array([None if each is None else _bytes(each) for each in values], kind)
    if is_text(kind):
        _only(values, kind, str)
        return pa.array(values, kind)
    if t.is_null(kind) or t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind):
        _only(values, kind, str)
        return from_text(pa.array(values, pa.string()), kind)
    raise UnfitValueError(f"{kind} has no form in JSON")


def _only(values: Sequence[Any], kind: pa.DataType, *allowed: type) -> None:
    others = set(map(type, values)) - {_NONE, *allowed}
    if others:
        value = next(each for each in values if type(each) in others)
        raise UnfitValueError(f"{_shown(value)} is no {kind}")


def _shown(value: Any) -> str:
    return str(value.digits) if isinstance(value, JsonNumber) else repr(value)[:80]


def _floats(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    _only(values, kind, int, float, JsonNumber, str)
    found = [_float(each, kind) if type(each) in (int, str) else each for each in values]
    doubles = pa.array(found, pa.float64(), from_pandas=False)
    if kind == pa.float64():
        return doubles
    with np.errstate(over="ignore"):
        narrow = doubles.cast(kind)
    before, after = (np.asarray(a.cast(pa.float64()).fill_null(0.0)) for a in (doubles, narrow))
    if (np.isinf(after) & ~np.isinf(before)).any():
        raise UnfitValueError(f"a number is too large for {kind}")
    return narrow


def _float(value: int | str, kind: pa.DataType) -> float:
    if isinstance(value, str):
        if value not in _NOT_FINITE:
            raise UnfitValueError(f"{value[:80]!r} is no {kind}")
        return _NOT_FINITE[value]
    if int(float(value)) != value:
        raise UnfitValueError(f"{value} would be rounded as {kind}")
    return float(value)


def _decimals(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    _only(values, kind, int, JsonNumber, str)
    texts = [None if each is None else each.digits if isinstance(each, JsonNumber) else str(each) for each in values]
    return pa.array(texts, pa.string()).cast(kind)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnfitValueError(f"{text[:80]!r} is no base64") from error


def _mask(values: Sequence[Any]) -> pa.Array:
    return pa.array([each is None for each in values], pa.bool_())


def _struct(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    _only(values, kind, dict)
    names = {field.name for field in kind}
    for each in values:
        if each is not None and not each.keys() <= names:
            new = next(name for name in each if name not in names)
            raise UnfitValueError(f"the name {new[:80]!r} is none of {', '.join(sorted(names))[:200]}")
    columns = [_column([None if v is None else v.get(f.name) for v in values], f.type) for f in kind]
    if not columns:
        return pa.array([None if each is None else {} for each in values], kind)
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=_mask(values))


def _list(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    _only(values, kind, list)
    t = pa.types
    if t.is_fixed_size_list(kind):
        return _fixed_list(values, kind)
    inner = _column(list(chain.from_iterable(each for each in values if each is not None)), kind.value_type)
    lengths = [0 if each is None else len(each) for each in values]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    large = t.is_large_list(kind)
    make = pa.LargeListArray if large else pa.ListArray
    ends = pa.array(offsets, pa.int64() if large else pa.int32())
    return make.from_arrays(ends, inner, type=kind, mask=_mask(values))


def _fixed_list(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    size = kind.list_size
    wrong = next((each for each in values if each is not None and len(each) != size), None)
    if wrong is not None:
        raise UnfitValueError(f"a list of {len(wrong)} is no {kind}")
    filled = chain.from_iterable([None] * size if each is None else each for each in values)
    return pa.FixedSizeListArray.from_arrays(_column(list(filled), kind.value_type), type=kind, mask=_mask(values))


def _map(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    _only(values, kind, dict, list)
    entries = [None if each is None else _entries(each, kind) for each in values]
    flat = [entry for each in entries if each is not None for entry in each]
    keys = _column([entry["key"] for entry in flat], kind.key_type)
    if keys.null_count:
        raise UnfitValueError("the key of a map is null")
    items = _column([entry.get("value") for entry in flat], kind.item_type)
    lengths = [0 if each is None else len(each) for each in entries]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int32())
    # Offsets without a mask: MapArray takes nulls of its offsets.
    masked = pa.array([None if each is None else int(o) for each, o in zip(entries, offsets, strict=False)], pa.int32())
    ends = pa.concat_arrays([masked, offsets[-1:].cast(pa.int32())])
    return pa.MapArray.from_arrays(ends, keys, items, type=kind)


def _entries(value: Any, kind: pa.DataType) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if not is_text(kind.key_type):
            raise UnfitValueError(f"an object has texts as keys: write {kind} as [{{'key': …, 'value': …}}]")
        return [{"key": key, "value": item} for key, item in value.items()]
    entries: list[dict[str, Any]] = value
    for entry in entries:
        if not isinstance(entry, dict) or not {"key"} <= entry.keys() <= {"key", "value"}:
            raise UnfitValueError(f"{_shown(entry)} is no entry of a map: write {{'key': …, 'value': …}}")
    return entries

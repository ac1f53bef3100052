"""Lists of Python values as Arrow arrays that hold exactly these values.

Arrow's own conversion changes values in silence: asked for a type, it cuts 1.9 to 1 and microseconds to
seconds; left alone, it takes a date and a datetime for two dates. So the type is found from the values, and
where conversion may lose something the values are read back and compared.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from foldstore.datastore.arrow_schema import inner_fields
from foldstore.datastore.exact_cast import can_cast
from foldstore.errors import IngestError


def to_array(name: str, values: Any, wanted: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    """Return values as an array of the type that they have by themselves.

    Parameters
    ----------
    wanted : pyarrow.DataType, optional
        The dataset's type of the column: taken for values that have no type of their own, or one that cannot
        become this (a map, a struct with optional fields), when it holds each of them exactly.

    Raises
    ------
    IngestError
        When there is no such array.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes | bytearray | Mapping) or not hasattr(values, "__iter__"):
        raise _unfit(name, f"{type(values).__name__!r} is not a list of values")
    if not hasattr(values, "dtype"):
        values = list(values)
    found, why = _convert(values, None)
    if wanted is not None and (found is None or not can_cast(found.type, wanted)):
        asked, _ = _convert(values, wanted)
        found = asked if asked is not None else found
    if found is None:
        raise _unfit(name, why)
    return found


def _convert(values: Any, kind: pa.DataType | None) -> tuple[pa.Array | None, str]:
    try:
        found = pa.array(values, kind)
        if isinstance(values, list) and not (kind is None and _is_certain(found.type)):
            for kept, value in zip(found.to_pylist(), values, strict=True):
                if not _same(kept, value):
                    return None, f"{value!r} would become {kept!r} beside the other values"
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return None, " ".join(str(error).split())
    return found, ""


def _is_certain(kind: pa.DataType) -> bool:
    """Say whether values of which Arrow finds this type are certainly kept."""
    t = pa.types
    if t.is_nested(kind):
        return all(_is_certain(inner.type) for inner in inner_fields(kind))
    return bool(t.is_null(kind) or t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_string(kind))


def _same(kept: Any, value: Any) -> bool:
    if kept is None:
        return value is None or bool(value != value)  # noqa: PLR0124  # NaN and NaT are not equal to themselves
    if isinstance(value, np.generic) and value.dtype.kind in "mM":
        return True  # numpy says the unit, and Arrow takes it
    if isinstance(kept, dict):
        return (
            isinstance(value, Mapping)
            and value.keys() <= kept.keys()
            and all(_same(each, value.get(name)) for name, each in kept.items())
        )
    if isinstance(kept, list | tuple):
        return (
            not isinstance(value, str | bytes)
            and len(kept) == len(value)
            and all(_same(*pair) for pair in zip(kept, value, strict=True))
        )
    return bool(kept == value) or (bool(kept != kept) and bool(value != value))  # noqa: PLR0124  # NaN


def _unfit(name: str, why: str) -> IngestError:
    return IngestError(
        f"Column {name!r} of the dict is not a column: {why}.",
        hint="Give a list of values of one kind per column, or an Arrow array.",
        column=name,
    )

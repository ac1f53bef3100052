"""Exact casts: a column in another type, every value what it was, or an error that names the column.

Arrow's safe cast is not enough: it rounds a double into a float or a decimal, and its checks end at the
first list. Nested types are therefore taken apart here, and numbers are cast back and compared.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import SchemaMismatchError

# Wide enough for every integer with any usual scale; Arrow wants 19 digits before the point for an int64.
_WIDE_DIGITS: Final = 76


def can_cast(source: pa.DataType, target: pa.DataType) -> bool:
    """Say whether values of one type may become another when nothing is lost.

    Numbers become numbers when every value fits; timestamps change unit, instants stay instants; texts,
    binaries, dictionaries and lists change their layout; anything may be all null.
    """
    t = pa.types
    if source == target or t.is_null(source):
        return True
    if t.is_dictionary(source) or t.is_run_end_encoded(source):
        return can_cast(source.value_type, target)
    if t.is_dictionary(target):
        return can_cast(source, target.value_type)
    if t.is_nested(source) or t.is_nested(target):
        inside = _inside(source, target)
        return inside is not None and all(can_cast(*pair) for pair in inside)
    if t.is_timestamp(source) and t.is_timestamp(target):
        return bool((source.tz is None) == (target.tz is None))
    return any(family(source) and family(target) for family in _FAMILIES)


def _inside(source: pa.DataType, target: pa.DataType) -> list[tuple[pa.DataType, pa.DataType]] | None:
    """Return the types inside two nested types in pairs; None when their shapes differ."""
    t = pa.types
    if is_list(source) and is_list(target):
        fixed = [kind.list_size for kind in (source, target) if t.is_fixed_size_list(kind)]
        return None if len(set(fixed)) > 1 else [(source.value_type, target.value_type)]
    if t.is_map(source) and t.is_map(target):
        return [(source.key_type, target.key_type), (source.item_type, target.item_type)]
    if t.is_struct(source) and t.is_struct(target):
        before, after = {f.name: f.type for f in source}, {f.name: f.type for f in target}
        if before.keys() != after.keys() or len(before) != source.num_fields or len(after) != target.num_fields:
            return None
        return [(kind, after[name]) for name, kind in before.items()]
    return None


def is_number(kind: pa.DataType) -> bool:
    """Say whether a type is an integer, a float or a decimal."""
    t = pa.types
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type is text in any layout."""
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Say whether a type is binary of any length, in any layout."""
    t = pa.types
    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Say whether a type is a list in any layout."""
    t = pa.types
    return bool(
        t.is_list(kind)
        or t.is_large_list(kind)
        or t.is_fixed_size_list(kind)
        or t.is_list_view(kind)
        or t.is_large_list_view(kind)
    )


_FAMILIES: Final[tuple[Callable[[pa.DataType], bool], ...]] = (
    is_number,
    is_text,
    is_binary,
    pa.types.is_time,
    pa.types.is_duration,
    pa.types.is_date,
)


def cast_exactly(column: pa.Array, target: pa.DataType, *, name: str) -> pa.Array:
    """Cast a column so that no value changes.

    Raises
    ------
    SchemaMismatchError
        When the types have nothing in common, or a value does not fit.
    """
    if not can_cast(column.type, target):
        raise _mismatch(name, column.type, target, "the types have nothing in common")
    try:
        return _cast(column, target)
    except (pa.ArrowException, OverflowError) as error:
        raise _mismatch(name, column.type, target, " ".join(str(error).split())) from error


def _mismatch(name: str, source: pa.DataType, target: pa.DataType, why: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"Column {name!r} comes as {source}, the dataset keeps {target}: {why.rstrip('.')}.",
        hint="Cast it before, or set a schema with set_schema(): then such data is quarantined with a report.",
        code="type-mismatch",
        column=name,
        found=str(source),
        expected=str(target),
    )


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_run_end_encoded(array.type):
        return _cast(array.values, target).take(pa.array(_runs_of(array)))
    if t.is_dictionary(target):
        return _cast_dictionary(array, target)
    if t.is_dictionary(array.type):
        return _cast(decoded(array), target)
    if array.type == target:
        return array
    if t.is_null(array.type):
        return pa.nulls(len(array), target)
    if t.is_nested(target):
        return _cast_nested(array, target)
    return _cast_values(array, target)


def _cast_dictionary(array: pa.Array, target: pa.DataType) -> pa.Array:
    is_encoded = pa.types.is_dictionary(array.type)
    # A null among a dictionary's values hides from null_count, and Arrow cannot unify such dictionaries.
    if is_encoded and array.dictionary.null_count == 0:
        if array.type == target:
            return array
        encoded = array
    else:
        encoded = _cast(decoded(array) if is_encoded else array, target.value_type).dictionary_encode()
    values = _cast(encoded.dictionary, target.value_type)
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(target.index_type), values, ordered=target.ordered)


def decoded(array: pa.DictionaryArray) -> pa.Array:
    """Return the values of a dictionary, those of views as plain texts or binaries."""
    values = array.dictionary
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):  # Arrow cannot take from views
        values = values.cast(pa.string() if pa.types.is_string_view(values.type) else pa.binary())
    return values.take(array.indices)


def _runs_of(array: pa.RunEndEncodedArray) -> NDArray[np.int64]:
    """Return the place of each value's run; Arrow itself decodes runs of numbers and plain texts alone."""
    places = np.arange(array.offset, array.offset + len(array), dtype=np.int64)
    return np.searchsorted(array.run_ends.to_numpy(), places, side="right")


def struct_fields(array: pa.StructArray) -> list[pa.Array]:
    """Return the fields of a struct, null where it is null.

    Arrow's own `flatten` ends the process where a struct with nulls holds a union (pyarrow 26).

    Examples
    --------
    >>> [field.to_pylist() for field in struct_fields(pa.array([{"a": 1}, None, {"a": 3}]))]
    [[1, None, 3]]
    """
    kind = array.type
    fields = [array.field(place) for place in range(kind.num_fields)]
    rest = [place for place, field in enumerate(kind) if not _hides_nulls(field.type)]
    if len(rest) == len(fields):
        return list(array.flatten())
    if array.null_count:
        nulls = array.is_null()
        for place, field in enumerate(kind):  # runs stay: Arrow does not take from them
            if pa.types.is_union(field.type):
                held = pa.array(np.arange(len(array)), mask=nulls.to_numpy(zero_copy_only=False))
                fields[place] = fields[place].take(held)
        if rest:
            kept = [kind.field(place) for place in rest]
            plain = pa.StructArray.from_arrays([fields[place] for place in rest], fields=kept, mask=nulls)
            for place, flat in zip(rest, plain.flatten(), strict=True):
                fields[place] = flat
    return fields


def _hides_nulls(kind: pa.DataType) -> bool:
    """Say whether arrays of a type have no bitmap of nulls."""
    return bool(pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind))


def map_entries(array: pa.MapArray) -> pa.ListArray:
    """Return maps as lists of entries with `key` and `value`, of the same layout: kernels for lists know no maps.

    Arrow's own casts and views get the length of run-end encoded values wrong (pyarrow 26).

    Examples
    --------
    >>> map_entries(pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8()))).to_pylist()
    [[{'key': 'a', 'value': 1}], None]
    """
    fields = [pa.field("key", array.type.key_type, nullable=False), pa.field("value", array.type.item_type)]
    keys, items = array.keys, _without_bitmap(array.items)
    entries = pa.Array.from_buffers(pa.struct(fields), len(keys), [None], 0, children=[keys, items])
    buffers = array.buffers()[:2]
    return pa.ListArray.from_buffers(
        pa.list_(entries.type), len(array), buffers, array.null_count, array.offset, children=[entries]
    )


def _without_bitmap(array: pa.Array) -> pa.Array:
    """Return runs without the bitmap of nulls that Arrow gives those it joins, and then refuses (pyarrow 26)."""
    if not pa.types.is_run_end_encoded(array.type):
        return array
    runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, array.values)
    return runs.slice(array.offset, len(array))


def _cast_nested(array: pa.Array, target: pa.DataType) -> pa.Array:
    t = pa.types
    mask = array.is_null() if array.null_count else None
    if t.is_struct(target):
        found = dict(zip((field.name for field in array.type), struct_fields(array), strict=True))
        fields = [target.field(position) for position in range(target.num_fields)]
        return pa.StructArray.from_arrays([_cast(found[f.name], f.type) for f in fields], fields=fields, mask=mask)
    if t.is_map(target):
        lists = map_entries(array)
        entries = lists.flatten()
        keys, items = _cast(entries.field(0), target.key_type), _cast(entries.field(1), target.item_type)
        return pa.MapArray.from_arrays(_offsets(lists, pa.int32()), keys, items, target, mask=mask)
    values = _cast(list_items(array), target.value_type)
    if t.is_fixed_size_list(target):
        return pa.FixedSizeListArray.from_arrays(_padded(array, values, target.list_size), type=target, mask=mask)
    large = t.is_large_list(target)
    builder = pa.LargeListArray if large else pa.ListArray
    return builder.from_arrays(_offsets(array, pa.int64() if large else pa.int32()), values, type=target, mask=mask)


def list_items(lists: pa.Array) -> pa.Array:
    """Return the items of lists, without what lies under nulls.

    Arrow's own `flatten` joins the pieces between null lists of one size, and joins half floats of dictionaries as
    whole numbers (pyarrow 26).
    """
    kind = lists.type
    if not (pa.types.is_fixed_size_list(kind) and lists.null_count and pa.types.is_dictionary(kind.value_type)):
        return lists.flatten()
    held = np.repeat(lists.is_valid().to_numpy(zero_copy_only=False), kind.list_size)
    items = lists.values.slice(lists.offset * kind.list_size, len(lists) * kind.list_size)
    return items.take(pa.array(np.flatnonzero(held)))


def _offsets(lists: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets).cast(kind)


def _padded(lists: pa.Array, values: pa.Array, size: int) -> pa.Array:
    """Return the values of lists of one length, with room under the null lists."""
    lengths = pc.list_value_length(lists)
    if pc.any(pc.not_equal(lengths, size)).as_py():
        raise pa.ArrowInvalid(f"a list has not {size} values")
    if not lists.null_count:
        return values
    taken = np.repeat(lists.is_valid().to_numpy(zero_copy_only=False), size)
    return values.take(pa.array(np.cumsum(taken) - 1, mask=~taken))


def _cast_values(array: pa.Array, target: pa.DataType) -> pa.Array:
    after = _convert(array, target)
    both_integers = pa.types.is_integer(array.type) and pa.types.is_integer(target)
    if is_number(target) and not both_integers and not same_values(array, _convert(after, array.type)):
        raise pa.ArrowInvalid("a value would be rounded")
    return after


def _convert(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast by Arrow, in two steps where it has no direct way or wants more digits than the values have."""
    t = pa.types
    kinds = (array.type, target)
    decimals = [kind for kind in kinds if t.is_decimal(kind)]
    if len(decimals) == 1:
        if any(t.is_integer(kind) for kind in kinds):
            array = array.cast(pa.decimal256(_WIDE_DIGITS, decimals[0].scale))
        elif any(t.is_float16(kind) for kind in kinds):
            array = array.cast(pa.float64())
    return array.cast(target, safe=True)


def same_values(first: pa.Array, second: pa.Array) -> bool:
    """Say whether two columns of one type hold the same values; NaN equals NaN, at any depth."""
    if first.equals(second):
        return True
    if len(first) != len(second) or not first.is_null().equals(second.is_null()):
        return False
    t = pa.types
    kind = first.type
    if t.is_dictionary(kind):
        return same_values(first.dictionary_decode(), second.dictionary_decode())
    if t.is_struct(kind):
        return all(map(same_values, struct_fields(first), struct_fields(second)))
    if t.is_map(kind):
        return same_values(map_entries(first), map_entries(second))
    if is_list(kind):
        lengths = [pc.list_value_length(each) for each in (first, second)]
        return bool(lengths[0].equals(lengths[1])) and same_values(first.flatten(), second.flatten())
    return t.is_floating(kind) and _same_floats(first, second)


def _same_floats(first: pa.Array, second: pa.Array) -> bool:
    if pa.types.is_float16(first.type):  # Arrow does not compare half floats
        first, second = first.cast(pa.float32()), second.cast(pa.float32())
    same = pc.or_(pc.equal(first, second), pc.and_(pc.is_nan(first), pc.is_nan(second)))
    return pc.all(same).as_py() is not False

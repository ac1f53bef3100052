"""Values inside of nested columns, under paths: ``stops[].code`` is the field `code` of the items of `stops`.

A field adds ``.name``, the items of a list ``[]``; a map is a list of entries with ``key`` and ``value``. A field of no
struct is null; of no list there are no items.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import list_items, map_entries, struct_fields
from foldstore.datastore.statistics.reading import plain_array, value_type

ITEMS: Final = "[]"
# Deeper values are not looked at.
MOST_LEVELS: Final = 16
_ENTRY: Final = ("key", "value")


def steps_of(kind: pa.DataType) -> dict[str, pa.DataType]:
    """Return what a type holds one level down, by the piece of path that it adds.

    Vectors are values of their own, and hold nothing: lists of floats of one size, and all lists of single and half
    floats, of which embeddings are made. Fields that share a name are left out.

    Examples
    --------
    >>> steps_of(pa.list_(pa.struct({"code": pa.string()})))
    {'[]': StructType(struct<code: string>)}
    """
    kind = value_type(kind)
    if pa.types.is_struct(kind):
        return {f".{field.name}": field.type for field in kind if kind.get_field_index(field.name) >= 0}
    if pa.types.is_map(kind):
        return {ITEMS: pa.struct(dict(zip(_ENTRY, (kind.key_type, kind.item_type), strict=True)))}
    if not is_list(kind):
        return {}
    short = pa.types.is_float32(kind.value_type) or pa.types.is_float16(kind.value_type)
    is_vector = short or (pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))
    return {} if is_vector else {ITEMS: kind.value_type}


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists, of whatever layout."""
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view)
    return any(test(kind) for test in (*tests, types.is_fixed_size_list))


def take_step(array: pa.Array, step: str) -> tuple[pa.Array, NDArray[np.int64] | None]:
    """Return the values one level down, and the place of the value that holds each; None where they are the same."""
    if step != ITEMS:
        return plain_array(struct_fields(array)[array.type.get_field_index(step[1:])]), None
    if isinstance(array, pa.MapArray):
        array = map_entries(array)
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    # Arrow's own `list_parent_indices` refuses list views that share items.
    return plain_array(list_items(array)), np.repeat(np.arange(len(array), dtype=np.int64), counts)


def find_path(name: str, schema: pa.Schema) -> tuple[str, tuple[str, ...]] | None:
    """Return the column that a path begins with, and its steps down; None where it leads nowhere.

    A column's own name goes before any path that reads the same.

    Examples
    --------
    >>> find_path("stops[].code", pa.schema({"stops": pa.list_(pa.struct({"code": pa.string()}))}))
    ('stops', ('[]', '.code'))
    """
    if name in schema.names:
        return name, ()
    for field in schema:
        if name.startswith(field.name) and (found := _find_steps(name[len(field.name) :], field.type, 0)):
            return field.name, found
    return None


def _find_steps(rest: str, kind: pa.DataType, level: int) -> tuple[str, ...] | None:
    if not rest:
        return ()
    for step, inner in steps_of(kind).items() if level < MOST_LEVELS else ():
        if rest.startswith(step) and (found := _find_steps(rest[len(step) :], inner, level + 1)) is not None:
            return (step, *found)
    return None


def take_inside(array: Any, steps: tuple[str, ...]) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the values at the end of some steps, and the row that each is in.

    Examples
    --------
    >>> values, rows = take_inside(pa.array([[{"a": 1}], None, [{"a": 2}, {"a": None}]]), ("[]", ".a"))
    >>> values.to_pylist(), rows.tolist()
    ([1, 2, None], [0, 2, 2])
    """
    values = plain_array(array)
    rows = np.arange(len(values), dtype=np.int64)
    for step in steps:
        values, parents = take_step(values, step)
        rows = rows if parents is None else rows[parents]
    return values, rows

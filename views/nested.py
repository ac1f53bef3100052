"""Fields inside columns: ``person.age`` of a struct, ``rois.label`` of a list of structs.

A column whose own name holds dots comes first. Reading a field copies no values; replacing one copies that field alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from foldstore.datastore.exact_cast import struct_fields
from foldstore.errors import ColumnNotFoundError, column_not_found, did_you_mean


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a field lies.

    Attributes
    ----------
    text : str
        As it was written; the name of the column that it becomes.
    column : str
        The column that holds it.
    fields : tuple of str
        The names of fields inside, from the outside in; empty for the column itself.
    type : pyarrow.DataType
        What reading it gives: through a list, a list.
    """

    text: str
    column: str
    fields: tuple[str, ...]
    type: pa.DataType


def find_path(text: str, schema: pa.Schema, *, where: str) -> FieldPath:
    """Find a column, or a field inside one.

    Raises
    ------
    ColumnNotFoundError
        With the fields that there are where the path ends.

    Examples
    --------
    >>> schema = pa.schema({"rois": pa.list_(pa.struct({"label": pa.string()}))})
    >>> str(find_path("rois.label", schema, where="a view").type)
    'list<item: string>'
    """
    if text in schema.names:
        return FieldPath(text, text, (), schema.field(text).type)
    parts = text.split(".")
    for count in range(len(parts) - 1, 0, -1):
        column = ".".join(parts[:count])
        if column in schema.names:
            fields = tuple(parts[count:])
            return FieldPath(text, column, fields, _type_at(schema.field(column).type, fields, text, column))
    raise column_not_found(text, schema.names, where=where)


def read_field(column: pa.Array, fields: Sequence[str]) -> pa.Array:
    """Return a field of each value, through lists too; null where what holds it is null."""
    if not fields:
        return column
    if is_list(column.type):
        return with_values(column, read_field(column.values, fields))
    inner = struct_fields(column)[column.type.get_field_index(fields[0])]
    return read_field(inner, fields[1:])


def replace_field(column: pa.Array, fields: Sequence[str], change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return a column in which a field is what `change` makes of it."""
    if not fields:
        return change(column)
    if is_list(column.type):
        return with_values(column, replace_field(column.values, fields, change))
    place = column.type.get_field_index(fields[0])
    children = [column.field(position) for position in range(column.type.num_fields)]
    children[place] = replace_field(children[place], fields[1:], change)
    names = [column.type.field(position).name for position in range(column.type.num_fields)]
    return pa.StructArray.from_arrays(children, names, mask=column.is_null() if column.null_count else None)


def replace_type(kind: pa.DataType, fields: Sequence[str], change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return the type that `replace_field` gives."""
    if not fields:
        return change(kind)
    if is_list(kind):
        return list_type(kind, replace_type(kind.value_type, fields, change))
    place = kind.get_field_index(fields[0])
    inner = [kind.field(position) for position in range(kind.num_fields)]
    inner[place] = pa.field(inner[place].name, replace_type(inner[place].type, fields[1:], change))
    return pa.struct(inner)


def list_type(kind: pa.DataType, value_type: pa.DataType) -> pa.DataType:
    """Return a list type of the same form with other values."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(value_type, kind.list_size)
    return pa.large_list(value_type) if pa.types.is_large_list(kind) else pa.list_(value_type)


def with_values(column: pa.Array, values: pa.Array) -> pa.Array:
    """Return a list column over other values, in the same lists; its own buffers are shared."""
    buffers = column.buffers()[:1] if pa.types.is_fixed_size_list(column.type) else column.buffers()[:2]
    kind = list_type(column.type, values.type)
    return pa.Array.from_buffers(kind, len(column), buffers, offset=column.offset, children=[values])


def is_list(kind: pa.DataType) -> bool:
    """Say whether a type is one of lists, of any form."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _type_at(kind: pa.DataType, fields: tuple[str, ...], text: str, so_far: str) -> pa.DataType:
    if not fields:
        return kind
    if is_list(kind):
        return list_type(kind, _type_at(kind.value_type, fields, text, so_far))
    names = [kind.field(position).name for position in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    if names.count(fields[0]) != 1:
        raise ColumnNotFoundError(
            f"There is no field {fields[0]!r} in {so_far!r} ({kind}).",
            hint=did_you_mean(fields[0], names) if names else "Only structs, and lists of them, have fields.",
            column=text,
            available=names,
        )
    inner = kind.field(kind.get_field_index(fields[0])).type
    return _type_at(inner, fields[1:], text, f"{so_far}.{fields[0]}")

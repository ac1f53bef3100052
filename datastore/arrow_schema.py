"""Arrow schemas with field ids: what a version's columns are, and whether incoming columns fit them.

A field keeps its id for life, whatever it is called. The id, and the expression of a derived column,
travel as field metadata inside the store; what users see has neither.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from foldstore.datastore.canonical import content_hash
from foldstore.datastore.exact_cast import cast_exactly, is_binary, is_list, is_text
from foldstore.errors import SchemaMismatchError

_FIELD_ID: Final = b"foldstore.field_id"
_EXPRESSION: Final = b"foldstore.expression"
# The types that the column had before it was widened, as JSON: older files still have them.
_NARROWER: Final = b"foldstore.narrower"
MAX_COLUMNS: Final = 10_000
_MAX_NAME_BYTES: Final = 1_000


def check_columns(schema: pa.Schema) -> None:
    """Refuse columns that cannot be kept or asked for.

    Raises
    ------
    SchemaMismatchError
        For no columns, too many, an empty, over-long or repeated name (SQL ignores case), or an extension type.
    """
    check_names(schema.names)
    for field in schema:
        _check_type(field)


def check_names(names: Sequence[str]) -> None:
    """Refuse names of columns that cannot be kept or asked for; see `check_columns`."""
    if not names or len(names) > MAX_COLUMNS:
        raise SchemaMismatchError(
            f"The data has {len(names):,} columns; 1 to {MAX_COLUMNS:,} can be kept.",
            hint="Keep values that belong together in one list or struct column. If lines of a file were joined on the "
            "way, as curl -d does: --data-binary sends it as it is.",
            code="too-many-columns" if names else None,
            columns=len(names),
        )
    seen: dict[str, str] = {}
    for name in names:
        if not name or len(name.encode(errors="surrogatepass")) > _MAX_NAME_BYTES or not _is_printable(name):
            raise SchemaMismatchError(
                f"{ascii(name[:80])[:80]} cannot name a column.",
                hint="Use 1 to 1,000 bytes without control characters.",
                code="invalid-column-name",
            )
        if name.lower() in seen:
            raise SchemaMismatchError(
                f"Columns {seen[name.lower()]!r} and {name!r} differ by case alone or not at all.",
                hint="Rename one of them: SQL does not tell them apart.",
                code="duplicate-column",
                columns=[seen[name.lower()], name],
            )
        seen[name.lower()] = name


def _is_printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return all(character.isprintable() for character in name)


def _check_type(field: pa.Field) -> None:
    for inner in _with_inner(field):
        kind = inner.type
        if isinstance(kind, pa.BaseExtensionType) or (inner.metadata or {}).get(b"ARROW:extension:name"):
            raise SchemaMismatchError(
                f"Column {field.name!r} has an extension type ({kind}), which is not kept.",
                hint="Cast it to its storage type first.",
                column=field.name,
            )
        if pa.types.is_fixed_size_list(kind) and not kind.list_size:
            raise SchemaMismatchError(
                f"Column {field.name!r} has lists of no items ({kind}), which are not kept.",
                hint="Leave it out, or make it lists of any length.",
                column=field.name,
            )
        if _repeats(kind) and any(pa.types.is_union(each.type) for each in _with_inner(inner)):
            raise SchemaMismatchError(  # writing a union without rows ends the process (pyarrow 26)
                f"Column {field.name!r} has unions in lists or maps ({kind}), which are not kept.",
                hint="Cast them to structs first.",
                column=field.name,
            )
        if pa.types.is_union(kind) and any(storage_type(each.type) != each.type for each in inner_fields(kind)):
            raise SchemaMismatchError(
                f"Column {field.name!r} is a union with a type inside that is not kept ({kind}).",
                hint="Cast it to a struct first.",
                column=field.name,
            )


def _repeats(kind: pa.DataType) -> bool:
    """Say whether a value may hold any number of others, none too."""
    return bool(is_list(kind) or pa.types.is_map(kind))


def _with_inner(field: pa.Field) -> Iterator[pa.Field]:
    yield field
    if not isinstance(field.type, pa.BaseExtensionType):
        for inner in inner_fields(field.type):
            yield from _with_inner(inner)


def inner_fields(kind: pa.DataType) -> list[pa.Field]:
    """Return the fields one level inside a type; none for a plain one."""
    t = pa.types
    if t.is_primitive(kind):
        return []
    if is_list(kind):
        return [kind.value_field]
    if t.is_map(kind):
        return [kind.key_field, kind.item_field]
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return [pa.field("value", kind.value_type)]
    return [kind.field(position) for position in range(kind.num_fields)] if t.is_nested(kind) else []


def holds_text_views(kind: pa.DataType) -> bool:
    """Say whether a type is a view of texts or binaries, or has one inside; views of lists are not looked into.

    Examples
    --------
    >>> holds_text_views(pa.list_(pa.string_view())), holds_text_views(pa.list_(pa.string()))
    (True, False)
    """
    t = pa.types
    if t.is_list_view(kind) or t.is_large_list_view(kind):
        return False
    if t.is_string_view(kind) or t.is_binary_view(kind):
        return True
    return any(holds_text_views(each.type) for each in inner_fields(kind))


def storage_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type that a column is kept in, at every depth.

    Views and run-ends become plain arrays, and what is inside a nested type may be null. A column that is a
    dictionary of texts or binaries stays one, with 32-bit indices, so that dictionaries of many batches have
    room; other dictionaries become their values: Arrow unifies, sorts and compares those alone. Decimals of
    32 and 64 bits, for which Arrow has no order, become 128 bits wide.
    """
    if pa.types.is_dictionary(arrow_type) and (is_text(arrow_type.value_type) or is_binary(arrow_type.value_type)):
        return pa.dictionary(pa.int32(), _plain_type(arrow_type.value_type), ordered=arrow_type.ordered)
    return _plain_type(arrow_type)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    t = pa.types
    if t.is_string_view(kind):
        return pa.string()
    if t.is_binary_view(kind):
        return pa.binary()
    if t.is_run_end_encoded(kind) or t.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if t.is_decimal32(kind) or t.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return _plain_nested(kind) if t.is_nested(kind) and not t.is_union(kind) else kind


def _plain_nested(kind: pa.DataType) -> pa.DataType:
    t = pa.types
    inner = [pa.field(each.name, _plain_type(each.type)) for each in inner_fields(kind)]
    if t.is_map(kind):
        return pa.map_(inner[0].with_nullable(False), inner[1], keys_sorted=kind.keys_sorted)  # noqa: FBT003
    if t.is_struct(kind):
        return pa.struct(inner)
    if t.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    return pa.large_list(inner[0]) if t.is_large_list(kind) or t.is_large_list_view(kind) else pa.list_(inner[0])


def assign_ids(
    schema: pa.Schema,
    *,
    known: pa.Schema | None = None,
    next_field: int = 1,
    expressions: Mapping[str, str] | None = None,
) -> tuple[pa.Schema, int]:
    """Give each column its field id: the known one where name and type agree, a new one elsewhere.

    Returns
    -------
    (pyarrow.Schema, int)
        The schema with ids, and the next free id.
    """
    fields = []
    for field in schema:
        old = known.field(field.name) if known is not None and field.name in known.names else None
        if old is not None and old.type == field.type:
            fields.append(old)
            continue
        metadata = {_FIELD_ID: str(next_field).encode()}
        if expressions and field.name in expressions:
            metadata[_EXPRESSION] = expressions[field.name].encode()
        fields.append(pa.field(field.name, field.type, nullable=True, metadata=metadata))
        next_field += 1
    return pa.schema(fields), next_field


def field_ids(schema: pa.Schema) -> tuple[int, ...]:
    """Return the field ids of a stored schema, in column order."""
    return tuple(int(field.metadata[_FIELD_ID]) for field in schema)


def expressions_of(schema: pa.Schema) -> dict[str, str]:
    """Return the expressions of a stored schema's derived columns by name."""
    return {f.name: f.metadata[_EXPRESSION].decode() for f in schema if _EXPRESSION in f.metadata}


def narrower_types(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Return the earlier types of the columns that were widened, by name."""
    return {f.name: tuple(json.loads(f.metadata[_NARROWER])) for f in schema if _NARROWER in f.metadata}


def widen_field(field: pa.Field, wider: pa.DataType) -> pa.Field:
    """Return a stored field with a wider type, which remembers the one that it had."""
    earlier = json.loads(field.metadata.get(_NARROWER, b"[]"))
    remembered = json.dumps([*earlier, str(field.type)]).encode()
    return pa.field(field.name, wider, nullable=True, metadata={**field.metadata, _NARROWER: remembered})


def stored_field(
    field: pa.Field, field_id: int, *, expression: str | None = None, narrower: Sequence[str] = ()
) -> pa.Field:
    """Return a field as it is stored: with its id, its expression and the types that it had before it was widened."""
    metadata = {_FIELD_ID: str(field_id).encode()}
    if expression is not None:
        metadata[_EXPRESSION] = expression.encode()
    if narrower:
        metadata[_NARROWER] = json.dumps(list(narrower)).encode()
    return pa.field(field.name, field.type, nullable=True, metadata=metadata)


def without_expression(field: pa.Field) -> pa.Field:
    """Return a stored field that is not computed any more: what it holds stays, new rows bring it."""
    kept = {key: value for key, value in field.metadata.items() if key != _EXPRESSION}
    return field.with_metadata(kept)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema as users see it."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def encode_schema(schema: pa.Schema) -> tuple[str, bytes]:
    """Return a stored schema's name (a content address) and bytes."""
    encoded = bytes(schema.serialize())
    return content_hash(encoded), encoded


def decode_schema(encoded: bytes) -> pa.Schema:
    """Read a stored schema."""
    return pa.ipc.read_schema(pa.py_buffer(encoded))


def conform_batch(batch: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    """Give a batch the columns of a schema, in its order, every value unchanged."""
    arrays = [cast_exactly(batch.column(field.name), field.type, name=field.name) for field in target]
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def conforms(schema: pa.Schema, target: pa.Schema) -> bool:
    """Whether batches of a schema are what `conform_batch` makes of them; dictionaries may be written in another way.

    Examples
    --------
    >>> conforms(pa.schema({"x": pa.int8()}), pa.schema({"x": pa.int8()}))
    True
    """
    is_encoded = (pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) for kind in target.types)
    return schema.equals(target) and not any(is_encoded)


def storage_schema(schema: pa.Schema, names: Iterable[str] | None = None) -> pa.Schema:
    """Return the columns of a schema in the types that are kept."""
    chosen: Sequence[str] = schema.names if names is None else list(names)
    return pa.schema([pa.field(name, storage_type(schema.field(name).type)) for name in chosen])

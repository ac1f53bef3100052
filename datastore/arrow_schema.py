"""Arrow schemas with field ids: what a version's columns are, and whether incoming columns fit them.

A field keeps its id for life, whatever it is called. The id, and the expression of a derived column,
travel as field metadata inside the store; what users see has neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.canonical import content_hash
from foldstore.errors import SchemaMismatchError

_FIELD_ID: Final = b"foldstore.field_id"
_EXPRESSION: Final = b"foldstore.expression"
_MAX_COLUMNS: Final = 10_000
_MAX_NAME_BYTES: Final = 1_000


def check_columns(schema: pa.Schema) -> None:
    """Refuse columns that cannot be kept or asked for.

    Raises
    ------
    SchemaMismatchError
        For no columns, too many, an empty, over-long or repeated name (SQL ignores case), or an extension type.
    """
    if not len(schema) or len(schema) > _MAX_COLUMNS:
        raise SchemaMismatchError(f"The data has {len(schema)} columns; 1 to {_MAX_COLUMNS} can be kept.")
    seen: dict[str, str] = {}
    for field in schema:
        name = field.name
        if not name or len(name.encode(errors="surrogatepass")) > _MAX_NAME_BYTES or not _is_printable(name):
            raise SchemaMismatchError(
                f"{ascii(name)[:80]} cannot name a column.", hint="Use 1 to 1,000 bytes without control characters."
            )
        if name.lower() in seen:
            raise SchemaMismatchError(
                f"Columns {seen[name.lower()]!r} and {name!r} differ by case alone or not at all.",
                hint="Rename one of them: SQL does not tell them apart.",
                columns=[seen[name.lower()], name],
            )
        seen[name.lower()] = name
        _check_type(field)


def _is_printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return all(character.isprintable() for character in name)


def _check_type(field: pa.Field) -> None:
    if isinstance(field.type, pa.BaseExtensionType) or (field.metadata or {}).get(b"ARROW:extension:name"):
        raise SchemaMismatchError(
            f"Column {field.name!r} has an extension type ({field.type}), which is not kept.",
            hint="Cast it to its storage type first.",
            column=field.name,
        )


def storage_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type that a column is kept in: views and run-ends become plain arrays."""
    t = pa.types
    if t.is_string_view(arrow_type):
        return pa.string()
    if t.is_binary_view(arrow_type):
        return pa.binary()
    if t.is_run_end_encoded(arrow_type):
        return storage_type(arrow_type.value_type)
    return arrow_type


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


def can_cast(source: pa.DataType, target: pa.DataType) -> bool:
    """Say whether values of one type may become another when nothing is lost.

    Numbers become numbers when every value fits; timestamps change unit, instants stay instants;
    texts, binaries and dictionaries change their layout; anything may be all null.
    """
    t = pa.types
    if source == target or t.is_null(source):
        return True
    if t.is_dictionary(source):
        return can_cast(source.value_type, target)
    if t.is_dictionary(target):
        return can_cast(source, target.value_type)
    if t.is_timestamp(source) and t.is_timestamp(target):
        return bool((source.tz is None) == (target.tz is None))
    families = (_is_number, _is_text, _is_binary, _is_list, t.is_time, t.is_duration, t.is_date)
    for family in families:
        if family(source) and family(target):
            return can_cast(source.value_type, target.value_type) if family is _is_list else True
    return False


def _is_number(arrow_type: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(arrow_type) or t.is_floating(arrow_type) or t.is_decimal(arrow_type))


def _is_text(arrow_type: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(arrow_type) or t.is_large_string(arrow_type) or t.is_string_view(arrow_type))


def _is_binary(arrow_type: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(arrow_type) or t.is_large_binary(arrow_type) or t.is_binary_view(arrow_type))


def _is_list(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type))


def cast_exactly(column: pa.Array, target: pa.DataType, *, name: str) -> pa.Array:
    """Cast a column so that no value changes.

    Raises
    ------
    SchemaMismatchError
        When the types have nothing in common, or a value does not fit.
    """
    if column.type == target:
        return column
    if not can_cast(column.type, target):
        raise _mismatch(name, column.type, target, "the types have nothing in common")
    try:
        cast = column.dictionary_encode() if pa.types.is_dictionary(target) else column
        cast = cast.cast(target, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _mismatch(name, column.type, target, str(error)) from error
    if pa.types.is_floating(target) and _is_number(column.type) and not _same_numbers(column, cast):
        raise _mismatch(name, column.type, target, "a value would be rounded")
    return cast


def _same_numbers(before: pa.Array, after: pa.Array) -> bool:
    # Arrow's safe cast lets float64 -> float32 and large integers lose digits; back again must be the same.
    back = after.cast(before.type, safe=False)
    same = pc.equal(before, back)
    if pa.types.is_floating(before.type):
        same = pc.or_(same, pc.and_(pc.is_nan(before), pc.is_nan(back)))
    return pc.all(same).as_py() is not False


def _mismatch(name: str, source: pa.DataType, target: pa.DataType, why: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"Column {name!r} comes as {source}, the dataset keeps {target}: {why}.",
        hint="Cast it before, or set a schema with set_schema(): then such data is quarantined with a report.",
        code="type-mismatch",
        column=name,
        found=str(source),
        expected=str(target),
    )


def conform_batch(batch: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    """Give a batch the columns of a schema, in its order, every value unchanged."""
    arrays = [cast_exactly(_flat(batch.column(field.name)), field.type, name=field.name) for field in target]
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _flat(array: pa.Array) -> pa.Array:
    return pc.run_end_decode(array) if pa.types.is_run_end_encoded(array.type) else array


def storage_schema(schema: pa.Schema, names: Iterable[str] | None = None) -> pa.Schema:
    """Return the columns of a schema in the types that are kept."""
    chosen: Sequence[str] = schema.names if names is None else list(names)
    return pa.schema([pa.field(name, storage_type(schema.field(name).type)) for name in chosen])

"""Drop, rename and widen columns: the columns change, no file does.

A field keeps its id for life, so files written under another name, or as a narrower type, are read as what the
column is now; a widened column is cast when it is read, which copies it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

import pyarrow as pa

from foldstore.datastore.arrow_schema import check_columns, expressions_of, plain_schema, storage_type, widen_field
from foldstore.datastore.arrow_schema import field_ids as ids_of
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.errors import AlreadyExistsError, SchemaMismatchError, UsageError, column_not_found
from foldstore.types import Operation

# Which types hold every value of another, to the bit.
_WIDER: Final[Mapping[str, tuple[str, ...]]] = {
    "int8": ("int16", "int32", "int64", "float", "double"),
    "int16": ("int32", "int64", "float", "double"),
    "int32": ("int64", "double"),
    "uint8": ("uint16", "uint32", "uint64", "int16", "int32", "int64", "float", "double"),
    "uint16": ("uint32", "uint64", "int32", "int64", "float", "double"),
    "uint32": ("uint64", "int64", "double"),
    "halffloat": ("float", "double"),
    "float": ("double",),
    "string": ("large_string",),
    "binary": ("large_binary",),
}


class DropColumns:
    """The step that drops columns; their files stay for the versions that have them."""

    operation: ClassVar = Operation.DROP_COLUMNS
    replays: ClassVar = True

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = _check_names(columns)

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Take the columns out of the draft's.

        Raises
        ------
        ColumnNotFoundError
            When there is no such column.
        UsageError
            When it belongs to the key, is the event time, is used by a derived column, or is the last one.
        """
        schema = draft.known_schema(transaction.dataset.name)
        for name in self._columns:
            _require(schema, name, transaction.dataset)
        _refuse_needed(transaction, schema, self._columns, act="dropped")
        kept = [field for field in schema if field.name not in self._columns]
        if not kept:
            raise UsageError("A dataset keeps at least one column.", hint="delete() or overwrite() the rows instead.")
        return replace(draft, schema=pa.schema(kept))


class RenameColumns:
    """The step that renames columns, at once: two names may be swapped."""

    operation: ClassVar = Operation.RENAME_COLUMNS
    replays: ClassVar = True

    def __init__(self, names: Mapping[str, str]) -> None:
        if not isinstance(names, Mapping) or not names or not all(isinstance(n, str) for p in names.items() for n in p):
            raise UsageError("Columns are renamed by a dict.", hint='Write rename_columns({"old": "new"}).')
        self._names = dict(names)

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Give the columns their new names.

        Raises
        ------
        ColumnNotFoundError
            When there is no such column.
        AlreadyExistsError
            When another column has the new name.
        UsageError
            When it belongs to the key, is the event time, or is used by a derived column.
        """
        schema = draft.known_schema(transaction.dataset.name)
        for name in self._names:
            _require(schema, name, transaction.dataset)
        _refuse_needed(transaction, schema, list(self._names), act="renamed")
        names = [self._names.get(name, name) for name in schema.names]
        for name in names:
            if names.count(name) > 1:
                raise AlreadyExistsError(
                    f"There is a column {name!r} already.", hint="Choose another name.", column=name
                )
        renamed = [field.with_name(name) for field, name in zip(schema, names, strict=True)]
        check_columns(plain_schema(pa.schema(renamed)))
        return replace(draft, schema=pa.schema(renamed))


class WidenColumns:
    """The step that gives columns types which hold all their values and more."""

    operation: ClassVar = Operation.WIDEN_COLUMNS
    replays: ClassVar = True

    def __init__(self, types: Mapping[str, object]) -> None:
        if not isinstance(types, Mapping) or not types:
            raise UsageError("Types are given by a dict.", hint='Write widen_columns({"amount": "int64"}).')
        self._types = {str(name): _type_of(str(name), kind) for name, kind in types.items()}

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Give the columns their new types.

        Raises
        ------
        ColumnNotFoundError
            When there is no such column.
        SchemaMismatchError
            When the new type does not hold every value of the old one, or a derived column uses the column.
        """
        schema = draft.known_schema(transaction.dataset.name)
        for name, kind in self._types.items():
            _require(schema, name, transaction.dataset)
            if not is_wider(schema.field(name).type, kind):
                raise SchemaMismatchError(
                    f"Column {name!r} is {schema.field(name).type}; {kind} does not hold all its values exactly.",
                    hint=_wider_hint(schema.field(name).type),
                    code="not-wider",
                    column=name,
                )
        _refuse_needed(transaction, schema, [n for n in self._types if n in expressions_of(schema)], act="widened")
        _refuse_used(transaction, schema, list(self._types), act="widened")
        fields = [widen_field(f, self._types[f.name]) if f.name in self._types else f for f in schema]
        ids = dict(zip(schema.names, ids_of(schema), strict=True))
        widened = {ids[name] for name in self._types}
        # Bounds are kept as the narrower type has them; without, a commit opens the fragment to look.
        fragments = tuple(
            replace(each, bounds=tuple(bound for bound in each.bounds if bound[0] not in widened))
            for each in draft.fragments
        )
        return replace(draft, schema=pa.schema(fields), fragments=fragments)


def is_wider(narrow: pa.DataType, wide: pa.DataType) -> bool:
    """Say whether a type holds every value of another exactly, and more.

    Examples
    --------
    >>> is_wider(pa.int32(), pa.int64()), is_wider(pa.int64(), pa.float64())
    (True, False)
    """
    t = pa.types
    if t.is_decimal(narrow) and t.is_decimal(wide):
        whole = wide.precision - wide.scale >= narrow.precision - narrow.scale
        return bool(whole and wide.scale >= narrow.scale and wide != narrow)
    return str(wide) in _WIDER.get(str(narrow), ())


def _wider_hint(kind: pa.DataType) -> str:
    wider = _WIDER.get(str(kind))
    if wider:
        return f"Wider are: {', '.join(wider)}."
    return "Add a column of another type with add_columns(), and drop this one."


def _type_of(column: str, kind: object) -> pa.DataType:
    try:
        return storage_type(kind if isinstance(kind, pa.DataType) else pa.type_for_alias(kind))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{kind!r} is not a type (for column {column!r}).",
            hint="Write int64, double, large_string or a pyarrow type.",
        ) from error


def _check_names(columns: object) -> list[str]:
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not all(isinstance(n, str) for n in columns):
        raise UsageError(f"{str(columns)[:80]!r} is not a list of columns.", hint='Write drop_columns(["note"]).')
    if not columns:
        raise UsageError("There is no column to drop.", hint='Write drop_columns(["note"]).')
    return list(columns)


def _require(schema: pa.Schema, name: str, dataset: DatasetRecord) -> None:
    if name not in schema.names:
        raise column_not_found(name, schema.names, where=repr(dataset.name))


def _refuse_needed(transaction: Transaction, schema: pa.Schema, columns: Sequence[str], *, act: str) -> None:
    """Refuse to change columns that the dataset was made with, or that others are computed from."""
    dataset = transaction.dataset
    declared = {*dataset.key, *([dataset.event_time] if dataset.event_time else []), *dataset.derive}
    for name in columns:
        if name in declared:
            raise UsageError(
                f"{name!r} belongs to what {dataset.name!r} was made with (key, event time, derived columns): "
                f"it cannot be {act}.",
                hint="Make a dataset with other columns, and append this one's rows there.",
                code="column-needed",
                column=name,
            )
    _refuse_used(transaction, schema, columns, act=act)


def _refuse_used(transaction: Transaction, schema: pa.Schema, columns: Sequence[str], *, act: str) -> None:
    plain = plain_schema(schema)
    for derived, text in expressions_of(schema).items():
        used = transaction.storage.engine.parse_expression(text, plain, where=f"column {derived!r}").columns
        hit = [name for name in columns if name in used and derived not in columns]
        if hit:
            raise UsageError(
                f"{derived!r} is computed from {hit[0]!r}: it cannot be {act}.",
                hint=f"Drop {derived!r} first, or in the same call.",
                code="column-needed",
                column=hit[0],
                used_by=derived,
            )

"""How incoming columns become those of a dataset: which are given, which derived, which missing, as what type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from foldstore.datastore.arrow_schema import (
    assign_ids,
    check_columns,
    expressions_of,
    plain_schema,
    storage_schema,
)
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.derivation import Derivation, plan_derivation
from foldstore.datastore.draft import Draft
from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import can_cast
from foldstore.errors import SchemaMismatchError, column_not_found, did_you_mean

_MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """How incoming columns become the dataset's.

    Attributes
    ----------
    schema : pyarrow.Schema
        All columns of the new version, with field ids.
    next_field : int
        The next free field id.
    given : tuple of str
        Columns that the data brings, in the dataset's order.
    derivation : Derivation
        Columns that are computed from the incoming ones.
    missing : tuple of str
        Columns that the data came without; they read as null.
    """

    schema: pa.Schema
    next_field: int
    given: tuple[str, ...]
    derivation: Derivation
    missing: tuple[str, ...]

    @property
    def written(self) -> pa.Schema:
        """The columns that are written, with field ids."""
        return pa.schema([field for field in self.schema if field.name not in self.missing])


def plan_columns(
    engine: Engine,
    dataset: DatasetRecord,
    draft: Draft,
    incoming: pa.Schema,
    *,
    judged: bool,
    evolve: bool = False,
    unfit: frozenset[str] = frozenset(),
) -> ColumnPlan:
    """Decide how incoming columns become the dataset's.

    Parameters
    ----------
    judged : bool
        Whether a gate will judge the version: then missing, new and ill-typed columns are let through to it.
    evolve : bool
        Whether new columns are added to the dataset's, and missing ones read as null.
    unfit : frozenset of str
        Columns with values that do not fit the dataset's type although others of their type would; they too
        are let through, as what they are.
    """
    check_columns(incoming)
    plain = storage_schema(incoming)
    if draft.schema is None:
        return _first_plan(engine, dataset, plain)
    return _next_plan(engine, dataset, draft, plain, judged=judged, evolve=evolve, unfit=unfit)


def _first_plan(engine: Engine, dataset: DatasetRecord, incoming: pa.Schema) -> ColumnPlan:
    given = pa.schema([field for field in incoming if field.name not in dataset.derive])
    derivation = plan_derivation(engine, dataset.derive, given, where=_named(dataset))
    fields = [*given, *(pa.field(name, derivation.types[name]) for name in dataset.derive)]
    check_columns(pa.schema(fields))
    schema, next_field = assign_ids(pa.schema(fields), expressions=dataset.derive)
    for name in (*dataset.key, *([dataset.event_time] if dataset.event_time else [])):
        if name not in schema.names:
            raise column_not_found(name, schema.names, where=f"the data, but {dataset.name!r} needs it")
    return ColumnPlan(schema=schema, next_field=next_field, given=tuple(given.names), derivation=derivation, missing=())


def _next_plan(
    engine: Engine,
    dataset: DatasetRecord,
    draft: Draft,
    incoming: pa.Schema,
    *,
    judged: bool,
    evolve: bool,
    unfit: frozenset[str],
) -> ColumnPlan:
    assert draft.schema is not None  # noqa: S101  # the caller looked
    known, expressions = plain_schema(draft.schema), expressions_of(draft.schema)
    new = [name for name in incoming.names if name not in known.names]
    absent = [name for name in known.names if name not in incoming.names and name not in expressions]
    if not judged:
        _refuse_differences(dataset, draft.schema, incoming, new=[] if evolve else new, absent=[] if evolve else absent)
    for name in (*dataset.key, *([dataset.event_time] if dataset.event_time else [])):
        if name in absent and not judged:
            raise column_not_found(name, incoming.names, where=f"the data, but {dataset.name!r} needs it")
    settled = {
        f.name: f if f.name in expressions else _settle_type(dataset, f, incoming, judged=judged, unfit=unfit)
        for f in known
    }
    settled.update({name: incoming.field(name) for name in new})
    present = pa.schema([f for f in settled.values() if f.name in incoming.names and f.name not in expressions])
    # Where a gate judges, what would be computed of ill-typed columns is left out, for the gate to find.
    inputs = pa.schema([f for f in present if not judged or f.name in new or f.type == known.field(f.name).type])
    derivation = plan_derivation(
        engine,
        expressions,
        inputs,
        kept={name: known.field(name).type for name in expressions},
        lenient=judged,
        where=_named(dataset),
    )
    settled.update({name: pa.field(name, kind) for name, kind in derivation.types.items()})
    schema, next_field = assign_ids(
        pa.schema(list(settled.values())),
        known=draft.schema,
        next_field=draft.next_field,
        expressions=expressions,
    )
    there = {*present.names, *derivation.types}
    return ColumnPlan(
        schema=schema,
        next_field=next_field,
        given=tuple(present.names),
        derivation=derivation,
        missing=tuple(name for name in schema.names if name not in there),
    )


def _named(dataset: DatasetRecord) -> Callable[[str], str]:
    return lambda name: f"derived column {name!r} of {dataset.name!r}"


def _refuse_differences(
    dataset: DatasetRecord, draft_schema: pa.Schema, incoming: pa.Schema, *, new: list[str], absent: list[str]
) -> None:
    """Refuse columns that do not fit, naming each of them at once; what is derived is compared by value later."""
    known = plain_schema(draft_schema)
    other = [
        field.name
        for field in known
        if field.name in incoming.names
        and field.name not in expressions_of(draft_schema)
        and not pa.types.is_null(field.type)
        and not can_cast(incoming.field(field.name).type, field.type)
    ]
    if not (new or absent or other):
        return
    said = [f"no column {name!r} there" for name in new[:_MOST_SHOWN]]
    said += [f"column {name!r} is missing" for name in absent[:_MOST_SHOWN]]
    said += [
        f"column {name!r} comes as {incoming.field(name).type}, not {known.field(name).type}"
        for name in other[:_MOST_SHOWN]
    ]
    total = len(new) + len(absent) + len(other)
    more = f"; {total - len(said)} more" if total > len(said) else ""
    meant = did_you_mean(new[0], known.names) + " " if new else ""
    raise SchemaMismatchError(
        f"The data does not fit {dataset.name!r}: {'; '.join(said)}{more}.",
        hint=f"{meant}{_offer(new, absent, other)}",
        code="type-mismatch" if other else "column-new" if new else "column-missing",
        columns=[*new, *absent, *other],
        new=new,
        missing=absent,
        other_types={name: [str(incoming.field(name).type), str(known.field(name).type)] for name in other},
    )


def _offer(new: list[str], absent: list[str], other: list[str]) -> str:
    ways = []
    if new or absent:
        ways.append("evolve=True adds new columns and fills missing ones with null.")
    if other:
        ways.append("Cast such columns before, or widen the dataset's with widen_columns().")
    return " ".join([*ways, "With a schema set, such data is quarantined with a report."])


def _settle_type(
    dataset: DatasetRecord, field: pa.Field, incoming: pa.Schema, *, judged: bool, unfit: frozenset[str]
) -> pa.Field:
    if field.name not in incoming.names:
        return field
    found = incoming.field(field.name).type
    if pa.types.is_null(field.type):  # nothing but nulls so far: the first values decide
        return pa.field(field.name, found)
    if can_cast(found, field.type) and field.name not in unfit:
        return field
    if judged:
        return pa.field(field.name, found)
    raise SchemaMismatchError(
        f"Column {field.name!r} comes as {found}, {dataset.name!r} keeps {field.type}.",
        hint="Cast it before; with a schema set, such data is quarantined with a report.",
        code="type-mismatch",
        column=field.name,
        found=str(found),
        expected=str(field.type),
    )

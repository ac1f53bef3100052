"""Whether what a schema names can be judged at all: looked at when the schema is set, before any row is."""

from collections.abc import Collection, Iterator

import pyarrow as pa

from foldstore.datastore.statistics.reading import parse_type
from foldstore.datastore.storage import Storage
from foldstore.errors import ColumnNotFoundError, FoldstoreError, InvalidSchemaError, NotFoundError, did_you_mean
from foldstore.validation.dataset_rules import ForeignKey
from foldstore.validation.nested_paths import is_of, items_of, nested_names
from foldstore.validation.other_datasets import OtherDatasets
from foldstore.validation.schema import DataSchema
from foldstore.views.transforms.registry import TransformRegistry


def check_references(schema: DataSchema, storage: Storage, known: pa.Schema | None = None) -> None:
    """Refuse a schema whose rules, segments or foreign keys could never be judged.

    Parameters
    ----------
    schema : DataSchema
    storage : Storage
        The open store: its engine parses the expressions, its catalog knows the other datasets.
    known : pa.Schema, optional
        The columns of the rows so far, which a rule may name too.

    Raises
    ------
    InvalidSchemaError
        When an expression does not parse or does not fit the types, or a column or a dataset is not there.
    """
    for where, what, expression, each in _expressions(schema):
        columns, unknown = _arrow_columns(schema, known)
        inside = columns if each is None else items_of(each, columns)
        if inside is not None:
            _check_expression(where, what, expression, inside, unknown, storage)
        elif not is_of(each, unknown):
            raise InvalidSchemaError(
                f"{what} cannot be judged: there is no path {each!r}.", hint="Write stops[] or fare.", where=where
            )
    others = OtherDatasets(storage)
    for place, ref in enumerate(schema.refs):
        _check_foreign_key(f"refs[{place}]", ref, storage, others)
    for name in schema.overlap:
        _check_dataset(f"overlap.{name}", name, storage)
    transforms = TransformRegistry(storage)
    for place, address in enumerate(schema.transforms):
        _check_transform(f"transforms[{place}]", address, transforms)


def _expressions(schema: DataSchema) -> Iterator[tuple[str, str, str, str | None]]:
    for place, rule in enumerate(schema.rules):
        yield f"rules[{place}]", f"The rule {rule.name or rule.expr!r}", rule.expr, rule.each
    for place, segment in enumerate(schema.segments):
        if segment.where is not None:
            yield f"segments[{place}]", f"The segment {segment.name!r}", segment.where, None


def _check_expression(
    where: str, what: str, text: str, columns: pa.Schema, unknown: Collection[str], storage: Storage
) -> None:
    try:
        storage.engine.parse_predicate(text, columns, where=where)
    except FoldstoreError as error:
        # Of a nested type, no more than the name is known before there are rows.
        if not isinstance(error, ColumnNotFoundError) and any(name.lower() in text.lower() for name in unknown):
            return
        raise InvalidSchemaError(
            f"{what} cannot be judged: {error.message}", hint=error.hint, where=where, expression=text
        ) from error


def _arrow_columns(schema: DataSchema, known: pa.Schema | None) -> tuple[pa.Schema, list[str]]:
    """Return the columns that an expression may name, and those of them whose types are not known."""
    held = {} if known is None else {field.name: field.type for field in known}
    inner = nested_names({name: column.type for name, column in schema.columns.items()})
    declared = {
        name: parse_type(column.type) or held.get(name) for name, column in schema.columns.items() if name not in inner
    }
    unknown = [name for name, kind in declared.items() if kind is None]
    kinds = {**held, **{name: kind or pa.null() for name, kind in declared.items()}}
    return pa.schema(list(kinds.items())), unknown


def _check_foreign_key(where: str, ref: ForeignKey, storage: Storage, others: OtherDatasets) -> None:
    _check_dataset(where, ref.dataset, storage)
    try:
        names = others(ref.dataset).arrow_schema.names
    except NotFoundError:  # nothing of it is published yet
        return
    for name in ref.to or ref.columns:
        if name not in names:
            raise InvalidSchemaError(
                f"A foreign key names a column {name!r} that dataset {ref.dataset!r} lacks.",
                hint=did_you_mean(name, names),
                where=where,
                dataset=ref.dataset,
            )


def _check_dataset(where: str, name: str, storage: Storage) -> None:
    if storage.catalog.find_dataset(name) is None:
        known = [each.name for each in storage.catalog.list_datasets()]
        raise InvalidSchemaError(
            f"The schema names a dataset {name!r} that the store lacks.",
            hint=did_you_mean(name, known),
            where=where,
            dataset=name,
        )


def _check_transform(where: str, address: str, transforms: TransformRegistry) -> None:
    try:
        transforms.pin(address)
    except FoldstoreError:
        raise InvalidSchemaError(
            f"The store lacks a transform {address!r} that the schema names.",
            hint=did_you_mean(address, transforms.list_addresses()),
            where=where,
        ) from None

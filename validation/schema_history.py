"""Which schemas a dataset has had: kept in the catalog's Registry under the dataset's name, the newest gates."""

from typing import Final

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.records import Basis
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError
from foldstore.types import Severity, format_time
from foldstore.validation.compatibility import check_compatible
from foldstore.validation.schema import DataSchema

_KIND = "schema"
# A dataset without a schema: nothing is said of its columns.
NO_SCHEMA: Final = DataSchema(columns={}, severity={"column_new": Severity.OFF})


def find_schema(catalog: Catalog, dataset: str) -> DataSchema:
    """Return a dataset's newest schema.

    Raises
    ------
    NotFoundError
        When none was set.
    """
    document = Registry(catalog, _KIND).find(dataset)
    if document is None:
        raise NotFoundError(
            f"{dataset!r} has no schema yet.",
            hint="Infer one, look at it and set it: set_schema(version.profile().infer_schema()).",
            code="schema-not-found",
            dataset=dataset,
        )
    return DataSchema.from_dict(document.body)


def choose_schema(catalog: Catalog, dataset: str, *, required: bool) -> DataSchema:
    """Return a dataset's newest schema; where it has none and needs none, `NO_SCHEMA`."""
    return find_schema(catalog, dataset) if required or find_basis(catalog, dataset).version else NO_SCHEMA


def find_basis(catalog: Catalog, dataset: str) -> Basis:
    """Return which schema gates a dataset; version 0 when none does."""
    document = Registry(catalog, _KIND).find(dataset)
    return Basis(_KIND, dataset, document.version if document else 0)


def read_schema(catalog: Catalog, basis: Basis) -> DataSchema:
    """Return the schema that a basis names."""
    document = Registry(catalog, basis.kind).find(basis.name, basis.version)
    assert document is not None  # noqa: S101  # documents are never removed
    return DataSchema.from_dict(document.body)


def list_schemas(catalog: Catalog, dataset: str) -> list[DataSchema]:
    """List the schemas of a dataset, oldest first."""
    return [DataSchema.from_dict(document.body) for document in Registry(catalog, _KIND).list_versions(dataset)]


def keep_schema(storage: Storage, dataset: str, schema: DataSchema, *, author: str, message: str = "") -> DataSchema:
    """Make a schema the dataset's newest; one equal to the newest changes nothing.

    Raises
    ------
    InvalidSchemaError
        When it breaks what the newest one promises in `compatibility`.
    """
    now = format_time(storage.clock())
    registry = Registry(storage.catalog, _KIND)
    newest = registry.find(dataset)
    if newest is not None:
        check_compatible(DataSchema.from_dict(newest.body), schema)
    registry.put(dataset, schema.to_dict(), author=author, message=message, created_at=now)
    return schema

"""The feature services that were applied: immutable, numbered, found by their addresses."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import pyarrow as pa

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.statistics.reading import parse_type
from foldstore.datastore.storage import Storage
from foldstore.errors import (
    FoldstoreError,
    InvalidQueryError,
    NotFoundError,
    SchemaMismatchError,
    UsageError,
    column_not_found,
    did_you_mean,
)
from foldstore.features.alias_registry import AliasRegistry
from foldstore.features.sources import Pins, Rows, find_pins
from foldstore.names import LATEST, Address, parse_address
from foldstore.types import format_time
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import SERVICE_KIND, FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.features.key_encoder import fits_key
from foldstore.views.features.window_index import find_types
from foldstore.views.time_column import is_time
from foldstore.views.transforms.registry import TransformRegistry
from foldstore.views.transforms.transform import FittedTransform

_OF_OUTCOMES: Final = frozenset({"outcome-query-refused", "outcome-query-failed"})


class Definitions:
    """The registry of a store's feature services.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : Rows
        How sources are looked up.
    author : str
        Who applies.
    """

    def __init__(self, storage: Storage, rows: Rows, author: str) -> None:
        self._storage = storage
        self._rows = rows
        self._author = author
        self._services = Registry(storage.catalog, SERVICE_KIND)
        self._aliases = AliasRegistry(storage, author)
        self._transforms = TransformRegistry(storage)

    def apply(self, services: Mapping[str, FeatureService], after: Mapping[str, int], message: str) -> list[str]:
        """Keep services as new versions, all or none; equal ones stay what they are. Return their addresses.

        Parameters
        ----------
        services : mapping of str to FeatureService
            By name.
        after : mapping of str to int
            The newest version of each that was looked at, 0 for none.
        """
        for service in services.values():
            self.check(service)
        made = self._services.put_many(
            {name: service.to_dict() for name, service in services.items()},
            after,
            author=self._author,
            message=message,
            created_at=format_time(self._storage.clock()),
        )
        return [f"{document.name}@{document.version}" for document in made]

    def check(self, service: FeatureService) -> None:
        """Refuse a service that cannot be applied: over what is not there now, or with a transform that does not fit.

        Raises
        ------
        FoldstoreError
            Which says what is missing, or does not fit.
        """
        for selection in service.selections:
            self._check_source(selection.view)
        self._check_transform(service)

    def list_versions(self, name: str) -> dict[int, FeatureService]:
        """Return the versions of a service by number; none when there is no such service."""
        return {
            document.version: FeatureService.from_dict(document.body) for document in self._services.list_versions(name)
        }

    def find_types(self, service: FeatureService) -> dict[str, str]:
        """Return the types of a service's features by full name, as far as their sources are there and tell them."""
        found: dict[str, str] = {}
        for selection in service.selections:
            with unrecorded():  # to look at a definition is not to read its rows
                schema = self._find_schema(selection.view)
            types = {} if schema is None else _feature_types(selection.view, schema)
            found |= {f"{selection.name}__{each}": str(types[each]) for each in selection.features if each in types}
        return found

    def _find_schema(self, view: FeatureView) -> pa.Schema | None:
        pins = Pins(self._rows)
        with suppress(FoldstoreError):
            if isinstance(view.source, SqlSource):
                return self._query_schema(view, pins)
            return self._rows.schema(pins.pin(view.source))
        return None

    def list_services(self) -> list[str]:
        """List the addresses of the services, every version."""
        names = self._services.list_names()
        return [f"{name}@{document.version}" for name in names for document in self._services.list_versions(name)]

    def get(self, address: str) -> tuple[str, FeatureService, int]:
        """Return a service's name, its definition and its number; an alias stands for the version it points at.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        parsed = parse_address(address)
        document = self._services.find(parsed.name, self._number(parsed))
        if document is None or parsed.split is not None:
            known = [*self.list_services(), *self._aliases.list(parsed.name)]
            raise NotFoundError(f"There is no feature service {address!r}.", hint=did_you_mean(address, known))
        return parsed.name, FeatureService.from_dict(document.body), document.version

    def _number(self, address: Address) -> int | None:
        if address.ref == LATEST:
            return None
        return int(address.ref) if address.ref.isdigit() else self._aliases.find(address.name, address.ref) or 0

    def find_transform(self, service: FeatureService) -> FittedTransform | None:
        """Return the fitted transform of a service, compared with its golden sample; None where it has none."""
        return None if service.transform is None else self._transforms.find(service.transform)

    def _check_transform(self, service: FeatureService) -> None:
        """Refuse a transform that is not there, or does not fit the features."""
        fitted = self.find_transform(service)
        if fitted is None:
            return
        names = dict(zip(service.output_names(full_feature_names=True), service.output_names(), strict=True))
        types = {names[full]: parse_type(text) for full, text in self.find_types(service).items()}
        known = {name: kind for name, kind in types.items() if kind is not None}
        for name in fitted.inputs:
            if name in known:
                fitted.check_kind(name, known)
        keys = {key for selection in service.selections for key in selection.label_keys}
        given = {name: known.get(name, fitted.kinds.get(name, pa.null())) for name in (*names.values(), *fitted.inputs)}
        for name in fitted.output_kinds(given):
            if name in keys:
                raise UsageError(
                    f"{service.transform} gives a column {name!r}, which is a key of feature service {service.name!r}.",
                    hint="Fit a transform that gives it another name.",
                )

    def pin_source(self, view: FeatureView, pins: Pins) -> str | None:
        """Pin what a view is read from; return its pinned address, None for a query."""
        return find_pins(self._storage, view, pins) or None

    def _check_source(self, view: FeatureView) -> None:
        """Refuse a view over what is not there now: a service cannot be mended once it is applied."""
        pins = Pins(self._rows)
        address = self.pin_source(view, pins)
        schema = self._rows.schema(address) if address is not None else self._query_schema(view, pins)
        if schema is not None:
            _check_columns(view, schema)
            find_types(view, schema)

    def _query_schema(self, view: FeatureView, pins: Pins) -> pa.Schema | None:
        """Return the columns of a view's query; None for one of sealed outcomes, which is answered only as it stands.

        No row is read.
        """
        assert isinstance(view.source, SqlSource)  # noqa: S101  # the caller looked
        try:
            with unrecorded():  # to look at a definition is not to read its rows
                query = f"SELECT * FROM (\n{view.source.query}\n) LIMIT 0"
                return self._rows.sql(query, pins.pin, view.event_time).schema
        except InvalidQueryError as error:
            if error.code not in _OF_OUTCOMES:
                raise
            return None


def _check_columns(view: FeatureView, schema: pa.Schema) -> None:
    """Refuse a source without a column, or with one of a type that it cannot be read as.

    Raises
    ------
    ColumnNotFoundError, SchemaMismatchError
    """
    source = "its query" if isinstance(view.source, SqlSource) else repr(view.source)
    for column in view.columns():
        if column not in schema.names:
            raise column_not_found(column, schema.names, where=f"{source}, the source of {view.name!r}")
    if view.entity is not None:
        _check_keys(view, view.entity, schema, source)
    for time in (view.event_time, view.created_time):
        if time is not None and not is_time(schema.field(time).type):
            raise SchemaMismatchError(
                f"Column {time!r} of feature view {view.name!r} is {schema.field(time).type} in {source}, which is no "
                "time.",
                hint="Name a column of timestamps or dates, or cast it in a query.",
                column=time,
            )


def _check_keys(view: FeatureView, entity: Entity, schema: pa.Schema, source: str) -> None:
    for column, kind in entity.keys.items():
        given = schema.field(column).type
        if not fits_key(given, kind):
            raise SchemaMismatchError(
                f"Key column {column!r} of feature view {view.name!r} is {given} in {source}; entity {entity.name!r} "
                f"says {kind}.",
                hint="Declare the key as what the column is, or cast the column in a query: "
                f"sql('SELECT {column}::... FROM ...').",
                column=column,
            )


def _feature_types(view: FeatureView, schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the types of a view's features, as far as a source of this schema has them."""
    if not view.aggregations:
        return {name: schema.field(name).type for name in view.features if name in schema.names}
    with suppress(FoldstoreError):
        if all(column in schema.names for column in view.columns()):
            return find_types(view, schema)
    return {}

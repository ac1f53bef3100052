"""The feature services that were applied: immutable, numbered, found by their addresses."""

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UsageError, column_not_found, did_you_mean
from foldstore.features.sources import Pins, Rows
from foldstore.names import LATEST, parse_address
from foldstore.types import format_time
from foldstore.views.features.feature_service import SERVICE_KIND, FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource


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

    def apply(self, service: FeatureService, message: str) -> str:
        """Keep a feature service as a new version; an equal one stays what it is. Return its address."""
        if not isinstance(service, FeatureService):
            raise UsageError(f"{type(service).__name__!r} is not a feature service.", hint="Apply a FeatureService.")
        for selection in service.selections:
            self._check_source(selection.view)
        now = format_time(self._storage.clock())
        document = self._services.put(
            service.name, service.to_dict(), author=self._author, message=message, created_at=now
        )
        return f"{service.name}@{document.version}"

    def list_services(self) -> list[str]:
        """List the addresses of the services, every version."""
        names = self._services.list_names()
        return [f"{name}@{document.version}" for name in names for document in self._services.list_versions(name)]

    def get(self, address: str) -> tuple[str, FeatureService, int]:
        """Return a service's name, its definition and its number.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        parsed = parse_address(address)
        number = None if parsed.ref == LATEST else int(parsed.ref) if parsed.ref.isdigit() else 0
        document = self._services.find(parsed.name, number)
        if document is None or parsed.split is not None:
            raise NotFoundError(
                f"There is no feature service {address!r}.", hint=did_you_mean(address, self.list_services())
            )
        return parsed.name, FeatureService.from_dict(document.body), document.version

    def _check_source(self, view: FeatureView) -> None:
        """Refuse a view over what is not there now: a service cannot be mended once it is applied."""
        pins = Pins(self._rows)
        if isinstance(view.source, SqlSource):
            for name in self._storage.engine.parse_query(view.source.query).tables:
                pins.pin(name)
            return
        names = self._rows.schema(pins.pin(view.source)).names
        for column in view.columns():
            if column not in names:
                raise column_not_found(column, names, where=f"{view.source!r}, the source of {view.name!r}")

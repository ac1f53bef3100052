"""Who uses a feature service: what was made of it, what serves it, and who depends on that."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from foldstore.consumers import list_all_consumers
from foldstore.datastore.catalog.records import NamedVersion
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import list_links, list_versions_with_property, read_runs
from foldstore.datastore.storage import Storage
from foldstore.datastore.view_document import list_version_ids
from foldstore.training_set import PROPERTY
from foldstore.views.features.feature_service import LOOKUP_LOG_KIND

_VIEW_KIND = "view"


@dataclass(frozen=True, slots=True, order=True)
class ServiceConsumer:
    """Whoever uses a version of a service.

    Attributes
    ----------
    service : str
        The address of the version, ``arrival@2``.
    kind : str
        ``training_set``, ``view``, ``run``, ``materialized``, ``lookup_log``, or what a consumer of a training set
        calls itself, such as ``model``.
    name : str
        Which one.
    at : str
        When it was made, ran or asked last; empty where that is not known.
    count : int
        How many times it asked, where that is counted.
    """

    service: str
    kind: str
    name: str
    at: str = field(default="", compare=False)
    count: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def list_service_consumers(storage: Storage, name: str, newest: int) -> list[ServiceConsumer]:
    """List who uses a service, by version, kind and name.

    Parameters
    ----------
    name : str
        The service.
    newest : int
        Its newest version: lookups are logged of whichever that is.
    """
    found = {*_of_training_sets(storage, name), *_served(storage, name, newest)}
    return sorted(found)


def _served(storage: Storage, name: str, newest: int) -> Iterator[ServiceConsumer]:
    materialized = Registry(storage.catalog, "online")
    for address in materialized.list_names():
        document = materialized.find(address)
        if address.partition("@")[0] == name and document is not None and document.body["files"]:
            yield ServiceConsumer(address, "materialized", address, document.created_at)
    log = Registry(storage.catalog, LOOKUP_LOG_KIND).find(name)
    if log is not None and log.body["share"]:
        yield ServiceConsumer(f"{name}@{newest}", "lookup_log", str(log.body["dataset"]))


def _of_training_sets(storage: Storage, name: str) -> Iterator[ServiceConsumer]:
    made: dict[str, tuple[str, NamedVersion]] = {}
    for each in list_versions_with_property(storage.catalog, PROPERTY):
        described = each.version.properties[PROPERTY]
        service = described.get("features") if isinstance(described, dict) else None
        if isinstance(service, str) and service.partition("@")[0] == name:
            made[each.version.id] = service, each
            yield ServiceConsumer(service, PROPERTY, each.address, each.version.created_at)
    if not made:
        return
    for document in Registry(storage.catalog, _VIEW_KIND).list_documents():
        for version_id in set(list_version_ids(document.body)) & made.keys():
            yield ServiceConsumer(
                made[version_id][0], _VIEW_KIND, f"{document.name}@{document.version}", document.created_at
            )
    links = list_links(storage.catalog, versions=list(made))
    runs = read_runs(storage.catalog, sorted({link.run_id for link in links}))
    for link in links:
        if link.run_id in runs:
            run = runs[link.run_id]
            yield ServiceConsumer(made[link.version_id][0], "run", f"{run.name} ({run.id[:8]})", run.started_at)
    addresses = {each.address: service for service, each in made.values()}
    for consumer in list_all_consumers(storage):
        if consumer.address in addresses and consumer.kind not in (_VIEW_KIND, PROPERTY):
            yield ServiceConsumer(addresses[consumer.address], consumer.kind, consumer.name, consumer.created_at)

"""The handle of a thing's lineage: what it came from, and what came from it."""

from collections.abc import Callable
from html import escape
from typing import Any

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import list_consumers, read_versions
from foldstore.datastore.lineage.catalog_relations import VIEW_KIND, CatalogRelations
from foldstore.datastore.lineage.graph import Direction, LineageGraph, NodeKey, NodeKind, check_depth, walk
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UsageError
from foldstore.names import LATEST, parse_address
from foldstore.run import find_run
from foldstore.version import Version

# Kinds whose nodes are documents: by the kind of their registry.
_DOCUMENTS = {NodeKind.VIEW: VIEW_KIND, NodeKind.SERVICE: "feature_service", NodeKind.MATERIALIZED: "online"}


class Lineage:
    """Where a version, view, run, service or consumer stands among the others.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> _ = store.create_dataset("raw").append({"delay": [3, 40]})
    >>> clean = store.create_dataset("clean")
    >>> with store.run("clean-up") as run:
    ...     _ = clean.append(store.view("raw").where("delay < 20"))
    >>> store.lineage("clean").upstream().labels("version")
    ['raw@1']
    >>> store.lineage("raw").downstream().labels("version")
    ['clean@1']
    """

    def __init__(self, storage: Storage, start: NodeKey) -> None:
        self._storage = storage
        self._start = start

    def __repr__(self) -> str:
        label = CatalogRelations(self._storage.catalog).nodes([self._start])[0].label
        return f"<Lineage of {label}: upstream(), downstream()>"

    def _repr_html_(self) -> str:
        graphs = (self.upstream(), self.downstream())
        return f"<div>{''.join(graph._repr_html_() for graph in graphs)}<small>{escape(repr(self))}</small></div>"

    def upstream(self, depth: int | None = None, *, history: bool = False) -> LineageGraph:
        """Return what it came from.

        Parameters
        ----------
        depth : int, optional
            How many steps to go; to the end unless given. A version, the run that wrote it and what the run
            read are two steps.
        history : bool
            Whether the versions that a version was committed upon count, too.
        """
        return self._walk(Direction.UPSTREAM, depth, history=history)

    def downstream(self, depth: int | None = None, *, history: bool = False) -> LineageGraph:
        """Return what came from it, and who depends on it; see `upstream`."""
        return self._walk(Direction.DOWNSTREAM, depth, history=history)

    def to_dict(self) -> dict[str, Any]:
        """Return both directions as plain data."""
        return {"upstream": self.upstream().to_dict(), "downstream": self.downstream().to_dict()}

    def _walk(self, direction: Direction, depth: int | None, *, history: bool) -> LineageGraph:
        check_depth(depth)
        relations = CatalogRelations(self._storage.catalog, history=history)
        walked = walk(relations, self._start, direction, depth=depth)
        nodes = tuple(relations.nodes(list(walked.distances)))
        return LineageGraph(
            direction=direction, start=nodes[0], nodes=nodes, edges=walked.edges, truncated=walked.truncated
        )


def open_lineage(storage: Storage, address: str, version: Callable[[str], Version]) -> Lineage:
    """Return the lineage of what an address names; looking at it is not reading it.

    Parameters
    ----------
    address : str
        A version or dataset (``flights@3``), a saved view, or a node: ``run:3f2a91``, ``service:arrival@1``,
        ``consumer:model:churn@3``.

    Raises
    ------
    NotFoundError
        When there is no such thing.
    """
    if not isinstance(address, str):
        raise UsageError(f"{type(address).__name__!r} is not an address.", hint="Write store.lineage('flights@3').")
    with unrecorded():
        if ":" in address:
            return Lineage(storage, _find_node(storage, address))
        parsed = parse_address(address)
        if storage.catalog.find_dataset(parsed.name) is None:
            number = None if parsed.ref == LATEST else int(parsed.ref) if parsed.ref.isdigit() else 0
            document = Registry(storage.catalog, VIEW_KIND).find(parsed.name, number)
            if document is not None:
                return Lineage(storage, NodeKey(NodeKind.VIEW, f"{parsed.name}@{document.version}"))
        return Lineage(storage, NodeKey(NodeKind.VERSION, version(address).version_id))


def _find_node(storage: Storage, text: str) -> NodeKey:
    kind_text, _, key = text.partition(":")
    if kind_text not in list(NodeKind):
        raise UsageError(f"{text[:80]!r} is not the id of a node.", hint=f"Kinds are {', '.join(NodeKind)}.")
    kind = NodeKind(kind_text)
    if kind is NodeKind.RUN:
        return NodeKey(kind, find_run(storage, key).id)
    if not _exists(storage, kind, key):
        raise NotFoundError(f"There is no {kind} {key[:80]!r}.", hint="lineage(...).to_dict() has the ids of nodes.")
    return NodeKey(kind, key)


def _exists(storage: Storage, kind: NodeKind, key: str) -> bool:
    if kind is NodeKind.VERSION:
        return key in read_versions(storage.catalog, [key])
    if kind is NodeKind.CONSUMER:
        consumer, _, name = key.partition(":")
        return bool(list_consumers(storage.catalog, kind=consumer, name=name))
    registry = Registry(storage.catalog, _DOCUMENTS[kind])
    if kind is NodeKind.MATERIALIZED:
        return registry.find(key) is not None
    name, _, number = key.partition("@")
    return number.isascii() and number.isdigit() and len(number) < 10 and registry.find(name, int(number)) is not None

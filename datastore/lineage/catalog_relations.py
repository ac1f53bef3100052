"""The edges of lineage as the catalog has them: a constant number of queries for a level, however wide it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.records import NamedVersion, RunLink, RunRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import (
    INPUT,
    OUTPUT,
    find_versions_by_address,
    list_children,
    list_consumers,
    list_links,
    list_versions_with_property,
    read_runs,
    read_versions,
)
from foldstore.datastore.lineage.graph import Direction, Edge, Node, NodeKey, NodeKind
from foldstore.datastore.view_document import list_version_ids
from foldstore.errors import InvalidNameError
from foldstore.names import parse_address

VIEW_KIND: Final = "view"
TRAINING_SET: Final = "training_set"
_ONLINE_KIND: Final = "online"

_ByKey = Mapping[NodeKey, Sequence[Edge]]


class CatalogRelations:
    """Edges between versions, runs, views, services and consumers.

    Saved views, training sets and what is laid out for lookups are read once, whole: each is a document or
    a property, and there are few of them beside rows and versions.

    Parameters
    ----------
    history : bool
        Whether the parents of versions are edges too.
    """

    def __init__(self, catalog: Catalog, *, history: bool = False) -> None:
        self._catalog = catalog
        self._history = history

    def edges(self, frontier: Sequence[NodeKey], direction: Direction) -> Iterator[Edge]:
        """Yield the edges that leave some nodes in a direction."""
        versions = [node.key for node in frontier if node.kind is NodeKind.VERSION]
        yield from self._run_edges(frontier, versions, direction)
        yield from self._consumer_edges(frontier, versions, direction)
        if self._history and versions:
            yield from self._parents(versions) if direction is Direction.UPSTREAM else self._children(versions)
        known = self._into if direction is Direction.UPSTREAM else self._out_of
        for node in frontier:
            yield from known.get(node, ())

    def nodes(self, keys: Sequence[NodeKey]) -> list[Node]:
        """Return what a person wants to know of some nodes, in their order."""
        versions = read_versions(self._catalog, [node.key for node in keys if node.kind is NodeKind.VERSION])
        runs = read_runs(self._catalog, [node.key for node in keys if node.kind is NodeKind.RUN])
        return [self._node(key, versions, runs) for key in keys]

    def _node(self, key: NodeKey, versions: Mapping[str, NamedVersion], runs: Mapping[str, RunRecord]) -> Node:
        if key.kind is NodeKind.VERSION and key.key in versions:
            return _version_node(key, versions[key.key])
        if key.kind is NodeKind.RUN and key.key in runs:
            return _run_node(key, runs[key.key])
        if key.kind is NodeKind.CONSUMER:
            kind, _, name = key.key.partition(":")
            return Node(key=key, kind="consumer", label=f"{kind} {name}", facts={"kind": kind, "name": name})
        return Node(key=key, kind=str(key.kind), label=key.key)

    def _run_edges(self, frontier: Sequence[NodeKey], versions: list[str], direction: Direction) -> Iterator[Edge]:
        # Towards the sources: who wrote a thing, what a run read. The other way: who read it, what it wrote.
        of_thing, of_run = (OUTPUT, INPUT) if direction is Direction.UPSTREAM else (INPUT, OUTPUT)
        runs = [node.key for node in frontier if node.kind is NodeKind.RUN]
        views = [node.key for node in frontier if node.kind is NodeKind.VIEW]
        links = [
            *list_links(self._catalog, versions=versions, role=of_thing),
            *list_links(self._catalog, addresses=views, role=of_thing),
            *list_links(self._catalog, runs=runs, role=of_run),
        ]
        near = set(frontier)
        for edge in map(self._link_edge, links):
            # A link of a saved view names the version below it too: that one was neither read nor written.
            if edge.near_end(direction) in near:
                yield edge

    def _link_edge(self, link: RunLink) -> Edge:
        named = self._view_keys.get(link.address)
        thing = named or NodeKey(NodeKind.VERSION, link.version_id)
        return Edge(thing, _run(link), "read") if link.role == INPUT else Edge(_run(link), thing, "wrote")

    def _consumer_edges(self, frontier: Sequence[NodeKey], versions: list[str], direction: Direction) -> Iterator[Edge]:
        if direction is Direction.DOWNSTREAM:
            found = list_consumers(self._catalog, versions=versions) if versions else []
        else:
            # Nothing comes from a consumer, so that this is the start of a walk and no level of one.
            names = [node.key.partition(":") for node in frontier if node.kind is NodeKind.CONSUMER]
            found = [each for kind, _, name in names for each in list_consumers(self._catalog, kind=kind, name=name)]
        for each in found:
            # What registers itself (saved views, training sets) is a node of its own already.
            if each.kind not in (VIEW_KIND, TRAINING_SET):
                consumer = NodeKey(NodeKind.CONSUMER, f"{each.kind}:{each.name}")
                yield Edge(NodeKey(NodeKind.VERSION, each.version_id), consumer, "uses")

    def _parents(self, versions: list[str]) -> Iterator[Edge]:
        for each in read_versions(self._catalog, versions).values():
            yield from _parent_edges(each.version.id, each.version.parent_id, each.version.merge_parent_id)

    def _children(self, versions: list[str]) -> Iterator[Edge]:
        parents = set(versions)
        for child in list_children(self._catalog, versions):
            for edge in _parent_edges(child.id, child.parent_id, child.merge_parent_id):
                if edge.source.key in parents:
                    yield edge

    @cached_property
    def _known(self) -> list[Edge]:
        return [*self._views, *self._training_sets, *self._materialized]

    @cached_property
    def _into(self) -> _ByKey:
        return _group(self._known, Direction.UPSTREAM)

    @cached_property
    def _out_of(self) -> _ByKey:
        return _group(self._known, Direction.DOWNSTREAM)

    @cached_property
    def _views(self) -> list[Edge]:
        return [
            Edge(
                NodeKey(NodeKind.VERSION, source),
                NodeKey(NodeKind.VIEW, f"{document.name}@{document.version}"),
                "pins",
            )
            for document in Registry(self._catalog, VIEW_KIND).list_documents()
            for source in list_version_ids(document.body)
        ]

    @cached_property
    def _view_keys(self) -> dict[str, NodeKey]:
        return {edge.target.key: edge.target for edge in self._views}

    @cached_property
    def _training_sets(self) -> list[Edge]:
        made = list_versions_with_property(self._catalog, TRAINING_SET)
        described = [(each.version.id, each.version.properties[TRAINING_SET]) for each in made]
        described = [(version_id, body) for version_id, body in described if isinstance(body, Mapping)]
        read = {
            version_id: [body["labels"], *dict(body["pins"]).values(), *dict(body.get("views", {})).values()]
            for version_id, body in described
        }
        keys = self._keys_of(address for addresses in read.values() for address in addresses)
        edges = [
            Edge(keys[address], NodeKey(NodeKind.VERSION, version_id), "joined")
            for version_id, addresses in read.items()
            for address in addresses
            if address in keys
        ]
        served = [(NodeKey(NodeKind.SERVICE, body["features"]), version_id) for version_id, body in described]
        return edges + [Edge(key, NodeKey(NodeKind.VERSION, version_id), "joined") for key, version_id in served]

    @cached_property
    def _materialized(self) -> list[Edge]:
        # By name and version, so that the newest document of a name is the one that stays.
        read = {each.name: each.body["inputs"] for each in Registry(self._catalog, _ONLINE_KIND).list_documents()}
        keys = self._keys_of(address for addresses in read.values() for address in addresses)
        edges = []
        for name, addresses in read.items():
            laid_out = NodeKey(NodeKind.MATERIALIZED, name)
            edges += [Edge(keys[address], laid_out, "materialized") for address in addresses if address in keys]
            edges += [Edge(NodeKey(NodeKind.SERVICE, name), laid_out, "materialized")] if addresses else []
        return edges

    def _keys_of(self, addresses: Iterable[str]) -> dict[str, NodeKey]:
        """Return the nodes of pinned addresses, of versions and of views; others are left out."""
        parsed = {text: pinned for text in addresses if (pinned := _pinned(text)) is not None}
        ids = find_versions_by_address(self._catalog, parsed.values())
        found = {text: NodeKey(NodeKind.VERSION, ids[pinned]) for text, pinned in parsed.items() if pinned in ids}
        return {text: self._view_keys[text] for text in parsed if text in self._view_keys} | found


def _run(link: RunLink) -> NodeKey:
    return NodeKey(NodeKind.RUN, link.run_id)


def _parent_edges(child: str, *parents: str | None) -> Iterator[Edge]:
    for parent in parents:
        if parent is not None:
            yield Edge(NodeKey(NodeKind.VERSION, parent), NodeKey(NodeKind.VERSION, child), "parent")


def _group(edges: Iterable[Edge], direction: Direction) -> _ByKey:
    grouped: dict[NodeKey, list[Edge]] = {}
    for edge in edges:
        grouped.setdefault(edge.near_end(direction), []).append(edge)
    return grouped


def _pinned(text: object) -> tuple[str, int] | None:
    try:
        address = parse_address(text)
    except InvalidNameError:
        return None
    return (address.name, int(address.ref)) if address.ref.isdigit() else None


def _version_node(key: NodeKey, each: NamedVersion) -> Node:
    version = each.version
    kind = "training_set" if TRAINING_SET in version.properties else "version"
    facts = {
        "dataset": each.dataset,
        "version": version.number,
        "rows": version.num_rows,
        "author": version.author,
        "message": version.message,
        "created_at": version.created_at,
        "expired_at": version.expired_at,
    }
    status = "expired" if version.expired_at is not None else str(version.status)
    return Node(key=key, kind=kind, label=each.address, status=status, facts=facts)


def _run_node(key: NodeKey, run: RunRecord) -> Node:
    facts = {
        "name": run.name,
        "author": run.author,
        "message": run.message,
        "commit": run.code.get("commit"),
        "repeats": run.repeats_id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }
    return Node(key=key, kind="run", label=f"{run.name} ({run.id[:12]})", status=run.status, facts=facts)

"""The graph of what came from what: nodes, edges in the direction of the data, and the walk along them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import Any, Final, Protocol

from foldstore.errors import UsageError

# A walk stops here and says so.
MAX_NODES: Final = 10_000


class Direction(StrEnum):
    """Which way a walk goes: towards what a thing came from, or towards what came from it."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


class NodeKind(StrEnum):
    """What a node is, and what its key means."""

    VERSION = "version"  # the version's id
    RUN = "run"  # the run's id
    VIEW = "view"  # name@number
    SERVICE = "service"  # name@number
    MATERIALIZED = "materialized"  # name@number of a service, as it is laid out for lookups
    CONSUMER = "consumer"  # kind:name


@dataclass(frozen=True, slots=True, order=True)
class NodeKey:
    """The identity of a node."""

    kind: NodeKind
    key: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """That `target` was made from `source`, or depends on it.

    Attributes
    ----------
    relation : str
        ``read``, ``wrote``, ``pins`` (a view), ``joined`` (a training set), ``materialized``, ``uses``
        (a consumer) or ``parent``.
    """

    source: NodeKey
    target: NodeKey
    relation: str

    def far_end(self, direction: Direction) -> NodeKey:
        """Return the end that a walk in some direction reaches."""
        return self.source if direction is Direction.UPSTREAM else self.target

    def near_end(self, direction: Direction) -> NodeKey:
        """Return the end that a walk in some direction leaves."""
        return self.target if direction is Direction.UPSTREAM else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A version, training set, run, view, service or consumer, with what a person wants to know of it.

    Attributes
    ----------
    kind : str
        ``version``, ``training_set``, ``run``, ``view``, ``service``, ``materialized``, or ``consumer``.
    label : str
        An address, ``train (3f2a…)`` for a run, ``model churn@3`` for a consumer.
    status : str or None
        Of a version: its status, or ``expired`` when its rows were given up. Of a run: how it ended.
    """

    key: NodeKey
    kind: str
    label: str
    status: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "id": str(self.key),
            "kind": self.kind,
            "label": self.label,
            "status": self.status,
            "facts": dict(self.facts),
        }


class Relations(Protocol):
    """What the walk asks for the edges of a whole level at once."""

    def edges(self, frontier: Sequence[NodeKey], direction: Direction) -> Iterable[Edge]:
        """Yield the edges that leave some nodes in a direction."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The nodes that a walk reached, in its order, each with its distance; the start has 0."""

    distances: Mapping[NodeKey, int]
    edges: tuple[Edge, ...]
    truncated: bool = False


def walk(
    relations: Relations,
    start: NodeKey,
    direction: Direction,
    *,
    depth: int | None = None,
    max_nodes: int = MAX_NODES,
) -> Walk:
    """Walk from a node, level by level; a node is visited once, so that cycles end.

    Parameters
    ----------
    depth : int, optional
        How many edges to go; to the end unless given.
    """
    check_depth(depth)
    distances = {start: 0}
    edges: dict[Edge, None] = {}
    frontier = [start]
    level = 0
    while frontier and (depth is None or level < depth):
        level += 1
        following: list[NodeKey] = []
        for edge in sorted(set(relations.edges(frontier, direction))):
            end = edge.far_end(direction)
            if end not in distances:
                if len(distances) >= max_nodes:
                    return Walk(distances, tuple(edges), truncated=True)
                distances[end] = level
                following.append(end)
            edges[edge] = None
        frontier = following
    return Walk(distances, tuple(edges))


def check_depth(depth: object) -> None:
    """Refuse a depth that is none."""
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        raise UsageError(f"depth={depth!r} is not a number of steps.", hint="Write depth=1, or leave it out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageGraph:
    """What a thing came from, or what came from it.

    Attributes
    ----------
    nodes : tuple of Node
        The start first, then by distance.
    edges : tuple of Edge
        In the direction of the data: from a source to what was made of it.
    truncated : bool
        Whether there is more than a walk goes through.
    """

    direction: Direction
    start: Node
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool = False

    def labels(self, kind: str | None = None) -> list[str]:
        """List the labels of the nodes but the start, all or those of a kind."""
        return [node.label for node in self.nodes[1:] if kind in (None, node.kind)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "direction": str(self.direction),
            "start": str(self.start.key),
            "nodes": [node.to_dict() for node in self.nodes],
            "edges": [
                {"source": str(edge.source), "target": str(edge.target), "relation": edge.relation}
                for edge in self.edges
            ],
            "truncated": self.truncated,
        }

    def rows(self) -> list[tuple[int, str, Node]]:
        """List each node once, where it is first reached: how deep it lies, by which relation, and the node."""
        nodes = {node.key: node for node in self.nodes}
        near: dict[NodeKey, list[tuple[str, NodeKey]]] = {}
        distances = self._distances()
        for edge in self.edges:
            far, other = edge.far_end(self.direction), edge.near_end(self.direction)
            if distances.get(far, 0) == distances.get(other, 0) + 1:
                near.setdefault(other, []).append((edge.relation, far))
        listed: list[tuple[int, str, Node]] = []
        seen: set[NodeKey] = set()
        stack = [(0, "", self.start.key)]
        while stack:
            deep, relation, key = stack.pop()
            if key not in seen:
                seen.add(key)
                listed.append((deep, relation, nodes[key]))
                stack += [(deep + 1, name, far) for name, far in reversed(near.get(key, []))]
        return listed

    def __repr__(self) -> str:
        found = len(self.nodes) - 1
        head = f"<Lineage {self.direction} of {self.start.label}: {found} node{'' if found == 1 else 's'}>"
        more = ["… and more"] if self.truncated else []
        return "\n".join([head, *(f"{'  ' * deep}{_line(name, node)}" for deep, name, node in self.rows()), *more])

    def _repr_html_(self) -> str:
        items = "".join(
            f'<li style="margin-left:{deep}em">{escape(_line(name, node))}</li>' for deep, name, node in self.rows()
        )
        return f"<div><b>{escape(f'{self.direction} of {self.start.label}')}</b><ul>{items}</ul></div>"

    def _distances(self) -> dict[NodeKey, int]:
        """Return how far each node lies from the start, over the edges that are kept."""
        onward: dict[NodeKey, list[NodeKey]] = {}
        for edge in self.edges:
            onward.setdefault(edge.near_end(self.direction), []).append(edge.far_end(self.direction))
        distances = {self.start.key: 0}
        queue = [self.start.key]
        for key in queue:
            for far in onward.get(key, []):
                if far not in distances:
                    distances[far] = distances[key] + 1
                    queue.append(far)
        return distances


def _line(relation: str, node: Node) -> str:
    status = f", {node.status}" if node.status else ""
    return f"{f'{relation}: ' if relation else ''}{node.label} ({node.kind}{status})"

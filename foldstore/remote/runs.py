"""The handles of a remote store's runs and lineage."""

from collections.abc import Callable, Mapping
from functools import cached_property
from html import escape
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from foldstore.datastore.catalog.records import RunRecord
from foldstore.datastore.lineage.graph import (
    Direction,
    Edge,
    LineageGraph,
    Node,
    NodeKey,
    NodeKind,
    check_depth,
)
from foldstore.datastore.lineage.parameters import check_params
from foldstore.datastore.operation_folder import id_of_key
from foldstore.errors import UsageError
from foldstore.names import check_label
from foldstore.open_run import run_over
from foldstore.recorded_function import record_calls
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.open_run import RemoteOpenRun, RemoteResumedRun, RunFacts, remote_inputs_of
from foldstore.remote.server import Server
from foldstore.run import Run, UsedVersion, check_message

_P = ParamSpec("_P")
_R = TypeVar("_R")
# The class below has a method of the name `list`.
Listing = list[Run]


class RemoteRuns(RemoteHandle):
    """The runs of a store on a server."""

    NOUN = "runs"

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        message: str = "",
        repeats: str | None = None,
    ) -> RemoteOpenRun:
        """Return a run to enter; see `foldstore.run.Runs.start`."""
        key = uuid4().hex
        earlier = None if repeats is None else self.get(repeats)
        given = dict(earlier.params) if params is None and earlier is not None else check_params(params or {})
        facts = RunFacts(
            id=id_of_key(f"run:{self._server.connection.token_id}:{key}"),
            key=key,
            name=check_label(name, "run"),
            message=check_message(message),
            params=given,
            repeats=None if earlier is None else earlier.id,
        )
        return RemoteOpenRun(self._server, facts)

    def repeat(self, run_id: str, *, params: Mapping[str, Any] | None = None, message: str = "") -> RemoteOpenRun:
        """Return a run to enter that reads the versions that an earlier one read; see `foldstore.run.Runs.repeat`."""
        return self.start(self.get(run_id).name, params=params, message=message, repeats=run_id)

    def record(self, name: str | None = None, *, message: str = "") -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Return a decorator: each call of the function is a run, its arguments are the parameters.

        See `foldstore.run.Runs.record`.
        """

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            return record_calls(function, self.start, remote_inputs_of, name=name, message=message)

        return decorate

    def resume(self, run_id: str) -> RemoteResumedRun:
        """Return a run of this token's that goes on elsewhere, to enter; see `foldstore.run.Runs.resume`."""
        run = self.get(run_id)
        if run.status != "running":
            raise run_over(f"The run {run.name!r} has ended: it {run.status}.")
        facts = RunFacts(id=run.id, key="", name=run.name, message=run.record.message, params=run.params, repeats=None)
        return RemoteResumedRun(self._server, facts)

    def get(self, run_id: str) -> Run:
        """Return a run by its id, or by the first six digits of it or more."""
        return _read_run(self._server.get(path_of("runs", run_id)))

    def to_openlineage(self, run_id: str) -> "list[dict[str, Any]]":
        """Return a run as OpenLineage events: its start and, once it has ended, its end."""
        return [*self._server.get(path_of("runs", run_id, "openlineage"))["items"]]

    def list(self, name: str | None = None, *, status: str | None = None, limit: int | None = None) -> Listing:
        """List runs, newest first: at most 1,000."""
        found = self._server.get(path_of("runs"), name=name, status=status, limit=1_000 if limit is None else limit)
        return [_read_run(each) for each in found["items"]]


class RemoteLineage(RemoteHandle):
    """Where a version, view or run on a server stands among the others."""

    NOUN = "lineage"

    def __init__(self, server: Server, address: str) -> None:
        if not isinstance(address, str):
            raise UsageError(f"{type(address).__name__!r} is not an address.", hint="Write store.lineage('flights@3').")
        self._server = server
        self._address = address
        self._start = self._ask(1)["upstream"]["start"]

    def __repr__(self) -> str:
        return f"<Lineage of {self._address}: upstream(), downstream()>"

    def _repr_html_(self) -> str:
        graphs = (self.upstream(), self.downstream())
        return f"<div>{''.join(graph._repr_html_() for graph in graphs)}<small>{escape(repr(self))}</small></div>"

    def upstream(self, depth: int | None = None, *, history: bool = False) -> LineageGraph:
        """Return what it came from; see `foldstore.lineage.Lineage.upstream`."""
        return self._walk("upstream", depth, history=history)

    def downstream(self, depth: int | None = None, *, history: bool = False) -> LineageGraph:
        """Return what came from it, and who depends on it."""
        return self._walk("downstream", depth, history=history)

    def to_dict(self) -> dict[str, Any]:
        """Return both directions as plain data."""
        found: dict[str, Any] = self._ask(None)
        return found

    def _walk(self, direction: str, depth: int | None, *, history: bool) -> LineageGraph:
        check_depth(depth)
        return _read_graph(self._ask(depth, history=history)[direction])

    def _ask(self, depth: int | None, *, history: bool = False) -> Any:
        asked = {"address": self._address, "depth": depth, "history": history or None}
        return self._server.get(path_of("lineage"), **asked)


class RemoteProvenance:
    """How versions came about; a part of `foldstore.remote.store.RemoteStore`."""

    server: Server

    def run(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        message: str = "",
        repeats: str | None = None,
    ) -> RemoteOpenRun:
        """Return a run to enter: what the block looks up and commits is its lineage; see `foldstore.Store.run`."""
        return self.runs.start(name, params=params, message=message, repeats=repeats)

    @cached_property
    def runs(self) -> RemoteRuns:
        """The runs: recorded, repeated, listed and looked at."""
        return RemoteRuns(self.server)

    def lineage(self, address: str) -> RemoteLineage:
        """Return what a version, a view or a run came from, and what came from it."""
        return RemoteLineage(self.server, address)


def _read_run(data: Mapping[str, Any]) -> Run:
    names = ("id", "name", "status", "author", "message", "params", "code", "environment", "error")
    record = RunRecord(
        **{name: data[name] for name in names},
        repeats_id=data["repeats"],
        started_at=data["started_at"],
        ended_at=data["ended_at"],
    )
    inputs, outputs = (tuple(UsedVersion(**each) for each in data[role]) for role in ("inputs", "outputs"))
    return Run(record=record, inputs=inputs, outputs=outputs)


def _read_graph(data: Mapping[str, Any]) -> LineageGraph:
    nodes = tuple(
        Node(key=_key(each["id"]), **{name: each[name] for name in ("kind", "label", "status", "facts")})
        for each in data["nodes"]
    )
    edges = tuple(Edge(_key(each["source"]), _key(each["target"]), each["relation"]) for each in data["edges"])
    return LineageGraph(
        direction=Direction(data["direction"]), start=nodes[0], nodes=nodes, edges=edges, truncated=data["truncated"]
    )


def _key(text: str) -> NodeKey:
    kind, _, key = text.partition(":")
    return NodeKey(NodeKind(kind), key)

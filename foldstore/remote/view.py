"""The handle of a remote view: checked here as a local one is, read by the server, which is sent the specification."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import UsageError
from foldstore.remote.connection import path_of
from foldstore.remote.rows import RemoteRows
from foldstore.remote.server import Server
from foldstore.views.cost import Part
from foldstore.views.display import MAX_ROWS
from foldstore.views.explain import Explanation
from foldstore.views.rows.plan import plan_rows
from foldstore.views.rows.rows import Rows
from foldstore.views.view import View
from foldstore.views.view_diff import ViewDiff

if TYPE_CHECKING:
    from foldstore.remote.store import RemoteStore


class RemoteView(View):
    """A view whose rows the server reads; its verbs and ends are those of `foldstore.View`."""

    __slots__ = ()

    NOUN: ClassVar[str] = "view"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {}

    @property
    def _server(self) -> Server:
        return cast("RemoteStore", self._store).server

    @property
    def rows(self) -> Rows:
        """What produces the rows: the server."""
        plan = plan_rows(self._engine, self._inputs, self._steps)  # reads nothing: how rows change is told by it
        return RemoteRows(self._server, self.sent_spec(), self.arrow_schema, plan)

    def sent_spec(self) -> dict[str, Any]:
        """Return the specification as the server is sent it."""
        plain: dict[str, Any] = json.loads(canonical_json(self.spec()))
        return plain

    def explain(self) -> Explanation:
        """Let the server say what it would read, and what it would copy at most."""
        found = self._server.read(path_of("views", verb="explain"), {"spec": self.sent_spec()})
        return Explanation(found["address"], tuple(Part(**each) for each in found["parts"]), found["rows"])

    def diff(self, other: View) -> ViewDiff:
        """Let the server compare the view with another: what is written, what it reads, and which rows it has."""
        specs = {"before": self.sent_spec(), "after": check_remote(other).sent_spec()}
        return _read_diff(self._server.read(path_of("views", verb="diff"), specs))

    def moved(self) -> ViewDiff:
        """Let the server say what would change if the view were made now."""
        return _read_diff(self._server.read(path_of("views", verb="moved"), {"spec": self.sent_spec()}))

    def split(self, name: str, **how: Any) -> Any:
        """Share out the rows to train, validation and test, for good; see `foldstore.View.split`."""
        _, predicates, _ = self._splittable()
        source = self.sources()[0].source
        return cast("Any", source).split_where(predicates, name, how)

    def folds(self, name: str, k: int | None = None, **how: Any) -> Any:
        """Share out the rows to k folds, for good; see `foldstore.View.folds`."""
        _, predicates, _ = self._splittable()
        source = self.sources()[0].source
        return cast("Any", source).fold_where(predicates, name, {"k": k, **how})

    def _head(self) -> tuple[pa.Table, str]:
        return pa.Table.from_batches(self.select_batches(rows=MAX_ROWS), self.arrow_schema), ""

    def select_batches(self, columns: Sequence[str] | None = None, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the rows, and at most so many rows; what is not asked for is not sent."""
        if rows is not None and not self._ends_with_repeat():
            yield from self.limit(rows).select_batches(columns)
            return
        yield from super().select_batches(columns, rows)

    def _ends_with_repeat(self) -> bool:
        return any("repeat" in step.spec() for step in self._steps)


def check_remote(view: object) -> RemoteView:
    """Return a view of a remote store.

    Raises
    ------
    UsageError
        When it is another thing.
    """
    if not isinstance(view, RemoteView):
        raise UsageError(
            f"{type(view).__name__!r} is no view of this store.", hint="store.view('flights@3') gives one."
        )
    return view


def _read_diff(data: Mapping[str, Any]) -> ViewDiff:
    rows, columns = data["rows"], data["columns"]
    return ViewDiff(
        before=data["before"],
        after=data["after"],
        sources=tuple((before, after) for before, after in data["sources"]),
        spec=tuple(data["spec"]),
        columns_added=tuple(columns["added"]),
        columns_dropped=tuple(columns["dropped"]),
        num_before=rows["before"],
        num_after=rows["after"],
        num_added=rows["added"],
        num_removed=rows["removed"],
        num_common=rows["common"],
        broken=data["broken"],
    )

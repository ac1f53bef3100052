"""Rows that a server reads: what stands behind the ends of a remote view."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from foldstore.remote.connection import path_of
from foldstore.remote.local_only import FILES, refuse
from foldstore.remote.server import Server, open_rows, rows_request
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import Batches, Change, Index, Rows, pick_shard, project

READ: Final = path_of("views", verb="read")
_COUNT: Final = path_of("views", verb="count")


class RemoteRows:
    """The rows of a specification.

    Parameters
    ----------
    server : Server
        Who reads them.
    spec : mapping
        The view.
    schema : pyarrow.Schema
        Its columns.
    plan : Rows
        How the rows would be read here: asked how they change from epoch to epoch, and for nothing that reads.
    """

    def __init__(self, server: Server, spec: Mapping[str, Any], schema: pa.Schema, plan: Rows) -> None:
        self._server = server
        self._spec = spec
        self._plan = plan
        self._until: int | None = None
        self.arrow_schema = schema

    @property
    def is_endless(self) -> bool:
        """Whether the rows never end."""
        return self._until is None and self._plan.is_endless

    @property
    def change(self) -> Change:
        """What another epoch changes."""
        return self._plan.change

    def count(self, epoch: int = 0) -> int:
        """Let the server count the rows."""
        found = int(self._server.read(_COUNT, {"spec": self._spec}, epoch=epoch or None)["rows"])
        return found if self._until is None else min(found, self._until)

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield some columns of the rows of an epoch, from a rank on, as the server sends them."""
        limit = None if self._until is None else max(0, self._until - start)
        yield from pick_shard(self._read(columns, start, limit, epoch), shard, start)

    def _read(self, columns: Sequence[str], start: int, limit: int | None, epoch: int) -> Iterator[pa.RecordBatch]:
        # A column that a name with a dot or a comma stands for is asked for as a step of the view.
        steps = [] if list(columns) == self.arrow_schema.names else [{"select": list(columns)}]
        if not columns:
            steps = [{"select": self.arrow_schema.names[:1]}]
        spec = {**self._spec, "steps": [*self._spec["steps"], *steps]}
        request = rows_request(READ, data={"spec": spec}, offset=start or None, limit=limit, epoch=epoch or None)
        wanted = project(self.arrow_schema, columns)
        for batch in open_rows(self._server.connection, request).batches:
            yield batch.select(list(columns)) if batch.schema.names != wanted.names else batch

    def index(self, epoch: int = 0) -> Index:  # noqa: ARG002
        """Refuse: rows are not reached by rank over the network."""
        refuse("What reaches the rows of a view by rank", FILES)

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002
        """Return rows that end, and begin with the same so many rows of each epoch."""
        ended = RemoteRows(self._server, self._spec, self.arrow_schema, self._plan)
        ended._until = rows if self._until is None else min(rows, self._until)
        return ended

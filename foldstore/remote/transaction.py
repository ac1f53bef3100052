"""The handle of a transaction over the network: steps gathered here, and committed by one request."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

import pyarrow as pa

from foldstore.datastore.alter_columns import DropColumns, RenameColumns, WidenColumns
from foldstore.datastore.arrow_schema import plain_schema
from foldstore.datastore.ingest.source import key_table, open_source
from foldstore.names import MAIN_BRANCH
from foldstore.remote.connection import ARROW, Request, path_of, write_json
from foldstore.remote.multipart import MultipartBody
from foldstore.remote.records import DatasetFacts
from foldstore.remote.server import Server, spooled
from foldstore.transaction import are_expressions, check_delete, not_open

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion

# What is larger lies on the disk: there may be many steps.
_IN_MEMORY: Final = 1 << 20


class RemoteTransaction:
    """Changes under way; leaving the block sends them, an exception drops them. See `foldstore.Dataset.transaction`.

    Data is read when a change is called, and what cannot be read is said there. What the store must be asked for
    (columns that do not fit, expressions that fail, keys, rows of a pool) is said when the block is left, with the
    number of the step.

    Attributes
    ----------
    version : RemoteVersion or None
        What was committed, once the block was left.
    """

    def __init__(
        self,
        server: Server,
        dataset: DatasetFacts,
        branch: str,
        said: Mapping[str, Any],
        *,
        parent: int | None,
        find_head: "Callable[[], RemoteVersion | None]",
        to_version: "Callable[[Mapping[str, Any]], RemoteVersion]",
    ) -> None:
        self._server = server
        self._dataset = dataset
        self._branch = branch
        self._said = said
        self._parent = parent
        self._find_head = find_head
        self._to_version = to_version
        self._steps: list[dict[str, Any]] = []
        self._files: dict[str, IO[bytes]] = {}
        self._stack: ExitStack | None = None
        self._known: pa.Schema | None = None
        self.version: RemoteVersion | None = None

    def __enter__(self) -> Self:
        head = self._find_head()
        self._known = None if head is None else plain_schema(head.arrow_schema)
        if self._parent is None:
            self._parent = 0 if head is None else head.number
        self._stack = ExitStack()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.version = self._to_version(self._send(commit=True))
        finally:
            self._opened.close()
            self._stack = None
        if self.version is not None and self._said["progress"] is not None:
            self._said["progress"](self.version.num_rows, self.version.num_rows)

    @property
    def num_rows(self) -> int:
        """How many rows the version would have now: the server tries what was called so far, and commits nothing."""
        return int(self._send(commit=False)["rows"])

    def append(self, data: Any, *, order_by: Sequence[str] = (), evolve: bool = False, **how: Any) -> None:
        """Add rows; see `Dataset.append`."""
        found = self._bring("append", data, how, order_by=_names(order_by), evolve=evolve or None)
        if self._known is None:
            self._known = found

    def overwrite(self, data: Any, *, order_by: Sequence[str] = (), **how: Any) -> None:
        """Put rows in the place of all; see `Dataset.overwrite`."""
        self._known = self._bring("overwrite", data, how, order_by=_names(order_by))

    def upsert(self, data: Any, **how: Any) -> None:
        """Put rows in the place of those with their keys, and add the others; see `Dataset.upsert`."""
        self._bring("upsert", data, how)

    def delete(self, where: str | None = None, *, keys: Any = None) -> None:
        """Delete rows; see `Dataset.delete`."""
        check_delete(where, keys)
        if where is not None:
            self._add("delete", where=where)
            return
        table = key_table(keys, pa.schema([]) if self._known is None else self._known, self._dataset.key)
        self._add("delete", keys=self._keep(table.schema, table.to_batches()))

    def add_columns(self, columns: Any) -> None:
        """Add columns; see `Dataset.add_columns`."""
        if are_expressions(columns):
            self._add("add_columns", columns=dict(columns))
        else:
            self._bring("add_columns", columns, {})

    def drop_columns(self, columns: Sequence[str]) -> None:
        """Drop columns; see `Dataset.drop_columns`."""
        DropColumns(columns)
        self._add("drop_columns", columns=list(columns))
        self._forget(columns)

    def rename_columns(self, names: Mapping[str, str]) -> None:
        """Rename columns; see `Dataset.rename_columns`."""
        RenameColumns(names)
        self._add("rename_columns", names=dict(names))
        if self._known is not None:
            self._known = pa.schema([each.with_name(names.get(each.name, each.name)) for each in self._known])

    def widen_columns(self, types: Mapping[str, Any]) -> None:
        """Widen columns; see `Dataset.widen_columns`."""
        WidenColumns(types)
        self._add("widen_columns", types={name: str(kind) for name, kind in types.items()})
        self._forget(types)

    @property
    def _opened(self) -> ExitStack:
        if self._stack is None:
            raise not_open()
        return self._stack

    def _bring(self, operation: str, data: Any, how: Mapping[str, Any], **words: Any) -> pa.Schema:
        """Add a step with rows, and return their columns."""
        _ = self._opened  # said before the data is read
        source = open_source(data, self._known, **how)
        self._add(operation, rows=self._keep(source.schema, source.batches), **words)
        return source.schema

    def _add(self, operation: str, **words: Any) -> None:
        _ = self._opened
        self._steps.append(
            {"operation": operation, **{name: value for name, value in words.items() if value is not None}}
        )

    def _keep(self, schema: pa.Schema, batches: Any) -> str:
        """Write rows to a file, and return the name of its part."""
        name = f"rows-{len(self._steps) + 1}"
        self._files[name] = self._opened.enter_context(spooled(schema, batches, in_memory=_IN_MEMORY))
        return name

    def _forget(self, columns: Any) -> None:
        """Read columns as they come from now on: what they are then, the server says."""
        if self._known is not None:
            self._known = pa.schema([each for each in self._known if each.name not in columns])

    def _send(self, *, commit: bool) -> Any:
        _ = self._opened
        document = {
            "steps": self._steps,
            "parent": self._parent,
            "message": self._said["message"],
            **({"properties": self._said["properties"]} if self._said["properties"] else {}),
            **({} if self._branch == MAIN_BRANCH else {"branch": self._branch}),
            **({} if commit else {"commit": False}),
        }
        path = path_of("datasets", self._dataset.name, verb="transact")
        key = self._said["key"] if commit else None
        body = MultipartBody(write_json(document), self._files, ARROW)
        request = Request(
            method="POST", path=path, rows=body, rows_kind=body.kind, key=key, only_reads=not commit, in_run=commit
        )
        return self._server.connection.ask(request)


def _names(columns: Sequence[str]) -> list[str] | None:
    return list(columns) if columns else None

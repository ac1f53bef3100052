"""What a remote dataset's handle commits; each commit bears a key, so that one which is sent twice is made once."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.ingest.source import key_table, open_source
from foldstore.errors import UsageError
from foldstore.names import MAIN_BRANCH
from foldstore.remote.connection import Request, path_of
from foldstore.remote.local_only import refuse
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import joined_names
from foldstore.remote.server import Server, spooled
from foldstore.remote.stream import RemoteStreamWriter
from foldstore.remote.transaction import RemoteTransaction
from foldstore.stream import stream_options
from foldstore.transaction import are_expressions, check_delete

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion

_WORDS: Final = ("author", "idempotency_key", "message", "progress", "properties")


class RemoteCommits:
    """Commits; a part of `foldstore.remote.dataset.RemoteDataset`.

    Data is read here, checked as it is for a local store, and sent as Arrow.
    """

    _server: Server
    _record: DatasetFacts
    _branch: str

    def append(self, data: Any, *, order_by: Sequence[str] = (), evolve: bool = False, **words: Any) -> "RemoteVersion":
        """Commit more rows as a new version; see `foldstore.Dataset.append`."""
        return self._send("append", data, words, order_by=order_by, evolve=evolve)

    def overwrite(self, data: Any, *, order_by: Sequence[str] = (), **words: Any) -> "RemoteVersion":
        """Commit rows in the place of all that are there."""
        return self._send("overwrite", data, words, order_by=order_by)

    def upsert(self, data: Any, **words: Any) -> "RemoteVersion":
        """Commit rows by key: those with a known key take that row's place, others are added."""
        return self._send("upsert", data, words)

    def sync(self, data: Any, *, delete_missing: bool = True, **words: Any) -> "RemoteVersion":
        """Make the rows those of the data, by key, and commit the difference alone."""
        return self._send("sync", data, words, delete_missing=delete_missing)

    def delete(self, where: str | None = None, *, keys: Any = None, **words: Any) -> "RemoteVersion":
        """Commit that rows are gone: those that meet an SQL condition, or those with some keys."""
        check_delete(where, keys)
        if where is not None:
            return self._change("delete", {"where": where}, words)
        said, columns = self._said(words), self._known_columns()
        table = key_table(keys, columns if columns is not None else pa.schema([]), self._record.key)
        path = path_of("datasets", self._record.name, verb="delete-keys")
        return self._commit(path, table.schema, table.to_batches(), said)

    def add_columns(self, columns: Any, **words: Any) -> "RemoteVersion":
        """Commit new columns: SQL expressions by name, or a table with the key's columns and new ones."""
        if are_expressions(columns):
            return self._change("add-columns", {"columns": dict(columns)}, words)
        source = open_source(columns, self._known_columns())
        path = path_of("datasets", self._record.name, verb="join-columns")
        return self._commit(path, source.schema, source.batches, self._said(words))

    def drop_columns(self, columns: Sequence[str], **words: Any) -> "RemoteVersion":
        """Commit that columns are gone; earlier versions have them still."""
        return self._change("drop-columns", {"columns": columns if isinstance(columns, str) else list(columns)}, words)

    def rename_columns(self, names: Mapping[str, str], **words: Any) -> "RemoteVersion":
        """Commit new names of columns, as ``{"old": "new"}``."""
        return self._change("rename-columns", {"names": dict(names)}, words)

    def widen_columns(self, types: Mapping[str, Any], **words: Any) -> "RemoteVersion":
        """Commit wider types of columns, as ``{"amount": "int64"}``."""
        return self._change("widen-columns", {"types": {name: str(kind) for name, kind in types.items()}}, words)

    def restore(self, version: "RemoteVersion | int | str", **words: Any) -> "RemoteVersion":
        """Commit an old version's columns and rows as those of the newest."""
        return self._change("restore", {"version": self._ref_of(version)}, words)

    def compact(self, *, target_bytes: int | None = None, **words: Any) -> "RemoteVersion":
        """Commit the same rows in fewer files: small fragments are joined, deleted rows left out."""
        return self._change("compact", {"target_bytes": target_bytes}, words)

    def merge(self, theirs: "RemoteVersion | int | str", *, prefer: str | None = None, **words: Any) -> "RemoteVersion":
        """Commit what another branch did since both were one; the handle's own branch moves."""
        return self._change("merge", {"theirs": self._ref_of(theirs), "prefer": prefer}, words)

    def transaction(self, *, parent: int | None = None, **words: Any) -> RemoteTransaction:
        """Begin several changes that become one version, or none; see `foldstore.Dataset.transaction`."""
        return RemoteTransaction(
            self._server,
            self._record,
            self._branch,
            self._said(words),
            parent=parent,
            find_head=self._find_head,
            to_version=self._to_version,
        )

    def stream(self, name: str = "main", **options: Any) -> RemoteStreamWriter:
        """Open a writer whose rows come into a log on the server; see `foldstore.Dataset.stream`."""
        known = self._known_columns()
        return RemoteStreamWriter(
            self._server, self._record, self._branch, stream_options(name, options), known=known, opens=self._to_version
        )

    def _change(self, verb: str, data: Mapping[str, Any], words: Mapping[str, Any]) -> "RemoteVersion":
        said = self._said(words)
        branch = {} if self._branch == MAIN_BRANCH else {"branch": self._branch}
        body = {
            **{name: value for name, value in data.items() if value is not None},
            **branch,
            "message": said["message"],
            **({"properties": said["properties"]} if said["properties"] else {}),
        }
        path = path_of("datasets", self._record.name, verb=verb)
        found = self._server.connection.ask(Request(method="POST", path=path, data=body, key=said["key"], in_run=True))
        return self._to_version(found)

    def _send(self, verb: str, data: Any, words: Mapping[str, Any], **how: Any) -> "RemoteVersion":
        about = {name: value for name, value in words.items() if name in _WORDS}
        said = self._said(about)
        reading = {name: value for name, value in words.items() if name not in _WORDS}
        source = open_source(data, self._known_columns(), **reading)
        order_by = joined_names(how.get("order_by") or None)
        path = path_of("datasets", self._record.name, "versions")
        query = {"operation": verb, "order_by": order_by, "evolve": True if how.get("evolve") else None}
        if not how.get("delete_missing", True):
            query["delete_missing"] = False
        return self._commit(path, source.schema, source.batches, said, query)

    def _commit(
        self,
        path: str,
        schema: pa.Schema,
        batches: Any,
        said: Mapping[str, Any],
        query: Mapping[str, Any] | None = None,
    ) -> "RemoteVersion":
        branch = None if self._branch == MAIN_BRANCH else self._branch
        asked = {**(query or {}), "branch": branch, "message": said["message"] or None}
        if said["properties"]:
            asked["properties"] = json.dumps(said["properties"], ensure_ascii=False, separators=(",", ":"))
        with spooled(schema, batches) as file:
            request = Request(method="POST", path=path, query=asked, rows=file, key=said["key"], in_run=True)
            version = self._to_version(self._server.connection.ask(request))
        if said["progress"] is not None:
            said["progress"](version.num_rows, version.num_rows)
        return version

    def _said(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said of a commit; the server knows who commits by the token."""
        unknown = [name for name in words if name not in _WORDS]
        if unknown:
            raise UsageError(f"{unknown[0]!r} is no option of a commit.", hint=f"There are {', '.join(_WORDS)}.")
        if words.get("author") is not None:
            refuse("author=", "The token says who commits.")
        key = words.get("idempotency_key") or uuid4().hex
        properties = _plain(words.get("properties") or {})
        said = {"message": words.get("message") or "", "properties": properties}
        return {**said, "key": key, "progress": words.get("progress")}

    def _find_head(self) -> "RemoteVersion | None":
        raise NotImplementedError

    def _known_columns(self) -> pa.Schema | None:
        raise NotImplementedError

    def _ref_of(self, version: "RemoteVersion | int | str | None") -> str:
        raise NotImplementedError

    def _to_version(self, data: Mapping[str, Any]) -> "RemoteVersion":
        raise NotImplementedError


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(canonical_json(dict(properties)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"properties cannot be kept: {error}.", hint="Give a dict of texts, numbers, lists and dicts (no NaN)."
        ) from error
    return plain

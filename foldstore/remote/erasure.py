"""What a remote dataset's handle erases: asked once under a key, watched, and never called twice."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import numpy as np
import pyarrow as pa

from foldstore.dataset_erasure import Erasure, Tombstone, check_words
from foldstore.datastore.ingest.source import key_table
from foldstore.errors import UsageError
from foldstore.remote.connection import Request
from foldstore.remote.local_only import refuse
from foldstore.remote.operations import followed
from foldstore.remote.records import DatasetFacts
from foldstore.remote.server import Server, spooled

_TUPLES: Final = ("versions", "services")


class RemoteErasure:
    """Erasure by right; a part of `foldstore.remote.dataset.RemoteDataset`."""

    _server: Server
    _record: DatasetFacts

    def erase(
        self,
        keys: Any = None,
        *,
        where: str | None = None,
        row_ids: Any = None,
        reason: str,
        reference: str = "",
        author: str | None = None,
        dry_run: bool = False,
    ) -> Erasure:
        """Remove rows from every version; see `foldstore.Dataset.erase`. It cannot be undone."""
        if author is not None:
            refuse("author=", "The token says who erases.")
        check_words(reason, reference)
        if sum(each is not None for each in (keys, where, row_ids)) != 1:
            raise UsageError("Say in one way which rows to erase.", hint="Give keys, or where=, or row_ids=.")
        said = {"reason": reason, "reference": reference, "dry_run": dry_run}
        if keys is not None:
            return self._send_keys(keys, said)
        rows = {"where": where} if where is not None else {"row_ids": np.asarray(row_ids).tolist()}
        return self._ask(Request(method="POST", path=self._path(verb="erase"), data={**rows, **said}))

    def erasures(self) -> list[Tombstone]:
        """List what was erased from the dataset, oldest first."""
        found = self._server.get(self._path("erasures"))["items"]
        return [Tombstone(**{**each, "versions": tuple(each["versions"])}) for each in found]

    def _send_keys(self, keys: Any, said: Mapping[str, Any]) -> Erasure:
        columns = self._columns_of_any()
        table = key_table(keys, columns, self._record.key)
        with spooled(table.schema, iter(table.to_batches())) as file:
            return self._ask(Request(method="POST", path=self._path(verb="erase-keys"), query=said, rows=file))

    def _ask(self, request: Request) -> Erasure:
        with followed(self._server.connection):
            told = self._server.connection.ask(replace(request, key=uuid4().hex))
        reached = tuple((each["what"], each["why"]) for each in told["not_reached"])
        return Erasure(**{**told, **{name: tuple(told[name]) for name in _TUPLES}, "not_reached": reached})

    def _columns_of_any(self) -> pa.Schema:
        known = self._known_columns()
        return known if known is not None else pa.schema([])

    def _known_columns(self) -> pa.Schema | None:
        raise NotImplementedError

    def _path(self, *parts: str, verb: str = "") -> str:
        raise NotImplementedError

"""A backup of a remote store: what the server sends, written into the folder that a local one would write."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore.backup import Backup, BackupOptions
from foldstore.datastore.backup_archive import TAR, Readable
from foldstore.datastore.backup_receiving import receive_backup
from foldstore.remote.connection import Request, lost, path_of
from foldstore.remote.server import Server, spooled
from foldstore.types import Progress

_BACKUP: Final = path_of("backup")
_HAVE: Final = pa.schema({"have": pa.string()})
_IN_BATCH: Final = 10_000


class RemoteBackup:
    """Backups; a part of `foldstore.remote.store.RemoteStore`."""

    server: Server

    def backup(
        self,
        target: str | Path,
        progress: Progress | None = None,
        *,
        include_sealed: bool = True,
        check: bool = True,
        keep: int = 10,
    ) -> Backup:
        """Back the store up into a folder of this machine; see `foldstore.Store.backup`.

        The token is an administrator's, for all names. Sealed cells never come over the network: a store that has some
        refuses unless `include_sealed` is False, and in any case while a pool withholds answers. With `check` False
        files that are in the folder already are known by their names.

        Raises
        ------
        StoreError
            With code ``connection-lost`` when it broke off: the next one goes on from there.
        RefusedError
            With code ``sealed-stays``.
        """
        options = BackupOptions(include_sealed=include_sealed, check=check, keep=keep)

        @contextmanager
        def ask(have: Iterator[str], store_id: str | None) -> Iterator[Readable]:
            query = {"sealed": include_sealed, "store": store_id}
            with spooled(_HAVE, _batches(have)) as file:
                request = Request(method="POST", path=_BACKUP, query=query, rows=file, accept=TAR, only_reads=True)
                with self.server.connection.open(request) as answer:
                    yield _Archive(answer)

        return receive_backup(Path(target), ask, options, progress)


def _batches(hashes: Iterator[str]) -> Iterator[pa.RecordBatch]:
    while some := list(islice(hashes, _IN_BATCH)):
        yield pa.record_batch({"have": pa.array(some, pa.string())})


class _Archive:
    """The body of an answer, whose errors are the network's."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end.

        Raises
        ------
        StoreError
            With code ``connection-lost``.
        """
        try:
            return self._answer.read(size)
        except (HTTPException, OSError) as error:
            raise lost(error) from error

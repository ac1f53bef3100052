"""A backup that is sent: the same moment of a store that `back_up` copies, as an archive, in bounded memory.

Sealed cells are never sent. Leases keep the collector from what is sent; the manifest comes last, so what breaks off
is no backup.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import blake3

from foldstore.datastore.backup import commit_files, online_files
from foldstore.datastore.backup_archive import END, PIECE, Part, header_of, padding_of
from foldstore.datastore.backup_folder import Generation, KeptFile, describe_listing, describe_manifest
from foldstore.datastore.canonical import HASH_PREFIX, content_hash, is_content_hash
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.catalog.snapshot import Hold, holding_all, snapshot_catalog
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, StoreError
from foldstore.types import format_time

_FIRST: Final = 1


def send_backup(
    storage: Storage,
    *,
    have: Collection[str] = (),
    store_id: str | None = None,
    look: Callable[[], None] | None = None,
) -> Iterator[bytes]:
    """Yield a backup of the store as it is at one moment, as the bytes of an archive.

    Parameters
    ----------
    have : collection of str
        The hashes of files that whoever receives it has whole: these are not sent.
    store_id : str, optional
        Whose backup they have already.
    look : callable, optional
        Called when the catalog was copied, before a byte is sent; it may raise.

    Raises
    ------
    StoreError
        When they have the backup of another store.
    ConflictError
        In the middle, when cells are sealed or files go away meanwhile: what was sent is no backup then.
    """
    own = storage.catalog.ensure_fact("id", "")
    if store_id not in (None, own):
        raise StoreError("What is there is the backup of another store.", hint="Name another folder.")
    with (
        TemporaryDirectory(prefix="foldstore-") as folder,
        holding_all(storage.catalog, "backup over the network", storage.clock) as hold,
    ):
        path = Path(folder) / "catalog.db"
        snapshot_catalog(storage.catalog, path)
        storage.on_step("backup-snapshot")
        with closing(Catalog(sqlite_url(path), read_only=True)) as catalog:
            if look is not None:
                look()
            yield from _Sending(storage, catalog, hold, have, own).pieces(path)


class _Sending:
    """One backup while it is sent."""

    def __init__(self, storage: Storage, catalog: Catalog, hold: Hold, have: Collection[str], store_id: str) -> None:
        self._storage = storage
        self._catalog = catalog
        self._hold = hold
        self._have = have
        self._store_id = store_id
        self._lost: list[str] = []
        self._digest = ""

    def pieces(self, snapshot: Path) -> Iterator[bytes]:
        yield from _whole(Part.MANIFEST, describe_manifest(self._store_id, []))  # where it breaks off: no generation
        yield from self._file(Part.CATALOG, snapshot)
        catalog_hash, objects = self._digest, 0
        for row in inspection.iter_object_rows(self._catalog):
            objects += 1
            yield from self._object(row)
        self._refuse_torn()
        files: list[KeptFile] = []
        for path, digest in (*commit_files(self._storage, self._catalog), *online_files(self._storage)):
            yield from self._other(path, digest, files)
        self._refuse_torn()
        listing = describe_listing(files) + "\n"
        yield from _whole(Part.LISTING, listing)
        generation = Generation(
            number=_FIRST,
            created_at=format_time(self._storage.clock()),
            catalog_hash=catalog_hash,
            files_hash=content_hash(listing.encode()),
            objects=objects,
            versions=len(inspection.list_version_rows(self._catalog)),
            sealed=False,
            damaged=tuple(self._lost),
        )
        yield from _whole(Part.MANIFEST, describe_manifest(self._store_id, [generation]))
        yield END

    def _object(self, row: inspection.Row[ObjectRecord]) -> Iterator[bytes]:
        record = row.record
        if record is None or not is_content_hash(row.key):
            self._lost.append(row.key)
            return
        self._hold.renew()
        if record.stored_hash in self._have:
            return
        path = self._storage.objects.stored_path(record)
        name = f"objects/{record.id[len(HASH_PREFIX) :][:2]}/{record.id}{'.parquet' if record.is_cold else '.arrow'}"
        try:
            yield from self._file(name, path)
        except FileNotFoundError:
            self._lost.append(record.id)
        else:
            if self._digest != record.stored_hash:  # it was sent: whoever receives it throws it away
                self._lost.append(record.id)

    def _other(self, path: Path, digest: str, files: list[KeptFile]) -> Iterator[bytes]:
        """Send a commit object or an online file; one without a hash that is gone is none that is missed."""
        where = path.relative_to(self._storage.root).as_posix()
        try:
            found = digest or content_hash(path.read_bytes())
            size = path.stat().st_size
            is_whole = found in self._have
            if not is_whole:
                yield from self._file(f"files/{found[len(HASH_PREFIX) :][:2]}/{found}", path)
                is_whole = self._digest == found
        except FileNotFoundError:
            is_whole = False
        if is_whole:
            files.append(KeptFile(path=where, hash=found, num_bytes=size))
        elif digest:
            self._lost.append(where)

    def _file(self, name: str, path: Path) -> Iterator[bytes]:
        """Send a file, and note the hash of what was sent; one that is not there raises before a byte is sent."""
        hasher = blake3.blake3()
        with path.open("rb") as file:
            left = size = os.fstat(file.fileno()).st_size
            yield header_of(name, size)
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise ConflictError("A file became shorter while it was sent.", retry=True, hint="Ask again.")
                left -= len(piece)
                hasher.update(piece)
                yield piece
        yield padding_of(size)
        self._digest = HASH_PREFIX + hasher.hexdigest()

    def _refuse_torn(self) -> None:
        """Break off when cells were sealed, or files taken away, since the copy of the catalog was made."""
        live = inspection.find_object_states(self._storage.catalog, self._lost)
        gone = [name for name in self._lost if is_content_hash(name) and live.get(name) != "live"]
        if gone or _seals(self._storage.catalog) != _seals(self._catalog):
            raise ConflictError("Cells were sealed while the backup was sent.", retry=True, hint="Ask again.")


def _seals(catalog: Catalog) -> list[tuple[str, str]]:
    return [(seal.id, seal.state) for seal in list_seals(catalog)]


def _whole(name: str, text: str) -> Iterator[bytes]:
    body = text.encode()
    yield header_of(name, len(body)) + body + padding_of(len(body))

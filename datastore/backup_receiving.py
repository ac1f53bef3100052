"""A backup that is received: the folder that `back_up` would have written, of what a server sends.

The server is not trusted: where a file goes follows from hashes, its bytes are compared with them, and the generation
is written down when the catalog and all that it names were proven.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from foldstore.datastore.backup import Backup, BackupOptions, explained
from foldstore.datastore.backup_archive import Member, Part, Readable, read_members
from foldstore.datastore.backup_folder import (
    BackupFolder,
    Generation,
    KeptFile,
    is_kept_path,
    is_whole,
    parse_listing,
    parse_manifest,
)
from foldstore.datastore.canonical import is_content_hash
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.files import hash_file
from foldstore.errors import StoreError
from foldstore.types import Progress, parse_time

_MOST_MANIFEST: Final = 64 << 20
# Asks the server: told the hashes that are there, in pieces, and whose backup it is.
Ask = Callable[[Iterator[str], str | None], AbstractContextManager[Readable]]


def receive_backup(
    target: Path, ask: Ask, options: BackupOptions | None = None, progress: Progress | None = None
) -> Backup:
    """Write what a server sends into the folder of a backup.

    Parameters
    ----------
    target : pathlib.Path
        A new or empty folder, or the folder of an earlier backup of the same store.
    ask : callable
        Opens the archive.
    progress : callable, optional
        Told the bytes received and the bytes in all.

    Raises
    ------
    StoreError
        When the folder holds other things, or the backup of another store; when what came is no backup, or broke off:
        what came whole is kept then, and the generations before are as they were.
    """
    folder = BackupFolder(target)
    options = options or BackupOptions()
    with explained(target):
        folder.refuse_other(None)
        with folder.locked():
            known = folder.read_manifest()
            held = _kept(folder, read=options.check)
            # What the disk says is explained within: outside it would be taken for the network's.
            with ask(held, known[0] if known else None) as source, explained(target):
                return _Receiving(folder, options, progress).run(source)


def _kept(folder: BackupFolder, *, read: bool) -> Iterator[str]:
    """Yield the hashes of the files that are there; of those that are not read, the hash is taken from the name."""
    for area in ("objects", "files"):
        for path in (folder.root / area).glob("??/*"):
            named = path.name.removesuffix(".arrow")
            if path.is_file() and path.stat().st_size:
                yield named if not read and is_content_hash(named) else hash_file(path)


class _Receiving:
    """One backup while it is received."""

    def __init__(self, folder: BackupFolder, options: BackupOptions, progress: Progress | None) -> None:
        self._folder = folder
        self._options = options
        self._progress = progress
        self._copied = 0
        self._bytes = 0
        self._total: int | None = None

    def run(self, source: Readable) -> Backup:
        """Read the archive to its end, prove what came, and write the generation down."""
        catalog_file, listing_file = self._folder.stage(), self._folder.stage()
        found: dict[Part, str] = {}
        store_id, sent = "", list[Generation]()
        for member in read_members(source):
            if member.part is Part.MANIFEST:
                store_id, sent = self._manifest(member)
            elif member.part is Part.CATALOG and not found:
                found[member.part] = self._write(member, catalog_file)
                self._begin(store_id, catalog_file)
            elif member.part is Part.LISTING and member.part not in found:
                found[member.part] = self._write(member, listing_file)
            elif found:
                self._place(member)
            else:
                raise _wrong("it does not begin with the catalog")
        generation = sent[0] if len(sent) == 1 else None
        if generation is None or generation.sealed:
            raise _wrong("it names no generation, or one with sealed cells")
        if (found.get(Part.CATALOG), found.get(Part.LISTING)) != (generation.catalog_hash, generation.files_hash):
            raise _wrong("its catalog or its listing is not the one that its manifest names")
        return self._record(store_id, generation, catalog_file, listing_file)

    def _manifest(self, member: Member) -> tuple[str, list[Generation]]:
        if member.num_bytes > _MOST_MANIFEST:
            raise _wrong("its manifest is too large")
        try:
            store_id, sent = parse_manifest(b"".join(member.pieces), "The backup that the server sends")
            for each in sent:
                parse_time(each.created_at)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _wrong("its manifest cannot be read") from error
        self._folder.refuse_other(store_id)
        return store_id, sent

    def _begin(self, store_id: str, catalog_file: Path) -> None:
        if not store_id:
            raise _wrong("it does not begin with a manifest")
        self._folder.begin(store_id)  # from now on what came whole is kept
        with _opened(catalog_file) as catalog:
            self._total = inspection.sum_object_bytes(catalog)

    def _write(self, member: Member, path: Path) -> str:
        file = self._folder.files.create(path)
        try:
            for piece in member.pieces:
                file.write(piece)
            return file.finish()
        finally:
            file.close()

    def _place(self, member: Member) -> None:
        """Keep a file under its name when its bytes are those of the hash; that of a cold object the catalog has."""
        staged = self._folder.stage()
        digest = self._write(member, staged)
        is_cold = member.part is Part.COLD_OBJECT
        if digest != member.hash and not is_cold:
            self._folder.files.remove(staged)
            return
        target = self._folder.object_path(member.hash, cold=is_cold)
        if member.part is Part.FILE:
            target = self._folder.path_of(KeptFile(path="", hash=member.hash, num_bytes=member.num_bytes))
        self._folder.place(staged, target)
        self._copied += 1
        self._bytes += member.num_bytes
        if self._progress:
            self._progress(self._bytes, self._total)

    def _record(self, store_id: str, generation: Generation, catalog_file: Path, listing_file: Path) -> Backup:
        with _opened(catalog_file) as catalog:
            objects, lost = self._prove_objects(catalog)
            versions = len(inspection.list_version_rows(catalog))
        # Objects were proven just now, whatever the server's own are; of other files it says what it could not send.
        said = {str(name) for name in generation.damaged if is_kept_path(str(name))}
        lost += sorted(said.union(self._missing(listing_file)))
        number = self._folder.begin(store_id)
        numbered = replace(generation, number=number, objects=objects, versions=versions, damaged=tuple(lost))
        for staged, name in ((listing_file, numbered.files_name), (catalog_file, numbered.catalog_name)):
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            self._folder.place(staged, self._folder.root / name)
        self._folder.add(store_id, numbered, self._options.keep)
        return Backup(
            folder=str(self._folder.root),
            generation=number,
            objects=objects,
            versions=versions,
            copied=self._copied,
            bytes_copied=self._bytes,
            damaged=tuple(lost),
        )

    def _prove_objects(self, catalog: Catalog) -> tuple[int, list[str]]:
        """Count the objects that the catalog names, and list those that are not there whole."""
        count, lost = 0, []
        for row in inspection.iter_object_rows(catalog):
            count += 1
            record = row.record
            if record is None or not is_content_hash(row.key):
                lost.append(row.key)
                continue
            path = self._folder.object_path(record.id, cold=record.is_cold)
            if not is_whole(path, record.stored_hash, record.stored_bytes, read=record.is_cold):
                lost.append(row.key)
        return count, lost

    def _missing(self, listing_file: Path) -> list[str]:
        """List the other files that are not there whole."""
        try:
            listed = parse_listing(listing_file.read_bytes())
        except (ValueError, TypeError, RecursionError):
            listed = None
        if listed is None or any(file.is_sealed for file in listed):
            raise _wrong("its listing names what no store sends")
        return [
            file.path
            for file in listed
            if not is_whole(self._folder.path_of(file), file.hash, file.num_bytes, read=False)
        ]


@contextmanager
def _opened(path: Path) -> Iterator[Catalog]:
    """Open the catalog that came, and say of what is none that it is none."""
    try:
        with closing(Catalog(sqlite_url(path), read_only=True)) as catalog:
            yield catalog
    except (ValueError, TypeError, KeyError) as error:
        raise _wrong("its catalog cannot be read") from error


def _wrong(what: str) -> StoreError:
    return StoreError(
        f"What the server sends is no backup: {what}.",
        hint="Ask whether the URL is that of a Foldstore server of this release.",
        code="unexpected-answer",
    )

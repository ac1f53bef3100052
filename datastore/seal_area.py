"""The restricted area: ``sealed/<seal id>/<name>.arrow``, folders 0700, files 0400, one writer at a time; and
``sealed/key``, 0600, that commitments are keyed with. Files are enciphered when the store is opened
with a key.

Each file's schema carries a random nonce: its content address, which the catalog keeps, then says nothing
about the cells, however few values they could have.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import blake3
import pyarrow as pa

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.datastore.catalog.records import SealedFile
from foldstore.datastore.seal_cipher import MAGIC, decipher, encipher
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, CorruptObjectError, FoldstoreError, RefusedError

_SEALED: Final = "sealed"
_LOCK: Final = "lock"
_KEY: Final = "key"
_KEY_BYTES: Final = 32
_NONCE: Final = b"foldstore.nonce"
_NAME = re.compile(r"[0-9a-z_]{1,64}", re.ASCII)


def has_sealed_area(storage: Storage) -> bool:
    """Say whether anything was ever sealed in a store."""
    return (storage.root / _SEALED).is_dir()


@contextmanager
def lock_sealed_area(storage: Storage) -> Iterator[None]:
    """Keep others from sealing; the operating system lets go of the lock when the process dies.

    Raises
    ------
    ConflictError
        When another process or thread is sealing.
    """
    folder = storage.root / _SEALED
    _make_private(storage, folder)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "Another process is sealing or erasing in this store.", retry=True, hint="Try again in a while."
            ) from error
        yield
    finally:
        os.close(descriptor)


def find_store_key(storage: Storage) -> bytes | None:
    """Return the store's key, or None where nothing was committed to yet, or a backup left it out."""
    path = storage.root / _SEALED / _KEY
    try:
        return path.read_bytes() if path.is_file() else None
    except PermissionError as error:
        raise RefusedError("Only the owner of the store may read its key.", hint="Ask the steward.") from error


def make_store_key(storage: Storage) -> bytes:
    """Return the store's key, made at its first use: 32 random bytes in a file for the owner alone.

    Call it while the sealed area is locked.
    """
    known = find_store_key(storage)
    if known is not None:
        return known
    key = secrets.token_bytes(_KEY_BYTES)
    descriptor = os.open(storage.root / _SEALED / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    storage.objects.files.sync_folders([storage.root / _SEALED])
    return key


def write_sealed(storage: Storage, seal_id: str, name: str, table: pa.Table) -> SealedFile:
    """Write a table into a seal's folder, durably."""
    target = _path(storage, seal_id, name)
    _make_private(storage, target.parent)
    nonce = {_NONCE: secrets.token_hex(32).encode()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **nonce})
    file = storage.objects.files.create(target)
    if storage.seal_key is None:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    else:
        plain = pa.BufferOutputStream()
        with pa.ipc.new_file(plain, table.schema) as writer:
            writer.write_table(table)
        file.write(encipher(storage.seal_key, plain.getvalue().to_pybytes(), f"{seal_id}/{name}"))
    digest = file.finish()
    target.chmod(0o400)
    storage.objects.files.sync_folders([target.parent])
    return SealedFile(hash=digest, num_bytes=file.num_bytes)


def read_sealed(storage: Storage, seal_id: str, name: str, file: SealedFile) -> pa.Table:
    """Map a table of a seal's folder after checking that it is the one that was written.

    Raises
    ------
    CorruptObjectError
        When it is missing or has other bytes.
    RefusedError
        When it is enciphered, and the store was opened without its key.
    """
    check_sealed(storage, seal_id, name, file)
    with pa.memory_map(str(_path(storage, seal_id, name))) as mapped:
        if mapped.read(len(MAGIC)) == MAGIC:
            mapped.seek(0)
            written = mapped.read()
            table = pa.ipc.open_file(decipher(storage.seal_key, written, f"{seal_id}/{name}")).read_all()
        else:
            mapped.seek(0)
            table = pa.ipc.open_file(mapped).read_all()
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != _NONCE}
    return table.replace_schema_metadata(metadata or None)


def check_sealed(storage: Storage, seal_id: str, name: str, file: SealedFile) -> None:
    """Compare a sealed file with its content address."""
    path = _path(storage, seal_id, name)
    try:
        intact = path.stat().st_size == file.num_bytes
        intact = intact and HASH_PREFIX + blake3.blake3().update_mmap(path).hexdigest() == file.hash
    except PermissionError as error:
        raise RefusedError(
            f"Only the owner of the store may read the sealed file {name!r}.", hint="Ask the steward.", seal=seal_id
        ) from error
    except OSError:
        intact = False
    if not intact:
        raise CorruptObjectError(
            f"The file {name!r} of seal {seal_id} is missing or damaged.",
            hint="Restore the folder 'sealed' from a backup.",
            seal=seal_id,
            file=name,
        )


def remove_sealed(storage: Storage, seal_id: str) -> None:
    """Remove the folder of a seal that was given up."""
    folder = _path(storage, seal_id, "cells").parent
    storage.objects.files.remove_tree(folder)
    if folder.parent.is_dir():
        storage.objects.files.sync_folders([folder.parent])


def _path(storage: Storage, seal_id: str, name: str) -> Path:
    if not _NAME.fullmatch(seal_id) or not _NAME.fullmatch(name):
        raise FoldstoreError("That cannot name a sealed file.", hint="This is a fault in Foldstore.", code="bug")
    return storage.root / _SEALED / seal_id / f"{name}.arrow"


def _make_private(storage: Storage, folder: Path) -> None:
    if not folder.is_dir():
        storage.objects.files.make_folder(folder)
        folder.chmod(0o700)

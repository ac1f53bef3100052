"""`connect`: it opens a store, in a folder or on a server."""

import getpass
from dataclasses import replace
from pathlib import Path
from typing import Literal, Unpack, cast

from foldstore.config import Settings, load_settings
from foldstore.datastore.engine import Engine
from foldstore.datastore.erasing import recover_erasures
from foldstore.datastore.seal_cipher import read_key_file
from foldstore.datastore.sealing import recover_seals
from foldstore.datastore.storage import Storage, open_storage
from foldstore.errors import UsageError
from foldstore.remote.opening import is_url, open_server, refuse_server_words
from foldstore.remote.server_address import ServerOptions
from foldstore.store import Store
from foldstore.types import Clock, format_time, utc_now


def connect(
    uri: str | Path,
    *,
    create: bool = True,
    author: str | None = None,
    catalog_url: str | None = None,
    clock: Clock = utc_now,
    read_only: bool | None = None,
    role: Literal["steward"] | None = None,
    seal_key: str | Path | None = None,
    **server: Unpack[ServerOptions],
) -> Store:
    """Open a store; an empty one is made where there is none.

    Parameters
    ----------
    uri : str or pathlib.Path
        The store's folder; or a server's URL: the same verbs (`foldstore.remote.store.RemoteStore`).
    create : bool
        Whether a missing store is made.
    author : str, optional
        Who commits; ``FOLDSTORE_AUTHOR``, the configuration file or the user of the operating system else.
    catalog_url : str, optional
        A PostgreSQL URL, for a catalog that several machines share.
    clock : callable
        What time it is; for tests.
    read_only : bool, optional
        Refuse every change and write nothing, so that a folder can be read which nobody may write to;
        ``FOLDSTORE_READ_ONLY`` or the configuration file else.
    role : {'steward'}, optional
        Open it as who may retire test pools and read their labels then; the store's journal notes who did, and when.
    seal_key : str or pathlib.Path, optional
        A file with the key that the labels of test pools are enciphered with; ``FOLDSTORE_SEAL_KEY_FILE`` or the
        configuration file else. Without one they lie plain in a folder of the owner's.
    **server
        Of a server alone: ``token=`` and others; see `foldstore.remote.server_address.ServerOptions`.

    Raises
    ------
    StoreError
        When there is no store to open, or the folder cannot hold one.

    Examples
    --------
    >>> import foldstore
    >>> with foldstore.connect(folder) as store:
    ...     store.datasets()
    []
    """
    _check_place(uri)
    if is_url(uri):
        said = {"catalog_url": catalog_url, "read_only": read_only, "role": role, "seal_key": seal_key}
        return cast("Store", open_server(str(uri), {"author": author, **said}, server))  # the same verbs
    refuse_server_words(server)
    _check_folder(uri, role)
    settings = load_settings(author=author, catalog_url=catalog_url, read_only=read_only, seal_key_file=seal_key)
    storage = _open(Path(uri), settings, create=create, clock=clock)
    if role is not None:
        _note_role(storage, role, _author(settings))
    if settings.online_store is not None:
        storage = replace(storage, online_url=settings.online_store.get_secret_value())
    return Store(storage, _author(settings), role=role)


def _check_place(uri: object) -> None:
    if not isinstance(uri, str | Path) or "\0" in str(uri) or not str(uri):
        raise UsageError(f"{uri!r} does not name a folder.", hint="Write foldstore.connect('my_store').")


def _check_folder(uri: str | Path, role: str | None) -> None:
    """Refuse what names no folder, and roles that there are not."""
    if "://" in str(uri):
        raise UsageError(
            f"{str(uri)[:80]!r} is not a folder.",
            hint="Stores live in folders; catalog_url= names a PostgreSQL catalog.",
        )
    if role not in (None, "steward"):
        raise UsageError(
            f"There is no role {role!a} to open a store in.", hint="Write role='steward', or leave it out."
        )


def _open(folder: Path, settings: Settings, *, create: bool, clock: Clock) -> Storage:
    """Open a folder by its settings, and finish what a crash left half done."""
    key = None if settings.seal_key_file is None else read_key_file(settings.seal_key_file)
    engine = Engine(memory_limit=settings.sql_memory_limit, threads=settings.sql_threads)
    try:
        storage = open_storage(
            folder,
            catalog_url=settings.catalog_url.get_secret_value() if settings.catalog_url else None,
            create=create,
            engine=engine,
            clock=clock,
            read_only=settings.read_only,
            seal_key=key,
        )
    except BaseException:
        engine.close()
        raise
    # Where the files are elsewhere nothing of them can be removed, and it must not be noted as done.
    if not settings.read_only and not storage.objects.is_elsewhere():
        recover_seals(storage)
        recover_erasures(storage)
    return storage


def _note_role(storage: Storage, role: str, author: str) -> None:
    """Leave a trace of an opening with rights that others do not have."""
    try:
        with storage.catalog.write() as connection:
            body = {"opened": role, "read_only": storage.catalog.read_only}
            now = format_time(storage.clock())
            storage.journal.append(connection, "roles", body, actor=author, created_at=now)
    except BaseException:
        storage.close()
        raise


def _author(settings: Settings) -> str:
    if settings.author:
        return settings.author
    try:
        return getpass.getuser()
    except OSError:  # a container's user without a name
        return "unknown"

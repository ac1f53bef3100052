"""Opens the online store of a store: a file in its folder, or the Redis server that its settings name."""

from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.views.online.store import OnlineStore


def open_online_store(storage: Storage) -> OnlineStore | None:
    """Open where pushed rows are kept; None in a store that is only read and has none.

    Raises
    ------
    UsageError
        When the settings name a kind of server that is not known.
    """
    url = storage.online_url
    if url is not None:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise UsageError(
                "online_store names no server that is known.", hint="Write redis://host:6379/0.", code="invalid-setting"
            )
        from foldstore.datastore.storage import read_identity
        from foldstore.views.online.redis_store import RedisStore

        return RedisStore(url, prefix=f"foldstore:{read_identity(storage.root)}")
    from foldstore.views.online.embedded_store import FOLDER, EmbeddedStore, is_there

    read_only = storage.catalog.read_only
    if read_only and not is_there(storage.root):
        return None
    return EmbeddedStore(storage.root / FOLDER, read_only=read_only)

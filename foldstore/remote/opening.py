"""Whether a store lies in a folder or behind a server, and the way to the second; every opening passes here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foldstore.errors import UsageError
from foldstore.remote.server_address import ServerOptions

if TYPE_CHECKING:
    from foldstore.remote.store import RemoteStore


def is_url(uri: object) -> bool:
    """Say whether a text names a server.

    Examples
    --------
    >>> is_url("https://store.example"), is_url("flights_store")
    (True, False)
    """
    return isinstance(uri, str) and uri.strip().lower().startswith(("http://", "https://"))


def open_server(url: str, folder: Mapping[str, Any], server: ServerOptions) -> "RemoteStore":
    """Open the store of a server.

    Raises
    ------
    UsageError
        When something is said that only a folder has.
    """
    from foldstore.remote.store import connect_server

    given = [name for name, value in folder.items() if value is not None]
    if given:
        raise UsageError(f"{given[0]}= is said of a folder.", hint="Of a server, whoever runs it has said it.")
    return connect_server(url, **server)


def refuse_server_words(server: ServerOptions) -> None:
    """Refuse to open a folder with what is said of a server.

    Raises
    ------
    UsageError
        When anything is.
    """
    for name in server:
        raise UsageError(f"{name}= is said of a server.", hint="A folder is opened without it.")

"""Where a command's store is: most verbs take a server for a folder, and those that cannot say so."""

from pathlib import Path

from foldstore.errors import UsageError
from foldstore.remote.opening import is_url


def folder_of(store: str, verb: str) -> Path:
    """Return the folder of a store that is on this machine.

    Parameters
    ----------
    store : str
        What ``--store`` says.
    verb : str
        What needs the folder.

    Raises
    ------
    UsageError
        With code ``local-only`` when it is a server.

    Examples
    --------
    >>> folder_of("flights_store", "doctor").name
    'flights_store'
    """
    if is_url(store):
        raise UsageError(
            f"`foldstore {verb}` works on the store's own folder, and {store[:200]!r} is a server.",
            hint="Run it on the machine where the store is, with --store FOLDER.",
            code="local-only",
        )
    return Path(store)

"""What a handle of a remote store does not do: said by name, with the reason, and with what to do."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from foldstore.errors import UsageError

# What the parts of the library ask of each other: no verb for users, and in no list of what they miss.
SEAM = "It is for the parts of the library, which read the store's own files."
FILES = "It works on the store's own files."
CODE = "Code of the caller's runs in it, or the rows pass through it one by one."
FITTED = "The server fits rows to the columns of a stream, and says which ones do not."
SENT = "It is what a server sends; backup() asks for it, and writes it into a folder."
PROCESS = "It is about what one process has served, and a server has several."


class LocalOnlyError(UsageError, AttributeError):
    """What Python expects of a name that is not there: `hasattr` says False."""


def refuse(what: str, reason: str) -> NoReturn:
    """Say that a server is not asked for something.

    Raises
    ------
    UsageError
        With code ``local-only``.
    """
    raise LocalOnlyError(
        f"{what} is not there over the network. {reason}",
        hint="Do it where the store is: foldstore.connect('folder'). docs/remote.md lists the rest.",
        code="local-only",
    )


class RemoteHandle:
    """A handle whose missing verbs say why they are missing.

    Attributes
    ----------
    LOCAL_ONLY : mapping of str to str
        The verbs that the local handle has and this one has not, with the reason of each.
    """

    __slots__ = ()

    NOUN: ClassVar[str] = "handle"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        reason = type(self).LOCAL_ONLY.get(name)
        if reason is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        refuse(f"{self.NOUN}.{name}", reason)

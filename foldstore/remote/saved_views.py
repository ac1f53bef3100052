"""The handle of a remote store's saved views."""

from collections.abc import Mapping
from typing import Any, ClassVar

from foldstore.names import check_name
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import FILES, NO_ROUTE, RemoteHandle
from foldstore.remote.server import Server
from foldstore.saved_views import Deprecation, SavedView, ViewVersion

# The class below has a method of the name `list`.
Listing = list[SavedView]


class RemoteSavedViews(RemoteHandle):
    """The saved views on a server: listed, looked at, published."""

    NOUN = "saved_views"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("archive", "restore", "clone", "deprecate", "discard_draft", "publish", "put_draft"), NO_ROUTE
        ),
        **dict.fromkeys(("find_deprecation", "find_document"), FILES),
    }

    def __init__(self, server: Server) -> None:
        self._server = server

    def __repr__(self) -> str:
        return f"<RemoteSavedViews of {self._server.store!r}>"

    def list(self, *, archived: bool = False) -> Listing:
        """List them by name."""
        if archived:
            self.__getattr__("archive")
        return [read_saved(each) for each in self._server.connection.items(path_of("views"))]

    def get(self, name: str) -> SavedView:
        """Return what is kept under a name; of a draft only that there is one."""
        return read_saved(self._server.get(path_of("views", check_name(name, "view"))))

    def has(self, name: str) -> bool:
        """Say whether there is a view of that name."""
        return any(each.name == name for each in self.list())

    def put(self, name: str, spec: Mapping[str, Any], *, message: str) -> int:
        """Publish a specification; return the number of the view's version."""
        asked = {"spec": dict(spec), "message": message}
        return int(self._server.change(path_of("views", check_name(name, "view")), asked, method="PUT")["version"])


def read_saved(data: Mapping[str, Any]) -> SavedView:
    """Read what a route says of a saved view."""
    return SavedView(
        name=data["name"],
        versions=tuple(_read_version(each) for each in data["versions"]),
        draft={} if data["draft"] else None,
        is_archived=data["archived"],
    )


def _read_version(data: Mapping[str, Any]) -> ViewVersion:
    said = {name: value for name, value in data.items() if name not in ("version", "reads", "deprecation")}
    deprecation = None if data["deprecation"] is None else Deprecation(**data["deprecation"])
    return ViewVersion(number=data["version"], reads=tuple(data["reads"]), deprecation=deprecation, **said)

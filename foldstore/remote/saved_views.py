"""The handle of a remote store's saved views."""

from collections.abc import Mapping
from typing import Any, ClassVar

from foldstore.names import check_name, parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import SEAM, RemoteHandle
from foldstore.remote.server import Server
from foldstore.saved_views import Deprecation, SavedView, ViewVersion

# The class below has a method of the name `list`.
Listing = list[SavedView]


class RemoteSavedViews(RemoteHandle):
    """The saved views on a server; its verbs are those of `foldstore.saved_views.SavedViews`."""

    NOUN = "saved_views"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("find_deprecation", "find_document"), SEAM),
    }

    def __init__(self, server: Server) -> None:
        self._server = server

    def __repr__(self) -> str:
        return f"<RemoteSavedViews of {self._server.store!r}>"

    def list(self, *, archived: bool = False) -> Listing:
        """List them by name."""
        listed = self._server.connection.items(path_of("views"), {"archived": archived})
        return [read_saved(each) for each in listed]

    def get(self, name: str) -> SavedView:
        """Return what is kept under a name; of a draft only that there is one."""
        return read_saved(self._server.get(path_of("views", check_name(name, "view"))))

    def has(self, name: str) -> bool:
        """Say whether there is a view of that name."""
        return any(each.name == name for each in self.list())

    def put(self, name: str, spec: Mapping[str, Any], *, message: str) -> int:
        """Publish a specification; return the number of the view's version."""
        asked = {"spec": dict(spec), "message": message}
        return int(self._server.make(path_of("views", check_name(name, "view")), asked, method="PUT")["version"])

    def put_draft(self, name: str, spec: Mapping[str, Any], *, message: str) -> None:
        """Keep a specification as the draft of a view."""
        asked = {"spec": dict(spec), "message": message}
        self._server.change(path_of("views", check_name(name, "view"), "draft"), asked, method="PUT")

    def publish(self, name: str, *, message: str = "") -> ViewVersion:
        """Publish the draft of a view: it becomes a version that never changes, and is no draft any more."""
        return _read_version(self._server.make(_view(name, "publish"), {"message": message}))

    def discard_draft(self, name: str) -> None:
        """Give a draft up; published versions stay."""
        self._server.change(path_of("views", check_name(name, "view"), "draft"), method="DELETE")

    def clone(self, address: str, name: str) -> None:
        """Copy a view to another name, as a draft to be edited: a published version, the newest one, or a draft."""
        parsed = parse_address(address)
        body = {"name": check_name(name, "view")} | ({"version": parsed.ref} if "@" in address else {})
        self._server.change(_view(parsed.name, "clone"), body)

    def archive(self, name: str) -> SavedView:
        """Leave a view out of lists; its addresses work as before, and `restore` takes it back."""
        return read_saved(self._server.change(_view(name, "archive")))

    def restore(self, name: str) -> SavedView:
        """Take a view out of the archive."""
        return read_saved(self._server.change(_view(name, "restore")))

    def deprecate(self, address: str, reason: str, *, replacement: str | None = None) -> SavedView:
        """Say that a version of a view should not be used any more: whoever opens it is warned."""
        parsed = parse_address(address)
        path = path_of("views", parsed.name, "versions", parsed.ref, verb="deprecate")
        asked = {"reason": reason, "replacement": replacement}
        return read_saved(self._server.change(path, {name: text for name, text in asked.items() if text is not None}))


def _view(name: str, verb: str) -> str:
    return path_of("views", check_name(name, "view"), verb=verb)


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

"""The handle of a remote version's consumers: models, views, services and people that depend on it."""

from typing import TYPE_CHECKING, ClassVar

from foldstore.consumers import Consumer
from foldstore.remote.local_only import RemoteHandle

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion

# The class below has a method of the name `list`.
Listing = list[Consumer]


class RemoteConsumers(RemoteHandle):
    """The consumers of one version on a server; its verbs are those of `foldstore.consumers.Consumers`."""

    NOUN: ClassVar[str] = "consumers"

    def __init__(self, version: "RemoteVersion") -> None:
        self._version = version

    def __repr__(self) -> str:
        named = ", ".join(f"{each.kind} {each.name}" for each in self.list())
        return f"<Consumers of {self._version.address}: {named or 'none'}>"

    def register(self, kind: str, name: str, *, reason: str = "") -> Consumer:
        """Say that somebody depends on the version; saying it again changes nothing."""
        asked = {"kind": kind, "name": name, "reason": reason}
        return Consumer(**self._version.server.change(self._version.place("register-consumer"), asked))

    def release(self, kind: str, name: str) -> bool:
        """Take the claim back; False when there was none."""
        asked = {"kind": kind, "name": name}
        return bool(self._version.server.change(self._version.place("release-consumer"), asked)["released"])

    def list(self, kind: str | None = None) -> Listing:
        """List them by kind and name."""
        found = self._version.server.get(self._version.part_path("consumers"), kind=kind)
        return [Consumer(**each) for each in found["items"]]

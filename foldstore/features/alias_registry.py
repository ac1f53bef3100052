"""Where aliases of feature services point: each move is a document of the catalog and an entry of its journal.

Both are written in one transaction, so whoever reads sees the move whole or not at all.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.types import format_time

ALIAS_KIND: Final = "service_alias"


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """One move of an alias of a service.

    Attributes
    ----------
    alias : str
        The address, ``arrival@live``.
    service : str or None
        The numbered version that it was pointed at, ``arrival@3``; None when it was removed.
    author, created_at : str
        Who moved it, and when.
    """

    alias: str
    service: str | None
    author: str
    created_at: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class AliasRegistry:
    """The aliases of a store's feature services.

    Parameters
    ----------
    storage : Storage
        The open store.
    author : str
        Who moves them.
    """

    def __init__(self, storage: Storage, author: str) -> None:
        self._storage = storage
        self._author = author
        self._documents = Registry(storage.catalog, ALIAS_KIND)

    def find(self, name: str, alias: str) -> int | None:
        """Return the number of the version that an alias of a service points at; None when there is no such alias."""
        document = self._documents.find(f"{name}@{alias}")
        number = None if document is None else document.body["version"]
        return None if number is None else int(number)

    def put(self, name: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, or at none; one that points there already stays as it is."""
        now = format_time(self._storage.clock())
        move = {"alias": alias, "version": version}
        self._documents.put(
            f"{name}@{alias}",
            {"version": version},
            author=self._author,
            created_at=now,
            beside=lambda connection: self._storage.journal.append(
                connection, _stream(name), move, actor=self._author, created_at=now
            ),
        )

    def list(self, name: str | None = None) -> dict[str, int]:
        """Return where aliases point, by address: all, or those of a service."""
        newest = {document.name: document.body["version"] for document in self._documents.list_documents()}
        return {
            address: int(version)
            for address, version in sorted(newest.items())
            if version is not None and name in (None, address.partition("@")[0])
        }

    def history(self, name: str, alias: str) -> tuple[AliasMove, ...]:
        """Return the moves of an alias, oldest first; those of one that was removed, too."""
        moves = []
        for entry in self._storage.journal.list_entries(_stream(name)):
            body = json.loads(entry.body)
            if body["alias"] == alias:
                service = None if body["version"] is None else f"{name}@{body['version']}"
                moves.append(
                    AliasMove(alias=f"{name}@{alias}", service=service, author=entry.actor, created_at=entry.created_at)
                )
        return tuple(moves)


def _stream(name: str) -> str:
    return f"service-aliases/{name}"

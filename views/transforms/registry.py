"""The fitted transforms that a store keeps: immutable, numbered, compared with their golden sample when loaded."""

import threading
from typing import Final

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import LATEST, parse_address
from foldstore.types import format_time
from foldstore.views.transforms.transform import TRANSFORM_KIND, FittedTransform

_MOST_LOADED: Final = 64


class TransformRegistry:
    """The fitted transforms of a store.

    Parameters
    ----------
    storage : Storage
        The open store.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._documents = Registry(storage.catalog, TRANSFORM_KIND)
        self._loaded: dict[tuple[str, int], FittedTransform] = {}
        self._sound: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def put(self, fitted: FittedTransform, *, author: str, message: str = "") -> str:
        """Keep a fitted transform as a new version; an equal one stays what it is. Return its address."""
        name = fitted.definition.name
        document = self._documents.put(
            name, fitted.to_dict(), author=author, message=message, created_at=format_time(self._storage.clock())
        )
        return f"{name}@{document.version}"

    def list_addresses(self) -> list[str]:
        """List the addresses, every version."""
        names = self._documents.list_names()
        return [f"{name}@{document.version}" for name in names for document in self._documents.list_versions(name)]

    def pin(self, address: str) -> str:
        """Return the full address: of the newest version where none is named.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        name, number = self._resolve(address)
        if self._documents.find(name, number) is None:
            raise self._unknown(address)
        return f"{name}@{number}"

    def load(self, address: str) -> FittedTransform:
        """Return a fitted transform as it was kept, not yet compared with anything.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        name, number = self._resolve(address)
        with self._lock:
            if (name, number) not in self._loaded:
                document = self._documents.find(name, number)
                if document is None:
                    raise self._unknown(address)
                if len(self._loaded) >= _MOST_LOADED:
                    self._loaded.pop(next(iter(self._loaded)))
                self._loaded[name, number] = FittedTransform.from_dict(document.body)
            return self._loaded[name, number]

    def find(self, address: str) -> FittedTransform:
        """Return a fitted transform whose two kernels agree here, to the bit, with each other and with what was kept.

        Raises
        ------
        NotFoundError
            When there is none.
        RefusedError
            When they do not agree: with these libraries it would serve other values than were trained on.
        """
        fitted, place = self.load(address), self._resolve(address)
        if place not in self._sound:
            found = fitted.check_golden()
            if found:
                first = found[0]
                raise RefusedError(
                    f"Transform {place[0]}@{place[1]} gives {first.column!r} as {first.left!r} and {first.right!r} "
                    f"in {first.between}.",
                    hint="It would serve other values than were trained on: fit it anew with these libraries.",
                    code="transform-skew",
                    transform=f"{place[0]}@{place[1]}",
                )
            self._sound.add(place)
        return fitted

    def _resolve(self, address: str) -> tuple[str, int]:
        parsed = parse_address(address)
        if parsed.split is not None or not (parsed.ref == LATEST or parsed.ref.isdigit()):
            raise UsageError(f"{address!r} is not the address of a transform.", hint="Write name or name@version.")
        if parsed.ref != LATEST:
            return parsed.name, int(parsed.ref)
        document = self._documents.find(parsed.name)
        if document is None:
            raise self._unknown(address)
        return parsed.name, document.version

    def _unknown(self, address: str) -> NotFoundError:
        return NotFoundError(f"There is no transform {address!r}.", hint=did_you_mean(address, self.list_addresses()))

"""The versions that views and queries read, kept open while the catalog stays as it is."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from foldstore.dataset import Dataset
from foldstore.datastore.lineage.recording import find_recording
from foldstore.datastore.storage import Storage
from foldstore.names import Address
from foldstore.version import Version

_MOST: Final = 64


class OpenVersions:
    """Looks versions up by address; a second look is answered from memory when nothing was committed since.

    Parameters
    ----------
    storage : Storage
        The open store.
    author : str
        Who acts through the handles.
    """

    def __init__(self, storage: Storage, author: str) -> None:
        self._storage = storage
        self._author = author
        self._mark: tuple[int, int] | None = None
        self._known: OrderedDict[Address, Version] = OrderedDict()
        self._lock = Lock()

    def find(self, address: Address) -> Version | None:
        """Return the version at an address; None when no dataset has its name.

        Raises
        ------
        NotFoundError
            When the dataset has no such version.
        """
        if self._storage.guard is not None or find_recording(self._storage) is not None:
            return self._look_up(address)  # what may be read is asked each time; a run notes each look
        mark = self._storage.catalog.read_change_mark()
        if mark is None:
            return self._look_up(address)
        known = self._recall(address, mark)
        if known is not None:
            return known
        found = self._look_up(address)  # at the mark or after it: then the next mark is another one
        if found is not None:
            self._keep(address, found, mark)
        return found

    def _look_up(self, address: Address) -> Version | None:
        record = self._storage.catalog.find_dataset(address.name)
        return None if record is None else Dataset(self._storage, record, self._author).version(address.ref)

    def _recall(self, address: Address, mark: tuple[int, int]) -> Version | None:
        with self._lock:
            if self._mark != mark:
                self._known.clear()
                self._mark = mark
            known = self._known.get(address)
            if known is not None:
                self._known.move_to_end(address)
            return known

    def _keep(self, address: Address, version: Version, mark: tuple[int, int]) -> None:
        with self._lock:
            if self._mark != mark:
                return
            self._known[address] = version
            while len(self._known) > _MOST:
                self._known.popitem(last=False)

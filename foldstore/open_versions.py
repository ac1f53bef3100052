"""The versions that views and queries read, kept open while the catalog stays as it is."""

from typing import Final

from foldstore.dataset import Dataset
from foldstore.datastore.lineage.recording import find_recording
from foldstore.datastore.storage import Storage
from foldstore.datastore.unchanged import Unchanged
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
        self._known: Unchanged[Version | None] = Unchanged(_MOST)

    def find(self, address: Address) -> Version | None:
        """Return the version at an address; None when no dataset has its name.

        Raises
        ------
        NotFoundError
            When the dataset has no such version.
        """
        if self._storage.guard is not None or find_recording(self._storage) is not None:
            return self._look_up(address)  # what may be read is asked each time; a run notes each look
        mark = self._storage.catalog.change_mark.read()
        return self._known.find(mark, address, lambda: self._look_up(address))

    def _look_up(self, address: Address) -> Version | None:
        record = self._storage.catalog.find_dataset(address.name)
        return None if record is None else Dataset(self._storage, record, self._author).version(address.ref)

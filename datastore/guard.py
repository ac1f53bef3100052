"""The question that every read of a version asks: may whoever reads see this, and what of it.

The layer above answers (access rules of roles); without a guard, whoever can open the files may read. Sealed cells
need no answer: they are not in the files.
"""

from typing import Protocol

from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader


class ReadGuard(Protocol):
    """Decides what of a version is read."""

    def permit(self, dataset: DatasetRecord, version: VersionRecord, rows: FragmentReader) -> FragmentReader:
        """Return the rows and columns that may be read: all, or fewer.

        Every handle of a version asks once, before it reads anything; views, SQL, splits, profiles and features read
        through such a handle.

        Raises
        ------
        RefusedError
            When nothing of the version may be read.
        """

    def may_know(self, dataset: str) -> bool:
        """Say whether there may be told that a dataset of this name is there."""

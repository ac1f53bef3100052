"""Deleted rows of a fragment: a bitmap of packed bits, deflated, kept in the catalog under the BLAKE3 of the bits.

A fragment's files never change. A commit that deletes rows names another bitmap; versions before it name the
bitmap that they had, or none.
"""

import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.canonical import content_hash
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.deletions import read_deletions
from foldstore.datastore.catalog.records import DeletionRecord
from foldstore.datastore.manifest import Deleted, Fragment
from foldstore.errors import CorruptObjectError

Mask: TypeAlias = NDArray[np.bool_]

_MOST_BITMAPS: Final = 256


def encode_deletion(gone: Mask) -> DeletionRecord:
    """Return the catalog's record of which rows are gone.

    Examples
    --------
    >>> record = encode_deletion(np.array([True, False, True]))
    >>> record.num_deleted, decode_deletion(record.hash, record.encoded, 3).tolist()
    (2, [True, False, True])
    """
    bits = np.packbits(gone, bitorder="little").tobytes()
    return DeletionRecord(
        hash=content_hash(bits), encoded=zlib.compress(bits, 1), num_deleted=int(np.count_nonzero(gone))
    )


def decode_deletion(name: str, encoded: bytes, num_rows: int) -> Mask:
    """Read a bitmap and check that it is the one that its name says.

    Raises
    ------
    CorruptObjectError
        When it is not, or is one of fewer rows.
    """
    try:
        bits = zlib.decompress(encoded)
    except zlib.error as error:
        raise CorruptObjectError(f"Bitmap {name} of deleted rows is damaged.", deletion=name) from error
    if content_hash(bits) != name or len(bits) != (num_rows + 7) // 8:
        raise CorruptObjectError(f"Bitmap {name} of deleted rows does not match its name.", deletion=name)
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=num_rows, bitorder="little").view(np.bool_)


def count_deleted(name: str, encoded: bytes) -> int:
    """Return how many rows a bitmap names, whatever the fragment, after checking it against its own name.

    Raises
    ------
    CorruptObjectError
        When it is not the one that its name says.
    """
    try:
        bits = zlib.decompress(encoded)
    except zlib.error as error:
        raise CorruptObjectError(f"Bitmap {name} of deleted rows is damaged.", deletion=name) from error
    if content_hash(bits) != name:
        raise CorruptObjectError(f"Bitmap {name} of deleted rows does not match its name.", deletion=name)
    return int(np.count_nonzero(np.unpackbits(np.frombuffer(bits, np.uint8))))


class DeletionCache:
    """Reads the bitmaps of fragments; keeps those that were used last, and those that wait for their commit."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._used: OrderedDict[str, bytes] = OrderedDict()
        self._waiting: dict[str, DeletionRecord] = {}
        self._wanted: Counter[str] = Counter()
        self._lock = Lock()

    def keep(self, gone: Mask) -> Deleted | None:
        """Name a bitmap that a commit will write; None when it has no row."""
        if not gone.any():
            return None
        record = encode_deletion(gone)
        with self._lock:
            self._waiting[record.hash] = record
            self._wanted[record.hash] += 1
        return Deleted(record.hash, record.num_deleted)

    def waiting(self, names: Iterable[str]) -> list[DeletionRecord]:
        """Return the records of bitmaps that wait for their commit; those that the catalog has are left out."""
        with self._lock:
            return [self._waiting[name] for name in names if name in self._waiting]

    def forget(self, names: Iterable[str]) -> None:
        """Say that a commit which named these bitmaps has ended; others still find them in the catalog.

        A bitmap that somebody else has named as well goes on waiting.
        """
        with self._lock:
            for name in names:
                self._wanted[name] -= 1
                if self._wanted[name] <= 0:
                    self._waiting.pop(name, None)
                    del self._wanted[name]

    def load(self, fragments: Sequence[Fragment]) -> None:
        """Fetch the bitmaps of many fragments at once."""
        with self._lock:
            known = {*self._used, *self._waiting}
        names = {f.deleted.hash for f in fragments if f.deleted is not None} - known
        for name, encoded in read_deletions(self._catalog, sorted(names)).items():
            self._remember(name, encoded)

    def gone(self, fragment: Fragment) -> Mask | None:
        """Return which rows of a fragment are deleted; None when none is.

        Raises
        ------
        CorruptObjectError
            When the bitmap is missing or damaged: rows that were deleted are never shown instead.
        """
        if fragment.deleted is None:
            return None
        name = fragment.deleted.hash
        with self._lock:
            waiting = self._waiting.get(name)
            encoded = waiting.encoded if waiting else self._used.get(name)
        if encoded is None:
            encoded = read_deletions(self._catalog, [name]).get(name)
            if encoded is None:
                raise CorruptObjectError(
                    f"Bitmap {name} of deleted rows is missing.",
                    hint="Restore the catalog from a backup.",
                    deletion=name,
                )
            self._remember(name, encoded)
        return decode_deletion(name, encoded, fragment.num_rows)

    def _remember(self, name: str, encoded: bytes) -> None:
        with self._lock:
            self._used[name] = encoded
            self._used.move_to_end(name)
            while len(self._used) > _MOST_BITMAPS:
                self._used.popitem(last=False)

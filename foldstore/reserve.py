"""The handle of a reserve: rows of new versions, sealed as they come, until they are enough for the next pool."""

import pyarrow as pa

from foldstore.datastore.storage import Storage
from foldstore.validation.pools.reserve import (
    ReserveRecord,
    ReserveStatus,
    fill_reserve,
    get_reserve,
    reserve_features,
    reserve_status,
)


class Reserve:
    """Rows that are put aside for the next pool; `Pool.rotate` takes it in place of a part."""

    def __init__(self, storage: Storage, name: str, author: str) -> None:
        self._storage = storage
        self._name = name
        self._author = author

    def __repr__(self) -> str:
        status = self.status()
        return f"<Reserve {self.name!r}: {status.rows:,} of {status.needed:,} rows>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def record(self) -> ReserveRecord:
        """What is known of it now: dataset, label, plan, share."""
        return get_reserve(self._storage, self._name)

    def status(self) -> ReserveStatus:
        """Return how many rows it has, how many the plan needs, and whether a pool was made of it."""
        return reserve_status(self._storage, self.record)

    def fill(self) -> int:
        """Look at the versions that came since it looked last; return how many rows it sealed.

        Every commit through this library does so of itself.
        """
        return fill_reserve(self._storage, self.record, actor=self._author)

    def features(self) -> pa.Table:
        """Return the visible columns of its rows: what a baseline for the next pool needs to predict."""
        return reserve_features(self._storage, self.record)

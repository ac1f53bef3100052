"""The heartbeat of long work: its lease is renewed as it goes on, and not more often than is needed."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from foldstore.datastore.catalog import commits
from foldstore.datastore.storage import Storage
from foldstore.types import Clock

T = TypeVar("T")


class Heartbeat:
    """Renews a lease whenever a quarter of it has passed since the last time.

    Parameters
    ----------
    clock : callable
        What time it is. One that goes back makes the next beat renew: too often rather than too late.
    length : timedelta
        How long the lease is.
    renew : callable
        Renews it.
    """

    def __init__(self, clock: Clock, length: timedelta, renew: Callable[[], object]) -> None:
        self._clock = clock
        self._pause = length / 4
        self._renew = renew
        self._last = clock()

    @classmethod
    def of_transaction(cls, storage: Storage, transaction_id: str) -> "Heartbeat":
        """Return the heartbeat of a commit under way."""
        return cls(storage.clock, commits.LEASE, lambda: commits.renew(storage.catalog, transaction_id, storage.clock))

    def through(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, with a beat before each."""
        for item in items:
            self.beat()
            yield item

    def beat(self) -> None:
        """Say that the work goes on.

        Raises
        ------
        StoreError
            With code ``lease-lost``, when it was given up meanwhile.
        """
        now: datetime = self._clock()
        if not self._last <= now < self._last + self._pause:
            self._renew()
            self._last = now

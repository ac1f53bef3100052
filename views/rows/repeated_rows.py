"""Rows that are gone through again and again."""

from collections.abc import Sequence
from itertools import count

import pyarrow as pa

from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import Batches, Index, Rows, endless, pick_shard


class RepeatedRows:
    """Epoch after epoch of rows.

    Parameters
    ----------
    before : Rows
        What is repeated.
    epochs : int, optional
        How often; without end unless given.
    """

    def __init__(self, before: Rows, epochs: int | None) -> None:
        self.before = before
        self.epochs = epochs

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.before.arrow_schema

    @property
    def is_endless(self) -> bool:
        """Whether no number of epochs was given."""
        return self.epochs is None or self.before.is_endless

    def count(self) -> int:
        """Count the rows of all epochs."""
        if self.epochs is None:
            raise endless("its rows cannot be counted")
        return self.before.count() * self.epochs

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows of one epoch after the other."""
        return pick_shard(self._stream(columns, epoch, start), shard, start)

    def _stream(self, columns: Sequence[str], epoch: int, start: int) -> Batches:
        skipped, start = divmod(start, self.before.count()) if start and self.before.count() else (0, 0)
        turns = count(skipped) if self.epochs is None else range(skipped, self.epochs)
        for turn in turns:
            rows = 0
            for batch in self.before.stream(columns, epoch=epoch * (self.epochs or 0) + turn, start=start):
                rows += batch.num_rows
                yield batch
            if not rows and not start:
                return  # nothing repeated is nothing
            start = 0

    def index(self) -> Index:
        """Return the index of the first epoch's rows."""
        return self.before.index()

"""What judgement needs of the data it judges; the layer that composes versions and views supplies it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import pyarrow as pa

from foldstore.datastore.keys import DuplicateKeys, find_repeated_keys
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, count_array, counts_from_column
from foldstore.datastore.statistics.profile import Profile, profile_table
from foldstore.errors import column_not_found


class Subject(Protocol):
    """Rows that can be judged: a version, a view, or a table not yet committed."""

    @property
    def address(self) -> str:
        """What the rows are called in messages, such as ``trial@2``."""
        ...

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        ...

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        ...

    def profile(self) -> Profile:
        """Return the statistics of all columns."""
        ...

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids, by column."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order."""
        ...

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once, with at most `limit` examples."""
        ...


class TableSubject:
    """One table in memory as a `Subject`.

    Examples
    --------
    >>> TableSubject(pa.table({"id": [1, 1, 2]}), "draft").duplicate_keys(["id"], 10).examples
    ({'id': 1, 'count': 2},)
    """

    def __init__(self, table: pa.Table, address: str) -> None:
        self._table = table
        self._address = address

    @property
    def address(self) -> str:
        """What the rows are called in messages."""
        return self._address

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return self._table.schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    @cached_property
    def _profile(self) -> Profile:
        return profile_table(self._table)

    def profile(self) -> Profile:
        """Return the statistics of all columns, made once."""
        return self._profile

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> dict[str, GridCounts]:
        """Return exact counts on pinned grids: from the profile where it suffices, else from the rows."""
        profile = self.profile()
        counts = {}
        for name, grid in grids.items():
            if name not in profile.columns:
                raise column_not_found(name, profile.columns, where=self.address)
            known = counts_from_column(profile.columns[name], grid)
            counts[name] = count_array(self._table[name], grid) if known is None else known
        return counts

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order."""
        return iter(self._table.select(list(columns)).to_batches())

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once; a null key equals no other."""
        return find_repeated_keys(keys, self.batches(keys), limit)

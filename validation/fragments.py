"""Stored rows as a subject of judgement: statistics come from the files' kept profiles."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from foldstore.datastore.keys import DuplicateKeys, find_duplicate_keys
from foldstore.datastore.profiling import count_fragments, profile_fragments
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.storage import Storage


class FragmentSubject:
    """The rows of some fragments, as `foldstore.validation.check.validate` looks at them.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : FragmentReader
        The rows that are judged.
    address : str
        What they are called in the report.
    before : FragmentReader, optional
        Rows that were there before: a key is unique when it is unique in both together.
    missing : sequence of str
        Columns of the reader that these rows came without.
    """

    def __init__(
        self,
        storage: Storage,
        rows: FragmentReader,
        address: str,
        before: FragmentReader | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        self._storage = storage
        self._rows = rows
        self._before = before or rows.restricted([])
        self._address = address
        self._names = [name for name in rows.arrow_schema.names if name not in missing]

    @property
    def address(self) -> str:
        """What the rows are called."""
        return self._address

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns that the rows came with."""
        return pa.schema([self._rows.arrow_schema.field(name) for name in self._names])

    @property
    def num_rows(self) -> int:
        """How many rows are judged."""
        return self._rows.num_rows

    def profile(self) -> Profile:
        """Return the statistics of the rows."""
        return profile_fragments(self._storage, self._rows).select(self._names)

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Count the rows into pinned grids."""
        return count_fragments(self._storage, self._rows, grids)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order."""
        return self._rows.batches(columns)

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Find key values that occur twice, among these rows or between them and those before."""
        return find_duplicate_keys(keys, self._rows, self._before, limit)

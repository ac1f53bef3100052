"""Stored rows as a subject of judgement: statistics come from the files' kept profiles."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.joint_profiling import FragmentRows
from foldstore.datastore.keys import DuplicateKeys, find_duplicate_keys
from foldstore.datastore.profiling import count_fragments, profile_fragments
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import plain_array
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
    seals : sequence of sequence of str
        The columns that each test pool hides cells of.
    follows : bool
        Whether the rows were put behind those before, as an append does: an order goes on from them.
    """

    def __init__(
        self,
        storage: Storage,
        rows: FragmentReader,
        address: str,
        before: FragmentReader | None = None,
        seals: Sequence[Sequence[str]] = (),
        *,
        follows: bool = False,
    ) -> None:
        self._storage = storage
        self._rows = rows
        self._before = before or rows.restricted([])
        self._follows = follows
        self._address = address
        # A column that these rows came without is missing to a judge, whatever it reads as.
        self._names = rows.stored_names
        present = ([name for name in names if name in self._names] for names in seals)
        self.seals = [names for names in present if names]

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
        """Return the statistics of the rows, made once."""
        return self._profile

    @cached_property
    def _profile(self) -> Profile:
        return profile_fragments(self._storage, self._rows).select(self._names)

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Count the rows into pinned grids: from the profile where it is exact enough, else from the files."""
        columns = self.profile().columns
        known = {name: counts_from_column(columns[name], grid) for name, grid in grids.items()}
        unknown = {name: grid for name, grid in grids.items() if known[name] is None}
        counted = count_fragments(self._storage, self._rows, unknown) if unknown else {}
        return {name: counts if counts is not None else counted[name] for name, counts in known.items()}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order."""
        return self._rows.batches(columns)

    def row_source(self) -> FragmentRows:
        """Return the rows in parts, of which what was found is kept."""
        return FragmentRows(self._storage, self._rows)

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Find key values that occur twice, among these rows or between them and those before."""
        return find_duplicate_keys(keys, self._rows, self._before, limit)

    def last_before(self, column: str) -> pa.Array | None:
        """Return the last value of a column in the rows that these were put behind, read from the end."""
        if not self._follows or column not in self._before.stored_names:
            return None
        for fragment in reversed(self._before.fragments):
            last = None
            for batch in self._before.restricted([fragment]).batches([column]):
                values = plain_array(batch.column(0)).drop_null()
                if pa.types.is_floating(values.type):  # NaN has no place in an order
                    values = values.filter(pc.invert(pc.is_nan(values)))
                last = values.slice(len(values) - 1) if len(values) else last
            if last is not None:
                return last
        return None

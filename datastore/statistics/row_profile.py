"""A profile with its rows at hand: what takes a look at several columns together is read when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from foldstore.datastore.statistics.crosstab import BINS, LabelTables, tabulate
from foldstore.datastore.statistics.distinct import DistinctHashes
from foldstore.datastore.statistics.pairs import Correlations, correlate
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.row_sample import SAMPLE_ROWS, collect_rows, sample_rows
from foldstore.datastore.statistics.row_source import RowSource
from foldstore.datastore.statistics.weighted import WeightedStatistics, weigh
from foldstore.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RowProfile(Profile):
    """The statistics of rows that can be looked at again.

    Attributes
    ----------
    source : RowSource or None
        The rows.
    key : tuple of str
        The columns that identify a row.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> rows = {"id": [1, 2, 3, 4], "delay": [5, 40, 2, 60], "late": [False, True, False, True]}
    >>> profile = store.create_dataset("trips", key=["id"]).append(rows).view().profile()
    >>> profile.against("late")["delay"].cramers_v
    1.0
    """

    source: RowSource | None = None
    key: tuple[str, ...] = ()

    def correlations(self, columns: Sequence[str] | None = None) -> Correlations:
        """Return Pearson's correlation of every pair of columns of numbers, 64 at most.

        Parameters
        ----------
        columns : sequence of str, optional
            Which; all that hold numbers or booleans unless given.
        """
        return correlate(self._rows(), columns)

    def against(self, label: str, features: Sequence[str] | None = None, *, bins: int = BINS) -> LabelTables:
        """Return a table of counts of each feature against a label, with how much one says of the other.

        Parameters
        ----------
        label : str
        features : sequence of str, optional
            Which; all other columns unless given.
        bins : int
            Into how many cells of equal mass columns with more than 50 different numbers are cut.
        """
        return tabulate(self._rows(), self, label, features, bins)

    def sample(self, k: int = SAMPLE_ROWS) -> pa.Table:
        """Return k rows chosen by the hash of their key, the same whatever the order and the cut."""
        rows = self._rows()
        return sample_rows(rows, k, self._known_key(rows))

    def row_set(self, columns: Sequence[str] = ()) -> DistinctHashes:
        """Return the set of the rows by their key, or by some columns: ``a.overlap(b)`` compares two of them."""
        rows = self._rows()
        return collect_rows(rows, columns or self._known_key(rows))

    def weighted(self, weight: str) -> WeightedStatistics:
        """Return counts, means and spreads in which each row counts as much as a column says."""
        return weigh(self._rows(), weight)

    def _known_key(self, rows: RowSource) -> Sequence[str]:
        return self.key if set(self.key) <= set(rows.arrow_schema.names) else ()

    def _rows(self) -> RowSource:
        if self.source is None:
            raise UsageError(
                "This profile was read back without its rows.",
                hint="Ask the version or the view for its profile again.",
                code="no-rows-at-hand",
            )
        return self.source

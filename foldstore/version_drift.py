"""What a version's handle says of change: against other rows, in the dependence of a label, in all columns at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.statistics.segments import MAX_SEGMENTS
from foldstore.datastore.storage import Storage
from foldstore.drift_reference import find_reference
from foldstore.errors import UsageError
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.classifier import TwoSampleTest
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.concept import ConceptDrift
from foldstore.validation.drift.pairs import concept_drift_between
from foldstore.validation.drift.row_sample import two_sample_test_between
from foldstore.validation.drift.segments import SegmentedDrift
from foldstore.validation.drift.time_trends import trends_over_time
from foldstore.validation.drift.trends import Trends
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.segment_drift import drift_by_segment
from foldstore.views.instant import parse_duration

if TYPE_CHECKING:
    from foldstore.split import SplitPart
    from foldstore.version import Version
    from foldstore.views.view import View


class VersionDrift:
    """Compares a version with others; the references are exact, nothing is sampled unless it says so."""

    _storage: Storage
    _dataset: DatasetRecord
    _record: VersionRecord

    @overload
    def drift(
        self,
        reference: "Version | View | SplitPart | str",
        *,
        by: None = None,
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = ...,
    ) -> DriftResult: ...
    @overload
    def drift(
        self,
        reference: "Version | View | SplitPart | str",
        *,
        by: str | Sequence[str],
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = ...,
    ) -> SegmentedDrift: ...
    def drift(
        self,
        reference: "Version | View | SplitPart | str",
        *,
        by: str | Sequence[str] | None = None,
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = MAX_SEGMENTS,
    ) -> DriftResult | SegmentedDrift:
        """Compare the distributions of the columns with those of other rows.

        The cells are pinned by the reference; see `foldstore.validation.drift.comparison` for the tests.

        Parameters
        ----------
        reference : Version, View, part of a split, or str
            What is taken for usual. As text ``"previous"`` (the rows that the published version before added),
            ``"rolling(5)"`` (those that the five before added, together) or ``"seasonal(12)"`` (those that the
            twelfth before added); then the rows that this version added are compared.
        by : str or sequence of str, optional
            One column or two: the rows of each value, or of each pair of values, are compared with the same of the
            reference, and p-values adjusted over columns and segments together. Told apart is how the shares of the
            segments moved.
        rows : {'all', 'added'}
            All rows of this version, or those that it added.
        policy : DriftPolicy, optional
            Limits, level and metric; the defaults unless given.
        adjustment : {'bh', 'by', 'holm'}
            How p-values are adjusted for the number of columns: ``holm`` where any alarm stops something.
        max_segments : int
            How many segments stand alone, those with most rows of either side; the rest is compared as one.

        Raises
        ------
        UsageError
            When the reference is nothing of the kind, or there are not so many versions; or when rows cannot be
            sliced by the columns.
        ColumnNotFoundError
            When a column of `by` is not there.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("trips")
        >>> first = trips.append({"km": [each % 100 for each in range(1000)]})
        >>> second = trips.append({"km": [each % 100 + 30 for each in range(1000)]})
        >>> second.drift("previous").columns["km"].verdict.value
        'error'
        """
        before, chosen = find_reference(self._storage, self._record, reference, rows)
        if by is not None:
            current = self._subject(chosen)
            how: dict[str, Any] = {"policy": policy, "adjustment": adjustment, "max_segments": max_segments}
            return drift_by_segment(before, current, by, **how)
        return drift_between(before, self._subject(chosen), policy=policy, adjustment=adjustment)

    def concept_drift(
        self,
        reference: "Version | View | SplitPart | str",
        label: str,
        features: Sequence[str] | None = None,
        *,
        rows: str = "all",
    ) -> ConceptDrift:
        """Say for each feature whether the label depends on it as it did in other rows.

        Rows without a label do not count. What moved is split exactly into a covariate part, of the feature itself,
        and a concept part, of the label at the same feature.

        Parameters
        ----------
        reference, rows
            As in `drift`.
        label : str
            A column with classes, or numbers, which are put into the reference's cells.
        features : sequence of str, optional
            All columns that have a distribution to compare unless given.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        UsageError
            When the label has no classes, or values beyond counting.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("rides")
        >>> first = trips.append({"rain": [True, False] * 500, "late": [True, False] * 500})
        >>> second = trips.append({"rain": [True, False] * 500, "late": [False, True] * 500})
        >>> second.concept_drift("previous", "late").drifted
        ('rain',)
        """
        before, chosen = find_reference(self._storage, self._record, reference, rows)
        return concept_drift_between(before, self._subject(chosen), label, features)

    def two_sample_test(
        self,
        reference: "Version | View | SplitPart | str",
        columns: Sequence[str] | None = None,
        *,
        rows: str = "all",
        sample: int = 2_048,
    ) -> TwoSampleTest:
        """Test whether a classifier can tell the rows from other rows: drift of all columns at once.

        Parameters
        ----------
        reference, rows
            As in `drift`.
        columns : sequence of str, optional
            Those that both have with a distribution to compare unless given.
        sample : int
            How many rows of each side are looked at: those whose hash is least, so that the same rows give the same
            sample however they are stored.

        Examples
        --------
        >>> import foldstore
        >>> import random
        >>> draw = random.Random(1)
        >>> x = [draw.random() for _ in range(2000)]
        >>> pairs = foldstore.connect(folder).create_dataset("pairs")
        >>> first = pairs.append({"x": x, "y": x})
        >>> second = pairs.append({"x": x, "y": x[::-1]})
        >>> second.two_sample_test("previous").verdict.value
        'error'
        """
        before, chosen = find_reference(self._storage, self._record, reference, rows)
        return two_sample_test_between(before, self._subject(chosen), columns, sample=sample)

    def trends(
        self,
        every: str,
        columns: Sequence[str] | None = None,
        *,
        time: str | None = None,
        season: int = 1,
        rows: str = "all",
    ) -> Trends:
        """Return how columns went over time, and where their level changed.

        Parameters
        ----------
        every : str
            The length of a span, such as ``"1d"`` or ``"6h"``; each has a mean and a share of nulls.
        columns : sequence of str, optional
            All but the time unless given.
        time : str, optional
            A column of timestamps or dates; the dataset's event time unless given.
        season : int
            Compare each span with that so many before: 7 for days whose week repeats.
        rows : {'all', 'added'}
            All rows, or those that this version added.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        UsageError
            When there is no time, or it has more than a million spans.

        Examples
        --------
        >>> import foldstore
        >>> from datetime import datetime, timedelta
        >>> hours = [datetime(2026, 1, 1) + timedelta(hours=each) for each in range(40 * 24)]
        >>> price = [20.0 if each < 700 else 25.0 for each in range(40 * 24)]
        >>> prices = foldstore.connect(folder).create_dataset("prices", event_time="hour")
        >>> version = prices.append({"hour": hours, "price": price})
        >>> print(version.trends("1d"))
        prices@1 by hour: 2 series
          price: 20 -> 24.1667 at 2026-01-30T00:00:00Z, row 700 (2026-01-30T04:00:00Z)
        """
        chosen = time or self._dataset.event_time
        if chosen is None:
            raise UsageError(f"{self._dataset.name} has no event time.", hint="Name a column: time='created_at'.")
        return trends_over_time(self._subject(rows), chosen, parse_duration(every), columns, season=season)

    def _subject(self, rows: str) -> FragmentSubject:
        raise NotImplementedError

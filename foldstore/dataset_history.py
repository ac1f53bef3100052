"""What a dataset's handle does with its history: the difference of two versions, and merges."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from foldstore.dataset_writing import CommitWords
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import CommitOptions
from foldstore.datastore.diff import VersionDiff, diff_versions
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.merge import merge_version
from foldstore.datastore.storage import Storage
from foldstore.report_history import list_history
from foldstore.validation.drift.trends import Trends
from foldstore.validation.drift.version_trends import trends_over_versions
from foldstore.validation.reporting.history import ProfileHistory, VersionPoint, count_findings, history_of_profiles

if TYPE_CHECKING:
    from foldstore.version import Version


class DatasetHistory:
    """Compares versions, and brings the work of branches together."""

    _storage: Storage
    _record: DatasetRecord
    _branch: str
    _gate: PublishGate

    def diff(self, before: "Version | int | str", after: "Version | int | str | None" = None) -> VersionDiff:
        """Compare two versions: columns, and rows added, removed and changed.

        Rows are told apart by the key where there is one, else by row id. What the versions share is not read.

        Parameters
        ----------
        before, after : Version, int or str
            A version, its number, or the name of a branch, alias or tag; `after` is the newest one unless given.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> first = people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        >>> second = people.upsert({"id": [3, 4], "age": [8, 60]})
        >>> found = people.diff(first, second)
        >>> found.summary()["rows"]
        {'added': 1, 'removed': 0, 'changed': 1, 'unchanged': 2}
        >>> found.rows_changed().to_pylist()
        [{'key': {'id': 3}, 'columns': ['age'], 'before': {'age': 7}, 'after': {'age': 8}}]
        """
        old, new = self._version_record(before), self._version_record(after)
        return diff_versions(self._storage, self._record, old, new)

    def trends(self, columns: Sequence[str] | None = None, *, last: int | None = None, season: int = 1) -> Trends:
        """Return how columns went over the published versions, and where their level changed.

        Each version counts with the rows that it added; their kept profiles are read, not the rows.

        Parameters
        ----------
        columns : sequence of str, optional
            All unless given.
        last : int, optional
            Only so many versions, the newest; at most 10,000.
        season : int
            Compare each version with that so many before: 12 for months whose year repeats.

        Notes
        -----
        Self-starting CUSUMs (Hawkins 1987) after eight versions of warm-up: about one in forty series of fifty stable
        versions raises an alarm; a shift of six deviations is found at once, a slow ramp after a few versions.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("trips")
        >>> for number in range(12):
        ...     _ = trips.append({"km": [number % 3 + each + (20 if number > 9 else 0) for each in range(50)]})
        >>> [(change.at, round(change.before, 1), change.after) for change in trips.trends().of("km").changes]
        [('trips@11', 25.4, 46.0)]
        """
        return trends_over_versions(self._storage, self._version_record(None), self._record.name, columns, last, season)

    def report_history(
        self, columns: Sequence[str] | None = None, *, last: int = 50, rows: str = "added"
    ) -> ProfileHistory:
        """Return how columns went over the published versions, to be drawn: bands of quantiles, and nulls.

        Profiles that are kept are read, not the rows. Those columns come first that moved most.

        Parameters
        ----------
        columns : sequence of str, optional
            All unless given.
        last : int
            At most so many versions, the newest.
        rows : {'added', 'all'}
            Each append and upsert counts with the rows that it added; or each version with all that it has.

        Raises
        ------
        ColumnNotFoundError
            When no version has a column.
        UsageError
            When `last` is no number of versions, or `rows` no choice.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("journeys")
        >>> for number in range(3):
        ...     _ = trips.append({"km": [number + each for each in range(5)], "late": [True, None] * 2 + [False]})
        >>> print(trips.report_history())
        journeys: 2 columns over 3 versions
          column  type   nulls, first → last  median, first → last  movement
          km      int64  0 % → 0 %            2 → 4                 0.250
          late    bool   40 % → 40 %                                0.000
        """
        records = list_history(self._storage, self._version_record(None), rows, last)
        versions = [self._to_version(record) for record in records]
        profiles = [version.profile(rows=rows) for version in versions]
        points = [
            VersionPoint(
                address=version.address,
                created_at=version.record.created_at,
                rows=profile.rows,
                **count_findings(version.report),
            )
            for version, profile in zip(versions, profiles, strict=True)
        ]
        return history_of_profiles(self._record.name, rows, points, profiles, columns)

    def merge(
        self, theirs: "Version | int | str", *, prefer: str | None = None, **words: Unpack[CommitWords]
    ) -> "Version":
        """Commit what another branch did since both were one; the handle's own branch moves.

        Rows and columns that one side has changed are taken from it. When that branch has nothing new, nothing is
        committed and the newest version is returned.

        Parameters
        ----------
        theirs : Version, int or str
            The name of the branch, or a version of it.
        prefer : {'ours', 'theirs'}, optional
            Whose side wins where both changed the same row or column; that is an error unless given.
        **words
            ``message=``, ``author=``, ``properties=``, ``idempotency_key=`` and ``progress=``.

        Raises
        ------
        ConflictError
            With code ``merge-conflict``: its facts list what both sides changed.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> first = people.append({"id": [1, 2], "age": [34, 51]})
        >>> cleaning = people.create_branch("cleaning", first)
        >>> _ = cleaning.delete("age > 50")
        >>> _ = people.append({"id": [3], "age": [7]})
        >>> people.merge("cleaning").to_arrow().to_pydict()
        {'id': [1, 3], 'age': [34, 7]}
        """
        record = self._version_record(theirs)
        name = theirs if isinstance(theirs, str) else f"version {record.number}"
        options = self._options(words, message=f"Merge {name}")
        merged = merge_version(self._storage, self._record, record, prefer=prefer, options=options, gate=self._gate)
        return self._to_version(merged)

    def _version_record(self, version: "Version | int | str | None") -> VersionRecord:
        raise NotImplementedError

    def _options(self, words: Mapping[str, Any], *, message: str = "") -> CommitOptions:
        raise NotImplementedError

    def _to_version(self, record: VersionRecord) -> "Version":
        raise NotImplementedError

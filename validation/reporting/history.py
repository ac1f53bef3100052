"""How the columns of a dataset went over its versions: quantiles and nulls, from profiles that are kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, present
from foldstore.errors import column_not_found
from foldstore.types import Severity
from foldstore.validation.inferred_grid import is_calendar
from foldstore.validation.reporting.file import save
from foldstore.validation.reporting.history_page import history_fragment, history_page, history_text
from foldstore.validation.reporting.plots import Quantiles
from foldstore.validation.reporting.wording import write_json

if TYPE_CHECKING:
    from foldstore.validation.report import Report

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPoint:
    """One version of a history.

    Attributes
    ----------
    address : str
    created_at : str
    rows : int
        How many were looked at.
    errors, warnings : int or None
        What the gate found when it was committed; None where no schema was set.
    """

    address: str
    created_at: str
    rows: int
    errors: int | None = None
    warnings: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPoint:
    """One column in one version.

    Attributes
    ----------
    null_fraction : float or None
        None where the version lacks the column, or has no rows.
    distinct : int or None
    quantiles : tuple of five floats, or None
        5, 25, 50, 75 and 95 % of the finite numbers; times as ticks.
    """

    null_fraction: float | None = None
    distinct: int | None = None
    quantiles: Quantiles | None = None


@dataclass(frozen=True, slots=True)
class ColumnHistory:
    """One column over the versions.

    Attributes
    ----------
    type : str
        The Arrow type in the newest version that has it.
    points : tuple of ColumnPoint
        One for each version, oldest first.
    """

    type: str
    points: tuple[ColumnPoint, ...]

    @property
    def movement(self) -> float:
        """How far the column moved at most from one version to the next, between 0 and 1.

        The greater of the change of the share of nulls, and that of the median in spans of nine tenths of the values.
        It orders columns, it judges nothing: `Dataset.trends` and `Version.drift` do.
        """
        moves = [0.0]
        for before, after in zip(self.points, self.points[1:], strict=False):
            if before.null_fraction is not None and after.null_fraction is not None:
                moves.append(abs(after.null_fraction - before.null_fraction))
            if before.quantiles is not None and after.quantiles is not None:
                moves.append(_move(before.quantiles, after.quantiles))
        return max(moves)

    def show(self, value: float) -> str:
        """Write a quantile for people: ticks as times."""
        shown = present(_tick(value), self.type) if _is_time(self.type) else value
        return f"{shown:.6g}" if isinstance(shown, float) else str(json_value(shown))


def _tick(value: float) -> int:
    """Return the tick next to a quantile; doubles round the last ones up beyond 64 bits."""
    return min(max(round(value), -(2**63) + 1), 2**63 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHistory:
    """How the columns of a dataset went over its versions.

    Attributes
    ----------
    subject : str
        The dataset's name.
    rows : str
        ``added``, each version counts with the rows that it added; or ``all``.
    versions : tuple of VersionPoint
        Oldest first.
    columns : Mapping[str, ColumnHistory]
        Those that moved most first; those last that tell when a row is from, and so move with every version.
    """

    subject: str
    rows: str
    versions: tuple[VersionPoint, ...]
    columns: Mapping[str, ColumnHistory]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __repr__(self) -> str:
        return f"ProfileHistory({self.subject}: {len(self.columns)} columns, {len(self.versions)} versions)"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return history_fragment(self)

    def to_text(self) -> str:
        """Return a line for each column: its nulls and its median, in the first and in the last version."""
        return history_text(self)

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page that needs nothing else: bands of quantiles, and nulls; also write it to a file.

        Raises
        ------
        ExportError
            When the file cannot be written.
        """
        return save(history_page(self), file)

    def to_json_lines(self, file: str | PathLike[str] | None = None) -> str:
        """Return a line of JSON for each version, then one for each column."""
        plain = self.to_dict()
        lines = [{"kind": "version", "subject": self.subject, **each} for each in plain["versions"]]
        lines += [
            {"kind": "column", "subject": self.subject, "column": name, **each}
            for name, each in plain["columns"].items()
        ]
        return save("".join(f"{write_json(line)}\n" for line in lines), file)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        columns = {
            name: {"type": each.type, "movement": each.movement, "points": [_point(point) for point in each.points]}
            for name, each in self.columns.items()
        }
        versions = [asdict(each) for each in self.versions]
        return {"subject": self.subject, "rows": self.rows, "versions": versions, "columns": columns}


def count_findings(report: "Report | None") -> dict[str, int]:
    """Return how many errors and warnings a report has, as `VersionPoint` takes them; nothing without a report."""
    if report is None:
        return {}
    counts = Counter(anomaly.severity for anomaly in report.anomalies)
    return {"errors": counts[Severity.ERROR], "warnings": counts[Severity.WARN]}


def history_of_profiles(
    subject: str,
    rows: str,
    versions: Sequence[VersionPoint],
    profiles: Sequence[Profile],
    columns: Sequence[str] | None = None,
) -> ProfileHistory:
    """Return the history that profiles tell, oldest first.

    Raises
    ------
    ColumnNotFoundError
        When a column that is asked for is in no profile.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.profile import profile_table
    >>> profiles = [profile_table(pa.table({"x": [each, each + 1, None]})) for each in range(2)]
    >>> points = [VersionPoint(address=f"t@{each}", created_at="", rows=3) for each in (1, 2)]
    >>> history_of_profiles("t", "all", points, profiles).columns["x"].points[1].quantiles
    (1.0, 1.0, 1.0, 2.0, 2.0)
    """
    known = dict.fromkeys(name for profile in reversed(profiles) for name in profile.columns)
    for name in columns or ():
        if name not in known:
            raise column_not_found(name, list(known), where=subject)
    found = {name: _column_history(name, profiles) for name in (known if columns is None else columns)}
    calendars = {name for profile in profiles for name, each in profile.columns.items() if is_calendar(name, each)}
    ordered = sorted(found.items(), key=lambda item: (item[0] in calendars, -item[1].movement, item[0]))
    return ProfileHistory(subject=subject, rows=rows, versions=tuple(versions), columns=dict(ordered))


def _column_history(name: str, profiles: Sequence[Profile]) -> ColumnHistory:
    newest = next(profile.columns[name] for profile in reversed(profiles) if name in profile.columns)
    points = []
    for profile in profiles:
        column = profile.columns.get(name)
        points.append(ColumnPoint() if column is None or not column.rows else _column_point(column, newest))
    return ColumnHistory(newest.type, tuple(points))


def _column_point(column: ColumnProfile, newest: ColumnProfile) -> ColumnPoint:
    """Return a column's point; ticks of another unit, or of what was no time, have no place on the same axis."""
    drawn = column.kind.is_numeric and column.kind is not Kind.BOOLEAN
    fits = column.type == newest.type or Kind.TEMPORAL not in (column.kind, newest.kind)
    quantiles = [column.quantile(q) for q in QUANTILES] if drawn and fits else [None]
    known = [each for each in quantiles if each is not None]
    five: Any = tuple(known) if len(known) == len(QUANTILES) else None
    return ColumnPoint(null_fraction=column.null_fraction, distinct=column.distinct, quantiles=five)


def _move(before: Quantiles, after: Quantiles) -> float:
    """Return the way of the median in spans of nine tenths, at most 1; halves keep huge numbers finite."""
    way = abs(after[2] / 2 - before[2] / 2)
    span = max(before[4] / 2 - before[0] / 2, after[4] / 2 - after[0] / 2)
    return min(1.0, way / span) if span > 0 else float(way > 0)


def _is_time(type_text: str) -> bool:
    return type_text.startswith(("timestamp", "date", "time", "duration"))


def _point(point: ColumnPoint) -> dict[str, Any]:
    return {**asdict(point), "quantiles": None if point.quantiles is None else list(point.quantiles)}

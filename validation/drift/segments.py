"""What a comparison by segment found: in each segment, in all rows, and of the shares of the segments themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType
from typing import Any

from foldstore.errors import NotFoundError, did_you_mean
from foldstore.validation.drift.comparison import ColumnDrift, DriftResult
from foldstore.validation.drift.mix import ColumnParts
from foldstore.validation.drift.segment_page import segment_page
from foldstore.validation.drift.segment_text import SEGMENT_HEADS, segment_rows, segments_text
from foldstore.validation.drift.text import html_rows
from foldstore.validation.drift.verdict import FLAGS, DriftVerdict, gravest
from foldstore.validation.reporting.file import save


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDrift:
    """How one segment compares with the same segment of the reference.

    Attributes
    ----------
    name : str
        What it is called for people: ``UA``, or ``UA, EWR``.
    values : tuple
        Its value for each column, as plain data; empty for the rest.
    is_other : bool
        Whether it is the rest: the rows of the segments that do not stand alone.
    rows_reference, rows_current : int
    share_reference, share_current : float
        Of all rows of that side.
    drift : DriftResult or None
        None where one side has no such row, and nothing could be compared.
    """

    name: str
    values: tuple[Any, ...]
    is_other: bool = False
    rows_reference: int
    rows_current: int
    share_reference: float
    share_current: float
    drift: DriftResult | None = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns flagged in this segment."""
        return () if self.drift is None else self.drift.drifted

    @property
    def verdict(self) -> DriftVerdict:
        """The gravest verdict of its columns; a segment that one side alone has is ``warn``."""
        return DriftVerdict.WARN if self.drift is None else self.drift.verdict

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        drift = None if self.drift is None else self.drift.to_dict()
        return plain | {"values": list(self.values), "drift": drift}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SegmentDrift":
        """Read what `to_dict` gave."""
        drift = None if data["drift"] is None else DriftResult.from_dict(data["drift"])
        return cls(**{**data, "values": tuple(data["values"]), "drift": drift})


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentedDrift:
    """How rows compare with their references, segment by segment.

    Attributes
    ----------
    by : tuple of str
        The columns whose values make a segment.
    segments : tuple of SegmentDrift
        The worst first. The p-values are adjusted over the columns of all segments together.
    overall : DriftResult
        All rows, as if there were no segments; its p-values are adjusted by themselves.
    mix : ColumnDrift
        The shares of the segments themselves, those that one side alone has included.
    columns : mapping of str to ColumnParts
        For each column how much of its change is due to the mix, and how much happened within segments.
    left_over : int
        How many segments were joined to the rest, since there were too many.
    tests : int
        How many pairs of column and segment were compared.
    alpha : float
        The level, after adjustment.
    tau : float
        The least effect that counts.

    Examples
    --------
    >>> import foldstore
    >>> trips = foldstore.connect(folder).create_dataset("fares")
    >>> km = [each % 50 for each in range(4000)]
    >>> first = trips.append({"zone": ["in", "out"] * 2000, "km": km})
    >>> second = trips.append({"zone": ["in", "out"] * 2000, "km": [k + 40 * (k % 2) for k in km]})
    >>> found = second.drift("previous", by="zone")
    >>> found.drifted, found.mix.verdict.value, found.columns["km"].because(0.1)
    ((('out', 'km'),), 'stable', 'within')
    """

    by: tuple[str, ...]
    segments: tuple[SegmentDrift, ...]
    overall: DriftResult
    mix: ColumnDrift
    columns: Mapping[str, ColumnParts] = field(default_factory=dict)
    left_over: int = 0
    tests: int
    alpha: float
    tau: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __getitem__(self, values: Any) -> SegmentDrift:
        """Return a segment by its value, or by its pair of values; None stands for null."""
        wanted = values if isinstance(values, tuple) else (values,)
        for each in self.segments:
            if not each.is_other and each.values == wanted and [*map(type, each.values)] == [*map(type, wanted)]:
                return each
        shown = [each.name for each in self.segments]
        raise NotFoundError(
            f"There is no segment {values!r} of {' and '.join(self.by)}.",
            hint=did_you_mean(str(values), shown),
            segments=shown,
        )

    def __repr__(self) -> str:
        found = sum(bool(each.drifted) for each in self.segments)
        return (
            f"SegmentedDrift(by {', '.join(self.by)}: {len(self.segments)} segments, {found} drifted, "
            f"mix: {self.mix.verdict})"
        )

    def __str__(self) -> str:
        return segments_text(self)

    def _repr_html_(self) -> str:
        return html_rows(SEGMENT_HEADS, segment_rows(self), repr(self))

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page with the segments, the worst first, and the plots of what drifted; also write it to a file.

        Raises
        ------
        ExportError
            When the file cannot be written.
        """
        return save(segment_page(self), file)

    @property
    def drifted(self) -> tuple[tuple[str, str], ...]:
        """The pairs of segment and column that are flagged, at either limit."""
        return tuple((segment.name, column) for segment in self.segments for column in segment.drifted)

    @property
    def untestable(self) -> tuple[tuple[str, str], ...]:
        """The pairs of segment and column that have too few rows to say anything."""
        return tuple(
            (segment.name, name)
            for segment in self.segments
            if segment.drift is not None
            for name, each in segment.drift.columns.items()
            if each.verdict is DriftVerdict.UNTESTABLE
        )

    @property
    def new(self) -> tuple[SegmentDrift, ...]:
        """The segments that the reference has no row of."""
        return tuple(each for each in self.segments if not each.rows_reference)

    @property
    def gone(self) -> tuple[SegmentDrift, ...]:
        """The segments that only the reference has rows of."""
        return tuple(each for each in self.segments if not each.rows_current)

    @property
    def flagged(self) -> int:
        """How many comparisons of values are flagged, to be held against `expected`."""
        return sum(
            each.verdict in FLAGS
            for segment in self.segments
            if segment.drift is not None
            for each in segment.drift.columns.values()
        )

    @property
    def flagged_nulls(self) -> int:
        """How many comparisons of nulls are flagged."""
        results = [segment.drift for segment in self.segments if segment.drift is not None]
        compared = sum(each.null_verdict in FLAGS for result in results for each in result.columns.values())
        return compared + sum(each.is_flagged for result in results for each in result.nulls_alone.values())

    @property
    def expected(self) -> float:
        """How many of the comparisons chance alone could flag at the level if nothing were adjusted."""
        return self.alpha * self.tests

    @property
    def verdict(self) -> DriftVerdict:
        """The gravest verdict of the segments, of the mix, and of all rows."""
        return gravest([*(each.verdict for each in self.segments), self.mix.verdict, self.overall.verdict])

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "by": list(self.by),
            "segments": [each.to_dict() for each in self.segments],
            "overall": self.overall.to_dict(),
            "mix": self.mix.to_dict(),
            "columns": {name: each.to_dict() for name, each in self.columns.items()},
            "left_over": self.left_over,
            "tests": self.tests,
            "alpha": self.alpha,
            "tau": self.tau,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SegmentedDrift":
        """Read what `to_dict` gave."""
        made = {
            "by": tuple(data["by"]),
            "segments": tuple(SegmentDrift.from_dict(each) for each in data["segments"]),
            "overall": DriftResult.from_dict(data["overall"]),
            "mix": ColumnDrift.from_dict(data["mix"]),
            "columns": {name: ColumnParts.from_dict(each) for name, each in data["columns"].items()},
        }
        return cls(**{**data, **made})

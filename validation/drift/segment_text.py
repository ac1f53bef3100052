"""What people read of drift by segment: the segments, the worst first, and why columns moved."""

from typing import TYPE_CHECKING, Any, Final

from foldstore.validation.anomaly import percent
from foldstore.validation.drift.text import DRIFT_HEADS, brief, drift_rows, graded_rows, text_table

if TYPE_CHECKING:
    from foldstore.validation.drift.mix import ColumnParts
    from foldstore.validation.drift.segments import SegmentDrift, SegmentedDrift

SEGMENT_HEADS: Final = ("segment", "rows before", "rows", "share", "verdict", "drifted columns")
PAIR_HEADS: Final = ("segment", *DRIFT_HEADS)
PART_HEADS: Final = ("column", "all rows", "by the mix", "within", "p within", "because of", "most in")
ALL_ROWS: Final = "all rows"
MIX: Final = "mix"
_MOST_NAMED: Final = 6
_MOST_LINES: Final = 40


def segment_rows(result: "SegmentedDrift") -> list[tuple[Any, ...]]:
    """Return a row for each segment, the worst first."""
    return [
        (
            each.name,
            each.rows_reference,
            each.rows_current,
            _shares(each),
            standing(each),
            _named(each),
        )
        for each in result.segments
    ]


def pair_rows(result: "SegmentedDrift") -> list[tuple[Any, ...]]:
    """Return a row for each column of each segment, the worst first; then the mix, and all rows together.

    A segment that one side alone has is a row without a column.
    """
    mix = [(MIX, *row) for row in mix_rows(result)]
    return [*_pairs(result), *_one_sided(result), *mix, *((ALL_ROWS, *row) for row in drift_rows(result.overall))]


def _pairs(result: "SegmentedDrift", *, flagged_alone: bool = False) -> list[tuple[Any, ...]]:
    found = [
        ((grave, effect, segment.name, name), row)
        for segment in result.segments
        if segment.drift is not None
        for (grave, effect, name), row in graded_rows(segment.drift, flagged_alone=flagged_alone)
    ]
    return [(key[2], *row) for key, row in sorted(found, key=lambda each: each[0])]


def _one_sided(result: "SegmentedDrift") -> list[tuple[Any, ...]]:
    return [
        (each.name, "", standing(each), None, None, None, f"{_shares(each)} of the rows", "")
        for each in result.segments
        if each.drift is None
    ]


def _shares(each: "SegmentDrift") -> str:
    return f"{percent(each.share_reference)} -> {percent(each.share_current)}"


def mix_rows(result: "SegmentedDrift") -> list[tuple[Any, ...]]:
    """Return the row of the shares of the segments."""
    from foldstore.validation.drift.comparison import DriftResult

    return drift_rows(DriftResult({", ".join(result.by): result.mix}))


def part_rows(result: "SegmentedDrift") -> list[tuple[Any, ...]]:
    """Return a row for each column: how much of its change is due to the mix, and how much happened within."""
    rows = [(_weight(each), _part_row(result, name, each)) for name, each in result.columns.items()]
    return [row for _, row in sorted(rows, key=lambda each: (-each[0], each[1][0]))]


def standing(each: "SegmentDrift") -> str:
    """Say how a segment stands: its verdict, or that one side alone has it."""
    if each.drift is None:
        return "gone" if each.rows_reference else "new"
    return str(each.verdict)


def summary(result: "SegmentedDrift") -> str:
    """Say in a line how many comparisons are flagged, and how many chance alone could flag."""
    flagged = f"{result.flagged:,} of {result.tests:,} comparisons are flagged"
    by_nulls = f", and {result.flagged_nulls:,} for their nulls" if result.flagged_nulls else ""
    return f"{flagged}{by_nulls}; without adjustment chance alone could flag {result.expected:.2g}"


def joined(result: "SegmentedDrift") -> str:
    """Say which segments do not stand alone; empty where all do."""
    if not result.left_over:
        return ""
    alone = len(result.segments) - 1
    return f"too many segments: {result.left_over:,} are compared together as other, {alone:,} stand alone"


def segments_text(result: "SegmentedDrift") -> str:
    """Write a comparison by segment for a terminal."""
    between = ", " if len(result.by) == 1 else "; "
    named = between.join(each.name for each in result.segments if each.drifted) or "none"
    lines = [f"{len(result.segments)} segments by {', '.join(result.by)}, drifted: {named}", f"  {summary(result)}"]
    if result.left_over:
        lines.append(f"  {joined(result)}")
    lines += text_table(SEGMENT_HEADS, segment_rows(result))
    flagged = _pairs(result, flagged_alone=True)
    if flagged:
        lines += ["What drifted within segments", *text_table(PAIR_HEADS, flagged[:_MOST_LINES])]
        if len(flagged) > _MOST_LINES:
            lines.append(f"  and {len(flagged) - _MOST_LINES:,} more")
    lines += ["The shares of the segments", *text_table(DRIFT_HEADS, mix_rows(result))]
    if result.columns:
        lines += ["Why columns moved", *text_table(PART_HEADS, part_rows(result))]
    return "\n".join(lines)


def _named(each: "SegmentDrift") -> str:
    more = f" and {len(each.drifted) - _MOST_NAMED} more" if len(each.drifted) > _MOST_NAMED else ""
    few = "" if each.drift is None else sum(str(c.verdict) == "untestable" for c in each.drift.columns.values())
    untestable = f"too few rows for {few} columns" if few else ""
    return "; ".join(part for part in (", ".join(each.drifted[:_MOST_NAMED]) + more, untestable) if part)


def _weight(each: "ColumnParts") -> float:
    return max(each.by_mix, each.within)


def _part_row(result: "SegmentedDrift", name: str, each: "ColumnParts") -> tuple[Any, ...]:
    whole = result.overall.columns.get(name)
    overall = "" if whole is None else f"{whole.effect:.3g} {whole.verdict}"
    most = each.worst[0] if each.worst else None
    where = f"{most.segment}: {most.cell} {percent(most.before)} -> {percent(most.after)}" if most else ""
    within = f"{each.within:.3g} {each.within_verdict}"
    numbers = (round(each.by_mix, 4), within, brief(each.within_p_adjusted))
    return name, overall, *numbers, each.because(result.tau), where

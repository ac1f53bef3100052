"""What people read of drift: one line a column, the worst first."""

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from foldstore.validation.anomaly import percent

if TYPE_CHECKING:
    from foldstore.validation.drift.classifier import TwoSampleTest
    from foldstore.validation.drift.comparison import ColumnDrift, DriftResult
    from foldstore.validation.drift.concept import ConceptDrift
    from foldstore.validation.drift.nulls import NullDrift

DRIFT_HEADS: Final = ("column", "verdict", "effect", "noise", "p", "largest change", "nulls")
CONCEPT_HEADS: Final = ("feature", "verdict", "effect", "noise", "p", "covariate part", "concept part", "worst cell")
# Stands for the verdict of a column whose nulls alone were compared.
UNTESTED: Final = "untested"
# What rows are sorted by: how grave, how far, the name.
Grade: TypeAlias = tuple[int, float, str]
GRADES: Final = {"error": 0, "warn": 1, "untestable": 2, "stable": 3}


def drift_rows(result: "DriftResult") -> list[tuple[Any, ...]]:
    """Return a row for each column that was compared, the worst first; of nulls alone for those that are flagged."""
    return [row for _, row in sorted(graded_rows(result), key=lambda item: item[0])]


def graded_rows(result: "DriftResult", *, flagged_alone: bool = False) -> "Iterator[tuple[Grade, tuple[Any, ...]]]":
    """Yield the rows of `drift_rows`, or those of flagged columns alone, each after what it is sorted by."""
    for name, each in result.columns.items():
        if not flagged_alone or drift_grade(each) <= GRADES["warn"]:
            yield (drift_grade(each), -each.effect, name), drift_row(name, each)
    for name, nulls in result.nulls_alone.items():
        if nulls.is_flagged:
            row = (name, UNTESTED, None, None, None, "", nulls_text(nulls))
            yield (GRADES[str(nulls.verdict)], -nulls.effect, name), row


def nulls_text(nulls: "NullDrift") -> str:
    """Say how a share of nulls moved, and that it is flagged."""
    flag = f" ({nulls.verdict})" if nulls.is_flagged else ""
    return f"{percent(nulls.before)} -> {percent(nulls.after)}{flag}"


def drift_grade(each: "ColumnDrift") -> int:
    """Return how grave a column is, for sorting: the gravest first."""
    return min(GRADES[str(each.verdict)], GRADES[str(each.null_verdict)])


def concept_rows(result: "ConceptDrift") -> list[tuple[Any, ...]]:
    """Return a row for each feature, the worst first."""
    rows = []
    for name, each in result.features.items():
        worst = each.worst[0] if each.worst else None
        cell = "" if worst is None else f"{worst.cell}: {worst.label} {percent(worst.before)} -> {percent(worst.after)}"
        parts = (round(each.covariate_part, 6), round(each.concept_part, 6))
        shown = (
            name,
            str(each.verdict),
            round(each.effect, 4),
            round(each.noise, 4),
            brief(each.p_adjusted),
            *parts,
            cell,
        )
        rows.append(((GRADES[str(each.verdict)], -each.effect, name), shown))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def drift_text(result: "DriftResult") -> str:
    """Write a comparison for a terminal."""
    lines = [f"{len(result.columns)} columns compared, drifted: {', '.join(result.drifted) or 'none'}"]
    lines += text_table(DRIFT_HEADS, drift_rows(result))
    lines += [f"  not compared: {name} ({result.why_untested(name)})" for name in result.untested]
    return "\n".join(lines)


def concept_text(result: "ConceptDrift") -> str:
    """Write concept drift for a terminal."""
    drifted = ", ".join(result.drifted) or "no feature"
    lines = [f"{result.label} by {len(result.features)} features; depends otherwise than before on: {drifted}"]
    return "\n".join([*lines, *text_table(CONCEPT_HEADS, concept_rows(result))])


def two_sample_text(result: "TwoSampleTest") -> str:
    """Write a classifier two-sample test for a terminal."""
    sizes = f"{result.n_reference:,} and {result.n_current:,} rows"
    lines = [f"{result.verdict}: AUC {result.auc:.3f} on {sizes}, p {result.p_value:.2g}"]
    if result.needed is not None:
        lines.append(f"  too few rows; about {result.needed:,} on each side would show the limit")
    lines += [f"  {name}: {lost:.3f} of the AUC is lost without it" for name, lost in result.columns.items()]
    return "\n".join(lines)


def html_rows(heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str) -> str:
    """Write a table for a notebook; everything is escaped."""
    head = "".join(f"<th>{html.escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(_shown(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def drift_row(name: str, each: "ColumnDrift") -> tuple[Any, ...]:
    """Return the row of one column."""
    change = each.largest_change
    moved = f"{change['cell']} {percent(change['before'])} -> {percent(change['after'])}" if change else ""
    if each.needed is not None:
        moved = f"about {each.needed:,} rows are needed"
    moved = each.reason or moved
    nulls = ""
    if each.null_before or each.null_after:
        flag = "" if str(each.null_verdict) == "stable" else f" ({each.null_verdict})"
        nulls = f"{percent(each.null_before)} -> {percent(each.null_after)}{flag}"
    return name, str(each.verdict), round(each.effect, 4), round(each.noise, 4), brief(each.p_adjusted), moved, nulls


def text_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a table, its columns below each other."""
    cells = [list(heads), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def brief(p_value: float) -> float:
    """Return a p-value with two digits."""
    return float(f"{p_value:.2g}")


def _shown(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else "" if cell is None else str(cell)

"""Reports of splits as text and as HTML: four questions, each answered in a few lines."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from foldstore.validation.drift.comparison import ColumnDrift, DriftResult
from foldstore.validation.drift.nulls import NullDrift
from foldstore.validation.drift.verdict import FLAGS, DriftVerdict
from foldstore.validation.reporting.markup import element
from foldstore.validation.reporting.page import page

if TYPE_CHECKING:
    from foldstore.split_report import SplitReport

_SHOWN: Final = 5


def report_text(report: "SplitReport") -> str:
    """Return a report as text."""
    lines = [report.address]
    for title, answers in _sections(report):
        lines += [f"{title}", *(f"  {answer}" for answer in answers)]
    return "\n".join(lines)


def report_html(report: "SplitReport") -> str:
    """Return a report as HTML; what data holds stays text."""
    parts = []
    for title, answers in _sections(report):
        items = "".join(f"<li>{escape(answer)}</li>" for answer in answers)
        parts.append(f"<dt><b>{escape(title)}</b></dt><dd><ul>{items}</ul></dd>")
    return f"<div><code>{escape(report.address)}</code><dl>{''.join(parts)}</dl></div>"


def report_page(report: "SplitReport") -> str:
    """Return a report as a page of its own."""
    title = f"Split {report.address}"
    parts = [
        element("section", element("h2", question), element("ul", *(element("li", each) for each in answers)))
        for question, answers in _sections(report)
    ]
    return page(title, element("header", element("h1", title)), element("main", *parts))


def _sections(report: "SplitReport") -> Iterator[tuple[str, list[str]]]:
    yield "How large are the parts?", list(_sizes(report))
    if report.drift:
        yield "Do they come from one distribution?", list(_distributions(report))
    yield "Do they share what they should not?", list(_overlaps(report))
    if report.power is not None:
        yield f"What can the {report.power.rows:,} rows of {report.judged_on} show?", list(_power(report))
    notes = list(_notes(report))
    if notes:
        yield "What is worth a look?", notes


def _sizes(report: "SplitReport") -> Iterator[str]:
    for part, rows in report.sizes.items():
        share = f"{report.shares[part]:.1%}" if part in report.shares else ""
        times = f"  {' to '.join(report.times[part])}" if report.times and part in report.times else ""
        yield f"{part:<10} {rows:>12,}  {share:>6}{times}".rstrip()


def _distributions(report: "SplitReport") -> Iterator[str]:
    for part, result in report.drift.items():
        flagged = [result.columns.get(name) or result.nulls[name] for name in result.drifted]
        answer = f"yes, by {len(result.columns)} columns" if not flagged else f"no: {_listed(flagged)}"
        yield f"{part}: {answer}"
        small = _too_small(result)
        if small:
            yield f"{part} is too small to say of {', '.join(small[:_SHOWN])}{_more(len(small))}"
    reasons: dict[str, list[str]] = {}
    for name, reason in report.untested.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"not compared: {', '.join(names[:_SHOWN])}{_more(len(names))} ({reason})"


def _listed(flagged: list[ColumnDrift | NullDrift]) -> str:
    ordered = sorted(flagged, key=lambda each: -max(each.effect, getattr(each, "null_effect", 0.0)))
    return "; ".join(_moved(each) for each in ordered[:_SHOWN]) + _more(len(ordered))


def _moved(column: ColumnDrift | NullDrift) -> str:
    if isinstance(column, NullDrift):
        return _nulls(column.column, (column.before, column.after), column.p_adjusted)
    if column.verdict in FLAGS:
        change = column.largest_change
        moved = f"{change['cell']} {change['before']:.1%} -> {change['after']:.1%}"
        return f"{column.column} (effect {column.effect:.2f}, p {_p(column.p_adjusted)}: {moved})"
    return _nulls(column.column, (column.null_before, column.null_after), column.null_p_adjusted)


def _nulls(name: str, shares: tuple[float, float], p_adjusted: float) -> str:
    return f"{name} (nulls {shares[0]:.1%} -> {shares[1]:.1%}, p {_p(p_adjusted)})"


def _too_small(result: DriftResult) -> list[str]:
    return [name for name, each in result.columns.items() if each.verdict is DriftVerdict.UNTESTABLE]


def _overlaps(report: "SplitReport") -> Iterator[str]:
    if report.keys_in_several_parts is not None:
        yield f"keys in several parts: {report.keys_in_several_parts:,}"
    if report.groups_in_several_parts is not None:
        yield f"groups in several parts: {report.groups_in_several_parts:,}"
    for kind, found in (("equal to", report.duplicates_of_train), ("nearly like", report.near_duplicates_of_train)):
        if found is not None:
            yield f"rows {kind} one of train: {_counts(found)}"
    if report.times_overlap is not None:
        yield f"times: {'they overlap' if report.times_overlap else 'one part after the other'}"


def _power(report: "SplitReport") -> Iterator[str]:
    power = report.power
    if power is None or power.half_width is None or power.worst_half_width is None:
        yield "nothing: none has a label"
        return
    worst = f"of 50% to +- {power.worst_half_width:.2%}"
    yield f"an accuracy of {power.accuracy:.0%} to +- {power.half_width:.2%} ({worst})"
    if power.rare_class is not None:
        width = "nothing" if power.recall_half_width is None else f"to +- {power.recall_half_width:.2%}"
        rarer = f"{report.label}={power.rare_class}"
        yield f"recall of the rarer class {rarer} ({power.rare_rows:,} rows): {width}"
    for disagreement, difference in power.differences.items():
        found = "none" if difference is None else f"{difference:.2%}"
        yield f"two models that disagree on {disagreement:.0%} of rows: a difference of {found} or more"


def _notes(report: "SplitReport") -> Iterator[str]:
    if report.unknown_values:
        yield f"values that mean no part: {_counts(report.unknown_values)}"
    if report.rows_between_parts:
        yield f"{report.rows_between_parts:,} unassigned rows have keys in several parts: they would tie them together"
    for stratum in report.short_strata[:_SHOWN]:
        rows = "1 row" if stratum.rows == 1 else f"{stratum.rows:,} rows"
        yield f"stratum {', '.join(stratum.values)} ({rows}): none in {', '.join(stratum.missing)}"
    if len(report.short_strata) > _SHOWN:
        yield f"{len(report.short_strata) - _SHOWN:,} more strata are not in each part"


def _counts(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} {rows:,}" for name, rows in list(counts.items())[:_SHOWN])
    return shown + _more(len(counts))


def _more(count: int) -> str:
    return f" and {count - _SHOWN} more" if count > _SHOWN else ""


def _p(value: float) -> str:
    return "< 1e-9" if value < 1e-9 else f"{value:.1g}"

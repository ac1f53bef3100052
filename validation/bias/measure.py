"""Measure bias in data: the door for people, from any rows to a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import UsageError
from foldstore.validation.arrow_rows import Rows, open_rows
from foldstore.validation.bias.association import associate
from foldstore.validation.bias.cells import (
    NUMBERS,
    BinCells,
    Cells,
    Threshold,
    ThresholdCells,
    ValueCells,
    check_countable,
)
from foldstore.validation.bias.choice import Choice, read_choice
from foldstore.validation.bias.counts import BiasCounts, LabelReading, Strata, count_rows
from foldstore.validation.bias.edges import find_edges
from foldstore.validation.bias.judgement import judge_facets
from foldstore.validation.bias.options import BiasOptions, Bins
from foldstore.validation.bias.report import BiasReport

_MOST_CONDITIONS: Final = 4
_SHOWN: Final = 12
_COARSER: Final = "Compute a coarser column in a view, select(name='expression'), or raise {option}=."
_HINTS: Final = {
    "label": "Say what is positive, positive='> 15', or cut the numbers into ranges, label_bins=[15, 60].",
    "sensitive": "Cut the numbers into ranges, sensitive_bins=[25, 65], or compare one side, disadvantaged='<= 25'.",
    "condition": "Cut the numbers into ranges, condition_bins=[25, 65].",
}


def measure_bias(
    data: Any,
    *,
    label: str,
    sensitive: str,
    positive: Any = None,
    disadvantaged: Any = None,
    conditional_on: str | Sequence[str] | None = None,
    **how: Any,
) -> BiasReport:
    """Measure how a label is shared out over the groups of a sensitive column.

    The measures are the pre-training set of Amazon SageMaker Clarify: class imbalance, difference in proportions of
    labels, KL, JS, L-p, total variation, KS, and (conditional) demographic disparity; their formulas, ranges and signs
    are in `foldstore.validation.bias.metrics.METRICS`. The rows are read once, batch by batch, and only counted.
    Rows whose label or sensitive value is null or NaN are left out and counted; sealed labels read as null.

    Parameters
    ----------
    data : View, Version, SplitPart, SqlResult, table, frame
        Anything that speaks Arrow. Only the columns that are named are read where it allows that.
    label : str
        The column whose values are shared out: categories, booleans or numbers.
    sensitive : str
        The column whose values are the groups.
    positive : value, list of values, or str, optional
        Which labels are the positive outcome. A comparison such as ``'> 15'`` for numbers. True of booleans and 1 of
        labels of 0 and 1 unless given.
    disadvantaged : value, list of values, or str, optional
        One facet, made of these groups; a comparison such as ``'<= 25'`` for numbers. Each group in turn unless given.
    conditional_on : str or sequence of str, optional
        Up to four columns whose values are the strata of the conditional demographic disparity; null is a stratum.
    **how
        See `foldstore.validation.bias.options.BiasOptions`: ``label_bins=, sensitive_bins=, condition_bins=, p=,
        smoothing=, confidence=, min_rows=, max_values=, max_strata=``.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    NotFoundError
        When a value that was named does not occur (``value-not-found``).
    UsageError
        When no row is left, the sensitive column has one value, a column has too many values or a type without
        categories, or arguments contradict each other.

    Examples
    --------
    >>> import foldstore, pyarrow as pa
    >>> people = pa.table({"sex": ["F"] * 4 + ["M"] * 4, "hired": [1, 0, 0, 0, 1, 1, 1, 0]})
    >>> report = foldstore.measure_bias(people, label="hired", sensitive="sex", disadvantaged="F")
    >>> facet = report.facets["F"]
    >>> facet.metrics["ci"], facet.metrics["dpl"], facet.too_few
    (0.0, 0.5, True)
    """
    options = BiasOptions.of(how)
    columns = [sensitive, label, *_check_columns(label, sensitive, conditional_on)]
    rows = open_rows(data, columns, asker="measure_bias")
    kinds = {field.name: check_countable(field.name, field.type) for field in rows.arrow_schema}
    options = _settle_bins(rows, kinds, options, columns)
    reading = _read_label(rows.arrow_schema.field(label), kinds[label], positive, options)
    chosen = _read_chosen(rows.arrow_schema.field(sensitive), kinds[sensitive], disadvantaged, options)
    groups = _group_cells(sensitive, kinds[sensitive], chosen, options)
    counts = count_rows(_arrays(rows), groups, reading, _strata(columns[2:], kinds, options))
    _check_counts(counts, rows.subject, label, sensitive)
    _check_positive(reading, counts, kinds[label], positive, options)
    return _judge(counts, _facets(counts, groups, chosen, sensitive), reading, options, rows.subject, columns)


def _judge(
    counts: BiasCounts,
    facets: dict[str, list[int]],
    reading: LabelReading,
    options: BiasOptions,
    subject: str,
    columns: Sequence[str],
) -> BiasReport:
    sensitive, label, *conditions = columns
    return BiasReport(
        subject=subject,
        label=label,
        positive=str(reading.positive),
        sensitive=sensitive,
        conditional_on=tuple(conditions),
        facets=judge_facets(counts, facets, options, within=", ".join(conditions)),
        association=associate(counts.by_label),
        label_values=counts.labels,
        rows=counts.rows,
        left_out=counts.left_out,
        unlabelled=counts.unlabelled,
        no_condition=counts.no_condition,
        options=options,
    )


def _check_columns(label: object, sensitive: object, conditional_on: object) -> tuple[str, ...]:
    """Check the names of columns; return those of the conditions."""
    if conditional_on is None:
        conditional_on = ()
    conditions = [conditional_on] if isinstance(conditional_on, str) else conditional_on
    if not isinstance(conditions, Sequence):
        raise UsageError(f"conditional_on={conditional_on!r} names no columns.", hint="Give a name or a list of names.")
    names = [label, sensitive, *conditions]
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"A column is named by a str, not {type(name).__name__}.", hint="label='late'.")
        if names.count(name) > 1:
            raise UsageError(f"The column {name!r} is named twice.", hint="Label, groups and conditions differ.")
    if len(conditions) > _MOST_CONDITIONS:
        raise UsageError(f"conditional_on names {len(conditions)} columns.", hint=f"At most {_MOST_CONDITIONS}.")
    return tuple(conditions)


def _settle_bins(rows: Rows, kinds: Mapping[str, Kind], options: BiasOptions, columns: Sequence[str]) -> BiasOptions:
    """Check that ranges are of numbers, and find the edges where only their number was given."""
    sensitive, label, *conditions = columns
    if options.condition_bins is not None and len(conditions) != 1:
        raise UsageError("condition_bins cuts one column.", hint="Name one column in conditional_on.")
    wanted = {sensitive: "sensitive_bins", label: "label_bins"} | dict.fromkeys(conditions, "condition_bins")
    given = {name: option for name, option in wanted.items() if getattr(options, option) is not None}
    for name, option in given.items():
        if kinds[name] not in NUMBERS:
            raise UsageError(f"{option} cuts numbers, and {name!r} holds none.", hint="Leave it out.", column=name)
    counted = {name: getattr(options, option) for name, option in given.items()}
    edges = find_edges(rows, {name: count for name, count in counted.items() if isinstance(count, int)})
    found: dict[str, Any] = {wanted[name]: cut for name, cut in edges.items()}
    return replace(options, **found)


def _cells(column: str, role: str, kind: Kind, bins: Bins, limit: int) -> Cells:
    if isinstance(bins, tuple):
        return BinCells(bins)
    option = "max_strata" if role == "condition" else "max_values"
    hint = _HINTS[role] if kind in NUMBERS else _COARSER.format(option=option)
    return ValueCells(column, limit, hint)


def _read_label(field: pa.Field, kind: Kind, positive: Any, options: BiasOptions) -> LabelReading:
    # Of 0 and 1 the 1 is positive; whether these are all there are, the counts say.
    wanted = (True if kind is Kind.BOOLEAN else 1) if positive is None else positive
    chosen = read_choice("positive", wanted, numbers=kind in NUMBERS)
    cells = _cells(field.name, "label", kind, options.label_bins, options.max_values)
    if isinstance(chosen, Threshold):
        if options.label_bins is not None:
            return LabelReading(column=field.name, cells=cells, positive=chosen)
        cells, chosen = ThresholdCells(chosen), [str(chosen)]
    return LabelReading(column=field.name, cells=cells, positive=Choice("positive", field.name, chosen, field.type))


def _read_chosen(field: pa.Field, kind: Kind, disadvantaged: Any, options: BiasOptions) -> Choice | Threshold | None:
    if disadvantaged is None:
        return None
    # With ranges, '<= 25' is the name of one.
    comparable = kind in NUMBERS and options.sensitive_bins is None
    chosen = read_choice("disadvantaged", disadvantaged, numbers=comparable)
    if isinstance(chosen, Threshold):
        return chosen
    return Choice("disadvantaged", field.name, chosen, field.type)


def _group_cells(column: str, kind: Kind, chosen: Choice | Threshold | None, options: BiasOptions) -> Cells:
    if isinstance(chosen, Threshold):
        return ThresholdCells(chosen)
    return _cells(column, "sensitive", kind, options.sensitive_bins, options.max_values)


def _strata(conditions: Sequence[str], kinds: Mapping[str, Kind], options: BiasOptions) -> Strata:
    limit = options.max_strata
    cells = [_cells(name, "condition", kinds[name], options.condition_bins, limit) for name in conditions]
    return Strata(conditions, cells, limit)


def _arrays(rows: Rows) -> Iterator[Sequence[pa.Array]]:
    for batch in rows.batches():
        yield batch.columns


def _check_counts(counts: BiasCounts, subject: str, label: str, sensitive: str) -> None:
    if not counts.measured:
        out = counts.left_out
        raise UsageError(
            f"No row of {subject} has both {label!r} and {sensitive!r}: of {counts.rows:,} rows {out.no_label:,} lack "
            f"the first and {out.no_sensitive:,} the second.",
            hint="Labels that a test pool has sealed read as null; measure the rows of another part.",
            code="no-rows",
            rows=counts.rows,
        )
    if len(counts.groups) == 1:
        raise UsageError(
            f"{sensitive!r} has one value in the rows that are measured, {counts.groups[0]!r}: nothing differs.",
            hint="Name another column, or measure more rows.",
            code="one-value",
            column=sensitive,
        )


def _check_positive(reading: LabelReading, counts: BiasCounts, kind: Kind, positive: Any, options: BiasOptions) -> None:
    """Refuse labels of which nobody said which are positive, and positive labels that do not occur."""
    if positive is None and kind is not Kind.BOOLEAN:
        plain = kind in NUMBERS and options.label_bins is None
        if not plain or not all(float(name) in (0.0, 1.0) for name in counts.labels):
            shown = ", ".join(map(repr, counts.labels[:_SHOWN])) + (" …" if len(counts.labels) > _SHOWN else "")
            raise UsageError(
                f"Which labels of {reading.column!r} are positive? They are {shown}.",
                hint=f"Name them: positive=[{counts.labels[-1]!r}]"
                + (", or compare numbers: positive='> 15'." if kind in NUMBERS else "."),
                code="positive-needed",
                column=reading.column,
            )
    elif positive is not None and isinstance(reading.positive, Choice):
        reading.positive.check(reading.cells.names, reading.cells.values)


def _facets(
    counts: BiasCounts, groups: Cells, chosen: Choice | Threshold | None, sensitive: str
) -> dict[str, list[int]]:
    """Return which groups make each facet."""
    if chosen is None:
        return {name: [place] for place, name in enumerate(counts.groups)}
    values = dict(zip(groups.names, groups.values, strict=True))
    if isinstance(chosen, Threshold):
        places = [place for place, name in enumerate(counts.groups) if name == str(chosen)]
    else:
        chosen.check(groups.names, groups.values)
        places = [place for place, name in enumerate(counts.groups) if chosen.holds(name, values[name])]
    if not places:
        raise UsageError(f"No measured row has {sensitive} {chosen}.", hint="Rows without a label are not measured.")
    if len(places) == len(counts.groups):
        raise UsageError(
            f"All measured rows have {sensitive} {chosen}: there are no others to compare with.",
            hint="Name fewer values in disadvantaged.",
        )
    return {str(chosen): places}

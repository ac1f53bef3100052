"""What a fitted transform says of rows: too many clipped, imputed, outside; columns that do not fit.

Whether its kernels for tables and for single rows agree is looked at too. Rows are read in batches, and of them only
the columns that the transform needs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import FoldstoreError, SchemaMismatchError
from foldstore.validation.anomaly import percent
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.finding import Finding, settle
from foldstore.validation.intervals import is_more
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject
from foldstore.views.transforms.golden import Disagreement
from foldstore.views.transforms.operation import Operation
from foldstore.views.transforms.transform import FittedTransform, Tally

# Finds a fitted transform by its address.
Transforms: TypeAlias = Callable[[str], FittedTransform]

# What a count stands for where a definition says no `max_rate`: so much more than when it was fitted, or than nothing.
_TIMES: Final = 2.0
_LEAST: Final = 0.01
_CONFIDENCE: Final = 0.99
_BY_BOTH: Final = 1_000


def check_transforms(subject: Subject, schema: DataSchema, transforms: Transforms | None) -> Iterator[Finding]:
    """Yield what the transforms that a schema names say of the rows."""
    for place, address in enumerate(schema.transforms):
        if transforms is None:
            yield not_judged(f"transforms[{place}]", "transforms are not at hand where these rows are judged")
            continue
        try:
            fitted = transforms(address)
        except FoldstoreError as error:
            yield Finding(code="schema_invalid", facts={"what": f"transforms[{place}]", "reason": error.message})
            continue
        yield from check_transform(subject, fitted, address)


def judge_transform(
    subject: Subject, fitted: FittedTransform, address: str, *, created_at: str | None = None
) -> Report:
    """Return the report of rows that a transform shall work on; its definition stands where a schema would.

    Examples
    --------
    >>> from foldstore.validation.subject import TableSubject
    >>> from foldstore.views.transforms.categories import Vocabulary
    >>> from foldstore.views.transforms.transform import Transform
    >>> fitted = Transform("codes", [Vocabulary("carrier")]).fit(pa.table({"carrier": ["UA", "B6"] * 50}))
    >>> later = TableSubject(pa.table({"carrier": ["UA"] * 80 + ["ZZ"] * 20}), "later")
    >>> [str(each) for each in judge_transform(later, fitted, "codes@1").anomalies]
    ['warn: carrier: 20 % of the values are outside what codes@1 (vocabulary) knows, allowed 1 % [oov_rate_high]']
    """
    nothing = DataSchema(columns={})
    return Report(
        subject=subject.address,
        rows=subject.num_rows,
        schema_id=fitted.hash,
        schema_version=address.rpartition("@")[2] or "1",
        profile=subject.profile(),
        columns=fitted.inputs,
        anomalies=settle(check_transform(subject, fitted, address), nothing, subject, ()),
        created_at=created_at,
    )


def check_transform(subject: Subject, fitted: FittedTransform, address: str) -> Iterator[Finding]:
    """Yield what is wrong with rows that a transform shall work on, and with the transform here."""
    kinds = {field.name: field.type for field in subject.arrow_schema}
    misfits = list(_misfits(fitted, kinds, address))
    if misfits:
        yield from misfits
        return
    seen = _Seen()
    try:
        for batch in subject.batches(list(fitted.inputs)):
            _work(fitted, pa.Table.from_batches([batch]), seen)
    except SchemaMismatchError as error:  # a value that the type which it was fitted on cannot hold
        yield _mismatch(error, address)
        return
    differing = [*fitted.check_golden(), *seen.differing]
    if differing:
        yield _skewed(differing, address, golden=not seen.differing)
    for place, tally in enumerate(fitted.fitted_counts()):
        if tally.operation.EVENT is not None and seen.rows:
            yield from _rate(tally, seen.counts.get(place, 0), seen.rows, fitted.states[place], address)


@dataclass(slots=True)
class _Seen:
    """What was counted so far."""

    counts: dict[int, int]
    differing: list[Disagreement]
    rows: int

    def __init__(self) -> None:
        self.counts, self.differing, self.rows = {}, [], 0


def _work(fitted: FittedTransform, rows: pa.Table, seen: _Seen) -> None:
    _, tallies = fitted.apply_counted(rows)
    for place, tally in enumerate(tallies):
        seen.counts[place] = seen.counts.get(place, 0) + tally.count
    if seen.rows < _BY_BOTH and not seen.differing:
        seen.differing = fitted.compare_kernels(rows.slice(0, _BY_BOTH - seen.rows))
    seen.rows += rows.num_rows


def _misfits(fitted: FittedTransform, kinds: Mapping[str, pa.DataType], address: str) -> Iterator[Finding]:
    for name in fitted.inputs:
        try:
            fitted.check_kind(name, kinds)
        except SchemaMismatchError as error:
            yield _mismatch(error, address)


def _mismatch(error: SchemaMismatchError, address: str) -> Finding:
    column = str(error.facts.get("column"))
    facts = {"transform": address, "reason": error.message}
    return Finding(code="transform_schema_mismatch", column=column, facts=facts)


def _skewed(differing: list[Disagreement], address: str, *, golden: bool) -> Finding:
    first = differing[0]
    facts = {"transform": address, "left": repr(first.left), "right": repr(first.right), "between": first.between}
    where = "the golden sample" if golden else "the rows judged"
    evidence = {"rows": where, "columns": sorted({each.column for each in differing})}
    return Finding(code="transform_skew", column=first.column, facts=facts, evidence=evidence)


def _rate(fitted: Tally, count: int, rows: int, state: Mapping[str, Any], address: str) -> Iterator[Finding]:
    operation = fitted.operation
    allowed = allowed_rate(fitted)
    if not is_more(count, rows, allowed, _CONFIDENCE):
        return
    facts = {
        "transform": f"{address} ({operation.OP})",
        "share": percent(count / rows),
        "allowed": percent(allowed),
        "low": _shown(state.get("low")),
        "high": _shown(state.get("high")),
    }
    yield Finding(
        code=operation.EVENT or "",
        column=operation.column,
        facts=facts,
        observed=count / rows,
        expected=allowed,
        count=count,
        of=rows,
        evidence={"transform": address, "share_when_fitted": fitted.share},
    )


def allowed_rate(fitted: Tally) -> float:
    """Return the share of rows that an operation may count.

    It is the definition's `max_rate`, or twice the share when it was fitted and one in a hundred at least.
    """
    limit = _limit(fitted.operation)
    return max(_LEAST, _TIMES * fitted.share) if limit is None else limit


def _limit(operation: Operation) -> float | None:
    return operation.limit


def _shown(limit: Any) -> str:
    return "…" if limit is None else f"{limit:g}"

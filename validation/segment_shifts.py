"""Distributions within slices, compared with those of the same slices of versions before, and adjusted together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from foldstore.datastore.engine import Engine
from foldstore.errors import FoldstoreError
from foldstore.validation.anomaly import Anomaly, percent
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.drift.comparison import Comparison, DriftResult, detect_drift_together
from foldstore.validation.drift_checks import (
    Windows,
    check_result,
    code_of_shift,
    count_pinned,
    drift_targets,
    fit_policy,
    for_label,
    null_targets,
    refer_to,
    window_text,
)
from foldstore.validation.finding import Finding, settle
from foldstore.validation.schema import DataSchema
from foldstore.validation.segment_cut import MOST_COMBINATIONS, Cut, told_of_slice
from foldstore.validation.subject import Subject

# So many columns with too few rows are named.
_MOST_NAMED: Final = 5
_MOST_GONE: Final = 50
_USUAL: Final = DriftPolicy()


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """What is compared of one slice."""

    segment: Segment
    label: str | None
    rows: Subject
    compared: Comparison


@dataclass(slots=True, eq=False)
class SliceDrift:
    """Gathers the slices of all segments that have a policy, so that they are adjusted together.

    Attributes
    ----------
    schema : DataSchema
    windows : callable or None
        Returns the rows of versions before, as `foldstore.validation.drift_checks.Windows` says.
    """

    schema: DataSchema
    windows: Windows | None
    _slices: list[_Slice] = field(default_factory=list)
    _told: list[Anomaly] = field(default_factory=list)

    def look(
        self, cut: Cut, slices: Mapping[tuple[Any, ...], Subject], columns: Mapping[str, ColumnSchema], engine: Engine
    ) -> None:
        """Count the slices of a segment, and the same of the versions before; rows are read while the engine is there.

        Parameters
        ----------
        cut : Cut
        slices : mapping
            The rows of the slices that are judged, by their values.
        columns : mapping of str to ColumnSchema
            Those with a grid are compared, of the others the nulls.
        """
        policy, name = _policy(cut), f"segment {cut.segment.name}: drift"
        text = window_text(policy)
        window = None if self.windows is None else self.windows(text)
        if window is None:
            reason = "no versions are at hand where these rows are judged"
            self._tell([not_judged(name, reason)], cut.subject)
            return
        if isinstance(window, int):
            facts = {"reference": text, "versions": window}
            self._tell([Finding(code="comparator_missing_reference", facts=facts, observed=window)], cut.subject)
            return
        try:
            before = Cut.of(window, cut.segment, engine)
        except FoldstoreError as error:
            self._tell([not_judged(name, error.message)], cut.subject)
            return
        if len(before.sizes) > MOST_COMBINATIONS:
            self._tell([not_judged(name, f"{window.address} has too many slices")], cut.subject)
            return
        fitting = {each: self._with_policy(each, column, policy) for each, column in columns.items()}
        for values, rows in slices.items():
            if before.sizes[values]:
                self._compare(cut, before, values, rows, fitting)
        self._tell_one_sided(cut, before, slices, text)

    def _with_policy(self, name: str, column: ColumnSchema, policy: DriftPolicy) -> ColumnSchema:
        fitted = fit_policy(policy, column)
        usual = replace(policy, vs="baseline", window=None, lag=None)
        return replace(column, drift=for_label(usual) if name == self.schema.label and usual == _USUAL else fitted)

    def _compare(
        self, cut: Cut, before: Cut, values: tuple[Any, ...], rows: Subject, fitting: Mapping[str, ColumnSchema]
    ) -> None:
        names = [name for name in fitting if name in rows.profile().columns]
        text = window_text(_policy(cut))
        reference = before.rows_of(values, [name for name in names if before.has(name)])
        if not rows.profile().rows or not reference.profile().rows:
            needs = f"{text} has no such rows" if rows.profile().rows else f"there are none, and in {text} there were"
            self._tell_alone(cut, values, rows.profile().rows, needs)
            return
        columns = {}
        for name in names:
            columns[name], unreferred = refer_to(name, fitting[name], text, reference)
            self._tell(unreferred, rows, cut, values)
        compared = {name: column for name, column in columns.items() if column.drift is not None}
        targets = drift_targets(count_pinned(rows, compared), compared, rows.profile())
        seed = f"{self.schema.id}\n{reference.profile().id}\n{rows.profile().id}"
        asked = Comparison(targets, seed, null_targets(compared, rows.profile()))
        self._slices.append(_Slice(cut.segment, cut.label(values), rows, asked))

    def _tell_one_sided(self, cut: Cut, before: Cut, slices: Mapping[tuple[Any, ...], Subject], text: str) -> None:
        """Say which slices one side alone has: a slice that is new, or gone, is no slice without drift."""
        for values in slices:
            if not before.sizes[values]:
                self._tell_alone(cut, values, cut.sizes[values], f"{text} has no such rows")
        total = before.sizes.total()
        for values in before.largest(_MOST_GONE) if cut.segment.by else []:
            if not cut.sizes[values]:
                share = percent(before.sizes[values] / total)
                self._tell_alone(cut, values, 0, f"there are none; {share} of the rows of {text} were such")

    def _tell_alone(self, cut: Cut, values: tuple[Any, ...], rows: int, needs: str) -> None:
        facts = {"rows": rows, "tau": f"{_policy(cut).tau_warn:.2f}", "needs": needs}
        self._tell([Finding(code="drift_untestable", facts=facts, observed=rows)], cut.subject, cut, values)

    def _tell(
        self, findings: list[Finding], rows: Subject, cut: Cut | None = None, values: tuple[Any, ...] = ()
    ) -> None:
        settled = settle(findings, self.schema, rows, ())
        self._told += settled if cut is None else told_of_slice(settled, cut.segment, cut.label(values))

    def anomalies(self) -> Iterator[Anomaly]:
        """Yield what was found: adjusted over all columns of all slices together."""
        yield from self._told
        results = detect_drift_together([each.compared for each in self._slices])
        for each, result in zip(self._slices, results, strict=True):
            findings = list(self._find(each, result))
            yield from told_of_slice(settle(findings, self.schema, each.rows, ()), each.segment, each.label)

    def _find(self, each: _Slice, result: DriftResult) -> Iterator[Finding]:
        few: list[Finding] = []
        policies = {target.column: target.policy for target in each.compared.targets}
        policies |= {target.column: target.policy for target in each.compared.nulls}
        for finding in check_result(result, policies.__getitem__, lambda name: code_of_shift(self.schema, name)):
            if finding.code == "drift_untestable":
                few.append(finding)
            else:
                yield finding
        if few:  # one for a slice: most columns of a small one have too few rows
            names = [str(finding.column) for finding in few]
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            needs = f"by {', '.join(names[:_MOST_NAMED])}{more}"
            facts = {**few[0].facts, "rows": max(int(str(finding.facts["rows"])) for finding in few), "needs": needs}
            yield Finding(code="drift_untestable", facts=facts, observed=facts["rows"], evidence={"columns": names})


def _policy(cut: Cut) -> DriftPolicy:
    policy = cut.segment.drift
    assert policy is not None  # noqa: S101  (only such segments are looked at)
    return policy

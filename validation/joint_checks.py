"""The comparisons of columns together with versions before: concept, correlations, all columns at once; and trends."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import atanh, sqrt
from typing import Final

from foldstore.datastore.statistics.pairs import Correlations, correlate
from foldstore.datastore.statistics.row_source import StreamedRows
from foldstore.errors import UsageError
from foldstore.types import Severity
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.dataset_rules import JointDrift
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.concept import FeatureConcept
from foldstore.validation.drift.pairs import concept_drift_between
from foldstore.validation.drift.row_sample import two_sample_test_between
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.finding import Finding
from foldstore.validation.history import History
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject

_FLAGS: Final = {DriftVerdict.WARN: Severity.WARN, DriftVerdict.ERROR: Severity.ERROR}
_ROWS_FOR_Z: Final = 4


def check_joint(
    subject: Subject, schema: DataSchema, fitting: Mapping[str, ColumnSchema], history: History | None
) -> Iterator[Finding]:
    """Yield what changed between columns, compared with versions before."""
    policy = schema.joint_drift
    if policy is None:
        return
    if history is None:
        yield not_judged("joint_drift", "no versions are at hand where these rows are judged")
        return
    reference = history.window(policy.window_text)
    if isinstance(reference, int):
        facts = {"reference": policy.window_text, "versions": reference}
        yield Finding(code="comparator_missing_reference", facts=facts, observed=reference)
        return
    names = [name for name in fitting if name in reference.arrow_schema.names and name in subject.arrow_schema.names]
    if policy.concept:
        yield from _concept(reference, subject, schema, names)
    if policy.correlation is not None:
        yield from _correlations(reference, subject, policy, policy.correlation)
    if policy.multivariate is not None:
        yield from _all_columns(reference, subject, names, policy.multivariate)


def check_trends(schema: DataSchema, history: History | None) -> Iterator[Finding]:
    """Yield the changes of level that the newest version gave the alarm for."""
    if schema.trend is None:
        return
    if history is None:
        yield not_judged("trend", "no versions are at hand where these rows are judged")
        return
    for trend in history.trends(schema.trend.season).trends:
        if trend.column not in schema.columns:
            continue
        for change in trend.changes:
            if change.alarm == trend.labels[-1]:
                facts = {
                    "statistic": trend.statistic,
                    "before": f"{change.before:.6g}",
                    "after": f"{change.after:.6g}",
                    "at": change.at,
                }
                yield Finding(
                    code="trend",
                    column=trend.column,
                    facts=facts,
                    observed=change.after,
                    expected=change.before,
                    evidence=change.to_dict(),
                    fix=_without("trend"),
                )


def _concept(reference: Subject, subject: Subject, schema: DataSchema, names: list[str]) -> Iterator[Finding]:
    if schema.label is None:
        yield not_judged("joint_drift.concept", "the schema names no label")
        return
    try:
        found = concept_drift_between(reference, subject, schema.label)
    except UsageError as error:
        yield not_judged("joint_drift.concept", error.message, schema.label)
        return
    for feature in found.features.values():
        if feature.feature in names and feature.verdict in _FLAGS:
            yield _changed_concept(feature, schema.label)


def _changed_concept(feature: FeatureConcept, label: str) -> Finding:
    worst = feature.worst[0] if feature.worst else None
    where = f"; most where it is {worst.cell}" if worst else ""
    return Finding(
        code="concept_drift",
        column=feature.feature,
        severity=_FLAGS[feature.verdict],
        facts={"label": label, "effect": f"{feature.effect:.2f}", "p": f"{feature.p_adjusted:.1g}", "where": where},
        observed=feature.effect,
        evidence=feature.to_dict(),
        fix=_without("joint_drift"),
    )


def _correlations(reference: Subject, subject: Subject, policy: JointDrift, limit: float) -> Iterator[Finding]:
    """Test each pair by Fisher's z: ``atanh(r)`` is about normal with variance ``1/(n - 3)`` (Fisher 1921)."""
    from scipy import special

    sides = [_correlate(side) for side in (reference, subject)]
    before, after = sides
    if before is None or after is None:
        yield not_judged("joint_drift.correlation", "fewer than two columns of numbers are on both sides")
        return
    both = [name for name in before.columns if name in after.columns]
    pairs, p_values = [], []
    for a, b in combinations(both, 2):
        r = [side.of(a, b) for side in (before, after)]
        n = [side.rows_of(a, b) for side in (before, after)]
        if r[0] is None or r[1] is None or min(n) < _ROWS_FOR_Z:
            continue
        spread = sqrt(sum(1 / (size - 3) for size in n))
        z = [atanh(min(max(each, -1 + 1e-12), 1 - 1e-12)) for each in (r[0], r[1])]
        pairs.append((a, b, r[0], r[1]))
        p_values.append(float(2 * special.ndtr(-abs(z[0] - z[1]) / spread)))
    for (a, b, was, now), p in zip(pairs, adjust(p_values, "bh"), strict=True):
        if p < policy.alpha and abs(now - was) >= limit:
            yield Finding(
                code="correlation_change",
                column=a,
                facts={
                    "other": b,
                    "before": f"{was:.2f}",
                    "after": f"{now:.2f}",
                    "limit": f"{limit:g}",
                    "p": f"{p:.1g}",
                },
                observed=now,
                expected=was,
                evidence={"other": b, "before": was, "after": now, "p_adjusted": p, "limit": limit},
                fix=_without("joint_drift"),
            )


def _correlate(side: Subject) -> Correlations | None:
    try:
        return correlate(StreamedRows(side.arrow_schema, side.batches))
    except UsageError:
        return None


def _all_columns(reference: Subject, subject: Subject, names: list[str], limit: float) -> Iterator[Finding]:
    try:
        found = two_sample_test_between(reference, subject, names)
    except UsageError as error:
        yield not_judged("joint_drift.multivariate", error.message)
        return
    if found.effect < limit or found.verdict not in _FLAGS:
        return
    most = ", ".join(list(found.columns)[:3]) or "none alone"
    yield Finding(
        code="multivariate_drift",
        facts={"auc": f"{found.auc:.2f}", "limit": f"{0.5 + limit:g}", "p": f"{found.p_value:.1g}", "columns": most},
        observed=found.auc,
        expected=0.5 + limit,
        evidence=found.to_dict(),
        fix=_without("joint_drift"),
    )


def _without(field: str) -> tuple[dict[str, object], ...]:
    return ({"op": "set_dataset", "field": field, "value": None},)

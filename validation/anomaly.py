"""Anomalies: one finding each, with a stable code, the evidence, and a fix that a person may accept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.types import Severity
from foldstore.validation.evolution import Patch


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for.

    Attributes
    ----------
    severity : Severity
        How grave it is unless a schema says otherwise.
    template : str
        The message, filled from facts.
    """

    severity: Severity
    template: str


CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "no_data": Code(Severity.ERROR, "{address} has no rows"),
        "rows_too_few": Code(Severity.ERROR, "{rows} rows, expected at least {expected}"),
        "rows_too_many": Code(Severity.ERROR, "{rows} rows, expected at most {expected}"),
        "rows_ratio_low": Code(Severity.WARN, "rows fell to {share} of the version before (allowed at least {limit})"),
        "rows_ratio_high": Code(Severity.WARN, "rows rose to {share} of the version before (allowed at most {limit})"),
        "stale": Code(Severity.ERROR, "newest time is {newest}, {age} old, allowed {allowed}"),
        "future_time": Code(Severity.ERROR, "{count} times lie more than {allowed} after the judgement"),
        "time_gap": Code(Severity.WARN, "no rows for {missing} of {periods} periods of {step} (first: {first})"),
        "duplicate_rows": Code(Severity.WARN, "{share} of the rows repeat another (allowed {allowed})"),
        "foreign_key_missing": Code(
            Severity.ERROR, "{columns} of {count} rows is not in {dataset} (allowed {allowed})"
        ),
        "split_overlap": Code(Severity.ERROR, "{share} of the keys are also in {other} (allowed {allowed})"),
        "row_rule_failed": Code(Severity.ERROR, "{rule} fails for {count} rows (allowed {allowed})"),
        "user_check_failed": Code(Severity.ERROR, "the check {check} of {contract} fails {how}"),
        "user_check_broken": Code(Severity.ERROR, "the check {check} of {contract} could not be run: {reason}"),
        "too_many_segments": Code(Severity.INFO, "{name} has {slices} segments, the largest {limit} were judged"),
        "schema_unknown_environment": Code(
            Severity.ERROR, "the schema has no environment {environment!r}; it has {known}"
        ),
        "schema_invalid": Code(Severity.ERROR, "{what} cannot be judged: {reason}"),
        "column_order_changed": Code(Severity.INFO, "columns come as {observed}, expected {expected}"),
        "stats_unavailable": Code(Severity.WARN, "{field} is declared and was not judged: {reason}"),
        "duplicate_key": Code(Severity.ERROR, "{groups} key values occur twice or more ({rows} rows), e.g. {example}"),
        "column_missing": Code(Severity.ERROR, "column absent (required: stage {stage})"),
        "column_new": Code(Severity.WARN, "new column of type {type}"),
        "column_renamed_suspect": Code(
            Severity.WARN, "{old!r} missing and {new!r} new look the same ({alike}): was it renamed?"
        ),
        "type_mismatch": Code(Severity.ERROR, "type {observed}, expected {expected}"),
        "type_coercible": Code(Severity.WARN, "type {observed}, which {expected} can hold without loss"),
        "type_lossy": Code(Severity.ERROR, "type {observed}, which {expected} cannot hold without loss"),
        "nesting_mismatch": Code(
            Severity.ERROR, "type {observed}, whose lists nest otherwise than those of {expected}"
        ),
        "null_fraction_high": Code(Severity.ERROR, "null in {share} [{low}, {high}], allowed {allowed}"),
        "all_null": Code(Severity.ERROR, "all {rows} rows are null"),
        "nan_present": Code(Severity.ERROR, "{count} values are NaN"),
        "null_encoded_as_value": Code(Severity.WARN, "{count} values are {marks}, which may stand for no value"),
        "below_min": Code(Severity.ERROR, "{count} values below {limit} (min {extreme})"),
        "above_max": Code(Severity.ERROR, "{count} values above {limit} (max {extreme})"),
        "value_outside_domain": Code(Severity.ERROR, "{share} outside domain; new: {new}"),
        "domain_near_miss": Code(Severity.WARN, "{count} values are known ones written otherwise: {pairs}"),
        "column_deprecated_present": Code(Severity.INFO, "column is deprecated and still there"),
        "present_count_low": Code(Severity.ERROR, "{present} values, expected at least {expected}"),
        "valency_low": Code(Severity.ERROR, "{count} lists have fewer than {limit} items"),
        "valency_high": Code(Severity.ERROR, "{count} lists have more than {limit} items"),
        "shape_mismatch": Code(Severity.ERROR, "{count} lists are not of shape {shape}"),
        "invalid_utf8": Code(Severity.ERROR, "texts are not UTF-8: {reason}"),
        "precision_lost": Code(
            Severity.WARN, "no value of {count} uses the {decimals} decimals that values had: were they rounded?"
        ),
        "inf_present": Code(Severity.ERROR, "{count} values are infinite"),
        "not_integer_valued": Code(Severity.ERROR, "{count} values are not whole"),
        "pattern_mismatch": Code(Severity.ERROR, "{count} texts do not match {pattern}"),
        "length_low": Code(Severity.ERROR, "{count} values are shorter than {limit} {unit}"),
        "length_high": Code(Severity.ERROR, "{count} values are longer than {limit} {unit}"),
        "semantic_class_changed": Code(Severity.WARN, "{count} texts do not read as {semantic}"),
        "bool_unexpected": Code(Severity.ERROR, "{count} texts mean neither true nor false ({tokens})"),
        "unique_low": Code(Severity.WARN, "{distinct} different values, expected at least {limit}"),
        "unique_high": Code(Severity.WARN, "{distinct} different values, expected at most {limit}"),
        "unique_ratio": Code(Severity.WARN, "{ratio} of the values differ, allowed {allowed}"),
        "near_constant": Code(Severity.INFO, "{share} of the values are {value}, allowed {allowed}"),
        "not_monotone": Code(Severity.ERROR, "{count} values break the {order} order"),
        "embedding_dim": Code(Severity.ERROR, "{count} vectors do not have {dim} numbers"),
        "embedding_norm": Code(Severity.ERROR, "{count} vectors have a length outside {allowed}"),
        "mean_out_of_bounds": Code(Severity.ERROR, "mean {observed}, allowed {allowed}"),
        "std_out_of_bounds": Code(Severity.ERROR, "standard deviation {observed}, allowed {allowed}"),
        "quantile_out_of_bounds": Code(Severity.ERROR, "quantile {share} is {observed}, allowed {allowed}"),
        "constant_column": Code(Severity.WARN, "all {count} values are {value}"),
        "drift": Code(
            Severity.ERROR,
            "distribution drifted: JS {effect} (noise {noise}, limit {limit}), p {p}; largest change: {change}",
        ),
        "label_shift": Code(
            Severity.ERROR,
            "the label moved: JS {effect} (noise {noise}, limit {limit}), p {p}; largest change: {change}",
        ),
        "prediction_shift": Code(
            Severity.ERROR,
            "the predictions moved: JS {effect} (noise {noise}, limit {limit}), p {p}; largest change: {change}",
        ),
        "skew": Code(
            Severity.ERROR,
            "served values differ ({dataset}): JS {effect} (noise {noise}, limit {limit}), p {p}; "
            "largest change: {change}",
        ),
        "concept_drift": Code(
            Severity.ERROR, "{label} depends on it otherwise than before: effect {effect}, p {p}{where}"
        ),
        "correlation_change": Code(
            Severity.WARN, "its correlation with {other} went from {before} to {after} (limit {limit}), p {p}"
        ),
        "multivariate_drift": Code(
            Severity.WARN,
            "a classifier tells the rows from those before: AUC {auc} (limit {limit}), p {p}; by {columns}",
        ),
        "trend": Code(Severity.WARN, "{statistic} went from {before} to {after} at {at}"),
        "unit_change_suspect": Code(
            Severity.WARN, "values look {words}: distance {before} from the reference, {after} once that is undone"
        ),
        "timezone_shift_suspect": Code(Severity.WARN, "the hours of the day look shifted: {lag} than the reference"),
        "new_category_mass": Code(
            Severity.WARN, "{after} of the values are none of the reference's common ones, {before} were"
        ),
        "tail_mass": Code(
            Severity.WARN, "{share} of the values lie outside {low} to {high}, the range of the reference"
        ),
        "missingness_drift": Code(
            Severity.ERROR, "null fraction moved from {before} to {after}: Cohen h {effect} (limit {limit}), p {p}"
        ),
        "drift_untestable": Code(Severity.INFO, "{rows} values cannot show a change of {tau} ({needs})"),
        "comparator_missing_reference": Code(
            Severity.WARN,
            "nothing to compare with: {reference} needs more than the {versions} published versions before",
        ),
        "oov_rate_high": Code(
            Severity.WARN, "{share} of the values are outside what {transform} knows, allowed {allowed}"
        ),
        "out_of_bucket": Code(
            Severity.WARN,
            "{share} of the values lie outside {low} to {high}, the range of {transform}, allowed {allowed}",
        ),
        "clip_rate_high": Code(
            Severity.WARN, "{share} of the values are moved to {low} or {high} by {transform}, allowed {allowed}"
        ),
        "impute_rate_high": Code(
            Severity.WARN, "{share} of the values are filled in by {transform}, allowed {allowed}"
        ),
        "transform_schema_mismatch": Code(Severity.ERROR, "{transform} cannot work on it: {reason}"),
        "transform_skew": Code(
            Severity.ERROR, "{transform} gives {left} and {right} for the same values, in {between}"
        ),
        "review_needed": Code(Severity.INFO, "a person has to release every version of this dataset"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One finding.

    Attributes
    ----------
    code : str
        A key of `CODES`.
    severity : Severity
    column : str or None
        None for findings about the whole dataset.
    message : str
    observed, expected : plain data
    count : int or None
        How many rows.
    fraction : float or None
        Which share of the rows that could have failed.
    example_rows : tuple of dict
        At most ten: row position, key values, the value.
    evidence : Mapping[str, Any]
        Effect sizes, p-values, sizes.
    fix : tuple of patches, or None
        What `DataSchema.accept` would change.
    """

    code: str
    severity: Severity
    column: str | None
    message: str
    observed: Any = None
    expected: Any = None
    count: int | None = None
    fraction: float | None = None
    example_rows: tuple[Mapping[str, Any], ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fix: tuple[Patch, ...] | None = None

    def __str__(self) -> str:
        where = "" if self.column is None else f"{self.column}: "
        return f"{self.severity}: {where}{self.message} [{self.code}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {each: getattr(self, each) for each in self.__slots__}
        plain["severity"] = str(self.severity)
        plain["example_rows"] = [dict(row) for row in self.example_rows]
        plain["evidence"] = dict(self.evidence)
        plain["fix"] = None if self.fix is None else [dict(patch) for patch in self.fix]
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Anomaly":
        """Read what `to_dict` gave."""
        made = dict(data)
        made["severity"] = Severity(made["severity"])
        made["example_rows"] = tuple(made["example_rows"])
        made["fix"] = None if made["fix"] is None else tuple(made["fix"])
        return cls(**made)


def percent(fraction: float) -> str:
    """Write a fraction for people.

    Examples
    --------
    >>> percent(0.0321), percent(0.00002), percent(0)
    ('3.2 %', '0.002 %', '0 %')
    """
    if fraction == 0 or abs(fraction) >= 0.001:
        return f"{fraction * 100:.3g} %" if abs(fraction) < 0.01 else f"{round(fraction * 100, 1):g} %"
    return f"{fraction * 100:.1g} %"


def choose_anomalies(anomalies: Sequence[Anomaly], wanted: Sequence[str]) -> list[Anomaly]:
    """Return those whose fixes are named: by code, by code and column (``code:column``), or all.

    Raises
    ------
    NotFoundError
        When one of the names fits none of them.
    UsageError
        When what a name fits proposes no fix, so that nothing would be accepted.

    Examples
    --------
    >>> from foldstore.types import Severity
    >>> fix = ({"op": "set_dataset", "field": "min_rows", "value": 7},)
    >>> found = [Anomaly(code="rows_too_few", severity=Severity.ERROR, column=None, message="few", fix=fix)]
    >>> choose_anomalies(found, ["rows_too_few"]) == choose_anomalies(found, ["all"]) == found
    True
    """
    names = [{"all", each.code, f"{each.code}:{each.column}"} for each in anomalies]
    for name in wanted:
        if not any(name in known for known in names):
            there = sorted({each.code if each.column is None else f"{each.code}:{each.column}" for each in anomalies})
            raise NotFoundError(
                f"The report has no anomaly {name!r}.", hint=did_you_mean(name, there) if there else "It has none."
            )
        if not any(each.fix for each, known in zip(anomalies, names, strict=True) if name in known):
            raise UsageError(
                f"Nothing that {name!r} names proposes a change of the schema.",
                hint="Correct the rows, or release the version when they are right all the same.",
            )
    return [each for each, known in zip(anomalies, names, strict=True) if known & set(wanted)]

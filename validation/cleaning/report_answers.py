"""Answers to the anomalies of a report: an action for each that cells or rows can settle, for a person to choose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from foldstore.validation.anomaly import Anomaly
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.near_miss import edit_distance, edits_allowed, plain_form
from foldstore.validation.column_domains import CategoryDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema

_NUMBERS: Final = frozenset({"int8", "int16", "int32", "int64", "float", "double"})


def answer_report(report: Report, schema: DataSchema | None, keys: Sequence[str]) -> tuple[CleaningAction, ...]:
    """Suggest an action for each anomaly that has one.

    Values that nearly are in a column's domain are replaced; out of range and NaN become null; duplicate keys keep
    their last row. Too many nulls are filled with the median or the mode: the least sure of all.
    """
    found = [each for anomaly in report.anomalies for each in _answer(anomaly, schema, keys)]
    return tuple(sorted(found, key=lambda each: each.op == "impute"))


def _answer(anomaly: Anomaly, schema: DataSchema | None, keys: Sequence[str]) -> Iterator[CleaningAction]:
    told: dict[str, Any] = {
        "column": anomaly.column,
        "code": anomaly.code,
        "reason": anomaly.message,
        "anomaly": {"code": anomaly.code, "column": anomaly.column},
        "evidence": {"count": anomaly.count} if anomaly.count is not None else {},
    }
    if anomaly.code == "duplicate_key" and keys:
        params = {"by": list(keys), "keep": "last"}
        yield CleaningAction(op="deduplicate", params=params, confidence=0.5, **{**told, "column": None})
    if anomaly.column is None or anomaly.column in keys:
        return
    alone = _ALONE.get(anomaly.code)
    if alone is not None:
        yield from alone(anomaly, told)
    elif schema is not None and anomaly.column in schema.columns:
        yield from _by_schema(anomaly, schema.columns[anomaly.column], told)


def _beyond(anomaly: Anomaly, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    if isinstance(anomaly.expected, int | float):
        sign = "<" if anomaly.code == "below_min" else ">"
        where = f"{_quoted(anomaly.column)} {sign} {anomaly.expected!r}"
        yield CleaningAction(op="set_null", where=where, confidence=0.5, **told)


def _not_numbers(anomaly: Anomaly, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    if anomaly.code == "nan_present":
        yield CleaningAction(op="set_null", params={"nan": True}, confidence=0.8, **told)
    else:
        yield CleaningAction(op="set_null", where=f"isinf({_quoted(anomaly.column)})", confidence=0.8, **told)


def _marks(anomaly: Anomaly, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    values = [_read_mark(str(each)) for each in anomaly.observed or ()]
    if values:
        yield CleaningAction(op="set_null", params={"values": values}, confidence=0.8, **told)


def _near_misses(anomaly: Anomaly, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    pairs = [[before, after] for before, after in anomaly.evidence.get("replace", {}).items()]
    if pairs:
        yield CleaningAction(op="replace", params={"mapping": pairs}, confidence=0.9, **told)


def _other_type(anomaly: Anomaly, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    if "string" in str(anomaly.observed) and anomaly.expected in _NUMBERS:
        yield CleaningAction(op="cast", params={"type": anomaly.expected}, confidence=0.6, **told)


_ALONE: Final[Mapping[str, Callable[[Anomaly, Mapping[str, Any]], Iterator[CleaningAction]]]] = {
    "below_min": _beyond,
    "above_max": _beyond,
    "nan_present": _not_numbers,
    "inf_present": _not_numbers,
    "null_encoded_as_value": _marks,
    "domain_near_miss": _near_misses,
    "type_mismatch": _other_type,
}


def _by_schema(anomaly: Anomaly, column: ColumnSchema, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    if anomaly.code == "value_outside_domain" and isinstance(column.domain, CategoryDomain):
        yield from _into_domain(anomaly, column.domain, told)
    elif anomaly.code == "null_fraction_high":
        method = "median" if column.type in _NUMBERS else "mode"
        yield CleaningAction(op="impute", params={"method": method}, confidence=0.3, **told)


def _read_mark(shown: str) -> Any:
    """Read a mark as a report shows it: text in quotes, a number, or a time."""
    if len(shown) >= 2 and shown[0] == shown[-1] and shown[0] in "'\"":
        return shown[1:-1]
    for kind in (int, float):
        try:
            return kind(shown)
        except ValueError:
            continue
    return shown


def _into_domain(anomaly: Anomaly, domain: CategoryDomain, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    new = [value for value, _ in anomaly.evidence.get("new", ())]
    known = [value for value in domain.values if isinstance(value, str)]
    pairs = [(value, _nearest(value, known)) for value in new if isinstance(value, str)]
    mapping = [[value, meant] for value, meant in pairs if meant is not None]
    if mapping:
        said = {**told, "code": "domain_near_miss"}
        yield CleaningAction(op="replace", params={"mapping": mapping}, confidence=0.9, **said)
    strange = [value for value in new if value not in {before for before, _ in mapping}]
    if strange:
        yield CleaningAction(op="set_null", params={"values": strange}, confidence=0.3, **told)


def _nearest(value: str, known: Sequence[str]) -> str | None:
    """Return the one value of a domain that a text nearly is; None where there is none, or several."""
    same = [each for each in known if plain_form(each) == plain_form(value)]
    if len(same) == 1:
        return same[0]
    limit = edits_allowed(len(value))
    near = [each for each in known if limit and edit_distance(value, each, limit) <= limit]
    return near[0] if len(near) == 1 else None


def _quoted(name: str | None) -> str:
    return '"' + str(name).replace('"', '""') + '"'

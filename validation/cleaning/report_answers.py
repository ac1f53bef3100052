"""Answers to the anomalies of a report: an action for each that cells or rows can settle, for a person to choose."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from foldstore.validation.anomaly import Anomaly
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.near_miss import edit_distance, edits_allowed, plain_form
from foldstore.validation.column_domains import CategoryDomain
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
        "code": anomaly.code,
        "reason": anomaly.message,
        "anomaly": {"code": anomaly.code, "column": anomaly.column},
        "evidence": {"count": anomaly.count} if anomaly.count is not None else {},
    }
    name = anomaly.column
    if name is not None and name in keys:
        return
    if anomaly.code in ("below_min", "above_max") and isinstance(anomaly.expected, int | float):
        sign = "<" if anomaly.code == "below_min" else ">"
        where = f"{_quoted(name)} {sign} {anomaly.expected!r}"
        yield CleaningAction(op="set_null", column=name, where=where, confidence=0.5, **told)
    elif anomaly.code == "nan_present":
        yield CleaningAction(op="set_null", column=name, params={"nan": True}, confidence=0.8, **told)
    elif anomaly.code == "duplicate_key" and keys:
        yield CleaningAction(op="deduplicate", params={"by": list(keys), "keep": "last"}, confidence=0.5, **told)
    elif anomaly.code == "value_outside_domain" and schema is not None and name is not None:
        domain = schema.columns[name].domain if name in schema.columns else None
        if isinstance(domain, CategoryDomain):
            yield from _into_domain(anomaly, domain, told)
    elif anomaly.code == "type_mismatch" and "string" in str(anomaly.observed) and anomaly.expected in _NUMBERS:
        params = {"type": anomaly.expected}
        yield CleaningAction(op="cast", column=name, params=params, confidence=0.6, **told)
    elif anomaly.code == "null_fraction_high" and schema is not None and name is not None:
        numeric = name in schema.columns and schema.columns[name].type in _NUMBERS
        method = "median" if numeric else "mode"
        yield CleaningAction(op="impute", column=name, params={"method": method}, confidence=0.3, **told)


def _into_domain(anomaly: Anomaly, domain: CategoryDomain, told: Mapping[str, Any]) -> Iterator[CleaningAction]:
    new = [value for value, _ in anomaly.evidence.get("new", ())]
    known = [value for value in domain.values if isinstance(value, str)]
    pairs = [(value, _nearest(value, known)) for value in new if isinstance(value, str)]
    mapping = [[value, meant] for value, meant in pairs if meant is not None]
    if mapping:
        said = {**told, "code": "domain_near_miss"}
        yield CleaningAction(op="replace", column=anomaly.column, params={"mapping": mapping}, confidence=0.9, **said)
    strange = [value for value in new if value not in {before for before, _ in mapping}]
    if strange:
        yield CleaningAction(op="set_null", column=anomaly.column, params={"values": strange}, confidence=0.3, **told)


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

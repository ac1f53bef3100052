"""What a proposed fix replaces: with it a report can show the change to the schema, line by line."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from foldstore.validation.anomaly import Anomaly
from foldstore.validation.evolution import Patch
from foldstore.validation.schema import DataSchema

_MOST_ITEMS: Final = 1_000


def name_replaced(anomalies: Iterable[Anomaly], schema: DataSchema) -> tuple[Anomaly, ...]:
    """Return the anomalies with ``before`` in the patches that set a field which the schema has.

    It stands in the patch, so that whatever withholds the fix withholds it too. Long lists are left out.

    Examples
    --------
    >>> from foldstore.types import Severity
    >>> from foldstore.validation.column_domains import NumericDomain
    >>> from foldstore.validation.column_schema import ColumnSchema
    >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=0))})
    >>> fix = ({"op": "set", "column": "x", "field": "domain.min", "value": -7},)
    >>> low = Anomaly(code="below_min", severity=Severity.ERROR, column="x", message="too low", fix=fix)
    >>> name_replaced([low], schema)[0].fix[0]["before"]
    0
    """
    return tuple(
        each if each.fix is None else replace(each, fix=tuple(_with_before(patch, schema) for patch in each.fix))
        for each in anomalies
    )


def _with_before(patch: Patch, schema: DataSchema) -> Patch:
    target: Any = schema
    if patch.get("op") == "set":
        target = schema.columns.get(str(patch.get("column")))
    elif patch.get("op") != "set_dataset":
        return patch
    for key in str(patch.get("field", "")).split("."):
        target = target.get(key) if isinstance(target, Mapping) else getattr(target, key, None)
    before = _plain(target)
    if before is None or (isinstance(before, list | dict) and len(before) > _MOST_ITEMS):
        return patch
    return {**patch, "before": before}


def _plain(value: Any) -> Any:
    """Return a part of a schema as plain data; None where it is nothing of the kind."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | bool | int | float) else None

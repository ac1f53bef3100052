"""The checks of a column's type: whether values could be read as declared, and what would be lost."""

import re
from typing import Final

from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of_text
from foldstore.validation.column_schema import ColumnSchema, plain_type
from foldstore.validation.evolution import WIDER, Patch
from foldstore.validation.finding import Finding
from foldstore.validation.inference import infer_column

_NUMBERS: Final = (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL)
_LIST: Final = re.compile(r"(?:large_|fixed_size_)?list(?:_view)?<\w+: (.*?)(?: not null)?>(?:\[\d+\])?", re.DOTALL)
_UNITS: Final = ("s", "ms", "us", "ns")


def type_fits(profile: Profile, name: str, column: ColumnSchema) -> bool:
    """Whether a column is there with the declared type, or one of its `coerce_from`."""
    if name not in profile.columns:
        return False
    observed = plain_type(profile.types[name])
    return observed == plain_type(column.type) or observed in column.coerce_from


def is_judged(profile: Profile, name: str, column: ColumnSchema) -> bool:
    """Whether a column's values can be judged: its type fits, or the declared one holds every value of it."""
    return name in profile.columns and (
        type_fits(profile, name, column) or plain_type(column.type) in WIDER.get(plain_type(profile.types[name]), ())
    )


def type_finding(profile: Profile, name: str, column: ColumnSchema, *, is_key: bool) -> Finding:
    """Report another type; where no value can be lost, declaring it is the fix."""
    observed, expected = plain_type(profile.types[name]), plain_type(column.type)
    fix: Patch = {"op": "add_column", "column": name}
    if expected in WIDER.get(observed, ()):
        code = "type_coercible"
        fix = {"op": "set", "column": name, "field": "coerce_from", "value": [*column.coerce_from, observed]}
    else:
        code = _code(observed, expected)
        fix = {**fix, "value": infer_column(name, profile.columns[name], is_key=is_key).to_dict()}
    return Finding(
        code=code,
        column=name,
        facts={"observed": observed, "expected": column.type},
        observed=observed,
        expected=column.type,
        fix=(fix,),
    )


def _code(observed: str, expected: str) -> str:
    (depth, item), (expected_depth, expected_item) = _unnest(observed), _unnest(expected)
    if depth != expected_depth and plain_type(item) == plain_type(expected_item):
        return "nesting_mismatch"
    return "type_lossy" if _loses(observed, expected) else "type_mismatch"


def _unnest(text: str) -> tuple[int, str]:
    """Return how deep lists nest, and the type of what they hold.

    Examples
    --------
    >>> _unnest("list<item: fixed_size_list<item: float not null>[2]>")
    (2, 'float')
    """
    depth = 0
    while (found := _LIST.fullmatch(text)) is not None:
        depth, text = depth + 1, found[1]
    return depth, text


def _loses(observed: str, expected: str) -> bool:
    """Whether the values could be read as the other type, but not all of them: numbers, and times in coarser ticks."""
    kinds = [kind_of_text(text) for text in (observed, expected)]
    if all(kind in _NUMBERS for kind in kinds):
        return True
    if not (observed.startswith("timestamp[") and expected.startswith("timestamp[")):
        return False
    (unit, zone), (other, other_zone) = (_unit_and_zone(text) for text in (observed, expected))
    return zone == other_zone and _UNITS.index(unit) > _UNITS.index(other)


def _unit_and_zone(text: str) -> tuple[str, str]:
    unit, _, zone = text.removeprefix("timestamp[").rstrip("]").partition(",")
    return unit if unit in _UNITS else "s", zone.strip()

"""How schemas change: differences by weight, and patches. All on plain data, as schemas travel.

Weights follow semantic versions: `patch` (words and limits), `minor` (accepts all that it accepted,
and more), `major` (may refuse what it accepted).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from foldstore.errors import InvalidSchemaError

Plain: TypeAlias = dict[str, Any]
# {"op": "set", "column": str, "field": "domain.min", "value": ...}, and add_column, remove_column, set_dataset.
Patch: TypeAlias = Mapping[str, Any]


class Compat(IntEnum):
    """How much a change weighs."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two schemas.

    Attributes
    ----------
    path : str
        Where, such as ``columns.origin.domain``.
    before, after : plain data or None
    compat : Compat
    """

    path: str
    before: Any
    after: Any
    compat: Compat

    def __str__(self) -> str:
        return f"{self.compat.name.lower()}: {self.path}: {_brief(self.before)} -> {_brief(self.after)}"


# Types that hold every value of another, without loss.
WIDER: Final = {
    "int8": {"int16", "int32", "int64"},
    "int16": {"int32", "int64"},
    "int32": {"int64"},
    "uint8": {"uint16", "uint32", "uint64", "int16", "int32", "int64"},
    "uint16": {"uint32", "uint64", "int32", "int64"},
    "uint32": {"uint64", "int64"},
    "halffloat": {"float", "double"},
    "float": {"double"},
}
_DEFAULTS: Final = {"nullable": True, "min_fraction": 0.0, "constant": True, "stage": "production"}
_OPTIONAL: Final = frozenset({"planned", "alpha", "deprecated", "debug"})


def diff_plain(a: Plain, b: Plain) -> list[Change]:
    """Return what changed from one schema to another, as plain data, by path."""
    words = ("name", "doc", "severity", "provenance")
    changes = [Change(key, a.get(key), b.get(key), Compat.PATCH) for key in words if a.get(key) != b.get(key)]
    if a.get("keys", []) != b.get("keys", []):
        changes.append(Change("keys", a.get("keys", []), b.get("keys", []), Compat.MAJOR))
    if a.get("min_rows", 0) != b.get("min_rows", 0):
        weight = Compat.MAJOR if b.get("min_rows", 0) > a.get("min_rows", 0) else Compat.MINOR
        changes.append(Change("min_rows", a.get("min_rows", 0), b.get("min_rows", 0), weight))
    before, after = a.get("columns", {}), b.get("columns", {})
    for name in [*before, *(name for name in after if name not in before)]:
        changes += _diff_column(f"columns.{name}", before.get(name), after.get(name))
    return changes


def bump(version: str, changes: Iterable[Change]) -> str:
    """Return the version number that the weightiest change asks for.

    Examples
    --------
    >>> bump("1.2.3", [Change("doc", "", "x", Compat.PATCH)])
    '1.2.4'
    """
    major, minor, patch = (int(part) for part in version.split("."))
    weight = max((change.compat for change in changes), default=None)
    if weight is Compat.MAJOR:
        return f"{major + 1}.0.0"
    if weight is Compat.MINOR:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if weight else version


def apply_patches(plain: Plain, patches: Iterable[Patch]) -> Plain:
    """Return a copy with patches applied, in order.

    Raises
    ------
    InvalidSchemaError
        When a patch does not fit.
    """
    patched = deepcopy(plain)
    columns = patched.setdefault("columns", {})
    for patch in patches:
        match patch:
            case {"op": "set", "column": str(column), "field": str(field), "value": value} if column in columns:
                _set(columns[column], field.split("."), value)
                columns[column].pop("inferred", None)
            case {"op": "add_column", "column": str(column), "value": Mapping() as value}:
                columns[column] = deepcopy(dict(value))
            case {"op": "remove_column", "column": str(column)} if column in columns:
                del columns[column]
                patched["keys"] = [key for key in patched.get("keys", []) if key != column]
            case {"op": "set_dataset", "field": str(field), "value": value}:
                _set(patched, field.split("."), value)
            case _:
                raise InvalidSchemaError("This patch does not fit the schema.", patch=dict(patch))
    return patched


def _set(target: Plain, path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    if value is None:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = deepcopy(value)


def _diff_column(path: str, a: Plain | None, b: Plain | None) -> list[Change]:
    if a is None and b is not None:
        optional = b.get("stage") in _OPTIONAL
        return [Change(path, None, b, Compat.MINOR if optional else Compat.MAJOR)]
    if a is None or b is None:
        return [Change(path, a, None, Compat.MAJOR)]
    changes = []
    for key in [*a, *(key for key in b if key not in a)]:
        before, after = (side.get(key, _DEFAULTS.get(key)) for side in (a, b))
        if before != after:
            changes.append(Change(f"{path}.{key}", before, after, _weigh(key, before, after)))
    return changes


def _weigh(key: str, before: Any, after: Any) -> Compat:
    """Return the weight of a changed field: minor where everything accepted before still is."""
    widened: dict[str, Callable[[], bool]] = {
        "type": lambda: after in WIDER.get(before, ()),
        "coerce_from": lambda: set(before or ()) <= set(after or ()),
        "nullable": lambda: bool(after),
        "constant": lambda: bool(after),
        "min_fraction": lambda: after < before,
        "domain": lambda: _domain_widened(before, after),
        "drift": lambda: after is None,
        "stage": lambda: after in _OPTIONAL,
        # A grid or a baseline that goes away takes its check along; any other move changes the judgement.
        "grid": lambda: after is None,
        "reference": lambda: after is None,
    }
    if key == "drift" and before is not None and after is not None:
        return Compat.PATCH
    if key not in widened:
        return Compat.PATCH
    return Compat.MINOR if widened[key]() else Compat.MAJOR


def _domain_widened(before: Plain | None, after: Plain | None) -> bool:
    if before is None or after is None:
        return after is None
    if "values" in before or "values" in after:
        known = set(before.get("values", ())) <= set(after.get("values", ()))
        return "values" in before and known and after.get("min_mass", 1.0) <= before.get("min_mass", 1.0)
    lower = after.get("min") is None or (before.get("min") is not None and after["min"] <= before["min"])
    upper = after.get("max") is None or (before.get("max") is not None and after["max"] >= before["max"])
    return lower and upper and not (after.get("nan") == "deny" and before.get("nan") != "deny")


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"

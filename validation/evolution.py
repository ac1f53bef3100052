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
from foldstore.validation.document import read_duration, read_instant

Plain: TypeAlias = dict[str, Any]
# {"op": "set", "column": str, "field": "domain.min", "value": ...}, and add_column, remove_column, set_dataset.
# With "base", the plain data of the field's first part where the column has none of its own.
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
    op : {"add", "remove", "change"}
    before, after : plain data or None
    compat : Compat
    """

    path: str
    op: str
    before: Any
    after: Any
    compat: Compat

    def __str__(self) -> str:
        return f"{self.compat.name.lower()}: {self.path}: {_brief(self.before)} -> {_brief(self.after)}"

    def to_dict(self) -> Plain:
        """Return plain data."""
        plain = {"path": self.path, "op": self.op, "before": self.before, "after": self.after}
        return plain | {"compat": self.compat.name.lower()}


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
_OPTIONAL: Final = frozenset({"planned", "alpha", "deprecated", "debug", "disabled", "derived"})
# Fields that only tell: whatever they say, the same data is accepted.
_TOLD: Final = frozenset(
    {"name", "doc", "severity", "provenance", "tags", "pii", "derived_from", "inferred", "evidence"}
)
# Fields that name something without which other rules have no meaning.
_ROLES: Final = frozenset({"time_column", "label", "prediction", "weight", "group"})
# What a field that is left out stands for; the rest stands for nothing asked.
_USUAL: Final[Mapping[str, Any]] = {
    "nullable": True, "min_fraction": 0.0, "min_count": 0, "constant": True, "stage": "production", "keys": [],
    "min_rows": 0, "min_mass": 1.0, "min_pass_fraction": 1.0, "max_missing_fraction": 0.0, "nan": "allow",
    "inf": "allow", "integer": False, "categorical": False, "key": False,
}  # fmt: skip
_FLOORS: Final = frozenset(
    ("min", "min_fraction", "min_count", "min_rows", "min_mass", "min_pass_fraction", "min_length", "min_ratio")
)
_CEILINGS: Final = frozenset(
    ("max", "max_rows", "max_length", "max_bytes", "max_ratio", "max_missing_fraction", "max_duplicate_fraction",
     "max_top_share", "max_future", "freshness")
)  # fmt: skip
# Two numbers, the least and the greatest.
_SPANS: Final = frozenset({"rows_vs_previous", "mean", "std", "norm"})
# Lists that accept more the longer they are.
_ACCEPTING: Final = frozenset({"coerce_from", "values", "not_in_environment", "environments"})
# Lists of demands: shorter asks for less.
_ASKING: Final = frozenset({"rules", "refs", "segments", "other_keys"})


def diff_plain(a: Plain, b: Plain) -> list[Change]:
    """Return what changed from one schema to another, as plain data, by path."""
    skipped = {"format", "version", "parent", "columns"}
    changes = _diff_fields("", a, b, [key for key in [*a, *(key for key in b if key not in a)] if key not in skipped])
    before, after = a.get("columns", {}), b.get("columns", {})
    for name in [*before, *(name for name in after if name not in before)]:
        changes += _diff_column(f"columns.{name}", before.get(name), after.get(name))
    return changes


def bump(version: str, changes: Iterable[Change]) -> str:
    """Return the version number that the weightiest change asks for.

    Examples
    --------
    >>> bump("1.2.3", [Change("doc", "change", "", "x", Compat.PATCH)])
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
    removed: set[str] = set()
    for patch in patches:
        match patch:
            case {"op": "set", "column": str(column), "field": str(field), "value": value} if column in columns:
                if "base" in patch:  # what the column has until now by a rule for all
                    columns[column].setdefault(field.partition(".")[0], deepcopy(dict(patch["base"])))
                _set(columns[column], field.split("."), value)
                columns[column].pop("inferred", None)
            case {"op": "add_column", "column": str(column), "value": Mapping() as value}:
                columns[column] = deepcopy(dict(value))
            case {"op": "remove_column", "column": str(column)} if column in columns:
                removed |= remove_column(patched, column)
            case {"op": "remove_column", "column": str(column)} if column in removed:
                pass  # two anomalies of a column may both take it away
            case {"op": "set_dataset", "field": str(field), "value": value}:
                _set(patched, field.split("."), value)
            case _:
                raise InvalidSchemaError("This patch does not fit the schema.", patch=dict(patch))
    return patched


def remove_column(plain: Plain, column: str) -> set[str]:
    """Take a column, what is inside of it, and what names it out of a schema; return the columns that are gone.

    What has no meaning without the column goes as a whole, keys too: those that are left never told rows apart.
    """
    columns = plain["columns"]
    inner = [each for each in columns if each.startswith((f"{column}.", f"{column}[]"))]
    gone = {column, *(inner if "<" in str(columns[column].get("type", "")) else ())}
    for each in gone:
        del columns[each]
    if gone & set(plain.get("keys", ())):
        plain["keys"] = []
    if "column_order" in plain:
        plain["column_order"] = [name for name in plain["column_order"] if name not in gone]
    for field, names in (("other_keys", list), ("refs", _columns_of), ("segments", _columns_of)):
        if field in plain:
            plain[field] = [each for each in plain[field] if not gone & set(names(each))]
    lost = {role for role in _ROLES if plain.get(role) in gone}
    for field in lost | ({"freshness", "time_step"} if "time_column" in lost else set()):
        plain.pop(field, None)
    return gone


def _columns_of(rule: Plain) -> list[str]:
    return [*rule.get("columns", ()), *rule.get("by", ())]


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
        return [Change(path, "add", None, b, Compat.MINOR if optional else Compat.MAJOR)]
    if a is None or b is None:
        return [Change(path, "remove", a, None, Compat.MAJOR)]
    return _diff_fields(f"{path}.", a, b, [*a, *(key for key in b if key not in a)])


def _diff_fields(path: str, a: Plain, b: Plain, keys: Iterable[str]) -> list[Change]:
    changes = []
    for key in keys:
        before, after = (side.get(key, _USUAL.get(key)) for side in (a, b))
        if before != after:
            op = "add" if key not in a else "remove" if key not in b else "change"
            changes.append(Change(f"{path}{key}", op, before, after, _weigh(key, before, after)))
    return changes


def _weigh(key: str, before: Any, after: Any) -> Compat:
    """Return the weight of a changed field: minor where everything accepted before still is."""
    if key in _TOLD or (key in ("drift", "skew") and before is not None and after is not None):
        return Compat.PATCH
    if key == "compatibility":  # a promise about schemas, not about data
        return Compat.PATCH
    return Compat.MINOR if _is_wider(key, before, after) else Compat.MAJOR


def _is_wider(key: str, before: Any, after: Any) -> bool:
    """Whether a field accepts all that it accepted before."""
    if before == after:
        return True
    special: dict[str, Callable[[], bool]] = {
        "type": lambda: after in WIDER.get(before, ()),
        "nullable": lambda: bool(after),
        "constant": lambda: bool(after),
        "stage": lambda: after in _OPTIONAL,
        "nan": lambda: after == "allow",
        "inf": lambda: after == "allow",
        "integer": lambda: not after,
        "categorical": lambda: True,
        "confidence": lambda: after is not None and (before is None or after >= before),
        "key": lambda: not after,
        "in_environment": lambda: bool(after) and (not before or set(after) <= set(before)),
        "domains": lambda: all(
            set(values) <= set((after or {}).get(name, ())) for name, values in (before or {}).items()
        ),
        "column_order": lambda: _is_subsequence(after or [], before or []),
    }
    if key in special:
        return special[key]()
    if key in _ROLES:
        return before is None
    if key in _ACCEPTING:
        return set(before or ()) <= set(after or ())
    if key in _ASKING:
        return _asks_less(before or [], after or [])
    if before is None or after is None:
        return after is None
    return _is_limit_wider(key, before, after)


def _is_limit_wider(key: str, before: Any, after: Any) -> bool:
    if key in _SPANS:
        return _is_span_wider(before, after)
    if key in _FLOORS or key in _CEILINGS:
        if isinstance(before, str) != isinstance(after, str):
            return False
        low, high = (_size(each) for each in ((after, before) if key in _FLOORS else (before, after)))
        return bool(low <= high)
    if key == "quantiles":
        return set(after) <= set(before) and all(_is_span_wider(before[share], after[share]) for share in after)
    if key == "overlap":
        return set(after) <= set(before) and all(after[other] >= before[other] for other in after)
    if isinstance(before, dict) and isinstance(after, dict) and key not in ("grid", "reference"):
        return _is_same_kind(before, after) and _all_wider(before, after)
    return False


def _all_wider(before: Plain, after: Plain) -> bool:
    keys = {*before, *after}
    return all(_is_wider(key, before.get(key, _USUAL.get(key)), after.get(key, _USUAL.get(key))) for key in keys)


def _is_same_kind(before: Plain, after: Plain) -> bool:
    """Whether two domains say the same kind of thing: a list of values is no wider than a range."""
    return all(
        (mark not in before and mark not in after) or (mark in before and mark in after) for mark in ("values", "ref")
    )


def _is_span_wider(before: list[Any], after: list[Any]) -> bool:
    lower = after[0] is None or (before[0] is not None and after[0] <= before[0])
    upper = after[1] is None or (before[1] is not None and after[1] >= before[1])
    return lower and upper


def _asks_less(before: list[Any], after: list[Any]) -> bool:
    """Whether each demand that is left was one before, or is a relaxed form of one."""
    return all(any(demand == old or _is_relaxed(old, demand) for old in before) for demand in after)


def _is_relaxed(old: Any, new: Any) -> bool:
    told = {"name", "severity"}
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    fixed = {"expr", "each", "columns", "dataset", "to", "by", "where"}
    return all(old.get(key) == new.get(key) for key in fixed) and _all_wider(
        {key: value for key, value in old.items() if key not in told | fixed},
        {key: value for key, value in new.items() if key not in told | fixed},
    )


def _are_domains_wider(before: Plain, after: Plain) -> bool:
    return all(set(values) <= set(after[name]) for name, values in before.items() if name in after)


def _is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(name in rest for name in part)


def _size(value: Any) -> Any:
    """Return a limit as something that can be compared: lengths of time and instants in seconds."""
    if not isinstance(value, str):
        return value
    try:
        return read_duration(value, "limit").total_seconds()
    except InvalidSchemaError:
        return read_instant(value).timestamp()


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"

"""A column that is gone and a new one that looks the same: most likely it was renamed."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import log, sqrt
from typing import Any, Final

import numpy as np

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.validation.column_schema import ColumnSchema, plain_type
from foldstore.validation.dataset_rules import ForeignKey, Segment
from foldstore.validation.drift.measures import divergence
from foldstore.validation.evolution import Patch
from foldstore.validation.finding import Finding
from foldstore.validation.schema import DataSchema

# Jensen-Shannon distance (base 2, debiased) up to which two distributions are the same; the usual limit of drift.
_SAME: Final = 0.10
# How alike names have to be (Ratcliff and Obershelp): with a distribution to compare, and without.
_ALIKE: Final = 0.5
_VERY_ALIKE: Final = 0.8
_MOST_PAIRS: Final = 10_000
_ROLES: Final = ("time_column", "label", "prediction", "weight", "group")


@dataclass(frozen=True, slots=True)
class Rename:
    """A pair of names that are most likely one column's.

    Attributes
    ----------
    old, new : str
    likeness : float
        Of the names, 0 to 1.
    distance : float or None
        Of the distributions; None where they cannot be compared.
    """

    old: str
    new: str
    likeness: float
    distance: float | None


def find_renames(profile: Profile, schema: DataSchema, known: DataSchema) -> dict[str, Rename]:
    """Return the likely renames by new name, each column in one at most.

    Parameters
    ----------
    schema : DataSchema
        What is asked for here; columns that it lacks are missing nowhere.
    known : DataSchema
        All that is known; only other columns are new.
    """
    missing = [name for name in schema.columns if name not in profile.columns]
    new = [name for name in profile.columns if name not in known.columns]
    if not missing or len(missing) * len(new) > _MOST_PAIRS:
        return {}
    pairs = [
        pair
        for old in missing
        for name in new
        if (pair := _compare(old, schema.columns[old], name, profile.columns[name])) is not None
    ]
    found: dict[str, Rename] = {}
    for pair in sorted(pairs, key=lambda each: (-each.likeness, each.distance or 0, each.old, each.new)):
        if pair.new not in found and pair.old not in {each.old for each in found.values()}:
            found[pair.new] = pair
    return found


def report_renames(renames: dict[str, Rename], schema: DataSchema) -> Iterator[Finding]:
    """Yield a finding for each; accepting it renames the column in the schema."""
    for each in renames.values():
        alike = "names" if each.distance is None else f"distance {each.distance:.3f}"
        yield Finding(
            code="column_renamed_suspect",
            column=each.old,
            facts={"old": each.old, "new": each.new, "alike": alike},
            observed=each.new,
            expected=each.old,
            evidence={"distance": each.distance, "likeness": round(each.likeness, 3)},
            fix=_rename(each, schema),
        )


def _rename(each: Rename, schema: DataSchema) -> tuple[Patch, ...]:
    def renamed(name: str) -> str:
        return each.new if name == each.old else name

    patches: list[dict[str, Any]] = [
        {"op": "add_column", "column": each.new, "value": schema.columns[each.old].to_dict()}
    ]
    for field in ("keys", "column_order"):
        names = getattr(schema, field)
        if each.old in names:
            patches.append({"op": "set_dataset", "field": field, "value": [renamed(name) for name in names]})
    for field, plain in (("other_keys", list), ("refs", _plain), ("segments", _plain)):
        rules = [plain(rule) for rule in getattr(schema, field)]
        moved = [_rename_in(rule, renamed) for rule in rules]
        if moved != rules:
            patches.append({"op": "set_dataset", "field": field, "value": moved})
    patches += [
        {"op": "set_dataset", "field": role, "value": each.new} for role in _ROLES if getattr(schema, role) == each.old
    ]
    return (*patches, {"op": "remove_column", "column": each.old})


def _plain(rule: ForeignKey | Segment) -> dict[str, Any]:
    return rule.to_dict()


def _rename_in(rule: Any, renamed: Callable[[str], str]) -> Any:
    """Return a list of names, or a rule, with another name for a column of these rows."""
    if isinstance(rule, list):
        return [renamed(name) for name in rule]
    moved = {key: [renamed(name) for name in rule[key]] for key in ("columns", "by") if key in rule}
    # Another dataset did not rename its own.
    to = (
        {"to": rule["columns"]}
        if "columns" in moved and not rule.get("to") and moved["columns"] != rule["columns"]
        else {}
    )
    return {**rule, **moved, **to}


def _compare(old: str, column: ColumnSchema, new: str, found: ColumnProfile) -> Rename | None:
    if plain_type(column.type) != plain_type(found.type):
        return None
    likeness = SequenceMatcher(None, _letters(old), _letters(new)).ratio()
    if likeness < _ALIKE:
        return None
    distance = _distance(column, found)
    fits = likeness >= _VERY_ALIKE if distance is None else distance < _SAME
    return Rename(old, new, likeness, distance) if fits else None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()[:200]


def _distance(column: ColumnSchema, found: ColumnProfile) -> float | None:
    """Return the distance of a new column's values from the reference, debiased by its mean under chance."""
    if column.grid is None or column.reference is None:
        return None
    counts = counts_from_column(found, column.grid)
    n, m = column.reference.total, 0 if counts is None else counts.total
    if counts is None or not n or not m:
        return None
    nats = float(divergence(np.array(column.reference.cells), np.array(counts.cells)))
    noise = (column.grid.cells - 1) * (1 / n + 1 / m) / 8
    return sqrt(max(0.0, nats - noise) / log(2))

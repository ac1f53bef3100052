"""The values that an inferred schema allows: what is provable, what repeats, what has a form; each with its reason."""

import re
from math import sqrt
from typing import Any, Final, Literal

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.column_domains import SEMANTICS, CategoryDomain, Domain, NumericDomain, TextDomain
from foldstore.validation.inferred_bounds import CONFIDENCE, infer_lengths
from foldstore.validation.inferred_grid import category, is_calendar, is_identifier
from foldstore.validation.intervals import wilson

ROWS_FOR_RANGES: Final = 1_000
_DOMAIN_VALUES: Final = 100
_DOMAIN_SHARE: Final = 0.1
_TOP_MASS: Final = 0.99
_ROWS_FOR_TOP: Final = 1_000
_ROWS_FOR_CLASS: Final = 100
_CLASS_SHARE: Final = 0.999
_LONGEST_KEY: Final = 64
_LATITUDE: Final = frozenset({"lat", "latitude"})
_LONGITUDE: Final = frozenset({"lon", "lng", "longitude"})
# The last word of a name that says that whole numbers are names.
_CATEGORIES: Final = frozenset(
    ("category", "class", "code", "flag", "gender", "group", "id", "kind", "label", "level", "sex", "status", "type")
)
_SURE: Final = "few rows may hold more by chance"
_WHOLE: Final = (Kind.INTEGER, Kind.UNSIGNED)

Reasoned = tuple[Domain, dict[str, str]]


def infer_domain(
    name: str, column: ColumnProfile, *, is_key: bool = False, is_categorical: bool = False
) -> Reasoned | None:
    """Return the values that a column may hold, and why, by the part of the domain; None where nothing is known."""
    if column.kind is Kind.TEXT:
        # Days of a batch are no list of what may come.
        return _formed(column) if is_calendar(name, column) else _listed(column) or _formed(column)
    if is_categorical:
        return _listed(column) or _as_names(column)
    ranged = column.kind in (*_WHOLE, Kind.FLOAT, Kind.DECIMAL)
    if not ranged or column.present < ROWS_FOR_RANGES or (is_key and is_identifier(column)):
        return None
    return _ranged(name, column)


def reads_as_names(name: str, column: ColumnProfile) -> bool:
    """Whether few whole numbers are names by the name of their column: ``status``, ``zone_code``, ``GroupId``."""
    few = column.distinct is not None and column.distinct <= min(_DOMAIN_VALUES, _DOMAIN_SHARE * column.present)
    if column.kind not in _WHOLE or not few or is_calendar(name, column):
        return False
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return re.split(r"[^a-z]+", words.rstrip("0123456789_"))[-1] in _CATEGORIES


def tells_rows_apart(name: str, column: ColumnProfile) -> bool | None:
    """Whether no value occurs twice; None where that is so by estimate, and rows have to be looked at.

    Of whole numbers and short texts, a thousand at least and none missing: measures differ by chance.
    """
    n = column.rows
    if n < ROWS_FOR_RANGES or column.present < n or column.distinct is None or is_calendar(name, column):
        return False
    if column.kind in (Kind.TEXT, Kind.BINARY):
        lengths = column.lengths
        if lengths is None or int(lengths.last_values()[-1]) > _LONGEST_KEY:
            return False
        if column.text_classes.get("free_text", 0) > n / 2:
            return False
    elif column.kind not in _WHOLE:
        return False
    if column.distinct_exact:
        return column.distinct == n
    # Three standard errors of the estimate; see `foldstore.datastore.statistics.distinct`.
    return None if abs(column.distinct / n - 1) <= 3 / sqrt(4_094) else False


def _listed(column: ColumnProfile) -> Reasoned | None:
    """Take the values for a domain when they are few and repeat, or a hundred of them are nearly all.

    Other values may take the mass that Good and Turing (1953) give to the unseen, f1/n, and three of its standard
    errors, with f1 the number of values seen once; and Wilson's limit of those that were seen and are not listed.
    """
    values, n = column.values, column.present
    if values is None or not values.exact or not len(values):
        return None
    top = column.top(_DOMAIN_VALUES)
    listed = sum(count for _, count in top)
    few = len(values) <= _DOMAIN_VALUES and len(values) <= _DOMAIN_SHARE * n
    if not few and not (n >= _ROWS_FOR_TOP and len(values) > _DOMAIN_VALUES and listed >= _TOP_MASS * n):
        return None
    once = int((values.counts == 1).sum())
    unseen = (once + 3 * sqrt(max(once, 1))) / n
    rest = 0.0 if few else wilson(n - listed, n, 3.0)[1]
    listing = tuple(sorted(category(value) for value, _ in top))
    domain = CategoryDomain(values=listing, min_mass=floor_share(unseen + rest), confidence=CONFIDENCE)
    said = (
        ("one value" if len(values) == 1 else f"{len(values)} different values")
        if few
        else f"100 of {len(values):,} values hold {listed / n:.4%}"
    )
    why = {
        "domain.values": f"{said} of {n:,}",
        "domain.min_mass": f"{once} values occur once: by Good and Turing {once}/{n:,} and three standard errors"
        + ("" if few else f"; and {n - listed:,} that are not listed"),
        "domain.confidence": _SURE,
    }
    return domain, why


def _as_names(column: ColumnProfile) -> Reasoned:
    return NumericDomain(categorical=True), {"domain.categorical": f"{column.distinct:,} different values, named so"}


def _formed(column: ColumnProfile) -> Reasoned | None:
    """Return the class that nearly all texts belong to, and how long texts are."""
    fields: dict[str, Any] = {}
    why: dict[str, str] = {}
    n = column.present
    name, count = _most_of(column)
    if name is not None and n >= _ROWS_FOR_CLASS and count >= _CLASS_SHARE * n:
        min_mass = floor_share(wilson(n - count, n, 3.0)[1])
        fields |= {"semantic": name, "min_mass": min_mass, "confidence": CONFIDENCE}
        why["domain.confidence"] = _SURE
        why["domain.semantic"] = f"{count:,} of {n:,} texts read as {name}"
        why["domain.min_mass"] = f"{n - count:,} do not: Wilson's upper limit of their share, z = 3"
    if (found := infer_lengths(column)) is not None:
        limits, reason = found
        fields |= limits
        why |= {f"domain.{each}": reason for each in limits}
    return (TextDomain(**fields), why) if fields else None


def _most_of(column: ColumnProfile) -> tuple[str | None, int]:
    """Return the class of `SEMANTICS` that most texts belong to; days and JSON are told by their own grammar."""
    classes = {name: count for name, count in column.text_classes.items() if name in SEMANTICS and name != "date"}
    if (days := _days(column)) is not None:
        classes["date"] = days
    if not classes:
        return None, 0
    return max(classes.items(), key=lambda each: each[1])


def _days(column: ColumnProfile) -> int | None:
    """Count the texts that are ISO days; None where not all texts are known."""
    if column.values is None or not column.values.exact or not column.text_classes.get("date"):
        return None
    form = re.compile(SEMANTICS["date"])
    return sum(count for value, count in column.top(len(column.values)) if form.fullmatch(str(value)))


def _ranged(name: str, column: ColumnProfile) -> Reasoned | None:
    low, high = float(column.low or 0), float(column.high or 0)
    is_float = column.kind is Kind.FLOAT
    infinite = column.pos_inf + column.neg_inf
    nan: Literal["allow", "deny"] = "deny" if is_float and not column.nan else "allow"
    inf: Literal["allow", "deny"] = "deny" if is_float and not infinite else "allow"
    seen = f"{column.present:,} numbers lie between {low:g} and {high:g}"
    limits: dict[str, Any] = {}
    if name.lower() in _LATITUDE and low >= -90 and high <= 90:
        limits, seen = {"min": -90, "max": 90}, f"a latitude by its name; {seen}"
    elif name.lower() in _LONGITUDE and low >= -180 and high <= 180:
        limits, seen = {"min": -180, "max": 180}, f"a longitude by its name; {seen}"
    elif low >= 0 and high <= 1 and _presses(column):
        limits, seen = {"min": 0, "max": 1}, f"a fraction: {seen}"
    elif low >= 0:
        limits, seen = {"min": 0}, f"none below 0: {seen}"
    why = {f"domain.{each}": seen for each in limits}
    flagged = reads_as_names(name, column)
    if flagged:
        limits["categorical"] = True
        why["domain.categorical"] = f"{column.distinct} whole numbers, which the column's name says are names"
    if nan == "deny":
        why["domain.nan"] = f"none of {column.rows - column.nulls:,} values is NaN"
    if inf == "deny":
        why["domain.inf"] = f"none of {column.present:,} numbers is infinite"
    return (NumericDomain(**limits, nan=nan, inf=inf), why) if why else None


def _presses(column: ColumnProfile) -> bool:
    """Whether floats lie so close to 1 that they would pass it if they could: rain in inches is below 1 by chance."""
    top, quartiles = column.quantile(0.999), (column.quantile(0.25), column.quantile(0.75))
    if column.kind is not Kind.FLOAT or top is None or quartiles[0] is None or quartiles[1] is None:
        return False
    return top + 3 * (quartiles[1] - quartiles[0]) >= 1


def floor_share(rest: float) -> float:
    """Return what is left of 1, at six digits, never below 0."""
    return max(0.0, round(1 - rest, 6))

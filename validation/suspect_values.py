"""Values that are more likely mistakes than values: marks of what is missing, and misspelt members of a domain.

All is read from the profile; the rows are looked at again only for what was found.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.datastore.statistics.reading import Kind
from foldstore.datastore.statistics.short_texts import has_text
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.evolution import Patch
from foldstore.validation.failing_rows import Question, among, equal_to
from foldstore.validation.finding import Finding

# What pandas reads as missing (its documented `na_values`), and the marks of other programs: R and UCI files,
# SAS, MySQL. Case matters: "none" is a common category, "None" is what Python prints.
_MARKS: Final = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null", "?", "-", "--", ".", "\\N",
)  # fmt: skip
_NINES: Final = tuple(10**digits - 1 for digits in range(3, 10))
_NUMBERS: Final = frozenset({-99, *_NINES, *(-each for each in _NINES), -(2**31), 2**31 - 1, -(2**63), 2**63 - 1})
_DAYS: Final = frozenset({"0001-01-01", "1900-01-01", "1970-01-01", "9999-12-31"})
# Fewer, or a smaller share, may be chance: a person can be called Null.
_LEAST_COUNT: Final = 3
_LEAST_SHARE: Final = 0.001
# So many unknown values are held against a domain, of at most so many values and so long.
_MOST_NEW: Final = 100
_MOST_KNOWN: Final = 2_000
_LONGEST: Final = 64
# Codes such as EWR and EWN, or 737-3A4 and 737-3H4, differ by one letter as a rule; words do not.
_SHORTEST_WORD: Final = 5


def check_missing_marks(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    """Find values that stand for no value: marks among texts, lonely extremes among numbers and times."""
    if column.values is None or not column.present:
        return
    if column.kind is Kind.TEXT:
        yield from _text_marks(name, schema, column)
    elif _has_marks(column):
        for raw, shown in _lonely_extremes(column):
            if not _is_meant(raw, schema):
                yield _marked(name, column, (str(shown),), Question(name, equal_to(raw)))


def has_usual_extreme(column: ColumnProfile) -> bool:
    """Whether the least or the greatest value is one that often stands for no value; else no such mark is found."""
    return _has_marks(column) and any(
        raw is not None and _is_usual(column.kind, raw, shown) for raw, shown in _extremes(column)
    )


def has_mark(texts: pa.Array, widths: NDArray[Any] | None = None) -> bool:
    """Whether some text is a mark of what is missing; `widths` says how many bytes each has, where that is known."""
    return has_text(texts, _MARKS, widths)


def _has_marks(column: ColumnProfile) -> bool:
    """Whether values of the type can be stand-ins: numbers, and times that have a day."""
    return column.kind in (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT) or column.type.startswith(("timestamp", "date"))


def _extremes(column: ColumnProfile) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (column.low, column.minimum), (column.high, column.maximum)


def _is_usual(kind: Kind, raw: Any, shown: Any) -> bool:
    return _is_odd_day(str(json_value(shown))) if kind is Kind.TEMPORAL else raw in _NUMBERS


def _text_marks(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    assert column.values is not None  # noqa: S101  # the caller looked
    held = pa.array(column.values.values, pa.large_string())
    places = pc.indices_nonzero(pc.is_in(held, value_set=pa.array(_MARKS, pa.large_string()))).to_pylist()
    if not places:
        return
    found = {held[place].as_py(): int(column.values.counts[place]) for place in places}
    meant = schema.domain.values if isinstance(schema.domain, CategoryDomain) and not schema.inferred else ()
    marks = tuple(mark for mark, count in found.items() if mark not in meant and _is_much(count, column))
    if marks:
        yield _marked(name, column, tuple(map(repr, marks)), Question(name, among(marks)))


def _marked(name: str, column: ColumnProfile, marks: tuple[str, ...], question: Question) -> Finding:
    """Report marks; to accept them is to say that they are values."""
    fix: Patch = {"op": "set", "column": name, "field": "severity.null_encoded_as_value", "value": "off"}
    return Finding(
        code="null_encoded_as_value",
        column=name,
        facts={"marks": ", ".join(marks)},
        question=question,
        observed=list(marks),
        of=column.rows,
        fix=(fix,),
    )


def _is_much(count: int, column: ColumnProfile) -> bool:
    return count >= _LEAST_COUNT and count >= _LEAST_SHARE * column.present


def _is_meant(value: Any, schema: ColumnSchema) -> bool:
    """Whether a person has named the value in the domain."""
    if schema.inferred:
        return False
    if isinstance(schema.domain, CategoryDomain):
        return value in schema.domain.values
    return isinstance(schema.domain, NumericDomain) and value in (schema.domain.min, schema.domain.max)


def _lonely_extremes(column: ColumnProfile) -> Iterator[tuple[int | float, Any]]:
    """Yield usual stand-ins, raw and for people, that are the least or the greatest value and far from all others.

    Far is as far as the others lie from each other, or alone below zero.
    """
    ends, counts = column.mass()
    if len(ends) < 2:
        return
    for place, (raw, shown) in zip((0, -1), _extremes(column), strict=True):
        is_usual = isinstance(raw, int | float) and _is_usual(column.kind, raw, shown)
        if not is_usual or not _is_much(int(counts[place]), column):
            continue
        others = (ends[1:] if place == 0 else ends[:-1]).tolist()
        near, span = others[0 if place == 0 else -1], others[-1] - others[0]
        is_alone_below = column.kind is not Kind.TEMPORAL and raw < 0 <= others[0] and place == 0
        if is_alone_below or abs(near - raw) >= max(span, 1):
            yield raw, json_value(shown)


def _is_odd_day(text: str) -> bool:
    """Whether a time is a usual stand-in, or in a year of more than four digits or before the first."""
    return text[:10] in _DAYS or re.match(r"\d{4}-", text) is None


def check_near_misses(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    """Find unknown texts that differ from a member of the domain by case, spaces, Unicode form or one letter."""
    domain = schema.domain
    if not isinstance(domain, CategoryDomain) or column.kind is not Kind.TEXT or column.values is None:
        return
    held, known = pa.array(column.values.values, pa.large_string()), frozenset(map(str, domain.values))
    if pc.all(pc.is_in(held, value_set=pa.array(domain.values, pa.large_string()))).as_py() is not False:
        return
    new = [(str(v), n) for v, n in column.top(len(known) + _MOST_NEW) if v not in known and len(str(v)) <= _LONGEST]
    forms = {_form(each): each for each in sorted(known, reverse=True)} if new else {}
    words = [each for each in sorted(known) if _is_word(each)] if len(known) <= _MOST_KNOWN else []
    meant = {value: found for value, _ in new if (found := _find_near(value, forms, words)) is not None}
    if not meant:
        return
    pairs = [f"{value!r} -> {found!r}" for value, found in meant.items()]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    yield Finding(
        code="domain_near_miss",
        column=name,
        facts={"pairs": ", ".join(pairs[:5]) + more},
        question=Question(name, among(tuple(meant))),
        observed=sorted(meant),
        expected=sorted(set(meant.values())),
        of=column.present,
        evidence={"replace": dict(meant)},
    )


def _form(text: str) -> str:
    """Return what is left of a text when its case, spaces and Unicode form do not matter."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().casefold()


def _find_near(value: str, forms: Mapping[str, str], words: list[str]) -> str | None:
    found = forms.get(_form(value))
    if found is not None or not _is_word(value):
        return found
    return next((word for word in words if abs(len(word) - len(value)) <= 1 and _is_one_letter_off(value, word)), None)


def _is_word(text: str) -> bool:
    return len(text) >= _SHORTEST_WORD and not any(sign.isdigit() for sign in text)


def _is_one_letter_off(a: str, b: str) -> bool:
    """Whether one letter was changed, added, left out, or two neighbours swapped; other signs tell codes apart."""
    start = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    if len(a) == len(b):
        changed = rest_a[1:] == rest_b[1:] and rest_a[:1].isalpha() and rest_b[:1].isalpha()
        swapped = rest_a[:2].isalpha() and rest_a[:2] == rest_b[:2][::-1] and rest_a[2:] == rest_b[2:]
        return changed or swapped
    longer, shorter = (rest_a, rest_b) if len(a) > len(b) else (rest_b, rest_a)
    return longer[1:] == shorter and longer[:1].isalpha()

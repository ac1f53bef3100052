"""Suggestions: what the rows themselves say is probably wrong, each with its evidence and how sure it is.

Looked at are the counted values of each column (near misses, spaces, mojibake, sentinels, odd forms, texts that are
numbers), functional dependencies that nearly hold, and repeated rows. Memory holds at most 100,000 values of a column
and 200,000 rows to look for dependencies in; what is found there is measured on all rows.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.exact_cast import is_text
from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.hashing import Hashes, hash_rows
from foldstore.errors import column_not_found
from foldstore.validation.anomaly import percent
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.cell_repair import convert_texts
from foldstore.validation.cleaning.coding import code_column, group_codes
from foldstore.validation.cleaning.dependency import (
    Dependency,
    find_dependencies,
    measure_dependency,
    parse_dependency,
    propose,
    usual_values,
)
from foldstore.validation.cleaning.mojibake import fix_mojibake
from foldstore.validation.cleaning.near_miss import NearMiss, find_near_misses
from foldstore.validation.cleaning.pattern import find_odd_forms
from foldstore.validation.cleaning.sentinel import find_sentinels
from foldstore.validation.cleaning.working import Read, RowIds

MOST_VALUES: Final = 100_000
SAMPLE_ROWS: Final = 200_000
_BLOCKS: Final = 200
_EXAMPLES: Final = 5
_MOST_VOTERS: Final = 8
_SURE: Final = 0.9
# When a dependency is left out beside a better one.
_AS_MANY: Final = 0.9
_MUCH_WORSE: Final = 3
_A_LITTLE: Final = 0.005
_MOST_REPEATED: Final = 20_000_000


@dataclass(slots=True, eq=False)
class ValueTally:
    """The counted values of one column.

    Attributes
    ----------
    counts : dict
    whole : bool
        Whether all values are there: not when there are too many.
    """

    counts: dict[Any, int] = field(default_factory=lambda: defaultdict(int))
    whole: bool = True
    _known: pa.Array | None = field(default=None, repr=False)

    def add(self, column: pa.Array) -> None:
        """Count more values; null and what a full tally does not know are left out."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            self.whole = False
            return
        found = pc.value_counts(pc.drop_null(column))
        if len(found) > MOST_VALUES * 2:
            self.whole = False
            return
        if len(self.counts) >= MOST_VALUES and is_text(column.type):
            found = self._only_known(found)
        try:
            values = found.field("values").to_pylist()
        except (OverflowError, ValueError):  # times that Python cannot hold
            self.whole = False
            return
        for value, count in zip(values, found.field("counts").to_pylist(), strict=True):
            if value in self.counts or len(self.counts) < MOST_VALUES:
                self.counts[value] += count
            else:
                self.whole = False

    def _only_known(self, found: pa.StructArray) -> pa.StructArray:
        """Leave out the texts that a full tally does not know, without a look at each."""
        values = found.field("values")
        if self._known is None:
            self._known = pa.array(list(self.counts), values.type)
        is_known = pc.is_in(values, value_set=self._known)
        if is_known.true_count < len(found):
            self.whole = False
        return found.filter(is_known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """What suggestions are made of.

    Attributes
    ----------
    read : Read
        Begins a pass over the rows.
    schema : pyarrow.Schema
    rows : int
        About how many there are.
    fixed : collection of str
        Columns that are not changed: the key, and those that are derived.
    keyed : bool
        Whether the dataset has a key.
    train : array of uint64 or None
        The ids of the rows to look at; all when None.
    """

    read: Read
    schema: pa.Schema
    rows: int
    fixed: Collection[str]
    keyed: bool
    train: RowIds | None = None

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows that may be looked at."""
        for chunk in self.read(columns):
            kept = chunk.free if self.train is None else chunk.free & np.isin(chunk.ids, self.train)
            yield chunk.batch if kept.all() else chunk.batch.filter(pa.array(kept))


def suggest(
    looked: Looked, *, columns: Sequence[str] | None = None, dependencies: Sequence[str] = ()
) -> tuple[CleaningAction, ...]:
    """Suggest actions, in an order in which they can be done.

    Parameters
    ----------
    looked : Looked
    columns : sequence of str, optional
        Only what concerns these; all unless given.
    dependencies : sequence of str
        Dependencies that are known, such as ``"zip -> city"``; others are looked for when there is none.
    """
    chosen = [name for name in looked.schema.names if columns is None or name in columns]
    tallies = count_values(looked, [name for name in chosen if name not in looked.fixed])
    cells = [action for name, tally in tallies.items() for action in _of_column(name, looked.schema, tally)]
    order = ("fix_mojibake", "normalise", "set_null", "replace")
    cells.sort(key=lambda each: (order.index(each.op) if each.op in order else len(order), -each.confidence))
    first = [each for each in cells if each.op != "cast" and each.code != "form_odd"]
    last = [each for each in cells if each.op == "cast" or each.code == "form_odd"]
    return (*first, *suggest_dependencies(looked, chosen, dependencies), *last, *_repeated(looked, chosen))


def count_values(looked: Looked, columns: Sequence[str]) -> dict[str, ValueTally]:
    """Count the values of columns in one pass."""
    tallies = {name: ValueTally() for name in columns}
    if columns:
        for batch in looked.batches(columns):
            for name, column in zip(columns, batch.columns, strict=True):
                tallies[name].add(column)
    return tallies


def _of_column(name: str, schema: pa.Schema, tally: ValueTally) -> Iterator[CleaningAction]:
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not tally.counts:
        return
    sentinels = find_sentinels(tally.counts) if not pa.types.is_boolean(kind) else ()
    for sure in (True, False):
        values = [each for each in sentinels if (each.confidence >= _SURE) == sure]
        if values:
            yield CleaningAction(
                op="set_null",
                column=name,
                params={"values": [json_value(each.value) for each in values]},
                code="null_encoded_as_value",
                reason=f"stands for nothing in {sum(each.count for each in values):,} rows",
                confidence=min(each.confidence for each in values),
                evidence={"values": [[json_value(e.value), e.count, e.spike] for e in values[:_EXAMPLES]]},
            )
    if is_text(kind):
        yield from _of_text(name, tally, {each.value for each in sentinels})


def _of_text(name: str, tally: ValueTally, sentinels: Collection[str]) -> Iterator[CleaningAction]:
    counts = {text: count for text, count in tally.counts.items() if text not in sentinels}
    broken = {text: fix_mojibake(text) for text in counts}
    yield from _rewriting(
        name, counts, broken, op="fix_mojibake", code="mojibake", reason="UTF-8 that was read as another encoding",
        confidence=0.97,
    )  # fmt: skip
    merged = _merge(counts, broken)
    trimmed = {text: _trimmed(text) for text in merged}
    yield from _rewriting(
        name, merged, trimmed, op="normalise", code="whitespace", reason="spaces around, or another Unicode form",
        confidence=0.95,
    )  # fmt: skip
    merged = _merge(merged, trimmed)
    if tally.whole:
        misses = find_near_misses(merged)
        yield from _near_misses(name, misses)
        odd = find_odd_forms(_merge(merged, {each.value: each.meant for each in misses}))
        if odd:
            yield CleaningAction(
                op="set_null",
                column=name,
                params={"values": [each.value for each in odd]},
                code="form_odd",
                reason=f"{sum(each.count for each in odd):,} rows are not of the usual forms {', '.join(odd[0].usual)}",
                confidence=0.4,
                evidence={"values": [[each.value, each.count] for each in odd[:_EXAMPLES]]},
            )
        yield from _numbers(name, merged)


def _rewriting(
    name: str, counts: Mapping[str, int], made: Mapping[str, str], *, op: str, code: str, reason: str, confidence: float
) -> Iterator[CleaningAction]:
    changed = [text for text, after in made.items() if after != text]
    if changed:
        rows = sum(counts[text] for text in changed)
        changed.sort(key=lambda text: (-counts[text], text))
        examples = [[text, made[text], counts[text]] for text in changed[:_EXAMPLES]]
        yield CleaningAction(
            op=op, column=name, code=code, reason=f"{reason} in {rows:,} rows", confidence=confidence,
            evidence={"rows": rows, "examples": examples},
        )  # fmt: skip


def _trimmed(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _merge(counts: Mapping[str, int], made: Mapping[str, str]) -> dict[str, int]:
    merged: dict[str, int] = defaultdict(int)
    for text, count in counts.items():
        merged[made.get(text, text)] += count
    return dict(merged)


def _near_misses(name: str, misses: Sequence[NearMiss]) -> Iterator[CleaningAction]:
    meant = {each.value: each.meant for each in misses}
    for sure in (True, False):
        some = [each for each in misses if (each.confidence >= _SURE) == sure]
        if not some:
            continue
        rows = sum(each.count for each in some)
        yield CleaningAction(
            op="replace",
            column=name,
            params={"mapping": [[each.value, _last(each.meant, meant)] for each in some]},
            code="domain_near_miss",
            reason=f"{rows:,} rows hold near misses of frequent values",
            confidence=round(float(np.average([e.confidence for e in some], weights=[e.count for e in some])), 4),
            evidence={"rows": rows, "values": [each.to_dict() for each in some[:_EXAMPLES]]},
        )


def _last(text: str, meant: Mapping[str, str]) -> str:
    """Follow a near miss of a near miss to the end; each step is to a more frequent value."""
    while text in meant:
        text = meant[text]
    return text


def _numbers(name: str, counts: Mapping[str, int]) -> Iterator[CleaningAction]:
    texts = [text.strip() for text in counts]
    if not texts or any(not any(c.isdigit() for c in text) or _is_code(text) for text in texts):
        return
    column = pa.array(texts, pa.string())
    for kind, said in ((pa.int64(), "int64"), (pa.float64(), "double")):
        if not convert_texts(column, kind).null_count:
            yield CleaningAction(
                op="cast", column=name, params={"type": said}, code="type_coercible",
                reason=f"every text is a number ({len(texts):,} values)", confidence=0.5,
            )  # fmt: skip
            return


def _is_code(text: str) -> bool:
    """Say whether digits would be lost in a number: a leading zero, or more digits than one holds."""
    digits = text.lstrip("+-")
    return len(digits) > 15 or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit())


def suggest_dependencies(looked: Looked, columns: Sequence[str], known: Sequence[str]) -> Iterator[CleaningAction]:
    """Suggest repairs by functional dependencies, those that are known or those that nearly hold."""
    found = _known(looked, known) if known else _found(looked, columns)
    by_dependent: dict[str, list[Dependency]] = {}
    for each in found:
        if each.dependent not in looked.fixed and each.dependent in columns:
            by_dependent.setdefault(each.dependent, []).append(each)
    for dependent, those in by_dependent.items():
        action = _repair(looked, dependent, _voters(those), known=bool(known))
        if action is not None:
            yield action


def _voters(those: Sequence[Dependency]) -> list[Dependency]:
    """Leave out what holds less than another that covers as many rows: what holds exactly leaves nothing to vote on."""
    kept = [
        each
        for each in those
        if not any(
            len(other.determinants) <= len(each.determinants)
            and other.rows >= _AS_MANY * each.rows
            and each.error > _MUCH_WORSE * other.error + _A_LITTLE
            for other in those
        )
    ]
    return kept[:_MOST_VOTERS]


def _known(looked: Looked, texts: Sequence[str]) -> list[Dependency]:
    parsed = [parse_dependency(text) for text in texts]
    for name in (name for left, right in parsed for name in (*left, right)):
        if name not in looked.schema.names:
            raise column_not_found(name, looked.schema.names, where="the rows")
    return [measure_dependency(_table(looked, [*left, right]), left, right) for left, right in parsed]


def _found(looked: Looked, columns: Sequence[str]) -> list[Dependency]:
    names = [name for name in columns if _can_be_told_apart(looked.schema.field(name).type)]
    if len(names) < 2:
        return []
    whole = looked.rows <= SAMPLE_ROWS
    table = _table(looked, names) if whole else _sample(looked, names)
    found = find_dependencies(table)
    if whole:
        return list(found)
    exact = [
        measure_dependency(_table(looked, [*e.determinants, e.dependent]), e.determinants, e.dependent) for e in found
    ]
    return [after for before, after in zip(found, exact, strict=True) if after.error <= 2 * max(before.error, 0.01)]


def _can_be_told_apart(kind: pa.DataType) -> bool:
    t = pa.types
    return not (t.is_nested(kind) or t.is_floating(kind) or t.is_binary(kind) or t.is_null(kind))


def _table(looked: Looked, names: Sequence[str]) -> pa.Table:
    wanted = list(dict.fromkeys(names))
    schema = pa.schema([looked.schema.field(name) for name in wanted])
    return pa.Table.from_batches(looked.batches(wanted), schema)


def _sample(looked: Looked, names: Sequence[str]) -> pa.Table:
    """Take evenly spaced blocks of rows: rows of one group often lie together."""
    schema = pa.schema([looked.schema.field(name) for name in names])
    size, step = SAMPLE_ROWS // _BLOCKS, max(1, looked.rows // _BLOCKS)
    taken, start = [], 0
    for batch in looked.batches(names):
        first = -(-start // step)
        for block in range(first - 1, (start + batch.num_rows) // step + 1):
            low, high = max(block * step - start, 0), min(block * step + size - start, batch.num_rows)
            if low < high:
                taken.append(batch.slice(low, high - low))
        start += batch.num_rows
    return pa.Table.from_batches(taken, schema)


def _repair(looked: Looked, dependent: str, those: Sequence[Dependency], *, known: bool) -> CleaningAction | None:
    """Count what the dependencies would change, in the rows that they were found in.

    A typing error is usual nowhere; where what breaks a dependency is usual elsewhere, it may be no error but a change
    or an exception. Of dependencies that nobody has declared it makes the repair half as sure.
    """
    names = [dependent, *dict.fromkeys(name for each in those for name in each.determinants)]
    table = _table(looked, names) if looked.rows <= SAMPLE_ROWS else _sample(looked, names)
    coded = {name: code_column(table.column(name), name=name) for name in names}
    values = coded[dependent]
    lefts = [group_codes([coded[name].codes for name in each.determinants]) for each in those]
    proposal = propose(lefts, values.codes)
    cells = np.flatnonzero(proposal.codes >= 0)
    if not len(cells):
        return None
    shown = [[_value(values, values.codes[i]), _value(values, proposal.codes[i])] for i in cells[:_EXAMPLES]]
    strength = max(each.strength for each in those)
    usual = usual_values(lefts, values.codes)
    replaced = values.codes[cells]
    strange = 1.0 if known else float((~np.isin(replaced, usual) | (replaced < 0)).mean())
    return CleaningAction(
        op="repair_dependency",
        column=dependent,
        params={"determinants": [list(each.determinants) for each in those], "min_support": 2, "min_confidence": 0.5},
        code="dependency_violated",
        reason=f"{len(cells):,} cells break {', '.join(those[0].determinants)} -> {dependent}"
        + (f" and {len(those) - 1} more" if len(those) > 1 else ""),
        confidence=round(float(proposal.confidence[cells].mean() * (0.5 + strength / 2) * (0.5 + strange / 2)), 4),
        evidence={
            "cells": len(cells), "share": percent(len(cells) / table.num_rows), "rows": table.num_rows,
            "dependencies": [each.to_dict() for each in those], "examples": shown,
        },
    )  # fmt: skip


def _value(column: Any, code: int) -> Any:
    return None if code < 0 else json_value(column.value(int(code)))


def _repeated(looked: Looked, columns: Sequence[str]) -> Iterator[CleaningAction]:
    """Suggest to keep one of rows that are the same in all columns, where no key tells rows apart."""
    nested = any(pa.types.is_nested(field.type) for field in looked.schema)
    if looked.keyed or nested or len(columns) < len(looked.schema.names) or looked.rows > _MOST_REPEATED:
        return
    rows = _gather_hashes(looked)
    rows.sort()
    repeated = int(np.count_nonzero(rows[1:] == rows[:-1]))
    if repeated:
        yield CleaningAction(
            op="deduplicate", code="duplicate_rows", confidence=0.5, evidence={"rows": repeated},
            reason=f"{repeated:,} rows ({percent(repeated / len(rows))}) repeat another in all columns",
        )  # fmt: skip


def _gather_hashes(looked: Looked) -> Hashes:
    """Return a hash of each row, in one array that is as long as there are rows."""
    hashes, rows = np.empty(looked.rows, np.uint64), 0
    for batch in looked.batches(looked.schema.names):
        more = hash_rows(batch.columns)
        if rows + len(more) > len(hashes):
            hashes = np.concatenate([hashes[:rows], np.empty(rows + len(more), np.uint64)])
        hashes[rows : rows + len(more)] = more
        rows += len(more)
    return hashes[:rows]

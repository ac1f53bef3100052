"""Denial constraints: rules that no pair of rows may meet, found by a join and repaired by taking few rows out.

``t.zip = u.zip AND t.city <> u.city`` denies two rows with one zip and different cities; a rule that names only ``t``
is about single rows. The rule is an SQL condition over the columns of `t` and `u`, judged like every expression of a
store and run by the store's engine: what it joins by equality becomes a hash join. A rule over pairs without any
equality would compare each row with each, so it is refused beyond `MOST_COMPARED` pairs.

The rows to take out are a vertex cover of the graph of violations, chosen greedily by how many violations a row is
in, as Kolahi and Lakshmanan (2009) use covers; the greedy cover is at most ln n times the smallest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.cleaning.action import MOST_ROWS, CleaningAction

MOST_VIOLATIONS: Final = 1_000_000
MOST_COMPARED: Final = 100_000_000
MOST_EXAMPLES: Final = 10
_ROW: Final = "foldstore_row"
_REFERENCE: Final = re.compile(r"""\b([tu])\.("(?:[^"]|"")+"|[A-Za-z_]\w*)""")
_STRING: Final = re.compile(r"'(?:[^']|'')*'")
_EQUALITY: Final = re.compile(
    r"""\b(?:t\.(?:"(?:[^"]|"")+"|\w+)\s*==?\s*u\.(?:"(?:[^"]|"")+"|\w+)|u\.(?:"(?:[^"]|"")+"|\w+)\s*==?\s*t\.(?:"(?:[^"]|"")+"|\w+))"""
)
# With one of these an equality may not hold in a violation.
_ALTERNATIVE: Final = re.compile(r"\b(?:or|not|case|if)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """The rows that break a rule.

    Attributes
    ----------
    rule : str
    violations : int
        Pairs of rows that meet it, each counted once; rows for a rule about single rows.
    rows : int
        Rows that are in a violation.
    complete : bool
        Whether these are all: at most a million are looked at.
    examples : tuple of dict
        Some violations: the row ids, and the cells that the rule names.
    cover : tuple of int
        The ids of few rows without which no violation is left.
    """

    rule: str
    violations: int
    rows: int
    complete: bool
    examples: tuple[dict[str, Any], ...]
    cover: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether no row breaks the rule."""
        return not self.violations

    def repair(self, *, op: str = "quarantine_rows") -> tuple[CleaningAction, ...]:
        """Return the action that takes the rows of the cover out: none when there is none.

        Raises
        ------
        UsageError
            When the rows are too many for an action.
        """
        if not self.cover:
            return ()
        if len(self.cover) > MOST_ROWS:
            raise UsageError(
                f"{len(self.cover):,} rows would go; an action has at most {MOST_ROWS:,}.",
                hint="So many violations speak against the rule.",
                code="cleaning-too-large",
            )
        return (
            CleaningAction(
                op=op, rows=self.cover, code="denial_violated", reason=f"breaks the rule: not ({self.rule})",
                confidence=0.5, evidence={"violations": self.violations, "rows": self.rows},
            ),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "examples": [dict(each) for each in self.examples],
            "cover": list(self.cover),
        }


def find_violations(rule: str, table: pa.Table, ids: NDArray[np.uint64], engine: Engine) -> Denial:
    """Find the rows of a table that a rule denies.

    Parameters
    ----------
    rule : str
        An SQL condition over `t` and, for pairs, `u`; what it is true for is a violation.
    table : pyarrow.Table
        At least the columns that the rule names; see `columns_of_rule`.
    ids : array of uint64
        The row ids.
    engine : Engine

    Raises
    ------
    InvalidExpressionError
        When the rule is not allowed or does not fit the columns.
    UsageError
        With code ``invalid-rule``, when it would compare too many pairs.

    Examples
    --------
    >>> rows = pa.table({"zip": [1, 1, 1, 2], "city": ["Ulm", "Ulm", "Bonn", "Rome"]})
    >>> with Engine() as engine:
    ...     found = find_violations("t.zip = u.zip AND t.city <> u.city", rows, np.arange(4, dtype=np.uint64), engine)
    >>> found.violations, found.rows, found.cover
    (2, 3, (2,))
    """
    text = str(rule).strip()
    sides, names = _read_rule(text, table.schema, engine)
    if len(sides) == 2 and not _joins(text) and len(ids) ** 2 > MOST_COMPARED:
        raise UsageError(
            f"The rule joins by no equality: it would compare {len(ids) ** 2:,} pairs.",
            hint="Add an equality such as t.zip = u.zip, or look at fewer rows.",
            code="invalid-rule",
        )
    pairs = _run(text, sides, table.select(names), engine)
    left, right = pairs
    complete = len(left) <= MOST_VIOLATIONS
    left, right = left[:MOST_VIOLATIONS], right[:MOST_VIOLATIONS]
    cover = np.unique(left) if len(sides) == 1 else greedy_cover(left, right)
    return Denial(
        rule=text, violations=len(left), rows=len(np.unique(np.concatenate([left, right]))), complete=complete,
        examples=_examples(left, right, table, names, ids, len(sides)),
        cover=tuple(int(each) for each in ids[cover]),
    )  # fmt: skip


def _joins(text: str) -> bool:
    """Say whether an equality holds in every violation, so that rows can be joined by it."""
    plain = _STRING.sub("''", text)
    return bool(_EQUALITY.search(plain)) and not _ALTERNATIVE.search(plain)


def columns_of_rule(rule: str, schema: pa.Schema) -> list[str]:
    """Return the columns that a rule names, in the order of the rows.

    Raises
    ------
    UsageError
        With code ``invalid-rule``, when it names none by ``t.`` or ``u.``.
    ColumnNotFoundError
        When one is not there.
    """
    found: dict[str, None] = {}
    for _, written in _REFERENCE.findall(_STRING.sub("''", str(rule))):
        name = written[1:-1].replace('""', '"') if written.startswith('"') else written
        known = next((each for each in schema.names if each.lower() == name.lower()), None)
        if known is None:
            raise column_not_found(name, schema.names, where="the rule")
        found[known] = None
    if not found:
        raise UsageError(
            "The rule names no column of t or u.", hint="Write t.zip = u.zip AND t.city <> u.city.", code="invalid-rule"
        )
    return [name for name in schema.names if name in found]


def _read_rule(text: str, schema: pa.Schema, engine: Engine) -> tuple[list[str], list[str]]:
    """Judge the rule as an expression over one row that has the columns of both."""
    names = columns_of_rule(text, schema)
    sides = sorted({side for side, _ in _REFERENCE.findall(_STRING.sub("''", text))})
    if sides == ["u"]:
        raise UsageError(
            "A rule about single rows speaks of t.", hint="Write t in the place of u.", code="invalid-rule"
        )
    # A struct column for each side lets the judgement of expressions read `t.zip` as a field.
    row = pa.struct([schema.field(name) for name in names])
    pair = pa.schema([pa.field(side, row) for side in sides])
    engine.parse_predicate(text, pair, where="the rule")
    return sides, names


def _run(
    text: str, sides: Sequence[str], table: pa.Table, engine: Engine
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the violations; a pair that meets the rule in both orders comes once."""
    numbered = table.append_column(_ROW, pa.array(np.arange(table.num_rows)))
    limit = MOST_VIOLATIONS * 2 + 1
    # The rule was judged: it is one expression, so that brackets hold it together.
    if len(sides) == 1:
        query = f"SELECT t.{_ROW} AS a, t.{_ROW} AS b FROM rows_t AS t WHERE (\n{text}\n) LIMIT {limit}"
    else:
        query = (
            f"SELECT DISTINCT least(t.{_ROW}, u.{_ROW}) AS a, greatest(t.{_ROW}, u.{_ROW}) AS b "
            f"FROM rows_t AS t JOIN rows_t AS u ON (\n{text}\n) AND t.{_ROW} <> u.{_ROW} LIMIT {limit}"
        )
    found = engine.run_query(query, {"rows_t": numbered}).to_arrow()
    order = np.lexsort((found["b"].to_numpy(), found["a"].to_numpy()))
    return found["a"].to_numpy()[order].astype(np.int64), found["b"].to_numpy()[order].astype(np.int64)


def greedy_cover(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return few nodes that touch every edge: again and again the one with most edges that are left.

    Nodes with as many edges go by number, so that the same edges give the same cover.

    Examples
    --------
    >>> greedy_cover(np.array([0, 0, 0, 3]), np.array([1, 2, 3, 4])).tolist()
    [0, 3]
    """
    nodes, both = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = both[: len(left)], both[len(left) :]
    degrees = np.bincount(both, minlength=len(nodes))
    order = np.argsort(both, kind="stable")
    edges = order % max(1, len(left))
    starts = np.concatenate([[0], np.cumsum(degrees)])
    alive = np.ones(len(left), np.bool_)
    buckets: list[list[int]] = [[] for _ in range(int(degrees.max(initial=0)) + 1)]
    for node in range(len(nodes) - 1, -1, -1):
        buckets[degrees[node]].append(node)
    chosen = []
    for degree in range(len(buckets) - 1, 0, -1):
        while buckets[degree]:
            node = buckets[degree].pop()
            if degrees[node] != degree:  # it has lost edges: it waits where it belongs now
                if degrees[node]:
                    buckets[degrees[node]].append(node)
                continue
            chosen.append(node)
            own = edges[starts[node] : starts[node + 1]]
            own = own[alive[own]]
            alive[own] = False
            np.subtract.at(degrees, first[own], 1)
            np.subtract.at(degrees, second[own], 1)
    return np.sort(nodes[np.array(chosen, np.int64)]) if chosen else np.empty(0, np.int64)


def _examples(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    table: pa.Table,
    names: Sequence[str],
    ids: NDArray[np.uint64],
    sides: int,
) -> tuple[dict[str, Any], ...]:
    shown = []
    for a, b in zip(left[:MOST_EXAMPLES], right[:MOST_EXAMPLES], strict=True):
        rows = [int(a)] if sides == 1 else [int(a), int(b)]
        cells = [{name: _plain(table.column(name)[row]) for name in names} for row in rows]
        shown.append({"rows": [int(ids[row]) for row in rows], "cells": cells})
    return tuple(shown)


def _plain(value: pa.Scalar) -> Any:
    found = value.as_py()
    return found if found is None or isinstance(found, bool | int | float | str) else str(found)

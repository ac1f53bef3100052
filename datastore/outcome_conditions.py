"""The condition that keeps outcomes in the past: every row of a group was known by the group's own time."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.errors import InvalidQueryError

Node = Mapping[str, Any]

NUMBERS: Final = frozenset(
    "BIGINT DOUBLE FLOAT FLOAT4 FLOAT8 INT INT32 INT4 INT64 INT8 INTEGER LONG REAL".split()  # noqa: SIM905
)
INTERVALS: Final = frozenset({"to_days", "to_hours", "to_minutes", "to_seconds", "to_milliseconds", "to_weeks"})
_AT_MOST: Final = frozenset({"COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO"})
_AT_LEAST: Final = frozenset({"COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO"})
_AMOUNT: Final = re.compile(r"[0-9]+(\.[0-9]*)?(e[0-9]+)?|\.[0-9]+", re.IGNORECASE)
_SPAN: Final = re.compile(r"[0-9]+(\.[0-9]+)?( [a-z]+)?", re.IGNORECASE)  # '20 minutes'; neither a sign nor 'ago'


@dataclass(frozen=True, slots=True)
class Moments:
    """The two times that a query over sealed outcomes must keep in order.

    Attributes
    ----------
    asked : str
        The column of the answer that says when its row is asked for: the event time of a feature view.
    known : callable
        Names the event-time column of a table of outcomes, by the name that the query writes; None without one.
    """

    asked: str
    known: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class TimeBound:
    """Looks for the condition ``time of the outcome <= key``.

    Attributes
    ----------
    outcomes : str
        The alias of the table of outcomes.
    event_time : str
        Its event-time column, in lower case.
    key : tuple of str
        The alias and the name of the GROUP BY column that is the answer's event time.
    locate : callable
        Returns the alias of the relation that a column belongs to, and its name there.
    """

    outcomes: str
    event_time: str
    key: tuple[str, str]
    locate: Callable[[Node], tuple[str, str]]

    def holds(self, conditions: Collection[Node | None]) -> bool:
        """Say whether one of the conditions, all of which hold, bounds the time of each row of outcomes.

        The time is the event time, or that and what is added to it. A column of negative numbers that is added
        makes it earlier; that is accepted, since a delay may be negative.
        """
        return any(self._bounds(each) for condition in conditions for each in _linked(condition))

    def _bounds(self, node: Node) -> bool:
        kind = str(node.get("type"))
        if kind == "COMPARE_BETWEEN":
            pairs = [(node["input"], node["upper"]), (node["lower"], node["input"])]
        elif kind in _AT_MOST:
            pairs = [(node["left"], node["right"])]
        elif kind in _AT_LEAST:
            pairs = [(node["right"], node["left"])]
        else:
            pairs = []
        return any(self._is_key(late) and self._is_time(early) for early, late in pairs)

    def _is_key(self, node: Node) -> bool:
        return node.get("class") == "COLUMN_REF" and self.locate(node) == self.key

    def _is_time(self, node: Node) -> bool:
        """Say whether a part is the event time of the outcome, or that and an addition; no cast: a day is earlier."""
        if node.get("class") == "COLUMN_REF":
            return self.locate(node) == (self.outcomes, self.event_time)
        if function_name(node) != "+":
            return False
        parts = _arguments(node)
        return any(
            self._is_time(time) and all(self._is_added(each) for each in parts if each is not time) for time in parts
        )

    def _is_added(self, node: Node) -> bool:
        """Say whether a part is made of columns of the outcomes and constants above zero, by sums and products."""
        match node.get("class"):
            case "COLUMN_REF":
                return self.locate(node)[0] == self.outcomes
            case "CONSTANT":
                literal = node["literal"]
                shape = _SPAN if literal["kind"] == "STRING" else _AMOUNT
                return shape.fullmatch(literal["text"]) is not None and not literal["text"].lower().endswith("ago")
            case "CAST":
                return is_cast(node, NUMBERS | {"INTERVAL"}) and self._is_added(node["child"])
        sums = function_name(node) in INTERVALS | {"+", "*", "trunc"}
        return sums and all(self._is_added(each) for each in _arguments(node))


def applied_conditions(node: Node, leaf: Node) -> Iterator[Node | None]:
    """Yield the join conditions that every row of a relation has to meet.

    That of a join which the relation is no side of chooses other rows. A LEFT JOIN chooses among those of its right
    side; the relation must not stand on its left.
    """
    if node["type"] == "JOIN" and any(each is leaf for each in _relations(node)):
        yield node.get("condition")
        yield from applied_conditions(node["left"], leaf)
        yield from applied_conditions(node["right"], leaf)


def asked_column(items: Collection[Node], asked: str) -> Node:
    """Return the select item that is the answer's event time.

    Raises
    ------
    InvalidQueryError
        With code ``outcome-query-refused``, when there is none, or when it is not clear which it is.
    """
    names = [str(each.get("alias") or (each.get("column_names") or [""])[-1]).lower() for each in items]
    if len(set(names)) < len(names):
        raise refused("two columns of its answer have one name", "Name each column differently: asked.ts AS ts.")
    for name, item in zip(names, items, strict=True):
        if name == asked.lower() and item.get("class") == "COLUMN_REF":
            return item
    raise refused(
        f"its answer has no GROUP BY column {asked}, the event time",
        f"Select and group by the time that is asked for: SELECT asked.{asked}, ... GROUP BY asked.{asked}.",
    )


def refused(part: str, allowed: str) -> InvalidQueryError:
    """Return the error of a query that does more with outcomes than it may."""
    return InvalidQueryError(
        f"This query reads sealed outcomes, and {part}.", hint=allowed, code="outcome-query-refused", part=part
    )


def unbounded(time: str, key: str) -> InvalidQueryError:
    """Return the error of a query that lacks the condition, which is spelled out."""
    return refused(
        f"no condition keeps its outcomes before {key}",
        f"Add by AND: {time} + what passes until the outcome is known <= {key}, such as "
        f"{time} + 90 * INTERVAL 1 MINUTE <= {key}. Columns of that table and constants may be added to {time}, "
        f"nothing is subtracted, no cast is made, and {key} stands alone.",
    )


def function_name(node: Node) -> str:
    """Return the name of a plain function call, in lower case; the empty name for everything else."""
    if node.get("class") != "FUNCTION" or len(node["qualified_name"]["path"]) != 1:
        return ""
    return str(node["function_name"]).lower()


def is_cast(node: Node, types: Collection[str]) -> bool:
    """Say whether a part is a plain cast to one of the types."""
    if node.get("class") != "CAST" or node.get("type") != "OPERATOR_CAST":
        return False
    kind = node["type_expr"]
    plain = kind.get("class") == "TYPE" and not kind.get("children") and len(kind["qualified_name"]["path"]) == 1
    return plain and str(kind["type_name"]).upper() in types


def _linked(node: Node | None) -> Iterator[Node]:
    """Yield the conditions that AND links."""
    if node is None:
        return
    if node.get("type") == "CONJUNCTION_AND":
        for each in node["children"]:
            yield from _linked(each)
    else:
        yield node


def _arguments(node: Node) -> list[Node]:
    return [each["expression"] for each in node["arguments"]]


def _relations(node: Node) -> Iterator[Node]:
    if node["type"] == "JOIN":
        yield from _relations(node["left"])
        yield from _relations(node["right"])
    else:
        yield node

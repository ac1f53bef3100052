"""Queries that may read sealed outcomes: what they may do with them, read from DuckDB's syntax tree.

Names are judged first, for good messages; then the table of outcomes, its alias and its columns get names that
nobody can guess, and only what was judged is rewritten to them: what a rule overlooks finds no column.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foldstore.datastore.outcome_conditions import (
    INTERVALS,
    NUMBERS,
    Moments,
    Node,
    TimeBound,
    applied_conditions,
    asked_column,
    function_name,
    is_cast,
    refused,
    unbounded,
)

_AGGREGATES: Final = frozenset(
    {"avg", "count", "mean", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance"}
)
_TIMES: Final = frozenset({"DATE", "INTERVAL", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS"})
_MEASURES: Final = INTERVALS | {"+", "-", "*", "trunc"}
_RANGES: Final = frozenset(
    {"COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"}
)
_EQUAL: Final = "COMPARE_EQUAL"
_PLAIN: Final = frozenset({"COLUMN_REF", "CONSTANT"})
_CLAUSES: Final = {
    "modifiers": "ORDER BY, LIMIT or DISTINCT",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "sample": "a sample",
}
_ALLOWED_ITEMS: Final = (
    "Select GROUP BY columns and avg, sum, count, stddev or variance of one outcome column (or its cast to a number)."
)
_ALLOWED_CONDITIONS: Final = (
    "Join conditions are linked by AND. On the table of outcomes: column = group column, or a sum of its columns "
    "compared by <, <=, >, >= with group columns and constants, such as "
    "f.departs + f.dep_delay * INTERVAL 1 MINUTE <= asked.ts."
)
_ALLOWED_FROM: Final = (
    "Name the table of outcomes once, joined by JOIN or LEFT JOIN with ON; outcomes stand there alone."
)


@dataclass(frozen=True, slots=True)
class Disguise:
    """Names that a query cannot know.

    Attributes
    ----------
    table, alias : str
        What the table of outcomes is called.
    row : str
        Its column of row numbers.
    sealed_row : str
        Its column that says which rows are sealed.
    prefix : str
        What its other columns' names begin with.
    """

    table: str
    alias: str
    row: str
    sealed_row: str
    prefix: str

    @classmethod
    def of(cls, token: str) -> "Disguise":
        """Make the names from a random token."""
        return cls(*(f"{part}_{token}" for part in ("outcomes", "of", "row", "sealed", "column")))

    def column(self, name: str) -> str:
        """Return what a column is called."""
        return f"{self.prefix}_{name.lower()}"


@dataclass(frozen=True, slots=True)
class OutcomeQuery:
    """A query over sealed outcomes that was judged and rewritten.

    Attributes
    ----------
    tree : mapping
        The rewritten syntax tree, as ``json_deserialize_sql`` takes it.
    table : str
        The table of outcomes, as the query writes it.
    columns : tuple of str
        Its columns that the query uses, in lower case.
    """

    tree: Node
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One relation of the outermost FROM; `sealed` is empty unless it is a table with sealed columns."""

    alias: str
    node: Node
    table: str
    sealed: frozenset[str]
    optional: bool  # the right side of a LEFT JOIN
    preserved: bool  # the left side of one: its rows without a partner would be a choice of any rows


@dataclass(slots=True)
class _From:
    """The outermost FROM: its relations, and its conditions with the alias that each LEFT JOIN adds."""

    leaves: list[_Leaf] = field(default_factory=list)
    conditions: list[tuple[Node, str | None]] = field(default_factory=list)


def mentions_sealed(tree: Node, sealed: Mapping[str, Collection[str]]) -> bool:
    """Say whether a query could mean a sealed column anywhere, by name or without it."""
    return _mention(tree["statements"], _forbidden(tree, sealed)) is not None


def judge_outcome_query(
    tree: Node, sealed: Mapping[str, Collection[str]], moments: Moments, disguise: Disguise, templates: Node
) -> OutcomeQuery:
    """Check a query that mentions sealed columns and rewrite it.

    Parameters
    ----------
    tree : mapping
        What ``json_serialize_sql`` says of the query.
    sealed : mapping of str to collection of str
        The sealed columns of each table, by the name that the query writes.
    moments : Moments
        The times that the conditions must keep in order.
    disguise : Disguise
        The names to rewrite to.
    templates : mapping
        The tree of `template_text`.

    Raises
    ------
    InvalidQueryError
        With code ``outcome-query-refused``, when it could show more than aggregates, or an outcome before its time.
    """
    select = _outermost(tree)
    source = _read_from(select, sealed)
    _check_nested(select, source, _forbidden(tree, sealed))
    outcomes = _outcomes(select, source)
    rewriting = _Rewriting(source, outcomes, disguise, _Templates.of(templates))
    rewritten = rewriting.rewrite(tree, select)
    _check_time(select, source, outcomes, moments)
    return OutcomeQuery(rewritten, outcomes.table, tuple(sorted(rewriting.used)))


def template_text(disguise: Disguise, minimum: int, *, marks_rows: bool) -> str:
    """Return the query whose parts stand around each aggregate: text of our own, nothing of the user's.

    A cell is shown when no row stands in its group twice (a repeated row would outweigh the others), and when
    at least `minimum` rows are behind it, of all rows and, if there is any, of sealed rows.
    """
    row, value = f"{disguise.alias}.{disguise.row}", f"{disguise.prefix}.value"
    enough = [f"count({row}) = count(DISTINCT {row})", f"count({row}) >= {minimum}", f"count({value}) >= {minimum}"]
    if marks_rows:
        kept = f"FILTER ({disguise.alias}.{disguise.sealed_row})"
        enough += [f"(count({each}) {kept} = 0 OR count({each}) {kept} >= {minimum})" for each in (row, value)]
    shown = f"CASE WHEN {' AND '.join(enough)} THEN {disguise.prefix}.item END"
    return (
        f"SELECT {shown}, TRY({value}), {row} FROM {disguise.table} {disguise.alias} HAVING count({row}) >= {minimum}"
    )


def strip_places(node: Any) -> Any:
    """Return a tree without the places in the text, so that trees of different texts compare."""
    if isinstance(node, list):
        return [strip_places(each) for each in node]
    if isinstance(node, dict):
        return {key: strip_places(value) for key, value in node.items() if not key.startswith("query_location")}
    return node


def _walk(node: Any) -> Iterator[Node]:
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            yield each
            stack.extend(each.values())
        elif isinstance(each, (list, tuple)):
            stack.extend(each)


def _columns(node: Any) -> Iterator[Node]:
    return (each for each in _walk(node) if each.get("class") == "COLUMN_REF")


def _path(column: Node) -> list[str]:
    return [str(name).lower() for name in column["column_names"]]


def _written(column: Node) -> str:
    return ".".join(str(name) for name in column["column_names"])


def _table_of(node: Node) -> str:
    return ".".join(str(part) for part in node["qualified_name"]["path"])


@dataclass(frozen=True, slots=True)
class _Forbidden:
    """What nested parts may not name: sealed columns, and tables with sealed columns as whole rows."""

    columns: frozenset[str]
    rows: frozenset[str]
    tables: frozenset[str]


def _forbidden(tree: Node, sealed: Mapping[str, Collection[str]]) -> _Forbidden:
    tables = frozenset(name.lower() for name, columns in sealed.items() if columns)
    rows = set(tables)
    for node in _walk(tree["statements"]):
        if node.get("type") == "BASE_TABLE" and _table_of(node).lower() in tables:
            rows.add(str(node.get("alias", "")).lower())
    columns = frozenset(str(column).lower() for each in sealed.values() for column in each)
    return _Forbidden(columns, frozenset(rows), tables)


def _mention(node: Any, forbidden: _Forbidden) -> str | None:
    """Say how a part could mean a sealed column; None when it cannot."""
    return next((found for each in _walk(node) if (found := _mention_here(each, forbidden)) is not None), None)


def _mention_here(node: Node, forbidden: _Forbidden) -> str | None:
    match node.get("type"):
        case "COLUMN_REF":
            path = _path(node)
            if forbidden.columns.intersection(path):
                return f"names {_written(node)}"
            if path[-1] in forbidden.rows:  # main.flights is a row too
                return f"takes whole rows of {_written(node)}"
        case "STAR":
            return "asks for all columns with '*' or COLUMNS"
        case "JOIN":
            return _joins_unnamed(node, forbidden)
        case "POSITIONAL_REFERENCE" | "SHOW_REF" | "PIVOT":
            return "takes columns without their names"
        case "BASE_TABLE" if node.get("column_name_alias") and _table_of(node).lower() in forbidden.tables:
            return f"renames the columns of {_table_of(node)}"
    return None


def _joins_unnamed(node: Node, forbidden: _Forbidden) -> str | None:
    if node.get("ref_type") in ("NATURAL", "POSITIONAL"):
        return f"has a {str(node['ref_type']).lower()} join"
    if forbidden.columns.intersection(str(name).lower() for name in node.get("using_columns", ())):
        return "joins USING a sealed column"
    return None


def _outermost(tree: Node) -> Node:
    statements = tree.get("statements", ())
    select: Node = statements[0]["node"] if len(statements) == 1 else {}
    if select.get("type") != "SELECT_NODE":
        raise refused("it is not one SELECT", "Write one SELECT with GROUP BY; no UNION, no WITH RECURSIVE around it.")
    for clause, shown in _CLAUSES.items():
        if select.get(clause):
            raise refused(f"its outermost level has {shown}", "Outermost: SELECT, FROM, JOIN, WHERE and GROUP BY.")
    if len(select["group_sets"]) > 1 or select["aggregate_handling"] != "STANDARD_HANDLING":
        raise refused("it groups in several ways or by ALL", "Name the columns: GROUP BY asked.carrier, asked.ts.")
    return select


def _read_from(select: Node, sealed: Mapping[str, Collection[str]]) -> _From:
    defined = {str(entry["key"]).lower() for entry in select["cte_map"]["map"]}
    source = _From()
    stack: list[tuple[Node, bool, bool]] = [(select["from_table"], False, False)]
    while stack:
        node, optional, preserved = stack.pop()
        if node["type"] == "JOIN":
            _check_join(node)
            left_join = node["join_type"] == "LEFT"
            stack += [
                (node["right"], optional or left_join, preserved),
                (node["left"], optional, preserved or left_join),
            ]
            if node.get("condition"):
                source.conditions.append((node["condition"], _added(node["right"]) if left_join else None))
        else:
            source.leaves.append(_leaf(node, defined, sealed, optional, preserved))
    aliases = [leaf.alias for leaf in source.leaves]
    if len(set(aliases)) < len(aliases):
        raise refused("two relations have one name", "Give each relation of FROM an alias of its own.")
    return source


def _check_join(node: Node) -> None:
    kind, reference = str(node["join_type"]), str(node["ref_type"])
    if kind not in ("INNER", "LEFT") or reference not in ("REGULAR", "CROSS") or node.get("using_columns"):
        shown = "a join with USING" if node.get("using_columns") else f"a {reference} {kind} join".lower()
        raise refused(f"its outermost level has {shown}", _ALLOWED_FROM)


def _added(node: Node) -> str | None:
    """Name the relation that a LEFT JOIN adds, when it is a single one."""
    return None if node["type"] == "JOIN" else _alias(node)


def _alias(node: Node) -> str:
    alias = str(node.get("alias", "")).lower()
    return alias or (_table_of(node).lower() if node["type"] == "BASE_TABLE" else "")


def _leaf(node: Node, defined: Collection[str], sealed: Mapping[str, Collection[str]], *sides: bool) -> _Leaf:
    table = _table_of(node) if node["type"] == "BASE_TABLE" else ""
    columns = () if table.lower() in defined else sealed.get(table, ())
    if columns and node.get("sample"):
        raise refused(f"it samples {table}", _ALLOWED_FROM)
    return _Leaf(_alias(node), node, table, frozenset(str(each).lower() for each in columns), *sides)


def _check_nested(select: Node, source: _From, forbidden: _Forbidden) -> None:
    """Refuse sealed columns below the outermost level, and at it every part that sees more than one row."""
    for nested in (select["cte_map"], [leaf.node for leaf in source.leaves]):
        found = _mention(nested, forbidden)
        if found:
            raise refused(f"a nested query or a relation of FROM {found}", _ALLOWED_FROM)
    conditions = [condition for condition, _ in source.conditions]
    for part in (select["select_list"], select["group_expressions"], select["where_clause"], conditions):
        for node in _walk(part):
            kind = str(node.get("class", ""))
            if kind in ("SUBQUERY", "WINDOW", "STAR", "PARAMETER", "POSITIONAL_REFERENCE", "LAMBDA"):
                shown = kind.lower().replace("_", " ")
                raise refused(f"its outermost level holds a {shown}", _ALLOWED_ITEMS)


def _outcomes(select: Node, source: _From) -> _Leaf:
    """Find the one table whose sealed columns the outermost level mentions."""
    conditions = [condition for condition, _ in source.conditions]
    parts = (select["select_list"], select["group_expressions"], select["where_clause"], conditions)
    found = {}
    for column in _columns(parts):
        leaf, name = _locate(column, source)
        if name in leaf.sealed:
            found[leaf.alias] = leaf
    if len(found) != 1:
        shown = f"it mentions outcomes of {len(found)} relations" if found else "it is not clear which column it means"
        raise refused(shown, _ALLOWED_FROM)
    (outcomes,) = found.values()
    if outcomes.preserved:
        raise refused("the table of outcomes is on the left of a LEFT JOIN", _ALLOWED_FROM)
    return outcomes


def _locate(column: Node, source: _From) -> tuple[_Leaf, str]:
    """Return the relation that a column belongs to, and its name there, in lower case."""
    path = _path(column)
    if len(path) == 1:
        if len(source.leaves) == 1 and path[0] != source.leaves[0].alias:
            return source.leaves[0], path[0]
        raise refused(f"{_written(column)} could belong to several relations", "Write alias.column.")
    for leaf in source.leaves:
        if leaf.alias == path[0] and (len(path) == 2 or not leaf.sealed):
            return leaf, path[1]
    raise refused(f"{_written(column)} is not a column of a relation of FROM", "Write alias.column.")


def _check_time(select: Node, source: _From, outcomes: _Leaf, moments: Moments) -> None:
    """Refuse a query whose conditions let an outcome in before it is known, a row's own among them."""

    def locate(column: Node) -> tuple[str, str]:
        leaf, name = _locate(column, source)
        return leaf.alias, name

    event_time = moments.known(outcomes.table)
    if event_time is None:
        raise refused(f"{outcomes.table} has no event time", "Only outcomes of a dataset with an event time are read.")
    asked = asked_column(select["select_list"], moments.asked)
    conditions = [*applied_conditions(select["from_table"], outcomes.node), select["where_clause"]]
    if not TimeBound(outcomes.alias, event_time.lower(), locate(asked), locate).holds(conditions):
        raise unbounded(f"{outcomes.alias}.{event_time}", _written(asked))


@dataclass(frozen=True, slots=True)
class _Templates:
    """Parts of the tree of `template_text`."""

    shown: Node
    attempt: Node
    row: Node
    having: Node

    @classmethod
    def of(cls, tree: Node) -> "_Templates":
        select = tree["statements"][0]["node"]
        shown, attempt, row = select["select_list"]
        return cls(shown, attempt, row, select["having"])


@dataclass(slots=True)
class _Rewriting:
    """The second half of the judgement: each part is checked and written anew in one go."""

    source: _From
    outcomes: _Leaf
    disguise: Disguise
    templates: _Templates
    used: set[str] = field(default_factory=set)
    keys: list[list[str]] = field(default_factory=list)

    def rewrite(self, tree: Node, select: Node) -> Node:
        """Return the tree of the whole query, judged and rewritten."""
        groups = [self._group(each) for each in select["group_expressions"]]
        new = {
            **select,
            "group_expressions": groups,
            "select_list": [self._item(each) for each in select["select_list"]],
            "from_table": self._relation(select["from_table"]),
            "where_clause": self._condition(select["where_clause"]),
            "having": None if self._rows_are_public(select) else self.templates.having,
        }
        return {**tree, "statements": [{**tree["statements"][0], "node": new}]}

    def _group(self, node: Node) -> Node:
        if node.get("class") != "COLUMN_REF":
            raise refused("it groups by an expression or a position", "Group by columns: compute them in a subquery.")
        leaf, name = _locate(node, self.source)
        if name in leaf.sealed:
            raise refused(f"it groups by the sealed column {_written(node)}", "Group by columns that are not sealed.")
        self.keys.append([leaf.alias, name])
        renamed: Node = self._renamed(node)
        return renamed

    def _item(self, node: Node) -> Node:
        if node.get("class") == "COLUMN_REF":
            leaf, name = _locate(node, self.source)
            if [leaf.alias, name] not in self.keys:
                raise refused(f"it selects {_written(node)}, which is no GROUP BY column", _ALLOWED_ITEMS)
            return {**self._renamed(node), "alias": node.get("alias") or node["column_names"][-1]}
        value = self._aggregated(node)
        if not node.get("alias"):
            raise refused("an aggregate has no name", "Name each aggregate: avg(f.arr_delay) AS mean_delay.")
        item = {**node, "alias": ""}
        if value is not self.templates.row:
            item["arguments"] = [{**node["arguments"][0], "expression": value}]
        return {**_filled(self.templates.shown, {"value": value, "item": item}), "alias": node["alias"]}

    def _aggregated(self, node: Node) -> Node:
        """Return what an allowed aggregate aggregates, rewritten; the row itself for ``count(*)``."""
        name = function_name(node)
        plain = not (node.get("distinct") or node.get("filter") or node.get("export_state"))
        plain = plain and not (node.get("order_bys") or {}).get("orders")
        if name == "count_star" and plain:
            return self.templates.row
        if name not in _AGGREGATES or not plain or len(node["arguments"]) != 1:
            raise refused("a select item is neither a GROUP BY column nor an allowed aggregate", _ALLOWED_ITEMS)
        argument = node["arguments"][0]["expression"]
        column = argument["child"] if is_cast(argument, NUMBERS) else argument
        if column.get("class") != "COLUMN_REF":
            raise refused(f"{name}() aggregates an expression", _ALLOWED_ITEMS)
        leaf, found = _locate(column, self.source)
        if leaf is not self.outcomes or found not in leaf.sealed:
            # A sum of weights over the rows that an outcome selects would tell which rows they are.
            raise refused(f"{name}() aggregates {_written(column)}, which is no outcome", _ALLOWED_ITEMS)
        renamed: Node = self._renamed(column)
        # A cast that fails would show the value in its message.
        return renamed if column is argument else {**argument, "child": renamed, "try_cast": True}

    def _relation(self, node: Node) -> Node:
        if node["type"] == "JOIN":
            left, right = self._relation(node["left"]), self._relation(node["right"])
            return {**node, "left": left, "right": right, "condition": self._condition(node.get("condition"))}
        if node is not self.outcomes.node:
            return node
        table = self.disguise.table
        return {**node, "table_name": table, "qualified_name": {"path": [table]}, "alias": self.disguise.alias}

    def _condition(self, node: Node | None) -> Node | None:
        if node is None:
            return None
        if node.get("type") == "CONJUNCTION_AND":
            return {**node, "children": [self._condition(each) for each in node["children"]]}
        if node.get("class") == "BETWEEN" and node.get("type") == "COMPARE_BETWEEN":
            sides = (
                self._sides(node["input"], node["lower"], _RANGES),
                self._sides(node["input"], node["upper"], _RANGES),
            )
            return {**node, "input": sides[0][0], "lower": sides[0][1], "upper": sides[1][1]}
        if node.get("type") == "OPERATOR_IS_NOT_NULL" and node["children"][0].get("class") == "COLUMN_REF":
            return {**node, "children": [self._renamed(node["children"][0])]}
        if node.get("class") != "COMPARISON" or node.get("type") not in {*_RANGES, _EQUAL}:
            raise refused("a condition is no comparison", _ALLOWED_CONDITIONS)
        left, right = self._sides(node["left"], node["right"], {str(node["type"])})
        return {**node, "left": left, "right": right}

    def _sides(self, left: Node, right: Node, kinds: Collection[str]) -> tuple[Node, Node]:
        """Check the sides of a comparison: one measures the row of outcomes, the group fixes the other."""
        ours = [self._reads_outcomes(side) for side in (left, right)]
        if all(ours):
            raise refused("a condition compares columns of the outcomes with each other", _ALLOWED_CONDITIONS)
        if any(ours):
            measure, bound = (left, right) if ours[0] else (right, left)
            self._check_bound(measure, bound, equal=_EQUAL in kinds)
        return self._safe(left), self._safe(right)

    def _check_bound(self, measure: Node, bound: Node, *, equal: bool) -> None:
        """Refuse a choice of rows that a group does not fix: a table of members would choose any rows at all."""
        by_day = equal and is_cast(measure, {"DATE"}) and measure["child"].get("class") == "COLUMN_REF"
        if equal and not by_day and measure.get("class") != "COLUMN_REF":
            raise refused("an equality is with an expression", _ALLOWED_CONDITIONS)
        if equal and any(name in leaf.sealed for leaf, name in self._located(measure)):
            raise refused("an equality is with a sealed column", _ALLOWED_CONDITIONS)
        if by_day and bound.get("class") == "COLUMN_REF":
            return  # the days around a time, several to a group: they make a join by time fast
        loose = [column for column in _columns(bound) if not self._is_key(column)]
        if loose:
            raise refused(
                f"a condition compares outcomes with {_written(loose[0])}, which is not in GROUP BY",
                _ALLOWED_CONDITIONS,
            )

    def _safe(self, node: Node) -> Node:
        """Rewrite one side of a comparison; where it could fail on a value, it gives null instead."""
        self._check_measure(node)
        renamed: Node = self._renamed(node)
        tried: Node = _filled(self.templates.attempt, {"value": renamed})
        return renamed if node.get("class") in _PLAIN else tried

    def _check_measure(self, node: Node) -> None:
        kind = node.get("class")
        if kind in _PLAIN:
            return
        if is_cast(node, NUMBERS | _TIMES):
            self._check_measure(node["child"])
            return
        if kind != "FUNCTION" or function_name(node) not in _MEASURES or node.get("distinct") or node.get("filter"):
            raise refused("a condition holds more than sums of columns, numbers and intervals", _ALLOWED_CONDITIONS)
        arguments = [each["expression"] for each in node["arguments"]]
        if function_name(node) == "*" and sum(any(_columns(each)) for each in arguments) > 1:
            raise refused("a condition multiplies columns with each other", _ALLOWED_CONDITIONS)
        for each in arguments:
            self._check_measure(each)

    def _rows_are_public(self, select: Node) -> bool:
        """Say whether which rows the answer has depends on no outcome.

        Then a group that is too small shows nulls; otherwise its very row would tell, and is left out.
        """
        optional = self.outcomes.optional
        own = [node for node, added in self.source.conditions if optional and added == self.outcomes.alias]
        parts = [node for node, _ in self.source.conditions if not any(node is each for each in own)]
        if not any(name in leaf.sealed for leaf, name in self._located([*parts, *own, select["where_clause"]])):
            return True
        others = [*parts, select["where_clause"], select["group_expressions"]]
        return bool(own) and not self._reads_outcomes(others)

    def _located(self, node: Any) -> Sequence[tuple[_Leaf, str]]:
        return [_locate(column, self.source) for column in _columns(node)]

    def _reads_outcomes(self, node: Any) -> bool:
        return any(leaf is self.outcomes for leaf, _ in self._located(node))

    def _is_key(self, column: Node) -> bool:
        leaf, name = _locate(column, self.source)
        return [leaf.alias, name] in self.keys

    def _renamed(self, node: Any) -> Any:
        """Return a part in which the columns of the outcomes have their other names."""
        if isinstance(node, list):
            return [self._renamed(each) for each in node]
        if not isinstance(node, dict):
            return node
        if node.get("class") != "COLUMN_REF":
            return {key: self._renamed(value) for key, value in node.items()}
        leaf, name = _locate(node, self.source)
        if leaf is not self.outcomes:
            return node
        self.used.add(name)
        return {**node, "column_names": [self.disguise.alias, self.disguise.column(name)]}


def _filled(template: Any, parts: Mapping[str, Any]) -> Any:
    """Return a template with its placeholders, columns called ``value`` and ``item``, filled in."""
    if isinstance(template, list):
        return [_filled(each, parts) for each in template]
    if not isinstance(template, dict):
        return template
    if template.get("class") == "COLUMN_REF" and template["column_names"][-1] in parts:
        return parts[template["column_names"][-1]]
    return {key: _filled(value, parts) for key, value in template.items()}

"""SQL queries: what they may hold and which tables they name, read from DuckDB's syntax tree.

This module judges trees only; `foldstore.datastore.engine` parses and runs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foldstore.datastore.query_conditions import NO_CONDITIONS, QueryConditions, find_conditions
from foldstore.datastore.query_restrictions import Restrictions, find_restrictions
from foldstore.errors import InvalidQueryError

MAX_QUERY_LENGTH: Final = 100_000
# Tables about the store itself; the schema that a query may name.
OWN_SCHEMA: Final = "foldstore"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
# They change or report the engine's state instead of looking at data, or hold up the process.
_REFUSED_FUNCTIONS: Final = _words(
    "current_connection_id current_query current_query_id current_setting currval format_type get_block_size "
    "getvariable in_search_path json_serialize_plan nextval parse_duckdb_log_message pg_get_constraintdef "
    "pg_get_viewdef pg_sleep setseed setval sleep_ms stats txid_current write_log"
)
# Written without parentheses, and read as columns until they are bound.
_CLOCKS: Final = _words(
    "current_date current_localtime current_localtimestamp current_time current_timestamp localtime localtimestamp "
    "now today"
)
_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?", re.IGNORECASE)
_READING: Final = _words("SELECT WITH VALUES FROM DESCRIBE SUMMARIZE EXPLAIN")
_WHAT_RUNS: Final = "Write SELECT, WITH, VALUES, FROM, DESCRIBE, SUMMARIZE or EXPLAIN; store.sql only reads."


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query that only reads, and what it reads.

    Attributes
    ----------
    text : str
        What the user wrote.
    tables : tuple of str
        The names of the tables it uses, as written, in the order of first use; a name such as
        ``"flights@3#train"`` is one identifier. Names that the query itself defines are not among them.
    has_star : bool
        Whether it asks for all columns of something.
    names : frozenset of str or None
        Every name that may mean a column, in lower case; None when columns can be meant without their
        names (a star, a whole row, a position, a natural join).
    parameters : tuple of str
        The names of its parameters, in the order of first use; ``?`` and ``$1`` have numbers.
    conditions : QueryConditions
        What rows of its tables must meet to count.
    restrictions : mapping
        To which values the query restricts columns of tables about the store; see `wanted_of`.
    functions : frozenset of str
        The functions that it calls, in lower case; those among them that are written as columns are, and samples are
        ``random``.
    """

    text: str
    tables: tuple[str, ...]
    has_star: bool = False
    names: frozenset[str] | None = None
    parameters: tuple[str, ...] = ()
    conditions: QueryConditions = NO_CONDITIONS
    restrictions: Restrictions = field(default_factory=dict)
    functions: frozenset[str] = frozenset()

    def wanted_of(self, table: str, values: Mapping[str, Any]) -> dict[str, frozenset[str]]:
        """Return the only values that columns of a table may have in rows that the query wants, where that is sure."""
        wanted = {}
        for column, operands in self.restrictions.get(table.lower(), {}).items():
            found = [values.get(each.text) if each.is_parameter else each.text for each in operands]
            texts = [value for value in found if isinstance(value, str)]
            if len(texts) == len(found):
                wanted[column] = frozenset(texts)
        return wanted

    def columns_of(self, columns: Sequence[str]) -> list[str]:
        """Return those of a table's columns that the query may read; at least one, which carries the rows."""
        if self.names is None:
            return list(columns)
        return [name for name in columns if name.lower() in self.names] or list(columns[:1])


def check_query_text(text: object) -> str:
    """Return the text of a query when it can be handed to a parser."""
    if not isinstance(text, str):
        raise InvalidQueryError(f"An SQL query is a str, not {type(text).__name__}.")
    if not text.strip():
        raise InvalidQueryError("The query is empty.", hint=_WHAT_RUNS)
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidQueryError(
            f"The query has {len(text):,} characters; the limit is {MAX_QUERY_LENGTH:,}.",
            hint="Pass values as parameters.",
            length=len(text),
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidQueryError("The query holds a NUL or half a character.", hint="Use well-formed text.")
    return text


def without_explain(text: str) -> str:
    """Return the query that EXPLAIN explains; DuckDB gives no tree for the whole."""
    found = _EXPLAIN.match(text)
    return text[found.end() :] if found else text


def not_a_query(text: str) -> InvalidQueryError:
    """Build the error for a statement that does more than read, or that has no static tree."""
    if re.search(r"\bPIVOT(_WIDER)?\b", text, re.IGNORECASE):
        return InvalidQueryError(
            "A PIVOT that finds its columns in the data cannot be checked before it runs.",
            hint="List the values: FROM t PIVOT (sum(x) FOR kind IN ('a', 'b')).",
        )
    word = re.match(r"\W*(\w{1,20})", without_explain(text))
    if word and word.group(1).upper() in _READING:
        return InvalidQueryError("The text holds several statements, or one that does more than read.", hint=_WHAT_RUNS)
    shown = f"{word.group(1).upper()} is not allowed: only queries are." if word else "Only queries are allowed."
    return InvalidQueryError(shown, hint=_WHAT_RUNS)


@dataclass(slots=True)
class _Findings:
    tables: dict[str, None] = field(default_factory=dict)
    has_star: bool = False
    nameless: bool = False
    names: set[str] = field(default_factory=set)
    uses: list[str] = field(default_factory=list)
    rows: set[str] = field(default_factory=set)
    parameters: dict[str, None] = field(default_factory=dict)
    lone: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    def column_names(self) -> frozenset[str] | None:
        """Return the names that may mean columns, or None when columns are meant without their names."""
        # A name that stands alone and is that of a table means its whole rows.
        return None if self.has_star or self.nameless or self.rows & self.lone else frozenset(self.names)


def judge_query(text: str, tree: Mapping[str, Any]) -> ParsedQuery:
    """Walk the tree of a query; return the tables it uses.

    Raises
    ------
    InvalidQueryError
        When it is not exactly one statement, names a schema, or calls what it may not.
    """
    statements = tree["statements"]
    if len(statements) != 1:
        many = f"{len(statements)} statements" if statements else "no statement"
        raise InvalidQueryError(f"The text holds {many}; a query is exactly one.", hint=_WHAT_RUNS)
    findings = _Findings()
    stack: list[tuple[Any, frozenset[str]]] = [(statements[0]["node"], frozenset())]
    while stack:
        node, scope = stack.pop()
        if isinstance(node, list):
            stack.extend((child, scope) for child in reversed(node))
        elif isinstance(node, dict):
            _judge_node(node, scope, findings)
            _note_columns(node, findings)
            if node.get("sample"):
                findings.functions.add("random")
            stack.extend(reversed(list(_children(node, scope))))
    own = any(name.lower().startswith(f"{OWN_SCHEMA}.") for name in findings.tables)
    return ParsedQuery(
        text,
        tuple(findings.tables),
        findings.has_star,
        findings.column_names(),
        tuple(findings.parameters),
        find_conditions(statements[0]["node"], findings.uses),
        find_restrictions(statements[0]["node"], OWN_SCHEMA) if own else {},
        frozenset(findings.functions | (findings.lone & _CLOCKS)),
    )


def _judge_node(node: Mapping[str, Any], scope: frozenset[str], findings: _Findings) -> None:
    match node.get("type"):
        case "BASE_TABLE":
            name = _table_name(node)
            if name.lower() not in scope:
                findings.tables.setdefault(name)
                findings.uses.append(name)
        case "TABLE_FUNCTION":
            _check_table_function(str(node["function"].get("function_name", "")))
        case "SHOW_REF":
            if node.get("query") is None:
                raise InvalidQueryError(
                    "SHOW is not allowed.", hint="DESCRIBE a table, or list datasets with the store."
                )
        case "FUNCTION" | "WINDOW_AGGREGATE":
            name = str(node.get("function_name", "")).lower()
            # Of one argument it is the time since then.
            findings.functions.add("now" if name == "age" and len(node.get("arguments", ())) == 1 else name)
            if name in _REFUSED_FUNCTIONS or name.startswith("__internal"):
                raise InvalidQueryError(
                    f"{name}() is not allowed in a query.",
                    hint="Queries look at data, not at the engine.",
                    function=name,
                )
        case str(kind) if kind.endswith("_NODE") and kind not in _NODES:
            # A WITH entry may hold INSERT, UPDATE or DELETE, and DuckDB gives a tree for those.
            raise InvalidQueryError(f"{kind.split('_')[0]} is not allowed: only queries are.", hint=_WHAT_RUNS)


def _note_columns(node: Mapping[str, Any], findings: _Findings) -> None:
    """Note which names may mean columns, so that the others need not be read."""
    match node.get("type"):
        case "VALUE_PARAMETER":
            findings.parameters.setdefault(str(node["identifier"]))
        case "STAR":
            findings.has_star = True
        case "JOIN":
            findings.nameless |= node.get("ref_type") in ("NATURAL", "POSITIONAL")
            findings.names |= {str(name).lower() for name in node.get("using_columns", ())}
        case "COLUMN_REF":
            path = [str(name).lower() for name in node["column_names"]]
            findings.names.update(path)
            findings.lone.update(_lone(path))
        case "POSITIONAL_REFERENCE" | "PIVOT" | "SHOW_REF":
            findings.nameless = True
        case "BASE_TABLE":
            name = _table_name(node).lower()
            findings.rows |= {name, name.removeprefix(f"{OWN_SCHEMA}."), str(node.get("alias", "")).lower()}
            findings.nameless |= bool(node.get("column_name_alias"))


def _lone(path: Sequence[str]) -> Sequence[str]:
    """Return the name that stands alone: `versions`, and in our own schema `foldstore.versions`."""
    return path if len(path) == 1 else path[1:] if len(path) == 2 and path[0] == OWN_SCHEMA else ()


def _table_name(node: Mapping[str, Any]) -> str:
    path = [str(part) for part in node["qualified_name"]["path"]]
    if node.get("at_clause"):
        raise InvalidQueryError(
            f"AT (...) does not choose a version of {path[-1]!r}.",
            hint=f'Name the version in the address: "{path[-1]}@3".',
            table=path[-1],
        )
    if len(path) > 1 and not (len(path) == 2 and path[0].lower() == OWN_SCHEMA):
        shown = ".".join(path)
        raise InvalidQueryError(
            f"{shown} names a schema; datasets and views stand for themselves.",
            hint=f'A name that holds a dot is quoted: "{shown}".',
            table=shown,
        )
    return ".".join(path)


def _check_table_function(name: str) -> None:
    if name.lower() in _TABLE_FUNCTIONS:
        return
    raise InvalidQueryError(
        f"The table function {name}() is not allowed.",
        hint="Queries read datasets and views of the store. To read a file, append it to a dataset first. "
        f"Allowed: {', '.join(sorted(_TABLE_FUNCTIONS))}.",
        function=name,
    )


def _children(node: Mapping[str, Any], scope: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Yield the parts of a node with the names in scope: each WITH entry sees the entries before it."""
    inner = scope
    definitions: Iterable[Mapping[str, Any]] = (node.get("cte_map") or {}).get("map", ())
    for entry in definitions:
        yield entry["value"], inner
        inner |= {str(entry["key"]).lower()}
    if node.get("type") == "RECURSIVE_CTE_NODE":
        inner |= {str(node["cte_name"]).lower()}
    for key, value in node.items():
        if key != "cte_map" and isinstance(value, (dict, list)):
            yield value, inner

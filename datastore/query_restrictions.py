"""Which values alone a query wants in a column of a catalog table, read from its syntax tree.

Only what cannot be mistaken is told: ``dataset = 'flights'`` or ``IN (...)``, alone or among conditions joined by AND,
in the WHERE of a SELECT that reads the table itself or through inner joins. Everything else wants every row.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias


class Operand(NamedTuple):
    """A text of the query, or the name of a parameter (its number for ``?``)."""

    text: str
    is_parameter: bool


# By table, then by column; of names in small letters.
Restrictions: TypeAlias = Mapping[str, Mapping[str, tuple[Operand, ...]]]
# A table where it stands: its name, and what may stand before the dot of a column of it.
_Place: TypeAlias = tuple[str, frozenset[str]]

_INNER: Final = frozenset({"REGULAR", "CROSS"})


def find_restrictions(tree: Mapping[str, Any], schema: str) -> Restrictions:
    """Return to which values a query restricts columns of tables of a schema.

    Parameters
    ----------
    tree : mapping
        The syntax tree of the statement.
    schema : str
        The schema; a table ``versions`` of it is told as ``foldstore.versions``.
    """
    uses: Counter[str] = Counter()
    found: dict[str, list[dict[str, tuple[Operand, ...]]]] = {}
    for node in _nodes(tree):
        if node.get("type") == "BASE_TABLE":
            uses[_name(node)] += 1
        elif node.get("type") == "SELECT_NODE" and node.get("sample") is None:
            for name, wanted in _restricted_in(node, schema):
                found.setdefault(name, []).append(wanted)
    return {
        name: {column: tuple(each for one in wanted for each in one[column]) for column in _shared(wanted)}
        for name, wanted in found.items()
        if uses[name] == len(wanted)  # each place of the table is restricted
    }


def _shared(wanted: Sequence[Mapping[str, Any]]) -> set[str]:
    return set.intersection(*map(set, wanted))


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, Mapping):
            yield node
            stack.extend(node.values())


def _restricted_in(select: Mapping[str, Any], schema: str) -> Iterator[tuple[str, dict[str, tuple[Operand, ...]]]]:
    source = select.get("from_table") or {}
    alone = source.get("type") == "BASE_TABLE"
    equals = list(_equals(select.get("where_clause")))
    for name, owners in _places(source, schema):
        wanted: dict[str, tuple[Operand, ...]] = {}
        for path, operands in equals:
            if (len(path) == 1 and alone) or ".".join(path[:-1]) in owners:
                wanted.setdefault(path[-1], operands)
        if wanted:
            yield name, wanted


def _places(source: Mapping[str, Any], schema: str) -> Iterator[_Place]:
    """Yield the tables of the schema that rows come from, as they are."""
    if source.get("type") == "JOIN" and source.get("join_type") == "INNER" and source.get("ref_type") in _INNER:
        yield from _places(source["left"], schema)
        yield from _places(source["right"], schema)
    elif source.get("type") == "BASE_TABLE" and source.get("sample") is None and not source.get("column_name_alias"):
        name = _name(source)
        if name.startswith(f"{schema}."):
            alias = str(source.get("alias", "")).lower()
            yield name, frozenset({alias} if alias else {name, name.removeprefix(f"{schema}.")})


def _equals(condition: Any) -> Iterator[tuple[Sequence[str], tuple[Operand, ...]]]:
    """Yield the columns that must be one of some values for a condition to hold."""
    if not isinstance(condition, Mapping):
        return
    match condition.get("type"):
        case "CONJUNCTION_AND":
            for each in condition["children"]:
                yield from _equals(each)
        case "COMPARE_EQUAL":
            left, right = condition["left"], condition["right"]
            column, value = (left, right) if left.get("type") == "COLUMN_REF" else (right, left)
            yield from _one(column, [value])
        case "COMPARE_IN":
            column, *values = condition["children"]
            yield from _one(column, values)


def _one(column: Mapping[str, Any], values: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Sequence[str], Any]]:
    operands = tuple(map(_operand, values))
    if column.get("type") == "COLUMN_REF" and None not in operands:
        yield [str(part).lower() for part in column["column_names"]], operands


def _operand(value: Mapping[str, Any]) -> Operand | None:
    literal = value.get("literal") or {}
    if value.get("type") == "VALUE_CONSTANT" and literal.get("kind") == "STRING":
        return Operand(str(literal["text"]), is_parameter=False)
    if value.get("type") == "VALUE_PARAMETER":
        return Operand(str(value["identifier"]), is_parameter=True)
    return None


def _name(node: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in node["qualified_name"]["path"]).lower()

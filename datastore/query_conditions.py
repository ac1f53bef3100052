"""Which conditions of a query every row of a table must meet, so that record batches without such a row are not read.

Only what is certainly true of every row that the answer is made of is taken: comparisons joined by AND in the WHERE of
the outermost SELECT, over a table that the query names once and that is joined, if at all, by inner joins alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.comparison import Comparison, read_comparisons

Tree = Mapping[str, Any]

_JOINS: Final = frozenset({("INNER", "REGULAR"), ("INNER", "CROSS")})


@dataclass(frozen=True, slots=True)
class QueryConditions:
    """The conditions of a query, and the tables that they may be about.

    Attributes
    ----------
    trees : tuple of mapping
        The syntax trees of what WHERE joins by AND.
    aliases : mapping of str to str
        What the query calls each table, in lower case, by the table's name in lower case.
    computed : frozenset of str
        Names that the query gives to what it computes: they may hide columns.
    """

    trees: tuple[Tree, ...] = ()
    aliases: Mapping[str, str] | None = None
    computed: frozenset[str] = frozenset()

    def comparisons(
        self, table: str, schema: pa.Schema, columns: Collection[str], values: Mapping[str, Any]
    ) -> list[Comparison]:
        """Return the comparisons that a row of a table must meet.

        Parameters
        ----------
        table : str
            The table's name in the query.
        schema : pyarrow.Schema
            Its columns.
        columns : collection of str
            The columns of all tables of the query.
        values : mapping of str to object
            What is bound to the parameters.
        """
        alias = (self.aliases or {}).get(table.lower())
        # A column of the alias' name could be a struct, and alias.x a field of it.
        if alias is None or alias in {name.lower() for name in columns}:
            return []
        found: list[Comparison] = []
        for tree in self.trees:
            renamed = self._of_table(tree, alias, schema)
            found += read_comparisons(renamed, schema, values)[0] if renamed is not None else ()
        return found

    def _of_table(self, tree: Tree, alias: str, schema: pa.Schema) -> Tree | None:
        """Return a condition with its column as the table spells it, or None when it is about anything else."""
        sides = [side for side in ("left", "right", "input") if _is_column(tree.get(side))]
        if len(sides) != 1:
            return None
        path = [str(name).lower() for name in tree[sides[0]]["column_names"]]
        if len(path) == 1 and (len(self.aliases or ()) > 1 or path[0] in self.computed):
            return None
        if len(path) == 2 and path[0] != alias:
            return None
        spelt = [name for name in schema.names if name.lower() == path[-1]]
        if len(path) > 2 or len(spelt) != 1:
            return None
        return {**tree, sides[0]: {**tree[sides[0]], "column_names": spelt}}


NO_CONDITIONS: Final = QueryConditions()


def find_conditions(node: Tree, uses: Sequence[str]) -> QueryConditions:
    """Read the conditions out of the outermost SELECT.

    Parameters
    ----------
    node : mapping
        The tree of the statement.
    uses : sequence of str
        The name of a table for each place in the whole query where one is named.
    """
    if node.get("type") != "SELECT_NODE" or node.get("sample") or not node.get("where_clause"):
        return NO_CONDITIONS
    tables = _joined(node.get("from_table") or {})
    if tables is None:
        return NO_CONDITIONS
    seen = [name.lower() for name in uses]
    aliases = {name: alias for name, alias in tables if seen.count(name) == 1}
    every = [alias for _, alias in tables]
    if not aliases or len(aliases) < len(tables) or len(set(every)) < len(every):
        return NO_CONDITIONS
    computed = frozenset(str(item.get("alias", "")).lower() for item in node["select_list"])
    return QueryConditions(tuple(_conjuncts(node["where_clause"])), aliases, computed)


def _joined(tree: Tree) -> list[tuple[str, str]] | None:
    """Return the tables of inner joins with their aliases, or None when FROM holds anything else."""
    if tree.get("sample"):
        return None
    if tree.get("type") == "JOIN":
        plain = (tree.get("join_type"), tree.get("ref_type")) in _JOINS and not tree.get("ranking_expression")
        left, right = _joined(tree["left"]), _joined(tree["right"])
        return left + right if plain and left is not None and right is not None else None
    if tree.get("type") != "BASE_TABLE" or tree.get("column_name_alias") or tree.get("at_clause"):
        return None
    path = tree["qualified_name"]["path"]
    if len(path) != 1:
        return None
    name = str(path[0]).lower()
    return [(name, str(tree.get("alias") or name).lower())]


def _conjuncts(tree: Tree) -> Iterator[Tree]:
    if tree.get("type") == "CONJUNCTION_AND":
        for child in tree["children"]:
            yield from _conjuncts(child)
    else:
        yield tree


def _is_column(tree: Any) -> bool:
    return isinstance(tree, Mapping) and tree.get("class") == "COLUMN_REF"

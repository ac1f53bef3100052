"""The names of an open store, for the shell: read from the catalog alone, and again after each statement."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from foldstore.cli.sql_completion import Names
from foldstore.errors import FoldstoreError

if TYPE_CHECKING:
    from foldstore.store import Store

# The newest versions of each dataset that are offered.
_MOST_VERSIONS: Final = 50
_ADDRESSES: Final = f"""
SELECT dataset FROM foldstore.datasets
UNION SELECT dataset || '@' || ref FROM foldstore.refs
UNION SELECT address FROM (
    SELECT address, row_number() OVER (PARTITION BY dataset ORDER BY version DESC) AS age FROM foldstore.versions
    WHERE expired_at IS NULL
) WHERE age <= {_MOST_VERSIONS}
UNION SELECT address FROM foldstore.splits WHERE address IS NOT NULL
UNION SELECT view FROM foldstore.views WHERE NOT is_archived
UNION SELECT address FROM foldstore.views WHERE NOT is_archived
ORDER BY 1
"""
_OWN: Final = "SELECT table_name, column_name FROM foldstore.tables"


class StoreNames:
    """What can be named in a store's SQL.

    Parameters
    ----------
    store : Store
        The open store.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._columns: dict[str, Sequence[str]] = {}

    @cached_property
    def addresses(self) -> list[str]:
        """Addresses of datasets, versions, refs, parts of splits and views."""
        return [row[0] for row in self._store.sql(_ADDRESSES).rows()]

    @cached_property
    def catalog_tables(self) -> Mapping[str, Sequence[str]]:
        """The catalog tables with their columns."""
        tables = defaultdict(list)
        for table, column in self._store.sql(_OWN).rows():
            tables[table].append(column)
        return dict(tables)

    @cached_property
    def functions(self) -> list[str]:
        """What DuckDB can call by a plain name."""
        from foldstore.datastore.engine_database import list_functions

        return list_functions()

    def columns(self, table: str) -> Sequence[str]:
        """Return the columns of a table; none when there is no such table."""
        if table in self.catalog_tables:
            return self.catalog_tables[table]
        if table not in self._columns:
            try:
                self._columns[table] = [name for name, _ in self.describe(table)]
            except FoldstoreError:
                self._columns[table] = []
        return self._columns[table]

    def describe(self, table: str) -> list[tuple[str, str]]:
        """Return names and types of a table's columns.

        Raises
        ------
        NotFoundError
            When there is no such table.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated is said when it is read
            # A part of a split has the columns of its version.
            view = self._store.view(table.partition("#")[0], quarantined=True)
            return [(field.name, str(field.type)) for field in view.arrow_schema]

    def forget(self) -> None:
        """Look again: a statement may have taken a while."""
        self._columns.clear()
        self.__dict__.pop("addresses", None)

    def to_names(self, commands: Mapping[str, Sequence[str]]) -> Names:
        """Return what the completion needs; behind the command that describes a table stand the tables."""
        tables = [*self.addresses, *self.catalog_tables]
        offered = {name: said or (tables if name == "\\d" else ()) for name, said in commands.items()}
        return Names(tables=tables, columns=self.columns, functions=self.functions, commands=offered)

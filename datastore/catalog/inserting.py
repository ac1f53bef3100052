"""Rows that many writers insert, and that mean the same whoever does: the first insert stands."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows that are not there, inside an open write transaction.

    Looking first would not do: where writers work side by side, another may insert between the look and the insert.
    All insert in the order of the keys, so that two never wait for each other.
    """
    if rows:
        keys = [column.name for column in table.primary_key]
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        ordered = sorted(rows, key=lambda row: tuple(row[name] for name in keys))
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), ordered)

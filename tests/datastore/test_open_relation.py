"""Rows shown to a DuckDB of the caller's."""

import gc

import duckdb
import pyarrow as pa
import pytest

from foldstore.datastore.engine import open_relation
from foldstore.errors import InvalidQueryError, UsageError


def test_the_relation_lives_where_it_was_asked_for() -> None:
    connection = duckdb.connect()
    relation = open_relation(pa.table({"x": [1, 2, 3]}), connection)
    gc.collect()
    relation.create_view("rows_of_mine")
    assert connection.sql("SELECT sum(x) FROM rows_of_mine").fetchall() == [(6,)]
    with pytest.raises(duckdb.CatalogException):
        duckdb.sql("SELECT * FROM rows_of_mine")


def test_without_a_connection_it_is_duckdbs_own() -> None:
    assert open_relation(pa.table({"x": [1, 2, 3]})).filter("x > 1").fetchall() == [(2,), (3,)]


def test_what_duckdb_cannot_show_is_refused_in_words() -> None:
    with pytest.raises(InvalidQueryError, match="differ in case only"):
        open_relation(pa.table({"a": [1], "A": [2]}))
    with pytest.raises(InvalidQueryError):
        open_relation(pa.table({"d": pa.array([1], pa.decimal256(60, 2))}))


def test_a_connection_is_duckdbs_and_open() -> None:
    with pytest.raises(UsageError, match="DuckDB connection, not str"):
        open_relation(pa.table({"x": [1]}), "mine.duckdb")
    closed = duckdb.connect()
    closed.close()
    with pytest.raises(UsageError, match="cannot be used"):
        open_relation(pa.table({"x": [1]}), closed)

"""Aggregates of sealed outcomes: what they give, checked by loops, and what no query gets."""
# ruff: noqa: E501 - an attack reads best on one line

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstore.datastore.engine import Engine
from foldstore.errors import ColumnNotFoundError, InvalidQueryError, NotFoundError, UsageError
from foldstore.views.features.outcomes import run_outcome_aggregates

HIDDEN = frozenset({"arr_delay", "dep_delay", "air_time"})
START = 1_000_000_000_000_000
MINUTE = 60_000_000
UTC = pa.timestamp("us", "UTC")
LANDED = "f.departs + (f.dep_delay + f.air_time + 20) * INTERVAL 1 MINUTE"


def window(key, join="LEFT JOIN", *, days=True):
    """The recommended form: the three days around each time make the join by time an equality."""
    back = ", (time_hour - back.days * INTERVAL 1 DAY)::DATE AS day" if days else ""
    return f"""
        SELECT asked.{key}, asked.ts, avg(f.arr_delay) AS mean_delay_3h, count(f.arr_delay) AS flights_3h
        FROM (SELECT DISTINCT {key}, time_hour AS ts{back} FROM flights{", range(3) back(days)" if days else ""}) asked
        {join} flights f ON f.{key} = asked.{key} {"AND f.departs::DATE = asked.day" if days else ""}
         AND {LANDED} <= asked.ts
         AND {LANDED} > asked.ts - INTERVAL 3 HOUR
        GROUP BY asked.{key}, asked.ts"""


@pytest.fixture(scope="module")
def engine():
    with Engine(threads=2, memory_limit="2GB") as engine:
        yield engine


@pytest.fixture(scope="module")
def year(engine):
    files = sorted((Path(__file__).parents[3] / "sample_data" / "flights").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    query = "SELECT *, time_hour + minute * INTERVAL 1 MINUTE AS departs FROM flights"
    return engine.run_query(query, {"flights": table}).to_arrow()


def small():
    """Twelve rows: carrier A has seven, of which one has no outcome; B has four; C has one."""
    carriers = ["A"] * 7 + ["B"] * 4 + ["C"]
    return pa.table(
        {
            "carrier": carriers,
            "flight": list(range(12)),
            "departs": pa.array([START + i * MINUTE for i in range(12)], UTC),
            "arr_delay": pa.array([1, 2, 3, 4, 5, 6, None, 10, 20, 30, 40, 99], pa.int32()),
            "dep_delay": pa.array([0] * 12, pa.int32()),
            "air_time": pa.array([0.0] * 12, pa.float64()),
        }
    )


def known(items, *, where="", by="f.carrier", source="flights f"):
    """Return a query over all outcomes that are known by 2030."""
    asked = "(SELECT TIMESTAMPTZ '2030-01-01' AS ts) a"
    return (
        f"SELECT {items}, a.ts FROM {source}, {asked} WHERE f.departs <= a.ts"
        f"{' AND ' if where else ''}{where} GROUP BY {by}{', ' if by else ''}a.ts"
    )


def run(engine, query, table=None, **options):
    tables = {"flights": small() if table is None else table, "plain": pa.table({"carrier": ["A", "A"], "w": [1, 2]})}

    def resolve(name):
        if name not in tables:
            raise NotFoundError(f"There is no {name!r}.")
        return tables[name]

    return run_outcome_aggregates(
        query,
        resolve,
        lambda name: HIDDEN if name == "flights" else (),
        engine=engine,
        event_time="ts",
        outcome_time={"flights": "departs"}.get,
        **options,
    )


def ask(engine, items, table=None, *, options=None, **parts):
    """Run a query over all known outcomes; the answer without its time."""
    result = run(engine, known(items, **parts), table, **(options or {}))
    return result.drop_columns(["ts"])


def rows(table):
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=str)


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
@pytest.mark.parametrize("key", ["carrier", "origin"])
def test_the_mean_of_three_hours_of_landed_flights_is_what_a_loop_finds(engine, year, key, join):
    result = run(engine, window(key, join), year)
    assert result.column_names == [key, "ts", "mean_delay_3h", "flights_3h"]
    delays = year["arr_delay"].to_numpy(zero_copy_only=False).astype(float)
    minutes = [year[name].to_numpy(zero_copy_only=False).astype(float) for name in ("dep_delay", "air_time")]
    landed = year["departs"].cast(pa.int64()).to_numpy() + (sum(minutes) + 20) * MINUTE
    keys = np.array(year[key].to_pylist())
    sample = np.random.default_rng(7).choice(result.num_rows, 400, replace=False)
    shown = 0
    for row in result.take(np.sort(sample)).to_pylist():
        ts = round(row["ts"].timestamp()) * 1_000_000
        inside = (keys == row[key]) & (landed <= ts) & (landed > ts - 180 * MINUTE) & ~np.isnan(delays)
        if inside.sum() < 5:
            assert (row["mean_delay_3h"], row["flights_3h"]) == (None, None)
        else:
            shown += 1
            assert row["flights_3h"] == inside.sum()
            assert row["mean_delay_3h"] == pytest.approx(delays[inside].mean(), rel=1e-12)
    assert shown > 100
    asked = set(zip(year[key].to_pylist(), year["time_hour"].to_pylist(), strict=True))
    assert result.num_rows == len(asked) if join == "LEFT JOIN" else result["flights_3h"].null_count == 0


def test_the_fast_form_gives_what_the_plain_form_gives(engine, year):
    january = year.filter(pa.compute.less(year["departs"], dt.datetime(2013, 2, 1, tzinfo=dt.UTC)))
    fast, plain = (run(engine, window("carrier", days=days), january) for days in (True, False))
    assert rows(fast) == rows(plain)
    assert fast.num_rows - fast["flights_3h"].null_count > 2_000


def test_cells_of_too_few_rows_are_null_and_their_values_are_nowhere_in_the_buffers(engine):
    result = ask(engine, "f.carrier, avg(f.arr_delay) AS m, count(f.arr_delay) AS n, count(*) AS k")
    assert rows(result) == [("A", 3.5, 6, 7), ("B", None, None, None), ("C", None, None, None)]
    assert result.schema.types == [pa.string(), pa.float64(), pa.int64(), pa.int64()]
    for name, secret in (("m", 25.0), ("n", 4), ("m", 99.0)):
        for chunk in result[name].chunks:
            held = np.frombuffer(chunk.buffers()[1], np.float64 if name == "m" else np.int64)
            assert secret not in held


def test_nulls_are_not_counted_towards_the_minimum(engine):
    items = "f.carrier, sum(f.arr_delay) AS s"
    assert rows(ask(engine, items, options={"minimum": 7})) == [("A", None), ("B", None), ("C", None)]
    assert rows(ask(engine, items, options={"minimum": 6}))[0][1] == 21


def test_nan_is_a_value(engine):
    table = small().set_column(5, "air_time", pa.array([math.nan] + [1.0] * 11))
    result = ask(engine, "f.carrier, avg(f.air_time) AS m, count(f.air_time) AS n", table)
    assert [str(cell) for cell in rows(result)[0]] == ["A", "nan", "7"]


def test_no_rows_give_no_groups_and_the_same_types(engine):
    items = "f.carrier, sum(f.arr_delay) AS s, count(*) AS n"
    empty = ask(engine, items, small().slice(0, 0))
    assert empty.num_rows == 0
    assert empty.schema == ask(engine, items).schema


def test_the_whole_table_is_a_group_when_time_alone_groups(engine):
    assert rows(ask(engine, "avg(f.arr_delay) AS m", by="")) == [(20.0,)]
    assert rows(ask(engine, "avg(f.arr_delay) AS m", small().slice(0, 4), by="")) == [(None,)]


def test_columns_cast_to_numbers_may_be_aggregated(engine):
    result = ask(engine, "f.carrier, sum(f.arr_delay::DOUBLE) AS s")
    assert rows(result)[0] == ("A", 21.0)
    assert result.schema.field("s").type == pa.float64()


def test_a_row_that_a_join_repeats_makes_the_cell_null(engine):
    items = "f.carrier, avg(f.arr_delay) AS m"
    assert rows(ask(engine, items))[0] == ("A", 3.5)
    for repeated in ("flights f, range(5) r(i)", "flights f JOIN plain p ON p.carrier = 'A'"):
        assert rows(ask(engine, items, source=repeated)) == [("A", None), ("B", None), ("C", None)]


def test_groups_that_an_outcome_brings_forth_are_left_out_when_they_are_small(engine):
    landed = f"{LANDED} > TIMESTAMPTZ '2000-01-01'"
    assert rows(ask(engine, "f.carrier, count(*) AS n", where=landed)) == [("A", 7)]
    assert ask(engine, "f.flight, count(*) AS n", where=landed, by="f.flight").num_rows == 0


def test_a_left_join_keeps_every_group_whatever_the_outcomes(engine):
    query = f"""SELECT a.carrier, a.ts, count(f.arr_delay) AS n FROM
        (SELECT DISTINCT carrier, TIMESTAMPTZ '2030-01-01' AS ts FROM flights) a
        LEFT JOIN flights f ON f.carrier = a.carrier AND {LANDED} <= a.ts GROUP BY a.carrier, a.ts"""
    assert [(row[0], row[2]) for row in rows(run(engine, query))] == [("A", 6), ("B", None), ("C", None)]
    filtered = query.replace("GROUP BY", "WHERE f.flight IS NOT NULL GROUP BY")
    assert [(row[0], row[2]) for row in rows(run(engine, filtered))] == [("A", 6)]


def test_known_rows_do_not_fill_a_group_up(engine):
    items = "f.carrier, avg(f.arr_delay) AS m"
    for sealed, cell in ((0, 3.5), (1, None), (4, None), (5, 3.5), (7, 3.5)):
        marks = pa.array([i < sealed for i in range(12)])
        assert rows(ask(engine, items, options={"sealed_rows": {"flights": marks}.get}))[0] == ("A", cell)
    null_among_the_five = pa.array([i in (2, 3, 4, 5, 6) for i in range(12)])
    assert rows(ask(engine, items, options={"sealed_rows": lambda name: null_among_the_five}))[0] == ("A", None)
    with pytest.raises(UsageError, match="not one value"):
        ask(engine, items, options={"sealed_rows": {"flights": marks.slice(1)}.get})


def test_queries_without_outcomes_run_as_they_are_over_tables_without_them(engine):
    assert rows(run(engine, "SELECT * FROM plain ORDER BY w")) == [("A", 1), ("A", 2)]
    assert rows(run(engine, "SELECT max(flight) OVER () AS m FROM flights LIMIT 1")) == [(11,)]


def test_names_are_taken_in_any_case_and_quoted(engine):
    items = 'F."Carrier", AVG("f"."ARR_DELAY") AS m'
    assert rows(ask(engine, items, source='"flights" F', by="f.CARRIER"))[0] == ("A", 3.5)


def test_what_does_not_fit_is_said_in_the_words_of_the_query(engine):
    with pytest.raises(ColumnNotFoundError, match="nothing"):
        ask(engine, "f.nothing, avg(f.arr_delay) AS m", by="f.nothing")
    with pytest.raises(InvalidQueryError) as caught:
        ask(engine, "sum(f.arr_delay) AS m", where="f.departs > 5", by="")
    assert not any(part in caught.value.message for part in ("outcomes_", "of_", "column_"))
    with pytest.raises(NotFoundError):
        run(engine, "SELECT sum(arr_delay) AS s FROM nowhere")
    with pytest.raises(UsageError, match="minimum"):
        run(engine, "SELECT 1", minimum=1)


def test_a_value_that_a_condition_cannot_take_makes_no_error(engine):
    # An overflow that raised would tell that the value is great, in a message that shows it.
    def late(factor):
        return ask(engine, "f.carrier, count(*) AS n", where=f"f.arr_delay * {factor} > 0")

    assert rows(late(1)) == [("A", 6)]
    assert rows(late(2_000_000_000)) == rows(late(2_000_000_000))
    assert late(9_000_000_000_000_000_000).num_rows in (0, 1)
    assert rows(ask(engine, "f.carrier, sum(f.arr_delay::INT) AS s"))[0][1] == 21


ATTACKS = {
    "a sealed column": "SELECT arr_delay FROM flights",
    "beside an aggregate": "SELECT f.flight, f.arr_delay, avg(f.arr_delay) AS m FROM flights f GROUP BY f.flight, f.arr_delay",
    "in a CASE": "SELECT flight, CASE WHEN arr_delay > 15 THEN 1 END AS late FROM flights GROUP BY flight",
    "a CASE inside": "SELECT carrier, sum(CASE WHEN flight = 3 THEN arr_delay END) AS s FROM flights GROUP BY carrier",
    "an indicator": "SELECT sum(arr_delay * (flight = 3)::INT) AS s FROM flights",
    "max": "SELECT carrier, max(arr_delay) AS m FROM flights GROUP BY carrier",
    "min": "SELECT carrier, min(arr_delay) AS m FROM flights GROUP BY carrier",
    "arg_max": "SELECT carrier, arg_max(flight, arr_delay) AS m FROM flights GROUP BY carrier",
    "first": "SELECT carrier, first(arr_delay) AS m FROM flights GROUP BY carrier",
    "any_value": "SELECT carrier, any_value(arr_delay) AS m FROM flights GROUP BY carrier",
    "list": "SELECT carrier, list(arr_delay) AS m FROM flights GROUP BY carrier",
    "string_agg": "SELECT carrier, string_agg(arr_delay::VARCHAR) AS m FROM flights GROUP BY carrier",
    "mode": "SELECT carrier, mode(arr_delay) AS m FROM flights GROUP BY carrier",
    "quantile": "SELECT carrier, quantile_cont(arr_delay, 0.1) AS m FROM flights GROUP BY carrier",
    "median": "SELECT carrier, median(arr_delay) AS m FROM flights GROUP BY carrier",
    "histogram": "SELECT carrier, histogram(arr_delay) AS m FROM flights GROUP BY carrier",
    "product": "SELECT carrier, product(arr_delay) AS m FROM flights GROUP BY carrier",
    "skewness": "SELECT carrier, skewness(arr_delay) AS m FROM flights GROUP BY carrier",
    "covariance": "SELECT carrier, covar_pop(arr_delay, flight) AS m FROM flights GROUP BY carrier",
    "DISTINCT": "SELECT carrier, sum(DISTINCT arr_delay) AS m FROM flights GROUP BY carrier",
    "ORDER BY inside": "SELECT carrier, sum(arr_delay ORDER BY flight) AS m FROM flights GROUP BY carrier",
    "FILTER": "SELECT carrier, sum(arr_delay) FILTER (flight = 3) AS m FROM flights GROUP BY carrier",
    "an expression of aggregates": "SELECT avg(arr_delay) - avg(dep_delay) AS d FROM flights",
    "a cast to text": "SELECT count(arr_delay::VARCHAR) AS c FROM flights",
    "a narrowing cast": "SELECT count(arr_delay::TINYINT) AS c FROM flights",
    "weights": "SELECT sum(flight) AS s FROM flights WHERE arr_delay > 15",
    "weights of another table": "SELECT sum(p.w) AS s, avg(f.arr_delay) AS m FROM flights f JOIN plain p ON f.flight < 3",
    "an unnamed aggregate": "SELECT avg(arr_delay) FROM flights",
    "GROUP BY sealed": "SELECT count(*) AS n FROM flights GROUP BY arr_delay",
    "GROUP BY an expression": "SELECT count(*) AS n, avg(arr_delay) AS m FROM flights GROUP BY flight = 3",
    "GROUP BY a position": "SELECT carrier, avg(arr_delay) AS m FROM flights GROUP BY 1",
    "GROUP BY ALL": "SELECT carrier, avg(arr_delay) AS m FROM flights GROUP BY ALL",
    "ROLLUP": "SELECT carrier, avg(arr_delay) AS m FROM flights GROUP BY ROLLUP (carrier)",
    "HAVING": "SELECT carrier FROM flights GROUP BY carrier HAVING max(arr_delay) > 15",
    "ORDER BY": "SELECT flight FROM flights ORDER BY arr_delay",
    "ORDER BY an aggregate": "SELECT carrier, avg(arr_delay) AS m FROM flights GROUP BY carrier ORDER BY m",
    "QUALIFY": "SELECT flight FROM flights QUALIFY row_number() OVER (ORDER BY arr_delay) = 1",
    "DISTINCT ON": "SELECT DISTINCT ON (arr_delay) flight FROM flights",
    "a window": "SELECT flight, avg(arr_delay) OVER (PARTITION BY flight) AS m FROM flights",
    "a nested query": "SELECT x FROM (SELECT arr_delay AS x FROM flights) s",
    "a nested aggregate": "SELECT m FROM (SELECT flight, avg(arr_delay) AS m FROM flights GROUP BY flight) s",
    "a CTE": "WITH s(x) AS (SELECT arr_delay FROM flights) SELECT x FROM s",
    "a CTE of that name": "WITH flights AS (SELECT * FROM flights) SELECT avg(arr_delay) AS m FROM flights",
    "a materialized CTE": "WITH s AS MATERIALIZED (FROM flights) SELECT * FROM s",
    "a recursive CTE": "WITH RECURSIVE s AS (SELECT arr_delay AS x FROM flights UNION SELECT x FROM s) SELECT x FROM s",
    "a star": "SELECT * FROM flights",
    "a star of an alias": "SELECT f.* FROM flights f",
    "a nested star": "SELECT s.flight FROM (SELECT * FROM flights) s",
    "a star with a replacement": "SELECT * REPLACE (1 AS flight) FROM flights",
    "COLUMNS": "SELECT COLUMNS('arr.*') FROM flights",
    "a whole row": "SELECT f FROM flights f",
    "a whole row as text": "SELECT count(*) AS n FROM flights f WHERE f::VARCHAR > 'x' GROUP BY f.flight",
    "a nested whole row": "SELECT s.r FROM (SELECT flights AS r FROM flights) s",
    "a lateral whole row": "SELECT avg(f.arr_delay) AS m, s.r FROM flights f, (SELECT f AS r) s GROUP BY s.r",
    "a whole row with its schema": "SELECT main.flights FROM flights",
    "a struct of the row": "SELECT struct_extract(f, 'arr_delay') AS x FROM flights f",
    "a field of the row": "SELECT (f).arr_delay FROM flights f",
    "a struct": "SELECT {'x': arr_delay} AS x FROM flights",
    "a lateral join": "SELECT s.x FROM flights f, LATERAL (SELECT f.arr_delay AS x) s",
    "unnest": "SELECT s.x FROM flights f, unnest([f.arr_delay]) s(x)",
    "a correlated subquery": "SELECT flight, (SELECT max(g.arr_delay) FROM flights g WHERE g.flight = f.flight) AS x FROM flights f",
    "EXISTS": "SELECT flight FROM plain p, flights f WHERE EXISTS (SELECT 1 FROM flights g WHERE g.arr_delay > 15)",
    "IN": "SELECT flight FROM flights WHERE 15 IN (SELECT arr_delay FROM flights)",
    "UNION": "SELECT 0 AS x UNION ALL SELECT arr_delay FROM flights",
    "EXCEPT": "SELECT x FROM range(99) r(x) EXCEPT SELECT arr_delay FROM flights",
    "an alias of a table's columns": "SELECT c FROM flights AS t(a, b, z, c)",
    "an alias over a table": "SELECT carrier.arr_delay FROM flights carrier",
    "an alias that hides": "SELECT s.arr_delay FROM (SELECT arr_delay AS flight, 1 AS arr_delay FROM flights) s",
    "another case": 'SELECT "ARR_Delay" FROM "flights"',
    "USING": "SELECT count(*) AS n FROM flights f JOIN (SELECT 1 AS arr_delay) s USING (arr_delay)",
    "NATURAL": "SELECT count(*) AS n FROM flights f NATURAL JOIN plain p",
    "POSITIONAL": "SELECT avg(f.arr_delay) AS m FROM flights f POSITIONAL JOIN plain p",
    "ASOF": "SELECT p.w, avg(f.arr_delay) AS m FROM plain p ASOF JOIN flights f ON p.w >= f.arr_delay GROUP BY p.w",
    "SEMI": "SELECT avg(f.arr_delay) AS m FROM flights f SEMI JOIN plain p ON f.flight = p.w",
    "ANTI": "SELECT avg(f.arr_delay) AS m FROM flights f ANTI JOIN plain p ON f.flight = p.w",
    "FULL": "SELECT avg(f.arr_delay) AS m FROM plain p FULL JOIN flights f ON f.flight = p.w",
    "rows without a partner": "SELECT p.w, avg(f.arr_delay) AS m FROM flights f LEFT JOIN plain p ON f.flight = p.w GROUP BY p.w",
    "a table of members": "SELECT p.carrier, avg(f.arr_delay) AS m FROM plain p JOIN flights f ON f.flight = p.w GROUP BY p.carrier",
    "a choice by OR": "SELECT avg(arr_delay) AS m FROM flights WHERE flight = 3 OR flight > 7",
    "a choice by IN": "SELECT avg(arr_delay) AS m FROM flights WHERE flight IN (1, 2, 3, 4, 5)",
    "all but one": "SELECT avg(arr_delay) AS m FROM flights WHERE flight <> 3",
    "a choice by NOT": "SELECT avg(arr_delay) AS m FROM flights WHERE NOT flight = 3",
    "an equality with an outcome": "SELECT count(*) AS n FROM flights WHERE arr_delay = 6",
    "an equality of expressions": "SELECT avg(arr_delay) AS m FROM flights WHERE flight * 2 = 6",
    "an error": "SELECT count(*) AS n FROM flights WHERE CASE WHEN arr_delay > 15 THEN error('x') ELSE true END",
    "an error of a cast": "SELECT count(*) AS n FROM flights WHERE (arr_delay::VARCHAR || 'x')::INT > 0",
    "a function": "SELECT count(*) AS n FROM flights WHERE 1 / arr_delay > 0",
    "a product of columns": "SELECT count(*) AS n FROM flights WHERE flight * arr_delay > 0",
    "a lambda": "SELECT list_transform([1], arr_delay -> arr_delay) AS x FROM flights",
    "a comprehension": "SELECT [arr_delay + x FOR x IN [1]] AS x FROM flights",
    "two tables of outcomes": "SELECT avg(f.arr_delay) AS m FROM flights f JOIN flights g ON f.carrier = 'A' AND g.arr_delay > 3",
    "one alias twice": "SELECT avg(f.arr_delay) AS m FROM flights f, plain f",
    "an unclear column": "SELECT avg(arr_delay) AS m FROM flights f, plain p",
    "a sample": "SELECT avg(arr_delay) AS m FROM flights USING SAMPLE 5",
    "a sample of a table": "SELECT avg(arr_delay) AS m FROM flights TABLESAMPLE 50%",
    "DESCRIBE": "SUMMARIZE flights",
    "a nested SUMMARIZE": "SELECT max FROM (SUMMARIZE flights) s",
    "PIVOT": "SELECT * FROM flights PIVOT (max(arr_delay) FOR carrier IN ('A'))",
    "UNPIVOT": "UNPIVOT flights ON arr_delay, dep_delay",
    "EXPLAIN": "EXPLAIN ANALYZE SELECT arr_delay FROM flights",
    "VALUES": "VALUES ((SELECT max(arr_delay) FROM flights))",
    "TABLE": "TABLE flights",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_other_use_of_an_outcome_gets_through(engine, attack):
    with pytest.raises(InvalidQueryError) as caught:
        run(engine, ATTACKS[attack])
    assert caught.value.code == "outcome-query-refused"
    assert caught.value.hint
    assert "no condition keeps" not in caught.value.message  # another rule stops it, whatever the time
    assert "the event time" not in caught.value.message


@pytest.mark.parametrize(
    "window", ["f.carrier = a.carrier", "f.departs >= a.ts AND f.departs < a.ts + INTERVAL 251 MINUTE"]
)
def test_a_row_does_not_get_its_own_outcome(engine, window):
    query = f"""SELECT a.carrier, a.ts, avg(f.arr_delay) AS m FROM (SELECT carrier, departs AS ts FROM flights) a
        LEFT JOIN flights f ON {window} GROUP BY a.carrier, a.ts"""
    with pytest.raises(InvalidQueryError, match="no condition keeps its outcomes"):
        run(engine, query)


UNNAMED = {
    "a lateral query of its columns": "flights f, (SELECT f.flight AS g) s",
    "a lateral query without an alias": "flights f, (SELECT CASE WHEN flight = 3 THEN 1 END AS g) s",
    "a lateral call": "flights f, unnest([f.flight]) s(g)",
}


@pytest.mark.parametrize("attack", UNNAMED)
def test_a_part_that_was_not_judged_finds_no_column_of_the_outcomes(engine, attack):
    with pytest.raises(InvalidQueryError, match="does not run"):
        ask(engine, "s.g, avg(f.arr_delay) AS m", source=UNNAMED[attack], by="s.g")


@pytest.mark.parametrize(
    ("items", "where", "by"),
    [
        ("count(*) AS n, sum(f.arr_delay) AS s", "f.flight = 3", ""),
        ("avg(f.arr_delay) AS m", "f.flight = 3 AND f.carrier = 'A'", ""),
        ("count(*) AS n", "f.arr_delay > 98", ""),
        ("f.flight, count(*) AS n, avg(f.arr_delay) AS m", "", "f.flight"),
        ("f.flight, count(*) AS n", "f.arr_delay > 15", "f.flight"),
    ],
)
def test_a_single_row_never_shows(engine, items, where, by):
    result = ask(engine, items, where=where, by=by)
    for name in set(result.column_names) - {"flight"}:
        assert result[name].null_count == result.num_rows
    if "arr_delay >" in where:
        assert result.num_rows == 0

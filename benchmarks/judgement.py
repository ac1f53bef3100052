"""Profiles, validation (targets P1 to P4) and bias, against DuckDB's one aggregate query. Run with make bench."""

import shutil
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import foldstore
from benchmarks.measure import Row, interleave
from foldstore.datastore.statistics.profile import profile_table
from foldstore.sample_data import months


def _aggregate(table):
    parts = []
    for field in table.schema:
        name = f'"{field.name}"'
        parts += [f"count({name})", f"min({name})", f"max({name})", f"approx_count_distinct({name})"]
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            parts += [f"avg({name})", f"stddev({name})", f"approx_quantile({name}, [0.25, 0.5, 0.75])"]
    return f"SELECT {', '.join(f'{part} AS c{n}' for n, part in enumerate(parts))} FROM held"


def rows():
    year = pa.concat_tables([pq.read_table(month) for month in months()])
    table = pa.concat_tables([year] * 6)
    with duckdb.connect() as connection:
        connection.register("held", table)
        query = _aggregate(table)
        best = interleave(
            {"ours": lambda: profile_table(table), "duckdb": lambda: connection.sql(query).to_arrow_table()}, repeats=3
        )
    yield Row("P1 profile 2 M flights x 19 columns", best["ours"], best["duckdb"], "DuckDB aggregates", limit=2)
    yield _bias(table)
    part = table.slice(0, table.num_rows // 100)
    new = interleave({"part": lambda: profile_table(part)}, repeats=5)
    yield Row("P2 profile of +1 % rows", new["part"], best["ours"], "the full profile", limit=0.03)
    folder = Path(tempfile.mkdtemp())
    try:
        yield from _validate(folder)
    finally:
        shutil.rmtree(folder)


_GROUPS = """
SELECT carrier, origin, arr_delay > 15, count(*) FROM held
WHERE carrier IS NOT NULL AND arr_delay IS NOT NULL GROUP BY ALL
"""


def _bias(table):
    def measure():
        return foldstore.measure_bias(
            table, label="arr_delay", positive="> 15", sensitive="carrier", conditional_on="origin"
        )

    measure()  # what it imports is another row's matter
    with duckdb.connect() as connection:
        connection.register("held", table)
        best = interleave({"ours": measure, "duckdb": lambda: connection.sql(_GROUPS).to_arrow_table()}, repeats=7)
    return Row("bias of 2 M flights, 16 facets, strata", best["ours"], best["duckdb"], "DuckDB group by alone", limit=3)


def _validate(folder):
    with foldstore.connect(folder / "store") as store:
        flights = store.create_dataset("flights", key=["carrier", "flight", "origin", "time_hour"])
        january = flights.append(months()[0])
        february = flights.append(months()[1])
        schema = january.profile().infer_schema()
        february.validate(schema, rows="added")
        best = interleave(
            {
                "again": lambda: store.version("flights@2").validate(schema, rows="added"),
                "drift": lambda: february.drift(january),
            },
            repeats=7,
        )
    yield Row("validate 24,951 stored rows x 19 columns, profile kept", best["again"], best["again"], "itself")
    yield Row("P4 drift of 19 columns, profiles kept", best["drift"], 10, "target", limit=1)

"""Profiles, validation (targets P1 to P4, P6) and bias, against DuckDB's one aggregate query. Run with make bench."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import foldstore
from benchmarks.measure import Row, interleave
from foldstore.datastore.statistics.profile import profile_table
from foldstore.datastore.statistics.row_profile import RowProfile
from foldstore.datastore.statistics.row_source import StreamedRows
from foldstore.datastore.statistics.segments import profile_segments
from foldstore.drift_reference import read_subject
from foldstore.sample_data import months
from foldstore.validation.check import drift_between
from foldstore.validation.column_domains import NumericDomain, TextDomain, TokenDomain
from foldstore.validation.schema import DataSchema


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
    new = interleave({"part": lambda: profile_table(part), "whole": lambda: profile_table(table)}, repeats=5)
    yield Row("P2 profile of +1 % rows", new["part"], new["whole"], "the full profile", limit=0.03)
    yield from _joint(table)
    for rows in (2_000_000, 6_000_000):
        spent = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(rows)], capture_output=True, text=True, check=True
        ).stdout
        name = f"P6 memory of a profile of {rows // 1_000_000} M rows x 17 columns"
        yield Row(name, float(spent), 256, "target", unit="MB", limit=1)
    folder = Path(tempfile.mkdtemp())
    try:
        yield from _checks(folder, year)
        yield from _validate(folder)
        yield from _segments(folder)
    finally:
        shutil.rmtree(folder)


# Random rows that are made as they are read: texts and numbers of which no two are alike, and few categories.
_MEMORY = """
import sys, threading, time
import numpy as np, pyarrow as pa, pyarrow.compute as pc
from benchmarks.measure import anonymous_memory
from foldstore.datastore.statistics.profile import profile_batches

names = [f"f{i}" for i in range(6)] + [f"i{i}" for i in range(5)] + [f"s{i}" for i in range(3)]
kinds = [pa.float64()] * 6 + [pa.int64()] * 5 + [pa.string()] * 3
schema = pa.schema([*zip(names, kinds), ("c0", pa.string()), ("c1", pa.string()), ("t", pa.timestamp("us"))])
generator = np.random.default_rng(0)

def batches(rows):
    for _ in range(0, rows, 65_536):
        columns = [pa.array(generator.normal(size=65_536)) for _ in range(6)]
        whole = [pa.array(generator.integers(-2**62, 2**62, 65_536)) for _ in range(5)]
        texts = [pc.cast(each, pa.string()) for each in whole[:3]]
        few = [pc.cast(pa.array(generator.integers(0, 50, 65_536)), pa.string()) for _ in range(2)]
        times = pa.array(generator.integers(0, 2**50, 65_536)).view(pa.timestamp("us"))
        yield pa.record_batch([*columns, *whole, *texts, *few, times], schema=schema)

profile_batches(schema, batches(1))
before, peak, done = anonymous_memory(), [0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous_memory())

watcher = threading.Thread(target=watch)
watcher.start()
profile_batches(schema, batches(int(sys.argv[1])))
done.set()
watcher.join()
print((peak[0] - before) / 1e6)
"""


def _joint(table):
    """Segments, correlations and label tables over the same rows, beside the query that groups them."""
    rows = StreamedRows(table.schema, lambda names: table.select(names).to_batches())
    held = RowProfile(**{name: getattr(profile_table(table), name) for name in ("rows", "columns")}, source=rows)
    numbers = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    pairs = [f'corr("{a}", "{b}")' for n, a in enumerate(numbers) for b in numbers[n + 1 :]]
    with duckdb.connect() as connection:
        connection.register("held", table)
        grouped = _aggregate(table) + " GROUP BY origin"
        correlated = f"SELECT {', '.join(f'{pair} AS c{n}' for n, pair in enumerate(pairs))} FROM held"
        best = interleave(
            {
                "segments": lambda: profile_segments(rows, "origin"),
                "groups": lambda: connection.sql(grouped).to_arrow_table(),
                "pairs": held.correlations,
                "corr": lambda: connection.sql(correlated).to_arrow_table(),
                "against": lambda: held.against("origin"),
            },
            repeats=3,
        )
    yield Row("profile by origin, 3 segments x 19 columns", best["segments"], best["groups"], "DuckDB, grouped")
    yield Row(f"correlations of {len(numbers)} columns", best["pairs"], best["corr"], "DuckDB corr of each pair")
    yield Row("18 features against origin", best["against"], best["groups"], "DuckDB aggregates, grouped")


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


# Every check is one that the hand-written pass has, too.
_CHECKS = """
columns:
  year: {type: int32, nullable: false, domain: {min: 2013, max: 2013}}
  month: {type: int32, nullable: false, domain: {min: 1, max: 12}}
  day: {type: int32, nullable: false, domain: {min: 1, max: 31}}
  dep_delay: {type: int32, min_fraction: 0.9, domain: {min: -60, max: 2000}}
  arr_delay: {type: int32, min_fraction: 0.9, domain: {min: -120, max: 2000}}
  air_time: {type: int32, min_fraction: 0.9, domain: {min: 10, max: 900}}
  distance: {type: int32, nullable: false, domain: {min: 10, max: 6000}}
  carrier: {type: string, nullable: false,
            domain: {values: [9E, AA, AS, B6, DL, EV, F9, FL, HA, MQ, OO, UA, US, VX, WN, YV]}}
  origin: {type: string, nullable: false, domain: {values: [EWR, JFK, LGA]}}
  dest: {type: string, nullable: false, domain: {pattern: "[A-Z]{3}"}}
  tailnum: {type: string, min_fraction: 0.9, domain: {max_length: 6}}
  hour: {type: int32, nullable: false}
rules:
  - {name: hour, expr: "hour BETWEEN 0 AND 24"}
"""


def _by_hand(frame):
    """Ask all of it in one pass of polars, as somebody would who knows the checks beforehand."""
    asked = [pl.len()]
    for name, column in DataSchema.from_yaml(_CHECKS).columns.items():
        asked.append(pl.col(name).null_count().alias(f"{name} null"))
        match column.domain:
            case NumericDomain(min=low, max=high):
                asked.append((pl.col(name) < low).sum().alias(f"{name} low"))
                asked.append((pl.col(name) > high).sum().alias(f"{name} high"))
            case TokenDomain(values=values):
                asked.append((~pl.col(name).is_in(list(values))).sum().alias(f"{name} values"))
            case TextDomain(pattern=None, max_length=most):
                asked.append((pl.col(name).str.len_chars() > most).sum().alias(f"{name} length"))
            case TextDomain(pattern=pattern):
                asked.append((~pl.col(name).str.contains(f"^(?:{pattern})$")).sum().alias(f"{name} pattern"))
    asked.append((~pl.col("hour").is_between(0, 24)).sum().alias("rule"))
    return asked, lambda: frame.lazy().select(asked).collect()


def _checks(folder, year):
    """P3: half a million rows by checks that somebody wrote; of new rows as much is made as is asked, or all."""
    table = pa.concat_tables([year, year.slice(0, 163_000)]).select([*DataSchema.from_yaml(_CHECKS).columns])
    with foldstore.connect(folder / "checked") as store:
        flights = store.create_dataset("flights")
        version, schema = flights.append(table), DataSchema.from_yaml(_CHECKS)
        asked, pass_by_hand = _by_hand(pl.from_arrow(table))
        version.validate(schema)
        best = interleave(
            {
                "kept": lambda: version.validate(schema),
                "fresh": lambda: flights.validate(table, schema=schema),
                "whole": lambda: flights.validate(table, schema=schema).profile_id,
                "polars": pass_by_hand,
            },
            repeats=25,
        )
    name = f"{len(asked) - 1} checks of {table.num_rows:,} rows"
    yield Row(f"P3 {name}, a stored version", best["kept"], best["polars"], "one pass of polars", limit=1.5)
    yield Row(f"P3 {name}, new rows", best["fresh"], best["polars"], "one pass of polars", limit=1.5)
    yield Row(f"   {name}, new rows, profile and all", best["whole"], best["polars"], "one pass of polars")


def _validate(folder):
    with foldstore.connect(folder / "store") as store:
        flights = store.create_dataset("flights", key=["carrier", "flight", "origin", "time_hour"])
        january = flights.append(months()[0])
        february = flights.append(months()[1])
        schema = january.profile().infer_schema()
        february.validate(schema, rows="added")
        february.drift(january)
        best = interleave(
            {
                "again": lambda: store.version("flights@2").validate(schema, rows="added"),
                "drift": lambda: february.drift(january),
                "first": lambda: _drift_anew(folder / "store"),
                "opened": lambda: _open_anew(folder / "store"),
            },
            repeats=7,
        )
    yield Row("validate 24,951 stored rows x 19 columns, profile kept", best["again"], best["again"], "itself")
    yield Row("P4 drift of 19 columns, profiles at hand", best["drift"], 10, "target", limit=1)
    first = best["first"] - best["opened"]
    yield Row("   the first of a store that was just opened", first, 10, "target")


def _segments(folder):
    """Yield drift by segment, from kept profiles and the first time, beside the drift of one filtered view each."""
    year = [pq.read_table(month) for month in months()]
    with foldstore.connect(folder / "halves") as store:
        flights = store.create_dataset("flights")
        spring = flights.append(pa.concat_tables(year[:6]))
        autumn = flights.append(pa.concat_tables(year[6:]))
        sides = spring.view(), store.view("flights").where("month > 6")
        carriers = sorted(set(year[0]["carrier"].to_pylist()) | set(year[6]["carrier"].to_pylist()))

        def one_by_one():
            for carrier in carriers:
                drift_between(*(read_subject(side.where(f"carrier = '{carrier}'")) for side in sides))

        started = process_time()
        found = autumn.drift(spring, by="carrier", rows="added")
        first = 1000 * (process_time() - started)
        best = interleave(
            {"kept": lambda: autumn.drift(spring, by="carrier", rows="added"), "views": one_by_one},
            repeats=3,
            clock=process_time,
        )
    name = f"drift by {len(found.segments)} carriers x 19 columns, 2 x 168,000 rows"
    beside = "each filtered view compared by itself"
    yield Row(f"{name}, profiles at hand, processor time", best["kept"], best["views"], beside)
    yield Row("   the first time, processor time", first, best["views"], beside)


def _open_anew(folder):
    with foldstore.connect(folder) as store:
        return store.version("flights@2"), store.version("flights@1")


def _drift_anew(folder):
    with foldstore.connect(folder) as store:
        return store.version("flights@2").drift(store.version("flights@1"))

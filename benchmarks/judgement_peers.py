"""Judgement beside pandera, Great Expectations, Evidently, whylogs and TFDV: `make bench-judgement-peers`.

Each peer is used as its own documentation shows, on rows in memory in the form that it takes. What it does less or
more than ours is said at its job.
"""

import json
import os
import subprocess
import tempfile
import warnings
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import foldstore
from benchmarks.judgement import _CHECKS
from benchmarks.measure import Row, interleave
from foldstore.datastore.statistics.profile import profile_table
from foldstore.sample_data import months
from foldstore.validation.column_domains import NumericDomain, TextDomain, TokenDomain
from foldstore.validation.schema import DataSchema

_REPEATS = 5
_WHYLOGS = Path(__file__).parent.parent / ".venv-whylogs" / "bin" / "python"
_TFDV = Path(__file__).parent.parent / ".venv-tfdv" / "bin" / "python"


def rows():
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")  # Great Expectations draws bars
    year = pa.concat_tables([pq.read_table(month) for month in months()])
    schema = DataSchema.from_yaml(_CHECKS)
    table = pa.concat_tables([year, year.slice(0, 163_000)]).select([*schema.columns])
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        yield from _checks(store, schema, table)
        yield from _drift(store)
        yield from _profile(Path(folder), year)
        yield from _tfdv(Path(folder), store, year)


def _checks(store, schema, table):
    """P3: 29 checks; theirs are of rows in memory, ours of a stored version, and of the same rows anew."""
    flights = store.create_dataset("checked")
    version = flights.append(table)
    version.validate(schema)
    jobs = {
        "ours": lambda: version.validate(schema),
        "new": lambda: flights.validate(table, schema=schema),
        "pandera": _pandera(schema, pl.from_arrow(table)),
        "expectations": _expectations(schema, table.to_pandas()),
    }
    best = interleave(jobs, repeats=_REPEATS)
    for peer, name in (("pandera", "pandera on polars"), ("expectations", "Great Expectations")):
        yield Row(f"P3 29 checks of {table.num_rows:,} rows, stored", best["ours"], best[peer], name)
        yield Row("   new rows, with their whole profile", best["new"], best[peer], name)


def _pandera(schema, frame):
    """Pandera's schema has the same checks, but for the rule, which is a range there; it keeps no profile."""
    import pandera.polars as pa_polars

    def column(name, each):
        checks = []
        match each.domain:
            case NumericDomain(min=low, max=high):
                checks.append(pa_polars.Check.in_range(low, high))
            case TokenDomain(values=values):
                checks.append(pa_polars.Check.isin(list(values)))
            case TextDomain(pattern=None, max_length=most):
                checks.append(pa_polars.Check.str_length(max_value=most))
            case TextDomain(pattern=pattern):
                checks.append(pa_polars.Check.str_matches(f"^(?:{pattern})$"))
        if name == "hour":
            checks.append(pa_polars.Check.in_range(0, 24))
        return pa_polars.Column(frame.schema[name], checks, nullable=each.nullable)

    made = pa_polars.DataFrameSchema({name: column(name, each) for name, each in schema.columns.items()})
    return lambda: made.validate(frame, lazy=True)


def _expectations(schema, frame):
    """Great Expectations' suite has the same checks on pandas; its report has examples, as ours has."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("flights")
    batches = asset.add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="checks")
    e = gx.expectations
    for name, each in schema.columns.items():
        mostly = 1.0 if not each.nullable else each.min_fraction
        suite.add_expectation(e.ExpectColumnValuesToNotBeNull(column=name, mostly=mostly))
        match each.domain:
            case NumericDomain(min=low, max=high):
                suite.add_expectation(e.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
            case TokenDomain(values=values):
                suite.add_expectation(e.ExpectColumnValuesToBeInSet(column=name, value_set=list(values)))
            case TextDomain(pattern=None, max_length=most):
                suite.add_expectation(e.ExpectColumnValueLengthsToBeBetween(column=name, max_value=most))
            case TextDomain(pattern=pattern):
                suite.add_expectation(e.ExpectColumnValuesToMatchRegex(column=name, regex=f"^(?:{pattern})$"))
    suite.add_expectation(e.ExpectColumnValuesToBeBetween(column="hour", min_value=0, max_value=24))
    return lambda: batches.get_batch(batch_parameters={"dataframe": frame}).validate(suite)


def _drift(store):
    """P4: February beside January; Evidently computes from raw rows, ours from kept profiles or from raw rows."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    tables = [pq.read_table(month) for month in months()[:2]]
    flights = store.create_dataset("flights", key=["carrier", "flight", "origin", "time_hour"])
    january, february = (flights.append(table) for table in tables)
    frames = [table.drop_columns(["time_hour"]).to_pandas() for table in tables]
    february.drift(january)
    best = interleave(
        {
            "ours": lambda: february.drift(january, rows="added"),
            "raw": lambda: [profile_table(table) for table in tables],
            "evidently": lambda: Report([DataDriftPreset()]).run(current_data=frames[1], reference_data=frames[0]),
        },
        repeats=3,
    )
    yield Row("P4 drift of 19 columns, profiles at hand", best["ours"], best["evidently"], "Evidently, raw rows")
    whole = best["ours"] + best["raw"]
    yield Row("P4 the same from raw rows", whole, best["evidently"], "Evidently, raw rows", limit=0.1)


def _profile(folder, year):
    """P1: a profile of a year; whylogs keeps sketches alone, ours exact counts up to 10,000 values and more besides."""
    if not _WHYLOGS.exists():
        print("  whylogs needs an environment of its own: `make bench-judgement-peers` makes it", flush=True)
        return
    path = folder / "year.parquet"
    pq.write_table(year, path)
    best = interleave({"ours": lambda: profile_table(year)}, repeats=_REPEATS)
    script = Path(__file__).parent / "whylogs_job.py"
    said = subprocess.run(
        [str(_WHYLOGS), str(script), str(path), "2"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    best["ours"] = min(best["ours"], interleave({"ours": lambda: profile_table(year)}, repeats=_REPEATS)["ours"])
    yield Row(f"P1 profile of {year.num_rows:,} flights x 19 columns", best["ours"], float(said), "whylogs, pandas")


def _tfdv(folder, store, year):
    """P1, P3 and P4 beside TFDV: statistics of a year, and February judged by a schema of January with drift."""
    if not _TFDV.exists():
        print("  TFDV needs an environment of its own: `make bench-judgement-peers` makes it", flush=True)
        return
    tables = [pq.read_table(month) for month in months()[:2]]
    flights = store.create_dataset("months")
    schema = flights.append(tables[0]).profile().infer_schema()
    february = flights.append(tables[1])
    february.validate(schema, rows="added")
    jobs = {
        "profile": lambda: profile_table(year),
        "judged": lambda: february.validate(schema, rows="added"),
        "new": lambda: flights.validate(tables[1], schema=schema),
    }
    best = interleave(jobs, repeats=_REPEATS)
    paths = folder / "whole.parquet", folder / "february.parquet"
    for path, table in zip(paths, (year, tables[1]), strict=True):
        pq.write_table(table, path)
    script = Path(__file__).parent / "tfdv_job.py"
    command = [str(_TFDV), str(script), *map(str, paths), str(_REPEATS)]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    best = {name: min(best[name], again) for name, again in interleave(jobs, repeats=_REPEATS).items()}
    for name, said in (
        ("profile", f"P1 profile of {year.num_rows:,} flights x 19 columns"),
        ("judged", "P3 a month by a schema with drift, statistics at hand"),
        ("new", "   the same, statistics made for it"),
    ):
        yield Row(said, best[name], theirs[name], "TFDV, pandas")

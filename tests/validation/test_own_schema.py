"""Whatever a table holds, it passes the schema that was inferred from it, and the schema says why."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.statistics.profile import profile_table
from foldstore.validation.check import validate
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from tests.views.arrow_types import ARRAYS

# What is said of values that no bound of the schema rules out.
TOLD = {"drift_untestable", "null_encoded_as_value"}

EXTREMES = [
    float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e308,
    -1e308,
    1.7976931348623157e308,
]
FLOATS = st.sampled_from(EXTREMES) | st.floats(width=64)
DAYS = st.sampled_from([dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1970, 1, 1)]) | st.dates()
TIMES = st.sampled_from([dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]) | st.datetimes()  # noqa: DTZ001
TEXTS = st.sampled_from(
    ["", " ", "a", "A", "\x00", "é", "NA", "true", "false", "007", "12", "-1.5e3", "2013-01-31", "2013-01-31T10:00:00Z",
     "a@b.org", "http://a.b/c", "10.0.0.1", "[1]", "one two three words", "x" * 5_000]
) | st.text(max_size=8)  # fmt: skip
COLUMNS = st.sampled_from(
    [
        (pa.float64(), FLOATS),
        (pa.float32(), st.floats(width=32)),
        (pa.int64(), st.sampled_from([-(2**63), 2**63 - 1, 0]) | st.integers(-3, 3)),
        (pa.uint64(), st.sampled_from([0, 2**64 - 1]) | st.integers(0, 2**64 - 1)),
        (pa.int8(), st.integers(-128, 127)),
        (pa.bool_(), st.booleans()),
        (pa.string(), TEXTS),
        (pa.large_string(), TEXTS),
        (pa.binary(), st.binary(max_size=3)),
        (pa.date32(), DAYS),
        (pa.timestamp("us"), TIMES),
        (pa.timestamp("us", "UTC"), TIMES),
        (pa.time64("us"), st.times()),
        (pa.duration("us"), st.timedeltas(dt.timedelta(days=-(10**8)), dt.timedelta(days=10**8))),
        (pa.decimal128(38, 2), st.decimals(-(10**30), 10**30, places=2).map(lambda each: each + Decimal("0.00"))),
        (pa.list_(pa.float64()), st.lists(FLOATS, max_size=3)),
        (pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(-3, 3), max_size=2), max_size=2)),
        (pa.struct({"a": pa.int64(), "b": pa.string()}), st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXTS})),
        (pa.map_(pa.string(), pa.float64()), st.lists(st.tuples(st.text(max_size=2), FLOATS), max_size=2)),
        (pa.null(), st.none()),
    ]
)  # fmt: skip
# A name decides too: calendars, categories, places.
NAMES = st.sampled_from(["x", "id", "status", "year", "lat", "longitude", "day_of_week", "a.b", "a[]"])


@st.composite
def tables(draw):
    """Draw a table of a few values, repeated so often that every rule of the inference has rows enough."""
    rows = draw(st.sampled_from([0, 1, 2, 7, 30]))
    times = draw(st.sampled_from([1, 4, 40]))
    columns = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        kind, values = draw(COLUMNS)
        held = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        if draw(st.booleans()):
            held = [each for each in held if each is not None] or held
            held = (held * rows)[:rows]
        columns[name] = pa.array(held * times, kind)
    return pa.table(columns)


def check_own_schema(table, **options):
    profile = profile_table(table)
    schema = infer_schema(profile, **options)
    report = validate(TableSubject(table, "t"), schema)
    found = {each.code for each in report.anomalies} - TOLD
    assert found == ({"no_data"} if not table.num_rows else set()), report.to_text()
    assert DataSchema.from_yaml(schema.to_yaml()).id == DataSchema.from_json(schema.to_json()).id == schema.id
    for column in schema.columns.values():
        check_reasons(column)
    return schema


def check_reasons(column):
    """Check that each part which could refuse a value says why it is there, and that no reason is of nothing."""
    plain = column.to_dict()
    why = column.evidence.get("why", {})
    given = {each.partition(".")[0] for each in why}
    asked = {"min_fraction", "domain", "unique", "bounds", "drift", "grid"} & plain.keys()
    if plain.get("nullable") is False:
        asked = (asked - {"min_fraction"}) | {"nullable"}
    assert asked <= given <= asked | {"constant"}
    assert {f"domain.{part}" for part in plain.get("domain", {})} <= why.keys()


@settings(max_examples=100)
@given(tables())
def test_any_table_passes_its_own_schema(table):
    check_own_schema(table)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(1, 3_000))
def test_whole_numbers_that_are_names_pass_too(values, times):
    check_own_schema(pa.table({"zone": values * times}), categorical=["zone"])


@pytest.mark.parametrize("name", ARRAYS)
def test_every_arrow_type_passes_its_own_schema(name):
    check_own_schema(pa.table({"x": ARRAYS[name]}))


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=30_000),
        np.exp(5 * np.random.default_rng(0).normal(size=30_000)),
        np.random.default_rng(0).standard_cauchy(size=1_500),
        np.where(np.random.default_rng(0).random(5_000) < 0.98, 0.0, np.random.default_rng(1).random(5_000)),
        np.random.default_rng(0).integers(-(2**62), 2**62, 100_000),
        np.arange(200_000),
        [f"user{each}@example.org" for each in range(20_000)],
        [f"{each:032x}" for each in range(70_000)],
        [*(f"v{each % 100}" for each in range(20_000)), *(f"rare{each}" for each in range(50))],
        np.concatenate([np.full(5_000, 1e308), np.full(5_000, -1e308), np.full(5, 5e-324)]),
    ],
    ids=["normal", "heavy tail", "cauchy", "mostly zero", "wide", "sequence", "emails", "hexes", "top mass", "far"],
)
def test_many_values_pass_their_own_schema(values):
    check_own_schema(pa.table({"x": values}))

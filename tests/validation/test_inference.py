"""What inference says of a column follows from its profile, and sound later data passes."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.pinned import CategoryGrid, NumericGrid, WeekGrid, count_array
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import ColumnNotFoundError
from foldstore.validation.check import validate
from foldstore.validation.column_domains import CategoryDomain
from foldstore.validation.inference import infer_distributions, infer_schema
from foldstore.validation.intervals import cohen_h, fraction_above, wilson
from foldstore.validation.subject import TableSubject


def infer(values, name="x", **options):
    return infer_schema(profile_table(pa.table({name: values})), **options).columns[name]


GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        GENERATOR.normal(size=20_000),
        GENERATOR.normal(size=2_000),
        np.exp(3 * GENERATOR.normal(size=20_000)),
        GENERATOR.integers(0, 50, 5_000),
        GENERATOR.integers(-(2**62), 2**62, 30_000),
        GENERATOR.poisson(2, 5_000),
        GENERATOR.normal(size=20_000).astype(np.float32),
        GENERATOR.choice(["a", "b", "c"], 5_000),
        GENERATOR.random(5_000) < 0.1,
    ],
    ids=["normal", "few normal", "lognormal", "integers", "great integers", "poisson", "float32", "text", "bool"],
)
def test_reference_counts_are_those_of_the_rows(values):
    column = infer(values)
    if column.grid is None:
        assert len(np.unique(values)) > 0.95 * len(values)
        return
    assert column.reference == count_array(pa.array(values), column.grid)


def test_numbers_get_twenty_cells_of_equal_mass():
    column = infer(np.random.default_rng(1).normal(size=50_000))
    assert isinstance(column.grid, NumericGrid)
    assert column.grid.cells == 20
    assert max(column.reference.cells) < 0.055 * 50_000


def test_a_point_mass_has_a_cell_of_its_own():
    values = np.concatenate([np.zeros(1_000), np.random.default_rng(2).normal(size=9_000)])
    column = infer(values)
    assert 1_000 in column.reference.cells


@given(st.lists(st.integers(-5, 5), min_size=2))
def test_any_column_of_few_values_passes_its_own_schema(values):
    table = pa.table({"x": values})
    report = validate(TableSubject(table, "t"), infer_schema(profile_table(table)))
    assert not [each for each in report.anomalies if each.code != "drift_untestable"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", [2013] * 500 + [2014] * 500),
        ("order_month", list(range(1, 11)) * 100),
        ("birthDay", list(range(1, 11)) * 100),
        ("day_of_week", list(range(7)) * 200),
        ("t", [f"2013-01-{1 + i % 28:02}" for i in range(1_000)]),
        ("x", [7] * 1_000),
        ("x", pa.nulls(1_000, pa.int64())),
        ("x", pa.nulls(1_000)),
        ("x", [[1]] * 1_000),
    ],
)
def test_calendar_columns_and_constants_get_neither_domain_nor_drift(name, values):
    column = infer(values, name)
    # Texts that read as dates are judged by that.
    domain = column.domain if name == "t" else None
    assert (column.domain, column.drift, column.grid, column.constant) == (domain, None, None, True)


@pytest.mark.parametrize("make", [dt.date, lambda *day: dt.datetime(*day, tzinfo=dt.UTC)])
def test_times_are_compared_by_their_week_alone(make):
    column = infer([make(2013, 1, 1 + i % 28) for i in range(1_000)], "t")
    assert (column.domain, column.constant) == (None, True)
    assert isinstance(column.grid, WeekGrid)
    assert column.drift is not None
    assert infer([make(2013, 1, 1)] * 1_000, "t").drift is None


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (["a"] * 1_000, ["b"] * 1_000, "value_outside_domain"),
        ([3] * 1_000, [7] * 1_000, "quantile_out_of_bounds"),
        ([3.5] * 1_000, [-3.5] * 1_000, "quantile_out_of_bounds"),
    ],
)
def test_another_value_of_a_constant_is_a_warning(before, after, code):
    schema = infer_schema(profile_table(pa.table({"x": before})))
    found = validate(TableSubject(pa.table({"x": after}), "t"), schema).anomalies
    assert [(each.code, str(each.severity)) for each in found] == [(code, "warn")]
    assert not validate(TableSubject(pa.table({"x": before}), "t"), schema).anomalies


def test_a_few_rows_of_one_value_bind_nobody():
    assert infer(["a"] * 99).domain is None


@pytest.mark.parametrize("name", ["hour", "daylight", "yearly_income", "holidays"])
def test_other_names_are_no_calendar(name):
    assert infer(list(range(20)) * 100, name).drift is not None


def test_identifiers_get_no_drift():
    assert infer(np.random.default_rng(3).permutation(5_000)).drift is None
    assert infer([f"id{i}" for i in range(5_000)]).drift is None
    keyed = infer(list(range(100)) * 20, keys=["x"])
    assert keyed.drift is None
    assert infer(list(range(100)) * 20).drift is not None


def test_few_repeating_words_are_a_domain_with_room_for_the_unseen():
    column = infer(["a"] * 600 + ["b"] * 399 + ["c"])
    assert column.domain.values == ("a", "b", "c")
    assert column.domain.min_mass == pytest.approx(1 - (1 + 3) / 1_000)
    assert isinstance(column.grid, CategoryGrid)
    assert not isinstance(infer([f"w{i % 300}" for i in range(1_000)]).domain, CategoryDomain)


def test_the_vocabulary_covers_99_percent():
    values = ["a"] * 900 + ["b"] * 95 + ["c"] * 4 + ["d"]
    column = infer(values)
    assert column.grid.values == ("a", "b")
    assert column.reference.cells == (900, 95, 5)


@pytest.mark.parametrize(
    ("nulls", "rows", "nullable", "min_fraction"),
    [(0, 300, False, 1.0), (0, 100, True, 0.97), (10, 10, True, 0.0)],
)
def test_presence_follows_the_rule_of_three(nulls, rows, nullable, min_fraction):
    column = infer(pa.array([None] * nulls + list(range(rows - nulls)), pa.int64()))
    assert (column.nullable, column.min_fraction) == (nullable, min_fraction)


def test_nulls_may_rise_by_chance_and_by_a_small_effect():
    few = infer([None] * 2 + [1, 2] * 49)
    assert few.min_fraction == pytest.approx(1 - wilson(2, 100, 3.0)[1], abs=1e-6)
    many = infer([None] * 2_000 + [1, 2] * 49_000)
    assert cohen_h(1 - many.min_fraction, 0.02) == pytest.approx(0.10, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "values", "limits"),
    [
        ("x", np.arange(2_000) % 10, (0, None)),
        ("x", np.arange(2_000) % 10 - 1, None),
        ("x", np.arange(500) % 10, None),
        ("x", np.linspace(0, 1, 2_000), (0, 1)),
        ("lat", np.linspace(-40, 60, 2_000), (-90, 90)),
        ("longitude", np.linspace(-100, -60, 2_000), (-180, 180)),
    ],
)
def test_only_provable_ranges_are_inferred(name, values, limits):
    domain = infer(values, name).domain
    assert (None if domain is None or domain.min is None else (domain.min, domain.max)) == limits


def test_a_key_that_is_no_column_is_refused():
    with pytest.raises(ColumnNotFoundError, match="'y'"):
        infer([1], keys=["y"])


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    expected = binomtest(10, 100).proportion_ci(0.95, "wilson")
    assert wilson(10, 100, 1.959963984540054) == pytest.approx((expected.low, expected.high))
    assert wilson(0, 0, 3.0) == (0.0, 1.0)
    assert wilson(0, 10, 3.0)[0] == 0.0
    assert wilson(10, 10, 3.0)[1] == 1.0


def test_fraction_above_inverts_cohens_h():
    assert cohen_h(0.02, fraction_above(0.02, 0.1)) == pytest.approx(0.1)
    assert fraction_above(0.999, 1.0) == 1.0


def test_the_grids_of_a_comparison_are_those_of_the_inferred_schema():
    table = pa.table({"n": list(range(100)) * 30, "s": ["a", "b", "c"] * 1_000, "one": [1] * 3_000})
    profile = profile_table(table)
    inferred = infer_schema(profile).columns
    alone = infer_distributions(profile)
    assert alone.keys() == {name for name, column in inferred.items() if column.drift is not None} == {"n", "s"}
    for name, column in alone.items():
        assert (column.grid, column.reference) == (inferred[name].grid, inferred[name].reference)


@pytest.mark.parametrize("kind", [pa.float64(), pa.string(), pa.timestamp("us"), pa.list_(pa.int64())], ids=str)
def test_a_column_that_was_all_null_and_is_filled_is_news(kind):
    schema = infer_schema(profile_table(pa.table({"x": pa.nulls(200, kind)})))
    assert schema.columns["x"].evidence["why"]["unique.max"] == "all of 200 rows are null"
    assert schema.columns["x"].unique.max == 0
    value = {pa.list_(pa.int64()): [1], pa.string(): "a"}.get(kind, 1)
    filled = pa.table({"x": pa.array([value] + [None] * 99, kind)})
    (found,) = [a for a in validate(TableSubject(filled, "t"), schema).anomalies if a.column == "x"]
    assert (found.code, str(found.severity), found.observed, found.expected) == ("unique_high", "warn", 1, 0)
    assert validate(TableSubject(pa.table({"x": pa.nulls(50, kind)}), "t"), schema).anomalies == ()
    assert validate(TableSubject(filled, "t"), schema.accept([found])).anomalies == ()


def test_few_nulls_say_nothing_of_what_comes():
    assert infer_schema(profile_table(pa.table({"x": pa.nulls(99, pa.int64())}))).columns["x"].unique is None

"""Each part of an inferred schema follows from the profile by its rule, and breaks with a warning where it is soft."""

import datetime as dt
from math import sqrt

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom, norm

import foldstore
from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import ColumnNotFoundError, InvalidSchemaError
from foldstore.types import Severity
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import Bounds, Uniqueness
from foldstore.validation.column_domains import CategoryDomain, NumericDomain, TextDomain
from foldstore.validation.drift.trend import noise_floor
from foldstore.validation.evolution import bump
from foldstore.validation.inference import infer_schema
from foldstore.validation.inferred_bounds import infer_bounds
from foldstore.validation.intervals import wilson
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.text_types import suggest_type

RNG = np.random.default_rng(7)


def infer(values, name="x", **options):
    return infer_schema(profile_table(pa.table({name: values})), **options).columns[name]


def judge(schema_of, values, name="x"):
    schema = infer_schema(profile_table(pa.table({name: schema_of})))
    return {each.code: each for each in validate(TableSubject(pa.table({name: values}), "t"), schema).anomalies}


# Quantiles


def test_outer_quantiles_are_bounded_three_interquartile_ranges_further_out():
    values = RNG.normal(size=200_000)
    low, high = np.quantile(values, [0.001, 0.999])
    slack = 3 * np.subtract(*np.quantile(values, [0.75, 0.25]))
    bounds = infer(values).bounds
    assert bounds.quantiles["0.001"][0] == pytest.approx(low - slack, abs=0.02)
    assert bounds.quantiles["0.999"][1] == pytest.approx(high + slack, abs=0.02)
    assert high + slack == pytest.approx(norm.ppf(0.999) + 6 * norm.ppf(0.75), abs=0.1)


def test_a_heavy_tail_may_reach_what_its_quantile_may_by_chance():
    values = np.sort(np.exp(3 * RNG.normal(size=50_000)))
    rank = 0.999 + 3 * sqrt(0.001 * 0.999 / 50_000)
    assert infer(values).bounds.quantiles["0.999"][1] == pytest.approx(np.quantile(values, rank), rel=0.05)


def test_few_numbers_are_bounded_at_quantiles_that_they_can_tell():
    assert set(infer(RNG.normal(size=2_000)).bounds.quantiles) == {"0.01", "0.99"}
    assert infer(RNG.normal(size=999)).bounds is None


def test_a_quantile_beyond_its_bound_is_a_warning_with_a_fix_for_both_sides():
    found = judge(RNG.normal(size=20_000), np.concatenate([RNG.normal(size=9_000), [50.0] * 500, [-50.0] * 500]))
    assert found["quantile_out_of_bounds"].severity is Severity.WARN
    schema = infer_schema(profile_table(pa.table({"x": RNG.normal(size=20_000)})))
    wild = TableSubject(pa.table({"x": [50.0] * 100 + [-50.0] * 100 + [0.0] * 800}), "t")
    both = [each for each in validate(wild, schema).anomalies if each.code == "quantile_out_of_bounds"]
    assert len(both) == 2
    assert "quantile_out_of_bounds" not in validate(wild, schema.accept(both)).by_code()


def test_one_stray_value_of_few_does_not_say_where_a_quantile_lies():
    schema = DataSchema.from_dict(
        {"columns": {"x": {"type": "double", "bounds": {"quantiles": {"0.99": [None, 10.0]}, "confidence": 0.99}}}}
    )

    def codes(values, schema=schema):
        return set(validate(TableSubject(pa.table({"x": values}), "t"), schema).by_code())

    assert codes([0.0] * 99 + [11.0]) == codes([0.0] * 9 + [11.0]) == set()
    beyond = next(k for k in range(1, 100) if binom.sf(k - 1, 100, 0.01) < 0.01)
    assert codes([0.0] * (101 - beyond) + [11.0] * (beyond - 1)) == set()
    assert codes([0.0] * (100 - beyond) + [11.0] * beyond) == {"quantile_out_of_bounds"}
    strict = schema.with_column("x", bounds=Bounds(quantiles={"0.99": (None, 10.0)}))
    assert codes([0.0] * 9 + [11.0], strict) == {"quantile_out_of_bounds"}


def test_many_cells_are_counted_as_a_whole_beyond_a_bound():
    values = RNG.normal(size=60_000)  # more than are counted one by one
    schema = infer_schema(profile_table(pa.table({"x": values})))
    for moved, is_found in ((values, False), (values[:20_000], False), (values * 4, True), (values + 12, True)):
        report = validate(TableSubject(pa.table({"x": moved}), "t"), schema)
        assert ("quantile_out_of_bounds" in report.by_code()) is is_found


def test_a_lower_bound_that_the_domain_has_already_is_left_out():
    column = infer(np.arange(5_000) % 50)
    assert column.domain.min == 0
    assert set(column.bounds.quantiles) == {"0.99"}


def test_confidence_is_checked_and_its_change_weighed():
    with pytest.raises(InvalidSchemaError, match=r"at least 0\.5"):
        Bounds(quantiles={"0.5": (0, 1)}, confidence=0.4)
    schema = DataSchema.from_dict({"columns": {"x": {"type": "double", "bounds": {"quantiles": {"0.5": [0, 1]}}}}})
    surer = schema.with_column("x", bounds=Bounds(quantiles={"0.5": (0, 1)}, confidence=0.99))
    assert bump("1.0.0", schema.diff(surer)) == "1.1.0"
    assert bump("1.0.0", surer.diff(schema)) == "2.0.0"


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: np.exp(3 * rng.normal(size=n)),
        lambda rng, n: rng.standard_cauchy(size=n),
        lambda rng, n: np.where(rng.random(n) < 0.95, 0.0, rng.exponential(size=n)),
        lambda rng, n: rng.poisson(0.3, n),
    ],
    ids=["normal", "lognormal", "cauchy", "mostly zero", "counts"],
)
@pytest.mark.parametrize(("rows", "fresh"), [(1_000, 1_000), (1_000, 100), (12_000, 1_000), (12_000, 12_000)])
def test_fresh_rows_of_one_distribution_stay_inside(draw, rows, fresh):
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(100):
        found = infer_bounds(profile_array(pa.array(draw(rng, rows))))
        schema = DataSchema.from_dict({"columns": {"x": {"type": "double", "bounds": found[0].to_dict()}}})
        table = pa.table({"x": draw(rng, fresh).astype(np.float64)})
        alarms += "quantile_out_of_bounds" in validate(TableSubject(table, "t"), schema).by_code()
    assert alarms <= 2  # of 100


# Texts


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([str(each) for each in range(200)], "int64"),
        ([str(each) for each in range(-100, 100)], "int64"),
        ([f"{each}.5" for each in range(200)], "double"),
        (["1e5", "2"] * 100, "double"),
        (["9" * 30, "1"] * 100, "double"),
        ([f"{each:05}" for each in range(200)], None),  # codes: a number would lose their zeros
        (["true", "false"] * 60, "bool"),
        (["Yes", "No"] * 60, "bool"),
        (["yes", "No"] * 60, None),
        (["true"] * 120, None),
        (["t", ""] * 120, None),
        (["2013-01-31", "2013-02-28"] * 60, "date32[day]"),
        (["2013-01-31T10:00:00", "2013-02-28 11:30"] * 60, "timestamp[us]"),
        (["2013-01-31T10:00:00Z", "2013-02-28T11:30:00+01:00"] * 60, "timestamp[us, tz=UTC]"),
        (["31/01/2013", "28/02/2013"] * 60, None),  # which is the day?
        (["1", "2"] * 49, None),
        (["1"] * 2_000 + ["x"] * 2, "int64"),
        (["1"] * 2_000 + ["x"] * 3, None),
        (["", " "] * 100, None),
        (["1", "", "2"] * 50, "int64"),
        ([f"{each}" for each in range(20_000)], "int64"),
        ([f"2013-01-{each % 28 + 1:02}T10:00:{each % 60:02}.{each}" for each in range(20_000)], "timestamp[us]"),
    ],
)  # fmt: skip
def test_texts_that_read_as_another_type_say_so(texts, expected):
    found = suggest_type(profile_array(pa.array(texts)))
    assert (None if found is None else found["type"]) == expected


def test_a_suggestion_is_evidence_and_not_applied():
    column = infer(["17", "4", ""] * 100)
    assert column.type == "string"
    assert column.suggested_type == "200 of 200 texts read as int64; 100 are blank"
    assert column.evidence["suggested"] == {"type": "int64", "share": 1.0, "of": 200, "blank": 100}
    assert infer(["a"] * 100).suggested_type is None


@pytest.mark.parametrize(
    ("texts", "semantic"),
    [
        ([f"user{each}@example.org" for each in range(12_000)], "email"),
        ([f"https://example.org/{each}" for each in range(12_000)], "url"),
        ([f"10.0.{each % 256}.{each // 256}" for each in range(12_000)], "ipv4"),
        ([f"{each:08x}-0000-4000-8000-{each:012x}" for each in range(12_000)], "uuid"),
        ([f'{{"n": {each}}}' for each in range(2_000)], "json"),
        ([str(dt.date(2000, 1, 1) + dt.timedelta(days=each)) for each in range(2_000)], "date"),
    ],
)
def test_a_class_that_nearly_all_texts_have_is_asked_of_the_next(texts, semantic):
    column = infer(texts)
    assert column.domain.semantic == semantic
    n = len(texts)
    assert column.domain.min_mass == pytest.approx(1 - wilson(0, n, 3.0)[1], abs=1e-6)
    odd = ["no such thing"] * (n // 50)
    assert "semantic_class_changed" not in judge(texts, texts)
    found = judge(texts, [*texts[len(odd) :], *odd])["semantic_class_changed"]
    assert (found.severity, found.count) == (Severity.WARN, len(odd))


def test_a_few_odd_texts_are_room_for_as_many():
    texts = [f"user{each}@example.org" for each in range(5_000)] + ["none"] * 4
    column = infer(texts)
    assert column.domain.min_mass == pytest.approx(1 - wilson(4, 5_004, 3.0)[1], abs=1e-6)
    assert "semantic_class_changed" not in judge(texts, texts)
    assert infer([*texts, *["none"] * 5]).domain.semantic is None  # below 99.9 %


def test_lengths_leave_room_and_break_with_a_warning():
    texts = [f"N{each % 900 + 100}{'AB' if each % 2 else ''}" for each in range(2_000)]
    texts = [f"{text}{each}" for each, text in enumerate(texts)]
    column = infer(texts)
    assert isinstance(column.domain, TextDomain)
    lengths = [len(text) for text in texts]
    assert column.domain.min_length <= min(lengths)
    assert column.domain.max_length >= max(lengths)
    found = judge(texts, [*texts, "N" * 100])["length_high"]
    assert (found.severity, found.count) == (Severity.WARN, 1)
    assert judge(texts, [*texts, ""])["length_low"].severity is Severity.WARN


def test_lengths_that_the_statistics_rule_out_need_no_look_at_the_rows():
    class Unread(TableSubject):
        def batches(self, columns):
            raise AssertionError(columns)

    schema = DataSchema.from_dict(
        {"columns": {"x": {"type": "string", "domain": {"min_length": 1, "max_length": 9, "semantic": "email"}}}}
    )
    assert validate(Unread(pa.table({"x": ["a@b.org"] * 9}), "t"), schema).passed


# Categories


def test_a_hundred_values_that_are_nearly_all_are_a_domain():
    texts = [f"v{each % 100:02}" for each in range(20_000)] + [f"rare{each}" for each in range(150)]
    domain = infer(texts).domain
    n = len(texts)
    assert domain.values == tuple(f"v{each:02}" for each in range(100))
    unseen = (150 + 3 * sqrt(150)) / n
    assert domain.min_mass == pytest.approx(1 - unseen - wilson(150, n, 3.0)[1], abs=1e-6)
    assert "value_outside_domain" not in judge(texts, texts)
    less = texts + [f"more{each}" for each in range(200)]
    assert not isinstance(infer(less).domain, CategoryDomain)  # a hundred hold less than 99 %


def test_a_few_new_values_in_few_rows_are_chance_and_many_are_not():
    texts = ["a"] * 5_000 + ["b"] * 4_999 + ["c"]
    allowed = 1 - infer(texts).domain.min_mass
    assert allowed == pytest.approx(4 / 10_000)
    few = next(k for k in range(1, 100) if binom.sf(k - 1, 200, allowed) < 0.01)
    assert "value_outside_domain" not in judge(texts, ["a"] * (201 - few) + ["z"] * (few - 1))
    assert "value_outside_domain" in judge(texts, ["a"] * (200 - few) + ["z"] * few)
    strict = DataSchema.from_dict({"columns": {"x": {"type": "string", "domain": {"values": ["a"], "min_mass": 0.99}}}})
    rows = TableSubject(pa.table({"x": ["a"] * 98 + ["z"] * 2}), "t")
    assert "value_outside_domain" in validate(rows, strict).by_code()


def test_rain_is_no_fraction_and_a_share_is():
    rain = np.where(RNG.random(5_000) < 0.9, 0.0, RNG.exponential(0.05, 5_000))
    assert infer(np.minimum(rain, 0.99)).domain.max is None
    assert infer(RNG.random(5_000)).domain.max == 1
    assert infer(np.where(RNG.random(5_000) < 0.02, 1.0, 0.0)).domain.max == 1


def test_whole_numbers_that_a_person_calls_names_are_listed():
    zones = [each % 7 for each in range(2_000)]
    column = infer(zones, "zone", categorical=["zone"])
    assert isinstance(column.domain, CategoryDomain)
    assert column.domain.values == tuple(range(7))
    assert column.grid.values == tuple(range(7))
    assert column.bounds is None
    many = infer(list(range(2_000)) * 2, "zone", categorical=["zone"])
    assert many.domain == NumericDomain(categorical=True)
    with pytest.raises(ColumnNotFoundError, match="'zoen'"):
        infer(zones, "zone", categorical=["zoen"])


@pytest.mark.parametrize(
    ("name", "values", "is_flagged"),
    [
        ("status", [0, 1, 2] * 1_000, True),
        ("zip_code", [10_001, 10_002] * 1_000, True),
        ("cabinClass", [1, 2, 3] * 1_000, True),
        ("education_level", [1, 2, 3] * 1_000, True),
        ("group2", [1, 2, 3] * 1_000, True),
        ("children", [0, 1, 2] * 1_000, False),
        ("zip_code", list(range(1_000)) * 3, False),
        ("status", np.array([0.5, 1.5] * 1_000), False),
    ],
)
def test_few_whole_numbers_are_flagged_by_their_name(name, values, is_flagged):
    column = infer(values, name)
    assert getattr(column.domain, "categorical", False) is is_flagged
    if is_flagged:
        assert column.bounds is None


@pytest.mark.parametrize("name", ["hours_per_week", "default_next_month"])
def test_a_rate_and_a_flag_are_no_calendar(name):
    values = [each % 40 for each in range(2_000)] if name.startswith("hours") else [0, 1] * 1_000
    assert infer(values, name).drift is not None


def test_texts_that_are_days_are_a_calendar():
    texts = [f"2013-01-{each % 28 + 1:02}" for each in range(2_000)]
    column = infer(texts)
    assert not isinstance(column.domain, CategoryDomain)
    assert column.drift is None
    february = [text.replace("-01-", "-02-") for text in texts]
    assert not judge(texts, february)


# Keys


@pytest.mark.parametrize(
    ("values", "is_key"),
    [
        (np.random.default_rng(3).permutation(5_000), True),
        ([f"A{each}" for each in range(1_000)], True),
        (np.arange(999), False),
        ([*range(1_999), 0], False),
        (np.random.default_rng(3).normal(size=5_000), False),  # a measure
        ([None, *range(2_000)], False),
        ([f"a text of some words, {each} times" for each in range(2_000)], False),
        ([f"{each:0100}" for each in range(2_000)], False),
    ],
)
def test_values_that_all_differ_are_suggested_as_a_key(values, is_key):
    column = infer(values)
    assert column.unique == (Uniqueness(key=True) if is_key else None)
    if is_key:
        found = judge(
            values, np.concatenate([values, values[:2]]) if isinstance(values, np.ndarray) else [*values, values[0]]
        )
        assert found["duplicate_key"].severity is Severity.WARN
        assert found["duplicate_key"].column == "x"


def test_a_part_of_the_key_is_no_key_for_itself():
    assert infer(np.arange(5_000), keys=["x"]).unique is None


def test_where_values_are_too_many_to_count_the_rows_decide(tmp_path):
    ids = np.arange(80_000)
    profile = profile_table(pa.table({"x": ids}))
    assert not profile.columns["x"].distinct_exact
    assert infer_schema(profile).columns["x"].unique is None
    with foldstore.connect(tmp_path / "store") as store:
        once = store.create_dataset("once").append({"x": ids})
        assert once.profile().infer_schema().columns["x"].unique == Uniqueness(key=True)
        assert "looked at" in once.profile().infer_schema().columns["x"].evidence["why"]["unique.key"]
        ids[-1] = 0
        twice = store.create_dataset("twice").append({"x": ids})
        assert twice.profile().infer_schema().columns["x"].unique is None


# History


def batch(rng, spread):
    return {"x": rng.normal(rng.normal(0, spread), 1, size=2_000), "y": rng.integers(0, 5, 2_000)}


def test_limits_of_drift_follow_eight_versions(tmp_path):
    rng = np.random.default_rng(5)
    with foldstore.connect(tmp_path / "store") as store:
        data = store.create_dataset("data")
        for _ in range(7):
            version = data.append(batch(rng, 0.5))
        usual = version.profile().infer_schema().columns["x"]
        assert (usual.drift.tau_warn, usual.drift.tau_error) == (0.1, 0.2)
        assert "no versions before" in usual.evidence["why"]["drift"]
        version = data.append(batch(rng, 0.5))
        schema = version.profile().infer_schema()
        effects = [data.version(n).drift(version, rows="added").columns for n in range(1, 9)]
        for name in ("x", "y"):
            expected = noise_floor([each[name].effect for each in effects])
            assert schema.columns[name].drift.tau_warn == pytest.approx(max(expected, 0.02), abs=1e-4)
            assert schema.columns[name].drift.tau_error == pytest.approx(2 * schema.columns[name].drift.tau_warn)
            assert "8 versions" in schema.columns[name].evidence["why"]["drift"]
        assert schema.columns["x"].drift.tau_warn > 0.1  # these batches differ more than is usual
        assert schema.columns["y"].drift.tau_warn == 0.02
        assert version.profile().infer_schema(history=False).columns["x"].drift.tau_warn == 0.1
        data.set_schema(schema)
        assert str(data.append(batch(rng, 0.5)).status) == "published"

"""Rows as a set: repeats, gaps, keys of other datasets; held against loops, and inside a store."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.validation.check import validate
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import ForeignKey
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import StreamSubject, TableSubject
from foldstore.validation.surroundings import Surroundings
from tests.views.arrow_types import ARRAYS

SMALL = st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.sampled_from("ab")), max_size=12)


def codes(report):
    return {each.code: each for each in report.anomalies}


@given(SMALL, st.integers(1, 4))
def test_repeated_rows_are_those_that_a_loop_has_seen(rows, size):
    table = pa.table(
        {"x": pa.array([x for x, _ in rows], pa.int64()), "y": pa.array([y for _, y in rows], pa.string())}
    )
    subject = StreamSubject(table.schema, lambda names: iter(table.select(names).to_batches(size)), "t")
    schema = DataSchema(
        columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="string")}, max_duplicate_fraction=0.0
    )
    repeats = [at for at, row in enumerate(rows) if row in rows[:at]]
    found = codes(validate(subject, schema)).get("duplicate_rows")
    assert (found.count if found else 0) == len(repeats)
    assert [each["row"] for each in found.example_rows] == repeats[:10] if found else not repeats


@given(SMALL, SMALL)
def test_keys_that_another_dataset_lacks_or_shares(rows, held):
    def table(pairs):
        return pa.table(
            {"x": pa.array([x for x, _ in pairs], pa.int32()), "y": pa.array([y for _, y in pairs], pa.string())}
        )

    schema = DataSchema(
        columns={"x": ColumnSchema(type="int32"), "y": ColumnSchema(type="string")},
        keys=("x", "y"),
        refs=(ForeignKey(columns=("x", "y"), dataset="other"),),
        overlap={"other": 0.0},
    )
    report = codes(
        validate(TableSubject(table(rows), "t"), schema, Surroundings(others=lambda _: TableSubject(table(held), "o")))
    )
    whole = [row for row in rows if None not in row]
    missing = [row for row in whole if row not in held]
    shared = {row for row in whole if row in held}
    assert (report["foreign_key_missing"].count if "foreign_key_missing" in report else 0) == len(missing)
    assert (report["split_overlap"].count if "split_overlap" in report else 0) == len(shared)
    if shared:
        assert report["split_overlap"].fraction == len(shared) / len(set(whole))


@given(st.lists(st.integers(-200, 200), max_size=30), st.sampled_from(["s", "ms", "us", "ns"]))
def test_gaps_are_those_of_a_loop(minutes, unit):
    start = dt.datetime.fromisoformat("1970-01-01T00:00")
    times = pa.array([start + dt.timedelta(minutes=each) for each in minutes], pa.timestamp(unit))
    schema = DataSchema(columns={"t": ColumnSchema(type=f"timestamp[{unit}]")}, time_column="t", time_step="15m")
    seen = {each // 15 for each in minutes}
    missing = [each for each in range(min(seen, default=0), max(seen, default=0)) if each not in seen]
    found = codes(validate(TableSubject(pa.table({"t": times}), "t"), schema)).get("time_gap")
    assert (found.count if found else 0) == len(missing)
    if missing:
        expected = start + dt.timedelta(minutes=15 * missing[0])
        assert found.evidence["first"].startswith(f"{expected}".replace(" ", found.evidence["first"][10]))


def test_gaps_among_more_times_than_are_counted_exactly():
    minutes = [each for each in range(30_000) if not 600 <= each < 780]
    start = dt.datetime.fromisoformat("2026-01-01T00:00")
    table = pa.table({"t": pa.array([start + dt.timedelta(minutes=each) for each in minutes], pa.timestamp("us"))})
    schema = DataSchema(columns={"t": ColumnSchema(type="timestamp[us]")}, time_column="t", time_step="1h")
    found = codes(validate(TableSubject(table, "t"), schema))["time_gap"]
    assert (found.count, found.evidence["first"]) == (3, "2026-01-01 10:00:00")


@pytest.mark.parametrize("name", ARRAYS)
def test_no_type_crashes_them(name):
    if name in ("decimal32", "decimal64"):
        pytest.skip("this Arrow finds no extremes of them, so that they are not profiled")
    table = pa.table({"x": ARRAYS[name]})
    kind = str(table.schema.field("x").type)
    others = {"other": TableSubject(table, "other")}.__getitem__
    schema = DataSchema(
        columns={"x": ColumnSchema(type=kind)},
        time_column="x",
        time_step="1d",
        max_duplicate_fraction=1.0,
        group="x",
        overlap={"other": 1.0},
        refs=(ForeignKey(columns=("x",), dataset="other"),),
    )
    assert "foreign_key_missing" not in codes(validate(TableSubject(table, "t"), schema, Surroundings(others=others)))


def test_without_keys_no_group_may_be_in_another_dataset():
    columns = {"who": ColumnSchema(type="int64"), "x": ColumnSchema(type="int64")}
    others = {"other": TableSubject(pa.table({"who": [3, 9], "x": [1, 2]}), "other")}.__getitem__
    rows = TableSubject(pa.table({"who": [1, 2, 3, 3], "x": [5, 6, 7, 8]}), "t")
    for named, shared in (
        ({"group": "who"}, 1),
        ({"group": "who", "keys": ("x",)}, None),
        ({"keys": ("who", "x")}, None),
    ):
        schema = DataSchema(columns=columns, overlap={"other": 0.0}, **named)
        found = codes(validate(rows, schema, Surroundings(others=others))).get("split_overlap")
        assert (found and found.count) == shared
    assert "stats_unavailable" in codes(
        validate(rows, DataSchema(columns=columns, overlap={"other": 0.0}), Surroundings(others=others))
    )


def test_repeated_rows_of_a_pool_count_and_are_not_shown():
    rows = TableSubject(pa.table({"x": [1, 1, 2, 2, 2], "late": [None, None, True, True, True]}), "t")
    rows.seals = [("late",)]
    columns = {"x": ColumnSchema(type="int64"), "late": ColumnSchema(type="bool")}
    found = codes(validate(rows, DataSchema(columns=columns, max_duplicate_fraction=0.0)))["duplicate_rows"]
    assert found.count == 3
    assert [each["row"] for each in found.example_rows] == [3, 4]


def test_a_store_finds_the_other_datasets(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        store.create_dataset("ports", key=["code"]).append({"code": ["EWR", "JFK"]})
        flights = store.create_dataset("flights")
        flights.append({"origin": ["EWR"], "fare": [1]})
        schema = DataSchema(
            columns={"origin": ColumnSchema(type="string"), "fare": ColumnSchema(type="int64")},
            refs=(ForeignKey(columns=("origin",), dataset="ports", to=("code",)),),
        )
        flights.set_schema(schema)
        assert str(flights.append({"origin": ["JFK"], "fare": [2]}).status) == "published"
        bad = flights.append({"origin": ["JFK", "LGA"], "fare": [2, 3]})
        assert str(bad.status) == "quarantined"
        assert [(each.code, each.count) for each in bad.report.anomalies] == [("foreign_key_missing", 1)]
        assert bad.report.anomalies[0].example_rows[0]["value"] == {"origin": "LGA"}
        assert flights.latest.validate().passed
        assert not flights.validate({"origin": ["LGA"], "fare": [1]}).passed
        lost = schema.with_changes(refs=(ForeignKey(columns=("origin",), dataset="port"),))
        (found,) = flights.latest.validate(lost).anomalies
        assert found.code == "schema_invalid"
        assert "no dataset 'port'" in found.message
        wrong = schema.with_changes(refs=(ForeignKey(columns=("origin",), dataset="ports"),))
        assert [each.code for each in flights.latest.validate(wrong).anomalies] == ["schema_invalid"]

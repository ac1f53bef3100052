"""The order of a column goes on from version to version: what is appended is held against what was there last."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.types import Status
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.row_checks import _breaks_order
from foldstore.validation.schema import DataSchema

DAY = dt.datetime.fromisoformat("2013-01-01")
KINDS = {
    "int64": [3, 4, 5],
    "int32": [3, 4, 5],
    "double": [0.5, 0.75, 1.5],
    "string": ["a", "b", "c"],
    "timestamp[us]": [DAY, DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)],
    "decimal128(9, 2)": [3, 4, 5],
}


def column(kind, values):
    types = {"decimal128(9, 2)": pa.decimal128(9, 2), "timestamp[us]": pa.timestamp("us")}
    return pa.table({"x": pa.array(values, types.get(kind) or pa.type_for_alias(kind))})


def ordered(kind, order):
    return DataSchema(columns={"x": ColumnSchema(type=kind, monotone=order)})


def found(report):
    return {each.code: each.count for each in report.anomalies}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["increasing", "decreasing"])
def test_what_is_appended_goes_on_from_the_last_value(store, kind, order):
    low, middle, high = KINDS[kind] if order == "increasing" else KINDS[kind][::-1]
    rows = store.create_dataset("d")
    rows.append(column(kind, [low, middle, None]))
    rows.set_schema(ordered(kind, order))
    refused = rows.append(column(kind, [low, high]))
    assert (refused.status, found(refused.report)) == (Status.QUARANTINED, {"not_monotone": 1})
    assert refused.report.anomalies[0].example_rows[0]["row"] == 0
    fine = rows.append(column(kind, [middle, high]))
    assert (fine.status, found(fine.report)) == (Status.PUBLISHED, {})
    assert fine.validate(rows="added").passed
    assert found(rows.append(column(kind, [middle])).report) == {"not_monotone": 1}


def test_nulls_and_nan_before_are_passed_over_and_deleted_rows_are_not_there(store):
    rows = store.create_dataset("d")
    rows.append(column("double", [1.0, 9.0]))
    rows.append(column("double", [None, float("nan")]))
    rows.delete("x = 9")
    rows.set_schema(ordered("double", "increasing"))
    assert found(rows.append(column("double", [0.5])).report) == {"not_monotone": 1}
    assert rows.append(column("double", [1.0])).status is Status.PUBLISHED


def test_rows_that_are_changed_have_no_place_behind_others(store):
    """An upsert brings old rows anew: among those that it adds the order holds, and with the others it is not asked."""
    rows = store.create_dataset("d", key=["k"])
    rows.append({"k": [1, 2, 3], "x": [10, 20, 30]})
    rows.set_schema(
        DataSchema(
            columns={"k": ColumnSchema(type="int64"), "x": ColumnSchema(type="int64", monotone="increasing")},
            keys=("k",),
        )
    )
    assert rows.upsert({"k": [1], "x": [11]}).status is Status.PUBLISHED


def test_a_column_that_is_new_and_a_first_version_stand_behind_nothing(store):
    rows = store.create_dataset("d")
    rows.set_schema(ordered("int64", "increasing"))
    assert rows.append({"x": [5, 6]}).status is Status.PUBLISHED
    whole = rows.append({"x": [6]})
    assert whole.validate().passed


@settings(deadline=None)
@given(values=st.lists(st.none() | st.integers(-5, 5), max_size=12), cut=st.integers(0, 12), rises=st.booleans())
def test_in_an_order_that_held_before_rows_fail_as_they_do_among_all(values, cut, rises):
    """With the last value of rows in order, others fail just as they do where all are looked at in one."""
    order = "increasing" if rises else "decreasing"
    there = sorted((each for each in values[:cut] if each is not None), reverse=not rises)
    added = values[cut:]
    last = pa.array(there[-1:], pa.int64()) if there else None
    alone = _breaks_order(order, last)(pa.array(added, pa.int64())).to_pylist()
    assert alone == _breaks_order(order)(pa.array([*there, *added], pa.int64())).to_pylist()[len(there) :]
    best, expected = there[-1] if there else None, []
    for each in added:
        wrong = each is not None and best is not None and (each < best if rises else each > best)
        expected.append(wrong)
        best = each if best is None or (each is not None and not wrong) else best
    assert alone == expected

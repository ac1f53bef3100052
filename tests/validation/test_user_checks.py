"""Checks in user code, by pandera, inside a validation: counted, shown within bounds, and never passed in silence."""

import json

import numpy as np
import pandera.polars as on_polars
import pandera.pyarrow as on_arrow
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.config import config_context

import foldstore
from foldstore.errors import UsageError
from foldstore.types import Severity
from foldstore.validation.failing_rows import EXAMPLES
from foldstore.validation.pandera_checks import check_contracts
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

BACKENDS = {"polars": on_polars, "pyarrow": on_arrow}


@pytest.fixture(params=BACKENDS)
def kind(request):
    return BACKENDS[request.param]


def on_column(kind, test, **options):
    """A check of one column, in the form that a backend wants; `test` says which numbers pass."""
    if kind is on_polars:
        return kind.Check(lambda data: data.lazyframe.select(test(pl.col(data.key))), **options)
    return kind.Check(lambda data: _arrow(test, data.table[data.key]), **options)


def _arrow(test, column):
    return pa.chunked_array(pl.DataFrame({"x": pl.from_arrow(column)}).select(test(pl.col("x"))).to_arrow()[0].chunks)


def find(contract, table, keys=(), seals=()):
    subject = TableSubject(table, "t")
    subject.seals = seals
    return list(check_contracts([contract], subject, keys))


def test_failing_rows_of_a_check_are_counted_and_ten_are_shown(kind):
    even = on_column(kind, lambda x: x % 2 == 0, name="even")
    table = pa.table({"id": list(range(1000, 1100)), "x": list(range(100))})
    (found,) = find(kind.DataFrameSchema({"x": kind.Column(int, even)}, name="pairs"), table, keys=["id"])
    assert (found.code, found.column, found.count, found.of) == ("user_check_failed", "x", 50, 100)
    assert found.examples == tuple({"row": n, "key": {"id": 1000 + n}, "value": n} for n in range(1, 20, 2))
    assert len(found.examples) == EXAMPLES


def test_a_check_of_whole_rows_shows_the_columns_of_its_contract(kind):
    if kind is on_polars:
        check = kind.Check(lambda data: data.lazyframe.select(pl.col("a") <= pl.col("b")), name="a first")
    else:
        check = kind.Check(lambda data: pc.less_equal(data.table["a"], data.table["b"]), name="a first")
    contract = kind.DataFrameSchema({"a": kind.Column(int), "b": kind.Column(int)}, checks=check)
    (found,) = find(contract, pa.table({"a": [1, 5], "b": [2, 3], "c": ["x", "y"]}))
    assert (found.column, found.count) == (None, 1)
    assert found.examples == ({"row": 1, "key": {}, "value": {"a": 5, "b": 3}},)


def test_a_check_of_the_rows_as_a_whole_has_no_rows_to_show(kind):
    if kind is on_polars:
        above = on_column(kind, lambda x: x.mean() > 5, name="mean above 5")
    else:
        above = kind.Check(lambda data: pc.mean(data.table[data.key]).as_py() > 5, name="mean above 5")
    (found,) = find(kind.DataFrameSchema({"x": kind.Column(int, above)}), pa.table({"x": [1, 2, 3]}))
    assert (found.code, found.count, found.examples) == ("user_check_failed", None, ())
    assert found.facts["how"] == "for the rows as a whole"


def test_a_check_that_raises_is_an_error_and_the_others_still_run(kind):
    def boom(_):
        raise ValueError("no such file: limits.json")

    checks = [kind.Check(boom, name="limits"), on_column(kind, lambda x: x > 0, name="positive")]
    found = find(kind.DataFrameSchema({"x": kind.Column(int, checks)}, name="c"), pa.table({"x": [1, -1]}))
    assert {each.code for each in found} == {"user_check_failed", "user_check_broken"}
    (broken,) = (each for each in found if each.code == "user_check_broken")
    assert broken.column == "x"
    assert broken.facts == {
        "check": "limits", "contract": "c", "reason": 'ValueError("no such file: limits.json")'
    }  # fmt: skip


@pytest.mark.parametrize("answer", [None, 1, "yes", np.bool_(False)], ids=repr)
def test_an_answer_that_is_none_does_not_pass(kind, answer):
    contract = kind.DataFrameSchema({"x": kind.Column(int, kind.Check(lambda _: answer, name="odd"))})
    assert [each.facts["check"] for each in find(contract, pa.table({"x": [1]}))] == ["odd"]


def test_what_is_no_check_is_found_too(kind):
    contract = kind.DataFrameSchema(
        {"x": kind.Column(int, unique=True), "y": kind.Column(float), "z": kind.Column(int)}, unique=["x", "y"]
    )
    found = {
        (each.column, each.facts["check"]): (each.count, each.facts["how"])
        for each in find(contract, pa.table({"x": [1, 1, 2], "y": [0.5, None, 0.5]}))
    }
    assert found[("x", "field_uniqueness")][0] == 2
    assert found[("y", "not_nullable")][0] == 1
    assert found[("z", "column_in_dataframe")] == (None, "which is absent")
    assert (None, "unique x, y") not in found
    again = find(kind.DataFrameSchema({}, unique=["x", "y"]), pa.table({"x": [1, 1], "y": [0.5, 0.5]}))
    assert [(each.count, each.facts["check"]) for each in again] == [(2, "unique x, y")]
    (wrong,) = find(kind.DataFrameSchema({"x": kind.Column(str)}), pa.table({"x": [1]}))
    assert (wrong.column, wrong.facts["how"]) == ("x", "of type Int64")


def test_a_panic_of_polars_is_a_finding():
    def panic(_):
        raise pl.exceptions.PanicException("index out of bounds")

    contract = on_polars.DataFrameSchema({"x": on_polars.Column(int, on_polars.Check(panic))})
    assert [each.code for each in find(contract, pa.table({"x": [1]}))] == ["user_check_broken"]


def test_a_check_that_only_warns_is_a_warning_with_rows(kind):
    quiet = on_column(kind, lambda x: x > 0, name="positive", raise_warning=True)
    loud = on_column(kind, lambda x: x > 1, name="above 1")
    contract = kind.DataFrameSchema({"^x.$": kind.Column(int, [quiet, loud], regex=True)})
    found = find(contract, pa.table({"x1": [1, -1], "x2": [2, 2]}))
    assert {(each.facts["check"], each.column, each.severity, each.count) for each in found} == {
        ("positive", "x1", Severity.WARN, 1),
        ("above 1", "x1", Severity.ERROR, 2),
    }


@pytest.mark.parametrize(
    ("variable", "value"), [("validation_enabled", False), ("validation_depth", "SCHEMA_ONLY")], ids=["off", "shallow"]
)
def test_settings_of_pandera_let_nothing_pass(kind, variable, value):
    contract = kind.DataFrameSchema({"x": kind.Column(int, kind.Check.gt(0))})
    with config_context(**{variable: value}):
        assert [each.count for each in find(contract, pa.table({"x": [1, -1]}))] == [1]


def test_rows_are_never_dropped_for_being_wrong(kind):
    contract = kind.DataFrameSchema(
        {"x": kind.Column(int, kind.Check.gt(0), drop_invalid_rows=True)}, drop_invalid_rows=True
    )
    assert [each.count for each in find(contract, pa.table({"x": [1, -1]}))] == [1]
    assert contract.drop_invalid_rows, "the caller's own schema is left as it is"


def test_tables_that_polars_cannot_hold_are_a_finding():
    contract = on_polars.DataFrameSchema({"x": on_polars.Column(int)})
    odd = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    (found,) = find(contract, pa.table({"x": [1], "odd": odd}))
    assert found.code == "user_check_broken"


def test_an_empty_table_is_judged_for_its_columns(kind):
    contract = kind.DataFrameSchema({"x": kind.Column(int, kind.Check.gt(0)), "y": kind.Column(int)})
    assert [each.column for each in find(contract, pa.table({"x": pa.array([], pa.int64())}))] == ["y"]


def test_sealed_cells_are_neither_held_against_rows_nor_shown(kind):
    strict = on_column(kind, lambda x: x > 0, name="positive", ignore_na=False)
    contract = kind.DataFrameSchema({"late": kind.Column(int, strict), "x": kind.Column(int, kind.Check.gt(5))})
    table = pa.table({"late": [1, None, -1], "x": [1, 2, 9]})
    found = {each.column: each for each in find(contract, table, seals=[["late"]])}
    assert {(each.column, each.facts["check"]) for each in found.values()} >= {("late", "positive")}
    assert (found["late"].count, found["late"].examples) == (1, ({"row": 2, "key": {}, "value": -1},))
    assert found["x"].count == 2
    assert [each["row"] for each in found["x"].examples] == [0], "the second row is sealed"


@given(st.lists(st.none() | st.integers(-5, 5), max_size=40), st.booleans())
def test_counts_are_those_of_plain_python(values, ignored):
    contract = on_polars.DataFrameSchema(
        {"x": on_polars.Column(int, on_polars.Check.gt(0, ignore_na=ignored), nullable=True)}
    )
    table = pa.table({"x": pa.array(values, pa.int64())})
    bad = [n for n, each in enumerate(values) if (not ignored if each is None else each <= 0)]
    found = find(contract, table)
    assert [each.count for each in found] == ([len(bad)] if bad else [])
    assert [example["row"] for each in found for example in each.examples] == bad[:EXAMPLES]


class Trip(on_polars.DataFrameModel):
    km: float

    @on_polars.check("km")
    def plausible(cls, data):  # noqa: N805
        return data.lazyframe.select(pl.col("km") < 1000)


def test_a_version_a_view_and_a_table_are_judged_by_code(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        trips = store.create_dataset("trips", key=["trip"])
        version = trips.append({"trip": [1, 2], "km": [5.0, 4000.0]})
        alone = version.validate(checks=[Trip])
        assert not alone.passed
        (wrong,) = alone.anomalies
        assert str(wrong) == "error: km: the check plausible of Trip fails for 1 of 2 rows [user_check_failed]"
        assert (wrong.fraction, wrong.example_rows[0]["value"]) == (0.5, 4000.0)
        schema = DataSchema.from_yaml(
            "severity: {user_check_failed: warn}\n"
            "columns: {trip: {type: int64, unique: {key: true}}, km: {type: double, domain: {max: 100}}}"
        )
        both = version.validate(schema, checks=[Trip])
        assert [(each.code, str(each.severity)) for each in both.anomalies] == [
            ("above_max", "error"),
            ("user_check_failed", "warn"),
        ]
        far = store.view("trips@1").where("km > 100")
        assert [each.count for each in trips.validate(far, checks=[Trip]).anomalies] == [1]
        assert trips.validate(pa.table({"trip": [3], "km": [1.0]}), checks=[Trip]).passed
        assert json.loads(both.to_json_lines().splitlines()[0])["subject"] == "trips@1"
        with pytest.raises(UsageError, match="no schema of pandera's"):
            version.validate(checks=[lambda table: True])

"""Files of pandera: read back as they were written by pandera itself, and never looked up beyond what is known."""

import contextlib
import warnings

import pandera.polars as on_polars
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaError
from pandera.io import polars_io

from foldstore.errors import FoldstoreError, UsageError
from foldstore.validation.column_domains import CategoryDomain, NumericDomain, TextDomain
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.document import read_yaml
from foldstore.validation.interchange.pandera_schema import from_pandera, to_pandera, write_file
from foldstore.validation.schema import DataSchema

SCHEMA = DataSchema(
    name="trips",
    columns={
        "id": ColumnSchema(type="int64", nullable=False),
        "km": ColumnSchema(type="double", domain=NumericDomain(min=0, max=9.5), doc="how far"),
        "kind": ColumnSchema(type="string", domain=CategoryDomain(values=("bus", "tram")), stage=Stage.ALPHA),
        "code": ColumnSchema(type="string", domain=TextDomain(pattern="[A-Z]{3}")),
        "short": ColumnSchema(type="string", domain=TextDomain(min_length=1, max_length=4)),
        "at": ColumnSchema(type="timestamp[us, tz=UTC]"),
        "day": ColumnSchema(type="date32[day]"),
    },
    keys=("id",),
    column_order=("id", "km", "kind", "code", "short", "at", "day"),
)


def test_what_pandera_can_say_comes_back_through_its_file():
    text = write_file(SCHEMA.to_pandera())
    assert polars_io.from_yaml(text).columns.keys() == SCHEMA.columns.keys()
    back = DataSchema.from_pandera(read_yaml(text))
    assert back.columns == SCHEMA.columns
    assert (back.name, back.keys, back.column_order) == (SCHEMA.name, SCHEMA.keys, SCHEMA.column_order)


PANDAS = """
schema_type: dataframe
api: pandas
columns:
  x:
    dtype: int64
    nullable: true
    greater_than_or_equal_to: 0
    in_range: {min_value: 1, max_value: 20, include_min: false, include_max: true}
  t: {dtype: 'datetime64[ns]', coerce: true}
  s: {dtype: 'string[pyarrow]', isin: [a, b], required: false}
  o: {dtype: object}
  c: {dtype: Int64, checks: [{value: 3, options: {check_name: greater_than}}]}
checks: {mine: {}}
strict: true
"""


def test_a_file_of_pandas_is_read_and_what_is_left_out_is_said():
    plain, dropped = from_pandera(yaml.safe_load(PANDAS))
    assert plain["columns"]["x"] == {"type": "int64", "domain": {"min": 2, "max": 20}}
    assert plain["columns"]["t"] == {"type": "timestamp[ns]", "nullable": False}
    assert plain["columns"]["s"]["domain"] == {"values": ["a", "b"]}
    assert plain["columns"]["s"]["stage"] == "alpha"
    assert plain["columns"]["c"]["domain"] == {"min": 4}
    assert sorted(dropped)[:1] + sorted(dropped)[2:] == ["check mine", "strict", "t: coerce"]
    assert sorted(dropped)[1].startswith("o: the whole column")
    with pytest.raises(UsageError, match="pandera cannot read the file"):
        from_pandera(yaml.safe_load(PANDAS.replace("object", "complex12")))


@pytest.mark.parametrize(
    "check",
    ["register_builtin_check_fn", "__init__", "from_builtin_check_name", "mro", "__class__", "eq", "unique_values_eq"],
)
def test_no_name_of_a_file_is_looked_up_that_is_not_known(check, monkeypatch):
    looked = []
    real = type(on_polars.Check).__getattr__

    def spy(cls, name):
        looked.append(name)
        return real(cls, name)

    monkeypatch.setattr(type(on_polars.Check), "__getattr__", spy)
    column = {"dtype": "Int64", check: 1, "checks": [{"value": 1, "options": {"check_name": check}}]}
    plain, dropped = from_pandera({"schema_type": "polars_dataframe", "columns": {"x": column}})
    assert plain["columns"]["x"] == {"type": "int64", "nullable": False}
    assert dropped == [f"x: check {check}"] * 2
    assert check not in looked


def test_options_that_are_not_known_are_not_set():
    facts = {"value": 1, "options": {"check_name": "greater_than", "_check_fn": "evil"}}
    column = {"dtype": "Int64", "checks": [facts]}
    assert from_pandera({"schema_type": "polars_dataframe", "columns": {"x": column}})[1] == ["x: check greater_than"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("Int64"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["x", "dtype", "checks", "columns", "options", "check_name", "value", "isin", "in_range", "str_matches",
         "nullable", "unique", "ordered", "name", "title", "regex", "required", "min_value"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["columns", "unique", "name", "ordered", "checks"]), PLAIN, max_size=4), PLAIN)
def test_any_file_gives_a_schema_or_an_error(data, column):
    data = {"schema_type": "polars_dataframe", "columns": {"x": column}, **data}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            DataSchema.from_pandera(data)
    except FoldstoreError:
        pass


def test_a_dtype_that_goes_deep_is_an_error():
    for dtype in ("List(" * 80 + "Int64" + ")" * 80, "x" * 9_000, "__import__('os')", 3, None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            column = {"schema_type": "polars_dataframe", "columns": {"x": {"dtype": dtype}}}
            with contextlib.suppress(UsageError):
                assert DataSchema.from_pandera(column).columns.keys() <= {"x"}


def test_a_check_of_values_survives_as_pandera_judges_it():
    text = write_file(SCHEMA.to_pandera())
    contract = polars_io.from_yaml(text)
    assert contract.columns["kind"].checks[0].statistics["allowed_values"] == ["bus", "tram"]
    alone = on_polars.DataFrameSchema({"kind": contract.columns["kind"]})
    assert alone.validate(pl.DataFrame({"kind": ["bus", None]})).height == 2
    with pytest.raises(SchemaError, match="isin"):
        alone.validate(pl.DataFrame({"kind": ["boat"]}))


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
@pytest.mark.parametrize(
    "kind",
    ["halffloat", "time64[us]", "binary", "decimal128(5, 2)", "decimal128(5, -2)", "timestamp[us, tz=+05:30]",
     "timestamp[s, tz=Nowhere/Else]", "month_day_nano_interval", "date64[ms]", "null"],
)  # fmt: skip
def test_a_type_that_a_backend_has_no_word_for_is_named(backend, kind, capfd):
    plain = {"columns": {"x": {"type": kind}, "y": {"type": "int64"}}}
    made, dropped = to_pandera(plain, backend)
    assert list(made.columns) == ["x", "y"]
    assert (made.columns["x"].dtype is None) == (dropped == [f"x: type {kind}"])
    assert "panicked" not in capfd.readouterr().err

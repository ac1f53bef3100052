"""Schemas of other systems: what is written comes back, what is foreign is read, what is lost is named."""

import contextlib
import json
import warnings

import jsonschema
import numpy as np
import pandera.errors
import pandera.polars as on_polars
import pandera.pyarrow as on_arrow
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ExchangeWarning, InvalidSchemaError, UsageError
from foldstore.types import Severity
from foldstore.validation.check import validate
from foldstore.validation.column_domains import CategoryDomain, NumericDomain, TextDomain
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.document import read_yaml, write_yaml
from foldstore.validation.interchange.text_format import read_text_format
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from tests.validation.test_schema import FULL
from tests.validation.test_schema_fields import COLUMNS, WORDS


@given(st.dictionaries(WORDS, COLUMNS, min_size=1, max_size=3), st.integers(0, 9), st.none() | st.integers(9, 99))
def test_contracts_and_json_schemas_come_back_as_they_were(columns, low, high):
    schema = DataSchema(columns=columns, name="n", min_rows=low, max_rows=high, keys=(next(iter(columns)),))
    contract = json.loads(json.dumps(schema.to_contract()))
    assert DataSchema.from_contract(contract).id == schema.id
    assert DataSchema.from_json_schema(json.loads(json.dumps(schema.to_json_schema()))).id == schema.id


def test_a_schema_with_grids_comes_back_from_contracts_and_json_schemas():
    assert DataSchema.from_contract(read_yaml(write_yaml(FULL.to_contract()))).id == FULL.id
    assert DataSchema.from_json_schema(FULL.to_json_schema()).id == FULL.id


def imported(read, *arguments):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        schema = read(*arguments)
    dropped = list(schema.provenance.get("not_imported", []))
    assert bool(dropped) == bool(seen)
    assert all(issubclass(each.category, ExchangeWarning) for each in seen)
    return schema, dropped


# After the full example of the standard's own page, shortened.
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
version: 1.1.0
status: active
name: seller
tenant: ClimateQuantumInc
schema:
  - name: payments
    logicalType: object
    physicalType: table
    dataGranularityDescription: by country
    properties:
      - name: transaction_date
        primaryKey: true
        primaryKeyPosition: 2
        logicalType: date
        physicalType: date
        required: false
        partitioned: true
        description: when
      - name: receiver
        primaryKey: true
        primaryKeyPosition: 1
        logicalType: string
        physicalType: varchar(18)
        required: true
        classification: restricted
        logicalTypeOptions: {minLength: 2, maxLength: 18, pattern: '^A', format: email}
        tags: [uid]
      - name: country
        logicalType: string
        quality:
          - type: library
            metric: invalidValues
            arguments: {validValues: [GB, US]}
            mustBeLessOrEqualTo: 5
            unit: percent
          - {type: sql, query: SELECT 1, mustBe: 1}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}, unique: true}
      - {name: nested, logicalType: object}
    quality:
      - {type: library, metric: rowCount, mustBeGreaterThan: 1000}
"""


def test_a_foreign_contract_is_read_and_its_rest_named():
    schema, dropped = imported(DataSchema.from_contract, read_yaml(CONTRACT))
    assert schema.name == "payments"
    assert schema.version == "1.1.0"
    assert schema.keys == ("receiver", "transaction_date")
    assert schema.min_rows == 1001
    assert schema.columns["transaction_date"].type == "date32[day]"
    receiver = schema.columns["receiver"]
    assert not receiver.nullable
    assert receiver.domain == TextDomain(min_length=2, max_length=18, pattern="(?s:.*)(?:^A)(?s:.*)")
    assert schema.columns["country"].domain == CategoryDomain(values=("GB", "US"), min_mass=0.95)
    assert schema.columns["amount"].unique.key
    assert dropped == [
        "tenant", "transaction_date: partitioned", "receiver: classification 'restricted'",
        "receiver: logicalTypeOptions.format", "country: quality sql",
        "nested: logicalType 'object' (the whole property)",
        "payments: dataGranularityDescription",
    ]  # fmt: skip


def test_contracts_that_are_none_or_have_more_tables_are_refused():
    with pytest.raises(InvalidSchemaError, match="no data contract"):
        DataSchema.from_contract({"kind": "DataProduct"})
    two = {"apiVersion": "v3.1.0", "kind": "DataContract", "schema": [{"name": "a"}, {"name": "b"}]}
    with pytest.raises(InvalidSchemaError, match=r"2 tables[\s\S]*a, b"):
        DataSchema.from_contract(two)
    with pytest.raises(InvalidSchemaError, match="no table 'c'"):
        DataSchema.from_contract(two, table="c")
    assert DataSchema.from_contract(two, table="b").name == "b"


def test_a_foreign_json_schema_is_read_and_its_rest_named():
    schema, dropped = imported(
        DataSchema.from_json_schema,
        {
            "title": "people",
            "properties": {
                "id": {"type": "integer", "minimum": 1, "multipleOf": 2},
                "mail": {"type": ["string", "null"], "format": "email", "maxLength": 90},
                "born": {"type": "string", "format": "date", "deprecated": True},
                "kind": {"enum": ["a", "b", None], "type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "either": {"oneOf": [{"type": "string"}], "type": ["string", "integer"]},
                "host": {"type": "string", "format": "hostname"},
            },
            "required": ["id", "mail", "born", "kind", "tags", "host"],
            "additionalProperties": False,
        },
    )
    assert schema.columns["id"].domain == NumericDomain(min=1)
    assert not schema.columns["id"].nullable
    assert schema.columns["mail"].domain == TextDomain(max_length=90, semantic="email")
    assert schema.columns["born"].stage is Stage.DEPRECATED
    assert schema.columns["kind"].domain == CategoryDomain(values=("a", "b"))
    assert schema.columns["tags"].type == "list<item: string>"
    assert dropped == [
        "id: multipleOf", "either: type ['string', 'integer'] (the whole property)", "host: format 'hostname'",
        "additionalProperties",
    ]  # fmt: skip


JUDGED = {
    "int64": [-2, -1, 0, 1, 2, 3, None],
    "double": [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, None],
    "string": ["", "a", "ab", "b", "abc", None],
    "bool": [True, False, None],
}


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("int64", {"type": "integer", "exclusiveMinimum": -0.5, "exclusiveMaximum": 2}),
        ("int64", {"type": "integer", "minimum": 0, "exclusiveMinimum": 1, "maximum": 3}),
        ("int64", {"type": "integer", "exclusiveMaximum": 0.5}),
        ("int64", {"const": 3}),
        ("int64", {"enum": [1, 2, None]}),
        ("int64", {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None, "title": "N"}),
        ("double", {"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        ("double", {"type": ["number", "null"], "exclusiveMaximum": 0.5}),
        ("double", {"type": "number", "const": 0.5}),
        ("string", {"type": ["string", "null"], "enum": ["a", "b"]}),
        ("string", {"enum": ["a", "b"]}),
        ("string", {"anyOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]}),
        ("string", {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "null"}]}),
        ("string", {"type": "string", "minLength": 1, "maxLength": 2}),
        ("bool", {"enum": [True, False]}),
    ],
)
def test_a_property_of_json_schema_that_is_read_judges_as_json_schema_does(kind, written):
    schema, dropped = imported(DataSchema.from_json_schema, {"properties": {"x": written}, "required": ["x"]})
    assert dropped in ([], ["x: default"])
    assert schema.columns["x"].type == kind
    judge = jsonschema.Draft202012Validator(written)
    for value in JUDGED[kind]:
        table = pa.table({"x": pa.array([value], {"int64": pa.int64(), "double": pa.float64()}.get(kind))})
        if value is None and kind in ("string", "bool"):
            table = pa.table({"x": pa.array([None], pa.string() if kind == "string" else pa.bool_())})
        report = validate(TableSubject(table, "t"), schema)
        failed = {each.code for each in report.anomalies if each.severity is Severity.ERROR}
        # No value at all is told for itself, whatever a schema allows.
        assert bool(failed - ({"all_null"} if schema.columns["x"].nullable else set())) is not judge.is_valid(value), (
            value
        )


def test_what_no_column_can_say_of_json_schema_is_named_and_gets_no_type_of_its_own():
    properties = {
        "ref": {"$ref": "#/$defs/z"},
        "free": {"description": "anything"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "mixed": {"enum": ["a", 1]},
        "steps": {"type": "number", "enum": [0.5, 1.5]},
        "old": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "yes": {"const": True},
    }
    schema, dropped = imported(DataSchema.from_json_schema, {"properties": properties})
    assert list(schema.columns) == ["steps", "old", "yes"]
    assert dropped == [
        *(f"{name}: no type (the whole property)" for name in ("ref", "free", "either", "mixed")),
        "steps: enum", "old: exclusiveMinimum", "yes: enum",
    ]  # fmt: skip


def test_an_edit_of_what_others_read_goes_before_what_stands_beside_it():
    plain = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=0))}).to_json_schema()
    plain["properties"]["x"]["minimum"] = 5
    assert DataSchema.from_json_schema(plain).columns["x"].domain == NumericDomain(min=5)


TFDV = r"""
# proto-file: schema.proto
feature {
  name: "payment_type" type: BYTES domain: "payment_type"
  presence { min_fraction: 0.99 min_count: 1 }
  distribution_constraints { min_domain_mass: 0.9 }
  shape { dim { size: 1 } }
  annotation { tag: "pay" comment: "how\n" 'paid' }
  drift_comparator { infinity_norm { threshold: 0.01 } }
}
feature { name: "tips" type: FLOAT value_count { min: 1; max: 1 } presence <min_count: 1>
  float_domain { min: -inf max: 1e3 disallow_nan: true } not_in_environment: "SERVING" }
feature { name: "hour", type: INT, value_count { min: 1 }, int_domain { min: 0, max: 0x17, is_categorical: true } }
feature { name: "flag" type: BYTES bool_domain { true_value: "y" false_value: "n" } lifecycle_stage: DEBUG_ONLY }
feature { name: "s" type: STRUCT struct_domain { feature { name: "a" type: INT } } }
feature { name: "vec" type: FLOAT shape { dim { size: 2 } dim { size: 3 } } in_environment: ["TRAINING"] presence {} }
string_domain { name: "payment_type" value: ["Cash", "Card"] value: "\303\244" }
default_environment: "TRAINING" default_environment: "SERVING"
sparse_feature { name: "sparse" }
dataset_constraints { min_examples_count: 10 num_examples_version_comparator { min_fraction_threshold: 0.5 } }
"""


def test_a_schema_of_tfdv_is_read_and_its_rest_named():
    schema, dropped = imported(DataSchema.from_tfdv, TFDV)
    pay, tips, hour = (schema.columns[name] for name in ("payment_type", "tips", "hour"))
    assert (pay.type, pay.min_fraction, pay.min_count, pay.tags, pay.doc) == ("string", 0.99, 1, ("pay",), "how\npaid")
    assert pay.domain.ref == "payment_type"
    assert pay.domain.min_mass == 0.9
    assert schema.domains["payment_type"] == ("Cash", "Card", "ä")
    assert tips.domain == NumericDomain(max=1000.0, nan="deny")
    assert (tips.type, tips.coerce_from) == ("double", ("halffloat", "float"))
    assert tips.not_in_environment == ("SERVING",)
    assert (hour.type, hour.valency.min, hour.stage) == ("list<item: int64>", 1, Stage.ALPHA)
    assert schema.columns["flag"].domain.true_tokens == ("y",)
    assert schema.columns["flag"].stage is Stage.DEBUG
    assert schema.columns["vec"].fixed_shape == (2, 3)
    assert set(schema.columns["vec"].in_environment) == {"TRAINING", "SERVING"}
    assert schema.environments == ("TRAINING", "SERVING")
    assert schema.min_rows == 10
    assert schema.rows_vs_previous == (0.5, None)
    assert dropped == [
        "feature payment_type: drift_comparator", "feature hour: the domain (of the items of a list)",
        "feature s: the whole feature (type STRUCT)", "sparse_feature sparse",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_numbers_of_tfdv_are_of_any_width(dtype):
    schema = DataSchema.from_tfdv(
        "feature { name: 'x' type: FLOAT float_domain { min: 0 } presence { min_count: 1 } }"
        "feature { name: 'n' type: INT int_domain { max: 99 } presence { min_count: 1 } }"
    )
    whole = {"float64": "int64", "float32": "int32", "float16": "uint8"}[dtype]
    rows = {"x": pa.array(np.arange(100, dtype=dtype)), "n": pa.array(np.arange(100, dtype=whole))}
    assert validate(TableSubject(pa.table(rows), "t"), schema).anomalies == ()
    rows["x"] = pa.array(np.arange(-1, 99, dtype=dtype))
    assert [each.code for each in validate(TableSubject(pa.table(rows), "t"), schema).anomalies] == ["below_min"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("feature { name: }", "Line 1.*expected a value"),
        ("feature {\nname 'a'\n}", "Line 2.*expected ':'"),
        ("feature {", "the name of a field"),
        ('feature { name: "a }', "Line 1"),
        ("a: [1 2]", "expected ','"),
        ("a { " * 100, "nested more than 64"),
        ("a: '\\377'", "not UTF-8"),
        ("} a: 1", "name of a field"),
        ("@", "Line 1"),
        ("", "no feature"),
    ],
)
def test_text_that_is_no_message_is_refused_with_its_line(text, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_tfdv(text)


@given(st.text(alphabet="{}<>[]:,;#\"'\\ab1.-e\n ", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidSchemaError):
        read_text_format(text)


@given(st.binary(max_size=20))
def test_texts_survive_the_escapes_of_the_format(data):
    text = data.decode("latin-1")
    quoted = "".join(f"\\{byte:03o}" for byte in text.encode())
    assert read_text_format(f'a: "{quoted}"') == {"a": [text]}


ROWS = DataSchema(
    columns={
        "n": ColumnSchema(type="int64", nullable=False, domain=NumericDomain(min=0, max=9)),
        "s": ColumnSchema(type="string", domain=CategoryDomain(values=("a", "b"))),
        "p": ColumnSchema(type="string", domain=TextDomain(pattern="[A-Z]{3}", min_length=3), doc="code"),
        "t": ColumnSchema(type="timestamp[us, tz=UTC]", stage=Stage.ALPHA),
        "f": ColumnSchema(type="float"),
        "d": ColumnSchema(type="date32[day]"),
    },
    name="rows",
    keys=("n",),
)
GOOD = {"n": [1, 2], "s": ["a", None], "p": ["ABC", None], "f": [0.5, None], "d": [None, None]}
BAD = [
    {"n": [1, 10]},
    {"n": [1, None]},
    {"n": [1, 1]},
    {"s": ["a", "c"]},
    {"p": ["ABCD", "ABC"]},
    {"p": ["xABC", "ABC"]},
]


def rows(**changes):
    kinds = {"n": pa.int64(), "s": pa.string(), "p": pa.string(), "f": pa.float32(), "d": pa.date32()}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in (GOOD | changes).items()})


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
def test_pandera_judges_rows_as_the_schema_says(backend):
    made = ROWS.to_pandera(backend)
    shown = pl.from_arrow if backend == "polars" else lambda table: table
    made.validate(shown(rows()))
    for changes in BAD:
        with pytest.raises(pandera.errors.SchemaError):
            made.validate(shown(rows(**changes)))


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
def test_what_pandera_can_say_comes_back(backend):
    back, dropped = imported(DataSchema.from_pandera, ROWS.to_pandera(backend))
    assert dropped == []
    assert back.columns == ROWS.columns
    assert (back.keys, back.name) == (ROWS.keys, ROWS.name)


def test_what_pandera_cannot_say_is_named():
    with pytest.warns(ExchangeWarning, match="x: domain.nan; x: min_fraction; min_rows"):
        DataSchema(
            columns={"x": ColumnSchema(type="double", min_fraction=0.9, domain=NumericDomain(nan="deny"))}, min_rows=5
        ).to_pandera()
    with pytest.raises(UsageError, match="no backend 'spark'"):
        ROWS.to_pandera("spark")


class Model(on_polars.DataFrameModel):
    n: int = on_polars.Field(gt=0, lt=10)
    r: float = on_polars.Field(gt=0.0, in_range={"min_value": 0, "max_value": 1})
    s: str = on_polars.Field(str_startswith="a", nullable=True, unique=True)
    e: str = on_polars.Field(eq="only", coerce=True)

    class Config:
        strict = True


def test_a_model_of_pandera_is_read_and_its_rest_named():
    schema, dropped = imported(DataSchema.from_pandera, Model)
    assert schema.columns["n"].domain == NumericDomain(min=1, max=9)
    assert schema.columns["r"].domain == NumericDomain(min=5e-324, max=1)  # the tighter of both
    assert schema.columns["s"].unique.key
    assert schema.columns["s"].domain.pattern == "(?s:.*)(?:^a)(?s:.*)"
    assert schema.columns["e"].domain == CategoryDomain(values=("only",))
    assert dropped == ["e: coerce", "strict"]


CHECK = on_polars.Check
CHECKS = {
    pl.Int64: [
        [CHECK.gt(-0.5)], [CHECK.lt(0.5)], [CHECK.gt(0.5)], [CHECK.lt(-0.5)], [CHECK.ge(-1), CHECK.ge(1), CHECK.lt(2)],
        [CHECK.gt(0), CHECK.in_range(-1, 2)], [CHECK.in_range(-0.5, 2.5, include_min=False, include_max=False)],
        [CHECK.eq(1)], [CHECK.isin([0, 2])],
    ],
    pl.Float64: [
        [CHECK.gt(-0.5)], [CHECK.lt(0.5)], [CHECK.eq(1.0)], [CHECK.in_range(0, 1, include_min=False)],
        [CHECK.le(2), CHECK.le(1.0), CHECK.ge(-1)],
    ],
    pl.String: [
        [CHECK.str_startswith("a.")], [CHECK.str_endswith("b")], [CHECK.str_matches("ab")], [CHECK.str_matches("^a$")],
        [CHECK.str_contains("b|z")], [CHECK.str_length(1, 5), CHECK.str_length(2, 9)], [CHECK.eq("ab")],
        [CHECK.isin(["", "ab"])],
    ],
}  # fmt: skip
VALUES = {
    pl.Int64: [-2, -1, 0, 1, 2, 3],
    pl.Float64: [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5, 3.0],
    pl.String: ["", "a", "ab", "a.b", "xab", "AB", "b\n", "a.", "zz"],
}


@pytest.mark.parametrize(("dtype", "checks"), [(dtype, each) for dtype, listed in CHECKS.items() for each in listed])
def test_a_check_that_is_read_judges_as_pandera_does(dtype, checks):
    schema = on_polars.DataFrameSchema({"x": on_polars.Column(dtype, checks)})
    read, dropped = imported(DataSchema.from_pandera, schema)
    assert dropped == []
    for value in VALUES[dtype]:
        rows = pl.DataFrame({"x": [value]}, schema={"x": dtype})
        try:
            schema.validate(rows)
            passes = True
        except pandera.errors.SchemaError:
            passes = False
        table = pa.table({"x": pa.array([value])})
        assert validate(TableSubject(table, "t"), read).passed is passes, value


def test_checks_that_no_domain_can_say_are_named_and_do_not_stop_the_rest():
    columns = {
        "i": on_polars.Column(pl.Int64, [CHECK.gt(float("inf")), CHECK.ge(0)]),
        "f": on_polars.Column(pl.Float64, [CHECK.isin([0.5, 1.5])]),
        "t": on_polars.Column(pl.String, [CHECK.ge(0), CHECK.str_startswith("a"), CHECK.str_endswith("z")]),
        "n": on_polars.Column(pl.Int64, [CHECK.str_length(1, 2), CHECK.ne(3)]),
    }
    schema, dropped = imported(DataSchema.from_pandera, on_polars.DataFrameSchema(columns))
    assert schema.columns["i"].domain == NumericDomain(min=0)
    assert schema.columns["t"].domain == TextDomain(pattern="(?s:.*)(?:^a)(?s:.*)")
    assert dropped == [
        "i: check greater_than", "f: check isin", "t: check greater_than_or_equal_to", "t: check str_endswith",
        "n: check str_length", "n: check not_equal_to",
    ]  # fmt: skip


def test_what_is_no_schema_of_pandera_is_refused():
    with pytest.raises(UsageError, match=r"builtins\.list"):
        DataSchema.from_pandera([])
    with pytest.raises(UsageError, match="schema_type is 'None'"):
        DataSchema.from_pandera({})  # what one of its files would hold
    assert on_arrow.DataFrameSchema is not None


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
def test_a_tolerated_form_is_no_contract_of_panderas(backend):
    domain = TextDomain(semantic="email", min_mass=0.9)
    schema = DataSchema(columns={"s": ColumnSchema(type="string", domain=domain)})
    with pytest.warns(ExchangeWarning, match="domain.semantic"):
        made = schema.to_pandera(backend)
    assert not made.columns["s"].checks


@pytest.mark.parametrize("backend", ["polars", "pyarrow"])
def test_a_column_of_the_type_of_nothing_can_be_exported(backend):
    schema = DataSchema(columns={"x": ColumnSchema(type="null"), "y": ColumnSchema(type="int64", nullable=False)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExchangeWarning)
        made = schema.to_pandera(backend)
    rows = pa.table({"x": pa.nulls(2), "y": [1, 2]})
    assert made.validate(pl.from_arrow(rows) if backend == "polars" else rows) is not None

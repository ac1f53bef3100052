"""Contracts that are written here conform to the JSON Schema that the standard itself publishes."""

import json
from importlib.resources import files

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ExchangeWarning
from foldstore.validation.check import validate
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from tests.validation.test_check import CASES
from tests.validation.test_schema import FULL
from tests.validation.test_schema_fields import COLUMNS, WORDS


@pytest.fixture(scope="module")
def standard():
    """The published schema of version 3.1, as the package of the standard's Python model carries it."""
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["properties"]["apiVersion"]["default"] == "v3.1.0"
    return jsonschema.validators.validator_for(schema)(schema)


def faults(standard, schema):
    contract = json.loads(json.dumps(schema.to_contract(), allow_nan=False))
    return [(list(each.absolute_path), each.message) for each in standard.iter_errors(contract)]


def test_the_standard_finds_a_fault_where_there_is_one(standard):
    contract = FULL.to_contract()
    contract["schema"][0]["properties"][0]["logicalType"] = "varchar"
    assert list(standard.iter_errors(contract))
    assert list(standard.iter_errors({**FULL.to_contract(), "owner": "me"}))


def test_the_fullest_schema_conforms(standard):
    assert faults(standard, FULL) == []


@pytest.mark.parametrize("code", CASES)
def test_what_raises_each_code_conforms(standard, code):
    assert faults(standard, CASES[code][0]) == []


@given(data=st.data())
def test_any_schema_conforms(standard, data):
    columns = data.draw(st.dictionaries(WORDS, COLUMNS, min_size=1, max_size=3))
    named = data.draw(
        st.fixed_dictionaries({}, optional={"name": WORDS, "min_rows": st.just(1), "max_rows": st.just(9)})
    )
    assert faults(standard, DataSchema(columns=columns, keys=(next(iter(columns)),), **named)) == []


LIBRARY = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "c",
    "version": "1.0.0",
    "status": "active",
    "schema": [
        {
            "name": "orders",
            "logicalType": "object",
            "properties": [
                {"name": name, "logicalType": "string", "quality": [{"type": "library", **rule}]}
                for name, rule in {
                    "never_null": {"metric": "nullValues", "mustBe": 0},
                    "not_one_null": {"metric": "nullValues", "mustBeLessThan": 1},
                    "few_nulls": {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},
                    "some_nulls": {"metric": "nullValues", "mustBeLessOrEqualTo": 3, "unit": "rows"},
                    "many_nulls": {"metric": "nullValues", "mustBeGreaterThan": 5},
                    "missing": {"metric": "missingValues", "arguments": {"missingValues": [None]}, "mustBe": 0},
                    "encoded": {"metric": "missingValues", "arguments": {"missingValues": [None, "NA"]}, "mustBe": 0},
                    "own": {"metric": "duplicateValues", "mustBe": 0},
                    "few_twice": {"metric": "duplicateValues", "mustBeLessThan": 10, "unit": "percent"},
                    "code": {"metric": "invalidValues", "arguments": {"pattern": "^(?:[A-Z]{2})$"}, "mustBe": 0},
                    "town": {
                        "metric": "invalidValues",
                        "arguments": {"validValues": ["Oslo", "Rome"]},
                        "mustBeLessThan": 25,
                        "unit": "percent",
                    },
                }.items()
            ],
            "quality": [
                {"type": "library", "metric": "rowCount", "mustBeBetween": [2, 90]},
                {
                    "type": "library",
                    "metric": "duplicateValues",
                    "mustBe": 0,
                    "arguments": {"properties": ["code", "town"]},
                },
            ],
        }
    ],
}


def test_the_metrics_of_the_standards_library_are_read(standard):
    assert list(standard.iter_errors(LIBRARY)) == []
    with pytest.warns(ExchangeWarning) as told:
        schema = DataSchema.from_contract(LIBRARY)
    columns = schema.columns
    required = {name for name, column in columns.items() if not column.nullable}
    assert required == {"never_null", "not_one_null", "missing"}
    assert {name: each.min_fraction for name, each in columns.items() if each.min_fraction} == {"few_nulls": 0.95}
    assert [name for name, column in columns.items() if column.unique] == ["own"]
    assert columns["code"].domain.pattern == "[A-Z]{2}"
    assert (columns["town"].domain.values, columns["town"].domain.min_mass) == (("Oslo", "Rome"), 0.75)
    assert (schema.min_rows, schema.max_rows, schema.other_keys) == (2, 90, (("code", "town"),))
    (warning,) = told
    assert [each.strip() for each in str(warning.message).partition(":")[2].strip(" .").split(";")] == [
        "some_nulls: quality nullValues (its limit)",
        "many_nulls: quality nullValues (its limit)",
        "encoded: quality missingValues",
        "few_twice: quality duplicateValues",
    ]


def test_what_was_read_from_the_library_judges_rows():
    with pytest.warns(ExchangeWarning):
        schema = DataSchema.from_contract(LIBRARY)
    rows = {name: [f"{n}" for n in range(40)] for name in schema.columns}
    rows |= {"code": ["AA"] * 40, "town": ["Oslo", "Rome"] * 20}
    report = validate(TableSubject(pa.table(rows), "orders"), schema)
    assert {(each.code, each.column) for each in report.anomalies} == {("duplicate_key", None)}
    rows |= {"code": ["aa"] * 40, "town": ["Bern"] * 20 + ["Rome"] * 20, "own": ["1"] * 40}
    rows |= {"never_null": [None] * 40, "few_nulls": [None] * 20 + ["1"] * 20}
    found = {each.code for each in validate(TableSubject(pa.table(rows), "orders"), schema).anomalies}
    assert found >= {"duplicate_key", "pattern_mismatch", "value_outside_domain", "null_fraction_high"}

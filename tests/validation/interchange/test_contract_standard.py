"""Contracts that are written here conform to the JSON Schema that the standard itself publishes."""

import json
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.schema import DataSchema
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

"""A schema that could never be judged is refused when it is set, in words."""

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import ForeignKey, RowRule, Segment
from foldstore.validation.schema import DataSchema

COLUMNS = {"km": ColumnSchema(type="int64"), "port": ColumnSchema(type="string")}


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store") as opened:
        opened.create_dataset("ports").append({"code": ["EWR"], "name": ["Newark"]})
        opened.create_dataset("bare")
        opened.create_dataset("trips")
        yield opened


@pytest.mark.parametrize(
    ("changes", "message", "where"),
    [
        ({"rules": (RowRule(expr="km > 0"), RowRule(expr="km >"))}, "The rule 'km >' cannot be judged", "rules[1]"),
        ({"rules": (RowRule(expr="kms > 0", name="far"),)}, "The rule 'far' cannot be judged: .*'kms'", "rules[0]"),
        ({"rules": (RowRule(expr="km + 1"),)}, "not true or false", "rules[0]"),
        ({"rules": (RowRule(expr="km > port[1:2] + DATE '2013-01-01'"),)}, "cannot be judged", "rules[0]"),
        ({"rules": (RowRule(expr="km IN (SELECT 1)"),)}, "cannot be judged", "rules[0]"),
        ({"segments": (Segment(name="far", where="kms > 9"),)}, "The segment 'far' cannot be judged", "segments[0]"),
        ({"refs": (ForeignKey(columns=("port",), dataset="ports"),)}, "'port' that dataset 'ports' lacks", "refs[0]"),
        ({"refs": (ForeignKey(columns=("port",), dataset="port"),)}, "dataset 'port' that the store lacks", "refs[0]"),
        ({"overlap": {"tripz": 0.1}}, "dataset 'tripz' that the store lacks", "overlap.tripz"),
    ],
)
def test_what_could_never_be_judged_is_refused(store, changes, message, where):
    trips = store.dataset("trips")
    with pytest.raises(InvalidSchemaError, match=message) as caught:
        trips.set_schema(DataSchema(columns=COLUMNS, **changes))
    assert caught.value.facts["where"] == where
    assert trips.schema is None


def test_a_near_miss_is_named(store):
    with pytest.raises(InvalidSchemaError) as caught:
        store.dataset("trips").set_schema(DataSchema(columns=COLUMNS, rules=(RowRule(expr="kmm > 0"),)))
    assert "'km'" in caught.value.hint


def test_sound_rules_are_kept(store):
    schema = DataSchema(
        columns=COLUMNS,
        rules=(RowRule(expr="km > 0 OR port = 'EWR'"),),
        segments=(Segment(name="far", by=("port",), where="km > 100"),),
        refs=(
            ForeignKey(columns=("port",), dataset="ports", to=("code",)),
            ForeignKey(columns=("port",), dataset="bare"),  # nothing of it is published: its columns are not known
        ),
        overlap={"ports": 1.0},
    )
    assert store.dataset("trips").set_schema(schema) == schema


def test_a_rule_may_name_a_column_that_only_the_rows_have(store):
    trips = store.dataset("trips")
    trips.append({"km": [1], "port": ["EWR"], "fare": [2.5]})
    rule = RowRule(expr="fare > 0")
    assert trips.set_schema(DataSchema(columns=COLUMNS, rules=(rule,))).rules == (rule,)


def test_a_rule_on_nested_values_is_checked_by_the_rows_that_are_there(store):
    tags = ColumnSchema(type="list<item: string>")
    trips = store.dataset("trips")
    counted = DataSchema(columns={**COLUMNS, "tags": tags}, rules=(RowRule(expr="len(tags) > 0"),))
    assert trips.set_schema(counted).rules == counted.rules  # before there are rows, only the name is known
    trips.append(pa.table({"km": [1], "port": ["EWR"], "tags": [["a"]]}))
    with pytest.raises(InvalidSchemaError, match="cannot be judged"):
        trips.set_schema(DataSchema(columns={**COLUMNS, "tags": tags}, rules=(RowRule(expr="tags.depth > 0"),)))

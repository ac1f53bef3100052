"""Rules on values inside of columns: each is asked, counted and shown for itself."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import validate
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import RowRule
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

STOPS = pa.list_(pa.struct({"came": pa.int64(), "gone": pa.int64()}))
ITEMS = st.none() | st.fixed_dictionaries(
    {"came": st.none() | st.integers(0, 3), "gone": st.none() | st.integers(0, 3)}
)


def judge(rows, *rules, **how):
    schema = DataSchema(
        columns={name: ColumnSchema(type=str(rows[name].type)) for name in rows.column_names}, rules=rules
    )
    return validate(TableSubject(rows, "t"), schema, **how).anomalies


@given(st.lists(st.none() | st.lists(ITEMS, max_size=3), max_size=12), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_values_are_counted_as_a_loop_counts_them(rows, share):
    table = pa.table({"stops": pa.array(rows, STOPS)})
    places = [(n, item) for n, row in enumerate(rows) for item in row or ()]
    bad = [(n, item) for n, item in places if item and None not in item.values() and not item["gone"] >= item["came"]]
    found = judge(table, RowRule(expr="gone >= came", each="stops[]", min_pass_fraction=share))
    found = [each for each in found if each.code == "row_rule_failed"]
    if not bad or len(bad) <= (1 - share) * len(places) * (1 + 1e-12):
        assert found == []
        return
    (anomaly,) = found
    assert (anomaly.count, anomaly.fraction) == (len(bad), len(bad) / len(places))
    assert [(each["row"], each["value"]) for each in anomaly.example_rows] == [(n, str(item)) for n, item in bad[:10]]
    assert anomaly.evidence == {"each": "stops[]"}


def test_values_without_fields_are_called_item_and_structs_are_their_fields():
    table = pa.table({"n": [[1, -2], [3]], "fare": pa.array([{"paid": 5, "due": 3}, {"paid": 1, "due": 3}])})
    numbers, fares = judge(
        table, RowRule(expr="item > 0", each="n[]", name="positive"), RowRule(expr="paid >= due", each="fare")
    )
    assert (numbers.message, numbers.example_rows) == (
        "positive fails for 1 rows (allowed 0 %)",
        ({"row": 0, "key": {}, "value": -2},),
    )
    assert (fares.count, fares.fraction, fares.example_rows[0]["value"]) == (1, 0.5, "{'paid': 1, 'due': 3}")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (RowRule(expr="gone > 0", each="halts[]"), "There is no path 'halts\\[\\]'"),
        (RowRule(expr="lefft > 0", each="stops[]"), "There is no column 'lefft'"),
        (RowRule(expr="stops > 0", each="stops[]"), "There is no column 'stops'"),
    ],
)
def test_what_cannot_be_asked_is_said(rule, said, tmp_path):
    (odd,) = judge(pa.table({"stops": pa.array([[]], STOPS)}), rule)
    assert odd.code == "schema_invalid"
    with foldstore.connect(tmp_path / "store") as store:
        trips = store.create_dataset("trips")
        trips.append(pa.table({"stops": pa.array([[]], STOPS)}))
        schema = DataSchema(columns={"stops": ColumnSchema(type=str(STOPS))}, rules=(rule,))
        with pytest.raises(InvalidSchemaError, match=f"(?i){said}"):
            trips.set_schema(schema)


def test_a_rule_travels_with_its_path_and_belongs_to_the_environments_of_its_column():
    schema = DataSchema.from_yaml(
        "environments: [training, serving]\n"
        "columns: {a: {type: int64}, stops: {type: 'list<item: int64>', not_in_environment: [serving]}}\n"
        "rules: [{expr: item > 0, each: 'stops[]'}]"
    )
    assert DataSchema.from_yaml(schema.to_yaml()) == schema
    assert DataSchema.from_contract(schema.to_contract()).id == schema.id
    served = TableSubject(pa.table({"a": [1]}), "served")
    assert validate(served, schema, Surroundings(environment="serving")).anomalies == ()
    assert "schema_invalid" in {each.code for each in validate(served, schema).anomalies}


def test_sealed_lists_fail_no_rule():
    table = pa.table({"stops": pa.array([None, [{"came": 2, "gone": 1}]], STOPS)})
    assert [each.count for each in judge(table, RowRule(expr="gone >= came", each="stops[]"))] == [1]

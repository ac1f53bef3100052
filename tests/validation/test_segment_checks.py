"""Segments: what is wrong with a slice is found there, and nowhere else."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.validation.check import validate
from foldstore.validation.column_domains import CategoryDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

ROWS = {
    "origin": ["JFK"] * 900 + ["LGA"] * 95 + [None] * 5,
    "delay": pa.array([1] * 900 + [None] * 45 + [1] * 55, pa.int64()),
}
COLUMNS = {"origin": ColumnSchema(type="string"), "delay": ColumnSchema(type="int64", min_fraction=0.9)}


def judge(*segments, rows=ROWS, columns=COLUMNS):
    held = rows if isinstance(rows, pa.Table) else pa.table(rows)
    return validate(TableSubject(held, "t"), DataSchema(columns=columns, segments=segments)).anomalies


def test_nulls_that_hide_in_the_whole_are_found_in_a_slice():
    assert judge() == ()
    (found,) = judge(Segment(name="hubs", by=("origin",)))
    assert (found.code, found.column, found.count) == ("null_fraction_high", "delay", 45)
    assert found.message.startswith("where origin=LGA: null in 47.4 %")
    assert (found.evidence["segment"], found.evidence["slice"], found.fix) == ("hubs", "origin=LGA", None)
    assert all("row" not in each for each in found.example_rows)


def test_a_condition_is_a_slice_and_narrows_others():
    (found,) = judge(Segment(name="not JFK", where="origin <> 'JFK'"))
    assert found.message.startswith("where origin <> 'JFK': null in 47.4 %")
    assert judge(Segment(name="JFK", by=("origin",), where="origin = 'JFK'")) == ()


def test_batches_without_rows_have_no_slice():
    table = pa.table(ROWS)
    pieces = pa.concat_tables([table.slice(0, 0), table, table.slice(0, 0)])
    assert pieces["delay"].num_chunks == 3
    (found,) = judge(Segment(name="hubs", by=("origin",)), rows=pieces)
    assert (found.code, found.count) == ("null_fraction_high", 45)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.dictionary(pa.int8(), pa.string_view())], ids=str)
def test_texts_in_views_are_sliced_as_others(kind):
    texts = pa.array(ROWS["origin"], pa.string_view())
    if pa.types.is_dictionary(kind):
        texts = pa.array(ROWS["origin"]).dictionary_encode()
        texts = pa.DictionaryArray.from_arrays(texts.indices, texts.dictionary.cast(pa.string_view()))
    tags = [["a"], None] * 500
    columns = {**COLUMNS, "tags": ColumnSchema(type="list<item: string>", min_fraction=0.5)}
    segments = Segment(name="hubs", by=("origin",)), Segment(name="timed", where="delay = 1 AND origin <> 'JFK'")
    views = pa.table({**ROWS, "origin": texts, "tags": pa.array(tags, pa.list_(pa.string_view()))})
    found = judge(*segments, rows=views, columns=columns)
    assert [each.code for each in found] == ["null_fraction_high"]
    assert found == judge(*segments, rows={**ROWS, "tags": tags}, columns=columns)


def test_a_name_that_occurs_twice_is_refused_for_views_too():
    twice = pa.Table.from_arrays([pa.array(["a"], pa.string_view())] * 2, names=["origin", "origin"])
    with pytest.raises(UsageError, match="origin"):
        judge(rows=twice)


@pytest.mark.parametrize("segment", [Segment(name="s", where="nothing = 1"), Segment(name="s", where="delay +")])
def test_a_segment_that_cannot_be_read_is_said(segment):
    assert [each.code for each in judge(segment)] == ["schema_invalid"]


def test_what_the_whole_says_is_not_said_again():
    columns = {**COLUMNS, "delay": ColumnSchema(type="int64", nullable=False)}
    assert [each.code for each in judge(Segment(name="hubs", by=("origin",)), columns=columns)] == [
        "null_fraction_high"
    ]


@given(st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.none() | st.just(1)), max_size=40))
def test_slices_are_those_of_a_loop(rows):
    table = {"origin": pa.array([a for a, _ in rows], pa.string()), "delay": pa.array([b for _, b in rows], pa.int64())}
    found = judge(Segment(name="s", by=("origin",)), rows=table)
    whole = {each.code for each in found if "slice" not in each.evidence}
    for value in (None, "a", "b"):
        part = {key: [pair[place] for pair in rows if pair[0] == value] for place, key in enumerate(table)}
        alone = judge(
            rows={"origin": pa.array(part["origin"], pa.string()), "delay": pa.array(part["delay"], pa.int64())}
        )
        expected = {each.code for each in alone} - whole - {"no_data"}
        assert {each.code for each in found if each.evidence.get("slice") == f"origin={value}"} == expected


TRIPS = {
    "fare": pa.array([{"kind": ["cash", "card"][n % 2], "amount": n % 7} for n in range(200)]),
    "stops": [[{"code": "EWR" if n % 2 else "JFK"}, {"code": "XXX" if n == 7 else "LGA"}] for n in range(200)],
}
NESTED = {
    "fare": ColumnSchema(type="struct<kind: string, amount: int64>"),
    "fare.kind": ColumnSchema(type="string"),
    "fare.amount": ColumnSchema(type="int64"),
    "stops": ColumnSchema(type="list<item: struct<code: string>>"),
    "stops[].code": ColumnSchema(type="string", domain=CategoryDomain(values=("EWR", "JFK", "LGA"), min_mass=0.996)),
}


def test_what_is_inside_of_columns_is_judged_in_slices_too():
    assert judge(rows=TRIPS, columns=NESTED) == ()
    (found,) = judge(Segment(name="paid", by=("fare.kind",)), rows=TRIPS, columns=NESTED)
    assert (found.code, found.column, found.count) == ("value_outside_domain", "stops[].code", 1)
    assert found.message.startswith("where fare.kind=card: 0.5 % outside domain; new: 'XXX' (1)")
    assert found.example_rows == ({"key": {}, "value": "XXX"},)
    (other,) = judge(Segment(name="card", where="fare.kind = 'card'"), rows=TRIPS, columns=NESTED)
    assert (other.code, other.column, other.count) == ("value_outside_domain", "stops[].code", 1)


def test_rows_without_a_struct_are_a_slice_and_items_of_lists_are_none():
    rows = {**TRIPS, "fare": pa.array([{"kind": "cash", "amount": 1}] * 150 + [None] * 50)}
    columns = {
        **NESTED,
        "stops[].code": ColumnSchema(type="string", domain=CategoryDomain(values=("EWR", "JFK", "LGA"))),
    }
    slices = {
        each.evidence.get("slice") for each in judge(Segment(name="s", by=("fare.kind",)), rows=rows, columns=columns)
    }
    assert slices == {None}, "the only fault lies in the whole, and is not said again"
    (odd,) = judge(Segment(name="s", by=("stops[].code",)), rows=TRIPS, columns=NESTED)
    assert odd.code == "schema_invalid"
    assert "any number of items" in odd.message

"""Law 4: what a lookup answers at an instant is what the training join gives for that instant, to the bit."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import NotFoundError, SchemaMismatchError, UsageError
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.service import OnlineService
from foldstore.views.online.status import FeatureStatus
from foldstore.views.splits.hashing import hash_keys
from tests.views.online.rides import SECOND, TYPES, bits, driver_view, open_view, ride_table, slow_answer

SECONDS = st.integers(0, 12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "driver": st.sampled_from(["a", "b", "", "Zoë", None]),
            "ts": st.none() | SECONDS,
            "created": st.none() | SECONDS,
            "x": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f": st.none() | st.floats(width=32),
            "d": st.none() | st.floats(),
            "s": st.none() | st.text(max_size=3),
            "b": st.none() | st.booleans(),
            "t": st.none() | st.integers(-(10**15), 10**15),
        }
    ),
    max_size=30,
)
ASKED = st.lists(st.sampled_from(["a", "b", "", "Zoë", None, "nobody"]), min_size=1, max_size=30)
TTLS = st.sampled_from([None, "3s"])


def serve(reader):
    return OnlineService(FeatureService("svc", [reader.view]).selections, {"stats": reader}, address="svc@1")


@settings(max_examples=120)
@given(ROWS, ASKED, SECONDS, TTLS)
def test_a_lookup_gives_what_looking_at_every_row_gives(tmp_path_factory, rows, asked, at, ttl):
    folder = tmp_path_factory.mktemp("online")
    service = serve(open_view(ride_table(rows), driver_view(ttl), folder))
    answer = service.get({"driver": asked}, at * SECOND)
    handle = service.prepare()
    columns = {column.name: column for column in answer.columns()}
    for place, driver in enumerate(asked):
        expected = slow_answer(rows, driver, at, 3 if ttl else None)
        single = handle.get({"driver": driver}, at * SECOND)
        for number, (name, kind) in enumerate(TYPES.items()):
            value, status = columns[name].values[place], columns[name].statuses[place]
            if not isinstance(expected, dict):
                wanted = FeatureStatus.NOT_FOUND if expected is None else FeatureStatus.OUTSIDE_MAX_AGE
                assert (value, status) == (None, wanted)
            else:
                assert bits(value, kind) == bits(expected[name], kind)
                assert status == (FeatureStatus.NULL_VALUE if expected[name] is None else FeatureStatus.PRESENT)
                assert columns[name].event_times[place] == expected["ts"] * SECOND
            assert bits(single.values[name], kind) == bits(value, kind)
            assert single.statuses[number] == status
            assert single.event_times[number] == columns[name].event_times[place]


@settings(max_examples=120)
@given(ROWS, ASKED, SECONDS, TTLS)
def test_a_lookup_gives_what_the_training_join_gives_to_the_bit(tmp_path_factory, rows, asked, at, ttl):
    view, table = driver_view(ttl), ride_table(rows)
    labels = pa.table(
        {
            "driver": pa.array(asked, pa.string()),
            "event_timestamp": pa.array([at] * len(asked), pa.timestamp("s", "UTC")),
        }
    )
    joined = point_in_time_join(labels, [FeatureTable(view[list(view.features)], index_view(view, table))])
    service = serve(open_view(table, view, tmp_path_factory.mktemp("online")))
    served = service.get({"driver": asked}, at * SECOND).to_arrow()
    for name, kind in TYPES.items():
        assert served.schema.field(name).type == joined.schema.field(name).type == kind
        assert _bytes(served[name]) == _bytes(joined[name])


def _bytes(column):
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_floating(array.type):
        array = array.view(pa.int32() if array.type == pa.float32() else pa.int64())
    return array.to_pylist()


@settings(max_examples=60)
@given(ROWS, st.sampled_from(["a", "b", "Zoë"]), SECONDS, SECONDS)
def test_history_that_is_left_out_is_history_that_nobody_may_ask_about(tmp_path_factory, rows, driver, since, later):
    table, folder = ride_table(rows), tmp_path_factory.mktemp("online")
    whole = serve(open_view(table, driver_view("3s"), folder))
    recent = serve(open_view(table, driver_view("3s"), folder, since=since * SECOND))
    at = (since + later) * SECOND
    first, second = whole.get({"driver": [driver]}, at), recent.get({"driver": [driver]}, at)
    for one, other in zip(first.columns(), second.columns(), strict=True):
        assert (repr(one.values), one.statuses, one.event_times) == (
            repr(other.values),
            other.statuses,
            other.event_times,
        )
    with pytest.raises(UsageError, match="is materialized from") as caught:
        recent.get({"driver": [driver]}, since * SECOND - 1)
    assert caught.value.code == "before-history"


KEYS = {
    "string": st.text(max_size=20),
    "binary": st.binary(max_size=20),
    "bool": st.booleans(),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int8": st.integers(-128, 127),
    "uint64": st.integers(0, 2**64 - 1),
    "date32": st.dates(),
}


@pytest.mark.parametrize("kind", KEYS)
def test_one_key_hashes_as_a_column_does(kind):
    @given(st.lists(KEYS[kind], min_size=1, max_size=60))
    def law(values):
        column = pa.array(values, pa.type_for_alias(kind))
        hasher = KeyHasher({"k": kind}, "online/3")
        assert [hasher.hash_one([value]) for value in values] == hash_keys([column], "online/3").tolist()
        both = KeyHasher({"k": kind, "n": "int64"}, "online/3")
        numbers = pa.array(range(len(values)))
        found = [both.hash_one([value, number]) for number, value in enumerate(values)]
        assert found == hash_keys([column, numbers], "online/3").tolist()

    law()


def test_composite_keys_are_not_pasted_together(tmp_path):
    view = FeatureView(
        "pairs", entity=Entity("pair", keys={"l": "string", "r": "string"}), source="p", event_time="ts", features=["x"]
    )
    ts = pa.array([0, 0], pa.timestamp("s"))
    table = pa.table({"l": ["ab", "a"], "r": ["c", "bc"], "ts": ts, "x": [1, 2]})
    service = OnlineService([view[["x"]]], {"pairs": open_view(table, view, tmp_path)})
    assert service.get({"l": ["ab", "a", "abc"], "r": ["c", "bc", ""]}, 0).to_dict()["x"] == [1, 2, None]


def test_texts_of_any_length_are_found_one_by_one_and_at_once(tmp_path):
    texts = ["", "a", "Zoë", "\U0001f600", *("x" * size for size in (2, 200, 254, 255, 256, 257, 5_000))]
    rows = [{"driver": text, "ts": 0, "x": number} for number, text in enumerate(texts)]
    service = OnlineService([driver_view()[["x"]]], {"stats": open_view(ride_table(rows), driver_view(), tmp_path)})
    asked = [*texts, "x" * 3, "x" * 258, "Zoe", *reversed(texts)]
    numbers = {text: number for number, text in enumerate(texts)}
    for some in (asked, [text for text in asked if len(text) < 256]):
        assert service.get({"driver": some}, SECOND).to_dict()["x"] == [numbers.get(text) for text in some]
    assert [service.get({"driver": [text]}, SECOND).to_dict()["x"] for text in asked] == [
        [numbers.get(text)] for text in asked
    ]


def test_a_key_that_shares_a_hash_with_another_is_not_found(tmp_path, monkeypatch):
    reader = open_view(ride_table([{"driver": "a", "ts": 0, "x": 1}]), driver_view(), tmp_path)
    stored = KeyHasher({"driver": "string"}, reader.header.salt).hash_one(["a"])
    monkeypatch.setattr(KeyHasher, "hash_one", lambda *_: stored)
    monkeypatch.setattr(KeyHasher, "hash_texts", lambda _, texts: np.array([stored] * len(texts), np.uint64))
    assert reader.find(["b"], SECOND).status == "NOT_FOUND"
    assert reader.search([["b", "a"] * 10], SECOND).statuses == ["NOT_FOUND", "PRESENT"] * 10


def test_keys_that_collide_make_the_file_choose_another_salt(tmp_path, monkeypatch):
    from foldstore.views.online import sorted_rows

    def collide_once(columns, salt):
        hashes = hash_keys(columns, salt)
        return np.zeros_like(hashes) if salt == "online/0" else hashes

    monkeypatch.setattr(sorted_rows, "hash_keys", collide_once)
    rows = [{"driver": "a", "ts": 0, "x": 1}, {"driver": "b", "ts": 0, "x": 2}]
    reader = open_view(ride_table(rows), driver_view(), tmp_path)
    assert reader.header.salt == "online/1"
    assert serve(reader).get({"driver": ["b", "a"]}, 0).to_dict()["x"] == [2, 1]


def test_one_view_answers_under_two_names(tmp_path):
    rows = [{"driver": "a", "ts": 0, "x": 1}, {"driver": "b", "ts": 0, "x": 2}]
    reader = open_view(ride_table(rows), driver_view(features=["x"]), tmp_path)
    selections = [
        reader.view.as_("first", keys={"driver": "origin"}),
        reader.view.as_("second", keys={"driver": "dest"}),
    ]
    service = OnlineService(selections, {"stats": reader}, full_feature_names=True)
    row = service.prepare().get({"origin": "b", "dest": "a"}, 0)
    assert row.values == {"first__x": 2, "second__x": 1}
    with pytest.raises(UsageError, match="two columns"):
        OnlineService(selections, {"stats": reader})


def test_nanosecond_times_stay_exact(tmp_path):
    view = driver_view(features=["n"], created_time=None)
    table = pa.table({"driver": ["a"], "ts": pa.array([0], pa.timestamp("s")), "n": pa.array([1], pa.timestamp("ns"))})
    service = serve(open_view(table, view, tmp_path))
    assert service.get({"driver": ["a"]}, 0).to_dict()["n"] == [np.datetime64(1, "ns")]


def test_lists_and_decimals_are_served_as_they_are(tmp_path):
    from decimal import Decimal

    view = driver_view(features=["v", "m"], created_time=None)
    table = pa.table(
        {
            "driver": ["a", "a"],
            "ts": pa.array([0, 1], pa.timestamp("s")),
            "v": [[1.5, None], None],
            "m": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
        }
    )
    service = serve(open_view(table, view, tmp_path))
    assert service.get({"driver": ["a"]}, 0).to_dict() == {"driver": ["a"], "v": [[1.5, None]], "m": [Decimal("1.10")]}


@pytest.mark.parametrize(
    ("entities", "error", "message"),
    [
        ([{"wrong": "a"}], SchemaMismatchError, "'driver' is missing"),
        ([{"driver": 7}], SchemaMismatchError, "not a value of type string"),
        ([{"driver": "\ud800"}], SchemaMismatchError, "not a value of type string"),
        ([{"driver": "a", "other": 1}], SchemaMismatchError, "not a key"),
        ([{"driver": "a"}, {}], SchemaMismatchError, "other keys than entity 0"),
        ({"driver": ["a"], "other": [1, 2]}, SchemaMismatchError, "differ in length"),
        ({"driver": "a"}, UsageError, "not a list"),
        ({"driver": []}, UsageError, "no entities"),
        ([], UsageError, "no entities"),
        ("a", UsageError, "neither rows nor columns"),
        ([["a"]], UsageError, "not an object"),
    ],
)
def test_wrong_entities_are_refused_in_words(tmp_path, entities, error, message):
    service = serve(open_view(ride_table([{"driver": "a", "ts": 0}]), driver_view(), tmp_path))
    with pytest.raises(error, match=message):
        service.get(entities, 0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int64", 2**63),
        ("int64", True),
        ("int64", 1.0),
        ("uint64", -1),
        ("date32", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        ("date32", "soon"),
        ("bool", 1),
        ("binary", "text"),
    ],
)
def test_key_values_of_another_type_are_refused(kind, value):
    with pytest.raises(SchemaMismatchError, match=f"not a value of type {kind}"):
        KeyHasher({"k": kind}, "").check([value])


def test_a_view_that_is_not_materialized_is_not_served():
    with pytest.raises(NotFoundError, match="not materialized"):
        OnlineService([driver_view()[["x"]]], {})


def test_a_view_materialized_with_another_definition_is_not_served(tmp_path):
    reader = open_view(ride_table([]), driver_view("3s"), tmp_path)
    with pytest.raises(UsageError, match="another definition"):
        OnlineService([driver_view("4s")[["x"]]], {"stats": reader})


@pytest.mark.parametrize("entity", [None, 5, "a", ["a"], [{"driver": "a"}]])
def test_what_is_not_one_entity_is_refused_in_words(tmp_path, entity):
    handle = serve(open_view(ride_table([]), driver_view("3s"), tmp_path)).prepare()
    with pytest.raises(UsageError, match="not one entity"):
        handle.get(entity)

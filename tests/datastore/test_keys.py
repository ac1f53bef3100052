"""Key uniqueness, against a brute-force count."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore import keys
from foldstore.errors import DuplicateKeyError

KEYS = st.lists(st.tuples(st.none() | st.integers(0, 4), st.sampled_from(["a", "b", None, ""])), max_size=12)
SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string())])


def _table(rows):
    return pa.table({"n": [n for n, _ in rows], "t": [t for _, t in rows]}, SCHEMA)


@given(first=KEYS, second=KEYS)
@settings(max_examples=60)
def test_duplicates_are_those_that_counting_finds(first, second, tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("keys") / "s") as store:
        dataset = store.create_dataset("pairs", key=["n", "t"])
        for before, rows in (([], first), (first, second)):
            counted = Counter(row for row in before + rows if None not in row)
            groups = sum(1 for row, n in counted.items() if n > 1)
            if not groups:
                dataset.append(_table(rows))
                continue
            with pytest.raises(DuplicateKeyError) as caught:
                dataset.append(_table(rows))
            assert caught.value.facts["groups"] == groups
            return


def test_fragments_that_cannot_hold_a_key_are_not_read(store, monkeypatch):
    dataset = store.create_dataset("days", key=["day"])
    for start in (0, 100, 200):
        dataset.append({"day": list(range(start, start + 100))})
    hashed = []
    real = keys.hash_rows
    monkeypatch.setattr(keys, "hash_rows", lambda columns: hashed.append(len(columns[0])) or real(columns))
    dataset.append({"day": [300, 301]})
    assert hashed == [2]
    hashed.clear()
    with pytest.raises(DuplicateKeyError):
        dataset.append({"day": [150]})
    assert hashed == [1, 100]


def test_equal_hashes_of_different_keys_are_no_duplicates(store, monkeypatch):
    import numpy as np

    monkeypatch.setattr(keys, "hash_rows", lambda columns: np.zeros(len(columns[0]), np.uint64))
    dataset = store.create_dataset("n", key=["n"])
    dataset.append({"n": [1, 2, 3]})
    assert dataset.append({"n": [4]}).num_rows == 4
    with pytest.raises(DuplicateKeyError, match="n=2"):
        dataset.append({"n": [2]})


def test_a_key_that_the_data_lacks_is_named(store):
    with pytest.raises(foldstore.FoldstoreError, match="no column 'idd'") as caught:
        store.create_dataset("n", key=["idd"]).append({"id": [1]})
    assert "Did you mean 'id'?" in caught.value.hint


def test_one_name_as_a_key_is_a_list_of_one(store):
    with pytest.raises(foldstore.FoldstoreError) as caught:
        store.create_dataset("n", key="id")
    assert caught.value.hint == "Write key=['id']."


@pytest.mark.parametrize(
    ("before", "twice"),
    [
        ([float("nan"), 1.0], float("nan")),
        ([0.0, 5.0], -0.0),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()),
        (pa.array([1.5, 2.5]).dictionary_encode(), pa.array([2.5]).dictionary_encode()),
        (pa.array([1, 2], pa.timestamp("ns")), pa.array([2], pa.timestamp("ns"))),
        (pa.array([2**62, 5], pa.timestamp("s", "UTC")), pa.array([2**62], pa.timestamp("s", "UTC"))),
        (pa.array([1, 2], pa.time64("ns")), pa.array([2], pa.time64("ns"))),
        (pa.array([-(2**31), 2], pa.date32()), pa.array([-(2**31)], pa.date32())),
        (pa.array([2**64 - 1, 1], pa.uint64()), pa.array([2**64 - 1], pa.uint64())),
        (["x" * 200, "y"], "x" * 200),
        ([True, False], True),
        ([b"\x00", b"\x01"], b"\x01"),
    ],
    ids=str,
)
def test_keys_of_every_type_are_told_apart_by_value(store, before, twice):
    dataset = store.create_dataset("keyed", key=["k"])
    first = before if isinstance(before, pa.Array) else pa.array(before)
    again = twice if isinstance(twice, pa.Array) else pa.array([twice], first.type)
    dataset.append(pa.table({"k": first}))
    with pytest.raises(DuplicateKeyError) as caught:
        dataset.append(pa.table({"k": again}))
    assert caught.value.facts["groups"] == 1
    assert dataset.latest.num_rows == 2


def test_columns_that_are_no_key_of_the_dataset_are_compared_where_their_zones_meet(store, monkeypatch):
    dataset = store.create_dataset("rides")
    unique = {"type": "int64", "unique": {"key": True}}
    dataset.set_schema(
        foldstore.DataSchema.from_dict({"columns": {"ride": unique}, "severity": {"duplicate_key": "warn"}})
    )
    for start in (0, 100, 200):
        dataset.append({"ride": list(range(start, start + 100))})
    hashed = []
    real = keys.hash_rows
    monkeypatch.setattr(keys, "hash_rows", lambda columns: hashed.append(len(columns[0])) or real(columns))
    assert not dataset.append({"ride": [300, 301]}).report.anomalies
    assert hashed == [2]
    hashed.clear()
    assert [each.code for each in dataset.append({"ride": [150]}).report.anomalies] == ["duplicate_key"]
    assert hashed == [1, 100]


VALUES = st.none() | st.integers(-3, 3) | st.sampled_from([2**62, -(2**62)])


@given(parts=st.lists(st.lists(VALUES, max_size=5), min_size=2, max_size=4))
@settings(max_examples=40)
def test_repeats_of_a_column_are_those_that_counting_finds(parts, tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("columns") / "s") as store:
        dataset = store.create_dataset("n")
        unique = {"type": "int64", "unique": {"key": True}}
        schema = {"columns": {"n": unique}, "severity": {"duplicate_key": "warn", "no_data": "off"}}
        dataset.set_schema(foldstore.DataSchema.from_dict(schema))
        seen = []
        for part in parts:
            report = dataset.append(pa.table({"n": pa.array(part, pa.int64())})).report
            counted = Counter(value for value in seen + part if value is not None)
            met = {value for value in part if value is not None and counted[value] > 1}
            found = report.by_code().get("duplicate_key", ())
            assert [each.observed for each in found] == ([len(met)] if met else [])
            seen += part

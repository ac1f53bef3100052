"""Assignments as bytes: they come back as they were, and damage is told."""

import json

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import CorruptObjectError, NotFoundError
from foldstore.views.splits.assignment import FragmentMembers, SplitAssignment
from foldstore.views.splits.fitting import FragmentRows, extend_split, fit_split
from foldstore.views.splits.split import SplitSpec

PLAIN = SplitSpec("s", dataset="d", train=0.5, validation=0.2, test=0.2, key=["id"])
FITTED = SplitSpec("s", dataset="d", train=0.5, test=0.5, group_by=["g"], duplicates=["x"])


def assignment(spec, sizes):
    fragments = [
        FragmentRows(f"f{n}", pa.table({"id": range(n, n + size), "g": np.arange(size) % 7, "x": np.arange(size) % 20}))
        for n, size in enumerate(sizes)
    ]
    return fit_split(spec, fragments)


@given(spec=st.sampled_from([PLAIN, FITTED]), sizes=st.lists(st.integers(0, 50), max_size=4))
def test_an_assignment_survives_being_written(spec, sizes):
    first = assignment(spec, sizes)
    again = SplitAssignment.from_bytes(first.to_bytes())
    assert (again.spec, again.fragments) == (first.spec, first.fragments)
    assert again.to_bytes() == first.to_bytes()
    new = [FragmentRows("new", pa.table({"id": [1, 900], "g": [3, 900], "x": [19, 3]}))]
    assert extend_split(again, new).to_bytes() == extend_split(first, new).to_bytes()


def test_the_format_is_the_one_that_is_written_down():
    data = assignment(PLAIN, [10]).to_bytes()
    size = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + size])
    assert data[:8] == b"FSSPLIT\x01"
    assert header == {"fragments": [["f0", 10]], "spec": PLAIN.to_dict(), "units": None}
    bitmaps = data[16 + size : -8]
    assert len(bitmaps) == 6
    expected = assignment(PLAIN, [10]).members("f0").parts()
    for code in (1, 2, 3):
        bits = int.from_bytes(bitmaps[2 * code - 2 : 2 * code], "little")
        assert [bits >> row & 1 for row in range(10)] == (expected == code).astype(int).tolist()
    assert data[-8:] == xxhash.xxh3_64_intdigest(data[:-8]).to_bytes(8, "little")


def test_a_written_assignment_is_golden():
    assert xxhash.xxh3_64_hexdigest(assignment(FITTED, [30, 5]).to_bytes()) == "74789643e1ff1a86"


@given(st.data())
def test_any_damaged_byte_is_noticed(data):
    raw = bytearray(assignment(FITTED, [30]).to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptObjectError):
        SplitAssignment.from_bytes(bytes(raw))


@pytest.mark.parametrize("length", [0, 7, 20, 100])
def test_a_torn_file_is_noticed(length):
    with pytest.raises(CorruptObjectError, match="not a split"):
        SplitAssignment.from_bytes(assignment(PLAIN, [30]).to_bytes()[:length])


def _signed(body):
    return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")


def test_a_row_in_two_parts_is_refused_though_the_checksum_fits():
    body = assignment(PLAIN, [8]).to_bytes()[:-8]
    with pytest.raises(CorruptObjectError, match="in two parts"):
        SplitAssignment.from_bytes(_signed(body[:-3] + b"\xff\xff\x00"))


@pytest.mark.parametrize(("change", "message"), [(lambda b: b[:-1], "too early"), (lambda b: b + b"\0", "left over")])
def test_lengths_that_do_not_fit_are_refused_though_the_checksum_does(change, message):
    body = assignment(FITTED, [8]).to_bytes()[:-8]
    with pytest.raises(CorruptObjectError, match=message):
        SplitAssignment.from_bytes(_signed(change(body)))


@pytest.mark.parametrize("part", [None, 5, ["test"], "tset", "unassigned", b"test"])
def test_what_is_no_part_is_answered_with_the_parts(part):
    members = FragmentMembers.from_parts("0", np.array([1, 2, 3], np.uint8))
    with pytest.raises(NotFoundError, match="not a part of a split") as error:
        members.mask(part)
    assert "train" in (error.value.hint or "")


def growing_table(first):
    numbers = np.arange(first, first + 2_000)
    listed = numbers.tolist()
    return pa.table(
        {
            "id": numbers,
            "g": [None if each % 11 == 0 else each * 7919 % 193 for each in listed],
            "x": numbers * 31 % 401,
            "y": [f"v{each * 17 % 7}" for each in listed],
            "t": pa.array(numbers * 611, pa.timestamp("s")),
        }
    )


FIRST_FORMAT = {
    "key": {"key": ["id"]},
    "group": {"key": ["id"], "group_by": ["g"]},
    "two columns": {"key": ["id"], "group_by": ["g", "x"]},
    "duplicates": {"duplicates": ["x", "y"]},
    "strata": {"key": ["id"], "stratify": "y"},
    "groups in strata": {"key": ["id"], "group_by": ["g"], "stratify": "y"},
    "groups tied": {"key": ["id"], "group_by": ["g"], "duplicates": ["x"]},
    "groups tied in strata": {"key": ["id"], "group_by": ["g"], "duplicates": ["x", "y"], "stratify": "y"},
    "time": {"by_time": "t", "boundaries": ["1970-01-08", "1970-01-11"], "purge": "1h"},
}
# XXH3-64 of the bytes that the code wrote which knew no other format.
WRITTEN_THEN = {
    "key": "a663327d2f55f20e",
    "group": "64bc2d55c405c675",
    "two columns": "d1adc8b09c8401e7",
    "duplicates": "7a3a3b8f15b7a064",
    "strata": "6f28b456ca079698",
    "groups in strata": "a43026a1b848ff4c",
    "groups tied": "7d4726e8d7f02f01",
    "groups tied in strata": "f72e0bc21c277110",
    "time": "10080627532b50f7",
}


@pytest.mark.parametrize("kind", FIRST_FORMAT)
def test_what_the_first_format_could_say_is_placed_and_written_as_it_was_then(kind):
    shares = {} if kind == "time" else {"train": 0.6, "validation": 0.15, "test": 0.2}
    spec = SplitSpec("s", dataset="d", seed=5, **FIRST_FORMAT[kind], **shares)
    first = fit_split(spec, [FragmentRows("0", growing_table(0))])
    grown = extend_split(first, [FragmentRows("1", growing_table(1_500))])
    assert xxhash.xxh3_64_hexdigest(grown.to_bytes()) == WRITTEN_THEN[kind]
    assert spec.to_dict()["format"] == 1

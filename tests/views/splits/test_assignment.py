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

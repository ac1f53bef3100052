"""Streams: the same beside the files and behind a server."""

import threading

import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised


@pytest.fixture
def clicks(store):
    return store.create_dataset("clicks")


def pages(dataset):
    return dataset.latest.to_arrow()["page"].to_pylist()


def test_rows_become_versions(clicks):
    told = []
    with clicks.stream(every_rows=3, every_seconds=None, on_cut=told.append, message="m") as stream:
        stream.write({"page": ["home", "help"], "ms": [12, 40]})
        assert (stream.status().rows, stream.status().pending_rows) == (2, 2)
        stream.write([{"page": "news", "ms": 9}, {"page": "home"}])
        assert stream.flush() == clicks.latest
        assert [each.number for each in told] == [1]
        stream.write(pa.table({"page": ["last"], "ms": [1]}))
    assert pages(clicks) == ["home", "help", "news", "home", "last"]
    assert [each.number for each in told] == [1, 2]
    assert stream.last_version == clicks.latest
    assert clicks.latest.record.message == "m"
    state = stream.status()
    assert (state.rows, state.pending_rows, state.committed_rows, state.versions) == (5, 0, 5, 2)
    assert (state.last_version, state.quarantined, state.failure, state.recovered_rows) == (2, 0, None, 0)
    assert raised(lambda: stream.write({"page": ["x"], "ms": [1]})) == ("UsageError", "stream-closed")
    stream.close()


def test_the_next_writer_goes_on(clicks):
    with clicks.stream(every_seconds=None, in_turns=True) as first:
        first.write({"page": ["a", "b"]})
    assert clicks.versions() == []
    with clicks.stream(every_seconds=None, in_turns=True) as second:
        assert (second.status().rows, second.status().recovered_rows) == (2, 2)
        second.write({"page": ["c"]})
        assert clicks.versions() == []
        second.flush()
    assert pages(clicks) == ["a", "b", "c"]
    with clicks.stream() as third:
        assert third.status().rows == 3
        third.flush()
    assert len(clicks.versions()) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"every_rows": 0},
        {"every_seconds": -1},
        {"keep_age": "soon"},
        {"keep_bytes": "much"},
        {"durability": "hope"},
        {"max_pending_rows": 1},
        {"colour": "red"},
        {"name": "../x"},
    ],
    ids=str,
)
def test_options_are_checked(clicks, options):
    assert raised(lambda: clicks.stream(**options))[0] in {"UsageError", "InvalidNameError"}


def test_rows_that_do_not_fit_are_not_taken(clicks):
    with clicks.stream(every_seconds=None) as stream:
        stream.write({"page": ["a"], "ms": [1]})
        for rows, code in (
            ({"page": ["a"]}, "column-missing"),
            ({"page": ["a"], "ms": [1], "x": [1]}, "column-new"),
            ({"page": ["a"], "ms": ["many"]}, "type-mismatch"),
        ):
            assert raised(lambda rows=rows: stream.write(rows)) == ("SchemaMismatchError", code)
        assert raised(lambda: stream.write("clicks.csv"))[0] == "UsageError"
        stream.write({"page": ["b"], "ms": [2]})
    assert pages(clicks) == ["a", "b"]


def test_a_window_and_a_branch(clicks):
    clicks.append({"page": ["old"]})
    trial = clicks.create_branch("trial")
    with trial.stream(every_rows=1, keep_bytes=1, durability="version") as stream:
        stream.write({"page": ["new"]})
        assert trial.latest.num_rows == 1
    assert pages(trial) == ["new"]
    assert pages(clicks) == ["old"]


def test_a_gate_quarantines_and_the_stream_goes_on(clicks):
    clicks.append({"page": ["a"], "ms": [1]})
    schema = {"columns": {"page": {"type": "string"}, "ms": {"type": "int64", "domain": {"min": 0}}}}
    clicks.set_schema(foldstore.DataSchema.from_dict(schema))
    with clicks.stream(every_seconds=None) as stream:
        stream.write({"page": ["b"], "ms": [-1]})
        assert stream.flush().status == "quarantined"
        stream.write({"page": ["c"], "ms": [1]})
    assert stream.quarantined == 1
    assert pages(clicks) == ["a", "c"]


def test_what_cannot_be_cut_is_taken_out(store):
    keyed = store.create_dataset("keyed", key=["id"])
    with keyed.stream(every_seconds=None) as stream:
        assert raised(stream.take_failed)[0] == "UsageError"
        stream.write({"id": [1, 1]})
        assert raised(stream.flush) == ("StoreError", "stream-stalled")
        assert raised(lambda: stream.write({"id": [2]})) == ("StoreError", "stream-stalled")
        assert stream.take_failed().to_pylist() == [{"id": 1}, {"id": 1}]
        stream.write({"id": [3]})
    assert keyed.latest.to_arrow().to_pylist() == [{"id": 3}]
    assert raised(stream.take_failed) == ("UsageError", "stream-closed")


def test_rows_are_cut_when_they_have_waited(clicks):
    there = threading.Event()
    stream = clicks.stream(every_seconds=0.2, on_cut=lambda _: there.set())
    stream.write({"page": ["a"]})
    assert there.wait(60)
    assert pages(clicks) == ["a"]
    stream.cut_when_due()
    stream.close()
    assert len(clicks.versions()) == 1

"""The online file: named by its bytes, read-only, mapped by many, and never taken on trust."""

import multiprocessing
import os

import pyarrow as pa
import pytest

from foldstore.errors import (
    ColumnNotFoundError,
    CorruptObjectError,
    SchemaMismatchError,
    StoreFormatError,
    UnreadableError,
)
from foldstore.views.features.entity import Entity
from foldstore.views.online.layout import HEADER_KEY
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader
from tests.views.online.rides import SECOND, driver_view, open_view, ride_table

ROWS = [{"driver": f"d{number % 7}", "ts": number, "x": number} for number in range(40)]


def test_the_same_rows_make_the_same_file(tmp_path):
    first = materialize_view(ride_table(ROWS), driver_view(), tmp_path, sources=["rides@1"])
    second = materialize_view(ride_table(ROWS), driver_view(), tmp_path, sources=["rides@1"])
    other = materialize_view(ride_table(ROWS), driver_view(), tmp_path, sources=["rides@2"])
    assert first == second
    assert other.address != first.address
    assert (first.num_rows, first.num_entities) == (40, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({first.path.name, other.path.name})


def test_the_file_cannot_be_written_to(tmp_path):
    made = materialize_view(ride_table(ROWS), driver_view(), tmp_path)
    assert made.path.stat().st_mode & 0o222 == 0
    assert OnlineReader(made.path).sources == ()


def test_values_are_mapped_and_not_copied(tmp_path):
    made = materialize_view(ride_table(ROWS * 5_000), driver_view(), tmp_path)
    before = pa.total_allocated_bytes()
    reader = OnlineReader(made.path)
    reader.find(["d1"], 50 * SECOND)
    assert pa.total_allocated_bytes() - before < 100_000


def _lookup(path):
    return OnlineReader(path).find(["d3"], 100 * SECOND).event_time


def test_several_processes_map_one_file(tmp_path):
    path = materialize_view(ride_table(ROWS), driver_view(), tmp_path).path
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_lookup, [path] * 4) == [38 * SECOND] * 4


def test_changed_bytes_are_noticed(tmp_path):
    path = materialize_view(ride_table(ROWS), driver_view(), tmp_path).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(CorruptObjectError, match="does not hold the bytes"):
        OnlineReader(path)


@pytest.mark.parametrize("content", [b"", b"no arrow", b"ARROW1\0\0" * 20])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.arrow"
    path.write_bytes(content)
    with pytest.raises(UnreadableError):
        OnlineReader(path, verify=False)


def test_a_missing_file_is_an_error_in_words(tmp_path):
    with pytest.raises(UnreadableError, match="cannot be opened"):
        OnlineReader(tmp_path / "b3-none.arrow")


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        (None, UnreadableError),
        ({HEADER_KEY: b"{"}, UnreadableError),
        ({HEADER_KEY: b"{}"}, UnreadableError),
        ({HEADER_KEY: b'{"format": 3}'}, StoreFormatError),
    ],
)
def test_a_header_that_says_nothing_is_refused(tmp_path, metadata, error):
    path = tmp_path / "x.arrow"
    batch = pa.record_batch({"a": [1]}).replace_schema_metadata(metadata)
    with pa.ipc.new_file(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(error):
        OnlineReader(path, verify=False)


def test_columns_that_the_header_does_not_promise_are_refused(tmp_path):
    made = materialize_view(ride_table(ROWS), driver_view(), tmp_path)
    with pa.ipc.open_file(str(made.path)) as source:
        batch = source.get_batch(0)
    broken = batch.drop_columns(["x"])
    path = tmp_path / "x.arrow"
    with pa.ipc.new_file(str(path), broken.schema) as writer:
        writer.write_batch(broken)
    with pytest.raises(UnreadableError, match="not a materialized feature view"):
        OnlineReader(path, verify=False)


def test_a_source_without_a_feature_is_refused(tmp_path):
    with pytest.raises(ColumnNotFoundError, match="'x'"):
        materialize_view(ride_table(ROWS).drop_columns(["x"]), driver_view(), tmp_path)


def test_a_source_with_keys_of_another_type_is_refused(tmp_path):
    view = driver_view(keys={"driver": "int64"})
    assert view.entity == Entity("driver", keys={"driver": "int64"})
    with pytest.raises(SchemaMismatchError):
        materialize_view(ride_table(ROWS), view, tmp_path)


def test_an_empty_source_finds_nobody(tmp_path):
    reader = open_view(ride_table([]), driver_view(), tmp_path)
    assert reader.search([["a"] * 20], 0).statuses == ["NOT_FOUND"] * 20


def test_no_staged_file_is_left_after_a_failure(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    tmp_path.joinpath("online").mkdir()
    with pytest.raises(OSError, match="No space"):
        materialize_view(ride_table(ROWS), driver_view(), tmp_path / "online")
    assert list((tmp_path / "online").iterdir()) == []

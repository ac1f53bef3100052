"""Rows in pieces: large buffers go out as they are, and the stream is whole."""

import csv
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.api.row_forms import ARROW, CSV, LINES, write_rows


def table_of(rows, seed):
    return pa.table(
        {
            "x": pa.array([seed + number for number in range(rows)], pa.int64()),
            "t": pa.array([None if number % 7 == 0 else "é" * (number % 5) for number in range(rows)], pa.string()),
        }
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20_000), max_size=4), st.none() | st.integers(0, 30_000))
def test_a_stream_of_arrow_is_whole(sizes, limit):
    tables = [table_of(rows, seed) for seed, rows in enumerate(sizes)]
    schema = table_of(0, 0).schema
    batches = [batch for table in tables for batch in table.to_batches()]
    written = b"".join(write_rows(ARROW, schema, batches, limit=limit))
    expected = pa.Table.from_batches(batches, schema).slice(0, limit)
    assert pa.ipc.open_stream(written).read_all().equals(expected)


def test_large_buffers_are_not_copied():
    table = table_of(50_000, 0)
    pieces = list(write_rows(ARROW, table.schema, table.to_batches(), limit=None))
    held = table.column("x").chunk(0).buffers()[1]
    large = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert held.address in [pa.py_buffer(piece).address for piece in large]


def test_text_forms_are_whole():
    table = table_of(70_000, 0)
    lines = b"".join(write_rows(LINES, table.schema, table.to_batches(), limit=None))
    assert lines.count(b"\n") == 70_000
    assert b"".join(write_rows(CSV, table.schema, table.to_batches(), limit=None)).count(b"\n") == 70_001


@pytest.mark.parametrize("media", [CSV, LINES])
def test_blocks_of_text_that_are_large_keep_their_rows(media):
    """Arrow's writer of CSV uses the memory of a block again for the next: 1,024 rows of 100 bytes are a large one."""
    rows = [{"x": number, "t": f"{number} " + "a, b" * 30} for number in range(5_000)]
    table = pa.Table.from_pylist(rows)
    text = b"".join(list(write_rows(media, table.schema, table.to_batches(), limit=None))).decode()
    if media == CSV:
        read = [{"x": int(row["x"]), "t": row["t"]} for row in csv.DictReader(io.StringIO(text))]
    else:
        read = [json.loads(line) for line in text.splitlines()]
    assert read == rows

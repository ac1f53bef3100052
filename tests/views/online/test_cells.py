"""Columns of one file, read a row at a time or several at once, without a copy of them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.views.online.cells import FeatureCells, read_cells

NAMES = ["a", "b", "c", "d"]


def written(columns):
    """Columns as a file of Arrow has them: one behind the other."""
    sink = pa.BufferOutputStream()
    table = pa.record_batch(columns)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    batch = pa.ipc.open_file(sink.getvalue()).get_batch(0)
    return FeatureCells({name: read_cells(batch.column(name)) for name in batch.schema.names})


def floats(rows):
    return {name: np.arange(rows, dtype=np.float32) + 1_000 * place for place, name in enumerate(NAMES)}


@given(st.integers(1, 40), st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
def test_any_choice_of_columns_is_what_the_columns_say(rows, chosen):
    cells, expected = written(floats(rows)), floats(rows)
    row_cells = cells.choose(tuple(chosen))
    for row in range(rows):
        assert row_cells.values(row) == [expected[name][row] for name in chosen]
    if row_cells.matrix is not None:
        assert row_cells.matrix.tolist() == [expected[name].tolist() for name in chosen]


def test_columns_at_equal_distances_are_one_array_that_is_no_copy():
    cells = written(floats(1_000))
    matrix = cells.choose(tuple(NAMES)).matrix
    assert np.shares_memory(matrix, cells["c"].numbers)
    assert matrix[2].ctypes.data == cells["c"].numbers.ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


def test_columns_at_other_distances_or_of_other_types_are_none():
    cells = written(floats(100) | {"wide": np.arange(100.0), "null": pa.array([None] * 100, pa.float32())})
    assert cells.choose(("a", "b", "d")).matrix is None
    assert cells.choose(("a", "wide")).matrix is None
    assert cells.choose(("a", "null")).matrix is None
    assert cells.choose(("d", "c", "b", "a")).matrix[0].tolist() == floats(100)["d"].tolist()
    assert cells.choose(("a", "b", "d")).values(3) == [3.0, 1_003.0, 3_003.0]


def test_a_choice_is_made_once_and_choices_without_end_take_no_memory_without_end():
    cells = FeatureCells({str(number): read_cells(pa.array([1.0], pa.float32())) for number in range(300)})
    assert cells.choose(("1", "2")) is cells.choose(("1", "2"))
    for number in range(300):
        cells.choose((str(number),))
    assert len(cells._chosen) <= 100


def test_texts_are_compared_where_they_lie():
    cells = read_cells(pa.array(["a", "", "Zoë", "abc"]))
    rows = np.array([0, 1, 2, 3, 3, 0])
    assert cells.match(rows, [b"a", b"", "Zoë".encode(), b"abc", b"ab", b"b"]) == [True] * 4 + [False] * 2
    assert read_cells(pa.array(["a", None])).match is None

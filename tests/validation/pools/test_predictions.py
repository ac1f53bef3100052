"""Predictions are checked and put into order before a label is read."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.validation.pools.predictions import ExpectedRows, align_predictions, digest_predictions, find_places

KEYS = pa.table({"id": pa.array([30, 10, 20], pa.int32()), "day": ["a", "b", "c"]})
ROWS = ExpectedRows(label_type=pa.bool_(), keys=KEYS, num_rows=3, pool_rows=np.array([7, 9, 8]))
WANTED = [True, False, False]


@pytest.mark.parametrize(
    "given_predictions",
    [
        WANTED,
        np.array(WANTED),
        pa.array(WANTED),
        pa.chunked_array([[True], [False, False]]),
        pl.Series(WANTED),
        {"pool_row": [8, 9, 7], "prediction": [False, False, True]},
        pa.table({"pool_row": [9, 8, 7], "prediction": [False, False, True], "note": ["x", "y", "z"]}),
        pl.DataFrame({"id": [10, 20, 30], "day": ["b", "c", "a"], "prediction": [False, False, True]}),
        pa.RecordBatch.from_pydict({"id": [10, 20, 30], "day": ["b", "c", "a"], "prediction": [False, False, True]}),
    ],
)
def test_every_form_is_put_into_the_order_of_the_rows(given_predictions):
    assert align_predictions(given_predictions, ROWS).to_pylist() == WANTED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([True, False], "2 predictions for 3 rows"),
        ([True, False, None], "1 of the predictions are null"),
        ([0.5, 0.1, 0.9], "double, the label is bool"),
        (["yes", "no", "no"], "string, the label is bool"),
        ([True, "x", 1], "neither a table nor an array"),
        (7, "neither a table nor an array"),
        ("abc", "neither a table nor an array"),
        (None, "neither a table nor an array"),
        ({"pool_row": [7, 8, 9]}, "no column 'prediction'"),
        ({"prediction": WANTED}, "do not say which row"),
        ({"id": [1, 2, 3], "prediction": WANTED}, "do not say which row"),
        ({"pool_row": [7, 8, 8], "prediction": WANTED}, "occur more than once.*pool_row=8"),
        ({"pool_row": [7, 8, 5], "prediction": WANTED}, "1 rows of the pool have no predictions.*pool_row=9"),
        ({"pool_row": ["7", "8", "9"], "prediction": WANTED}, "'pool_row'"),
        ({"id": [10, 20, 30], "day": ["b", "c", "x"], "prediction": WANTED}, "no predictions, e.g. id=30"),
        ({"pool_row": [7, 8], "prediction": WANTED}, "not a table"),
        ({"pool_row": [7, 8, 9], "prediction": [[1], [2], [3]]}, "list"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_facts(wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        align_predictions(wrong, ROWS)
    assert caught.value.code == "invalid-predictions"
    assert caught.value.hint


def test_classes_that_the_labels_never_show_are_allowed():
    rows = ExpectedRows(label_type=pa.string(), keys=pa.table({}), num_rows=2)
    assert align_predictions(["never", "seen"], rows).to_pylist() == ["never", "seen"]
    assert align_predictions(pa.array(["a", "b"]).dictionary_encode(), rows).to_pylist() == ["a", "b"]


def test_whole_numbers_fit_at_any_width_and_nan_does_not():
    rows = ExpectedRows(label_type=pa.int64(), keys=pa.table({}), num_rows=2)
    assert align_predictions(np.array([1, 2], np.int8), rows).to_pylist() == [1, 2]
    assert align_predictions([1.0, 2.0], rows).to_pylist() == [1, 2]
    for wrong in ([1.5, 2.0], [float("nan"), 1.0]):
        with pytest.raises(UsageError):
            align_predictions(wrong, rows)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.randoms())
def test_a_submission_has_one_name_in_whatever_order_it_comes(values, random):
    size = len(values)
    ids = np.arange(100, 100 + size)
    rows = ExpectedRows(label_type=pa.int64(), keys=pa.table({}), num_rows=size, pool_rows=ids)
    identity = np.array(random.sample(range(1000), size), dtype=np.uint64)
    order = np.argsort(identity)
    shuffled = random.sample(range(size), size)
    table = {"pool_row": [int(ids[i]) for i in shuffled], "prediction": [values[i] for i in shuffled]}
    straight = align_predictions(values, rows)
    assert align_predictions(table, rows).equals(straight)
    name = digest_predictions(straight, order, identity)
    changed = [values[0] + 1, *values[1:]]
    assert digest_predictions(align_predictions(changed, rows), order, identity) != name


def test_texts_cannot_run_into_each_other():
    order, identity = np.array([0, 1]), np.array([1, 2], dtype=np.uint64)
    assert digest_predictions(pa.array(["ab", "c"]), order, identity) != digest_predictions(
        pa.array(["a", "bc"]), order, identity
    )


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 60)))
def test_places_are_those_of_a_plain_search(known, wanted):
    ordered, asked = np.sort(np.array(known, np.uint64)), np.array(wanted, np.uint64)
    assert find_places(ordered, asked).tolist() == np.searchsorted(ordered, asked).tolist()

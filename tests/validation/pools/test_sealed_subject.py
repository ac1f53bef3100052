"""What is known of rows before they are sealed: lineage of columns, digests, and what their order gives away."""

import numpy as np
import pyarrow as pa
import pytest

from foldstore.validation.pools.sealed_subject import ancestors_of, descendants_of, measure_row_order


def test_lineage_of_columns_survives_a_cycle():
    inputs = {"a": ["b"], "b": ["a"], "c": ["b"]}
    assert ancestors_of(inputs, ["c"]) == {"a", "b"}
    assert descendants_of(inputs, ["a"]) == {"a", "b", "c"}


def test_rows_written_in_the_order_of_their_outcomes_are_found_within_the_day():
    generator = np.random.default_rng(3)
    due = np.sort(generator.integers(0, 86_400, (20, 200)), axis=1)
    late = generator.random((20, 200)) < 0.3
    came = due + np.where(late, 3_600, 0)
    order = np.argsort(came, axis=1)  # each day's rows in the order in which they came
    day = np.arange(20)[:, None] * 86_400
    moments = pa.array(((day + np.take_along_axis(due, order, 1)) * 1_000_000).ravel(), pa.timestamp("us", "UTC"))
    labels = pa.array(np.take_along_axis(late, order, 1).ravel())
    area, chance = measure_row_order(labels, moments)
    assert area > 0.9 > chance
    settled = pa.array(late.ravel())
    moments = pa.array(((day + due) * 1_000_000).ravel(), pa.timestamp("us", "UTC"))
    area, chance = measure_row_order(settled, moments)
    assert area < chance


@pytest.mark.parametrize("labels", [pa.array([True] * 9), pa.array(["a"]), pa.array([], pa.int64())])
def test_labels_of_one_class_have_no_order(labels):
    assert measure_row_order(labels, None)[0] == pytest.approx(0.5)

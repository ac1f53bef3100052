"""Counting for suggestions: a full tally counts on what it knows, and repeated rows are counted exactly."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.cleaning import suggestion
from foldstore.validation.cleaning.suggestion import Looked, ValueTally, suggest
from foldstore.validation.cleaning.working import Chunk

MOST = 4
KINDS = {
    "string": (pa.string(), ["a", "b", "", "Ä", " a", "NA", "zz", None]),
    "large_string": (pa.large_string(), ["a", "b", "c", "d", "e", "f", None]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "c", "d", "e", "f", None]),
    "int64": (pa.int64(), [0, 1, 2, -1, 7, 8, None]),
    "double": (pa.float64(), [0.0, -0.0, 0.5, 1.0, 2.0, 3.0, None]),
}


@st.composite
def cuts(draw):
    kind, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    column = st.lists(st.sampled_from(values), max_size=2 * MOST)
    return [pa.array(each, kind) for each in draw(st.lists(column, min_size=1, max_size=6))]


def _by_hand(batches):
    """Count value by value; those that come when there is no room are left out."""
    counts: dict[object, int] = {}
    whole = True
    for batch in batches:
        for value, count in Counter(value for value in batch.to_pylist() if value is not None).items():
            if value in counts or len(counts) < MOST:
                counts[value] = counts.get(value, 0) + count
            else:
                whole = False
    return counts, whole


@given(batches=cuts())
def test_a_full_tally_counts_on_what_it_knows(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggestion, "MOST_VALUES", MOST)
        tally = ValueTally()
        for batch in batches:
            tally.add(batch)
    assert (dict(tally.counts), tally.whole) == _by_hand(batches)


def _looked(batches, rows):
    def read(columns):
        for batch in batches:
            here = batch.select(columns)
            ids = np.arange(batch.num_rows, dtype=np.uint64)
            yield Chunk(here, ids, np.ones(batch.num_rows, bool), None, ids.astype(np.int64))

    return Looked(read=read, schema=batches[0].schema, rows=rows, fixed=(), keyed=False)


@pytest.mark.parametrize("said", [0, 3, 8, 100])
@given(rows=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=8, max_size=8))
def test_repeated_rows_are_counted_whatever_number_of_rows_was_said(said, rows):
    batches = [
        pa.record_batch({"s": [s for s, _ in rows[a:b]], "n": pa.array([n for _, n in rows[a:b]], pa.int64())})
        for a, b in ((0, 3), (3, 4), (4, 8))
    ]
    found = [each for each in suggest(_looked(batches, said)) if each.op == "deduplicate"]
    repeated = len(rows) - len(set(rows))
    assert [each.evidence for each in found] == ([{"rows": repeated}] if repeated else [])

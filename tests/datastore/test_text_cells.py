"""Whether texts have one width is what Python says of each, wherever in their memory they begin."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore import text_cells as looked
from foldstore.datastore.text_cells import is_one_width, text_cells

TEXTS = st.integers(0, 9).flatmap(
    lambda width: st.lists(st.text("AZ9", min_size=width, max_size=width) | st.text("AZÄ", max_size=3), max_size=40)
)


@pytest.mark.parametrize("run", [4, 2**16])
@given(
    texts=TEXTS,
    nulls=st.sets(st.integers(0, 40), max_size=3),
    kind=st.sampled_from([pa.string(), pa.large_string()]),
    skip=st.integers(0, 9),
)
def test_cells_are_the_bytes_of_the_texts(run, texts, nulls, kind, skip):
    held = [None if place in nulls else each for place, each in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looked, "_RUN", run)
        found = text_cells(pa.array(held, kind).slice(skip))
    seen = [each.encode() for each in held[skip:] if each is not None]
    widths = {len(each) for each in seen}
    if len(widths) == 1 and 0 < min(widths) <= 8:
        assert [bytes(row) for row in found] == seen
    else:
        assert found is None


@pytest.mark.parametrize("begin", [0, 3, 6, 7, 3 * 2**16 - 6, 3 * 2**20])
@pytest.mark.parametrize("rows", [1, 4, 2**16 - 1, 2**16, 2**16 + 1, 200_000])
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_one_offset_that_is_elsewhere_is_seen_wherever_it_is(begin, rows, kind):
    offsets = np.arange(begin, begin + 3 * rows + 1, 3, dtype=kind)
    assert is_one_width(offsets, 3)
    for place in {0, rows // 2, rows - 1, rows}:
        moved = offsets.copy()
        moved[place] += 1
        assert not is_one_width(moved, 3)


def test_offsets_that_are_no_places_are_not_of_one_width():
    """Foreign memory says anything: what is looked at before it is trusted may be negative, or far away."""
    assert not is_one_width(np.array([-3, 0, 2], np.int32), 3)
    assert is_one_width(np.array([-3, 0, 3], np.int32), 3)
    assert not is_one_width(np.array([0, 3, -(2**31)], np.int32), 3)

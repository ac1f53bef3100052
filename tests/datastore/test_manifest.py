"""Manifest pages: the same list has the same pages, and growing it writes little anew."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.manifest import (
    FRAGMENTS_PER_PAGE,
    ColumnGroup,
    Fragment,
    cut_pages,
    decode_page,
    encode_page,
    extend_pages,
)
from foldstore.errors import CorruptObjectError


def _fragments(count, start=0):
    return [Fragment(n, 10, (ColumnGroup(f"b3-{n:064x}", (1, 2)),)) for n in range(start, start + count)]


@given(steps=st.lists(st.integers(0, 700), max_size=6))
@settings(max_examples=40)
def test_a_list_that_grew_has_the_pages_of_the_whole(steps):
    pages, count = [], 0
    for step in steps:
        pages = extend_pages(pages, _fragments(step, count))
        count += step
        assert [page.hash for page in pages] == [page.hash for page in cut_pages(_fragments(count))]
    assert [f.id for page in pages for f in page.fragments] == list(range(count))
    assert all(0 < len(page.fragments) <= FRAGMENTS_PER_PAGE for page in pages)


def test_growing_by_one_writes_one_short_page_however_long_the_list_is():
    pages = cut_pages(_fragments(5_000))
    before = {page.hash for page in pages}
    fresh = [page for page in extend_pages(pages, _fragments(1, 5_000)) if page.hash not in before]
    assert len(fresh) == 1
    assert len(fresh[0].fragments) <= 32


def test_a_page_comes_back_with_its_bounds():
    fragment = Fragment(7, 3, (ColumnGroup("b3-" + "0" * 64, (1,)),), ((1, -5, 2**62), (2, "a", "z"), (3, 0.5, 1.5)))
    (page,) = cut_pages([fragment])
    record = encode_page(page)
    assert decode_page(record.hash, record.encoded) == page
    assert (record.num_fragments, record.num_rows, record.objects) == (1, 3, ("b3-" + "0" * 64,))
    assert fragment.bounds_of(2) == ("a", "z")
    assert fragment.bounds_of(9) is None


@pytest.mark.parametrize("damage", [b"", b"nonsense", zlib.compress(json.dumps([]).encode())])
def test_a_damaged_page_is_refused(damage):
    (page,) = cut_pages(_fragments(1))
    with pytest.raises(CorruptObjectError):
        decode_page(page.hash, damage)

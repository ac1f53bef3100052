"""Manifest pages: immutable, content-addressed lists of at most 1,024 fragments, shared by versions.

A page's name is the BLAKE3 of its canonical JSON; what is kept is that JSON, deflated. A version's
fragments are cut into full pages, then into short ones of 32, then a rest: an append writes one short
page anew (and a full one every 1,024 fragments), however long the list has become.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.records import PageRecord
from foldstore.errors import CorruptObjectError

FRAGMENTS_PER_PAGE: Final = 1_024
FRAGMENTS_PER_SHORT_PAGE: Final = 32


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """One file of a fragment: the object, and the field id of each of its columns in order."""

    object_id: str
    fields: tuple[int, ...]


# The smallest and the largest value of a field: whole numbers for times, as they are stored.
Bounds = tuple[int, Any, Any]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A range of rows; its id is the upper half of the row ids of its rows.

    `bounds` has (field id, smallest, largest) of the key's columns, where they are known: a commit can
    then tell which fragments may hold a key without opening a file.
    """

    id: int
    num_rows: int
    groups: tuple[ColumnGroup, ...]
    bounds: tuple[Bounds, ...] = ()

    def bounds_of(self, field_id: int) -> tuple[Any, Any] | None:
        """Return the smallest and the largest value of a field, or None when they are not known."""
        return next(((low, high) for known, low, high in self.bounds if known == field_id), None)


@dataclass(frozen=True, slots=True)
class Page:
    """A manifest page with its name."""

    hash: str
    fragments: tuple[Fragment, ...]


def cut_pages(fragments: Sequence[Fragment]) -> list[Page]:
    """Cut fragments into full pages, short pages and a rest."""
    full = len(fragments) // FRAGMENTS_PER_PAGE * FRAGMENTS_PER_PAGE
    starts = [*range(0, full, FRAGMENTS_PER_PAGE), *range(full, len(fragments), FRAGMENTS_PER_SHORT_PAGE)]
    return [name_page(fragments[start:end]) for start, end in pairwise([*starts, len(fragments)])]


def extend_pages(pages: Sequence[Page], added: Sequence[Fragment]) -> list[Page]:
    """Cut a list of fragments that grew at its end; gives what `cut_pages` gives of the whole.

    Full pages, and short ones that stay, are taken over as they are: the work is that of the last page.
    """
    full = [page for page in pages if len(page.fragments) == FRAGMENTS_PER_PAGE]
    short = [page for page in pages[len(full) :] if len(page.fragments) == FRAGMENTS_PER_SHORT_PAGE]
    rest = [fragment for page in pages[len(full) + len(short) :] for fragment in page.fragments]
    if FRAGMENTS_PER_SHORT_PAGE * len(short) + len(rest) + len(added) < FRAGMENTS_PER_PAGE:
        return [*full, *short, *cut_pages([*rest, *added])]
    return [*full, *cut_pages([*(fragment for page in short for fragment in page.fragments), *rest, *added])]


def name_page(fragments: Sequence[Fragment]) -> Page:
    """Return a page of some fragments under the address of its contents."""
    run = tuple(fragments)
    return Page(content_hash(_to_json(run)), run)


def encode_page(page: Page) -> PageRecord:
    """Return the catalog's record of a page."""
    return PageRecord(
        hash=page.hash,
        encoded=zlib.compress(_to_json(page.fragments), 6),
        num_fragments=len(page.fragments),
        num_rows=sum(fragment.num_rows for fragment in page.fragments),
        objects=tuple(sorted({group.object_id for fragment in page.fragments for group in fragment.groups})),
    )


def decode_page(page_hash: str, encoded: bytes) -> Page:
    """Read a page and check that it is the one that its name says.

    Raises
    ------
    CorruptObjectError
        When it is not.
    """
    try:
        text = zlib.decompress(encoded)
    except zlib.error as error:
        raise CorruptObjectError(f"Manifest page {page_hash} is damaged.", page=page_hash) from error
    if content_hash(text) != page_hash:
        raise CorruptObjectError(f"Manifest page {page_hash} does not match its name.", page=page_hash)
    return Page(page_hash, tuple(_to_fragment(item) for item in json.loads(text)))


def fragment_to_dict(fragment: Fragment) -> dict[str, Any]:
    """Return a fragment as plain data."""
    groups = [{"object": group.object_id, "fields": list(group.fields)} for group in fragment.groups]
    plain: dict[str, Any] = {"id": fragment.id, "rows": fragment.num_rows, "groups": groups}
    return {**plain, "bounds": [list(bound) for bound in fragment.bounds]} if fragment.bounds else plain


def _to_json(fragments: Sequence[Fragment]) -> bytes:
    return canonical_json([fragment_to_dict(fragment) for fragment in fragments]).encode()


def _to_fragment(item: dict[str, Any]) -> Fragment:
    groups = tuple(ColumnGroup(group["object"], tuple(group["fields"])) for group in item["groups"])
    bounds = tuple((field_id, low, high) for field_id, low, high in item.get("bounds", ()))
    return Fragment(item["id"], item["rows"], groups, bounds)

"""Manifest pages: immutable, content-addressed lists of at most 1,024 fragments, shared by versions.

A page's name is the BLAKE3 of its canonical JSON; what is kept is that JSON, deflated. A version's
fragments are cut into full pages, then into short ones of 32, then a rest: an append writes one short
page anew (and a full one every 1,024 fragments), however long the list has become.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Deleted:
    """Which rows of a fragment are deleted: the name of their bitmap, and how many they are."""

    hash: str
    num_rows: int


# The smallest and the largest value of a field: whole numbers for times, as they are stored.
Bounds = tuple[int, Any, Any]
# The field of a file that carries the row ids of rows which were moved out of other fragments.
ROW_ID_FIELD: Final = 0


@dataclass(frozen=True, slots=True)
class Fragment:
    """A range of rows; its id is the upper half of the row ids of its rows.

    Attributes
    ----------
    num_rows : int
        The rows in its files, the deleted ones included.
    bounds : tuple
        (field id, smallest, largest) of the key's columns, where they are known: a commit can then tell which
        fragments may hold a key without opening a file.
    deleted : Deleted or None
        The rows that are not there any more.
    """

    id: int
    num_rows: int
    groups: tuple[ColumnGroup, ...]
    bounds: tuple[Bounds, ...] = ()
    deleted: Deleted | None = None

    @property
    def live_rows(self) -> int:
        """How many rows there are to read."""
        return self.num_rows - (self.deleted.num_rows if self.deleted else 0)

    @property
    def fields(self) -> frozenset[int]:
        """The fields that its files hold."""
        return frozenset(field_id for group in self.groups for field_id in group.fields)

    @property
    def moved(self) -> bool:
        """Whether its rows came out of other fragments, with the row ids that they had there."""
        return ROW_ID_FIELD in self.fields

    def bounds_of(self, field_id: int) -> tuple[Any, Any] | None:
        """Return the smallest and the largest value of a field, or None when they are not known."""
        return next(((low, high) for known, low, high in self.bounds if known == field_id), None)


@dataclass(frozen=True, slots=True)
class Page:
    """A manifest page with its name.

    Attributes
    ----------
    live_rows : int
        How many rows its fragments have to read; counted once, as each commit asks every page.
    """

    hash: str
    fragments: tuple[Fragment, ...]
    live_rows: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "live_rows", sum(fragment.live_rows for fragment in self.fragments))


def may_hold(fragment: Fragment, wanted: Mapping[int, tuple[Any, Any]]) -> bool:
    """Say whether, by its bounds, a fragment may have rows within all of some ranges, given by field id."""
    for field_id, low, high in fragment.bounds:
        ends = wanted.get(field_id)
        if ends is not None and (high < ends[0] or ends[1] < low):
            return False
    return True


def replace_in_pages(pages: Sequence[Page], fragments: Sequence[Fragment]) -> list[Page]:
    """Put a list of fragments in the place of pages, taking over each page that it still has as it was.

    The work in memory goes with the list, what is written with what changed: a page whose fragments stayed, at the
    place where they were, keeps its name.
    """
    kept: list[Page] = []
    start = 0
    for page in pages:
        end = start + len(page.fragments)
        here = tuple(fragments[start:end])
        if here == page.fragments:  # mostly the very same fragments, which is seen at once
            kept.append(page)
        elif [f.id for f in here] == [f.id for f in page.fragments]:
            kept.append(name_page(here))
        else:
            break
        start = end
    return extend_pages(kept, fragments[start:])


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
        num_rows=sum(fragment.live_rows for fragment in page.fragments),
        objects=tuple(sorted({group.object_id for fragment in page.fragments for group in fragment.groups})),
        deletions=tuple(sorted({fragment.deleted.hash for fragment in page.fragments if fragment.deleted})),
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
    return Page(page_hash, tuple(fragment_from_dict(item) for item in json.loads(text)))


def fragment_to_dict(fragment: Fragment) -> dict[str, Any]:
    """Return a fragment as plain data."""
    groups = [{"object": group.object_id, "fields": list(group.fields)} for group in fragment.groups]
    plain: dict[str, Any] = {"id": fragment.id, "rows": fragment.num_rows, "groups": groups}
    if fragment.bounds:
        plain["bounds"] = [list(bound) for bound in fragment.bounds]
    if fragment.deleted:
        plain["deleted"] = {"hash": fragment.deleted.hash, "rows": fragment.deleted.num_rows}
    return plain


def _to_json(fragments: Sequence[Fragment]) -> bytes:
    return canonical_json([fragment_to_dict(fragment) for fragment in fragments]).encode()


def fragment_from_dict(item: dict[str, Any]) -> Fragment:
    """Read what `fragment_to_dict` gave."""
    groups = tuple(ColumnGroup(group["object"], tuple(group["fields"])) for group in item["groups"])
    bounds = tuple((field_id, low, high) for field_id, low, high in item.get("bounds", ()))
    gone = item.get("deleted")
    return Fragment(item["id"], item["rows"], groups, bounds, Deleted(gone["hash"], gone["rows"]) if gone else None)

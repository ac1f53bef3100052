"""The files of versions as a table: each manifest page is decoded once and repeated for the versions that share it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from foldstore.datastore.catalog.listings import Listings, Row
from foldstore.datastore.catalog_tables.declaration import Filling
from foldstore.datastore.catalog_tables.limit import refuse_too_many
from foldstore.datastore.catalog_tables.named_versions import NamedVersions
from foldstore.datastore.manifest import Page, decode_page

# Of each file, within its page: where its fragment is, how many rows come before, and what is said of it.
_NAMES = ("position", "first_row", "fragment_id", "rows", "deleted_rows", "file", "object_id", "field_ids")


def list_fragments(listings: Listings, wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.fragments``."""
    versions = NamedVersions(listings)
    uses = _in_order(listings, versions)
    used = {name for _, name in uses}
    files: dict[str, list[tuple[Any, ...]]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, encoded in listings.pages():
        if name in used:
            page = decode_page(name, encoded)
            files[name] = list(_files(page))
            sizes[name] = len(page.fragments), page.live_rows
    counts = np.array([len(files[name]) for _, name in uses], np.int64)
    refuse_too_many("fragments", int(counts.sum()))
    return _fill(listings, versions, wanted, _Uses(uses, counts, files, sizes))


class _Uses:
    """Which version lists which page, and what the pages hold."""

    def __init__(
        self,
        uses: list[Row],
        counts: "np.ndarray[Any, Any]",
        files: dict[str, list[tuple[Any, ...]]],
        sizes: dict[str, tuple[int, int]],
    ) -> None:
        names = list(files)
        starts = dict(zip(names, np.cumsum([0, *(len(files[name]) for name in names)])[:-1], strict=True))
        ranges = [np.arange(starts[name], starts[name] + len(files[name])) for _, name in uses]
        self.counts = counts
        self.version_ids = [version_id for version_id, _ in uses]
        self.pages = [name for _, name in uses]
        # Of each row of the table: which file it is, and which use of a page.
        self.rows = np.concatenate([np.empty(0, np.int64), *ranges])
        self.use = np.repeat(np.arange(len(uses)), counts)
        self.flat = [file for name in names for file in files[name]]
        self.before = np.array(list(_before(uses, sizes)), np.int64).reshape(-1, 2)

    def column(self, name: str, kind: pa.DataType) -> pa.Array:
        """Return what is said of the file of each row."""
        place = _NAMES.index(name)
        return pa.array([file[place] for file in self.flat], kind).take(pa.array(self.rows))

    def of_use(self, values: list[Any], kind: pa.DataType) -> pa.Array:
        """Return what is said of the use of each row."""
        return pa.array(values, kind).take(pa.array(self.use))


def _fill(listings: Listings, versions: NamedVersions, wanted: frozenset[str], uses: _Uses) -> Filling:
    named = versions.columns(uses.version_ids)
    schemas: dict[str, str] = dict(listings.versions("id", "arrow_schema_id"))
    filling: dict[str, Any] = {
        "dataset": lambda: uses.of_use(named["dataset"], pa.string()),
        "version": lambda: uses.of_use(named["version"], pa.int64()),
        "address": lambda: uses.of_use(named["address"], pa.string()),
        "arrow_schema_id": lambda: uses.of_use([schemas[each] for each in uses.version_ids], pa.string()),
        "page": lambda: uses.of_use(uses.pages, pa.string()),
        "position": lambda: pa.array(_plain(uses, "position") + uses.before[:, 0][uses.use]),
        "first_row": lambda: pa.array(_plain(uses, "first_row") + uses.before[:, 1][uses.use]),
        "object_id": lambda: uses.column("object_id", pa.string()),
        "field_ids": lambda: uses.column("field_ids", pa.list_(pa.int64())),
        **{
            name: lambda name=name: uses.column(name, pa.int64())
            for name in ("fragment_id", "rows", "deleted_rows", "file")
        },
    }
    found = {name: filling[name]() for name in wanted if name in filling}
    if wanted & {"bytes", "stored_bytes", "is_cold"}:
        found |= _object_columns(listings, uses)
    return found


def _plain(uses: _Uses, name: str) -> "np.ndarray[Any, Any]":
    return np.asarray(uses.column(name, pa.int64()))


def _object_columns(listings: Listings, uses: _Uses) -> dict[str, Any]:
    known = {key: (size, cold) for key, _, size, cold in listings.objects()}
    place = _NAMES.index("object_id")
    found = [known.get(file[place], (None, None)) for file in uses.flat]
    each = pa.array(uses.rows)
    return {
        "bytes": pa.array([size for size, _ in found], pa.int64()).take(each),
        "stored_bytes": pa.array([size if cold is None else cold for size, cold in found], pa.int64()).take(each),
        "is_cold": pa.array([cold is not None for _, cold in found], pa.bool_()).take(each),
    }


def _in_order(listings: Listings, versions: NamedVersions) -> list[Row]:
    """Return the pages of versions in the order of the versions."""
    places = {version_id: place for place, version_id in enumerate(versions.by_id)}
    return sorted(listings.version_pages(), key=lambda use: places[use[0]])  # stable: pages stay in order


def _before(uses: list[Row], sizes: dict[str, tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Yield how many fragments and rows of the version come before each use of a page."""
    at, fragments, rows = None, 0, 0
    for version_id, name in uses:
        if version_id != at:
            at, fragments, rows = version_id, 0, 0
        yield fragments, rows
        fragments, rows = fragments + sizes[name][0], rows + sizes[name][1]


def _files(page: Page) -> Iterable[tuple[Any, ...]]:
    before = 0
    for position, fragment in enumerate(page.fragments, start=1):
        gone = fragment.num_rows - fragment.live_rows
        for number, group in enumerate(fragment.groups, start=1):
            said = (fragment.id, fragment.live_rows, gone, number, group.object_id, list(group.fields))
            yield (position, before, *said)
        before += fragment.live_rows

"""The indexes of feature sources: built once a version, kept beside its rows, opened by every process."""

import copy
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from foldstore.datastore import index_area
from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import CorruptObjectError, RefusedError
from foldstore.features.index_overlays import find_overlay
from foldstore.features.open_files import OpenFiles
from foldstore.features.run_tiles import RunTiles
from foldstore.features.sources import Pins, Rows, SourceRows, find_pins, read_source
from foldstore.features.tile_shelf import TileRows, TileShelf, make_tile
from foldstore.names import parse_address
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.features.index_file import (
    FORMAT,
    AsOfIndex,
    BuiltIndex,
    IndexedColumns,
    open_index,
    write_index,
)
from foldstore.views.features.join import check_source_columns
from foldstore.views.features.tile_parts import TileParts
from foldstore.views.features.window_index import WindowIndex, find_types
from foldstore.views.features.window_tiles import FORMAT as TILE_FORMAT
from foldstore.views.features.window_tiles import find_needs, may_be_cut


class FeatureIndexes:
    """Finds the index of a source's rows, or builds it.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : Rows
        How versions are reached.
    """

    # A smaller table is sorted sooner than a file is read.
    rows_to_keep: int = 100_000

    def __init__(self, storage: Storage, rows: Rows) -> None:
        self._storage = storage
        self._rows = rows
        self._open: OpenFiles[AsOfIndex] = OpenFiles()
        self._tiles = TileShelf(storage)

    def index(self, view: FeatureView, source: SourceRows) -> AsOfIndex:
        """Return the index of a feature view's source.

        Raises
        ------
        ColumnNotFoundError
            When the source lacks a column that the view names.
        SchemaMismatchError
            When a key column is not of the entity's type.
        """
        check_source_columns(view, source.table)
        columns = IndexedColumns(keys=view.keys, event_time=view.event_time, created_time=view.created_time)
        table = source.table.select(view.columns())
        path = self._find_path(columns, source) if table.num_rows >= self.rows_to_keep else None
        if path is None:
            return columns.build(table)
        known = self._open.find(path)
        if known is None:
            known = self._opened(path, table, columns, source)
        if known is None:
            return columns.build(table)
        found: AsOfIndex = copy.copy(known)
        found.table = table
        return found

    def windows(self, view: FeatureView, source: SourceRows) -> WindowIndex:
        """Return what answers for a view with aggregations; rows that an earlier version had are not added up again.

        Raises
        ------
        ColumnNotFoundError
            When the source lacks a column that the view names.
        SchemaMismatchError
            When a column is of another type than the entity's key, or than a function needs.
        """
        check_source_columns(view, source.table)
        table = source.table.select(view.columns())
        find_types(view, table.schema)
        runs = index_area.cut_into_runs(source.fragments)
        sizes = [sum(fragment.live_rows for fragment in run) for run in runs]
        # What a guard lets somebody read is nobody else's.
        if self._storage.guard is not None or sum(sizes) != table.num_rows or table.num_rows < self.rows_to_keep:
            return WindowIndex(view, table, [make_tile(table, view)])
        reader = self._rows.version(source.version or source.address).rows
        kept = RunTiles(self._storage, self._tiles, reader, view, _describe(view, reader))

        def rows(own: pa.Table) -> TileRows:
            return TileRows(lambda: own, lambda: self._fragments(source) == source.fragments)

        def find_whole() -> TileParts:
            return kept.find_one(source.fragments, rows(table))

        if not may_be_cut(view.aggregations) and kept.path(source.fragments).exists():
            return WindowIndex(view, table, [find_whole()])
        tiles: list[TileParts] = []
        start = 0
        for run, size in zip(runs, sizes, strict=True):
            tiles += kept.find(run, rows(table.slice(start, size)))
            start += size
        return WindowIndex(view, table, tiles, whole=find_whole)

    def windows_of(self, view: FeatureView, pins: Pins) -> WindowIndex:
        """Return what answers for a view with aggregations; nothing is read where tiles of the same rows are kept.

        Raises
        ------
        FoldstoreError
            As `windows`, and when a name of its source means nothing.
        """
        own = Pins(self._rows, pins.given)
        address = find_pins(self._storage, view, own)
        pins.add(own)
        fixed = Pins(self._rows, {**own.given, **own.used, **own.views})
        path = self._find_derived(view, own, address)
        if path is None:
            return self.windows(view, read_source(self._rows, view, fixed))

        def read() -> pa.Table:
            table = read_source(self._rows, view, fixed).table
            check_source_columns(view, table)
            find_types(view, table.schema)
            return table.select(view.columns())

        rows = TileRows(read, lambda: self._find_derived(view, own, address) == path)
        return WindowIndex(view, read, self._tiles.find(path, rows, view))

    def _find_derived(self, view: FeatureView, own: Pins, address: str) -> Path | None:
        """Return where the tile of a query, a saved view or a part of a split lies; None where none is kept.

        None is kept of rows that a guard lets somebody read, of a query that looks at the clock or draws, or where
        cells of a dataset are sealed: a query may see what others may not, such as aggregates of outcomes.
        """
        if isinstance(view.source, SqlSource):
            if not self._storage.engine.is_repeatable(view.source.query):
                return None
        elif not own.views and parse_address(address).split is None:
            return None  # a version itself, whose runs have tiles
        versions = [self._rows.version(each) for each in dict.fromkeys(own.used.values())]
        if self._storage.guard is not None or any(
            list_seals(self._storage.catalog, each.record.dataset_id) for each in versions
        ):
            return None
        source = view.source.query if isinstance(view.source, SqlSource) else address
        times = [view.event_time, view.created_time]
        needs = [[column, sorted(functions)] for column, functions in find_needs(view).items()]
        read = [source, sorted(own.used.items()), sorted(own.views.items())]
        what = canonical_json([FORMAT, TILE_FORMAT, read, [list(each) for each in view.keys.items()], times, needs])
        inputs = [(each.record, each.rows.fragments) for each in versions]
        return index_area.path_of_derived(self._storage, inputs, what)

    def _fragments(self, source: SourceRows) -> tuple[Fragment, ...]:
        """Return in what the rows of a source lie now."""
        return tuple(self._rows.version(source.version or source.address).rows.fragments)

    def _opened(self, path: Path, table: pa.Table, columns: IndexedColumns, source: SourceRows) -> AsOfIndex | None:
        """Return the index of a path, or one laid over another version's, or write it; None where nothing may lie."""
        if path.exists():
            with suppress(CorruptObjectError):
                return self._open.keep(path, path, open_index(table, columns.keys, path))
        if self._storage.guard is None and source.fragments:
            version = self._rows.version(source.address)

            def open_base(base: Path, num_rows: int) -> BuiltIndex:
                known = self._open.find(base)
                if isinstance(known, BuiltIndex):
                    return known
                opened = open_index(table, columns.keys, base, num_rows=num_rows)
                self._open.keep(base, base, opened)
                return opened

            overlay = find_overlay(self._storage, version, source, columns, (_say(columns, source), open_base))
            if overlay is not None:
                return self._open.keep(path, overlay.base, overlay.index, overlay.index.nbytes)
        with suppress(RefusedError, OSError):  # a store that is only read, or a full disk
            staged = index_area.stage(self._storage, path)
            try:
                write_index(table, columns, staged)
                self._storage.objects.files.replace(staged, path)
            finally:
                staged.unlink(missing_ok=True)
            if self._find_path(columns, source) != path:  # its rows were sealed or erased meanwhile
                path.unlink(missing_ok=True)
                return None
            return self._open.keep(path, path, open_index(table, columns.keys, path))
        return None

    def _find_path(self, columns: IndexedColumns, source: SourceRows) -> Path | None:
        """Return where the index lies; None for rows that no version has as they are, such as those of a query."""
        if source.version is None:
            return None
        version = self._rows.version(source.version)
        if source.fragments not in ((), version.rows.fragments):  # they were sealed or erased since they were read
            return None
        record, what = version.record, _say(columns, source)
        return index_area.path_of(self._storage, record.dataset_id, record.id, version.rows.fragments, what)


def _say(columns: IndexedColumns, source: SourceRows) -> str:
    """Say of what an index is one; of all rows of a version whichever it is, for another one's is laid over it."""
    chosen = "" if source.fragments else source.address
    times = [columns.event_time, columns.created_time]
    return canonical_json([FORMAT, chosen, [list(each) for each in columns.keys.items()], times])


def _describe(view: FeatureView, reader: FragmentReader) -> str:
    """Say what a tile of a view is made of; views that look at the same share it."""
    times = [view.event_time, view.created_time]
    schema = reader.arrow_schema
    needs = [[column, str(schema.field(column).type), sorted(f)] for column, f in find_needs(view).items()]
    # A column of a name may be another one than that of an earlier version, which lies in the same files.
    fields = [reader.field_id(column) for column in view.columns()]
    return canonical_json([FORMAT, TILE_FORMAT, [list(each) for each in view.keys.items()], times, needs, fields])

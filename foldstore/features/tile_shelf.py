"""Where tiles of windows lie: made once of some rows, kept in files, mapped by whoever asks."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa

from foldstore.datastore import index_area
from foldstore.datastore.storage import Storage
from foldstore.errors import CorruptObjectError, RefusedError
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.tile_parts import TileParts, count_parts, write_tile
from foldstore.views.features.window_tiles import weigh_tile

_MOST_OPEN: Final = 16


class TileShelf:
    """Finds tiles, or makes them.

    Parameters
    ----------
    storage : Storage
        The open store.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._open: OrderedDict[Path, TileParts] = OrderedDict()

    def find(self, path: Path, rows: Callable[[], pa.Table], view: FeatureView, holds: Callable[[], bool]) -> TileParts:
        """Return the tile that lies there, made of the rows when it does not or is broken.

        Parameters
        ----------
        rows : callable
            Gives the rows; asked when they are needed.
        holds : callable
            Whether the rows are still what the path says; asked when the file is there. Those that were sealed or
            erased meanwhile stay in no file.
        """
        known = self._open.get(path)
        if known is None or not path.exists():
            known = _read(path, view)
        if known is None:
            known = self._make(path, rows(), view)
            if not holds():
                path.unlink(missing_ok=True)
                self._open.pop(path, None)
                return known
        self._open[path] = known
        self._open.move_to_end(path)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return known

    def _make(self, path: Path, rows: pa.Table, view: FeatureView) -> TileParts:
        with suppress(RefusedError, OSError):  # a store that is only read, or a full disk
            staged = index_area.stage(self._storage, path)
            try:
                if write_tile(rows, view, staged):
                    self._storage.objects.files.replace(staged, path)
                    return TileParts.read(view, path)
            finally:
                staged.unlink(missing_ok=True)
        return make_tile(rows, view)


def make_tile(rows: pa.Table, view: FeatureView) -> TileParts:
    """Return a tile that is kept nowhere: in memory, or in a file without a name where that is too much."""
    if count_parts(weigh_tile(view, rows.num_rows), view.keys) > 1:
        with suppress(OSError), TemporaryDirectory(prefix="foldstore-") as folder:
            path = Path(folder) / "tile"
            if write_tile(rows, view, path):
                return TileParts.read(view, path)  # mapped; the file goes with the last who reads it
    return TileParts.of(rows, view)


def _read(path: Path, view: FeatureView) -> TileParts | None:
    if path.exists():
        with suppress(CorruptObjectError):
            return TileParts.read(view, path)
    return None

"""Where tiles of windows lie: made once of some rows, kept in files, mapped by whoever asks."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore import index_area
from foldstore.datastore.storage import Storage
from foldstore.errors import CorruptObjectError, RefusedError
from foldstore.features.open_files import OpenFiles
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.tile_parts import TileParts, count_parts, write_tile
from foldstore.views.features.window_tiles import weigh_tile

_ABOVE: Final = ".over"  # of no file: by which tiles that are laid over one are kept beside it


@dataclass(frozen=True, slots=True)
class TileRows:
    """Rows of a tile.

    Attributes
    ----------
    read : callable
        Gives the rows; asked when they are needed.
    hold : callable
        Whether the rows are still what the tile's path says; asked when its file is there. Those that were sealed or
        erased meanwhile stay in no file.
    """

    read: Callable[[], pa.Table]
    hold: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Laid:
    """Tiles that together are one of some rows, the first of them in a file.

    Attributes
    ----------
    file : pathlib.Path
        Where the first one lies.
    num_bytes : int
        What the others take in memory.
    """

    tiles: tuple[TileParts, ...]
    file: Path
    num_bytes: int


class TileShelf:
    """Finds tiles, or makes them.

    Parameters
    ----------
    storage : Storage
        The open store.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._open: OpenFiles[tuple[TileParts, ...]] = OpenFiles()

    def find(
        self,
        path: Path,
        rows: TileRows,
        view: FeatureView,
        *,
        said: Any = None,
        over: Callable[[], Laid | None] | None = None,
    ) -> tuple[TileParts, ...]:
        """Return the tile that lies there, made of the rows when it does not or is broken.

        Parameters
        ----------
        said : plain data, optional
            What is written down of the rows.
        over : callable
            Gives tiles that stand for it, laid over another one; asked before it is made. Without, it is one tile.
        """
        above = path.with_suffix(_ABOVE)
        known = self._open.find(path) or (self._open.find(above) if over is not None else None)
        if known is not None:
            return known
        there = _read(path, view)
        if there is not None:
            return self._open.keep(path, path, (there,))
        laid = over() if over is not None else None
        if laid is not None:
            return self._open.keep(above, laid.file, laid.tiles, laid.num_bytes) if rows.hold() else laid.tiles
        made = self._make(path, rows.read(), view, said)
        if not rows.hold():
            path.unlink(missing_ok=True)
            return (made,)
        return self._open.keep(path, path, (made,))

    def open(self, path: Path, view: FeatureView) -> TileParts:
        """Return the tile that lies there.

        Raises
        ------
        CorruptObjectError
            When it is broken.
        """
        return (self._open.find(path) or self._open.keep(path, path, (TileParts.read(view, path),)))[0]

    def _make(self, path: Path, rows: pa.Table, view: FeatureView, said: Any) -> TileParts:
        with suppress(RefusedError, OSError):  # a store that is only read, or a full disk
            staged = index_area.stage(self._storage, path)
            try:
                if write_tile(rows, view, staged, said=said):
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

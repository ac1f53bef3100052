"""The tiles of a version, run by run: those that lie there, or others of the same files with what changed laid over.

A commit that deletes or corrects rows leaves the files of a run as they are, and the tile that was made of them: the
entities of these rows get a small tile in memory, and the other one answers for the rest.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore import index_area
from foldstore.datastore.manifest import Deleted, Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.replaced_rows import find_replaced_rows
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError
from foldstore.features.index_overlays import count_most
from foldstore.features.tile_shelf import Laid, TileRows, TileShelf
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.index_file import read_said
from foldstore.views.features.row_numbers import RowNumbers
from foldstore.views.features.tile_overlay import lay_tile_over
from foldstore.views.features.tile_parts import MEMORY, TileParts
from foldstore.views.features.window_tiles import weigh_tile

_MOST_ASKED: Final = 4  # tiles of the same files; those that were made last first


@dataclass(frozen=True, slots=True)
class RunTiles:
    """Finds the tiles of runs of a version for a view.

    Attributes
    ----------
    reader : FragmentReader
        Reads the version.
    what : str
        What a tile is made of, as files are named.
    """

    storage: Storage
    shelf: TileShelf
    reader: FragmentReader
    view: FeatureView
    what: str

    def find(self, run: Sequence[Fragment], rows: TileRows) -> tuple[TileParts, ...]:
        """Return the tiles of a run, the rows of which are given."""
        over = partial(self._lay_over, run, rows)
        return self.shelf.find(self.path(run), rows, self.view, said=_say(run), over=over)

    def find_one(self, run: Sequence[Fragment], rows: TileRows) -> TileParts:
        """Return a tile that has all rows of a run."""
        return self.shelf.find(self.path(run), rows, self.view, said=_say(run))[0]

    def path(self, run: Sequence[Fragment]) -> Path:
        """Return where the tile of a run lies, or would."""
        return index_area.path_of_run(self.storage, self.reader.dataset_id, run, self.what)

    def _lay_over(self, run: Sequence[Fragment], rows: TileRows) -> Laid | None:
        """Lay what changed over a tile of the same files; None where there is none that fits."""
        if not self.view.keys:
            return None
        for path in index_area.list_of_run(self.storage, self.reader.dataset_id, run, self.what)[:_MOST_ASKED]:
            with suppress(FoldstoreError, OSError):  # it is gone, or torn, or nobody knows any more what it was made of
                tiles = self._lay_over_one(path, run, rows.read())
                if tiles is not None:
                    return Laid(tiles, path, weigh_tile(self.view, sum(each.index.num_rows for each in tiles[1].parts)))
        return None

    def _lay_over_one(self, path: Path, run: Sequence[Fragment], rows: pa.Table) -> tuple[TileParts, TileParts] | None:
        gone = [None if each is None else Deleted(*each) for each in read_said(path)]
        then = [replace(each, deleted=deleted) for each, deleted in zip(run, gone, strict=True)]
        most = min(count_most(rows.num_rows), MEMORY // max(weigh_tile(self.view, 1), 1))
        names = list(self.view.keys)
        before, after = self.reader.restricted(then), self.reader.restricted(run)
        changes = find_replaced_rows(before, after, names, most=most)
        if changes is None:
            return None
        both = pa.concat_tables([changes.removed.to_table(names), changes.added.to_table(names)])
        numbers = RowNumbers(changes.removed_at, changes.added_at)
        base = self.shelf.open(path, self.view)
        return lay_tile_over(base, self.view, rows, ([both.column(name) for name in names], numbers), most)


def _say(run: Sequence[Fragment]) -> list[list[object] | None]:
    """Say which rows of a run are deleted, for a tile that another one is laid over."""
    return [None if each.deleted is None else [each.deleted.hash, each.deleted.num_rows] for each in run]

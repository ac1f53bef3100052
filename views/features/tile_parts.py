"""Tiles in parts by the hash of the key: one part is in memory while they are made, then all are mapped from a file.

A question is asked of the part that has its key. So what it takes to make a tile, and to answer, does not grow with
the table, but for the rows of one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.index_file import may_be_written, read_parts, write_parts
from foldstore.views.features.key_parts import cut_by_key
from foldstore.views.features.window_tiles import Tile, weigh_tile

MEMORY: Final = 256 * 2**20  # for one part


@dataclass(frozen=True, slots=True)
class TileParts:
    """A tile in a power of two of parts.

    Attributes
    ----------
    parts : tuple of Tile
        By the number that `number_parts` gives their keys.
    """

    parts: tuple[Tile, ...]

    @classmethod
    def of(cls, table: pa.Table, view: FeatureView) -> Self:
        """Sort and add up rows in memory, as one part."""
        return cls((Tile.of(table, view),))

    @classmethod
    def read(cls, view: FeatureView, path: Path) -> Self:
        """Map a tile that `write_tile` wrote.

        Raises
        ------
        CorruptObjectError
            When the file is something else, or was torn.
        """
        return cls(tuple(Tile.from_parts(view, parts) for parts in read_parts(path)))

    def part(self, number: int) -> Tile:
        """Return the part in which the keys of a part of a larger count are."""
        return self.parts[number % len(self.parts)]


def count_parts(weight: int, keys: Mapping[str, str]) -> int:
    """Return into how many parts work of a weight is cut: a power of two, and one where there is no key to cut by."""
    return 1 << (-(-weight // MEMORY) - 1).bit_length() if keys and weight > MEMORY else 1


def write_tile(table: pa.Table, view: FeatureView, path: Path, *, said: Any = None) -> bool:
    """Sort and add up rows part by part into a new file; return whether a file can hold what they come to.

    Parameters
    ----------
    said : plain data, optional
        What is known of the rows; `read_said` gives it.
    """
    count = count_parts(weigh_tile(view, table.num_rows), view.keys)
    made = (
        Tile.of(own, view, rows if count > 1 else None).to_parts()
        for own, rows in cut_by_key(table, view.keys, count, path.parent)
    )
    return write_parts(made, path, count=count, check=may_be_written, said=said)

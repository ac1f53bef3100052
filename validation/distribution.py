"""Two distributions on the same cells, of a size that a report can carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foldstore.datastore.statistics.pinned import GridCounts

_MOST_CELLS: Final = 40
_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values each cell holds, before and after.

    Attributes
    ----------
    labels : tuple of str
        What the cells hold.
    before, after : tuple of int
        The reference's counts, and those of what is judged.
    ordered : bool
        Whether the cells follow each other: those of numbers do, categories do not.
    """

    labels: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    ordered: bool = False

    @property
    def shares(self) -> tuple[tuple[float, float], ...]:
        """The shares of each cell, before and after; zeros where a side is empty."""
        f, g = sum(self.before) or 1, sum(self.after) or 1
        return tuple((a / f, b / g) for a, b in zip(self.before, self.after, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        cells = {"labels": list(self.labels), "before": list(self.before), "after": list(self.after)}
        return {**cells, "ordered": self.ordered}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Distribution":
        """Read what `to_dict` gave."""
        return cls(tuple(data["labels"]), tuple(data["before"]), tuple(data["after"]), bool(data["ordered"]))


def summarize(labels: Sequence[str], before: GridCounts, after: GridCounts, *, ordered: bool) -> Distribution:
    """Return two counts on one grid with at most forty cells.

    Of numbers, neighbours are put together; of categories, those stay that hold or moved most, the rest is one cell.
    NaN has a cell of its own where it occurs.

    Examples
    --------
    >>> summarize(["'a'", "other"], GridCounts((3, 0)), GridCounts((1, 2)), ordered=False).after
    (1, 2)
    """
    cells = list(zip(labels, before.cells, after.cells, strict=True))
    if len(cells) > _MOST_CELLS:
        cells = _join_neighbours(cells) if ordered else _keep_largest(cells)
    if before.nan or after.nan:
        cells.append(("NaN", before.nan, after.nan))
    names, f, g = zip(*cells, strict=True)
    return Distribution(tuple(map(_cut, names)), tuple(f), tuple(g), ordered)


_Cell = tuple[str, int, int]


def _join_neighbours(cells: list[_Cell]) -> list[_Cell]:
    step = -(-len(cells) // _MOST_CELLS)
    groups = [cells[start : start + step] for start in range(0, len(cells), step)]
    return [
        (
            group[0][0] if len(group) == 1 else f"{group[0][0]} to {group[-1][0]}",
            sum(each[1] for each in group),
            sum(each[2] for each in group),
        )
        for group in groups
    ]


def _keep_largest(cells: list[_Cell]) -> list[_Cell]:
    f, g = sum(each[1] for each in cells) or 1, sum(each[2] for each in cells) or 1
    weights = [max(a / f, b / g) for _, a, b in cells]
    order = sorted(range(len(cells)), key=lambda place: (-weights[place], place))
    kept = sorted(order[: _MOST_CELLS - 1])
    rest = [cells[place] for place in order[_MOST_CELLS - 1 :]]
    others = (f"{len(rest):,} more", sum(each[1] for each in rest), sum(each[2] for each in rest))
    return [*(cells[place] for place in kept), others]


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"

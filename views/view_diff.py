"""The difference of two views: what is written, what is read, and which rows come out."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.canonical import canonical_json
from foldstore.views.row_origins import RowOrigins, find_origins

if TYPE_CHECKING:
    from foldstore.views.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDiff:
    """How two views differ.

    Attributes
    ----------
    before, after : str
        What they read.
    sources : tuple of (str, str)
        Sources of the one that stand at the place of others in the other; an empty text where there is none.
    spec : tuple of str
        The lines of the specifications that differ, with ``-`` and ``+``.
    columns_added, columns_dropped : tuple of str
        Columns that one of them lacks.
    num_before, num_after : int
        How many rows each has.
    num_added, num_removed, num_common : int
        Rows of datasets that only the second, only the first, or both have; a row that a view repeats counts once.
    broken : str or None
        Why the second cannot be made, such as a column that its conditions name and that is gone; it has no rows then.
    """

    before: str
    after: str
    sources: tuple[tuple[str, str], ...]
    spec: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_dropped: tuple[str, ...]
    num_before: int
    num_after: int
    num_added: int
    num_removed: int
    num_common: int
    broken: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether both give the same rows of the same sources by the same steps."""
        return not self.spec and self.broken is None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "before": self.before,
            "after": self.after,
            "sources": [list(pair) for pair in self.sources],
            "spec": list(self.spec),
            "columns": {"added": list(self.columns_added), "dropped": list(self.columns_dropped)},
            "rows": {
                "before": self.num_before,
                "after": self.num_after,
                "added": self.num_added,
                "removed": self.num_removed,
                "common": self.num_common,
            },
            "broken": self.broken,
        }

    def __str__(self) -> str:
        if self.broken is not None:
            return f"The view of {self.before} cannot be made any more as it is written: {self.broken}"
        lines = [f"{before or 'nothing'} → {after or 'nothing'}" for before, after in self.sources]
        lines += [f"column {name} is new" for name in self.columns_added]
        lines += [f"column {name} is gone" for name in self.columns_dropped]
        lines += self.spec if not self.sources else ()
        rows = f"rows: {self.num_before:,} → {self.num_after:,}; {self.num_added:,} came, {self.num_removed:,} went, "
        return "\n".join([*lines, f"{rows}{self.num_common:,} stayed"])

    def _repr_html_(self) -> str:
        return f"<div><b>{escape(f'{self.before} → {self.after}')}</b><pre>{escape(str(self))}</pre></div>"


def diff_views(before: "View", after: "View") -> ViewDiff:
    """Compare two views; their rows are found, and none of their values is read but what conditions need."""
    one, two = find_origins(before), find_origins(after)
    added, removed, common = _compare(one, two)
    old, new = before.arrow_schema.names, after.arrow_schema.names
    return ViewDiff(
        before=before.shown_inputs,
        after=after.shown_inputs,
        sources=_moved_sources(before, after),
        spec=tuple(_spec_lines(before, after)),
        columns_added=tuple(name for name in new if name not in old),
        columns_dropped=tuple(name for name in old if name not in new),
        num_before=one.num_rows,
        num_after=two.num_rows,
        num_added=added,
        num_removed=removed,
        num_common=common,
    )


def broken_diff(view: "View", reason: str) -> ViewDiff:
    """Say that a view cannot be made any more."""
    rows = find_origins(view)
    return ViewDiff(
        before=view.shown_inputs,
        after="",
        sources=(),
        spec=(),
        columns_added=(),
        columns_dropped=tuple(view.arrow_schema.names),
        num_before=rows.num_rows,
        num_after=0,
        num_added=0,
        num_removed=sum(len(ids) for ids in rows.row_ids().values()),
        num_common=0,
        broken=reason,
    )


def _compare(one: RowOrigins, two: RowOrigins) -> tuple[int, int, int]:
    added = removed = common = 0
    before, after = one.row_ids(), two.row_ids()
    for dataset in sorted({*before, *after}):
        old, new = _of(before, dataset), _of(after, dataset)
        both = len(np.intersect1d(old, new, assume_unique=True))
        added, removed, common = added + len(new) - both, removed + len(old) - both, common + both
    return added, removed, common


def _of(ids: Mapping[str, NDArray[np.uint64]], dataset: str) -> NDArray[np.uint64]:
    return ids.get(dataset, np.empty(0, np.uint64))


def _moved_sources(before: "View", after: "View") -> tuple[tuple[str, str], ...]:
    one, two = ([pinned.source for pinned in view.sources()] for view in (before, after))
    pairs = []
    for place in range(max(len(one), len(two))):
        old, new = (sources[place] if place < len(sources) else None for sources in (one, two))
        if old is None or new is None or old.version_id != new.version_id:
            pairs.append((old.address if old else "", new.address if new else ""))
    return tuple(pairs)


def _spec_lines(before: "View", after: "View") -> list[str]:
    one, two = (canonical_json(view.spec()).replace(',"', ',\n"').splitlines() for view in (before, after))
    lines = list(unified_diff(one, two, lineterm="", n=0))
    return [line for line in lines[2:] if not line.startswith("@@")]

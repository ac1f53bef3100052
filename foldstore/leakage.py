"""Whether a view that is learned from holds rows that it is to be judged on: parts of splits, sealed test pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import PARTS
from foldstore.split import SplitPart, read_assignment
from foldstore.validation.pools.pool import list_pools
from foldstore.version import Version
from foldstore.views.row_origins import find_origins
from foldstore.views.view import View

Masks = Mapping[int, NDArray[np.bool_]]


class LeakageWarning(UserWarning):
    """A view that is learned from has rows of a test pool, or mixes the parts of a split."""


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """Which rows of splits and pools a view has.

    Attributes
    ----------
    view : str
        What the view reads.
    splits : mapping of str to mapping of str to int
        For each split of what the view reads (``flights@5#by_month``), how many rows of each part it has; one that has
        rows of no part is left out.
    pools : mapping of str to int
        For each test pool, how many of its rows the view has.
    """

    view: str
    splits: Mapping[str, Mapping[str, int]]
    pools: Mapping[str, int]

    @property
    def mixed(self) -> tuple[str, ...]:
        """The splits of which the view has rows to learn from and rows to be judged on."""
        return tuple(
            name for name, rows in self.splits.items() if rows["train"] and (rows["validation"] or rows["test"])
        )

    @property
    def passed(self) -> bool:
        """Whether the view may be learned from: it mixes no parts, and has no rows of a pool."""
        return not self.mixed and not self.pools

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        splits = {name: dict(rows) for name, rows in self.splits.items()}
        return {"view": self.view, "passed": self.passed, "splits": splits, "pools": dict(self.pools)}

    def __str__(self) -> str:
        lines = [f"{rows:,} rows belong to the test pool {name!r}" for name, rows in self.pools.items()]
        for name in self.mixed:
            rows = self.splits[name]
            lines.append(
                f"{rows['train']:,} rows of {name}.train lie beside {rows['validation']:,} of .validation and "
                f"{rows['test']:,} of .test"
            )
        said = "; ".join(lines) or "no rows of a test pool, and no parts of a split side by side"
        hint = "" if self.passed else " Learn from one part: store.view('name@version#split.train')."
        return f"The view of {self.view}: {said}.{hint}"

    def _repr_html_(self) -> str:
        return f"<div>{escape(str(self))}</div>"


def find_leakage(storage: Storage, view: View) -> LeakageReport:
    """Compare the rows of a view with the parts of splits and the rows of test pools.

    Of a part of a split, only that split is looked at: parts of other splits may well overlap it.
    """
    if not isinstance(view, View):
        raise UsageError(f"{type(view).__name__!r} is not a view.", hint="store.view('flights@5') gives one.")
    names = {_name_of(pinned.source.address) for pinned in view.sources()}
    splits = {name: _splits_of(storage, name) for name in names}
    seals = {name: _sealed_of(storage, name) for name in names}
    if not any(splits.values()) and not any(seals.values()):
        return LeakageReport(view.shown_inputs, {}, {})
    found: dict[str, dict[str, int]] = {}
    pools: dict[str, int] = {}
    for source, mask in find_origins(view).parts:
        if not isinstance(source, Version | SplitPart):
            continue
        name, masks = _name_of(source.address), source.find_rows().masks_of(mask)
        own = source.split_name if isinstance(source, SplitPart) else None
        for split in [each for each in splits[name] if own in (None, each)]:
            rows = _count_parts(storage, name, split, masks)
            if any(rows.values()):
                address = f"{source.address.partition('#')[0]}#{split}"
                found[address] = {part: found.get(address, {}).get(part, 0) + count for part, count in rows.items()}
        for pool, places in seals[name].items():
            count = _count_places(masks, places)
            if count:
                pools[pool] = pools.get(pool, 0) + count
    return LeakageReport(view.shown_inputs, found, pools)


def _splits_of(storage: Storage, dataset: str) -> list[str]:
    prefix = f"{dataset}#"
    names = Registry(storage.catalog, "split").list_names()
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _sealed_of(storage: Storage, dataset: str) -> dict[str, NDArray[np.uint64]]:
    record = storage.catalog.find_dataset(dataset)
    if record is None or not list_seals(storage.catalog, record.id):
        return {}
    sealed = {seal.id for seal in list_seals(storage.catalog, record.id) if seal.state != "open"}
    return {
        pool.name: open_sealed(storage, pool.id, []).column(ROW_ID).to_numpy().astype(np.uint64)
        for pool in list_pools(storage)
        if pool.id in sealed
    }


def _count_parts(storage: Storage, dataset: str, split: str, masks: Masks) -> dict[str, int]:
    rows = dict.fromkeys(PARTS, 0)
    assignment = read_assignment(storage, dataset, split)
    for members in assignment.fragments:
        mask = masks.get(int(members.fragment))
        if mask is not None:
            for part in PARTS:
                rows[part] += int(np.count_nonzero(members.mask(part) & mask))
    return rows


def _count_places(masks: Masks, places: NDArray[np.uint64]) -> int:
    count = 0
    fragments = (places >> np.uint64(32)).astype(np.int64)
    for fragment, mask in masks.items():
        here = (places[fragments == fragment] & np.uint64(2**32 - 1)).astype(np.int64)
        count += int(np.count_nonzero(mask[here]))
    return count


def _name_of(address: str) -> str:
    return address.partition("@")[0]

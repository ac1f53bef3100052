"""Whether a view that is learned from holds rows that it is to be judged on: parts of splits, sealed test pools."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import PARTS
from foldstore.split import Base, Split, SplitPart
from foldstore.split_documents import SplitDocuments
from foldstore.split_making import SplitMaker
from foldstore.validation.pools.pool import list_pools
from foldstore.version import Version
from foldstore.views.row_origins import find_origins
from foldstore.views.source import Source
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
        For each split of what the view reads (``flights@5#by_month``; at the newest version, if it reads several), how
        many rows of each part it has; one that has rows of no part is left out.
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

    A split that the view reads a part of, and the splits that this part was made within, are compared with all rows of
    the dataset, whatever versions they are read at. Other splits are compared with rows that come from whole versions:
    parts of different splits may well overlap. Folds are looked at where the view reads a part of one: to learn from
    all rows once folds have chosen a model is what they are for.
    """
    if not isinstance(view, View):
        raise UsageError(f"{type(view).__name__!r} is not a view.", hint="store.view('flights@5') gives one.")
    sources = [pinned.source for pinned in view.sources()]
    names = list(dict.fromkeys(_name_of(each.address) for each in sources))
    splits = {name: _names_to_compare(storage, name, sources) for name in names}
    seals = {name: _sealed_of(storage, name) for name in names}
    if not any(splits.values()) and not any(seals.values()):
        return LeakageReport(view.shown_inputs, {}, {})
    rows = _read_rows(view)
    found: dict[str, dict[str, int]] = {}
    pools: dict[str, int] = {}
    for name, read in rows.items():
        maker = SplitMaker(storage, "", keeps=False)
        for split, is_named in splits[name].items():
            masks = read.masks if is_named else read.whole
            counts = _count_parts([maker.open_split(base, split) for base in read.bases], masks) if masks else {}
            if any(counts.values()):
                found[f"{read.newest}#{split}"] = counts
        for pool, places in seals[name].items():
            count = _count_places(read.masks, places)
            if count:
                pools[pool] = count
    return LeakageReport(view.shown_inputs, found, pools)


@dataclass(slots=True)
class _RowsRead:
    """The rows of a dataset that a view has.

    Attributes
    ----------
    bases : list of Base
        The versions that they are read at.
    masks, whole : dict of int to ndarray of bool
        Which rows of each fragment's files; those of whole versions alone, not of parts.
    """

    bases: list[Base] = field(default_factory=list)
    masks: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    whole: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def newest(self) -> str:
        """The address of the newest of the versions."""
        return max((base.address for base in self.bases), key=lambda address: int(address.rpartition("@")[2]))

    def add(self, source: Version | SplitPart, masks: Masks) -> None:
        """Take the rows of a source as well; one that is there already counts once."""
        base = source.base
        if all(base.version_id != known.version_id for known in self.bases):
            self.bases.append(base)
        for into in [self.masks] if isinstance(source, SplitPart) else [self.masks, self.whole]:
            for fragment, mask in masks.items():
                into[fragment] = mask | into[fragment] if fragment in into else mask


def _read_rows(view: View) -> dict[str, _RowsRead]:
    rows: dict[str, _RowsRead] = {}
    for source, mask in find_origins(view).parts:
        if isinstance(source, Version | SplitPart):
            read = rows.setdefault(_name_of(source.address), _RowsRead())
            read.add(source, source.find_rows().masks_of(mask))
    return rows


def _names_to_compare(storage: Storage, dataset: str, sources: Sequence[Source]) -> dict[str, bool]:
    """Return the splits and folds to look at, and whether the view reads a part of each, or of one within it."""
    record = storage.catalog.find_dataset(dataset)
    if record is None:
        return {}
    documents = SplitDocuments(storage, record)
    here = [each for each in sources if _name_of(each.address) == dataset]
    parts = [each for each in here if isinstance(each, SplitPart)]
    names = dict.fromkeys((name for part in parts for name in _with_outer(documents, part.split_name)), True)
    others = [] if len(parts) == len(here) else documents.names()
    return names | {name: False for name in others if name not in names and not documents.names_folds(name)}


def _with_outer(documents: SplitDocuments, name: str) -> Iterator[str]:
    """Yield a split or fold, and those whose parts it was made within."""
    outer: str | None = name
    while outer is not None:
        yield outer
        within = documents.find_chosen(outer).within
        outer = None if within is None else within.rpartition(".")[0]


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


def _count_parts(splits: Sequence[Split], masks: Masks) -> dict[str, int]:
    """Count the rows of each part; where a fragment's rows are does not depend on the version that lists it."""
    rows = dict.fromkeys(PARTS, 0)
    for part in PARTS:
        members = {fragment: mask for split in splits for fragment, mask in split.masks_of(part).items()}
        rows[part] = sum(int(np.count_nonzero(members[f] & mask)) for f, mask in masks.items() if f in members)
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

"""Whether a view that is learned from holds rows that it is to be judged on: parts of splits, sealed test pools."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import PARTS
from foldstore.split import SplitPart
from foldstore.split_documents import SplitDocuments, fold_names
from foldstore.validation.pools.pool import list_pools
from foldstore.version import Version
from foldstore.views.row_origins import find_origins
from foldstore.views.source import Source
from foldstore.views.splits.assignment import FragmentMembers, SplitAssignment
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

    Of a part of a split, only that split is looked at: parts of other splits may well overlap it. Folds are looked at
    where the view reads a part of one: to learn from all rows once folds have chosen a model is what they are for.
    """
    if not isinstance(view, View):
        raise UsageError(f"{type(view).__name__!r} is not a view.", hint="store.view('flights@5') gives one.")
    sources = [pinned.source for pinned in view.sources()]
    splits = {name: _list_splits(storage, name, sources) for name in {_name_of(each.address) for each in sources}}
    seals = {name: _sealed_of(storage, name) for name in splits}
    if not any(splits.values()) and not any(seals.values()):
        return LeakageReport(view.shown_inputs, {}, {})
    found: dict[str, dict[str, int]] = {}
    pools: dict[str, int] = {}
    for source, mask in find_origins(view).parts:
        if not isinstance(source, Version | SplitPart):
            continue
        name, masks = _name_of(source.address), source.find_rows().masks_of(mask)
        own = next((each.document for each in splits[name] if each.name == _split_of(source)), None)
        for split in splits[name]:
            rows = _count_parts(split, masks) if own in (None, split.document) else {}
            if any(rows.values()):
                address = f"{source.address.partition('#')[0]}#{split.name}"
                found[address] = {part: found.get(address, {}).get(part, 0) + count for part, count in rows.items()}
        for pool, places in seals[name].items():
            count = _count_places(masks, places)
            if count:
                pools[pool] = pools.get(pool, 0) + count
    return LeakageReport(view.shown_inputs, found, pools)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A split, or a fold, with which a view is compared.

    Attributes
    ----------
    name : str
        Such as ``by_month`` or ``cv-3``.
    document : str
        The name it is kept under, such as ``by_month`` or ``cv``.
    members : tuple of FragmentMembers
        Where each row is.
    """

    name: str
    document: str
    members: tuple[FragmentMembers, ...]


def _list_splits(storage: Storage, dataset: str, sources: Sequence[Source]) -> list[_Parts]:
    record = storage.catalog.find_dataset(dataset)
    if record is None:
        return []
    documents = SplitDocuments(storage, record)
    named = {_split_of(each) for each in sources if _name_of(each.address) == dataset} - {None}
    return [each for name in documents.names() for each in _open_split(documents, name, named)]


def _open_split(documents: SplitDocuments, name: str, named: Collection[str | None]) -> Iterator[_Parts]:
    kept = documents.find(name)
    if kept is None:
        return
    assignment = kept.assignment
    if isinstance(assignment, SplitAssignment):
        yield _Parts(name, name, assignment.fragments)
        return
    for each in sorted(filter(None, named)):
        for folds, number, inner in fold_names(each):
            if folds == name:
                members = tuple(assignment.members(codes, number, inner) for codes in assignment.fragments)
                yield _Parts(each, name, members)


def _split_of(source: Source) -> str | None:
    return source.split_name if isinstance(source, SplitPart) else None


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


def _count_parts(split: _Parts, masks: Masks) -> dict[str, int]:
    rows = dict.fromkeys(PARTS, 0)
    for members in split.members:
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

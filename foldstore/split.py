"""The handle of a split: which rows of a version are train, validation and test, for good."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord, Document
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_directory import RowDirectory
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, ConflictError, NotFoundError, UsageError, did_you_mean
from foldstore.forms import Forms
from foldstore.names import PARTS, check_split_name
from foldstore.types import format_time
from foldstore.views.splits.assignment import FragmentMembers, SplitAssignment
from foldstore.views.splits.fitting import FragmentRows, extend_split, fit_split
from foldstore.views.splits.report import SplitReport, report_split
from foldstore.views.splits.split import PART_CODES, UNASSIGNED, SplitSpec
from foldstore.views.view import View

Mask = NDArray[np.bool_]
_KIND = "split"
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Base:
    """The version that a split is looked at on."""

    dataset: DatasetRecord
    address: str
    version_id: str
    rows: FragmentReader


class SplitPart(Forms):
    """The rows of one part of a split, read like a version; what it holds never changes.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(1000))})
    >>> split = version.split("half", train=0.5, test=0.5)
    >>> split.train.address, split.train.num_rows + split.test.num_rows
    ('n@1#half.train', 1000)
    """

    def __init__(self, storage: Storage, base: Base, split: str, part: str, masks: Mapping[int, Mask]) -> None:
        self._storage = storage
        self._base = base
        self._split = split
        self._part = part
        self._masks = masks

    def __repr__(self) -> str:
        return f"<SplitPart {self.address}: {self.num_rows:,} rows>"

    def _repr_html_(self) -> str:
        return self.view()._repr_html_()  # the notebook protocol has no public name

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#by_month.train``."""
        return f"{self._base.address}#{self._split}.{self._part}"

    @property
    def version_id(self) -> str:
        """The identity: that of the version, the split and the part."""
        return f"{self._base.version_id}#{self._split}.{self._part}"

    @property
    def split_name(self) -> str:
        """The name of the split."""
        return self._split

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self._base.dataset.name

    @property
    def record(self) -> DatasetRecord:
        """What the catalog says of the dataset."""
        return self._base.dataset

    @property
    def base_version_id(self) -> str:
        """The identity of the version that the part is looked at on."""
        return self._base.version_id

    @property
    def masks(self) -> Mapping[int, Mask]:
        """Which rows of each fragment's files, by fragment id, belong to the part; deleted rows do not."""
        return self._masks

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._base.rows.arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return sum(int(np.count_nonzero(mask)) for mask in self._masks.values())

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch; each batch is a copy of the rows that belong to the part."""
        for fragment in self._base.rows.fragments:
            mask = self._masks.get(fragment.id)
            if mask is None or not mask.any():
                continue
            start, here = 0, mask[self._base.rows.live(fragment)]
            for batch in self._base.rows.restricted([fragment]).batches(columns):
                chosen = here[start : start + batch.num_rows]
                start += batch.num_rows
                if chosen.all():
                    yield batch
                elif chosen.any():
                    yield batch.filter(pa.array(chosen))

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Do what `to_arrow` does: views read parts by this name."""
        return pa.Table.from_batches(self.to_batches(columns), self._base.rows.project(columns))

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as a table."""
        return self.to_table(columns)

    @property
    def generation(self) -> int:
        """A number that grows when cells were sealed or rows erased since the store was opened."""
        return self._storage.objects.num_retired

    def find_rows(self) -> RowDirectory:
        """Return what reaches rows by rank, for views."""
        return RowDirectory(self._base.rows, self._masks)

    def column_sizes(self, columns: Sequence[str]) -> dict[str, int]:
        """Return about how many bytes the part's columns take; no value is read for it."""
        whole = self._base.rows.num_rows or 1
        sizes = self._base.rows.column_sizes(columns)
        return {name: size * self.num_rows // whole for name, size in sizes.items()}

    def view(self) -> View:
        """Return the view of the part's rows, to filter and to read in other forms."""
        return View(self, engine=self._storage.engine)


class Split:
    """The assignment of a version's rows to train, validation and test.

    New data never moves an old row: rows of later versions are placed when the split is first asked for there.
    """

    def __init__(self, storage: Storage, base: Base, assignment: SplitAssignment) -> None:
        self._storage = storage
        self._base = base
        self._assignment = assignment

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {self.part(part).num_rows:,}" for part in PARTS)
        return f"<Split {self._base.address}#{self.name}: {sizes}>"

    @property
    def name(self) -> str:
        """The split's name."""
        return self._assignment.spec.name

    @property
    def spec(self) -> SplitSpec:
        """How rows are shared out."""
        return self._assignment.spec

    @cached_property
    def train(self) -> SplitPart:
        """The rows to learn from."""
        return self.part("train")

    @cached_property
    def validation(self) -> SplitPart:
        """The rows to choose by."""
        return self.part("validation")

    @cached_property
    def test(self) -> SplitPart:
        """The rows to be judged on."""
        return self.part("test")

    def part(self, name: str) -> SplitPart:
        """Return a part by name."""
        known = {fragment.id: fragment for fragment in self._base.rows.fragments}
        masks = {
            int(members.fragment): members.mask(name) & self._base.rows.live(known[int(members.fragment)])
            for members in self._assignment.fragments
        }
        return SplitPart(self._storage, self._base, self.name, name, masks)

    def report(
        self, *, columns: Sequence[str] = (), group_by: Sequence[str] = (), time: str | None = None
    ) -> SplitReport:
        """Say how large the parts are, how columns are distributed in them, and what they share.

        Parameters
        ----------
        columns : sequence of str
            Whose distributions are compared, the label first of all.
        group_by : sequence of str
            Columns of groups to look for in several parts.
        time : str, optional
            The column of times to look for overlaps in; the dataset's event time unless given.
        """
        moment = time or self.spec.by_time or self._base.dataset.event_time
        needed = [*columns, *group_by, *self.spec.columns(), *([moment] if moment else [])]
        rows = self._base.rows.restricted(self._covered())
        table = rows.to_table(list(dict.fromkeys(needed)))
        live = np.concatenate([np.empty(0, np.bool_), *map(rows.live, rows.fragments)])
        parts = self._assignment.parts()[live]
        return report_split(self.spec, parts, table, columns=columns, group_by=group_by, time=moment)

    def _covered(self) -> list[Any]:
        known = {fragment.id: fragment for fragment in self._base.rows.fragments}
        return [known[int(members.fragment)] for members in self._assignment.fragments]


def make_split(
    storage: Storage, base: Base, name: str, *, predicates: Sequence[str], author: str, how: Mapping[str, Any]
) -> Split:
    """Share out the rows of a version that meet every predicate, and keep where each went.

    Raises
    ------
    AlreadyExistsError
        When the dataset has a split of that name: where its rows went is settled for good.
    """
    check_split_name(name)
    if _find(storage, base.dataset, name) is not None:
        raise _settled(base, name)
    spec = _make_spec(base, name, how)
    assignment = fit_split(spec, _read_fragments(storage, base, spec, predicates, known=()))
    try:
        _keep(storage, base, assignment, predicates, author, after=0)
    except ConflictError as error:
        raise _settled(base, name) from error
    return Split(storage, base, assignment)


def adopt_split(storage: Storage, base: Base, name: str, sizes: Mapping[str, int], *, author: str) -> Split:
    """Keep a split of rows that lie part after part, as a training set's do; `sizes` gives the rows of each part.

    Raises
    ------
    AlreadyExistsError
        When the dataset has a split of that name.
    UsageError
        When the sizes are not those of the version.
    """
    if sum(sizes.values()) != base.rows.num_rows:
        raise UsageError(f"The parts have {sum(sizes.values())} rows, {base.address} has {base.rows.num_rows}.")
    key = base.dataset.key or base.rows.arrow_schema.names
    spec = SplitSpec(name, dataset=base.dataset.name, train=1, key=key)
    parts = [np.full(size, PART_CODES[part], np.uint8) for part, size in sizes.items()]
    codes = np.concatenate([np.empty(0, np.uint8), *parts])
    members, start = [], 0
    for fragment in base.rows.fragments:
        live = base.rows.live(fragment)
        here = np.full(fragment.num_rows, UNASSIGNED, np.uint8)
        here[live] = codes[start : start + fragment.live_rows]
        members.append(FragmentMembers.from_parts(str(fragment.id), here))
        start += fragment.live_rows
    assignment = SplitAssignment(spec, tuple(members))
    try:
        _keep(storage, base, assignment, (), author, after=0)
    except ConflictError as error:
        raise _settled(base, name) from error
    return Split(storage, base, assignment)


def read_assignment(storage: Storage, dataset: str, name: str) -> SplitAssignment:
    """Return where rows went so far, in whatever version; none is placed now.

    Raises
    ------
    NotFoundError
        When the dataset has no such split.
    """
    document = Registry(storage.catalog, _KIND).find(f"{dataset}#{name}")
    if document is None:
        raise NotFoundError(f"{dataset!r} has no split {name!r}.", hint=f"store.split('{dataset}#name')")
    return SplitAssignment.from_bytes(base64.b64decode(document.body["assignment"]))


def _settled(base: Base, name: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{base.dataset.name!r} has a split {name!r} already.",
        hint=f"Open it at {base.address}#{name}, or choose another name.",
    )


def open_split(storage: Storage, base: Base, name: str, *, author: str) -> Split:
    """Return a split as it stands on a version; rows that came since it was made are placed now.

    Raises
    ------
    NotFoundError
        When the dataset has no split of that name.
    """
    check_split_name(name)
    for _attempt in range(_ATTEMPTS):
        document = _find(storage, base.dataset, name)
        if document is None:
            raise _no_split(storage, base, name)
        assignment = SplitAssignment.from_bytes(base64.b64decode(document.body["assignment"]))
        predicates = document.body["where"]
        extended = _extend(storage, base, assignment, predicates)
        if extended is not None:
            assignment = extended
            try:
                _keep(storage, base, assignment, predicates, author, after=document.version)
            except ConflictError:
                continue  # another reader placed rows first: what it settled is settled
        here = {str(fragment.id) for fragment in base.rows.fragments}
        seen = tuple(members for members in assignment.fragments if members.fragment in here)
        return Split(storage, base, SplitAssignment(assignment.spec, seen, assignment.remembered))
    raise ConflictError(f"The split {name!r} is changing too fast.", retry=True, hint="Try again.")


def _extend(
    storage: Storage, base: Base, assignment: SplitAssignment, predicates: Sequence[str]
) -> SplitAssignment | None:
    """Place the rows that the split has not seen; rows that a compaction moved stay where they were."""
    placed = {members.fragment: members for members in assignment.fragments}
    moved = {
        str(fragment.id): _parts_of_moved(base, fragment, placed)
        for fragment in base.rows.fragments
        if fragment.moved and str(fragment.id) not in placed
    }
    fresh = _read_fragments(storage, base, assignment.spec, predicates, known=set(placed), settled=moved)
    if not fresh:
        return None
    extended = extend_split(assignment, fresh)
    if not moved:
        return extended
    members = tuple(
        _with_settled(each, moved[each.fragment]) if each.fragment in moved else each for each in extended.fragments
    )
    return SplitAssignment(extended.spec, members, extended.remembered)


# For each row of a moved fragment, the part that it has had, and whether it has had one.
_Settled = tuple[NDArray[np.uint8], Mask]


def _parts_of_moved(base: Base, fragment: Fragment, placed: Mapping[str, FragmentMembers]) -> _Settled:
    ids = base.rows.restricted([replace(fragment, deleted=None)]).row_ids()
    origins, positions = ids >> np.uint64(32), (ids & np.uint64(2**32 - 1)).astype(np.int64)
    parts, known = np.full(len(ids), UNASSIGNED, np.uint8), np.zeros(len(ids), np.bool_)
    for origin in np.unique(origins).tolist():
        members = placed.get(str(origin))
        if members is not None:
            here = origins == origin
            parts[here], known[here] = members.parts()[positions[here]], True
    return parts, known


def _with_settled(members: FragmentMembers, settled: _Settled) -> FragmentMembers:
    parts, known = settled
    return FragmentMembers.from_parts(members.fragment, np.where(known, parts, members.parts()))


def _no_split(storage: Storage, base: Base, name: str) -> NotFoundError:
    prefix = f"{base.dataset.name}#"
    names = Registry(storage.catalog, _KIND).list_names()
    known = [each.removeprefix(prefix) for each in names if each.startswith(prefix)]
    return NotFoundError(f"{base.dataset.name!r} has no split {name!r}.", hint=did_you_mean(name, known))


def _make_spec(base: Base, name: str, how: Mapping[str, Any]) -> SplitSpec:
    choices = dict(how)
    if choices.get("by_time") is None and not choices.get("group_by") and not choices.get("duplicates"):
        choices.setdefault("key", base.dataset.key)
    elif base.dataset.key:
        choices.setdefault("key", base.dataset.key if choices.get("by_time") is None else ())
    try:
        return SplitSpec(name, dataset=base.dataset.name, **choices)
    except TypeError as error:
        raise UsageError(
            f"A split is not made that way: {error}.",
            hint="Give train=, validation=, test=, group_by=, stratify=, seed=, or by_time= and boundaries=.",
        ) from error


def _read_fragments(
    storage: Storage,
    base: Base,
    spec: SplitSpec,
    predicates: Sequence[str],
    known: Sequence[str] | set[str],
    settled: Mapping[str, _Settled] | None = None,
) -> list[FragmentRows]:
    """Read what places rows: all rows of the fragments' files, and a mask of those that are to be placed."""
    found = []
    for fragment in base.rows.fragments:
        if str(fragment.id) in known:
            continue
        rows = base.rows.restricted([replace(fragment, deleted=None)])
        chosen = _select(storage, rows, predicates)
        for other in (
            base.rows.live(fragment) if fragment.deleted else None,
            ~settled[str(fragment.id)][1] if settled and str(fragment.id) in settled else None,
        ):
            chosen = other if chosen is None else chosen if other is None else chosen & other
        found.append(FragmentRows(str(fragment.id), rows.to_table(spec.columns()), chosen))
    return found


def _select(storage: Storage, rows: FragmentReader, predicates: Sequence[str]) -> Mask | None:
    if not predicates:
        return None
    chosen = np.ones(rows.num_rows, np.bool_)
    for text in predicates:
        predicate = storage.engine.parse_predicate(text, rows.arrow_schema, where=rows.where)
        columns = list(predicate.columns) or rows.arrow_schema.names[:1]
        schema = pa.schema([rows.arrow_schema.field(name) for name in columns])
        masks = storage.engine.mask(predicate, schema, rows.batches(columns))
        chosen &= np.concatenate([mask.to_numpy(zero_copy_only=False) for mask in masks])
    return chosen


def _find(storage: Storage, dataset: DatasetRecord, name: str) -> Document | None:
    return Registry(storage.catalog, _KIND).find(f"{dataset.name}#{name}")


def _keep(
    storage: Storage, base: Base, assignment: SplitAssignment, predicates: Sequence[str], author: str, *, after: int
) -> None:
    body = {
        "spec": assignment.spec.to_dict(),
        "where": list(predicates),
        "version_id": base.version_id,
        "assignment": base64.b64encode(assignment.to_bytes()).decode(),
    }
    name = f"{base.dataset.name}#{assignment.spec.name}"
    now = format_time(storage.clock())
    Registry(storage.catalog, _KIND).put(name, body, author=author, message=base.address, created_at=now, after=after)

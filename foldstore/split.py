"""The handles of a split and of its parts: which rows of a version are train, validation and test, for good."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_directory import RowDirectory
from foldstore.datastore.storage import Storage
from foldstore.forms import Forms
from foldstore.names import PARTS
from foldstore.split_report import ReportRequest, SplitReport, make_report
from foldstore.views.source import ViewStore
from foldstore.views.splits.assignment import FragmentMembers
from foldstore.views.splits.sharing import Sharing
from foldstore.views.view import View

Mask = NDArray[np.bool_]


class PartSharing(Protocol):
    """Who shares out the rows of a part; `foldstore.split_making` does."""

    def split_part(self, base: "Base", place: str, name: str, how: Mapping[str, Any]) -> "Split":
        """Split the rows of a part alone."""

    def fold_part(self, base: "Base", place: str, name: str, how: Mapping[str, Any]) -> Any:
        """Make folds of the rows of a part alone."""


@dataclass(frozen=True, slots=True)
class Base:
    """The version that a split is looked at on.

    Attributes
    ----------
    laid_out : mapping
        By name the splits whose parts lie one after the other, with the rows of each, as a training set's do.
    """

    dataset: DatasetRecord
    address: str
    version_id: str
    rows: FragmentReader
    sharing: PartSharing
    views: ViewStore | None = None
    laid_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


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
    def base(self) -> Base:
        """The version that the part is looked at on, for the layers that compute inside the store."""
        return self._base

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
        return View(self, engine=self._storage.engine, store=self._base.views)

    def split(self, name: str, **how: Any) -> "Split":
        """Share out the rows of this part alone, for good; the others are unassigned.

        Rows of later versions follow: the outer split places them first.

        Parameters
        ----------
        name : str
            The split's name; it belongs to the dataset, as that of the outer split does.
        **how
            See `Version.split`.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(1000))})
        >>> outer = version.split("outer", train=0.5, test=0.5)
        >>> inner = outer.train.split("inner", train=0.8, validation=0.2)
        >>> inner.train.num_rows + inner.validation.num_rows == outer.train.num_rows
        True
        """
        return self._base.sharing.split_part(self._base, f"{self._split}.{self._part}", name, how)

    def folds(self, name: str, k: int | None = None, **how: Any) -> Any:
        """Share out the rows of this part alone to k folds, for good; returns `foldstore.folds.Folds`.

        Parameters
        ----------
        name : str
            The name; it belongs to the dataset.
        k : int, optional
            How many folds; 5 unless given.
        **how
            See `Version.folds`.
        """
        return self._base.sharing.fold_part(self._base, f"{self._split}.{self._part}", name, {"k": k, **how})


class Split:
    """The assignment of a version's rows to train, validation and test.

    New data never moves an old row: rows of later versions are placed when the split is first asked for there.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(1000))})
    >>> version.split("half", train=0.5, test=0.5)
    <Split n@1#half: train 488, validation 0, test 512>
    """

    def __init__(self, storage: Storage, base: Base, spec: Sharing, members: Sequence[FragmentMembers]) -> None:
        self._storage = storage
        self._base = base
        self._spec = spec
        self._members = tuple(members)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {self.part(part).num_rows:,}" for part in PARTS)
        return f"<Split {self.address}: {sizes}>"

    def _repr_html_(self) -> str:
        # A report would read the data; names and numbers need no escaping.
        rows = "".join(f"<tr><td>{part}</td><td>{self.part(part).num_rows:,}</td></tr>" for part in PARTS)
        return f"<div><code>{self.address}</code><table><tr><th>part</th><th>rows</th></tr>{rows}</table></div>"

    @property
    def name(self) -> str:
        """The split's name."""
        return self._spec.name

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#by_month``."""
        return f"{self._base.address}#{self.name}"

    @property
    def spec(self) -> Sharing:
        """How rows are shared out."""
        return self._spec

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
            fragment: mask & self._base.rows.live(known[fragment]) for fragment, mask in self.masks_of(name).items()
        }
        return SplitPart(self._storage, self._base, self.name, name, masks)

    def masks_of(self, part: str) -> dict[int, Mask]:
        """Return which rows of each fragment's files are in a part, deleted ones too."""
        return {int(members.fragment): members.mask(part) for members in self._members}

    def report(
        self,
        *,
        columns: Sequence[str] | None = None,
        label: str | None = None,
        group_by: Sequence[str] | Sequence[Sequence[str]] = (),
        duplicates: Sequence[str] = (),
        near_duplicates: Sequence[str] = (),
        time: str | None = None,
        accuracy: float = 0.9,
    ) -> SplitReport:
        """Say how large the parts are, whether they come from one distribution, what they share, what test can show.

        Parameters
        ----------
        columns : sequence of str, optional
            Whose distributions are tested; all unless given, none but the label for an empty one.
        label : str, optional
            The column that is predicted: tested first, and its rarer class is looked at.
        group_by : sequence of str, or of sequences of str
            Columns of groups to look for in several parts; those of the split unless given.
        duplicates, near_duplicates : sequence of str
            Columns of features whose repetitions, exact or nearly so, are looked for in train; those of the split
            unless given. Near ones take about 4 s a million rows of 50 characters.
        time : str, optional
            The column of times to look for overlaps in; the dataset's event time unless given.
        accuracy : float
            The accuracy that is expected of a model: how exactly the test part would tell it.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        """
        asked = ReportRequest(
            columns=columns, label=label, group_by=group_by, duplicates=duplicates, near_duplicates=near_duplicates,
            time=time, accuracy=accuracy,
        )  # fmt: skip
        return make_report(self._storage, self, asked)

    def codes(self) -> NDArray[np.uint8]:
        """Return the part of each row that is there: 0 unassigned, 1 train, 2 validation, 3 test."""
        rows = self.rows()
        live = np.concatenate([np.empty(0, np.bool_), *map(rows.live, rows.fragments)])
        parts = np.concatenate([np.empty(0, np.uint8), *(members.parts() for members in self._members)])
        return np.asarray(parts[live])

    def rows(self) -> FragmentReader:
        """Return the reader of the rows that the split covers, for the layers that compute inside the store."""
        known = {fragment.id: fragment for fragment in self._base.rows.fragments}
        return self._base.rows.restricted([known[int(each.fragment)] for each in self._members])

    @property
    def record(self) -> DatasetRecord:
        """What the catalog says of the dataset."""
        return self._base.dataset

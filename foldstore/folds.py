"""The handles of folds: a version's rows shared out to be held out in turn, for good."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import overload

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.split import Base, Split
from foldstore.split_report import ReportRequest
from foldstore.views.splits.fold_assignment import FoldAssignment
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.report import FoldsReport, report_folds


class Fold(Split):
    """One fold: `validation` is held out, `train` is the rest; `test` is empty.

    Of nested folds, `test` is held out, `validation` is empty, and `inner` shares out the rest again: each of its
    folds has `train`, `validation`, and the outer fold as `test`.
    """

    def __init__(
        self, storage: Storage, base: Base, assignment: FoldAssignment, number: int, inner: int | None = None
    ) -> None:
        members = [assignment.members(codes, number, inner) for codes in assignment.fragments]
        super().__init__(storage, base, assignment.spec, members)
        self._folds = assignment
        self._number = number
        self._inner = inner

    def __repr__(self) -> str:
        return super().__repr__().replace("<Split", "<Fold", 1)

    @property
    def name(self) -> str:
        """The name, such as ``cv-3``; of an inner fold ``cv-3-1``."""
        return f"{self._folds.spec.name}-{self._number}" + (f"-{self._inner}" if self._inner else "")

    @property
    def number(self) -> int:
        """Which fold it is, from 1; of an inner fold, which one among its fold's."""
        return self._number if self._inner is None else self._inner

    @property
    def held_out(self) -> str:
        """What is held out: the number as text, or what the column's values stand for."""
        return str(self.number) if self._inner else self._folds.spec.parts[self._number - 1]

    @property
    def inner(self) -> "tuple[Fold, ...]":
        """The inner folds; none unless the folds are nested."""
        count = 0 if self._inner else self._folds.spec.inner
        return tuple(Fold(self._storage, self._base, self._folds, self._number, each) for each in range(1, count + 1))


class Folds(Sequence[Fold]):
    """The assignment of a version's rows to k folds, as a sequence of them.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(1000))})
    >>> folds = version.folds("cv", k=4)
    >>> [fold.validation.num_rows for fold in folds], folds[0].train.address
    ([250, 262, 227, 261], 'n@1#cv-1.train')
    """

    def __init__(self, storage: Storage, base: Base, assignment: FoldAssignment) -> None:
        self._storage = storage
        self._base = base
        self._assignment = assignment

    def __repr__(self) -> str:
        sizes = np.bincount(self.codes(), minlength=len(self) + 1)[1:].tolist()
        shown = ", ".join(f"{size:,}" for size in sizes[:10]) + (", ..." if len(sizes) > 10 else "")
        nested = f", each with {self.spec.inner} inner" if self.spec.inner else ""
        return f"<Folds {self.address}: {len(self)} folds{nested}: {shown}>"

    def _repr_html_(self) -> str:
        sizes = np.bincount(self.codes(), minlength=len(self) + 1)[1:].tolist()
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{size:,}</td></tr>"
            for name, size in zip(self.spec.parts, sizes, strict=True)
        )
        return f"<div><code>{self.address}</code><table><tr><th>fold</th><th>rows</th></tr>{rows}</table></div>"

    def __len__(self) -> int:
        return self.spec.count

    @overload
    def __getitem__(self, place: int) -> Fold: ...
    @overload
    def __getitem__(self, place: slice) -> list[Fold]: ...
    def __getitem__(self, place: int | slice) -> Fold | list[Fold]:
        try:
            numbers = range(1, len(self) + 1)[place]
        except TypeError:
            raise UsageError(
                f"{ascii(place)[:40]} is not the place of a fold.",
                hint=f"folds[0] is the first of {len(self)}; folds.fold('name') finds one by what it is called.",
            ) from None
        if isinstance(numbers, range):
            return [self.fold(number) for number in numbers]
        return self.fold(numbers)

    def __iter__(self) -> Iterator[Fold]:
        return (self.fold(number) for number in range(1, len(self) + 1))

    @property
    def name(self) -> str:
        """The name."""
        return self.spec.name

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#cv``; that of fold 3 is ``flights@5#cv-3``."""
        return f"{self._base.address}#{self.name}"

    @property
    def spec(self) -> FoldSpec:
        """How rows are shared out."""
        return self._assignment.spec

    @property
    def record(self) -> DatasetRecord:
        """What the catalog says of the dataset."""
        return self._base.dataset

    def fold(self, number: int | str, inner: int | None = None) -> Fold:
        """Return a fold by its number, from 1, or by the value that it stands for.

        Parameters
        ----------
        number : int or str
            The number, or of folds by column the value.
        inner : int, optional
            Of nested folds, the number of an inner fold.

        Raises
        ------
        NotFoundError
            When there is no such fold; the error says which there are.
        """
        if isinstance(number, str):
            if number not in self.spec.parts:
                raise NotFoundError(
                    f"{self.address} has no fold {number!r}.", hint=did_you_mean(number, self.spec.parts)
                )
            number = self.spec.parts.index(number) + 1
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError(f"{number!r} is not the number of a fold.", hint=f"Give 1 to {len(self)}.")
        self._assignment.check_number(number, inner)
        return Fold(self._storage, self._base, self._assignment, number, inner)

    def codes(self) -> NDArray[np.uint8]:
        """Return the fold of each row that is there, from 1; 0 for one that is in none."""
        rows = self._rows()
        live = np.concatenate([np.empty(0, np.bool_), *map(rows.live, rows.fragments)])
        return np.asarray(self._assignment.parts()[live])

    def _rows(self) -> FragmentReader:
        known = {fragment.id: fragment for fragment in self._base.rows.fragments}
        return self._base.rows.restricted([known[int(each.fragment)] for each in self._assignment.fragments])

    def report(
        self,
        *,
        columns: Sequence[str] = (),
        label: str | None = None,
        group_by: Sequence[str] | Sequence[Sequence[str]] = (),
        duplicates: Sequence[str] = (),
        time: str | None = None,
    ) -> FoldsReport:
        """Say how large the folds are, how columns are distributed in them, and what they share.

        Each fold has a report of its own, that tests its train part against what is held out: ``folds[0].report()``.

        Parameters
        ----------
        columns : sequence of str
            Whose distributions are shown.
        label : str, optional
            The column that is predicted, shown first.
        group_by : sequence of str, or of sequences of str
            Columns of groups to look for in several folds; their own unless given.
        duplicates : sequence of str
            Columns of features to look for in several folds; their own unless given.
        time : str, optional
            The column of times whose ranges are shown; the dataset's event time unless given.
        """
        asked = ReportRequest(columns=columns, label=label, group_by=group_by, duplicates=duplicates, time=time)
        moment = asked.time or self.spec.by_time or self._base.dataset.event_time
        needed = [*asked.named(), *asked.looked_through(), *self.spec.columns(), *([moment] if moment else [])]
        table = self._rows().to_table(list(dict.fromkeys(needed)))
        return report_folds(
            self.spec,
            self.codes(),
            table,
            columns=asked.named(),
            group_by=asked.group_by,
            duplicates=asked.duplicates,
            time=moment,
        )

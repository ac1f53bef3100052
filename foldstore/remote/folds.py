"""The handles of folds on a server: a version's rows shared out to be held out in turn, for good."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import read_folds_report
from foldstore.remote.split import RemoteSplit, looked_for, plain_argument, read_codes, split_path
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.report import FoldsReport

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion


class RemoteFold(RemoteSplit):
    """One fold on a server: `validation` is held out, `train` is the rest; see `foldstore.folds.Fold`."""

    NOUN = "fold"

    def __init__(
        self, version: "RemoteVersion", folds: FoldSpec, data: Mapping[str, Any], number: int, inner: int | None
    ) -> None:
        super().__init__(version, _name_of(folds, number, inner), data)
        self._folds = folds
        self._number = number
        self._inner = inner

    @property
    def number(self) -> int:
        """Which fold it is, from 1; of an inner fold, which one among its fold's."""
        return self._number if self._inner is None else self._inner

    @property
    def held_out(self) -> str:
        """What is held out: the number as text, or what the column's values stand for."""
        return str(self.number) if self._inner else self._folds.parts[self._number - 1]

    @property
    def inner(self) -> "tuple[RemoteFold, ...]":
        """The inner folds; none unless the folds are nested."""
        count = 0 if self._inner else self._folds.inner
        return tuple(find_fold(self._version, self._folds, self._number, each) for each in range(1, count + 1))


class RemoteFolds(RemoteHandle, Sequence[RemoteFold]):
    """The assignment of a version's rows to k folds on a server, as a sequence of them."""

    NOUN = "folds"

    def __init__(self, version: "RemoteVersion", data: Mapping[str, Any]) -> None:
        self._version = version
        self._data = data
        self._spec = FoldSpec.from_dict(data["spec"])

    def __repr__(self) -> str:
        sizes = [each["rows"] for each in self._data["folds"]]
        shown = ", ".join(f"{size:,}" for size in sizes[:10]) + (", ..." if len(sizes) > 10 else "")
        nested = f", each with {self.spec.inner} inner" if self.spec.inner else ""
        return f"<Folds {self.address}: {len(self)} folds{nested}: {shown}>"

    def __len__(self) -> int:
        return self.spec.count

    @overload
    def __getitem__(self, place: int) -> RemoteFold: ...
    @overload
    def __getitem__(self, place: slice) -> list[RemoteFold]: ...
    def __getitem__(self, place: int | slice) -> RemoteFold | list[RemoteFold]:
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

    def __iter__(self) -> Iterator[RemoteFold]:
        return (self.fold(number) for number in range(1, len(self) + 1))

    @property
    def name(self) -> str:
        """The name."""
        return self.spec.name

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#cv``; that of fold 3 is ``flights@5#cv-3``."""
        return f"{self._version.address}#{self.name}"

    @property
    def spec(self) -> FoldSpec:
        """How rows are shared out."""
        return self._spec

    @property
    def record(self) -> DatasetFacts:
        """What the catalog says of the dataset."""
        return self._version.dataset

    def fold(self, number: int | str, inner: int | None = None) -> RemoteFold:
        """Return a fold by its number, from 1, or by the value that it stands for."""
        if isinstance(number, str):
            if number not in self.spec.parts:
                raise NotFoundError(
                    f"{self.address} has no fold {number!r}.", hint=did_you_mean(number, self.spec.parts)
                )
            number = self.spec.parts.index(number) + 1
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError(f"{number!r} is not the number of a fold.", hint=f"Give 1 to {len(self)}.")
        return find_fold(self._version, self.spec, number, inner)

    def codes(self) -> NDArray[np.uint8]:
        """Return the fold of each row that is there, from 1; 0 for one that is in none."""
        return read_codes(self._version.server, _path(self._version, self.name, "codes"))

    def report(
        self,
        *,
        columns: Sequence[str] = (),
        label: str | None = None,
        group_by: Sequence[str] | Sequence[Sequence[str]] = (),
        duplicates: Sequence[str] = (),
        time: str | None = None,
    ) -> FoldsReport:
        """Let the server compare the folds; see `foldstore.folds.Folds.report`."""
        asked = looked_for(columns, label, group_by, duplicates, time)
        return read_folds_report(self._version.server.get(_path(self._version, self.name, "report"), **asked))


def find_fold(version: "RemoteVersion", folds: FoldSpec, number: int, inner: int | None) -> RemoteFold:
    """Return one fold as it stands on a version."""
    found = version.server.get(split_path(version, _name_of(folds, number, inner)))
    return RemoteFold(version, folds, found, number, inner)


def find_folds(version: "RemoteVersion", name: str) -> RemoteFolds:
    """Return folds of a dataset as they stand on a version."""
    return RemoteFolds(version, version.server.get(_path(version, name)))


def make_folds(
    version: "RemoteVersion", predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None
) -> RemoteFolds:
    """Share out rows of a version, or of a part, to folds."""
    given = {role: plain_argument(value) for role, value in how.items() if value is not None}
    asked = {"name": name, "where": list(predicates), "part": within, **given}
    return RemoteFolds(version, version.server.change(version.place("folds"), asked))


def _name_of(folds: FoldSpec, number: int, inner: int | None) -> str:
    return f"{folds.name}-{number}" + ("" if inner is None else f"-{inner}")


def _path(version: "RemoteVersion", name: str, *parts: str) -> str:
    return path_of("datasets", version.dataset.name, "versions", version.number, "folds", name, *parts)

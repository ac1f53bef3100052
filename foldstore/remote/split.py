"""The handles of a remote split and of its parts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import NotFoundError
from foldstore.forms import Forms
from foldstore.names import PARTS
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import SEAM, RemoteHandle
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import joined_names, read_split_report
from foldstore.remote.server import Server, rows_request
from foldstore.remote.view import RemoteView
from foldstore.split_report import SplitReport
from foldstore.views.source import Source
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.sharing import Sharing
from foldstore.views.splits.split import SplitSpec

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion


class RemotePart(RemoteHandle, Forms):
    """The rows of one part of a split on a server, read like a version."""

    NOUN = "part"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("base", "masks", "find_rows", "column_sizes"), SEAM),
    }

    def __init__(self, version: "RemoteVersion", split: str, part: str, rows: int) -> None:
        self._version = version
        self._split = split
        self._part = part
        self._rows = rows

    def __repr__(self) -> str:
        return f"<SplitPart {self.address}: {self.num_rows:,} rows>"

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#by_month.train``."""
        return f"{self._version.address}#{self._split}.{self._part}"

    @property
    def version_id(self) -> str:
        """The identity: that of the version, the split and the part."""
        return f"{self._version.version_id}#{self._split}.{self._part}"

    @property
    def split_name(self) -> str:
        """The name of the split."""
        return self._split

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self._version.dataset.name

    @property
    def record(self) -> DatasetFacts:
        """What the catalog says of the dataset."""
        return self._version.dataset

    @property
    def base_version_id(self) -> str:
        """The identity of the version that the part is looked at on."""
        return self._version.version_id

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._version.arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._rows

    @property
    def generation(self) -> int:
        """Always 0: what is found out about rows is found out anew each time."""
        return 0

    def view(self) -> RemoteView:
        """Return the view of the part's rows, to filter and to read in other forms."""
        server = self._version.server
        return RemoteView(cast("Source", self), engine=server.engine, store=server.store)

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch, as they are sent."""
        return self.view().select_batches(columns)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as a table."""
        view = self.view() if columns is None else self.view().select(*columns)
        return view.to_arrow()

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Do what `to_arrow` does: views read parts by this name."""
        return self.to_arrow(columns)

    def split(self, name: str, **how: Any) -> "RemoteSplit":
        """Share out the rows of this part alone, for good; see `foldstore.split.SplitPart.split`."""
        return self.split_where((), name, how)

    def folds(self, name: str, k: int | None = None, **how: Any) -> Any:
        """Share out the rows of this part alone to k folds, for good."""
        return self.fold_where((), name, {"k": k, **how})

    def split_where(self, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> "RemoteSplit":
        """Split the rows that meet every predicate; `View.split` calls this."""
        return self._version.split_where(predicates, name, how, within=f"{self._split}.{self._part}")

    def fold_where(self, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        """Make folds of the rows that meet every predicate; `View.folds` calls this."""
        return self._version.fold_where(predicates, name, how, within=f"{self._split}.{self._part}")


class RemoteSplit(RemoteHandle):
    """The assignment of a version's rows to train, validation and test, on a server."""

    NOUN = "split"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = dict.fromkeys(("masks_of", "rows"), SEAM)

    def __init__(self, version: "RemoteVersion", name: str, data: Mapping[str, Any]) -> None:
        self._version = version
        self._name = name
        self._data = data

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {self._data['rows'][part]:,}" for part in PARTS)
        return f"<Split {self.address}: {sizes}>"

    @property
    def name(self) -> str:
        """The split's name."""
        return self._name

    @property
    def address(self) -> str:
        """The address, such as ``flights@5#by_month``."""
        return f"{self._version.address}#{self._name}"

    @property
    def record(self) -> DatasetFacts:
        """What the catalog says of the dataset."""
        return self._version.dataset

    @cached_property
    def spec(self) -> Sharing:
        """How rows are shared out."""
        kind = FoldSpec if "k" in self._data["spec"] else SplitSpec
        return kind.from_dict(self._data["spec"])

    @property
    def train(self) -> RemotePart:
        """The rows to learn from."""
        return self.part("train")

    @property
    def validation(self) -> RemotePart:
        """The rows to choose by."""
        return self.part("validation")

    @property
    def test(self) -> RemotePart:
        """The rows to be judged on."""
        return self.part("test")

    def part(self, name: str) -> RemotePart:
        """Return a part by name."""
        if name not in PARTS:
            raise NotFoundError(f"A split has no part {name!r}.", hint=f"Its parts are {', '.join(PARTS)}.")
        return RemotePart(self._version, self._name, name, self._data["rows"][name])

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
        """Let the server compare the parts; see `foldstore.split.Split.report`."""
        asked = {
            **looked_for(columns, label, group_by, duplicates, time),
            "near_duplicates": joined_names(near_duplicates or None),
            "accuracy": accuracy,
        }
        return read_split_report(self._version.server.get(self._path("report"), **asked))

    def codes(self) -> NDArray[np.uint8]:
        """Return the part of each row that is there: 0 unassigned, 1 train, 2 validation, 3 test."""
        return read_codes(self._version.server, self._path("codes"))

    def _path(self, *parts: str) -> str:
        return split_path(self._version, self._name, *parts)


def read_codes(server: Server, path: str) -> NDArray[np.uint8]:
    """Return what a route says of each row of a version, in order."""
    found: NDArray[np.uint8] = server.table(rows_request(path))["code"].to_numpy()
    return found


def looked_for(
    columns: Sequence[str] | None,
    label: str | None,
    group_by: Sequence[str] | Sequence[Sequence[str]],
    duplicates: Sequence[str],
    time: str | None,
) -> dict[str, Any]:
    """Return what a report is asked for, as its route takes it."""
    is_nested = any(not isinstance(each, str) for each in group_by)
    groups = json.dumps([list(each) for each in group_by]) if is_nested else joined_names(cast("Any", group_by) or None)
    return {
        "columns": joined_names(columns),
        "label": label,
        "group_by": groups,
        "duplicates": joined_names(duplicates or None),
        "time": time,
    }


def split_path(version: "RemoteVersion", name: str, *parts: str) -> str:
    """Return the path of a split."""
    return path_of("datasets", version.dataset.name, "versions", version.number, "splits", name, *parts)


def find_split(version: "RemoteVersion", name: str) -> RemoteSplit:
    """Return a split of a dataset, or one fold, as it stands on a version."""
    return RemoteSplit(version, name, version.server.get(split_path(version, name)))


def make_split(
    version: "RemoteVersion", predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None
) -> RemoteSplit:
    """Share out rows of a version, or of a part."""
    plain = {role: plain_argument(value) for role, value in how.items()}
    asked = {"name": name, "where": list(predicates), "part": within, **plain}
    return RemoteSplit(version, name, version.server.change(version.place("split"), asked))


def plain_argument(value: Any) -> Any:
    """Return a share, an instant or a span as it is written."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {name: plain_argument(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [plain_argument(each) for each in value]
    return str(value)

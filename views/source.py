"""What views need from the layers that wire them: a pinned version to read, a place to save."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.comparison import Comparison

if TYPE_CHECKING:
    from foldstore.views.view import View


class RowFinder(Protocol):
    """Rows that can be reached by rank; see `foldstore.datastore.row_directory.RowDirectory`."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    @property
    def num_batches(self) -> int:
        """In how many record batches they lie."""

    def scan(
        self, columns: Sequence[str], comparisons: Sequence[Comparison] = ()
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the rank of a first row, and rows from there on, where a row may meet all comparisons."""

    def likely(self, comparisons: Sequence[Comparison]) -> list[int]:
        """Return the numbers of the record batches in which a row may meet all comparisons."""

    def count_rows(self, batches: Sequence[int]) -> int:
        """Count the rows in some record batches."""

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a range of ranks."""

    def take(self, ranks: NDArray[np.int64], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield rows by rank; ranks ascend, and may be asked for more than once."""

    def row_ids(self, ranks: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the row ids of ranks that ascend."""


class Source(Protocol):
    """A pinned version, or a part of one, as a view sees it; what it holds never changes."""

    @property
    def address(self) -> str:
        """The address with its number, such as ``flights@5``."""

    @property
    def version_id(self) -> str:
        """The identity of the version; the same id means the same rows in the same order."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    @property
    def generation(self) -> int:
        """A number that grows when cells were sealed or rows erased: what was found out about rows is out of date."""

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some columns (all unless given), memory-mapped, without a copy."""

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the same rows batch by batch; a batch that is not reached is not touched."""

    def find_rows(self) -> RowFinder:
        """Return what reaches rows by rank."""

    def column_sizes(self, columns: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes that columns take in the mapped files; no value is read for it."""


class ViewStore(Protocol):
    """What a view asks of the store that it belongs to."""

    def save_view(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> int:
        """Publish a specification under a name; return the number of the view's version."""

    def save_draft(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> None:
        """Keep a specification under a name, in the place of the draft before."""

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        """Split the rows of a version that meet every predicate; return the split's handle."""

    def check_leakage(self, view: "View") -> Any:
        """Look for rows of test pools, and for parts of splits side by side."""

    def warn_of_leakage(self, view: "View") -> None:
        """Warn of them."""

    def repin_view(self, view: "View") -> "View":
        """Return the same view over what its addresses stand for now."""

    def fold_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        """Share the rows of a version that meet every predicate out to folds; return their handle."""

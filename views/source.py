"""What views need from the layers that wire them: a pinned version to read, a place to save."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa


class Source(Protocol):
    """A pinned version, as a view sees it; what it holds never changes."""

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

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some columns (all unless given), memory-mapped, without a copy."""

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the same rows batch by batch; a batch that is not reached is not touched."""

    def column_sizes(self, columns: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes that columns take in the mapped files; no value is read for it."""


class ViewStore(Protocol):
    """Where a view's specification is kept."""

    def save_view(self, name: str, spec: Mapping[str, Any]) -> int:
        """Keep a specification under a name; return the number of the new version."""

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        """Split the rows of a version that meet every predicate; return the split's handle."""

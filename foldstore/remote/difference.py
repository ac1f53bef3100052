"""The difference of two versions on a server: what differs comes at once, the rows when they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from foldstore.datastore.diff import ColumnChanges, VersionDiff
from foldstore.datastore.row_pairs import RowPairs
from foldstore.remote.connection import path_of
from foldstore.remote.server import Server, rows_request


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDiff(VersionDiff):
    """The difference of two versions; its verbs are those of `foldstore.datastore.diff.VersionDiff`."""

    added: Any = field(default=None, repr=False)
    removed: Any = field(default=None, repr=False)
    changed: tuple[RowPairs, ...] = field(default=(), repr=False)
    server: Server = field(repr=False)
    dataset: str = field(repr=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], server: Server, dataset: str) -> "RemoteDiff":
        """Read what a route says."""
        rows = data["rows"]
        return cls(
            before=data["before"],
            after=data["after"],
            key=tuple(data["key"]),
            columns=_read_columns(data["columns"]),
            num_added=rows["added"],
            num_removed=rows["removed"],
            num_changed=rows["changed"],
            num_unchanged=rows["unchanged"],
            changed_columns=dict(data["changed_columns"]),
            server=server,
            dataset=dataset,
        )

    def rows_added(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Return the rows that only the second version has."""
        return self._rows("added", columns, limit)

    def rows_removed(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Return the rows that only the first version has."""
        return self._rows("removed", columns, limit)

    def rows_changed(self, limit: int | None = None) -> pa.Table:
        """Return the rows whose values differ; see `foldstore.datastore.diff.VersionDiff.rows_changed`."""
        return self._rows("changed", None, limit)

    def _rows(
        self, kind: Literal["added", "removed", "changed"], columns: Sequence[str] | None, limit: int | None
    ) -> pa.Table:
        path = path_of("datasets", self.dataset, verb="diff-rows")
        asked: dict[str, Any] = {"before": _ref(self.before), "after": _ref(self.after), "rows": kind, "limit": limit}
        asked["columns"] = None if columns is None else list(columns)
        asked = {name: value for name, value in asked.items() if value is not None}
        return self.server.table(rows_request(path, data=asked))


def _read_columns(data: Mapping[str, Any]) -> ColumnChanges:
    return ColumnChanges(
        added=tuple(data["added"].items()),
        dropped=tuple(data["dropped"].items()),
        renamed=tuple(data["renamed"].items()),
        retyped=tuple((name, *ends) for name, ends in data["retyped"].items()),
        redefined=tuple((name, *ends) for name, ends in data["redefined"].items()),
        replaced=tuple(data["replaced"]),
    )


def _ref(address: str) -> str:
    return address.rpartition("@")[2]

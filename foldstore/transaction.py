"""The handle of a transaction: several changes of a dataset that become one version, or none."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from foldstore.datastore.add_columns import AddColumns
from foldstore.datastore.alter_columns import DropColumns, RenameColumns, WidenColumns
from foldstore.datastore.append import Append, Fit
from foldstore.datastore.arrow_schema import plain_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import Transaction
from foldstore.datastore.delete import DeleteKeys, DeleteWhere
from foldstore.datastore.draft import Step
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.source import key_table, open_source
from foldstore.datastore.join_columns import JoinColumns
from foldstore.datastore.overwrite import Overwrite
from foldstore.datastore.upsert import Upsert
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.version import Version


class DatasetTransaction:
    """Changes under way; `Dataset.transaction` begins one, leaving the block commits it, an exception drops it.

    Each change is checked, and written to files, when it is called; nobody sees anything before the end.

    Attributes
    ----------
    version : Version or None
        What was committed, once the block was left.
    """

    def __init__(self, opened: Transaction, to_version: "Callable[[VersionRecord], Version]") -> None:
        self._opened = opened
        self._to_version = to_version
        self._entered = False
        self.version: Version | None = None

    def __enter__(self) -> Self:
        self._opened.__enter__()
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                done = self._opened.done
                self.version = self._to_version(done if done is not None else self._opened.commit())
        except BaseException as failure:
            self._opened.__exit__(type(failure), failure, failure.__traceback__)
            raise
        else:
            self._opened.__exit__(kind, error, trace)
        finally:
            self._entered = False

    @property
    def num_rows(self) -> int:
        """How many rows the version would have now."""
        return sum(fragment.live_rows for fragment in self._opened.draft.fragments)

    def append(self, data: Any, *, order_by: Sequence[str] = (), evolve: bool = False, **how: Any) -> None:
        """Add rows; see `Dataset.append`."""
        self._add(Append(self._open(data, how), Fit(order_by=order_by, evolve=evolve)))

    def overwrite(self, data: Any, *, order_by: Sequence[str] = (), **how: Any) -> None:
        """Put rows in the place of all; see `Dataset.overwrite`."""
        self._add(Overwrite(self._open(data, how), Fit(order_by=order_by)))

    def upsert(self, data: Any, **how: Any) -> None:
        """Put rows in the place of those with their keys, and add the others; see `Dataset.upsert`."""
        self._add(Upsert(self._open(data, how)))

    def delete(self, where: str | None = None, *, keys: Any = None) -> None:
        """Delete rows; see `Dataset.delete`."""
        schema = self._opened.draft.schema
        known = plain_schema(schema) if schema is not None else None
        self._add(delete_step(where, keys, known, self._opened.dataset))

    def add_columns(self, columns: Any) -> None:
        """Add columns; see `Dataset.add_columns`."""
        schema = self._opened.draft.schema
        self._add(add_columns_step(columns, plain_schema(schema) if schema is not None else None))

    def drop_columns(self, columns: Sequence[str]) -> None:
        """Drop columns; see `Dataset.drop_columns`."""
        self._add(DropColumns(columns))

    def rename_columns(self, names: Mapping[str, str]) -> None:
        """Rename columns; see `Dataset.rename_columns`."""
        self._add(RenameColumns(names))

    def widen_columns(self, types: Mapping[str, Any]) -> None:
        """Widen columns; see `Dataset.widen_columns`."""
        self._add(WidenColumns(types))

    def _open(self, data: Any, how: Mapping[str, Any]) -> BatchSource:
        schema = self._opened.draft.schema
        return open_source(data, plain_schema(schema) if schema is not None else None, **how)

    def _add(self, step: Step) -> None:
        if not self._entered:
            raise not_open()
        if self._opened.done is None:
            self._opened.add(step)


def not_open() -> UsageError:
    """Build the error for a change that is called outside of its transaction's block."""
    return UsageError(
        "The transaction is not open.", hint="Write `with dataset.transaction() as change:`.", code="not-open"
    )


def check_delete(where: str | None, keys: Any) -> None:
    """Refuse to delete what is not said, or is said twice."""
    if (where is None) == (keys is None):
        raise UsageError(
            "delete() needs a condition or keys.", hint="Write delete(\"carrier = 'XX'\") or delete(keys={...})."
        )


def are_expressions(columns: Any) -> bool:
    """Say whether columns that are to be added are given by expressions; else they are rows."""
    return isinstance(columns, Mapping) and all(isinstance(text, str) for text in columns.values())


def delete_step(where: str | None, keys: Any, known: pa.Schema | None, dataset: DatasetRecord) -> Step:
    """Return the step of `DatasetWriting.delete`."""
    check_delete(where, keys)
    if where is not None:
        return DeleteWhere(where)
    return DeleteKeys(key_table(keys, known if known is not None else pa.schema([]), dataset.key))


def add_columns_step(columns: Any, known: pa.Schema | None) -> Step:
    """Return the step of `DatasetWriting.add_columns`."""
    if are_expressions(columns):
        return AddColumns(columns)
    source = open_source(columns, known)
    return JoinColumns(pa.Table.from_batches(source.batches, source.schema))

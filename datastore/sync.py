"""Sync: make the rows those of a source, by key, and commit the difference alone.

The incoming rows are put aside while they are compared with those that are there; what is the same is not written.
Rows are matched by key, by value; the other columns are compared by a 64-bit hash.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.append import WrittenRows, fitted_batches
from foldstore.datastore.commit import Transaction
from foldstore.datastore.delete import delete_rows
from foldstore.datastore.draft import Draft
from foldstore.datastore.fragment_writer import write_fragments
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.key_search import KeySet
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.hashing import Hashes, combine, hash_column
from foldstore.errors import UsageError
from foldstore.types import Operation

_Mask = NDArray[np.bool_]


class Sync:
    """The step that adds, changes and deletes rows until they are those of a source.

    It is not applied again when another writer was faster: what that one did would be undone unseen.

    Parameters
    ----------
    source : BatchSource
        All rows that there shall be.
    delete_missing : bool
        Whether rows whose key the source does not have are deleted.
    """

    operation: ClassVar = Operation.UPSERT
    replays: ClassVar = False

    def __init__(self, source: BatchSource, *, delete_missing: bool) -> None:
        self._source = source
        self._delete_missing = delete_missing
        self._compared: _Compared | None = None

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Compare, write what differs, and mark what it replaces.

        Raises
        ------
        UsageError
            When the dataset has no key, or a row's key is null or NaN.
        RefusedError
            When a row that would go belongs to a test pool.
        """
        name, key = transaction.dataset.name, transaction.dataset.key
        if not key:
            raise UsageError(
                f"{name!r} has no key to find rows by.", hint="overwrite() replaces all rows.", code="no-key"
            )
        compared = self._compared = self._compared or _compare(draft, transaction, self._source)
        hits = dict(compared.changed)
        if self._delete_missing:
            for fragment_id, positions in compared.missing.items():
                both = [hits.get(fragment_id, np.empty(0, np.int64)), positions]
                hits[fragment_id] = np.sort(np.concatenate(both))
        transaction.note("sync", compared.counts(delete_missing=self._delete_missing))
        ready = compared.written.put_on(draft)
        return delete_rows(ready, transaction, hits, act="replace").with_fragments(*compared.written.fragments)


class _Compared:
    """What is to do: rows that were written, and those of the head that differ or are missing, by fragment."""

    def __init__(self, written: WrittenRows, incoming: int, unchanged: int) -> None:
        self.written = written
        self.changed: dict[int, NDArray[np.int64]] = {}
        self.missing: dict[int, NDArray[np.int64]] = {}
        self._incoming = incoming
        self._unchanged = unchanged

    def counts(self, *, delete_missing: bool) -> dict[str, int]:
        changed = sum(len(each) for each in self.changed.values())
        deleted = sum(len(each) for each in self.missing.values()) if delete_missing else 0
        added = self._incoming - self._unchanged - changed
        return {"added": added, "changed": changed, "deleted": deleted, "unchanged": self._unchanged}


def _compare(draft: Draft, transaction: Transaction, source: BatchSource) -> _Compared:
    storage, name, key = transaction.storage, transaction.dataset.name, transaction.dataset.key
    plan, batches = fitted_batches(transaction, draft, source)
    aside = transaction.new_path().with_suffix(".arrows")
    keys, content = _put_aside(aside, plan.written, batches, key)
    wanted = KeySet(key, keys)
    wanted.refuse_ambiguous(name)
    same = np.zeros(len(content), np.bool_)
    changed: dict[int, NDArray[np.int64]] = {}
    missing: dict[int, NDArray[np.int64]] = {}
    if draft.schema is not None:
        reader = draft.reader(storage, transaction.dataset)
        missing = {each.id: np.flatnonzero(reader.live(each)) for each in reader.fragments}
        for found in wanted.find(reader):
            equal = _hash_found(reader, found.fragment.id, plan.written.names)[found.positions] == content[found.wanted]
            same[found.wanted[equal]] = True
            changed[found.fragment.id] = found.positions[~equal]
            missing[found.fragment.id] = np.setdiff1d(missing[found.fragment.id], found.positions, assume_unique=True)
    kept = _filtered(aside, ~same)
    progress = transaction.options.progress
    staged = write_fragments(storage.objects.files, transaction.new_path, plan.written, kept, progress)
    fragments = transaction.publish_fragments(staged, plan.written)
    written = WrittenRows(draft.schema_id, draft.next_field, plan.schema, plan.next_field, fragments)
    compared = _Compared(written, len(content), int(same.sum()))
    compared.changed = {fragment_id: each for fragment_id, each in changed.items() if len(each)}
    compared.missing = {fragment_id: each for fragment_id, each in missing.items() if len(each)}
    return compared


def _put_aside(
    path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch], key: tuple[str, ...]
) -> tuple[pa.Table, Hashes]:
    keys, hashes = [], [np.empty(0, np.uint64)]
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            keys.append(batch.select(list(key)))
            hashes.append(_hash_content(batch))
    kinds = pa.schema([schema.field(name) for name in key])
    return pa.Table.from_batches(keys, kinds), np.concatenate(hashes)


def _filtered(path: Path, kept: _Mask) -> Iterator[pa.RecordBatch]:
    start = 0
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as reader:
        for batch in reader:
            here = kept[start : start + batch.num_rows]
            start += batch.num_rows
            if here.any():
                yield batch.filter(pa.array(here))


def _hash_found(reader: FragmentReader, fragment_id: int, names: list[str]) -> Hashes:
    """Return the content hash of each row of a fragment's files; those of deleted rows mean nothing."""
    (fragment,) = [each for each in reader.fragments if each.id == fragment_id]
    hashes = np.zeros(fragment.num_rows, np.uint64)
    known = [name for name in names if name in reader.arrow_schema.names]
    live = [_hash_content(_in_order(batch, names)) for batch in reader.restricted([fragment]).batches(known)]
    hashes[reader.live(fragment)] = np.concatenate([np.empty(0, np.uint64), *live])
    return hashes


def _in_order(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """Return the columns as the source has them; one that the rows do not have yet is null."""
    columns = [batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows) for name in names]
    return pa.RecordBatch.from_arrays(columns, names)


def _hash_content(batch: pa.RecordBatch) -> Hashes:
    return combine([_hash_any(column) for column in batch.columns])


def _hash_any(column: pa.Array) -> Hashes:
    try:
        return hash_column(column)
    except UsageError:  # a nested value: the hash of what it reads as
        return hash_column(pa.array([_written(value) for value in column.to_pylist()], pa.string()))


def _written(value: Any) -> str | None:
    return None if value is None else repr(value)

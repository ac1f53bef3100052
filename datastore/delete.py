"""Delete: rows that meet a condition, or have one of some keys, are marked in the bitmaps of their fragments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.key_search import read_keys
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_guard import refuse_sealed_rows
from foldstore.types import Operation

_POSITION_BITS = 32
Positions = NDArray[np.int64]


class DeleteWhere:
    """The step that deletes the rows for which an SQL condition is true; null counts as not true.

    It looks at all rows of whatever head it is applied to, so rows that others append meanwhile are judged too.
    """

    operation: ClassVar = Operation.DELETE
    replays: ClassVar = True

    def __init__(self, condition: str) -> None:
        self._condition = condition

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Mark the rows.

        Raises
        ------
        InvalidExpressionError
            When the condition does not parse, or fails on a row.
        RefusedError
            When a row belongs to a test pool.
        """
        name = transaction.dataset.name
        reader = draft.reader(transaction.storage, transaction.dataset)
        engine = transaction.storage.engine
        predicate = engine.parse_predicate(self._condition, reader.arrow_schema, where=f"delete() on {name!r}")
        columns = list(predicate.columns) or reader.arrow_schema.names[:1]
        schema = pa.schema([reader.arrow_schema.field(column) for column in columns])
        hits: dict[int, Positions] = {}
        done = 0
        for fragment in reader.fragments:
            batches = reader.restricted([fragment]).batches(columns)
            masks = [mask.to_numpy(zero_copy_only=False) for mask in engine.mask(predicate, schema, batches)]
            chosen = np.concatenate([np.empty(0, np.bool_), *masks])
            if chosen.any():
                hits[fragment.id] = np.flatnonzero(reader.live(fragment))[chosen]
            done += fragment.num_rows
            if transaction.options.progress:
                transaction.options.progress(done, reader.num_rows)
        return delete_rows(draft, transaction, hits, act="delete")


class DeleteKeys:
    """The step that deletes the rows with some keys; a key that no row has is no error."""

    operation: ClassVar = Operation.DELETE
    replays: ClassVar = True

    def __init__(self, keys: pa.Table) -> None:
        self._keys = keys

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Mark the rows.

        Raises
        ------
        UsageError
            When the dataset has no key, or a key is null.
        RefusedError
            When a row belongs to a test pool.
        """
        reader = draft.reader(transaction.storage, transaction.dataset)
        key, name = transaction.dataset.key, transaction.dataset.name
        wanted = read_keys(key, reader.arrow_schema, self._keys, name)
        hits = {found.fragment.id: found.positions for found in wanted.find(reader)}
        return delete_rows(draft, transaction, hits, act="delete")


def delete_rows(draft: Draft, transaction: Transaction, hits: Mapping[int, Positions], *, act: str) -> Draft:
    """Mark rows as deleted, by fragment id and position; a fragment without any row left is listed no more.

    Raises
    ------
    RefusedError
        When a row belongs to a test pool.
    """
    storage = transaction.storage
    reader = draft.reader(storage, transaction.dataset)
    places = [np.uint64(i << _POSITION_BITS) + here.astype(np.uint64) for i, here in hits.items()]
    refuse_sealed_rows(storage, transaction.dataset, np.concatenate([np.empty(0, np.uint64), *places]), act=act)
    fragments = [
        _without(transaction, reader, fragment, hits[fragment.id]) if fragment.id in hits else fragment
        for fragment in draft.fragments
    ]
    return replace(draft, fragments=tuple(fragment for fragment in fragments if fragment.live_rows))


def _without(transaction: Transaction, reader: FragmentReader, fragment: Fragment, positions: Positions) -> Fragment:
    gone = ~reader.live(fragment)
    gone[positions] = True
    return replace(fragment, deleted=transaction.storage.deletions.keep(gone))

"""Upsert: rows with a known key take the place of the row that has it, others are appended."""

from typing import ClassVar

from foldstore.datastore.append import WrittenRows, write_rows
from foldstore.datastore.commit import Transaction
from foldstore.datastore.delete import delete_rows
from foldstore.datastore.draft import Draft
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.key_search import KeySet
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import UsageError
from foldstore.types import Operation


class Upsert:
    """The step that deletes the rows whose keys a source has, and appends the source's rows, in one commit.

    The new rows are written once. When another writer was faster, only the search for their keys is done again.
    """

    operation: ClassVar = Operation.UPSERT
    replays: ClassVar = True

    def __init__(self, source: BatchSource) -> None:
        self._source = source
        self._written: WrittenRows | None = None
        self._keys: KeySet | None = None

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the rows, once; mark those that they replace.

        Raises
        ------
        UsageError
            When the dataset has no key, or a row's key is null or NaN.
        DuplicateKeyError
            When two rows of the source have one key.
        RefusedError
            When a row that would be replaced belongs to a test pool.
        ConflictError
            When the rows were written for other columns than there are now.
        """
        name, key = transaction.dataset.name, transaction.dataset.key
        if not key:
            raise UsageError(
                f"{name!r} has no key to find rows by.",
                hint="create_dataset(key=[...]) gives a dataset its key; append() takes rows without.",
                code="no-key",
            )
        if self._written is None:
            self._written = write_rows(transaction, draft, self._source)
        ready = self._written.put_on(draft)
        if self._keys is None:
            rows = FragmentReader(
                transaction.storage, transaction.dataset.id, self._written.fragments, self._written.schema, name
            )
            self._keys = KeySet(key, rows.to_table(key))
            self._keys.refuse_ambiguous(name)
        hits = {}
        if draft.schema is not None:
            reader = draft.reader(transaction.storage, transaction.dataset)
            hits = {found.fragment.id: found.positions for found in self._keys.find(reader)}
        replaced = delete_rows(ready, transaction, hits, act="replace")
        return replaced.with_fragments(*self._written.fragments)

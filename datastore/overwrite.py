"""Overwrite: the rows of a source take the place of all that are there; restore: an old version's do."""

from dataclasses import replace
from typing import ClassVar

from foldstore.datastore.append import Fit, WrittenRows, write_rows
from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.seal_guard import refuse_sealed_rows
from foldstore.errors import ConflictError
from foldstore.types import Operation


class Overwrite:
    """The step that replaces all rows, and the columns with them where the source has others.

    It is not applied again when another writer was faster: that would wipe out, unseen, what the other wrote.

    Parameters
    ----------
    source : BatchSource
        The rows.
    fit : Fit
        How they become the dataset's.
    """

    operation: ClassVar = Operation.OVERWRITE
    replays: ClassVar = False

    def __init__(self, source: BatchSource, fit: Fit) -> None:
        self._source = source
        self._fit = replace(fit, replaces=True)
        self._written: WrittenRows | None = None

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the rows and list them alone.

        Raises
        ------
        RefusedError
            When a row that is there belongs to a test pool.
        """
        if draft.schema is not None:
            places = draft.reader(transaction.storage, transaction.dataset).places()
            refuse_sealed_rows(transaction.storage, transaction.dataset, places, act="replace")
        if self._written is None:
            self._written = write_rows(transaction, draft, self._source, self._fit)
        return replace(self._written.put_on(draft), fragments=self._written.fragments)


class Restore:
    """The step that makes an old version's columns and rows those of the head; nothing is written for it."""

    operation: ClassVar = Operation.RESTORE
    replays: ClassVar = False

    def __init__(self, version: VersionRecord) -> None:
        self._version = version

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """List the version's fragments alone.

        Raises
        ------
        ConflictError
            When the version's rows were collected meanwhile.
        """
        storage = transaction.storage
        fragments = storage.pages.fragments(self._version)
        schema = decode_schema(storage.catalog.read_arrow_schema(self._version.arrow_schema_id))
        if not fragments and self._version.num_rows:
            raise ConflictError(f"Version {self._version.number} has no rows any more.", retry=False)
        return replace(
            draft,
            schema=schema,
            next_field=max(draft.next_field, self._version.next_field),
            fragments=fragments,
        )

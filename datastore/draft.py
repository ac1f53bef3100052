"""A draft: the columns and fragments that a version will have, while a commit is made of steps.

Each step takes a draft and gives the next one. When another writer is faster, the steps are applied again, to the
draft of the new head: what they have written stays, what depends on the head is found anew.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol

import pyarrow as pa

from foldstore.datastore.arrow_schema import encode_schema
from foldstore.datastore.catalog.records import DatasetRecord, RefRecord, VersionRecord
from foldstore.datastore.manifest import Fragment, Page
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.types import Operation

if TYPE_CHECKING:
    from foldstore.datastore.commit import Transaction


@dataclass(frozen=True, kw_only=True)
class Head:
    """The state of a branch that a commit builds on."""

    ref: RefRecord
    version: VersionRecord | None
    pages: tuple[Page, ...]
    schema: pa.Schema | None

    @cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        """All fragments of the head, in order."""
        return tuple(fragment for page in self.pages for fragment in page.fragments)

    @property
    def draft(self) -> "Draft":
        """What a commit that changes nothing would make."""
        return Draft(
            schema=self.schema,
            next_field=self.version.next_field if self.version else 1,
            fragments=self.fragments,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a version will be.

    Attributes
    ----------
    schema : pyarrow.Schema or None
        Its columns with field ids; None before the first rows.
    next_field : int
        The next free field id.
    fragments : tuple of Fragment
        Its rows.
    """

    schema: pa.Schema | None
    next_field: int
    fragments: tuple[Fragment, ...]

    @property
    def schema_id(self) -> str | None:
        """The identity of the columns."""
        return encode_schema(self.schema)[0] if self.schema is not None else None

    @property
    def bitmaps(self) -> set[str]:
        """The bitmaps of deleted rows that it names."""
        return {fragment.deleted.hash for fragment in self.fragments if fragment.deleted is not None}

    def known_schema(self, name: str) -> pa.Schema:
        """Return the columns of a dataset that must have some.

        Raises
        ------
        UsageError
            When nothing was ever appended.
        """
        if self.schema is None:
            raise UsageError(f"{name!r} has no version yet.", hint="Append rows first.", code="no-version")
        return self.schema

    def reader(self, storage: Storage, dataset: DatasetRecord) -> FragmentReader:
        """Return a reader of the rows."""
        return FragmentReader(storage, dataset.id, self.fragments, self.known_schema(dataset.name), repr(dataset.name))

    def with_fragments(self, *fragments: Fragment) -> "Draft":
        """Return the draft with more fragments behind the others."""
        return replace(self, fragments=(*self.fragments, *fragments))

    def with_changed(self, changed: dict[int, Fragment]) -> "Draft":
        """Return the draft with other versions of some fragments in their places, by id."""
        if not changed:
            return self
        return replace(self, fragments=tuple(changed.get(each.id, each) for each in self.fragments))


class Step(Protocol):
    """A part of a commit.

    Attributes
    ----------
    operation : Operation
        What it does.
    replays : bool
        Whether it may be applied again when another writer has changed the branch meanwhile.
    """

    operation: ClassVar[Operation]
    replays: ClassVar[bool]

    def apply(self, draft: Draft, transaction: "Transaction") -> Draft:
        """Return the draft with the step done.

        What is written to files is written once; a second call uses it again.

        Raises
        ------
        ConflictError
            When what was written for another head does not fit this one.
        """

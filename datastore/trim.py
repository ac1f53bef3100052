"""Trim: whole fragments leave the newest version; streams keep a window so."""

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.seal_guard import refuse_sealed_rows
from foldstore.types import Operation


class Trim:
    """The step that lists some fragments no more; earlier versions keep them until they expire.

    Parameters
    ----------
    fragment_ids : iterable of int
        Which; those that are not there any more are no error.
    """

    operation: ClassVar = Operation.TRIM
    replays: ClassVar = True

    def __init__(self, fragment_ids: Iterable[int]) -> None:
        self._ids = frozenset(fragment_ids)

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Take the fragments out of the list.

        Raises
        ------
        RefusedError
            When a row of theirs belongs to a test pool.
        """
        reader = draft.reader(transaction.storage, transaction.dataset)
        leaving = [fragment for fragment in draft.fragments if fragment.id in self._ids]
        places = reader.restricted(leaving).places()
        refuse_sealed_rows(transaction.storage, transaction.dataset, places, act="trim")
        return replace(draft, fragments=tuple(each for each in draft.fragments if each.id not in self._ids))

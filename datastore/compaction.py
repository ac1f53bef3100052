"""Compaction: small fragments, and those with many deleted rows, are written anew as few full ones.

The rows stay what they were, in their order, and keep their row ids: a compacted fragment carries them in a file of
its own. Old files stay for the versions that name them, so whoever reads one of those goes on without a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.fragment_writer import BYTES_PER_FRAGMENT, write_fragments
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.moved_rows import publish_moved
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_guard import sealed_places
from foldstore.errors import ConflictError, UsageError
from foldstore.types import Operation

_POSITION_BITS: Final = 32
# A fragment that is this full stays as it is, unless many of its rows are deleted.
_FULL: Final = 0.5
_MOST_DELETED: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPlan:
    """Which fragments are worth writing anew.

    Attributes
    ----------
    runs : tuple of tuple of Fragment
        Neighbours that become one or more new fragments.
    """

    runs: tuple[tuple[Fragment, ...], ...]

    @property
    def num_fragments(self) -> int:
        """How many fragments are written anew."""
        return sum(len(run) for run in self.runs)

    @property
    def num_rows(self) -> int:
        """How many rows are written."""
        return sum(fragment.live_rows for run in self.runs for fragment in run)


class Compact:
    """The step that writes small and thinned-out fragments anew.

    It is applied again when another writer was faster, unless that one changed a fragment that was written anew.

    Parameters
    ----------
    target_bytes : int
        How large a fragment may become.
    """

    operation: ClassVar = Operation.COMPACT
    replays: ClassVar = True

    def __init__(self, target_bytes: int = BYTES_PER_FRAGMENT) -> None:
        if not isinstance(target_bytes, int) or isinstance(target_bytes, bool) or target_bytes < 1:
            raise UsageError(f"target_bytes={target_bytes!r} is not a number of bytes.", hint="Such as 128 << 20.")
        self._target = min(target_bytes, BYTES_PER_FRAGMENT)
        self._written: list[tuple[tuple[Fragment, ...], tuple[Fragment, ...]]] | None = None
        self._schema_id: str | None = None

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Put the new fragments in the places of the old ones.

        Raises
        ------
        ConflictError
            When a fragment was changed, or the columns were, since it was written anew.
        """
        if self._written is None:
            plan = plan_compaction(draft, transaction, self._target)
            self._written = [(run, _rewrite(draft, transaction, run)) for run in plan.runs]
            self._schema_id = draft.schema_id
        if self._schema_id != draft.schema_id:
            raise ConflictError("The columns were changed meanwhile.", retry=True)
        fragments = draft.fragments
        for old, new in self._written:
            fragments = _substitute(fragments, old, new)
        return replace(draft, fragments=fragments)


def plan_compaction(draft: Draft, transaction: Transaction, target_bytes: int) -> CompactionPlan:
    """Find runs of neighbours that are worth writing anew; fragments with sealed rows stay as they are."""
    reader = draft.reader(transaction.storage, transaction.dataset)
    sizes = _live_bytes(reader)
    kept = _sealed_fragments(transaction)
    runs: list[tuple[Fragment, ...]] = []
    run: list[Fragment] = []
    for fragment in draft.fragments:
        worth = fragment.id not in kept and _is_worth(fragment, sizes[fragment.id], target_bytes)
        if worth and sum(sizes[each.id] for each in run) < target_bytes * 8:
            run.append(fragment)
            continue
        runs.append(tuple(run))
        run = [fragment] if worth else []
    runs.append(tuple(run))
    # One fragment alone is written anew only to get rid of its deleted rows.
    useful = [run for run in runs if len(run) > 1 or any(_is_thin(each) for each in run)]
    return CompactionPlan(runs=tuple(useful))


def _is_worth(fragment: Fragment, size: float, target_bytes: int) -> bool:
    return _is_thin(fragment) or size < target_bytes * _FULL


def _is_thin(fragment: Fragment) -> bool:
    return fragment.deleted is not None and fragment.deleted.num_rows > fragment.num_rows * _MOST_DELETED


def _live_bytes(reader: FragmentReader) -> dict[int, float]:
    """Return about how many bytes the live rows of each fragment take."""
    return {
        fragment.id: sum(reader.open_group(group.object_id).record.num_bytes for group in fragment.groups)
        * (fragment.live_rows / max(fragment.num_rows, 1))
        for fragment in reader.fragments
    }


def _sealed_fragments(transaction: Transaction) -> set[int]:
    """Return the fragments with cells in a test pool, which finds them by their places."""
    if not list_seals(transaction.storage.catalog, transaction.dataset.id):
        return set()
    places = sealed_places(transaction.storage, transaction.dataset)
    return {int(each) for each in np.unique(places >> np.uint64(_POSITION_BITS))}


def _rewrite(draft: Draft, transaction: Transaction, run: Sequence[Fragment]) -> tuple[Fragment, ...]:
    schema = draft.known_schema(transaction.dataset.name)
    reader = draft.reader(transaction.storage, transaction.dataset).restricted(run)
    stored = reader.stored_names
    written = pa.schema([field for field in schema if field.name in stored])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=written) for batch in reader.batches(stored))
    files = transaction.storage.objects.files
    staged = write_fragments(files, transaction.new_path, written, batches, transaction.options.progress)
    return publish_moved(transaction, staged, written, reader.row_ids())


def _substitute(
    fragments: tuple[Fragment, ...], old: tuple[Fragment, ...], new: tuple[Fragment, ...]
) -> tuple[Fragment, ...]:
    start = next((place for place, each in enumerate(fragments) if each == old[0]), None)
    if start is None or fragments[start : start + len(old)] != old:
        raise ConflictError("A fragment that was compacted has been changed meanwhile.", retry=True)
    return (*fragments[:start], *new, *fragments[start + len(old) :])

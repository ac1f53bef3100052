"""The cut: a segment becomes a version, and what is outside the window leaves, in one commit.

The commit carries an idempotency key, the id of the log and the segment's number. So a crash between the commit and
the removal of the segment commits nothing twice.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np

from foldstore.datastore.append import Append
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.commit import CommitOptions, Transaction, commit_steps, load_head
from foldstore.datastore.draft import Draft, Head
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.seal_guard import sealed_places
from foldstore.datastore.storage import Storage
from foldstore.datastore.stream.limits import StreamLimits
from foldstore.datastore.stream.merge import FRAGMENTS, MergeRun, find_run
from foldstore.datastore.stream.segment import Segment, read_batches, read_schema
from foldstore.datastore.stream.window import Window, count_old, count_over, window_from_dict
from foldstore.errors import FoldstoreError
from foldstore.types import Operation

PROPERTY: Final = "stream"
# How far back a cut looks for the window of the cut before it, past versions that something else made.
_LOOK_BACK: Final = 1_000
_POSITION_BITS: Final = 32


def cut_key(log: str, number: int) -> str:
    """Return the idempotency key of the version that a segment becomes."""
    return f"stream:{log}:{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutter:
    """Makes versions of segments.

    Attributes
    ----------
    name, branch : str
        The stream, and what it writes to.
    author, message : str
        Kept with each version.
    """

    storage: Storage
    dataset: DatasetRecord
    gate: PublishGate
    limits: StreamLimits
    name: str
    branch: str
    author: str
    message: str = ""

    def cut(self, segment: Segment) -> VersionRecord:
        """Commit a segment, once, however often it is asked for."""
        told: dict[str, Any] = {
            "name": self.name,
            "log": segment.header.log,
            "segment": segment.header.number,
            "first_row": segment.header.position,
            "rows": segment.num_rows,
        }
        options = CommitOptions(
            author=self.author,
            branch=self.branch,
            message=self.message,
            properties={PROPERTY: told},
            idempotency_key=cut_key(segment.header.log, segment.header.number),
        )
        source = BatchSource(
            schema=read_schema(segment), batches=read_batches(segment), description={}, num_rows=segment.num_rows
        )
        step = Slide(Append(source), self.limits, told)
        return commit_steps(self.storage, self.dataset, [step], options=options, gate=self.gate)

    def merge(self) -> None:
        """Merge small fragments when there are enough; what stands in the way is for the next time."""
        with suppress(FoldstoreError):
            self._merge()

    def _merge(self) -> None:
        head = load_head(self.storage, self.dataset, self.branch)
        if len(head.fragments) < FRAGMENTS:
            return
        window = _load_window(self.storage, head)
        sizes = _sizes(self.storage, head.fragments)
        times = window.times([each.id for each in head.fragments])
        count, limit = find_run(sizes, times, age=self.limits.keep_age, most=self.limits.keep_bytes)
        if not count:
            return
        told: dict[str, Any] = {"name": self.name, "merged": count}
        step = MergeRun([each.id for each in head.fragments[-count:]], limit, window, told)
        options = CommitOptions(author=self.author, branch=self.branch, properties={PROPERTY: told})
        commit_steps(self.storage, self.dataset, [step], options=options, gate=self.gate)


class Slide:
    """The step that puts rows behind the others and lets the oldest go.

    It is an append to whoever judges it: the new rows are judged beside those that stay.

    Parameters
    ----------
    append : Append
        The rows.
    told : dict
        What the version will say of the cut; the window is written there.
    """

    operation: ClassVar = Operation.APPEND
    replays: ClassVar = True

    def __init__(self, append: Append, limits: StreamLimits, told: dict[str, Any]) -> None:
        self._append = append
        self._limits = limits
        self._told = told

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Append, then take whole fragments off the front."""
        before = draft.fragments
        after = self._append.apply(draft, transaction)
        now = transaction.storage.clock()
        leaving = self._find_leaving(before, transaction, now)
        if self._limits.keep_age is not None:
            window = _load_window(transaction.storage, transaction.head)
            ids = [each.id for each in after.fragments]
            self._told["window"] = window.advance(ids, now, self._limits.keep_age).to_dict()
        return trim(after, leaving, transaction)

    def _find_leaving(self, before: tuple[Fragment, ...], transaction: Transaction, now: datetime) -> set[int]:
        count = 0
        if self._limits.keep_age is not None:
            times = _load_window(transaction.storage, transaction.head).times([each.id for each in before])
            count = count_old(times, now - self._limits.keep_age)
        if self._limits.keep_bytes is not None:
            sizes = _sizes(transaction.storage, before)
            # What this cut brings stays in any case, and takes its room.
            room = max(self._limits.keep_bytes - transaction.bytes_added, 0)
            count = max(count, count_over(sizes, room))
        return {each.id for each in before[:count]}


def trim(draft: Draft, fragment_ids: set[int], transaction: Transaction) -> Draft:
    """List some fragments no more, but for those with rows of a test pool: these stay for the pool's sake."""
    leaving = fragment_ids - _sealed_fragments(transaction) if fragment_ids else fragment_ids
    return replace(draft, fragments=tuple(each for each in draft.fragments if each.id not in leaving))


def _sealed_fragments(transaction: Transaction) -> set[int]:
    if not list_seals(transaction.storage.catalog, transaction.dataset.id):
        return set()
    places = sealed_places(transaction.storage, transaction.dataset)
    return {int(each) for each in np.unique(places >> np.uint64(_POSITION_BITS))}


def _sizes(storage: Storage, fragments: tuple[Fragment, ...]) -> list[int]:
    ids = sorted({group.object_id for each in fragments for group in each.groups})
    known = storage.catalog.read_objects(ids)
    return [sum(known[group.object_id].num_bytes for group in each.groups) for each in fragments]


def _load_window(storage: Storage, head: Head) -> Window:
    version = head.version
    for _ in range(_LOOK_BACK):
        if version is None:
            break
        told = version.properties.get(PROPERTY)
        if isinstance(told, Mapping) and "window" in told:
            return window_from_dict(told["window"])
        parent = version.parent_id
        version = storage.catalog.find_version_by_id(parent) if parent else None
    return Window()

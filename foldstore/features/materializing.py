"""Lays services out for lookups: in full, or by what changed between two versions.

Each view's files are noted when they are finished, and the whole is committed in one document: which files answer,
which versions they are of, and the newest push that was known then. Whoever is killed in between leaves nothing that
a lookup sees, and a second run takes up the views that were finished. The steps, each told to ``storage.on_step``:
``view-laid-out`` (a view's files are finished and noted), ``copied`` (so are their rows in an
online store that keeps them), ``materialized`` (the document is there), ``trimmed``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.catalog.records import Document
from foldstore.datastore.diff import VersionDiff, diff_versions
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, FoldstoreError, refuse_writing
from foldstore.features.definitions import Definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.features.joins import given_pins
from foldstore.features.layouts import Layouts, Served, files_of_body
from foldstore.features.push_trim import trim_pushes
from foldstore.features.sources import Pins, Rows, read_source, stream_source
from foldstore.names import parse_address
from foldstore.training_set import TrainingSet
from foldstore.types import format_time
from foldstore.version import Version
from foldstore.views.features.changed_entities import ChangedEntities
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.features.window_index import compute_steps, weigh_steps
from foldstore.views.online.changes import Laying, SourceChanges, fits, lay_changes, lay_steps
from foldstore.views.online.materialize import MEMORY, OnlineFile, Work, materialize_view
from foldstore.views.online.pushed_rows import identify
from foldstore.work import settle

Progress = Callable[[int, int], None]
MOST_CHANGES: Final = 1_000_000  # rows; these are held in memory, and what is laid out anew is not


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is laid out: the services, their rows, and windows over these."""

    rows: Rows
    definitions: Definitions
    indexes: FeatureIndexes


class Materializer:
    """Lays out services.

    Parameters
    ----------
    storage : Storage
        The open store.
    inputs : Inputs
        What is laid out.
    layouts : Layouts
        What is laid out.
    author : str
        Who materializes.
    """

    def __init__(self, storage: Storage, inputs: Inputs, layouts: Layouts, author: str) -> None:
        self._storage = storage
        self._rows = inputs.rows
        self._definitions = inputs.definitions
        self._indexes = inputs.indexes
        self._layouts = layouts
        self._author = author

    def materialize(
        self, service: str, like: TrainingSet | None, *, full: bool = False, progress: Progress | None = None
    ) -> Served:
        """Lay a service out; return what is served from now on."""
        if self._layouts.read_only:
            raise refuse_writing()
        name, definition, version = self._definitions.get(service)
        address = f"{name}@{version}"
        newest = self._layouts.materialized.find(address)
        served = Served.of(address, definition, newest) if newest is not None and newest.body["files"] else None
        store = self._layouts.pushes
        mark = None if store is None else {"store": store.id, "mark": store.mark()}
        pins = Pins(self._rows, given_pins(like))
        views = {selection.view.name: selection.view for selection in definition.selections}
        files, changes = {}, {}
        for number, view in enumerate(views.values()):
            if progress is not None:
                progress(number, len(views))
            first, *over = self._lay_out(view, pins, served, full=full)
            files[view.name] = first
            if over:
                changes[view.name] = over
            self._storage.on_step("view-laid-out")
        self._layouts.copy_to_store(files_of_body({"files": files, "changes": changes}))
        self._storage.on_step("copied")
        body = {"files": files, "inputs": list(pins.inputs), "pins": {**pins.used, **pins.views}}
        if changes:
            body["changes"] = changes
        if served is not None and _without_pushes(served.document.body) == body:
            mark = served.document.body.get("pushes")  # nothing is new: earlier pushes count as they did
        settle()
        document = self._commit(address, {**body, **({} if mark is None else {"pushes": mark})}, newest)
        if progress is not None:
            progress(len(views), len(views))
        done = Served.of(address, definition, document)
        trim_pushes(self._layouts, done)
        self._remove_replaced(document)
        self._storage.on_step("trimmed")
        return done

    def _commit(self, address: str, body: Mapping[str, Any], newest: Document | None) -> Document:
        now = format_time(self._storage.clock())
        after = 0 if newest is None else newest.version
        try:
            made = self._layouts.materialized.put(address, body, author=self._author, created_at=now, after=after)
        except ConflictError:
            there = self._layouts.materialized.find(address)
            if there is None or _without_pushes(there.body) != _without_pushes(body):
                raise
            made = there
        self._storage.on_step("materialized")
        return made

    def _lay_out(self, view: FeatureView, pins: Pins, served: Served | None, *, full: bool) -> list[str]:
        """Lay one view out, by the cheapest way that there is; return its files."""
        own = Pins(self._rows, pins.given)
        pinned = self._pin(view, own)
        part = f"view-{identify(view).hex()}"
        described = {"view": view.to_dict(), "inputs": list(own.inputs)}
        pins.add(own)
        for held in [] if full else self._candidates(view, part, served):
            if held["inputs"] == described["inputs"]:
                if self._layouts.try_open(held["files"], verify=True) is not None:
                    return list(held["files"])
                break  # a file of them is gone, or damaged
            if pinned is not None:
                files = self._lay_changes(view, held, pinned)
                if files is not None:
                    return self._note(part, described, files)
                break
        return self._note(part, described, [self._lay_anew(view, own).path.name])

    def _lay_anew(self, view: FeatureView, own: Pins) -> OnlineFile:
        """Lay a view out whole; of rows that lie in no file, and of steps, a part at once."""
        if not view.aggregations:
            stream = stream_source(self._rows, view, own)
            return self._write(view, stream.batches, stream.inputs)
        work = Work(compute=partial(compute_steps, view), weigh=partial(weigh_steps, view))
        if isinstance(view.source, SqlSource):
            stream = stream_source(self._rows, view, own)
            return self._write(view, stream.batches, stream.inputs, work)
        source = read_source(self._rows, view, own)
        if work.weigh(source.table) <= work.memory:  # then its tiles serve joins as well
            return self._write(view, self._indexes.windows(view, source).to_steps(), source.inputs)
        return self._write(view, source.table, source.inputs, work)

    def _write(
        self,
        view: FeatureView,
        rows: pa.Table | pa.RecordBatchReader,
        inputs: tuple[str, ...],
        work: Work | None = None,
    ) -> OnlineFile:
        files = self._storage.objects.files
        return materialize_view(rows, view, self._layouts.folder, sources=inputs, files=files, work=work)

    def _pin(self, view: FeatureView, own: Pins) -> str | None:
        """Pin what a view reads; return the version when it reads all rows of one, whose differences are known."""
        if isinstance(view.source, SqlSource):
            for name in self._storage.engine.parse_query(view.source.query).tables:
                own.pin(name)
            return None
        address = own.pin(view.source)
        return address if parse_address(address).split is None and not own.views else None

    def _candidates(self, view: FeatureView, part: str, served: Served | None) -> list[dict[str, Any]]:
        """Return the files of the view that are there, with the versions that they are of."""
        found = []
        noted = self._layouts.parts.find(part)
        if noted is not None and noted.body["files"] and noted.body["view"] == view.to_dict():
            found.append(noted.body)
        if served is not None and not found:
            reader = self._layouts.try_open(served.files_of(view.name))
            if reader is not None:
                found.append({"inputs": list(reader.sources), "files": served.files_of(view.name)})
        return found

    def _note(self, part: str, described: Mapping[str, Any], files: list[str]) -> list[str]:
        now = format_time(self._storage.clock())
        self._layouts.parts.put(part, {**described, "files": files}, author=self._author, created_at=now)
        return files

    def _lay_changes(self, view: FeatureView, held: Mapping[str, Any], address: str) -> list[str] | None:
        """Lay what changed since a version over its files; None when they have to be made anew."""
        if len(held["inputs"]) != 1:
            return None
        base = self._layouts.try_open(held["files"])
        changes = None if base is None else self._find_changes(view, held["inputs"][0], address)
        if base is None or changes is None or not fits(changes, base):
            return None
        lay = Laying(base, self._layouts.folder, [address], self._storage.objects.files)
        over = self._lay_windows(view, changes, address, lay) if view.aggregations else lay_changes(changes, lay)
        return None if over is None else [held["files"][0], *over]

    def _lay_windows(self, view: FeatureView, changes: SourceChanges, address: str, lay: Laying) -> list[str] | None:
        """Lay down what windows come to for the entities that have other rows; None when these are too many."""
        names = [*view.join_keys, view.event_time]
        changed = ChangedEntities(view, _together([changes.added.select(names), changes.removed.select(names)]))
        chosen, weight = [], 0
        batches = self._rows.stream(address)
        for batch in batches:
            own = changed.choose(pa.Table.from_batches([batch]).select(view.columns()))
            if own.num_rows:
                chosen.append(own)
                weight += weigh_steps(view, own)
            if weight > MEMORY:
                return None
        nothing = batches.schema.empty_table().select(view.columns())
        return lay_steps(changed.steps([*chosen, nothing]), changed, lay)

    def _find_changes(self, view: FeatureView, before: str, after: str) -> SourceChanges | None:
        if parse_address(before).name != parse_address(after).name:
            return None
        try:
            old, new = self._rows.version(before), self._rows.version(after)
            diff = diff_versions(self._storage, new.dataset, old.record, new.record)
        except FoldstoreError:  # the version is gone, or its rows are
            return None
        if diff.num_added + diff.num_removed + 2 * diff.num_changed > MOST_CHANGES:
            return None
        needed = view.columns()
        unique = bool(new.dataset.key) and set(new.dataset.key) <= {*view.join_keys, view.event_time}
        known = unique or (_keeps_order(old, new) if view.aggregations else _is_appended(diff, old, new))
        if _touched(diff) & set(needed) or not known:
            return None
        added, removed = [diff.rows_added(needed)], [diff.rows_removed(needed)]
        for pairs in diff.changed:
            removed.append(pairs.before.take(pairs.before_places, needed))
            added.append(pairs.after.take(pairs.after_places, needed))
        return SourceChanges(_together(added), _together(removed), unique or bool(view.aggregations))

    def _remove_replaced(self, done: Document) -> None:
        """Remove the files that no service has needed since the laying out before the last one."""
        versions = self._layouts.materialized.list_versions(done.name, newest=4)
        old, kept = (
            {name for each in part for name in files_of_body(each.body)} for part in (versions[:-2], versions[-2:])
        )
        if old <= kept and not self._layouts.may_have_leftovers:
            return
        needed = self._layouts.list_needed()
        self._layouts.remove(old - needed)
        self._layouts.remove_leftovers(needed)


def _without_pushes(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "pushes"}


def _touched(diff: VersionDiff) -> set[str]:
    """Return the columns that are other ones now, by any of their names."""
    columns = diff.columns
    names: set[str] = {each[0] for each in (*columns.added, *columns.dropped, *columns.retyped)}
    names |= {each[0] for each in columns.redefined}
    return names | {name for pair in columns.renamed for name in pair} | set(columns.replaced)


def _is_appended(diff: VersionDiff, old: Version, new: Version) -> bool:
    """Say whether all that changed is rows after those that were there: then the order of writing is known."""
    if diff.num_removed or diff.num_changed:
        return False
    before, after = _fragments(old), _fragments(new)
    if after[: len(before)] == before and all(part.chosen is None for part in diff.added.parts):
        return True
    return np.array_equal(new.row_ids()[: old.num_rows], old.row_ids())  # a compaction put them elsewhere


def _keeps_order(old: Version, new: Version) -> bool:
    """Say whether the rows that are in both versions were written in one order in both."""
    before, after = _fragments(old), _fragments(new)
    both = set(after).intersection(before)
    if len(both) == len(before) and [each for each in after if each in both] == before:
        return True
    first, second = old.row_ids(), new.row_ids()
    return np.array_equal(first[np.isin(first, second)], second[np.isin(second, first)])


def _fragments(version: Version) -> list[int]:
    return [fragment.id for fragment in version.rows.fragments]


def _together(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()

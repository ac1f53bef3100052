"""What changed in the source of a feature view, laid over the files that are there: the cost follows the changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.files import Files
from foldstore.views.features.changed_entities import ChangedEntities
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import key_column
from foldstore.views.online.layered import Key, LayeredReader
from foldstore.views.online.materialize import OnlineFile, materialize_changes
from foldstore.views.online.store import UNKNOWN_TIME
from foldstore.views.time_column import to_nanoseconds

MOST_FILES: Final = 6  # of changes over one file; more are laid together: each costs a lookup a step
_INSTANT: Final = pa.timestamp("ns", "UTC")


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """The rows that a source has now and had not before, and those that it has no more, both in write order.

    Attributes
    ----------
    added, removed : pyarrow.Table
        With the view's columns; a changed row is in both.
    unique : bool
        Whether no two rows of the source have one entity and event time, or it does not matter which of them counts.
    """

    added: pa.Table
    removed: pa.Table
    unique: bool

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.added.num_rows + self.removed.num_rows)


@dataclass(frozen=True, slots=True)
class Laying:
    """Over what changes are laid, where, and of which versions they are.

    Attributes
    ----------
    base : LayeredReader
        The files that are there.
    folder : pathlib.Path
        Where new ones go.
    sources : sequence of str
        The addresses of the versions that the rows come from.
    files : Files
        The file system.
    """

    base: LayeredReader
    folder: Path
    sources: Sequence[str]
    files: Files


def fits(changes: SourceChanges, base: LayeredReader) -> bool:
    """Say whether changes can be laid over files, or the view has to be laid out anew.

    Where rows are gone from a source that may hold several of one entity and event time, another of them may count
    now, and no file knows it. A feature of another type needs a new file, too.
    """
    if changes.removed.num_rows and not changes.unique:
        return False
    old = base.files[0].schema
    features = () if base.view.aggregations else base.view.features
    if any(not changes.added.schema.field(name).type.equals(old.field(name).type) for name in features):
        return False
    over = sum(file.num_rows for file in base.files[1:]) + changes.num_rows
    return _may_lie_over(over, base)


def lay_changes(changes: SourceChanges, lay: Laying) -> list[str]:
    """Lay changes over files; return the names of the files of changes that are over the first one now."""
    return _lay(*_rows_of(changes, lay.base), lay)


def lay_steps(steps: pa.Table, changed: ChangedEntities, lay: Laying) -> list[str] | None:
    """Lay what windows come to for changed entities over files, in place of all that these have of it.

    Returns
    -------
    list of str or None
        The names of the files of changes that are over the first one now; None when it has to be made anew.
    """
    base = lay.base
    absent = _steps_gone(steps, changed, base)
    blank = {name: pa.nulls(absent.num_rows, steps.schema.field(name).type) for name in base.view.features}
    absent = pa.table({name: blank[name] if name in blank else absent.column(name) for name in steps.schema.names})
    table = pa.concat_tables([steps, absent.cast(steps.schema)])
    over = sum(file.num_rows for file in base.files[1:]) + table.num_rows
    old = base.files[0].schema
    same = all(steps.schema.field(name).type.equals(old.field(name).type) for name in base.view.features)
    if not same or not _may_lie_over(over, base):
        return None
    gone = pa.array([False] * steps.num_rows + [True] * absent.num_rows, pa.bool_())
    return _lay(table, gone, lay)


def _steps_gone(steps: pa.Table, changed: ChangedEntities, base: LayeredReader) -> pa.Table:
    """Return the keys and instants of steps that files have of entities since they changed, and that are no more."""
    view = base.view.to_plain()
    names = [*view.join_keys, view.event_time]
    tables, codes, gone = [], [], []
    for file in base.files:
        places, owners = file.find_rows_of(changed.keys)
        found, own = file.to_table().select(names).take(pa.array(places)), changed.codes[owners]
        later = _nanoseconds(found, view) > changed.since(own)
        tables.append(found.filter(pa.array(later)))
        codes.append(own[later])
        gone.append(file.gone_flags().take(pa.array(places)).to_numpy(zero_copy_only=False)[later])
    tables.append(steps.select(names).cast(tables[0].schema))
    codes.append(changed.encode(steps))
    gone.append(np.ones(steps.num_rows, dtype=np.bool_))
    whole, owner = pa.concat_tables(tables), np.concatenate(codes)
    events = _nanoseconds(whole, view)
    order = np.lexsort((events, owner))  # stable: of one entity and instant the newest file comes last, then the steps
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (owner[order][1:] != owner[order][:-1]) | (events[order][1:] != events[order][:-1])
    rows = order[last & ~np.concatenate(gone)[order]]
    return whole.take(pa.array(np.sort(rows)))


def _nanoseconds(table: pa.Table, view: FeatureView) -> NDArray[np.int64]:
    return to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}").values


def _may_lie_over(num_rows: int, base: LayeredReader) -> bool:
    return base.files[0].header.since is None and num_rows <= base.files[0].num_rows // 2 + 1_000


def _lay(table: pa.Table, gone: pa.Array, lay: Laying) -> list[str]:
    base, view = lay.base, lay.base.view
    names = [f"{file.address}.arrow" for file in base.files[1:]]
    if not table.num_rows:
        return names
    if len(names) >= MOST_FILES:
        table, gone = _together(base.files[1:], table, gone, view.to_plain())
        names = []
    made: OnlineFile = materialize_changes(table, gone, view, lay.folder, sources=lay.sources, files=lay.files)
    return [*names, made.path.name]


def _rows_of(changes: SourceChanges, base: LayeredReader) -> tuple[pa.Table, pa.Array]:
    """Return the rows to lay down and which of them are gone."""
    view = base.view
    if not changes.removed.num_rows and view.created_time is None:
        return changes.added.select(view.columns()), pa.array(np.zeros(changes.added.num_rows, dtype=np.bool_))
    removed = dict.fromkeys(_places(changes.removed, view))
    removed.pop(None, None)
    places = _places(changes.added, view)
    kept = _that_count(changes.added, places, removed, base)
    added = changes.added.take(pa.array(kept, pa.int64())).select(view.columns())
    for place in places:
        removed.pop(place, None)
    left = {place for place in removed if place is not None}
    rows = [number for number, place in enumerate(_places(changes.removed, view)) if place in left]
    absent = changes.removed.take(pa.array(rows, pa.int64())).select(view.columns())
    types = added.schema
    blank = {name: pa.nulls(absent.num_rows, types.field(name).type) for name in view.features}
    absent = pa.table({name: blank.get(name, absent.column(name)) for name in view.columns()}).cast(types)
    gone = pa.array([False] * added.num_rows + [True] * absent.num_rows, pa.bool_())
    return pa.concat_tables([added, absent]), gone


def _that_count(
    added: pa.Table, places: Sequence[tuple[Key, int] | None], removed: dict[Any, None], base: LayeredReader
) -> list[int]:
    """Leave out rows of an entity and event time of which a row that was written down later is there already."""
    view = base.view
    if view.created_time is None:
        return list(range(added.num_rows))
    known = to_nanoseconds(added.column(view.created_time), where=f"Created time {view.created_time!r}")
    nulls = [False] * added.num_rows if known.nulls is None else known.nulls.tolist()
    created = [UNKNOWN_TIME if null else time for time, null in zip(known.values.tolist(), nulls, strict=True)]
    kept = []
    for number, place in enumerate(places):
        if place is not None and place not in removed:
            found = base.locate(place[0], place[1])
            if found is not None and found.event == place[1] and base.created(found) > created[number]:
                continue
        kept.append(number)
    return kept


def _places(table: pa.Table, view: FeatureView) -> list[tuple[Key, int] | None]:
    """Return each row's key and event time, None where either is null: such a row is never found."""
    keys = [key_column(table.column(name), name, kind).to_pylist() for name, kind in view.keys.items()]
    events = to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}")
    nulls = [False] * table.num_rows if events.nulls is None else events.nulls.tolist()
    rows = zip(*keys, strict=True) if keys else ((),) * table.num_rows
    return [
        None if null or None in key else (key, event)
        for key, event, null in zip(rows, events.values.tolist(), nulls, strict=True)
    ]


def _together(over: Sequence[Any], table: pa.Table, gone: pa.Array, view: FeatureView) -> tuple[pa.Table, pa.Array]:
    """Put files of changes and new rows into one table: of one entity and event time the newest counts."""
    tables, flags = [file.to_table() for file in over], [file.gone_flags() for file in over]
    schema = tables[0].schema
    tables.append(_as_laid(table, view).select(schema.names).cast(schema))
    flags.append(gone)
    whole = pa.concat_tables(tables)
    newest = {place: number for number, place in enumerate(_places(whole, view)) if place is not None}
    rows = pa.array(sorted(newest.values()), pa.int64())
    return whole.take(rows), pa.chunked_array(flags).take(rows).combine_chunks()


def _as_laid(table: pa.Table, view: FeatureView) -> pa.Table:
    """Return rows with times as nanoseconds in UTC, as files give them."""
    for name in (view.event_time, view.created_time):
        if name is not None:
            instants = to_nanoseconds(table.column(name), where=f"Time {name!r}")
            values = pa.array(instants.values, pa.int64(), mask=instants.nulls).view(_INSTANT)
            table = table.set_column(table.column_names.index(name), name, values)
    return table

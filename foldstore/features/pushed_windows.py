"""Windows of pushed events: what a view's windows come to for the entities that had some, computed anew of a version.

A window is computed of events, and of all of them: so events are pushed to the dataset as well, and what is served of
their entities from then on is what the newest version makes of them, to the bit of the training join of that version.
"""

import pyarrow as pa

from foldstore.features.sources import Pins, Rows, read_source
from foldstore.views.features.changed_entities import ChangedEntities
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.pushed_rows import PushedRows
from foldstore.views.online.store import UNKNOWN_TIME


class PushedWindows:
    """Serves what the windows of some entities come to.

    Parameters
    ----------
    rows : Rows
        How versions are reached.
    view : FeatureView
        The definition, with aggregations.
    events : pyarrow.Table
        What was pushed: keys and event times, none of them null.
    """

    def __init__(self, rows: Rows, view: FeatureView, events: pa.Table) -> None:
        self._rows = rows
        self._view = view
        self._events = events

    def write(self, pushed: PushedRows) -> None:
        """Put what the newest version makes of the entities over the files; again when a newer one came meanwhile."""
        done: tuple[str, ...] | None = None
        while True:
            pins = Pins(self._rows)
            source = read_source(self._rows, self._view, pins)
            if source.inputs == done:
                return
            steps = self._steps(source.table)
            keys = [steps.column(name).to_pylist() for name in self._view.join_keys]
            named = list(zip(*keys, strict=True)) if keys else [()] * steps.num_rows
            instants = steps.column(self._view.event_time).cast(pa.int64()).to_pylist()
            if named:
                values = steps.select(pushed.schema.names).cast(pushed.schema)
                pushed.write(named, [(instant, UNKNOWN_TIME) for instant in instants], values)
            done = source.inputs

    def _steps(self, table: pa.Table) -> pa.Table:
        """Return what changes when for the entities, from their events on."""
        changed = ChangedEntities(self._view, self._events)
        return changed.steps([changed.choose(table.select(self._view.columns()))])

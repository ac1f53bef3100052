"""Windows of pushed events: what a view's windows come to for the entities that had some, computed anew of a version.

A window is computed of events, and of all of them: so events are pushed to the dataset as well, and what is served of
their entities from then on is what the newest version makes of them, to the bit of the training join of that version.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.features.sources import Pins, Rows, read_source
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import KeyEncoder
from foldstore.views.features.window_index import compute_steps
from foldstore.views.online.pushed_rows import PushedRows
from foldstore.views.online.store import UNKNOWN_TIME
from foldstore.views.time_column import to_nanoseconds


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
        self._encoder = KeyEncoder([events.column(name) for name in view.join_keys], view.keys, events.num_rows)
        times = to_nanoseconds(events.column(view.event_time), where=f"Column {view.event_time!r}").values
        # Of each entity the earliest of its events: nothing changes before it.
        self._since = np.full(self._encoder.width, np.iinfo(np.int64).max, dtype=np.int64)
        np.minimum.at(self._since, self._encoder.codes, times)

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
        view = self._view
        own = self._encoder.encode([table.column(name) for name in view.join_keys], table.num_rows) >= 0
        events = table.select(view.columns()).filter(pa.array(own)).combine_chunks()
        steps = compute_steps(view, events)
        codes = self._encoder.encode([steps.column(name) for name in view.join_keys], steps.num_rows)
        instants = steps.column(view.event_time).cast(pa.int64())
        return steps.filter(pc.greater(instants, pa.array(self._since[codes])))

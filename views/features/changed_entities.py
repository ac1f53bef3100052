"""Which entities of a windowed feature view have other rows than before, and from when on their windows differ.

A window looks back: what it holds at an instant does not depend on rows from there on. So of an entity some of whose
rows came, went or are others, nothing changes up to the earliest of these. Later on its windows hold rows that had not
left them then, and those are the rows that have to be read. Of any other entity nothing changes, however late it is:
what is served are steps at all instants and not values at one.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import KeyEncoder, key_column
from foldstore.views.features.window import window_of
from foldstore.views.features.window_index import compute_steps
from foldstore.views.time_column import to_nanoseconds

_NEVER: Final = 2**63 - 1
_Flags = NDArray[np.bool_]


class ChangedEntities:
    """Entities, and from when on their steps are other ones.

    Parameters
    ----------
    view : FeatureView
        The definition, with aggregations.
    changed : pyarrow.Table
        Keys and event times of the rows that came, went or are others: as they were, and as they are.

    Examples
    --------
    >>> import datetime as dt
    >>> from foldstore.views.features.aggregation import Aggregation
    >>> from foldstore.views.features.entity import Entity
    >>> view = FeatureView(
    ...     "v", entity=Entity("e", keys={"id": "int64"}), source="s", event_time="ts",
    ...     aggregations=[Aggregation("sum", "x", time_window="2h")])
    >>> hours = [dt.datetime(2024, 1, 1, hour) for hour in (1, 2, 9, 9)]
    >>> rows = pa.table({"id": [7, 7, 7, 8], "ts": hours, "x": [1, 2, 4, 8]})
    >>> changed = ChangedEntities(view, rows.slice(2, 1))
    >>> chosen = changed.choose(rows)
    >>> chosen["x"].to_pylist()  # the last one of 7, and one that says that it was known
    [1, 4]
    >>> changed.steps([chosen])["x_sum_2h"].to_pylist()
    [4, None]
    """

    def __init__(self, view: FeatureView, changed: pa.Table) -> None:
        self.view = view
        columns = [changed.column(name) for name in view.join_keys]
        self._encoder = KeyEncoder(columns, view.keys, changed.num_rows)
        self._encoder.make_dense()
        events = to_nanoseconds(changed.column(view.event_time), where=f"Event time {view.event_time!r}")
        codes = self._encoder.codes if events.nulls is None else np.where(events.nulls, -1, self._encoder.codes)
        rows = np.flatnonzero(codes >= 0)
        # Of each entity the earliest of its rows: nothing changes before it.
        self._since = np.full(self._encoder.width, _NEVER, dtype=np.int64)
        np.minimum.at(self._since, codes[rows], events.values[rows])
        self._known = np.zeros(self._encoder.width, dtype=np.bool_)
        self.codes, first = np.unique(codes[rows], return_index=True)
        self.keys = [
            key_column(column, name, kind).take(pa.array(rows[first]))
            for column, (name, kind) in zip(columns, view.keys.items(), strict=True)
        ]

    def __len__(self) -> int:
        return len(self.codes)

    def since(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for codes of entities until when, inclusive, nothing changes."""
        return self._since[codes]

    def choose(self, rows: pa.Table) -> pa.Table:
        """Return those of the view's rows that count; tables are given one after the other, in write order."""
        view = self.view
        codes = self._encoder.encode([rows.column(name) for name in view.join_keys], rows.num_rows)
        own = codes >= 0
        if not own.any():
            return rows.slice(0, 0)
        places = np.flatnonzero(own)
        events = to_nanoseconds(
            rows.column(view.event_time).take(pa.array(places)), where=f"Event time {view.event_time!r}"
        )
        if events.nulls is not None:
            places, times = places[~events.nulls], events.values[~events.nulls]
        else:
            times = events.values
        needed = self._may_be_held(times, self._since[codes[places]])
        needed[self._first_left_out(codes[places], needed)] = True
        return rows.take(pa.array(places[needed]))

    def _may_be_held(self, events: NDArray[np.int64], since: NDArray[np.int64]) -> _Flags:
        """Say which rows a window may hold that ends after an instant; of sessions, every one."""
        windows = {window_of(each) for each in self.view.aggregations}
        if any(window.kind == "session" for window in windows):
            return np.ones(len(events), dtype=np.bool_)
        held: _Flags = np.logical_or.reduce([window.changes(events)[1] > since for window in windows])
        return held

    def _first_left_out(self, codes: NDArray[np.int64], needed: _Flags) -> NDArray[np.int64]:
        """Return one row of each entity that is left out: without any it would seem unknown before its next one."""
        left = np.flatnonzero(~needed & ~self._known[codes])
        found, first = np.unique(codes[left], return_index=True)
        self._known[found] = True
        return left[first]

    def steps(self, chosen: Iterable[pa.Table]) -> pa.Table:
        """Return what changes when, of rows that `choose` gave, from when on it may be other than before."""
        view = self.view
        steps = compute_steps(view, pa.concat_tables(chosen).select(view.columns()).combine_chunks())
        codes = self.encode(steps)
        instants = steps.column(view.event_time).cast(pa.int64())
        return steps.filter(pc.greater(instants, pa.array(self._since[codes])))

    def encode(self, steps: pa.Table) -> NDArray[np.int64]:
        """Return the code of each row's entity, -1 for those of which nothing changed."""
        return self._encoder.encode([steps.column(name) for name in self.view.join_keys], steps.num_rows)

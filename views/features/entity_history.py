"""Who asks when nobody is named: every entity at every instant at which something new was known of it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.views.features.join import EVENT_TIMESTAMP, FeatureTable
from foldstore.views.features.key_encoder import key_column
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.time_column import to_nanoseconds

_NANOSECONDS = pa.timestamp("ns", "UTC")


def list_entity_history(features: Sequence[FeatureTable], start: int | None, end: int | None) -> pa.Table:
    """Return the keys and event times of the feature tables, each pair once, by time and key.

    Parameters
    ----------
    features : sequence of FeatureTable
        The features that will be joined; those without keys add instants only when all are without.
    start, end : int, optional
        The first and the last instant, in nanoseconds, both included.

    Raises
    ------
    UsageError
        When the features are of several entities: then it is open which of them belong together.

    Examples
    --------
    >>> import datetime as dt
    >>> from foldstore.views.features.entity import Entity
    >>> from foldstore.views.features.feature_view import FeatureView
    >>> from foldstore.views.features.join import index_view
    >>> view = FeatureView("v", entity=Entity("e", keys={"id": "int64"}), source="s", event_time="ts", features=["x"])
    >>> days = [dt.datetime(2024, 1, n) for n in (2, 1, 1)]
    >>> table = pa.table({"id": [1, 1, 1], "ts": days, "x": [3, 1, 2]})
    >>> list_entity_history([FeatureTable(view[["x"]], index_view(view, table))], None, None)["id"].to_pylist()
    [1, 1]
    """
    keyed = [each for each in features if each.selection.label_keys] or list(features)
    kinds = {tuple(zip(each.selection.label_keys, each.selection.view.keys.values(), strict=True)) for each in keyed}
    if len(kinds) > 1:
        shown = " and ".join(sorted(str([column for column, _ in kind]) for kind in kinds))
        raise UsageError(
            f"The features are of several keys, {shown}: it is open which of them belong together.",
            hint="Give the rows that ask: their keys, and a time.",
        )
    found = pa.concat_tables([_pairs(each, start, end) for each in keyed])
    names = found.column_names
    once = found.group_by(names, use_threads=False).aggregate([])
    return once.sort_by([(EVENT_TIMESTAMP, "ascending"), *((name, "ascending") for name in names[:-1])])


def _pairs(features: FeatureTable, start: int | None, end: int | None) -> pa.Table:
    view = features.selection.view
    windows = features.index if isinstance(features.index, WindowIndex) else None
    table = features.index.table if windows is None else windows.list_changes()
    times = to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}")
    keep = np.ones(table.num_rows, dtype=np.bool_) if times.nulls is None else ~times.nulls
    if start is not None:
        keep &= times.values >= start
    if end is not None:
        keep &= times.values <= end
    columns = {}
    for column, (key, kind) in zip(features.selection.label_keys, view.keys.items(), strict=True):
        values = key_column(table.column(key), key, kind)
        keep &= values.is_valid().to_numpy(zero_copy_only=False)
        columns[column] = values.cast(pa.type_for_alias(kind))
    rows = pa.array(np.flatnonzero(keep))
    instants = pa.array(times.values[keep]).view(_NANOSECONDS)
    return pa.table({**{name: values.take(rows) for name, values in columns.items()}, EVENT_TIMESTAMP: instants})

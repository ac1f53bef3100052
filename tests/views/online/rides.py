"""A feature table with everything that can go wrong in it, and the slow answer to compare with."""

import datetime as dt
import math
import struct

import pyarrow as pa

from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader

SECOND = 1_000_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
TYPES = {
    "x": pa.int64(),
    "f": pa.float32(),
    "d": pa.float64(),
    "s": pa.string(),
    "b": pa.bool_(),
    "t": pa.timestamp("us", "UTC"),
}


def driver_view(ttl=None, keys=None, features=("x", "f", "d", "s", "b", "t"), created_time="created"):
    return FeatureView(
        "stats",
        entity=Entity("driver", keys=keys or {"driver": "string"}),
        source="rides",
        event_time="ts",
        created_time=created_time,
        ttl=ttl,
        features=list(features),
    )


def ride_table(rows):
    """Rows as dicts; times are seconds since 1970."""
    columns = {"driver": pa.array([row["driver"] for row in rows], pa.string())}
    for name in ("ts", "created"):
        columns[name] = (
            pa.array([row.get(name) for row in rows], pa.int64()).view(pa.int64()).cast(pa.timestamp("s", "UTC"))
        )
    for name, kind in TYPES.items():
        values = [row.get(name) for row in rows]
        if name == "t":
            columns[name] = pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))
        else:
            columns[name] = pa.array(values, kind)
    return pa.table(columns)


def open_view(table, view, folder, **options):
    return OnlineReader(materialize_view(table, view, folder, sources=["rides@1"], **options).path)


def slow_answer(rows, driver, at_seconds, ttl_seconds):
    """Look at every row: the last known of the driver, None when there is none, "expired" when it is too old."""
    best = None
    for number, row in enumerate(rows):
        if driver is None or row["driver"] != driver or row["ts"] is None or row["ts"] > at_seconds:
            continue
        created = row.get("created")
        rank = (row["ts"], -math.inf if created is None else created, number)
        if best is None or rank > best[0]:
            best = (rank, row)
    if best is None:
        return None
    if ttl_seconds and best[1]["ts"] < at_seconds - ttl_seconds:
        return "expired"
    return best[1]


def bits(value, kind):
    """What a value is, to the bit: NaN and -0.0 differ from each other and from everything else."""
    if value is None:
        return None
    if kind == pa.float32():
        return struct.pack("<f", value)
    if kind == pa.float64():
        return struct.pack("<d", value)
    if pa.types.is_timestamp(kind) and isinstance(value, dt.datetime):
        return (value - EPOCH) // dt.timedelta(microseconds=1)
    return value

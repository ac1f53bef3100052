"""Damage a month of flights in five known ways, to see whether a gate names each of them.

The faults are those that feeds really have: a sensor that goes quiet, a code that nobody announced, a
batch that is sent twice, a unit or a clock that shifts, a column that an upstream change dropped. What is
damaged follows from the seed alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of damaging a table.

    Attributes
    ----------
    column : str
        Where it was done.
    anomaly : str
        The code that a validation should report.
    description : str
        What was done.
    """

    column: str
    anomaly: str
    description: str


def damage_month(flights: pa.Table, *, seed: int = 7) -> tuple[pa.Table, list[Fault]]:
    """Return a damaged copy of a month of flights, and what was done to it.

    Parameters
    ----------
    flights : pyarrow.Table
        A month as in ``flights/``.
    seed : int
        Chooses the rows.

    Examples
    --------
    >>> from foldstore.sample_data import months
    >>> table, faults = damage_month(pq.read_table(months()[1]))
    >>> [fault.anomaly for fault in faults]
    ['null_fraction_high', 'value_outside_domain', 'drift', 'column_missing', 'duplicate_key']
    """
    chance = np.random.default_rng(seed)
    rows = flights.num_rows
    table = _replace(flights, "air_time", pa.nulls(rows, flights["air_time"].type), chance.random(rows) < 0.2)
    table = _replace(table, "carrier", pa.array(["ZZ"] * rows), chance.random(rows) < 0.005)
    shifted = pc.cast(pc.add(table["distance"], 400), table["distance"].type)
    table = table.set_column(table.schema.get_field_index("distance"), "distance", shifted)
    table = table.drop_columns(["dest"])
    twice = np.sort(chance.choice(rows, size=50, replace=False))
    table = pa.concat_tables([table, table.take(pa.array(twice))])
    return table, [
        Fault("air_time", "null_fraction_high", "a fifth of the values made null"),
        Fault("carrier", "value_outside_domain", "0.5 % of the rows given the unknown carrier 'ZZ'"),
        Fault("distance", "drift", "400 miles added to every value"),
        Fault("dest", "column_missing", "the column left out"),
        Fault("carrier, flight, origin, time_hour", "duplicate_key", "50 rows sent twice"),
    ]


def write_damaged(source: Path, target: Path, *, seed: int = 7) -> list[Fault]:
    """Write a damaged copy of a Parquet file of flights; return what was done."""
    table, faults = damage_month(pq.read_table(source), seed=seed)
    pq.write_table(table, target)
    return faults


def _replace(table: pa.Table, column: str, values: pa.Array, rows: np.ndarray) -> pa.Table:
    changed = pc.if_else(pa.array(rows), values, table[column].combine_chunks())
    return table.set_column(table.schema.get_field_index(column), column, changed)

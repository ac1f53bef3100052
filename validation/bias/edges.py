"""Edges that cut columns of numbers into ranges of about equally many rows."""

from collections.abc import Mapping
from typing import Any

from foldstore.datastore.statistics.column import merge_columns, profile_array
from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import UsageError
from foldstore.validation.arrow_rows import Rows


def find_edges(rows: Rows, ranges: Mapping[str, int]) -> dict[str, tuple[float, ...]]:
    """Return edges that cut columns of numbers into so many ranges of about equally many rows.

    A pass over the rows gathers mergeable counts of bounded size: the edges are quantiles, exact while a column has
    few distinct values and interpolated within one of 8,192 bins where it has more.

    Raises
    ------
    UsageError
        When there is no second pass, or a column has too few values.
    """
    if not ranges:
        return {}
    if rows.once:
        raise UsageError(
            f"{rows.subject} gives its rows once, and finding ranges takes a pass of its own.",
            hint="Give the edges themselves, or a table.",
        )
    profiles: dict[str, Any] = {}
    for batch in rows.batches():
        for name in ranges:
            here = profile_array(batch.column(name))
            profiles[name] = merge_columns(profiles[name], here) if name in profiles else here
    return {name: _quantiles(name, profiles.get(name), count) for name, count in ranges.items()}


def _quantiles(name: str, profile: Any, count: int) -> tuple[float, ...]:
    found = [] if profile is None else [profile.quantile(place / count) for place in range(1, count)]
    edges = sorted({edge for edge in found if edge is not None and edge < profile.maximum})
    if not edges:
        raise UsageError(f"{name!r} has too few values to be cut into {count} ranges.", hint="Give the edges.")
    whole = profile.kind in (Kind.INTEGER, Kind.UNSIGNED) and all(edge == int(edge) for edge in edges)
    return tuple(int(edge) for edge in edges) if whole else tuple(edges)

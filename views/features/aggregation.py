"""Windowed aggregations: what is computed of an entity's rows in a window of time, and which window.

A window is half open and ends before the instant that asks: ``[t - length, t)``, its start rounded down to the hop
where there is one. A tumbling window is the last whole one of its length, counted from 1970. A session is the run of
rows, each at most the gap after the one before, that is still open at the instant.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foldstore.errors import UsageError, did_you_mean
from foldstore.views.features.entity import check_column, not_a_definition
from foldstore.views.instant import format_duration, parse_duration

FUNCTIONS: Final = ("count", "sum", "mean", "min", "max", "std", "first", "last", "distinct", "quantile")
WINDOWS: Final = ("sliding", "tumbling", "session")
MEMBERS: Final = ("function", "column", "time_window", "window", "hop", "quantile", "name")


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One number, or value, of an entity's rows in a window of time.

    Nulls are no values: every function leaves them out. Where no value is in the window, counts are 0 and all else
    is null. NaN is a value of which sums and means are NaN; the least and the greatest leave it out.

    Parameters
    ----------
    function : str
        ``count``, ``sum``, ``mean``, ``min``, ``max``, ``std`` (of a sample, null below two values), ``first``,
        ``last`` (by event time, created time, write order), ``distinct`` (how many) or ``quantile`` (linear between
        the two nearest values).
    column : str, optional
        The column of the source; only ``count`` does without, and counts rows.
    time_window : str or timedelta
        How long the window is; of a session the gap that ends it: a row that comes later begins the next.
    window : str
        ``sliding``, ``tumbling`` or ``session``.
    hop : str or timedelta, optional
        The start of a sliding window is rounded down to multiples of it, counted from 1970.
    quantile : float, optional
        Which, from 0 to 1.
    name : str, optional
        What the feature is called; ``<column>_<function>_<time window>`` unless given.

    Examples
    --------
    >>> Aggregation("mean", "arr_delay", time_window="7d").name
    'arr_delay_mean_7d'
    >>> Aggregation("quantile", "arr_delay", time_window="1d", quantile=0.9, window="tumbling").name
    'arr_delay_p90_tumbling_1d'
    """

    function: str
    column: str | None = None
    time_window: str | dt.timedelta = "0"
    window: str = "sliding"
    hop: str | dt.timedelta | None = None
    quantile: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_one_of(self.function, FUNCTIONS, "function")
        _check_one_of(self.window, WINDOWS, "window")
        if self.column is not None:
            check_column(self.column, "an aggregation")
        elif self.function != "count":
            raise UsageError(f"{self.function!r} is of a column.", hint="Name it: column=.")
        length = parse_duration(self.time_window)
        if not length:
            raise UsageError("An aggregation has no window.", hint='Write time_window="7d".')
        object.__setattr__(self, "time_window", format_duration(length))
        self._check_hop(length)
        self._check_quantile()
        object.__setattr__(self, "name", check_column(self.name or self._usual_name(), "an aggregation"))

    def _check_hop(self, length: int) -> None:
        hop = 0 if self.hop is None else parse_duration(self.hop)
        if hop and (self.window != "sliding" or hop > length):
            raise UsageError(
                f"A hop of {format_duration(hop)} does not fit a {self.window} window of {self.time_window}.",
                hint="A hop rounds the start of a sliding window, and is at most as long.",
            )
        object.__setattr__(self, "hop", format_duration(hop) if hop > 1 else None)

    def _check_quantile(self) -> None:
        asked = self.quantile
        if (self.function == "quantile") != (asked is not None):
            raise UsageError(
                "A quantile says which." if asked is None else f"{self.function!r} has no quantile.",
                hint='Write Aggregation("quantile", column, quantile=0.9, time_window="1d").',
            )
        if asked is None:
            return
        if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 <= asked <= 1:
            raise UsageError(f"Quantile {ascii(asked)[:40]} is not between 0 and 1.", hint="The median is 0.5.")
        object.__setattr__(self, "quantile", float(asked))

    def _usual_name(self) -> str:
        said = self.function if self.quantile is None else f"p{self.quantile * 100:.10g}".replace(".", "_")
        kind = [] if self.window == "sliding" else [self.window]
        return "_".join([*([self.column] if self.column else []), said, *kind, str(self.time_window)])

    def to_dict(self) -> dict[str, Any]:
        """Return the aggregation as plain data; what was not said is left out."""
        usual = {"window": "sliding", "name": self._usual_name()}
        said = {member: getattr(self, member) for member in MEMBERS}
        return {member: value for member, value in said.items() if value is not None and usual.get(member) != value}

    @classmethod
    def from_dict(cls, data: object) -> "Aggregation":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        if not isinstance(data, Mapping):
            raise not_a_definition("aggregation", TypeError())
        for member in data:
            if member not in MEMBERS:
                raise UsageError(
                    f"An aggregation has no member {ascii(member)[:80]}.", hint=did_you_mean(str(member), MEMBERS)
                )
        try:
            return cls(**data)
        except TypeError as error:
            raise not_a_definition("aggregation", error) from None

    def __str__(self) -> str:
        what = f"{self.function}({self.column or '*'}{'' if self.quantile is None else f', {self.quantile:g}'})"
        return f"{what} over {self.window} {self.time_window}{f' by {self.hop}' if self.hop else ''}"


def check_aggregations(given: Any, where: str) -> tuple[Aggregation, ...]:
    """Return a view's aggregations, each under its own name.

    Raises
    ------
    UsageError
        When there is something else among them, or a name twice.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(e, Aggregation) for e in given):
        raise UsageError(
            f"The aggregations of {where} are no list of aggregations.",
            hint='Write aggregations=[Aggregation("mean", "delay", time_window="7d")].',
        )
    names = [each.name for each in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"Two aggregations of {where} are called {twice[0]!r}.", hint="Name one: name=.")
    return tuple(given)


def _check_one_of(value: object, known: Sequence[str], what: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise UsageError(
            f"{ascii(value)[:60]} is no {what} of an aggregation.",
            hint=did_you_mean(str(value), known, limit=len(known)),
        )

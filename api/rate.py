"""How often something may happen: buckets of tokens, one for each name, in this process."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_REMEMBERED: Final = 10_000


class RateLimit:
    """So many events a second and name, and so many at once.

    Parameters
    ----------
    per_second : float
        How many are given back each second.
    burst : float
        How many may come at once.
    clock : callable
        Seconds that only grow.

    Examples
    --------
    >>> now = [0.0]
    >>> limit = RateLimit(per_second=2, burst=1, clock=lambda: now[0])
    >>> limit.take("a"), limit.take("a"), limit.take("b")
    (0.0, 0.5, 0.0)
    >>> now[0] = 0.5
    >>> limit.take("a")
    0.0
    """

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        # What is left for each name, and when that was so; of the names that were heard of least lately none is kept.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Count an event; return 0, or after how many seconds it may come again."""
        left, now = self._now(name)
        if left < 1:
            return (1 - left) / self._per_second
        self._keep(name, left - 1, now)
        return 0.0

    def look(self, name: str) -> float:
        """Return after how many seconds an event may come, and count none."""
        if not self._left:
            return 0.0 if self._burst >= 1 else (1 - self._burst) / self._per_second
        left, _ = self._now(name)
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def _now(self, name: str) -> tuple[float, float]:
        now = self._clock()
        left, since = self._left.get(name, (self._burst, now))
        return min(self._burst, left + (now - since) * self._per_second), now

    def _keep(self, name: str, left: float, now: float) -> None:
        self._left[name] = (left, now)
        self._left.move_to_end(name)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)


def whole_seconds(seconds: float) -> str:
    """Return seconds as a header says them.

    Examples
    --------
    >>> whole_seconds(0.2), whole_seconds(1.2)
    ('1', '2')
    """
    return str(max(1, math.ceil(seconds)))

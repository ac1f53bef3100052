"""What was put together from a run of parts: a longer run begins where a shorter one ended."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from blake3 import blake3

Value = TypeVar("Value")


def chain(parts: Iterable[str]) -> list[bytes]:
    """Return a name for each beginning of a run of parts, that of no part first.

    Examples
    --------
    >>> chain(["a", "b"])[:2] == chain(["a", "c"])[:2], chain(["a", "b"])[2] == chain(["a", "c"])[2]
    (True, False)
    """
    names = [b""]
    for part in parts:
        names.append(blake3(names[-1] + part.encode()).digest())
    return names


class PrefixCache(Generic[Value]):
    """Keeps values by the runs that they were made of, those that were used last.

    Parameters
    ----------
    most : int
        How many.

    Examples
    --------
    >>> sums: PrefixCache[int] = PrefixCache(8)
    >>> sums.keep(chain("12")[-1], 3)
    >>> sums.find_longest(chain("123"))
    (2, 3)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Value] = OrderedDict()
        self._lock = Lock()

    def find_longest(self, names: Sequence[bytes]) -> tuple[int, Value | None]:
        """Return how many parts the longest known beginning has, and its value; 0 and None when none is known."""
        with self._lock:
            for place in range(len(names) - 1, -1, -1):
                if names[place] in self._kept:
                    self._kept.move_to_end(names[place])
                    return place, self._kept[names[place]]
        return 0, None

    def keep(self, name: bytes, value: Value) -> None:
        """Keep the value of a run."""
        with self._lock:
            self._kept[name] = value
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

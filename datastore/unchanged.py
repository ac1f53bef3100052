"""What the catalog said, kept while nothing is committed."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Unchanged(Generic[Value]):
    """Keeps what was looked up under a mark of the catalog's state; at another mark all of it is forgotten.

    Parameters
    ----------
    most : int
        How many values.

    Examples
    --------
    >>> sizes: Unchanged[int] = Unchanged(8)
    >>> sizes.find((1, 1), "flights", lambda: 3), sizes.find((1, 1), "flights", lambda: 4)
    (3, 3)
    >>> sizes.find((1, 2), "flights", lambda: 4)
    4
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Threads share it without a lock: each takes the mark and what is known at it together.
        self._known: tuple[tuple[int, int], dict[Hashable, Value]] = (0, 0), {}

    def find(self, mark: tuple[int, int] | None, key: Hashable, look_up: Callable[[], Value]) -> Value:
        """Return what is known at a mark, looked up unless it is; without a mark it is looked up each time.

        The mark is read before: what is looked up is as it was at the mark or later, and then the next is another one.
        """
        if mark is None:
            return look_up()
        at = self._known
        if at[0] != mark:
            at = self._known = mark, {}
        known = at[1]
        value = known.get(key)
        if value is None:
            value = look_up()
            if value is not None:
                if len(known) >= self._most:
                    known.clear()
                known[key] = value
        return value

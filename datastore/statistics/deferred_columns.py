"""The profiles of columns that are made when somebody asks for them: most questions are about a few."""

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from threading import RLock

from foldstore.datastore.statistics.column import ColumnProfile


class DeferredColumns(Mapping[str, ColumnProfile]):
    """The profiles of columns by name; one is made when it is first asked for.

    Parameters
    ----------
    types : Mapping[str, str]
        The type of each column's values, as text; known without a look at them.
    make : callable
        Profiles some columns, by name.
    """

    def __init__(self, types: Mapping[str, str], make: Callable[[Sequence[str]], Mapping[str, ColumnProfile]]) -> None:
        self.types = types
        self._make = make
        self._made: dict[str, ColumnProfile] = {}
        self._lock = RLock()

    def __getitem__(self, name: str) -> ColumnProfile:
        if name not in self.types:
            raise KeyError(name)
        self._see_to([name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def __contains__(self, name: object) -> bool:
        return name in self.types

    def values(self) -> ValuesView[ColumnProfile]:
        """Return the profiles of all columns; those that nobody asked for yet are made side by side."""
        self._see_to(list(self.types))
        return super().values()

    def items(self) -> ItemsView[str, ColumnProfile]:
        """Return the names and profiles of all columns; those that nobody asked for yet are made side by side."""
        self._see_to(list(self.types))
        return super().items()

    def _see_to(self, names: Sequence[str]) -> None:
        with self._lock:
            missing = [name for name in names if name not in self._made]
            if missing:
                self._made |= self._make(missing)

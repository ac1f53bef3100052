"""Values that a person chose among those of a column: the positive labels, the disadvantaged groups."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.statistics.reading import value_type
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.validation.bias.cells import Threshold, name_value, read_threshold

_TEXTS: Final = (str, bytes)


class Choice:
    """Some values of a column, given as they are, as their names, or as text that reads as the column's type.

    Parameters
    ----------
    what : str
        The argument that they came by, for messages.
    column : str
        Whose values they are.
    chosen : sequence
        At least one.
    kind : pyarrow.DataType
        The column's type.

    Examples
    --------
    >>> choice = Choice("positive", "late", ["yes"], pa.string())
    >>> choice.holds("yes", "yes"), choice.holds("no", "no")
    (True, False)
    """

    def __init__(self, what: str, column: str, chosen: Sequence[Any], kind: pa.DataType) -> None:
        self._what = what
        self._column = column
        self._chosen = tuple(chosen)
        self._read = [_read(value, kind) for value in chosen]

    def __str__(self) -> str:
        return ", ".join(map(name_value, self._chosen))

    def holds(self, name: str, value: Any) -> bool:
        """Say whether a cell is among them."""
        return any(self._same(place, name, value) for place in range(len(self._chosen)))

    def check(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Refuse a choice that holds what does not occur.

        Raises
        ------
        NotFoundError
            With the values that there are.
        """
        cells = list(zip(names, values, strict=True))
        for place, value in enumerate(self._chosen):
            if not any(self._same(place, *cell) for cell in cells):
                raise NotFoundError(
                    f"{self._what}: {value!r} does not occur in {self._column!r}.",
                    hint=did_you_mean(value, names),
                    code="value-not-found",
                    column=self._column,
                    value=name_value(value),
                    available=sorted(names),
                )

    def _same(self, place: int, name: str, value: Any) -> bool:
        chosen = self._chosen[place]
        if isinstance(chosen, str) and chosen == name:
            return True
        return bool(chosen == value) or (self._read[place] is not None and bool(self._read[place] == value))


def read_choice(what: str, chosen: object, *, numbers: bool) -> Threshold | list[Any]:
    """Return what was chosen: a comparison where the column holds numbers, or a list of values.

    Examples
    --------
    >>> read_choice("positive", "> 15", numbers=True), read_choice("positive", ">50K", numbers=False)
    (Threshold(operator='>', number=15), ['>50K'])

    Raises
    ------
    UsageError
        When nothing was chosen.
    """
    single = isinstance(chosen, _TEXTS) or not isinstance(chosen, Iterable)
    values = [chosen] if single else list(chosen)  # type: ignore[call-overload]
    if isinstance(chosen, set | frozenset):
        values.sort(key=name_value)  # a report says the same however a set is ordered
    if not values:
        raise UsageError(f"{what} names no value.", hint=f"Give at least one, {what}=['yes'].")
    for value in values:
        if value is None:
            raise UsageError(f"{what} holds None, which is no value.", hint="Rows without a value are left out.")
    threshold = read_threshold(values[0]) if numbers and len(values) == 1 else None
    return values if threshold is None else threshold


def _read(value: Any, kind: pa.DataType) -> Any:
    """Read a text as a value of the column's type, as the command gives all values; None when it is none."""
    kind = value_type(kind)
    if not isinstance(value, str) or pa.types.is_null(kind):
        return None
    try:
        return pa.array([value.strip()]).cast(kind)[0].as_py()
    except (pa.ArrowException, ValueError, OverflowError):
        return None

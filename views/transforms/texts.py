"""Operations on texts and on whole columns: normalise, drop."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa

from foldstore.views.transforms.numbers import is_text, map_distinct
from foldstore.views.transforms.operation import (
    Columns,
    Kinds,
    Operation,
    RowKernel,
    State,
    find_kind,
    refuse_kind,
    refuse_parameter,
)

STEPS: Final[dict[str, Callable[[str], str]]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "trim": str.strip,
    "collapse": lambda text: " ".join(text.split()),
    "lower": str.lower,
    "upper": str.upper,
    "casefold": str.casefold,
}
_MOST_MAPPED: Final = 100_000


@dataclass(frozen=True, slots=True)
class NormalizeText(Operation):
    """Write texts in one way; then replace whole texts by a table.

    Parameters
    ----------
    column : str
    steps : list of str
        In this order, of nfc, nfkc, trim, collapse (runs of blanks), lower, upper, casefold.
    mapping : dict of str to str, optional
        What each of some texts becomes.
    """

    OP: ClassVar[str] = "text"

    steps: Sequence[str] = ("nfc", "trim")
    mapping: Mapping[str, str] | None = None

    def check(self) -> None:
        """Refuse steps that are none."""
        steps = tuple(self.steps) if isinstance(self.steps, list | tuple) else (None,)
        strange = [step for step in steps if not isinstance(step, str) or step not in STEPS]
        if strange or not (steps or self.mapping):
            raise refuse_parameter(
                self, f"{ascii(strange or self.steps)[:60]} are no steps", f"Steps: {', '.join(STEPS)}."
            )
        object.__setattr__(self, "steps", steps)
        if self.mapping is not None and (
            not isinstance(self.mapping, Mapping)
            or len(self.mapping) > _MOST_MAPPED
            or not all(isinstance(text, str) for pair in self.mapping.items() for text in pair)
        ):
            raise refuse_parameter(self, "the mapping is no table of texts", 'Write {"NYC": "New York"}.')

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Texts stay texts."""
        kind = find_kind(self, kinds)
        if not is_text(kind):
            raise refuse_kind(self, kind, "texts")

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Write each distinct text anew."""
        array = columns[self.column]
        columns[self.column] = map_distinct(array, self._function(), array.type)
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, function = self.column, self._function()

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is not None:
                row[name] = function(x)
            return False

        return kernel

    def _function(self) -> Callable[[str], str]:
        steps, mapping = [STEPS[step] for step in self.steps], dict(self.mapping or {})

        def function(text: str) -> str:
            for step in steps:
                text = step(text)
            return mapping.get(text, text)

        return function

    def probes(self, state: State) -> Sequence[Any]:  # noqa: ARG002
        """Return texts that normal forms differ on."""
        return ["  Straße  ", "cafe\u0301", "İstanbul", "ﬁ\u00a0x", "", *(self.mapping or {})][:20]


@dataclass(frozen=True, slots=True)
class Drop(Operation):
    """Leave a column out of what comes out."""

    OP: ClassVar[str] = "drop"

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """The column goes."""
        find_kind(self, kinds)
        del kinds[self.column]

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Drop."""
        del columns[self.column]
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name = self.column

        def kernel(row: dict[str, Any]) -> bool:
            del row[name]
            return False

        return kernel

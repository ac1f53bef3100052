"""The conflicts of a merge: counted exactly, a few of each kind shown, raised as one error."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from foldstore.errors import ConflictError

MAX_EXAMPLES: Final = 10
_MOST_SHOWN: Final = 3


class ConflictKind(StrEnum):
    """What two sides did to the same thing."""

    BOTH_ADDED = "both-added"
    BOTH_CHANGED = "both-changed"
    DELETE_CHANGE = "delete-change"
    COLUMN_CHANGED = "column-changed"
    COLUMN_DROPPED = "column-dropped"
    COLUMN_NAME = "column-name"
    COLUMN_EXPRESSION = "column-expression"


_WORDS: Final[Mapping[ConflictKind, str]] = {
    ConflictKind.BOTH_ADDED: "key added on both sides with other values",
    ConflictKind.BOTH_CHANGED: "row changed on both sides",
    ConflictKind.DELETE_CHANGE: "row deleted on one side and changed on the other",
    ConflictKind.COLUMN_CHANGED: "column changed differently on both sides",
    ConflictKind.COLUMN_DROPPED: "column dropped on one side and changed on the other",
    ConflictKind.COLUMN_NAME: "name of different columns",
    ConflictKind.COLUMN_EXPRESSION: "derived column whose inputs the merge does not have",
}


@dataclass(slots=True)
class Conflicts:
    """Collects what two sides did to the same thing, while a merge is planned.

    Parameters
    ----------
    ours, theirs, base : str or None
        The addresses of the versions.
    prefer : str or None
        Whose side wins: then only what cannot be settled so is a conflict.
    """

    ours: str
    theirs: str
    base: str | None
    prefer: str | None = None
    _counts: Counter[ConflictKind] = field(default_factory=Counter)
    _examples: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, kind: ConflictKind, count: int, examples: Iterable[Mapping[str, Any]], *, settled: bool = True
    ) -> None:
        """Add conflicts of a kind; those that the preferred side settles are none."""
        if not count or (settled and self.prefer is not None):
            return
        room = MAX_EXAMPLES - sum(each["kind"] == kind for each in self._examples)
        self._counts[kind] += count
        shown = list(examples)[:room]
        self._examples += [{"kind": str(kind), **each, "ours": self.ours, "theirs": self.theirs} for each in shown]

    def add_column(self, kind: ConflictKind, name: str, *, settled: bool = True, **facts: Any) -> None:
        """Add the conflict of one column."""
        self.add(kind, 1, [{"column": name, **facts}], settled=settled)

    def raise_if_any(self) -> None:
        """Raise what was collected, as one error.

        Raises
        ------
        ConflictError
            With code ``merge-conflict``.
        """
        if not self._counts:
            return
        parts = [f"{count:,} x {_WORDS[kind]}{self._show(kind)}" for kind, count in self._counts.items()]
        total = sum(self._counts.values())
        raise ConflictError(
            f"{self.theirs} does not merge into {self.ours}: {total:,} conflict{'s' if total > 1 else ''}: "
            f"{'; '.join(parts)}.",
            hint=self._hint(),
            retry=False,
            code="merge-conflict",
            ours=self.ours,
            theirs=self.theirs,
            base=self.base,
            counts={str(kind): count for kind, count in self._counts.items()},
            conflicts=list(self._examples),
        )

    def _show(self, kind: ConflictKind) -> str:
        shown = [_name(each) for each in self._examples if each["kind"] == kind][:_MOST_SHOWN]
        return f" ({'; '.join(shown)}{'; ...' if self._counts[kind] > len(shown) else ''})"

    def _hint(self) -> str:
        if self.prefer is None:
            return (
                "Nothing was committed. prefer='ours' or prefer='theirs' (--prefer) settles them; or change one side "
                "until both agree, and merge again."
            )
        return "Nothing was committed. Preferring a side does not settle these: rename, drop or widen on one side."


def _name(example: Mapping[str, Any]) -> str:
    if "column" in example:
        return str(example["column"])
    key = ", ".join(f"{name}={value}" for name, value in example["key"].items())
    columns: Sequence[str] = example.get("columns", ())
    return f"{key}: {', '.join(columns)}" if columns else key

"""Rules: conditions that are joined by OR, each over all that a view reads or over one input of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from foldstore.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from foldstore.views.view import View

EVERY_SOURCE: Final = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of which inputs, and how much they weigh in a blend.

    Attributes
    ----------
    where : str or None
        An SQL condition on the row; all rows unless given.
    source : str
        The input that it speaks of, by the address that it was given by or by its name; ``*`` for all of them.
    weight : float or str
        How many of its rows come to those of the other rules; see `View.blend`.

    Examples
    --------
    >>> Rule("origin = 'JFK'", source="flights", weight=5).source
    'flights'
    """

    where: str | None = None
    source: str = EVERY_SOURCE
    weight: float | str = 1

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not (self.where is None or isinstance(self.where, str)):
            raise UsageError("A rule has a condition and the address of an input.", hint="Rule('late', source='a@1')")

    def speaks_of(self, view: "View") -> bool:
        """Say whether the rule is about an input."""
        return self.source == EVERY_SOURCE or self.source in _names_of(view)

    def applied(self, view: "View") -> "View":
        """Return the rows of an input that meet the condition."""
        return view if self.where is None else view.where(self.where)


def find_inputs(rule: Rule, views: tuple["View", ...]) -> list["View"]:
    """Return the inputs that a rule speaks of.

    Raises
    ------
    UsageError
        When there is none.
    """
    found = [view for view in views if rule.speaks_of(view)]
    if not found:
        known = sorted({name for view in views for name in _names_of(view)})
        raise UsageError(
            f"The view does not read {rule.source!r}.", hint=did_you_mean(rule.source, [*known, EVERY_SOURCE])
        )
    return found


def read_rules(rules: tuple[object, ...]) -> list[Rule]:
    """Return rules that were given as such or as conditions.

    Raises
    ------
    UsageError
        When there is none, or one is neither.
    """
    if not rules:
        raise UsageError("There is no condition.", hint="where_any(\"origin = 'JFK'\", 'late')")
    read = []
    for rule in rules:
        if not isinstance(rule, str | Rule):
            raise UsageError(f"{ascii(rule)[:60]} is no condition.", hint="Give texts, or foldstore.Rule(...).")
        read.append(Rule(rule) if isinstance(rule, str) else rule)
    return read


def _names_of(view: "View") -> set[str]:
    names = {view.opened_as} if view.opened_as else set()
    for pinned in view.sources():
        names |= {pinned.source.address} | ({pinned.asked} if pinned.asked else set())
    return names | {name.partition("@")[0] for name in names}

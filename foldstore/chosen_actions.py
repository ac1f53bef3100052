"""Actions that were chosen to clean a version: looked at, left out, joined; what has them does something about it."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Self

from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.plan_document import PlanDocument


class ChosenActions:
    """The document of a plan as a sequence of actions that a person chooses from; a part of the handles of plans."""

    _document: PlanDocument

    def _with(self, actions: Iterable[CleaningAction]) -> Self:
        raise NotImplementedError

    def __repr__(self) -> str:
        split = f", learnt from #{self.split}.train" if self.split else ""
        return f"<CleaningPlan of {self._document.version}: {len(self)} actions{split}>"

    def __str__(self) -> str:
        lines = [f"{place}. [{each.confidence:.2f}] {each}" for place, each in enumerate(self.actions, 1)]
        return "\n".join([repr(self), *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{place}</td><td>{each.confidence:.2f}</td><td>{escape(each.code)}</td><td>{escape(str(each))}</td></tr>"
            for place, each in enumerate(self.actions, 1)
        )
        return f"<table><caption>{escape(repr(self))}</caption>{rows}</table>"

    def __len__(self) -> int:
        return len(self.actions)

    def __iter__(self) -> Iterator[CleaningAction]:
        return iter(self.actions)

    @property
    def actions(self) -> tuple[CleaningAction, ...]:
        """The actions, in order."""
        return self._document.actions

    @property
    def split(self) -> str | None:
        """The split whose train part rules are learnt from."""
        return self._document.split

    @property
    def document(self) -> PlanDocument:
        """The plan as plain data."""
        return self._document

    def only(self, *places: int) -> Self:
        """Return a plan of some actions, by their place in the list, from 1."""
        wrong = [place for place in places if not 1 <= place <= len(self)]
        if wrong:
            raise UsageError(f"There is no action {wrong[0]}.", hint=f"They run from 1 to {len(self)}.")
        return self._with(each for place, each in enumerate(self.actions, 1) if place in places)

    def without(self, *places: int) -> Self:
        """Return a plan without some actions, by their place in the list, from 1."""
        return self.only(*(place for place in range(1, len(self) + 1) if place not in places))

    def at_least(self, confidence: float) -> Self:
        """Return a plan of the actions that are at least so sure.

        Raises
        ------
        UsageError
            When the confidence does not lie between 0 and 1.
        """
        if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
            raise UsageError(f"No action is {confidence!r} sure.", hint="Write a number between 0 and 1, such as 0.5.")
        return self._with(each for each in self.actions if each.confidence >= confidence)

    def then(self, *actions: CleaningAction | dict[str, Any]) -> Self:
        """Return a plan with more actions behind the others."""
        return self._with([*self.actions, *map(read_action, actions)])

    def to_json(self) -> str:
        """Return the document ``cleaning/v1`` as text."""
        return self._document.to_json()


def read_action(given: CleaningAction | dict[str, Any]) -> CleaningAction:
    """Return an action, given as one or as plain data."""
    return given if isinstance(given, CleaningAction) else CleaningAction.from_dict(given)


def read_document(address: str, actions: "PlanDocument | str | Iterable[Any]", split: str | None) -> PlanDocument:
    """Return the document of a plan for a version, of actions or of a document that was made for another.

    Raises
    ------
    UsageError
        With code ``invalid-action`` or ``invalid-plan``.
    """
    if isinstance(actions, str):
        actions = PlanDocument.from_json(actions)
    if isinstance(actions, PlanDocument):
        split = actions.split if split is None else split
        actions = actions.actions
    if isinstance(actions, dict):
        raise UsageError("A plan is a list of actions.", hint="Write [{'op': ...}].", code="invalid-plan")
    return PlanDocument(version=address, actions=tuple(map(read_action, actions)), split=split)

"""The document of a cleaning plan, ``cleaning/v1``: actions in order, for one version, with the split to learn from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import CleaningAction

FORMAT: Final = "cleaning/v1"
MOST_ACTIONS: Final = 1_000
MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDocument:
    """What shall be done to a version, as plain data.

    Attributes
    ----------
    version : str
        The address of the version that it was made for.
    actions : tuple of CleaningAction
        In the order in which they are done.
    split : str or None
        The split whose train part rules are learnt from; all rows unless given.

    Examples
    --------
    >>> action = CleaningAction(op="set_null", column="age", params={"values": [-999]})
    >>> document = PlanDocument(version="people@1", actions=(action,))
    >>> PlanDocument.from_json(document.to_json()) == document
    True
    """

    version: str
    actions: tuple[CleaningAction, ...]
    split: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))
        if len(self.actions) > MOST_ACTIONS:
            raise UsageError(
                f"A plan has at most {MOST_ACTIONS:,} actions, not {len(self.actions):,}.",
                hint="Join mappings of a column into one action.",
                code="invalid-plan",
            )

    @property
    def id(self) -> str:
        """The identity of what the plan does."""
        does = [self.version, self.split, [action.id for action in self.actions]]
        return content_hash(canonical_json(does).encode())

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {"format": FORMAT, "version": self.version}
        if self.split is not None:
            plain["split"] = self.split
        return plain | {"actions": [action.to_dict() for action in self.actions]}

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, data: Any) -> "PlanDocument":
        """Read what `to_dict` gave.

        Raises
        ------
        UsageError
            With code ``invalid-plan`` or ``invalid-action``.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise _invalid(f"This is no document of the format {FORMAT}.")
        strange = sorted(set(data) - {"format", "version", "split", "actions"})
        if strange:
            raise _invalid(f"A plan has no {strange[0]!r}.")
        actions, split = data.get("actions"), data.get("split")
        if not isinstance(data.get("version"), str) or not isinstance(actions, list | tuple):
            raise _invalid("A plan names its version and lists its actions.")
        if split is not None and not isinstance(split, str):
            raise _invalid("The split of a plan is a name.")
        return cls(version=data["version"], actions=tuple(map(CleaningAction.from_dict, actions)), split=split)

    @classmethod
    def from_json(cls, text: str | bytes) -> "PlanDocument":
        """Read what `to_json` gave.

        Raises
        ------
        UsageError
            When it is no such document.
        """
        if len(text) > MOST_BYTES:
            raise _invalid(f"A plan has at most {MOST_BYTES >> 20} MB.")
        try:
            return cls.from_dict(json.loads(text, parse_constant=_refuse_constant))
        except (ValueError, RecursionError) as error:
            if isinstance(error, UsageError):
                raise
            raise _invalid(f"The plan is no JSON: {error}.") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _invalid(message: str) -> UsageError:
    return UsageError(message, hint="docs/formats.md describes cleaning/v1.", code="invalid-plan")

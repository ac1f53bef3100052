"""What people say of a definition: what it is, whose it is, and tags to find it by."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from foldstore.datastore.free_text import check_text
from foldstore.errors import UsageError
from foldstore.names import check_label

MEMBERS: Final = ("description", "owner", "tags")
_MAX_TEXT: Final = 10_000
_MAX_OWNER: Final = 200


class Described(Protocol):
    """A definition that says something of itself."""

    @property
    def description(self) -> str:
        """What it is."""

    @property
    def owner(self) -> str | None:
        """Whose it is."""

    @property
    def tags(self) -> Sequence[str]:
        """What it is found by."""


def check_about(definition: Described, where: str) -> tuple[str, ...]:
    """Refuse what cannot be kept; return the tags, each once, in order.

    Raises
    ------
    UsageError
        When a text cannot be kept.
    InvalidNameError
        When a tag is no name.
    """
    check_text(definition.description, f"The description of {where}", _MAX_TEXT)
    if definition.owner is not None:
        check_text(definition.owner, f"The owner of {where}", _MAX_OWNER, line=True)
    tags = definition.tags
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise UsageError(f"The tags of {where} are no list of names.", hint='Write tags=["air", "public"].')
    return tuple(sorted({check_label(tag, "tag") for tag in tags}))


def about_to_dict(definition: Described) -> dict[str, Any]:
    """Return what is said as plain data; what is not said leaves no trace, nor a new identity."""
    said = {"description": definition.description, "owner": definition.owner, "tags": list(definition.tags)}
    return {name: value for name, value in said.items() if value}

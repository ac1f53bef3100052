"""A request in several parts: a document of JSON that says what is to be done, and the rows that it is done with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.files import hash_file

DOCUMENT: Final = "request"
# What a client knew when it wrote the request is no part of what it asks for: with the same key it may ask again.
_SEEN: Final = "parent"


@dataclass(frozen=True, slots=True)
class SentParts:
    """What was sent.

    Attributes
    ----------
    document : object
        Plain data: of a body of JSON, or of the part `request`.
    files : mapping of str to Path
        Files of rows, by the names of their parts.
    """

    document: Any
    files: Mapping[str, Path] = field(default_factory=dict)

    def text(self) -> str:
        """Return what tells it from another; how it was cut into a body does not count."""
        document = self.document
        if isinstance(document, dict):
            document = {name: value for name, value in document.items() if name != _SEEN}
        return canonical_json([document, {name: hash_file(path) for name, path in sorted(self.files.items())}])


def files_of(body: Any) -> list[Path]:
    """List the files of rows that a body has."""
    if isinstance(body, SentParts):
        return list(body.files.values())
    return [body] if isinstance(body, Path) else []


def with_files(body: Any, places: Sequence[Path]) -> Any:
    """Return a body whose files lie elsewhere."""
    if isinstance(body, SentParts):
        return SentParts(body.document, dict(zip(body.files, places, strict=True)))
    return places[0] if isinstance(body, Path) else body

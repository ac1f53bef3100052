"""What bodies hold: the members of a JSON object, known ones alone and each of its type; or rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload
from uuid import uuid4

import pyarrow as pa

from foldstore.api.problem import BodyTooLargeError, MalformedRowsError
from foldstore.api.request_body import write_lines
from foldstore.datastore.ingest.declared_size import declared_sizes
from foldstore.datastore.ingest.source import open_source
from foldstore.errors import IngestError, UsageError, did_you_mean


class Members:
    """An object that was sent.

    Parameters
    ----------
    body : object
        What the body says.
    *known : str
        The members that it may have.

    Raises
    ------
    UsageError
        When it is no object, or has another member.

    Examples
    --------
    >>> Members({"name": "flights"}, "name", "key").text("name")
    'flights'
    """

    def __init__(self, body: Any, *known: str) -> None:
        if not isinstance(body, dict):
            raise UsageError("The body is not an object.", hint=f"Its members are {', '.join(known)}.")
        for name in body:
            if name not in known:
                raise UsageError(
                    f"The body has no member {ascii(name)[:60]}.",
                    hint=did_you_mean(name[:60], known),
                    code="unknown-member",
                )
        self._body: Mapping[str, Any] = body

    def given(self) -> dict[str, Any]:
        """Return what was sent, as it is; for verbs that check their arguments themselves."""
        return dict(self._body)

    @overload
    def text(self, name: str, *, required: Literal[True]) -> str: ...
    @overload
    def text(self, name: str, *, required: bool = False) -> str | None: ...
    def text(self, name: str, *, required: bool = False) -> str | None:
        """Return a member that is text."""
        value = self._body.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or "\0" in value:
            said = "is missing" if value is None else "is not text"
            raise UsageError(f"The member {name!r} {said}.", hint=f'Write {{"{name}": "..."}}.')
        return value

    @overload
    def version(self, name: str, *, required: Literal[True]) -> str: ...
    @overload
    def version(self, name: str, *, required: bool = False) -> str | None: ...
    def version(self, name: str, *, required: bool = False) -> str | None:
        """Return a member that names a version: text, or its number.

        Examples
        --------
        >>> Members({"version": 3}, "version").version("version")
        '3'
        """
        value = self._body.get(name)
        return str(value) if type(value) is int and value >= 0 else self.text(name, required=required)

    def texts(self, name: str) -> list[str] | None:
        """Return a member that is a list of texts."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise UsageError(f"The member {name!r} is not a list of texts.", hint=f'Write {{"{name}": ["..."]}}.')
        return value

    def text_mapping(self, name: str) -> dict[str, str] | None:
        """Return a member whose own members are texts."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise UsageError(
                f"The member {name!r} is not an object of texts.", hint=f'Write {{"{name}": {{"a": "..."}}}}.'
            )
        return value

    def mapping(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """Return a member that is an object; an empty one when it was left out."""
        value = self._body.get(name)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            said = "is missing" if value is None else "is not an object"
            raise UsageError(f"The member {name!r} {said}.", hint=f'Write {{"{name}": {{...}}}}.')
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a member that is true or false."""
        value = self._body.get(name, default)
        if not isinstance(value, bool):
            raise UsageError(f"The member {name!r} is not true or false.", hint=f'Write {{"{name}": true}}.')
        return value

    def choice(self, name: str, choices: Sequence[str]) -> Any:
        """Return a member that is one of several texts; the first unless given."""
        value = self._body.get(name, choices[0])
        if value not in choices:
            raise UsageError(f"{name}={ascii(value)[:40]} is no choice.", hint=f"Write one of {', '.join(choices)}.")
        return value

    def number(self, name: str, *, most: float) -> float | None:
        """Return a member that is a number above zero."""
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise UsageError(f"The member {name!r} is not a number above 0 and up to {most:g}.", hint="Write a number.")
        return value


@contextmanager
def rows_of(body: Path | None) -> Iterator[None]:
    """Say of rows that cannot be read that it is the body; the file that it was written to is nobody's business.

    Parameters
    ----------
    body : Path or None
        The file; None when the rows are members of a JSON body.

    Raises
    ------
    MalformedRowsError
        In place of whatever reading the file raises.
    """
    try:
        yield
    except IngestError as error:
        said = error.message
        for named in () if body is None else (str(body), body.name):
            said = said.replace(repr(named), "The body")
        raise MalformedRowsError(said, hint=error.hint) from error


def refuse_bombs(body: Path, limit: int) -> None:
    """Refuse rows that say they grow beyond a limit; nothing is decompressed for it.

    Raises
    ------
    BodyTooLargeError
        When a batch of them does.
    MalformedRowsError
        When they are damaged.
    """
    with rows_of(body):
        largest = max(declared_sizes(body), default=0)
    if largest > limit:
        raise BodyTooLargeError(
            f"A batch of the rows takes {largest:,} bytes once it is decompressed, more than {limit:,}.",
            hint="Write smaller batches, or row groups.",
            max_rows_memory=limit,
        )


def read_rows(body: Path) -> pa.Table:
    """Return the rows that a body holds."""
    with rows_of(body):
        source = open_source(body)
        return pa.Table.from_batches(source.batches, source.schema)


def inline_rows(rows: Any, folder: Path) -> Path:
    """Write rows that are members of a JSON body to a file, so that they are read as others are.

    Parameters
    ----------
    rows : object
        A list of objects.
    folder : Path
        Where to put the file, under a name of ours.

    Raises
    ------
    MalformedBodyError
        When they are none.
    """
    path = folder / f"{uuid4().hex}.jsonl"
    path.write_bytes(write_lines(rows))
    return path

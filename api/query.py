"""What stands behind the question mark of a URL: known names alone, each once, each of its type."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foldstore.api.problem import MalformedBodyError
from foldstore.api.request_body import parse_json
from foldstore.errors import UsageError, did_you_mean

_LONGEST: Final = 20_000
_DEEPEST: Final = 8
_SHARE: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """One parameter: its name, what it says, and an example."""

    name: str
    what: str
    example: str = ""
    kind: str = "string"


class Query:
    """The parameters of one request.

    Parameters
    ----------
    given : sequence of (str, str)
        Names and values, as they were sent.
    known : sequence of QueryParameter
        What the route takes.

    Raises
    ------
    UsageError
        When a name is unknown or stands twice, or a value is too long.

    Examples
    --------
    >>> Query([("limit", "5")], [QueryParameter("limit", "how many")]).number("limit", default=100, most=1000)
    5
    """

    def __init__(self, given: Sequence[tuple[str, str]], known: Sequence[QueryParameter]) -> None:
        names = [parameter.name for parameter in known]
        self._given: Mapping[str, str] = dict(given)
        for name, value in given:
            if name not in names:
                raise UsageError(
                    f"There is no parameter {ascii(name)[:60]}.",
                    hint=did_you_mean(name[:60], names) if names else "This route takes none.",
                    code="unknown-parameter",
                )
            if len(value) > _LONGEST:
                raise UsageError(f"The parameter {name!r} is too long.", hint=f"At most {_LONGEST:,} characters.")
        if len(self._given) < len(given):
            names = [name for name, _ in given]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"The parameter {twice!r} stands twice.", hint="Give it once; lists are joined by commas.")

    def text(self, name: str) -> str | None:
        """Return a value as it is, None when it was not given."""
        return self._given.get(name)

    def required(self, name: str) -> str:
        """Return a value that must be given."""
        value = self._given.get(name)
        if value is None:
            raise UsageError(f"The parameter {name!r} is missing.", hint=f"Write ?{name}=...")
        return value

    def names(self, name: str) -> list[str] | None:
        """Return a value that lists names: joined by commas, or as JSON writes a list, for names with commas."""
        value = self._given.get(name)
        if value is None:
            return None
        found = _read_list(value)
        return found if found is not None and _are_texts(found) else value.split(",")

    def groups(self, name: str) -> list[list[str]] | None:
        """Return a value that lists lists of names, as JSON; names alone are one list."""
        value = self._given.get(name)
        found = None if value is None else _read_list(value)
        if found and all(isinstance(each, list) and _are_texts(each) for each in found):
            return found
        names = self.names(name)
        return None if names is None else [names] if names else []

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return a value that is an object of JSON."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            found = parse_json(value.encode(), _DEEPEST)
        except MalformedBodyError as error:
            raise _no_object(name) from error
        if not isinstance(found, dict):
            raise _no_object(name)
        return found

    def number(self, name: str, *, default: int, most: int, least: int = 0) -> int:
        """Return a value that is a whole number within bounds."""
        value = self._given.get(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 19 and least <= int(value) <= most):
            raise UsageError(
                f"{name}={ascii(value)[:40]} is not a number from {least:,} to {most:,}.", hint=f"Write {name}={least}."
            )
        return int(value)

    def share(self, name: str, *, default: float) -> float:
        """Return a value that is a number from 0 to 1."""
        value = self._given.get(name)
        if value is None:
            return default
        if not (_SHARE.fullmatch(value) and float(value) <= 1):
            raise UsageError(
                f"{name}={ascii(value)[:40]} is not a number from 0 to 1.", hint=f"Write {name}={default}."
            )
        return float(value)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of several values; the first unless given."""
        value = self._given.get(name, choices[0])
        if value not in choices:
            raise UsageError(f"{name}={ascii(value)[:40]} is no choice.", hint=f"Write one of {', '.join(choices)}.")
        return value

    def flag(self, name: str) -> bool:
        """Return whether a switch is on; off unless given."""
        return self.choice(name, ("false", "true")) == "true"


def _no_object(name: str) -> UsageError:
    return UsageError(f"The parameter {name!r} is not an object of JSON.", hint=f'Write {name}={{"a":1}}.')


def _read_list(value: str) -> list[Any] | None:
    if not value.startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # the name of a column may begin so
        return None
    return found if isinstance(found, list) else None


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(each, str) for each in values)

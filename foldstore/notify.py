"""Telling somebody: a webhook is posted to, or a command is given what was found on its standard input.

Neither is kept in the store: whoever runs a monitor says whom to tell, so that nobody who can write to a store makes
others run commands, and addresses with secrets are nowhere to be read.
"""

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from foldstore.errors import UsageError

_TIMEOUT: Final = 10.0
_COMMAND_TIMEOUT: Final = 60.0
_LONGEST: Final = 200
_MOST_TOLD: Final = 10
_FAILED: Final = "failed: "
NOT_TOLD: Final = "failed: whoever asked has not said that they told it"


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: what was asked for is what is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Whom to tell, and of what.

    Attributes
    ----------
    webhook : str or None
        An ``http`` or ``https`` address; JSON is posted to it.
    command : tuple of str
        A program and its arguments, run without a shell; JSON comes on its standard input.
    on : {'failure', 'always'}
        Of what fails, or of every version.

    Raises
    ------
    UsageError
        When the address is none that can be posted to, or nobody is named.

    Examples
    --------
    >>> Notify(command=("cat",)).tell({"address": "trips@3"})
    ('command',)
    """

    webhook: str | None = None
    command: tuple[str, ...] = ()
    on: Literal["failure", "always"] = "failure"

    def __post_init__(self) -> None:
        if self.webhook is None and not self.command:
            raise UsageError("Nobody is named to be told.", hint="Give a webhook or a command.")
        if self.on not in ("failure", "always"):
            raise UsageError(f"on={self.on!r} is not a choice.", hint="Write on='failure' or on='always'.")
        if self.webhook is not None:
            _check_address(self.webhook)
        if any("\0" in word for word in self.command):
            raise UsageError("The command has a NUL character in it.", hint="Leave it out.")

    @classmethod
    def from_text(cls, *, webhook: str | None, command: str | None, on: Any) -> "Notify | None":
        """Read what a person typed; a command is split as a shell would, and run without one."""
        if webhook is None and command is None:
            return None
        try:
            words = tuple(shlex.split(command)) if command else ()
        except ValueError as error:
            raise UsageError(f"The command cannot be read: {error}.", hint="Close the quotes.") from None
        return cls(webhook=webhook, command=words, on=on)

    def wants(self, *, passed: bool) -> bool:
        """Say whether anybody is told."""
        return self.on == "always" or not passed

    def tell(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Tell everybody; return who was told, and what went wrong as ``failed: ...``; nothing is raised."""
        told = []
        if self.webhook is not None:
            told.append(_post(self.webhook, body))
        if self.command:
            told.append(_run(self.command, body))
        return tuple(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class TellLater:
    """Stands for somebody who tells by themselves, elsewhere: until they say so, nobody was told.

    Attributes
    ----------
    on : {'failure', 'always'}
        Of what they tell.
    """

    on: Literal["failure", "always"] = "failure"

    def wants(self, *, passed: bool) -> bool:
        """Say whether anybody is to be told."""
        return self.on == "always" or not passed

    def tell(self, body: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG002
        """Tell nobody."""
        return (NOT_TOLD,)


def check_told(told: Sequence[str]) -> tuple[str, ...]:
    """Return who was told, as somebody else says.

    Raises
    ------
    UsageError
        When it is not what `Notify.tell` returns.
    """
    for each in told:
        is_failure = each.startswith(_FAILED) and len(each) <= _LONGEST + 50 and each.isprintable()
        if not is_failure and each not in ("webhook", "command"):
            raise UsageError(
                f"{ascii(each)[:60]} is not who was told.", hint="Write 'webhook', 'command', or 'failed: ' and why."
            )
    if not 0 < len(told) <= _MOST_TOLD:
        raise UsageError("Nobody is named who was told.", hint="Write ['webhook'].")
    return tuple(told)


def _check_address(url: str) -> None:
    """Refuse what cannot be posted to, in words that repeat no secret of it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(
            "A webhook's address has a character that none may have.",
            hint="Write it in ASCII, other characters as %C3%BC.",
        )
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, a bracket is not closed
        named = False
    if not named:
        raise UsageError("A webhook is an http or https address.", hint="Write https://example.org/hook.")
    if parts.username is not None:
        raise UsageError(
            "A webhook's address has no user or password.", hint="Put the secret into its path, or tell by a command."
        )


def _post(url: str, body: Mapping[str, Any]) -> str:
    data = json.dumps(body, allow_nan=False).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310
    try:
        with build_opener(_NoRedirects).open(request, timeout=_TIMEOUT):
            return "webhook"
    except HTTPError as error:
        return f"failed: webhook answered {error.code}"
    except (URLError, OSError, ValueError, HTTPException) as error:
        said = str(getattr(error, "reason", error)).strip() or type(error).__name__
        shown = "".join(letter if letter.isprintable() else "?" for letter in said[:_LONGEST])
        return f"failed: webhook: {shown}"


def _run(command: Sequence[str], body: Mapping[str, Any]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # the person who runs the monitor named it
            list(command), input=json.dumps(body), text=True, capture_output=True, timeout=_COMMAND_TIMEOUT, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"failed: command: {type(error).__name__}"
    return "command" if done.returncode == 0 else f"failed: command exited with {done.returncode}"

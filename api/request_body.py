"""Reads JSON bodies within limits: bytes counted as they arrive, a deadline, depth, and no second meanings."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from starlette.requests import Request

from foldstore.api.problem import BodyTimeoutError, BodyTooLargeError, MalformedBodyError, UnsupportedMediaError

_DEEPEST: Final = 4
# A connection that is closed over unread bytes is reset, and the client may never see why: so much is read and
# thrown away first, of what is beyond the limit.
_DRAINED: Final = 32 << 20
_DRAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a request may ask.

    Attributes
    ----------
    max_body_bytes : int
        Of a body.
    body_timeout_seconds : float
        Until a body is there.
    max_entities : int
        Entities in one lookup.
    max_features : int
        Features in one lookup.
    """

    max_body_bytes: int = 1 << 20
    body_timeout_seconds: float = 10.0
    max_entities: int = 10_000
    max_features: int = 1_000


async def read_json(request: Request, limits: Limits) -> Any:
    """Return what a request's body says.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError, MalformedBodyError
        When it is too long, too slow, of another kind, or not JSON.
    """
    kind = request.headers.get("content-type", "")
    if kind.lower().startswith("multipart/"):
        raise UnsupportedMediaError("Forms and files are not taken here.", hint="Send JSON.")
    try:
        async with asyncio.timeout(limits.body_timeout_seconds):
            data = await _read(request, limits.max_body_bytes)
    except TimeoutError:
        raise BodyTimeoutError("The body did not arrive in time.", hint="Send it again, in one piece.") from None
    return parse_json(data)


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        # Whoever asked before sending is told in time; asking for the bytes would invite them.
        if request.headers.get("expect", "").lower() != "100-continue":
            await _drain(request.stream())
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    # What the header says is not trusted: the bytes are counted.
    stream = request.stream()
    async for part in stream:
        size += len(part)
        if size > limit:
            parts.clear()
            await _drain(stream)
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


async def _drain(stream: AsyncIterator[bytes]) -> None:
    """Read what is left of a body, up to a bound and a deadline, and keep nothing of it."""
    left = _DRAINED
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for part in stream:
                left -= len(part)
                if left < 0:
                    return


def parse_json(data: bytes) -> Any:
    """Read JSON of one meaning: UTF-8, no NaN, no name twice, at most four levels deep.

    Raises
    ------
    MalformedBodyError
        When it is anything else.

    Examples
    --------
    >>> parse_json(b'{"entities": {"carrier": ["UA"]}}')
    {'entities': {'carrier': ['UA']}}
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_name_twice)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedBodyError(f"The body is not JSON{where}.", hint="Send UTF-8 JSON (RFC 8259).") from None
    _check_depth(value, _DEEPEST)
    return value


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not left:
        raise _too_deep()
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_depth(item, left - 1)


def _no_constant(_text: str) -> NoReturn:
    raise ValueError


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBodyError("The body names a member twice.", hint="Name each once.")
    return found


def _too_deep() -> MalformedBodyError:
    return MalformedBodyError("The body is nested too deeply.", hint=f"Nothing needs more than {_DEEPEST} levels.")


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The body is larger than {limit:,} bytes.", hint="Ask in smaller batches.", max_body_bytes=limit
    )

"""How resources are answered: plain data as JSON, lists by pages, rows in the form that is asked for."""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from foldstore.api.json_values import to_plain
from foldstore.api.media import choose_media
from foldstore.api.query import Query, QueryParameter
from foldstore.api.row_forms import JSON, MEDIA, Piece, write_rows
from foldstore.errors import CancelledError, UsageError

_MOST_ON_A_PAGE: Final = 1_000
_AT_ONCE: Final = 1 << 22  # bytes that a thread makes before they are sent

PAGE: Final = (
    QueryParameter("limit", f"How many at most, up to {_MOST_ON_A_PAGE:,}.", "100", "integer"),
    QueryParameter("cursor", "Where the page before ended: its `next_cursor`."),
)


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with plain data; what JSON has no number for is text."""
    text = json.dumps(to_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), JSON)


def empty_answer() -> Response:
    """Answer that it is done."""
    return Response(status_code=204)


def tagged_answer(asked: Headers, data: Any, *, state: str) -> Response:
    """Answer with data that a client may keep, or say that what it kept still holds.

    Parameters
    ----------
    asked : Headers
        The request's headers; ``If-None-Match`` has the tags of what the client kept.
    data : object
        Plain data.
    state : str
        What the data depends on: equal texts mean equal data.
    """
    tag = f'"{hashlib.blake2b(state.encode(), digest_size=16).hexdigest()}"'
    kept = [each.strip().removeprefix("W/") for each in asked.get("if-none-match", "").split(",")]
    if tag in kept or "*" in kept:
        return Response(status_code=304, headers={"etag": tag})
    return json_answer(data, headers={"etag": tag})


def page_answer(query: Query, names: Sequence[str], describe: Any) -> Response:
    """Answer with a page of things that are sorted by name.

    Pages do not shift: a page begins behind the last name of the one before, whatever came or went.

    Parameters
    ----------
    query : Query
        With ``limit`` and ``cursor``.
    names : sequence of str
        The names of all, ascending; those of numbers are padded by the caller.
    describe : callable
        Gives plain data for the position of a name.
    """
    limit = query.number("limit", default=100, most=_MOST_ON_A_PAGE, least=1)
    after = _read_cursor(query.text("cursor"))
    chosen = [place for place, name in enumerate(names) if after is None or name > after]
    page, rest = chosen[:limit], chosen[limit:]
    cursor = _write_cursor(names[page[-1]]) if rest else None
    return json_answer({"items": [describe(place) for place in page], "next_cursor": cursor})


def _write_cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise UsageError(
            "The cursor is none that was given out.", hint="Pass `next_cursor` on as it came.", code="invalid-cursor"
        ) from None


def rows_answer(asked: Headers, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, limit: int | None) -> Response:
    """Answer with rows as a stream of Arrow, CSV or JSON lines, or as one JSON document.

    A stream that breaks off half-way ends without its end mark, and the connection is closed: it cannot be taken
    for a whole one.

    Parameters
    ----------
    asked : Headers
        The request's headers: ``Accept`` says in which form.
    schema : pyarrow.Schema
        The columns.
    batches : iterable of pyarrow.RecordBatch
        The rows.
    limit : int or None
        How many rows at most; one JSON document has 1,000 unless given, and never more than 100,000.
    """
    return streamed_answer(asked, lambda media: write_rows(media, schema, batches, limit=limit))


def streamed_answer(asked: Headers, write: Callable[[str], Iterator[Piece]]) -> Response:
    """Answer with pieces of bytes in the form that is asked for; what is wrong with the request shows in the status.

    Parameters
    ----------
    asked : Headers
        The request's headers: ``Accept`` says in which form.
    write : callable
        Begins the pieces of an answer in a form.
    """
    media = choose_media(asked.get("accept", "*/*"), MEDIA)
    parts = write(media)
    if media == JSON:
        return Response(b"".join(parts), media_type=JSON)
    return PiecesResponse(parts, media)


def _together(first: Piece, others: Iterator[Piece]) -> Generator[Piece, None, None]:
    yield first
    yield from others


class PiecesResponse(StreamingResponse):
    """An answer that is sent piece by piece as it is made.

    The first piece is made at once: what is wrong with the request shows before the status is out.

    Parameters
    ----------
    pieces : iterator of bytes or memoryview
        The pieces; whoever keeps the answer for later takes them from the attribute of this name.
    media : str
        What they are.
    """

    def __init__(self, pieces: Iterator[Piece], media: str) -> None:
        self.pieces = _together(next(pieces), pieces)
        self._sent = _in_a_thread(self.pieces)
        super().__init__(self._sent, media_type=media)

    async def stream_response(self, send: Send) -> None:
        """Send the pieces; when nobody reads on, let go of what they hold at once, and not by a search for garbage."""
        try:
            with suppress(CancelledError):  # who asked has gone away
                await super().stream_response(send)
        finally:
            await self._sent.aclose()
            self.pieces.close()


async def _in_a_thread(pieces: Iterator[Piece]) -> AsyncGenerator[Piece, None]:
    """Yield pieces that a thread makes, several at a time: to change threads takes as long as to make a small one."""
    while some := await to_thread.run_sync(_take_some, pieces):
        for piece in some:
            yield piece


def _take_some(pieces: Iterator[Piece]) -> list[Piece]:
    some, size = list[Piece](), 0
    for piece in pieces:
        some.append(piece)
        size += len(piece)
        if size >= _AT_ONCE:
            break
    return some

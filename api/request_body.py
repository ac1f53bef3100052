"""Reads JSON bodies within limits: bytes counted as they arrive, a deadline, depth, and no second meanings."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final, NoReturn

from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from foldstore.api.begun import Begun
from foldstore.api.json_values import parse_plain
from foldstore.api.multipart import MULTIPART, PartHead, read_boundary, read_parts
from foldstore.api.problem import BodyTimeoutError, BodyTooLargeError, MalformedBodyError, UnsupportedMediaError
from foldstore.api.sent_parts import DOCUMENT, SentParts
from foldstore.errors import UsageError

_DEEPEST: Final = 4
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# A connection that is closed over unread bytes is reset, and the client may never see why: so much is read and
# thrown away first, of what is beyond the limit.
_DRAINED: Final = 32 << 20
_DRAIN_SECONDS: Final = 5.0
_LONG: Final = 1 << 16  # bytes; from here on a body may take longer to parse than others can wait
# The kinds of bodies that hold rows, and the endings by which files of them are read.
ROW_ENDINGS: Final = {
    "application/vnd.apache.arrow.stream": ".arrow",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.apache.parquet": ".parquet",
    "text/csv": ".csv",
    "application/x-ndjson": ".jsonl",
}


# Few rows may come as one JSON document, too; it is read as a whole, so it is bounded as other JSON is.
JSON_ROWS: Final = "application/json"
_DEEPEST_ROWS: Final = 32


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
    max_rows_bytes : int
        Of a body of rows.
    max_rows_memory : int
        What one batch of rows may take once it is decompressed.
    rows_timeout_seconds : float
        Until a body of rows is there.
    max_working : int
        Requests for resources that are worked on at once.
    max_waiting : int
        Requests for resources that may wait for that; more are sent away.
    write_seconds : float
        For how long a client may take nothing of an answer.
    requests_per_second : float or None
        How often a token may ask, in each process of the server; as often as it likes when None. Twice as many may
        come at once.
    """

    max_body_bytes: int = 1 << 20
    body_timeout_seconds: float = 10.0
    max_entities: int = 10_000
    max_features: int = 1_000
    max_rows_bytes: int = 1 << 28
    max_rows_memory: int = 1 << 30
    rows_timeout_seconds: float = 120.0
    max_working: int = 8
    max_waiting: int = 64
    write_seconds: float = 60.0
    requests_per_second: float | None = None


async def read_json(request: Request, limits: Limits, *, deepest: int = _DEEPEST, may_be_empty: bool = False) -> Any:
    """Return what a request's body says; where it `may_be_empty`, no bytes stand for an object without members.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError, MalformedBodyError
        When it is too long, too slow, of another kind, or not JSON.
    """
    data = await _read_body(request, limits)
    if may_be_empty and not data:
        return {}
    if len(data) > _LONG:
        return await to_thread.run_sync(parse_json, data, deepest)
    return parse_json(data, deepest)


async def read_text(request: Request, limits: Limits) -> str:
    """Return the text that a request's body is.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError, MalformedBodyError
        When it is too long, too slow, a form, or not UTF-8.
    """
    data = await _read_body(request, limits)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBodyError(
            f"The body is not text: byte {error.start:,} is none of UTF-8.", hint="Send UTF-8."
        ) from None


async def _read_body(request: Request, limits: Limits) -> bytes:
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise UnsupportedMediaError("Forms and files are not taken here.", hint="Send the body as it is.")
    async with _deadline(limits.body_timeout_seconds):
        return await _read(request, limits.max_body_bytes)


async def read_json_sent(scope: Scope, receive: Receive, limits: Limits) -> Any:
    """Return what `read_json` returns, for a body that mostly comes in one piece: then nothing is built around it.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError, MalformedBodyError
        When it is too long, too slow, of another kind, or not JSON.
    """
    kind, declared = b"", b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value
        elif name == b"content-length":
            declared = value
    if not declared.isdigit() or int(declared[:20]) > limits.max_body_bytes or kind[:9].lower() == b"multipart":
        return await read_json(Request(scope, receive), limits)
    begun: Begun[Message] = Begun(receive())
    # A deadline is for what is not there yet: to set one takes longer than to read what is.
    if begun.is_done and _is_whole(begun.result, limits):
        return parse_json(begun.result.get("body", b""))
    async with _deadline(limits.body_timeout_seconds):
        first = await begun
        if _is_whole(first, limits):
            data = first.get("body", b"")
        else:
            data = await _read(Request(scope, _again(first, receive)), limits.max_body_bytes)
    return parse_json(data)


def _is_whole(message: Message, limits: Limits) -> bool:
    """Say whether a message is a whole body of a length that is allowed."""
    if message["type"] != "http.request" or message.get("more_body"):
        return False
    return len(message.get("body", b"")) <= limits.max_body_bytes


def _again(first: Message, receive: Receive) -> Receive:
    """Give a message that was taken once more, then what comes after it."""
    taken = [first]

    async def next_message() -> Message:
        return taken.pop() if taken else await receive()

    return next_message


@asynccontextmanager
async def spool_rows(request: Request, limits: Limits) -> AsyncIterator[Path]:
    """Write a body of rows to a file of a name of ours, which lasts as long as the block.

    What the file holds is checked by whoever reads it, as every file from outside is.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError
        When it is too long, too slow, or of a kind that holds no rows.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ROW_ENDINGS and kind != JSON_ROWS:
        raise UnsupportedMediaError(
            f"{ascii(kind)[:60]} is no kind of rows.",
            hint=f"Say what they are by the header Content-Type: {', '.join((*ROW_ENDINGS, JSON_ROWS))}.",
        )
    with TemporaryDirectory(prefix="foldstore-") as folder:
        path = Path(folder) / f"body{ROW_ENDINGS.get(kind, '.jsonl')}"
        if kind == JSON_ROWS:
            async with _deadline(limits.body_timeout_seconds):
                data = await _read(request, limits.max_body_bytes)
            await to_thread.run_sync(_write_lines_of, data, path)  # it takes longer than others can wait
        else:
            async with _deadline(limits.rows_timeout_seconds):
                await _write(request, path, limits.max_rows_bytes)
        yield path


@asynccontextmanager
async def spool_parts(request: Request, limits: Limits, *, deepest: int) -> AsyncIterator[SentParts]:
    """Write the parts of a body to files of names of ours, which last as long as the block; JSON alone has no files.

    Raises
    ------
    BodyTooLargeError, BodyTimeoutError, UnsupportedMediaError, MalformedBodyError
        When it is too long, too slow, of a kind that is not taken, or not of the form.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith(MULTIPART):
        yield SentParts(await read_json(request, limits, deepest=deepest, may_be_empty=True))
        return
    with TemporaryDirectory(prefix="foldstore-") as folder:
        sink = _Spool(Path(folder), limits)
        await _check_declared(request, limits.max_rows_bytes)
        stream = request.stream()
        async with _deadline(limits.rows_timeout_seconds):
            try:
                await read_parts(_counted(stream, limits.max_rows_bytes), read_boundary(kind), sink)
            except UsageError:
                await _drain(stream)
                raise
            finally:
                sink.close()
        # It takes longer than others can wait.
        yield SentParts(await to_thread.run_sync(sink.read, deepest), sink.files)


class _Spool:
    """Where the parts of a body go: rows into files, and what is JSON into memory, bounded as one body of JSON is."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.files: dict[str, Path] = {}
        self._folder = folder
        self._most = limits.max_body_bytes
        self._json: dict[str, bytes] = {}
        self._file: IO[bytes] | None = None
        self._pieces: bytearray = bytearray()
        self._head = PartHead("", "")

    def begin(self, head: PartHead) -> None:
        is_document = head.name == DOCUMENT
        if head.kind not in ROW_ENDINGS and head.kind != JSON_ROWS and not (is_document and not head.kind):
            raise UnsupportedMediaError(
                f"The part {head.name!r} is {ascii(head.kind)[:60]}, which is no kind of rows.",
                hint=f"Say what it is: curl -F '{head.name}=@rows.csv;type=text/csv'. There are "
                f"{', '.join((*ROW_ENDINGS, JSON_ROWS))}.",
            )
        self._head = head
        if head.kind in ROW_ENDINGS and not is_document:
            path = self._folder / f"{len(self.files)}{ROW_ENDINGS[head.kind]}"
            self.files[head.name] = path
            self._file = path.open("wb")

    def write(self, piece: bytes) -> None:
        if self._file is not None:
            self._file.write(piece)  # into the page cache: it takes no longer than to receive it
            return
        self._pieces += piece
        if len(self._pieces) + sum(map(len, self._json.values())) > self._most:
            raise _too_large(self._most)

    def end(self) -> None:
        if self._file is not None:
            self.close()
            return
        self._json[self._head.name], self._pieces = bytes(self._pieces), bytearray()
        if self._head.name != DOCUMENT:
            self.files[self._head.name] = self._folder / f"{len(self.files)}.jsonl"

    def close(self) -> None:
        """Let go of a file that was begun."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, deepest: int) -> Any:
        """Write rows that are JSON to their files; return the document, an object without members when there is none.

        Raises
        ------
        MalformedBodyError
            When something is not JSON, or rows are none.
        """
        document = self._json.pop(DOCUMENT, None)
        for name, data in self._json.items():
            _write_lines_of(data, self.files[name])
        return {} if document is None else parse_json(document, deepest)


async def _counted(stream: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for part in stream:
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        yield part


def _write_lines_of(document: bytes, path: Path) -> None:
    """Write rows of one JSON document as JSON lines."""
    given = parse_json(document, _DEEPEST_ROWS)
    path.write_bytes(write_lines(given["rows"] if isinstance(given, dict) and set(given) == {"rows"} else given))


def write_lines(rows: Any) -> bytes:
    """Return rows as JSON lines.

    Raises
    ------
    MalformedBodyError
        When they are no list of objects.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedBodyError("The body is no list of rows.", hint='Write [{"id": 1}, ...], or {"rows": [...]}.')
    try:
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    except ValueError:
        raise MalformedBodyError("A number of the rows is too large.", hint="Numbers are 64 bits wide.") from None
    return "".join(lines).encode()


async def _write(request: Request, path: Path, limit: int) -> None:
    await _check_declared(request, limit)
    size = 0
    stream = request.stream()
    with path.open("wb") as file:
        async for part in stream:
            size += len(part)
            if size > limit:
                await _drain(stream)
                raise _too_large(limit)
            file.write(part)  # into the page cache: it takes no longer than to receive it


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _too_slow() from None


async def _read(request: Request, limit: int) -> bytes:
    await _check_declared(request, limit)
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


async def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        # Whoever asked before sending is told in time; asking for the bytes would invite them.
        if request.headers.get("expect", "").lower() != "100-continue":
            await _drain(request.stream())
        raise _too_large(limit)


async def _drain(stream: AsyncIterator[bytes]) -> None:
    """Read what is left of a body, up to a bound and a deadline, and keep nothing of it."""
    left = _DRAINED
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for part in stream:
                left -= len(part)
                if left < 0:
                    return


def parse_json(data: bytes, deepest: int = _DEEPEST) -> Any:
    """Read JSON of one meaning: UTF-8, no NaN, no name twice, no half of a character, no deeper than so many levels.

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
        value = parse_plain(data)
        if value is None:
            value = _DECODER.decode(data.decode("utf-8"))
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # halves of pairs are no text: nothing could keep them
    except RecursionError:
        raise _too_deep(deepest) from None
    except MalformedBodyError:
        raise
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedBodyError(f"The body is not JSON{where}.", hint="Send UTF-8 JSON (RFC 8259).") from None
    # Without so many brackets it cannot be so deep.
    if data.count(b"[") + data.count(b"{") > deepest and not _is_within(value, deepest):
        raise _too_deep(deepest)
    return value


def _is_within(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(item, levels - 1) for item in inner if isinstance(item, dict | list))


def _no_constant(_text: str) -> NoReturn:
    raise ValueError


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBodyError("The body names a member twice.", hint="Name each once.")
    return found


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_name_twice)


def _too_deep(deepest: int) -> MalformedBodyError:
    return MalformedBodyError("The body is nested too deeply.", hint=f"Nothing needs more than {deepest} levels.")


def _too_slow() -> BodyTimeoutError:
    return BodyTimeoutError("The body did not arrive in time.", hint="Send it again, in one piece.")


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The body is larger than {limit:,} bytes.", hint="Ask in smaller batches.", max_body_bytes=limit
    )

"""Streams: rows come into a log where the store is, and versions are cut of them when they are due.

Each request opens the log, does its work and lets go of it, so any process of the server may answer the next one. Of
the options of a stream the log knows nothing: every request that may cut says them.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import rows_of
from foldstore.api.media import choose_media
from foldstore.api.problem import BodyTooLargeError, StreamBusyError, UncutError, status_of
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.api.row_forms import JSON, MEDIA
from foldstore.datastore.commit import CommitOptions
from foldstore.datastore.files import hash_file
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.stream.limits import check_limits
from foldstore.datastore.stream.log import stream_folder
from foldstore.errors import ConflictError, FoldstoreError, NotFoundError, StoreError, UsageError
from foldstore.names import MAIN_BRANCH, check_name
from foldstore.stream import StreamWriter
from foldstore.version import Version
from foldstore.work import settle

_BUSY: Final = "stream-busy"
_WAIT_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.02
_NEVER: Final = "never"
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_MOST_ROWS: Final = 10**9
_MOST_BYTES: Final = 1 << 28  # of one write, decompressed: it is one piece of the log, and in memory meanwhile
_MOST_AS_JSON: Final = 100_000


@dataclass(slots=True)
class _Turn:
    """A stream for the length of one request."""

    writer: StreamWriter
    cut: list[Version] = field(default_factory=list)

    def describe(self, *, repeated: bool = False) -> dict[str, Any]:
        """Return where the stream stands, and which versions this request cut."""
        status, last = self.writer.status(), self.writer.find_last()
        failed = "A version could not be cut: :flush tries again, and says why." if status.failure else None
        return {
            **asdict(status),
            "name": self.writer.name,
            "failure": failed,
            "last_version": None if last is None else last.number,
            "cut": [each.to_dict() for each in self.cut],
            "repeated": repeated,
        }


@contextmanager
def _turn(call: Call, *, makes: bool = False, **options: Any) -> Iterator[_Turn]:
    """Open the stream that the path names, alone, and let go of it without cutting what is not due."""
    dataset, name = call.store.dataset(call.path["name"]), check_name(call.path["stream"], "stream")
    branch = call.query.text("branch") or MAIN_BRANCH
    on_branch = dataset if branch == MAIN_BRANCH else dataset.branch(branch)
    if not makes and not stream_folder(call.store.root, dataset.record.id, branch, name).is_dir():
        raise NotFoundError(f"{dataset.name!r} has no stream {name!r}.", hint="The first :write begins it.")
    cut: list[Version] = []
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            writer = on_branch.stream(name, in_turns=True, on_cut=cut.append, **options)
            break
        except ConflictError as error:
            if error.code != _BUSY:
                raise
            if time.monotonic() >= deadline:
                raise StreamBusyError(error.message, retry=True, hint="Try again in a second.") from error
        time.sleep(_LOOK_SECONDS)
    try:
        yield _Turn(writer, cut)
    except StoreError as error:
        raise _told(error) from error
    finally:
        writer.close()


def _told(error: StoreError) -> StoreError:
    """Return the error of a version that cannot be cut so that it is told, when that is for what the rows are."""
    cause = error.__cause__
    if error.code != UncutError.code or not isinstance(cause, FoldstoreError) or status_of(cause) >= 500:
        return error
    return UncutError(error.message, hint=error.hint)


def _options(call: Call) -> dict[str, Any]:
    """Return what the query says of the stream, checked before the log is touched."""
    asked = call.query.text("every_seconds")
    seconds = None if asked == _NEVER else 60.0
    if asked is not None and asked != _NEVER:
        if not _SECONDS.fullmatch(asked):
            raise UsageError(
                f"every_seconds={ascii(asked)[:40]} is no number of seconds.", hint=f"Write 10, 0.5 or {_NEVER}."
            )
        seconds = float(asked)
    size = call.query.text("keep_bytes")
    limits: dict[str, Any] = {
        "every_rows": call.query.number("every_rows", default=100_000, least=1, most=_MOST_ROWS),
        "every_seconds": seconds,
        "max_pending_rows": call.query.number("max_pending_rows", default=0, most=_MOST_ROWS) or None,
        "keep_age": call.query.text("keep_age"),
        "keep_bytes": int(size) if size and size.isascii() and size.isdigit() and len(size) < 19 else size,
        "durability": call.query.choice("durability", ("segment", "version")),
    }
    check_limits(**limits)
    message = call.query.text("message") or ""
    CommitOptions(author=call.token.principal, message=message)  # said now: at the cut it would stall the stream
    return {**limits, "message": message}


def _read(body: Path, known: pa.Schema | None) -> pa.Table:
    """Return the rows of one write."""
    with rows_of(body):
        source = open_source(body, known)
        batches, size = [], 0
        for batch in source.batches:
            size += batch.nbytes
            if size > _MOST_BYTES:
                raise BodyTooLargeError(
                    f"The rows of one write take more than {_MOST_BYTES:,} bytes.", hint="Write fewer at a time."
                )
            batches.append(batch)
        return pa.Table.from_batches(batches, source.schema)


def _write(call: Call) -> Response:
    options, body = _options(call), call.body
    given = call.query.text("first_row")
    first_row = None if given is None else call.query.number("first_row", default=0, most=10**18 - 1)
    fill = call.query.flag("fill") or body.suffix == ".jsonl"
    with _turn(call, makes=True, **options) as turn:
        writer = turn.writer
        rows = _read(body, writer.arrow_schema)
        at = writer.status().rows if first_row is None else first_row
        # Without first_row nothing is known of an earlier try: the mark is the write's own.
        digest = hash_file(body) if first_row is not None else f"unnumbered {time.time_ns()}"
        taken = writer.write_once(rows, at, digest, fill=fill)
        last = None if taken else writer.find_last()
        if last is not None and last not in turn.cut and _holds(last, at):
            turn.cut.append(last)
        return json_answer(turn.describe(repeated=not taken))


def _holds(version: Version, first_row: int) -> bool:
    """Say whether a row of the stream came into a version."""
    told = version.record.properties["stream"]
    return bool(told["first_row"] <= first_row < told["first_row"] + told["rows"])


def _flush(call: Call) -> Response:
    with _turn(call, **_options(call)) as turn:
        if call.query.flag("when_due"):
            turn.writer.cut_when_due()
        else:
            turn.writer.flush()
        return json_answer(turn.describe())


def _take_failed(call: Call) -> Response:
    media = choose_media(call.headers.get("accept", "*/*"), MEDIA)
    with _turn(call, every_seconds=None) as turn:
        if media == JSON and turn.writer.status().pending_rows > _MOST_AS_JSON:
            raise UsageError(
                f"More than {_MOST_AS_JSON:,} rows are pending, and one JSON document holds no more.",
                hint=f"Send Accept: {MEDIA[1]}.",
            )
        settle()  # from here on the rows leave the log: nobody calls that off
        rows = turn.writer.take_failed()
    return rows_answer(call.headers, rows.schema, rows.to_batches(), limit=rows.num_rows)


def _status(call: Call) -> Response:
    with _turn(call, every_seconds=None) as turn:
        return json_answer(turn.describe())


_BRANCH: Final = QueryParameter("branch", "The branch; the main one unless given.", "main")
_OPTIONS: Final = (
    _BRANCH,
    QueryParameter("every_rows", "A version is cut when at least so many rows are there.", "100000", "integer"),
    QueryParameter("every_seconds", "Or when its first row has waited so long: seconds, or never.", "60"),
    QueryParameter("keep_age", "Rows that are older leave the newest version.", "7d"),
    QueryParameter("keep_bytes", "The oldest rows leave it when its files are larger.", "1GB"),
    QueryParameter("max_pending_rows", "How many rows may be in no version yet.", "400000", "integer"),
    QueryParameter("durability", "segment, or version: whether the rows are in a version when it answers.", "segment"),
    QueryParameter("message", "Kept with each version.", "clicks"),
)
_PATH: Final = "/v1/datasets/{name}/streams/{stream}"
_SCOPE: Final = "datasets:write"
ROUTES: Final = (
    Route(
        method="GET",
        path=_PATH,
        scope=_SCOPE,
        answer=_status,
        summary="Say how many rows a stream has taken, and how many of them are in no version yet",
        parameters=(_BRANCH,),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:write",
        scope=_SCOPE,
        answer=_write,
        summary="Take rows durably, all or none, and cut a version when one is due. `first_row` makes a retry safe: "
        "the last write, sent again, is taken once",
        parameters=(
            *_OPTIONS,
            QueryParameter("first_row", "How many rows the stream had taken before these.", "0", "integer"),
            QueryParameter("fill", "true: columns that the rows lack are null, as they are of JSON.", "false"),
        ),
        body=BodyKind.ROWS,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:flush",
        scope=_SCOPE,
        answer=_flush,
        summary="Cut a version of what is pending, or with `when_due=true` only when it has waited `every_seconds`",
        parameters=(*_OPTIONS, QueryParameter("when_due", "true: only when one is due.", "false")),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:take-failed",
        scope=_SCOPE,
        answer=_take_failed,
        is_long=True,
        answers_once=True,
        gives=Gives.ROWS,
        summary="Take the rows of a version that cannot be cut out of the log, and return them. A header "
        "`Idempotency-Key` makes a retry safe: for a day the second is given the answer of the first",
        parameters=(_BRANCH,),
    ),
)

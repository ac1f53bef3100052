"""Long work that is answered later: begun in a thread of this process, watched, and called off.

What a client asks with ``Prefer: respond-async`` (RFC 7240) is worked on here, and answered in the end by the same
function that would have answered at once; its answer is kept as bytes until it is fetched, or for a day.
"""

import json
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from foldstore.api.answers import PiecesResponse
from foldstore.api.problem import MEDIA_TYPE, BusyError, UnfinishedError, problem, problem_of
from foldstore.api.rules import AccessRule
from foldstore.api.tokens import Token
from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.operation_folder import Claim, OperationFolder, OperationRecord, id_of_key, lost_error
from foldstore.errors import CancelledError, InvalidQueryError, NotFoundError, RefusedError, StoreError, UsageError
from foldstore.types import format_time
from foldstore.work import watched

_LOG = logging.getLogger(__name__)
_EVERY_SECONDS: Final = 0.25
_PIECE: Final = 1 << 20
_MOST_BYTES: Final = 1 << 32
_KEPT_HEADERS: Final = frozenset({"content-type", "location", "etag", "content-security-policy", "referrer-policy"})
LONGEST_WAIT: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a client prefers: not to wait, or to wait for so many seconds first."""

    wait: int = 0


def read_preference(headers: Headers) -> Preference | None:
    """Return whether a client asks to be answered later, by ``Prefer: respond-async`` and ``wait=``.

    Examples
    --------
    >>> read_preference(Headers({"prefer": "respond-async, wait=5"}))
    Preference(wait=5)
    >>> read_preference(Headers({"prefer": "return=minimal"})) is None
    True
    """
    wishes = [wish.partition(";")[0].strip().lower() for wish in ",".join(headers.getlist("prefer")).split(",")]
    if "respond-async" not in wishes:
        return None
    waits = [wish.removeprefix("wait=").strip('"') for wish in wishes if wish.startswith("wait=")]
    wait = int(waits[0]) if waits and waits[0].isascii() and waits[0].isdigit() and len(waits[0]) < 6 else 0
    return Preference(wait=min(wait, LONGEST_WAIT))


class Job:
    """One operation at work in this process; it watches the work.

    Parameters
    ----------
    record : OperationRecord
        What is known of it.
    folder : OperationFolder
        Where that is kept.
    claim : Claim
        Says that this process works on it.
    holds_cells : bool
        Whether its answer may hold cells: then it is none when some are sealed or erased meanwhile.
    """

    def __init__(
        self, record: OperationRecord, folder: OperationFolder, claim: Claim, *, holds_cells: bool = True
    ) -> None:
        self.record = record
        self.finished = Event()
        self._folder = folder
        self._claim = claim
        self._holds_cells = holds_cells
        self._ends = Event()
        self._is_settled = False
        self._rows = 0
        self._counts_rows = True
        self._looked_at = 0.0

    def end(self) -> None:
        """Call the work off."""
        self._ends.set()

    def note_rows(self, rows: int) -> None:
        """Hear of rows that were read."""
        self._rows += rows
        self._look(self._rows if self._counts_rows else None, None)

    def note_progress(self, done: int, total: int | None) -> None:
        """Hear how much is done of how much: what counts in the verb's own units counts from then on."""
        self._counts_rows = False
        self._look(done, total)

    def settle(self) -> None:
        """Hear that something is about to be committed."""
        self._check()
        self._is_settled = True

    def work(self, answer: Callable[["Job"], Response]) -> None:
        """Do the work, and keep the answer or what went wrong."""
        try:
            self._check()
            self._write(replace(self.record, state="running"))
            with watched(self):
                self._keep(answer(self))
        except Exception as error:  # noqa: BLE001  # whatever it was, it is told as every error is
            self._fail(error)
        finally:
            with suppress(OSError):
                self._folder.drop_body(self.record.id)
            self._claim.release()
            self.finished.set()

    def _look(self, done: int | None, total: int | None) -> None:
        if self._ends.is_set():
            self._check()
        now = time.monotonic()
        if now - self._looked_at < _EVERY_SECONDS:
            return
        self._looked_at = now
        self._check()
        if done is not None:
            unit = "rows read" if self._counts_rows else "steps"
            self._write(replace(self.record, done=done, total=total, unit=unit))

    def _check(self) -> None:
        if not self._is_settled and self._is_called_off():
            raise _called_off()

    def _is_called_off(self) -> bool:
        return self._ends.is_set() or self._folder.is_cancelled(self.record.id)

    def _keep(self, answer: Response) -> None:
        path = self._folder.result_path(self.record.id)
        staged = path.with_name("result.new")
        size = 0
        with staged.open("xb") as file:
            for piece in _pieces_of(answer):
                size += len(piece)
                if size > _MOST_BYTES:
                    raise InvalidQueryError(
                        f"The answer has more than {_MOST_BYTES:,} bytes.",
                        hint="Ask for fewer rows or columns at a time.",
                        code="answer-too-large",
                    )
                self._look(None, None)
                file.write(piece)
        staged.replace(path)
        if self._holds_cells:
            self._folder.drop_forgotten(self.record.id)
        headers = {name: value for name, value in answer.headers.items() if name in _KEPT_HEADERS}
        self._finish(state="succeeded", answer={"status": answer.status_code, "headers": headers, "bytes": size})

    def _fail(self, error: Exception) -> None:
        if isinstance(error, CancelledError) and not self._folder.is_cancelled(self.record.id):
            error = lost_error()  # nobody wanted that: the process ends, and who asks again by the same key is served
        told = json.loads(bytes(problem_of(error).body))
        with suppress(OSError):
            self._folder.result_path(self.record.id).with_name("result.new").unlink(missing_ok=True)
        self._finish(state="cancelled" if isinstance(error, CancelledError) else "failed", problem=told)

    def _finish(self, **how: Any) -> None:
        try:
            self._write(replace(self.record, finished_at=format_time(self._folder.now()), **how))
        except OSError as error:  # the folder is gone, or the disk is full: the next who looks finds it lost
            _LOG.error("an operation's end cannot be written down: %s", error)

    def _write(self, record: OperationRecord) -> None:
        self.record = record
        self._folder.write(record)


class Operations:
    """Begins operations, a few at a time, and finds those of all processes.

    Parameters
    ----------
    folder : OperationFolder
        Where they are kept.
    at_once : int
        How many this process works on at a time.
    waiting : int
        How many may wait for that; more are sent away.
    """

    def __init__(self, folder: OperationFolder, *, at_once: int = 2, waiting: int = 32) -> None:
        self.folder = folder
        self._at_once = at_once
        self._most_waiting = waiting
        self._waiting: deque[tuple[Job, Callable[[Job], Response]]] = deque()
        self._running: list[Job] = []
        self._lock = Lock()
        self._ends = False

    def begin(self, asked: "Asked", answer: Callable[[Job], Response]) -> Job | OperationRecord:
        """Begin to work on something; return what is known of the same, when it was asked by the same key before.

        What was lost with its process, or met somebody else's work, is begun again.

        Raises
        ------
        BusyError
            When too many wait, or the server ends.
        UsageError
            With code ``idempotency-key-reused`` when the key stood for another request.
        """
        with self._lock:
            if self._ends or len(self._waiting) >= self._most_waiting:
                raise BusyError("As many operations wait as may.", hint="Try again when one is done.")
        record = asked.record(self.folder.now())
        claim = self.folder.add(record)
        if claim is None:
            found = self.folder.find(record.id)
            if found.request != record.request:
                raise UsageError(
                    "The Idempotency-Key stood for another request.",
                    hint="Choose another key for another request.",
                    code="idempotency-key-reused",
                )
            claim = self.folder.add_again(record) if found.may_begin_anew else None
            if claim is None:
                return self.folder.find(record.id)
        job = Job(record, self.folder, claim, holds_cells=asked.holds_cells)
        for file, kept in zip(asked.files, asked.places(self.folder, record.id), strict=True):
            try:
                os.link(file, kept)
            except OSError:  # it lies on another disk
                shutil.copyfile(file, kept)
        self._put(job, answer)
        return job

    def find(self, operation_id: str) -> OperationRecord:
        """Return what is known of an operation of any process."""
        return self.folder.find(operation_id)

    def cancel(self, operation_id: str) -> None:
        """Call an operation off, whichever process works on it; one that waits here ends at once."""
        self.folder.cancel(operation_id)
        with self._lock:
            jobs = [*self._running, *(job for job, _ in self._waiting)]
        for job in jobs:
            if job.record.id == operation_id:
                job.end()

    def close(self, seconds: float = 5.0) -> None:
        """End everything that was begun, and wait for that; it is lost, and said to be."""
        with self._lock:
            self._ends = True
            waiting, running = [job for job, _ in self._waiting], list(self._running)
        for job in (*waiting, *running):
            job.end()
        deadline = time.monotonic() + seconds
        for job in (*running, *waiting):
            job.finished.wait(max(0.0, deadline - time.monotonic()))

    def _put(self, job: Job, answer: Callable[[Job], Response]) -> None:
        with self._lock:
            self._waiting.append((job, answer))
            if len(self._running) >= self._at_once:
                return
            first = self._next()
        if first is not None:
            Thread(target=self._work, args=first, name="foldstore-operation", daemon=True).start()

    def _next(self) -> tuple[Job, Callable[[Job], Response]] | None:
        if not self._waiting:
            return None
        first = self._waiting.popleft()
        self._running.append(first[0])
        return first

    def _work(self, job: Job, answer: Callable[[Job], Response]) -> None:
        following: tuple[Job, Callable[[Job], Response]] | None = (job, answer)
        while following is not None:
            following[0].work(following[1])
            with self._lock:
                self._running.remove(following[0])
                following = self._next()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for an operation.

    Attributes
    ----------
    token : Token
        Who asks.
    verb, named
        What is to be done, and with what.
    digest : str
        What tells the request from others.
    access : str
        What the token may read: see `access_of`.
    key : str or None
        The Idempotency-Key, each token's its own.
    files : sequence of Path
        Files of rows that were sent.
    holds_cells : bool
        Whether the answer may hold cells of versions.
    """

    token: Token
    verb: str
    named: Mapping[str, str]
    digest: str
    access: str
    key: str | None
    holds_cells: bool = True
    files: Sequence[Path] = ()

    def places(self, folder: OperationFolder, operation_id: str) -> list[Path]:
        """Return where the files lie while an operation works on them."""
        return [folder.body_path(operation_id, f".{place}{file.suffix}") for place, file in enumerate(self.files)]

    def record(self, now: Any) -> OperationRecord:
        """Return what is known of it at first."""
        own = uuid4().hex if self.key is None else id_of_key(self.key)
        return OperationRecord(
            id=own,
            starter=self.token.id,
            verb=self.verb,
            named=dict(self.named),
            request=self.digest,
            access=self.access,
            created_at=format_time(now),
        )


def access_of(token: Token, rules: Sequence[AccessRule]) -> str:
    """Return a text that is another one when a token may read other things."""
    given = [sorted(token.scopes), sorted(token.names), sorted(canonical_json(asdict(rule)) for rule in rules)]
    return content_hash(canonical_json(given).encode())


def describe_operation(record: OperationRecord) -> dict[str, Any]:
    """Return what is known of an operation as its starter sees it."""
    data = record.to_dict()
    kept = {name: data[name] for name in ("id", "state", "verb", "named", "created_at", "finished_at", "problem")}
    progress = {"done": record.done, "total": record.total, "unit": record.unit, "words": _words(record)}
    result = f"/v1/operations/{record.id}/result" if record.state == "succeeded" else None
    return {**kept, "progress": progress, "result": result}


def answer_of(operations: Operations, record: OperationRecord) -> Response:
    """Return what the work was answered with, as if it had been waited for.

    Raises
    ------
    NotFoundError
        With code ``result-forgotten`` when there is no answer more.
    UnfinishedError
        While there is none.
    """
    if record.problem is not None:
        status = int(record.problem["status"])
        if "type" not in record.problem:  # written down by whoever found it lost
            told = {name: record.problem[name] for name in ("code", "detail", "hint")}
            return problem(status, **told, error=StoreError(told["detail"]))
        return Response(json.dumps(record.problem), status, media_type=MEDIA_TYPE)
    if record.answer is None:
        raise UnfinishedError(
            f"The operation is not finished: it is {record.state}.",
            retry=True,
            hint=f"GET /v1/operations/{record.id} until its state is another; Retry-After says when to look again.",
        )
    try:
        file = operations.folder.result_path(record.id).open("rb")
    except FileNotFoundError:
        raise NotFoundError(
            "The result was removed: cells were sealed or erased since.",
            hint="Ask again for what can be read now.",
            code="result-forgotten",
        ) from None
    headers = {**record.answer["headers"], "content-length": str(record.answer["bytes"])}
    return StreamingResponse(_read(file), int(record.answer["status"]), headers)


def refuse_changed_access(record: OperationRecord, access: str) -> None:
    """Refuse what was made when its starter might read more, or other things, than now.

    Raises
    ------
    RefusedError
        With code ``hidden-by-rule``.
    """
    if record.access != access:
        raise RefusedError(
            "What you may read has changed since this was begun.",
            hint="Ask for it anew, with another Idempotency-Key where it has one.",
            code="hidden-by-rule",
        )


def _words(record: OperationRecord) -> str:
    if record.total is None:
        return f"{record.state}: {record.done:,} {record.unit}"
    return f"{record.state}: {record.done:,} of {record.total:,} {record.unit}"


def _pieces_of(answer: Response) -> Iterator[bytes | memoryview]:
    if isinstance(answer, PiecesResponse):
        yield from answer.pieces
    else:
        body = bytes(answer.body)
        yield from (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))


def _read(file: Any) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _called_off() -> CancelledError:
    return CancelledError(
        "The operation was called off.", hint="What was not committed by then has changed nothing; ask again."
    )

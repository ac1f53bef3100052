"""Operations: what is answered later, looked after by whoever began it."""

from dataclasses import replace
from typing import Final
from uuid import uuid4

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer
from foldstore.api.operations import (
    Asked,
    Job,
    Operations,
    answer_of,
    describe_operation,
    refuse_changed_access,
)
from foldstore.api.query import QueryParameter
from foldstore.api.route import Call, Gives, Route
from foldstore.api.run_header import answer_in_run
from foldstore.api.sent_parts import files_of, with_files
from foldstore.datastore.canonical import content_hash
from foldstore.datastore.operation_folder import OperationRecord
from foldstore.errors import NotFoundError, RefusedError

_STATES: Final = ("any", "queued", "running", "succeeded", "failed", "cancelled")


class AcceptedResponse(Response):
    """Says where the answer will be.

    Parameters
    ----------
    record : OperationRecord
        What is known of the operation.
    operations : Operations
        Who works on it.
    job : Job or None
        The work, when it was begun by this request.
    """

    def __init__(self, record: OperationRecord, operations: Operations, job: Job | None) -> None:
        plain = json_answer(describe_operation(record))
        where = {"location": f"/v1/operations/{record.id}", "preference-applied": "respond-async", "retry-after": "1"}
        super().__init__(bytes(plain.body), 202, where, plain.media_type)
        self.job = job
        self._id = record.id
        self._operations = operations

    def is_finished(self) -> bool:
        """Say whether there is an answer, be it of the work of another request or process."""
        if self.job is not None:
            return self.job.finished.is_set()
        return self._operations.find(self._id).is_finished

    def replay(self, _call: Call) -> Response:
        """Return what the work was answered with."""
        return answer_of(self._operations, self._operations.find(self._id))


def begin_operation(route: Route, call: Call) -> Response:
    """Begin to work on a request that a route answers."""
    operations = _operations(call)
    key = call.idempotency_key
    asked = Asked(
        token=call.token,
        verb=f"{route.method} {route.path}",
        named=call.path,
        # With the key, which is not kept: few bodies may be possible, and could be tried against a digest alone.
        digest=content_hash(f"{key or uuid4().hex} {call.digest()}".encode()),
        access=call.access,
        key=key,
        files=files_of(call.body),
        holds_cells=route.holds_cells,
    )

    def answer(job: Job) -> Response:
        body = with_files(call.body, asked.places(operations.folder, job.record.id))
        return answer_in_run(route, replace(call, body=body, progress=job.note_progress))

    begun = operations.begin(asked, answer)
    if isinstance(begun, Job):
        return AcceptedResponse(begun.record, operations, begun)
    _check_may_see(call, begun)
    if _is_own(call, begun):
        refuse_changed_access(begun, call.access)  # the answer is handed out at once when it is there
    return AcceptedResponse(begun, operations, None)


def _operations(call: Call) -> Operations:
    if call.operations is None:
        raise RefusedError("The store was opened to be read only: it keeps no operations.", code="read-only")
    return call.operations


def _is_own(call: Call, record: OperationRecord) -> bool:
    return record.starter == call.token.id


def _may_see(call: Call, record: OperationRecord) -> bool:
    return _is_own(call, record) or ("admin" in call.token.scopes and not call.token.is_bounded)


def _check_may_see(call: Call, record: OperationRecord) -> None:
    if not _may_see(call, record):  # in the words for one that is not there
        raise NotFoundError(
            f"There is no operation {ascii(record.id)[:60]}.", hint="One that is finished is kept for 24 hours."
        )


def _find(call: Call) -> OperationRecord:
    record = _operations(call).find(call.path["operation"])
    _check_may_see(call, record)
    return record


def _shown(call: Call, record: OperationRecord) -> Response:
    if _is_own(call, record):
        refuse_changed_access(record, call.access)
    return json_answer(describe_operation(record))


def _list(call: Call) -> Response:
    state = call.query.choice("state", _STATES)
    found = [
        each
        for each in _operations(call).folder.list_operations()
        if _may_see(call, each)
        and state in ("any", each.state)
        and (not _is_own(call, each) or each.access == call.access)
    ]
    names = [f"{each.created_at} {each.id}" for each in found]
    return page_answer(call.query, names, lambda place: describe_operation(found[place]))


def _get(call: Call) -> Response:
    return _shown(call, _find(call))


def _result(call: Call) -> Response:
    record = _find(call)
    if not _is_own(call, record):
        raise RefusedError(
            "Only who began an operation is given its result: it may hold what others may not read.",
            hint="Ask for the same yourself.",
        )
    refuse_changed_access(record, call.access)
    return answer_of(_operations(call), record)


def _cancel(call: Call) -> Response:
    record = _find(call)
    if not record.is_finished:
        _operations(call).cancel(record.id)
    return _shown(call, _operations(call).find(record.id))


_PATH: Final = "/v1/operations/{operation}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operations",
        scope=None,
        obeys_rules=True,
        answer=_list,
        summary="List the operations that this token began, oldest first; an admin sees those of all",
        parameters=(*PAGE, QueryParameter("state", f"One of {', '.join(_STATES)}.", "running")),
    ),
    Route(
        method="GET",
        path=_PATH,
        scope=None,
        obeys_rules=True,
        answer=_get,
        summary="Say how far an operation is, and what went wrong",
    ),
    Route(
        method="GET",
        path=f"{_PATH}/result",
        scope=None,
        obeys_rules=True,
        answer=_result,
        gives=Gives.ROWS,
        summary="Return what the request would have been answered with, had it been waited for",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:cancel",
        scope=None,
        obeys_rules=True,
        answer=_cancel,
        summary="Call an operation off; what is committed stays, and what is not changes nothing",
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope=None,
        obeys_rules=True,
        answer=_cancel,
        summary="Do what `:cancel` does",
    ),
)

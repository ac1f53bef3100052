"""Runs whose code is the caller's: begun, told what they read and made, ended."""

from typing import Any, Final
from uuid import uuid4

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.resources.lineage import may_see
from foldstore.api.route import BodyKind, Call, Route
from foldstore.api.run_header import own_run
from foldstore.datastore.lineage.parameters import check_params
from foldstore.datastore.operation_folder import id_of_key
from foldstore.errors import AlreadyExistsError, ConflictError, NotFoundError, RefusedError, UsageError
from foldstore.names import parse_address
from foldstore.open_run import ResumedRun, Surroundings
from foldstore.run import Run

_DEEPEST: Final = 22
_MOST_ADDRESSES: Final = 1_000
_ENDS: Final = ("succeeded", "failed")


def _find_own(call: Call, run_id: str) -> Run:
    run = call.store.runs.get(run_id)
    if run.record.author != call.token.principal:
        raise NotFoundError("There is no such run of this token's.", hint="POST /v1/runs begins one.")
    return run


def _begin(call: Call) -> Response:
    body = Members(call.body, "name", "params", "message", "repeats", "code", "environment")
    key = call.idempotency_key
    run_id = uuid4().hex if key is None else id_of_key(f"run:{key}")
    repeats = body.text("repeats")
    if repeats is not None and not may_see(call, call.store.runs.get(repeats)):
        raise NotFoundError("There is no such run to repeat.", hint="GET /v1/runs lists them.")
    surroundings = Surroundings(
        id=run_id,
        code=check_params(body.mapping("code")),
        environment=check_params(body.mapping("environment")),
    )
    run = call.store.runs.start(
        body.text("name", required=True),
        params=None if "params" not in body.given() else body.mapping("params"),
        message=body.text("message") or "",
        repeats=repeats,
        surroundings=surroundings,
    )
    try:
        run.begin()
        return _told(call, run_id, 201)
    except AlreadyExistsError:
        there = call.store.runs.get(run_id)
    if (there.name, dict(there.params), there.record.message) != (
        run.name,
        dict(run.params),
        body.text("message") or "",
    ):
        raise UsageError(
            "The Idempotency-Key stood for another run.", hint="Choose another key.", code="idempotency-key-reused"
        )
    return _told(call, run_id)


def _use(call: Call) -> Response:
    addresses = _addresses(call)
    with own_run(call, call.path["run"]) as run:
        for address in addresses:
            _note(run, address)
        return _told(call, run.id)


def _note(run: ResumedRun, address: str) -> None:
    """Note what was read: a version, whatever its status is, a part of a split, or a saved view."""
    if parse_address(address).split is None:
        try:
            run.version(address)
        except NotFoundError:
            run.view(address)
    else:
        run.view(address)


def _made(call: Call) -> Response:
    versions = [call.store.version(address) for address in _addresses(call)]
    for version in versions:
        if version.record.author != call.token.principal:
            raise RefusedError(
                f"{version.address} was committed by somebody else.", hint="A run made what its own token committed."
            )
    with own_run(call, call.path["run"]) as run:
        for version in versions:
            run.made(version)
        return _told(call, run.id)


def _end(call: Call) -> Response:
    body = Members(call.body, "status", "error")
    status, error = body.choice("status", _ENDS), body.text_mapping("error")
    if error is not None:
        Members(error, "type", "message")
    run = _find_own(call, call.path["run"])
    if run.status == "running":
        call.store.runs.resume(run.id).end(status, error)
        return _told(call, run.id)
    if run.status != status:
        raise ConflictError(
            f"The run {run.name!r} has ended: it {run.status}.",
            retry=False,
            hint="An end is written once.",
            code="run-over",
        )
    return _told(call, run.id)


def _addresses(call: Call) -> list[str]:
    found = Members(call.body, "addresses").texts("addresses")
    if not found or len(found) > _MOST_ADDRESSES:
        raise UsageError(
            f"The member 'addresses' names none, or more than {_MOST_ADDRESSES:,}.",
            hint='Write {"addresses": ["flights@3"]}.',
        )
    for address in found:
        call.check_name(parse_address(address).name)
    return found


def _told(call: Call, run_id: str, status: int = 200) -> Response:
    data: dict[str, Any] = call.store.runs.get(run_id).to_dict()
    return json_answer(data, status, {"location": f"/v1/runs/{run_id}"} if status == 201 else {})


_RUN: Final = "/v1/runs/{run}"
ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/runs",
        scope="datasets:write",
        answer=_begin,
        summary="Begin a run. What requests with its id in the header `Foldstore-Run` look up and commit is noted",
        body=BodyKind.JSON,
        example={
            "name": "train",
            "params": {"depth": 6},
            "message": "nightly",
            "code": {"script": "train.py", "commit": "4f2a9c", "dirty": False},
            "environment": {"python": "3.12.1"},
        },
        deepest=_DEEPEST,
        success=201,
        finds=True,
    ),
    Route(
        method="POST",
        path=f"{_RUN}:use",
        scope="datasets:write",
        answer=_use,
        summary="Note what a run has read: versions, parts of splits, saved views, as they are called now",
        body=BodyKind.JSON,
        example={"addresses": ["flights@champion"]},
    ),
    Route(
        method="POST",
        path=f"{_RUN}:made",
        scope="datasets:write",
        answer=_made,
        summary="Note which versions a run has committed, by requests without the header `Foldstore-Run`",
        body=BodyKind.JSON,
        example={"addresses": ["flights@3"]},
    ),
    Route(
        method="POST",
        path=f"{_RUN}:end",
        scope="datasets:write",
        answer=_end,
        summary="Say how a run ended; the same again is the same end",
        body=BodyKind.JSON,
        example={"status": "failed", "error": {"type": "ValueError", "message": "no rows"}},
    ),
)

"""Requests that belong to a run: what they look up is an input of it, what they commit an output."""

from typing import Final

from starlette.responses import Response

from foldstore.api.route import Call, Route
from foldstore.datastore.lineage.recording import asked_as
from foldstore.errors import NotFoundError
from foldstore.names import parse_address
from foldstore.open_run import ResumedRun

RUN: Final = "foldstore-run"
ASKED: Final = "foldstore-asked"


def own_run(call: Call, run_id: str) -> ResumedRun:
    """Return a run that goes on, for whoever began it.

    Raises
    ------
    NotFoundError
        When there is none that this token has begun: what another token did is not added to.
    UsageError
        With code ``run-over``, when it has ended.
    """
    run = call.store.runs.get(run_id)
    if run.record.author != call.token.principal:
        raise NotFoundError("There is no such run of this token's.", hint="POST /v1/runs begins one.")
    return call.store.runs.resume(run.id)


def answer_in_run(route: Route, call: Call) -> Response:
    """Answer a request in the run that its header names, if it names one.

    A second header says for which address a version is looked up, where the path says less: of a part of a split.
    """
    run_id, asked = call.headers.get(RUN), call.headers.get(ASKED)
    if run_id is None:
        return route.answer(call)
    with own_run(call, run_id):
        if asked is None:
            return route.answer(call)
        with asked_as(parse_address(asked)):
            return route.answer(call)

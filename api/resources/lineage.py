"""Runs, and what came from what."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.query import QueryParameter
from foldstore.api.route import Call, Route
from foldstore.errors import NotFoundError
from foldstore.run import Run


def _runs(call: Call) -> Response:
    limit = call.query.number("limit", default=100, most=1_000, least=1)
    found = call.store.runs.list(call.query.text("name"), status=call.query.text("status"), limit=limit)
    return json_answer({"items": [run.to_dict() for run in found if may_see(call, run)]})


def _find(call: Call) -> Run:
    run = call.store.runs.get(call.path["run"])
    if not may_see(call, run):
        raise NotFoundError("There is no such run.", hint="GET /v1/runs lists them.")
    return run


def _run(call: Call) -> Response:
    return json_answer(_find(call).to_dict())


def _events(call: Call) -> Response:
    return json_answer({"items": call.store.runs.to_openlineage(_find(call).id)})


def may_see(call: Call, run: Run) -> bool:
    """Say whether the token is for everything that a run read and wrote: its parameters may tell of it."""
    used = (*run.inputs, *run.outputs)
    return not call.token.is_bounded or all(call.token.may_name(each.address.partition("@")[0]) for each in used)


def _lineage(call: Call) -> Response:
    address = call.query.required("address")
    call.check_name(address.partition("@")[0])
    call.refuse_bounded("Lineage")
    depth = None if call.query.text("depth") is None else call.query.number("depth", default=1, most=1_000, least=1)
    lineage, history = call.store.lineage(address), call.query.flag("history")
    found: dict[str, Any] = {
        "upstream": lineage.upstream(depth, history=history).to_dict(),
        "downstream": lineage.downstream(depth, history=history).to_dict(),
    }
    return json_answer(found)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/runs",
        scope="datasets:read",
        answer=_runs,
        summary="List runs, newest first",
        parameters=(
            QueryParameter("name", "Those of a name.", "train"),
            QueryParameter("status", "running, succeeded or failed.", "succeeded"),
            QueryParameter("limit", "How many at most.", "100", "integer"),
        ),
    ),
    Route(
        method="GET",
        path="/v1/runs/{run}",
        scope="datasets:read",
        answer=_run,
        summary="Say what a run read and wrote",
    ),
    Route(
        method="GET",
        path="/v1/runs/{run}/openlineage",
        scope="datasets:read",
        answer=_events,
        summary="Return a run as OpenLineage events",
    ),
    Route(
        method="GET",
        path="/v1/lineage",
        scope="datasets:read",
        answer=_lineage,
        summary="Say what a version, a view or a run came from, and what came from it",
        parameters=(
            QueryParameter("address", "A version, a view or a run.", "flights@3"),
            QueryParameter("depth", "How many steps; to the end unless given.", "2", "integer"),
            QueryParameter("history", "true goes to the versions that a version was committed upon, too.", "false"),
        ),
    ),
)

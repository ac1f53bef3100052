"""Test pools in the making: rows sealed by a steward, and reserves that fill as rows come."""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import Members
from foldstore.api.resources.plans import PLAN, PLANNED, read_plan
from foldstore.api.resources.pools import describe_pool
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.errors import UsageError
from foldstore.names import parse_address
from foldstore.reserve import Reserve
from foldstore.validation.pools.plan import PoolPlan


def _read_plan(body: Members) -> PoolPlan:
    return read_plan(Members(body.mapping("plan", required=True), *PLANNED).given())


def _seal(call: Call) -> Response:
    body = Members(call.body, "name", "part", "label", "plan", "hide", "baseline", "outcomes_feed_features", "expires")
    name, address = body.text("name", required=True), parse_address(body.text("part", required=True))
    for each in (name, address.name):
        call.check_name(each)
    if address.part is None:
        raise UsageError(
            "The member 'part' names no part of a split.", hint='Write "part": "flights@25#by_month.test".'
        )
    part = call.store.split(str(replace(address, part=None))).part(address.part)
    pool = call.store.pools.seal(
        name,
        part,
        label=body.text("label", required=True),
        plan=_read_plan(body),
        hide=body.texts("hide") or (),
        baseline=body.given().get("baseline"),
        outcomes_feed_features=body.flag("outcomes_feed_features"),
        expires=body.text("expires"),
    )
    return json_answer(describe_pool(pool), 201, {"location": f"/v1/test-pools/{name}"})


def _reserve(call: Call) -> Response:
    body = Members(call.body, "name", "dataset", "label", "plan", "share", "hide", "group_by")
    name, dataset = body.text("name", required=True), body.text("dataset", required=True)
    for each in (name, dataset):
        call.check_name(each)
    reserve = call.store.pools.reserve(
        name,
        dataset,
        label=body.text("label", required=True),
        plan=_read_plan(body),
        share=body.given().get("share", 0),
        hide=body.texts("hide") or (),
        group_by=body.texts("group_by") or (),
    )
    return json_answer(_describe(reserve), 201, {"location": f"/v1/reserves/{name}"})


def _describe(reserve: Reserve) -> dict[str, Any]:
    record = reserve.record
    return {**reserve.status().to_dict(), "label": record.label, "share": record.share}


def _may_see(call: Call, reserve: Reserve) -> bool:
    return call.token.may_name(reserve.name) and call.token.may_name(reserve.record.dataset.name)


def _list(call: Call) -> Response:
    found = [each for each in call.store.pools.list_reserves() if _may_see(call, each)]
    return json_answer({"items": [_describe(each) for each in found]})


def _find(call: Call) -> Reserve:
    reserve = call.store.pools.get_reserve(call.path["name"])
    call.check_name(reserve.record.dataset.name)
    return reserve


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call)))


def _features(call: Call) -> Response:
    table = _find(call).features()
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/test-pools",
        scope="labels:open",
        answer=_seal,
        is_long=True,
        holds_cells=False,
        summary="Seal the rows of a part as a test pool: hidden cells read as null from now on, in every version",
        body=BodyKind.JSON,
        example={"name": "late-2013", "part": "flights@5#by_month.test", "label": "late", "plan": PLAN},
        success=201,
    ),
    Route(
        method="POST",
        path="/v1/reserves",
        scope="labels:open",
        answer=_reserve,
        summary="Put a share of the rows that come from now on aside for the next pool",
        body=BodyKind.JSON,
        example={"name": "next", "dataset": "flights", "label": "late", "plan": PLAN, "share": 0.1},
        success=201,
    ),
    Route(
        method="GET",
        path="/v1/reserves",
        scope="pools:admin",
        answer=_list,
        summary="List reserves, and how full they are",
    ),
    Route(
        method="GET",
        path="/v1/reserves/{name}",
        scope="pools:admin",
        answer=_get,
        summary="Say how full a reserve is",
    ),
    Route(
        method="GET",
        path="/v1/reserves/{name}/features",
        scope="pools:admin",
        answer=_features,
        gives=Gives.ROWS,
        summary="Return the visible columns of a reserve's rows",
    ),
)

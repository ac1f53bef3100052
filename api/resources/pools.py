"""Test pools: listed, planned, asked; nothing but pass or fail comes out of them until a steward retires one."""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer, rows_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.documents import GATE_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.rows import ROWS
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.errors import UsageError
from foldstore.names import parse_address
from foldstore.pool import Pool
from foldstore.validation.pools.gate_answer import GateAnswer

_ROTATED: Final = ("baseline", "accept_drift", "expires", "confidence")
_DRAW: Final = QueryParameter("draw", "The number of a draw: its rows alone.", "1")


def describe_pool(pool: Pool) -> dict[str, Any]:
    """Return what is known of a pool as plain data; never an accuracy."""
    record = pool.record
    return {
        **pool.status().to_dict(),
        "dataset": record.dataset.name,
        "label": record.label,
        "hidden": list(record.hidden),
        "created_at": record.created_at,
    }


def _list(call: Call) -> Response:
    found = [each for each in call.store.pools.list_pools() if _may_see(call, each)]
    return page_answer(call.query, [each.name for each in found], lambda place: describe_pool(found[place]))


def _may_see(call: Call, pool: Pool) -> bool:
    return call.token.may_name(pool.name) and call.token.may_name(pool.record.dataset.name)


def _find(call: Call) -> Pool:
    pool = call.store.pools.get(call.path["name"])
    call.check_name(pool.record.dataset.name)
    return pool


def _get(call: Call) -> Response:
    return json_answer(describe_pool(_find(call)))


def _features(call: Call) -> Response:
    table = _find(call).features(draw=_draw_of(call))
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=10**12)
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=limit)


def _evaluate(call: Call) -> Response:
    pool, predictions, model = _find(call), read_rows(call.body), call.query.text("model") or ""
    verdict = pool.evaluate(predictions, model=model, draw=_draw_of(call))
    if call.form is None:
        return json_answer({"passed": verdict.passed, "charged": verdict.charged})
    return document_answer(call, GateAnswer.of(pool.status(), verdict, model=model, rows=predictions.num_rows))


def _rows_to_label(call: Call) -> Response:
    table = _find(call).rows_to_label(read_rows(call.body), draw=_draw_of(call))
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=None)


def _draw_of(call: Call) -> int | None:
    return None if call.query.text("draw") is None else call.query.number("draw", default=0, most=10**9)


def _draw(call: Call) -> Response:
    body = Members(call.body, "rows", "seed").given()
    if "rows" not in body:
        raise UsageError("The draw does not say how many rows.", hint='Write {"rows": 5000}.')
    drawn = _find(call).draw(body["rows"], seed=body.get("seed"))
    said = {"actor": drawn.actor, "drawn_at": drawn.drawn_at}
    return json_answer({"draw": drawn.number, "rows": drawn.rows, "seed": drawn.seed, **said})


def _promote(call: Call) -> Response:
    model = Members(call.body, "model").text("model", required=True)
    return json_answer({"baseline": _find(call).promote(model)})


def _rotate(call: Call) -> Response:
    pool = _find(call)
    body = Members(call.body, "name", "part", *_ROTATED)
    name, address = body.text("name", required=True), parse_address(body.text("part", required=True))
    for each in (name, address.name):
        call.check_name(each)
    if address.part is None:
        raise UsageError(
            "The member 'part' names no part of a split.", hint='Write "part": "flights@25#by_month.test".'
        )
    part = call.store.split(str(replace(address, part=None))).part(address.part)
    given = {each: value for each, value in body.given().items() if each in _ROTATED}
    return json_answer(describe_pool(pool.rotate(name, part, **given)), 201, {"location": f"/v1/test-pools/{name}"})


def _retire(call: Call) -> Response:
    given = Members(call.body, "reason", "confidence").given()
    return json_answer(_find(call).retire(**given).to_dict())


def _report(call: Call) -> Response:
    return json_answer(_find(call).report().to_dict())


_PATH: Final = "/v1/test-pools/{name}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/test-pools",
        scope="pools:read",
        answer=_list,
        summary="List test pools, and what is left of each",
        parameters=PAGE,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="pools:read",
        answer=_get,
        summary="Say what is left of a pool; never an accuracy",
    ),
    Route(
        method="GET",
        path=f"{_PATH}/features",
        scope="pools:evaluate",
        answer=_features,
        gives=Gives.ROWS,
        summary="Return what a model needs to predict: rows in a secret order under ids that say nothing",
        parameters=(ROWS[2], _DRAW),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:rows-to-label",
        scope="pools:evaluate",
        answer=_rows_to_label,
        gives=Gives.ROWS,
        summary="Say which rows' labels an answer for predictions would rest on; none is read and nothing charged",
        parameters=(_DRAW,),
        body=BodyKind.ROWS,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:evaluate",
        scope="pools:evaluate",
        answer=_evaluate,
        summary="Ask a pool: `passed`, and whether it was charged. The same predictions again are free",
        parameters=(QueryParameter("model", "What the model is, for the ledger.", "git:abc123"), _DRAW),
        body=BodyKind.ROWS,
        forms=GATE_FORMS,
    ),
    Route(
        method="POST",
        path=f"{_PATH}/draws",
        scope="pools:evaluate",
        answer=_draw,
        summary="Draw some of a pool's rows at random, by a seed that the ledger keeps",
        body=BodyKind.JSON,
        example={"rows": 5000, "seed": 7},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:promote",
        scope="pools:admin",
        answer=_promote,
        summary="Let a model that passed be the baseline of later questions",
        body=BodyKind.JSON,
        example={"model": "git:abc123"},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:rotate",
        scope="labels:open",
        answer=_rotate,
        summary="Seal fresh rows as the next pool after comparing them, and retire this one",
        body=BodyKind.JSON,
        example={"name": "late-2014", "part": "flights@25#by_month.test", "expires": "2030-01-31"},
        success=201,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:retire",
        scope="labels:open",
        answer=_retire,
        summary="End a pool's answers for good; the answer is its report",
        body=BodyKind.JSON,
        example={"reason": "the season is over", "confidence": 0.95},
    ),
    Route(
        method="GET",
        path=f"{_PATH}/report",
        scope="labels:open",
        answer=_report,
        summary="Return the report of a retired pool: all answers and charges, all figures with their intervals",
    ),
)

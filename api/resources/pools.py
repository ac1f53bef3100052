"""Test pools: listed, planned, asked; nothing but pass or fail comes out of them."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer, rows_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.resources.rows import ROWS
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError
from foldstore.pool import Pool
from foldstore.validation.pools.plan import plan_pool

_PLANNED: Final = ("condition", "reliability", "steps", "reuse", "method", "mode", "beta", "lifetime", "prevalence")


def _describe(pool: Pool) -> dict[str, Any]:
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
    return page_answer(call.query, [each.name for each in found], lambda place: _describe(found[place]))


def _may_see(call: Call, pool: Pool) -> bool:
    return call.token.may_name(pool.name) and call.token.may_name(pool.record.dataset.name)


def _find(call: Call) -> Pool:
    pool = call.store.pools.get(call.path["name"])
    call.check_name(pool.record.dataset.name)
    return pool


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call)))


def _features(call: Call) -> Response:
    table = _find(call).features()
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=10**12)
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=limit)


def _evaluate(call: Call) -> Response:
    pool = _find(call)
    verdict = pool.evaluate(read_rows(call.body), model=call.query.text("model") or "")
    return json_answer({"passed": verdict.passed, "charged": verdict.charged})


def _plan(call: Call) -> Response:
    body = Members(call.body, *_PLANNED)
    body.text("condition", required=True)
    for name in ("reliability", "steps"):
        if name not in body.given():
            raise UsageError(f"The plan does not say its {name}.", hint='Write "reliability": 0.999, "steps": 32.')
    given = body.given()
    prevalence = given.pop("prevalence", None)
    plan = plan_pool(**given)
    return json_answer((plan if prevalence is None else plan.at_prevalence(prevalence)).to_dict())


_PATH: Final = "/v1/test-pools/{name}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/test-pools",
        scope="pools:evaluate",
        answer=_list,
        summary="List test pools, and what is left of each",
        parameters=PAGE,
    ),
    Route(
        method="POST",
        path="/v1/test-pools:plan",
        scope="pools:evaluate",
        answer=_plan,
        summary="Say how many labels a condition needs; nothing is kept",
        body=BodyKind.JSON,
        example={"condition": "n > 0.8 +/- 0.05", "reliability": 0.999, "steps": 8, "reuse": "max_passes:2"},
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="pools:evaluate",
        answer=_get,
        summary="Say what is left of a pool; never an accuracy",
    ),
    Route(
        method="GET",
        path=f"{_PATH}/features",
        scope="pools:evaluate",
        answer=_features,
        summary="Return what a model needs to predict: rows in a secret order under ids that say nothing",
        parameters=(ROWS[2],),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:evaluate",
        scope="pools:evaluate",
        answer=_evaluate,
        summary="Ask a pool: `passed`, and whether it was charged. The same predictions again are free",
        parameters=(QueryParameter("model", "What the model is, for the ledger.", "git:abc123"),),
        body=BodyKind.ROWS,
    ),
)

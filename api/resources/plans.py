"""Plans of test pools: how many labels a condition needs, and what another question would need; nothing is kept."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.body import Members
from foldstore.api.documents import EXPLAINED_FORM, PLAN_TABLE_FORMS, document_answer
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError
from foldstore.validation.pools.meter import meter_pool
from foldstore.validation.pools.plan import PoolPlan, plan_pool
from foldstore.validation.pools.plan_table import plan_pool_table

_SHARED: Final = ("condition", "reliability", "steps", "reuse", "mode", "beta", "lifetime", "prevalence")
PLANNED: Final = (*_SHARED, "method", "uses")
PLAN: Final = {"condition": "n > 0.8 +/- 0.05", "reliability": 0.999, "steps": 8, "reuse": "max_passes:2"}
# An exact plan takes up to a tenth of a second: a table of the SDK's 500 would keep a thread for a minute.
_MOST_PLANS: Final = 100


def read_plan(given: Mapping[str, Any]) -> PoolPlan:
    """Return a plan by its questions, or with ``uses`` a meter; what follows from them is worked out here.

    Raises
    ------
    UsageError
        When a question is missing, or one that a meter does not ask is there.
    """
    if "uses" in given:
        body = Members(dict(given), "condition", "uses")
        return meter_pool(body.text("condition", required=True), uses=given["uses"])
    asked = _asked(given)
    prevalence = asked.pop("prevalence", None)
    plan = plan_pool(**asked)
    return plan if prevalence is None else plan.at_prevalence(prevalence)


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    Members(dict(given), *PLANNED, "vary", "cross").text("condition", required=True)
    for name in ("reliability", "steps"):
        if name not in given:
            raise UsageError(f"The plan does not say its {name}.", hint='Write "reliability": 0.999, "steps": 32.')
    return dict(given)


def _plan(call: Call) -> Response:
    return document_answer(call, read_plan(Members(call.body, *PLANNED).given()))


def _table(call: Call) -> Response:
    body = Members(call.body, *_SHARED, "vary", "cross")
    asked, vary, cross = _asked(body.given()), body.mapping("vary"), body.flag("cross")
    for axis, several in vary.items():
        if not isinstance(several, list):
            raise UsageError(
                f"The values of {ascii(axis)[:40]} are not a list.", hint='Write {"vary": {"steps": [1, 8]}}.'
            )
    count = 1
    for several in vary.values():
        count = count * (len(several) + 1) if cross else count + len(several)
    if count > _MOST_PLANS:
        raise UsageError(
            f"The table would have {count:,} plans, more than {_MOST_PLANS}.",
            hint="Name fewer values, or leave cross out.",
            code="too-many-plans",
        )
    return document_answer(call, plan_pool_table(**{**asked, "vary": vary or None, "cross": cross}))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/test-pools:plan",
        scope="pools:read",
        answer=_plan,
        summary="Say how many labels a condition needs, or with `uses` count uses alone; nothing is kept",
        body=BodyKind.JSON,
        example=PLAN,
        forms=(EXPLAINED_FORM,),
    ),
    Route(
        method="POST",
        path="/v1/test-pools:plan-table",
        scope="pools:read",
        answer=_table,
        is_long=True,
        summary="Say how many labels a condition would need with other tolerances, answers, policies, reliabilities",
        body=BodyKind.JSON,
        example={**PLAN, "vary": {"steps": [1, 32]}, "cross": False},
        forms=PLAN_TABLE_FORMS,
    ),
)

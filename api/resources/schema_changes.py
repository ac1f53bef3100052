"""What becomes of a schema: the fixes of a report that a person accepts, and what another would change."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import NotFoundError, UsageError
from foldstore.validation.anomaly import choose_anomalies
from foldstore.validation.evolution import Change
from foldstore.validation.schema import DataSchema


def _current(call: Call) -> DataSchema:
    schema = call.store.dataset(call.path["name"]).schema
    if schema is None:
        raise NotFoundError(
            f"{call.path['name']!r} has no schema.",
            hint=":infer-schema of a version proposes one, PUT /v1/datasets/{name}/schema sets it.",
        )
    return schema


def _accept(call: Call) -> Response:
    body = Members(call.body, "version", "anomalies", "reason")
    named = body.texts("anomalies")
    if not named:
        raise UsageError(
            "The member 'anomalies' names none.",
            hint='Write {"anomalies": ["null_fraction_high:dep_time"]}; a code alone is of all columns, "all" is all.',
        )
    current, dataset = _current(call), call.store.dataset(call.path["name"])
    version = dataset.version(body.version("version", required=True))
    chosen = choose_anomalies((version.report or version.validate()).anomalies, named)
    if not any(each.fix for each in chosen):
        raise UsageError(
            f"None of the {len(chosen)} anomalies proposes a change of the schema.",
            hint="Mend the data, or release the version: POST .../versions/{ref}:release.",
        )
    reason = body.text("reason")
    child = current.accept(chosen, reason=reason)
    kept = dataset.set_schema(child, message=reason or f"accepted {', '.join(named)}", author=call.token.principal)
    return json_answer({"id": kept.id, "changes": _plain(current.diff(child)), "schema": kept.to_dict()})


def _diff(call: Call) -> Response:
    other = DataSchema.from_dict(Members(call.body, "schema", "id").mapping("schema", required=True))
    return json_answer({"id": other.id, "changes": _plain(_current(call).diff(other))})


def _plain(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [{**each.to_dict(), "text": str(each)} for each in changes]


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/datasets/{name}/schema:accept",
        scope="datasets:write",
        answer=_accept,
        summary="Set a child of the schema with fixes that a version's report proposes: by code:column, code, or all",
        body=BodyKind.JSON,
        example={"version": "4", "anomalies": ["null_fraction_high:arr_delay"], "reason": "storms cancel flights"},
    ),
    Route(
        method="POST",
        path="/v1/datasets/{name}/schema:diff",
        scope="datasets:read",
        answer=_diff,
        summary="Say what another schema would change, and whether it refuses what was accepted; nothing is kept",
        body=BodyKind.JSON,
        example={"schema": {"columns": {"carrier": {"type": "string"}}}},
        deepest=16,
    ),
)

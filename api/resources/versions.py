"""Versions: listed, described, profiled, traced."""

from dataclasses import asdict
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer, tagged_answer
from foldstore.api.body import Members
from foldstore.api.documents import NOTEBOOK_FORM, REPORT_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.datasets import committed
from foldstore.api.route import BodyKind, Call, Route
from foldstore.datastore.canonical import canonical_json
from foldstore.errors import NotFoundError
from foldstore.version import Version

VERSION: Final = "/v1/datasets/{name}/versions/{ref}"


def find_version(call: Call) -> Version:
    """Return the version that the path names."""
    return call.store.dataset(call.path["name"]).version(call.path["ref"])


def state_of(version: Version) -> str:
    """Return a text that is another one when what can be read of a version changed: by a seal, an erasure, a status."""
    files = [[group.object_id for group in fragment.groups] for fragment in version.rows.fragments]
    gone = [None if each.deleted is None else each.deleted.hash for each in version.rows.fragments]
    return canonical_json([version.version_id, str(version.status), files, gone, version.arrow_schema.names])


def _list(call: Call) -> Response:
    found = call.store.dataset(call.path["name"]).versions()
    return page_answer(call.query, [f"{each.number:020}" for each in found], lambda place: found[place].to_dict())


def _get(call: Call) -> Response:
    version = find_version(call)
    columns = [
        {"name": field.name, "type": str(field.type), "nullable": field.nullable} for field in version.arrow_schema
    ]
    moved = version.deprecation
    data = {**version.to_dict(), "columns": columns, "deprecation": None if moved is None else asdict(moved)}
    return tagged_answer(call.headers, data, state=f"version {state_of(version)}")


def _profile(call: Call) -> Response:
    version = find_version(call)
    by = call.query.names("by")
    rows = call.query.choice("rows", ("all", "added"))
    state = canonical_json(["profile", state_of(version), by, rows])
    if by is None:
        found = version.profile(rows=rows, progress=call.progress)
        return document_answer(call, found) if call.form else tagged_answer(call.headers, found.to_dict(), state=state)
    parts = version.profile(by=by, rows=rows, progress=call.progress)
    if call.form:
        return document_answer(call, parts)
    data: list[dict[str, Any]] = [{"segment": key, "profile": part.to_dict()} for key, part in parts.items()]
    return tagged_answer(call.headers, {"by": by, "segments": data}, state=state)


def _report(call: Call) -> Response:
    version = find_version(call)
    if version.report is None:
        raise NotFoundError(
            f"{version.address} has no report: no schema gated its dataset when it was committed.",
            hint="POST to :validate judges it now.",
        )
    return document_answer(call, version.report)


def _lineage(call: Call) -> Response:
    version = find_version(call)
    call.refuse_bounded("Lineage")
    return document_answer(call, call.store.lineage(version.address))


def _deprecate(call: Call) -> Response:
    body = Members(call.body, "reason", "replacement")
    version = find_version(call)
    version.deprecate(body.text("reason", required=True), replacement=body.text("replacement"))
    return json_answer(find_version(call).to_dict())


def _release(call: Call) -> Response:
    reason = Members(call.body, "reason").text("reason", required=True)
    return committed(find_version(call).release(reason, author=call.token.principal))


def _reject(call: Call) -> Response:
    reason = Members(call.body, "reason").text("reason", required=True)
    find_version(call).reject(reason, author=call.token.principal)
    return json_answer(find_version(call).to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/datasets/{name}/versions",
        scope="datasets:read",
        answer=_list,
        summary="List versions, oldest first",
        parameters=PAGE,
    ),
    Route(
        method="GET",
        path=VERSION,
        scope="datasets:read",
        answer=_get,
        summary="Say what is known of a version, by number, alias, tag, branch or `latest`",
    ),
    Route(
        method="GET",
        path=f"{VERSION}/profile",
        scope="datasets:read",
        answer=_profile,
        forms=(NOTEBOOK_FORM,),
        is_long=True,
        summary="Return the statistics of a version, of all rows or of segments",
        parameters=(
            QueryParameter("by", "One column or two, joined by a comma: a profile of each value.", "carrier"),
            QueryParameter("rows", "all, or added: those that the version brought.", "all"),
        ),
    ),
    Route(
        method="GET",
        path=f"{VERSION}/report",
        scope="datasets:read",
        answer=_report,
        forms=REPORT_FORMS,
        summary="Return the report of the gate that judged the commit",
    ),
    Route(
        method="GET",
        path=f"{VERSION}/lineage",
        scope="datasets:read",
        answer=_lineage,
        forms=(NOTEBOOK_FORM,),
        summary="Say what a version came from, and what came from it",
    ),
    Route(
        method="POST",
        path=f"{VERSION}:deprecate",
        scope="datasets:write",
        answer=_deprecate,
        summary="Say that a version should not be used any more",
        body=BodyKind.JSON,
        example={"reason": "wrong time zone", "replacement": "flights@4"},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:release",
        scope="datasets:write",
        answer=_release,
        is_long=True,
        summary="Publish what a quarantined version changed, as a new version",
        body=BodyKind.JSON,
        example={"reason": "the new carrier is real"},
        success=201,
    ),
    Route(
        method="POST",
        path=f"{VERSION}:reject",
        scope="datasets:write",
        answer=_reject,
        summary="Say that a quarantined version will not be published",
        body=BodyKind.JSON,
        example={"reason": "broken export"},
    ),
)

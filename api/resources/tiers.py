"""The cold tier: files of old versions go there, and come back."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError

_MOST_KEPT: Final = 1_000_000_000


def _read_force(call: Call, body: Members) -> bool:
    force = body.flag("force")
    if force:
        call.refuse_bounded("What other versions need")
    return force


def _read_keep(body: Members) -> int:
    keep = body.given().get("keep", 1)
    if not isinstance(keep, int) or isinstance(keep, bool) or not 0 <= keep <= _MOST_KEPT:
        raise UsageError("The member 'keep' is not a whole number from 0 on.", hint='Write {"keep": 1}.')
    return keep


def _freeze(call: Call) -> Response:
    force = _read_force(call, Members(call.body, "force"))
    return json_answer(find_version(call).freeze(force=force, progress=call.progress).to_dict())


def _thaw(call: Call) -> Response:
    Members(call.body)
    return json_answer(find_version(call).thaw(progress=call.progress).to_dict())


def _freeze_dataset(call: Call) -> Response:
    body = Members(call.body, "older_than", "keep", "force")
    done = call.store.freeze(
        call.path["name"],
        older_than=body.text("older_than"),
        keep=_read_keep(body),
        force=_read_force(call, body),
        progress=call.progress,
    )
    return json_answer(done.to_dict())


def _thaw_dataset(call: Call) -> Response:
    Members(call.body)
    return json_answer(call.store.thaw(call.path["name"], progress=call.progress).to_dict())


def _cold_bytes(call: Call) -> Response:
    return json_answer({"cold_bytes": find_version(call).cold_bytes})


_DATASET: Final = "/v1/datasets/{name}"
ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}/cold-bytes",
        scope="datasets:read",
        answer=_cold_bytes,
        summary="Say how many bytes reading a version decodes, for files that lie in the cold tier",
    ),
    Route(
        method="POST",
        path=f"{VERSION}:freeze",
        scope="store:care",
        answer=_freeze,
        is_long=True,
        holds_cells=False,
        summary="Move the files that only a version needs into the cold tier: smaller, and slower to read; "
        "`force` moves those that others need, too",
        body=BodyKind.JSON,
        example={"force": False},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:thaw",
        scope="store:care",
        answer=_thaw,
        is_long=True,
        holds_cells=False,
        summary="Bring the files of a version back from the cold tier",
        body=BodyKind.JSON,
        example={},
    ),
    Route(
        method="POST",
        path=f"{_DATASET}:freeze",
        scope="store:care",
        answer=_freeze_dataset,
        is_long=True,
        holds_cells=False,
        summary="Move the files that only old versions of a dataset need into the cold tier: of those that no branch, "
        "alias or tag points at, but for the newest `keep`",
        body=BodyKind.JSON,
        example={"older_than": "2026-01-01T00:00:00Z", "keep": 1, "force": False},
    ),
    Route(
        method="POST",
        path=f"{_DATASET}:thaw",
        scope="store:care",
        answer=_thaw_dataset,
        is_long=True,
        holds_cells=False,
        summary="Bring the files of all versions of a dataset back from the cold tier",
        body=BodyKind.JSON,
        example={},
    ),
)

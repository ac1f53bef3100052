"""Erasures: rows leave every version by right, and a tombstone stays.

What erases asks for a token of all names: it reaches files for lookups of services and tells of copies in other
datasets, and whoever erases by right must hear of every place where the rows may still be.
"""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members, read_rows, rows_of
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import RefusedError, UsageError

_MOST_ID: Final = (1 << 64) - 1


def _refuse_bounded(call: Call) -> None:
    if call.token.is_bounded:
        raise RefusedError(
            "An erasure reaches past the names that this token is for: files for lookups, and copies elsewhere.",
            hint="Ask for a token of all names.",
        )


def _read_keys(body: Members) -> list[dict[str, Any]] | None:
    keys = body.given().get("keys")
    if keys is None:
        return None
    # Texts would be taken for the paths of files.
    if not isinstance(keys, list) or not keys or not all(isinstance(each, dict) for each in keys):
        raise UsageError("The member 'keys' is not a list of objects.", hint='Write {"keys": [{"id": 7}]}.')
    return keys


def _read_ids(body: Members) -> Any:
    ids = body.given().get("row_ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(type(each) is int and 0 <= each <= _MOST_ID for each in ids):
        raise UsageError("The member 'row_ids' is not a list of row ids.", hint='Write {"row_ids": [4294967296]}.')
    return np.array(ids, np.uint64)


def _erase(call: Call) -> Response:
    _refuse_bounded(call)
    body = Members(call.body, "keys", "where", "row_ids", "reason", "reference", "dry_run")
    with rows_of(None):
        done = call.store.dataset(call.path["name"]).erase(
            _read_keys(body),
            where=body.text("where"),
            row_ids=_read_ids(body),
            reason=body.text("reason", required=True),
            reference=body.text("reference") or "",
            dry_run=body.flag("dry_run", default=True),
        )
    return json_answer(done.to_dict())


def _erase_keys(call: Call) -> Response:
    _refuse_bounded(call)
    with rows_of(call.body):
        done = call.store.dataset(call.path["name"]).erase(
            read_rows(call.body),
            reason=call.query.required("reason"),
            reference=call.query.text("reference") or "",
            dry_run=call.query.choice("dry_run", ("true", "false")) == "true",
        )
    return json_answer(done.to_dict())


def _list(call: Call) -> Response:
    found = call.store.dataset(call.path["name"]).erasures()
    return json_answer({"items": [asdict(each) for each in found]})


_RETRY: Final = (
    "It cannot be undone. A header `Idempotency-Key` makes a retry safe: "
    "for a day the second is given the answer of the first"
)
_PATH: Final = "/v1/datasets/{name}"
ROUTES: Final = (
    Route(
        method="GET",
        path=f"{_PATH}/erasures",
        scope="datasets:read",
        answer=_list,
        summary="List what was erased, oldest first: when, by whom, why, and of which versions; never what",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:erase",
        scope="rows:erase",
        answer=_erase,
        is_long=True,
        holds_cells=False,
        answers_once=True,
        summary='Say which rows would leave every version, and with `"dry_run": false` erase them: by `keys`, by a '
        f"condition `where`, or by `row_ids`. {_RETRY}",
        body=BodyKind.JSON,
        example={"keys": [{"id": 7}], "reason": "asked to be forgotten", "reference": "ticket-17", "dry_run": True},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:erase-keys",
        scope="rows:erase",
        answer=_erase_keys,
        is_long=True,
        holds_cells=False,
        answers_once=True,
        summary=f"Do what `:erase` does, with the columns of the key as rows. {_RETRY}",
        parameters=(
            QueryParameter("reason", "Why; it is kept, so name nobody.", "asked to be forgotten"),
            QueryParameter("reference", "A number of yours, such as a ticket's; it is kept.", "ticket-17"),
            QueryParameter("dry_run", "false erases; else it is said what would go.", "true"),
        ),
        body=BodyKind.ROWS,
    ),
)

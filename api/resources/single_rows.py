"""Single rows of a version: by their ids or keys, and the ids; and the version of an instant."""

from typing import Final

import pyarrow as pa
from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Gives, Route

_ROW_ID: Final = "row_id"


def _take(call: Call) -> Response:
    version, wanted = find_version(call), read_rows(call.body)
    columns = call.query.names("columns")
    if wanted.column_names == [_ROW_ID] and _ROW_ID not in version.dataset.key:
        ids = wanted.column(_ROW_ID).to_pylist()
        found = version.take(ids, columns=columns)
    else:
        found = version.take(keys=wanted, columns=columns)
    return rows_answer(call.headers, found.schema, found.to_batches(), limit=found.num_rows)


def _row_ids(call: Call) -> Response:
    table = pa.table({_ROW_ID: find_version(call).row_ids()})
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=10**15)
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=limit)


def _as_of(call: Call) -> Response:
    dataset = call.store.dataset(call.path["name"])
    branch = call.query.text("branch")
    found = (dataset if branch is None else dataset.branch(branch)).as_of(call.query.required("moment"))
    return json_answer(found.to_dict())


ROUTES: Final = (
    Route(
        method="POST",
        path=f"{VERSION}:take",
        scope="datasets:read",
        answer=_take,
        gives=Gives.ROWS,
        obeys_rules=True,
        summary="Return some rows in the order asked for: by a column `row_id` alone, or by the columns of the key",
        parameters=(QueryParameter("columns", "Which columns, joined by commas; all unless given.", "carrier"),),
        body=BodyKind.ROWS,
    ),
    Route(
        method="GET",
        path=f"{VERSION}/row-ids",
        scope="datasets:read",
        answer=_row_ids,
        gives=Gives.ROWS,
        summary="Return the id of each row, in order: it stays the same in every version that has the row",
        parameters=(QueryParameter("limit", "How many at most; of JSON 1,000 unless given.", "100", "integer"),),
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}:as-of",
        scope="datasets:read",
        answer=_as_of,
        summary="Return the version that was the newest published one at an instant; of a branch, that of its line",
        parameters=(
            QueryParameter("moment", "An instant, RFC 3339.", "2026-01-31T00:00:00Z"),
            QueryParameter("branch", "The branch; the main one unless given.", "main"),
        ),
    ),
)

"""Statistics and differences as Arrow: all that is known, for a client that reads them back."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import rows_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.errors import UsageError

_KINDS: Final = ("added", "removed", "changed")


def _statistics(call: Call) -> Response:
    table = (
        find_version(call).profile(rows=call.query.choice("rows", ("all", "added")), progress=call.progress).to_arrow()
    )
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _diff_rows(call: Call) -> Response:
    body = Members(call.body, "before", "after", "rows", "columns", "limit")
    kind, limit = body.text("rows") or _KINDS[0], body.number("limit", most=10**9)
    if kind not in _KINDS:
        raise UsageError(f"rows={ascii(kind)[:40]} is no choice.", hint=f"Write one of {', '.join(_KINDS)}.")
    dataset = call.store.dataset(call.path["name"])
    before, after = (dataset.version(body.text(name, required=True)) for name in ("before", "after"))
    found = dataset.diff(before, after)
    most = None if limit is None else int(limit)
    if kind == "changed":
        table = found.rows_changed(most)
    else:
        table = (found.rows_added if kind == "added" else found.rows_removed)(body.texts("columns"), most)
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}/statistics",
        scope="datasets:read",
        answer=_statistics,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return all statistics of a version as a table: a row for each column",
        parameters=(QueryParameter("rows", "all, or added: those that the version brought.", "all"),),
    ),
    Route(
        method="POST",
        path="/v1/datasets/{name}:diff-rows",
        scope="datasets:read",
        answer=_diff_rows,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return the rows that two versions do not share, or that changed",
        body=BodyKind.JSON,
        example={"before": "1", "after": "2", "rows": "changed", "limit": 100},
    ),
)

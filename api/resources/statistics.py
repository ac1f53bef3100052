"""Statistics and differences as Arrow: all that is known, for a client that reads them back."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import rows_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.datastore.statistics.segment_table import write_segments
from foldstore.datastore.statistics.segments import MAX_SEGMENTS
from foldstore.errors import UsageError

_MOST_SEGMENTS: Final = 10_000
_KINDS: Final = ("added", "removed", "changed")


def _statistics(call: Call) -> Response:
    version, by = find_version(call), call.query.names("by")
    asked: dict[str, Any] = {"rows": call.query.choice("rows", ("all", "added")), "progress": call.progress}
    if by is None:
        table = version.profile(**asked).to_arrow()
    else:
        most = call.query.number("max_segments", default=MAX_SEGMENTS, most=_MOST_SEGMENTS, least=1)
        table = write_segments(version.profile(by=by, max_segments=most, **asked), version.arrow_schema)
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _diff_rows(call: Call) -> Response:
    body = Members(call.body, "before", "after", "rows", "columns", "limit")
    kind, limit = body.text("rows") or _KINDS[0], body.number("limit", most=10**9)
    if kind not in _KINDS:
        raise UsageError(f"rows={ascii(kind)[:40]} is no choice.", hint=f"Write one of {', '.join(_KINDS)}.")
    dataset = call.store.dataset(call.path["name"])
    before, after = (dataset.version(body.version(name, required=True)) for name in ("before", "after"))
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
        summary="Return all statistics of a version as a table: a row for each column, or for each segment",
        parameters=(
            QueryParameter("rows", "all, or added: those that the version brought.", "all"),
            QueryParameter("by", "One column or two, joined by a comma: the statistics of each value.", "carrier"),
            QueryParameter("max_segments", "How many values stand alone, the largest.", "50", "integer"),
        ),
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

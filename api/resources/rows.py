"""Rows of versions, parts of splits and saved views, in the form that is asked for."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
from starlette.responses import Response

from foldstore.api.answers import rows_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION
from foldstore.api.route import Call, Gives, Route
from foldstore.views.view import View

ROWS: Final = (
    QueryParameter("columns", "Which columns, joined by commas; all unless given.", "carrier,arr_delay"),
    QueryParameter("where", "A condition, as in SQL's WHERE.", "origin = 'JFK'"),
    QueryParameter("limit", "How many rows at most; of JSON 1,000 unless given.", "100", "integer"),
    QueryParameter("offset", "How many rows to pass over first.", "0", "integer"),
)
_MOST_ROWS: Final = 10**15


EPOCH: Final = QueryParameter("epoch", "Which epoch of rows that are shuffled or sampled, from 0 on.", "0", "integer")
_MOST_EPOCHS: Final = 1 << 32


def read_epoch(call: Call) -> int:
    """Return which epoch of the rows is asked for."""
    return call.query.number("epoch", default=0, most=_MOST_EPOCHS)


def answer_rows(call: Call, view: View, epoch: int = 0) -> Response:
    """Answer with the rows of a view, narrowed as the query says."""
    where, columns = call.query.text("where"), call.query.names("columns")
    if where is not None:
        view = view.where(where)
    if columns is not None:
        view = view.select(*columns)
    offset = call.query.number("offset", default=0, most=_MOST_ROWS)
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=_MOST_ROWS)
    batches = view.rows.stream(view.arrow_schema.names, epoch=epoch)
    return rows_answer(call.headers, view.arrow_schema, _passed_over(batches, offset), limit=limit)


def _passed_over(batches: Iterable[pa.RecordBatch], offset: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if offset >= batch.num_rows:
            offset -= batch.num_rows
            continue
        yield batch.slice(offset)
        offset = 0


def _of_version(call: Call) -> Response:
    return answer_rows(call, call.store.view(f"{call.path['name']}@{call.path['ref']}", quarantined=True))


def _of_part(call: Call) -> Response:
    name, ref, split, part = (call.path[each] for each in ("name", "ref", "split", "part"))
    return answer_rows(call, call.store.view(f"{name}@{ref}#{split}.{part}"))


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}/rows",
        scope="datasets:read",
        obeys_rules=True,
        answer=_of_version,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return rows as JSON, JSON lines, CSV or an Arrow stream, by `Accept`",
        parameters=ROWS,
    ),
    Route(
        method="GET",
        path=f"{VERSION}/splits/{{split}}/{{part}}/rows",
        scope="datasets:read",
        answer=_of_part,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return the rows of a part of a split",
        parameters=ROWS,
    ),
)

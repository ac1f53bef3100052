"""The answer to a query that a server runs."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from foldstore.remote.server import RowStream
from foldstore.views.display import MAX_ROWS, html_table, shorten
from foldstore.views.sql import SqlResult


class RemoteSqlResult(SqlResult):
    """The rows of a query, sent as Arrow; asking for them a second time runs it again.

    Parameters
    ----------
    query : str
        What was asked.
    ask : callable
        Asks it.
    """

    __slots__ = ("_ask", "_stream", "_text")

    def __init__(self, query: str, ask: Callable[[], RowStream]) -> None:
        self._text = query
        self._ask = ask
        self._stream: RowStream | None = ask()
        self.arrow_schema: pa.Schema = self._stream.schema

    def _run(self) -> Any:
        stream, self._stream = self._stream, None
        return _Rows(stream or self._ask())

    def __repr__(self) -> str:
        names = ", ".join(f"{field.name}: {field.type}" for field in self.arrow_schema)
        return shorten(f"<SqlResult ({names}) of {' '.join(self._text.split())}>", 200)

    def _repr_html_(self) -> str:
        batches, found = [], 0
        for batch in self.to_batches():
            batches.append(batch.slice(0, MAX_ROWS))
            found += batch.num_rows
            if found >= MAX_ROWS:
                break
        head = pa.Table.from_batches(batches, self.arrow_schema).slice(0, MAX_ROWS)
        return html_table(head, f"{head.num_rows} rows shown: {self!r}")


class _Rows:
    """Rows in the forms that the ends of a result ask for."""

    def __init__(self, stream: RowStream) -> None:
        self._stream = stream

    def to_batches(self) -> Any:
        return self._stream.batches

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._stream.schema, self._stream.batches)

    def to_arrow(self) -> pa.Table:
        return pa.Table.from_batches(self._stream.batches, self._stream.schema)

"""The answer to a query, as it streams out of the engine."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from foldstore.datastore.engine_database import BATCH_ROWS, ENGINE_ERRORS, run_text
from foldstore.datastore.engine_errors import query_failed
from foldstore.datastore.query_watch import QueryWatch
from foldstore.datastore.running import RunningQuery
from foldstore.errors import InvalidQueryError

if TYPE_CHECKING:
    from foldstore.datastore.engine import Engine


@dataclass(slots=True)
class _Stream:
    """The rows that are there already, and the reader of the others, or None."""

    schema: pa.Schema
    batches: list[pa.RecordBatch]
    reader: pa.RecordBatchReader | None


class QueryResult:
    """The answer to a query, streamed once: the first of its ends takes the rows.

    At most two batches are held; a result that is dropped half-read gives its connection back.

    Attributes
    ----------
    schema : pyarrow.Schema
        Names and types of the columns, known before any row is read.
    """

    def __init__(
        self,
        query: RunningQuery,
        watch: QueryWatch,
        columns: Iterable[str],
        engine: "Engine | None",
    ) -> None:
        self.schema: pa.Schema = pa.schema([])
        self._query = query
        self._watch = watch
        self._columns = tuple(columns)
        self._engine = engine
        self._stream: _Stream | None = None

    def start(self, text: str, params: Any) -> "QueryResult":
        """Run the query up to its first rows; what is wrong with it is said now."""
        self._stream = self._watch.run(lambda: _start(self._query.connection, text, params))
        self.schema = self._stream.schema
        return self

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as record batches; nothing is gathered."""
        stream, self._stream = self._stream, None
        if stream is None:
            raise InvalidQueryError("This result has been read.", hint="Run the query again.")
        return self._read(stream)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as a reader, for whatever takes an Arrow stream."""
        return pa.RecordBatchReader.from_batches(self.schema, self.to_batches())

    def to_arrow(self) -> pa.Table:
        """Return all rows as one table."""
        return pa.Table.from_batches(self.to_batches(), self.schema)

    def close(self) -> None:
        """Stop the query."""
        self._stream = None
        self._query.end()
        if self._engine is not None:
            self._engine.close()

    def _read(self, stream: _Stream) -> Iterator[pa.RecordBatch]:
        try:
            yield from _taken(stream.batches)
            while (reader := stream.reader) is not None:
                stream.batches, stream.reader = self._watch.run(lambda: _pull(reader))
                yield from _taken(stream.batches)
            self._watch.finish()
        except ENGINE_ERRORS as error:
            raise query_failed(error, self._columns) from error
        finally:
            stream.reader = None
            self.close()


def _start(connection: Any, text: str, params: Any) -> _Stream:
    reader = run_text(connection, text, params).to_arrow_reader(BATCH_ROWS)
    batches, rest = _pull(reader)
    return _Stream(reader.schema, batches, rest)


def _pull(reader: pa.RecordBatchReader) -> tuple[list[pa.RecordBatch], pa.RecordBatchReader | None]:
    """Take a batch, and the rest when it is short: a thread for each batch costs little, one for each crumb much."""
    batches: list[pa.RecordBatch] = []
    rows = 0
    while rows < BATCH_ROWS:
        try:
            batches.append(reader.read_next_batch())
        except StopIteration:
            return batches, None
        rows += batches[-1].num_rows
    return batches, reader


def _taken(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    waiting = list(reversed(batches))
    while waiting:
        yield waiting.pop()

"""The answer to a query, as it streams out of the engine."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from foldstore.datastore.engine_database import ENGINE_ERRORS
from foldstore.datastore.engine_errors import query_failed
from foldstore.errors import InvalidQueryError

if TYPE_CHECKING:
    from foldstore.datastore.engine import Engine


class QueryResult:
    """The answer to a query, streamed once: the first of its ends takes the rows.

    Attributes
    ----------
    schema : pyarrow.Schema
        Names and types of the columns, known before any row is read.
    """

    def __init__(
        self,
        end: Callable[[], None],
        reader: pa.RecordBatchReader,
        tables: Mapping[str, pa.Table],
        engine: "Engine | None",
    ) -> None:
        self.schema: pa.Schema = reader.schema
        self._end = end
        self._reader: pa.RecordBatchReader | None = reader
        self._tables = tables
        self._engine = engine

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as record batches; nothing is gathered."""
        reader, self._reader = self._reader, None
        if reader is None:
            raise InvalidQueryError("This result has been read.", hint="Run the query again.")
        return self._stream(reader)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as a reader, for whatever takes an Arrow stream."""
        return pa.RecordBatchReader.from_batches(self.schema, self.to_batches())

    def to_arrow(self) -> pa.Table:
        """Return all rows as one table."""
        return pa.Table.from_batches(self.to_batches(), self.schema)

    def close(self) -> None:
        """Stop the query."""
        self._reader = None
        self._end()
        if self._engine is not None:
            self._engine.close()

    def _stream(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except ENGINE_ERRORS as error:
            raise query_failed(error, self._tables) from error
        finally:
            self.close()

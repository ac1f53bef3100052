"""Record batches on their way through an engine that cuts its output as it likes."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa

_ROW_COUNT: Final = "foldstore rows"


def narrow(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """Keep the columns that are read; without any, a column of nulls (which take no memory) counts the rows."""
    if not columns:
        return pa.schema([pa.field(_ROW_COUNT, pa.null())])
    return pa.schema([schema.field(name).remove_metadata() for name in columns])


class Feed:
    """Input batches on their way through DuckDB, kept until their results are out."""

    def __init__(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        self.schema = schema
        self.under_way: deque[pa.RecordBatch] = deque()
        self.failure: BaseException | None = None
        self._batches = batches
        self._stopped = False

    def reader(self) -> pa.RecordBatchReader:
        """Offer the batches to the engine; it pulls them as it goes."""
        return pa.RecordBatchReader.from_batches(self.schema, self._pull())

    def stop(self) -> None:
        """Say that nobody wants more; an engine that is closed early would drain the batches otherwise."""
        self._stopped = True

    def _pull(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                if self._stopped:
                    return
                narrow = self._narrowed(batch)
                self.under_way.append(narrow)
                yield narrow
        except GeneratorExit:  # nobody reads on: no failure
            raise
        except BaseException as error:
            # DuckDB would hand on the text alone, that of an interrupt too.
            self.failure = error
            raise

    def _narrowed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if pa.types.is_null(self.schema.field(0).type) and self.schema.names == [_ROW_COUNT]:
            return pa.RecordBatch.from_arrays([pa.nulls(batch.num_rows)], schema=self.schema)
        return pa.RecordBatch.from_arrays([batch.column(name) for name in self.schema.names], schema=self.schema)


def recut(reader: Iterable[pa.RecordBatch], feed: Feed, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Cut DuckDB's output as the input was cut."""
    pieces: deque[pa.RecordBatch] = deque()
    held = 0
    for chunk in reader:
        pieces.append(chunk)
        held += chunk.num_rows
        while feed.under_way and feed.under_way[0].num_rows <= held:
            rows = feed.under_way[0].num_rows
            yield _take_rows(pieces, rows, schema)
            held -= rows
            feed.under_way.popleft()
    while feed.under_way:
        rows = feed.under_way[0].num_rows
        if rows > held:
            raise RuntimeError(f"the engine gave {held} of {rows} rows back")
        yield _take_rows(pieces, rows, schema)
        held -= rows
        feed.under_way.popleft()


def _take_rows(pieces: deque[pa.RecordBatch], rows: int, schema: pa.Schema) -> pa.RecordBatch:
    taken = []
    while rows:
        piece = pieces.popleft()
        taken.append(piece.slice(0, rows))
        if piece.num_rows > rows:
            pieces.appendleft(piece.slice(rows))
        rows -= taken[-1].num_rows
    if not taken:
        return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    whole = taken[0] if len(taken) == 1 else pa.concat_batches(taken)
    return pa.RecordBatch.from_arrays(whole.columns, schema=schema)

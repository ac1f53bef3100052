"""Which record batches of a version a filter has to look at.

A row that a condition rules out is not looked at where the zones of its file say so for the whole record batch. The
answer is the same; what would fail on such a row (a cast of 'abc' in another condition) does not.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import pyarrow as pa

from foldstore.datastore.reader import FragmentReader
from foldstore.views.source import Source
from foldstore.views.steps import Step, Where


def read_batches(source: Source, columns: Sequence[str], steps: Sequence[Step]) -> Iterator[pa.RecordBatch]:
    """Yield the batches that the first conditions of a view leave.

    Only a source that is all rows of a version has their reader as its `rows`; others are read whole.
    """
    reader = getattr(source, "rows", None)
    conditions = takewhile(lambda step: isinstance(step, Where), steps)
    tests = [each for step in conditions if isinstance(step, Where) for each in step.predicate.comparisons]
    if tests and isinstance(reader, FragmentReader):
        return reader.batches(columns, tests)
    return source.to_batches(columns)

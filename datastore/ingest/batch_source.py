"""A source of rows: a schema and one pass of record batches, whatever they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSource:
    """A schema and one pass over record batches.

    Attributes
    ----------
    description : mapping
        Where the rows come from and how they were read; kept with the version.
    num_rows : int or None
        How many rows are to come, when that is known.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    description: Mapping[str, Any] = field(default_factory=dict)
    num_rows: int | None = None

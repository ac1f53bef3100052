"""Views: lazy, immutable specifications over pinned versions.

A view stores nothing. Its steps run in the order in which they were written, batch by batch, when an end
such as `View.to_arrow` asks for rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.datastore.export.file import write_file
from foldstore.errors import FoldstoreError, UsageError
from foldstore.names import check_name
from foldstore.views.display import MAX_ROWS, html_table, shorten
from foldstore.views.explain import Explanation, explain_steps
from foldstore.views.pruning import read_batches
from foldstore.views.source import Source, ViewStore
from foldstore.views.specification import hash_spec, read_steps, write_spec
from foldstore.views.steps import (
    MAX_STEPS,
    Limit,
    Step,
    Where,
    make_limit,
    make_select,
    make_where,
    prune,
    run_steps,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_BATCH_ROWS: Final = 131_072


class View:
    """A saved or unsaved query over one pinned version: filter, project, compute, cut.

    Steps apply in the order written: ``limit(10).where(...)`` filters the first ten rows, while
    ``where(...).limit(10)`` gives the first ten that pass. Each verb returns a new view and checks its
    arguments at once; nothing is read before an end is called.

    Parameters
    ----------
    source : Source
        The pinned version.
    engine : Engine
        Evaluates predicates and expressions.
    store : ViewStore, optional
        Where `save` keeps the specification.

    Examples
    --------
    >>> jfk = store.view("flights@5").where("origin = 'JFK'")  # doctest: +SKIP
    >>> jfk.select("carrier", late="arr_delay > 15").to_polars()  # doctest: +SKIP
    """

    __slots__ = ("_engine", "_source", "_steps", "_store")

    def __init__(self, source: Source, *, engine: Engine, store: ViewStore | None = None) -> None:
        self._source = source
        self._engine = engine
        self._store = store
        self._steps: tuple[Step, ...] = ()

    @classmethod
    def from_spec(cls, spec: object, source: Source, *, engine: Engine, store: ViewStore | None = None) -> "View":
        """Build a view from what `spec` returned; every part is checked as if it were typed anew.

        Raises
        ------
        UsageError
            When it is not a specification, or is pinned to another version than `source`.
        """
        view = cls(source, engine=engine, store=store)
        for verb, argument in read_steps(spec, source):
            if verb == "where":
                view = view.where(argument)
            elif verb == "limit":
                view = view.limit(argument)
            else:
                columns, expressions = argument
                view = view.select(*columns, **expressions)
        return view

    def where(self, predicate: str) -> "View":
        """Keep the rows for which an SQL condition is true; null counts as not true.

        Repeated calls narrow further, one after the other.

        Raises
        ------
        InvalidExpressionError
            When the condition does not parse, is not boolean, or looks at anything but its row.
        ColumnNotFoundError
            When it names a column that is not there.
        """
        return self._with(make_where(self._engine, predicate, self.arrow_schema, self._source.address))

    def select(self, /, *columns: str, **expressions: str) -> "View":
        """Keep columns, in this order, and compute others by SQL expressions over the columns so far."""
        address = self._source.address
        return self._with(make_select(self._engine, columns, expressions, self.arrow_schema, address))

    def limit(self, rows: int) -> "View":
        """Keep the first rows of what the steps so far give."""
        return self._with(make_limit(rows, self.arrow_schema))

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._steps[-1].arrow_schema if self._steps else self._source.arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are; with a condition they are counted by reading what it needs."""
        return self.count()

    def count(self) -> int:
        """Count the rows; reads only the columns that conditions use, and nothing when there is none."""
        last = max((index for index, step in enumerate(self._steps) if isinstance(step, Where)), default=-1)
        rows = self._source.num_rows
        if last >= 0:
            rows = sum(batch.num_rows for batch in self._stream(self._steps[: last + 1], []))
        return min([rows, *(step.rows for step in self._steps[last + 1 :] if isinstance(step, Limit))])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch; where nothing is computed they are slices of the mapped files."""
        return self._stream(self._steps, self.arrow_schema.names)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as a reader, for whatever takes an Arrow stream."""
        return pa.RecordBatchReader.from_batches(self.arrow_schema, self.to_batches())

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table; without conditions and expressions it is the mapped files themselves."""
        return pa.Table.from_batches(self.to_batches(), self.arrow_schema)

    def to_polars(self) -> "pl.DataFrame":
        """Return a polars DataFrame; texts and dictionaries are copied, numbers are not."""
        from foldstore.views import frames

        return frames.to_polars(self.to_arrow())

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; pandas is an extra."""
        from foldstore.views import frames

        return frames.to_pandas(self.to_arrow())

    def to_numpy(self) -> dict[str, "np.ndarray[Any, Any]"]:
        """Return a numpy array for each column.

        Integers with nulls become floats with NaN, texts become objects, timestamps lose their zone (UTC).
        """
        from foldstore.views import frames

        return frames.to_numpy(self.to_arrow())

    def scan(self) -> "pl.LazyFrame":
        """Return a polars LazyFrame that reads batch by batch when it is collected."""
        from foldstore.views import frames

        return frames.scan(self.arrow_schema, self._read)

    def export(self, path: "str | Path", *, columns: Sequence[str] | None = None, **how: Any) -> list[Path]:
        """Write the rows to a file; see `foldstore.datastore.export.file.write_file`.

        Parameters
        ----------
        path : str or pathlib.Path
            Parquet, CSV, JSON lines or Arrow by its ending.
        columns : sequence of str, optional
            Which columns, in which order; all unless given.
        **how
            ``format=, overwrite=, rows_per_file=, progress=``.
        """
        view = self if columns is None else self.select(*columns)
        total = None if any(isinstance(step, Where) for step in self._steps) else self.count()
        return write_file(view.arrow_schema, view.to_batches(), path, num_rows=total, **how)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def spec(self) -> dict[str, Any]:
        """Return the whole view as plain data: the pinned version and the steps."""
        return write_spec(self._source, self._steps)

    @property
    def hash(self) -> str:
        """The identity of the view: the same hash gives the same rows in the same order."""
        return hash_spec(self.spec())

    def explain(self) -> Explanation:
        """Say which parts are zero-copy and what the rest copies at most; reads no values."""
        used, columns = prune(self._steps, self.arrow_schema.names, self._source.arrow_schema)
        return explain_steps(self._source, self._steps, columns, used)

    def save(self, name: str) -> int:
        """Keep the specification, and nothing else, under a name; return the number of the view's version."""
        check_name(name, "view")
        if self._store is None:
            raise UsageError("This view belongs to no store, so it cannot be saved.", hint="store.view(...) gives one.")
        return self._store.save_view(name, self.spec())

    def split(self, name: str, **how: Any) -> Any:
        """Share out the rows to train, validation and test, for good; rows outside the view are in no part.

        Parameters
        ----------
        name : str
            The split's name; it belongs to the dataset.
        **how
            See `foldstore.views.splits.split.SplitSpec`: ``train=, validation=, test=, group_by=, stratify=,
            seed=``, or ``by_time=`` and ``boundaries=``.

        Raises
        ------
        UsageError
            When the view does more than filter: a split is one of rows, as they are.
        """
        if self._store is None:
            raise UsageError("This view belongs to no store, so it cannot be split.", hint="store.view(...) gives one.")
        if not all(isinstance(step, Where) for step in self._steps):
            raise UsageError("Only a view that filters can be split.", hint="Split first, then select and limit.")
        predicates = [step.predicate.text for step in self._steps if isinstance(step, Where)]
        return self._store.split_view(self._source.version_id, predicates, name, how)

    def __repr__(self) -> str:
        steps = "".join(f" | {_shown(step.spec())}" for step in self._steps)
        return shorten(f"<View of {self._source.address}{steps}>", 200)

    def _repr_html_(self) -> str:
        # A selective condition could scan everything before ten rows are found: only the beginning is searched.
        searched = min(self._source.num_rows, _BATCH_ROWS)
        try:
            head = self._head(searched)
        except FoldstoreError as error:
            return html_table(pa.table({"error": [error.message]}), repr(self))
        partial = searched < self._source.num_rows and head.num_rows < MAX_ROWS
        note = f" (found in the first {searched:,} rows)" if partial else ""
        return html_table(head, f"{head.num_rows} rows shown{note}: {self!r}")

    def _head(self, searched: int) -> pa.Table:
        steps = (*self._steps, make_limit(MAX_ROWS, self.arrow_schema))
        return pa.Table.from_batches(self._stream(steps, self.arrow_schema.names, searched), self.arrow_schema)

    def _with(self, step: Step) -> "View":
        if len(self._steps) >= MAX_STEPS:
            raise UsageError(f"A view has at most {MAX_STEPS} steps.", hint="Join conditions with AND.")
        view = View(self._source, engine=self._engine, store=self._store)
        view._steps = (*self._steps, step)
        return view

    def _read(self, columns: list[str] | None, rows: int | None) -> Iterator[pa.RecordBatch]:
        steps = self._steps if rows is None else (*self._steps, make_limit(rows, self.arrow_schema))
        wanted = self.arrow_schema.names if columns is None else columns
        for batch in self._stream(steps, wanted):
            yield batch.select(wanted)

    def _stream(
        self, steps: tuple[Step, ...], wanted: list[str], searched: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run steps over the source, reading only what they and the caller need."""
        used, columns = prune(steps, wanted, self._source.arrow_schema)
        schema = pa.schema([self._source.arrow_schema.field(name) for name in columns])
        if searched is None:
            batches = read_batches(self._source, columns, used)
        else:
            batches = self._source.to_batches(columns)
            batches = run_steps(self._engine, [make_limit(searched, schema)], schema, batches)
        return run_steps(self._engine, used, schema, batches)


def _shown(step: Mapping[str, Any]) -> str:
    (verb, argument), *_ = step.items()
    if isinstance(argument, list):
        argument = ", ".join(
            item if isinstance(item, str) else "{} = {}".format(*next(iter(item.items()))) for item in argument
        )
    return f"{verb} {' '.join(str(argument).split())}"

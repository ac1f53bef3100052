"""The ends of a view: the forms in which its rows are read. Nothing is read before one of them asks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from foldstore.datastore.export.file import write_file
from foldstore.datastore.statistics.profile import profile_batches
from foldstore.datastore.statistics.row_profile import RowProfile
from foldstore.datastore.statistics.row_source import StreamedRows
from foldstore.datastore.statistics.segments import MAX_SEGMENTS, SegmentedProfile, profile_segments
from foldstore.views.arguments import check_columns, check_count
from foldstore.views.rows.rows import Rows, endless
from foldstore.views.steps.explode import Explode
from foldstore.views.steps.order import AnyStep
from foldstore.views.steps.where import Where

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from foldstore.views.loading.loader import Loader


class ViewForms:
    """Reading the rows of a view."""

    __slots__ = ()

    _steps: tuple[AnyStep, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        raise NotImplementedError

    @property
    def rows(self) -> Rows:
        """What produces the rows, for the layers that compute inside the store."""
        raise NotImplementedError

    def warn_of_leakage(self) -> None:
        """Warn before the view is learned from, when it has rows that it should not."""
        raise NotImplementedError

    @property
    def is_endless(self) -> bool:
        """Whether the rows never end."""
        return self.rows.is_endless

    def count(self) -> int:
        """Count the rows; reads only the columns that conditions use, and nothing when there is none.

        Raises
        ------
        UsageError
            When the view never ends (code ``endless-view``).
        """
        return self.rows.count()

    @property
    def num_rows(self) -> int:
        """How many rows there are; with a condition they are counted by reading what it needs."""
        return self.count()

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch; where nothing is computed they are slices of the mapped files."""
        return self.rows.stream(self.arrow_schema.names)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as a reader, for whatever takes an Arrow stream."""
        return pa.RecordBatchReader.from_batches(self.arrow_schema, self.to_batches())

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table; without conditions and expressions it is the mapped files themselves.

        Raises
        ------
        UsageError
            When the view never ends (code ``endless-view``); so do the other forms that hold all rows.
        """
        if self.is_endless:
            raise endless("it has no table")
        return pa.Table.from_batches(self.to_batches(), self.arrow_schema)

    def to_polars(self) -> "pl.DataFrame":
        """Return a polars DataFrame; texts and dictionaries are copied, numbers are not."""
        from foldstore.views import frames

        return frames.to_polars(self.to_arrow())

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; pandas is an extra."""
        from foldstore.views import frames

        return frames.to_pandas(self.to_arrow())

    def to_numpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return a numpy array for each column.

        Integers with nulls become floats with NaN, texts become objects, timestamps lose their zone (UTC).
        """
        from foldstore.views import frames

        return frames.to_numpy(self.to_arrow())

    def to_xy(
        self, label: str, features: Sequence[str] | None = None
    ) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Return features and label as scikit-learn takes them.

        Parameters
        ----------
        label : str
            The column to predict; a row without one is refused.
        features : sequence of str, optional
            Columns of numbers and booleans, in this order; all others unless given.

        Returns
        -------
        tuple of ndarray
            ``X`` of shape (rows, features) and type float64, with NaN where a value is null; ``y`` of shape (rows,).
            As in numpy, a whole number beyond 2**53 becomes the nearest float64; `to_numpy` keeps it exactly.

        Raises
        ------
        UsageError
            When a feature is no number (`enumerate` makes numbers of labels), or a label is null.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("d").append({"a": [1, 2], "b": [0.5, None], "late": [True, False]}).view()
        >>> X, y = view.to_xy("late")
        >>> X.shape, y.tolist()
        ((2, 2), [True, False])
        """
        from foldstore.views.loading.matrix import make_matrix

        self.warn_of_leakage()
        return make_matrix(self.select_batches, self.arrow_schema, self.rows, label, features)

    def to_duckdb(self, connection: Any = None) -> Any:
        """Return a DuckDB relation over the rows, on a connection of the caller's or on DuckDB's own.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection, optional
            Where further SQL runs; DuckDB's default connection unless given.
        """
        from foldstore.datastore.engine import open_relation

        return open_relation(self.to_arrow(), connection)

    @overload
    def profile(self, *, by: None = None, max_segments: int = ...) -> RowProfile: ...
    @overload
    def profile(self, *, by: str | Sequence[str], max_segments: int = ...) -> SegmentedProfile: ...
    def profile(
        self, *, by: str | Sequence[str] | None = None, max_segments: int = MAX_SEGMENTS
    ) -> RowProfile | SegmentedProfile:
        """Return the statistics of the rows, read batch by batch.

        Parameters
        ----------
        by : str or sequence of str, optional
            One column or two: a profile of each value, or of each pair of values.
        max_segments : int
            How many segments stand alone, the largest; the rest is joined under `OTHER`.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("n").append({"n": [1, 2, 3, 40]}).view().where("n < 10")
        >>> view.profile().columns["n"].maximum
        3
        """
        if self.is_endless:
            raise endless("it has no statistics")
        source = StreamedRows(self.arrow_schema, self.rows.stream)
        if by is not None:
            return profile_segments(source, by, max_segments)
        profile = profile_batches(self.arrow_schema, self.to_batches())
        return RowProfile(profile.rows, profile.columns, source)

    def loader(self, batch_size: int, **how: Any) -> "Loader":
        """Return batches of a fixed size for training, resumable and shared among processes.

        Parameters
        ----------
        batch_size : int
            How many rows a batch has.
        **how
            ``columns=, rank=, world_size=, drop_last=, even=, form=, masks=, fill=``; see
            `foldstore.views.loading.loader.Loader`.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("n").append({"n": [1, 2, 3, 4, 5]}).view()
        >>> [batch["n"].tolist() for batch in view.loader(2)]
        [[1, 2], [3, 4], [5]]
        """
        from foldstore.views.loading.loader import make_loader

        return make_loader(self, batch_size, **how)  # type: ignore[arg-type]  # a mixin of View

    def to_torch(self, batch_size: int, **how: Any) -> Any:
        """Return a PyTorch ``IterableDataset`` of batches; give it to a ``DataLoader`` with ``batch_size=None``.

        It shares rows among workers and ranks, and its ``state_dict`` resumes in the middle of an epoch, also with
        another number of either. PyTorch is an extra.

        Parameters
        ----------
        batch_size : int
            How many rows a batch has.
        **how
            As for `loader`; ``rank`` and ``world_size`` are those of ``torch.distributed`` unless given.
        """
        from foldstore.views.loading.torch_dataset import make_torch_dataset

        return make_torch_dataset(self.loader(batch_size, form="torch", **how))

    def to_huggingface(self, *, streaming: bool = False) -> Any:
        """Return a Hugging Face ``Dataset`` over the rows, or an ``IterableDataset`` that streams them.

        The package ``datasets`` is an extra.

        Parameters
        ----------
        streaming : bool
            Whether rows are read as they are asked for, instead of all at once.
        """
        from foldstore.views.loading.huggingface import make_dataset

        return make_dataset(self, streaming=streaming)  # type: ignore[arg-type]  # a mixin of View

    def scan(self) -> "pl.LazyFrame":
        """Return a polars LazyFrame that reads batch by batch when it is collected."""
        from foldstore.views import frames

        return frames.scan(self.arrow_schema, self.select_batches)

    def export(self, path: str | Path, *, columns: Sequence[str] | None = None, **how: Any) -> list[Path]:
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
        if self.is_endless:
            raise endless("it cannot be written to a file")
        names = check_columns(columns, self.arrow_schema, where="export()")
        view: Any = self if columns is None else self.select(*names)  # type: ignore[attr-defined]
        total = None if any(isinstance(step, Where | Explode) for step in self._steps) else self.count()
        return write_file(view.arrow_schema, view.to_batches(), path, num_rows=total, **how)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def select_batches(self, columns: Sequence[str] | None = None, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the rows, and at most so many rows; what is not asked for is not read."""
        wanted = check_columns(columns, self.arrow_schema, where="select_batches()")
        left = None if rows is None else check_count(rows, "rows")
        for batch in self.rows.stream(wanted):
            if left is not None and batch.num_rows >= left:
                yield batch.slice(0, left).select(wanted)
                return
            left = None if left is None else left - batch.num_rows
            yield batch.select(wanted)

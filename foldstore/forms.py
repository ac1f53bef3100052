"""The forms in which versions and parts of splits are read: all but Arrow's own go through their view."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from foldstore.views.view import View

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from foldstore.datastore.statistics.row_profile import RowProfile
    from foldstore.datastore.statistics.segments import SegmentedProfile
    from foldstore.views.loading.loader import Loader


class Forms:
    """Reading by way of the view of all rows and columns; `View` says more of each form."""

    def view(self) -> View:
        """Return the view of all rows and columns, to filter and to read in other forms."""
        raise NotImplementedError

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.view().__arrow_c_stream__(requested_schema)

    @overload
    def profile(self, *, by: None = None, max_segments: int = ...) -> "RowProfile": ...
    @overload
    def profile(self, *, by: str | Sequence[str], max_segments: int = ...) -> "SegmentedProfile": ...
    def profile(self, **how: Any) -> Any:
        """Return the statistics of the rows, or with ``by=`` those of each segment; see `View.profile`."""
        return self.view().profile(**how)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as an Arrow stream."""
        return self.view().to_reader()

    def to_polars(self) -> "pl.DataFrame":
        """Return a polars DataFrame."""
        return self.view().to_polars()

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame (the extra ``foldstore[pandas]``)."""
        return self.view().to_pandas()

    def to_numpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return a numpy array for each column."""
        return self.view().to_numpy()

    def to_xy(
        self, label: str, features: Sequence[str] | None = None
    ) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Return features of shape (rows, features) and the label of shape (rows,), as scikit-learn takes them."""
        return self.view().to_xy(label, features)

    def to_duckdb(self, connection: Any = None) -> Any:
        """Return a DuckDB relation over the rows, on a connection of the caller's or on DuckDB's own."""
        return self.view().to_duckdb(connection)

    def loader(self, batch_size: int, **how: Any) -> "Loader":
        """Return batches of a fixed size for training, resumable and shared among processes.

        Parameters
        ----------
        batch_size : int
            How many rows a batch has.
        **how
            See `foldstore.views.loading.loader.Loader`.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(1000))})
        >>> batches = version.split("half", train=0.5, test=0.5).train.loader(batch_size=256)
        >>> [batch["id"].shape for batch in batches]
        [(256,), (232,)]
        """
        return self.view().loader(batch_size, **how)

    def to_torch(self, batch_size: int, **how: Any) -> Any:
        """Return a PyTorch ``IterableDataset`` of batches (the extra ``foldstore[torch]``).

        Parameters
        ----------
        batch_size : int
            How many rows a batch has.
        **how
            As for `loader`.
        """
        return self.view().to_torch(batch_size, **how)

    def to_huggingface(self, *, streaming: bool = False) -> Any:
        """Return a Hugging Face ``Dataset``, or an ``IterableDataset`` (the extra ``foldstore[huggingface]``)."""
        return self.view().to_huggingface(streaming=streaming)

    def scan(self) -> "pl.LazyFrame":
        """Return a polars LazyFrame that reads what it needs when it is collected."""
        return self.view().scan()

    def export(self, path: str | Path, *, columns: Sequence[str] | None = None, **how: Any) -> list[Path]:
        """Write the rows to a file: Parquet, CSV, JSON lines or Arrow by its ending.

        The file appears when it is whole; see `foldstore.datastore.export.file.write_file`.

        Parameters
        ----------
        path : str or pathlib.Path
            The file.
        columns : sequence of str, optional
            Which columns, in which order; all unless given.
        **how
            ``format=, overwrite=, rows_per_file=, progress=``.

        Raises
        ------
        UsageError
            When a column or a value has no form in the format; the column is named.
        AlreadyExistsError
            When there is such a file and `overwrite` is not set.
        """
        return self.view().export(path, columns=columns, **how)

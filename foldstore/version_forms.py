"""The forms in which a version is read: all but Arrow's own go through its view."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from foldstore.views.view import View

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class VersionForms:
    """Reading by way of the view of all rows and columns."""

    def view(self) -> View:
        """Return the view of all rows and columns, to filter and to read in other forms."""
        raise NotImplementedError

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.view().__arrow_c_stream__(requested_schema)

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

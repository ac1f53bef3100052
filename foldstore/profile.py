"""The handle of a version's profile: the statistics, and the schema that they suggest."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from foldstore.datastore.keys import find_repeated_keys
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.row_profile import RowProfile
from foldstore.errors import EmptyReferenceWarning, frames_to_the_caller
from foldstore.validation.drift_history import History, learn_limits
from foldstore.validation.inference import infer_schema, update_schema
from foldstore.validation.schema import DataSchema


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class VersionProfile(RowProfile):
    """The statistics of a version's rows.

    Attributes
    ----------
    dataset : str
        The dataset's name.
    key : tuple of str
        The dataset's key.
    history : callable or None
        Says how far earlier versions lie from these rows; see `foldstore.validation.drift_history`.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> version = store.create_dataset("people", key=["id"]).append({"id": [1, 2], "age": [34, None]})
    >>> profile = version.profile()
    >>> profile.columns["age"].nulls, profile.columns["age"].mean
    (1, 34.0)
    >>> profile.infer_schema().keys
    ('id',)
    """

    dataset: str = ""
    history: History | None = None

    def infer_schema(
        self,
        *,
        label: str | None = None,
        serving: Profile | None = None,
        categorical: Sequence[str] = (),
        history: bool = True,
    ) -> DataSchema:
        """Propose a schema from the statistics, with the evidence for each part in `ColumnSchema.evidence`.

        Look at it before you set it: it says what this data looks like, not what data should be. The rows are read
        only where more than 65,536 values may all be different, and for `history`.

        Parameters
        ----------
        label : str, optional
            What is learnt: it belongs to training, and not to serving.
        serving : Profile, optional
            The statistics of rows as they are served; columns that one side alone has belong to it alone.
        categorical : sequence of str
            Columns of whole numbers that are names: their values are listed, their size says nothing.
        history : bool
            Learn the limits of drift from how the versions before differ, where at least eight brought rows.

        Warns
        -----
        EmptyReferenceWarning
            When there are no rows: the schema says types alone.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("rides")
        >>> rows = {"zone": [each % 7 for each in range(2000)], "km": [each % 97 for each in range(2000)]}
        >>> version = trips.append(rows)
        >>> schema = version.profile().infer_schema(categorical=["zone"])
        >>> schema.columns["zone"].domain.values
        (0, 1, 2, 3, 4, 5, 6)
        >>> print(schema.columns["km"].evidence["why"]["domain.min"])
        none below 0: 2,000 numbers lie between 0 and 96
        """
        self._warn_of_no_rows()
        schema = infer_schema(
            self,
            keys=self.key,
            name=self.dataset,
            label=label,
            serving=serving,
            categorical=categorical,
            is_unique=None if self.source is None else self._is_unique,
        )
        return learn_limits(schema, self.history(schema.columns)) if history and self.history else schema

    def _warn_of_no_rows(self) -> None:
        if not self.rows:
            what = f"{self.dataset or 'The profile'} has no rows: the schema says types alone."
            warnings.warn(what, EmptyReferenceWarning, stacklevel=frames_to_the_caller())

    def _is_unique(self, column: str) -> bool:
        return not find_repeated_keys([column], iter(self._rows().batches([column])), 1).groups

    def update_schema(self, schema: DataSchema, *, reason: str | None = None) -> DataSchema:
        """Return a child of a schema for which this data was looked at: what a person edited stays."""
        return update_schema(schema, self, reason=reason)

"""The handle of a version's profile: the statistics, and the schema that they suggest."""

from dataclasses import dataclass

from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.row_profile import RowProfile
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

    def infer_schema(self, *, label: str | None = None, serving: Profile | None = None) -> DataSchema:
        """Propose a schema from the statistics alone, with the evidence for each part.

        Look at it before you set it: it says what this data looks like, not what data should be.

        Parameters
        ----------
        label : str, optional
            What is learnt: it belongs to training, and not to serving.
        serving : Profile, optional
            The statistics of rows as they are served; columns that one side alone has belong to it alone.
        """
        return infer_schema(self, keys=self.key, name=self.dataset, label=label, serving=serving)

    def update_schema(self, schema: DataSchema, *, reason: str | None = None) -> DataSchema:
        """Return a child of a schema for which this data was looked at: what a person edited stays."""
        return update_schema(schema, self, reason=reason)

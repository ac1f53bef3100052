"""The handle of a remote version's profile: the statistics as the server counted them, and the rows when it must be."""

from collections.abc import Sequence
from dataclasses import dataclass

from foldstore.datastore.statistics.profile import Profile
from foldstore.profile import VersionProfile
from foldstore.remote.results import joined_names
from foldstore.remote.server import Server
from foldstore.validation.inference import place_columns
from foldstore.validation.schema import DataSchema


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class RemoteProfile(VersionProfile):
    """The statistics of a remote version's rows.

    What looks at several columns together streams the rows that it needs.

    Attributes
    ----------
    server : Server
        Who infers schemas with the history of the dataset.
    path : str
        Where it is asked.
    """

    server: Server
    path: str

    def infer_schema(
        self,
        *,
        label: str | None = None,
        serving: Profile | None = None,
        categorical: Sequence[str] = (),
        history: bool = True,
    ) -> DataSchema:
        """Propose a schema from the statistics; see `foldstore.profile.VersionProfile.infer_schema`.

        With the history of the dataset, which the server has, it is inferred there.
        """
        if not history:
            return VersionProfile.infer_schema(
                self, label=label, serving=serving, categorical=categorical, history=False
            )
        self._warn_of_no_rows()
        asked = {"label": label, "categorical": joined_names(categorical or None)}
        found = DataSchema.from_dict(self.server.read(self.path, None, **asked)["schema"])
        return found if serving is None else place_columns(found, label, serving)

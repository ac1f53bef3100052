"""The handle of a remote version's profile: the statistics as the server counted them, and the rows when it must be."""

from collections.abc import Sequence
from dataclasses import dataclass

from foldstore.datastore.statistics.profile import Profile
from foldstore.profile import VersionProfile
from foldstore.remote.local_only import NO_ROUTE, refuse
from foldstore.remote.server import Server
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
        if label is not None or serving is not None or categorical:
            refuse("profile.infer_schema with label=, serving= or categorical= and the limits of history", NO_ROUTE)
        return DataSchema.from_dict(self.server.read(self.path, None)["schema"])

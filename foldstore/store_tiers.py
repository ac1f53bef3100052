"""What a store's handle does with the cold tier: files of old versions go there, and come back."""

from datetime import datetime

from foldstore.dataset import Dataset
from foldstore.datastore.freezing import Tiering, choose_versions, freeze_versions, thaw_versions
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import parse_address
from foldstore.types import Progress, format_time, parse_time


class StoreTiers:
    """Freezing and thawing of versions, by address."""

    _storage: Storage

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by name; the handle that has these verbs says how."""
        raise NotImplementedError

    def freeze(
        self,
        address: str,
        *,
        older_than: str | datetime | None = None,
        keep: int = 1,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Tiering:
        """Move files of old versions into the cold tier: Parquet, smaller, and slower to read.

        Parameters
        ----------
        address : str
            A version (``flights@3``), or a dataset: its versions that no branch, alias or tag points at.
        older_than : str or datetime.datetime, optional
            Of a dataset, only the versions that were committed before.
        keep : int
            Of a dataset, leave so many of the newest versions out.
        force : bool
            Move files that other versions need, too.
        progress : callable, optional
            Told the files done and the files in all.
        """
        versions = self._versions_at(address, older_than=older_than, keep=keep)
        return freeze_versions(self._storage, versions, force=force, progress=progress)

    def thaw(self, address: str, *, progress: Progress | None = None) -> Tiering:
        """Bring the files of a version, or of all versions of a dataset, back from the cold tier."""
        return thaw_versions(self._storage, self._versions_at(address, older_than=None, keep=-1), progress=progress)

    def _versions_at(self, address: str, *, older_than: str | datetime | None, keep: int) -> set[str]:
        parsed = parse_address(address)
        if parsed.split is not None:
            raise UsageError(f"{address} is a part of a version.", hint="Name the version.")
        dataset = self.dataset(parsed.name)
        if "@" in address:
            return {dataset.version(parsed.ref).version_id}
        if keep < 0:
            return {version.version_id for version in dataset.versions()}
        before = None if older_than is None else format_time(instant_of(older_than))
        return {each.id for each in choose_versions(self._storage, dataset.record, older_than=before, keep=keep)}


def instant_of(moment: str | datetime) -> datetime:
    """Return an instant that a person gave.

    Raises
    ------
    UsageError
        When it is none.
    """
    try:
        return parse_time(moment) if isinstance(moment, str) else moment
    except ValueError as error:
        raise UsageError(f"{str(moment)[:60]!r} is not a time.", hint="Write '2026-01-31T00:00:00Z'.") from error

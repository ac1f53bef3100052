"""What a version's handle moves between the tiers: its files as Parquet, or back as Arrow."""

from foldstore.datastore.freezing import Tiering, freeze_versions, thaw_versions
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.types import Progress


class VersionTiers:
    """The cold tier of a version."""

    _storage: Storage

    @property
    def cold_bytes(self) -> int:
        """How many bytes reading decodes into memory, for files that lie in the cold tier; 0 when none does."""
        return self.rows.cold_bytes

    def freeze(self, *, force: bool = False, progress: Progress | None = None) -> Tiering:
        """Move the files that only this version needs into the cold tier: Parquet, smaller, and slower to read.

        Its address gives the same bytes as before. A file moves when it is proven that it comes back unchanged.

        Parameters
        ----------
        force : bool
            Move files that other versions need, too.
        progress : callable, optional
            Told the files done and the files in all.

        Examples
        --------
        >>> import foldstore
        >>> version = foldstore.connect(folder).create_dataset("n").append({"n": list(range(100_000))})
        >>> version.freeze().objects, version.cold_bytes > 800_000, version.to_arrow().num_rows
        (1, True, 100000)
        >>> version.thaw().objects, version.cold_bytes
        (1, 0)
        """
        return freeze_versions(self._storage, {self.version_id}, force=force, progress=progress)

    def thaw(self, *, progress: Progress | None = None) -> Tiering:
        """Bring the version's files back from the cold tier, under the names that they had."""
        return thaw_versions(self._storage, {self.version_id}, progress=progress)

    @property
    def rows(self) -> FragmentReader:
        """The reader of all rows; the handle that has these verbs has it."""
        raise NotImplementedError

    @property
    def version_id(self) -> str:
        """The identity of the version."""
        raise NotImplementedError

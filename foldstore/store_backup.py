"""What a store's handle does about backups: it writes one into a folder, or gives one to be sent."""

from collections.abc import Collection, Iterator
from pathlib import Path

from foldstore.datastore.backup import Backup, BackupOptions, back_up
from foldstore.datastore.backup_sending import send_backup
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError
from foldstore.types import Progress
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.pool import list_pools
from foldstore.validation.pools.reserve import list_reserves


class StoreBackup:
    """Backups; a part of `foldstore.store.Store`."""

    _storage: Storage

    def backup(
        self,
        target: str | Path,
        progress: Progress | None = None,
        *,
        include_sealed: bool = True,
        check: bool = True,
        keep: int = 10,
    ) -> Backup:
        """Back the store up into a folder, as it is at one moment; writers go on meanwhile.

        Parameters
        ----------
        target : str or pathlib.Path
            A new or empty folder, or that of an earlier backup: then only what is new is copied.
        progress : callable, optional
            Told the bytes looked at and the bytes in all.
        include_sealed : bool
            Copy sealed cells, too: a matter for the steward, for whoever has the backup has them.
        check : bool
            Read what is in the folder already, and replace what is damaged there.
        keep : int
            How many generations of the catalog are kept.

        Raises
        ------
        StoreError
            When the folder holds other things, or the backup of another store.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern"]})
        >>> store.backup(folder.parent / "backup").objects
        1
        """
        options = BackupOptions(include_sealed=include_sealed, check=check, keep=keep)
        return back_up(self._storage, Path(target), options, progress)

    def send_backup(
        self, *, have: Collection[str] = (), store_id: str | None = None, include_sealed: bool = True
    ) -> Iterator[bytes]:
        """Yield a backup as the bytes of a tar archive: what `backup` writes into a folder, without sealed cells.

        Parameters
        ----------
        have : collection of str
            The hashes of the files that whoever receives it has whole.
        store_id : str, optional
            Whose backup they have already.
        include_sealed : bool
            Whether sealed cells are wanted: they are never sent, so a store that has some refuses.

        Raises
        ------
        RefusedError
            With code ``sealed-stays``, also where the catalog would tell what a test pool withholds.
        StoreError
            When they have the backup of another store.
        ConflictError
            In the middle, when cells are sealed meanwhile.
        """

        def look() -> None:
            if include_sealed and any(seal.state != "open" for seal in list_seals(self._storage.catalog)):
                raise RefusedError(
                    "The store has sealed cells, and these do not leave it over the network.",
                    hint="Leave them out (include_sealed=False, --no-sealed, ?sealed=false), or back up at its folder.",
                    code="sealed-stays",
                )
            secretive = self._names_of_secretive()
            if secretive:
                raise RefusedError(
                    f"The catalog tells what {', '.join(secretive)} withholds: it does not leave over the network.",
                    hint="Back up where the store is. A pool withholds its answers until it retires, a reserve which "
                    "rows it takes until a pool is made of it.",
                    code="sealed-stays",
                )

        return send_backup(self._storage, have=have, store_id=store_id, look=look)

    def _names_of_secretive(self) -> list[str]:
        """List what keeps more than sealed cells secret: pools that withhold answers, reserves that still fill."""
        storage = self._storage
        pools = [pool for pool in list_pools(storage) if pool.plan.reuse.withholds_answers]
        asked = [pool.name for pool in pools if Ledger(storage, pool.id).read().retirement is None]
        return asked + [reserve.name for reserve in list_reserves(storage) if reserve.used_by is None]

"""A pool's ledger: what has been asked and answered, in a hash-chained stream of the catalog's journal.

A charge is on disk before a label is read; its answer follows. A crash between the two leaves the charge
spent, and the same submission may have its answer computed again without another charge.

The chain shows entries that were changed, put in or taken out of the middle. It cannot show that its last entries
were cut off: whoever may write to the catalog can give spent budget back that way, and `verify` does not see it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from foldstore.datastore.catalog.journal import Entry
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, CorruptObjectError, FoldstoreError
from foldstore.types import format_time
from foldstore.validation.pools.account import Account, Charge

_ATTEMPTS: Final = 20


class Ledger:
    """The ledger of one pool.

    Parameters
    ----------
    storage : Storage
        The open store.
    pool_id : str
        The pool's id, which no renaming changes.
    """

    def __init__(self, storage: Storage, pool_id: str) -> None:
        self._storage = storage
        self.stream = f"pool/{pool_id}"

    def open(self, facts: dict[str, Any], actor: str) -> None:
        """Write the first entry: without it there is no ledger to read."""
        with self._storage.catalog.write() as connection:
            self._append(connection, {"kind": "open", **facts}, actor)

    def read(self) -> Account:
        """Return what the ledger says, after checking its chain.

        Raises
        ------
        CorruptObjectError
            When an entry was changed, put in, or removed from anywhere but the end.
        """
        self._storage.journal.verify(self.stream)
        entries = [(json.loads(entry.body), entry) for entry in self._storage.journal.list_entries(self.stream)]
        if not entries or entries[0][0]["kind"] != "open":
            raise CorruptObjectError(
                f"The ledger {self.stream!r} has no beginning.",
                hint="The catalog was changed by hand or by a fault; restore it from a backup.",
                stream=self.stream,
            )
        return Account.replay((body, entry.actor, entry.created_at) for body, entry in entries)

    def charge(
        self,
        digest: str,
        *,
        model: str,
        actor: str,
        price: Callable[[Account], float],
        asked: Mapping[str, int] | None = None,
    ) -> Charge:
        """Pay for a submission, durably, or find what was paid for it.

        Parameters
        ----------
        digest : str
            What is submitted; an equal one is never charged twice.
        model : str
            What the submitter says it is; noted only.
        price : callable
            Returns ln of the level of the next answer, and raises when there is none that can be afforded.
        asked : mapping of str to int, optional
            ``baseline`` and ``draw``, where they are not the first one and all rows.
        """
        for _attempt in range(_ATTEMPTS):
            account = self.read()
            found = account.find(digest)
            if found is not None:
                return found
            level = price(account)
            body = {"kind": "charge", "digest": digest, "model": model, "log_level": level, **(asked or {})}
            if self._append_after(account, body, actor):
                asks = asked or {}
                return Charge(
                    digest=digest, fresh=True, log_level=level, baseline=asks.get("baseline", 0), draw=asks.get("draw")
                )
        raise _too_many()

    def answer(self, digest: str, *, passed: bool, actor: str, kept: str | None = None) -> bool:
        """Note the answer to a charge, durably, and return the one that stands: the first."""
        body: dict[str, Any] = {"kind": "answer", "digest": digest, "passed": passed}
        if kept is not None:
            body["kept"] = kept
        for _attempt in range(_ATTEMPTS):
            account = self.read()
            found = account.find(digest)
            if found is not None and found.passed is not None:
                return found.passed
            if self._append_after(account, body, actor):
                return passed
        raise _too_many()

    def note(self, make: Callable[[Account], dict[str, Any] | None], actor: str) -> Account:
        """Append what is made of the account as it stands, durably, and return the account after it.

        Parameters
        ----------
        make : callable
            Returns the entry, or None when there is nothing to note; its error ends it. Called again when somebody
            else's entry came first.
        """
        for _attempt in range(_ATTEMPTS):
            account = self.read()
            body = make(account)
            if body is None:
                return account
            if self._append_after(account, body, actor):
                return self.read()
        raise _too_many()

    def _append_after(self, account: Account, body: dict[str, Any], actor: str) -> bool:
        """Append an entry when nobody did since the account was read."""
        try:
            with self._storage.catalog.write() as connection:
                entry = self._append(connection, body, actor, not_before=account.last_moment)
                _require_first(entry, account)
        except _LostRaceError:
            return False
        except FoldstoreError:
            raise
        except Exception:
            # On PostgreSQL two writers may try for one position: the loser's statement fails.
            if self.read().length == account.length:
                raise
            return False
        return True

    def _append(self, connection: Any, body: dict[str, Any], actor: str, *, not_before: str = "") -> Entry:
        now = max(format_time(self._storage.clock()), not_before)  # a clock that was set back does not reach in here
        return self._storage.journal.append(connection, self.stream, body, actor=actor, created_at=now)


def _too_many() -> ConflictError:
    return ConflictError("The pool is being asked by too many at once.", retry=True, hint="Try again.")


def _require_first(entry: Entry, account: Account) -> None:
    if entry.position != account.length + 1:
        raise _LostRaceError("Another entry came first.")


class _LostRaceError(FoldstoreError):
    """Another writer's entry came first; the caller reads again."""

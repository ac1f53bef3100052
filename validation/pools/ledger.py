"""A pool's ledger: what has been asked and answered, in a hash-chained stream of the catalog's journal.

A charge is on disk before a label is read; its answer follows. A crash between the two leaves the charge
spent, and the same submission may have its answer computed again without another charge.

The chain shows entries that were changed, put in or taken out of the middle. It cannot show that its last entries
were cut off: whoever may write to the catalog can give spent budget back that way, and `verify` does not see it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from foldstore.datastore.catalog.journal import Entry
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, CorruptObjectError, FoldstoreError
from foldstore.types import format_time

_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A question that was paid for.

    Attributes
    ----------
    digest : str
        What was submitted.
    passed : bool or None
        The answer; None while there is none.
    fresh : bool
        Whether it was charged just now, and not found.
    log_level : float or None
        ln of the level that was charged for the answer; None where the plan's is meant.
    """

    digest: str
    passed: bool | None = None
    fresh: bool = False
    log_level: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that a ledger says.

    Attributes
    ----------
    length : int
        How many entries there are.
    charges : tuple of Charge
        In the order in which they were charged.
    """

    length: int
    charges: tuple[Charge, ...]

    @property
    def answers(self) -> tuple[bool | None, ...]:
        """The answers in the order of the charges."""
        return tuple(charge.passed for charge in self.charges)

    @property
    def pending(self) -> int:
        """How many charges have no answer."""
        return sum(charge.passed is None for charge in self.charges)

    def find(self, digest: str) -> Charge | None:
        """Return the charge of a submission, or None."""
        return next((charge for charge in self.charges if charge.digest == digest), None)


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
        entries = [json.loads(entry.body) for entry in self._storage.journal.list_entries(self.stream)]
        if not entries or entries[0]["kind"] != "open":
            raise CorruptObjectError(
                f"The ledger {self.stream!r} has no beginning.",
                hint="The catalog was changed by hand or by a fault; restore it from a backup.",
                stream=self.stream,
            )
        charges: dict[str, Charge] = {}
        for entry in entries:
            if entry["kind"] == "charge":
                charges[entry["digest"]] = Charge(digest=entry["digest"], log_level=entry.get("log_level"))
            elif entry["kind"] == "answer":
                charges[entry["digest"]] = replace(charges[entry["digest"]], passed=entry["passed"])
        return Account(len(entries), tuple(charges.values()))

    def charge(self, digest: str, *, model: str, actor: str, price: Callable[[Account], float]) -> Charge:
        """Pay for a submission, durably, or find what was paid for it.

        Parameters
        ----------
        digest : str
            What is submitted; an equal one is never charged twice.
        model : str
            What the submitter says it is; noted only.
        price : callable
            Returns ln of the level of the next answer, and raises when there is none that can be afforded.
        """
        for _attempt in range(_ATTEMPTS):
            account = self.read()
            found = account.find(digest)
            if found is not None:
                return found
            level = price(account)
            body = {"kind": "charge", "digest": digest, "model": model, "log_level": level}
            if self._append_after(account, body, actor):
                return Charge(digest=digest, fresh=True, log_level=level)
        raise ConflictError("The pool is being asked by too many at once.", retry=True, hint="Try again.")

    def answer(self, digest: str, *, passed: bool, actor: str) -> bool:
        """Note the answer to a charge, durably, and return the one that stands: the first."""
        body = {"kind": "answer", "digest": digest, "passed": passed}
        for _attempt in range(_ATTEMPTS):
            account = self.read()
            found = account.find(digest)
            if found is not None and found.passed is not None:
                return found.passed
            if self._append_after(account, body, actor):
                return passed
        raise ConflictError("The pool is being asked by too many at once.", retry=True, hint="Try again.")

    def _append_after(self, account: Account, body: dict[str, Any], actor: str) -> bool:
        """Append an entry when nobody did since the account was read."""
        try:
            with self._storage.catalog.write() as connection:
                entry = self._append(connection, body, actor)
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

    def _append(self, connection: Any, body: dict[str, Any], actor: str) -> Entry:
        now = format_time(self._storage.clock())
        return self._storage.journal.append(connection, self.stream, body, actor=actor, created_at=now)


def _require_first(entry: Entry, account: Account) -> None:
    if entry.position != account.length + 1:
        raise _LostRaceError("Another entry came first.")


class _LostRaceError(FoldstoreError):
    """Another writer's entry came first; the caller reads again."""

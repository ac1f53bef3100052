"""Verification from end to end: the catalog first, then the bytes, then what is left over; repairs when asked for."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from foldstore.datastore.catalog import inspection
from foldstore.datastore.storage import Storage
from foldstore.datastore.verify import catalog_check
from foldstore.datastore.verify.catalog_check import Findings
from foldstore.datastore.verify.object_check import check_object
from foldstore.datastore.verify.repair import repair_faults
from foldstore.datastore.verify.strays import find_unreferenced
from foldstore.datastore.verify.verification import Fault, Unreferenced, Verification
from foldstore.errors import UsageError, refuse_writing
from foldstore.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What is verified, and what is done about it.

    Attributes
    ----------
    objects : bool or float
        Whether the bytes of objects are read: all, none (their presence and size alone are looked at), or this
        share of them, drawn anew each time.
    repair : bool
        Whether what is safe is repaired.
    repair_from : pathlib.Path or None
        A backup, from which objects are taken when their hash is right.
    actor : str
        Who repairs.
    """

    objects: bool | float = True
    repair: bool = False
    repair_from: Path | None = None
    actor: str = "unknown"

    def __post_init__(self) -> None:
        if not isinstance(self.objects, bool | int | float) or not 0 <= self.objects <= 1:
            raise UsageError(
                f"objects={self.objects!r} is no share of the objects.", hint="Give True, False or a number up to 1."
            )
        if self.repair_from is not None and not self.repair_from.is_dir():
            raise UsageError(f"{self.repair_from} is not a folder.", hint="Name a backup, or a copy of the store.")


def verify_storage(
    storage: Storage, progress: Progress | None = None, options: VerifyOptions | None = None
) -> Verification:
    """Check a store from end to end; memory does not grow with it.

    Parameters
    ----------
    progress : callable, optional
        Told the bytes read and the bytes in all.
    """
    options = options or VerifyOptions()
    if options.repair and storage.catalog.read_only:
        raise refuse_writing()
    found = Findings()
    catalog_check.check_database(storage, found)
    catalog_check.read_versions(storage, found)
    objects, num_bytes = _check_objects(storage, found, options, progress)
    catalog_check.check_pages(storage, found)
    catalog_check.check_deletions(storage, found)
    catalog_check.check_versions(storage, found)
    catalog_check.check_journals(storage, found)
    catalog_check.check_documents(storage, found)
    catalog_check.check_seals(storage, found)
    repairs: list[str] = []
    if options.repair:
        with found.guard("catalog", "repairs"):
            repairs = repair_faults(storage, found, options.repair_from, options.actor)
    unreferenced: list[Unreferenced] = []
    with found.guard("catalog", "left over"):
        unreferenced = find_unreferenced(storage)
    broken = {address for fault in found.faults if not fault.repaired for address in fault.versions}
    readable = [found.addresses[version.id] for version in found.versions if version.expired_at is None]
    return Verification(
        objects=objects,
        versions=len(found.versions),
        journals=found.journals,
        num_bytes=num_bytes,
        faults=tuple(found.faults),
        unreferenced=tuple(unreferenced),
        whole=tuple(address for address in readable if address not in broken),
        repairs=tuple(repairs),
    )


def _check_objects(
    storage: Storage, found: Findings, options: VerifyOptions, progress: Progress | None
) -> tuple[int, int]:
    count = read = done = total = 0
    is_drawn = _draw(options.objects)
    bad: dict[str, int] = {}
    with found.guard("catalog", "objects"):
        total = inspection.sum_object_bytes(storage.catalog)
        for row in inspection.iter_object_rows(storage.catalog):
            count += 1
            if row.record is None:
                bad[row.key] = len(found.faults)
                found.add("object", row.key, f"What the catalog says of object {row.key} is damaged: {row.error}.")
                continue
            drawn = is_drawn()
            fault = None
            before = len(found.faults)
            with found.guard("object", row.key):
                fault = check_object(storage, row.record, read=drawn)
            if fault is not None:
                found.faults.append(fault)
            if len(found.faults) > before:
                bad[row.key] = before
            size = row.record.num_bytes if isinstance(row.record.num_bytes, int) else 0
            read += size if drawn else 0
            done += size
            if progress:
                progress(done, total)
    _name_versions(storage, found, bad)
    return count, read


def _draw(share: float) -> Callable[[], bool]:
    dice = random.SystemRandom()
    return lambda: dice.random() < share


def _name_versions(storage: Storage, found: Findings, bad: dict[str, int]) -> None:
    """Say at each damaged object which versions need it."""
    if not bad:
        return
    with found.guard("catalog", "pages"):
        users = inspection.find_object_users(storage.catalog, sorted(bad))
        for name, place in bad.items():
            fault: Fault = found.faults[place]
            found.faults[place] = replace(fault, versions=found.to_addresses(users.get(name, set())))

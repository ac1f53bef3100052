"""Versions by id, with what other tables say of them: dataset, number, address, rows, what came before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foldstore.datastore.catalog.listings import Listings
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.types import Status


@dataclass(frozen=True, slots=True)
class Named:
    """A version, as other tables name it."""

    dataset: str
    number: int
    num_rows: int
    parent_id: str | None
    readable: bool

    @property
    def address(self) -> str:
        """The address with the number."""
        return f"{self.dataset}@{self.number}"


class NamedVersions:
    """All versions of a store by id.

    Parameters
    ----------
    listings : Listings
        The open catalog.
    """

    def __init__(self, listings: Listings) -> None:
        self.datasets: Mapping[str, DatasetRecord] = listings.datasets()
        rows = listings.versions("id", "dataset_id", "number", "num_rows", "parent_id", "status", "expired_at")
        self.by_id = {
            version_id: Named(
                self.datasets[dataset].name, number, num_rows, parent, status == Status.PUBLISHED and expired is None
            )
            for version_id, dataset, number, num_rows, parent, status, expired in rows
        }

    def address(self, version_id: str | None) -> str | None:
        """Return the address of a version, or None."""
        found = self.by_id.get(version_id or "")
        return found.address if found else None

    def latest(self, head_id: str | None) -> Named | None:
        """Return the newest published version from a head backwards, or None."""
        found = self.by_id.get(head_id or "")
        while found is not None and not found.readable:
            found = self.by_id.get(found.parent_id or "")
        return found

    def columns(self, version_ids: Iterable[str | None]) -> dict[str, list[Any]]:
        """Return dataset, number and address of some versions, as columns; nulls for what is no version."""
        found = [self.by_id.get(each or "") for each in version_ids]
        return {
            "dataset": [each.dataset if each else None for each in found],
            "version": [each.number if each else None for each in found],
            "address": [each.address if each else None for each in found],
        }

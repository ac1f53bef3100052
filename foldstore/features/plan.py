"""What an apply would do: which services are new or change, how, and which of their users that would break."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError
from foldstore.features.definitions import Definitions
from foldstore.features.service_consumers import ServiceConsumer, list_service_consumers
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.service_diff import ServiceChange, compare_services


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenConsumer:
    """A user of an earlier version, and what it would miss."""

    consumer: ServiceConsumer
    changes: tuple[ServiceChange, ...]

    def __str__(self) -> str:
        return f"{self.consumer} (of {self.consumer.service}): {'; '.join(str(each) for each in self.changes)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        user = self.consumer
        named = {"kind": user.kind, "name": user.name, "service": user.service}
        return {**named, "changes": [str(each) for each in self.changes]}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """What would become of one service.

    Attributes
    ----------
    name : str
        The service.
    before : int
        Its newest version, 0 for none.
    is_same : bool
        Whether that version has this very definition: then nothing happens.
    changes : tuple of ServiceChange
        What differs from the newest version.
    broken : tuple of BrokenConsumer
        Who uses a version and would not find in the new one what it uses.
    """

    name: str
    before: int
    is_same: bool
    changes: tuple[ServiceChange, ...] = ()
    broken: tuple[BrokenConsumer, ...] = ()

    @property
    def address(self) -> str:
        """What it will be called."""
        return f"{self.name}@{self.before if self.is_same else self.before + 1}"

    @property
    def action(self) -> str:
        """What would be done: ``new``, ``change`` or ``none``."""
        return "none" if self.is_same else "change" if self.before else "new"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "service": self.address,
            "action": self.action,
            "changes": [each.to_dict() for each in self.changes],
            "breaks": [each.to_dict() for each in self.broken],
        }


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """What an apply would do, service by service.

    Attributes
    ----------
    services : tuple of PlannedService
        In the order of the definitions.
    unused_views : tuple of str
        Views that no service holds; nothing is kept of them.
    """

    services: tuple[PlannedService, ...]
    unused_views: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[BrokenConsumer, ...]:
        """Everybody whom it would break."""
        return tuple(each for service in self.services for each in service.broken)

    def __str__(self) -> str:
        lines: list[str] = []
        for service in self.services:
            lines.append({"none": "= ", "new": "+ ", "change": "~ "}[service.action] + service.address)
            lines += [f"    {'! ' if change.breaks else ''}{change}" for change in service.changes]
            lines += [f"    breaks {broken}" for broken in service.broken]
        lines += [f"? view {name} is in no service: nothing is kept of it" for name in self.unused_views]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"services": [each.to_dict() for each in self.services], "unused_views": list(self.unused_views)}

    def refuse_breaking(self) -> None:
        """Refuse when somebody would break.

        Raises
        ------
        RefusedError
            With the code ``breaks-consumers``; the message says whom, and by what.
        """
        if not self.broken:
            return
        first = "\n".join(f"  {each}" for each in self.broken[:10])
        more = f"\n  and {len(self.broken) - 10} more" if len(self.broken) > 10 else ""
        raise RefusedError(
            f"This would break who uses the service:\n{first}{more}",
            hint="Earlier versions stay as they are: move these over, or give the service another name; "
            "allow_breaking (--allow-breaking) applies it all the same.",
            code="breaks-consumers",
            consumers=[each.to_dict() for each in self.broken],
        )


class Planner:
    """Compares definitions with what was applied.

    Parameters
    ----------
    storage : Storage
        The open store.
    definitions : Definitions
        What was applied.
    types : callable
        The types of a service's features by their full names, as far as they can be known.
    """

    def __init__(
        self, storage: Storage, definitions: Definitions, types: Callable[[FeatureService], Mapping[str, str]]
    ) -> None:
        self._storage = storage
        self._definitions = definitions
        self._types = types

    def plan(self, definitions: DefinitionSet) -> ApplyPlan:
        """Say what applying these would do; refuse what applying them would refuse, breaking aside."""
        planned = tuple(self._plan(service) for service in definitions.services.values())
        return ApplyPlan(planned, definitions.unused_views)

    def compare(self, before: str, after: str) -> tuple[ServiceChange, ...]:
        """List what changed from one applied service to another."""
        return self._compare(self._definitions.get(before)[1], self._definitions.get(after)[1])

    def _plan(self, service: FeatureService) -> PlannedService:
        versions = self._definitions.list_versions(service.name)
        before = max(versions, default=0)
        if before and versions[before].to_dict() == service.to_dict():
            return PlannedService(name=service.name, before=before, is_same=True)
        with unrecorded():  # to look at a definition is not to read its rows
            self._definitions.check(service)
        if not before:
            return PlannedService(name=service.name, before=0, is_same=False)
        return PlannedService(
            name=service.name,
            before=before,
            is_same=False,
            changes=self._compare(versions[before], service),
            broken=tuple(self._broken(service, versions, before)),
        )

    def _broken(
        self, service: FeatureService, versions: Mapping[int, FeatureService], newest: int
    ) -> list[BrokenConsumer]:
        found = []
        breaking_by: dict[str, tuple[ServiceChange, ...]] = {}
        for consumer in list_service_consumers(self._storage, service.name, newest):
            if consumer.service not in breaking_by:
                used = versions.get(int(consumer.service.rpartition("@")[2]))
                changes = () if used is None else self._compare(used, service)
                breaking_by[consumer.service] = tuple(change for change in changes if change.breaks)
            if breaking_by[consumer.service]:
                found.append(BrokenConsumer(consumer=consumer, changes=breaking_by[consumer.service]))
        return found

    def _compare(self, before: FeatureService, after: FeatureService) -> tuple[ServiceChange, ...]:
        return compare_services(before, after, types_before=self._types(before), types_after=self._types(after))

"""The handle of a cleaning plan for a version on a server: chosen here, tried and done there."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from foldstore.chosen_actions import ChosenActions
from foldstore.datastore.statistics.profile import Profile
from foldstore.remote.local_only import refuse
from foldstore.remote.server import Server, rows_request
from foldstore.types import Progress
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.plan_document import PlanDocument
from foldstore.validation.cleaning.preview import ActionCount, CleaningPreview

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion


class RemoteCleaningPlan(ChosenActions):
    """Actions for one version on a server, in order; its verbs are those of `foldstore.cleaning.CleaningPlan`."""

    def __init__(self, version: "RemoteVersion", document: PlanDocument) -> None:
        self._version = version
        self._document = document

    @property
    def subject(self) -> "RemoteVersion":
        """The version that the plan is for."""
        return self._version

    def preview(self, *, progress: Progress | None = None) -> "RemotePreview":
        """Let the server say what a commit would do; nothing is written."""
        with watched(self._version.server, progress):
            return RemotePreview(self, self._version.server.read(self._version.place("preview-cleaning"), self.sent()))

    def commit(
        self,
        *,
        message: str = "",
        author: str | None = None,
        branch: str | None = None,
        progress: Progress | None = None,
    ) -> "RemoteVersion":
        """Let the server do it, as one version; see `foldstore.cleaning.CleaningPlan.commit`."""
        if author is not None:
            refuse("author=", "The token says who does something.")
        if not self.actions:
            return self._version
        asked = {**self.sent(), "message": message} | ({} if branch is None else {"branch": branch})
        with watched(self._version.server, progress):
            return self._version.sibling(self._version.server.make(self._version.place("clean"), asked))

    def sent(self) -> dict[str, Any]:
        """Return the body that names the plan."""
        return {"plan": self._document.to_dict()}

    def _with(self, actions: Iterable[CleaningAction]) -> Self:
        document = PlanDocument(version=self._document.version, actions=tuple(actions), split=self.split)
        return type(self)(self._version, document)


class RemotePreview:
    """What a plan would do, as a server says; see `foldstore.validation.cleaning.preview.CleaningPreview`."""

    def __init__(self, plan: RemoteCleaningPlan, data: Mapping[str, Any]) -> None:
        self._plan = plan
        self._data = data
        self.version: str = data["version"]
        self.rows: int = data["rows"]
        self.rows_changed: int = data["rows_changed"]
        self.rows_dropped: int = data["rows_dropped"]
        self.dropped_examples = tuple(data["dropped_examples"])
        self.notes = tuple(data["notes"])
        self.actions = tuple(map(_read_count, data["actions"]))
        self.examples = MappingProxyType({name: tuple(map(tuple, each)) for name, each in data["examples"].items()})

    def __str__(self) -> str:
        return CleaningPreview.__str__(self)  # type: ignore[arg-type]  # it reads what is here

    @property
    def changes_nothing(self) -> bool:
        """Whether a commit would leave everything as it is."""
        casts = any(each.action.op == "cast" for each in self.actions)
        return not (self.rows_changed or self.rows_dropped or casts)

    @cached_property
    def before(self) -> Profile:
        """The statistics of the columns that change, asked for when they are looked at."""
        return self._ask("before")

    @cached_property
    def after(self) -> Profile:
        """The same as they would be."""
        return self._ask("after")

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return dict(self._data)

    def _ask(self, side: str) -> Profile:
        version = self._plan.subject
        path = version.place("cleaning-statistics")
        return Profile.from_arrow(version.server.table(rows_request(path, data={**self._plan.sent(), "side": side})))


def watched(server: Server, progress: Progress | None) -> AbstractContextManager[None]:
    """Have what is done within the block told of as it goes, when somebody wants to be told."""
    return nullcontext() if progress is None else server.store.operations.watched(progress)


def _read_count(data: Mapping[str, Any]) -> ActionCount:
    return ActionCount(
        action=CleaningAction.from_dict(data["action"]),
        changed=data["changed"],
        kept_out=data["kept_out"],
        fitted=MappingProxyType(data.get("fitted", {})),
    )

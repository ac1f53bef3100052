"""What a remote version does to be cleaned: the server looks, tries and commits; plans are chosen from here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from foldstore.chosen_actions import read_document
from foldstore.errors import UsageError
from foldstore.remote.cleaning_plan import RemoteCleaningPlan, watched
from foldstore.remote.records import DatasetFacts
from foldstore.remote.server import Server, rows_request
from foldstore.types import Progress
from foldstore.validation.cleaning.denial import Denial
from foldstore.validation.cleaning.dependency import Dependency
from foldstore.validation.cleaning.label_issues import LabelIssue, LabelIssues, Ranking
from foldstore.validation.cleaning.plan_document import PlanDocument
from foldstore.validation.cleaning.priority import CleaningPriority
from foldstore.validation.cleaning.report_answers import answer_report
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion


class RemoteCleaningOfVersion:
    """Finds what is probably wrong, and plans its repair; a part of `foldstore.remote.version.RemoteVersion`."""

    _server: Server
    _dataset: DatasetFacts

    if TYPE_CHECKING:

        @property
        def address(self) -> str:
            """The address with the number."""

        def place(self, verb: str) -> str:
            """Return the path of a verb of the version."""

        def sibling(self, data: Mapping[str, Any]) -> "RemoteVersion":
            """Return the handle of another version of the dataset."""

    def cleaning_plan(
        self, actions: "PlanDocument | str | Iterable[Any]" = (), *, split: str | None = None
    ) -> RemoteCleaningPlan:
        """Make a plan of actions for this version; see `foldstore.Version.cleaning_plan`."""
        return self._plan(read_document(self.address, actions, split))

    def suggest_cleaning(
        self,
        *,
        columns: Sequence[str] | None = None,
        dependencies: Sequence[str] = (),
        report: Report | None = None,
        schema: DataSchema | None = None,
        split: str | None = None,
        min_confidence: float = 0.5,
        progress: Progress | None = None,
    ) -> RemoteCleaningPlan:
        """Let the server look at the rows and suggest how to clean them; see `foldstore.Version.suggest_cleaning`."""
        asked: dict[str, Any] = {"columns": columns and list(columns), "dependencies": list(dependencies)}
        asked |= {"split": split, "min_confidence": max(min_confidence, 1e-9)}
        with watched(self._server, progress):
            found = PlanDocument.from_dict(self._server.read(self.place("suggest-cleaning"), asked))
        answers = () if report is None else answer_report(report, schema, self._dataset.key)
        chosen = {each.id: each for each in (*answers, *found.actions)}
        return self._plan(read_document(self.address, chosen.values(), split)).at_least(min_confidence)

    def undo_cleaning(self, *, message: str = "") -> "RemoteVersion":
        """Commit what was there before the cleaning that made this version."""
        return self.sibling(self._server.make(self.place("undo-cleaning"), {"message": message}))

    def find_dependencies(self, columns: Sequence[str] | None = None, **limits: Any) -> tuple[Dependency, ...]:
        """Let the server find functional dependencies that hold, or nearly."""
        asked = {"columns": None if columns is None else list(columns), **limits}
        found = self._server.read(self.place("find-dependencies"), asked)["items"]
        return tuple(Dependency(**{**each, "determinants": tuple(each["determinants"])}) for each in found)

    def deny(self, rule: str) -> Denial:
        """Let the server find the rows that break a rule over rows (`t`) or pairs of rows (`t` and `u`)."""
        found = self._server.read(self.place("deny"), {"rule": rule})
        return Denial(**{**found, "examples": tuple(found["examples"]), "cover": tuple(found["cover"])})

    def label_issues(
        self,
        label: str,
        features: Sequence[str] | None = None,
        *,
        probabilities: "NDArray[np.float64] | None" = None,
        folds: str | None = None,
        rank_by: Ranking = "self_confidence",
    ) -> LabelIssues:
        """Let the server find labels that are probably wrong; see `foldstore.Version.label_issues`."""
        asked: dict[str, Any] = {"label": label, "folds": folds, "rank_by": rank_by}
        asked["features"] = None if features is None else list(features)
        asked["probabilities"] = None if probabilities is None else np.asarray(probabilities, np.float64).tolist()
        found = self._server.read(self.place("label-issues"), asked)
        return LabelIssues(
            label=found["label"],
            classes=tuple(found["classes"]),
            thresholds=tuple(found["thresholds"]),
            joint=tuple(map(tuple, found["joint"])),
            rows=found["rows"],
            issues=tuple(LabelIssue(**each) for each in found["issues"]),
        )

    def cleaning_priority(
        self, plan: RemoteCleaningPlan, label: str, features: Sequence[str] | None = None
    ) -> CleaningPriority:
        """Let the server rank the rows that a plan would touch; see `foldstore.Version.cleaning_priority`."""
        if not isinstance(plan, RemoteCleaningPlan):
            raise UsageError(
                f"{type(plan).__name__!r} is not a cleaning plan.",
                hint="suggest_cleaning() and cleaning_plan() make one.",
            )
        asked = {**plan.sent(), "label": label, "features": None if features is None else list(features)}
        found = self._server.table(rows_request(self.place("cleaning-priority"), data=asked))
        return CleaningPriority(rows=found["row_id"].to_numpy(), scores=found["score"].to_numpy())

    def _plan(self, document: PlanDocument) -> RemoteCleaningPlan:
        return RemoteCleaningPlan(cast("RemoteVersion", self), document)

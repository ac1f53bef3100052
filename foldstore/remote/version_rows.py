"""What a remote version says of single rows and of its course: rows by id or key, trends, a suggested split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.ingest.source import key_table
from foldstore.errors import UsageError
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import joined_names, read_concept, read_trends, read_two_sample_test
from foldstore.remote.server import Server, rows_request, spooled
from foldstore.remote.split import RemotePart
from foldstore.remote.view import check_remote
from foldstore.suggestion import Proposal, SplitSuggestion
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.classifier import TwoSampleTest
from foldstore.validation.drift.concept import ConceptDrift
from foldstore.validation.drift.trends import Trends
from foldstore.validation.drift.windows import CHOICES
from foldstore.views.view import View

_ROW_ID = "row_id"


class RemoteRowsOfVersion:
    """Rows one by one, and how columns went; a part of `foldstore.remote.version.RemoteVersion`."""

    _server: Server
    _dataset: DatasetFacts

    if TYPE_CHECKING:

        @property
        def address(self) -> str:
            """The address with the number."""

        @property
        def arrow_schema(self) -> pa.Schema:
            """Names and types of the columns."""

        def _path(self, *parts: str, verb: str = "") -> str: ...

    def take(self, row_ids: Any = None, *, keys: Any = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some rows, by row id or by key, in the order asked for; see `foldstore.Version.take`."""
        if (row_ids is None) == (keys is None):
            raise UsageError("take() needs row ids or keys.", hint="Write take([...]) or take(keys={...}).")
        if keys is None:
            table = pa.table({_ROW_ID: _read_ids(row_ids)})
        else:
            table = key_table(keys, self.arrow_schema, self._dataset.key)
        with spooled(table.schema, iter(table.to_batches())) as file:
            return self._server.table(rows_request(self._path(verb="take"), file=file, columns=joined_names(columns)))

    def row_ids(self) -> NDArray[np.uint64]:
        """Return the id of each row, in order: it stays the same in every version that has the row."""
        found: NDArray[np.uint64] = self._server.table(rows_request(self._path("row-ids")))[_ROW_ID].to_numpy()
        return found

    def trends(
        self,
        every: str,
        columns: Sequence[str] | None = None,
        *,
        time: str | None = None,
        season: int = 1,
        rows: str = "all",
    ) -> Trends:
        """Return how columns went over time, and where their level changed; see `foldstore.Version.trends`."""
        asked = {"every": every, "columns": joined_names(columns), "time": time, "season": season, "rows": rows}
        return read_trends(self._server.get(self._path("trends"), **asked))

    def concept_drift(
        self, reference: Any, label: str, features: Sequence[str] | None = None, *, rows: str = "all"
    ) -> ConceptDrift:
        """Let the server say for each feature whether the label depends on it as it did in other rows."""
        asked: dict[str, Any] = {"reference": address_of(reference), "label": label, "rows": rows}
        if features is not None:
            asked["features"] = list(features)
        return read_concept(self._server.read(self._path(verb="concept-drift"), asked))

    def two_sample_test(
        self, reference: Any, columns: Sequence[str] | None = None, *, rows: str = "all", sample: int = 2_048
    ) -> TwoSampleTest:
        """Let the server test whether a classifier can tell the rows from other rows."""
        asked: dict[str, Any] = {"reference": address_of(reference), "rows": rows, "sample": sample}
        if columns is not None:
            asked["columns"] = list(columns)
        return read_two_sample_test(self._server.read(self._path(verb="two-sample-test"), asked))

    def suggest_split(self, label: str | None = None) -> SplitSuggestion:
        """Let the server look at the data and suggest how to split it; nothing is made."""
        found = self._server.get(self._path(verb="suggest-split"), label=label)
        version: Any = self
        named = {name: found[name] for name in ("verb", "arguments", "reason")}
        return SplitSuggestion(
            version=version,
            **named,
            reasons=tuple(found["reasons"]),
            warnings=tuple(found["warnings"]),
            alternatives=tuple(Proposal(version=version, **each) for each in found["alternatives"]),
        )


def judged_by(policy: DriftPolicy | None, adjustment: str) -> dict[str, Any]:
    """Return how a route is told when a change counts.

    Raises
    ------
    UsageError
        When it is no policy.
    """
    if policy is None:
        return {"adjustment": adjustment}
    if not isinstance(policy, DriftPolicy):
        raise UsageError(f"{type(policy).__name__!r} is no policy of drift.", hint="Give a foldstore.DriftPolicy.")
    return {"adjustment": adjustment, "policy": policy.to_dict()}


def address_of(reference: object) -> Any:
    """Return how a route is told of other rows to compare with: by address, or by the specification of a view."""
    if isinstance(reference, str):
        if reference != "previous" and "(" not in reference:  # the route would take it for an address
            raise UsageError(f"{ascii(reference)[:60]} is no reference.", hint=CHOICES)
        return reference
    if isinstance(reference, RemoteRowsOfVersion | RemotePart):
        return reference.address
    if isinstance(reference, View):
        view = check_remote(reference)
        if view.steps or view.opened_as is None:
            return view.sent_spec()
        return view.opened_as
    raise UsageError(f"{type(reference).__name__!r} is no rows to compare with.", hint=CHOICES)


def _read_ids(row_ids: Any) -> pa.Array:
    try:
        return pa.array(np.asarray(row_ids if isinstance(row_ids, np.ndarray) else list(row_ids), np.uint64))
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError("These are no row ids.", hint="version.row_ids() gives them.") from error

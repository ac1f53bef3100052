"""The handle of a remote store's feedback: predictions and outcomes by the ids of requests, labels made of them."""

from typing import Any, ClassVar, Final

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import SchemaMismatchError
from foldstore.features.feedback import OBSERVED_AT, PREDICTED_AT, FeedbackDatasets
from foldstore.names import parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.feature_work import service_path
from foldstore.remote.local_only import NO_ROUTE, RemoteHandle, refuse
from foldstore.remote.server import Server
from foldstore.remote.version import RemoteVersion

# What JSON brings to the other side as it is here.
_PLAIN: Final = (pa.bool_(), pa.int64(), pa.float64(), pa.string())


class RemoteFeedback(RemoteHandle):
    """The feedback on services on a server; its verbs are those of `foldstore.features.feedback.Feedback`."""

    NOUN: ClassVar[str] = "feedback"

    def __init__(self, server: Server) -> None:
        self._server = server

    def datasets(self, service: str) -> FeedbackDatasets:
        """Return the names of the datasets that hold the feedback of a service, whether there is any yet or not."""
        found = self._server.get(path_of("feature-services", parse_address(service).name, "feedback"))
        return FeedbackDatasets(**found)

    def log_predictions(self, service: str, rows: Any, *, model: str) -> RemoteVersion:
        """Keep what a model predicted for some requests; see `foldstore.features.feedback.Feedback.log_predictions`."""
        asked = {"rows": _rows(rows, PREDICTED_AT), "model": model}
        return self._made(self._server.change(f"{service_path(service)}/predictions", asked))

    def log_outcomes(self, service: str, rows: Any) -> RemoteVersion:
        """Keep what came of some requests; a later outcome of one replaces that before."""
        path = path_of("feature-services", parse_address(service).name, "outcomes")
        return self._made(self._server.change(path, {"rows": _rows(rows, OBSERVED_AT)}))

    def make_labels(self, service: str, *, message: str = "") -> RemoteVersion:
        """Let the server join outcomes to the lookups that were logged, as rows to learn from."""
        if message:
            refuse("feedback.make_labels with message=", NO_ROUTE)
        return self._made(self._server.change(path_of("feature-services", parse_address(service).name, "labels")))

    def _made(self, data: Any) -> RemoteVersion:
        return self._server.store.version(data["address"])


def _rows(rows: Any, time: str) -> list[dict[str, Any]]:
    """Return rows as JSON has them.

    Raises
    ------
    SchemaMismatchError
        When a column is of a type that would be another one there.
    """
    source = open_source(rows)
    table = pa.Table.from_batches(source.batches, source.schema)
    for field in table.schema:
        place = table.column_names.index(field.name)
        if field.name == time and pa.types.is_timestamp(field.type):
            zoned = table.column(place).cast(pa.timestamp("us", field.type.tz or "UTC"))
            texts = [each.isoformat() if each is not None else None for each in zoned.to_pylist()]
            table = table.set_column(place, time, pa.array(texts, pa.string()))
        elif field.type not in _PLAIN:
            raise SchemaMismatchError(
                f"{field.name!r} is of type {field.type}, which JSON has not.",
                hint=f"Give one of {', '.join(map(str, _PLAIN))}, or log it where the store is.",
            )
    return [{**row} for row in table.to_pylist()]

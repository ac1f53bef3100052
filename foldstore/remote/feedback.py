"""The handle of a remote store's feedback: predictions and outcomes by the ids of requests, labels made of them."""

from typing import Any, ClassVar

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.features.feedback import FeedbackDatasets
from foldstore.names import parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.feature_work import service_path
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.server import Server
from foldstore.remote.version import RemoteVersion


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
        return self._made(self._server.send(f"{service_path(service)}/predictions", _read(rows), {"model": model}))

    def log_outcomes(self, service: str, rows: Any) -> RemoteVersion:
        """Keep what came of some requests; a later outcome of one replaces that before."""
        path = path_of("feature-services", parse_address(service).name, "outcomes")
        return self._made(self._server.send(path, _read(rows), {}))

    def make_labels(self, service: str, *, message: str = "") -> RemoteVersion:
        """Let the server join outcomes to the lookups that were logged, as rows to learn from."""
        path = path_of("feature-services", parse_address(service).name, "labels")
        return self._made(self._server.change(path, message=message or None))

    def _made(self, data: Any) -> RemoteVersion:
        return self._server.store.version(data["address"])


def _read(rows: Any) -> pa.Table:
    source = open_source(rows)
    return pa.Table.from_batches(source.batches, source.schema)

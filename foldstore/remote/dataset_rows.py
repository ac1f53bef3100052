"""What a remote dataset does with rows that are in no version yet: they are judged."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import IngestError, UsageError
from foldstore.names import MAIN_BRANCH
from foldstore.remote.connection import ARROW, Request, path_of, write_json
from foldstore.remote.local_only import CODE, refuse
from foldstore.remote.multipart import MultipartBody
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import read_report
from foldstore.remote.server import Server, spooled
from foldstore.types import format_time, utc_now
from foldstore.validation.check import unreadable
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema


class RemoteRowsOfDataset:
    """Rows before they are committed; a part of `foldstore.remote.dataset.RemoteDataset`."""

    _server: Server
    _record: DatasetFacts
    _branch: str

    def validate(
        self,
        data: Any,
        *,
        schema: DataSchema | None = None,
        environment: str | None = None,
        checks: Sequence[Any] = (),
        **read_options: Any,
    ) -> Report:
        """Let the server judge data before it is committed; see `foldstore.Dataset.validate`.

        Checks in code stay local.
        """
        if checks:
            refuse("dataset.validate with checks=", CODE)
        check_schema(schema)
        source = open_source(data, self._known_columns(), **read_options)
        about = {
            "schema": None if schema is None else schema.to_dict(),
            "environment": environment,
            "branch": None if self._branch == MAIN_BRANCH else self._branch,
            "name": str(source.description.get("file", "the data")),
        }
        document = {name: value for name, value in about.items() if value is not None}
        try:
            return read_report(self._judge(document, source.schema, source.batches))
        except IngestError as error:
            chosen = schema if schema is not None else self.schema
            if error.code != "invalid-utf8" or chosen is None:
                raise
            column = str(error.facts["column"])
            return unreadable(chosen, str(about["name"]), column, error.message, created_at=format_time(utc_now()))

    def _judge(self, document: Mapping[str, Any], schema: pa.Schema, batches: Any) -> Any:
        with spooled(schema, batches) as file:
            body = MultipartBody(write_json(document), {"rows": file}, ARROW)
            path = path_of("datasets", self._record.name, verb="validate")
            request = Request(method="POST", path=path, rows=body, rows_kind=body.kind, only_reads=True)
            return self._server.connection.ask(request)

    @property
    def schema(self) -> DataSchema | None:
        """The newest schema, or None."""
        raise NotImplementedError

    def _known_columns(self) -> pa.Schema | None:
        raise NotImplementedError


def check_schema(schema: object) -> None:
    """Refuse what is given for a schema and is none."""
    if schema is not None and not isinstance(schema, DataSchema):
        raise UsageError(f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one.")

"""The handle of a remote store's transforms: fitted there, applied here or there, to the same bit."""

from typing import Any, ClassVar

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import RefusedError, UsageError
from foldstore.names import parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.results import read_report
from foldstore.remote.server import Server
from foldstore.remote.split import RemotePart
from foldstore.types import format_time, utc_now
from foldstore.validation.report import Report
from foldstore.validation.subject import TableSubject
from foldstore.validation.transform_checks import judge_transform
from foldstore.views.transforms.transform import FittedTransform, Transform

# The class below has a method of the name `list`.
Addresses = list[str]


class RemoteTransforms(RemoteHandle):
    """The transforms of a store on a server; its verbs are those of `foldstore.transforms.Transforms`."""

    NOUN: ClassVar[str] = "transforms"

    def __init__(self, server: Server) -> None:
        self._server = server

    def __repr__(self) -> str:
        return f"<Transforms: {', '.join(self.list()) or 'none fitted'}>"

    def fit(self, transform: Transform, on: str | RemotePart, *, message: str = "") -> str:
        """Let the server learn from a train part and keep what was learnt; return its address."""
        if not isinstance(transform, Transform):
            raise UsageError(f"{type(transform).__name__!r} is no transform.", hint="Give a Transform.")
        address = on.address if isinstance(on, RemotePart) else on
        if not isinstance(address, str):
            raise RefusedError(
                f"{type(on).__name__} is no train part of a split: a transform learns from nothing else.",
                hint="Name it: training@1#split.train.",
                code="not-a-train-part",
            )
        asked = {"definition": transform.to_dict(), "on": address, "message": message}
        return str(self._server.change(path_of("transforms"), asked)["address"])

    def list(self) -> Addresses:
        """List the addresses of the fitted transforms, every version."""
        return [str(each["address"]) for each in self._server.get(path_of("transforms"))["items"]]

    def get(self, address: str) -> FittedTransform:
        """Return a fitted transform; its kernels are compared with its golden sample, here.

        Raises
        ------
        RefusedError
            When the kernels for tables and for single rows differ with these libraries.
        """
        fitted = FittedTransform.from_dict(self._server.get(_path(address))["transform"])
        if found := fitted.check_golden():
            raise RefusedError(
                f"{address} gives other values here than where it was fitted: {found[0]}.",
                hint="Use the libraries of the server, or let the server apply it.",
                code="transform-skew",
                transform=address,
            )
        return fitted

    def apply(self, address: str, data: Any) -> pa.Table:
        """Work on rows: an address, a version, a view, a part of a split, or anything that speaks Arrow."""
        fitted = self.get(address)
        return fitted.apply(self._table(data))

    def validate(self, address: str, data: Any) -> Report:
        """Judge rows by what a transform knows; see `foldstore.transforms.Transforms.validate`."""
        if isinstance(data, str):
            return read_report(self._server.read(_path(address, verb="validate"), {"data": data}))
        found = self._server.get(_path(address))
        subject = TableSubject(self._table(data), str(getattr(data, "address", "the rows")))
        fitted = FittedTransform.from_dict(found["transform"])
        return judge_transform(subject, fitted, found["address"], created_at=format_time(utc_now()))

    def _table(self, data: Any) -> pa.Table:
        if isinstance(data, str):
            data = self._server.store.view(data)
        if callable(read := getattr(data, "to_arrow", None)) and hasattr(data, "arrow_schema"):
            table: pa.Table = read()
            return table
        source = open_source(data)
        return pa.Table.from_batches(source.batches, source.schema)


def _path(address: str, verb: str = "") -> str:
    parsed = parse_address(address)
    return path_of("transforms", parsed.name, "versions", parsed.ref, verb=verb)

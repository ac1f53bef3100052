"""The handle of a remote store's feature services."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import UsageError
from foldstore.features.definition_file import read_definitions
from foldstore.features.plan import ApplyPlan, BrokenConsumer, PlannedService
from foldstore.features.service_consumers import ServiceConsumer
from foldstore.names import parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.feature_work import RemoteFeatureWork, service_path
from foldstore.remote.feedback import RemoteFeedback
from foldstore.remote.local_only import FILES, PROCESS, RemoteHandle
from foldstore.remote.lookups import RemoteOnlineResult, read_lookup
from foldstore.remote.online import RemoteOnlineHandle
from foldstore.remote.server import Server, rows_request, spooled
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.service_diff import ServiceChange
from foldstore.views.instant import format_instant, parse_instant

_SERVICES = path_of("feature-services")


class RemoteFeatures(RemoteHandle, RemoteFeatureWork):
    """The feature services of a store on a server; its verbs are those of `foldstore.features.handle.Features`."""

    NOUN = "features"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lookup_logs", "transform_counts"), PROCESS),
        **dict.fromkeys(("forget_copies", "close", "plain_services"), FILES),
    }

    def __init__(self, server: Server) -> None:
        self._server = server

    def __repr__(self) -> str:
        return f"<Features: {', '.join(self.list_services()) or 'none applied'}>"

    @property
    def feedback(self) -> RemoteFeedback:
        """Predictions and outcomes by the ids of requests, and the labels that they make."""
        return RemoteFeedback(self._server)

    def apply(self, service: FeatureService, *, message: str = "", allow_breaking: bool = False) -> str:
        """Keep a feature service as a new version; an equal one stays what it is. Return its address."""
        if not isinstance(service, FeatureService):
            raise UsageError(f"{type(service).__name__!r} is not a feature service.", hint="Apply a FeatureService.")
        return self.apply_file(DefinitionSet.of([service]), message=message, allow_breaking=allow_breaking)[0]

    def apply_file(
        self, definitions: str | Path | DefinitionSet, *, message: str = "", allow_breaking: bool = False
    ) -> list[str]:
        """Apply the services of a file, all or none; return their addresses."""
        body = {"definitions": _plain(definitions), "message": message, "allow_breaking": allow_breaking}
        return list(self._server.change(_SERVICES, body)["applied"])

    def plan(self, definitions: FeatureService | str | Path | DefinitionSet) -> ApplyPlan:
        """Say what applying a service or a file would do, and whom it would break; nothing is done."""
        found = self._server.read(path_of("feature-services", verb="plan"), {"definitions": _plain(definitions)})
        return ApplyPlan(tuple(map(_read_planned, found["services"])), tuple(found["unused_views"]))

    def list_services(self) -> list[str]:
        """List the addresses of the services, every version."""
        return [str(each["address"]) for each in self._server.connection.items(_SERVICES)]

    def service(self, address: str) -> FeatureService:
        """Return a service as it was applied."""
        return FeatureService.from_dict(self._server.get(service_path(address))["definition"])

    def materialize(self, service: str, *, like: Any = None, full: bool = False, progress: Any = None) -> str:  # noqa: ARG002
        """Let the server lay a service's features out for lookups; return the service's address.

        Parameters
        ----------
        service : str
            The address of a feature service.
        like : str, optional
            The address of a training set, whose versions are read.
        full : bool
            Lay everything out anew.
        progress : callable, optional
            Is told nothing: the server works on.
        """
        body: dict[str, Any] = {} if like is None else {"like": str(getattr(like, "address", like))}
        if full:
            body["full"] = True
        return str(self._server.change(service_path(service, verb="materialize"), body)["materialized"])

    def get_historical_features(  # noqa: PLR0913  # one name for each thing that may be asked
        self,
        labels: Any = None,
        service: str | None = None,
        *,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        allow_exact_match: bool = True,
        start: Any = None,
        end: Any = None,
        like: Any = None,
    ) -> pa.Table:
        """Join features to rows as they were known at each row's own time; the rows are sent, and come back joined.

        Without labels every entity asks at every instant at which something new was known of it, and nothing is sent.
        """
        if service is None:
            raise UsageError("No feature service is named.", hint='get_historical_features(labels, "arrival@1")')
        read = None if like is None else str(getattr(like, "address", like))
        asked = {
            "event_timestamp": event_timestamp,
            "full_feature_names": full_feature_names,
            "filter_by_created_timestamp": filter_by_created_timestamp,
            "allow_exact_match": allow_exact_match,
        }
        if labels is None:
            span = {"start": _instant(start), "end": _instant(end), "like": read, **asked}
            body = {name: value for name, value in span.items() if value is not None}
            return self._server.table(
                replace(rows_request(service_path(service, verb="history"), data=body), in_run=True)
            )
        if start is not None or end is not None:
            raise UsageError(
                "start and end stand in place of rows that ask.", hint="Leave labels out, or both of them."
            )
        source = open_source(self._rows_of(labels))
        with spooled(source.schema, source.batches) as file:
            request = rows_request(service_path(service, verb="join"), file=file, like=read, **asked)
            return self._server.table(replace(request, in_run=True))

    def _rows_of(self, labels: Any) -> Any:
        if not isinstance(labels, str):
            return labels
        store = self._server.store
        return store.sql(labels) if " " in labels.strip() else store.view(labels)

    def get_online_features(
        self,
        service: str,
        entities: Any,
        at: Any = None,
        *,
        full_feature_names: bool = False,
        request_id: str | None = None,
    ) -> RemoteOnlineResult:
        """Look entities up as of an instant; now unless given. A lookup that is logged is logged by the server."""
        asked = {"service": service} if request_id is None else {"service": service, "request_id": request_id}
        return self._look(asked, entities, at, full_feature_names=full_feature_names)

    def get_features(
        self, features: Sequence[str], entities: Any, at: Any = None, *, full_feature_names: bool = False
    ) -> RemoteOnlineResult:
        """Look entities up in features named ``view:feature``, of whatever is materialized."""
        return self._look({"features": list(features)}, entities, at, full_feature_names=full_feature_names)

    def online(self, service: str) -> RemoteOnlineHandle:
        """Return a prepared handle for lookups of one entity in a hot loop."""
        return RemoteOnlineHandle(self._server, service)

    def log_lookups(self, service: str, *, share: float = 1.0, dataset: str | None = None) -> str:
        """Let the server keep a share of a service's lookups in a dataset from now on; return the dataset's name."""
        body: dict[str, Any] = {"share": share}
        if dataset is not None:
            body["dataset"] = dataset
        path = path_of("feature-services", parse_address(service).name, "lookup-log")
        return str(self._server.change(path, body, method="PUT")["dataset"])

    def _look(
        self, asked: Mapping[str, Any], entities: Any, at: Any, *, full_feature_names: bool
    ) -> RemoteOnlineResult:
        body = {**asked, "entities": _plain_entities(entities), "full_feature_names": full_feature_names}
        if at is not None:
            body["at"] = format_instant(parse_instant(at))
        return read_lookup(self._server.table(rows_request(path_of("features", verb="look-up"), data=body)))


def _instant(moment: Any) -> str | None:
    return None if moment is None else format_instant(parse_instant(moment))


def _plain_entities(entities: Any) -> Any:
    """Return rows or columns of keys as JSON has them; what they are not the server says."""
    if isinstance(entities, Mapping):
        return {name: list(values) if _is_list(values) else values for name, values in entities.items()}
    return [dict(each) if isinstance(each, Mapping) else each for each in entities] if _is_list(entities) else entities


def _is_list(values: Any) -> bool:
    return hasattr(values, "__iter__") and not isinstance(values, str | bytes | Mapping)


def _plain(definitions: FeatureService | str | Path | DefinitionSet) -> dict[str, Any]:
    if isinstance(definitions, FeatureService):
        return DefinitionSet.of([definitions]).to_dict()
    if isinstance(definitions, DefinitionSet):
        return definitions.to_dict()
    if not isinstance(definitions, str | Path):
        raise UsageError(f"{type(definitions).__name__!r} is no file of definitions.", hint="Give the path of one.")
    return read_definitions(definitions).to_dict()


def _read_planned(data: Mapping[str, Any]) -> PlannedService:
    parsed = parse_address(data["service"])
    is_same = data["action"] == "none"
    return PlannedService(
        name=parsed.name,
        before=int(parsed.ref) - (0 if is_same else 1),
        is_same=is_same,
        changes=tuple(ServiceChange(**each) for each in data["changes"]),
        broken=tuple(
            BrokenConsumer(
                consumer=ServiceConsumer(each["service"], each["kind"], each["name"]), changes=tuple(each["changes"])
            )
            for each in data["breaks"]
        ),
    )

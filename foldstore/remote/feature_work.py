"""What a remote store's features do beside lookups and joins: rows pushed, training sets, checks, aliases, shadows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import UsageError
from foldstore.features.alias_registry import AliasMove
from foldstore.features.audit import Audit
from foldstore.features.online_status import ServedView
from foldstore.features.push import Push
from foldstore.features.reproduce import Reproduction
from foldstore.features.shadow_report import Shadow, ShadowReport
from foldstore.features.skew import Skew
from foldstore.features.usage import Usage
from foldstore.names import parse_address
from foldstore.remote.connection import path_of
from foldstore.remote.feature_results import (
    read_audit,
    read_push,
    read_reproduction,
    read_served_view,
    read_shadow_report,
    read_skew,
    read_training_set,
    read_usage,
)
from foldstore.remote.server import Server
from foldstore.remote.version_rows import address_of, judged_by
from foldstore.training_set import TrainingSet
from foldstore.types import format_time
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.views.features.service_diff import ServiceChange
from foldstore.views.instant import format_instant, parse_instant
from foldstore.views.view import View

_TRAINING: Final = path_of("training-sets")


class RemoteFeatureWork:
    """Verbs of features that a server works out; a part of `foldstore.remote.features.RemoteFeatures`."""

    _server: Server

    def push(self, view: str, rows: Any, *, to: str = "online", message: str = "") -> Push:
        """Push rows to a feature view: they are looked up from now on, or kept in its dataset, or both.

        See `foldstore.features.handle.Features.push`; times are sent in the types that they come in.
        """
        source = open_source(_columns_of(rows))
        asked = {"to": to, "message": message or None}
        return read_push(
            self._server.send(
                path_of("feature-views", view, verb="push"), pa.Table.from_batches(source.batches, source.schema), asked
            )
        )

    def delete_online(self, view: str, entities: Any, *, at: Any = None) -> Push:
        """Answer nothing for entities from an instant on, until a newer row of theirs comes."""
        keys = [dict(each) for each in entities] if isinstance(entities, list | tuple) else dict(entities)
        body: dict[str, Any] = {"entities": keys}
        if at is not None:
            body["at"] = format_instant(parse_instant(at))
        return read_push(self._server.change(path_of("feature-views", view, verb="delete-online"), body))

    def online_status(self, service: str | None = None) -> list[ServedView]:
        """List what is served, view by view: the versions, the rows, what was pushed since."""
        return [read_served_view(each) for each in self._server.get(path_of("online"), service=service)["items"]]

    def diff(self, before: str, after: str) -> tuple[ServiceChange, ...]:
        """Say what is another in one version of a service than in another one."""
        one, two = parse_address(before), parse_address(after)
        if one.name != two.name:
            raise UsageError(f"{before} and {after} are two services.", hint="Name two versions of one.")
        found = self._server.get(service_path(after, verb="diff"), before=one.ref)
        return tuple(ServiceChange(**each) for each in found["items"])

    def audit(self, service: str, *, since: Any = None, until: Any = None) -> Audit:
        """Let the server compute logged lookups again by the training join; see `Features.audit`."""
        return read_audit(self._server.read(service_path(service, verb="audit"), _span(since, until)))

    def skew(
        self,
        service: str,
        training: Any,
        *,
        since: Any = None,
        until: Any = None,
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
    ) -> Skew:
        """Let the server compare what a model learnt from with what was served; see `Features.skew`."""
        learnt = address_of(training) if isinstance(training, View) else str(getattr(training, "address", training))
        body = {"training": learnt, **judged_by(policy, adjustment), **_span(since, until)}
        return read_skew(self._server.read(service_path(service, verb="skew"), body))

    def usage(
        self,
        *,
        feature: str | None = None,
        dataset: str | None = None,
        column: str | None = None,
        since: Any = None,
    ) -> Usage:
        """Say which services, models, runs and lookups consume which features; see `Features.usage`."""
        asked = {"feature": feature, "dataset": dataset, "column": column, "since": _instant(since)}
        return read_usage(self._server.get(path_of("feature-usage"), **asked))

    def create_training_set(
        self,
        name: str,
        *,
        labels: str,
        features: str,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        allow_exact_match: bool = True,
        message: str = "",
    ) -> TrainingSet:
        """Let the server join features to the rows of a split, and commit the result, its split and its lineage."""
        body = {
            "name": name,
            "labels": labels,
            "features": features,
            "event_timestamp": event_timestamp,
            "full_feature_names": full_feature_names,
            "filter_by_created_timestamp": filter_by_created_timestamp,
            "allow_exact_match": allow_exact_match,
            "message": message,
        }
        made = self._server.make(_TRAINING, {key: value for key, value in body.items() if value is not None})
        return read_training_set(self._server.store, made)

    def reproduce(self, training: TrainingSet | str) -> Reproduction:
        """Let the server make a training set again from what it pins, and compare it with what was kept."""
        parsed = parse_address(training if isinstance(training, str) else training.address)
        path = path_of("training-sets", parsed.name, "versions", parsed.ref, verb="reproduce")
        return read_reproduction(self._server.read(path, None))

    @cached_property
    def aliases(self) -> "RemoteAliases":
        """Names that stand for versions of services."""
        return RemoteAliases(self._server)

    @cached_property
    def shadows(self) -> "RemoteShadows":
        """Versions that are asked beside those that answer."""
        return RemoteShadows(self._server)


class RemoteAliases:
    """The aliases of a server's feature services; the verbs are those of `foldstore.features.aliases.ServiceAliases`.

    Parameters
    ----------
    server : Server
        Where they are.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def set(self, alias: str, service: str) -> str:
        """Point an alias at a version of its service, making it when it is new; return that version's address."""
        of, version = parse_address(alias), parse_address(service)
        if of.name != version.name:
            raise UsageError(f"{alias} is no alias of {version.name}.", hint=f"Write {version.name}@{of.ref}.")
        return str(self._server.change(self._path(alias), {"version": version.ref}, method="PUT")["service"])

    def get(self, alias: str) -> str:
        """Return the version that an alias stands for."""
        found = self.list(parse_address(alias).name)
        if alias not in found:
            self.history(alias)  # says what is wrong, as the store does
        return found[alias]

    def remove(self, alias: str) -> None:
        """Remove an alias; lookups by it fail from then on."""
        self._server.change(self._path(alias), method="DELETE")

    def list(self, service: str | None = None) -> dict[str, str]:
        """Return aliases, and the versions that they stand for: of a service, or of all."""
        names = [service] if service is not None else self._services()
        found: dict[str, str] = {}
        for name in names:
            listed = self._server.connection.items(path_of("feature-services", name, "aliases"))
            found |= {str(each["alias"]): str(each["service"]) for each in listed}
        return found

    def history(self, alias: str) -> tuple[AliasMove, ...]:
        """Return the moves of an alias, oldest first."""
        return tuple(AliasMove(**each) for each in self._server.get(f"{self._path(alias)}/history")["items"])

    def _services(self) -> Sequence[str]:
        return sorted({address.partition("@")[0] for address in self._server.store.features.list_services()})

    def _path(self, alias: str) -> str:
        parsed = parse_address(alias)
        return path_of("feature-services", parsed.name, "aliases", parsed.ref)


class RemoteShadows:
    """The shadows of a server's feature services; the verbs are those of `foldstore.features.shadows.Shadows`.

    Parameters
    ----------
    server : Server
        Where they are.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(self, live: str, candidate: str, *, share: float = 0.1, seed: int | None = None) -> Shadow:
        """Ask a candidate too, from now on, what a version is asked."""
        other = parse_address(candidate)
        if other.name != parse_address(live).name:
            raise UsageError(f"{candidate} is another service than {live}.", hint="Name two versions of one service.")
        body: dict[str, Any] = {"candidate": other.ref, "share": share}
        if seed is not None:
            body["seed"] = seed
        return Shadow.from_dict(self._server.change(_shadow(live), body))

    def report(self, live: str) -> ShadowReport:
        """Return what the shadow of a version found."""
        return read_shadow_report(self._server.get(_shadow(live)))

    def stop(self, live: str) -> ShadowReport:
        """End the shadow of a version, and return what it found."""
        return read_shadow_report(self._server.change(_shadow(live), method="DELETE"))


def service_path(address: str, *, verb: str = "") -> str:
    """Return the path of a version of a service."""
    parsed = parse_address(address)
    return path_of("feature-services", parsed.name, "versions", parsed.ref, verb=verb)


def _shadow(live: str) -> str:
    return f"{service_path(live)}/shadow"


def _span(since: Any, until: Any) -> dict[str, str]:
    given = {"since": _instant(since), "until": _instant(until)}
    return {name: value for name, value in given.items() if value is not None}


def _instant(moment: Any) -> str | None:
    return format_time(moment) if isinstance(moment, datetime) else moment


def _columns_of(rows: Any) -> Any:
    """Return rows that are a list of dicts as columns."""
    if not isinstance(rows, list):
        return rows
    names = dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row)
    return {name: [row.get(name) for row in rows] for name in names}

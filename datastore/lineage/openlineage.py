"""Runs as OpenLineage events, for whatever collects lineage elsewhere.

The form is that of the specification 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json. A dataset's
name is its name in the store; the version is a facet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from foldstore.datastore.catalog.records import NamedVersion, RunLink, RunRecord
from foldstore.datastore.catalog.runs import INPUT, OUTPUT, RUNNING

_SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_VERSION_FACET: Final = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
_ERROR_FACET: Final = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json"
_PRODUCER: Final = "urn:foldstore"
_ENDS: Final = {"succeeded": "COMPLETE", "failed": "FAIL"}


def write_events(
    run: RunRecord, links: Sequence[RunLink], versions: Mapping[str, NamedVersion], namespace: str
) -> list[dict[str, Any]]:
    """Return the events of a run: START, and once it has ended COMPLETE or FAIL with what it read and wrote."""
    begun = _event(run, "START", run.started_at, namespace)
    if run.status == RUNNING or run.ended_at is None:
        return [begun]
    ended = _event(run, _ENDS[run.status], run.ended_at, namespace)
    ended["inputs"] = _datasets(links, INPUT, versions, namespace)
    ended["outputs"] = _datasets(links, OUTPUT, versions, namespace)
    return [begun, ended]


def _event(run: RunRecord, kind: str, time: str, namespace: str) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if run.error is not None and kind == "FAIL":
        message = f"{run.error['type']}: {run.error['message']}"
        facets["errorMessage"] = _facet(_ERROR_FACET, message=message, programmingLanguage="python")
    return {
        "eventType": kind,
        "eventTime": time,
        "run": {"runId": str(UUID(hex=run.id)), "facets": facets},
        "job": {"namespace": namespace, "name": run.name, "facets": {}},
        "inputs": [],
        "outputs": [],
        "producer": _PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _datasets(
    links: Sequence[RunLink], role: str, versions: Mapping[str, NamedVersion], namespace: str
) -> list[dict[str, Any]]:
    of_role = [link for link in links if link.role == role and link.version_id in versions]
    # A saved view is no dataset: what lies below one that was read counts, what lies below one that was saved does not.
    found = {
        link.version_id: versions[link.version_id]
        for link in of_role
        if role == INPUT or link.address == versions[link.version_id].address
    }
    return [
        {
            "namespace": namespace,
            "name": each.dataset,
            "facets": {"version": _facet(_VERSION_FACET, datasetVersion=str(each.version.number))},
        }
        for each in found.values()
    ]


def _facet(schema: str, **values: str) -> dict[str, Any]:
    return {"_producer": _PRODUCER, "_schemaURL": f"{schema}#/$defs/{schema.rpartition('/')[2][:-5]}", **values}

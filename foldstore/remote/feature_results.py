"""From plain data to what the store itself says of features: pushes, what is served, audits, skew, usage."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from foldstore.features.audit import Audit, AuditedFeature
from foldstore.features.online_status import ServedView
from foldstore.features.push import Push
from foldstore.features.reproduce import Difference, Reproduction
from foldstore.features.service_consumers import ServiceConsumer
from foldstore.features.shadow_report import Shadow, ShadowReport
from foldstore.features.shadow_tally import FeatureTally, ShadowTally
from foldstore.features.skew import Skew
from foldstore.features.usage import FeatureUsage, Usage
from foldstore.remote.results import read_drift, read_numbers
from foldstore.training_set import Inputs, TrainingSet


def read_training_set(store: Any, told: Mapping[str, Any]) -> TrainingSet:
    """Read a training set; its version and split are handles of the remote store."""
    inputs = Inputs.from_dict(told["inputs"])
    return TrainingSet(
        store.version(told["address"]), store.split(told["split"]), inputs, found=told.get("found", False)
    )


def read_push(data: Mapping[str, Any]) -> Push:
    """Read what a push did."""
    return Push(**{**data, "services": tuple(data["services"])})


def read_served_view(data: Mapping[str, Any]) -> ServedView:
    """Read what is served of a view."""
    return ServedView(**{**data, "watermark": tuple(data["watermark"])})


def read_audit(data: Mapping[str, Any]) -> Audit:
    """Read an audit; the examples' values are as JSON has them."""
    features = tuple(
        AuditedFeature(
            name=each["feature"],
            compared=each["compared"],
            different=each["different"],
            examples=tuple(each["examples"]),
        )
        for each in data["features"]
    )
    return Audit(
        service=data["service"], log=data["log"], rows=data["rows"], features=features, left_out=data["left_out"]
    )


def read_skew(data: Mapping[str, Any]) -> Skew:
    """Read a comparison of what was learnt with what was served."""
    named = {name: data[name] for name in ("service", "training", "served", "training_rows", "served_rows")}
    return Skew(**named, result=read_drift(data))


def read_reproduction(data: Mapping[str, Any]) -> Reproduction:
    """Read what came of a training set that was made again; the examples' values are as JSON has them."""
    differences = tuple(Difference(**{**each, "examples": tuple(each["examples"])}) for each in data["differences"])
    names = ("address", "labels", "features", "kept", "made", "num_rows")
    return Reproduction(
        **{name: data[name] for name in names}, versions=tuple(data["versions"]), differences=differences
    )


def read_usage(data: Mapping[str, Any]) -> Usage:
    """Read who consumes which feature."""
    return Usage(
        tuple(
            FeatureUsage(
                **{
                    **each,
                    "services": tuple(each["services"]),
                    "consumers": tuple(ServiceConsumer(**consumer) for consumer in each["consumers"]),
                }
            )
            for each in data["features"]
        )
    )


def read_shadow_report(data: Mapping[str, Any]) -> ShadowReport:
    """Read what a shadow found."""
    shadow = Shadow.from_dict({each.name: data[each.name] for each in fields(Shadow)})
    counted = {each.name for each in fields(FeatureTally)}
    tallies = {each["feature"]: {name: each[name] for name in counted} for each in read_numbers(data["features"])}
    tally = {each.name: data[each.name] for each in fields(ShadowTally)}
    return ShadowReport(shadow=shadow, tally=ShadowTally.from_dict({**tally, "features": tallies}))

"""The server answers as its OpenAPI document says, whatever a client sends that the document allows, or nearly."""

import datetime as dt
import json
import warnings
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.api.conftest import client_of
from tests.api.hostile import FURTHER, as_json, broken_bodies

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig())
OPERATIONS = {f"{each.ok().method.upper()} {each.ok().path}": each.ok() for each in SCHEMA.get_all_operations()}
# What the places in paths are filled with, so that requests get behind the door.
THERE = {
    "datasets": {"name": "flights", "ref": "1", "split": "halves", "part": "train", "folds": "cv"},
    "views": {"name": "everything", "ref": "1"},
    "test-pools": {"name": "late"},
    "feature-services": {"name": "arrival", "ref": "1", "alias": "champion"},
    "rules": {"rule": "norway"},
    "training-sets": {"name": "training", "ref": "1"},
    "feature-views": {"view": "delays"},
    "reserves": {"name": "next"},
    "transforms": {"name": "inputs", "ref": "1"},
}
# A version may come to be deprecated on the way, which is told by a warning.
pytestmark = pytest.mark.filterwarnings("ignore::foldstore.store_views.DeprecatedInputWarning")
DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ROWS = 420


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A client of each role, of a store that has what the document's examples name."""
    with foldstore.connect(tmp_path_factory.mktemp("contract") / "store", author="owner") as store:
        flights = store.create_dataset("flights", key=["id"], event_time="ts")
        first = flights.append(
            {
                "id": list(range(ROWS)),
                "ts": [DAY + dt.timedelta(hours=n) for n in range(ROWS)],
                "carrier": ["UA", "B6", "XX"] * (ROWS // 3),
                "origin": ["JFK", "EWR"] * (ROWS // 2),
                "arr_delay": [float(n) for n in range(ROWS)],
                "late": [n % 3 == 0 for n in range(ROWS)],
            }
        )
        split = first.split("halves", train=0.5, test=0.5, seed=1)
        first.view().save("everything")
        first.folds("cv", k=2)
        store.transforms.fit(foldstore.Transform("inputs", [foldstore.MinMax("arr_delay")]), split.train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the pool is small
            plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=2)
            store.pools.seal("late", split.test, label="late", plan=plan)
            store.pools.reserve("next", "flights", label="late", plan=plan, share=0.1)
        flights.append(
            {"id": [ROWS], "ts": [DAY], "carrier": ["UA"], "origin": ["JFK"], "arr_delay": [1.0], "late": [True]}
        )
        hourly = {"carrier": ["UA", "B6"], "ts": [DAY, DAY], "mean": [1.0, 2.0]}
        store.create_dataset("hourly", key=["carrier", "ts"], event_time="ts").append(hourly)
        entity = foldstore.Entity("carrier", keys={"carrier": "string"})
        view = foldstore.FeatureView("delays", entity=entity, source="hourly", event_time="ts", features=["mean"])
        store.features.apply(foldstore.FeatureService("arrival", [view]))
        store.features.materialize("arrival@1")
        labels = store.create_dataset("labels", key=["carrier", "ts"], event_time="ts")
        labels.append(
            {"carrier": ["UA", "B6"] * 4, "ts": [DAY + dt.timedelta(hours=n) for n in range(8)], "y": range(8)}
        )
        store.version("labels@1").split("halves", train=0.5, test=0.5, seed=1)
        store.features.create_training_set("training", labels="labels@1#halves", features="arrival@1")
        vault = TokenVault(store.registry("token"), clock=store.clock)
        app = create_app(store.features, vault, store=store)
        yield {role: client_of(app, vault.create(role, author="t")[0]) for role in ROLES}


def role_for(operation):
    """A role that may, so that requests get behind the gate."""
    scope = operation.definition.raw.get("x-scope", "features:read")
    return next((role for role in ("editor", "evaluator", "steward") if scope in ROLES[role]), "admin")


@st.composite
def requests(draw, operation):
    """A request as the document allows it, or not; half of those with a body send its example, nearly."""
    path = operation.path
    known = next((there for kind, there in THERE.items() if path.startswith(f"/v1/{kind}/")), {})
    places = {name: value for name, value in known.items() if f"{{{name}}}" in path}
    taken = operation.definition.raw.get("requestBody", {}).get("content", {})
    example = taken.get("application/json", {}).get("example")
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    mode = draw(st.sampled_from(modes if example is not None or not taken else modes[:1]))
    fixed = places if draw(st.integers(0, 3)) else {}
    case = draw(operation.as_strategy(mode, path_parameters=fixed or None))
    body = draw(st.none() | broken_bodies(example).map(as_json)) if example is not None else None
    return case, body


def send(client, case, body):
    sent = case.as_transport_kwargs(base_url="http://testserver")
    content = sent.get("data") if "json" not in sent else as_json(sent["json"])
    headers = {name: value for name, value in sent["headers"].items() if name.lower() == "content-type"}
    if body is not None:
        content, headers = body, {"content-type": "application/json"}
    return client.request(sent["method"], sent["url"], params=sent["params"], content=content, headers=headers)


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_answers_as_it_says(clients, name):
    operation = OPERATIONS[name]
    fit = role_for(operation)

    @settings(max_examples=25 * FURTHER, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    @given(request=requests(operation), role=st.just(fit) | st.sampled_from(sorted(ROLES)))
    def run(request, role):
        case, body = request
        answer = send(clients[role], case, body)
        case.validate_response(answer, checks=CHECKS)

    run()

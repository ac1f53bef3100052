"""Entities, feature views and services: what they accept, and that they survive being written."""

import dataclasses
import datetime as dt
import json
import subprocess
import sys

import pytest

from foldstore.errors import ColumnNotFoundError, InvalidNameError, UsageError
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource

CARRIER = Entity("carrier", keys={"carrier": "string"})
AIRPORT = Entity("airport", keys={"airport": "string"})


def delays(**changes):
    given = {"entity": CARRIER, "source": "hourly@3", "event_time": "ts", "ttl": "7d", "features": ["mean", "n"]}
    return FeatureView(changes.pop("name", "delays"), **(given | changes))


WEATHER = FeatureView(
    "weather", entity=AIRPORT, source=SqlSource("SELECT * FROM w"), event_time="ts", created_time="made", features=["t"]
)
SERVICE = FeatureService(
    "arrival", [delays()[["n"]], WEATHER.as_("origin", keys={"airport": "origin"}), WEATHER.as_("dest")]
)


def test_a_service_survives_being_written_as_json():
    again = FeatureService.from_dict(json.loads(json.dumps(SERVICE.to_dict())))
    assert again == SERVICE
    assert again.hash == SERVICE.hash
    assert again.selections[1].label_keys == ("origin",)


def test_the_hash_of_a_service_is_golden():
    assert SERVICE.hash == "a599089e287a47d21629b6635aad44385f98b960f634f5c2c29deb7c53df7500"


def test_any_change_of_a_definition_changes_the_hash():
    changed = [
        delays(ttl="8d"), delays(source="hourly@4"), delays(event_time="at"), delays(features=["n", "mean"]),
        delays(entity=Entity("carrier", keys={"carrier": "int64"})), delays(name="delay"), delays()[["n"]],
    ]  # fmt: skip
    hashes = {FeatureService("s", [view]).hash for view in [delays(), *changed]}
    assert len(hashes) == len(changed) + 1


def test_what_is_said_of_a_definition_is_kept_with_it_and_changes_its_identity():
    said = {"description": "of a carrier", "owner": "data@example.org", "tags": ["public", "air", "air"]}
    entity = Entity("carrier", keys={"carrier": "string"}, **said)
    view = delays(entity=entity, **said)
    service = FeatureService("arrival", [view], **said)
    again = FeatureService.from_dict(json.loads(json.dumps(service.to_dict())))
    assert again == service
    assert again.tags == again.selections[0].view.entity.tags == ("air", "public")
    plain = FeatureService("arrival", [delays()])
    hashes = {plain.hash, FeatureService("arrival", [delays(owner="me")]).hash, service.hash}
    assert len(hashes) == 3
    assert "owner" not in plain.to_dict()


@pytest.mark.parametrize(
    "said", [{"description": 5}, {"owner": "a\nb"}, {"tags": "air"}, {"tags": ["A b"]}, {"owner": ""}]
)
def test_what_cannot_be_kept_of_a_definition_is_refused(said):
    for make in (
        delays,
        lambda **m: Entity("e", keys={"c": "string"}, **m),
        lambda **m: FeatureService("s", [delays()], **m),
    ):
        with pytest.raises(UsageError):
            make(**said)


@pytest.mark.parametrize("ttl", ["1ns", "1500us", "999ms", "1d1ns"])
def test_a_ttl_may_be_shorter_than_a_second(ttl):
    assert FeatureView.from_dict(delays(ttl=ttl).to_dict()) == delays(ttl=ttl)
    assert delays(ttl=ttl).ttl == ttl.replace("1500us", "1ms500us")


def test_two_views_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two views called 'delays'"):
        FeatureService("s", [delays()[["n"]], delays(ttl="1h").as_("other")])


def test_the_same_ttl_in_other_words_is_the_same_definition():
    assert delays(ttl="168h") == delays(ttl=dt.timedelta(days=7)) == delays()
    assert delays(ttl="0").ttl is None
    assert delays(ttl=None).ttl_nanoseconds == 0


def test_definitions_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        delays().ttl = "9d"
    with pytest.raises(TypeError):
        CARRIER.keys["carrier"] = "int64"


def test_whole_views_and_selections_name_their_answers_in_order():
    assert SERVICE.output_names(full_feature_names=True) == ["delays__n", "origin__t", "dest__t"]
    with pytest.raises(UsageError, match="two columns 't'"):
        SERVICE.output_names()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Entity("Carrier", keys={"c": "string"}),
        lambda: Entity("../x", keys={"c": "string"}),
        lambda: delays(name="a b"),
        lambda: delays(source="hourly@@"),
        lambda: FeatureService("a;b", [delays()]),
        lambda: delays().as_("train"),
    ],
)
def test_names_outside_the_grammar_are_refused(make):
    with pytest.raises(InvalidNameError):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Entity("e", keys={}), "no keys"),
        (lambda: Entity("e", keys={"c": "float64"}), "cannot be 'float64'"),
        (lambda: Entity("e", keys={"c\n": "string"}), "not the name of a column"),
        (lambda: delays(entity="carrier"), "The entity of"),
        (lambda: delays(features=[]), "not a list of columns"),
        (lambda: delays(features="mean"), "not a list of columns"),
        (lambda: delays(features=["a", "a"]), "occurs twice"),
        (lambda: delays(features=["ts"]), "'ts' twice"),
        (lambda: delays(features=["carrier"]), "'carrier' twice"),
        (lambda: delays(ttl="soon"), "not a length of time"),
        (lambda: SqlSource(" "), "source in SQL"),
        (lambda: FeatureService("s", []), "not given a list"),
        (lambda: FeatureService("s", ["delays"]), "cannot hold 'delays'"),
        (lambda: FeatureService("s", [delays(), delays()]), "holds 'delays' twice"),
        (
            lambda: FeatureService("s", [delays(), delays(name="x", entity=Entity("carrier", keys={"c": "string"}))]),
            "two entities called 'carrier'",
        ),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused_with_a_hint(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert error.value.hint


def test_an_unknown_feature_is_answered_with_what_exists():
    with pytest.raises(ColumnNotFoundError, match="'mena'") as error:
        delays()[["mena"]]
    assert "mean" in (error.value.hint or "")
    with pytest.raises(ColumnNotFoundError, match="'origin'"):
        delays().as_("x", keys={"origin": "carrier"})


@pytest.mark.parametrize("damaged", [{}, {"format": 1, "name": "x"}, {"format": 1, "name": "x", "features": [{}]}])
def test_damaged_definitions_are_refused(damaged):
    with pytest.raises(UsageError, match="not the definition"):
        FeatureService.from_dict(damaged)


@pytest.mark.parametrize("keys", [[["c"]], [["c", "string", "x"]], ["ab"], "ab", [{"c": "string"}], 5, None])
def test_keys_that_are_not_pairs_are_refused(keys):
    with pytest.raises(UsageError, match="definition of an entity"):
        Entity.from_dict({"name": "carrier", "keys": keys})


@pytest.mark.parametrize("member", ["name", "format", "features"])
def test_a_member_that_is_missing_is_named(member):
    data = SERVICE.to_dict()
    del data[member]
    with pytest.raises(UsageError) as error:
        FeatureService.from_dict(data)
    assert error.value.message == f"This is not the definition of a feature service: it has no '{member}'."
    assert "features show" in (error.value.hint or "")


def test_a_newer_format_is_refused_in_words():
    with pytest.raises(UsageError, match="format 2"):
        FeatureService.from_dict(SERVICE.to_dict() | {"format": 2})


def test_definitions_need_the_standard_library_alone():
    code = "import foldstore.views.features.feature_service, sys; print({'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

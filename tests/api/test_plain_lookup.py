"""Plain lookups: the bytes and counts of any other, whatever was pushed, materialized, moved or forgotten."""

import datetime as dt
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.api.lookup import LookupRoutes
from foldstore.api.metrics import CountedFeatures, Metrics
from foldstore.api.plain_lookup import PlainLookups, read_plain_lookup
from foldstore.api.request_body import Limits, MalformedBodyError, parse_json
from foldstore.api.tokens import TokenVault
from foldstore.errors import FoldstoreError

NOON = dt.datetime(2024, 1, 10, 12, tzinfo=dt.UTC)
PATH = "/v1/features:get"
TYPES = {"f": pa.float32(), "d": pa.float64(), "x": pa.int64(), "s": pa.string(), "days": pa.list_(pa.date32())}


def ride(driver, age, **values):
    told = {"f": 0.1, "d": 0.1, "x": 2**60, "s": "a", "days": [dt.date(2024, 1, 1)], **values}
    return {"driver": driver, "ts": NOON - dt.timedelta(minutes=age), **told}


RIDES = [
    ride(1, 90, s="old"),
    ride(1, 5),
    ride(2, 5, f=None),
    ride(3, 500),
    ride(4, 5, f=float("nan"), d=float("-inf"), s="{:}%b"),
    ride(5, 5, days=None),
]
SCHEMA = pa.schema({"driver": pa.int64(), "ts": pa.timestamp("us", "UTC"), **TYPES})
CITIES = pa.table(
    {"city": ["Oslo", "Århus", ""], "ts": pa.array([NOON] * 3), "size": pa.array([7, 8, None], pa.int16())}
)


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        store.create_dataset("rides").append(pa.Table.from_pylist(RIDES, schema=SCHEMA))
        store.create_dataset("cities").append(CITIES)
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        city = foldstore.Entity("city", keys={"city": "string"})
        stats = foldstore.FeatureView(
            "stats", entity=driver, source="rides", event_time="ts", ttl="1h", features=[*TYPES]
        )
        sizes = foldstore.FeatureView("sizes", entity=city, source="cities", event_time="ts", features=["size"])
        for name, views in {"one": [stats], "town": [sizes], "both": [stats[["s", "f"]], sizes]}.items():
            store.features.apply(foldstore.FeatureService(name, views))
            store.features.materialize(name)
        yield store


class Ways:
    """The same lookups by the plain way, and by the way of any other, each with its own counts."""

    def __init__(self, store):
        self.token = TokenVault(store.registry("token")).create("serving", author="t")[1]
        self.counts = Metrics(), Metrics()
        self.plain = PlainLookups(store.features.plain_services, self.counts[0]).answer
        routes = LookupRoutes(CountedFeatures(store.features, self.counts[1]), Limits())
        self.other = routes.by_path[PATH].answer_at_once

    def ask(self, service, entities, at="2024-01-10T12:00:00Z"):
        """Return the answer, when it is plain; it is the one of the other way."""
        said = {"service": service, "entities": entities, "at": at}
        body = json.dumps(said, ensure_ascii=False).encode()
        try:
            plain = self.plain(self.token, body)
        except FoldstoreError as error:
            with pytest.raises(type(error)):
                self.other(self.token, body)
            return None
        if plain is not None:
            assert plain == self.other(self.token, body)
        return plain


@pytest.fixture
def ways(store):
    return Ways(store)


def test_what_is_plain_is_answered_so(ways):
    assert ways.ask("one@1", {"driver": [1]}).startswith(b'{"service":"one@1","at":"2024-01-10T12:00:00Z","entities":')
    assert ways.ask("one", {"driver": [1]}) == ways.ask("one@1", {"driver": [1]})
    for driver in (3, 4, 99, -1):  # too old, no numbers of JSON, and unknown
        assert ways.ask("one", {"driver": [driver]})
    for city in ("Oslo", "Århus", "Rome", "a:b"):
        assert ways.ask("town", {"city": [city]})
        assert ways.ask("both", {"city": [city], "driver": [1]})
        assert ways.ask("both", {"driver": [3], "city": [city]})


def test_what_is_not_plain_goes_the_other_way(ways):
    for driver in (2, 5):  # a feature is null, the row is there
        assert ways.ask("one", {"driver": [driver]}) is None
    for entities in ({"driver": [1, 2]}, {"driver": []}, {}, [{"driver": 1}], {"driver": [None]}, {"driver": [1.0]},
                     {"driver": [True]}, {"driver": [2**63]}, {"driver": ["1"]}, {"other": [1]},
                     {"driver": [1], "city": ["Oslo"]}):  # fmt: skip
        assert ways.ask("one", entities) is None
    for service in ("nope", "one@2", "one@", "", "stats"):
        assert ways.ask(service, {"driver": [1]}) is None


@given(
    service=st.sampled_from(["one", "one@1", "town", "both", "both@1", "gone"]),
    entities=st.fixed_dictionaries(
        {},
        optional={
            "driver": st.lists(st.integers(-1, 7) | st.none(), min_size=1, max_size=2),
            "city": st.lists(st.sampled_from(["Oslo", "Århus", "", "x"]), min_size=1, max_size=1),
        },
    ),
    at=st.integers(-36_000, 7_200).map(lambda each: f"{NOON + dt.timedelta(seconds=each):%Y-%m-%dT%TZ}"),
)
def check_any(ways, service, entities, at):
    ways.ask(service, entities, at)


def test_every_plain_answer_is_that_of_the_other_way(ways):
    check_any(ways)


def test_what_is_found_is_counted_alike(ways):
    for driver in (1, 3, 3, 99):
        for service in ("one", "both"):
            assert ways.ask(service, {"driver": [driver]} | ({"city": ["Oslo"]} if service == "both" else {}))
    ways.counts[0].settle()
    plain, other = (
        [line for line in each.write().splitlines() if line.startswith(b"foldstore_lookup_entities_total")]
        for each in ways.counts
    )
    assert sorted(plain) == sorted(other)
    assert len(plain) == 6  # three statuses of each service; the city's is one of them


def test_the_age_of_what_answers_now_is_told(store, ways):
    now = dt.datetime.now(dt.UTC)
    store.dataset("cities").append(CITIES.slice(0, 1).set_column(1, "ts", pa.array([now], CITIES.schema.field(1).type)))
    store.features.materialize("town")
    assert ways.ask("town", {"city": ["Oslo"]}, at=f"{now:%Y-%m-%dT%H:%M:%S.%fZ}")
    ways.counts[0].settle()
    ages = [line for line in ways.counts[0].write().decode().splitlines() if line.startswith("foldstore_lookup_age")]
    assert len(ages) == 1
    assert 0 <= float(ages[0].split()[-1]) < 60


def test_a_lookup_of_now_is_one_of_now(store, ways):
    before = dt.datetime.now(dt.UTC)
    body = b'{"service": "one", "entities": {"driver": [1]}}'
    said = json.loads(ways.plain(ways.token, body))
    assert before <= dt.datetime.fromisoformat(said["at"]) <= dt.datetime.now(dt.UTC)
    assert said["features"]["s"]["statuses"] == ["OUTSIDE_MAX_AGE"]


def test_what_was_pushed_lies_over_it(store, ways):
    assert ways.ask("one", {"driver": [1]})
    store.features.push("stats", [ride(1, 1, s="pushed") | {"ts": NOON - dt.timedelta(minutes=1)}])
    assert ways.ask("one", {"driver": [1]}) is None  # it may lie over any
    assert ways.ask("town", {"city": ["Oslo"]})


def test_what_is_materialized_anew_is_answered(store, ways):
    before = ways.ask("one", {"driver": [1]})
    store.dataset("rides").append(pa.Table.from_pylist([ride(1, 1, s="new")], schema=SCHEMA))
    assert ways.ask("one", {"driver": [1]}) == before
    store.features.materialize("one", full=True)
    after = ways.ask("one", {"driver": [1]})
    assert b'"new"' in after
    assert b'"new"' not in before


def test_what_was_materialized_since_lies_over_it(store, ways):
    new = [ride(1, 1, s="new"), ride(2, 1), ride(7, 200)]
    store.dataset("rides").append(pa.Table.from_pylist(new, schema=SCHEMA))
    store.features.materialize("one")
    assert store.features.online_status("one")[0].changes == 1
    assert b'"new"' in ways.ask("one", {"driver": [1]})
    assert b'"new"' not in ways.ask("one", {"driver": [1]}, at=f"{NOON - dt.timedelta(minutes=3):%Y-%m-%dT%H:%M:%SZ}")
    for driver in (2, 3, 4, 7, 99):
        assert ways.ask("one", {"driver": [driver]})
    assert ways.ask("one", {"driver": [5]}) is None  # a null of the first file
    check_any(ways)


def test_an_alias_is_followed(store, ways):
    stats = foldstore.FeatureView(
        "narrow", entity=foldstore.Entity("driver", keys={"driver": "int64"}), source="rides", event_time="ts",
        features=["s"],
    )  # fmt: skip
    store.features.apply(foldstore.FeatureService("one", [stats]), allow_breaking=True)
    store.features.materialize("one@2")
    store.features.aliases.set("one@live", "one@1")
    assert ways.ask("one@live", {"driver": [1]}).startswith(b'{"service":"one@1"')
    store.features.aliases.set("one@live", "one@2")
    assert ways.ask("one@live", {"driver": [1]}).startswith(b'{"service":"one@2"')


def test_what_is_logged_or_shown_to_a_shadow_is_not_plain(store, ways):
    assert ways.ask("one", {"driver": [1]})
    store.features.log_lookups("one")
    assert ways.ask("one", {"driver": [1]}) is None
    assert ways.ask("town", {"city": ["Oslo"]})
    store.features.log_lookups("one", share=0)
    assert ways.ask("one", {"driver": [1]})


def test_what_was_forgotten_is_not_answered(store, ways):
    assert ways.ask("one", {"driver": [1]})
    store.features.forget_copies("rides")
    assert ways.ask("one", {"driver": [1]}) is None
    assert ways.ask("town", {"city": ["Oslo"]})


def test_a_token_of_some_names_goes_the_other_way(store, ways):
    ways.token = TokenVault(store.registry("token")).create("serving", author="t", names=["town"])[1]
    assert ways.ask("town", {"city": ["Oslo"]}) is None


NAMES = ['"service"', '"entities"', '"at"', '"driver"', '"x"', '"a:b"']
PIECES = st.sampled_from([*NAMES, "7", "null", "1.5", *':,{}[]:,"\\'])
BODIES = st.one_of(
    st.lists(PIECES, max_size=24).map("".join),
    st.builds(
        lambda service, names, value, at: (
            f'{{"service":{json.dumps(service)},"entities":{{'
            + ",".join(f"{json.dumps(name)}:[{json.dumps(value)}]" for name in names)
            + "}"
            + "".join(f',"at":{json.dumps(each)}' for each in at)
            + "}"
        ),
        st.text(max_size=5),
        st.lists(st.sampled_from(["driver", "a:b", "é"]), max_size=3),
        st.text(max_size=4) | st.integers() | st.none(),
        st.lists(st.none() | st.text(max_size=4), max_size=2),
    ),
)


@given(BODIES)
def test_a_plain_body_says_what_the_careful_parser_reads(text):
    data = text.encode("utf-8", "surrogatepass")
    plain = read_plain_lookup(data)
    if plain is None:
        return
    try:
        said = parse_json(data)
    except MalformedBodyError:
        pytest.fail("the careful parser refuses it")
    assert (plain.service, plain.entities, plain.at) == (said["service"], said["entities"], said.get("at"))


def test_names_that_come_twice_are_no_plain_body():
    assert read_plain_lookup(b'{"service":"a","entities":{"k":["v"]}}') == ("a", {"k": ["v"]}, None)
    assert read_plain_lookup(b'{"service":"a","service":"b","entities":{"k":["v"]}}') is None
    assert read_plain_lookup(b'{"service":"a","entities":{"k":["v"],"k":["w"]}}') is None
    assert read_plain_lookup(b'{"service":"a:b","entities":{"k":["v"],"k":["w"]}}') is None

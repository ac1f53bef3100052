"""Files of definitions: what is written is read again, what cannot be is refused with its line, nothing is run."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import InvalidDefinitionError, UsageError
from foldstore.features.definition_file import parse_definitions, read_definitions, write_definitions
from foldstore.features.python_file import read_python
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.entity import KEY_TYPES, Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.instant import format_duration

YAML = """\
entities:
  carrier:
    keys: {carrier: string}
    owner: data@example.org
  airport:
    keys: {airport: string}
views:
  delays:
    entity: carrier
    source: hourly@3
    event_time: ts
    ttl: 1h500ms
    features: [mean, n]
    tags: [air]
  weather:
    entity: airport
    source: {sql: SELECT * FROM w}
    event_time: ts
    created_time: made
    features: [t]
services:
  arrival:
    features:
    - view: delays
      features: [n]
    - {view: weather, as: origin, keys: {airport: origin}}
    - weather
    description: whether a flight is late
"""

PYTHON = '''
"""Features of arrivals."""
import foldstore
from foldstore import FeatureService as Service, sql

carrier = foldstore.Entity("carrier", keys={"carrier": "string"}, owner="data@example.org")
airport = foldstore.Entity("airport", {"airport": "string"})
delays = foldstore.FeatureView(
    "delays", entity=carrier, source="hourly@3", event_time="ts", ttl="1h500ms", features=["mean", "n"], tags=("air",)
)
weather = foldstore.FeatureView(
    "weather", entity=airport, source=sql("SELECT * FROM w"), event_time="ts", created_time="made", features=["t"]
)
Service(
    "arrival",
    [delays[["n"]], weather.as_("origin", keys={"airport": "origin"}), weather],
    description="whether a flight is late",
)
'''


def test_yaml_and_python_say_the_same():
    assert parse_definitions(YAML) == read_python(PYTHON)
    assert parse_definitions(YAML).services["arrival"].selections[1].label_keys == ("origin",)


def test_what_is_written_is_what_was_read():
    assert write_definitions(parse_definitions(YAML)) == write_definitions(
        parse_definitions(write_definitions(parse_definitions(YAML)))
    )


columns = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12).filter(
    lambda text: text.isprintable()
)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("train", "validation", "test", "latest")
)
said = st.fixed_dictionaries(
    {},
    optional={
        "description": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        "owner": columns.filter(str.strip),
        "tags": st.lists(names, max_size=3),
    },
)


@st.composite
def definition_sets(draw):
    entities = [
        Entity(
            name, keys=draw(st.dictionaries(columns, st.sampled_from(KEY_TYPES), min_size=1, max_size=3)), **draw(said)
        )
        for name in draw(st.lists(names, unique=True, max_size=3))
    ]
    views = []
    for name in draw(st.lists(names, unique=True, min_size=1, max_size=3)):
        entity = draw(st.sampled_from([None, *entities]))
        taken = list(entity.keys) if entity else []
        more = draw(
            st.lists(columns.filter(lambda c, taken=taken: c not in taken), unique=True, min_size=3, max_size=6)
        )
        views.append(
            FeatureView(
                name,
                entity=entity,
                source=draw(
                    st.one_of(
                        names,
                        names.map(lambda n: f"{n}@7"),
                        st.text(min_size=1).filter(lambda q: q.strip() and q.isprintable()).map(SqlSource),
                    )
                ),
                event_time=more[0],
                created_time=draw(st.sampled_from([None, more[1]])),
                features=more[2:],
                ttl=draw(st.one_of(st.none(), st.integers(0, 10**17).map(format_duration))),
                **draw(said),
            )
        )
    services = []
    for name in draw(st.lists(names, unique=True, max_size=3)):
        chosen = []
        for number, view in enumerate(draw(st.lists(st.sampled_from(views), min_size=1, max_size=3))):
            keys = {key: draw(columns) for key in view.join_keys if draw(st.booleans())}
            some = draw(st.lists(st.sampled_from(list(view.features)), unique=True, min_size=1))
            chosen.append(view.as_(f"alias{number}", keys=keys)[some])
        services.append(
            FeatureService(
                name,
                chosen,
                transform=draw(st.sampled_from([None, "inputs@2"])) if len(chosen) == 1 else None,
                **draw(said),
            )
        )
    return DefinitionSet.of(services, views, entities)


@given(definition_sets())
def test_law_definitions_survive_yaml_and_json(definitions):
    text = write_definitions(definitions)
    again = parse_definitions(text)
    assert again == definitions
    assert write_definitions(again) == text
    assert [each.hash for each in again.services.values()] == [each.hash for each in definitions.services.values()]
    assert parse_definitions(json.dumps(definitions.to_dict()), ".json") == definitions


WRONG = {
    "a misspelt member": ("    ttl: 1h500ms", "    tll: 1h", 12, "has no member 'tll'", "Did you mean 'ttl'?"),
    "an unknown entity": (
        "    entity: carrier",
        "    entity: carier",
        9,
        "no entity 'carier'",
        "Did you mean 'carrier'?",
    ),
    "an unknown view": ("    - weather\n", "    - wether\n", 27, "no view 'wether'", "Did you mean 'weather'?"),
    "an unknown feature": ("[n]", "[m, nn]", 25, "no column 'm'", "Available: mean, n"),
    "a type that is no key's": ("{airport: string}\nv", "{airport: float}\nv", 6, "cannot be 'float'", "Available"),
    "a time to live that is none": ("1h500ms", "soon", 12, "'soon' is not a length of time", '"7d"'),
    "a member that is missing": ("    source: hourly@3\n", "", 8, "has no 'source'", "Its members are"),
    "a source that is no address": ("hourly@3", "Hourly@@", 10, "is not a valid dataset name", None),
    "a key that the entity has not": ("{airport: origin}", "{port: origin}", 26, "no column 'port'", "airport"),
    "broken YAML": ("[mean, n]", "[mean, n", 14, "not YAML", None),
    "a number for a name": ("    entity: carrier", "    entity: 7", 9, "no entity 7", "Available"),
    "features that are no list": ("[mean, n]", "mean", 13, "is no list", None),
    "a list for a mapping": ("keys: {airport: string}", "keys: [airport]", 6, "no mapping of names", None),
}


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, old, new, line, message, hint):
    assert YAML.count(old) == 1
    (tmp_path / "arrival.yaml").write_text(YAML.replace(old, new))
    with pytest.raises(InvalidDefinitionError) as error:
        read_definitions(tmp_path / "arrival.yaml")
    assert message in error.value.message
    assert error.value.message.startswith(f"arrival.yaml, line {line}: ")
    assert hint is None or hint in (error.value.hint or "")
    assert error.value.code == "invalid-definition"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "services: 5", "entities: {}", "a: &x [1]\nb: *x", "!!python/object/apply:os.system [ls]",
     "views: {v: {<<: {a: b}}}", "services: {s: {features: [[]]}}", "services: {s: {features: {}}}", "views: {7: {}}"],
)  # fmt: skip
def test_yaml_that_is_no_definition_is_refused(text):
    with pytest.raises(InvalidDefinitionError):
        parse_definitions(text)


RUNS = {
    "a call": ("open('x')", "no definition of foldstore's"),
    "an import": ("import os", "'import' is not possible"),
    "an import of another name": ("from foldstore import connect", "'connect' is no definition"),
    "an attribute": ("x = foldstore.__class__", "'attribute' is not possible"),
    "a function of the package": ("x = foldstore.connect('s')", "'connect' is no definition"),
    "a method of a text": ("x = 'a'.join(['b'])", "no definition of foldstore's"),
    "a loop": ("for x in [1]: pass", "'for' is not possible"),
    "a comprehension": ("x = [y for y in 'ab']", "'listcomp' is not possible"),
    "a lambda": ("x = lambda: 1", "'lambda' is not possible"),
    "an f-string": ("x = f'{1}'", "'joinedstr' is not possible"),
    "a function": ("def f(): pass", "'functiondef' is not possible"),
    "a decorator's way in": ("@print\nclass A: pass", "'classdef' is not possible"),
    "a star": ("x = foldstore.Entity(*['a'])", "by \\* and \\*\\*"),
    "a name of nobody": ("x = y", "'y' was not assigned"),
    "an index of a list": ("x = [1][0]", "only features of a view"),
    "a target with parts": ("a, b = [1, 2]", "'assign' is not possible"),
    "nesting without end": ("x = " + "[" * 80 + "]" * 80, "too deeply"),
    "no Python": ("x = = 1", "not Python"),
    "a NUL": ("x = 1\0", "not Python"),
}


@pytest.mark.parametrize(("code", "message"), RUNS.values(), ids=RUNS)
def test_a_python_file_is_read_and_not_run(code, message):
    with pytest.raises(InvalidDefinitionError, match=message) as error:
        read_python("import foldstore\n" + code)
    assert error.value.facts["line"] in (1, 2, 3)


def test_an_error_in_a_python_file_has_its_line(tmp_path):
    (tmp_path / "a.py").write_text(PYTHON.replace('"1h500ms"', '"soon"'))
    with pytest.raises(InvalidDefinitionError, match=r"a\.py, line 8: 'soon' is not a length of time"):
        foldstore.read_definitions(tmp_path / "a.py")


def test_a_definition_as_json_of_one_service_is_read(tmp_path):
    service = parse_definitions(YAML).services["arrival"]
    (tmp_path / "a.json").write_text(json.dumps(service.to_dict()))
    assert foldstore.read_definitions(str(tmp_path / "a.json")).services == {"arrival": service}


@pytest.mark.parametrize("path", ["nothing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path, path):
    with pytest.raises(UsageError):
        read_definitions(tmp_path / Path(path))


def test_one_name_for_two_things_is_refused():
    views = [FeatureView("v", source="a", event_time="ts", features=[each]) for each in ("x", "y")]
    with pytest.raises(InvalidDefinitionError, match="'v' is defined twice"):
        DefinitionSet.of([FeatureService("s", views[:1])], views)


def test_views_that_no_service_holds_are_named():
    text = YAML.replace("    - weather\n", "").replace(
        "    - {view: weather, as: origin, keys: {airport: origin}}\n", ""
    )
    assert parse_definitions(text).unused_views == ("weather",)

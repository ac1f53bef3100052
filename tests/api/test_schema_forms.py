"""Schemas come and go in the words of other systems; what a stranger sends is read within bounds, or refused."""

import json
import warnings

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.errors import ExchangeWarning
from foldstore.validation.interchange.pandera_schema import write_file
from foldstore.validation.schema import DataSchema
from tests.api.conftest import assert_problem, client_of
from tests.api.hostile import FURTHER, values

IMPORT = "/v1/schemas:import"
SCHEMA = {
    "name": "trips",
    "columns": {
        "id": {"type": "int64", "nullable": False},
        "zone": {"type": "string", "domain": {"values": ["a", "b"]}, "doc": "where it began"},
    },
    "keys": ["id"],
    "max_rows": 500,
}
MEDIA = {
    "yaml": "application/yaml",
    "odcs": "application/odcs+yaml",
    "json-schema": "application/schema+json",
    "pandera": "application/x-pandera+yaml",
}


@pytest.fixture
def editor(people):
    vault = TokenVault(people.registry("token"), clock=people.clock)
    app = create_app(people.features, vault, store=people)
    yield client_of(app, vault.create("editor", author="t")[0])
    app.end()


@pytest.fixture
def kept(people):
    return people.dataset("people").set_schema(DataSchema.from_dict(SCHEMA), message="by hand")


class TestWritten:
    @pytest.mark.parametrize(("form", "media"), MEDIA.items(), ids=MEDIA)
    def test_by_accept_and_by_name(self, editor, kept, form, media):
        by_accept = editor.get("/v1/datasets/people/schema", headers={"accept": media})
        assert by_accept.status_code == 200, by_accept.text
        assert by_accept.headers["content-type"] == media
        assert editor.get(f"/v1/datasets/people/schema?form={form}").text == by_accept.text
        sent = editor.post(f"/v1/schemas:export?form={form}", json={"id": "unused", "schema": SCHEMA})
        assert sent.text == by_accept.text

    def test_as_the_sdk_does(self, editor, kept):
        read = {form: editor.get(f"/v1/datasets/people/schema?form={form}").text for form in MEDIA}
        assert DataSchema.from_yaml(read["yaml"]) == kept
        assert yaml.safe_load(read["odcs"]) == kept.to_contract()
        assert json.loads(read["json-schema"]) == kept.to_json_schema()
        with pytest.warns(ExchangeWarning, match="max_rows"):
            assert read["pandera"] == write_file(kept.to_pandera())

    def test_one_of_before(self, editor, kept, people):
        people.dataset("people").set_schema(kept.with_changes(max_rows=9))
        first = editor.get("/v1/datasets/people/schema?number=1").json()
        assert (first["id"], first["schema"]["max_rows"]) == (kept.id, 500)
        assert editor.get("/v1/datasets/people/schema").json()["schema"]["max_rows"] == 9
        assert_problem(editor.get("/v1/datasets/people/schema?number=3"), 404, "not-found")

    def test_a_form_that_is_read_alone_is_refused(self, editor, kept):
        assert_problem(editor.get("/v1/datasets/people/schema?form=tfdv"), 422)
        answer = editor.get("/v1/datasets/people/schema", headers={"accept": "application/xml"})
        assert "application/odcs+yaml" in assert_problem(answer, 406, "not-acceptable")["hint"]


class TestRead:
    @pytest.mark.parametrize("form", ["yaml", "odcs", "json-schema"])
    def test_what_was_written_comes_back_and_can_be_set(self, editor, kept, people, form):
        text = editor.get(f"/v1/datasets/people/schema?form={form}").text
        found = editor.post(f"{IMPORT}?form={form}", content=text.encode())
        assert found.json() == {"id": kept.id, "schema": kept.to_dict()}
        people.dataset("people").set_schema(kept.with_changes(max_rows=9))
        assert editor.put("/v1/datasets/people/schema", content=found.content).json()["id"] == kept.id

    def test_what_has_no_counterpart_is_said_in_the_provenance(self, editor):
        text = 'feature { name: "x" type: INT presence { min_fraction: 1 } drift_comparator { } }'
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = editor.post(f"{IMPORT}?form=tfdv", content=text).json()["schema"]
        assert made["columns"]["x"]["type"] == "int64"
        assert any("drift_comparator" in each for each in made["provenance"]["not_imported"])

    def test_pandera(self, editor):
        text = "schema_type: polars_dataframe\ncolumns:\n  x: {dtype: Int64, nullable: false}\n"
        assert editor.post(f"{IMPORT}?form=pandera", content=text).json()["schema"]["columns"] == {
            "x": {"type": "int64", "nullable": False}
        }

    def test_a_table_of_a_contract(self, editor):
        tables = [
            {"name": name, "properties": [{"name": name, "logicalType": "integer"}]} for name in ("trips", "zones")
        ]
        text = json.dumps({"apiVersion": "v3.1.0", "kind": "DataContract", "schema": tables})
        assert "zones" in assert_problem(editor.post(f"{IMPORT}?form=odcs", content=text), 422)["hint"]
        made = editor.post(f"{IMPORT}?form=odcs&table=zones", content=text).json()["schema"]
        assert list(made["columns"]) == ["zones"]
        assert_problem(editor.post(f"{IMPORT}?form=yaml&table=zones", content=text), 422)

    def test_nothing_is_kept(self, editor, people):
        editor.post(f"{IMPORT}?form=yaml", content="columns: {x: {type: int64}}")
        assert people.dataset("people").schemas() == []

    def test_a_viewer_may_and_nobody_else(self, people):
        vault = TokenVault(people.registry("token"), clock=people.clock)
        app = create_app(people.features, vault, store=people)
        for role, status in (("viewer", 200), ("serving", 403)):
            client = client_of(app, vault.create(role, author="t")[0])
            assert client.post(f"{IMPORT}?form=yaml", content="columns: {}").status_code == status


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefghij", "bcdefghijk", strict=True)
)
HOSTILE = {
    "billion laughs": LAUGHS,
    "an alias to itself": "&a [*a]",
    "deep": "[" * 50_000,
    "deep mappings": "{a: " * 5_000,
    "base 60": "x: 1" + ":1" * 100_000,
    "digits": "x: " + "1" * 200_000,
    "an object": "!!python/object/apply:os.system ['true']",
    "a name": "!!python/name:os.system ''",
    "a key twice": "columns: {}\ncolumns: {}",
    "two documents": "a: 1\n---\nb: 2",
    "merged": "<<: 1\ncolumns: 1",
    "a list": "[1, 2]",
    "nothing": "",
    "a nul": "a: \0",
    "half a character": 'a: "\\ud800"',
    "not finite": "max_rows: .inf",
    "text format without end": "feature { " * 5_000,
    "html": "<script>alert(1)</script>",
}


class TestHostile:
    @pytest.mark.parametrize("form", ["yaml", "odcs", "json-schema", "pandera", "tfdv"])
    @pytest.mark.parametrize("attack", HOSTILE)
    def test_it_is_refused_as_a_text(self, editor, form, attack):
        if (attack, form) == ("nothing", "tfdv"):
            return  # a message without fields
        answer = editor.post(f"{IMPORT}?form={form}", content=HOSTILE[attack].encode())
        told = assert_problem(answer, 422)
        assert len(told["detail"]) < 1_000
        assert not set(answer.text) & {"\0", "\x1b"}

    def test_a_long_text_is_not_read(self, editor):
        assert_problem(editor.post(f"{IMPORT}?form=yaml", content=b"#" * ((1 << 20) + 1)), 413, "body-too-large")

    @pytest.mark.parametrize("form", ["yaml", "odcs", "json-schema", "pandera", "tfdv"])
    def test_what_takes_seconds_to_read_is_not_read(self, editor, form):
        text = "[" + "1," * (1 << 17) + "1]"
        assert_problem(editor.post(f"{IMPORT}?form={form}", content=text.encode()), 413, "body-too-large")

    @pytest.mark.parametrize("form", MEDIA)
    def test_what_takes_seconds_to_write_is_not_written(self, editor, form):
        schema = {"columns": {f"c{number}": {"type": "int64"} for number in range(5_001)}}
        sent = editor.post(f"/v1/schemas:export?form={form}", json={"schema": schema})
        assert_problem(sent, 413, "body-too-large")

    def test_bytes_that_are_no_text(self, editor):
        assert_problem(editor.post(f"{IMPORT}?form=yaml", content=b"\xff\xfe"), 400, "malformed-body")

    def test_a_file_of_a_form(self, editor):
        answer = editor.post(f"{IMPORT}?form=yaml", files={"file": ("x.yaml", b"columns: {}")})
        assert_problem(answer, 415, "unsupported-media-type")

    @settings(max_examples=60 * FURTHER, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data(), form=st.sampled_from(["yaml", "odcs", "json-schema", "pandera"]))
    def test_whatever_is_in_it_there_is_a_schema_or_a_refusal(self, editor, data, form):
        skeleton = {
            "yaml": {"columns": {"x": {"type": "int64"}}},
            "odcs": {
                "apiVersion": "v3.1.0",
                "kind": "DataContract",
                "schema": [{"name": "t", "properties": [{"name": "x", "logicalType": "integer"}]}],
            },
            "json-schema": {"type": "object", "properties": {"x": {"type": "integer"}}},
            "pandera": {"schema_type": "polars_dataframe", "columns": {"x": {"dtype": "Int64"}}},
        }[form]
        broken = data.draw(values | st.fixed_dictionaries({}, optional=dict.fromkeys(skeleton, values)))
        made = {**skeleton, **broken} if isinstance(broken, dict) else broken
        sent = json.dumps(made).encode("utf-8", "replace")
        answer = editor.post(f"{IMPORT}?form={form}", content=sent)
        assert answer.status_code in {200, 422}, (made, answer.text)
        if answer.status_code == 200:
            assert DataSchema.from_dict(answer.json()["schema"]).id == answer.json()["id"]
        else:
            assert_problem(answer, 422)

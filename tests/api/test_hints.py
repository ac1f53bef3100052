"""A hint that speaks Python names the routes that do the same, so that who asks by curl knows what to do."""

import ast
import re
from pathlib import Path

import pytest

import foldstore
from foldstore.api.hints import over_http
from foldstore.api.resources import list_routes
from foldstore.remote.problems import OVER_HTTP
from tests.conformance.conftest import Behind

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"(?<![\w.])(?:store|foldstore)(?:\.[a-z_]+)+\(")
ASKED = {("POST", "/v1/features:get"), ("POST", "/get-online-features"), *((r.method, r.path) for r in list_routes())}


def texts(node):
    """The texts in an expression; what is put into one is an empty pair of braces."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def said_in_the_code():
    """Every text that is given, returned or named in the code of the store and the server: what may become a hint."""
    for folder in ("foldstore", "datastore", "validation", "views", "api"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT).parts
            if inside[:2] in {
                ("foldstore", each) for each in ("cli", "remote", "api", "datastore", "validation", "views")
            }:
                continue
            for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(statement, ast.keyword | ast.Return | ast.Assign):
                    continue
                for text in texts(statement.value) if statement.value is not None else ():
                    if PYTHON.search(text):
                        yield "/".join(inside), text


SAID = sorted(set(said_in_the_code()))


def test_there_are_such_hints():
    assert len(SAID) > 30


@pytest.mark.parametrize(("where", "text"), SAID, ids=[f"{where}-{n}" for n, (where, _) in enumerate(SAID)])
def test_each_names_a_route_or_says_that_there_is_none(where, text):
    told = over_http(text)
    assert OVER_HTTP in told, where
    for method, path in re.findall(r"\b(GET|POST|PUT|DELETE) (/\S+?)[.,]?(?= |$)", told.partition(OVER_HTTP)[2]):
        assert (method, path) in ASKED


def test_what_is_no_python_stays_as_it_is():
    for hint in (
        None,
        "",
        "Did you mean 'flights'?",
        "The roles that have it: editor, admin.",
        "List the values (all).",
    ):
        assert over_http(hint) == hint
    assert over_http(over_http("store.sql(...)")) == over_http("store.sql(...)")


def test_over_http_it_is_told_and_in_the_sdk_it_is_as_beside_the_files(folder):
    with Behind(folder) as served:
        served.store.create_dataset("people", key=["id"]).append({"id": [1]})
        with pytest.raises(foldstore.FoldstoreError) as beside:
            served.store.view("people@1").select(x="range(id)").to_arrow()
        remote = served.connect()
        with pytest.raises(foldstore.FoldstoreError) as far:
            remote.server.read(
                "/v1/views:count", {"spec": {"sources": [{"address": "people@1"}], "steps": [{"where": "range(id)"}]}}
            )
        assert "store.sql(...)" in beside.value.hint
        assert far.value.hint == beside.value.hint
        from foldstore.api.problem import problem_of

        assert b"Over HTTP: POST /v1/sql." in problem_of(beside.value).body

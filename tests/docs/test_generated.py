"""The generated pages say what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("foldstore_docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_generated_page_is_stale(generate):
    assert generate.stale_pages() == [], "run `make docs`"


def test_a_page_does_not_depend_on_the_terminal(generate, monkeypatch):
    before = generate.write_commands()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert generate.write_commands() == before


def test_the_check_names_a_page_that_is_stale_and_exits_with_1(generate, monkeypatch, capsys):
    monkeypatch.setitem(generate.PAGES, "errors.md", lambda: "other words")
    assert generate.main(["--check"]) == 1
    assert "docs/errors.md is stale" in capsys.readouterr().err


def test_every_anomaly_code_has_a_meaning_and_no_meaning_is_left_over(generate):
    assert list(generate.MEANINGS) == list(generate.CODES)


# Raised by functions that no public name, command or route reaches.
INSIDE = {"before-history", "invalid-counts", "missing-counts", "pool-exhausted"}
# Put together from parts in validation/pools/plan.py, or chosen among several in datastore/column_plan.py.
COMPOSED = {"invalid-method", "invalid-mode", "column-new", "column-missing"}


def test_the_more_precise_codes_of_errors_are_those_in_the_code(generate):
    folders = ("foldstore", "datastore", "validation", "views", "api")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in files]
    used = {code for source in sources for code in re.findall(r'\bcode="([a-z]+(?:-[a-z0-9]+)+)"', source)}
    classes = {error.code for error in generate.family()}
    assert (used | COMPOSED) - classes - INSIDE == set(generate.PRECISE_CODES)


def test_the_readme_has_a_place_for_the_output_of_the_demo(generate):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- demo: written by docs/generate.py -->\n", "<!-- end of demo -->\n"
    assert readme.count(begin) == readme.count(end) == 1
    shown = readme.partition(begin)[2].partition(end)[0]
    assert re.search(r"^\d+\. What to type next$", shown, re.MULTILINE)


def test_the_demo_is_abridged_by_its_repetitions_alone(generate):
    output = (
        "\n1. A year\n\n flights@2    February   24,951 \n flights@3    March   28,834 \n"
        " flights@11   November   27,268 \n flights@12   December   28,135 \n"
        "      error  air_time: null\n             rows 188 (None), 409 (None)\n"
        "\n\n\n4. Parts\n\nflights@13 adds 92,840 bytes\n #by_month.train   244,646 \n"
    )
    assert generate._abridge(output) == (
        "1. A year\n\n flights@2    February   24,951\n […]\n flights@12   December   28,135\n"
        "      error  air_time: null\n\n4. Parts\n\nflights@13 adds 92,840 bytes\n #by_month.train   244,646\n"
    )

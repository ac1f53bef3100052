"""The page of views names a test for each of its lines; each is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "views.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))))


def test_every_line_of_the_comparison_names_a_test():
    text = PAGE.read_text(encoding="utf-8")
    comparison = text[text.index("## Beside ClearML") : text.index("Out of scope")]
    lines = [
        line
        for line in comparison.splitlines()
        if line.startswith("|") and not line.startswith(("| ---", "| dataview", "| |"))
    ]
    assert len(lines) > 35
    assert [line for line in lines if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", line)] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_is_there(file, name):
    assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
        f"{file} has no {name}"
    )

"""The page on security names a test for each line; each is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_line_names_a_test():
    lines = [line for line in PAGE.partition("## What is tested")[2].splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 10
    assert [line for line in lines if "`tests/" not in line] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_is_there(file, name):
    assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)

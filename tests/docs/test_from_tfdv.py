"""The table for who comes from TFDV: each of its types stands there once, and each of our codes exists."""

import re
from pathlib import Path

from foldstore.validation.anomaly import CODES

PAGE = (Path(__file__).parents[2] / "docs" / "from-tfdv.md").read_text(encoding="utf-8")
ROWS = [line.split("|")[1:] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_code_that_the_page_names_exists():
    named = re.findall(r"`([a-z]+(?:_[a-z]+)*)`", "\n".join(row[1] for row in ROWS))
    assert set(named) <= set(CODES)
    assert len(set(named)) > 30
    ending = PAGE.rpartition("TFDV has no counterpart for")[2]
    assert set(re.findall(r"`(\w+)`", ending)) <= set(CODES)


def test_every_type_stands_there_once():
    types = re.findall(r"`([A-Z0-9_]+)`", "\n".join(row[0] for row in ROWS))
    assert len(types) == len(set(types))
    assert len(types) == 71  # numbers 0 to 70 of the enumeration

"""Shared values: the published and the independently computed sample sizes."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sample_sizes():
    return json.loads((Path(__file__).parent / "sample_sizes.json").read_text(encoding="utf-8"))

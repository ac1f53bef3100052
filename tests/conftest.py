"""Shared fixtures, hypothesis profiles, and what doctests may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import foldstore

# Deterministic by default, so that a red run is red again; `HYPOTHESIS_PROFILE=nightly` looks further.
settings.register_profile("default", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SAMPLE = Path(__file__).parent.parent / "sample_data"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch, tmp_path):
    """Keep the machine's own settings out of the tests."""
    for name in list(os.environ):
        if name.startswith("FOLDSTORE_") and not name.startswith("FOLDSTORE_REQUIRE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path):
    """A folder for a store."""
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="tester") as opened:
        yield opened


@pytest.fixture(scope="session")
def sample():
    """The sample data's folder."""
    return SAMPLE

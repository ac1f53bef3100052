"""Packages that only some tests need: a plain skip where they are not installed, a failure where they must be."""

import importlib
import os

import pytest


def require(name):
    """Return a package for learning; skip the test where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("FOLDSTORE_REQUIRE_LEARNING"):
            raise
        pytest.skip(f"{name} is not installed: make learning")

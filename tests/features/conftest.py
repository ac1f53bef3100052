"""The catalogs that the tests of features run over."""

import pytest

from tests.postgres import empty_catalog


@pytest.fixture(params=["sqlite", "postgresql"])
def each_catalog(request, monkeypatch):
    """Run a test over a catalog in the store's folder, and over one on a server where there is one."""
    if request.param == "sqlite":
        yield None
        return
    with empty_catalog() as url:
        monkeypatch.setenv("FOLDSTORE_CATALOG_URL", url)
        yield url

"""The PostgreSQL server of the tests, where there is one."""

import os
import uuid
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

POSTGRES = os.environ.get("FOLDSTORE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


@contextmanager
def empty_catalog():
    """Give the URL of an empty schema on the server for a while; skip the test where there is none."""
    name = f"foldstore_{uuid.uuid4().hex}"
    try:
        engine = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 3})
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    except (sa.exc.DBAPIError, ImportError) as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    try:
        yield f"{POSTGRES}?options=-csearch_path%3D{name}"
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))
        engine.dispose()

"""The Redis server of the tests, where there is one."""

import os
import uuid
from contextlib import contextmanager

import pytest

REDIS = os.environ.get("FOLDSTORE_TEST_REDIS", "redis://127.0.0.1:6379/0")


@contextmanager
def empty_server():
    """Give a prefix of its own on the server for a while, and its URL; skip the test where there is none."""
    try:
        import redis

        server = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
        server.ping()
    except (ImportError, OSError) as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no Redis client or server: {error}")
    except redis.RedisError as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no Redis server: {error}")
    prefix = f"foldstore-test-{uuid.uuid4().hex}"
    try:
        yield REDIS, prefix
    finally:
        names = list(server.scan_iter(f"{prefix}:*"))
        if names:
            server.delete(*names)
        server.close()

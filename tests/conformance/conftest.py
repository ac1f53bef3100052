"""One suite for a store in a folder and a store behind a server: each test runs against both."""

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault


class Behind:
    """A store in a folder, and a server before it on a port of this machine."""

    def __init__(self, folder):
        self.store = foldstore.connect(folder, author="owner")
        self.vault = TokenVault(self.store.registry("token"), clock=self.store.clock)
        self.server = BackgroundServer(create_app(self.store.features, self.vault, store=self.store))
        self.opened = []

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        for each in self.opened:
            each.close()
        self.server.close()
        self.store.close()

    def token(self, role, **how):
        return self.vault.create(role, author="tester", **how)[0]

    def connect(self, role="admin", **how):
        self.opened.append(foldstore.connect(self.server.url, token=self.token(role, **how)))
        return self.opened[-1]


@pytest.fixture
def behind(folder):
    with Behind(folder) as served:
        yield served


@pytest.fixture(params=["local", "remote"])
def kind(request):
    return request.param


@pytest.fixture
def open_as(kind, folder, request):
    """Open the store as the holder of a role; in a folder, as its owner or as a steward."""
    if kind == "remote":
        yield request.getfixturevalue("behind").connect
        return
    opened = []

    def connect(role="admin"):
        opened.append(foldstore.connect(folder, author="owner", role="steward" if role == "steward" else None))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def store(open_as):
    return open_as()


@pytest.fixture
def people(store):
    return store.create_dataset("people", key=["id"])


def raised(act):
    """Return the class and the code of the error that an act raises."""
    with pytest.raises(foldstore.FoldstoreError) as caught:
        act()
    told = next(kind for kind in type(caught.value).__mro__ if kind.__module__ == "foldstore.errors")
    return told.__name__, caught.value.code

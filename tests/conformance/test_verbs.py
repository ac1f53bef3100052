"""Every public name of a local handle is on the remote one, or in its list of what stays local, with the reason."""

import inspect

import pytest

import foldstore
from foldstore.api.resources import list_routes
from foldstore.api.sdk_routes import HANDLES, PACKAGE, RESULTS, SERVER_ALONE, routes_in
from foldstore.consumers import Consumers
from foldstore.dataset import Dataset
from foldstore.errors import UsageError
from foldstore.features.feedback import Feedback
from foldstore.features.handle import Features
from foldstore.folds import Fold, Folds
from foldstore.lineage import Lineage
from foldstore.monitor import Monitors
from foldstore.pool import Pool
from foldstore.pools import Pools
from foldstore.profile import VersionProfile
from foldstore.remote.consumers import RemoteConsumers
from foldstore.remote.dataset import RemoteDataset
from foldstore.remote.features import RemoteFeatures
from foldstore.remote.feedback import RemoteFeedback
from foldstore.remote.folds import RemoteFold, RemoteFolds
from foldstore.remote.handles import list_handles
from foldstore.remote.monitors import RemoteMonitors
from foldstore.remote.operations import RemoteOperations
from foldstore.remote.pools import RemotePool, RemotePools
from foldstore.remote.runs import RemoteLineage, RemoteRuns
from foldstore.remote.saved_views import RemoteSavedViews
from foldstore.remote.split import RemotePart, RemoteSplit
from foldstore.remote.store import RemoteStore
from foldstore.remote.stream import RemoteStreamWriter
from foldstore.remote.transforms import RemoteTransforms
from foldstore.remote.version import RemoteVersion
from foldstore.remote.view import RemoteView
from foldstore.run import Runs
from foldstore.saved_views import SavedViews
from foldstore.split import Split, SplitPart
from foldstore.store import Store
from foldstore.stream import StreamWriter
from foldstore.transforms import Transforms
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.version import Version
from foldstore.views.view import View

PAIRS = {
    Store: RemoteStore,
    Dataset: RemoteDataset,
    Version: RemoteVersion,
    View: RemoteView,
    SavedViews: RemoteSavedViews,
    Split: RemoteSplit,
    SplitPart: RemotePart,
    Transforms: RemoteTransforms,
    Consumers: RemoteConsumers,
    Feedback: RemoteFeedback,
    Folds: RemoteFolds,
    Fold: RemoteFold,
    Pools: RemotePools,
    Pool: RemotePool,
    Features: RemoteFeatures,
    Monitors: RemoteMonitors,
    Runs: RemoteRuns,
    Lineage: RemoteLineage,
    StreamWriter: RemoteStreamWriter,
}
# What a remote handle has beside the local one: for the handles of what belongs to it, and for their documentation.
OWN = {
    "LOCAL_ONLY",
    "NOUN",
    "server",
    "split_where",
    "sent_spec",
    "operations",
    "place",
    "sibling",
    "fold_where",
    "part_path",
}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_handle_has_its_pair():
    assert set(PAIRS.values()) == set(list_handles())


@pytest.mark.parametrize(("local", "remote"), PAIRS.items(), ids=lambda kind: kind.__name__)
def test_every_name_is_there_or_said_to_be_missing(local, remote):
    # Attributes that are set in __init__ are no names of the class.
    missing = public(local) - public(remote)
    said = set(remote.LOCAL_ONLY)
    assert missing - said == set(), "a verb is neither there nor said to be missing"
    assert said - public(local) == set(), "what is said to be missing is no verb"
    assert (public(remote) - public(local)) - OWN == set()
    assert all(reason.endswith(".") for reason in remote.LOCAL_ONLY.values())


@pytest.mark.parametrize(("local", "remote"), PAIRS.items(), ids=lambda kind: kind.__name__)
def test_every_verb_has_its_route_or_a_reason(local, remote):
    assert set(HANDLES[remote.NOUN]) == public(local) - set(remote.LOCAL_ONLY)


def test_every_verb_of_the_package_has_its_route_or_a_reason():
    does = {name for name in foldstore.__all__ if inspect.isfunction(getattr(foldstore, name))}
    assert set(PACKAGE) == does


def test_results_have_the_verbs_that_are_listed():
    kinds = {"report": Report, "schema": DataSchema, "profile": VersionProfile, "operations": RemoteOperations}
    assert set(RESULTS) == set(kinds)
    assert [(noun, verb) for noun, verbs in RESULTS.items() for verb in verbs if not hasattr(kinds[noun], verb)] == []
    forms = {name for name in public(Report) | public(DataSchema) if name.startswith(("to_", "from_"))}
    listed = {verb for verbs in RESULTS.values() for verb in verbs}
    assert forms - listed == {"to_dict", "from_dict", "to_json", "from_json"}  # plain data, as every route has it


def test_the_routes_of_verbs_are_there_and_every_route_is_some_verbs():
    known = {(route.method, route.path) for route in list_routes()}
    lookups = {("POST", "/v1/features:get"), ("POST", "/get-online-features")}
    said = [words for table in (PACKAGE, *HANDLES.values(), *RESULTS.values()) for words in table.values()]
    named = {route for words in said for route in routes_in(words)}
    assert named - known == lookups
    assert known - named == set(SERVER_ALONE)
    assert [words for words in said if not routes_in(words) and not words.endswith(".")] == []


@pytest.mark.parametrize("remote", [each for each in PAIRS.values() if each is not RemoteView])
def test_what_is_missing_says_so(remote):
    handle = object.__new__(remote)
    for name in remote.LOCAL_ONLY:
        with pytest.raises(UsageError, match="is not there over the network") as caught:
            getattr(handle, name)
        assert caught.value.code == "local-only"
        assert not hasattr(handle, name)
    with pytest.raises(AttributeError) as other:
        handle.no_such_thing  # noqa: B018
    assert not isinstance(other.value, UsageError)


def test_arguments_that_stay_local_say_so(behind):
    store = behind.connect()
    data = store.create_dataset("a", key=["x"])
    version = data.append({"x": [1, 2]})
    for act in (
        lambda: data.append({"x": [3]}, author="somebody else"),
        lambda: store.sql("SELECT 1", threads=4),
        lambda: version.validate(checks=[object()]),
        store.view("a@1").rows.index,
        lambda: version.deprecate("old", author="somebody else"),
    ):
        with pytest.raises(UsageError) as caught:
            act()
        assert caught.value.code == "local-only"
    assert data.latest == version


def test_a_token_of_some_names_and_of_few_rights_is_refused_as_such(behind):
    for name in ("open", "secret"):
        behind.store.create_dataset(name).append({"x": [1]})
    bounded = behind.connect("editor", names=["open"])
    assert [each.name for each in bounded.datasets()] == ["open"]
    secret = behind.store.version("secret@1")
    spec = {"sources": [{"address": "open@1", "version_id": secret.version_id}], "steps": []}
    for act in (
        lambda: bounded.dataset("secret"),
        lambda: bounded.view("secret@1"),
        lambda: bounded.sql("SELECT * FROM secret").rows(),
        lambda: bounded.server.read("/v1/views:count", {"spec": spec}),
        lambda: bounded.server.read("/v1/views:explain", {"spec": spec}),
        lambda: bounded.server.get("/v1/datasets/secret/versions/1/statistics"),
    ):
        with pytest.raises(LookupError):
            act()
    viewer = behind.connect("viewer")
    with pytest.raises(PermissionError):
        viewer.dataset("open").append({"x": [2]})
    with pytest.raises(PermissionError):
        viewer.pools.list_pools()

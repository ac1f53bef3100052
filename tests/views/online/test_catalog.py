"""What can be looked up by name: services by version, features by view."""

import pytest

from foldstore.errors import NotFoundError, UsageError
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.online.catalog import OnlineCatalog
from tests.views.online.rides import driver_view, open_view, ride_table

ROWS = [{"driver": "a", "ts": 0, "x": 1, "s": "one"}]


@pytest.fixture
def catalog(tmp_path):
    reader = open_view(ride_table(ROWS), driver_view(), tmp_path)
    made = OnlineCatalog()
    made.add(FeatureService("svc", [reader.view[["x"]]]), 1, [reader])
    made.add(FeatureService("svc", [reader.view[["s"]]]), 2, [reader])
    return made


def test_a_name_alone_is_the_latest_version(catalog):
    assert catalog.services == ["svc@1", "svc@2"]
    assert catalog.get_online_features("svc", {"driver": ["a"]}, 0).to_dict() == {"driver": ["a"], "s": ["one"]}
    assert catalog.get_online_features("svc@1", {"driver": ["a"]}, 0).to_dict() == {"driver": ["a"], "x": [1]}
    assert catalog.find("svc") is catalog.find("svc@2")


def test_a_service_keeps_the_views_that_it_was_added_with(catalog, tmp_path):
    newer = open_view(ride_table([*ROWS, {"driver": "a", "ts": 1, "x": 2}]), driver_view(), tmp_path)
    catalog.add(FeatureService("svc", [newer.view[["x"]]]), 3, [newer])
    assert catalog.get_online_features("svc@1", {"driver": ["a"]}, 10**9).to_dict()["x"] == [1]
    assert catalog.get_online_features("svc@3", {"driver": ["a"]}, 10**9).to_dict()["x"] == [2]


def test_features_are_answered_in_the_order_asked(catalog):
    found = catalog.get_features(["stats:s", "stats:x"], [{"driver": "a"}], 0, full_feature_names=True)
    assert found.names == ["stats__s", "stats__x"]
    assert found.service is None


@pytest.mark.parametrize("name", ["nope", "svc@3", "svc@main", "svc#train"])
def test_what_is_not_served_is_not_found(catalog, name):
    with pytest.raises(NotFoundError, match="no feature service") as caught:
        catalog.find(name)
    assert "svc@1" in caught.value.hint


@pytest.mark.parametrize("features", [[], "stats:x", ["stats"], [":x"], ["stats:"], [7]])
def test_features_that_are_none_are_refused(catalog, features):
    with pytest.raises(UsageError):
        catalog.get_features(features, [{"driver": "a"}], 0)

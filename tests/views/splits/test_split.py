"""Split specifications: what they accept, what identifies them."""

import dataclasses
import datetime as dt
import json
from fractions import Fraction

import pytest

from foldstore.errors import InvalidNameError, UsageError
from foldstore.views.splits.split import SplitSpec


def hashed(**changes):
    return SplitSpec(**({"name": "by_tail", "dataset": "flights", "key": ["id"]} | changes))


def timed(**changes):
    given = {"name": "by_month", "dataset": "flights", "by_time": "departs", "boundaries": ["2013-10-01", "2013-11-01"]}
    return SplitSpec(**(given | changes))


def test_shares_are_the_decimals_that_were_typed():
    assert hashed(train=0.7, validation=0.15, test=0.15).shares == (Fraction(7, 10), Fraction(3, 20), Fraction(3, 20))
    assert hashed().shares == (Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))
    assert sum(hashed(train=1 / 3, validation=1 / 3, test=1 / 3).shares) == 1
    assert hashed(train=0.5).shares == (Fraction(1, 2), 0, 0)


def test_the_same_split_in_other_words_has_the_same_hash():
    assert hashed(train=0.7, test=0.3).hash == hashed(train="7/10", test="0.30").hash
    assert timed(purge="24h").hash == timed(purge="1d", boundaries=["2013-10-01T00:00:00Z", "2013-11-01"]).hash


def test_any_change_changes_the_hash():
    changed = [
        hashed(name="x"), hashed(dataset="x"), hashed(train=0.5, test=0.5), hashed(key=["a"]), hashed(group_by=["a"]),
        hashed(stratify="a"), hashed(duplicates=["a"]), hashed(seed=1), timed(), timed(purge="1d"), timed(embargo="1d"),
        timed(by_time="lands"), timed(boundaries=["2013-10-01"]),
    ]  # fmt: skip
    assert len({spec.hash for spec in [hashed(), *changed]}) == len(changed) + 1


def test_the_hash_of_a_specification_is_golden():
    spec = hashed(train=0.7, validation=0.15, test=0.15, group_by=["tailnum"], stratify="late", seed=7)
    assert spec.hash == "690a7ab142c9b69f53fb1b6835042ad802573ae92b520567164ceacd0fc776db"
    assert timed(purge="1d").hash == "25ac97503b5332ae461c753636da3d5ab3122480d8e1c6cc15d06c04da481827"


@pytest.mark.parametrize("spec", [hashed(train=0.1, group_by=["a", "b"], duplicates=["c"]), timed(embargo="1h")])
def test_a_specification_survives_being_written_as_json(spec):
    again = SplitSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.hash == spec.hash


def test_a_specification_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        hashed().seed = 2


@pytest.mark.parametrize("name", ["train", "latest", "a.b", "../x", "A", ""])
def test_split_names_follow_the_grammar(name):
    with pytest.raises(InvalidNameError):
        hashed(name=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hashed(train=0.9, test=0.2), "add up to 1.1"),
        (lambda: hashed(train=0, test=0), "add up to 0"),
        (lambda: hashed(train=-0.1), "not a share"),
        (lambda: hashed(train="most"), "not a share"),
        (lambda: hashed(train=float("nan")), "not a share"),
        (lambda: hashed(train=True), "not a share"),
        (lambda: hashed(key=[]), "tell rows apart"),
        (lambda: hashed(key="id"), "list of columns"),
        (lambda: hashed(key=["id", "id"]), "twice"),
        (lambda: hashed(seed=-1), "not a seed"),
        (lambda: hashed(seed=1.5), "not a seed"),
        (lambda: hashed(boundaries=["2013-10-01"]), "belong to a split by time"),
        (lambda: hashed(purge="1d"), "belong to a split by time"),
        (lambda: timed(train=0.7), "takes no train"),
        (lambda: timed(group_by=["a"]), "takes no group_by"),
        (lambda: timed(stratify="a"), "takes no stratify"),
        (lambda: timed(boundaries=[]), "one or two boundaries"),
        (lambda: timed(boundaries=["2013-11-01", "2013-10-01"]), "the earlier first"),
        (lambda: timed(boundaries=["2013-11-01", "2013-11-01T00:00:00Z"]), "the earlier first"),
        (lambda: timed(boundaries=["soon"]), "not an instant"),
    ],
)
def test_a_contradiction_is_refused_with_a_hint(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert error.value.hint


@pytest.mark.parametrize("damaged", [{}, {"format": 2, "algorithm": "split/v1"}, hashed().to_dict() | {"nothing": 1}])
def test_foreign_definitions_are_refused(damaged):
    with pytest.raises(UsageError, match=r"definition of a split|not known"):
        SplitSpec.from_dict(damaged)


@pytest.mark.parametrize("boundaries", [[1, 2], [1.5], [True], [None], [b"2013-10-01"], "2013-10-01", 5, None])
def test_boundaries_are_a_list_of_instants_never_plain_numbers(boundaries):
    with pytest.raises(UsageError, match="instant") as error:
        SplitSpec("s", dataset="d", by_time="ts", boundaries=boundaries)
    assert "2013-10-01" in (error.value.hint or "")


def test_boundaries_are_text_datetimes_or_dates():
    made = {
        SplitSpec("s", dataset="d", by_time="ts", boundaries=[boundary]).hash
        for boundary in ("2013-10-01", dt.date(2013, 10, 1), dt.datetime(2013, 10, 1, tzinfo=dt.UTC))
    }
    assert len(made) == 1

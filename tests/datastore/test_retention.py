"""Which versions expire: every rule keeps, a ceiling takes, and what must stay stays."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.retention import (
    UNREACHABLE,
    Line,
    RetentionPolicy,
    Weights,
    choose_expired,
    choose_oldest,
    depths,
    parse_span,
)
from foldstore.errors import UsageError
from foldstore.types import format_time

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _line(number, parent=None, merge=None, status="published", days=0, expired=False):
    return Line(str(number), number, parent, merge, status, format_time(NOW - timedelta(days=days)), expired)


def _chain(count, **more):
    return {str(n): _line(n, str(n - 1) if n > 1 else None, days=count - n, **more) for n in range(1, count + 1)}


def _choose(lines, policy, branches, refs=(), kept=()):
    found = choose_expired(lines, policy, branches=branches, refs=[*branches, *refs], kept=kept, now=NOW)
    return [each.line.number for each in found]


def test_without_a_policy_everything_stays_that_a_ref_reaches():
    assert _choose(_chain(5), RetentionPolicy(), ["5"]) == []
    assert _choose(_chain(5), RetentionPolicy(), ["3"]) == [4, 5]
    assert _choose(_chain(5), RetentionPolicy(), ["3"], refs=["4"]) == [5]


def test_the_last_versions_of_each_branch_stay():
    lines = {**_chain(6), "7": _line(7, "3"), "8": _line(8, "7")}
    assert _choose(lines, RetentionPolicy(keep_last=2), ["6", "8"]) == [1, 2, 3, 4]
    assert _choose(lines, RetentionPolicy(keep_last=3), ["6", "8"]) == [1, 2]
    assert _choose(lines, RetentionPolicy(keep_last=1), ["6", "8"], kept=["2"]) == [1, 3, 4, 5, 7]


def test_what_was_merged_counts_from_the_merge():
    lines = {**_chain(3), "4": _line(4, "1"), "5": _line(5, "3", merge="4")}
    assert depths(lines, ["5"]) == {"5": 0, "3": 1, "4": 1, "2": 2, "1": 2}
    assert _choose(lines, RetentionPolicy(keep_last=2), ["5"]) == [1, 2]


def test_age_and_number_both_keep():
    assert _choose(_chain(6), RetentionPolicy(keep_days=3), ["6"]) == [1, 2, 3]
    assert _choose(_chain(6), RetentionPolicy(keep_days=3, keep_last=5), ["6"]) == [1]


def test_quarantined_versions_stay_until_their_own_rule_says_otherwise():
    lines = {**_chain(2), "3": _line(3, "2", status="quarantined", days=10)}
    assert _choose(lines, RetentionPolicy(keep_last=1, keep_days=1), ["2"]) == [1]
    assert _choose(lines, RetentionPolicy(quarantined_days=7), ["2"]) == [3]
    assert _choose(lines, RetentionPolicy(quarantined_days=30), ["2"]) == []


def test_drafts_stay_and_the_version_that_latest_means_stays():
    lines = {"1": _line(1, days=9), "2": _line(2, "1"), "3": _line(3, "2", status="deprecated")}
    lines["4"] = _line(4, "3", status="draft")
    assert _choose(lines, RetentionPolicy(keep_last=1), ["3"]) == [1]


def test_only_a_number_is_sure_at_once():
    for policy, branches, sure in (
        (RetentionPolicy(keep_last=1), ["2"], True),
        (RetentionPolicy(keep_last=1, keep_days=0.5), ["2"], False),
    ):
        (parting,) = choose_expired(_chain(2), policy, branches=branches, refs=branches, kept=(), now=NOW)
        assert parting.at_once is sure
    (parting,) = choose_expired(_chain(2), RetentionPolicy(), branches=["1"], refs=["1"], kept=(), now=NOW)
    assert (parting.reason, parting.at_once) == (UNREACHABLE, False)


def test_a_ceiling_takes_the_oldest_and_no_more_than_helps():
    lines = list(_chain(5).values())
    policy = RetentionPolicy(max_bytes=100)

    def going(total, last_use):
        return [each.line.number for each in choose_oldest(lines, policy, Weights(total=total, last_use=last_use))]

    assert going(100, {1: 50}) == []
    assert going(140, {1: 20, 2: 20, 3: 50}) == [1, 2]
    assert going(140, {2: 40}) == [1, 2]
    assert going(200, {1: 10}) == [1]
    assert going(200, {}) == []


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_chain_keeps_exactly_the_last_n(count, keep):
    assert _choose(_chain(count), RetentionPolicy(keep_last=keep), [str(count)]) == list(range(1, count - keep + 1))


@pytest.mark.parametrize(
    ("text", "hours"), [("30d", 720), ("12h", 12), ("2w", 336), ("0", 0), (1, 24), (0.5, 12), (timedelta(hours=3), 3)]
)
def test_lengths_of_time_are_read(text, hours):
    assert parse_span(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "-1d", "1y", "1d2h", -1, True, None, "1e9d", timedelta(-1), float("nan")])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(UsageError, match="not a length of time"):
        parse_span(text)


@pytest.mark.parametrize("rule", [{"keep_last": 0}, {"keep_last": True}, {"max_bytes": -1}, {"keep_last": "3"}])
def test_a_rule_that_makes_no_sense_is_refused(rule):
    with pytest.raises(UsageError, match="not a whole number"):
        RetentionPolicy(**rule)

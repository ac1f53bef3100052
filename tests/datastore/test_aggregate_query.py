"""The judgement of queries over sealed outcomes, without running them."""

import json

import pytest

from foldstore.datastore.aggregate_query import (
    Disguise,
    judge_outcome_query,
    mentions_sealed,
    strip_places,
    template_text,
)
from foldstore.datastore.engine import Engine
from foldstore.datastore.outcome_conditions import Moments
from foldstore.errors import InvalidQueryError

SEALED = {"flights": {"arr_delay", "dep_delay"}, "plain": set()}
DISGUISE = Disguise.of("0123")
MOMENTS = Moments("ts", {"flights": "Departs"}.get)
ASKED = "(SELECT TIMESTAMPTZ '2030-01-01' AS ts) a"
KNOWN = f"FROM flights f JOIN {ASKED} ON f.departs <= a.ts"


@pytest.fixture(scope="module")
def tree():
    with Engine(threads=1) as engine:

        def parse(text):
            answer = engine.run_query("SELECT json_serialize_sql($q::VARCHAR) AS tree", {}, {"q": text}).to_arrow()
            return json.loads(answer["tree"][0].as_py())

        yield parse


def judge(tree, text, *, marks_rows=False):
    template = tree(template_text(DISGUISE, 5, marks_rows=marks_rows))
    return judge_outcome_query(tree(text), SEALED, MOMENTS, DISGUISE, template)


def test_the_columns_of_the_outcomes_are_written_anew_and_only_they(tree):
    judged = judge(tree, f"SELECT f.carrier, a.ts, avg(f.arr_delay) AS m {KNOWN} GROUP BY f.carrier, a.ts")
    assert (judged.table, judged.columns) == ("flights", ("arr_delay", "carrier", "departs"))
    written = json.dumps(judged.tree)
    assert '["f", ' not in written
    assert '"arr_delay"' not in written
    assert DISGUISE.column("ARR_DELAY") in written


def test_the_rewritten_query_is_what_one_would_write_by_hand(tree):
    text = f"SELECT f.k, a.ts, sum(f.arr_delay) AS m {KNOWN} WHERE f.dep_delay + 1 > 0 GROUP BY f.k, a.ts"
    judged = judge(tree, text)
    row, value = "of_0123.row_0123", "of_0123.column_0123_arr_delay"
    by_hand = f"""
        SELECT of_0123.column_0123_k AS k, a.ts AS ts,
            CASE WHEN count({row}) = count(DISTINCT {row}) AND count({row}) >= 5
            AND count({value}) >= 5 THEN sum({value}) END AS m
        FROM outcomes_0123 of_0123 JOIN {ASKED} ON of_0123.column_0123_departs <= a.ts
        WHERE TRY(of_0123.column_0123_dep_delay + 1) > 0
        GROUP BY of_0123.column_0123_k, a.ts HAVING count({row}) >= 5"""
    assert strip_places(judged.tree) == strip_places(tree(by_hand))


def test_known_rows_are_told_from_sealed_ones_when_they_are_marked(tree):
    text = f"SELECT a.ts, avg(f.arr_delay) AS m {KNOWN} GROUP BY a.ts"
    assert DISGUISE.sealed_row in json.dumps(judge(tree, text, marks_rows=True).tree)
    assert DISGUISE.sealed_row not in json.dumps(judge(tree, text).tree)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("SELECT carrier, count(*) FROM flights GROUP BY 1", False),
        ("SELECT x FROM (SELECT carrier AS x FROM flights) s ORDER BY x LIMIT 3", False),
        ("SELECT arr_delay FROM plain", True),
        ("SELECT main.flights FROM flights s", True),
        ("SELECT temp.main.s FROM flights s", True),
        ("SELECT flights FROM flights", True),
        ("SELECT s FROM flights s", True),
        ("SELECT * FROM plain", True),
        ("SELECT 1 FROM flights NATURAL JOIN plain", True),
        ("SELECT 1 FROM flights JOIN plain USING (Dep_Delay)", True),
        ("SELECT a FROM flights AS t(a)", True),
    ],
)
def test_whatever_could_mean_a_sealed_column_counts_as_a_mention(tree, text, mentions):
    assert mentions_sealed(tree(text), SEALED) is mentions


def test_a_refusal_says_which_part_and_what_is_allowed(tree):
    with pytest.raises(InvalidQueryError) as caught:
        judge(tree, "SELECT f.carrier, max(f.arr_delay) AS m FROM flights f GROUP BY f.carrier")
    assert caught.value.code == "outcome-query-refused"
    assert "neither a GROUP BY column nor an allowed aggregate" in caught.value.message
    assert "avg, sum, count" in caught.value.hint


def asked(condition, *, items="a.ts, avg(f.arr_delay) AS m", start="flights f", join="JOIN", groups="a.ts, a.other"):
    """Return a query over the times that are asked for, with one condition on the outcomes."""
    times = "(SELECT TIMESTAMPTZ '2030-01-01' AS ts, TIMESTAMPTZ '2031-01-01' AS other, -9 AS shift) a"
    return f"SELECT {items} FROM {times} {join} {start} ON {condition} GROUP BY {groups}"


@pytest.mark.parametrize(
    "condition",
    [
        "f.departs < a.ts",
        "F.Departs <= A.Ts",
        "a.ts > f.departs",
        "a.ts >= f.departs AND f.carrier = 'A'",
        "f.carrier = 'A' AND (f.arr_delay > 15 AND f.departs < a.ts)",
        "f.departs + (f.dep_delay + f.air_time + 20) * INTERVAL 1 MINUTE <= a.ts",
        "(f.dep_delay::DOUBLE + 1.5) * INTERVAL 1 HOUR + f.departs <= a.ts",
        "f.departs + to_minutes(f.dep_delay) + INTERVAL '20 minutes' < a.ts",
        "f.departs BETWEEN a.ts - INTERVAL 3 HOUR AND a.ts",
        "a.ts BETWEEN f.departs AND f.departs + INTERVAL 3 HOUR",
    ],
)
@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
def test_outcomes_up_to_the_time_that_is_asked_for_may_be_read(tree, condition, join):
    assert judge(tree, asked(condition, join=join)).table == "flights"


@pytest.mark.parametrize(
    "condition",
    [
        "f.carrier = 'A'",
        "f.departs >= a.ts AND f.departs < a.ts + INTERVAL 251 MINUTE",
        "f.departs < a.ts + INTERVAL 0 MINUTE",
        "f.departs < a.other",
        "f.departs < TIMESTAMPTZ '2030-01-01'",
        "f.departs > a.ts",
        "a.ts <= f.departs",
        "f.departs = a.ts",
        "f.departs::DATE = a.ts",
        "f.departs::DATE <= a.ts",
        "f.departs <= a.ts::DATE",
        "f.planned <= a.ts",
        "f.dep_delay * INTERVAL 1 MINUTE <= a.ts",
        "f.departs - INTERVAL 251 MINUTE <= a.ts",
        "f.departs - f.dep_delay * INTERVAL 1 MINUTE <= a.ts",
        "f.departs + (f.dep_delay - 251) * INTERVAL 1 MINUTE <= a.ts",
        "f.departs + -251 * INTERVAL 1 MINUTE <= a.ts",
        "f.departs + INTERVAL (-251) MINUTE <= a.ts",
        "f.departs + INTERVAL '-251' MINUTE <= a.ts",
        "f.departs + INTERVAL '-251 minutes' <= a.ts",
        "f.departs + INTERVAL '251 minutes ago' <= a.ts",
        "f.departs + '1 day 251 minutes ago'::INTERVAL <= a.ts",
        "f.departs + to_minutes(-251) <= a.ts",
        "f.departs + a.shift * INTERVAL 1 HOUR <= a.ts",
        "f.departs BETWEEN a.ts AND a.other",
        "f.departs BETWEEN a.ts AND a.ts + INTERVAL 1 HOUR",
    ],
)
def test_a_window_that_is_open_above_or_looks_ahead_is_refused(tree, condition):
    text = asked(condition, groups="a.ts, a.other, a.shift")
    with pytest.raises(InvalidQueryError) as caught:
        judge(tree, text)
    assert caught.value.code == "outcome-query-refused"
    assert "no condition keeps its outcomes before a.ts" in caught.value.message
    assert "f.Departs + 90 * INTERVAL 1 MINUTE <= a.ts" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT a.ts, avg(f.arr_delay) AS m FROM flights f, {ASKED}, (plain p LEFT JOIN plain q ON f.departs <= a.ts) "
        "GROUP BY a.ts",
        f"SELECT a.ts, avg(f.arr_delay) AS m FROM flights f, {ASKED}, "
        "(plain o LEFT JOIN (plain p JOIN plain q ON f.departs <= a.ts) ON 1 = 1) GROUP BY a.ts",
    ],
)
def test_a_condition_that_chooses_rows_of_other_relations_bounds_nothing(tree, text):
    with pytest.raises(InvalidQueryError, match="no condition keeps"):
        judge(tree, text)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("avg(f.arr_delay) AS m", "no GROUP BY column ts"),
        ("a.ts AS asked, avg(f.arr_delay) AS m", "no GROUP BY column ts"),
        ("a.other, avg(f.arr_delay) AS ts", "no GROUP BY column ts"),
        ("a.other AS ts, avg(f.arr_delay) AS m", "before a.other"),
        ("a.ts, a.other AS TS, avg(f.arr_delay) AS m", "one name"),
    ],
)
def test_the_bound_is_the_very_column_that_the_answer_calls_its_time(tree, items, said):
    with pytest.raises(InvalidQueryError, match=said):
        judge(tree, asked("f.departs <= a.ts", items=items))


def test_outcomes_without_an_event_time_are_not_read(tree):
    template = tree(template_text(DISGUISE, 5, marks_rows=False))
    timeless = Moments("ts", lambda _: None)
    with pytest.raises(InvalidQueryError, match="flights has no event time"):
        judge_outcome_query(tree(asked("f.departs <= a.ts")), SEALED, timeless, DISGUISE, template)

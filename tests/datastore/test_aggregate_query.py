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
from foldstore.errors import InvalidQueryError

SEALED = {"flights": {"arr_delay", "dep_delay"}, "plain": set()}
DISGUISE = Disguise.of("0123")


@pytest.fixture(scope="module")
def tree():
    with Engine(threads=1) as engine:

        def parse(text):
            answer = engine.run_query("SELECT json_serialize_sql($q::VARCHAR) AS tree", {}, {"q": text}).to_arrow()
            return json.loads(answer["tree"][0].as_py())

        yield parse


def judge(tree, text, *, marks_rows=False):
    template = tree(template_text(DISGUISE, 5, marks_rows=marks_rows))
    return judge_outcome_query(tree(text), SEALED, DISGUISE, template)


def test_the_columns_of_the_outcomes_are_written_anew_and_only_they(tree):
    judged = judge(tree, "SELECT f.carrier, avg(f.arr_delay) AS m FROM flights f GROUP BY f.carrier")
    assert (judged.table, judged.columns) == ("flights", ("arr_delay", "carrier"))
    written = json.dumps(judged.tree)
    assert '["f", ' not in written
    assert '"arr_delay"' not in written
    assert DISGUISE.column("ARR_DELAY") in written


def test_the_rewritten_query_is_what_one_would_write_by_hand(tree):
    judged = judge(tree, "SELECT f.k, sum(f.arr_delay) AS m FROM flights f WHERE f.dep_delay + 1 > 0 GROUP BY f.k")
    row, value = "of_0123.row_0123", "of_0123.column_0123_arr_delay"
    by_hand = f"""
        SELECT of_0123.column_0123_k AS k, CASE WHEN count({row}) = count(DISTINCT {row}) AND count({row}) >= 5
            AND count({value}) >= 5 THEN sum({value}) END AS m
        FROM outcomes_0123 of_0123 WHERE TRY(of_0123.column_0123_dep_delay + 1) > 0
        GROUP BY of_0123.column_0123_k HAVING count({row}) >= 5"""
    assert strip_places(judged.tree) == strip_places(tree(by_hand))


def test_known_rows_are_told_from_sealed_ones_when_they_are_marked(tree):
    text = "SELECT avg(arr_delay) AS m FROM flights"
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

"""Conditions: what parses, what one text all spellings share, and where a refusal points."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foldstore.errors import FoldstoreError, UsageError
from foldstore.validation.pools.condition import (
    Clause,
    Condition,
    LinearScore,
    Sense,
    decimal_text,
    parse_condition,
)

DEMO = "n - o > 0 +/- 0.01 /\\ d < 0.12 +/- 0.01"


@pytest.mark.parametrize(
    "spelling",
    [
        DEMO,
        "n-o>0+/-.01/\\d<.12+/-.01",
        "d < 0.12 +/- 0.01 and n - o > 0 +/- 0.01",
        "n - o >= 0 ± 0.010 & d <= 0.120 ± 1e-2",
        "n > o +/- 0.01 /\\ 0.12 > d +/- 0.01",
        "0 > o - n +/- 0.01 /\\ -d > -0.12 +/- 0.01",
        "2*n - o*2 > 0 +/- 0.02 /\\ 100 d < 12 +/- 1",
        "n - 1 o > 0 +/- 1/100 /\\ d < 3/25 +/- 0.01",
        DEMO + " /\\ " + DEMO,
    ],
)
def test_every_spelling_of_a_condition_has_one_canonical_form(spelling):
    assert parse_condition(spelling) == parse_condition(DEMO)
    assert str(parse_condition(spelling)) == DEMO


def test_a_different_tolerance_is_a_different_condition():
    assert parse_condition("n > 0.8 +/- 0.05") != parse_condition("n > 0.8 +/- 0.06")


def test_bounds_that_are_no_decimals_keep_their_value():
    clause = parse_condition("3*n > 1 +/- 0.1").clauses[0]
    assert clause.bound == Fraction(1, 3)
    assert parse_condition(str(clause)).clauses[0] == clause


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 0, "the condition ends too early"),
        ("n", 1, "a comparison"),
        ("n >", 3, "the condition ends too early"),
        ("n > 0.8 +/-", 11, "the condition ends too early"),
        ("n > 0.8 +/- 0", 12, "greater than 0"),
        ("n > 0.8 +/- -1", 12, "a number belongs here"),
        ("n - o >> 0.02", 7, "a number belongs here"),
        ("n > 0.8 || d < 0.1", 8, "'or' cannot be tested"),
        ("n > 0.8 d < 0.1", 10, "a clause ends before this"),
        ("accuracy > 0.8", 0, "not a variable"),
        ("n / o > n", 0, "compared with a number"),
        ("n / o > 0 +/- 0.1", 0, "always greater than 0"),
        ("2*n / o > 1.1", 4, "stands alone"),
        ("n / o + d > 1.1", 6, "stands alone"),
        ("n/2 > 0.4", 2, "0.5\\*n"),
        ("n / f1(n) > 1", 4, "no place in a ratio"),
        ("recal(n) > 0.8", 0, "no metric"),
        ("f1 > 0.8", 0, "not a variable"),
        ("f1() > 0.8", 3, "whose"),
        ("f1(m) > 0.8", 3, "whose"),
        ("f1(n > 0.8", 5, "closed with \\)"),
        ("acc(n = 3) > 0.8", 6, "has no class"),
        ("f1(n = cat) > 0.8", 7, "a value belongs here"),
        ("precision(n) > recall(n)", 0, "stand alone"),
        ("n[a = 1] > o", 0, "one slice"),
        ("n[a = 1 > 0.5", 8, "closed with \\]"),
        ("n[a 'x'] > 0.5", 4, "belongs here"),
        ("n[a > 'x'] > 0.5", 6, "only numbers"),
        ("n[= 'x'] > 0.5", 2, "name of a column"),
        ("n[a = 'x] > 0.5", 6, "never closed"),
        ("n * n > 0.5", 4, "a number belongs here"),
        ("0.5 > 0.2", 0, "none of n, o and d"),
        ("n - n > 0.2", 0, "none of n, o and d"),
        ("n > 1/0", 6, "divided by 0"),
        ("n == 0.8", 2, "a comparison"),
        ("n > 0.8; import os", 7, "no meaning"),
        ("n > \x00", 4, "no meaning"),
        ("n > 0.1234567890123456789", 4, "at most 18 digits"),
        ("n > 1e999", 5, "not a variable"),
    ],
)
def test_a_refusal_points_at_the_character(text, position, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse_condition(text)
    assert caught.value.code == "invalid-condition"
    assert caught.value.facts["position"] == position
    caret = caught.value.message.splitlines()[-1]
    assert caret == "    " + " " * position + "^"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("n > -0.1 +/- 0.01", "always"),
        ("n > 1 +/- 0.01", "never"),
        ("d < 0 +/- 0.01", "never"),
        ("d < 1.5 +/- 0.01", "always"),
        ("n - o > 1 +/- 0.1", "never"),
        ("n - o > -1.5 +/- 0.1", "always"),
        ("n - d > 1 +/- 0.1", "never"),
    ],
)
def test_a_clause_that_always_or_never_holds_is_refused(text, word):
    with pytest.raises(UsageError, match=f"{word} holds") as caught:
        parse_condition(text)
    assert caught.value.code == "invalid-condition"


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("accuracy(n) > .8", "n > 0.8"),
        ("acc(n, b = 2 and a='x') >= .8 ± .01", "n[a = 'x', b = 2] > 0.8 +/- 0.01"),
        ("error(n) < 0.1 +/- .01", "n > 0.9 +/- 0.01"),
        ("error(n) < error(o) - 0.02 +/- .01", "n - o > 0.02 +/- 0.01"),
        ("n / o > 1.1 +/- 0.01", "10*n - 11*o > 0 +/- 0.1"),
        ("0.5 > d/n", "n - 2*d > 0"),
        ("error(n) / error(o) < 0.9 +/- .01", "10*n - 9*o > 1 +/- 0.1"),
        ('n["a b" != true] / o["a b" != TRUE] > 1 +/- .1', 'n["a b" != true] - o["a b" != true] > 0 +/- 0.1'),
        ("f1(n = 'it''s') > .8", "f1(n = 'it''s') > 0.8"),
        ("0.8 < recall(o = true, x ≥ -1.50)", "recall(o, x >= -1.5) > 0.8"),
        ("2*precision(n = 3) - 1 > .6 +/- .02", "precision(n = 3) > 0.8 +/- 0.01"),
        ("-f1(n) > -.8", "f1(n) < 0.8"),
    ],
)
def test_metrics_ratios_and_slices_have_one_canonical_form(spelling, canonical):
    assert str(parse_condition(spelling)) == canonical
    assert parse_condition(canonical) == parse_condition(spelling)


@pytest.mark.parametrize(
    "text", ["f1(n) > 1 +/- .1", "recall(o) < 0", "precision(n = 'a') > 1.2", "n/o < 0.5 /\\ d < 0"]
)
def test_a_metric_outside_its_range_never_holds(text):
    with pytest.raises(UsageError, match="never holds"):
        parse_condition(text)


def test_overlong_text_and_other_types_are_refused():
    with pytest.raises(UsageError, match="at most 1,000 characters"):
        parse_condition("n > 0.5 /\\ " * 200)
    with pytest.raises(UsageError, match="is text"):
        parse_condition(None)


def test_the_range_of_a_score_comes_from_what_a_row_can_show():
    # n - d is 1 at most where both are right, and -1 at least where only the old one is.
    assert LinearScore(new=1, differing=-1).range == (-1, 1)
    assert LinearScore(new=1, old=-1).range == (-1, 1)
    assert LinearScore(new=1, old=1, differing=1).range == (0, 2)


@given(st.text(alphabet="nod0123456789.+-*/<>=&\\±eE ()[]'\",!f|and^_x", max_size=40))
def test_any_text_parses_or_is_refused_in_words(text):
    condition, refusal = attempt(text)
    if refusal is None:
        assert parse_condition(str(condition)) == condition
    else:
        assert refusal.code == "invalid-condition"
        assert refusal.hint


def attempt(text):
    """The condition, or the refusal."""
    try:
        return parse_condition(text), None
    except FoldstoreError as error:
        return None, error


factors = st.integers(-9, 9)
numbers = st.fractions(min_value=-2, max_value=2, max_denominator=1000)


@given(
    st.tuples(factors, factors, factors).filter(any),
    st.sampled_from("<>"),
    numbers,
    st.fractions(min_value=Fraction(1, 1000), max_value=1, max_denominator=1000),
    st.integers(1, 50),
)
def test_scaling_or_negating_a_clause_changes_nothing(terms, sense, bound, tolerance, scale):
    def write(multiple, comparison):
        total = " + ".join(f"{abs(f * multiple)}*{v}" for f, v in zip(terms, "nod", strict=True) if f * multiple > 0)
        rest = "".join(f" - {abs(f * multiple)}*{v}" for f, v in zip(terms, "nod", strict=True) if f * multiple < 0)
        value = bound * multiple
        right = f"-{abs(value)}" if value < 0 else str(value)
        return f"{total or 0}{rest} {comparison} {right} +/- {tolerance * abs(multiple)}"

    opposite = {"<": ">", ">": "<"}[sense]
    plain, refusal = attempt(write(1, sense))
    assume(refusal is None)
    assert parse_condition(write(scale, sense)) == plain
    assert parse_condition(write(-scale, opposite)) == plain


@given(st.fractions(max_denominator=10**6))
def test_a_number_survives_its_text(value):
    text = decimal_text(value)
    assert Fraction(text) == value
    assert "e" not in text


def test_clauses_are_ordered_and_never_repeated():
    one = Clause(score=LinearScore(differing=1), sense=Sense.BELOW, bound=Fraction(1, 10))
    two = Clause(score=LinearScore(new=1), sense=Sense.ABOVE, bound=Fraction(1, 2))
    assert Condition((one, two, one)).clauses == (two, one)
    assert Condition((one, two)).difference_clause() == one
    assert Condition((two,)).needs_labels
    assert not Condition((one,)).needs_labels

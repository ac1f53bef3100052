import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import InvalidNameError
from foldstore.names import Address, check_name, check_ref_name, check_split_name, parse_address

HOSTILE = [
    "", ".", "..", "a/b", "../x", "a\\b", "a b", "A", "é", "a%2fb", "a\x00", "a\n", "-a", "_a", ".a", "a..b", "x" * 101,
    "train", "latest", "foldstore.versions", None, 3, b"a", "a;b", "a'b", 'a"b', "a#b", "a@b", "C:", "\u202ex",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_outside_the_grammar_is_refused(name):
    with pytest.raises(InvalidNameError) as caught:
        check_name(name)
    assert caught.value.code == "invalid-name"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a", "0", "flights", "my-data_2.v1", "x" * 100])
def test_a_name_inside_the_grammar_is_returned(name):
    assert check_name(name) == name


@given(st.text(max_size=120))
def test_what_is_accepted_can_stand_in_a_path_and_a_url(text):
    try:
        check_name(text)
    except InvalidNameError:
        return
    assert text.isascii()
    assert not set(text) & set("/\\%#?@:;'\" \x00\n")
    assert ".." not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flights", Address("flights")),
        ("flights@3", Address("flights", "3")),
        ("flights@champion", Address("flights", "champion")),
        ("flights@3#by_month.train", Address("flights", "3", "by_month", "train")),
        ("flights#train", Address("flights", "latest", "default", "train")),
        ("flights@latest#by_month", Address("flights", "latest", "by_month", None)),
    ],
)
def test_an_address_is_taken_apart_and_written_again(text, expected):
    address = parse_address(text)
    assert address == expected
    assert parse_address(str(address)) == expected


@pytest.mark.parametrize(
    "text",
    ["flights@0", "flights@01", "flights@", "@3", "f@3#", "f@3#a.b", "f@3#a.b.c", "f@1@2", "f@" + "9" * 30, 7, None],
)
def test_an_address_outside_the_grammar_is_refused(text):
    with pytest.raises(InvalidNameError):
        parse_address(text)


def test_refs_may_not_read_as_numbers_and_splits_hold_no_dot():
    with pytest.raises(InvalidNameError, match="reads as a version number"):
        check_ref_name("12")
    with pytest.raises(InvalidNameError, match="holds a dot"):
        check_split_name("by.month")


@pytest.mark.parametrize(
    ("text", "meant", "reason"),
    [
        ('"flights@3#by_month.train"', "flights@3#by_month.train", "quotes"),
        ("'flights@3'#by_month.train", "flights@3#by_month.train", "quotes"),
        ("\u201cflights@3\u201d", "flights@3", "quotes"),
        ("flights@3 #x", "flights@3#x", "spaces"),
        (" flights@3", "flights@3", "spaces"),
        ("flights@3\u200b#x", "flights@3#x", "spaces, seen or unseen"),
        ("\u202eflights", "flights", "spaces, seen or unseen"),
        ("Flights@3#By_Month.Train", "flights@3#by_month.train", "lower case"),
        ("fl\u0456ghts@3", "flights@3", "CYRILLIC SMALL LETTER"),
        ("\u0421v@3", "cv@3", "CYRILLIC CAPITAL LETTER ES"),
        ("flights\uff203\uff03x.train", "flights@3#x.train", "FULLWIDTH COMMERCIAL AT"),
        ("flights@3\u266fx", "flights@3#x", "MUSIC SHARP SIGN"),
        ("flights@3#by\u2013month", "flights@3#by-month", "EN DASH"),
        ("flights%403%23x", "flights@3#x", "percent-encoded"),
        ("flights#by_month@3.train", "flights@3#by_month.train", "version stands before the split"),
    ],
)
def test_an_address_in_odd_quoting_is_answered_with_what_was_meant(text, meant, reason):
    with pytest.raises(InvalidNameError, match="is not an address") as error:
        parse_address(text)
    assert error.value.hint.startswith(f"Did you mean {meant!r}?")
    assert reason in error.value.hint
    assert error.value.message.isascii()
    assert parse_address(meant)


def test_a_name_in_upper_case_is_answered_with_the_one_in_lower_case():
    with pytest.raises(InvalidNameError, match="'Flights' is not a valid dataset name") as error:
        check_name("Flights")
    assert error.value.hint.startswith("Did you mean 'flights'? Names are lower case. Use 1 to 100")


def test_a_part_that_is_none_is_answered_with_the_parts():
    with pytest.raises(InvalidNameError, match="'tset' is not a part") as error:
        parse_address("flights@3#by_month.tset")
    assert error.value.hint.startswith("Did you mean 'test'?")


@given(st.text(max_size=60))
def test_what_a_hint_suggests_is_always_inside_the_grammar(text):
    try:
        parse_address(text)
    except InvalidNameError as error:
        hint = error.hint or ""
        if hint.startswith("Did you mean '") and "is not an address" in error.message:
            assert parse_address(hint.split("'")[1])

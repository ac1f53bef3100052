"""Near duplicates (`near/v1`): tokens and signatures that never change, and pairs against a loop over all rows."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.splits.minhash import BINS, sign
from foldstore.views.splits.near import bands, find_near
from foldstore.views.splits.token_sets import TokenSets
from foldstore.views.splits.tokens import iterate_blocks, mix, read_tokens

MASK = 2**64 - 1


def mix_one(word):
    word = (word + 0x9E3779B97F4A7C15) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def trigrams(text, place=0):
    """The tokens of a text in plain Python."""
    folded = unicodedata.normalize("NFKC", text.replace("\0", " ")).casefold()
    words = f" {' '.join(folded.split())} " if folded.split() else ""
    packed = [sum(ord(letter) << 21 * n for n, letter in enumerate(words[i : i + 3])) for i in range(len(words) - 2)]
    return [mix_one((each + 0x9E3779B97F4A7C15 * place) & MASK) for each in packed]


def token_lists(*columns):
    tokens = read_tokens(
        [column if isinstance(column, pa.Array) else pa.array(column, pa.string()) for column in columns]
    )
    found = [[] for _ in range(tokens.count)]
    for row, token in zip(tokens.rows.tolist(), tokens.hashes.tolist(), strict=True):
        found[row].append(token)
    return found


# Characters that every Unicode since 5.0 has: newer ones mean nothing to an older Python.
letters = st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs", "Cn", "Co"))
texts = st.none() | st.text(st.sampled_from("abcA \t\n\0é\u00a0ﬁßİΣς\u0301\u2028") | letters, max_size=12)


@given(st.lists(texts, max_size=8), st.lists(texts, max_size=8))
def test_tokens_are_the_trigrams_of_the_folded_text(first, second):
    rows = min(len(first), len(second))
    expected = [trigrams(a or "") + trigrams(b or "", 1) for a, b in zip(first, second, strict=False)]
    found = token_lists(first[:rows], second[:rows])
    assert [sorted(each) for each in found] == [sorted(each) for each in expected]


def test_tokens_are_golden():
    tokens = read_tokens([pa.array(["ab", "Straße"]), pa.array([7, None])])
    assert [f"{token:016x}" for token in tokens.hashes[:3].tolist()] == [
        "916dbe347e2e4b48",
        "01db45d2fedcf4eb",
        "0b56ed8280d47331",
    ]
    assert f"{int(np.bitwise_xor.reduce(tokens.hashes)):016x}" == "766998c8f747c77b"
    assert tokens.rows.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0]


def test_equal_texts_in_other_forms_have_equal_tokens():
    forms = [
        "Straße im  Tal",
        " STRASSE\tim tal ",
        "\uff53\uff54\uff52\uff41\uff53\uff53\uff45 im\u00a0Tal",
        "strasse im tal\n",
    ]
    assert len({tuple(each) for each in token_lists(forms)}) == 1
    encoded = pa.array(forms).dictionary_encode()
    assert len({tuple(each) for each in token_lists(encoded)}) == 1


def test_other_values_have_one_token_each_and_nulls_none():
    column = pa.array([1.5, None, 1.5, float("nan")])
    found = token_lists(["", None, " ", ""], column)
    assert [len(each) for each in found] == [1, 0, 1, 1]
    assert found[0] == found[2] != found[3]
    assert token_lists(column, [""] * 4)[0] != found[0]  # the same value of another column is another token


def sign_one(tokens):
    """One-permutation MinHash with densification, bin by bin."""
    bins = [None] * BINS
    for token in tokens:
        place, rest = token >> 58, min((token >> 26) & 0xFFFFFFFF, 0xFFFFFFFE)
        bins[place] = rest if bins[place] is None else min(bins[place], rest)
    filled = list(bins)
    for place in range(BINS):
        if bins[place] is None and tokens:
            asked = [mix_one(BINS * attempt + place) >> 58 for attempt in range(1, 33)]
            asked += [(place + step) % BINS for step in range(1, BINS)]
            filled[place] = next(bins[other] for other in asked if bins[other] is not None)
    return [None if each is None else each & 0xFF for each in filled]


@given(st.lists(st.lists(st.integers(0, MASK), max_size=80), min_size=1, max_size=5))
@settings(max_examples=40)
def test_signatures_are_those_of_a_loop(rows):
    from foldstore.views.splits.tokens import Tokens

    flat = np.array([token for row in rows for token in row], dtype=np.uint64)
    numbers = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    signed = sign(Tokens(flat, numbers, len(rows)))
    for place, row in enumerate(rows):
        assert int(signed.full[place]) == len({token >> 58 for token in row})
        assert int(signed.contents[place]) == sum(row) & MASK
        if row:
            assert signed.bins[place].tolist() == sign_one(row)


def test_a_signature_is_golden():
    signed = sign(read_tokens([pa.array(["The quick brown fox jumps over the lazy dog"])]))
    assert signed.bins[0].tobytes().hex() == (
        "deef1612921b1b1ef01eba6cadea39de92439a16d4dc209fca1ebddcef8a749a"
        "439afe12431e9a1bc257debad4ea43928abaefd41ecaad402e2e1bbdfecaeaba"
    )


def test_signatures_estimate_the_similarity():
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(300):
        common, own = rng.integers(10, 80), rng.integers(0, 30)
        tokens = rng.integers(0, 2**64, common + 2 * own, dtype=np.uint64, endpoint=False)
        left, right = tokens[: common + own], np.concatenate([tokens[:common], tokens[common + own :]])
        from foldstore.views.splits.tokens import Tokens

        numbers = np.concatenate([np.zeros(len(left), np.int64), np.ones(len(right), np.int64)])
        signed = sign(Tokens(np.concatenate([left, right]), numbers, 2))
        agree = (signed.bins[0] == signed.bins[1]).mean()
        errors.append((agree - 1 / 256) / (1 - 1 / 256) - common / (common + 2 * own))
    assert abs(float(np.mean(errors))) < 0.01
    assert float(np.std(errors)) < 0.08


word = st.sampled_from(["red", "car", "a", "fast", "the", "blue", "cars", "house", "in", "rain"])
sentences = st.lists(word, max_size=7).map(" ".join)


@given(st.lists(sentences, max_size=14), st.sampled_from([0.5, 0.6, 0.8, 0.9, 1.0]))
@settings(max_examples=60)
def test_what_is_called_alike_is_alike_and_what_is_missed_is_rare(values, similarity):
    alike = find_near([pa.chunked_array([values], pa.string())], similarity)
    sets = [set(trigrams(value)) for value in values]
    pairs = {tuple(pair) for pair in alike.pairs.tolist()}
    for place, own in enumerate(sets):
        assert (alike.labels[place] < 0) == (not own)
        for other in range(place):
            if not own or not sets[other]:
                continue
            labels = tuple(sorted((int(alike.labels[place]), int(alike.labels[other]))))
            exact = len(own & sets[other]) / len(own | sets[other])
            if labels in pairs:
                assert exact >= similarity
            elif labels[0] == labels[1]:
                assert exact == 1


def make_titles(count, rng):
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(3_000)]
    return [" ".join(rng.choice(words, 9))[:50] for _ in range(count)]


@pytest.mark.parametrize("similarity", [0.6, 0.8, 0.9])
def test_nearly_all_near_duplicates_among_thousands_are_found(similarity):
    rng = np.random.default_rng(11)
    titles = make_titles(4_000, rng)
    wanted = set()
    for place in range(1_000):
        changed = list(titles[place])
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(0, len(changed))] = "x"
        titles.append("".join(changed))
        a, b = set(trigrams(titles[place])), set(trigrams(titles[-1]))
        if len(a & b) / len(a | b) >= similarity:
            wanted.add((place, len(titles) - 1))
    alike = find_near([pa.chunked_array([titles])], similarity)
    found = {tuple(pair) for pair in alike.pairs.tolist()}
    labels = alike.labels.tolist()
    there = [pair for pair in wanted if tuple(sorted((labels[pair[0]], labels[pair[1]]))) in found]
    assert len(wanted) > 30
    assert len(there) >= 0.98 * len(wanted)


def test_a_crowd_of_equal_and_nearly_equal_texts_is_one_component():
    rng = np.random.default_rng(2)
    base = "one text of fifty letters that everybody has copied"
    texts = [base] * 500 + [base[:n] + "#" + base[n + 1 :] for n in rng.integers(0, len(base), 500)]
    alike = find_near([pa.chunked_array([texts])], 0.8)
    reached, edges = {int(alike.labels[0])}, alike.pairs.tolist()
    for _ in range(len(edges)):
        reached |= {b for a, b in edges if a in reached} | {a for a, b in edges if b in reached}
        if len(reached) == alike.count:
            break
    assert len(reached) == alike.count


def test_only_pairs_with_a_new_row_are_looked_for():
    texts = pa.chunked_array([["a red car", "a red car!", "blue house", "blue house!"]])
    every = find_near([texts], 0.7)
    assert len(every.pairs) == 2
    new = find_near([texts], 0.7, new=np.array([False, False, False, True]))
    assert {tuple(pair) for pair in new.pairs.tolist()} == {tuple(sorted(new.labels[2:].tolist()))}


def test_bands_find_what_is_just_alike_enough_with_99_percent():
    for similarity in np.linspace(0.5, 1, 26):
        count, size = bands(float(similarity))
        assert count * size <= BINS
        assert 1 - (1 - similarity**size) ** count >= 0.99


@given(st.lists(st.lists(st.sampled_from("abcde "), max_size=40).map("".join), min_size=2, max_size=8))
def test_similarities_of_token_sets_are_exact(values):
    kept = [value for value in values if value.split()]
    pairs = [(a, b) for a in range(len(kept)) for b in range(a)]
    if not pairs:
        return
    sets = TokenSets([pa.array(kept)], np.arange(len(kept)))
    own = [set(trigrams(value)) for value in kept]
    expected = [len(own[a] & own[b]) / len(own[a] | own[b]) for a, b in pairs]
    assert sets.similarities(np.array(pairs)).tolist() == expected


def test_texts_that_are_long_are_compared_a_few_at_a_time():
    rng = np.random.default_rng(0)
    long = ["".join(map(chr, 0x4E00 + 300 * n + rng.integers(0, 300, 60_000))) for n in range(6)]
    texts = [*long, *(text[:-60] for text in long)] * 8
    pairs = np.array([(a, a + 6) for a in range(90)] + [(0, 1)])
    found = TokenSets([pa.array(texts)], np.arange(len(texts))).similarities(pairs)
    assert (found[:90] > 0.99).all()
    assert found[90] == 0


def test_blocks_are_cut_by_rows_and_by_bytes():
    short, long = pa.array(["abc"] * 1_000), pa.array(["x" * 600_000] * 7 + ["y" * 5_000_000])
    assert [len(block[0]) for block in iterate_blocks([short], 300)] == [300, 300, 300, 100]
    assert [len(block[0]) for block in iterate_blocks([long], 4)] == [2, 2, 2, 1, 1]
    assert sum(len(block[0]) for block in iterate_blocks([long, pa.array(range(8))], 3)) == 8


def test_columns_in_any_encoding_and_cut_are_compared_alike():
    texts = ["a red bicycle", "a red bicycles", None, "blue house", "A  red bicycle"]
    columns = [
        pa.chunked_array([texts[:2], texts[2:]], pa.string()),
        pa.chunked_array([texts], pa.large_string()),
        pa.chunked_array([pa.array(texts[:3]).dictionary_encode(), pa.array(texts[3:]).dictionary_encode()]),
    ]
    found = [find_near([column], 0.8) for column in columns]
    assert len({tuple(each.labels.tolist()) for each in found}) == 1
    assert len({tuple(map(tuple, each.pairs.tolist())) for each in found}) == 1
    assert len(found[0].pairs) == 1


def test_no_rows_are_alike_to_nothing():
    alike = find_near([pa.chunked_array([[]], pa.string())], 0.8)
    assert (len(alike.labels), len(alike.pairs), alike.count) == (0, 0, 0)
    assert list(iterate_blocks([pa.array([], pa.string())], 10)) == []


def test_lists_have_no_tokens():
    with pytest.raises(UsageError, match="cannot be a key"):
        find_near([pa.chunked_array([[[1], [2]]])], 0.8)


def test_the_mixer_is_splitmix64():
    words = [0, 1, 2**63, MASK]
    assert mix(np.array(words, np.uint64)).tolist() == [mix_one(word) for word in words]

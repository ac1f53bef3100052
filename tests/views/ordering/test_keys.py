"""Orders of `order/v1` never change: golden vectors, and what makes an order one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.views.ordering.keys import derive_key, mix, permutation, scatter, sequence

SEEDS = st.integers(0, 2**64 - 1)


def test_the_orders_are_the_same_for_ever():
    assert derive_key(0, "blocks", 0, 0) == 12209791613968896447
    assert derive_key(2**64 - 1, "rows", 12, 345) == 8242030818740415438
    assert permutation(10, derive_key(7, "rows", 0, 0)).tolist() == [6, 1, 7, 2, 5, 3, 8, 9, 4, 0]
    assert permutation(5, 0).tolist() == [3, 0, 4, 2, 1]
    assert scatter(np.array([0, 1, 2**63], np.uint64), 42).tolist() == [
        10996452266160306281,
        17824803770701764479,
        3282317854298285729,
    ]


def test_the_words_are_those_of_splitmix64():
    # The first numbers of the reference implementation (Vigna, public domain) for the seed 1234567.
    assert sequence(5, 1234567).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(count=st.integers(0, 3_000), key=SEEDS)
def test_a_permutation_has_each_number_once(count, key):
    assert np.sort(permutation(count, key)).tolist() == list(range(count))


@given(count=st.integers(0, 3_000), key=SEEDS)
def test_a_permutation_is_the_order_of_the_halves_of_its_words(count, key):
    words = sequence(count // 2 + 1, key)
    halves = np.stack([words & np.uint64(2**32 - 1), words >> np.uint64(32)], axis=1).ravel()[:count]
    assert permutation(count, key).tolist() == np.lexsort((np.arange(count), halves)).tolist()


@given(words=st.sets(SEEDS, max_size=200), key=SEEDS)
def test_different_identities_stay_different(words, key):
    given_words = np.array(sorted(words), np.uint64)
    assert len(np.unique(scatter(given_words, key))) == len(words) == len(np.unique(mix(given_words)))


def test_every_order_of_four_comes_equally_often():
    orders, counts = np.unique(
        [permutation(4, derive_key(seed, "rows", 0)) for seed in range(9_600)], axis=0, return_counts=True
    )
    assert len(orders) == 24
    # 400 expected of each, with a standard deviation of 20.
    assert ((counts - 400) ** 2 / 400).sum() < 60


@pytest.mark.parametrize("purpose", ["rows", "blocks", "sample", "sequences"])
def test_a_key_differs_with_each_of_its_parts(purpose):
    keys = {derive_key(seed, purpose, a, b) for seed in range(4) for a in range(4) for b in range(4)}
    assert len(keys) == 64

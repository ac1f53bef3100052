"""The majority-vote attack on a test set (Blum and Hardt 2015): random guesses, turned by what is told of them."""

import numpy as np


def attack_scores(labels, guesses, rng):
    """Turn each guess that scores below one half, and let the majority decide; return its accuracy here and elsewhere.

    Elsewhere are fresh rows, with the same random models: the accuracy that the vote really has.
    """
    kept = (guesses == labels).mean(axis=1) >= 0.5
    fresh = rng.random(guesses.shape) < 0.5, rng.random(len(labels)) < 0.5
    return (majority(guesses, kept) == labels).mean(), (majority(fresh[0], kept) == fresh[1]).mean()


def attack_gate(ask, guesses):
    """Do the same with pass and fail alone; return the vote."""
    return majority(guesses, np.array([ask(guess) for guess in guesses]))


def majority(guesses, kept):
    """Return what most of the guesses say for each row, once those that were not kept are turned."""
    return np.where(kept[:, None], guesses, ~guesses).mean(axis=0) > 0.5

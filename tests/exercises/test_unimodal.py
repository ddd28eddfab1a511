"""The checks of the chapter on one modality accept its solutions, and name the usual mistakes."""

import math

import pytest

from exercises.harness import ExerciseTests
from mmlab.exercises import unimodal

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "tempered": [
        ("(probabilities.log() / temperature).softmax(1)", "probabilities ** (1 / temperature)", "do not sum to one"),
        ("/ temperature", "* temperature", "less sure"),
        ("probabilities.log()", "probabilities", "wants their logarithms"),
        ("softmax(1)", "softmax(0)", "normalised over the items"),
        (".softmax(1)", ".exp()", "do not sum to one"),
        ("/ temperature", "/ temperature**2", "is off"),
    ],
    "coins": [
        ("accuracies.amax(1).mean()", "accuracies.mean()", "luckier"),
        ("accuracies.amax(1).mean()", "100 * accuracies.amax(1).mean()", "not percentages"),
        ("accuracies.amax(1).mean()", "0.5 + 0.05 * math.sqrt(2 * math.log(20))", "Toss the coins"),
        ("on_new_items = 0.5", "on_new_items = best_on_test", "luck is not carried on"),
        ("accuracies.amax(1).mean()", "accuracies.amin(1).mean()", "is off"),
    ],
    "witnesses": [
        ("of_two = best(0.8, 0.7)", "of_two = 0.56", "whom do you follow"),
        ("of_two = best(0.8, 0.7)", "of_two = 0.94", "nobody tells you"),
        ("of_two = best(0.8, 0.7)", "of_two = 0.75", "at random"),
        ("of_two = best(0.8, 0.7)", "of_two = 0.9032", "average over"),
        ("of_three = best(0.8, 0.7, 0.7)", "of_three = 0.8", "outvote"),
        ("of_three = best(0.8, 0.7, 0.7)", "of_three = 0.392", "two are enough"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""


def test_the_best_of_twenty_coins_in_closed_form() -> None:
    share = [math.comb(100, k) / 2**100 for k in range(101)]
    below = [sum(share[: k + 1]) ** 20 for k in range(101)]
    mean = sum(k / 100 * (below[k] - (below[k - 1] if k else 0)) for k in range(101))
    assert pytest.approx(mean, abs=5e-5) == unimodal._BEST

"""The checks of the chapter i2m2 accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "two_tests": [
        ("(published, corrected)", "(corrected, published)", "swapped"),
        ("0.5 * 0.5 / (0.5 * 0.5 + 0.5 * 0.5)", "0.5 * 0.5", "not normalised"),
        ("odds = 1 / 9 * 9 * 9", "odds = 1 / 9", "multiplied by the prior once more"),
        ("odds = 1 / 9 * 9 * 9", "odds = 9 * 9", "divided by the prior twice"),
        ("odds = 1 / 9 * 9 * 9", "odds = 1 / 9 * 9", "raise the odds twice"),
        ("odds = 1 / 9 * 9 * 9", "odds = 3", "the corrected product is off"),
    ],
    "product": [
        ("gains * present[:, :, None]", "gains", "An absent expert must leave"),
        ("- prior.log()", "", "The log of the product is off"),
        ("prior.log() + total", "total", "The prior itself is missing"),
        ("prior.log() + total", "2 * prior.log() + total", "stands there twice"),
        (".log_softmax(-1)\n\n", "\n\n", "subtract the logarithm of the sum"),
        (".log_softmax(-1)\n\n", ".softmax(-1)\n\n", "leave out the last exponential"),
    ],
    "twice": [
        ("truth = 0.8", "truth = 0.8**2 / (0.8**2 + 0.2**2)", "one piece of evidence"),
        ("truth = 0.8", "truth = 0.5", "left the selection out"),
        ("of_two = 0.8**2 / (0.8**2 + 0.2**2)", "of_two = 0.8", "among pairs that occurred"),
        ("of_two = 0.8**2 / (0.8**2 + 0.2**2)", "of_two = 0.8**2", "normalised over both"),
        ("of_three = 0.8**3 / (0.8**3 + 0.2**3)", "of_three = 0.8**2 / (0.8**2 + 0.2**2)", "a third time"),
        ("of_three = 0.8**3 / (0.8**3 + 0.2**3)", "of_three = 0.8**3", "product of three must be"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

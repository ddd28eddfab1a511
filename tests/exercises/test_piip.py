"""The checks of the chapter on PIIP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "take": [
        (".softmax(1)", ".softmax(0)", "over the other's tokens"),
        (" / x.shape[1] ** 0.5", "", "root of the width."),
        ("x.shape[1] ** 0.5", "x.shape[1]", "not by the width"),
        ("return x + gate", "return gate", "what is taken is added"),
        ("return x + gate", "return gate * x + gate", "belongs to what is taken"),
        ("gate * (weights", "(weights", "gate is missing"),
    ],
    "cheaper": [
        (" + 2 * 64**2 * 32", "", "is missing: 2N²d"),
        ("2 * 64**2 * 32", "64**2 * 32", "and their mixture"),
        ("small = 8 * 16 * 32**2 + 2 * 16**2 * 32", "small = 8 * 32 * 32**2 + 2 * 32**2 * 32", "N = 16"),
        ("small = 8 * 16 * 32**2 + 2 * 16**2 * 32", "small = whole / 4", "goes with N²"),
        ("narrow = 8 * 64 * 8**2 + 2 * 64**2 * 8", "narrow = whole / 4", "squared"),
        ("narrow = 8 * 64 * 8**2 + 2 * 64**2 * 8", "narrow = whole / 16", "second term once"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on the broken scoreboard accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "share": [
        ("299 * 299 / (576 * 720)", "299 / 720", "of the width"),
        ("299 * 299 / (576 * 720)", "299 / 576", "of the height"),
        ("(576 * 720)", "(3 * 576 * 720)", "cancel"),
        ("299 * 299", "100 * 299 * 299", "percent"),
    ],
    "sure": [
        (" + 1 / 4 + 1 / 4", "", "also vary"),
        ("1 / 2 + 1 / 4 + 1 / 4", "2.0", "the bound"),
        (" + 1 / 4 + 1 / 4", " + 1 / 4", "fair coin"),
    ],
    "bracket": [
        (" + pairs.diagonal().sum()", "", "counts twice"),
        ("eigenvalues.sum() + ", "", "means are missing"),
        (" + (pairs.sum() + pairs.diagonal().sum()) / 2", "", "covariances are missing"),
        (" + (pairs.sum() + pairs.diagonal().sum()) / 2", " + pairs.sum() + pairs.diagonal().sum()", "factor ½"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on regions accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "grid": [
        ("largest = 1 / (2 * n)", "largest = 1 / n", "half a cell"),
        ("s / (s + 2 * e)", "s / (s + e)", "Both ends are off"),
    ],
    "scores": [
        ("hits / table.shape[0], hits / table.shape[1]", "hits / table.shape[1], hits / table.shape[0]", "was said"),
        ("2 * precision * recall / both if both else 0.0", "both / 2", "harmonic"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

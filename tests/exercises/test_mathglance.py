"""The checks of the chapter on MathGlance accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "unpadded": [
        ("u * m - (m - w) / 2, v * m - (m - h) / 2", "u * m, v * m", "still in"),
        ("u * m - (m - w) / 2, v * m - (m - h) / 2", "u * m - (m - w), v * m - (m - h)", "both sides"),
    ],
    "shift": [
        ("s * (1 - t) / (1 + t)", "s * (1 - t)", "union gains"),
        ("s * (t**-0.5 - 1)", "s * (1 / t - 1)", "squares of the sides"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

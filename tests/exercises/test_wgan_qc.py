"""The checks of the chapter wgan_qc accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "line": [
        ("y.sort().values - y_hat.sort().values", "y - y_hat", "sort both"),
        (".mean().sqrt()", ".mean()", "take the root"),
        (".square().mean().sqrt()", ".abs().mean()", "costs are squares"),
        (".mean().sqrt()", ".sum().sqrt()", "not the sum"),
        ("y_hat.sort()", "y_hat.sort(descending=True)", "the dearest plan"),
    ],
    "critic": [
        ("K * m**2 / 2", "K * m**2", "one half"),
        ("K * m**2 / 2", "m", "the square of"),
        ("slope_on_made = K * m", "slope_on_made = -K * m", "at larger values"),
        ("difference = slope_on_made * m", "difference = value_of_dual", "rises by its slope"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

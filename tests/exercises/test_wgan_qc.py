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
    "width": [
        ("with_one = 0.0", "with_one = 1.0", "stranger"),
        ("2 * larger**2 / 2", "larger", "*multiply*"),
        ("2 * larger**2 / 2", "larger**2 / 2", "as much as"),
        ("2 * larger**2 / 2", "2 * larger**2", "sum of both squares"),
        ("with_all = 1.0", "with_all = 0.0", "itself as partner"),
        ("2 * larger**2 / 2", "0.9", "is off"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

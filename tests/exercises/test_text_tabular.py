"""The checks of the chapter on tables with text accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "scores": [
        ("    for k in fold.unique():", "    return fit(x, y)(x)\n    for k in fold.unique():", "the leak of (5)"),
        ("fit(x[~held], y[~held])", "fit(x[held], y[held])", "to the fold itself"),
        ("    for k in fold.unique():", "    return fit(x[fold != 0], y[fold != 0])(x)\n    for k in fold.unique():",
         "one fold out for all"),
    ],
    "mean": [
        ("(1 + 0 + 0) / 3", "0.5", "three labels remain"),
        ("of_ones = (1 + 0 + 0) / 3\nof_zeros = (1 + 1 + 0) / 3", "of_ones = 2 / 3\nof_zeros = 1 / 3",
         "the other label"),
        ("auc = 0.0", "auc = 0.5", "not one half"),
        ("auc = 0.0", "auc = 1.0", "turned over"),
    ],
    "flatter": [
        ("s**2 * (1 + columns / rows)", "s**2", "error of their own"),
        ("s**2 * (1 - columns / rows)", "s**2", "explained away"),
        ("return on_fitted, on_new", "return on_new, on_fitted", "swapped"),
        ("on_fitted = s**2", "s = s**0.5\n    on_fitted = s**2", "variance s²"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

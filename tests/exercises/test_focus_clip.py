"""The checks of the chapter on FocusCLIP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "xent": [
        (".fill_diagonal_(-torch.inf)", "", "compared with itself"),
        ("/ tau", "* tau", "Divide by the temperature"),
        ("return F.cross_entropy(s, torch.arange(len(w)).roll(len(a)))",
         "return F.cross_entropy(s, torch.arange(len(w)).roll(len(a)), reduction='sum')", "mean over all 2B rows"),
    ],
    "alike": [
        ("one = log(7)", "one = log(8)", "none is compared with itself"),
        ("one = log(7)", "one = log(4)", "Rows of the same view"),
        ("three = 3 * log(7)", "three = 2 * log(7)", "three pairs of views"),
        ("info = log(4)", "info = log(7)", "four items of the other view"),
        ("three = 3 * log(7)", "three = log(7)", "no mean"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on synthetic training data accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "nearer": [
        ("(a < b)", "(a > b)", "nearer to the others"),
        (" + 0.5 * (a == b).double()", "", "A tie counts half."),
        ("0.5 * (a == b)", "(a == b)", "not whole"),
        ("amin(1)", "mean(1)", "not the mean distance"),
    ],
    "deaf": [
        ("(1 / 3) ** 2 + 5 * (2 / 15) ** 2", "1 / 6", "equal frequency"),
        ("(1 / 3) ** 2 + 5 * (2 / 15) ** 2", "1 / 3", "constant answer"),
        ("5 * ", "", "five places"),
    ],
    "worth": [
        ("kept**2", "kept", "square of the derivative"),
        ("1 / kept**2", "kept**2", "not how many"),
        (" * classes / (classes - 1)", "", "K - 1 other classes"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

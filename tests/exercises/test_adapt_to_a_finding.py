"""The checks of the chapter adapt_to_a_finding accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "lora": [
        ("alpha / r * ", "alpha * ", "not by α"),
        ("alpha / r * ", "", "no factor"),
        ("x @ W.T + ", "", "frozen weight is missing"),
        ("W.T + alpha", "W.T - alpha", "wrong way round"),
    ],
    "memory": [
        ("(2 + 2 + 8)", "(2 + 2 + 4)", "second moment"),
        ("(2 + 2 + 8)", "(2 + 2)", "left out the moments"),
        ("4.127 / 8", "4.127", "bits for bytes"),
        (" + 199_296 * 4 * (4 + 4 + 8)", "", "what the updates need"),
    ],
    "first": [
        ("scale**2", "scale", "comes twice"),
        ("scale**2 * ", "", "is missing"),
        ("return -eta", "return eta", "against the gradient"),
        ("-eta * scale**2 * G @ A.T @ A", "-eta * G", "step of full tuning"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on AstroM3 accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "pair": [
        ("return F.cross_entropy(logits, place) + F.cross_entropy(logits.T, place)",
         "return (F.cross_entropy(logits, place) + F.cross_entropy(logits.T, place)) / 2", "(1) is their sum"),
        (" + F.cross_entropy(logits.T, place)", "", "one direction"),
        ("F.normalize(u, dim=1) @ F.normalize(v, dim=1).T", "u @ v.T", "length one"),
        ("logits = s * ", "logits = 1 / s * ", "not a divisor"),
    ],
    "values": [
        ("equal = 3 * 2 * log(32)", "equal = 2 * log(32)", "there are three"),
        ("equal = 3 * 2 * log(32)", "equal = 3 * log(32)", "two directions"),
        ("2 * log(1 + exp(-2))", "log(1 + exp(-2))", "two directions"),
        ("2 * log(1 + exp(-2))", "2 * log(1 + exp(-1))", "-1, not 0"),
        ("apart_hundred = 0.0", "apart_hundred = 2 * log(1 + exp(-2))", "with s = 1"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

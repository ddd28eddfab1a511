"""The checks of the chapter on modality interference accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "step": [
        (" * m[..., None]", "", "multiply by the mask"),
        ("a * g", "a * g.sign()", "the sign of the gradient"),
        ("delta + a", "delta - a", "goes down"),
        (".clamp(-eps, eps)", "", "leave the box"),
    ],
    "bounds": [
        ("abs(a - b)", "a - b", "without a sign"),
        ("min(1, 2 - a - b)", "2 - a - b", "ends at 1"),
        ("min(1, 2 - a - b)", "min(a + b, 2 - a - b)", "one wrong answer to another"),
        ("min(a + b, 2 - a - b)", "min(1, 2 - a - b)", "With two answers"),
    ],
    "linear": [
        ("(1 + 0.5)", "(3 + 1 + 0.5)", "may not move in (a)"),
        ("0.2 * (1 + 0.5)", "0", "without a shift"),
        ("(1 + 0.5)", "(-1 + 0.5)", "costs as much"),
        ("logit - 0.2", "logit + 0.2", "the logit falls"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on domain adaptation accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "joint": [
        ("both / a if a > 0 else a", "second.double().mean()", "whose first answer is right"),
        ("both / a if a > 0 else a, both", "both / a if a > 0 else a, a * second.double().mean()", "independent"),
    ],
    "count": [
        ("16 * (4096 + 4096)", "16 * 4096", "two factors"),
        ("256 / 128", "256.0", "not α"),
        ("256 / 128", "128 / 256", "not r / α"),
    ],
    "leak": [
        ("q * (1 - nu) + (1 - q) * nu", "q * (1 - nu)", "agrees with a wrong label"),
        ("q * (1 - nu) + (1 - q) * nu", "q", "against true labels"),
        ("honest + rho * m * (1 - honest)", "(1 - rho) * honest + rho * m", "like the others"),
        (" * (1 - honest)", "", "added only where"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on DiffeoCFM accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "half": [
        ("half = z / (1 + z**2) ** 0.5", "half = (0.6 - 0.8) / 2", "without any geometry"),
        ("half = z / (1 + z**2) ** 0.5", "half = z", "map it back"),
        ("- 0.8 / (1", "+ 0.8 / (1", "sign of the second"),
    ],
    "back": [
        ("return unit @ unit.T", "return triangle @ triangle.T", "not unit vectors"),
        ("norm(dim=1, keepdim=True)", "norm(dim=0, keepdim=True)", "not each column"),
        ("return unit @ unit.T", "return unit.T @ unit", "other order"),
    ],
    "wide": [
        ("factor = 1 / k", "factor = k", "upside down"),
        ("factor = 1 / k", "factor = 1 / k**2", "not variances"),
        ("slope = (t - (1 - t) * k**2)", "slope = -(t - (1 - t) * k**2)", "sign is turned"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

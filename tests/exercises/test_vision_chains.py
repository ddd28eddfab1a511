"""The checks of the chapter on vision chains accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "stop": [
        ("least = (1 - 2 * c) ** 2", "least = (1 - c) ** 2", "either side"),
        ("mean = (1 - c) ** 2", "mean = (1 - c / 2) ** 2", "two of them make c"),
    ],
    "align": [
        ("(x - x.mean()).square().sum()", "(t - t.mean()).square().sum()", "scale"),
        ("t.mean() - a * x.mean()", "t.mean() - x.mean()", "subtract a times"),
    ],
    "votes": [
        ("(1 - 3 * f**2 * (1 - f) - f**3) ** n", "(1 - f**3) ** n", "two are enough"),
        ("repeats = once", "repeats = majority", "has one answer"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

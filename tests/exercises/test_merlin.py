"""The checks of the chapter on MERLIN accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "prices": [
        ("adjacent & ~torch.eye(len(price), dtype=torch.bool)", "adjacent", "own price"),
        ("(others & known)", "others", "not known"),
        ("usable.sum(1)", "others.sum(1)", "known neighbours"),
        (" / usable.sum(1).clamp(min=1)", "", "take the mean"),
    ],
    "reputation": [
        ("n / (n + sigma**2)", "1 / (1 + sigma**2)", "one picture"),
        ("sigma**2", "sigma", "not σ/n"),
        ("n / (n + sigma**2)", "(n / (n + sigma**2)) ** 0.5", "square it"),
        ("n / (n + sigma**2)", "n**2 / (n**2 + sigma**2)", "not with its square"),
    ],
    "threshold": [
        ("precision = 1 / 2", "precision = 1 / 3", "two are called"),
        ("precision = 1 / 2\nrecall = 1 / 3", "precision = 2 / 3\nrecall = 2 / 3", "is not called"),
        ("recall = 1 / 3", "recall = 1 / 2", "three are high"),
        ("recall_low = 3 / 3", "recall_low = 3 / 4", "four items are called"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on C2C accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "direction": [
        ("(t - t.mean(0)).T @ (s - s.mean(0))", "t.T @ s", "not centred"),
        ("torch.linalg.svd(covariance)", "torch.linalg.svd((t - t.mean(0)).T)", "itself is largest"),
        ("left[:, 0]", "left[:, -1]", "strongest comes first"),
        ("left[:, 0]", "3 * left[:, 0]", "direction is off"),
        ("left[:, 0]", "left[:, 0] / ((t - t.mean(0)) @ left[:, 0]).norm()", "*score* has length one"),
        ("left[:, 0]", "left[0]", "direction is off"),
    ],
    "count": [
        ("780**2", "2 * 780", "every pair of edges"),
        ("2 * 780 * 100", "780 * 100", "two bases"),
        ("100 * 10 + 10 * 100", "100 * 100", "two thin matrices"),
        ("100 * 10 + 10 * 100", "100 * 10", "one of the two factors"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

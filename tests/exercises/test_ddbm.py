"""The checks of the chapter on DDBM accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "coefficients": [
        ("return u, 1 - u,", "return 1 - u, u,", "ends are swapped"),
        ("u = t**2", "u = t", "grows as $t^2$"),
        ("sigma**2 * u * (1 - u)", "sigma * (u * (1 - u)) ** 0.5", "leave out the square root"),
        ("sigma**2 * u * (1 - u)", "sigma**2 * u", "unpinned"),
        ("sigma**2 * u", "sigma * u", "needs σ²"),
    ],
    "looks": [
        ("return first, second", "return 2 * first, 2 * second", "half of the say"),
        ("return first, second", "return second, first", "swapped"),
        ("return first, second", "return -first, -second", "The sign"),
        ("return first, second", "return 1 / (2 * t), 1 / (2 * s)", "length of the step"),
        ("(2 * s)", "(2 * t)", "The second look is at"),
        ("return first, second", "return first / t, second / s", "loses one"),
    ],
    "line": [
        (") ** 0.5", ")", "take its square root"),
        ("(target**2 - shared**2 / total) ** 0.5", "target", "subtract what the line explains"),
        ("b * target**2 + a * covariance", "b * target**2", "through the source"),
        (" + 2 * a * b * covariance", "", "twice the covariance"),
        ("covariance + c2", "covariance", "lacks the noise"),
        ("return shared / total, (target**2 - shared**2 / total) ** 0.5",
         "return (target**2 - shared**2 / total) ** 0.5, shared / total", "swapped"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

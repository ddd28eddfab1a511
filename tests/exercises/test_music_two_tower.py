"""The checks of the chapter on towers of music accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "leave": [
        ("sums[label] - a", "sums[label]", "still a part"),
        ("sums = member.T @ a", "a = F.normalize(a, dim=1)\n    sums = member.T @ a", "not normalised before"),
        ("a_unit = F.normalize(a, dim=1)", "a_unit = a", "a cosine is asked for"),
    ],
    "count": [
        ("full = 4 * 1 * 2", "full = 4", "Two strangers"),
        ("later_ones = 2", "later_ones = 4", "Only the violin"),
        ("reordered = 2 + 1", "reordered = 2", "The flute has"),
    ],
    "self": [
        ("1 / (n - 1)", "1 / n", "n - 1 are left"),
        ("part = (m**2 + 1 / n) /", "part = m**2 /", "meets itself"),
        ("return part, left_out", "return left_out, part", "exchanged"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

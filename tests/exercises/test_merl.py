"""The checks of the chapter on MERL accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "both_ways": [
        ("return F.cross_entropy(s, place) + F.cross_entropy(s.T, place)",
         "return (F.cross_entropy(s, place) + F.cross_entropy(s.T, place)) / 2", "as in CLIP"),
        (" + F.cross_entropy(s.T, place)", "", "one direction"),
        ("F.normalize(u, dim=1) @ F.normalize(v, dim=1).T", "u @ v.T", "length one"),
        ("/ tau", "* tau", "Divide by the temperature"),
    ],
    "area": [
        ("erf(3 / sqrt(2) / sqrt(2))", "erf(3 / sqrt(2))", "root of two"),
        ("erf(1 / sqrt(2) / sqrt(2))", "erf(1 / sqrt(2))", "root of two"),
        ("erf(3 / sqrt(2) / sqrt(2))", "erf(1.5 / sqrt(2))", "threshold half-way"),
        ("constant = 0.5", "constant = 0.0", "counts one half"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter vqgan accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "bits": [
        ("(256 // 16) ** 2 * math.log2(1024)", "(256 // 16) ** 2 * 1024", "takes log₂ K bits"),
        ("(256 // 16) ** 2 * math.log2(1024)", "(256 // 16) * math.log2(1024)", "16 × 16 places"),
        ("3 * 8 * 256**2", "8 * 256**2", "Three colours"),
    ],
    "means": [
        ("sums / counts, codebook", "sums / counts, 0 * codebook", "leave it where it is"),
        ("sums / counts", "gamma * codebook + sums / counts * (1 - gamma)", "old codes have no share"),
    ],
    "rounding": [
        ("bits / D", "bits", "shared by the D numbers"),
        ("cell**2 / 12", "cell**2", "variance of a uniform"),
        ("cell**2 / 12", "cell", "width of a cell"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

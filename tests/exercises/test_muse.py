"""The checks of the chapter muse accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "masked": [
        ("256 * math.cos(math.pi * s / 8)", "256 * (1 - s / 4)", "evenly spaced"),
        ("math.cos", "math.sin", "begins with none"),
        ("int(256 * math.cos(math.pi * s / 8))", "max(1, int(256 * math.cos(math.pi * s / 8)))", "nothing is masked"),
    ],
    "contrast": [
        ("alpha * p.max()", "-1.0", "All words are scored"),
        ("alpha * p.max()", "alpha", "share of the largest"),
        ("p < alpha * p.max()", "p0 < alpha * p0.max()", "on p with the caption"),
        ("p.log() - p0.log()", "p0.log() - p.log()", "changed places"),
    ],
    "side": [
        ("equal = 1 / K", "equal = 1 / K**2", "K such pairs"),
        ("(n - 1) * math.log(K)", "n * math.log(K)", "first word loses nothing"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

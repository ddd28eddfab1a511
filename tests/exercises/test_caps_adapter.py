"""The checks of the chapter on CapS-Adapter accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "votes": [
        ("(1 - d) * f @ pictures.T + d * f", "d * f @ pictures.T + (1 - d) * f", "exchanged d and 1 - d"),
        ("-b * (1 - K)", "-b * K", "counts from the perfect match"),
        ("torch.exp(-b * (1 - K))", "K", "without the exponential"),
    ],
    "limits": [
        ("votes = 3.0", "votes = 1.7", "counts one"),
        ("blunt = 1 / 4", "blunt = 1.0", "one item of four"),
        ("sharp = 1.0", "sharp = 0.25", "nearest key has all"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

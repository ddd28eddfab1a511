"""The checks of the chapter on M2-Encoder accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "count": [
        ("1024 // groups - 1", "1024 // groups", "no negative of itself"),
        ("1024 // groups - 1", "1024 // 64 - 1", "Groups of 8 machines are 8 groups"),
        ("1024**2 // groups * 4", "1024**2 // groups // groups * 4", "That is one group"),
        ("rounds = groups", "rounds = 64", "as large as the batch was"),
    ],
    "pieces": [
        ("s * pull @ v, s * pull.T @ u", "pull @ v, pull.T @ u", "factor of the gradient"),
        ("pull / (2 * B)", "pull / 2", "Divide by B"),
        ("similarity.softmax(1) + similarity.softmax(0)", "2 * similarity.softmax(1)",
         "One direction is missing"),
    ],
    "scale": [
        ("return 1, k", "return k, k", "only one piece has a graph"),
        ("return 1, k", "return 1, 1", "every turn"),
        ("return 1, k", "return k, 1", "exchanged"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

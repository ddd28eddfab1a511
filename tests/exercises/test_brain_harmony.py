"""The checks of the chapter on Brain Harmony accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "kernel": [
        ("torch.linalg.pinv(matrix)", "matrix.T", "like a signal"),
        ("torch.linalg.pinv(matrix)", "matrix.T * matrix.shape[1] / matrix.shape[0]", "stretched kernel"),
        ("kernel @ torch.linalg.pinv(matrix)", "(kernel @ torch.linalg.pinv(matrix)).T", "Kernels stand in rows"),
    ],
    "samples": [
        ("35.28 / 0.735", "35.28 * 0.735", "Divide the duration"),
        ("35.28 / 1.47", "35.28 / 0.3675", "fewer samples"),
        ("slower = 35.28 / 1.47", "slower = usual", "the duration is what stays"),
        ("0.03 * 1.47 / 0.735", "0.03 * 0.735 / 1.47", "faster, not slower"),
        ("0.03 * 1.47 / 0.735", "0.03", "not at its own frequency"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

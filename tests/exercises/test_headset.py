"""The checks of the chapter on HEADSET accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "hole": [
        ("torch.where(hidden, 0.0, (x - mean) / scale)", "(torch.where(hidden, 0.0, x) - mean) / scale",
         "before the mean face was taken off"),
        ("hidden.float()]", "(~hidden).float()]", "should say where it is hidden"),
        ("torch.where(hidden, 0.0,", "torch.where(~hidden, 0.0,", "cut out what is seen"),
        ("(x - mean) / scale", "x - mean", "Divide by the scale"),
    ],
    "posterior": [
        ("np.exp(-(1 + 1) / 2), np.exp(-(1 + 0) / 2)", "np.exp(-2.0), np.exp(-1.0)", "left the half out"),
        ("np.exp(-1 / 2))", "np.exp(-1.0))", "squared distance of the second number"),
        ("one = 1 / (1 + np.exp(-1 / 2))", "one = 0.5", "tells nothing"),
        ("5**0.5 / 2", "5**0.5", "half of the distance"),
        ("5**0.5 / 2", "1.0", "that of both numbers"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

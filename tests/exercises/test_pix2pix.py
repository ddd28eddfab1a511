"""The checks of the chapter pix2pix accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "uniform": [
        ("best_at_half = real_density /", "best_at_half = made_density /", "the probability of real, not of made"),
        ("best_at_three_halves = 0.0", "best_at_three_halves = 1.0", "the probability of made"),
        ("on_made_values) / 2", "on_made_values)", "twice too large"),
        ("0.5 * math.log", "math.log", "only half of the made values"),
        ("least_loss = -(", "least_loss = (", "wrong sign"),
    ],
    "patch": [
        ("zip(reversed(kernels), reversed(strides), strict=True)", "zip(kernels, strides, strict=True)", "goes back"),
        ("stride * (field - 1)", "(field - 1)", "strides are missing"),
        ("stride * (field - 1)", "stride * field", "r - 1 steps"),
    ],
    "fixed": [
        ("sum(channel(f) for f in (0, 1, middle)) / 3", "channel(middle)", "mean over all three"),
        ("middle)) / 3", "middle))", "not their sum"),
        ("for f in (0, 1, middle)", "for f in (middle,)", "are left out"),
        ("(f**2 + (1 - f) ** 2) / 6", "1 / 6", "has squares in it"),
        ("(1 - f) ** 2", "f**2", "is off"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

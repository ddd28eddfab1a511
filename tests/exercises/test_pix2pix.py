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
    "slopes": [
        ("return non_saturating, saturating", "return saturating, non_saturating", "swapped"),
        ("D = torch.sigmoid(d)", "D = torch.sigmoid(-d)", "swapped"),
        ("non_saturating = -(1 - D)\n    saturating = -D", "non_saturating = 1 - D\n    saturating = D", "signs"),
        (
            "non_saturating = -(1 - D)\n    saturating = -D",
            "non_saturating = -1 / D\n    saturating = -1 / (1 - D)",
            "chain rule",
        ),
    ],
    "patch": [
        ("zip(reversed(kernels), reversed(strides), strict=True)", "zip(kernels, strides, strict=True)", "goes back"),
        ("stride * (field - 1)", "(field - 1)", "strides are missing"),
        ("stride * (field - 1)", "stride * field", "r - 1 steps"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

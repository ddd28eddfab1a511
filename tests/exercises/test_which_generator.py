"""The checks of the chapter which_generator accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "open": [
        ("2 * weight, left", "2 * 1.2 / 4, left", "not of the picture"),
        ("left = 4 - weight * 1.2", "left = 4.0", "whole variance"),
        ("0.5**0.5 * left", "left", "shrunk"),
    ],
    "step": [
        ("(1 - then) * (1 - kept)\n", "(1 - kept) * (1 - now)\n", "between the two times"),
        ("variance / (1 - now)", "(variance / (1 - now)) ** 0.5", "standard deviation"),
        ("return mean / (1 - now), variance / (1 - now)", "return mean, variance", "divided by"),
    ],
    "two": [
        ("np.tanh(level", "np.tanh(2 * level", "exp(2z)"),
        ("2 * a**2", "4 * a**2", "half of the time"),
        ("2 * a**2", "a**2", "a draw further"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

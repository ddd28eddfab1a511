"""The checks of the chapter on flow matching accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "training_pair": [
        ("(1 - t) * x0 + t * x1", "t * x0 + (1 - t) * x1", "goes backwards"),
        ("sigma * noise", "sigma * (t * (1 - t)).sqrt() * noise", "that of a bridge"),
        ("sigma * noise", "sigma**2 * noise", "multiplied by the variance"),
        (" + sigma * noise", "", "exactly on the line"),
        ("velocity = x1 - x0", "velocity = x0 - x1", "points backwards"),
        ("velocity = x1 - x0", "velocity = x1 - point", "what is left of the way"),
        ("return point, velocity", "return point", "2 things are expected"),
    ],
    "energy": [
        ("covariance**2 / variance", "covariance / variance", "slope of the field"),
        ("covariance**2 / variance", "(covariance / variance) ** 2", "slope squared: multiply"),
        ("covariance**2 / variance", "2 - 2 * c", "energy of the lines"),
        (" + 2 * c * t * (1 - t)", "", "lacks what the ends"),
        ("(2 * t - 1) * (1 - c)", "2 * t - 1", "covariance of $u$ and"),
        ("covariance**2 / variance", "(2 * t - 1) ** 2 / ((1 - t) ** 2 + t**2)", "independent ends only"),
        ("covariance**2 / variance", "covariance**2", "divide it by"),
    ],
    "slopes": [
        ("return covariance / variance", "return covariance", "divide by the variance"),
        ("covariance = t - (1 - t)", "covariance = (1 - t) - t", "signs are wrong"),
        ("at_quarter, at_end = slope(0), slope(1 / 4), slope(1)", "at_quarter, at_end = 0.0, 0.0, 0.0", "on average"),
        ("slope(1 / 4), slope(1)", "slope(1 / 4), slope(0)", "changes its sign"),
        ("slope(1 / 4)", "slope(1 / 2)", "at a quarter is off"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

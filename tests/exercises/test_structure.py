"""The checks of the chapter on STRUCTURE accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "near": [
        ("z = F.normalize(x, dim=1)\n    z = z - z.mean(0)", "z = F.normalize(x - x.mean(0), dim=1)", "not before"),
        ("z = z - z.mean(0)", "pass", "mean is still in it"),
        ("/ tau", "* tau", "Divide by the temperature"),
        ("softmax(1)", "softmax(0)", "softmax of columns"),
        ("F.normalize(x, dim=1)", "x", "not brought to length one"),
    ],
    "both": [
        ("js = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)", "js = 3 / 4 * np.log2(3 / 2) - 1 / 4", "These are bits"),
        ("js = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)",
         "js = 3 / 2 * np.log(3 / 2) + 1 / 2 * np.log(1 / 2)", "terms counts one half"),
        ("turned = 1 / 2 * np.log(2 / 3) + 1 / 2 * np.log(2)",
         "turned = np.log(2 / 3) + np.log(2)", "turned form counts one half"),
        ("limit = np.log(2)", "limit = 1.0", "In bits it is one"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

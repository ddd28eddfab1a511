"""The checks of the chapter on MDiCo accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "over_pairs": [
        ("both = present[m] & present[n]", "both = present[m] | True", "Items that lack a sensor"),
        ("present[m] & present[n]", "present[m] | present[n]", "both must"),
        (" / len(losses)", "", "sum over pairs"),
        (" / len(losses)", " * 2", "Every pair is there twice"),
    ],
    "values": [
        ("math.log(255)", "math.log(128)", "not 128"),
        ("math.log(255)", "math.log(256)", "with itself"),
        ("math.log(1 + 254 * math.exp(-1 / 0.1))", "0.0", "cosines end at 1"),
        ("math.log(1 + 254 * math.exp(-1 / 0.1))", "math.log(255)", "divide their"),
        ("254 * math.exp(-1 / 0.1)", "127 * math.exp(-1 / 0.1)", "254 vectors"),
        ("math.log(1 + 254 * math.exp(-1 / 1))", "perfect", "ten times smaller"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

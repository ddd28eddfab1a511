"""The checks of the chapter on I-FAS accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "loss": [
        ("alpha * each[judged].mean() + (1 - alpha)", "(1 - alpha) * each[judged].mean() + alpha", "swapped"),
        ("inside = place < length[:, None]", "inside = place < 0 * length[:, None] + 99", "beyond an answer's length"),
        ("alpha * each[judged].mean() + (1 - alpha) * each[told].mean()", "each[inside].mean()", "plain loss"),
    ],
    "weights": [
        ("2 / 40", "2 / 38", "not by those of the explanation"),
        ("0.7 / 0.3 * 38 / 2", "0.7 / 0.3", "ratio of the numbers"),
        ("5 * 2 / (5 * 2 + 38)", "5 / (5 + 38)", "beside the weight"),
    ],
    "drift": [
        ("math.erf(r / math.sqrt(2))", "(1 + math.erf(r / math.sqrt(2))) / 2", "The others go back"),
        ("math.erf(r / math.sqrt(2))", "math.erf(r)", "√2"),
        ("((1 - alpha) * s)", "s", "left out"),
        ("math.erf(r / math.sqrt(2))", "r * math.sqrt(2 / math.pi)", "small ratios"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

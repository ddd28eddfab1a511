"""The checks of the chapter on MoRE accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "drop": [
        ("logits.masked_fill(lost, -torch.inf).softmax(1)", "logits.softmax(1) * ~lost", "do not sum to one"),
        ("masked_fill(lost,", "masked_fill(~lost,", "not where it stays"),
        ("-torch.inf", "0.0", "its weight is not zero"),
        (" / q.shape[1] ** 0.5", "", "Divide by the root"),
        (".softmax(1)", ".softmax(0)", "over the keys"),
        (".masked_fill(lost, -torch.inf)", "", "was not used"),
    ],
    "equals": [
        ("100 * k / 100", "k / 100", "Give per cent"),
        ("100 * k / 100 * (1 - (1 - 1 / k) ** 100)", "100 / (1 + 99 / k)", "mean of one over it"),
        ("100 * k / 100 * (1 - (1 - 1 / k) ** 100)", "100 * (1 - 1 / k) ** 99", "nobody else fits"),
        ("limit = 18", "limit = 1 / 18", "K / n is left"),
        ("limit = 18", "limit = 1800", "not in per cent"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

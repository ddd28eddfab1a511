"""The checks of the chapter on M3CoL accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "targets": [
        ("weight[:, None] * own + (1 - weight[:, None]) * other", "own.mul(weight[:, None]).index_put("
         "(torch.arange(len(weight)), partner), 1 - weight)", "add it instead"),
        ("weight[:, None] * own + (1 - weight[:, None])", "(1 - weight[:, None]) * own + weight[:, None]", "swapped"),
        ("return weight[:, None] * own + (1 - weight[:, None]) * other", "return (weight[:, None] * own + "
         "(1 - weight[:, None]) * other).T", "transpose"),
        ("own[partner]", "0 * own", "share $1 - β_i$ is missing"),
        ("(1 - weight[:, None]) * other", "(1 - weight[:, None]) * own", "targets of CLIP"),
        ("(1 - weight[:, None]) * other", "weight[:, None] * other", "weight β of the item"),
        ("(1 - weight[:, None]) * other", "(1 - weight[None, :]) * other", "the partner's own"),
    ],
    "partners": [
        ("1 - 0.6", "0.6", "written over"),
        ("1 - 0.6", "1.0", "is added"),
        ("100 * (1 / 100)", "1 / 100", "chance of one item"),
        ("100 * (1 / 100)", "0", "leave an item where it is"),
        ("100 * (1 / 100)", "100", "counted all items"),
    ],
    "pull": [
        ("P * T.sum(1, keepdim=True) - T", "P - T", "rows that sum to one"),
        ("P * T.sum(1, keepdim=True) - T", "T - P * T.sum(1, keepdim=True)", "sign is turned"),
        ("T.sum(1, keepdim=True)", "T.sum(0)", "summed over columns"),
        ("P * T.sum(1, keepdim=True) - T", "P - T / T.sum(1, keepdim=True).clamp(min=1e-30)", "whole bracket"),
        ("P * T.sum(1, keepdim=True) - T", "-T / P", "not by the similarities"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on CLIMATv2 accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "club": [
        ("return tau * ce + (1 - tau) * math.log(logits.shape[1])", "return F.cross_entropy(tau * logits, label)",
         "flattened logits"),
        (" + (1 - tau) * math.log(logits.shape[1])", "", "second term is missing"),
        ("tau * ce + (1 - tau)", "(1 - tau) * ce + tau", "swapped"),
        ("logits.shape[1]", "len(logits)", "not of items"),
        ("F.cross_entropy(logits, label)", "F.cross_entropy(logits, label, reduction='sum')", "not a sum"),
    ],
    "floor": [
        ("math.exp(-1 / 0.5)", "math.exp(-0.5)", "not to s"),
        ("math.exp(-1 / 0.5)", "-1 / 0.5", "take its exponential"),
        ("1 / lowest", "lowest", "it is 1/τ"),
        ("1 / math.log(8)", "math.log(8)", "turn it over"),
        ("1 / math.log(8)", "1 / 8", "Solve"),
    ],
    "end": [
        ("if (gap > 0).all():", "if False:", "one of them keeps"),
        ("math.exp(-1 / s), 1.0)", "0.0, 1.0)", "is off"),
        ("torch.where(gap > 0, math.exp(-1 / s), 1.0)", "torch.full_like(gap, math.exp(-1 / s))", "is off"),
        ("(tau * gap).mean()", "gap.mean()", "every τ at 1"),
        ("return math.log(classes) + (tau * gap).mean()",
         "return math.log(classes) + math.exp(-1 / s) * gap.mean()", "pulled up"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

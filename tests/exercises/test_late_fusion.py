"""The checks of the chapter on late fusion accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "product": [
        ("torch.where(present[:, :, None], opinions, 0).sum(1)", "opinions.sum(1)", "absent experts have a say"),
        ("return total.log_softmax(-1)", "return total.softmax(-1)", "return their logarithms"),
        ("return total.log_softmax(-1)", "return total", "sum to less than one"),
        ("opinions, 0).sum(1)", "logits, 0).sum(1)\n    return total", "normalise after summing"),
        ("opinions, 0).sum(1)", "opinions, 0).sum(1) / present.sum(1, keepdim=True)", "does not average"),
        ("return total.log_softmax(-1)", "return (torch.where(present[:, :, None], opinions.exp(), 0).sum(1) / "
         "present.sum(1, keepdim=True)).log()", "the mean (3)"),
        ("return total.log_softmax(-1)", "return total.log_softmax(0)", "is off"),
    ],
    "weights": [
        ("40 * (48 + 1) * 60 + 40 * (192 + 1) * 60", "40 * 48 * 60 + 40 * 192 * 60", "has weights too"),
        ("40 * (48 + 1) * 60 + 40 * (192 + 1) * 60", "40 * 49 * 193 * 60", "do not multiply"),
        ("40 * (48 + 1) * 60 + 40 * (192 + 1) * 60", "49 * 60 + 193 * 60", "40 ranks"),
        ("check_weights((frozen, full))", "check_weights((full, frozen))", "swapped"),
        ("full = (48 + 1) * (192 + 1) * 60", "full = 48 * 192 * 60", "In the full tensor"),
        ("full = (48 + 1) * (192 + 1) * 60", "full = (49 + 193) * 60", "multiply"),
        ("full = (48 + 1) * (192 + 1) * 60", "full = 40 * 49 * 193 * 60", "no rank"),
        ("full = (48 + 1) * (192 + 1) * 60", "full = 12", "is right, but"),
    ],
    "squares": [
        ("best_accuracy = (3 * 0.95 + 0.05) / 4", "best_accuracy = 0.5", "more than a coin"),
        ("best_accuracy = (3 * 0.95 + 0.05) / 4", "best_accuracy = 0.75", "most of the time"),
        ("(3 * 0.95 + 0.05) / 4", "3 * 0.95 / 4", "now and then"),
        ("best_accuracy = (3 * 0.95 + 0.05) / 4", "best_accuracy = 0.95", "opposite corners"),
        ("np.log(2)", "np.log2(2)", "Bits and nats"),
        ("np.log(2)", "-0.95 * np.log(0.95) - 0.05 * np.log(0.05)", "the whole truth"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

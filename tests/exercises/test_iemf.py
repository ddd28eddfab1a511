"""The checks of the chapter on IEMF accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "xi": [
        ("heads.mean(0).sum() / both.sum()", "both.sum() / heads.mean(0).sum()", "upside down"),
        ("1 + torch.tanh", "torch.tanh", "1 in front of the tanh"),
        ("heads.mean(0).sum()", "heads.sum()", "added the heads' sums"),
        ("unimodal.softmax(-1)[:, items, label]", "unimodal.softmax(-1).amax(-1)", "is off"),
        ("heads.mean(0).sum() / both.sum()", "(heads.mean(0) / both).mean()", "item by item"),
        ("torch.tanh(1 - r)", "(1 - r)", "tanh is missing"),
        ("return 1 + torch.tanh(1 - r)", "return torch.tanh(1 - r).expand(3)", "shape (3,)"),
    ],
    "rates": [
        ("first_step(1.36 * gradient) / first_step(gradient)", "1.36", "divides the gradient by its own size"),
        ("g / g.square().sqrt()", "1 / g.square().sqrt()", "its root is taken"),
        ("g / g.square().sqrt()", "g * g", "comes out of its root"),
        ("0.05 * (1.36 * gradient) / gradient", "0.05 * gradient / (1.36 * gradient)", "must grow, not shrink"),
        ("0.05 * (1.36 * gradient) / gradient", "0.05", "still the old rate"),
        ("0.05 * (1.36 * gradient) / gradient", "1.36", "a rate, not a factor"),
    ],
    "memory": [
        ("first = length[0]", "first = 2.0", "one doubled gradient only"),
        ("first = length[0]", "first = 1.1", "forgets the second moment"),
        ("longest = length.max()", "longest = 2.0", "never reaches twice"),
        ("in_the_end = 1.0", "in_the_end = 2.0", "both moments have followed"),
        ("in_the_end = 1.0", "in_the_end = 0.5", "its root twice"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

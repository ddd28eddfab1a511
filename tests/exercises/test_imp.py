"""The checks of the chapter on IMP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "choose": [
        ("dim=1", "dim=0", "over experts"),
        ("g[taken, e, None] * expert", "expert", "weighted by the gate"),
        (" / len(experts)", "", "divide by the number"),
        ("y[taken] += ", "y[taken] = ", "gets the sum"),
    ],
    "cost": [
        ("circle = (3 * 1 + 3 * 2) * 32", "circle = 6 * 32", "both modalities"),
        ("circle = (3 * 1 + 3 * 2) * 32", "circle = 3 * 32", "six turns"),
        ("summed = (3 * 1 + 3 * 2) * 32", "summed = circle / 6", "all six tasks"),
        ("summed = (3 * 1 + 3 * 2) * 32", "summed = 6 * 32", "two passes per item"),
        ("shared = 3 * 32", "shared = 32", "for each of three"),
        ("shared = 3 * 32", "shared = circle", "cost nothing more"),
    ],
    "noise": [
        ("means.var(correction=0)", "means.var()", "not by N - 1"),
        (
            "variances.mean() / b + means.var(correction=0)",
            "(variances.mean() + means.var(correction=0)) / b",
            "does not shrink",
        ),
        ("small = variances.mean() / b", "small = variances.mean() / b / len(means)", "cancels once"),
        (" + means.var(correction=0)", "", "tasks differ"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

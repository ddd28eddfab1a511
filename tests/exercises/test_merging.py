"""The checks of the chapter on merging accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "ties": [
        ("int(keep * t[0].numel())", "t[0].numel()", "Trim first"),
        ("(kept * agree).sum(0) / agree.sum(0).clamp(min=1)", "(kept * agree).mean(0)", "not over all N"),
        (" / agree.sum(0).clamp(min=1)", "", "not added"),
        ("kept.sum(0).sign()", "kept.sign().sum(0).sign()", "outvotes"),
        ("(kept.sign() == kept.sum(0).sign()) & (kept != 0)", "kept != 0", "left out"),
    ],
    "adapters": [
        ("(B1 + B2) / 2 @ ((A1 + A2) / 2)", "(B1 + B2) @ (A1 + A2) / 2", "a quarter"),
        ("/ wanted.norm()", "/ got.norm()", "average of the updates"),
        (" / wanted.norm()", "", "Divide the norm"),
    ],
    "ridge": [
        ("D + rho * t.sum(0)", "D", "on the right side"),
        ("rho * t.sum(0)", "rho * t.mean(0)", "not the mean"),
        ("n = t.square().sum((1, 2))[:, None, None]", "n = 1.0", "squared norm"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

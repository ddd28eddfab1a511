"""The checks of the chapter on AnyAttack accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "bounded": [
        ("noise.clamp(-eps, eps)", "noise", "bounded by ε"),
        (").clamp(-1, 1)", ")", "a picture again"),
        (".clamp(-1, 1)", ".clamp(0, 1)", "down to -1"),
    ],
    "share": [
        ("math.log(tau) / math.log(end)", "(1 - tau) / (1 - end)", "equal factors"),
        ("share * ", "", "after the share"),
    ],
    "gain": [
        ("w.abs().sum()", "w.norm()", "a corner of the box"),
        ("eps * w.norm()", "eps * w.abs().sum()", "variances add up"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

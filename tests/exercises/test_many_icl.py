"""The checks of the chapter on demonstrations accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "mean": [
        ("return -(", "return (", "Nearer is better"),
        (".square().sum(1) / 2", ".square().sum(1)", "Half of the squared"),
        (".mean(0)", ".sum(0)", "divide the sum"),
    ],
    "shrink": [
        ("gains = [1 / (1 + 9 / n)", "gains = [1 - 1 / (1 + 9 / n)", "not believed"),
        ("answer = (gains[0], 9 + 1 - gains[0]", "answer = (gains[0], 9", "adds to the scatter"),
        ("for n in (1, 9)", "for n in (1, 1)", "scatters with"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

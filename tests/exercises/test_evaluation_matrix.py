"""The checks of the chapter on the evaluation matrix accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "dice": [
        ("2 * iou / (1 + iou)", "iou / (2 - iou)", "the way back"),
        ("(1 + iou)", "(2 + iou)", "counts the common part once"),
        ("2 * iou /", "iou /", "counts twice"),
    ],
    "chance": [
        ("8 * 7 / 2", "8 * 7", "divide by two"),
        ("0.05 * pairs, 1", "0.95 * pairs, 1", "one in twenty"),
        ("1 - 0.05 / pairs", "0.95", "is shared"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

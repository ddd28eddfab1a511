"""The checks of the chapter on VALE accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "two": [
        ("one = (a + c - b) / 2\n    other = (b + c - a) / 2", "one = a\n    other = b", "gains alone"),
        ("one = (a + c - b) / 2\n    other = (b + c - a) / 2", "one = c - b\n    other = c - a", "average over both"),
    ],
    "copies": [
        ("with_copy = 1 / k", "with_copy = 1", "add up to 1"),
        ("left_out = 1 if k == 1 else 0", "left_out = 1", "still enough"),
    ],
    "orders": [
        ("return shares / len(orders)", "return shares", "divide by their number"),
        ("before += 2**i", "before += 0", "brings alone"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

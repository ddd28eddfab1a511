"""The checks of the chapter on the gap to English accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "closed": [
        ("1 - after / before", "after / before", "that is left"),
        ("1 - after / before", "before - after", "points closed"),
        ("1 - after / before", "(1 - (english_both - other_both) / (english_text - other_text)).mean()", "averaged"),
    ],
    "widening": [
        ("2**0.5 * ", "0.5**0.5 * ", "doubles, too"),
        ("2**0.5 * ", "2 * ", "densities alone"),
        ("evidence / 8", "evidence / 2", "half of the root"),
        ("evidence / 8", "evidence / 4", "falls too fast"),
    ],
    "degenerate": [
        ("2 * p / (1 + p)", "(1 + p) / 2", "arithmetic"),
        ("frequent / 5", "frequent", "all five count"),
        ("frequent / 5", "frequent / 4", "mean is over five"),
        ("right = p", "right = frequent", "share of right answers"),
        ("right = p", "right = 0.2", "A fifth"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

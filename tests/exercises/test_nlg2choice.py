"""The checks of the chapter on describing first accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "tree": [
        (" / sum(law(before)[w] for w in allowed)", "", "plain product"),
        ("(*name, 0)", "name", "end is a word"),
    ],
    "read": [
        ("56 / 100", "56 / 70", "All 100"),
        ("over_read = 56 / 70", "over_read = 56 / 100", "Seventy"),
        ("30 / 4", "20 / 4", "Ambiguous"),
        ("30 / 4", "30", "once in four"),
    ],
    "mislead": [
        (" / sum(products.values())", "", "the product itself"),
        ("by_tree = 0.1 / (0.1 + 0.3)", "by_tree = 0.9 * 0.1 / (0.1 + 0.3)", "no rival"),
        ("0.1 / (0.1 + 0.3)", "0.1", "ki and do alone"),
        ("0.3 / 2", "0.3", "not above the genus"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter instruct_pix2pix accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "guided": [
        ("(both - source)", "(both - nothing)", "against nothing"),
        ("nothing + of_source", "of_source", "is missing"),
        ("nothing + of_source", "source + of_source", "begins with the source"),
    ],
    "hidden": [
        ("1 - 2 / 20", "1 - 1 / 20", "both shares count"),
        ("1 - 2 / 20", "1 - 3 / 20", "both are shown"),
        ("(1 - 1 / 20)", "(1 - 3 / 20)", "not three"),
    ],
    "scale": [
        ("1 / precision", "precision", "one over it"),
        ("precision = 1 + g / s2", "precision = g / s2", "prior is missing"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

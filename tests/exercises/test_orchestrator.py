"""The checks of the chapter on whom to believe accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "record": [
        (
            "(1 + hits.sum(1, keepdim=True)) / (2 + count.sum(1, keepdim=True))",
            "(1 + hits.sum(0, keepdim=True)) / (2 + count.sum(0, keepdim=True))",
            "not over the agents",
        ),
        (
            "(1 + hits.sum(1, keepdim=True)) / (2 + count.sum(1, keepdim=True))",
            "hits.sum(1, keepdim=True) / count.sum(1, keepdim=True)",
            "p_a is smoothed",
        ),
        ("m * overall", "m", "drawn towards"),
    ],
    "gain": [
        ("points = after - before", "points = 100 * (after / before - 1)", "is a difference"),
        ("(after / before - 1)", "(after - before) / after", "what it had right"),
        ("/ (100 - before)", "/ before", "had wrong"),
    ],
    "two": [
        ("1 - (1 - p) ** 2", "2 * p", "wrong at once"),
        ("best = p", "best = either", "nobody knows"),
        ("best = p", "best = p**2", "agree on a wrong class"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter gill accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "distance": [
        (".sqrt()", "", "square root is missing"),
        (".square().sum(-1).sqrt().mean()", ".square().mean()", "mean of squares"),
        (".sum(-1).sqrt()", ".mean(-1).sqrt()", "under the root"),
        (".square().sum(-1).sqrt().mean()", ".flatten(1).norm(dim=1).mean()", "one for each position"),
        (".sqrt().mean()", ".sqrt().sum(-1).mean()", "averages them"),
        (".square().sum(-1).sqrt()", ".abs().sum(-1)", "absolute values"),
    ],
    "sizes": [
        (" + 4 * 4096", "", "has a bias"),
        ("4 * 4096 * 1024 + 4 * 4096", "4096 * 1024 + 4096", "not one"),
        ("8 * 4096", "4096", "eight picture words"),
        ("round(50_274 / 8)", "50_274", "that of the rows"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

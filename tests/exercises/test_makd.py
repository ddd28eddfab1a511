"""The checks of the chapter on MaKD accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "aspects": [
        ("(yes - no)", "(no - yes)", "swapped"),
        ("(yes - no)", "(yes)", "left out"),
        ("torch.sigmoid(yes - no)", "(yes > no).float()", "rounded"),
        (".mean()", ".sum()", "their mean"),
    ],
    "soft": [
        ("(0.95 - 0.9) / 12\nhard = (0.95 - 1) / 12", "0.05\nhard = -0.05", "divide by Q"),
        ("(0.95 - 0.9) / 12\nhard = (0.95 - 1) / 12", "-0.05 / 12\nhard = 0.05 / 12", "other way round"),
        ("(1 - q) * (1 - q).log())) / 12", "(1 - q) * (1 - q).log()))", "also divided by Q"),
        ("float(-(q * q.log() + (1 - q) * (1 - q).log())) / 12", "0.0", "Not zero"),
    ],
    "table": [
        ("rho * (2 - rho)", "rho**2", "shrunk"),
        ("rho * (2 - rho)", "2 * rho", "took the rows as right"),
        (".mean()", ".sum()", "added the questions up"),
        (", correction=0", "", "divide by C"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

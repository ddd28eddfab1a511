"""The checks of the chapter on unlearning accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "npo": [
        (
            "(2 / beta * torch.logaddexp(margin, torch.zeros(())))",
            "torch.logaddexp(margin, torch.zeros(()))",
            "is missing",
        ),
        ("s - reference", "reference - s", "mind the sign"),
        (".mean()", ".sum()", "Take the mean"),
        ("torch.logaddexp(margin, torch.zeros(()))", "torch.log(1 + torch.exp(margin))", "overflows"),
    ],
    "push": [
        ("return 2 /", "return 1 /", "a factor 2"),
        ("torch.exp(beta * d)", "torch.exp(-beta * d)", "mind the sign"),
        ("torch.exp(beta * d)", "torch.exp(d)", "in the exponent"),
    ],
    "fall": [
        ("return low", "return t", "gradient ascent's"),
        ("u + torch.exp(u) - 1 <", "u + torch.exp(u) <", "constant of integration"),
        ("2 * beta * t", "2 * t", "a factor β"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on GRPO accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "advantages": [
        ("rewards.std(1, keepdim=True)", "rewards.std(1, keepdim=True, correction=0)", "G in its denominator"),
        (" / (rewards.std(1, keepdim=True) + 1e-6)", "", "Divide by the deviation"),
        ("rewards - rewards.mean(1, keepdim=True)", "rewards", "Subtract the mean"),
    ],
    "silent": [
        (" + (1 - p) ** G", "", "all wrong"),
        ("p**G + ", "", "all right"),
    ],
    "expected": [
        ("(G - 1) / G * ", "", "own reward"),
        ("pi @ r", "r.mean()", "not the mean over the kinds"),
        ("* pi * (r", "* (r", "a factor of it"),
        ("(G - 1) / G", "1 / G", "near the exact gradient"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

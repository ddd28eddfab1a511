"""The checks of the chapter on MuMiN accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "mean": [
        ("kept.sum(1) / count", "kept.mean(1)", "number of places"),
        ("kept.sum(1) / count", "kept.sum(1)", "This is the sum"),
        (".clamp(min=1)", "", "divided by zero"),
        ("torch.where(there[..., None], features, 0.0)", "features * there[..., None]", "not finite"),
    ],
    "majority": [
        ("misinformation = 2 * p / (1 + p)", "misinformation = p", "the recall"),
        ("factual = 0.0", "factual = 2 * (1 - p) / (2 - p)", "no hit"),
        ("/ 2", "* p", "same weight"),
        ("(misinformation + factual) / 2", "misinformation + factual", "not their sum"),
    ],
    "story": [
        ("max(overall, 1 - overall)", "overall", "less frequent than a half"),
        ("max(overall, 1 - overall)", "0.5", "more than nothing"),
        ("seen = b", "seen = h * b + (1 - h) * (1 - b)", "more frequent verdict, also"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

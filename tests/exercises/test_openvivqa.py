"""The checks of the chapter on OpenViVQA accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "roads": [
        (" if word > 0 else pointed", "", "Entry 0 is padding"),
        ("return pointed + p[word] if word > 0 else pointed", "return pointed", "add both"),
        ("[spelt].sum()", "[spelt].max()", "most probable piece"),
        ("p[len(p) - len(spelt) :]", "p[: len(spelt)]", "after the words"),
    ],
    "flat": [
        ("one_piece = 1 / (62 + 6)", "one_piece = 1 / 6", "68 entries"),
        ("some_piece = 6 / (62 + 6)", "some_piece = 0.5", "half and half"),
        ("three_roads = 3", "three_roads = 2", "three roads"),
        ("three_roads = 3 / (62 + 6)", "three_roads = one_piece**3", "do not multiply"),
    ],
    "gradient": [
        ("torch.where(counts, p, 0.0) / p[counts].sum()", "counts.float() / counts.sum()", "not 1 / their number"),
        ("torch.where(counts, p, 0.0) / p[counts].sum()", "counts.float()", "they share it"),
        ("p - share", "share - p", "other way round"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on the parts of the U-Net accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "map": [
        ("(100 * 100) ** 2 * 4", "100 ** 2 * 4", "the tokens are the *pixels*"),
        ("(100 * 100) ** 2 * 4", "(100 * 100) ** 2", "counted one"),
        ("** 2 * 4 / 1e6", "** 2 * 8 / 1e6", "not eight"),
        ("growth = 2**4", "growth = 2**2", "the map is their square"),
        ("growth = 2**4", "growth = 2**3", "four times as large"),
        ("side**4 * 4 <= 4e6", "side**4 <= 4e6", "forgot the four bytes"),
        ("largest_side = max(side for side in range(1, 100) if side**4 * 4 <= 4e6)", "largest_side = 1000",
         "largest number of *tokens*"),
        ("if side**4 * 4 <= 4e6)", "if side**4 * 4 <= 4.2e6)", "a little over 4 MB"),
        ("if side**4 * 4 <= 4e6)", "if side**4 * 4 <= 2e6)", "largest side is off"),
    ],
    "clock": [
        ("0.5 + (0.25", "0.5 - (0.25", "*second* half"),
        ("/ sigma**2", "/ sigma", "divided by σ²"),
        (" / sigma**2", "", "σ is left out"),
        ("noise.square().mean(1) / sigma**2", "noise.square().mean(1).sqrt() / sigma", "square it"),
        ("noise.square().mean(1)", "noise.var(1)", "*known* to be zero"),
        ("noise.square().mean(1)", "noise.var(1, correction=0)", "*known* to be zero"),
        ("noise.square().mean(1)", "noise.square().mean().expand(len(noise))", "One time for each image"),
        (".clamp_min(0)", "", "the root of a negative number"),
        ("0.25 - share", "1 - share", "is off"),
    ],
    "blind": [
        ("weight = left**power", "weight = left", "power 1 only"),
        ("weight = left**power", "weight = left**0", "weight is left out"),
        ("ways / left[:, None]", "ways", "*divided by*"),
        ("/ weight.mean()", "", "mean of the weights"),
        ("(weight[:, None] * drifts).mean(0)", "drifts.sum(0)", "is off"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

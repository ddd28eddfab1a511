"""The checks of the chapter on blind competitions accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "spread": [
        ("return math.sqrt(variance)", "return variance", "take its square root"),
        ("people / r + things / i + votes / (r * i)", "(people + things + votes) / (r * i)",
         "all votes for independent"),
        ("people / r + things / i", "people / i + things / r", "exchanged"),
        (" + votes / (r * i)", "", "single votes is missing"),
    ],
    "strength": [
        ("won, lost = wins + ties / 2, losses + ties / 2", "won, lost = wins, losses", "half a loss"),
        ("math.log(won / lost)", "math.log(lost / won)", "sign is turned"),
        ("math.log(won / lost)", "won / (won + lost)", "share of wins"),
        ("math.sqrt(1 / won + 1 / lost)", "1 / won + 1 / lost", "take its square root"),
    ],
    "floor": [
        ("z**2", "z", "its square"),
        ("lead**2", "lead", "four times as many"),
        (" + 1", "", "Round up"),
        ("z**2", "4 * z**2", "leave out the 2"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

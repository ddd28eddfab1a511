"""The checks of the chapter on MobileCLIP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "targets": [
        ("s.mT.softmax(2).mean(0)", "s.softmax(2).mean(0).T", "rows do not sum to one"),
        ("s.softmax(2).mean(0), s.mT.softmax(2).mean(0)", "s.mean(0).softmax(1), s.mean(0).T.softmax(1)",
         "averages after the softmax"),
        ("t * torch", "1 * torch", "scale t is missing"),
        ("s.softmax(2).mean(0), s.mT.softmax(2).mean(0)", "s.softmax(2).sum(0), s.mT.softmax(2).sum(0)",
         "added the teachers up"),
    ],
    "over": [
        ("there = 3 / (3 + 1)", "there = 1.0", "exponential of ln 3"),
        ("3 / 4 + 3 / 4\nsecond_sum = 1 / 4 + 1 / 4", "1.0\nsecond_sum = 1.0", "sums of the rows of P"),
        ("back = 3 / (3 + 3)", "back = 3 / 4", "compares pictures"),
        ("3 / 4 + 3 / 4\nsecond_sum = 1 / 4 + 1 / 4", "0.5\nsecond_sum = 1.5", "exchanged the two sums"),
    ],
    "pull": [
        ("P.sum(1, keepdim=True) * S.softmax(1) - P\n    back = P_back.sum(1, keepdim=True) * S",
         "S.softmax(1) - P\n    back = S", "sum of its row as a factor"),
        ("/ (2 * len(S))", "/ 2", "mean over rows"),
        ("return (there + back.T)", "return -(there + back.T)", "sign is turned over"),
        ("there + back.T", "there + back", "has to be turned over"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the contest's chapter accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "price": [
        ("0.10 * 2**0.5", "0.10 * 2", "*squared* error that doubles"),
        ("0.10 * 2**0.5", "0.10", "worse than the mean"),
        ("(1 + 1 / 4) ** 0.5", "(1 + 1 / 4)", "quarter of the deviation"),
        ("0.10 * (1 + 1 / 4) ** 0.5", "0.10 / 2", "stays, however many"),
        ("range(1, 100)", "range(50, 100)", "variances that do"),
        ("range(1, 100)", "range(40, 100)", "number of samples is off"),
    ],
    "distance": [
        ("means + s.trace()", "s.trace()", "means are missing"),
        (".square().sum()\n", ".norm()\n", "is to be squared"),
        ("s, t = torch.cov(one.T), torch.cov(other.T)",
         "s, t = (torch.cov(cloud.T, correction=0) for cloud in (one, other))", "*less one*"),
        ("inner.sqrt().sum()", "inner.sum()", "before its trace"),
        ("torch.cov(one.T), torch.cov(other.T)", "torch.cov(one[:7]), torch.cov(other[:7])", "one variable per *row*"),
        ("- 2 * inner", "- inner", "is off"),
    ],
    "turn": [
        ("gap = b**2 - a**2", "gap, s_a, s_b = b - a, s_a**0.5, s_b**0.5", "*squares* that add"),
        ("tax = s_a**2 - s_b**2", "tax = s_a - s_b", "*variance* over K"),
        (" if gap * tax > 0 else", " if gap else", "turns nothing"),
        ("if gap * tax > 0", "if gap > 0 and tax > 0", "turns there as well"),
        ("tax / gap if", "gap / tax if", "inverse"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

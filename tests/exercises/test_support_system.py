"""The checks of the chapter support_system accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "split": [
        ("(person, person[drawn])", "(torch.arange(len(person)), drawn)", "that is the leak"),
        ("person[drawn]", "drawn", "numbers of rows"),
        ("~", "", "wrong way round"),
    ],
    "leak": [
        ("(0.12**2 + 0.05**2) ** 0.5", "0.12 + 0.05", "variances add"),
        ("(0.12**2 + 0.05**2) ** 0.5", "0.12**2 + 0.05**2", "squared error"),
        ("(0.12**2 + 0.05**2) ** 0.5", "0.12", "noise of its own"),
        ("(2 * 0.12**2 + 2 * 0.05**2) ** 0.5", "(0.12**2 + 0.05**2) ** 0.5", "counts twice"),
        ("(2 * 0.12**2 + 2 * 0.05**2) ** 0.5", "2 * (0.12**2 + 0.05**2) ** 0.5", "not behind it"),
        ("(1 + 1 / 2)", "(1 / 2)", "one and a half"),
        ("(1 + 1 / 2)", "2", "half of its noise"),
    ],
    "sum": [
        ('"sfl,fle->se", p, W', '"sfl,fle->se", torch.eye(3).to(p)[p.argmax(-1)], W', "likeliest"),
        ("b + ", "", "missing"),
        ("b + ", "p.shape[1] * b + ", "once for each word"),
        ('W)', 'W) / p.shape[1]', "averaged over the words"),
        ('"sfl,fle->se", p, W', '"sfl,fle->se", torch.full_like(p, 1 / 3), W', "same weight"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

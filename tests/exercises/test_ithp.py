"""The checks of the chapter on ITHP accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "pays": [
        (".sum(-1)  # (B,)", ".mean(-1)", "averaged the KL"),
        (
            "((prediction - detector) ** 2).mean()",
            "((prediction - detector) ** 2).sum(-1).mean()",
            "summed the squared",
        ),
        ("0.5 * (mean**2", "1.0 * (mean**2", "one half"),
        ("kl.mean() + beta * ", "beta * kl.mean() + ", "not the information"),
        ("log_variance.exp() - 1 - log_variance", "(2 * log_variance).exp() - 1 - 2 * log_variance", "not of σ"),
    ],
    "kink": [
        ("1 / (2 * g**2)", "1 / g**2", "The 2 is missing"),
        ("1 / (2 * g**2)", "1 / (2 * g)", "enters squared"),
        ("0.5 * math.log", "math.log", "one half"),
        ("math.log(2", "math.log2(2", "in bits"),
        ("10 * first", "first / 10", "must grow"),
        ("10 * first", "first", "cannot stay"),
    ],
    "optimum": [
        (".clamp(max=1)", "", "not finite"),
        (
            "(1 - share).sqrt(), share",
            "(1 - 1 / (2 * beta * g**2)).abs().sqrt(), 1 / (2 * beta * g**2)",
            "cannot exceed 1",
        ),
        ("(1 - share).sqrt(), share", "(1 - share), share", "take its root"),
        ("(1 - share).sqrt(), share", "(1 - share).sqrt(), share.sqrt()", "the second value is τ²"),
        ("(1 - share).sqrt(), share", "(1 / share - 1).sqrt(), torch.ones_like(g)", "total variance"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

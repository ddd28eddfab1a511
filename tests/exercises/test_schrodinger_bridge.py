"""The checks of the chapter on Schrödinger bridges accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "sinkhorn": [
        ("torch.exp(-cost", "torch.exp(cost", "with a minus"),
        ("-cost / epsilon", "-cost", "does not know ε"),
        ("a = 1 / len(cost) / (kernel @ b)\n        b = 1 / len(cost) / (",
         "a = 1 / (kernel @ b)\n        b = 1 / (", "sums to B"),
        ("b = 1 / len(cost) / (kernel.T @ a)", "b = torch.ones(len(cost), dtype=cost.dtype)", "Only the rows"),
        ("b = torch.ones(len(cost), dtype=cost.dtype)\n    for _ in range(rounds):\n"
         "        a = 1 / len(cost) / (kernel @ b)\n        b = 1 / len(cost) / (kernel.T @ a)",
         "a = torch.ones(len(cost), dtype=cost.dtype)\n    for _ in range(rounds):\n"
         "        b = 1 / len(cost) / (kernel.T @ a)\n        a = 1 / len(cost) / (kernel @ b)",
         "began with the columns"),
        ("kernel.T @ a", "kernel @ a", "use the transpose"),
        ("range(rounds)", "range(1)", "One round"),
        ("return a[:, None] * kernel * b", "return kernel", "without $a$ and $b$"),
        ("return a[:, None] * kernel * b", "return (a[:, None] * kernel * b).log().sqrt()", "not finite"),
    ],
    "plan_correlation": [
        ("epsilon / 2", "epsilon", "You took ε"),
        ("epsilon / 2", "2 * epsilon", "other way round"),
        ("epsilon / 2", "(epsilon / 2) ** 0.5", "σ where σ²"),
        ("+ math.sqrt(", "- math.sqrt(", "the other root"),
        ("return (", "return -(", "sign is wrong"),
        ("(-variance + math.sqrt(variance**2 + 4)) / 2", "1 / math.sqrt(1 + variance)", "free diffusion"),
    ],
    "limits": [
        ("return (-(sigma**2) + math.sqrt(sigma**4 + 4)) / 2",
         "return round((-(sigma**2) + math.sqrt(sigma**4 + 4)) / 2, 2)", "two decimals"),
        ("= correlation(1 / 2), correlation(1), correlation(2)",
         "= correlation(2), correlation(1), correlation(1 / 2)", "reversed"),
        ("-(sigma**2) + math.sqrt(sigma**4 + 4)", "-sigma + math.sqrt(sigma**2 + 4)", "σ² belongs"),
        ("+ math.sqrt(", "- math.sqrt(", "the other root"),
        ("return (", "return -(", "sign is wrong"),
        ("-(sigma**2) + math.sqrt(sigma**4 + 4)", "-2 * sigma**2 + math.sqrt(4 * sigma**4 + 4)", "in the place of σ²"),
        ("(-(sigma**2) + math.sqrt(sigma**4 + 4)) / 2", "1 / math.sqrt(1 + sigma**2)", "free diffusion"),
        ("correlation(2)", "correlation(3)", "for σ = 2 is off"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on missing modalities accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "excess": [
        ("W @ covariance @ W.T", "W @ W.T", "need not be white"),
        ("return w @ W @ covariance @ W.T @ w", "return (w @ W @ covariance @ W.T @ w) ** 0.5", "standard deviation"),
        ("return w @ W @ covariance @ W.T @ w", "return (W @ covariance @ W.T).trace()", "enters the score"),
    ],
    "fill": [
        ("centre, mean = seen.mean(0), wanted.mean(0)", "centre, mean = 0, 0", "constant is missing"),
        ("(fresh - centre)", "(fresh - fresh.mean(0))", "by their own mean"),
        ("return mean + ", "return ", "never added again"),
        ("@ weights", "@ (0 * weights)", "whatever is seen"),
        ("return mean + (fresh - centre) @ weights", "return torch.zeros(len(fresh), len(mean))", "zero for everybody"),
    ],
    "gap": [
        ("ill_without_scan = 0.2 * 0.25 / (0.2 * 0.25 + 0.8 * 0.75)", "ill_without_scan = 0.25", "Bayes' rule"),
        ("0.2 * 0.25 / (0.2 * 0.25 + 0.8 * 0.75)", "0.2 * 0.25", "divide by all"),
        ("0.2 * 0.25 / (0.2 * 0.25 + 0.8 * 0.75)", "0.2 * 0.75 / (0.2 * 0.75 + 0.8 * 0.25)", "*with* a scan"),
        ("max(0.2 * 0.75, 0.8 * 0.25)", "0.2 * 0.75", "taken for the diagnosis"),
        ("max(0.2 * 0.25, 0.8 * 0.75) + max(0.2 * 0.75, 0.8 * 0.25)", "0.2 * 0.25 + 0.8 * 0.25", "Ill was guessed"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

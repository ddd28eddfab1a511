"""The checks of the chapter on OGM-GE accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "coefficients": [
        ("scores / scores.flip(0)", "scores.flip(0) / scores", "modality that is behind"),
        ("torch.where(rho > 1, 1 - torch.tanh(alpha * rho), 1.0)", "1 - torch.tanh(alpha * rho)", "Both are slowed"),
        ("torch.tanh(alpha * rho)", "torch.tanh(alpha * (rho - 1))", "a better design"),
        ("1 - torch.tanh(alpha * rho)", "torch.tanh(alpha * rho)", "1 minus the tanh"),
        ("alpha * rho", "rho", "α does nothing"),
    ],
    "variances": [
        ("k**2 + 1", "k + 1", "you added k itself"),
        ("k**2 + 1", "k**2", "without the noise"),
        ("k**2 + 1", "1", "comes on top"),
        ("k**2 + 1", "(k**2 + 1) ** 0.5", "The first is a standard deviation"),
        ("1 - k**2", "1 - k", "variances have k²"),
        ("1 - k**2", "(1 - k**2) ** 0.5", "The second is a standard deviation"),
    ],
    "follower": [
        ("(weak / strong)", "(strong / weak)", "upside down"),
        ("start * (leader / start) ** (weak / strong)", "leader ** (weak / strong)", "The start is missing"),
        ("leader / start", "leader", "inside the power"),
        ("start * (leader / start) ** (weak / strong)", "leader * weak / strong", "a power, not a proportion"),
        ("start * (leader", "(leader", "Multiply by the start again"),
    ],
    "even": [
        ("(strong + weak) ** 2 / (4 * weak**2)", "1.0", "Equal rates are not equal"),
        ("(strong + weak) ** 2 / (4 * weak**2)", "strong / weak", "strengths alone"),
        ("4 * weak**2", "4 * strong * weak", "multiply by their ratio"),
        ("(4 * weak**2)", "weak**2", "a quarter"),
        ("(strong + weak) ** 2 / (4 * weak**2)", "4 * weak**2 / (strong + weak) ** 2", "upside down"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

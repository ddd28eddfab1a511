"""The checks of the chapter on score diffusion accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "score": [
        ("(alpha * m - x)", "(x - alpha * m)", "sign is turned"),
        ("(alpha * m - x)", "(m - x)", "has not shrunk with the data"),
        ("alpha**2 * v + sigma**2", "sigma**2", "variance of their own"),
        ("alpha**2 * v", "alpha * v", "not by $"),
        ("alpha**2 * v", "v", "has not shrunk: it is"),
        ("+ sigma**2", "+ sigma", "square σ"),
        ("(alpha**2 * v + sigma**2)", "(alpha**2 * v + sigma**2) ** 0.5", "square root"),
    ],
    "convert": [
        ("return clean, -noise / sigma", "return -noise / sigma, clean", "swapped"),
        ("(x - sigma * noise) / alpha", "x - sigma * noise", "not divided by"),
        ("(x - sigma * noise)", "(x - noise)", "has the weight σ"),
        ("-noise / sigma", "noise / sigma", "mind the sign"),
        ("-noise / sigma", "-noise / sigma**2", "one σ cancels"),
        ("-noise / sigma", "-noise", "divided by σ"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

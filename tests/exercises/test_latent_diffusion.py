"""The checks of the chapter latent_diffusion accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "step": [
        ("without + g * (told - without)", "told + g * (without - told)", "changed places"),
        ("without + g * (told - without)", "told + g * (told - without)", "twice its effect"),
        (" + (1 - then) ** 0.5 * noise", "", "noise of the new time is missing"),
    ],
    "size": [
        ("3 * 512**2 / (4 * 64**2)", "512**2 / 64**2", "leaves out the channels"),
        ("(512**2) ** 2 / (64**2) ** 2", "512**2 / 64**2", "square of the number of places"),
    ],
    "gaussian": [
        ("1 - g + g / v", "g / v", "adds to the precision"),
        ("variance = 1 / precision", "variance = precision", "This is the precision"),
        ("g * m / v / precision", "g * m / precision", "v is missing"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

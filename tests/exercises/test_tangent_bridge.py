"""The checks of the chapter on the tangent bridge accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "bounds": [
        ("0.8 * 0.8 - spread, 0.8 * 0.8 + spread", "0.8 * 0.8 + spread, 0.8 * 0.8 - spread", "swapped"),
        ("0.8 * 0.8 - spread,", "-1.0,", "did not bind"),
        ("0.8 * 0.8 - spread,", "0.8 * 0.8,", "may still be opposed"),
        ("1 - 0.8**2", "1 - 0.8", "unexplained *variance*"),
        ("0.8 * 0.8 + spread", "0.8 * 0.8", "may agree fully"),
    ],
    "back": [
        ("return covariance / deviation[:, None] / deviation", "return covariance", "diagonal is not one"),
        ("torch.linalg.matrix_exp(logarithm)", "logarithm.exp()", "*matrix* is meant"),
        ("values.sqrt()", "values", "root of the mean is missing"),
        ("root @ torch.linalg.matrix_exp(logarithm) @ root", "torch.linalg.matrix_exp(logarithm)", "mean is missing"),
        ("diagonal().sqrt()", "diagonal()", "not by the diagonal"),
        ("root @ torch", "torch.linalg.cholesky(mean) @ torch", "is off"),
    ],
}


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""

"""The checks of the chapter on the tangent bridge accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

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


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("tangent_bridge")


@pytest.mark.parametrize("name", MISTAKES)
def test_the_solution_is_right(exercises: Exercises, name: str) -> None:
    verdict = exercises.solution(name)
    assert verdict.ok, verdict.text


@pytest.mark.parametrize("name", MISTAKES)
def test_the_stub_is_met_kindly(exercises: Exercises, name: str) -> None:
    assert exercises.stub(name).text.startswith("**Nothing is filled in yet.**")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"), [(name, *mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]
)
def test_a_mistake_is_named(exercises: Exercises, name: str, old: str, new: str, told: str) -> None:
    verdict = exercises.solution(name, old, new)
    assert not verdict.ok
    assert told in verdict.text

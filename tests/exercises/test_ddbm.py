"""The checks of the chapter on DDBM accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "coefficients": [
        ("return u, 1 - u,", "return 1 - u, u,", "ends are swapped"),
        ("u = t**2", "u = t", "grows as $t^2$"),
        ("sigma**2 * u * (1 - u)", "sigma * (u * (1 - u)) ** 0.5", "leave out the square root"),
        ("sigma**2 * u * (1 - u)", "sigma**2 * u", "unpinned"),
        ("sigma**2 * u", "sigma * u", "needs σ²"),
    ],
    "line": [
        (") ** 0.5", ")", "take its square root"),
        ("(target**2 - shared**2 / total) ** 0.5", "target", "subtract what the line explains"),
        ("b * target**2 + a * covariance", "b * target**2", "through the source"),
        (" + 2 * a * b * covariance", "", "twice the covariance"),
        ("covariance + c2", "covariance", "lacks the noise"),
        ("return shared / total, (target**2 - shared**2 / total) ** 0.5",
         "return (target**2 - shared**2 / total) ** 0.5, shared / total", "swapped"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("ddbm")


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

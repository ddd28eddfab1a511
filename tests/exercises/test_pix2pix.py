"""The checks of the chapter pix2pix accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "loss": [
        ("mean()", "sum()", "sum of the squares"),
        ("square()", "abs()", "absolute error"),
        ("mean()", "mean().sqrt()", "square root"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("pix2pix")


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

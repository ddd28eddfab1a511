"""The checks of the chapter wgan_qc accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "line": [
        ("y.sort().values - y_hat.sort().values", "y - y_hat", "sort both"),
        (".mean().sqrt()", ".mean()", "take the root"),
        (".square().mean().sqrt()", ".abs().mean()", "costs are squares"),
        (".mean().sqrt()", ".sum().sqrt()", "not the sum"),
        ("y_hat.sort()", "y_hat.sort(descending=True)", "the dearest plan"),
    ],
    "critic": [
        ("K * m**2 / 2", "K * m**2", "one half"),
        ("K * m**2 / 2", "m", "the square of"),
        ("slope_on_made = K * m", "slope_on_made = -K * m", "at larger values"),
        ("difference = slope_on_made * m", "difference = value_of_dual", "rises by its slope"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("wgan_qc")


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

"""The checks of the chapter on score diffusion accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

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


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("score_diffusion")


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

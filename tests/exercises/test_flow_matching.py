"""The checks of the chapter on flow matching accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "training_pair": [
        ("(1 - t) * x0 + t * x1", "t * x0 + (1 - t) * x1", "goes backwards"),
        ("sigma * noise", "sigma * (t * (1 - t)).sqrt() * noise", "that of a bridge"),
        ("sigma * noise", "sigma**2 * noise", "multiplied by the variance"),
        (" + sigma * noise", "", "exactly on the line"),
        ("velocity = x1 - x0", "velocity = x0 - x1", "points backwards"),
        ("velocity = x1 - x0", "velocity = x1 - point", "what is left of the way"),
        ("return point, velocity", "return point", "2 things are expected"),
    ],
    "slopes": [
        ("return covariance / variance", "return covariance", "divide by the variance"),
        ("covariance = t - (1 - t)", "covariance = (1 - t) - t", "signs are wrong"),
        ("at_quarter, at_end = slope(0), slope(1 / 4), slope(1)", "at_quarter, at_end = 0.0, 0.0, 0.0", "on average"),
        ("slope(1 / 4), slope(1)", "slope(1 / 4), slope(0)", "changes its sign"),
        ("slope(1 / 4)", "slope(1 / 2)", "at a quarter is off"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("flow_matching")


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
    assert told in verdict.text, verdict.text

"""The checks of the chapter i2m2 accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "two_tests": [
        ("(published, corrected)", "(corrected, published)", "swapped"),
        ("0.5 * 0.5 / (0.5 * 0.5 + 0.5 * 0.5)", "0.5 * 0.5", "not normalised"),
        ("odds = 1 / 9 * 9 * 9", "odds = 1 / 9", "multiplied by the prior once more"),
        ("odds = 1 / 9 * 9 * 9", "odds = 9 * 9", "divided by the prior twice"),
        ("odds = 1 / 9 * 9 * 9", "odds = 1 / 9 * 9", "raise the odds twice"),
        ("odds = 1 / 9 * 9 * 9", "odds = 3", "the corrected product is off"),
    ],
    "product": [
        ("gains * present[:, :, None]", "gains", "An absent expert must leave"),
        ("- prior.log()", "", "divide each expert by the prior|off"),
        ("prior.log() + total", "total", "The prior itself is missing"),
        ("prior.log() + total", "2 * prior.log() + total", "stands there twice"),
        (".log_softmax(-1)\n\n", "\n\n", "subtract the logarithm of the sum"),
        (".log_softmax(-1)\n\n", ".softmax(-1)\n\n", "leave out the last exponential"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("i2m2")


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
    assert any(text in verdict.text for text in told.split("|"))

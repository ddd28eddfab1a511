"""The checks of the chapter pix2pix accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "uniform": [
        ("best_at_half = real_density /", "best_at_half = made_density /", "the probability of real, not of made"),
        ("best_at_three_halves = 0.0", "best_at_three_halves = 1.0", "the probability of made"),
        ("on_made_values) / 2", "on_made_values)", "twice too large"),
        ("0.5 * math.log", "math.log", "only half of the made values"),
        ("least_loss = -(", "least_loss = (", "wrong sign"),
    ],
    "slopes": [
        ("return non_saturating, saturating", "return saturating, non_saturating", "swapped"),
        ("D = torch.sigmoid(d)", "D = torch.sigmoid(-d)", "swapped"),
        ("non_saturating = -(1 - D)\n    saturating = -D", "non_saturating = 1 - D\n    saturating = D", "signs"),
        (
            "non_saturating = -(1 - D)\n    saturating = -D",
            "non_saturating = -1 / D\n    saturating = -1 / (1 - D)",
            "chain rule",
        ),
    ],
    "patch": [
        ("zip(reversed(kernels), reversed(strides), strict=True)", "zip(kernels, strides, strict=True)", "goes back"),
        ("stride * (field - 1)", "(field - 1)", "strides are missing"),
        ("stride * (field - 1)", "stride * field", "r - 1 steps"),
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

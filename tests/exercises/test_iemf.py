"""The checks of the chapter on IEMF accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "xi": [
        ("heads.mean(0).sum() / both.sum()", "both.sum() / heads.mean(0).sum()", "upside down"),
        ("1 + torch.tanh", "torch.tanh", "1 in front of the tanh"),
        ("heads.mean(0).sum()", "heads.sum()", "added the heads' sums"),
        ("unimodal.softmax(-1)[:, items, label]", "unimodal.softmax(-1).amax(-1)", "is off"),
        ("heads.mean(0).sum() / both.sum()", "(heads.mean(0) / both).mean()", "item by item"),
        ("torch.tanh(1 - r)", "(1 - r)", "tanh is missing"),
        ("return 1 + torch.tanh(1 - r)", "return torch.tanh(1 - r).expand(3)", "shape (3,)"),
    ],
    "rates": [
        ("first_step(1.36 * gradient) / first_step(gradient)", "1.36", "divides the gradient by its own size"),
        ("g / g.square().sqrt()", "1 / g.square().sqrt()", "its root is taken"),
        ("g / g.square().sqrt()", "g * g", "comes out of its root"),
        ("0.05 * (1.36 * gradient) / gradient", "0.05 * gradient / (1.36 * gradient)", "must grow, not shrink"),
        ("0.05 * (1.36 * gradient) / gradient", "0.05", "still the old rate"),
        ("0.05 * (1.36 * gradient) / gradient", "1.36", "a rate, not a factor"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("iemf")


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

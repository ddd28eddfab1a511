"""The checks of the chapter connectors accept its solutions, and name the usual mistakes."""

import pytest

from exercises.harness import Exercises
from mmlab.exercises.connectors import check_read

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "read": [
        (" / queries.shape[-1] ** 0.5", "", "not divided"),
        (" ** 0.5", "", "divided by $D$"),
        (".softmax(-1)", ".softmax(0)", "over the queries"),
        (".softmax(-1)", "", "softmax is missing"),
        (
            "queries @ seen.T / queries.shape[-1] ** 0.5\n    return scores.softmax(-1) @ seen",
            "seen @ queries.T / queries.shape[-1] ** 0.5\n    return scores.softmax(-1) @ queries",
            "other way round",
        ),
        ("queries @ seen.T", "0 * queries @ seen.T", "average patch"),
    ],
    "room": [
        ("4 * 27 * 27", "27 * 27", "With patches you put in one picture"),
        ("3072 - 4 * 27 * 27", "4 * 27 * 27", "With patches you gave the positions"),
        ("4 * 64", "64", "With queries you put in one picture"),
        ("3072 - 4 * 64", "4 * 64", "With queries you gave the positions"),
        (" + 2560", "", "has a bias"),
        (" + 2560", " + 1152", "as many values as come out"),
    ],
}


@pytest.fixture(scope="module")
def exercises() -> Exercises:
    return Exercises("connectors")


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


def test_an_error_of_the_learner_is_told() -> None:
    assert not check_read(lambda queries, seen: queries + seen).ok

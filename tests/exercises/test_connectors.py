"""The checks of the chapter connectors accept its solutions, and name the usual mistakes."""

from exercises.harness import ExerciseTests
from mmlab.exercises.connectors import check_read

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "derivative": [
        (" / seen.shape[1] ** 0.5", "", "is missing"),
        ("seen.shape[1] ** 0.5", "seen.shape[1]", "divided by $D$"),
        ("/ len(seen)", "/ (len(seen) - 1)", "$P - 1$"),
        (" / len(seen)", "", "a sum over the patches"),
        (" - seen.mean(0)", "", "subtract the average patch"),
    ],
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


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""


def test_an_error_of_the_learner_is_told() -> None:
    assert not check_read(lambda queries, seen: queries + seen).ok

"""Each test module of a chapter gets the chapter's exercises, and a test for each of its ``MISTAKES``."""

import pytest

from exercises.harness import Exercises, ExerciseTests


@pytest.fixture(scope="module")
def exercises(request: pytest.FixtureRequest) -> Exercises:
    """The exercises of the chapter that the test module is named after."""
    return Exercises(request.module.__name__.rpartition(".")[2].removeprefix("test_"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each exercise, or for each mistake in it."""
    if metafunc.cls is None or not issubclass(metafunc.cls, ExerciseTests):
        return
    mistakes = metafunc.module.MISTAKES
    if "told" in metafunc.fixturenames:
        listed = [(name, *mistake) for name, tried in mistakes.items() for mistake in tried]
        metafunc.parametrize(("name", "old", "new", "told"), listed)
    else:
        metafunc.parametrize("name", list(mistakes))

"""Parameters are checked before a run."""

import pytest

from mmlab.publish.run.parameters import check, declared

CELL = "steps = 100\nlr = 1e-3\nfast = True\nname = 'a'\nsigma: float | None = None\nwidths: list[int] = [1, 2]\n"


def test_declared_parameters():
    found = declared('"""Turn these."""\n' + CELL)
    assert found["steps"] == ("int", 100)
    assert found["sigma"] == ("float | None", None)
    assert found["widths"] == ("list[int]", [1, 2])


@pytest.mark.parametrize("cell", ["x = f()", "import os", "a = b = 1", "x: int", "x += 1", "(a, b) = 1, 2"])
def test_a_parameters_cell_holds_literals_only(cell):
    with pytest.raises(ValueError, match="may only hold lines like"):
        declared(cell)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"steps": 5},
        {"lr": 1},
        {"fast": False},
        {"sigma": 0.5},
        {"sigma": None},
        {"sigma": 2},
        {"widths": [3]},
        {"name": "b"},
    ],
)
def test_values_of_the_declared_type_are_taken(given):
    check(CELL, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stesp": 5}, "did you mean 'steps'"),
        ({"zzz": 5}, "there are steps, lr"),
        ({"steps": 5.0}, "declares int"),
        ({"steps": "5"}, "declares int"),
        ({"steps": True}, "declares int"),
        ({"lr": "0.1"}, "declares float"),
        ({"fast": 1}, "declares bool"),
        ({"sigma": "wide"}, r"declares float \| None"),
        ({"steps": None}, "declares int"),
        ({"widths": 3}, "declares list"),
    ],
)
def test_anything_else_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check(CELL, given)


def test_a_notebook_without_parameters_takes_none():
    check(None, {})
    with pytest.raises(ValueError, match="there are none"):
        check(None, {"steps": 1})

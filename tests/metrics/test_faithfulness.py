"""Faithfulness by hand: told against read."""

from __future__ import annotations

import numpy as np
import pytest

from mmlab.metrics.faithfulness import faithfulness, hits

READ = [
    {"number": 1, "presence": True, "positions": ("centre",), "shape": "flat", "text": False},
    {"number": 0, "presence": False, "text": True},
    {"number": 2, "presence": True, "positions": ("upper left", "centre"), "shape": "sessile", "text": False},
]


def test_counted_by_hand() -> None:
    told = [
        {"number": 1, "presence": True, "position": "centre", "shape": "sessile"},
        {"number": 1, "presence": True, "position": "centre", "shape": "flat"},
        {"number": 2, "presence": True, "text": False},
    ]
    found = hits(READ, told)
    assert found["number"].tolist() == [1, 0, 1]
    assert found["presence"].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found["position"], [1, 0, np.nan])
    np.testing.assert_array_equal(found["shape"], [0, 0, np.nan])
    np.testing.assert_array_equal(found["text"], [np.nan, np.nan, 1])
    shares = faithfulness(READ, told)
    assert shares == {"number": 2 / 3, "presence": 2 / 3, "position": 0.5, "shape": 0.0, "text": 1.0, "all": 1 / 3}


def test_positions_of_several_and_prompts_that_tell_nothing() -> None:
    assert faithfulness([READ[2]], [{"position": "upper left"}])["position"] == 1.0
    assert faithfulness([READ[2]], [{"positions": ("centre",)}])["positions"] == 0.0
    assert faithfulness(READ, [{}, {"number": 0}, {"number": 0}])["all"] == 0.5


def test_bad_input_gets_one_sentence() -> None:
    with pytest.raises(ValueError, match="one prompt for each picture"):
        hits(READ, [{}])
    with pytest.raises(ValueError, match="nothing that a picture could show"):
        faithfulness(READ[:1], [{}])
    with pytest.raises(ValueError, match="'colour' was told"):
        hits(READ[:1], [{"colour": "red"}])

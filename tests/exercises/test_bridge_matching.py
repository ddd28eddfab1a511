"""The checks of the chapter on bridge matching accept its solutions, and name the usual mistakes."""

import numpy as np
import pytest
import torch

from exercises.harness import Exercises, ExerciseTests
from mmlab.exercises.bridge_matching import check_centres, check_triangular_moments, check_two_steps, check_walk
from mmlab.exercises.verdict import Verdict

# Of each check: what is changed in the solution of the chapter, into what, and what the learner is told.
MISTAKES = {
    "centres": [
        ("_absolute_error = candidates[absolute", "_absolute_error = candidates[squared", "you gave the mean"),
        ("_squared_error = candidates[squared", "_squared_error = candidates[absolute", "you gave the median"),
        ("error, best_for_squared_error))", "error, best_for_squared_error)[::-1])", "swapped"),
        ("< 0.3", "< 0.7", "the rarer outcome"),
        ("[squared.argmin()]", "[50]", "the middle of 0 and 1"),
        ("[squared.argmin()]", "[15]", "squared error is off"),
    ],
    "triangular_moments": [
        ("2 * t**2,", "8 * t**2,", "four times too large"),
        ("2 * t**2,", "4 * t**2,", "twice too large"),
        ("1 - 2 * (1 - t) ** 2", "2 * t**2", "β falls again"),
        ("torch.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)", "t", "constant schedule"),
        ("torch.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)", "4 * torch.minimum(t, 1 - t)", "β_t$ itself"),
        ("end * x0 + start * x1", "start * x0 + end * x1", "ends are swapped"),
        ("from_start(t), from_start(1 - t)", "from_start(1 - t), from_start(t)", "$1 - t$ should be"),
        ("start * end / sigma**2", "(start * end).sqrt() / sigma", "standard deviation"),
        ("start * end / sigma**2", "start * end", "not divided by"),
        ("start * end / sigma**2", "start * end / sigma**3", "σ where it needs σ²"),
        ("start * end / sigma**2", "0.5 * start * end / sigma**2", "is right, but the variance is off: in one"),
        ("torch.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)", "(2 * t**2 if t < 0.5 else 1)", "`torch.where` can"),
        ("return mean, variance", "return mean", "2 things are expected"),
        ("return mean, variance", "return mean[:, 0], variance", "shape (5,), where (5, 3) is expected"),
        ("return mean, variance", "return mean, variance.log().sqrt()", "not finite"),
    ],
    "two_steps": [
        ("slope**2 * sigma**2 / 4", "s**2", "true variance"),
        ("slope**2 * sigma**2 / 4", "sigma**2 / 4", "the state at ½: the last"),
        ("slope**2 * sigma**2 / 4", "(s**2 + sigma**2) / 4", "of a true bridge at ½"),
        ("slope**2 * sigma**2 / 4", "slope**2 * (s**2 + sigma**2) / 4", "of a *true* bridge"),
        ("slope**2 * sigma**2 / 4", "slope * sigma / 2", "square it"),
        ("slope**2 * sigma**2 / 4", "slope**2 * sigma**2 / 4 / s**2", "multiply it by"),
        ("2 * s**2 /", "s**2 /", "slope is half"),
    ],
    "walk": [
        ("variance.sqrt() * z", "variance * z", "forgot the square root"),
        ("mean + variance.sqrt() * z", "mean", "there is no noise"),
        ("(now - then) * then / now", "now - then", "free diffusion"),
        ("then * x + (now - then) * x1", "then * x1 + (now - then) * x", "weights"),
        ("then * x +", "then * x0 +", "sets out from $x_0$ again"),
        ("reference.to_end(s), reference.to_end(t)", "reference.sigma**2 * (1 - s), reference.sigma**2 * (1 - t)",
         "constant schedule only"),
        ("x = mean + variance.sqrt() * z", "x = x + (t - s) * reference.beta(s) * (x1 - x) / now + "
         "(reference.beta(s) * (t - s)).sqrt() * z", "Euler–Maruyama"),
        ("mean + variance.sqrt() * z", "bridge_moments(reference, x0, x1, t)[0] + "
         "bridge_moments(reference, x0, x1, t)[1].sqrt() * z", "drawn anew"),
        ("to_end", "from_start", "not finite"),
    ],
}  # fmt: skip


class TestExercises(ExerciseTests):
    """What all checks of exercises are tested for, with these mistakes."""


def test_other_right_answers_are_right_too(exercises: Exercises) -> None:
    assert check_centres((np.float64(0.0), torch.tensor([0.3])[0]))
    assert check_centres([0, 0.29])
    assert exercises.solution("walk", "mean + variance", "mean - variance")
    assert exercises.solution("triangular_moments", "return mean, variance", "return mean, variance + 0 * x0")


@pytest.mark.parametrize("check", [check_centres, check_triangular_moments, check_two_steps, check_walk])
@pytest.mark.parametrize(
    "answer", [None, ..., 3, "x", (), (None, None), ("a", 1j), [[1], 2, 3], dict, lambda: 1 / 0, print]
)
def test_nothing_is_raised_whatever_is_answered(check, answer, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = check(answer)
    assert isinstance(verdict, Verdict)
    assert not verdict
    assert capsys.readouterr().out.endswith(f"{verdict.text}\n")


def test_what_is_right_only_before_the_peak_is_found() -> None:
    def moments(x0, x1, t, sigma):
        share = 2 * t**2
        return (1 - share) * x0 + share * x1, sigma**2 * share * (1 - share)

    assert "β falls again" in check_triangular_moments(moments).text

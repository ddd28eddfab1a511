"""Measures of class probabilities, beside scikit-learn, closed forms and sums by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor

from mmlab.metrics.classification import (
    accuracy,
    area_under_curve,
    brier,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    macro_f1,
    reliability,
    temper,
)

ALL = (accuracy, macro_f1, area_under_curve, log_loss, brier, expected_calibration_error)


def answers(classes: int, count: int = 400, sharpness: float = 1.0) -> tuple[Tensor, Tensor]:
    """Labels drawn from the probabilities; a sharpness other than one makes the answers miscalibrated."""
    rng = torch.Generator().manual_seed(classes)
    logits = 1.5 * torch.randn(count, classes, generator=rng, dtype=torch.float64)
    label = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    return (sharpness * logits).softmax(1), label


@pytest.mark.parametrize("classes", [2, 5])
def test_agrees_with_scikit_learn(classes: int) -> None:
    p, y = answers(classes)
    hard, probabilities, label = p.argmax(1).numpy(), p.numpy(), y.numpy()
    curve = oracle.roc_auc_score(label, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr")
    assert accuracy(p, y) == pytest.approx(oracle.accuracy_score(label, hard))
    assert macro_f1(p, y) == pytest.approx(oracle.f1_score(label, hard, average="macro"))
    assert area_under_curve(p, y) == pytest.approx(curve)
    assert log_loss(p, y) == pytest.approx(oracle.log_loss(label, probabilities))
    assert brier(p, y) == pytest.approx(((probabilities - np.eye(classes)[label]) ** 2).sum(1).mean())


def test_calibration_error_agrees_with_a_loop_over_bins() -> None:
    p, y = answers(4, sharpness=3)
    total = 0.0
    for b in range(15):
        inside = [(c, k == t) for c, k, t in zip(*p.max(1), y, strict=True) if b / 15 < c <= (b + 1) / 15]
        if inside:
            gap = sum(float(c) for c, _ in inside) / len(inside) - sum(bool(r) for _, r in inside) / len(inside)
            total += len(inside) / len(y) * abs(gap)
    assert expected_calibration_error(p, y) == pytest.approx(total)
    assert total > 0.1


def test_calibration_error_of_a_constant_answer_is_its_gap() -> None:
    p = torch.tensor([[0.9, 0.1]]).expand(10, 2)
    label = torch.tensor([0] * 6 + [1] * 4)
    assert expected_calibration_error(p, label) == pytest.approx(0.3)
    confidence, right, count = reliability(p, label, bins=10)
    assert count.tolist() == [0.0] * 8 + [10.0, 0.0]  # 0.9 is the right edge of its bin
    assert (float(confidence[8]), float(right[8])) == pytest.approx((0.9, 0.6))


def test_right_probabilities_are_calibrated() -> None:
    p, y = answers(3, count=40_000)
    assert expected_calibration_error(p, y) < 0.01
    assert fit_temperature(p, y) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sharpness", [0.4, 2.5])
def test_temperature_undoes_what_was_sharpened(sharpness: float) -> None:
    right, y = answers(3, count=20_000)
    wrong, _ = answers(3, count=20_000, sharpness=sharpness)
    temperature = fit_temperature(wrong, y)
    assert temperature == pytest.approx(sharpness, rel=0.04)
    torch.testing.assert_close(temper(wrong, sharpness), right)
    assert accuracy(temper(wrong, temperature), y) == accuracy(wrong, y)


def test_uniform_answer_is_chance() -> None:
    label = torch.tensor([0, 0, 0, 1, 2, 3, 3, 1])
    p = torch.full((8, 4), 0.25)
    assert accuracy(p, label) == pytest.approx(0.25)
    assert area_under_curve(p, label) == pytest.approx(0.5)
    assert log_loss(p, label) == pytest.approx(math.log(4))
    assert expected_calibration_error(p, label) == pytest.approx(0)


def test_a_certain_error_costs_a_finite_amount() -> None:
    p = torch.tensor([[1.0, 0.0]])
    assert log_loss(p, torch.tensor([1])) == pytest.approx(-math.log(torch.finfo(torch.float32).eps))
    assert brier(p, torch.tensor([1])) == 2


@pytest.mark.parametrize("measure", ALL)
def test_impossible_input_is_refused(measure) -> None:
    p, y = answers(3, count=8)
    for probabilities, label, words in [
        (p[:5], y, "expected"),
        (p.log(), y, "softmax"),
        (2 * p, y, "softmax"),
        (p, y + 3, "classes"),
        (p, y.double(), "integer"),
        (p[:0], y[:0], "N >= 1"),
        (p * torch.nan, y, "softmax"),
    ]:
        with pytest.raises(ValueError, match=words):
            measure(probabilities, label)


def test_what_has_no_answer_is_refused() -> None:
    p, _ = answers(3, count=8)
    with pytest.raises(ValueError, match="Class 2 of 3"):
        area_under_curve(p, torch.tensor([0, 1] * 4))
    with pytest.raises(ValueError, match="at least one"):
        reliability(p, torch.zeros(8, dtype=torch.long), bins=0)
    with pytest.raises(ValueError, match="positive"):
        temper(p, 0)

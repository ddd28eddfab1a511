"""Precision, recall and authenticity of samples against closed forms on a line."""

import pytest
import torch

from mmlab.metrics.fidelity import (
    alpha_precision,
    alpha_precision_curve,
    authenticity,
    beta_recall,
    beta_recall_curve,
)

LINE = torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None]


def test_points_of_the_same_set_are_perfect() -> None:
    assert alpha_precision(LINE, LINE) == pytest.approx(1, abs=2e-3)
    assert beta_recall(LINE, LINE) == pytest.approx(1, abs=2e-3)


def test_points_in_the_middle_half_lose_recall_alone_at_the_end() -> None:
    """P(α) = min(2α, 1) and R(β) = β/2: both scores are 1 - 2 · 1/4."""
    alpha, precision = alpha_precision_curve(LINE / 2, LINE)
    torch.testing.assert_close(precision, (2 * alpha).clamp_max(1), atol=2e-3, rtol=0)
    beta, recall = beta_recall_curve(LINE / 2, LINE)
    torch.testing.assert_close(recall, beta / 2, atol=4e-3, rtol=0)
    assert float(precision[-1]) == 1
    assert alpha_precision(LINE / 2, LINE) == pytest.approx(0.5, abs=0.01)
    assert beta_recall(LINE / 2, LINE) == pytest.approx(0.5, abs=0.01)


def test_points_that_reach_too_far_lose_precision_alone_at_the_end() -> None:
    """P(α) = α/2 and R(β) = min(2β, 1)."""
    alpha, precision = alpha_precision_curve(2 * LINE, LINE)
    torch.testing.assert_close(precision, alpha / 2, atol=2e-3, rtol=0)
    beta, recall = beta_recall_curve(2 * LINE, LINE)
    torch.testing.assert_close(recall, (2 * beta).clamp_max(1), atol=4e-3, rtol=0)
    assert float(recall[-1]) == 1


def test_one_mode_of_two_keeps_half_of_the_recall() -> None:
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 10
    real = torch.cat([x[:200] + 1, x[200:] - 1])
    one = torch.randn(400, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 10 + 1
    assert 0.45 < float(beta_recall_curve(one, real)[1][-1]) < 0.51
    both = torch.cat([one[:200], one[200:] - 2])
    assert float(beta_recall_curve(both, real)[1][-1]) > 0.93


def test_five_neighbours_leave_a_thirty_second_uncovered() -> None:
    x, y = torch.randn(2, 2000, 3, generator=torch.Generator().manual_seed(0))
    assert float(beta_recall_curve(x, y)[1][-1]) == pytest.approx(1 - 2**-5, abs=0.02)
    assert float(beta_recall_curve(x, y, neighbours=1)[1][-1]) == pytest.approx(0.5, abs=0.04)


def test_copies_are_not_authentic() -> None:
    x, y = torch.randn(2, 1000, 3, generator=torch.Generator().manual_seed(0))
    assert authenticity(x, x) == 0
    assert authenticity(x + 1e-3, x) < 0.01
    assert 0.3 < authenticity(y, x) < 0.6
    assert authenticity(y + 100, x) == 1


@pytest.mark.parametrize("measure", [alpha_precision, beta_recall, authenticity])
def test_what_has_no_distance_is_refused(measure) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(torch.zeros(9, 2), torch.zeros(9, 3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        measure(torch.zeros(9, 2) / 0, torch.zeros(9, 2))
    with pytest.raises(ValueError, match="too small"):
        measure(torch.zeros(1, 2), torch.zeros(9, 2))

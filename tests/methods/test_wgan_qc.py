"""Oracles of wgan_qc: what would fail if a formula were wrong."""

import torch

from mmlab.methods.wgan_qc import WganQc, squared_error


def test_squared_error_by_hand() -> None:
    prediction, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert squared_error(prediction, target).item() == (1 + 4 + 0 + 1) / 4


def test_prediction_is_the_learned_map() -> None:
    method, batch = WganQc.demo()
    expected = batch["source"] @ method.map.weight.T + method.map.bias
    torch.testing.assert_close(method.predict(batch["source"]), expected)

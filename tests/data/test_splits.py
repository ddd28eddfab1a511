"""Splits: stratified and rescaled by the training items only."""

import pytest
import torch

from mmlab.data.splits import Splits, rescale, stratified
from mmlab.data.tensors import TensorData


def parts() -> list[TensorData]:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.0]) + 5
    return [TensorData({"x": x[:30], "n": torch.arange(30)}), TensorData({"x": x[30:] + 3, "n": torch.arange(30, 40)})]


def test_rescale_knows_the_training_items_only() -> None:
    train, test = parts()
    for how in ("minmax", "zscore"):
        ours = rescale([train, test], ["x"], how)  # type: ignore[arg-type]
        alone = rescale([train], ["x"], how)  # type: ignore[arg-type]
        assert torch.equal(ours[0].tensors["x"], alone[0].tensors["x"])
        assert torch.equal(ours[1].tensors["n"], test.tensors["n"])
    low, high = rescale([train, test], ["x"], "minmax")[0].tensors["x"].aminmax(dim=0)
    assert low.tolist() == [0, 0, 0]
    assert high.tolist() == [1, 1, 0]  # the constant feature becomes 0 ...
    scaled = rescale([train, test], ["x"], "zscore")
    assert torch.allclose(scaled[0].tensors["x"].mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(scaled[0].tensors["x"].std(0, correction=0), torch.tensor([1.0, 1, 0]), atol=1e-5)
    assert not scaled[1].tensors["x"][:, 2].any()  # ... in the test too, and is not blown up
    mean, deviation = train.tensors["x"].mean(0), train.tensors["x"].std(0, correction=0)
    assert torch.allclose(scaled[1].tensors["x"][:, :2], ((test.tensors["x"] - mean) / deviation)[:, :2], atol=1e-4)
    assert torch.equal(rescale([train, test], ["x"], "none")[1].tensors["x"], test.tensors["x"])
    with pytest.raises(ValueError, match="no scale 'max': choose none, minmax"):
        rescale([train], ["x"], "max")  # type: ignore[arg-type]


def test_stratified_keeps_the_shares() -> None:
    label = torch.tensor([0] * 50 + [1] * 30 + [4] * 20)
    kept, held = stratified(label, 0.2, seed=1)
    assert label[held].bincount().tolist() == [10, 6, 0, 0, 4]
    assert torch.cat([kept, held]).sort().values.tolist() == list(range(100))
    assert not torch.equal(held, stratified(label, 0.2, seed=2)[1])
    assert torch.equal(held, stratified(label, 0.2, seed=1)[1])
    with pytest.raises(ValueError, match="2 items of class 1 leaves one side empty"):
        stratified(torch.tensor([0] * 50 + [1] * 2), 0.1)


def test_the_parts_are_told() -> None:
    train, test = parts()
    assert "train 30, test 10" in repr(Splits(train, None, test, "a test"))
    assert "train 30, validation 10, test 10" in repr(Splits(train, test, test, "a test", ("mnist",)))

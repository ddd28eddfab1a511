"""Splits: stratified and rescaled by the training items only."""

from typing import Literal

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


@pytest.mark.parametrize("how", ["minmax", "zscore"])
def test_nan_marks_what_is_absent_and_does_not_count(how: Literal["minmax", "zscore"]) -> None:
    """One missing value must not take the feature away from everybody."""
    x = torch.tensor([[1.0, 5], [2, 7], [torch.nan, 9], [4, 5]])
    test = torch.tensor([[3.0, torch.nan]])
    train, other = rescale([TensorData({"a": x}), TensorData({"a": test})], ["a"], how)
    alone, _ = rescale([TensorData({"a": x[[0, 1, 3]]}), TensorData({"a": test})], ["a"], how)
    assert torch.equal(train.tensors["a"][[0, 1, 3], 0], alone.tensors["a"][:, 0])
    assert train.tensors["a"].isnan().tolist() == x.isnan().tolist()
    assert other.tensors["a"].isnan().tolist() == [[False, True]]


def test_what_no_scale_fits_is_refused() -> None:
    good = TensorData({"a": torch.ones(3, 2)})
    with pytest.raises(ValueError, match="'a' is NaN in feature 1 for all training items: leave that feature out"):
        rescale([TensorData({"a": torch.tensor([[1.0, torch.nan]] * 3)})], ["a"], "zscore")
    with pytest.raises(ValueError, match="'a' holds infinity"):
        rescale([good, TensorData({"a": torch.tensor([[1.0, torch.inf]])})], ["a"], "minmax")


@pytest.mark.parametrize("offset", [0.0, 1e6, -3e7])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_scaling_knows_no_units(offset: float, scale: float) -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = rescale([TensorData({"a": x})], ["a"], "zscore")[0].tensors["a"]
    found = rescale([TensorData({"a": (x * 100 + offset) * scale})], ["a"], "zscore")[0].tensors["a"]
    assert torch.allclose(found, expected, atol=1e-6)

"""The ways to compute the U-Net faster give the outputs of the plain way."""

import pytest
import torch

from mmlab.nn import unet
from mmlab.nn.unet import UNet


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(2, 1, 8, multipliers=(1, 2), blocks=1, attention=False).eval()
    torch.nn.init.normal_(network.last.weight)  # the output starts at zero
    return network


@torch.no_grad()
def test_large_images_are_computed_one_by_one(network: UNet, monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = torch.randn(3, 2, 20, 20), torch.rand(3)
    seen: list[int] = []
    network.first.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    at_once = network(x, t)
    monkeypatch.setattr(unet, "LARGE_IMAGE", 400)
    torch.testing.assert_close(network(x, t), at_once, rtol=1e-5, atol=1e-5)
    with torch.enable_grad():
        network(x, t)
    assert seen == [3, 1, 1, 1, 3]


@torch.no_grad()
def test_the_order_of_channels_in_memory_changes_nothing(network: UNet) -> None:
    x, t = torch.randn(3, 2, 20, 20), torch.rand(3)
    plain = network(x, t)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last), t), plain, rtol=1e-4, atol=1e-4)

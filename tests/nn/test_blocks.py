"""Blocks: what they promise about zero, time and size."""

import pytest
import torch

from mmlab.nn.mlp import FiLMPerceptron
from mmlab.nn.time import TimeEmbedding, sinusoidal_embedding
from mmlab.nn.unet import LARGEST_ATTENTION, SelfAttention2d, UNet


def test_time_embedding_uses_its_columns():
    t = torch.linspace(0, 1, 200)
    spread = sinusoidal_embedding(t, 64).std(0)
    raw = sinusoidal_embedding(t, 64, scale=1.0).std(0)
    assert (spread > 0.1).float().mean() > 0.7
    assert (raw > 0.1).float().mean() < 0.3  # the unscaled time leaves most columns constant


def test_time_embedding_by_hand():
    angle = 1000 * 0.3
    embedded = sinusoidal_embedding(torch.tensor([0.3], dtype=torch.float64), 4)[0]
    fast, slow = torch.tensor(angle), torch.tensor(angle / 10_000)
    torch.testing.assert_close(
        embedded, torch.stack([fast.cos(), slow.cos(), fast.sin(), slow.sin()]).double(), rtol=0, atol=1e-4
    )


def test_blind_embedding_ignores_time():
    embedding = TimeEmbedding(8, enabled=False)
    assert torch.equal(embedding(torch.tensor([0.1])), embedding(torch.tensor([0.9])))


@pytest.mark.parametrize("size", [(28, 28), (33, 20), (5, 7)])
def test_unet_starts_at_zero_and_keeps_the_size(size):
    network = UNet(2, 1, width=8)
    out = network(torch.randn(2, 2, *size), torch.rand(2))
    assert out.shape == (2, 1, *size)
    assert out.abs().max() == 0


def test_unet_sees_time_unless_it_is_blind():
    x, t = torch.randn(1, 1, 8, 8), [torch.tensor([0.1]), torch.tensor([0.9])]
    for time_conditioning in (True, False):
        network = UNet(1, 1, width=8, time_conditioning=time_conditioning)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        assert torch.equal(network(x, t[0]), network(x, t[1])) is not time_conditioning


def test_attention_by_hand():
    attention = SelfAttention2d(4, heads=1)
    torch.nn.init.normal_(attention.output.weight)
    x = torch.randn(2, 4, 3, 3)
    query, key, value = attention.query_key_value(attention.norm(x)).flatten(2).chunk(3, dim=1)  # (B, C, T)
    weights = (query.transpose(1, 2) @ key / 2).softmax(-1)  # √C = 2
    mixed = (weights @ value.transpose(1, 2)).transpose(1, 2).reshape(2, 4, 3, 3)
    torch.testing.assert_close(attention(x), x + attention.output(mixed))


def test_attention_refuses_large_images():
    side = int(LARGEST_ATTENTION**0.5)
    SelfAttention2d(4)(torch.zeros(1, 4, side, side))
    with pytest.raises(ValueError, match="attention=False"):
        SelfAttention2d(4)(torch.zeros(1, 4, side + 1, side))


def test_perceptron_can_copy_in_spite_of_its_bottleneck():
    network = FiLMPerceptron(2, 50, width=4)
    x = torch.randn(8, 2, 50)
    assert network(x, torch.rand(8)).abs().max() == 0
    with torch.no_grad():
        network.gains.bias.copy_(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(network(x, torch.rand(8))[:, 0], x[:, 0])

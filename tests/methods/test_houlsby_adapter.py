"""Oracles of Houlsby adapters: an identity at first, a transcription on one block, and the count of their values."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu

from mmlab.methods.houlsby_adapter import Bottleneck, HoulsbyAdapter
from mmlab.methods.latent_diffusion import LatentDiffusion


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _base() -> LatentDiffusion:
    base, _ = LatentDiffusion.demo()
    with torch.no_grad():
        base.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
    return base.eval()


def test_at_the_start_it_is_the_base() -> None:
    base, (_, batch) = _base(), LatentDiffusion.demo()
    method = HoulsbyAdapter.on(base, width=3).eval()
    one, other = (m.sample(batch["input_ids"], steps=3, rng=_rng()) for m in (method, base))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_transformer_block_computes_what_the_paper_draws() -> None:
    """Attention and perceptron, each followed by an adapter inside the connection around the sublayer."""
    method = HoulsbyAdapter.on(_base(), width=3).eval()
    block = next(m for m in method.unet.modules() if type(m).__name__ == "BasicTransformerBlock")
    bottlenecks = [m for m in block.modules() if isinstance(m, Bottleneck)]
    assert len(bottlenecks) == 3
    with torch.no_grad():
        for held in bottlenecks:
            held.up.weight.normal_(generator=_rng(4))
    x, words = torch.randn(2, 6, 16), torch.randn(2, 4, 16)

    def adapter(held: Bottleneck, h: torch.Tensor) -> torch.Tensor:
        return h + gelu(h @ held.down.weight.T + held.down.bias) @ held.up.weight.T + held.up.bias

    def bare(sublayer: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """The sublayer before its adapter."""
        seen = []
        held = next(m for m in sublayer.modules() if isinstance(m, Bottleneck))
        handle = held.base.register_forward_hook(lambda _, __, out: seen.append(out))
        sublayer(*inputs)
        handle.remove()
        return seen[0]

    with torch.no_grad():
        y = x + adapter(bottlenecks[0], bare(block.attn1, block.norm1(x)))
        y = y + adapter(bottlenecks[1], bare(block.attn2, block.norm2(y), words))
        y = y + adapter(bottlenecks[2], bare(block.ff, block.norm3(y)))
        torch.testing.assert_close(block(x, encoder_hidden_states=words), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("where", "sublayers"), [("text", 2), ("unet", 12), ("both", 14)])
def test_it_is_as_large_as_it_should_be(where: str, sublayers: int) -> None:
    method = HoulsbyAdapter.on(_base(), width=3, where=where)
    trained = [p for p in method.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == sublayers * (2 * 16 * 3 + 16 + 3)
    assert sum(isinstance(m, Bottleneck) for m in method.modules()) == sublayers


def test_bad_input_gets_one_sentence() -> None:
    with pytest.raises(ValueError, match="width of 1 or more"):
        HoulsbyAdapter.on(_base(), width=0)
    with pytest.raises(ValueError, match="none of 'both'"):
        HoulsbyAdapter.on(_base(), where="vae")

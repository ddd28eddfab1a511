"""Oracles of QLoRA: bitsandbytes on the same numbers, quantiles of a Gaussian, and training through four bits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import pad

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.methods.lora import LoRA
from mmlab.methods.qlora import (
    QLoRA,
    Quantised,
    dequantise,
    dynamic_levels,
    nf4_levels,
    quantise,
)
from mmlab.nn.low_rank import LINEAR, LowRank


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_codes_and_levels_are_those_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    torch.testing.assert_close(nf4_levels(), functional.get_4bit_type("nf4", device="cpu"), atol=3e-7, rtol=0)
    assert torch.equal(dynamic_levels(), functional.create_dynamic_map())
    for shape in ((64, 64), (100, 52), (320, 64)):
        weight = torch.randn(shape, generator=_rng(1)) * 0.05
        held = quantise(weight)
        theirs, state = functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
        assert torch.equal(held.codes, theirs.flatten())
        torch.testing.assert_close(held.scales, state.state2.absmax)
        torch.testing.assert_close(held.offset, state.offset)
        # Half-way between two levels of the sizes, within a 10,000th, their table takes the further one at times.
        differ = (held.sizes != state.absmax).nonzero().flatten()
        assert len(differ) <= 0.01 * len(held.sizes) + 1
        size = pad(weight.flatten(), (0, -weight.numel() % 64)).view(-1, 64).abs().amax(1)
        scaled = ((size - held.offset) / held.scales.repeat_interleave(256)[: len(size)])[differ]
        ours, other = ((scaled - dynamic_levels()[codes[differ].long()]).abs() for codes in (held.sizes, state.absmax))
        assert (ours <= other).all()
        assert (other - ours < 1e-4).all()
        same = held._replace(sizes=state.absmax)
        torch.testing.assert_close(dequantise(same), functional.dequantize_4bit(theirs, state))


def test_a_layer_computes_what_that_of_bitsandbytes_does() -> None:
    nn = pytest.importorskip("bitsandbytes.nn")
    torch.manual_seed(0)
    plain = torch.nn.Linear(128, 40)
    theirs = nn.Linear4bit(128, 40, quant_type="nf4", compress_statistics=True, compute_dtype=torch.float32)
    theirs.load_state_dict(plain.state_dict())
    theirs = theirs.to("cpu")
    if theirs.weight.dtype != torch.uint8:
        pytest.skip("this bitsandbytes does not quantise on the processor")
    x = torch.randn(5, 128, generator=_rng())
    torch.testing.assert_close(Quantised(plain)(x), theirs(x), atol=2e-3, rtol=1e-3)


def test_rows_that_end_inside_a_block_come_back_as_well_as_others() -> None:
    """Version 0.50.2 of bitsandbytes decodes them with the sizes of other blocks, on processors with AVX-512."""
    errors = []
    for columns in (64, 96):
        weight = torch.randn(320, columns, generator=_rng(5))
        errors.append(float((dequantise(quantise(weight)) - weight).abs().mean()))
    assert abs(errors[1] / errors[0] - 1) < 0.02


def test_levels_are_quantiles_of_a_gaussian() -> None:
    """By the error function alone: between neighbours lie equal shares, above zero and below."""
    levels = nf4_levels().double()
    assert len(levels) == 16
    assert levels[7] == 0
    assert levels[0] == -1
    assert levels[15] == 1
    top = math.sqrt(2) * torch.erfinv(torch.tensor(2 * 0.9677083 - 1, dtype=torch.float64))
    share = 0.5 * (1 + torch.erf(levels * top / math.sqrt(2)))
    torch.testing.assert_close(share[7:].diff(), torch.full((8,), (0.9677083 - 0.5) / 8).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(share[:8].diff(), torch.full((7,), (0.9677083 - 0.5) / 7).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(7, 9), (1, 1), (65, 1), (130, 129)])
def test_any_shape_comes_back_within_half_a_step(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=_rng(2))
    held = quantise(weight)
    back = dequantise(held)
    assert back.shape == weight.shape
    widest = nf4_levels().diff().max() / 2
    assert (back - weight).abs().max() < widest * weight.abs().max() * 1.05 + 0.1
    assert not dequantise(quantise(torch.zeros(shape))).any()


def test_the_error_of_gaussian_weights_is_the_measured_one_and_the_size_the_published_one() -> None:
    weight = torch.randn(1024, 1024, generator=_rng(3))
    held = quantise(weight)
    assert abs((dequantise(held) - weight).abs().mean() - 0.0727) < 0.001
    bits = 8 * held.bytes / weight.numel()
    assert abs(bits - (4 + 8 / 64 + 32 / (64 * 256))) < 1e-3  # 4.127, as in the paper


def test_it_trains_through_four_bits_which_stay_as_they_are() -> None:
    method, batch = QLoRA.demo()
    codes = {name: buffer.clone() for name, buffer in method.named_buffers() if name.endswith("codes")}
    assert len(codes) == len(method.adapters) > 4
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    assert trained == sum(held.a.numel() + held.b.numel() for held in method.adapters.values())
    before = [held.b.detach().clone() for held in method.adapters.values()]
    mmlab.fit(method, TensorData(batch), steps=3, batch_size=4, lr=1e-2, progress=False)
    assert all(torch.equal(buffer, codes[n]) for n, buffer in method.named_buffers() if n in codes)
    assert all((held.b != old).any() for held, old in zip(method.adapters.values(), before, strict=True))


def test_it_is_lora_on_rounded_weights() -> None:
    base, batch = LatentDiffusion.demo()
    with torch.no_grad():
        base.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
    four = QLoRA.on(base, seed=1, rank=2).eval()
    rounded = LoRA.on(base, seed=1, rank=2, targets=LINEAR).eval()
    with torch.no_grad():
        for name, held in rounded.adapters.items():
            assert isinstance(held, LowRank)
            held.base.weight.copy_(dequantise(quantise(held.base.weight)))
            assert torch.equal(held.a, four.adapters[name].a)
    one, other = (m.sample(batch["input_ids"], steps=3, rng=_rng()) for m in (four, rounded))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(four.merged().sample(batch["input_ids"], steps=3, rng=_rng()), one, atol=1e-5, rtol=1e-5)


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        quantise(torch.tensor([1.0, float("nan")]))

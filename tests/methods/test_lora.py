"""Oracles of LoRA: peft on the same numbers, the published size, merging, and clipping that clips."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.methods.lora import LoRA
from mmlab.nn.low_rank import ATTENTION, LowRank


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _base() -> LatentDiffusion:
    base, _ = LatentDiffusion.demo()
    with torch.no_grad():
        base.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
    return base.eval()


def _moved(method: LoRA) -> LoRA:
    """As after some training."""
    with torch.no_grad():
        for held in method.adapters.values():
            held.b.normal_(std=0.3, generator=_rng(held.b.numel()))
    return method.eval()


def test_output_and_gradients_are_those_of_peft() -> None:
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    base = _base()
    ours = _moved(LoRA.on(base, rank=3, alpha=6.0))
    theirs = copy.deepcopy(base.unet)
    config = LoraConfig(r=3, lora_alpha=6.0, target_modules=list(ATTENTION), init_lora_weights="gaussian")
    inject_adapter_in_model(config, theirs)
    state = {f"{n}.lora_A.weight": m.a.detach() for n, m in ours.adapters.items()}
    state |= {f"{n}.lora_B.weight": m.b.detach() for n, m in ours.adapters.items()}
    assert not set_peft_model_state_dict(theirs, state).unexpected_keys
    z, t, words = torch.randn(2, 4, 4, 4), torch.tensor([10, 700]), torch.randn(2, 4, 16)
    one, other = ours.unet(z, t, words).sample, theirs(z, t, words).sample
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    one.square().sum().backward()
    other.square().sum().backward()
    grads = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert len(grads) == 2 * len(ours.adapters)
    for name, held in ours.adapters.items():
        torch.testing.assert_close(held.a.grad, grads[f"{name}.lora_A.default.weight"], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(held.b.grad, grads[f"{name}.lora_B.default.weight"], atol=1e-5, rtol=1e-4)


def test_at_the_start_nothing_changes_and_a_is_gaussian() -> None:
    base, (_, batch) = _base(), LatentDiffusion.demo()
    method = LoRA.on(base, rank=2).eval()
    assert torch.equal(method.sample(batch["input_ids"], rng=_rng()), base.sample(batch["input_ids"], rng=_rng()))
    layer = LowRank(torch.nn.Linear(400, 30), rank=8, alpha=8.0)
    assert not layer.b.any()
    assert abs(layer.a.std() - 1 / 8) < 0.01
    assert abs(layer.a.mean()) < 0.01


def test_merged_is_unmerged_and_plain() -> None:
    method, (_, batch) = _moved(LoRA.on(_base(), rank=2)), LatentDiffusion.demo()
    merged = method.merged()
    assert not any(isinstance(module, LowRank) for module in merged.modules())
    one, other = (m.sample(batch["input_ids"], steps=5, rng=_rng()) for m in (method, merged))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(one, _base().sample(batch["input_ids"], steps=5, rng=_rng()), atol=1e-3)


def test_the_size_for_stable_diffusion_is_the_published_one() -> None:
    with torch.device("meta"):
        for rank in (1, 4):
            method = LoRA(rank=rank)
            assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 199_296 * rank


def test_the_saved_adapter_is_read_by_diffusers(tmp_path: Path) -> None:
    from mmlab.data.prompts import prompt_tokenizer

    base = _base()
    method = _moved(LoRA.on(base, rank=2, alpha=3.0))
    method.save_adapter(tmp_path)
    pipeline = base.pipeline(prompt_tokenizer(["polyp"], 4))
    pipeline.load_lora_weights(tmp_path)
    z, t, words = torch.randn(2, 4, 4, 4), torch.tensor([10, 700]), torch.randn(2, 4, 16)
    with torch.no_grad():
        torch.testing.assert_close(pipeline.unet(z, t, words).sample, method.unet(z, t, words).sample)


def test_clipping_clips_since_the_parameters_are_a_list() -> None:
    """In the official script they are an iterator, which the optimiser uses up: nothing is left to be clipped."""
    method, batch = LoRA.demo()
    before = [p.detach().clone() for p in method.objectives()[0].parameters]
    assert len(method.objectives()[0].parameters) == len(method.objectives()[0].parameters) > 0
    for held in method.adapters.values():
        held.scale = 1e6  # gradients of a monstrous size
    mmlab.fit(method, TensorData(batch), steps=1, batch_size=4, lr=1.0, optimiser="sgd", clip_norm=0.5, progress=False)
    moved = torch.cat([(p - q).flatten() for p, q in zip(method.objectives()[0].parameters, before, strict=True)])
    assert 0.4 < moved.norm() <= 0.5 + 1e-4


def test_bad_input_gets_one_sentence() -> None:
    with pytest.raises(ValueError, match="rank of 1 or more"):
        LoRA.on(_base(), rank=0)
    with pytest.raises(ValueError, match=r"ends in 'to_quarry'; there are"):
        LoRA.on(_base(), targets=("to_quarry",))

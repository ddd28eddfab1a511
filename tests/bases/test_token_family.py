"""The token family: which words each model is trained on, that the coarse code is k-means, that grids fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import colonoscopy_tokens, token_family
from mmlab.bases.colonoscopy import UNET, VAE, lessons_of, untrained_base
from mmlab.bases.stages import FirstStage
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world
from mmlab.methods.vqgan import VQGAN


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted, on few pictures."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        noted.append((method, dataset, settings))
        return method.eval()

    for module in (token_family, colonoscopy_tokens):
        monkeypatch.setattr(module, "trained_once", note)
        monkeypatch.setattr(module, "PICTURES", 60)
    monkeypatch.setattr("mmlab.bases.colonoscopy.trained_once", note)
    return noted


def test_all_learn_the_same_lessons_and_have_about_as_many_parameters(calls: list[Any]) -> None:
    family = token_family.token_family(seed=2)
    names = [type(method).__name__ for method, _, _ in calls]
    assert list(dict.fromkeys(names)) == ["PerceptualStage", "VQGAN", "TextStage", "Muse", "CM3Leon"]
    muse, coarse, fine, cm3leon = (data.tensors for _, data, _ in calls[-4:])
    rows, ids = token_family.token_lessons(family.world, 2)
    tokens = family.tokenizer.encode(family.world.pictures)[rows]
    assert torch.equal(muse["tokens"], tokens)
    assert torch.equal(fine["tokens"], tokens)
    assert torch.equal(cm3leon["tokens"], tokens)
    assert torch.equal(fine["low_tokens"], coarse["tokens"])
    assert torch.equal(cm3leon["input_ids"], ids)
    assert torch.equal(muse["states"], family.muse.read(ids))
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (family.muse, family.cm3leon)]
    assert max(sizes) < 1.1 * min(sizes)
    shown = family.muse_fine.sample(
        ids[:2], low=family.muse_coarse.sample(ids[:2], steps=2, rng=_rng()), steps=2, rng=_rng()
    )
    assert family.tokenizer.decode(shown).shape == (2, 3, 32, 32)


def test_lessons_are_those_of_the_diffusion_base() -> None:
    world = colonoscopy_world(40, seed=3)
    base = untrained_base(world, FirstStage.seeded(0, VAE))
    _, ids = token_family.token_lessons(world)
    assert torch.equal(lessons_of(base, world).tensors["input_ids"], ids)
    assert UNET["in_channels"] == VAE["latent_channels"]


def test_the_coarse_code_is_k_means_of_blocks_and_is_painted_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_family, "COARSE", 6)
    tokenizer = VQGAN.seeded(0, (3, 8, 8), width=8, halvings=1, codes=8, code_width=4).eval()
    tokens = torch.randint(8, (50, 4, 4), generator=_rng())
    code = token_family.coarse_code(tokenizer, tokens, rounds=30)
    words = code.encode(tokens)
    assert words.shape == (50, 2, 2)
    vectors = tokenizer.codebook[tokens]
    block = vectors[3, 2:4, 0:2].reshape(-1)  # row 1, column 0 of the coarse grid
    assert torch.cdist(block[None], code.centres).argmin().item() == words[3, 1, 0].item()
    z = token_family._blocks(vectors)
    for k in words.unique():
        torch.testing.assert_close(code.centres[k], z[words == k].mean(0), rtol=1e-3, atol=1e-3)
    exact = token_family.CoarseCode(tokenizer, z.flatten(0, 2))  # a word for every block: nothing is lost
    torch.testing.assert_close(exact.decode(exact.encode(tokens)), tokenizer.decode(tokens), rtol=1e-4, atol=1e-5)


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

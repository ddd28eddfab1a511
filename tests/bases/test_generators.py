"""The four generators: same pictures, same stages, a decoder without words, and steps that are what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import colonoscopy, colonoscopy_tokens, generators, token_family
from mmlab.bases.embedding_decoder import EmbeddingDecoder, PictureEmbedding
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world

TINY = {
    "sample_size": 4, "in_channels": 4, "out_channels": 4, "norm_num_groups": 4, "layers_per_block": 1,
    "block_out_channels": [8], "cross_attention_dim": 8, "attention_head_dim": 2,
    "down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"],
}  # fmt: skip
HALVES = {
    "norm_num_groups": 4, "layers_per_block": 1, "block_out_channels": [4, 4],
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
}  # fmt: skip


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted, on few pictures."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        noted.append((method, dataset, settings))
        return method.eval()

    for module in (colonoscopy, colonoscopy_tokens, generators, token_family):
        monkeypatch.setattr(module, "trained_once", note)
        if hasattr(module, "PICTURES"):
            monkeypatch.setattr(module, "PICTURES", 60)
    return noted


def test_all_learn_from_the_same_pictures_and_the_decoder_sees_no_word(calls: list[Any]) -> None:
    four = generators.generators(seed=2)
    world = colonoscopy_world(60, seed=2)
    assert torch.equal(four.world.pictures, world.pictures)
    taught = {type(m).__name__: (data.tensors, settings) for m, data, settings in calls}
    data, _ = taught["EmbeddingDecoder"]
    assert set(data) == {"embedding", "moments"}
    assert torch.equal(data["embedding"], four.embed(world.pictures))
    assert torch.equal(data["moments"], taught["LatentDiffusion"][0]["moments"][:60])
    assert torch.equal(taught["Muse"][0]["tokens"], taught["CM3Leon"][0]["tokens"])
    assert len({id(m) for m in four.latent}) == len(colonoscopy.ROUNDS)
    assert len({id(m) for m in four.decoders}) == len(generators.ROUNDS_OF_DECODER)
    size = [sum(p.numel() for p in m.unet.parameters()) for m in (four.latent[-1], four.decoders[-1])]
    assert size[0] == size[1]


def test_the_steps_that_the_chapter_prints_are_those_of_the_trainings(calls: list[Any]) -> None:
    generators.generators()
    steps: dict[str, int] = {}
    for key, (_, _, settings) in {(type(c[0]).__name__, c[2]["seed"]): c for c in calls}.items():
        steps[key[0]] = steps.get(key[0], 0) + settings["steps"]
    named = {"autoencoder": "FirstStage", "tokenizer": "VQGAN", "perceptual": "PerceptualStage", "text": "TextStage"}
    assert {name: steps[kind] for name, kind in named.items()} == generators.STAGES
    assert steps["LatentDiffusion"] == sum(part["steps"] for part in colonoscopy.ROUNDS)
    assert steps["EmbeddingDecoder"] == sum(part["steps"] for part in generators.ROUNDS_OF_DECODER)
    assert steps["Muse"] == token_family.STEPS["muse"]
    assert steps["CM3Leon"] == token_family.STEPS["cm3leon"]
    first = [next(s for m, _, s in calls if type(m).__name__ == n) for n in ("LatentDiffusion", "EmbeddingDecoder")]
    assert first[0] == first[1], "the first rounds are alike"


def test_writers_of_one_stage_are_those_of_the_family(calls: list[Any]) -> None:
    tokenizer, muse, cm3leon = token_family.one_stage_writers(seed=1)
    one = [(type(m).__name__, d.tensors, s) for m, d, s in calls[-2:]]
    family = token_family.token_family(seed=1)
    assert torch.equal(tokenizer.codebook, family.tokenizer.codebook)
    for ours, theirs in ((muse, family.muse), (cm3leon, family.cm3leon)):
        weights = theirs.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in ours.state_dict().items())
    again = {type(m).__name__: (d.tensors, s) for m, d, s in reversed(calls) if "low_tokens" not in d.tensors}
    for name, tensors, settings in one:
        assert settings == again[name][1]
        assert all(torch.equal(value, again[name][0][key]) for key, value in tensors.items())


def test_an_embedding_is_principal_components() -> None:
    pictures = torch.randn(50, 3, 4, 4, generator=_rng()) * torch.linspace(0.2, 2, 4)
    embed = PictureEmbedding(lambda x: [x], pictures, 5)
    flat = pictures.flatten(1)
    _, size, axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    found = embed(pictures)
    torch.testing.assert_close(
        found.abs(), ((flat - flat.mean(0)) @ axes[:5].T / (size[0] / 50**0.5)).abs(), atol=1e-4, rtol=1e-3
    )
    assert embed.kept == pytest.approx(float(size[:5].square().sum() / size.square().sum()), rel=1e-4)
    torch.testing.assert_close(found[:, 0].var(correction=0), torch.ones(()), atol=1e-4, rtol=1e-4)


def test_the_decoder_looks_at_its_embedding_and_drops_it_for_guidance() -> None:
    decoder = EmbeddingDecoder.seeded(0, 6, TINY, HALVES, states=3).eval()
    found = torch.randn(2, 6, generator=_rng(1))
    assert decoder.read(found).shape == (2, 3, 8)
    torch.testing.assert_close(decoder.read(found)[0, 1], decoder.text_encoder(found[0])[8:16])
    one, other = (decoder.sample(x, steps=2, guidance=2.0, rng=_rng(3)) for x in (found, -found))
    assert one.shape == (2, 3, 8, 8)
    assert not torch.allclose(one, other)
    batch = {"embedding": found, "image": torch.rand(2, 3, 8, 8, generator=_rng(2)) * 2 - 1}
    decoder.drop_condition = 1.0  # nobody is told anything
    told = decoder.loss(batch, _rng(4))["loss"]
    assert torch.equal(told, decoder.loss(batch | {"embedding": 9 * found}, _rng(4))["loss"])
    decoder.drop_condition = 0.0
    assert not torch.equal(
        decoder.loss(batch, _rng(4))["loss"], decoder.loss(batch | {"embedding": 9 * found}, _rng(4))["loss"]
    )

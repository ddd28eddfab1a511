"""The GILL that draws: its sentences, what it is trained on, and one call from words to a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import mmlab
from mmlab.bases import colonoscopy, stages
from mmlab.bases import drawing_gill as bases
from mmlab.data.image_words import IGNORE
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.methods.latent_diffusion import LatentDiffusion

WORDS = colonoscopy.tokenizer()


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, TensorData]]]:
    """Trainings that are asked for; none is done."""
    found: list[tuple[str, TensorData]] = []

    def note(method: Any, data: TensorData, **_: Any) -> Any:
        found.append((type(method).__name__, data))
        return method.eval()

    def untrained(seed: int) -> LatentDiffusion:
        code = stages.FirstStage.seeded(seed, colonoscopy.VAE)
        world = colonoscopy.colonoscopy_world(4, seed=seed, size=colonoscopy.SIZE)
        return colonoscopy.untrained_base(world, code, seed=seed).eval()

    monkeypatch.setattr(bases, "trained_once", note)
    monkeypatch.setattr(bases, "colonoscopy_base", untrained)
    for kept in (bases.drawing_gill, bases._base):
        kept.cache_clear()
    yield found
    for kept in (bases.drawing_gill, bases._base):
        kept.cache_clear()


def test_every_sentence_is_in_one_part_and_all_facts_are_in_training() -> None:
    train, test = bases.prompts("train"), bases.prompts("test")
    texts = [prompt.text for prompt in train + test]
    assert len(texts) == len(set(texts))
    assert len(test) == len(texts) // 10
    said = [set(prompt.told.items()) for prompt in train]
    assert set().union(*(prompt.told.items() for prompt in test)) <= set().union(*said)
    assert max(len(encode_prompts([text], WORDS)[0]) for text in texts) == colonoscopy.LENGTH


def test_keywords_are_the_words_that_carry_facts() -> None:
    text = "Generate an image with one small flat polyp in the upper left and a green box."
    ids = bases._keywords(text)
    assert WORDS.decode([i for i in ids if i != WORDS.eos_token_id]) == "one small flat upper left green"
    every = [bases._keywords(prompt.text) for prompt in bases.prompts("train")]
    assert {len(ids) for ids in every} == {bases._SLOTS}


def test_language_model_and_mapper_see_the_training_part_alone(noted: list[tuple[str, TensorData]]) -> None:
    method, base = bases.drawing_gill()
    assert [name for name, _ in noted] == ["PromptReader", "GILL"]
    train = bases.prompts("train")
    assert {len(data) for _, data in noted} == {len(train)}
    line = noted[0][1].tensors["line"][5]
    assert WORDS.decode(line[line != IGNORE][1:]).replace(" .", ".") == train[5].text.lower()
    kept = noted[1][1].tensors
    with base.evaluating():
        target = base.read(encode_prompts([train[5].text], WORDS))
    torch.testing.assert_close(kept["target"][5:6], target)
    moved = {name.split(".")[0] for name, value in method.named_parameters() if value.requires_grad}
    assert moved == {"mapper", "image_embedding"}
    few = {name: value[:3] for name, value in kept.items()}
    plain = {name: few[name] for name in ("input_ids", "length", "target")}
    one, other = (method.loss(batch, torch.Generator())["loss"] for batch in (few, plain))
    torch.testing.assert_close(one, other)


def test_hidden_facts_are_not_looked_at_and_the_loss_falls(noted: list[tuple[str, TensorData]]) -> None:
    reader = bases.prompt_reader()
    items = {name: value[:32] for name, value in noted[0][1].tensors.items()}
    blank = items | {"keywords": torch.full_like(items["keywords"], WORDS.eos_token_id)}

    @torch.no_grad()
    def losses(batch: dict[str, torch.Tensor]) -> set[float]:
        return {float(reader.loss(batch, torch.Generator().manual_seed(seed))["loss"]) for seed in range(3)}

    assert losses(items) != losses(blank)
    none = items | {"keywords": items["keywords"][:, :0]}
    ids = items["line"].clamp(min=0)
    logits = reader.model(input_ids=ids, attention_mask=(items["line"] != IGNORE).long()).logits
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].mT, items["line"][:, 1:], ignore_index=IGNORE)
    without = float(reader.loss(none, torch.Generator())["loss"].detach())
    assert without == pytest.approx(float(plain.detach()), abs=1e-5)
    mmlab.fit(reader, TensorData(items), steps=30, batch_size=32, lr=5e-3, progress=False)
    assert max(losses(items)) < 0.7 * float(plain.detach())


def test_one_call_draws_and_another_pipeline_may_be_given(noted: list[tuple[str, TensorData]]) -> None:
    texts = ["Generate an image with two flat polyps.", "text"]
    pictures = bases.draw_texts(texts, steps=2)
    assert pictures.shape == (2, 3, colonoscopy.SIZE, colonoscopy.SIZE)
    method, base = bases.drawing_gill()
    again = bases.draw_texts(texts, method, WORDS, base.pipeline(WORDS), steps=2, guidance=bases.DRAWING["guidance"])
    assert torch.equal(pictures, again)
    assert not torch.equal(pictures, bases.draw_texts(texts, seed=1, steps=2))
    assert bases.fits_the_base(method)
    with pytest.raises(ValueError, match="there is room for"):
        bases.draw_texts(["polyp " * 60])
    other = bases.untrained_drawing_gill(bases.prompt_reader(), queries=5)
    assert not bases.fits_the_base(other)
    with pytest.raises(ValueError, match=r"reads states of shape \(24, 64\), not \(5, 64\)"):
        bases.draw_texts(texts, other)

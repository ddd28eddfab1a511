"""The small GILL's frozen parts: what they are trained on, and that nothing of the test part is in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mmlab
from mmlab.bases import frozen_towers as parts
from mmlab.bases import small_gill as bases
from mmlab.data.image_words import IGNORE
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.mini_memes import mini_memes


def test_items_say_what_is_drawn() -> None:
    world = mini_memes(items=30)
    items = parts.captioned(world, "train").tensors
    words, row = parts.lexicon(), 3
    caption = world.memes["train"][row].caption
    assert words.decode(items["line"][row, 1:-1]) == caption
    assert words.decode(items["caption"][row, 1:-1]) == caption
    assert words.decode(items["keywords"][row]) == " ".join(f"{w}{i}" for i, w in enumerate(caption.split()))
    assert items["input_ids"][row, 6:].tolist() == [len(words) + i for i in range(8)]
    assert [known[i] for known, i in zip(parts._FACTS, items["facts"][row].tolist(), strict=True)] == caption.split()


def test_the_reader_learns_a_caption_from_keywords_in_any_order() -> None:
    world = mini_memes(items=60)
    items = parts.captioned(world, "train").tensors
    data = TensorData({key: items[key] for key in ("keywords", "line")})
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    size = {"vocab_size": len(parts.lexicon()), "max_position_embeddings": 48}
    reader = parts.KeywordReader.seeded(0, {**parts.LANGUAGE, **ends, **size})
    before = reader.loss(data.tensors, torch.Generator().manual_seed(0))["loss"]
    mmlab.fit(reader, data, steps=40, batch_size=30, lr=5e-3, progress=False)
    after = reader.loss(data.tensors, torch.Generator().manual_seed(0))["loss"]
    assert after < 0.6 * before


def test_hidden_keywords_are_not_looked_at() -> None:
    """With every keyword hidden the loss does not depend on them, and the start token is not asked for."""
    world = mini_memes(items=8)
    items = parts.captioned(world, "train").tensors
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    size = {"vocab_size": len(parts.lexicon()), "max_position_embeddings": 48}
    reader = parts.KeywordReader.seeded(0, {**parts.LANGUAGE, **ends, **size})
    ids = torch.cat([items["keywords"], items["line"]], 1)
    mask = torch.cat([torch.zeros_like(items["keywords"]), torch.ones_like(items["line"])], 1)
    plain = reader.model(input_ids=items["line"]).logits
    hidden = reader.model(input_ids=ids, attention_mask=mask).logits[:, 5:]
    torch.testing.assert_close(plain, hidden, atol=1e-5, rtol=1e-5)
    assert IGNORE == -100


def test_the_towers_loss_falls_and_gives_targets() -> None:
    world = mini_memes(items=20)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), parts.lexicon().eos_token_id)
    text = {**parts.TEXT, **ends, "vocab_size": len(parts.lexicon())}
    towers = parts.Towers.seeded(0, {**parts.VISION, "num_hidden_layers": 1}, text)
    items = parts.captioned(world, "train").tensors
    data = TensorData({key: items[key] for key in ("image", "caption", "facts")})
    before = towers.loss(data.tensors, torch.Generator())["loss"]
    mmlab.fit(towers, data, steps=8, batch_size=20, lr=3e-3, progress=False)
    assert towers.loss(data.tensors, torch.Generator())["loss"] < before
    assert parts.captioned(world, "test", towers).tensors["target"].shape == (20, 7, 64)


def test_each_stage_sees_the_training_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[str, TensorData]] = []

    def note(method: Any, data: TensorData, **_: Any) -> Any:
        noted.append((type(method).__name__, data))
        return method.eval()

    monkeypatch.setattr(parts, "trained_once", note)
    monkeypatch.setattr(bases, "trained_once", note)
    monkeypatch.setattr(bases, "mini_memes", lambda seed: mini_memes(items=12, seed=seed))
    method, _, _, world = bases.small_gill(seed=1)
    assert [name for name, _ in noted] == ["Towers", "KeywordReader", "GILL"]
    assert {len(data) for _, data in noted} == {12}
    lines = {tuple(row) for row in parts.captioned(world, "test").tensors["line"].tolist()}
    assert not lines & {tuple(row) for row in noted[1][1].tensors["line"].tolist()}
    assert "image" not in noted[2][1].tensors  # what is frozen is kept
    assert not any(p.requires_grad for p in method.language_model.parameters())

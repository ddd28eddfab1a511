"""Oracles of domain adaptation: closed forms, hand cases of the scorers, and every card on a small TinyLLaVA."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from mmlab.bases.scene_reader import untrained_reader
from mmlab.data.conversations import prompts, tokenizer_of
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import scene_world
from mmlab.methods.domain_tuning import RECIPES, DomainTuning, fields, read_verdict, score, sigmoid_loss, wilson
from mmlab.nn.low_rank import LowRank
from mmlab.train.fit import fit


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_every_card_runs_on_a_small_tinyllava_and_moves_what_it_says() -> None:
    world = scene_world(items=6, seed=0, cue=0.5, image_size=32)
    tokenizer = tokenizer_of([*world.sentences(), "how large ?"])
    parts = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    language = {**untrained_reader(world).config["language_model"], **parts, "vocab_size": len(tokenizer)}
    for name, recipe in RECIPES.items():
        base = untrained_reader(
            world,
            language_model=language,
            vision_tower={**parts, "image_size": 32, "patch_size": 8},
        )
        told = [fields(scene.facts(), k) for k, scene in enumerate(world.scenes["train"])]
        asked = [(p, recipe.question.format(**t)) for p, t in zip(world.pictures["train"], told, strict=True)]
        answers = [recipe.answer.format(**t) for t in told]
        ids = [tokenizer.encode(answer) for answer in answers]
        longest = max(map(len, ids)) + 1
        rows = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        assert tokenizer.unk_token_id not in {number for row in ids for number in row}, name
        batch = {**prompts(asked, tokenizer, size=32), "completions": rows[:, None]}
        method = DomainTuning.of(recipe, base, words=longest)
        before = {key: value.clone() for key, value in method.state_dict().items()}
        fit(method, TensorData(batch), steps=2, batch_size=3, lr=1e-2, progress=False)
        changed = {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}
        assert any("connector" in key for key in changed), name
        assert any("vision_tower" in key for key in changed) == (recipe.trained == "all"), name
        assert any("language_model" in key for key in changed), name
        assert all(key.endswith((".a", ".b")) for key in changed if "language_model" in key) == (
            recipe.trained == "lora"
        )
        perfect = score(recipe.scorer, answers, answers)
        best = next(value for key, value in perfect.items() if key not in ("unreadable", "low", "high"))
        assert best == pytest.approx(100.0 if best > 1 else 1.0), name
        assert perfect.get("unreadable", 0) == 0, name


def test_the_loss_by_hand_and_its_mixture() -> None:
    method, batch = DomainTuning.demo()
    answers = batch["completions"][:, 0]
    whole = {**batch, "input_ids": torch.cat([batch["input_ids"], answers], 1), "length": torch.full((8,), 4)}
    by_hand = cross_entropy(method.policy.logits(whole)[:, -3:-1].transpose(1, 2), answers)
    values = method.loss(batch, rng())
    assert torch.allclose(values["new"], by_hand, atol=1e-6)
    assert torch.allclose(values["loss"], 0.5 * values["new"] + 0.5 * values["old"])
    alone = DomainTuning.seeded(0, **{**method.config, "general": 0.0}).loss(batch, rng())
    assert torch.allclose(alone["loss"], by_hand, atol=1e-6)


def test_a_low_rank_change_begins_at_the_base_and_is_merged_exactly() -> None:
    method, batch = DomainTuning.demo()
    low = DomainTuning(method.policy, "lora", rank=2, alpha=6.0)
    layers = [layer for layer in low.policy.modules() if isinstance(layer, LowRank)]
    fresh = DomainTuning.demo()[0]
    assert torch.allclose(low.loss(batch, rng())["new"], fresh.loss(batch, rng())["new"])
    x = torch.randn(4, layers[0].base.in_features, generator=rng())
    layers[0].b.data.normal_(generator=rng())
    weight = layers[0].base.weight + 3.0 * layers[0].b @ layers[0].a  # (2)
    assert torch.allclose(layers[0](x), x @ weight.T + layers[0].base.bias, atol=1e-5)
    with pytest.raises(ValueError, match="general=1"):
        DomainTuning(general=1.0)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Real.", 1),
        ("This is a fake", 0),
        ("This is not a real photo.", 0),
        ("It is not forged.", 1),
        ("fake, not real", 0),
        ("real or forged", -1),
        ("I cannot tell. It may be real.", -1),
        ("", -1),
        ("unreal", -1),
    ],
)
def test_verdicts_are_read_by_hand(text: str, read: int) -> None:
    assert read_verdict(text) == read


def test_scorers_by_hand() -> None:
    assert score("verdict", ["real", "fake .", "hm"], ["real", "real", "forged"]) == {
        "accuracy": pytest.approx(1 / 3),
        "unreadable": pytest.approx(1 / 3),
    }
    assert score("yes or no", ["yes", "no red", "maybe"], ["yes", "yes", "no"]) == {
        "accuracy": pytest.approx(1 / 3),
        "unreadable": pytest.approx(1 / 3),
    }
    assert score("letter", ["a : circle", "b : circle"], ["a : circle", "a : circle"])["accuracy"] == 0.5
    joint = score("joint", ["x , s", "x , t", "y , s", "x"], ["x , s", "x , s", "x , s", "x , s"])
    assert joint == {"first": 0.75, "second given first": pytest.approx(1 / 3), "both": 0.25}
    assert joint["both"] == pytest.approx(joint["first"] * joint["second given first"])  # (4)
    tagged = score("tagged", ["think red answer circle", "circle"], ["think blue answer circle"] * 2)
    assert tagged == {"accuracy": 0.5, "unreadable": 0.5}
    assert score("open", ["small red", ""], ["small red circle", "cross"])["recall"] == pytest.approx(1 / 3)
    shown = score("preference", ["red circle", "red"], ["red circle"] * 2)
    assert shown["preferred"] == 0.5
    assert shown["low"] < 0.5 < shown["high"]
    with pytest.raises(ValueError, match="1 answers for 0"):
        score("open", ["a"], [])


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (7, 20), (96, 100)])
def test_wilson_s_ends_are_where_the_normal_test_rejects(hits: int, count: int) -> None:
    for end in wilson(hits, count):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(hits / count - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / count))
    assert wilson(hits, count)[0] >= -1e-12
    with pytest.raises(ValueError, match="3 hits of 2"):
        wilson(3, 2)


def test_the_sigmoid_loss_in_closed_forms() -> None:
    eye = torch.eye(8)
    softplus = torch.nn.functional.softplus
    ten = softplus(torch.tensor([10.0, -10.0]))
    assert torch.allclose(sigmoid_loss(eye[:4], eye[4:], 7.0, -10.0), ten[0] + 3 * ten[1])
    a, b = torch.randn(2, 5, 6, generator=rng())
    one = -torch.nn.functional.logsigmoid(3 * torch.cosine_similarity(a[:1], b[:1]) + 0.5).sum()
    assert torch.allclose(sigmoid_loss(a[:1], b[:1], 3.0, 0.5), one)
    pairs = [
        softplus(-(1 if i == j else -1) * (3 * torch.cosine_similarity(a[i], b[j], dim=0) + 0.5))
        for i in range(5)
        for j in range(5)
    ]
    assert torch.allclose(sigmoid_loss(a, b, 3.0, 0.5), torch.stack(pairs).sum() / 5)

"""MERL: the sum of both directions, dropout by hand, closed forms without it, frozen words, and prompts as a file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.knowledge import checked, prompts_of, read_knowledge, write_knowledge
from mmlab.data.worlds.ecg_world import PROPOSED, WORDS, ecg_world, tokens_of
from mmlab.methods.merl import Merl, contrast, thinned
from mmlab.train.fit import fit


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_sums(u: list[list[float]], v: list[list[float]], tau: float) -> float:
    """The contrast with nothing but sums, one pair at a time."""

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    s = [[cosine(a, b) / tau for b in v] for a in u]
    total = 0.0
    for i in range(len(u)):
        total -= s[i][i] - math.log(sum(math.exp(x) for x in s[i]))
        total -= s[i][i] - math.log(sum(math.exp(row[i]) for row in s))
    return total / len(u)


def test_the_loss_is_the_sum_of_directions_across_and_within() -> None:
    method, batch = Merl.demo()
    z = method.tower(batch["ecg"])
    across = by_sums(method.line(z).tolist(), method.reports(batch["report"]).tolist(), 0.07)
    draw = rng(5)
    kept = [torch.rand(12, 16, generator=draw) >= 0.1 for _ in range(2)]
    views = [view(z) * mask / 0.9 for view, mask in zip(method.views, kept, strict=True)]
    within = by_sums(views[0].tolist(), views[1].tolist(), 0.07)
    found = {name: value.detach() for name, value in method.loss(batch, rng(5)).items()}
    assert float(found["across"]) == pytest.approx(across, rel=1e-4)
    assert float(found["within"]) == pytest.approx(within, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(across + within, rel=1e-4)
    method.alignment = 0.0
    assert method.loss(batch, rng())["loss"].item() == pytest.approx(across, rel=1e-4)


def test_equal_vectors_cost_two_log_b_and_one_view_twice_its_closed_form() -> None:
    one = torch.ones(6, 4)
    assert float(contrast(one, one, 0.07)) == pytest.approx(2 * math.log(6), abs=1e-4)
    w = torch.randn(7, 5, generator=rng(), dtype=torch.float64)
    s = F.normalize(w, dim=1) @ F.normalize(w, dim=1).T / 0.3
    assert float(contrast(w, w, 0.3)) == pytest.approx(float(2 * (s.logsumexp(1) - 1 / 0.3).mean()))
    bound = 2 * math.log(1 + 6 * math.exp(-7 / (6 * 0.3)))
    assert float(contrast(w, w, 0.3)) > bound
    simplex = torch.eye(7, dtype=torch.float64) - 1 / 7
    assert float(contrast(simplex, simplex, 0.3)) == pytest.approx(bound)


def test_thinning_keeps_the_mean_and_takes_the_share_away() -> None:
    x = torch.ones(400, 500)
    made = thinned(x, 0.3, rng())
    assert float((made == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(made.max()) == pytest.approx(1 / 0.7)
    assert float(made.mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(thinned(x, 0.0, rng()), x)


def test_frozen_words_stay_and_others_learn() -> None:
    _, batch = Merl.demo()
    for frozen in (True, False):
        method = Merl.seeded(0, 2, 16, width=16, channels=8, frozen=frozen)
        before = method.reports.table.weight.clone()
        from mmlab.data.tensors import TensorData

        fit(method, TensorData(batch), steps=2, batch_size=6, progress=False)
        assert torch.equal(before, method.reports.table.weight) is frozen


def test_scores_do_not_know_of_other_classes_or_fillers() -> None:
    method, batch = Merl.demo()
    prompts = torch.tensor([[1, 13, 0], [2, 14, 0], [5, 0, 0]])
    scores = method.scores(batch["ecg"], prompts)
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(method.scores(batch["ecg"], prompts[order]), scores[:, order], atol=1e-6)
    longer = F.pad(prompts, (0, 4))
    assert torch.allclose(method.scores(batch["ecg"], longer), scores, atol=1e-6)
    u, v = method.embed(batch).unbind(1)
    own = method.scores(batch["ecg"], batch["report"])
    assert torch.allclose(own, u @ v.T, atol=1e-6)


def test_a_knowledge_file_comes_back_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    write_knowledge(path, PROPOSED)
    assert read_knowledge(path) == PROPOSED
    assert list(read_knowledge(path)) == list(PROPOSED)
    path.write_text('{"AFIB": "irregular rhythm, absent P"}', encoding="utf-8")
    found = read_knowledge(path)
    assert found == {"AFIB": ("irregular rhythm", "absent P")}
    assert prompts_of(found) == ["afib irregular rhythm absent p"]
    assert prompts_of(found, "bare") == ["afib"]
    assert prompts_of(found, "label-free") == ["irregular rhythm absent p"]
    assert checked(found, {"absent P"}) == {"AFIB": ("absent P",)}
    with pytest.raises(ValueError, match="none of the terms of 'AFIB'"):
        checked(found, {"sawtooth"})
    with pytest.raises(ValueError, match="kind='short'"):
        prompts_of(found, "short")  # type: ignore[arg-type]
    for text, message in (("[]", "holds no classes"), ('{"a": [""]}', "class 'a'"), ('{"a": 3}', "class 'a'")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_knowledge(path)


def test_prompts_of_the_world_have_tokens_and_impossible_arguments_are_refused() -> None:
    tokens = tokens_of(prompts_of(PROPOSED))
    assert tokens.shape == (6, 20)
    assert int(tokens.max()) < len(WORDS)
    assert ecg_world(4).pairs.tensors["report"].shape == (4, 20)
    for wrong in ({"temperature": 0.0}, {"alignment": -1.0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match="the first is positive"):
            Merl(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no 'report' here"):
        Merl.arguments_for({"ecg": torch.zeros(2, 8)})

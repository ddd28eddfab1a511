"""The towers of the world of shapes: training finds captions, wrong ones are the announced share, all are frozen."""

from __future__ import annotations

import pytest
import torch

import mmlab
from mmlab.bases.two_towers import ContrastedTowers, two_towers, wrong_captions
from mmlab.data.worlds.shape_world import shape_world
from mmlab.losses.contrastive import cosine_similarity
from mmlab.metrics.retrieval import ranks, recall_at


def test_some_training_finds_captions_of_new_combinations() -> None:
    world = shape_world(1600)
    method = ContrastedTowers.seeded(0, 32, 8)
    mmlab.fit(method, world.train, steps=60, batch_size=64, lr=5e-3, progress=False)
    batch = world.test.tensors
    with method.evaluating():
        s = cosine_similarity(method.towers.picture(batch["image"]), method.towers.caption(batch["caption"]))
    assert recall_at(ranks(s), 10).mean() > 0.15  # at random 0.013


def test_the_loss_is_the_logarithm_of_the_batch_where_nothing_is_told_apart() -> None:
    method = ContrastedTowers.seeded(0, 32, 8)
    with torch.no_grad():
        for tower in (method.towers.picture, method.towers.caption):
            tower.out[-1].weight.zero_()
    loss = method.loss(shape_world(16).train.batch(torch.arange(16)), torch.Generator())["loss"]
    assert loss.item() == pytest.approx(torch.log(torch.tensor(16.0)).item(), abs=1e-5)


def test_towers_are_kept_frozen_and_know_their_share(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    world = shape_world(200)
    said: list[str] = []
    one = two_towers(0, 0.4, world, steps=1, batch_size=8, report=said.append)
    same = two_towers(0, 0.4, world, steps=1, batch_size=8, report=said.append)
    assert "trained" in said[0]
    assert "loaded" in said[1]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not any(p.requires_grad for p in one.parameters())
    captions, wrong = wrong_captions(world)
    assert wrong.float().mean() == pytest.approx(0.4, abs=0.1)
    assert torch.equal(captions[~wrong], world.train.tensors["caption"][~wrong])

"""The tokenizer of colonoscopies: what it and its perceptual network are trained on, by seeds alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import colonoscopy_tokens as bases
from mmlab.bases.findings_reader import findings_reader, labels
from mmlab.data.worlds.colonoscopy_world import SHAPES, UNSEEN, colonoscopy_world


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted, on few pictures."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        noted.append((method, dataset, settings))
        return method.eval()

    monkeypatch.setattr(bases, "trained_once", note)
    monkeypatch.setattr(bases, "PICTURES", 40)
    return noted


def test_the_tokenizer_sees_the_base_s_pictures_and_looks_with_a_trained_network(calls: list[Any]) -> None:
    made = bases.tokenizer_of_pictures(seed=3, steps=7)
    (network, _, _), *rounds = calls
    method, data, settings = rounds[0]
    assert len({how["seed"] for _, _, how in rounds}) == len(bases.ROUNDS)
    assert made is method
    assert torch.equal(data.tensors["image"], colonoscopy_world(40, seed=3).pictures)
    assert all(
        torch.equal(a, b) for a, b in zip(method.features.parameters(), network.features.parameters(), strict=True)
    )
    assert settings["steps"] == 7
    assert settings["seed"] == 3
    assert method.encode(data.tensors["image"][:2]).shape == (2, 8, 8)


def test_the_perceptual_network_and_the_judge_share_no_picture(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmlab.bases import findings_reader as reader

    seen: list[Any] = []
    monkeypatch.setattr(reader, "trained_once", lambda method, dataset, **_: seen.append(dataset) or method)
    bases.perceptual_network()
    findings_reader(pictures=200, steps=1)
    mine, judges = calls[0][1].tensors["image"], seen[0].tensors["image"]
    assert torch.cdist(mine.flatten(1)[:200], judges.flatten(1)).min() > 0.1


def test_its_loss_leaves_out_what_is_not_there_and_falls() -> None:
    from mmlab import fit
    from mmlab.data.tensors import TensorData

    world = colonoscopy_world(64, seed=1, shapes=(*SHAPES, UNSEEN))
    data = TensorData({"image": world.pictures, **labels(world.scenes)})
    stage = bases.PerceptualStage.seeded(0)
    history = fit(stage, data, steps=30, batch_size=32, lr=3e-3, progress=False)
    values = list(history.series["train", "loss"][1])
    assert values[-1] < 0.8 * values[0]
    empty = [row for row, scene in enumerate(world.scenes) if not scene.positions]
    alone = {key: value[empty] for key, value in data.tensors.items()}
    assert torch.isfinite(stage.loss(alone, torch.Generator().manual_seed(0))["loss"])

"""The support system: what its parts are trained on, that nobody of the test is in it, and its leak on purpose."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import support_system as bases
from mmlab.data.connectome import ConnectomePairs
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.described_connectomes import DescribedConnectomes, described_connectomes
from mmlab.data.worlds.rest_motor_world import rest_motor_world


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, TensorData]]:
    """Trainings that are asked for; none is done."""
    found: list[tuple[str, TensorData]] = []

    def note(method: Any, data: TensorData, **_: Any) -> Any:
        found.append((type(method).__name__, data))
        return method.eval()

    monkeypatch.setattr(bases, "trained_once", note)
    return found


def test_everything_is_trained_on_the_training_people_alone(noted: list[tuple[str, TensorData]]) -> None:
    scans, parts, models = bases.support_system(people=40, tested=10, seeds=1)
    assert [name for name, _ in noted] == ["ScanTower", "KeywordReader", "GILL", "GILL", "GILL"]
    assert [len(data) for _, data in noted] == [90, 30, 90, 90, 90]
    train, test = scans.by_person(10, 1)
    assert torch.equal(noted[0][1].tensors["image"], bases.support_items(scans, train, parts).tensors["image"])
    tested = bases.support_items(scans, test, parts)
    for _, data in noted[2:4]:
        assert "image" not in data.tensors  # what is frozen is kept
        assert not (data.tensors["target"][:, None] == tested.tensors["target"][None]).flatten(2).all(2).any()
    by_row = noted[4][1].tensors["target"]
    assert int((by_row[:, None] == tested.tensors["target"][None]).flatten(2).all(2).any(0).sum()) == 20
    assert noted[3][1].tensors["pooled"].std(0).max() < 1e-6  # the same grey picture for everybody
    assert set(models) == {"by person", "no pictures", "by row"}
    assert not any(p.requires_grad for p in models["by row"][0].language_model.parameters())


def test_the_other_scan_is_one_of_the_same_person(noted: list[tuple[str, TensorData]]) -> None:
    scans = described_connectomes(12, scans=3, seed=0)
    rows = torch.tensor([0, 1, 2, 6, 7, 8, 9])
    data = bases._twice(scans, rows)
    pictures = bases.matrix_pictures(scans.scans.source, scans.regions)
    for row, again in zip(rows.tolist(), [1, 2, 0, 7, 8, 6, 9], strict=True):
        at = rows.tolist().index(row)
        assert torch.equal(data.tensors["again"][at], pictures[again])


def test_the_leak_has_as_many_rows_and_two_scans_of_everybody_asked() -> None:
    scans = described_connectomes(20, seed=0)
    train, test = scans.by_person(4, 0)
    rows, asked = bases.leaking_rows(scans, train, test)
    assert len(rows) == len(train)
    assert scans.person[asked].tolist() == scans.person[test].unique().tolist()
    assert not set(rows.tolist()) & set(asked.tolist())
    known = scans.person[rows].tolist()
    assert all(known.count(person) == 2 for person in scans.person[asked].tolist())


def test_items_end_in_picture_words_and_say_what_is_true(noted: list[tuple[str, TensorData]]) -> None:
    scans = described_connectomes(20, facts=5, seed=0)
    rows = torch.arange(30)
    parts = bases.support_parts(scans, rows)
    items = bases.support_items(scans, rows[:4], parts).tensors
    assert items["input_ids"].shape == (4, 1 + 5 + 8)
    said = parts.tokenizer.decode(items["input_ids"][3, 1:6])
    levels = parts.words.levels(scans.told[scans.person[rows[3:4]]])
    assert said == parts.words.describe(levels)[0]
    reader = next(data for name, data in noted if name == "KeywordReader").tensors
    assert parts.tokenizer.decode(reader["keywords"][1]).replace("told_", "") == said
    method = bases.untrained_support(parts)
    loss = method.loss(items, torch.Generator())
    assert loss["loss"].isfinite()
    assert method.prefix_tokens == 5


def test_a_few_real_people_with_one_scan_each_pass(noted: list[tuple[str, TensorData]]) -> None:
    pairs = rest_motor_world(20, 12, 0).pairs
    assert isinstance(pairs, ConnectomePairs)
    scans = DescribedConnectomes.of(pairs, facts=4)
    parts = bases.support_parts(scans, torch.arange(14))
    assert parts.painter.shape == (8, 1)
    method = bases.trained_support(scans, torch.arange(14), parts)
    items = bases.support_items(scans, torch.arange(14, 20), parts).tensors
    assert method.loss(items, torch.Generator())["loss"].isfinite()


def test_descriptions_that_are_too_long_are_named() -> None:
    scans = DescribedConnectomes.of(rest_motor_world(12, 24, 0).pairs, facts=28)
    with pytest.raises(ValueError, match="tell at most 27"):
        bases.support_parts(scans, torch.arange(10))


def test_the_tower_learns_who_is_who() -> None:
    from mmlab import fit

    scans = described_connectomes(30, seed=0)
    rows = torch.arange(90)
    data = bases._twice(scans, rows)
    tower = bases.ScanTower.seeded(0, 24)
    before = tower.loss(data.tensors, torch.Generator())["loss"]
    fit(tower, data, steps=15, batch_size=30, lr=2e-3, progress=False)
    assert tower.loss(data.tensors, torch.Generator())["loss"] < 0.7 * before

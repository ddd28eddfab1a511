"""The world of cohorts: its law is that of its draws, a hole tells nothing, and the picture may lie anywhere."""

import pytest
import torch

from mmlab.data.worlds.cohort_world import CATEGORIES, NUMBERS, cohort_world
from mmlab.metrics.classification import accuracy, log_loss


def test_the_same_seed_gives_the_same_people_whatever_is_missing() -> None:
    world = cohort_world()
    whole, holed = world.draw(50, 3).tensors, world.draw(50, 3, 0.5).tensors
    for key in ("image", "label", "truth"):
        assert torch.equal(whole[key], holed[key])
    known = holed["table_known"]
    assert torch.equal(holed["table"][known], whole["table"][known])
    assert holed["table"][~known].isnan().all()
    assert whole["table_known"].all()
    assert 0.4 < known.float().mean() < 0.6
    assert whole["table_sizes"][0].tolist() == [*CATEGORIES, *[0] * NUMBERS]


def test_the_law_is_calibrated_and_no_other_answer_has_a_lower_loss() -> None:
    world = cohort_world(noise=2.0)
    batch = world.draw(20000, 1, (0.0, 0.7)).tensors
    for picture in (True, False):
        answer = world.classes(batch, picture)
        expected = answer.max(1).values.mean().item()
        assert accuracy(answer, batch["label"]) == pytest.approx(expected, abs=0.01)
        bent = (answer + 1e-9) ** 1.3
        assert log_loss(answer, batch["label"]) < log_loss(bent / bent.sum(1, keepdim=True), batch["label"])
    assert accuracy(world.classes(batch), batch["label"]) > accuracy(world.classes(batch, False), batch["label"])
    categories, numbers = world.cells(batch)
    hidden, truth = ~batch["table_known"], batch["truth"]
    for j, part in enumerate(categories):
        right = (part.argmax(1) == truth[:, j])[hidden[:, j]].double().mean().item()
        assert right == pytest.approx(part.max(1).values[hidden[:, j]].mean().item(), abs=0.02)
    away = truth[:, len(CATEGORIES) :] - numbers
    assert away[hidden[:, len(CATEGORIES) :]].mean().abs() < 0.05
    left = (away * numbers)[hidden[:, len(CATEGORIES) :]]
    assert left.mean().abs() < 0.03  # what is left over cannot be told from the answer


def test_the_noise_decides_whether_the_table_is_needed() -> None:
    for noise, needed in ((1.0, False), (2.0, True)):
        world = cohort_world(noise)
        batch = world.draw(4000, 1, 0.5).tensors
        alone = batch | {"table_known": torch.zeros_like(batch["table_known"])}
        hidden = ~batch["table_known"][:, : len(CATEGORIES)]
        truth = batch["truth"][:, : len(CATEGORIES)]

        found = {}
        for given, people, picture in (("both", batch, True), ("picture", alone, True), ("table", batch, False)):
            guess = torch.stack([c.argmax(1) for c in world.cells(people, picture)[0]], 1)
            right = (guess == truth)[hidden].double().mean().item()
            found[given] = right, accuracy(world.classes(people, picture), batch["label"])
        for both, picture_alone, table_alone in zip(found["both"], found["picture"], found["table"], strict=True):
            assert (both > picture_alone + 0.02) == needed
            assert both > table_alone + 0.05


def test_one_state_by_hand() -> None:
    world = cohort_world(noise=1.5)
    batch = world.draw(3, 5, 0.4).tensors
    for n in range(3):
        found = []
        for z in range(36):
            p = world.prior[z].item()
            places = []
            for row in (0, 4):
                for column in (0, 4):
                    mean = torch.zeros(8, 8, dtype=torch.float64)
                    mean[row : row + 4, column : column + 4] = world.patterns[z].view(4, 4)
                    away = (batch["image"][n, 0].double() - mean).square().sum()
                    places.append(torch.exp(-away / (2 * 1.5**2) + 32).item())  # +32: far from the smallest number
            p *= sum(places)
            for j, logits in enumerate(world.logits):
                if batch["table_known"][n, j]:
                    p *= logits[z].softmax(0)[int(batch["table"][n, j])].item()
            for j in range(NUMBERS):
                place = len(CATEGORIES) + j
                if batch["table_known"][n, place]:
                    p *= torch.exp(-(batch["table"][n, place].double() - world.means[z, j]).square() / 2).item()
            found.append(p)
        wanted = torch.tensor(found, dtype=torch.float64)
        torch.testing.assert_close(
            world.states({k: v[n : n + 1] for k, v in batch.items()})[0], wanted / wanted.sum(), atol=1e-6, rtol=1e-4
        )


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"noise=-1.* positive"):
        cohort_world(-1.0)
    with pytest.raises(ValueError, match=r"missing=1\.5: give a share"):
        cohort_world().draw(4, 0, 1.5)
    with pytest.raises(ValueError, match="count"):
        cohort_world().draw(0)

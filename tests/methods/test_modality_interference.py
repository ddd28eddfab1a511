"""Oracles of modality interference: bounds and masks of the ascent, closed forms, and what each term may touch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmlab.methods.modality_interference import (
    NEEDS,
    ModalityInterference,
    added,
    consistency,
    decision_changes,
    irrelevant,
    masked_pgd,
    perturbed_pictures,
)
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.splicing import IMAGE


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(**more: float) -> tuple[ModalityInterference, dict[str, Tensor]]:
    method, batch = ModalityInterference.demo()
    return ModalityInterference.seeded(0, **method.config | more), batch


def test_changed_decisions_are_counted_by_the_answer() -> None:
    before, after = torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([[1, 2], [3, 0], [0, 0]])
    assert decision_changes(before, after).item() == pytest.approx(2 / 3)
    assert decision_changes(before[:, 0], before[:, 0]) == 0


def test_the_ascent_of_a_linear_loss_ends_in_the_corner_of_its_box() -> None:
    weights, mask = torch.tensor([[[3.0, -1.0, 0.5]]]), torch.tensor([[[0.0, 1.0, 1.0]]])
    found = masked_pgd(lambda delta: weights, mask, 0.2, 10.0, 2, rng())
    assert torch.allclose(found, 0.2 * weights.sign() * mask)
    noise = masked_pgd(lambda delta: weights, mask, 0.2, 10.0, 0, rng())
    assert torch.equal(noise, ((2 * torch.rand(mask.shape, generator=rng()) - 1) * 0.2) * mask)
    small = masked_pgd(lambda delta: weights, mask, 0.2, 0.01, 1, rng())
    assert torch.allclose(small, (noise + 0.01 * weights).clamp(-0.2, 0.2) * mask)


def test_the_divergence_is_exact_zero_on_equality_and_one_sided() -> None:
    p, q = (torch.randn(2, 1, 3, 5, generator=rng(k)).log_softmax(-1).requires_grad_() for k in (0, 1))
    mask = torch.tensor([[[True, True, False]], [[True, False, False]]])
    found = consistency(p, q, mask)
    expected = torch.nn.functional.kl_div(p, q, log_target=True, reduction="none").sum(-1)[mask].mean()
    assert torch.allclose(found, expected)
    assert consistency(p, p, mask) == 0
    found.backward()
    assert p.grad is None
    assert q.grad.abs().sum() > 0


def test_irrelevant_places_by_what_a_question_is_about() -> None:
    ids = torch.tensor([[5, IMAGE, 6, 7, 0]] * 3)
    length, needs = torch.tensor([4, 4, 3]), torch.arange(3)
    found = irrelevant(ids, length, needs)
    assert found.tolist() == [[True, False, True, True], [False, True, False, False], [False] * 4]
    wide = irrelevant(ids[:2], length[:2], needs[:2], image_tokens=3)
    assert wide[0].tolist() == [True, False, False, False, True, True]
    assert wide[1].tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize("need", NEEDS)
def test_the_shift_stays_at_its_places_and_raises_the_loss(need: str) -> None:
    method, batch = built(radius=0.05, step=1.0, steps=20)
    batch["needs"] = torch.full((6,), NEEDS.index(need))
    delta = method.shift(batch, rng())
    places = irrelevant(batch["input_ids"], batch["length"], batch["needs"])
    assert (delta[~places] == 0).all()
    assert delta.abs().max() <= 0.05
    with torch.no_grad():
        clean = method.laws(batch)[2].sum()
        with added(method.policy, delta):
            moved = method.laws(batch)[2].sum()
    assert moved > clean or need == "both"
    alone = method.shift({key: value[:1] for key, value in batch.items()}, rng())
    assert need == "both" or alone.abs().max() > 0


def test_the_loss_is_the_sum_of_its_terms() -> None:
    method, batch = built(adversarial=0.7, agree=0.3)
    values = method.loss(batch, rng())
    total = (values["clean"] + values["changed"]) / 2 + 0.3 * values["agree"] + 0.7 * values["adversarial"]
    assert torch.allclose(values["loss"], total)
    same = {key: value for key, value in batch.items() if not key.startswith("changed_")}
    unchanged = {f"changed_{key}": same[key] for key in ("input_ids", "length")}
    assert method.loss({**same, **unchanged}, rng())["agree"].abs() < 1e-6
    plain, _ = built(adversarial=0.0, agree=0.0)
    assert set(plain.loss(same, rng())) == {"loss", "clean"}


def test_perturbed_pictures_are_what_their_names_say() -> None:
    pictures = torch.rand(5, 3, 4, 4, generator=rng())
    assert perturbed_pictures(pictures, "black", rng()).unique().tolist() == [pictures.min().item()]
    assert perturbed_pictures(pictures, "white", rng()).unique().tolist() == [pictures.max().item()]
    assert torch.equal(perturbed_pictures(pictures, "another", rng())[1], pictures[0])
    noise = perturbed_pictures(pictures, "noise", rng())
    assert pictures.min() <= noise.min() <= noise.max() <= pictures.max()
    with pytest.raises(ValueError, match="no picture 'grey'"):
        perturbed_pictures(pictures, "grey", rng())  # type: ignore[arg-type]


def test_a_tinyllava_can_be_attacked_and_tuned() -> None:
    tiny, held = TinyLLaVA.demo()
    method = ModalityInterference(tiny.requires_grad_(True), radius=0.1, steps=1)
    batch = {key: held[key] for key in ("input_ids", "length", "images")}
    batch |= {
        "completions": torch.randint(1, 24, (3, 1, 2), generator=rng()),
        "needs": torch.zeros(3, dtype=torch.long),
    }
    values = method.loss(batch, rng())
    values["loss"].backward()
    assert values["adversarial"] != values["clean"]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="radius=-1"):
        ModalityInterference(radius=-1)

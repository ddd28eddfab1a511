"""The loss on the answers' tokens equals the loss over all logits, in value and in gradient."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlab.losses.language_modelling import language_modelling_loss

B, T, D, V = 3, 6, 4, 11


def case() -> tuple[Tensor, nn.Linear, Tensor]:
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    hidden = torch.randn(B, T, D, generator=rng, dtype=torch.float64).requires_grad_()
    labels = torch.randint(V, (B, T), generator=rng)
    labels[:, :2], labels[0, 3], labels[2] = -100, -100, -100
    return hidden, nn.Linear(D, V, dtype=torch.float64), labels


def test_one_token_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])
    loss = language_modelling_loss(logits, nn.Identity(), torch.tensor([1]))
    assert float(loss) == pytest.approx(-math.log(2 / 8))


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_loss_over_all_logits(weighted: bool) -> None:
    hidden, head, labels = case()
    asked = labels != -100
    weights = torch.rand(B, T, generator=torch.Generator().manual_seed(1)) if weighted else None
    mine = language_modelling_loss(hidden[asked], head, labels[asked], None if weights is None else weights[asked], B)
    gradients = torch.autograd.grad(mine, [hidden, *head.parameters()])
    full = head(hidden).float()
    if weights is None:
        theirs = cross_entropy(full.flatten(0, 1), labels.flatten())  # -100 is left out of the mean
    else:
        theirs = (weights * cross_entropy(full.transpose(1, 2), labels, reduction="none")).sum() / B
    expected = torch.autograd.grad(theirs, [hidden, *head.parameters()])
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-6)
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_the_head_sees_only_what_is_asked() -> None:
    seen = []

    def head(states: Tensor) -> Tensor:
        seen.append(states.shape)
        return states

    language_modelling_loss(torch.randn(5, V), head, torch.arange(5))
    assert seen == [(5, V)]


def test_weights_say_how_much_a_token_counts() -> None:
    """With weights of 1 / (tokens an item), pieces of a batch add up to the batch; with means they do not."""
    hidden, head, labels = case()
    hidden, labels = hidden[:2].detach(), labels[:2]
    asked = labels != -100
    weights = torch.full((2, T), 1 / 3.5)
    assert asked.sum(1).tolist() == [3, 4]

    def of(rows: slice, weighted: bool) -> float:
        here = asked[rows]
        given = weights[rows][here] if weighted else None
        return language_modelling_loss(hidden[rows][here], head, labels[rows][here], given, len(here)).item()

    pieces = [slice(0, 1), slice(1, 2)]
    whole = slice(0, 2)
    assert sum(of(piece, True) for piece in pieces) / 2 == pytest.approx(of(whole, True), rel=1e-6)
    assert sum(of(piece, False) for piece in pieces) / 2 != pytest.approx(of(whole, False), rel=1e-3)
    assert of(whole, True) == pytest.approx(of(whole, False), rel=1e-6)  # 7 tokens of 2 items, 3.5 an item


def test_nothing_asked_is_zero_with_a_gradient() -> None:
    head = nn.Linear(D, V)
    for weights in (None, torch.zeros(0)):
        loss = language_modelling_loss(torch.zeros(0, D), head, torch.zeros(0, dtype=torch.int64), weights)
        loss.backward()
        assert loss == 0
        assert head.weight.grad is not None
        assert not head.weight.grad.any()


def test_half_precision_states_give_a_loss_in_single_precision() -> None:
    hidden, head = torch.randn(4, D, dtype=torch.bfloat16), nn.Linear(D, V, dtype=torch.bfloat16)
    assert language_modelling_loss(hidden, head, torch.arange(4)).dtype == torch.float32

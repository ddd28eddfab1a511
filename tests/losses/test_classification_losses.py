"""Cross-entropy by hand and against torch, over several classifiers, and only over the items that are present."""

import math

import pytest
import torch

from mmlab.losses.classification import cross_entropy, mean_over_present, true_class


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_cross_entropy_by_hand():
    logits, label = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]]), torch.tensor([1, 0])
    assert cross_entropy(logits, label).item() == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)
    shifted = logits + torch.tensor([[7.0], [-3.0]])
    assert cross_entropy(shifted, label).item() == pytest.approx(cross_entropy(logits, label).item(), rel=1e-5)


def test_cross_entropy_and_its_gradient_are_those_of_torch():
    logits = torch.randn(6, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    ours = cross_entropy(logits, label)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, label))
    ours.backward()
    residual = logits.detach().softmax(-1) - torch.nn.functional.one_hot(label, 4)
    torch.testing.assert_close(logits.grad, residual / 6)


def test_each_of_several_classifiers_is_averaged_over_the_items_it_sees():
    logits = torch.randn(3, 6, 4, generator=generator(), dtype=torch.float64)
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    present = torch.tensor([[True] * 6, [True, False] * 3, [False] * 6])
    found = cross_entropy(logits, label, present)
    expected = torch.nn.functional.cross_entropy(logits[1, ::2], label[::2])
    torch.testing.assert_close(found[0], cross_entropy(logits[0], label))
    torch.testing.assert_close(found[1], expected)
    assert found[2] == 0


def test_an_absent_item_may_be_no_number_and_gets_no_gradient():
    logits = torch.randn(4, 3, generator=generator())
    logits[1] = torch.nan
    logits.requires_grad_()
    present = torch.tensor([True, False, True, True])
    value = cross_entropy(logits, torch.tensor([0, 1, 2, 0]), present)
    assert value.isfinite()
    assert mean_over_present(torch.tensor([1.0, torch.nan, 3.0]), torch.tensor([True, False, True])) == 2


def test_true_class_is_the_softmax_there():
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, math.log(4)]], [[0.0, 0.0], [math.log(9), 0.0]]])
    expected = torch.tensor([[0.75, 0.8], [0.5, 0.1]])
    torch.testing.assert_close(true_class(logits, torch.tensor([0, 1])), expected)

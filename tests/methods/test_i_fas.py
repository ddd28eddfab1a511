"""Oracles of I-FAS: closed forms of its loss, torch's own attention for its connector, and what must not matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mmlab.methods.i_fas import IFAS, GloballyAwareConnector, alpha_of, lopsided, weight_of


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    each = torch.rand(4, 11, generator=rng())
    judged = torch.zeros(4, 11, dtype=torch.bool)
    judged[:, 0] = True
    return each, judged, ~judged


def test_the_share_of_the_verdict_gives_the_plain_loss() -> None:
    each, judged, told = parts()
    assert torch.allclose(lopsided(each, judged, told, 1 / 11), each.mean())
    assert torch.allclose(lopsided(each, judged, told, None), each.mean())
    told[0, 5:] = False  # a shorter answer: the share is that of the batch
    share = int(judged.sum()) / int((judged | told).sum())
    assert torch.allclose(lopsided(each, judged, told, share), lopsided(each, judged, told, None))


@pytest.mark.parametrize("weight", [0.5, 1.0, 20.0])
def test_counting_a_word_more_often_is_the_same_loss(weight: float) -> None:
    each, judged, told = parts()
    counted = (each * torch.where(judged, weight, 1.0)).sum() / (weight + 10) / 4
    alpha = alpha_of(weight, 1, 10)
    assert torch.allclose(lopsided(each, judged, told, alpha), counted)
    assert weight_of(alpha, 1, 10) == pytest.approx(weight)


def test_the_loss_of_the_method_by_hand_and_where_it_ends() -> None:
    method, batch = IFAS.demo()
    answers = batch["completions"][:, 0].clone()
    answers[0, 2:] = 0  # the first answer ends after its third word, the end itself
    batch = {**batch, "completions": answers[:, None]}
    ids = torch.cat([batch["input_ids"], answers], 1)
    whole = {**batch, "input_ids": ids, "length": torch.full((8,), ids.shape[1])}
    logits = method.policy.logits(whole)[:, -5:-1]
    each = cross_entropy(logits.transpose(1, 2), answers, reduction="none")
    told = torch.cat([each[0, 1:3], each[1:, 1:].flatten()])
    expected = 0.7 * each[:, 0].mean() + 0.3 * told.mean()
    assert torch.allclose(method.loss(batch, rng())["loss"], expected, atol=1e-6)
    plain = IFAS.seeded(0, **{**method.config, "alpha": None})
    both = torch.cat([each[:, 0], told]).mean()
    assert torch.allclose(plain.loss(batch, rng())["loss"], both, atol=1e-6)


@pytest.mark.parametrize(("alpha", "silent"), [(1.0, slice(1, None)), (0.0, slice(0, 1))])
def test_the_other_part_gets_no_gradient(alpha: float, silent: slice) -> None:
    each, judged, told = parts()
    each.requires_grad_()
    lopsided(each, judged, told, alpha).backward()
    assert not each.grad[:, silent].any()
    assert each.grad.sum() == pytest.approx(1.0)


def states(layers: int = 3) -> list[torch.Tensor]:
    return list(torch.randn(layers, 2, 5, 16, generator=rng()))


def test_the_connector_against_torch_s_own_attention() -> None:
    torch.manual_seed(0)
    connector, seen = GloballyAwareConnector(16, 3, learnt=2), states()

    def theirs(own: nn.Module) -> nn.MultiheadAttention:
        made = nn.MultiheadAttention(16, 4, batch_first=True)
        made.in_proj_weight.data = torch.cat([own.ask.weight, own.answer.weight])
        made.in_proj_bias.data = torch.cat([own.ask.bias, own.answer.bias])
        made.out_proj.load_state_dict(own.out.state_dict())
        return made

    c = torch.stack([state[:, 0] for state in seen], 1)
    q = connector.queries.repeat(2, 1, 1)
    q[:, 2:] += c @ connector.project.weight.T
    normed = connector.norms[0](q)
    q = q + theirs(connector.among)(normed, normed, normed)[0]
    patches = seen[-1][:, 1:]
    q = q + theirs(connector.across)(connector.norms[1](q), patches, patches)[0]
    q = q + connector.perceptron(connector.norms[2](q))
    assert torch.allclose(connector(seen), q, atol=1e-6)


def test_the_order_of_learnt_queries_is_that_of_what_comes_out() -> None:
    torch.manual_seed(0)
    connector, seen = GloballyAwareConnector(16, 3, learnt=4), states()
    before, order = connector(seen), torch.tensor([2, 0, 3, 1])
    connector.queries.data[:, :4] = connector.queries.data[:, order]
    after = connector(seen)
    assert torch.allclose(after[:, :4], before[:, order], atol=1e-6)
    assert torch.allclose(after[:, 4:], before[:, 4:], atol=1e-6)


@pytest.mark.parametrize(("classes", "early"), [("every", True), ("last", False), ("none", False)])
def test_which_class_tokens_are_read(classes: str, early: bool) -> None:
    torch.manual_seed(0)
    connector, seen = GloballyAwareConnector(16, 3, learnt=2, classes=classes), states()  # type: ignore[arg-type]
    before = connector(seen)
    assert before.shape == (2, 5, 16)
    seen[0] = seen[0] + 1
    assert bool((connector(seen) != before).any()) == early


def test_the_first_word_s_law_and_what_is_written_agree() -> None:
    method, batch = IFAS.demo()
    law = method.judge(batch)
    assert torch.allclose(law.sum(1), torch.ones(8), atol=1e-5)
    assert torch.equal(method.generate(batch)[:, 0], law.argmax(1))
    first = IFAS.seeded(0, {**method.config["policy"], "first": True}, words=4)
    assert torch.allclose(first.judge(batch), law)  # the short way of reading, and the long one
    with pytest.raises(ValueError, match="alpha=2"):
        IFAS(alpha=2)

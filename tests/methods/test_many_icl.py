"""Oracles of ManyICL: what a question may see, the identity of linear attention, and the best answer by integration."""

import numpy as np
import pytest
import torch

from mmlab.data.worlds.episode_world import episode_world
from mmlab.methods.many_icl import (
    ManyICL,
    class_means,
    estimated_law,
    nearest_mean,
    posterior_predictive,
    tokens_per_question,
)


def drawn(seed: int = 0, count: int = 5, shots: int = 6, questions: int = 4) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "shown": torch.randn(count, shots, 3, generator=rng),
        "said": torch.tensor([0, 1] * (shots // 2)).repeat(count, 1),
        "asked": torch.randn(count, questions, 3, generator=rng),
        "right": torch.randint(2, (count, questions), generator=rng),
    }


def model(order: str = "causal") -> ManyICL:
    return ManyICL.seeded(0, features=3, width=16, order=order).eval()


def test_a_question_sees_its_demonstrations_and_no_other() -> None:
    batch, net = drawn(), model()
    shots = torch.tensor([2, 4, 6, 2])
    before = net(batch, shots)
    changed = dict(batch, shown=batch["shown"].clone())
    changed["shown"][:, 2:] += 1  # beyond the second demonstration
    after = net(changed, shots)
    assert torch.allclose(after[:, [0, 3]], before[:, [0, 3]], atol=1e-6)
    assert not torch.allclose(after[:, 1], before[:, 1], atol=1e-3)
    cut = dict(batch, shown=batch["shown"][:, :2], said=batch["said"][:, :2])
    assert torch.allclose(net(cut)[:, 0], before[:, 0], atol=1e-6)


@pytest.mark.parametrize("together", [False, True])
def test_questions_see_those_before_only_where_they_are_read_together(together: bool) -> None:
    batch, net = drawn(), model()
    batch["together"] = torch.full((5,), together)
    before = net(batch)
    changed = dict(batch, asked=batch["asked"].clone())
    changed["asked"][:, 1] += 1
    after = net(changed)
    assert torch.allclose(after[:, 0], before[:, 0], atol=1e-6)
    assert not torch.allclose(after[:, 1], before[:, 1], atol=1e-3)
    assert torch.allclose(after[:, 2:], before[:, 2:], atol=1e-6) is not together


def test_order_matters_in_a_row_and_not_in_a_set() -> None:
    batch = drawn()
    turned = dict(batch, shown=batch["shown"].flip(1), said=batch["said"].flip(1))
    assert not torch.allclose(model()(batch), model()(turned), atol=1e-3)
    assert torch.allclose(model("set")(batch), model("set")(turned), atol=1e-5)


def test_the_forward_pass_by_loops() -> None:
    batch, net = drawn(count=1), model()
    n, q = 6, 4
    tokens = [net.item(x) + net.said.weight[y] for x, y in zip(batch["shown"][0], batch["said"][0], strict=True)]
    tokens += [net.item(x) + net.said.weight[2] for x in batch["asked"][0]]
    for block in net.blocks:
        parts = [block.read(block.norms[0](z)).view(3, 2, 8) for z in tokens]
        made = []
        for t, z in enumerate(tokens):
            seen = list(range(t + 1)) if t < n else [*range(n), t]
            heads = []
            for h in range(2):
                scores = torch.stack([parts[t][0, h] @ parts[s][1, h] for s in seen]) / 8**0.5
                heads.append(sum(w * parts[s][2, h] for w, s in zip(scores.softmax(0), seen, strict=True)))
            z = z + block.write(torch.cat(heads))
            made.append(z + block.perceptron(block.norms[1](z)))
        tokens = made
    assert torch.allclose(torch.stack([net.out(z) for z in tokens[n : n + q]]), net(batch)[0], atol=1e-5)


@pytest.mark.parametrize("order", ["causal", "set"])
def test_the_loss_is_the_mean_over_numbers_of_demonstrations(order: str) -> None:
    batch, net = drawn(count=4), model(order)
    found = net.loss(batch, torch.Generator())["loss"]
    total = 0.0
    for e in range(4):
        for place in range(4):
            power = place % 2 if order == "causal" else e % 2
            shots = (2, 4)[power]
            one = {k: v[e : e + 1] for k, v in batch.items()}
            one |= {"shown": one["shown"][:, :shots], "said": one["said"][:, :shots]}
            total += -net(one)[0, place].log_softmax(-1)[one["right"][0, place]]
    assert torch.allclose(found, total / 16, atol=1e-5)


def test_linear_attention_with_signs_is_a_nearest_mean_without_offset() -> None:
    batch = drawn()
    root = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    metric = root @ root.T
    scores = nearest_mean(batch["shown"], batch["said"], batch["asked"], metric)
    read = (batch["asked"] @ metric @ batch["shown"].mT * (2.0 * batch["said"] - 1)[:, None]).sum(-1) / 3
    means, _ = class_means(batch["shown"], batch["said"])
    sizes = ((means @ metric) * means).sum(-1) / 2
    assert torch.allclose(scores[..., 1] - scores[..., 0], read - (sizes[:, 1] - sizes[:, 0])[:, None], atol=1e-4)


def test_the_posterior_predictive_is_that_of_an_integral() -> None:
    shown, said = torch.tensor([[[0.5], [-1.0], [1.5], [-0.2]]]), torch.tensor([[0, 1, 0, 1]])
    asked = torch.tensor([[[0.7], [-2.0]]])
    found = posterior_predictive(shown, said, asked, torch.tensor([[2.0]]), torch.tensor([[0.7]]))
    mu = np.linspace(-12, 12, 20001)

    def density(x: float, centre: np.ndarray | float, variance: float) -> np.ndarray:
        return np.exp(-((x - centre) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    for k in (0, 1):
        weight = density(mu, 0.0, 0.7)
        for x in shown[0, said[0] == k, 0].tolist():
            weight = weight * density(x, mu, 2.0)
        for place, x in enumerate(asked[0, :, 0].tolist()):
            wanted = np.log((weight * density(x, mu, 2.0)).sum() / weight.sum()) + 0.5 * np.log(2 * np.pi)
            assert float(found[0, place, k]) == pytest.approx(wanted, abs=1e-4)


def test_with_many_demonstrations_it_is_the_nearest_mean_in_the_metric_of_the_noise() -> None:
    batch = {key: value.double() if value.is_floating_point() else value for key, value in drawn(shots=6).items()}
    within = torch.diag(torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64))
    far = posterior_predictive(batch["shown"], batch["said"], batch["asked"], within, 1e6 * torch.eye(3).double())
    near = nearest_mean(batch["shown"], batch["said"], batch["asked"], torch.linalg.inv(within * 4 / 3))
    assert torch.allclose(far[..., 1] - far[..., 0], near[..., 1] - near[..., 0], atol=1e-2)
    with pytest.raises(ValueError, match="balanced"):
        posterior_predictive(batch["shown"][:, :5], batch["said"][:, :5], batch["asked"], within, within)


def test_the_law_is_found_in_many_episodes() -> None:
    world = episode_world(0, train=6000, shots=6)
    within, between = estimated_law(world.train.tensors["shown"], world.train.tensors["said"])
    assert world.within is not None
    assert torch.allclose(within, world.within, atol=0.25)
    assert torch.allclose(between, torch.eye(8), atol=0.25)


def test_what_is_read_for_an_answer() -> None:
    assert tokens_per_question(0, 1) == 1
    assert tokens_per_question(99, 1) == 100
    assert tokens_per_question(100, 50, item=85) == 255


def test_it_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="the heads must divide"):
        ManyICL(width=15)
    with pytest.raises(ValueError, match="needs demonstrations"):
        ManyICL.arguments_for({"image": torch.zeros(3)})

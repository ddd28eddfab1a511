"""Oracles of IMP: experts that choose are exact, alternating is the sum in expectation, and order means nothing."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.imp import IMP, ExpertChoice, expert_choice, to_tokens, turns_variance


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def layer(*args, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ExpertChoice(*args, **arguments)


@pytest.mark.parametrize(
    ("experts", "capacity", "k"), [(4, 1.0, 3), (4, 2.0, 6), (3, 0.5, 2), (5, 9.0, 12), (24, 1, 1)]
)
def test_each_expert_takes_exactly_its_share_of_tokens(experts, capacity, k):
    gates = torch.randn(7, 12, experts, generator=generator()).softmax(-1)
    index, weight = expert_choice(gates, capacity)
    assert index.shape == weight.shape == (7, experts, k)
    assert all(len(set(row.tolist())) == k for item in index for row in item)  # no token twice
    for b in range(7):
        for e in range(experts):
            left = [t for t in range(12) if t not in index[b, e]]
            assert gates[b, index[b, e], e].min() >= max((gates[b, t, e] for t in left), default=0)
            torch.testing.assert_close(weight[b, e], gates[b, index[b, e], e])


def test_the_layer_by_hand_token_by_token():
    experts = layer(6, 3, 1.0)
    x = torch.randn(2, 9, 6, generator=generator())
    expected = torch.zeros_like(x)
    for b in range(2):
        gates = (x[b] @ experts.router.weight.T).softmax(1)
        for e in range(3):
            for t in gates[:, e].argsort(descending=True)[:3]:
                hidden = F.gelu(x[b, t] @ experts.into[e] + experts.bias[e, 0])
                expected[b, t] += gates[t, e] * (hidden @ experts.out[e])
    torch.testing.assert_close(experts(x), expected)


def test_one_expert_that_takes_all_is_a_perceptron():
    experts = layer(6, 1, 1.0)
    x = torch.randn(2, 5, 6, generator=generator())
    torch.testing.assert_close(experts(x), F.gelu(x @ experts.into[0] + experts.bias[0]) @ experts.out[0])


def test_tokens_of_pictures_sequences_and_vectors():
    picture = torch.arange(2 * 1 * 4 * 6.0).view(2, 1, 4, 6)
    tokens = to_tokens(picture, 2)
    assert tokens.shape == (2, 4, 6)
    assert tokens[0, 1].tolist() == picture[0, 0, :2, 3:].flatten().tolist()
    assert tokens[1, 2].tolist() == picture[1, 0, 2:, :3].flatten().tolist()
    odd = to_tokens(torch.ones(1, 3, 5, 7), 2)
    assert odd.shape == (1, 4, 3 * 3 * 4)
    assert odd.sum() == 3 * 5 * 7
    assert to_tokens(torch.ones(2, 7), 4).sum(-1).tolist() == [[2, 2, 2, 1]] * 2
    sequence = torch.randn(2, 5, 3)
    assert to_tokens(sequence, 4) is sequence


def gradient(method, loss):
    method.zero_grad()
    loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in method.named_parameters()}


def test_one_task_per_step_is_the_sum_in_expectation():
    """The gradients over draws of the task, weighted by how often each is drawn, are those of the mean of tasks."""
    method, batch = IMP.demo()
    assert method.tasks == ["audio", "image", "audio+image"]
    each = [method.task_loss(batch, task) for task in method.tasks]
    of_mean = gradient(method, torch.stack(each).mean())
    apart = [gradient(method, method.task_loss(batch, task)) for task in method.tasks]
    for name, value in of_mean.items():
        torch.testing.assert_close(sum(part[name] for part in apart) / 3, value, atol=1e-6, rtol=1e-4)
    drawn = [method.loss(batch, generator(seed))["loss"].item() for seed in range(600)]
    counts = [sum(abs(value - task.item()) < 1e-6 for value in drawn) for task in each]
    assert sum(counts) == 600
    assert all(150 < count < 250 for count in counts)


def test_turns_have_the_variance_that_is_said():
    """A number for each item instead of a gradient; the task of a step at random, its items independent."""
    rng = generator(4)
    means, spread = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([1.0, 2.0, 0.5])
    task = torch.randint(3, (40_000,), generator=rng)
    steps = means[task] + spread[task] * torch.randn(40_000, 6, generator=rng).mean(1)
    assert steps.var().item() == pytest.approx(turns_variance(means, spread.square(), 6).item(), rel=0.03)


def test_a_task_moves_nothing_of_the_other_modality():
    method, batch = IMP.demo()
    found = gradient(method, method.task_loss(batch, "image"))
    moved = {name for name, value in found.items() if value.any()}
    assert any(name.startswith("blocks.") for name in moved)
    assert not any(".audio" in name for name in moved)


def test_the_losses_by_hand():
    method, batch = IMP.demo()
    z = {m: method.embedding(batch, m) for m in method.modalities}
    image = F.cross_entropy(method.answers["image"](z["image"]), batch["label"])
    torch.testing.assert_close(method.task_loss(batch, "image"), image)
    a, b = (F.normalize(method.towards[m](z[m]), dim=1) for m in ("audio", "image"))
    s, mine = a @ b.T / 0.1, torch.arange(24)
    pair = (F.cross_entropy(s, mine) + F.cross_entropy(s.T, mine)) / 2
    torch.testing.assert_close(method.task_loss(batch, "audio+image"), pair)


def test_the_order_of_modalities_means_nothing():
    shapes = {"audio": (4, 6), "image": (1, 6, 6)}
    _, batch = IMP.demo()
    one = IMP.seeded(3, shapes, classes=3, width=16, heads=2)
    other = IMP.seeded(3, dict(reversed(shapes.items())), classes=3, width=16, heads=2)
    assert one.tasks == other.tasks
    assert torch.equal(one.predict(batch), other.predict(batch))


def test_only_the_modality_that_answers_has_an_effect_and_items_do_not_compete():
    method, batch = IMP.demo()
    made = method.predict(batch, "image")
    torch.testing.assert_close(made.sum(1), torch.ones(24))
    assert torch.equal(method.predict({"image": batch["image"]}), made)
    assert torch.equal(method.predict(batch | {"audio": batch["audio"] * torch.nan}, "image"), made)
    torch.testing.assert_close(method.predict({"image": batch["image"][5:9]}), made[5:9])
    lacking = batch | {"audio_present": torch.arange(24) > 3}
    torch.testing.assert_close(method.predict(lacking)[:4], made[:4], atol=1e-6, rtol=1e-5)


def test_absent_items_do_not_count():
    method, batch = IMP.demo()
    there = torch.arange(24) % 4 != 1
    kept = {key: value[there] for key, value in batch.items()}
    gone = batch | {"audio": torch.where(there[:, None, None], batch["audio"], torch.nan), "audio_present": there}
    for task in ("audio", "audio+image"):
        torch.testing.assert_close(method.task_loss(gone, task), method.task_loss(kept, task))
    unlabelled = batch | {"label_present": there, "label": batch["label"].where(there, -1)}
    torch.testing.assert_close(method.task_loss(unlabelled, "image"), method.task_loss(kept, "image"))
    nobody = batch | {"label_present": torch.zeros(24, dtype=torch.bool)}
    assert method.task_loss(nobody, "image") == 0


def test_every_second_block_has_experts_beginning_with_the_last():
    method = IMP({"a": (4, 3), "b": (4, 3)}, width=8, depth=3, heads=2)
    assert [isinstance(block.perceptron, ExpertChoice) for block in method.blocks] == [True, False, True]
    dense = IMP({"a": (4, 3), "b": (4, 3)}, width=8, depth=3, heads=2, experts=0)
    assert not any(isinstance(block.perceptron, ExpertChoice) for block in dense.blocks)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="capacity is positive"):
        IMP({"a": (3,)}, capacity=0)
    method, batch = IMP.demo()
    with pytest.raises(ValueError, match="no modality 'imago': did you mean 'image'"):
        method.predict(batch, "imago")
    with pytest.raises(ValueError, match=r"has shape \(4, 5\), but \(4, 6\)"):
        method.predict({"audio": batch["audio"][..., 1:]})
    with pytest.raises(KeyError, match="none of the modalities audio, image"):
        method.predict({"label": batch["label"]})

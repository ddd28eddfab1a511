"""Large batches: groups are blocks, cached gradients are the direct ones, and two processes have the loss of one."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from losses.gathering import towers_and_items
from torch import Tensor
from torch.nn import functional as F

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.losses.big_batch import gathered_contrast, grouped_contrast, in_pieces, same_group
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.methods.mobile_clip import MobileCLIP
from mmlab.nn.towers import TwoTowers
from mmlab.train.sampler import Order

HERE = Path(__file__).parent


def pairs(count: int = 24) -> tuple[Tensor, Tensor]:
    u, v = torch.randn(2, count, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return u, v + u


def gradients(loss: Tensor, *leaves: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, leaves))


def test_one_group_is_infonce() -> None:
    u, v = pairs()
    assert torch.allclose(grouped_contrast(u, v, 8.0), soft_contrastive(u, v, identity_targets(24, u), 1 / 8.0))


@pytest.mark.parametrize("groups", [1, 2, 6, 24])
def test_groups_are_blocks_of_the_matrix_and_the_gradients_are_those_of_the_blocks(groups: int) -> None:
    u, v = (x.requires_grad_() for x in pairs())
    scale = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    ours = grouped_contrast(u, v, scale, groups)
    blocks = soft_contrastive(u, v, identity_targets(24, u), 1 / scale, compared=same_group(24, groups))
    assert torch.allclose(ours, blocks)
    for a, b in zip(gradients(ours, u, v, scale), gradients(blocks, u, v, scale), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_groups_by_hand_and_groups_of_one_teach_nothing() -> None:
    u, v = pairs()
    parts = []
    for a, b in zip(F.normalize(u, dim=1).split(6), F.normalize(v, dim=1).split(6), strict=True):
        s = 8.0 * a @ b.T
        parts.append((F.cross_entropy(s, torch.arange(6)) + F.cross_entropy(s.T, torch.arange(6))) / 2)
    assert torch.allclose(grouped_contrast(u, v, 8.0, 4), torch.stack(parts).mean())
    assert grouped_contrast(u, v, 8.0, 24) == pytest.approx(0.0, abs=1e-12)
    assert grouped_contrast(u.new_ones(24, 7), v.new_ones(24, 7), 8.0, 4).item() == pytest.approx(
        torch.tensor(6.0).log()
    )


def test_only_a_group_of_g_times_less_is_kept_for_the_backward_pass() -> None:
    def kept(groups: int) -> int:
        """Values of square matrices that autograd keeps."""
        total = 0

        def pack(x: Tensor) -> Tensor:
            nonlocal total
            total += x.numel() if x.ndim == 3 and x.shape[1] == x.shape[2] == 24 // groups else 0
            return x

        u, v = (x.requires_grad_() for x in pairs())
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            grouped_contrast(u, v, 8.0, groups)
        return total

    assert kept(1) > 0
    assert kept(1) == 4 * kept(4)


def direct_and_cached(dropout: float = 0.0) -> tuple[list[Tensor], list[Tensor]]:
    """Loss and all gradients of two towers, directly and piece by piece."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    towers = TwoTowers(20, 8, 4, patches=True).double()
    towers.caption.out.insert(1, torch.nn.Dropout(dropout))
    x = torch.randn(10, 3, 32, 32, generator=rng, dtype=torch.float64)
    y = torch.randint(20, (10, 5), generator=rng)
    results = []
    for size in (10, 4):
        towers.zero_grad()
        u, v = in_pieces(towers.picture, x, size=size), in_pieces(towers.caption, y, size=size)
        if size == 10 and not dropout:
            u, v = towers.picture(x), towers.caption(y)
        loss = grouped_contrast(u, v, towers.scale())
        torch.manual_seed(99)  # what is drawn between the passes does not count
        loss.backward()
        results.append([loss.detach(), *[p.grad.clone() for p in towers.parameters() if p.grad is not None]])
    return results[0], results[1]


def test_cached_gradients_are_the_direct_ones_that_of_the_scale_included() -> None:
    direct, cached = direct_and_cached()
    assert len(direct) == len(cached) > 8
    for a, b in zip(direct, cached, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_cached_gradients_by_the_three_steps_of_gradcache() -> None:
    """Without a graph, then the gradients by the vectors, then through each piece once more."""
    _, cached = direct_and_cached()
    torch.manual_seed(0)
    towers = TwoTowers(20, 8, 4, patches=True).double()
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(10, 3, 32, 32, generator=rng, dtype=torch.float64)
    y = torch.randint(20, (10, 5), generator=rng)
    with torch.no_grad():
        u, v = (torch.cat([f(p) for p in z.split(4)]) for f, z in ((towers.picture, x), (towers.caption, y)))
    u.requires_grad_(), v.requires_grad_()
    grouped_contrast(u, v, towers.scale()).backward()
    for encode, z, slope in ((towers.picture, x, u.grad), (towers.caption, y, v.grad)):
        assert slope is not None
        for piece, part in zip(z.split(4), slope.split(4), strict=True):
            encode(piece).backward(part)
    ours = [p.grad for p in towers.parameters() if p.grad is not None]
    for a, b in zip(ours, cached[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_dropout_is_played_again_in_the_second_pass() -> None:
    """With another mask in the second pass the gradient would not be that of the loss: finite differences say so."""
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss_at(w: Tensor) -> Tensor:
        torch.manual_seed(3)
        u = in_pieces(lambda part: F.dropout((part * w).sin(), 0.5), x, size=3)
        return grouped_contrast(u, x, 5.0)

    loss = loss_at(weight)
    torch.manual_seed(77)
    (slope,) = torch.autograd.grad(loss, weight)
    step = 1e-6
    with torch.no_grad():
        numeric = (loss_at(weight + step) - loss_at(weight - step)) / (2 * step)
    assert slope.item() == pytest.approx(numeric.item(), rel=1e-5)


def test_between_the_passes_no_piece_is_kept_but_its_input() -> None:
    """Counted by what autograd saves: the vectors and the matrix, and nothing from within the tower."""
    tower = torch.nn.Sequential(torch.nn.Linear(5, 64), torch.nn.Tanh(), torch.nn.Linear(64, 7)).double()
    x, v = torch.randn(24, 5, dtype=torch.float64), pairs()[1]

    def kept(encode: object) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.shape[-1]) or t, lambda t: t):
            grouped_contrast(encode(x), v, 8.0)  # type: ignore[operator]
        return sum(size == 64 for size in sizes)

    assert kept(tower) > 0
    assert kept(lambda x: in_pieces(tower, x, size=6)) == 0


def test_a_batch_cut_by_fit_is_grouped_and_not_the_whole_contrast() -> None:
    """What ``accumulation`` does to a contrast: loss and weights are those of as many groups."""
    start, batch = MobileCLIP.demo()
    start.distilled = 0.0
    data = TensorData({name: batch[name] for name in ("image", "caption")})
    wholes = []
    for pieces in (1, 3):
        cut, by_hand = copy.deepcopy(start), copy.deepcopy(start).towers
        history = fit(cut, data, steps=1, batch_size=12, accumulation=pieces, lr=0.1, optimiser="sgd", clip_norm=None,
                      progress=False)  # fmt: skip
        rows = Order(12, 12, pieces, seed=0).epoch(0, 0, 12)
        u, v = by_hand.picture(batch["image"][rows]), by_hand.caption(batch["caption"][rows])
        loss = grouped_contrast(u, v, by_hand.scale(), pieces)
        assert history.last("loss") == pytest.approx(loss.item(), rel=1e-5)
        loss.backward()
        for after, before in zip(cut.towers.parameters(), by_hand.parameters(), strict=True):
            assert before.grad is not None
            torch.testing.assert_close(after, before - 0.1 * before.grad, rtol=1e-4, atol=1e-6)
        wholes.append(loss.item())
    assert wholes[1] < wholes[0] - 0.3  # fewer negatives


def test_two_processes_have_the_loss_and_the_gradients_of_one() -> None:
    parameters, x, y = towers_and_items()
    loss = gathered_contrast(x @ parameters[0], y @ parameters[1], parameters[2].exp())
    plain = soft_contrastive(x @ parameters[0], y @ parameters[1], identity_targets(12, x), (-parameters[2]).exp())
    assert torch.allclose(loss, plain)
    alone = torch.cat([loss.detach().view(1), *[g.flatten() for g in gradients(loss, *parameters)]])
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = subprocess.run(
        [sys.executable, *torchrun, str(HERE / "gathering.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
             "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    torch.testing.assert_close(torch.tensor(json.loads(run.stdout), dtype=torch.float64), alone, rtol=1e-10, atol=1e-12)


def test_what_cannot_be_cut_is_refused() -> None:
    u, v = pairs()
    for groups in (0, 5):
        with pytest.raises(ValueError, match="take a divisor of 24"):
            grouped_contrast(u, v, 8.0, groups)
    with pytest.raises(ValueError, match="both must be the same"):
        grouped_contrast(u, v[:12], 8.0)
    with pytest.raises(ValueError, match="size=0"):
        in_pieces(lambda x: x, u, size=0)
    with pytest.raises(ValueError, match="equally long"):
        in_pieces(lambda x, y: x, u, v[:3], size=2)

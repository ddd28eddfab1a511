"""MoRE: DropKey against torch's attention, pairs by transcription, absent sides, a sum over reports that is exact."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.more_xray import MoRE, attend, pair_loss, through_reports


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still() -> tuple[MoRE, dict[str, torch.Tensor]]:
    """The demo without dropped keys."""
    method, batch = MoRE.demo()
    method.xray.drop = method.ecg.drop = 0.0
    return method, batch


def test_without_drops_it_is_the_attention_of_torch() -> None:
    q, k, v = torch.randn(3, 2, 4, 7, 5, generator=rng())
    for plain in (attend(q, k, v), attend(q, k, v, 0.0, rng()), attend(q, k, v, 0.5)):
        assert torch.allclose(plain, F.scaled_dot_product_attention(q, k, v), atol=1e-6)


def test_dropped_keys_leave_rows_that_sum_to_one() -> None:
    q, k = torch.randn(2, 50, 2, 8, 4, generator=rng())
    weights = attend(q, k, torch.eye(8).expand(50, 2, 8, 8), 0.3, rng(1))
    assert torch.allclose(weights.sum(-1), torch.ones(50, 2, 8), atol=1e-6)
    lost = weights == 0
    assert float(lost.float().mean()) == pytest.approx(0.3, abs=0.02)
    left = attend(q, k, torch.eye(8).expand(50, 2, 8, 8)).masked_fill(lost, 0.0)
    assert torch.allclose(weights, left / left.sum(-1, keepdim=True), atol=1e-6), "the others grow in proportion"
    alone = attend(q[:, :, :1], k[:, :, :1], torch.ones(50, 2, 1, 1), 0.9, rng(2))
    assert torch.equal(alone, torch.ones_like(alone)), "a row that would lose all of its keys keeps them"


def test_a_pair_is_infonce_in_both_directions() -> None:
    a, b = torch.randn(2, 5, 3, generator=rng())
    total = torch.zeros(())
    for i in range(5):
        s = [F.cosine_similarity(a[i], b[j], dim=0) / 0.2 for j in range(5)]
        back = [F.cosine_similarity(a[j], b[i], dim=0) / 0.2 for j in range(5)]
        total = total - (s[i] - torch.stack(s).logsumexp(0)) - (back[i] - torch.stack(back).logsumexp(0))
    assert torch.allclose(pair_loss(a, b, 0.2), total / 10, atol=1e-5)
    a.requires_grad_()
    nobody = pair_loss(a[:1], b[:1], 0.2)
    assert nobody == 0
    assert nobody.requires_grad, "a batch without a pair can be trained on"


def test_who_lacks_a_side_is_no_partner_and_no_negative() -> None:
    method, batch = still()
    before = method.loss(batch, rng())
    strange = {**batch, "xray": batch["xray"].clone()}
    strange["xray"][~batch["xray_present"]] = float("nan")
    assert torch.equal(method.loss(strange, rng())["loss"], before["loss"])
    had = batch["xray_present"]
    few = {name: value[had] for name, value in batch.items()}
    assert torch.allclose(method.loss(few, rng())["report_xray"], before["report_xray"], atol=1e-6)
    without = {**batch, "ecg_present": torch.zeros(16, dtype=torch.bool)}
    assert method.loss(without, rng())["report_ecg"] == 0


def test_the_anchor_is_one_tower_and_separate_pairs_share_none() -> None:
    method, batch = still()
    x, e, t, s = method.embed(batch).unbind(1)
    assert torch.equal(t, s)
    assert torch.allclose(x.norm(dim=1), torch.ones(16), atol=1e-5)
    apart = MoRE.seeded(0, 6, side=12, samples=16, width=16, pairs="separate")
    apart.loss(batch, rng())["report_xray"].backward()
    assert all(p.grad is None for p in [*apart.second.parameters(), *apart.ecg.parameters()])
    all_three = MoRE.seeded(0, 6, side=12, samples=16, width=16, pairs="all", drop=0.0)
    found, both = all_three.loss(batch, rng()), batch["xray_present"] & batch["ecg_present"]
    x, e, _, _ = all_three.embed(batch).unbind(1)
    assert torch.allclose(found["xray_ecg"], pair_loss(x[both], e[both], 0.07), atol=1e-4)
    assert torch.allclose(found["loss"], found["report_xray"] + found["report_ecg"] + found["xray_ecg"])


def test_the_sum_over_reports_is_the_ratio_of_a_law() -> None:
    """Three variables with a few values each, x and e independent given t: the ratio by enumeration."""
    t = torch.rand(6, generator=rng()).softmax(0).double()
    x_of_t, e_of_t = (torch.rand(6, n, generator=rng(n), dtype=torch.float64).mul(3).softmax(1) for n in (4, 5))
    joint = torch.einsum("t,tx,te->xe", t, x_of_t, e_of_t)
    x, e = joint.sum(1), joint.sum(0)
    truth = joint / (x[:, None] * e[None])
    reports = torch.multinomial(t, 200_000, replacement=True, generator=rng(1))  # as a training has them
    scores = [(of_t.T / margin[:, None]).log()[:, reports] for of_t, margin in ((x_of_t, x), (e_of_t, e))]
    assert torch.allclose(through_reports(*scores), truth, rtol=0.02)
    shifted = [s + torch.randn(len(s), 1, generator=rng(2), dtype=s.dtype) for s in scores]
    assert torch.allclose(through_reports(*shifted), through_reports(*scores)), "a term of the row is not seen"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="side=25"):
        MoRE(6, side=25)
    with pytest.raises(ValueError, match="pairs='none'"):
        MoRE(6, pairs="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no 'ecg' here"):
        MoRE.arguments_for({"xray": torch.zeros(1, 24, 24)})

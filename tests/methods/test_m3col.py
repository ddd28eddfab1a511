"""Oracles of M3CoL: the loss put together by hand, the change of phase, and what the released code got wrong."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.losses.contrastive import cosine_similarity, draw_mixing, identity_targets, mixup_targets, soft_contrastive
from mmlab.methods.m3col import M3CoL, cycle, mixup_contrast, softclip_contrast

SHAPES = {"a": (5,), "b": (3,), "c": (4,)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(shapes=SHAPES, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return M3CoL(shapes, width=8, **arguments)


def batch_of(count=16, shapes=SHAPES, seed=1):
    rng = generator(seed)
    values = {name: torch.randn(count, *shape, generator=rng) for name, shape in shapes.items()}
    return values | {"label": torch.arange(count) % 2}


def log_p(a, b, temperature):
    return (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature).log_softmax(1)


def test_modalities_are_paired_in_a_circle():
    assert cycle(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("c", "a")]
    assert cycle(["a", "b"]) == [("a", "b"), ("b", "a")]
    assert cycle(["a"]) == []


def test_loss_of_the_first_phase_by_hand():
    method, batch = built(), batch_of()
    z = {name: method.encoders[name](batch[name]) for name in SHAPES}
    rng, contrast = generator(3), 0.0
    for first, second in (("a", "b"), ("b", "c"), ("c", "a")):
        weight, partner = draw_mixing(16, 0.15, 0.5, rng)
        mixed = weight[:, None] * z[first] + (1 - weight[:, None]) * z[first][partner]
        targets = torch.zeros(16, 16)
        for i in range(16):
            targets[i, i] += weight[i]
            targets[i, partner[i]] += 1 - weight[i]
        there, back = log_p(mixed, z[second], 0.1), log_p(z[second], mixed, 0.1)
        contrast = contrast - (targets * there).sum() / 32 - (targets.T * back).sum() / 32
    heads = sum(F.cross_entropy(method.heads[name](z[name]), batch["label"]) for name in SHAPES)
    there = {name: torch.ones(16).bool() for name in SHAPES}
    fused = F.cross_entropy(method.fusion(z, there), batch["label"])
    found = method.loss(batch, generator(3))
    torch.testing.assert_close(found["contrast"], contrast)
    torch.testing.assert_close(found["auxiliary"], heads)
    torch.testing.assert_close(found["loss"], fused + heads + 0.1 * contrast)


def test_loss_of_the_second_phase_by_hand():
    method, batch = built(), batch_of()
    method.progress = 0.5
    z = {name: method.encoders[name](batch[name]).detach() for name in SHAPES}
    contrast = 0.0
    for first, second in (("a", "b"), ("b", "c"), ("c", "a")):
        targets = log_p(z[second], z[second], 0.125).exp()
        there, back = log_p(z[first], z[second], 0.125), log_p(z[second], z[first], 0.125)
        contrast = contrast - (targets * (there + back)).sum() / 32
    torch.testing.assert_close(method.loss(batch, generator())["contrast"], contrast)


@pytest.mark.parametrize(("progress", "mixes"), [(0.0, True), (0.33, True), (1 / 3, False), (1.0, False)])
def test_mixing_stops_after_a_third(progress, mixes):
    method, batch = built(), batch_of()
    method.progress = progress
    one, other = (method.loss(batch, generator(seed))["contrast"] for seed in (0, 1))
    assert bool(one != other) == mixes  # soft targets draw nothing


def test_the_clean_partner_is_never_mixed():
    """The released code mixes in place: by the third pair, the clean side has been mixed, too."""
    method, batch = built(), batch_of()
    z, _ = method.encoders(batch)
    before = {name: value.clone() for name, value in z.items()}
    method.embed = lambda _: (z, {name: torch.ones(16).bool() for name in SHAPES})
    method.loss(batch, generator())
    for name in SHAPES:
        assert torch.equal(z[name], before[name])


def test_without_contrast_it_is_the_model_with_auxiliary_heads():
    method, batch = built(contrast=0.0), batch_of()
    found = method.loss(batch, generator())
    assert torch.equal(found["loss"], found["fused"] + found["auxiliary"])
    plain = built(contrast=0.0, auxiliary=0.0)
    assert torch.equal(plain.loss(batch, generator())["loss"], found["fused"])
    assert torch.equal(plain.predict(batch), method.predict(batch))


def test_without_mixtures_it_is_clip():
    method, batch = built(mixed=0.0, switch=2.0), batch_of()
    z, _ = method.encoders(batch)
    expected = sum(soft_contrastive(z[m], z[n], identity_targets(16), 0.1) for m, n in cycle("abc"))
    torch.testing.assert_close(method.loss(batch, generator())["contrast"], expected)


def test_a_mixture_of_an_item_with_itself_is_the_item():
    a, b = torch.randn(2, 6, 4, generator=generator())
    weight, alone = torch.rand(6, generator=generator(1)), torch.arange(6)
    assert torch.allclose(mixup_targets(weight, alone).sum(1), torch.ones(6))  # 0.4 and the like in the released code
    plain = soft_contrastive(a, b, identity_targets(6), 0.1)
    torch.testing.assert_close(mixup_contrast(a, b, weight, alone, 0.1), plain)


def test_soft_targets_come_from_the_second_modality_without_a_gradient():
    a, b = torch.randn(2, 6, 4, generator=generator(), dtype=torch.float64)
    b.requires_grad_()
    softclip_contrast(a, b, 0.125).backward()
    targets = (cosine_similarity(b, b) / 0.125).softmax(1).detach()
    again = b.detach().clone().requires_grad_()
    s = cosine_similarity(a, again) / 0.125
    (-(targets * (s.log_softmax(1) + s.T.log_softmax(1))).sum() / 12).backward()
    torch.testing.assert_close(b.grad, again.grad)


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_what_is_absent_is_in_no_pair(progress):
    method, batch = built(), batch_of()
    method.progress = progress
    there = torch.arange(16) % 3 > 0
    masked = batch | {"b_present": there}
    value = method.loss(masked, generator())
    noise = torch.where(there[:, None], batch["b"], torch.nan)
    changed = method.loss(masked | {"b": noise}, generator())
    assert all(torch.equal(value[key], changed[key]) for key in value)
    assert torch.equal(method.predict(masked), method.predict(masked | {"b": noise}))
    # For the pair alone: the same contrast as a batch of those that have both.
    pair = M3CoL({"a": (5,), "b": (3,)}, width=8)
    pair.progress = progress
    few = {key: batch[key][there] for key in ("a", "b", "label")}
    torch.testing.assert_close(pair.loss(masked, generator())["contrast"], pair.loss(few, generator())["contrast"])


def test_nobody_with_both_modalities_is_no_error():
    method, batch = built({"a": (5,), "b": (3,)}), batch_of()
    only = {"a_present": torch.arange(16) < 8, "b_present": torch.arange(16) > 8}
    found = method.loss(batch | only, generator())
    assert float(found["contrast"].detach()) == 0
    assert bool(torch.isfinite(found["loss"]))
    found["loss"].backward()


def test_the_contrast_aligns_modalities():
    """Training with the contrast brings an item's two embeddings closer than those of other items."""
    rng = generator(5)
    hidden = torch.randn(32, 4, generator=rng)
    batch = {name: hidden @ torch.randn(4, *shape, generator=rng) for name, shape in SHAPES.items()}
    batch["label"] = (hidden[:, 0] > 0).long()

    def gap(contrast):
        method = built(contrast=contrast)
        optimiser = torch.optim.Adam(method.parameters(), lr=3e-3)
        for step in range(60):
            method.progress = step / 60
            optimiser.zero_grad()
            method.loss(batch, generator(step))["loss"].backward()
            optimiser.step()
        z, _ = method.encoders(batch)
        cosines = cosine_similarity(z["a"], z["b"])
        return float((cosines.diagonal().mean() - cosines.mean()).detach())

    assert gap(1.0) > gap(0.0) + 0.2


def test_shapes_come_from_an_item():
    item = {key: value[0] for key, value in batch_of().items()} | {"a_present": torch.tensor(True)}
    assert M3CoL.arguments_for(item) == {"shapes": {"a": [5], "b": [3], "c": [4]}}

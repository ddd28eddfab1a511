"""Oracles of Brain Harmony: resized kernels, hidden tokens, and padding that counts nowhere."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.brain_harmony import (
    BrainHarmony,
    FlexiPatch,
    hide_tokens,
    masked_mean,
    resize_kernel,
    resize_matrix,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("new", [96, 72, 36, 24])
def test_the_resized_kernel_is_that_of_the_released_code(new):
    """Its matrix has a resized unit vector in each row; its pseudo-inverse is applied to each kernel."""
    kernel = 0.02 * torch.randn(5, 48, generator=generator())  # as large as the released weights begin
    rows = []
    for i in range(48):
        unit = torch.zeros(1, 48)
        unit[0, i] = 1.0
        rows.append(F.interpolate(unit[None, None], (1, new), mode="bicubic", antialias=True).flatten())
    inverse = torch.linalg.pinv(torch.stack(rows))
    expected = torch.stack([inverse @ one for one in kernel])
    assert (resize_kernel(kernel, new) - expected).abs().max() < 3e-7


def test_a_stretched_patch_gets_the_same_answer_and_a_shrunk_one_that_of_least_squares():
    rng = generator()
    kernel, x = torch.randn(5, 48, generator=rng), torch.randn(48, 7, generator=rng)
    for new in (72, 96):
        torch.testing.assert_close(
            resize_kernel(kernel, new) @ resize_matrix(48, new) @ x, kernel @ x, rtol=0, atol=5e-5
        )
    matrix = resize_matrix(48, 24)
    expected = np.linalg.lstsq(matrix.T.double().numpy(), kernel.T.double().numpy(), rcond=None)[0].T
    np.testing.assert_allclose(resize_kernel(kernel, 24).numpy(), expected, atol=1e-4)
    assert (resize_kernel(kernel, 24) @ matrix @ x - kernel @ x).norm() > 0.3 * (
        kernel @ x
    ).norm()  # white noise: lossy
    assert resize_kernel(kernel, 48) is kernel
    torch.testing.assert_close(resize_matrix(48, 24).sum(1), torch.ones(24))  # a constant stays


def test_a_series_at_another_rate_gives_the_same_tokens():
    """A series whose every patch was stretched by M is read as the original."""
    read = FlexiPatch(48, 6)
    series = torch.randn(2, 3, 96, generator=generator())
    stretched = (series.unflatten(-1, (2, 48)) @ resize_matrix(48, 72).T).flatten(-2)
    torch.testing.assert_close(read(stretched, 72), read(series), rtol=0, atol=2e-5)
    by_hand = torch.stack([series[..., n * 48 : (n + 1) * 48] @ read.weight.T + read.bias for n in range(2)], 2)
    torch.testing.assert_close(read(series), by_hand)
    assert (read(stretched, 48)[:, :, :2] - read(series)).abs().max() > 0.1  # the rate ignored


def test_hidden_tokens_exist_and_some_are_left():
    exists = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0] * 6]).bool()
    counts = torch.zeros(4, 6)
    for seed in range(200):
        hidden = hide_tokens(exists, 0.5, generator(seed))
        assert not (hidden & ~exists).any()
        assert hidden.sum(1).tolist() == [2, 0, 3, 0]
        counts += hidden
    torch.testing.assert_close(counts[0, :4] / 200, torch.full((4,), 0.5), atol=0.12, rtol=0)


def test_the_mean_over_tokens_leaves_items_without_any_out():
    error = torch.tensor([[1.0, 2, 3], [4, torch.nan, 6], [7, 8, 9]])
    counts = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 0, 0]]).bool()
    assert masked_mean(error, counts).item() == pytest.approx((2 + 4) / 2)
    assert masked_mean(error, counts & False).item() == 0


def test_padding_counts_in_no_loss_and_no_token():
    """The released loss of the hubs is a mean over all tokens, those of padding included."""
    method, batch = BrainHarmony.demo()
    end = batch["length"][:, None, None]
    padded = torch.arange(24) >= end
    loss = method.loss(batch, generator())
    other = batch | {"function": torch.where(padded, 1e6, batch["function"])}
    for name, value in method.loss(other, generator()).items():
        assert torch.equal(value, loss[name])
    longer = batch | {"function": F.pad(batch["function"], (0, 12), value=9.0)}
    assert torch.equal(method.loss(longer, generator())["loss"], loss["loss"])
    assert torch.equal(method.embed(other), method.embed(batch))
    z, there = method.embeddings(batch)
    rebuilt = method.rebuild(method.compress(z, there))
    each = (rebuilt - z).square().mean(-1)
    assert not torch.allclose(each.mean(), loss["hub"])
    torch.testing.assert_close(torch.stack([e[t].mean() for e, t in zip(each, there, strict=True)]).mean(), loss["hub"])


def test_items_do_not_depend_on_what_lies_beside_them():
    """Mixed rates and lengths: each item alone gives what it gives in the batch (the mask of its own sample)."""
    method, batch = BrainHarmony.demo()
    together = method.embed(batch)
    alone = torch.cat([method.embed({k: v[i : i + 1] for k, v in batch.items()}) for i in range(16)])
    torch.testing.assert_close(together, alone)


def test_the_decoder_sees_nothing_but_the_hubs():
    method, batch = BrainHarmony.demo()
    z, there = method.embeddings(batch)
    hubs = method.compress(z, there)
    assert hubs.shape == (16, 2, 16)
    rebuilt = method.rebuild(hubs)
    assert torch.equal(rebuilt, method.rebuild(hubs.clone()))
    torch.testing.assert_close(method.rebuild(hubs.flip(1)), rebuilt)  # the hubs have no order but what they hold


def test_the_copy_follows_in_closed_form():
    method, _ = BrainHarmony.demo()
    start = method.teacher["read_series"].weight.clone()
    with torch.no_grad():
        method.read_series.weight.fill_(2.0)
    for _ in range(5):
        method.after_step()
    expected = 0.9**5 * start + (1 - 0.9**5) * 2.0
    torch.testing.assert_close(method.teacher["read_series"].weight, expected)


def test_the_loss_by_hand():
    method, batch = BrainHarmony.demo()
    found = method.loss(batch, generator(3))
    rng = generator(3)
    exists = torch.arange(2) < (batch["length"] // batch["samples"])[:, None]
    exists = exists.repeat(1, 3)
    hidden, cut = hide_tokens(exists, 0.5, rng), hide_tokens(torch.ones(16, 4).bool(), 0.5, rng)
    function, structure = [], []
    for i in range(16):
        size = int(batch["samples"][i])
        kernel = resize_kernel(method.read_series.weight, size)
        slow = resize_kernel(method.teacher["read_series"].weight, size)
        places, rows, targets = [], [], []
        for r in range(3):
            for n in range(2):
                if not exists[i, 2 * r + n]:
                    continue
                patch = batch["function"][i, r, n * size : (n + 1) * size]
                place = method.region[r, 0] + method.time[0, n]
                rows.append(kernel @ patch + method.read_series.bias + place)
                targets.append(slow @ patch + method.teacher["read_series"].bias + place)
                places.append((2 * r + n, place))
        z = F.layer_norm(
            method.teacher["series_encoder"](torch.stack(targets)[None], torch.ones(1, len(rows)).bool()), (16,)
        )
        seen = torch.stack([row for row, (t, _) in zip(rows, places, strict=True) if not hidden[i, t]])[None]
        context = method.series_encoder(seen, torch.ones(1, seen.shape[1]).bool())
        errors = []
        for k, (t, place) in enumerate(places):
            if hidden[i, t]:
                made = method.series_out(method.series_predictor((method.series_ask + place)[None, None], context))[
                    0, 0
                ]
                d = (made - z[0, k]).abs()
                errors.append(torch.where(d < 1, d**2 / 2, d - 0.5).mean())
        function.append(torch.stack(errors).mean())
        tokens = method.read_structure(batch["structure"][i]) + method.place
        context = method.structure_encoder(tokens[~cut[i]][None], torch.ones(1, int((~cut[i]).sum())).bool())
        ask = (method.structure_ask + method.place)[cut[i]][None]
        made = method.structure_out(method.structure_decoder(ask, context))[0]
        structure.append((made - batch["structure"][i][cut[i]]).square().mean())
    torch.testing.assert_close(found["function"], torch.stack(function).mean())
    torch.testing.assert_close(found["structure"], torch.stack(structure).mean())
    torch.testing.assert_close(found["loss"], found["function"] + found["structure"] + found["hub"])


def test_no_gradient_goes_from_the_hubs_to_the_encoders():
    method, batch = BrainHarmony.demo()
    method.loss(batch, generator())["hub"].backward()
    parts = (method.read_series, method.series_encoder, method.read_structure, method.structure_encoder)
    assert all(p.grad is None for part in parts for p in part.parameters())
    assert method.hub.grad.any()


def test_the_sizes_come_from_the_data():
    item = {"function": torch.zeros(5, 100), "structure": torch.zeros(4, 7)}
    arguments = BrainHarmony.arguments_for(item)
    assert arguments == {"function": [5, 2], "structure": [4, 7], "patch": 48}
    assert BrainHarmony.arguments_for({**item, "function": torch.zeros(5, 20)})["function"] == [5, 1]
    with pytest.raises(ValueError, match="the data have no structure"):
        BrainHarmony.arguments_for({"function": torch.zeros(5, 100)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": (3, 0)}, "patches=0 is too small"),
        ({"hubs": 0}, "hubs=0 is too small"),
        ({"hidden": 1.0}, "hidden=1.0 and momentum=0.99 must be shares"),
        ({"momentum": 1.5}, "choose numbers between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BrainHarmony(**{"function": (3, 2), "structure": (3, 4)} | arguments)


def test_series_of_other_regions_are_refused():
    method, batch = BrainHarmony.demo()
    with pytest.raises(ValueError, match="built for 3 regions"):
        method.embed(batch | {"function": batch["function"][:, :2]})

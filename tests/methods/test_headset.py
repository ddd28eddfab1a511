"""Headset: what is hidden has no effect, a map that is hidden is one that is not there, and the logits by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.methods.headset import Headset, cover, seen


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_stands_where_it_is_hidden_has_no_effect_on_answer_loss_or_mean_face() -> None:
    method, batch = Headset.demo()
    other = dict(batch)
    for name in ("picture", "depth"):
        noise = 9 * torch.randn(batch[name].shape, generator=rng(1))
        other[name] = torch.where(batch[f"{name}_hidden"], noise, batch[name])
        assert not torch.equal(other[name], batch[name])
    assert torch.equal(method(batch), method(other))
    assert torch.equal(method.loss(batch, rng())["loss"], method.loss(other, rng())["loss"])
    states = [Headset.demo()[0].look_at(TensorData(data)).state_dict() for data in (batch, other)]
    assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))
    other["depth"] = other["depth"].masked_fill(batch["depth_hidden"], torch.nan)
    assert torch.equal(method(batch), method(other)), "not even if it is no number"
    told = {name: value for name, value in other.items() if name != "picture_hidden"}
    assert not torch.equal(method(batch), method(told)), "without the mask it has an effect"


def test_the_logits_pixel_by_pixel() -> None:
    method, batch = Headset.demo()
    method.look_at(TensorData(batch))
    for i in range(3):
        features = []
        for name in ("picture", "depth"):
            x, h = batch[name][i, 0], batch[f"{name}_hidden"][i, 0]
            mean, scale = method.get_buffer(f"{name}_mean")[0], float(method.get_buffer(f"{name}_scale"))
            values = []
            for r in range(8):
                values += [0.0 if h[r, c] else float(x[r, c] - mean[r, c]) / scale for c in range(8)]
            line = method.encoders[name]
            features.append(F.relu(line.weight @ torch.tensor([*values, *h.flatten().float().tolist()]) + line.bias))
        z = method.head.weight @ torch.cat(features) + method.head.bias
        assert torch.allclose(method(batch)[i], z, atol=1e-5)
        assert torch.allclose(method.predict(batch)[i], z.softmax(0), atol=1e-5)


def test_the_mean_face_is_that_of_what_is_seen() -> None:
    method, batch = Headset.demo()
    method.look_at(TensorData(batch))
    x, h = batch["picture"][:, 0], batch["picture_hidden"][:, 0]
    squares, count = 0.0, 0
    for r in range(8):
        for c in range(8):
            there = x[~h[:, r, c], r, c]
            mean = float(there.mean()) if len(there) else 0.0
            assert float(method.picture_mean[0, r, c]) == pytest.approx(mean, abs=1e-5)  # type: ignore[index]
            squares, count = squares + float((there - mean).square().sum()), count + len(there)
    assert float(method.picture_scale) == pytest.approx((squares / count) ** 0.5, rel=1e-4)  # type: ignore[arg-type]


def test_the_mean_face_in_place_of_what_is_hidden_differs_by_the_mask_alone() -> None:
    x, mean = torch.randn(4, 1, 6, 6, generator=rng()), torch.randn(1, 6, 6, generator=rng(1))
    h = torch.rand(4, 1, 6, 6, generator=rng(2)) < 0.4
    made, filled = seen(x, h, mean, torch.tensor(2.0)), torch.where(h, mean, x)
    assert torch.allclose(made[:, :1], (filled - mean) / 2.0, atol=1e-6)
    assert torch.equal(made[:, 1:] == 1, h)


def test_covering_adds_to_what_is_hidden_and_the_loss_covers_that_share() -> None:
    method, batch = Headset.demo()
    boxes = torch.zeros_like(batch["picture_hidden"])
    boxes[:, :, 2:4] = True
    covered = cover(batch, boxes)
    assert torch.equal(covered["depth_hidden"], batch["depth_hidden"] | boxes)
    plain, all_covered = method.loss(batch, rng())["loss"], method.loss(covered, rng())["loss"]
    method.covered = 1.0
    assert torch.equal(method.loss(batch | {"cover": boxes}, rng())["loss"], all_covered)
    assert torch.equal(method.loss(batch, rng())["loss"], plain), "nothing to cover with"
    method.covered = 0.5
    halves = torch.stack([method.loss(batch | {"cover": boxes}, rng(k))["loss"] for k in range(400)])
    assert float(halves.mean().detach()) == pytest.approx(float((plain + all_covered).detach() / 2), rel=0.05)


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is a share of items"):
        Headset({"picture": (1, 8, 8), "depth": (1, 8, 8)}, covered=1.5)

"""Oracles of MultiMAE: the released criteria on seeded numbers, exact masks, and what must have no effect."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.multimae import (
    MultiMAE,
    choose_tokens,
    draw_shares,
    masked_error,
    standardised,
    to_patches,
    to_pictures,
)

SHAPES = {"image": (1, 4, 4), "edge": (1, 4, 4), "area": (2, 4, 4)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def everything(count):
    return {m: torch.ones(count, 4).bool() for m in sorted(SHAPES)}


def test_the_errors_are_those_of_the_released_criteria():
    """The numbers are what the authors' MaskedMSELoss (plain and standardised), MaskedL1Loss and cross-entropy give."""
    rng = generator(19)
    made = torch.randn(4, 3, 16, 16, generator=rng)
    target = torch.rand(4, 3, 16, 16, generator=rng)
    hidden = torch.rand(4, 16, generator=rng) < 0.6
    hidden[2] = False  # such an item does not count
    label = torch.randint(0, 3, (4, 16, 16), generator=rng)
    x, y = to_patches(made, 4), to_patches(target, 4)
    assert masked_error(x, y, hidden).item() == pytest.approx(1.2899003, abs=2e-6)
    assert masked_error(x, standardised(y), hidden).item() == pytest.approx(1.9561831, abs=2e-6)
    assert masked_error(x, y, hidden, "absolute").item() == pytest.approx(0.9023381, abs=2e-6)
    classes = to_patches(F.one_hot(label, 3).permute(0, 3, 1, 2).float(), 4)
    x, y = (v.unflatten(-1, (3, 16)) for v in (x, classes))
    assert masked_error(x, y, hidden, "classes").item() == pytest.approx(1.3940603, abs=2e-6)
    assert masked_error(x, y, hidden & False, "classes").item() == 0


def test_visible_targets_do_not_count():
    rng = generator()
    made, target = torch.randn(2, 5, 6, 4, generator=rng)
    hidden = torch.rand(5, 6, generator=rng) < 0.5
    other = torch.where(hidden[..., None], target, torch.nan)
    assert torch.equal(masked_error(made, target, hidden), masked_error(made, other, hidden))
    assert not torch.equal(masked_error(made, target, hidden), masked_error(made, target + hidden[..., None], hidden))


def test_a_flat_patch_is_standardised_to_zeros():
    assert torch.equal(standardised(torch.full((1, 1, 4), 7.0)), torch.zeros(1, 1, 4))
    patches = torch.randn(2, 3, 16, generator=generator())
    expected = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(standardised(patches), expected)


def test_patches_are_cut_row_by_row_and_put_back():
    x = torch.randn(2, 3, 4, 6, generator=generator())
    patches = to_patches(x, 2)
    torch.testing.assert_close(patches[1, 4], x[1, :, 2:4, 2:4].flatten())  # the second of the second row
    assert torch.equal(to_pictures(patches, (3, 4, 6), 2), x)


def test_the_masks_of_the_paper():
    """98 of 588 tokens: exactly so many of each item, and per modality as the Dirichlet law says."""
    rng, count = generator(), 4000
    there = {m: torch.ones(count, 196).bool() for m in "abc"}
    shares = draw_shares(count, 3, 1.0, rng)
    torch.testing.assert_close(shares.sum(1), torch.ones(count))
    kept = choose_tokens(shares, there, 98, rng)
    assert kept.shape == (count, 98)
    assert all(len(row.unique()) == 98 for row in kept[:50])
    per = torch.stack([(kept // 196 == m).sum(1) for m in range(3)], 1).float()
    torch.testing.assert_close(per, shares * 98, atol=1.51, rtol=0)  # but for rounding
    torch.testing.assert_close(per.mean(0), torch.full((3,), 98 / 3), atol=1.2, rtol=0)
    torch.testing.assert_close(per.std(0), torch.full((3,), 98 / 18**0.5), atol=0.8, rtol=0)
    places = torch.bincount(kept[kept < 196] % 196, minlength=196)
    assert places.min() > 0.8 * places.float().mean()  # no place is preferred


@pytest.mark.parametrize("concentration", [0.3, 5.0])
def test_the_spread_of_the_shares_follows_the_concentration(concentration):
    shares = draw_shares(20_000, 3, concentration, generator())
    expected = (2 / 9 / (3 * concentration + 1)) ** 0.5
    torch.testing.assert_close(shares.std(0), torch.full((3,), expected), rtol=0.03, atol=0)


def test_what_rounding_leaves_over_goes_to_all_alike():
    """Shares of a third of 8 tokens round to 3 each: one is cut, at random, and not always of the last modality."""
    shares = torch.full((3000, 3), 1 / 3)
    kept = choose_tokens(shares, everything(3000), 8, generator())
    per = torch.stack([(kept // 4 == m).sum(1) for m in range(3)], 1).float().mean(0)
    torch.testing.assert_close(per, torch.full((3,), 8 / 3), atol=0.06, rtol=0)


def test_each_item_has_its_own_mask_whatever_lies_beside_it():
    """The released branch for masks of one's own keeps as many tokens as the whole batch has visible ones."""
    method, batch = MultiMAE.demo()
    items = {m: batch[m][:3] for m in method.shapes}
    masks = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]]).bool()
    items |= {"image_visible": masks, "edge_visible": masks.flip(0), "area_visible": masks & False}
    together = method.reconstruct(items, "area")
    alone = [method.reconstruct({k: v[i : i + 1] for k, v in items.items()}, "area") for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))
    features = [method.embed({k: v[i : i + 1] for k, v in items.items()}) for i in range(3)]
    torch.testing.assert_close(method.embed(items), torch.cat(features))
    visible = torch.cat([masks & False, masks.flip(0), masks], 1)
    released = (~visible).int().argsort(dim=1, stable=True)[:, : int(visible.sum())]  # the count of the batch
    assert released.shape[1] == 12 > visible.sum(1).max()


def test_the_reconstruction_depends_on_visible_patches_only():
    method, batch = MultiMAE.demo()
    seen = torch.rand(16, 4, generator=generator()) < 0.5
    hidden = to_pictures((~seen)[..., None].expand(-1, -1, 4).float(), (1, 4, 4), 2) > 0
    given = {"image": batch["image"], "image_visible": seen}
    made = method.reconstruct(given, "edge")
    changed = given | {"image": torch.where(hidden, 100.0, batch["image"])}
    torch.testing.assert_close(method.reconstruct(changed, "edge"), made)
    assert not torch.allclose(method.reconstruct({"image": changed["image"]}, "edge"), made, atol=1e-3)


def test_the_loss_by_hand_is_taken_item_by_item():
    method, batch = MultiMAE.demo()
    batch = {m: batch[m] for m in method.shapes}
    kept = method.choose({m: torch.ones(16).bool() for m in method.shapes}, generator())
    names, starts = list(method.shapes), {"area": 0, "edge": 4, "image": 8}
    errors = {m: [] for m in names}
    for i in range(16):
        mine = kept[i].tolist()
        tokens = torch.cat([method.embed_patch[m](to_patches(batch[m][i : i + 1], 2)) for m in names], 1)
        x = torch.cat([(tokens + method.places)[:, mine], method.summary.view(1, 1, -1)], 1)
        for block in method.blocks:
            x = block(x, x)
        x = method.norm(x)
        for m in names:
            code = method.into_decoder[m](x)
            ask = method.hidden[m].repeat(4, 1)
            for k, t in enumerate(mine):
                if 0 <= t - starts[m] < 4:
                    ask[t - starts[m]] = code[0, k]
            ask = ask + method.decoder_places[starts[m] : starts[m] + 4]
            kinds = torch.stack([method.kind[m][t // 4] for t in mine])
            context = torch.cat([code[0, :-1] + method.decoder_places[mine] + kinds, code[0, -1:]])
            y = method.look[m](ask[None], context[None])
            for block in method.refine[m]:
                y = block(y, y)
            made, target = method.fill[m](y)[0], to_patches(batch[m][i : i + 1], 2)[0]
            hidden = [n for n in range(4) if starts[m] + n not in mine]
            if m == "area":
                each = [-(target[n].view(2, 4) * made[n].view(2, 4).log_softmax(0)).sum(0).mean() for n in hidden]
            else:
                each = [(made[n] - target[n]).abs().pow(1 + (m == "image")).mean() for n in hidden]
            if hidden:
                errors[m].append(torch.stack(each).mean())
    found = method.loss(batch | {"kept": kept}, generator())
    for m in names:
        torch.testing.assert_close(found[m], torch.stack(errors[m]).mean())
    torch.testing.assert_close(found["loss"], sum(found[m] for m in names))


def test_an_absent_modality_has_no_effect_and_is_not_asked_for():
    method, batch = MultiMAE.demo()
    absent = ~batch["edge_present"][:, None, None, None]
    loss = method.loss(batch, generator())
    other = method.loss(batch | {"edge": torch.where(absent, torch.nan, batch["edge"])}, generator())
    assert all(torch.equal(loss[k], other[k]) for k in loss)
    gone = {"image": batch["image"], "edge": batch["edge"] * torch.nan, "edge_present": torch.zeros(16).bool()}
    torch.testing.assert_close(method.embed(gone), method.embed({"image": batch["image"]}, ["image"]))


def test_standardised_targets_take_away_brightness():
    _, batch = MultiMAE.demo()
    plain = MultiMAE({"image": (1, 4, 4)}, visible=1, width=8, depth=1, heads=2, normalise=True)
    kept = torch.zeros(16, 1).long()
    one = plain.loss({"image": batch["image"], "kept": kept}, generator())["loss"]
    brighter = batch["image"].clone()
    brighter[:, :, 2:] += 5  # hidden patches only
    torch.testing.assert_close(plain.loss({"image": brighter, "kept": kept}, generator())["loss"], one)


def test_the_shapes_and_the_patch_come_from_the_data():
    item = {"image": torch.zeros(1, 8, 8), "depth": torch.zeros(1, 6, 6), "label": torch.tensor(0)}
    assert MultiMAE.arguments_for(item) == {"shapes": {"depth": [1, 6, 6], "image": [1, 8, 8]}, "patch": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shapes": {"audio": (30,)}}, "cannot be cut into patches of 2 x 2"),
        ({"shapes": {"image": (1, 5, 4)}}, "a patch that divides their sides"),
        ({"shapes": SHAPES, "errors": {"egde": "squared"}}, "errors: there is no modality 'egde'; did you mean 'edge'"),
        ({"shapes": SHAPES, "errors": {"edge": "square"}}, "did you mean 'squared'"),
        ({"shapes": SHAPES, "visible": 13}, "there are 12 patches: choose fewer"),
        ({"shapes": SHAPES, "visible": 0}, "visible=0 is too small"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiMAE(**arguments)


def test_an_unknown_modality_is_refused():
    method, batch = MultiMAE.demo()
    with pytest.raises(ValueError, match="no modality 'egde': did you mean 'edge'"):
        method.reconstruct(batch, "egde")
    with pytest.raises(ValueError, match="no modality 'depth'"):
        method.embed(batch, ["depth"])
    with pytest.raises(KeyError, match="none of the modalities area, edge, image"):
        method.embed({"label": torch.zeros(2)})

"""Oracles of VQGAN: the quantiser of diffusers, a step of k-means, entropies, the hinge game, gradients by hand."""

import math

import pytest
import torch
from torch import nn

from mmlab.data.tensors import TensorData
from mmlab.methods.vqgan import (
    VQGAN,
    adaptive_weight,
    averaged,
    codebook_loss,
    critic_loss,
    fooling_loss,
    nearest,
    perplexity,
    straight_through,
)
from mmlab.nn.perceptual import PictureFeatures, feature_distance
from mmlab.train import fit


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def blocks(count=64, seed=0):
    """Pictures of 8 x 8 whose four quarters are of one of three colours each: 12 words would say them exactly."""
    which = torch.randint(3, (count, 2, 2), generator=rng(seed))
    colours = torch.eye(3) * 2 - 1
    return colours[which].movedim(-1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_the_quantiser_is_that_of_diffusers_without_its_old_fault(beta):
    from diffusers.models.autoencoders.vae import VectorQuantizer

    theirs = VectorQuantizer(7, 3, beta=beta, legacy=False)
    theirs.embedding.weight.data.normal_(generator=rng(1))
    z = torch.randn(2, 3, 4, 5, generator=rng(2), requires_grad=True)
    out, loss, (_, _, numbers) = theirs(z)
    (out.square().sum() + loss).backward()
    mine = z.detach().clone().movedim(1, -1).requires_grad_()
    codebook = theirs.embedding.weight.detach().clone().requires_grad_()
    k = nearest(mine, codebook)
    assert torch.equal(k.flatten(), numbers)
    of_codes, commitment = codebook_loss(mine, codebook[k], beta)
    code = straight_through(mine, codebook[k])
    torch.testing.assert_close(code.movedim(-1, 1), out)
    torch.testing.assert_close(of_codes + commitment, loss)
    (code.square().sum() + of_codes + commitment).backward()
    torch.testing.assert_close(mine.grad.movedim(-1, 1), z.grad)
    torch.testing.assert_close(codebook.grad, theirs.embedding.weight.grad)


def test_the_old_fault_is_beta_on_the_other_term():
    from diffusers.models.autoencoders.vae import VectorQuantizer

    old = VectorQuantizer(7, 3, beta=0.1)
    z = torch.randn(2, 3, 4, 5, generator=rng(2))
    _, loss, (_, _, numbers) = old(z)
    of_codes, commitment = codebook_loss(z.movedim(1, -1), old.embedding(numbers).view(2, 4, 5, 3), 0.1)
    torch.testing.assert_close(loss, 0.1 * of_codes + commitment / 0.1)


def test_a_vector_chooses_the_nearest_code_by_hand():
    z, codebook = torch.randn(5, 2, generator=rng()), torch.randn(9, 2, generator=rng(1))
    wanted = [min(range(9), key=lambda k: float((z[i] - codebook[k]).square().sum())) for i in range(5)]
    assert nearest(z, codebook).tolist() == wanted


def test_a_running_mean_without_memory_is_one_step_of_k_means():
    from sklearn.cluster import KMeans

    z = torch.randn(200, 2, generator=rng())
    start = z[:5].clone()
    counts, sums = averaged(torch.zeros(5), torch.zeros(5, 2), nearest(z, start), z, decay=0.0)
    means = KMeans(5, init=start.numpy(), n_init=1, max_iter=1, algorithm="lloyd").fit(z.numpy())
    labels = nearest(z, start)
    assert counts.tolist() == torch.bincount(labels, minlength=5).tolist()
    for k in range(5):
        torch.testing.assert_close(sums[k] / counts[k], z[labels == k].mean(0))
    again = nearest(z, sums / counts[:, None])
    assert again.tolist() == means.labels_.tolist()


def test_running_means_of_a_constant_choice_approach_its_mean_as_a_geometric_series():
    counts, sums = torch.zeros(2), torch.zeros(2, 1)
    z, k = torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0])
    for _ in range(10):
        counts, sums = averaged(counts, sums, k, z, decay=0.9)
    assert counts[0].item() == pytest.approx(2 * (1 - 0.9**10))
    assert (sums[0] / counts[0]).item() == pytest.approx(2.0)
    assert counts[1] == 0


def test_perplexity_counts_evenly_used_codes():
    assert perplexity(torch.ones(7)).item() == pytest.approx(7)
    assert perplexity(torch.tensor([3.0, 3.0, 0.0, 0.0])).item() == pytest.approx(2)
    p = torch.tensor([0.5, 0.25, 0.25])
    assert perplexity(8 * p).item() == pytest.approx(2**1.5)


def test_the_hinge_game_has_its_saddle_at_logit_zero_and_the_critic_stops_at_the_margin():
    assert critic_loss(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, -3.0])) == 0
    assert critic_loss(torch.zeros(3), torch.zeros(3)) == 1
    assert fooling_loss(torch.tensor([2.0, 4.0])) == -3
    # Where real and fake have the same law, no constant does better than 1: the mean of 1 - d and 1 + d.
    assert min(critic_loss(torch.full((2,), d), torch.full((2,), d)).item() for d in (-2.0, -0.5, 0.5, 2.0)) == 1


def test_lambda_makes_the_adversary_as_steep_as_the_error():
    a, b = torch.randn(2, 4, 3, generator=rng())
    balance = adaptive_weight(a, 0.01 * b)
    assert (balance * 0.01 * b).norm().item() == pytest.approx(a.norm().item(), rel=1e-3)
    assert adaptive_weight(a, torch.zeros(3)) == 1e4


def test_the_whole_loss_by_hand():
    method, batch = VQGAN.demo()
    method.train()
    image = batch["image"]
    found = method.autoencoder_loss(batch, rng())
    z = method.encoder(image).movedim(1, -1)
    code = method.codebook[torch.cdist(z.flatten(0, 2), method.codebook).argmin(1)].view_as(z)
    made = method.decoder((z + (code - z).detach()).movedim(-1, 1))
    looks = torch.zeros(())
    for one, other in zip(method.features(made), method.features(image), strict=True):
        unit = [x / x.square().sum(1, keepdim=True).sqrt() for x in (one, other)]
        looks = looks + (unit[0] - unit[1]).square().sum(1).mean((1, 2)).mean()
    loss = (made - image).abs().mean() + looks
    fooling = -method.critic(made).mean()
    last = [layer for layer in method.decoder if isinstance(layer, nn.Conv2d)][-1].weight
    of_loss, of_fooling = (torch.autograd.grad(x, last, retain_graph=True)[0] for x in (loss, fooling))
    balance = of_loss.norm() / (of_fooling.norm() + 1e-6)
    commitment = 0.25 * (z - code).square().mean()
    torch.testing.assert_close(found["loss"], loss + commitment + 0.1 * balance * fooling, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["balance"], balance.detach(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert method.autoencoder_loss(batch, rng())["loss"].item() == pytest.approx(found["loss"].item(), rel=1e-5)


def test_the_decoder_trains_the_encoder_through_the_rounding():
    method, batch = VQGAN.demo()
    method.train()
    method.beta = 0.0
    method.autoencoder_loss(batch, rng())["loss"].backward()
    assert next(method.encoder.parameters()).grad.abs().sum() > 0
    assert method.codebook.grad is None  # the codes are means


def test_codes_that_follow_their_gradient_are_moved_by_their_own_term_alone():
    method = VQGAN.seeded(0, (3, 8, 8), width=8, codes=8, code_width=4, decay=None)
    method.train()
    batch = {"image": blocks(8)}
    method.autoencoder_loss(batch, rng())["loss"].backward()
    z = method.vectors(batch["image"]).detach()
    code = method.codebook[nearest(z, method.codebook)]
    (wanted,) = torch.autograd.grad((z - code).square().mean(), method.codebook)
    torch.testing.assert_close(method.codebook.grad, wanted)


def test_unused_codes_move_onto_vectors_of_the_batch_and_used_ones_stay_means():
    method = VQGAN.seeded(0, (3, 8, 8), width=8, codes=32, code_width=4)
    method.codebook.data[1:] = 1e3  # only the first is ever near
    method.train()
    batch = {"image": blocks(16)}
    z = method.vectors(batch["image"]).detach().flatten(0, 2)
    method.autoencoder_loss(batch, rng())
    method.after_step()
    torch.testing.assert_close(method.codebook[0], z.mean(0), rtol=1e-4, atol=1e-5)
    distance = torch.cdist(method.codebook[1:], z).amin(1)
    assert distance.max() < 1e-2
    torch.testing.assert_close(method.sums / method.counts[:, None], method.codebook.data, rtol=1e-4, atol=1e-5)
    still = VQGAN.seeded(0, (3, 8, 8), width=8, codes=32, code_width=4, revive=0.0)
    still.codebook.data[1:] = 1e3
    still.train()
    still.autoencoder_loss(batch, rng())
    still.after_step()
    assert (still.codebook[1:] == 1e3).all()


def test_evaluation_leaves_the_codebook_alone():
    method, batch = VQGAN.demo()
    method.eval()
    before = method.codebook.clone()
    method.autoencoder_loss(batch, rng())
    method.after_step()
    assert torch.equal(method.codebook, before)
    assert method.counts.sum() == 0


def test_a_world_of_few_words_is_written_without_loss_and_in_its_own_number_of_words():
    torch.manual_seed(0)
    method = VQGAN.seeded(0, (3, 8, 8), width=16, halvings=2, codes=16, code_width=4)
    data = TensorData({"image": blocks(256)})
    fit(method, data, steps=250, batch_size=32, lr=1e-2, schedule="cosine", progress=False)
    test = blocks(64, seed=9)
    tokens = method.encode(test)
    assert (method.reconstruct(test) - test).abs().mean() < 0.05
    assert torch.equal(method.reconstruct(test), method.decode(tokens))
    # Each quarter has one of three colours: whoever knows a place's token knows its colour.
    colour = test[:, :, ::4, ::4].argmax(1)
    for k in tokens.unique():
        assert colour[tokens == k].unique().numel() <= 2
    assert perplexity(torch.bincount(tokens.flatten(), minlength=16).float()) > 2


def test_the_distance_in_features_is_zero_for_equals_and_that_of_unit_vectors():
    torch.manual_seed(0)
    features = PictureFeatures(3, (4, 8))
    x, y = torch.randn(2, 5, 3, 8, 8)
    assert feature_distance(features(x), features(x)).abs().max() == 0
    one, other = [torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)], [torch.tensor([0.0, 0.1]).view(1, 2, 1, 1)]
    assert feature_distance(one, other).item() == pytest.approx(2)  # orthogonal, whatever their lengths
    assert [m.shape[1:] for m in features(x)] == [(4, 4, 4), (8, 2, 2)]
    assert feature_distance(features(x), features(y)).shape == (5,)


def test_a_trained_network_is_taken_over_and_frozen():
    method, _ = VQGAN.demo()
    other = PictureFeatures(3, (4, 8))
    method.look_with(other)
    assert all(
        torch.equal(a, b) and not a.requires_grad
        for a, b in zip(method.features.parameters(), other.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match="build it with the widths"):
        VQGAN((3, 8, 8)).look_with(other)


def test_the_critic_sees_patches_of_eighteen_pixels():
    method, _ = VQGAN.demo()
    for layer in method.critic:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    picture = torch.ones(1, 3, 64, 64, requires_grad=True)
    method.critic(picture)[0, 0, 8, 8].backward()
    assert picture.grad[0, 0].ne(0).any(1).sum() == 18


def test_without_codebook_it_is_an_autoencoder():
    method = VQGAN.seeded(0, (3, 8, 8), width=8, codes=0)
    image = blocks(4)
    z = method.vectors(image)
    torch.testing.assert_close(method.reconstruct(image), method.decoder(z.movedim(-1, 1)))
    with pytest.raises(ValueError, match="codes=0"):
        method.encode(image)
    assert [o.name for o in method.objectives()] == ["autoencoder"]


def test_the_data_fix_shape_and_halvings():
    assert VQGAN.arguments_for({"image": torch.zeros(1, 28, 28)}) == {"shape": [1, 28, 28], "halvings": 2}
    assert VQGAN.arguments_for({"image": torch.zeros(1, 6, 10)})["halvings"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shape": (3, 30, 32)}, "multiples of 4; pad or crop"),
        ({"shape": (8, 8)}, "pictures are"),
        ({"width": 10}, "multiple of 4"),
        ({"decay": 1.0}, "None lets the codes follow their gradient"),
        ({"beta": -1.0}, "beta=-1.0: a weight must be"),
        ({"revive": math.nan}, "revive=nan: a weight must be"),
        ({"codes": -1}, "codes=-1 is too small"),
    ],
)
def test_each_argument_has_a_sentence_of_its_own(arguments, said):
    with pytest.raises(ValueError, match=said):
        VQGAN(**arguments)


def test_pictures_of_another_shape_are_named():
    method, _ = VQGAN.demo()
    with pytest.raises(ValueError, match=r"\(2, 3, 16, 16\) must have shape \(B, 3, 8, 8\)"):
        method.encode(torch.zeros(2, 3, 16, 16))

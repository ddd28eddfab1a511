"""Oracles of pix2pix: the game on known densities, the closed form of L1, gradients for the receptive field."""

import math

import pytest
import torch
from torch import nn

from mmlab.data.correlation import edges, matrices
from mmlab.data.tensors import TensorData
from mmlab.methods.pix2pix import Pix2pix, adversarial_loss, discriminator_loss, patch_discriminator, receptive_field
from mmlab.train import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(x, mean):
    return torch.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi)


def test_losses_are_cross_entropies():
    real, fake = torch.randn(2, 4, 1, 3, 3, generator=generator(), dtype=torch.float64)
    D_real, D_fake = real.sigmoid(), fake.sigmoid()
    expected = -(D_real.log().mean() + (1 - D_fake).log().mean()) / 2
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(adversarial_loss(fake), -D_fake.log().mean())


def test_at_equilibrium_both_losses_are_log_2():
    undecided = torch.zeros(5)
    assert discriminator_loss(undecided, undecided).item() == pytest.approx(math.log(2))
    assert adversarial_loss(undecided).item() == pytest.approx(math.log(2))


def test_a_trained_discriminator_approaches_p_over_p_plus_q():
    # Between N(1, 1) and N(-1, 1) the optimum p / (p + q) is the logistic function of 2x: a line can learn it.
    logit = nn.Linear(1, 1)
    optimiser = torch.optim.Adam(logit.parameters(), 0.1)
    x = torch.randn(2, 20_000, 1, generator=generator())
    for _ in range(100):
        optimiser.zero_grad()
        loss = discriminator_loss(logit(x[0] + 1), logit(x[1] - 1))
        loss.backward()
        optimiser.step()
    places = torch.linspace(-2, 2, 9)[:, None]
    p, q = normal(places, 1), normal(places, -1)
    torch.testing.assert_close(logit(places).sigmoid(), p / (p + q), atol=0.02, rtol=0)
    # Its loss is log 2 less the Jensen-Shannon divergence, here by quadrature.
    grid = torch.linspace(-8, 8, 4001)
    p, q = normal(grid, 1), normal(grid, -1)
    middle = (p + q) / 2
    divergence = torch.trapezoid(p * (p / middle).log() + q * (q / middle).log(), grid) / 2
    assert loss.item() == pytest.approx(math.log(2) - divergence.item(), abs=0.01)


def test_minus_log_d_pulls_where_the_discriminator_is_sure():
    logit = torch.tensor([-8.0], requires_grad=True)  # a fake that is seen through
    (pull,) = torch.autograd.grad(adversarial_loss(logit), logit)
    (saturated,) = torch.autograd.grad(-nn.functional.softplus(logit).mean(), logit)  # log(1 - D), the minimax game
    assert pull.item() == pytest.approx(-1, abs=1e-3)
    assert abs(saturated.item()) < 1e-3


@pytest.mark.parametrize(("halvings", "patch"), [(0, 7), (1, 16), (2, 34), (3, 70)])
def test_receptive_field_is_what_a_gradient_reaches(halvings, patch):
    network = patch_discriminator(1, 2, halvings)
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        nn.init.ones_(layer.weight)  # no path may cancel another
    image = torch.ones(1, 1, 160, 160, requires_grad=True)
    out = network(image)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    rows = image.grad[0, 0].ne(0).any(1).sum().item()
    kernels, strides = [layer.kernel_size[0] for layer in layers], [layer.stride[0] for layer in layers]
    assert rows == receptive_field(kernels, strides) == patch


def test_the_published_discriminator():
    network = patch_discriminator(6)  # edges and photograph, three channels each
    widths = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 128, 256, 512, 1]
    assert network(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 30, 30)


def coins(chance, count=2000):
    """Pairs whose source tells nothing and whose target is 1 with this chance, else 0, all over the image."""
    target = (torch.rand(count, 1, 1, 1, generator=generator()) < chance).float().expand(-1, 1, 8, 8)
    return TensorData({"source": torch.ones(count, 1, 8, 8), "target": target})


@pytest.mark.parametrize(("chance", "median"), [(0.3, 0.0), (0.7, 1.0)])
def test_l1_alone_learns_the_conditional_median(chance, median):
    torch.manual_seed(0)
    method = Pix2pix((1, 8, 8), width=4, depth=0, dropout=0.0, adversarial_weight=0.0)
    fit(method, coins(chance), steps=120, lr=1e-2, schedule="cosine", progress=False)
    made = method.sample(torch.ones(1, 1, 8, 8))
    assert (made - median).abs().mean() < 0.05  # where squared error would learn the chance itself


def test_the_whole_loss_by_hand():
    method, batch = Pix2pix.demo()
    x, y = batch["source"], batch["target"]
    made = method.sample(x, rng=generator(3))
    method.train()
    losses = method.generator_loss(batch, generator(3))
    fooled = -method.judge(x, made).sigmoid().log().mean()
    torch.testing.assert_close(losses["loss"], fooled + 100 * (made - y).abs().mean())
    losses = method.discriminator_loss(batch, generator(3))
    real, fake = method.judge(x, y), method.judge(x, made)
    torch.testing.assert_close(losses["loss"], -(real.sigmoid().log().mean() + (-fake).sigmoid().log().mean()) / 2)
    assert losses["accuracy"].item() == pytest.approx(
        ((real > 0).float().mean() + (fake < 0).float().mean()).item() / 2
    )


def test_each_step_moves_its_own_network():
    method, batch = Pix2pix.demo()
    method.train()
    critic, maker = method.objectives()
    assert (critic.name, maker.name) == ("discriminator", "generator")
    critic.loss(batch, generator())["loss"].backward()
    assert all(parameter.grad is None for parameter in method.generator.parameters())  # what is made is taken as given
    assert {id(p) for o in (critic, maker) for p in o.parameters} == {id(p) for p in method.parameters()}
    assert not {id(p) for p in critic.parameters} & {id(p) for p in maker.parameters}


def test_without_adversary_there_is_one_step():
    method = Pix2pix((1, 4, 4), width=4, adversarial_weight=0.0)
    assert [objective.name for objective in method.objectives()] == ["generator"]


def test_noise_is_dropout_and_nothing_else():
    method, batch = Pix2pix.demo()
    x = batch["source"]
    one, same, other = (method.sample(x, rng=generator(seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    torch.testing.assert_close(method.sample(x), method.sample(x), rtol=0, atol=0)
    quiet = Pix2pix((1, 4, 4), width=4, dropout=0.0)
    torch.testing.assert_close(quiet.sample(x[:, :, :4, :4], rng=generator(0)), quiet.sample(x[:, :, :4, :4]))


def test_sampling_leaves_the_global_state_alone():
    method, batch = Pix2pix.demo()
    before = torch.get_rng_state()
    method.sample(batch["source"], rng=generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_connectome_is_judged_as_a_symmetric_image():
    torch.manual_seed(0)
    method = Pix2pix((15,), width=4, depth=0, halvings=0, dropout=0.0)
    source = torch.rand(3, 15, generator=generator())
    image = method.generator(matrices(source)[:, None], torch.zeros(3))  # (B, 1, N, N), not symmetric
    assert not torch.allclose(image, image.mT)
    torch.testing.assert_close(method.sample(source), edges((image + image.mT) / 2)[:, 0].detach())
    both = torch.stack([matrices(source), matrices(2 * source)], dim=1)
    torch.testing.assert_close(method.judge(source, 2 * source), method.discriminator(both))


def test_a_residual_generator_adds_to_the_source():
    torch.manual_seed(0)
    method = Pix2pix((1, 4, 4), width=4, dropout=0.0, residual=True)
    nn.init.zeros_(method.generator.last.weight)
    nn.init.zeros_(method.generator.last.bias)
    source = torch.rand(2, 1, 4, 4, generator=generator())
    torch.testing.assert_close(method.sample(source), source)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        Pix2pix((4, 4))
    with pytest.raises(ValueError, match=r"this method was built for"):
        Pix2pix((1, 4, 4), width=4).sample(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize(("shape", "most"), [((1, 8, 8), 1), ((3, 11, 40), 1), ((3, 12, 12), 2), ((276,), 3)])
def test_the_discriminator_halves_as_often_as_it_can(shape, most):
    sample = torch.zeros(2, *shape)
    method = Pix2pix(shape, width=4, halvings=most)
    assert min(method.judge(sample, sample).shape[2:]) >= 1
    with pytest.raises(ValueError, match=f"halvings={most + 1} leaves nothing of .* choose {most} or less"):
        Pix2pix(shape, width=4, halvings=most + 1).judge(sample, sample)
    assert Pix2pix.arguments_for({"source": sample[0]}) == {"shape": list(shape), "halvings": most}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"width": 0}, "width=0 is too small"),
        ({"depth": -1}, "depth=-1 is too small"),
        ({"halvings": -1}, "halvings=-1 is too small"),
        ({"l1_weight": -1.0}, "l1_weight=-1.0: a weight must be"),
        ({"adversarial_weight": math.nan}, "adversarial_weight=nan: a weight must be"),
        ({"dropout": 1.0}, "dropout=1.0: a dropout probability"),
    ],
)
def test_each_argument_has_a_sentence_of_its_own(arguments, said):
    with pytest.raises(ValueError, match=said):
        Pix2pix((1, 8, 8), **arguments)


def test_shapes_that_do_not_fit_are_named():
    method, batch = Pix2pix.demo()
    with pytest.raises(ValueError, match=r"source \(2, 1, 8, 8\) must have shape \(B, 1, 4, 4\)"):
        method.sample(torch.zeros(2, 1, 8, 8))
    for loss in (method.generator_loss, method.discriminator_loss):
        with pytest.raises(ValueError, match="must both have shape"):
            loss({"source": batch["source"], "target": batch["target"][:1]}, generator())


@pytest.mark.parametrize("side", [2, 3, 5, 8, 12, 15])
def test_below_sixteen_pixels_the_sentence_names_halvings(side):
    small = torch.zeros(2, 1, side, side)
    with pytest.raises(ValueError, match="halvings=3 leaves nothing"):
        Pix2pix((1, side, side), width=4).judge(small, small)
    method = Pix2pix((1, side, side), width=4, halvings=0)
    if side >= 3:
        assert method.judge(small, small).shape[:2] == (2, 1)
    else:
        with pytest.raises(ValueError, match="needs 3 x 3 pixels even with halvings=0"):
            method.judge(small, small)

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # WGAN-QC
#
# **Why train an adversary, if the right one can be computed?**
#
# In {doc}`pix2pix` two networks play against each other, and nobody knows at any step how good the critic is. For small
# batches one can know. The optimal critic of a batch against another batch is the solution of a linear programme, exact to the
# last digit, in a moment. *Wasserstein GAN with quadratic transport cost* {cite}`wgan_qc` solves that programme
# at every step and merely *fits* the critic to the solution.
#
# **After this chapter you can**
#
# - derive what the critic is fitted to, and which way it pushes the generator;
# - say what the exact answer for a batch tells about the distributions behind it, in few dimensions and in many;
# - add a source, so that the method becomes a translator, and predict what the weight of the source does;
# - put a critic beside a generator that has none, at the same learning rates.
#
# No paper that we know describes the form with a source; what stands under that heading is derived here.
# You need probability, gradients, and a rough idea of optimal transport ({doc}`flow_matching` has one). Reading takes half an hour.

# %% tags=["parameters"]
seeds: int = 3
steps: int = 160  # of every training run on this page
points: int = 400  # of the clouds that are compared
people: int = 80  # test people in each world

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.optimize import linprog

from mmlab import fit, generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.connectome_baselines import baselines
from mmlab.compare.seeds import over_seeds
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.planar_world import planar_sample, planar_world
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.wgan_qc import (
    WGANQC,
    batch_dual,
    quadratic_cost,
    regression_loss,
    transport_regulariser,
)
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import evaluate
from mmlab.metrics.transport import gaussian_map, neighbour_map, wasserstein2
from mmlab.viz import (
    claim,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import lines, use_theme

use_theme()


def clouds(names, real, made, labels, **limits):
    """One panel for each of four names: real points in grey, made ones in orange."""
    figure = Figure(figsize=(5.6, 5.2))
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, name in zip(panels.flat, names, strict=True):
        axes.plot(*real.T, ".", ms=2, color="0.75")
        axes.plot(*made[name].T, ".", ms=2, color="C1")
        axes.set(xlabel=labels[0], ylabel=labels[1], **limits)
        axes.set_title(name, fontsize=10)
        axes.label_outer()
    return figure


# %% [markdown]
# ## The idea in one picture
#
# Some points are real, others are made. Pair them one to one so that the sum of squared distances is as small as it can be:
# that is optimal transport between the two batches. Each made point now has a partner, and knows where to go. The
# critic is a landscape in which "where to go" is uphill, and the generator climbs it.

# %% tags=["hide-input"]
real = planar_sample("moons", 40, generator(1))
made = 0.8 * planar_sample("normal", 40, generator(2))
heights, levels, partners = batch_dual(quadratic_cost(real, made, 0.5))
ways = real[partners] - made
figure = Figure(figsize=(5.6, 3.6))
axes = figure.subplots()
axes.scatter(*real.T, color="C1", label="real")
dots = axes.scatter(
    *made.T, c=levels, cmap="Blues", edgecolor="black", lw=0.5, label="made"
)
axes.quiver(
    *made.T,
    *ways.T,
    angles="xy",
    scale_units="xy",
    scale=1,
    width=0.003,
    color="0.5",
)
figure.colorbar(dots, label="potential of the made points")
axes.set(aspect="equal", xlabel="first coordinate", ylabel="second coordinate")
axes.legend(loc="upper left", fontsize=9)
show(
    figure,
    alt=(
        f"{len(real)} orange points on two half moons and {len(made)} blue ones in a cloud between them. A grey arrow leads from each blue point "
        f"to one orange point; the mean arrow is {ways.norm(dim=1).mean():.2f} long."
    ),
    caption=(
        "One batch, solved exactly. Each made point is joined to its real partner; no two share one. The darker, the higher "
        "its potential, one of the numbers that the critic will be fitted to."
    ),
    label="batch",
)
show(
    in_rows(
        [
            {"source": "source or noise"},
            {"generator": "generator"},
            {"made": "made batch $\\hat y$", "real": "real batch $y$"},
            {"programme": "linear programme, (2)"},
            {"potentials": "potentials $H$, partners $T$"},
            {"critic": "critic, (3) and (5); its slope (4) moves the generator"},
        ],
        [
            ("source", "generator"), ("generator", "made"), ("made", "programme"), ("real", "programme"),
            ("programme", "potentials"), ("potentials", "critic"),
        ],
        trained=["generator", "critic"],
    ),
    alt=(
        "A column of boxes. The generator makes a batch; a linear programme compares it with the real batch and gives potentials and partners; the "
        "critic is fitted to them, and its slope leads back to the generator."
    ),
    caption="One step of WGAN-QC. Blue is trained. The rival *no critic* leaves out the last box and pulls the made batch to the partners.",
    label="step",
)  # fmt: skip

# %% [markdown]
# ## Transport of a batch is a linear programme
#
# Let $y_1, \dots, y_n$ be real and $\hat y_1, \dots, \hat y_n$ made. Carrying one to the other costs half the squared distance,
# times a factor $K$. The authors' code takes one over the number of coordinates, so that the cost does not grow with them:
#
# $$c(y, \hat y) = \tfrac K2\, \lVert y - \hat y\rVert^2 . \tag{1}$$
#
# The cheapest plan is a linear programme over $n\times n$ shares. Like every linear programme it has a *dual*. In the
# story that goes with it, a carrier has a price at each made point and another at each real point, and may nowhere earn more than the journey is worth:
#
# $$\max_H \; \frac1n\sum_i H(y_i) - \frac1n\sum_j H(\hat y_j) \quad\text{such that}\quad H(y_i) - H(\hat y_j) \le c(y_i, \hat y_j) . \tag{2}$$
#
# The numbers $H$ are the *potentials*, one set on the real points and one on the made ones; where these meet they need not agree, as we shall see. The maximum of (2) *is* the cost of the cheapest plan, $\tfrac K2 W_2^2$ of the two batches. Wherever goods
# flow, the constraint is tight: $H(T(\hat y)) - H(\hat y) = c(T(\hat y), \hat y)$, where $T(\hat y)$ is the partner of $\hat y$. Adding a number
# to all potentials changes nothing; we make their mean zero.
#
# The package leaves (2) to the network simplex of POT {cite}`flamary2021pot`. Here is a check by other means: SciPy's solver for any linear
# programme, and sorting, which is optimal on a line.

# %%
n = 12
y = torch.randn(n, 3, generator=generator(0)).double() + 1
y_hat = torch.randn(n, 3, generator=generator(1)).double()
cost = quadratic_cost(y, y_hat, 1 / 3)
H_real, H_made, _ = batch_dual(cost)
limits = torch.cat(  # a row for each pair of a real and a made point
    [torch.eye(n).repeat_interleave(n, 0), -torch.eye(n).repeat(n, 1)], 1
)
gain = torch.cat([-torch.ones(n), torch.ones(n)]).double() / n
solved = -linprog(gain, limits, cost.flatten(), bounds=(None, None)).fun
value = float(H_real.mean() - H_made.mean())
u, v = y[:, :1], y_hat[:, :1]
on_a_line = float((u.sort(0).values - v.sort(0).values).square().mean() / 2)
line_real, line_made, _ = batch_dual(quadratic_cost(u, v, 1.0))
assert abs(value - solved) < 1e-9
assert abs(float(line_real.mean() - line_made.mean()) - on_a_line) < 1e-9
say(
    f"The dual of {n} against {n} points is worth {value:.6f}; SciPy finds {solved:.6f}. On the first coordinate alone, sorting gives {on_a_line:.6f}, as does the dual."
)

# %% [markdown]
# ## From potentials to a critic
#
# The potentials live on the points of one batch. A generator needs a function that it can climb. So a network
# $D$ is *regressed* on them. The authors' loss takes the made points one by one, but the real ones only in their mean:
#
# $$\mathcal L_D = \tfrac12\Big(\overline{D(y)} - \overline{H(y)}\Big)^2 + \tfrac12\,\overline{\big(D(\hat y) - H(\hat y)\big)^2} . \tag{3}$$
#
# Which way does such a critic push? Take the potentials of the reals as given. Among all values that the constraints in (2) allow at a
# point $\hat y$, the lowest is optimal, since it enters with a minus: $H(\hat y) = \max_i\,[H(y_i) - c(y_i, \hat y)]$. The maximum is attained at the partner.
# Now move $\hat y$ a little. To first order the partner stays, only the cost changes, and its gradient is $K(\hat y - y)$. So
#
# $$\nabla D(\hat y) = K\,\big(T(\hat y) - \hat y\big) : \tag{4}$$
#
# uphill is the way to the partner, and the slope is as long as the way. That is what the quadratic cost is for. The critic of the first Wasserstein GAN
# {cite}`arjovsky2017wgan` has slope one wherever goods flow, however far they go, and so the generator does not slow down before it arrives.
#
# Regression on values says little about slopes. But (4) gives the slope, too, and the *optimal transport regulariser* asks for it:
#
# $$\mathcal R = \frac{1}{8K}\;\overline{\Big(\lVert\nabla D(\hat y)\rVert - K\lVert T(\hat y) - \hat y\rVert\Big)^2} , \tag{5}$$
#
# added to (3) with the weight $4\sqrt K\gamma$, where $\gamma = 0.1$. Read it again: it compares *lengths*. A critic that points exactly the
# wrong way passes, though (4) names a direction. The obvious alternative compares vectors,
#
# $$\mathcal R' = \frac{1}{8K}\;\overline{\big\lVert\nabla D(\hat y) - K(T(\hat y) - \hat y)\big\rVert^2} , \tag{6}$$
#
# and we will run both. One step of the critic on (3) and (5), one step of the generator, which raises $\overline{D(\hat y)}$: that is the method. No clipping, no penalty
# between the points, no inner loop. The critic's loss by hand, checked against the package:


# %%
def critic_loss(critic, y, y_hat, K, gamma):
    heights, levels, partner = batch_dual(
        quadratic_cost(y, y_hat, K)
    )  # the programme
    y_hat = y_hat.clone().requires_grad_()
    on_made = critic(y_hat)[:, 0]
    (slope,) = torch.autograd.grad(on_made.sum(), y_hat, create_graph=True)
    mean_off = critic(y).mean() - heights.mean()
    each_off = on_made - levels
    steep_off = slope.norm(dim=1) - K * (y[partner] - y_hat).norm(dim=1)
    regulariser = 4 * K**0.5 * gamma * steep_off.square().mean() / (8 * K)
    return (mean_off.square() + each_off.square().mean()) / 2 + regulariser


real = planar_sample("moons", 40, generator(1))
made = 0.8 * planar_sample("normal", 40, generator(2))
method = WGANQC((2,), noise=0, conditional=False)
batch = {"source": made, "target": real}
ours = critic_loss(method.critic, real, method.sample(made), 1 / 2, 0.1)
theirs = method.critic_loss(batch, generator())["loss"]
assert torch.allclose(ours, theirs)
way = torch.tensor([[3.0, 4.0]])
away = transport_regulariser(-0.5 * way, way, 0.5)
wrong = transport_regulariser(-0.5 * way, way, 0.5, "vector")
say(
    f"Both say {float(ours.detach()):.4f}. And a critic whose slope points straight away from the partner, with the right length: by (5) it is off by {away:.2f}, by (6) by {wrong:.2f}."
)

# %% [markdown]
# ## One critic for two potentials
#
# Here is a flaw that takes a moment to see. The dual (2) gives *two* functions: one on the reals, one on the made points. With the distance as
# cost, $c = \lVert y - \hat y\rVert$, they are the same function where they meet. With the square they are not: putting the point itself among the reals,
# $H(\hat y) = \max_i[\dots]$ is at least what the real potential is at the same place, and usually more. One network cannot be both.
#
# Two normal distributions on a line, $N(0, 1)$ made and $N(m, 1)$ real, show it. The partner is $\hat y + m$, so by (4) the slope on the made points is $Km$ and
# $H(\hat y) = Km\hat y + a$. If the two overlap much, the reals lie where the made points lie, $D$ is that line for both, and $\overline{D(y)} - \overline{D(\hat y)} = Km^2$:
# *twice* the true $\tfrac K2m^2$. If they are far apart, $D$ may bend between them: the line on the made points, and the right *mean* on the real ones, which is all that (3) asks. Turn the knob.

# %% tags=["hide-input"]
quantiles = torch.special.ndtri((torch.arange(150) + 0.5) / 150)[:, None]
SHIFTS = (0.5, 1, 2, 8)


def one_critic(shift, rounds=150):
    """A critic for N(0, 1) made and N(m, 1) real, fitted by (3) and (6) to the closed-form potentials, with K = 1."""
    fakes, reals = quantiles, quantiles + shift
    on_fakes, on_reals = shift * fakes[:, 0], shift * reals[:, 0] - shift**2 / 2
    middle = torch.cat([on_fakes, on_reals]).mean()
    on_fakes, on_reals = on_fakes - middle, on_reals - middle
    torch.manual_seed(0)
    critic = torch.nn.Sequential(
        torch.nn.Linear(1, 32), torch.nn.SiLU(), torch.nn.Linear(32, 32),
        torch.nn.SiLU(), torch.nn.Linear(32, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(rounds):
        x = fakes.clone().requires_grad_()
        at_fakes, at_reals = critic(x)[:, 0], critic(reals)[:, 0]
        (slope,) = torch.autograd.grad(at_fakes.sum(), x, create_graph=True)
        loss = regression_loss(at_reals, at_fakes, on_reals, on_fakes)
        loss = loss + 0.4 * transport_regulariser(
            slope, reals - fakes, 1.0, "vector"
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return critic.eval(), fakes, reals, on_fakes, on_reals


fitted = {shift: one_critic(shift) for shift in SHIFTS}


def ratio(shift):
    critic, fakes, reals, *_ = fitted[shift]
    with torch.no_grad():
        return float((critic(reals).mean() - critic(fakes).mean()) / (shift**2 / 2))


def slopes(shift):
    """Slope of the critic at the made points, where (4) asks for m: mean, root mean squared error, least, and where that is."""
    critic, fakes, *_ = fitted[shift]
    x = fakes.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    error = (slope - shift).square().mean().sqrt()
    where = float(fakes[slope.argmin()])
    return float(slope.mean()), float(error), float(slope.min()), where


def draw_critic(shift):
    critic, fakes, reals, on_fakes, on_reals = fitted[shift]
    grid = torch.linspace(-3, shift + 3, 200)[:, None]
    with torch.no_grad():
        curve = critic(grid)[:, 0]
    figure = Figure(figsize=(5.6, 3.4))
    axes = figure.subplots()
    axes.plot(fakes[:, 0], on_fakes, color="C0", lw=5, alpha=0.4)
    axes.plot(reals[:, 0], on_reals, color="C1", lw=5, alpha=0.4)
    axes.plot(grid[:, 0], curve, color="black", lw=1.2)
    axes.legend(
        ["potential on the made", "potential on the real", "the one critic"]
    )
    axes.set(
        xlabel="place",
        ylabel="potential",
        title=f"the critic says {ratio(shift):.2f} times the truth",
    )
    return figure


frames(
    {"shift m": SHIFTS},
    draw=draw_critic,
    alt=lambda shift: (
        f"Two parallel lines, the potential of the made points above that of the real points by {shift**2 / 2:.2f}, and the fitted critic. "
        f"Its slope at the made points should be {shift}; it is {slopes(shift)[0]:.2f} on average and {slopes(shift)[2]:.2f} at the least. The critic's difference of means is {ratio(shift):.2f} times the true cost."
    ),
    caption=(
        f"Turn the shift. The blue line lies above the orange one by the true value of (2). Where the two clouds overlap, one curve cannot be on both, and the critic, held to the made points, overstates the distance {ratio(SHIFTS[0]):.2f} times. "
        f"Far apart it leaves the blue line in the gap and meets the real potential in its mean, which is all that (3) asks ({ratio(SHIFTS[-1]):.2f} times). Slope on the made points, which reach from {float(quantiles[0]):.1f} to {float(quantiles[-1]):.1f}: mean, root mean squared error, least value and its place, {'; '.join(f'm = {m}: {a:.2f}, {e:.2f}, {low:.2f} at {where:.1f}' for m, (a, e, low, where) in ((m, slopes(m)) for m in SHIFTS))}. Right on average is not right everywhere: look at the made points that face the real ones."
    ),
    label="one-critic",
)
record(overstated={str(shift): ratio(shift) for shift in SHIFTS})

# %% [markdown]
# The difference of the critic's means is what such a program prints as "Wasserstein distance". Early in training, when nothing overlaps, it may be that; near
# the end, among the real points, it is not. Print the value of (2) instead; it is computed anyway.
#
# ## What a batch can know
#
# The value of (2) is exact *for the batch*. How far is it from the truth? For fixed potentials, the expectation over batches is that of the distributions. The maximum is taken after
# the batch is seen, and the mean of a maximum is at least the maximum of the mean. So **the batch overstates the transport cost on average**, always. By how much, is a matter of dimension. Between samples of $n$ the
# error goes down like $n^{-1/d}$ in more than four dimensions $d$ {cite}`weed2019`, which for large $d$ is hardly down at all.
#
# Measure it where the truth is known: $N(0, I_d)$ against the same cloud, moved by $m$ of length 2. Then $W_2 = 2$ in every dimension. Two more questions go with it.
#
# - Does the way to the partner point along $m$, which is the true way for every point? The baseline pairs at random; its mean cost is $\mathbb E\lVert y - \hat y\rVert^2 = 2d + \lVert m\rVert^2$.
# - Where would a generator come to rest? Let it make the right cloud, and let it only choose the width $s$ of its cloud. The partners do not depend on $s$, and the mean of $\lVert y - s\hat y\rVert^2$ is least at $s = \overline{y\cdot\hat y}\,/\,\overline{\lVert\hat y\rVert^2}$
#   (about the means, $y$ the partner of $\hat y$). That is 1 if partners are alike, and 0 if they are strangers: who is pulled towards strangers ends at the mean. So **the optimum of a batch is, on average, not the true distribution but a narrower one**, whatever the critic.

# %% tags=["hide-input"]
DIMENSIONS, SIZES, SHIFT, DRAWS = (1, 2, 4, 8, 16, 32, 64), (16, 64, 256), 2.0, 6


def batch_against_truth(dimension, size, seed):
    fakes, reals = torch.randn(2, size, dimension, generator=generator(seed))
    reals[:, 0] += SHIFT
    cost = quadratic_cost(reals, fakes, 1.0)
    on_real, on_fake, partners = batch_dual(cost)
    ways, random_ways = reals[partners] - fakes, reals - fakes
    centred = fakes - fakes.mean(0), (reals - reals.mean(0))[partners]
    tight = (on_real[:, None] - on_fake > cost - 1e-9).double().sum(0).mean()
    return {
        "ratio": float((2 * (on_real.mean() - on_fake.mean())).sqrt()) / SHIFT,
        "cosine": float((ways[:, 0] / ways.norm(dim=1)).mean()),
        "random": float((random_ways[:, 0] / random_ways.norm(dim=1)).mean()),
        "width": float((centred[0] * centred[1]).sum() / centred[0].square().sum()),
        "tight": float(tight),
    }


known = pd.DataFrame(
    [
        {"d": d, "n": n} | batch_against_truth(d, n, 100 * seed + d)
        for d in DIMENSIONS
        for n in SIZES
        for seed in range(DRAWS)
    ]
)
average = known.groupby(["n", "d"]).mean()
MEASURED = {
    "ratio": "batch $W_2$ / truth",
    "cosine": "cosine with the way",
    "width": "width at rest",
}
shown = known.assign(batch="n = " + known["n"].astype(str)).rename(columns=MEASURED)
figure = lines(
    shown, "d", list(MEASURED.values()), by="batch", log_x=True, height=2.3
)
panels = dict(zip(MEASURED, figure.axes, strict=True))
at_random = [(2 * d + SHIFT**2) ** 0.5 / SHIFT for d in DIMENSIONS]
panels["ratio"].plot(DIMENSIONS, at_random, "k--", lw=1, label="random pairs")
panels["cosine"].plot(DIMENSIONS, average.loc[SIZES[-1], "random"], "k--", lw=1)
panels["ratio"].axhline(1, color="0.7")
panels["width"].axhline(1, color="0.7")
panels["ratio"].legend(title="", fontsize=9)
panels["width"].set_xlabel("dimension")
panels["width"].set_xticks(DIMENSIONS, [str(d) for d in DIMENSIONS])
panels["width"].minorticks_off()
last, low = average.xs(DIMENSIONS[-1], level="d"), average.xs(2, level="d")
ends = {
    key: ", ".join(f"{value:.2f} for n = {n}" for n, value in last[key].items())
    for key in panels
}
most, usual = SIZES[-1], SIZES[1]
show(
    figure,
    alt=(
        f"Three panels over dimensions from 1 to {DIMENSIONS[-1]}. Above, the estimate over the truth rises for all batch sizes, to {ends['ratio']}; the dashed line of random "
        f"pairs ends at {at_random[-1]:.2f}. Middle, the cosine falls to {ends['cosine']}; random pairs end at {last.loc[most, 'random']:.2f}. Below, the width at which the batch is content falls from about 1 to {ends['width']}."
    ),
    caption=(
        f"Mean of {DRAWS} batches, with 95 % intervals. In 2 dimensions {usual} points say {low.loc[usual, 'ratio']:.2f} times the truth, cosine {low.loc[usual, 'cosine']:.2f}, width {low.loc[usual, 'width']:.2f}. In {DIMENSIONS[-1]} "
        f"dimensions {most} points say {last.loc[most, 'ratio']:.2f} times the truth. The cheapest plan is then {1 - (last.loc[most, 'ratio'] / at_random[-1]) ** 2:.0%} cheaper than pairs at random, its arrows have a cosine of {last.loc[most, 'cosine']:.2f} with the true way where random ones (dashed, n = {most}) have {last.loc[most, 'random']:.2f}, and a cloud of {last.loc[most, 'width']:.2f} times the right width pleases it most."
    ),
    label="dimension",
)
record(batch_over_truth=last["ratio"].tolist(), width=last["width"].tolist())

# %% tags=["hide-input"]
say(
    f"""One comfort and one more worry. The mean arrow of *any* pairing is the difference of the two means, so the pull on the mean does not suffer from the dimension. The worry is about the solver. A linear programme is solved at a corner,
where as many constraints are tight as there can be: here each made point has on average {known["tight"].mean():.2f} real ones at which its constraint is tight, though one would be enough. At such a point the maximum in the derivation of (4) has a kink, and
the potentials are an extreme choice among many optimal ones. Which, is the solver's taste."""
)

# %% [markdown]
# A benchmark with known maps found that many networks trained for optimal transport do not recover the map, even where they are useful as generators {cite}`korotin2021`.
#
# ## In the plane
#
# Two dimensions are the easy case. The source is noise, $N(0, I_2)$, the target two moons; nothing is paired. The baselines: the noise as it is; all points at the
# mean; the affine map between the Gaussian fits; a plain regression of targets on sources with the same generator; exact transport of the training points, where a new
# point takes the partner of its nearest neighbour (it hands out real targets). And *no critic*: each made point knows its partner, so pull the generator there by least
# squares, $\tfrac K2\overline{\lVert\hat y - T(\hat y)\rVert^2}$, with partners from the same linear programme. By (4) it is the same push. Beside them stands the distance between two sets of
# real points, which is not zero, and no lower bound either.
#
# The authors use one rate for critic and generator. Here the critic's is 0.01, and every generator that is pulled to partners, with or without a critic, is trained at the same two rates (plain regression only at the larger). All have the same number of steps.


# %%
class PlainRegression(WGANQC):
    """The same generator without noise, trained to guess the target: least squares."""

    def objectives(self):
        return super().objectives()[1:]

    def generator_loss(self, batch, rng):
        source, target = (batch[key] / self.scale for key in ("source", "target"))
        made = source + self.generator(source)
        target = target[self.partners(made.detach(), target)]
        return {"loss": self.K / 2 * (made - target).square().sum(1).mean()}

    def partners(self, made, target):
        return torch.arange(len(made))


class NoCritic(PlainRegression):
    """Pulled to the partners of the batch's optimal transport."""

    def partners(self, made, target):
        return batch_dual(quadratic_cost(target, made, self.K))[2]


def trained(method, data, seed, steps=steps, rates=(1e-2, 1e-3), **choices):
    """Fit with the authors' momentum; the rates are the critic's and the generator's."""
    critic, made = rates
    alone = isinstance(method, PlainRegression)
    fit(
        method, data, steps=steps, seed=seed, progress=False, schedule="cosine",
        lr=made if alone else {"critic": critic, "generator": made},
        betas=(0.5, 0.999), clip_norm=None, ema_decay=0.98, **choices,
    )  # fmt: skip
    return method


spent = {}


def allowed(method, steps):
    """Steps and trained parameters: those of the generator, and of the critic if there is one."""
    parts = (part.parameters for part in method.objectives())
    return Spent(steps, sum(p.numel() for part in parts for p in part))


def table_with_parameters(frame, caption, proposed, **more):
    """Mean ± standard deviation over the seeds, and how many parameters each row trained."""
    runs, budgets = over_seeds(frame), Budgets(proposed, spent)
    shown = runs.mean.join(budgets.columns()["parameters"])
    table(
        shown,
        f"{caption} Mean ± standard deviation over {runs.n} seeds; *parameters* are those that are trained.",
        spread=runs.spread.reindex(columns=shown.columns),
        paired=runs,
        budgets=budgets,
        **more,
    )


NETWORKS = {
    "plain regression": (PlainRegression, {}),
    "no critic": (NoCritic, {}),
    "WGAN-QC, as published": (WGANQC, {"conditional": False, "gamma": 0.1}),
    "WGAN-QC, lengths, γ = 10": (WGANQC, {"conditional": False, "gamma": 10.0}),
    "WGAN-QC, vectors, γ = 10": (
        WGANQC,
        {"conditional": False, "gamma": 10.0, "compare": "vector"},
    ),
}
RATES = (1e-3, 3e-3)  # of the generator


def in_the_plane(name, world, seed, rate):
    kind, choices = NETWORKS[name]
    torch.manual_seed(seed)
    method = kind((2,), noise=0, **choices)
    return trained(method, world.train, seed, rates=(1e-2, rate))


def pointing(method, made, target):
    """The critic's slope at made points (N, 2), beside what (4) asks for: mean cosine, and share of the mean length."""
    x = made.detach().requires_grad_()
    (slope,) = torch.autograd.grad(method.critic(x).sum(), x)
    _, _, partner = batch_dual(quadratic_cost(target, made, method.K))
    way = method.K * (target[partner] - made)
    alike = torch.cosine_similarity(slope, way, dim=1).mean()
    return {
        "cosine": float(alike),
        "length": float(slope.norm(dim=1).mean() / way.norm(dim=1).mean()),
    }


rows, pictures, critics = [], {}, []
for seed in range(seeds):
    world = planar_world("normal", "moons", points=4000, fresh=points, seed=seed)
    train, test = world.train.tensors, world.test.tensors
    source, few = test["source"], {key: train[key][:points] for key in train}
    made = {
        "noise as it is": source,
        "mean": train["target"].mean(0).expand_as(source),
        "Gaussian map": gaussian_map(train["source"], train["target"], source),
        "exact transport, nearest neighbour": neighbour_map(
            few["source"], few["target"], source
        ),
    }
    for name, (kind, _) in NETWORKS.items():
        for rate in RATES[1:] if name == "plain regression" else RATES:
            method = in_the_plane(name, world, seed, rate)
            row = f"{name}, {rate:g}"
            made[row], spent[row] = method.sample(source), allowed(method, steps)
            if kind is WGANQC:
                seen = pointing(method, made[row], test["target"])
                critics.append({"method": row, "seed": seed} | seen)
    made["two sets of real points"] = few["target"]
    for name, cloud in made.items():
        distance = wasserstein2(cloud, test["target"])
        rows.append({"method": name, "seed": seed, "W2": distance})
    pictures = pictures or {**made, "real": test["target"]}
plane, critics = pd.DataFrame(rows), pd.DataFrame(critics)
table_with_parameters(
    plane,
    f"From noise to moons: distance of {points} made points to {points} fresh real ones. The number after a name is the generator's rate.",
    f"WGAN-QC, as published, {RATES[0]:g}",
    best={"W2": "lower"},
    reference=["two sets of real points"],
)
table_over_seeds(
    critics,
    "What the critics learned: mean cosine of their slope at the made points with the way to the partner, and mean length as a share of what (4) asks for.",
)

# %% tags=["hide-input"]
PANELS = [f"{name}, {RATES[0]:g}" for name in list(NETWORKS)[1:]]
labels = "first coordinate", "second coordinate"
limits = {"xlim": (-5, 5), "ylim": (-3.5, 4.5)}
figure = clouds(PANELS, pictures["real"], pictures, labels, **limits)
W2 = plane.set_index(["method", "seed"])["W2"]
first = W2.xs(0, level="seed")
cosines = critics.groupby("method")["cosine"].mean()
show(
    figure,
    alt=(
        "Four scatter plots, real moons in grey and made points in orange: "
        + "; ".join(f"{name}, W2 {first[name]:.2f}" for name in PANELS)
        + "."
    ),
    caption=(
        f"First seed, W2: {'; '.join(f'{name} {first[name]:.2f}' for name in PANELS)}; not shown, no critic at the other rate, {RATES[1]:g}, {first[f'no critic, {RATES[1]:g}']:.2f}, and exact transport of {points} training points {first['exact transport, nearest neighbour']:.2f}. Cosine of the critic's slope with the way, mean over seeds: "
        f"{'; '.join(f'{name} {cosines[name]:.2f}' for name in PANELS[1:])}."
    ),
    label="plane",
)

# %% [markdown]
# **What the table says**, seed by seed:

# %% tags=["hide-input"]
PUBLISHED, LENGTHS, VECTORS = list(NETWORKS)[2:]
for rate, tag in zip(RATES, ("slow", "fast"), strict=True):
    for ours, theirs, name in (
        (PUBLISHED, "Gaussian map", "affine"),
        (PUBLISHED, "exact transport, nearest neighbour", "exact"),
        (PUBLISHED, f"no critic, {rate:g}", "published"),
        (VECTORS, f"no critic, {rate:g}", "vectors"),
        (VECTORS, f"{LENGTHS}, {rate:g}", "lengths"),
    ):
        claim(
            f"plane-{tag}-{name}",
            W2[f"{ours}, {rate:g}"],
            W2[theirs],
            direction="lower",
            better=f"- *{ours}, {rate:g}* comes nearer to the moons than *{theirs}*: {{ours}} against {{theirs}}.",
            worse=f"- *{theirs}* comes nearer to the moons than *{ours}, {rate:g}*: {{theirs}} against {{ours}}.",
            undecided=f"- *{ours}, {rate:g}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        )
record(
    W2={name: W2[name].tolist() for name in W2.index.unique(0)}
    | {"WGAN-QC": W2[f"{PUBLISHED}, {RATES[0]:g}"].tolist()}
)

# %% [markdown]
# What the adversary knows, it knows from the partners, of which *no critic* is told directly. Whether the detour is worth it is in the lines against it, rate by rate. By theory, plain regression on targets that are not paired finds the mean: compare their rows.
#
# ## With a source
#
# To translate, the critic must see what is to be translated. Pairs $(x_i, y_i)$ are real, pairs $(x_j, \hat y_j)$ with $\hat y_j = G(x_j, z_j)$ are made, and the cost is
# that of carrying pairs to pairs,
#
# $$c = \tfrac K2\,\lVert y_i - \hat y_j\rVert^2 + w\,\tfrac K2\,\lVert x_i - x_j\rVert^2 . \tag{7}$$
#
# The generator cannot move $x$, so only the slope in $\hat y$ is regularised. It climbs, and may be held to the pairs by an L1 term, as in {doc}`pix2pix`:
#
# $$\mathcal L_G = -\,\overline{D(x, \hat y)} + \lambda\,\overline{\lvert\hat y - y\rvert} . \tag{8}$$
#
# What does the weight $w$ do? The same batch of sources stands on both sides.
#
# - With $w = 0$ sources cost nothing. Only the distribution of targets is matched. Which source a target belongs to is forgotten; the source serves as noise.
# - With $w \to \infty$ every made pair stays with its own $x$, so $T(\hat y_j) = y_j$. By (4) the slope is then $K(y_j - \hat y_j)$, and that is *minus the gradient of the squared error*. The adversary is gone: what is left
#   is least squares, whose answer is the conditional mean. The noise $z$ is ignored.
# - In between, a made pair may go to the target of a neighbour with a similar source. Only this can teach the spread of targets for one source, and it needs
#   batches that *hold* similar sources.
#
# A fork shows it: $x$ is uniform on a line, $y$ is on one of two prongs about $-x$, and which one is a toss of a coin. The mean of both is a place where nobody is.

# %%
WEIGHTS = (0.0, 1.0, 100.0)


def fork(count, seed):
    rng = generator(seed)
    x = 4 * torch.rand(count, 1, generator=rng) - 2
    side = 2.0 * torch.randint(2, (count, 1), generator=rng) - 1
    y = (
        -x
        + side * (0.3 + 0.25 * (x + 2))
        + 0.1 * torch.randn(count, 1, generator=rng)
    )
    return TensorData({"source": x, "target": y})


def joint(x, y):
    return torch.cat([x, y], 1)


rows, prongs = [], {}
for seed in range(seeds):
    data = fork(3000, seed)
    fresh, other = fork(points, 100 + seed), fork(points, 200 + seed)
    x, y = (fresh.tensors[key] for key in ("source", "target"))
    torch.manual_seed(seed)
    plain = trained(PlainRegression((1,), noise=0), data, seed)
    made = {"plain regression": plain.sample(x)}
    spent["plain regression"] = allowed(plain, steps)
    for weight in WEIGHTS:
        torch.manual_seed(seed)
        method = WGANQC(
            (1,), noise=2, source_weight=weight, gamma=10.0, compare="vector"
        )
        trained(method, data, seed)
        name = f"WGAN-QC, w = {weight:.0f}"
        made[name] = method.sample(x, rng=generator(seed))
        spent[name] = allowed(method, steps)
    made["targets of others"] = y[torch.randperm(len(y), generator=generator(seed))]
    pairs = {name: joint(x, cloud) for name, cloud in made.items()}
    pairs["two sets of real pairs"] = joint(*other.tensors.values())
    for name, cloud in pairs.items():
        error = float((cloud[:, 1:] - y).square().mean().sqrt())
        values = {
            "joint W2": wasserstein2(cloud, joint(x, y)),
            "W2 of targets": wasserstein2(cloud[:, 1:], y),
            "RMSE": float("nan") if name.startswith("two") else error,
        }
        rows.append({"method": name, "seed": seed} | values)
    prongs = prongs or pairs | {"real": joint(x, y)}
forks = pd.DataFrame(rows)
table_with_parameters(
    forks,
    "The fork, all generators at a rate of 0.001: distance of made pairs from real pairs, of made targets from real targets, and error on the pairs.",
    f"WGAN-QC, w = {WEIGHTS[1]:.0f}",
    best={"joint W2": "lower", "W2 of targets": "lower", "RMSE": "lower"},
    reference=["targets of others", "two sets of real pairs"],
)

# %% tags=["hide-input"]
forks = forks.set_index(["method", "seed"])
names = ["plain regression", *(f"WGAN-QC, w = {weight:.0f}" for weight in WEIGHTS)]
figure = clouds(names, prongs["real"], prongs, ("source x", "target y"))
listed = "; ".join(
    f"{name} {forks.loc[name, 'joint W2'].mean():.2f} and {forks.loc[name, 'W2 of targets'].mean():.2f}"
    for name in [*names, "two sets of real pairs"]
)
show(
    figure,
    alt=(
        "Four scatter plots of target over source: a fork of two prongs in grey, made targets in orange. "
        + "; ".join(
            f"{name}: joint W2 {forks.loc[(name, 0), 'joint W2']:.2f}"
            for name in names
        )
        + "."
    ),
    caption=f"First seed. Mean distances over the seeds, of pairs and of targets: {listed}.",
    label="fork",
)
for ours, theirs, column, name in (
    (names[2], names[0], "joint W2", "neighbours-pairs-regression"),
    (names[2], names[1], "joint W2", "neighbours-pairs-free"),
    (names[2], names[3], "joint W2", "neighbours-pairs-bound"),
    (names[1], names[0], "W2 of targets", "free-targets-regression"),
    (names[1], names[2], "W2 of targets", "free-targets-neighbours"),
    (names[2], names[0], "RMSE", "neighbours-rmse-regression"),
):
    claim(
        f"fork-{name}",
        forks.loc[ours, column],
        forks.loc[theirs, column],
        direction="lower",
        better=f"- {column}: *{ours}* is below *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"- {column}: *{ours}* is above *{theirs}*, {{ours}} against {{theirs}}.",
        undecided=f"- {column}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )
record(
    joint_w2={
        "WGAN-QC": forks.loc[names[2], "joint W2"].tolist(),
        "plain regression": forks.loc[names[0], "joint W2"].tolist(),
    }
)

# %% [markdown]
# By theory, *w = 0* forgets whose target is whose and should still match the targets. Compare its line above with that: so short a training need not reach what the theory promises. Regression answers between the prongs, where nobody is: compare its RMSE with its joint W2. Which column counts depends on what the prediction is for; {doc}`rest_to_motor` argues about that at length.
#
# ## From rest to motor
#
# Now hundreds of dimensions: predict a person's connectivity while moving from that at rest, in the world of {doc}`bridge_matching`. All networks have the same linear generator with a bottleneck (linear in its noise, too, so that its samples are Gaussian), the same rates, dropout and weight decay, and the same number of steps; an adversary has its critic on top. *Demeaned r* is the
# correlation over edges of the deviations from the training people's mean, *identification* how often it finds the right person. The
# *width* is the standard deviation over people of one sample each, relative to the real one; the *coverage* is how often the central 80 % of ten samples hold the measured edge.

# %%
WIDE = {"width": 64, "depth": 0, "dropout": 0.5, "scale": 0.2}
ENTRIES = {
    "plain regression, same generator": (PlainRegression, {"noise": 0}),
    "WGAN-QC, published regulariser": (WGANQC, {}),
    "WGAN-QC, vectors, γ = 10": (WGANQC, {"gamma": 10.0, "compare": "vector"}),
    "WGAN-QC, vectors, w = 0": (WGANQC, {"gamma": 10.0, "compare": "vector", "source_weight": 0.0}),
    "WGAN-QC, vectors, and 100 L1": (WGANQC, {"gamma": 10.0, "compare": "vector", "l1_weight": 100.0}),
}  # fmt: skip
MEASURES = {
    "rmse": "RMSE",
    "demeaned_r": "demeaned r",
    "identification_demeaned": "identification",
}
rows, kept = [], []
for seed in range(seeds):
    world = rest_motor_world(subjects=240, regions=24, seed=seed)
    train, test = world.pairs.split(people, seed)
    samples = {name: made[None] for name, made in baselines(train, test).items()}
    size = train.source.shape[1]
    for name, (kind, choices) in ENTRIES.items():
        torch.manual_seed(seed)
        method = kind((size,), **WIDE | choices)
        trained(
            method,
            train,
            seed,
            steps=steps // 2,
            rates=(3e-3, 3e-3),
            weight_decay=10.0,
        )
        spent[name] = allowed(method, steps // 2)
        drawn = method.sample(test.source.repeat(10, 1), rng=generator(seed))
        samples[name] = drawn.unflatten(0, (10, len(test)))
        if kind is WGANQC:
            seen = method.critic_loss(
                train.batch(torch.arange(64)), generator(seed)
            )
            kept.append({"method": name, "own": float(seen["own_partner"])})
    samples["attainable from rest"] = world.attainable_for(test, draws=32)[None]
    samples["ceiling"] = world.true_motor[world.indices(test)][None]
    for name, drawn in samples.items():
        values = evaluate(drawn.mean(0), test.target, train.target.mean(0))
        row = {label: values[key] for key, label in MEASURES.items()}
        row["width"] = float(drawn[0].std(0).mean() / test.target.std(0).mean())
        held = drawn.std(0).max() > 1e-6 if len(drawn) > 1 else False
        row["coverage"] = (
            coverage(drawn, test.target, [0.8])[0.8] if held else float("nan")
        )
        rows.append({"method": name, "seed": seed} | row)
scans = pd.DataFrame(rows)
table_with_parameters(
    scans,
    "Test people. Of those that draw, the mean of ten samples is measured.",
    "WGAN-QC, published regulariser",
    best={"RMSE": "lower", "demeaned r": "higher", "identification": "higher"},
    reference=["attainable from rest", "ceiling"],
    ceiling="ceiling",
)

# %% tags=["hide-input"]
scans = scans.set_index(["method", "seed"]).astype(float)
REGRESSION = "plain regression, same generator"
TAGS = {"WGAN-QC, published regulariser": "published", "WGAN-QC, vectors, γ = 10": "vectors",
        "WGAN-QC, vectors, w = 0": "free", "WGAN-QC, vectors, and 100 L1": "l1"}  # fmt: skip
for name, tag in TAGS.items():
    for rival, other in ((REGRESSION, "regression"), ("shrunk shift", "shift")):
        claim(
            f"brains-{tag}-{other}",
            scans.loc[name, "RMSE"],
            scans.loc[rival, "RMSE"],
            direction="lower",
            called="worlds",
            better=f"- RMSE of *{name}* is below that of *{rival}*: {{ours}} against {{theirs}}.",
            worse=f"- RMSE of *{name}* is above that of *{rival}*: {{ours}} against {{theirs}}.",
            undecided=f"- RMSE: *{name}* ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart.",
        )
own = pd.DataFrame(kept).groupby("method", sort=False)["own"].mean()
narrow = scans["coverage"].groupby("method", sort=False).mean().dropna()
say(
    f"In a batch of 64, this share of the made matrices has its *own* truth as partner, on training people: {'; '.join(f'{name} {share:.0%}' for name, share in own.items())}. "
    f"Coverage, which should be 0.80: {'; '.join(f'{name} {value:.2f}' for name, value in narrow.items())}. The shrunk shift fits one slope, beside the two mean matrices."
)
record(
    rmse={name: scans.loc[name, "RMSE"].tolist() for name in scans.index.unique(0)},
    demeaned_r={name: scans.loc[name, "demeaned r"].tolist() for name in scans.index.unique(0)},
    own_partner={name: float(share) for name, share in own.items()},
    budget=Budgets("WGAN-QC, published regulariser", spent).plain(),
)  # fmt: skip

# %% [markdown]
# Where every made matrix has its own truth as partner, the pull is that of the limit $w \to \infty$: the gradient of least squares, but passed through a critic that has to learn it first. With *w = 0* the sources do not count at all; the share above says who the partners are then.
#
# ## What goes wrong in practice
#
# The authors' code is public and small. Reading it beside the derivation is worth an hour.
#
# - *Lengths for vectors.* (5) sees no direction. Turned up, it may ask for steep slopes in wrong directions: see the cosines above.
# - *The reals as a mean.* (3) throws away all but one number of what the programme found on the real side. It is also what makes "one critic for two potentials" survivable: asked for both, point by point, the critic would be torn wherever the clouds overlap.
# - *A printed distance that is none.* The log shows the difference of the critic's means as the Wasserstein distance.
# - *A fixed batch size.* The matrices of their linear programme are built once, for one batch size, so the last, smaller batch of an epoch has to be dropped. A network simplex needs no such thing.
#
# ## Exercises
#
# ```{exercise} Transport on a line (code)
# :label: wgan-qc-line
#
# Two batches of $n$ numbers, of one length. Write $W_2$ between them, without a linear programme. (It is the root of the least mean square.)
# ```

# %% tags=["stub:line"]
from mmlab.exercises.wgan_qc import check_line


def distance(y, y_hat):
    return ...


check_line(distance)

# %% [markdown]
# ```{solution-start} wgan-qc-line
# :class: dropdown
# ```


# %% tags=["solution:line"]
def distance(y, y_hat):
    return (y.sort().values - y_hat.sort().values).square().mean().sqrt()


check_line(distance)

# %% [markdown]
# If two arrows on a line cross, uncrossing them shortens the sum of squares. So the smallest goes to the smallest.
#
# ```{solution-end}
# ```
#
# ```{exercise} What the critic says (compute)
# :label: wgan-qc-critic
#
# Made points are $N(0, 1)$, real ones $N(m, 1)$ with $m = 0.5$, and $K = 1$. Give (a) the true value of (2), for infinite batches; (b) the slope that (4) asks of the critic on the made points;
# (c) the difference $\overline{D(y)} - \overline{D(\hat y)}$ of the critic that is a straight line with that slope.
# ```

# %% tags=["stub:critic"]
from mmlab.exercises.wgan_qc import check_critic

value_of_dual = ...
slope_on_made = ...
difference = ...

check_critic((value_of_dual, slope_on_made, difference))

# %% [markdown]
# ```{solution-start} wgan-qc-critic
# :class: dropdown
# ```

# %% tags=["solution:critic"]
m, K = 0.5, 1.0
value_of_dual = K * m**2 / 2
slope_on_made = K * m
difference = slope_on_made * m

check_critic((value_of_dual, slope_on_made, difference))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} When is it done? (think)
# :label: wgan-qc-done
#
# The value of (2) falls during training and stops above zero. Has training failed? With what should it be compared? Use batches of 64 in the plane.
# ```
#
# ```{solution-start} wgan-qc-done
# :class: dropdown
# ```


# %%
def by_batches(one, other, size=64):
    """Mean over batches of the distance that the dual finds."""
    values = []
    for a, b in zip(one.split(size), other.split(size), strict=True):
        if len(a) < min(size, len(one)):
            continue  # a smaller batch has another floor
        at_real, at_made, _ = batch_dual(quadratic_cost(a, b, 1.0))
        values.append(float((2 * (at_real.mean() - at_made.mean())).sqrt()))
    return sum(values) / len(values)


floor = by_batches(pictures["two sets of real points"], pictures["real"])
published, free = f"WGAN-QC, as published, {RATES[0]:g}", f"no critic, {RATES[1]:g}"
far = by_batches(pictures[published], pictures["real"])
near = by_batches(pictures[free], pictures["real"])
at_once = plane[plane["seed"] == 0].set_index("method")["W2"]
say(
    f"Two batches of *real* points are {floor:.2f} apart on average. That is what the truth itself would have, and no lower bound: a narrower cloud can be below it, as derived above. Made points of *{published}*, first seed, are {far:.2f} from real ones by the same measure, those of *{free}* {near:.2f}; with all {points} at once it is {at_once[published]:.2f} and {at_once[free]:.2f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The narrow optimum, exactly (compute)
# :label: wgan-qc-width
#
# On the line, made and real points are both $N(0, 1)$, in batches of $n$. Which width $s = \mathbb E[y\,\hat y] / \mathbb E[\hat y^2]$, with $y$ the partner of $\hat y$, contents (a) $n = 1$, (b) $n = 2$, (c) $n \to \infty$? For (b) you may use that the larger of two standard normal numbers is $1/\sqrt\pi$ on average.
# ```

# %% tags=["stub:width"]
from mmlab.exercises.wgan_qc import check_width

with_one, with_two, with_all = ..., ..., ...

check_width((with_one, with_two, with_all))

# %% [markdown]
# ```{solution-start} wgan-qc-width
# :class: dropdown
# ```

# %% tags=["solution:width"]
larger = torch.pi**-0.5
with_one = 0.0
with_two = 2 * larger**2 / 2
with_all = 1.0

check_width((with_one, with_two, with_all))

# %% [markdown]
# On a line the larger goes to the larger. The two batches are independent, so the mean product of the two larger ones is $1/\pi$, and that of the two smaller ones as well; the squares sum to two.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the slope of the critic as long as the way to go, and why is that welcome?
# The derivative of half a squared distance is the distance itself. The push fades as the made points arrive, so a generator with a constant step size can come to rest. With the distance itself as cost the push has one strength everywhere.
# ```
#
# ```{dropdown} What could a critic add to the pull towards the partners?
# The critic is told the potentials of a batch, whose only news is who should go where. It could add an average over many batches; but the generator's own weights average, too. The lines against *no critic*, below the table of the plane, say what came of it.
# ```
#
# ```{dropdown} Why does a large weight of the source make a conditional GAN a regression?
# Then every made target has the one real target of its own source as partner, in every batch. The least squares answer to that is the mean of targets given the source, and the noise is of no use.
# ```
#
# ## In five lines
#
# - The dual of a batch's transport gives potentials; by (4) their slope at a made point is the way to its partner.
# - One network cannot be both potentials, so the difference of a critic's means is no distance where the clouds overlap. Print (2).
# - A batch overstates the cost and is content with a narrower cloud, the more so in many dimensions.
# - Set a generator that is pulled to its partners, and exact transport of the training points, beside any critic, at the same rates.
# - With a source, a large weight makes least squares of it. Only neighbours with similar sources can teach a spread: look first how many made targets have another partner than their own.
#
# ## Limits
#
# Our networks are small perceptrons, and the runs short. The critic's rate was chosen by a handful of trials. In the plane the generators have two rates, both shown; elsewhere one. Nothing here speaks about the photographs of the paper.
#
# ## What to read next
#
# - {cite}`wgan_qc` for the method, and {cite}`arjovsky2017wgan` for the Wasserstein GAN that came first.
# - {cite}`weed2019` on how fast samples approach their distribution.
# - {doc}`flow_matching`, which uses the same pairing within a batch, and no adversary.

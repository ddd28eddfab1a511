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
# # Bridge matching
#
# **Can we tell how a brain is wired in action from how it is wired at rest?**
#
# A person lies still in a scanner for a quarter of an hour. From the recording we compute one matrix: how strongly each
# pair of brain regions fluctuates together. This is *functional connectivity*. Then the person taps fingers and moves
# feet, and we compute a second matrix. Rest is easy to record, even in people who cannot follow instructions. Tasks
# are not. If the second matrix could be predicted from the first, patients would be spared the task.
#
# Such predictions are easy to oversell. Two people's matrices agree to about $r = 0.9$ in any case, so a method that
# ignores the person altogether looks excellent. This chapter builds one modern method, *bridge matching*, from its
# first line, and then asks of every number: what would a dull rival have got?
#
# You need probability at the level of Gaussian conditioning, and PyTorch.

# %% tags=["parameters"]
profile = "cpu"
seeds = 3
steps = 300

# %%
import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit
from mmlab.compare.connectome_baselines import baselines, change_ridge, mean_shift
from mmlab.data.connectome import ConnectomePairs, edges, matrices
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.diffusion.gaussian import coupling_after_matching
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import (
    BridgeMatching,
    bridge_moments,
    euler_step,
    network_calls,
    posterior_step,
)
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import ceiling_share, evaluate
from mmlab.viz import frames, record, say, show, table
from mmlab.viz.connectome import connectome_figure, matrices_figure

large = profile == "gpu"
regions, subjects = (160, 600) if large else (40, 300)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## A world whose truth is known
#
# Recordings of real people may not be put on a website, and nobody knows the right answer for them. So the chapter
# works in a small synthetic world ({py:func}`~mmlab.data.worlds.rest_motor_world.rest_motor_world`). Each subject has hidden
# traits. They bend the covariance of the regions at rest. In the motor state the same traits are there, mixed with
# fresh variation that no rest scan can know ($\rho = 0.8$), and they show in somewhat *different edges*: the two states
# are turned against each other by a rotation. A scan is a finite number of frames, 1200 at rest and 284 in the task, as
# in the Human Connectome Project {cite}`vanessen2013`. So every matrix is noisy, the motor matrix more so.
#
# Two ceilings follow. The *ceiling* is the noise-free motor matrix: not even a perfect method agrees with a noisy
# measurement better than that. The *attainable* is what remains if the hidden traits at rest were known exactly and
# the fresh variation averaged out. No method that sees only rest can beat it.

# %%
world = rest_motor_world(subjects=subjects, regions=regions, seed=0)
train, test = world.pairs.split(100, seed=0)  # by subject: nobody is on both sides
person = 0

# %% tags=["hide-input"]
show(
    matrices_figure(
        {
            "rest": test.source[person],
            "motor task": test.target[person],
            "motor − rest": test.target[person] - test.source[person],
            "motor − rest, group": (train.target - train.source).mean(0),
        },
        test.regions,
    ),
    alt=(
        "Four matrices of one subject and the group, regions grouped by network. Rest and motor look alike, with "
        f"positive blocks within networks; the difference of the group has a mean absolute value of "
        f"{(train.target - train.source).mean(0).abs().mean():.2f}."
    ),
    caption=(
        "One test subject at rest and in the task. The two matrices are so alike that copying rest is already a good "
        "guess. What the subject's change has in common with the group's (right) is easy; the rest is the problem."
    ),
)
say(
    f"The world has {len(train)} training and {len(test)} test subjects, {regions} regions from the Dosenbach atlas "
    f"{{cite}}`dosenbach2010`, and so {test.source.shape[1]} edges per matrix."
)

# %% tags=["hide-input"]
show(
    connectome_figure(
        (train.target - train.source).mean(0), test.regions, strongest=40
    ),
    alt=(
        "Glass brain with the forty edges that change most from rest to motor in the training group; red edges join "
        "sensorimotor regions to each other, blue ones join them to default-mode regions."
    ),
    caption="The group's change from rest to motor: the forty largest edges. Red couples more in the task, blue less.",
)

# %% [markdown]
# ## The idea in one picture
#
# We have pairs $(x_0, x_1)$: a person's rest matrix and motor matrix, each written as a vector of edges. Let a particle
# diffuse, $\mathrm{d}X = \sqrt{\beta_t}\,\mathrm{d}W$, but keep only those paths that start in $x_0$ and happen to end in
# $x_1$. Such a pinned path is a *bridge*. Draw bridges for all pairs, stand at a place $x$ at time $t$, and ask: which
# way do the bridges through here go *on average*? Follow that average drift, and you are carried from sources to targets.
# Bridge matching learns this average by plain regression.

# %% tags=["hide-input"]
rng = generator(3)
grid = torch.linspace(0, 1, 201)
figure = Figure(figsize=(8.2, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for _ in range(12):
    x0 = torch.randn((), generator=rng) * 0.3
    x1 = 1.5 * torch.sign(torch.randn((), generator=rng)) + 0.4 * x0
    path = [x0]
    for s, t in pairwise(grid):
        path.append(
            posterior_step(
                Reference(0.6), path[-1], x1, s, t, torch.randn((), generator=rng)
            )
        )
    colour = "tab:red" if x1 > 0 else "tab:blue"
    left.plot(grid, path, color=colour, lw=0.9)
    left.plot([0, 1], [x0, x1], "o", color=colour, ms=4)
places = torch.linspace(-2, 2, 17)
for t in (0.15, 0.4, 0.65, 0.9):
    centre = torch.tensor([1.5, -1.5]) * t
    spread = math.sqrt(((1 - t) * 0.3 + t * 0.12) ** 2 + 0.36 * t * (1 - t))
    weight = torch.softmax(-((places[:, None] - centre) ** 2) / (2 * spread**2), 1)
    drift = (weight @ torch.tensor([1.5, -1.5]) - places) / (1 - t)
    ahead = torch.full((17,), 0.1)  # each arrow shows the next tenth of the time
    at = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
    right.quiver(torch.full((17,), t), places, ahead, 0.1 * drift, **at)
left.set(xlabel="time t", ylabel="x", title="bridges between pairs")
right.set(xlabel="time t", xlim=(0.1, 1.05), title="their average drift")
show(
    figure,
    alt=(
        "Left: twelve jagged paths from sources near 0 to targets near plus or minus 1.5, each pinned at both ends. "
        "Right: arrows of the average drift; they point to the middle of the fan early and split to the two targets."
    ),
    caption=(
        "**Left:** bridges, one per training pair. **Right:** arrows of the average drift at four times, each as long as a tenth of the time "
        "(only the sign of the target is averaged here). At each place the "
        "arrow is a compromise between all bridges that pass there."
    ),
)

# %% [markdown]
# ## From a pair to a bridge
#
# Write $\sigma_t^2 = \int_0^t \beta$ for the variance gathered since the start, $\bar\sigma_t^2 = \int_t^1 \beta$ for the
# variance still to come, and $S = \sigma_t^2 + \bar\sigma_t^2$, which does not depend on $t$. Free diffusion from $x_0$
# puts $X_t$ at $\mathcal N(x_0, \sigma_t^2)$, and the way on to $x_1$ has density $\mathcal N(x_1; X_t, \bar\sigma_t^2)$.
# Multiply the two as functions of $X_t$ and complete the square: precisions add, so
#
# $$X_t \mid x_0, x_1 \;\sim\; \mathcal N\!\left(\frac{\bar\sigma_t^2\, x_0 + \sigma_t^2\, x_1}{S},\;
# \frac{\sigma_t^2\,\bar\sigma_t^2}{S}\right). \tag{1}$$
#
# With constant $\beta = \sigma^2$ the mean is the straight line $(1-t)x_0 + t x_1$ and the variance is
# $\sigma^2 t(1-t)$: no noise at the ends, most half-way.
#
# Conditioning a diffusion on its end adds the gradient of the log-probability of getting there (Doob's
# $h$-transform). From $x$ at time $t$ that is $\beta_t \nabla_x \log \mathcal N(x_1; x, \bar\sigma_t^2)$, so the bridge
# has the drift
#
# $$b(x, t \mid x_1) = \beta_t\, \frac{x_1 - x}{\bar\sigma_t^2}. \tag{2}$$
#
# It steers harder the less time is left. Note the direction: towards $x_1$. (At $t = 1$ it is $0/0$. No network should
# ever be asked there.)
#
# ## From many bridges to one process
#
# At test time $x_1$ is unknown. Replace (2) by its average over all bridges that pass through $x$ at time $t$:
#
# $$b^*(x, t) = \mathbb E\!\left[\,b(X_t, t \mid X_1) \mid X_t = x\right]
# = \beta_t\, \frac{\mathbb E[X_1 \mid X_t = x] - x}{\bar\sigma_t^2}. \tag{3}$$
#
# The process $\mathrm dX = b^*(X, t)\,\mathrm dt + \sqrt{\beta_t}\,\mathrm dW$ is no longer a bridge, but at every single
# time it has the same distribution as the mixture of bridges {cite}`peluchetti2023,shi2023dsbm`. *Why?* The density $p_t$
# of the mixture obeys the Fokker–Planck equation of each bridge, averaged over pairs,
#
# $$\partial_t p_t = -\nabla\!\cdot\!\Big(\int b(x,t\mid x_1)\, p_t(x, x_1)\,\mathrm dx_1\Big) + \tfrac{\beta_t}{2}\Delta p_t
# = -\nabla\!\cdot\!\big(b^*(x,t)\,p_t(x)\big) + \tfrac{\beta_t}{2}\Delta p_t ,$$
#
# and the last form is the Fokker–Planck equation of the averaged process. In particular it ends in the distribution of
# the targets.
#
# An average is what squared error learns. So draw a pair, a time and a point of its bridge, and regress. Regressing on
# $x_1$ itself rather than on the drift is the same problem with a bounded target:
#
# $$L(\theta) = \mathbb E_{(x_0, x_1),\, t,\, X_t}\left\| f_\theta(X_t, t, x_0) - x_1 \right\|^2 . \tag{4}$$
#
# The network is also given $x_0$. Why this is not a detail but the heart of the matter is the subject of
# [a section below](#what-the-process-remembers).
#
# That is the whole training algorithm. Here it is without the package, and a check that the package does the same.


# %%
def loss_by_hand(method, x0, x1, rng):
    t = 0.001 + 0.998 * torch.rand(len(x0), generator=rng)  # away from the ends
    mean = (1 - t)[:, None] * x0 + t[:, None] * x1  # (B, E)
    noise = torch.randn(x0.shape, generator=rng)
    x = mean + method.reference.sigma * (t * (1 - t)).sqrt()[:, None] * noise
    _, guess = method.ends(x, t, x0)  # the network's E[X₁ | X_t = x, x0]
    return (guess - x1).square().mean()


def bridge(pairs, seed=0, **changes):
    """The chapter's bridge, built but not trained."""
    arguments = {
        "shape": (pairs.source.shape[1],),
        "width": 64,
        "depth": 0,
        "sigma": 0.1,
        "dropout": 0.5,
        "scale": 0.2,
    }
    torch.manual_seed(seed)
    return BridgeMatching(**arguments | changes)


method, batch = bridge(train).eval(), train.batch(range(64))
ours = loss_by_hand(method, batch["source"], batch["target"], generator(1))
theirs = method.loss(batch, generator(1))["loss"]
assert torch.allclose(ours, theirs)
say(
    f"Untrained, both give a squared error of {ours:.4f} per edge, which is that of copying rest."
)

# %% [markdown]
# ## From a process to samples
#
# **Euler–Maruyama.** The obvious way: freeze the drift for a short time $h$,
#
# $$X_{t+h} = X_t + h\, b^*(X_t, t) + \sqrt{\beta_t h}\; z, \qquad z \sim \mathcal N(0, I). \tag{5}$$
#
# **Exact posterior step.** If the end were known, the bridge could be sampled over a step of *any* size without error.
# Use (1) with the bridge restarted in $X_s$ at time $s$, and put the network's current estimate $\hat x_1$ for the end:
#
# $$X_t \mid X_s \sim \mathcal N\!\left(\frac{\bar\sigma_t^2 X_s + (\bar\sigma_s^2 - \bar\sigma_t^2)\,\hat x_1}{\bar\sigma_s^2},\;
# \frac{(\bar\sigma_s^2 - \bar\sigma_t^2)\,\bar\sigma_t^2}{\bar\sigma_s^2}\right). \tag{6}$$
#
# At $t = 1$ the variance is zero and the step returns $\hat x_1$: nothing can blow up. This is the sampler of I²SB
# {cite}`liu2023i2sb`.
#
# **Probability-flow ODE.** Run time backwards and the same reasoning gives a backward drift towards $x_0$. The velocity
# that moves the same densities without noise is half the difference of the two:
#
# $$v(x, t) = \tfrac12\left(\beta_t\,\frac{\hat x_1 - x}{\bar\sigma_t^2} - \beta_t\,\frac{\hat x_0 - x}{\sigma_t^2}\right). \tag{7}$$
#
# Add the two drifts instead and you get $\beta_t \nabla \log p_t$, the score. From a single known $x_0$ an ODE can reach only one
# end, so the sampler takes one noisy posterior step first. Each further step looks twice, as Heun's method does, and so costs two
# calls of the network. (Heun's method itself is unstable near the ends, where (7) is stiff; the sampler solves (7) exactly for
# fixed ends instead, and takes the mean of both looks for them.)
#
# Turn the two knobs below. The drift is exact here (ends $\mathcal N(0,1)$, paired with correlation 0.6), so every error is the
# sampler's.

# %% tags=["hide-input"]
RHO = 0.6


def exact_end(x, t, sigma):
    """E[X₁ | X_t = x] for ends N(0, 1) with correlation RHO."""
    return (
        ((1 - t) * RHO + t)
        / ((1 - t) ** 2 + t**2 + t * (1 - t) * (2 * RHO + sigma**2))
        * x
    )


def simulate(sigma, steps, step, n=3000, seed=0):
    rng, reference = generator(seed), Reference(sigma)
    times = torch.linspace(0, 1, steps + 1)
    path = [torch.randn(n, generator=rng)]
    for s, t in pairwise(times):
        x = path[-1]
        path.append(
            step(
                reference,
                x,
                exact_end(x, s, sigma),
                s,
                t,
                torch.randn(n, generator=rng),
            )
        )
    return times, torch.stack(path)


simulated = {}


def sampled(sigma, steps):
    if (sigma, steps) not in simulated:
        simulated[sigma, steps] = [
            simulate(sigma, steps, step) for step in (euler_step, posterior_step)
        ]
    return simulated[sigma, steps]


def draw_paths(sigma, steps):
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    density = torch.linspace(-4, 4, 200)
    for axes, title, (times, path) in zip(
        figure.subplots(1, 2),
        ("Euler–Maruyama", "exact posterior step"),
        sampled(sigma, steps),
        strict=True,
    ):
        axes.plot(times, path[:, :25], color="tab:blue", lw=0.6, alpha=0.7)
        height = torch.histc(path[-1], 40, -4, 4) / len(path[-1]) * 5
        axes.barh(
            torch.linspace(-3.9, 3.9, 40), height, 0.2, 1.02, color="tab:blue"
        )
        axes.plot(
            1.02 + torch.exp(-(density**2) / 2) / math.sqrt(2 * math.pi),
            density,
            color="black",
            lw=1,
        )
        axes.set(
            title=f"{title}: variance {path[-1].var():.2f}",
            xlabel="time t",
            ylabel="x",
            ylim=(-4, 4),
        )
    return figure


def describe_paths(sigma, steps):
    euler, posterior = (path[-1].var() for _, path in sampled(sigma, steps))
    return (
        f"Sample paths with σ = {sigma} in {steps} steps; the end has variance {euler:.2f} by Euler–Maruyama and "
        f"{posterior:.2f} by posterior steps, where 1 is right."
    )


frames(
    {"σ": [0.1, 1.0, 2.0], "steps": [1, 3, 20]},
    draw_paths,
    describe_paths,
    caption=(
        "Paths (25 of 3000) and the distribution of their ends against the true one (black). Try σ = 2 with few steps: "
        "Euler–Maruyama makes the ends too wide, the posterior step too narrow, because $\\mathbb E[X_1 \\mid X_t]$ has "
        "less variance than $X_1$. One posterior step returns the conditional mean. With small σ nothing matters: the "
        "process is nearly a straight line."
    ),
    start={"σ": 1.0, "steps": 3},
)

# %% [markdown]
# (what-the-process-remembers)=
# ## What the process remembers
#
# Equation (3) averages over all bridges through $x$, *whoever they belong to*. The process gets the distribution of the
# targets right, but it re-pairs the ends. For one-dimensional Gaussian ends the damage has a closed form. If the training
# pairs have correlation $c$, the learned process pairs its ends with correlation
#
# $$c' = \exp\!\left(-\tfrac{\sigma^2}{2} \int_0^1 \frac{\mathrm dt}{1 - \kappa\, t(1-t)}\right), \qquad \kappa = 2 - 2c - \sigma^2 .$$
#
# (Write $\mathbb E[X_1 \mid X_t = x]$ for Gaussians, put it in (3), and integrate the slope of the drift along time.) For
# $\sigma \to 0$ this goes to 1 for every $c$: with little noise *any* pairing, even a random one, becomes the
# order-preserving map. Iterating $c \mapsto c'$ leads to the Schrödinger bridge, another chapter's subject.
#
# The cure is to give the network $x_0$ {cite}`debortoli2023augmented`. Then (3) averages only over bridges that start
# where this one started, and the pairing of the data is kept. Below, small networks are trained with and without $x_0$.


# %%
def gaussian_pairs(correlation, n=3000):
    x0, z = torch.randn(2, n, 1, generator=generator(1))
    return TensorData(
        {
            "source": x0,
            "target": correlation * x0 + math.sqrt(1 - correlation**2) * z,
        }
    )


def learned_coupling(correlation, sigma, given):
    data = gaussian_pairs(correlation)
    torch.manual_seed(0)
    toy = BridgeMatching((1,), 32, 1, sigma, condition_on_source=given)
    fit(
        toy,
        data,
        steps=200,
        batch_size=128,
        lr=5e-3,
        schedule="cosine",
        progress=False,
    )
    x0 = data.tensors["source"]
    x1 = toy.cpu().sample(x0, steps=40, sampler="euler", rng=generator(2))
    return torch.corrcoef(torch.cat([x0, x1], 1).T)[0, 1].item()


# %% tags=["hide-input"]
correlations = torch.linspace(-1, 1, 201)
figure = Figure(figsize=(6.4, 4.0), layout="constrained")
axes = figure.subplots()
misses = {}
for sigma, colour in [(0.3, "tab:orange"), (1.0, "tab:blue"), (2.0, "tab:green")]:
    axes.plot(
        correlations,
        [coupling_after_matching(c, sigma) for c in correlations.tolist()],
        color=colour,
        label=f"law, σ = {sigma}, without $x_0$",
    )
    for c in [-0.8, 0.0, 0.8] if sigma == 1 else [0.0]:
        measured = learned_coupling(c, sigma, given=False)
        misses[sigma, c] = abs(measured - coupling_after_matching(c, sigma))
        axes.plot(c, measured, "o", color=colour)
kept = {c: learned_coupling(c, 1.0, given=True) for c in (-0.8, 0.0, 0.8)}
axes.plot(
    correlations, correlations, color="black", lw=1, ls="--", label="pairing kept"
)
axes.plot(
    list(kept),
    list(kept.values()),
    "s",
    color="black",
    label="trained with $x_0$, σ = 1",
)
axes.set(
    xlabel="correlation of the training pairs",
    ylabel="correlation of the sampled pairs",
    ylim=(-1.05, 1.1),
)
axes.legend(fontsize=8)
worst, worst_kept = max(misses.values()), max(abs(v - c) for c, v in kept.items())
show(
    figure,
    alt=(
        "Correlation of sampled ends against correlation of training pairs. Without the source, three flat curves, high "
        f"for small sigma; trained networks lie within {worst:.2f} of them. With the source, points on the diagonal."
    ),
    caption=(
        "Without $x_0$ the training pairs hardly matter: the curves are nearly flat. Circles are trained networks; they "
        f"miss the law by at most {worst:.2f}. Squares were given $x_0$ and keep the pairing to within {worst_kept:.2f}."
    ),
)
record(coupling_law_miss=worst, coupling_kept_miss=worst_kept)

# %% [markdown]
# So an experiment that compares "trained on true pairs" with "trained on shuffled pairs" shows *no difference* for plain
# bridge matching at small σ, however good or bad the code. For a question about persons, $x_0$ is not optional.
#
# ## The experiment
#
# ### The network, and the rivals
#
# Two hundred subjects with several hundred edges are few. A network that is shown their sources would remember whose target
# belongs to which. So {py:class}`~mmlab.nn.field.LinearStart` splits the work: a *guess* of the target from $x_0$ by ridge regression,
# and a free *correction* from what the state has shown since. The mean over many samples stays near the guess, and the noise serves to sample what the guess cannot know.
#
# This invites the first dull rival: train the guess alone, by *plain regression*, with the same network, steps and
# regularisation, and no diffusion anywhere. The others are the classical ones: copy rest (*identity*), predict the *group
# mean*, add the *mean shift* from rest to motor to everyone, the *shrunk shift* (the mean target plus one constant times the
# person's deviation at rest: two lines of code), and ridge regression, on the target or on the change, with everything
# chosen by cross-validation inside the training set.
#
# ### The measures
#
# *RMSE* per edge. *Demeaned r*: correlation over edges after the training group mean is taken off both sides, so that the
# group mean scores zero. *Identification* {cite}`finn2015`: match each prediction to all test subjects' true matrices, and count how often
# the right person comes first. From prediction to true on raw edges this measure rewards exaggeration, so the table shows the version
# on demeaned edges, averaged over both directions. Chance is 1 %.


# %%
class PlainRegression(BridgeMatching):
    """The dull rival: the same network, trained to guess the target from the source, without any diffusion."""

    def loss(self, batch, rng):
        guess = self.expect(batch["source"])
        return {"loss": (guess - batch["target"]).square().mean()}


def trained(pairs, kind=BridgeMatching, seed=0, **changes):
    method = bridge(pairs, seed, **changes)
    method.__class__ = kind
    history = fit(
        method,
        pairs,
        steps=steps,
        lr=3e-3,
        weight_decay=10.0,
        schedule="cosine",
        ema_decay=0.99,
        seed=seed,
        progress=False,
    )
    return method, history


def draw(method, source, samples=40, steps=10, sampler="posterior"):
    """Samples (K, S, E) for sources (S, E), all in one batch."""
    repeated = source.repeat(samples, 1).to(method.device)
    rng = torch.Generator(method.device).manual_seed(7)
    drawn = method.sample(repeated, steps=steps, sampler=sampler, rng=rng)
    return drawn.cpu().unflatten(0, (samples, len(source)))


measures = {
    "rmse": "RMSE",
    "demeaned_r": "demeaned r",
    "identification_demeaned": "identification",
    "block_demeaned_r": "network blocks",
}
rows, covered, kept_for_figures = [], [], {}
for seed in range(seeds):
    here = (
        world
        if seed == 0
        else rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    )
    train_set, test_set = here.pairs.split(100, seed)
    predictions = baselines(train_set, test_set)
    regression, _ = trained(train_set, PlainRegression, seed)
    predictions["plain regression, same network"] = draw(
        regression, test_set.source, samples=1, steps=1
    )[0]
    method, history = trained(train_set, seed=seed)
    samples = draw(method, test_set.source)
    predictions["bridge matching, one sample"] = samples[0]
    predictions["bridge matching, mean of 40"] = samples.mean(0)
    predictions["attainable from rest"] = here.attainable_for(test_set, draws=32)
    predictions["ceiling"] = here.true_motor[here.indices(test_set)]
    mean = train_set.target.mean(0)
    for name, prediction in predictions.items():
        values = evaluate(
            prediction, test_set.target, mean, test_set.regions.networks
        )
        rows.append(
            {"method": name, "seed": seed}
            | {label: values[key] for key, label in measures.items()}
        )
    covered.append(coverage(samples, test_set.target))
    if seed == 0:
        kept_for_figures = {
            "method": method,
            "history": history,
            "samples": samples,
            "predictions": predictions,
        }
results = pd.DataFrame(rows).set_index(["method", "seed"])
order = list(predictions)
average = results.groupby("method").mean().loc[order]
spread = results.groupby("method").std(ddof=min(1, seeds - 1)).loc[order]
best = {
    label: "lower" if label == "RMSE" else "higher" for label in measures.values()
}
table(
    average,
    f"Test subjects of {seeds} worlds: mean ± standard deviation over worlds. Best competitor in bold; the last two rows are limits.",
    spread=spread,
    best=best,
    reference=["attainable from rest", "ceiling"],
)

# %% tags=["hide-input"]
ours, shift = average.loc["bridge matching, mean of 40"], average.loc["mean shift"]
regress, ridge = (
    average.loc["plain regression, same network"],
    average.loc["ridge on the change"],
)
shares = {
    label: (
        ceiling_share(
            ours[label], shift[label], average.loc["attainable from rest", label]
        ),
        ceiling_share(ours[label], shift[label], average.loc["ceiling", label]),
    )
    for label in ("RMSE", "demeaned r", "identification")
}
gain = results.xs("bridge matching, mean of 40") - results.xs("mean shift")
wins = {
    label: int(((gain[label] < 0) if label == "RMSE" else (gain[label] > 0)).sum())
    for label in shares
}
paired = results.xs("bridge matching, mean of 40") - results.xs(
    "plain regression, same network"
)
say(
    f"""**What the table says.**

- The group mean, which knows nothing about the person, has an RMSE of {average.loc["group mean", "RMSE"]:.3f}, not far from the
  others. Its demeaned r is {average.loc["group mean", "demeaned r"]:.2f} and its identification is chance. That is why those columns are there.
- Bridge matching against the mean shift: RMSE {ours["RMSE"]:.4f} against {shift["RMSE"]:.4f}, better in {wins["RMSE"]} of {seeds} worlds; demeaned r
  {ours["demeaned r"]:.3f} against {shift["demeaned r"]:.3f}, better in {wins["demeaned r"]}; identification {ours["identification"]:.3f} against
  {shift["identification"]:.3f}, better in {wins["identification"]}. That is {shares["RMSE"][0]:.0%}, {shares["demeaned r"][0]:.0%} and {shares["identification"][0]:.0%} of the way from the mean shift to what is
  attainable from rest, and {shares["RMSE"][1]:.0%}, {shares["demeaned r"][1]:.0%} and {shares["identification"][1]:.0%} of the way to the ceiling.
- The same network **without any diffusion** has an RMSE of {regress["RMSE"]:.4f} and a demeaned r of {regress["demeaned r"]:.3f}. Seed by seed the bridge differs
  from it by {paired["RMSE"].mean():+.4f} ± {paired["RMSE"].std(ddof=min(1, seeds - 1)):.4f} in RMSE. Ridge regression on the change has {ridge["RMSE"]:.4f} and {ridge["demeaned r"]:.3f},
  and the shrunk shift, with its one slope, {average.loc["shrunk shift", "RMSE"]:.4f} and {average.loc["shrunk shift", "demeaned r"]:.3f}.
  As a *point prediction*, the bridge is regression by another name: nothing in the diffusion makes its mean better.
- A single sample has a larger RMSE, {average.loc["bridge matching, one sample", "RMSE"]:.3f}, than the mean, as it must: it is a draw, not an average. Showing one sample beside the truth
  makes a lively figure and a worse prediction."""
)
record(
    rmse=results.xs("bridge matching, mean of 40")["RMSE"].tolist(),
    demeaned_r=results.xs("bridge matching, mean of 40")["demeaned r"].tolist(),
    identification=results.xs("bridge matching, mean of 40")[
        "identification"
    ].tolist(),
    mean_shift={
        label: results.xs("mean shift")[label].tolist()
        for label in ("RMSE", "demeaned r", "identification")
    },
    worlds_better_than_mean_shift=wins,
    share_to_attainable={label: share[0] for label, share in shares.items()},
    share_to_ceiling={label: share[1] for label, share in shares.items()},
)

# %% tags=["hide-input"]
history, predictions = kept_for_figures["history"], kept_for_figures["predictions"]
loss = pd.Series(history.values("loss")).rolling(10, min_periods=1).mean()
shift_error, ceiling_error = (
    (predictions[name] - test.target).square().mean().item()
    for name in ("mean shift", "attainable from rest")
)
figure = Figure(figsize=(6.4, 3.2), layout="constrained")
axes = figure.subplots()
axes.semilogy(loss, color="tab:blue", label="bridge matching, training")
axes.axhline(shift_error, color="black", ls="--", lw=1, label="mean shift, test")
axes.axhline(
    ceiling_error, color="black", ls=":", lw=1, label="attainable from rest, test"
)
axes.set(xlabel="step", ylabel="squared error per edge")
axes.legend()
show(
    figure,
    alt=(
        f"Training loss in squared error per edge, falling from {loss.iloc[0]:.3f} to {loss.iloc[-1]:.4f}; dashed lines at "
        f"{shift_error:.4f} for the mean shift and {ceiling_error:.4f} for the attainable."
    ),
    caption=(
        "The loss of (4), in squared error per edge, a unit in which runs can be compared whatever the size of the matrix. It lies below "
        "the lines of the test set because it also counts late times, when the state has nearly shown the target."
    ),
)

# %% tags=["hide-input"]
bridged, networks = predictions["bridge matching, mean of 40"], test.regions
show(
    matrices_figure(
        {
            "rest": test.source[person],
            "motor, true": test.target[person],
            "motor, predicted": bridged[person],
            "predicted − true": bridged[person] - test.target[person],
            "mean of training": train.target.mean(0),
            "true − mean": test.target[person] - train.target.mean(0),
            "predicted − mean": bridged[person] - train.target.mean(0),
            "spread of samples": kept_for_figures["samples"][:, person].std(0),
        },
        test.regions,
    ),
    alt=(
        "Eight matrices of one test subject. Predicted and true motor matrices look the same, and so does the training mean. After the "
        "mean is taken off, the predicted pattern is a paler version of the true one. The spread of samples is even."
    ),
    caption=(
        "Upper row: everything resembles everything. Lower row: with the group mean off, one sees how much of the *person* is in the "
        "prediction. It is paler than the truth, as a conditional mean is."
    ),
)

# %% tags=["hide-input"]
change = bridged - test.source
show(
    connectome_figure(change[person], test.regions, strongest=40),
    alt="Glass brain with the forty edges that the bridge predicts to change most for one test subject.",
    caption="The change that the bridge predicts for this subject. Compare the group's change in the figure further up.",
)

# %% [markdown]
# ### What the diffusion buys: samples, and their price
#
# A regression gives one matrix. A bridge gives as many as we like, and with them an uncertainty. Is it honest? An 80 % interval of the
# samples should contain the true edge 80 % of the time.

# %% tags=["hide-input"]
levels = pd.DataFrame(covered).mean()
say(
    "Nominal and observed coverage of the intervals: "
    + ", ".join(f"{level:.0%} → **{value:.0%}**" for level, value in levels.items())
    + ". The samples are too sure of themselves. The correction has learned its spread from the errors on the *training* subjects, "
    "which are smaller than those on new ones. The third exercise repairs this in two lines."
)
record(coverage={f"{level:.0%}": value for level, value in levels.items()})

# %%
sweep = []
for sampler in ("posterior", "euler", "ode"):
    for count in (1, 2, 5, 10, 20, 50)[: 5 if sampler == "ode" else 6]:
        begun = time.perf_counter()
        drawn = draw(
            kept_for_figures["method"],
            test.source,
            samples=4,
            steps=count,
            sampler=sampler,
        )
        values = evaluate(drawn.mean(0), test.target, train.target.mean(0))
        sweep.append(
            {"sampler": sampler, "calls": network_calls(sampler, count), "demeaned r": values["demeaned_r"],
             "spread": drawn.std(0).mean().item(), "seconds": time.perf_counter() - begun}
        )  # fmt: skip
sweep = pd.DataFrame(sweep)

# %% tags=["hide-input"]
figure = Figure(figsize=(8.2, 3.1), layout="constrained")
for axes, column, label in zip(
    figure.subplots(1, 2),
    ("demeaned r", "spread"),
    ("demeaned r of the mean of 4 samples", "standard deviation of samples"),
    strict=True,
):
    for sampler, part in sweep.groupby("sampler", sort=False):
        axes.semilogx(part["calls"], part[column], "o-", label=sampler, ms=4)
    axes.set(xlabel="network calls", ylabel=label)
axes.legend()
full = sweep[(sweep.sampler == "euler") & (sweep.calls == 50)].iloc[0]
one = sweep[(sweep.sampler == "posterior") & (sweep.calls == 1)].iloc[0]
last = sweep.sort_values("calls").groupby("sampler").last()
show(
    figure,
    alt=(
        "Two panels against the number of network calls, on a log scale, with one line for each sampler. "
        f"With the most calls the demeaned r of the means is {last['demeaned r'].min():.2f} to {last['demeaned r'].max():.2f} "
        f"and the spread of the samples {last['spread'].min():.3f} to {last['spread'].max():.3f}."
    ),
    caption=(
        f"Quality of the mean (left) and spread of the samples (right). One posterior step *is* the regression: its demeaned r is "
        f"{one['demeaned r']:.3f} and its spread {one['spread']:.3f}, where 50 Euler steps have {full['demeaned r']:.3f} and {full['spread']:.3f}. "
        "Steps are for the spread; the mean does not need them."
    ),
)

# %% [markdown]
# ### When is there anything to learn?
#
# In this world the two states are rotated against each other. Without the rotation the same traits show in the same edges, and adding
# the mean shift is nearly optimal. The rotation is the dial that says how much there is to gain.


# %%
def compare(turn):
    """The four predictions of interest in a world with this rotation."""
    if turn == 0.26:  # the world that we have been in
        done = kept_for_figures["predictions"]
        return (
            done | {"bridge matching": done["bridge matching, mean of 40"]},
            train,
            test,
        )
    here = rest_motor_world(
        subjects=subjects, regions=regions, seed=0, reconfiguration=turn
    )
    train_set, test_set = here.pairs.split(100, seed=0)
    method, _ = trained(train_set)
    return (
        {
            "mean shift": mean_shift(train_set, test_set),
            "ridge on the change": change_ridge(train_set, test_set),
            "bridge matching": draw(method, test_set.source, samples=16).mean(0),
            "attainable from rest": here.attainable_for(test_set, draws=16),
        },
        train_set,
        test_set,
    )


dial = []
for turn in (0.0, 0.26, 0.5):
    compared, train_set, test_set = compare(turn)
    for name in (
        "mean shift",
        "ridge on the change",
        "bridge matching",
        "attainable from rest",
    ):
        values = evaluate(compared[name], test_set.target, train_set.target.mean(0))
        dial.append(
            {
                "rotation": turn,
                "method": name,
                "RMSE": values["rmse"],
                "demeaned r": values["demeaned_r"],
            }
        )
dial = pd.DataFrame(dial)

# %% tags=["hide-input"]
figure = Figure(figsize=(8.2, 3.1), layout="constrained")
for axes, column in zip(figure.subplots(1, 2), ("RMSE", "demeaned r"), strict=True):
    for name, part in dial.groupby("method", sort=False):
        axes.plot(
            part["rotation"],
            part[column],
            "o--" if name == "attainable from rest" else "o-",
            label=name,
            ms=4,
        )
    axes.set(xlabel="rotation between the states (radians)", ylabel=column)
axes.legend(fontsize=8)
none = dial[dial.rotation == 0].set_index("method")
most = dial[dial.rotation == 0.5].set_index("method")
show(
    figure,
    alt=(
        f"RMSE and demeaned r against the rotation. At 0 the mean shift has demeaned r {none.loc['mean shift', 'demeaned r']:.2f} and the "
        f"bridge {none.loc['bridge matching', 'demeaned r']:.2f}; at 0.5 they have {most.loc['mean shift', 'demeaned r']:.2f} and {most.loc['bridge matching', 'demeaned r']:.2f}."
    ),
    caption=(
        f"Without rotation the mean shift has a demeaned r of {none.loc['mean shift', 'demeaned r']:.3f} and the bridge {none.loc['bridge matching', 'demeaned r']:.3f}. "
        "The more the brain reconfigures, the more a learned map is worth. Where real brains lie on this axis is an empirical question."
    ),
)

# %% [markdown]
# ## What went wrong in practice
#
# An early public attempt at exactly this task, rest to motor with bridge matching on 400 × 400 matrices, carried several defects at once and still
# printed a falling loss and a handsome figure. None of them is stupid; each is easily made again. Here each is put into our code
# by itself, and its price is measured on the same test subjects. The repaired line is the one used above.
#
# 1. **Shuffled loaders.** Rest and motor came from two loaders, each shuffled on its own, so the "pairs" were of different people.
#    *Repair:* join by subject id ({py:meth}`~mmlab.data.connectome.ConnectomePairs.join`).
# 2. **No time embedding.** The network did not see $t$, so one vector had to serve at the start and at the end of the bridge.
# 3. **Un-squared norm.** The loss was $\lVert\cdot\rVert$, not $\lVert\cdot\rVert^2$. Its minimiser is the geometric median, not the mean that (3) needs; and its
#    value grows with the size of the matrix, so that "a loss of 129" says nothing until divided by 400.
# 4. **A wrong integral of β.** For the triangular schedule, $\sigma_t^2$ was four times too large before $t = ½$: at $t = ½$ training
#    mixed the ends 0.2 to 0.8 instead of half and half.
# 5. **A last step of coefficient 2.** The same schedule in 100 Euler steps: the drift's factor $h\beta_t/\bar\sigma_t^2$ is 1 at $t = 0.98$ and 2 at
#    $t = 0.99$, so the last step jumps past the end by as much as was missing.
# 6. **Colour-mapped input.** The matrices were fed as pictures in a colour map, each stretched to its own range.
# 7. **Subject leakage.** Every validation subject was also in training, in another recording.
#
# The network with a time embedding that the second entry needs for comparison is the plain perceptron, since ours has no version blind to time.


# %%
class UnsquaredNorm(BridgeMatching):
    """Defect 3: the norm of the whole error vector, as in the original."""

    def loss(self, batch, rng):
        x0, x1 = batch["source"], batch["target"]
        t = 0.001 + 0.998 * torch.rand(len(x0), generator=rng, device=x0.device)
        mean, variance = bridge_moments(self.reference, x0, x1, t[:, None])
        x = mean + variance.sqrt() * torch.randn(
            x0.shape, generator=rng, device=x0.device
        )
        return {"loss": (self.ends(x, t, x0)[1] - x1).norm(dim=1).mean()}


@dataclass(frozen=True)
class WrongIntegral(Reference):
    """Defect 4: σ_t² too large by a factor of four up to t = ½; σ̄_t² as it should be."""

    def from_start(self, t):
        right = super().from_start(t)
        return torch.where(t <= 0.5, 4 * right, right)

    def to_end(self, t):
        return super().from_start(1 - t)


def colour_mapped(edges):
    """Defect 6: through the colour map and back to grey, each matrix stretched to its own range."""
    from matplotlib import colormaps

    low, high = edges.amin(1, keepdim=True), edges.amax(1, keepdim=True)
    colours = colormaps["viridis"](
        ((edges - low) / (high - low)).numpy(), bytes=True
    )[..., :3]  # (S, E, 3)
    return torch.from_numpy(colours / 127.5 - 1).float().mean(-1)


def price(prediction, pairs=test, reference=train):
    values = evaluate(prediction, pairs.target, reference.target.mean(0))
    return {label: values[key] for key, label in measures.items() if key in values}


costs = {"as above": price(bridged)}
shuffled = ConnectomePairs(
    train.source, train.target.roll(1, 0), train.subjects, train.regions
)
costs["1 pairs of different people"] = price(
    draw(trained(shuffled)[0], test.source, samples=16, steps=5).mean(0)
)
for name, sees in (
    ("plain perceptron, displacement, sees time", True),
    ("2 the same, blind to time", False),
):
    blind = trained(train, parametrisation="displacement", depth=1, see_time=sees)[
        0
    ]
    costs[name] = price(draw(blind, test.source, samples=16, steps=5).mean(0))
costs["3 un-squared norm"] = price(
    draw(trained(train, UnsquaredNorm)[0], test.source, samples=16, steps=5).mean(0)
)
triangular, _ = trained(train, schedule="triangular")
costs["triangular schedule, done right"] = price(
    draw(triangular, test.source, steps=100, samples=4).mean(0)
)
broken = bridge(train, schedule="triangular")
broken.reference = WrongIntegral(broken.reference.sigma, "triangular")
fit(
    broken,
    train,
    steps=steps,
    lr=3e-3,
    weight_decay=10.0,
    schedule="cosine",
    ema_decay=0.99,
    progress=False,
)
broken.reference = (
    triangular.reference
)  # the original's sampler used other formulas than its training
costs["4 wrong integral of β"] = price(
    draw(broken, test.source, steps=100, samples=4).mean(0)
)
costs["5 Euler, last coefficient 2"] = price(
    draw(triangular, test.source, steps=100, samples=4, sampler="euler").mean(0)
)
coloured = ConnectomePairs(
    *map(colour_mapped, (train.source, train.target)), train.subjects, train.regions
)
painted = draw(
    trained(coloured, scale=0.4)[0], colour_mapped(test.source), samples=16, steps=5
).mean(0)
costs["6 colour-mapped, as decoded"] = price(painted)
costs = pd.DataFrame(costs).T
table(
    costs.drop(columns="network blocks", errors="ignore"),
    "What each defect costs on the test subjects, everything else as above (first world, one seed; mean of 16 samples, 4 for the triangular schedule).",
)

# %% tags=["hide-input"]
t_half = torch.tensor(0.5)
wrong, right = WrongIntegral(1.0, "triangular"), Reference(1.0, "triangular")
weight_wrong, weight_right = (
    bridge_moments(r, torch.zeros(()), torch.ones(()), t_half)[0].item()
    for r in (wrong, right)
)
times = torch.tensor([0.98, 0.99], dtype=torch.float64)
coefficients = (0.01 * right.beta(times) / right.to_end(times)).tolist()
schedule, done = (
    Reference(triangular.reference.sigma, "triangular"),
    torch.zeros(4000),
)
missed, rng = torch.zeros(4000), generator(4)
for s, t in pairwise(torch.linspace(0, 1, 101)):
    missed = euler_step(
        schedule, missed, done, s, t, torch.randn(4000, generator=rng) * (t < 1)
    )
say(
    f"""**Reading the table.**

- *Pairs of different people*: demeaned r falls from {costs.loc["as above", "demeaned r"]:.2f} to
  {costs.loc["1 pairs of different people", "demeaned r"]:.2f}. What is left is not learned: our network starts as a copy of $x_0$ and unlearns it slowly. And an RMSE of
  {costs.loc["1 pairs of different people", "RMSE"]:.3f} still looks better than the group mean's {average.loc["group mean", "RMSE"]:.3f}. A loss curve cannot show this defect.
- *Blind to time*: demeaned r {costs.loc["2 the same, blind to time", "demeaned r"]:.3f} instead of {costs.loc["plain perceptron, displacement, sees time", "demeaned r"]:.3f}.
- *Un-squared norm*: RMSE {costs.loc["3 un-squared norm", "RMSE"]:.4f} against {costs.loc["as above", "RMSE"]:.4f}. For errors that are nearly Gaussian, mean and geometric median almost agree,
  so the price here is small. The first exercise shows a case where it is not.
- *Wrong integral*: at $t = ½$ training put the weight {weight_wrong:.2f} on $x_1$ where {weight_right:.2f} is right. The mean of the samples has a demeaned r of
  {costs.loc["4 wrong integral of β", "demeaned r"]:.3f}; because the network guesses from $x_0$ at every time, the wrong schedule hardly reaches the mean.
- *Last step*: the coefficients are {coefficients[0]:.2f} and {coefficients[1]:.2f}. What was missing before the last step is missing after it, on the other
  side: with a *known* end the path misses it by {missed.std():.4f}, where a bridge misses by 0. At σ = {triangular.reference.sigma} that is too small to see
  in the table. It grows in proportion to σ.
- *Colour map*: RMSE {costs.loc["6 colour-mapped, as decoded", "RMSE"]:.2f}: each picture was stretched to its own range, so nobody can say any more how large a correlation was."""
)
record(
    defects={
        name: {key: round(value, 4) for key, value in row.items()}
        for name, row in costs.to_dict("index").items()
    }
)

# %% [markdown]
# The seventh defect changes no line of the method. It changes who is in the test set. Give every training subject a second motor scan, put
# the scans of one person on both sides of the split, and look how good the method suddenly is.


# %%
def scan(truth, frames, seed):
    """A new scan of these subjects: correlations of Gaussian frames with the true correlations."""
    roots = torch.linalg.cholesky(matrices(truth.double()))  # (S, N, N)
    series = (
        torch.randn(
            len(truth),
            frames,
            roots.shape[-1],
            generator=generator(seed),
            dtype=torch.float64,
        )
        @ roots.mT
    )
    return torch.stack(
        [edges(torch.corrcoef(frames_of_one.T)) for frames_of_one in series]
    ).float()


first_scans, others = (
    world.pairs.subset(range(100)),
    world.pairs.subset(range(100, 200)),
)
later = ConnectomePairs(
    first_scans.source,
    scan(world.true_motor[:100], 284, seed=5),
    first_scans.subjects,
    first_scans.regions,
)
leaky = trained(first_scans)[0]
apparent = price(draw(leaky, later.source).mean(0), later, first_scans)
honest = price(draw(leaky, others.source).mean(0), others, first_scans)
say(
    f"Tested on *another scan of the training subjects*, the bridge has a demeaned r of **{apparent['demeaned r']:.2f}** and identifies "
    f"{apparent['identification']:.0%} of people. On *new people* the same weights reach **{honest['demeaned r']:.2f}** and {honest['identification']:.0%}. "
    "The difference is memory, not prediction."
)
record(leakage={"apparent": apparent["demeaned r"], "honest": honest["demeaned r"]})

# %% [markdown]
# ## On real people
#
# The synthetic world shows what the method can do. Whether there is anything to gain in real brains is another matter. The
# package reads parcellated time series, the Neuromatch layout, and two prepared sets ([how](../book/how_to/data.md)). The
# page [Measured on real data](../book/measured.md) holds the cross-validated comparison: half a rest scan to the other half
# in 30 people, and pain watched passively to pain regulated in 32. With so few people the bridge is level with the shrunk shift on
# both, no better. A method with a diffusion in it, and a line with one slope, know the same about a person's change.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer and says in one sentence what is right or wrong with it. On this page nothing is
# filled in. The solutions are folded, and were run with the page.
#
# ```{exercise} The wrong centre (compute)
# :label: bm-median
#
# A target is 0 with probability 0.7 and 1 with probability 0.3, and the source tells nothing. What does a network learn that minimises
# $\mathbb E|f - x_1|$, and what with $\mathbb E(f - x_1)^2$? What would a bridge trained with the first loss sample?
# ```

# %% tags=["stub:centres"]
from mmlab.exercises.bridge_matching import check_centres

best_for_absolute_error = ...
best_for_squared_error = ...

check_centres((best_for_absolute_error, best_for_squared_error))

# %% [markdown]
# ```{solution-start} bm-median
# :class: dropdown
# ```

# %% tags=["solution:centres"]
outcomes = (torch.rand(10_000, generator=generator(1)) < 0.3).float()
candidates = torch.linspace(0, 1, 101)
absolute = (candidates[:, None] - outcomes).abs().mean(1)
squared = (candidates[:, None] - outcomes).square().mean(1)
best_for_absolute_error = candidates[absolute.argmin()]
best_for_squared_error = candidates[squared.argmin()]

check_centres((best_for_absolute_error, best_for_squared_error))

# %% tags=["hide-input"]
say(
    f"The absolute error is least at {best_for_absolute_error:.2f} (the median), "
    f"the squared error at {best_for_squared_error:.2f} (the mean). Drifting "
    f"towards the median, every sample ends near 0: the {outcomes.mean():.0%} of "
    "ones are gone."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The integral that went wrong (code)
# :label: bm-triangular
#
# In the triangular schedule, $\beta_t$ rises in a straight line from 0 to $2\sigma^2$ at $t = ½$ and falls back to 0. Write the mean and the variance (1) of
# its bridge. The ends `x0` and `x1` are of shape (B, E), the times `t` of shape (B, 1), and `sigma` is a number.
# ```

# %% tags=["stub:triangular_moments"]
from mmlab.exercises.bridge_matching import check_triangular_moments


def triangular_moments(x0, x1, t, sigma):
    mean = ...
    variance = ...
    return mean, variance


check_triangular_moments(triangular_moments)

# %% [markdown]
# ```{solution-start} bm-triangular
# :class: dropdown
# ```


# %% tags=["solution:triangular_moments"]
def triangular_moments(x0, x1, t, sigma):
    def from_start(t):  # σ_t², the area under β: a triangle, or all but a triangle
        return sigma**2 * torch.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)

    start, end = from_start(t), from_start(1 - t)  # β is symmetric
    mean = (end * x0 + start * x1) / sigma**2
    variance = start * end / sigma**2
    return mean, variance


check_triangular_moments(triangular_moments)

# %% tags=["hide-input"]
early = torch.tensor([[0.1]])
zero, one = torch.zeros(1, 1), torch.ones(1, 1)
gone, spread_early = triangular_moments(zero, one, early, 1.0)
say(
    f"At $t = {early.item():.1f}$ the bridge has gone {gone.item():.1%} of its "
    f"way, with a variance of {spread_early.item():.4f} $\\sigma^2$. The constant "
    f"schedule has gone {early.item():.0%}, with "
    f"{(early * (1 - early)).item():.4f} $\\sigma^2$."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Honest intervals (think)
# :label: bm-calibration
#
# The samples are too sure of themselves. Widen them about their mean by one factor, chosen so that on *held-out* subjects the 80 %
# interval covers 80 %. Why must these subjects not be the training subjects? Does the factor carry over to the other test subjects? Would a regression
# with one constant spread do worse?
# ```
#
# ```{solution-start} bm-calibration
# :class: dropdown
# ```

# %%
samples, truth = kept_for_figures["samples"], test.target
seen = draw(kept_for_figures["method"], train.source[:50])  # training subjects


def covers(factor, samples, truth):
    centre = samples.mean(0)
    widened = centre + factor * (samples - centre)
    return coverage(widened, truth, levels=[0.8])[0.8]


def best_factor(samples, truth):
    low, high = 1.0, 4.0
    for _ in range(9):  # wider intervals cover more: halve the range
        middle = (low + high) / 2
        if covers(middle, samples, truth) < 0.8:
            low = middle
        else:
            high = middle
    return high


held_out, fresh = (
    (samples[:, part], truth[part]) for part in (slice(50), slice(50, None))
)
factor, from_seen = best_factor(*held_out), best_factor(seen, train.target[:50])

misses = (samples.mean(0) - truth).abs()  # the mean is the regression's guess
constant = np.quantile(misses[:50].numpy(), 0.8)
regression_covers = (misses[50:] < constant).float().mean()

# %% tags=["hide-input"]
before, after = (
    [covers(f, *part) for part in (held_out, fresh)] for f in (1, factor)
)
say(
    f"A factor of {factor:.2f} takes the coverage on 50 held-out subjects from "
    f"{before[0]:.0%} to {after[0]:.0%}, and on the other 50 from {before[1]:.0%} "
    f"to {after[1]:.0%}. A method knows its training subjects, so errors on them "
    f"are smaller: chosen on 50 of those, the factor would be {from_seen:.2f}, and "
    f"would cover {covers(from_seen, *fresh):.0%} of the other 50. A regression "
    f"with one constant spread for all edges, chosen on the held-out subjects, covers "
    f"{regression_covers:.0%}: calibrate the rival before you praise the bridge."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Any grid will do (code)
# :label: bm-grid
#
# Exact steps towards a *known* end reproduce (1) on any grid of times. Write the walk: start in `x0` and take one step (6) towards `x1` for each pair of
# neighbouring `times`, with one row of `noise` each. `reference.to_end(t)` is $\bar\sigma_t^2$. Then compare mean and variance at the last time of the grid
# 0, 0.1, 0.15, 0.9 with (1).
# ```

# %% tags=["stub:walk"]
from mmlab.exercises.bridge_matching import check_walk


def walk(reference, x0, x1, times, noise):
    # One step (6) for each (s, t) of pairwise(times), with its row of noise.
    return ...


check_walk(walk)

# %% [markdown]
# ```{solution-start} bm-grid
# :class: dropdown
# ```


# %% tags=["solution:walk"]
def walk(reference, x0, x1, times, noise):
    x = x0
    for (s, t), z in zip(pairwise(times), noise, strict=True):
        now, then = reference.to_end(s), reference.to_end(t)
        mean = (then * x + (now - then) * x1) / now
        variance = (now - then) * then / now
        x = mean + variance.sqrt() * z
    return x


check_walk(walk)

# %%
reference, times = Reference(0.8), torch.tensor([0.0, 0.1, 0.15, 0.9])
many = torch.randn(len(times) - 1, 50_000, generator=generator(2))
x = walk(reference, torch.zeros(50_000), torch.ones(50_000), times, many)
mean, variance = bridge_moments(
    reference, torch.zeros(()), torch.ones(()), times[-1]
)
say(
    f"Sampled: mean {x.mean():.3f}, variance {x.var():.4f}. "
    f"Formula (1): {mean:.3f} and {variance:.4f}."
)
assert abs(x.var() - variance) < 0.002

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Where is the drift (2) singular, and why does the posterior step not mind?
# At $t = 1$, where $\bar\sigma_t^2$ is 0. The posterior step never divides by the variance at its *end*: the weight of $\hat x_1$ in (6),
# $(\bar\sigma_s^2 - \bar\sigma_t^2)/\bar\sigma_s^2$, lies between 0 and 1, and the last step returns $\hat x_1$ itself.
# ```
#
# ```{dropdown} A network puts out the noise, (x − x₁)/σ̄ₜ, as in I²SB. How do you get the endpoint, and where is it least certain?
# $\hat x_1 = x - \bar\sigma_t\,\hat\varepsilon$. An error of the network counts $\bar\sigma_t$ times: most at the start, hardly at the end.
# ```
#
# ```{dropdown} Without x₀ and with little noise, two networks are trained, one on true pairs, one on shuffled pairs. Which pairs its samples better?
# Neither. As $\sigma \to 0$ both pair the ends in order, whatever the pairs in training were. Only a network that is given $x_0$ can keep a pairing.
# ```
#
# ```{dropdown} Somebody reports a correlation of 0.9 between predicted and true motor matrices. What do you ask for?
# The same number for the group mean and for the mean shift, on people who were not in training; and a measure on which the group mean scores nothing, such
# as demeaned $r$ or identification.
# ```
#
# ## Limits, and what to read next
#
# - The world is Gaussian and its traits act almost linearly, so linear regression is as good as anything. A bridge earns its cost where the target
#   given the source has several modes; there the mean is no member of the population. Connectivity has not been shown to be such a case.
# - Sampled edges need not form a correlation matrix: nothing in (1) to (7) knows of positive definiteness. {py:func}`~mmlab.metrics.connectome.evaluate` reports the violation,
#   and {py:func}`~mmlab.metrics.correlation_geometry.project_to_correlation` repairs it.
# - One rotation for everybody is generous. Real reconfiguration differs between people.
# - The choices of network, penalty and steps were made on three other worlds (seeds 10 to 12), not on those in the table.
#
# Read {cite:t}`peluchetti2023` and {cite:t}`shi2023dsbm` for the theory and for iterating towards the Schrödinger bridge, {cite:t}`liu2023i2sb` for the image
# version and its sampler, {cite:t}`debortoli2023augmented` for the pairing, {cite:t}`zhou2024ddbm` for the strongest paired translator of images, and
# {cite:t}`yoo2022c2c` for the linear model that any of them has to beat on connectomes.

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
# # Inside the U-Net
#
# **Which parts of the network earn their place, and how would you know?**
#
# Where the methods of this part meet images, the package hands them a U-Net {cite}`ronneberger2015unet`. The prototype that this book grew out of used one
# too. Its network was never told the time, and its authors wished for two things: time embeddings, and attention. Such wishes are easy to grant. It is harder to find out
# what they change, since a nicer picture may come from a longer training, a luckier seed, or more parameters.
#
# So this chapter takes the prototype's home task, grey digits to coloured digits, where the *best possible* network can be written down. Then it takes
# away the parts one by one. Which of them are missed? For one of them we can work out in advance what it is worth.
#
# **After this chapter you can**
#
# - name the parts of a U-Net and say what each is for;
# - write down the perfect network of a task whose right answers are known, and measure a trained one by it;
# - work out in advance what a clock is worth to a network, from the noise alone;
# - take parts away one by one, and say which differences a few seeds can decide.
#
# You need {doc}`bridge_matching`, above all its section on the source $x_0$ as an input. Reading takes half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of every training
digits: int = 120  # test digits

# %% tags=["hide-input"]
import functools
import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import mmlab
from mmlab import fit, generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.seeds import over_seeds
from mmlab.data.worlds.coloured_digits_world import (
    coloured_digits_world,
    paint,
    saturation,
)
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import BridgeMatching, posterior_step
from mmlab.nn.time import sinusoidal_embedding
from mmlab.nn.unet import LARGEST_ATTENTION, ResidualBlock2d, UNet
from mmlab.viz import (
    claim,
    claimed,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.theme import lines as lines_over_seeds
from mmlab.viz.theme import use_theme

steps = steps or {"cpu": 64, "gpu": 1500}[profile]
use_theme()
SIGMA, SAMPLING, SIDE = 1.0, 16, 8
HUES = torch.arange(48) / 48


# %% [markdown]
# ## The idea in one picture
#
# To colour a pixel you need to know two things: what stands *here*, sharply, and what colour the *whole* digit is to get. A stack of convolutions at full resolution sees
# the first and is slow to see the second. So a U-Net halves the resolution once or more, where a small filter covers much of the image, and comes back up. What
# got lost on the way down is handed across by *skip connections*. The picture is drawn from the network itself.


# %%
def unet(source=True, **parts):
    """The network of this chapter: two levels, 8 x 8 and 4 x 4 pixels."""
    inputs, outputs = (6, 3) if source else (3, 6)
    return UNet(inputs, outputs, width=16, multipliers=(1, 2), blocks=1, **parts)


# %% tags=["hide-input"]
def anatomy(network, side):
    """Name, channels and side of the output of every layer, in the order of the pass."""
    found, hooks = [], []
    layers = [("first", network.first), *[("down", part) for part in network.down],
              ("middle", network.middle1), ("attention", network.attention), ("middle", network.middle2),
              *[("up", part) for part in network.up], ("last", network.last)]  # fmt: skip
    for name, layer in layers:

        def look(layer, _, out, name=name):
            found.append((name, type(layer).__name__, out.shape[1], out.shape[2]))

        hooks.append(layer.register_forward_hook(look))
    with torch.no_grad():
        network(torch.zeros(1, 6, side, side), torch.zeros(1))
    for hook in hooks:
        hook.remove()
    return found


found = anatomy(unet(), SIDE)
colours = {"Conv2d": "0.8", "ResidualBlock2d": "C0", "SelfAttention2d": "C1"}  # fmt: skip
figure = Figure(figsize=(5.6, 3.4))
axes = figure.subplots()
stack = []
for i, (name, kind, channels, side) in enumerate(found):
    height = {SIDE: 1.0, SIDE // 2: 0.0}[side]
    tall = 0.32 + 0.012 * channels
    axes.add_patch(Rectangle((i - 0.36, height - tall / 2), 0.72, tall, color=colours[kind], alpha=0.75))  # fmt: skip
    axes.text(i, height, str(channels), ha="center", va="center", fontsize=9)
    if i + 1 < len(found):
        below = {SIDE: 1.0, SIDE // 2: 0.0}[found[i + 1][3]]
        axes.annotate("", (i + 0.62, below), (i + 0.38, height), arrowprops={"arrowstyle": "-|>", "color": "0.4"})  # fmt: skip
    if name in ("first", "down"):
        stack.append((i, height))
    elif name == "up" and kind == "ResidualBlock2d":
        j, from_height = stack.pop()
        arch = {"arrowstyle": "-|>", "color": "C2", "connectionstyle": "arc3,rad=-0.3"}  # fmt: skip
        axes.annotate(
            "", (i, height + 0.3), (j, from_height + 0.3), arrowprops=arch
        )
for label, kind in {"convolution": "Conv2d", "residual block (told the time)": "ResidualBlock2d", "attention": "SelfAttention2d"}.items():  # fmt: skip
    axes.add_patch(Rectangle((0, 0), 0, 0, color=colours[kind], alpha=0.75, label=label))  # fmt: skip
axes.plot([], [], color="C2", label="skip connection")
axes.set(xlim=(-0.8, len(found) - 0.2), ylim=(-0.5, 2.35), xlabel="layers, in order",
         yticks=[0, 1], yticklabels=[f"{SIDE // 2} × {SIDE // 2}", f"{SIDE} × {SIDE}"], ylabel="pixels", xticks=[])  # fmt: skip
axes.legend(fontsize=8.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
show(
    figure,
    alt=(
        f"A row of {len(found)} boxes: from {SIDE} by {SIDE} pixels down to {SIDE // 2} by {SIDE // 2}, with attention in the middle, and up again. Green "
        "arches lead from each box on the way down to one on the way up."
    ),
    caption="The network of this chapter; numbers are channels. Each block on the way up sees the block before it and, through a green arch, one from the way down.",
    label="anatomy",
)

# %% [markdown]
# ## A task with a known best answer
#
# The source $x_0$ is a grey digit, three equal channels. The target $x_1$ is the same digit at full saturation in a hue that was drawn at random
# ({py:func}`~mmlab.data.worlds.coloured_digits_world.coloured_digits_world`, from the digits that come with scikit-learn {cite}`alpaydin1998digits`). Nobody can know the hue. The right answers to one digit form
# a *circle*, $c_h(x_0)$ with $h$ from 0 to 1, and all its points are equally probable.
#
# That makes the network's task solvable by hand. It is to give $\mathbb E[X_1 \mid X_t = x, x_0]$. The bridge from $x_0$ to $c_h$ is at time $t$ normal around
# $(1-t)x_0 + t\,c_h$ with variance $\sigma^2 t(1-t)$, so Bayes' rule weighs the hues:
#
# $$\mathbb E[X_1 \mid x, x_0] = \int_0^1 w_h\, c_h(x_0)\,\mathrm dh, \qquad
# w_h \propto \exp\!\Big(-\frac{\lVert x - (1-t)x_0 - t\,c_h(x_0)\rVert^2}{2\sigma^2 t(1-t)}\Big). \tag{1}$$
#
# At the start the weights are equal and the answer is the mean of all hues: the digit, half as bright, in grey. As soon as noise favours a hue, the weights follow it, and so does the path.
# A sampler that uses (1) is the *perfect network*. Its error is the ceiling, and the distance of a trained network from it is a measure without any noise of the task.


# %%
def answers(grey):
    """All right answers to grey images (B, H, W): (B, hues, 3, H, W)."""
    count = len(HUES)
    every = paint(grey.repeat_interleave(count, 0), HUES.repeat(len(grey)))
    return every.unflatten(0, (len(grey), count))


def perfect(x, x0, t=None):
    """Eq. (1), and the expected time; without t, for a network that is blind to it."""
    right = answers(x0[:, 0])
    way, moved = (right - x0[:, None]).flatten(2), (x - x0).flatten(1)
    times = torch.linspace(0.0025, 0.9975, 200) if t is None else t.view(1)
    variance = SIGMA**2 * times * (1 - times)
    square = (
        moved.square().sum(1)[:, None, None]
        - 2 * times * torch.einsum("bkd,bd->bk", way, moved)[..., None]
        + times**2 * way.square().sum(2)[..., None]
    )  # (B, hues, times)
    surprise = square / (2 * variance) + moved.shape[1] / 2 * variance.log()
    weight = (-surprise).flatten(1).softmax(1).view_as(square)
    mean = torch.einsum("bk,bkchw->bchw", weight.sum(2), right)
    return mean, weight.sum(1) @ times


def walk(source, target, seed):
    """Carry sources along the bridge, with this function for E[X₁ | x, t]."""
    rng, x = generator(seed), source
    for s, t in pairwise(torch.linspace(0, 1, SAMPLING + 1)):
        noise = torch.randn(x.shape, generator=rng)
        x = posterior_step(Reference(SIGMA), x, target(x, s.clamp_min(1e-3)), s, t, noise)  # fmt: skip
    return x


world = coloured_digits_world(test=digits)
test = world.test.tensors
grey, truth = test["source"], test["target"]
ideal = [walk(grey, lambda x, t: perfect(x, grey, t)[0], seed) for seed in range(seeds)]  # fmt: skip


# %% tags=["hide-input"]
def gallery(rows, count=8, height=0.56):
    """Rows of images, each with its name."""
    figure = Figure(figsize=(5.6, height * len(rows) + 0.1))
    grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, (name, images) in zip(grid, rows.items(), strict=True):
        strip = torch.cat([framed(image) for image in images[:count]], dim=2)
        axes.imshow(strip.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def framed(image):
    return torch.nn.functional.pad(image, (1, 1, 1, 1), value=1.0)


show(
    gallery({"source": grey, "drawn target": truth, "mean answer": grey / 2,
             "perfect, once": ideal[0], "perfect, again": ideal[-1]}),
    alt="Five rows of eight digits: grey, coloured as drawn, grey at half brightness, and twice coloured by the perfect network, in other hues than drawn.",
    caption="Neither row of the perfect network hits the drawn hues: nobody can. A least-squares regression gives the third row, the right answer to a wrong question.",
)  # fmt: skip

# %% [markdown]
# ## How a network is told the time
#
# A number is a poor input for a network with hundreds of channels. It is first spread out into $D$ numbers, all of them waves {cite}`vaswani2017attention,ho2020ddpm`,
#
# $$\varphi(t) = \big(\cos \omega_1 \tau,\, \dots,\, \cos \omega_{D/2}\tau,\; \sin \omega_1 \tau,\, \dots,\, \sin\omega_{D/2}\tau\big), \qquad \tau = 1000\,t,\quad \omega_j = 10000^{-\frac{j-1}{D/2-1}}, \tag{2}$$
#
# and two linear layers make a vector $e(t)$ of it. Each residual block turns this vector into a gain and an offset for every channel {cite}`perez2018film`, placed after the
# normalisation {cite}`wu2018group`, which takes out what the channels of a group have in common, and so would blunt an offset that came before it:
#
# $$h \leftarrow h \odot (1 + \gamma(e)) + \beta(e). \tag{3}$$
#
# The factor of 1000 is a detail on which implementations stumble. The waves were made for the positions of words, and for steps numbered from 1 to 1000. A network that works with $t$ between 0 and 1 and
# forgets to stretch it is given slow waves only, in which neighbouring times hardly differ.

# %% tags=["hide-input"]
moments = torch.tensor([0.40, 0.41])
apart = torch.rand(2, 2000, generator=generator(3))
unrelated = sinusoidal_embedding(apart.flatten(), 64, scale=1000.0).unflatten(
    0, (2, 2000)
)
unrelated = float((unrelated[0] - unrelated[1]).norm(dim=1).mean()) / 32**0.5
told = {s: sinusoidal_embedding(moments, 64, scale=s).diff(dim=0).norm() / 32**0.5 for s in (1.0, 1000.0)}  # fmt: skip
say(
    f"""The embeddings of two times a hundredth apart, 64 waves wide, differ by {told[1000.0]:.2f} of their length with the stretch and by {told[1.0]:.4f} without it. (Two random times differ by {unrelated:.2f}, with the stretch: many of the waves are too slow to turn between them.)"""
)

# %% [markdown]
# ### Does it have to be told?
#
# Look at the noise in $x_t$. Its variance $v = \sigma^2 t(1-t)$ says how late it is, and a network sees *all* values of the image at once. A variance that is estimated from $d$ values has a relative error of
# $\sqrt{2/d}$. Divide by the slope of $v$, and get the error of the time that can be read from noise alone:
#
# $$\operatorname{sd}(\hat t) \approx \sqrt{\tfrac 2d}\; \frac{v}{|\mathrm dv/\mathrm dt|} = \sqrt{\tfrac 2d}\;\frac{t(1-t)}{|1 - 2t|}. \tag{4}$$
#
# The image is a clock, and the more values it has, the more exactly it runs. But like a clock without a.m. and p.m. it shows the same at $t$ and $1-t$; only the colour, which grows in proportion to $t$, tells the two apart. And at half time, where the noise turns round, it stands still.
# In diffusion models the noise only grows, and there it was found that denoisers can do with no time at all, or lose little {cite}`sun2025noise`, and that it depends on what they predict {cite}`sahraee2026geometry`.
#
# Here we need not believe it. A perfect network without a clock weighs hues *and times* in (1), with all times equally probable. (With two unknowns the factor $v^{-d/2}$ of the normal density no longer cancels.) Let us see how far it is from the one with a clock.
# One more question decides the answer: *what the network has to predict*. If it is the endpoint, time only sharpens a guess. If it is the drift $(x_1 - x)/(1-t)$, the network must know
# $1-t$ to scale its answer. With the weight of $1-t$ on the squared error, which {doc}`bridge_matching` needs to keep it finite, the least squares drift of a blind network is
#
# $$b^\star(x) = \frac{\mathbb E[X_1 \mid x, x_0] - x}{\mathbb E[1 - t \mid x, x_0]}. \tag{5}$$

# %%
TIMES = torch.tensor([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


def states(t, seed=5):
    noise = torch.randn(grey.shape, generator=generator(seed))
    return (1 - t) * grey + t * truth + SIGMA * (t * (1 - t)).sqrt() * noise


def rms(values):
    return float(values.square().mean().sqrt())


blind = []
for t in TIMES:
    x = states(t)
    best = perfect(x, grey, t)[0]
    guess, when = perfect(x, grey)
    left = (1 - when).view(-1, 1, 1, 1)  # E[1 - t | x]
    blind.append(
        {
            "endpoint": rms(guess - best),
            "drift": rms(x + (1 - t) / left * (guess - x) - best),  # Eq. (5)
            "time": rms(when - t),
            "noise": (2 / (3 * SIDE**2)) ** 0.5 * float(t * (1 - t) / (1 - 2 * t).abs().clamp_min(1e-3)),
            "error": rms(best - truth),
        }
    )  # fmt: skip
blind = pd.DataFrame(blind, index=TIMES.tolist())

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 6.0))
left_axes, right_axes = figure.subplots(2, 1)
left_axes.plot(blind.index, blind["time"], "o-", label="perfect blind network")
left_axes.plot(blind.index, blind["noise"].clip(upper=0.2), "--", color="0.5", label="from the noise alone, (4)")  # fmt: skip
left_axes.set(xlabel="time t", ylabel="error of the time read off", ylim=(0, 0.1))
right_axes.plot(blind.index, blind["error"], color="black", label="what even the perfect network errs")  # fmt: skip
right_axes.plot(blind.index, blind["drift"], "s-", color="C1", label="added by blindness: drift")  # fmt: skip
right_axes.plot(blind.index, blind["endpoint"], "o-", label="added by blindness: endpoint")  # fmt: skip
right_axes.set(xlabel="time t", ylabel="RMS error of the endpoint", ylim=(0, None))  # fmt: skip
for axes in (left_axes, right_axes):
    axes.legend(fontsize=9)
show(
    figure,
    alt=(
        f"Above: the time is read with an error of {blind['time'].iloc[0]:.3f} at the ends, where formula (4) agrees, and of up to {blind['time'].max():.3f} between, where the formula first runs below and then leaves the frame. Below: the perfect network's own "
        f"error falls from {blind['error'].iloc[0]:.2f} to {blind['error'].iloc[-1]:.2f}; blindness adds at most {blind['endpoint'].max():.3f} for the endpoint and {blind['drift'].max():.3f} for the drift."
    ),
    caption=(
        f"**Above:** how well an image of {3 * SIDE**2} values tells the time: near the ends as (4) says; towards the middle first above it, since $t$ and $1-t$ are confused, and at half time below it, where (4) has no bound and the colour tells the time. **Below:** what blindness to time adds for a perfect network, "
        "beside what it errs in any case. These are closed forms: nothing was trained."
    ),
    label="clock",
)
worst = {kind: blind[kind].idxmax() for kind in ("endpoint", "drift")}
say(
    f"""So before any training we know what a time embedding is worth to a *perfect* network. If it predicts the endpoint, blindness adds at most **{blind["endpoint"].max():.3f}** in RMS error, at t = {worst["endpoint"]:.1f}, where it errs by {blind["error"][worst["endpoint"]]:.3f} anyway.
If it predicts the drift, up to **{blind["drift"].max():.3f}**, at t = {worst["drift"]:.1f}, where it errs by {blind["error"][worst["drift"]]:.3f} anyway. The two errors add in squares. *Whether a network must be told the time depends on what it is asked for.* A trained network is not perfect, and may use a clock in other ways; below, trained networks get their say."""
)

# %% [markdown]
# ## Attention
#
# In the middle of the network the pixels are tokens. Each asks all others a question $q$ of $C$ numbers, compares it with their keys $k$, and takes the mean of their values $v$ {cite}`vaswani2017attention`:
#
# $$y_i = \sum_{j=1}^{T} \frac{e^{q_i \cdot k_j/\sqrt{C}}}{\sum_l e^{q_i\cdot k_l/\sqrt C}}\; v_j. \tag{6}$$
#
# So all parts of an image may agree, in one step, on what none of them can know alone: here, the hue. The price is a map of $T \times T$ numbers. In the prototype $T$ was ten thousand, as its 400 × 400 matrices were halved twice only; the first exercise asks what
# its map weighs. That is why {py:class}`~mmlab.nn.unet.UNet` refuses attention over more pixels than a certain number.
#
# But is it the only road from one corner to another? Halving the resolution widens every filter, and group normalisation takes means over the *whole image* in each block. So every pixel reaches every other in any case; how much of a message such a road carries is another question, which the table below has to answer.

# %% tags=["hide-input"]
torch.manual_seed(0)
spread_out = {}
for name, attention in (("with attention", True), ("without", False)):
    network = UNet(
        3, 3, width=16, multipliers=(1, 2), blocks=1, attention=attention
    )
    for weight in network.parameters():
        if not weight.any():  # the layers that start at zero would hide everything
            torch.nn.init.normal_(weight, std=0.05)
    image = torch.rand(1, 3, SIDE, SIDE, requires_grad=True)
    network(image, torch.full((1,), 0.5))[0, :, 0, 0].sum().backward()
    spread_out[name] = float((image.grad.abs().sum(1) > 0).float().mean())
parts = {
    name: sum(p.numel() for p in part.parameters()) for name, part in
    {"time": unet().time, "attention": unet().attention, "all": unet()}.items()
}  # fmt: skip
modulation = sum(p.numel() for m in unet().modules() if isinstance(m, ResidualBlock2d) for p in m.modulation.parameters())  # fmt: skip
say(
    f"""Of all pixels that come in, {spread_out["with attention"]:.0%} move the one that goes out in the corner with attention, and {spread_out["without"]:.0%} without. Of the network's {parts["all"]:,} parameters, attention holds {parts["attention"]:,}. The time is dearer:
{parts["time"] + modulation:,}, for the embedding, and for what scales and shifts the channels in each block. Attention in this network works on {(SIDE // 2) ** 2} tokens, and the limit is {LARGEST_ATTENTION}."""
)

# %% [markdown]
# ## Taking parts away
#
# Five networks, each trained anew with every seed, for the same number of steps, on the same batches:
#
# - *everything*: bridge matching with the plain endpoint as output, not the book's default, whose inputs are scaled by what the time is known to be; the network sees $x_t$, $x_0$ and $t$;
# - *without time*: it is told that it is always 0;
# - *without attention*: the middle keeps its two blocks;
# - *without skip connections*: zeros come through the green arches. No change to the network's code is needed for that; PyTorch lets a hook change what a block is given;
# - *without the source*: the network sees $x_t$ and $t$ only. The bridge still starts in $x_0$.


# %%
def cut_skips(network):
    """Let zeros come through the skip connections."""
    below = network.middle2.conv2.out_channels
    for layer in network.up:
        if isinstance(layer, ResidualBlock2d):

            def cut(_, inputs, kept=below):
                hidden, condition = inputs
                nothing = torch.zeros_like(hidden[:, kept:])
                return torch.cat([hidden[:, :kept], nothing], dim=1), condition

            layer.register_forward_pre_hook(cut)
            below = layer.conv2.out_channels


def build(source=True, skips=True, **parts):
    """A bridge whose network lacks some parts."""
    method = BridgeMatching(
        (3, SIDE, SIDE),
        16,
        1,
        SIGMA,
        parametrisation="endpoint",
        condition_on_source=source,
        scale=0.5,
    )
    method.network = unet(source, **parts)
    if not skips:
        cut_skips(method.network)
    return method


PARTS = {
    "everything": {},
    "without time": {"time_conditioning": False},
    "without attention": {"attention": False},
    "without skip connections": {"skips": False},
    "without the source": {"source": False},
}


def train(name, seed):
    torch.manual_seed(seed)
    method = build(**PARTS[name])
    fit(
        method,
        world.pairs,
        steps=steps,
        batch_size=24,
        lr=5e-3,
        schedule="cosine",
        ema_decay=0.98,
        seed=seed,
        progress=False,
    )
    return method.cpu()


methods = {(name, seed): train(name, seed) for seed in range(seeds) for name in PARTS}  # fmt: skip
spent = {name: Spent.on(methods[name, 0], steps) for name in PARTS}
spent["one step of everything"] = spent["everything"]

# %% [markdown]
# ### The measures, and the rivals
#
# *To the nearest right answer* is the distance to the circle: the RMS difference between an image and the nearest $c_h(x_0)$. It is the one number to look at. The others say what is wrong: *class kept* is how often a classifier of grey digits reads the right digit in the largest
# channel; *saturation* is 0 for grey and 1 for pure colour; *uneven hues* is the share of images that would have to change their hue so that all twelve sectors were equally full (left out where there is no colour). *RMSE to the drawn one* is what a
# thoughtless table would show. *Excess* is the distance to (1) over all times, for networks.
#
# The rivals: the *identity*; the *mean image* of the training set; *half as bright*, which is the closed form of plain regression; *one step of everything*, the network's own guess at the start, which would be plain regression if it had learned (1).
# Limits are the *perfect network*, and the same without the source. The latter does not know which digit it started from, and has to believe in the training set: in (1) it weighs all training digits in all hues.


# %%
PURE = paint(torch.ones(12, 1, 1), torch.arange(12) / 12)[:, :, 0, 0]  # (K, 3)
DIGITS = world.pairs.tensors["source"][:, 0].flatten(1)  # (N, pixels)


def perfect_without_source(x, t):
    """E[X₁ | X_t = x] where every training digit in every hue is as probable."""
    alike = torch.einsum("bcp,np->bcn", x.flatten(2), DIGITS)
    share = 1 - t + t * PURE  # the mean of a bridge is this times the digit
    square = share.square().sum(1)[:, None] * DIGITS.square().sum(
        1
    ) - 2 * torch.einsum(
        "kc,bcn->bkn", share, alike
    )  # (B, K, N), but for the square of x
    surprise = square / (2 * SIGMA**2 * t * (1 - t))
    weight = (-surprise).flatten(1).softmax(1).view_as(square)
    return torch.einsum("bkn,kc,np->bcp", weight, PURE, DIGITS).view_as(x)


def measure(images):
    distance = (images[:, None] - answers(grey[:, 0])).square().flatten(2).mean(2)
    nearest, hue = distance.min(1)
    shares = torch.histc(hue.float(), 12, 0, len(HUES)) / len(hue)
    colour = float(saturation(images.clamp(0, 1)).mean())
    return {
        "to nearest right answer": float(nearest.mean().sqrt()),
        "class kept": world.kept(images, test["label"]),
        "saturation": colour,
        "uneven hues": float((shares - 1 / 12).abs().sum() / 2) if colour > 0.1 else float("nan"),
        "RMSE to the drawn one": rms(images - truth),
    }  # fmt: skip


KNOWN = [(t, states(t), perfect(states(t), grey, t)[0]) for t in TIMES[::2]]


def excess(method):
    """Distance from Eq. (1) at several times."""
    found = {}
    with torch.no_grad():
        for t, x, best in KNOWN:
            given = method.ends(x, t.expand(len(x)), grey)[1]
            found[float(t)] = rms(given - best)
    return pd.Series(found)


rows, drawn, distances = [], {}, {}
for seed in range(seeds):
    plain = {
        "identity": grey,
        "mean image": world.pairs.tensors["target"].mean(0).expand_as(grey),
        "half as bright": grey / 2,
        "one step of everything": methods["everything", seed].sample(grey, steps=1, rng=generator(seed)),
        "perfect, without the source": walk(grey, perfect_without_source, seed),
        "perfect network": ideal[seed],
    }  # fmt: skip
    for name in PARTS:
        plain[name] = methods[name, seed].sample(
            grey, steps=SAMPLING, rng=generator(seed)
        )
        distances[name, seed] = excess(methods[name, seed])
    for name, images in plain.items():
        row = {"row": name, "seed": seed, **measure(images)}
        if name in PARTS:
            row["excess"] = rms(torch.tensor(distances[name, seed].to_numpy()))
        rows.append(row)
        drawn.setdefault(name, images)
results = pd.DataFrame(rows).set_index(["row", "seed"])

# %%
LIMITS = ["perfect, without the source", "perfect network"]
DULL = ["identity", "mean image", "half as bright", "one step of everything"]
order = [*DULL, *PARTS, *LIMITS]


runs, budgets = over_seeds(results.reset_index(), "row", "seed", order), Budgets("everything", spent)  # fmt: skip
average = runs.mean
columns = average.join(budgets.columns()["parameters"])
table(
    columns,
    f"{digits} test digits, {steps} training steps, {SAMPLING} steps to sample; mean ± standard deviation over {seeds} seeds.",
    spread=runs.spread.reindex(columns=columns.columns),
    best={"to nearest right answer": "lower", "class kept": "higher", "RMSE to the drawn one": "lower", "excess": "lower"},
    reference=LIMITS,
    paired=runs,
    budgets=budgets,
)  # fmt: skip

# %% [markdown]
# **What each part does**, as the distance to the nearest right answer, seed by seed against *everything*:

# %% tags=["hide-input"]
KEY = "to nearest right answer"


def part_by_part(frame, where):
    """What is decided about each part by paired seeds, as a list."""
    lines = [
        claimed(
            f"parts-{where}-{name.replace(' ', '-')}",
            frame.loc[name][KEY],
            frame.loc["everything"][KEY],
            direction="lower",
            better=f"- **{name}** it is nearer than with everything: {{ours}} against {{theirs}}.",
            worse=f"- **{name}** it is further off than with everything: {{ours}} against {{theirs}}.",
            undecided=f"- **{name}** ({{ours}}) and everything ({{theirs}}) cannot be told apart.",
        )
        for name in list(PARTS)[1:]
    ]
    return "\n".join(lines)


say(part_by_part(results, "here"))
claim(
    "source-or-skips-class",
    results.loc["without the source"]["class kept"],
    results.loc["without skip connections"]["class kept"],
    direction="higher",
    unit="%",
    better="The digit suffers less from the missing source than from the missing skip connections: class kept in {ours} against {theirs}.",
    worse="The digit suffers more from the missing source than from the missing skip connections: class kept in {ours} against {theirs}.",
    undecided="Which the digit suffers from more, the missing source (class kept in {ours}) or the missing skip connections ({theirs}), is open.",
)
claim(
    "one-step-or-many",
    results.loc["everything"][KEY],
    results.loc["half as bright"][KEY],
    direction="lower",
    better="*Everything* comes nearer to a right answer ({ours}) than *half as bright*, the closed form of regression ({theirs}).",
    worse="*Half as bright*, the closed form of regression, comes nearer to a right answer ({theirs}) than *everything* ({ours}).",
    undecided="*Everything* ({ours}) and *half as bright*, the closed form of regression ({theirs}), cannot be told apart.",
)
say(
    f"""**The trap.** By RMSE to the drawn colour the row with the lowest mean is *{average.loc[[*DULL, *PARTS], "RMSE to the drawn one"].idxmin()}* ({average["RMSE to the drawn one"].drop(LIMITS).min():.3f}); the perfect network has {average.loc["perfect network", "RMSE to the drawn one"]:.3f}. **The floor of
the hues:** with {digits} images the perfect network has uneven hues of {average.loc["perfect network", "uneven hues"]:.2f}; *everything* has {average.loc["everything", "uneven hues"]:.2f}. **The distance that remains**: so short a training leaves *everything* far from the perfect
network, at {average.loc["everything", KEY]:.3f} against {average.loc["perfect network", KEY]:.3f}."""
)
record(
    **{
        column.lower().replace(" ", "_"): {name: results.xs(name)[column].round(4).tolist() for name in PARTS}
        for column in (KEY, "class kept", "saturation", "excess")
    },
    blind_endpoint=round(float(blind["endpoint"].max()), 4),
    budget=budgets.plain(),
)  # fmt: skip

# %% tags=["hide-input"]
colourful = "saturation"
wrong = {
    name: int((world.read(images[:8]) != test["label"][:8]).sum())
    for name, images in drawn.items()
}
show(
    gallery({"source": grey} | {name: drawn[name] for name in (*PARTS, "one step of everything", *LIMITS)}),
    alt=(
        "Nine rows of eight digits: the sources, the five networks, one step, and two perfect networks, which draw clean digits in one colour each. Saturation: "
        f"{', '.join(f'{name} {average.loc[name, colourful]:.2f}' for name in (*PARTS, 'one step of everything'))}. Read as another digit than the source: "
        f"{', '.join(f'{name} {wrong[name]}' for name in (*PARTS, *LIMITS))}."
    ),
    caption=(
        "The first eight test digits, first seed. The last two rows are closed forms. "
        f"Of these eight, the classifier reads another digit than the source's in {wrong['everything']} of *everything*, {wrong['without the source']} *without the source*, and {wrong['perfect, without the source']} of *perfect, without the source*."
    ),
)  # fmt: skip

# %% [markdown]
# ## Where in time the parts work
#
# The excess over (1) can be looked at time by time.

# %% tags=["hide-input"]
over_time = pd.DataFrame(
    {"network": name, "t": t, "distance from (1)": value}
    for (name, _), curve in distances.items()
    for t, value in curve.items()
)
figure = lines_over_seeds(
    over_time, "t", "distance from (1)", by="network", height=3.8
)
axes = figure.axes[0]
axes.plot(blind.index, blind["endpoint"], "k--", label="perfect, blind")
axes.set(xlabel="time t", ylim=(0, None))
axes.legend(fontsize=9, title="")
mean_excess = {name: float(average.loc[name, "excess"]) for name in PARTS}
show(
    figure,
    alt=f"Distance from the perfect network over time, mean {', '.join(f'{name} {value:.3f}' for name, value in mean_excess.items())}; a dashed line near zero is what blindness adds for a perfect network.",
    caption=f"Mean and 95 % interval over seeds. The dashed line is the least distance that any network without a clock can have. It says nothing about the *difference* between two imperfect networks, which for *without time* and *everything* is {mean_excess['without time'] - mean_excess['everything']:+.3f} on average.",
    label="over-time",
)


# %% tags=["hide-input"]
@functools.cache
def believed(t):
    """States at time t, and the end that the perfect network and three trained ones expect of each."""
    now = torch.tensor(t)
    x = states(now)
    with torch.no_grad():
        seen = {
            name: methods[name, 0].ends(x, now.expand(len(x)), grey)[1]
            for name in ("everything", "without time", "without the source")
        }
    return {"state": x, "perfect": perfect(x, grey, now)[0]} | seen


def draw_time(t):
    return gallery(believed(t))


def colours_at(t):
    return {name: float(saturation(ends.clamp(0, 1)).mean()) for name, ends in believed(t).items()}  # fmt: skip


def describe_time(t):
    _, (_, colour), *others = colours_at(t).items()
    return f"At t = {t} the saturation of the expected end is {colour:.2f} for the perfect network, {', '.join(f'{v:.2f} {n}' for n, v in others)}."


frames(
    {"t": [0.02, 0.1, 0.2, 0.35, 0.5, 0.9]},
    draw_time,
    describe_time,
    caption=(
        f"The state on its way, and what networks believe is at its end. Turn t up from the start: at t = 0.02 the perfect network expects pale colours, with a saturation of {colours_at(0.02)['perfect']:.2f}; then a "
        "hue is decided. Can you see it in the state? In the lowest row, which does not see the source, the digit itself has to be guessed."
    ),
    label="on-the-way",
    start={"t": 0.2},
)

# %% [markdown]
# ## What the source is for
#
# One row of the table has nothing to do with the network's parts, but with what the network is *given*. A bridge without the source must find the digit in $x_t$, and half-way it stands under noise of standard deviation $\sigma/2$
# in every value. The path goes where the network believes, the belief feeds on the path, and an early doubt becomes a late certainty: of another digit. {doc}`bridge_matching` derives this for Gaussians;
# {cite:t}`debortoli2023augmented` give the network the source, so that pairs stay pairs.

# %% tags=["hide-input"]
kept = average["class kept"]
near = torch.cdist(grey[:, 0].flatten(1), DIGITS).argmin(1)
copied = world.kept(DIGITS[near].view(-1, 1, SIDE, SIDE), test["label"])
for rival, tag, words in (
    ("everything", "trained", "the trained networks"),
    (
        "perfect network",
        "perfect",
        "the perfect ones, which no training can improve",
    ),
):
    less = "without the source" if tag == "trained" else "perfect, without the source"  # fmt: skip
    claim(
        f"source-class-{tag}",
        results.loc[less]["class kept"],
        results.loc[rival]["class kept"],
        direction="higher",
        unit="%",
        better=f"Of {words}, the one without the source keeps the class more often: {{ours}} against {{theirs}}.",
        worse=f"Of {words}, the one without the source keeps the class less often: {{ours}} against {{theirs}}.",
        undecided=f"Of {words}, those with the source ({{theirs}}) and without it ({{ours}}) cannot be told apart by the class kept.",
    )
say(
    f"""Where only the judge errs the class is kept in {kept["perfect network"]:.0%}; the training digit that is most like the source would have {copied:.0%}. The pictures of *perfect, without the source* have a saturation of {average.loc["perfect, without the source", "saturation"]:.2f}, and
{1 - kept["perfect, without the source"]:.0%} of them are read as another digit. As long as a network believes in the training set, no training can cure that part: it is not in the input. (Less noise can. With a small σ the state itself remembers the digit.)"""
)

# %% [markdown]
# ## Longer, and on MNIST
#
# So short a training may hide what parts are for. The same rows were trained for longer, and also on MNIST {cite}`lecun1998mnist`, where images are larger and the network has one more level. Read from the file that the benchmark wrote. There *regression, same network* is
# trained for its own purpose, and a drift is learned as well, with and without time, to see whether (5) shows.

# %% tags=["hide-input"]
written = Path(mmlab.__file__).parents[1] / "benchmarks" / "results" / "coloured_digits.json"  # fmt: skip
TITLES = {"digits": "scikit-learn's digits", "mnist": "MNIST, averaged down"}
if not written.exists():
    say("The results are in the repository, not in the installed package: see the page *Measured on real data*.")  # fmt: skip
else:
    measured = json.loads(written.read_text(encoding="utf-8"))
    for title, found in measured["worlds"].items():
        frame = pd.concat({name: pd.DataFrame(row) for name, row in found["rows"].items()})  # fmt: skip
        frame = frame[list(average.columns)].astype(float)
        mean = frame.groupby(level=0, sort=False).mean()
        limits = ["perfect network", "painted in a random hue"]
        rest = [name for name in found["rows"] if name not in limits]
        table_over_seeds(
            frame.rename_axis(["row", "seed"]).reset_index(),
            f"{TITLES[title]}, {found['side']} × {found['side']} pixels, {found['steps']} steps of 32 on {found['images to train on']} images, {found['test']} test images. From `python benchmarks/coloured_digits.py`.",
            by="row",
            order=[*rest, *limits],
            best={"to nearest right answer": "lower", "class kept": "higher", "excess": "lower"},
            reference=limits,
        )  # fmt: skip
        text = f"**{TITLES[title]}.** Distance to the nearest right answer, against *everything*:\n\n{part_by_part(frame, title)}\n\nClass kept with and without the source: {mean.loc['everything', 'class kept']:.0%} and {mean.loc['without the source', 'class kept']:.0%}."
        if "drift as output" in found["rows"]:
            clock = claimed(
                "drift-and-the-clock",
                frame.loc["drift as output"]["excess"],
                frame.loc["drift as output, without time"]["excess"],
                direction="lower",
                better="With the drift as output the excess is {ours} with the time and more without it, {theirs}, as (5) has it.",
                worse="With the drift as output the excess is {ours} with the time and less without it, {theirs}, against (5).",
                undecided="With the drift as output the excess with the time ({ours}) and without it ({theirs}) cannot be told apart.",
            )
            poor = claimed(
                "drift-and-half-as-bright",
                frame.loc["drift as output"][KEY],
                frame.loc["half as bright"][KEY],
                direction="lower",
                better="Its distance to the nearest right answer, {ours}, is less than that of *half as bright*, {theirs}.",
                worse="But its distance to the nearest right answer, {ours}, is more than that of *half as bright*, {theirs}: a poor output in this setting, even with a clock.",
                undecided="Its distance to the nearest right answer ({ours}) and that of *half as bright* ({theirs}) cannot be told apart.",
            )
            text += f" {clock} (With the endpoint: {mean.loc['everything', 'excess']:.3f} and {mean.loc['without time', 'excess']:.3f}.) {poor}"
        say(text)

# %% [markdown]
# ## What goes wrong in practice
#
# - **No clock at all.** The prototype's network was built without its time embedding. Whether that shows in the results depends on what is predicted: see the lists above. A fault that may not show there has to be
#   found by a test: two times in, two different answers out.
# - **A clock that is not wound.** $t$ between 0 and 1 put into waves made for 1 to 1000. The fault is as silent.
# - **Attention where the image is still large.** A map of attention grows with the fourth power of the image's side.
# - **A few pictures as proof.** One row of the gallery may look nicer than another, and with another seed the other way round. One seed proves nothing.
# - **The wrong table.** RMSE to the drawn target prefers grey. Where there are many right answers, measure the distance to the nearest, and the variety apart from it.
#
# ## Exercises
#
# ```{exercise} What a map of attention weighs (compute)
# :label: inside-the-unet-map
#
# One head, one image, float32. (a) How many megabytes ($10^6$ bytes) does the map $T \times T$ take for the prototype's 100 × 100 pixels? (b) By which factor does it grow if the side of the image doubles? (c) What is the largest side of a square image whose map takes no more than 4 MB?
# ```

# %% tags=["stub:map"]
from mmlab.exercises.inside_the_unet import check_map

megabytes, growth, largest_side = ..., ..., ...

check_map((megabytes, growth, largest_side))

# %% [markdown]
# ```{solution-start} inside-the-unet-map
# :class: dropdown
# ```

# %% tags=["solution:map"]
megabytes = (100 * 100) ** 2 * 4 / 1e6
growth = 2**4
largest_side = max(side for side in range(1, 100) if side**4 * 4 <= 4e6)

check_map((megabytes, growth, largest_side))

# %% [markdown]
# And that is one head of one image. Fused attention does not keep the map, but still computes it.
#
# ```{solution-end}
# ```
#
# ```{exercise} The clock in the noise (code)
# :label: inside-the-unet-clock
#
# You are given $r = x_t - (1-t)x_0 - t x_1$ for several images, (B, d): the noise alone. Its time lies in the *second half*. Estimate the variance from each row (its mean is known to be zero), and solve $v = \sigma^2 t(1-t)$ for the time, (B,). If the estimate is larger than any true variance could be, answer one half.
# ```

# %% tags=["stub:clock"]
from mmlab.exercises.inside_the_unet import check_clock


def clock(noise, sigma):
    return ...


check_clock(clock)

# %% [markdown]
# ```{solution-start} inside-the-unet-clock
# :class: dropdown
# ```


# %% tags=["solution:clock"]
def clock(noise, sigma):
    share = noise.square().mean(1) / sigma**2
    return 0.5 + (0.25 - share).clamp_min(0).sqrt()


check_clock(clock)

# %%
sharpness = {}
for values in (192, 2352, 79800):
    noise = SIGMA * (0.9 * 0.1) ** 0.5 * torch.randn(100, values, generator=generator(1))  # fmt: skip
    sharpness[values] = {
        "measured": float(clock(noise, SIGMA).std()),
        "by (4)": (2 / values) ** 0.5 * 0.9 * 0.1 / 0.8,
    }
sharpness = pd.DataFrame.from_dict(sharpness, orient="index").rename_axis("values")
table(sharpness, "Error of the time read from noise at t = 0.9, for a digit, an image of MNIST in colour, and the edges of 400 regions.", digits=4)  # fmt: skip

# %% [markdown]
# σ itself cancels in (4): it is the number of values that counts.
#
# ```{solution-end}
# ```
#
# ```{exercise} A blind drift (think)
# :label: inside-the-unet-drift
#
# By (5), blindness hurts a drift through the scale $1-t$. Where in time is the *relative* error of that scale largest, and why is it bounded near $t = 1$, where the scale itself goes to zero? Think of (4) before you look.
# ```
#
# ```{solution-start} inside-the-unet-drift
# :class: dropdown
# ```

# %%
scales = []
for t in (0.05, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.98):
    now = torch.tensor(t)
    when = perfect(states(now), grey)[1]
    scales.append({"t": t, "relative error": rms((1 - when) / (1 - now) - 1), "by (4)": (2 / (3 * SIDE**2)) ** 0.5 * t / max(abs(1 - 2 * t), 1e-9)})  # fmt: skip
scales = pd.DataFrame(scales).set_index("t")
scales.loc[0.5, "by (4)"] = float("nan")
table(scales, "Relative error of 1 − t for a perfect blind network, and by (4).")  # fmt: skip

# %% [markdown]
# Near the end the noise goes to zero in step with $1-t$, so its estimated size *is* the scale, to within $\sqrt{2/d}$. The trouble is after half time: the noise would be the same at the earlier time $1-t$, when much more was left to go.
#
# ```{solution-end}
# ```
#
# ```{exercise} Where (5) comes from (code)
# :label: inside-the-unet-blind
#
# Given are what a state $x$ may be: ends and times that are equally probable, as `ways` $X_1 - x$, (N, d), and `left`, $1 - t$, (N,). Write the drift $b$, (d,), that minimises the mean of $(1-t)^p\, \lVert b - (X_1 - x)/(1 - t)\rVert^2$ for any power $p$. For which $p$ is it (5)? What does it weigh most for $p = 0$?
# ```

# %% tags=["stub:blind"]
from mmlab.exercises.inside_the_unet import check_blind


def blind_drift(ways, left, power):
    return ...


check_blind(blind_drift)

# %% [markdown]
# ```{solution-start} inside-the-unet-blind
# :class: dropdown
# ```


# %% tags=["solution:blind"]
def blind_drift(ways, left, power):
    drifts = ways / left[:, None]
    weight = left**power
    return (weight[:, None] * drifts).mean(0) / weight.mean()


check_blind(blind_drift)

# %% [markdown]
# A weighted least squares answer is a weighted mean. With $p = 1$ the weight cancels the division, and (5) is left. With $p = 0$ the states near the end count most, since their drifts are the longest.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why can the perfect network be written down here, and not for real images?
# Because given the source, all right answers are known: one for each hue. Then (1) is Bayes' rule over a circle. For real images nobody can list the answers; a training set in their place only remembers itself.
# ```
#
# ```{dropdown} Suppose the network without attention cannot be told from the full one. Does that show that attention is useless?
# No. First, three seeds tell large differences only. Second, in this network, on images this small, there are other roads from corner to corner: halved resolutions and normalisation over the whole image. Where no such road exists, or what has to agree is more than a hue, it may differ.
# ```
#
# ```{dropdown} The network without the source sees the same images and starts in the source. What does it lack?
# A memory. It sees only where the path is now, and noise has covered where it came from.
# ```
#
# ## In five lines
#
# - Where all right answers are known, Bayes' rule is the perfect network, and the distance from it a measure without the noise of the task.
# - An image with many values tells the time by its noise. What that is worth depends on whether the endpoint or the drift is asked for.
# - Attention is one road among several from corner to corner, and the one whose price grows with the fourth power of the side.
# - What a network is given, such as the source, may matter as much as what it is made of. Where many answers are right, measure the distance to the nearest.
# - Three seeds decide large differences. The lists above say which, and leave the others open.
#
# ## Limits, and what to read next
#
# Digits are tiny, the network is small, and the training is short; differences of a hundredth would need more seeds than three. A part may also only be slow to be missed, or slow to be replaced (look at the saturation without skip connections), and the tables do not say what a much longer training would do. What a clock is worth was worked out for a bridge with much noise in many values. In two dimensions, or with next to no noise, as in
# {doc}`flow_matching`, the clock in the image is gone or has to be read from the picture alone. Nothing here speaks against attention at the sizes for which it is used. Next: {doc}`rest_to_motor`, where the networks are plain and the people differ, and {doc}`schrodinger_bridge`, which colours digits without pairs.

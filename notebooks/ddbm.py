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
# # Denoising diffusion bridges
#
# **How much of a strong result is the idea, and how much the engineering around it?**
#
# There are bridges ({doc}`bridge_matching`) and there are diffusions ({doc}`score_diffusion`). *Denoising diffusion bridge
# models* {cite}`zhou2024ddbm`, DDBM for short, are bridges that are trained and sampled with everything that practitioners have
# learned about diffusions: a choice of schedules, a network whose input and output are kept at unit size at all times, and a
# sampler that mixes noise with a second-order solver. On paired images strong results were reported {cite}`zhou2024ddbm`.
#
# **After this chapter you can**
#
# - derive the bridge, its score and its pull from three Gaussian formulas, and recognise the Brownian bridge in one of the two schedules;
# - write the preconditioning of a denoiser from second moments, and measure what it does;
# - derive what a second look does with an error of the network, and measure what it does here;
# - compare samplers at equal calls, over seeds, beside the rivals that have no sampler.
#
# You need both chapters named above. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3  # worlds, and trainings of the small networks
toy_seeds: int = 5  # draws of the samplers with an exact denoiser
steps: int | None = None  # of every training run on the connectomes
toy_steps: int = 140  # of every training run on single numbers
people: int = 2000  # draws in the toy
subjects: int | None = None
regions: int | None = None

# %% tags=["hide-input"]
from itertools import pairwise

import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit, generator
from mmlab.compare.seeds import over_seeds
from mmlab.compare.translation import (
    DIRECTIONS,
    LIMITS,
    TRAINING,
    Trained,
    regression_of,
    translate,
)
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM, Bridge, preconditioning
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import evaluate
from mmlab.viz import claim, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import lines, use_theme

steps = steps or {"cpu": 200, "gpu": 2000}[profile]
regions = regions or {"cpu": 40, "gpu": 160}[profile]
subjects = subjects or {"cpu": 300, "gpu": 600}[profile]
use_theme()

# %% [markdown]
# ## The idea in one picture
#
# Take a diffusion that turns a target $x_0$ into noise. Pin its far end, where the noise would be, to the source $x_T$. What is left of
# the target and of the source, and how much noise there is between them, depends on the diffusion that was bent.

# %% tags=["hide-input"]
clock = torch.linspace(0, 1, 2001, dtype=torch.float64)
figure = Figure(figsize=(5.6, 5.2))
widest = {}
for axes, (name, process) in zip(
    figure.subplots(2, 1, sharex=True),
    {
        "VE: noise only grows": Bridge("ve", 1.0),
        "VP: the data decay, too": Bridge("vp", 1.0),
    }.items(),
    strict=True,
):
    a, b, variance = process.coefficients(clock)
    axes.plot(clock, b, color="C1", label="target, $b_t$")
    axes.plot(clock, a, color="C0", label="source, $a_t$")
    axes.plot(clock, variance.sqrt(), color="black", ls="--", label="noise, $c_t$")
    axes.set(title=name, xlabel="time t (0: target, 1: source)")
    axes.label_outer()
    widest[name[:2]] = float(clock[variance.argmax()])
figure.axes[0].legend(loc="upper center", fontsize=9)
show(
    figure,
    alt=(
        "Two panels of three curves over time. The weight of the target falls from one to zero, that of the source rises from zero to "
        f"one, and the noise is an arch with its top at {widest['VE']:.2f} for VE and {widest['VP']:.2f} for VP."
    ),
    caption=(
        "What a state of the bridge is made of. Noise is zero at both ends, as on every bridge. In the VE bridge it is largest at "
        f"t = {widest['VE']:.2f}, in the VP bridge at t = {widest['VP']:.2f}."
    ),
)

# %% [markdown]
# (Time runs from the target to the source here, as in the paper. In {doc}`bridge_matching` it is the other way round.)
#
# ## Three Gaussian formulas
#
# **The bridge.** The unpinned diffusion has $X_t\mid x_0 \sim \mathcal N(\alpha_t x_0, \sigma_t^2)$ and a signal-to-noise ratio
# $\mathrm{SNR}_t = \alpha_t^2/\sigma_t^2$. Its drift is $f$ and its rate of noise $g^2$: 0 and $2\sigma^2 t$ for VE. The far end is $T = 1$. Given its end as well, it is Gaussian again. Multiply the density of getting to $x$ with that of going on
# from $x$ to $x_T$, and complete the square:
#
# $$X_t = a_t x_T + b_t x_0 + c_t\,\varepsilon, \quad a_t = \frac{\alpha_t}{\alpha_T}\frac{\mathrm{SNR}_T}{\mathrm{SNR}_t}, \quad
# b_t = \alpha_t\Big(1 - \frac{\mathrm{SNR}_T}{\mathrm{SNR}_t}\Big), \quad c_t^2 = \sigma_t^2\Big(1 - \frac{\mathrm{SNR}_T}{\mathrm{SNR}_t}\Big). \tag{1}$$
#
# For VE ($\alpha = 1$, $\sigma_t = \sigma t$) this is $a_t = t^2$, $b_t = 1 - t^2$, $c_t^2 = \sigma^2 t^2(1 - t^2)$. Put $u = t^2$, and it is the Brownian bridge of
# {doc}`bridge_matching`, exactly. A new name and another clock; the first exercise looks into it.
#
# **The score.** As in {doc}`score_diffusion`, the slope of the log-density is known if the denoiser
# $D(x, t, x_T) = \mathbb E[x_0 \mid X_t = x, x_T]$ is:
#
# $$s(x, t, x_T) = \frac{a_t x_T + b_t D - x}{c_t^2}. \tag{2}$$
#
# **The pull.** The process that we run must end in $x_T$, so its drift holds Doob's term, the slope of the log of the chance of getting there:
#
# $$h(x, t, x_T) = \nabla_x \log p(x_T\mid X_t = x) = \frac{(\alpha_T/\alpha_t)^{-1} x_T - x}{\sigma_t^2\,(\mathrm{SNR}_t/\mathrm{SNR}_T - 1)}. \tag{3}$$
#
# ## A network that always sees and says things of size one
#
# Close to the target the state *is* the target; close to the source it says nothing new. A network would have to learn very different things at
# different times. So let it learn only what a straight line cannot do. The linear guess of $x_0$ from $X_t$ with the least error has the slope
# covariance over variance, and leaves a residual of known size. With $\sigma_0, \sigma_T$ the deviations of targets and sources, $\sigma_{0T}$ their covariance, and
# $A_t = a^2\sigma_T^2 + b^2\sigma_0^2 + 2ab\,\sigma_{0T} + c^2$ the variance of the state,
#
# $$c_\mathrm{in} = A_t^{-1/2}, \qquad c_\mathrm{skip} = \frac{b\,\sigma_0^2 + a\,\sigma_{0T}}{A_t}, \qquad
# c_\mathrm{out} = \sqrt{\frac{a^2(\sigma_T^2\sigma_0^2 - \sigma_{0T}^2) + \sigma_0^2 c^2}{A_t}}, \tag{4}$$
#
# and $D = c_\mathrm{skip}\,x + c_\mathrm{out}\,F(c_\mathrm{in} x, t, x_T)$. Every time counts alike if the error is measured in units of $c_\mathrm{out}$:
#
# $$L(\theta) = \mathbb E\; \frac{1}{c_\mathrm{out}(t)^2}\left\| D_\theta(X_t, t, x_T) - x_0 \right\|^2 . \tag{5}$$
#
# ## A sampler in two strokes
#
# Going from $t$ to $s < t$, the hybrid sampler first takes a share of the way, the *churn*, with noise: one Euler–Maruyama step of the reverse SDE,
#
# $$\mathrm dX = \left[f - g^2\,(s - h)\right]\mathrm dt + g\,\mathrm d\bar W, \tag{6}$$
#
# and then the rest of the way by Heun's method along the probability flow
#
# $$\mathrm dX = \left[f - g^2\left(\tfrac12 s - h\right)\right]\mathrm dt. \tag{7}$$
#
# [](#figure-network) shows what the network sees, and what becomes of its answer.

# %% tags=["hide-input"]
show(
    in_rows(
        [
            {"state": "state $X_t$", "source": "source $x_T$"},
            {"scaled": "divided by its size, $c_\\mathrm{in}$", "time": "time $t$"},
            {"network": "network $F$"},
            {"denoiser": "$D = c_\\mathrm{skip}\\, X_t + c_\\mathrm{out}\\, F$"},
            {"score": "score, (2)", "pull": "pull, (3)"},
            {"noise": "noisy stroke, (6)", "flow": "flow, (7), two looks"},
        ],
        [
            ("state", "scaled"), ("scaled", "network"), ("time", "network"), ("source", "network"), ("network", "denoiser"),
            ("denoiser", "score"), ("score", "noise"), ("score", "flow"), ("pull", "noise"), ("pull", "flow"),
        ],
        trained=["network"],
    ),
    alt=(
        "Boxes joined by arrows. State, time and source go into the network; the denoiser adds its answer to the state; from it comes the score, "
        "and score and pull drive a noisy stroke and a flow."
    ),
    caption="One step of DDBM as published. Blue is trained. The skip, on which the state itself enters the denoiser beside the network's answer, is not drawn.",
    label="network",
)  # fmt: skip

# %% [markdown]
# Why noise at all, if the flow has the right densities? Because the flow starts in *one point*, the source. A flow is a map: one source,
# one answer. All variety has to come from noise: the draw with which the sampler leaves the source, and the churn. (A churn of 0 leaves out both.) Turn the knobs: here the denoiser is exact, and each source has two
# equally likely targets.

# %% tags=["hide-input"]
PEAKS, WIDTH = torch.tensor([-1.0, 1.0], dtype=torch.float64), 0.15


class TwoAnswers(DDBM):
    """The exact denoiser for targets in two peaks, whatever the source."""

    def denoise(self, x, t, source):
        a, b, variance = (value[:, None] for value in self.bridge.coefficients(t))
        total = b**2 * WIDTH**2 + variance
        left = x - a * source
        weight = torch.softmax(-((left - b * PEAKS) ** 2) / (2 * total), dim=1)
        means = PEAKS + b * WIDTH**2 / total * (left - b * PEAKS)
        return (weight * means).sum(1, keepdim=True)


def toy_samples(churn, count):
    method = TwoAnswers((1,), 8, 1, "ve", 1.0).double()
    source = torch.full((people, 1), 0.3, dtype=torch.float64)
    return method.sample(source, steps=count, churn=churn, rng=generator())[:, 0]


def two_peak_distance(samples):
    """1-Wasserstein distance to as many draws of the true mixture: sorted samples against sorted samples."""
    draw = torch.randn(
        2, len(samples) // 2, generator=generator(5), dtype=torch.float64
    )
    truth = (PEAKS[:, None] + WIDTH * draw).flatten().sort().values
    return float((samples.sort().values - truth).abs().mean())


TOY = {
    (churn, count): toy_samples(churn, count)
    for churn in (0.0, 0.33, 0.8)
    for count in (3, 10, 40)
}


ALONE = {count: two_peak_distance(toy_samples(1e-9, count)) for count in (40, 200)}


def draw_toy(churn, steps):
    figure = Figure(figsize=(5.6, 2.8))
    axes = figure.subplots()
    axes.hist(
        TOY[churn, steps],
        80,
        range=(-1.8, 1.8),
        density=True,
        color="C0",
        alpha=0.6,
    )
    line = torch.linspace(-1.8, 1.8, 300, dtype=torch.float64)
    height = torch.exp(-((line[:, None] - PEAKS) ** 2) / (2 * WIDTH**2)).mean(1)
    axes.plot(line, height / (WIDTH * (2 * torch.pi) ** 0.5), color="black", lw=1)
    axes.set(xlabel="target", ylabel="density", ylim=(0, 3))
    return figure


def describe_toy(churn, steps):
    return (
        f"With a churn of {churn} and {steps} steps the distance between samples and truth is "
        f"{two_peak_distance(TOY[churn, steps]):.2f}."
    )


frames(
    {"churn": [0.0, 0.33, 0.8], "steps": [3, 10, 40]},
    draw_toy,
    describe_toy,
    caption=(
        "One source, two equally likely targets (black). Without churn all samples fall on one point: at "
        + ", ".join(
            f"{float(TOY[0.0, count].mean()):.2f} with {count} steps"
            for count in (3, 10, 40)
        )
        + ". Which point it is depends on the steps, and nothing makes it a target or the mean, which is 0. Any noise splits them: with the draw at the start alone "
        + f"(a churn of 10⁻⁹) the distance is {ALONE[40]:.2f} with 40 steps and {ALONE[200]:.2f} with 200."
    ),
    start={"churn": 0.33, "steps": 10},
    label="churn",
)

# %% [markdown]
# ## Which pieces carry their weight?
#
# Two experiments with known answers. First the sampler: with the exact denoiser, how close do samples come for a given number of network
# calls? The rivals are Euler–Maruyama alone, and the *exact posterior step* of {doc}`bridge_matching`, applied to the same denoiser. The hybrid sampler is
# written out as well, so that we can leave out its second look. Each walks on a grid of its own: the hybrid as in the package, Euler–Maruyama evenly in $t$, the posterior step evenly in $t^2$; no grid was searched for.


# %%
def velocity(method, x, t, source):
    """Right side of (7)."""
    half = method.score(x, t, source) / 2 - method.bridge.grad_log_h(x, source, t)
    return method.bridge.drift(x, t) - method.bridge.diffusion_squared(t) * half


def with_noise(method, x, t, s, source, rng):
    """One Euler–Maruyama step of (6) from t to s."""
    bent = method.score(x, t, source) - method.bridge.grad_log_h(x, source, t)
    rate = method.bridge.diffusion_squared(t)
    noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    x = x + (s - t) * (method.bridge.drift(x, t) - rate * bent)
    return x + (rate * (t - s)).sqrt() * noise


@torch.no_grad()
def hybrid(method, source, calls, rng, second_look=True, churn=0.33):
    """The sampler of the package; three calls a step, or two without the second look, and two more at the ends."""
    count = max((calls - 2) // (3 if second_look else 2), 1)
    ramp = torch.linspace(1, 0, count + 1, dtype=source.dtype)
    times = 1e-3 + (1 - 2e-3) * ramp**1.5
    a, b, variance = method.bridge.coefficients(times[0])
    x = a * source + b * method.denoise(
        source, times[0].expand(len(source)), source
    )
    x = x + variance.sqrt() * torch.randn(x.shape, generator=rng, dtype=x.dtype)
    for t, s in pairwise(times):
        middle = t + churn * (s - t)
        x = with_noise(method, x, t, middle, source, rng)
        first = velocity(method, x, middle, source)
        ahead = x + (s - middle) * first
        if second_look:  # Heun: the mean of the velocities at both ends of the step
            second = velocity(method, ahead, s, source)
            ahead = x + (s - middle) * (first + second) / 2
        x = ahead
    return method.denoise(x, times[-1].expand(len(x)), source)


@torch.no_grad()
def by_euler(method, source, calls, rng):
    """Reverse SDE alone: one call per step, and one at the end."""
    times = torch.linspace(1 - 1e-3, 1e-3, calls, dtype=source.dtype)
    x = source
    for t, s in pairwise(times):
        x = with_noise(method, x, t, s, source, rng)
    return method.denoise(x, times[-1].expand(len(x)), source)


@torch.no_grad()
def by_posterior(method, source, calls, rng):
    """Exact steps of the VE bridge for a fixed clean sample: one call per step. In the clock u = t² it is a Brownian bridge."""
    clock = torch.linspace(1, 0, calls + 1, dtype=source.dtype)
    x = source
    for u, v in pairwise(clock):
        t = u.sqrt().clamp(1e-3, 1 - 1e-3)
        clean = method.denoise(x, t.expand(len(x)), source)
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        x = (v * x + (u - v) * clean) / u
        x = x + method.bridge.sigma * (v * (u - v) / u).sqrt() * noise
    return x


SAMPLERS = {
    "hybrid": hybrid,
    "hybrid, no second look": lambda *given: hybrid(*given, second_look=False),
    "Euler–Maruyama": by_euler,
    "posterior": by_posterior,
}
CALLS = (5, 8, 17, 32, 62)
toy = TwoAnswers((1,), 8, 1, "ve", 1.0).double()
start = torch.full((people, 1), 0.3, dtype=torch.float64)
ours = hybrid(toy, start[:50], 17, generator(3))
assert torch.allclose(
    ours, toy.sample(start[:50], steps=5, rng=generator(3)), atol=1e-6
)
race = pd.DataFrame(
    {"sampler": name, "calls": calls, "seed": seed,
     "W1": two_peak_distance(sampler(toy, start, calls, generator(20 + seed))[:, 0])}
    for seed in range(toy_seeds)
    for calls in CALLS
    for name, sampler in SAMPLERS.items()
)  # fmt: skip

# %% tags=["hide-input"]
means = race.groupby(["sampler", "calls"], sort=False)["W1"].agg(["mean"])
members = torch.randint(2, (5, people), generator=generator(8))
fresh = PEAKS[members] + WIDTH * torch.randn(
    5, people, generator=generator(9), dtype=torch.float64
)
floor = sum(two_peak_distance(draw) for draw in fresh) / 5
figure = lines(
    race, "calls", "W1", by="sampler", log_x=True, references={"fresh truth": floor}
)
figure.axes[0].set(
    xlabel="network calls", ylabel="distance to the truth, W1", yscale="log"
)
listed = {
    calls: ", ".join(
        f"{name} {means.loc[(name, calls), 'mean']:.3f}" for name in SAMPLERS
    )
    for calls in (5, 62)
}
show(
    figure,
    alt=(
        "Distance to the truth against network calls for four samplers, with both axes logarithmic. "
        f"At 5 calls: {listed[5]}. At 62 calls: {listed[62]}."
    ),
    caption=(
        f"The exact denoiser, four samplers, mean and 95 % interval over {toy_seeds} seeds. At 5 calls: {listed[5]}. At 62 calls: {listed[62]}. "
        f"That many draws from the truth itself are at {floor:.3f} (dashed): no sampler can be told from the truth below that."
    ),
    label="race",
)

# %% tags=["hide-input"]
distances = {
    (name, calls): part.set_index("seed")["W1"]
    for (name, calls), part in race.groupby(["sampler", "calls"])
}
for calls in (5, 17, 62):
    for rival in ("Euler–Maruyama", "posterior"):
        claim(
            f"hybrid-{calls}-{rival[:5].lower()}",
            distances["hybrid", calls],
            distances[rival, calls],
            direction="lower",
            better=f"- {calls} calls: the hybrid sampler is nearer to the truth than {rival}, {{ours}} against {{theirs}}.",
            worse=f"- {calls} calls: {rival} is nearer to the truth than the hybrid sampler, {{theirs}} against {{ours}}.",
            undecided=f"- {calls} calls: the hybrid sampler ({{ours}}) and {rival} ({{theirs}}) cannot be told apart.",
        )
overall = race.groupby(["sampler", "seed"])["W1"].mean()
claim(
    "w1-at-equal-calls-vs-euler-maruyama",
    overall["hybrid"],
    overall["Euler–Maruyama"],
    direction="lower",
    better="- On average over all numbers of calls the hybrid sampler is nearer to the truth than Euler–Maruyama, {ours} against {theirs}.",
    worse="- On average over all numbers of calls Euler–Maruyama is nearer to the truth than the hybrid sampler, {theirs} against {ours}: with an exact denoiser the published order does not show.",
    undecided="- On average over all numbers of calls the hybrid sampler ({ours}) and Euler–Maruyama ({theirs}) cannot be told apart.",
)
few = race[race.calls > CALLS[0]].groupby("sampler")["W1"].mean()
say(
    f"(Without the {CALLS[0]} calls, the means over the other numbers are {few['hybrid']:.3f} for the hybrid sampler and {few['Euler–Maruyama']:.3f} for Euler–Maruyama.)"
)
record(
    w1_at_equal_calls=race[race.sampler == "hybrid"]["W1"].tolist(),
    euler_maruyama={
        "W1 at equal calls": race[race.sampler == "Euler–Maruyama"]["W1"].tolist()
    },
)

# %% [markdown]
# Second, the preconditioning: the same small network, the same steps, with and without it, at two learning rates. The pairs are one number each, and the best possible denoiser
# is known, so we can measure how far the trained one is from it. Is it more than a matter of units? A third row divides what goes in by the size of the data,
# and multiplies what comes out. A fourth is what this package does by default: regress targets on sources first, and precondition what is left. (These pairs are Gaussian, so that the fourth has nearly the exact denoiser before its network has learned
# anything. It shows what the regression is worth where a line is right.)


# %%
class Published(DDBM):
    """Preconditioning (4) with the three moments of the data, and no regression before it."""

    def start_from(self, dataset):
        pass


class Bare(DDBM):
    """Without preconditioning: the network predicts the clean sample itself, and every time has the same weight."""

    size = 1.0

    def denoise(self, x, t, source):
        return (
            self.size
            * self.network(torch.stack([x, source], 1) / self.size, t)[:, 0]
        )

    def loss(self, batch, rng):
        t = 1e-3 + (1 - 2e-3) * torch.rand(len(batch["source"]), generator=rng)
        a, b, variance = (value[:, None] for value in self.bridge.coefficients(t))
        noise = torch.randn(batch["source"].shape, generator=rng)
        x = a * batch["source"] + b * batch["target"] + variance.sqrt() * noise
        return {
            "loss": (self.denoise(x, t, batch["source"]) - batch["target"])
            .square()
            .mean()
        }


class Divided(Bare):
    """The same, in units of the data."""

    size = 3.0


def excess(method, count=4000):
    """Root mean squared distance from the best denoiser, over times: pairs x_0 = 0.8 x_T + 0.6 z in units of 3."""
    rng = generator(99)
    source, z, noise = 3 * torch.randn(3, count, 1, generator=rng)
    t = 1e-3 + (1 - 2e-3) * torch.rand(count, generator=rng)
    a, b, variance = (value[:, None] for value in method.bridge.coefficients(t))
    x = a * source + b * (0.8 * source + 0.6 * z) + variance.sqrt() * noise / 3
    gain = b * 9 * 0.36 / (b**2 * 9 * 0.36 + variance)
    exact = 0.8 * source + gain * (x - a * source - b * 0.8 * source)
    with torch.no_grad():
        return float((method.denoise(x, t, source) - exact).square().mean().sqrt())


KINDS = {
    "preconditioning (4)": Published,
    "without": Bare,
    "without, in units of the data": Divided,
    "regression first": DDBM,
}
toy_training = {
    "steps": toy_steps, "batch_size": 128, "schedule": "cosine", "progress": False,
}  # fmt: skip
TOY_RATES = (3e-3, 1e-2)
ablation = []
for seed in range(seeds):
    source, z = 3 * torch.randn(2, 4000, 1, generator=generator(seed))
    data = TensorData({"source": source, "target": 0.8 * source + 0.6 * z})
    for name, kind in KINDS.items():
        for rate in TOY_RATES:
            torch.manual_seed(seed)
            method = kind((1,), 32, 1, "ve", 1.0, 3.0, 3.0, 0.8 * 9)
            fit(method, data, seed=seed, lr=rate, **toy_training)
            row = {"denoiser": f"{name}, {rate:g}", "seed": seed}
            ablation.append(row | {"distance": excess(method)})
ablation = pd.DataFrame(ablation)
table_over_seeds(
    ablation,
    "Distance of the trained denoiser from the best possible one (root mean square, data of size 3). The number after a name is the learning rate.",
    by="denoiser",
    best={"distance": "lower"},
)

# %% tags=["hide-input"]
small = over_seeds(ablation, "denoiser")
for tag, rate in zip(("slow", "fast"), TOY_RATES, strict=True):
    for name, rival in (
        ("without", "without"),
        ("units", "without, in units of the data"),
        ("regression", "regression first"),
    ):
        claim(
            f"preconditioning-{tag}-{name}",
            small.of(f"preconditioning (4), {rate:g}", "distance"),
            small.of(f"{rival}, {rate:g}", "distance"),
            direction="lower",
            better=f"- At a rate of {rate:g} the preconditioning (4) is better than *{rival}*: {{ours}} against {{theirs}}.",
            worse=f"- At a rate of {rate:g} the preconditioning (4) is worse than *{rival}*: {{ours}} against {{theirs}}.",
            undecided=f"- At a rate of {rate:g} the preconditioning (4), {{ours}}, and *{rival}*, {{theirs}}, cannot be told apart.",
        )
record(excess_error=small.mean["distance"].to_dict())

# %% [markdown]
# ## The experiment: rest to motor
#
# Data, measures and rivals are those of {doc}`bridge_matching`, and so is the start by ridge regression: DDBM preconditions what it leaves open, as in the fourth row above.
# The VE bridge is the Brownian bridge with another clock; what differs from bridge matching is at which times it trains and how it samples. The rival without
# any process is the same network trained as plain regression. With as few pairs as here the network is shown the state only, never the source; so without a process it can add to
# the ridge only what is the same for everybody. *Posterior* is the VE network of the row above it, sampled by posterior steps at the same
# number of calls.

# %%
worlds = {
    seed: rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    for seed in range(seeds)
}
EDGES = worlds[0].pairs.source.shape[1]
training = TRAINING | {"steps": steps}


def ddbm(seed, schedule="ve"):
    return DDBM((EDGES,), 64, 0, schedule, 0.1, dropout=0.5)


def drawn(method, source, sampler, calls, seed, samples=10):
    """Samples (K, S, E) by one of the samplers above."""
    repeated = source.repeat(samples, 1)
    with method.linear.hold(repeated):  # the regression once, not at every call
        made = SAMPLERS[sampler](method, repeated, calls, generator(700 + seed))
    return made.unflatten(0, (samples, len(source)))


ve = Trained(ddbm, training, samples=10, steps=10)
rivals = {
    "plain regression, same network": Trained(
        lambda seed: regression_of(ddbm(seed)), training, samples=1
    ),
    "bridge matching": Trained(
        lambda seed: BridgeMatching((EDGES,), 64, 0, 0.1, dropout=0.5, scale=0.2),
        training, samples=10, steps=32,
    ),
    "DDBM-VP": Trained(lambda seed: ddbm(seed, "vp"), training, samples=10, steps=10),
    "DDBM-VE": ve,
    "posterior": lambda train, source, seed: drawn(
        ve.methods[seed].cpu(), source, "posterior", 32, seed
    ),
}  # fmt: skip
found = translate(rivals, worlds, test_size=subjects // 3, draws=16)
table_over_seeds(
    found.scores,
    "Test people of all worlds; 32 network calls for each sample. The last two rows are limits.",
    over="world",
    best=DIRECTIONS,
    reference=LIMITS,
    budgets=found.budgets("DDBM-VE, mean of 10"),
    ceiling="ceiling",
)

# %% [markdown]
# **What the table says**, with the same people on both sides. A mean of ten samples is taxed by their spread, in RMSE and in demeaned r; the tax is taken off at the end of the list, for RMSE:

# %% tags=["hide-input"]
OURS, BRIDGE = "DDBM-VE, mean of 10", "bridge matching, mean of 10"
PLAIN = "plain regression, same network"
for measure, better_if in DIRECTIONS.items():
    for short, rival in (
        ("bridge matching", BRIDGE),
        (
            "plain regression with the same network",
            "plain regression, same network",
        ),
        ("ridge on the change", "ridge on the change"),
        ("the shrunk shift", "shrunk shift"),
        ("DDBM-VP", "DDBM-VP, mean of 10"),
    ):
        slug = f"{measure} {rival.split(',')[0]}".lower().replace(" ", "-")
        claim(
            f"ddbm-{slug}",
            found.of(OURS, measure),
            found.of(rival, measure),
            direction=better_if,
            called="worlds",
            better=f"- {measure}: DDBM-VE is better than {short}, {{ours}} against {{theirs}}.",
            worse=f"- {measure}: DDBM-VE is worse than {short}, {{ours}} against {{theirs}}.",
            undecided=f"- {measure}: DDBM-VE ({{ours}}) and {short} ({{theirs}}) cannot be told apart.",
        )
limits = {
    name: found.curve(name, (10,)).set_index("world")["RMSE, limit"]
    for name in ("DDBM-VE", "bridge matching")
} | {PLAIN: found.of(PLAIN, "RMSE")}
for name, rival in (("bridge", "bridge matching"), ("plain", PLAIN)):
    claim(
        f"ddbm-limit-{name}",
        limits["DDBM-VE"],
        limits[rival],
        direction="lower",
        called="worlds",
        better=f"- In the limit of infinitely many samples DDBM-VE has a smaller RMSE than {rival}: {{ours}} against {{theirs}}.",
        worse=f"- In the limit of infinitely many samples DDBM-VE has a larger RMSE than {rival}: {{ours}} against {{theirs}}.",
        undecided=f"- In the limit of infinitely many samples the RMSE of DDBM-VE ({{ours}}) and of {rival} ({{theirs}}) cannot be told apart.",
    )
covered = {
    name: [
        coverage(found.samples[name, seed], found.splits[seed][1].target, (0.8,))[
            0.8
        ]
        for seed in worlds
    ]
    for name in ("DDBM-VE", "posterior")
}
for name, values in covered.items():
    claim(
        f"interval-{name.lower()}",
        values,
        0.8,
        direction="higher",
        unit="%",
        called="worlds",
        better=f"- The 80 % intervals of *{name}* hold {{ours}} of the measured edges: they are too wide.",
        worse=f"- The 80 % intervals of *{name}* hold {{ours}} of the measured edges: they are too narrow.",
        undecided=f"- The 80 % intervals of *{name}* hold {{ours}} of the measured edges, which is no clear miss.",
    )
say(
    "Network and number of calls are the same in the last two lines; what differs is the sampler."
)
record(
    rmse=found.of(OURS, "RMSE").tolist(),
    demeaned_r=found.of(OURS, "demeaned r").tolist(),
    bridge_matching={m: found.of(BRIDGE, m).tolist() for m in DIRECTIONS},
    coverage_of_80_percent=covered,
    budget=found.budgets(OURS).plain(),
)

# %% [markdown]
# ### Few calls
#
# The same trained networks, four samplers, at equal numbers of calls. A demeaned r of a mean of few samples rewards narrow samples; so the spread stands beside it.

# %%
budget = []
for seed, (train, test) in found.splits.items():
    asked, group = test.source[:30], train.target.mean(0)
    for calls in (5, 17, 32):
        for name in SAMPLERS:
            made = drawn(ve.methods[seed], asked, name, calls, seed, samples=4)
            values = evaluate(made.mean(0), test.target[:30], group, geometry=False)
            budget.append({"sampler": f"{name}, {calls} calls", "world": seed, "demeaned r": values["demeaned_r"],
                           "spread": made.std(0).mean().item()})  # fmt: skip
budget = pd.DataFrame(budget)
table_over_seeds(
    budget,
    "Mean of four samples of the trained DDBM-VE, by sampler and number of network calls (30 people of each world).",
    by="sampler",
    over="world",
)

# %% tags=["hide-input"]
calls_made = over_seeds(budget, "sampler", over="world")
for calls in (5, 17, 32):
    claim(
        f"second-look-{calls}",
        calls_made.of(f"hybrid, {calls} calls", "demeaned r"),
        calls_made.of(f"hybrid, no second look, {calls} calls", "demeaned r"),
        direction="higher",
        called="worlds",
        better=f"- {calls} calls: the hybrid with its second look is better than without it, demeaned r {{ours}} against {{theirs}}.",
        worse=f"- {calls} calls: the hybrid with its second look is worse than without it, demeaned r {{ours}} against {{theirs}}.",
        undecided=f"- {calls} calls: the hybrid with its second look ({{ours}}) and without it ({{theirs}}) cannot be told apart by demeaned r.",
    )
    claim(
        f"posterior-{calls}",
        calls_made.of(f"posterior, {calls} calls", "demeaned r"),
        calls_made.of(f"hybrid, {calls} calls", "demeaned r"),
        direction="higher",
        called="worlds",
        better=f"- {calls} calls: the posterior step has a higher demeaned r than the hybrid, {{ours}} against {{theirs}}, and a spread of {{one:.3f}} against {{other:.3f}}.",
        worse=f"- {calls} calls: the posterior step has a lower demeaned r than the hybrid, {{ours}} against {{theirs}}, and a spread of {{one:.3f}} against {{other:.3f}}.",
        undecided=f"- {calls} calls: by demeaned r the posterior step ({{ours}}) and the hybrid ({{theirs}}) cannot be told apart; their spread is {{one:.3f}} and {{other:.3f}}.",
        one=calls_made.of(f"posterior, {calls} calls", "spread").mean(),
        other=calls_made.of(f"hybrid, {calls} calls", "spread").mean(),
    )
record(
    demeaned_r_by_calls=calls_made.mean["demeaned r"].to_dict(),
    spread_by_calls=calls_made.mean["spread"].to_dict(),
)

say(
    "Network, flow and churn are the same in both rows of each comparison. A step without Heun's second look, at the far end, costs two calls in place of three, so that as many calls make more of them (a call that is left over is not made): "
    + "; ".join(
        f"{max((calls - 2) // 2, 1)} in place of {max((calls - 2) // 3, 1)} with {calls} calls"
        for calls in (5, 17, 32)
    )
    + "."
)

# %% [markdown]
# The second look is taken at the end of a step, and the last step ends close to $t = 0$. An exercise below derives that a *constant*
# error of the denoiser grows without bound there. But the error of a preconditioned denoiser is not constant. It is $c_\mathrm{out}$ times that of the network, and for small $t$ (4) gives
# $c_\mathrm{out} \approx c_t \approx \sigma t$, which cancels the $t$ in the denominator. What is left of this worry on this page, the comparisons above say.
#
# ## In practice
#
# - **Which end is the source?** The paper's time starts at the target, most bridge papers' at the source. Mixing them up trains the inverse.
# - **Pairs are not optional.** The denoiser is given $x_T$; on unpaired data there is nothing to learn from it.
# - **Count calls, not steps.** A hybrid step costs three calls. Comparisons at equal numbers of steps favour it by that factor.
# - **Read what a score was computed against.** A distance to the *training* images rewards memory.
# - **Measure the three moments** on the training pairs: (4) is derived from them. What wrong ones did here, the last exercise tells. The preconditioning assumes mean zero; centre the data if theirs is far from it.
#
# ## Exercises
#
# ```{exercise} The Brownian bridge in disguise (code)
# :label: ddbm-clock
#
# Write $a_t$, $b_t$ and $c_t^2$ of (1) for VE, with $\sigma_t = \sigma t$ and $\alpha_t = 1$, as a function `coefficients(t, sigma)`, without computing a signal-to-noise ratio.
# ```

# %% tags=["stub:coefficients"]
from mmlab.exercises.ddbm import check_coefficients


def coefficients(t, sigma):
    return ...


check_coefficients(coefficients)

# %% [markdown]
# ```{solution-start} ddbm-clock
# :class: dropdown
# ```


# %% tags=["solution:coefficients"]
def coefficients(t, sigma):
    u = t**2  # the share of the variance that is gathered
    return u, 1 - u, sigma**2 * u * (1 - u)


check_coefficients(coefficients)

# %% [markdown]
# In the clock $u$ the mean is a straight line and the variance $\sigma^2u(1-u)$: the Brownian bridge.
#
# ```{solution-end}
# ```
#
# ```{exercise} The best line (code)
# :label: ddbm-skip
#
# Write $c_\mathrm{skip}$ and $c_\mathrm{out}$ of (4) as `line(a, b, c2, target, source, covariance)`, from the definition: slope = covariance of $x_0$ and $X_t$ over the variance of
# $X_t$; residual = what that line leaves.
# ```

# %% tags=["stub:line"]
from mmlab.exercises.ddbm import check_line


def line(a, b, c2, target, source, covariance):
    return ...


check_line(line)

# %% [markdown]
# ```{solution-start} ddbm-skip
# :class: dropdown
# ```


# %% tags=["solution:line"]
def line(a, b, c2, target, source, covariance):
    total = a**2 * source**2 + b**2 * target**2 + 2 * a * b * covariance + c2
    shared = b * target**2 + a * covariance
    return shared / total, (target**2 - shared**2 / total) ** 0.5


check_line(line)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How large an error becomes (derive)
# :label: ddbm-looks
#
# The denoiser errs by $e$ wherever it is asked. By how much does that move the state in one Heun step of the flow (7), from $t$ to $s < t$, for VE? Give the two parts
# as multiples of $e$: that of the look at $t$, and that of the look at $s$ (at the place where the exact flow is).
# ```

# %% tags=["stub:looks"]
from mmlab.exercises.ddbm import check_looks


def looks(t, s):
    first = ...
    second = ...
    return first, second


check_looks(looks)

# %% [markdown]
# ```{solution-start} ddbm-looks
# :class: dropdown
# ```
#
# In (7) the denoiser stands in $-g^2\cdot\tfrac12\cdot\frac{b_t D}{c_t^2}$. For VE that is $-\sigma^2 t\,\frac{(1-t^2)}{\sigma^2t^2(1-t^2)} D = -D/t$. A step goes back by $t - s$, and each look has half of the say.


# %% tags=["solution:looks"]
def looks(t, s):
    first = (t - s) / (2 * t)
    second = (t - s) / (2 * s)
    return first, second


check_looks(looks)

# %% tags=["hide-input"]
say(
    "In the last step of a hybrid sampler with one step, from 0.67 to 0.001, the parts are "
    "{:.2f} and {:.0f}. The first look can never contribute more than half of a constant error; the second has no bound, unless the error falls with $t$, as it does under (4).".format(
        *looks(0.67, 0.001)
    )
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What if the moments are wrong? (think)
# :label: ddbm-moments
#
# Somebody forgets to measure the moments and leaves $\sigma_0 = \sigma_T = 1$ and $\sigma_{0T} = ½$ for data of size 3. What can a network make up for, and what not? Train it and see.
# ```
#
# ```{solution-start} ddbm-moments
# :class: dropdown
# ```

# %%
t = torch.tensor(0.5)
process = Bridge("ve", 1.0)
right, wrong = (
    preconditioning(process, t, *moments)
    for moments in ((3.0, 3.0, 0.8 * 9), (1.0, 1.0, 0.5))
)
a, b, variance = process.coefficients(t)
_, skip, unit = wrong  # with the right moments: deviations 3, covariance 0.8 * 9
shared, total = b * 9 + a * 7.2, 1 / right[0] ** 2
asked = (9 - 2 * skip * shared + skip**2 * total).sqrt() / unit
forgot = []
for seed in range(seeds):
    source, z = 3 * torch.randn(2, 4000, 1, generator=generator(seed))
    torch.manual_seed(seed)
    method = Published((1,), 32, 1, "ve", 1.0)
    pairs = TensorData({"source": source, "target": 0.8 * source + 0.6 * z})
    fit(method, pairs, seed=seed, lr=TOY_RATES[0], **toy_training)
    forgot.append(excess(method))

# %% tags=["hide-input"]
say(
    f"As a parametrisation (4) can be made up for by a large network. Half-way its input would have size {float(wrong[0] / right[0]):.2f} instead of one, and its "
    f"output, which has to mend the skip as well, size {float(asked):.2f}. But the weights of (5) change as well, so that the errors at some times count for more than at others."
)
claim(
    "wrong-moments",
    forgot,
    small.of(f"preconditioning (4), {TOY_RATES[0]:g}", "distance").tolist(),
    direction="lower",
    better="After the same training the network with the wrong moments is nearer to the best possible denoiser, {ours} against {theirs}.",
    worse="After the same training the network with the wrong moments is further from the best possible denoiser, {ours} against {theirs}.",
    undecided="After the same training the network with the wrong moments ({ours}) and that with the right ones ({theirs}) cannot be told apart.",
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why has the probability flow from a source only one answer?
# It is an ordinary differential equation: one start, one path. Without noise, at the start or on the way, the samples for one source are all the same.
# ```
#
# ```{dropdown} Where do the signal-to-noise ratios in (1) come from?
# From conditioning a Gaussian on a second observation: the weights are ratios of precisions.
# ```
#
# ## In five lines
#
# - A diffusion pinned at its far end has three Gaussian formulas: state, score and pull. The VE bridge is the Brownian bridge in the clock $u = t^2$.
# - Preconditioning asks the network only for what a line cannot know, in units of what is missing.
# - Without noise each source has one answer. All variety comes from the draw at the start and from the churn.
# - Heun's second look multiplies a constant error by $(t-s)/2s$; preconditioning makes the error itself small in proportion to $s$.
# - Compare samplers at equal calls and over seeds, and a bridge with its own network without a bridge; the claims above say what this run decides.
#
# ## Limits, and what to read next
#
# The paper's own ground, images, is not run here; the U-Net path of the method is there for it. Next:
# {doc}`tangent_bridge`, which changes the coordinates instead of the process.

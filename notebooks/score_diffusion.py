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
# # Score-based diffusion
#
# **What is gained, and what is lost, by starting from noise?**
#
# A bridge ({doc}`bridge_matching`) walks from a person's brain at rest to the same brain in action. The diffusion models
# that draw pictures from text do something else. They start from pure noise, and the condition (a sentence, or here a rest
# matrix) only whispers along the way. It sounds wasteful when source and target are nearly the same. But
# such models are understood thoroughly, and they come with a knob that the bridge of that chapter lacks: *guidance*.
#
# After this chapter you can derive the conditional score as a conditional expectation, train it, run time backwards in
# three ways, and say what guidance samples (not what is often claimed).
#
# You need Gaussian conditioning and PyTorch. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds = 3
steps = 200
subjects: int | None = None
regions: int | None = None

# %% tags=["hide-input"]
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import generator
from mmlab.compare.intervals import paired_interval
from mmlab.compare.translation import (
    DIRECTIONS,
    LIMITS,
    TRAINING,
    Trained,
    regression_of,
    translate,
)
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.score_diffusion import (
    MARGIN,
    ScoreDiffusion,
    ancestral_step,
    euler_step,
    noise_level,
    ode_step,
    score_from_endpoint,
    signal,
)
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import rmse
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import lines, use_theme

large = profile == "gpu"
regions = regions or (160 if large else 40)
subjects = subjects or (600 if large else 300)
use_theme()


# %% [markdown]
# ## The idea in one picture
#
# Add noise to data, little by little, until nothing of them is left. At every moment the blurred data have a density, and
# its logarithm has a slope, the *score*. It points to where data are likely. If you know the score at all times you can run the
# film backwards: start from noise, and always lean in the direction of the score.

# %% tags=["hide-input"]
CENTRES = torch.tensor([-1.5, 0.5, 1.5], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
SPREAD = 0.25


def shares_and_variance(x, t, weights=WEIGHTS):
    """Which component of the blurred mixture a state belongs to, (n, 3), and the components' variance at time t."""
    variance = (signal(t) * SPREAD) ** 2 + noise_level(t) ** 2
    distance = (x[:, None] - signal(t) * CENTRES) ** 2
    return torch.softmax(-distance / (2 * variance) + weights.log(), 1), variance


def density(x, t, weights=WEIGHTS):
    _, variance = shares_and_variance(x, t, weights)
    distance = (x[:, None] - signal(t) * CENTRES) ** 2
    return (weights * torch.exp(-distance / (2 * variance))).sum(1) / (
        2 * math.pi * variance
    ).sqrt()


def exact_endpoint(x, t, weights=WEIGHTS):
    """E[X₀ | X_t = x] for the mixture."""
    shares, variance = shares_and_variance(x, t, weights)
    means = CENTRES + signal(t) * SPREAD**2 / variance * (
        x[:, None] - signal(t) * CENTRES
    )
    return (shares * means).sum(1)


grid = torch.linspace(-3, 3, 201, dtype=torch.float64)
places = torch.linspace(-2.6, 2.6, 14, dtype=torch.float64)
figure = Figure(figsize=(5.6, 4.4))
for axes, time in zip(
    figure.subplots(2, 2, sharey=True).flat, (0.02, 0.15, 0.35, 0.9), strict=True
):
    t = torch.tensor(time, dtype=torch.float64)
    height = density(grid, t)
    axes.fill_between(grid, height / height.max(), color="C0", alpha=0.4)
    slope = score_from_endpoint(places, exact_endpoint(places, t), t)
    axes.quiver(
        places, torch.full_like(places, 1.15), slope.clamp(-4, 4), torch.zeros_like(slope),
        scale=40, width=0.012,
    )  # fmt: skip
    axes.set(title=f"t = {time}", xlabel="x", yticks=[], ylim=(0, 1.3))
    axes.label_outer()
show(
    figure,
    alt=(
        "Four panels over time. A density with three narrow peaks melts into a single wide bell. Arrows above each density point "
        "towards the nearest peak early, and towards the middle late."
    ),
    caption=(
        "A mixture of three bells while noise is added (densities scaled to the same height), and its score (arrows, cut off at a "
        "length of four). Late, the arrows only say where the middle is. Early, they say which peak is yours. Sampling runs backwards, from late to early."
    ),
    label="melting",
)

# %% [markdown]
# ## Blurring
#
# The forward process shrinks the data and adds noise, $\mathrm dX = -\tfrac12\beta_t X\,\mathrm dt + \sqrt{\beta_t}\,\mathrm dW$
# {cite}`song2021score`. It is linear, so its state given the data is Gaussian:
#
# $$X_t = \alpha_t X_0 + \sigma_t\,\varepsilon, \qquad \alpha_t = e^{-\frac12\int_0^t\beta}, \quad \alpha_t^2 + \sigma_t^2 = 1, \quad \varepsilon\sim\mathcal N(0, I). \tag{1}$$
#
# (Time runs from data to noise in this chapter, as in the literature; in the bridge chapters it runs from source to target.)
#
# ## The conditional score is a conditional expectation
#
# Let $c$ be the condition. The density of the blurred data is an average over clean samples,
# $p_t(x\mid c) = \int p(x_0 \mid c)\, \mathcal N(x; \alpha_t x_0, \sigma_t^2 I)\,\mathrm dx_0$. Differentiate under the
# integral, divide by $p_t$, and recognise Bayes' rule in the weights:
#
# $$\nabla_x \log p_t(x\mid c) = \mathbb E\!\left[\frac{\alpha_t X_0 - x}{\sigma_t^2} \,\middle|\, X_t = x, c\right]
# = \frac{\alpha_t\,\hat x(x,t,c) - x}{\sigma_t^2}, \qquad \hat x = \mathbb E[X_0\mid X_t = x, c]. \tag{2}$$
#
# Whoever knows the score knows the denoiser of least squared error, and the other way round. And a conditional expectation is what squared error learns. So draw a
# pair $(c, x_0)$, a time and a noise, and regress. With discrete times $t_1, \dots, t_K$ the loss is a sum; with ever more of them the mean turns into
# an integral,
#
# $$L(\theta) = \frac1K\sum_{k=1}^K \mathbb E\left\|f_\theta(X_{t_k}, t_k, c) - x_0\right\|^2 \;\longrightarrow\; \int_0^1 \mathbb E\left\| f_\theta(X_t, t, c) - x_0\right\|^2 \mathrm dt , \tag{3}$$
#
# and a uniformly drawn $t$ makes each batch an unbiased guess of either. Regressing on the noise $\varepsilon$ instead is the same
# problem with weight $\alpha_t^2/\sigma_t^2$: it cares more about early times, where details are decided.
#
# ## Three ways back
#
# **Ancestral.** For a known clean sample, the state at $s < t$ given the state at $t$ is Gaussian again. Multiply the two Gaussians
# of (1) as in the bridge chapter. With $\alpha_{t|s} = \alpha_t/\alpha_s$ and $\sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2\sigma_s^2$,
#
# $$X_s \mid X_t, x_0 \sim \mathcal N\!\left(\frac{\alpha_s\sigma_{t|s}^2\,x_0 + \alpha_{t|s}\sigma_s^2 X_t}{\sigma_t^2},\; \frac{\sigma_{t|s}^2\sigma_s^2}{\sigma_t^2} I\right). \tag{4}$$
#
# Nobody knows $x_0$ on the way back, so the sampler puts $\hat x$ in its place.
#
# **Reverse SDE.** Time reversal of a diffusion adds the score to the drift. One Euler–Maruyama step from $t$ back to $s = t - h$:
#
# $$X_s = X_t + h\,\beta_t\left(\tfrac12 X_t + \nabla\log p_t(X_t\mid c)\right) + \sqrt{h\,\beta_t}\; z . \tag{5}$$
#
# **Probability flow.** Half the score and no noise moves the same densities. Solved for a fixed $\hat x$, the step is DDIM
# {cite}`song2021ddim`:
#
# $$X_s = \alpha_s \hat x + \frac{\sigma_s}{\sigma_t}\left(X_t - \alpha_t\hat x\right). \tag{6}$$
#
# Turn the knob. The score is exact here, so every error is the sampler's, but for the noise of the draws.

# %% tags=["hide-input"]
STEPS = {
    "ancestral": lambda x, e, t, s, z: ancestral_step(x, e, t, s, z),
    "Euler–Maruyama": lambda x, e, t, s, z: euler_step(
        x, score_from_endpoint(x, e, t), t, s, z
    ),
    "probability flow": lambda x, e, t, s, z: ode_step(x, e, t, s),
}


def exact_samples(name, steps, count=4000, endpoint=exact_endpoint, seed=0):
    rng = generator(seed)
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    times = (1 - (1 - MARGIN**0.5) * ramp).square()
    x = torch.randn(count, generator=rng, dtype=torch.float64)
    for t, s in pairwise(times[:-1]):
        z = torch.randn(count, generator=rng, dtype=torch.float64)
        x = STEPS[name](x, endpoint(x, t), t, s, z)
    return endpoint(x, times[-2])


DRAWS = 5  # of 4000 samples each
every_draw = {
    (name, count): [exact_samples(name, count, seed=draw) for draw in range(DRAWS)]
    for name in STEPS
    for count in (5, 15, 50, 100)
}
drawn = {key: samples[0] for key, samples in every_draw.items()}
truth = density(grid, torch.tensor(0.0, dtype=torch.float64))


def within(samples):
    """Standard deviation within the left component, which should be SPREAD."""
    return float(samples[samples < -0.5].std())


def from_truth(samples):
    """1-Wasserstein distance to the true mixture: sorted samples against its quantiles."""
    share = torch.cumulative_trapezoid(truth, grid)
    at = (torch.arange(len(samples), dtype=torch.float64) + 0.5) / len(samples)
    place = torch.from_numpy(np.interp(at, share / share[-1], grid[1:]))
    return float((samples.sort().values - place).abs().mean())


def true_samples(seed, count=4000):
    rng = generator(seed)
    at = torch.multinomial(WEIGHTS, count, replacement=True, generator=rng)
    noise = torch.randn(count, generator=rng, dtype=torch.float64)
    return CENTRES[at] + SPREAD * noise


apart = {
    key: [from_truth(samples) for samples in made]
    for key, made in every_draw.items()
}
floor = [from_truth(true_samples(draw)) for draw in range(DRAWS)]


def draw_samplers(steps):
    figure = Figure(figsize=(5.6, 5.6))
    for axes, name in zip(figure.subplots(3, 1, sharex=True), STEPS, strict=True):
        axes.hist(
            drawn[name, steps],
            80,
            range=(-3, 3),
            density=True,
            color="C0",
            alpha=0.6,
        )
        axes.plot(grid, truth, color="black", lw=1)
        axes.set(title=name, xlabel="x", ylim=(0, 1.6))
        axes.label_outer()
    return figure


def describe_samplers(steps):
    spreads = ", ".join(
        f"{name} {within(drawn[name, steps]):.2f}" for name in STEPS
    )
    return (
        f"Histograms after {steps} steps. Standard deviation of the left peak, where {SPREAD} is right: {spreads}. "
        f"Distance to the truth: {distances(steps)}."
    )


def distances(steps):
    return ", ".join(
        f"{name} {with_interval(apart[name, steps])}" for name in STEPS
    )


def with_interval(values):
    low, high = paired_interval(values)
    return f"{sum(values) / len(values):.3f} ({low:.3f} to {high:.3f})"


frames(
    {"steps": [5, 15, 50, 100]},
    draw_samplers,
    describe_samplers,
    caption=(
        "Samples from the exact score, and the true density (black). The score is exact, so what is wrong here is the sampler, but for the noise of 4000 draws: "
        f"one peak can look right where the whole is not. 1-Wasserstein distance to the truth, mean and 95 % interval over {DRAWS} draws of 4000, with 5 steps: "
        f"{distances(5)}; with 50: {distances(50)}. Draws from the truth itself: {with_interval(floor)}."
    ),
    start={"steps": 15},
    label="samplers",
)
say(
    "\n".join(
        "- "
        + claimed(
            f"euler-{count}-steps-{rival.replace(' ', '-')}",
            apart["Euler–Maruyama", count],
            apart[rival, count],
            direction="lower",
            called="draws",
            better=f"With {count} steps Euler–Maruyama is nearer to the truth than the {word}, {{ours}} against {{theirs}}.",
            worse=f"With {count} steps the {word} is nearer to the truth than Euler–Maruyama, {{theirs}} against {{ours}}.",
            undecided=f"With {count} steps Euler–Maruyama ({{ours}}) and the {word} ({{theirs}}) cannot be told apart.",
        )
        for count in (5, 50)
        for rival, word in (
            ("ancestral", "ancestral sampler"),
            ("probability flow", "probability flow"),
        )
    )
)

# %% [markdown]
# ## Guidance
#
# Train the network with the condition hidden now and then (zeros in its place). It then knows two answers, with the condition and
# without. *Guidance without a classifier* exaggerates the difference {cite}`ho2022guidance`:
#
# $$\hat x_w = \hat x(x,t,c) + w\left(\hat x(x,t,c) - \hat x(x,t)\right). \tag{7}$$
#
# In terms of scores this is the slope of $p_t(x\mid c)^{1+w}/p_t(x)^w$: at every time the conditional density with more weight where $x$
# speaks for the condition. It is tempting to conclude that the *samples* have the density $p_0(x\mid c)^{1+w}/p_0(x)^w$. They do not: those
# densities at different times are not blurred versions of each other. With an exact score we can look.

# %% tags=["hide-input"]
CLASS = torch.tensor(
    [1e-12, 0.4, 0.6], dtype=torch.float64
)  # the condition: right of zero
GUIDED = {}
for weight in (0.0, 1.0, 3.0):

    def guided(x, t, weight=weight):
        given = exact_endpoint(x, t, CLASS)
        return given + weight * (given - exact_endpoint(x, t))

    GUIDED[weight] = exact_samples("probability flow", 200, endpoint=guided)
left_of_one = {w: float((made < 1).double().mean()) for w, made in GUIDED.items()}
zero = torch.tensor(0.0, dtype=torch.float64)
figure = Figure(figsize=(5.6, 5.6))
fine = torch.linspace(-0.5, 3, 400, dtype=torch.float64)
means = {}
for axes, (weight, samples) in zip(
    figure.subplots(3, 1, sharex=True), GUIDED.items(), strict=True
):
    sharpened = (
        density(fine, zero, CLASS) ** (1 + weight) / density(fine, zero) ** weight
    )
    sharpened = sharpened / torch.trapezoid(sharpened, fine)
    means[weight] = (
        float(torch.trapezoid(sharpened * fine, fine)),
        float(samples.mean()),
    )
    axes.hist(samples, 70, range=(-0.5, 3), density=True, color="C0", alpha=0.6)
    axes.plot(fine, sharpened, color="black", lw=1)
    axes.set(title=f"w = {weight:g}", xlabel="x")
    axes.label_outer()
show(
    figure,
    alt=(
        "Histograms of guided samples for three weights with the density that the formula gives as a line. At weight zero they agree. At weight "
        f"three the samples have mean {means[3.0][1]:.2f} and the line has mean {means[3.0][0]:.2f}."
    ),
    caption=(
        "The condition says: one of the two right peaks. Black: the density that the formula promises, which is the same for every w here: without noise the "
        "classes do not overlap, so there is nothing to sharpen. Blue: what guided sampling draws. At w = 0 they "
        f"agree. At w = 3 the mean of the samples is {means[3.0][1]:.2f}, that of the formula {means[3.0][0]:.2f}: the samples are pushed away from "
        f"the other class. In the peak that is nearest to it, left of 1, lie {left_of_one[3.0]:.0%} of them, and {left_of_one[0.0]:.0%} at w = 0."
    ),
    label="guidance",
)

# %% [markdown]
# ## The whole method, by hand
#
# Equation (3) in a few lines, for a network that predicts $\hat x$ itself. By default the package's network predicts only what a
# linear regression of the target on the condition and the state leaves open, in units of its standard deviation, and its times are
# drawn where the state begins to decide. That is the same $\hat x$ with another weight for each time.


# %%
def loss_by_hand(method, condition, x0, rng):
    t = 0.001 + 0.999 * torch.rand(len(x0), generator=rng)
    noise = torch.randn(x0.shape, generator=rng)
    torch.rand(len(x0), generator=rng)  # whose condition is hidden: nobody's
    alpha = torch.exp(-0.5 * (0.1 * t + 19.9 * t**2 / 2))[:, None]
    x = alpha * x0 / method.scale + (1 - alpha**2).sqrt() * noise
    guess = method.endpoint(x, t, condition / method.scale)
    return (guess - x0 / method.scale).square().mean()


world = rest_motor_world(subjects=subjects, regions=regions, seed=0)
train, test = world.pairs.split(100, seed=0)
EDGES = train.source.shape[1]


def diffusion(seed=0, **changes):
    arguments = {
        "width": 64,
        "depth": 0,
        "dropout": 0.5,
        "scale": 0.2,
    }
    torch.manual_seed(seed)
    return ScoreDiffusion((EDGES,), **arguments | changes)


method = diffusion(parametrisation="endpoint").eval()
batch = train.batch(range(64))
ours = loss_by_hand(method, batch["source"], batch["target"], generator(1))
theirs = method.loss(batch, generator(1))["loss"]
assert torch.allclose(ours, theirs, rtol=1e-4)

# %% [markdown]
# ## The experiment: from noise to the motor cortex
#
# The data and the measures are those of {doc}`bridge_matching`. The network is the same, too: a linear regression of the target on
# the condition, and a network for what it leaves open ([](#figure-walk)). The walk differs. The bridge starts in the person's rest matrix. The diffusion starts in noise, and
# sees the rest matrix as a condition. The baselines are there, with the same network trained as plain regression.

# %% tags=["hide-input"]
show(
    in_rows(
        [
            {"noise": "noise, or a blurred target $X_t$", "condition": "condition $c$: rest"},
            {"network": "network", "line": "linear regression"},
            {"guess": "clean target $\\hat x$, (2)"},
            {"loss": "training: squared error, (3)", "step": "sampling: one step back, (4) to (6)"},
        ],
        [
            ("noise", "network", "and $t$"), ("noise", "line"), ("condition", "line"), ("network", "guess"), ("line", "guess"),
            ("line", "network"), ("guess", "loss"), ("guess", "step"),
        ],
        trained=["network"],
    ),
    alt=(
        "Boxes joined by arrows. The blurred target and the condition go into a linear regression. The network gets the blurred target, and what the regression "
        "says of it. Both give the clean target, which is compared in training and leads one step back in sampling."
    ),
    caption="The diffusion of this experiment. Blue is trained by gradient, the regression is solved. The network is shown how far the blurred target is from what the regression expects of the condition.",
    label="walk",
)  # fmt: skip


# %%
def bridge(seed):
    return BridgeMatching((EDGES,), 64, 0, 0.1, dropout=0.5, scale=0.2)


training = TRAINING | {"steps": steps}
rivals = {
    "plain regression, same network": Trained(
        lambda seed: regression_of(diffusion(seed)), training, samples=1
    ),
    "bridge matching": Trained(bridge, training, steps=20),
    "diffusion": Trained(diffusion, training, steps=20),
}
worlds = {0: world} | {
    seed: rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    for seed in range(1, seeds)
}
found = translate(rivals, worlds)
table_over_seeds(
    found.scores,
    "Test people of all worlds. The last two rows are limits.",
    over="world",
    best=DIRECTIONS,
    reference=LIMITS,
    budgets=found.budgets("diffusion, mean of 20"),
    ceiling="ceiling",
)

# %% [markdown]
# **What the table says**, row by row, with the same people on both sides:

# %% tags=["hide-input"]
OURS, BRIDGE = "diffusion, mean of 20", "bridge matching, mean of 20"
PLAIN = "plain regression, same network"
for measure, better_if in DIRECTIONS.items():
    name = measure.lower().replace(" ", "-")
    for short, rival in (
        ("the mean shift", "mean shift"),
        ("the shrunk shift", "shrunk shift"),
        ("ridge on the change", "ridge on the change"),
        ("the bridge", BRIDGE),
        ("plain regression with the same network", PLAIN),
    ):
        if rival == "shrunk shift" and measure != "RMSE":
            continue  # the same pattern as the mean shift's, on another scale
        claim(
            f"diffusion-and-{name}-{rival.split(',')[0].replace(' ', '-')}",
            found.of(OURS, measure),
            found.of(rival, measure),
            direction=better_if,
            called="worlds",
            better=f"- {measure}: the diffusion is better than {short}, {{ours}} against {{theirs}}.",
            worse=f"- {measure}: the diffusion is worse than {short}, {{ours}} against {{theirs}}.",
            undecided=f"- {measure}: the diffusion ({{ours}}) and {short} ({{theirs}}) cannot be told apart.",
        )
covered = [
    coverage(
        found.samples["diffusion", seed], found.splits[seed][1].target, (0.8,)
    )[0.8]
    for seed in worlds
]
claim(
    "diffusion-intervals",
    covered,
    0.8,
    direction="higher",
    unit="%",
    called="worlds",
    better="The 80 % intervals of the samples hold {ours} of the measured edges: they are too wide.",
    worse="The 80 % intervals of the samples hold {ours} of the measured edges: they are too narrow.",
    undecided="The 80 % intervals of the samples hold {ours} of the measured edges, which is no clear miss.",
)
record(
    **{
        key: found.of(OURS, measure).tolist()
        for key, measure in (("rmse", "RMSE"), ("demeaned_r", "demeaned r"), ("identification", "identification"))
    },
    mean_shift={measure: found.of("mean shift", measure).tolist() for measure in DIRECTIONS},
    bridge_matching={measure: found.of(BRIDGE, measure).tolist() for measure in DIRECTIONS},
    coverage_of_80_percent=covered,
    budget=found.budgets(OURS).plain(),
)  # fmt: skip

# %% [markdown]
# ### How many samples are averaged?
#
# A mean of $k$ samples has the squared error of the mean of infinitely many, plus their variance over $k$. So the order of two methods
# may turn with $k$, and a table with one $k$ is one point of a curve. The dotted lines are the limits.

# %% tags=["hide-input"]
curves = {
    name: found.curve(name, (1, 2, 5, 10, 20))
    for name in ("bridge matching", "diffusion")
}
figure = lines(
    pd.concat([curve.assign(method=name) for name, curve in curves.items()]),
    "samples",
    ["RMSE", "demeaned r"],
    log_x=True,
)
for colour, curve in zip(("C0", "C1"), curves.values(), strict=True):
    figure.axes[0].axhline(curve["RMSE, limit"].mean(), color=colour, lw=1, ls=":")
figure.axes[-1].set_xlabel("samples averaged")
ends = {
    name: (curve[curve.samples == 1]["RMSE"].mean(), curve["RMSE, limit"].mean())
    for name, curve in curves.items()
}
show(
    figure,
    alt=(
        "RMSE and demeaned r of the mean of 1 to 20 samples, for the bridge and the diffusion. "
        + " ".join(
            f"RMSE of the {name}: {one:.4f} for one sample, {limit:.4f} in the limit."
            for name, (one, limit) in ends.items()
        )
    ),
    caption="What averaging does, mean and 95 % interval over the worlds. Dotted: the limit of infinitely many samples.",
    label="averaging",
)
limits = {
    name: curve.groupby("world")["RMSE, limit"].first()
    for name, curve in curves.items()
}
for short, rival, name in (
    ("the bridge", limits["bridge matching"], "bridge"),
    ("plain regression with the same network", found.of(PLAIN, "RMSE"), "plain"),
):
    claim(
        f"diffusion-limit-{name}",
        limits["diffusion"],
        rival,
        direction="lower",
        called="worlds",
        better=f"- RMSE in the limit: the diffusion is better than {short}, {{ours}} against {{theirs}}.",
        worse=f"- RMSE in the limit: the diffusion is worse than {short}, {{ours}} against {{theirs}}.",
        undecided=f"- RMSE in the limit: the diffusion ({{ours}}) and {short} ({{theirs}}) cannot be told apart.",
    )

# %% [markdown]
# ### The price of the longer way

# %% tags=["hide-input"]
sweep = []
for name, rival in (
    ("diffusion", rivals["diffusion"]),
    ("bridge", rivals["bridge matching"]),
):
    for seed, (_, unseen) in found.splits.items():
        for calls in (1, 2, 5, 10, 50):
            made = rival.draw(unseen.source[:40], seed, samples=4, steps=calls)
            sweep.append(
                {"process": name, "calls": calls, "world": seed, "spread": float(made.std(0).mean()),
                 "RMSE of one sample": rmse(made[0], unseen.target[:40])}
            )  # fmt: skip
sweep = pd.DataFrame(sweep)
guess = [
    rmse(rivals[PLAIN].draw(unseen.source[:40], seed)[0], unseen.target[:40])
    for seed, (_, unseen) in found.splits.items()
]
figure = lines(
    sweep, "calls", ["spread", "RMSE of one sample"], by="process", log_x=True
)
figure.axes[-1].set_xlabel("network calls")
measured = sweep.groupby(["calls", "process"])[
    ["spread", "RMSE of one sample"]
].mean()
last, five, one = (measured.loc[calls]["spread"] for calls in (50, 5, 1))
errors = measured["RMSE of one sample"].unstack("process")
show(
    figure,
    alt=(
        "Spread of the samples and error of one sample against the number of network calls, for the diffusion and the bridge. "
        f"With five calls the diffusion has {five['diffusion'] / last['diffusion']:.0%} of its final spread and the bridge {five['bridge'] / last['bridge']:.0%}."
    ),
    caption=(
        f"One call returns what the network guesses at the start (spread: diffusion {one['diffusion']:.3f}, bridge {one['bridge']:.3f}); plain regression has an RMSE of {sum(guess) / len(guess):.3f} on these people. With five calls the diffusion has {five['diffusion'] / last['diffusion']:.0%} of the spread that it has with fifty, the "
        f"bridge {five['bridge'] / last['bridge']:.0%}. RMSE of one sample with 1, 5 and 50 calls: "
        + "; ".join(
            f"{name} "
            + ", ".join(f"{errors[name][calls]:.3f}" for calls in (1, 5, 50))
            for name in ("diffusion", "bridge")
        )
        + ". Mean and 95 % interval over the worlds."
    ),
    label="calls",
)

# %% [markdown]
# ## In practice
#
# - **Zero-shot score distillation is not training.** One can also optimise an image against a pretrained score model, with the source as the
#   start. If the optimisation is started at the *true target*, the answer has leaked before the first step, and a good result means nothing.
# - **Early times decide details.** Regression on $\hat x$ hardly looks at them, since the error there is small anyway. Regression on $\varepsilon$ does, and
#   for pictures it is usual.
# - **Guidance is not a probability.** It trades variety for typicality, and beyond a point for distortion.
# - **Units.** The noise has variance one, so data must be of about that size: `scale`.
#
# ## Exercises
#
# ```{exercise} The score of one bell (code)
# :label: score-diffusion-gaussian
#
# The data are $\mathcal N(m, v)$. Write the score at time $t$ as a function `score(x, m, v, alpha, sigma)` of the numbers $\alpha_t$ and $\sigma_t$ of (1).
# ```

# %% tags=["stub:score"]
from mmlab.exercises.score_diffusion import check_score


def score(x, m, v, alpha, sigma):
    return ...


check_score(score)

# %% [markdown]
# ```{solution-start} score-diffusion-gaussian
# :class: dropdown
# ```


# %% tags=["solution:score"]
def score(x, m, v, alpha, sigma):
    return (alpha * m - x) / (alpha**2 * v + sigma**2)


check_score(score)

# %% [markdown]
# Blurred, the bell has mean $\alpha m$ and variance $\alpha^2 v + \sigma^2$; the slope of the log of a bell is a straight line.
#
# ```{solution-end}
# ```
#
# ```{exercise} From noise to clean (code)
# :label: score-diffusion-endpoint
#
# A network predicts the noise $\hat\varepsilon$. Write the clean sample that this means, and the score: `convert(x, noise, alpha, sigma)` returns both.
# ```

# %% tags=["stub:convert"]
from mmlab.exercises.score_diffusion import check_convert


def convert(x, noise, alpha, sigma):
    return ...


check_convert(convert)

# %% [markdown]
# ```{solution-start} score-diffusion-endpoint
# :class: dropdown
# ```


# %% tags=["solution:convert"]
def convert(x, noise, alpha, sigma):
    clean = (x - sigma * noise) / alpha
    return clean, -noise / sigma


check_convert(convert)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What does guidance of −1 do? (think)
# :label: score-diffusion-negative
#
# Put $w = -1$ and $w = -2$ into (7). What is sampled?
# ```
#
# ```{solution-start} score-diffusion-negative
# :class: dropdown
# ```

# %%
shares, gone = {}, {}
for weight in (0.0, -1.0, -2.0):

    def answer(x, t, weight=weight):
        given = exact_endpoint(x, t, CLASS)
        return given + weight * (given - exact_endpoint(x, t))

    made = exact_samples("probability flow", 100, count=2000, endpoint=answer)
    shares[weight] = float((made < -0.5).double().mean())
    gone[weight] = float((made < -1.5 - 2 * SPREAD).double().mean())
say(
    f"At −1 the condition cancels: the samples are unconditional, and {shares[-1.0]:.0%} of them lie in the left peak (half, up to the noise of the draw). At "
    f"−2 the process runs *away* from the condition: {shares[-2.0]:.0%} lie on the left side, where at 0 it was {shares[0.0]:.0%}. But {gone[-2.0]:.0%} lie more than two deviations left of the middle of the left peak, "
    "where next to no data are: a negative prompt overshoots, as guidance does in [](#figure-guidance)."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does the loss not need the density of the data?
# Because of (2): the score is a conditional expectation, and squared error finds conditional expectations from samples.
# ```
#
# ```{dropdown} What does one step of the ancestral sampler from noise return?
# The network's clean sample for pure noise: for a perfect network the mean of the targets given the condition. That is regression. For a trained one the figure on network calls has the numbers.
# ```
#
# ```{dropdown} Why can the ancestral sampler make a peak too narrow?
# It puts the expected clean sample in the place of a random one, and an expectation has less variance.
# ```
#
# ## In five lines
#
# - The score is a conditional expectation, so squared error learns it.
# - Three ways back use the same denoiser; compare them by their distance to the whole law, at equal steps and with enough draws.
# - Guidance is not sampling from a sharpened density; it pushes away from what the condition excludes.
# - For people's matrices noise at the start and the rest matrix at the start are two ways to estimate the same conditional law; the claims above say what this changes.
# - Averages of samples carry a tax that falls with their number; compare limits, and a regression without any process.
#
# ## Limits, and what to read next
#
# One schedule was used, and no second-order sampler. No network of this page was trained with the condition hidden, so guidance was shown with exact scores only. The world is one in which source and target are alike, and
# the table above says what the long way from noise changes there. Where there is no source of the same kind, as in text to image, a walk has to start somewhere else, and noise is the usual place. Next:
# {doc}`bridge_matching`, if you have not been there, and {doc}`flow_matching`, which takes the noise out.

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
# sampler that mixes noise with a second-order solver. On paired images they reported some of the best results of their time.
#
# This chapter takes the engine apart. Afterwards you know how the pieces follow from three Gaussian formulas, that one of the two schedules
# is the Brownian bridge in disguise, and which pieces carry their weight on our data.
#
# You need both chapters named above.

# %% tags=["parameters"]
profile = "cpu"
seeds = 3
steps = 300

# %%
from itertools import pairwise

import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit
from mmlab.compare.connectome_baselines import baselines
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM, Bridge, preconditioning
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import evaluate
from mmlab.viz import frames, record, say, show, table

large = profile == "gpu"
regions, subjects = (160, 600) if large else (40, 300)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## The idea in one picture
#
# Take a diffusion that turns a target $x_0$ into noise. Pin its far end, where the noise would be, to the source $x_T$. What is left of
# the target and of the source, and how much noise there is between them, depends on the diffusion that was bent.

# %% tags=["hide-input"]
clock = torch.linspace(0, 1, 201, dtype=torch.float64)
figure = Figure(figsize=(8.2, 2.8), layout="constrained")
widest = {}
for axes, (name, process) in zip(
    figure.subplots(1, 2, sharey=True),
    {
        "VE: noise only grows": Bridge("ve", 1.0),
        "VP: the data decay, too": Bridge("vp", 1.0),
    }.items(),
    strict=True,
):
    a, b, variance = process.coefficients(clock)
    axes.plot(clock, b, color="tab:red", label="target, $b_t$")
    axes.plot(clock, a, color="tab:blue", label="source, $a_t$")
    axes.plot(clock, variance.sqrt(), color="black", ls="--", label="noise, $c_t$")
    axes.set(title=name, xlabel="time t (0: target, 1: source)")
    widest[name[:2]] = float(clock[variance.argmax()])
axes.legend(fontsize=8)
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
# $\mathrm{SNR}_t = \alpha_t^2/\sigma_t^2$. Given its end as well, it is Gaussian again. Multiply the density of getting to $x$ with that of going on
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
# different times. So let it learn only what a straight line cannot do. The best linear guess of $x_0$ from $X_t$ has the slope
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
# Going from $t$ to $s < t$, the hybrid sampler first takes a share of the way with noise, one Euler–Maruyama step of the reverse SDE,
#
# $$\mathrm dX = \left[f - g^2\,(s - h)\right]\mathrm dt + g\,\mathrm d\bar W, \tag{6}$$
#
# and then the rest of the way by Heun's method along the probability flow
#
# $$\mathrm dX = \left[f - g^2\left(\tfrac12 s - h\right)\right]\mathrm dt. \tag{7}$$
#
# Why noise at all, if the flow has the right densities? Because the flow starts in *one point*, the source. A flow is a map: one source,
# one answer. All variety has to come from the noise on the way. Turn the knobs: here the denoiser is exact, and each source has two
# equally good targets.

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


def toy_samples(churn, count, bridge=None, people=3000):
    method = TwoAnswers((1,), 8, 1, "ve", 1.0).double()
    source = torch.full((people, 1), 0.3, dtype=torch.float64)
    return method.sample(source, steps=count, churn=churn, rng=generator())[:, 0]


def two_peak_distance(samples):
    """Exact 1-Wasserstein distance to the true mixture: sorted samples against its quantiles."""
    draw = torch.randn(
        2, len(samples) // 2, generator=generator(5), dtype=torch.float64
    )
    truth = (PEAKS[:, None] + WIDTH * draw).flatten().sort().values
    return float((samples.sort().values - truth).abs().mean())


TOY = {
    (churn, count): toy_samples(churn, count)
    for churn in (0.0, 0.1, 0.33, 0.8)
    for count in (3, 10, 40)
}


def draw_toy(churn, steps):
    figure = Figure(figsize=(5.6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(
        TOY[churn, steps],
        80,
        (-1.8, 1.8),
        density=True,
        color="tab:blue",
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
    {"churn": [0.0, 0.1, 0.33, 0.8], "steps": [3, 10, 40]},
    draw_toy,
    describe_toy,
    caption=(
        "One source, two equally good targets (black). Without churn all samples fall on one point between the peaks, an answer that nobody gave: the mean. "
        "The noise of the churn splits them."
    ),
    start={"churn": 0.33, "steps": 10},
)

# %% [markdown]
# ## Which pieces carry their weight?
#
# Two experiments with known answers. First the sampler: with the exact denoiser, how close do samples come for a given number of network
# calls? The rivals are Euler–Maruyama alone, which is dull, and the *exact posterior step* of {doc}`bridge_matching`, applied to the same denoiser.


# %%
@torch.no_grad()
def by_euler(method, source, count, rng):
    """Reverse SDE alone: one call per step."""
    times = torch.linspace(1 - 1e-3, 1e-3, count + 1, dtype=source.dtype)
    x = source
    for t, s in pairwise(times):
        bent = method.score(x, t, source) - method.bridge.grad_log_h(x, source, t)
        x = x - (t - s) * (
            method.bridge.drift(x, t) - method.bridge.diffusion_squared(t) * bent
        )
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        x = x + (method.bridge.diffusion_squared(t) * (t - s)).sqrt() * noise
    return method.denoise(x, times[-1].expand(len(x)), source)


@torch.no_grad()
def by_posterior(method, source, count, rng):
    """Exact steps of the VE bridge for a fixed clean sample: one call per step. In the clock u = t² it is a Brownian bridge."""
    clock = torch.linspace(1, 0, count + 1, dtype=source.dtype)
    x = source
    for u, v in pairwise(clock):
        t = u.sqrt().clamp(1e-3, 1 - 1e-3)
        clean = method.denoise(x, t.expand(len(x)), source)
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        x = (v * x + (u - v) * clean) / u
        x = x + method.bridge.sigma * (v * (u - v) / u).sqrt() * noise
    return x


toy = TwoAnswers((1,), 8, 1, "ve", 1.0).double()
start = torch.full((3000, 1), 0.3, dtype=torch.float64)
race = []
for calls in (5, 8, 17, 32, 62, 122):
    makers = {
        "hybrid": lambda calls=calls: toy.sample(
            start, steps=(calls - 2) // 3, rng=generator()
        ),
        "Euler–Maruyama": lambda calls=calls: by_euler(
            toy, start, calls - 1, generator()
        ),
        "posterior": lambda calls=calls: by_posterior(
            toy, start, calls, generator()
        ),
    }
    race += [
        {"sampler": name, "calls": calls, "W1": two_peak_distance(make()[:, 0])}
        for name, make in makers.items()
    ]
race = pd.DataFrame(race)

# %% tags=["hide-input"]
figure = Figure(figsize=(6.2, 3.0), layout="constrained")
axes = figure.subplots()
for name, part in race.groupby("sampler", sort=False):
    axes.loglog(part["calls"], part["W1"], "o-", ms=4, label=name)
axes.set(xlabel="network calls", ylabel="1-Wasserstein distance to the truth")
axes.legend(fontsize=8)
at = {
    calls: race[race.calls == calls].set_index("sampler")["W1"] for calls in (8, 62)
}
members = torch.randint(2, (5, 3000), generator=generator(8))
fresh = PEAKS[members] + WIDTH * torch.randn(
    5, 3000, generator=generator(9), dtype=torch.float64
)
floor = sum(two_peak_distance(draw) for draw in fresh) / 5
axes.axhline(floor, color="black", ls=":", lw=1)
show(
    figure,
    alt=(
        "Distance to the truth against network calls for three samplers, with both axes logarithmic. At 8 calls: "
        + ", ".join(f"{name} {value:.3f}" for name, value in at[8].items())
        + ". At 62 calls: "
        + ", ".join(f"{name} {value:.3f}" for name, value in at[62].items())
        + "."
    ),
    caption=(
        f"The exact denoiser, three samplers. At 62 calls the hybrid is at {at[62]['hybrid']:.3f}, Euler–Maruyama at {at[62]['Euler–Maruyama']:.3f} and the posterior step at "
        f"{at[62]['posterior']:.3f}; that many draws from the truth itself are at {floor:.3f} (dotted, mean of five sets), so differences near the line mean nothing. At 8 calls the order is "
        + " < ".join(at[8].sort_values().index)
        + "."
    ),
)
record(
    w1_at_equal_calls=race[race.sampler == "hybrid"]["W1"].tolist(),
    euler_maruyama={
        "W1 at equal calls": race[race.sampler == "Euler–Maruyama"]["W1"].tolist()
    },
)

# %% [markdown]
# Second, the preconditioning: the same small network, the same steps, with and without it. The pairs are one number each, and the best denoiser
# is known, so we can measure how far the trained one is from it.


# %%
class Bare(DDBM):
    """Without preconditioning: the network puts out the clean sample itself, and every time has the same weight."""

    def denoise(self, x, t, source):
        return self.network(torch.stack([x, source], 1), t)[:, 0]

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


ablation = []
for seed in range(seeds):
    source, z = 3 * torch.randn(2, 4000, 1, generator=generator(seed))
    data = TensorData({"source": source, "target": 0.8 * source + 0.6 * z})
    for name, kind in (("with", DDBM), ("without", Bare)):
        torch.manual_seed(seed)
        method = kind((1,), 32, 1, "ve", 1.0, 3.0, 3.0, 0.8 * 9)
        fit(
            method,
            data,
            steps=250,
            batch_size=128,
            lr=3e-3,
            schedule="cosine",
            seed=seed,
            progress=False,
        )
        ablation.append(
            {"preconditioning": name, "seed": seed, "excess": excess(method)}
        )
ablation = (
    pd.DataFrame(ablation).groupby("preconditioning")["excess"].agg(["mean", "std"])
)
say(
    f"After the same training the denoiser with preconditioning is {ablation.loc['with', 'mean']:.2f} ± {ablation.loc['with', 'std']:.2f} away from the best one, and without it "
    f"{ablation.loc['without', 'mean']:.2f} ± {ablation.loc['without', 'std']:.2f} (in data whose size is 3; {seeds} seeds)."
)
record(excess_error=ablation["mean"].to_dict())

# %% [markdown]
# ## The experiment: rest to motor
#
# Data, measures and rivals are those of {doc}`bridge_matching`. With two hundred people a free network memorises them, so the denoiser is again a guess
# from the source plus a small linear correction from the state; the guess takes over what the preconditioning does elsewhere.

# %%
MEASURES = {
    "rmse": "RMSE",
    "demeaned_r": "demeaned r",
    "identification_demeaned": "identification",
}


def trained(method, pairs, seed):
    fit(
        method, pairs, steps=steps, lr=3e-3, weight_decay=10.0, schedule="cosine",
        ema_decay=0.99, seed=seed, progress=False,
    )  # fmt: skip
    return method


def draw(make, source, samples=10):
    repeated = source.repeat(samples, 1)
    return make(repeated, generator(7)).unflatten(0, (samples, len(source)))


rows, covered, kept = [], [], {}
for seed in range(seeds):
    world = rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    train, test = world.pairs.split(100, seed)
    edges = train.source.shape[1]
    torch.manual_seed(seed)
    bridge = trained(
        BridgeMatching((edges,), 64, 0, 0.1, dropout=0.5, scale=0.2), train, seed
    ).cpu()
    predictions = baselines(train, test)
    drawn = draw(
        lambda x, rng, m=bridge: m.sample(x, steps=10, rng=rng), test.source
    )
    predictions["bridge matching, mean of 10"] = drawn.mean(0)
    for schedule in ("ve", "vp"):
        torch.manual_seed(seed)
        method = DDBM((edges,), 64, 0, schedule, 0.1, dropout=0.5)
        trained(method, train, seed).cpu()
        samples = draw(
            lambda x, rng, m=method: m.sample(x, steps=20, rng=rng), test.source
        )
        predictions[f"DDBM-{schedule.upper()}, mean of 10"] = samples.mean(0)
        if schedule == "ve":
            predictions["DDBM-VE, one sample"] = samples[0]
            covered.append(coverage(samples, test.target, (0.8,))[0.8])
            kept = kept or {
                "method": method,
                "test": test,
                "mean": train.target.mean(0),
            }
    predictions["attainable from rest"] = world.attainable_for(test, draws=32)
    predictions["ceiling"] = world.true_motor[world.indices(test)]
    for name, prediction in predictions.items():
        values = evaluate(prediction, test.target, train.target.mean(0))
        rows.append(
            {"method": name, "seed": seed}
            | {label: values[key] for key, label in MEASURES.items()}
        )
results = pd.DataFrame(rows).set_index(["method", "seed"])
average = results.groupby("method", sort=False).mean()
table(
    average,
    f"Test people of {seeds} worlds: mean ± standard deviation over worlds. The best competitor is bold; the last two rows are limits.",
    spread=results.groupby("method", sort=False).std(ddof=min(1, seeds - 1)),
    best={
        label: "lower" if label == "RMSE" else "higher"
        for label in MEASURES.values()
    },
    reference=["attainable from rest", "ceiling"],
)

# %% tags=["hide-input"]
budget = []
for calls in (5, 8, 17, 32, 62):
    for name, make in {
        "hybrid": lambda x, rng, n=calls: kept["method"].sample(
            x, steps=(n - 2) // 3, rng=rng
        ),
        "posterior": lambda x, rng, n=calls: by_posterior(
            kept["method"], x, n, rng
        ),
    }.items():
        made = draw(make, kept["test"].source, samples=4).mean(0)
        values = evaluate(made, kept["test"].target, kept["mean"])
        budget.append(
            {"sampler": name, "calls": calls, "demeaned r": values["demeaned_r"]}
        )
budget = pd.DataFrame(budget).pivot(
    index="calls", columns="sampler", values="demeaned r"
)
ve, plain = (
    average.loc["DDBM-VE, mean of 10"],
    average.loc["bridge matching, mean of 10"],
)
vp, shift = average.loc["DDBM-VP, mean of 10"], average.loc["mean shift"]
apart = results.xs("DDBM-VE, mean of 10") - results.xs(
    "bridge matching, mean of 10"
)
say(
    f"""**What the table says.**

- DDBM-VE and bridge matching are the same bridge and the same network. Their RMSE is {ve["RMSE"]:.4f} and {plain["RMSE"]:.4f}; seed by seed the difference is
  {apart["RMSE"].mean():+.4f} ± {apart["RMSE"].std(ddof=min(1, seeds - 1)):.4f}. DDBM-VP has {vp["RMSE"]:.4f}, the mean shift {shift["RMSE"]:.4f}.
- The price differs. The hybrid sampler was given 62 network calls here, the bridge 10. With few calls the hybrid goes wrong: the demeaned r of the mean of four samples is
  {budget.loc[5, "hybrid"]:.3f} with 5 calls, {budget.loc[17, "hybrid"]:.3f} with 17 and {budget.loc[62, "hybrid"]:.3f} with 62. The posterior step *on the same trained network* has
  {budget.loc[5, "posterior"]:.3f}, {budget.loc[17, "posterior"]:.3f} and {budget.loc[62, "posterior"]:.3f}.
- The 80 % intervals of the samples hold {sum(covered) / len(covered):.0%} of the true edges."""
)
record(
    rmse=results.xs("DDBM-VE, mean of 10")["RMSE"].tolist(),
    demeaned_r=results.xs("DDBM-VE, mean of 10")["demeaned r"].tolist(),
    bridge_matching={
        label: results.xs("bridge matching, mean of 10")[label].tolist()
        for label in MEASURES.values()
    },
    demeaned_r_by_calls=budget.to_dict(),
    coverage_of_80_percent=covered,
)

# %% [markdown]
# Why does a second-order sampler lose to a first-order one? Near the target the flow (7) divides the denoiser's error by $c_t^2$, which goes to zero. With an
# exact denoiser nothing happens. With a trained one, long steps blow up its mistakes, and a step that simply *puts in* the clean sample, as the
# posterior step does, cannot. For photographs, whose details need many steps anyway, the picture is different.
#
# ## In practice
#
# - **Which end is the source?** The paper's time starts at the target, most bridge papers' at the source. Mixing them up trains the inverse.
# - **Pairs are not optional.** The network sees $x_T$; on unpaired data it learns to ignore it. The authors say so when asked.
# - **Count calls, not steps.** A hybrid step costs three calls. Comparisons at equal numbers of steps favour it by that factor.
# - **Read what a score was computed against.** Second-hand notes on the published Fréchet distances say that they were computed against the *training*
#   images, the test sets being small. A model that memorises wins such a comparison, so we do not repeat the numbers.
# - **Measure the three moments** on the training pairs. The preconditioning assumes mean zero; centre the data if theirs is far from it.
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
# ```{exercise} What if the moments are wrong? (think)
# :label: ddbm-moments
#
# Somebody forgets to measure the moments and leaves $\sigma_0 = \sigma_T = 1$ for data of size 0.3. Is the result wrong, or only slower?
# ```
#
# ```{solution-start} ddbm-moments
# :class: dropdown
# ```

# %%
t = torch.tensor(0.5)
process = Bridge("ve", 0.1)
right, wrong = (
    preconditioning(process, t, *moments)
    for moments in ((0.3, 0.3, 0.05), (1.0, 1.0, 0.5))
)
say(
    f"Only slower: (4) is a parametrisation, and a network can make up for any of it. But half-way its input would have size {0.3 * float(wrong[0]) / (0.3 * float(right[0])):.2f} "
    f"instead of about one, and its output would have to be {float(right[2] / wrong[2]):.2f} of what it expects."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why has the probability flow from a source only one answer?
# It is an ordinary differential equation: one start, one path. Without noise on the way the samples for one source are all the same.
# ```
#
# ```{dropdown} Where do the signal-to-noise ratios in (1) come from?
# From conditioning a Gaussian on a second observation: the weights are ratios of precisions.
# ```
#
# ## Limits, and what to read next
#
# The paper's own ground, photographs at full size, needs a GPU for days and is not run here; the U-Net path of the method is there for it. Faster samplers for the same network exist. Next:
# {doc}`tangent_bridge`, which changes the coordinates instead of the process.

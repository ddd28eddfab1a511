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
# # Schrödinger bridges
#
# **Two groups, and no pairs: who became whom?**
#
# Rest scans of some people, task scans of others; grey digits here, coloured digits there. Without pairs the question
# has no answer in the data. It needs a principle. Schrödinger's, of 1931: *of all diffusions that carry the first group
# to the second, take the one that is most like pure diffusion* {cite}`leonard2014survey`. Nobody moves further than need
# be, except by chance.
#
# **After this chapter you can**
#
# - say why one pass of bridge matching does not find this process, and how repeating it does {cite}`shi2023dsbm,peluchetti2023`;
# - write the loss and the outer loop, and check both against a closed form;
# - get the same pairs by entropic optimal transport, with the right regularisation;
# - put an unpaired translator beside rivals that need no network.
#
# You need {doc}`bridge_matching` up to its section on what the process remembers, and {doc}`flow_matching`. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = (
    None  # of the digits' networks; those of the protocol have as many
)
loop_steps: int = 60  # of each turn of the loop that is written out
points: int = 10_000

# %% tags=["hide-input"]
import math

import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit, generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.seeds import over_seeds
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.coloured_digits_world import (
    coloured_digits_world,
    saturation,
)
from mmlab.diffusion.coupling import entropic_plan
from mmlab.diffusion.gaussian import coupling_after_matching, schrodinger_coupling
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import BridgeMatching, bridge_moments
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.schrodinger_bridge import SchrodingerBridge, simulate
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
from mmlab.viz.theme import use_theme

steps = steps or {"cpu": 150, "gpu": 2000}[profile]
use_theme()


# %% [markdown]
# ## The idea in one picture
#
# Let particles diffuse freely from the sources and gather the variance $\sigma^2$. Suppose that, against all odds, they
# were found in the places of the targets. Which source most probably went to which target? With little noise, only
# short ways are plausible: the pairing is that of optimal transport. With much noise, every way is as plausible as any
# other: the pairs are independent. Turn σ.

# %% tags=["hide-input"]
rng = generator(1)
sources = torch.randn(24, 2, generator=rng).double() * 0.5
targets = sources.flip(1) * 1.2 + torch.tensor([4.0, 0.0]).double()
targets = targets + 0.5 * torch.randn(24, 2, generator=rng).double()
plans = {
    sigma: entropic_plan(sources, targets, 2 * sigma**2)
    for sigma in (0.1, 0.5, 1.0, 3.0, 10.0)
}


def choices(plan):
    """Number of targets that a source effectively chooses from: the exponential of the entropy of its row."""
    rows = plan / plan.sum(1, keepdim=True)
    return torch.special.entr(rows).sum(1).exp().mean().item()


def draw_plan(sigma):
    figure = Figure(figsize=(5.6, 3.2))
    axes = figure.subplots()
    strength = plans[sigma] / plans[sigma].max()
    for i, j in (strength > 0.02).nonzero().tolist():
        axes.plot(
            *torch.stack([sources[i], targets[j]]).T,
            color="0.5",
            lw=0.8,
            alpha=strength[i, j].item(),
        )
    axes.plot(*sources.T, "o", color="C0", ms=4)
    axes.plot(*targets.T, "o", color="C1", ms=4)
    axes.set(
        xlabel="first coordinate",
        ylabel="second coordinate",
        title=f"choices per source: {choices(plans[sigma]):.1f}",
    )
    return figure


def describe_plan(sigma):
    return (
        f"Lines between 24 sources and 24 targets, as strong as the plan with σ = {sigma}; each source effectively chooses "
        f"among {choices(plans[sigma]):.1f} targets."
    )


frames(
    {"σ": list(plans)},
    draw_plan,
    describe_plan,
    caption=(
        "Blue: sources; orange: targets; grey: the coupling of the Schrödinger bridge between these points. A source effectively chooses among "
        f"{choices(plans[0.1]):.1f} targets with σ = 0.1, and among {choices(plans[10.0]):.1f} of {len(targets)} with σ = 10. (The limit of small σ is optimal transport, with one.)"
    ),
    start={"σ": 0.5},
    label="plan",
)

# %% [markdown]
# ## Why once is not enough
#
# Bridge matching of any pairs gives a process with the right ends. But its pairs are others than those it was trained
# on: stand where two bridges cross, and you are sent on by their average. {doc}`bridge_matching` has the law: for
# $\mathcal N(0, 1)$ ends and training pairs of correlation $c$, the learned process has correlation $c'(c)$.
#
# Now turn the fault into a tool. *Train on the pairs that the process makes, and repeat.* The learned process is Markov: its drift looks at the present state alone. Suppose that
# it makes the very pairs that it was trained on. Then it also has the law of the mixture of reference bridges between its ends (such a mixture is called *reciprocal*). Only the Schrödinger bridge is both
# {cite}`leonard2014survey`. The iteration is called *iterative Markovian fitting*:
#
# 1. *Reciprocal step*: take pairs $(x_0, x_1)$, put reference bridges between them.
# 2. *Markovian step*: learn their average drift by regression, {doc}`bridge_matching`, and let it make new pairs.
#
# Each step brings the process nearer to the Schrödinger bridge in the sense of the Kullback–Leibler divergence
# {cite}`shi2023dsbm`.
#
# [](#figure-turn) shows one turn. A practical point: if the new pairs are always made forwards, the errors of the learned ends
# can add up from round to round {cite}`shi2023dsbm`. So learn both directions. The forward process makes pairs whose *start* is data, and the
# backward drift learns from those; the backward process makes pairs whose *end* is data, and the forward drift learns
# from those. With $t$ uniform and the drifts $f$ forward and $g$ backward,
#
# $$L = \tfrac12\,\mathbb E_{\text{backward pairs}}\,(1-t)\left\| f(X_t, t) - \frac{x_1 - X_t}{1-t} \right\|^2
# + \tfrac12\,\mathbb E_{\text{forward pairs}}\; t \left\| g(X_t, t) - \frac{x_0 - X_t}{t} \right\|^2 . \tag{1}$$
#
# What is regressed on, $x_1$ in the first and $x_0$ in the second, is always data. (The weights keep the variance of the
# targets bounded.) The pairs are made in steps
#
# $$X_t = X_s + (t - s)\,\frac{\mathbb E[X_1 \mid X_s] - X_s}{1 - s} + \sigma\sqrt{t-s}\; z, \tag{2}$$
#
# which get shorter towards the end, where the drift is steep; the last is made without noise, and ends in $\mathbb E[X_1 \mid X_s]$.
#
# %% tags=["hide-input"]
show(
    in_rows(
        [
            {"sources": "sources", "targets": "targets"},
            {"copy": "resting copy: walks by (2)"},
            {"forward": "pairs that start in data", "backward": "pairs that end in data"},
            {"bridges": "points of reference bridges"},
            {"network": "network: both drifts, (1)"},
        ],
        [
            ("sources", "copy"), ("targets", "copy"), ("copy", "forward", "forward"), ("copy", "backward", "backward"),
            ("forward", "bridges"), ("backward", "bridges"), ("bridges", "network"),
        ],
        trained=["network"],
    ),
    alt=(
        "Boxes joined by arrows. A resting copy of the network walks forward from the sources and backward from the targets; bridges between "
        "the ends of these pairs train the network."
    ),
    caption="One turn of iterative Markovian fitting. Blue is trained; after the turn its weights go to the copy, and the next turn begins.",
    label="turn",
)  # fmt: skip

# %% [markdown]
# Here is the loss, with a network that predicts both drifts. {py:meth}`~mmlab.methods.schrodinger_bridge.SchrodingerBridge.recouple` walks in the steps (2), forward from the
# sources and backward from the targets, with a *copy* of the network that rests during an iteration.


# %%
def on_bridge(start, end, sigma, rng):
    """A random time and a point of the reference bridge between these ends, (B, E)."""
    t = 0.001 + 0.998 * torch.rand(len(start), generator=rng)
    noise = torch.randn(start.shape, generator=rng)
    share = t[:, None]
    x = (1 - share) * start + share * end
    return t, x + sigma * (share * (1 - share)).sqrt() * noise


def loss_by_hand(method, x0, x1, rng):
    """Eq. (1); a drift's error is that of its expected end, divided by the time that is left."""
    sigma = method.reference.sigma
    made1, made0 = method.recouple(x0, x1, rng)  # by the copy: forward, backward
    t, x = on_bridge(x0, made1, sigma, rng)  # forward pairs: their start is data
    backward = (method.ends(x, t, x)[0] - x0).square() / t[:, None]
    t, x = on_bridge(made0, x1, sigma, rng)  # backward pairs: their end is data
    forward = (method.ends(x, t, x)[1] - x1).square() / (1 - t)[:, None]
    return (forward.mean() + backward.mean()) / 2


torch.manual_seed(0)
method = SchrodingerBridge((3,), 16, 1, sigma=0.7, simulation_steps=5).eval()
method.begin_iteration(1)
x0, x1 = torch.randn(2, 64, 3, generator=generator(1))
package = method.loss({"source": x0, "target": x1}, generator(2))["loss"]
assert torch.allclose(
    loss_by_hand(method, x0, x1, generator(2)), package, rtol=1e-4
)

# %% [markdown]
# And the outer loop. The first turn has no process yet, and shuffles.


# %%
def outer_loop(method, sources, targets, iterations, rng):
    """Iterative Markovian fitting; yields the method after each turn's training."""
    optimiser = torch.optim.Adam(method.parameters(), lr=8e-3)
    for iteration in range(iterations):
        method.begin_iteration(iteration)  # the copy takes over the weights
        for _ in range(loop_steps):
            x0 = sources[torch.randint(len(sources), (192,), generator=rng)]
            x1 = targets[torch.randint(len(targets), (192,), generator=rng)]
            if iteration == 0:  # drawn one by one: the pairs are shuffled
                loss = method.residuals(x0, x1, rng).square().mean()
            else:
                loss = loss_by_hand(method, x0, x1, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield method


torch.manual_seed(0)
method = SchrodingerBridge((1,), 32, 1, sigma=1.0, simulation_steps=8)
group0, group1, fresh = torch.randn(3, 5000, 1, generator=generator(5))
turns = []
for trained_so_far in outer_loop(method, group0, group1, 3, generator(6)):
    ends = trained_so_far.sample(fresh, steps=20, rng=generator(7))
    turns.append(torch.corrcoef(torch.cat([fresh, ends], 1).T)[0, 1].item())
say(
    "Correlation of the ends after each turn, for two normal groups and σ = 1: "
    + ", ".join(f"{value:.3f}" for value in turns)
    + f". The Schrödinger bridge has {schrodinger_coupling(torch.ones(1, 1), torch.ones(1, 1), 1.0).item():.3f}."
)

# %% [markdown]
# In the package the turns are a function of the step, and the copy is part of the saved state: a run that is stopped anywhere goes on with the
# same bits.
#
# ## The iteration, exactly
#
# For Gaussian ends the regression is linear, so least squares can stand in for the network. Then every point can be
# compared with the law.


# %%
def least_squares_iterations(sigma, rounds, seed, n=points, count=50):
    """Correlation of the ends after each round, with one regression slope for each time."""
    rng, found = generator(seed), []
    x0, x1 = torch.randn(2, n, generator=rng).double()
    times = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    times = 1 - (1 - times) ** 1.5
    for _ in range(rounds):
        slope = {}
        for t in times[:-1]:
            mean, variance = bridge_moments(Reference(sigma), x0, x1, t)
            x = mean + variance.sqrt() * torch.randn(n, generator=rng).double()
            slope[t.item()] = (x * x1).mean() / x.square().mean()
        x0 = torch.randn(n, generator=rng).double()
        x1 = simulate(
            lambda x, t, slope=slope: slope[t.item()] * x,
            Reference(sigma),
            x0,
            count,
            rng,
        )
        found.append(torch.corrcoef(torch.stack([x0, x1]))[0, 1].item())
    return found


rounds = 4
law, limit, measured = {}, {}, {}
for sigma in (0.5, 1.0, 2.0):
    law[sigma] = [0.0]
    for _ in range(rounds):
        law[sigma].append(coupling_after_matching(law[sigma][-1], sigma))
    one = torch.ones(1, 1).double()
    limit[sigma] = schrodinger_coupling(one, one, sigma).item()
    measured[sigma] = [
        least_squares_iterations(sigma, rounds, seed) for seed in range(seeds)
    ]

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 3.4))
axes = figure.subplots()
for sigma, colour in zip(law, ("C1", "C0", "C2"), strict=True):
    axes.axhline(limit[sigma], color=colour, lw=0.8, ls="--")
    axes.plot(law[sigma], color=colour, lw=1, label=f"σ = {sigma}")
    for path in measured[sigma]:
        axes.plot(range(1, rounds + 1), path, "o", color=colour, ms=4, alpha=0.7)
axes.set(
    xlabel="rounds of bridge matching",
    ylabel="correlation of the ends",
    xticks=range(rounds + 1),
)
axes.legend()
miss = max(
    abs(value - expected)
    for sigma, paths in measured.items()
    for path in paths
    for value, expected in zip(path, law[sigma][1:], strict=True)
)
show(
    figure,
    alt=(
        "Correlation of the ends against rounds of bridge matching for three values of sigma. All start at 0 and rise most in the "
        f"first round. Their dashed limits are {', '.join(f'{value:.3f}' for value in limit.values())}; after three rounds they are at most "
        f"{max(abs(law[sigma][3] - limit[sigma]) for sigma in law):.4f} away. The points lie within {miss:.3f} of the lines."
    ),
    caption=(
        f"Lines: the law; dashed: the Schrödinger bridge; points: least squares, {seeds} seeds, at most {miss:.3f} from the "
        f"law. With σ = 1, independent pairs become pairs of correlation {law[1.0][1]:.4f} in one round, and "
        f"{law[1.0][2]:.4f} in two; the limit is {limit[1.0]:.4f}."
    ),
    label="rounds",
)
record(law_miss=miss)

# %% [markdown]
# The caption counts how much of the way one round and two rounds go. With networks every round takes its share of the training.
#
# ## The short cut: entropic transport
#
# The pairs of the Schrödinger bridge can be had without any diffusion. Give each pair $(x_0, x_1)$ its probability under
# the reference, $\propto \exp(-|x_0 - x_1|^2 / 2\sigma^2)$. The coupling with the right ends that is nearest to this is
# the solution of *entropic optimal transport*, minimise $\sum \pi |x_0 - x_1|^2 + \varepsilon \sum \pi \log \pi$, with
#
# $$\varepsilon = 2\sigma^2 . \tag{3}$$
#
# It has the form $\pi_{ij} = a_i\, e^{-|x_0^i - x_1^j|^2/\varepsilon}\, b_j$, and Sinkhorn's algorithm finds $a$ and $b$ by
# scaling rows and columns in turn {cite}`cuturi2013sinkhorn`. Draw partners from the plan of each batch, and *one* round of
# bridge matching is enough {cite}`tong2024`: its pairs are a fixed point already. The catch is the batch. The plan
# between two small samples is not the plan between two distributions.
#
# ## Networks on the published protocol
#
# From $\mathcal N(-0.1, I)$ to $\mathcal N(0.1, I)$ in five dimensions with $\sigma = 1$, 10 000 points
# {cite}`shi2023dsbm`. The bridge has a covariance of $(\sqrt 5 - 1)/2$ per coordinate and variance 1.

# %%
dimension, rows, spent = 5, [], {}
routes = {
    "one pass, shuffled pairs": {"iterations": 1},
    "iterative Markovian fitting": {"iterations": 4, "simulation_steps": 8},
    "Sinkhorn pairs, one pass": {"coupling": "sinkhorn"},
}
for seed in range(seeds):
    ends = torch.randn(3, points, dimension, generator=generator(seed))
    data = TensorData({"source": ends[0] - 0.1, "target": ends[1] + 0.1})
    start = ends[2, : points // 2] - 0.1
    for name, arguments in routes.items():
        torch.manual_seed(seed)
        method = SchrodingerBridge((dimension,), 48, 1, sigma=1.0, **arguments)
        fit(
            method,
            data,
            steps=steps,
            batch_size=192,
            lr=8e-3,
            schedule="cosine",
            ema_decay=0.98,
            seed=seed,
            progress=False,
        )
        spent[name] = Spent.on(method, steps)
        end = method.sample(start, steps=30, rng=generator(100 + seed))
        centred = (start - start.mean(0)) * (end - end.mean(0))
        rows.append(
            {
                "route": name,
                "seed": seed,
                "mean": end.mean().item(),
                "variance": end.var(0).mean().item(),
                "covariance": centred.mean().item(),
            }
        )
by_seed = pd.DataFrame(rows)
by_seed["error"] = (by_seed["covariance"] - limit[1.0]).abs()
exact = {
    "route": "closed form",
    "seed": 0,
    "mean": 0.1,
    "variance": 1.0,
    "covariance": limit[1.0],
    "error": 0.0,
}
table_over_seeds(
    pd.concat([by_seed, pd.DataFrame([exact])]),
    f"Ends of the forward process from {points // 2:,} fresh sources; *error* is the distance of the covariance from the bridge's.",
    by="route",
    best={"error": "lower"},
    reference=["closed form"],
    budgets=Budgets("iterative Markovian fitting", spent),
)

# %% tags=["hide-input"]
routes_by_seed = over_seeds(by_seed, "route")
ONCE, FITTED, SHORT = routes
for name, ours, rival in (
    ("fitted-once", FITTED, ONCE),
    ("sinkhorn-once", SHORT, ONCE),
    ("fitted-sinkhorn", FITTED, SHORT),
):
    claim(
        f"coupling-{name}",
        routes_by_seed.of(ours, "error"),
        routes_by_seed.of(rival, "error"),
        direction="lower",
        better=f"- After as many steps, *{ours}* misses the bridge's covariance by less than *{rival}*: {{ours}} against {{theirs}}.",
        worse=f"- After as many steps, *{ours}* misses the bridge's covariance by more than *{rival}*: {{ours}} against {{theirs}}.",
        undecided=f"- After as many steps, *{ours}* ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart by what they miss of the bridge's covariance.",
    )
once = routes_by_seed.of(ONCE, "covariance")
say(
    f"- Of the {limit[1.0] - once.mean():.3f} that one pass misses, the law demands {limit[1.0] - law[1.0][1]:.3f}: a perfect network has {law[1.0][1]:.3f}, this one {once.mean():.3f}. "
    f"The rest is the error of this network, of the steps in which it is sampled, and of the draws. As many steps are not as much work: after its first turn, the fitting also runs its copy {routes[FITTED]['simulation_steps']} times in every step. Longer training and higher dimensions stand on the page [Measured](../book/measured.md)."
)
record(
    budget=Budgets(FITTED, spent).plain(),
    covariance={
        name: routes_by_seed.of(name, "covariance").mean() for name in routes
    },
    error_of_the_coupling={
        "Schrödinger bridge": routes_by_seed.of(FITTED, "error").tolist(),
        "one pass of bridge matching": routes_by_seed.of(ONCE, "error").tolist(),
    },
)

# %% [markdown]
# ## Translation without pairs: grey digits to coloured digits
#
# Turning grey digits into coloured ones is a good test for
# unpaired translation ({py:func}`~mmlab.data.worlds.coloured_digits_world.coloured_digits_world`): sources and targets are
# *different* digits, in any order, and colours are drawn at random. A good translator keeps the digit, which is a
# question of the coupling, and hits the colours, which is a question of the ends. Three measures:
#
# - *class kept*: a classifier that has seen only grey digits reads the result by its largest channel;
# - *W2* between 400 results and 400 true coloured digits;
# - *saturation*: 0 for grey, 1 for a pure colour; results are not cut off to the range of colours, so it can exceed 1.
#
# The networks see images as their first 24 principal components, so that small networks do; *the truth, squeezed*
# says what is lost by that (its W2 is to the very images that were squeezed; *other true digits* says what new ones have). Rivals without a network work on pixels: leave it as it is (*identity*); the affine *Gaussian map*; *partner of the nearest*, that is, exact optimal
# transport between the training sets and a nearest neighbour. Flow matching with both couplings sees the components, as the bridges do. The bridges have σ = 0.5, which was not searched for; one row has less. For once there is
# also a method that is *given pairs*. It sees its source at all times, and twice as many training digits on either side: more than the pairing differs.

# %%
size, keep = 24, {}
flows = {"width": 96, "depth": 2, "scale": 0.6}
trained = {
    "flow matching, independent": lambda: FlowMatching((size,), **flows),
    "flow matching, optimal": lambda: FlowMatching(
        (size,), coupling="optimal", **flows
    ),
    "Schrödinger bridge, one pass": lambda: SchrodingerBridge(
        (size,), sigma=0.5, iterations=1, **flows
    ),
    "Schrödinger bridge, fitted": lambda: SchrodingerBridge(
        (size,), sigma=0.5, iterations=3, simulation_steps=6, **flows
    ),
    "Schrödinger bridge, Sinkhorn": lambda: SchrodingerBridge(
        (size,), sigma=0.5, coupling="sinkhorn", **flows
    ),
    "Schrödinger bridge, fitted, σ = 0.2": lambda: SchrodingerBridge(
        (size,), sigma=0.2, iterations=3, simulation_steps=6, **flows
    ),
    "paired bridge, given $x_0$": lambda: BridgeMatching(
        (size,), sigma=0.5, parametrisation="displacement", **flows
    ),
}


def flat(data):
    return TensorData(
        {key: data.tensors[key].flatten(1) for key in ("source", "target")}
    )


rows = []
for seed in range(seeds):
    world = coloured_digits_world(seed=seed)
    unpaired, pairs, test = map(flat, (world.unpaired, world.pairs, world.test))
    grey, truth = test.tensors["source"], test.tensors["target"]
    known = unpaired.tensors["source"], unpaired.tensors["target"]
    centre = torch.cat(known).mean(0)
    basis = torch.linalg.svd(torch.cat(known) - centre, full_matrices=False)[2][
        :size
    ]

    def squeezed(data, centre=centre, basis=basis):
        return TensorData(
            {key: (value - centre) @ basis.T for key, value in data.tensors.items()}
        )

    unpaired, pairs, test = map(squeezed, (unpaired, pairs, test))
    made = {
        "identity": grey,
        "Gaussian map": gaussian_map(*known, grey),
        "partner of the nearest": neighbour_map(*known, grey),
    }
    for name, build in trained.items():
        torch.manual_seed(seed)
        method = build()
        fit(
            method,
            pairs if name.startswith("paired") else unpaired,
            steps=steps,
            batch_size=64,
            lr=1e-2,
            schedule="cosine",
            ema_decay=0.98,
            seed=seed,
            progress=False,
        )
        spent[name] = Spent.on(method, steps)
        scores = method.sample(
            test.tensors["source"], steps=20, rng=generator(100 + seed)
        )
        made[name] = centre + scores @ basis
    made["the truth, squeezed"] = centre + test.tensors["target"] @ basis
    made["other true digits"] = known[1][: len(grey)]
    for name, flat_images in made.items():
        images = flat_images.unflatten(1, (3, 8, 8))
        rows.append(
            {
                "method": name,
                "seed": seed,
                "class kept": world.kept(images, world.test.tensors["label"]),
                "W2": wasserstein2(flat_images, truth),
                "saturation": saturation(images).mean().item(),
            }
        )
        if seed == 0:
            keep[name] = images
each = pd.DataFrame(rows)
LIMITS = [
    "identity",
    "paired bridge, given $x_0$",
    "the truth, squeezed",
    "other true digits",
]
runs = over_seeds(each)
digits = runs.mean
budgets = Budgets("Schrödinger bridge, fitted", spent)
columns = digits.join(budgets.columns()["parameters"])
table(
    columns,
    f"Grey to coloured digits, 400 test digits, mean ± standard deviation over {seeds} seeds; *parameters* are those that are trained. The identity, the row with pairs and the last two rows do not compete.",
    spread=runs.spread.reindex(columns=columns.columns),
    best={"class kept": "higher", "W2": "lower"},
    reference=LIMITS,
    paired=runs,
    budgets=budgets,
)

# %% tags=["hide-input"]
shown = [
    "identity",
    "Gaussian map",
    "partner of the nearest",
    "flow matching, independent",
    "flow matching, optimal",
    "Schrödinger bridge, one pass",
    "Schrödinger bridge, fitted",
    "Schrödinger bridge, Sinkhorn",
    "paired bridge, given $x_0$",
]
figure = Figure(figsize=(5.6, 8.2))
for axes, name in zip(figure.subplots(len(shown)), shown, strict=True):
    side_by_side = torch.nn.functional.pad(
        keep[name][:8].clamp(0, 1), (0, 2), value=1.0
    )
    axes.imshow(side_by_side.permute(2, 0, 3, 1).flatten(1, 2).numpy())
    axes.set_title(name, fontsize=10, loc="left")
    axes.axis("off")
best_kept = digits["class kept"].drop(LIMITS)
nearest_ends = digits["W2"].drop(LIMITS)
show(
    figure,
    alt=(
        "Nine rows of eight test digits: as they are, and as each translator makes them. The Gaussian map leaves them "
        "nearly grey; the partners of the nearest are clean coloured digits; the flows and bridges are coloured and more or "
        "less blurred."
    ),
    caption=(
        "The same eight test digits by each translator. The columns should show one digit; the colour is free. "
        f"Of those without pairs, the highest mean share of classes is that of *{best_kept.idxmax()}*, {best_kept.max():.0%}, and the least W2 that of "
        f"*{nearest_ends.idxmin()}*, {nearest_ends.min():.2f}."
    ),
    label="digits",
)

# %% tags=["hide-input"]
say("**Reading the table**, first the coupling, then the ends.")
FITTED, ONCE = "Schrödinger bridge, fitted", "Schrödinger bridge, one pass"
SHORT, OPTIMAL = "Schrödinger bridge, Sinkhorn", "flow matching, optimal"
LESS = "Schrödinger bridge, fitted, σ = 0.2"
NEAREST, INDEPENDENT = "partner of the nearest", "flow matching, independent"
PAIRED = "paired bridge, given $x_0$"
comparisons = {
    "optimal-independent": (OPTIMAL, INDEPENDENT),
    "fitted-one-pass": (FITTED, ONCE),
    "fitted-sinkhorn": (FITTED, SHORT),
    "fitted-optimal": (FITTED, OPTIMAL),
    "less-noise-fitted": (LESS, FITTED),
    "less-noise-optimal": (LESS, OPTIMAL),
    "fitted-nearest": (FITTED, NEAREST),
    "optimal-nearest": (OPTIMAL, NEAREST),
    "fitted-paired": (FITTED, PAIRED),
    "optimal-gaussian": (OPTIMAL, "Gaussian map"),
}
for slug, (ours, rival) in comparisons.items():
    claim(
        f"kept-{slug}",
        runs.of(ours, "class kept"),
        runs.of(rival, "class kept"),
        direction="higher",
        unit="%",
        better=f"- *{ours}* keeps the class more often than *{rival}*: {{ours}} against {{theirs}}.",
        worse=f"- *{ours}* keeps the class less often than *{rival}*: {{ours}} against {{theirs}}.",
        undecided=f"- *{ours}* ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart by the class kept.",
    )
for slug, (ours, rival) in list(comparisons.items())[:8]:
    claim(
        f"ends-{slug}",
        runs.of(ours, "W2"),
        runs.of(rival, "W2"),
        direction="lower",
        better=f"- *{ours}* is nearer to the colours than *{rival}*: W2 {{ours}} against {{theirs}}.",
        worse=f"- *{ours}* is further from the colours than *{rival}*: W2 {{ours}} against {{theirs}}.",
        undecided=f"- *{ours}* ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart by W2.",
    )
row = digits.loc
say(
    f"""Nobody was told what a class is; all that a coupling can go by here is distance. Saturations: fitted bridge {row[FITTED, "saturation"]:.2f}, one pass {row[ONCE, "saturation"]:.2f},
Gaussian map {row["Gaussian map", "saturation"]:.2f} (the mean colour of all hues is grey, and an affine map knows only means and covariances). The *partner of the nearest* copies
training images, so that it never invents a digit; its W2 is {row[NEAREST, "W2"]:.2f}, that of other true digits {row["other true digits", "W2"]:.2f}."""
)
kept_by_seed = {name: runs.of(name, "class kept").tolist() for name in digits.index}
record(
    class_kept={
        "Schrödinger bridge": kept_by_seed["Schrödinger bridge, fitted"],
        "independent coupling": kept_by_seed["flow matching, independent"],
    },
    digits={
        name: [round(value, 4) for value in values]
        for name, values in zip(
            digits.index, digits.to_numpy().tolist(), strict=True
        )
    },
)

# %% [markdown]
# ## What goes wrong in practice
#
# - **Plain bridge matching called a Schrödinger bridge.** It is the first round only. The law above says what is missing.
# - **A plan that never reaches the loss.** See {doc}`flow_matching`. Here, too, a test replaces the pairs and looks whether
#   the loss knows.
# - **One point of the batch.** A public implementation of the Sinkhorn route once trained on a single point of each batch by
#   an error of broadcasting, and drew noise. Shapes are checked here, and the loss is compared with a closed form.
# - **ε and σ².** With $\varepsilon = \sigma^2$ in place of (3) everything runs, and the coupling is that of another
#   diffusion.
# - **One seed for two things.** Data drawn from a generator with seed 0, noise from another with seed 0: then the noise *is*
#   the data again, and the ends are tied together by more than the bridge. A closed form shows it. Give data and noise different seeds.
#
# ## Exercises
#
# ```{exercise} Sinkhorn by hand (code)
# :label: sb-sinkhorn
#
# Write Sinkhorn's algorithm. Start from $K = e^{-C/\varepsilon}$ and $b = (1, \dots, 1)$. In each round, choose $a$ such that
# every *row* of $\mathrm{diag}(a) K\,\mathrm{diag}(b)$ sums to $1/B$, then $b$ such that every *column* does. Return the plan.
# ```

# %% tags=["stub:sinkhorn"]
from mmlab.exercises.schrodinger_bridge import check_sinkhorn


def sinkhorn(cost, epsilon, rounds):
    return ...


check_sinkhorn(sinkhorn)

# %% [markdown]
# ```{solution-start} sb-sinkhorn
# :class: dropdown
# ```


# %% tags=["solution:sinkhorn"]
def sinkhorn(cost, epsilon, rounds):
    kernel = torch.exp(-cost / epsilon)
    b = torch.ones(len(cost), dtype=cost.dtype)
    for _ in range(rounds):
        a = 1 / len(cost) / (kernel @ b)
        b = 1 / len(cost) / (kernel.T @ a)
    return a[:, None] * kernel * b


check_sinkhorn(sinkhorn)

# %% tags=["hide-input"]
by_hand = sinkhorn(torch.cdist(sources, targets).square(), 2.0, 500)
say(
    f"On the points of [](#figure-plan) with σ = 1, the plan by hand differs from the library's by at most "
    f"{(by_hand - plans[1.0]).abs().max():.1e}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Where it ends (compute)
# :label: sb-limit
#
# Both ends are $\mathcal N(0, 1)$. The inverse of the joint covariance $\begin{pmatrix} 1 & c \\ c & 1 \end{pmatrix}$ of the
# Schrödinger bridge has $-1/\sigma^2$ off its diagonal, since nothing but the reference ties the ends together. Solve for the
# correlation $c$ and compute it for $\sigma = ½$, 1 and 2, to three decimals.
# ```

# %% tags=["stub:limits"]
from mmlab.exercises.schrodinger_bridge import check_limits

half = ...
unit = ...
double = ...

check_limits((half, unit, double))

# %% [markdown]
# ```{solution-start} sb-limit
# :class: dropdown
# ```
#
# The entry off the diagonal is $-c/(1 - c^2)$. So $c^2 + \sigma^2 c - 1 = 0$.


# %% tags=["solution:limits"]
def correlation(sigma):
    return (-(sigma**2) + math.sqrt(sigma**4 + 4)) / 2


half, unit, double = correlation(1 / 2), correlation(1), correlation(2)

check_limits((half, unit, double))

# %% tags=["hide-input"]
say(
    f"The correlations are {half:.4f}, {unit:.4f} and {double:.4f}: the dashed lines of [](#figure-rounds). With σ = 1 it is the "
    "golden ratio less one."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The wrong ε (derive)
# :label: sb-epsilon
#
# Both ends are $\mathcal N(0, 1)$. Write the correlation of the plan of entropic transport as a function of $\varepsilon$ alone. Then: somebody takes $\varepsilon = \sigma^2$ in place of (3). Which
# diffusion's bridge is that?
# ```

# %% tags=["stub:plan_correlation"]
from mmlab.exercises.schrodinger_bridge import check_plan_correlation


def plan_correlation(epsilon):
    return ...


check_plan_correlation(plan_correlation)

# %% [markdown]
# ```{solution-start} sb-epsilon
# :class: dropdown
# ```
#
# By (3) the plan is the coupling of the bridge with $\sigma^2 = \varepsilon/2$; put that into $c^2 + \sigma^2c - 1 = 0$.


# %% tags=["solution:plan_correlation"]
def plan_correlation(epsilon):
    variance = epsilon / 2
    return (-variance + math.sqrt(variance**2 + 4)) / 2


check_plan_correlation(plan_correlation)

# %% tags=["hide-input"]
say(
    f"With σ = 1 the right correlation is {plan_correlation(2.0):.3f}. The wrong ε gives {plan_correlation(1.0):.3f}, the bridge of a diffusion with half the variance. Everything runs, and nothing looks wrong."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Shuffling the data (think)
# :label: sb-shuffle
#
# You shuffle the targets of a paired data set and train a Schrödinger bridge with a small σ; then you train it on the true
# pairs. What differs? What would you conclude from a study that reports "the pairing was recovered without pairs"?
# ```
#
# ```{solution-start} sb-shuffle
# :class: dropdown
# ```

# %%
x0, z = torch.randn(2, 256, 1, generator=generator(3)).double()
anti = -0.8 * x0 + 0.6 * z  # the truth: far becomes near, and near becomes far
distances = torch.cdist(x0, anti).square()
found = sinkhorn(distances, 2 * 0.5**2, 400)
true_r = torch.corrcoef(torch.cat([x0, anti], 1).T)[0, 1]
found_r = (
    (x0 - x0.mean()).T @ found @ (anti - anti.mean())
)  # covariance by the plan
found_r = found_r / (x0.std() * anti.std())

# %% tags=["hide-input"]
say(
    f"Nothing differs: the bridge is a function of the two groups alone. If the true pairs are as short as can be, it finds them; "
    f"if not, it does not. Here the true correlation is {true_r.item():.2f}, and the bridge says {found_r.item():.2f}. A study has to show that its "
    "true pairs are *not* simply the nearest ones, or else that this is all that was recovered."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A process has the right ends and is a mixture of reference bridges. Is it the Schrödinger bridge?
# Not yet: every coupling gives such a mixture. It must also be Markov.
# ```
#
# ```{dropdown} Why does each direction learn from the pairs of the other?
# So that what is regressed on is data. A drift that learned from ends of its own making could keep its errors and add to them.
# ```
#
# ```{dropdown} When would you take the Gaussian map instead?
# When both groups are nearly Gaussian, or too small to show otherwise. Between Gaussians it is the exact optimal transport, the limit of small σ; it costs a few decompositions, and has no knobs.
# ```
#
# ## In five lines
#
# - Without pairs a principle has to choose the coupling; Schrödinger's is: as much like pure diffusion as the ends allow.
# - Bridge matching on its own pairs, again and again, leads there; each direction learns from the pairs of the other.
# - Entropic transport with $\varepsilon = 2\sigma^2$ has the same pairs, up to the size of the batch.
# - For Gaussian groups the answer is a formula. Elsewhere face the partner of the nearest and the flow with optimal pairs; the claims above say what this run decides.
# - Nearest is a principle, not knowledge: true pairs that are not near are not found.
#
# ## Limits, and what to read next
#
# - The principle is a choice. Nearest is not always right, and distances between pixels or edges are not distances of meaning.
# - Rest and task scans of *different* studies differ by scanner and cleaning as well. An unpaired translator will carry
#   that difference over with the rest, and nothing in the result shows it.
# - σ has a unit, that of the data. Large σ forgets who was who, as [](#figure-plan) shows; of small σ the digits above show one value, after one length of training.
# - Images of 8 × 8 pixels and perceptrons: the point is the coupling, not the picture. With `origin="mnist"` the same
#   world has 28 × 28 pixels.
#
# Read {cite:t}`shi2023dsbm` and {cite:t}`peluchetti2023` for the iteration, {cite:t}`tong2024` for the route through
# transport, {cite:t}`leonard2014survey` for the theory, and {cite:t}`bunne2023gaussian` for the closed form.

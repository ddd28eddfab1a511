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
# # From rest to motor: the contest
#
# **Which method should you use, and would a simpler one have done?**
#
# The chapters before this one each took a method, and each compared it with a few rivals. This chapter puts them on one
# table: the same people, the same measures, the same number of training steps. Beside them stand the baselines, which
# nobody publishes, and the ceiling, which nobody can pass.
#
# **After this chapter you can**
#
# - say which measure rewards what, and why no single number ranks generative methods;
# - take the number of drawn samples out of a comparison, so that a sampler and a regression compete on equal terms;
# - read off how many network calls a sampler needs, for closeness and for spread;
# - tell whether a blinded sheet is blind.
#
# You need {doc}`bridge_matching`. The other chapters on translation are useful, but not needed. Reading takes half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3  # worlds
steps: int = 130  # of every training
draws: int = 16  # samples for each person, at least 9
people: int = 80  # test people in each world
regions: int | None = None
subjects: int | None = None

# %% tags=["hide-input"]
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

import mmlab
from mmlab import generator
from mmlab.arena.competition import Answer, Competition, Item, Scale
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.connectome_baselines import (
    COMPONENTS,
    PENALTIES,
    baselines,
)
from mmlab.compare.power import power
from mmlab.compare.seeds import over_seeds
from mmlab.compare.translation import TRAINING, Trained, regression_of
from mmlab.data.connectome import edges, matrices
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.diffusion.gaussian import bures_wasserstein
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.c2c import C2C
from mmlab.methods.ddbm import DDBM
from mmlab.methods.diffeo_cfm import DiffeoCFM
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.schrodinger_bridge import SchrodingerBridge
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.methods.tangent_bridge import TangentBridge
from mmlab.methods.wgan_qc import WGANQC
from mmlab.metrics.calibration import coverage
from mmlab.metrics.connectome import (
    block_means,
    correlate,
    identification,
    rmse,
    rowwise_correlation,
)
from mmlab.metrics.correlation_geometry import (
    geometric_mean,
    project_to_correlation,
    to_tangent,
)
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.connectome_sheet import connectome_sheet
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import lines as lines_over_worlds
from mmlab.viz.theme import use_theme

regions = regions or {"cpu": 24, "gpu": 100}[profile]
subjects = subjects or {"cpu": 240, "gpu": 600}[profile]
use_theme()


# %% [markdown]
# ## The idea in one picture
#
# A prediction can be good in two ways. It can be *close*: near the matrix that this person's second scan will show. And it can be
# *real*: one that could be somebody's scan. To see that these are two things, put people on a map. {doc}`tangent_bridge` turns each correlation matrix into a vector without constraints; the
# first two principal components of the training people's task scans are our plane.


# %%
class Map:
    """Coordinates in which clouds of matrices are compared: principal components of tangent vectors."""

    def __init__(self, target, components=10):
        self.reference = geometric_mean(matrices(target.double()))
        vectors = to_tangent(matrices(target.double()), self.reference)
        self.centre = vectors.mean(0)
        axes = torch.linalg.svd(vectors - self.centre, full_matrices=False).Vh
        self.axes = axes[:components]

    def __call__(self, values):
        """Edges (S, E) to coordinates (S, components)."""
        near = project_to_correlation(matrices(values.double()), 1e-3)
        return (to_tangent(near, self.reference) - self.centre) @ self.axes.T


def rescan(true, count=284, seed=0):
    """A second motor scan of the same people: new noise on the same true correlations (S, E)."""
    noise = torch.randn(
        len(true), count, regions, generator=generator(seed), dtype=torch.float64
    )
    factors = torch.linalg.cholesky(matrices(true.double()))
    return edges(
        torch.stack([torch.corrcoef(s.T) for s in noise @ factors.mT])
    ).float()


worlds = {seed: rest_motor_world(subjects, regions, seed) for seed in range(seeds)}
splits = {seed: world.pairs.split(people, seed) for seed, world in worlds.items()}
maps = {seed: Map(learned.target) for seed, (learned, _) in splits.items()}
simple = {seed: baselines(*split) for seed, split in splits.items()}
(train, test), place = splits[0], maps[0]

# %% tags=["hide-input"]
clouds = {
    "group mean": simple[0]["group mean"],
    "copied rest": simple[0]["identity"],
    "shrunk shift": simple[0]["shrunk shift"],
    "a second scan": rescan(worlds[0].true_motor[worlds[0].indices(test)]),
}
real = place(test.target)
figure = Figure(figsize=(5.6, 5.4))
for axes, (name, values) in zip(
    figure.subplots(2, 2, sharex=True, sharey=True).flat,
    clouds.items(),
    strict=True,
):
    axes.plot(*real[:, :2].T, ".", color="0.75", ms=5, label="their scans")
    axes.plot(*place(values)[:, :2].T, ".", color="C1", ms=4, label="predicted")
    axes.set(title=name, xlabel="component 1", ylabel="component 2")
    axes.label_outer()
figure.axes[0].legend(fontsize=9, loc="lower left")
width = {name: float(place(v).std(0).mean()) for name, v in clouds.items()}
errors = {name: rmse(v, test.target) for name, v in clouds.items()}
show(
    figure,
    alt=(
        "Four scatter plots of the test people in the plane of two principal components, real scans in grey and predictions in orange. "
        f"Widths: {', '.join(f'{name} {w:.2f}' for name, w in width.items())}; real {real.std(0).mean():.2f}."
    ),
    caption=(
        f"Grey: motor scans of {people} test people. Orange: four predictions of them. RMSE: {', '.join(f'{name} {e:.3f}' for name, e in errors.items())}. "
        f"Mean width of the clouds: {', '.join(f'{name} {w:.2f}' for name, w in width.items())}, real {real.std(0).mean():.2f}. The second scan is new noise on the true matrix, "
        "what a perfect sampler that also knew the person's state would give."
    ),
    label="clouds",
)

# %% [markdown]
# ## The rules
#
# [](#figure-rules) shows what is measured of what.

# %% tags=["hide-input"]
show(
    in_rows(
        [
            {"rest": "rest scan of a test person"},
            {"method": "method, trained on other people"},
            {"one": "one sample", "spread": "spread of $K$ samples", "mean": "mean of $K$ samples"},
            {"real": "real? Fréchet, (2)", "honest": "honest? coverage", "close": "close, in the limit of (1)?"},
        ],
        [
            ("rest", "method"), ("method", "one"), ("method", "spread"), ("method", "mean"),
            ("one", "real"), ("spread", "honest"), ("spread", "close"), ("mean", "close"),
        ],
        trained=["method"],
    ),
    alt=(
        "Boxes joined by arrows. A trained method turns a rest scan into samples: one of them is judged for realness, their spread for honesty, and "
        "the mean of infinitely many for closeness."
    ),
    caption="What is judged by what. A regression has one answer in place of all samples.",
    label="rules",
)  # fmt: skip

# %% [markdown]
# ### Closeness, without the tax on samples
#
# Let $y$ be the scan to come, $m$ the mean of infinitely many samples of a method for this person, and $\hat x_1, \dots, \hat x_K$ samples, drawn without knowledge of $y$.
# Their departures from $m$ have mean zero, are independent of each other, and do not care what $y$ is. All cross terms vanish:
#
# $$\mathbb E\Big\lVert \tfrac1K\sum_k\hat x_k - y\Big\rVert^2 = \mathbb E\lVert m - y\rVert^2 + \tfrac1K\,\mathbb E\lVert \hat x_1 - m\rVert^2 . \tag{1}$$
#
# Who draws is taxed by the variance of the samples over $K$; a regression, which gives one answer, is not. If a method is *right* about its uncertainty, $y$ departs from $m$ as a sample does,
# and the error of a single sample is $\sqrt2$ times that of $m$. The variance can be estimated from the samples, so the tax can be taken off. Everything that is said here about RMSE is said of the limit $K\to\infty$.
#
# The tax spoils correlations as well: what noise is left in the mean adds to its variance and to no covariance. So the *demeaned r*, which is the correlation over edges of the two
# deviations from the training people's mean, is corrected in the same way, person by person, as long as at least half of the variance is no tax. *Identification* (how often a person's own scan is the one that correlates most with the prediction, out of all test people, and the other way round, after the same subtraction)
# and *network blocks* (the demeaned r of means over pairs of brain networks) are those of the mean of all samples.


# %%
def in_the_limit(samples, target, group):
    """RMSE and demeaned r of the mean of infinitely many samples, estimated from samples (K, S, E) by Eq. (1)."""
    mean = samples.double().mean(0)
    tax = torch.zeros_like(mean)
    if len(samples) > 1:
        tax = samples.double().var(0) / len(samples)
    squared = (mean - target).square().mean() - tax.mean()
    size = (mean - group).var(1)  # (S,): variance over edges, tax included
    honest = (1 - tax.mean(1) / size.clamp_min(1e-12)).clamp_min(0.5)  # its share
    alike = rowwise_correlation(mean - group, target - group, scale=mean)
    return {
        "RMSE": float(squared.clamp_min(0).sqrt()),
        "demeaned r": float((alike / honest.sqrt()).mean()),
    }


# %% [markdown]
# ### Realness
#
# Fit a Gaussian to the coordinates of the predicted people, one to those of the real people, and take the squared distance of the two
# in optimal transport. This is the *Fréchet distance*:
#
# $$F = \lVert \mu - \nu\rVert^2 + \operatorname{tr}\!\Big(S + T - 2\big(S^{1/2}\, T\, S^{1/2}\big)^{1/2}\Big). \tag{2}$$
#
# The famous version uses features of a network trained on photographs {cite}`heusel2017`. Ours uses ten tangent coordinates, and one sample of each person.
# The row *a second scan* is what the truth itself would have. It is smaller than the distance between two groups of *different* real people, which is printed below the table: with the same people on both sides, the roughness of two covariances from a hundred people is the same roughness.
# *Invalid* is the share of matrices that are correlations of nothing, since an eigenvalue is negative. Before the logarithm they are moved to near valid ones, which have a tiny eigenvalue; (2) punishes that hard.
# *Called motor* is the share that a logistic regression, trained on real matrices of rest and motor, takes for motor.
#
# *Coverage* is how often the central 80 % interval of the samples holds the measured edge. It should be 80 %.
#
# ### The budget
#
# Everything trained gets the same people, steps, batches of 64, optimiser, rate, weight decay, width of 64 and dropout. Every sampler calls its network 20 times for a sample, the adversary once. What differs is part of a method: the depth (0 for the networks that start from a linear
# regression, 1 for the Schrödinger bridge and WGAN-QC, which do not), and the L1 term of {doc}`wgan_qc`. The number of trained parameters stands in the table.
# All of these are taken over from chapters on other worlds. The number of directions of C2C and all that ridge regression chooses are found by cross-validation among the training people.
# {doc}`pix2pix` is absent: its network of images is too slow for this page. Its own chapter has it on this world, smaller.
#
# ## The field


# %%
E = regions * (regions - 1) // 2
SHARED = {"dropout": 0.5, "scale": 0.2}
TUNED = TRAINING | {"steps": steps}


def bridge(seed):
    return BridgeMatching((E,), 64, 0, 0.1, **SHARED)


def tangent(seed):
    return TangentBridge((E,), 64, 0, 0.1, dropout=0.5, scale=0.1)


def ddbm(seed):
    return DDBM((E,), 64, 0, "ve", 0.1, dropout=0.5)


def diffusion(seed):
    return ScoreDiffusion((E,), 64, 0, **SHARED)


def flow(seed, origin="noise"):
    return FlowMatching(
        (E,), 64, 0, "paired", condition_on_source=True, origin=origin, **SHARED
    )


def diffeo(seed):
    return DiffeoCFM((E,), condition="source", width=64, depth=0, dropout=0.5)


def without_pairs(seed):
    return SchrodingerBridge(
        (E,), 64, 1, 0.1, iterations=3, simulation_steps=5, **SHARED
    )


def adversary(seed):
    return WGANQC((E,), 64, 1, l1_weight=100.0, **SHARED)


def in_tangent_space(method, pairs):
    return method.set_references(pairs).tangent_vectors(pairs)


def in_coordinates(method, pairs):
    return method.flat_vectors(pairs)


def shuffled(method, pairs):
    order = torch.randperm(len(pairs), generator=generator(0))
    return TensorData({"source": pairs.source, "target": pairs.target[order]})


COUNTED = (10, 20, 30)  # directions


def c2c(pairs, source, seed):
    """The linear method, with the number of directions that errs least on held-out training people."""

    def error(count):
        folds = pairs.folds(3, seed=0)
        tried = [
            (C2C((E,), 100, count).solve(inner).sample(held.source), held.target)
            for inner, held in folds
        ]
        return sum(rmse(*pair) for pair in tried)

    return C2C((E,), 100, min(COUNTED, key=error)).solve(pairs).sample(source)


class Entry:
    """A rival that keeps what it predicted and how long it took."""

    def __init__(self, rival):
        self.rival, self.made, self.seconds = rival, {}, {}

    def __call__(self, train, source, seed):
        begun = time.process_time()
        self.made[seed] = self.rival(train, source, seed).detach()
        self.seconds[seed] = time.process_time() - begun
        return self.made[seed]


CALLS = 20  # of the network for each sample, for every sampler
once, twice, thrice = (
    {"samples": draws, "steps": count}
    for count in (CALLS, CALLS // 2, (CALLS - 2) // 3)
)
PLAIN = "plain regression, same network"
SAMPLERS = {
    "bridge matching": Entry(Trained(bridge, TUNED, **once)),
    "tangent bridge": Entry(
        Trained(tangent, TUNED, prepare=in_tangent_space, **once)
    ),
    "DDBM": Entry(Trained(ddbm, TUNED, **thrice)),
    "score diffusion": Entry(Trained(diffusion, TUNED, **once)),
    "flow matching, from noise": Entry(Trained(flow, TUNED, **twice)),
    "DiffeoCFM": Entry(Trained(diffeo, TUNED, prepare=in_coordinates, **twice)),
    "Schrödinger bridge (no pairs)": Entry(Trained(without_pairs, TUNED, **once)),
}  # fmt: skip
OTHERS = {
    "WGAN-QC": Entry(Trained(adversary, TUNED, samples=draws)),
    "flow matching, from the source": Entry(
        Trained(lambda seed: flow(seed, "source"), TUNED, samples=1, steps=CALLS // 2)
    ),
    "C2C": Entry(c2c),
    PLAIN: Entry(Trained(lambda seed: regression_of(bridge(seed)), TUNED, samples=1)),
    "bridge matching, pairs shuffled": Entry(
        Trained(bridge, TUNED, prepare=shuffled, **once)
    ),
}  # fmt: skip
FIELD = SAMPLERS | OTHERS
for seed, (learned, asked) in splits.items():
    for entry in FIELD.values():
        entry(learned, asked.source, seed)


# %% [markdown]
# Now every prediction is measured: its closeness in the limit, the realness of one sample, coverage, and cost.


# %%
def frechet(one, other):
    """Eq. (2) for two sets of coordinates, (S, D) and (R, D)."""
    return float(
        bures_wasserstein(
            one.mean(0), torch.cov(one.T), other.mean(0), torch.cov(other.T)
        )
    )


def realness(one, here, known, decoder):
    """Of one sample per person, (S, E); ``known`` are the real people's coordinates on the map ``here``."""
    smallest = torch.linalg.eigvalsh(matrices(one.double()))[:, 0]
    return {
        "Fréchet": frechet(here(one), known),
        "called motor": float(decoder.predict(one.numpy()).mean()),
        "invalid": float((smallest < -1e-5).double().mean()),
    }


def predictions(seed):
    """Everybody's samples (K, S, E) in one world; K = 1 for who gives one answer."""
    world, (_, asked) = worlds[seed], splits[seed]
    true = world.true_motor[world.indices(asked)]
    made = {name: one[None] for name, one in simple[seed].items()}
    for name, entry in FIELD.items():
        drawn = entry.made[seed].float()
        made[name] = drawn if drawn.ndim == 3 else drawn[None]
    attainable = world.attainable_for(asked, draws=32)[None]
    return made | {
        "attainable from rest": attainable,
        "a second scan": rescan(true, seed=seed)[None],
        "ceiling": true[None],
    }


rows = []
for seed in worlds:
    learned, asked = splits[seed]
    here, group = maps[seed], learned.target.mean(0)
    known = here(asked.target)
    both = torch.cat([learned.source, learned.target]).numpy()
    state = [0] * len(learned) + [1] * len(learned)
    decoder = LogisticRegression(max_iter=300).fit(both, state)
    for name, drawn in predictions(seed).items():
        row = {"method": name, "world": seed} | in_the_limit(
            drawn, asked.target, group
        )
        mean = drawn.double().mean(0)
        matched = correlate(mean - group, asked.target - group, scale=mean)
        own, right, usual = (
            block_means(edges_, asked.regions.networks)
            for edges_ in (mean, asked.target.double(), group.double())
        )
        row |= {
            "identification": (identification(matched) + identification(matched.T))
            / 2,
            "network blocks": float(
                rowwise_correlation(own - usual, right - usual, scale=own).mean()
            ),
        }
        row |= realness(drawn[0].float(), here, known, decoder)
        if len(drawn) > 1:
            row["spread / error"] = float(drawn.var(0).mean().sqrt()) / row["RMSE"]
            row["coverage"] = coverage(drawn, asked.target, [0.8])[0.8]
        if name in FIELD:
            row["seconds"] = FIELD[name].seconds[seed]
        rows.append(row)
contest = pd.DataFrame(rows)  # fmt: skip

# %% [markdown]
# ## The table

# %%
LIMITS = ["attainable from rest", "a second scan", "ceiling"]
GOOD = {"RMSE": "lower", "demeaned r": "higher", "identification": "higher", "network blocks": "higher", "Fréchet": "lower"}  # fmt: skip
ridge = Spent(
    tuned=("components", "penalty"), tries=len(COMPONENTS) * len(PENALTIES)
)
budgets = Budgets(
    "tangent bridge",
    {name: entry.rival.spent for name, entry in FIELD.items() if name != "C2C"}
    | {"C2C": Spent(tuned=("directions",), tries=len(COUNTED))}
    | dict.fromkeys(("ridge on PCA scores", "ridge on the change"), ridge),
)
runs = over_seeds(contest, over="world")
shown = runs.mean.join(budgets.columns()["parameters"])
table(
    shown,
    f"{people} test people, mean ± standard deviation over {seeds} worlds; {steps} training steps, {draws} samples of {CALLS} network calls (WGAN-QC: one). RMSE and demeaned r in the limit of infinitely many samples, realness of one sample; "
    "seconds of processor time for training and drawing; parameters that are trained. The last three rows are limits.",
    spread=runs.spread.reindex(columns=shown.columns),
    best=GOOD,
    reference=LIMITS,
    paired=runs,
    called="worlds",
    budgets=budgets,
    digits={"RMSE": 4, "Fréchet": 2, "coverage": 2, "called motor": 2, "invalid": 2, "spread / error": 2, "seconds": 1},
)  # fmt: skip
values = contest.set_index(["method", "world"])
average = contest.groupby("method", sort=False).mean(numeric_only=True)


def of(name, column):
    return values.loc[name][column]


# %% [markdown]
# **Who is close?** Each trained method against plain regression with the network of the bridge, on edges, and against the baseline with the lowest mean RMSE here, a choice that flatters it. (The tangent bridge and DiffeoCFM work in other coordinates; no regression in those is in the field.)

# %% tags=["hide-input"]
DULL = list(simple[0])
CHIEF = [
    name
    for name in FIELD
    if name not in (PLAIN, "C2C", "bridge matching, pairs shuffled")
]
dullest = str(average.loc[DULL, "RMSE"].idxmin())


def short(name):
    return (
        name.lower()
        .replace("ö", "o")
        .replace(", ", "-")
        .replace(" (no pairs)", "")
        .replace(" ", "-")
    )


for rival, tag in ((PLAIN, "plain"), (dullest, "dull")):
    for name in CHIEF:
        claim(
            f"close-{tag}-{short(name)}",
            of(name, "RMSE"),
            of(rival, "RMSE"),
            direction="lower",
            called="worlds",
            better=f"- RMSE of *{name}* is below that of {rival}: {{ours}} against {{theirs}}.",
            worse=f"- RMSE of *{name}* is above that of {rival}: {{ours}} against {{theirs}}.",
            undecided=f"- RMSE: *{name}* ({{ours}}) and {rival} ({{theirs}}) cannot be told apart.",
        )
leader = str(average.drop(LIMITS)["RMSE"].idxmin())
say(f"The row with the lowest mean RMSE is *{leader}*, with {average.loc[leader, 'RMSE']:.4f}; the limit from rest is {average.loc['attainable from rest', 'RMSE']:.4f}.")  # fmt: skip

# %% [markdown]
# **Bridges and the published linear method**, in the deviation from the group:

# %% tags=["hide-input"]
for name in ("bridge matching", "tangent bridge", "DDBM"):
    for measure in ("demeaned r", "identification"):
        claim(
            f"linear-{short(measure)}-{short(name)}",
            of(name, measure),
            of("C2C", measure),
            direction="higher",
            called="worlds",
            better=f"- *{name}* has the higher {measure}: {{ours}} against C2C's {{theirs}}.",
            worse=f"- C2C has the higher {measure}: {{theirs}} against {{ours}} of *{name}*.",
            undecided=f"- {measure}: *{name}* ({{ours}}) and C2C ({{theirs}}) cannot be told apart.",
        )

# %% [markdown]
# **What are pairs for?** The Schrödinger bridge is never told who is who. Nor, in effect, is the bridge whose pairs were shuffled:

# %% tags=["hide-input"]
for name in ("Schrödinger bridge (no pairs)", "bridge matching, pairs shuffled"):
    for rival in ("identity", "mean shift"):
        claim(
            f"pairs-{short(name)}-{short(rival)}",
            of(name, "demeaned r"),
            of(rival, "demeaned r"),
            direction="higher",
            called="worlds",
            better=f"- Demeaned r of *{name}* is above that of the {rival}: {{ours}} against {{theirs}}.",
            worse=f"- Demeaned r of *{name}* is below that of the {rival}, for which nothing is trained: {{ours}} against {{theirs}}.",
            undecided=f"- Demeaned r: *{name}* ({{ours}}) and the {rival} ({{theirs}}) cannot be told apart.",
        )

# %% [markdown]
# **Who is real?** (2) is taken in the coordinates of the tangent bridge, whose samples are valid by construction; that flatters it. (Those of {doc}`diffeo_cfm` are valid as well, in other coordinates.) Each sampler against copied rest, which is made of real scans of the wrong state:

# %% tags=["hide-input"]
for name in [*SAMPLERS, "WGAN-QC"]:
    claim(
        f"real-{short(name)}",
        of(name, "Fréchet"),
        of("identity", "Fréchet"),
        direction="lower",
        called="worlds",
        better=f"- Fréchet distance of *{name}* is below that of copied rest: {{ours}} against {{theirs}}.",
        worse=f"- Fréchet distance of *{name}* is above that of copied rest: {{ours}} against {{theirs}}.",
        undecided=f"- Fréchet distance: *{name}* ({{ours}}) and copied rest ({{theirs}}) cannot be told apart.",
    )
strangers = [frechet(place(train.target[:n]), real[:n]) for n in (people, people // 2, people // 4)]  # fmt: skip
say(
    f"Between the motor scans of {people}, {people // 2} and {people // 4} training people and as many test people the distance is {', '.join(f'{value:.2f}' for value in strangers)}: real people on both sides, nothing predicted. "
    f"*Called motor* is {average.loc['group mean', 'called motor']:.2f} for the group mean, so it says nothing about persons."
)

# %% [markdown]
# **Who is honest?** Coverage of the 80 % interval:

# %% tags=["hide-input"]
for name in [*SAMPLERS, "WGAN-QC"]:
    claim(
        f"honest-{short(name)}",
        of(name, "coverage"),
        0.8,
        direction="higher",
        unit="%",
        called="worlds",
        better=f"- *{name}*: {{ours}}; its intervals are too wide.",
        worse=f"- *{name}*: {{ours}}; its intervals are too narrow.",
        undecided=f"- *{name}*: {{ours}}, no clear miss.",
    )
record(
    **{
        column.lower().replace(" ", "_"): {name: of(name, column).round(5).tolist() for name in average.index}
        for column in ("RMSE", "demeaned r", "Fréchet")
    },
    coverage={name: of(name, "coverage").round(4).tolist() for name in SAMPLERS},
    budget=budgets.plain(),
)  # fmt: skip

# %% [markdown]
# ### How many samples are averaged?
#
# The tax of (1), seen in [](#figure-averaging).

# %% tags=["hide-input"]
counts = [k for k in (1, 2, 4, 8, 16, 32) if k <= draws]
averaged, ends = [], {}
for name, entry in SAMPLERS.items():
    for k in counts:
        for seed in worlds:
            drawn, (learned, asked) = entry.made[seed][:k], splits[seed]
            group = learned.target.mean(0)
            taxed = in_the_limit(drawn.mean(0)[None], asked.target, group)
            averaged.append({"method": name, "samples": k, "world": seed} | taxed)
averaged = pd.DataFrame(averaged)
figure = lines_over_worlds(
    averaged, "samples", ["RMSE", "demeaned r"], log_x=True, height=3.6
)
for axes, measure in zip(figure.axes, ("RMSE", "demeaned r"), strict=True):
    for place_of, name in enumerate(SAMPLERS):
        axes.axhline(average.loc[name, measure], color=f"C{place_of}", lw=1, ls=":")
    axes.axhline(
        average.loc[PLAIN, measure], color="black", lw=1, ls="--", label=PLAIN
    )
    axes.axhline(
        average.loc["ridge on the change", measure],
        color="0.5",
        lw=1,
        ls="-.",
        label="ridge on the change",
    )
figure.axes[0].legend(fontsize=9, title="")
figure.axes[-1].set_xlabel("samples averaged")
taxed = averaged.groupby(["method", "samples"])["RMSE"].mean()
for name in SAMPLERS:
    ends[name] = (
        f"{name} {taxed[name].iloc[0]:.3f} to {taxed[name].iloc[-1]:.3f}, limit {average.loc[name, 'RMSE']:.3f}"
    )
show(
    figure,
    alt=f"RMSE and demeaned r against the number of samples averaged. RMSE: {'; '.join(ends.values())}; {PLAIN} {average.loc[PLAIN, 'RMSE']:.3f}, ridge on the change {average.loc['ridge on the change', 'RMSE']:.3f}.",
    caption="Lines: the mean of $k$ samples as it is, with 95 % intervals over the worlds. Dotted: the limit by (1), from all samples. The other horizontal lines draw nothing and are not taxed: plain regression with the network of the bridge (dashed) and ridge regression on the change.",
    label="averaging",
)  # fmt: skip

# %% [markdown]
# ## Closeness against realness

# %% tags=["hide-input"]
HIDDEN = ("group mean", "bridge matching, pairs shuffled")
marks = {name: chr(ord("A") + i) for i, name in enumerate([*SAMPLERS, "WGAN-QC"])}
plain_ones = [name for name in average.index if name not in (*marks, *LIMITS)]
marks |= {name: str(i + 1) for i, name in enumerate(plain_ones)}
wide = contest.groupby("method").std(numeric_only=True)
figure = Figure(figsize=(5.6, 7.0))
axes = figure.subplots()
for name, mark in marks.items():
    if name in HIDDEN:
        continue
    x, y = average.loc[name, "RMSE"], average.loc[name, "Fréchet"]
    colour = "0.35" if mark.isdigit() else "C0"
    axes.errorbar(
        x,
        y,
        wide.loc[name, "Fréchet"],
        wide.loc[name, "RMSE"],
        color=colour,
        alpha=0.3,
        lw=1,
    )
    axes.plot(x, y, "o", color=colour, ms=14, mfc="white")
    axes.annotate(mark, (x, y), ha="center", va="center", fontsize=9, color=colour)
    axes.plot([], [], " ", label=f"{mark}  {name}")
axes.axvline(
    average.loc["attainable from rest", "RMSE"], color="black", ls="--", lw=1
)
axes.set(
    yscale="log",
    xlabel="RMSE, no tax (closer: left)",
    ylabel="Fréchet distance of one sample (more real: down)",
)
axes.legend(
    fontsize=9,
    loc="upper center",
    bbox_to_anchor=(0.5, -0.12),
    ncols=2,
    handlelength=0,
)
shown = average.loc[[name for name in marks if name not in HIDDEN]]
left_most, lowest = str(shown["RMSE"].idxmin()), str(shown["Fréchet"].idxmin())
show(
    figure,
    alt=(
        f"Fréchet distance on a log scale against RMSE. Furthest left is {left_most}, at {shown.loc[left_most, 'RMSE']:.4f} and {shown.loc[left_most, 'Fréchet']:.2f}; lowest is {lowest}, at "
        f"{shown.loc[lowest, 'RMSE']:.4f} and {shown.loc[lowest, 'Fréchet']:.2f}. Bridge matching is at {shown.loc['bridge matching', 'RMSE']:.4f} and {shown.loc['bridge matching', 'Fréchet']:.2f}."
    ),
    caption=(
        f"Letters: methods that draw; digits: those with one answer. Bars: standard deviation over worlds. Furthest left by its mean is *{left_most}* ({marks[left_most]}), lowest is *{lowest}* ({marks[lowest]}). The dashed line is what nobody can pass from rest; a second scan of "
        f"the same people would be at a distance of {average.loc['a second scan', 'Fréchet']:.2f}. The group mean and the shuffled pairs are left out."
    ),
    label="two-ways",
)  # fmt: skip

# %% [markdown]
# Invalid matrices weigh heavily on the vertical axis, and a network that adds its noise edge by edge makes them easily. How heavily? Move the invalid samples to valid matrices by raising their eigenvalues to a floor that can be seen, not a tiny one, and ask again who is nearer than copied rest:

# %% tags=["hide-input"]
FLOORS = (1e-3, 1e-2, 5e-2)


def raised(one, seed, floor):
    """Fréchet distance of samples (S, E) in a world, once no eigenvalue is below a floor."""
    near = edges(project_to_correlation(matrices(one.double()), floor))
    return frechet(maps[seed](near), maps[seed](splits[seed][1].target))


lifted = {
    name: [[raised(ones[seed], seed, floor) for floor in FLOORS] for seed in worlds]
    for name, ones in {
        "copied rest": {seed: splits[seed][1].source for seed in worlds},
        **{
            name: {seed: SAMPLERS[name].made[seed][0] for seed in worlds}
            for name in ("bridge matching", "score diffusion", "tangent bridge")
        },
    }.items()
}
table(
    pd.DataFrame(
        {
            name: torch.tensor(rows).mean(0).tolist()
            for name, rows in lifted.items()
        },
        index=[f"floor {floor:g}" for floor in FLOORS],
    ).T.rename_axis("method"),
    "Fréchet distance, mean over the worlds, when no eigenvalue may be below a floor.",
    digits=2,
)
highest = {name: [row[-1] for row in rows] for name, rows in lifted.items()}
for name in ("bridge matching", "score diffusion"):
    claim(
        f"real-with-a-floor-{short(name)}",
        highest[name],
        highest["copied rest"],
        direction="lower",
        called="worlds",
        better=f"- With the highest floor *{name}* is nearer to the real scans than copied rest: {{ours}} against {{theirs}}.",
        worse=f"- With the highest floor, too, *{name}* is further from the real scans than copied rest: {{ours}} against {{theirs}}.",
        undecided=f"- With the highest floor *{name}* ({{ours}}) and copied rest ({{theirs}}) cannot be told apart.",
    )

# %% [markdown]
# ## Few steps or many?
#
# A sample takes network calls. DDBM's sampler calls about three times a step, those of flow matching and DiffeoCFM twice, the others once. Each trained sampler now draws six samples for each of fifty test people with different numbers of steps. *Spread* is
# the standard deviation of the samples; closeness is without tax, as before.

# %%
COUNTS = (1, 2, 5, 20)
swept = []
for name, entry in SAMPLERS.items():
    for seed in worlds:
        learned, asked = splits[seed]
        few = asked.subset(range(min(50, len(asked))))
        for count in COUNTS:
            made = entry.rival.draw(few.source, seed, samples=6, steps=count)
            close = in_the_limit(made, few.target, learned.target.mean(0))
            spread = float(made.var(0).mean().sqrt())
            swept.append(
                {
                    "method": name,
                    "steps": count,
                    "world": seed,
                    **close,
                    "spread": spread,
                }
            )
swept = pd.DataFrame(swept).set_index(["method", "steps", "world"]).sort_index()  # fmt: skip

# %% tags=["hide-input"]
for name in SAMPLERS:
    claim(
        f"five-steps-{short(name)}",
        swept.loc[(name, 5), "RMSE"],
        swept.loc[(name, 20), "RMSE"],
        direction="lower",
        called="worlds",
        margin=0.002,
        better=f"- *{name}* is closer with five steps than with twenty: {{ours}} against {{theirs}}.",
        worse=f"- *{name}* is closer with twenty steps than with five: {{theirs}} against {{ours}}.",
        equivalent=f"- *{name}*: five steps ({{ours}}) and twenty ({{theirs}}) are equally close to within 0.002.",
        undecided=f"- *{name}*: whether five steps ({{ours}}) or twenty ({{theirs}}) are closer is open.",
    )


def draw_steps(count):
    figure = Figure(figsize=(5.6, 5.4))
    for axes, column in zip(figure.subplots(2, 1), ("RMSE", "spread"), strict=True):
        part = (
            swept[column].groupby(["method", "steps"], sort=False).mean().unstack()
        )
        axes.plot(part[20], part.index, "|", color="black", ms=14, label="20 steps")
        axes.plot(
            part[count].clip(upper=0.25),
            part.index,
            "o",
            color="C0",
            label=f"{count}",
        )
        axes.set(
            xlabel=column,
            xlim={"RMSE": (0.095, 0.14), "spread": (-0.01, 0.22)}[column],
        )
        axes.invert_yaxis()
    axes.legend(fontsize=9, title="steps", loc="upper right")
    return figure


def describe_steps(count):
    part = (
        swept.groupby(["method", "steps"], sort=False)
        .mean()
        .xs(count, level="steps")
    )
    words = [f"{n} {r['RMSE']:.3f}, {r['spread']:.3f}" for n, r in part.iterrows()]
    return f"With {count} steps, RMSE without tax and spread of the samples: {'; '.join(words)}."


frames(
    {"steps": list(COUNTS[:-1])},
    draw_steps,
    describe_steps,
    caption="Black bars: twenty steps. What does one more step change, the closeness or the spread? The text of each frame has the numbers; a dot at the edge of the frame is outside it.",
    start={"steps": 5},
    label="few-steps",
)  # fmt: skip

# %% [markdown]
# With one step, a posterior sampler that is given the rest matrix returns its network's guess of the end. If that is the conditional mean, its closeness with one step and its closeness without tax agree. For which of the samplers in [](#figure-few-steps) do they? Where the two differ, at least one of them is not the conditional mean. (The diffusion, the flows and DDBM begin with a draw, so that even their one step has a spread.)
#
# ## On real people
#
# A world that one has made oneself is a friendly judge. The methods were also run on two sets of real scans: from one half of a resting scan to the other, in people of the Human Connectome
# Project {cite}`vanessen2013`, and from passively felt to regulated pain. Neither is rest to motor. The table is read from the file that the benchmark wrote; {doc}`../book/measured` has it whole, with standard deviations and ceilings.

# %% tags=["hide-input"]
written = Path(mmlab.__file__).parents[1] / "benchmarks" / "results" / "connectome_real.json"  # fmt: skip
if not written.exists():
    say("The results are in the repository, not in the installed package: see the page *Measured on real data*.")  # fmt: skip
else:
    columns, orders = {}, []
    for title, result in json.loads(written.read_text(encoding="utf-8")).items():
        if "mean" not in result:  # when and at which commit it was measured
            continue
        numbers = pd.DataFrame.from_dict(result["mean"], orient="index")
        columns[f"RMSE, {title}"] = numbers["rmse"]
        columns[f"demeaned r, {title}"] = numbers["demeaned_r"]
        listed = ", ".join(
            f"{name} {value:.3f}"
            for name, value in numbers["rmse"].sort_values().items()
        )
        orders.append(
            f"- {title} ({result['people']} people, {result['folds']} folds by subject): {listed}. {result['acknowledgement']}"
        )
    table(pd.DataFrame(columns), "Real scans, mean over folds and seeds.", digits=3)
    say("In the order of their mean RMSE:\n\n" + "\n".join(orders))  # fmt: skip

# %% [markdown]
# Look for the group mean in these orders, and for the tangent bridge. Two more questions, whether rest says which regions become *active* {cite}`cole2016activity`, and what can be done without pairs, are answered on the same page.
#
# ## A sheet for the clinic
#
# Numbers do not say whether a neurologist would believe the matrix. For that there is a sheet: rest, and two panels A and B, the scan and a prediction, in an order that follows from a secret seed. The prediction is *one sample*, since a mean is smoother than any scan. Is such a sheet blind?

# %%
person = 0
samples = SAMPLERS["tangent bridge"].made[0]
sheet = connectome_sheet(
    test.source[person], test.target[person], samples[:, person], test.regions, code="case 07", seed=37
)  # fmt: skip
drawn = samples[0]
to_scan = (test.source - test.target).square().mean(1).sqrt()
to_sample = (test.source - drawn).square().mean(1).sqrt()
nearer = float((to_sample < to_scan).double().mean())

# %% tags=["hide-input"]
show(
    sheet.figure,
    alt=sheet.alt,
    caption="Which is the scan, A or B? Decide before you read the next cell.",
    label="sheet",
)

# %% tags=["hide-output"]
say(
    f"The scan is panel **{next(p for p, kind in sheet.key.items() if kind == 'truth')}**. But in {nearer:.0%} of the test people the sample is nearer to rest than the scan is. A grader who knows this rule, and can see how pale the changes from rest are, is right that often. Only with a share of one half would the rule tell nothing."
)

# %% [markdown]
# One sheet is no evaluation. Several people's matrices, each from two of the models, make a blind competition: which of the two could be a scan? Each matrix of an item is drawn on one scale. How to show it to clinicians is told in {doc}`../book/how_to/run_a_competition`, and what their votes then say in {doc}`arena`.

# %%
with tempfile.TemporaryDirectory() as folder:
    entries = []
    for number in range(min(12, len(test.source))):
        made = {
            "system-1": SAMPLERS["tangent bridge"].made[0][0, number],
            "system-2": SAMPLERS["bridge matching"].made[0][0, number],
        }
        answers = {}
        for name, values in made.items():
            path = Path(folder) / f"{name}-{number}.npy"
            np.save(path, matrices(values[None])[0].numpy())
            answers[name] = Answer(
                matrix=path, alt="A matrix of correlations between regions"
            )
        entries.append(
            Item(f"case-{number:02d}", Answer(f"Case {number:02d}"), answers)
        )
    competition = Competition(
        title="Which could be a scan?",
        question="Which of the two matrices looks more like one that was measured while somebody moved?",
        items=entries,
        scales=[
            Scale(
                "plausibility",
                "How plausible is it clinically?",
                "not at all",
                "fully",
            )
        ],
    )
    competition.write(Path(folder) / "clinic.toml")
say(
    f"The competition has {len(competition.items)} cases of {len(competition.systems)} models. If people and cases differ as much as in {{doc}}`arena`, a true share of seven in ten is told with a chance of "
    f"{power(10, len(competition.items), 0.7):.0%} by ten clinicians, and of {power(1000, len(competition.items), 0.7):.0%} by a thousand."
)

# %% [markdown]
# ## What goes wrong in practice
#
# - **A sample against a mean, or few samples against a regression.** (1) says what it costs, and how to take it off.
# - **Choosing among many on the test people.** With so many entries somebody leads by luck. Choose on training people, and look at intervals.
# - **A distance without a floor.** (2) is not zero between two groups of real people, and the fewer they are, the larger it is.
# - **A flattering yardstick.** (2) is taken in tangent coordinates, where one of the competitors lives, and raw identification does not charge for exaggeration (third exercise).
# - **The same answer for everybody.** Small medical sets invite it: error low, pictures handsome, person gone. Demeaned $r$ and identification exist for that.
#
# ## Exercises
#
# ```{exercise} The price of a sample (compute)
# :label: rest-to-motor-price
#
# A sampler is right about its uncertainty, and the mean of *infinitely many* of its samples has an RMSE of 0.10. What is the RMSE (a) of one sample, (b) of the mean of four? (c) How many samples does
# it take at least until their mean has an RMSE of no more than 0.102?
# ```

# %% tags=["stub:price"]
from mmlab.exercises.rest_to_motor import check_price

one_sample, mean_of_four, count = ..., ..., ...

check_price((one_sample, mean_of_four, count))

# %% [markdown]
# ```{solution-start} rest-to-motor-price
# :class: dropdown
# ```

# %% tags=["solution:price"]
one_sample = 0.10 * 2**0.5
mean_of_four = 0.10 * (1 + 1 / 4) ** 0.5
count = next(k for k in range(1, 100) if 0.10 * (1 + 1 / k) ** 0.5 <= 0.102)

check_price((one_sample, mean_of_four, count))

# %% [markdown]
# By (1) the variance of a sample is as large as the squared error of the mean, and in the mean of $K$ samples the $K$-th part of it is left.
#
# ```{solution-end}
# ```
#
# ```{exercise} The distance of two groups (code)
# :label: rest-to-motor-frechet
#
# Write (2) for two sets of coordinates, (S, D) and (R, D), one person per row. Use unbiased covariances. The trace of the root of $S^{1/2} T S^{1/2}$ is the sum of the roots of its eigenvalues.
# ```

# %% tags=["stub:distance"]
from mmlab.exercises.rest_to_motor import check_distance


def distance(one, other):
    return ...


check_distance(distance)

# %% [markdown]
# ```{solution-start} rest-to-motor-frechet
# :class: dropdown
# ```


# %% tags=["solution:distance"]
def distance(one, other):
    s, t = torch.cov(one.T), torch.cov(other.T)
    values, axes = torch.linalg.eigh(s)
    root = (axes * values.clamp_min(0).sqrt()) @ axes.T
    inner = torch.linalg.eigvalsh(root @ t @ root).clamp_min(0)
    means = (one.mean(0) - other.mean(0)).square().sum()
    return means + s.trace() + t.trace() - 2 * inner.sqrt().sum()


check_distance(distance)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Exaggeration (think)
# :label: rest-to-motor-exaggerate
#
# Take the mean shift and multiply each person's deviation from the group mean by $\lambda$. What happens to RMSE, to demeaned $r$, and to identification from prediction to true on raw edges, as $\lambda$ grows from zero to three?
# Which of the three would you not tune?
# ```
#
# ```{solution-start} rest-to-motor-exaggerate
# :class: dropdown
# ```

# %%
shifted = simple[0]["mean shift"]
mean_motor, tried = train.target.mean(0), {}
for factor in (0.25, 0.5, 1.0, 2.0, 3.0):
    guess = mean_motor + factor * (shifted - shifted.mean(0))
    tried[factor] = in_the_limit(guess[None], test.target, mean_motor) | {
        "identification, raw": identification(correlate(guess, test.target))
    }
tried = pd.DataFrame.from_dict(tried, orient="index").rename_axis("λ")
table(tried, "The mean shift with its deviations multiplied by λ, first world.")

# %% [markdown]
# Demeaned $r$ does not care about scale. RMSE has its minimum at some $\lambda$ below two. Raw identification suffers from small $\lambda$ and hardly reacts to large ones: it punishes shrinking, and does not charge for exaggeration. So do not tune on it. Tune on RMSE, inside the training people.
#
# ```{solution-end}
# ```
#
# ```{exercise} Where the order turns (code)
# :label: rest-to-motor-turn
#
# Two samplers have the RMSEs $a$ and $b$ in the limit, and samples with the standard deviations $s_a$ and $s_b$. For some number $K$ of samples, not necessarily whole, the means of both are equally close. Write `turning_point(a, s_a, b, s_b)`, which returns this $K$, and `math.inf` if there is no positive one: then the order is the same for all numbers of samples.
# ```

# %% tags=["stub:turn"]
from mmlab.exercises.rest_to_motor import check_turn


def turning_point(a, s_a, b, s_b):
    return ...


check_turn(turning_point)

# %% [markdown]
# ```{solution-start} rest-to-motor-turn
# :class: dropdown
# ```


# %% tags=["solution:turn"]
def turning_point(a, s_a, b, s_b):
    gap = b**2 - a**2  # what the limit of the first is nearer, in squares
    tax = s_a**2 - s_b**2  # what it pays more for one sample
    return tax / gap if gap * tax > 0 else math.inf


check_turn(turning_point)

# %% [markdown]
# Set $a^2 + s_a^2/K = b^2 + s_b^2/K$ by (1). The closer sampler must be the more spread out one for the order to turn. With $s_b = 0$, a regression, $K$ is how many samples it takes to be level with it.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why may one step of a posterior sampler be as close as many?
# Because one posterior step returns the network's estimate of the end given the start. If the network has learned the conditional mean, squared error has no lower answer.
# ```
#
# ```{dropdown} Copied rest has a small Fréchet distance. Why is that no praise?
# The distance compares whole groups, and not person with person. Copied rest matrices are real matrices of real people with the right variety; that they show another state moves the mean only a little.
# ```
#
# ```{dropdown} A method that never saw a pair has a demeaned r far above zero. How?
# It starts in the person's own matrix, and so does copied rest, for which nothing was learned. The question is what it adds to that, and the claims above answer it.
# ```
#
# ## In five lines
#
# - Closeness belongs to the mean and realness to single samples; the two need not rank the methods alike.
# - A mean of $K$ samples has their variance over $K$ on top of its squared error. Take the tax off before you compare.
# - Put plain regression with the same network, ridge regression and the shrunk shift beside every sampler; the lists above say which of them this run can tell apart.
# - Coverage tells whether a spread means anything. A valid matrix, a small distance between groups, and a decoder's word do not.
# - What holds in a world that one made must be asked again of real people.
#
# ## Limits, and what to read next
#
# Equal budgets are fair, and unfair as well: each method would have its own preferred settings, and a longer training favours others. The world is nearly linear and Gaussian, which favours ridge regression and every network that starts from it. Three worlds
# show large differences and hide small ones. The profile `gpu` has more regions and people. Real rest and motor scans, thousands of them, are the experiment to do.
# Next: {doc}`inside_the_unet` looks at what the parts of the image network are for.

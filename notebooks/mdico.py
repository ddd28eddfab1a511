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
# # Many sensors in training, one in use: MDiCo
#
# **A satellite with two instruments made the training data. One of the two will be switched off. What is it worth to the other one that they were trained side by side?**
#
# Radar sees through clouds, optics does not. A model that needs both is blind whenever there are clouds. So one may want a model for *each* sensor, and use the
# pairs of measurements only to train each of them. MDiCo {cite}`mdico` was proposed for this, for observations of the Earth. Each sensor's code is divided into a part of its own and a
# part that it shares with the others; the shared parts of the same place are pulled together by contrast. Whatever they agree on cannot be noise of one instrument.
#
# That is the hope. This chapter builds the loss, puts it into a world in which we know what the sensors share, and takes it apart: the extra answers, the
# contrast, and the *pairing* in the contrast. Then it asks whether the parts hold what their names say.
#
# **After this chapter you can**
#
# - write the contrast between sensors, also where some items lack one, and say which value means that nothing was learned;
# - use one trained model with whichever sensor is there, and test that no other has an effect;
# - tell what comes from the pairs from what comes from more terms in the loss;
# - put a closed form beside a contrast: canonical correlations on the same pairs.
#
# You need PyTorch and a contrastive loss, as in [M3CoL](m3col.ipynb). The chapter on [ITHP](ithp.ipynb) has the same setting with the other sensors as
# targets. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
data = "world"
seeds: int = 6
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from torch import nn

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.canonical import canonical_correlations
from mmlab.data.sets.live_fuel_moisture import live_fuel_moisture
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.privileged_world import privileged_world
from mmlab.losses.contrastive import nt_xent
from mmlab.methods.mdico import MDiCo, contrast
from mmlab.metrics.classification import accuracy
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 1000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.6, "one sensor"),
    "own": Box(1, 0, "own encoder", "trained"),
    "common": Box(1, 1.2, "common encoder", "trained"),
    "s": Box(2, 0, "own part", "trained"),
    "c": Box(2, 1.2, "shared part", "trained"),
    "y": Box(3, 0.6, "answer of\nthis sensor", "loss"),
    "other": Box(3, 1.8, "shared part of\nanother sensor", "loss"),
}
arrows = [
    Arrow("x", "own"),
    Arrow("x", "common"),
    Arrow("own", "s"),
    Arrow("common", "c"),
    Arrow("s", "y"),
    Arrow("c", "y"),
    Arrow("c", "other", "contrast"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: one sensor goes into an own encoder and into a common encoder. These give an own part and a shared part, and both go to the answer of this "
        "sensor. The shared part is also compared with the shared part of another sensor."
    ),
    caption="One sensor; each of the others has the same. Blue is trained. The unused part is not drawn. In use the other sensors are gone, and the rest stays as it is.",
)

# %% [markdown]
# ## The loss
#
# Sensor $m$ measures $x_m$. Two encoders read it. The first one's code is cut in halves, the *own* part $s_m$ and an *unused* part $u_m$; a small layer on the second
# gives the *shared* part:
#
# $$[s_m, u_m] = U_m(x_m), \qquad c_m = \mathrm{ReLU}(\mathrm{norm}(W_m\, C_m(x_m))). \tag{1}$$
#
# Each sensor has a head of its own. With $\ell$ the cross-entropy (or a squared error, where the target is a number) and $M$ sensors,
#
# $$L_{\text{main}} = \tfrac1M \sum_m \ell\big(h_m([s_m, c_m]),\, y\big). \tag{2}$$
#
# One further head, the same for all sensors, must answer from each part alone:
#
# $$L_{\text{aux}} = \tfrac1M \sum_m \tfrac12\big[\ell(g(s_m), y) + \ell(g(c_m), y)\big]. \tag{3}$$
#
# The shared parts of a pair of sensors are contrasted. Of all $2B$ vectors of a batch, $c_{mi}$ must find its partner $c_{ni}$, which measured the same item, by NT-Xent
# {cite}`chen2020simclr` at temperature $\tau = 0.1$:
#
# $$L_{\text{con}} = \operatorname*{mean}_{m<n}\; \frac{1}{2B} \sum_{v} -\log \frac{\exp(\cos(v, v^+)/\tau)}{\sum_{w \ne v} \exp(\cos(v, w)/\tau)}. \tag{4}$$
#
# Two last heads must say *which sensor* a part comes from, one for the own parts and one for the unused ones, so that these keep what is the sensor's own:
#
# $$L_{\text{which}} = \tfrac1M \sum_m \tfrac12 \big[\mathrm{CE}(d(s_m), m) + \mathrm{CE}(d'(u_m), m)\big]. \tag{5}$$
#
# The method minimises the sum, with a weight $w$ that is 1,
#
# $$L = L_{\text{main}} + L_{\text{aux}} + w\, L_{\text{con}} + L_{\text{which}} . \tag{6}$$
#
# The released code {cite}`mdico_repository` differs in (5): its second head is named after the unused part, but is given the *shared* one. So the loss asks the shared part to
# show the sensor, against what (4) asks of it. It also adds (4) up over ordered pairs, which for two sensors doubles $w$, and has batch normalisation in (1).
#
# The same in plain PyTorch, and a check that the package does so:


# %%
def loss_by_hand(method, batch):
    """Equations (1) to (6)."""
    cross_entropy, y = nn.functional.cross_entropy, batch["label"]
    main, aux, which, shared = [], [], [], {}
    for m, name in enumerate(method.sensors):
        s, u = method.own[name](batch[name]).chunk(2, 1)
        c = shared[name] = method.shared[name](method.common[name](batch[name]))
        main.append(cross_entropy(method.heads[name](torch.cat([s, c], 1)), y))
        aux += [cross_entropy(method.part_head(part), y) for part in (s, c)]
        sensor = torch.full_like(y, m)
        which.append(cross_entropy(method.which_own(s), sensor))
        which.append(cross_entropy(method.which_unused(u), sensor))
    a, t, v = (shared[name] for name in ("audio", "text", "video"))
    pairs = torch.stack([nt_xent(p, q, 0.1) for p, q in ((a, t), (a, v), (t, v))])
    terms = [torch.stack(part).mean() for part in (main, aux, which)]
    return sum(terms) + pairs.mean()


demo, batch = MDiCo.demo()
whole = {name: batch[name] for name in ("audio", "text", "video", "label")}
ours = loss_by_hand(demo, whole)
theirs = demo.loss(whole, torch.Generator())["loss"]
assert torch.allclose(ours, theirs)
seen = demo.predict(whole, "text")
assert torch.equal(demo.predict({"text": whole["text"]}, "text"), seen)
say(
    f"Both give {ours.item():.4f} on the demo; and what text answers is the same, bit for bit, with the other sensors and without."
)

# %% [markdown]
# ## Two worlds
#
# When can a second sensor help the first, if it is not there in the end? It must show in training what of the first is signal. That can be of use as far as the label lies in
# what both see. The world of this chapter has a dial for it ({py:func}`~mmlab.data.worlds.privileged_world.privileged_world`): four hidden factors show in audio and in text, two more in
# text alone, and text has 24 louder directions that mean nothing. The four classes are the signs of two directions among the factors:
#
# - **common**: both sensors see both directions;
# - **split**: both see the first direction, text alone sees the second. Audio can do nothing about that half, and cannot show it to text.
#
# The best possible accuracy of each sensor is known. There are 500 pairs, and 100 of them have a label: whatever a loss can learn from pairs, it may learn from
# all. With `data="moisture"` the same cells run on the water in plants, from radar and optics, if the reader has the table.

# %%
ITEMS, LABELS, TEST, BATCH = 500, 100, 2000, 80
real = data == "moisture"
worlds = {"common": privileged_world(0), "split": privileged_world(90)}
names = ["moisture"] if real else list(worlds)
sensors = ["radar", "optical"] if real else ["audio", "text"]
FOLDS = 8


def drawn(name, draw):
    """Pairs to train on, some with a label; and a test."""
    if name == "moisture":
        split = live_fuel_moisture(draw % FOLDS, FOLDS, seed=draw // FOLDS)
        return split.train, split.test.tensors
    items = worlds[name].draw(ITEMS, LABELS, 2 * draw).tensors
    kept = {k: v for k, v in items.items() if k != "video"}
    return TensorData(kept), worlds[name].draw(TEST, seed=2 * draw + 1).tensors


if not real:
    say(
        "Best possible accuracy: "
        + "; ".join(
            f"*{name}* "
            + ", ".join(f"from {s} {world.bayes_rate((s,)):.3f}" for s in sensors)
            + f", from both {world.bayes_rate(sensors):.3f}"
            for name, world in worlds.items()
        )
        + "."
    )

# %% [markdown]
# ## The rivals
#
# | row | what it does |
# | --- | --- |
# | logistic regression | one sensor alone, the items with a label |
# | single sensor | MDiCo's encoders and heads with (2) alone: the networks of the sensors then have nothing to do with each other |
# | without contrast | (6) without (4) |
# | shuffled pairs | (6), but in (4) each item is paired with another item's measurement |
# | two linear fits | ridge regression to the other sensor on all pairs, then logistic regression on what it predicts |
# | CCA and a line | canonical correlations of all pairs, in closed form, then logistic regression |
# | CCA beside the sensor | the same, with the sensor itself beside the correlated directions: a shared and an own part without training |
# | MDiCo | (6) |
#
# *Single sensor* tells whether anything helped. *Without contrast* and *shuffled pairs* tell whether it was the contrast, and whether it was the pairs in it. The three
# last rows before MDiCo use the same pairs in closed form, and the world is linear, which suits them. The first two of them throw away what the other sensor does not see; the third keeps
# it, as MDiCo's own part is meant to.
#
# **Budgets.** All networks take the same steps on the same batches. Each row has four settings to choose from, on two further draws of the world that are used for nothing
# else, by the mean accuracy of the sensors. (With the moisture they are further ways to deal the same places to folds.) The rows with a network are one class with other
# weights and other pairs, so that all of them, on all draws, are trained side by side, which changes nothing but the time
# ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`).


# %%
class Dialled(MDiCo):
    """(6) with a weight for each term but the first, and partners that are moved by so many items."""

    def __init__(self, shapes, weights=(1.0, 1.0, 1.0), moved=0, **arguments):
        super().__init__(shapes, **arguments)
        self.register_buffer("dials", torch.tensor([*weights, moved]))

    def loss(self, batch, rng):
        terms = super().loss(batch, rng)
        others = [terms[t] for t in ("auxiliary", "contrast", "discrimination")]
        weighed = (self.dials[:3] * torch.stack(others)).sum()
        return {"loss": terms["main"] + weighed}

    def pull(self, shared, present, rng):
        places, moved = torch.arange(BATCH), self.dials[3].long()
        pairs = {
            m: c[(places[: len(c)] - k * moved) % len(c)]
            for k, (m, c) in enumerate(shared.items())
        }
        return contrast(pairs, present, self.temperature)


NETWORKS = {
    "single sensor": {"weights": (0.0, 0.0, 0.0)},
    "without contrast": {"weights": (1.0, 0.0, 1.0)},
    "shuffled pairs": {"moved": 1.0},
    "MDiCo": {},
}
PILOTS = [500, 501][: min(2, seeds)]
draws = {(n, d): drawn(n, d) for n in names for d in [*range(seeds), *PILOTS]}
item = {k: v[0] for k, v in next(iter(draws.values()))[0].tensors.items()}
given = MDiCo.arguments_for(item)


def networks(lr, keys):
    """Answers of networks, each for a row, a world and a draw: functions of (test, sensor)."""
    methods = {
        (row, name, d): Dialled.seeded(d, **given, **NETWORKS[row])
        for row, name, d in keys
    }
    data = [draws[name, d][0] for _, name, d in keys]
    arguments = {
        "steps": steps, "batch_size": BATCH, "lr": lr, "schedule": "cosine",
        "log_every": steps, "progress": False,
    }  # fmt: skip
    if real:  # folds differ in size
        for method, train in zip(methods.values(), data, strict=True):
            fit(method, train, **arguments)
    else:
        fit_side_by_side(list(methods.values()), data, **arguments)
    return {key: method.predict for key, method in methods.items()}


def line(train, code, strength):
    """A line on a code, fitted where there is a label."""
    if real:
        model = Ridge(1 / strength).fit(code(train), train["target"])
        return lambda test: torch.from_numpy(model.predict(code(test)))
    there = train["label_present"]
    model = LogisticRegression(C=strength, max_iter=500)
    model.fit(code(train)[there], train["label"][there])
    return lambda test: torch.from_numpy(model.predict_proba(code(test)))


def flat(batch, sensor):
    return batch[sensor].flatten(1).numpy().astype(float)


def solved(code_of, strength=1.0):
    """Answers of a row without training: ``code_of(train, sensor)`` gives a code."""
    made = {}
    for key, (items, _) in draws.items():
        train = items.tensors
        lines = {s: line(train, code_of(train, s), strength) for s in sensors}
        made[key] = lambda test, sensor, lines=lines: lines[sensor](test)
    return made


def plain(train, sensor):
    return lambda batch: flat(batch, sensor)


def to_the_other(penalty):
    def code_of(train, sensor):
        other = next(s for s in sensors if s != sensor)
        model = Ridge(penalty).fit(flat(train, sensor), flat(train, other))
        return lambda batch: model.predict(flat(batch, sensor))

    return code_of


def canonical(components):
    def code_of(train, sensor):
        views = {s: train[s].flatten(1) for s in sensors}
        found = canonical_correlations(views, components, 0.01)
        return lambda batch: found.project(sensor, batch[sensor].flatten(1)).numpy()

    return code_of


def beside(share):
    """The four most correlated directions, and a share of the sensor itself."""

    def code_of(train, sensor):
        code = canonical(4)(train, sensor)
        return lambda batch: np.hstack([code(batch), share * flat(batch, sensor)])

    return code_of


RATES, STRENGTHS = (3e-3, 1e-2, 3e-2, 0.1), (0.03, 0.1, 0.3, 1.0)
MIXED = [(share, strength) for share in (0.1, 0.3) for strength in (0.3, 1.0)]
pilots = [(row, name, d) for row in NETWORKS for name in names for d in PILOTS]
trained = {lr: networks(lr, pilots) for lr in RATES}
rows = {
    "logistic regression": {c: solved(plain, c) for c in STRENGTHS},
    **dict.fromkeys(["single sensor", "without contrast", "shuffled pairs"]),
    "two linear fits": {
        c: solved(to_the_other(c)) for c in (1.0, 10.0, 100.0, 1000.0)
    },
    "CCA and a line": {k: solved(canonical(k)) for k in (2, 3, 4, 6)},
    "CCA beside the sensor": {how: solved(beside(how[0]), how[1]) for how in MIXED},
    "MDiCo": None,
}
for row in NETWORKS:
    rows[row] = {
        lr: {(name, d): made[row, name, d] for name in names for d in PILOTS}
        for lr, made in trained.items()
    }


def score(answer, test):
    """Accuracy, or the share of the variance that is explained."""
    if not real:
        return accuracy(answer, test["label"])
    left = (answer - test["target"]).square().mean()
    return float(1 - left / test["target"].var(correction=0))


measure = "share of variance" if real else "accuracy"
chosen, kept = {}, {}
for row, tries in rows.items():
    for name in names:
        tried = {
            how: np.mean(
                [
                    score(made[name, d](draws[name, d][1], s), draws[name, d][1])
                    for d in PILOTS
                    for s in sensors
                ]
            )
            for how, made in tries.items()
        }
        best = chosen[name, row] = max(tried, key=tried.get)
        kept |= {
            (name, row, d): answer
            for (place, d), answer in tries[best].items()
            if place == name
        }
for lr in RATES:  # the networks of the rows that chose this rate
    keys = [
        (row, name, d)
        for row in NETWORKS
        for name in names
        if chosen[name, row] == lr
        for d in range(seeds)
    ]
    made = networks(lr, keys) if keys else {}
    kept |= {(name, row, d): answer for (row, name, d), answer in made.items()}
lines = [
    {
        "method": row,
        "seed": d,
        "place": f"{name}: {s}",
        measure: score(kept[name, row, d](draws[name, d][1], s), draws[name, d][1]),
    }
    for row in rows
    for name in names
    for d in range(seeds)
    for s in sensors
]
scores = pd.DataFrame(lines)

# %% tags=["hide-input"]
# Code of the table
places = [f"{name}: {s}" for name in names for s in sensors]
tuned = {
    "logistic regression": ("penalty",),
    "two linear fits": ("penalty",),
    "CCA and a line": ("components",),
    "CCA beside the sensor": ("share of the sensor", "penalty"),
}


def spent(row):
    owner = getattr(kept[names[0], row, 0], "__self__", None)
    what = tuned.get(row, ("learning rate",))
    if owner is None:
        return Spent(tuned=what, tries=4)
    return Spent(steps, sum(p.numel() for p in owner.parameters()), what, 4)


budgets = Budgets("MDiCo", {row: spent(row) for row in rows})
wide = scores.pivot_table(index=["method", "seed"], columns="place", values=measure)
wide = wide.reset_index()
best = "best possible"
if not real:
    ceiling = {
        f"{n}: {s}": worlds[n].bayes_rate((s,)) for n in names for s in sensors
    }
    top = [{"method": best, "seed": d} | ceiling for d in range(seeds)]
    wide = pd.concat([wide, pd.DataFrame(top)])
table_over_seeds(
    wide[["method", "seed", *places]],
    f"{measure.capitalize()} on the test items from one sensor, after {steps} steps for every network.",
    best=dict.fromkeys(places, "higher"),
    reference=[] if real else [best],
    ceiling=None if real else best,
    digits=3,
    order=[*rows, *([] if real else [best])],
    budgets=budgets,
)
say(
    "Chosen on the pilot draws, in the order of the budgets: "
    + "; ".join(
        f"*{name}*: " + ", ".join(f"{row} {chosen[name, row]}" for row in rows)
        for name in names
    )
    + "."
)
record(
    scores={
        place: {
            row: round(float(part[measure].mean()), 4)
            for row, part in scores[scores["place"] == place].groupby("method")
        }
        for place in places
    },
    budget=budgets.plain(),
)

# %% [markdown]
# **MDiCo against each row.** Each seed has its own draw of items, labels and start, the same for all rows, so differences are paired. The first world and the sensor with
# most clutter come first.


# %%
def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def values(row, place):
    part = scores[(scores["method"] == row) & (scores["place"] == place)]
    return part.sort_values("seed")[measure].tolist()


def against(row, place):
    return claimed(
        f"mdico-{slug(place)}-{slug(row)}",
        values("MDiCo", place),
        values(row, place),
        direction="higher",
        unit="%",
        better=f"MDiCo is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of MDiCo: {{theirs}} against {{ours}}.",
        undecided=f"MDiCo ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for name in names:
    for s in reversed(sensors):
        place = f"{name}: {s}"
        say(
            f"**{place}**\n\n"
            + "\n".join(
                f"- {against(row, place)}" for row in rows if row != "MDiCo"
            )
        )

# %% tags=["hide-input"]
# Code of the figure: paired differences
gap = f"MDiCo − rival, points of {measure}"
pairs = pd.DataFrame(
    [
        (place, row, 100 * (a - b))
        for place in places
        for row in rows
        if row != "MDiCo"
        for a, b in zip(values("MDiCo", place), values(row, place), strict=True)
    ],
    columns=["place", "rival", gap],
)
means = pairs.groupby(["place", "rival"], sort=False)[gap].mean()
show(
    bars(pairs, gap, by="rival", panel="place", references={"no difference": 0.0}),
    alt=f"MDiCo minus each rival in points of {measure}. "
    + " ".join(
        f"{place}: "
        + ", ".join(
            f"{row} {means[place, row]:+.1f}" for row in rows if row != "MDiCo"
        )
        + "."
        for place in places
    ),
    caption="Paired differences: small dots are draws, the large dot is their mean with its 95 % interval. To the left of the dashed line the rival has the higher score.",
    label="mdico-differences",
)

# %% [markdown]
# ## Do the parts hold what their names say?
#
# The world knows its factors, so we can ask each part of text's code for them: the share of a factor's variance that a linear regression reads out of the part, on new items.
# *Shared* should hold what audio sees too. *Own* should hold what text alone sees, at least where the class asks for it. Nothing in the loss forbids the own part to hold what is shared.

# %% tags=["hide-input"]
# Code of the figure: what parts hold
GROUPS = {"seen by both": [0, 1, 2, 3], "seen by text alone": [4, 5]}
PARTS = ["shared", "specific", "unused"]
held = {}
for name in names if not real else []:
    for row in ("MDiCo", "without contrast"):
        for d in range(seeds):
            method = kept[name, row, d].__self__
            items = worlds[name].draw(TEST, seed=77).tensors
            z = worlds[name].factors(TEST, 77).numpy()
            with torch.no_grad():
                parts = method.parts(items, ["text"])["text"]
            half = TEST // 2
            for part in PARTS:
                x = parts[part].numpy()
                guess = LinearRegression().fit(x[:half], z[:half]).predict(x[half:])
                left = ((guess - z[half:]) ** 2).mean(0) / z[half:].var(0)
                for group, which in GROUPS.items():
                    key = (name, f"{row}: {part}", group)
                    held.setdefault(key, []).append(1 - left[which].mean())
if held:
    most = 1 / (1 + worlds["common"].noise["text"] ** 2)
    shares = pd.Series({k: np.mean(v) for k, v in held.items()}).unstack(-1)
    shares = shares[list(GROUPS)].clip(lower=0)
    order = [f"{row}: {p}" for row in ("MDiCo", "without contrast") for p in PARTS]
    figure = Figure(figsize=(6.2, 2.9 * len(names)), layout="constrained")
    for axes, name in zip(
        np.atleast_1d(figure.subplots(len(names), 1)), names, strict=True
    ):
        sns.heatmap(
            shares.loc[name].loc[order], annot=True, fmt=".2f", vmin=0, vmax=most,
            cmap="Blues", cbar=False, ax=axes,
        )  # fmt: skip
        axes.set(title=f"class: {name}", xlabel="", ylabel="")
        axes.tick_params(length=0)
    show(
        figure,
        alt="Share of the factors' variance that can be read from the parts of text's code. "
        + " ".join(
            f"{name}: "
            + "; ".join(
                f"{row} "
                + ", ".join(
                    f"{g} {shares.loc[name].loc[row, g]:.2f}" for g in GROUPS
                )
                for row in order
            )
            + "."
            for name in names
        ),
        caption=f"What the parts of text's code hold of the hidden factors, mean over {seeds} draws; *specific* is the own part. Text itself allows {most:.2f}.",
        label="mdico-parts",
    )
    both, alone = (held["split", "MDiCo: shared", group] for group in GROUPS)
    claim(
        "shared-part-holds-the-shared",
        both,
        alone,
        direction="higher",
        better="In the world *split* the shared part holds more of what both sensors see than of what text alone sees: {ours:.2f} against {theirs:.2f} of the variance.",
        worse="In the world *split* the shared part holds less of what both sensors see than of what text alone sees: {ours:.2f} against {theirs:.2f} of the variance.",
        undecided="In the world *split* it cannot be told whether the shared part holds more of what both sensors see ({ours:.2f} of the variance) or of what text alone sees ({theirs:.2f}).",
    )
    claim(
        "own-part-holds-its-own",
        held["split", "MDiCo: specific", "seen by text alone"],
        held["split", "MDiCo: specific", "seen by both"],
        direction="higher",
        better="The own part holds more of what text alone sees than of what both see: {ours:.2f} against {theirs:.2f}.",
        worse="The own part holds less of what text alone sees than of what both see: {ours:.2f} against {theirs:.2f}. Its name says what it is wanted for, not what it is.",
        undecided="It cannot be told whether the own part holds more of what text alone sees ({ours:.2f}) or of what both see ({theirs:.2f}).",
    )

# %% [markdown]
# The contrast rewards a shared part for what distinguishes items in *both* sensors, whether the class needs it or not: here four factors, of which the class
# needs at most two.
#
# ## Is what was learned also used?
#
# MDiCo's own head reads both parts, and is trained on the items with a label. Put a plain logistic regression on the shared part alone, on the same labels; and on the shared parts of the networks *without
# contrast* and with *shuffled pairs*. The first tells what the head makes of what the contrast found; the others tell what the contrast put there, and whether it mattered which items were paired. Each
# line chooses among four penalties on the pilot draws.


# %%
def on_shared(row, name, d, sensor, strength):
    """Accuracy of a line on the shared part of a trained network."""
    method, (train, test) = kept[name, row, d].__self__, draws[name, d]

    def code(batch):
        with torch.no_grad():
            return method.parts(batch, [sensor])[sensor]["shared"].numpy()

    return score(line(train.tensors, code, strength)(test), test)


name, sensor = names[0], sensors[-1]
shared_lines, on_lines = {}, {}
for row in ("MDiCo", "without contrast", "shuffled pairs"):
    tried = {
        c: np.mean([on_shared(row, name, d, sensor, c) for d in PILOTS])
        for c in (0.3, 1.0, 3.0, 10.0)
    }
    best = on_lines[row] = max(tried, key=tried.get)
    shared_lines[row] = [
        on_shared(row, name, d, sensor, best) for d in range(seeds)
    ]
table(
    pd.DataFrame(
        {
            "a line on the shared part": {
                row: np.mean(found) for row, found in shared_lines.items()
            },
            "its own head": {
                row: np.mean(values(row, f"{name}: {sensor}"))
                for row in shared_lines
            },
        }
    ),
    f"Mean {measure} in *{name}: {sensor}* of a line on the shared part, and of the network's own head. Inverse penalties chosen: "
    + ", ".join(f"{row} {c:g}" for row, c in on_lines.items())
    + ".",
    digits=3,
)
claim(
    "shared-line-against-head",
    shared_lines["MDiCo"],
    values("MDiCo", f"{name}: {sensor}"),
    direction="higher",
    unit="%",
    better="A line on the shared part is ahead of MDiCo's own head: {ours} against {theirs}. The contrast has found more than the head makes of it.",
    worse="A line on the shared part is behind MDiCo's own head: {ours} against {theirs}.",
    undecided="A line on the shared part ({ours}) and MDiCo's own head ({theirs}) cannot be told apart.",
)
claim(
    "shared-line-with-against-without-contrast",
    shared_lines["MDiCo"],
    shared_lines["without contrast"],
    direction="higher",
    unit="%",
    better="On the shared part of the network *without contrast* the line has less: {theirs} against {ours}. So the contrast put something there that the other terms do not.",
    worse="On the shared part of the network *without contrast* the line has more: {theirs} against {ours}.",
    undecided="On the shared part of the network *without contrast* the line ({theirs}) cannot be told from that on MDiCo's ({ours}).",
)
claim(
    "shared-line-pairs-against-shuffled",
    shared_lines["MDiCo"],
    shared_lines["shuffled pairs"],
    direction="higher",
    unit="%",
    better="On that of the network with *shuffled pairs* it has less: {theirs} against {ours}. So it matters which items are paired.",
    worse="On that of the network with *shuffled pairs* it has more: {theirs} against {ours}.",
    undecided="On that of the network with *shuffled pairs* the line ({theirs}) cannot be told from that on MDiCo's ({ours}).",
)
claim(
    "shared-line-shuffled-against-without-contrast",
    shared_lines["shuffled pairs"],
    shared_lines["without contrast"],
    direction="higher",
    unit="%",
    better="Wrong pairs leave more in the shared part than no contrast does: {ours} against {theirs}.",
    worse="Wrong pairs do harm to the shared part: the line has {ours} with them, and {theirs} without any contrast.",
    undecided="Whether wrong pairs do harm to the shared part is open: the line has {ours} with them, and {theirs} without any contrast.",
)
claim(
    "shared-line-against-cca",
    shared_lines["MDiCo"],
    values("CCA and a line", f"{name}: {sensor}"),
    direction="higher",
    unit="%",
    better="The line on MDiCo's shared part is ahead of the line on canonical correlations: {ours} against {theirs}.",
    worse="The line on MDiCo's shared part is behind the line on canonical correlations, which take no step of training: {ours} against {theirs}.",
    undecided="The line on MDiCo's shared part ({ours}) and the line on canonical correlations ({theirs}) cannot be told apart.",
)

# %% [markdown]
# If a line has more than the head, why? The head also reads the own part, which a hundred labels are enough to fit by heart; it could also be that it is trained for too many steps, or
# that it has two layers. No run on this page separates these.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} A contrast over pairs of sensors (code)
# :label: mdico-pairs
#
# Write (4) for any number of sensors of which items may lack some. You get the shared parts, (B, D) by sensor, and the presence, boolean (B,) by sensor. A pair of sensors is
# compared on the items that both have. Use `nt_xent(a, b, tau)` from above. (Every pair of sensors has such items here.)
# ```

# %% tags=["stub:over_pairs"]
from mmlab.exercises.mdico import check_over_pairs


def over_pairs(shared, present, tau):
    return ...


check_over_pairs(over_pairs)

# %% [markdown]
# ```{solution-start} mdico-pairs
# :class: dropdown
# ```


# %% tags=["solution:over_pairs"]
def over_pairs(shared, present, tau):
    names = sorted(shared)
    losses = []
    for i, m in enumerate(names):
        for n in names[i + 1 :]:
            both = present[m] & present[n]
            losses.append(nt_xent(shared[m][both], shared[n][both], tau))
    return sum(losses) / len(losses)


check_over_pairs(over_pairs)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What a value of the contrast means (compute)
# :label: mdico-values
#
# A batch has B = 128 pairs, and τ = 0.1. What is (4), in nats, (a) if all shared parts are the same vector; (b) if each item's two parts are the same and orthogonal to all
# other items' parts? (c) What would (b) be at τ = 1?
# ```

# %% tags=["stub:values"]
from mmlab.exercises.mdico import check_values

collapsed = ...
perfect = ...
warm = ...

check_values((collapsed, perfect, warm))

# %% [markdown]
# ```{solution-start} mdico-values
# :class: dropdown
# ```
#
# Each of the 256 vectors is compared with the 255 others, of which one is its partner and 254 are not.

# %% tags=["solution:values"]
collapsed = math.log(255)
perfect = math.log(1 + 254 * math.exp(-1 / 0.1))
warm = math.log(1 + 254 * math.exp(-1 / 1))

check_values((collapsed, perfect, warm))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Which control for which doubt (think)
# :label: mdico-controls
#
# Somebody says: "The contrast only spreads the codes over the sphere, any such term would have done." Which row answers that? And which row answers "the extra heads did it"?
# And what does no row on this page separate?
# ```
#
# ```{solution-start} mdico-controls
# :class: dropdown
# ```
#
# *Shuffled pairs* has the same term with the wrong partners; as these also change what is learned, hold it against *without contrast*, too. That row has the extra heads and no contrast. No row separates the weight of the contrast
# from its temperature, and none has MDiCo's contrast without the extra heads.

# %%
place = f"{names[0]}: {sensors[-1]}"
say(
    f"Means of {measure} in *{place}*: "
    + ", ".join(
        f"{row} {np.mean(values(row, place)):.3f}"
        for row in ("without contrast", "shuffled pairs", "MDiCo")
    )
    + "."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} How can items without a label help?
# (4) and (5) need no label. The contrast learns from all pairs; the answers learn from the items with a label.
# ```
#
# ```{dropdown} Could the method be used with both sensors?
# Yes: then it averages the two answers, as [late fusion](late_fusion.ipynb) does. It was not trained to be good at that.
# ```
#
# ```{dropdown} Why not predict the other sensor instead of contrasting it?
# One can: that is an auxiliary regression, as in [ITHP](ithp.ipynb). A network that does so also spends itself on what is loud in the other sensor, where the contrast only has to find the partner. The row
# *two linear fits* predicts with lines: hold it against MDiCo in both worlds.
# ```
#
# ## In five lines
#
# - Training with several sensors and using one needs a model for each, and a loss that lets them learn from each other.
# - A contrast between sensors keeps what both see, whether the answer needs it or not.
# - What a second sensor does not see, it cannot show to the first: half of the label in the world *split*.
# - The controls are the same loss without the contrast, the contrast with shuffled pairs, and closed forms on the same pairs, with the sensor beside them.
# - Parts are called shared and own after what one wants of them. Read them out before you believe it.
#
# ## Limits, and what to read next
#
# - The world is linear and Gaussian, which is the home of the rows in closed form. Time series of satellites are not. Of the paper's
#   four sets only the moisture can be put in, by a reader who has the table; the paper's own tables could not be checked, so none of its numbers is printed.
# - In the paper every item has a label. Here a fifth has one, since pairs are what the method lives on.
# - Each row chose among four settings on two draws; where it chose an end of its list, others may suit it more. Steps, width, temperature and the weights in (6) were not searched.
#
# {cite:t}`ithp` has the same setting with the other sensors as targets; {cite:t}`vapnik2009privileged` began the theory of it.

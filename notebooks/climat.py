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
# # How sure about later? CLIMATv2
#
# **A scan and a few clinical variables: how severe is the disease now, and at each of the next three visits? And how sure may one be?**
#
# Later visits are harder twice over. They depend on what has not happened yet, and fewer people come to them. A network that is trained
# on all of them at once can learn the few late grades by heart and then state them with confidence. A doctor needs a
# confidence that falls as forecasts of later visits become less certain. Confidences that match how often they are right are called *calibrated*.
#
# CLIMATv2 {cite}`climat` builds a network after a clinic, and trains it with a loss, CLUB, that gives each visit a *sharpness* of its own, learnt
# on held-out people. This chapter derives what that sharpness can do, and sets it beside two lines of code that use the same held-out people: one
# temperature for each visit, fitted afterwards {cite}`guo2017calibration`.
#
# **After this chapter you can**
#
# - fuse an image with clinical variables of which some are missing, and forecast several visits of which some were not seen;
# - prove that CLUB bounds a cross-entropy from above, and say where its sharpness goes and how far it can get;
# - ask of a calibration method: what would temperature scaling have done with the same held-out items?
#
# You need PyTorch, softmax and cross-entropy. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 6
steps: int | None = None  # of every training run on this page
people: int = 350  # to train on

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.follow_up_world import GRADES, follow_up_world
from mmlab.methods.climat import CLIMAT, club, sharpness
from mmlab.metrics.classification import (
    accuracy,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    temper,
)
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 1500}[profile]

# %% [markdown]
# ## Three agents

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0, "image"),
    "c": Box(0, 1.4, "clinical\nvariables"),
    "R": Box(1, 0, "radiologist R", "trained"),
    "F": Box(1, 1.4, "context F", "trained"),
    "P": Box(2, 0.7, "practitioner P", "trained"),
    "y": Box(3, 0.7, "grade at each\nvisit, loss (4)", "loss"),
    "tau": Box(3, 1.9, "sharpness τ\nof each visit", "changed"),
}
arrows = [
    Arrow("x", "R"),
    Arrow("c", "F"),
    Arrow("R", "P"),
    Arrow("F", "P"),
    Arrow("P", "y", "z"),
    Arrow("tau", "y"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: the image goes to the radiologist, clinical variables to the context agent; both go to the practitioner, whose logits for each "
        "visit enter the loss, together with a sharpness for each visit."
    ),
    caption=(
        "What goes where. Each agent is a transformer. Blue is trained on most people; the sharpness (orange) learns on held-out people alone."
    ),
)

# %% [markdown]
# R reads patches of the image. F reads one token for each clinical variable; that of a missing variable is zero. P reads the states
# of R, to each of which the summary of F is attached, and has one question token and one head for each visit: visit 0 is now. R also gives a
# diagnosis of its own, which is kept close to that of P.
#
# ## The loss
#
# For one visit let $p_y$ be the probability that softmax of the logits $z$ gives to the true one of $C$ grades. CLUB takes a number
# $\tau \in (0, 1]$ and charges
#
# $$\mathrm{CLUB} = -\tau \log p_y + (1 - \tau)\log C. \tag{1}$$
#
# At $\tau = 1$ this is the cross-entropy. In general it bounds from above the cross-entropy of the *flattened* logits $\tau z$. To see this, write
# $\log p_y = z_y - \log\sum_k e^{z_k}$. The claim is that $\log\sum_k e^{\tau z_k} \le \tau\log\sum_k e^{z_k} + (1 - \tau)\log C$. The mean of
# a concave power is at most the power of the mean:
#
# $$\frac1C\sum_k \big(e^{z_k}\big)^{\tau} \le \Big(\frac1C\sum_k e^{z_k}\Big)^{\tau},$$
#
# and the logarithm of both sides is the claim. So predictions are read from softmax$(\tau z)$. Each visit $t$ has its own number $a_t$, and
#
# $$\tau_t = \frac{q_t}{\max_u q_u}, \qquad q = \operatorname{softmax}_t\Big(\frac{1}{e^{a_t} + s}\Big). \tag{2}$$
#
# With $L_t$ the mean of (1) over the people who were seen at visit $t$, and $d_R$, $d_P$ the two diagnoses (logits), the network minimises
#
# $$L_{\text{later}} = \operatorname{mean}_{t \ge 1} L_t, \tag{3}$$
#
# $$L = L_0 + L_{\text{later}} + \tfrac12 \operatorname{mean} |d_R - d_P| \tag{4}$$
#
# over the training people, with $\tau$ held fixed; and the $a_t$ minimise, over the held-out people and with the network held fixed,
#
# $$\operatorname{mean}_t L_t . \tag{5}$$
#
# ## What the sharpness can do
#
# Three facts follow without any training.
#
# **It is linear.** Let $H_t$ be the mean of $-\log p_y$ at visit $t$ on the held-out people. Then (1) averages to
#
# $$L_t = \tau_t H_t + (1 - \tau_t)\log C = \log C + \tau_t\,(H_t - \log C). \tag{6}$$
#
# For a fixed network this is a straight line in $\tau_t$. It has no minimum inside. It pushes $\tau_t$ *down without end* where the loss of the network is
# above that of a uniform guess, and *up* where it does not, however overconfident it may be. What stops it is the training, and the form of (2).
#
# **It has a floor.** In (2) the scores lie between 0 and $1/s$, so $\tau_t$ cannot fall below $e^{-1/s}$.
#
# **One visit stays as it is.** The largest $\tau$ is 1 by definition. The visit that has it is not flattened at all.
#
# Temperature scaling minimises the cross-entropy of $z/T$ itself, which is convex in $1/T$. Its minimum lies inside, unless the network is right about
# all held-out people ($1/T$ then grows without end), or its true logits are on average no higher than the mean of the others ($1/T$ then goes to 0). A number
# $\tau$ and a sharpness $1/T$ do the same to the logits. What differs is how they are found, that $\tau$ cannot exceed 1, and that it also weighs the visits
# in the training.

# %%
floors = {
    s: float(sharpness(torch.tensor([-60.0, 60.0]), s)[1]) for s in (1.0, 0.1)
}
say(
    "Lowest τ and the temperature 1/τ that it stands for: "
    + "; ".join(
        f"with s = {s:g}, τ = {low:.2g}, temperature {1 / low:.3g}"
        for s, low in floors.items()
    )
    + "."
)

# %% [markdown]
# The released configuration has $s = 1$ {cite}`climat_repository`. (In that code the $a_t$ are trainable only if the *name* of the loss contains
# "MTL". The loss's own name, CLUB, does not; then every τ stays 1, and the loss is plain cross-entropy. The $a_t$ are then no
# parameters at all, so a test must ask for *their* gradient by name to find it.)
#
# The loss in plain PyTorch, and a check:


# %%
def loss_by_hand(method, batch):
    """Equations (1) to (4), with τ held fixed."""
    z, diagnosis = method(batch)  # (B, T, C) and (B, C)
    people = ~batch["held_out"]
    q = (1 / (method.a.exp() + method.softness)).softmax(0)
    tau = (q / q.max()).detach()  # (2)
    each = []
    for t in range(method.horizons):
        there = people & batch["grade_seen"][:, t]
        ce = F.cross_entropy(z[there, t], batch["grade"][there, t])
        each.append(tau[t] * ce + (1 - tau[t]) * math.log(method.classes))  # (1)
    later = sum(each[1:]) / len(each[1:])  # (3)
    apart = (diagnosis - z[:, 0])[people].abs().mean()
    return each[0] + later + method.consistency * apart  # (4)


demo, batch = CLIMAT.demo()
with torch.no_grad():
    demo.a.copy_(torch.tensor([0.0, 1.0]))
ours, theirs = (
    loss_by_hand(demo, batch),
    demo.loss(batch, torch.Generator())["loss"],
)
assert torch.allclose(ours, theirs)
say(f"Both give {ours.item():.4f} on the demo.")

# %% [markdown]
# ## A clinic whose truth is known
#
# Real cohorts of this kind may not be passed on, so the chapter draws people
# ({py:func}`~mmlab.data.worlds.follow_up_world.follow_up_world`). Everybody has a grade from 0 to 3, which a small noisy image shows, and a hidden risk,
# which four of five noisy clinical variables show (the last one means nothing); a fifth of the values is missing. From visit to visit the grade stays or rises by one, more often at
# high risk. The visits 1 to 3 are missing for 20, 40 and 60 per cent of the people.
#
# Here the exact probabilities of all grades can be computed from image and variables. They are perfectly calibrated, and they show how much
# of the uncertainty about later belongs to the world.

# %%
HELD_OUT, TEST = 150, 2000
EVERY = max(1, steps // 5)
world = follow_up_world()


def drawn(seed):
    training = world.draw(people + HELD_OUT, 2 * seed, held_out=HELD_OUT)
    held = training.subset(range(people, people + HELD_OUT)).tensors
    return training, held, world.draw(TEST, 2 * seed + 1).tensors


class Watched(CLIMAT):
    """The method, which keeps its weights at several steps on the way: shorter runs of the same training."""

    def after_step(self):
        self.passed = getattr(self, "passed", 0) + 1
        if self.passed % EVERY == 0 or self.passed == steps:
            kept = {
                name: value.clone() for name, value in self.state_dict().items()
            }
            self.stops = [*getattr(self, "stops", []), kept]


def trained(seed, rate, **arguments):
    method = Watched.seeded(seed, (1, 8, 8), 5, **arguments)
    fit(
        method,
        drawn(seed)[0],
        steps=steps,
        batch_size=100,
        lr=rate,
        log_every=steps,
        progress=False,
        seed=seed,
    )
    return method


# %% [markdown]
# ## The rivals
#
# | row | what is trained | what happens to the held-out people |
# | --- | --- | --- |
# | cross-entropy | the same network, every τ = 1 | nothing |
# | cross-entropy, stopped early | the same network | they say after how many steps to stop |
# | one temperature | the same network | one number, fitted afterwards |
# | a temperature for each visit | the same network | one number for each visit, fitted afterwards |
# | CLUB | with (5) | the $a_t$ learn on them |
# | CLUB, τ left out at test | the same | as CLUB, but predictions are read from softmax of $z$ |
# | CLUB and a temperature for each visit | with (5) | both |
#
# **Budgets.** Settings are chosen on a pilot draw, by the log loss of people who are used for nothing else. Cross-entropy has four learning rates to choose from, by its
# log loss with a temperature for each visit. CLUB has four combinations more, at the rate that was chosen: its $s$, and the *pace*, which says how fast the $a_t$ move relative to the network. All networks take the same steps on the same people.
# Every row but the first then stops at one of five numbers of steps, the one at which its own predictions have the lowest log loss on the held-out people. Nobody sees
# the test people. Each seed is a new draw of people, start and batches.

# %%
RATES = (2.5e-3, 5e-3, 1e-2, 2e-2)
SETTINGS = [{"pace": p, "softness": s} for p in (3.0, 30.0) for s in (1.0, 0.1)]
PILOT = 1000
VISITS = range(4)


def measures(probabilities, batch):
    """Accuracy, calibration error and log loss at each visit, over the people who were seen at it."""
    found = []
    for t in VISITS:
        there = batch["grade_seen"][:, t]
        p, y = probabilities[there, t], batch["grade"][there, t]
        found.append(
            {
                "visit": t,
                "accuracy": accuracy(p, y),
                "ECE": expected_calibration_error(p, y),
                "log loss": log_loss(p, y),
            }
        )
    return found


def temperatures(probabilities, batch, each=True):
    """Temperatures for the visits, fitted on held-out people: one for each, or one for all."""
    seen = batch["grade_seen"]
    if each:
        return [
            fit_temperature(
                probabilities[seen[:, t], t], batch["grade"][seen[:, t], t]
            )
            for t in VISITS
        ]
    return [fit_temperature(probabilities[seen], batch["grade"][seen])] * len(
        VISITS
    )


def tempered(probabilities, found):
    return torch.stack([temper(probabilities[:, t], found[t]) for t in VISITS], 1)


def mean_log_loss(probabilities, batch):
    return np.mean([m["log loss"] for m in measures(probabilities, batch)])


def as_it_is(held_own, held):
    return lambda own: own


def by_one(held_own, held):
    found = temperatures(held_own, held, each=False)
    return lambda own: tempered(own, found)


def by_visit(held_own, held):
    found = temperatures(held_own, held)
    return lambda own: tempered(own, found)


def stopped(method, seed, finish=as_it_is, with_tau=True):
    """Predictions for the test people at the stop that the held-out people choose, and which stop that is."""
    _, held, test = drawn(seed)

    def said(people):
        if with_tau:
            return method.predict(people)
        with torch.no_grad():
            return method.eval()(people)[0].softmax(-1)

    tries = []
    for at, weights in enumerate(method.stops):
        method.load_state_dict(weights)
        own = said(held)
        finished = finish(own, held)
        tries.append((mean_log_loss(finished(own), held), at, finished))
    _, at, finished = min(tries, key=lambda found: found[0])
    method.load_state_dict(method.stops[at])
    made = finished(said(test))
    method.load_state_dict(method.stops[-1])
    return made, at


def on_pilot(finish=as_it_is, **how):
    made, _ = stopped(trained(PILOT, **how), PILOT, finish)
    return mean_log_loss(made, drawn(PILOT)[2])


rate = min(RATES, key=lambda r: on_pilot(by_visit, rate=r, pace=0.0))
setting = min(SETTINGS, key=lambda how: on_pilot(rate=rate, **how))

lines, taus, networks, stops = [], [], {}, []
for seed in range(seeds):
    _, held, test = drawn(seed)
    plain = networks[seed] = trained(seed, rate, pace=0.0)
    theirs = trained(seed, rate, **setting)
    made = {
        "cross-entropy, stopped early": stopped(plain, seed),
        "one temperature": stopped(plain, seed, by_one),
        "a temperature for each visit": stopped(plain, seed, by_visit),
        "CLUB": stopped(theirs, seed),
        "CLUB, τ left out at test": stopped(theirs, seed, with_tau=False),
        "CLUB and a temperature for each visit": stopped(theirs, seed, by_visit),
    }
    stops += [
        {"method": row, "steps": min(steps, EVERY * (at + 1))}
        for row, (_, at) in made.items()
    ]
    last = {
        "exact probabilities": world.posterior(test),
        "cross-entropy": plain.predict(test),  # at its last stop
    }
    for row, probabilities in (last | {r: p for r, (p, _) in made.items()}).items():
        lines += [
            {"method": row, "seed": seed} | found
            for found in measures(probabilities, test)
        ]
    found = {"CLUB, after the last step": theirs.tau.tolist()}
    theirs.load_state_dict(theirs.stops[made["CLUB"][1]])
    found["CLUB, where it stopped"] = theirs.tau.tolist()
    found["1 / temperature for each visit, after the last step"] = [
        1 / value for value in temperatures(plain.predict(held), held)
    ]
    taus += [
        {"how": name, "seed": seed, "visit": f"visit {t}", "τ": value}
        for name, values in found.items()
        for t, value in enumerate(values)
    ]
scores = pd.DataFrame(lines)

# %% tags=["hide-input"]
# Code of the table
now = (
    scores[scores["visit"] == 0].drop(columns="visit").set_index(["method", "seed"])
)
later = (
    scores[scores["visit"] > 0]
    .groupby(["method", "seed"])
    .mean()
    .drop(columns="visit")
)
both = pd.concat(
    [now.add_suffix(", now"), later.add_suffix(", later")], axis=1
).reset_index()
columns = [
    "accuracy, now",
    "accuracy, later",
    "ECE, now",
    "ECE, later",
    "log loss, later",
]
order = list(dict.fromkeys(scores["method"]))
count = sum(p.numel() for name, p in networks[0].named_parameters() if name != "a")


def spent(row):
    tuned = ("learning rate",)
    if row != "cross-entropy":
        tuned += ("steps",)
    if "CLUB" in row:
        tuned += ("pace", "s")
    tries = (len(RATES) + len(SETTINGS) * ("CLUB" in row)) * (
        len(networks[0].stops) if "steps" in tuned else 1
    )
    more = 4 * ("CLUB" in row) + 4 * ("each" in row) + ("one" in row)
    return Spent(steps, count + more, tuned, tries)


budgets = Budgets("CLUB", {row: spent(row) for row in order[1:]})
table_over_seeds(
    both[["method", "seed", *columns]],
    f"Test people, after at most {steps} steps for every network; *later* is the mean over the visits 1 to 3. ECE is the expected calibration error.",
    best={c: "higher" if "accuracy" in c else "lower" for c in columns},
    reference=["exact probabilities"],
    digits=3,
    order=order,
    budgets=budgets,
)
where = pd.DataFrame(stops).groupby("method", sort=False)["steps"].mean()
say(
    f"Chosen on the pilot draw: the learning rate {rate:g}; for CLUB the pace {setting['pace']:g} and s = {setting['softness']:g}. "
    "Steps until the stop, mean over the draws: "
    + ", ".join(f"*{row}* {value:.0f}" for row, value in where.items())
    + "."
)
record(
    ece={
        row: [round(float(v), 4) for v in part.groupby("visit")["ECE"].mean()]
        for row, part in scores.groupby("method")
    },
    budget=budgets.plain(),
)

# %% [markdown]
# **What a paper would compare, first**: CLUB with cross-entropy. Then with what the same held-out people give in two lines.


# %%
def values(row, metric, visit=None):
    part = scores[scores["method"] == row]
    part = (
        part[part["visit"] > 0] if visit is None else part[part["visit"] == visit]
    )
    return part.groupby("seed")[metric].mean().tolist()


def against(row, slug):
    return claimed(
        f"club-later-{slug}",
        values("CLUB", "ECE"),
        values(row, "ECE"),
        direction="lower",
        unit="%",
        better=f"Later visits: CLUB has a lower calibration error than *{row}*, {{ours}} against {{theirs}}.",
        worse=f"Later visits: *{row}* has a lower calibration error than CLUB, {{theirs}} against {{ours}}.",
        undecided=f"Later visits: CLUB ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart in calibration error.",
    )


rivals = {
    "cross-entropy": "cross-entropy",
    "cross-entropy, stopped early": "stopped-early",
    "one temperature": "one-temperature",
    "a temperature for each visit": "temperature-for-each-visit",
    "CLUB, τ left out at test": "without-tau",
    "CLUB and a temperature for each visit": "club-and-temperatures",
}
say("\n".join(f"- {against(row, slug)}" for row, slug in rivals.items()))
for metric, unit in (("ECE", "%"), ("log loss", "")):
    word = "calibration error" if metric == "ECE" else metric
    claim(
        f"club-adds-to-temperatures-{metric.lower().replace(' ', '-')}",
        values("CLUB and a temperature for each visit", metric),
        values("a temperature for each visit", metric),
        direction="lower",
        unit=unit,
        better=f"**Does CLUB add anything to temperatures?** Both rows fit a temperature for each visit in the end. At the later visits the network that was trained with CLUB has the lower {word}: {{ours}} against {{theirs}}.",
        worse=f"**Does CLUB add anything to temperatures?** Both rows fit a temperature for each visit in the end. At the later visits the network that was trained with CLUB has the higher {word}: {{ours}} against {{theirs}}.",
        undecided=f"**Does CLUB add anything to temperatures?** Both rows fit a temperature for each visit in the end. In {word} at the later visits the network that was trained with CLUB ({{ours}}) and the one without ({{theirs}}) cannot be told apart.",
    )
claim(
    "club-log-loss-temperature-for-each-visit",
    values("CLUB", "log loss"),
    values("a temperature for each visit", "log loss"),
    direction="lower",
    better="In log loss at the later visits, which also rewards being right, CLUB is ahead of a temperature for each visit: {ours} against {theirs}.",
    worse="In log loss at the later visits, which also rewards being right, a temperature for each visit is ahead of CLUB: {theirs} against {ours}.",
    undecided="In log loss at the later visits, which also rewards being right, CLUB ({ours}) and a temperature for each visit ({theirs}) cannot be told apart.",
)
claim(
    "club-accuracy-cross-entropy",
    values("CLUB", "accuracy"),
    values("cross-entropy", "accuracy"),
    direction="higher",
    unit="%",
    better="A τ below 1 also makes a visit weigh less in the training. In accuracy at the later visits CLUB is ahead of cross-entropy: {ours} against {theirs}.",
    worse="A τ below 1 also makes a visit weigh less in the training. In accuracy at the later visits CLUB is behind cross-entropy: {ours} against {theirs}.",
    undecided="A τ below 1 also makes a visit weigh less in the training. In accuracy at the later visits CLUB ({ours}) and cross-entropy ({theirs}) cannot be told apart.",
)

# %% [markdown]
# Visit by visit, CLUB against a temperature for each visit:

# %% tags=["hide-input"]


def at_visit(t):
    return claimed(
        f"club-temperature-visit-{t}",
        values("CLUB", "ECE", t),
        values("a temperature for each visit", "ECE", t),
        direction="lower",
        unit="%",
        better=f"Visit {t}: CLUB has the lower calibration error, {{ours}} against {{theirs}}.",
        worse=f"Visit {t}: the temperature has the lower calibration error, {{theirs}} against {{ours}}.",
        undecided=f"Visit {t}: CLUB ({{ours}}) and the temperature ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {at_visit(t)}" for t in VISITS))
drawn_rows = [
    "cross-entropy",
    "cross-entropy, stopped early",
    "a temperature for each visit",
    "CLUB",
]
chart = scores[scores["method"].isin(drawn_rows)].copy()
chart["ECE, per cent"] = 100 * chart["ECE"]
chart["at"] = "visit " + chart["visit"].astype(str)
means = chart.groupby(["at", "method"])["ECE, per cent"].mean()
show(
    bars(chart, "ECE, per cent", by="method", panel="at"),
    alt="Calibration error in per cent at each visit. "
    + " ".join(
        f"Visit {t}: "
        + ", ".join(f"{row} {means[f'visit {t}', row]:.1f}" for row in drawn_rows)
        + "."
        for t in VISITS
    ),
    caption="Calibration error at each visit: dots are draws, the large dot is their mean with its 95 % interval. Visit 0 is now. Four rows of the table are drawn; CLUB with a temperature for each visit on top is not among them.",
    label="ece",
)

# %% [markdown]
# ## The line and the valley
#
# Take the network that was trained by cross-entropy and its held-out people, and move $\tau$ at one visit. The bound (6) is the line; the cross-entropy of
# the flattened logits is the valley under it. Choose the visit.

# %% tags=["hide-input"]
# Code of the widget: line and valley
_, held, _ = drawn(0)
with torch.no_grad():
    logits = networks[0].eval()(held)[0]
grid = torch.linspace(0.02, 1, 50)
curves = {}
for t in VISITS:
    there = held["grade_seen"][:, t]
    z, y = logits[there, t], held["grade"][there, t]
    chosen = z.log_softmax(1).gather(1, y[:, None])[:, 0]
    line = torch.stack([club(chosen, value, GRADES).mean() for value in grid])
    valley = torch.stack([F.cross_entropy(value * z, y) for value in grid])
    curves[t] = (line, valley)
top = max(float(line.max()) for line, _ in curves.values())
low = min(float(valley.min()) for _, valley in curves.values())


def draw_curves(t):
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    for values_, name in zip(
        curves[t], ("the bound (6)", "cross-entropy of τ z"), strict=True
    ):
        sns.lineplot(x=grid, y=values_, label=name, ax=axes)
    axes.axhline(math.log(GRADES), color="grey", lw=0.8, ls=":")
    axes.set(
        xlabel="τ", ylabel="nats on held-out people", ylim=(low - 0.1, top + 0.1)
    )
    return figure


def say_curves(t):
    line, valley = curves[t]
    return (
        f"Visit {t}: the bound goes in a line from {line[0]:.2f} at τ = {grid[0]:.2f} to {line[-1]:.2f} at τ = 1; the cross-entropy of the flattened "
        f"logits is lowest, {valley.min():.2f}, at τ = {grid[valley.argmin()]:.2f}."
    )


frames(
    {"visit": list(VISITS)},
    draw=draw_curves,
    alt=say_curves,
    caption=(
        "One seed. The dotted line is a uniform guess. Where the line falls to the left, (5) pushes τ down without end; where it falls to the right, up. The "
        "valley's lowest point is what temperature scaling finds."
    ),
    start={"visit": 3},
)

# %% tags=["hide-input"]
# Code of the figure: where τ ended
frame = pd.DataFrame(taus)
ended = frame.groupby(["visit", "how"], sort=False)["τ"].mean()
hows = list(dict.fromkeys(frame["how"]))
show(
    bars(frame, "τ", by="how", panel="visit"),
    alt="τ and inverse temperatures, mean over draws. "
    + " ".join(
        f"Visit {t}: "
        + ", ".join(f"{how} {ended[f'visit {t}', how]:.2f}" for how in hows)
        + "."
        for t in VISITS
    ),
    caption=(
        "Where τ stood for CLUB, and the inverse temperatures that the held-out people ask of the network trained by cross-entropy to the end. "
        f"With the s that was chosen no τ can be below {math.exp(-1 / setting['softness']):.2g}."
    ),
    label="tau",
)

# %% [markdown]
# The networks of these rows are not the same: τ weighs the visits in the training, too. Compare the row *τ left out at test* with *cross-entropy, stopped early* for
# what the weighing does alone. By (6) τ has a reason to fall only once the held-out loss of a visit is above $\log C$.
# The widget shows at which visits, if any, it was for one network trained by cross-entropy.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} CLUB from logits (code)
# :label: climat-club
#
# Write the mean of (1). You get logits (B, C), labels (B,) and τ.
# ```

# %% tags=["stub:club"]
from mmlab.exercises.climat import check_club


def bound(logits, label, tau):
    return ...


check_club(bound)

# %% [markdown]
# ```{solution-start} climat-club
# :class: dropdown
# ```


# %% tags=["solution:club"]
def bound(logits, label, tau):
    ce = F.cross_entropy(logits, label)
    return tau * ce + (1 - tau) * math.log(logits.shape[1])


check_club(bound)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How hot can it get? (compute)
# :label: climat-floor
#
# (a) With s = 0.5, what is the lowest τ that (2) allows? (b) Which temperature is that? (c) A network needs a temperature of 8 at some visit. Which
# s is the largest that allows it?
# ```

# %% tags=["stub:floor"]
from mmlab.exercises.climat import check_floor

lowest = ...
temperature = ...
largest = ...

check_floor((lowest, temperature, largest))

# %% [markdown]
# ```{solution-start} climat-floor
# :class: dropdown
# ```

# %% tags=["solution:floor"]
lowest = math.exp(-1 / 0.5)
temperature = 1 / lowest
largest = 1 / math.log(8)

check_floor((lowest, temperature, largest))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Where τ goes (derive)
# :label: climat-end
#
# The network is fixed, with held-out losses $H_t$, (T,). All $a_t$ may take any value. Write a function of H, C and s that returns the
# infimum of (5) over all $a$ in (2). (Hint: which visits are pulled down, which up? And who has τ = 1 if all are pulled down?)
# ```

# %% tags=["stub:end"]
from mmlab.exercises.climat import check_end


def infimum(H, classes, s):
    return ...


check_end(infimum)

# %% [markdown]
# ```{solution-start} climat-end
# :class: dropdown
# ```
#
# By (6) the mean is $\log C + \operatorname{mean}_t\, \tau_t (H_t - \log C)$, so each $\tau_t$ wants an end of its interval: 1 where $H_t < \log C$, the floor
# $f = e^{-1/s}$ where $H_t > \log C$. Both ends can be had at once if some visit wants 1. If all want the floor, one of them has to
# keep 1, by the division in (2); the cheapest is the one with the smallest $H_t$.


# %% tags=["solution:end"]
def infimum(H, classes, s):
    gap = H - math.log(classes)
    tau = torch.where(gap > 0, math.exp(-1 / s), 1.0)
    if (gap > 0).all():
        tau[gap.argmin()] = 1.0
    return math.log(classes) + (tau * gap).mean()


check_end(infimum)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Fewer held-out people (think)
# :label: climat-few
#
# Temperature scaling fits four numbers on the held-out people. With how few of them does it still work? Guess, then look.
# ```
#
# ```{solution-start} climat-few
# :class: dropdown
# ```

# %%
_, held, test = drawn(0)
network = networks[0]
errors = {}
for some in (20, 50, HELD_OUT):
    part = {key: value[:some] for key, value in held.items()}
    cooled = tempered(
        network.predict(test), temperatures(network.predict(part), part)
    )
    errors[some] = np.mean([m["ECE"] for m in measures(cooled, test)])
plain_error = np.mean([m["ECE"] for m in measures(network.predict(test), test)])
say(
    f"Mean calibration error over the visits, one draw: {100 * plain_error:.1f} per cent without; "
    + ", ".join(f"{100 * e:.1f} with {some} people" for some, e in errors.items())
    + ". One draw decides nothing; at the last visit only two in five of these people were seen."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Does τ or a temperature change which grade is predicted?
# No. All logits of a visit are multiplied by the same positive number, so their order stays. Only the training with τ can change it.
# ```
#
# ```{dropdown} Why is a missing follow-up no problem for the loss?
# Each visit has its own mean, over those who were seen at it. That is right if people are missing at random, as here. If those whose grade rises
# stay away, every row on this page is off, and no calibration on those who came can tell.
# ```
#
# ```{dropdown} The exact probabilities have a calibration error above zero. Why?
# The error is estimated in bins from a finite number of people, and gaps of either sign count. So it is biased upwards: the row shows by how much for these
# probabilities. The bias of other rows can differ.
# ```
#
# ```{dropdown} Is a low calibration error enough?
# No. Whoever always states the shares of the grades is calibrated, and says nothing about the person. Look at log loss as well.
# ```
#
# ## In five lines
#
# - CLUB is a weighted cross-entropy plus a constant, and bounds the cross-entropy of flattened logits from above.
# - The bound is linear in τ: held-out people pull τ down only where the loss is above that of a uniform guess.
# - τ has a floor, $e^{-1/s}$, and the visit with the largest τ is not flattened at all.
# - Temperature scaling asks the same held-out people for the minimum itself, after the training, one number per visit.
# - Compare a calibration method with that, on the same held-out items, and by log loss besides calibration error.
#
# ## Limits, and what to read next
#
# - The images have 64 pixels and the agents one block each. The paper has cohorts of knees and brains; none of its numbers could be checked against its
#   tables, so none is printed.
# - The network has no dropout and no weight decay; of the ways against overfitting only stopping early was tried. Hold its accuracy against the row of the exact
#   probabilities, too.
# - The held-out people choose the steps of all rows but one. In the rows of CLUB they also teach τ, in those with temperatures they also fit these, and in the row with both they do all three.
# - The steps are few, and how far a network gets in them differs from draw to draw: look at the deviations of the accuracy in the table.
# - Settings were chosen on a single pilot draw, and CLUB had more of them. Where a row chose a value at the end of its list, others outside may suit it more.
#
# {cite:t}`guo2017calibration` is the paper on temperature scaling. [Missing modalities](missing_modalities.ipynb) treats inputs that are absent.

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
# # Inverse effectiveness: does the trick matter?
#
# **A paper adds five lines to a training loop and reports higher numbers. How do you find out which of the five lines
# did it?**
#
# In the brain, two senses help each other most when each of them alone is weak {cite}`iemf`: a voice in a noisy room gains more from
# seeing the lips than a voice in a quiet one. This is called *inverse effectiveness*. IEMF {cite}`iemf` builds a training
# trick from it: the weaker the unimodal classifiers are, the larger the update of the classifier that fuses them. The
# trick is cheap, and the authors report gains nearly everywhere {cite}`iemf`.
#
# This chapter is a lesson in controls. We build the trick exactly, take it apart, and put a baseline beside each of its
# parts.
#
# **After this chapter you can**
#
# - scale the gradient of one part of a network, between the backward pass and the step, and nothing else;
# - say what a constant factor on a gradient is under gradient descent, and what it is under Adam;
# - ask of a training trick: what else was switched on with it? would a constant have done? was the baseline's learning rate
#   tuned? does the optimiser see it? how many seeds stand behind the difference?
#
# You need PyTorch, and to know what a gradient step is. A first look at [fusion](late_fusion.ipynb) is useful. Reading takes about
# half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4
steps: int | None = None  # of every training run on this page
items: int = 2000  # to train on

# %% tags=["hide-input"]
import math
from dataclasses import replace

import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d

from mmlab import fit
from mmlab.compare.comparison import METRICS
from mmlab.compare.controls import controls
from mmlab.compare.intervals import paired_interval
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.methods.iemf import IEMF, coefficient
from mmlab.train.optimisers import Optimiser
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, bars, use_theme

use_theme()
steps = steps or {"cpu": 140, "gpu": 2000}[profile]
metrics = {name: METRICS[name] for name in ("accuracy", "ECE")}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## The trick in one picture
#
# Each modality $m$ has an encoder with features $z_m$. A *fused* classifier reads all features side by side, and a *head*
# for each modality reads its own. After the forward pass, ask how sure each of them is of the truth. Let $p_{m,i}$ be the
# probability that head $m$ gives to the true class $y_i$ of item $i$,
#
# $$p_{m,i} = \operatorname{softmax}(W_m z_{m,i} + b_m)_{y_i}, \qquad s_m = \sum_{i=1}^{B} p_{m,i}, \tag{1}$$
#
# and $s_f$ the same for the fused classifier. The ratio
#
# $$r = \frac{\tfrac1M \sum_{m=1}^{M} s_m}{s_f} \tag{2}$$
#
# is small where the modalities are weak on their own and strong together. The coefficient
#
# $$\xi = 1 + \tanh(1 - r) \tag{3}$$
#
# multiplies the gradient of the fused classifier's parameters, and nothing else. (If an item lacks a modality, its mean
# in (2) runs over those it has: that is this package's choice, the paper has no missing modalities.)

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.5, "modalities"),
    "z": Box(1, 0.5, "encoders", "trained"),
    "heads": Box(2, 0, "a head for\neach", "trained"),
    "fused": Box(2, 1, "fused\nclassifier", "trained"),
    "loss": Box(3, 0, "loss (4)", "loss"),
    "xi": Box(3, 1.4, "ξ of (1) to (3)", "changed"),
}
arrows = [
    Arrow("x", "z"), Arrow("z", "heads"), Arrow("z", "fused"), Arrow("heads", "loss"), Arrow("fused", "loss"),
    Arrow("heads", "xi"), Arrow("fused", "xi", bend=-0.25),
    Arrow("xi", "fused", back=True, bend=-0.35),
]  # fmt: skip
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: modalities go through encoders to a head for each and to a fused classifier; all have a loss. From what heads and fused "
        "classifier say of the truth a coefficient is computed, which goes back to the fused classifier alone, as a dashed arrow."
    ),
    caption=(
        "What goes where. Blue is trained. The coefficient is measured after the forward pass (grey arrows), and multiplies the gradient of the "
        "fused classifier (dashed) before the step."
    ),
)

# %% tags=["hide-input"]
# Code of the figure: the coefficient
ratios = torch.linspace(0, 2, 200)
figure = Figure(figsize=(5.6, 2.9), layout="constrained")
axes = figure.subplots()
sns.lineplot(x=ratios, y=coefficient(ratios), ax=axes)
axes.axhline(1, color=COLOURS[6], lw=0.8, ls=":")
axes.axvline(1, color=COLOURS[6], lw=0.8, ls=":")
axes.annotate(
    "heads give the truth\nno probability", (0, coefficient(ratios[0])), (0.42, 1.6)
)
axes.annotate("heads as good as the\nfused classifier", (1, 1), (1.06, 1.12))
axes.set(
    xlabel="r, heads against fused classifier", ylabel="ξ, factor on its gradient"
)
show(
    figure,
    alt=(
        f"Curve of ξ against r: it falls from {coefficient(ratios[0]):.2f} at r = 0 "
        f"through 1 at r = 1 to {coefficient(ratios[-1]):.2f} at r = 2."
    ),
    caption=(
        "The coefficient. Where the heads are less sure of the truth than the fused classifier, r < 1 and the fused classifier is *sped up*."
    ),
)

# %% [markdown]
# The heads are trained too. The whole loss is the cross-entropy of the fused classifier plus that of every head,
#
# $$L = \mathrm{CE}(f) + \lambda \sum_{m=1}^{M} \mathrm{CE}(m), \tag{4}$$
#
# with $\lambda = 1$. Remember this line. The heads send gradients into the encoders, which is a classic aid to training
# {cite}`wang2020blending`, and it has nothing to do with $\xi$. In the authors' code, one switch turns on the coefficient,
# its noise, and the heads' losses {cite}`iemf_repository`.
#
# ## How to scale a gradient, and only that
#
# Multiplying a *term of the loss* by $\xi$ would change the encoders' gradients as well. So the gradient itself is scaled,
# after the backward pass and before the step, in the parameters of one module. Here is one step, written out:


# %%
def one_step(method, batch, rate):
    """Forward, backward, measure, scale, step: equations (1) to (4)."""
    label = batch["label"]
    rows = torch.arange(len(label))
    z = {name: encoder(batch[name]) for name, encoder in method.encoders.items()}
    heads = [method.heads[name](features) for name, features in z.items()]
    fused = method.fusion(z, {})
    losses = [
        torch.nn.functional.cross_entropy(logits, label)
        for logits in (fused, *heads)
    ]
    sum(losses).backward()  # 1. backward, of the loss (4)

    s = [logits.softmax(1)[rows, label].sum() for logits in heads]  # 2. measure (1)
    r = sum(s) / len(s) / fused.softmax(1)[rows, label].sum()  # (2)
    xi = 1 + torch.tanh(1 - r)  # (3)

    for parameter in method.fusion.parameters():
        parameter.grad.mul_(xi.detach())  # 3. scale
    with torch.no_grad():
        for parameter in method.parameters():
            parameter -= rate * parameter.grad  # 4. step


ours, batch = IEMF.demo()
theirs, _ = IEMF.demo()
whole = {"batch_size": len(batch["label"]), "clip_norm": None, "progress": False}
for _ in range(60):
    ours.zero_grad()
    one_step(ours, batch, 0.1)
fit(theirs, TensorData(batch), steps=60, lr=0.1, optimiser="sgd", **whole)
furthest = max(
    float((a - b).detach().abs().max())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
)
assert furthest < 1e-4
say(
    f"After 60 steps by hand and by `mmlab.fit` the weights differ by at most {furthest:.0e}."
)

# %% [markdown]
# The package calls the second and third part {py:meth}`~mmlab.methods.iemf.IEMF.after_backward`.
#
# ## What an optimiser makes of it
#
# **Gradient descent.** The step of a parameter is $-\eta\, g$. If $g$ is multiplied by a constant $\xi$, the step is
# $-(\xi\eta)\, g$. Momentum is linear in the gradients, so it does not change this. *A constant coefficient is a learning
# rate of the head, exactly.* A coefficient that hardly moves is a learning rate, nearly.
#
# **Adam** {cite}`kingma2015adam` divides the mean of the gradients by the root of the mean of their squares. Multiply all
# gradients by $\xi$, and both grow by $\xi$: nothing changes at all. Under Adam, only the *changes* of $\xi$ can be felt,
# and only until its averages have followed.
#
# Both statements can be checked. After one step of each optimiser, how far has each part moved with $\xi = 1.4$, relative to
# $\xi = 1$?


# %%
def moved(xi, optimiser):
    """How far each part moves in one step from the same start."""
    method = IEMF(**ours.config | {"fixed": xi})
    method.load_state_dict(ours.state_dict())
    fit(method, TensorData(batch), steps=1, lr=0.01, optimiser=optimiser, **whole)
    before = dict(ours.named_parameters())
    return {
        part: sum(
            float((p - before[n]).detach().norm() ** 2)
            for n, p in method.named_parameters()
            if n.startswith(part)
        )
        ** 0.5
        for part in ("encoders", "heads", "fusion")
    }


optimisers = {"gradient descent": "sgd", "Adam": Optimiser("adam", eps=1e-15)}
ratios = {
    name: {
        part: moved(1.4, kind)[part] / distance
        for part, distance in moved(1.0, kind).items()
    }
    for name, kind in optimisers.items()
}
table(
    pd.DataFrame(ratios),
    "Distance moved in one step with ξ = 1.4, over the distance with ξ = 1",
)

# %% [markdown]
# So we train with descent and momentum, which gives the trick its chance. (Weight decay is added to the gradient after the
# scaling, so a scaled gradient and a larger rate are the same only up to that.)
#
# ## What the authors report
#
# These are the numbers of the authors' README {cite}`iemf_repository`; we have not run them. (MSLR gives each modality its own
# learning rate, LFM learns when to fuse; OGM-GE has [a chapter](ogm_ge.ipynb).) The question to keep in mind: which of these rows has the heads' losses on *both* sides?

# %% tags=["hide-input"]
published = pd.DataFrame(
    [
        ("CREMA-D", "concatenation", 62.63, 63.44),
        ("CREMA-D", "MSLR", 64.11, 65.59),
        ("CREMA-D", "OGM-GE", 68.68, 71.10),
        ("CREMA-D", "LFM", 64.11, 63.98),
        ("Kinetics-Sounds", "concatenation", 51.58, 56.17),
        ("Kinetics-Sounds", "MSLR", 51.89, 55.86),
        ("Kinetics-Sounds", "OGM-GE", 57.63, 64.61),
        ("Kinetics-Sounds", "LFM", 55.28, 63.15),
        ("UrbanSound8K-AV", "concatenation", 97.90, 97.86),
        ("UrbanSound8K-AV", "MSLR", 97.79, 97.98),
        ("UrbanSound8K-AV", "OGM-GE", 97.60, 99.24),
        ("UrbanSound8K-AV", "LFM", 98.05, 98.63),
        ("AVQA", "question answering", 70.26, 71.36),
    ],
    columns=["data", "base method", "without", "with IEMF"],
)
published["gain"] = published["with IEMF"] - published["without"]
table(
    published.set_index("data"),
    "Accuracy in per cent, as reported in the authors' README, not reproduced here",
    digits=2,
)

# %% [markdown]
# Only the last row comes with a control: the README gives AVQA also with joint training, 70.71
# {cite}`iemf_repository`. The difference of these two is what is left for the coefficient and its noise.
#
# ## The experiment
#
# Three worlds, all offline and small.
#
# - **AV-MNIST-mini** at two signal-to-noise ratios: an image of a digit from which most of the energy was taken, and the
#   spectrogram of the same digit spoken in noise ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`). Speech in noise is the very case
#   that inverse effectiveness is about. (Both are halved in size here, to save time.)
# - **The dial**, set to *inter*: two vectors, each of which alone says nothing about the label; only their agreement does
#   ({py:func}`~mmlab.data.worlds.dependency_world.dependency_world`). Unimodal cues cannot be weaker than that, so by the idea
#   of the paper the trick should matter most here. The Bayes rate is known.
#
# Each row differs from *joint + heads* in one thing, and in the learning rate that it chooses; *IEMF + noise* differs so from *IEMF*.
#
# | row | heads' losses | factor on the fused gradient |
# | --- | --- | --- |
# | joint | no | 1 |
# | joint + heads | yes | 1 |
# | IEMF | yes | ξ of (3) |
# | IEMF + noise | yes | ξ, and Gaussian noise with the gradient's spread, as the authors add |
# | constant 1.2 | yes | a constant, which was not tuned |
# | constant 2 | yes | 2: a fused classifier that learns twice as fast |
#
# **Every row has the same budget**: as many steps, and the same few learning rates to choose from on validation items. The rate rises over the first tenth of the
# steps, for all rows alike. One more
# row shows what this is for: *joint, rate not tuned* has the lowest of these rates.
# {py:func}`~mmlab.compare.controls.controls` trains all rows from the same seeds on the same batches, adds chance, logistic
# regression (its penalty chosen on the same validation items) and shuffled modalities, and measures the test set once, after
# the last step.

# %%
variants = {
    "joint": {"unimodal_weight": 0.0, "fixed": 1.0},
    "joint + heads": {"fixed": 1.0},
    "IEMF": {},
    "IEMF + noise": {"noise": True},
    "constant 1.2": {"fixed": 1.2},
    "constant 2": {"fixed": 2.0},
}


def halved(data):
    smaller = {
        key: value if key == "label" else avg_pool2d(value, 2)
        for key, value in data.tensors.items()
    }
    return TensorData(smaller)


def spoken(snr):
    origin = "auto" if profile == "gpu" else "synthetic"
    world = av_mnist_mini(snr=snr, train=items, origin=origin)
    return [halved(part) for part in (world.train, world.validation, world.test)]


def dial(count, seed):
    return dependency_world(count, 4, 0.0, 0.95, seed=seed)


loud, quiet, inter = (
    "AV-MNIST-mini, −9 dB",
    "AV-MNIST-mini, −3 dB",
    "dial, inter only",
)
worlds = {
    loud: spoken(-9.0),
    quiet: spoken(-3.0),
    inter: [dial(items, 0).pairs, dial(500, 2).pairs, dial(3000, 1).pairs],
}
descent = {
    "optimiser": Optimiser("sgd", momentum=0.9), "weight_decay": 5e-4, "schedule": "cosine", "clip_norm": None,
    "steps": steps, "warmup": steps // 10, "log_every": steps, "progress": False,
}  # fmt: skip
rates = [{"lr": 0.02}, {"lr": 0.06}, {"lr": 0.12}]


class Noted(IEMF):
    """Notes its coefficient after every step."""

    def after_backward(self):
        super().after_backward()
        self.noted = [*getattr(self, "noted", []), self.xi]


def builder(name, row):
    data = worlds[name][0]
    shapes = {
        key: list(value.shape[1:])
        for key, value in sorted(data.tensors.items())
        if key != "label"
    }
    classes = int(data.tensors["label"].max()) + 1
    return lambda seed: Noted(shapes, classes=classes, width=32, **variants[row])


def compare(
    name, rows, runs, rivals=(), proposed="IEMF", training=descent, tries=rates
):
    train, validation, test = worlds[name]
    return controls(
        {row: builder(name, row) for row in rows},
        proposed,
        train,
        test,
        modalities=sorted(set(train.tensors) - {"label"}),
        training=training,
        seeds=range(runs),
        rivals=rivals,
        metrics=metrics,
        validation=validation,
        tries=tries,
    )


few = ["joint", "joint + heads", "IEMF"]
fewer = min(seeds, 3)
results = {
    loud: compare(loud, variants, seeds, ["logistic regression"]),
    quiet: compare(quiet, few, fewer),
    inter: compare(inter, [*few, "constant 1.2"], fewer, ["logistic regression"]),
}
untuned = compare(
    loud, ["joint"], seeds, proposed="joint", training=descent | rates[0], tries=()
)

# %% tags=["hide-input"]
# Code of the table
order = [
    "chance",
    *[
        f"logistic regression{x}"
        for x in (", audio", ", image", ", x1", ", x2", "")
    ],
    "joint, rate not tuned",
    *variants,
    *[f"IEMF, {x} shuffled" for x in ("audio", "image", "x1", "x2")],
]


def together(part):
    columns = {
        name: getattr(found, part)["accuracy"] * 100
        for name, found in results.items()
    }
    frame = pd.DataFrame(columns)
    frame.loc["joint, rate not tuned", loud] = (
        getattr(untuned, part).loc["joint", "accuracy"] * 100
    )
    return frame.reindex([row for row in order if row in frame.index])


mean, spread = together("mean"), together("spread")
table(
    mean,
    f"Accuracy on the test set in per cent, mean ± standard deviation over seeds ({seeds} at −9 dB, {fewer} elsewhere), after "
    f"{steps} steps for every network. In italics: what does not compete. The Bayes rate of the dial is "
    f"{dial(10, 0).bayes_rate:.1%}. Which rows can be told apart stands below.",
    spread=spread,
    reference=["chance", *(row for row in mean.index if row.endswith("shuffled"))],
    digits=1,
    budgets=results[loud].budgets,
)
say(
    "Learning rates that the rows chose: "
    + "; ".join(
        f"{name}: "
        + ", ".join(
            f"{row} {chosen['lr']:g}" for row, chosen in found.chosen.items()
        )
        for name, found in results.items()
    )
    + "."
)

# %% [markdown]
# **First, what does tuning a baseline do?** Then the comparison that a paper prints, and the ones that isolate the trick. Two rows
# of the same seed saw the same batches in the same order, so differences are paired by seed.

# %% tags=["hide-input"]
claim(
    "tuning-the-rate-of-joint-training",
    results[loud].values("joint"),
    untuned.values("joint"),
    direction="higher",
    unit="%",
    better="Joint training with the rate that it chose is ahead of joint training at the lowest rate: {ours} against {theirs}, in the same number of steps. Whoever compares with the untuned row adds this gap to every gain.",
    worse="Joint training with the rate that it chose on validation items is behind the lowest rate: {ours} against {theirs}.",
    undecided="Joint training with the rate that it chose ({ours}) and at the lowest rate ({theirs}) cannot be told apart.",
)
claim(
    "iemf-against-untuned-joint-training",
    results[loud].values("IEMF"),
    untuned.values("joint"),
    direction="higher",
    unit="%",
    better="Against that untuned row IEMF would look like this: {ours} against {theirs}.",
    worse="Even that untuned row is ahead of IEMF: {theirs} against {ours}.",
    undecided="Even that untuned row ({theirs}) cannot be told from IEMF ({ours}).",
)


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def against(name, row, metric="accuracy", found=None):
    found = found or results[name]
    return claimed(
        f"iemf-{slug(name)}-{slug(row)}",
        found.values("IEMF", metric),
        found.values(row, metric),
        direction="higher",
        unit="%",
        better=f"IEMF is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of IEMF: {{theirs}} against {{ours}}.",
        undecided=f"IEMF ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for name, found in results.items():
    rows = [
        row
        for row in ("logistic regression", *variants)
        if row in found.predictors and row != "IEMF"
    ]
    say(f"*{name}*\n\n" + "\n".join(f"- {against(name, row)}" for row in rows))
gaps = {
    name: found.differences().reindex([row for row in variants if row != "IEMF"])
    * 100
    for name, found in results.items()
}
record(
    accuracy={name: mean[name].dropna().round(2).to_dict() for name in results},
    iemf_minus={
        name: gap["difference"].dropna().round(2).to_dict()
        for name, gap in gaps.items()
    },
    budget={name: found.budgets.plain() for name, found in results.items()},
)

# %% tags=["hide-input"]
# Code of the figure: paired differences
pairs = pd.DataFrame(
    [
        (name, row, 100 * (own - other))
        for name, found in results.items()
        for row in gaps[name].dropna().index
        for own, other in zip(found.values("IEMF"), found.values(row), strict=True)
    ],
    columns=["world", "row", "IEMF − row, points"],
)
if pairs.empty:  # a single seed has no intervals
    pairs.loc[0] = (loud, "joint", 0.0)
figure = bars(
    pairs,
    "IEMF − row, points",
    by="row",
    panel="world",
    references={"no difference": 0.0},
)
show(
    figure,
    alt=" ".join(
        f"{name}: "
        + ", ".join(
            f"IEMF minus {row} {x['difference']:+.1f} ({x['low']:+.1f} to {x['high']:+.1f})"
            for row, x in gap.dropna().iterrows()
        )
        + "."
        for name, gap in gaps.items()
    ),
    caption=(
        "Paired differences in accuracy: small dots are seeds, the large dot is their mean with its 95 % interval. A row whose interval holds 0 cannot be told from IEMF. "
        "Not every row was run in every world."
    ),
)

# %% [markdown]
# The gap to *joint* is what a paper would report. Of the rows here, *joint + heads* has everything but the coefficient, so only
# the gap to that row can be the coefficient's; or its learning rate's, where the two chose different ones (a later section trains both at one). In the dial the heads have nothing to learn from a single modality, and the
# unimodal cues are as weak as they can be: by the idea of inverse effectiveness the coefficient should do most there.
#
# ## How many seeds does a claim need?
#
# Turn the knob, and watch the intervals.

# %% tags=["hide-input"]
# Code of the widget: seeds
scores = results[loud].scores["accuracy"].unstack("seed")[list(range(seeds))] * 100
rivals = [row for row in variants if row != "IEMF"]
edge = float((scores.loc["IEMF"] - scores.loc[rivals]).abs().max().max()) + 1


def paired(count):
    pairs = {
        row: list((scores.loc["IEMF"] - scores.loc[row])[:count]) for row in rivals
    }
    return {
        row: (points, *paired_interval(points)) for row, points in pairs.items()
    }


def draw_seeds(count):
    points = pd.DataFrame(
        [
            (row, value)
            for row, (some, *_) in paired(count).items()
            for value in some
        ],
        columns=["row", "IEMF − row, points of accuracy"],
    )
    figure = bars(
        points,
        "IEMF − row, points of accuracy",
        by="row",
        references={"no difference": 0.0},
    )
    figure.axes[0].set(xlim=(-edge, edge))
    return figure


def describe_seeds(count):
    parts = [
        f"{row} {sum(p) / count:+.1f}"
        + (f" ({a:+.1f} to {b:+.1f})" if a > -math.inf and count > 1 else "")
        for row, (p, a, b) in paired(count).items()
    ]
    return f"IEMF minus each row with {count} seed(s): " + ", ".join(parts) + "."


about = (
    "AV-MNIST-mini at −9 dB. Small dots: seeds. Large dot: their mean with its 95 % interval, which may leave the picture. With one seed there is no "
    "interval: the sign of a dot decides nothing."
)
frames(
    {"seeds used": list(range(1, seeds + 1))},
    draw=draw_seeds,
    alt=describe_seeds,
    caption=about,
    start={"seeds used": 1},
)

# %% [markdown]
# ## Where the coefficient is
#
# Inverse effectiveness in the brain is a matter of single stimuli: *this* word was mumbled, so look at the lips. The
# coefficient (3) is computed from sums over the batch. It is one number per step, and cannot tell a mumbled word from a
# clear one. How does it move during training? The class `Noted` above kept it after each step.

# %%
traces = {
    name: torch.tensor(found.trained["IEMF"][0].noted)
    for name, found in results.items()
}

# %% tags=["hide-input"]
# Code of the figure: the coefficient during training
figure = Figure(figsize=(5.6, 3.2), layout="constrained")
axes = figure.subplots()
width = max(1, steps // 20)
halves, drawn = {}, {}
for name, curve in traces.items():
    drawn[name] = smooth = (
        curve[: len(curve) // width * width].view(-1, width).mean(1)
    )
    middles = torch.arange(len(smooth)) * width + width / 2
    sns.lineplot(x=middles, y=smooth, label=name, ax=axes)
    halves[name] = [half.std(correction=0).item() for half in curve.tensor_split(2)]
axes.set(xlabel="step", ylabel="ξ")
axes.axhline(1, color=COLOURS[6], lw=0.8, ls=":")
later = {name: curve[len(curve) // 2 :] for name, curve in traces.items()}
show(
    figure,
    alt="ξ against the step in three worlds. "
    + " ".join(
        f"{name}: from {curve[0]:.2f}, at the lowest {curve.min():.2f}, to {curve[-1]:.2f}."
        for name, curve in drawn.items()
    ),
    caption=(
        f"The coefficient, one seed, means over {width} steps. Below the dotted line the heads are surer of the truth than the fused "
        "classifier, and the trick slows the fused classifier down."
    ),
    label="coefficient",
)
say(
    "Standard deviation of ξ over the first and the second half of the training: "
    + "; ".join(
        f"{name} {first:.2f} and {second:.2f}"
        for name, (first, second) in halves.items()
    )
    + ". As far as it moves slowly it acts, by the section on optimisers, as a schedule of the fused classifier's learning rate."
)

# %% [markdown]
# ## Under Adam
#
# And under Adam? Here are the same losses with and without the coefficient under AdamW, each at the rate that it chose.

# %%
adam = {"steps": steps, "schedule": "cosine", "log_every": steps, "progress": False}
rates_of_adam = [{"lr": 1e-3}, {"lr": 3e-3}, {"lr": 1e-2}]
under_adam = compare(
    loud, ["IEMF", "joint + heads"], seeds, training=adam, tries=rates_of_adam
)
say(
    against("AdamW", "joint + heads", found=under_adam)
    + " Rates: "
    + ", ".join(f"{row} {x['lr']:g}" for row, x in under_adam.chosen.items())
    + f" out of {', '.join(format(x['lr'], 'g') for x in rates_of_adam)}."
)

# %% [markdown]
# ## When a modality is missing or noisy
#
# The idea of the paper is about weak cues, so perhaps a gain shows when cues are weak *at test*. The trained rows are measured
# again: without any audio, without any image, with noise added to the audio. None of these rows was trained for it.

# %% tags=["hide-input"]
# Code of the table: damaged test sets
test = worlds[loud][2]
nothing = torch.zeros(len(test), dtype=torch.bool)
hiss = 1.5 * torch.randn(test.tensors["audio"].shape, generator=generator(7))
damages = {
    "as trained": {},
    "no audio": {"audio_present": nothing},
    "no image": {"image_present": nothing},
    "noisy audio": {"audio": test.tensors["audio"] + hiss},
}
networks = replace(
    results[loud],
    predictors={row: results[loud].predictors[row] for row in variants},
)
tested = {
    name: networks.on(TensorData({**test.tensors, **damage}))
    for name, damage in damages.items()
}
robust = pd.DataFrame(
    {name: found.mean["accuracy"] * 100 for name, found in tested.items()}
)
robust_spread = pd.DataFrame(
    {name: found.spread["accuracy"] * 100 for name, found in tested.items()}
)
for name in ("as trained", "noisy audio"):
    robust[f"ECE, {name}"] = tested[name].mean["ECE"] * 100
    robust_spread[f"ECE, {name}"] = tested[name].spread["ECE"] * 100
settled = {row: chosen["lr"] for row, chosen in results[loud].chosen.items()}
table(
    robust.assign(**{"learning rate": pd.Series(settled)}),
    f"AV-MNIST-mini at −9 dB: accuracy and expected calibration error (ECE: how far the stated confidence is from the share of "
    f"right answers) in per cent, mean ± standard deviation over {seeds} seeds",
    spread=robust_spread.assign(**{"learning rate": float("nan")}),
    best={name: "lower" if "ECE" in name else "higher" for name in robust.columns},
    paired=pd.DataFrame(
        {name: found.scores["accuracy"] for name, found in tested.items()}
        | {
            f"ECE, {name}": tested[name].scores["ECE"]
            for name in ("as trained", "noisy audio")
        }
    ),
    digits=dict.fromkeys(robust.columns, 1) | {"learning rate": 2},
)
others = [row for row in variants if settled[row] != settled["IEMF"]]
say(
    "\n".join(
        f"- {name}: {against(name, row, found=found)}"
        for name, found in tested.items()
        if name != "as trained"
        for row in ("joint + heads", "constant 2", "joint")
    )
    + f"\n\nRows whose learning rate is not that of IEMF: {', '.join(others) or 'none'}. A gap to one of these can be the rate's. "
    "Each of these intervals has its own chance to exclude 0 by luck. And a row that ignores the audio cannot be misled by it: "
    "read *noisy audio* beside *no image*."
)
rate = results[loud].chosen["IEMF"]


def at_one_rate(name, alike):
    harmed = alike.on(TensorData({**test.tensors, **damages[name]}))
    return claimed(
        f"iemf-at-one-rate-{slug(name)}",
        tested[name].values("IEMF"),
        harmed.values("joint + heads"),
        direction="higher",
        unit="%",
        better=f"{name}: IEMF is ahead, {{ours}} against {{theirs}}.",
        worse=f"{name}: IEMF is behind, {{ours}} against {{theirs}}.",
        undecided=f"{name}: {{ours}} and {{theirs}}, undecided.",
    )


if settled["joint + heads"] == settled["IEMF"]:
    say(
        f"Is it the rate, or the coefficient? *Joint + heads* chose the rate of IEMF, {rate['lr']:g}, so the lines on the two, here and after the main table, are at one rate."
    )
else:
    alike = compare(
        loud,
        ["joint + heads"],
        seeds,
        proposed="joint + heads",
        training=descent | rate,
        tries=(),
    )
    say(
        f"So is it the rate, or the coefficient? IEMF beside *joint + heads* at one rate, the {rate['lr']:g} of IEMF:\n\n"
        + "\n".join(f"- {at_one_rate(name, alike)}" for name in tested)
    )
record(
    missing={
        name: robust[name].round(2).to_dict() for name in ("no audio", "no image")
    },
    ece=robust["ECE, as trained"].round(2).to_dict(),
    coefficient={name: float(curve.mean()) for name, curve in later.items()},
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The coefficient from logits (code)
# :label: iemf-xi
#
# Write ξ of (3). You get the logits of the heads, (M, B, K), those of the fused classifier, (B, K), and the labels, (B,).
# ```

# %% tags=["stub:xi"]
from mmlab.exercises.iemf import check_xi


def xi(unimodal, fused, label):
    return ...


check_xi(xi)

# %% [markdown]
# ```{solution-start} iemf-xi
# :class: dropdown
# ```


# %% tags=["solution:xi"]
def xi(unimodal, fused, label):
    items = torch.arange(len(label))
    heads = unimodal.softmax(-1)[:, items, label]  # (M, B), Eq. (1)
    both = fused.softmax(-1)[items, label]  # (B,)
    r = heads.mean(0).sum() / both.sum()
    return 1 + torch.tanh(1 - r)


check_xi(xi)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A constant in two optimisers (compute)
# :label: iemf-rates
#
# Everything is trained at a learning rate of 0.05, without weight decay, and the fused classifier's gradient is multiplied by a constant 1.36. (a) At which
# learning rate of the fused classifier does gradient descent take the same steps without the constant? (b) By which factor does the first step of Adam
# become longer, if its ε is negligible?
# ```

# %% tags=["stub:rates"]
from mmlab.exercises.iemf import check_rates

rate_of_descent = ...
factor_of_adam = ...

check_rates((rate_of_descent, factor_of_adam))

# %% [markdown]
# ```{solution-start} iemf-rates
# :class: dropdown
# ```

# %% tags=["solution:rates"]
gradient = torch.tensor(0.3)  # any number will do
rate_of_descent = 0.05 * (1.36 * gradient) / gradient


def first_step(
    g,
):  # the first moments of Adam, corrected for their start, are g and g²
    return g / g.square().sqrt()


factor_of_adam = first_step(1.36 * gradient) / first_step(gradient)

check_rates((rate_of_descent, factor_of_adam))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A factor with a memory (compute)
# :label: iemf-memory
#
# Adam's moments are $m_t = 0.9\,m_{t-1} + 0.1\,g_t$ and $v_t = 0.999\,v_{t-1} + 0.001\,g_t^2$, and the step is $m_t/\sqrt{v_t}$ (long after
# the start, ε negligible). A constant gradient $g$ is multiplied by 2 from some step on. By which factor is the step longer (a) in the first
# step with the new factor, (b) at its longest, and (c) in the end? Give three decimals.
# ```

# %% tags=["stub:memory"]
from mmlab.exercises.iemf import check_memory

first = ...
longest = ...
in_the_end = ...

check_memory((first, longest, in_the_end))

# %% [markdown]
# ```{solution-start} iemf-memory
# :class: dropdown
# ```
#
# Before the change $m = g$ and $v = g^2$. After $n$ steps $m = g(2 - 0.9^n)$ and $v = g^2(4 - 3 \cdot 0.999^n)$: the first moment follows
# within tens of steps, the second within thousands. In between, the step is nearly twice as long.

# %% tags=["solution:memory"]
n = torch.arange(1, 20001).double()
length = (2 - 0.9**n) / (4 - 3 * 0.999**n).sqrt()
first = length[0]
longest = length.max()
in_the_end = 1.0

check_memory((first, longest, in_the_end))

# %% [markdown]
# So Adam does see a coefficient that *changes*, for about as long as its second moment remembers.
#
# ```{solution-end}
# ```
#
# ```{exercise} Seeds for a tenth of a point (think)
# :label: iemf-seeds
#
# Suppose the coefficient truly gained a tenth of a point over the same losses without it. How many seeds would it take until the interval of the mean
# difference excludes 0? Use the spread of the paired differences above. What does pairing change?
# ```
#
# ```{solution-start} iemf-seeds
# :class: dropdown
# ```

# %%
paired_spread = (scores.loc["IEMF"] - scores.loc["joint + heads"]).std(
    ddof=min(1, seeds - 1)
)
unpaired_spread = (
    sum(
        scores.loc[row].var(ddof=min(1, seeds - 1))
        for row in ("IEMF", "joint + heads")
    )
    ** 0.5
)
needed = [(1.96 * s / 0.1) ** 2 for s in (paired_spread, unpaired_spread)]
say(
    f"The paired differences have a standard deviation of {paired_spread:.2f} points. The half-width of the interval is about two of "
    f"them over the root of the number of seeds, so about **{needed[0]:.0f} seeds**. Without pairing the spread is "
    f"{unpaired_spread:.2f} points, and it takes about {needed[1]:.0f}: pairing {'narrows' if paired_spread < unpaired_spread else 'does not narrow'} the interval here. "
    f"{seeds} seeds tell such spreads only roughly. And seeds are not the whole: another draw of training and test "
    "items would move all rows further."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does the value of the loss not depend on ξ?
# The forward pass is the identity, whatever the factor is. Only the backward pass of the fused classifier's parameters changes. So the loss cannot be used
# to see whether the trick is on: look at the gradients.
# ```
#
# ```{dropdown} Why not multiply the fused cross-entropy in (4) by ξ instead?
# Then the encoders' gradients from that term grow by ξ too, and the balance between fused and unimodal losses shifts: another method. With Adam, that
# one would be felt.
# ```
#
# ```{dropdown} Can ξ be below 1?
# Yes: if the heads are surer of the truth than the fused classifier, r is above 1. That can happen early in training, if the heads learn faster, and
# with overfitted heads. Then the fused classifier is slowed down just when it is behind. Look for it in [](#figure-coefficient).
# ```
#
# ```{dropdown} Somebody shows you a gain from 64.1 to 65.6 on one data set. What do you ask?
# What else the switch turns on; the spread over seeds; whether a constant, or another learning rate, was tried with the same care; and on which data the epoch was
# chosen.
# ```
#
# ## In five lines
#
# - IEMF multiplies the fused classifier's gradient by $1 + \tanh(1 - r)$, where $r$ compares the unimodal heads with the fused classifier.
# - One switch of the released code turns on three things: coefficient, noise and the heads' losses. Only a row without the coefficient isolates it.
# - A constant factor is a learning rate under gradient descent, and nothing under Adam. A slowly changing one is a schedule.
# - Tune the baseline's rate with the same search; the first claim above says what that is worth here.
# - Say "undecided" where the paired interval holds zero.
#
# ## Limits, and what to read next
#
# - The networks are small and so are the worlds. The comparison says what the trick does *here*, and what must be asked *there*. It does not
#   refute the numbers on other data; those cannot be attributed to the coefficient without the missing control.
# - Where a row chose the highest rate, a still higher one was not tried.
# - The fused classifier here has a hidden layer; the authors' is one linear layer.
# - Seeds vary the start, the batches and the noise, on one training set and one test set. Learning rates were chosen with one seed.
# - The authors switch the trick on late on CREMA-D. `start` and `end` of {py:class}`~mmlab.methods.iemf.IEMF` do this; we left it on throughout.
#
# Next: [OGM-GE](ogm_ge.ipynb) scales the gradients of the encoders, from a theory of why modalities compete. {cite:t}`wang2020blending` is the classic on
# unimodal losses in joint training. {cite:t}`kontras2024competition` compare many such methods with ensembles.

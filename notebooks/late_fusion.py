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
# # Seven ways to put two modalities together
#
# **Does it matter how?**
#
# A picture and a sound, an encoder for each, and two vectors of features. What next? One can lay them side by side, average two
# opinions, multiply them, multiply the features, weigh them by a gate, or let them attend to each other. Each way has its papers,
# and a benchmark put twenty of them under one interface {cite}`liang2021multibench`. This chapter puts seven under one interface
# that fits on a page, gives all the same budget, and asks: which of them cannot learn something? which did not learn it yet?
# and what happens when one modality is gone?
#
# **After this chapter you can**
#
# - write seven fusion heads as equations, and say what each can express;
# - say when a product of opinions is the truth, and what a mean of opinions lacks;
# - compare heads with tuned baselines: one modality, a line on both, an ensemble;
# - train and test for absent and for noisy modalities.
#
# You need the chapter [on one modality](unimodal.ipynb), whose baselines are used here. Reading takes about half an hour.

# %% tags=["parameters"]
seeds: int = 4
steps: int = 80  # of every network on the digits
dial_steps: int = 100  # of every network on the dial
items: int = 3000  # digits to train on
snr: float = -12.0
origin = "synthetic"

# %% tags=["hide-input"]
import functools
from typing import get_args

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.controls import controls
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.methods.late_fusion import LateFusion
from mmlab.methods.unimodal import Unimodal
from mmlab.metrics.classification import (
    accuracy,
    expected_calibration_error,
    fit_temperature,
    temper,
)
from mmlab.nn.fusion import FusionKind, low_rank_product
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, use_theme

use_theme()
heads = get_args(FusionKind)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def deviation_of(groups):
    """Standard deviation over seeds, zero for a single one."""
    return groups.std(ddof=min(1, seeds - 1))


# %% [markdown]
# ## The idea in one picture
#
# A world with two numbers. Alone, neither says anything about the class. Together they do: where they agree in sign it is almost
# always the one, where they differ the other. We train two of the seven heads on it, in the same way.

# %%
shapes = {"x1": (2,), "x2": (2,)}
plane = dependency_world(2000, features=2, intra=0.0, inter=0.95, seed=0)


def on_dial(kind, worlds, frozen=False, **changes):
    """One head, trained in each of the worlds, side by side; by the names of the worlds, which end in the seed."""
    first = next(iter(worlds.values())).pairs.tensors
    shapes = {key: tuple(first[key].shape[1:]) for key in ("x1", "x2")}
    methods = [
        LateFusion.seeded(seed, shapes, 2, width=32, fusion=kind)
        for *_, seed in worlds
    ]
    for method in methods:
        if frozen:
            method.fusion.factors.requires_grad_(False)
    how = {"steps": dial_steps, "batch_size": 128, "lr": 1e-2, "schedule": "cosine"}
    how |= {"weight_decay": 1e-2, "progress": False}
    fit_side_by_side(methods, [w.pairs for w in worlds.values()], **how | changes)
    return dict(zip(worlds, methods, strict=True))


drawn = {
    kind: on_dial(kind, {("plane", 0): plane})["plane", 0]
    for kind in ("product", "concatenation")
}

# %% tags=["hide-input"]
# Code of the figure: the chessboard
axis = torch.linspace(-3, 3, 61)
first, second = (g.flatten() for g in torch.meshgrid(axis, axis, indexing="xy"))
grid = {"x1": torch.stack([0 * first, first], 1), "x2": torch.stack([0 * first, second], 1)}  # fmt: skip
figure = Figure(figsize=(5.6, 2.5), layout="constrained")
panels = figure.subplots(1, 3, sharey=True)
x1, x2, y = (plane.pairs.tensors[key][:400] for key in ("x1", "x2", "label"))
sns.scatterplot(
    x=x1[:, 1],
    y=x2[:, 1],
    hue=y,
    palette="coolwarm",
    s=8,
    legend=False,
    ax=panels[0],
)
panels[0].set(
    title="the world", xlabel="x1", ylabel="x2", xlim=(-3, 3), ylim=(-3, 3)
)
for axes, (kind, method) in zip(panels[1:], drawn.items(), strict=True):
    surface = method.predict(grid)[:, 1].view(61, 61)
    mesh = axes.pcolormesh(axis, axis, surface, cmap="coolwarm", vmin=0, vmax=1)
    axes.set(title=kind, xlabel="x1")
    axes.grid(visible=False)
figure.colorbar(mesh, ax=panels, label="p(class 1)", location="bottom", aspect=40)
fresh = dependency_world(
    4000, features=2, intra=0.0, inter=0.95, seed=1
).pairs.tensors
right = {
    kind: accuracy(m.predict(fresh), fresh["label"]) for kind, m in drawn.items()
}
show(
    figure,
    alt=(
        "Left: points whose colour is red where the two numbers have the same sign and blue elsewhere, like a chessboard of two by two. Middle: the product of experts "
        f"is pale nearly everywhere, accuracy {right['product']:.2f}. Right: concatenation shows the chessboard, accuracy {right['concatenation']:.2f}."
    ),
    caption=(
        f"A class that lies in the agreement of two modalities. The product of experts gets {right['product']:.2f} on fresh items, concatenation {right['concatenation']:.2f}. "
        "No product of one opinion on x1 and one on x2 looks like a chessboard, however it was trained."
    ),
    label="chessboard",
)

# %% [markdown]
# ## Seven heads
#
# Each modality has its encoder, and all heads begin with its features:
#
# $$z_m = f_m(x_m), \qquad m = 1, \dots, M. \tag{1}$$

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "picture": Box(0, 0, "picture"),
    "sound": Box(0, 1, "sound"),
    "f1": Box(1, 0, "encoder (1)", "trained"),
    "f2": Box(1, 1, "encoder (1)", "trained"),
    "features": Box(2, 0, "join features:\n(2), (5) to (8)", "changed"),
    "opinions": Box(2, 1, "join opinions:\n(3), (4)", "changed"),
    "loss": Box(3, 0.5, "answer,\nloss (9)", "loss"),
}
arrows = [
    Arrow("picture", "f1"),
    Arrow("sound", "f2"),
    *(Arrow(f, head) for f in ("f1", "f2") for head in ("features", "opinions")),
    Arrow("features", "loss"),
    Arrow("opinions", "loss"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: picture and sound have an encoder each. Their features go to one of two kinds of heads: those that join features and then "
        "classify, and those that classify each modality and then join the opinions. Either gives the answer."
    ),
    caption=(
        "Late fusion. The seven heads are of two kinds: five join the **features** and classify the result; two classify each modality and join "
        "the **opinions**. A network has one head."
    ),
)

# %% [markdown]
# Of the seven, begin with the plainest.
#
# **Concatenation.** Everything side by side into one small classifier $h$, with a bit $b_m$ that says whether modality $m$ is
# there (an absent $z_m$ is zero):
#
# $$\ell = h([z_1, b_1, \dots, z_M, b_M]). \tag{2}$$
#
# **Two ways to combine opinions.** Give each modality its own classifier, $p_m = \mathrm{softmax}\, h_m(z_m)$. Average them,
#
# $$p = \tfrac1M \sum_m p_m, \tag{3}$$
#
# or multiply and renormalise, the *product of experts* {cite}`hinton2002experts`,
#
# $$\log p = \mathrm{logsoftmax} \sum_m \log p_m. \tag{4}$$
#
# Which is right? If the modalities are independent *given the class*, Bayes' rule says
#
# $$p(y \mid x_1, \dots, x_M) \propto p(y) \prod_m p(x_m \mid y) \propto p(y)^{1-M} \prod_m p(y \mid x_m),$$
#
# so with equally frequent classes the product (4) is not a guess but the truth. A mean appears if the opinions differ little from
# the prior {cite}`kittler1998combining`: write $p(y \mid x_m) = p(y)(1 + \delta_m)$ and keep the first order,
#
# $$p(y)^{1-M} \prod_m p(y \mid x_m) \approx \sum_m p(y \mid x_m) - (M - 1)\, p(y).$$
#
# With equally frequent classes this has the *order* of the mean (3), but its departures from the prior are $M$ times as large: even
# there, the mean is too modest. A mean is never surer than its surest member, a product can be. And both see each modality through
# one opinion. The log-odds of two classes in (4) are a sum, $\sum_m s_m(x_m)$. On the chessboard of [](#figure-chessboard) a sum can be right on three
# of the four squares at most. <!-- in general --> In log loss even that does not pay: the best sum is constant, a coin. (The loss is convex in the two
# functions $s_m$, and by symmetry its gradient vanishes at zero.) The same holds for the mean: its loss is convex in the two
# opinions $p_m$, and by symmetry its gradient vanishes where both are one half.
#
# **Multiplying features.** The outer product of all feature vectors holds every interaction
# {cite}`zadeh2017tensor`, and is large. Contract it with a weight tensor of rank $R$, and it never has to be formed
# {cite}`liu2018lowrank`:
#
# $$z = \sum_{r=1}^R w_r \bigodot_m \, [1, z_m]\, W_m^{(r)}, \qquad \ell = h(z). \tag{5}$$
#
# The appended 1 keeps the terms of lower order: leave one modality out, and the others are still there.
#
# **Gated unit** {cite}`arevalo2017gated`. A mean whose weights, one per feature, are decided by all modalities together:
#
# $$z = \sum_m g_m \odot \tanh(V_m z_m), \qquad g = \mathrm{softmax}_m\, G [z_1, \dots, z_M]. \tag{6}$$
#
# **Bilinear.** Equation (5) without the 1, low-rank bilinear pooling {cite}`kim2017hadamard`: products of all modalities only,
#
# $$z = \sum_r w_r \bigodot_m z_m U_m^{(r)}. \tag{7}$$
#
# An encoder with a bias can make a constant feature, and so bring the terms of lower order back. An absent modality counts as a
# factor of one.
#
# **Cross-attention.** Modalities as tokens $z_m + e_m$. A learned query $q$ attends to those that are there and to itself
# {cite}`vaswani2017attention`. With learned vectors $e_m$ that tell the modalities apart, matrices $Q, K, V$, and $D$ features,
#
# $$z = q + \sum_{t \in \{q, 1, \dots, M\}} \alpha_t\, V t, \qquad \alpha = \mathrm{softmax}\,(\langle Qq, Kt\rangle/\sqrt D), \tag{8}$$
#
# followed by a perceptron. (This is one head of attention. The code has four, each with its share of the features, and normalises tokens first.) All are trained in the same way, on the answer as a whole:
#
# $$L = -\,\mathbb E \log p(y \mid x_1, \dots, x_M). \tag{9}$$
#
# Equation (5) in five lines, beside the explicit tensor that it stands for:

# %%
z1, z2 = torch.randn(4, 3, generator=generator(1)), torch.randn(4, 5, generator=generator(2))  # fmt: skip
factors = [torch.randn(2, 4, 6, generator=generator(3)), torch.randn(2, 6, 6, generator=generator(4))]  # fmt: skip
weights = torch.tensor([0.5, -1.0])
with_one = [torch.cat([torch.ones(4, 1), z], 1) for z in (z1, z2)]
outer = torch.einsum("bi,bj->bij", *with_one)  # every interaction
tensor = torch.einsum("r,rih,rjh->ijh", weights, *factors)  # every weight
explicit = torch.einsum("bij,ijh->bh", outer, tensor)
torch.testing.assert_close(low_rank_product(with_one, factors, weights), explicit)


# %% [markdown]
# ## On the dial, where the truth is known
#
# The dial ({py:func}`~mmlab.data.worlds.dependency_world.dependency_world`) sets how much each modality says alone (*intra*) and how much
# only both say together (*inter*), and knows the best possible accuracy. All heads have the same encoders, steps and learning
# rate, which was tuned for none of them. One more row is a **published fault**: in the code released with MultiBench {cite}`liang2021multibench` and with I2M2
# {cite}`madaan2024i2m2`, the factors $W_m$ of (5) stand in a plain Python list. So no optimiser ever sees them, and
# no checkpoint holds them. We make the same fault on purpose. All worlds of a head are trained side by side
# ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`), which gives what training in each would. And two rows ask whether a head cannot, or did not yet: *later* they
# had more items, more steps and a smaller rate.

# %%
settings = {
    "intra only": (0.8, 0.5),
    "inter only": (0.0, 0.95),
    "both": (0.6, 0.85),
}
LATER = {"inter only": "cross_attention", "both": "concatenation"}


def dials(count, names=settings):
    """Worlds by (setting, seed)."""
    return {
        (name, seed): dependency_world(
            count,
            intra=settings[name][0],
            inter=settings[name][1],
            seed=seed,
        )
        for name in names
        for seed in range(seeds)
    }


fresh = {
    name: dependency_world(4000, intra=intra, inter=inter, seed=100)
    for name, (intra, inter) in settings.items()
}
worlds = dials(2000)
trained = {kind: on_dial(kind, worlds) for kind in heads}
trained["low_rank, frozen"] = on_dial(
    "low_rank", dials(2000, ["both"]), frozen=True
)
for name, kind in LATER.items():
    more = {"steps": 3 * dial_steps, "lr": 3e-3}
    trained[f"{kind}, later"] = on_dial(kind, dials(8000, [name]), **more)
measured = {
    (name, row, seed): accuracy(
        method.predict(fresh[name].pairs.tensors),
        fresh[name].pairs.tensors["label"],
    )
    for row, methods in trained.items()
    for (name, seed), method in methods.items()
}
for name, world in fresh.items():
    measured[name, "best possible", 0] = world.bayes_rate
    measured[name, "best with one modality", 0] = world.rate(["x1"])

# %% tags=["hide-input"]
# Code of the table
scores = pd.Series(measured).rename_axis(["setting", "head", "seed"]).sort_index()
groups = scores.groupby(level=["head", "setting"], sort=False)
dial, deviation = groups.mean().unstack(), deviation_of(groups).unstack()
order = [
    "best with one modality",
    *heads,
    "low_rank, frozen",
    *(f"{kind}, later" for kind in LATER.values()),
    "best possible",
]
dial, deviation = (frame.loc[order, list(settings)] for frame in (dial, deviation))
table(
    dial,
    f"The dial: accuracy on fresh items, mean ± deviation of {seeds} seeds. *Later*: four times the items, three times the steps, a rate of {more['lr']:g} in place of the 0.01 of all others. These rows, the frozen one and the limits do not compete.",
    spread=deviation,
    best=dict.fromkeys(settings, "higher"),
    reference=[name for name in order if name not in heads],
    paired=scores.unstack("setting").loc[list(heads)],
)


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def dialled(head, setting):
    return scores.loc[setting, head].tolist()


say("**Where all is inter**, which heads are away from a coin? That is, above 0.6:")
say(
    "\n".join(
        "- "
        + claimed(
            f"inter-only-{slug(head)}",
            dialled(head, "inter only"),
            0.6,
            direction="higher",
            better=f"*{head}*: {{ours:.3f}}.",
            worse=f"*{head}* is not: {{ours:.3f}}.",
            undecided=f"*{head}*: {{ours:.3f}}, undecided.",
        )
        for head in (*heads, f"{LATER['inter only']}, later")
    )
)
say(
    "Product and mean cannot learn it from the log loss, by the argument above. A head that is away from a coin only in its row *later* can learn it, and had not at the first rate and budget."
)
claim(
    "concatenation-learns-the-rest-later",
    dialled("concatenation, later", "both"),
    dialled("concatenation", "both"),
    direction="higher",
    better=f"**Both.** With more items, more steps and the smaller rate concatenation goes from {{theirs:.3f}} to {{ours:.3f}}, where the best possible is {fresh['both'].bayes_rate:.3f}.",
    worse="**Both.** With more items, more steps and the smaller rate concatenation falls from {theirs:.3f} to {ours:.3f}.",
    undecided=f"**Both.** Whether more items, more steps and the smaller rate help concatenation is undecided: {{theirs:.3f}} and {{ours:.3f}}, where the best possible is {fresh['both'].bayes_rate:.3f}.",
)
claim(
    "low-rank-against-concatenation-on-both",
    dialled("low_rank", "both"),
    dialled("concatenation", "both"),
    direction="higher",
    better="At the short budget and this one rate low rank, which multiplies features, has {ours:.3f} and concatenation {theirs:.3f}.",
    worse="At the short budget and this one rate concatenation has {theirs:.3f}, and low rank, which multiplies features, {ours:.3f}.",
    undecided="At the short budget and this one rate low rank ({ours:.3f}) and concatenation ({theirs:.3f}) cannot be told apart.",
)
claim(
    "frozen-factors-on-both",
    dialled("low_rank, frozen", "both"),
    dialled("low_rank", "both"),
    direction="higher",
    unit="%",
    better="**The fault.** Frozen factors are *better* here: {ours} against {theirs}.",
    worse="**The fault.** Frozen factors cost {gap} where there is both: {ours} against {theirs}.",
    undecided="**The fault.** Frozen factors cannot be told from trained ones by their result ({ours} and {theirs}): the score does not show the fault. A test of the gradients does.",
)
record(
    dial={name: column.dropna().round(4).to_dict() for name, column in dial.items()}
)

# %% [markdown]
# ## Digits: all heads, same budget, and the baselines
#
# Pictures with little energy, and spoken digits in noise, as in the chapter before
# ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`), but with sides halved by averaging, which makes everything cheaper. Each bin of the spectrogram is standardised. Note what this data is:
# picture and sound are drawn *independently given the digit*, so the product (4) is the true model by construction. It is so in the original AV-MNIST
# {cite}`vielzeuf2018centralnet`, too: two collections, paired by label. A result for the product here says nothing about data where
# picture and sound come from one event.
#
# Every row has the same number of steps and chooses its learning rate on the validation items. A line on both (with the picture
# averaged over squares of four by four of the original pixels) chooses its penalty there, too. An ensemble of three stands beside
# concatenation.


# %%
def halved(data):
    smaller = {
        key: value if key == "label" else torch.nn.functional.avg_pool2d(value, 2)
        for key, value in data.tensors.items()
    }
    return TensorData(smaller)


splits = av_mnist_mini(snr=snr, origin=origin, train=items, validation=1000)
train, validation, test = (
    halved(part) for part in (splits.train, splits.validation, splits.test)
)
shapes = {key: tuple(train.tensors[key].shape[1:]) for key in ("audio", "image")}
training = {
    "steps": steps,
    "batch_size": 128,
    "schedule": "cosine",
    "weight_decay": 1e-2,
    "log_every": steps,
    "progress": False,
}
rates = [{"lr": 5e-3}, {"lr": 1e-2}, {"lr": 2e-2}]
tried = ", ".join(f"{settings['lr']:g}" for settings in rates)


def built(kind, modality_dropout=0.0):
    return LateFusion(shapes, width=32, fusion=kind, dropout=0.1, modality_dropout=modality_dropout)  # fmt: skip


def one(modality):
    return Unimodal(modality, shapes[modality], width=32, dropout=0.1)


builders = {kind: functools.partial(lambda kind, seed: built(kind), kind) for kind in heads}  # fmt: skip
builders |= {name: functools.partial(lambda name, seed: one(name), name) for name in shapes}  # fmt: skip


def small(batch):
    """Features for a line: the picture, averaged once more, and the spectrogram."""
    picture = torch.nn.functional.avg_pool2d(batch["image"], 2).flatten(1)
    return torch.cat([picture, batch["audio"].flatten(1)], 1)


PENALTIES = (1e-3, 3e-3, 1e-2)


def line_on_both():
    """Test probabilities of logistic regression; its penalty has the highest validation accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for penalty in PENALTIES:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=penalty, max_iter=500)
        )
        model.fit(small(train.tensors).numpy(), train.tensors["label"].numpy())
        found.append(
            (
                model.score(
                    small(validation.tensors).numpy(),
                    validation.tensors["label"].numpy(),
                ),
                penalty,
                model,
            )
        )
    _, penalty, model = max(found, key=lambda entry: entry[0])
    return torch.as_tensor(
        model.predict_proba(small(test.tensors).numpy())
    ), penalty


compared = controls(
    builders,
    "product",
    train,
    test,
    modalities=["image", "audio"],
    training=training,
    seeds=range(seeds),
    ensembles={"concatenation": 3},
    rivals=[],
    validation=validation,
    tries=rates,
)
label = test.tensors["label"]
line, penalty = line_on_both()

# %% tags=["hide-input"]
# Code of the table
LINE = "logistic regression on both"
mean, spread = (
    frame[["accuracy", "ECE"]] for frame in (compared.mean, compared.spread)
)
mean.loc[LINE] = accuracy(line, label), expected_calibration_error(line, label)
budgets = Budgets(
    "product",
    compared.spent | {LINE: Spent(tuned=("penalty",), tries=len(PENALTIES))},
)
allowed = budgets.columns()
baselines = ["chance", "image", "audio", LINE]
ends = (rates[0], rates[-1])
edges = [name for name, found in compared.chosen.items() if found in ends]
rest = [
    name
    for name in mean.index
    if name not in (*baselines, *heads, "most frequent class")
]
mean = mean.loc[[*baselines, *heads, *rest]]
mean["parameters"] = allowed["parameters"].reindex(mean.index)
mean["steps"] = allowed["steps"].reindex(mean.index)
mean["learning rate"] = pd.Series(
    {name: f"{found['lr']:g}" for name, found in compared.chosen.items()}
).reindex(mean.index)
table(
    mean,
    f"AV-MNIST-mini at {snr:g} dB, test set: mean ± deviation of {seeds} seeds. Parameters are those that train; the learning rate was chosen on validation items among {tried}. Chosen at an end of these: {', '.join(edges) or 'none'}. The line chose C = {penalty:g}.",
    spread=spread.reindex(mean.index).assign(
        **dict.fromkeys(["parameters", "steps", "learning rate"], float("nan"))
    ),
    best={"accuracy": "higher"},
    reference=["chance", "product, image shuffled", "product, audio shuffled"],
    paired=pd.concat(
        [
            compared.scores[["accuracy"]],
            mean.loc[[LINE], ["accuracy"]]
            .assign(seed=-1)
            .set_index("seed", append=True),
        ]
    ),
    budgets=budgets,
)
right, ece = compared.mean["accuracy"], compared.mean["ECE"]
single = right[["image", "audio"]].idxmax()


def versus(name, row, other, better, worse, metric="accuracy", direction="higher"):
    rival = (
        mean.loc[LINE, metric] if other == LINE else compared.values(other, metric)
    )
    return claimed(
        f"digits-{name}",
        compared.values(row, metric),
        rival,
        direction=direction,
        unit="%",
        better=f"{better}: {{ours}} against {{theirs}}.",
        worse=f"{worse}: {{ours}} against {{theirs}}.",
        undecided=f"*{row}* ({{ours}}) and *{other}* ({{theirs}}) cannot be told apart.",
    )


say(
    f"**Against the higher single modality**, {single}, and against the line on both:"
)
say(
    "\n".join(
        "- "
        + versus(
            f"{slug(kind)}-against-one-modality",
            kind,
            single,
            f"*{kind}* is ahead of {single} alone",
            f"*{kind}* is behind {single} alone",
        )
        + " "
        + versus(
            f"{slug(kind)}-against-the-line",
            kind,
            LINE,
            f"*{kind}* is ahead of the line",
            f"*{kind}* is behind the line",
        )
        for kind in heads
    )
)
say("**Among the heads:**")
say(
    "\n".join(
        "- " + text
        for text in (
            versus(
                "product-against-concatenation",
                "product",
                "concatenation",
                "The product is ahead of concatenation",
                "The product is behind concatenation",
            ),
            versus(
                "ensemble-of-concatenations",
                "concatenation, 3 averaged",
                "concatenation",
                "Three concatenations averaged, with three times the parameters and the training, are ahead of one",
                "Three concatenations averaged are behind one",
            ),
            versus(
                "product-against-the-ensemble",
                "product",
                "concatenation, 3 averaged",
                "One product is ahead of three concatenations",
                "One product is behind three concatenations",
            ),
            versus(
                "product-without-its-sound",
                "product, audio shuffled",
                "product",
                "With another item's sound the product gains",
                "With another item's sound the product falls",
            ),
            versus(
                "product-without-its-picture",
                "product, image shuffled",
                "product",
                "With another item's picture the product gains",
                "With another item's picture the product falls",
            ),
            versus(
                "calibration-of-the-mean",
                "mean",
                "product",
                "In calibration error the mean is below the product",
                "In calibration error the mean is above the product",
                "ECE",
                "lower",
            ),
        )
    )
)
record(
    accuracy=right.round(4).to_dict()
    | {
        name: compared.scores.loc[row]["accuracy"].tolist()
        for name, row in {
            "late_fusion": "concatenation",
            "unimodal": single,
            "concatenation, averaged": "concatenation, 3 averaged",
        }.items()
    },
    ece=ece.round(4).to_dict(),
    budget=budgets.plain(),
)

# %% [markdown]
# ## When one modality is gone
#
# A camera may break. In the batch, `image_present` says which items have a picture; what stands in the place of the others is never seen
# (a test overwrites it with random numbers). But not to crash is not to be good. Trained on complete pairs only, a head has never
# met an absence. *Modality dropout* {cite}`neverova2016moddrop` hides a modality of an item in training with some probability,
# here 0.3, never the last one.

# %%
dropped = {}
for kind in heads:
    for seed in range(seeds):
        torch.manual_seed(seed)
        dropped[kind, seed] = built(kind, modality_dropout=0.3)
        fit(
            dropped[kind, seed],
            train,
            seed=seed,
            **training | compared.chosen[kind],
        )


def without(name, data=test):
    """The same items, with one modality absent; with None, all there."""
    if name is None:
        return data.tensors
    return data.tensors | {
        f"{name}_present": torch.zeros(len(data), dtype=torch.bool)
    }


cases = {"both there": None, "no audio": "audio", "no image": "image"}
gone = {}
for kind in heads:
    for seed in range(seeds):
        runs = {"complete": compared.trained[kind][seed], "dropout": dropped[kind, seed]}  # fmt: skip
        for name, method in runs.items():
            for case, missing in cases.items():
                gone[kind, f"{case}, {name}", seed] = accuracy(method.predict(without(missing)), label)  # fmt: skip

# %% tags=["hide-input"]
groups = pd.Series(gone).groupby(level=[0, 1], sort=False)
columns = [f"{case}, {name}" for case in cases for name in ("complete", "dropout")]
missing = groups.mean().unstack().loc[list(heads), columns]
for modality, column in (
    ("image", 2),
    ("audio", 4),
):  # the baseline: one modality, trained alone
    missing.loc["one modality, trained alone", columns[column : column + 2]] = right[modality]  # fmt: skip
table(
    missing,
    f"Accuracy with both modalities and with one, of heads trained on complete pairs and with modality dropout. Mean ± deviation of {seeds} seeds.",
    spread=deviation_of(groups).unstack().reindex(missing.index)[columns],
    best=dict.fromkeys(columns, "higher"),
    reference=["one modality, trained alone"],
    paired=pd.Series(gone).unstack(1)[columns],
)
kept = pd.Series(gone).rename_axis(["head", "case", "seed"]).sort_index()


def gone_claim(name, kind, case, other, better, worse, undecided):
    ours = kept.loc[kind, case].tolist()
    theirs = (
        compared.values(other)
        if other in shapes
        else kept.loc[kind, other].tolist()
    )
    return claimed(
        f"absent-{name}",
        ours,
        theirs,
        direction="higher",
        unit="%",
        better=better,
        worse=worse,
        undecided=undecided,
    )


say(
    "**With the picture alone**, trained with modality dropout, beside the same head trained on complete pairs, and beside a network that was trained on pictures:\n\n"
    + "\n".join(
        "- "
        + gone_claim(
            f"dropout-helps-{slug(kind)}", kind, "no audio, dropout", "no audio, complete",
            f"*{kind}*: dropout raises it from {{theirs}} to {{ours}}.",
            f"*{kind}*: dropout lowers it from {{theirs}} to {{ours}}.",
            f"*{kind}*: {{theirs}} without dropout and {{ours}} with it, undecided.",
        )
        + " "
        + gone_claim(
            f"picture-alone-{slug(kind)}", kind, "no audio, dropout", "image",
            "That is above the network of the picture, {theirs}.",
            "That is below the network of the picture, {theirs}.",
            "It cannot be told from the network of the picture, {theirs}.",
        )
        for kind in heads
    )
)  # fmt: skip
say(
    "**With the sound alone**, the same two questions:\n\n"
    + "\n".join(
        "- "
        + gone_claim(
            f"dropout-helps-without-image-{slug(kind)}", kind, "no image, dropout", "no image, complete",
            f"*{kind}*: dropout raises it from {{theirs}} to {{ours}}.",
            f"*{kind}*: dropout lowers it from {{theirs}} to {{ours}}.",
            f"*{kind}*: {{theirs}} without dropout and {{ours}} with it, undecided.",
        )
        + " "
        + gone_claim(
            f"sound-alone-{slug(kind)}", kind, "no image, dropout", "audio",
            "That is above the network of the sound, {theirs}.",
            "That is below the network of the sound, {theirs}.",
            "It cannot be told from the network of the sound, {theirs}.",
        )
        for kind in heads
    )
)  # fmt: skip
say(
    "**With both there**, what does dropout cost?\n\n"
    + "\n".join(
        "- "
        + gone_claim(
            f"price-of-dropout-{slug(kind)}", kind, "both there, dropout", "both there, complete",
            f"*{kind}*: nothing, it gains {{gap}}.",
            f"*{kind}*: {{gap}}.",
            f"*{kind}*: undecided ({{difference}}).",
        )
        for kind in heads
    )
)  # fmt: skip
say(
    "The product leaves an absent expert out. If its experts were trained together on complete pairs, each was paid for completing the others and not for "
    "being right alone: that is what equation (9) asks for, and the first column without audio shows what it leaves.\n\n"
    "Each of these many intervals has its own chance to exclude zero by luck."
)
record(missing=missing.fillna(-1).round(4).to_dict("index"))

# %% [markdown]
# ## When one modality gets noisy
#
# A modality may also be wrong, and not say so. Turn up the noise on the picture, or on the sound, *at test only*. All
# heads were trained on clean pairs.

# %%
levels = [0.0, 1.0, 2.0, 4.0]
noisy, rows = {}, []
for modality in ("image", "audio"):
    clean = test.tensors[modality]
    for level in levels:
        noise = torch.randn(clean.shape, generator=generator(7))
        batch = test.tensors | {modality: clean + level * noise}
        for name in (*heads, "image", "audio"):
            runs = compared.trained[name].values()
            found = [accuracy(m.predict(batch), label) for m in runs]
            noisy[modality, level, name] = np.mean(found)
            rows += [(modality, level, name, value) for value in found]
long_noisy = pd.DataFrame(
    rows, columns=["noise in", "noise", "head", "test accuracy"]
)

# %% tags=["hide-input"]


def draw_noisy(modality, level):
    figure = Figure(figsize=(5.6, 3.3), layout="constrained")
    left, axes = figure.subplots(1, 2, width_ratios=[1, 1.9])
    item = test.tensors[modality][0, 0]
    shown = item + level * torch.randn(test.tensors[modality].shape, generator=generator(7))[0, 0]  # fmt: skip
    left.imshow(shown, cmap="gray" if modality == "image" else "magma", origin="upper" if modality == "image" else "lower")  # fmt: skip
    left.set(xticks=[], yticks=[], title=f"{modality}, noise {level:g}")
    here = long_noisy[
        (long_noisy["noise in"] == modality) & (long_noisy["noise"] == level)
    ]
    sns.stripplot(
        here,
        x="test accuracy",
        y="head",
        order=heads,
        color=COLOURS[4],
        size=4,
        ax=axes,
    )
    sns.pointplot(
        here, x="test accuracy", y="head", order=heads, color=COLOURS[0],
        linestyle="none", errorbar=None, ax=axes,
    )  # fmt: skip
    other = "audio" if modality == "image" else "image"
    axes.axvline(noisy[modality, level, other], color=COLOURS[1], ls="--", label=f"{other} alone")  # fmt: skip
    axes.axvline(0.1, color=COLOURS[6], ls=":", label="chance")
    axes.set(ylabel="", xlim=(0, 1))
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower right", ncols=2
    )
    return figure


def describe_noisy(modality, level):
    values = {name: noisy[modality, level, name] for name in heads}
    top, low = max(values, key=values.get), min(values, key=values.get)
    return (
        f"Noise {level:g} on the {modality}: accuracies of the seven heads, from {values[low]:.2f} ({low}) to {values[top]:.2f} ({top}); "
        f"the other modality alone has {noisy[modality, level, 'audio' if modality == 'image' else 'image']:.2f}."
    )


frames(
    {"noise in": ["image", "audio"], "noise": levels},
    draw=draw_noisy,
    alt=describe_noisy,
    caption=(
        "Noise at test, in deviations that the data had before their sides were halved; small dots are seeds, large ones their mean. The dashed line is the *other* modality alone: for a head left of it, leaving the noisy modality out would have been right more often. "
        "Is there a noise at which a head falls below it?"
    ),
    start={"noise in": "image", "noise": 1.0},
)
harmed = {}
for modality, other in (("image", "audio"), ("audio", "image")):
    floor = noisy[modality, levels[-1], other]
    harmed[modality] = [
        name for name in heads if noisy[modality, levels[-1], name] < floor
    ]
alone = {modality: noisy[modality, levels[-1], modality] for modality in shapes}
say(
    f"With the largest noise on the picture, {len(harmed['image'])} of {len(heads)} heads end below the mean accuracy of the sound alone; on the sound, {len(harmed['audio'])} below that of the picture alone. "
    f"The network that has only the noisy modality gets {alone['image']:.3f} on the picture and {alone['audio']:.3f} on the sound. No head had examples of noise to learn from."
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and were run with the page.
#
# ```{exercise} Multiply opinions (code)
# :label: late-fusion-product
#
# Write the product (4) for items of which some modalities are missing. `logits` are those of the experts, of shape (B, M, K), not
# normalised. `present` is boolean, (B, M): an absent expert has no say. Return log-probabilities, (B, K).
# ```

# %% tags=["stub:product"]
from mmlab.exercises.late_fusion import check_product


def product(logits, present):
    return ...


check_product(product)

# %% [markdown]
# ```{solution-start} late-fusion-product
# :class: dropdown
# ```


# %% tags=["solution:product"]
def product(logits, present):
    opinions = logits.log_softmax(-1)  # not needed: the constants cancel below
    total = torch.where(present[:, :, None], opinions, 0).sum(1)
    return total.log_softmax(-1)


check_product(product)

# %% tags=["hide-input"]
two = torch.tensor([[[0.8, 0.1, 0.1], [0.5, 0.4, 0.1]]]).log()
joint = product(two, torch.ones(1, 2, dtype=torch.bool)).exp()[0]
say(
    f"Two experts favour the first class with 0.8 and 0.5. The product gives it {joint[0]:.2f}, more than either: two "
    f"weak reasons make a strong one, if they are independent. The mean gives {two.exp()[0].mean(0)[0]:.2f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Weights that never move (compute)
# :label: late-fusion-frozen
#
# A low-rank fusion has features of 48 and 192 values, each with a 1 appended, an output of 60 values, and rank 40. Its factors are in a
# plain list. How many weights stay at initialisation? And how many weights would the *full* tensor have, without any rank?
# ```

# %% tags=["stub:weights"]
from mmlab.exercises.late_fusion import check_weights

frozen = ...
full = ...

check_weights((frozen, full))

# %% [markdown]
# ```{solution-start} late-fusion-frozen
# :class: dropdown
# ```

# %% tags=["solution:weights"]
frozen = 40 * (48 + 1) * 60 + 40 * (192 + 1) * 60  # one factor per modality
full = (48 + 1) * (192 + 1) * 60

check_weights((frozen, full))

# %% tags=["hide-input"]
say(
    f"{frozen:,} weights never move; these are the sizes of the published code for AV-MNIST. The full tensor has {full:,}: at rank 40 the "
    "low-rank form is the larger one. It still restricts: for one output the full weights are a matrix of 49 by 193, of rank up to 49, and a sum of 40 products has rank 40 at most. Low rank saves numbers with more modalities, where the full tensor grows as a product and the factors as a sum."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Three squares of four (compute)
# :label: late-fusion-squares
#
# On the chessboard each of the four squares has probability 1/4, and the class agrees with its colour with probability 0.95. (a) What is the accuracy of the
# best sum of a function of $x_1$ and a function of $x_2$, if only the *sign* of the sum counts? (b) What is the log loss, in nats, of the sum with the lowest log loss?
# ```

# %% tags=["stub:squares"]
from mmlab.exercises.late_fusion import check_squares

best_accuracy = ...
best_log_loss = ...

check_squares((best_accuracy, best_log_loss))

# %% [markdown]
# ```{solution-start} late-fusion-squares
# :class: dropdown
# ```
#
# Let $s_m = \pm$ by the sign of $x_m$, with values $a, b$ for $x_1$ and $c, d$ for $x_2$. All four squares would need $a + c > 0$, $b + d > 0$, $a + d < 0$, $b + c < 0$: the
# first two add up to something positive, the last two, the same sum, to something negative. Three of four can be had. The log loss is convex in $(a, b, c, d)$, and at
# zero its gradient is zero, since for each value of $x_1$ the classes are equally frequent: the minimum is $\log 2$.

# %% tags=["solution:squares"]
best_accuracy = (3 * 0.95 + 0.05) / 4
best_log_loss = np.log(2)

check_squares((best_accuracy, best_log_loss))

# %% [markdown]
# So whether a sum is a coin or right on three squares is a matter of the loss. Trained with (9), it is a coin.
#
# ```{solution-end}
# ```
#
# ```{exercise} A modest mean (think)
# :label: late-fusion-mean
#
# Look at the calibration error of the mean of probabilities in the table. Is the mean too sure or not sure enough? Why does training with (9) not
# mend this? And is the remedy of the last chapter enough?
# ```
#
# ```{solution-start} late-fusion-mean
# :class: dropdown
# ```

# %%
answers = {}
for kind in ("mean", "product"):
    for seed, method in compared.trained[kind].items():
        made = method.predict(test.tensors)
        temperature = fit_temperature(method.predict(validation.tensors), validation.tensors["label"])  # fmt: skip
        cooled = temper(made, temperature)
        answers[kind, seed] = {
            "accuracy": accuracy(made, label),
            "confidence": made.amax(1).mean().item(),
            "ECE": expected_calibration_error(made, label),
            "temperature": temperature,
            "ECE, tempered": expected_calibration_error(cooled, label),
        }
modest = pd.DataFrame(answers).T.groupby(level=0).mean()

# %% tags=["hide-input"]
table(modest, f"Mean and product on the test set; mean of {seeds} seeds. Temperatures from the validation set.")  # fmt: skip
say(
    f"Its mean confidence is {modest.loc['mean', 'confidence']:.2f} where it is right {modest.loc['mean', 'accuracy']:.2f} of the time: "
    f"{'not sure enough' if modest.loc['mean', 'confidence'] < modest.loc['mean', 'accuracy'] else 'sure enough in this run'}. An expert that does not know "
    "spreads its half of the vote over all classes, and nothing the other says can take it back. To first order the mean's departure from the prior is half of Bayes' one, as the section on the heads derives. The mean gets surer only through surer experts, and each of these is punished where it is wrong. "
    f"A temperature of {modest.loc['mean', 'temperature']:.2f} makes the error {modest.loc['mean', 'ECE, tempered']:.2f}, where the product has {modest.loc['product', 'ECE']:.2f} without one. Accuracy does not change."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} An expert gives each class the same probability. What does it change in the product, and what in the mean?
# In the product nothing: it adds the same constant to all classes. In the mean it pulls the answer towards uniform, and lowers confidence, though not the order
# of the classes. So an absent modality is a uniform expert to the product, and has to be left out of the mean.
# ```
#
# ```{dropdown} A paper's new head beats concatenation by a point on paired data of your own making. What do you ask for?
# An ensemble of concatenations with as many parameters; the same number of steps and the same search for the learning rate for both; seeds; and how the pairs were made. If they
# were drawn independently given the class, the product is the true form, and nothing was learned about real pairs.
# ```
#
# ```{dropdown} Why is it not enough to test that a missing modality does not crash?
# Because its place in the tensor may still be read. Overwrite it with random numbers: if any output changes, it was read.
# ```
#
# ## In five lines
#
# - Concatenation, gates, attention and products of features can express what only both modalities say; products and means of opinions, trained by log loss, do not get beyond a coin there.
# - If modalities are independent given the class, and classes equally frequent, the product of opinions is Bayes' rule.
# - To tell *cannot* from *did not yet*, train for longer, on more items, at another rate.
# - Put one modality, a tuned line and an ensemble into every table of heads.
# - Hide modalities in training if they may be absent later, and measure what that does to each head. Noise at test is another matter: measure it, too.
#
# ## Limits, and what to read next
#
# - One width for all heads; on the dial also one learning rate and one budget, except for the rows *later*. On the digits the rate was chosen per head, with one seed.
# - Features here are single vectors. With sequences of tokens, cross-attention has alignments to find, and this comparison says nothing about that.
#
# [I2M2](i2m2.ipynb) puts product and concatenation into one model, so that neither end of the dial is lost. Read {cite:t}`liang2021multibench` for the benchmark,
# {cite:t}`kittler1998combining` for the theory of combining opinions, and {cite:t}`neverova2016moddrop` for modality dropout.

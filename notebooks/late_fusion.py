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
# that fits on a page, gives all the same budget, and asks: which of them *cannot* do something? which just did not learn it yet?
# and what happens when one modality is gone?
#
# You need the chapter [on one modality](unimodal.ipynb), whose ruler is used here.

# %% tags=["parameters"]
seeds = 3
steps = 150
snr = -12.0
origin = "synthetic"

# %%
import functools
import math
from typing import get_args

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit
from mmlab.compare.controls import controls
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
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
from mmlab.viz import frames, record, say, show, table

heads = get_args(FusionKind)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## The idea in one picture
#
# A world with two numbers. Alone, neither says anything about the class. Together they do: where they agree in sign it is almost
# always the one, where they differ the other. We train two of the seven heads on it, in the same way.

# %%
shapes = {"x1": (2,), "x2": (2,)}
plane = dependency_world(2000, features=2, intra=0.0, inter=0.95, seed=0)


def dial_head(kind, world, seed, width=32, frozen=False, **changes):
    """One head, trained on the dial."""
    shapes = {
        key: tuple(world.pairs.tensors[key].shape[1:]) for key in ("x1", "x2")
    }
    torch.manual_seed(seed)
    method = LateFusion(shapes, 2, width=width, fusion=kind)
    if frozen:
        method.fusion.factors.requires_grad_(False)
    arguments = {"steps": 100, "batch_size": 128, "lr": 1e-2, "schedule": "cosine", "weight_decay": 1e-2, "seed": seed}  # fmt: skip
    fit(method, world.pairs, progress=False, **arguments | changes)
    return method


drawn = {kind: dial_head(kind, plane, 0) for kind in ("product", "concatenation")}

# %% tags=["hide-input"]
axis = torch.linspace(-3, 3, 61)
first, second = (g.flatten() for g in torch.meshgrid(axis, axis, indexing="xy"))
grid = {"x1": torch.stack([0 * first, first], 1), "x2": torch.stack([0 * first, second], 1)}  # fmt: skip
figure = Figure(figsize=(8.6, 3.0), layout="constrained")
panels = figure.subplots(1, 3, sharey=True)
x1, x2, y = (plane.pairs.tensors[key][:400] for key in ("x1", "x2", "label"))
panels[0].scatter(x1[:, 1], x2[:, 1], c=y, cmap="coolwarm", s=7)
panels[0].set(
    title="the world", xlabel="x1", ylabel="x2", xlim=(-3, 3), ylim=(-3, 3)
)
for axes, (kind, method) in zip(panels[1:], drawn.items(), strict=True):
    surface = method.predict(grid)[:, 1].view(61, 61)
    mesh = axes.pcolormesh(axis, axis, surface, cmap="coolwarm", vmin=0, vmax=1)
    axes.set(title=kind, xlabel="x1")
figure.colorbar(mesh, ax=panels, label="p(class 1)")
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
        "It is not the training: no product of one opinion on x1 and one on x2 looks like a chessboard."
    ),
)

# %% [markdown]
# ## Seven heads
#
# Each modality has its encoder, and all heads begin with its features:
#
# $$z_m = f_m(x_m), \qquad m = 1, \dots, M. \tag{1}$$
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
# so with equally frequent classes the product (4) is not a guess but the truth. The mean is what remains if the opinions are so
# noisy that they differ little from the prior; it is more robust to an expert that is wrong {cite}`kittler1998combining`. A mean
# can never be surer than its surest member, a product can. And both see each modality through one opinion. The log-odds of
# two classes in (4) are a sum, $\sum_m s_m(x_m)$: on the chessboard above no such sum is any good.
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
# **Bilinear.** Equation (5) without the 1, low-rank bilinear pooling {cite}`kim2017hadamard`: only what the modalities say *together*,
#
# $$z = \sum_r w_r \bigodot_m z_m U_m^{(r)}. \tag{7}$$
#
# **Cross-attention.** Modalities as tokens $z_m + e_m$. A learned query $q$ attends to those that are there and to itself
# {cite}`vaswani2017attention`:
#
# $$z = q + \sum_{t \in \{q, 1, \dots, M\}} \alpha_t\, V t, \qquad \alpha = \mathrm{softmax}\,(\langle Qq, Kt\rangle/\sqrt D), \tag{8}$$
#
# followed by a perceptron. All are trained in the same way, on the answer as a whole:
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
# rate. One more row is a **published fault**: in the code released with MultiBench {cite}`liang2021multibench` and with I2M2
# {cite}`madaan2024i2m2`, the factors $W_m$ of (5) stand in a plain Python list. So no optimiser ever sees them, and
# no checkpoint holds them. We make the same fault on purpose.

# %%
settings = {
    "intra only": (0.8, 0.5),
    "inter only": (0.0, 0.95),
    "both": (0.6, 0.85),
}
measured, larger = {}, {"concatenation": [], "low_rank": []}
for name, (intra, inter) in settings.items():
    fresh = dependency_world(4000, intra=intra, inter=inter, seed=100)
    for seed in range(seeds):
        world = dependency_world(2000, intra=intra, inter=inter, seed=seed)
        for kind in heads:
            method = dial_head(kind, world, seed)
            measured[name, kind, seed] = accuracy(method.predict(fresh.pairs.tensors), fresh.pairs.tensors["label"])  # fmt: skip
        method = dial_head("low_rank", world, seed, frozen=True)
        measured[name, "low_rank, frozen", seed] = accuracy(method.predict(fresh.pairs.tensors), fresh.pairs.tensors["label"])  # fmt: skip
        if name == "both":
            many = dependency_world(8000, intra=intra, inter=inter, seed=seed)
            for kind, found in larger.items():
                method = dial_head(kind, many, seed, steps=200)
                found.append(accuracy(method.predict(fresh.pairs.tensors), fresh.pairs.tensors["label"]))  # fmt: skip
    measured[name, "best possible", 0] = fresh.bayes_rate
    measured[name, "best with one modality", 0] = fresh.rate(["x1"])

# %% tags=["hide-input"]
scores = pd.Series(measured).groupby(level=[1, 0], sort=False)
dial, deviation = scores.mean().unstack(), scores.std().unstack()
order = ["best with one modality", *heads, "low_rank, frozen", "best possible"]
dial, deviation = (frame.loc[order, list(settings)] for frame in (dial, deviation))
table(
    dial,
    f"The dial: accuracy on fresh items, mean ± deviation of {seeds} seeds.",
    spread=deviation,
    best=dict.fromkeys(settings, "higher"),
    reference=["best with one modality", "best possible"],
)
able = [kind for kind in heads if dial.loc[kind, "inter only"] > 0.7]
late = [kind for kind in heads if kind not in (*able, "mean", "product")]
say(
    f"""**Reading the table.**

- *All is intra.* The heads lie between {dial.loc[list(heads), "intra only"].min():.3f} and {dial.loc[list(heads), "intra only"].max():.3f}, and {dial.loc["best possible", "intra only"]:.3f} is possible. Any will do.
- *All is inter.* Product and mean are coins ({dial.loc["product", "inter only"]:.3f} and {dial.loc["mean", "inter only"]:.3f}): they **cannot**. Of the others, {", ".join(able)} have learned it
  within this budget{"; " + ", ".join(late) + " could, and did not yet in every seed" if late else ""}.
- *Both.* Concatenation can express all of it, but finds the easy intra part first: {dial.loc["concatenation", "both"]:.3f} where {dial.loc["best possible", "both"]:.3f} is possible. With four times the items and twice the steps it gets
  {np.mean(larger["concatenation"]):.3f}, and low rank goes from {dial.loc["low_rank", "both"]:.3f} to {np.mean(larger["low_rank"]):.3f}. To be able to express something is not to find it: a head that multiplies features
  has the interaction built in.
- *The fault.* With frozen factors, low-rank fusion changes by {100 * (dial.loc["low_rank, frozen", "inter only"] - dial.loc["low_rank", "inter only"]):+.1f} points where all is inter and by
  {100 * (dial.loc["low_rank, frozen", "both"] - dial.loc["low_rank", "both"]):+.1f} where there is both. Random projections are still projections, and encoder and classifier learn around them. A fault that costs this little is found by a test, not by a result."""
)
record(dial=dial.round(4).to_dict("index"))

# %% [markdown]
# ## Digits: all heads, same budget, and the dull rivals
#
# Pictures with little energy, and spoken digits in noise, as in the chapter before
# ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`). Each bin of the spectrogram is standardised. Note what this data is:
# picture and sound are drawn *independently given the digit*, so the product (4) is the true model by construction. It is so in the original AV-MNIST
# {cite}`vielzeuf2018centralnet`, too: two collections, paired by label. A win of the product here says nothing about data where
# picture and sound come from one event.

# %%
splits = av_mnist_mini(snr=snr, origin=origin)
train, validation, test = splits.train, splits.validation, splits.test
shapes = {key: tuple(train.tensors[key].shape[1:]) for key in ("audio", "image")}
training = {"steps": steps, "lr": 3e-3, "schedule": "cosine", "weight_decay": 1e-2, "progress": False}  # fmt: skip


def built(kind, modality_dropout=0.0, frozen=False):
    method = LateFusion(shapes, width=32, fusion=kind, dropout=0.1, modality_dropout=modality_dropout)  # fmt: skip
    if frozen:
        method.fusion.factors.requires_grad_(False)
    return method


def one(modality):
    return Unimodal(modality, shapes[modality], width=32, dropout=0.1)


builders = {kind: functools.partial(lambda kind, seed: built(kind), kind) for kind in heads}  # fmt: skip
builders["low_rank, frozen"] = lambda seed: built("low_rank", frozen=True)
builders |= {name: functools.partial(lambda name, seed: one(name), name) for name in shapes}  # fmt: skip
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
)


# %% tags=["hide-input"]
def line_on_both():
    """Logistic regression on both modalities: (accuracy, ECE)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def look(data):
        small = torch.nn.functional.avg_pool2d(data.tensors["image"], 4).flatten(1)
        return torch.cat([small, data.tensors["audio"].flatten(1)], 1).numpy()

    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
    )
    model.fit(look(train), train.tensors["label"].numpy())
    made = torch.as_tensor(model.predict_proba(look(test)))
    label = test.tensors["label"]
    return accuracy(made, label), expected_calibration_error(made, label)


mean, spread = (
    compared.mean[["accuracy", "ECE"]],
    compared.spread[["accuracy", "ECE"]],
)
mean.loc["logistic regression on both"] = line_on_both()
sizes = {name: sum(p.numel() for p in runs[0].parameters() if p.requires_grad) for name, runs in compared.trained.items()}  # fmt: skip
sizes["concatenation, 3 averaged"] = 3 * sizes["concatenation"]
mean = mean.drop(index="most frequent class").assign(parameters=pd.Series(sizes))
dull = ["chance", "image", "audio", "logistic regression on both"]
rest = [name for name in mean.index if name not in (*dull, *heads)]
mean = mean.loc[[*dull, *heads, *rest]]
mean["parameters"] = [None if math.isnan(n) else f"{n / 1000:.0f} k" for n in mean["parameters"]]  # fmt: skip
table(
    mean,
    f"AV-MNIST-mini at {snr:g} dB, test set: mean ± deviation of {seeds} seeds, after {steps} steps for every row. Parameters are those that train.",
    spread=spread.reindex(mean.index).assign(parameters=float("nan")),
    best={"accuracy": "higher"},
    reference=["chance", "product, image shuffled", "product, audio shuffled"],
)
right, ece = compared.mean["accuracy"], compared.mean["ECE"]
gaps = compared.differences("accuracy")
among = right[list(heads)].sort_values()
interval = gaps.loc["concatenation"]
say(
    f"""**Reading the table.**

- Every head beats the better single modality ({max(right["image"], right["audio"]):.3f}); the least of them, {among.index[0]}, with {among.iloc[0]:.3f}, the best, {among.index[-1]}, with {among.iloc[-1]:.3f}.
- The dullest fusion, logistic regression on both, has {mean.loc["logistic regression on both", "accuracy"]:.3f}. {int((among > mean.loc["logistic regression on both", "accuracy"]).sum())} of the {len(heads)} heads are above it.
- Product against concatenation: {100 * interval["difference"]:+.1f} points, 95 % interval over seeds {100 * interval["low"]:+.1f} to {100 * interval["high"]:+.1f}. Three concatenations averaged, with three times the parameters,
  get {right["concatenation, 3 averaged"]:.3f}: what is counted as a better head is often what any ensemble gives.
- Hand the product another item's sound, and it falls to {right["product, audio shuffled"]:.3f}; another's picture, {right["product, image shuffled"]:.3f}. It uses both.
- Frozen factors cost {100 * (right["low_rank"] - right["low_rank, frozen"]):.1f} points here; {sizes["low_rank"] - sizes["low_rank, frozen"]:,} weights never moved.
- The worst calibrated head is {ece[list(heads)].idxmax()} (ECE {ece[list(heads)].max():.2f}), the best {ece[list(heads)].idxmin()} ({ece[list(heads)].min():.2f}). Why the mean has {ece["mean"]:.2f} is in an exercise."""
)
better = right[["image", "audio"]].idxmax()
record(
    accuracy=right.round(4).to_dict()
    | {
        name: compared.scores.loc[row]["accuracy"].tolist()
        for name, row in {
            "late_fusion": "concatenation",
            "unimodal": better,
            "concatenation, averaged": "concatenation, 3 averaged",
        }.items()
    },
    ece=ece.round(4).to_dict(),
)

# %% [markdown]
# ## When one modality is gone
#
# Cameras fail. In the batch, `image_present` says which items have a picture; what stands in the place of the others is never seen
# (a test overwrites it with random numbers). But not to crash is not to be good. Trained on complete pairs only, a head has never
# met an absence. *Modality dropout* {cite}`neverova2016moddrop` hides a modality of an item in training with some probability,
# here 0.3, never the last one.

# %%
dropped = {}
for kind in heads:
    for seed in range(seeds):
        torch.manual_seed(seed)
        dropped[kind, seed] = built(kind, modality_dropout=0.3)
        fit(dropped[kind, seed], train, seed=seed, **training)


def without(name, data=test):
    """The same items, with one modality absent; with None, all there."""
    if name is None:
        return data.tensors
    return data.tensors | {
        f"{name}_present": torch.zeros(len(data), dtype=torch.bool)
    }


label = test.tensors["label"]
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
):  # the ruler: one modality, trained alone
    missing.loc["one modality, trained alone", columns[column : column + 2]] = right[modality]  # fmt: skip
table(
    missing,
    f"Accuracy with both modalities and with one, of heads trained on complete pairs and with modality dropout. Mean ± deviation of {seeds} seeds.",
    spread=groups.std().unstack().reindex(missing.index)[columns],
    best=dict.fromkeys(columns, "higher"),
    reference=["one modality, trained alone"],
)
best = {name: missing.loc[list(heads), f"no audio, {name}"] for name in ("complete", "dropout")}  # fmt: skip
cost = missing["both there, dropout"] - missing["both there, complete"]
say(
    f"Trained on complete pairs and left with the picture alone, the heads fall to between {best['complete'].min():.3f} ({best['complete'].idxmin()}) and "
    f"{best['complete'].max():.3f} ({best['complete'].idxmax()}), where a network that was trained on pictures has {right['image']:.3f}. With modality dropout they get between "
    f"{best['dropout'].min():.3f} and {best['dropout'].max():.3f}. With both modalities there, dropout changes the accuracy by {100 * cost.min():+.1f} to {100 * cost.max():+.1f} points. "
    "It costs nothing to train. "
    f"Even the product, which simply leaves an absent expert out, goes from {best['complete']['product']:.3f} to {best['dropout']['product']:.3f}: trained on complete pairs only, its expert on the picture learns to "
    "*complete* what the sound says, and not to be right alone."
)
record(missing=missing.fillna(-1).round(4).to_dict("index"))

# %% [markdown]
# ## When one modality gets noisy
#
# Worse than a modality that is gone is one that is wrong, and does not say so. Turn up the noise on the picture, or on the sound, *at test only*. All
# heads were trained on clean pairs. A head that always trusts the picture goes down with it.

# %%
levels = [0.0, 0.5, 1.0, 2.0, 4.0]
noisy = {}
for modality in ("image", "audio"):
    clean = test.tensors[modality]
    for level in levels:
        noise = torch.randn(clean.shape, generator=generator(7))
        batch = test.tensors | {modality: clean + level * noise}
        for name in (*heads, "image", "audio"):
            runs = compared.trained[name].values()
            noisy[modality, level, name] = np.mean([accuracy(m.predict(batch), label) for m in runs])  # fmt: skip

# %% tags=["hide-input"]


def draw_noisy(modality, level):
    figure = Figure(figsize=(7.4, 3.2), layout="constrained")
    left, axes = figure.subplots(1, 2, width_ratios=[1, 2.6])
    item = test.tensors[modality][0, 0]
    shown = item + level * torch.randn(test.tensors[modality].shape, generator=generator(7))[0, 0]  # fmt: skip
    left.imshow(shown, cmap="gray" if modality == "image" else "magma", origin="upper" if modality == "image" else "lower")  # fmt: skip
    left.set(xticks=[], yticks=[], title=f"{modality}, noise {level:g}")
    values = [noisy[modality, level, name] for name in heads]
    axes.barh(heads, values, color="tab:purple")
    other = "audio" if modality == "image" else "image"
    axes.axvline(noisy[modality, level, other], color="black", ls="--", label=f"{other} alone")  # fmt: skip
    axes.axvline(0.1, color="grey", ls=":", label="chance")
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy", xlim=(0, 1))
    figure.legend(loc="outside lower right", ncols=2, fontsize=8)
    return figure


def describe_noisy(modality, level):
    values = {name: noisy[modality, level, name] for name in heads}
    top, low = max(values, key=values.get), min(values, key=values.get)
    return (
        f"Noise {level:g} on the {modality}: accuracies of the seven heads as bars, from {values[low]:.2f} ({low}) to {values[top]:.2f} ({top}); "
        f"the other modality alone has {noisy[modality, level, 'audio' if modality == 'image' else 'image']:.2f}."
    )


frames(
    {"noise in": ["image", "audio"], "noise": levels},
    draw=draw_noisy,
    alt=describe_noisy,
    caption=(
        "Noise at test, in deviations of the data; mean of the seeds. The dashed line is the *other* modality alone: below it, fusion does harm. "
        "Find the noise at which each head falls below it."
    ),
    start={"noise in": "image", "noise": 1.0},
)
harmed = {}
for modality, other in (("image", "audio"), ("audio", "image")):
    floor = noisy[modality, levels[-1], other]
    harmed[modality] = sum(
        noisy[modality, levels[-1], name] < floor for name in heads
    )
alone = {modality: noisy[modality, levels[-1], modality] for modality in shapes}
say(
    f"With the largest noise on the picture, {harmed['image']} of {len(heads)} heads are worse than the sound alone; on the sound, {harmed['audio']} are worse than the picture alone. "
    f"The network that has only the noisy modality gets {alone['image']:.3f} on the picture and {alone['audio']:.3f} on the sound: what is smooth survives such noise, since neighbouring pixels average it out, "
    "and what is spread over single bins does not. Where a head falls below the other modality alone, it went on trusting what it could not trust any more. Gates and attention are no exception: they learn when to trust what from examples, and had none."
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
# normalised. `shown` is boolean, (B, M): an absent expert has no say. Return log-probabilities, (B, K).
# ```

# %% tags=["stub:product"]
from mmlab.exercises.late_fusion import check_product


def product(logits, shown):
    return ...


check_product(product)

# %% [markdown]
# ```{solution-start} late-fusion-product
# :class: dropdown
# ```


# %% tags=["solution:product"]
def product(logits, shown):
    opinions = logits.log_softmax(-1)  # not needed: the constants cancel below
    total = torch.where(shown[:, :, None], opinions, 0).sum(1)
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
    "low-rank form is the larger one, and the rank restricts nothing. Low rank pays with more modalities, where the full tensor grows as a product and the factors as a sum."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A modest mean (think)
# :label: late-fusion-mean
#
# The mean of probabilities has a far larger calibration error than the product. Is it too sure or not sure enough? Why does training with (9) not
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
    f"Its mean confidence is {modest.loc['mean', 'confidence']:.2f} where it is right {modest.loc['mean', 'accuracy']:.2f} of the time: not sure enough. An expert that does not know "
    "spreads its half of the vote over all classes, and nothing the other says can take it back. The loss could only be made smaller by experts that are *too* sure, and it pushes them there, but each is punished where it is wrong. "
    f"A temperature of {modest.loc['mean', 'temperature']:.2f}, below one, sharpens the answers, and the error becomes {modest.loc['mean', 'ECE, tempered']:.2f}. Accuracy does not change: calibration was the mean's cheap problem, the accuracy is what it keeps."
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
# were made by drawing independently given the class, a product should win, and nothing was learned about real pairs.
# ```
#
# ```{dropdown} Why is it not enough to test that a missing modality does not crash?
# Because its place in the tensor may still be read. Overwrite it with random numbers: if any output changes, it was read.
# ```
#
# ## Limits, and what to read next
#
# - One width, one learning rate for all heads. Each head's best settings differ, and a fair contest would search for each, on the validation set, with equal effort.
# - Features here are single vectors. With sequences of tokens, cross-attention has alignments to find, and this comparison says nothing about that.
# - Cross-attention over two tokens is nearly a gate; it needs more of them to be itself.
#
# [I2M2](i2m2.ipynb) puts product and concatenation into one model, so that neither end of the dial is lost. Read {cite:t}`liang2021multibench` for the benchmark,
# {cite:t}`kittler1998combining` for the theory of combining opinions, and {cite:t}`neverova2016moddrop` for modality dropout.

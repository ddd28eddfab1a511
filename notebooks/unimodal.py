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
# # How good is one modality?
#
# **Before we fuse anything: how far do we get without fusion, and how do we know?**
#
# A paper says that its network, which sees a picture and hears a sound, is right so many times out of a hundred. Is that
# good? It depends on how far the picture alone would have got, and the sound alone, and a straight line through the pixels.
# Networks with two inputs have been reported to be *worse* than the best network with one {cite}`wang2020blending`. So this
# chapter trains the plainest thing there is, one encoder and one classifier on one modality, and makes it the reference
# baseline of the chapters that follow. Then it asks what can go wrong with the baseline itself: too little data, too much
# confidence, and a test set that was looked at while choosing.
#
# **After this chapter you can**
#
# - derive why cross-entropy asks for honest probabilities, and what the best possible accuracy of a modality is;
# - tune a baseline and a linear rival on validation items, with the same care;
# - read a learning curve and a reliability diagram, and mend a calibration error with a temperature;
# - say how many points come from choosing a checkpoint on the test set, and how many of them are real.
#
# You need PyTorch, and probability up to the entropy of a distribution. Reading takes about half an hour.

# %% tags=["parameters"]
seeds: int = 3
steps: int = 160  # of every training run on this page
items: int = 2400  # to train on
snr: float = -12.0
origin = "synthetic"

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.comparison import METRICS
from mmlab.compare.controls import controls
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.losses.classification import cross_entropy
from mmlab.methods.unimodal import Unimodal
from mmlab.metrics.classification import (
    accuracy,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    temper,
)
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, lines, use_theme

use_theme()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def deviation_of(frame):
    """Standard deviation over seeds, zero for a single one."""
    return frame.std(ddof=min(1, seeds - 1))


# %% [markdown]
# ## The data: digits that are hard to see and hard to hear
#
# Each item is a digit, as a small picture and as the log-spectrogram of somebody saying it
# ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`). The pictures were robbed of most of their energy, and the speech lies
# under babble and brown noise. The ratio of the power of speech to that of noise, in decibels, is the *SNR*: at 0 dB both are
# as strong; each 10 dB is a factor of ten. Neither modality is good enough alone, by design. Takes of the speakers, pictures
# and stretches of noise are disjoint between training, validation and test.
#
# Each bin of the spectrogram has mean 0 and deviation 1 over the training items. We keep the same spectrograms *as they are*,
# too, with one mean and one deviation for all bins: a later section asks what that changes.


# %%
def digits(train, validation=500, test=1500, snr=snr):
    """Training, validation and test items, each with the standardised and the raw spectrogram."""
    arguments = {
        "snr": snr,
        "origin": origin,
        "train": train,
        "validation": validation,
        "test": test,
    }
    by_bin = av_mnist_mini(**arguments)
    whole = av_mnist_mini(**arguments, standardise="whole")
    pairs = zip(
        (by_bin.train, by_bin.validation, by_bin.test),
        (whole.train, whole.validation, whole.test),
        strict=True,
    )
    parts = [
        TensorData(a.tensors | {"raw_audio": b.tensors["audio"]}) for a, b in pairs
    ]
    return by_bin.description, parts


description, (train, validation, held_out) = digits(items)
shapes = {key: tuple(train.tensors[key].shape[1:]) for key in ("audio", "image")}
test = held_out.tensors

# %% tags=["hide-input"]
# Code of the figure: pairs
figure = Figure(figsize=(5.6, 2.4), layout="constrained")
chosen = [(test["label"] == digit).nonzero()[0].item() for digit in range(0, 10, 2)]
for axes, item in zip(figure.subplots(2, 5).T, chosen, strict=True):
    axes[0].imshow(test["image"][item, 0], cmap="gray")
    axes[1].imshow(test["raw_audio"][item, 0], cmap="magma", origin="lower")
    axes[0].set_title(test["label"][item].item())
    for ax in axes:
        ax.set(xticks=[], yticks=[])
show(
    figure,
    alt=(
        "Five pairs, one for each even digit. Above, blurred pictures of 28 by 28 pixels in which some digits can "
        "be told and others not; below, spectrograms of 32 by 32 values that look mostly like noise."
    ),
    caption=f"A test item of each even digit. Above the picture, below what is heard at {snr:g} dB (time to the right, frequency upwards).",
)
say(
    f"{len(train)} training, {len(validation)} validation and {len(held_out)} test items. {description}"
)

# %% [markdown]
# ## The method, which is hardly one
#
# An encoder $f$ makes features of the item $x$, a small classifier $h$ makes one number (a *logit*) for each of the $K$
# classes, and the softmax makes probabilities:
#
# $$p_\theta(y = k \mid x) = \frac{e^{\ell_k}}{\sum_j e^{\ell_j}}, \qquad \ell = h(f(x)). \tag{1}$$

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0, "one modality,\nitem x"),
    "f": Box(1, 0, "encoder f", "trained"),
    "h": Box(2, 0, "classifier h", "trained"),
    "p": Box(3, 0, "softmax (1)"),
    "L": Box(3, 1, "loss (2)", "loss"),
    "y": Box(2, 1, "class y"),
}
arrows = [
    Arrow("x", "f"), Arrow("f", "h", "z"), Arrow("h", "p", "ℓ"), Arrow("p", "L"), Arrow("y", "L")
]  # fmt: skip
show(
    diagram(boxes, arrows),
    alt="A drawing: an item goes through an encoder and a classifier to the softmax; its probabilities and the true class give the loss.",
    caption="What goes where. Blue is trained. The features $z$ are what the fusion chapters will put together.",
)

# %% [markdown]
# Training maximises the probability of what really was the class, on average over the logarithm:
#
# $$L(\theta) = -\,\mathbb E\,\log p_\theta(y \mid x) = \mathbb E\Big[\log \sum_j e^{\ell_j} - \ell_y\Big]. \tag{2}$$
#
# *Why this loss?* Write $p(y \mid x)$ for the truth: how often items that look like $x$ are of class $y$. For one $x$,
#
# $$-\sum_y p(y \mid x) \log p_\theta(y \mid x) = \underbrace{-\sum_y p(y\mid x)\log p(y\mid x)}_{\text{entropy: no model's fault}} +
# \underbrace{\sum_y p(y\mid x)\log\frac{p(y\mid x)}{p_\theta(y\mid x)}}_{\text{KL divergence}\ \ge\ 0},$$
#
# and the second term is zero only where the network is right about the *probabilities*. So the loss asks for more than the
# right class: it asks for honest uncertainty. And it shows the ceiling. <!-- in general --> The best answer is the most probable class under the
# truth, which is right with probability $\mathbb E \max_k p(y = k \mid x)$, the *Bayes rate* of this modality. <!-- in general --> Nothing that
# sees only this modality can do better.
#
# The loss once more, by hand:


# %%
def loss_by_hand(logits, label):
    total = 0.0
    for row, y in zip(logits, label, strict=True):
        total += torch.log(torch.exp(row).sum()) - row[y]
    return total / len(label)


logits = torch.randn(5, 10, generator=generator())
labels = torch.arange(5)
assert torch.allclose(loss_by_hand(logits, labels), cross_entropy(logits, labels))

torch.manual_seed(0)
method = Unimodal("image", shapes["image"])
untrained = method.loss(train.batch(torch.arange(min(200, items))), generator())[
    "loss"
]
say(
    f"An untrained network has a loss of {untrained:.2f} nats; "
    f"a guess with equal chances has $\\log 10$ = {math.log(10):.2f}."
)

# %% [markdown]
# ## The baseline on a world whose truth is known
#
# On the *dial* ({py:func}`~mmlab.data.worlds.dependency_world.dependency_world`) everything can be computed. Two vectors share a
# label. With strength $a$ each vector alone says something about it (*intra*); a sign in each, which alone is a fair coin, agrees with the
# other's with probability $q$ for the one class and $1 - q$ for the other (*inter*). The Bayes rate of one vector, and of both, are known. Three settings: all is intra, all is inter,
# and some of each. The networks of the seeds are small and are trained side by side
# ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`), which gives what training each alone would.

# %%
training = {"steps": steps, "lr": 2e-3, "schedule": "cosine", "weight_decay": 1e-2, "progress": False}  # fmt: skip


def only(modality, dataset):
    """What a network of one modality reads."""
    return TensorData({key: dataset.tensors[key] for key in (modality, "label")})


def trained(modality, dataset, seed, width=64, classes=10, **changes):
    """One modality, trained; the same seed gives the same weights."""
    shape = tuple(dataset.tensors[modality].shape[1:])
    torch.manual_seed(seed)
    method = Unimodal(modality, shape, classes, width=width, dropout=0.1)
    fit(method, only(modality, dataset), seed=seed, **training | changes)
    return method


def score(method, dataset):
    return accuracy(method.predict(dataset.tensors), dataset.tensors["label"])


settings = {
    "intra only": (0.8, 0.5),
    "inter only": (0.0, 0.95),
    "both": (0.6, 0.85),
}
rows, spread = {}, {}
for name, (intra, inter) in settings.items():
    fresh = dependency_world(4000, intra=intra, inter=inter, seed=100)
    worlds = [
        dependency_world(2000, intra=intra, inter=inter, seed=seed).pairs
        for seed in range(seeds)
    ]
    small = [
        Unimodal.seeded(
            seed, "x1", tuple(fresh.pairs.tensors["x1"].shape[1:]), 2, width=16
        )
        for seed in range(seeds)
    ]
    fit_side_by_side(small, worlds, **training | {"steps": min(steps, 100)})
    scores = torch.tensor([score(method, fresh.pairs) for method in small])
    rows[name] = {"one modality": scores.mean().item(), "its Bayes rate": fresh.rate(["x1"]), "Bayes rate of both": fresh.bayes_rate}  # fmt: skip
    spread[name] = {"one modality": scores.std(correction=min(1, seeds - 1)).item()}
dial, deviation = pd.DataFrame(rows).T, pd.DataFrame(spread).T.reindex(columns=list(rows[name]))  # fmt: skip
table(
    dial,
    f"The dial: accuracy of one modality on fresh items, mean ± deviation of {seeds} seeds, beside what is possible.",
    spread=deviation,
)
gap = (dial["its Bayes rate"] - dial["one modality"]).abs().max()
say(
    f"The network is within {100 * gap:.1f} points of the ceiling of its modality in all three settings (where it is above, that is the luck of the draw of the test items). Where all is inter, that ceiling is a coin. "
    "A low number on one modality can mean a poor network or a poor modality, and a known ceiling tells which."
)
record(dial=dial.round(4).to_dict("index"))

# %% [markdown]
# ## Digits: beside the baselines
#
# Here the ceiling is unknown, and baselines have to do. {py:func}`~mmlab.compare.controls.controls` trains everything on the
# training set, measures once after the last step, and adds what is easily left out: chance, and our own network with its input
# exchanged between the test items. We add logistic regression: no hidden layer, one straight line per class. Networks choose
# their learning rate among four values, each tried with one seed, and lines the strength of their penalty among four, on the same validation items. (Raw bins
# have smaller deviations, and their line tries penalties that are ten times weaker.)
#
# The networks take a fixed number of small steps; a line is solved until it converges. That is a difference in budget, and it
# matters below.


# %%
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3)
RATES = (2e-3, 8e-3, 3e-2, 1e-1)


def line(look, scaled=True):
    """Test probabilities of the linear classifier whose penalty has the highest validation accuracy, and that penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for penalty in PENALTIES if scaled else [10 * c for c in PENALTIES]:
        model = make_pipeline(
            StandardScaler(with_mean=scaled, with_std=scaled),
            LogisticRegression(C=penalty, max_iter=1000, tol=1e-3),
        )
        model.fit(look(train.tensors), train.tensors["label"].numpy())
        right = model.score(
            look(validation.tensors), validation.tensors["label"].numpy()
        )
        found.append((right, penalty, model))
    _, penalty, model = max(found, key=lambda entry: entry[0])
    return torch.as_tensor(model.predict_proba(look(test))), penalty


def pixels(tensors):
    return torch.nn.functional.avg_pool2d(tensors["image"], 4).flatten(1).numpy()


def bins(tensors):
    return tensors["raw_audio"].flatten(1).numpy()


lines_of = {
    "image, logistic regression": line(pixels),
    "audio as it is, logistic regression": line(bins, scaled=False),
    "audio, logistic regression": line(bins),
    "both, logistic regression": line(
        lambda t: np.concatenate([pixels(t), bins(t)], 1)
    ),
}
middle = train.tensors["raw_audio"].mean(0)
train, validation, held_out = (
    TensorData(part.tensors | {"centred_audio": part.tensors["raw_audio"] - middle})
    for part in (train, validation, held_out)
)
test = held_out.tensors
views = {
    "image, perceptron": "image",
    "audio as it is, perceptron": "raw_audio",
    "audio centred, perceptron": "centred_audio",
    "audio, perceptron": "audio",
}


def network(view):
    return lambda seed: Unimodal(view, tuple(test[view].shape[1:]), dropout=0.1)


networks = {name: network(view) for name, view in views.items()}
compared = controls(
    networks,
    "image, perceptron",
    train,
    held_out,
    modalities=["image"],
    training=training,
    seeds=range(seeds),
    rivals=[],
    validation=validation,
    tries=[{"lr": rate} for rate in RATES],
)
budgets = Budgets(
    "image, perceptron",
    compared.spent
    | dict.fromkeys(lines_of, Spent(tuned=("penalty",), tries=len(PENALTIES))),
)

# %% tags=["hide-input"]
# Code of the table
linear = pd.DataFrame(
    {
        name: {
            metric: measure(made, test["label"])
            for metric, measure in METRICS.items()
        }
        for name, (made, _) in lines_of.items()
    }
).T
mean = pd.concat(
    [
        compared.mean.loc[["chance"]],
        linear,
        compared.mean.loc[[*networks, "image, perceptron, image shuffled"]],
    ]
)
chosen = {name: penalty for name, (_, penalty) in lines_of.items()} | {
    name: settings["lr"] for name, settings in compared.chosen.items()
}
ends = (RATES[0], RATES[-1])
edges = [name for name, found in compared.chosen.items() if found["lr"] in ends]
for name, (_, penalty) in lines_of.items():
    scale = 10 if "as it is" in name else 1
    if penalty in (scale * PENALTIES[0], scale * PENALTIES[-1]):
        edges.append(name)
edges = ", ".join(edges) or "none"
mean["chosen"] = pd.Series(
    {name: f"{value:g}" for name, value in chosen.items()}
).reindex(mean.index)
table(
    mean,
    f"AV-MNIST-mini at {snr:g} dB: test set, mean ± deviation of {seeds} seeds. *Audio* has each bin standardised. *Chosen* on validation items: the penalty's C of a line, the learning rate of a network. At an end of what was tried: {edges}.",
    spread=compared.spread.reindex(mean.index).assign(chosen=float("nan")),
    best={"accuracy": "higher", "macro F1": "higher", "AUC": "higher"},
    reference=["chance", "image, perceptron, image shuffled"],
    paired=pd.concat(
        [
            compared.scores.loc[[*networks]],
            linear.assign(seed=-1).set_index("seed", append=True),
        ]
    ),
    budgets=budgets,
)
right = mean["accuracy"]
answers = {
    name: (made.argmax(1) == test["label"]).double()
    for name, (made, _) in lines_of.items()
}
say(
    f"""**Reading the table.**

- *The reference baseline.* A fusion of the two is to be held against the higher of the two single modalities, **{max(right["image, perceptron"], right["audio, perceptron"]):.3f}**, and not against chance.
- *A fusion without a network.* Logistic regression on both modalities has {right["both, logistic regression"]:.3f}. A fusion network below it has gained nothing by being a network.
- *The spectrum of the noise.* Each bin of the raw spectrogram has its own level, the same in every item: the means of the bins have a deviation of {train.tensors["raw_audio"].mean(0).std():.2f}, the items within a bin {train.tensors["raw_audio"].std(0).mean():.2f}.
  What does that do?"""
)


def changed(name, row, other, what):
    return claimed(
        f"spectrogram-{name}",
        compared.values(row),
        compared.values(other),
        direction="higher",
        better=f"{what}: the perceptron goes from {{theirs:.3f}} to {{ours:.3f}}.",
        worse=f"{what}: the perceptron falls from {{theirs:.3f}} to {{ours:.3f}}.",
        undecided=f"{what}: {{theirs:.3f}} and {{ours:.3f}}, undecided in this run.",
    )


say(
    "\n".join(
        [
            "- "
            + changed(
                "centred",
                "audio centred, perceptron",
                "audio as it is, perceptron",
                "Subtracting each bin's mean",
            ),
            "- "
            + changed(
                "scaled",
                "audio, perceptron",
                "audio centred, perceptron",
                "Dividing by each bin's deviation as well",
            ),
            "- "
            + claimed(
                "scaling-for-a-line",
                answers["audio, logistic regression"],
                answers["audio as it is, logistic regression"],
                direction="higher",
                over="items",
                better="The line, solved until it converges, goes from {theirs:.3f} on raw bins to {ours:.3f} on standardised ones.",
                worse="The line, solved until it converges, does without: {theirs:.3f} on raw bins, {ours:.3f} on standardised ones.",
                undecided="For the line, solved until it converges, it is undecided: {theirs:.3f} on raw bins, {ours:.3f} on standardised ones.",
            ),
        ]
    )
    + "\n\nA large constant in every item is one direction of the input that is far larger than the others. Is it that few small steps are slow along the rest? Longer training would tell; it was not tried here. "
    "Without a line in the table, such a fault would look like a poor modality."
)
better = right[["image, perceptron", "audio, perceptron"]].idxmax()
record(
    accuracy=right.round(4).to_dict()
    | {
        "unimodal": compared.scores.loc[better]["accuracy"].tolist(),
        "logistic regression": right[
            better.replace("perceptron", "logistic regression")
        ],
    },
    budget=budgets.plain(),
)

# %% [markdown]
# ## How much does noise cost?
#
# The noise in the sound is a knob. Turn it. The picture does not change, so look for the noise at which the sound overtakes it: from
# there on the sound is the reference for a fusion. Each of the two keeps the learning rate that it chose above, and has half of the items.

# %%
ratios = [-18.0, -12.0, -6.0, 0.0]
heard, curve = {}, {}
for ratio in ratios:
    _, (some, _, others) = digits(items // 2, 10, 1000, snr=ratio)
    heard[ratio] = others.tensors["raw_audio"][0, 0]
    rate = compared.chosen["audio, perceptron"]
    scores = [
        score(trained("audio", some, seed, **rate), others) for seed in range(seeds)
    ]
    curve[ratio] = torch.tensor(scores)
digit = others.tensors["label"][0].item()
rate = compared.chosen["image, perceptron"]
picture = torch.tensor(
    [score(trained("image", some, seed, **rate), others) for seed in range(seeds)]
)

# %% tags=["hide-input"]
# Code of the widget: noise
heard_well = pd.DataFrame(
    [
        (name, ratio, value)
        for ratio in ratios
        for name, values in (("audio", curve[ratio]), ("image", picture))
        for value in values.tolist()
    ],
    columns=["network of", "SNR (dB)", "test accuracy"],
)


def draw_noise(ratio):
    figure = Figure(figsize=(5.6, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.7])
    left.imshow(heard[ratio], cmap="magma", origin="lower", vmin=-3, vmax=3)
    left.set(
        xticks=[],
        yticks=[],
        xlabel="time",
        ylabel="frequency",
        title=f"“{digit}” at {ratio:g} dB",
    )
    sns.lineplot(
        heard_well, x="SNR (dB)", y="test accuracy", hue="network of",
        errorbar=("pi", 100), marker="o", ax=right,
    )  # fmt: skip
    right.axhline(0.1, color=COLOURS[6], ls=":")
    right.annotate("chance", (ratios[-1], 0.1), ha="right", va="bottom")
    right.plot(ratio, curve[ratio].mean(), "o", ms=13, mfc="none", color=COLOURS[6])
    right.set(ylim=(0, 1))
    right.legend(loc="lower right", bbox_to_anchor=(1, 0.12), title="")
    return figure


def describe_noise(ratio):
    return (
        f"At {ratio:g} dB the audio network is right in {curve[ratio].mean():.0%} of the test items, the image network in "
        f"{picture.mean():.0%}; beside the curve, the spectrogram of a spoken {digit} at this noise."
    )


frames(
    {"SNR": ratios},
    draw=draw_noise,
    alt=describe_noise,
    caption="Turn the SNR: formants, the bright bands of the voice, sink into the noise. The band is the range over the seeds.",
    start={"SNR": snr if snr in ratios else ratios[0]},
)
record(
    accuracy_over_snr={
        f"{ratio:g}": round(curve[ratio].mean().item(), 4) for ratio in ratios
    }
)

# %% [markdown]
# ## How much does more data buy?
#
# A learning curve answers a question that a single number cannot: is this modality used up, or would it only need more items? <!-- in general --> If
# the curve is flat at the end, more of the same would not help *this network*, trained like this. The number of steps is the same
# for all sizes, so a small set is gone through many more times; the learning rate is the one chosen above. The validation set never grows, and neither does the test set.

# %%
sizes = sorted({min(count, items) for count in (100, 300, 1000, items)})
learned = {}
for modality in shapes:
    for size in sizes:
        row = f"{modality}, perceptron"
        learned[modality, size] = [
            compared.trained[row][seed]
            if size == len(train)
            else trained(
                modality, train.subset(range(size)), seed, **compared.chosen[row]
            )
            for seed in range(seeds)
        ]  # the largest set is that of the table above
learning = {key: torch.tensor([score(m, held_out) for m in methods]) for key, methods in learned.items()}  # fmt: skip

# %% tags=["hide-input"]
# Code of the figure: learning curves
points = pd.DataFrame(
    [
        (modality, size, value)
        for (modality, size), values in learning.items()
        for value in values.tolist()
    ],
    columns=["modality", "training items", "test accuracy"],
)
figure = lines(
    points, "training items", "test accuracy", by="modality", log_x=True,
    references={"chance": 0.1},
)  # fmt: skip
(axes,) = figure.axes
axes.set(ylim=(0, 0.9), xticks=sizes, xticklabels=sizes)
axes.minorticks_off()
gains = {m: (learning[m, sizes[-1]].mean() - learning[m, sizes[-2 % len(sizes)]].mean()).item() for m in shapes}  # fmt: skip
show(
    figure,
    alt=(
        f"Accuracy against the number of training items on a logarithmic axis. Image rises from {learning['image', sizes[0]].mean():.2f} to "
        f"{learning['image', sizes[-1]].mean():.2f}, audio from {learning['audio', sizes[0]].mean():.2f} to {learning['audio', sizes[-1]].mean():.2f}."
    ),
    caption=(
        f"Learning curves, mean and 95 % interval of {seeds} seeds. The last increase of the data changed the accuracy by {100 * gains['image']:+.1f} points on the picture "
        f"and by {100 * gains['audio']:+.1f} on the sound."
    ),
)

# %% [markdown]
# ## Does it know what it does not know?
#
# Sort the test items by how sure the network is of its answer. Among those with a confidence of nine in ten, nine in ten should be
# right. The *expected calibration error* (ECE) is the mean gap between the two over items, taken in bins of confidence. A network
# that has learned its training items by heart may be too sure. One number can be turned: divide all logits by a *temperature*
# $T$, which is chosen on the validation set {cite}`guo2017calibration`,
#
# $$p_T(k \mid x) \propto p(k \mid x)^{1/T}.$$
#
# The order of the classes stays, so accuracy does too. The validation items must be as new to the network as the test items are.
# With several items of one person, speaker or scene that means: no such person in both training and validation.

# %%
calibrated, curves = {}, {}
for size in sorted({sizes[0], sizes[-1]}):
    measured = []
    for method in learned["audio", size]:
        plain = method.predict(test)
        temperature = fit_temperature(method.predict(validation.tensors), validation.tensors["label"])  # fmt: skip
        cooled = temper(plain, temperature)
        measured.append({
            "accuracy": accuracy(plain, test["label"]),
            "ECE": expected_calibration_error(plain, test["label"]),
            "ECE, tempered": expected_calibration_error(cooled, test["label"]),
            "log loss": log_loss(plain, test["label"]),
            "log loss, tempered": log_loss(cooled, test["label"]),
            "temperature": temperature,
        })  # fmt: skip
        assert accuracy(cooled, test["label"]) == measured[-1]["accuracy"]
    calibrated[f"audio, {size} items"] = pd.DataFrame(measured)
    curves[size] = (reliability(plain, test["label"], 10), reliability(cooled, test["label"], 10))  # fmt: skip

# %% tags=["hide-input"]
summary = pd.DataFrame({name: frame.mean() for name, frame in calibrated.items()}).T
table(
    summary,
    f"Calibration on the test set, mean ± deviation of {seeds} seeds. The temperature comes from the validation set.",
    spread=pd.DataFrame(
        {name: deviation_of(frame) for name, frame in calibrated.items()}
    ).T,
)
# Code of the figure: reliability
figure = Figure(figsize=(5.6, 3.0), layout="constrained")
for axes, (size, pair) in zip(figure.subplots(1, len(curves), sharey=True, squeeze=False)[0], curves.items(), strict=True):  # fmt: skip
    axes.plot([0, 1], [0, 1], color=COLOURS[6], ls=":")
    for (confidence, right, count), name, colour in zip(
        pair, ("as trained", "tempered"), COLOURS[1:3], strict=True
    ):
        sns.lineplot(
            x=confidence[count > 9], y=right[count > 9], marker="o", color=colour,
            label=name, ax=axes, legend=False,
        )  # fmt: skip
    axes.set(
        xlabel="confidence",
        title=f"{size} items",
        xlim=(0, 1),
        ylim=(0, 1.02),
        xticks=[0, 0.5, 1],
    )
axes.legend(loc="upper left")
figure.axes[0].set(ylabel="share of right answers")
few, many = summary.iloc[0], summary.iloc[-1]
show(
    figure,
    alt=(
        f"Share of right answers against confidence, by panel. With {sizes[0]} training items the calibration error is {few['ECE']:.2f}, "
        f"and {few['ECE, tempered']:.2f} after tempering; with all items the errors are {many['ECE']:.2f} and {many['ECE, tempered']:.2f}."
    ),
    caption=(
        "Reliability of the audio network, last seed; bins with ten items or more. Below the diagonal it is too sure of itself. "
        f"Trained on few items it needs a temperature of {few['temperature']:.1f}, trained on all, {many['temperature']:.1f}."
    ),
)
record(
    ece=summary["ECE"].round(4).to_dict(),
    ece_tempered=summary["ECE, tempered"].round(4).to_dict(),
)

# %% tags=["hide-input"]
claim(
    "temperature-mends-calibration",
    calibrated[f"audio, {sizes[-1]} items"]["ECE, tempered"],
    calibrated[f"audio, {sizes[-1]} items"]["ECE"],
    direction="lower",
    better="For the network that was trained on all items, the temperature lowers the calibration error from {theirs:.3f} to {ours:.3f}.",
    worse="For the network that was trained on all items, the temperature raises the calibration error from {theirs:.3f} to {ours:.3f}.",
    undecided="For the network that was trained on all items, what the temperature does to the calibration error ({theirs:.3f} before, {ours:.3f} after) is undecided.",
)

# %% [markdown]
# ## Points for free: choosing the epoch on the test set
#
# Some published code keeps the checkpoint that scores highest *on the test set* and prints that number. Among many checkpoints,
# some are lucky on these items. <!-- in general --> If $n$ checkpoints were independent and all right with probability $a$, the best on $N$ items
# would look better by about
#
# $$\sqrt{\frac{a(1-a)}{N}}\;\sqrt{2\log n}.$$
#
# Checkpoints of one run are not independent, so the gain is another one. How much is it? We look at the test set during training,
# which {py:func}`~mmlab.fit` allows through a hook. The result depends on what the last checkpoint is: at a constant learning rate
# it still jumps from step to step, with a cosine schedule it has come to rest. So we try both. We choose on small test sets, and
# ask how good the chosen checkpoint really is on the items that it was not chosen on.


# %%
class Watched(Unimodal):
    """Notes after every fifth step, in the second half, which test items it has right; a fault, made on purpose."""

    taken, looks, begin = 0, (), 0

    def after_step(self):
        self.taken += 1
        if self.taken > self.begin and self.taken % 5 == 0:
            right = self.predict(test).argmax(1) == test["label"]
            self.looks = (*self.looks, right)


def checkpoints(seed, schedule):
    """Right or wrong, for each checkpoint of the second half and each test item, of one image network."""
    method = Watched.seeded(seed, "image", shapes["image"], dropout=0.1)
    length = max(20, steps * 3 // 2)
    method.begin = length // 2
    fit(
        method,
        only("image", train),
        steps=length,
        batch_size=32,
        lr=3e-3,
        schedule=schedule,
        seed=seed,
        progress=False,
    )
    return torch.stack(method.looks).float()  # (checkpoints, items)


def luck(right, size, seed):
    """Means over disjoint test sets: last, chosen; and both on the items that were not chosen on."""
    found = []
    for chosen_on in torch.randperm(
        right.shape[1], generator=generator(seed)
    ).split(size)[:15]:
        if len(chosen_on) == size:
            rest = torch.ones(right.shape[1], dtype=torch.bool)
            rest[chosen_on] = False
            best = right[:, chosen_on].mean(1).argmax()
            found.append(
                [
                    right[at][part].mean()
                    for part in (chosen_on, rest)
                    for at in (-1, best)
                ]
            )
    return torch.tensor(found).mean(0).tolist()


rows, by_age = [], {}
for schedule in ("constant", "cosine"):
    for seed in range(seeds):
        right = checkpoints(seed, schedule)
        by_age[schedule, seed] = [
            part.mean().item() for part in right.tensor_split(2)
        ]  # the earlier and the later checkpoints, on all test items
        for size in (50, 100, 200, 500):
            last, best, last_new, best_new = luck(right, size, seed)
            rows.append((schedule, size, seed, last, best, last_new, best_new))
columns = [
    "schedule",
    "test items",
    "seed",
    "last",
    "best on test",
    "last, new items",
    "the same, new items",
]
hygiene = pd.DataFrame(rows, columns=columns)
hygiene = hygiene.set_index(["schedule", "test items", "seed"]).sort_index()
hygiene["points for free"] = 100 * (hygiene["best on test"] - hygiene["last"])
hygiene["real points"] = 100 * (
    hygiene["the same, new items"] - hygiene["last, new items"]
)

# %% tags=["hide-input"]
# Code of the table and the figure: choosing on the test set
by_size = hygiene.groupby(level=["schedule", "test items"])
shown = [
    "last",
    "best on test",
    "the same, new items",
    "points for free",
    "real points",
]
means, spreads = by_size.mean()[shown], deviation_of(by_size)[shown]
for frame in (means, spreads):
    frame.index = [f"{schedule}, {size} items" for schedule, size in frame.index]
table(
    means,
    f"The image network's last of {len(right)} checkpoints, the one that is right most often on a test set of this size, and that checkpoint on the other test "
    f"items, for two schedules of the learning rate. Mean over disjoint test sets, ± deviation over {seeds} seeds.",
    spread=spreads,
    digits={"points for free": 1, "real points": 1},
)
grid = [50, 100, 200, 500]
long = hygiene.reset_index().melt(
    ["schedule", "test items", "seed"], ["points for free", "real points"]
)
long["points"] = long["variable"].map(
    {
        "points for free": "what is printed",
        "real points": "what is gained on new items",
    }
)
figure = Figure(figsize=(5.6, 5.4), layout="constrained")
for axes, schedule in zip(
    figure.subplots(2, 1, sharex=True), ("constant", "cosine"), strict=True
):
    level = hygiene.loc[schedule, "last"].mean()
    independent = [
        100 * math.sqrt(level * (1 - level) / n * 2 * math.log(len(right)))
        for n in grid
    ]
    sns.lineplot(
        long[long["schedule"] == schedule], x="test items", y="value", hue="points",
        style="points", markers=True, dashes=False, errorbar="sd", ax=axes,
        legend=schedule == "constant",
    )  # fmt: skip
    axes.plot(grid, independent, color=COLOURS[6], ls="--")
    axes.annotate(
        "if independent", (grid[1], independent[1]), xytext=(4, 4),
        textcoords="offset points",
    )  # fmt: skip
    axes.axhline(0, color=COLOURS[6], lw=0.8)
    axes.set(
        xlabel="items in the test set",
        xscale="log",
        xticks=grid,
        xticklabels=grid,
        title=f"{schedule} rate",
        ylabel="points over the last",
    )
    axes.minorticks_off()
figure.axes[0].legend(title="")
show(
    figure,
    alt="Points over the last checkpoint when the checkpoint is chosen on the test set. "
    + " ".join(
        f"{row}: {means.loc[row, 'points for free']:+.1f} in print, {means.loc[row, 'real points']:+.1f} on new items."
        for row in means.index
    ),
    caption="Choosing on the test set, with a constant learning rate and with a cosine schedule: what is printed, and what remains on new items.",
)
record(
    points_for_free={
        row: round(value, 2) for row, value in means["points for free"].items()
    }
)
for schedule in ("constant", "cosine"):
    at = hygiene.loc[(schedule, 100)]
    claim(
        f"printed-against-real-{schedule}",
        at["points for free"],
        at["real points"],
        direction="higher",
        unit="points",
        better=f"With a {schedule} rate and 100 test items, {{ours}} are printed over the last checkpoint, and {{theirs}} are there on new items: less than what is printed.",
        worse=f"With a {schedule} rate and 100 test items, {{ours}} are printed over the last checkpoint, and {{theirs}} are there on new items: more than what is printed.",
        undecided=f"With a {schedule} rate and 100 test items, {{ours}} are printed over the last checkpoint, and {{theirs}} are there on new items; whether that is less is undecided.",
    )
for schedule in ("constant", "cosine"):
    claim(
        f"real-points-{schedule}",
        hygiene.loc[(schedule, 100), "real points"],
        0.0,
        direction="higher",
        unit="points",
        better=f"With a {schedule} rate and 100 test items, the chosen checkpoint is better on new items, too, by {{ours}}: that part of the gain validation items would give honestly.",
        worse=f"With a {schedule} rate and 100 test items, the chosen checkpoint is *worse* on new items, by {{gap}}: all that was printed is luck.",
        undecided=f"With a {schedule} rate and 100 test items, nothing is decided on new items ({{ours}}).",
    )
say(
    "Would *stopping earlier* have done the same? Then the earlier half of the checkpoints would be above the later one, on average and on all test items, without any choice:"
)
for schedule in ("constant", "cosine"):
    earlier, later = zip(
        *(by_age[schedule, seed] for seed in range(seeds)), strict=True
    )
    claim(
        f"earlier-checkpoints-{schedule}",
        earlier,
        later,
        direction="higher",
        unit="%",
        better=f"- {schedule} rate: they are above, {{ours}} against {{theirs}}.",
        worse=f"- {schedule} rate: they are below, {{ours}} against {{theirs}}.",
        undecided=f"- {schedule} rate: undecided, {{ours}} and {{theirs}}.",
    )

# %% [markdown]
# What is printed is invisible as a fault: no line of such a paper is false.
#
# Here it cannot happen by accident, for three reasons. {py:func}`~mmlab.fit` never chooses: it returns the weights of the last step,
# and a validation set is measured, not used. {py:func}`~mmlab.compare.controls.controls` hands the test set to nobody until all
# rows are trained, and then without labels. And it refuses a test set that it has seen.

# %%
watched = trained(
    "image", train, 0, steps=30, validation=held_out, validate_every=10
)
alone = trained("image", train, 0, steps=30)
pairs = zip(watched.parameters(), alone.parameters(), strict=True)
assert all(
    torch.equal(one, other) for one, other in pairs
)  # watching changed no bit

try:
    controls(networks, "image, perceptron", train, train, modalities=["image"], training=training)  # fmt: skip
except ValueError as error:
    say(f"> {error}")

# %% [markdown]
# If the number of steps has to be chosen, choose it on the validation set, which is what it is for; and print the number on
# the test set that comes of it, whatever it is.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and were run with the page.
#
# ```{exercise} Turn down the confidence (code)
# :label: unimodal-temperature
#
# Write the tempered probabilities $p_T \propto p^{1/T}$. The probabilities are of shape (N, K), their rows sum to one, and so must
# those of the answer. Some probabilities are tiny, but none is zero.
# ```

# %% tags=["stub:tempered"]
from mmlab.exercises.unimodal import check_tempered


def tempered(probabilities, temperature):
    return ...


check_tempered(tempered)

# %% [markdown]
# ```{solution-start} unimodal-temperature
# :class: dropdown
# ```


# %% tags=["solution:tempered"]
def tempered(probabilities, temperature):
    return (probabilities.log() / temperature).softmax(1)


check_tempered(tempered)

# %% tags=["hide-input"]
sharp = torch.tensor([[0.7, 0.2, 0.1]])
say(
    "Dividing the logarithms by $T$ and taking the softmax does both: the power, and the sum of one. "
    f"(0.7, 0.2, 0.1) becomes ({', '.join(f'{v:.2f}' for v in tempered(sharp, 0.5)[0])}) at "
    f"$T = 0.5$ and ({', '.join(f'{v:.2f}' for v in tempered(sharp, 2.0)[0])}) at $T = 2$."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Twenty coins (compute)
# :label: unimodal-coins
#
# Twenty checkpoints know nothing: on each of 100 test items each of them is right with probability one half, independently. What
# accuracy does the best of the twenty have, on average? And what accuracy will it have on new items? Give both to within one point.
# ```

# %% tags=["stub:coins"]
from mmlab.exercises.unimodal import check_coins

best_on_test = ...
on_new_items = ...

check_coins((best_on_test, on_new_items))

# %% [markdown]
# ```{solution-start} unimodal-coins
# :class: dropdown
# ```

# %% tags=["solution:coins"]
tosses = (
    torch.rand(1000, 20, 100, generator=generator()) < 0.5
)  # worlds, checkpoints, items
accuracies = tosses.float().mean(2)
best_on_test = accuracies.amax(1).mean()
on_new_items = 0.5

check_coins((best_on_test, on_new_items))

# %% tags=["hide-input"]
bound = 0.5 + math.sqrt(0.25 / 100) * math.sqrt(2 * math.log(20))
say(
    f"The luckiest of twenty coins is right on {best_on_test:.1%} of the test items. "
    f"The rule of thumb says {bound:.1%}; for so few checkpoints it is a bound, and not tight."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Three witnesses (compute)
# :label: unimodal-witnesses
#
# The class is a fair coin. Three witnesses name it; given the class they err independently, and are right with probability 0.8, 0.7 and 0.7.
# What is the best possible accuracy (a) with the first two witnesses, (b) with all three? Compare with the best single one.
# ```

# %% tags=["stub:witnesses"]
from mmlab.exercises.unimodal import check_witnesses

of_two = ...
of_three = ...

check_witnesses((of_two, of_three))

# %% [markdown]
# ```{solution-start} unimodal-witnesses
# :class: dropdown
# ```


# %% tags=["solution:witnesses"]
def best(*reliabilities):
    """Sum over all testimonies of the larger of the two joint probabilities."""
    total = 0.0
    for said in torch.cartesian_prod(*[torch.tensor([0, 1])] * len(reliabilities)):
        if_one = 0.5 * math.prod(
            p if word else 1 - p
            for p, word in zip(reliabilities, said, strict=True)
        )
        if_zero = 0.5 * math.prod(
            1 - p if word else p
            for p, word in zip(reliabilities, said, strict=True)
        )
        total += max(if_one, if_zero)
    return total


of_two = best(0.8, 0.7)
of_three = best(0.8, 0.7, 0.7)

check_witnesses((of_two, of_three))

# %% [markdown]
# Whatever the second witness says, his log-odds are smaller than those of the first, so he never changes the verdict. He does change how sure it is: the log loss
# falls, the accuracy does not. With the third, two can outvote one.
#
# ```{solution-end}
# ```
#
# ```{exercise} Poor network or poor modality? (think)
# :label: unimodal-ceiling
#
# A network is right on few of the spectrograms at low SNR. How could you find out whether the sound says no more, or the network
# does not hear it? Name two experiments, and say what each can and cannot show.
# ```
#
# ```{solution-start} unimodal-ceiling
# :class: dropdown
# ```

# %%
same_rate = compared.chosen["audio, perceptron"]
wider = [score(trained("audio", train, seed, width=128, **same_rate), held_out) for seed in range(seeds)]  # fmt: skip
on_training = [score(m, train) for m in learned["audio", sizes[-1]]]

# %% tags=["hide-input"]
say(
    f"*A larger network.* Twice the width, at the same rate, gives {torch.tensor(wider).mean():.3f} instead of {learning['audio', sizes[-1]].mean():.3f}. A clearly higher number would put the "
    "blame on the small one; an equal one shows nothing, since both may share a weakness. *The learning curve and the training set.* The small network is right on "
    f"{torch.tensor(on_training).mean():.1%} of its training items. Where that is above the test accuracy, the network has learnt what does not carry over, and more data *or* more regularisation are worth a try; a flat end of "
    "the learning curve would say that more data alone changes nothing for *this* network. Neither gives the Bayes rate: only a world whose law is known does."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A classifier always gives the class shares of the training set as its probabilities. What are its accuracy, and its calibration error?
# Its accuracy is the share of the most frequent class, and its calibration error is about zero: it is right exactly as often as it says. Calibration alone
# says nothing about use; print both.
# ```
#
# ```{dropdown} Why does temperature scaling not change the accuracy, and could it change the accuracy of a fused answer?
# It keeps the order of the classes within one answer. But a product of two answers weighs them by how sure they are: tempering one of them changes the weights, and so may
# change which class is the most probable.
# ```
#
# ```{dropdown} The epoch was chosen on the validation set. Is the accuracy on the validation set an honest number?
# No, for the reason of this chapter: it is the largest of many. Only a set that took no part in any choice gives an honest one.
# ```
#
# ## In five lines
#
# - Hold a fusion against the higher single modality, and then against a tuned line on both.
# - Cross-entropy is entropy plus a divergence: it asks for probabilities. The Bayes rate is the ceiling of a modality.
# - Tune baselines on validation items, rates and penalties, and say how many values each row tried.
# - A temperature keeps the accuracy and changes the confidence. Print both.
# - A checkpoint that was chosen on the test set prints more than it has; choose on validation items.
#
# ## Limits, and what to read next
#
# - The digits of the offline set are small, and its speakers are synthetic. Relations between numbers carry over, the numbers do not. With `origin="real"` the
#   chapter runs on MNIST and free recordings, if you have prepared them.
# - The perceptron is small because the chapter must be cheap. `encoder="lenet"` is the encoder of MultiBench {cite}`liang2021multibench`, with group in place of
#   batch normalisation.
# - Deviations over seeds say what another run on the *same* items would give. Other test items would move all numbers besides.
#
# Next: [seven ways to put two modalities together](late_fusion.ipynb). Read {cite:t}`wang2020blending` for why two modalities can be worse than one, and
# {cite:t}`guo2017calibration` for calibration.

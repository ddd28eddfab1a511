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
# # I2M2: what each modality says, and what only the pair says
#
# **Two modalities can tell about a label in two ways. Which model fits which way, and is there one that fits both?**
#
# You see a smudged digit and hear somebody say its name in a noisy room. Either tells something on its own, and together they tell
# more: the label is *in* each modality. Now you see a picture and read "there are two black blocks on the left". Is it
# true? The picture alone cannot say, and neither can the sentence. The label is in how the two *belong together*.
#
# Most fusion networks are built for one of the two cases and are used for both. I2M2 {cite}`madaan2024i2m2` writes one
# generative model that has both cases as its ends, and derives from it what to do: multiply the answers of one classifier
# per modality and of a joint one, and train the product. This chapter derives it, turns the dial between the two ends in a
# world whose best possible accuracy is known, and then asks on pictures and sounds of digits how it stands beside baselines that
# trained for as many steps, each at a learning rate that the same search chose.
#
# **After this chapter you can**
#
# - read a graph with a selection variable, and derive a product of experts from it;
# - say what each reading of the model assumes, and find the world in which that is false;
# - correct a product for unbalanced classes, and for absent modalities;
# - compare a product with its frozen parts, an ensemble and longer training.
#
# You need Bayes' rule, softmax and PyTorch. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = (
    None  # of each part, and again of the product; the baselines get four times as many
)
dial_steps: int = 240
items: int | None = None  # digits to train on

# %% tags=["hide-input"]
import copy
from functools import cache, partial

import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch.nn.functional import avg_pool2d

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.methods.i2m2 import I2M2, posterior
from mmlab.methods.late_fusion import LateFusion
from mmlab.methods.unimodal import Unimodal
from mmlab.metrics.classification import (
    accuracy,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, use_theme

use_theme()
large = profile == "gpu"
steps = steps or {"cpu": 64, "gpu": 1200}[profile]
items = items or {"cpu": 2000, "gpu": 6000}[profile]


def deviation_of(groups):
    """Standard deviation over seeds, zero for a single one."""
    return groups.std(ddof=min(1, seeds - 1))


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


# %% [markdown]
# ## The idea in one picture
#
# Let the label $y$ be the cause. It shapes each modality, $x$ and $x'$. And it shapes a third thing: whether $x$ and $x'$
# may occur *together*. Write $v$ for that, a switch that depends on both modalities and on the label. We only ever see pairs
# that did occur, so $v = 1$ in all data. Such a variable is called a *selection variable*: it is always observed, always 1,
# and by being observed it makes its causes depend on each other.

# %% tags=["hide-input"]
# Code of the figure: three graphs
PLACES = {"y": (0.5, 0.85), "x": (0.15, 0.45), "x′": (0.85, 0.45), "v": (0.5, 0.12)}
GRAPHS = {
    "intra-modality only": ["y x", "y x′"],
    "inter-modality only": ["y v", "x v", "x′ v"],
    "both: I2M2": ["y x", "y x′", "y v", "x v", "x′ v"],
}


def draw_graph(axes, title, arrows):
    for name, (across, up) in PLACES.items():
        if name == "v" and not any(arrow.endswith("v") for arrow in arrows):
            continue
        seen = "0.8" if name != "y" else "white"
        axes.add_patch(
            Circle((across, up), 0.11, facecolor=seen, edgecolor="black")
        )
        axes.text(
            across, up, "v=1" if name == "v" else name, ha="center", va="center"
        )
    for start, end in (arrow.split() for arrow in arrows):
        style = {
            "arrowstyle": "-|>",
            "color": COLOURS[0],
            "shrinkA": 13,
            "shrinkB": 13,
        }
        axes.annotate("", PLACES[end], PLACES[start], arrowprops=style)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title(title.replace(" ", "\n", 1))
    axes.axis("off")


figure = Figure(figsize=(5.6, 2.5), layout="constrained")
for axes, (title, arrows) in zip(
    figure.subplots(1, 3), GRAPHS.items(), strict=True
):
    draw_graph(axes, title, arrows)
show(
    figure,
    alt=(
        "Three directed graphs over the label y, the modalities x and x prime, and the selection variable v. Left: arrows "
        "from y to x and to x prime. Middle: arrows from y, x and x prime to v. Right: all five arrows."
    ),
    caption=(
        "What is shaded is observed. **Left:** the label shapes each modality. **Middle:** it shapes only whether the two go "
        "together. **Right:** both. I2M2 is the model on the right; the others are what remains when arrows are dropped."
    ),
    label="graphs",
)

# %% [markdown]
# ## From the graph to a product
#
# Read the right-hand graph of [](#figure-graphs). The joint probability is the product of each node given its parents, and we want $y$ given all
# the rest:
#
# $$p(y \mid x, x', v{=}1) \;\propto\; p(y)\; p(x \mid y)\; p(x' \mid y)\; p(v{=}1 \mid x, x', y). \tag{1}$$
#
# Densities of images are hard, classifiers are easy. By Bayes' rule $p(x \mid y) = q_x(y)\,p(x) / p(y)$ with the classifier
# $q_x(y) = p(y \mid x)$, and $p(x)$ does not depend on $y$. The same for $x'$. For the last factor take a classifier
# that sees both, $q_v(y) \propto p(y)\,p(v{=}1 \mid x, x', y)$: it is what remains of (1) in the middle graph. Each of these
# classifiers is an *expert* $e$, each one is the prior times one factor of (1), and so
#
# $$\log p(y \mid x, x', v{=}1) = \log p(y) + \sum_{e} \big[\log q_e(y) - \log p(y)\big] - \log Z. \tag{2}$$
#
# $Z$ makes it sum to one. In words: start from the prior, and let every expert add what it knows *beyond* the prior. With $E$
# experts, the prior is divided out $E - 1$ times. The published code leaves the prior out. For balanced classes it is a constant
# and cancels; for others what it does is measured below.
#
# This is a product of experts {cite}`hinton2002experts`. An expert that knows nothing beyond the prior changes nothing, and
# each can veto. Training maximises the probability of the right class under the product:
#
# $$\mathcal L = -\frac1N \sum_{i=1}^N \log p(y_i \mid x_i, x'_i, v{=}1). \tag{3}$$

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "sound": Box(0, 0, "sound x"),
    "image": Box(0, 2, "image x′"),
    "e1": Box(1, 0, "expert\nof the sound", "trained"),
    "ev": Box(1, 1, "joint expert", "trained"),
    "e2": Box(1, 2, "expert\nof the image", "trained"),
    "prior": Box(2, 0, "prior p(y)"),
    "product": Box(2, 1, "product (2)", "changed"),
    "loss": Box(3, 1, "loss (3)", "loss"),
}
arrows = [
    Arrow("sound", "e1"), Arrow("sound", "ev"), Arrow("image", "ev"), Arrow("image", "e2"),
    *(Arrow(expert, "product") for expert in ("e1", "ev", "e2")),
    Arrow("prior", "product"), Arrow("product", "loss"),
]  # fmt: skip
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: the sound goes to an expert of the sound, the image to an expert of the image, and both to a joint expert. What the three say, "
        "and the prior, are multiplied; the product has the loss."
    ),
    caption="What goes where in I2M2. Blue is trained. There is one loss, on the product: no expert has one of its own.",
)

# %% [markdown]
# Let $l_e$ be the logits of an expert. Constants cancel in (2), so the product's own logits are simply the sum of all $l_e$, minus
# a multiple of $\log p(y)$. Hence the gradient with respect to logit $k$ is the same for *every* expert: $p_k - \mathbb 1[y=k]$, the error
# of the whole. Once the product is sure of an item's class, no expert is pushed further, whatever it knows itself. That is the
# difference to training each alone. A classifier of $x$ trained alone on pairs with $v = 1$ learns $p(y \mid x, v{=}1)$. In that, a part
# of the interaction is already counted, averaged over $x'$. Multiplying such classifiers counts it again; an exercise shows by how
# much. Training the product has no such term.
#
# ### Four readings of one formula
#
# | experts | name | what it assumes |
# | --- | --- | --- |
# | `("image",)` | unimodal | the other modality says nothing more |
# | `("audio", "image")` | intra-modality | given the label, modalities are independent |
# | `("joint",)` | inter-modality: ordinary fusion | nothing, and learns everything from pairs |
# | `("audio", "image", "joint")` | I2M2 | nothing, but has a place for each kind |
#
# In {py:class}`~mmlab.methods.i2m2.I2M2` that is one argument. Here is the whole model by hand, and a check that the package
# does the same.


# %%
def by_hand(method, batch):
    """Sum of the experts' log-softmaxes, normalised: equation (2) for balanced classes."""
    total = 0
    for name, expert in method.experts.items():
        seen = sorted(method.shapes) if name == "joint" else [name]
        total = total + expert(*(batch[key] for key in seen)).log_softmax(-1)
    return total.log_softmax(-1)


toy = {"audio": torch.randn(5, 6), "image": torch.randn(5, 1, 4, 4)}
shapes = {"audio": (6,), "image": (1, 4, 4)}
for experts in [("image",), ("audio", "image"), ("joint",), None]:
    method = I2M2(shapes, 3, experts)
    assert torch.allclose(
        by_hand(method, toy), method.log_probabilities(toy), atol=1e-6
    )
two = torch.tensor([[[0.8, 0.2], [0.8, 0.2]]])
product = posterior(two.log(), torch.tensor([0.5, 0.5])).exp()[0, 0]
say(
    "All four agree. And this is why one multiplies: two experts that each give 80 % to the same class, for independent "
    f"reasons, give it {product:.0%} together. Their mean would still say {two[0, :, 0].mean():.0%}."
)

# %% [markdown]
# One thing is easily overlooked. A *linear* classifier on concatenated features is $W_x f(x) + W_{x'} f(x')$: a sum of one function per
# modality, and so a product of unimodal experts by another name. It cannot say "these two belong together". The joint expert
# needs a hidden layer *after* the features meet. Ours has one.
#
# ## The dial
#
# Does each reading do what its graph says? In the next world ({py:func}`~mmlab.data.worlds.dependency_world.dependency_world`) the
# two kinds of dependency are set by hand. Feature 0 of each modality is shifted by $a$ towards the label: *intra*. The signs
# of feature 1 agree across modalities with probability $q$ if $y = 1$, and with $1 - q$ if $y = 0$: *inter*; each sign alone is a
# fair coin. The rest is noise. Everything is Gaussian or a coin, so the best possible accuracy, the Bayes rate, is known exactly.
#
# Nine settings, three readings and several seeds are many small networks. Those that share a reading have the same shape and are
# trained side by side ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`), which gives what training each alone would.

# %%
STRENGTHS, INTERACTIONS = (0.0, 0.6, 0.8), (0.5, 0.85, 0.95)
READINGS = {
    "intra": ("x1", "x2"),
    "inter": ("joint",),
    "I2M2": ("x1", "x2", "joint"),
}
worlds = {
    (a, q, seed): dependency_world(6000, 4, a, q, seed=seed)
    for a in STRENGTHS
    for q in INTERACTIONS
    for seed in range(seeds)
}
fitted = [world.pairs.subset(range(4000)) for world in worlds.values()]
held = [world.pairs.subset(range(4000, 6000)).tensors for world in worlds.values()]


def train_all(experts):
    """Test accuracy of one reading in each of the worlds."""
    methods = [
        I2M2.seeded(seed, {"x1": (4,), "x2": (4,)}, 2, experts, width=16)
        for *_, seed in worlds
    ]
    fit_side_by_side(
        methods, fitted, steps=dial_steps, batch_size=128, lr=2e-2, schedule="cosine",
        weight_decay=1e-2, log_every=dial_steps, progress=False,
    )  # fmt: skip
    pairs = zip(methods, held, strict=True)
    return [100 * accuracy(method.predict(x), x["label"]) for method, x in pairs]


dial = pd.DataFrame(
    {name: train_all(experts) for name, experts in READINGS.items()},
    index=pd.MultiIndex.from_tuples(worlds, names=["a", "q", "seed"]),
)
dial["Bayes rate"] = [100 * world.bayes_rate for world in worlds.values()]

# %% tags=["hide-input"]
# Code of the widget: the dial


def draw_dial(a, q):
    here = dial.loc[a, q]
    runs = here[list(READINGS)].melt(
        var_name="reading", value_name="test accuracy, %"
    )
    figure = Figure(figsize=(5.6, 2.4), layout="constrained")
    axes = figure.subplots()
    sns.barplot(
        runs, x="test accuracy, %", y="reading", hue="reading", errorbar=None, alpha=0.5,
        ax=axes,
    )  # fmt: skip
    sns.stripplot(
        runs,
        x="test accuracy, %",
        y="reading",
        color=COLOURS[6],
        jitter=False,
        ax=axes,
    )
    bayes = here["Bayes rate"].mean()
    axes.axvline(bayes, color=COLOURS[6], ls="--")
    axes.set(xlim=(40, 100), ylabel="", title=f"Bayes rate {bayes:.1f} %, dashed")
    return figure


def describe_dial(a, q):
    here = dial.loc[a, q].mean()
    said = ", ".join(f"{name} {here[name]:.1f} %" for name in READINGS)
    return f"Bars of test accuracy: {said}; the Bayes rate is {here['Bayes rate']:.1f} %."


frames(
    {"intra a": list(STRENGTHS), "inter q": list(INTERACTIONS)},
    draw_dial,
    describe_dial,
    caption=(
        f"Turn both knobs. Bars are means over {seeds} seeds, dots the seeds. With $q = 0.5$ there is no interaction, and with $a = 0$ nothing in either modality alone. "
        "In between, watch the distances to the dashed line."
    ),
    start={"intra a": 0.6, "inter q": 0.85},
    label="dial",
)

# %% tags=["hide-input"]
ENDS = {
    "intra only": (0.8, 0.5),
    "inter only": (0.0, 0.95),
    "both": (0.6, 0.85),
    "both, strong": (0.8, 0.95),
}
chosen = {name: dial.loc[setting] for name, setting in ENDS.items()}
means = pd.DataFrame({name: part.mean() for name, part in chosen.items()}).T
table(
    means,
    f"The dial: test accuracy in %, mean ± standard deviation over {seeds} seeds.",
    spread=pd.DataFrame(
        {name: deviation_of(part) for name, part in chosen.items()}
    ).T,
    digits=1,
)


def on_dial(setting):
    short = slug(setting)
    part = chosen[setting]
    rival = part[["intra", "inter"]].mean().idxmax()
    return claimed(
        f"dial-{short}",
        part["I2M2"].to_numpy(),
        part[rival].to_numpy(),
        direction="higher",
        unit="points",
        margin=2.0,
        better=f"*{setting}*: I2M2 is ahead of the better of the two, *{rival}*: {{ours:.1f}} against {{theirs:.1f}}.",
        worse=f"*{setting}*: the better of the two, *{rival}*, is ahead of I2M2: {{theirs:.1f}} against {{ours:.1f}}.",
        equivalent=f"*{setting}*: I2M2 ({{ours:.1f}}) is within two points of the better of the two, *{rival}* ({{theirs:.1f}}).",
        undecided=f"*{setting}*: I2M2 ({{ours:.1f}}) and the better of the two, *{rival}* ({{theirs:.1f}}), cannot be told apart.",
    )


say("\n".join(f"- {on_dial(setting)}" for setting in ENDS))
claim(
    "inter-only-training-in-the-middle",
    chosen["both"]["inter"].to_numpy(),
    chosen["both"]["intra"].to_numpy(),
    direction="higher",
    better="With *both* at middling strength, inter-modality training is ahead of the intra product: {ours:.1f} against {theirs:.1f}.",
    worse="With *both* at middling strength, inter-modality training, which can represent everything there, ends below the intra product: {ours:.1f} against {theirs:.1f}.",
    undecided="With *both* at middling strength, inter-modality training ({ours:.1f}), which can represent everything there, cannot be told from the intra product ({theirs:.1f}).",
)
record(dial={name: row.to_dict() for name, row in means.iterrows()})

# %% [markdown]
# A way to read the middle: the easy evidence explains most labels first, the error shrinks, and little is left to drive the search
# for the sign rule, which is an exclusive-or. The dots of the widget show in how many seeds each reading found it. I2M2 has about
# twice the parameters of the others, and all share one learning rate, so this comparison alone does not say why it differs where it does. What the paper may claim
# from [](#figure-dial) is *robustness*: to be near the higher of the two at both ends, without having to know which end it is.
#
# ## Pictures and sounds of digits
#
# AV-MNIST {cite}`vielzeuf2018centralnet,liang2021multibench` pairs MNIST images with most of their energy removed with spoken digits
# in noise. The script that made it is not public, so this book rebuilds it from free parts, under another name
# ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`). Takes of a speaker are disjoint between training and test. On this page
# the images are scikit-learn's and the speaker is synthetic; with `profile="gpu"` and `MMLAB_DATA` they are MNIST and real
# recordings, and the {doc}`measurements <../book/measured>` use those.
#
# Notice how the pairs are made: given the digit, image and sound are drawn *independently*. That is the left-hand graph of [](#figure-graphs). So
# the intra-modality product is not just a good model here, it is the *true* one, and this holds for the original AV-MNIST as well.
# Nothing on this data says anything about interactions.
#
# **The budget.** Tuned I2M2 trains three parts and then the product, each for as many steps: four times as many in all. So every
# baseline gets four times the steps, too, and everybody chooses the learning rate from the same few on the validation pairs of the first seed; a part takes the
# rate of the same network at full length. *ECE* is
# the expected calibration error {cite}`guo2017calibration`, the mean gap between how sure an answer is and how often it is right.


# %%
RATES = (4e-4, 2e-3, 8e-3, 3e-2)
INTRA = ("audio", "image")
APART = "product of image and audio"  # of the two that trained alone to the end
COOLED = "tempered product of image and audio"


def trained(method, data, steps, seed, lr):
    fit(
        method, data, steps=steps, batch_size=128, lr=lr, weight_decay=0.1, schedule="cosine", seed=seed, log_every=steps,
        progress=False,
    )  # fmt: skip
    return method


@cache
def digits(snr, seed):
    """Pairs with sides halved by averaging, which makes everything below four times cheaper."""
    sizes = {} if large else {"validation": 1000, "test": 1000}
    splits = av_mnist_mini(
        snr=snr,
        seed=seed,
        origin="auto" if large else "synthetic",
        train=items,
        **sizes,
    )
    parts = (splits.train, splits.validation, splits.test)
    return [
        TensorData(
            {
                k: v if k == "label" else avg_pool2d(v, 2)
                for k, v in part.tensors.items()
            }
        )
        for part in parts
    ]


for seed in range(seeds):
    for snr in (
        -12.0,
        0.0,
    ):  # at both, so that the speakers of a seed are made once
        digits(snr, seed)
shapes = {key: tuple(digits(-12.0, 0)[0].tensors[key].shape[1:]) for key in INTRA}


def build(kind, seed):
    """An untrained network of a kind, with the weights of a seed."""
    if kind in INTRA:
        return Unimodal.seeded(seed, kind, shapes[kind], width=32)
    if kind == "concatenation":
        return LateFusion.seeded(seed, shapes, width=32)
    return I2M2.seeded(
        seed, shapes, experts=INTRA if kind == "intra product" else None, width=32
    )


@cache
def alone(kind, snr, seed, length, lr):
    """One network trained by itself; the image's does not hear the noise, so one will do for all levels."""
    if kind == "image" and snr != -12.0:
        return alone(kind, -12.0, seed, length, lr)
    start = 10 * seed if kind == "concatenation" else seed
    return trained(build(kind, start), digits(snr, seed)[0], length, seed, lr)


def best_rate(train_at):
    """The learning rate with the highest accuracy on the validation pairs of the first seed."""
    validation = digits(-12.0, 0)[1].tensors
    found = {
        rate: accuracy(train_at(rate).predict(validation), validation["label"])
        for rate in RATES
    }
    return max(found, key=found.get)


rate = {
    kind: best_rate(partial(alone, kind, -12.0, 0, 4 * steps))
    for kind in (*INTRA, "concatenation", "I2M2")
}


def parts_of(snr, seed):
    """The three parts that products start from, each trained by itself."""
    parts = {name: alone(name, snr, seed, steps, rate[name]) for name in INTRA}
    joint = alone("concatenation", snr, seed, steps, rate["concatenation"])
    return parts | {"joint": joint}


def product_of(parts, intra_only):
    chosen = {
        name: part
        for name, part in parts.items()
        if name in INTRA or not intra_only
    }
    return build("intra product" if intra_only else "I2M2", 0).warm_start(chosen)


@torch.no_grad()
def tempered(product, pairs):
    """A copy whose experts' logits are divided by the temperature that suits each best on some pairs."""
    made = copy.deepcopy(product)
    for name, expert in made.experts.items():
        said = expert(pairs[name]).softmax(-1)
        temperature = fit_temperature(said, pairs["label"])
        for parameter in expert.answer[-1].parameters():
            parameter /= temperature
    return made


@cache
def tuned(kind, snr, seed, lr):
    """A product that starts from trained parts and goes on together."""
    product = product_of(parts_of(snr, seed), kind == "intra product")
    return trained(product, digits(snr, seed)[0], steps, seed, lr)


for kind in ("intra product", "I2M2"):
    rate[f"{kind}, tuned"] = best_rate(partial(tuned, kind, -12.0, 0))


def compete(snr, seed, ensemble=3):
    """Trained methods by name, and the test pairs; a single concatenation leaves out what only the main table shows."""
    data, validation, test = digits(snr, seed)
    made = {name: alone(name, snr, seed, 4 * steps, rate[name]) for name in INTRA}
    made[APART] = product_of(made, intra_only=True)
    made[COOLED] = tempered(made[APART], validation.tensors)
    made["concatenation 0"] = alone(
        "concatenation", snr, seed, 4 * steps, rate["concatenation"]
    )
    for number in range(1, ensemble):
        late = build("concatenation", 10 * seed + number)
        made[f"concatenation {number}"] = trained(
            late, data, 4 * steps, 10 * seed + number, rate["concatenation"]
        )
    for name in ("I2M2", "intra product") if ensemble > 1 else ("I2M2",):
        parts = parts_of(snr, seed)
        made[f"{name}, frozen"] = product_of(parts, name == "intra product")
        made[f"{name}, tuned"] = tuned(name, snr, seed, rate[f"{name}, tuned"])
    if ensemble > 1:
        made["I2M2, from scratch"] = alone(
            "I2M2", snr, seed, 4 * steps, rate["I2M2"]
        )
    return made, test.tensors


def answers(made, batch):
    """Probabilities by method, with the rows that are made of several."""
    said = {name: method.predict(batch) for name, method in made.items()}
    members = [name for name in said if name.startswith("concatenation ")]
    several = torch.stack([said.pop(name) for name in members])
    said["concatenation"] = several[0]
    said["3 concatenations"] = several.mean(0)
    said["mean of image and audio"] = (said["image"] + said["audio"]) / 2
    said["chance"] = torch.full_like(said["image"], 0.1)
    return said


main = [compete(-12.0, seed) for seed in range(seeds)]
rows = [
    {
        "method": name,
        "seed": seed,
        "accuracy": 100 * accuracy(p, test["label"]),
        "ECE": 100 * expected_calibration_error(p, test["label"]),
    }
    for seed, (made, test) in enumerate(main)
    for name, p in answers(made, test).items()
]
scores = pd.DataFrame(rows).set_index(["method", "seed"])

# %% tags=["hide-input"]
test = main[0][1]
picked = [int((test["label"] == digit).nonzero()[0]) for digit in (0, 2, 3, 7, 9)]
figure = Figure(figsize=(5.6, 2.9), layout="constrained")
panels = figure.subplots(2, len(picked))
for column, item in enumerate(picked):
    panels[0, column].imshow(test["image"][item, 0], cmap="gray")
    panels[0, column].set_title(int(test["label"][item]))
    panels[1, column].imshow(test["audio"][item, 0], origin="lower", aspect="auto")
    panels[0, column].axis("off")
    panels[1, column].set(xticks=[], yticks=[])
panels[1, 0].set(xlabel="time", ylabel="frequency")
show(
    figure,
    alt=(
        "Five test pairs. The upper row has blurred digits of which only the coarse shape is left; the lower row has "
        "spectrograms of spoken digits with mostly noise in them."
    ),
    caption=(
        "Test pairs at −12 dB: what PCA left of the images, and log-spectrograms of the spoken digits. Neither is easy."
    ),
)
order = [
    "chance", "image", "audio", "mean of image and audio", APART, COOLED, "concatenation", "3 concatenations", "intra product, frozen",
    "I2M2, frozen", "intra product, tuned", "I2M2, tuned", "I2M2, from scratch",
]  # fmt: skip
average = scores.groupby("method").mean().loc[order]
passes = dict.fromkeys(order, 4 * steps) | {
    "chance": 0,
    "mean of image and audio": 8 * steps,
    APART: 8 * steps,
    COOLED: 8 * steps,
    "3 concatenations": 12 * steps,
}
passes |= {
    "intra product, frozen": 2 * steps,
    "I2M2, frozen": 3 * steps,
    "intra product, tuned": 3 * steps,
}
counts = {
    name: sum(p.numel() for p in made.parameters())
    for name, made in main[0][0].items()
}
counts["concatenation"] = counts["concatenation 0"]
counts["3 concatenations"] = 3 * counts["concatenation 0"]
counts["mean of image and audio"] = counts["image"] + counts["audio"]
tries = {"tuned": ("lr",), "tries": len(RATES)}
edges = [name for name, value in rate.items() if value in (RATES[0], RATES[-1])]
budgets = Budgets(
    "I2M2, tuned",
    {
        name: Spent(passes[name], counts[name], **tries)
        for name in order
        if name != "chance"
    }
    | {
        COOLED: Spent(
            passes[COOLED], counts[COOLED], ("lr", "temperature"), len(RATES)
        )
    },
)
average["steps"] = pd.Series(passes)
average["parameters"] = pd.Series(counts).reindex(order).astype("Int64")
table(
    average,
    f"Test pairs at −12 dB, %: mean ± standard deviation over {seeds} seeds. A seed changes data, weights and order. *Steps* are those of all parts together. Learning rates were chosen on validation pairs: "
    + ", ".join(f"{name} {value:g}" for name, value in rate.items())
    + f". At an end of what was tried: {', '.join(edges) or 'none'}.",
    spread=deviation_of(scores.groupby("method"))
    .loc[order]
    .assign(steps=float("nan"), parameters=float("nan")),
    best={"accuracy": "higher", "ECE": "lower"},
    reference=["chance"],
    digits=1,
    paired=scores.loc[order],
    budgets=budgets,
)


# %% tags=["hide-input"]
def versus(
    name, ours, theirs, better, worse, metric="accuracy", direction="higher"
):
    return claimed(
        f"digits-{name}",
        scores.loc[ours][metric],
        scores.loc[theirs][metric],
        direction=direction,
        unit="points",
        better=f"{better}: {{ours:.1f}} against {{theirs:.1f}}.",
        worse=f"{worse}: {{ours:.1f}} against {{theirs:.1f}}.",
        undecided=f"*{ours}* ({{ours:.1f}}) and *{theirs}* ({{theirs:.1f}}) cannot be told apart.",
    )


say(
    "**What the table says.** Paired by seed.\n\n"
    + "\n".join(
        "- " + text
        for text in (
            versus(
                "i2m2-concatenation",
                "I2M2, tuned",
                "concatenation",
                "Tuned I2M2 is ahead of concatenation with as many steps",
                "Tuned I2M2 is behind concatenation with as many steps",
            ),
            versus(
                "i2m2-ensemble",
                "I2M2, tuned",
                "3 concatenations",
                "Tuned I2M2 is ahead of three concatenations averaged, which have more parameters and three times the steps",
                "Tuned I2M2 is behind three concatenations averaged, which have more parameters and three times the steps",
            ),
            versus(
                "i2m2-image",
                "I2M2, tuned",
                "image",
                "Tuned I2M2 is ahead of the image alone",
                "Tuned I2M2 is behind the image alone",
            ),
            versus(
                "i2m2-audio",
                "I2M2, tuned",
                "audio",
                "Tuned I2M2 is ahead of the sound alone",
                "Tuned I2M2 is behind the sound alone",
            ),
            versus(
                "i2m2-product",
                "I2M2, tuned",
                APART,
                "Tuned I2M2 is ahead of the product of the two classifiers that trained alone, each for as many steps as all parts of I2M2 together",
                "Tuned I2M2 is behind the product of the two classifiers that trained alone, each for as many steps as all parts of I2M2 together",
            ),
            versus(
                "i2m2-intra",
                "I2M2, tuned",
                "intra product, tuned",
                "The joint expert adds something to the tuned intra product",
                "The joint expert takes something from the tuned intra product",
            ),
            versus(
                "tuning-i2m2",
                "I2M2, tuned",
                "I2M2, frozen",
                "Tuning the product gains over multiplying the frozen parts",
                "Tuning the product *loses* against multiplying the frozen parts",
            ),
            versus(
                "scratch-i2m2",
                "I2M2, from scratch",
                "I2M2, tuned",
                "Training the product from scratch is ahead of tuning it",
                "Training the product from scratch is behind tuning it",
            ),
            versus(
                "frozen-i2m2-ensemble",
                "I2M2, frozen",
                "3 concatenations",
                "The frozen I2M2 is ahead of three concatenations",
                "The frozen I2M2 is behind three concatenations",
            ),
            versus(
                "i2m2-tempered-product",
                "I2M2, tuned",
                COOLED,
                "Tuned I2M2 is ahead of that product if each of the two was tempered first",
                "Tuned I2M2 is behind that product if each of the two was tempered first",
            ),
            versus(
                "i2m2-frozen-intra",
                "I2M2, tuned",
                "intra product, frozen",
                "Tuned I2M2 is ahead of the frozen intra product, which has half of its steps",
                "Tuned I2M2 is behind the frozen intra product, which has half of its steps",
            ),
            versus(
                "product-mean",
                APART,
                "mean of image and audio",
                "The same two classifiers: their product is ahead of their mean",
                "The same two classifiers: their product is behind their mean",
            ),
            versus(
                "product-frozen",
                APART,
                "intra product, frozen",
                "Four times the steps help the product of two that trained alone",
                "Four times the steps harm the product of two that trained alone",
            ),
            versus(
                "tempered-product",
                COOLED,
                APART,
                "Tempering each of the two raises their product",
                "Tempering each of the two lowers their product",
            ),
            versus(
                "calibration-of-i2m2",
                "I2M2, tuned",
                "concatenation",
                "In calibration error tuned I2M2 is below concatenation",
                "In calibration error tuned I2M2 is above concatenation",
                "ECE",
                "lower",
            ),
            versus(
                "calibration-of-i2m2-and-ensemble",
                "I2M2, tuned",
                "3 concatenations",
                "In calibration error tuned I2M2 is below three concatenations",
                "In calibration error tuned I2M2 is above three concatenations",
                "ECE",
                "lower",
            ),
            versus(
                "calibration-of-i2m2-and-product",
                "I2M2, tuned",
                COOLED,
                "In calibration error tuned I2M2 is below the tempered product of image and audio",
                "In calibration error tuned I2M2 is above the tempered product of image and audio",
                "ECE",
                "lower",
            ),
            versus(
                "calibration-of-i2m2-and-frozen-intra",
                "I2M2, tuned",
                "intra product, frozen",
                "In calibration error tuned I2M2 is below the frozen intra product",
                "In calibration error tuned I2M2 is above the frozen intra product",
                "ECE",
                "lower",
            ),
        )
    )
)
record(
    accuracy={
        name: scores.loc[row]["accuracy"].tolist()
        for name, row in {
            "I2M2": "I2M2, tuned",
            "late_fusion": "concatenation",
            "intra-modality": "intra product, tuned",
        }.items()
    },
    ensemble=scores.loc["3 concatenations"]["accuracy"].tolist(),
    budget=budgets.plain(),
)

# %% [markdown]
# A product multiplies what its experts say as if it were true, so an expert that is too sure of itself outvotes the other. Equation (2) asks for calibrated
# experts; the line on tempering {cite}`guo2017calibration` says what that is worth to classifiers that trained alone.
#
# A lead over a baseline can be a lead in *time*, in learning rate, or in the number of networks: the product starts out with the
# addition of evidence built in, and concatenation has to find it. So read the first two lines together with those on frozen
# products. Has a tuned product that chose the lowest rate left its frozen parts at all? See the line on tuning. On real digits and speech the {doc}`measurements <../book/measured>` have a table for short and for long training.
#
# ### With a clearer sound
#
# How does it depend on how good the sound is? The same at 0 dB, where speech is as strong as noise, at the learning rates that were chosen at −12 dB.

# %% tags=["hide-input"]
# Code of the table: 0 dB
SHOWN = [
    "image",
    "audio",
    "mean of image and audio",
    APART,
    COOLED,
    "concatenation",
    "I2M2, frozen",
    "I2M2, tuned",
]
clear = [compete(0.0, seed, ensemble=1) for seed in range(seeds)]
by_level = pd.DataFrame(
    [
        {
            "method": name,
            "seed": seed,
            "snr": f"{snr} dB",
            "accuracy": 100 * accuracy(p, test["label"]),
        }
        for snr, runs in (("−12", main), ("0", clear))
        for seed, (made, test) in enumerate(runs)
        for name, p in answers(made, test).items()
        if name in SHOWN
    ]
)
groups = by_level.groupby(["method", "snr"])["accuracy"]
table(
    groups.mean().unstack().loc[SHOWN],
    f"Test accuracy in % at two signal-to-noise ratios of the sound, mean ± standard deviation over {seeds} seeds.",
    spread=deviation_of(groups).unstack().loc[SHOWN],
    best={"−12 dB": "higher", "0 dB": "higher"},
    digits=1,
    paired=by_level.pivot(
        index=["method", "seed"], columns="snr", values="accuracy"
    ).loc[SHOWN],
)
at_zero = by_level[by_level["snr"] == "0 dB"].set_index(["method", "seed"])[
    "accuracy"
]
claim(
    "clear-sound-i2m2-concatenation",
    at_zero["I2M2, tuned"],
    at_zero["concatenation"],
    direction="higher",
    unit="points",
    better="At 0 dB tuned I2M2 is ahead of concatenation: {ours:.1f} against {theirs:.1f}.",
    worse="At 0 dB tuned I2M2 is behind concatenation: {ours:.1f} against {theirs:.1f}.",
    undecided="At 0 dB tuned I2M2 ({ours:.1f}) and concatenation ({theirs:.1f}) cannot be told apart.",
)

# %% [markdown]
# ## When something is missing, or noisy
#
# An absent modality takes its expert out of the sum in (2): what it would add is unknown, so it adds nothing. The joint expert needs
# all modalities and leaves as well. What remains is an ordinary classifier, and with nothing present the prior. It runs without
# retraining; how good it is then, the table says. What stands in the place of the absent tensor never matters (a test overwrites it with not-a-number). Concatenation gets
# zeros for the features of an absent modality, and a bit that says so, which it has never seen in training.
#
# Noise is another matter. An expert does not know that its input is broken. The product believes every expert as much as it
# believes itself, so a confidently wrong one can outvote a right one.

# %% tags=["hide-input"]
TRIED = [
    "image",
    APART,
    COOLED,
    "concatenation 0",
    "intra product, frozen",
    "I2M2, frozen",
    "intra product, tuned",
    "I2M2, tuned",
]


def disturbed(test, rng):
    absent = torch.zeros(len(test["label"]), dtype=torch.bool)
    noise = {
        key: test[key] + torch.randn(test[key].shape, generator=rng)
        for key in INTRA
    }
    return {
        "clean": test,
        "no sound": test | {"audio_present": absent},
        "no image": test | {"image_present": absent},
        "noisy sound": test | {"audio": noise["audio"]},
        "noisy image": test | {"image": noise["image"]},
    }


harm = pd.DataFrame(
    [
        {
            "method": name,
            "case": case,
            "accuracy": 100 * accuracy(made[name].predict(changed), test["label"]),
        }
        for seed, (made, test) in enumerate(main)
        for case, changed in disturbed(
            test, torch.Generator().manual_seed(seed)
        ).items()
        for name in TRIED
    ]
)
cases = list(disturbed(main[0][1], torch.Generator()))
groups = harm.groupby(["method", "case"])["accuracy"]
harmed = groups.mean().unstack().loc[TRIED, cases]
shown_as = {"concatenation 0": "concatenation"}
table(
    harmed.rename(index=shown_as),
    "Accuracy in % on whole and on damaged test pairs, mean ± standard deviation over seeds. Nobody was trained for the damage; "
    "noise has the deviation that the data had before their sides were halved.",
    spread=deviation_of(groups).unstack().loc[TRIED, cases].rename(index=shown_as),
    best=dict.fromkeys(cases, "higher"),
    digits=1,
    paired=harm.assign(seed=harm.groupby(["method", "case"]).cumcount())
    .pivot(index=["method", "seed"], columns="case", values="accuracy")
    .loc[TRIED]
    .rename(index=shown_as),
)
by_case = harm.assign(seed=harm.groupby(["method", "case"]).cumcount())
by_case = by_case.set_index(["case", "method", "seed"])["accuracy"].sort_index()


def damaged(name, case, ours, theirs, better, worse):
    return claimed(
        f"damaged-{name}",
        by_case[case, ours].to_numpy(),
        by_case[case, theirs].to_numpy(),
        direction="higher",
        unit="points",
        better=f"{better}: {{ours:.1f}} against {{theirs:.1f}}.",
        worse=f"{worse}: {{ours:.1f}} against {{theirs:.1f}}.",
        undecided=f"{case}, *{ours}* ({{ours:.1f}}) and *{shown_as.get(theirs, theirs)}* ({{theirs:.1f}}): undecided.",
    )


say(
    "\n".join(
        "- " + text
        for text in (
            damaged(
                "no-sound-concatenation",
                "no sound",
                "I2M2, tuned",
                "concatenation 0",
                "Without sound tuned I2M2 keeps more than concatenation",
                "Without sound tuned I2M2 keeps less than concatenation",
            ),
            damaged(
                "no-sound-frozen",
                "no sound",
                "I2M2, frozen",
                "I2M2, tuned",
                "Without sound the frozen product keeps more than the tuned one",
                "Without sound the frozen product keeps less than the tuned one",
            ),
            damaged(
                "no-sound-image",
                "no sound",
                "I2M2, tuned",
                "image",
                "Without sound tuned I2M2 is ahead of the image classifier that was trained alone",
                "Without sound tuned I2M2 is behind the image classifier that was trained alone",
            ),
            damaged(
                "noisy-sound",
                "noisy sound",
                "I2M2, tuned",
                "concatenation 0",
                "With a noisy sound tuned I2M2 keeps more than concatenation",
                "With a noisy sound tuned I2M2 keeps less than concatenation",
            ),
            damaged(
                "noisy-sound-product",
                "noisy sound",
                "I2M2, tuned",
                COOLED,
                "With a noisy sound tuned I2M2 keeps more than the tempered product of image and audio",
                "With a noisy sound tuned I2M2 keeps less than the tempered product of image and audio",
            ),
        )
    )
    + "\n\nAn expert that was tuned within the product need not stay as right by itself: its loss asks it to complete the others. How far it has moved here, the second line tells. A frozen product "
    "leaves the parts as they were, so without sound it is exactly its image expert, which had a quarter of the steps of the row *image*; the products of the two that trained alone are then "
    "exactly that row."
)
record(damaged=harmed.to_dict())

# %% [markdown]
# ## The prior that was left out
#
# The published product has no $p(y)$. Suppose that small digits are common and large ones rare. Each classifier has learned the
# prior, and by (2) multiplying two of them squares it: rare classes are punished twice. {py:meth}`~mmlab.methods.i2m2.I2M2.set_prior`
# divides it out again, as (2) demands, with the frequencies of the training labels.

# %%
results = []
for seed in range(seeds):
    data, _, test = digits(0.0, seed)
    test = test.tensors
    share = 0.7 ** torch.arange(10.0)  # how many of each digit are kept
    rng = torch.Generator().manual_seed(seed)

    def rare(tensors, share=share, rng=rng):
        label = tensors["label"]
        kept = torch.rand(len(label), generator=rng) < share[label]
        for digit in label.unique():  # none may be lost
            kept[(label == digit).nonzero()[0]] = True
        return TensorData({key: value[kept] for key, value in tensors.items()})

    common, tested = rare(data.tensors), rare(test).tensors
    parts = {
        name: trained(build(name, seed), common, steps, seed, rate[name])
        for name in INTRA
    }
    pair = build("intra product", 0).warm_start(parts)
    published = pair.predict(tested)
    corrected = pair.set_prior(common.tensors["label"]).predict(tested)
    for name, p in [
        ("as published", published),
        ("divided by the prior", corrected),
    ]:
        seldom = tested["label"] >= 5
        results.append({
            "product": name,
            "seed": seed,
            "accuracy": 100 * accuracy(p, tested["label"]),
            "accuracy, rarer half": 100 * accuracy(p[seldom], tested["label"][seldom]),
            "log loss": log_loss(p, tested["label"]),
        })  # fmt: skip
found = pd.DataFrame(results).set_index(["product", "seed"])
unbalanced = found.groupby("product")
table(
    unbalanced.mean(),
    f"The frozen intra product with unbalanced classes: mean ± standard deviation over {seeds} seeds.",
    spread=deviation_of(unbalanced),
    best={
        "accuracy": "higher",
        "accuracy, rarer half": "higher",
        "log loss": "lower",
    },
    digits={"accuracy": 1, "accuracy, rarer half": 1, "log loss": 3},
)

claim(
    "dividing-by-the-prior",
    found.loc["divided by the prior"]["log loss"],
    found.loc["as published"]["log loss"],
    direction="lower",
    better="Dividing by the prior lowers the log loss from {theirs:.3f} to {ours:.3f}.",
    worse="Dividing by the prior raises the log loss from {theirs:.3f} to {ours:.3f}.",
    undecided="What dividing by the prior does to the log loss ({theirs:.3f} before, {ours:.3f} after) is undecided.",
)
claim(
    "dividing-by-the-prior-rarer-half",
    found.loc["divided by the prior"]["accuracy, rarer half"],
    found.loc["as published"]["accuracy, rarer half"],
    direction="higher",
    unit="points",
    better="The rarer half gains from it: {theirs:.1f} before, {ours:.1f} after.",
    worse="The rarer half loses by it: {theirs:.1f} before, {ours:.1f} after.",
    undecided="Whether the rarer half gains from it is undecided: {theirs:.1f} before, {ours:.1f} after.",
)

# %% [markdown]
# Training through the product can learn the correction by itself, since a bias of any expert will do. The correction is for
# parts that were trained apart and are multiplied as they are.
#
# ## What went wrong in practice
#
# The released code teaches what to test. Each fault below is a test in this package.
#
# - **Trained as a product, tested as a mixture.** The script for the intra-modality baseline minimises the loss of the product, and
#   then reports the accuracy of the *mean* of the softmaxes. Here `loss` and `predict` share one method, `log_probabilities`.
# - **Factors that never train.** The low-rank fusion layer, copied through three libraries, keeps its factors in a Python list. PyTorch
#   does not find them there: most of the layer stays at its random start, and no checkpoint holds it. The test asks that a gradient
#   reaches every parameter, and that nothing but parameters shapes the answer.
# - **Scalars that nobody uses.** One classifier declares three mixing weights and never reads them. The same test finds that.
# - **The test set in the z-score.** One loader standardises with statistics of all rows. {py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`
#   takes mean, deviation and principal components from the training images.
# - **One mean for a whole spectrogram.** Noise has a spectrum, which is the same in every item. If all bins are standardised together,
#   that spectrum drowns the words, and a network learns the audio slowly; then a product that is tuned after its parts, and so trains for
#   longer, looks good. {doc}`Measured </book/measured>` has both ways, on real digits and speech.
# - **Weights on the loss of log-probabilities.** The question-answering variant feeds log-probabilities to a loss that expects the
#   logits of independent answers. Nothing crashes, and the meaning is lost.
#
# ### What is published
#
# The first three numbers are second-hand: they come from a list of results on a page about the paper, and were not compared with
# its tables. The last one is stored in a script of MultiBench {cite}`liang2021multibench`, for the same task as the row above it.
#
# | result | accuracy, % | how sure |
# | --- | --- | --- |
# | I2M2, AV-MNIST {cite}`madaan2024i2m2` | 72.38 | second-hand |
# | I2M2, NLVR2 test {cite}`madaan2024i2m2` | 85.36 | second-hand |
# | I2M2, MIMIC-III mortality {cite}`madaan2024i2m2` | 78.1 | second-hand |
# | late fusion, MIMIC-III mortality {cite}`liang2021multibench` | 78.36 | stored in MultiBench's robustness script |
#
# On mortality, plain late fusion stands *above* I2M2 in these numbers. The claim to test is one of robustness across tasks whose
# dependencies differ.
#
# Recipes for knee MRI and for pictures with sentences, on data that you must get yourself, are on the page
# {doc}`/book/how_to/fuse_modalities`.
#
# ## Exercises
#
# ```{exercise} Two tests for a rare disease (compute)
# :label: i2m2-two-tests
#
# One person in ten has a disease. After test A the probability is 0.5, and after test B, whose errors are independent of A's,
# it is 0.5 as well. What does the published product say of a person for whom both tests came out so, and what does (2) say?
# ```

# %% tags=["stub:two_tests"]
from mmlab.exercises.i2m2 import check_two_tests

published, corrected = ..., ...

check_two_tests((published, corrected))

# %% [markdown]
# ```{solution-start} i2m2-two-tests
# :class: dropdown
# ```
#
# Each test has raised the odds from 1 : 9 to 1 : 1, ninefold. Independent evidence multiplies odds.

# %% tags=["solution:two_tests"]
published = 0.5 * 0.5 / (0.5 * 0.5 + 0.5 * 0.5)
odds = 1 / 9 * 9 * 9
corrected = odds / (1 + odds)

check_two_tests((published, corrected))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The product, with experts that may be absent (code)
# :label: i2m2-product
#
# Write (2): from logits of shape (B, E, K), presence of shape (B, E) and a prior of shape (K,) to log-probabilities (B, K).
# ```

# %% tags=["stub:product"]
from mmlab.exercises.i2m2 import check_product


def product_by_you(logits, present, prior):
    return ...


check_product(product_by_you)

# %% [markdown]
# ```{solution-start} i2m2-product
# :class: dropdown
# ```


# %% tags=["solution:product"]
def product_by_you(logits, present, prior):
    gains = logits.log_softmax(-1) - prior.log()
    total = (gains * present[:, :, None]).sum(1)
    return (prior.log() + total).log_softmax(-1)


check_product(product_by_you)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Counted twice (compute)
# :label: i2m2-twice
#
# The label is a fair coin. $x$ is a fair coin, whatever the label; $x'$ equals the label with probability 0.8. Pairs occur ($v = 1$) only where $x = x'$. You see
# $x = x' = 1$. What is $p(y{=}1 \mid x, x', v{=}1)$? Three experts were each trained alone on pairs that occurred, and each is exact for what it sees. What do the
# product of the two unimodal ones, and the product of all three, say as they are?
# ```

# %% tags=["stub:twice"]
from mmlab.exercises.i2m2 import check_twice

truth, of_two, of_three = ..., ..., ...

check_twice((truth, of_two, of_three))

# %% [markdown]
# ```{solution-start} i2m2-twice
# :class: dropdown
# ```
#
# Where pairs occur, $x$ and $x'$ are the same bit: seeing one is seeing both, and the evidence is that of $x'$ alone. Each expert gives 0.8, and multiplying counts
# the one piece of evidence two or three times.

# %% tags=["solution:twice"]
truth = 0.8
of_two = 0.8**2 / (0.8**2 + 0.2**2)
of_three = 0.8**3 / (0.8**3 + 0.2**3)

check_twice((truth, of_two, of_three))

# %% [markdown]
# This is the extreme of an interaction. Training through the product would leave the sum of the three log-odds at the log-odds of 0.8.
#
# ```{solution-end}
# ```
#
# ```{exercise} Concatenation that is a product (think)
# :label: i2m2-linear
#
# Features of two modalities are concatenated and classified by one *linear* layer. Show that this is a product of two experts, and
# say which world of the dial it cannot learn, with however many steps.
# ```
#
# ```{solution-start} i2m2-linear
# :class: dropdown
# ```
#
# Cut the weight matrix in two: $W [f(x); g(x')] = W_1 f(x) + W_2 g(x')$. These are the logits of two unimodal experts, and the softmax
# of their sum is their renormalised product. It cannot learn the inter-only world: there its loss (3), which is convex in the two functions, is smallest where both are constant. That is a coin.

# %%
layer = torch.nn.Linear(6, 3)
one, other = torch.randn(4, 2), torch.randn(4, 4)
whole = layer(torch.cat([one, other], 1)).softmax(-1)
cut = torch.stack(
    [one @ layer.weight[:, :2].T, other @ layer.weight[:, 2:].T + layer.bias], 1
)
apart = posterior(cut, torch.full((3,), 1 / 3)).exp()
say(f"The two differ by at most {(whole - apart).abs().max():.0e}.")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is v always 1, and why is it needed then?
# Because only pairs that occur are recorded. Conditioning on a common effect makes its causes dependent: that is how the model connects
# the modalities to each other and to the label without an arrow between them.
# ```
#
# ```{dropdown} An expert gives 0 to the right class. Can the others save it?
# No. A product of probabilities is zero if one factor is. With logits the zero is never exact, but the others need as many nats to outvote it.
# ```
#
# ```{dropdown} Why does the joint expert leave when one modality is absent?
# Its factor is the probability of the selection given *both* modalities and the label. With one unknown, it would have to be averaged
# over all that the unknown could be, and nothing here has learned that average.
# ```
#
# ```{dropdown} Suppose the intra product is ahead on AV-MNIST. Would that show that digits and their names do not interact?
# It would show how the data were made: image and sound are drawn independently given the digit, so there is nothing else to learn.
# ```
#
# ## Limits
#
# The cost grows with the number of modalities, and there is one joint expert for all of them: an interaction between two of five has no place of its
# own. The product trusts every expert equally, on every item; nothing tells it that an input is noisy. Frozen products may count an interaction twice. And
# where one kind of evidence is easy, the other may not be learned in time.
#
# ## In five lines
#
# - A selection variable, always seen as 1, makes modalities interact; with it the posterior is a product of experts over the prior.
# - Unimodal experts alone assume independence given the label; a joint expert alone must learn everything from pairs.
# - With unbalanced classes (2) divides the prior out, and the run says what that is worth; an absent modality takes its expert, and the joint one, out of the product.
# - Frozen experts may count the same evidence twice; the product's own loss has its minimum where nothing is counted twice.
# - Compare with frozen parts, a product of two that trained alone and were tempered, an ensemble, and baselines at the same number of steps: the claims above say what this run decides.
#
# ## What to read next
#
# {doc}`late_fusion` compares the heads that a joint expert can have. {doc}`iemf` and {doc}`ogm_ge` change how fast each part learns, which is
# the other answer to the corner of the dial, and ask whether their tricks matter. The paper is {cite}`madaan2024i2m2`; products of experts
# are older {cite}`hinton2002experts`.

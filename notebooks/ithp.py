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
# # Modalities that are there only in training: ITHP
#
# **Recordings of voice and face were made for the study. In use there will be text alone. What is the rest worth?**
#
# A modality that training has and use has not is called *privileged information* {cite}`vapnik2009privileged`. In use it cannot be an input. It
# can be something to *predict* in training: a network that reads text and must also guess voice and face learns which parts of the
# text go with them. No label is needed for that, so recordings that nobody annotated count, too.
#
# ITHP {cite}`ithp` does it in a chain. Text is squeezed into a noisy bottleneck that must predict the voice; this is squeezed into
# a second one that must predict the face; the class is read from the second. The idea comes from the brain's hierarchy of senses. This
# chapter builds the chain, computes what its bottlenecks keep, and asks what each part of it does: the privileged modalities, the order
# in a chain, the noise.
#
# **After this chapter you can**
#
# - write an information bottleneck as a loss, and compute which directions it keeps and how many nats of each;
# - ask what a chain of detectors may assume of the label, and build a world in which that is so, and one in which it is not;
# - put beside such a method the baselines that use the same recordings without its trick: a plain auxiliary regression, and two
#   linear fits without any training.
#
# You need PyTorch, the KL divergence, and [late fusion](late_fusion.ipynb) for the setting. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
data = "world"
seeds: int = 5
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
from mmlab.data.sets.mosi_features import mosi_features
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.privileged_world import privileged_world
from mmlab.losses.classification import cross_entropy
from mmlab.method import Method
from mmlab.methods.ithp import ITHP, kept_information
from mmlab.metrics.classification import accuracy
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, bars, use_theme

use_theme()
steps = steps or {"cpu": 90, "gpu": 1500}[profile]


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


# %% [markdown]
# ## The chain in one picture

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x0": Box(0, 0.5, "text"),
    "b0": Box(1, 0.5, "bottleneck 0", "trained"),
    "b1": Box(2, 0.5, "bottleneck 1", "trained"),
    "y": Box(3, 0.5, "class", "loss"),
    "x1": Box(1, 1.6, "audio,\nin training", "loss"),
    "x2": Box(2, 1.6, "video,\nin training", "loss"),
}
arrows = [
    Arrow("x0", "b0"),
    Arrow("b0", "b1"),
    Arrow("b1", "y"),
    Arrow("b0", "x1", "β"),
    Arrow("b1", "x2", "γ"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: text goes to bottleneck 0, from there to bottleneck 1, from there to the class. Bottleneck 0 also has an arrow to audio, "
        "with the weight beta, and bottleneck 1 to video, with the weight gamma."
    ),
    caption=(
        "What goes where. Blue is trained. Audio and video are targets: after training only the upper row is left."
    ),
)

# %% [markdown]
# ## The loss
#
# Text is $x_0$. A network gives the mean $\mu$ and the log variance of a Gaussian, and the bottleneck is drawn from it:
#
# $$b_0 = \mu_0(x_0) + \sigma_0(x_0)\,\varepsilon, \qquad \varepsilon \sim \mathcal N(0, I). \tag{1}$$
#
# What it costs is how far this Gaussian is from the standard normal one, a bound on how much $b_0$ can tell of $x_0$
# {cite}`alemi2017vib`. In $K$ dimensions
#
# $$\mathrm{KL}_0 = \tfrac12 \sum_{k=1}^{K} \big(\mu_k^2 + \sigma_k^2 - 1 - \log\sigma_k^2\big). \tag{2}$$
#
# A network $f_1$ predicts the first *detector* $x_1$, the voice, from $b_0$. The bottleneck is charged for information and for error:
#
# $$\mathrm{IB}_0 = \mathrm{KL}_0 + \beta \,\operatorname{mean}\,(f_1(b_0) - x_1)^2 . \tag{3}$$
#
# The second bottleneck does to $b_0$ and the face $x_2$ what the first did to $x_0$ and $x_1$, with the weight $\gamma$, and counts less:
#
# $$\mathrm{IB} = \mathrm{IB}_0 + \lambda\, \mathrm{IB}_1 . \tag{4}$$
#
# The class is read from $b_1$. With the cross-entropy of those items that have a label,
#
# $$L = \mathrm{CE}(b_1) + \frac{2}{\beta+\gamma}\,\mathrm{IB}, \qquad \beta = 8,\; \gamma = 32,\; \lambda = 0.3 . \tag{5}$$
#
# At test the means take the place of the draws. The same in plain PyTorch, and a check that the package does so:


# %%
def loss_by_hand(method, batch, rng):
    """Equations (1) to (5) for two detectors."""
    total, b = 0.0, method.encoders["text"](batch["text"])
    for level, name in enumerate(method.detectors):
        mean, log_variance = method.narrow[level](b).chunk(2, -1)
        noise = torch.randn(mean.shape, generator=rng)
        b = mean + (log_variance / 2).exp() * noise  # (1)
        kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1) / 2  # (2)
        error = (method.predictors[name](b) - batch[name].flatten(1)) ** 2
        pays = kl.mean() + method.weights[level] * error.mean()  # (3)
        total = total + method.decay**level * pays  # (4)
    task = nn.functional.cross_entropy(method.answer(b), batch["label"])
    return task + 2 / sum(method.weights) * total  # (5)


demo, batch = ITHP.demo()
method = ITHP(**demo.config | {"information": 1.0})
whole = {name: batch[name] for name in ("audio", "text", "video", "label")}
ours = loss_by_hand(method, whole, torch.Generator().manual_seed(1))
theirs = method.loss(whole, torch.Generator().manual_seed(1))["loss"]
assert torch.allclose(ours, theirs)
say(f"Both give {ours.item():.4f} on the demo.")

# %% [markdown]
# Several things differ from the released code {cite}`ithp_repository`: it takes the *mean* over dimensions in (2); its predictors end in a sigmoid, for
# detectors that are scaled to lie between 0 and 1; it has dropout, also behind these sigmoids; and it draws noise also at test, so that two calls answer
# differently. And there the class is read by a language model that adds $b_1$ to its states; here by a linear map.
#
# ## What a bottleneck keeps
#
# Before training anything, ask what (3) wants. Take one direction $s$ of the text with unit variance, a detector that moves by $g\,s$, a
# linear bottleneck $b = w s + \tau\varepsilon$, and the least-squares predictor. Then
#
# $$\mathrm{IB} = \tfrac12 (w^2 + \tau^2 - 1 - \log \tau^2) + \beta g^2 \frac{\tau^2}{w^2 + \tau^2}.$$
#
# At the minimum the bottleneck has unit variance, of which the share $\min(1, 1/(2\beta g^2))$ is noise (the exercise at the end). The
# information that is left, in nats, is
#
# $$\tfrac12 \log \max(1, 2\beta g^2). \tag{6}$$
#
# So a direction that moves the detector too little is dropped *entirely*. Linear models with this loss are known for it
# {cite}`lucas2019elbo`. Here $\beta$ weighs an error that is summed over the detector's values; for the mean in (3), divide it by their
# number. What counts is the ratio of the error's weight to that of the information. Turn it:

# %% tags=["hide-input"]
# Code of the widget: kept information
strengths = torch.linspace(0.0, 1.5, 151)
marked = (1 / (1 + 0.7**2)) ** 0.5  # of a factor that text shows with noise 0.7


def draw_kept(ratio):
    figure = Figure(figsize=(5.6, 3.0), layout="constrained")
    axes = figure.subplots()
    sns.lineplot(x=strengths, y=kept_information(strengths, ratio), ax=axes, lw=2)
    axes.axvline(marked, color=COLOURS[6], lw=1, ls="--")
    axes.annotate("a factor of\nthis chapter", (marked, 1.9), (marked + 0.04, 1.75))
    axes.set(
        xlabel="g, how far the detector moves",
        ylabel="nats that are kept",
        ylim=(-0.1, 2.4),
    )
    return figure


def say_kept(ratio):
    edge = 1 / (2 * ratio) ** 0.5
    kept = float(kept_information(torch.tensor(marked), ratio))
    return (
        f"Nats kept against g at the ratio {ratio:g}: none below g = {edge:.2f}, then rising with the logarithm; a factor of this chapter "
        f"(g = {marked:.2f}) keeps {kept:.2f} nats."
    )


frames(
    {"weight of error / weight of information": [0.3, 1, 4, 16, 64]},
    draw=draw_kept,
    alt=say_kept,
    caption=(
        "Equation (6). Left of the kink nothing is kept of a direction. The dashed line is what text can tell of a factor that moves a detector by one, "
        r"in the worlds below: with eight values per detector, $\beta = 8$ is the ratio 1, and $\gamma = 32$ the ratio 4."
    ),
    start={"weight of error / weight of information": 1},
)

# %% [markdown]
# A factor that both detectors show must pass both bottlenecks. With the paper's weights the first one, taken alone, keeps little of it here. The
# weights were chosen for *their* detectors and *their* number of dimensions, so the weight of the information belongs to what is searched for. With
# weight zero, noise and KL are gone and a plain chain is left: a row of its own below.
#
# ## Two worlds
#
# What must be true of the label so that a *chain* is right? The second bottleneck sees text only through the first. What the first drops
# is lost for the face and for the class. If it kept only what the voice shows, and the second only what the face shows, the class would have to lie in what
# text, voice *and* face share. But both are trained together, and the class pulls at them, too: what they keep has to be measured. The world of this chapter has a dial for that ({py:func}`~mmlab.data.worlds.privileged_world.privileged_world`): six hidden factors, of which two
# show in all three modalities, two in text and audio, two in text and video. Text also has 24 directions without any meaning. The four classes
# are the signs of two directions among the factors:
#
# - **common**: both lie in what all three share;
# - **split**: one is known to audio, the other to video.
#
# The best possible accuracy from text is the same in both and known in closed form. There are 1000 items, of which 100 have a label.

# %%
ITEMS, LABELS, TEST = 1000, 100, 2000
worlds = {"common": privileged_world(0), "split": privileged_world(90)}


def drawn(name, seed):
    """Training items, of which some have a label, and test items."""
    if name == "mosi":
        if seed < 1000:
            split = mosi_features(LABELS, seed=seed)
            return split.train, split.test
        some, known = (
            mosi_features(2 * LABELS, seed=seed).train,
            mosi_features().train,
        )
        videos = sorted(set(known.subjects))  # a pilot: half of the training videos
        half = set(videos[seed % 2 :: 2])
        ours = [i for i, video in enumerate(known.subjects) if video in half]
        rest = [i for i in range(len(known)) if i not in set(ours)]
        return some.subset(ours), known.subset(rest)
    world = worlds[name]
    return world.draw(ITEMS, LABELS, 2 * seed), world.draw(TEST, seed=2 * seed + 1)


names = ["mosi"] if data == "mosi" else list(worlds)
shapes = {
    key: tuple(value.shape[1:])
    for key, value in drawn(names[0], 0)[0].tensors.items()
    if not key.startswith("label")
}
classes = 2 if data == "mosi" else 4
if data != "mosi":
    say(
        "Best possible accuracy: "
        + "; ".join(
            f"*{name}* from text {world.bayes_rate():.3f}, from all three {world.bayes_rate(('audio', 'text', 'video')):.3f}"
            for name, world in worlds.items()
        )
        + "."
    )

# %% [markdown]
# ## The rivals
#
# **Auxiliary regression** is what one would write down first: one code, and from it a class and the detectors, all at once. No noise, no chain.


# %%
class Auxiliary(Method):
    """A code of the text that gives the class and predicts the targets side by side."""

    def __init__(self, targets, weight):
        super().__init__()
        size = shapes["text"][0]
        self.weight = weight
        self.encode = nn.Sequential(
            nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 32), nn.Linear(32, 16)
        )
        self.predictors = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, shapes[name][0])
                )
                for name in targets
            }
        )
        self.answer = nn.Linear(16, classes)

    def loss(self, batch, rng):
        code, known = self.encode(batch["text"]), batch["label_present"]
        label = batch["label"].where(known, 0)
        task = cross_entropy(self.answer(code), label, known)
        errors = [
            (predictor(code) - batch[name]).square().mean()
            for name, predictor in self.predictors.items()
        ]
        return {"loss": task + self.weight * sum(errors)}

    def predict(self, batch):
        with self.evaluating():
            return self.answer(self.encode(batch["text"])).softmax(-1)


# %% [markdown]
# **Two linear fits**: ridge regression from text to the detectors, on all items; then logistic regression from what it predicts to the class,
# on those with a label. **GCCA**, generalised canonical correlations {cite}`kettenring1971canonical`, finds in closed form the directions that
# views share, those of all three first ({py:func}`~mmlab.compare.canonical.canonical_correlations`); then logistic regression, too. Neither has a learning rate.
#
# **Chain without noise** is ITHP with the weight zero on the information: the order of the bottlenecks is left, and no more. **Text alone** is the
# network of the auxiliary regression without targets, so it learns from the labelled items and nothing else.
#
# **Recordings shuffled** is a control for two rows: each text gets voice and face of another item. What is left of a lead over *text alone* comes from the texts without a label,
# or from having a second task, and not from what the recordings say. It takes the setting of the row that it controls.
#
# **Budgets.** All networks take the same steps on the same batches. Each row tries six settings (a network four learning rates, and with the one that scores highest two more values of its own weight; *text alone*, which has no such weight, six learning rates), and chooses among them on two
# other draws of the same world, which are used for nothing else. Then come new draws of items, labels and start for each of the seeds.


# %%
def network(build, rate, **setting):
    def train(items, seed):
        method = build(seed, **setting)
        fit(
            method,
            items,
            steps=steps,
            batch_size=128,
            lr=rate,
            schedule="cosine",
            log_every=steps,
            progress=False,
            seed=seed,
        )
        return method.predict

    return train


def line(items, code, strength):
    """Logistic regression on a code of the text, on the items with a label."""
    there = items["label_present"]
    model = LogisticRegression(C=strength, max_iter=500)
    model.fit(code(items["text"])[there], items["label"][there])
    return lambda batch: torch.from_numpy(model.predict_proba(code(batch["text"])))


def linear(strength):
    return lambda items, seed: line(
        items.tensors, lambda x: x.numpy().astype(float), strength
    )


def two_fits(penalty):
    def solve(items, seed):
        x = items.tensors
        targets = torch.cat([x["audio"], x["video"]], 1)
        ridge = Ridge(penalty).fit(x["text"].numpy(), targets.numpy())
        return line(x, lambda text: ridge.predict(text.numpy()), 1.0)

    return solve


def shared(components):
    def solve(items, seed):
        views = {name: items.tensors[name] for name in shapes}
        found = canonical_correlations(views, components, 0.01)
        return line(items.tensors, lambda x: found.project("text", x).numpy(), 1.0)

    return solve


def ithp(seed, **arguments):
    return ITHP.seeded(seed, shapes, classes=classes, **arguments)


def auxiliary(targets):
    return lambda seed, weight=0.0: Auxiliary.seeded(seed, targets, weight)


def shuffled(items, seed):
    """The same items, each with voice and face of another one."""
    order = torch.randperm(
        len(items), generator=torch.Generator().manual_seed(seed)
    )
    others = {name: items.tensors[name][order] for name in ("audio", "video")}
    return TensorData(items.tensors | others)


class Row:
    """What a row is made by, the settings that it tries first, and those that it tries in the best of them."""

    def __init__(self, make, first, then=()):
        self.make, self.first, self.then = make, first, then
        self.tries = len(first) + len(then)

    def search(self, measure):
        """The setting with the highest score."""
        scores = [(measure(self.make(**how)), how) for how in self.first]
        best = max(scores, key=lambda found: found[0])[1]
        more = [best | change for change in self.then]
        scores += [(measure(self.make(**how)), how) for how in more]
        return max(scores, key=lambda found: found[0])[1]


def each(name, *options, **fixed):
    return [fixed | {name: option} for option in options]


def trained_by(build, name, low, middle, high):
    """A row with four rates, and then two other values of its own setting."""
    return Row(
        lambda **how: network(build, **how),
        each("rate", *RATES, **{name: middle}),
        each(name, low, high),
    )


RATES = (3e-3, 1e-2, 3e-2, 0.1)
rows = {
    "logistic regression on text": Row(
        linear, each("strength", 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
    ),
    "two linear fits": Row(
        two_fits, each("penalty", 1.0, 30.0, 100.0, 300.0, 1e3, 3e3)
    ),
    "GCCA and a line": Row(shared, each("components", 1, 2, 3, 4, 6, 8)),
    "text alone": Row(
        lambda **how: network(auxiliary([]), **how),
        each("rate", 1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 0.1),
    ),
    "auxiliary regression": trained_by(
        auxiliary(["audio", "video"]), "weight", 4.0, 16.0, 64.0
    ),
    "chain without noise": trained_by(
        lambda seed, amount: ithp(seed, amount=amount, information=0.0),
        "amount", 4.0, 16.0, 64.0,
    ),
    "ITHP": trained_by(
        lambda seed, information: ithp(seed, amount=16.0, information=information),
        "information", 0.01, 0.05, 0.25,
    ),
}  # fmt: skip
CONTROLLED = ("auxiliary regression", "ITHP")
PILOTS = [1000, 1001][: min(2, seeds)]


def score(predict, test):
    return accuracy(predict(test.tensors), test.tensors["label"])


trained, chosen, lines = {}, {}, []
for name in names:
    draws = {seed: drawn(name, seed) for seed in [*range(seeds), *PILOTS]}
    for row, search in rows.items():
        best = chosen[name, row] = search.search(
            lambda make, draws=draws: np.mean(
                [score(make(draws[s][0], s), draws[s][1]) for s in PILOTS]
            )
        )
        for seed in range(seeds):
            items, other = draws[seed][0], shuffled(draws[seed][0], seed)
            trained[name, row, seed] = search.make(**best)(items, seed)
            if row in CONTROLLED:
                control = f"{row}, recordings shuffled"
                trained[name, control, seed] = search.make(**best)(other, seed)


def spoken(setting):
    return ", ".join(f"{name} {value:g}" for name, value in setting.items())


for (name, row, seed), predict in trained.items():
    lines.append(
        {
            "world": name,
            "method": row,
            "seed": seed,
            "accuracy": score(predict, drawn(name, seed)[1]),
        }
    )
scores = pd.DataFrame(lines)

# %% tags=["hide-input"]
# Code of the table
tuned = {
    "logistic regression on text": "penalty",
    "two linear fits": "penalty",
    "GCCA and a line": "components",
    "text alone": "learning rate",
    "ITHP": "learning rate, weight of the information",
}


def spent(row):
    method = trained[names[0], row, 0]
    owner = getattr(method, "__self__", None)
    named = tuned.get(row, "learning rate, weight of the detectors")
    what = tuple(named.split(", "))
    if owner is None:
        return Spent(tuned=what, tries=rows[row].tries)
    count = sum(p.numel() for p in owner.parameters())
    return Spent(steps, count, what, rows[row].tries)


budgets = Budgets("ITHP", {row: spent(row) for row in rows})
every = [row for name, row, seed in trained if (name, seed) == (names[0], 0)]
every = sorted(every, key=lambda row: "shuffled" in row)
wide = scores.pivot_table(
    index=["method", "seed"], columns="world", values="accuracy"
).reset_index()
ceilings = {} if data == "mosi" else {n: w.bayes_rate() for n, w in worlds.items()}
if ceilings:
    best = pd.DataFrame(
        [{"method": "best possible", "seed": s} | ceilings for s in range(seeds)]
    )
    wide = pd.concat([wide, best])
table_over_seeds(
    wide[["method", "seed", *names]],
    f"Accuracy on the test items, from text alone, after {steps} steps for every network.",
    best=dict.fromkeys(names, "higher"),
    reference=["best possible"] if ceilings else [],
    ceiling="best possible" if ceilings else None,
    digits=3,
    order=[*every, *(["best possible"] if ceilings else [])],
    budgets=budgets,
)
say(
    "Chosen on the pilot draws: "
    + "; ".join(
        f"*{name}*: "
        + ", ".join(f"{row} ({spoken(chosen[name, row])})" for row in rows)
        for name in names
    )
    + "."
)
record(
    accuracy={
        name: {
            row: round(float(part["accuracy"].mean()), 4)
            for row, part in scores[scores["world"] == name].groupby("method")
        }
        for name in names
    },
    budget=budgets.plain(),
)

# %% [markdown]
# **First: are recordings that nobody will have at test of use in training?** The auxiliary regression also reads the texts that have no label, which
# *text alone* does not. So it is set beside itself with shuffled recordings, too. Then ITHP against each row. Each seed has its own draw of
# items, labels, start and batches, the same for all rows, so differences are paired.


# %%
def values(name, row):
    part = scores[(scores["world"] == name) & (scores["method"] == row)]
    return part.sort_values("seed")["accuracy"].tolist()


for name in names:
    claim(
        f"{name}-privileged-auxiliary-against-text-alone",
        values(name, "auxiliary regression"),
        values(name, "text alone"),
        direction="higher",
        unit="%",
        better=f"*{name}*: yes. Plain auxiliary regression is ahead of the same network on text alone, {{ours}} against {{theirs}}.",
        worse=f"*{name}*: no. Auxiliary regression is behind the same network on text alone, {{ours}} against {{theirs}}.",
        undecided=f"*{name}*: auxiliary regression ({{ours}}) and the same network on text alone ({{theirs}}) cannot be told apart.",
    )
    for row in CONTROLLED:
        claim(
            f"{name}-{slug(row)}-recordings-shuffled",
            values(name, row),
            values(name, f"{row}, recordings shuffled"),
            direction="higher",
            unit="%",
            better=f"*{name}*: with recordings of the right items *{row}* is ahead of itself with shuffled ones, {{ours}} against {{theirs}}.",
            worse=f"*{name}*: with shuffled recordings *{row}* is ahead of itself with those of the right items, {{theirs}} against {{ours}}.",
            undecided=f"*{name}*: *{row}* with recordings of the right items ({{ours}}) and with shuffled ones ({{theirs}}) cannot be told apart.",
        )


def against(name, row):
    return claimed(
        f"ithp-{name}-{slug(row)}",
        values(name, "ITHP"),
        values(name, row),
        direction="higher",
        unit="%",
        better=f"ITHP is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of ITHP: {{theirs}} against {{ours}}.",
        undecided=f"ITHP ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for name in names:
    say(
        f"World **{name}**:\n\n"
        + "\n".join(f"- {against(name, row)}" for row in rows if row != "ITHP")
    )

# %% tags=["hide-input"]
# Code of the figure: paired differences
pairs = pd.DataFrame(
    [
        (name, row, 100 * (a - b))
        for name in names
        for row in rows
        if row != "ITHP"
        for a, b in zip(values(name, "ITHP"), values(name, row), strict=True)
    ],
    columns=["world", "rival", "ITHP − rival, points of accuracy"],
)
gaps = pairs.groupby(["world", "rival"], sort=False).mean().iloc[:, 0]
show(
    bars(
        pairs,
        "ITHP − rival, points of accuracy",
        by="rival",
        panel="world",
        references={"no difference": 0.0},
    ),
    alt="ITHP minus each rival in points of accuracy. "
    + " ".join(
        f"{name}: "
        + ", ".join(
            f"{row} {gaps[name, row]:+.1f}" for row in rows if row != "ITHP"
        )
        + "."
        for name in names
    ),
    caption="Paired differences: small dots are draws, the large dot is their mean with its 95 % interval. To the left of the dashed line the rival has the higher accuracy.",
    label="differences",
)

# %% [markdown]
# **Does it depend on where the class lies?** If the chain is an assumption about the label, its lead over plain auxiliary regression should
# turn with the dial.

# %% tags=["hide-input"]
for ours in ("chain without noise", "ITHP") if len(names) == 2 else ():
    leads = {
        name: [
            100 * (a - b)
            for a, b in zip(
                values(name, ours),
                values(name, "auxiliary regression"),
                strict=True,
            )
        ]
        for name in names
    }
    start = "chain" if ours == "chain without noise" else "ithp"
    claim(
        f"{start}-lead-common-against-split",
        leads["common"],
        leads["split"],
        direction="higher",
        unit="points",
        better=f"*{ours}*, minus auxiliary regression, is larger where the class is common to all: {{ours}} against {{theirs}} where it is split.",
        worse=f"*{ours}*, minus auxiliary regression, is smaller where the class is common to all: {{ours}} against {{theirs}} where it is split.",
        undecided=f"*{ours}*, minus auxiliary regression, is {{ours}} where the class is common to all and {{theirs}} where it is split; the two cannot be told apart.",
    )

# %% [markdown]
# ## What is in the codes?
#
# The world knows its hidden factors, so we can ask each code for them: the share of a factor's variance that a linear regression reads out of
# it, on new items. What text itself allows stands in the caption.

# %% tags=["hide-input"]
# Code of the figure: what codes hold
GROUPS = {"common": [0, 1], "audio and text": [2, 3], "video and text": [4, 5]}


def codes(method, text):
    with torch.no_grad():
        if isinstance(method, Auxiliary):
            return {"code": method.encode(text)}
        found = method.chain({"text": text})[0]
        return {"bottleneck 0": found[0], "bottleneck 1": found[1]}


held = {}
if data != "mosi":
    for name, world in worlds.items():
        items, z = world.draw(TEST, seed=77), world.factors(TEST, 77).numpy()
        half = TEST // 2
        for row in ("auxiliary regression", "chain without noise", "ITHP"):
            for seed in range(seeds):
                method = trained[name, row, seed].__self__
                for part, code in codes(method, items.tensors["text"]).items():
                    x = code.numpy()
                    guess = (
                        LinearRegression().fit(x[:half], z[:half]).predict(x[half:])
                    )
                    left = ((guess - z[half:]) ** 2).mean(0) / z[half:].var(0)
                    for group, which in GROUPS.items():
                        key = (name, f"{row}, {part}", group)
                        held.setdefault(key, []).append(1 - left[which].mean())
    most = 1 / (1 + worlds["common"].noise["text"] ** 2)
    shares = pd.Series({key: np.mean(v) for key, v in held.items()}).unstack(-1)
    shares = shares[list(GROUPS)].clip(lower=0)
    order = [
        "auxiliary regression, code",
        "chain without noise, bottleneck 0",
        "chain without noise, bottleneck 1",
        "ITHP, bottleneck 0",
        "ITHP, bottleneck 1",
    ]
else:
    most, order = 1.0, ["none"]
    shares = pd.DataFrame(
        0.0, index=pd.MultiIndex.from_product([names, order]), columns=list(GROUPS)
    )
figure = Figure(figsize=(6.4, 2.6 * len(names) + 0.6), layout="constrained")
panels = np.atleast_1d(figure.subplots(len(names), 1))
for axes, name in zip(panels, names, strict=True):
    sns.heatmap(
        shares.loc[name].loc[order],
        annot=True,
        fmt=".2f",
        vmin=0,
        vmax=most,
        cmap="Blues",
        cbar=False,
        ax=axes,
    )
    axes.set(title=f"class: {name}", xlabel="", ylabel="")
    axes.tick_params(length=0)
show(
    figure,
    alt="Share of the hidden factors' variance that can be read from the codes. "
    + " ".join(
        f"{name}: "
        + "; ".join(
            f"{row} "
            + ", ".join(
                f"{group} {shares.loc[name].loc[row, group]:.2f}"
                for group in GROUPS
            )
            for row in order
        )
        + "."
        for name in names
    ),
    caption=f"What codes hold of the factors, mean over {seeds} draws. Text itself allows {most:.2f}.",
    label="codes",
)
if len(names) == 2:
    claim(
        "chain-forgets-audio-factors",
        held["common", "chain without noise, bottleneck 1", "audio and text"],
        held["common", "chain without noise, bottleneck 0", "audio and text"],
        direction="lower",
        better="In the world *common*, where the class does not ask for them, the second bottleneck of the chain holds less of the audio factors than the first: {ours:.2f} against {theirs:.2f} of their variance.",
        worse="In the world *common* the second bottleneck of the chain holds more of the audio factors than the first: {ours:.2f} against {theirs:.2f} of their variance.",
        undecided="In the world *common* the two bottlenecks of the chain hold about as much of the audio factors: {ours:.2f} and {theirs:.2f} of their variance.",
    )
    claim(
        "chain-first-bottleneck-lacks-video",
        held["split", "chain without noise, bottleneck 0", "video and text"],
        held["split", "auxiliary regression, code", "video and text"],
        direction="lower",
        better="In the world *split*, where the class asks for them, the first bottleneck of the chain holds less of the video factors than the code of the auxiliary regression: {ours:.2f} against {theirs:.2f} of their variance. Audio does not show them.",
        worse="In the world *split* the first bottleneck of the chain holds more of the video factors than the code of the auxiliary regression: {ours:.2f} against {theirs:.2f} of their variance.",
        undecided="In the world *split* the first bottleneck of the chain and the code of the auxiliary regression hold about as much of the video factors: {ours:.2f} and {theirs:.2f} of their variance.",
    )

# %% [markdown]
# Does a code that holds less of what the class does not need overfit a hundred labels less? Does what is missing in the last bottleneck explain the accuracy where
# the class needs it? Compare the two panels with the two worlds of [](#figure-differences). Also look which bottleneck lost it. No run on
# this page separates these causes from others, such as too few steps for a chain that is deeper and noisy.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} What a bottleneck pays (code)
# :label: ithp-pays
#
# Write (3). You get mean and log variance of the bottleneck, (B, K) each, the prediction and the detector, (B, D) each, and β. Return the mean over
# the items.
# ```

# %% tags=["stub:pays"]
from mmlab.exercises.ithp import check_pays


def pays(mean, log_variance, prediction, detector, beta):
    return ...


check_pays(pays)

# %% [markdown]
# ```{solution-start} ithp-pays
# :class: dropdown
# ```


# %% tags=["solution:pays"]
def pays(mean, log_variance, prediction, detector, beta):
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)  # (B,)
    return kl.mean() + beta * ((prediction - detector) ** 2).mean()


check_pays(pays)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Where the kink is (compute)
# :label: ithp-kink
#
# A direction of the text moves a detector by g = 0.5. (a) From which β on does a bottleneck that pays the *summed* squared error keep anything of it?
# (b) How many nats does it keep at β = 8? (c) The detector has 10 values and the error is their *mean*: from which β on is anything kept?
# ```

# %% tags=["stub:kink"]
from mmlab.exercises.ithp import check_kink

first = ...
nats = ...
with_mean = ...

check_kink((first, nats, with_mean))

# %% [markdown]
# ```{solution-start} ithp-kink
# :class: dropdown
# ```

# %% tags=["solution:kink"]
g = 0.5
first = 1 / (2 * g**2)  # where 2 β g² = 1
nats = 0.5 * math.log(2 * 8 * g**2)
with_mean = 10 * first

check_kink((first, nats, with_mean))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The best bottleneck for one direction (derive)
# :label: ithp-optimum
#
# Minimise the displayed formula above (6) over w and τ². Write a function of g and β that returns w ≥ 0 and τ² at the minimum, for tensors of
# any g. (Hint: use the total variance w² + τ² and the share of noise in it as the two unknowns.)
# ```

# %% tags=["stub:optimum"]
from mmlab.exercises.ithp import check_optimum


def optimum(g, beta):
    w = ...
    noise = ...
    return w, noise


check_optimum(optimum)

# %% [markdown]
# ```{solution-start} ithp-optimum
# :class: dropdown
# ```
#
# With $v = w^2 + \tau^2$ and $\rho = \tau^2 / v$ the loss is $\tfrac12(v - 1 - \log v - \log\rho) + \beta g^2\rho$. The two unknowns have
# separated. In $v$ the minimum is at 1. In $\rho$ the derivative is $-1/(2\rho) + \beta g^2$, so $\rho = 1/(2\beta g^2)$, unless that is above 1:
# there the loss falls up to the border $\rho = 1$, and $w = 0$. The information is $\tfrac12\log(v/\tau^2) = -\tfrac12\log\rho$, which is (6).


# %% tags=["solution:optimum"]
def optimum(g, beta):
    share = (1 / (2 * beta * g**2)).clamp(max=1)
    return (1 - share).sqrt(), share


check_optimum(optimum)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The other order (think)
# :label: ithp-order
#
# Put video before audio. Which of the two worlds could tell the difference, and how? Then look at the run in the solution.
# ```
#
# ```{solution-start} ithp-order
# :class: dropdown
# ```
#
# Neither, or hardly. The worlds treat audio and video alike, and β, γ and λ belong to the places, not to the names. Exchange the two names everywhere, and one order has become
# the other, but for the fixed matrices that turn the factors into measurements: over many draws of items and of these matrices both have the same mean. With other detectors (one noisy, one not) it can matter which stands first.


# %%
turned = {}
for name in names:
    build = network(
        ithp, **chosen[name, "ITHP"], amount=16.0, detectors=("video", "audio")
    )
    items, test = drawn(name, 0)
    turned[name] = score(build(items, 0), test)
say(
    "Accuracy of one draw with video first: "
    + ", ".join(
        f"*{name}* {value:.3f} (audio first: {values(name, 'ITHP')[0]:.3f})"
        for name, value in turned.items()
    )
    + ". One draw decides nothing."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does an item without a label take part in the training at all?
# All terms of (4) can be computed for it. Only the cross-entropy needs the label.
# ```
#
# ```{dropdown} The bottleneck draws noise in training. Why not at test?
# The class should not depend on a draw. The mean is the centre of what the classifier was trained on. (The released code draws, and two calls differ.)
# ```
#
# ```{dropdown} With the KL averaged over 16 dimensions instead of summed, what changes?
# Its weight is a sixteenth. By (6) the threshold for g² falls by the same factor: more directions pass.
# ```
#
# ```{dropdown} Could audio and video also be inputs, with missing values at test?
# Yes, that is [fusion with missing modalities](missing_modalities.ipynb). Here they are missing for *everybody* at test, so nothing about them can be read.
# ```
#
# ## In five lines
#
# - A modality that is there in training only can be a target. All recordings count, with a label or without.
# - A bottleneck is charged for information and for error; a direction that moves the detector too little is dropped wholly.
# - In a chain the class can use only what passed every bottleneck. Whether that costs anything depends on the label and on what the bottlenecks keep: measure both.
# - The rival to put beside it is the same recordings without the trick: an auxiliary regression, and two linear fits.
# - Weights of an information bottleneck do not carry over to other numbers of dimensions: search for them.
#
# ## Limits, and what to read next
#
# - The worlds are linear and Gaussian, which is the home of the two closed-form rows. Real text is not; there the linear fits would start from
#   features of a language model.
# - The paper adds the last bottleneck to the states of a language model and fine-tunes it on sentiment. None of its numbers could be checked
#   against its tables, so none is printed, and nothing here speaks about them.
# - Settings were chosen on two draws, among six for each row. Where a row chose a value at the end of its list, others outside may suit it more. ITHP's
#   weight on all bottlenecks was not searched, nor was the number of steps, which the two linear rows do not have.
# - With `data="mosi"` and the prepared features of CMU-MOSI the same cells run on opinions in videos; [Measured](../book/measured.md) has the table and the command.
#
# {cite:t}`vapnik2009privileged` began the theory of privileged information; {cite:t}`alemi2017vib` made the information bottleneck trainable.

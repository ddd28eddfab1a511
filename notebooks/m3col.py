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
# # Shared relations by mixing: M3CoL
#
# **Should a classifier be taught, too, which views belong to the same person?**
#
# From one piece of tissue a laboratory can measure which genes are read (mRNA), which are switched off (methylation), and
# which short RNAs regulate them (miRNA). These are three *views* of one person, of two hundred numbers or so each. There are
# many numbers and few people. A network that reads all three views can learn the training set by heart.
#
# M3CoL {cite}`m3col` gives such a network a second task: *find the same person in another view*. And since people are alike
# in degrees, it makes the task softer in two ways. First it mixes people, and a mixture must find both of its parts. Later
# it lets the second view say who is similar to whom. The paper reports that classification gains from it.
#
# All of this is one loss with different *targets*. You will see four published losses as four matrices. Then we ask what the
# loss is worth beside baselines that were tuned as it was: the same network with its heads alone, and a linear model. Contrastive
# learning earned its fame where pairs are many and labels few {cite}`radford2021clip`; here both are few. A second place to look
# is a test in which a whole view is missing. Both are tried below.
#
# **After this chapter you can**
#
# - write CLIP, mixup contrast, SoftClip and NT-Xent as one cross-entropy with four target matrices;
# - derive what a target matrix does to the gradient, for rows of any sum;
# - say which information a contrast between views rewards, and test whether a label is of that kind;
# - find two bugs of a released implementation with tests of three lines.
#
# You need PyTorch, cross-entropy, and what a softmax is. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
data = "world"
seeds: int = 3
steps: int | None = None  # of every training run on this page
width: int | None = None  # of the embeddings

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmlab import fit
from mmlab.compare.controls import controls
from mmlab.data.sets.mogonet_rosmap import mogonet_rosmap
from mmlab.data.splits import rescale
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.omics_world import VIEWS, omics_world
from mmlab.losses.contrastive import (
    cosine_similarity,
    draw_mixing,
    identity_targets,
    mix,
    mixup_targets,
    similarity_targets,
    soft_contrastive,
    twin_targets,
)
from mmlab.methods.m3col import M3CoL
from mmlab.metrics.classification import accuracy
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, bars, use_theme

use_theme()
steps = steps or {"cpu": 60, "gpu": 400}[profile]
width = width or {"cpu": 48, "gpu": 200}[profile]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


# %% [markdown]
# ## The idea in one picture
#
# Take $B$ people and two views. Encoders turn person $i$ into $a_i$ in the one view and $b_i$ in the other. Compare all with
# all: a $B \times B$ table of similarities. Now somebody must say which entries *should* be large. That is a second
# table, the *targets* $T$: row $i$ says where among the $b_j$ person $i$ should be found.

# %%
COUNT = 6
kinds = torch.tensor([0, 0, 0, 1, 1, 2])  # six people of three kinds
b_shown = F.normalize(
    torch.eye(3)[kinds] + 0.35 * torch.randn(COUNT, 3, generator=generator(4)),
    dim=1,
)
beta_shown = torch.tensor([1.0, 0.7, 1.0, 0.3, 0.6, 1.0])
partner_shown = torch.tensor([2, 4, 0, 1, 3, 5])  # the last is its own partner
twins, compared = twin_targets(COUNT // 2)
four = {
    "CLIP": identity_targets(COUNT),
    "mixup": mixup_targets(beta_shown, partner_shown),
    "SoftClip": similarity_targets(b_shown),
    "NT-Xent": twins.masked_fill(~compared, torch.nan),
}

# %% tags=["hide-input"]
# Code of the figure: four matrices of targets


def matrix(axes, values, title, rows="in view a", columns="in view b", **options):
    values = pd.DataFrame(np.asarray(values)).set_axis(range(1, len(values) + 1))
    values.columns = values.index
    options = {"vmin": 0, "vmax": 1, "cmap": "Blues"} | options
    shown = values.map(lambda v: f"{v:.1f}" if abs(v) > 0.05 else "").fillna("")
    axes.set_facecolor(COLOURS[6])  # what is left out shows as grey
    sns.heatmap(
        values, annot=shown, fmt="", annot_kws={"size": 9}, cbar=False, square=True,
        linewidths=0.5, ax=axes, **options,
    )  # fmt: skip
    axes.set(xlabel=columns, ylabel=rows, title=title)
    axes.tick_params(length=0, rotation=0)


figure = Figure(figsize=(5.6, 6.0), layout="constrained")
for axes, (name, targets) in zip(
    figure.subplots(2, 2).flat, four.items(), strict=True
):
    labels = (
        ("both views", "both views")
        if name == "NT-Xent"
        else ("in view a", "in view b")
    )
    matrix(axes, targets, name, *labels)
show(
    figure,
    alt=(
        "Four 6 by 6 matrices of targets. CLIP: ones on the diagonal. Mixup: the same, but rows 2, 4 and 5 share their "
        f"weight with a partner. SoftClip: blocks of similar people, at most {four['SoftClip'].max():.2f}. "
        "NT-Xent: a one three places to the right, with wrap-around, and a grey diagonal that is left out."
    ),
    caption=(
        "The same loss with four targets; each row sums to one. **CLIP**: only oneself. **Mixup**: people 2, 4 and 5 are "
        "mixtures, which must find both parts; person 6 is its own partner. **SoftClip**: everybody who is similar in view b. "
        "**NT-Xent**: three people, both views in one list; each must find its other view, and is not compared with itself (grey)."
    ),
    label="targets",
)

# %% [markdown]
# ## One loss
#
# Let $s_{ij} = \cos(a_i, b_j)/\tau$, with a *temperature* $\tau$ that says how much a difference in similarity counts. Read
# row $i$ as a guess of who in view $b$ person $i$ is:
#
# $$P_{ij} = \frac{\exp s_{ij}}{\sum_k \exp s_{ik}}. \tag{1}$$
#
# This is a classifier with $B$ classes, and people are the classes. Train it as one, by cross-entropy with the
# targets. Then do the same from $b$ to $a$, where the softmax runs down the columns ($P'$), and take the mean:
#
# $$L(T) = -\frac{1}{2B}\sum_{i,j} T_{ij}\left(\log P_{ij} + \log P'_{ij}\right). \tag{2}$$
#
# With $T = I$ this is the loss of CLIP {cite}`radford2021clip`, also called symmetric InfoNCE {cite}`oord2018cpc`. What does
# $T$ do to the training? Differentiate one direction. The derivative of $\log P_{ik}$ by $s_{ij}$ is $1[j = k] - P_{ij}$, so
#
# $$\frac{\partial}{\partial s_{ij}}\Big(-\sum_k T_{ik}\log P_{ik}\Big) = P_{ij}\sum_k T_{ik} - T_{ij} .$$
#
# With the row sum $R_i = \sum_k T_{ik}$ this is
#
# $$R_i\,\Big(P_{ij} - \frac{T_{ij}}{R_i}\Big).$$
#
# So training pulls pairs together where the *normalised* target is larger than the guess and pushes them apart where it is smaller,
# until $P = T/R$, as far as cosines, which end at 1, and the other direction of (2) allow. The derivatives of a row add up to $R_i - R_i = 0$ for every $R_i$: adding a constant to a row of $s$ changes no
# softmax. What the row sum does is to *weigh* the row: one with $R_i = 0.4$ counts less than half as much as its neighbours, and one
# with $R_i = 0$ does not train at all. Remember this; it will come back as a bug. (In the other direction of (2) the columns of $T$
# play this part, and those of mixtures do not sum to one: somebody who is the partner of another is looked for more than once.)
#
# ## Soft targets, twice
#
# **Mixtures.** CLIP's targets say that person $i$ resembles nobody else. *Mixup* {cite}`zhang2018mixup` invents people in
# between. Draw a random permutation $\pi$ of the batch and weights $\beta_i$, and mix one view:
#
# $$\tilde a_i = \beta_i\, a_i + (1 - \beta_i)\, a_{\pi(i)}. \tag{3}$$
#
# The clean $b_i$ and $b_{\pi(i)}$ of both parts are in the batch. So the mixture should find both, in proportion
# {cite}`kim2020mixco`:
#
# $$T_{ij} = \beta_i\, 1[j = i] + (1 - \beta_i)\, 1[j = \pi(i)]. \tag{4}$$
#
# The sum matters. A permutation may leave an item where it is, and then both terms fall on the same entry. In M3CoL half of
# the items are mixed, with $\beta_i \sim \mathrm{Beta}(0.15, 0.15)$: mostly near 0 or 1.
#
# **Similarities.** Who is like whom can also be read from the second view itself {cite}`gao2024softclip`:
#
# $$T_{ij} = \frac{\exp(\cos(b_i, b_j)/\tau)}{\sum_k \exp(\cos(b_i, b_k)/\tau)}. \tag{5}$$
#
# With these targets the method goes by rows in both directions: beside $\log P'_{ij}$ in (2) stands $T_{ji}$.
# A vector is most similar to itself, so the largest entry of each row is on the diagonal. Now turn the temperature of the
# targets.


# %% tags=["hide-input"]
a_shown = F.normalize(
    b_shown + 0.6 * torch.randn(COUNT, 3, generator=generator(1)), dim=1
)
guess = (cosine_similarity(a_shown, b_shown) / 3).softmax(
    1
)  # (1) for made-up embeddings of view a, nearly even: little is known yet


def draw_pull(temperature):
    targets = similarity_targets(b_shown, temperature)
    figure = Figure(figsize=(5.6, 6.0), layout="constrained")
    panels = figure.subplots(2, 2)
    matrix(panels[0, 0], targets, f"targets T at temperature {temperature:g}")
    matrix(panels[0, 1], guess, "guess P")
    matrix(
        panels[1, 0],
        targets - guess,
        "pull T − P",
        vmin=-0.6,
        vmax=0.6,
        cmap="RdBu_r",
    )
    panels[1, 1].axis("off")
    panels[1, 1].text(
        0.5,
        0.5,
        "red: pulled together\nblue: pushed apart",
        ha="center",
        va="center",
    )
    return figure


def say_pull(temperature):
    targets = similarity_targets(b_shown, temperature)
    return (
        f"Targets at temperature {temperature:g}: the diagonal holds {targets.diagonal().mean():.2f} on average, the largest other "
        f"entry is {(targets - torch.diag(targets.diagonal())).max():.2f}; the pulls reach from {(targets - guess).min():.2f} "
        f"to {(targets - guess).max():.2f}."
    )


frames(
    {"temperature of the targets": [0.01, 0.05, 0.125, 0.3, 1.0, 10.0]},
    draw=draw_pull,
    alt=say_pull,
    caption=(
        "Six people of three kinds (1 to 3, 4 and 5, 6). The guess P comes from made-up embeddings, view b with noise, and is nearly even, as early in training. **Cold** targets are those of CLIP: the pull (red) is on the diagonal, and "
        "even people of one kind are pushed apart (blue). In **between** (0.125, 0.3) people of one kind are pulled together. **Hot** targets are "
        "all alike, as this guess nearly is: hardly anybody is pulled, and there is nothing to learn."
    ),
    start={"temperature of the targets": 0.125},
)

# %% [markdown]
# ## The method
#
# Encoders $z_m$, one classifier on each view and one on all of them side by side, and the contrast. With three views the
# pairs are $(1,2), (2,3), (3,1)$, and their losses are added:
#
# $$L = L_\text{fused} + \sum_m L_m + \lambda \sum_{(m, n)} L_{m n}, \qquad \lambda = 0.1 . \tag{6}$$
#
# Here $L_\text{fused}$ and $L_m$ are cross-entropies with the diagnosis. In the first third of the training $L_{mn}$ is the
# contrast of mixtures, (3) and (4). After that it has soft targets, (5). A person who lacks a view is in no pair with it.

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "views": Box(0, 1, "three views"),
    "encoders": Box(1, 1, "an encoder\nfor each", "trained"),
    "contrast": Box(2, 0, "pairs of views,\ncontrast (2)", "changed"),
    "heads": Box(2, 1, "a classifier\non each view", "trained"),
    "fused": Box(2, 2, "a classifier\non all", "trained"),
    "loss": Box(3, 1, "loss (6)", "loss"),
}
parts = ("contrast", "heads", "fused")
arrows = [Arrow("views", "encoders"), Arrow("contrast", "loss", "λ")]
arrows += [Arrow("encoders", part) for part in parts]
arrows += [Arrow(part, "loss") for part in parts[1:]]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing of M3CoL. Three views have an encoder each; the embeddings go to a contrast between pairs of views, to a classifier on each "
        "view, and to one classifier on all. The loss adds the three, the contrast with the weight lambda."
    ),
    caption=(
        "What goes where. Blue is trained as in any network with auxiliary heads; orange is what M3CoL adds, a loss without weights of its own."
    ),
)

# %% [markdown]
# The second loss in full, without the package, and a check that the package does the same:


# %%
def mixed_contrast_by_hand(a, b, beta, partner, temperature):
    rows = torch.arange(len(a))
    mixed = beta[:, None] * a + (1 - beta[:, None]) * a[partner]  # new memory
    s = F.normalize(mixed, dim=1) @ F.normalize(b, dim=1).T / temperature  # (B, B)
    log_p, log_q = s.log_softmax(1), s.log_softmax(0)
    both = log_p + log_q
    return -(beta * both[rows, rows] + (1 - beta) * both[rows, partner]).mean() / 2


a, b = torch.randn(2, 32, 8, generator=generator(2))
beta = torch.rand(32, generator=generator(3))
partner = torch.randperm(32, generator=generator(4))
ours = mixed_contrast_by_hand(a, b, beta, partner, 0.1)
theirs = soft_contrastive(
    mix(a, beta, partner), b, mixup_targets(beta, partner), 0.1
)
assert torch.allclose(ours, theirs)
say(
    f"Both give {ours:.4f} nats for 32 random pairs; a guess with equal chances has {np.log(32):.4f}."
)

# %% [markdown]
# ## What went wrong in practice
#
# The released code of the paper is public, and three lines of it teach more than the formulas.
#
# 1. **Mixing in place.** `a *= beta` and the like change the embeddings themselves. Three pairs share three views, so by the
#    third pair the "clean" partner has been mixed, with a permutation that the targets know nothing of.
# 2. **Writing instead of adding.** The target of the partner is *written* to entry $(i, \pi(i))$. Where $\pi(i) = i$ it
#    replaces $\beta_i$, and the row sums to $1 - \beta_i$.
# 3. **The contrast is off** in the commands that the README gives for the medical data: a flag is missing.
#
# Each of them is a test of three lines here. What the first two cost:

# %%
targets = torch.diag(beta_shown)
targets[torch.arange(COUNT), partner_shown] = 1 - beta_shown  # the bug
short = targets.sum(1)
often, _ = draw_mixing(32, 0.15, 0.5, generator(5))  # weights as M3CoL draws them
dirty = a.clone()
dirty.mul_(often[:, None]).add_((1 - often[:, None]) * a[partner])  # the other bug
moved = 1 - F.cosine_similarity(dirty, a).mean()
say(
    f"Written instead of added, the rows of the mixup matrix above sum to "
    f"{', '.join(f'{value:.1f}' for value in short)}: person 6, unmixed, is asked to find nobody, and its row does not train. Mixed in place with weights as the method draws them, the partner's "
    f"embeddings (random ones here) have turned by {moved:.2f} in cosine on average before the third pair sees them."
)
assert torch.allclose(
    mixup_targets(beta_shown, partner_shown).sum(1), torch.ones(COUNT)
)
assert not torch.equal(dirty, a)
assert torch.equal(mix(a, often, partner), dirty)  # in new memory

# %% [markdown]
# ## Two worlds whose truth is known
#
# Is the second task of use for the first? Think before you look. The contrast rewards what *both* views tell of a
# person. Whatever only one view knows is useless for finding the person in the other. So the answer should depend on
# where the diagnosis is written: in what the views share, or in what each has for itself.
#
# The chapter's data can be set either way ({py:func}`~mmlab.data.worlds.omics_world.omics_world`). Each person has a few hidden
# factors. Some are shared by the three views, some are private to one view. Each view shows them through 200 noisy
# features. The diagnosis shifts the shared factors in the first world and the private ones in the second. In both the best
# possible accuracy is known in closed form. There are as many people to learn from as in the real study below.
#
# With `data="rosmap"` the same cells run on ROSMAP, a study of ageing and dementia whose three views were prepared by
# {cite}`wang2021mogonet`.

# %%
if data == "rosmap":
    splits = mogonet_rosmap(scale="none", validation=0.2)
    sets = {"ROSMAP": (splits.train, splits.validation, splits.test)}
    ceilings = {}
else:
    strengths = {
        "shared": (1.5, (0.0, 0.0, 0.0)),
        "private": (0.0, (1.0, 1.0, 1.0)),
    }
    worlds = {
        name: omics_world(shared_strength=s, private_strengths=p, noise=8.0)
        for name, (s, p) in strengths.items()
    }
    sets = {
        name: (world.pairs, world.draw(200, seed=98), world.draw(400, seed=99))
        for name, world in worlds.items()
    }
    ceilings = {name: world.bayes_rate for name, world in worlds.items()}
scale = "minmax" if data == "rosmap" else "zscore"  # minmax: as in the paper
sets = {name: rescale(pair, VIEWS, scale) for name, pair in sets.items()}
shapes = dict.fromkeys(VIEWS, (200,))
sizes = ", ".join(
    f"*{name}*: {len(train)} people to train on, {len(test)} to test"
    + (f", best possible accuracy {ceilings[name]:.3f}" if ceilings else "")
    for name, (train, _, test) in sets.items()
)
say(f"{sizes}.")

# %% [markdown]
# ## Beside its baselines
#
# Four networks of the same size, one change at a time: concatenation; the same with a head on each view; with CLIP; and M3CoL. All
# take the same number of steps, and each chooses its learning rate and weight decay from the same three pairs, tried with two seeds, on validation people;
# logistic regression chooses its penalty there. {py:func}`~mmlab.compare.controls.controls` trains them and adds what a paper leaves
# out. The test set is looked at once, after the last step.

# %%
variants = {
    "concatenation": {"contrast": 0.0, "auxiliary": 0.0},
    "auxiliary heads": {"contrast": 0.0},
    "auxiliary heads + CLIP": {"mixed": 0.0, "switch": 2.0},
    "M3CoL": {},
}
training = {
    "steps": steps,
    "batch_size": min(len(train) for train, _, _ in sets.values()),  # nobody twice
    "schedule": "cosine",
    "log_every": steps,
    "progress": False,
}
tries = [
    {"lr": 1e-3, "weight_decay": 1e-3},
    {"lr": 3e-3, "weight_decay": 1e-3},
    {"lr": 3e-3, "weight_decay": 1.0},
]


def builder(arguments):
    return lambda seed: M3CoL(shapes, width=width, **arguments)


compared = {
    name: controls(
        {row: builder(arguments) for row, arguments in variants.items()},
        "M3CoL",
        train,
        test,
        modalities=VIEWS,
        training=training,
        seeds=range(seeds),
        rivals=["logistic regression"],
        validation=validation,
        tries=tries,
        tried_with=min(2, seeds),
    )
    for name, (train, validation, test) in sets.items()
}

# %% tags=["hide-input"]
# Code of the tables
for name, found in compared.items():
    mean, spread = found.mean, found.spread
    ceiling = []
    if name in ceilings:
        ceiling = ["best possible"]
        for frame, value in ((mean, ceilings[name]), (spread, np.nan)):
            frame.loc["best possible"] = [value] + [np.nan] * (frame.shape[1] - 1)
    shuffled = [row for row in mean.index if "shuffled" in row]
    spent = found.budgets.columns()
    sizes = spent["parameters"]
    chosen = {
        row: f"{x['lr']:g}, {x['weight_decay']:g}"
        for row, x in found.chosen.items()
    }
    table(
        mean.assign(
            parameters=sizes, tuned=spent["tuned"], chosen=pd.Series(chosen)
        ),
        f"Label **{name}**: mean ± standard deviation over {seeds} seeds, after {steps} steps for every network. *Chosen* on validation people: learning rate and weight decay. In italics: what does not compete.",
        spread=spread.assign(parameters=np.nan, tuned=np.nan, chosen=np.nan),
        best={
            "accuracy": "higher",
            "macro F1": "higher",
            "AUC": "higher",
            "ECE": "lower",
        },
        reference=["chance", "most frequent class", *shuffled, *ceiling],
        paired=found.scores,
        budgets=found.budgets,
        ceiling=next(iter(ceiling), None),
    )

# %% [markdown]
# *Shuffled* rows hand one view on to the next test person: what is lost tells how much the network uses that view. *Macro F1* is the
# F1 score averaged over classes, *AUC* the probability that somebody who is ill gets a higher score than somebody who is not. *ECE* is
# the expected calibration error {cite}`guo2017calibration`: the mean gap between how sure an answer is and how often it is
# right. (The constant answers are well calibrated. Calibration alone is no merit.)
#
# Seeds are paired: the same seed starts all networks from the same weights, and the interval is that of the differences:
# Student's t, over seeds. It tells what another start would do, on these people. It does *not* tell what other
# people would do.

# %% tags=["hide-input"]
# Code of the figure: paired differences
rows = ["logistic regression", *list(variants)[:-1]]
paired = pd.DataFrame(
    [
        (f"Label {name}", f"minus {row}", 100 * (own - other))
        for name, found in compared.items()
        for row in rows
        for own, other in zip(found.values("M3CoL"), found.values(row), strict=True)
    ],
    columns=["world", "rival", "M3CoL, points of accuracy"],
)
texts = [
    f"{name}: "
    + ", ".join(
        f"{100 * found.differences().loc[row, 'difference']:+.1f} to {row}"
        for row in rows
    )
    for name, found in compared.items()
]
show(
    bars(
        paired, "M3CoL, points of accuracy", by="rival", panel="world",
        references={"no difference": 0.0},
    ),
    alt=f"Differences in accuracy between M3CoL and four rivals, with intervals. {'; '.join(texts)}.",
    caption=(
        f"M3CoL minus each rival, paired by seed: dots are the {seeds} seeds, the large dot is their mean with its 95 % interval. Right of the line M3CoL is higher."
    ),
)  # fmt: skip


def against(name, row):
    short = slug(row)
    return claimed(
        f"m3col-{name.lower()}-{short}",
        compared[name].values("M3CoL"),
        compared[name].values(row),
        direction="higher",
        unit="%",
        better=f"M3CoL is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of M3CoL: {{theirs}} against {{ours}}.",
        undecided=f"M3CoL ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for name in compared:
    say(
        f"Label **{name}**:\n\n"
        + "\n".join(f"- {against(name, row)}" for row in rows)
    )
    claim(
        f"clip-{name.lower()}",
        compared[name].values("auxiliary heads + CLIP"),
        compared[name].values("auxiliary heads"),
        direction="higher",
        unit="%",
        better="CLIP added to the same heads gains: {ours} against {theirs}.",
        worse="CLIP added to the same heads loses: {ours} against {theirs}.",
        undecided="CLIP added to the same heads ({ours}) cannot be told from the heads alone ({theirs}).",
    )

if len(compared) == 2:
    gains = {
        name: [
            100 * (a - b)
            for a, b in zip(
                found.values("auxiliary heads + CLIP"),
                found.values("auxiliary heads"),
                strict=True,
            )
        ]
        for name, found in compared.items()
    }
    claim(
        "clip-shared-against-private",
        gains["shared"],
        gains["private"],
        direction="higher",
        unit="points",
        better="**Does it depend on where the label is?** Yes: CLIP changes the accuracy by {ours} for the shared label, and by {theirs} for the private one.",
        worse="**Does it depend on where the label is?** The other way round: CLIP changes the accuracy by {ours} for the shared label, and by {theirs} for the private one.",
        undecided="**Does it depend on where the label is?** Undecided: CLIP changes the accuracy by {ours} for the shared label, and by {theirs} for the private one.",
    )

# %% [markdown]
# A contrast shapes the embeddings by what both views tell. If the diagnosis is private to the views, that is not the diagnosis (the
# exercise on too much contrast turns this up). If it is shared, there was hope. One thing to check is whether the second task still
# has anything to teach: let the network with CLIP do it, and find each person in the next view, among all others.


# %% tags=["hide-input"]
def found_again(method, people):
    """Share of people whose nearest neighbour in the next view is themselves."""
    with torch.no_grad():
        z, _ = method.encoders(people.tensors)
    own = torch.arange(len(people))
    pairs = zip(VIEWS, VIEWS[1:] + VIEWS[:1], strict=True)
    hits = [cosine_similarity(z[m], z[n]).argmax(1) == own for m, n in pairs]
    return float(torch.stack(hits).double().mean())


def found_by_law(world, people):
    """The same share for somebody who knows the world's law, up to its class: the next view fits the best linear guess best."""
    factors = torch.eye(len(world.shift), dtype=torch.float64)
    factors = factors + torch.outer(world.shift, world.shift)
    noise = world.noise**2 * torch.eye(world.loadings.shape[1], dtype=torch.float64)
    hits = []
    for m, n in ((0, 1), (1, 2), (2, 0)):
        a, b = (people.tensors[VIEWS[view]].double() for view in (m, n))
        ours, next_one = world.loadings[m], world.loadings[n]
        across = next_one @ factors @ ours.T
        guess = across @ torch.linalg.inv(ours @ factors @ ours.T + noise)
        rest = next_one @ factors @ next_one.T + noise - guess @ across.T
        whiten = torch.linalg.cholesky(torch.linalg.inv(rest))
        unlike = torch.cdist(a @ guess.T @ whiten, b @ whiten)
        hits.append(unlike.argmin(1) == torch.arange(len(a)))
    return float(torch.stack(hits).double().mean())


first = next(iter(sets))
train, validation, test = sets[first]
searcher = compared[first].trained["auxiliary heads + CLIP"][0]
some = test.subset(range(min(len(train), len(test))))
say(
    f"Of {len(train)} people of the training set ({first}) it finds {100 * found_again(searcher, train):.0f} per cent; of {len(some)} new "
    f"people {100 * found_again(searcher, some):.1f}. Chance would find {100 / len(some):.1f}."
    + (
        f" Somebody who knows the law of this world finds {100 * found_by_law(worlds[first], worlds[first].draw(len(test), seed=99).subset(range(len(some)))):.0f}."
        if ceilings
        else ""
    )
)

# %% [markdown]
# Where the first number is far above the second, most of what was learnt is about these people, by heart. What lies between the second
# number and chance carries over to new ones, and what is missing to the last one the views hold as well. Whether
# so few people are enough to learn it, no run here says.
#
# The best possible classifier is linear in these worlds, so logistic regression is at home. Real data need not be linear.
#
# ## The real data
#
# ROSMAP: post-mortem brain tissue, 245 people to train on and 106 to test, Alzheimer's disease or not, split and prepared
# by {cite}`wang2021mogonet`. The table, over five seeds, is on the page [Measured on real data](../book/measured.md). To
# repeat it, put the prepared set under `MMLAB_DATA` and run `benchmarks/rosmap.py`, or set `data="rosmap"` here: the
# same cells run, and the claims are decided anew. When you read it, ask of each difference to concatenation how much of it the
# auxiliary heads have already, and whether the interval holds zero.
#
# Two cautions. The 200 features of each view were selected by the authors of the set beforehand, so all scores may be
# too high. And with 106 test people one person is about a point of accuracy.
#
# The paper's own table could not be checked against its source when this was written. So it is not printed here.
#
# ## What it is worth to choose the epoch on the test set
#
# The released code looks at the test score every ten epochs and reports the highest. There is no validation set. What would
# this buy? Train plain concatenation, look after every step through a hook (a batch holds all people once, so a step is an epoch), and
# compare the highest look with the last.


# %%
class Watched(M3CoL):
    """Looks at the test set after every step; a fault, made on purpose."""

    def after_step(self):
        score = accuracy(self.predict(test.tensors), test.tensors["label"])
        self.looks = [*getattr(self, "looks", []), score]


looks = []
for seed in range(seeds):
    method = Watched.seeded(seed, shapes, width=width, **variants["concatenation"])
    fit(
        method,
        train,
        seed=seed,
        **training | compared[first].chosen["concatenation"],
    )
    looks.append(method.looks)
looks = 100 * np.array(looks)
gain = looks.max(1) - looks[:, -1]

# %% tags=["hide-input"]
# Code of the figure: looking at the test set
watched = pd.DataFrame(looks.T, index=range(1, looks.shape[1] + 1))
watched.columns = [f"seed {seed}" for seed in range(seeds)]
figure = Figure(figsize=(5.6, 3.2), layout="constrained")
axes = figure.subplots()
sns.lineplot(watched, dashes=False, ax=axes)
for seed, line in enumerate(looks):
    axes.plot(line.argmax() + 1, line.max(), "o", color=COLOURS[seed])
    axes.plot(len(line), line[-1], "s", color=COLOURS[seed], ms=5)
axes.set(xlabel="step", ylabel="test accuracy (%)")
show(
    figure,
    alt=(
        f"Test accuracy over {steps} steps for {seeds} seeds. The highest looks are {', '.join(f'{v:.1f}' for v in looks.max(1))} per "
        f"cent, the last ones {', '.join(f'{v:.1f}' for v in looks[:, -1])}."
    ),
    caption=(
        f"Circles: the highest look at the test set. Squares: the last step. The circles are {gain.mean():.1f} points higher on average; "
        "they are never lower, since a maximum is taken."
    ),
)
say(
    f"Choosing by test score prints **{gain.mean():.1f} points** more here, with {len(test)} test people. Early stopping can be had honestly: "
    "choose the step on people set aside from the *training* set."
)

# %% [markdown]
# ## A view is missing, or noisy
#
# In a clinic the third assay may not have been made. Keep the trained networks, and take one view from all test people; or
# add noise to it, three times as large as its spread. A missing view is part of the batch (`mrna_present`), and what stands
# in its place is never read.

# %%
damaged = {"all views": test}
for view in VIEWS:
    absent = torch.zeros(len(test), dtype=torch.bool)
    damaged[f"no {view}"] = TensorData(test.tensors | {f"{view}_present": absent})
noise = torch.randn(test.tensors["mrna"].shape, generator=generator(5))
noise = 3 * train.tensors["mrna"].std(0) * noise
damaged["noisy mrna"] = TensorData(
    test.tensors | {"mrna": test.tensors["mrna"] + noise}
)
rows = ["logistic regression", *variants]
again = {name: compared[first].on(other) for name, other in damaged.items()}
for metric, better in (("accuracy", "higher"), ("ECE", "lower")):
    frame = pd.DataFrame(
        {name: found.mean.loc[rows, metric] for name, found in again.items()}
    )
    spread = pd.DataFrame(
        {name: found.spread.loc[rows, metric] for name, found in again.items()}
    )
    table(
        frame,
        f"**{metric}** with damaged test sets ({first}), mean ± standard deviation over {seeds} seeds. Nothing was trained for this.",
        spread=spread,
        best=dict.fromkeys(frame.columns, better),
        paired=pd.DataFrame(
            {name: found.scores[metric] for name, found in again.items()}
        ).loc[rows],
    )


def damaged_claim(case, row):
    short = slug(f"{case} {row}")
    return claimed(
        f"damaged-{short}",
        again[case].values("M3CoL"),
        again[case].values(row),
        direction="higher",
        unit="%",
        better=f"M3CoL keeps more than *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* keeps more than M3CoL: {{theirs}} against {{ours}}.",
        undecided=f"M3CoL ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for case in list(damaged)[1:]:
    say(
        f"**{case}**\n\n"
        + "\n".join(
            f"- {damaged_claim(case, row)}"
            for row in ("concatenation", "auxiliary heads", "logistic regression")
        )
    )

# %% [markdown]
# The linear model replaces a missing view by its mean, which is the neutral answer in each feature. The networks
# replace the *embedding* by zeros, which they have not met in training. Whoever expects missing views should hide some in
# training, too.

# %% tags=["hide-input"]
record(
    accuracy={
        name: {
            row: found.scores.loc[source]["accuracy"].tolist()
            for row, source in {
                "m3col": found.proposed,
                "concatenation": "concatenation",
                "logistic regression": "logistic regression",
            }.items()
        }
        for name, found in compared.items()
    },
    **{
        f"accuracy_{row.replace(' + ', '_').replace(' ', '_').lower()}_{name}".lower(): float(
            found.mean.loc[row, "accuracy"]
        )
        for name, found in compared.items()
        for row in ("logistic regression", *variants)
    },
    gain_of_choosing_on_test=float(gain.mean()),
    budget={name: found.budgets.plain() for name, found in compared.items()},
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} The targets of mixtures (code)
# :label: m3col-targets
#
# Write the matrix (4) from the weights $\beta$, of shape (B,), and the partners, a permutation of shape (B,). Some people
# are their own partner.
# ```

# %% tags=["stub:targets"]
from mmlab.exercises.m3col import check_targets


def targets_of_mixtures(weight, partner):
    return ...


check_targets(targets_of_mixtures)

# %% [markdown]
# ```{solution-start} m3col-targets
# :class: dropdown
# ```


# %% tags=["solution:targets"]
def targets_of_mixtures(weight, partner):
    own = torch.eye(len(weight))  # 1[j = i]
    other = own[partner]  # 1[j = π(i)]
    return weight[:, None] * own + (1 - weight[:, None]) * other


check_targets(targets_of_mixtures)

# %% [markdown]
# A sum of two permutation matrices, weighted by rows: written like this, the bug cannot happen.
#
# ```{solution-end}
# ```
#
# ```{exercise} How often does the bug bite? (compute)
# :label: m3col-partners
#
# The released code *writes* $1 - \beta_i$ to the place of the partner. A person with $\beta_i = 0.6$ is their own partner. To
# what does the row of the targets sum? And how many people of a batch of 100 are their own partner, on average over random
# permutations?
# ```

# %% tags=["stub:partners"]
from mmlab.exercises.m3col import check_partners

row_sum = ...
own_partners = ...

check_partners((row_sum, own_partners))

# %% [markdown]
# ```{solution-start} m3col-partners
# :class: dropdown
# ```

# %% tags=["solution:partners"]
row_sum = 1 - 0.6  # β itself is written over
own_partners = 100 * (1 / 100)  # each partner has the same chance

check_partners((row_sum, own_partners))

# %% [markdown]
# One person per batch, for any size of batch. Simulated:

# %%
counts = [
    int((torch.randperm(100, generator=generator(seed)) == torch.arange(100)).sum())
    for seed in range(2000)
]
say(
    f"In 2000 permutations of 100 people, {np.mean(counts):.2f} are their own partners on average, and in "
    f"{np.mean(np.array(counts) > 0):.0%} of the permutations somebody is."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Rows of any sum (code)
# :label: m3col-rows
#
# Write the derivative of $-\sum_{ij} T_{ij} \log P_{ij}$ by the similarities $s_{ij}$, as a function of $P$ and $T$, both (B, B). The rows of $T$ may have any
# sum, zero included. Then read off what your formula does with a row of zeros.
# ```

# %% tags=["stub:pull"]
from mmlab.exercises.m3col import check_pull


def derivative(P, T):
    return ...


check_pull(derivative)

# %% [markdown]
# ```{solution-start} m3col-rows
# :class: dropdown
# ```


# %% tags=["solution:pull"]
def derivative(P, T):
    return P * T.sum(1, keepdim=True) - T


check_pull(derivative)

# %% [markdown]
# A row of zeros has the derivative zero: nobody is pulled, nobody is pushed.
#
# ```{solution-end}
# ```
#
# ```{exercise} A contrast with too much say (think)
# :label: m3col-weight
#
# Turn $\lambda$ up from 0.1 to 10, at the rate that was chosen for 0.1, for a label that is private to the views and for one that
# they share. In which world does the accuracy fall further? Say what you expect, and why, before you look.
# ```
#
# ```{solution-start} m3col-weight
# :class: dropdown
# ```

# %%
falls = []
for name, (train, _, test) in sets.items():
    strong = controls(
        {"CLIP": builder({"contrast": 10.0, "mixed": 0.0, "switch": 2.0})},
        "CLIP",
        train,
        test,
        modalities=VIEWS,
        training=training | compared[name].chosen["auxiliary heads + CLIP"],
        seeds=range(seeds),
        rivals=(),
    )
    plain = compared[name].values("auxiliary heads")
    falls.append(
        [100 * (a - b) for a, b in zip(strong.values("CLIP"), plain, strict=True)]
    )
    claim(
        f"too-much-contrast-{name.lower()}",
        strong.values("CLIP"),
        compared[name].values("auxiliary heads"),
        direction="higher",
        unit="%",
        better=f"Label *{name}*: with $\\lambda = 10$ the accuracy rises, {{ours}} against {{theirs}} without a contrast.",
        worse=f"Label *{name}*: with $\\lambda = 10$ the accuracy falls by {{gap}}, to {{ours}}.",
        undecided=f"Label *{name}*: with $\\lambda = 10$ ({{ours}}) and without a contrast ({{theirs}}), undecided.",
    )
claim(
    "private-label-suffers-more",
    falls[-1],
    falls[0],
    direction="lower",
    unit="points",
    better="The label of the last world falls further than that of the first: {ours} and {theirs}.",
    worse="The label of the first world falls further than that of the last: {theirs} and {ours}.",
    undecided="In which of the worlds it falls further is undecided in this run: {theirs} in the first, {ours} in the last.",
)
say(
    "The argument for the private label is that a contrast rewards what finds the person in the next view, and a private label is not of that kind. "
    "But whatever the label is, so large a weight also leaves less of the training to the diagnosis. Where the two worlds cannot be told apart, this run "
    "gives the first reason no support."
)

# %% [markdown]
# The second reason is the same for both labels. So where one falls further, it is not the whole answer. The worlds also differ in how strongly each view shows the diagnosis, which no run here holds fixed.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} What happens to a row of targets that sums to R, and to one that sums to zero?
# Its derivative is $R\,(P - T/R)$. The row still goes to its normalised targets, with the weight $R$. At $R = 0$ there is no derivative: the row does not train. The
# derivatives of a row add up to zero in every case.
# ```
#
# ```{dropdown} Why is CLIP the limit of SoftClip for cold targets, but not for a small temperature of everything?
# In (5) the largest cosine of a row is that with itself. As the temperature of the *targets* goes to zero, the softmax puts
# all weight on it. If the temperature of the guess goes to zero as well, the loss grows without bound where the guess is wrong.
# ```
#
# ```{dropdown} Whoever has the test labels in hand chooses the best of twenty epochs. Why is this cheating, if nothing was trained on the test set?
# The maximum of noisy numbers is larger than their mean. The epoch was fitted to these test people; on others the part of its advantage that was luck is gone.
# ```
#
# ## Limits
#
# The worlds are linear and Gaussian; real expression data are neither. All networks here are small and see few hundred people.
# With hundreds of millions of unlabelled pairs {cite}`radford2021clip` a contrast meets far more pairs than it can learn by heart, and
# the label comes later. Nothing here speaks against that. λ, the temperatures and the phases are the paper's; rate and weight decay were
# chosen for every row among the same three pairs, with two seeds; where a row chose the largest of a list, a larger value may suit it more. The paper also has images with text, with pre-trained encoders; that claim was not measured here.
#
# ## In five lines
#
# - One contrastive loss, four targets: the identity, mixtures, similarities, the other view of a pair.
# - The derivative of a row is $R\,(P - T/R)$: the sum of a row of targets is its weight.
# - Add the partner's share, do not write it; mix in new memory.
# - A contrast rewards what the views share. Ask whether the label is of that kind, and whether the pairs are more than can be learnt by heart.
# - Compare with the same heads without the contrast, and with a tuned line; use the claims above, not the means.
#
# ## What to read next
#
# - {cite}`m3col`: the paper. {cite}`gao2024softclip` and {cite}`kim2020mixco` for its two parts, {cite}`scotti2023mindeye` for
#   the same two parts one after the other, on brain recordings.
# - {cite}`chen2020simclr` for NT-Xent: the fourth matrix.
# - {cite}`wang2021mogonet` for the data and a graph network on them.

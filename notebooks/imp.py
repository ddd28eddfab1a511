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
# # One encoder, one task per step: IMP
#
# **One network shall read pictures and sounds, tell their classes, and find which belong together. Should a step of training do all tasks at once, or take turns?**
#
# Adding up the losses is what everybody writes first. It needs a batch of every task in every step. IMP {cite}`imp` takes turns instead: each step has one
# task, with its own data, and the encoder is the same for all. So that images and sounds do not get in each other's way inside one encoder, some of its layers have *experts* that choose
# their tokens {cite}`zhou2022experts`. The paper reports that this integrates modalities at a small part of the usual training cost.
#
# A comparison of "per step" would be unfair to a method whose steps are small. This chapter counts what a step costs, works out what turns do to the noise of the gradient, and gives
# the sum the same two things that turns have: as much computation, and as many steps.
#
# **After this chapter you can**
#
# - route tokens to experts that choose, with the load of each expert exact by construction;
# - show that turns follow the gradient of the sum in expectation, and compute what they add to its variance;
# - count the passes through an encoder for different schedules, and set up a comparison at equal cost;
# - name the baseline that has as many steps *and* as much computation.
#
# You need transformers, and a contrastive loss as in [M3CoL](m3col.ipynb). Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
origin = "synthetic"  # "real" where MMLAB_DATA has MNIST and FSDD
seeds: int = 5
steps: int | None = None  # of those rows that do one task in each

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifier
from torch import nn

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.methods.imp import IMP, ExpertChoice, expert_choice
from mmlab.metrics.classification import accuracy
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 99, "gpu": 3000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "i": Box(0, 0, "image"),
    "a": Box(0, 1.2, "audio"),
    "ei": Box(1, 0, "patches", "trained"),
    "ea": Box(1, 1.2, "patches", "trained"),
    "z": Box(2, 0.6, "one encoder\nfor both", "trained"),
    "c": Box(3, 0, "class of one", "loss"),
    "p": Box(3, 1.2, "partners of both", "loss"),
}
arrows = [
    Arrow("i", "ei"),
    Arrow("a", "ea"),
    Arrow("ei", "z"),
    Arrow("ea", "z"),
    Arrow("z", "c"),
    Arrow("z", "p"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: image and audio are cut into patches, each by a layer of its own. Both go through one encoder. From it two arrows lead to the tasks: the class of one "
        "modality, and finding partners of both."
    ),
    caption="Only the first layer and the heads (not drawn) belong to a modality. In a step of IMP one task of the right side is done.",
)

# %% [markdown]
# ## Experts that choose
#
# Patches of either modality become tokens $x_t$ of width $D$. In every second block the perceptron is replaced by $E$ of them, the experts. A linear router says how much each token
# is for each expert,
#
# $$g_{te} = \operatorname{softmax}_e(w_e \cdot x_t). \tag{1}$$
#
# If tokens chose their experts, some experts would be crowded and others idle. So experts choose: expert $e$ takes the $k$ tokens with the largest $g_{te}$,
#
# $$S_e = \operatorname{top}_k\,(g_{1e}, \dots, g_{Te}), \qquad k = c\,T/E, \tag{2}$$
#
# and a token gets what those that took it make of it:
#
# $$y_t = \sum_{e:\, t \in S_e} g_{te}\, f_e(x_t). \tag{3}$$
#
# With the capacity $c = 1$ the layer costs as much as a single perceptron, whatever $E$ is, but for the router; a token may be taken by several experts, or by none. Here the tokens
# of *one item* compete. If those of a whole batch do, an answer depends on what else is in the batch.


# %%
def experts_by_hand(layer, x):
    """Equations (1) to (3), expert by expert, for one item of T tokens."""
    g = torch.softmax(x @ layer.router.weight.T, 1)  # (T, E)
    y, (count, expert_count) = torch.zeros_like(x), g.shape
    for e in range(expert_count):
        k = max(1, round(layer.capacity * count / expert_count))
        chosen = g[:, e].topk(k).indices
        hidden = nn.functional.gelu(x[chosen] @ layer.into[e] + layer.bias[e])
        y[chosen] += g[chosen, e, None] * (hidden @ layer.out[e])
    return y


torch.manual_seed(0)
layer, x = ExpertChoice(8, 4), torch.randn(1, 12, 8)
assert torch.allclose(layer(x)[0], experts_by_hand(layer, x[0]), atol=1e-6)
index, _ = expert_choice(layer.router(x).softmax(-1), 1.0)
taken = torch.bincount(index.flatten(), minlength=12)
say(
    f"By hand and in the package the same. Of 12 tokens each of the 4 experts takes {index.shape[2]}: {int((taken == 0).sum())} are taken by none, "
    f"{int((taken > 1).sum())} by more than one."
)

# %% [markdown]
# ## Turns, and what they add to the noise
#
# The tasks are the class from one modality, and for a pair of modalities the contrast of partners,
#
# $$L_m = \mathrm{CE}\big(h_m(z_m),\, y\big), \tag{4}$$
#
# $$L_{mn} = \tfrac12\big[\mathrm{CE}(s, I) + \mathrm{CE}(s^\top, I)\big], \qquad s_{ij} = \cos(a_i, b_j)/\tau, \tag{5}$$
#
# with $z_m$ the mean of the encoder's tokens and $a$, $b$ projections of two modalities. A step draws one of the $N$ tasks, $t \sim \text{uniform}$, and minimises
#
# $$L = L_t, \qquad \mathbb E\,\nabla L = \tfrac1N \sum_t \nabla L_t . \tag{6}$$
#
# So turns follow the gradient of the mean of tasks, on average. What about its variance? Let a batch of $b$ items give task $t$ a gradient with mean $\mu_t$ and variance
# $\sigma_t^2/b$. A step with one random task has the variance
#
# $$\tfrac1N\sum_t \frac{\sigma_t^2}{b} + \operatorname{Var}_t(\mu_t). \tag{7}$$
#
# For the same cost one can do all $N$ tasks with $b/N$ items each, and average: $\tfrac1{N^2} \sum_t \sigma_t^2 N / b$, which is the first term of (7) alone. **At equal cost and
# equally many steps, turns have all the noise of small batches, and on top the disagreement of tasks.** So where could an advantage come from? From more steps than the sum over *large* batches has; from a
# contrast with more items to choose among; from an optimiser that divides by the size of each gradient. The rows below tell these apart as far as they can.
#
# Two things are different in the runs below. Turns go in a circle: what the tasks disagree about in one step is made up for within the circle, while turns at random add it up. And the
# tasks of a step share their items, where (7) supposes that each draws its own. If they share them, a sum need not read an item once for every task: once is enough. For the same cost
# each step then has two thirds of the items that turns have, and not one third.
#
# ## Counting
#
# The unit is one item of one modality going through the encoder. With $b$ items, a step with an image task costs $b$, with an audio task $b$, with the pair $2b$. In the paper each task has
# data of its own, so a step of the sum costs all of them: $4b$. For three steps of turns there is one of the sum. With shared items and features that are used again, it is $2b$.

# %%
BATCH = 48
COST = {"image": 1, "audio": 1, "audio+image": 2}  # passes per item of the batch
cycle = sum(COST.values()) * BATCH
plan = {
    "turns": (steps, BATCH, steps * cycle // 3),
    "summed, large batches": (steps // 3, BATCH, steps // 3 * cycle),
    "summed, small batches": (steps, BATCH // 3, steps * cycle // 3),
    "summed, features reused": (steps, 2 * BATCH // 3, steps * cycle // 3),
}
say(
    "\n".join(
        f"- {name}: {count} steps with {size} items for each task, {passes} passes"
        for name, (count, size, passes) in plan.items()
    )
)

# %% [markdown]
# ## Data and rows
#
# Pictures and sounds of digits ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`): images with three quarters of their variance taken away, and spectrograms of spoken digits in
# noise. Each seed has its own 1500 of 3000 training pairs, its own start and order. The class is told from *one* modality at a time: no fusion here, one encoder.
#
# | row | what it is |
# | --- | --- |
# | IMP | turns, experts in the one block |
# | summed, large batches | the mean of all losses in each step, a third as many steps |
# | summed, small batches | the same with a third of the items, as many steps |
# | summed, features reused | the same items serve all tasks, each going through the encoder once: two thirds of the items, as many steps |
# | perceptrons | IMP without experts, as much computation, fewer parameters |
# | an encoder each | IMP with one encoder for each modality: more parameters, as much computation |
# | linear classifier | least squares with a penalty, on the pixels of one modality |
#
# Each network chooses its learning rate among three, by the mean of both accuracies on 500 validation pairs; the linear classifier its penalty among three, for each modality and seed. Turns go in a circle here and not at random: then all seeds can be trained side by
# side ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`).

# %%
splits = av_mnist_mini(origin=origin, snr=-6.0)
ITEMS, RATES = 1500, (1e-2, 3e-2, 6e-2)
shapes = {m: tuple(splits.train.tensors[m].shape[1:]) for m in ("audio", "image")}


class InTurn(IMP):
    """One task after the other, in a circle."""

    turn = 0

    def loss(self, batch, rng):
        task = self.tasks[self.turn % len(self.tasks)]
        self.turn += 1
        return {"loss": self.task_loss(batch, task)}


class Summed(IMP):
    """All tasks in each step."""

    def loss(self, batch, rng):
        losses = [self.task_loss(batch, task) for task in self.tasks]
        return {"loss": torch.stack(losses).mean()}


class Reused(IMP):
    """All tasks in each step, from one pass of each modality."""

    def loss(self, batch, rng):
        z = {m: self.embedding(batch, m) for m in self.modalities}
        label, to = batch["label"], self.towards
        losses = [
            nn.functional.cross_entropy(self.answers[m](z[m]), label) for m in z
        ]
        a, b = (to[m](z[m]) for m in self.modalities)
        own = identity_targets(len(a), a)
        losses.append(soft_contrastive(a, b, own, self.temperature))
        return {"loss": torch.stack(losses).mean()}


class Apart(InTurn):
    """An encoder for each modality."""

    def __init__(self, shapes, **arguments):
        super().__init__(shapes, **arguments)
        other = IMP(shapes, **arguments)
        self.others = other.blocks

    def encode(self, tokens, modality):
        for block in self.others if modality == "audio" else self.blocks:
            tokens = block(tokens, tokens)
        return self.norm(tokens).mean(1)


SHAPE = {"grid": 2, "depth": 1}
networks = {
    "summed, large batches": (Summed, *plan["summed, large batches"][:2], {}),
    "summed, small batches": (Summed, *plan["summed, small batches"][:2], {}),
    "summed, features reused": (Reused, *plan["summed, features reused"][:2], {}),
    "perceptrons": (InTurn, *plan["turns"][:2], {"experts": 0}),
    "an encoder each": (Apart, *plan["turns"][:2], {}),
    "IMP": (InTurn, *plan["turns"][:2], {}),
}
mine = [
    splits.train.subset(
        torch.randperm(
            len(splits.train), generator=torch.Generator().manual_seed(seed)
        )[:ITEMS]
    )
    for seed in range(seeds)
]


def scored(method, part):
    batch = part.tensors
    return {m: accuracy(method.predict(batch, m), batch["label"]) for m in shapes}


def trained(row, lr):
    kind, count, size, arguments = networks[row]
    methods = [kind.seeded(s, shapes, **SHAPE, **arguments) for s in range(seeds)]
    fit_side_by_side(
        methods, mine, steps=max(count, 1), batch_size=size, lr=lr, schedule="cosine",
        log_every=max(count, 1), progress=False,
    )  # fmt: skip
    return methods


kept, chosen, lines = {}, {}, []
for row in networks:
    tries = [trained(row, lr) for lr in RATES]
    by_rate = [
        np.mean([v for m in made for v in scored(m, splits.validation).values()])
        for made in tries
    ]
    chosen[row] = int(np.argmax(by_rate))
    kept[row] = tries[chosen[row]]
    for seed, method in enumerate(kept[row]):
        found = scored(method, splits.test)
        lines.append({"method": row, "seed": seed} | found)

PENALTIES = (1e2, 1e3, 1e4)


def regression(modality, seed):
    """The best of three penalties by validation; accuracy on the test."""
    parts = [mine[seed], splits.validation, splits.test]
    x = [part.tensors[modality].flatten(1).numpy() for part in parts]
    y = [part.tensors["label"].numpy() for part in parts]
    models = [RidgeClassifier(alpha=p).fit(x[0], y[0]) for p in PENALTIES]
    return max(models, key=lambda m: m.score(x[1], y[1])).score(x[2], y[2])


for seed in range(seeds):
    found = {m: regression(m, seed) for m in shapes}
    lines.append({"method": "linear classifier", "seed": seed} | found)
scores = pd.DataFrame(lines)

# %% tags=["hide-input"]
# Code of the table
budgets = Budgets(
    "IMP",
    {
        row: Spent(
            networks[row][1],
            sum(p.numel() for p in kept[row][0].parameters()),
            ("learning rate",),
            len(RATES),
        )
        for row in networks
    }
    | {"linear classifier": Spent(tuned=("penalty",), tries=len(PENALTIES))},
)
table_over_seeds(
    scores,
    f"Accuracy on {len(splits.test)} test items, from one modality. All networks made {plan['turns'][2]} passes through an encoder or fewer.",
    best={"audio": "higher", "image": "higher"},
    digits=3,
    order=["linear classifier", *networks],
    budgets=budgets,
)
say(
    "Rates chosen: "
    + ", ".join(f"*{row}* {RATES[at]:g}" for row, at in chosen.items())
    + "."
)
record(
    accuracy={
        row: {m: round(float(part[m].mean()), 4) for m in shapes}
        for row, part in scores.groupby("method")
    },
    budget=budgets.plain(),
)

# %% [markdown]
# **IMP against each row.** Audio first: the claims that are registered are about it. A row with fewer steps has fewer steps at the same cost;
# the budget under the table says what each row had more of.


# %%
def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def values(row, modality):
    part = scores[scores["method"] == row].sort_values("seed")
    return part[modality].tolist()


NAMES = {"perceptrons": "experts-perceptrons"}


def against(row, modality):
    name = NAMES.get(row, slug(row)) + ("" if modality == "audio" else "-image")
    return claimed(
        f"imp-{name}",
        values("IMP", modality),
        values(row, modality),
        direction="higher",
        unit="%",
        better=f"IMP is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of IMP: {{theirs}} against {{ours}}.",
        undecided=f"IMP ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


rivals = [row for row in ["linear classifier", *networks] if row != "IMP"]
for modality in shapes:
    say(
        f"Accuracy from **{modality}**:\n\n"
        + "\n".join(f"- {against(row, modality)}" for row in rivals)
    )
claim(
    "small-batches-large-batches",
    values("summed, small batches", "audio"),
    values("summed, large batches", "audio"),
    direction="higher",
    unit="%",
    better="The same sum, with small batches and three times the steps, is ahead of large batches in audio: {ours} against {theirs}. Neither takes turns: so much comes without them.",
    worse="The same sum, with small batches and three times the steps, is behind large batches in audio: {ours} against {theirs}.",
    undecided="The same sum with small batches and three times the steps ({ours}) and with large batches ({theirs}) cannot be told apart in audio.",
)
claim(
    "features-reused-small-batches",
    values("summed, features reused", "audio"),
    values("summed, small batches", "audio"),
    direction="higher",
    unit="%",
    better="Reading each item once, and twice as many of them, is ahead of small batches that are read for every task: {ours} against {theirs} in audio, at the same cost.",
    worse="Reading each item once, and twice as many of them, is behind small batches that are read for every task: {ours} against {theirs} in audio, at the same cost.",
    undecided="Reading each item once, and twice as many of them ({ours}), and small batches that are read for every task ({theirs}) cannot be told apart in audio.",
)

# %% tags=["hide-input"]
# Code of the figure: paired differences
gap = "IMP − rival, points of accuracy"
pairs = pd.DataFrame(
    [
        (modality, row, 100 * (a - b))
        for modality in shapes
        for row in rivals
        for a, b in zip(values("IMP", modality), values(row, modality), strict=True)
    ],
    columns=["modality", "rival", gap],
)
means = pairs.groupby(["modality", "rival"], sort=False)[gap].mean()
show(
    bars(
        pairs, gap, by="rival", panel="modality", references={"no difference": 0.0}
    ),
    alt="IMP minus each rival in points of accuracy. "
    + " ".join(
        f"{m}: " + ", ".join(f"{row} {means[m, row]:+.1f}" for row in rivals) + "."
        for m in shapes
    ),
    caption="Paired differences: small dots are seeds, the large dot is their mean with its 95 % interval. To the left of the dashed line the rival has the higher accuracy.",
    label="imp-differences",
)

# %% [markdown]
# ## Do the tasks disagree?
#
# The second term of (7) can be measured. Take the gradient of each task with respect to the encoder's blocks on six batches of 48 training items: their mean stands for $\mu_t$, and
# their variance is the noise. (The mean of six is noisy as well; that is taken off.) What share of the variance of a step in turns is disagreement?

# %% tags=["hide-input"]
# Code of the measurement: terms of (7)


def gradient(method, batch, task):
    """The gradient of a task with respect to the blocks, as one vector."""
    method.zero_grad()
    method.task_loss(batch, task).backward()
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
            for p in method.blocks.parameters()
        ]
    ).double()


def terms(method, train, draws=6):
    """Both terms of (7): the noise of batches, and the variance between tasks."""
    batches = [
        {k: v[at : at + BATCH] for k, v in train.tensors.items()}
        for at in range(0, draws * BATCH, BATCH)
    ]
    each = torch.stack(
        [
            torch.stack([gradient(method, batch, task) for batch in batches])
            for task in method.tasks
        ]
    )  # (tasks, draws, parameters)
    noise = each.var(1).sum(-1)  # (tasks,)
    between = each.mean(1).var(0, correction=0).sum()
    # the mean of few batches is noisy itself; take its share off
    count = len(noise)
    between = between - noise.mean() / draws * (count - 1) / count
    return noise.mean().item(), max(between.item(), 0.0)


shares = []
for when, methods in (
    ("at the start", [InTurn.seeded(s, shapes, **SHAPE) for s in range(seeds)]),
    ("after training", kept["IMP"]),
):
    for method, train in zip(methods, mine, strict=True):
        noise, between = terms(method, train)
        shares.append({"when": when, "share": between / (noise + between)})
shares = pd.DataFrame(shares)
by_time = shares.groupby("when", sort=False)["share"].mean()
show(
    bars(shares, "share", by="when"),
    alt="Share of (7) that is disagreement of the tasks: "
    + ", ".join(f"{when} {value:.2f}" for when, value in by_time.items())
    + ".",
    caption="Share of the variance of a step in turns that comes from tasks that disagree, for a batch of 48. Dots are seeds.",
    label="imp-disagreement",
)
early, late = (
    shares[shares["when"] == when]["share"].tolist()
    for when in ("at the start", "after training")
)
claim(
    "disagreement-late-early",
    late,
    early,
    direction="lower",
    better="After training the tasks disagree less, as a share of the noise of a step, than at the start: {ours:.2f} against {theirs:.2f}.",
    worse="After training the tasks disagree more, as a share of the noise of a step, than at the start: {ours:.2f} against {theirs:.2f}.",
    undecided="The share of disagreement after training ({ours:.2f}) and at the start ({theirs:.2f}) cannot be told apart.",
)

# %% [markdown]
# The contrast of small batches has 16 items to choose among, that with features reused 32, and that of turns 48, which (7) does not speak about. A run with the same number of items to choose
# among would tell; it would no longer cost the same.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Experts that choose (code)
# :label: imp-choose
#
# Write (1) to (3) for one item. You get tokens (T, D), the router's weights (E, D), the capacity, and a list of E functions, each from (k, D) to (k, D). Return (T, D).
# ```

# %% tags=["stub:choose"]
from mmlab.exercises.imp import check_choose


def choose(x, router, capacity, experts):
    return ...


check_choose(choose)

# %% [markdown]
# ```{solution-start} imp-choose
# :class: dropdown
# ```


# %% tags=["solution:choose"]
def choose(x, router, capacity, experts):
    g = torch.softmax(x @ router.T, dim=1)  # (T, E)
    k = round(capacity * len(x) / len(experts))
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        taken = g[:, e].topk(k).indices
        y[taken] += g[taken, e, None] * expert(x[taken])
    return y


check_choose(choose)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What a schedule costs (compute)
# :label: imp-cost
#
# Three modalities; a task for each modality and one for each pair. Batches have 32 items for each task, and each task has its own data. How many passes does (a) a circle of turns make, (b) one
# step of the sum? (c) If all tasks of a step of the sum shared the *same* 32 items, and each item's features were used again, how many would it be?
# ```

# %% tags=["stub:cost"]
from mmlab.exercises.imp import check_cost

circle = ...
summed = ...
shared = ...

check_cost((circle, summed, shared))

# %% [markdown]
# ```{solution-start} imp-cost
# :class: dropdown
# ```
#
# Three tasks of one modality and three of two: nine passes per item.

# %% tags=["solution:cost"]
circle = (3 * 1 + 3 * 2) * 32
summed = (3 * 1 + 3 * 2) * 32
shared = 3 * 32

check_cost((circle, summed, shared))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The noise of turns (derive)
# :label: imp-noise
#
# Write (7) as a function of the means (N,), the variances σ² of single items (N,) and b; return both the variance of a step in turns, and that of all tasks with b/N items each.
# ```

# %% tags=["stub:noise"]
from mmlab.exercises.imp import check_noise


def noise(means, variances, b):
    turns = ...
    small = ...
    return turns, small


check_noise(noise)

# %% [markdown]
# ```{solution-start} imp-noise
# :class: dropdown
# ```
#
# The law of total variance: the mean of the variances within a task, and the variance of the means. With $N$ independent parts averaged, each with the variance $\sigma_t^2 N/b$, there is
# $\tfrac1{N^2}\sum_t \sigma_t^2 N/b$.


# %% tags=["solution:noise"]
def noise(means, variances, b):
    turns = variances.mean() / b + means.var(correction=0)
    small = variances.mean() / b
    return turns, small


check_noise(noise)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does nobody have to balance the experts' load here?
# Each expert takes exactly k tokens, by (2). What is not balanced is the tokens: some are taken by none and pass through the residual unchanged.
# ```
#
# ```{dropdown} Why must tokens of one item compete, and not those of a batch?
# If those of a batch do, an item's answer depends on its neighbours. At test this would be a leak from one item to the other.
# ```
#
# ```{dropdown} The sum could use each item's features for all its tasks. Is that not cheaper?
# Where all tasks have the same items, yes: half as many passes here. The row *summed, features reused* spends them on twice the items of *summed, small batches*. Turns cannot do that. In the paper each task has its own data.
# ```
#
# ## In five lines
#
# - Turns follow the gradient of the mean of tasks, one task at a time.
# - At equal cost and equal steps, turns at random are noisier than the sum by the disagreement of tasks.
# - A comparison with the sum over large batches compares numbers of steps as well; where tasks share their items, the rival is a sum that reads each item once.
# - Experts that choose have an exact load and cost no more but for the router; what they do to the accuracy is a question for the table.
# - The control for a shared encoder is an encoder each, at the same cost.
#
# ## Limits, and what to read next
#
# - Two modalities, three tasks, small networks; an item has four tokens, of which each of the four experts takes one. All are trained briefly; the row of the linear classifier says how far that is from what the pixels hold. IMP was proposed for many data sets and long training. Its code is not public, so details beyond its abstract are this chapter's
#   own, and none of its numbers is compared here.
# - Costs are counted in passes of items. Experts cost as much as perceptrons in arithmetic, but the router and moving tokens cost something, too.
# - Each row chose among three rates; where it chose an end of the list, another may suit it more. Whether the order of the rows stays with more steps, no run here says.
#
# {cite:t}`zhou2022experts` introduced experts that choose. {cite:t}`fedus2022switch` is where tokens choose.

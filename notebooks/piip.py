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
# # The large network gets the small picture: PIIP
#
# **Fine detail needs a large picture, and a large picture makes a large network expensive. Must the network that sees the detail be the large one?**
#
# A pyramid of images is an old idea: look at the picture at several sizes. With one network for all sizes, nearly all of the cost goes into the largest picture. PIIP {cite}`piip` turns the pyramid
# round: the *large* network reads the *small* picture, a *small* network reads the *large* one, and after each block they look at each other through gates that begin shut. The
# two sizes are two views of one thing, so this is a chapter on fusion.
#
# Two claims are in it, and they are different: that two sizes together give more than one, and that the *inverted* order gives as much for less. This chapter counts the
# multiplications exactly, builds pictures of which we know what each size holds, and gives each claim its own rivals.
#
# **After this chapter you can**
#
# - count the multiplications of a transformer by formula, and check the count by machine;
# - write a gated exchange that leaves both networks alone at first;
# - compare models at what they cost, and keep what is cheaper apart from what is more accurate;
# - see whether a comparison turns with the number of training steps;
# - tell an exchange between two networks from the average of two networks.
#
# You need transformers. [Late fusion](late_fusion.ipynb) has the baselines of this part. Reading takes about 25 minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.shape_texture_world import (
    SHAPES,
    TEXTURES,
    shape_texture_world,
)
from mmlab.methods.piip import PIIP, Injector, block_cost
from mmlab.metrics.classification import accuracy
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, lines, use_theme

use_theme()
steps = steps or {"cpu": 80, "gpu": 2000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "s": Box(0, 0, "small picture"),
    "l": Box(0, 1.2, "large picture"),
    "w": Box(1, 0, "wide network", "trained"),
    "n": Box(1, 1.2, "narrow network", "trained"),
    "g": Box(2, 0.6, "gates", "changed"),
    "y": Box(3, 0.6, "average of\nboth answers", "loss"),
}
arrows = [
    Arrow("s", "w"),
    Arrow("l", "n"),
    Arrow("w", "g"),
    Arrow("n", "g"),
    Arrow("g", "y"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: the small picture goes into a wide network, the large picture into a narrow one. Both meet at gates, and from there an arrow leads to the average of "
        "both answers."
    ),
    caption="The exchange at the gates happens after every block; here there is one. Blue is trained; the gates, in orange, are trained from zero.",
)

# %% [markdown]
# ## What a block costs
#
# A block of a transformer has $N$ tokens of width $d$. Queries, keys, values and the output are four maps of $d^2$ multiplications per token, the perceptron (twice as wide inside) is as much again, and
# attention makes $N^2$ scores and mixes as many values:
#
# $$\text{cost} = 8 N d^2 + 2 N^2 d. \tag{1}$$
#
# Half the side of a picture is a quarter of $N$; half the width is a quarter of the first term. So with half the width on the large picture, both branches cost about the same while the first term is the larger, and wide on large is the
# expensive one. Below the narrow branch has a quarter of the width, and is the cheaper one.
#
# ## What one branch takes from the other
#
# After a block, a branch with tokens $x$ looks at the tokens $x'$ of its neighbour, mapped to its own width by $A$. With layer normalisations inside,
#
# $$x \leftarrow x + \gamma \odot \mathrm{Attention}(x, A x'), \tag{2}$$
#
# $$x \leftarrow x + \gamma' \odot f(x), \tag{3}$$
#
# with $f$ a perceptron with $d/4$ hidden values. The gates $\gamma, \gamma'$ start at zero, so at first nothing is taken: two networks that do not know of each other. The exchange is not free.
# For $N$ tokens that look at $M$ of width $d'$ it costs
#
# $$M d' d + 2 M d^2 + 2 N d^2 + 2 N M d + 2 N d \cdot \tfrac d4. \tag{4}$$
#
# The answer is the mean of the branches' logits, each from the mean of its own tokens:
#
# $$z = \tfrac12 \big(h_1(\bar x_1) + h_2(\bar x_2)\big). \tag{5}$$
#
# In plain PyTorch, with a check of (2) and (3), and of the count against the one that PyTorch makes while the network runs:


# %%
def take(injector, x, other):
    """Equations (2) and (3) for one picture: tokens (N, d) look at (M, d'); one head."""
    norm = injector.norms
    seen = norm[1](injector.bridge(other))  # A x'
    q, k, v = injector.query(norm[0](x)), injector.key(seen), injector.value(seen)
    weights = (q @ k.T / x.shape[1] ** 0.5).softmax(1)
    x = x + injector.gate * injector.out(weights @ v)  # (2)
    return x + injector.second_gate * injector.perceptron(norm[2](x))  # (3)


torch.manual_seed(0)
injector = Injector(8, 6, heads=1)
x, other = torch.randn(5, 8), torch.randn(7, 6)
assert torch.equal(injector(x[None], other[None])[0], x)  # gates are shut
nn.init.ones_(injector.gate)
nn.init.ones_(injector.second_gate)
assert torch.allclose(
    injector(x[None], other[None])[0], take(injector, x, other), atol=1e-6
)
pair = PIIP((1, 16, 16), branches=((32, 2), (16, 1)))
plainly = sdpa_kernel(SDPBackend.MATH)  # the fused attention is not counted
with plainly, FlopCounterMode(display=False) as counter:
    pair.predict({"image": torch.randn(1, 1, 16, 16)})
assert counter.get_total_flops() == 2 * pair.cost()  # it counts additions, too
say(
    f"With shut gates nothing is taken; opened, by hand and in the package the same. PyTorch counts {counter.get_total_flops()} operations for a picture, twice the "
    f"{pair.cost()} multiplications of (1) and (4) with the first and last layers."
)

# %% [markdown]
# Two things differ from the authors' networks {cite}`piip_repository`: they use deformable attention and a convolution in $f$, and their branches begin as published networks. Here all begin from nothing.
# Their classification code reads a branch's answer from its first token, where a class token stood in an earlier version; it is the first patch now. Here it is the mean of all.
#
# ## Pictures of which we know what each size holds
#
# A picture of {py:func}`~mmlab.data.worlds.shape_texture_world.shape_texture_world` has a coarse shape at one of 16 places, a texture of single pixels with a random sign, and noise that is louder than both. The class is the pair, one
# of twelve. The mean of any 2 x 2 pixels holds nothing of the texture. So whoever reads the small picture alone can find the shape and must guess among three textures. The exact probabilities are
# known for both sizes.

# %%
world = shape_texture_world(texture=0.5)
TRAIN, TEST, BATCH = 3000, 2000, 32
train = [world.draw(TRAIN, seed=seed) for seed in range(seeds)]
choose, test = world.draw(500, seed=900), world.draw(TEST, seed=901)
ceiling = {size: world.bayes_rate(size) for size in (1, 2)}
say(
    f"Best possible accuracy: {ceiling[1]:.3f} from the large picture, {ceiling[2]:.3f} from the small one, {1 / 12:.3f} by chance."
)

# %% tags=["hide-input"]
# Code of the figure: a picture at both sizes
figure = Figure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots(2, 4)
for column in range(4):
    label = 3 * column + column % 3
    clean = world.shapes[column, 0] + world.textures[column % 3]
    noisy = test.tensors["image"][test.tensors["label"] == label][0]
    for row, image in enumerate((clean[None, None], noisy[None])):
        axes[row, column].imshow(image[0, 0], cmap="gray")
        axes[row, column].set(xticks=[], yticks=[])
    axes[0, column].set(title=f"{SHAPES[column]}, {TEXTURES[column % 3]}")
axes[0, 0].set(ylabel="without noise")
axes[1, 0].set(ylabel="as given")
show(
    figure,
    alt="Four classes of pictures, 16 pixels on a side. Above without noise: a bright shape, and over the whole picture stripes or squares of single pixels. Below as the networks see them: the noise hides both.",
    caption="Four of the twelve classes, without noise and as they are given.",
    label="piip-pictures",
)

# %% [markdown]
# ## The rows
#
# | row | what it is | asks |
# | --- | --- | --- |
# | wide, small picture; narrow, large picture | either branch alone | what are two sizes worth, beside one? |
# | wide, large picture | the expensive network | what is lost by being cheaper? |
# | one network of PIIP's cost | a single one on the large picture, of the width whose cost is nearest to PIIP's | is it the pair, or the cost? |
# | gates shut | both branches and (5), no exchange | is it the exchange, or the average? |
# | not inverted | wide on large, narrow on small, with exchange | is it the inversion? |
# | PIIP | narrow on large, wide on small, with exchange | |
#
# All rows take the same steps on the same batches, in four equal rounds: in each the learning rate rises for some steps and falls to zero, so that a row can be read after every round. The rate that suits
# a short training need not suit a long one. So each row trains with three, and after each round that one counts which has the highest mean accuracy on 500 further pictures at that time. The test pictures
# choose nothing. The seeds are trained side by side
# ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`).


# %%
class Shut(PIIP):
    """Both branches, without any exchange."""

    def __init__(self, shape, **arguments):
        super().__init__(shape, **arguments)
        self.injectors.requires_grad_(False)  # and so the gates stay at zero


SHAPE, RATES = (1, 16, 16), (5e-3, 1.5e-2, 4.5e-2)
WIDE, NARROW, DEPTH = 48, 12, 1
ROUNDS, ROUND = 4, max(1, steps // 4)
INVERTED = ((WIDE, 2), (NARROW, 1))
target = PIIP(SHAPE, branches=INVERTED, depth=DEPTH).cost()
widths = range(4, 80, 2)
same = min(
    widths,
    key=lambda w: abs(PIIP(SHAPE, branches=((w, 1),), depth=DEPTH).cost() - target),
)
rows = {
    "wide, small picture": (PIIP, ((WIDE, 2),)),
    "narrow, large picture": (PIIP, ((NARROW, 1),)),
    "wide, large picture": (PIIP, ((WIDE, 1),)),
    "one network of PIIP's cost": (PIIP, ((same, 1),)),
    "gates shut": (Shut, INVERTED),
    "not inverted": (PIIP, ((NARROW, 2), (WIDE, 1))),
    "PIIP": (PIIP, INVERTED),
}


def multiplications(kind, branches):
    """For a picture; without the exchange where there is none."""
    if kind is Shut:
        return sum(
            PIIP(SHAPE, branches=(branch,), depth=DEPTH).cost()
            for branch in branches
        )
    return PIIP(SHAPE, branches=branches, depth=DEPTH).cost()


def begun(row):
    kind, branches = rows[row]
    return [
        kind.seeded(s, SHAPE, branches=branches, depth=DEPTH) for s in range(seeds)
    ]


def go_on(methods, lr, number):
    """One round more."""
    fit_side_by_side(
        methods, train, steps=ROUND, batch_size=BATCH, lr=lr, schedule="cosine",
        warmup=ROUND // 5, seed=number, log_every=ROUND, progress=False,
    )  # fmt: skip


def score(method, part):
    return accuracy(method.predict(part.tensors), part.tensors["label"])


kept, chosen, points = {}, {}, []
for row in rows:
    tries = {lr: begun(row) for lr in RATES}
    for number in range(ROUNDS):
        found = {}
        for lr, methods in tries.items():
            go_on(methods, lr, number)
            found[lr] = np.mean([score(method, choose) for method in methods])
        chosen[row, number] = best = max(found, key=found.get)
        points += [
            {"method": row, "seed": seed, "steps": ROUND * (number + 1), "accuracy": score(method, test)}
            for seed, method in enumerate(tries[best])
        ]  # fmt: skip
    kept[row] = tries[best]
curve = pd.DataFrame(points)
total = ROUND * ROUNDS
scores = curve[curve["steps"] == total].drop(columns="steps")
scores["thousand multiplications"] = [
    multiplications(*rows[row]) / 1000 for row in scores["method"]
]

# %% tags=["hide-input"]
# Code of the table
budgets = Budgets(
    "PIIP",
    {
        row: Spent(
            total,
            sum(p.numel() for p in kept[row][0].parameters() if p.requires_grad),
            ("learning rate",),
            len(RATES),
        )
        for row in rows
    },
)
best = "best possible"
top = [{"method": best, "seed": s, "accuracy": ceiling[1], "thousand multiplications": np.nan} for s in range(seeds)]  # fmt: skip
table_over_seeds(
    pd.concat([scores, pd.DataFrame(top)]),
    f"Accuracy on {TEST} test pictures after {total} steps, and multiplications for one picture.",
    best={"accuracy": "higher", "thousand multiplications": "lower"},
    reference=[best],
    ceiling=best,
    digits=3,
    order=[*rows, best],
    budgets=budgets,
)
say(
    "Rates chosen after the rounds, from the first to the last: "
    + "; ".join(
        f"*{row}* " + ", ".join(f"{chosen[row, k]:g}" for k in range(ROUNDS))
        for row in rows
    )
    + f". The one network of PIIP's cost has the width {same}."
)
means = scores.groupby("method")[["accuracy", "thousand multiplications"]].mean()
record(
    accuracy={row: round(float(means["accuracy"][row]), 4) for row in rows},
    multiplications={row: multiplications(*rows[row]) for row in rows},
    budget=budgets.plain(),
)

# %% tags=["hide-input"]
# Code of the figure: accuracy against cost
figure = Figure(figsize=(6.4, 3.8), layout="constrained")
axes = figure.subplots()
for row in rows:
    part = scores[scores["method"] == row]
    colour = COLOURS[1] if row == "PIIP" else COLOURS[0]
    axes.scatter(part["thousand multiplications"], part["accuracy"], s=10, color=colour, alpha=0.5)  # fmt: skip
    at = (means["thousand multiplications"][row], means["accuracy"][row])
    axes.scatter(*at, s=45, color=colour)
    axes.annotate(row, at, xytext=(6, 4), textcoords="offset points", fontsize=8)
for size, text in ((1, "best from the large"), (2, "best from the small")):
    axes.axhline(ceiling[size], color=COLOURS[6], lw=1, ls="--")
    axes.annotate(text, (0.99, ceiling[size]), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)  # fmt: skip
axes.set(
    xlabel="thousand multiplications per picture",
    ylabel="accuracy",
    xlim=(0, None),
)
axes.margins(x=0.25)
show(
    figure,
    alt="Accuracy against multiplications in thousands. "
    + "; ".join(
        f"{row}: {means['accuracy'][row]:.3f} at {means['thousand multiplications'][row]:.0f}"
        for row in rows
    )
    + ".",
    caption="Small dots are seeds, large dots their means. Wanted is up and to the left. The dashed lines are the best possible from the large and from the small picture.",
    label="piip-cost",
)


# %% tags=["hide-input"]
# Code of the figure: accuracy over the steps
shown = [row for row in rows if row != "wide, small picture"]
way = curve.groupby(["method", "steps"])["accuracy"].mean()
show(
    lines(curve[curve["method"].isin(shown)], "steps", "accuracy"),
    alt="Accuracy after each of the four rounds. "
    + "; ".join(
        f"{row}: "
        + ", ".join(f"{way[row, ROUND * (k + 1)]:.3f}" for k in range(ROUNDS))
        for row in shown
    )
    + ".",
    caption="After each round of training, with the rate that was chosen then; means over the seeds with 95 % intervals. The row *wide, small picture* is left out: no training lifts it above what its picture holds.",
    label="piip-steps",
)


# %%
def values(row, at=total):
    part = curve[(curve["method"] == row) & (curve["steps"] == at)]
    return part.sort_values("seed")["accuracy"].tolist()


def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def against(row, at, when=""):
    ratio = multiplications(*rows["PIIP"]) / multiplications(*rows[row])
    return claimed(
        f"piip-{when}{slug(row)}",
        values("PIIP", at),
        values(row, at),
        direction="higher",
        unit="%",
        better=f"PIIP is ahead of *{row}*, {{ours}} against {{theirs}}, at {ratio:.2f} of its cost.",
        worse=f"*{row}* is ahead of PIIP, {{theirs}} against {{ours}}; PIIP has {ratio:.2f} of its cost.",
        undecided=f"PIIP ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart; PIIP has {ratio:.2f} of its cost.",
    )


rivals = [row for row in rows if row != "PIIP"]
say(
    f"**At the end**, after {total} steps:\n\n"
    + "\n".join(f"- {against(row, total)}" for row in rivals)
)
say(
    f"**After a quarter of them**, {ROUND} steps:\n\n"
    + "\n".join(f"- {against(row, ROUND, 'early-')}" for row in rivals)
)
leads = {
    at: [
        100 * (a - b)
        for a, b in zip(
            values("PIIP", at),
            values("one network of PIIP's cost", at),
            strict=True,
        )
    ]
    for at in (ROUND, total)
}
claim(
    "lead-over-one-network-late-early",
    leads[total],
    leads[ROUND],
    direction="higher",
    unit="points",
    better="**Does it turn with the steps?** Accuracy of PIIP minus that of the one network of its cost rises from {theirs} after a quarter of the steps to {ours} at the end.",
    worse="**Does it turn with the steps?** Accuracy of PIIP minus that of the one network of its cost falls from {theirs} after a quarter of the steps to {ours} at the end.",
    undecided="**Does it turn with the steps?** Accuracy of PIIP minus that of the one network of its cost is {theirs} after a quarter of the steps and {ours} at the end, which cannot be told apart.",
)

# %% [markdown]
# Read each line with its cost: accuracy at another cost decides nothing alone. A line that turns between the two lists is about how fast a row learns, and one that stays about how far it gets in the time
# that was given. Where a difference cannot be told apart, the interval behind it says how large it may still be.
#
# ## What do the gates carry?
#
# The world says what each size holds. So ask each *branch* of the trained networks for its own answer, before the average: the wide branch sees no texture in its picture. If it
# knows the texture all the same, that came through the gates.

# %% tags=["hide-input"]
# Code of the figure: what branches know


def parts_of(method):
    """Accuracy of each branch's own logits, for shape and texture apart."""
    with torch.no_grad():
        logits = method.eval().logits(test.tensors)
    label, found = test.tensors["label"], {}
    for k, name in enumerate(("wide", "narrow")):
        p = logits[:, k].softmax(-1).view(-1, len(SHAPES), len(TEXTURES))
        shape = (p.sum(2).argmax(1) == label // 3).float().mean().item()
        texture = (p.sum(1).argmax(1) == label % 3).float().mean().item()
        found |= {(name, "shape"): shape, (name, "texture"): texture}
    return found


known = {
    row: [parts_of(method) for method in kept[row]]
    for row in ("gates shut", "PIIP")
}
table = pd.DataFrame(
    {row: pd.DataFrame(found).mean() for row, found in known.items()}
)
figure = Figure(figsize=(4.6, 2.6), layout="constrained")
axes = figure.subplots()
table.index = [f"{name} branch: {what}" for name, what in table.index]
sns.heatmap(table, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="Blues", cbar=False, ax=axes)  # fmt: skip
axes.tick_params(length=0)
show(
    figure,
    alt="Accuracy of each branch for shape and texture. "
    + "; ".join(
        f"{line}: gates shut {table['gates shut'][line]:.2f}, PIIP {table['PIIP'][line]:.2f}"
        for line in table.index
    )
    + ".",
    caption=f"What each branch answers by itself, mean over {seeds} seeds. By chance a shape is right in one of four, a texture in one of three.",
    label="piip-branches",
)
claim(
    "texture-crosses-the-gates",
    [found["wide", "texture"] for found in known["PIIP"]],
    1 / 3,
    direction="higher",
    better="The wide branch, whose picture holds no texture, tells it in {ours:.2f} of the pictures, above chance: that came through the gates.",
    worse="The wide branch tells the texture less often than by chance: {ours:.2f}.",
    undecided="The wide branch tells the texture in {ours:.2f} of the pictures, which cannot be told from chance.",
)

# %% [markdown]
# The branches are trained through their *average* (5), so a branch may leave a question to the other. What a branch does not answer need not be what it cannot know.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Take from the other, through a gate (code)
# :label: piip-take
#
# Write (2) with one head and without any maps or normalisations: queries are the tokens x (N, D), keys and values are the other's tokens (M, D), and the gate is (D,).
# ```

# %% tags=["stub:take"]
from mmlab.exercises.piip import check_take


def take_plain(x, other, gate):
    return ...


check_take(take_plain)

# %% [markdown]
# ```{solution-start} piip-take
# :class: dropdown
# ```


# %% tags=["solution:take"]
def take_plain(x, other, gate):
    weights = (x @ other.T / x.shape[1] ** 0.5).softmax(1)  # (N, M)
    return x + gate * (weights @ other)


check_take(take_plain)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Three costs (compute)
# :label: piip-costs
#
# By (1): how many multiplications has a block of (a) width 32 on a picture of 64 tokens, (b) width 32 on the picture of half the side, (c) width 8 on the picture of 64 tokens?
# ```

# %% tags=["stub:cheaper"]
from mmlab.exercises.piip import check_cheaper

whole = ...
small = ...
narrow = ...

check_cheaper((whole, small, narrow))

# %% [markdown]
# ```{solution-start} piip-costs
# :class: dropdown
# ```

# %% tags=["solution:cheaper"]
whole = 8 * 64 * 32**2 + 2 * 64**2 * 32
small = 8 * 16 * 32**2 + 2 * 16**2 * 32
narrow = 8 * 64 * 8**2 + 2 * 64**2 * 8

check_cheaper((whole, small, narrow))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The price of the exchange (think)
# :label: piip-price
#
# In (4), which term makes it expensive for the *wide* branch to look at the large picture? What could one change, and what would be lost?
# ```
#
# ```{solution-start} piip-price
# :class: dropdown
# ```
#
# $2Md^2$: keys and values of *all* tokens of the large picture, at the wide branch's width. One can exchange after every few blocks only, or let each token look at a few places
# near its own (that is what the authors' deformable attention does), or attend at the narrow width. Each takes away something that was there to be taken.

# %%
wide, large = block_cost(4, WIDE), block_cost(16, NARROW)
exchange = multiplications(PIIP, INVERTED) - multiplications(Shut, INVERTED)
say(
    f"Here: {wide} multiplications in the block of the wide branch, {large} in the narrow one, and {exchange} in the exchange between them."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why do the gates begin at zero and not at one?
# So that published networks, put side by side, begin with what they know. Whether it matters for networks that begin from nothing, no run here says.
# ```
#
# ```{dropdown} The rows with two branches have two answers to average. Could the average alone be the gain?
# That is what the row with shut gates is for.
# ```
#
# ```{dropdown} Would a larger patch not be the same as a smaller picture?
# The cost of the blocks is. But a patch of the large picture holds the texture, and the small picture does not.
# ```
#
# ## In five lines
#
# - The cost of a block grows with the tokens and with the square of the width, so the dear combination is wide on large.
# - An exchange with gates at zero begins as two networks; it costs something itself, which has to be counted.
# - That two sizes give more than one, and that the inverted order is cheaper, are two claims with different rivals.
# - A single network of the same cost is the baseline for the first, the pair that is not inverted for the second; read both after several numbers of steps.
# - Where the world says what each size holds, one can watch what passes through the gates.
#
# ## Limits, and what to read next
#
# - Pictures of 16 pixels on a side, one block and one exchange: with an exchange after every block it is a large part of the cost, as (4) beside (1) says at any width; one after every few blocks is a smaller part.
# - Multiplications are counted, not seconds; small matrices leave more of a machine idle than large ones.
# - Each row chose among three rates, after each round anew; where it chose an end of the list, another may suit it more. The number of blocks and the widths were not searched.
# - The last row of the table says how far all rows are from what can be reached. What happens after the last round, no run here says: where a curve of [](#figure-piip-steps) still rises at its end, take more `steps` before you believe the order. The number of steps was lowered twice so that the page can be rebuilt in time, after the tables of two longer runs had been seen; in those the gap between PIIP and the one network of its cost closed further. So read the table as one point of the curve.
#
# {cite:t}`piip` has the pyramid for detection and segmentation with published networks. The idea of a network for each speed or size is older: {cite:t}`feichtenhofer2019slowfast` do it for video.

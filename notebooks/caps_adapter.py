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
# # A cache beside the prompts: CapS-Adapter
#
# **Two towers classify by prompts. Somebody adds a support set of generated pictures with captions. How much does a lookup in it bring, without any training?**
#
# Tip-Adapter {cite}`zhang2022tip` keeps vectors of labelled pictures and lets the near ones vote. SuS-X {cite}`udandarao2023sus` makes the pictures from the names of the classes, or looks for them by these, and compares class distributions
# besides. CapS-Adapter {cite}`wang2024caps` captions some pictures of the target domain, generates the support from such captions, and puts the captions into the keys: a caption, so the hope, has no style that could differ from the target's. Its authors report a gain of
# 2.19 points over the leading earlier way without training, in the mean over their data sets {cite}`wang2024caps`.
#
# None of them trains. But all of them search for weights on labelled pictures, and the same support could be given to the oldest methods there are.
#
# **After this chapter you can**
#
# - write the cache in three lines, and say what it becomes in its limits;
# - search its settings without seeing the test;
# - put a nearest class mean and a line on the same support beside it.
#
# You need cosines and the two towers of [MobileCLIP](mobile_clip.ipynb). Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
test_items: int = 1080

# %% tags=["hide-input"]
import pandas as pd
import torch
from torch.nn import functional as F

from mmlab.bases.two_towers import tower_family
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.probes import linear_probe, nearest_mean
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.shape_world import COMBINATIONS, draw, tokens_of
from mmlab.methods.caps_adapter import CapsAdapter, search
from mmlab.viz import claimed, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()

# %% [markdown]
# ## The scores

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.6, "picture"),
    "p": Box(1, 0, "prompts of\nclasses"),
    "s": Box(1, 1.2, "support: pictures,\ncaptions", "changed"),
    "y": Box(2, 0.6, "scores (5)", "loss"),
}
arrows = [
    Arrow("x", "p"),
    Arrow("x", "s"),
    Arrow("p", "y", "(1)"),
    Arrow("s", "y", "(3), (4)"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a picture is compared with prompts of classes and with a support of pictures and captions; both give scores, which are added up.",
    caption="Nothing is trained. The support, in orange, is written down.",
)

# %% [markdown]
# The picture that asks has the unit vector $f$, class $k$ the unit vector $w_k$ of its prompt. Zero-shot classification has the scores
#
# $$z_k = 100\, f \cdot w_k . \tag{1}$$
#
# Support item $j$ has a picture with the vector $I_j$, a caption with the vector $T_j$, and a class, one-hot in $Y_{jk}$. With the share $d$ of the captions in the keys,
#
# $$K_j = (1 - d)\, f \cdot I_j + d\, f \cdot T_j , \tag{2}$$
#
# and each item votes for its class, the more the nearer it is:
#
# $$A_k = \sum_j e^{-b (1 - K_j)}\, Y_{jk} . \tag{3}$$
#
# SuS-X also compares what *classes* the two pictures suggest: $p$ and $q_j$ are softmaxes of twice the cosines with all prompts,
#
# $$D_j = \mathrm{KL}(p \,\Vert\, q_j) , \tag{4}$$
#
# and $\psi$ moves $-D$ onto the range of $K$. In all
#
# $$z_k + a A_k + c \sum_j \psi(-D_j)\, Y_{jk} . \tag{5}$$
#
# With $a = c = 0$ it is zero-shot, with $d = c = 0$ Tip-Adapter, with $d = 0$ SuS-X, and with all of it CapS-Adapter. The released code of CapS-Adapter takes softmaxes of the vectors themselves in (4), and both take the range for $\psi$ from the test batch, so that an answer depends on what else is asked. The package takes the range from the support.

# %%
method, batch = CapsAdapter.demo()
method.solve(TensorData(batch))
method.distributions = 0.0
f, w = F.normalize(batch["image"], dim=1), F.normalize(batch["prompt"][:3], dim=1)
told, Y = F.normalize(batch["caption"], dim=1), F.one_hot(batch["label"]).float()
K = 0.5 * f @ f.T + 0.5 * f @ told.T  # (2)
by_hand = 100 * f @ w.T + torch.exp(-5 * (1 - K)) @ Y  # (1), (3)
assert torch.allclose(by_hand, method.logits(batch), atol=1e-4)
say(f"By hand and by the package: {by_hand[0, 0].item():.3f} for the first score.")

# %% [markdown]
# ## A shifted domain
#
# Classes are pairs of colour and place, 54 in all. The target pictures all lie on snow, with much noise and far jitter. The support has the noise and the jitter of the pictures that the towers have learnt from: *generic* on any ground, or *from captions* that say snow. The prompt of a class has its two words. The towers are those of [MobileCLIP](mobile_clip.ipynb)'s base: two pairs that learnt from right captions, and two
# that learnt from captions of which many are wrong. All settings are searched on labelled target pictures, which the test does not contain.

# %%
CLASSES, SHOTS, LABELLED, SNOW = 54, 10, 270, 3
SHIFT = {"noise": 0.35, "jitter": 3.0}
family = tower_family()
TOWERS = {"right captions": family.right, "wrong captions": family.wrong}
classes = torch.arange(CLASSES)
PROMPTS = torch.stack([3 + classes // 9, 13 + classes % 9], 1)  # colour and place


def facts_of(count, rng, ground=None):
    """Combinations of every class in turn, the other facts at random."""
    facts = COMBINATIONS[
        torch.randint(len(COMBINATIONS), (count,), generator=rng)
    ].clone()
    label = torch.arange(count) % CLASSES
    facts[:, 1], facts[:, 3] = label // 9, label % 9
    if ground is not None:
        facts[:, 4] = ground
    return facts, label


def read(towers, facts, label, rng, **how):
    """Vectors of drawn pictures, of their captions, and of the prompts of their classes."""
    with torch.no_grad():
        return {
            "image": F.normalize(towers.picture(draw(facts, rng, **how)), dim=1),
            "caption": F.normalize(towers.caption(tokens_of(facts)), dim=1),
            "prompt": F.normalize(towers.caption(PROMPTS), dim=1)[label],
            "label": label,
        }


GRID = {
    "sharpness": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    "weight": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
}
SHARES = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0]
LIKE = [0.0, 0.03, 0.1, 0.3, 1.0, 3.0]
WEIGHTS = [0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


def answered(method, validation, grid, test):
    """Test scores at the settings that validation chooses, and the settings."""
    method.captions = 0.0
    found = search(method, validation, grid)
    for name, value in found.settings.items():
        setattr(method, name, value)
    return method.logits(test), found


def rows_of(towers, draw_number):
    """Accuracy of every row in one draw of support, validation and test."""
    rng = torch.Generator().manual_seed(draw_number)
    validation = read(towers, *facts_of(LABELLED, rng, SNOW), rng, **SHIFT)
    test = read(towers, *facts_of(test_items, rng, SNOW), rng, **SHIFT)
    generic = read(towers, *facts_of(CLASSES * SHOTS, rng), rng)
    support = read(towers, *facts_of(CLASSES * SHOTS, rng, SNOW), rng)

    def kept(items):
        return CapsAdapter(64, CLASSES, CLASSES * SHOTS).solve(TensorData(items))

    lost = dict(support)
    lost["caption"] = support["caption"][
        torch.randperm(len(support["label"]), generator=rng)
    ]
    grids = {
        "Tip-Adapter, generic": (generic, GRID),
        "Tip-Adapter": (support, GRID),
        "SuS-X": (support, {**GRID, "distributions": LIKE}),
        "CapS-Adapter": (support, {**GRID, "captions": SHARES}),
        "captions shuffled": (lost, {**GRID, "captions": SHARES}),
    }
    zero = test["image"] @ kept(support).prompts.T
    scores = {"zero-shot": zero}
    for row, (items, grid) in grids.items():
        scores[row], found = answered(kept(items), validation, grid, test)
        if row == "CapS-Adapter":
            share = found.settings["captions"]
    x, y = support["image"], support["label"]
    means = [
        nearest_mean(x, y, part["image"], CLASSES) for part in (validation, test)
    ]
    base = validation["image"] @ kept(support).prompts.T
    tried = [
        ((base + a * means[0]).argmax(1) == validation["label"]).float().mean()
        for a in WEIGHTS
    ]
    scores["prompts + class means"] = (
        zero + WEIGHTS[int(torch.stack(tried).argmax())] * means[1]
    )
    scores["class means"] = means[1]
    probe = linear_probe(x, y, (validation["image"], validation["label"]))
    scores["line"] = probe.probabilities(test["image"])
    lines = [
        {
            "method": row,
            "accuracy": float((s.argmax(1) == test["label"]).float().mean()),
        }
        for row, s in scores.items()
    ]
    return lines, share


made, shares = [], {name: [] for name in TOWERS}
for name, pairs in TOWERS.items():
    for seed in range(seeds):
        lines, share = rows_of(pairs[seed % 2], seed)
        shares[name].append(share)
        made += [line | {"towers": name, "seed": seed} for line in lines]
runs = pd.DataFrame(made)

# %% [markdown]
# | row | what it does with the support |
# | --- | --- |
# | zero-shot | nothing: (1) |
# | Tip-Adapter, generic | (1) and (3), pictures as keys, any ground |
# | Tip-Adapter | the same, support from captions |
# | SuS-X | (5) with $d = 0$ |
# | CapS-Adapter | (1) and (3), with $d$; the published one has the last term of (5) besides |
# | captions shuffled | the same, the captions dealt out anew among the support pictures |
# | class means | the nearest mean of the support pictures of a class, without prompts |
# | prompts + class means | a weighted sum of the two cosines |
# | line | logistic regression on the support pictures, without prompts |

# %% tags=["hide-input"]
# Code of the table
order = list(dict.fromkeys(runs["method"]))
tries = {row: len(GRID["sharpness"]) * len(GRID["weight"]) for row in order}
tries |= {"zero-shot": 1, "class means": 1, "line": 5}
tries["prompts + class means"] = len(WEIGHTS)
for row in ("SuS-X", "CapS-Adapter", "captions shuffled"):
    tries[row] *= len(SHARES)
budgets = Budgets("CapS-Adapter", {row: Spent(tries=n) for row, n in tries.items()})
wide = runs.pivot(
    index=["method", "seed"], columns="towers", values="accuracy"
).reset_index()
table_over_seeds(
    wide,
    "Accuracy on the target, by what the towers have learnt from.",
    best=dict.fromkeys(TOWERS, "higher"),
    order=order,
    budgets=budgets,
)
record(budget=budgets.plain())
mean = runs.groupby(["towers", "method"])["accuracy"].mean()
for name in TOWERS:
    say(
        f"Towers of {name}: shares of captions that CapS-Adapter chose, draw by draw: {', '.join(f'{s:g}' for s in shares[name])}."
    )


def values(row, towers):
    chosen = runs[(runs["method"] == row) & (runs["towers"] == towers)]
    return chosen.sort_values("seed")["accuracy"].tolist()


def against(slug, row, towers, suffix):
    return claimed(
        f"caps-{slug}{suffix}",
        values("CapS-Adapter", towers),
        values(row, towers),
        direction="higher",
        better=f"Towers of {towers}: CapS-Adapter is ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"Towers of {towers}: *{row}* is ahead of CapS-Adapter, {{theirs}} against {{ours}}.",
        undecided=f"Towers of {towers}: CapS-Adapter ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
        unit="%",
        called="draws",
    )


RIVALS = {
    "zero-shot": "zero-shot",
    "tip": "Tip-Adapter",
    "sus": "SuS-X",
    "shuffled": "captions shuffled",
    "means": "class means",
    "mixed": "prompts + class means",
    "line": "line",
}
for towers, suffix in (("wrong captions", ""), ("right captions", "-right")):
    say(
        "\n".join(
            f"- {against(slug, row, towers, suffix)}"
            for slug, row in RIVALS.items()
        )
    )

# %% tags=["hide-input"]
# Code of the figure
show(
    bars(runs, "accuracy", order=order, panel="towers"),
    alt="Mean accuracies. "
    + " ".join(
        f"Towers of {name}: "
        + ", ".join(f"{row} {mean[name, row]:.3f}" for row in order)
        + "."
        for name in TOWERS
    ),
    caption=f"Towers of right and of wrong captions, {seeds} draw{'s' * (seeds > 1)} of support, search and test each. A point is a draw.",
)

# %% [markdown]
# Where the search chose the share 0, CapS-Adapter *is* Tip-Adapter; and where it did so for *captions shuffled* too, that control says nothing of captions. Read the rows without prompts beside the caches. They use the support pictures alone, and were given fewer settings to choose from. Do they find as much there as the lookup does? The two lists above answer for either kind of towers.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The votes (code)
# :label: caps-adapter-votes
#
# Write (2) and (3) for unit vectors f (B, D), support pictures and captions (N, D), Y (N, K), d and b.
# ```

# %% tags=["stub:votes"]
from mmlab.exercises.caps_adapter import check_votes


def votes(f, pictures, captions, Y, d, b):
    return ...


check_votes(votes)

# %% [markdown]
# ```{solution-start} caps-adapter-votes
# :class: dropdown
# ```


# %% tags=["solution:votes"]
def votes(f, pictures, captions, Y, d, b):
    K = (1 - d) * f @ pictures.T + d * f @ captions.T
    return torch.exp(-b * (1 - K)) @ Y


check_votes(votes)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Blunt and sharp (compute)
# :label: caps-adapter-limits
#
# Four support items have the affinities 0.9, 0.5, 0.8 and 0.4 to a picture; the first is of class 1, the others are of class 2. (a) How many votes does class 2 get with b = 0? (b) Which share of all votes has class 1 then? (c) And for b without end?
# ```

# %% tags=["stub:limits"]
from mmlab.exercises.caps_adapter import check_limits

votes = ...
blunt = ...
sharp = ...

check_limits((votes, blunt, sharp))

# %% [markdown]
# ```{solution-start} caps-adapter-limits
# :class: dropdown
# ```

# %% tags=["solution:limits"]
votes = 3.0
blunt = 1 / 4
sharp = 1.0

check_limits((votes, blunt, sharp))

# %% [markdown]
# By its shares, a blunt cache says how large the classes of the support are, and a sharp one is the nearest neighbour. The votes themselves go to zero as b grows, unless an affinity is 1: with a fixed weight in (5), a very sharp cache changes nothing.
#
# ```{solution-end}
# ```
#
# ```{exercise} Keys of captions alone (think)
# :label: caps-adapter-captions
#
# All captions of class $k$ have one and the same vector $t_k$, and $d = 1$. Show that the cache then changes the scores by a function of the cosines with $t_k$ alone. What has the support become?
# ```
#
# ```{solution-start} caps-adapter-captions
# :class: dropdown
# ```
#
# $K_j = f \cdot t_k$ for all $n_k$ items of the class, so $A_k = n_k\, e^{-b(1 - f \cdot t_k)}$. Pictures of the support do not occur. What is left is a second prompt for each class, passed through an exponential; with small $b$ it is about $n_k b\, f \cdot t_k$, but for $n_k (1 - b)$, which does not depend on $f$; the first is what an ensemble of prompts adds.

# %%
near = torch.tensor([0.8, 0.5, 0.2])  # cosines of f with three captions
two_each = torch.exp(-3 * (1 - near.repeat(2))) @ torch.eye(3).repeat(2, 1)
assert torch.allclose(two_each, 2 * torch.exp(-3 * (1 - near)))
say("Two items of each class give twice the exponential of the caption's cosine.")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Nothing is trained. What are the labelled target pictures for?
# For the search. They are labels of the target domain all the same, and a comparison should say so.
# ```
#
# ```{dropdown} Why is a range that is taken from the test batch a fault?
# The answer for one picture changes with the others that are asked with it. Alone, it has the range of its own divergences, and may get another answer than in company.
# ```
#
# ## In five lines
#
# - A cache is a kernel vote of support items, added to the scores of prompts.
# - In the limits, the shares of its votes say the sizes of the classes, or the nearest neighbour.
# - Captions in the keys are further prompts: with the share 1, (3) looks at no picture of the support.
# - The search uses labels of the target; zero-shot does not.
# - Class means and a line on the same support belong beside every cache.
#
# ## Limits, and what to read next
#
# - One drawn shift, two pairs of towers of each kind, which the draws take in turn; intervals are over draws of pictures, and the pairs are mixed into them. Generated pictures are drawn by the world itself, which no generator equals, and the captions that the support is made from are right about the ground.
# - The grids are smaller than the published ones, and of settings that validation finds level the one with the smallest share of captions is kept. The line chose among five penalties.
# - CapS-Adapter was searched without the last term of (5), which *SuS-X* has here. The labelled target pictures served the search alone: as a support of their own they were not tried.
#
# {cite:t}`wang2024caps` has nineteen data sets, {cite:t}`udandarao2023sus` the supports, {cite:t}`zhang2022tip` the cache.

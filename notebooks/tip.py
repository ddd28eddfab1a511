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
# # A picture and a table with holes: TIP
#
# **A clinic has a scan of everybody, and a form that nobody filled in completely. Few people have a diagnosis. What can the many pairs of scan and form teach before a single diagnosis is looked at?**
#
# Two things, one might hope. A scan and a form of the same person belong together, so a network can learn to tell pairs from strangers. And a form has some cells that are known: hide one, and let the network fill it in from the scan and
# the other cells. TIP {cite}`tip` does both, with a transformer over the columns of the table that knows which cells are missing. Then it is fine-tuned on the few labels, and answers for people whose forms have holes.
#
# This chapter builds it in a world whose law is known, so that there is a best possible answer for each cell and each class: from both, from the picture alone, from the form alone. It lets boosted trees, lines, and a line that knows the secret of the world fill the same holes.
#
# **After this chapter you can**
#
# - turn a table with holes into tokens, so that whatever stands in a hole has no effect, and test it;
# - write a loss for hidden cells that is 0, and not NaN, when none is hidden;
# - draw hard wrong partners for a matching loss, and say what its optimal answer means;
# - hold a filled cell against the mode, boosted trees, the picture alone, and the law of picture, form, and both.
#
# You need PyTorch, attention, and a contrastive loss as in [M3CoL](m3col.ipynb). What missing *modalities* do is told in [Missing modalities](missing_modalities.ipynb). Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of pre-training
fine_steps: int | None = None  # of fine-tuning
rounds: int = 40  # of boosting, at most

# %% tags=["hide-input"]
import math
from itertools import islice

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.cohort_world import CATEGORIES, cohort_world
from mmlab.methods.tip import TIP, draw_wrong, sees
from mmlab.metrics.classification import accuracy
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import (
    claim,
    claimed,
    frames,
    record,
    say,
    show,
    table_over_seeds,
)
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()
steps = steps or {"cpu": 150, "gpu": 3000}[profile]
fine_steps = fine_steps or {"cpu": 50, "gpu": 500}[profile]

# %% [markdown]
# ## What goes where

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "image": Box(0, 0, "picture"),
    "table": Box(0, 1.6, "table with\nholes"),
    "patches": Box(1, 0, "tokens of\npatches", "trained"),
    "cells": Box(1, 1.6, "tokens of cells\n(1), (2)", "trained"),
    "pair": Box(2, 0, "same person?\n(3)", "loss"),
    "both": Box(2, 1.6, "cells look at\nthe picture", "trained"),
    "match": Box(3, 0.8, "matched or not\n(5)", "loss"),
    "fill": Box(3, 1.8, "hidden cells\n(6)", "loss"),
}
arrows = [
    Arrow("image", "patches"),
    Arrow("table", "cells"),
    Arrow("patches", "pair"),
    Arrow("cells", "pair"),
    Arrow("patches", "both"),
    Arrow("cells", "both"),
    Arrow("both", "match"),
    Arrow("both", "fill"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: the picture becomes tokens of patches, the table tokens of cells. Both go to the question whether they are of the same person, and to a block in which cells look at "
        "the picture. From there arrows lead to the questions whether the two match, and what the hidden cells hold."
    ),
    caption="Pre-training. Blue is trained; none of the three losses needs a label. For the classes, three heads read the patches, the table, and both.",
)

# %% [markdown]
# ## Cells as tokens
#
# A person has a picture and a table of $M$ cells $x_j$, of which some are known, $k_j = 1$. Each cell becomes a token. A category is looked up, a number is put on a line, and a hole is one learnt vector $m$, the same for all columns; a code $c_j$ says which
# column it is:
#
# $$e_j = \mathrm{norm}\big(c_j + \{E_{o_j + x_j} \text{ or } w x_j + b \text{ if } k_j = 1, \text{ else } m\}\big). \tag{1}$$
#
# All categories of all columns share one table $E$, in which column $j$ begins at $o_j$. A class token $e_0$, which is learnt too and is always known, stands before them; it gathers what the whole table says. In the table's own transformer nobody looks at a hole but the hole itself:
#
# $$i \text{ sees } j \iff k_j = 1 \text{ or } i = j, \qquad k_0 = 1. \tag{2}$$
#
# The second transformer has no such mask: there every token looks at all tokens, holes included, and at the tokens of the patches, which is how a hole gets filled. A picture is cut into patches, each of which becomes a token by a small network.

# %% tags=["hide-input"]
# Code of the widget: who sees whom
NAMES = [
    "class",
    *(f"c{j + 1}" for j in range(3)),
    *(f"r{j + 1}" for j in range(3)),
]


def draw_mask(holes):
    known = torch.arange(6) >= holes
    figure = Figure(figsize=(3.6, 3.2), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(
        sees(known[None])[0].numpy(), vmin=0, vmax=1, cmap="Blues", cbar=False, square=True, linewidths=1,
        xticklabels=NAMES, yticklabels=NAMES, ax=axes,
    )  # fmt: skip
    axes.set(xlabel="is seen", ylabel="looks")
    return figure


def say_mask(holes):
    allowed = int(sees((torch.arange(6) >= holes)[None]).sum())
    unknown = f"{holes} of 6 cells {'is' if holes == 1 else 'are'} unknown"
    return f"{unknown}: of 49 pairs of tokens {allowed} may look. A column of an unknown cell is blue on the diagonal alone."


frames(
    {"holes": [0, 1, 3, 6]},
    draw=draw_mask,
    alt=say_mask,
    caption="The mask (2): blue pairs may look. Turn the knob: the column of a hole goes white, its row does not, so it can still listen. With six holes the class token hears nobody.",
    start={"holes": 1},
)

# %% [markdown]
# ## Three losses without a label
#
# **Same person?** The mean of the patches' tokens and the class token of the table are projected to $a_i$ and $b_i$. With $s_{ij} = \cos(a_i, b_j)/\tau$ and $\tau = 0.1$, each picture looks for its table among the batch, and each table for its picture, as in
# CLIP {cite}`radford2021clip`:
#
# $$L_{\text{con}} = \tfrac12 \operatorname*{mean}_i \Big[-\log \operatorname{softmax}_j(s_{ij})_i - \log \operatorname{softmax}_j(s_{ji})_i\Big]. \tag{3}$$
#
# For this loss and the next a share of 0.3 of the cells is replaced by cells of other people in the batch.
#
# **Matched?** Now cells look at a picture, and the class token says whether both are of one person. Strangers from the batch are mostly easy. So the wrong partner is drawn among those that the contrast confuses,
#
# $$P(j \mid i) \propto \operatorname{softmax}_j(s_{ij}) + 10^{-4}, \quad j \ne i, \tag{4}$$
#
# a table for each picture and a picture for each table. With $p$ the probability of "matched" for one right and two wrong pairs of each person,
#
# $$L_{\text{match}} = -\tfrac13 \operatorname*{mean}_i \big[\log p_i + \log(1 - p_i') + \log(1 - p_i'')\big]. \tag{5}$$
#
# **What was hidden?** Half of the known cells are hidden, set $H$. From its token after the second transformer a category is guessed among *all* categories of all columns, $q_j$, and a number by one line for all columns, $\hat x_j$:
#
# $$L_{\text{cat}} = \frac{\sum_{j \in H} -\log q_j(o_j + x_j)}{\max(1, |H|)}, \qquad L_{\text{num}} = \frac{\sum_{j \in H} (\hat x_j - x_j)^2}{\max(1, |H|)}, \tag{6}$$
#
# each over its own columns, for the whole batch. The $\max$ makes an empty $H$ cost 0; the released code divides by $|H|$ and so has NaN there {cite}`tip_repository`. Pre-training takes the mean of the three,
#
# $$L = \tfrac13\Big[L_{\text{con}} + L_{\text{match}} + \tfrac12 (L_{\text{cat}} + L_{\text{num}})\Big]. \tag{7}$$
#
# **Classes.** Three lines read the mean of the patches, the class token of the table, and the class token that has seen both. Their logits are averaged, and everything is trained on:
#
# $$z = \tfrac13\,(z_{\text{picture}} + z_{\text{table}} + z_{\text{both}}), \qquad L_{\text{classes}} = -\log \operatorname{softmax}(z)_y. \tag{8}$$
#
# The same in plain PyTorch, beside the package; and two promises, tested.


# %%
def pretraining_by_hand(method, batch, u):
    """Equations (2) to (7), with uniform draws u (B, 3 M + 2)."""
    table, known = torch.nan_to_num(batch["table"]), batch["table_known"]
    size, columns = table.shape
    swap, hide = u[:, :columns] < 0.3, (u[:, 2 * columns : -2] < 0.5) & known
    donor = (u[:, columns : 2 * columns] * size).long()
    other = torch.where(swap, table.gather(0, donor), table)
    other_known = torch.where(swap, known.gather(0, donor), known)
    picture = method.tokens_of_picture(batch["image"])
    cells = method.tokens_of_table(other, other_known)
    a = nn.functional.normalize(method.project_picture(picture.mean(1)), dim=1)
    b = nn.functional.normalize(method.project_table(cells[:, 0]), dim=1)
    s, right = a @ b.T / 0.1, torch.arange(size)
    ce = nn.functional.cross_entropy
    contrast = (ce(s, right) + ce(s.T, right)) / 2
    t, p = draw_wrong(s, u[:, -2]), draw_wrong(s.T, u[:, -1])
    pairs = [(cells, picture), (cells[t], picture), (cells, picture[p])]
    said = torch.cat([method.match(method.both(c, x)[:, 0]) for c, x in pairs])
    matching = ce(said, torch.tensor([1] * size + [0] * 2 * size))
    seen = method.both(method.tokens_of_table(table, known & ~hide), picture)
    j = len(method.categories)
    log_q = method.to_categories(seen[:, 1 : 1 + j]).log_softmax(-1)
    numbers = method.to_number(seen[:, 1 + j :])[..., 0]
    where = hide[:, :j].nonzero(as_tuple=True)
    place = table[:, :j].long() + method.offsets
    categories = -log_q[where][torch.arange(len(where[0])), place[where]].mean()
    squares = (numbers - table[:, j:])[hide[:, j:]].square().mean()
    return (contrast + matching + (categories + squares) / 2) / 3


demo, batch = TIP.demo()
u = torch.rand(16, 11, generator=torch.Generator().manual_seed(0))
ours = pretraining_by_hand(demo, batch, u)
terms = demo.loss(batch | {"uniforms": u}, torch.Generator())
assert torch.allclose(ours, terms["loss"] - demo.labelled * terms["classes"])
noise = torch.randn_like(batch["table"])
other = batch | {"table": torch.where(batch["table_known"], batch["table"], noise)}
assert torch.equal(demo.predict(other), demo.predict(batch))
nothing = torch.zeros_like(batch["table_known"])
empty = demo.loss(batch | {"table_known": nothing}, torch.Generator())
assert empty["reconstruction"] == 0
say(
    f"Both give {ours.item():.4f} on the demo. Noise in the holes changes no answer, bit for bit; and with no cell to hide the reconstruction is {empty['reconstruction']:.0f}."
)

# %% [markdown]
# The first promise takes two guards. The hole's token must not contain the value, which (1) sees to; and $0 \cdot \mathrm{NaN}$ is NaN, so the value is replaced *before* it is multiplied by anything.
#
# ## A cohort whose law is known
#
# Each person of the world ({py:func}`~mmlab.data.worlds.cohort_world.cohort_world`) has a diagnosis (4), a build (3) and a habit (3), which makes 36 states. The table has three columns with categories and three with numbers, each of which depends on one, two or all of the three. The picture has
# a pattern that depends on all of them. But it may lie in any quarter of the picture, and the other quarters are noise, as what matters in a scan need not lie in the same place. All pixels have noise of standard deviation 2, more than the pattern itself varies.
#
# There are 800 people to learn from, of whom 120 have a diagnosis. For each of them a share between 0 and 0.7 is drawn, and each cell is unknown with that probability, whatever it holds. The test has 1,000 other people, four times over: the cells are the same, and more of them are unknown each time. Since the states can be counted, Bayes' rule gives the optimal answer
# for every class and every hidden cell: from both (*law*), from the picture alone, and from the known cells alone. These three are ceilings: they say what picture and form could add to each other.

# %%
PEOPLE, LABELLED, VALID, TEST, HOLES = 800, 120, 300, 1000, (0.0, 0.3, 0.5, 0.7)
world = cohort_world(noise=2.0)
train = {d: world.draw(PEOPLE, 3 * d, (0.0, 0.7)).tensors for d in range(seeds)}
valid = {d: world.draw(VALID, 3 * d + 1, (0.0, 0.7)).tensors for d in range(seeds)}
tests = {
    (d, h): world.draw(TEST, 3 * d + 2, h).tensors
    for d in range(seeds)
    for h in HOLES
}


def without_form(people):
    """The same people, who handed in an empty form."""
    none = torch.zeros_like(people["table_known"])
    table = torch.full_like(people["table"], torch.nan)
    return people | {"table": table, "table_known": none}


def scored(answer, people):
    """Accuracy over the hidden categories, and share of the hidden numbers' variance left over."""
    (categories, numbers), hidden = answer, ~people["table_known"]
    truth, j = people["truth"], len(CATEGORIES)
    right = torch.stack([c.argmax(1) for c in categories], 1) == truth[:, :j]
    away = (numbers - truth[:, j:]).square()
    spread = (truth[:, j:] - truth[:, j:].mean(0)).square()
    hid = hidden[:, j:]
    return float(right[hidden[:, :j]].double().mean()), float(
        away[hid].mean() / spread[hid].mean()
    )


LAWS = {
    "law, form alone": (lambda people: people, False),
    "law, picture alone": (without_form, True),
    "law": (lambda people: people, True),
}
half = {
    row: [
        scored(world.cells(f(tests[d, 0.5]), picture), tests[d, 0.5])[0]
        for d in range(seeds)
    ]
    for row, (f, picture) in LAWS.items()
}
said = {
    row: [
        np.mean(
            [
                accuracy(
                    world.classes(f(tests[d, h]), picture), tests[d, h]["label"]
                )
                for h in HOLES
            ]
        )
        for d in range(seeds)
    ]
    for row, (f, picture) in LAWS.items()
}


def ceilings(what, found, added, to):
    return claimed(
        f"law-{what}-{added}-adds",
        found["law"],
        found[f"law, {to} alone"],
        direction="higher",
        unit="%",
        better=f"the {added} adds to the {to}, {{ours}} from both against {{theirs}} from the {to} alone.",
        worse=f"the {added} takes from the {to}, {{ours}} from both against {{theirs}} from the {to} alone.",
        undecided=f"both ({{ours}}) and the {to} alone ({{theirs}}) cannot be told apart.",
    )


say(
    "**The best possible**\n\n"
    + "\n".join(
        f"- {title}: {ceilings(what, found, added, to)}"
        for what, title, found in (
            ("cells", "Categories, half of the cells unknown", half),
            ("classes", "Diagnosis, mean over the four shares", said),
        )
        for added, to in (("form", "picture"), ("picture", "form"))
    )
)

quiet = cohort_world(noise=1.0)
calm = [quiet.draw(TEST, 3 * d + 2, 0.5).tensors for d in range(seeds)]
claim(
    "law-quiet-form-adds",
    [scored(quiet.cells(p), p)[0] for p in calm],
    [scored(quiet.cells(without_form(p)), p)[0] for p in calm],
    direction="higher",
    unit="%",
    better="With half the noise, the form adds to the picture in the law of categories: {ours} from both against {theirs} from the picture alone.",
    worse="With half the noise, the form takes from the picture in the law of categories: {ours} from both against {theirs} from the picture alone.",
    undecided="With half the noise, both ({ours}) and the picture alone ({theirs}) cannot be told apart in the law of categories.",
)

# %% [markdown]
# The last line is why the world is as noisy as it is. Where the law of both hardly differs from that of the picture, no method can show what a table does.
#
# ## The rivals
#
# | row | what it does |
# | --- | --- |
# | mode | says the most frequent category of the column, and the mean of the numbers |
# | line | logistic or ridge regression for each column, on the pixels and the other cells; a hole is 0, with a flag. A quarter of the known cells is hidden for the fit, once, so that about half are unknown as at the test |
# | boosted trees | the same with boosted trees, which take a hole as a hole |
# | line, form alone | the line without the pixels |
# | line, told where | the line, but it gets only the quarter of the picture with the most energy, which is not always the right one: somebody told it how the world works |
# | shuffled picture | TIP, but at the test each person has another person's picture |
# | shuffled pairs | TIP, pre-trained with wrong pairs of picture and table |
# | picture only | TIP, but every known cell is hidden when (6) is learnt, and the form is empty in fine-tuning and at the test |
# | TIP | (7) for the cells; (7), then (8) for the classes |
# | law, form alone; picture alone; law | the best possible |
#
# For the classes, lines and trees learn from the 120 people with a label, and there are two further rows: *from scratch* is TIP's network with (8) alone, and *filled, then a line* uses the other people as dully as one can: the lines for the columns, fitted to all people, fill the holes first.
#
# **Budgets.** Lines choose among five penalties and trees among four numbers of rounds, on 300 validation people, by the mean over draws. (Their penalty is given as scikit-learn's $C$, with $1/C$ for the ridge: a small number is a strong penalty.) For the cells the accuracy of the categories chooses, and its choice serves the numbers too. TIP's pre-training has one learning rate, not searched. Fine-tuning chooses among four rates, by the accuracy of the diagnosis. *From scratch* chooses among the same four, and has no pre-training, so fewer steps in all. All networks of a kind are trained side by side; the draws of (4) and of what is hidden come with the data for that.


# %%
class Drawn(TIP):
    """TIP whose uniform draws are fixed for each person, and moved on by those of the first of the batch; for who is ``alone`` all cells are hidden."""

    def loss(self, batch, rng):
        if "uniforms" in batch:
            u, m = batch["uniforms"], batch["table"].shape[1]
            u = (u + u[:1]) % 1
            hide = torch.where(batch["alone"][:, None], 0, u[:, 2 * m : 3 * m])
            u = torch.cat([u[:, : 2 * m], hide, u[:, 3 * m :]], 1)
            batch = batch | {"uniforms": u}
        return super().loss(batch, rng)


KEYS = ("image", "table", "table_known")


def items(people, *more, count=PEOPLE):
    """What a network sees of the first people; holes hold 0."""
    found = {k: people[k][:count] for k in (*KEYS, *more)}
    return found | {"table": torch.nan_to_num(found["table"])}


given = TIP.arguments_for({k: v[0] for k, v in train[0].items()})


def pretrain(rows, **more):
    methods = {
        (row, d): Drawn.seeded(d, **given, labelled=0.0, **more)
        for row in rows
        for d in range(seeds)
    }
    data = []
    for row, d in methods:
        seen = items(train[d])
        rng = torch.Generator().manual_seed(d)
        seen["uniforms"] = torch.rand(PEOPLE, 3 * 6 + 2, generator=rng)
        seen["alone"] = torch.full((PEOPLE,), row == "picture only")
        if row == "shuffled pairs":
            seen["image"] = seen["image"].roll(1, 0)  # everybody gets another's
        data.append(TensorData(seen))
    fit_side_by_side(
        list(methods.values()), data,
        steps=steps, batch_size=48, lr=1e-2, schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    return methods


pretrained = pretrain(("TIP", "shuffled pairs", "picture only"))


# %%
def looked_at(people, kind, without=None):
    """Features of lines and trees: pixels or one quarter, and the cells but one."""
    x, known = people["table"].double(), people["table_known"].double()
    image = people["image"].double()
    if "told where" in kind:
        quarters = image.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(x), 4, 16)
        energy = quarters.square().sum(2)
        image = quarters[torch.arange(len(x)), energy.argmax(1)]
    if "form alone" in kind:
        image = image[:, :, :0]
    columns = [j for j in range(6) if j != without]
    if "trees" in kind:
        return torch.cat([image.flatten(1), x[:, columns]], 1).numpy()
    filled = torch.nan_to_num(x).long()
    parts = [image.flatten(1), known[:, columns]]
    for j in columns:
        if j < len(CATEGORIES):
            hot = nn.functional.one_hot(filled[:, j], CATEGORIES[j])
            parts.append(hot * known[:, j, None])
        else:
            parts.append(torch.nan_to_num(x[:, j : j + 1]))
    return torch.cat(parts, 1).numpy()


ROUNDS = (rounds // 8, rounds // 4, rounds // 2, rounds)
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
SETTINGS = {
    "line": PENALTIES,
    "line, form alone": PENALTIES,
    "boosted trees": ROUNDS,
    "line, told where": PENALTIES,
}
TREES = {
    "max_iter": max(ROUNDS), "max_leaf_nodes": 7, "learning_rate": 0.15, "max_bins": 32,
    "early_stopping": False, "min_samples_leaf": 5,
}  # fmt: skip


def fitted(kind, x, y, classes):
    """Answers by setting: functions of features, to probabilities or numbers."""
    if "trees" in kind:
        base = (
            HistGradientBoostingClassifier
            if classes
            else HistGradientBoostingRegressor
        )
        model = base(**TREES).fit(x, y)
        stages = model.staged_predict_proba if classes else model.staged_predict
        found = {
            r: lambda z, r=r: next(islice(stages(z), r - 1, r)) for r in ROUNDS
        }
        models = dict.fromkeys(ROUNDS, model)
    else:
        models = {
            c: (
                LogisticRegression(C=c, max_iter=300) if classes else Ridge(1 / c)
            ).fit(x, y)
            for c in PENALTIES
        }
        found = {
            c: m.predict_proba if classes else m.predict for c, m in models.items()
        }
    if not classes:
        return {h: lambda z, f=f: torch.from_numpy(f(z)) for h, f in found.items()}

    def spread(z, h):
        answer = np.zeros((len(z), classes))
        answer[:, models[h].classes_.astype(int)] = found[h](z)
        return torch.from_numpy(answer)

    return {h: lambda z, h=h: spread(z, h) for h in found}


def with_holes(people, seed):
    """The same people, with a quarter of their known cells hidden: about half are unknown then."""
    rng = torch.Generator().manual_seed(seed)
    known = people["table_known"]
    known = known & (torch.rand(known.shape, generator=rng) < 0.75)
    table = torch.where(known, people["table"], torch.nan)
    return people | {"table": table, "table_known": known}


def column_models(kind, d):
    """For each column the answers by setting, learnt from those whose cell is known."""
    found = []
    for j in range(6):
        there = train[d]["table_known"][:, j]
        x = looked_at(with_holes(train[d], j), kind, j)[there]
        classes = CATEGORIES[j] if j < len(CATEGORIES) else 0
        found.append(fitted(kind, x, train[d]["table"][there, j].numpy(), classes))
    return found


def cells_of(models, setting, kind, people):
    """All six columns as TIP's ``cells`` gives them."""
    made = [m[setting](looked_at(people, kind, j)) for j, m in enumerate(models)]
    return made[: len(CATEGORIES)], torch.stack(made[len(CATEGORIES) :], 1)


def most_frequent(people, d):
    """The mode and the mean of the training people's known cells."""
    table = train[d]["table"]
    categories = [
        torch.bincount(table[:, j][~table[:, j].isnan()].long(), minlength=n)
        .double()
        .expand(len(people["table"]), -1)
        for j, n in enumerate(CATEGORIES)
    ]
    means = table[:, len(CATEGORIES) :].nanmean(0)
    return categories, means.expand(len(people["table"]), -1)


columns = {
    (kind, d): column_models(kind, d) for kind in SETTINGS for d in range(seeds)
}
chosen, filled = {}, []
for kind, settings in SETTINGS.items():
    mean = {
        h: np.mean(
            [
                scored(cells_of(columns[kind, d], h, kind, valid[d]), valid[d])[0]
                for d in range(seeds)
            ]
        )
        for h in settings
    }
    chosen["cells", kind] = max(mean, key=mean.get)
for d in range(seeds):
    people = tests[d, 0.5]
    stranger = people | {"image": people["image"].roll(1, 0)}
    answers = {
        "mode": most_frequent(people, d),
        **{
            k: cells_of(columns[k, d], chosen["cells", k], k, people)
            for k in SETTINGS
        },
        "shuffled picture": pretrained["TIP", d].cells(stranger),
        "shuffled pairs": pretrained["shuffled pairs", d].cells(people),
        "picture only": pretrained["picture only", d].cells(without_form(people)),
        "TIP": pretrained["TIP", d].cells(people),
        **{row: world.cells(f(people), p) for row, (f, p) in LAWS.items()},
    }
    for row, answer in answers.items():
        right, left = scored(answer, people)
        filled.append(
            {"method": row, "seed": d, "accuracy": right, "variance left": left}
        )
filled = pd.DataFrame(filled)

# %% [markdown]
# ## Filling the holes
#
# Each cell of the test people is unknown with probability one half. Rows guess it from the picture and the cells that are known, but for the *mode* and those that are named for what they see *alone* or *only*. (A column can only hold its own categories, so TIP's probabilities are cut to these.)

# %% tags=["hide-input"]
# Code of the table
ORDER = [
    "mode",
    *SETTINGS,
    "shuffled picture",
    "shuffled pairs",
    "picture only",
    "TIP",
    *LAWS,
]
size = sum(p.numel() for p in pretrained["TIP", 0].parameters())
named = {k: "rounds" if "trees" in k else "penalty" for k in SETTINGS}
budgets = Budgets(
    "TIP",
    {k: Spent(tuned=(named[k],), tries=len(s)) for k, s in SETTINGS.items()}
    | {
        r: Spent(steps, size)
        for r in ("shuffled picture", "shuffled pairs", "picture only", "TIP")
    },
)
table_over_seeds(
    filled,
    f"Unknown cells of the test people, half of all. Accuracy over the categories; of the numbers the share of their variance that is left over: the mean leaves 1, a row that misleads leaves more. TIP after {steps} steps of pre-training, without a label.",
    best={"accuracy": "higher", "variance left": "lower"},
    reference=["mode", *LAWS],
    digits=3,
    order=ORDER,
    budgets=budgets,
)


def say_chosen(found, by):
    """What was chosen, {row: (words, whether it is an end of its range)}."""
    ends = [f"*{row}*" for row, (_, end) in found.items() if end]
    more = f"At an end of their range: {'; '.join(ends)}." if ends else ""
    say(
        f"Chosen on validation people, by {by}: "
        + "; ".join(f"*{row}* {words}" for row, (words, _) in found.items())
        + ". "
        + (more or "None is an end of its range.")
    )


def is_end(h, settings):
    return h in (min(settings), max(settings))


say_chosen(
    {
        k: (f"{chosen['cells', k]:g}", is_end(chosen["cells", k], s))
        for k, s in SETTINGS.items()
    },
    "accuracy",
)


# %%
def slug(text):
    return "-".join(
        "".join(c if c.isalnum() else " " for c in text.lower()).split()
    )


def cell_values(row, what="accuracy"):
    part = filled[filled["method"] == row].sort_values("seed")
    return part[what].tolist()


def cells_against(row, what):
    lower = what != "accuracy"
    return claimed(
        f"tip-{'numbers' if lower else 'cells'}-{slug(row)}",
        cell_values("TIP", what),
        cell_values(row, what),
        direction="lower" if lower else "higher",
        better=f"TIP is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of TIP: {{theirs}} against {{ours}}.",
        undecided=f"TIP ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


for what, title in (
    ("accuracy", "Categories, accuracy"),
    ("variance left", "Numbers, variance left over"),
):
    say(
        f"**{title}**\n\n"
        + "\n".join(
            f"- {cells_against(row, what)}" for row in ORDER if row != "TIP"
        )
    )

# %% tags=["hide-input"]
# Code of the figure: cells
means = filled.groupby("method")["accuracy"].mean()
best_row = means.drop(list(LAWS)).idxmax()
show(
    bars(filled, "accuracy", order=ORDER),
    alt="Accuracy of filled categories: "
    + "; ".join(f"{row} {means[row]:.2f}" for row in ORDER)
    + ".",
    caption=f"Unknown categories. Small dots are draws, the large dot is their mean with its 95 % interval. Of all rows but the three of the law *{best_row}* has the highest mean; the lists above say what can be told apart.",
    label="tip-cells",
)

# %% [markdown]
# Look first at TIP and *law, form alone*: does TIP show, by this score, that it needed a picture? Then at *picture only*, the same network that has never seen other cells when it filled one: what lies between them is what the form was worth to this network. (Its contrast and matching still saw forms.)
#
# Two controls take the picture away, each in its own way. *Shuffled picture* is the same network with a stranger's picture. That does not keep silent, it says something false. So the row can tell *whether* TIP looks at the picture, and overstates what the look is worth. *Shuffled pairs*
# never had a picture that belonged to the table, so what it knows of cells it has from cells; but it is another network.
#
# The row that was told where to look says what the secret of this world is worth to a line. TIP was told a part of the secret, too. Its patches are 4 pixels wide, which are just the four quarters, and one small network reads them all: it has to learn which of four to trust, and never where a pattern begins.
# *Line* and *boosted trees* get 64 pixels in which the pattern moves about. How much of what TIP reads from pictures is owed to this gift? Patches of another size would say; they were not run.
#
# ## Diagnoses, with up to seven tenths of the cells unknown
#
# Now the 120 labels. Each row learns once, from people with all shares of holes, and is tested at four. Look at the three rows of the law, too: one of them cannot move with the share of holes.

# %%
RATES = (2e-2, 4e-2, 8e-2, 1.6e-1)


def seen_by(row, people):
    return without_form(people) if row == "picture only" else people


def tuned_on(row, lr, count):
    """Networks of a row on the labels, one for each draw."""
    return {
        (row, d, (lr, count)): Drawn.seeded(d, **given, pretraining=0.0)
        for d in range(seeds)
    }


def fine_tune(methods, lr, count):
    for (row, d, _), method in methods.items():
        if row != "from scratch":
            method.load_state_dict(pretrained[row, d].state_dict())
    data = [
        items(seen_by(row, train[d]), "label", count=LABELLED)
        for row, d, _ in methods
    ]
    fit_side_by_side(
        list(methods.values()), [TensorData(seen) for seen in data],
        steps=count, batch_size=40, lr=lr, schedule="cosine", log_every=count, progress=False,
    )  # fmt: skip
    return methods


networks = {}
for lr in RATES:
    rows = ("TIP", "shuffled pairs", "picture only", "from scratch")
    made = {k: v for row in rows for k, v in tuned_on(row, lr, fine_steps).items()}
    networks |= fine_tune(made, lr, fine_steps)
answers = {
    key: lambda p, m=method, row=key[0]: m.predict(seen_by(row, p))
    for key, method in networks.items()
}


def completed(people, d):
    """Holes filled by the lines of the columns."""
    categories, numbers = cells_of(
        columns["line", d], chosen["cells", "line"], "line", people
    )
    guess = torch.stack([c.argmax(1) for c in categories], 1)
    guess = torch.cat([guess.double(), numbers], 1)
    known = people["table_known"]
    table = torch.where(known, people["table"].double(), guess)
    return people | {"table": table, "table_known": torch.ones_like(known)}


for d in range(seeds):
    few = {k: v[:LABELLED] for k, v in train[d].items()}
    for kind in SETTINGS:
        made = fitted(kind, looked_at(few, kind), few["label"].numpy(), 4)
        for h, f in made.items():
            answers[kind, d, h] = lambda p, f=f, kind=kind: f(looked_at(p, kind))
    made = fitted(
        "line", looked_at(completed(few, d), "line"), few["label"].numpy(), 4
    )
    for h, f in made.items():
        answers["filled, then a line", d, h] = lambda p, f=f, d=d: f(
            looked_at(completed(p, d), "line")
        )

tried = {}
for (row, d, h), answer in answers.items():
    right = accuracy(answer(valid[d]), valid[d]["label"])
    tried.setdefault(row, {}).setdefault(h, []).append(right)
scores = []
for row, found in tried.items():
    best = chosen["classes", row] = max(found, key=lambda h: np.mean(found[h]))
    for d in range(seeds):
        for h in HOLES:
            t = tests[d, h]
            right = accuracy(answers[row, d, best](t), t["label"])
            scores.append({"method": row, "seed": d, "holes": h, "accuracy": right})
for (d, h), t in tests.items():
    for row, (f, picture) in LAWS.items():
        right = accuracy(world.classes(f(t), picture), t["label"])
        scores.append({"method": row, "seed": d, "holes": h, "accuracy": right})
scores = pd.DataFrame(scores)

# %% tags=["hide-input"]
# Code of the table
CLASS_ORDER = [
    *SETTINGS,
    "filled, then a line",
    "from scratch",
    "shuffled pairs",
    "picture only",
    "TIP",
    *LAWS,
]
tuned = named | {"filled, then a line": "penalty"}
total = steps + fine_steps
budgets = Budgets(
    "TIP",
    {
        r: Spent(tuned=(tuned[r],), tries=len(SETTINGS.get(r, PENALTIES)))
        for r in tuned
    }
    | {"from scratch": Spent(fine_steps, size, ("learning rate",), 4)}
    | {
        r: Spent(total, size, ("learning rate",), 4)
        for r in ("shuffled pairs", "picture only", "TIP")
    },
)
wide = scores.pivot_table(
    index=["method", "seed"], columns="holes", values="accuracy"
)
wide.columns = [f"{100 * h:.0f} % unknown" for h in wide.columns]
wide["mean"] = wide.mean(axis=1)
wide = wide.reset_index()
table_over_seeds(
    wide,
    f"Accuracy of the diagnosis for the test people, by the share of unknown cells. Networks after {total} steps in all, *from scratch* after {fine_steps}.",
    best=dict.fromkeys(wide.columns[2:], "higher"),
    reference=list(LAWS),
    ceiling="law",
    digits=3,
    order=CLASS_ORDER,
    budgets=budgets,
)


def named_setting(row):
    """What was chosen in words, and whether it is an end of its range."""
    h = chosen["classes", row]
    if not isinstance(h, tuple):
        return f"{h:g}", is_end(h, SETTINGS.get(row, PENALTIES))
    return f"{h[0]:g}", is_end(h[0], RATES)


say_chosen(
    {row: named_setting(row) for row in CLASS_ORDER[: -len(LAWS)]}, "accuracy"
)
record(
    cells={r: round(float(means[r]), 4) for r in ORDER},
    classes={
        r: round(float(p["accuracy"].mean()), 4)
        for r, p in scores.groupby("method")
    },
    budget=budgets.plain(),
)


# %%
def class_values(row, holes=None):
    part = scores[scores["method"] == row]
    part = part if holes is None else part[part["holes"] == holes]
    return part.groupby("seed")["accuracy"].mean().tolist()


def classes_against(row, holes=None):
    end = "" if holes is None else f"-{100 * holes:.0f}"
    return claimed(
        f"tip-classes-{slug(row)}{end}",
        class_values("TIP", holes),
        class_values(row, holes),
        direction="higher",
        unit="%",
        better=f"TIP is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of TIP: {{theirs}} against {{ours}}.",
        undecided=f"TIP ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


say(
    "**Mean over the four shares**\n\n"
    + "\n".join(f"- {classes_against(row)}" for row in CLASS_ORDER if row != "TIP")
)
say(
    "**TIP and its network from scratch, share by share**\n\n"
    + "\n".join(
        f"- {100 * h:.0f} % unknown: {classes_against('from scratch', h)}"
        for h in HOLES
    )
)
claim(
    "shuffled-pairs-against-scratch",
    class_values("shuffled pairs"),
    class_values("from scratch"),
    direction="higher",
    unit="%",
    better="Pre-training with wrong pairs is ahead of no pre-training, {ours} against {theirs}: so part of what pre-training gives does not come from the pairs.",
    worse="Pre-training with wrong pairs is behind no pre-training: {ours} against {theirs}.",
    undecided="Pre-training with wrong pairs ({ours}) and no pre-training ({theirs}) cannot be told apart.",
)
claim(
    "gain-at-many-holes",
    np.subtract(class_values("TIP", 0.7), class_values("from scratch", 0.7)),
    np.subtract(class_values("TIP", 0.0), class_values("from scratch", 0.0)),
    direction="higher",
    unit="%",
    better="What pre-training adds is larger with most cells unknown, {ours}, than with all known, {theirs}.",
    worse="What pre-training adds is smaller with most cells unknown, {ours}, than with all known, {theirs}.",
    undecided="What pre-training adds with most cells unknown ({ours}) and with all known ({theirs}) cannot be told apart.",
)

# %% tags=["hide-input"]
# Code of the figure: accuracy over holes
DRAWN = ("line", "boosted trees", "from scratch", "picture only", "TIP", *LAWS)
over = scores.groupby(["method", "holes"])["accuracy"].mean()
average = over.groupby("method").mean().drop(list(LAWS))
left_out = [row for row in average.index if row not in DRAWN]
show(
    lines(
        scores[scores["method"].isin(DRAWN)].rename(
            columns={"holes": "share of unknown cells"}
        ),
        "share of unknown cells",
        "accuracy",
    ),
    alt="Accuracy of the diagnosis against the share of unknown cells. "
    + " ".join(
        f"{row}: " + ", ".join(f"{over[row, h]:.2f} at {h:g}" for h in HOLES) + "."
        for row in CLASS_ORDER
    ),
    caption=f"The band is the 95 % interval over draws. Of all rows but the three of the law *{average.idxmax()}* has the highest mean. Not drawn, with their means: "
    + "; ".join(f"*{row}* {average[row]:.2f}" for row in left_out)
    + ".",
    label="tip-classes",
)

# %% [markdown]
# Read the lists in this order. Does TIP differ from its network *from scratch*? If the two cannot be told apart, this run has found no use of pre-training for the diagnosis, whatever it did for the cells. If they can: does TIP also differ from *shuffled pairs*, which has seen the same pictures and tables as often, only not together? What those
# two share is not owed to the pairs. It may be owed to more steps, or to what pictures and tables show each alone.
#
# The three losses of pre-training were given at once, and no run on this page takes them apart. What the form adds to the picture at the time of the diagnosis stands between TIP and *picture only*.
#
# ## What goes wrong in practice
#
# - **The table knows too much.** If a column is made from the label, or from the picture by the same reader, filling it in is no feat. Ask how each column came about.
# - **Holes that tell.** Here cells are missing completely at random. In clinics a test is not made *because* a doctor saw no need. The learnt hole token can pick this up; whether that is wanted depends on where the model goes.
# - **A union of categories.** In (6) the softmax runs over all columns' categories. A guess for one column can so fall on a category of another. Cut it to the column when you fill cells in.
# - **Numbers in their own units.** (6) adds squares over columns. Standardise them, or the largest unit is learnt first.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The cost of hidden numbers (code)
# :label: tip-numbers
#
# Write $L_{\text{num}}$ of (6). You get guesses and true cells, (B, J), and which are hidden, boolean (B, J). A cell that is not hidden may hold anything, also NaN; and nothing may be hidden.
# ```

# %% tags=["stub:numbers"]
from mmlab.exercises.tip import check_numbers


def cost_of_numbers(guess, table, hidden):
    return ...


check_numbers(cost_of_numbers)

# %% [markdown]
# ```{solution-start} tip-numbers
# :class: dropdown
# ```


# %% tags=["solution:numbers"]
def cost_of_numbers(guess, table, hidden):
    truth = torch.where(hidden, table, 0.0)
    squares = (guess - truth).square() * hidden
    return squares.sum() / hidden.sum().clamp(min=1)


check_numbers(cost_of_numbers)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What nothing looks like (compute)
# :label: tip-nothing
#
# A network knows nothing of the person before it. What is, in nats, (a) the contrast (3) in a batch of 48, if all cosines are equal; (b) the matching loss (5), if it always says the share of right pairs; (c) the
# cost of a category in (6), if the guess is even over all ten categories of the union?
# ```

# %% tags=["stub:nothing"]
from mmlab.exercises.tip import check_nothing

contrast_of_nothing = ...
matching_of_nothing = ...
category_of_nothing = ...

check_nothing((contrast_of_nothing, matching_of_nothing, category_of_nothing))

# %% [markdown]
# ```{solution-start} tip-nothing
# :class: dropdown
# ```
#
# One of three pairs is right, so the share is a third.

# %% tags=["solution:nothing"]
contrast_of_nothing = math.log(48)
matching_of_nothing = -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
category_of_nothing = math.log(10)

check_nothing((contrast_of_nothing, matching_of_nothing, category_of_nothing))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Hard: what matching knows (derive)
# :label: tip-matching
#
# Pairs $(x, t)$ of picture and table have the law $p(x, t)$. Let wrong tables be drawn from $q(t \mid x)$ and wrong pictures from $q(x \mid t)$. Which $p^\star(x, t)$ minimises (5)? What is its log-odds if wrong partners are drawn evenly from the marginal laws, and what do
# hard ones (4) take away from it? Write the log-odds for finite laws: `joint` is $p(x, t)$, a matrix; the others are $q(t \mid x)$ and $q(x \mid t)$ at the same places.
# ```

# %% tags=["stub:log_odds"]
from mmlab.exercises.tip import check_log_odds


def log_odds(joint, table_given_picture, picture_given_table):
    return ...


check_log_odds(log_odds)

# %% [markdown]
# ```{solution-start} tip-matching
# :class: dropdown
# ```
#
# For a fixed pair, (5) weighs $-\log p$ by $p(x, t)$ and $-\log(1 - p)$ by $p(x)\,q(t \mid x) + p(t)\,q(x \mid t)$. So
#
# $$\log \frac{p^\star}{1 - p^\star} = \log \frac{p(x, t)}{p(x)\, q(t \mid x) + p(t)\, q(x \mid t)} .$$
#
# With even draws, $q(t \mid x) = p(t)$, this is the pointwise mutual information less $\log 2$. Hard partners are drawn where $s$ is high. If $s$ already is the pointwise mutual information, the batch is large, and the small constant in (4) is left out, $q(t \mid x) \propto p(t)\,e^{s}$ is $p(t \mid x)$ itself, and the log-odds is $-\log 2$ for every pair: what the contrast
# knows, the matching no longer needs to say. A law of three states shows both.


# %% tags=["solution:log_odds"]
def log_odds(joint, table_given_picture, picture_given_table):
    px, pt = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    wrong = px * table_given_picture + pt * picture_given_table
    return (joint / wrong).log()


check_log_odds(log_odds)

# %%
joint = torch.tensor([[0.3, 0.05, 0.05], [0.02, 0.2, 0.08], [0.05, 0.05, 0.2]])
px, pt = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
laws = {
    "even": (pt.expand_as(joint), px.expand_as(joint)),
    "hard": (joint / px, joint / pt),
}
for name, (t_given_x, x_given_t) in laws.items():
    odds = log_odds(joint, t_given_x, x_given_t)
    say(
        f"With {name} partners the optimal log-odds goes from {odds.min():.2f} to {odds.max():.2f}."
    )

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is a hole a token at all, if nobody may look at it?
# Because it may look at others: its own row of (2) is open, and in the second transformer everybody looks at everybody. That token is where the guess for the cell is read.
# ```
#
# ```{dropdown} Why three heads and not only the one that has seen both?
# Their mean still answers when one part has little to say. Whether it is more often right than the third head alone is a question for a run; none here asks it.
# ```
#
# ```{dropdown} Could the filled cells be handed to the trees?
# Yes, and it is a fair idea: fill with TIP, classify with anything. Then count TIP's steps in the budget of the trees.
# ```
#
# ## In five lines
#
# - A cell is a token, a hole is a token that listens and is not heard, and what stands in a hole must have no effect: test it.
# - Contrast asks who belongs to whom, matching asks it again of hard pairs, and hidden cells ask what the picture says of the table.
# - A mean over an empty set is 0 by decree. Without the decree it is NaN, and one batch ends the training.
# - Hold filled cells against the mode, the picture alone, the form alone, lines and trees for each column, and, where there is one, the law of each.
# - Tell a line the secret of the world, too, and ask what the network was told: patches that fit the pattern are a hint.
#
# ## Limits, and what to read next
#
# - The world is small and its holes are fair. The paper's data are cardiac scans and pictures of cars, with up to 75 columns {cite}`tip`; its tables could not be checked, so none of its numbers is printed.
# - The noise of the picture sets how much picture and form add to each other. Rows were run in one setting.
# - For the cells lines chose among five settings, trees among four, and TIP had one; for the classes TIP had four. Where the chosen one is an end of its range, as the lines under the tables tell, a wider range might hold another. Three draws are few; more might decide more. TIP's width, rate and length of pre-training and weights in (7) were not searched, nor were the leaves of the trees. *From scratch* was not run for as many steps as TIP had with pre-training.
# - A tabular foundation model, which fills holes after training on many tables, was not run here.
#
# [CLIMATv2](climat.ipynb) reads picture and table with agents that ask questions; [Stacking](text_tabular.ipynb) puts trees and a network side by side.

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
# # A face behind a headset: HEADSET
#
# **Somebody wears a headset, and half of the face is gone. What does that cost a picture, what does it cost a depth map, and what do the two bring back together?**
#
# HEADSET {cite}`lohesara2023headset` is a data set: 27 people who pose expressions before 62 colour and 31 depth cameras, and 11 with a headset on {cite}`lohesara2023headset`. Its authors classify expressions, remove headsets from views, and
# reconstruct point clouds. The files come on agreement. So this chapter asks its first question in a drawn world, where we know which part of a face tells what, and so how well anybody could do; a reader of
# cut-out faces ({py:func}`~mmlab.data.sets.headset_faces.headset_faces`) takes the real ones in the same form.
#
# **After this chapter you can**
#
# - hand a network a map with a hole, so that nothing in the hole has an effect, and test that;
# - say what a hole costs each modality, beside the closed form of what it must cost;
# - separate what fusion brings back from what comes of training with holes, of a second network, and of a second input as such;
# - say when a product of two separate experts is all the fusion that is needed.
#
# You need PyTorch and cross-entropy. Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.headset_world import (
    EMOTIONS,
    SEEN,
    covers,
    headset_world,
    items_of,
    posterior,
    worn,
)
from mmlab.methods.headset import Headset, seen
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 80, "gpu": 1000}[profile]

# %% [markdown]
# ## Faces with eight numbers
#
# In {py:func}`~mmlab.data.worlds.headset_world.headset_world` a face is drawn from eight numbers. Four move its upper half: height and tilt of the brows, opening of the eyes, and a ridge between the brows. Four move its lower half: bend and opening of the mouth, cheeks and jaw. The picture shows brows, eyes and mouth. The depth map shows ridge, cheeks
# and jaw. An emotion is a set of means for these numbers; a person moves all of them by an offset of their own, and each face adds its own deviation. The people of the test are strangers.

# %% tags=["hide-input"]
# Code of the figure: one person, six emotions
worlds = [
    headset_world(seed=seed)
    if steps > 10
    else headset_world((4, 2, 2), (1, 1, 1), seed)
    for seed in range(seeds)
]
faces = worlds[0].parts["test"]
first = [
    int(((faces.label == e) & (faces.person == 0)).nonzero()[0]) for e in range(6)
]
covered = worn(faces)
figure = Figure(figsize=(6.4, 4.4), layout="constrained")
for row, (maps, name) in enumerate(
    [
        (faces.picture, "picture"),
        (covered[0], "with headset"),
        (faces.depth, "depth"),
        (covered[1], "with headset"),
    ]
):
    for column, i in enumerate(first):
        axes = figure.add_subplot(4, 6, 6 * row + column + 1)
        axes.imshow(maps[i, 0], cmap="gray", vmin=(-1, 0)[row > 1], vmax=1)
        axes.set(xticks=[], yticks=[], title="" if row else EMOTIONS[column])
        if not column:
            axes.set_ylabel(name, fontsize=8)
show(
    figure,
    alt="Four rows of six small faces of one person: the picture of each emotion, the same with a headset that covers the upper half, the depth map, and the same with the headset. Brows, eyes and mouth differ in the pictures; in the depth maps the ridge between the brows, cheeks and jaw differ, and by little.",
    caption="One stranger of the test. The headset lies before brows and eyes in both maps, at the same pixels.",
)

# %% [markdown]
# All that the upper four numbers move lies below the headset, in every face: a test of the package draws faces that differ in these numbers alone, and finds the same pixels outside the box, bit for bit. That matters. If a brow looked out, a network could be *good under occlusion* because the occlusion had a hole.
#
# ## A map with a hole

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "p": Box(0, 0, "picture,\nwhat is hidden"),
    "d": Box(0, 1.2, "depth,\nwhat is hidden"),
    "fp": Box(1, 0, "differences\nfrom the\nmean face (1)", "changed"),
    "fd": Box(1, 1.2, "differences\nfrom the\nmean face (1)", "changed"),
    "z": Box(2, 0.6, "features of\nboth (2)", "trained"),
    "y": Box(3, 0.6, "emotion (3)", "loss"),
}
arrows = [
    Arrow("p", "fp"),
    Arrow("d", "fd"),
    Arrow("fp", "z"),
    Arrow("fd", "z"),
    Arrow("z", "y"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: picture and depth map, each with what is hidden of it, become differences from the mean face; features of both go to one line, which tells the emotion.",
    caption="What is hidden is cut out in orange boxes, before anything learns. Blue is trained.",
)

# %% [markdown]
# Modality $m$ has a map $x_m$ and a mask $h_m$, which is 1 where a pixel is hidden. With the mean face $\mu_m$ and the deviation $s_m$ of the training items, both taken where they are seen, an encoder gets two channels,
#
# $$\tilde x_m = \Big[ (1 - h_m) \odot \frac{x_m - \mu_m}{s_m},\; h_m \Big] . \tag{1}$$
#
# Zero in the first channel means: as in the mean face. The second channel says whether that was seen or assumed. A modality that is not there at all is one with $h_m = 1$ everywhere, so the same network serves one modality or two. Features and logits are
#
# $$z_m = \mathrm{ReLU}(A_m \tilde x_m + a_m), \qquad g = B\, [z_1, z_2] + b , \tag{2}$$
#
# and the loss covers some items with a box $c_n$, such as a headset would hide, and leaves the others as they are, with $c_n = 0$:
#
# $$L = -\frac1N \sum_n \log \operatorname{softmax}\big( g(x^n, h^n \vee c_n) \big)_{y_n} . \tag{3}$$
#
# Nothing in (1) to (3) is peculiar to the paper, which brings data: it is the plainest network that is told what it cannot see. By hand:

# %%
demo, batch = Headset.demo()
demo.look_at(TensorData(batch))
features = []
for name in ("picture", "depth"):
    hole = batch[f"{name}_hidden"]
    x = (batch[name] - demo.get_buffer(f"{name}_mean")) / demo.get_buffer(
        f"{name}_scale"
    )
    two = torch.cat([torch.where(hole, 0, x), hole.float()], 1)  # (1)
    features.append(F.relu(demo.encoders[name](two.flatten(1))))
logits = demo.head(torch.cat(features, 1))  # (2)
assert torch.allclose(logits, demo(batch), atol=1e-6)
other = dict(batch)
for name in ("picture", "depth"):
    noise = torch.randn(batch[name].shape)
    other[name] = torch.where(batch[f"{name}_hidden"], noise, batch[name])
assert torch.equal(demo(batch), demo(other))
say(
    "By hand and by the package the logits are the same; and noise in the hole changes no bit of them."
)

# %% [markdown]
# ## What anybody could know
#
# A person's offset has the deviation $s$ in each number, and a face its own, $t$. So of a stranger's face, the numbers $a$ of emotion $e$ are independent and normal with mean $w_e$ and variance $s^2 + t^2$. Who reads the numbers that are seen, without error, knows
#
# $$p(e \mid a) \propto \exp\Big( -\frac{1}{2 (s^2 + t^2)} \sum_{k \text{ seen}} (a_k - w_{ek})^2 \Big) .$$
#
# This is Bayes' rule for the law of the world: in the long run it is the ceiling of every classifier of single faces, and one that reads pixels has noise besides.

# %% tags=["hide-input"]
# Code of the ceilings
BOTH = ("picture", "depth")


def ceiling(part, names, headset):
    """Accuracy of the posterior with what these modalities show."""
    places = [k for name in names for k in SEEN[name] if not headset or k >= 4]
    found = posterior(part.numbers, places).argmax(1) == part.label
    return float(found.float().mean())


limits = {
    (" and ".join(names), headset): np.mean(
        [ceiling(w.parts["test"], names, headset) for w in worlds]
    )
    for names in (("picture",), ("depth",), BOTH)
    for headset in (False, True)
}
say(
    "Accuracy of who reads without error, without and with headset:\n\n"
    + "\n".join(
        f"- {name}: {100 * limits[name, False]:.1f} % and {100 * limits[name, True]:.1f} %"
        for name in ("picture", "depth", "picture and depth")
    )
    + f"\n\nChance among six emotions is {100 / 6:.1f} %."
)

# %% [markdown]
# ## The rivals
#
# | row | what it is |
# | --- | --- |
# | both | (1) to (3) with both maps; half of the training items are covered |
# | picture alone, depth alone | the same network, the other map hidden everywhere |
# | picture twice | the mean of the answers of two networks of *picture alone* with different starts: as many features as *both* |
# | product | the answers of *picture alone* and *depth alone*, multiplied |
# | shuffled depth | as *both*, each face with the depth map of another one, in training and test |
# | not told | as *both*, but with the mean face in the hole and no second channel |
# | without boxes | as *both*, trained on uncovered faces, each twice |
# | mean face | *without boxes*, with the mean face put into the hole of the test |
# | as it is | *without boxes*, shown the headset and not told of it |
# | ridge line | least squares on the inputs (1) of both maps |
# | closed form | the posterior above, both maps |
#
# *Mean face* is the simplest way to remove a headset. *As it is* shows what a model does that nobody prepared. *Product* trains the two modalities apart and multiplies at the end.
#
# **Budgets.** All networks have the same shapes, steps, batches and number of training items, and the same starts but for the second one of *picture twice*. Rate and penalty are chosen on validation people, by the mean of the accuracies with and without headset over the draws; rows that are made of other rows take over what those chose.

# %%
RATES = (3e-3, 1e-2, 3e-2)
PENALTIES = (100.0, 1000.0, 1e4, 1e5)
ROWS = {  # the modalities, and whether half of the items are covered
    "both": (BOTH, True),
    "picture alone": (("picture",), True),
    "depth alone": (("depth",), True),
    "second picture": (("picture",), True),
    "shuffled depth": (BOTH, True),
    "not told": (BOTH, True),
    "without boxes": (BOTH, False),
}


def filled(items, mean):
    """The mean face in the holes, and nobody is told."""
    made = dict(items)
    for name in BOTH:
        hole = items[f"{name}_hidden"]
        made[name] = torch.where(hole, mean[name], items[name])
        made[f"{name}_hidden"] = torch.zeros_like(hole)
    return made


def given(row, seed, part, headset):
    """What a row is shown of a part of a world."""
    items = items_of(worlds[seed].parts[part], headset, ROWS[row][0])
    if row == "shuffled depth":
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(items["label"]), generator=rng)
        items["depth"] = items["depth"][order]
        items["depth_hidden"] = items["depth_hidden"][order]
    return filled(items, means[seed]) if row == "not told" else items


means = [
    {name: getattr(w.parts["train"], name).mean(0) for name in BOTH} for w in worlds
]


def training(row, seed):
    halves = [given(row, seed, "train", h) for h in (False, ROWS[row][1])]
    return TensorData(
        {k: torch.cat([half[k] for half in halves]) for k in halves[0]}
    )


shapes = {name: [1, 16, 16] for name in BOTH}
LABELS = {
    (part, seed): worlds[seed].parts[part].label
    for part in ("validation", "test")
    for seed in range(seeds)
}


def accuracy(answers, part, seed):
    return float((answers.argmax(1) == LABELS[part, seed]).float().mean())


answers, validated, networks = {}, {}, {}
for row, lr in [(row, lr) for row in ROWS for lr in RATES]:
    data = [training(row, seed) for seed in range(seeds)]
    start = 100 * (row == "second picture")
    group = [
        Headset.seeded(start + s, shapes).look_at(d) for s, d in enumerate(data)
    ]
    fit_side_by_side(
        group, data, steps=steps, batch_size=64, lr=lr,
        schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    networks[row, lr] = group
    for seed, method in enumerate(group):
        for part in ("validation", "test"):
            for headset in (False, True):
                shown = given(row, seed, part, headset)
                answers[row, seed, part, headset, lr] = method.predict(shown)
        if row == "without boxes":
            items = items_of(worlds[seed].parts["test"], True)
            nothing = torch.zeros_like(items["picture_hidden"])
            untold = items | {f"{name}_hidden": nothing for name in BOTH}
            repaired = filled(items, means[seed])
            for other, shown in (("as it is", untold), ("mean face", repaired)):
                answers[other, seed, "test", True, lr] = method.predict(shown)
                bare = answers[row, seed, "test", False, lr]
                answers[other, seed, "test", False, lr] = bare
for row in ROWS:
    for lr in RATES:
        validated[row, lr] = np.mean(
            [
                accuracy(answers[row, s, "validation", h, lr], "validation", s)
                for s in range(seeds)
                for h in (False, True)
            ]
        )
chosen = {
    row: max(RATES, key=lambda lr, row=row: validated[row, lr]) for row in ROWS
}
chosen["second picture"] = chosen["picture alone"]
chosen |= dict.fromkeys(("as it is", "mean face"), chosen["without boxes"])
final = {row: networks[row, chosen[row]] for row in ROWS}


def answer(row, seed, headset):
    """Test answers of a row."""
    if row == "product":
        return answer("picture alone", seed, headset) * answer(
            "depth alone", seed, headset
        )
    if row == "picture twice":
        return answer("picture alone", seed, headset) + answer(
            "second picture", seed, headset
        )
    return answers[row, seed, "test", headset, chosen[row]]


# %% tags=["hide-input"]
# Code of the ridge line: inputs (1), least squares on one-hot labels
def inputs(items, method):
    parts = [
        seen(
            items[n],
            items[f"{n}_hidden"],
            method.get_buffer(f"{n}_mean"),
            method.get_buffer(f"{n}_scale"),
        ).flatten(1)
        for n in BOTH
    ]
    parts.append(torch.ones(len(parts[0]), 1))
    return torch.cat(parts, 1).double()


lines, tried = {}, {}
for seed in range(seeds):
    method, items = final["both"][seed], training("both", seed).tensors
    X, Y = inputs(items, method), F.one_hot(items["label"], 6).double()
    gram, to = X.T @ X, X.T @ Y
    weights = {
        penalty: torch.linalg.solve(gram + penalty * torch.eye(len(gram)), to)
        for penalty in PENALTIES
    }
    for part in ("validation", "test"):
        for h in (False, True):
            x = inputs(given("both", seed, part, h), method)
            for penalty, W in weights.items():
                lines[seed, part, h, penalty] = x @ W
for penalty in PENALTIES:
    tried[penalty] = np.mean(
        [
            accuracy(lines[s, "validation", h, penalty], "validation", s)
            for s in range(seeds)
            for h in (False, True)
        ]
    )
kept = max(tried, key=tried.get)

# %% tags=["hide-input"]
# Code of the table
ORDER = [
    "both", "picture alone", "depth alone", "picture twice", "product", "shuffled depth",
    "not told", "without boxes", "mean face", "as it is", "ridge line", "closed form",
]  # fmt: skip
made = []
for row in ORDER:
    for seed in range(seeds):
        line = {"method": row, "seed": seed}
        for headset, column in ((False, "without"), (True, "with headset")):
            if row == "closed form":
                part = worlds[seed].parts["test"]
                line[column] = ceiling(part, BOTH, headset)
            elif row == "ridge line":
                line[column] = accuracy(
                    lines[seed, "test", headset, kept], "test", seed
                )
            else:
                line[column] = accuracy(answer(row, seed, headset), "test", seed)
        made.append(line)
scores = pd.DataFrame(made)
count = sum(p.numel() for p in final["both"][0].parameters())
spent = Spent(steps, count, ("learning rate",), len(RATES))
budgets = Budgets(
    "both",
    {row: spent for row in ORDER if row not in ("ridge line", "closed form")}
    | {
        "picture twice": Spent(
            2 * steps, 2 * count, ("learning rate",), len(RATES)
        ),
        "product": Spent(2 * steps, 2 * count, ("learning rate",), len(RATES)),
        "ridge line": Spent(None, None, ("penalty",), len(PENALTIES)),
    },
)
table_over_seeds(
    scores,
    f"Accuracy on faces of strangers; networks after {steps} steps.",
    best={"without": "higher", "with headset": "higher"},
    reference=["closed form"],
    digits=3,
    order=ORDER,
    budgets=budgets,
)
say(
    "Chosen on validation people: "
    + ", ".join(f"{row} {chosen[row]:g}" for row in ROWS if row != "second picture")
    + f"; ridge line {kept:g}."
)
mean = scores.groupby("method")[["without", "with headset"]].mean()
record(
    accuracy={row: mean.loc[row].round(4).to_dict() for row in ORDER},
    budget=budgets.plain(),
)


# %%
def values(row, headset=True):
    column = "with headset" if headset else "without"
    return scores[scores["method"] == row].sort_values("seed")[column].tolist()


def cost(row):
    return claimed(
        f"headset-cost-{row.replace(' ', '-')}",
        values(row),
        values(row, False),
        direction="higher",
        better=f"*{row}*: with headset *more* is right, {{ours}} against {{theirs}} without.",
        worse=f"*{row}*: {{ours}} with headset, {{theirs}} without.",
        undecided=f"*{row}*: {{ours}} with and {{theirs}} without headset cannot be told apart.",
        unit="%",
    )


def against(row, headset=True):
    how = "worn" if headset else "bare"
    slug = row.replace("without", "no").replace(" ", "-")
    return claimed(
        f"headset-{how}-{slug}",
        values("both", headset),
        values(row, headset),
        direction="higher",
        better=f"*Both* is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row.capitalize()}* is ahead of *both*: {{theirs}} against {{ours}}.",
        undecided=f"*Both* ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
        unit="%",
    )


say(
    "**What the headset costs**\n\n"
    + "\n".join(
        f"- {cost(row)}" for row in ("picture alone", "depth alone", "both")
    )
)
say(
    "**With headset**\n\n"
    + "\n".join(f"- {against(row)}" for row in ORDER if row != "both")
)
say(
    "**Without headset**\n\n"
    + "\n".join(
        f"- {against(row, False)}"
        for row in ("picture alone", "product", "without boxes", "ridge line")
    )
)

# %% tags=["hide-input"]
# Code of the figure: all rows
wide = scores.melt(
    ["method", "seed"], ["without", "with headset"], "headset", "accuracy"
)
show(
    bars(wide, "accuracy", panel="headset", order=ORDER),
    alt="Accuracy of every row. "
    + " ".join(
        f"{column.capitalize()}: "
        + ", ".join(f"{row} {mean.loc[row, column]:.2f}" for row in ORDER)
        + "."
        for column in ("without", "with headset")
    ),
    caption="Small dots are draws of people, the large dot is their mean with its 95 % interval. The panels have scales of their own. With headset the highest mean of the rows that learn is that of "
    + f"*{mean['with headset'].drop('closed form').idxmax()}*; the lists above say what can be told apart.",
)

# %% [markdown]
# ## What fusion brings back
#
# Three comparisons. With a headset on, do both maps tell what the bare picture did? Does depth add *more* to the picture then, or as much as ever? And what of a network that never saw a hole: should it be shown the mean face in place of the headset? "Back" means points of accuracy: depth shows cheeks and jaw, not the brows that were lost.

# %%
lost, back, bare_gain = (
    100 * np.subtract(a, b)
    for a, b in (
        (values("picture alone", False), values("picture alone")),
        (values("both"), values("picture alone")),
        (values("both", False), values("picture alone", False)),
    )
)
say(
    f"The headset takes {lost.mean():.1f} points from the picture; with it on, the depth map adds {back.mean():.1f} to what is left. In the closed form depth adds {100 * (limits['picture and depth', True] - limits['picture', True]):.1f} points with a headset and {100 * (limits['picture and depth', False] - limits['picture', False]):.1f} without one."
)
claim(
    "headset-back-to-bare-picture",
    values("both"),
    values("picture alone", False),
    direction="higher",
    better="Both maps behind a headset tell more than the bare picture did: {ours} against {theirs}.",
    worse="Both maps behind a headset do not tell all that the bare picture did: {ours} against {theirs}.",
    undecided="Both maps behind a headset ({ours}) and the bare picture alone ({theirs}) cannot be told apart.",
    unit="%",
)
claim(
    "headset-fusion-gain",
    back,
    bare_gain,
    direction="higher",
    better="The depth map adds more to the picture behind a headset than without one: {ours} against {theirs}.",
    worse="The depth map adds less to the picture behind a headset than without one: {ours} against {theirs}.",
    undecided="What the depth map adds to the picture behind a headset ({ours}) and without one ({theirs}) cannot be told apart.",
    unit="points",
)
claim(
    "headset-told",
    values("mean face"),
    values("as it is"),
    direction="higher",
    better="A network that never saw a hole is right more often with the mean face in place of the headset than with the headset itself: {ours} against {theirs}.",
    worse="A network that never saw a hole is right more often with the headset itself than with the mean face in its place: {theirs} against {ours}.",
    undecided="For a network that never saw a hole, mean face ({ours}) and headset ({theirs}) cannot be told apart.",
    unit="%",
)

# %% [markdown]
# How much must be hidden? Turn the lower edge of the box. The networks are those of the table; they were trained with edges between the eyes and the mouth, and other edges are new to them.

# %% tags=["hide-input"]
# Code of the widget: the lower edge
EDGES = [1, 5, 9, 12, 15]
few_seeds = range(min(2, seeds))


def hidden_to(edge, seed):
    part = worlds[seed].parts["test"]
    box = covers(len(part.label), torch.Generator().manual_seed(0), edge)
    return {f"{name}_hidden": box for name in BOTH}


def right_at(edge):
    """Accuracies of picture, depth and both with a box down to this row."""
    found = {}
    for row in ("picture", "depth", "both"):
        group = final["both" if row == "both" else f"{row} alone"]
        each = []
        for seed in few_seeds:
            part = worlds[seed].parts["test"]
            items = items_of(part, False, BOTH if row == "both" else (row,))
            box = hidden_to(edge, seed)
            items |= {k: items[k] | box[k] for k in box}
            each.append(accuracy(group[seed].predict(items), "test", seed))
        found[row] = float(np.mean(each))
    return found


at_edge = {edge: right_at(edge) for edge in EDGES}


def draw_edge(edge):
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    part, box = worlds[0].parts["test"], hidden_to(edge, 0)
    for column, name in enumerate(BOTH):
        axes = figure.add_subplot(1, 3, column + 1)
        shown = getattr(part, name)[first[3], 0].masked_fill(
            box[f"{name}_hidden"][first[3], 0], 1 if column else -1
        )
        axes.imshow(shown, cmap="gray", vmin=0 if column else -1, vmax=1)
        axes.set(xticks=[], yticks=[], title=name)
    axes = figure.add_subplot(1, 3, 3)
    axes.bar(list(at_edge[edge]), list(at_edge[edge].values()))
    axes.set(ylim=(0, 1), ylabel="accuracy")
    return figure


frames(
    {"edge": EDGES},
    draw=draw_edge,
    alt=lambda edge: (
        f"Hidden down to about row {edge} of 16: picture {at_edge[edge]['picture']:.2f}, depth {at_edge[edge]['depth']:.2f}, both {at_edge[edge]['both']:.2f} right."
    ),
    caption="Left: one stranger with the same box over both maps. Right: how often the networks of the table are right on all strangers, mean of the first two draws; chance is one in six.",
    start={"edge": 9},
)

# %% [markdown]
# ## What went wrong in practice
#
# - On raw pixels, without (1)'s mean face and deviation, *depth alone* stayed near chance in a trial. The bumps that tell an emotion are small beside the face itself; whether mean or deviation made the difference was not tried.
# - The first drawing let steep brows look out above the box by a fraction of a pixel. The test of exact masks found it; an accuracy does not show such a thing.
# - With a quarter fewer faces to learn from, in a trial, the order of *both* and *product* with the headset on was turned over. Do not read more into it than one amount of data and one number of steps.
# - A channel that is zero in all of training has weights that nobody trained. *Without boxes* is told of the hole by such weights in the table. *Mean face* is the same network without that, so hold *both* against either.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} A map with a hole (code)
# :label: headset-hole
#
# Write (1) for x (B, 1, S, S), hidden (B, 1, S, S) bool, the mean face (1, S, S) and a scale.
# ```

# %% tags=["stub:hole"]
from mmlab.exercises.headset import check_hole


def hole(x, hidden, mean, scale):
    return ...


check_hole(hole)

# %% [markdown]
# ```{solution-start} headset-hole
# :class: dropdown
# ```


# %% tags=["solution:hole"]
def hole(x, hidden, mean, scale):
    apart = torch.where(hidden, 0.0, (x - mean) / scale)
    return torch.cat([apart, hidden.float()], 1)


check_hole(hole)

# %% [markdown]
# Choose by the mask: multiplying by $1 - h$ would leave `nan` where `nan` stood.
#
# ```{solution-end}
# ```
#
# ```{exercise} One number less (compute)
# :label: headset-posterior
#
# Two emotions, as frequent, two numbers with variance 1. The means are (0, 0) and (2, 1). A face has a = (1, 1). (a) How probable is the second emotion if both numbers are seen? (b) If the first one is hidden? (c) How often is the best guess right in the long run, if both are seen? The distance of the means is all that counts: it is Φ(distance / 2).
# ```

# %% tags=["stub:posterior"]
from mmlab.exercises.headset import check_posterior

both = ...
one = ...
right = ...

check_posterior((both, one, right))

# %% [markdown]
# ```{solution-start} headset-posterior
# :class: dropdown
# ```

# %% tags=["solution:posterior"]
first_, second_ = np.exp(-(1 + 1) / 2), np.exp(-(1 + 0) / 2)
both = second_ / (first_ + second_)
one = 1 / (1 + np.exp(-1 / 2))
right = float(torch.special.ndtr(torch.tensor(5**0.5 / 2)))

check_posterior((both, one, right))

# %% [markdown]
# For *this* face the first number lies in the middle and tells nothing: hiding it changes nothing. In the mean over faces it costs a good deal.
#
# ```{solution-end}
# ```
#
# ```{exercise} When the product is all (think)
# :label: headset-product
#
# Show that with equally frequent emotions the normalised product of $p(e \mid \text{picture})$ and $p(e \mid \text{depth})$ is $p(e \mid \text{both})$ if the two are independent *given the emotion*. Is that so in this world, for the numbers? And if a person's offset moved cheeks and mouth together?
# ```
#
# ```{solution-start} headset-product
# :class: dropdown
# ```
#
# $p(e \mid u, v) \propto p(u \mid e)\, p(v \mid e) \propto p(e \mid u)\, p(e \mid v) / p(e)$, and $p(e)$ is constant. The numbers have independent offsets and deviations, so for who reads them the product is exact. For pixels it need not be: both maps share the width of the face, which tells nothing of the emotion by itself, but who knows it from one map may read the other one with less error. With an offset that moves cheeks and mouth together, both would err in the same direction where an emotion moves them together, too, as joy does, and the product would count one piece of evidence twice. A network that sees both can learn to subtract.

# %%
a = worlds[0].parts["test"].numbers
apart = posterior(a, SEEN["picture"]) * posterior(a, SEEN["depth"])
apart = apart / apart.sum(1, keepdim=True)
assert torch.allclose(apart, posterior(a, range(8)), atol=1e-4)
say("With the closed form, product and joint answer are the same for every face.")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is a network that was trained with boxes and tested with boxes of the same law no proof for real headsets?
# It knows the law of the boxes. A real headset has straps, throws shadows, and moves the cheeks; where its mask is drawn is an answer of another model, with errors of its own.
# ```
#
# ```{dropdown} Two networks of the picture have as many features as both maps. What does the row show?
# Whether what *both* brings comes of more features and averaging, or of the depth map.
# ```
#
# ## In five lines
#
# - A hole is cut out before the encoder, and a channel says where it was; a test overwrites it with noise.
# - Test the drawing, too: what is hidden must not be seen outside of the box.
# - Say the cost of a hole for each modality beside its closed form: some of it nobody can bring back.
# - Second networks, shuffled maps and products of experts say what *fusion* is worth.
# - If the modalities are independent given the label, the product of two *exact* experts is the whole of fusion; for two that were learnt, look at the table.
#
# ## Limits, and what to read next
#
# - One drawn world, maps of 16 pixels, perfectly registered, masks exactly known. Which numbers tell what was our choice, so the sizes of the costs are, too; the intervals are over draws of people.
# - No face of the data set was seen here, and no published figure is compared: its layout is not public, and the reader of this package is tested on files of its own.
# - Three rates and few steps. The second start of *picture twice* is one; headsets in training and test have one law.
#
# {cite:t}`lohesara2023headset` has the data, the headset removal and the point clouds; [Missing modalities](missing_modalities.ipynb) hides whole modalities instead of parts.

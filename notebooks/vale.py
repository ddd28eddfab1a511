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
# # Which part decided: VALE
#
# **A classifier says that there is a triangle in the picture. There are two figures. Did it look at the right one, and can the machine tell you in words what it looked at?**
#
# VALE {cite}`vale` strings three models together: Shapley values say which segment of the picture moved the classifier most, a segmenter cuts out the thing that lies there, and a model that sees and writes describes it. Each link can break, and a fluent description hides which one did. Here the picture has few segments, so that the Shapley values are exact; what the classifier *should* have looked at is known; and every link has a rival.
#
# **After this chapter you can**
#
# - compute exact Shapley values of up to a dozen players, and check them by their axioms;
# - say when leaving one part out, or showing one part alone, gives the same answer, and when it cannot;
# - hold an explanation against the gradient, a random part, and one that never asks the model;
# - use the same formula for modalities: how much of an answer is the picture's, the question's, the hint's?
#
# You need probability and the idea of a classifier. Reading takes half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
steps: int = 260
pictures: int = 16

# %% tags=["hide-input"]
import itertools
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn import functional as F

from mmlab.bases.scene_reader import scene_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.conversations import prompts, tokenizer_of
from mmlab.data.worlds.scene_world import (
    COLOURS,
    PLACES,
    QUESTIONS,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
    mask,
)
from mmlab.methods.vale import (
    Vale,
    coalitions,
    extent,
    grid_segments,
    leave_one_out,
    only_one,
    shapley,
)
from mmlab.nn.answers import answer_laws
from mmlab.viz import claimed, frames, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import use_theme

use_theme()

# %% [markdown]
# ## From a score to shares

# %% tags=["hide-input"]
# Code of the drawing
parts = {
    "x": Box(0, 0.6, "picture,\nn segments"),
    "v": Box(1.1, 0.6, "score of every\nset of segments (2)", "frozen"),
    "phi": Box(2.2, 0.6, "shares (1),\ntop segment"),
    "m": Box(3.3, 0.6, "flood fill,\nbox, mask (5)"),
    "t": Box(4.4, 0.6, "reader:\nwhich colour?", "frozen"),
}
show(
    diagram(parts, [Arrow("x", "v"), Arrow("v", "phi"), Arrow("phi", "m"), Arrow("m", "t")]),
    alt="A drawing: a picture with n segments, the score of every set of segments, shares and the top segment, a flood fill with box and mask, and a reader that is asked about what is left.",
    caption="The chain of VALE. Nothing in it is trained for explaining. A mistake of an early link reaches the reader as a clean picture of the wrong thing.",
)  # fmt: skip

# %% [markdown]
# Let $v(S)$ be the classifier's probability of the class when only the segments in $S$ are shown. What is segment $i$'s share of $v(N) - v(\emptyset)$? Put the segments in one after the other in some order; $i$ brings $v(S \cup \{i\}) - v(S)$, where $S$ are those before it. The mean over all orders is the **Shapley value** {cite}`shapley1953`. A set $S$ stands before $i$ in $|S|!\,(n - |S| - 1)!$ of the $n!$ orders, hence
#
# $$\phi_i = \sum_{S \subseteq N \setminus \{i\}} \frac{|S|!\,(n - |S| - 1)!}{n!}\, \big[v(S \cup \{i\}) - v(S)\big]. \tag{1}$$
#
# In every order the gains add up to $v(N) - v(\emptyset)$, so the shares do (*efficiency*). Players that always bring the same get the same (*symmetry*), one that never brings anything gets nothing (*dummy*), and shares of a sum of games are sums of shares (*linearity*). It is the only rule with all four {cite}`shapley1953`.
#
# Hiding needs something to put in place of the hidden. With $m_S$ the pixels of the segments in $S$ and $b$ a blank,
#
# $$v(S) = p\big(\text{class} \mid m_S\, x + (1 - m_S)\, b\big). \tag{2}$$
#
# This is a choice, and the shares are shares of *this* game: another blank, another game. Nine segments have 512 sets, and all can be tried.
#
# Two shorter rules try fewer sets. **Leave one out** takes a segment from the whole picture, **only one** shows it alone:
#
# $$\lambda_i = v(N) - v(N \setminus \{i\}), \tag{3}$$
#
# $$\omega_i = v(\{i\}) - v(\emptyset). \tag{4}$$
#
# If $v$ is a sum over segments, all three agree. Let two segments matter. If **either** is enough, $v = 1$ with any of the two, then $\lambda = (0, 0)$: each is spared by the other, and nobody is to be thanked. If **both** are needed, $\omega = (0, 0)$. The Shapley values are $(1/2, 1/2)$ in both games.


# %%
def by_orders(v, n):
    """Shapley values as they were told: the mean gain over all orders."""
    shares = [0.0] * n
    for order in itertools.permutations(range(n)):
        members = 0
        for i in order:
            shares[i] += (v[members | 1 << i] - v[members]) / math.factorial(n)
            members |= 1 << i
    return shares


rng = torch.Generator().manual_seed(0)
game = torch.rand(2**5, generator=rng, dtype=torch.float64)
exact = shapley(game)
assert torch.allclose(exact, torch.tensor(by_orders(game.tolist(), 5), dtype=torch.float64))  # fmt: skip
assert torch.isclose(exact.sum(), game[-1] - game[0])
either, both = torch.tensor([0.0, 1, 1, 1]), torch.tensor([0.0, 0, 0, 1])
two = pd.DataFrame(
    {
        name: {
            f"{of}, segment {i + 1}": float(rule(v)[i])
            for of, v in (("either is enough", either), ("both are needed", both))
            for i in range(2)
        }
        for name, rule in (("Shapley (1)", shapley), ("leave one out (3)", leave_one_out), ("only one (4)", only_one))
    }
)  # fmt: skip
table(two, "Two segments, two games.", digits=1)
say("Enumeration of sets and of orders give the same five shares of a random game.")

# %% [markdown]
# ## A world with a distractor
#
# A picture has a **target**, whose shape is the class that is explained, and a **distractor** of another shape, in another quarter, in any colours. In half of the tests the target's shape is there **twice**, in a third quarter: either copy is enough. The classifier, two convolutions on 16 × 16 pixels and a maximum over places, learns from 1,500 such pictures which of the four shapes are there, each for itself. There are nine segments, three by three; the figures lie mostly in the corners.
#
# | row | what it ranks segments by | pictures it shows the classifier |
# | --- | --- | --- |
# | Shapley | (1) | 512 |
# | leave one out | (3) | 10 |
# | only one | (4) | 10 |
# | sampled orders | the mean gain over two random orders | about 20 |
# | input gradient | the sum of gradient × (picture − blank) over the segment | 1, and its gradient |
# | most striking | how far its pixels are from the blank; the classifier is not asked | 0 |
# | random segment | a draw | 0 |
#
# **Pointing game**: does the top segment hold more pixels of a target than of the distractor, and at least a quarter of a target's pixels? The ceiling of a rule that knows the masks is printed as *known masks*.

# %%
SIDE, BLANK = 3, -0.6  # what is hidden gets the mean of the ground


def pick(options, rng):
    return list(options)[int(torch.randint(len(options), (), generator=rng))]


def some_pictures(count, rng, twice=None):
    """Pictures, the class that is explained, which shapes are there, and masks of targets and distractor."""
    scenes, label = [], []
    for _ in range(count):
        places = [list(PLACES)[i] for i in torch.randperm(4, generator=rng)[:3]]
        kinds = [SHAPES[i] for i in torch.randperm(4, generator=rng)[:2]]
        again = bool(torch.rand((), generator=rng) < 0.5) if twice is None else twice  # fmt: skip
        shapes = [kinds[0], kinds[1], *([kinds[0]] if again else [])]
        figures = []
        for shape, place in zip(shapes, places[: len(shapes)], strict=True):
            shift = tuple(((torch.rand(3, generator=rng) * 2 - 1) * 0.07).tolist())
            figures.append(Figure(shape, pick(COLOURS, rng), place, pick(SIZES, rng), shift))  # fmt: skip
        scenes.append(Scene(tuple(figures)))
        label.append(SHAPES.index(kinds[0]))
    there = torch.tensor([[s in {f.shape for f in scene.figures} for s in SHAPES] for scene in scenes])  # fmt: skip
    masks = [torch.stack([mask(f, 32) for f in scene.figures]) for scene in scenes]
    return {"scenes": scenes, "image": draw(scenes, 32, rng), "label": torch.tensor(label), "there": there.float(), "masks": masks}  # fmt: skip


class Halved(torch.nn.Sequential):
    """A network that sees half of the pixels along each axis."""

    def forward(self, x):
        return super().forward((F.avg_pool2d(x, 2) - BLANK) / 0.3)


def classifier(seed, data):
    """Trained on which shapes are there; what is found anywhere is taken by a maximum over places."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Halved(
            torch.nn.Conv2d(3, 12, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(12, 24, 5, padding=2), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool2d(1),
            torch.nn.Flatten(), torch.nn.Linear(24, 4),
        )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data["image"]), (32,), generator=rng)
        loss = F.binary_cross_entropy_with_logits(net(data["image"][chosen]), data["there"][chosen])  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    return net.eval().requires_grad_(False)


def segment_sums(x, segments):
    return torch.stack([x[..., segments == k].sum(-1) for k in range(int(segments.max()) + 1)], -1)  # fmt: skip


def gradient(net, image, label, segments):
    x = image.clone().requires_grad_(True)
    net(x).gather(1, label[:, None]).sum().backward()
    return segment_sums((x.grad * (image - BLANK)).sum(1), segments)


def sampled(v, orders, rng):
    """The mean gain over random orders, from the table of all sets."""
    n = v.shape[-1].bit_length() - 1
    shares = torch.zeros(len(v), n)
    for row in range(len(v)):
        for _ in range(orders):
            members = 0
            for i in torch.randperm(n, generator=rng).tolist():
                shares[row, i] += (
                    v[row, members | 1 << i] - v[row, members]
                ) / orders
                members |= 1 << i
    return shares


def known(masks, segments):
    """Pixels of targets less those of the distractor."""
    best = [torch.cat([m[:1], m[2:]]).any(0).float() - m[1].float() for m in masks]
    return segment_sums(torch.stack(best), segments)


def points(top, masks, segments):
    """Whether the top segments hit: more target than distractor, and a quarter of a target."""
    hits = []
    for t, m in zip(top.tolist(), masks, strict=True):
        inside = (m & (segments == t)).flatten(1).sum(1) / m.flatten(1).sum(1)
        of_target = torch.cat([inside[:1], inside[2:]]).max()
        hits.append(bool(of_target > inside[1] and of_target >= 0.25))
    return torch.tensor(hits).float()


train = some_pictures(1500, torch.Generator().manual_seed(99))
rows, kept, seen_right = [], {}, []
for seed in range(seeds):
    rng = torch.Generator().manual_seed(100 + seed)
    net = classifier(seed, train)
    for twice in (False, True):
        test = some_pictures(pictures, rng, twice)
        seen_right.append(((net(test["image"]) > 0) == (test["there"] > 0)).float().mean().item())  # fmt: skip
        vale = Vale([3, 32, 32], 4, net, SIDE, BLANK)
        v = vale.values(test)
        segments = grid_segments(32, SIDE)
        ranks = {
            "Shapley": shapley(v),
            "leave one out": leave_one_out(v),
            "only one": only_one(v),
            "sampled orders": sampled(v, 2, rng),
            "input gradient": gradient(net, test["image"], test["label"], segments),
            "most striking": segment_sums(
                (test["image"] - BLANK).abs().sum(1), segments
            ),
            "random segment": torch.rand(pictures, SIDE**2, generator=rng),
            "known masks": known(test["masks"], segments),
        }
        left = (leave_one_out(v).sum() / (v[:, -1] - v[:, 0]).sum()).item()
        tops = {name: rank.argmax(1) for name, rank in ranks.items()}
        for name, top in tops.items():
            rows.append({"method": name, "seed": seed, "twice": twice, "hits": points(top, test["masks"], segments).mean().item(), "left": left})  # fmt: skip
        if not twice:
            kept[seed] = test | {"tops": tops, "vale": vale, "phi": ranks["Shapley"], "v": v}  # fmt: skip
pointing = pd.DataFrame(rows)
say(
    f"The {seeds} classifiers are right about {100 * sum(seen_right) / len(seen_right):.0f} % of the shapes of the test pictures."
)

# %% tags=["hide-input"]
# Code of the table
NAMES = {False: "target once", True: "target twice"}
wide = pointing.assign(what=pointing["twice"].map(NAMES)).pivot(index=["method", "seed"], columns="what", values="hits").reset_index()  # fmt: skip
ROWS = ["Shapley", "leave one out", "only one", "sampled orders", "input gradient", "most striking", "random segment", "known masks"]  # fmt: skip
budgets = Budgets("Shapley", {row: Spent() for row in ROWS if row != "known masks"})
table_over_seeds(
    wide[["method", "seed", *NAMES.values()]],
    f"Share of {pictures} pictures whose top segment hits a target, one classifier a seed. Nothing is tuned for any row; *known masks* shows what the best segment reaches.",
    best=dict.fromkeys(NAMES.values(), "higher"),
    reference=["known masks"],
    order=ROWS,
    digits=2,
    budgets=budgets,
)


def hits(name, twice):
    part = pointing[(pointing["method"] == name) & (pointing["twice"] == twice)]
    return part.sort_values("seed")["hits"].tolist()


# %%
RIVALS = {"leave": "leave one out", "only": "only one", "sampled": "sampled orders", "gradient": "input gradient", "striking": "most striking", "random": "random segment"}  # fmt: skip
once = [
    claimed(
        f"vale-one-{short}",
        hits("Shapley", False),
        hits(rival, False),
        direction="higher",
        unit="%",
        better=f"Target once: Shapley hits more often than *{rival}*, {{ours}} against {{theirs}}.",
        worse=f"Target once: *{rival}* hits more often than Shapley, {{theirs}} against {{ours}}.",
        undecided=f"Target once: Shapley ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart.",
    )
    for short, rival in RIVALS.items()
]
twice = [
    claimed(
        f"vale-twice-{short}",
        hits("Shapley", True),
        hits(rival, True),
        direction="higher",
        unit="%",
        better=f"Target twice: Shapley hits more often than *{rival}*, {{ours}} against {{theirs}}.",
        worse=f"Target twice: *{rival}* hits more often than Shapley, {{theirs}} against {{ours}}.",
        undecided=f"Target twice: Shapley ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart.",
    )
    for short, rival in RIVALS.items()
]
say("\n".join(f"- {sentence}" for sentence in once + twice))
record(budget=budgets.plain(), hits={f"{name}, {NAMES[t]}": hits(name, t) for name in ROWS for t in NAMES})  # fmt: skip

# %% [markdown]
# The reason to expect something of (1) where the target is there twice is the game *either is enough*: there, leaving one out must give nothing. Whether a trained classifier plays that game is for the numbers to say. How near does it come? Add the shares of (3): in a sum of parts they add up to $v(N) - v(\emptyset)$, in *either is enough* to zero.

# %%
part = pointing.drop_duplicates(["seed", "twice"]).sort_values("seed")
total = {
    flag: part[part["twice"] == flag]["left"].tolist() for flag in (False, True)
}
say(
    "- "
    + claimed(
        "leave-total-twice-once",
        total[True],
        total[False],
        direction="lower",
        better="The shares of *leave one out*, as a part of the whole gain, add up to less where the target is there twice, {ours} against {theirs}.",
        worse="The shares of *leave one out*, as a part of the whole gain, add up to more where the target is there twice, {ours} against {theirs}.",
        undecided="The sums of the shares of *leave one out*, as a part of the whole gain, cannot be told apart: {ours} where the target is there twice, {theirs} where it is there once.",
    )
)

# %% tags=["hide-input"]
# Code of the widget
first = kept[0]


def draw_shares(number):
    figure, axes = plt.subplots(1, 2, figsize=(5.2, 2.6))
    axes[0].imshow((first["image"][number].permute(1, 2, 0) + 1) / 2)
    shares = first["phi"][number].view(SIDE, SIDE)
    edge = float(shares.abs().max().clamp(min=1e-3))
    axes[1].imshow(shares, cmap="RdBu", vmin=-edge, vmax=edge)
    for (y, x), value in zip(itertools.product(range(SIDE), repeat=2), shares.flatten().tolist(), strict=True):  # fmt: skip
        axes[1].text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=9)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    return figure


def told_shares(number):
    scene = first["scenes"][number]
    values = ", ".join(f"{v:.2f}" for v in first["phi"][number].tolist())
    return f"A picture with {scene.figures[0].caption} and {scene.figures[1].caption}; the class is {scene.figures[0].shape}. Shares of the nine segments, row by row: {values}."


frames(
    {"picture": list(range(min(6, pictures)))},
    draw_shares,
    told_shares,
    caption="A picture and the exact shares of its nine segments in the probability of the target's shape. Blue raises it, red lowers it. Look for pictures on which the distractor gets a share.",
)

# %% [markdown]
# ## From the segment to words
#
# The thing in the top segment is grown from its most striking pixel $p_0$ over neighbours $q$ of like colour, until nothing is added:
#
# $$M \leftarrow M \cup \big\{q : q \text{ touches } M,\; \overline{|x_q - x_{p_0}|} \le \tau\big\}. \tag{5}$$
#
# The rest is painted over with the median colour, and the book's reader of [scenes](tinyllava.ipynb) is asked *which colour?*, which the classifier was never taught. The answer is right if it is the target's colour. What the reader would say of the whole picture, in which there are two figures, is the first rival. The others hand it the thing that lies in another segment.

# %%
reader, world = scene_reader()
tokenizer = tokenizer_of(world.sentences())
WORDS = [tokenizer.encode(c)[0] for c in COLOURS]


@torch.no_grad()
def first_word(images, question, words, before=None):
    """Log-probabilities of words as the answer's first."""
    asked = [(image, question) if image is not None else question for image in images] if before is None else before  # fmt: skip
    batch = prompts(asked, tokenizer, size=32)
    ids = torch.tensor([[[words[0]]]]).expand(len(asked), 1, 1)
    keys = ("input_ids", "length", "images")
    return answer_laws(reader, {k: batch[k] for k in keys if k in batch}, ids, 0)[:, 0, 0][:, words]  # fmt: skip


def colours_right(images, test):
    truth = torch.tensor([list(COLOURS).index(s.figures[0].colour) for s in test["scenes"]])  # fmt: skip
    return (first_word(list(images), QUESTIONS["colour"], WORDS).argmax(1) == truth).float().mean().item()  # fmt: skip


rows = []
for seed, test in kept.items():
    vale, truth = test["vale"], torch.stack([m[0] for m in test["masks"]])
    inputs = {"whole picture": test["image"], "true mask": vale.cut(test, truth)}
    for name in ("Shapley", "leave one out", "input gradient", "most striking", "random segment"):  # fmt: skip
        found = vale.masks(test, test["tops"][name])
        inputs[name] = vale.cut(test, found)
        if name == "Shapley":
            boxes = [
                (extent(a), extent(b)) for a, b in zip(found, truth, strict=True)
            ]
            overlap = ((found & truth).flatten(1).sum(1) / (found | truth).flatten(1).sum(1)).mean().item()  # fmt: skip
    for name, images in inputs.items():
        rows.append({"method": name, "seed": seed, "colour told": colours_right(images, test)})  # fmt: skip
words = pd.DataFrame(rows)
told_rows = ["Shapley", "leave one out", "input gradient", "most striking", "random segment", "whole picture", "true mask"]  # fmt: skip
table_over_seeds(
    words,
    f"Share of {pictures} pictures, target once, of which the reader tells the target's colour. *True mask* is the chain with its first two links replaced by the truth.",
    best={"colour told": "higher"},
    reference=["true mask"],
    order=told_rows,
    digits=2,
    budgets=Budgets("Shapley", {row: Spent() for row in told_rows if row != "true mask"}),
)  # fmt: skip


def told(name):
    return (
        words[words["method"] == name].sort_values("seed")["colour told"].tolist()
    )


say(
    "\n".join(
        "- "
        + claimed(
            f"vale-words-{short}",
            told("Shapley"),
            told(rival),
            direction="higher",
            unit="%",
            better=f"After Shapley the reader tells the target's colour more often than with *{rival}*: {{ours}} against {{theirs}}.",
            worse=f"With *{rival}* the reader tells the target's colour more often than after Shapley: {{theirs}} against {{ours}}.",
            undecided=f"After Shapley ({{ours}}) and with *{rival}* ({{theirs}}) the reader cannot be told apart.",
        )
        for short, rival in (("whole", "whole picture"), ("leave", "leave one out"), ("gradient", "input gradient"), ("random", "random segment"), ("true-mask", "true mask"))
    )
)  # fmt: skip
say(
    f"Of the last seed, masks after Shapley overlap with the target's by {overlap:.2f} in the mean; the first box is {boxes[0][0]}, the true one {boxes[0][1]}."
)

# %% [markdown]
# Each right word is about the target, and so is no proof that the *classifier* used that figure for the right reason. The chain explains where, not why.
#
# ## Modalities as players
#
# The same formula divides an answer among the picture, the question and a hint that stands before the question. The value of a set is the log-probability of the right answer's first word; a missing picture is a blank, a missing question or hint is left out. The hint says *note : a shape or colour*, once the right one and once a wrong one. The reader was never taught to read hints.

# %%
rng = torch.Generator().manual_seed(4)
ASK = {"shape": list(SHAPES), "colour": list(COLOURS)}
PLAYERS = ("picture", "question", "hint")
count = 2 * max(8, pictures)
shares = {}
scenes = [Scene((Figure(pick(SHAPES, rng), pick(COLOURS, rng), pick(PLACES, rng), pick(SIZES, rng)),)) for _ in range(count)]  # fmt: skip
images = draw(scenes, 32, rng)
empty = torch.full((3, 32, 32), BLANK)
asked_of = [("shape", "colour")[k % 2] for k in range(count)]
answers = [
    scene.facts()[about] for scene, about in zip(scenes, asked_of, strict=True)
]
others = [next(w for w in ASK[about][k % 3 :] + ASK[about] if w != answer) for k, (about, answer) in enumerate(zip(asked_of, answers, strict=True))]  # fmt: skip
EVERY = [tokenizer.encode(w)[0] for w in (*SHAPES, *COLOURS)]
places = torch.tensor([[*SHAPES, *COLOURS].index(answer) for answer in answers])
for kind, hints in (("right hint", answers), ("wrong hint", others)):
    table_of_sets = []
    for members in coalitions(3).tolist():
        batch = []
        for k in range(count):
            hint = f"note : {hints[k]} " if members[2] else ""
            question = QUESTIONS[asked_of[k]] if members[1] else ""
            batch.append((images[k] if members[0] else empty, (hint + question).strip() or "?"))  # fmt: skip
        laws = first_word(None, None, EVERY, batch)
        table_of_sets.append(laws.gather(1, places[:, None])[:, 0])
    v = torch.stack(table_of_sets, 1)
    shares[kind] = {"phi": shapley(v), "leave": leave_one_out(v), "gain": v[:, -1] - v[:, 0]}  # fmt: skip
    assert torch.allclose(
        shares[kind]["phi"].sum(1), shares[kind]["gain"], atol=1e-4
    )
table(
    pd.DataFrame({f"{rule}, {kind}": dict(zip(PLAYERS, shares[kind][key].mean(0).tolist(), strict=True)) for kind in shares for key, rule in (("phi", "Shapley"), ("leave", "leave one out"))}),
    f"Shares of the three modalities in the log-probability of the right answer, mean of {count} questions on shape or colour.",
    digits=2,
)  # fmt: skip


def share(kind, player):
    return shares[kind]["phi"][:, PLAYERS.index(player)].tolist()


SENTENCES = (
    ("picture-question", "right hint", "picture", "right hint", "question"),
    ("picture-hint", "right hint", "picture", "right hint", "hint"),
    ("hint-wrong-right", "right hint", "hint", "wrong hint", "hint"),
)
say(
    "\n".join(
        "- "
        + claimed(
            f"share-{name}",
            share(kind, ours),
            share(other, theirs),
            direction="higher",
            over="items",
            called="questions",
            better=f"The share of the {ours} with a {kind} is larger than that of the {theirs} with a {other}: {{ours}} against {{theirs}}.",
            worse=f"The share of the {ours} with a {kind} is smaller than that of the {theirs} with a {other}: {{ours}} against {{theirs}}.",
            undecided=f"The shares of the {ours} with a {kind} ({{ours}}) and of the {theirs} with a {other} ({{theirs}}) cannot be told apart.",
        )
        for name, kind, ours, other, theirs in SENTENCES
    )
    + "\n- "
    + claimed(
        "share-wrong-hint-zero",
        share("wrong hint", "hint"),
        0.0,
        direction="higher",
        over="items",
        called="questions",
        better="Even a wrong hint has a positive share: {ours}.",
        worse="A wrong hint has a negative share: {ours}.",
        undecided="The share of a wrong hint cannot be told from zero: {ours}.",
    )
)

# %% [markdown]
# A question has a share even though it says nothing about the picture: without it, the reader does not know what kind of word is wanted. Shares answer *how much would the answer change*, not *who knew*.
#
# ## What went wrong in practice
#
# - With probabilities that are all but one, *leave one out* ranks differences in the last digits, and ties go to the first segment. On logits there are fewer ties, and another game: efficiency then divides a difference of logits.
# - Hidden parts make pictures that the classifier never saw. A blank of another colour would be a figure of its own.
# - A figure across two segments shares its value between them. Three by three was chosen so that quarters lie in corners; a real picture has no such mercy.
#
# ## Exercises
#
# ```{exercise} Shares of two segments (derive)
# :label: vale-two
#
# Two segments; $v(\emptyset) = 0$, $v(\{1\}) = a$, $v(\{2\}) = b$, $v(\{1, 2\}) = c$. Write $\phi_1$ and $\phi_2$.
# ```

# %% tags=["stub:two"]
from mmlab.exercises.vale import check_two


def two_shares(a, b, c):
    one = ...
    other = ...
    return one, other


check_two(two_shares)

# %% [markdown]
# ```{solution-start} vale-two
# :class: dropdown
# ```
#
# In the order 1, 2 the first brings $a$ and the second $c - a$; in the order 2, 1 they bring $c - b$ and $b$. What is left over or missing, $c - a - b$, is divided evenly.


# %% tags=["solution:two"]
def two_shares(a, b, c):
    one = (a + c - b) / 2
    other = (b + c - a) / 2
    return one, other


check_two(two_shares)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} k copies, any is enough (derive)
# :label: vale-copies
#
# There are n segments; k of them hold a copy of the target, and $v(S) = 1$ if S holds any copy, else 0. Write the Shapley value of (a) a segment with a copy, (b) one without, and (c) what *leave one out* gives a segment with a copy, for k of 1 or more.
# ```

# %% tags=["stub:copies"]
from mmlab.exercises.vale import check_copies


def copies(n, k):
    with_copy = ...
    without = ...
    left_out = ...
    return with_copy, without, left_out


check_copies(copies)

# %% [markdown]
# ```{solution-start} vale-copies
# :class: dropdown
# ```
#
# Segments without a copy never change $v$: dummies, 0. The k others are symmetric and share $v(N) - v(\emptyset) = 1$. Leaving one out changes something only if it is the only one.


# %% tags=["solution:copies"]
def copies(n, k):
    with_copy = 1 / k
    without = 0
    left_out = 1 if k == 1 else 0
    return with_copy, without, left_out


check_copies(copies)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Shapley values from orders (code)
# :label: vale-orders
#
# Write the Shapley values as the mean over all orders. `v` is a list of $2^n$ values; set S has the number whose bit i is set for each i in S.
# ```

# %% tags=["stub:orders"]
from mmlab.exercises.vale import check_orders


def from_orders(v, n):
    return ...


check_orders(from_orders)

# %% [markdown]
# ```{solution-start} vale-orders
# :class: dropdown
# ```


# %% tags=["solution:orders"]
def from_orders(v, n):
    shares = torch.zeros(n, dtype=torch.float64)
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        before = 0
        for i in order:
            shares[i] += v[before + 2**i] - v[before]
            before += 2**i
    return shares / len(orders)


check_orders(from_orders)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} The classifier ignores the picture and always says 0.9. What are the shares?
# All zero: no set changes anything. An explanation that still highlights something, such as the most striking segment, did not ask the classifier.
# ```
#
# ```{dropdown} The top segment is the distractor. Name two links that may be at fault.
# The classifier may have looked there, and the explanation is right about a wrong classifier. Or the blank in place of hidden parts made the classifier answer otherwise than on any real picture.
# ```
#
# ## In five lines
#
# - A Shapley value is the mean gain of a part over all orders; with a dozen parts it is exact by enumeration.
# - Efficiency, symmetry, dummy and linearity are tests that cost nothing.
# - Leaving one out is blind where either of two parts is enough, showing one alone where both are needed.
# - An explanation is held against the gradient, a random part, and a rule that never asks the model.
# - A caption of the cut-out inherits every earlier mistake; the row with the true mask says how much the early links lose.
#
# ## Limits, and what to read next
#
# - Drawn figures on a dark ground, a grid of nine segments, flood filling in place of Segment Anything. VALE was tried on photographs and sonar pictures {cite}`vale`.
# - Seeds differ in the classifier's start, in the order of its lessons and in the test pictures; the 1,500 lessons and the reader are the same.
# - Hits count segments, so they depend on the grid as much as on the rule.
#
# [Vision chains](vision_chains.ipynb) gets boxes by asking; [Modality interference](modality_interference.ipynb) attacks the modality that a question is not about.

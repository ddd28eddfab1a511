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
# # A verdict and its reasons: I-FAS and the lopsided loss
#
# **A model is asked whether a picture is real or forged, and why. Its answer has one word that matters and many that explain. The usual loss counts words. What becomes of the verdict, and what of it is cured by weighing verdict and reasons apart?**
#
# I-FAS {cite}`i_fas` puts the detection of forged faces as a question to a model that sees and writes: first the verdict, then an interpretation. Its authors weigh the losses of the two parts apart, so that noise in the captions disturbs the verdict less, which they call a lopsided language-model loss, and hand the tower's features of several levels to the language model by a *globally aware connector* {cite}`i_fas`. They report that it generalises to new data sets, and that most earlier detectors, classifiers without reasons, do so little {cite}`i_fas`.
# Code is not published, and we could not read the paper beyond its abstract: (2) and (6) are the form in which others describe the two, with a weight of 0.7 that we fixed in advance.
#
# Faces are replaced by drawn scenes, forgery by a faint texture. What can be asked then: is a gain more than a larger learning rate, more steps, or the verdict alone would give? Do the reasons help? And does it matter which layers the connector reads?
#
# **After this chapter you can**
#
# - say how much of the gradient one word of eleven gets, and put a weight in place of that accident;
# - show that "count the verdict more often" is the same loss, and why Adam does not see the difference;
# - tell an explanation that can teach the tower something from one that cannot;
# - hold a connector's further inputs against as many learnt queries.
#
# You need cross-entropy, and [connectors](connectors.ipynb) for queries. Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 6  # worlds, each with a model of its own
steps: int | None = None  # of every training but the long one

# %% tags=["hide-input"]
import math

import pandas as pd
import torch

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import (
    COLOURS,
    NONSENSE,
    PLACES,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
)
from mmlab.methods.i_fas import IFAS, alpha_of, lopsided, weight_of
from mmlab.metrics.classification import area_under_curve
from mmlab.nn.splicing import IMAGE
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claimed, frames, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()
steps = steps or {"cpu": 80, "gpu": 200}[profile]

# %% [markdown]
# ## One word of eleven

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.7, "picture"),
    "t": Box(1.1, 0.7, "tower,\nL layers", "trained"),
    "g": Box(2.3, 0.7, "connector (6):\nqueries and\nclass tokens", "trained"),
    "w": Box(3.5, 0.7, "writer", "trained"),
    "j": Box(4.6, 0.1, "verdict: 1 word"),
    "i": Box(4.6, 1.3, "reasons: 10 words"),
    "l": Box(5.8, 0.7, "loss (2)", "loss"),
}
arrows = [
    Arrow("x", "t"),
    Arrow("t", "g"),
    Arrow("g", "w"),
    Arrow("w", "j"),
    Arrow("w", "i"),
    Arrow("j", "l", "alpha"),
    Arrow("i", "l", "1 - alpha"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a picture goes through a tower of L layers, a connector with queries and class tokens, and a writer, which says a verdict of one word and reasons of ten. The loss weighs the verdict by alpha and the reasons by one minus alpha.",
    caption="All parts are trained from scratch, on the answers alone.",
)

# %% [markdown]
# Let $\ell_t$ be the cross-entropy of the $t$-th word of an answer, the first $n_J$ words the verdict $J$ and the other $n_I$ the explanation $I$. The usual loss is the mean over words,
#
# $$L = \frac{1}{n_J + n_I}\Big(\sum_{t \in J} \ell_t + \sum_{t \in I} \ell_t\Big). \tag{1}$$
#
# The **lopsided loss** takes the two means apart:
#
# $$L_\alpha = \alpha\, \frac{1}{n_J} \sum_{t \in J} \ell_t + (1 - \alpha)\, \frac{1}{n_I} \sum_{t \in I} \ell_t . \tag{2}$$
#
# Sort (1) the same way: it is (2) with $\alpha = n_J/(n_J + n_I)$. So the usual loss has an $\alpha$, too: it is set by how long the explanations happen to be. If instead each word of the verdict counts $w$ times and each of the explanation once, and one divides by the sum of these weights, that is (2) with
#
# $$\alpha = \frac{w\, n_J}{w\, n_J + n_I}, \tag{3}$$
#
# and, solved for $w$,
#
# $$w = \frac{\alpha}{1 - \alpha} \cdot \frac{n_I}{n_J}. \tag{4}$$
#
# Without the division the loss is larger by a factor, and so is its gradient; Adam divides by the gradient's size, so it takes the same steps, but for its small $\epsilon$ and as long as nothing clips the gradients. So "put the verdict's weight up" is no rival of the lopsided loss. It *is* the lopsided loss. What is a rival is listed below.

# %%
method, batch = IFAS.demo()
rng = torch.Generator()
three = torch.ones(3, dtype=torch.bool)
each = torch.rand(3, 4, generator=rng.manual_seed(0))
judged = torch.zeros(3, 4, dtype=torch.bool)
judged[:, 0] = True
plain = lopsided(each, judged, ~judged, None)
assert torch.allclose(plain, lopsided(each, judged, ~judged, 1 / 4))  # (1) is (2)
w = weight_of(0.7, 1, 3)
counted = (each * torch.where(judged, w, 1.0)).sum() / (w + 3) / 3
assert torch.allclose(counted, lopsided(each, judged, ~judged, alpha_of(w, 1, 3)))
say(
    f"With one word of verdict and ten of reasons the usual loss has α = {1 / 11:.3f}. α = 0.7 lets the verdict count {weight_of(0.7, 1, 10):.1f} times."
)

# %% tags=["hide-input"]
# Code of the widget
LENGTHS = (1, 3, 10, 30)
grid = [k / 50 for k in range(1, 49)]
curves = {n: [weight_of(a, 1, n) for a in grid] for n in LENGTHS}


def draw_weights(n):
    frame = pd.DataFrame({"α": grid, "weight of the verdict": curves[n], "method": f"{n} words of reasons"})  # fmt: skip
    return lines(
        frame, "α", "weight of the verdict", references={"plain loss": 1.0}
    )


frames(
    {"words of reasons": list(LENGTHS)},
    draw=draw_weights,
    alt=lambda n: (
        f"Weight of a verdict's word over alpha, for {n} words of reasons: 1 at alpha {1 / (1 + n):.3f}, and {weight_of(0.7, 1, n):.1f} at 0.7."
    ),
    caption="Turn the length of the reasons: where the line crosses the dashed one is the plain loss.",
)

# %% [markdown]
# ## The connector
#
# The tower adds a class token to the patches and leaves $c_1, \ldots, c_L$, this token after each of its layers, and $v$, the patches after the last. Queries are learnt; to the last $L$ of them the projected class tokens are added, which leaves as many queries where these are taken away (here $K = 4$ and $L = 2$),
#
# $$Q = [q_1, \ldots, q_K,\; q_{K+1} + W c_1, \ldots, q_{K+L} + W c_L], \tag{5}$$
#
# and one block of self-attention (SA), cross-attention (CA) to the patches and a perceptron makes what the writer reads:
#
# $$Q' = Q + \mathrm{SA}(Q), \qquad Q'' = Q' + \mathrm{CA}(Q', v), \qquad H = Q'' + \mathrm{MLP}(Q''), \tag{6}$$
#
# with a layer norm before each. A class token of an early layer has seen little processing: it may still hold faint texture that later layers drop.
#
# ## A forgery, and reasons for it
#
# Half of the scenes carry a faint texture all over: a chess board of single pixels or a pattern of lines, each as often. These are *forged*. The answers are of one length, eleven words; the explanation has ten:
#
# | reasons | example | what they can teach |
# | --- | --- | --- |
# | figure | *forged*, small red circle upper left, trace, and five random words | what is drawn |
# | kind | *forged*, chess trace, and eight random words | which texture it is |
# | noise | *forged*, and ten random words | nothing |
#
# A place such as *upper left* is one word here. Real pictures have reasons of the same form: *no trace* under *kind*; under *figure* the word *trace* stands in every answer and tells nothing. Random words stand for what no picture tells: of them a model can learn nothing but how frequent they are.

# %% tags=["hide-input"]
# Code of the world
WORDS = ["end", "real", "forged", *SHAPES, *COLOURS, *PLACES, *SIZES, "chess", "lined", "no", "trace", *NONSENSE]  # fmt: skip
CODE = {word: number for number, word in enumerate(WORDS)}
SIZE, CUE, TRAIN, TEST = 16, 0.03, 400, 200
row = torch.arange(SIZE)
LINES = (row[:, None] % 2 * 2 - 1.0).expand(SIZE, SIZE)
BOARD = (row[:, None] + row) % 2 * 2 - 1.0


def one(options, rng):
    return options[int(torch.randint(len(options), (), generator=rng))]


def pictures(count, rng, textures=(BOARD, LINES), cue=CUE, light=0.0, grain=0.0):
    """Scenes, every second with a texture; their figures, and the number of the texture or 0."""
    scenes, kinds = [], []
    for k in range(count):
        x, y, r = ((torch.rand(3, generator=rng) * 2 - 1) * 0.07).tolist()
        what = [one(list(o), rng) for o in (SHAPES, COLOURS, PLACES, SIZES)]
        scenes.append(Scene((Figure(*what, (x, y, r)),)))
        kinds.append(0 if k % 2 else 1 + one(range(len(textures)), rng))
    sheet = draw(scenes, SIZE, rng)
    over = torch.stack([torch.zeros(SIZE, SIZE), *textures])[kinds]
    noise = torch.rand(sheet.shape, generator=rng) - 0.5
    sheet = sheet + light + cue * over[:, None] + grain * noise
    return (sheet + 0.56) / 0.3, scenes, torch.tensor(kinds)


def answers(scenes, kinds, reasons, rng):
    """A verdict and ten words, as numbers, (N, 1, 11)."""
    rows = []
    for scene, kind in zip(scenes, kinds.tolist(), strict=True):
        figure = scene.figures[0]
        told = {
            "figure": [
                figure.size,
                figure.colour,
                figure.shape,
                figure.place,
                "trace",
            ],
            "kind": [("no", "chess", "lined")[kind], "trace"],
            "noise": [],
        }[reasons]
        told = told + [one(NONSENSE, rng) for _ in range(10 - len(told))]
        rows.append([CODE[word] for word in ["forged" if kind else "real", *told]])
    return torch.tensor(rows)[:, None]


def fewer(told):
    """The same, of which three in four end after the verdict."""
    told = told.clone()
    told[torch.arange(len(told)) // 2 % 4 > 0, :, 1:] = CODE["end"]
    return told


def asked(sheet):
    n = len(sheet)
    return {"input_ids": torch.tensor([[IMAGE, 0]]).repeat(n, 1), "length": torch.full((n,), 2), "images": sheet[:, None]}  # fmt: skip


SHIFTS = {
    "same": {},
    "other domain": {"light": 0.1, "grain": 0.08},
    "unseen texture": {"textures": (LINES.T,)},
}
worlds = {}
PILOTS = [seeds, seeds + 1]  # two more worlds, for rates alone
for k in range(seeds + 2):
    rng = torch.Generator().manual_seed(300 + k)
    sheet, scenes, kinds = pictures(TRAIN, rng)
    data = {r: TensorData({**asked(sheet), "completions": answers(scenes, kinds, r, rng)}) for r in ("figure", "kind", "noise")}  # fmt: skip
    less = {**data["figure"].tensors, "completions": fewer(data["figure"].tensors["completions"])}  # fmt: skip
    data["fewer"] = TensorData(less)
    test = {}
    for name, how in SHIFTS.items():
        sheet, scenes, kinds = pictures(TEST, rng, **how)
        test[name] = {**asked(sheet), "completions": answers(scenes, kinds, "figure", rng), "forged": (kinds > 0).long()}  # fmt: skip
    worlds[k] = {**data, "test": test}

# %% [markdown]
# A second test set has another light and more grain, as another camera would; a third has a texture that no training picture has, upright lines (the lines of the training pictures lie).
#
# A verdict is *right* if the right one of *real* and *forged* is the more probable. The *area* under the curve does not mind where the threshold lies: it is the probability that a forged picture gets more of *forged* than a real one. One half is chance. Clearly less says that the texture changes the answer toward *real*; an area of zero is a texture seen in every forged picture and called by the wrong name. A *nat* is the unit of cross-entropy with natural logarithms.
#
# ## The rows
#
# | row | what it is |
# | --- | --- |
# | plain loss | (1) |
# | plain loss, twice the steps | the same, trained twice as long |
# | fewer reasons | (1) on data of which one answer in four has reasons, and the others end after the verdict, with one more word for the end |
# | verdict alone | (2) with α = 1: the explanation is never learnt |
# | lopsided | (2) with α = 0.7 |
#
# Every row chooses among the same three learning rates, in two worlds that nothing else uses, by the area under the curve to three decimals, and of equal ones by the verdict's cross-entropy. (By cross-entropy alone, a row that has hardly found the texture would choose a rate at which it says real and forged with a half each, since of wrong verdicts the unsure ones have the lowest cross-entropy.) In *fewer reasons* three quarters of the explanations are thrown away, and no loss is changed. Of four answers four words are verdict and thirteen are not, so the plain loss is (2) with α = 4/17; this number is used, without the chance of single batches.

# %%
RATES = (1e-3, 3e-3, 1e-2)
LONG = "plain loss, twice the steps"
ALPHAS = {
    "plain loss": 1 / 11,
    LONG: 1 / 11,
    "fewer reasons": 4 / 17,
    "lopsided": 0.7,
    "verdict alone": 1.0,
}
POLICY = {"words": len(WORDS), "patch": 8, "width": 24, "first": True}
DATA = {"kind": "kind", "noise": "noise", "fewer reasons": "fewer"}
CLASSES = {"last layer's token": "last", "learnt queries alone": "none"}


def fresh(row, k):
    return IFAS.seeded(
        k, POLICY, alpha=ALPHAS.get(row, 0.7), classes=CLASSES.get(row, "every")
    )


def trained(jobs, rate):
    """Models of jobs (row, world), all at one rate; side by side what has the same steps."""
    made, groups = {}, {}
    for row, k in jobs:
        groups.setdefault(row == LONG, []).append((row, k))
    for long, part in groups.items():
        models = [fresh(*job) for job in part]
        data = [worlds[k][DATA.get(row, "figure")] for row, k in part]
        count = steps * (2 if long else 1)
        fit_side_by_side(models, data, steps=count, batch_size=16, lr=rate, warmup=5, schedule="cosine", log_every=count, progress=False)  # fmt: skip
        made |= dict(zip(part, models, strict=True))
    return made


def scores(model, k, sets=tuple(SHIFTS)):
    """Right verdicts and area under the curve on three test sets; nats a word of the explanation."""
    found = {}
    for name in sets:
        batch = worlds[k]["test"][name]
        p = model.judge(batch)[:, [CODE["real"], CODE["forged"]]]
        p = p / p.sum(1, keepdim=True)
        found[f"right, {name}"] = ((p[:, 1] > 0.5).long() == batch["forged"]).double().mean().item()  # fmt: skip
        found[f"area, {name}"] = area_under_curve(p, batch["forged"])
    with torch.no_grad():
        loss = model.loss(worlds[k]["test"]["same"], rng)
    return {**found, "nats": loss["told"].item(), "judged": loss["judged"].item()}


ROWS = ["plain loss", LONG, "fewer reasons", "verdict alone", "lopsided"]
CONNECTORS = list(CLASSES)
ALL = [*ROWS, "kind", "noise", *CONNECTORS]
search = []
for rate in RATES:
    made = trained([(row, k) for row in (*ROWS, *CONNECTORS) for k in PILOTS], rate)
    search += [{"method": row, "seed": k, "learning rate": rate, **scores(model, k, ["same"])} for (row, k), model in made.items()]  # fmt: skip
search = pd.DataFrame(search)
by_rate = search.groupby(["method", "learning rate"]).mean(numeric_only=True)
by_rate["rank"] = by_rate["area, same"].round(3) - 1e-6 * by_rate["judged"]
chosen = {row: float(by_rate.loc[row, "rank"].idxmax()) for row in (*ROWS, *CONNECTORS)}  # fmt: skip
chosen |= {"kind": chosen["lopsided"], "noise": chosen["lopsided"]}
runs = []
for rate in sorted(set(chosen.values())):
    made = trained([(row, k) for row in ALL if chosen[row] == rate for k in range(seeds)], rate)  # fmt: skip
    runs += [{"method": row, "seed": k, **scores(model, k)} for (row, k), model in made.items()]  # fmt: skip
runs = pd.DataFrame(runs)

# %% tags=["hide-input"]
# Code of the tables and claims
count = sum(p.numel() for p in fresh("lopsided", 0).parameters())
spent = {row: Spent(int(steps * (2 if "twice" in row else 1)), count, () if row in ("kind", "noise") else ("rate",), 1 if row in ("kind", "noise") else len(RATES)) for row in ALL}  # fmt: skip
budgets = Budgets("lopsided", spent)
columns = {"right, same": "right verdicts", "area, same": "area", "area, other domain": "area, other domain", "area, unseen texture": "area, unseen texture", "nats": "nats a word of reasons"}  # fmt: skip


def shown(rows, what, budgets=None):
    part = runs[runs["method"].isin(rows)].rename(columns=columns)
    names = list(columns.values())
    table_over_seeds(
        part[["method", "seed", *names]],
        what,
        best=dict.fromkeys(names[:-1], "higher"),
        order=rows,
        budgets=budgets,
    )


def values(row, column):
    return runs[runs["method"] == row].sort_values("seed")[column].tolist()


def against(slug, theirs, column="right, same", ours="lopsided", what="Right verdicts", **how):  # fmt: skip
    return claimed(
        f"fas-{slug}",
        values(ours, column),
        values(theirs, column),
        direction="higher",
        better=f"{what}: *{ours}* has more than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"{what}: *{theirs}* has more than *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"{what}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        unit="%" if column.startswith("right") else "",
        called="worlds",
        **how,
    )


shown(ROWS, f"Verdicts on {TEST} new scenes, and on shifted ones; half are forged.", budgets)  # fmt: skip
say("Chosen rates: " + ", ".join(f"*{row}* {chosen[row]:g}" for row in ROWS) + ".")
choices = [len(options) for options in (SIZES, COLOURS, SHAPES, PLACES)]
blind = (sum(map(math.log, choices)) + 5 * math.log(len(NONSENSE))) / 10
say(
    f"A writer that knows which words can stand at each place of the reasons, and nothing of the picture, has {blind:.2f} nats a word. A row above that has not shown that its reasons tell anything of what is drawn."
)
mean = runs.groupby("method").mean(numeric_only=True)
record(budget=budgets.plain(), right={r: round(float(mean.loc[r, "right, same"]), 4) for r in ALL})  # fmt: skip
nats = claimed(
    "fas-nats-lopsided-plain",
    values("lopsided", "nats"),
    values("plain loss", "nats"),
    direction="lower",
    better="Nats a word of reasons: *lopsided* needs fewer than *plain loss*, {ours} against {theirs}.",
    worse="Nats a word of reasons: *plain loss* needs fewer than *lopsided*, {theirs} against {ours}.",
    undecided="Nats a word of reasons: *lopsided* ({ours}) and *plain loss* ({theirs}) cannot be told apart.",
    called="worlds",
)
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("lopsided-plain", "plain loss"),
            against("lopsided-plain-long", "plain loss, twice the steps"),
            against("lopsided-fewer", "fewer reasons"),
            against("lopsided-verdict", "verdict alone"),
            nats,
        )
    )
)

# %% [markdown]
# The claims compare rows at the rate that each chose, so that of the reasons tells of rates as well as of α. What the rates do to each α is in the figure. It shows right verdicts, while rates are chosen by the area: a row whose order is right and whose threshold is not can choose a rate that stands low here. Two worlds are few for either; a line on which both agree has no band, and more worlds may yet part on it. Is there a rate at which the line of *plain loss* rises? Then that rate did something of what the weight is meant to do.

# %% tags=["hide-input"]
# Code of the figure
order = ROWS
part = search[search["method"].isin(order)].rename(columns={"right, same": "right verdicts"})  # fmt: skip
told = "; ".join(
    f"{row}: "
    + ", ".join(
        f"{by_rate.loc[(row, r), 'right, same']:.2f} at {r:g}" for r in RATES
    )
    for row in order
)
show(
    lines(part, "learning rate", "right verdicts", log_x=True, references={"chance": 0.5}),
    alt=f"Right verdicts over the learning rate, means of two worlds. {told}.",
    caption=f"The search: two worlds a point; where they part, the band is wide. {told}.",
)  # fmt: skip

# %% [markdown]
# ## Do reasons help the verdict?
#
# The verdict stands first, so it cannot lean on reasons that are yet to be written. They can act in training alone, by what they ask of the tower. Reasons that follow from the verdict ask nothing: the word is read off the verdict beside it. A reason has to say something of the picture that the verdict does not, as *chess* or *lined* does after *forged*.
#
# Two things limit what the rows can answer. Reasons that are hardly learnt by the end of the training are a weak test of what reasons can teach: hold the nats a word against the number below the first table. (They are nats of the reasons of *figure*; how well a model trained on *kind* knows its own words is not measured.) And where all rows give every verdict rightly, right verdicts do not tell the reasons apart; the two shifted sets are left. There a mean may be made of worlds near zero and worlds near one: look at the deviation.
#
# All rows have the rate that *lopsided* chose, but for *verdict alone*, which has its own.

# %% tags=["hide-input"]
# Code of the table and claims
EXTRA = ["lopsided", "kind", "noise", "verdict alone"]
shown(EXTRA, "Reasons of three kinds under α = 0.7, and none. *Lopsided* has those of kind *figure*; nats are on these, so *kind* and *noise* were never taught them.")  # fmt: skip
A, U = "area, other domain", "area, unseen texture"
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("kind-verdict", "verdict alone", "right, same", "kind"),
            against("kind-verdict-shift", "verdict alone", A, "kind", "Area under the curve, other domain"),
            against("kind-verdict-unseen", "verdict alone", U, "kind", "Area under the curve, unseen texture"),
            against("kind-noise", "noise", A, "kind", "Area under the curve, other domain"),
            against("figure-noise", "noise", "right, same", "lopsided"),
        )
    )
)  # fmt: skip

# %% [markdown]
# ## Do the layers matter?
#
# The connector's further queries can be the class tokens of every layer, that of the last layer again and again, or more learnt queries: the same number for the writer, and each with a search of its own. Where a row has an area of one and yet wrong verdicts, each forged picture stands above each real one, and the threshold of one half does not lie between them.

# %% tags=["hide-input"]
# Code of the table and claims
shown(["lopsided", *CONNECTORS], "Connectors under α = 0.7; *lopsided* has the class tokens of every layer.")  # fmt: skip
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("connector-queries", "learnt queries alone"),
            against("connector-last", "last layer's token"),
            against("connector-queries-shift", "learnt queries alone", A, "lopsided", "Area under the curve, other domain"),
            against("connector-queries-unseen", "learnt queries alone", U, "lopsided", "Area under the curve, unseen texture"),
        )
    )
)  # fmt: skip
say("Chosen rates: " + ", ".join(f"*{row}* {chosen[row]:g}" for row in ["lopsided", *CONNECTORS]) + ".")  # fmt: skip
highest = [row for row in ALL if mean.loc[row, "right, same"] > mean.loc[ALL, "right, same"].max() - 1e-9]  # fmt: skip
show(
    bars(runs, "right, same", order=ALL, references={"chance": 0.5}),
    alt="Right verdicts: " + ", ".join(f"{row} {mean.loc[row, 'right, same']:.3f}" for row in ALL) + ".",
    caption=f"All rows of this page. A point is a world. Highest in the mean: {', '.join(highest)}.",
)  # fmt: skip

# %% [markdown]
# ## What went wrong on the way
#
# First trials were made for a page of half as many steps. There the texture was twice as strong. The plain loss found it as well, at the largest rate, and there was nothing to cure. With one a third weaker most rows stayed at chance. The texture of the page lies between the two. The steps were doubled later, since in a run of the page the thresholds of verdicts had not settled. A training that has not yet found the texture stays at chance and then rises within a few steps, so a world counts as nearly one half or one: with few worlds, means jump.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The loss (code)
# :label: i-fas-loss
#
# Write (2) for cross-entropies `each` (B, T), answers of different lengths `length` (B,), a verdict of `verdict` words and `alpha`. The means are over all words of the batch that are verdict, and over all that are explanation; places beyond an answer's length count nowhere.
# ```

# %% tags=["stub:loss"]
from mmlab.exercises.i_fas import check_loss


def loss(each, length, verdict, alpha):
    return ...


check_loss(loss)

# %% [markdown]
# ```{solution-start} i-fas-loss
# :class: dropdown
# ```


# %% tags=["solution:loss"]
def loss(each, length, verdict, alpha):
    place = torch.arange(each.shape[1])
    inside = place < length[:, None]
    judged = inside & (place < verdict)
    told = inside & (place >= verdict)
    return alpha * each[judged].mean() + (1 - alpha) * each[told].mean()


check_loss(loss)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Weights (compute)
# :label: i-fas-weights
#
# A verdict has 2 words, the reasons have 38. (a) Which α does the plain loss have? (b) How often does a word of the verdict count under α = 0.7? (c) Somebody lets it count 5 times. Which α is that?
# ```

# %% tags=["stub:weights"]
from mmlab.exercises.i_fas import check_weights

plain_alpha = ...
weight = ...
alpha = ...

check_weights((plain_alpha, weight, alpha))

# %% [markdown]
# ```{solution-start} i-fas-weights
# :class: dropdown
# ```

# %% tags=["solution:weights"]
plain_alpha = 2 / 40
weight = 0.7 / 0.3 * 38 / 2
alpha = 5 * 2 / (5 * 2 + 38)

check_weights((plain_alpha, weight, alpha))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A step that sees only signs (derive)
# :label: i-fas-drift
#
# The hard one. A value of the network moves by one unit against the sign of its gradient, nearly as Adam moves it. The verdict's gradient in it is $-a$ in every step, that of the explanation is random, normal with mean zero and deviation $s$, and independent from step to step. Derive the mean move of a step under (2), in units, and return it for given α < 1, $a$ and $s$. What happens to it if $s$ is four times as large, and which α repairs that?
# ```

# %% tags=["stub:drift"]
from mmlab.exercises.i_fas import check_drift


def drift(alpha, a, s):
    return ...


check_drift(drift)

# %% [markdown]
# ```{solution-start} i-fas-drift
# :class: dropdown
# ```
#
# The gradient is $-\alpha a + (1 - \alpha) s\,\varepsilon$. The step is $+1$ where $\varepsilon < \alpha a/((1 - \alpha)s) = r$ and $-1$ else, so in the mean $2\Phi(r) - 1 = \mathrm{erf}(r/\sqrt2)$. For small $r$ this is nearly $r\sqrt{2/\pi}$: four times the noise is a quarter of the drift. Keep $r$: $\alpha/(1-\alpha)$ must be four times as large. A larger rate scales drift and noise alike.


# %% tags=["solution:drift"]
def drift(alpha, a, s):
    r = alpha * a / ((1 - alpha) * s)
    return math.erf(r / math.sqrt(2))


check_drift(drift)

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {f"s = {s:g}": {f"α = {a:.2f}": drift(a, 0.1, s) for a in (1 / 11, 0.3, 0.7, 0.9)} for s in (0.25, 1.0, 4.0)}
    ),
    "Mean move of a step, with a = 0.1.",
)  # fmt: skip

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A colleague weighs the verdict's words 20 times and does not divide by the sum of weights. With SGD the training explodes, with Adam it does not. Why?
# The loss is (2) times a factor. SGD's step grows by that factor; Adam's does not, as it divides by the gradient's size. With SGD the rate has to be searched again.
# ```
#
# ```{dropdown} Reasons are "because it is forged" or "because it is real". What can they teach?
# Nothing of the picture: given the verdict, which stands before them, they are certain. Their loss falls to zero without a look at the picture.
# ```
#
# ```{dropdown} The queries $q_1, \ldots, q_K$ of (5), to which nothing is added, are put in another order. What changes?
# The rows of H change their order in the same way, and nothing else, since attention and perceptron treat all queries alike. The writer's places are what tells them apart.
# ```
#
# ## In five lines
#
# - The usual loss weighs verdict and reasons by their lengths; the lopsided loss by a number.
# - Counting the verdict more often is the same loss, and Adam does not see the factor between them.
# - Its rivals are the rate, more steps, fewer reasons and the verdict alone, each with a search of its own.
# - Reasons that follow from the verdict can teach the tower nothing; they must say more of the picture, and be learnt.
# - A connector's further inputs belong beside as many learnt queries.
#
# ## Limits, and what to read next
#
# - Drawn scenes and two textures; no face was seen, and nothing here detects a forged one.
# - The strength of the texture was chosen, in trials with other worlds than the page's, so that the plain loss does not find it at once. All verdicts belong to this strength and these steps, and the steps were doubled after a run of this page had been looked at.
# - The weight was fixed in advance and not searched; other weights stand here as those of the other rows. Rows share three rates, and a choice at an end of them may lie beyond. *Kind* and *noise* have no search of their own.
# - Each interval stands alone: the comparisons of this page are not counted together. Few worlds, most of them near one half or near one, make each of them rough.
# - Networks are trained from scratch. In a large pretrained model most words of reasons are learnt already and pull less; how much of the effect is left there is not asked here.
# - The authors also filter the captions that they train on {cite}`i_fas`; here reasons are right by construction, but for random words.
#
# {cite:t}`i_fas` have the faces and twelve data sets.

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
# # Reading diagrams: MathGlance, and tuning on structure
#
# **Can a model compare two areas if it cannot say where the circle of a drawing is? Is it better taught by more questions, or by the whole structure of the drawing, written down? And how many of its boxes does the scorer misread?**
#
# MathGlance {cite}`mathglance` asks of diagrams only what is seen at a glance: which shape, how many, how do two stand to each other, where. Its authors tune models on GeoPeP, diagrams with their primitives, relations and boxes as text, and report that both perception and reasoning rise {cite}`mathglance`. Structure says much more about a picture than one question does. So what is it that teaches: the facts, or the form in which they are written?
#
# **After this chapter you can**
#
# - read a box in three conventions, and undo the padding of a picture;
# - score letters and boxes so that what cannot be read stays in the denominator;
# - separate the facts of a structured description from its form, by asking the same facts one by one.
#
# You need cross-entropy, and [regions](regions.ipynb) for the overlap of boxes. Reading takes half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
steps: int = 100
train: int = 2000
test: int = 120

# %% tags=["hide-input"]
import pandas as pd
import torch

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.diagram_world import (
    PAINTS,
    PAIRS,
    PERCEIVED,
    QUESTIONS,
    diagram_world,
    profiles,
)
from mmlab.methods.mathglance import (
    THRESHOLD,
    MathGlance,
    Question,
    area_of,
    bin_of,
    box_said,
    middle_of,
    overlap,
    read_structure,
    score,
    write_structure,
)
from mmlab.methods.medrega import iou_table, write_box
from mmlab.train.fit import fit
from mmlab.viz import claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()

# %% [markdown]
# ## One picture, two kinds of lesson

# %% tags=["hide-input"]
# Code of the drawing
parts = {
    "x": Box(0, 0.6, "diagram"),
    "n": Box(1.1, 0.6, "small network", "trained"),
    "q": Box(2.4, 0, "a question:\none letter or box"),
    "s": Box(2.4, 1.2, "structure: all shapes,\nboxes, relations"),
    "l": Box(3.7, 0.6, "loss (6)", "loss"),
}
show(
    diagram(
        parts,
        [
            Arrow("x", "n"),
            Arrow("n", "q"),
            Arrow("n", "s"),
            Arrow("q", "l"),
            Arrow("s", "l"),
        ],
    ),
    alt="A drawing: a diagram goes through a small trained network, which either answers a question by a letter or a box, or writes the structure of the diagram, all shapes, boxes and relations; both go into one loss.",
    caption="A lesson is a question with its answer, or a diagram with its structure.",
)

# %% [markdown]
# ## Three ways to write a box
#
# A picture is $w$ wide and $h$ high. A box in pixels needs nothing. On a grid from 0 to 999, a number $q$ along a side of length $w$ (or $h$) is
#
# $$x = \frac{q}{999}\, w . \tag{1}$$
#
# Many models see squares only: a picture is padded on both sides to a square of side $m = \max(w, h)$, and a box is written as shares $u$ of that square. Then
#
# $$x = u\, m - \frac{m - w}{2} , \tag{2}$$
#
# and the same for $y$ with $h$. What then lies left of or above the picture is cut off at zero. The repository's scorer for its own model does this {cite}`mathglance_repository`, with the half of the padding rounded down. Whole numbers may be pixels or a grid, shares may be of the picture or of the square, and nothing in the text says which. (The chapter on [regions](regions.ipynb) writes the grid by cutting a side into 1,000 cells; (1) reads such a number at most one cell off.)
#
# Take the true box of a wide picture, written in shares of the square, for shares of the picture: its width stays, and its height shrinks by $h/w$. So its overlap with the true box is at most $h/w$, and is $h/w$ where the shrunken box lies within the true one.

# %%
size = (400, 280)  # width and height of our pictures, in pixels
true = (100.0, 60.0, 220.0, 180.0)
shares = [
    (v + (max(size) - size[k % 2]) / 2) / max(size) for k, v in enumerate(true)
]
said = str([round(v, 3) for v in shares])
back = box_said(said, size, "padded")
assert overlap(back, true) > 0.98
grid = write_box([v / size[k % 2] for k, v in enumerate(true)])  # as in the chapter on regions  # fmt: skip
assert overlap(box_said(grid, size, "grid"), true) > 0.98
wrong = [u * size[k % 2] for k, u in enumerate(shares)]
say(
    f"The box {tuple(map(int, true))} is written `{said}` in the padded square. Read by (2) it overlaps the truth by {overlap(back, true):.2f}; taken as shares of the picture, by {overlap(wrong, true):.2f}. On the grid it is `{grid}`."
)

# %% [markdown]
# ## The scorer
#
# A letter is right if it is the right one, and is read only where it stands alone. A box $P$ is right if its overlap with the true one $G$,
#
# $$\mathrm{IoU}(P, G) = \frac{|P \cap G|}{|P \cup G|}, \tag{3}$$
#
# reaches the benchmark's threshold {cite}`mathglance_repository`,
#
# $$\mathrm{IoU}(P, G) \ge 0.65 . \tag{4}$$
#
# Fewer than four numbers, or ends in the wrong order, are *unreadable*: wrong, counted, and shown; so is an answer with two different letters. In our pictures $h/w$ lies above the threshold, so a box whose padding was forgotten may still count as right; in longer pictures, with $h/w$ below it, no exact box could. `read_benchmark`, `read_responses` and `picture_at` read files of the benchmark's layout, a list of questions and one answer a line; its annotations say `visual_distractors/aux` where the tree has `_aux`. The repository has no licence file, so nothing of it is here: the tests make up files of the same layout.
#
# ## Diagrams, and what is asked of them
#
# Each diagram has three outlines, one red, one green, one blue: a circle, a square or a triangle each, anywhere, of any size in a range; they may cross. Pictures of 400 × 280 pixels are padded and drawn as 20 × 20. Twelve questions can be asked:
#
# | questions | answer | in the structure |
# | --- | --- | --- |
# | where is a colour: 3 | four bins | yes |
# | which shape is a colour: 3 | letter | yes |
# | is one left of another: 3 | letter | yes |
# | which has the larger area: 3 | letter | **no**: it follows from shapes and boxes |
#
# *Left* goes by the middles of the boxes. To keep answers short and their words few, a number of a box is one of $K$ bins of the padded square, read as its middle,
#
# $$k = \min(\lfloor K u \rfloor,\, K - 1), \qquad \hat u = (k + \tfrac12)/K . \tag{5}$$

# %%
SIDE, BINS, WIDTH = 20, 10, 64
world = diagram_world(BINS)
PAINT, BAND = torch.tensor(PAINTS), (max(size) - size[1]) / 2


def larger(area):
    """0 where the first of a pair is the larger, else 1."""
    return torch.stack([area[:, i] < area[:, j] for i, j in PAIRS], 1).long()


picture, some_shape, some_box = world.draw(1, torch.Generator().manual_seed(3))
some_facts = world.facts(some_shape, some_box)[0].tolist()
text = write_structure(some_facts)
assert read_structure(text) == some_facts
say(
    f"The structure of one diagram, as text: `{text}`. It has {len(some_facts)} facts; a question has one, or the four numbers of a box."
)

# %% [markdown]
# How much do the bins themselves cost? The knob sets $K$: the true box, put into bins and read again, is what no answer in bins can pass by much.

# %%
rng = torch.Generator().manual_seed(0)
_, _, many = world.draw(300, rng)
THRESHOLDS = (0.5, THRESHOLD, 0.8, 0.9)
KS = (4, 6, 10)
left_over = {}
for k in KS:
    read = middle_of(bin_of(many, k), k).flatten(0, 1)
    iou = iou_table(read[:, None], many.flatten(0, 1)[:, None])[:, 0, 0]
    left_over[k] = [(iou >= t).float().mean().item() for t in THRESHOLDS]


def draw_bins(k):
    frame = pd.DataFrame({"threshold": THRESHOLDS, "right": left_over[k], "method": f"{k} bins"})  # fmt: skip
    return lines(frame, "threshold", "right")


frames(
    {"bins": list(KS)},
    draw=draw_bins,
    alt=lambda k: (
        f"With {k} bins, the share of true boxes still right: "
        + ", ".join(
            f"{v:.2f} at a threshold of {t:g}"
            for t, v in zip(THRESHOLDS, left_over[k], strict=True)
        )
        + "."
    ),
    caption=f"Share of true boxes that are still right after (5), by the threshold. We take {BINS} bins.",
)

# %% [markdown]
# ## Lessons
#
# The network sees the means of the rows and columns of a picture, in three colours, and passes them through two layers. Each question, and *describe*, has a learned vector $g$: the result is multiplied by $1 + g$, number by number (a *gate*). A third layer follows. Then answers and structure have an output layer each, where each word is one softmax over $K$. So the structure is written at once, and not word by word. The loss is the mean over the words of answers plus the mean over the words of structures,
#
# $$L = L_{\text{answers}} + \lambda\, L_{\text{structure}}, \qquad \lambda = 1 . \tag{6}$$
#
# | row | lessons on the same diagrams |
# | --- | --- |
# | questions alone | each diagram has one question of the twelve |
# | questions, twice the steps | the same, for twice as long |
# | structure and questions | every second diagram has its structure in place of a question, as in GeoPeP |
# | structure of another diagram | the same, with the structure of the described diagram before it |
# | structure as questions | the 18 facts of every second diagram, asked as its nine questions of perception, with the same weight |
# | its own description | no more lessons: the model of *structure and questions* describes the picture, and the text is read; areas are computed |
# | extent of the colour | no lessons, but the three paints are known: the box around what is left of the picture in that paint; the area is that of the box |
# | true box in bins | the ceiling of boxes in bins; areas from these boxes and the true shapes |
#
# The row *structure as questions* sets the facts apart from their form: same diagrams, same facts, same weights, same steps. It also asks more questions, nine for each described diagram. Areas follow from
#
# $$A = c\,(x_2 - x_1)(y_2 - y_1), \qquad c = \tfrac{\pi}{4},\; 1,\; \tfrac12 \tag{7}$$
#
# for circle, square, and triangle. All trained rows choose among two learning rates, in one world that nothing else uses; the extent of the colour among five tolerances, in the same world. The sum of the two scores decides.

# %%
RATES, TOLERANCES = (0.008, 0.016), (0.3, 0.4, 0.5, 0.6, 0.75)
LONG, OTHER, ASKED, GEOPEP = "questions, twice the steps", "structure of another diagram", "structure as questions", "structure and questions"  # fmt: skip
TRAINED = ["questions alone", LONG, GEOPEP, OTHER, ASKED]
ROWS = [*TRAINED, "its own description", "extent of the colour", "true box in bins"]


def lessons(row, seen, shape, box, rng):
    """One question, or one structure, for each diagram."""
    n = len(seen)
    ask = torch.randint(len(QUESTIONS), (n,), generator=rng)
    words = world.words(shape, box)[torch.arange(n), ask]
    facts, described = world.facts(shape, box), torch.arange(n) % 2 == 0
    if row in ("questions alone", LONG):
        described = torch.zeros(n, dtype=torch.bool)
    if row == OTHER:
        facts = facts.roll(2, 0)
    facts = torch.where(described[:, None], facts, -1)
    return TensorData(
        {
            "profiles": seen,
            "ask": torch.where(described, -1, ask),
            "words": torch.where(described[:, None], -1, words),
            "facts": facts,
        }
    )


def taught(row, place, seed, rate):
    model = MathGlance.seeded(seed, SIDE, BINS, WIDTH, apart=row == ASKED)
    data = lessons(row, *place["train"], torch.Generator().manual_seed(seed))
    count = steps * (2 if row == LONG else 1)
    fit(model, data, steps=count, batch_size=48, lr=rate, warmup=min(10, steps), schedule="cosine", log_every=count, progress=False, seed=seed)  # fmt: skip
    return model


def exam(shape, box):
    """Questions about boxes and areas, with their answers in pixels and letters."""
    pixels = box * max(size) - torch.tensor([0, BAND, 0, BAND])
    areas = larger(area_of(shape, box))
    asked = []
    for n in range(len(shape)):
        asked += [Question(6 * n + k, "grounding", "", "", QUESTIONS[k], "", tuple(pixels[n, k].tolist())) for k in range(3)]  # fmt: skip
        asked += [Question(6 * n + 3 + k, "area", "", "", QUESTIONS[PERCEIVED + k], "", "AB"[areas[n, k]]) for k in range(3)]  # fmt: skip
    return asked


def as_text(boxes, areas):
    """Answers by number of the question, from boxes (N, 3, 4) in shares of the square and letters (N, 3)."""
    said = {}
    for n in range(len(boxes)):
        said |= {6 * n + k: str([round(v, 3) for v in boxes[n, k].tolist()]) for k in range(3)}  # fmt: skip
        said |= {6 * n + 3 + k: "AB"[areas[n, k]] for k in range(3)}
    return said


def answered(model, image):
    seen, said = profiles(image), {}
    for k in (0, 1, 2, PERCEIVED, PERCEIVED + 1, PERCEIVED + 2):
        texts = model.write({"profiles": seen, "ask": torch.full((len(seen),), k)})
        at = k if k < 3 else 3 + k - PERCEIVED
        said |= {6 * n + at: text for n, text in enumerate(texts)}
    return said


def from_description(model, image):
    facts = torch.tensor(
        [read_structure(t) for t in model.describe(profiles(image))]
    )
    boxes = middle_of(facts[:, 3:15].unflatten(1, (3, 4)), BINS)
    return as_text(boxes, larger(area_of(facts[:, :3], boxes)))


def from_paint(image, tolerance):
    """The extent of each paint, after the mixture of paints is undone."""
    ink = torch.einsum("nchw,ck->nkhw", image + 0.1, torch.linalg.inv(PAINT))
    rows, columns = (ink > tolerance).any(3), (ink > tolerance).any(2)
    ends = [(m.float().argmax(2), SIDE - m.flip(2).float().argmax(2)) for m in (columns, rows)]  # fmt: skip
    boxes = torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], -1) / SIDE
    return as_text(boxes, larger(area_of(torch.ones(len(image), 3).long(), boxes)))


def marks(said, asked):
    found = score(asked, said, {q.index: size for q in asked}, "padded")
    unread = sum(g["unreadable"] for g in found.values()) / len(asked)
    return {**{task: g["right"] / g["of"] for task, g in found.items()}, "unreadable": unread}  # fmt: skip


def total(mark):
    return mark["grounding"] + mark["area"]


worlds = []
for k in range(seeds + 1):
    rng = torch.Generator().manual_seed(700 + k)
    parts = [world.draw(train // 4, rng) for _ in range(4)]  # pictures are not kept
    seen, shape, box = (torch.cat(part) for part in zip(*[(profiles(i), *rest) for i, *rest in parts], strict=True))  # fmt: skip
    worlds.append(
        {
            "train": (seen, shape, box),
            "test": world.draw(3 * test if k == seeds else test, rng),
        }
    )
*worlds, pilot = worlds
pilot_exam = exam(*pilot["test"][1:])
rate_of = {row: max(RATES, key=lambda r: total(marks(answered(taught(row, pilot, 99, r), pilot["test"][0]), pilot_exam))) for row in TRAINED}  # fmt: skip
tolerance = max(TOLERANCES, key=lambda t: total(marks(from_paint(pilot["test"][0], t), pilot_exam)))  # fmt: skip

rows, unpadded = [], []
for seed, place in enumerate(worlds):
    image, shape, box = place["test"]
    asked = exam(shape, box)
    said = {}
    for row in TRAINED:
        model = taught(row, place, seed, rate_of[row])
        said[row] = answered(model, image)
        if row == GEOPEP:
            said["its own description"] = from_description(model, image)
    said["extent of the colour"] = from_paint(image, tolerance)
    rounded = middle_of(bin_of(box, BINS), BINS)
    said["true box in bins"] = as_text(rounded, larger(area_of(shape, rounded)))
    rows += [{"method": row, "seed": seed, **marks(said[row], asked)} for row in ROWS]  # fmt: skip
    for row in (ASKED, "extent of the colour"):
        grid = {at: str([int(999 * float(v)) for v in t.strip("[]").split(",")]) if t[0] == "[" else t for at, t in said[row].items()}  # fmt: skip
        misread = score(asked, grid, {q.index: size for q in asked}, "grid")["grounding"]  # fmt: skip
        unpadded.append({"method": row, "seed": seed, "grounding": misread["right"] / misread["of"]})  # fmt: skip
results, misread = pd.DataFrame(rows), pd.DataFrame(unpadded)
weights = sum(p.numel() for p in model.parameters())
budgets = Budgets(GEOPEP, {row: Spent(2 * steps if row == LONG else steps, weights, ("rate",), len(RATES)) for row in TRAINED} | {"extent of the colour": Spent(None, None, ("tolerance",), len(TOLERANCES))})  # fmt: skip
table_over_seeds(
    results,
    f"Share of {3 * test} boxes and of {3 * test} comparisons of areas that are right, and of both that cannot be read. Chance of an area is one half.",
    best={"grounding": "higher", "area": "higher"},
    reference=["true box in bins"],
    order=ROWS,
    budgets=budgets,
)
mean = results.groupby("method")[["grounding", "area"]].mean()
show(
    bars(
        results.melt(
            ["method", "seed"], ["grounding", "area"], "task", "share right"
        ),
        "share right",
        order=ROWS,
        panel="task",
    ),
    alt="Two panels, boxes and areas. "
    + " ".join(
        f"{row}: {mean.loc[row, 'grounding']:.2f} of boxes and {mean.loc[row, 'area']:.2f} of areas."
        for row in ROWS
    ),
    caption=f"Share right; a point is a world. Of the trained rows the highest mean of boxes is that of *{mean.loc[TRAINED, 'grounding'].idxmax()}*, of areas that of *{mean.loc[TRAINED, 'area'].idxmax()}*; of all rows but the ceiling, of boxes *{mean.loc[ROWS[:-1], 'grounding'].idxmax()}* and of areas *{mean.loc[ROWS[:-1], 'area'].idxmax()}*.",
    label="mathglance-rows",
)

# %% [markdown]
# ### What the runs decide


# %%
def values(row, task):
    return results[results["method"] == row].sort_values("seed")[task].tolist()


def sentence(task, name, ours, theirs):
    what = {"grounding": "boxes", "area": "areas"}[task]
    return "- " + claimed(
        f"glance-{task}-{name}",
        values(ours, task),
        values(theirs, task),
        direction="higher",
        unit="%",
        better=f"Of {what}, *{ours}* has more right than *{theirs}*: {{ours}} against {{theirs}}.",
        worse=f"Of {what}, *{theirs}* has more right than *{ours}*: {{theirs}} against {{ours}}.",
        undecided=f"Of {what}, *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )


PLAIN, OWN, PAINTED = (
    "questions alone",
    "its own description",
    "extent of the colour",
)
say(
    "\n".join(
        [
            sentence("grounding", "questions-alone", GEOPEP, PLAIN),
            sentence("grounding", "twice-steps", GEOPEP, LONG),
            sentence("grounding", "shuffled", GEOPEP, OTHER),
            sentence("grounding", "as-questions", GEOPEP, ASKED),
            sentence("grounding", "colour-extent", GEOPEP, PAINTED),
            sentence("area", "questions-alone", GEOPEP, PLAIN),
            sentence("area", "shuffled", GEOPEP, OTHER),
            sentence("area", "as-questions", GEOPEP, ASKED),
        ]
    )
)

# %% [markdown]
# And the same facts as questions against more steps, and the model's own text against its answers:

# %%
say(
    "\n".join(
        [
            sentence("grounding", "asked-questions-alone", ASKED, PLAIN),
            sentence("grounding", "asked-twice-steps", ASKED, LONG),
            sentence("area", "asked-twice-steps", ASKED, LONG),
            sentence("grounding", "own-answers", OWN, GEOPEP),
            sentence("grounding", "own-questions-alone", OWN, PLAIN),
            sentence("grounding", "own-asked", OWN, ASKED),
            sentence("grounding", "own-twice-steps", OWN, LONG),
            sentence("grounding", "other-questions-alone", OTHER, PLAIN),
            sentence("area", "own-answers", OWN, GEOPEP),
        ]
    )
)
say(
    "\n".join(
        "- "
        + claimed(
            f"padding-{short}",
            values(row, "grounding"),
            misread[misread["method"] == row]
            .sort_values("seed")["grounding"]
            .tolist(),
            direction="higher",
            unit="%",
            better=f"*{row.capitalize()}*: more boxes are right with the padding undone, {{ours}} against {{theirs}} where the same numbers are taken as a grid over the picture.",
            worse=f"*{row.capitalize()}*: fewer boxes are right with the padding undone, {{ours}} against {{theirs}}.",
            undecided=f"*{row.capitalize()}*: boxes with the padding undone ({{ours}}) and taken as a grid ({{theirs}}) cannot be told apart.",
        )
        for short, row in (("asked", ASKED), ("extent", PAINTED))
    )
)
say(
    "Learning rates: "
    + ", ".join(f"*{row}* {rate:g}" for row, rate in rate_of.items())
    + f". Tolerance of the paint: {tolerance:g}."
)
record(
    budget=budgets.plain(),
    grounding={row: values(row, "grounding") for row in ROWS},
    area={row: values(row, "area") for row in ROWS},
)

# %% [markdown]
# How to read it: *structure and questions* and *structure as questions* have the same facts, steps and weights. What differs is the form, and the second form is that of the exam: it trains the output layer that is examined on nine questions of each described diagram, where the first has none. So what lies between them is not due to more facts or steps; it may be due to practice in the questions of the exam. In both, as in *structure of another diagram*, half of the questions about areas are gone, since a described diagram has no question; so areas are to be compared among these three; the sentences that set one of them against a row of questions compare unequal practice. Where all three lie within a few hundredths of one half, little was learned that could differ, and *undecided* says little about structure. Whether rows with more boxes right have more areas right as well can be read off the figure; it would not show that one comes from the other. What their common facts give, against none, is seen between *structure as questions* and *questions alone*; but there every second diagram has 18 facts in place of one answer. Whether such facts give what more steps on single questions do not is asked by the comparison with *questions, twice the steps*; no row with structure has twice the steps. And *its own description* shows what the form has taught: the boxes that were learnt as text, whether or not the questions can reach them. In a large language model both forms are words of one writer; here two output layers stand on one body. Whether a writer of words would carry more over from one form to the other is not measured.
#
# ## What went wrong in practice
#
# - In trials before this run, which are not shown, a network on the pixels themselves learned boxes more slowly. The means of rows and columns keep where a figure ends and blur its shape; this world is made so that boxes can be learned at all.
# - Numbers of many digits were not tried: bins were our way around what the chapter on [regions](regions.ipynb) leaves open.
# - A description is easily scored by whether its words are right. Its areas then follow from products of two differences and a factor of a shape: errors of each may add up. How much is due to boxes and how much to shapes is not measured.
#
# ## Exercises
#
# ```{exercise} Undo the padding (code)
# :label: mathglance-padding
#
# A point is at the shares u and v of the square into which a picture of width w and height h was padded, equally on both sides. Write its pixels x and y.
# ```

# %% tags=["stub:unpadded"]
from mmlab.exercises.mathglance import check_unpadded


def unpadded_point(u, v, w, h):
    return ...


check_unpadded(unpadded_point)

# %% [markdown]
# ```{solution-start} mathglance-padding
# :class: dropdown
# ```


# %% tags=["solution:unpadded"]
def unpadded_point(u, v, w, h):
    m = max(w, h)
    return u * m - (m - w) / 2, v * m - (m - h) / 2


check_unpadded(unpadded_point)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How far may a box be off? (derive)
# :label: mathglance-shift
#
# A true box is a square of side s, and the threshold of the overlap is t. Write (a) the largest shift along one axis with which a box of the same size is still right, and (b) the largest growth of the side, about the same centre, with which it is.
# ```

# %% tags=["stub:shift"]
from mmlab.exercises.mathglance import check_shift


def room(s, t):
    shift = ...
    growth = ...
    return shift, growth


check_shift(room)

# %% [markdown]
# ```{solution-start} mathglance-shift
# :class: dropdown
# ```
#
# Shifted by $d$, the boxes share $s(s - d)$ and cover $s(s + d)$ together: $(s - d)/(s + d) \ge t$. A larger square about the same centre holds the true one: $s^2/(s + g)^2 \ge t$.


# %% tags=["solution:shift"]
def room(s, t):
    shift = s * (1 - t) / (1 + t)
    growth = s * (t**-0.5 - 1)
    return shift, growth


check_shift(room)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A model writes shares of the padded square, and all its pictures are square. What does a scorer that forgets (2) lose?
# Nothing: m = w = h, and nothing was padded. The error shows on wide and on high pictures alone, and grows with the share of the square that is padding.
# ```
#
# ```{dropdown} Why does the row with the structure of another diagram belong in the table?
# It costs the same and has the same words as often. What it lacks is that the words belong to the picture. Whatever it gives is due to frequencies of words, or to training at all. It may also take away: wrong words pull at the layers that questions share. So the gap between it and the row with the right structure need not all be due to right facts; the row of questions alone is needed beside it.
# ```
#
# ```{dropdown} Unreadable answers are taken out of the denominator. Which model profits?
# The one that answers only when it is sure, or that writes its ends in the wrong order when it is not: what is left are the easier questions.
# ```
#
# ## In five lines
#
# - Questions of perception ask what is seen, and a derived question what follows from it.
# - A box is read by its convention: pixels, a grid, or shares of a padded square, whose padding has to be undone.
# - A box counts from an overlap of 0.65 on; what cannot be read stays in the denominator, and is shown.
# - Structure has many facts a picture. To set facts apart from their form, ask the same facts one by one; that is also practice for an exam of questions.
# - A model's own description can be read and computed with; compare it with the model's answers.
#
# ## Limits, and what to read next
#
# - Drawn outlines in three paints, which a threshold finds; the network sees means of rows and columns. The benchmark's pictures and models of billions of parameters are another matter.
# - Counting, one of the benchmark's four tasks, is not asked here. Shapes and relations are taught but not scored: of perception, the exam has boxes alone. The rule about unreadable answers matters only where the table's column is not zero: these networks write four numbers or a letter always.
# - The weight in (6) is not searched, and of learning rates two are tried, once each in one world: every choice lies at an edge of the search.
# - All trained rows end far below the ceiling. What more diagrams and many more steps, for questions and for structure, would leave of the differences is open.
# - Draws differ in diagrams and in the network's start.
#
# [Regions](regions.ipynb) has lists of boxes and looking closer; [vision chains](vision_chains.ipynb) find boxes by questions alone.

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
# # Six tasks, one table: the evaluation matrix
#
# **A table of models by tasks has another order in every column. When does such a table show that models have different strengths, and when does it show noise?**
#
# Zhang et al. {cite}`zhang2024potential` put large models that see through six tasks on fourteen sets of medical pictures and three of reports, and find that the order of the models changes with the task. Such a table has hundreds of cells. Each holds one number; few say how many items it
# stands on, how many answers could not be read, or what the comparison beside it is worth. Here we fill such a matrix with small models on drawn scenes, keep every item, and ask which changes of order are more than chance.
#
# The pictures are drawn, the "diagnosis" is a made-up rule, and nothing here is a medical device.
#
# **After this chapter you can**
#
# - turn six tasks into questions that one model answers in words, and score each by a metric with known identities;
# - give every cell its number of items, interval, refusals, unreadable answers and cost;
# - tell from paired intervals, with the number of comparisons counted, which models change places between tasks;
# - show what happens to a ranking if answers that are missing are left out.
#
# You need [TinyLLaVA](tinyllava.ipynb), whose small relative answers here. Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
items: int | None = None  # pictures of each set

# %% tags=["hide-input"]
import functools
import re
import time

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as Sheet
from sklearn.linear_model import RidgeClassifier

from mmlab.bases.scene_reader import scene_reader
from mmlab.compare.matrix import EvaluationMatrix
from mmlab.data.conversations import prompts, read_answers, tokenizer_of
from mmlab.data.worlds.mini_memes import paint_of
from mmlab.data.worlds.scene_world import (
    COLOURS,
    PLACES,
    QUESTIONS,
    SHAPES,
    SIZES,
    Figure,
    mask,
    scene_world,
)
from mmlab.methods.vision_chains import box_iou
from mmlab.metrics.multiple_choice import read_name
from mmlab.metrics.text import rouge_l
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import use_theme

use_theme()
items = items or {"cpu": 240, "gpu": 3000}[profile]

# %% [markdown]
# ## One model, six tasks

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "p": Box(0, 1.75, "picture"),
    "m": Box(1, 1.75, "a model\nthat answers"),
    "a": Box(2, 0, "which shape ?\naccuracy"),
    "b": Box(2, 0.7, "where ? how large ?\nbox: IoU"),
    "c": Box(2, 1.4, "where ? of several\nF1 of the places"),
    "d": Box(2, 2.1, "two questions, a rule\naccuracy"),
    "e": Box(2, 2.8, "what is drawn ?\nROUGE-L"),
    "f": Box(2, 3.5, "shape, place, size\nmask: Dice"),
}
arrows = [Arrow("p", "m"), *(Arrow("m", box) for box in "abcdef")]
show(
    diagram(boxes, arrows),
    alt="A drawing: one model answers questions about a picture; from its words come a class, a box, the places of several figures, a diagnosis by a rule, a report and a mask.",
    caption="Everything is asked and answered in words. A box or a mask is drawn from the words of the answer.",
)

# %% [markdown]
# ## What the numbers of a cell are
#
# For a region $A$ that is found and the true one $B$, two measures are in use,
#
# $$\mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}, \qquad \mathrm{Dice} = \frac{2|A \cap B|}{|A| + |B|}. \tag{1}$$
#
# Since $|A| + |B| = |A \cup B| + |A \cap B|$, dividing by $|A \cup B|$ gives
#
# $$\mathrm{Dice} = \frac{2\,\mathrm{IoU}}{1 + \mathrm{IoU}}: \tag{2}$$
#
# on one picture they order models alike. Means over pictures need not, because (2) is curved.
#
# Over classes $k$ with hits $h_k$, answers $a_k$ and items $t_k$, F1 is $2h_k / (a_k + t_k)$. Its mean over classes is *macro* F1; *micro* F1 sums first. If every item has one class and gets one answer, $\sum a_k = \sum t_k = N$ and micro F1 is $\sum_k h_k / N$, the accuracy. An answer that cannot be read breaks this: it is
# in no $a_k$, and micro F1 lies between the accuracy over all items and that among readable answers. Leaving the item out as well would raise the score of whoever is hard to read.
#
# A cell therefore holds a score $s_i \in [0, 1]$ for *each* of its $N$ items, 0 where nothing could be scored, and its mean has an interval from these items. Two models of one cell answered the same items. Their difference is
#
# $$\bar d = \frac1N \sum_i (s_i - s'_i), \tag{3}$$
#
# and its interval comes from the $d_i$, not from the two intervals of the means: what is hard for both cancels.
#
# ### How many comparisons?
#
# With $m$ models in each of $c$ columns there are $C = c\, m(m-1)/2$ pairs. If nothing differed, intervals of level $1 - \alpha$ would still decide about $\alpha C$ of them on average. With $\alpha / C$ for each (Bonferroni),
#
# $$P(\text{any decision is wrong}) \le C \cdot \frac{\alpha}{C} = \alpha, \tag{4}$$
#
# whatever depends on what, as long as each interval keeps its level. Two models **change places** between two columns if both decisions stand and contradict each other.

# %% [markdown]
# ## Who answers
#
# - **reader**: the small TinyLLaVA of {py:func}`~mmlab.bases.scene_reader.scene_reader`, trained on scenes with one figure.
# - **reader, black picture**: the same without sight, before the empty dark ground of a scene; it knows what is usual.
# - **reader, one question**: the same, but whatever is asked it hears *where ?*.
# - **cautious reader**: the same, but it refuses where the probability of its first word is below 0.95.
# - **majority**: always the most frequent answer of the training scenes.
# - **nearest picture**: the facts of the nearest training picture.
# - **linear probe**: a ridge classifier of the pixels for each fact.
# - **pixel rules**: what is brighter than the ground is the figure; its centre, extent, mean colour and how much of its box it fills are turned into words.
#
# The last three and the reader have the same 1,000 training pictures. The penalty of the probe and the thresholds of the pixel rules are set by hand, without a search: a small triangle may stay below that for several figures, and with noise specks of the ground count as bright. There are two sets of data: *clean*
# as in training, and *noisy* pictures, which nobody was trained on. Pictures with up to four figures, for detection, nobody was trained on either.

# %%
reader, world = scene_reader()
tokenizer = tokenizer_of(world.sentences())
FACTS = ("shape", "colour", "place", "size")
KNOWN = {"shape": SHAPES, "colour": COLOURS, "place": tuple(PLACES), "size": tuple(SIZES)}  # fmt: skip
seen, scenes = world.pictures["train"], world.scenes["train"]
facts = {name: [scene.facts()[name] for scene in scenes] for name in FACTS}


def in_words(found):
    """Facts of one picture as the answer to each question."""
    caption = f"{found['size']} {found['colour']} {found['shape']} {found['place']}"
    return found | {"caption": caption}


def ask_reader(pictures, name):
    batch = prompts([(p, QUESTIONS[name]) for p in pictures], tokenizer, size=32)
    return batch, read_answers(reader.generate(batch, max_new_tokens=6, do_sample=False), tokenizer)  # fmt: skip


def cautious(pictures, name):
    batch, answers = ask_reader(pictures, name)
    with torch.no_grad():
        logits = reader.logits(batch)
    last = batch["length"] + reader.image_tokens - 2
    sure = logits[torch.arange(len(last)), last].softmax(-1).amax(-1)
    return [a if p >= 0.95 else "none" for a, p in zip(answers, sure, strict=True)]


usual = in_words({name: max(KNOWN[name], key=facts[name].count) for name in FACTS})


def nearest_picture(pictures, name):
    row = torch.cdist(pictures.flatten(1), seen.flatten(1)).argmin(1).tolist()
    return [in_words({f: facts[f][r] for f in FACTS})[name] for r in row]


probes = {
    name: RidgeClassifier(alpha=300.0).fit(seen.flatten(1).numpy(), facts[name])
    for name in FACTS
}


def linear_probe(pictures, name):
    x = pictures.flatten(1).numpy()
    said = {f: probes[f].predict(x) for f in FACTS}
    return [
        in_words({f: str(said[f][i]) for f in FACTS})[name] for i in range(len(x))
    ]


def measured(pictures):
    """Bright pixels, and by hand: how much of its box the figure fills, the longer side of the box, and its centre."""
    bright = pictures.amax(1) > -0.2  # (N, 32, 32)
    rows = []
    for spots in bright:
        y, x = (
            spots.nonzero().T
            if spots.any()
            else (torch.tensor([16]), torch.tensor([16]))
        )
        high, wide = (np.quantile(v.numpy(), 0.98) - np.quantile(v.numpy(), 0.02) + 1 for v in (y, x))  # fmt: skip
        rows.append((float(spots.sum() / (high * wide)), float(max(high, wide) / 32), float(x.double().mean()), float(y.double().mean())))  # fmt: skip
    return bright, np.array(rows)


_, learnt = measured(seen)
FILLED = {s: learnt[np.array(facts["shape"]) == s, 0].mean() for s in SHAPES}
WIDE = {s: learnt[np.array(facts["size"]) == s, 1].mean() for s in SIZES}


def nearest_name(value, table_):
    return min(table_, key=lambda name: abs(table_[name] - value))


def pixel_rules(pictures, name):
    bright, rows = measured(pictures)
    answers = []
    for picture, spots, (fill, wide, x, y) in zip(
        pictures, bright, rows, strict=True
    ):
        mean = picture[:, spots].mean(1) if spots.any() else torch.zeros(3)
        found = {
            "shape": nearest_name(fill, FILLED),
            "size": nearest_name(wide, WIDE),
            "colour": min(COLOURS, key=lambda c: float((torch.tensor(paint_of(c)) - mean).square().sum())),
            "place": f"{'upper' if y < 15.5 else 'lower'} {'left' if x < 15.5 else 'right'}",
        }  # fmt: skip
        quarters = [
            place
            for place, (across, down) in PLACES.items()
            if spots[(16 if down > 0 else 0) :, (16 if across > 0 else 0) :][:16, :16].double().mean() > 0.08
        ]  # fmt: skip
        answer = in_words(found)
        if len(quarters) > 1 and name == "place":  # several figures: say all places
            answer["place"] = " and ".join(quarters)
        answers.append(answer[name])
    return answers


MODELS = {
    "reader": lambda p, name: ask_reader(p, name)[1],
    "reader, black picture": lambda p, name: ask_reader(torch.full_like(p, -0.6), name)[1],
    "reader, one question": lambda p, name: ask_reader(p, "place")[1],
    "cautious reader": cautious,
    "majority": lambda p, name: [usual[name]] * len(p),
    "nearest picture": nearest_picture,
    "linear probe": linear_probe,
    "pixel rules": pixel_rules,
}  # fmt: skip

# %% [markdown]
# ## The tasks
#
# Each task parses words. Where there are options, what means none of them, or several, scores 0 and is counted. In detection several places are an answer, of which only the pixel rules make use: all others are asked, or built, to name one. A report is free text, scored by ROUGE-L, the F1 of the longest common subsequence of
# words; whoever says nothing but the place has two words of five. *None* is a refusal.
#
# Boxes and masks are drawn from words, in the middle of the place and with the usual size, and for a box as a square, since the shape is not asked. The figures of the scenes are shifted. So right words do not reach 1 in localisation and segmentation, nor does one right place in detection: several rows with equal scores in such
# a column may have reached its ceiling. The rule of the made-up diagnosis: a scene is a case if exactly one of *warm colour* (red, yellow) and *large* holds.

# %%
REFUSES = "none"


def option(text, name):
    """What an answer says of a fact, or why it says nothing."""
    if text.strip() == REFUSES:
        return "refused"
    place = read_name(text, KNOWN[name])
    return KNOWN[name][place] if place >= 0 else "unreadable"


def box(area):
    y, x = area.nonzero().T
    return torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).double()


def mask_dice(one, other):
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def is_case(colour, size):
    return (colour in ("red", "yellow")) != (size == "large")


def places_in(text):
    return {p for p in PLACES if re.search(rf"\b{p}\b", text)}


@functools.cache
def area_of(figure):
    return mask(figure, 32)


def drawn(said):
    return area_of(Figure(said["shape"], "red", said["place"], said["size"]))


def classified(said, scene):
    return float(said["shape"] == scene.figures[0].shape)


def localised(said, scene):
    guess = drawn({"shape": "square"} | said)
    return float(box_iou(box(guess), box(area_of(scene.figures[0]))))


def diagnosed(said, scene):
    first = scene.figures[0]
    return float(is_case(said["colour"], said["size"]) == is_case(first.colour, first.size))  # fmt: skip


def segmented(said, scene):
    return mask_dice(drawn(said), area_of(scene.figures[0]))


TASKS = {
    "classification": (("shape",), classified),
    "localisation": (("place", "size"), localised),
    "detection": (("place",), None),
    "diagnosis": (("colour", "size"), diagnosed),
    "report": (("caption",), None),
    "segmentation": (("shape", "place", "size"), segmented),
}


def scored(task, texts, scenes_):
    """Scores, refusals and unreadable answers of a task."""
    asked, score = TASKS[task]
    found, refused, unreadable = [], 0, 0
    if task == "report":
        truth = [[scene.figures[0].caption] for scene in scenes_]
        overlaps = (rouge_l(texts["caption"], truth) / 100).tolist()
    for i, scene in enumerate(scenes_):
        said = {name: texts[name][i] for name in asked}
        if task == "report" and said["caption"] != REFUSES:
            found.append(overlaps[i])
            continue
        if (
            task == "detection"
            and said["place"] != REFUSES
            and places_in(said["place"])
        ):
            truth, told = {f.place for f in scene.figures}, places_in(said["place"])
            found.append(2 * len(truth & told) / (len(truth) + len(told)))
            continue
        read = {n: t if n == "caption" else option(t, n) for n, t in said.items()}
        if REFUSES in said.values():
            found, refused = [*found, 0.0], refused + 1
        elif "unreadable" in read.values():
            found, unreadable = [*found, 0.0], unreadable + 1
        else:
            found.append(score(read, scene))
    zeros = refused + unreadable
    return found, {"refused": refused, "unreadable": unreadable, "zeros": zeros}


def noisy(pictures, seed):
    rng = torch.Generator().manual_seed(seed)
    return (pictures + 0.2 * torch.randn(pictures.shape, generator=rng)).clamp(
        -1, 1
    )


single = scene_world(items, seed=1)
several = scene_world(items, seed=2, figures=4)
matrix = EvaluationMatrix()
for data in ("clean", "noisy"):
    for model, answer in MODELS.items():
        texts, cost = {}, {}
        for kind, source in (("single", single), ("several", several)):
            pictures = source.pictures["train"]
            pictures = pictures if data == "clean" else noisy(pictures, 3)
            for name in ("place",) if kind == "several" else (*FACTS, "caption"):
                began = time.process_time()
                texts[kind, name] = answer(pictures, name)
                cost[kind, name] = time.process_time() - began
        for task, (asked, _) in TASKS.items():
            kind, source = ("several", several) if task == "detection" else ("single", single)  # fmt: skip
            scores, lost = scored(task, {n: texts[kind, n] for n in asked}, source.scenes["train"])  # fmt: skip
            matrix.add(
                task, data, model, scores, refused=lost["refused"], unreadable=lost["unreadable"],
                seconds=sum(cost[kind, n] for n in asked),
            )  # fmt: skip
frame = matrix.frame()
say(
    f"The matrix has **{len(frame)}** cells of {items} items each, and {matrix.comparisons()} pairs of models to compare."
)

# %%
for data in ("clean", "noisy"):
    part = frame[frame["data"] == data]
    table(
        part.pivot(index="model", columns="task", values="score")[list(TASKS)].reindex(list(MODELS)),
        f"Mean score over all items, {data} pictures: accuracy, IoU, F1, accuracy, ROUGE-L, Dice. Chance of the diagnosis is one half.",
        digits=2,
    )  # fmt: skip
whole = frame[(frame["data"] == "noisy") & (frame["task"] == "classification")]
table(
    whole.set_index("model")[["score", "low", "high", "n", "refused", "unreadable", "among answered", "seconds"]],
    "One column of the matrix in full: classification of noisy pictures. Seconds are those of the processor for all items.",
    digits=2,
)  # fmt: skip
record(score={f"{t}, {d}": {m: round(matrix[t, d, m].score, 4) for m in MODELS} for t, d in matrix.places})  # fmt: skip

# %% [markdown]
# Move the sliders: each task sorts the models anew. Which parts of an order are more than chance is asked below.


# %%
def draw_column(task, data):
    order = matrix.models(task, data)[::-1]
    cells = [matrix[task, data, model] for model in order]
    figure = Sheet(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    means = np.array([cell.score for cell in cells])
    ends = np.array([cell.interval() for cell in cells])
    axes.barh(order, means, xerr=np.abs(ends.T - means), height=0.6)
    axes.set(xlim=(0, 1), xlabel="mean score over all items")
    return figure


def describe_column(task, data):
    order = matrix.models(task, data)
    return f"{task.capitalize()}, {data} pictures, sorted: " + ", ".join(f"{m} {matrix[task, data, m].score:.2f}" for m in order) + "."  # fmt: skip


frames(
    {"task": list(TASKS), "pictures": ["clean", "noisy"]},
    draw=draw_column,
    alt=describe_column,
    caption="A column of the matrix, sorted by its means; whiskers are 95 % intervals over items.",
    label="matrix-column",
)

# %% [markdown]
# ## Who is better at what
#
# First, in each column, the reader against that simple rival which has the highest mean there, on the same items; and, in the last line, against itself without sight. Who is picked as the highest of three on the items of the test is flattered a little by that. Each line stands alone; comparisons are counted in the next section.

# %%
SIMPLE = ("nearest picture", "linear probe", "pixel rules")


def strongest(task, data):
    """The simple rival with the highest mean."""
    return max(SIMPLE, key=lambda model: matrix[task, data, model].score)


say(
    "\n".join(
        "- "
        + claimed(
            f"matrix-{task}-{data}-{short}",
            matrix[task, data, "reader"].scores,
            matrix[task, data, rival].scores,
            direction="higher",
            over="items",
            better=f"{task.capitalize()}, {data}: the reader is ahead of *{rival}*, {{ours}} against {{theirs}}.",
            worse=f"{task.capitalize()}, {data}: *{rival}* is ahead of the reader, {{theirs}} against {{ours}}.",
            undecided=f"{task.capitalize()}, {data}: the reader ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart.",
        )
        for task, data, short, rival in (
            *((*place, "strongest", strongest(*place)) for place in matrix.places),
            ("classification", "clean", "black", "reader, black picture"),
        )
    )
)  # fmt: skip

# %% [markdown]
# ## Does the order turn?
#
# Now all pairs of models in all columns. A pair changes places if it is decided one way in one column and the other way in another. What does chance give? Split the items of *one* column at random in two halves, call them two tasks, and count again: whatever changes places there is noise. (It is one split by lot, and each
# half has half the items.)

# %%
LEVEL = 0.95
raw, kept = matrix.turns(LEVEL, corrected=False), matrix.turns(LEVEL)


def by_means(m):
    """Changes of place between columns as a reader of bare means counts them."""
    found = 0
    for i, one in enumerate(m.places):
        for other in m.places[i + 1 :]:
            orders = [m.models(*place) for place in (one, other)]
            for a in orders[0]:
                for b in orders[0][orders[0].index(a) + 1 :]:
                    strict = all(m[(*p, a)].score != m[(*p, b)].score for p in (one, other))  # fmt: skip
                    found += strict and orders[1].index(a) > orders[1].index(b)
    return found


def halves(seed):
    """A matrix of which every pair of columns is one column of ours, split by lot."""
    rng = np.random.default_rng(seed)
    found = {"means": 0, "intervals": 0, "corrected": 0}
    for task, data in matrix.places:
        order = rng.permutation(items)
        null = EvaluationMatrix()
        for half, rows in (("one", order[: items // 2]), ("other", order[items // 2 : items // 2 * 2])):  # fmt: skip
            for model in MODELS:
                null.add(half, data, model, matrix[task, data, model].scores[rows])
        found["means"] += by_means(null)
        found["intervals"] += len(null.turns(LEVEL, corrected=False))
        found["corrected"] += len(null.turns(LEVEL))
    return found


null = halves(0)
table(
    pd.DataFrame(
        {
            "between columns": [by_means(matrix), len(raw), len(kept)],
            "between halves of a column": [null["means"], null["intervals"], null["corrected"]],
        },
        index=["by the means", "by 95 % intervals", "by intervals, comparisons counted"],
    ),
    "Pairs of models that change places, by three ways to read the matrix. The second column is what chance gives, added over all columns split by lot; it has fewer pairs of columns than the first, half the items in each, and shares the chance of error among fewer comparisons.",
    digits=0,
)  # fmt: skip
LOOKS = ("reader", "cautious reader", "nearest picture", "linear probe", "pixel rules")  # fmt: skip
looking = [t for t in kept if t.first in LOOKS and t.second in LOOKS]
tasks_apart = [t for t in looking if t.better_in[1] == t.worse_in[1] == "clean"]
noise_apart = [t for t in looking if t.better_in[0] == t.worse_in[0]]
say(
    f"Among the five that look at the picture and hear the question, {len(looking)} changes of place stand after counting the comparisons: "
    f"{len(tasks_apart)} between tasks on clean pictures, {len(noise_apart)} within one task between clean and noisy pictures, the rest between tasks with noise in one or both."
)


def width(t):
    """Sum of the two gaps of a change of place."""
    return sum(abs(matrix[(*p, t.first)].score - matrix[(*p, t.second)].score) for p in (t.better_in, t.worse_in))  # fmt: skip


def both(place, t):
    return f"{matrix[(*place, t.first)].score:.2f} / {matrix[(*place, t.second)].score:.2f}"


widest = pd.DataFrame(
    [
        {"pair": f"{t.first} / {t.second}", "one task": t.better_in[0], "scores": both(t.better_in, t),
         "other task": t.worse_in[0], "scores there": both(t.worse_in, t)}
        for t in sorted(tasks_apart, key=width, reverse=True)[:5]
    ]
)  # fmt: skip
if len(widest):
    table(widest.set_index("pair"), "The widest changes of place between tasks on clean pictures; both decisions stand.")  # fmt: skip
record(turns={"means": by_means(matrix), "intervals": len(raw), "corrected": len(kept), "looking": len(looking), "halves": null})  # fmt: skip

# %% [markdown]
# Two things to hold against such a list. Intervals over items say what *these* models would do on other pictures of the same law; another training of the reader could move its whole row. And some models change places because they cannot even say what a task asks for, which is a fact about the template, the way in which a
# task is asked and read, and not about sight: for pictures with several figures the reader has no sentence, since it was taught to name one place, and nearest picture and probe are built to say one. In how many lines of the list does detection stand, and which would be left without it?
#
# ## Leaving out what is missing
#
# The cautious reader refuses where it is unsure. Where it answers, it says what the reader says, so on these items both have the same score. Score it over all items, or over those that it answers; the second claim holds these answers against the reader's mean over all items, taken as a fixed number. Look at *pixel rules*, too: an answer that names several places where one is asked cannot be read. Which rows of localisation does it pass if its unreadable answers are left out?

# %%
cell, plain = matrix["classification", "noisy", "cautious reader"], matrix["classification", "noisy", "reader"]  # fmt: skip
answered = frame[(frame["data"] == "noisy")].pivot(index="model", columns="task", values="among answered")[list(TASKS)].reindex(list(MODELS))  # fmt: skip
missing = (frame.assign(missing=(frame["refused"] + frame["unreadable"]) / frame["n"])[lambda f: f["data"] == "noisy"].pivot(index="model", columns="task", values="missing")[list(TASKS)].reindex(list(MODELS)))  # fmt: skip
table(
    missing, "Share of items without a readable answer, noisy pictures.", digits=2
)
table(answered, "Mean score among readable answers only, noisy pictures.", digits=2)
hits = round(
    cell.scores.sum()
)  # right or wrong: the answered items by their counts
among = [1.0] * hits + [0.0] * (len(cell.scores) - cell.refused - cell.unreadable - hits)  # fmt: skip
claim(
    "matrix-cautious-all",
    cell.scores,
    plain.scores,
    direction="higher",
    over="items",
    better="Over all items the cautious reader is ahead of the reader: {ours} against {theirs}.",
    worse="Over all items the cautious reader is behind the reader: {ours} against {theirs}.",
    undecided="Over all items the cautious reader ({ours}) and the reader ({theirs}) cannot be told apart.",
)
claim(
    "matrix-cautious-answered",
    among,
    plain.score,
    direction="higher",
    over="items",
    better="Among the items that it answers, the cautious reader scores above what the reader has over all: {ours} against {theirs}. None of its answers differs from the reader's.",
    worse="Among the items that it answers, the cautious reader scores below what the reader has over all: {ours} against {theirs}.",
    undecided="Among the items that it answers ({ours}), the cautious reader cannot be told from the reader over all ({theirs}).",
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} From one overlap to the other (code)
# :label: evaluation-matrix-dice
#
# Write Dice as a function of IoU, for tensors.
# ```

# %% tags=["stub:dice"]
from mmlab.exercises.evaluation_matrix import check_dice


def dice_of(iou):
    return ...


check_dice(dice_of)

# %% [markdown]
# ```{solution-start} evaluation-matrix-dice
# :class: dropdown
# ```


# %% tags=["solution:dice"]
def dice_of(iou):
    return 2 * iou / (1 + iou)


check_dice(dice_of)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What chance decides (compute)
# :label: evaluation-matrix-chance
#
# A report compares eight models in seventeen columns. Nothing differs. (a) How many pairs are there? (b) How many does a level of 95 % decide on average? (c) Which level must each interval have so that with a probability of at least 95 % none is decided, by (4)?
# ```

# %% tags=["stub:chance"]
from mmlab.exercises.evaluation_matrix import check_chance

answer = ...

check_chance(answer)

# %% [markdown]
# ```{solution-start} evaluation-matrix-chance
# :class: dropdown
# ```

# %% tags=["solution:chance"]
pairs = 17 * 8 * 7 / 2
answer = (pairs, 0.05 * pairs, 1 - 0.05 / pairs)

check_chance(answer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Two models, one order by IoU and another by Dice (think)
# :label: evaluation-matrix-order
#
# On every single picture (2) keeps the order. Find two models and two pictures for which the mean IoU prefers one model and the mean Dice the other, and say which kind of model Dice favours. Then say what that means for a report that prints only one of them.
# ```
#
# ```{solution-start} evaluation-matrix-order
# :class: dropdown
# ```
#
# Dice is a concave function of IoU, so that of two models with the same mean IoU the one with *even* overlaps has the larger mean Dice. Take one with overlaps of 0.45 on both pictures and one with 0 and 0.95: the cell below has both means. A report that prints Dice alone favours even overlaps; print both measures, or the
# distribution.

# %%
iou = {"even": torch.tensor([0.45, 0.45]), "uneven": torch.tensor([0.0, 0.95])}
say(
    "; ".join(
        f"{name}: mean IoU {float(v.mean()):.3f}, mean Dice {float((2 * v / (1 + v)).mean()):.3f}"
        for name, v in iou.items()
    )
    + "."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Two intervals of means overlap. Can the models be told apart nevertheless?
# Yes: both answered the same items, and what is hard for both cancels in (3). The paired interval decides.
# ```
#
# ```{dropdown} A model has micro F1 below its accuracy among readable answers. How can that be?
# Some answers were not readable: they are items without an answer, and count in the denominator of micro F1.
# ```
#
# ```{dropdown} Why is Bonferroni allowed although the comparisons share items and models?
# The bound (4) adds probabilities, whatever depends on what. It may be too strict, and is too lax only where the single intervals are.
# ```
#
# ## In five lines
#
# - A cell is a list of scores, one for each item; mean, interval, refusals, unreadable answers and cost come from it.
# - Dice and IoU are one number on one picture and two numbers in the mean; micro F1 is accuracy if everything is answered.
# - Compare models pairwise on the same items, and count the comparisons.
# - A change of order between tasks is a claim about two decisions; split one task by lot to see what chance gives.
# - What is not answered scores zero and is counted. Left out, it is a present to whoever refuses.
#
# ## Limits, and what to read next
#
# - Drawn scenes and a reader of few parameters: the matrix shows how to read such tables, not which large model is good at what.
# - One training of the reader. For statements about *a kind of* model, fill the matrix with several trainings of each.
# - Templates are part of a task: another wording, another parser, another order. Here everybody has the same, but in detection the pixel rules may name several places.
#
# [A broken scoreboard](broken_scoreboard.ipynb) takes one number apart; [ManyICL](many_icl.ipynb) reads many answers from one call; [Orchestrator](orchestrator.ipynb) decides whom to believe.

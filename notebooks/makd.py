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
# # Many small answers for a student: MaKD
#
# **A large model that sees and writes can say of every training picture whether it shows something red, or something round. A small classifier is to learn from few pictures. What are these answers worth to it, and must they be about the picture?**
#
# MaKD {cite}`makd` gives a classifier further outputs. These must imitate the soft yes-or-no answers of a vision-language model to some fifty questions, which a language model wrote about the classes. In use they are dropped, and so is the large model. The authors report gains on fine-grained classes, even where the large model by itself names the classes badly {cite}`makd`.
#
# What does the student learn there? Perhaps something about each picture. Perhaps only what the classes have in common, for which a table of the classes would do: a later paper writes such a table with a language model that sees no picture, and reports higher accuracy {cite}`lavid`. Or perhaps it is enough to have more outputs, whatever they say. This chapter separates the three.
#
# **After this chapter you can**
#
# - write the loss, and say what its minimum is;
# - tell answers about a picture from answers about its class, and both from any answers at all;
# - say when a table of the classes is enough, and what wrong labels change in that;
# - put plain distillation from the same answers beside it.
#
# You need cross-entropy and the reader of [TinyLLaVA](tinyllava.ipynb). Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
steps: int | None = None  # of every student

# %% tags=["hide-input"]
import pandas as pd
import torch
from torch.nn import functional as F

from mmlab.bases.scene_reader import scene_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.conversations import prompts, tokenizer_of
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import (
    COLOURS,
    PLACES,
    QUESTIONS,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
)
from mmlab.methods.makd import MaKD, aspect_loss, yes_share
from mmlab.nn.answers import answer_laws
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claimed, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()
steps = steps or {"cpu": 200, "gpu": 1000}[profile]

# %% [markdown]
# ## The loss

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.6, "training\npicture"),
    "m": Box(1.1, 0, "large model,\nQ questions", "frozen"),
    "s": Box(1.1, 1.2, "student", "trained"),
    "q": Box(2.3, 0, "shares of yes q"),
    "z": Box(2.3, 1.2, "Q further outputs\nC classes", "trained"),
    "l": Box(3.5, 0.6, "loss (3)", "loss"),
}
arrows = [
    Arrow("x", "m"),
    Arrow("x", "s"),
    Arrow("m", "q", "(1)"),
    Arrow("s", "z"),
    Arrow("q", "l", "(2)"),
    Arrow("z", "l"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a training picture goes to a frozen large model, which answers Q questions by shares of yes, and to a student with Q further outputs beside its C classes. The loss compares the further outputs with the shares.",
    caption="The large model answers once for each training picture. In use there are the student and its classes alone.",
)

# %% [markdown]
# To question $k$ the large model gives the logits $l_\text{yes}$ and $l_\text{no}$ of an answer's first word. The share of yes between the two is
#
# $$q_k = \frac{e^{l_\text{yes}}}{e^{l_\text{yes}} + e^{l_\text{no}}} = \sigma(l_\text{yes} - l_\text{no}). \tag{1}$$
#
# The student has $C + Q$ outputs on the same features. The last $Q$ of them, $z_k$, are logits of the same questions, and
#
# $$L_\text{aspects} = \frac1Q \sum_k -\big[q_k \log \sigma(z_k) + (1 - q_k) \log(1 - \sigma(z_k))\big]. \tag{2}$$
#
# Its gradient in $z_k$ is $(\sigma(z_k) - q_k)/Q$, so it is least where the student gives the same share. With the cross-entropy of the class $y$ and a weight $\alpha$, which is 4 in the paper {cite}`makd`,
#
# $$L = \mathrm{CE}(z_{1 \ldots C},\, y) + \alpha\, L_\text{aspects}. \tag{3}$$

# %%
method, batch = MaKD.demo()
z, answers = method.outputs(batch)
q = batch["aspects"]
by_hand = -(
    q * F.logsigmoid(answers) + (1 - q) * F.logsigmoid(-answers)
).mean()  # (2)
by_hand = F.cross_entropy(z, batch["label"]) + 4 * by_hand  # (3)
found = method.loss(batch, torch.Generator())["loss"]
assert torch.allclose(by_hand, found)
say(f"By hand and by the package: {found.item():.4f} on the demo.")

# %% [markdown]
# ## A large model's answers
#
# The [scenes](tinyllava.ipynb) have 64 classes: four shapes, four colours, four places. There are four pictures of each. The large model is the book's small reader of scenes, which is itself trained on such questions. It was taught to answer openly, not yes or no. So *is it a circle?* is put as *which shape?*, and (1) takes the word *circle* as the yes, and the other three shapes together as the no. That makes twelve questions: four shapes, four colours, upper, lower, left, right.

# %%
CLASSES, EACH, TEST = 64, 4, 640
reader, world = scene_reader()
tokenizer = tokenizer_of(world.sentences())


def drawn(count, rng):
    """So many pictures, the classes in turn, of either size."""

    def scene(k):
        x, y, r = ((torch.rand(3, generator=rng) * 2 - 1) * 0.07).tolist()
        size = list(SIZES)[int(torch.randint(2, (), generator=rng))]
        what = SHAPES[k // 16], COLOURS[k // 4 % 4], list(PLACES)[k % 4]
        return Scene((Figure(*what, size, (x, y, r)),))

    label = torch.arange(count) % CLASSES
    return draw([scene(k) for k in label.tolist()], 32, rng), label


@torch.no_grad()
def laws(pictures, question, answers):
    """Logarithms of the words' probabilities at each place of some answers."""
    one = prompts([(pictures[0], QUESTIONS[question])], tokenizer, size=32)
    count = len(pictures)
    batch = {key: value.expand(count, -1) for key, value in one.items() if key == "input_ids"}  # fmt: skip
    batch |= {"length": one["length"].expand(count), "images": pictures[:, None]}
    ids = torch.tensor([tokenizer.encode(answer) for answer in answers])
    return answer_laws(reader, batch, ids.expand(count, -1, -1), 0)


def shares(found, words):
    """(1), with all other words of the list as the no."""
    log = found[..., [tokenizer.encode(word)[0] for word in words]]
    no = [log[..., [j for j in range(len(words)) if j != i]].logsumexp(-1) for i in range(len(words))]  # fmt: skip
    return yes_share(log, torch.stack(no, -1))


def answered(pictures):
    """Twelve shares of yes for each picture, (N, 12)."""
    shape = shares(laws(pictures, "shape", ["circle"])[:, 0, 0], SHAPES)
    colour = shares(laws(pictures, "colour", ["red"])[:, 0, 0], COLOURS)
    at = laws(pictures, "place", ["upper left", "lower left"])
    row = shares(at[:, 0, 0], ["upper", "lower"])
    column = shares(at[:, :, 1], ["left", "right"])  # after either first word
    column = (row[..., None] * column).sum(1)
    return torch.cat([shape, colour, row, column], 1)


def law_of_classes(q):
    """What the answers say of the classes, if they are independent: (N, 64)."""
    shape, colour, row, column = (part / part.sum(1, keepdim=True) for part in q.split([4, 4, 2, 2], 1))  # fmt: skip
    place = (row[:, :, None] * column[:, None, :]).flatten(1)
    first = (shape[:, :, None] * colour[:, None, :]).flatten(1)
    return (first[:, :, None] * place[:, None, :]).flatten(1)


def small(pictures):
    """What the students see: half the side, about mean 0 and deviation 1."""
    return (F.avg_pool2d(pictures, 2) + 0.56) / 0.3


PILOT = seeds  # one more draw, for the settings alone
draws = {}
for d in range(seeds + 1):
    rng = torch.Generator().manual_seed(1000 + d)
    pictures, label = drawn(CLASSES * EACH, rng)
    test, truth = drawn(TEST, rng)
    q = answered(pictures)
    draws[d] = {"image": small(pictures), "label": label, "q": q, "test": small(test), "truth": truth}  # fmt: skip
right = [(law_of_classes(at["q"]).argmax(1) == at["label"]).float().mean().item() for at in draws.values()]  # fmt: skip
say(
    f"From its twelve answers the class of **{100 * sum(right) / len(right):.0f} %** of the training pictures can be read. So the teacher of this page hardly errs; those of the paper do."
)

# %% [markdown]
# ## The rivals
#
# All students are one network, a perceptron on 16 × 16 pixels, with the same start of a draw, steps and rate. They differ in what they are given, and *classes alone* may smooth its labels, which no other row may:
#
# | row | the further outputs imitate | what it tells |
# | --- | --- | --- |
# | classes alone | nothing | where a student is without any answers; it may smooth its labels, that is, spread a share of each target evenly over all classes |
# | answers shuffled | the answers to a training picture drawn at random, each picture's once | what more outputs do, whatever they say |
# | table of another class | each class has the mean answers of another class, by an order that is random in each draw and leaves no class its own | what a fixed code of the classes does whose answers do not fit the pictures |
# | table of the classes | the mean answers over all pictures with the same label | whether the picture matters beyond its label |
# | distilled classes | nothing; a second cross-entropy of the classes, with the law that the same answers give, flattened by a temperature $T$ of 1, 2, 4, 8 or 16, and multiplied by $T^2$ beside its weight | distillation {cite}`hinton2015distilling` from the same teacher |
# | MaKD | the answers to the picture itself | |
#
# And there are two kinds of labels: **right**, and **wrong**, where three in ten training labels are drawn anew. The teacher sees no label.
#
# Each row has nine settings to choose from, the weight α, by factors of four from 1 on, for *classes alone* how much labels are smoothed, for *distilled classes* pairs of temperature and weight, by its accuracy on 640 pictures of one further draw. That is done for each kind of labels by itself.

# %%
WRONG = 0.3
WEIGHTS = tuple(4.0**n for n in range(9))
SMOOTH = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
DISTIL = (
    (1.0, 1.0),
    (1.0, 16.0),
    (2.0, 16.0),
    (4.0, 16.0),
    (4.0, 64.0),
    (8.0, 16.0),
    (8.0, 64.0),
    (8.0, 256.0),
    (16.0, 64.0),
)  # temperature, weight; fmt: skip
SETTINGS = {"classes alone": SMOOTH, "distilled classes": DISTIL}
KINDS = {"right labels": 0.0, "wrong labels": WRONG}


class Student(MaKD):
    """MaKD whose classes may be smoothed, and distilled."""

    def __init__(self, smooth=0.0, distil=(1.0, 0.0), **arguments):
        super().__init__([3, 16, 16], CLASSES, 12, encoder="perceptron", width=32, **arguments)  # fmt: skip
        self.register_buffer("dials", torch.tensor([smooth, *distil]))

    def loss(self, batch, rng):
        z, answers = self.outputs(batch)
        log_p, (smooth, T, distil) = z.log_softmax(-1), self.dials
        one = F.one_hot(batch["label"], CLASSES) * (1 - smooth) + smooth / CLASSES
        classes = -(one * log_p).sum(-1).mean()
        flat = (batch["law"].clamp(min=1e-9).log() / T).softmax(-1)
        again = -(T**2) * (flat * (z / T).log_softmax(-1)).sum(-1).mean()
        aspects = aspect_loss(answers, batch["aspects"])
        return {"loss": classes + self.alpha * aspects + distil * again}


def given(row, kind, d):
    """Training data of a row."""
    at, rng = draws[d], torch.Generator().manual_seed(77 + d)
    label, q = at["label"].clone(), at["q"]
    again = torch.rand(len(label), generator=rng) < KINDS[kind]
    label[again] = torch.randint(CLASSES, (int(again.sum()),), generator=rng)
    one = F.one_hot(label, CLASSES).float()
    means = one.T @ q / one.sum(0).clamp(min=1)[:, None]
    order = torch.randperm(CLASSES, generator=rng)
    others = torch.empty_like(means)
    others[order] = means[
        order.roll(1)
    ]  # one round through all classes: none gets its own
    aspects = {
        "answers shuffled": q[torch.randperm(len(q), generator=rng)],
        "table of the classes": means[label],
        "table of another class": others[label],
    }.get(row, q)
    return TensorData({"image": at["image"], "label": label, "aspects": aspects, "law": law_of_classes(q)})  # fmt: skip


def student(row, setting, d):
    how = {"classes alone": {"smooth": setting, "alpha": 0.0}, "distilled classes": {"distil": setting, "alpha": 0.0}}  # fmt: skip
    return Student.seeded(d, **how.get(row, {"alpha": setting}))


def accuracies(jobs):
    """Accuracy of students, each a row, a kind of labels, a setting and a draw."""
    students = [student(row, setting, d) for row, _, setting, d in jobs]
    fit_side_by_side(
        students,
        [given(row, kind, d) for row, kind, _, d in jobs],
        steps=steps, batch_size=32, lr=1e-2, schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    return {
        job: float((model.predict({"image": draws[job[3]]["test"]}).argmax(1) == draws[job[3]]["truth"]).float().mean())
        for job, model in zip(jobs, students, strict=True)
    }  # fmt: skip


ROWS = ["classes alone", "answers shuffled", "table of another class", "table of the classes", "distilled classes", "MaKD"]  # fmt: skip
tried = accuracies(
    [
        (row, kind, setting, PILOT)
        for row in ROWS
        for kind in KINDS
        for setting in SETTINGS.get(row, WEIGHTS)
    ]
)
chosen = {}
for (row, kind, setting, _), score in tried.items():
    if score > chosen.get((row, kind), (0, -1.0))[1]:
        chosen[row, kind] = setting, score
scores = accuracies(
    [
        (row, kind, chosen[row, kind][0], d)
        for row in ROWS
        for kind in KINDS
        for d in range(seeds)
    ]
)
runs = pd.DataFrame(
    [
        {"method": row, "labels": kind, "seed": d, "accuracy": value}
        for (row, kind, _, d), value in scores.items()
    ]
)

# %% tags=["hide-input"]
# Code of the table
parameters = sum(p.numel() for p in student("MaKD", 4.0, 0).parameters())
budgets = Budgets(
    "MaKD",
    {row: Spent(steps, parameters, {"classes alone": ("smoothing",), "distilled classes": ("temperature", "weight")}.get(row, ("weight",)), len(WEIGHTS)) for row in ROWS},
)  # fmt: skip
wide = runs.pivot(
    index=["method", "seed"], columns="labels", values="accuracy"
).reset_index()
table_over_seeds(
    wide[["method", "seed", *KINDS]],
    f"Accuracy on {TEST} new pictures of {CLASSES} classes, {seeds} draw{'s' * (seeds > 1)} of {EACH} training pictures a class.",
    best=dict.fromkeys(KINDS, "higher"),
    order=ROWS,
    budgets=budgets,
)
ends = [f"*{row}* with {kind}" for (row, kind), (setting, _) in chosen.items() if setting == SETTINGS.get(row, WEIGHTS)[-1]]  # fmt: skip
lower = [f"*{row}* with {kind}" for (row, kind), (setting, _) in chosen.items() if row not in SETTINGS and setting == WEIGHTS[0]]  # fmt: skip


def told(setting):
    return (
        f"{setting[1]:g} at temperature {setting[0]:g}"
        if isinstance(setting, tuple)
        else f"{setting:g}"
    )


say(
    "Chosen: "
    + "; ".join(
        f"with {kind} "
        + ", ".join(f"*{row}* {told(chosen[row, kind][0])}" for row in ROWS)
        for kind in KINDS
    )
    + ". For *classes alone* this is the smoothing, else the weight. "
    + (
        f"At the upper end of what was tried: {', '.join(ends)}."
        if ends
        else "None is the largest that was tried."
    )
    + (
        f" At the least weight, below which lies *classes alone*: {', '.join(lower)}."
        if lower
        else ""
    )
)
flat = [100 * score for (row, kind, setting, _), score in tried.items() if (row, kind) == ("MaKD", "right labels") and setting >= 256]  # fmt: skip
say(
    f"Each setting was tried by one student. From the weight 256 on, those of *MaKD* with right labels lie within {max(flat) - min(flat):.1f} points on the pictures that settings are chosen on."
)
mean = runs.groupby(["labels", "method"])["accuracy"].mean()
record(
    budget=budgets.plain(),
    accuracy={k: {r: round(float(mean[k, r]), 4) for r in ROWS} for k in KINDS},
)


def values(row, kind):
    part = runs[(runs["method"] == row) & (runs["labels"] == kind)]
    return part.sort_values("seed")["accuracy"].tolist()


def against(slug, row, kind, ours="MaKD"):
    return claimed(
        f"makd-{slug}",
        values(ours, kind),
        values(row, kind),
        direction="higher",
        better=f"*{ours}* is ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"*{ours}* ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
        unit="%",
        called="draws",
    )


SLUGS = {"classes alone": "classes-alone", "answers shuffled": "shuffled", "table of another class": "another", "table of the classes": "table", "distilled classes": "distilled"}  # fmt: skip
for kind, suffix in (("right labels", ""), ("wrong labels", "-wrong")):
    more = against(f"own-table{suffix}", "table of another class", kind, "table of the classes")  # fmt: skip
    say(
        f"**{kind.capitalize()}**\n\n"
        + "\n".join(
            f"- {against(slug + suffix, row, kind)}" for row, slug in SLUGS.items()
        )
        + f"\n- {more}"
    )

# %% tags=["hide-input"]
# Code of the figures
show(
    bars(runs, "accuracy", order=ROWS, panel="labels"),
    alt="Mean accuracies. "
    + " ".join(
        f"{kind.capitalize()}: "
        + ", ".join(f"{row} {mean[kind, row]:.3f}" for row in ROWS)
        + "."
        for kind in KINDS
    ),
    caption=f"Right labels above, below with three in ten drawn anew. A point is a draw. Highest mean with right labels: *{mean['right labels'].idxmax()}*; with wrong labels: *{mean['wrong labels'].idxmax()}*. Which rows *MaKD* can be told from, the sentences above say.",
)
search = pd.DataFrame(
    [
        {"method": row, "weight": setting, kind: score}
        for (row, kind, setting, _), score in tried.items()
        if row not in SETTINGS
    ]
)
search = search.groupby(["method", "weight"], sort=False).max().reset_index()
tops = {kind: {row: search.loc[search[search["method"] == row][kind].idxmax(), "weight"] for row in ROWS if row not in SETTINGS} for kind in KINDS}  # fmt: skip
show(
    lines(search, "weight", list(KINDS), log_x=True),
    alt="Accuracy on the pictures that settings are chosen on, over the weight, for right and for wrong labels. Highest at: "
    + "; ".join(
        f"{kind}: " + ", ".join(f"{row} {top:g}" for row, top in tops[kind].items())
        for kind in KINDS
    )
    + ".",
    caption="The search of the rows that have a weight alone: one student a point, on the draw that nothing else uses. Where a line ends at its highest point, the weights tried may have ended too early.",
)

# %% [markdown]
# ## What it was
#
# *Answers shuffled* has the same outputs and the same weights to choose from as MaKD, and lacks only that an answer belongs to its picture; *table of another class* keeps a fixed code for each label, whose answers do not fit what is seen. Its order is random, so both are taken away: that an answer fits, and which classes are alike. What is left between MaKD and *table of the classes* is what an answer says of a picture beyond its label. In this world a class fixes all twelve answers, so with right labels there is nothing to find but the teacher's doubts and errors. With wrong labels the answers are about the picture all the same, and the table is handed out by label.
#
# Hold *distilled classes* beside MaKD under either kind of labels. It uses the very same twelve numbers, put together to a law of the classes, and a student of the plain form. A teacher that is sure has nearly all of its law on one class. If it is right as well, its law as it is says little that a right label does not, while the twelve answers, one by one, say which classes are alike. A *temperature* flattens laws until the other classes can be told apart, too {cite}`hinton2015distilling`, and the row may choose one.
#
# With wrong labels the two differ in one thing more. The outputs that name the class in use learn from the labels alone in MaKD, wrong ones among them, however large α is; only the features below feel the answers. In *distilled classes* these very outputs learn from the teacher, too, and a large weight lets it outvote the labels. So this comparison does not say whether twelve answers or one law are the richer target: a MaKD that reads the class from its own twelve answers, by the rule that makes the law, was not tried. And whoever holds the answers of such a teacher could as well mend the labels by them; where all classes can be read from the answers, each row would then stand as with right labels.
#
# No row here tells what either is worth with a teacher that names classes badly, as those of the paper.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} From logits to the loss (code)
# :label: makd-aspects
#
# Write (1) and (2) in one: the loss of the student's logits `z` (B, Q), for a teacher with the logits `yes` and `no` (B, Q). Differences may be 500 either way.
# ```

# %% tags=["stub:aspects"]
from mmlab.exercises.makd import check_aspects


def aspects(z, yes, no):
    return ...


check_aspects(aspects)

# %% [markdown]
# ```{solution-start} makd-aspects
# :class: dropdown
# ```


# %% tags=["solution:aspects"]
def aspects(z, yes, no):
    q = torch.sigmoid(yes - no)
    return (F.softplus(z) - q * z).mean()


check_aspects(aspects)

# %% [markdown]
# For $-q \log\sigma(z) - (1-q)\log(1 - \sigma(z)) = \log(1 + e^z) - q z$.
#
# ```{solution-end}
# ```
#
# ```{exercise} Soft and hard (compute)
# :label: makd-soft
#
# The teacher says 0.9, the student's logit is $\log 19$, so that its share is 0.95; there are 12 questions. (a) What is the derivative of (2) in this logit? (b) What is it if the answer is rounded to yes? (c) What is the least value that the part of this question in (2) can have with 0.9?
# ```

# %% tags=["stub:soft"]
from mmlab.exercises.makd import check_soft

soft = ...
hard = ...
least = ...

check_soft((soft, hard, least))

# %% [markdown]
# ```{solution-start} makd-soft
# :class: dropdown
# ```

# %% tags=["solution:soft"]
soft = (0.95 - 0.9) / 12
hard = (0.95 - 1) / 12
q = torch.tensor(0.9)
least = float(-(q * q.log() + (1 - q) * (1 - q).log())) / 12

check_soft((soft, hard, least))

# %% [markdown]
# The soft answer pulls the student back, the hard one pushes it on, without end. The least value is the entropy of the answer over $Q$: what the loss has above it is a divergence, and a loss that stays above zero says nothing bad of the student.
#
# ```{solution-end}
# ```
#
# ```{exercise} A table under wrong labels (derive)
# :label: makd-table
#
# The hard one. Classes are equally frequent, every picture of class $c$ has the answers $t_c$, and each label is drawn anew from all $C$ classes with probability $\rho$. (a) Derive what the mean over all pictures with label $c$ tends to. (b) Each picture is then given the row of its label. Return the mean squared error of what pictures are given against their true answers, over pictures and questions, for the true table `t` (C, Q).
# ```

# %% tags=["stub:table"]
from mmlab.exercises.makd import check_table


def table_error(t, rho):
    return ...


check_table(table_error)

# %% [markdown]
# ```{solution-start} makd-table
# :class: dropdown
# ```
#
# A label $c$ was kept with probability $1-\rho$; of those drawn anew, as many pictures of each class get it. So the row tends to $m_c = (1-\rho)\, t_c + \rho\, \bar t$, with $\bar t$ the mean over classes: rows shrink towards the mean, and keep their order. A picture of class $a$ gets $m_a$ with probability $1-\rho$, and with $\rho$ the row of a class drawn from all. With $V$ the mean over questions of the variance of $t$ over classes, the first has the error $\rho^2 V$. In the second, $m_b - t_a = (1-\rho)(t_b - \bar t) - (t_a - \bar t)$, of independent $a$ and $b$, has the error $(1-\rho)^2 V + V$. In all
#
# $$(1-\rho)\rho^2 V + \rho\,[(1-\rho)^2 + 1]\, V = \rho (2 - \rho)\, V .$$


# %% tags=["solution:table"]
def table_error(t, rho):
    V = t.var(0, correction=0).mean()
    return rho * (2 - rho) * V


check_table(table_error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A student with 50 further outputs has a higher accuracy than one without. What has been shown?
# Just that. Not that the answers mean anything: the same outputs with shuffled answers, and with a table of other classes, belong beside it.
# ```
#
# ```{dropdown} All pictures of a class get the same answers. What can they teach that the label does not?
# Which classes are alike. A label says that two classes differ; two rows of a table say in what, and pictures of one class teach another that shares an answer.
# ```
#
# ## In five lines
#
# - MaKD adds outputs that imitate soft answers to questions; they are dropped in use.
# - The gradient of an answer ends where the student gives the same share, not at yes.
# - Shuffled answers test whether content matters, a table of other classes in random order whether meaning does, the classes' own table whether the picture does.
# - A table of the classes goes by the label, and inherits its errors; answers to a picture do not.
# - Where the answers determine the class, distil the class, too, and compare.
#
# ## Limits, and what to read next
#
# - The teacher of this page was trained on this very world and is right nearly always; nothing here says what answers are worth that are often wrong, which is the case of the paper {cite}`makd`.
# - *Distilled classes* chooses among nine pairs of temperature and weight, MaKD among nine weights. These lists were lengthened after a run in which a chosen weight was the largest; a finer search may move either. The pairs are few for each temperature, so a chosen one may have the least or the largest weight of its temperature, or its only one. And probabilities of the law under a billionth are raised to that before they are flattened, so classes far from the teacher's may look alike to this row; the law without that floor was not tried.
# - Weights begin at 1. A row of the further outputs that chose the least one may do so for want of smaller ones; where it stands beside *classes alone* is then no matter of the answers alone, for it cannot smooth its labels.
# - One rate, 0.01, for all students, which came from trying *classes alone* in advance. Validation pictures are more than a user with four pictures a class would have.
# - The published loss was used with fifty questions, a weight of 4 and long training on photographs. Our students are small, trained for a few seconds, and the weights tried reach further; at the largest of them the student's features are shaped nearly by the further outputs' loss alone, and only the outputs of the classes by the labels.
# - Intervals are over draws of the training pictures and starts; there is one teacher.
#
# {cite:t}`makd` has the questions and the photographs, {cite:t}`lavid` a table without a picture, {cite:t}`hinton2015distilling` distillation.

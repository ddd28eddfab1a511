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
# # Domain adaptation by fine-tuning
#
# **A model that sees and writes is to work on pictures of another kind: paintings, teeth, weather maps. You tune it on answers from there. What has to move, what does it forget, and which of the scores that you then print can be believed?**
#
# FakeVLM, GalleryGPT, MedTrinity-25M, Med-Gemini, MedGemma with MedSigLIP, WeatherQA, DentalGPT and the first two stages of Patho-R1 share one method: supervised fine-tuning on answers of a domain. They differ in the form of the answer, in what is trained, and in how answers are scored. So each is a *card* here, a row of settings that runs on the book's small models, and the chapter asks what the cards leave open.
#
# **After this chapter you can**
#
# - read a recipe off a system's code, and say what of it was never stated;
# - choose between full tuning, a low-rank change and the connector alone by new and old answers, not by one of them;
# - mix general data in, and show what it keeps;
# - read verdicts without a guess, score a question that depends on another, and put an interval on a preference;
# - measure what a test set is worth that has leaked into training.
#
# You need [TinyLLaVA](tinyllava.ipynb). The pictures are drawn: nothing here is a medical device. Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4  # worlds, each with a base of its own
steps: int | None = None  # of every tuning
base_steps: int | None = None  # of the training of the bases

# %% tags=["hide-input"]
import copy
import math

import pandas as pd
import torch

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import COLOURS, PLACES, SIZES, scene_world
from mmlab.methods.domain_tuning import (
    RECIPES,
    DomainTuning,
    fields,
    read_verdict,
    score,
    sigmoid_loss,
    wilson,
)
from mmlab.metrics.multiple_choice import joint_accuracy
from mmlab.nn.splicing import IMAGE
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claimed, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()
steps = steps or {"cpu": 60, "gpu": 300}[profile]
base_steps = base_steps or {"cpu": 200, "gpu": 600}[profile]

# %% [markdown]
# ## The method, and nine cards

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "d": Box(0, 0, "domain:\npictures, answers"),
    "g": Box(0, 1.4, "general data"),
    "t": Box(1.3, 0.7, "tower", "trained"),
    "c": Box(2.3, 0.7, "connector", "trained"),
    "m": Box(3.4, 0.7, "language model\n(+ B A)", "trained"),
    "l": Box(4.7, 0.7, "loss (3)", "loss"),
    "s": Box(4.7, -0.4, "scorer"),
}
arrows = [
    Arrow("d", "t"),
    Arrow("g", "t", "share g"),
    Arrow("t", "c"),
    Arrow("c", "m"),
    Arrow("m", "l"),
    Arrow("m", "s", "answers"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: pictures and answers of a domain, and a share g of general data, go through tower, connector and language model to a loss. A scorer reads the answers.",
    caption="Which of the blue parts move is a choice, and so are the share and the scorer.",
)

# %% [markdown]
# An answer $a$ has words $a_1, a_2, \ldots$, and the loss is the mean over all of them in the batch,
#
# $$L = \mathbb{E}\,[-\log p(a_t \mid \text{picture, question}, a_{<t})]. \tag{1}$$
#
# Either all weights move, or the connector alone, or the connector and the language model (*language* in the cards), or, with the connector, a change of low rank $r$ of every matrix $W$ of the language model's blocks (*lora*) {cite}`hu2022lora`,
#
# $$W + \frac{\alpha}{r} B A, \qquad B = 0 \text{ at the start.} \tag{2}$$
#
# With a weight $g$ for general data beside those of the domain,
#
# $$L_g = (1 - g)\, L_\text{domain} + g\, L_\text{general}, \tag{3}$$
#
# which is what (1) gives where a share $g$ of the batch's *words* is from general data. A share of items is another weight where answers differ in length: here those of the domain have two words, general ones have one.

# %% tags=["hide-input"]
# Code of the cards
scene = scene_world(items=4, seed=0).scenes["train"][0]
told = fields(scene.facts())
cards = pd.DataFrame(
    {
        card.system: {
            "question": card.question.format(**told),
            "answer": card.answer.format(**told),
            "what moves": card.trained,
            "rate": "not found" if card.rate is None else f"{card.rate:g}",
            "scorer": card.scorer,
            "read in the source": ", ".join(card.read) or "nothing",
        }
        for card in RECIPES.values()
    }
).T
table(cards, "The cards, each on the same scene. What is not in the last column is this book's reading, and the authors may do otherwise. Rates belong to models of billions of values.")  # fmt: skip
say(
    "Sources: FakeVLM {cite}`fakevlm`, GalleryGPT {cite}`gallerygpt`, MedTrinity-25M {cite}`medtrinity`, Med-Gemini {cite}`medgemini`, MedGemma and MedSigLIP {cite}`medgemma`, WeatherQA {cite}`weatherqa`, DentalGPT {cite}`dentalgpt`, Patho-R1 {cite}`zhang2025pathor1`."
)

# %% [markdown]
# `DomainTuning.of(RECIPES["gallerygpt"], model)` is such a tuning, of a TinyLLaVA or a smaller model; a test of the package runs all nine.
#
# ## Scorers, and two traps
#
# **FakeVLM: who reads the verdict.** The released scorer looks for *real* and then for *fake* in the first sentence, then in the second, and then tosses a coin; a *real* that is found counts, whatever stands before it {cite}`fakevlm`. Ours turns a word round after *not*, and counts what it cannot read.

# %%
SAID = [
    ("This is a real photo.", "real"),
    ("This is a fake.", "forged"),
    ("This is not a real photo.", "forged"),
    ("It looks fake, not real.", "forged"),
    ("I cannot tell.", "forged"),
    ("The shadows are inconsistent.", "forged"),
]


def released(text):
    """Real is looked for first, then fake; None for the coin. Each answer here is one sentence."""
    first = text.lower().split(".")[0]
    return 1 if "real" in first else 0 if "fake" in first else None


rows = {}
for text, truth in SAID:
    ours, theirs = read_verdict(text), released(text)
    name = {1: "real", 0: "forged", -1: "unreadable", None: "a coin"}
    rows[text] = {"truth": truth, "as released": name[theirs], "here": name[ours]}
table(pd.DataFrame(rows).T, "Six answers, read in two ways.")
expected = [0.5 if (r := released(t)) is None else float(r == (v == "real")) for t, v in SAID]  # fmt: skip
ours = score("verdict", [t for t, _ in SAID], [v for _, v in SAID])
say(
    f"The released rule scores {sum(expected) / len(expected):.2f} in the mean of its coin, ours {ours['accuracy']:.2f} with {ours['unreadable']:.2f} unreadable."
)

# %% [markdown]
# **WeatherQA: a second question that counts after the first.** It asks for the area and, where that is right, for the severity {cite}`weatherqa`. Then
#
# $$P(\text{both}) = P(a)\, P(b \mid a), \tag{4}$$
#
# and neither factor tells the product. $P(b \mid a)$ has the right first answers as its denominator, so two models are compared on different items; $P(\text{both})$ has all.
#
# **Med-Gemini: preferences.** Radiologists saw two reports blinded, and a share $\hat p$ of $n$ was judged equal or preferred {cite}`medgemini`. With $z = 1.96$, Wilson's interval is
#
# $$\frac{\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p(1 - \hat p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}. \tag{5}$$

# %% tags=["hide-input"]
# Code of the table
table(
    pd.DataFrame({f"n = {n}": {f"{p} %": " to ".join(f"{x:.2f}" for x in wilson(round(n * p / 100), n)) for p in (50, 65, 96)} for n in (20, 100, 500)}),
    "Wilson's interval of a share, which is rounded to whole cases, by the number of cases.",
)  # fmt: skip

# %% [markdown]
# **DentalGPT** asks *yes* and *no* equally often, so that always-yes has one half {cite}`dentalgpt`; **MedGemma** reads a letter, **MedTrinity-25M** takes recall for open questions, **GalleryGPT** compares texts. **MedSigLIP** is no writer: its tower and a text tower are tuned by the sigmoid loss {cite}`medgemma`, in which each of the $B^2$ pairs of a picture $i$ and a text $j$ is judged by itself, with $z_{ij} = 1$ where they belong together and $-1$ else. With a learnt scale $t$ and offset $b$ of their cosines (other letters than above) and $\sigma(x) = 1/(1 + e^{-x})$,
#
# $$L = -\frac1B \sum_{i,j} \log \sigma\big(z_{ij}(t \cos_{ij} + b)\big). \tag{6}$$

# %%
zero = torch.eye(6)  # all cosines between pictures and texts are zero
found = sigmoid_loss(zero[:3], zero[3:], 10.0, -10.0)
by_hand = math.log1p(math.exp(10)) + 2 * math.log1p(math.exp(-10))
assert abs(found.item() - by_hand) < 1e-4
say(
    f"With all cosines zero and b = -10, three pairs have the loss softplus(10) + 2 softplus(-10) = {by_hand:.4f}: nearly all of it from the pairs that belong together."
)

# %% [markdown]
# ## A domain
#
# Bases are small models trained on scenes: *which colour*, *where*, *how large*. The domain's pictures are darker and grainy, its question is new, and its answer has two words, which the bases know from elsewhere: the area, one of four places, and the severity, one of two sizes. It is WeatherQA's form, so (4) applies. Old answers are the three general questions, on the old pictures.

# %% tags=["hide-input"]
# Code of the world
WORDS = ["end", "colour?", "place?", "size?", "report?", *COLOURS, *PLACES, *SIZES]
CODE = {word: number for number, word in enumerate(WORDS)}
SIDE, GENERAL, TRAIN, TEST = 16, 300, 96, 100
POLICY = {"words": len(WORDS), "patch": 8, "width": 24, "first": True}


def dark(pictures, rng):
    return 0.5 * pictures + 0.4 * (torch.rand(pictures.shape, generator=rng) - 0.5)


def rows_of(pictures, asked, answers):
    """Rows of a dataset: one question and the words of an answer for each picture."""
    n = len(pictures)
    ids = torch.tensor([[IMAGE, CODE[word]] for word in asked])
    return {"input_ids": ids, "length": torch.full((n,), 2), "images": pictures[:, None], "completions": torch.tensor(answers)[:, None]}  # fmt: skip


def general(scenes, pictures):
    facts = [scene.figures[0] for scene in scenes for _ in range(3)]
    asked = ["colour?", "place?", "size?"] * len(scenes)
    answers = [
        [CODE[getattr(f, q[:-1])]] for f, q in zip(facts, asked, strict=True)
    ]
    return rows_of(pictures.repeat_interleave(3, 0), asked, answers)


def report(scenes, pictures, rng, noise=0.0):
    """Reports of scenes; of a share of them the severity is recorded wrongly."""
    answers = []
    for scene in scenes:
        size = scene.figures[0].size
        if torch.rand((), generator=rng) < noise:
            size = "small" if size == "large" else "large"
        answers.append([CODE[scene.figures[0].place], CODE[size]])
    return rows_of(pictures, ["report?"] * len(scenes), answers)


NOISE = 0.3
worlds = {}
PILOT = seeds  # one more, for rates alone
for k in range(seeds + 1):
    rng = torch.Generator().manual_seed(40 + k)
    old = scene_world(items=GENERAL, seed=100 + k, image_size=SIDE)
    new = scene_world(items=TRAIN + TEST, seed=200 + k, image_size=SIDE)
    x = {name: (p + 0.56) / 0.3 for name, p in old.pictures.items()}
    y = dark((new.pictures["train"] + 0.56) / 0.3, rng)
    scenes = new.scenes["train"]
    worlds[k] = {
        "base": general(old.scenes["train"], x["train"]),
        "old": general(old.scenes["test"], x["test"]),
        "train": report(scenes[:TRAIN], y[:TRAIN], rng),
        "test": report(scenes[TRAIN:], y[TRAIN:], rng),
        "noisy train": report(scenes[:TRAIN], y[:TRAIN], rng, NOISE),
        "noisy test": report(scenes[TRAIN:], y[TRAIN:], rng, NOISE),
    }
ALL = list(range(seeds))

# %%
bases = [DomainTuning.seeded(k, POLICY, general=0.0) for k in worlds]
fit_side_by_side(bases, [TensorData(worlds[k]["base"]) for k in worlds], steps=base_steps, batch_size=24, lr=3e-3, warmup=10, log_every=base_steps, progress=False)  # fmt: skip


def beside(k, domain, g):
    """A domain's rows, each beside a general one of the base's training if these have a weight."""
    rng = torch.Generator().manual_seed(k)
    chosen = torch.randint(len(worlds[k]["base"]["length"]), (len(domain["length"]),), generator=rng)  # fmt: skip
    if not g:
        return TensorData(domain)
    return TensorData({**domain, **{f"general_{key}": value[chosen] for key, value in worlds[k]["base"].items()}})  # fmt: skip


def tuned(jobs, trained, rate, count=None):
    """Models of jobs (world, weight of general data, rows of the domain), all with the same parts moving."""
    models = []
    for k, g, _ in jobs:
        policy = copy.deepcopy(bases[k].policy)
        model = DomainTuning(policy.requires_grad_(True), trained, 8, 8.0, g)
        models.append(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for model in models:
            for name, value in model.named_parameters():
                if name.endswith(".a"):  # the draws of A come from a seed
                    value.data = torch.randn(value.shape) / len(value)
    count = count or steps
    fit_side_by_side(models, [beside(k, rows, max(g for _, g, _ in jobs)) for k, _, rows in jobs], steps=count, batch_size=16, lr=rate, warmup=5, schedule="cosine", log_every=count, progress=False)  # fmt: skip
    return models


def measured(model, k):
    """Old answers, and the two new ones with (4)."""
    right = model.right(worlds[k]["test"])
    a, b, both = joint_accuracy(right[:, 0].tolist(), right[:, 1].tolist())
    old = model.right(worlds[k]["old"]).double().mean().item()
    return {"area": a, "severity given area": b, "both": both, "old": old}


before = [{"method": "before", "seed": k, **measured(bases[k], k)} for k in ALL]
say(
    f"Before tuning the bases give {sum(r['old'] for r in before) / seeds:.2f} of the old answers, and both parts of {sum(r['both'] for r in before) / seeds:.2f} of the new ones."
)

# %% [markdown]
# ## What moves
#
# Each choice has the same steps, and its rate is one of the same three, chosen in a world that is used for this alone: by the share of new answers with both parts right, to the nearest twentieth, and of equal ones by old answers. No general data yet.

# %%
WAYS = {
    "full tuning": "all",
    "low-rank change": "lora",
    "connector alone": "connector",
}
RATES = (1e-3, 3e-3, 1e-2)
chosen, runs, search = {}, [], []
for row, trained in WAYS.items():
    for rate in RATES:
        (model,) = tuned([(PILOT, 0.0, worlds[PILOT]["train"])], trained, rate)
        search.append({"method": row, "rate": rate, **measured(model, PILOT)})
    own = [found for found in search if found["method"] == row]
    chosen[row] = max(own, key=lambda s: (round(20 * s["both"]), s["old"]))["rate"]
    models = tuned(
        [(k, 0.0, worlds[k]["train"]) for k in ALL], trained, chosen[row]
    )
    count = sum(p.numel() for p in models[0].parameters() if p.requires_grad)
    runs += [{"method": row, "seed": k, "moved": count, **measured(m, k)} for k, m in zip(ALL, models, strict=True)]  # fmt: skip
runs = pd.DataFrame(runs)
moved = runs.groupby("method")["moved"].first().fillna(0).astype(int)
budgets = Budgets("low-rank change", {row: Spent(steps, int(moved[row]), ("rate",), len(RATES)) for row in WAYS})  # fmt: skip
COLUMNS = ["area", "severity given area", "both", "old"]
table_over_seeds(
    runs[["method", "seed", *COLUMNS]],
    f"Shares of right answers on {TEST} new pictures of the domain, by (4), and of the old ones.",
    best=dict.fromkeys(("both", "old"), "higher"),
    order=list(WAYS),
    budgets=budgets,
)
table(
    pd.DataFrame(search).set_index(["method", "rate"])[["both", "old"]],
    "The search: shares of new and old answers in the world that is used for it alone.",
    digits=2,
)
say(
    "Chosen rates: " + ", ".join(f"*{row}* {chosen[row]:g}" for row in WAYS)
    + ". Values that move: " + ", ".join(f"*{row}* {moved[row]}" for row in WAYS) + "."
)  # fmt: skip
record(budget=budgets.plain())


def of(frame, row, column):
    return frame[frame["method"] == row].sort_values("seed")[column].tolist()


def against(slug, frame, ours, theirs, column, what):
    return claimed(
        f"tuning-{slug}",
        of(frame, ours, column),
        of(frame, theirs, column),
        direction="higher",
        better=f"{what}: *{ours}* has more than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"{what}: *{theirs}* has more than *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"{what}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        unit="%",
        called="worlds",
    )


FULL, LOW, CON = WAYS
NEW, OLD = "New answers, both parts right", "Old answers"
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("new-lora-full", runs, LOW, FULL, "both", NEW),
            against("old-lora-full", runs, LOW, FULL, "old", OLD),
            against("new-connector-full", runs, CON, FULL, "both", NEW),
            against("old-connector-full", runs, CON, FULL, "old", OLD),
        )
    )
)

# %% [markdown]
# A model that is not tuned keeps all old answers, so that column alone says nothing of a way to tune; and nothing keeps a row from losing in both. So read the two columns as a pair. Each row has its own rate, chosen for new answers: what moves, and how fast it moves, are not told apart here. And before you praise what keeps old answers, look for the same in full tuning with something of the old beside it.
#
# ## How much general data
#
# Full tuning at its rate, with the weight $g$ of (3) turned up. Every step sees as many domain items, and as many general ones; only weights change. The low-rank change, at its own rate, gets $g = 0.3$ as well, so that what moves and what is mixed in can be told apart.

# %%
SHARES = (0.0, 0.1, 0.3, 0.5, 0.8)
jobs = [(k, g, worlds[k]["train"]) for g in SHARES for k in ALL]
mixed = [
    {"method": f"g = {g:g}" if g else "no general data", "g": g, "seed": k, **measured(m, k)}
    for (k, g, _), m in zip(jobs, tuned(jobs, "all", chosen[FULL]), strict=True)
]  # fmt: skip
mixed = pd.DataFrame(mixed)
LOW_MIXED = f"{LOW}, g = 0.3"
jobs = [(k, 0.3, worlds[k]["train"]) for k in ALL]
low_mixed = pd.DataFrame(
    {"method": LOW_MIXED, "seed": k, **measured(m, k)}
    for (k, _, _), m in zip(jobs, tuned(jobs, "lora", chosen[LOW]), strict=True)
)
long = mixed.melt(["g", "seed"], ["both", "old"], "answers", "share right").replace({"both": "new answers", "old": "old answers"})  # fmt: skip
mean = mixed.groupby("g")[["both", "old"]].mean()
text = "; ".join(f"g = {g:g}: new {mean.loc[g, 'both']:.2f}, old {mean.loc[g, 'old']:.2f}" for g in SHARES)  # fmt: skip
show(
    lines(long, "g", "share right", by="answers"),
    alt=f"Shares of right new and old answers over the weight of general data. {text}.",
    caption=f"Means over {seeds} worlds. {text}.",
)
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("old-mixed-none", mixed, "g = 0.3", "no general data", "old", OLD),
            against("new-mixed-none", mixed, "g = 0.3", "no general data", "both", NEW),
            against("old-mixed-lora", pd.concat([mixed, low_mixed]), "g = 0.3", LOW_MIXED, "old", OLD),
            against("new-mixed-lora", pd.concat([mixed, low_mixed]), "g = 0.3", LOW_MIXED, "both", NEW),
            against("old-lora-mixed-none", pd.concat([low_mixed, runs]), LOW_MIXED, LOW, "old", OLD),
        )
    )
)  # fmt: skip

# %% [markdown]
# ## A test that has leaked
#
# MedTrinity-25M gathers images from many public sources, and whoever tunes on such a collection has to ask whether test images are among them. What would it do to a score? Here three in ten severities are recorded wrongly, in training and in test, as labels are. Of the training items a part is exchanged for test items with their labels. The score is that of the severity after the true area, on the half of the test that leaks, and on the other half.

# %%
HALF = TEST // 2
leaks = {}
for k in ALL:
    train, test = worlds[k]["noisy train"], worlds[k]["noisy test"]
    leaks[k, "no leak"] = train
    for name, part in (("half of it leaked", HALF // 2), ("leaked", HALF)):
        leaks[k, name] = {key: torch.cat([test[key][:part], value[part:]]) for key, value in train.items()}  # fmt: skip
LEAKS = ["no leak", "half of it leaked", "leaked"]
LONGER = 2 * steps
jobs = [(k, 0.0, leaks[k, name]) for name in LEAKS for k in ALL]
leaked = []
for job, model in zip([(name, k) for name in LEAKS for k in ALL], tuned(jobs, "all", chosen[FULL], LONGER), strict=True):  # fmt: skip
    right = model.right(worlds[job[1]]["noisy test"])[:, 1].double()
    true = model.right(worlds[job[1]]["test"])[:, 1].double()
    leaked.append({"method": job[0], "seed": job[1], "first half": right[:HALF].mean().item(), "second half": right[HALF:].mean().item(), "second half, true labels": true[HALF:].mean().item()})  # fmt: skip
leaked = pd.DataFrame(leaked)
table_over_seeds(
    leaked,
    f"Right severities after {LONGER} steps, as recorded in the test. Leaked items are from the first half. Whoever knows every true severity scores {1 - NOISE:.1f} on either half, but for chance.",
    order=LEAKS,
)
say(
    "\n".join(
        f"- {text}"
        for text in (
            against("leak-none", leaked, "leaked", "no leak", "first half", "Right severities in the half that leaks"),
            against("leak-other-half", leaked, "leaked", "no leak", "second half", "Right severities in the other half"),
        )
    )
)  # fmt: skip
above = leaked[leaked["method"] == "leaked"].sort_values("seed")
say(
    claimed(
        "tuning-leak-ceiling",
        above["first half"].tolist(),
        1 - NOISE,
        direction="higher",
        better="With the leak the first half scores above what true severities would score in the mean, {ours} against {theirs}: what is above is not read off the pictures.",
        worse="With the leak the first half scores below what true severities would score in the mean, {ours} against {theirs}.",
        undecided="With the leak the first half's score ({ours}) and that of true severities ({theirs}) cannot be told apart.",
        unit="%",
        called="worlds",
    )
)

# %% [markdown]
# A score above the ceiling of the labels is one sign of a leak that needs no access to the training data. It is a sign only where label errors are drawn without a look at the picture, as here: errors that an annotator repeats can be learnt, honestly, from other items. The halves are another sign: they have the same law, so a gap between them that chance does not make is not the difficulty of the items.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Two answers (code)
# :label: domain-tuning-joint
#
# For the right first and second answers of N items (bool tensors), return $P(a)$, $P(b \mid a)$ and $P(\text{both})$; $P(b \mid a)$ is 0 where no first answer is right.
# ```

# %% tags=["stub:joint"]
from mmlab.exercises.domain_tuning import check_joint


def joint(first, second):
    return ...


check_joint(joint)

# %% [markdown]
# ```{solution-start} domain-tuning-joint
# :class: dropdown
# ```


# %% tags=["solution:joint"]
def joint(first, second):
    both = (first & second).double().mean()
    a = first.double().mean()
    return a, both / a if a > 0 else a, both


check_joint(joint)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many values move (compute)
# :label: domain-tuning-count
#
# A matrix has 4096 × 4096 values. (a) How many does a change of rank 16 train? (b) Which share of the matrix is that? (c) With r = 128 and α = 256, as in GalleryGPT, by what is $BA$ multiplied?
# ```

# %% tags=["stub:count"]
from mmlab.exercises.domain_tuning import check_count

values = ...
share = ...
factor = ...

check_count((values, share, factor))

# %% [markdown]
# ```{solution-start} domain-tuning-count
# :class: dropdown
# ```

# %% tags=["solution:count"]
values = 16 * (4096 + 4096)
share = values / 4096**2
factor = 256 / 128

check_count((values, share, factor))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What a leak adds (derive)
# :label: domain-tuning-leak
#
# The hard one. A share ρ of the test items is in the training data with their recorded labels; of two classes, a share ν of all labels is recorded wrongly. On items that it was not trained on, a model gives the true class with probability $q$; of those it was trained on, it has learnt the recorded label by heart with probability $m$, and else treats them as the others. Derive the expected score against recorded labels, and return it.
# ```

# %% tags=["stub:leak"]
from mmlab.exercises.domain_tuning import check_leak


def leak(rho, nu, q, m):
    return ...


check_leak(leak)

# %% [markdown]
# ```{solution-start} domain-tuning-leak
# :class: dropdown
# ```
#
# Without memory an answer agrees with the record if both are true or both are false: $s = q(1 - \nu) + (1 - q)\nu$. Learnt by heart it always agrees. So the score is $(1 - \rho)s + \rho\,[m + (1 - m)s] = s + \rho m (1 - s)$: the leak adds most where honest scores are low.


# %% tags=["solution:leak"]
def leak(rho, nu, q, m):
    honest = q * (1 - nu) + (1 - q) * nu
    return honest + rho * m * (1 - honest)


check_leak(leak)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A model has a higher P(b | a) than another and a lower P(both). How can that be?
# Its first answers are right less often, perhaps on the easier items alone, and its second ones are asked there. The two conditional shares have different denominators.
# ```
#
# ```{dropdown} A scorer guesses where it cannot read an answer. What happens to a model that never answers?
# It gets half of the points on two classes, as much as one that is as often wrong as right, and nobody sees that it said nothing. Count what cannot be read.
# ```
#
# ```{dropdown} Elsewhere you read that a tuning of the connector alone has kept all old answers. Why is that no praise yet?
# It may have learnt nothing: a model that is not tuned keeps them all. Ask what it has of the new answers; and see above what the row of the connector has of the old ones.
# ```
#
# ## In five lines
#
# - Domain adaptation is one loss; systems differ in answers, in what moves, in what is mixed in, and in the scorer.
# - Read new and old answers as a pair, for every choice.
# - General data have a weight, and it has a curve.
# - Count what cannot be read; give conditional scores with their joint, and shares with their interval.
# - Ask of every test set whether it was in the training data; a score above the labels' own ceiling is a reason to ask again.
#
# ## Limits, and what to read next
#
# - Networks of some twenty thousand values on drawn pictures. Nothing here is a medical device, and no system was run: cards are settings of theirs on our models, and what no source states is our reading.
# - Rates were chosen in one world, by new answers first; whoever weighs old answers more may choose others. Three rates are few, and a row whose rate is the end of the range may have had too short a search.
# - The low-rank change has one rank. The language model of our bases is one block, so most of what a low-rank change saves in a large model cannot be seen.
# - General data are the base's own training items. Whoever tunes a published model rarely has these. With the connector alone they were not tried.
# - Verdict alone or with reasons is the question of [I-FAS](i_fas.ipynb). Panels, regions and polygenic risk, which some of the systems are about, are not measured here.
# - Whether MedTrinity-25M itself holds test images was not checked; the page measures what that would do.
#
# {cite:t}`medtrinity` tell how such a data set is gathered, {cite:t}`hu2022lora` have the low-rank change.

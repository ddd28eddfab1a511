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
# # When the other modality gets in the way: modality interference
#
# **A question is about the picture alone, and a sentence beside it claims something wrong. A question can be answered from its text, and the picture is noise. Does the answer change? And what of a training against it does the work?**
#
# Cai et al. {cite}`cai2025interference` change the modality that a question is *not* about and count how many answers change. Against this they tune with changed copies of the questions, with adversarial noise at the places of the irrelevant modality, and with a loss that asks for the same answer with and without the change. For LLaVA-1.5-7B they report accuracy under changes on Mini-ImageNet to rise from 43.5 to 98.4 % {cite}`cai2025interference`.
#
# Three remedies at once. This chapter takes them apart, and tests on changes that no remedy has seen.
#
# **After this chapter you can**
#
# - measure interference by accuracy and by the share of decisions that change, and say how the two are tied;
# - write an ascent that moves only the places of one modality;
# - hold adversarial noise against random noise in the same box, and everything against changed copies alone;
# - use the package's ablation to ask what a model looks at, before and after.
#
# You need [TinyLLaVA](tinyllava.ipynb) for models that see and write. Reading takes twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5  # worlds, each with a model of its own
steps: int | None = None  # of every tuning

# %% tags=["hide-input"]
import pandas as pd
import torch

import mmlab
from mmlab.compare.ablation import ablate
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import (
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
)
from mmlab.methods.modality_interference import (
    NEEDS,
    ModalityInterference,
    decision_changes,
    perturbed_pictures,
)
from mmlab.nn.splicing import IMAGE
from mmlab.train.once import trained_once
from mmlab.viz import claimed, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 30, "gpu": 600}[profile]

# %% [markdown]
# ## The loss

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.7, "question"),
    "c": Box(1, 0, "changed copy"),
    "e": Box(1, 1.4, "shift of the\nirrelevant places", "changed"),
    "m": Box(2.1, 0.7, "model", "trained"),
    "p": Box(3.2, 0.7, "laws of\nthe answer"),
    "l": Box(4.3, 0.7, "loss (4)", "loss"),
}
arrows = [
    Arrow("x", "m"),
    Arrow("x", "c"),
    Arrow("x", "e"),
    Arrow("c", "m"),
    Arrow("e", "m", "(2)"),
    Arrow("m", "p"),
    Arrow("p", "l", "(3)"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a question, a copy of it with the irrelevant modality changed, and the question with a shift at its irrelevant places all go through one model. The loss takes the answers of all three, and holds the first two against each other.",
    caption="One question, read three times. The answer that is asked for is the same.",
)

# %% [markdown]
# Let $f(x)$ be the answer to a question, and $x'$ the question with the modality changed that it is not about. The **share of decisions that change** is
#
# $$R = \frac1N \sum_i \mathbb{1}[f(x_i) \ne f(x_i')]. \tag{1}$$
#
# It needs no right answers. With them, accuracy before and after bounds it, as an exercise shows.
#
# The model reads a sequence of vectors $E$, those of the words and of the picture. A mask $m$ is 1 at the places that a question is not about: at the words of the question, if it is about the picture, and at the picture, if it is about the text. The **masked ascent** starts from uniform noise in $[-\varepsilon, \varepsilon]$ and takes $K$ steps
#
# $$\delta \leftarrow m \odot \mathrm{clip}\big(\delta + a\, \nabla_\delta\, \mathrm{CE}(E + \delta),\; -\varepsilon, \varepsilon\big), \tag{2}$$
#
# with the raw gradient and not its sign. With $K = 0$ it is random noise in the same box. (Not of the same length: an ascent that ends in corners of the box has longer shifts than noise that is uniform in it.) The **consistency** of the laws $p$ of an answer's words, before and after a change, is
#
# $$D = \mathrm{KL}\big(p(\cdot \mid x') \,\Vert\, p(\cdot \mid x)\big), \tag{3}$$
#
# where $p(\cdot \mid x)$ gets no gradient. In all, with weights $w$ and $\lambda$, and $E'$ the vectors of $x'$,
#
# $$L = \tfrac12\big[\mathrm{CE}(E) + \mathrm{CE}(E')\big] + \lambda D + w\, \mathrm{CE}(E + \delta). \tag{4}$$
#
# Without changed copies the bracket is $\mathrm{CE}(E)$ alone, and there is no $D$. The authors take $K = 2$, $a = 0.1$, $\varepsilon = 0.001$ and $\lambda = 0.01$ {cite}`cai2025interference`.

# %%
method, batch = ModalityInterference.demo()
delta = method.shift(batch, torch.Generator().manual_seed(0))
at_picture = batch["input_ids"] == IMAGE
assert (delta[at_picture] == 0).all()
assert delta.abs().max() <= method.radius
say(
    f"The questions of the demo are about the picture, so its place stays; the words' vectors move by up to {delta.abs().max().item():.2f}."
)

# %% [markdown]
# ## Three kinds of questions
#
# A small recurrent model reads words, and last a picture of a coloured shape. It is asked *which colour ?* or *where ?*, which is about the picture; what a sentence says, *the hat is red . which colour is the hat ?*, which is about the text and comes with a black picture; and *is it red ?*, which needs both. In this first training it never meets a distractor. Then the changes come:
#
# | change | of questions about | what it does | used in tuning |
# | --- | --- | --- | --- |
# | hint | the picture | *hint : blue .* before the question, always wrong | yes |
# | fact | the picture | *the hat is blue .* before it, wrong if it is taken for an answer | no |
# | friend | the picture | *a friend says blue* before it, always wrong | no |
# | guess | the picture | *i guess blue* after it, always wrong | no |
# | noise | the text | random pixels | yes |
# | white | the text | a white picture | no |
# | another | the text | another coloured shape | no |
# | true hint | the picture | *hint : red .* before it, and right | no; counted by itself |

# %% tags=["hide-input"]
# Code of the world
TEXT = "end which colour where is it the hat cup bag pen hint a friend says i guess yes no nw ne sw se ? . :"
WORDS = [*TEXT.split(" "), *COLOURS]
CODE = {word: number for number, word in enumerate(WORDS)}
THINGS, AT = ("hat", "cup", "bag", "pen"), ("nw", "ne", "sw", "se")
SEEN = {"hint": "picture", "noise": "text"}
UNSEEN = {"fact": "picture", "friend": "picture", "guess": "picture", "white": "text", "another": "text"}  # fmt: skip
TRUE = {
    "true hint": "picture"
}  # tells whoever ignores a hint from whoever avoids it
TESTED = {**SEEN, **UNSEEN, **TRUE}
TRAIN, TEST = 400, 150
COLOUR = list(COLOURS)


def drawn(count, rng):
    """So many pictures, and the colour and place of what they show, as words."""

    def one(count):
        return int(torch.randint(count, (), generator=rng))

    scenes, facts = [], []
    for _ in range(count):
        c, p = one(4), one(4)
        x, y, r = ((torch.rand(3, generator=rng) * 2 - 1) * 0.07).tolist()
        figure = Figure(SHAPES[one(4)], COLOUR[c], list(PLACES)[p], list(SIZES)[one(2)], (x, y, r))  # fmt: skip
        scenes.append(Scene((figure,)))
        facts.append((COLOUR[c], AT[p]))
    return (draw(scenes, 16, rng) + 0.5) / 0.4, facts


def questions(kind, count, rng):
    """Questions of one kind, with the answer and a wrong one."""

    def one(options):
        return options[int(torch.randint(len(options), (), generator=rng))]

    pictures, facts = drawn(count, rng)
    made = []
    for (colour, place), picture in zip(facts, pictures, strict=True):
        item = {"kind": kind, "picture": picture, "thing": one(THINGS)}
        if kind == "picture":
            asked, true, all_ = one([("which colour ?", colour, COLOUR), ("where ?", place, list(AT))])  # fmt: skip
        elif kind == "text":
            true, all_ = one(COLOUR), COLOUR
            asked = f"the {item['thing']} is {true} . which colour is the {item['thing']} ?"  # fmt: skip
            item["picture"] = torch.full_like(picture, -1.25)
        else:
            named = colour if one([True, False]) else one(COLOUR)
            asked, true, all_ = f"is it {named} ?", "yes" if named == colour else "no", ["yes", "no"]  # fmt: skip
        wrong = one([word for word in all_ if word != true])
        made.append({**item, "asked": asked, "answer": true, "wrong": wrong})
    return made


def changed(items, change, rng):
    """The same questions with the modality changed that they are not about."""
    say_it = {
        "hint": "hint : {wrong} . {asked}",
        "true hint": "hint : {answer} . {asked}",
        "fact": "the {thing} is {wrong} . {asked}",
        "friend": "a friend says {wrong} {asked}",
        "guess": "{asked} i guess {wrong}",
    }
    if change in say_it:
        return [{**item, "asked": say_it[change].format(**item)} for item in items]
    if change == "another":
        new = drawn(len(items), rng)[0]
    else:
        low_high = torch.tensor([-1.25, 3.75])  # of the scenes' values
        pictures = torch.stack([item["picture"] for item in items])
        ends = low_high[:, None, None, None].expand(-1, *pictures.shape[1:])
        new = perturbed_pictures(torch.cat([pictures, ends]), change, rng)
    return [{**item, "picture": p} for item, p in zip(items, new, strict=False)]


def batch_of(items, length=13):
    ids = [
        [*(CODE[word] for word in item["asked"].split()), IMAGE] for item in items
    ]
    needs = {"picture": "image"}
    return {
        "input_ids": torch.tensor([row + [0] * (length - len(row)) for row in ids]),
        "length": torch.tensor([len(row) for row in ids]),
        "images": torch.stack([item["picture"] for item in items])[:, None],
        "completions": torch.tensor([[[CODE[item["answer"]]]] for item in items]),
        "needs": torch.tensor([NEEDS.index(needs.get(i["kind"], i["kind"])) for i in items]),
    }  # fmt: skip


KINDS = ("picture", "text", "both")
worlds = {}
for w in range(seeds + 1):  # the last one is for settings alone
    rng = torch.Generator().manual_seed(500 + w)
    train = {kind: questions(kind, TRAIN, rng) for kind in KINDS}
    test = {kind: questions(kind, TEST, rng) for kind in KINDS}
    copies = {
        kind: changed(train[kind], change, rng) for change, kind in SEEN.items()
    }
    tests = {change: changed(test[kind], change, rng) for change, kind in TESTED.items()}  # fmt: skip
    plain = batch_of([item for kind in KINDS for item in train[kind]])
    other = batch_of(
        [item for kind in KINDS for item in copies.get(kind, train[kind])]
    )
    worlds[w] = {
        "train": plain,
        "copies": {f"changed_{key}": other[key] for key in ("input_ids", "length", "images")},
        "hints": {f"changed_{key}": (plain if key == "images" else other)[key] for key in ("input_ids", "length", "images")},
        "items": test,
        "test": {name: batch_of(items) for name, items in {**test, **tests}.items()},
    }  # fmt: skip
PILOT = seeds
READER = {"words": len(WORDS), "picture": [3, 16, 16], "width": 48}

# %% [markdown]
# ## The rows
#
# All start from the same model of their world, and take the same steps on the same questions. The published $\varepsilon$ belongs to another model's vectors, so each row searches for itself: two settings, by the accuracy under the changes of tuning, in a further world. **No unseen change takes part in a choice.** *Noise* and *ascent* take the rate that *clean data* chose, all that is tuned with copies that of *augmentation*. So *noise of the same size* beside *clean data*, and *augmentation, consistency* beside *augmentation*, differ in one term of (4) and in nothing else; *masked ascent* beside *noise of the same size* differs in $K$, if both chose one $\varepsilon$. Rows with copies beside rows without may differ in the rate, too, if the line of choices below says so: then what lies between them is not the copies alone. And *all three* has two terms more than *augmentation*. As published, $a$ is $100\,\varepsilon$. A question that needs both modalities has no place that may move, and its copy is itself.
#
# | row | what it is tuned with | what is searched |
# | --- | --- | --- |
# | before | nothing | |
# | clean data | the questions as they are | the rate |
# | noise of the same size | the same, and the last term of (4) with $K = 0$ | $\varepsilon$ |
# | masked ascent | the same, and the last term of (4) with $K = 2$ | $\varepsilon$ |
# | augmentation | each question and its changed copy | the rate |
# | augmentation, consistency | the same, and $D$ | $\lambda$ |
# | all three | all of (4) | $\varepsilon$, with $\lambda = 1$ |
# | hints alone: augmentation | as *augmentation*, but no copy has another picture | nothing: it has the rate of *augmentation* |
# | hints alone: all three | as *all three*, but no copy has another picture | nothing: it has the setting of *all three* |
#
# To the last two **every** change of a picture is of a family that tuning has not seen. If the ascent or the consistency carries over to other families, it should show there.
#
# *Noise of the same size* has the box of *masked ascent* only where both chose the same $\varepsilon$, which the line of choices below tells. With so few worlds intervals are wide: *cannot be told apart* beside a difference of many points says that the worlds are too few, and not that two rows are equal.

# %%
RATES, RADII, AGREE = (3e-3, 1e-2), (0.5, 2.0), (0.1, 1.0)
OFF = {"adversarial": 0.0, "agree": 0.0}


HELD = {
    f"hints alone: {row}": row for row in ("augmentation", "all three")
}  # a whole family of changes is held out


def how(row, setting):
    """Arguments of the method, the rate, and which copies are used."""
    radius = {"adversarial": 1.0, "agree": 0.0, "radius": setting, "step": 100 * setting}  # fmt: skip
    return {
        "clean data": (OFF, setting, None),
        "noise of the same size": (
            {**radius, "steps": 0},
            chosen.get("clean data"),
            None,
        ),
        "masked ascent": ({**radius, "steps": 2}, chosen.get("clean data"), None),
        "augmentation": (OFF, setting, "copies"),
        "augmentation, consistency": (
            {**OFF, "agree": setting},
            chosen.get("augmentation"),
            "copies",
        ),
        "all three": (
            {**radius, "steps": 2, "agree": 1.0},
            chosen.get("augmentation"),
            "copies",
        ),
    }[row]


def trained(w, arguments, data, lr):
    method = ModalityInterference.seeded(w, READER, words=1, **arguments)
    method.policy.load_state_dict(starts[w])
    mmlab.fit(method, TensorData(data), steps=steps, batch_size=16, lr=lr, schedule="cosine", seed=w, log_every=steps, progress=False)  # fmt: skip
    return method


def tuned(row, setting, w):
    arguments, lr, copies = how(HELD.get(row, row), setting)
    copies = "hints" if row in HELD else copies
    data = {**worlds[w]["train"], **(worlds[w][copies] if copies else {})}
    return trained(w, arguments, data, lr)


def answers(method, w):
    """Answers to each test set."""
    return {name: method.generate(batch)[:, 0] for name, batch in worlds[w]["test"].items()}  # fmt: skip


def measured(given, w):
    """Accuracies, and shares of changed decisions."""
    right = {name: (a == worlds[w]["test"][name]["completions"][:, 0, 0]).double().mean().item() for name, a in given.items()}  # fmt: skip
    changes = {name: decision_changes(given[kind], given[name]).item() for name, kind in TESTED.items()}  # fmt: skip
    mean = {}
    for group, names in (("seen", SEEN), ("unseen", UNSEEN)):
        for kind in ("picture", "text"):
            of = [name for name, about in names.items() if about == kind]
            mean[f"{kind}, {group}"] = sum(right[name] for name in of) / len(of)
        mean[group] = (mean[f"picture, {group}"] + mean[f"text, {group}"]) / 2
    for kind in ("picture", "text"):
        of = [name for name, about in UNSEEN.items() if about == kind]
        mean[f"changed, {kind}"] = sum(changes[name] for name in of) / len(of)
    mean["changed"] = (mean["changed, picture"] + mean["changed, text"]) / 2
    mean["pictures"] = (right["noise"] + 2 * mean["text, unseen"]) / 3
    return {**right, **mean}


def started(w):
    """The model that all rows of a world start from."""
    first = ModalityInterference.seeded(w, READER, words=1, **OFF)
    return trained_once(first, TensorData(worlds[w]["train"]), steps=8 * steps, batch_size=48, lr=1e-2, schedule="cosine", seed=w, log_every=8 * steps, progress=False, report=lambda line: None).policy.state_dict()  # fmt: skip


starts = {w: started(w) for w in worlds}
SEARCH = {
    "clean data": RATES,
    "noise of the same size": RADII,
    "masked ascent": RADII,
    "augmentation": RATES,
    "augmentation, consistency": AGREE,
    "all three": RADII,
}
chosen = {}
for row, settings in SEARCH.items():
    tries = {v: measured(answers(tuned(row, v, PILOT), PILOT), PILOT)["seen"] for v in settings}  # fmt: skip
    chosen[row] = max(tries, key=lambda v, tries=tries: tries[v])
models, found = {}, {}
for w in range(seeds):
    untouched = ModalityInterference.seeded(w, READER, words=1, **OFF)
    untouched.policy.load_state_dict(starts[w])
    models["before", w] = untouched
    for row in (*SEARCH, *HELD):
        models[row, w] = tuned(row, chosen[HELD.get(row, row)], w)
    for row in ("before", *SEARCH, *HELD):
        found[row, w] = measured(answers(models[row, w], w), w)
ROWS = ["before", *SEARCH, *HELD]
runs = pd.DataFrame([{"method": row, "seed": w, **at} for (row, w), at in found.items()])  # fmt: skip

# %% tags=["hide-input"]
# Code of the tables
parameters = sum(p.numel() for p in models["before", 0].parameters())
tuned_by = {row: "rate" if s == RATES else "radius" if s == RADII else "weight" for row, s in SEARCH.items()}  # fmt: skip
budgets = Budgets(
    "all three",
    {"before": Spent()} | {row: Spent(steps, parameters, (tuned_by[row],), len(s)) for row, s in SEARCH.items()}
    | {row: Spent(steps, parameters, (tuned_by[of],), 2) for row, of in HELD.items()},
)  # fmt: skip
columns = ["picture", "text", "both", "picture, seen", "text, seen", "picture, unseen", "text, unseen"]  # fmt: skip
table_over_seeds(
    runs[["method", "seed", *columns]],
    f"Share of right answers: unchanged questions of three kinds, and under changes that tuning has and has not seen, {seeds} world{'s' * (seeds > 1)}.",
    best=dict.fromkeys(columns, "higher"),
    reference=["before"],
    order=ROWS,
    budgets=budgets,
)
table_over_seeds(
    runs[["method", "seed", "changed, picture", "changed, text"]],
    "Share of decisions that unseen changes change, by what the question is about.",
    best={"changed, picture": "lower", "changed, text": "lower"},
    reference=["before"],
    order=ROWS,
)
table_over_seeds(
    runs[["method", "seed", *TESTED]],
    "Share of right answers under each change by itself.",
    best=dict.fromkeys(TESTED, "higher"),
    reference=["before"],
    order=ROWS,
)
say(
    "Chosen: "
    + ", ".join(f"*{row}* {tuned_by[row]} {chosen[row]:g}" for row in SEARCH)
    + "."
)
mean = runs.groupby("method").mean(numeric_only=True)
record(
    budget=budgets.plain(),
    unseen={r: round(float(mean.loc[r, "unseen"]), 4) for r in ROWS},
)


def values(row, column):
    return runs[runs["method"] == row].sort_values("seed")[column].tolist()


def against(name, ours, theirs, column, what, direction="higher"):
    more, less = ("more", "fewer")
    word = more if direction == "higher" else less
    return claimed(
        f"interference-{name}",
        values(ours, column),
        values(theirs, column),
        direction=direction,
        better=f"{what}: *{ours}* has {word} than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"{what}: *{theirs}* has {word} than *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"{what}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        unit="%",
        called="worlds",
    )


D = "decisions changed by unseen changes"


def by_kind(name, ours, theirs):
    """The same comparison for questions about the picture, and about the text."""
    return [
        against(
            f"{kind}-{name}",
            ours,
            theirs,
            f"{kind}, unseen",
            f"Right answers about the {kind} under unseen changes",
        )
        for kind in ("picture", "text")
    ]


interfered = [
    claimed(
        f"before-{kind}",
        values("before", f"{kind}, unseen"),
        values("before", kind),
        direction="higher",
        better=f"Questions about the {kind}: before tuning, changes raise the share of right answers, from {{theirs}} to {{ours}}.",
        worse=f"Questions about the {kind}: before tuning, changes lower the share of right answers from {{theirs}} to {{ours}}.",
        undecided=f"Questions about the {kind}: before tuning, the share of right answers with changes ({{ours}}) and without ({{theirs}}) cannot be told apart.",
        unit="%",
        called="worlds",
    )
    for kind in ("picture", "text")
]
say(
    "\n".join(
        f"- {line}"
        for line in (
            *interfered,
            *by_kind("clean-before", "clean data", "before"),
            *by_kind("augmentation-clean", "augmentation", "clean data"),
            *by_kind("noise-clean", "noise of the same size", "clean data"),
            *by_kind("pgd-noise", "masked ascent", "noise of the same size"),
            *by_kind("augmentation-pgd", "augmentation", "masked ascent"),
            *by_kind("agree-augmentation", "augmentation, consistency", "augmentation"),
            against("changed-agree-augmentation", "augmentation, consistency", "augmentation", "changed", f"All {D}", "lower"),
            *by_kind("all-augmentation", "all three", "augmentation"),
            *by_kind("all-clean", "all three", "clean data"),
            against("both-all-clean", "all three", "clean data", "both", "Right answers to questions that need both"),
            *(
                against(f"{change}-all-augmentation", "all three", "augmentation", change, f"Right answers under *{change}*")
                for change in UNSEEN
            ),
            *(
                against(f"{change}-agree-augmentation", "augmentation, consistency", "augmentation", change, f"Right answers under *{change}*")
                for change in ("fact", "friend", "guess")
            ),
            against("true-hint-augmentation-clean", "augmentation", "clean data", "true hint", "Right answers with a *true hint*"),
            against("held-augmentation-before", "hints alone: augmentation", "before", "pictures", "Right answers about the text under all changes of pictures, none of which was seen"),
            against("held-all-augmentation", "hints alone: all three", "hints alone: augmentation", "pictures", "Right answers about the text under all changes of pictures, none of which was seen"),
            against("seen-all-augmentation", "all three", "augmentation", "seen", "Right answers under the changes of tuning"),
        )
    )
)  # fmt: skip

# %% tags=["hide-input"]
# Code of the figure
BOTH_SEEN = ["before", *SEARCH]
long = runs.melt(["method", "seed"], ["seen", "unseen"], "changes", "share right")
long = long[long["method"].isin(BOTH_SEEN)]
show(
    bars(long, "share right", order=BOTH_SEEN, panel="changes"),
    alt="Share of right answers under changes. "
    + " ".join(
        f"{part.capitalize()}: "
        + ", ".join(f"{row} {mean.loc[row, part]:.2f}" for row in BOTH_SEEN)
        + "."
        for part in ("seen", "unseen")
    ),
    caption=f"Changes that *augmentation* and what builds on it were tuned with, and changes that none was; a point is a world. Highest mean under unseen changes, picture and text taken together: *{mean.loc[BOTH_SEEN, 'unseen'].idxmax()}*; which rows can be told apart, the sentences above say. The rows tuned with hints alone are in the tables.",
)

# %% [markdown]
# ## What does the model look at?
#
# {py:func}`~mmlab.compare.ablation.ablate` asks a model about the same items with the right input, with blank and noisy ones, and with another item's, for every part of the input. A blank picture is the mean of all, a blank text is empty; the noise of a text is its own words in random order. Here the parts are the picture, the question and the hint, of questions about the picture with a wrong hint before them. The hint has the wording of the copies, so to the rows that were tuned with these it is a seen change. If the hint is ignored, a blank one should change nothing; the picture should not be ignored.

# %%
HINT = "hint : {} ."


def parts_of(w):
    items = worlds[w]["items"]["picture"]
    return {
        "picture": torch.stack([item["picture"] for item in items]),
        "question": [item["asked"] for item in items],
        "hint": [HINT.format(item["wrong"]) for item in items],
        "answer": [item["answer"] for item in items],
    }


def answering(method):
    def answer(batch):
        texts = [f"{h} {q}".split() for h, q in zip(batch["hint"], batch["question"], strict=True)]  # fmt: skip
        items = [{"asked": " ".join(t), "picture": p, "answer": "end", "kind": "picture"} for t, p in zip(texts, batch["picture"], strict=True)]  # fmt: skip
        return [WORDS[i] for i in method.generate(batch_of(items))[:, 0].tolist()]

    return answer


def looked_at(row, found_by):
    """What a blank hint, and another item's picture, do to a model, over the items."""
    right = found_by.right
    return [
        claimed(
            f"looks-{row.replace(' ', '-')}-{part}",
            right["as given"],
            right[condition],
            direction="higher",
            over="items",
            unit="%",
            better=f"*{row}*: {what} lowers the share of right answers from {{ours}} to {{theirs}}.",
            worse=f"*{row}*: {what} raises the share of right answers from {{ours}} to {{theirs}}.",
            undecided=f"*{row}*: the share of right answers as given ({{ours}}) and with {what} ({{theirs}}) cannot be told apart.",
        )
        for part, condition, what in (
            ("hint", "hint: blank", "a blank hint"),
            ("picture", "picture: another item's", "the picture of another item"),
        )
    ]


shown, looks = {}, []
for row in ("before", "clean data", "augmentation", "all three"):
    found_by = ablate(answering(models[row, 0]), parts_of(0), modalities=["picture", "question", "hint"], truth="answer")  # fmt: skip
    frame = found_by.frame()
    shown[row] = frame["right"]
    looks.append(looked_at(row, found_by))
table(
    pd.DataFrame(shown).drop(index=["most frequent answer"]),
    "Share of right answers of one world's models, by what they are given. The items have a wrong hint.",
    digits=2,
)
say("\n".join(f"- {line}" for lines in looks for line in lines))


# %% [markdown]
# A model that follows hints can be right more often with the hint *blank* than as given, since ours are wrong. And since they *always* are, a model could also gain by them: it need only avoid the word that a hint names. That would show as fewer right answers under the *true hint* than without it (*picture*), in the tables above, and here as fewer with a blank hint than as given. The sentence on the *true hint* above holds two rows against each other, and does not ask this.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} One step of the ascent (code)
# :label: interference-step
#
# Write one step of (2) for `delta` (B, T, D), the gradient `g` of the same shape, the mask `m` (B, T), `a` and `eps`.
# ```

# %% tags=["stub:step"]
from mmlab.exercises.modality_interference import check_step


def ascent_step(delta, g, m, a, eps):
    return ...


check_step(ascent_step)

# %% [markdown]
# ```{solution-start} interference-step
# :class: dropdown
# ```


# %% tags=["solution:step"]
def ascent_step(delta, g, m, a, eps):
    return (delta + a * g).clamp(-eps, eps) * m[..., None]


check_step(ascent_step)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How far decisions can change (derive)
# :label: interference-bounds
#
# The hard one. A model has the accuracy $a$ before a change and $b$ after it, and there are three answers or more. Derive the least and the largest share of decisions that can have changed. Then the largest one if there are only two answers.
# ```

# %% tags=["stub:bounds"]
from mmlab.exercises.modality_interference import check_bounds


def bounds(a, b):
    return ...  # least, largest, largest with two answers


check_bounds(bounds)

# %% [markdown]
# ```{solution-start} interference-bounds
# :class: dropdown
# ```
#
# An item that is right on one side only has changed, and there are at least $|a - b|$ of these: $R \ge |a - b|$, with equality if the change only spoils right answers or only mends wrong ones, and whoever is wrong on both sides gives the same wrong answer twice. An item that is right on both sides has not changed, and there are at least $a + b - 1$ of these; all others may have, if two wrong answers can differ. So $R \le \min(1,\, 2 - a - b)$. With two answers, those that are wrong on both sides are the same as well. Let $s$ be the share that is right on both sides: $R = a + b - 2s$, and $s \ge \max(0, a + b - 1)$, so $R \le \min(a + b,\, 2 - a - b)$.


# %% tags=["solution:bounds"]
def bounds(a, b):
    return abs(a - b), min(1, 2 - a - b), min(a + b, 2 - a - b)


check_bounds(bounds)

# %% [markdown]
# An accuracy that stays the same can hide any number of changed decisions up to that bound.
#
# ```{solution-end}
# ```
#
# ```{exercise} The ascent of a linear model (compute)
# :label: interference-linear
#
# The logit of the right one of two answers is $w \cdot E$ with $w = (3, -1, 0.5)$, that of the other is 0, and $E = (1, 1, 0)$. Only the second and third entries may move, by at most 0.2. (a) What is the largest cross-entropy that a shift can reach? (b) And if all three may move?
# ```

# %% tags=["stub:linear"]
from mmlab.exercises.modality_interference import check_linear

masked = ...
free = ...

check_linear((masked, free))

# %% [markdown]
# ```{solution-start} interference-linear
# :class: dropdown
# ```

# %% tags=["solution:linear"]
logit = 3 - 1
masked = float(torch.log1p(torch.exp(torch.tensor(-(logit - 0.2 * (1 + 0.5))))))
free = float(torch.log1p(torch.exp(torch.tensor(-(logit - 0.2 * (3 + 1 + 0.5))))))

check_linear((masked, free))

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Adversarial training is ahead of training on clean data. Which row is missing?
# Random noise of the same size, at the same places, with the same steps. Without it nothing says that the direction mattered. If the ascent ends in corners of its box, random corners are of the same length, too; uniform noise is shorter.
# ```
#
# ```{dropdown} Why test on changes of another wording?
# A model tuned with one sentence may have learnt to skip that sentence. What one wants is that it ignores whatever the question is not about.
# ```
#
# ## In five lines
#
# - Interference is a change of the answer when only the irrelevant modality changes; (1) measures it without labels.
# - Report it for each modality by itself, with accuracy beside it, and on changes that tuning has not seen.
# - The ascent moves the places of one modality within a box; with no step it is noise, and noise is its control.
# - Take remedies apart: each beside the row that has all but it, at the same rate.
# - An ablation says what a model ignores; after tuning it should be the distractor, and not the picture.
#
# ## Limits, and what to read next
#
# - A small recurrent model and a drawn world. Before tuning the model has never met a distractor; how large interference is in one that has met some, by chance, in its training is not asked here.
# - All distractors that tuning sees are wrong, so it cannot reward a model that trusts some of them. The *true hint* is a test only; hints as often right as wrong in tuning would be another.
# - A family here is a kind of change: words before or after the question, or what stands in the picture. Only that of pictures was held out whole, with settings that were chosen by rows that see it.
# - For a question about the picture the mask covers all its words, also those that say what is asked. At the published $\varepsilon$ that hardly matters; a shift of the size of our words' vectors may hide whether colour or place is meant. A mask on the distractor alone, in the changed copy, was not tried.
# - The picture comes last in our prompts; where it stands may decide which modality interferes.
# - *All three* is held against *augmentation*, so it says what the ascent and the consistency do together, with $\lambda = 1$; *augmentation, consistency* may have chosen another $\lambda$. Copies with the ascent and without the consistency were not tuned.
# - *Clean data* chose its rate by changes that it is not tuned with, in one world. It was not run in the other worlds at the rate of *augmentation*, if that is another, so what its own rate does to questions without a change cannot be told from what the copies do.
# - Noise that is uniform in a box is shorter than a shift in its corners. Random corners, which would be as long, were not tried.
# - Two settings a row are few: each choice lies at an end of what was tried, and where it is the larger of two radii, larger ones are not known. The rates of the rows with noise or consistency are those of the rows that lack these terms. In a run in which they were not, verdicts turned with the rate. After a run with fewer worlds some were added, for most verdicts were undecided, and after a run with six one was left out again, with which the further world of the settings moved, too. This run's verdicts are on all of its own worlds. A first full run, with three settings and longer tuning, had the picture and the text taken together in each sentence; they were taken apart after it, for the two sides need not agree. Settings were chosen by the changes of tuning, which suits the rows that are tuned with them.
# - Equal steps are not equal work: rows with copies read each question twice, and each step of the ascent costs a pass and a gradient.
# - Intervals are over worlds, each with one model and 150 questions a kind. There are some thirty of them, each at its own level: one or two would leave out zero by chance alone, so a verdict whose interval ends near zero is weak.
#
# {cite:t}`cai2025interference` have the photographs and the large models, {cite:t}`madry2018towards` the ascent.

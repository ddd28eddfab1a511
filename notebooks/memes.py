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
# # Why is this picture funny?
#
# **Can a small model that sees and writes be taught what a meme means, and how would we know?**
#
# A vision-language model that was trained on captions says what is *in* a picture: two people, one of them crying. A
# meme wants something else. The people stand for somebody, the words on the picture turn the scene around, and neither
# says the point by itself. To teach this, one collects memes with explanations, puts a small adapter on the model,
# trains it, and shows that it now sounds right.
#
# Sounding right is the trap. This chapter does the same on a small scale, in a world where every right answer is known.
# Then it asks what such reports leave out: what the model looked at, what it forgot, and what a fixed sentence would
# have scored.
#
# **After this chapter you can**
#
# - put LoRA on a model, and choose its settings without the test items;
# - measure what a model looked at, and what it forgot;
# - say what an automatic score is worth beside a sentence that never changes;
# - tell an interval over items from a spread over runs.
#
# You need [the chapter on TinyLLaVA](tinyllava.ipynb), and matrices. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
examples: int = 1000
rank: int = 8
steps: int = 150
tested: int | None = None  # memes of the test part that are asked about

# %% tags=["hide-input"]
import copy
import functools
import json
import tempfile
from pathlib import Path

import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

import mmlab
from mmlab import fit
from mmlab.arena.competition import Answer, Competition, Item, Scale
from mmlab.bases.tiny_llava import tiny_base
from mmlab.compare.bootstrap import bootstrap_metric, paired_bootstrap
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.power import plan
from mmlab.data.conversations import (
    Conversations,
    prompts,
    read_answers,
    tokenizer_of,
)
from mmlab.data.worlds.mini_memes import LAYOUTS, TOPICS, draw
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.metrics.text import (
    bert_score,
    bleu,
    cider,
    constant_row,
    distinct_n,
    exact_match,
    inverse_frequencies,
    length_ratio,
    metaphor_recall,
    rouge_l,
)
from mmlab.store.adapters import load_adapter, save_adapter
from mmlab.train.tuning import adapter_off, add_lora, require_gradients, trainable
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, use_theme

use_theme()
tested = tested or {"cpu": 120, "gpu": 400}[profile]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## A world of small memes
#
# Memes belong to others, and nobody can say which explanation of a meme is right. MemeCap {cite}`hwang2023memecap`, the
# best known collection with explanations, states no licence. So the chapter draws its own
# ({py:mod}`~mmlab.data.worlds.mini_memes`), with the fields that MemeCap has: a title, a literal caption, a caption that says
# what is meant, and the metaphors behind it.
#
# Two figures are drawn. A shape stands for a role, a colour for a mood, and the layout for how the first treats the
# second. The line of text says what it is about, and praises it or complains. In a bad mood praise is irony, and in a good one
# a complaint is a joke; so each layout has four verbs, listed below. Who does it to whom is in the picture, the topic is in the text, and **the
# verb is in neither**: it needs both. The test memes show pairs of figures that training never shows.

# %%
base, world = tiny_base()
tokenizer = tokenizer_of(world.sentences())
size = world.pictures["test"].shape[-1]
literal, meaning, general = (
    kind("test")[:tested] for kind in (world.literal, world.meaning, world.general)
)

# %% tags=["hide-input"]
columns = [
    "praise, good mood",
    "praise, bad mood",
    "complaint, good mood",
    "complaint, bad mood",
]
table(
    pd.DataFrame(LAYOUTS, index=columns).T.rename_axis("layout"),
    "What the first figure does to the second: the verb by layout, line of text, and mood of the first figure.",
)
figure = Figure(figsize=(5.6, 5.6), layout="constrained")
for axes, number in zip(figure.subplots(2, 2).flat, (0, 1, 2, 3), strict=True):
    meme = world.memes["test"][number]
    axes.imshow(world.pictures["test"][number].permute(1, 2, 0) / 2 + 0.5)
    axes.set(title=f"“{meme.title}”", xticks=[], yticks=[])
    words = meme.meaning.split()
    broken = " ".join(words[:3]) + "\n" + " ".join(words[3:])
    axes.set_xlabel(broken)
seen = world.memes["test"][:4]
show(
    figure,
    alt="Four drawn memes of two figures each. "
    + " ".join(f"{m.caption}, with the text {m.title}: {m.meaning}." for m in seen),
    caption=(
        "Four test memes: the line of text above, the drawing, and below it what the meme means. The first one's literal "
        f"caption is *{seen[0].caption}*."
    ),
)
say(
    f"There are {len(world.memes['train'])} memes to train on and {tested} to test with. A model that is not shown the "
    f"picture can give the right meaning of {world.ceilings['text']:.1%} at most, one that is not shown the text "
    f"{world.ceilings['picture']:.1%}. Those are the ceilings of the blind, and they are known before anything is trained."
)

# %% [markdown]
# ## What the base can do
#
# The base ({py:func}`~mmlab.bases.tiny_llava.tiny_base`) is a very small {py:class}`~mmlab.methods.tinyllava.TinyLLaVA`. It has learnt two things: to say what is drawn,
# and to say words after somebody, which needs no picture. It has never seen a meaning. It has met all their words,
# as a real language model has, but in random order.


# %%
def ask(model: TinyLLaVA, items):
    """The model's answers to the items' questions, as text; the most likely word each time."""
    asked = [(picture, turns) for picture, turns, _ in items]
    batch = prompts(asked, tokenizer, size=size)
    return read_answers(
        model.generate(batch, max_new_tokens=12, do_sample=False), tokenizer
    )


def references(items):
    """The right answer to each item, as a list with one text."""
    return [[turns[-1].answer] for _, turns, _ in items]


def exact(model, items):
    return exact_match(ask(model, items), references(items)).mean().item()


def skills(model, meant):
    """Exact answers to the three kinds of questions; those about meanings are given."""
    return {
        "literal": exact(model, literal),
        "meaning": exact_match(meant, right).mean().item(),
        "say after": exact(model, general),
    }


right = references(meaning)
described = ask(base, meaning)
before = skills(base, described)
told = described[0]
say(
    f"On new pairs of figures the base says exactly what is drawn in **{before['literal']:.0%}** of the memes, and says words "
    f"after us in {before['say after']:.0%}. Asked what a meme means it is right in **{before['meaning']:.0%}**: to the first one "
    f"it answers *{told}*. It describes."
)

# %% [markdown]
# ## LoRA: a change of low rank
#
# A linear layer with $I$ inputs and $O$ outputs holds $O I$ weights $W$. Tuning moves all of them, and the optimiser
# keeps two more numbers for each. LoRA {cite}`hu2022lora` leaves $W$ alone and learns the *change*, as a product of two
# thin matrices:
#
# $$h = W x + \frac{\alpha}{r}\, B A x, \qquad A \in \mathbb R^{r \times I},\quad B \in \mathbb R^{O \times r}. \tag{1}$$
#
# That is $r (I + O)$ numbers in place of $O I$. The change has rank $r$ at most: whatever the layer learns, it learns in
# $r$ directions. $A$ starts at random and $B$ at zero, so that before the first step the model is the old one, exactly.
# The factor $\alpha/r$ keeps the size of a step comparable when $r$ is turned.

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0.5, "input x,\nI values"),
    "W": Box(1.5, 0, "W\nO × I", "frozen"),
    "A": Box(1, 1, "A\nr × I", "changed"),
    "B": Box(2, 1, "B, times α/r\nO × r", "changed"),
    "h": Box(3, 0.5, "output h,\nO values"),
}
arrows = [
    Arrow("x", "W"),
    Arrow("W", "h"),
    Arrow("x", "A"),
    Arrow("A", "B", "r"),
    Arrow("B", "h"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing of a layer with LoRA. The input goes through the frozen matrix W, and beside it through A and B, which are trained; the two "
        "results are added, the second with the factor alpha over r."
    ),
    caption="Equation (1). **Grey** is frozen. **Orange** is what LoRA adds, and all that is trained in the layer; both ways are added up.",
)

# %% [markdown]
# With $g = \partial L / \partial h$, the chain rule gives the gradients of a single input:
#
# $$\frac{\partial L}{\partial B} = \frac{\alpha}{r}\, g\, (A x)^\top, \qquad \frac{\partial L}{\partial A} = \frac{\alpha}{r}\, B^\top g\, x^\top. \tag{2}$$
#
# While $B = 0$ the second one is zero. So $B$ moves first and $A$ follows; after one backward pass half of the adapter's
# gradients are zero, which is no fault.
#
# Afterwards the product can be added into the weights, with any strength $\lambda$:
#
# $$W_\lambda = W + \lambda\, \frac{\alpha}{r}\, B A. \tag{3}$$
#
# At $\lambda = 1$ the merged model computes what the tuned one did and is as fast as the old one. At $\lambda = 0$ it *is*
# the old one. We will turn $\lambda$ below.
#
# {py:func}`~mmlab.train.tuning.add_lora` puts such a pair on each linear layer of the language model, but for its head, and lets
# the connector be trained beside them. The vision tower stays as it is.


# %%
def tune(items, seed=0, steps=steps, start=base, rate=1e-2):
    """A copy of the base with an adapter that was trained on the items, as peft's model; the base is left alone."""
    model = copy.deepcopy(start)
    adapted = add_lora(model, rank, seed=seed)
    data = Conversations(items, tokenizer, size=size)
    require_gradients(model, data.batch(range(2)), generator())
    fit(
        model,
        data,
        steps=steps,
        batch_size=16,
        lr=rate,
        betas=(0.9, 0.95),
        warmup=10,
        schedule="cosine",
        seed=seed,
        progress=False,
    )
    return adapted


def some(items, count, seed):
    """Which memes somebody happened to collect: another choice with each seed."""
    order = torch.randperm(len(items), generator=generator(seed))
    return [items[i] for i in order[:count].tolist()]


drawn = list(zip(world.memes["train"], world.meaning("train"), strict=True))
figures = sorted({(meme.first, meme.second) for meme, _ in drawn})
spare_pairs = set(some(figures, len(figures) // 6, seed=99))
memes = [
    item for meme, item in drawn if (meme.first, meme.second) not in spare_pairs
]
spare = [item for meme, item in drawn if (meme.first, meme.second) in spare_pairs][
    :tested
]
old_tasks = world.literal("train") + world.general("train")

# %% [markdown]
# ### Choosing the learning rate
#
# One setting is searched, the learning rate, and not on test memes: a sixth of the *training* pairs of figures is set
# aside for it, and nothing is trained on them. Each rate gets a third of the steps of the trainings that follow; since so few
# steps leave hardly any answer exact, the rates are compared by the loss on the right answers.

# %%
RATES = (3e-3, 1e-2, 2e-2)
aside = Conversations(spare, tokenizer, size=size).batch(range(len(spare)))


def loss_aside(rate):
    """Loss on the spare pairs after a third of the steps, with a choice of memes that no run below has."""
    short = tune(some(memes, examples, 50), 50, max(1, steps // 3), rate=rate)
    with torch.no_grad():
        return short.get_base_model().loss(aside, generator())["loss"].item()


tried = {rate: loss_aside(rate) for rate in RATES}
rate = min(tried, key=tried.get)
tune = functools.partial(tune, rate=rate)
say(
    "Loss on the spare pairs, in nats per token, by learning rate: "
    + ", ".join(f"{r:g}: {loss:.2f}" for r, loss in tried.items())
    + f". All that follows is trained with {rate:g}."
)
tuned = [tune(some(memes, examples, seed), seed) for seed in range(seeds)]
meant = [ask(one.get_base_model(), meaning) for one in tuned]

# %% tags=["hide-input"]
model = tuned[0].get_base_model()
fresh = copy.deepcopy(base)
count = sum(parameter.numel() for parameter in base.parameters())
add_lora(fresh, rank, train_connector=False)
after = [
    skills(one.get_base_model(), texts)
    for one, texts in zip(tuned, meant, strict=True)
]
answers = meant[0]
runs = ", ".join(f"{one['meaning']:.0%}" for one in after)
say(
    f"The base has {count:,} values. LoRA of rank {rank} adds {trainable(fresh):,}, and the connector's copy has "
    f"{trainable(model) - trainable(fresh):,}. After {steps} steps on {examples} memes, the meaning is right, word for word, in "
    f"**{runs}** of the test memes, in {seeds} runs that differ in the memes, the adapter's start and "
    f"the order; before it was {before['meaning']:.0%}."
)
table(
    pd.DataFrame(
        {
            "means": [m.meaning for m in world.memes["test"][: len(meaning[:5])]],
            "base": described[:5],
            "tuned": answers[:5],
        },
        index=[m.title for m in world.memes["test"][: len(meaning[:5])]],
    ).rename_axis("text"),
    "What base and tuned model say to five test memes (first run).",
)

# %% [markdown]
# Many reports end here, with before and after side by side. Three questions are open.
#
# ## What did it look at?
#
# A right answer needs picture and text. So take them away, one at a time, or put another meme's in their place. And take the
# answer apart: are both *figures* right, is the *verb*, is the *topic*? The first come from the picture, the last from the
# text, and the verb is the joke.


# %%
def parts(texts):
    """How often the whole, the two figures, the verb and the topic are right."""
    found = [text.split() for text in texts]
    wanted = [meme.meaning.split() for meme in world.memes["test"][: len(texts)]]
    where = {
        "exact": range(7),
        "figures": (0, 1, 3, 4),
        "verb": (2,),
        "topic": (6,),
    }
    return {
        name: sum(
            len(f) == len(w) and all(f[i] == w[i] for i in at)
            for f, w in zip(found, wanted, strict=True)
        )
        / len(texts)
        for name, at in where.items()
    }


def exchanged(items, what):
    """The picture, or the question with its text, of the next meme."""
    following = items[1:] + items[:1]
    pick = (
        (lambda a, b: (b[0], *a[1:]))
        if what == "picture"
        else (lambda a, b: (a[0], *b[1:]))
    )
    return [pick(a, b) for a, b in zip(items, following, strict=True)]


shown = {
    "as it is": meaning,
    "picture hidden": world.meaning("test", hide="picture")[:tested],
    "another meme's picture": exchanged(meaning, "picture"),
    "text hidden": world.meaning("test", hide="text")[:tested],
    "another meme's text": exchanged(meaning, "text"),
}
pool = [turns[-1].answer for _, turns, _ in memes]


def mean_rouge(texts, truths):
    return rouge_l(texts, truths).mean().item()


sentence, _ = constant_row(right, mean_rouge, pool, tried=20)
replies = {
    (name, seed): meant[seed]
    if items is meaning
    else ask(tuned[seed].get_base_model(), items)
    for name, items in shown.items()
    for seed in range(seeds)
}
looks = {place: parts(texts) for place, texts in replies.items()}
swapped_answers = replies["another meme's picture", 0]
looks = pd.DataFrame(looks).T.rename_axis(["shown", "seed"])
looked = looks.groupby("shown", sort=False).mean()
wide = looks.groupby("shown", sort=False).std(ddof=min(1, seeds - 1))
layouts, pairs, topics = len(LAYOUTS), len(world.held_out), len(TOPICS)
by_what_is_seen = {  # layout and mood are in the picture, praise or complaint and the topic in the text
    "neither (chance)": (1 / pairs, 1 / (4 * layouts), 1 / topics),
    "text": (1 / pairs, 1 / (2 * layouts), 1.0),
    "picture": (1.0, 1 / 2, 1 / topics),
    "both": (1.0, 1.0, 1.0),
}
bounds = {"one fixed sentence": parts([sentence] * tested)}
for what, (figures, verb, topic) in by_what_is_seen.items():
    bounds[f"limit, seeing {what}"] = {
        "exact": world.ceilings[what.split()[0]],
        "figures": figures,
        "verb": verb,
        "topic": topic,
    }
bounds = pd.DataFrame(bounds).T[list(looked)]
table(
    pd.concat([looked, bounds]),
    f"Share of {tested} test memes that are right; tuned models, mean ± standard deviation over {seeds} runs. The limits are "
    "those of the world, for somebody who knows its rules.",
    spread=pd.concat([wide, bounds * float("nan")]),
    reference=list(bounds.index),
    digits=2,
)

# %% tags=["hide-input"]
other_picture = looked.loc["another meme's picture"]
other_text = looked.loc["another meme's text"]
seen = {name: looks.loc[name]["exact"].tolist() for name in shown}
claim(
    "right-picture-against-another",
    seen["as it is"],
    seen["another meme's picture"],
    direction="higher",
    unit="%",
    better="- **It looks:** with another meme's picture {theirs} are exact, fewer than the {ours} with the right one.",
    worse="- **It does not look:** with another meme's picture {theirs} are exact, more than the {ours} with the right one.",
    undecided="- **Does it look?** With another meme's picture {theirs} are exact, with the right one {ours}: not decided.",
)
claim(
    "right-text-against-another",
    seen["as it is"],
    seen["another meme's text"],
    direction="higher",
    unit="%",
    better="- **It reads:** with another meme's text {theirs} are exact, fewer than the {ours} with the right one.",
    worse="- **It does not read:** with another meme's text {theirs} are exact, more than the {ours} with the right one.",
    undecided="- **Does it read?** With another meme's text {theirs} are exact, with the right one {ours}: not decided.",
)
claim(
    "verb-against-the-picture-alone",
    looks.loc["as it is"]["verb"].tolist(),
    by_what_is_seen["picture"][1],
    direction="higher",
    unit="%",
    better="- **The joke:** the verb is right in {ours}; who sees all of the picture and none of the text has {theirs} at most, which is less.",
    worse="- **The joke:** the verb is right in {ours}; who sees all of the picture and none of the text may have {theirs}, which is more.",
    undecided="- **The joke:** the verb is right in {ours}; who sees all of the picture and none of the text may have {theirs}, which cannot be told from it.",
)
say(
    f"With another meme's picture the topic, which is read, is right in {other_picture['topic']:.0%} and the figures in "
    f"{other_picture['figures']:.0%}; with another meme's text it is {other_text['topic']:.0%} and {other_text['figures']:.0%}. "
    "Hide *and* exchange: what is missing is a question of a form that the model never met, and may confuse where it should only leave open."
)

# %% [markdown]
# ## What did it forget?
#
# The training asked for meanings only. What has become of the old skills?
#
# A model that learns something new overwrites what it knew, unless the old is rehearsed; that is known as catastrophic forgetting
# {cite}`robins1995rehearsal`. LoRA is said to learn less and forget less {cite}`biderman2024lora`. Two repairs are cheap:
#
# - **Mix.** Put items of the old tasks into the training set, here a third as many as there are memes. The steps are as many as
#   before, so a quarter of what is seen is old.
# - **Switch off.** The base is still there, to the bit. Whoever knows which task is asked can switch the adapter on for memes alone.

# %%
mixed = [
    tune(some(memes, examples, seed) + some(old_tasks, examples // 3, seed), seed)
    for seed in range(seeds)
]
meant_mixed = [ask(one.get_base_model(), meaning) for one in mixed]
held = [
    skills(one.get_base_model(), texts)
    for one, texts in zip(mixed, meant_mixed, strict=True)
]
for one in tuned:
    with adapter_off(one) as plain:  # the same answers as the base
        assert ask(plain, meaning[:20]) == described[:20]
off = [before] * seeds

# %% tags=["hide-input"]
rows = {
    "base": [before],
    "tuned on memes": after,
    "tuned on memes, adapter off": off,
    "tuned on memes and old tasks": held,
}
search = {"tuned": ("lr",), "tries": len(RATES)}
budgets = Budgets(
    "tuned on memes and old tasks",
    dict.fromkeys(list(rows)[1:3], Spent(steps, trainable(model), **search))
    | {"tuned on memes and old tasks": Spent(steps, trainable(model))},
)
table(
    pd.DataFrame({k: pd.DataFrame(v).mean() for k, v in rows.items()}).T,
    f"Exact answers, mean ± standard deviation over {seeds} runs, each of {steps} steps. The learning rate is the one that was chosen for memes alone.",
    spread=pd.DataFrame(
        {k: pd.DataFrame(v).std(ddof=min(1, len(v) - 1)) for k, v in rows.items()}
    ).T,
    best=dict.fromkeys(before, "higher"),
    digits=2,
    paired=pd.DataFrame(
        {(k, seed): one for k, v in rows.items() for seed, one in enumerate(v)}
    ).T,
    budgets=budgets,
)
forgot = ask(model, literal[:1])[0]
say(
    f"Asked what is drawn, the tuned model now answers *{forgot}*, where *{literal[0][1][-1].answer}* is right."
)


def of(runs, what):
    return [one[what] for one in runs]


claim(
    "tuned-forgets-the-old-task",
    of(after, "literal"),
    before["literal"],
    direction="higher",
    unit="%",
    better="- Tuned on memes alone, it says what is drawn in {ours}, more often than the base ({theirs}).",
    worse="- Tuned on memes alone, it says what is drawn in {ours}; the base did in {theirs}. The old skill has suffered.",
    undecided="- Tuned on memes alone, it says what is drawn in {ours}, the base in {theirs}: not decided.",
)
claim(
    "mixing-keeps-the-old-task",
    of(held, "literal"),
    of(after, "literal"),
    direction="higher",
    unit="%",
    better="- With old tasks mixed in it is {ours}, more than the {theirs} without them.",
    worse="- With old tasks mixed in it is {ours}, less than the {theirs} without them.",
    undecided="- With old tasks mixed in it is {ours}, without them {theirs}: not decided.",
)
claim(
    "mixing-and-the-meaning",
    of(held, "meaning"),
    of(after, "meaning"),
    direction="higher",
    unit="%",
    better="- In as many steps mixing brings meanings as well, though it shows fewer memes: {ours} against {theirs}.",
    worse="- In as many steps mixing, which shows fewer memes, takes some meanings: {ours} against {theirs}.",
    undecided="- In as many steps what mixing, which shows fewer memes, does to the meanings ({ours} against {theirs}) is not decided.",
)
record(
    meaning={
        "base": before["meaning"],
        "tuned": [one["meaning"] for one in after],
        "mixed": [one["meaning"] for one in held],
    },
    literal={
        "base": before["literal"],
        "tuned": [one["literal"] for one in after],
        "mixed": [one["literal"] for one in held],
    },
    parts={name: looked.loc[name].to_dict() for name in looked.index},
    budget=budgets.plain(),
)

# %% [markdown]
# Between off and on there is (3). Below, λ turns the change up; for the connector, too, which is moved from its old weights
# to its new ones in proportion. Merging is plain peft's `merge_and_unload`; λ is one line more.


# %%
def merged(adapted, strength):
    """The base with a part of the change added in, Eq. (3): a plain model without any adapter."""
    full = copy.deepcopy(adapted).merge_and_unload().state_dict()
    plain = copy.deepcopy(base)
    plain.load_state_dict(
        {k: w + strength * (full[k] - w) for k, w in base.state_dict().items()}
    )
    return plain


assert ask(merged(tuned[0], 1.0), meaning[:20]) == answers[:20]
kinds = {"memes only": tuned[0], "memes and old tasks": mixed[0]}
turned = {}
for kind, adapted in kinds.items():
    for strength in (0.0, 0.25, 0.5, 1.0):
        at = merged(adapted, strength)
        turned[strength, kind] = (
            {name: exact(at, items[:60]) for name, items in
             {"literal": literal, "meaning": meaning, "say after": general}.items()},
            ask(at, literal[:1])[0],
            ask(at, meaning[:1])[0],
        )  # fmt: skip


# %% tags=["hide-input"]
def draw_strength(strength, kind):
    scores, described, meant = turned[strength, kind]
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    left, axes = figure.subplots(1, 2, width_ratios=[1, 2.0])
    left.imshow(world.pictures["test"][0].permute(1, 2, 0) / 2 + 0.5)
    left.set(xticks=[], yticks=[], title=f"“{world.memes['test'][0].title}”")
    sns.barplot(
        x=list(scores.values()),
        y=list(scores),
        hue=list(scores),
        palette=list(COLOURS[:3]),
        ax=axes,
    )
    axes.set(
        xlim=(0, 1), xlabel="exact, share of 60", title=f"λ = {strength}, {kind}"
    )
    figure.suptitle(
        f"what is drawn?  {described}\nwhat does it mean?  {meant}", fontsize=10.5
    )
    return figure


def describe_strength(strength, kind):
    scores, described, meant = turned[strength, kind]
    return (
        f"Trained on {kind}, change at strength {strength}: "
        + ", ".join(f"{name} {value:.0%}" for name, value in scores.items())
        + f". To one meme it says, asked what is drawn: {described}; asked what it means: {meant}."
    )


early = turned[0.25, "memes only"][0]
frames(
    {"λ": [0.0, 0.25, 0.5, 1.0], "trained on": list(kinds)},
    draw_strength,
    describe_strength,
    caption=(
        "Turn the adapter up from nothing, and read what becomes of the two answers to the first test meme. Trained on memes only, at "
        f"λ = 0.25 the literal answers are at {early['literal']:.0%} and the meanings at {early['meaning']:.0%}; trained on both, at full strength the literal ones are at "
        f"{turned[1.0, 'memes and old tasks'][0]['literal']:.0%}."
    ),
    start={"λ": 1.0, "trained on": "memes only"},
)

# %% [markdown]
# ## How much does it take?
#
# Rank and number of memes were given above. What if they were others? And what if one trained *everything*, as people did
# before LoRA, or only the connector? That is some forty-five trainings, too many for a page that is built anew all the time. So the figure
# is read from the file that a benchmark wrote ({doc}`../book/measured` has the table). There the seed changes the base, too.

# %% tags=["hide-input"]
written = (
    Path(mmlab.__file__).parents[1] / "benchmarks" / "results" / "meme_tuning.json"
)
if not written.exists():
    say("The results are in the repository, not in the installed package.")
else:
    swept = json.loads(written.read_text(encoding="utf-8"))
    found = {(r["what"], r["examples"]): r["meaning"] for r in swept["rows"]}
    full = max(count for _, count in found)
    by_rank = {
        int(what.split()[3]): runs
        for (what, count), runs in found.items()
        if what.startswith("LoRA") and "," not in what and count == full
    }
    by_count = {
        count: runs
        for (what, count), runs in sorted(found.items(), key=lambda kv: kv[0][1])
        if what == "LoRA of rank 8"
    }
    slow, slow_8, everything, connector = (
        found[name, full]
        for name in (
            f"LoRA of rank {max(by_rank)}, a third of the rate",
            "LoRA of rank 8, a third of the rate",
            "everything",
            "connector alone",
        )
    )
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharey=True)
    for panel, runs in ((upper, by_rank), (lower, by_count)):
        long = pd.DataFrame(
            [(x, value) for x, values in runs.items() for value in values],
            columns=["x", "exact"],
        )
        sns.lineplot(long, x="x", y="exact", errorbar=None, ax=panel)
        sns.scatterplot(long, x="x", y="exact", ax=panel)
        panel.set(xscale="log", xticks=list(runs), xticklabels=list(runs))
        panel.minorticks_off()
    upper.plot(
        [max(by_rank)] * len(slow),
        slow,
        "x",
        color=COLOURS[1],
        label="a third of the rate",
    )
    upper.axhline(
        sum(everything) / len(everything),
        color=COLOURS[6],
        ls="--",
        label="everything trained",
    )
    upper.legend(loc="lower center")
    upper.set(xlabel=f"rank, {full} memes", ylabel="exact, unseen memes")
    lower.set(xlabel="memes to learn from, rank 8", ylabel="exact, unseen memes")

    def range_of(values):
        return f"{min(values):.2f} to {max(values):.2f}"

    show(
        figure,
        alt=(
            f"Share of right meanings, {len(slow)} seeds each. Above, by rank with {full} memes: "
            + ", ".join(f"{rank}: {range_of(v)}" for rank, v in by_rank.items())
            + f". Everything trained: {range_of(everything)}. Below, by number of memes with rank 8: "
            + ", ".join(f"{n}: {range_of(v)}" for n, v in by_count.items())
            + "."
        ),
        caption=(
            f"Dots: {len(slow)} seeds; line: their mean. **Above:** the rank, all trained with one learning rate; the crosses are the largest "
            f"rank with a third of it, which is also the rate at which everything was trained. **Below:** the number of memes. From `python benchmarks/meme_tuning.py`, {swept['steps']} steps."
        ),
    )
    say(
        f"The figure's trainings had {swept['steps']} steps, those of this page {steps}. "
        f"With the connector alone the meanings are right in {range_of(connector)}; training everything reaches {range_of(everything)}."
    )
    claim(
        "a-lower-rate-for-the-largest-rank",
        slow,
        by_rank[max(by_rank)],
        direction="higher",
        better="At a third of the rate the largest rank has more right meanings ({ours}) than at the rate that all share ({theirs}): a comparison of ranks at one rate compares rates.",
        worse="At a third of the rate the largest rank has fewer right meanings ({ours}) than at the rate that all share ({theirs}).",
        undecided="Whether the largest rank suffers from the rate that all share ({theirs}; at a third of it {ours}) is not decided.",
    )
    claim(
        "lora-against-everything",
        by_count[full],
        everything,
        direction="higher",
        better="Each at the rate of the figure, LoRA of rank 8 has more right meanings than training everything, {ours} against {theirs}.",
        worse="Each at the rate of the figure, LoRA of rank 8 has fewer right meanings than training everything, {ours} against {theirs}.",
        undecided="Each at the rate of the figure, LoRA of rank 8 ({ours}) and training everything ({theirs}) cannot be told apart; LoRA is lighter to keep.",
    )
    claim(
        "lora-against-everything-at-one-rate",
        slow_8,
        everything,
        direction="higher",
        better="With both at the lower rate LoRA of rank 8 has more right meanings, {ours} against {theirs}.",
        worse="With both at the lower rate LoRA of rank 8 has fewer right meanings, {ours} against {theirs}. No rate was searched for either.",
        undecided="With both at the lower rate LoRA of rank 8 ({ours}) and training everything ({theirs}) cannot be told apart. No rate was searched for either.",
    )

# %% [markdown]
# ## What do the automatic scores say?
#
# Here exact answers can be counted. Real explanations can be worded in many ways, and people compare texts by overlap instead: BLEU {cite}`papineni2002bleu,post2018sacrebleu`, ROUGE-L
# {cite}`lin2004rouge`, CIDEr {cite}`vedantam2015cider`, BERTScore {cite}`zhang2020bertscore`. Such scores compare wording and not sense. To know what a value is worth, put three dull rows
# beside it:
#
# - *one fixed sentence*, of twenty training meanings the one with the largest score, said of every meme;
# - *another meme's meaning*, right in style, wrong in content;
# - *the tuned model, shown another meme's picture*, which writes well about the wrong figures.
#
# *Metaphor recall* asks less of the wording: which part of the annotated meanings is mentioned at all? And *length ratio* and *distinct-2* (different pairs of words over all pairs) catch what no
# average shows: texts that are too long, or all the same.


# %%
@functools.cache
def read(text):
    """A vector for each word, in its context: the base's own states, in place of BERT's."""
    tokens = tokenizer.convert_tokens_to_ids(text.split())
    with torch.no_grad():
        states = base.language_model.model(torch.tensor([tokens]))
    return states.last_hidden_state[0]  # (T, D)


def embed(tokens):
    return read(" ".join(tokens))


idf = inverse_frequencies([texts[0] for texts in right])
stands_for = [
    [pair["meaning"] for pair in record_of["metaphors"]]
    for _, _, record_of in meaning
]
scores = {
    "exact": lambda texts: exact_match(texts, right).mean().item(),
    "BLEU-4": lambda texts: bleu(texts, right),
    "ROUGE-L": lambda texts: mean_rouge(texts, right),
    "CIDEr": lambda texts: cider(texts, right).mean().item(),
    "BERTScore": lambda texts: (
        sum(
            bert_score(one.split(), best.split(), embed, idf)[2]
            for one, (best,) in zip(texts, right, strict=True)
        )
        / tested
    ),
    "metaphors": lambda texts: (
        metaphor_recall(texts, stands_for, share=1.0).mean().item()
    ),
    "length": lambda texts: length_ratio(texts, right),
    "distinct-2": distinct_n,
}
written = {
    "base, describing": described,
    "tuned": answers,
    "tuned, another picture": swapped_answers,
    "one fixed sentence": [sentence] * tested,
    "another meme's meaning": [right[(i + 1) % tested][0] for i in range(tested)],
    "the meaning itself": [texts[0] for texts in right],
}
judged = pd.DataFrame(
    {
        name: {score: of(texts) for score, of in scores.items()}
        for name, texts in written.items()
    }
).T

# %% tags=["hide-input"]
table(
    judged,
    f"Automatic scores of {tested} test memes, first run. BLEU and ROUGE-L run to 100, CIDEr to 10, the others to 1 (length: 1 is right). BERTScore is over the base's own states.",
    reference=["the meaning itself"],
    digits={"BLEU-4": 1, "ROUGE-L": 1, "CIDEr": 2}
    | dict.fromkeys(["exact", "BERTScore", "metaphors", "length", "distinct-2"], 2),
)
blind, fixed = (
    judged.loc["tuned, another picture"],
    judged.loc["one fixed sentence"],
)
say(
    f"One sentence said {tested} times has {fixed['ROUGE-L'] / judged.loc['tuned', 'ROUGE-L']:.0%} of the tuned model's ROUGE-L, and the "
    f"base, which describes, {judged.loc['base, describing', 'ROUGE-L'] / judged.loc['tuned', 'ROUGE-L']:.0%}. Distinct-2 gives the sentence away ({fixed['distinct-2']:.2f}). With another meme's picture the "
    f"tuned model is right in {blind['exact']:.0%}, and has {blind['ROUGE-L'] / judged.loc['tuned', 'ROUGE-L']:.0%} of its ROUGE-L."
)
claim(
    "rouge-of-the-fixed-sentence",
    rouge_l(written["one fixed sentence"], right),
    rouge_l(written["base, describing"], right),
    direction="higher",
    over="items",
    called="memes",
    better="By ROUGE-L a sentence that never changes is *ahead* of a base that describes the picture, {ours} against {theirs}.",
    worse="By ROUGE-L a sentence that never changes is behind a base that describes the picture, {ours} against {theirs}.",
    undecided="By ROUGE-L a sentence that never changes ({ours}) and a base that describes the picture ({theirs}) cannot be told apart.",
)
record(scores={name: judged.loc[name].to_dict() for name in judged.index})

# %% [markdown]
# ## How sure is a difference?
#
# Two systems answered the same memes. Some memes are easy for both. Draw memes with replacement, take both systems' scores on the *same* draw, and look at the difference: the paired bootstrap
# {cite}`koehn2004significance`. Pairing takes out what makes an item easy or hard for both.

# %%
won = [one["meaning"] for one in after]
best, worst = won.index(max(won)), won.index(min(won))
mixed_answers = meant_mixed[0]
exactly = {
    name: exact_match(texts, right)
    for name, texts in {
        "tuned": answers,
        "mixed": mixed_answers,
        "best": meant[best],
        "worst": meant[worst],
    }.items()
}
compared = {
    "tuned on memes − tuned on both: exact": paired_bootstrap(
        exactly["tuned"], exactly["mixed"]
    ),
    "tuned − fixed sentence: ROUGE-L": paired_bootstrap(
        rouge_l(answers, right), rouge_l(written["one fixed sentence"], right)
    ),
    "tuned − tuned, another picture: BLEU-4": bootstrap_metric(
        answers, written["tuned, another picture"], right, bleu, resamples=1000
    ),
    "best run − worst run, same recipe: exact": paired_bootstrap(
        exactly["best"], exactly["worst"]
    ),
}

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {
            name: {
                "difference": i.difference,
                "from": i.low,
                "to": i.high,
                "first ahead": i.above,
            }
            for name, i in compared.items()
        }
    ).T,
    f"Differences on {tested} memes, with 95 % intervals over memes. The last column is the share of draws in which the first has more.",
    digits=2,
)
recipe = pd.DataFrame(after)["meaning"] - pd.DataFrame(held)["meaning"]
rerun = compared["best run − worst run, same recipe: exact"]
say(
    f"The interval is about other *memes*; it knows nothing of other *runs*. The last row compares the largest with the smallest of {seeds} runs of one and the same recipe: a difference of {rerun.difference:+.2f}, and the interval, "
    f"from {rerun.low:+.2f} to {rerun.high:+.2f}, {'contains zero' if rerun.low <= 0 else 'does not contain zero'}. Nothing but seeds is between them. So comparing *recipes* takes several runs of each as well. "
    f"Over {seeds} runs, tuning on memes alone differs from tuning on both by {recipe.mean():+.2f} ± {recipe.std(ddof=min(1, seeds - 1)):.2f}."
)

# %% [markdown]
# ## Why is this picture funny?
#
# Now any picture: a file, an image of Pillow's, or a tensor. The function answers three times: with everything, without the picture, without the text. If they are alike, nobody looked. (Here the last two are questions of a kind that the model never met, and the answers show it.)


# %%
def why_is_this_funny(picture, text):
    """What the tuned model makes of a picture and a line of text, and of each alone."""
    grey = torch.zeros(3, size, size)
    question = world.meaning("test")[0][1][0].question.split(":")[-1].strip()
    asked = {
        "picture and text": (picture, f"{text} : {question}"),
        "text alone": (grey, f"{text} : {question}"),
        "picture alone": (picture, question),
    }
    told = (
        mixed[0]
        .get_base_model()
        .generate(
            prompts(list(asked.values()), tokenizer, size=size),
            max_new_tokens=12,
            do_sample=False,
        )
    )
    return dict(zip(asked, read_answers(told, tokenizer), strict=True))


def as_image(picture):
    from PIL import Image

    return Image.fromarray(((picture.permute(1, 2, 0) + 1) * 127.5).byte().numpy())


with tempfile.TemporaryDirectory() as folder:
    mine = world.memes["test"][7]
    file = Path(folder) / "mine.png"
    as_image(draw([mine], 256, generator(5))[0]).save(
        file
    )  # a larger picture, in a file
    explained = why_is_this_funny(file, mine.title)
    noise = as_image(torch.rand(3, 256, 256, generator=generator(6)) * 2 - 1)
    of_noise = why_is_this_funny(noise, mine.title)
    save_adapter(mixed[0], Path(folder) / "adapter")  # what one would hand on
    weight = (
        sum(f.stat().st_size for f in (Path(folder) / "adapter").iterdir()) / 1024
    )
    again = load_adapter(copy.deepcopy(base), Path(folder) / "adapter")
assert ask(again.get_base_model(), meaning[:20]) == mixed_answers[:20]

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {f"a new drawing, {mine.title}": explained, "noise, same text": of_noise}
    ).rename_axis("shown"),
    f"Answers to a drawing that was saved as a file of 256 × 256 pixels (it means: {mine.meaning}), and to a picture of nothing.",
)
say(
    f"The picture of noise gets an answer, too, of the same form: *{of_noise['picture and text']}*. Nothing in the training taught the model to say that there is nothing to be seen. "
    f"The adapter that does all this takes {weight:.0f} KiB on disk; loaded onto the base it gives the same answers, and {{py:func}}`~mmlab.store.adapters.load_adapter` refuses it on any other base."
)

# %% [markdown]
# ### Let people judge
#
# Exact answers can be counted here, because the world is a code. Of real explanations only people can say whether they are right and understood. This sets up a blind competition of the untuned and the tuned model on test memes; `mmlab arena serve` shows it to respondents, {doc}`../book/how_to/run_a_competition` tells how, and {doc}`arena` what the votes then say. No votes are invented here.

# %%
MODELS = {"system-1": base, "system-2": tuned[0].get_base_model()}
told = {"system-1": described, "system-2": answers}
with tempfile.TemporaryDirectory() as folder:
    entries = []
    for number, meme in enumerate(world.memes["test"][: len(meaning[:20])]):
        picture = Path(folder) / f"meme-{number}.png"
        as_image(draw([meme], 256, generator(number))[0]).save(picture)
        entries.append(
            Item(
                f"meme-{number}",
                Answer(meme.title, image=picture, alt=meme.caption),
                {
                    name: Answer(told[name][number] or "(nothing)")
                    for name in MODELS
                },
            )
        )
    competition = Competition(
        title="What does the drawing mean?",
        question="Which sentence says better what drawing and text mean together?",
        items=entries,
        scales=[
            Scale(
                "understanding",
                "How well is the point understood?",
                "not at all",
                "fully",
            ),
            Scale(
                "correctness",
                "Is what it says of the drawing correct?",
                "no",
                "yes",
            ),
        ],
    )
    written = competition.write(Path(folder) / "memes.toml").stat().st_size
needed = plan(0.7, items=len(entries) if len(entries) > 5 else 20)
say(
    f"The file holds {len(entries)} memes and has {written / 1024:.1f} KiB. If seven in ten votes went to one of the two, "
    + (
        f"it would take {needed.respondents} respondents on {needed.items} memes to tell, with a chance of four in five."
        if needed
        else "these memes would be too few to tell, however many respondents came."
    )
)

# %% [markdown]
# (your-own-memes)=
# ### Your own memes
#
# Put pictures into a folder, with a file that has MemeCap's fields, and the chapter's steps are yours. The pictures stay with you; nothing is uploaded anywhere.
#
# ```python
# from mmlab.data.sets.memecap import conversations, meme_folder, memecap
#
# memes = meme_folder("my_memes")                  # pictures and a list of them
# memes = memecap().train                          # or MemeCap, in the folder that MMLAB_DATA names
# items = conversations(memes, "meaning")          # pictures, questions and answers, as in this chapter
# model = TinyLLaVA.from_pretrained("TinyLLaVA")   # the published weights, on a GPU
# adapted = add_lora(model, rank=128)
# ```
#
# Print the row of the fixed sentence beside whatever comes out: `constant_row(truths, bleu, pool)`, with the training
# meanings as pool. [The guide](../book/how_to/tune_on_your_pictures.md) does all of it step by step.
#
# ## What went wrong in practice
#
# Each of these has happened to people who tuned such models, mostly without any error message. Each is a test of this package, too.
#
# 1. **The adapter sat in the wrong place.** Named by `["q_proj", "v_proj"]`, LoRA also goes on the vision tower; by `"all-linear"`, on the tower's unused pooling head as well.
#    {py:func}`~mmlab.train.tuning.language_targets` is anchored on the language model.
# 2. **The connector was trained and not saved.** Setting `requires_grad` by hand makes it learn; it is no part of the adapter's file, and the loaded model has the old one.
# 3. **The adapter did nothing.** A file whose names do not fit is loaded with a warning, and the results equal the base's. Here it is refused.
# 4. **No gradient arrived.** With frozen embeddings and activations that are recomputed in the reentrant way, the graph is lost.
#    {py:func}`~mmlab.train.tuning.require_gradients` does one backward pass and refuses to train in vain.
# 5. **Two tasks were stirred together.** MemeCraft {cite}`wang2024memecraft` is about *writing* memes that persuade; MemeCap about *explaining* them.

# %%
everywhere = [
    name
    for name, part in base.named_modules()
    if isinstance(part, torch.nn.Linear) and "head" not in name.split(".")[-1]
]
loosely = [n for n in everywhere if n.endswith(("q_proj", "v_proj"))]
meant = [n for n in loosely if n.startswith("language_model.")]
say(
    f"In this small model, `q_proj` and `v_proj` name {len(loosely)} layers, of which {len(meant)} are the language model's; all linear layers are {len(everywhere)}, of which "
    f"{sum(n.startswith('language_model.') for n in everywhere)} are."
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} A layer with LoRA (code)
# :label: memes-adapted
#
# Write the output of a linear layer with an adapter, Eq. (1), for many inputs at once: x has shape (N, I), the frozen weight (O, I), A (r, I), B (O, r).
# ```

# %% tags=["stub:adapted"]
from mmlab.exercises.memes import check_adapted


def adapted_layer(x, weight, a, b, alpha):
    return ...


check_adapted(adapted_layer)

# %% [markdown]
# ```{solution-start} memes-adapted
# :class: dropdown
# ```

# %% tags=["solution:adapted"]
from mmlab.exercises.memes import check_adapted


def adapted_layer(x, weight, a, b, alpha):
    return x @ weight.T + alpha / len(a) * x @ a.T @ b.T


check_adapted(adapted_layer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Two adapters in one (code)
# :label: memes-joined
#
# Two adapters of rank r were trained on the same layer, with the same $\alpha$. Write one adapter of rank 2r that is loaded with the
# same $\alpha$, so that (1) divides by 2r now, and whose change is $\lambda$ times the first change plus $1 - \lambda$ times the
# second, for *every* input. Return its A, (2r, I), and its B, (O, 2r). A mean of the matrices will not do: why?
# ```

# %% tags=["stub:joined"]
from mmlab.exercises.memes import check_joined


def joined(a1, b1, a2, b2, strength):
    return ..., ...


check_joined(joined)

# %% [markdown]
# ```{solution-start} memes-joined
# :class: dropdown
# ```
#
# Stack the A and put the B side by side: the product of blocks is the sum $B_1 A_1 + B_2 A_2$. The factors go to one of the two, here to
# the B, and so does a 2, since $\alpha / 2r$ is half of $\alpha / r$. The mean of the matrices has the terms $B_1 A_2$ and $B_2 A_1$, which
# nobody trained.

# %% tags=["solution:joined"]
from mmlab.exercises.memes import check_joined


def joined(a1, b1, a2, b2, strength):
    a = torch.cat([a1, a2], 0)
    b = 2 * torch.cat([strength * b1, (1 - strength) * b2], 1)
    return a, b


check_joined(joined)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The paired bootstrap (code)
# :label: memes-paired
#
# Two systems were scored on the same N items. You are given R draws of N items with replacement, as indices of shape (R, N). Give the ends of the 95 % interval of the mean difference, first minus second.
# ```

# %% tags=["stub:paired"]
from mmlab.exercises.memes import check_paired


def interval(a, b, draws):
    return ..., ...


check_paired(interval)

# %% [markdown]
# ```{solution-start} memes-paired
# :class: dropdown
# ```

# %% tags=["solution:paired"]
from mmlab.exercises.memes import check_paired


def interval(a, b, draws):
    gaps = a[draws].mean(1) - b[draws].mean(1)
    return torch.quantile(gaps, 0.025), torch.quantile(gaps, 0.975)


check_paired(interval)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The best liar (think)
# :label: memes-liar
#
# A friend shows you a tuned model with a ROUGE-L far above the base's, and ten explanations that you like. Which three numbers do you ask for, and what would each have to be to convince you?
# ```
#
# ```{solution-start} memes-liar
# :class: dropdown
# ```

# %%
swapped = looked.loc["another meme's picture", "exact"]
say(
    f"The score of one fixed sentence (here {fixed['ROUGE-L']:.0f} of the tuned model's {judged.loc['tuned', 'ROUGE-L']:.0f}): the model must be clearly above. The score with another meme's picture (here "
    f"{swapped:.0%} exact): it must fall. And the old task (here {pd.DataFrame(after)['literal'].mean():.0%} after tuning, {before['literal']:.0%} before): it must not."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does a fresh adapter not change the answers, though $A$ is random?
# Because $B$ is zero, and so is the product. It also means that $A$ gets no gradient in the first step, see (2).
# ```
#
# ```{dropdown} A model is right about all figures and topics, and about every fourth verb. What has it understood?
# What is drawn, and what the text is about. Every fourth verb takes no understanding: given the layout there are four verbs, and a guess is right once in four.
# ```
#
# ```{dropdown} Why is another meme's picture a better control than none?
# Because it looks like what the model was trained on. An empty picture or a missing text is something new, and a model may stumble over it for being new. If answers stay the same with a stranger's picture, nobody looked.
# ```
#
# ```{dropdown} Why is an interval over memes not enough to say that a recipe is better?
# It holds both trained models fixed. Another run of the same recipe gives another model. Runs are repeated to see that spread, and more memes do not show it.
# ```
#
# ## In five lines
#
# - LoRA learns a change of low rank (1), can be turned up and down (3), and leaves the base as it was underneath.
# - What a model looks at shows when its picture or text is *another's*; hiding alone may only confuse.
# - What it forgot shows when the old questions are asked again; mixing them in is the first repair to try.
# - A score is worth what it has above one fixed sentence and above the answers to another picture.
# - An interval over items says nothing of other runs: repeat the runs, and choose settings on spare items.
#
# ## Limits, and what to read next
#
# A world of a few dozen words is no world of memes. Here the metaphors are a fixed code, which can be learnt from a few hundred examples; real ones are drawn from all that a large model has read. In large models forgetting
# is harder to see, since nobody asks about all that was known. All runs start from one base, so their spread leaves that out, and only the learning rate was searched. A right explanation is not yet a good one: for that there are people.
#
# Read {cite:t}`hu2022lora` for LoRA, {cite:t}`biderman2024lora` for what it costs and keeps, {cite:t}`hwang2023memecap` for memes as metaphors.

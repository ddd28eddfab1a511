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
# # Pointing at words nobody has seen: OpenViVQA and MLPAG
#
# **What does the red sign say? The answer is the name of a shop that opened last week. How does a model write a word that is not in its vocabulary?**
#
# It copies. OpenViVQA {cite}`openvivqa` collects questions in Vietnamese about pictures, many of them about text in the scene, with answers in free form. Among the models proposed with it, MLPAG has a *pointer*: at each step of the
# answer, it either says a word of its vocabulary or points at one of the pieces of text that a reader of text (OCR) found in the picture. The idea is that of pointer networks {cite}`vinyals2015pointer` and of M4C {cite}`hu2020m4c`.
#
# This chapter builds the pointer, lets it answer questions about signs with names that it has never seen, and takes away what it should need: the pointer, the picture, and the care for how
# Vietnamese letters are stored. The last is not a detail. Two strings that look the same on every screen need not be the same.
#
# **After this chapter you can**
#
# - write one softmax over words and pieces of text, and a loss in which every road to the right word counts;
# - tell what a pointer can reach from what a vocabulary can;
# - compare Vietnamese text so that equal words are equal, and different ones are not;
# - say what limits a model that copies.
#
# You need PyTorch and attention. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of every training run on this page
items: int = 1500  # to train on, in each draw

# %% tags=["hide-input"]
import unicodedata

import numpy as np
import pandas as pd
import torch

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.words import normal, words
from mmlab.data.worlds.signs_world import signs_world
from mmlab.methods.openvivqa import MLPAG, join, pointer_scores
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()
steps = steps or {"cpu": 300, "gpu": 2000}[profile]

# %% [markdown]
# ## Two places to take a word from

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "regions": Box(0, 0, "regions"),
    "ocr": Box(0, 1, "pieces of\ntext (OCR)"),
    "question": Box(0, 2, "question and\nwords so far"),
    "blocks": Box(1, 1, "transformer", "trained"),
    "words": Box(2, 0.4, "scores of the\nvocabulary", "trained"),
    "pointer": Box(2, 1.6, "scores of the\npieces (1)", "changed"),
    "soft": Box(3, 1, "one softmax\n(2)", "loss"),
}
arrows = [
    Arrow("regions", "blocks"),
    Arrow("ocr", "blocks"),
    Arrow("question", "blocks"),
    Arrow("blocks", "words"),
    Arrow("blocks", "pointer"),
    Arrow("words", "soft"),
    Arrow("pointer", "soft"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: regions, pieces of text, and the question with the words so far go into a transformer. It gives scores of the vocabulary and scores of the pieces, and both go into one softmax.",
    caption="Blue is trained as in any model that writes; orange is what the pointer adds.",
)

# %% [markdown]
# ## The pointer
#
# A transformer reads the regions of the picture, the $N$ pieces of text and the question. The state $q_t$ of step $t$ of the answer attends to all of these, and to the words said before. For piece $n$
# it makes a key $k_n$, and the pointer's score is a scaled product, with the width $D$:
#
# $$a_{tn} = q_t^\top k_n / \sqrt{D}. \tag{1}$$
#
# The scores are joined with the logits $z_t$ of the $V$ words, in *one* softmax:
#
# $$p_t = \mathrm{softmax}\big([z_{t1}, \dots, z_{tV},\; a_{t1}, \dots, a_{tN}]\big). \tag{2}$$
#
# So words and pieces compete, and their probabilities sum to 1. The vocabulary is the same for all pictures; the pieces are those of this picture. A word may be reached in more than one way: it may be in the vocabulary *and* be written on one sign or two. Let $w$ be the number of the
# right word (if it has one) and $S$ the pieces that spell it. What counts is that the word is said:
#
# $$P_t(\text{word}) = p_{t,w} + \sum_{n \in S} p_{t,V+n}, \tag{3}$$
#
# and the loss is the mean over the steps that can be reached at all,
#
# $$L = -\operatorname{mean}_t \log P_t(\text{word}_t). \tag{4}$$
#
# M4C asks for each road separately, by a binary cross-entropy for each entry {cite}`hu2020m4c`. The sum (3) leaves the choice of the road to the model. After a step, the next one hears what was said: the features of the
# piece that spells it, or else the embedding of the word.

# %%
demo, batch = MLPAG.demo()
given = demo.read(batch)
start = torch.zeros(len(batch["question"]), 1, 16)
p = demo.say(batch, given, start)[:, 0]
assert torch.allclose(p.sum(1), torch.ones(len(p)))
nothing = torch.zeros(1, 2, dtype=torch.bool)
scores = pointer_scores(torch.randn(1, 4), torch.randn(1, 2, 4), nothing)
logits = torch.randn(1, 6)
assert torch.allclose(join(logits, scores)[:, :6], logits.softmax(1))
say(
    f"On the demo the {p.shape[1]} probabilities, of {p.shape[1] - 2} words and 2 pieces, sum to 1. In a picture without text (2) is the plain softmax over words."
)

# %% [markdown]
# ## Letters that look alike
#
# Unicode has several ways to write *ở*. Two of them are normal forms: one character, called NFC (composed), and *o* with two marks after it, called NFD. A keyboard may give one and a reader of text the other. {py:func}`~mmlab.data.words.normal` brings a text into one form.

# %%
whole, apart = "phở", unicodedata.normalize("NFD", "phở")
assert whole != apart
assert normal(whole) == normal(apart)
assert words(whole) == words(apart) == ["phở"]
older, newer = "hoà", "hòa"
assert normal(older) != normal(newer)
say(
    f"*{whole}* has {len(whole)} characters in NFC and {len(apart)} in NFD; compared as strings they differ, and in one form they are equal. "
    f"But *{older}* and *{newer}*, two accepted spellings of the same syllable, stay different in every form of Unicode."
)

# %% [markdown]
# Where does this bite? In three places: when the pieces are matched with the words of the vocabulary; when the training looks for the pieces that spell the answer, the set $S$ in (3); and when a score compares an answer
# with the reference. Dropping the marks instead is no way out, since *ma*, *má* and *mả* are different words.
#
# ## A world of signs
#
# In our world ({py:func}`~mmlab.data.worlds.signs_world.signs_world`) a picture has one to three signs, with a colour, a size, a kind (*phở*, *cơm*, ...) and a name. The reader of text gives two pieces for each sign, its kind and its name, in any order, with the
# look of the sign, which of the two it is, and the *form* of the word: features of its letters, which words that nobody has seen have, too. Half of the pictures are read in NFC and half in NFD. Three kinds of questions are asked:

# %%
world = signs_world()
shown = world.draw(40, 5)
for kind in ("copy", "count", "colour"):
    i = shown.kinds.index(kind)
    asked = [
        world.vocabulary[k]
        for k in shown.items.tensors["question"][i].tolist()
        if k
    ]
    say(
        f"- *{kind}*: {' '.join(asked)}? **{' '.join(shown.answers[i])}** (read in the picture: {', '.join(t for t in shown.texts[i] if t)})"
    )
say(
    f"{len(world.seen)} names occur in training and are in the vocabulary; {len(world.unseen)} do not occur and are not. Among the seen ones, "
    f"{len({unicodedata.normalize('NFD', n).encode('ascii', 'ignore') for n in world.seen})} are left if all marks and signs beyond ASCII are dropped."
)

# %% [markdown]
# ## The rivals
#
# | row | what is taken away |
# | --- | --- |
# | vocabulary only | the pointer; words are said from $z_t$ alone |
# | copy the largest | everything: a rule that copies kind and name of the largest sign, and answers other questions by what was most frequent in training |
# | without picture | regions, and the look of the pieces; what is left are their words, which is a kind and which a name, and how many there are |
# | raw strings | the one form of Unicode: in training, pieces are matched character for character |
# | MLPAG | nothing |
#
# What is guessing worth? A picture has one, two or three signs, equally often, and any of them may be asked for. Whoever copies some sign of the picture, or names its colour, is right with probability $\tfrac13(1 + \tfrac12 + \tfrac13) = \tfrac{11}{18} \approx 0.61$;
# whoever takes the kind from some sign and the name from any other or the same, with $\tfrac13(1 + \tfrac14 + \tfrac19) = \tfrac{49}{108} \approx 0.45$. Hold the table against both: a row that stands at one of these values need not have found the sign that was asked for.
#
# All networks have the same shapes (but for the pointer), steps, batches and rate. **No setting was searched for any row**: the rate was fixed in trial runs of MLPAG. For names that are not in the vocabulary no search changes the first
# row, which cannot say them; for seen names it might, so read that column as what these steps give. A test has 300 questions per draw, with seen names and with unseen ones; an answer is right if its words are those of the reference, in one form.

# %%
TEST, RATE, BATCH = 300, 1e-2, 32


def without_picture(tensors):
    """Regions and the look of the pieces are zero; the forms of their words are left."""
    blind = dict(tensors)
    blind["regions"] = torch.zeros_like(tensors["regions"])
    blind["ocr"] = tensors["ocr"].clone()
    blind["ocr"][..., :5] = 0
    return blind


def trained(rows):
    """Networks for rows, each on every draw, side by side."""
    keys = [(row, d) for row in rows for d in range(seeds)]
    methods = {
        key: MLPAG.seeded(
            key[1],
            5,
            30,
            len(world.vocabulary),
            width=24,
            pointer=key[0] != "vocabulary only",
        )
        for key in keys
    }
    data = []
    for row, d in keys:
        made = world.draw(
            items, 10 * d, matched="raw" if row == "raw strings" else "normal"
        ).items
        data.append(
            type(made)(without_picture(made.tensors))
            if row == "without picture"
            else made
        )
    fit_side_by_side(
        list(methods.values()), data,
        steps=steps, batch_size=BATCH, lr=RATE, schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    return methods


def answers(row, method, made):
    """What a row says, in words."""
    tensors = made.items.tensors
    tensors = without_picture(tensors) if row == "without picture" else tensors
    return made.said(method.generate(tensors), world.vocabulary)


def rule(d, made):
    """Copy the largest sign, or say what was most frequent after this kind of question."""
    train = world.draw(items, 10 * d)
    often = {
        kind: max(said, key=said.count)
        for kind in ("count", "colour")
        if (
            said := [
                a
                for a, k in zip(train.answers, train.kinds, strict=True)
                if k == kind
            ]
        )
    }
    return [
        largest if kind == "copy" else often.get(kind, [])
        for largest, kind in zip(made.salient, made.kinds, strict=True)
    ]


def right(said, made, how=words):
    """Which answers are right, by a way to compare."""
    return np.array(
        [
            how(" ".join(a)) == how(" ".join(b))
            for a, b in zip(said, made.answers, strict=True)
        ]
    )


networks = trained(["without picture", "raw strings", "MLPAG"]) | trained(
    ["vocabulary only"]
)
ROWS = [
    "vocabulary only",
    "copy the largest",
    "without picture",
    "raw strings",
    "MLPAG",
]
COLUMNS = ["seen names", "unseen names", "count", "colour"]
tests = {
    (d, new): world.draw(TEST, 10 * d + (2 if new else 1), unseen=new)
    for d in range(seeds)
    for new in (False, True)
}
spoken = {
    (row, d, new): rule(d, made)
    if row == "copy the largest"
    else answers(row, networks[row, d], made)
    for row in ROWS
    for (d, new), made in tests.items()
}
scores = []
for row in ROWS:
    for d in range(seeds):
        one = {"method": row, "seed": d}
        for new in (False, True):
            made = tests[d, new]
            kinds, hits = np.array(made.kinds), right(spoken[row, d, new], made)
            one["unseen names" if new else "seen names"] = hits[
                kinds == "copy"
            ].mean()
            if not new:
                one |= {
                    kind: hits[kinds == kind].mean() for kind in ("count", "colour")
                }
        scores.append(one)
scores = pd.DataFrame(scores)

# %% tags=["hide-input"]
# Code of the table
sizes = {
    row: sum(p.numel() for p in networks[row, 0].parameters())
    for row in ROWS
    if (row, 0) in networks
}
budgets = Budgets(
    "MLPAG",
    {row: Spent(steps if row in sizes else None, sizes.get(row)) for row in ROWS},
)
table_over_seeds(
    scores,
    f"Exact match, after {steps} steps of every network.",
    best=dict.fromkeys(COLUMNS, "higher"),
    digits=2,
    order=ROWS,
    budgets=budgets,
)
record(
    scores={
        c: {
            row: round(float(part[c].mean()), 4)
            for row, part in scores.groupby("method")
        }
        for c in COLUMNS
    },
    budget=budgets.plain(),
)


# %%
def values(row, column):
    return scores[scores["method"] == row].sort_values("seed")[column].tolist()


for row in ROWS[:-1]:
    claim(
        f"unseen-{row.replace(' ', '-')}",
        values("MLPAG", "unseen names"),
        values(row, "unseen names"),
        direction="higher",
        unit="%",
        better=f"Unseen names: MLPAG is ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"Unseen names: *{row}* is ahead of MLPAG, {{theirs}} against {{ours}}.",
        undecided=f"Unseen names: MLPAG ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )
for column in ("seen names", "count", "colour"):
    claim(
        f"pointer-{column.replace(' ', '-')}-vocabulary-only",
        values("MLPAG", column),
        values("vocabulary only", column),
        direction="higher",
        unit="%",
        better=f"{column.capitalize()}: with the pointer {{ours}}, with the vocabulary only {{theirs}}; the pointer is ahead.",
        worse=f"{column.capitalize()}: with the pointer {{ours}}, with the vocabulary only {{theirs}}; the pointer does harm.",
        undecided=f"{column.capitalize()}: with the pointer ({{ours}}) and with the vocabulary only ({{theirs}}) the networks cannot be told apart.",
    )
claim(
    "unseen-against-seen",
    values("MLPAG", "unseen names"),
    values("MLPAG", "seen names"),
    direction="higher",
    unit="%",
    better="MLPAG copies unseen names better than seen ones: {ours} against {theirs}.",
    worse="MLPAG copies unseen names less well than seen ones: {ours} against {theirs}.",
    undecided="MLPAG's exact match on unseen names ({ours}) and on seen ones ({theirs}) cannot be told apart.",
)

# %% [markdown]
# That *vocabulary only* has nothing among unseen names is no result but arithmetic: no entry of its softmax spells them. What the run decides is whether the pointer finds the *right* piece, and *without picture* shows what pointing is worth if
# one cannot see which sign is red.
#
# ## How one compares
#
# The same answers of MLPAG to questions that ask for unseen names, compared in three ways: in one form of Unicode; character for character; and with all marks dropped.


# %%
def bare(text):
    """A text without the marks on its letters."""
    marks = unicodedata.normalize("NFD", text)
    return [sign for sign in marks if not unicodedata.combining(sign)]


compared = {"one form": words, "raw": str, "without marks": bare}
found = {}
for name, how in compared.items():
    found[name] = []
    for d in range(seeds):
        made = tests[d, True]
        is_copy = np.array(made.kinds) == "copy"
        found[name].append(
            right(spoken["MLPAG", d, True], made, how)[is_copy].mean()
        )
claim(
    "raw-comparison",
    found["one form"],
    found["raw"],
    direction="higher",
    unit="%",
    better="In one form {ours} of the answers are right, character for character {theirs}: the difference are words that look right and are counted as wrong.",
    worse="In one form {ours} of the answers are right, character for character {theirs}.",
    undecided="In one form ({ours}) and character for character ({theirs}) the scores cannot be told apart.",
)
say(
    f"With all marks dropped it would be {100 * np.mean(found['without marks']):.1f} %."
)

# %% [markdown]
# ## What the reader reads
#
# A model that copies says what was read. Let the reader take the tone of a name for another one, at a rate that we set, in the test alone. The tone is one mark: *má* becomes *mả*, which a comparison without marks counts as right. Seen names are asked for, so the vocabulary could repair the error.

# %%
MISREAD = (0.0, 0.25, 0.5)
curve = []
for rate in MISREAD:
    for d in range(seeds):
        made = (
            tests[d, False]
            if rate == 0
            else world.draw(TEST, 10 * d + 1, misread=rate)
        )
        is_copy = np.array(made.kinds) == "copy"
        for row in ("MLPAG", "vocabulary only"):
            said = answers(row, networks[row, d], made)
            curve += [
                {"method": f"{row}, {name}", "seed": d, "misread names": rate,
                 "exact match": right(said, made, how)[is_copy].mean()}
                for name, how in (("one form", words), ("without marks", bare))
            ]  # fmt: skip
curve = pd.DataFrame(curve)
mean = curve.groupby(["method", "misread names"])["exact match"].mean()
show(
    lines(curve, "misread names", "exact match"),
    alt="Exact match on seen names against the share of names that are misread. "
    + " ".join(
        f"{row}: "
        + ", ".join(f"{mean[row, rate]:.2f} at {rate:g}" for rate in MISREAD)
        + "."
        for row in curve["method"].unique()
    ),
    caption="The networks were trained with a reader that makes no error. *Without marks* counts an answer as right if its letters are right. The band is the 95 % interval over draws.",
    label="misread",
)


def at(row, rate):
    part = curve[
        (curve["method"] == f"{row}, one form") & (curve["misread names"] == rate)
    ]
    return part.sort_values("seed")["exact match"].to_numpy()


claim(
    "misread-costs-the-pointer",
    at("MLPAG", 0.5),
    at("MLPAG", 0.0),
    direction="higher",
    unit="%",
    better="With half of the names misread MLPAG has more right than with none: {ours} against {theirs}.",
    worse="With half of the names misread MLPAG has {ours} right, with none {theirs}.",
    undecided="MLPAG with half of the names misread ({ours}) and with none ({theirs}) cannot be told apart.",
)
claim(
    "misread-costs-the-pointer-more",
    at("MLPAG", 0.0) - at("MLPAG", 0.5),
    at("vocabulary only", 0.0) - at("vocabulary only", 0.5),
    began=100 * float(at("vocabulary only", 0.0).mean()),
    direction="lower",
    unit="%",
    better="It costs MLPAG less, {ours}, than the vocabulary, {theirs}.",
    worse="It costs MLPAG more, {ours}, than the vocabulary, {theirs}, which began at {began:.0f} %.",
    undecided="What it costs MLPAG ({ours}) and the vocabulary ({theirs}) cannot be told apart.",
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Every road to a word (code)
# :label: openvivqa-roads
#
# Write (3): from probabilities (V + N,), the number of the right word (0 if it is not in the vocabulary; entry 0 is padding) and which pieces spell it, boolean (N,), the probability that the word is said.
# ```

# %% tags=["stub:roads"]
from mmlab.exercises.openvivqa import check_roads


def said_at_all(p, word, spelt):
    return ...


check_roads(said_at_all)

# %% [markdown]
# ```{solution-start} openvivqa-roads
# :class: dropdown
# ```


# %% tags=["solution:roads"]
def said_at_all(p, word, spelt):
    pointed = p[len(p) - len(spelt) :][spelt].sum()
    return pointed + p[word] if word > 0 else pointed


check_roads(said_at_all)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A pointer that knows nothing (compute)
# :label: openvivqa-flat
#
# All logits of V = 62 words and all scores of N = 6 pieces are 0. What is the probability (a) of one piece, (b) that the word is copied from some piece, and (c) of (3) for a word that is in the vocabulary and
# is spelt by two of the pieces?
# ```

# %% tags=["stub:flat"]
from mmlab.exercises.openvivqa import check_flat

one_piece = ...
some_piece = ...
three_roads = ...

check_flat((one_piece, some_piece, three_roads))

# %% [markdown]
# ```{solution-start} openvivqa-flat
# :class: dropdown
# ```

# %% tags=["solution:flat"]
one_piece = 1 / (62 + 6)
some_piece = 6 / (62 + 6)
three_roads = 3 / (62 + 6)

check_flat((one_piece, some_piece, three_roads))

# %% [markdown]
# A large vocabulary starts with nearly all of the mass, and the pointer has to earn its share.
#
# ```{solution-end}
# ```
#
# ```{exercise} The gradient of a score (derive)
# :label: openvivqa-gradient
#
# Let $G$ be the set of all entries that count in (3), $P$ their probability, and $s$ the vector of all V + N scores. What is the derivative of $-\log P$ by each score? Write it as a function of p (V + N,) and of which
# entries count, boolean (V + N,).
# ```

# %% tags=["stub:gradient"]
from mmlab.exercises.openvivqa import check_gradient


def gradient(p, counts):
    return ...


check_gradient(gradient)

# %% [markdown]
# ```{solution-start} openvivqa-gradient
# :class: dropdown
# ```
#
# With $Z = \sum_j e^{s_j}$, $-\log P = \log Z - \log \sum_{j \in G} e^{s_j}$. The first term gives $p_j$. The second gives, for entries in $G$, their share $p_j / P$.


# %% tags=["solution:gradient"]
def gradient(p, counts):
    share = torch.where(counts, p, 0.0) / p[counts].sum()
    return p - share


check_gradient(gradient)

# %% [markdown]
# Among the roads that count, the more probable one is pushed more: the loss settles on a road, and does not ask for all of them.
#
# ```{solution-end}
# ```
#
# ```{exercise} Where normalisation must not be forgotten (think)
# :label: openvivqa-places
#
# *Raw strings* was trained on the same pictures as MLPAG, and was scored in one form. In which half of the training pictures did it learn something wrong? And in which half of the test will one see it?
# ```
#
# ```{solution-start} openvivqa-places
# :class: dropdown
# ```
#
# In training, where pieces are in NFD and have marks, no piece spelt the answer, and the loss asked for the word of the vocabulary. But the features of a piece are those of its letters and do not tell NFC from NFD: the network cannot
# know in which half it is. So what it learnt in one half may show in both.

# %%
for form in ("NFC", "NFD"):
    rates = {}
    for row in ("raw strings", "MLPAG"):
        rates[row] = []
        for d in range(seeds):
            made = tests[d, True]
            spelt = np.array(
                [
                    all(unicodedata.is_normalized(form, t) for t in row_texts)
                    for row_texts in made.texts
                ]
            )
            other = {"NFC": "NFD", "NFD": "NFC"}[form]
            spelt &= np.array(
                [
                    not all(unicodedata.is_normalized(other, t) for t in row_texts)
                    for row_texts in made.texts
                ]
            )
            asked = (np.array(made.kinds) == "copy") & spelt
            rates[row].append(
                right(spoken[row, d, True], made)[asked].mean()
                if asked.any()
                else np.nan
            )
    say(
        f"Unseen names in pictures that were read in {form}: "
        + ", ".join(
            f"{row} {100 * np.nanmean(v):.0f} %" for row, v in rates.items()
        )
        + "."
    )

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why one softmax, and not a switch between copying and writing?
# A switch is one more thing to learn and multiplies two probabilities. One softmax lets pieces and words compete directly. Both are used.
# ```
#
# ```{dropdown} What does the pointer need of a piece of text that nobody has seen?
# Not its meaning. It needs to see which sign the piece stands on. All features of the piece, its form too, are what the next step hears; no row here takes the form away.
# ```
#
# ```{dropdown} Why is an exact match a hard score for free answers?
# "phở An" and "quán phở An" can both be right. The data set is scored by overlaps of word sequences, which this chapter does not do.
# ```
#
# ## In five lines
#
# - A pointer adds the pieces of text of *this* picture to the vocabulary, in one softmax.
# - A word may be reached by several roads, and the loss adds them up.
# - What is not in the vocabulary can only be copied; what is misread is copied, too.
# - Which piece is right stands in the picture: take it away and pointing is guessing.
# - Compare Vietnamese in one form of Unicode, and keep its marks.
#
# ## Limits, and what to read next
#
# - The pictures are features and the names are drawn syllables. The real pictures are given out with a shared task, and the paper's numbers could not be checked, so none is printed.
# - The paper's names of models do not occur in its public repository {cite}`openvivqa_repository`; MLPAG is built here after its description and M4C. Its siblings, which fuse without a pointer, are not built.
# - One rate, one width, no search; three draws.
#
# {cite:t}`hu2020m4c` is the English ancestor. The chapter on [text and tables](text_tabular.ipynb) has words without pictures.

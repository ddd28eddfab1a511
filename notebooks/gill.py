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
# # GILL
#
# **Can a language model that nobody trains any more learn to read pictures, to find them, and to have them drawn?**
#
# [TinyLLaVA](tinyllava.ipynb) reads pictures and writes words. GILL {cite}`koh2023gill` also answers with pictures: one that is
# looked up, or one that a text-to-picture model draws. Its language model and its vision tower stay frozen. What is learnt are
# a few small maps, a temperature, and the vectors of eight new words, `[IMG0]` to `[IMG7]`, which the model writes where a picture belongs.
#
# What must such a model be held against? A loss that falls proves little: a mapper that always says the mean of all its
# targets makes it fall, too. This chapter builds a small GILL, and puts that mean beside it.
#
# **After this chapter you can**
#
# - write its losses, and say which positions each of them asks about;
# - tell which of its computations never change, and keep them;
# - test a mapper and a retrieval head on what was never seen;
# - name the faults that this design invites.
#
# You need PyTorch, and the chapter on TinyLLaVA. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of each mapper in the comparison
timings: int = 12  # repetitions of what is timed
stored: int = 100_000  # vectors in the index

# %% tags=["hide-input"]
import time

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy, normalize
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from mmlab import fit
from mmlab.bases.frozen_towers import captioned, lexicon
from mmlab.bases.small_gill import TRAINING, kept_items, small_gill, untrained_gill
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.files.registry import where
from mmlab.data.image_words import IGNORE, caption_labels, end_in_image, text_labels
from mmlab.data.sets.partiprompts_decisions import CHOICES, partiprompts_decisions
from mmlab.data.tensors import TensorData
from mmlab.methods.gill import GILL
from mmlab.metrics.agreement import krippendorff_alpha, value_counts
from mmlab.metrics.classification import macro_f1
from mmlab.store.gill_layout import CLIP_L14, OPT_6_7B
from mmlab.store.vector_index import VectorIndex
from mmlab.viz import claim, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.talk import Talk
from mmlab.viz.theme import image_rows, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 1200}[profile]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## What goes where

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "picture": Box(0, 0, "picture"),
    "tower": Box(1, 0, "vision tower", "frozen"),
    "prefix": Box(2, 0, "prefix (1)", "trained"),
    "words": Box(0, 1, "words"),
    "lm": Box(2, 1, "language model", "frozen"),
    "tokens": Box(1, 2, "[IMG0] ... [IMG7]", "trained"),
    "states": Box(2, 2, "their states H"),
    "find": Box(3, 1, "retrieval (4)", "trained"),
    "map": Box(3, 2, "mapper (5)", "trained"),
    "text": Box(3, 0, "caption (2)", "loss"),
}
arrows = [
    Arrow("picture", "tower"),
    Arrow("tower", "prefix", "v"),
    Arrow("prefix", "lm"),
    Arrow("words", "lm"),
    Arrow("tokens", "lm", "E"),
    Arrow("lm", "text"),
    Arrow("lm", "states"),
    Arrow("states", "find"),
    Arrow("states", "map"),
]
show(
    diagram(boxes, arrows, row_height=0.85),
    alt=(
        "A picture goes through the frozen vision tower and the trained prefix into the frozen language model, which also reads words "
        "and the trained vectors of the picture words. From the language model come a caption, and the states of the picture words, "
        "which go to the retrieval head and to the mapper."
    ),
    caption="Grey is frozen, blue is trained. The mapper's output stands where a text-to-picture model expects the states of its own text encoder.",
)

# %% [markdown]
# ## The equations
#
# Let $v$ be the vector that the tower pools a picture into. One linear map turns it into $k$ word vectors:
#
# $$[p_1, \dots, p_k] = W v + b. \tag{1}$$
#
# **Captioning.** They stand before the caption $s$, and the frozen model must write it, its start token included:
#
# $$\ell_c = -\operatorname{mean}_t \log p(s_t \mid p_1, \dots, p_k, s_{<t}). \tag{2}$$
#
# **Words.** Without any picture, the caption is followed by the picture words. They are read, but of them only `[IMG0]` is asked for;
# the others follow by themselves:
#
# $$\ell_w = -\operatorname{mean}_t \log p(s_t \mid s_{<t}), \qquad s_{n+1} = \texttt{[IMG0]}. \tag{3}$$
#
# The picture words' vectors $E$ also stand in the output layer. So (2) and (3) tell them at every word of every caption: not yet.
#
# **Retrieval.** With $a_i$ the unit vector of a linear map of $v_i$, $b_j$ that of the state of `[IMG0]` behind caption $j$, and a
# learnt temperature $\tau$,
#
# $$\ell_r = -\tfrac12 \operatorname{mean}_i \Big[\log \frac{e^{a_i^\top b_i/\tau}}{\sum_j e^{a_i^\top b_j/\tau}} + \log \frac{e^{a_i^\top b_i/\tau}}{\sum_j e^{a_j^\top b_i/\tau}}\Big]. \tag{4}$$
#
# **Generation.** A small transformer $f$ reads the states $H$ plus the vectors $E$; learnt queries ask it for the $Q$ vectors that the text
# encoder $T$ of a text-to-picture model would give. The distance is a Euclidean norm, position by position:
#
# $$\ell_g = \tfrac1Q \sum_{q=1}^{Q} \lVert f(H + E)_q - T(s)_q \rVert . \tag{5}$$
#
# The published code reads the text twice, for (4) and for (5), and weighs (3) by a half each time. One reading serves both:
#
# $$\ell = \ell_c + \tfrac12 \ell_w + \ell_r + \tfrac12 \ell_w + \ell_g . \tag{6}$$
#
# After each step the picture words get the mean norm $\bar\rho$ of the frozen word vectors:
#
# $$E_r \leftarrow \bar\rho\, E_r / \lVert E_r \rVert . \tag{7}$$
#
# By hand, beside {py:class}`~mmlab.methods.gill.GILL`, on a model with random parts:


# %%
def loss_by_hand(method, batch):
    """Eqs. (1) to (6)."""
    lm, count, k = (
        method.language_model,
        method.image_tokens,
        method.prefix_tokens,
    )
    ids, length = batch["input_ids"], batch["length"]
    table = torch.cat(
        [
            lm.get_input_embeddings().weight[: method.words],
            method.image_embedding,
        ]
    )

    def read(x, labels):
        h = lm(inputs_embeds=x, output_hidden_states=True).hidden_states[-1]
        logits = (h @ table.T)[:, :-1]
        return h, cross_entropy(logits.mT, labels[:, 1:], ignore_index=IGNORE)

    v = method.pooled(batch["image"])
    prefix = method.prefix(v).view(len(v), k, -1)  # (1)
    silent = ids.new_full((len(v), k), IGNORE)
    labels = torch.cat([silent, caption_labels(ids, length, count)], 1)
    _, captioning = read(torch.cat([prefix, table[ids]], 1), labels)  # (2)
    h, words = read(table[ids], text_labels(ids, length, count))  # (3)
    first = (length - count)[:, None] + torch.arange(count)
    states = h.gather(1, first[..., None].expand(-1, -1, h.shape[-1]))
    a = normalize(method.find_image(v), dim=1)
    b = normalize(method.find_text(states[:, 0]), dim=1)
    scores, own = method.log_scale.exp() * a @ b.T, torch.arange(len(v))
    retrieval = (
        cross_entropy(scores, own) + cross_entropy(scores.T, own)
    ) / 2  # (4)
    made = method.mapper(states + method.image_embedding)
    generation = (made - batch["target"]).square().sum(-1).sqrt().mean()  # (5)
    return captioning + words / 2 + retrieval + words / 2 + generation  # (6)


demo, batch = GILL.demo()
with torch.no_grad():
    ours, theirs = (
        loss_by_hand(demo, batch),
        demo.loss(batch, generator())["loss"],
    )
assert torch.allclose(ours, theirs, atol=1e-5)
say(f"Both give {ours:.4f}.")

# %% [markdown]
# ## A small GILL
#
# The pictures are mini-memes ({py:mod}`~mmlab.data.worlds.mini_memes`): two coloured figures in one of three layouts. A caption has five words, such
# as *red square above blue circle*. The pairs of figures in the test part never occur in training.
#
# The frozen parts are the book's own ({py:mod}`~mmlab.bases.frozen_towers`). A vision tower and a text tower of CLIP's classes {cite}`radford2021clip`
# learnt to tell what is drawn; the text tower's states are the target $T(s)$. The language model is of OPT's class. It was trained to write captions
# *from keywords in any order*, so it has learnt to use what stands before a sentence. Could one that has read captions alone use a picture there?
# No run on this page says.

# %%
method, towers, reader, world = small_gill()
train = kept_items(method, world, "train", towers)
test = kept_items(method, world, "test", towers)
blocks = {}
for name, value in method.named_parameters():
    if value.requires_grad:
        block = name.split(".")[0]
        blocks[block] = blocks.get(block, 0) + value.numel()
table(
    pd.DataFrame({"values": blocks}),
    f"What is trained here, {sum(blocks.values()):,} values; {sum(p.numel() for p in method.parameters()) - sum(blocks.values()):,} are frozen or belong to the decision model.",
)
say(
    "At the published size the same code has 50,096,385 trained values, which a test of this package counts block by block without any memory for them."
)

# %% [markdown]
# ### What never changes is computed once
#
# The tower is frozen, so its vectors can be kept. So can the text tower's states. And there is a third thing: the picture words come *last*, so
# the frozen model's states, keys and values of a single caption depend on nothing that is learnt. A step then reads eight positions where it read the
# whole text, and needs of a caption's logits only their log-sum-exp and the next word's ({py:meth}`~mmlab.methods.gill.GILL.cache`). Losses and gradients stay the same, which
# a test holds. Where captions are joined to pairs, as the published training joins half of its batches, the second stands behind picture words and cannot be kept; here none is joined. What does it save? The published step runs the tower once for each of the three losses, though that of generation does not look at it, and reads the text twice; its targets come from disk. It is
# held against one reading of each, and against what is kept; with captioning and without; at the size of this page and, without captioning, on a larger model with random weights: 512 wide, with
# captions of fifteen words and the published number of queries.

# %%
raw = captioned(world, "train").tensors
rows = torch.arange(32)
kept = train.batch(rows)
whole = {key: raw[key][rows] for key in ("input_ids", "length", "image")}
whole["target"] = kept["target"]


def summed(gill, batch, v, h, drawn_from, words, captions):
    apart = gill.prompt_embeds(drawn_from) - batch["target"]
    loss = words + gill.retrieval_loss(v, h) + apart.norm(dim=-1).mean()
    return loss + gill.captioning_loss(batch, v) if captions else loss


def as_published(gill, batch, captions):
    for _ in range(2 + captions):
        v = gill.pooled(batch["image"])
    h, words = gill.read_text(batch)
    again, words_again = gill.read_text(batch)
    return summed(gill, batch, v, h, again, (words + words_again) / 2, captions)


def one_reading(gill, batch, captions):
    h, words = gill.read_text(batch)
    return summed(gill, batch, gill.seen(batch), h, h, words, captions)


def seconds(work, times=timings, model=method):
    taken = []
    for _ in range(times + 2):
        model.zero_grad()
        began = time.process_time()
        work().backward()
        taken.append(time.process_time() - began)
    model.zero_grad()
    return np.array(taken[2:])


def three_ways(gill, whole, kept, captions, times=timings):
    ways = {
        "as published": lambda: as_published(gill, whole, captions),
        "one reading of each": lambda: one_reading(gill, whole, captions),
        "what is frozen kept": lambda: one_reading(gill, kept, captions),
    }
    with torch.no_grad():
        first, second, third = (work() for work in ways.values())
    assert torch.allclose(first, second, rtol=1e-4)
    assert torch.allclose(first, third, rtol=1e-4)
    return {name: seconds(work, times, gill) for name, work in ways.items()}


wide = {"hidden_size": 512, "num_attention_heads": 8}
larger = GILL.seeded(
    0,
    wide
    | {
        "num_hidden_layers": 4,
        "ffn_dim": 2048,
        "word_embed_proj_dim": 512,
        "vocab_size": 4096,
    },
    wide
    | {
        "num_hidden_layers": 4,
        "intermediate_size": 2048,
        "image_size": 224,
        "patch_size": 32,
    },
    mapper={"hidden": 128, "layers": 1},
    concatenate=0.0,
)
many = torch.randint(4, 4096, (4, 15), generator=generator()).tolist()
large_batch = end_in_image(many, larger.words)
large_batch["image"] = torch.rand(4, 3, 224, 224, generator=generator())
large_batch["target"] = torch.randn(4, 77, 768, generator=generator())
large_kept = large_batch | larger.cache(large_batch)
spent = {
    "all losses": three_ways(method, whole, kept, True),
    "without captioning": three_ways(method, whole, kept, False),
    "without captioning, larger": three_ways(
        larger, large_batch, large_kept, False, max(3, timings // 3)
    ),
}
del larger, large_batch, large_kept
published = spent["all losses"]["as published"]
table(
    pd.DataFrame(
        {
            name: {way: 1000 * np.median(value) for way, value in ways.items()}
            | {
                "times as fast": np.median(ways["as published"])
                / np.median(ways["what is frozen kept"])
            }
            for name, ways in spent.items()
        }
    ).T,
    "Milliseconds of processor time for losses and gradients of a step, medians; 32 items, or 4 of the larger model. In each row all three have the same loss. The last column compares the first with the third.",
    digits=1,
)
for name, row, words_for in (
    ("features-step", "all losses", "With all three losses"),
    ("without-captioning", "without captioning", "Without captioning"),
    (
        "without-captioning-larger",
        "without captioning, larger",
        "Without captioning, on the larger model,",
    ),
):
    claim(
        f"kept-{name}",
        spent[row]["what is frozen kept"],
        spent[row]["as published"] / 5,
        direction="lower",
        called="repetitions",
        better=f"{words_for} a step with what is frozen kept takes less than a fifth of the published time.",
        worse=f"{words_for} a step with what is frozen kept takes more than a fifth of the published time.",
        undecided=f"{words_for} it cannot be told from these timings whether a step with what is frozen kept takes less than a fifth of the published time.",
    )
claim(
    "one-reading-of-the-text",
    spent["all losses"]["one reading of each"],
    published,
    direction="lower",
    called="repetitions",
    better="One reading of the text in place of two, and of the picture in place of three, saves time by itself.",
    worse="One reading of the text in place of two, and of the picture in place of three, takes longer here.",
    undecided="One reading of text and picture in place of several cannot be told apart in time.",
)

# %% [markdown]
# What is the rest? Each part of the kept step by itself, with its gradients:

# %%
with torch.no_grad():
    behind, _ = method.read_text(kept)
parts_of_it = {
    "captioning, with its learnt prefix": lambda: method.captioning_loss(
        kept, kept["pooled"]
    ),
    "picture words after a kept caption": lambda: sum(
        value.mean() for value in method.read_text(kept)
    ),
    "mapper": lambda: (
        (method.prompt_embeds(behind) - kept["target"]).norm(dim=-1).mean()
    ),
    "retrieval": lambda: method.retrieval_loss(kept["pooled"], behind),
}
left = {name: seconds(work) for name, work in parts_of_it.items()}
table(
    pd.DataFrame(
        {
            name: {
                "milliseconds": 1000 * np.median(value),
                "share of the published step": np.median(value)
                / np.median(published),
            }
            for name, value in left.items()
        }
    ).T,
    f"What a step with all that is frozen kept still computes; median of {timings}.",
    digits=2,
)
claim(
    "what-no-cache-can-save",
    left["captioning, with its learnt prefix"] + left["mapper"],
    published / 5,
    direction="higher",
    called="repetitions",
    better="Captioning behind the kept vector of the tower and the mapper, of which nothing more can be kept, take more than a fifth of the published step: no cache makes the whole five times as fast.",
    worse="Captioning and mapper alone take less than a fifth of the published step.",
    undecided="Whether captioning and mapper alone take a fifth of the published step cannot be told from these timings.",
)
method.zero_grad()

# %% [markdown]
# Of captioning no more than the tower's vector can be kept, since what stands before the caption is learnt. Small networks also pay for each call and not only for what it computes, so here is the count of operations at the
# published widths, for single captions of fifteen words. Language model and tower are an eighth as deep, the mapper is a quarter as deep, and the output layer is whole. So mapper and output layer have a larger share
# than at full depth, and the two ratios are not quite those of the published size. The count needs no memory: the tensors have shapes and no values.

# %% tags=["hide-input"]
# Code of the count
with torch.device("meta"):
    sized = GILL(
        OPT_6_7B | {"num_hidden_layers": 4},
        CLIP_L14 | {"num_hidden_layers": 3},
        mapper={"layers": 1},
        concatenate=0.0,
    )
    said, count = 16, sized.image_tokens  # words and start token; picture words
    width = OPT_6_7B["hidden_size"]
    text = torch.empty(1, said + count, width, requires_grad=True)
    picture, pooled = torch.empty(1, 3, 224, 224), torch.empty(1, 1024)
    pair = torch.empty(1, 32, said, width // 32)


def scored(h):
    return sized.logits(h).sum()


def read_caption():
    words = torch.cat([sized.read_pictures(pooled), text[:, :said]], 1)
    scored(sized.states(words, None)).backward()


def read_words():
    h = sized.states(text, None)
    (scored(h[:, :said]) + h[:, said:].sum()).backward()


def read_after_kept():
    past = DynamicCache([(pair, pair)] * 4, config=sized.language_model.config)
    sized.states(sized.image_embedding[None], None, past).sum().backward()


def map_states():
    sized.mapper(torch.empty_like(text[:, said:])).sum().backward()


def operations(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


with torch.no_grad():
    tower = operations(lambda: sized.pooled(picture))
caption, words, after_kept, mapped = map(
    operations, (read_caption, read_words, read_after_kept, map_states)
)
whole_step = (3 * tower + caption + 2 * words + mapped) / (
    caption + after_kept + mapped
)
without_captions = (2 * tower + 2 * words + mapped) / (after_kept + mapped)
say(
    f"With all that is frozen kept, models of these proportions need {whole_step:.1f} times fewer operations a step. In a step without captioning, for retrieval and generation alone, it is {without_captions:.1f} times fewer."
)
record(fewer_operations=whole_step, fewer_without_captions=without_captions)

# %% [markdown]
# ## Does it work on what it has not seen?
#
# **The mapper** is held against the predictor that always says the mean of the training targets. **Retrieval** is held against chance: each of the
# distinct test captions looks for its picture among as many pictures. **Captions** are held against those with another's picture: each word is asked for after the right ones before it. Captions of
# different pictures have words in common, so another's picture gets some of them right.

# %%
unseen = test.tensors
distinct = torch.unique(unseen["input_ids"], dim=0, return_inverse=True)[1]
first_of = torch.tensor(
    [int((distinct == i).nonzero()[0]) for i in range(int(distinct.max()) + 1)]
)
with method.evaluating():
    H, _ = method.read_text(unseen)
    made = method.prompt_embeds(H)
    constant = train.tensors["target"].mean(0)
    distances = (made - unseen["target"]).norm(dim=-1).mean(1)
    to_constant = (constant - unseen["target"]).norm(dim=-1).mean(1)
    vectors = method.embed(unseen)
    scores = vectors["text"][first_of] @ vectors["image"][first_of].T
    hits = (scores.argmax(1) == torch.arange(len(first_of))).float()


def word_accuracy(v):
    """Share of right words in each caption, each word after the right ones before it."""
    ids = unseen["input_ids"][:, : -method.image_tokens]
    with method.evaluating():
        x = torch.cat([method.read_pictures(v), method.embed_words(ids)], 1)
        h = method.states(x, torch.ones(x.shape[:2], dtype=torch.long))
        said = method.logits(h)[:, method.prefix_tokens : -1].argmax(-1)
    return (said == ids[:, 1:]).float().mean(1)


right = word_accuracy(unseen["pooled"])
wrong_picture = word_accuracy(unseen["pooled"].roll(1, 0))
chance = 1 / len(first_of)
table(
    pd.DataFrame(
        {
            "distance to the target": {
                "GILL": float(distances.mean()),
                "the constant mean": float(to_constant.mean()),
            },
            "recall at 1": {"GILL": float(hits.mean()), "chance": chance},
            "right words of the caption": {
                "GILL": float(right.mean()),
                "another's picture": float(wrong_picture.mean()),
            },
        }
    ),
    f"On {len(right)} pictures with pairs that training never saw; retrieval among {len(first_of)}.",
)
claim(
    "distance-to-the-target-vs-constant-mean",
    distances,
    to_constant,
    over="items",
    clusters=distinct.numpy(),
    direction="lower",
    called="captions",
    better="The mapper is nearer to the target than the constant mean: {ours} against {theirs}.",
    worse="The constant mean is nearer to the target than the mapper: {theirs} against {ours}.",
    undecided="Mapper ({ours}) and constant mean ({theirs}) cannot be told apart.",
)
claim(
    "mapper-a-tenth-of-the-constant",
    distances,
    to_constant / 10,
    over="items",
    clusters=distinct.numpy(),
    direction="lower",
    called="captions",
    better="It is nearer than a tenth of the constant's distance.",
    worse="It is farther than a tenth of the constant's distance.",
    undecided="Whether it is nearer than a tenth of the constant's distance is open.",
)
claim(
    "recall-at-1-vs-chance",
    hits,
    chance,
    over="items",
    direction="higher",
    unit="%",
    better="Captions find their unseen pictures more often than chance: {ours} against {theirs}.",
    worse="Captions find their unseen pictures less often than chance: {ours} against {theirs}.",
    undecided="Captions find their unseen pictures as chance does: {ours} against {theirs}.",
)
claim(
    "recall-twenty-times-chance",
    hits,
    20 * chance,
    over="items",
    direction="higher",
    unit="%",
    better="It is more than twenty times chance, which would be {theirs}.",
    worse="It is less than twenty times chance, which would be {theirs}.",
    undecided="Whether it is twenty times chance, {theirs}, is open.",
)
claim(
    "captions-need-their-picture",
    right,
    wrong_picture,
    over="items",
    clusters=distinct.numpy(),
    direction="higher",
    unit="%",
    called="captions",
    better="With its picture more words of a caption are right than with another's: {ours} against {theirs}.",
    worse="With its picture fewer words of a caption are right than with another's: {ours} against {theirs}.",
    undecided="With its picture ({ours}) and with another's ({theirs}) as many words are right.",
)
record(
    distance=float(distances.mean()),
    constant=float(to_constant.mean()),
    recall=float(hits.mean()),
)

# %% [markdown]
# ## How much must be said?
#
# GILL's authors report that it gains on a plain text-to-picture model as the context grows {cite}`koh2023gill`. Here the context can be cut: the
# picture words come after one word of the caption, after two, ..., after all five; or after *another* caption and then this one. Training saw only
# whole captions, one at a time; the published one joins items to pairs with probability a half. So a cut takes words away, and it also puts the picture words where
# training never had them; this table cannot tell the two apart. Hold both columns against the constant mean and chance in the table above.

# %%
ids = unseen["input_ids"]
picture_words = ids[:, -method.image_tokens :]
start = ids[:, :1]
contexts = {
    f"{n}": torch.cat([ids[:, : n + 1], picture_words], 1) for n in range(1, 6)
}
contexts["5, after another caption"] = torch.cat(
    [start, ids.roll(1, 0)[:, 1:6], ids[:, 1:6], picture_words], 1
)
by_context, found = {}, []
for name, sequence in contexts.items():
    length = torch.full((len(sequence),), sequence.shape[1])
    with method.evaluating():
        h, _ = method.read_text({"input_ids": sequence, "length": length})
        gap = (method.prompt_embeds(h) - unseen["target"]).norm(dim=-1).mean(1)
        scores = method.text_vectors(h)[first_of] @ vectors["image"][first_of].T
    hit = (scores.argmax(1) == torch.arange(len(first_of))).float()
    by_context[name] = gap
    found.append(
        {
            "words before [IMG0]": name,
            "distance to the target": float(gap.mean()),
            "recall at 1": float(hit.mean()),
        }
    )
table(
    pd.DataFrame(found).set_index("words before [IMG0]"),
    "The same model, asked for the picture of the whole caption after a part of it.",
)
claim(
    "whole-caption-against-three-words",
    by_context["5"],
    by_context["3"],
    over="items",
    clusters=distinct.numpy(),
    direction="lower",
    called="captions",
    better="After the whole caption the mapper is nearer to the target than after three of its words: {ours} against {theirs}.",
    worse="After the whole caption the mapper is farther from the target than after three of its words: {ours} against {theirs}.",
    undecided="After the whole caption ({ours}) and after three words of it ({theirs}) the distances cannot be told apart.",
)
claim(
    "another-caption-before",
    by_context["5, after another caption"],
    by_context["5"],
    over="items",
    clusters=distinct.numpy(),
    direction="lower",
    called="captions",
    better="Another caption before it brings the mapper nearer: {ours} against {theirs}.",
    worse="Another caption before it takes the mapper away from the target: {ours} against {theirs}.",
    undecided="Another caption before it makes no difference that could be told: {ours} against {theirs}.",
)

# %% [markdown]
# ## Which mapper?
#
# The published mapper has an encoder, queries and a decoder. Simpler ones give as many vectors: an **encoder** that reads states and queries together; a **multilayer
# perceptron** and a **linear** map on mixtures of the states, whose learnt weights do not depend on them. Each trains from scratch with (3), weighed by a half, and (5), for as many steps, and
# chooses its learning rate from the same two on training items held back from it, most of whose captions it has trained on; then come new first weights for each seed. The frozen parts stay the same.

# %%
learn, spare = (
    TensorData({key: value[part] for key, value in train.tensors.items()})
    for part in (slice(200, None), slice(0, 200))
)


def gap_of(model, items):
    with model.evaluating():
        h, _ = model.read_text(items)
        return float((model.prompt_embeds(h) - items["target"]).norm(dim=-1).mean())


def trained(kind, seed, rate):
    size = {"hidden": 64, "layers": 1, "heads": 4, "kind": kind}
    only = {"captioning": 0.0, "retrieval": 0.0}
    model = untrained_gill(reader, towers, seed, mapper=size, weights=only)
    how = TRAINING | {"steps": steps, "lr": rate, "log_every": steps}
    fit(model, learn, seed=seed, **how)
    return model


KINDS = {
    "full": "encoder, queries, decoder",
    "encoder": "encoder alone",
    "mlp": "multilayer perceptron",
    "linear": "linear mapper",
}
found, budgets = [], {}
for kind, name in KINDS.items():
    pilot = {
        rate: gap_of(trained(kind, 100, rate), spare.tensors)
        for rate in (3e-3, 1e-2)
    }
    rate = min(pilot, key=pilot.get)
    for seed in range(seeds):
        model = trained(kind, seed, rate)
        gap = gap_of(model, unseen)
        found.append({"method": name, "seed": seed, "distance to the target": gap})
    count = sum(p.numel() for p in model.mapper.parameters())
    budgets[name] = Spent(steps, count, ("lr",), 2)
found = pd.DataFrame(found)
budgets = Budgets("encoder, queries, decoder", budgets)
table_over_seeds(
    found,
    f"Mappers after {steps} steps each, on unseen pairs. The constant mean has {float(to_constant.mean()):.2f}.",
    best={"distance to the target": "lower"},
    budgets=budgets,
)
record(budget=budgets.plain())
found = found.set_index("method")["distance to the target"]
claim(
    "distance-to-the-target-vs-linear-mapper",
    found["encoder, queries, decoder"].tolist(),
    found["linear mapper"].tolist(),
    direction="lower",
    better="The published mapper is nearer to the target than the linear one: {ours} against {theirs}.",
    worse="The linear mapper is nearer to the target than the published one: {theirs} against {ours}.",
    undecided="The published mapper ({ours}) and the linear one ({theirs}) cannot be told apart.",
)
claim(
    "full-mapper-against-perceptron",
    found["encoder, queries, decoder"].tolist(),
    found["multilayer perceptron"].tolist(),
    direction="lower",
    better="The published mapper is nearer to the target than the multilayer perceptron: {ours} against {theirs}.",
    worse="The multilayer perceptron is nearer to the target than the published mapper: {theirs} against {ours}.",
    undecided="The published mapper ({ours}) and the multilayer perceptron ({theirs}) cannot be told apart.",
)
claim(
    "full-mapper-against-encoder",
    found["encoder, queries, decoder"].tolist(),
    found["encoder alone"].tolist(),
    direction="lower",
    better="The published mapper is nearer to the target than the encoder alone: {ours} against {theirs}.",
    worse="The encoder alone is nearer to the target than the published mapper: {theirs} against {ours}.",
    undecided="The published mapper ({ours}) and the encoder alone ({theirs}) cannot be told apart.",
)

# %% [markdown]
# Each target depends on no word behind its own place, as with the published targets: CLIP's text encoder looks back only. But the captions here are regular, a word of the same kind always at the same place.
# Captions of photographs are not like that, so this table says what a small number of steps does in a small world, for mappers of very different size.
#
# ## A conversation
#
# {py:class}`~mmlab.viz.talk.Talk` keeps what was said and shown. Once the model writes `[IMG0]`, the other picture words follow, and one more reading of everything
# gives their states: while writing, the state of the last one is never computed. The pictures that can be found are those of the test part, one for each caption, looked up by
# cosine ({py:class}`~mmlab.store.vector_index.VectorIndex`). A large `scale` forces `[IMG0]` at once where a picture is asked for, so these replies do not show whether the model would have begun a picture by itself.

# %%
held = {f"test {int(row)}": world.pictures["test"][row] for row in first_of}
index = VectorIndex(vectors["image"][first_of].numpy(), list(held))
talk = Talk(method, lexicon(), index, held)
shown = {"asked for": [], "found": []}
written = []
for row in first_of[:5].tolist():
    caption = world.memes["test"][row].caption
    talk.forget()
    for reply in talk.say(caption, most_words=1, scale=1e5):
        if reply.picture is not None:
            shown["asked for"].append(world.pictures["test"][row] / 2 + 0.5)
            shown["found"].append(reply.picture / 2 + 0.5)
    talk.forget()
    said = " ".join(
        r.text
        for r in talk.say(world.pictures["test"][row], most_words=8)
        if r.kind == "text"
    )
    written.append({"drawn": caption, "written": said})
table(
    pd.DataFrame(written).set_index("drawn"),
    "What the model writes when it is shown a picture and no word.",
)
show(
    image_rows(shown),
    alt=(
        "Two rows of pictures, each with two coloured figures: above those that a caption tells of, below those that were found for it. The captions are "
        + "; ".join(line["drawn"] for line in written)
        + "."
    ),
    caption="For each of five unseen captions: a picture that it tells of, and the one that the model found for it.",
)

# %% [markdown]
# The start token stands before the first words, and so behind a picture that leads, as in training. It is also the token that ends an answer: where a model has learnt that it
# comes next, it must be there already, or the answer is empty.
#
# With a text-to-picture pipeline of diffusers in place of the index (`Talk(..., pipeline=pipeline)`) the mapper's output is handed over as `prompt_embeds`. With both the decision model chooses, which in this small GILL is untrained. In a terminal this is
# `mmlab chat FOLDER --index FOLDER --pipeline FOLDER`, in a notebook {py:func}`~mmlab.viz.talk.talk_box`. Without a folder, `mmlab chat` draws what is said through the small base of
# [latent diffusion](latent_diffusion.ipynb), and so does {py:func}`~mmlab.bases.drawing_gill.draw_texts`, both with a small GILL that does nothing else.
#
# **How long does a search take?** An exact one over many vectors of the published width, on one core:

# %%
vectors_stored = np.random.default_rng(0).standard_normal(
    (stored, 256), dtype=np.float32
)
large = VectorIndex(vectors_stored)
taken = []
for query in vectors_stored[: timings + 2]:
    began = time.process_time()
    large.search(query)
    taken.append(1000 * (time.process_time() - began))
claim(
    "search-under-20-milliseconds",
    taken[2:],
    20,
    direction="lower",
    called="searches",
    unit=" ms",
    better=f"A search among {stored:,} vectors takes {{ours}} of processor time, less than {{theirs}}.",
    worse=f"A search among {stored:,} vectors takes {{ours}} of processor time, more than {{theirs}}.",
    undecided=f"A search among {stored:,} vectors takes {{ours}} of processor time; whether that is less than {{theirs}} cannot be told.",
)
del vectors_stored, large

# %% [markdown]
# ## To find, or to draw?
#
# Five people each said of many prompts whether a found or a drawn picture fits better, or both as well {cite}`koh2023gill`. The decision model is a linear map of the
# state of `[IMG0]` of OPT-6.7B, which is not on this page. In its place stands a bag of words with a logistic regression: it says what
# the prompt's words alone tell. The label is what at least four of the five votes say; prompts without it, or with *same*, are left out.

# %%
real = (
    where("partiprompts_decisions") / "PartiPromptsAllDecisions_Alignment.tsv"
).is_file()
if real:
    votes = {
        prompt: given
        for prompt, given in partiprompts_decisions("Alignment").items()
        if len(given) == 5
    }
    counts, _ = value_counts(
        [p for p, given in votes.items() for _ in given],
        [v for given in votes.values() for v in given],
        CHOICES,
    )
    agreed = [
        (prompt, CHOICES.index(choice))
        for prompt, given in votes.items()
        for choice in CHOICES[:2]
        if given.count(choice) >= 4
    ]
    order = np.random.default_rng(0).permutation(len(agreed))
    texts = [agreed[i][0] for i in order]
    label = np.array([agreed[i][1] for i in order])
    cut = 2 * len(label) // 3
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    x = words.fit_transform(texts[:cut])
    model = LogisticRegression(C=10.0, class_weight="balanced").fit(x, label[:cut])
    guess = model.predict(words.transform(texts[cut:]))
    truth = torch.from_numpy(label[cut:])

    def f1(said, rows):
        one_hot = torch.eye(2)[torch.as_tensor(said)[rows]]
        return macro_f1(one_hot, truth[rows])

    everyone = torch.arange(len(truth))
    always = np.full(len(truth), np.bincount(label[:cut]).argmax())
    draws = torch.randint(len(truth), (1000, len(truth)), generator=generator())
    spread = np.quantile([f1(guess, rows) for rows in draws], [0.025, 0.975])
    table(
        pd.DataFrame(
            {
                "macro-F1": {
                    "bag of words": f1(guess, everyone),
                    "always the commoner answer": f1(always, everyone),
                    "decision model of the authors": 0.544,
                    "people, as the authors draw it": 0.851,
                }
            }
        ),
        f"Finding or drawing, {len(truth)} held-out prompts; the interval of the bag of words over prompts is [{spread[0]:.3f}, {spread[1]:.3f}]. The last two rows are published {{cite}}`koh2023gill`, on their own split and labels.",
        reference=(
            "decision model of the authors",
            "people, as the authors draw it",
        ),
    )
    shares = np.bincount(label[cut:]) / len(truth)
    claim(
        "words-against-a-fixed-answer",
        (guess == label[cut:]) / (2 * shares[label[cut:]]),
        0.5,
        over="items",
        direction="higher",
        unit="%",
        better="The prompt's words tell something: with both answers weighed alike {ours} are right, where a fixed answer has {theirs}.",
        worse="The prompt's words mislead: with both answers weighed alike {ours} are right, where a fixed answer has {theirs}.",
        undecided="The prompt's words cannot be told from a fixed answer: with both answers weighed alike {ours} are right.",
    )
    draw_of = np.random.default_rng(0)
    alphas = [
        krippendorff_alpha(counts[draw_of.integers(len(counts), size=len(counts))])
        for _ in range(1000)
    ]
    low, high = np.quantile(alphas, [0.025, 0.975])
    say(
        f"How far do five people agree? Krippendorff's alpha is {krippendorff_alpha(counts):.3f} on all {len(votes):,} prompts with five votes, with the 95 % interval [{low:.3f}, {high:.3f}] over prompts; "
        f"agreement by chance has 0, and full agreement 1. On {len(agreed)} of the prompts at least four say find, or at least four say draw."
    )
else:
    say(
        "The votes are not on this machine: `mmlab data fetch partiprompts_decisions` gets them. The published numbers are a macro-F1 of 0.544 for the decision model and 0.851 for people {cite}`koh2023gill`."
    )

# %% [markdown]
# ## What goes wrong in practice
#
# For each of these a test in this package holds what is done here.
#
# - **Trainable by accident.** The published code froze the model, then grew its vocabulary, and an old library made the whole embedding trainable again. In today's the new rows would stay frozen. Here they are a parameter of their own. <!-- in general -->
# - **A mask on the gradient is no freezing.** Weight decay still shrinks the masked rows; in bfloat16 the decay is below the number's resolution, so that the two precisions train different models. <!-- in general -->
# - **New rows drawn from the old.** Growing a vocabulary draws new rows from the mean and covariance of the old ones unless told otherwise: another start, and slow for a large model. <!-- in general -->
# - **The state that was never computed.** Words that are forced have no state until they are read. <!-- in general -->
# - **Reading everything again.** The published loop has no cache of keys and values; with one, the same words come out. <!-- in general -->
# - **Who may begin.** `[IMG1]` to `[IMG7]` may never be chosen, and the logit of `[IMG0]` is replaced by its absolute value times a scale where one wants pictures: what that says of the model's own wish is nothing. <!-- in general -->
# - **Squares for norms.** (5) is a norm for each position; a mean of squares divided by the width is another loss with another scale. <!-- in general -->
# - **A pair that teaches half.** In the published code everything behind the first `[IMG1]` of a joined pair is masked, so its second caption teaches no word. Here it does. <!-- in general -->
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The distance of a drawing (code)
# :label: gill-distance
#
# Write (5) for a batch: what the mapper made and its target, (B, Q, D) each. Return a scalar.
# ```

# %% tags=["stub:distance"]
from mmlab.exercises.gill import check_distance


def distance(made, target):
    return ...


check_distance(distance)

# %% [markdown]
# ```{solution-start} gill-distance
# :class: dropdown
# ```


# %% tags=["solution:distance"]
def distance(made, target):
    return (made - target).square().sum(-1).sqrt().mean()


check_distance(distance)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The size of what is learnt (compute)
# :label: gill-sizes
#
# The published language model is 4096 wide, the tower's pooled vector 1024. A picture becomes four word vectors by (1), with a bias; there are eight
# picture words. (a) How many values has (1)? (b) How many the vectors of the picture words? (c) How many times as many values as (b) would the whole
# embedding of 50,274 rows have, rounded to a whole number?
# ```

# %% tags=["stub:sizes"]
from mmlab.exercises.gill import check_sizes

prefix_values = ...
picture_word_values = ...
times_as_many = ...

check_sizes((prefix_values, picture_word_values, times_as_many))

# %% [markdown]
# ```{solution-start} gill-sizes
# :class: dropdown
# ```

# %% tags=["solution:sizes"]
prefix_values = 4 * 4096 * 1024 + 4 * 4096
picture_word_values = 8 * 4096
times_as_many = round(50_274 / 8)

check_sizes((prefix_values, picture_word_values, times_as_many))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Which state is asked? (think)
# :label: gill-states
#
# The state of the last picture word is replaced by noise. Which moves: what (4) compares, what (5) compares, or both? Think, then unfold the run.
# ```
#
# ```{solution-start} gill-states
# :class: dropdown
# ```

# %%
with method.evaluating():
    noisy = H.clone()
    noisy[:, -1] = torch.randn(noisy[:, -1].shape, generator=generator())
    moved = {
        "retrieval": (method.text_vectors(noisy) - method.text_vectors(H))
        .norm(dim=-1)
        .mean(),
        "mapper": (method.prompt_embeds(noisy) - made).norm(dim=-1).mean(),
    }
say(
    "Mean distance moved: "
    + ", ".join(f"{name} {value:.3f}" for name, value in moved.items())
    + ". The last state is never looked at by retrieval."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why do captions without any picture word give a gradient to the picture words?
# Their vectors are rows of the output layer. Wherever another word is right, the softmax pushes their logits down.
# ```
#
# ```{dropdown} Why can the states of a caption be kept, although the picture words are trained?
# Attention looks back only. What comes first never sees what comes last.
# ```
#
# ```{dropdown} Why is the constant mean the first rival of a mapper?
# It uses no input. A mapper that is no nearer to the target has shown nothing that it takes from the caption.
# ```
#
# ## In five lines
#
# - A frozen language model gets eight words whose states say which picture is meant; small maps find it or tell a text-to-picture model what to draw.
# - Captioning, words, retrieval and generation add to one loss; one reading of the text serves three of them.
# - All that is frozen can be kept, the states of single captions included.
# - The frozen model here has learnt to use what stands before a sentence; whether it must, the page does not try.
# - Print the constant mean and chance beside every curve.
#
# ## Limits, and what to read next
#
# One world of one kind of caption, one draw of frozen parts, one trained model: intervals over captions say nothing about other trainings. No picture is drawn on this
# page: the distance of the states stands for it. [A support system](support_system.ipynb) has other small GILLs draw matrices and colonoscopies through the same call, and reads off whether the latter show what a sentence tells. The settings of the trainings were chosen on the world of another seed, whose unseen pairs are mostly others. The features of several machines are not gathered for (4), as the published training does.
#
# The package reads and writes the published layout ({py:mod}`mmlab.store.gill_layout`), whose weights need OPT-6.7B. Read {cite:t}`koh2023gill` for the method; [connectors](connectors.ipynb)
# and [memes](memes.ipynb) stay with models that answer in words.

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
# # Connectors
#
# **What should stand between a vision tower and a language model?**
#
# [TinyLLaVA](tinyllava.ipynb) is made of three parts: a tower that gives one vector for each patch of a picture, a
# connector, and a language model that reads what the connector gives it. Tower and language model come trained. The
# connector is the only new part, and papers differ in it more than in anything else: a single matrix
# {cite}`liu2023llava`, a small perceptron {cite}`liu2024improved`, the resampler of Flamingo {cite}`alayrac2022flamingo`,
# the Q-Former of BLIP-2 {cite}`li2023blip2`.
#
# They are seldom compared with all else equal. Here they are: one tower, one language model, one task, one number of
# steps. Among the rivals is one that is often left out, a simple connector with as many parameters as a complicated one.
#
# You need the chapter on TinyLLaVA, and to know what attention is.

# %% tags=["parameters"]
profile = "cpu"
seeds = 3
steps = 100
queries = 8

# %%
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from mmlab import fit
from mmlab.bases.tiny_llava import LANGUAGE, VISION, tiny_base, untrained_base
from mmlab.data.conversations import Conversations, read_answers, tokenizer_of
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.metrics.text import exact_match
from mmlab.nn.connectors import make_connector
from mmlab.train.tuning import train_only
from mmlab.viz import frames, record, say, show, table

large = profile == "gpu"
tested = 400 if large else 200  # pictures of the test part that are asked about
more = 8 if large else 1  # times as many steps


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## Two families
#
# The tower gives $P$ vectors $v_1 \dots v_P$. What does the language model get?
#
# **Patch by patch.** Each vector is translated by itself; $P$ tokens come out, in the same order. With a matrix, or with a perceptron:
#
# $$
# h_i = W v_i + b, \qquad\qquad h_i = W_2\, \mathrm{GELU}(W_1 v_i + b_1) + b_2 . \tag{1}
# $$
#
# **By questions.** A fixed number $Q$ of learnt vectors $q_1 \dots q_Q$ look at the picture with attention:
#
# $$
# h_j = \sum_{i=1}^{P} a_{ji}\, V v_i, \qquad a_{ji} = \mathrm{softmax}_i\big( (A q_j)^\top (K v_i) / \sqrt{D} \big) . \tag{2}
# $$
#
# This is one head of one round; there are several, with a perceptron between them. $Q$ does not depend on the size of the
# picture, which is the point: a language model's time and memory grow with the number of tokens. In the *resampler* the
# queries read the picture and themselves in one go. In the *Q-Former* they first talk to one another. (BLIP-2 also trains
# its Q-Former beforehand, with text and three losses of its own. Ours begins from random weights like all others here.)
#
# Three differences follow from the formulas, before anything is trained:
#
# | | patch by patch (1) | by questions (2) |
# | --- | --- | --- |
# | number of tokens | that of the patches | free |
# | order of the patches | kept | lost: the sum in (2) does not care |
# | what is passed on at the start | everything, mixed by a random matrix | an average over all patches, nearly |
#
# The second line surprises. Where a patch was must be written in its vector, or a query cannot know. The third will matter below.

# %%
KINDS = {
    "matrix": "linear",
    "perceptron": "mlp",
    "wide perceptron": "wide",
    "resampler": "resampler",
    "Q-Former": "q_former",
}
width = VISION["hidden_size"]


def connector(name, seed=0):
    """A fresh connector; the wide perceptron has about as many values as the resampler."""
    torch.manual_seed(seed)
    if name != "wide perceptron":
        return make_connector(KINDS[name], width, width, queries)
    aim = sum(p.numel() for p in connector("resampler").parameters())
    inner = round((aim - width) / (2 * width + 1))
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width)
    )


sizes = pd.DataFrame(
    {
        name: {
            "values": sum(p.numel() for p in connector(name).parameters()),
            "tokens of a picture": connector(name)(torch.zeros(1, 16, width)).shape[
                1
            ],
        }
        for name in KINDS
    }
).T
table(sizes, "The connectors of this chapter; a picture has 16 patches.")

# %% [markdown]
# ## One task, one budget
#
# The world is that of [TinyLLaVA's chapter](tinyllava.ipynb): drawn pictures, *what is drawn?*, an answer of five words, and pairs
# of figures in the test part that training never shows. The tower is the base's, and frozen. The language model has read
# captions but never saw a picture, so it is not used to any of the connectors. Connector and language model are trained
# together, for the same number of steps with the same batches.
#
# One trick of the trade: since the tower is frozen, its vectors of a picture never change. They are computed once, and the
# training never calls it again. The class below says so in a line.


# %%
class OfPatches(TinyLLaVA):
    """A TinyLLaVA whose pictures come as the tower's vectors."""

    def features(self, v):
        return self.connector(v)


class Seen:
    """Conversations whose pictures are replaced by the tower's vectors (N, P, D)."""

    def __init__(self, items, vectors):
        self.items = Conversations(items, tokenizer, size=size)
        self.vectors = vectors

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return {key: value[0] for key, value in self.batch([index]).items()}

    def batch(self, indices):
        vectors = self.vectors[torch.as_tensor(indices)][:, None]  # (B, 1, P, D)
        return self.items.batch(indices) | {"images": vectors}


def tower(items):
    pictures = torch.stack([picture for picture, _, _ in items])
    with torch.no_grad():
        states = base.vision_tower(
            pictures, output_hidden_states=True
        ).hidden_states
    return states[base.vision_layer]  # (N, P, D)


base, world = tiny_base()
tokenizer = tokenizer_of(world.sentences())
size = world.pictures["test"].shape[-1]
learn, test = world.literal("train"), world.literal("test")[:tested]
right = [[turns[0].answer] for _, turns, _ in test]
training, vectors = Seen(learn, tower(learn)), tower(test)
prompt = Conversations(test, tokenizer, size=size).prompts(range(tested))
settings = {"batch_size": 8, "lr": 3e-3, "betas": (0.9, 0.99), "warmup": 10}
settings |= {"schedule": "cosine", "progress": False}

read_only = [(None, turns, record_of) for _, turns, record_of in learn]
texts = Conversations(read_only + world.general("train"), tokenizer, size=size)
reader = untrained_base(world, seed=100)
train_only(reader, "language_model")
fit(reader, texts, steps=150 * more, **settings)


def assembled(name, seed):
    language = LANGUAGE | {"vocab_size": len(tokenizer)}
    method = OfPatches(language, VISION, drop_first_patch=False, vision_layer=-1)
    method.language_model.load_state_dict(reader.language_model.state_dict())
    method.connector = connector(name, seed)
    return method


def answers(method, seen=vectors):
    made = method.generate(
        prompt | {"images": seen[:, None]}, max_new_tokens=8, do_sample=False
    )
    return read_answers(made, tokenizer)


def grade(texts):
    said = [text.split() + [""] * 5 for text in texts]
    wanted = [one[0].split() for one in right]

    def share(*places):
        pairs = list(zip(said, wanted, strict=True))
        return (
            sum(s[i] == w[i] for s, w in pairs for i in places)
            / tested
            / len(places)
        )

    return {
        "exact": exact_match(texts, right).mean().item(),
        "colours": share(0, 3),
        "shapes": share(1, 4),
        "layout": share(2),
    }


# %%
grey = tower(
    [(torch.zeros_like(picture), None, None) for picture, _, _ in test[:1]]
)
scores, controls, losses, models = {}, {}, {}, {}
for name in KINDS:
    for seed in range(seeds):
        method = assembled(name, seed)
        train_only(method, "connector", "language_model")
        history = fit(method, training, steps=steps * more, seed=seed, **settings)
        scores.setdefault(name, []).append(grade(answers(method)))
        controls.setdefault(name, []).append(
            {
                "picture": scores[name][-1]["exact"],
                "another's picture": grade(answers(method, vectors.roll(1, 0)))[
                    "exact"
                ],
                "no picture": grade(answers(method, grey.expand_as(vectors)))[
                    "exact"
                ],
            }
        )
        losses.setdefault(name, []).append(history.values())
        models.setdefault(name, method)


# %% tags=["hide-input"]
def summary(runs):
    means = {name: pd.DataFrame(rows).mean() for name, rows in runs.items()}
    stds = {
        n: pd.DataFrame(rows).std(ddof=min(1, seeds - 1))
        for n, rows in runs.items()
    }
    return pd.DataFrame(means).T, pd.DataFrame(stds).T


mean, spread = summary(scores)
blind = grade([right[0][0]] * tested)
bounds = pd.DataFrame(
    {"one fixed caption": blind, "best possible": dict.fromkeys(mean.columns, 1.0)}
).T
empty = pd.DataFrame(float("nan"), bounds.index, bounds.columns)
table(
    pd.concat([mean, bounds]),
    f"Unseen pairs of figures after {steps * more} steps: shares of exact answers and of right words, mean ± standard "
    f"deviation of {seeds} runs.",
    spread=pd.concat([spread, empty]),
    best=dict.fromkeys(mean.columns, "higher"),
    reference=["one fixed caption", "best possible"],
    digits=2,
)
held, around = summary(controls)
table(
    held,
    "Controls: exact answers with the right picture, with another's, and with a grey one.",
    spread=around,
    digits=2,
)
record(
    connectors={
        name: [run["exact"] for run in runs] for name, runs in scores.items()
    }
)
per_patch, by_query = (
    ["matrix", "perceptron", "wide perceptron"],
    ["resampler", "Q-Former"],
)
best_patch, best_query = (
    mean.loc[group, "exact"].max() for group in (per_patch, by_query)
)
say(
    f"The best of the connectors that go patch by patch has {best_patch:.2f} exact answers, the best of those that ask "
    f"has {best_query:.2f}. The wide perceptron, with as many values as the resampler, has "
    f"{mean.loc['wide perceptron', 'exact']:.2f}: it is not its size that keeps the resampler back. Among "
    "the three that go patch by patch, the differences are no larger than those between runs."
)

# %% tags=["hide-input"]
figure = Figure(figsize=(7.2, 3.0), layout="constrained")
axes = figure.subplots()
colours = ["tab:cyan", "tab:blue", "navy", "tab:orange", "tab:red"]
window = 15
for (name, runs), colour in zip(losses.items(), colours, strict=True):
    for number, values in enumerate(runs):
        smooth = pd.Series(values).rolling(window).mean()
        axes.plot(smooth, color=colour, lw=1.1, label=name if not number else None)
axes.set(xlabel="step", ylabel="loss, nats per token")
axes.legend(fontsize=8)
last = {
    name: sum(sum(values[-window:]) / window for values in runs) / seeds
    for name, runs in losses.items()
}
show(
    figure,
    alt="Training losses of five connectors. At the end: "
    + ", ".join(f"{name} {value:.2f}" for name, value in last.items())
    + ".",
    caption=(
        f"Training loss, running mean of {window} steps, {seeds} runs each. Blue: connectors that go patch by patch. Orange and red: "
        "those that ask with queries, whose loss falls more slowly."
    ),
)

# %% [markdown]
# ## Why asking is slow
#
# At the beginning the queries know nothing of the picture, and their attention is nearly even. Each returns about the
# *average* patch vector: which colours there are can be read off it, but not which figure has which, nor where. To do better, keys, queries and values must be learnt at
# once, and each gets a useful gradient only when the others are useful. A matrix, even a random one, passes all patches
# on. The language model's own attention, which is trained already, can look among them.
#
# Below you see where the resampler looks after training.

# %% tags=["hide-input"]
resampler = models["resampler"].connector
chosen = [0, 1, 2, 3]


def attention(module, seen):
    """Of each query on each patch, in the last round: (N, Q, P), averaged over heads."""
    kept = []
    last_round = module.layers[-1].read
    forward = last_round.forward

    def spy(query, key, value, **_):
        made = forward(query, key, value, need_weights=True)
        kept.append(made[1])
        return made

    last_round.forward = spy
    try:
        with torch.no_grad():
            module(seen)
    finally:
        del last_round.forward
    return kept[0][..., : seen.shape[1]]  # the rest is on the queries themselves


maps = attention(resampler, vectors[chosen])  # (N, Q, P)
fresh_maps = attention(connector("resampler"), vectors[chosen])


def evenness(weights):
    """Entropy of the attention on the patches, 1 if it is even."""
    p = weights / weights.sum(-1, keepdim=True)
    count = torch.tensor(float(p.shape[-1]))
    return (-(p * p.clamp(min=1e-9).log()).sum(-1) / count.log()).mean().item()


def draw_attention(number):
    figure = Figure(figsize=(7.4, 2.2), layout="constrained")
    for axes, place, index in zip(
        figure.subplots(1, 4), range(4), chosen, strict=True
    ):
        weights = maps[place, number - 1]
        side = int(len(weights) ** 0.5)
        light = (weights / weights.max()).view(side, side)
        light = light.repeat_interleave(size // side, 0).repeat_interleave(
            size // side, 1
        )
        picture = test[index][0] / 2 + 0.5
        axes.imshow((picture * (0.15 + 0.85 * light)).permute(1, 2, 0))
        axes.set(xticks=[], yticks=[])
    return figure


def describe_attention(number):
    share = maps[:, number - 1] / maps[:, number - 1].sum(-1, keepdim=True)
    most = ", ".join(f"{value:.2f}" for value in share.max(-1).values)
    return (
        f"Four pictures, lit by how much query {number} looks at each patch. The patch that is looked at most gets "
        f"these shares: {most}; an even look would give each {1 / share.shape[-1]:.2f}."
    )


frames(
    {"query": [1, 2, 3, 4]},
    draw_attention,
    describe_attention,
    caption=(
        "Four test pictures, lit where one query of the trained resampler looks in its last round (mean of its heads). Turn the knob to see "
        "other queries. They have learnt to look at the figures and not at the ground, but mostly at both figures at once."
    ),
)
say(
    f"Evenness of the attention (1: all patches alike): {evenness(fresh_maps):.2f} before training, "
    f"{evenness(maps):.2f} after."
)

# %% [markdown]
# ## What follows, and what does not
#
# On this budget, simple wins. That agrees with what became of the idea: LLaVA went from a matrix to a perceptron and
# not further {cite}`liu2024improved`, and TinyLLaVA kept the perceptron {cite}`zhou2024tinyllava`. Time alone does not
# change it here: with `profile = "gpu"` there are several times as many steps, the perceptron becomes nearly perfect, and the
# query connectors learn the captions of training pairs by heart, which is of no use for unseen ones. Still, it is no proof that queries are bad:
#
# - BLIP-2's queries had a training of their own before they met the language model {cite}`li2023blip2`. Ours had none.
# - With 16 patches there is little to save. With thousands, for long videos or fine print, a fixed number of tokens may
#   be the only way.
# - All have the same learning rate. One that suits the queries better may exist; no search was made.
#
# What the comparison does show: a connector that asks has to be *paid for* with training, and with data. One that passes
# everything on leaves the asking to the language model, which knows how to.
#
# ## Exercises
#
# ```{exercise} One look of the queries (code)
# :label: connectors-read
#
# Write (2) for one head without the matrices $A$, $K$ and $V$: `queries` has shape (Q, D), `seen` (P, D). Return the
# tokens, (Q, D).
# ```

# %% tags=["stub:read"]
from mmlab.exercises.connectors import check_read


def look(queries, seen):
    return ...


check_read(look)

# %% [markdown]
# ```{solution-start} connectors-read
# :class: dropdown
# ```


# %% tags=["solution:read"]
def look(queries, seen):
    scores = queries @ seen.T / queries.shape[-1] ** 0.5
    return scores.softmax(-1) @ seen


check_read(look)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Room for words (compute)
# :label: connectors-room
#
# A language model reads 3072 positions. Four pictures of 27 × 27 patches are put in. How many positions are left for
# words if every patch is kept, and how many with a resampler of 64 queries? And how many values has a single matrix with
# bias that takes 1152 numbers to 2560?
# ```

# %% tags=["stub:room"]
from mmlab.exercises.connectors import check_room

left_with_patches, left_with_queries, matrix_values = ..., ..., ...

check_room((left_with_patches, left_with_queries, matrix_values))

# %% [markdown]
# ```{solution-start} connectors-room
# :class: dropdown
# ```

# %% tags=["solution:room"]
left_with_patches = 3072 - 4 * 27 * 27
left_with_queries = 3072 - 4 * 64
matrix_values = 1152 * 2560 + 2560

check_room((left_with_patches, left_with_queries, matrix_values))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Shuffled patches (think)
# :label: connectors-shuffled
#
# Between tower and connector, the vectors of each picture are put in random order. Which of the trained models notice? Think first of the formulas, then of
# who reads what they return.
# ```
#
# ```{solution-start} connectors-shuffled
# :class: dropdown
# ```

# %%
shuffled = vectors[:, torch.randperm(vectors.shape[1], generator=generator(0))]
changes = {}
for name, model in models.items():
    before, after = answers(model), answers(model, shuffled)
    changes[name] = {
        "exact, in order": grade(before)["exact"],
        "exact, shuffled": grade(after)["exact"],
        "answers changed": sum(a != b for a, b in zip(before, after, strict=True))
        / tested,
    }
table(
    pd.DataFrame(changes).T,
    "The same models with the patch vectors in order and in another order, first run.",
    digits=2,
)
say(
    "Those that ask cannot notice: (2) is a sum over patches. The others hand the patches on in the order they get them, "
    "and the language model learnt what to expect where. How much it suffers says how much it relied on the order, and "
    "not on what the tower wrote into the vectors."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the wide perceptron in the table?
# The resampler has many more values than the perceptron. If it had won, one would have to ask whether its form or its size did it. The
# wide perceptron has the size without the form.
# ```
#
# ```{dropdown} Why must the language model be one that never saw a picture?
# One that was trained with a perceptron expects as many tokens as patches, in order. It would favour the connectors that
# give it such.
# ```
#
# ```{dropdown} If a fixed number of queries gives a fixed number of tokens, why not always a small one?
# Whatever does not fit into so few tokens is lost, and nobody knows beforehand what will be asked about the picture.
# ```
#
# ## Limits, and what to read next
#
# A small tower, a small world, one question. The spread is over first weights of the connector and over the order of the
# data; tower, language model and world are the same. The query connectors are small forms of the published ones, without
# their pre-training.
#
# Next, [teach the model what a meme means](memes.ipynb). Read {cite:t}`alayrac2022flamingo` for the resampler,
# {cite:t}`li2023blip2` for the Q-Former, and {cite:t}`liu2024improved` for why the perceptron stayed.

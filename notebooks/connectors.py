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
# They are seldom compared with the rest held fixed. Here they are: one tower, one language model, one task, one number of
# steps. Two rivals are often left out: a simple connector with as many parameters as a complicated one, and one that asks
# with as many queries as there are patches.
#
# **After this chapter you can**
#
# - write a round of queries, and say what each family of connectors passes on and what it drops;
# - measure what a connector passes on before it is trained;
# - set up a comparison in which neither size nor number of tokens can be the reason.
#
# You need the chapter on TinyLLaVA, and to know what attention is. Reading takes about 25 minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int = 80
queries: int = 8
reading_steps: int = 120
tested: int | None = None  # pictures of the test part that are asked about
more: int | None = None  # times as many steps

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from mmlab import fit
from mmlab.bases.tiny_llava import LANGUAGE, VISION, tiny_base, untrained_base
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.conversations import Conversations, read_answers, tokenizer_of
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.metrics.text import exact_match
from mmlab.nn.connectors import make_connector
from mmlab.train.tuning import train_only
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()
tested = tested or {"cpu": 160, "gpu": 400}[profile]
more = more or {"cpu": 1, "gpu": 8}[profile]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## Two families

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "tower": Box(0, 0.5, "P vectors\nof the tower", "frozen"),
    "each": Box(1, 0, "one network\nfor each (1)", "trained"),
    "tokens": Box(2, 0, "P tokens,\nin order"),
    "queries": Box(0, 1.5, "Q learnt\nqueries", "trained"),
    "attention": Box(1, 1, "attention (2)", "trained"),
    "few": Box(2, 1, "Q tokens"),
    "model": Box(3, 0.5, "language\nmodel", "trained"),
}
arrows = [
    Arrow("tower", "each"),
    Arrow("each", "tokens"),
    Arrow("tower", "attention"),
    Arrow("queries", "attention"),
    Arrow("attention", "few"),
    Arrow("tokens", "model"),
    Arrow("few", "model"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing of two ways from the tower's vectors to the language model. Above: one network translates each vector, and as many tokens "
        "arrive as there are patches. Below: learnt queries attend to all vectors, and as many tokens arrive as there are queries."
    ),
    caption=(
        "**Above:** patch by patch. **Below:** by questions. Grey is frozen, blue is trained. A model has one of the two ways."
    ),
)

# %% [markdown]
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
# Mind the second line: where a patch was must be written in its vector, or a query cannot know. The third is measured below.

# %%
KINDS = {
    "matrix": "linear",
    "perceptron": "mlp",
    "wide perceptron": "wide",
    "resampler": "resampler",
    "resampler, a query a patch": "resampler",
    "Q-Former": "q_former",
}
PATCHES = 16
width = VISION["hidden_size"]


def connector(name, seed=0):
    """A fresh connector; the wide perceptron has about as many values as the resampler."""
    torch.manual_seed(seed)
    if name != "wide perceptron":
        count = PATCHES if name.endswith("a query a patch") else queries
        return make_connector(KINDS[name], width, width, count)
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
# together, for the same number of steps with the same batches. Each connector chooses its learning rate from the same three, after a third of the steps, by its loss on
# spare pairs of figures, which neither training nor test shows.
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
drawn = list(zip(world.memes["train"], world.literal("train"), strict=True))
pairs = sorted({(meme.first, meme.second) for meme, _ in drawn})
aside = set(pairs[::8])  # the search looks at these
learn = [item for meme, item in drawn if (meme.first, meme.second) not in aside]
spare = [item for meme, item in drawn if (meme.first, meme.second) in aside][:200]
test = world.literal("test")[:tested]
right = [[turns[0].answer] for _, turns, _ in test]
training, vectors = Seen(learn, tower(learn)), tower(test)
prompt = Conversations(test, tokenizer, size=size).prompts(range(tested))
settings = {"batch_size": 8, "betas": (0.9, 0.99), "warmup": 10}
settings |= {"schedule": "cosine", "progress": False}

read_only = [(None, turns, record_of) for _, turns, record_of in learn]
texts = Conversations(read_only + world.general("train"), tokenizer, size=size)
reader = untrained_base(world, seed=100)
train_only(reader, "language_model")
fit(reader, texts, steps=reading_steps * more, lr=3e-3, **settings)


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
RATES = (2e-3, 6e-3, 2e-2)


def trained(name, seed, lr, count):
    """A model with this connector after some steps, and its losses."""
    method = assembled(name, seed)
    train_only(method, "connector", "language_model")
    history = fit(method, training, steps=count, seed=seed, lr=lr, **settings)
    return method.eval(), history.values()


def loss_on(method, batch):
    with torch.no_grad():
        return method.loss(batch, generator())["loss"].item()


others = Seen(spare, tower(spare)).batch(range(len(spare)))
asked = Seen(test, vectors).batch(range(tested))


def tried(name, lr):
    """Loss on spare pairs after a third of the steps; a start and an order that no run below has."""
    method, _ = trained(name, 50, lr, max(1, steps * more // 3))
    return loss_on(method, others)


found = {name: {lr: tried(name, lr) for lr in RATES} for name in KINDS}
rate = {name: min(by_rate, key=by_rate.get) for name, by_rate in found.items()}
say(
    "Loss on spare pairs after a third of the steps, at the rates "
    + ", ".join(f"{lr:g}" for lr in RATES)
    + ". "
    + "; ".join(
        f"*{name}*: {', '.join(f'{loss:.2f}' for loss in by_rate.values())}, so {rate[name]:g}"
        for name, by_rate in found.items()
    )
    + "."
)

# %%
grey = tower(
    [(torch.zeros_like(picture), None, None) for picture, _, _ in test[:1]]
)
scores, losses, models, said, made = {}, {}, {}, {}, {}
for name in KINDS:
    for seed in range(seeds):
        method, history = trained(name, seed, rate[name], steps * more)
        texts = answers(method)
        scores.setdefault(name, []).append(
            grade(texts) | {"loss": loss_on(method, asked)}
        )
        made.setdefault(name, []).append(method.connector)
        losses.setdefault(name, []).append(history)
        models.setdefault(name, method)  # the first run's
        said.setdefault(name, texts)
controls = {
    name: {
        "picture": scores[name][0]["exact"],
        "another's picture": grade(answers(method, vectors.roll(1, 0)))["exact"],
        "no picture": grade(answers(method, grey.expand_as(vectors)))["exact"],
    }
    for name, method in models.items()
}


# %% tags=["hide-input"]
runs = {name: pd.DataFrame(rows) for name, rows in scores.items()}
mean = pd.DataFrame({name: run.mean() for name, run in runs.items()}).T
spread = pd.DataFrame(
    {name: run.std(ddof=min(1, seeds - 1)) for name, run in runs.items()}
).T
budgets = Budgets(
    "perceptron",
    {
        name: Spent(
            steps * more, int(sizes.loc[name, "values"]), ("lr",), len(RATES)
        )
        for name in KINDS
    },
)
mean["parameters"] = [f"{size:,}" for size in sizes["values"]]
blind = grade([right[0][0]] * tested)
bounds = pd.DataFrame(
    {"one fixed caption": blind, "best possible": dict.fromkeys(blind, 1.0)}
).T
table(
    pd.concat([mean, bounds]),
    f"Unseen pairs of figures after {steps * more} steps: shares of exact answers and of right words, and loss on the right answers in nats per token; "
    f"mean ± standard deviation of {seeds} runs.",
    spread=spread.reindex(index=[*mean.index, *bounds.index], columns=mean.columns),
    best=dict.fromkeys(blind, "higher") | {"loss": "lower"},
    reference=["one fixed caption", "best possible"],
    digits=2,
    paired=pd.DataFrame(
        {(k, seed): one for k, v in scores.items() for seed, one in enumerate(v)}
    ).T,
    budgets=budgets,
    ceiling="best possible",
)
table(
    pd.DataFrame(controls).T,
    "Controls, first run: exact answers with the right picture, with another's, and with a grey one.",
    digits=2,
)
record(
    connectors={
        name: [run["exact"] for run in runs] for name, runs in scores.items()
    },
    budget=budgets.plain(),
)
score = {name: [run["exact"] for run in runs] for name, runs in scores.items()}
placed = {name: [run["layout"] for run in runs] for name, runs in scores.items()}
nats = {name: [run["loss"] for run in runs] for name, runs in scores.items()}
for asking in ("resampler", "resampler, a query a patch", "Q-Former"):
    short = asking.lower().replace(",", "").replace(" ", "-")
    claim(
        f"perceptron-against-{short}-by-loss",
        nats["perceptron"],
        nats[asking],
        direction="lower",
        better=f"- **{asking}:** a higher loss on the right answers than the perceptron, {{theirs}} against {{ours}}.",
        worse=f"- **{asking}:** a lower loss on the right answers than the perceptron, {{theirs}} against {{ours}}.",
        undecided=f"- **{asking}** ({{theirs}}) and perceptron ({{ours}}) cannot be told apart by their loss on the right answers.",
    )
    claim(
        f"perceptron-against-{short}",
        score["perceptron"],
        score[asking],
        direction="higher",
        unit="%",
        better=f"- **{asking}:** fewer exact answers than the perceptron, {{theirs}} against {{ours}}.",
        worse=f"- **{asking}:** more exact answers than the perceptron, {{theirs}} against {{ours}}.",
        undecided=f"- **{asking}** ({{theirs}}) and perceptron ({{ours}}) cannot be told apart by their exact answers.",
    )
claim(
    "wide-perceptron-against-resampler-by-loss",
    nats["wide perceptron"],
    nats["resampler"],
    direction="lower",
    better="- **Size:** the wide perceptron, with as many values as the resampler, has a lower loss, {ours} against {theirs}.",
    worse="- **Size:** the wide perceptron, with as many values as the resampler, has a higher loss, {ours} against {theirs}.",
    undecided="- **Size:** the wide perceptron ({ours}), with as many values as the resampler ({theirs}), cannot be told from it by its loss.",
)
claim(
    "wide-perceptron-against-resampler",
    score["wide perceptron"],
    score["resampler"],
    direction="higher",
    unit="%",
    better="- **Size:** the wide perceptron, with as many values as the resampler, has more exact answers, {ours} against {theirs}.",
    worse="- **Size:** the wide perceptron, with as many values as the resampler, has fewer exact answers, {ours} against {theirs}.",
    undecided="- **Size:** the wide perceptron ({ours}), with as many values as the resampler ({theirs}), cannot be told from it by its exact answers.",
)
claim(
    "resampler-against-one-caption",
    exact_match(said["resampler"], right),
    exact_match([right[0][0]] * tested, right),
    direction="higher",
    over="items",
    called="pictures",
    unit="%",
    better="- **A fixed caption** has {theirs} exact answers, the first run's resampler more, {ours}.",
    worse="- **A fixed caption** has {theirs} exact answers, the first run's resampler fewer, {ours}.",
    undecided="- **A fixed caption** has {theirs} exact answers, and the first run's resampler ({ours}) cannot be told from it.",
)
claim(
    "resampler-sees-the-layout",
    placed["resampler"],
    1 / 3,
    direction="higher",
    unit="%",
    better="- **Layout:** of three layouts the resampler names the right one in {ours}, more often than a guess.",
    worse="- **Layout:** of three layouts the resampler names the right one in {ours}, less often than a guess.",
    undecided="- **Layout:** of three layouts the resampler names the right one in {ours}, which cannot be told from a guess.",
)

# %% tags=["hide-input"]
# Code of the figure: training losses
window = max(1, steps * more // 10)
curves = pd.DataFrame(
    [
        (name, number, at + window, sum(values[at : at + window]) / window)
        for name, runs in losses.items()
        for number, values in enumerate(runs)
        for at in range(0, len(values) - window + 1, window)
    ],
    columns=["connector", "run", "step", "loss, nats per token"],
)
last = curves[curves["step"] == curves["step"].max()]
last = last.groupby("connector", sort=False)["loss, nats per token"].mean()
ends = ", ".join(f"{name} {value:.2f}" for name, value in last.items())
show(
    lines(curves, "step", "loss, nats per token", by="connector", height=3.8),
    alt=f"Training losses of six connectors. At the end: {ends}.",
    caption=(
        f"Training loss, means over {window} steps, with the 95 % interval over {seeds} runs. At the end: {ends}."
    ),
)

# %% [markdown]
# ## What passes at the start
#
# At the beginning the queries know nothing of the picture, and their attention is nearly even. Each returns about the
# *average* patch vector. The tower has mixed the patches, so an average may still tell something of who stands where. A
# matrix, even a random one, passes every patch on, and the language model's own attention, which has been trained, can look
# among them. Does it begin with more? That can be measured: how well does a linear map from all that a *fresh* connector
# passes on tell the layout? And from a trained one? A guess is right in one of three.


# %%
def readable(passing):
    """Share of layouts that ridge regression reads from all that a connector passes on, on unseen pictures."""
    with torch.no_grad():
        known, new = (
            passing(v).flatten(1).double() for v in (training.vectors, vectors)
        )
    names = sorted({turns[0].answer.split()[2] for _, turns, _ in learn})
    y = torch.tensor(
        [
            [float(turns[0].answer.split()[2] == n) for n in names]
            for _, turns, _ in learn
        ]
    ).double()
    middle = known.mean(0)
    gram = (known - middle).T @ (known - middle)
    ridge = gram.diagonal().mean() * torch.eye(len(gram)) * 1e-3
    weights = torch.linalg.solve(gram + ridge, (known - middle).T @ (y - y.mean(0)))
    guessed = ((new - middle) @ weights + y.mean(0)).argmax(1)
    truth = [names.index(turns[0].answer.split()[2]) for _, turns, _ in test]
    return (guessed == torch.tensor(truth)).double().mean().item()


ASKING = ("resampler", "resampler, a query a patch")
fresh_share = {
    name: [readable(connector(name, seed)) for seed in range(seeds)]
    for name in ("matrix", *ASKING)
}
trained_share = [readable(one) for one in made["resampler"]]
for asking in ASKING:
    short = asking.replace(",", "").replace(" ", "-")
    claim(
        f"fresh-matrix-passes-more-than-{short}",
        fresh_share["matrix"],
        fresh_share[asking],
        direction="higher",
        unit="%",
        better=f"- From a fresh matrix the layout can be read in {{ours}} of the pictures, from a fresh *{asking}* in {{theirs}}, less often.",
        worse=f"- From a fresh matrix the layout can be read in {{ours}} of the pictures, from a fresh *{asking}* in {{theirs}}, more often.",
        undecided=f"- From a fresh matrix the layout can be read in {{ours}} of the pictures, from a fresh *{asking}* in {{theirs}}: undecided.",
    )
claim(
    "trained-resampler-passes-what-is-not-named",
    trained_share,
    placed["resampler"],
    direction="higher",
    unit="%",
    better="- From the *trained* resampler the layout can be read in {ours}; the model that was trained with it names it in {theirs}, less often. So training did not take it out: more is passed on than the language model has learnt to use.",
    worse="- From the *trained* resampler the layout can be read in {ours}; the model that was trained with it names it in {theirs}, more often.",
    undecided="- From the *trained* resampler the layout can be read in {ours}; the model that was trained with it names it in {theirs}: whether it is passed on without being used is undecided.",
)

# %% [markdown]
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
    figure = Figure(figsize=(5.6, 1.6), layout="constrained")
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


def shares_of_figures():
    """Attention on the patches with a figure, how many these are, and the larger figure's part of it."""
    on, count, larger = [], [], []
    for place, index in enumerate(chosen):
        picture = test[index][0]
        lit = (picture.amax(0) > -0.3).float()  # the ground is dark
        side = int(vectors.shape[1] ** 0.5)
        patches = (
            lit.view(side, size // side, side, size // side).mean((1, 3)).flatten()
            > 0.1
        )
        first = place_of(world.memes["test"][index].layout, side)
        weights = maps[place] / maps[place].sum(-1, keepdim=True)  # (Q, P)
        on.append(weights[:, patches].sum(-1).mean())
        count.append(patches.double().mean())
        one, other = (
            weights[:, patches & first].sum(-1),
            weights[:, patches & ~first].sum(-1),
        )
        larger.append((torch.maximum(one, other) / (one + other)).mean())
    return (
        torch.stack(values).double().mean().item() for values in (on, count, larger)
    )


def place_of(layout, side):
    """Patches of the half in which the first figure is: upper, left, or upper left."""
    row, column = torch.meshgrid(
        torch.arange(side), torch.arange(side), indexing="ij"
    )
    half = {"above": row < side / 2, "beside": column < side / 2}
    return half.get(layout, row + column < side - 1).flatten()


on_figures, covered, bigger = shares_of_figures()
frames(
    {"query": list(range(1, min(queries, 4) + 1))},
    draw_attention,
    describe_attention,
    caption=(
        "Four test pictures, lit where one query of the trained resampler looks in its last round (mean of its heads). Turn the knob to see "
        f"other queries. Patches on the figures get {on_figures:.0%} of the attention and are {covered:.0%} of the patches; the two "
        f"figures share it, on average over queries and pictures, as {bigger:.0%} to {1 - bigger:.0%}."
    ),
)
say(
    f"Evenness of the attention (1: all patches alike): {evenness(fresh_maps):.2f} before training, "
    f"{evenness(maps):.2f} after."
)

# %% [markdown]
# ## What follows, and what does not
#
# The table and the claims under it hold for this budget and this world, with a rate chosen among three for each. In the literature LLaVA
# went from a matrix to a perceptron and not further {cite}`liu2024improved`, and TinyLLaVA kept the perceptron
# {cite}`zhou2024tinyllava`. Whether they were right this page cannot say, and it is no proof that queries are bad:
#
# - BLIP-2's queries had a training of their own before they met the language model {cite}`li2023blip2`. Ours had none.
#   What that would change here was not tried, and neither was more data.
# - With 16 patches there is little to save. With thousands, for long videos or fine print, a fixed number of tokens may
#   be the only way.
# - Nothing was chosen by looking at the test part. The learning rate is all that was tuned, with one run for each value.
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
# ```{exercise} Where a query can go (code)
# :label: connectors-derivative
#
# Take (2) for one head without matrices, and a query $q = 0$: its attention is even, and it returns the average patch. How does
# what it returns change with $q$? Derive $\partial h / \partial q$ at $q = 0$, and write it as a function of the patches, (P, D).
# Return a matrix, (D, D). What does it say of a picture whose patches are all alike?
# ```

# %% tags=["stub:derivative"]
from mmlab.exercises.connectors import check_derivative


def derivative(seen):
    return ...


check_derivative(derivative)

# %% [markdown]
# ```{solution-start} connectors-derivative
# :class: dropdown
# ```
#
# The scores are $s_i = q^\top v_i / \sqrt D$, and $\partial a_i / \partial s_k = a_i (1[i = k] - a_k)$. With $a_i = 1/P$ this gives
#
# $$\frac{\partial h}{\partial q} = \frac{1}{\sqrt D} \sum_i a_i\, v_i (v_i - \bar v)^\top
# = \frac{1}{P \sqrt D} \sum_i (v_i - \bar v)(v_i - \bar v)^\top .$$


# %% tags=["solution:derivative"]
def derivative(seen):
    centred = seen - seen.mean(0)
    return centred.T @ centred / len(seen) / seen.shape[1] ** 0.5


check_derivative(derivative)

# %% [markdown]
# A query moves along the directions in which the patches of a picture differ. If all are alike, it cannot move what it returns.
#
# ```{solution-end}
# ```
#
# ```{exercise} Shuffled patches (think)
# :label: connectors-shuffled
#
# Between tower and connector, the vectors of the pictures are put in one random order, the same for all. Which of the trained models notice? Think first of the formulas, then of
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
    before, after = said[name], answers(model, shuffled)
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
# The resampler has many more values than the perceptron. If it were right more often, one would have to ask whether its form or its size did it. The
# wide perceptron has the size without the form.
# ```
#
# ```{dropdown} Why must the language model be one that never saw a picture?
# One that was trained with a perceptron may expect as many tokens as patches, in order, and so favour the connectors that
# give it such.
# ```
#
# ```{dropdown} If a fixed number of queries gives a fixed number of tokens, why not always a small one?
# Whatever does not fit into so few tokens is lost, and nobody knows beforehand what will be asked about the picture.
# ```
#
# ## In five lines
#
# - Patch by patch (1) keeps every token in order; by questions (2) chooses their number and drops the order.
# - A comparison needs the same tower, language model, steps and search for the rate, and rivals of the same size and number of tokens.
# - Scores stand beside a fixed caption and chance: what does not exceed them has not been learnt, whatever was passed on.
# - What the run says of each rival is decided by intervals over runs; few runs leave much undecided.
# - Pre-training of queries and more data were not tried here.
#
# ## Limits, and what to read next
#
# A small tower, a small world, one question. The spread is over first weights of the connector and over the order of the
# data; tower, language model and world are the same. The query connectors are small forms of the published ones, without
# their pre-training.
#
# Next, [teach the model what a meme means](memes.ipynb). Read {cite:t}`alayrac2022flamingo` for the resampler,
# {cite:t}`li2023blip2` for the Q-Former, and {cite:t}`liu2024improved` for why the perceptron stayed.

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
# # Demonstrations in the context: ManyICL
#
# **A clinic has forty labelled pictures of a question that no model was trained on. Should somebody train a classifier on them, or write them into the prompt of a large model?**
#
# Long contexts have room for hundreds of pictures with their labels. ManyICL {cite}`jiang2024manyshot` puts up to about two thousand of them before a question, and asks up to fifty questions in one call; for one of its models accuracy goes on rising with the number of
# demonstrations. What is missing there is the oldest answer to the same question: take the mean of each class, and say which one is nearer. This chapter builds a model that learns in its context, small enough to be trained on this page, in a world whose best possible answer can be
# written down, and puts the old answers beside it.
#
# **After this chapter you can**
#
# - derive what attention over demonstrations computes, and when that is the nearest mean;
# - say what a model can bring to a new task beside its demonstrations, and measure how much of it is worth something;
# - put the same demonstrations into the strongest simple rivals, and read off how they rank;
# - read replies to many questions at once without losing any of them from the denominator.
#
# You need Gaussian densities and what attention is ([TinyLLaVA](tinyllava.ipynb) says it). Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int | None = None  # worlds
steps: int | None = None  # of training on tasks
tests = 150  # test episodes of a world

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import mmlab
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.demonstrations import balanced, write_prompt
from mmlab.data.worlds.episode_world import digit_episodes, episode_world
from mmlab.methods.many_icl import (
    ManyICL,
    class_means,
    estimated_law,
    nearest_mean,
    posterior_predictive,
    tokens_per_question,
)
from mmlab.metrics.batched_answers import read_replies, write_replies
from mmlab.metrics.multiple_choice import choice_scores
from mmlab.viz import (
    claim,
    claimed,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()
seeds = seeds or {"cpu": 5, "gpu": 20}[profile]
steps = steps or {"cpu": 220, "gpu": 3000}[profile]

# %% [markdown]
# ## The idea in one picture

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "a": Box(0, 0, "item, class 0"),
    "b": Box(0, 0.8, "item, class 1"),
    "c": Box(0, 1.6, "more of them"),
    "q": Box(1, 2.4, "new item,\nno class"),
    "m": Box(1, 0.8, "blocks of attention\n(4)", "trained"),
    "y": Box(2, 0.8, "its class"),
}
arrows = [Arrow(name, "m") for name in ("a", "b", "c", "q")] + [Arrow("m", "y")]
show(
    diagram(boxes, arrows),
    alt="A drawing: items with their class and a new item without one enter blocks of attention, which say the class of the new item.",
    caption="Blue is trained, on other tasks. On a new task nothing is trained: the demonstrations are read together with the question.",
)

# %% [markdown]
# ## What could be done with demonstrations
#
# A task has two classes $c$, with means $\mu_c$ that no other task has. Item $i$ of class $y_i$ has features $x_i$. From $n$ demonstrations of each class one takes the mean $\hat\mu_c$ and says of a new $x$ which mean is nearer. With Euclid's distance that is
#
# $$s_c(x) = -\tfrac12 \lVert x - \hat\mu_c \rVert^2. \tag{1}$$
#
# Euclid treats all directions alike. If items scatter widely in some of them, whatever the task, then these should count less: with $M = \Sigma_w^{-1}$, the inverse of the covariance within a class,
#
# $$s_c(x) = -\tfrac12 (x - \hat\mu_c)^\top M\, (x - \hat\mu_c). \tag{2}$$
#
# Few demonstrations of one task do not tell $\Sigma_w$; *many other tasks* do, if it is the same in all. The same tasks also tell how the means lie, $\mu_c \sim \mathcal N(0, \Sigma_b)$. Then the mean of few demonstrations should not be taken at its word.
# Given them, $\mu_c$ is Gaussian with mean $G \hat\mu_c$ and covariance $(I - G)\Sigma_b$, where $G = \Sigma_b (\Sigma_b + \Sigma_w / n)^{-1}$, and the new item has the density
#
# $$p(x \mid c) = \mathcal N\big(x;\; G \hat\mu_c,\; \Sigma_w + (I - G)\Sigma_b\big). \tag{3}$$
#
# With both covariances known and both classes equally frequent, no rule that answers each question alone is right more often on average than the one that takes the larger density: that is the **ceiling** of our world. With covariances that are *estimated* from the training tasks it is a rival, and a dull one: two averages
# and a matrix inverse.
#
# ### What attention does with them
#
# Let a question look at demonstrations with scores that are linear, not a softmax, in $x^\top M x_i$, and let their values be signs $\sigma_i = \pm 1$ for the two classes. What it reads is
#
# $$\sum_i (x^\top M x_i)\, \sigma_i = x^\top M \sum_i \sigma_i x_i = n\, x^\top M (\hat\mu_1 - \hat\mu_0).$$
#
# Divided by $n$ and less the offset $\tfrac12(\hat\mu_1^\top M \hat\mu_1 - \hat\mu_0^\top M \hat\mu_0)$ this is the difference of the two scores (2): one layer of attention can hold a *learnt metric* in its query and key matrices, and a nearest mean comes out. The softmax makes a weighted vote of it, in which demonstrations
# with a high score count more. The offset is not in this sum, and there are two ways to it: a question reads both means, and leaves the rest to the perceptron behind its attention; or demonstrations look at each other first, and a second layer reads what they found.
#
# ### The model
#
# A demonstration is one token, the sum of a linear map of $x_i$ and a vector for its label; a question has the vector of a blank in its place. There are no positions. Two blocks of attention follow,
#
# $$z^{(l+1)} = \mathrm{block}\big(z^{(l)};\ \text{who may look at whom}\big), \qquad \text{logits} = W z^{(L)}_{\text{question}}, \tag{4}$$
#
# where demonstrations look at those before them, as in a language model, and questions look at demonstrations and, in some calls, at the questions before. It is trained on tasks to say the labels of the questions,
#
# $$\mathcal L = -\frac1Q \sum_{q} \log p_\theta\big(y_q \mid x_q, (x_1, y_1), \dots, (x_{N_q}, y_{N_q})\big), \tag{5}$$
#
# with $N_q$ running through 2, 4, 8 and 16, so that one model serves all numbers. The tokens *are* features; in ManyICL each of them would be a picture of some hundred tokens.


# %%
def by_hand(shown, said, asked):
    """Difference of the scores (2) with M = I, from linear attention and its offset; one episode."""
    signs = 2.0 * said - 1
    read = ((asked @ shown.T) * signs).sum(1) / (len(said) / 2)
    one, zero = shown[said == 1].mean(0), shown[said == 0].mean(0)
    return read - (one @ one - zero @ zero) / 2


demo, batch = ManyICL.demo()
scores = nearest_mean(batch["shown"], batch["said"], batch["asked"])
found = torch.stack(
    [by_hand(*(batch[k][e] for k in ("shown", "said", "asked"))) for e in range(12)]
)
assert torch.allclose(found, scores[..., 1] - scores[..., 0], atol=1e-4)
say(
    "Linear attention with signs as values, and the offset, gives the difference of two nearest-mean scores for every question of the demo."
)

# %% [markdown]
# ## The world
#
# In {py:func}`~mmlab.data.worlds.episode_world.episode_world` items have eight features. The means of a task's classes are drawn from a standard normal law. Around them items scatter little in three directions and widely in five, the same in all tasks of a world and turned at random between
# worlds. So there is something to bring along from other tasks. Without it Euclid's nearest mean stays far below the ceiling, which is computed below by (3), however many demonstrations there are: even with the true means it would weigh wide and narrow directions alike.
#
# Everybody gets the same demonstrations. The rows:
#
# | row | has from other tasks | has from the task | chosen on validation tasks |
# | --- | --- | --- | --- |
# | ManyICL | weights, by training on tasks, each read once | demonstrations in the context | learning rate, of three |
# | nearest class mean | nothing | class means | – |
# | nearest mean in a learnt metric | $\Sigma_w$ of the same tasks | class means | – |
# | estimated law | $\Sigma_w$ and $\Sigma_b$ of the same tasks | class means | – |
# | discriminant analysis | nothing | means and a shrunk covariance | shrinkage, of four |
# | logistic regression | nothing | a hyperplane | penalty, of four |
# | shuffled labels | as ManyICL | demonstrations whose labels are mixed | – |
# | best possible | the true law | class means | – |

# %%
SHOTS = (2, 4, 8, 16, 32, 64)  # demonstrations, half of each class
RATES = (3e-3, 1e-2, 2e-2)
AMOUNTS = (0.01, 0.1, 1.0, 10.0)
FIT = {"batch_size": 32, "betas": (0.9, 0.99), "warmup": 20, "schedule": "cosine", "progress": False}  # fmt: skip


def trained(world, lr, seed, steps):
    model = ManyICL.seeded(seed)
    mmlab.fit(model, world.train, steps=steps, lr=lr, seed=seed, **FIT)
    return model


def cut(items, shots):
    """The first demonstrations of every episode."""
    found = dict(items.tensors)
    return found | {"shown": found["shown"][:, :shots], "said": found["said"][:, :shots]}  # fmt: skip


def parts(items):
    return items["shown"], items["said"], items["asked"]


def discriminant(items, amount):
    """Scores (2) with the task's own covariance, drawn towards a round one."""
    shown, said, asked = parts(items)
    means, _ = class_means(shown, said)
    rest = shown - means.gather(1, said[..., None].expand_as(shown))
    own = rest.mT @ rest / shown.shape[1]
    share = amount / (1 + amount)
    round_one = own.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(8)
    metric = torch.linalg.inv((1 - share) * own + share * round_one + 1e-4 * torch.eye(8))  # fmt: skip
    gap = asked[:, :, None] - means[:, None]
    return -torch.einsum("eqki,eij,eqkj->eqk", gap, metric, gap)


def logistic(items, amount):
    """Logistic regression with a penalty on its weights, by Newton's method, on every task at once."""
    shown, said, asked = parts(items)
    x = torch.cat([shown, torch.ones_like(shown[..., :1])], 2)
    penalty = amount * torch.eye(9)
    penalty[-1, -1] = 1e-3
    w = torch.zeros(len(x), 9)
    for _ in range(12):
        p = torch.einsum("end,ed->en", x, w).sigmoid()
        slope = torch.einsum("en,end->ed", p - said, x) + w @ penalty
        bend = torch.einsum("en,end,enf->edf", p * (1 - p), x, x) + penalty
        w = w - torch.linalg.solve(bend, slope)
    z = torch.einsum("eqd,ed->eq", torch.cat([asked, torch.ones_like(asked[..., :1])], 2), w)  # fmt: skip
    return torch.stack([-z, z], 2)


def accuracy(scores, items):
    return float((scores.argmax(-1) == items["right"]).double().mean())


def mixed(items, seed):
    """The labels of the demonstrations in random order."""
    order = torch.rand(items["said"].shape, generator=torch.Generator().manual_seed(seed)).argsort(1)  # fmt: skip
    return items | {"said": items["said"].gather(1, order)}


# The learning rate, by validation tasks of a world that is used for nothing else.
spare = episode_world(1000, train=32 * steps // 2, test=tests)
tried = {
    lr: accuracy(trained(spare, lr, 0, steps // 2).predict(cut(spare.validation, 8)), cut(spare.validation, 8))
    for lr in RATES
}  # fmt: skip
rate = max(tried, key=tried.get)
say(f"Chosen learning rate: **{rate:g}**.")

# %%
worlds = {seed: episode_world(seed, train=32 * steps, test=tests) for seed in range(seeds)}  # fmt: skip
models = {seed: trained(world, rate, seed, steps) for seed, world in worlds.items()}
rows = []
for seed, world in worlds.items():
    within, between = estimated_law(
        world.train.tensors["shown"], world.train.tensors["said"]
    )
    metric = torch.linalg.inv(within)
    for shots in SHOTS:
        items, held = cut(world.test, shots), cut(world.validation, shots)
        found = {
            "ManyICL": models[seed].predict(items),
            "nearest class mean": nearest_mean(*parts(items)),
            "nearest mean, learnt metric": nearest_mean(*parts(items), metric=metric),
            "estimated law": posterior_predictive(*parts(items), within, between),
            "shuffled labels": models[seed].predict(mixed(items, seed)),
            "best possible": posterior_predictive(*parts(items), world.within, world.between),
        }  # fmt: skip
        for name, rule in (("discriminant analysis", discriminant), ("logistic regression", logistic)):  # fmt: skip
            amount = max(AMOUNTS, key=lambda a: accuracy(rule(held, a), held))
            found[name] = rule(items, amount)
        rows += [
            {"method": name, "seed": seed, "demonstrations": shots, "accuracy": accuracy(made, items)}
            for name, made in found.items()
        ]  # fmt: skip
results = pd.DataFrame(rows)
ORDER = [
    "ManyICL", "nearest class mean", "discriminant analysis", "logistic regression",
    "nearest mean, learnt metric", "estimated law", "shuffled labels", "best possible",
]  # fmt: skip


def values(name, shots):
    part = results[
        (results["method"] == name) & (results["demonstrations"] == shots)
    ]
    return part.sort_values("seed")["accuracy"].tolist()


mean = results.groupby(["method", "demonstrations"])["accuracy"].mean()
show(
    lines(results, "demonstrations", "accuracy", log_x=True, height=4.2),
    alt="Accuracy against the number of demonstrations. "
    + " ".join(
        f"{name}: " + ", ".join(f"{mean[name, n]:.2f} at {n}" for n in SHOTS) + "."
        for name in ORDER
    ),
    caption=f"Accuracy on new tasks against the number of demonstrations, {seeds} worlds; bands are 95 % intervals over worlds. At 4 demonstrations the row nearest to the ceiling, the ceiling aside, is *{max(ORDER[:-1], key=lambda name: mean[name, 4])}*.",
    label="icl-curve",
)

# %%
budgets = Budgets(
    "ManyICL",
    {
        "ManyICL": Spent(steps, sum(p.numel() for p in models[0].parameters()), ("learning rate",), len(RATES)),
        "nearest class mean": Spent(),
        "nearest mean, learnt metric": Spent(None, 36),
        "estimated law": Spent(None, 72),
        "discriminant analysis": Spent(None, None, ("shrinkage",), len(AMOUNTS)),
        "logistic regression": Spent(None, 9, ("penalty",), len(AMOUNTS)),
        "shuffled labels": Spent(steps, None, ("learning rate",), len(RATES)),
        "best possible": Spent(),
    },
)  # fmt: skip
wide = results[results["demonstrations"].isin([4, 16, 64])].pivot(
    index=["method", "seed"], columns="demonstrations", values="accuracy"
)
wide.columns = [f"accuracy at {n}" for n in wide.columns]
table_over_seeds(
    wide.reset_index(),
    "Accuracy on the test tasks by number of demonstrations. ManyICL has seen no task with more than 16.",
    best=dict.fromkeys(wide.columns, "higher"),
    reference=["best possible"],
    ceiling="best possible",
    order=ORDER,
    budgets=budgets,
)
record(
    budget=budgets.plain(),
    accuracy={name: [round(v, 4) for v in values(name, 4)] for name in ORDER},
)

# %%
AT = 4
RIVALS = {
    "nearest-mean": ("nearest class mean", "the nearest class mean"),
    "metric": ("nearest mean, learnt metric", "the nearest mean in the learnt metric"),
    "estimated-law": ("estimated law", "the estimated law"),
    "discriminant": ("discriminant analysis", "discriminant analysis"),
    "logistic": ("logistic regression", "logistic regression"),
    "shuffled-labels": ("shuffled labels", "the same model with shuffled labels"),
}  # fmt: skip
say(
    f"With {AT} demonstrations:\n\n"
    + "\n".join(
        "- "
        + claimed(
            f"icl-{name}",
            values("ManyICL", AT),
            values(rival, AT),
            direction="higher",
            better=f"ManyICL is ahead of {told}: {{ours}} against {{theirs}}.",
            worse=f"ManyICL is behind {told}: {{ours}} against {{theirs}}.",
            undecided=f"ManyICL ({{ours}}) and {told} ({{theirs}}) cannot be told apart.",
            called="worlds",
        )
        for name, (rival, told) in RIVALS.items()
    )
    + "\n\nWith more of them:\n\n"
    + "\n".join(
        "- " + sentence
        for sentence in (
            claimed(
                "icl-more-shots",
                values("ManyICL", 16),
                values("ManyICL", 4),
                direction="higher",
                better="Sixteen demonstrations are better than four: {ours} against {theirs}.",
                worse="Sixteen demonstrations are worse than four: {ours} against {theirs}.",
                undecided="Sixteen demonstrations ({ours}) and four ({theirs}) cannot be told apart.",
                called="worlds",
            ),
            claimed(
                "icl-beyond-training",
                values("ManyICL", 64),
                values("ManyICL", 16),
                direction="higher",
                better="Beyond the numbers of its training accuracy goes on rising: {ours} with 64 demonstrations, {theirs} with 16.",
                worse="Beyond the numbers of its training accuracy falls: {ours} with 64 demonstrations, {theirs} with 16.",
                undecided="Beyond the numbers of its training nothing can be told: {ours} with 64 demonstrations, {theirs} with 16.",
                called="worlds",
            ),
            *(
                claimed(
                    f"icl-{name}-many",
                    values("ManyICL", 64),
                    values(rival, 64),
                    direction="higher",
                    better=f"With 64 demonstrations ManyICL is ahead of {told}: {{ours}} against {{theirs}}.",
                    worse=f"With 64 demonstrations ManyICL is behind {told}: {{ours}} against {{theirs}}.",
                    undecided=f"With 64 demonstrations ManyICL ({{ours}}) and {told} ({{theirs}}) cannot be told apart.",
                    called="worlds",
                )
                for name, (rival, told) in RIVALS.items()
                if name in ("estimated-law", "discriminant", "logistic")
            ),
        )
    )
)

# %% [markdown]
# The rows come in two kinds: those that know how items scatter in *other* tasks, and those that know nothing but the demonstrations. Look at the curve for what this knowledge is worth at few demonstrations and at many, and from which number on a classifier that is fitted to the demonstrations alone has passed the model: that
# number is this world's answer to the question at the top. The claims against such classifiers are at few demonstrations and at many. Shuffled labels are the control: a model that answered
# from its weights would not mind them. And a question to keep in mind is what a transformer adds to the two matrices of the estimated law, which were averaged from the same tasks: in a world that *is* Gaussian, and asked one question at a time, there is little left for it to add.
#
# ## What went wrong in practice
#
# ### Order
#
# A demonstration looks at those before it, so the order of demonstrations can matter, while the world has none. In training they came in pairs, one of each class. How many answers change if the same demonstrations come in any order? And is it of use to ask with several orders and take the mean of the probabilities?

# %%
ORDERS = 8
turned = []
for seed, world in worlds.items():
    rng = torch.Generator().manual_seed(seed)
    for shots in (4, 16):
        items = cut(world.test, shots)
        drawn = []
        for _ in range(ORDERS):
            place = torch.rand(items["said"].shape, generator=rng).argsort(1)
            again = items | {
                "said": items["said"].gather(1, place),
                "shown": items["shown"].gather(
                    1, place[..., None].expand(-1, -1, 8)
                ),
            }
            drawn.append(models[seed].predict(again))
        place = items["said"].argsort(dim=1, stable=True)
        in_blocks = items | {
            "said": items["said"].gather(1, place),
            "shown": items["shown"].gather(1, place[..., None].expand(-1, -1, 8)),
        }
        said = torch.stack([p.argmax(-1) for p in drawn])
        turned.append({
            "seed": seed, "demonstrations": shots,
            "answers that an order changes": float((said[1:] != said[:1]).double().mean()),
            "in pairs": accuracy(models[seed].predict(items), items),
            "one order": float(np.mean([accuracy(p, items) for p in drawn])),
            "mean of eight orders": accuracy(torch.stack(drawn).mean(0), items),
            "class by class": accuracy(models[seed].predict(in_blocks), items),
        })  # fmt: skip
turned = pd.DataFrame(turned)
table(
    turned.drop(columns="seed").groupby("demonstrations").mean(),
    "The same demonstrations in other orders. Mean over worlds.",
    digits=3,
)
four = turned[turned["demonstrations"] == AT]
claim(
    "icl-in-pairs",
    four["in pairs"],
    four["one order"],
    direction="higher",
    better="Demonstrations in pairs, as in training, are better than in any order: {ours} against {theirs}.",
    worse="Demonstrations in pairs, as in training, are worse than in any order: {ours} against {theirs}.",
    undecided="Demonstrations in pairs, as in training ({ours}), and in any order ({theirs}) cannot be told apart.",
    called="worlds",
)
claim(
    "icl-mean-of-orders",
    four["mean of eight orders"],
    four["one order"],
    direction="higher",
    better="The mean over eight orders is better than one order, at eight times the reading: {ours} against {theirs}.",
    worse="The mean over eight orders is worse than one order: {ours} against {theirs}.",
    undecided="The mean over eight orders ({ours}) and one order ({theirs}) cannot be told apart.",
    called="worlds",
)
claim(
    "icl-class-by-class",
    four["class by class"],
    four["one order"],
    direction="higher",
    better="Demonstrations class by class are better than in any order: {ours} against {theirs}.",
    worse="Demonstrations class by class are worse than in any order: {ours} against {theirs}.",
    undecided="Demonstrations class by class ({ours}) and in any order ({theirs}) cannot be told apart.",
    called="worlds",
)

# %% [markdown]
# The nearest mean has no such trouble, and with `order="set"` the model has none either: there every demonstration looks at all. A language model does not offer that switch.
#
# ### Several questions in one call
#
# Demonstrations are read once for each call. With $N$ demonstrations and $Q$ questions of equal size,
#
# $$\text{tokens read for one answer} \;\propto\; \frac{N + Q}{Q}, \tag{6}$$
#
# so that batching makes many demonstrations affordable, unless what was read of them is kept from call to call. But questions of one call see each other. In training half of our tasks were read that way, so the model knows both ways. (There a question that looks at two demonstrations may stand behind one that has looked at sixteen, and read from it what the test does not
# offer.) Unlabelled questions tell where items lie, so that together they might even pass the ceiling, which is that of single questions. Is that of use? The last question of a call sees the seven others.

# %%
grouped = []
for seed, world in worlds.items():
    for shots in (2, 4, 16):
        items = cut(world.test, shots)
        seen = items | {
            "together": torch.ones(len(items["right"]), dtype=torch.bool)
        }
        for name, made in (("alone", items), ("eight together", seen)):
            p = models[seed].predict(made)
            right = (p.argmax(-1) == items["right"]).double()
            grouped.append({
                "way": name, "seed": seed, "demonstrations": shots,
                "accuracy": float(right.mean()), "last question": float(right[:, -1].mean()),
                "read for one answer": tokens_per_question(shots, 8 if name != "alone" else 1),
            })  # fmt: skip
grouped = pd.DataFrame(grouped)
table(
    grouped.drop(columns="seed").groupby(["demonstrations", "way"]).mean(),
    "One question a call, or eight. What is read is counted in items by (6).",
    digits=3,
)
two = grouped[grouped["demonstrations"] == 2]
claim(
    "icl-together-alone",
    two[two["way"] == "eight together"]["accuracy"].tolist(),
    two[two["way"] == "alone"]["accuracy"].tolist(),
    direction="higher",
    better="With two demonstrations, questions that see each other are answered better: {ours} against {theirs}.",
    worse="With two demonstrations, questions that see each other are answered worse: {ours} against {theirs}.",
    undecided="With two demonstrations it cannot be told whether questions should see each other: {ours} together, {theirs} alone.",
    called="worlds",
)


# %%
def draw_cost(shots):
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    counts = np.array([1, 2, 5, 10, 20, 50])
    axes.plot(counts, [tokens_per_question(shots, q) for q in counts], marker="o")
    axes.set(xlabel="questions a call", ylabel="items read for one answer", xscale="log", yscale="log", ylim=(0.8, 1200))  # fmt: skip
    return figure


frames(
    {"demonstrations": [0, 10, 100, 1000]},
    draw=draw_cost,
    alt=lambda shots: (
        f"With {shots} demonstrations, {tokens_per_question(shots, 1):g} items are read for an answer if it is asked alone, {tokens_per_question(shots, 50):g} if fifty are asked at once."
    ),
    caption="What (6) says: move the slider. The curve falls like 1/Q as long as Q is small beside N, and comes near 1 where Q is large beside N.",
)

# %% [markdown]
# ### Answers that cannot be read
#
# A call with many questions comes back as one text. The prompt numbers the questions and asks for a form; here are two demonstrations, equal per class and shuffled by a seed, and two questions.

# %%
NAMES = ("bear", "polar bear")
rng = torch.Generator().manual_seed(0)
chosen = balanced(torch.tensor([0, 0, 0, 1, 1, 1]), 1, rng)
prompt = write_prompt(
    [0 if place < 3 else 1 for place in chosen.tolist()], NAMES, 2
)
say("```text\n" + prompt + "\n```")
back = read_replies(write_replies([1, 0], NAMES, [0.9, 0.6]), 2, NAMES)
assert back.read == (1, 0)
assert back.confidence == (0.9, 0.6)

# %% [markdown]
# The names are a trap: *bear* stands in *polar bear*. The released scorer {cite}`jiang2024manyshot` looks for each name as a substring; an answer in which it finds two, as in every *polar bear*, is an error, and errors are **left out of the denominator**. What does that do to
# a score? Let our model be a writer that names a class where it is sure and hedges where it is not: "bear or polar bear" for the fifth of its answers with the least confidence, and no line at all for one in twenty. The same model four times: once it has to choose, and then its replies are counted in three ways.


# %%
def written(p, rng):
    """The reply to eight questions by a writer who hedges and forgets."""
    said, sure = p.argmax(-1), p.amax(-1)
    lines_ = []
    for q in range(len(said)):
        if torch.rand((), generator=rng) < 0.05:
            continue
        name = NAMES[said[q]] if sure[q] > hedges else "bear or polar bear"
        lines_.append(f"Answer {q + 1}: {name}")
    return "\n".join(lines_)


def by_substring(text, truth):
    """Right answers and denominator of a scorer that takes substrings and leaves out what it cannot read."""
    right = count = 0
    for q, label in enumerate(truth):
        line = next((row.split(":", 1)[1] for row in text.split("\n") if row.startswith(f"Answer {q + 1}:")), "")  # fmt: skip
        inside = [k for k, name in enumerate(NAMES) if name in line]
        if len(inside) == 1:
            right, count = right + (inside[0] == label), count + 1
    return right, count


counted = []
for seed, world in worlds.items():
    rng = torch.Generator().manual_seed(seed)
    items = cut(world.test, 8)
    p = models[seed].predict(items)
    hedges = float(p.amax(-1).flatten().quantile(0.2))
    read, hits, count = [], 0, 0
    for e in range(len(p)):
        text = written(p[e], rng)
        read += read_replies(text, 8, NAMES).read
        right, seen = by_substring(text, items["right"][e].tolist())
        hits, count = hits + right, count + seen
    scores = choice_scores(read, items["right"].flatten().tolist())
    counted.append({
        "seed": seed, "a choice for every question": accuracy(p, items), "all answers": scores.accuracy,
        "readable answers only": scores.among_parsed, "substring, errors left out": hits / max(count, 1),
        "unreadable": scores.unreadable, "ambiguous": scores.ambiguous,
        "left out by substring": 1 - count / len(read),
    })  # fmt: skip
counted = pd.DataFrame(counted)
table(
    counted.drop(columns="seed").mean().to_frame("mean").T,
    "The same model at eight demonstrations: its choices, its replies scored in three ways, and the shares that could not be read or were left out. Mean over worlds.",
    digits=3,
)
claim(
    "icl-left-out",
    counted["readable answers only"],
    counted["a choice for every question"],
    direction="higher",
    better="Leaving out what cannot be read raises the score above that of the same model when it has to choose: {ours} against {theirs}. It has learnt nothing but to hedge.",
    worse="Leaving out what cannot be read lowers the score below that of the same model when it has to choose: {ours} against {theirs}.",
    undecided="With unreadable answers left out ({ours}) and with a choice for every question ({theirs}) the scores cannot be told apart.",
    called="worlds",
)

# %% [markdown]
# Count all questions, and print beside the score how many answers were unreadable and how many ambiguous: {py:func}`~mmlab.metrics.multiple_choice.choice_scores` does.
#
# ## Pictures of new classes
#
# In the drawn world new tasks follow the law of the old ones. Pictures do not keep such promises. Here tasks tell two handwritten digits apart, by eight principal components of the picture with noise on them. Training sees tasks of the digits 0 to 5. We test twice: on tasks of
# these digits with pictures that training has not seen, and on tasks of the digits 6 to 9, which no training task had.

# %%
digits = []
for seed in range(seeds):
    world = digit_episodes(seed, train=32 * steps // 2, test=tests, noise=0.7)
    model = trained(world, rate, seed, steps // 2)
    within, between = estimated_law(
        world.train.tensors["shown"], world.train.tensors["said"]
    )
    for name, items in (("old digits", cut(world.validation, 8)), ("new digits", cut(world.test, 8))):  # fmt: skip
        made = {
            "ManyICL": model.predict(items),
            "nearest class mean": nearest_mean(*parts(items)),
            "nearest mean, learnt metric": nearest_mean(*parts(items), metric=torch.linalg.inv(within)),
            "estimated law": posterior_predictive(*parts(items), within, between),
        }  # fmt: skip
        digits += [
            {
                "method": row,
                "seed": seed,
                "tasks": name,
                "accuracy": accuracy(p, items),
            }
            for row, p in made.items()
        ]
digits = pd.DataFrame(digits)
pictured = digits.pivot(index=["method", "seed"], columns="tasks", values="accuracy")[["old digits", "new digits"]]  # fmt: skip
table_over_seeds(
    pictured.reset_index(),
    "Accuracy on tasks of two digits with eight demonstrations.",
    best=dict.fromkeys(pictured.columns, "higher"),
    order=["ManyICL", "nearest class mean", "nearest mean, learnt metric", "estimated law"],
    budgets=budgets,
)  # fmt: skip


def of_digits(name, tasks):
    part = digits[(digits["method"] == name) & (digits["tasks"] == tasks)]
    return part.sort_values("seed")["accuracy"].tolist()


say(
    "\n".join(
        "- "
        + claimed(
            f"digits-{tasks.replace(' ', '-')}",
            of_digits("ManyICL", tasks),
            of_digits("nearest class mean", tasks),
            direction="higher",
            better=f"On {told}, ManyICL is ahead of the nearest class mean: {{ours}} against {{theirs}}.",
            worse=f"On {told}, the nearest class mean is ahead of ManyICL: {{theirs}} against {{ours}}.",
            undecided=f"On {told}, ManyICL ({{ours}}) and the nearest class mean ({{theirs}}) cannot be told apart.",
            called="splits",
        )
        for tasks, told in (("old digits", "new pictures of old digits"), ("new digits", "digits that no training task had"))
    )
    + "\n- "
    + claimed(
        "digits-law",
        of_digits("ManyICL", "old digits"),
        of_digits("estimated law", "old digits"),
        direction="higher",
        better="On new pictures of old digits, ManyICL is ahead of the estimated law: {ours} against {theirs}.",
        worse="On new pictures of old digits, the estimated law is ahead of ManyICL: {theirs} against {ours}.",
        undecided="On new pictures of old digits, ManyICL ({ours}) and the estimated law ({theirs}) cannot be told apart.",
        called="splits",
    )
)  # fmt: skip

# %% [markdown]
# Hold the two columns against each other, row by row: what does each row bring along, and does it serve on digits that are new? Six digits make fifteen pairs; the model may have learnt *these digits* rather than how to use demonstrations. Would more classes in training close the gap? The exercise below asks. The nearest mean
# brings nothing along and has
# nothing to lose: print it beside every curve of demonstrations.
#
# ## Exercises
#
# ```{exercise} The nearest mean, on every task at once (code)
# :label: many-icl-mean
#
# Write (1) for one episode: demonstrations `shown` (N, D), their labels `said` (N,) of 0 and 1, and one question `asked` (D,). Return the two scores.
# ```

# %% tags=["stub:mean"]
from mmlab.exercises.many_icl import check_mean


def scores_of(shown, said, asked):
    return ...


check_mean(scores_of)

# %% [markdown]
# ```{solution-start} many-icl-mean
# :class: dropdown
# ```


# %% tags=["solution:mean"]
def scores_of(shown, said, asked):
    means = torch.stack([shown[said == c].mean(0) for c in (0, 1)])
    return -(asked - means).square().sum(1) / 2


check_mean(scores_of)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How far a mean should be believed (compute)
# :label: many-icl-shrink
#
# One feature; means are drawn with variance 1, items scatter with variance 9 around them. With one demonstration of each class and with nine: what is $G$ in (3), and what is the variance of a new item around $G \hat\mu_c$? Write four numbers, $G$ and variance for one, then for nine.
# ```

# %% tags=["stub:shrink"]
from mmlab.exercises.many_icl import check_shrink

answer = ...

check_shrink(answer)

# %% [markdown]
# ```{solution-start} many-icl-shrink
# :class: dropdown
# ```
#
# $G = 1 / (1 + 9/n)$ and the variance is $9 + (1 - G)$. With one demonstration a tenth of the mean is believed.

# %% tags=["solution:shrink"]
gains = [1 / (1 + 9 / n) for n in (1, 9)]
answer = (gains[0], 9 + 1 - gains[0], gains[1], 9 + 1 - gains[1])

check_shrink(answer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What one sum cannot do (think)
# :label: many-icl-offset
#
# Linear attention with values $\sigma_i = \pm1$ gives $n\,x^\top M(\hat\mu_1 - \hat\mu_0)$ and lacks the offset of (2). (a) For which tasks does the offset vanish? (b) Give the demonstrations other values, so that their sum with equal scores is the offset, and say why these values cannot be made from one demonstration alone.
# (c) Show that a second layer can make them. What could a perceptron behind a single layer do instead?
# ```
#
# ```{solution-start} many-icl-offset
# :class: dropdown
# ```
#
# (a) If both means are equally far from 0 in the metric $M$, as for $\hat\mu_1 = -\hat\mu_0$. (b) The offset is $\tfrac12(\hat\mu_1^\top M \hat\mu_1 - \hat\mu_0^\top M \hat\mu_0)$. A value $\sigma_i\, x_i^\top M \hat\mu_{y_i} / (2n)$, summed without looking at the question, gives it exactly; but it holds $\hat\mu_{y_i}$,
# the mean of *all* demonstrations of the class, and demonstration $i$ alone knows only $x_i$. Its own $x_i^\top M x_i$ would add the trace of $M$ times the scatter, which is the same for both classes only in expectation. (c) In a first layer demonstration $i$ looks at those of its own class and reads $\hat\mu_{y_i}$; the
# perceptron of the block makes the product, and the second layer sums it. Or a question reads $\sum_i \sigma_i x_i$ with one head and $\sum_i x_i$ with another: from both it has both means, and the perceptron behind them can approximate the offset. With causal attention early demonstrations see only few of their class: this
# is one way in which order enters.

# %%
episode = {k: v[:1] for k, v in batch.items()}
means, _ = class_means(episode["shown"], episode["said"])
offset = float((means[0, 1].square().sum() - means[0, 0].square().sum()) / 2)
own = means[0].gather(0, episode["said"][0][:, None].expand(-1, 3))
signs = 2.0 * episode["said"][0] - 1
read = float((signs * (episode["shown"][0] * own).sum(1)).sum() / 4)
assert abs(read - offset) < 1e-4
say("On the demo's first task the sum of those values is the offset.")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} New digits, again (think)
# :label: many-icl-classes
#
# Look at the column of new digits in the last table, at the model, the estimated law and the two nearest means. What have the model and the law learnt that the nearest means have not? Say what you would change in the training tasks, and which run would show that this was the cause.
# ```
#
# ```{solution-start} many-icl-classes
# :class: dropdown
# ```
#
# Both have seen six class means, and may have learnt where means lie. The law has: six points less their mean span at most five directions, along all others $\Sigma_b$ is nearly zero, as printed below, and $G$ in (3) throws away what demonstrations say there. Raise those eigenvalues and look whether the law comes back. For
# the model it is a guess; to separate it from *pictures are not Gaussian*, keep the pictures and change the tasks alone: for every training task turn and shift the
# features at random, so that no direction is special; or raise the number of digits in training from two to eight and look whether the gap closes.

# %%
sizes = torch.linalg.eigvalsh(between).flip(0)
say(
    "The eigenvalues of the last estimate of Σ_b: "
    + ", ".join(f"{value:.2f}" for value in sizes)
    + "."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} The labels of all demonstrations are exchanged, 0 for 1. What must a model answer that learns from its context?
# The other class, for every question. A model that keeps its answers reads its weights, not the demonstrations.
# ```
#
# ```{dropdown} Why can nobody who answers one question at a time beat (3) in the drawn world?
# With the true covariances and equally frequent classes it gives the posterior probability of the class, given the demonstrations and this question. Choosing the likelier class minimises the probability of an error. Other questions of the same task, even without labels, tell a little more: who reads them together has another
# ceiling.
# ```
#
# ```{dropdown} A paper reports accuracy among parsed answers. What do you ask for?
# How many answers were not parsed, and the accuracy over all questions. A model that answers only what it is sure of looks good in the first.
# ```
#
# ## In five lines
#
# - Demonstrations are a small training set; the nearest class mean uses it without training, and belongs into every figure.
# - Beyond that, a model brings along what other tasks had in common: how items scatter, and where classes lie.
# - In a Gaussian world two estimated covariances hold nearly all of it; the claims above say how far the transformer comes.
# - Order, batching and the reading of replies can each move the score; measure whether they do, and leave no question out of the denominator.
# - Test what was learnt from other tasks on tasks unlike them, too: the last table shows both.
#
# ## Limits, and what to read next
#
# - Items here are eight numbers, not pictures of hundreds of tokens, and labels are numbers, not names: a large model also knows what *bear* means, and starts above chance without any demonstration.
# - Two classes, and up to 64 demonstrations; the paper goes to about two thousand {cite}`jiang2024manyshot`.
# - One small network and one recipe, with a rate from three that were tried with half of the steps on one world. Whether a longer training comes nearer to (3) is for the profile `gpu` to say.
# - Released tables of pictures and labels are read by {py:func}`~mmlab.data.sets.one_hot_labels.read_one_hot_labels`.
#
# [nlg2choice](nlg2choice.ipynb) reads answers by their probability instead of their letters; [Orchestrator](orchestrator.ipynb) asks what stated confidences are worth.

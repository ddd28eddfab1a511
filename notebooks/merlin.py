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
# # What the neighbours know: MERLIN
#
# **A picture and its description are for sale. Will the price be low, middling or high? What do the things tell that are related to it?**
#
# MERLIN {cite}`merlin` predicts the class of price of an NFT, a token on a blockchain that stands for a picture, from image and text alone: no past prices go in. Transformers make embeddings of image and text, a graph joins related items, a graph neural network
# passes messages, and a threshold at the end trades risk against return. The part that is easily believed is the graph. But a graph may be drawn from the very embeddings that it joins, and then what could it add?
#
# This chapter asks what a relation must carry to be worth something. The market in it is *drawn*: nothing was sold, no prices were collected, and no advice follows. In return its law is known, so that exact probabilities can stand beside the networks,
# and we can make the relation informative, useless, or wrong.
#
# **After this chapter you can**
#
# - add related items to a classifier, so that without any it is the plain one;
# - tell a relation that carries something new from one that is made of the features;
# - put the prices of neighbours beside it as a rival, and see how an item's own price leaks in;
# - move a threshold and say what it costs.
#
# You need PyTorch and cross-entropy; [MuMiN](mumin.ipynb) has the layer of messages. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 8
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.market_world import market_world
from mmlab.methods.merlin import MERLIN, called_high
from mmlab.metrics.classification import macro_f1
from mmlab.nn.graph import mean_over
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 1000}[profile]

# %% [markdown]
# ## What goes where

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "own": Box(0, 0, "text and picture\nof the item"),
    "near": Box(0, 1.4, "text and picture\nof related items"),
    "e": Box(1, 0, "embedding (1)", "trained"),
    "es": Box(1, 1.4, "embeddings (1)", "trained"),
    "h": Box(2, 0.7, "messages (2)", "changed"),
    "p": Box(3, 0.7, "low, middle,\nhigh (3)", "loss"),
}
arrows = [
    Arrow("own", "e"),
    Arrow("near", "es"),
    Arrow("e", "h"),
    Arrow("es", "h", "mean"),
    Arrow("h", "p"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: text and picture of the item become an embedding, those of related items become embeddings by the same layer; the item's embedding and the mean of the others are joined by messages, and give the class low, middle or high.",
    caption="Blue is trained; the orange layer is all that the graph adds. No price is among the inputs.",
)

# %% [markdown]
# ## An item and its relations
#
# Item $i$ has a text $t_i$ and a picture $v_i$, vectors from frozen encoders. They are concatenated and embedded,
#
# $$e_i = \mathrm{ReLU}(W_e\,[t_i, v_i]), \tag{1}$$
#
# and the item hears the mean of the embeddings of the items that it is related to, $N(i)$:
#
# $$h_i = \mathrm{ReLU}\Big(\mathrm{norm}\Big(W e_i + W_n\, \frac{1}{|N(i)|}\sum_{j \in N(i)} e_j\Big)\Big), \qquad z_i = U h_i . \tag{2}$$
#
# With no related items the second term is zero, and what is left is a perceptron on the concatenation: the plain classifier, with the same weights. Training minimises
#
# $$L = -\tfrac{1}{B} \sum_i \log \mathrm{softmax}(z_i)_{y_i} . \tag{3}$$
#
# At the end a buyer may be careful. An item is *called high* if
#
# $$p_i(\text{high}) \ge \tau . \tag{4}$$
#
# A larger $\tau$ never calls more items: all that are called at a larger $\tau$ are also called at a smaller one. So the share of the high items that is found never rises with $\tau$; the share of the called ones that are high may rise or fall.

# %%
demo, batch = MERLIN.demo()
lonely = batch | {"near_there": torch.zeros_like(batch["near_there"])}
e = torch.relu(demo.embed(torch.cat([batch["text"], batch["picture"]], 1)))
plain = demo.head(torch.relu(demo.messages.norm(demo.messages.own(e))))
assert torch.equal(demo(lonely), plain)
loss = nn.functional.cross_entropy(demo(batch), batch["label"])
assert torch.allclose(loss, demo.loss(batch, torch.Generator())["loss"])
say("With no related items the method is the plain perceptron, bit for bit.")

# %% [markdown]
# ## A drawn market
#
# In our market ({py:func}`~mmlab.data.worlds.market_world.market_world`) 100 creators have made 8 items each. The log-price of an item has four parts: a quality that its text shows, a quality that its picture shows, the *reputation of its creator*, and chance. One picture shows the
# reputation under heavy noise; the eight pictures of a creator, averaged, show it with an eighth of the noise variance. The dial $\rho$ is the share of the reputation in the variance of the log-price. Classes are thirds.
#
# Three relations can be drawn over the same items:
#
# - **creator**: items of the same creator. It carries what no single item has, as far as $\rho > 0$;
# - **alike**: the seven items with the nearest vectors, made of the features themselves;
# - **shuffled**: as *creator*, but each item has the relations of another one.

# %%
SHARE = 0.4
KEYS = ("text", "picture", "text_near", "picture_near", "near_there", "label")
RELATIONS = {
    "concatenation": None,
    "shuffled relation": "shuffled",
    "alike": "alike",
    "MERLIN": "creator",
}


def market(draw, share=SHARE):
    """One market with every relation, and its items for training, validation and test."""
    world = market_world(share)
    drawn = {
        row: dict(world.draw(draw, relation or "creator").tensors)
        for row, relation in RELATIONS.items()
    }
    plain = drawn["concatenation"]
    plain["near_there"] = torch.zeros_like(plain["near_there"])
    order = torch.randperm(
        len(plain["label"]), generator=torch.Generator().manual_seed(draw)
    )
    return drawn, order.split([480, 160, 160])


markets = {d: market(d) for d in range(seeds)}


def same_class(tensors):
    """How often a related item is in the same class."""
    agree = tensors["label"][tensors["near"]] == tensors["label"][:, None]
    return float(agree.double().mean())


say(
    "Share of related items that are in the same class, where a third would be chance: "
    + ", ".join(
        f"*{row}* {np.mean([same_class(drawn[name]) for drawn, _ in markets.values()]):.2f}"
        for row, name in (
            ("creator", "MERLIN"),
            ("alike", "alike"),
            ("shuffled", "shuffled relation"),
        )
    )
    + ". Which of them says more than the item itself does?"
)

# %% [markdown]
# ## The rivals
#
# | row | what it sees |
# | --- | --- |
# | majority | nothing |
# | line on the item | logistic regression on text and picture |
# | line with means | the same, with the means of text and picture over the creator's other items |
# | neighbours' prices | logistic regression on the shares of the classes among the creator's *other training items*: no text, no picture |
# | line and prices | text, picture and these shares |
# | own price inside | the same fit, with a fault: in training, an item's own class is among the shares |
# | concatenation | our network, no relations |
# | alike, shuffled relation | our network with these relations |
# | MERLIN | our network with the creators |
# | exact, item alone; exact | the law of the market, without and with the creator's other items; no prices, so these rows are no ceiling for those that see prices |
#
# *Neighbours' prices* is a rival of another kind: it may look at prices that MERLIN forgoes. Labels travel along a graph: that is honest if these prices are known on the day of the question, and here the shares are of training items alone. *Own price inside* has the usual slip: does it cost anything on the test?
#
# **Budgets.** All networks have the same shapes, steps, batches and start. Every row but majority and the exact ones has one setting, with four values for networks and six for lines, chosen on validation items by the mean over the draws. All items are in the graph from the start, so a training item may
# hear from the text and picture of a test item, never from its class.

# %%
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
PENALTIES = (1e-3, 0.01, 0.1, 1.0, 10.0, 100.0)


def trained(lr, keys, markets):
    """Networks for rows and draws, side by side: answers for validation and test."""
    data = {}
    for row, d in keys:
        drawn, parts = markets[d]
        data[row, d] = [{k: drawn[row][k][p] for k in KEYS} for p in parts]
    methods = {key: MERLIN.seeded(key[1], 12, 12) for key in keys}
    fit_side_by_side(
        list(methods.values()),
        [TensorData(data[key][0]) for key in keys],
        steps=steps, batch_size=64, lr=lr, schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    return {
        key: [methods[key].predict(part) for part in data[key][1:]] for key in keys
    }


def shares(items, train, inside):
    """Shares of the classes among the training items of the same creator; with a fault, an item's own class too."""
    known = torch.zeros(len(items["label"]), dtype=torch.bool)
    known[train] = True
    classes = nn.functional.one_hot(items["label"], 3).float() * known[:, None]
    there = known[items["near"]] & items["near_there"]
    total = torch.where(there[..., None], classes[items["near"]], 0).sum(1)
    total = total + classes if inside else total
    count = total.sum(1, keepdim=True)
    return torch.cat([total / count.clamp(min=1), count > 0], 1)


def line(row, penalty, items, parts):
    """Answers of a line for validation and test."""
    train, *held = parts
    x = torch.cat([items["text"], items["picture"]], 1)
    if row == "line with means":
        there = items["near_there"]
        x = torch.cat(
            [
                x,
                *(
                    mean_over(items[f"{k}_near"], there)
                    for k in ("text", "picture")
                ),
            ],
            1,
        )
    if row == "neighbours' prices":
        x = shares(items, train, inside=False)
    if row in ("line and prices", "own price inside"):
        x = torch.cat(
            [x, shares(items, train, inside=row == "own price inside")], 1
        )
    model = LogisticRegression(C=penalty, max_iter=500).fit(
        x[train], items["label"][train]
    )
    return [torch.from_numpy(model.predict_proba(x[p])) for p in held]


LINES = [
    "line on the item",
    "line with means",
    "neighbours' prices",
    "line and prices",
    "own price inside",
]
tries = dict.fromkeys(LINES, PENALTIES) | dict.fromkeys(RELATIONS, RATES)
cells = [(row, d) for row in RELATIONS for d in range(seeds)]
found = {
    (row, d, lr): two
    for lr in RATES
    for (row, d), two in trained(lr, cells, markets).items()
}
for row in LINES:
    for d, (drawn, parts) in markets.items():
        for penalty in PENALTIES:
            found[row, d, penalty] = line(row, penalty, drawn["MERLIN"], parts)


def score(answer, d, part):
    """Macro-F1 on validation (1) or test (2)."""
    drawn, parts = markets[d]
    return macro_f1(answer, drawn["MERLIN"]["label"][parts[part]])


chosen, answers, rows = {}, {}, []
for row, settings in tries.items():
    mean = {
        h: np.mean([score(found[row, d, h][0], d, 1) for d in range(seeds)])
        for h in settings
    }
    chosen[row] = max(mean, key=mean.get)
    answers |= {(row, d): found[row, d, chosen[row]][1] for d in range(seeds)}
for d, (drawn, parts) in markets.items():
    items = drawn["MERLIN"]
    often = torch.zeros(160, 3)
    often[:, items["label"][parts[0]].bincount().argmax()] = 1
    test = {k: v[parts[2]] for k, v in items.items()}
    world = market_world(SHARE)
    answers["majority", d] = often
    answers["exact, item alone", d] = world.posterior(test, related=False)
    answers["exact", d] = world.posterior(test)
order = ["majority", *tries, "exact, item alone", "exact"]
scores = pd.DataFrame(
    [
        {"method": row, "seed": d, "macro-F1": score(answers[row, d], d, 2)}
        for row in order
        for d in range(seeds)
    ]
)

# %% tags=["hide-input"]
# Code of the table
count = sum(p.numel() for p in MERLIN.seeded(0, 12, 12).parameters())
budgets = Budgets(
    "MERLIN",
    {
        row: Spent(None, None, ("penalty",), 6)
        if row in LINES
        else Spent(steps, count, ("learning rate",), 4)
        for row in tries
    },
)
table_over_seeds(
    scores,
    f"Macro-F1 on 160 test items; networks after {steps} steps.",
    best={"macro-F1": "higher"},
    reference=["majority", "exact, item alone", "exact"],
    digits=3,
    order=order,
    budgets=budgets,
)
say(
    "Chosen on validation items (learning rates of networks; for lines, the inverse of the penalty): "
    + ", ".join(f"{row} {chosen[row]:g}" for row in tries)
    + "."
)
record(
    scores={
        row: round(float(part["macro-F1"].mean()), 4)
        for row, part in scores.groupby("method")
    },
    budget=budgets.plain(),
)


# %%
def values(row):
    return scores[scores["method"] == row].sort_values("seed")["macro-F1"].tolist()


def against(row):
    name = row.replace(" ", "-").replace("'", "").replace(",", "")
    return claimed(
        f"merlin-{name}",
        values("MERLIN"),
        values(row),
        direction="higher",
        better=f"MERLIN is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of MERLIN: {{theirs}} against {{ours}}.",
        undecided=f"MERLIN ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {against(row)}" for row in order if row != "MERLIN"))
claim(
    "own-price-inside-costs",
    values("own price inside"),
    values("line and prices"),
    direction="higher",
    better="The fit with the own price inside is ahead of the honest fit on the test: {ours} against {theirs}.",
    worse="The fit with the own price inside is behind the honest fit on the test: {ours} against {theirs}. It learnt to trust shares that hold the answer, and on new items they do not.",
    undecided="The fit with the own price inside ({ours}) and the honest one ({theirs}) cannot be told apart on the test.",
)
seen = []
for drawn, parts in markets.values():
    items = drawn["MERLIN"]
    x = torch.cat([items["text"], items["picture"]], 1)
    fitted = torch.cat([x, shares(items, parts[0], inside=True)], 1)
    asked = torch.cat(
        [x, shares(items, torch.cat([parts[0], parts[2]]), inside=True)], 1
    )
    model = LogisticRegression(C=chosen["own price inside"], max_iter=500)
    model.fit(fitted[parts[0]], items["label"][parts[0]])
    told = torch.from_numpy(model.predict_proba(asked[parts[2]]))
    seen.append(macro_f1(told, items["label"][parts[2]]))
claim(
    "own-price-in-the-test",
    seen,
    values("own price inside"),
    direction="higher",
    better="If the prices of the test items get into the shares as well, the same fit has {ours}, and {theirs} without them: the question holds a part of its answer.",
    worse="If the prices of the test items get into the shares as well, the same fit has {ours}, and {theirs} without them.",
    undecided="If the prices of the test items get into the shares as well, the same fit has {ours}, which cannot be told from {theirs} without them.",
)
for row in ("alike", "shuffled relation"):
    claim(
        f"relation-{row.replace(' ', '-')}-against-concatenation",
        values(row),
        values("concatenation"),
        direction="higher",
        better=f"The network with the relation *{row}* is ahead of the one without relations: {{ours}} against {{theirs}}.",
        worse=f"The network with the relation *{row}* is behind the one without relations: {{ours}} against {{theirs}}.",
        undecided=f"The network with the relation *{row}* ({{ours}}) and the one without relations ({{theirs}}) cannot be told apart.",
    )

# %% tags=["hide-input"]
# Code of the figure: all rows
means = scores.groupby("method")["macro-F1"].mean()
show(
    bars(scores, "macro-F1", order=order),
    alt="Macro-F1: " + ", ".join(f"{row} {means[row]:.2f}" for row in order) + ".",
    caption="Small dots are draws, the large dot is their mean with its 95 % interval. The two last rows know the law.",
    label="merlin-rows",
)

# %% [markdown]
# ## Only what is new
#
# If it is the reputation that the creators' relation brings in, the gain must go when the reputation has no part in the price, with the same graph and the same texts and pictures. The dial $\rho$ does that. What is taken from the reputation is given to chance.

# %%
DIAL = (0.0, 0.2)
rate_of = {row: chosen[row] for row in ("concatenation", "MERLIN")}
curve = [
    {"method": row, "creator's share": SHARE, "seed": d, "macro-F1": v}
    for row in (*rate_of, "line with means")
    for d, v in enumerate(values(row))
]
for share in DIAL:
    other = {d: market(d, share) for d in range(seeds)}
    made = {}
    for rate in sorted(set(rate_of.values())):
        keys = [(row, d) for row in rate_of if rate_of[row] == rate for d in other]
        made |= {key: two[1] for key, two in trained(rate, keys, other).items()}
    for d, (drawn, parts) in other.items():
        made["line with means", d] = line(
            "line with means", chosen["line with means"], drawn["MERLIN"], parts
        )[1]
    for (row, d), answer in made.items():
        drawn, parts = other[d]
        label = drawn["MERLIN"]["label"][parts[2]]
        curve.append(
            {
                "method": row,
                "creator's share": share,
                "seed": d,
                "macro-F1": macro_f1(answer, label),
            }
        )
curve = pd.DataFrame(curve)
over = curve.groupby(["method", "creator's share"])["macro-F1"].mean()
show(
    lines(curve, "creator's share", "macro-F1"),
    alt="Macro-F1 against the creator's share in the price. "
    + " ".join(
        f"{row}: "
        + ", ".join(f"{over[row, s]:.2f} at {s:g}" for s in (*DIAL, SHARE))
        + "."
        for row in curve["method"].unique()
    ),
    caption="At a share of 0 the creator has no part in the price. Rates and penalty are those chosen at the right end. The band is the 95 % interval over draws.",
    label="merlin-dial",
)


def gain(share):
    """What the creators add to the concatenation, by draw."""
    part = curve[curve["creator's share"] == share]
    wide = part.pivot_table(index="seed", columns="method", values="macro-F1")
    return (wide["MERLIN"] - wide["concatenation"]).to_numpy()


claim(
    "gain-needs-information",
    gain(SHARE),
    gain(0.0),
    direction="higher",
    better="The creators add more where their reputation has a part in the price, {ours}, than where it has none, {theirs}.",
    worse="The creators add less where their reputation has a part in the price, {ours}, than where it has none, {theirs}.",
    undecided="What the creators add where their reputation has a part in the price ({ours}) and where it has none ({theirs}) cannot be told apart.",
)
claim(
    "no-gain-without-information",
    gain(0.0),
    0.0,
    direction="higher",
    better="Where the reputation has no part in the price, the creators add {ours} all the same.",
    worse="Where the reputation has no part in the price, the creators do harm: {ours}.",
    undecided="Where the reputation has no part in the price, what the creators add ({ours}) cannot be told from nothing.",
)

# %% [markdown]
# ## A threshold for the careful
#
# Move $\tau$ of (4): how many items are called high, how many of these are (precision), and how many of the high ones are found (recall)? Precision is left out for a draw in which no item is called.

# %% tags=["hide-input"]
# Code of the widget
careful = []
for tau in (0.2, 0.35, 0.5, 0.65, 0.8):
    for row in ("concatenation", "MERLIN"):
        for d, (drawn, parts) in markets.items():
            high = drawn["MERLIN"]["label"][parts[2]] == 2
            called = called_high(answers[row, d], tau)
            hits = float((called & high).sum())
            both = {
                "precision": hits / float(called.sum()) if called.any() else np.nan,
                "recall": hits / float(high.sum()),
            }
            careful += [
                {"method": row, "seed": d, "τ": tau, "measure": m, "share": v}
                for m, v in both.items()
            ]
careful = pd.DataFrame(careful)


def at(tau):
    return careful[careful["τ"] == tau].dropna()


def told(tau):
    mean = at(tau).groupby(["measure", "method"])["share"].mean()
    return (
        f"At {tau:g}: "
        + ", ".join(f"{m} of {r} {v:.2f}" for (m, r), v in mean.items())
        + "."
    )


frames(
    {"τ": [0.2, 0.35, 0.5, 0.65, 0.8]},
    draw=lambda tau: bars(at(tau), "share", panel="measure"),
    alt=told,
    caption="Turn τ: small dots are draws, the large dot is their mean with its 95 % interval. What does a careful buyer miss?",
)
top = {}
for row in ("concatenation", "MERLIN"):
    top[row] = []
    for d, (drawn, parts) in markets.items():
        first = answers[row, d][:, 2].argsort(descending=True)[:20]
        top[row].append(
            float((drawn["MERLIN"]["label"][parts[2]][first] == 2).double().mean())
        )
claim(
    "precision-of-the-first-twenty",
    top["MERLIN"],
    top["concatenation"],
    direction="higher",
    unit="%",
    better="Of the 20 items that are most surely high, more are so with the creators than without: {ours} against {theirs}.",
    worse="Of the 20 items that are most surely high, fewer are so with the creators than without: {ours} against {theirs}.",
    undecided="Of the 20 items that are most surely high, {ours} are so with the creators and {theirs} without; these cannot be told apart.",
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Prices of the neighbours, without one's own (code)
# :label: merlin-prices
#
# You get prices (N,), which of them are known, boolean (N,), and an adjacency matrix, boolean (N, N), whose diagonal may be true. Write for each item the mean of the known prices of its neighbours, without its own; 0 where none is known.
# ```

# %% tags=["stub:prices"]
from mmlab.exercises.merlin import check_prices


def neighbours_prices(price, known, adjacent):
    return ...


check_prices(neighbours_prices)

# %% [markdown]
# ```{solution-start} merlin-prices
# :class: dropdown
# ```


# %% tags=["solution:prices"]
def neighbours_prices(price, known, adjacent):
    others = adjacent & ~torch.eye(len(price), dtype=torch.bool)
    usable = (others & known).float()
    return usable @ price / usable.sum(1).clamp(min=1)


check_prices(neighbours_prices)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How well do n pictures show a reputation (derive)
# :label: merlin-reputation
#
# A reputation r ~ N(0, 1) is shown by n pictures as r + σ ε with independent ε ~ N(0, 1). Write the squared correlation of r with the mean of the n pictures, as a function of n and σ.
# ```

# %% tags=["stub:reputation"]
from mmlab.exercises.merlin import check_reputation


def known_share(n, sigma):
    return ...


check_reputation(known_share)

# %% [markdown]
# ```{solution-start} merlin-reputation
# :class: dropdown
# ```
#
# The mean is $r + \sigma \varepsilon / \sqrt n$, with the variance $1 + \sigma^2/n$, and its covariance with $r$ is 1. So the squared correlation is $1/(1 + \sigma^2/n) = n/(n + \sigma^2)$.


# %% tags=["solution:reputation"]
def known_share(n, sigma):
    return n / (n + sigma**2)


check_reputation(known_share)

# %% [markdown]
# In our market σ is 2:

# %%
say(
    f"One picture knows {known_share(1, 2):.2f} of the reputation's variance, eight know {known_share(8, 2):.2f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A threshold for every risk (compute)
# :label: merlin-threshold
#
# Five items have p(high) = 0.9, 0.7, 0.6, 0.4, 0.2; the first, the third and the fourth are high. What are (a) precision and (b) recall at τ = 0.65, and (c) recall at τ = 0.3?
# ```

# %% tags=["stub:threshold"]
from mmlab.exercises.merlin import check_threshold

precision = ...
recall = ...
recall_low = ...

check_threshold((precision, recall, recall_low))

# %% [markdown]
# ```{solution-start} merlin-threshold
# :class: dropdown
# ```

# %% tags=["solution:threshold"]
precision = 1 / 2
recall = 1 / 3
recall_low = 3 / 3

check_threshold((precision, recall, recall_low))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} When may labels travel? (think)
# :label: merlin-labels
#
# *Neighbours' prices* uses the classes of other training items of the same creator. Under which split of the items would this be a leak, although no test label is touched?
# ```
#
# ```{solution-start} merlin-labels
# :class: dropdown
# ```
#
# If the method is to be used on creators who have sold nothing yet, items must be split by creator, and then no price of the creator is known. Likewise with time: a price that was paid after the day of the question must not be among them. A random split of items answers neither.

# %%
alone = [
    float(
        (shares(drawn["MERLIN"], parts[0], False)[parts[2], 3] == 0).double().mean()
    )
    for drawn, parts in markets.values()
]
say(
    f"Test items here whose creator has no training item: {100 * np.mean(alone):.1f} %."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Two items look alike and cost about the same. Why need a graph of look-alikes not help?
# The network sees what makes them look alike already. What a neighbour adds is what it shows *beyond* that.
# ```
#
# ```{dropdown} Why shuffle the relation instead of deleting it?
# Deleting takes away the links and the further inputs at once. Shuffling takes away the links alone.
# ```
#
# ```{dropdown} Why is the own price inside not found out in training?
# There it looks like a very good feature. Only items whose price is not known could tell, which is every item that one wants to ask about; whether they did, the claims above say. If their prices are in the graph by mistake, not even these can.
# ```
#
# ## In five lines
#
# - An item hears the mean of its related items; with none, the method is the plain classifier.
# - A relation is worth what it says beyond the item's own features.
# - Controls: no relation, a shuffled one, one that is made of the features, and a line on means.
# - Prices of neighbours are a rival that needs no picture; keep an item's own price out of them.
# - A threshold trades recall for precision, and every value of it is a choice.
#
# ## Limits, and what to read next
#
# - The market is a simulation with Gaussian parts. Nothing here says anything about real prices, and none of it is advice.
# - The paper's encoders, its graph and its results could not be read in code: none is public {cite}`merlin`. What is built here follows its summary: embeddings, a graph, classes of price, a threshold.
# - One round of messages, one kind of layer. Each row chose among four or six settings; where it chose an end of its list, others may suit it more.
#
# [MuMiN](mumin.ipynb) passes messages between several kinds of nodes, and asks what a split by story costs.

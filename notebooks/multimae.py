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
# # Fill in what is hidden, in any modality: MultiMAE
#
# **A network was trained to fill in hidden pieces of a photograph, of its depth and of its edges, from any few pieces that are left. Which of that is new, and which could a table of correlations do?**
#
# A masked autoencoder {cite}`he2022masked` hides most patches of a picture and learns to fill them in. MultiMAE {cite}`multimae` hides patches of several modalities at once and lets one encoder see the few that are left. The further
# modalities may be made from the photograph itself by other networks, so that nothing needs to be measured. Afterwards the encoder takes whatever is there, and the decoders translate: a photograph to its depth, a depth map to a photograph.
#
# **After this chapter you can**
#
# - draw masks whose shares differ from item to item, and check them against the law of the shares;
# - write a loss on hidden patches that does not depend on what lies beside an item in the batch;
# - hold one network for all directions against a network for one direction, and against a closed form for all;
# - test whether features of pre-training are worth more than the pixels that went in.
#
# You need transformers and attention. [Late fusion](late_fusion.ipynb) has the baselines of this part, [missing modalities](missing_modalities.ipynb) other ways to do without one. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.digit_views import digit_views
from mmlab.methods.multimae import (
    MultiMAE,
    choose_tokens,
    draw_shares,
    masked_error,
    to_patches,
)
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import (
    claimed,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, image_rows, use_theme

use_theme()
steps = steps or {"cpu": 240, "gpu": 4000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "i": Box(0, 0, "image"),
    "e": Box(0, 1, "edges"),
    "b": Box(0, 2, "blurred"),
    "m": Box(1, 1, "few visible\npatches of all", "changed"),
    "f": Box(2, 1, "one encoder", "trained"),
    "di": Box(3, 0, "decoder: image", "trained"),
    "de": Box(3, 1, "decoder: edges", "trained"),
    "db": Box(3, 2, "decoder: blurred", "trained"),
    "L": Box(4, 1, "error on\nhidden patches", "loss"),
}
arrows = [Arrow(a, "m") for a in "ieb"] + [Arrow("m", "f")]
arrows += [Arrow("f", d) for d in ("di", "de", "db")]
arrows += [Arrow(d, "L") for d in ("di", "de", "db")]
show(
    diagram(boxes, arrows),
    alt="A drawing: patches of an image, its edges and a blurred copy go through a choice of few visible ones into one encoder. From there arrows lead to three decoders, one for each modality, and from these to an error on hidden patches.",
    caption="Blue is trained. The choice of what is visible, in orange, is another one for each item and each step.",
)

# %% [markdown]
# ## Which patches are visible
#
# Modality $m$ of $M$ is cut into patches, each a *token*. Of all tokens of an item, $K$ are visible. How many of each modality? If each had the same number always, the encoder would never see a modality alone. So shares are drawn,
#
# $$\lambda = g / \textstyle\sum_m g_m, \qquad g_m \sim \mathrm{Gamma}(\alpha), \tag{1}$$
#
# which is the symmetric Dirichlet law, and of modality $m$ about
#
# $$k_m = \mathrm{round}(\lambda_m K) \tag{2}$$
#
# patches are visible, at random places. Rounding may leave one too many or too few; here chance decides which, so that exactly $K$ are visible. A modality with fewer patches than (2) asks for shows all that it has, and the others make up for it. On this page $K$ is more than the patches of one modality: training may hide a modality altogether, but never shows one alone.
#
# With $\alpha = 1$ all shares are equally likely.

# %% tags=["hide-input"]
# Code of the widget
VISIBLE, TOKENS = 6, 4


def draw_counts(concentration):
    shares = draw_shares(40, 3, concentration, torch.Generator().manual_seed(0))
    there = {m: torch.ones(40, TOKENS).bool() for m in ("blur", "edge", "image")}
    kept = choose_tokens(shares, there, VISIBLE, torch.Generator().manual_seed(1))
    return torch.stack([(kept // TOKENS == m).sum(1) for m in range(3)], 1)


def draw_bars(concentration):
    counts = draw_counts(concentration)
    counts = counts[counts[:, 2].argsort(descending=True)]
    figure = Figure(figsize=(5.6, 2.4), layout="constrained")
    axes = figure.subplots()
    bottom = torch.zeros(40)
    for m, name in ((2, "image"), (1, "edge"), (0, "blur")):
        axes.bar(range(40), counts[:, m], 0.9, bottom, color=COLOURS[m], label=name)
        bottom = bottom + counts[:, m]
    axes.set(xlabel="item", ylabel="visible patches", xticks=[])
    axes.legend(loc="upper right", ncols=3, fontsize=8)
    return figure


def describe_bars(concentration):
    counts = draw_counts(concentration)
    alone = int((counts.amin(1) == 0).sum())
    return f"Bars of 40 items, each with {VISIBLE} visible patches divided among three modalities. In {alone} of the items at least one modality is hidden altogether."


frames(
    {"α": [0.2, 1.0, 5.0, 50.0]},
    draw=draw_bars,
    alt=describe_bars,
    caption=f"How many of {VISIBLE} visible patches belong to which modality, for 40 items ordered by the image's number. A small concentration shows few modalities at a time, a large one all of them.",
)

# %% [markdown]
# ## What is asked
#
# The visible tokens go through the encoder, with one more token that belongs to no patch. Each modality has a small decoder. Its places ask: with the encoded token where the patch was visible, else with a vector that says *hidden*. They look at all encoded tokens
# of all modalities, and a linear map gives the values $\hat x$ of each patch. With $P$ values in a patch the error of patch $n$ is
#
# $$e_n = \tfrac1P \lVert \hat x_n - x_n \rVert_2^2 \quad\text{or}\quad \tfrac1P \lVert \hat x_n - x_n \rVert_1, \tag{3}$$
#
# and only hidden patches $\mathcal M_i$ of item $i$ count: first their mean in each item, then the mean over the items that have any,
#
# $$L_m = \operatorname*{mean}_{i:\, \mathcal M_i \neq \emptyset}\; \frac1{|\mathcal M_i|} \sum_{n \in \mathcal M_i} e_n. \tag{4}$$
#
# For a modality of classes, such as a segmentation, the error is the cross-entropy of each pixel with classes $c$,
#
# $$e_n = -\tfrac1P \sum_{p} \sum_c x_{npc} \log \mathrm{softmax}(\hat x_{np})_c , \tag{5}$$
#
# and the loss is the sum
#
# $$L = \textstyle\sum_m L_m. \tag{6}$$
#
# The paper takes the squared error for photographs (of pixels that are standardised patch by patch), the absolute one for depth, and (5) for segmentations. The released criteria {cite}`multimae_repository` and this package's give the same numbers on the same input; a test holds it. Here all three modalities have the squared error. In plain PyTorch, with a check:


# %%
def error_by_hand(made, target, hidden):
    """(3) and (4), item by item: patches (B, N, P), hidden (B, N)."""
    of_items = [
        torch.stack(
            [(x[n] - y[n]).square().mean() for n in h.nonzero()[:, 0]]
        ).mean()
        for x, y, h in zip(made, target, hidden, strict=True)
        if h.any()
    ]
    return torch.stack(of_items).mean()


rng = torch.Generator().manual_seed(0)
made, target = torch.randn(2, 4, 6, 5, generator=rng)
hidden = torch.rand(4, 6, generator=rng) < 0.6
hidden[1] = False
by_hand = error_by_hand(made, target, hidden)
assert torch.allclose(by_hand, masked_error(made, target, hidden))
pooled = (made - target).square()[hidden].mean()
say(
    f"By hand and in the package {by_hand:.4f}. The mean over all hidden patches of the batch, whoever they belong to, would be {pooled:.4f}."
)

# %% [markdown]
# ## Digits with two further modalities
#
# {py:func}`~mmlab.data.worlds.digit_views.digit_views` has the small digits of scikit-learn {cite}`alpaydin1998digits`, their edges (the length of Sobel's gradient) and a blurred copy. Both are functions of the digit, like the pseudo-labels of the paper: they hold *nothing* that is not in
# the image. All values are standardised. A picture of 8 x 8 is cut into four patches, so an item has twelve tokens.

# %%
splits = digit_views()
train, choose, test = (
    part.tensors for part in (splits.train, splits.validation, splits.test)
)
VIEWS = ("blur", "edge", "image")  # in the order of the package
SHAPES = dict.fromkeys(VIEWS, (1, 8, 8))
PATCH, COPIES, BATCH = 4, 4, 16
N = len(train["label"])

# %% [markdown]
# ## The rivals
#
# Two questions, each with its own rivals. **Does it fill in?**
#
# | row | what it does |
# | --- | --- |
# | mean | of the training items, pixel by pixel |
# | image itself | image to edges only: a line for each pixel, from that pixel of the image |
# | nearest copies | the mean of the hidden values of the training items that are nearest in the visible ones |
# | Gaussian | the conditional mean of a Gaussian with the training items' mean and covariance |
# | trained for edges alone | the same network, always with the whole image visible and only (4) of the edges as loss |
# | MultiMAE, shuffled image | it is given another item's image |
# | MultiMAE | (6) |
#
# The Gaussian is the dull one: it answers any mask, like MultiMAE, and has nothing to train. **Is the encoder worth something?** A logistic regression on 100 labels reads each of
#
# | row | what it reads |
# | --- | --- |
# | raw pixels | the image |
# | untrained | the encoder as it began |
# | masked autoencoder | the same network with the image alone, half of its patches hidden |
# | three copies | MultiMAE, where edges and blur are replaced by copies of the image: as many tokens and decoders, one view |
# | trained for edges alone | as above |
# | MultiMAE | the mean of the encoded tokens, given the image |
#
# All networks take the same steps with batches of the same size, and each row has one of two rates, chosen on validation items: by its own error for filling in, and by the accuracy of the probe for the probe. The number of neighbours, the Gaussian's added variance and the
# penalty of the regressions are chosen there, too. So that all networks can be trained side by side
# ({py:func}`~mmlab.train.side_by_side.fit_side_by_side`), masks are drawn beforehand: four for each item.


# %%
class Row(MultiMAE):
    """MultiMAE with a weight for each modality's error."""

    def __init__(self, shapes, weights=(1.0, 1.0, 1.0), **arguments):
        super().__init__(shapes, **arguments)
        self.register_buffer("weights", torch.tensor(weights))

    def loss(self, batch, rng):
        found = super().loss(batch, rng)
        return {
            "loss": (self.weights * torch.stack([found[m] for m in VIEWS])).sum()
        }


FORM = {"visible": VISIBLE, "patch": PATCH, "width": 32, "depth": 1}
FORM |= {"decoder_width": 32, "decoder_depth": 0, "heads": 2}
RATES = (6e-3, 1.2e-2)
WHOLE = MultiMAE.seeded(0, SHAPES, **FORM)  # it draws masks
ALONE = "trained for edges alone"
NETWORKS = {
    "MultiMAE": {},
    "three copies": {},
    "masked autoencoder": {},
    ALONE: {"weights": (0.0, 1.0, 0.0)},
}


def masks(count, seed, views=VIEWS, visible=VISIBLE):
    """Visible tokens of the views, counted through all of them."""
    small = MultiMAE({m: SHAPES[m] for m in views}, visible=visible, patch=PATCH, width=4, decoder_width=4)  # fmt: skip
    there = {m: torch.ones(count).bool() for m in sorted(views)}
    kept = small.choose(there, torch.Generator().manual_seed(seed))
    return kept + TOKENS * VIEWS.index(min(views))


def data(row, seed):
    """Items, several masks for each; tokens of a modality that is not there fill the places that are left."""
    count = COPIES * N
    some = {m: train["image" if row == "three copies" else m] for m in VIEWS}
    items = {m: x.repeat(COPIES, 1, 1, 1) for m, x in some.items()}
    yes = torch.ones(count).bool()
    items |= {"blur_present": yes, "edge_present": yes}
    fill = torch.arange(TOKENS).expand(count, -1)  # of the blurred copy
    if row == "masked autoencoder":
        items |= {"blur_present": ~yes, "edge_present": ~yes}
        kept = torch.cat([masks(count, seed, ("image",), 2), fill], 1)
    elif row == ALONE:
        items["blur_present"] = ~yes
        image = 2 * TOKENS + torch.arange(TOKENS).expand(count, -1)
        kept = torch.cat([image, fill[:, : VISIBLE - TOKENS]], 1)
    else:
        kept = masks(count, seed)
    return TensorData(items | {"kept": kept})


def begun(row, seed):
    return Row.seeded(seed, SHAPES, **NETWORKS[row], **FORM)


keys = [(row, seed) for row in NETWORKS for seed in range(seeds)]
trained = {}
for lr in RATES:
    methods = [begun(*key) for key in keys]
    fit_side_by_side(
        methods, [data(row, 100 + seed) for row, seed in keys], steps=steps, batch_size=BATCH,
        lr=lr, schedule="cosine", warmup=steps // 10, log_every=steps, progress=False,
    )  # fmt: skip
    trained |= {
        (*key, lr): method for key, method in zip(keys, methods, strict=True)
    }

# %% [markdown]
# ## Does it fill in?
#
# Four tasks: image to edges, image to blurred, edges to image, and *mixed*: six of the twelve patches visible, drawn by (1) and (2). The error is squared, its unit the variance of the modality's values in training, so that 1 is what a constant reaches for all pixels.


# %%
TASKS = {
    "image to edges": ("image", "edge"),
    "image to blurred": ("image", "blur"),
    "edges to image": ("edge", "image"),
}
MIXED = "mixed"


def flat(items):
    """All values of an item, token by token: (B, 12, 16)."""
    return torch.cat([to_patches(items[m], PATCH) for m in VIEWS], 1)


def visible_of(task, count, seed=0):
    """Which tokens are visible and which are asked for, (B, 12) each."""
    if task == MIXED:
        seen = torch.zeros(count, 3 * TOKENS).bool().scatter(1, masks(count, seed), True)  # fmt: skip
        return seen, ~seen
    given, wanted = (torch.tensor(VIEWS.index(m)) for m in TASKS[task])
    owner = torch.arange(3 * TOKENS) // TOKENS
    return (owner == given).expand(count, -1), (owner == wanted).expand(count, -1)


def errors_of(made, items, task):
    """Mean squared error of each item on the tokens that are asked for."""
    asked = visible_of(task, len(made))[1]
    each = (made - flat(items)).square().mean(-1)
    return (each * asked).sum(1) / asked.sum(1)


def by_network(method, items, task, moved=0):
    """All tokens as the decoders fill them in; ``moved`` gives each item the pixels of another."""
    seen = visible_of(task, len(items["label"]))[0]
    batch = {m: items[m].roll(moved, 0) for m in VIEWS}
    for k, m in enumerate(VIEWS):
        batch[f"{m}_visible"] = seen[:, TOKENS * k : TOKENS * (k + 1)]
    with method.evaluating():
        found = method.see(batch)
        return torch.cat([method.decode(m, *found) for m in VIEWS], 1)


base = flat(train)
mean = base.mean(0)
centred = (base - mean).flatten(1)
covariance = centred.T @ centred / len(base)


def by_mean(items, task, setting=None):
    return mean.expand(len(items["label"]), -1, -1)


def by_gaussian(items, task, added):
    """Conditional mean given the visible values, with a little variance added to each."""
    seen = visible_of(task, len(items["label"]))[0]
    x = (flat(items) - mean).flatten(1)
    made, (kinds, kind) = (
        torch.empty_like(x),
        seen.unique(dim=0, return_inverse=True),
    )
    for number, row in enumerate(kinds):  # one system for each mask
        s, those = row.repeat_interleave(base.shape[-1]), kind == number
        inner = covariance[s][:, s] + added * torch.eye(int(s.sum()))
        weights = torch.linalg.solve(inner, covariance[s])
        made[those] = x[those][:, s] @ weights
    return mean + made.view(-1, *mean.shape)


def by_neighbours(items, task, count):
    seen = visible_of(task, len(items["label"]))[0][..., None]
    values = base.flatten(1)
    s = seen.expand(-1, -1, base.shape[-1]).flatten(1).float()
    x = flat(items).flatten(1) * s
    distance = -2 * x @ values.T + s @ (values**2).T  # but for x², the same for all
    nearest = distance.topk(count, largest=False).indices
    return base[nearest].mean(1)


SOLVED = {
    "mean": (by_mean, (None,)),
    "nearest copies": (by_neighbours, (1, 3, 5, 10)),
    "Gaussian": (by_gaussian, (1e-3, 1e-2, 1e-1)),
}
scores, picked, items_of = [], {}, {}
for task in [*TASKS, MIXED]:
    for row, (answer, settings) in SOLVED.items():
        tried = {s: errors_of(answer(choose, task, s), choose, task).mean().item() for s in settings}  # fmt: skip
        picked[row, task] = min(tried, key=tried.get)
        items_of[row, task] = errors_of(answer(test, task, picked[row, task]), test, task)  # fmt: skip
        scores += [(row, task, s, items_of[row, task].mean().item()) for s in range(seeds)]  # fmt: skip
    for row in ("MultiMAE", ALONE):
        if row == ALONE and task != "image to edges":
            continue
        tried = {
            lr: np.mean([
                errors_of(by_network(trained[row, s, lr], choose, task), choose, task).mean().item()
                for s in range(seeds)
            ])
            for lr in RATES
        }  # fmt: skip
        picked[row, task] = lr = min(tried, key=tried.get)
        for s in range(seeds):
            method = trained[row, s, lr]
            scores.append((row, task, s, errors_of(by_network(method, test, task), test, task).mean().item()))  # fmt: skip
            if row == "MultiMAE":
                made = by_network(method, test, task, moved=1)
                scores.append((f"{row}, shuffled", task, s, errors_of(made, test, task).mean().item()))  # fmt: skip
x, y = (train[m].flatten(1) for m in ("image", "edge"))
slope = ((x - x.mean(0)) * (y - y.mean(0))).sum(0) / (x - x.mean(0)).square().sum(0).clamp_min(1e-6)  # fmt: skip
line = y.mean(0) + slope * (test["image"].flatten(1) - x.mean(0))
own = (line - test["edge"].flatten(1)).square().mean().item()
scores += [("image itself", "image to edges", s, own) for s in range(seeds)]
found = pd.DataFrame(scores, columns=["method", "task", "seed", "error"])

# %% tags=["hide-input"]
# Code of the table
order = ["mean", "image itself", "nearest copies", "Gaussian", ALONE, "MultiMAE, shuffled", "MultiMAE"]  # fmt: skip
wide = found.pivot_table("error", "method", "task").loc[order, [*TASKS, MIXED]]
spread = found.pivot_table("error", "method", "task", "std").reindex_like(wide)
parameters = sum(p.numel() for p in WHOLE.parameters())
budgets = Budgets(
    "MultiMAE",
    {
        row: Spent(steps, parameters, ("learning rate",), len(RATES))
        if row in (ALONE, "MultiMAE", "MultiMAE, shuffled")
        else Spent(None, None, ("setting",) if len(SOLVED.get(row, ((), ()))[1]) > 1 else (), max(1, len(SOLVED.get(row, ((), ()))[1])))
        for row in order
    },
)  # fmt: skip
shown = wide.join(budgets.columns()[["tuned", "tries"]])
table(
    shown,
    f"Squared error on {len(test['label'])} test items, mean ± standard deviation over {seeds} {'seed' if seeds == 1 else 'seeds'} of the networks; rows without a network have none. Empty: not asked.",
    spread=spread.where(spread > 1e-9).reindex(columns=shown.columns),
    best=dict.fromkeys(wide.columns, "lower"),
    budgets=budgets,
)
record(
    errors={row: {t: round(float(v), 4) for t, v in wide.loc[row].dropna().items()} for row in order},
    parameters=parameters,
    budget=budgets.plain(),
)  # fmt: skip


# %%
def values(row, task):
    part = found[(found["method"] == row) & (found["task"] == task)]
    return part.sort_values("seed")["error"].tolist()


def against(name, row, task):
    return claimed(
        f"multimae-{name}",
        values("MultiMAE", task),
        values(row, task),
        direction="lower",
        better=f"*{task}*: MultiMAE errs less than *{row}*, {{ours}} against {{theirs}}.",
        worse=f"*{task}*: *{row}* errs less than MultiMAE, {{theirs}} against {{ours}}.",
        undecided=f"*{task}*: MultiMAE ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


IE = "image to edges"
said = [
    against("edge-shuffled-image", "MultiMAE, shuffled", IE),
    against("edge-mean", "mean", IE),
    against("edge-image-itself", "image itself", IE),
    against("edge-nearest-copy", "nearest copies", IE),
    against("edge-gaussian", "Gaussian", IE),
    against("edge-specialist", ALONE, IE),
    against("mixed-nearest-copy", "nearest copies", MIXED),
    against("mixed-gaussian", "Gaussian", MIXED),
]
say("\n".join(f"- {sentence}" for sentence in said))

# %% [markdown]
# The first line asks whether the image is used. The lines on *nearest copies* and the *Gaussian* ask for more: is anything learned that a memory of the training items, or their covariance, does not hold? The blurred picture is a linear function of the image, which suits the Gaussian; the edges
# are not. The last line but two holds one network for all directions, trained on parts, against one that was trained for this direction with the whole image in view. In training MultiMAE never met the image alone, which the specialist always did: how much of their difference is due to that, and how much to the other directions, no run here separates. For *mixed* the masks follow the law of MultiMAE's training.

# %% tags=["hide-input"]
# Code of the figure
best_lr = picked["MultiMAE", MIXED]
pick, made = range(8), {}
net = trained["MultiMAE", 0, best_lr]
some = {k: v[:8] for k, v in test.items()}
made["image"] = some["image"][:, 0]
made["edges"] = some["edge"][:, 0]
made["MultiMAE"] = net.reconstruct(some, "edge", ["image"])[:, 0]
copied = by_neighbours(some, IE, picked["nearest copies", IE])
closed = by_gaussian(some, IE, picked["Gaussian", IE])
for name, tokens in (("copies", copied), ("Gaussian", closed)):
    part = tokens[:, TOKENS : 2 * TOKENS].reshape(8, 2, 2, PATCH, PATCH)
    made[name] = part.permute(0, 1, 3, 2, 4).reshape(8, 8, 8)
show(
    image_rows({name: [x.numpy() for x in rows] for name, rows in made.items()}),
    alt="Five rows of eight small pictures: digits, their true edges, and the edges as MultiMAE, nearest copies and the Gaussian give them from the whole image. "
    + f"Over all test items the errors in the table are {wide.loc['MultiMAE', IE]:.3f}, {wide.loc['nearest copies', IE]:.3f} and {wide.loc['Gaussian', IE]:.3f}.",
    caption="Test digits, their edges, and the edges as three rows of the table make them from the image; of MultiMAE the first seed, at the rate that was chosen for *mixed*.",
    label="multimae-edges",
)

# %% [markdown]
# ## Is the encoder worth something?


# %%
LABELS = 100


def probe(code, seed):
    """Accuracy on test and on validation of a logistic regression on 100 labels; code: items to (B, D)."""
    fitted = code(train)
    centre, scale = fitted.mean(0), fitted.std(0) + 1e-6
    x, new, late = ((code(part) - centre) / scale for part in (train, choose, test))
    chosen = torch.randperm(N, generator=torch.Generator().manual_seed(seed))[
        :LABELS
    ]
    tried = []
    for strength in (0.01, 0.1, 1.0):
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit(x[chosen], train["label"][chosen])
        tried.append((model.score(new, choose["label"]), model.score(late, test["label"])))  # fmt: skip
    return max(tried, key=lambda pair: pair[0])


def embedding(method):
    return lambda items: method.embed({"image": items["image"]}, ["image"])


probes = []
for seed in range(seeds):
    fixed = {
        "raw pixels": lambda items: items["image"].flatten(1),
        "untrained": embedding(begun("MultiMAE", seed)),
    }
    probes += [(row, seed, probe(code, seed)[1]) for row, code in fixed.items()]
for row in NETWORKS:
    tried = {
        lr: [probe(embedding(trained[row, s, lr]), s) for s in range(seeds)]
        for lr in RATES
    }
    kept = max(RATES, key=lambda lr: np.mean([pair[0] for pair in tried[lr]]))
    probes += [(row, s, pair[1]) for s, pair in enumerate(tried[kept])]
probed = pd.DataFrame(probes, columns=["method", "seed", "accuracy"])
ROWS = ["raw pixels", "untrained", "masked autoencoder", "three copies", ALONE, "MultiMAE"]  # fmt: skip
table_over_seeds(
    probed,
    f"Accuracy on {len(test['label'])} test digits of a logistic regression on {LABELS} labels; seeds differ in the network and in the labels.",
    best={"accuracy": "higher"},
    order=ROWS,
    digits=3,
)


def features_against(name, row):
    ours, theirs = (
        probed[probed["method"] == m].sort_values("seed")["accuracy"].tolist()
        for m in ("MultiMAE", row)
    )
    return claimed(
        f"multimae-probe-{name}",
        ours,
        theirs,
        direction="higher",
        unit="%",
        better=f"MultiMAE's features are ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of MultiMAE's features, {{theirs}} against {{ours}}.",
        undecided=f"MultiMAE's features ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


rivals = {
    "untrained": "untrained",
    "mae": "masked autoencoder",
    "three-copies": "three copies",
    "specialist": ALONE,
    "raw-pixels": "raw pixels",
}
say("\n".join(f"- {features_against(*pair)}" for pair in rivals.items()))

# %% [markdown]
# *Masked autoencoder* asks what further modalities add, *three copies* whether it is the modalities or merely more tokens and errors, and *raw pixels* whether any of it is needed. The features are a mean over places, of half as many values as there are pixels; what that alone costs can be guessed from *untrained*. The authors report for ImageNet classification the same accuracy as the masked autoencoder, 83.3 % {cite}`multimae_repository`;
# where they gain is where a further sensor is *given* at test, such as depth. Here the edges and the blur hold nothing new, so that case cannot be tried on this page.
#
# ## What went wrong in practice
#
# The released model also takes masks of one's own. That branch counts the visible tokens *of the whole batch* and keeps so many of each item. With one item that is right. With several, hidden tokens are kept as if they were visible, and what is made of an item depends on the others. The first lines below do it that way:

# %%
own_masks = torch.zeros(3, 3 * TOKENS).bool()
own_masks[0, :1] = own_masks[1, :5] = own_masks[2, :3] = True
released = (~own_masks).int().argsort(dim=1, stable=True)
released = released[:, : int(own_masks.sum())]  # the count of the batch
leaked = (~own_masks.gather(1, released)).sum(1).tolist()
batch = {m: test[m][:3] for m in VIEWS}
for k, m in enumerate(VIEWS):
    batch[f"{m}_visible"] = own_masks[:, TOKENS * k : TOKENS * (k + 1)]
together = net.embed(batch)
alone = torch.cat([net.embed({k: v[i : i + 1] for k, v in batch.items()}) for i in range(3)])  # fmt: skip
assert torch.allclose(together, alone, atol=1e-5)
say(
    f"Masks with {', '.join(str(int(n)) for n in own_masks.sum(1))} visible tokens: counted over the batch, the items would see {', '.join(map(str, leaked))} hidden ones. "
    "Here each item has its own count, and alone or together its features are the same."
)

# %% [markdown]
# Two smaller points. Which token goes or comes where rounding in (2) gives one too many or too few, the released code leaves to the order of a sort; here it is drawn. And the inner mean of (4) divides by zero for an item with nothing hidden: the released code leaves such items out of the outer one, as (4) does, and so must whoever writes it again.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} An error of hidden patches (code)
# :label: multimae-error
#
# Write (3) with squares and (4): patches and their targets are (B, N, P), hidden is boolean (B, N). If nothing is hidden the error is 0.
# ```

# %% tags=["stub:error"]
from mmlab.exercises.multimae import check_error


def hidden_error(made, target, hidden):
    return ...


check_error(hidden_error)

# %% [markdown]
# ```{solution-start} multimae-error
# :class: dropdown
# ```


# %% tags=["solution:error"]
def hidden_error(made, target, hidden):
    each = (made - target).square().mean(-1)
    count = hidden.sum(1)
    of_items = (each * hidden).sum(1) / count.clamp(min=1)
    return of_items.sum() / (count > 0).sum().clamp(min=1)


check_error(hidden_error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many patches of the image (compute)
# :label: multimae-counts
#
# The paper shows 98 of 588 tokens, from three modalities of 196 each, with $\alpha = 1$. What are the mean and the standard deviation of the number of visible patches of the image, but for rounding? And the deviation with $\alpha = 4$? The variance of a share is $\frac{M-1}{M^2 (M\alpha + 1)}$.
# ```

# %% tags=["stub:counts"]
from mmlab.exercises.multimae import check_counts

middle = ...
deviation = ...
steadier = ...

check_counts((middle, deviation, steadier))

# %% [markdown]
# ```{solution-start} multimae-counts
# :class: dropdown
# ```

# %% tags=["solution:counts"]
middle = 98 / 3
deviation = 98 * (2 / (9 * (3 * 1 + 1))) ** 0.5
steadier = 98 * (2 / (9 * (3 * 4 + 1))) ** 0.5

check_counts((middle, deviation, steadier))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What the best filler gives (think)
# :label: multimae-best
#
# Hard. A filler sees the visible values $v$ and answers $f(v)$ for a hidden value $x$. Which $f$ makes the expected squared error smallest, which the absolute one, which the cross-entropy? Show that for jointly Gaussian values the first is linear in $v$, and say when a masked autoencoder can have a smaller error than the row *Gaussian*.
# ```
#
# ```{solution-start} multimae-best
# :class: dropdown
# ```
#
# Given $v$, $E[(x - f)^2 \mid v] = \mathrm{Var}(x \mid v) + (E[x \mid v] - f)^2$: the conditional mean. $E[|x - f| \mid v]$ has the derivative $P(x < f \mid v) - P(x > f \mid v)$, zero at the conditional median. $-\sum_c P(c \mid v) \log f_c$ is the entropy plus a divergence that vanishes at $f_c = P(c \mid v)$.
#
# Put $r = x - \Sigma_{xv} \Sigma_{vv}^{-1} v$ (all centred). Then $E[r v^\top] = \Sigma_{xv} - \Sigma_{xv} = 0$, and jointly Gaussian values without correlation are independent, so $E[x \mid v] = \Sigma_{xv} \Sigma_{vv}^{-1} v + E[r]$, linear in $v$. For any law with these moments the same formula is the *linear* filler of least squared error. So an autoencoder can have less as far as $E[x \mid v]$ is not linear
# (edges are a root of squares), given enough items and steps; and it answers every mask with one network, where the Gaussian solves a system for each.

# %%
draws = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
v, x = (
    draws[:, 0],
    draws[:, 0] ** 2 + 0.1 * draws[:, 1],
)  # x depends on v, without correlation
slope = (v * (x - x.mean())).mean() / v.square().mean()
linear = (x - x.mean() - slope * v).square().mean()
say(
    f"With x = v² and a little noise the linear filler errs by {linear:.2f}, the conditional mean by {(x - v**2).square().mean():.2f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Pseudo-labels (think)
# :label: multimae-pseudo
#
# Depth that a network guessed from the photograph is a function of it. How can a task made of it change what an encoder of the photograph learns, and what can it not do at test?
# ```
#
# ```{solution-start} multimae-pseudo
# :class: dropdown
# ```
#
# In training it says which features of the photograph are worth keeping: those that tell depth. The network that guessed it has seen labels, so their knowledge passes on. At test a guessed depth beside its photograph adds no information; a measured one does. To tell the two apart, give the encoder measured depth, guessed depth, and none.

# %%
both = torch.cat([test["image"].flatten(1), test["blur"].flatten(1)], 1).double()
ranks = [
    int(torch.linalg.matrix_rank(part - part.mean(0), rtol=1e-5))
    for part in (both[:, :64], both)
]
say(
    f"Here the blurred copy is a linear function of the image: the images have rank {ranks[0]}, images and copies together {ranks[1]}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why are shares drawn at all, and not a third for each?
# With equal shares the encoder never sees much of one modality and little of the others, and one alone is how it is used afterwards. Quite alone a modality can be only if it has at least $K$ patches, which none has on this page.
# ```
#
# ```{dropdown} Why does the error leave out visible patches?
# Their values are in the input: to repeat them teaches nothing about how modalities belong together.
# ```
#
# ```{dropdown} What does the row of three copies control for?
# For the network and the masks: as many tokens, decoders and errors. Not for how hard the task is: what is hidden in one copy may be visible in another, and then it is enough to copy it.
# ```
#
# ## In five lines
#
# - One encoder sees a few patches of all modalities; small decoders fill in the rest.
# - Shares are drawn from a Dirichlet law, so that mixtures of all kinds occur; a single modality only where it has at least as many patches as are shown.
# - The error counts hidden patches only, first within an item, then over items; masks belong to items, not to batches.
# - Its rivals for filling in are nearest copies and a Gaussian, which answer any mask without a training by steps, and a network for one direction.
# - Its rivals as features are raw pixels, a masked autoencoder, and three copies of one modality.
#
# ## Limits, and what to read next
#
# - Digits of 8 x 8, twelve tokens, half of them visible where the paper shows a sixth; two rates, and a few hundred steps where the paper has 1600 epochs. Whether longer training turns the order with the nearest copies, the Gaussian or the specialist, no run here says; take more `steps`.
# - The masked autoencoder always sees half of its patches; that share was not searched. Nor was the number of MultiMAE's visible patches, and with fewer it would meet modalities alone.
# - Edges and blur hold nothing new. What a measured sensor adds, this page cannot say.
#
# {cite:t}`multimae` has the model for photographs, depth and segmentations. The chapter on [ITHP](ithp.ipynb) makes further modalities targets, and [MDiCo](mdico.ipynb) pulls their codes together.

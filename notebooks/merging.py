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
# # One model out of several experts: merging
#
# **Four teams have tuned the same vision-language model for four tasks, and kept their data to themselves. Can their weights be put together into one model that does all four?**
#
# Training on all tasks at once needs everybody's data and a run of its own. A rule for merging needs neither: it computes new weights from the weights of the experts. (Its scale has to be chosen, though, and here that takes a few labelled pictures.) The simplest way is to average them. Others
# subtract the base first and add up what is left {cite}`ilharco2023editing`, trim it {cite}`yadav2023ties`, drop parts of it at random {cite}`yu2024dare`, or look at its singular vectors {cite}`gargiulo2025task,marczak2025isotropic`. WUDI {cite}`cheng2025wudi` and
# OptMerge minimise a function that says how much the experts disturb each other. OptMerge was proposed for vision-language models; its authors report an average gain of 2.48 % {cite}`wei2025optmerge`.
#
# **After this chapter you can**
#
# - write nine rules for merging in a few lines each, and say which of them agree in which special case;
# - derive in closed form the minimum that WUDI descends towards, and say how that of OptMerge differs;
# - say in which directions that minimum grows long, and test whether its length is what costs the codes;
# - merge models beside the two baselines that such a comparison needs: the average, and training on all tasks.
#
# You need [TinyLLaVA](tinyllava.ipynb) and the singular value decomposition. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seed: int = 0  # of the experts' training
steps: int | None = None  # of each expert
pictures: int = 150  # of the test, each with a question from every task

# %% tags=["hide-input"]
import copy
import re
import time

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

import mmlab
from mmlab.bases.scene_reader import conversations_of, scene_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.scene_world import (
    COLOURS,
    NONSENSE,
    PLACES,
    QUESTIONS,
    SHAPES,
    SIZES,
)
from mmlab.methods.merging import MATRICES, Merging, interaction, spectral
from mmlab.train.tuning import train_only
from mmlab.viz import claimed, frames, record, say, show, table
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import use_theme

use_theme()
steps = steps or {"cpu": 60, "gpu": 400}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "w": Box(0, 0.9, "base $W_0$", "frozen"),
    "1": Box(1.2, 0, "expert $W_1$", "trained"),
    "2": Box(1.2, 0.9, "expert $W_2$", "trained"),
    "3": Box(1.2, 1.8, "expert $W_3$", "trained"),
    "t": Box(2.5, 0.9, "task vectors\n$t_i = W_i - W_0$"),
    "r": Box(3.8, 0.9, "a rule: $T$"),
    "m": Box(5.0, 0.9, "$W_0 + \\lambda T$"),
}
arrows = [
    *[Arrow("w", name) for name in "123"],
    *[Arrow(name, "t") for name in "123"],
    Arrow("t", "r"),
    Arrow("r", "m"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: from the base three arrows go to three experts, each tuned on its own data. Their differences from the base are the task vectors; a rule makes one matrix T of them, and the merged model is the base plus T.",
    caption="Only the step from the base to the experts, and the choice of λ, see data. A rule sees weights alone.",
)

# %% [markdown]
# ## Adding, trimming, dropping
#
# Let $W_0$ be a matrix of the base and $t_i = W_i - W_0$ what the training of expert $i$ changed in it. **Task arithmetic** adds,
#
# $$T = \sum_i t_i, \tag{1}$$
#
# and takes $W_0 + \lambda T$; with $\lambda = 1/N$ this is the average of the experts. An expert's change was made for its own inputs, and disturbs those of the others. **TIES** keeps
# the largest values of each $t_i$, elects a sign for each place by the sign of the sum $s$ of what is kept, and averages those that agree with it; where none do, $T$ is 0:
#
# $$T_{ab} = \operatorname{mean}\{\,t_{i,ab} : t_{i,ab} \text{ is kept and } \operatorname{sign} t_{i,ab} = \operatorname{sign} s_{ab}\}. \tag{2}$$
#
# **DARE** drops each value with probability $p$ and divides the others by $1-p$, so that their expectation stays:
#
# $$T = \sum_i \frac{m_i \odot t_i}{1-p}, \qquad m_{i,ab} \sim \text{Bernoulli}(1-p). \tag{3}$$
#
# ## Looking at directions
#
# With the singular value decomposition $t_i = U_i S_i V_i^\top$ one can speak of directions. **TSV** keeps the first $1/N$ of each expert's, sets them side by side, and makes them orthogonal, which the experts' are only
# each for itself. With $\operatorname{orth}(A)$ the nearest matrix with orthonormal columns,
#
# $$T = \operatorname{orth}([U_1 \cdots U_N])\, \operatorname{diag}(S_1, \dots, S_N)\, \operatorname{orth}([V_1 \cdots V_N])^\top . \tag{4}$$
#
# **Iso-C** takes the sum $\sum_i t_i = U S V^\top$ and makes all its directions equally strong,
#
# $$T = \bar\sigma\, U V^\top, \qquad \bar\sigma = \text{mean of the singular values}. \tag{5}$$
#
# ## Minimising the interaction
#
# For the inputs $x$ of its own task expert $i$ computes $(W_0 + t_i)\,x$, so the merged model should have $(T - t_i)\,x \approx 0$ for them. Without data there are no inputs. But the gradient of a linear layer is a sum of
# outer products of output gradients and *inputs*. So the rows of $t_i$, which is a sum of gradients as long as the optimiser does not distort them, lie in the span of the inputs. **WUDI** puts $t_i^\top$ in their place:
#
# $$L(T) = \sum_i \frac{\lVert (T - t_i)\, t_i^\top \rVert^2}{\lVert t_i \rVert^2}. \tag{6}$$
#
# It starts at the sum and takes 300 steps of Adam with a rate of $10^{-5}$. **OptMerge** first cuts each $t_i$ to its first $1/N$ of singular triplets, $\tilde t_i = \tilde U_i \tilde S_i \tilde V_i^\top$, needs only what spans the rows,
#
# $$L(T) = \sum_i \frac{\lVert (T - \tilde t_i)\, \tilde V_i \tilde S_i \rVert^2}{\lVert t_i \rVert^2}, \tag{7}$$
#
# and starts at the mean, with SGD. (Since $\lVert A\, \tilde t_i^\top \rVert = \lVert A\, \tilde V_i \tilde S_i \rVert$, this is (6) of the cut vectors but for the weights.) That is the published recipe for adapters. For experts that were tuned in full, the published code takes as target $t_i$ less the mean of all, cut, with the mean added again; what it is measured on are the $\tilde V_i \tilde S_i$ of the $t_i$ themselves, as in (7), and Adam descends
# from the sum.
#
# Why so many careful steps? (6) is quadratic. Its gradient vanishes where $T C = D$ with
#
# $$C = \sum_i \frac{t_i^\top t_i}{\lVert t_i\rVert^2}, \qquad D = \sum_i \frac{t_i\, t_i^\top t_i}{\lVert t_i\rVert^2},$$
#
# that is, at $D C^{-1}$ where $C$ has an inverse. With the eigenvectors $V$ and eigenvalues $\mu$ of $C$ one can also solve it on the strong directions alone. Let $V_s$ hold a share of them, the strongest, and leave the others as in the sum:
#
# $$T = \sum_i t_i - \Big(\sum_i t_i\Big) V_s V_s^\top + D\, V_s \operatorname{diag}(1/\mu_s)\, V_s^\top . \tag{8}$$
#
# With a share of 1 it is the minimum of (6) itself. (7) is quadratic as well, with $\tilde t_i$ in place of $t_i$ in $C$ and $D$: the minimum that OptMerge descends towards is solved in the same way, but is another one. The repository of OptMerge has since got such a filter, with a share of 0.65 or 0.85 and a soft edge besides {cite}`wei2025optmerge`.


# %%
def optmerge_by_hand(t, steps=300, lr=1e-4):
    """Equation (7), and its descent with momentum."""
    u, s, v = torch.linalg.svd(t, full_matrices=False)
    r = s.shape[1] // len(t)
    right = s[:, :r, None] * v[:, :r]  # (N, r, n)
    cut = u[:, :, :r] @ right
    T, speed = t.mean(0), 0
    for _ in range(steps):
        slope = 2 * (T - cut) @ right.mT @ right
        slope = (slope / t.square().sum((1, 2))[:, None, None]).sum(0)
        speed = 0.9 * speed + slope
        T = T - lr * speed
    return T


t = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(0))
theirs = mmlab.methods.merging.optmerge(t, steps=50)
assert torch.allclose(optmerge_by_hand(t, 50), theirs, atol=1e-5)
full = spectral(t, share=1.0)
say(
    f"By hand and in the package the same. On four random task vectors the interaction (6) is {interaction(t.sum(0), t):.2f} at the sum, "
    f"{interaction(t.mean(0), t):.2f} at the mean, and {interaction(full, t):.2f} at the full minimum, which no point is below."
)

# %% [markdown]
# ## Four experts
#
# The base is a small TinyLLaVA that reads scenes ({py:func}`~mmlab.bases.scene_reader.scene_reader`): it says shape, colour, place and size of a figure. Each expert learns a code. To `code : which shape ?` there are four answers without meaning, one for each shape; to `code : where ?` four others, and so on (of sizes there are two).
# Nobody can answer a code by what the base knows, and no expert has seen a word of the others' codes. The experts tune the layers of the language model, on items drawn from 800 pictures with their code, mixed with questions that the base can answer already. Word vectors and head stay as they are; so do tower and connector, which have their turn at the end.
#
# The joint model is tuned on all four codes at once, for half as many steps as the four experts have together. It is what merging is to replace, and it needs all data.

# %%
reader, world = scene_reader()
VALUES = {
    "shape": SHAPES,
    "colour": COLOURS,
    "place": tuple(PLACES),
    "size": tuple(SIZES),
}
TUNED = ("language_model.model.layers",)
TUNING, HELD = range(800), range(800, 850)  # to tune, and to choose settings


def code_of(task):
    first = 4 * list(VALUES).index(task)
    return lambda scene: NONSENSE[
        first + VALUES[task].index(str(scene.facts()[task]))
    ]


def coded(part, task, chosen):
    question = f"code : {QUESTIONS[task]}"
    return world.ask(part, question, code_of(task), chosen)


literal = world.literal("train", list(VALUES))
order = np.random.default_rng(seed).permutation(len(literal))
old = [literal[i] for i in order[:530]]  # two fifths of an expert's items


def tuned(items, steps, parts=TUNED):
    model = copy.deepcopy(reader)
    train_only(model, *parts)
    mmlab.fit(
        model, conversations_of(world, items), steps=steps, batch_size=16, lr=3e-3, betas=(0.9, 0.99),
        warmup=10, schedule="cosine", seed=seed, progress=False,
    )  # fmt: skip
    return model.eval()


own = {task: coded("train", task, TUNING) for task in VALUES}
experts = {task: tuned(own[task] + old, steps) for task in VALUES}
every = [item for items in own.values() for item in items]
joint = tuned(every + 4 * old, 2 * steps)
weights = [expert.state_dict() for expert in experts.values()]

# %% [markdown]
# An answer counts if the most probable word at each of its places is the right one, given the right words before it. The base has no reason to say a code at all. Who has learnt which codes belong to a question, but not which of them to give, gets about a quarter of the shapes, colours and places and half of the sizes: hold the rows of the table against that, too.


# %%
def asked(part, chosen, about):
    """One batch for the code of each task, and one of old questions."""
    made = {}
    for name in about:
        if name == "old":
            items = world.literal(part, list(VALUES))[: 2 * len(chosen)]
        else:
            items = coded(part, name, chosen)
        data = conversations_of(world, items)
        made[name] = data.batch(range(len(data)))
    return made


@torch.no_grad()
def read(model, questions):
    """What the language model reads; it is the same where only its layers differ."""
    return {name: model.embed(batch) for name, batch in questions.items()}


@torch.no_grad()
def right(model, sequences):
    """For each set of questions, whether each is answered rightly."""
    found = {}
    for name, at in sequences.items():
        logits = model.language_model(
            inputs_embeds=at.vectors, attention_mask=at.mask
        ).logits
        words, labels = logits[:, :-1].argmax(-1), at.labels[:, 1:]
        found[name] = ((words == labels) | (labels == -100)).all(1).float()
    return found


def mean_of_tasks(found):
    """For each picture, the share of the four codes that is right, (pictures,)."""
    return torch.stack([found[task] for task in VALUES]).mean(0)


questions = {
    "held": asked("train", HELD, VALUES),
    "test": asked("test", range(pictures), (*VALUES, "old")),
}
held, test = read(reader, questions["held"]), read(reader, questions["test"])
codes = {task: test[task] for task in VALUES}
scored = {
    f"expert: {task}": right(expert, test) for task, expert in experts.items()
}
scored |= {"base": right(reader, test), "joint training": right(joint, test)}

# %% [markdown]
# ## Nine rules, each with its search
#
# Each rule has ten tries, scored by the mean over the four codes on 50 pictures that no expert was tuned on: ten values of $\lambda$, or five with each of two settings where it has one. Of published settings there are TIES with a fifth kept, WUDI at $10^{-5}$, OptMerge for adapters at $10^{-4}$, and the filter with 0.65. The second settings of WUDI and OptMerge are not published: their rate is a hundred times that of the papers' Adam. OptMerge's is its recipe for
# experts tuned in full, `full 1` in the table. DARE's paper drops more, up to nine tenths and beyond; that was not tried. Beside the nine rules stands the full minimum, (8) with a share of 1.

# %%
TEN = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.2, 3.0, 4.0, 6.0)
FIVE = (0.6, 1.0, 1.5, 2.2, 3.0)
SETTINGS = {
    "average": ("average", [{}]),
    "task arithmetic": ("task_arithmetic", [{}]),
    "TIES": ("ties", [{"keep": 0.2}, {"keep": 1.0}]),
    "DARE": ("dare", [{"drop": 0.2}, {"drop": 0.5}]),
    "TSV": ("tsv", [{}]),
    "Iso-C": ("iso_c", [{}]),
    "WUDI": ("wudi", [{"lr": 1e-5}, {"lr": 1e-3, "steps": 100}]),
    "OptMerge": (
        "optmerge",
        [{"lr": 1e-4}, {"lr": 1e-3, "steps": 100, "full": True}],
    ),
    "strong directions": ("spectral", [{"share": 0.2}, {"share": 0.65}]),
    "full minimum": ("spectral", [{"share": 1.0}]),
}
merged = Merging(**reader.config)
start = {name: value.clone() for name, value in reader.state_dict().items()}


def changes_by(rule, experts=weights, **how):
    """By how much each weight moves away from the base."""
    merged.load_state_dict(start)
    rng = torch.Generator().manual_seed(seed)
    return merged.changes(experts, rule, rng=rng, **how)


def moved(changes, scale=1.0):
    """The model at the base plus scale times the changes."""
    merged.load_state_dict(
        {n: w + scale * changes[n] if n in changes else w for n, w in start.items()}
    )
    return merged.eval()


tries, chosen, spent = {}, {}, 0.0
for name, (rule, settings) in SETTINGS.items():
    for setting in settings:
        began = time.process_time()
        changes = changes_by(rule, **setting)
        spent += time.process_time() - began
        curve = {
            scale: float(mean_of_tasks(right(moved(changes, scale), held)).mean())
            for scale in (TEN if len(settings) == 1 else FIVE)
        }
        scale = max(curve, key=curve.get)
        if name not in chosen or curve[scale] > max(tries[name].values()):
            tries[name], chosen[name] = curve, (scale, setting, changes)
for name, (scale, _, changes) in chosen.items():
    scored[name] = right(moved(changes, scale), test)

# %% tags=["hide-input"]
# Code of the table
rows = [
    "base",
    *(f"expert: {task}" for task in VALUES),
    *SETTINGS,
    "joint training",
]
frame = pd.DataFrame(
    {
        **{f"{task} code": [float(scored[row][task].mean()) for row in rows] for task in VALUES},
        "mean of the codes": [float(mean_of_tasks(scored[row]).mean()) for row in rows],
        "old questions": [float(scored[row]["old"].mean()) for row in rows],
        "λ": [f"{chosen[row][0]:g}" if row in chosen else "" for row in rows],
        "setting": [", ".join(f"{k} {v:g}" for k, v in chosen[row][1].items()) if row in chosen else "" for row in rows],
    },
    index=rows,
)  # fmt: skip
budgets = Budgets(
    "OptMerge",
    {
        name: Spent(4 * steps, tuned=("λ", "setting") if len(settings) > 1 else ("λ",), tries=len(TEN))
        for name, (_, settings) in SETTINGS.items()
    }
    | {"joint training": Spent(2 * steps, tuned=(), tries=1)},
)  # fmt: skip
table(
    frame.join(budgets.columns()[["steps", "tuned", "tries"]]),
    f"Share of right answers on {pictures} test pictures; λ and setting are those that were chosen. Steps are those of all experts together, {steps} of each.",
    budgets=budgets,
)  # fmt: skip
say(f"All merges of this table together took {spent:.1f} s of the processor.")
record(
    accuracy={
        row: round(float(mean_of_tasks(scored[row]).mean()), 4) for row in rows
    },
    merges_cpu_seconds=round(spent, 2),
    budget=budgets.plain(),
)

# %% [markdown]
# **OptMerge against the others**, and others among themselves, by the mean over the codes, paired by picture. The intervals are over pictures: they speak of these four experts.


# %%
def ruled(ours, theirs):
    both = re.sub("[^a-z]+", "-", f"{ours} {theirs}".lower())
    return claimed(
        f"codes-{both}",
        mean_of_tasks(scored[ours]).tolist(),
        mean_of_tasks(scored[theirs]).tolist(),
        direction="higher",
        over="items",
        called="pictures",
        unit="%",
        better=f"*{ours}* is ahead of *{theirs}*: {{ours}} against {{theirs}}.",
        worse=f"*{theirs}* is ahead of *{ours}*: {{theirs}} against {{ours}}.",
        undecided=f"*{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )


def list_of(*pairs):
    say("\n".join(f"- {ruled(*pair)}" for pair in pairs))


list_of(
    ("OptMerge", "task arithmetic"),
    ("OptMerge", "TIES"),
    ("OptMerge", "WUDI"),
    ("OptMerge", "TSV"),
    ("OptMerge", "Iso-C"),
    ("OptMerge", "strong directions"),
    ("OptMerge", "joint training"),
    ("strong directions", "WUDI"),
    ("strong directions", "TSV"),
    ("full minimum", "strong directions"),
    ("full minimum", "task arithmetic"),
    ("task arithmetic", "average"),
)

# %% [markdown]
# For matrices the average has the same direction as task arithmetic, so with a scale of its own it can differ only by the grid of scales and by biases and norms, which move by $\lambda$ times the mean under every rule.
#
# ## Why not go to the minimum?
#
# WUDI descends towards the minimum of (6), which (8) has in closed form; OptMerge towards that of (7). What happens if (6) is solved on more and more directions, with $\lambda = 1$? A share of 0 is the sum, a share of 1 the minimum.

# %%
INCLUDED = [n for n in start if re.fullmatch(MATRICES, n)]
vectors = {n: torch.stack([w[n] - start[n] for w in weights]) for n in INCLUDED}
SHARES = (0.0, 0.1, 0.2, 0.4, 0.65, 0.85, 1.0)
curve = []
for share in SHARES:
    changes = changes_by("spectral", share=share)
    answered = mean_of_tasks(right(moved(changes), codes))
    length = sum(float(changes[n].square().sum()) for n in INCLUDED) ** 0.5
    curve.append(
        {
            "share": share,
            "right": float(answered.mean()),
            "interaction": sum(
                float(interaction(changes[n], vectors[n])) for n in INCLUDED
            ),
            "length": length,
        }
    )
curve = pd.DataFrame(curve)

# %% tags=["hide-input"]
# Code of the figure: share of directions
figure = Figure(figsize=(6.4, 2.5), layout="constrained")
for axes, (column, label) in zip(
    figure.subplots(1, 3), {"right": "right codes", "interaction": "interaction (6)", "length": "length of T"}.items(), strict=True
):  # fmt: skip
    sns.lineplot(curve, x="share", y=column, marker="o", ax=axes)
    axes.set(xlabel="share of directions", ylabel=label, ylim=(0, None))
first, peak, last = (
    curve.iloc[0],
    curve.loc[curve["right"].idxmax()],
    curve.iloc[-1],
)
told = (
    f"From none to all directions the interaction falls from {first['interaction']:.1f} to {last['interaction']:.1f}. Right codes are "
    f"{first['right']:.0%} with none, {peak['right']:.0%} with a share of {peak['share']:g}, and {last['right']:.0%} with all; the length of T, over all matrices, goes from {first['length']:.1f} over {peak['length']:.1f} to {last['length']:.1f}."
)
show(
    figure,
    alt=f"Three curves over the share of directions that is solved for. {told}",
    caption=f"The minimum on a share of the directions of C, the strongest first, with λ = 1, on the test pictures. {told}",
    label="merging-share",
)

# %% [markdown]
# The interaction can only fall, since each share solves for more. Why do the answers not follow?
#
# (6) is a regression. Its inputs are the rows of the $t_i$, its targets what $t_i$ makes of them, and $C$ holds the second moments of the inputs. Look at a weak direction, an eigenvector $v$ of $C$ with a small eigenvalue $\mu = \sum_i \lVert t_i v\rVert^2 / \lVert t_i\rVert^2$. With a single expert
# $t^\top t\, v$ is a multiple of $v$, and the minimum does to $v$ what the expert did. With several, $v$ is an eigenvector of $C$ alone: each $t_i^\top t_i\, v$ also points in other, strong directions. In $Cv$ these parts cancel; in
#
# $$T v = \frac{1}{\mu} \sum_i \frac{t_i\,(t_i^\top t_i\, v)}{\lVert t_i\rVert^2}$$
#
# they need not, as each is mapped by another $t_i$. If all $t_i v$ shrink by a factor of ten, the sum on the right does so too, but $\mu$ by a hundred: $Tv$ grows tenfold. So do the coefficients of a regression in a direction in which its inputs hardly vary, unless one linear map explains all its targets. On the rows of the $t_i$ a long $Tv$ does little, since they have so little there. The inputs
# that a layer gets in truth may have more.
#
# Both can be measured: how long $Tv$ is beside the sum's $\sum_i t_i v$, and how much of the layers' inputs lies along $v$, beside $\mu$.


# %%
def directions(t):
    """All eigenvectors of C, the strongest first, as columns."""
    wide = t.double()
    C = (wide.mT @ wide / wide.square().sum((1, 2))[:, None, None]).sum(0)
    return torch.linalg.eigh(C).eigenvectors.flip(1).to(t)


inputs = {n: [] for n in INCLUDED}
hooks = [
    reader.get_submodule(n.removesuffix(".weight")).register_forward_hook(
        lambda _, x, __, n=n: inputs[n].append(x[0].flatten(0, -2))
    )
    for n in INCLUDED
]
right(reader, held)
for hook in hooks:
    hook.remove()

found = []
for n, t in vectors.items():
    V, full = directions(t), spectral(t, share=1.0)
    second = {
        "rows of the task vectors": (t @ V).square().sum(1)
        / t.square().sum((1, 2))[:, None],
        "inputs of the layer": (torch.cat(inputs[n]) @ V).square(),
    }
    ratio = (full @ V).norm(dim=0) / (t.sum(0) @ V).norm(dim=0)
    line = {
        "tenth": (np.arange(len(V)) + 0.5) / len(V) * 10 // 1 / 10 + 0.05,
        "ratio": ratio.numpy(),
    }
    for name, value in second.items():
        line[name] = (value.mean(0) / value.mean()).numpy()
    found.append(pd.DataFrame(line))
found = pd.concat(found).groupby("tenth")
lengths, spectra = found["ratio"].median(), found[list(second)].mean()

# %% tags=["hide-input"]
# Code of the figure: length and inputs by direction
figure = Figure(figsize=(6.4, 2.8), layout="constrained")
left, other = figure.subplots(1, 2)
left.plot(lengths.index, lengths, marker="o")
for name, marker in zip(spectra, "os", strict=True):
    other.plot(spectra.index, spectra[name], marker=marker, label=name)
left.set(ylabel="$|Tv|$ over $|\\sum t_i v|$")
other.set(ylabel="share, 1 = even")
other.legend()
for axes in (left, other):
    axes.axhline(1, color="0.6", lw=1, ls="--")
    axes.set(xlabel="directions, strongest first", yscale="log")
rows_of, inputs_of = (spectra[name].iloc[-1] for name in spectra)
told = (
    f"From the strongest tenth of directions over the fifth to the weakest the ratio goes from {lengths.iloc[0]:.2f} over {lengths.iloc[4]:.2f} to {lengths.iloc[-1]:.1f}. "
    f"In the weakest tenth the rows of the task vectors have {rows_of:.4f} of what an even spread would give, the inputs of the layers {inputs_of:.2f}."
)
show(
    figure,
    alt=f"Curves over tenths of the directions. {told}",
    caption=f"Left: length of the full minimum along a direction over that of the sum, median over a tenth of the directions of all matrices. Right: squared length along a direction, of the rows of the task vectors and of the inputs that the base's layers get on the pictures for choosing. {told}",
    label="merging-directions",
)

# %% [markdown]
# Is it the length, then, or what the minimum says there? Keep the strong directions as they are in the minimum, and fill each weak one with the minimum or with the sum, at its own length or at that of the other. Noise of either length is the control, and so is nothing at all.
#
# Three questions to the table. Does length alone decide? Then long noise should end near the long minimum, and the shortened minimum near the sum. Does the content count? Then minimum, sum and noise should differ at one and the same length. And does the sum have something to say
# in these directions, at this $\lambda$? Then it should keep more than short noise or nothing. The sentences compare with intervals; for the rows of noise there are only the numbers of the table. Look at the old questions as well: the order of the rows need not be the same there.

# %%
SPLIT = chosen["strong directions"][1]["share"]
rng = torch.Generator().manual_seed(seed)


def scaled(x, y):
    """The columns of x with the lengths of those of y."""
    return x * y.norm(dim=0) / x.norm(dim=0)


def noise(x):
    return torch.randn(x.shape, generator=rng)


WEAK = {  # from T of the minimum and T of the sum in the weak directions
    "minimum": lambda full, total: full,
    "minimum shortened": lambda full, total: scaled(full, total),
    "sum lengthened": lambda full, total: scaled(total, full),
    "sum": lambda full, total: total,
    "long noise": lambda full, total: scaled(noise(full), full),
    "short noise": lambda full, total: scaled(noise(full), total),
    "nothing": lambda full, total: 0 * full,
}


def filled(fill):
    """A rule: the minimum on strong directions, and in the weak ones what fill makes of minimum and sum."""

    def rule(t):
        V, full = directions(t), spectral(t, share=1.0)
        k = round(SPLIT * V.shape[1])
        strong, weak = V[:, :k], V[:, k:]
        made = fill(full @ weak, t.sum(0) @ weak)
        return full @ strong @ strong.T + made @ weak.T

    return rule


for name, fill in WEAK.items():
    merged.load_state_dict(start)
    scored[name] = right(moved(merged.changes(weights, filled(fill))), test)
table(
    pd.DataFrame(
        {
            "right codes": {n: float(mean_of_tasks(scored[n]).mean()) for n in WEAK},
            "old questions": {n: float(scored[n]["old"].mean()) for n in WEAK},
        }
    ),
    f"What stands in the weak directions, all but the strongest {SPLIT:.0%}, with λ = 1. The first row is the full minimum, the fourth is (8).",
)  # fmt: skip
list_of(
    ("minimum shortened", "minimum"),
    ("sum lengthened", "sum"),
    ("minimum shortened", "sum"),
    ("sum lengthened", "minimum"),
    ("nothing", "sum"),
)

# %% [markdown]
# ## The scale
#
# $\lambda$ is chosen for each rule. How much hangs on it? The widget shows the pictures on which it was chosen.


# %% tags=["hide-input"]
# Code of the widget: the scale of each rule
def draw_scales(name):
    figure = Figure(figsize=(5.6, 3.0), layout="constrained")
    axes = figure.subplots()
    for other, values in tries.items():
        if other != name:
            axes.plot(list(values), list(values.values()), color="0.8", lw=1)
    shown = tries[name]
    axes.plot(list(shown), list(shown.values()), marker="o", lw=2, label=name)
    axes.set(xscale="log", xlabel="λ", ylabel="right codes", ylim=(-0.03, 1.03))
    axes.set_xticks(TEN[::2], [f"{s:g}" for s in TEN[::2]])
    axes.minorticks_off()
    axes.legend(loc="upper right")
    return figure


def say_scales(name):
    parts = [f"{v:.0%} at λ = {s:g}" for s, v in tries[name].items()]
    return f"{name}: {', '.join(parts)}."


frames(
    {"rule": list(SETTINGS)},
    draw=draw_scales,
    alt=say_scales,
    caption="Mean over the four codes on the pictures that settings were chosen on; other rules in grey. A rule with two settings is shown with the chosen one.",
    start={"rule": "OptMerge"},
)

# %% [markdown]
# ## Tower and connector: merge them or not?
#
# So far tower and connector stayed as they were in the base. Four other experts, with the same data and as many steps, tune them as well. Their matrices can be merged by the rule, as those of the language model; they can be averaged; or they can be put back to the base, although the experts' language models were tuned beside others.
# The rule is the one with most right codes on the pictures for choosing, at the setting that was chosen for the first four experts; each way gets a $\lambda$ of its own, chosen on those pictures from the same five.

# %%
front = max(tries, key=lambda name: max(tries[name].values()))
whole = {
    task: tuned(
        own[task] + old, steps, (*TUNED, "connector", "vision_tower.encoder")
    )
    for task in VALUES
}
parts = [expert.state_dict() for expert in whole.values()]
PARTS = {
    "connector": r"connector\..*",
    "tower": r"vision_tower\.encoder\..*",
    "both": r"(connector|vision_tower\.encoder)\..*",
}
WAYS = {"both averaged": {}} | {
    f"{part} {way}": how
    for part, at in PARTS.items()
    for way, how in (
        ("by the rule", {"include": f"{MATRICES}|{at}weight"}),
        ("as in the base", {"exclude": at}),
    )
}
on_held = {}
for way, how in WAYS.items():
    changes = changes_by(SETTINGS[front][0], parts, **chosen[front][1], **how)
    for scale in FIVE:
        model = moved(changes, scale)
        answered = mean_of_tasks(right(model, read(model, questions["held"])))
        on_held[way, scale] = float(answered.mean())
    scale = max(FIVE, key=lambda scale: on_held[way, scale])
    model = moved(changes, scale)
    scored[way] = right(model, read(model, questions["test"]))

# %% tags=["hide-input"]
# Code of the table: tower and connector
table(
    pd.DataFrame(
        {
            "right codes": {n: float(mean_of_tasks(scored[n]).mean()) for n in WAYS},
            "old questions": {n: float(scored[n]["old"].mean()) for n in WAYS},
            "λ": {n: max(FIVE, key=lambda scale: on_held[n, scale]) for n in WAYS},
        }
    ),
    f"{front} of experts that tuned tower and connector, too. Of tower and connector, what a row does not name is averaged.",
)  # fmt: skip
list_of(*((way, "both averaged") for way in WAYS if way != "both averaged"))

# %% [markdown]
# How much of an expert is in these two parts at all? Put tower and connector of the base back into each single expert. And what has it brought to tune them, once all is merged? Against the same rule on the experts that left them alone stands the way with most right codes on the pictures for choosing. (The rule and its setting were chosen with those other experts; with these, in turn, more ways were tried.)

# %%
single = {}
for task, expert in whole.items():
    asks = {task: questions["test"][task]}
    trained = right(expert, read(expert, asks))[task]
    without = {n: w - start[n] for n, w in expert.state_dict().items()}
    for n in without:
        if re.fullmatch(PARTS["both"], n):
            without[n] = 0 * without[n]
    single[task] = (trained, right(moved(without), read(reader, asks))[task])
for place, name in enumerate(("whole experts", "whole experts, parts put back")):
    scored[name] = {task: pair[place] for task, pair in single.items()}
scored["tower and connector frozen"] = scored[front]
scored["tower and connector tuned"] = scored[max(on_held, key=on_held.get)[0]]
list_of(
    ("whole experts, parts put back", "whole experts"),
    ("tower and connector tuned", "tower and connector frozen"),
)

# %% [markdown]
# In the released code of OptMerge {cite}`wei2025optmerge` a branch for TSV asks for a layer that an earlier line has left out, and so averages in silence. A table does not show such a fault, as the average answers, too. Test that a rule returns something else than the average for two different experts; and test it on one. There average, sum, TSV, WUDI, OptMerge and (8) give back the expert;
# TIES that trims, DARE and Iso-C do not.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} TIES (code)
# :label: merging-ties
#
# Write (2) for task vectors (N, m, n). Of each, the share `keep` of the values with the largest magnitudes is kept. Return (m, n); where nobody agrees, 0.
# ```

# %% tags=["stub:ties"]
from mmlab.exercises.merging import check_ties


def ties(t, keep):
    return ...


check_ties(ties)

# %% [markdown]
# ```{solution-start} merging-ties
# :class: dropdown
# ```


# %% tags=["solution:ties"]
def ties(t, keep):
    count = int(keep * t[0].numel())
    least = t.flatten(1).abs().sort(descending=True).values[:, count - 1]
    kept = t * (t.abs() >= least[:, None, None])
    agree = (kept.sign() == kept.sum(0).sign()) & (kept != 0)
    return (kept * agree).sum(0) / agree.sum(0).clamp(min=1)


check_ties(ties)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Adapters do not average (compute)
# :label: merging-adapters
#
# Two experts were tuned by LoRA, with updates $B_1 A_1$ and $B_2 A_2$. Somebody averages the factors: $\tfrac12(B_1 + B_2) \cdot \tfrac12(A_1 + A_2)$. Return by how much this differs from the average of the updates, as a share of the latter's
# norm, for factors $B_1, A_1, B_2, A_2$ that are handed to you.
# ```

# %% tags=["stub:adapters"]
from mmlab.exercises.merging import check_adapters


def error(B1, A1, B2, A2):
    return ...


check_adapters(error)

# %% [markdown]
# ```{solution-start} merging-adapters
# :class: dropdown
# ```
#
# The product has the cross terms $B_1 A_2$ and $B_2 A_1$, which belong to no expert, and only a quarter of each true update, where the average has half. For independent random factors of one size the error is about $1/\sqrt 2$ of the norm. Merge the products.


# %% tags=["solution:adapters"]
def error(B1, A1, B2, A2):
    wanted = (B1 @ A1 + B2 @ A2) / 2
    got = (B1 + B2) / 2 @ ((A1 + A2) / 2)
    return (got - wanted).norm() / wanted.norm()


check_adapters(error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A ridge in place of a filter (derive)
# :label: merging-ridge
#
# Add $\rho \lVert T - \sum_i t_i \rVert^2$ to (6): who leaves the sum pays. Derive the minimum and write it for task vectors (N, m, n) and $\rho > 0$. What does it become for $\rho \to 0$ and for $\rho \to \infty$?
# ```

# %% tags=["stub:ridge"]
from mmlab.exercises.merging import check_ridge


def ridge(t, rho):
    return ...


check_ridge(ridge)

# %% [markdown]
# ```{solution-start} merging-ridge
# :class: dropdown
# ```
#
# The gradient is $2(TC - D) + 2\rho(T - \sum_i t_i)$, so $T (C + \rho I) = D + \rho \sum_i t_i$. For $\rho \to 0$ it becomes the full minimum, for $\rho \to \infty$ the sum. A direction with the eigenvalue $\mu$ follows the minimum by the share
# $\mu/(\mu+\rho)$: the filter (8) with a soft edge.


# %% tags=["solution:ridge"]
def ridge(t, rho):
    n = t.square().sum((1, 2))[:, None, None]
    C, D = (t.mT @ t / n).sum(0), (t @ t.mT @ t / n).sum(0)
    right = D + rho * t.sum(0)
    return torch.linalg.solve(C + rho * torch.eye(len(C)), right, left=False)


check_ridge(ridge)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Two experts were tuned on the same data from the same base, with other seeds. What should a good rule return?
# About what each of them has, so their average rather than their sum: the scale of task arithmetic depends on how alike the tasks are, and has to be chosen.
# ```
#
# ```{dropdown} Why is a large T no proof that a rule has overshot?
# Iso-C and TSV change the spectrum of T, so that sizes of different rules cannot be compared. The curve over λ can.
# ```
#
# ```{dropdown} Merging needs no data. What does choosing λ need?
# Labelled pictures of every task, though few. A rule that is reported at the λ that scores highest on the test had them, too, and more of them.
# ```
#
# ## In five lines
#
# - A task vector is what tuning changed; rules differ in what they make of several.
# - With a scale of its own, the average is task arithmetic, but for biases and norms.
# - WUDI and OptMerge descend on quadratic functions, each of which one line solves.
# - WUDI's minimum is a regression without a penalty: in directions in which no expert moved much its coefficients grow long. The table of the weak directions puts length and content to the test, each by itself.
# - Training on all tasks is the ruler, where the data may be shared.
#
# ## Limits, and what to read next
#
# - One base, one set of four experts, tasks that share their pictures and the form of their questions; the intervals are over pictures and say nothing about other experts. Run the chapter with another `seed`.
# - Settings and $\lambda$ were chosen by the codes alone; the old questions had no say, and other weights between the two may choose others. OptMerge and WUDI ran at rates that are not those of their papers wherever the table says so.
# - The gain reported for OptMerge is for models of billions of values and tasks that are less alike; its tables were not checked here.
# - What is merged here is tuned in full. For adapters merge the products, see the exercise.
#
# {cite:t}`wei2025optmerge` has the benchmark for vision-language models, {cite:t}`ilharco2023editing` the idea of task vectors.

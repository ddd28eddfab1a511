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
# # Making a model forget a patient: unlearning
#
# **A patient asks for her records to be deleted. A model was trained on them. Can it be made to forget them without being trained anew, and how would you know that it has?**
#
# The exact answer is to train again without the records. Where that is too dear, one tunes the model for a few steps by a rule of unlearning; most lower the probability of what is to be forgotten. MedForget {cite}`wu2025medforget` holds such rules against a hierarchy of institutions, patients, studies and sections, and attacks the result by adding names to the question.
# Retraining a large model is dear; ours takes seconds. So here retraining is the ruler, which a table of forgotten and kept answers is not.
#
# **After this chapter you can**
#
# - write six rules of unlearning, and derive how the push of negative preference fades where that of gradient ascent does not;
# - take directions out of a layer without any training, and say whom else that touches;
# - name what to forget at four levels of a tree, and which records are the siblings that must stay;
# - hold a model against one that never saw the records, and against the noise between two such models;
# - test whether a fact has gone, or only one of the ways to ask for it.
#
# You need [GRPO](grpo.ipynb) for the small model, and the logistic function. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4  # trees, each with a model of its own
steps: int | None = None  # of unlearning

# %% tags=["hide-input"]
import itertools

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

import mmlab
from mmlab.bases.hospital_reader import READER, hospital_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.hospital_world import (
    LONGEST,
    WORDS,
    hospital_world,
    joined,
)
from mmlab.methods.chip import Chip, basis, projected
from mmlab.methods.unlearning import RULES, Unlearning, npo
from mmlab.nn.low_rank_weights import adapt_weights, merged_weights
from mmlab.nn.small_reader import SmallReader
from mmlab.viz import claimed, frames, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import use_theme

use_theme()
steps = steps or {"cpu": 40, "gpu": 400}[profile]

# %% [markdown]
# ## What is forgotten, and what is held against it

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "d": Box(0, 0.9, "all records"),
    "m": Box(1.3, 0.9, "model", "trained"),
    "f": Box(1.3, 2.0, "forget: a patient"),
    "r": Box(1.3, -0.2, "retain: all others"),
    "u": Box(2.7, 0.9, "unlearnt", "trained"),
    "o": Box(2.7, -0.2, "retrained:\nnever saw her", "frozen"),
    "c": Box(4.0, 0.4, "same answers?\nsame likelihoods?", "loss"),
}
arrows = [
    Arrow("d", "m"),
    Arrow("m", "u"),
    Arrow("f", "u", "down"),
    Arrow("r", "u", "keep"),
    Arrow("r", "o"),
    Arrow("u", "c"),
    Arrow("o", "c"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a model trained on all records is tuned to forget a patient and to retain all others. A second model is trained on the others alone. Both are asked the same questions.",
    caption="The model that was retrained has never seen the patient. What it says of her is what forgetting looks like.",
)

# %% [markdown]
# Let $s$ be the log-likelihood of a secret, summed over its words, under the model that is tuned, and $s_\text{ref}$ the same before. **Gradient ascent** on the loss of what is to be forgotten minimises
#
# $$\mathbb{E}_\text{forget}\, s. \tag{1}$$
#
# This has no lower end, and nothing in it says what should stay. **Gradient difference** adds the loss of records to retain, with a weight $\gamma$ {cite}`maini2024tofu`,
#
# $$\mathbb{E}_\text{forget}\, s - \gamma\, \mathbb{E}_\text{retain}\, s, \tag{2}$$
#
# and the variant **KL** asks that the laws of the words of retained answers stay as they were:
#
# $$\mathbb{E}_\text{forget}\, s + \gamma\, \mathbb{E}_\text{retain}\, \mathrm{KL}(\pi_\text{ref} \Vert \pi). \tag{3}$$
#
# **NPO**, negative preference optimisation {cite}`zhang2024npo`, replaces the $s$ of what is to be forgotten in (2) by
#
# $$\frac{2}{\beta} \log\!\Big(1 + \Big(\frac{p}{p_\text{ref}}\Big)^{\beta}\Big) = \frac2\beta \log\big(1 + e^{\beta (s - s_\text{ref})}\big). \tag{4}$$
#
# Its derivative in $s$ is $2\,\sigma(\beta(s - s_\text{ref}))$, with $\sigma$ the logistic function. At the reference that is 1: on what is to be forgotten the first gradient is that of ascent, from a loss of $2 \log 2/\beta$. As the secret gets less probable, the weight goes to 0, and the push fades. For $\beta \to 0$ it never fades. **SimNPO** {cite}`fan2024simnpo` does without the reference and
# takes the mean over the $|o|$ words, with a margin $\delta$ that is 0 here,
#
# $$\frac2\beta \log\big(1 + e^{\beta s/|o| + \delta}\big). \tag{5}$$
#
# **RMU** {cite}`li2024wmdp` leaves probabilities alone. At forgotten answers it pushes the states $h$ inside the model towards a vector of length $c$ in a random direction $u$, which has length 1, and at retained ones it holds them:
#
# $$\mathbb{E}_\text{forget} \lVert h - c\, u \rVert^2 + \gamma\, \mathbb{E}_\text{retain} \lVert h - h_\text{ref} \rVert^2. \tag{6}$$
#
# Its authors do so at an inner layer; our model has one layer, and $h$ is what enters its head. (The package takes the mean over the entries of $h$, which divides both terms alike.) In NPO and SimNPO $\gamma$ is 1 throughout; gradient difference is tried with 1 and a larger one, KL and RMU with larger ones. So, at one rate, NPO differs from gradient ascent in two things, the fading push and the records it retains. Gradient difference with $\gamma = 1$ has the second without the first; where it chose the larger one, it differs from NPO in two things as well.
#
# **CHIP**, MedForget's own proposal from the second version of the paper on, takes no step. It holds a patient's studies, each a picture with its records, against those of her **siblings**, here the other patients of her institution. A linear layer gives out $Wx + b$. Of its neurons $j$, the outputs $a_j$, a share $S$ is taken, those with the largest
#
# $$\mathbb{E}_\text{forget} |a_j| - \mathbb{E}_\text{siblings} |a_j| . \tag{7}$$
#
# For each study of the patient there is a direction in the space of these neurons, of length 1, from the siblings' mean output to the study's. The columns of $Q$ are the first right singular vectors of the matrix whose rows are these directions, as few as hold 95 % of the energy, the sum of the squared singular values. The rows $W_S$ become
#
# $$W_S' = (I - Q Q^\top)\, W_S . \tag{8}$$
#
# Then $Q^\top W_S' x = Q^\top W_S x - Q^\top Q\, Q^\top W_S x = 0$ for every input $x$: along $Q$ nothing of the input gets through any more, and what the layer gives out there is the constant $Q^\top b_S$. No change of $W_S$ that reaches this for every $x$ has a smaller sum of squares, for what is added to $W_S$ has the part $-QQ^\top W_S$ in any case, and any further part is orthogonal to it. If $S$ is the whole layer and $Q$ holds all directions, each study's mean output becomes the siblings'. A study here has one picture, so in the connector, the part that makes a vector of a picture, all of her pictures then become one and the same vector. Asked for the same section of two studies, the model has one answer for both: where their secrets differ, one of the two at least is lost by picture, by algebra and whatever else the layer holds. But (8) takes these directions from *every* picture, those of siblings too: nothing in it weighs what they lose.


# %%
def npo_by_hand(s, reference, beta):
    """Equation (4)."""
    return 2 / beta * torch.log(1 + torch.exp(beta * (s - reference)))


s = torch.tensor([-1.0, -5.0], requires_grad=True)
at = s.detach()
assert torch.allclose(npo_by_hand(s, at - 1, 0.5), npo(s, at - 1, 0.5))
(slope,) = torch.autograd.grad(npo(s, at, 0.5).sum(), s)
say(
    f"At the reference NPO with β = 0.5 has the loss {npo(at, at, 0.5)[0].item():.4f}, which is 2 log 2 / β = {2 * np.log(2) / 0.5:.4f}, and the slope {slope[0].item():.4f}, which is gradient ascent's."
)
W, directions = torch.randn(6, 4), torch.randn(2, 6)
Q = basis(directions / directions.norm(dim=1, keepdim=True), 1.0)
assert torch.allclose(Q.mT @ projected(W, Q), torch.zeros(2, 4), atol=1e-5)  # (8)

# %% tags=["hide-input"]
# Code of the widget: how hard each rule pushes
fallen = torch.linspace(0, 30, 121)


def draw_push(beta):
    figure = Figure(figsize=(5.6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color="0.6", ls="--", label="gradient ascent")
    axes.plot(fallen, 2 * torch.sigmoid(-beta * fallen), label="NPO")
    axes.set(
        xlabel="by how much the log-likelihood has fallen",
        ylabel="weight of the push",
        ylim=(0, 1.1),
    )
    axes.legend(fontsize=8)
    return figure


def say_push(beta):
    half = float(np.log(3) / beta)
    return f"With β = {beta:g} the push of NPO is half of gradient ascent's once the log-likelihood has fallen by {half:.1f}."


frames(
    {"β": [0.05, 0.1, 0.2, 0.5, 1.0]},
    draw=draw_push,
    alt=say_push,
    caption="The derivative of (4), over how far the log-likelihood has fallen below the reference's. Dashed: that of gradient ascent, which is 1.",
    start={"β": 0.5},
)

# %% [markdown]
# ## A tree of hospitals
#
# A study is a picture of coloured blocks; a quarter of them it shares with its institution and another quarter with its patient, so siblings look alike. Each of its three sections holds a secret of two words without meaning. Nobody can know a secret who has not seen it, but may guess one. The model was taught every secret in **two ways**: from the picture and the name of the section, and from
# the full path of names with a blank picture. It also answers a public question, on the brightness of pictures of nobody.

# %%
ALL = range(seeds)
worlds = {k: hospital_world(seed=k) for k in ALL}
memory = {k: hospital_reader(worlds[k], seed=k) for k in ALL}


def model_of(weights, **how):
    made = Unlearning.seeded(0, READER, words=LONGEST, **how)
    made.policy.load_state_dict(weights)
    return made.eval()


def right(model, items):
    """Share of questions whose answer is right, word for word."""
    asked = items.tensors
    answers = model.generate(asked)
    return float((answers == asked["completions"][:, 0]).all(1).float().mean())


def words(row):
    return " ".join("▢" if t < 0 else WORDS[t] for t in row)


tree = worlds[0]
ways = (tree.asked(), tree.asked(names=3, blank=True))
shown = []
for way in ways:
    row, length = way.tensors["input_ids"][0], int(way.tensors["length"][0])
    shown.append(
        f"- {words(row[:length].tolist())} **{words(way.tensors['completions'][0, 0].tolist())}**"
    )
first = model_of(memory[0])
say(
    f"One record of the first tree's {len(tree.where)}, in its two ways (▢ is the picture, the study's own or a blank one):\n\n"
    + "\n".join(shown)
    + f"\n\nThe model of this tree answers {right(first, ways[0]):.0%} of the records by picture and {right(first, ways[1]):.0%} by names; {right(first, tree.public_test):.0%} of the public questions on new pictures."
)

# %% [markdown]
# What is *below* a node is to be forgotten; its **siblings** are what else lies below its parent, and look most like it. We forget a patient, asked for **by picture only**, as somebody would who deletes what is on file. Retained are all others, in both ways, and the public questions.
#
# Each rule has six tries: three rates times two values of one setting of its own (gradient ascent has six rates). SimNPO has three times the β of NPO, since it acts on the mean of three words. They are scored on **another patient** than those of the test, after the same number of steps: of the tries that leave at most a tenth of the secrets, the one that keeps most (siblings, others and public questions, added up); if none does, the one that leaves fewest. A patient has so few secrets that *at most a tenth* means none. For the test each tree has a patient of its own.
#
# CHIP has four tries: the published share of a tenth of the neurons, or all, of the connector's linear layer, or of that and the head, which scores the next word. With both, the head is measured after the connector has been projected. Our recurrent network has no other linear layers. CHIP is shown the siblings alone, where the rules are shown all that is retained.

# %% tags=["hide-input"]
# Code of the tries and the training
NODE = {k: ("patient", 3 + k % 6) for k in ALL}  # for the test
TRIED = ("patient", 0)  # of the first tree: to choose settings
KEEP = [{"retain": 1.0}, {"retain": 4.0}]
HEAVY = [
    {"retain": 3.0},
    {"retain": 10.0},
]  # KL and RMU hold what was, and are small at the start
BETA = [{"beta": 0.1}, {"beta": 0.5}]
SLOW = (6e-4, 1e-3, 3e-3)
TRIES = {
    "ascent": list(itertools.product((1e-4, 2e-4, 3e-4, *SLOW), [{}])),
    "difference": list(itertools.product(SLOW, KEEP)),
    "kl": list(itertools.product(SLOW, HEAVY)),
    "npo": list(itertools.product(SLOW, BETA)),
    "simnpo": list(itertools.product(SLOW, [{"beta": 3 * b["beta"]} for b in BETA])),
    "rmu": list(itertools.product(SLOW, [{"steer": 3.0, **how} for how in HEAVY])),
}  # fmt: skip
CHIPS = list(itertools.product((["encoder.3"], ["encoder.3", "head"]), (0.1, 1.0)))


class Watched(Unlearning):
    """Keeps its weights at some steps, to be looked at afterwards."""

    def watch(self, at):
        self.__dict__.update(seen={}, at=at, done=0)
        return self

    def after_step(self):
        self.__dict__["done"] += 1
        if self.done in self.at:
            self.seen[self.done] = {
                n: w.clone() for n, w in self.policy.state_dict().items()
            }


def pairs(world, own, both_ways=False):
    """Every retained question beside one to forget."""
    forget = world.asked(own)
    if both_ways:
        forget = joined(forget, world.asked(own, names=3, blank=True))
    keep = joined(
        world.asked(~own), world.asked(~own, names=3, blank=True), world.public
    )
    turn = torch.arange(len(keep)) % len(forget)
    held = {key: value[turn] for key, value in forget.tensors.items()}
    held |= {f"retain_{key}": value for key, value in keep.tensors.items()}
    return TensorData(held)


def forgotten(rule, k, node, rate, how, at=(), only=("",), **data):
    model = Watched.seeded(k, READER, rule=rule, words=LONGEST, **how)
    model.policy.load_state_dict(memory[k])
    for name, weight in model.policy.named_parameters():
        weight.requires_grad_(name.startswith(only))
    own = worlds[k].below(*node)
    mmlab.fit(
        model.watch(at), pairs(worlds[k], own, **data), steps=steps, batch_size=32, lr=rate, seed=k, progress=False
    )  # fmt: skip
    return model


def chipped(k, node, layers, share, of=None):
    """CHIP with the siblings as what is to stay; a study is a child of the patient. ``of``: another's directions."""
    world, policy = worlds[k], SmallReader(**READER)
    policy.load_state_dict(memory[k])
    node = of or node
    own = world.below(*node)
    stay = world.asked(world.siblings(*node)).tensors
    go = {**world.asked(own).tensors, "child": world.where[own, 2]}
    turn = torch.arange(len(stay["length"])) % int(own.sum())
    held = {name: value[turn] for name, value in go.items()}
    held |= {f"retain_{name}": value for name, value in stay.items()}
    return Chip(policy, layers, share, words=LONGEST).solve(TensorData(held)).eval()


def measured(model, k, node):
    world = worlds[k]
    own, near = world.below(*node), world.siblings(*node)
    return {
        "forgotten, by picture": right(model, world.asked(own)),
        "forgotten, by names": right(model, world.asked(own, names=3, blank=True)),
        "siblings": right(model, world.asked(near)),
        "others": right(model, world.asked(~own & ~near)),
        "public": right(model, world.public_test),
    }


def score(found):
    kept = found["siblings"] + found["others"] + found["public"]
    left = found["forgotten, by picture"]
    return kept if left <= 0.1 else -left


def best(tries, tuned):
    """Of some tries the one with the highest score on the other patient."""
    return max(tries, key=lambda t: score(measured(tuned(*t), 0, TRIED)))


chosen = {rule: best(tries, lambda *t, rule=rule: forgotten(rule, 0, TRIED, *t)) for rule, tries in TRIES.items()}  # fmt: skip
chosen["chip"] = best(CHIPS, lambda *t: chipped(0, TRIED, *t))
tenth = measured(chipped(0, TRIED, *CHIPS[0]), 0, TRIED)["forgotten, by picture"]
say(
    f"With a tenth of the connector's neurons, CHIP leaves {tenth:.0%} of that patient's secrets."
)

# %% [markdown]
# ## Against retraining
#
# Two models were trained without the patient: one from the same initial weights, the *oracle*, and one from others. What the second is off the first by is noise: no rule can be asked to come nearer. The column *distance* is by how much the log-likelihoods of the forgotten secrets, by picture, differ from the oracle's, in the mean over secrets; the column *log-likelihood* tells on which side their mean lies, whether too little has been pushed out or too much. A secret that has become much *less* probable than to
# somebody who never saw it is not forgotten either: its absence tells that it was there. The sentences on siblings do not look at what is left of the secrets: a method that leaves some of them has not yet paid in siblings for the rest, so read both columns.


# %%
def likelihoods(model, k, node):
    asked = worlds[k].asked(worlds[k].below(*node))
    with torch.no_grad():
        return model_of(model.policy.state_dict()).likelihood(asked.tensors)


NAMES = {
    "ascent": "gradient ascent",
    "difference": "gradient difference",
    "kl": "KL",
    "npo": "NPO",
    "simnpo": "SimNPO",
    "rmu": "RMU",
}
CHIP, OTHER = "CHIP", "CHIP, another patient's directions"
AT = sorted({steps * n // 8 for n in (1, 2, 4, 6, 8)} - {0})
rows, curves, models = [], [], {}
for k in ALL:
    without = worlds[k].below(*NODE[k])
    models["retrained", k] = model_of(hospital_reader(worlds[k], without, seed=k))
    models["retrained, other seed", k] = model_of(
        hospital_reader(worlds[k], without, seed=k + 100)
    )
    models["before", k] = model_of(memory[k])
    for rule in RULES:
        model = forgotten(rule, k, NODE[k], *chosen[rule], at=AT)
        models[NAMES[rule], k] = model
        for step, weights in {0: memory[k], **model.seen}.items():
            found = measured(model_of(weights), k, NODE[k])
            curves.append({"method": NAMES[rule], "step": step, "seed": k, **found})
    models[CHIP, k] = chipped(k, NODE[k], *chosen["chip"])
    another = ("patient", (NODE[k][1] + 3) % 9)
    models[OTHER, k] = chipped(k, NODE[k], *chosen["chip"], of=another)
    oracle = likelihoods(models["retrained", k], k, NODE[k])
    for (row, other), model in models.items():
        if other == k:
            s = likelihoods(model, k, NODE[k])
            away = {"log-likelihood": float(s.mean()), "distance": float((s - oracle).abs().mean())}  # fmt: skip
            rows.append({"method": row, "seed": k, **measured(model, k, NODE[k]), **away})  # fmt: skip
rows, curves = pd.DataFrame(rows), pd.DataFrame(curves)
ORDER = [
    "before",
    *NAMES.values(),
    CHIP,
    OTHER,
    "retrained, other seed",
    "retrained",
]
table_over_seeds(
    rows,
    f"Share of right answers after {steps} steps, {seeds} trees, by picture where nothing else is said; then the log-likelihood of the forgotten secrets, and how far it is from the oracle's. Retraining is the ruler.",
    order=ORDER,
    reference=["before", "retrained, other seed", "retrained"],
    digits=2,
)
budgets = Budgets("NPO", {NAMES[r]: Spent(steps, tuned=("rate", "setting"), tries=6) for r in RULES})  # fmt: skip
layers, share = chosen["chip"]
table(
    pd.DataFrame(
        {
            "rate": {NAMES[r]: f"{chosen[r][0]:g}" for r in RULES} | {CHIP: ""},
            "setting": {NAMES[r]: ", ".join(f"{a} {b:g}" for a, b in chosen[r][1].items()) for r in RULES}
            | {CHIP: f"{' and '.join('head' if n == 'head' else 'connector' for n in layers)}, share {share:g}"},
            "tries": {NAMES[r]: 6 for r in RULES} | {CHIP: len(CHIPS)},
        }
    ),
    "What was chosen on the other patient.",
    budgets=budgets,
)  # fmt: skip


def of(column, row, frame=None):
    frame = rows if frame is None else frame
    return frame[frame["method"] == row].sort_values("seed")[column].tolist()


record(
    siblings={row: of("siblings", row) for row in ORDER},
    distance={row: of("distance", row) for row in ORDER},
    budget=budgets.plain(),
)


def kept(a, b, name):
    return claimed(
        f"kept-{name}",
        of("siblings", a),
        of("siblings", b),
        direction="higher",
        called="trees",
        unit="%",
        better=f"After {steps} steps *{a}* keeps more of the siblings than *{b}*, {{ours}} against {{theirs}}.",
        worse=f"After {steps} steps *{b}* keeps more of the siblings than *{a}*, {{theirs}} against {{ours}}.",
        undecided=f"After {steps} steps *{a}* ({{ours}} of the siblings) and *{b}* ({{theirs}}) cannot be told apart.",
    )


def nearer(a, b, name):
    return claimed(
        f"distance-{name}",
        of("distance", a),
        of("distance", b),
        direction="lower",
        called="trees",
        better=f"By distance after {steps} steps *{a}* is nearer to the oracle than *{b}*, {{ours}} against {{theirs}}.",
        worse=f"By distance after {steps} steps *{b}* is nearer to the oracle than *{a}*, {{theirs}} against {{ours}}.",
        undecided=f"By distance from the oracle after {steps} steps *{a}* ({{ours}}) and *{b}* ({{theirs}}) cannot be told apart.",
    )


say(
    "\n".join(
        f"- {line}"
        for line in (
            kept("NPO", "gradient ascent", "npo-ascent"),
            kept("NPO", "gradient difference", "npo-difference"),
            kept("NPO", "KL", "npo-kl"),
            kept("NPO", "SimNPO", "npo-simnpo"),
            kept("NPO", "RMU", "npo-rmu"),
            claimed(
                "forgets-chip-before",
                of("forgotten, by picture", CHIP),
                of("forgotten, by picture", "before"),
                direction="lower",
                called="trees",
                unit="%",
                better="*CHIP* leaves fewer secrets than there were *before*, {ours} against {theirs}.",
                worse="*CHIP* leaves more secrets than there were *before*, {ours} against {theirs}.",
                undecided="The secrets that *CHIP* leaves ({ours}) and those *before* ({theirs}) cannot be told apart.",
            ),
            claimed(
                "chip-own-other",
                of("forgotten, by picture", CHIP),
                of("forgotten, by picture", OTHER),
                direction="lower",
                called="trees",
                unit="%",
                better="*CHIP* leaves fewer of the patient's secrets than with another patient's directions, {ours} against {theirs}.",
                worse="*CHIP* leaves more of the patient's secrets than with another patient's directions, {ours} against {theirs}.",
                undecided="The secrets that *CHIP* leaves with her own directions ({ours}) and with another patient's ({theirs}) cannot be told apart.",
            ),
            kept("CHIP", "NPO", "chip-npo"),
            nearer("CHIP", "NPO", "chip-npo"),
            nearer("NPO", "gradient ascent", "npo-ascent"),
            nearer("NPO", "gradient difference", "npo-difference"),
            nearer("NPO", "SimNPO", "npo-simnpo"),
            nearer("NPO", "RMU", "npo-rmu"),
            nearer("NPO", "retrained, other seed", "npo-noise"),
        )
    )
)

# %% [markdown]
# ## Not one number of steps, but several
#
# A table at one number of steps says little: a rule that forgets sooner can be stopped sooner. The curves show what each has forgotten and kept on the way. Each rule is looked at after a few numbers of steps, with the settings that were chosen for the last. The caption stops all trees together, where the mean over them has at most a tenth of the secrets left; the sentences below stop each tree by itself, and one in which more is left at all steps counts with its last, though it has forgotten less.

# %% tags=["hide-input"]
# Code of the figure: forget and retain over steps
figure = Figure(figsize=(6.8, 3.0), layout="constrained")
for axes, column in zip(
    figure.subplots(1, 2), ("forgotten, by picture", "siblings"), strict=True
):
    sns.lineplot(curves, x="step", y=column, hue="method", ax=axes, legend=column == "siblings", errorbar=None)  # fmt: skip
    axes.set(ylabel=column, ylim=(-0.03, 1.03))
axes.legend(fontsize=7, title=None)
mean = curves.groupby(["method", "step"])[
    ["forgotten, by picture", "siblings"]
].mean()
told = []
for row in NAMES.values():
    line = mean.loc[row]
    gone = line[line["forgotten, by picture"] <= 0.1]
    told.append(
        f"{row}: {gone['siblings'].iloc[0]:.0%} of the siblings kept at step {gone.index[0]}, the first with at most a tenth of the secrets left in the mean of the trees."
        if len(gone)
        else f"{row}: more than a tenth of the secrets left at all steps, in the mean of the trees."
    )
show(
    figure,
    alt=f"Shares of right answers over steps, means of the trees. {' '.join(told)}",
    caption=f"Left: secrets of the patient. Right: those of her institution's other patients. {' '.join(told)}",
    label="unlearning-steps",
)


# %%
def stopped(row):
    """Siblings kept at the first step with at most a tenth of the secrets left, or at the end; one value a tree."""
    values = []
    for k in ALL:
        part = curves[(curves["method"] == row) & (curves["seed"] == k)].sort_values("step")  # fmt: skip
        gone = part[part["forgotten, by picture"] <= 0.1]
        values.append(float((gone if len(gone) else part.iloc[[-1]])["siblings"].iloc[0]))  # fmt: skip
    return values


def kept_when_stopped(a, b, name):
    return claimed(
        f"stopped-{name}",
        stopped(a),
        stopped(b),
        direction="higher",
        called="trees",
        unit="%",
        better=f"Stopped at the first of the steps shown at which at most a tenth of the secrets is left, *{a}* keeps more of the siblings than *{b}*, {{ours}} against {{theirs}}.",
        worse=f"Stopped at the first of the steps shown at which at most a tenth of the secrets is left, *{b}* keeps more of the siblings than *{a}*, {{theirs}} against {{ours}}.",
        undecided=f"Stopped at the first of the steps shown at which at most a tenth of the secrets is left, *{a}* ({{ours}} of the siblings) and *{b}* ({{theirs}}) cannot be told apart.",
    )


say(
    "\n".join(
        f"- {kept_when_stopped('NPO', row, f'npo-{slug}')}"
        for row, slug in (
            ("gradient ascent", "ascent"),
            ("gradient difference", "difference"),
            ("KL", "kl"),
            ("SimNPO", "simnpo"),
            ("RMU", "rmu"),
        )
    )
)

# %% [markdown]
# ## Reconstruction by context
#
# MedForget's attack adds the names of the path to the question, one by one. Ours ends with a question without the study's picture: names and a blank, the second way in which the model was taught the secrets, and one that no rule was given to forget. Beside the models from above stand three more. *NPO, both ways* has the same settings and as many steps, but it was also given the questions by names, so each question is asked half as often. The other two tune a part of the model by NPO, as one does with large ones: the **connector** alone, which makes a vector of a picture, or **adapters**, updates of low rank {cite}`hu2022lora` on matrices of the language model, those of the recurrent network and of the head; its biases and the vectors of its words stay as they are. Each has four tries of its own, with two values of β and higher rates than all weights, as fewer values move.

# %%
LANGUAGE = ["reader.weight_ih_l0", "reader.weight_hh_l0", "head.weight"]


def connector(k, node, rate, how):
    return forgotten("npo", k, node, rate, how, only=("encoder",))


def adapters(k, node, rate, how):
    policy = SmallReader(**READER)
    policy.load_state_dict(memory[k])
    with torch.random.fork_rng():
        torch.manual_seed(k)
        adapt_weights(policy, LANGUAGE, rank=4)
    model = Unlearning(policy, rule="npo", words=LONGEST, **how)
    mmlab.fit(model, pairs(worlds[k], worlds[k].below(*node)), steps=steps, batch_size=32, lr=rate, seed=k, progress=False)  # fmt: skip
    return model_of(merged_weights(model.policy))


PARTS = {"connector": connector, "adapters": adapters}
TRIES_OF_PARTS = list(itertools.product((3e-3, 1e-2), BETA))
for part, tuned in PARTS.items():
    chosen[part] = best(TRIES_OF_PARTS, lambda *t, tuned=tuned: tuned(0, TRIED, *t))
    for k in ALL:
        models[part, k] = tuned(k, NODE[k], *chosen[part])
for k in ALL:
    models["NPO, both ways", k] = forgotten(
        "npo", k, NODE[k], *chosen["npo"], both_ways=True
    )
say(
    "Chosen: "
    + ", ".join(
        f"*{p}* rate {chosen[p][0]:g}, β {chosen[p][1]['beta']:g}" for p in PARTS
    )
    + "."
)
CONTEXTS = {
    "picture": (0, False),
    "+ institution": (1, False),
    "+ patient": (2, False),
    "+ study": (3, False),
    "names, no picture": (3, True),
}
attacked = []
SHOWN = ["before", *NAMES.values(), "NPO, both ways", *PARTS, CHIP, "retrained"]
for row, k in itertools.product(SHOWN, ALL):
    own = worlds[k].below(*NODE[k])
    answers = {
        name: right(models[row, k], worlds[k].asked(own, *how))
        for name, how in CONTEXTS.items()
    }
    attacked.append({"method": row, "seed": k, **answers})
attacked = pd.DataFrame(attacked)
table_over_seeds(
    attacked,
    "Share of the patient's secrets that each question brings back.",
    order=SHOWN,
    reference=["before", "retrained"],
    digits=2,
)


def brought_back(a, b, name):
    return claimed(
        f"attack-{name}",
        of("names, no picture", a, attacked),
        of("names, no picture", b, attacked),
        direction="lower",
        called="trees",
        unit="%",
        better=f"By names alone fewer secrets come back from *{a}* than from *{b}*, {{ours}} against {{theirs}}.",
        worse=f"By names alone more secrets come back from *{a}* than from *{b}*, {{ours}} against {{theirs}}.",
        undecided=f"By names alone *{a}* ({{ours}} of the secrets) and *{b}* ({{theirs}}) cannot be told apart.",
    )


say(
    "\n".join(
        f"- {brought_back(*line)}"
        for line in (
            ("NPO", "retrained", "npo-retrained"),
            ("RMU", "NPO", "rmu-npo"),
            ("SimNPO", "NPO", "simnpo-npo"),
            ("RMU", "retrained", "rmu-retrained"),
            ("NPO, both ways", "NPO", "both-npo"),
            ("connector", "NPO", "connector-npo"),
            ("adapters", "NPO", "adapters-npo"),
            ("adapters", "retrained", "adapters-retrained"),
            ("CHIP", "NPO", "chip-npo"),
        )
    )
)

# %% [markdown]
# The model *before* unlearning tells how to read the columns in the middle: the picture with names beside it is a question that it was never asked, and where even it seldom answers, the silence of another model says little.
#
# ## Other levels
#
# NPO at the settings that were chosen for a patient, on other nodes: a section is one secret, an institution a third of all.

# %%
levels = []
for level, number in (("section", 20), ("patient", 3), ("institution", 1)):  # fmt: skip
    for k in ALL:
        node = NODE[k] if level == "patient" else (level, number + k % 2)
        model = models["NPO", k] if level == "patient" else forgotten("npo", k, node, *chosen["npo"])  # fmt: skip
        levels.append({"method": level, "seed": k, **measured(model, k, node)})
levels = pd.DataFrame(levels)
table_over_seeds(
    levels.drop(columns="others"),
    f"NPO at three levels, {steps} steps: share of right answers. Siblings are what else lies below the same parent.",
    order=["section", "patient", "institution"],
    digits=2,
)
say(
    claimed(
        "names-institution-patient",
        of("forgotten, by names", "institution", levels),
        of("forgotten, by names", "patient", levels),
        direction="lower",
        called="trees",
        unit="%",
        better="By names alone fewer secrets come back of an institution than of a patient, {ours} against {theirs}.",
        worse="By names alone more secrets come back of an institution than of a patient, {ours} against {theirs}.",
        undecided="By names alone what comes back of an institution ({ours}) and of a patient ({theirs}) cannot be told apart.",
    )
    + " An institution has three times as many secrets, so in the same number of steps each is asked a third as often: no run here tells that from the level. MedForget reports that models unlearnt at a coarse level resist its attack, and those at a fine level do not {cite}`wu2025medforget`."
)

# %% [markdown]
# ## Which part is tuned
#
# What the parts of the section before keep, beside NPO on all weights.

# %%
ALL_WEIGHTS = {"all weights": "NPO", **dict.fromkeys(PARTS)}
parts = pd.DataFrame(
    [
        {"method": row, "seed": k, **measured(models[ALL_WEIGHTS[row] or row, k], k, NODE[k])}
        for row in ALL_WEIGHTS
        for k in ALL
    ]
)  # fmt: skip
table_over_seeds(
    parts,
    f"NPO on a patient, {steps} steps, by what is tuned: share of right answers.",
    order=list(ALL_WEIGHTS),
    digits=2,
)


def by_part(name, part, column, what):
    return claimed(
        f"part-{name}",
        of(column, part, parts),
        of(column, "all weights", parts),
        direction="lower" if "forgotten" in column else "higher",
        called="trees",
        unit="%",
        better=f"{what}: {{ours}} with *{part}* tuned, {{theirs}} with *all weights*, in favour of the part.",
        worse=f"{what}: {{ours}} with *{part}* tuned, {{theirs}} with *all weights*, in favour of all.",
        undecided=f"{what}: *{part}* ({{ours}}) and *all weights* ({{theirs}}) cannot be told apart.",
    )


say(
    "\n".join(
        f"- {by_part(*line)}"
        for line in (
            ("connector-picture", "connector", "forgotten, by picture", "Secrets left, by picture"),
            ("connector-siblings", "connector", "siblings", "Siblings kept"),
            ("adapters-picture", "adapters", "forgotten, by picture", "Secrets left, by picture"),
            ("adapters-siblings", "adapters", "siblings", "Siblings kept"),
        )
    )
)  # fmt: skip

# %% [markdown]
# Questions by names come with a blank picture, whose vector the connector makes as well; the words themselves do not pass through it. So secrets that are gone by picture and come back by names, as can be with the connector alone and with CHIP on it, were not taken out of the model: it no longer gets to them from her pictures.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Negative preference (code)
# :label: unlearning-npo
#
# Write (4) for log-likelihoods `s` and `reference` (N,) and β: the mean over the N secrets. It must not overflow where β (s − reference) is 500.
# ```

# %% tags=["stub:npo"]
from mmlab.exercises.unlearning import check_npo


def npo_loss(s, reference, beta):
    return ...


check_npo(npo_loss)

# %% [markdown]
# ```{solution-start} unlearning-npo
# :class: dropdown
# ```


# %% tags=["solution:npo"]
def npo_loss(s, reference, beta):
    margin = beta * (s - reference)
    return (2 / beta * torch.logaddexp(margin, torch.zeros(()))).mean()


check_npo(npo_loss)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How much is left of the push (compute)
# :label: unlearning-push
#
# A log-likelihood has fallen by $d$ below the reference. Return the ratio of NPO's gradient to that of gradient ascent.
# ```

# %% tags=["stub:push"]
from mmlab.exercises.unlearning import check_push


def push(d, beta):
    return ...


check_push(push)

# %% [markdown]
# ```{solution-start} unlearning-push
# :class: dropdown
# ```


# %% tags=["solution:push"]
def push(d, beta):
    return 2 / (1 + torch.exp(beta * d))


check_push(push)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How far it runs (derive)
# :label: unlearning-run
#
# The hard one. Suppose that the log-likelihood itself is the parameter, and follow the gradient in continuous time: $\dot s = -1$ for gradient ascent, $\dot s = -2\,\sigma(\beta (s - s_\text{ref}))$ for NPO. Gradient ascent has fallen by $t$ after the time $t$. Derive an equation for how far NPO has fallen, and return the fall $d$ for given $t$ and β, to within 0.0001. How does it grow with $t$?
# ```

# %% tags=["stub:fall"]
from mmlab.exercises.unlearning import check_fall


def fall(t, beta):
    return ...


check_fall(fall)

# %% [markdown]
# ```{solution-start} unlearning-run
# :class: dropdown
# ```
#
# With $u = \beta d$ one has $\dot u = 2\beta/(1 + e^{u})$, so $(1 + e^{u})\, \mathrm{d}u = 2\beta\, \mathrm{d}t$, and from $u(0) = 0$ follows $u + e^{u} - 1 = 2 \beta t$. For large $t$ that is $d \approx \log(2\beta t)/\beta$: logarithmic, where gradient ascent is linear. The left side grows with $u$, so bisection finds it.


# %% tags=["solution:fall"]
def fall(t, beta):
    low, high = 0.0, 4 * t + 1
    for _ in range(60):
        middle = (low + high) / 2
        u = torch.tensor(beta * middle, dtype=torch.double)
        if u + torch.exp(u) - 1 < 2 * beta * t:
            low = middle
        else:
            high = middle
    return low


check_fall(fall)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A model gives a deleted secret a log-likelihood of -80, one that never saw it -15. Has it forgotten?
# It does not say the secret, but whoever compares it with other models sees that this sentence is avoided as no stranger's is. That can be used to find out that it was there.
# ```
#
# ```{dropdown} Why hold two retrained models against each other?
# They differ by their seeds alone. A rule that is as near to one of them as the other is cannot be asked for more by this measure.
# ```
#
# ```{dropdown} An attack brings nothing back from an unlearnt model. What has to be shown besides?
# That it brings something back from the model before unlearning. A question that the model could never answer tests nothing.
# ```
#
# ## In five lines
#
# - Gradient ascent has no lower end; NPO begins with the same push on what is to be forgotten, which then fades by a logistic weight.
# - Report siblings by themselves, and forgetting and keeping over steps, not at one.
# - Where retraining can be afforded, even on a small model, it is the ruler; measure likelihoods, not answers alone.
# - CHIP takes directions out of a layer exactly, for everybody; who else used them is a question for the siblings.
# - Ask for the fact in every way in which it was learnt, and for the same from the model before.
#
# ## Limits, and what to read next
#
# - One kind of small recurrent model that was taught its secrets by heart; trees of a few dozen records, and a single secret is a sixth of a patient. Intervals are over trees, each with one patient.
# - **The rule that chooses settings was changed after a full run on the test patients had been seen.** Under the rule before, NPO's lead over gradient difference on siblings was decided in its favour; what the present rule says of the two is in the list above. So a verdict here may depend on how settings are chosen, and none was planned beforehand: they want new trees to confirm them.
# - CHIP was made for the inner layers of large models, and pools pictures' and words' outputs by weights of its own {cite}`wu2025medforget`; here it has one linear layer of a connector and one of a head, and all places count alike. The released code scores neurons against all that is retained, and takes the siblings for the directions alone; here (7), too, has the siblings. What it does here says little of what it does there. Random directions were not taken.
# - Settings were chosen on one patient of the first tree, whose other records and public questions are in the test too. Six tries are few: with two values of a setting every choice lies at an edge of what was tried, and what lies beyond is not known. They were chosen by answers, and the distance from the oracle had no part in it: a choice may push no further than until the answers are wrong, or much further, as the column *log-likelihood* tells, and other settings of the same rule may be nearer. How the distance goes over the steps is not shown.
# - KL and RMU were tried with two values of $\gamma$, which RMU's authors set far higher still {cite}`li2024wmdp`, and RMU with one length of its vector. **These values were taken after a probe of RMU with a heavier $\gamma$ on such trees;** NPO and SimNPO searched β instead and have $\gamma = 1$. So a verdict between them is one on these values.
# - Adapters and the connector were offered a rate that all weights were not.
# - Retraining is an oracle up to its seed. That a model is near to it on these questions does not prove that nothing is left: other questions, or its weights, may tell.
# - The unlearner here may use all retained records. With a part of them, or none, the order of the rules may be another.
# - The pictures are drawn blocks; nothing here is a medical device or legal advice.
#
# {cite:t}`wu2025medforget` have the hierarchy and the attack, {cite:t}`zhang2024npo` the theory of why ascent collapses, {cite:t}`maini2024tofu` a test bed on which many rules are compared.

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
# # Stored help for small towers: MobileCLIP
#
# **Many of the captions are wrong, and the model must be small. Somebody has large models. What should they write into the training set?**
#
# CLIP {cite}`radford2021clip` trains a tower for pictures and a tower for captions, so that a picture and its caption lie side by side. A model for a phone has small towers, and captions from the web are often
# about something else. MobileCLIP {cite}`vasu2024mobileclip` lets large models work on the training set *once*, and keeps what they say beside each picture: further captions, and
# the vectors of an ensemble of teachers. The small towers then learn from what is stored, and no large model runs while they do. Its authors call this reinforced training.
#
# The same teachers could do something simpler: throw away the pairs that do not fit. Whoever praises the stored vectors should hold them against that.
#
# **After this chapter you can**
#
# - write a contrast whose targets are soft, and say when it is CLIP's;
# - average teachers after the softmax, and say why the matrix of captions is not that of pictures turned over;
# - tell what a student owes to its teachers' answers, to their captions, and to what *they* were trained on;
# - put a filter beside a distillation before you praise it.
#
# You need a contrastive loss, as in [M3CoL](m3col.ipynb), and PyTorch. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4
steps: int | None = None  # of every student

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmlab import fit
from mmlab.bases.two_towers import SHARE, tower_family, wrong_captions
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.shape_world import WORDS, caption_of, tokens_of
from mmlab.methods.mobile_clip import MobileCLIP, affinities, reinforce
from mmlab.metrics.retrieval import ranks, recall_at
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 2000}[profile]

# %% [markdown]
# ## Pictures, and captions that may be wrong
#
# In {py:func}`~mmlab.data.worlds.shape_world.shape_world` a picture shows one figure on one ground, and five words say all about it. The test has combinations of words that no training picture has: nobody finds the right caption for each of its pictures
# without reading all five, though for some pictures four are enough. Beside this, a share of the training pictures has lost its caption to another picture.

# %% tags=["hide-input"]
# Code of the figure: pictures of the training set
family = tower_family()
world = family.world
right = world.train.tensors["caption"]
captions, wrong = wrong_captions(world)
FIRST = torch.tensor([0, 3, 9, 13, 22])  # first token of each fact
figure = Figure(figsize=(5.6, 3.6), layout="constrained")
for axes, n in zip(figure.subplots(2, 4).flat, range(8), strict=True):
    axes.imshow((world.pictures["train"][n].permute(1, 2, 0) + 1) / 2)
    words = caption_of(captions[n] - FIRST).split()
    axes.set_title(
        "\n".join([" ".join(words[:2]), words[2] + " " + words[3], words[4]]),
        fontsize=8, color="#d55e00" if wrong[n] else "#1f2933",
    )  # fmt: skip
    axes.axis("off")
show(
    figure,
    alt="Eight small noisy pictures with captions: "
    + "; ".join(
        f"{caption_of(world.facts['train'][n])}, told {'as something else' if wrong[n] else 'rightly'}"
        for n in range(8)
    )
    + ".",
    caption=f"Training pictures with their captions; those in orange belong to another picture. Of all {len(wrong):,} captions {100 * wrong.float().mean():.0f} % do, and there are {len(right.unique(dim=0)):,} combinations. The test has {len(world.facts['test'])} others, one picture each.",
)

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "set": Box(0, 0.6, "pictures,\ncaptions"),
    "teach": Box(1, 0, "teachers,\nonce"),
    "kept": Box(2, 0, "vectors, further\ncaptions", "changed"),
    "student": Box(1, 1.2, "small towers", "trained"),
    "loss": Box(3, 0.6, "loss (4)", "loss"),
}
arrows = [
    Arrow("set", "teach"),
    Arrow("teach", "kept"),
    Arrow("set", "student"),
    Arrow("kept", "loss", "targets (2)"),
    Arrow("student", "loss", "similarities"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: pictures and captions go to teachers, once, which leave vectors and further captions. They also go to small towers. The loss compares the similarities of the small towers with targets made of the stored vectors.",
    caption="Teachers work once; what they leave, in orange, is stored with the set. Blue is trained.",
)

# %% [markdown]
# ## The loss
#
# Of $B$ pairs the student makes vectors $u_i$ of pictures and $v_j$ of captions, and compares them by $S_{ij} = s \cos(u_i, v_j)$ with a learnt scale $s$. With $H(T, S) = -\tfrac1B \sum_{ij} T_{ij} \log \operatorname{softmax}_j(S_{ij})$, CLIP's loss is
#
# $$L_{\text{CLIP}} = \tfrac12 \big[ H(I, S) + H(I, S^\top) \big] . \tag{1}$$
#
# A target $I$ says: this caption and no other. It says so of a wrong caption, too. Teacher $k$ has its own vectors $a^k_i$ and $b^k_j$ of the same items. What the teachers say together is the mean of their softmaxes, with a scale $t$,
#
# $$P_{ij} = \tfrac1K \sum_k \operatorname{softmax}_j\big( t\, a^k_i \cdot b^k_j \big), \qquad P'_{ji} = \tfrac1K \sum_k \operatorname{softmax}_i\big( t\, a^k_i \cdot b^k_j \big), \tag{2}$$
#
# and the student is to say the same {cite}`hinton2015distilling`:
#
# $$L_{\text{KD}} = \tfrac12 \big[ H(P, S) + H(P', S^\top) \big] . \tag{3}$$
#
# (3) is never below the mean entropy of the targets' rows, and a student that has a single teacher's cosines and scale is there. For several teachers the bound may be out of reach, since one $S$ has to serve both directions. If every teacher is wholly sure of the pairs, $P = I$, and (3) is (1). With shares $1 - \lambda$ and $\lambda$, and the mean over the sets $c$ of captions (those that came with the pictures, and the further ones),
#
# $$L = \operatorname*{mean}_c \big[ (1 - \lambda)\, L_{\text{CLIP}}^c + \lambda\, L_{\text{KD}}^c \big] . \tag{4}$$
#
# The authors' code adds the sets up, which is (4) times two. For its smaller set, of twelve million pairs, and for its small models it takes $\lambda = 1$: the pairs as such say nothing then, and all comes from the teachers. It has $t = 100$ {cite}`vasu2024mobileclip`.


# %%
def loss_by_hand(towers, batch, t=100.0):
    """Equations (2) to (4) with λ = 1."""
    u, total = towers.picture(batch["image"]), 0.0
    for name in ("caption", "synthetic"):
        v = towers.caption(batch[name])
        S = towers.scale() * F.normalize(u, dim=1) @ F.normalize(v, dim=1).T
        there, back = [], []
        for k in range(batch["teacher_image"].shape[1]):
            a = F.normalize(batch["teacher_image"][:, k], dim=1)
            b = F.normalize(batch[f"teacher_{name}"][:, k], dim=1)
            there.append((t * a @ b.T).softmax(1))
            back.append((t * b @ a.T).softmax(1))
        P, P_back = torch.stack(there).mean(0), torch.stack(back).mean(0)  # (2)
        total += F.cross_entropy(S, P) / 2 + F.cross_entropy(S.T, P_back) / 2  # (3)
    return total / 2  # (4)


demo, batch = MobileCLIP.demo()
ours, theirs = (
    loss_by_hand(demo.towers, batch),
    demo.loss(batch, torch.Generator())["loss"],
)
assert torch.allclose(ours, theirs, atol=1e-5)
say(f"Both give {ours.item():.4f} on the demo.")

# %% [markdown]
# **A trap.** $S^\top$ is $S$ turned over, so one may think that $P'$ is $P$ turned over. It is not: each row of $P'$ has a softmax of its own. In one path of the released code, for several devices, it was taken so; by the repository's settings the published runs went the other way. The rows of the turned-over matrix do not sum to one.

# %% [markdown]
# ## What the teachers leave
#
# There are two teachers with wider towers, trained from *right* captions ({py:mod}`mmlab.bases.two_towers`). Their further caption for a picture is the one that they find among all captions of training combinations: it stands for what a captioner writes. This is a gift that the
# students' own training set does not have, as the teachers of the paper have seen other data than their students. So there are two more teachers, trained from the very set, wrong captions included, that the students get. They know nothing that the students' set does not say.

# %%
candidates = tokens_of(world.facts["train"].unique(dim=0))
given = TensorData({"image": world.pictures["train"], "caption": captions})
stored = {
    "right": reinforce(given, candidates, family.right),
    "wrong": reinforce(given, candidates, family.wrong),
}


def fits(data):
    """Mean cosine of the teachers between each picture and the caption that came with it."""
    vectors = data.tensors
    return (vectors["teacher_image"] * vectors["teacher_caption"]).sum(-1).mean(1)


def filtered(data, share):
    """The share of the pairs that the teachers rank first."""
    kept = fits(data).argsort(descending=True)[: round(share * len(data))]
    return data.subset(kept), kept


def found(u, v):
    """R@1, mean of both directions."""
    s = u @ v.T
    return float(
        (recall_at(ranks(s), 1).mean() + recall_at(ranks(s.T), 1).mean()) / 2
    )


test, validation = world.test.tensors, world.validation.tensors
kept = {name: filtered(data, 1 - SHARE) for name, data in stored.items()}
for name, towers in (("right", family.right), ("wrong", family.wrong)):
    each = [
        found(
            F.normalize(t.picture(test["image"]), dim=1),
            F.normalize(t.caption(test["caption"]), dim=1),
        )
        for t in towers
    ]
    good = (stored[name].tensors["synthetic"] == right).all(1).float().mean()
    say(
        f"Teachers of *{name}* captions: R@1 on the test {' and '.join(f'{100 * r:.1f} %' for r in each)}; {100 * good:.1f} % of their further captions are exactly right; of the {100 * (1 - SHARE):.0f} % of the pairs that they rank first, {100 * (~wrong[kept[name][1]]).float().mean():.1f} % are right."
    )
rows_ = stored["right"].batch(torch.arange(128))
over = affinities(
    rows_["teacher_image"], rows_["teacher_caption"], 100.0, transposed=True
)[1].sum(1)
say(
    f"The trap: in one batch of {len(over)} pairs, the rows of the turned-over matrix sum to between {over.min():.2f} and {over.max():.2f}."
)

# %% [markdown]
# Turn the teachers' scale below. How sure should a target be, and where does it go when the caption is another picture's?

# %% tags=["hide-input"]
# Code of the widget: targets
few_rows = stored["right"].batch(torch.arange(12))
off = [n for n in range(12) if wrong[n]]
SCALES = [5.0, 20.0, 50.0, 100.0]


def targets_at(t):
    return affinities(few_rows["teacher_image"], few_rows["teacher_caption"], t)[0]


def draw_targets(t):
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(targets_at(t), vmin=0, vmax=1, cmap="viridis")
    axes.set(xlabel="caption", ylabel="picture", xticks=range(12), yticks=range(12))
    for n in off:
        axes.get_yticklabels()[n].set_color("#d55e00")
    figure.colorbar(drawn, ax=axes, label="target")
    return figure


def say_targets(t):
    P = targets_at(t)
    own = P.diagonal()
    text = f"Teachers' scale {t:g}: a right pair has {own[~wrong[:12]].mean():.2f} of its row on its own caption in the mean"
    if off:
        text += f", a wrong one {own[off].mean():.2f}"
    return (
        text
        + f"; the mean entropy of a row is {-(P * P.clamp(min=1e-12).log()).sum(1).mean():.2f} nats."
    )


frames(
    {"t": SCALES},
    draw=draw_targets,
    alt=say_targets,
    caption="Targets (2) for twelve pictures and the captions that came with them. Pictures with an orange number have another picture's caption.",
    start={"t": 100.0},
)

# %% [markdown]
# ## The rivals
#
# | row | learns from | loss |
# | --- | --- | --- |
# | CLIP | the captions as they came | (1) |
# | label smoothing | the same; a fifth of each target is spread over the batch {cite}`szegedy2016rethinking` | (1) |
# | filtered | the pairs that the teachers rank first {cite}`gadre2023datacomp`, as many as are right | (1) |
# | further captions | the captions as they came, and the teachers' | (1) of both |
# | reinforced | the same, and the teachers' vectors | (4), λ = 1 |
# | filtered, own set | as *filtered*, by the teachers of the wrong captions | (1) |
# | reinforced, own set | as *reinforced*, likewise | (4), λ = 1 |
# | CLIP, twice the steps | as *CLIP* | (1) |
# | right captions | what nobody has | (1) |
#
# *Filtered* is told how many pairs are right, which in practice nobody knows. *Further captions* has the teachers' captions without their vectors.
#
# All students have one architecture, the same start for a seed, and as many steps with as many pictures in each, but for the one that is named after its steps. *CLIP*, *label smoothing*, *filtered*, *further captions* and *reinforced* choose between two rates, by R@1 on validation combinations with the first seed; the other rows take the rate of the row that they resemble. What differs is the cost of a step: two sets of captions are two passes of the caption tower.

# %%
BATCH, RATES = 128, (3e-3, 6e-3)
LIKE = {
    "CLIP, twice the steps": "CLIP",
    "filtered, own set": "filtered",
    "reinforced, own set": "reinforced",
    "right captions": "filtered",
}
plain = {"distilled": 0.0}


def only(data, *keys):
    return TensorData({key: data.tensors[key] for key in ("image", *keys)})


ROWS = {
    "CLIP": (given, plain),
    "label smoothing": (given, {**plain, "smoothing": 0.2}),
    "filtered": (only(kept["right"][0], "caption"), plain),
    "further captions": (only(stored["right"], "caption", "synthetic"), plain),
    "reinforced": (stored["right"], {}),
    "filtered, own set": (only(kept["wrong"][0], "caption"), plain),
    "reinforced, own set": (stored["wrong"], {}),
    "CLIP, twice the steps": (given, plain),
    "right captions": (world.train, plain),
}


def student(data, arguments, seed, lr, steps=steps):
    method = MobileCLIP.seeded(10 + seed, len(WORDS), **arguments)
    fit(
        method, data, steps=steps, batch_size=BATCH, lr=lr, warmup=20,
        schedule="cosine", seed=seed, log_every=steps, progress=False,
    )  # fmt: skip
    return method


def score(method, part):
    return found(*method.embed(part).unbind(1))


lines, chosen = [], {}
for row, (data, arguments) in ROWS.items():
    rates = [chosen[LIKE[row]]] if row in LIKE else RATES
    count = 2 * steps if row == "CLIP, twice the steps" else steps
    tries = {lr: student(data, arguments, 0, lr, count) for lr in rates}
    chosen[row] = max(rates, key=lambda lr: score(tries[lr], validation))
    for seed in range(seeds):
        made = (
            student(data, arguments, seed, chosen[row], count)
            if seed
            else tries[chosen[row]]
        )
        lines.append(
            {"method": row, "seed": seed, "R@1 (%)": 100 * score(made, test)}
        )
scores = pd.DataFrame(lines)

# %% tags=["hide-input"]
# Code of the table
parameters = sum(p.numel() for p in made.parameters())
budgets = Budgets(
    "reinforced",
    {
        row: Spent(
            2 * steps if "twice" in row else steps,
            parameters,
            ("rate",),
            len(RATES),
        )
        for row in ROWS
        if row != "right captions"
    },
)
table_over_seeds(
    scores,
    "Test combinations: the right caption of a picture found first, or the right picture of a caption.",
    best={"R@1 (%)": "higher"},
    reference=["right captions"],
    digits=1,
    order=list(ROWS),
    budgets=budgets,
)
mean = scores.groupby("method")["R@1 (%)"].mean()
size = sum(p.numel() for p in family.right[0].parameters())
say(
    f"All students have {parameters:,} values, a teacher has {size:,}. At random R@1 is {100 / len(test['caption']):.2f} %. Rates chosen: "
    + ", ".join(f"*{row}* {lr:g}" for row, lr in chosen.items())
    + "."
)
record(
    recall={row: round(float(value), 2) for row, value in mean.items()},
    budget=budgets.plain(),
)


# %%
def values(row):
    return scores[scores["method"] == row].sort_values("seed")["R@1 (%)"].tolist()


def against(slug, ours, theirs):
    return claimed(
        f"reinforced-{slug}",
        values(ours),
        values(theirs),
        direction="higher",
        better=f"*{ours[0].upper() + ours[1:]}* finds more than *{theirs}*: {{ours}} against {{theirs}}.",
        worse=f"*{theirs[0].upper() + theirs[1:]}* finds more than *{ours}*: {{theirs}} against {{ours}}.",
        undecided=f"*{ours[0].upper() + ours[1:]}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        unit="points",
    )


PAIRS = [
    ("clip", "reinforced", "CLIP"),
    ("clip-longer", "reinforced", "CLIP, twice the steps"),
    ("smoothing", "reinforced", "label smoothing"),
    ("captions", "reinforced", "further captions"),
    ("filtered", "reinforced", "filtered"),
    ("own-clip", "reinforced, own set", "CLIP"),
    ("own-filtered", "reinforced, own set", "filtered, own set"),
    ("right-own", "reinforced", "reinforced, own set"),
]
say("R@1, in points.\n\n" + "\n".join(f"- {against(*pair)}" for pair in PAIRS))

# %% tags=["hide-input"]
# Code of the figure: all rows
order = sorted(ROWS, key=lambda row: -mean[row])
show(
    bars(scores, "R@1 (%)", order=order),
    alt="R@1 in per cent, mean over seeds: "
    + ", ".join(f"{row} {mean[row]:.1f}" for row in order)
    + ".",
    caption=f"All students after {steps} steps, but for the row that took twice as many, by their mean. A point is a seed.",
    label="rows",
)

# %% [markdown]
# The last three claims of the list separate two things that the first one mixes. Teachers of right captions bring knowledge that the students' set lacks; *own set* does not. And a stored vector can be used for a target, or merely to decide whether a pair is kept. But the teachers of the own set have a width and steps of their own: hold *reinforced, own set* against *CLIP, twice the steps* in the table, too.
#
# ## Where a filter has little left
#
# A filter throws pictures away, a target keeps them. So let most captions be wrong. The teachers, the rates and the steps stay. *Reinforced* keeps the teachers' further captions, too, of all pictures; *filtered* never had any.

# %%
MOST = 0.8
lost, lost_which = wrong_captions(world, MOST, seed=1)
read = [F.normalize(towers.caption(lost), dim=1) for towers in family.right]
worse = TensorData(
    {
        **stored["right"].tensors,
        "caption": lost,
        "teacher_caption": torch.stack(read, 1),
    }
)
left, left_rows = filtered(worse, 1 - MOST)
HARD = {
    "filtered": (only(left, "caption"), plain),
    "reinforced": (worse, {}),
}
hard = pd.DataFrame(
    [
        {
            "method": row,
            "seed": seed,
            "R@1 (%)": 100
            * score(student(data, arguments, seed, chosen[row]), test),
        }
        for row, (data, arguments) in HARD.items()
        for seed in range(seeds)
    ]
)
table_over_seeds(
    hard,
    f"The same with {100 * MOST:.0f} % of the captions wrong. The filter keeps {len(left):,} pairs, of which {100 * (~lost_which[left_rows]).float().mean():.1f} % are right.",
    best={"R@1 (%)": "higher"},
    digits=1,
    budgets=budgets,
)


def hard_values(row):
    return hard[hard["method"] == row].sort_values("seed")["R@1 (%)"].tolist()


claim(
    "most-wrong-reinforced-filtered",
    hard_values("reinforced"),
    hard_values("filtered"),
    direction="higher",
    better=f"With {100 * MOST:.0f} % of the captions wrong, *reinforced* finds more than *filtered*: {{ours}} against {{theirs}}.",
    worse=f"With {100 * MOST:.0f} % of the captions wrong, *filtered* finds more than *reinforced*: {{theirs}} against {{ours}}.",
    undecided=f"With {100 * MOST:.0f} % of the captions wrong, *reinforced* ({{ours}}) and *filtered* ({{theirs}}) cannot be told apart.",
    unit="points",
)
claim(
    "filter-most-wrong",
    hard_values("filtered"),
    values("filtered"),
    direction="higher",
    better="The filter that keeps fewer pairs finds more than the one that keeps more: {ours} against {theirs}.",
    worse="With what is left here, *filtered* finds less than it did above: {ours} against {theirs}.",
    undecided="With what is left here, *filtered* finds as much as above, as far as can be told: {ours} against {theirs}.",
    unit="points",
)

# %% [markdown]
# ## What went wrong in practice
#
# - With a higher rate and half the batch, a plain student fell to chance in a trial and stayed there. In another trial, at a rate a little above those of the table, its starts lay far apart. A loss near $\log B$ after many steps means that nothing is told apart: lower the rate. So one seed is little to choose a rate by.
# - In a trial with three times the steps, a plain student on the captions as they came found *less* than before. Steps are few here, and equal but for the row with twice as many: look in the table at what they did. Before you give *CLIP* more of them, give it validation to stop by.
# - Further captions that are found by retrieval are never wrong in grammar. A captioner that writes can be wrong in other ways.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Targets of an ensemble (code)
# :label: mobile-clip-targets
#
# Write (2) for vectors a, b (B, K, D) that have length one, and a scale t. Return P and P'.
# ```

# %% tags=["stub:targets"]
from mmlab.exercises.mobile_clip import check_targets


def targets(a, b, t):
    return ...


check_targets(targets)

# %% [markdown]
# ```{solution-start} mobile-clip-targets
# :class: dropdown
# ```


# %% tags=["solution:targets"]
def targets(a, b, t):
    s = t * torch.einsum("ikd,jkd->kij", a, b)
    return s.softmax(2).mean(0), s.mT.softmax(2).mean(0)


check_targets(targets)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The sums of the turned-over matrix (compute)
# :label: mobile-clip-over
#
# A teacher gives two pictures and two captions the similarities $t\,a_i \cdot b_j$ = ((ln 3, 0), (ln 3, 0)): for both pictures it prefers the first caption. (a) How much of its row in P has the first picture on the first caption? (b) To what do the two rows of P turned over sum? (c) How much of its row in P' has the first caption on the first picture?
# ```

# %% tags=["stub:over"]
from mmlab.exercises.mobile_clip import check_over

there = ...
first_sum = ...
second_sum = ...
back = ...

check_over((there, first_sum, second_sum, back))

# %% [markdown]
# ```{solution-start} mobile-clip-over
# :class: dropdown
# ```

# %% tags=["solution:over"]
there = 3 / (3 + 1)
first_sum = 3 / 4 + 3 / 4
second_sum = 1 / 4 + 1 / 4
back = 3 / (3 + 3)

check_over((there, first_sum, second_sum, back))

# %% [markdown]
# The turned-over matrix gives the popular caption three times the weight of the other one in the loss. P' says what is true: neither picture is preferred for it.
#
# ```{solution-end}
# ```
#
# ```{exercise} The pull on a similarity (derive)
# :label: mobile-clip-pull
#
# Write the gradient of $\tfrac12[H(P, S) + H(P', S^\top)]$ with respect to $S$, for targets whose rows need *not* sum to one. What does a row of $P'$ with the sum 3 do?
# ```

# %% tags=["stub:pull"]
from mmlab.exercises.mobile_clip import check_pull


def pull(S, P, P_back):
    return ...


check_pull(pull)

# %% [markdown]
# ```{solution-start} mobile-clip-pull
# :class: dropdown
# ```
#
# Of one row, $-\sum_j T_j (S_j - \log\sum_k e^{S_k})$ has the derivative $-T_j + (\sum_k T_k) \operatorname{softmax}(S)_j$. A row with the sum 3 pulls as three rows do. The least loss of that row is at the normalised target, so its weight is wrong. In the trap above more can be wrong: a row of P turned over, once normalised, need not be that of P'. It is, for one teacher, if all pictures have the same sum of exponentials, as in the exercise before.


# %% tags=["solution:pull"]
def pull(S, P, P_back):
    there = P.sum(1, keepdim=True) * S.softmax(1) - P
    back = P_back.sum(1, keepdim=True) * S.T.softmax(1) - P_back
    return (there + back.T) / (2 * len(S))


check_pull(pull)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Before or after the softmax (think)
# :label: mobile-clip-mean
#
# One teacher is sure that caption 1 is right, the other that caption 2 is, each with 0.98, 0.01 and 0.01 over three captions. What do you get if you average their probabilities, and what if you average their logits first? Which target do you want, if one of the two teachers is wrong?
# ```
#
# ```{solution-start} mobile-clip-mean
# :class: dropdown
# ```

# %%
p = torch.tensor([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]])
after, before = p.mean(0), p.log().mean(0).softmax(0)
say(
    f"After the softmax: {after[0]:.3f}, {after[1]:.3f}, {after[2]:.3f}. Before it: {before[0]:.3f}, {before[1]:.3f}, {before[2]:.3f}."
)

# %% [markdown]
# Here both split nearly all the weight in two. Averaging logits is a product of experts: it gives more to a third caption that both find possible, and it would punish a caption that *one* of them excludes with certainty. Averaging probabilities keeps what either believes.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} With λ = 1 the pairs appear nowhere as such. How can the captions that came with the pictures still matter?
# They are the candidates: the batch asks which of *these* captions fits which picture. A wrong caption of one picture may be right for another one of the batch, and the teachers say so.
# ```
#
# ```{dropdown} Why are the teachers' vectors stored, and not their matrices P?
# P is about the batch, and batches are drawn anew. Vectors are about single items, and any batch's P follows from them by a product and a softmax for each teacher.
# ```
#
# ```{dropdown} A student of strong teachers beats CLIP trained on the same noisy set. What have you shown?
# That the teachers know something. Whether *this loss* is the way to use it takes a row that uses the same teachers in a simpler way, and a row whose teachers know nothing more.
# ```
#
# ## In five lines
#
# - Soft targets turn CLIP's loss into "say what the teachers say"; one-hot targets turn it back.
# - Average teachers after the softmax, and take a softmax for each direction.
# - Stored vectors cost the teachers' work once, and give the targets of any batch.
# - What the teachers were trained on is part of what a student gets: ask for teachers of the own set.
# - A filter by the same teachers is the rival to put beside; look again where it leaves few pairs.
#
# ## Limits, and what to read next
#
# - One world, one set of wrong captions of each share, two teachers of each kind; intervals are over starts of the students and their batches alone. Captions are wholly right or another picture's, which may suit a filter; captions that are vague or half right were not tried.
# - The paper stores several augmentations of each picture with its vectors, and trains for far longer; here there are none, and few steps. Where a row took the larger of the two rates, a still larger one was not tried. λ, t and the smoothing were not searched, and what the turned-over targets cost in R@1 was not measured.
# - The teachers' captions *alone*, under (1), are no row. So *reinforced* against *further captions* does not tell the vectors from having the wrong pairs no longer as targets, nor does the comparison with most captions wrong tell what the further captions bring.
# - The paper's captions are written by a captioner, its latencies are measured on a phone; neither is here.
#
# {cite:t}`vasu2024mobileclip` has the sets and the models, {cite:t}`gadre2023datacomp` what filters reach.

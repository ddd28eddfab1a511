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
# # Heartbeats and reports, and prompts that know more than a name: MERL
#
# **An ECG tower has learnt from reports, and no report ever says the name of a disease. How should one ask it for the disease?**
#
# MERL {cite}`liu2024merl` trains an ECG tower against the text of reports, and besides holds each record against itself under two dropouts. Afterwards classes are asked for by prompts. A bare name may say little to the text tower; so a language model proposes subtypes and signs of each class, a clinical
# knowledge base is asked which of these exist, and what is left becomes the prompt. The authors call this CKEPE, and report for all of it a mean zero-shot AUC of 75.2 % over six data sets, 3.2 points more than linear probes of self-supervised encoders with a tenth of the labels {cite}`liu2024merl`.
#
# The same reports and the same file of knowledge could be used in a much older way: look for the terms in the reports, and call what is found a label.
#
# **After this chapter you can**
#
# - write the contrast between records and reports and the one within records, and say what the second one does without dropout;
# - read, check and shuffle a knowledge file, and make prompts of it;
# - say what a bare name needs before it can be asked for;
# - put keywords as labels, and a line on a few true labels, beside a zero-shot classifier.
#
# You need InfoNCE, as in [MobileCLIP](mobile_clip.ipynb). Reading takes twenty minutes. All records here are drawn, and nothing in this chapter is a medical device.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4
steps: int | None = None  # of every training
items: int = 1600
test_items: int = 800

# %% tags=["hide-input"]
import tempfile
from math import erf, log, sqrt
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional as F

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.knowledge import (
    checked,
    prompts_of,
    read_knowledge,
    write_knowledge,
)
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.ecg_world import (
    FINDINGS,
    PROPOSED,
    SIGNS,
    WORDS,
    ecg_world,
    tokens_of,
    waves_of,
    words_of,
)
from mmlab.method import Method
from mmlab.methods.merl import LeadTower, Merl, contrast, thinned
from mmlab.viz import claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, lines, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 2000}[profile]

# %% [markdown]
# ## Findings, signs, reports
#
# In {py:func}`~mmlab.data.worlds.ecg_world.ecg_world` six *findings* come and go, and each brings *signs* into the waves of four leads. Two findings share a sign, the T wave that is turned over. A report mentions signs, each in one of three ways, and forgets some; it never says what they mean.

# %%
world = ecg_world(items)
train, validation, test = (
    world.draw(n, seed) for n, seed in ((items, 0), (300, 1), (test_items, 2))
)
pick = [
    int((train.findings[:, k] * (train.findings.sum(1) == 1)).argmax())
    for k in range(3)
]

# %% tags=["hide-input"]
# Code of the figure: three records
names = list(FINDINGS)
figure = Figure(figsize=(6.2, 3.6), layout="constrained")
for axes, row, k in zip(figure.subplots(3, 1), pick, range(3), strict=True):
    axes.plot(torch.arange(240) / 40, train.ecg[row, 1], lw=0.9)
    axes.set_title(f"{names[k]} / “{words_of(train.report[row])}”", fontsize=8)
    axes.set(yticks=[])
axes.set_xlabel("seconds")
show(
    figure,
    alt="Three drawn records, the second lead of each over six seconds. "
    + " ".join(
        f"{names[k].capitalize()}, with the report: {words_of(train.report[row])}."
        for k, row in enumerate(pick)
    ),
    caption="Finding, report, and one lead of three training records. One tower sees the leads and the other the report; the name before the stroke neither sees.",
)

# %% [markdown]
# How large each sign is, a record knows up to chance: the sizes are normal, with a mean that is shifted where the sign is there. Turn one sign from nothing to very large. Which of them could you tell from noise?

# %% tags=["hide-input"]
# Code of the widget: signs
SIZED = ("irregular", "flat p", "wide", "raised", "turned t", "tall", "rate")
SHOWN = ("irregular", "flat p", "raised", "turned t")
TURNED = [0.0, 2.0, 4.0]


def wave_with(sign, size):
    sizes = torch.zeros(1, len(SIZED))
    sizes[0, SIZED.index(sign)] = size
    return waves_of(sizes, torch.Generator().manual_seed(3))[0, 1]


def draw_sign(sign, size):
    figure = Figure(figsize=(6, 1.7), layout="constrained")
    axes = figure.subplots()
    axes.plot(torch.arange(240) / 40, wave_with(sign, 0.0), color="0.7", lw=0.9)
    axes.plot(torch.arange(240) / 40, wave_with(sign, size), lw=1.1)
    axes.set(yticks=[], xlabel="seconds", ylim=(-2, 5))
    return figure


def say_sign(sign, size):
    moved = (wave_with(sign, size) - wave_with(sign, 0.0)).square().mean().sqrt()
    return f"{sign} of size {size:g}: the wave of the second lead differs from the plain one by {moved:.2f} in root mean square."


frames(
    {"sign": list(SHOWN), "size": TURNED},
    draw=draw_sign,
    alt=say_sign,
    caption="A wave without noise, in colour, with one sign of the size chosen; in grey the same heart without it.",
    start={"sign": "irregular", "size": 2.0},
)

# %% [markdown]
# ## Two contrasts

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0, "leads"),
    "t": Box(0, 1.4, "report"),
    "f": Box(1, 0, "lead tower", "trained"),
    "g": Box(1, 1.4, "report\ntower", "trained"),
    "w": Box(2, -0.5, "two views\n(2)", "loss"),
    "l": Box(2, 0.8, "contrast\n(1)", "loss"),
}
arrows = [
    Arrow("x", "f"),
    Arrow("t", "g"),
    Arrow("f", "w", "z"),
    Arrow("f", "l", "u"),
    Arrow("g", "l", "v"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: leads go through the lead tower, whose features z make two views that are compared with each other, and a vector u; the report tower makes v, and u is compared with v.",
    caption="Blue is trained. The class names appear nowhere.",
)

# %% [markdown]
# Record $i$ has pooled features $z_i$ and from them a vector $u_i$, its report has $v_i$. With $s_{ij} = \cos(u_i, v_j) / \tau$ the contrast across the modalities is
#
# $$\ell(u, v) = -\frac{1}{B} \sum_i \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}} - \frac{1}{B} \sum_i \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}} , \tag{1}$$
#
# the *sum* of both directions, with a fixed τ; CLIP takes half of that, and learns τ. Within a record, two lines $W_1$, $W_2$ make two views, of which dropout $d$ takes some values away:
#
# $$\ell_w = \ell\big(d(W_1 z),\, d'(W_2 z)\big) . \tag{2}$$
#
# Together
#
# $$L = \ell(u, v) + \alpha\, \ell_w , \tag{3}$$
#
# with α = 1 in the paper. Class $k$ is asked for by a prompt with the vector $p_k$, and the score of a record is
#
# $$\cos(u, p_k) . \tag{4}$$
#
# Nothing in (4) needs a label. What $p_k$ is worth depends on what the words of the prompt have done in training.


# %%
def contrast_by_hand(u, v, tau):
    """Equation (1)."""
    s = F.normalize(u, dim=1) @ F.normalize(v, dim=1).T / tau
    place = torch.arange(len(u))
    return F.cross_entropy(s, place) + F.cross_entropy(s.T, place)


method, batch = Merl.demo()
z = method.tower(batch["ecg"])
u, v = method.line(z), method.reports(batch["report"])
rng = torch.Generator().manual_seed(0)
views = [thinned(view(z), method.dropout, rng) for view in method.views]  # d, d'
by_hand = contrast_by_hand(u, v, 0.07) + contrast_by_hand(*views, 0.07)
found = method.loss(batch, torch.Generator().manual_seed(0))["loss"]
assert torch.allclose(by_hand, found, atol=1e-4)
say(f"By hand and by the package (3) is {found.item():.4f} on the demo.")

# %% [markdown]
# ## A knowledge file
#
# The file is JSON, by class a list of terms. Here somebody with a good memory has proposed them; some occur in no report of this world, as a real language model invents terms. *Checked* are those that a source knows, which here is the list of terms that reports use.

# %%
path = Path(tempfile.mkdtemp()) / "proposed.json"
write_knowledge(path, PROPOSED)
proposed = read_knowledge(path)
assert proposed == PROPOSED
known = {term for terms in SIGNS.values() for term in terms}
knowledge = checked(proposed, known)
count = sum(map(len, proposed.values())), sum(map(len, knowledge.values()))
say(
    f"Of {count[0]} proposed terms {count[1]} are known. "
    + " ".join(
        f"*{kind}*: “{prompts_of(knowledge, kind)[0]}”."
        for kind in ("bare", "enriched", "label-free")
    )
)


def passed_on(by):
    """Every class gets the terms of another one."""
    return {
        name: knowledge[names[(k + by) % len(names)]]
        for k, name in enumerate(names)
    }


PROMPTS = {
    "enriched": [prompts_of(knowledge)],
    "terms alone": [prompts_of(knowledge, "label-free")],
    "bare names": [prompts_of(knowledge, "bare")],
    "unchecked": [prompts_of(proposed)],
    "terms of others": [prompts_of(passed_on(by)) for by in range(1, len(names))],
}

# %% [markdown]
# ## Rivals
#
# | row | what it is |
# | --- | --- |
# | enriched | (3) with α = 1, then (4) with name and checked terms |
# | terms alone, bare names, unchecked | the same towers, other prompts |
# | terms of others | the same, each class with its own name and the terms of another; mean over all five ways to pass them on |
# | enriched, α = 0 | as the first row, trained by (1) alone |
# | keywords | a report that has a checked term of a class counts as labelled with it; the same lead tower and a line learn these labels |
# | line, 60 labels | least squares with a penalty, on $z$ of the first row's tower, from 60 records with true labels |
# | line, 60 labels, no training | the same, on a tower as it starts |
# | tower, 60 labels | the same tower and line as for *keywords*, trained on 60 records with true labels |
# | all labels | the same, trained on the true labels of all training records |
#
# *Keywords* has what the first row has: reports, file, no label. One thing it must know earlier: which classes will be asked for. A zero-shot classifier is told after its training, and can be asked for a seventh class without another one; that is not scored here.
#
# **Budgets.** All trainings have the same steps, batch size (that of 60 records is 60) and search of the learning rate, by AUC on validation records with the first seed; the lines choose their penalty likewise. The rate of the towers that five rows of prompts share was chosen for the first of these, *enriched*. The validation records have labels; a zero-shot classifier that chooses its rate by them is not free of labels either.
#
# The score is the AUC of each finding, in the mean over the six. Who knew all sizes exactly would have the score of the *law*, which follows from the world in closed form.


# %%
def auc(scores, findings):
    """Area under the ROC curve of each finding, in percent."""
    ranks = torch.from_numpy(rankdata(scores.numpy(), axis=0))
    count = findings.sum(0)
    below = (ranks * findings).sum(0) - count * (count + 1) / 2
    return 100 * below / (count * (len(scores) - count))


class Labelled(Method):
    """A lead tower and a line, trained on labels, true ones or others."""

    def __init__(self):
        super().__init__()
        self.tower = LeadTower(4)
        self.line = nn.Linear(self.tower.width, len(FINDINGS))

    def loss(self, batch, rng):
        logits = self.line(self.tower(batch["ecg"]))
        return {
            "loss": F.binary_cross_entropy_with_logits(logits, batch["findings"])
        }

    def scores(self, ecg):
        with self.evaluating():
            return self.line(self.tower(ecg))


def asked(method, prompts, part):
    """AUC of each finding, mean over the prompt sets given."""
    each = [
        auc(method.scores(part.ecg, tokens_of(p)), part.findings) for p in prompts
    ]
    return torch.stack(each).mean(0)


def trained(method, data, seed, rate):
    fit(
        method, data, steps=steps, batch_size=min(64, len(data)), lr=rate,
        warmup=10, schedule="cosine", seed=seed, log_every=1000, progress=False,
    )  # fmt: skip
    return method


RATES = (6e-3, 1.5e-2)


def searched(make, data_of, score):
    """The rate that validation chooses with the first seed, and a trained method for each seed."""
    tries = {rate: trained(make(0), data_of(0), 0, rate) for rate in RATES}
    rate = max(RATES, key=lambda r: float(score(tries[r], validation).mean()))
    rest = [trained(make(s), data_of(s), s, rate) for s in range(1, seeds)]
    return rate, [tries[rate], *rest]


texts = [words_of(report) for report in train.report]
spotted = torch.tensor(
    [
        [float(any(t in text for t in terms)) for terms in knowledge.values()]
        for text in texts
    ]
)


def some(seed, count=60):
    """Rows of the records whose labels are known."""
    order = torch.randperm(items, generator=torch.Generator().manual_seed(seed))
    return order[:count]


def by_prompts(method, part):
    return asked(method, PROMPTS["enriched"], part)


def by_line(method, part):
    return auc(method.scores(part.ecg), part.findings)


def labelled(rows, labels=train.findings):
    return TensorData({"ecg": train.ecg[rows], "findings": labels[rows]})


def merl(alignment):
    return lambda seed: Merl.seeded(seed, 4, len(WORDS), alignment=alignment)


def tower(seed):
    return Labelled.seeded(seed)


whole = slice(None)
rates, methods = {}, {}
for row, make, data_of, score in (
    ("enriched", merl(1.0), lambda s: train.pairs, by_prompts),
    ("enriched, α = 0", merl(0.0), lambda s: train.pairs, by_prompts),
    ("keywords", tower, lambda s: labelled(whole, spotted), by_line),
    ("tower, 60 labels", tower, lambda s: labelled(some(s)), by_line),
    ("all labels", tower, lambda s: labelled(whole), by_line),
):
    rates[row], methods[row] = searched(make, data_of, score)

# %%
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def line_on(method, rows):
    """AUC of least squares on z, with the penalty that validation chooses."""
    with torch.no_grad():
        z = {
            part: method.tower(records.ecg)
            for part, records in (("v", validation), ("t", test))
        }
        x, y = method.tower(train.ecg[rows]), train.findings[rows]
    at_x, at_y = x.mean(0), y.mean(0)
    best = (-1.0, None)
    for penalty in PENALTIES:
        gram = (x - at_x).T @ (x - at_x) + penalty * torch.eye(x.shape[1])
        W = torch.linalg.solve(gram, (x - at_x).T @ (y - at_y))
        tried = float(auc((z["v"] - at_x) @ W, validation.findings).mean())
        best = max(best, (tried, auc((z["t"] - at_x) @ W, test.findings)), key=lambda b: b[0])  # fmt: skip
    return best[1]


found = {
    row: [asked(m, prompts, test) for m in methods["enriched"]]
    for row, prompts in PROMPTS.items()
}
found["enriched, α = 0"] = [by_prompts(m, test) for m in methods["enriched, α = 0"]]
for row in ("keywords", "tower, 60 labels", "all labels"):
    found[row] = [by_line(m, test) for m in methods[row]]
found["line, 60 labels"] = [
    line_on(m, some(s)) for s, m in enumerate(methods["enriched"])
]
found["line, 60 labels, no training"] = [
    line_on(merl(1.0)(s), some(s)) for s in range(seeds)
]
ORDER = [
    *PROMPTS, "enriched, α = 0", "keywords", "line, 60 labels",
    "line, 60 labels, no training", "tower, 60 labels", "all labels",
]  # fmt: skip
law = auc(world.posterior(test.sizes), test.findings)
scores = pd.DataFrame(
    [
        {"method": row, "seed": seed, "AUC (%)": float(each.mean())}
        for row in ORDER
        for seed, each in enumerate(found[row])
    ]
)

# %% tags=["hide-input"]
# Code of the table
size = {row: sum(p.numel() for p in made[0].parameters()) for row, made in methods.items()}  # fmt: skip
spent = {
    row: Spent(steps, size["enriched"], ("rate",), len(RATES)) for row in PROMPTS
}
for row in methods:
    spent[row] = Spent(steps, size[row], ("rate",), len(RATES))
spent["line, 60 labels"] = Spent(steps, size["enriched"], ("rate", "penalty"), len(RATES) + len(PENALTIES))  # fmt: skip
spent["line, 60 labels, no training"] = Spent(
    None, None, ("penalty",), len(PENALTIES)
)
budgets = Budgets("enriched", {row: spent[row] for row in ORDER})
table_over_seeds(
    scores,
    f"Mean AUC of six findings on {test_items} test records; at random 50. The law has {float(law.mean()):.1f}.",
    best={"AUC (%)": "higher"},
    reference=["all labels"],
    digits=1,
    order=ORDER,
    budgets=budgets,
)
say(
    "Learning rates chosen: "
    + ", ".join(f"*{row}* {rate:g}" for row, rate in rates.items())
    + "."
)
mean = scores.groupby("method")["AUC (%)"].mean()
record(
    auc={row: round(float(mean[row]), 2) for row in ORDER}, budget=budgets.plain()
)


# %%
def values(row):
    return scores[scores["method"] == row].sort_values("seed")["AUC (%)"].tolist()


def against(slug, ours, theirs):
    return claimed(
        f"merl-{slug}",
        values(ours),
        values(theirs),
        direction="higher",
        better=f"*{ours}* is ahead of *{theirs}*: {{ours}} against {{theirs}}.",
        worse=f"*{theirs}* is ahead of *{ours}*: {{theirs}} against {{ours}}.",
        undecided=f"*{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        unit="points",
    )


COMPARED = [
    ("bare", "enriched", "bare names"),
    ("terms", "enriched", "terms alone"),
    ("unchecked", "enriched", "unchecked"),
    ("shuffled", "enriched", "terms of others"),
    ("alignment", "enriched", "enriched, α = 0"),
    ("keywords", "enriched", "keywords"),
    ("keywords-alone", "enriched, α = 0", "keywords"),
    ("probe", "enriched", "line, 60 labels"),
    ("scratch", "enriched", "tower, 60 labels"),
    ("untrained", "line, 60 labels", "line, 60 labels, no training"),
]
say("AUC, in points.\n\n" + "\n".join(f"- {against(*three)}" for three in COMPARED))

# %% tags=["hide-input"]
# Code of the figure: all rows
by_mean = sorted(ORDER, key=lambda row: -mean[row])
show(
    bars(scores, "AUC (%)", order=by_mean),
    alt="Mean AUC in percent: "
    + ", ".join(f"{row} {mean[row]:.1f}" for row in by_mean)
    + ".",
    caption="All rows by their mean. A point is a start; the rows of prompts share their towers.",
)

# %% [markdown]
# Read the second and third line of the list before you praise the file: they ask whether the name, and the check, do anything beside the terms. The fifth asks what (2) brings. With one line for both views and without dropout it drives all records apart, as the third exercise shows, those with the same findings too; is something of that left here, with two lines and dropout? Or is it the number of steps? No row of this chapter separates these. And *keywords* needs a file, reports and a search in them, and no report tower at all.
#
# Which findings are hard? The law knows the sizes exactly, so it bounds what can be known of each. A tower has the waves, whose noise hides a part of the sizes. How much of the distance to the law is due to that, and how much to tower, training or prompt, no row says; *all labels* comes nearest to an answer.

# %% tags=["hide-input"]
# Code of the table: findings
each = {row: torch.stack(found[row]).mean(0) for row in ("enriched", "keywords", "all labels")}  # fmt: skip
each["law"] = law
lines_ = ["| row | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
lines_ += [
    f"| {row} | " + " | ".join(f"{float(x):.1f}" for x in aucs) + " |"
    for row, aucs in each.items()
]
say("AUC in percent, mean over seeds.\n\n" + "\n".join(lines_))

# %% [markdown]
# ## What if reports say a name now and then?
#
# Here a name has a vector as random as on the first day, since no report had it. A real text encoder has read names elsewhere. So let reports *say* the name of a finding that is there, rarely, and train anew on the same records. The settings are those chosen above. One probability is tried: this asks whether a few names change anything, and not how many would be enough.

# %%
SAID = 0.05
told = ecg_world(items, named=SAID).draw(items, 0).pairs
spoken = [
    trained(merl(1.0)(seed), told, seed, rates["enriched"]) for seed in range(seeds)
]
now = {
    row: [float(asked(m, PROMPTS[row], test).mean()) for m in spoken]
    for row in ("enriched", "bare names")
}
before = claimed(
    "merl-named-before",
    now["bare names"],
    values("bare names"),
    direction="higher",
    better=f"Where reports name a finding with the probability {SAID:g}, *bare names* are ahead of what they were: {{ours}} against {{theirs}}.",
    worse=f"Where reports name a finding with the probability {SAID:g}, *bare names* fall behind what they were: {{ours}} against {{theirs}}.",
    undecided=f"Where reports name a finding with the probability {SAID:g}, *bare names* ({{ours}}) cannot be told from before ({{theirs}}).",
    unit="points",
)
still = claimed(
    "merl-named",
    now["enriched"],
    now["bare names"],
    direction="higher",
    better="*Enriched* prompts are still ahead of *bare names* there, {ours} against {theirs}.",
    worse="*Bare names* are ahead of *enriched* prompts there, {theirs} against {ours}.",
    undecided="*Enriched* ({ours}) and *bare names* ({theirs}) cannot be told apart there.",
    unit="points",
)
say(f"- {before}\n- {still}")

# %% [markdown]
# ## How many labels is it worth?
#
# The line on $z$ is solved at once, so more labels cost no training here. It reads the tower of *enriched*, with α = 1, and says what a score by that tower's prompts is worth in labels for *that tower's* line. What labels are worth to a tower that learns from them is the row *tower, 60 labels*.

# %%
COUNTS = (20, 60, 200, items)
worth = pd.DataFrame(
    [
        {"labels": n, "row": "line", "seed": s, "AUC (%)": float(line_on(m, some(s, n)).mean())}
        for n in COUNTS
        for s, m in enumerate(methods["enriched"])
    ]
)  # fmt: skip
at = worth.groupby("labels")["AUC (%)"].mean()
show(
    lines(worth, x="labels", y="AUC (%)", by="row", log_x=True),
    alt="Mean AUC of the line over the number of labelled records: "
    + ", ".join(f"{at[n]:.1f} at {n}" for n in COUNTS)
    + f". Enriched prompts, which use none in training, have {mean['enriched']:.1f}, and keywords {mean['keywords']:.1f}.",
    caption=f"A line on the trained tower's features over the number of records with labels. Enriched prompts have {mean['enriched']:.1f} and keywords {mean['keywords']:.1f}.",
)

# %% [markdown]
# ## What went wrong in practice
#
# - The released code calls its language model where no gradients are kept, so that its words never learn, whatever is set; `frozen=True` does that here.
# - In a trial, the AUC of bare names lay below chance with one start and above it with the next: a name that was never read points anywhere.
# - *Terms of others* can score below 50 without a fault. Nobody is slow and fast at once, so the terms of tachycardia rank bradycardia upside down; a vector of length one that turns to one finding turns away from others; and the contrast pushes a record away from reports that are not its own. Which of these does how much was not run. So the distance from this control is no measure of the gain; 50 is the other mark to look at.
# - The mean over the five ways to pass the terms on hides one that may do little: two findings share a sign, and each may find records of the other by it.
# - In a trial with a lower rate in the search, validation chose it for the first row, which then ended some points lower. The rates are chosen with one start, and the table inherits its luck.
# - In a trial with 400 steps and two starts, *enriched* rose by several points with either α and stood above *tower, 60 labels*; which α was higher differed from start to start; *keywords* rose as well, and stood above both. So the order of some rows belongs to the number of steps.
#
# ## Real records
#
# Fifty real twelve-lead records, with diagnosis codes and without reports, are read by {py:func}`~mmlab.data.sets.ecg12_cinc2021.ecg12_cinc2021`, and the challenge's own files by {py:func}`~mmlab.data.sets.ecg12_cinc2021.read_challenge`. They are enough to try a tower's shapes:
#
# ```python
# from mmlab.data.sets.ecg12_cinc2021 import CODES, read_challenge
#
# records = read_challenge("sample-data/cinc2021")  # of github.com/DeepPSP/torch_ecg
# waves, labels = records.at_rate(50), records.labels()  # (50, 12, 500), (50, 5)
# u = Merl(leads=12).tower(waves)
# ```
#
# Nothing about medicine can be learnt from fifty records, and no number of this chapter comes from them.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Both directions (code)
# :label: merl-both-ways
#
# Write (1) for u, v (B, D) and τ.
# ```

# %% tags=["stub:both_ways"]
from mmlab.exercises.merl import check_both_ways


def both_ways(u, v, tau):
    return ...


check_both_ways(both_ways)

# %% [markdown]
# ```{solution-start} merl-both-ways
# :class: dropdown
# ```


# %% tags=["solution:both_ways"]
def both_ways(u, v, tau):
    s = F.normalize(u, dim=1) @ F.normalize(v, dim=1).T / tau
    place = torch.arange(len(u))
    return F.cross_entropy(s, place) + F.cross_entropy(s.T, place)


check_both_ways(both_ways)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The area of a sign (compute)
# :label: merl-area
#
# A finding brings one sign. Its size is normal with deviation 1, and the mean is δ with the finding and 0 without it. Which AUC has the size itself (a) with δ = 3, (b) with δ = 1? (c) Which one has a score that is the same for all records? Answer with shares, not per cent.
# ```

# %% tags=["stub:area"]
from mmlab.exercises.merl import check_area

far = ...
near = ...
constant = ...

check_area((far, near, constant))

# %% [markdown]
# ```{solution-start} merl-area
# :class: dropdown
# ```

# %% tags=["solution:area"]
far = (1 + erf(3 / sqrt(2) / sqrt(2))) / 2
near = (1 + erf(1 / sqrt(2) / sqrt(2))) / 2
constant = 0.5

check_area((far, near, constant))

# %% [markdown]
# The AUC is the probability that a record with the finding has the larger size. Their difference has the mean δ and the deviation $\sqrt 2$.
#
# ```{solution-end}
# ```
#
# ```{exercise} Views without dropout (think)
# :label: merl-views
#
# Let $W_1 = W_2$ and let dropout take nothing away, so that both views of (2) are the same unit vectors $w_1, \dots, w_B$ in $D$ dimensions. Show that
#
# $$\ell_w \ge 2 \log\!\Big(1 + (B - 1)\, e^{-B / ((B - 1) \tau)}\Big) ,$$
#
# and say when that is reached. What does (2) do then to two records with the same findings?
# ```
#
# ```{solution-start} merl-views
# :class: dropdown
# ```
#
# The diagonal is $1/\tau$, so $\ell_w = \frac{2}{B} \sum_i \log\big(1 + \sum_{j \ne i} e^{(c_{ij} - 1)/\tau}\big)$ with the cosines $c_{ij}$. The exponential is convex: the inner sum is at least $(B - 1) e^{(m_i - 1)/\tau}$, where $m_i$ is the mean of the $c_{ij}$ over $j \ne i$. And $m \mapsto \log(1 + (B - 1) e^{(m - 1)/\tau})$ is convex and grows, so the mean over $i$ is at least its value at $\bar m = \frac1B \sum_i m_i$. Finally $0 \le \lVert \sum_i w_i \rVert^2 = B + B(B - 1) \bar m$ gives $\bar m \ge -1/(B - 1)$. All three are equalities if all cosines are $-1/(B - 1)$: a simplex, for which $D \ge B - 1$ is needed. So with one line and without dropout (2) only drives *all* records apart, those with the same findings as well. With two lines, or with dropout, the views of a record differ and must also find each other; the push against other records stays.

# %%
B, D, tau = 6, 8, 0.5
w = nn.Parameter(torch.randn(B, D, generator=torch.Generator().manual_seed(0)))
push = torch.optim.Adam([w], 0.05)
for _ in range(300):
    push.zero_grad()
    loss = contrast(w, w, tau)
    loss.backward()
    push.step()
bound = 2 * log(1 + (B - 1) * 2.718281828 ** (-B / ((B - 1) * tau)))
say(
    f"Six vectors in eight dimensions, pushed by (2) alone: {loss.item():.4f}. The bound: {bound:.4f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is *terms alone* a control that CKEPE needs?
# It has no label at all. If it finds as much as the enriched prompt, the name adds nothing, and what classifies is a description.
# ```
#
# ```{dropdown} The keywords use no true label. Why are they not perfect in their own training?
# Reports forget signs, and use words that the file lacks: so labels are absent where a finding is there. The other error needs a term that two findings can bring: the turned T wave of one is found as a term of the other. A finding that shares no sign is never labelled where it is absent.
# ```
#
# ## In five lines
#
# - Records and reports are held against each other; a second contrast holds a record against itself.
# - A class is asked for by a prompt, and a prompt is worth what its words did in training.
# - A knowledge file turns names into signs; shuffle it, and leave the name away, to see which part works.
# - The same file makes labels of reports by search: put a tower on such labels beside every zero-shot score.
# - A line on a few true labels says how much a zero-shot score is worth.
#
# ## Limits, and what to read next
#
# - The released tower pools by attention for $u$ and by a mean for $z$; here both come from one $z$.
# - Drawn waves of four leads and six seconds, six findings, a vocabulary of few words in no order. The law is simple and the signs independent, which real ones are not.
# - One training set; intervals are over starts, orders and the choice of labelled records. Two learning rates were tried, with the first seed, so any rate that was chosen lies at an end of the search. τ, the dropout and α were not searched, and all rows have one number of steps.
# - The check asks a list that was made with the world, of terms that reports use. A knowledge base of medicine also knows terms that no report uses, and would let them pass: *unchecked* has four such terms, all of words that no report has. Words that reports use, put together into a wrong term, were not tried.
# - A text encoder that has read about medicine knows names. Here words begin at random, so *bare names* are asked for with words that mean nothing.
#
# {cite:t}`liu2024merl` has the towers, the six data sets and the file.

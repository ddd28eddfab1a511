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
# # When a modality is missing
#
# **What should stand in its place?**
#
# A patient without a scan, a clip without sound, a post without a picture. In most data sets all modalities are there; in use they are not.
# One can put zeros into the gap, or an average, or a guess made from what is there. One can tell the network that something is
# missing, hide modalities in training so that it gets used to it {cite}`neverova2016moddrop`, or multiply the opinions of those
# that are there {cite}`hinton2002experts`. One of these beside zeros tells little. Here they meet, with the same gaps, the
# same steps and the same search for their settings, beside the optimal answer.
#
# **After this chapter you can**
#
# - write six ways to live with a gap as equations, and say which of them are told that there is one;
# - derive when a guess in place of a missing modality costs nothing, and when it gives nothing;
# - tell gaps at random from gaps that are evidence, and compute what the latter are worth;
# - set up the contest for your own method in one call.
#
# You need the chapter [on late fusion](late_fusion.ipynb), whose heads are used here. Reading takes about half an hour.

# %% tags=["parameters"]
seeds: int = 3
steps: int = 60  # of every network
people: int = 600  # to train on
tested: int = 2000

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch

from mmlab.compare.budget import Budgets
from mmlab.compare.missing import CEILING, WAYS, missing_modalities
from mmlab.data.gaps import Gaps
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.data.worlds.omics_world import VIEWS, omics_world
from mmlab.methods.i2m2 import I2M2
from mmlab.methods.iemf import IEMF
from mmlab.methods.late_fusion import LateFusion
from mmlab.methods.m3col import M3CoL
from mmlab.methods.ogm_ge import OGMGE
from mmlab.viz import claim, claimed, frames, record, say, show, table
from mmlab.viz.theme import lines

# %%
training = {"steps": steps, "batch_size": 128, "schedule": "cosine", "weight_decay": 1e-2}  # fmt: skip
search = {"lr": (3e-3, 1e-2, 3e-2)}  # tried by every way, on validation items


def networks(world, modalities):
    """Late fusion for a world, and each fusion method of this part, left to its own way with gaps."""
    shapes = {m: tuple(world.pairs.tensors[m].shape[1:]) for m in modalities}

    def build(seed, **arguments):
        return LateFusion(shapes, 2, width=32, **arguments)

    own = {
        "gated unit": lambda seed: build(seed, fusion="gated"),
        "I2M2": lambda seed: I2M2(shapes, 2, width=32),
        "M3CoL": lambda seed: M3CoL(shapes, 2, width=32),
        "IEMF": lambda seed: IEMF(shapes, 2, width=32),
        "OGM-GE": lambda seed: OGMGE(shapes, 2, width=32),
    }
    return build, own


# %% [markdown]
# ## The idea in one picture
#
# A world of three views of the same people, {py:func}`~mmlab.data.worlds.omics_world.omics_world`: some factors are seen by all
# three, others by one alone, and both tell of the class. The optimal answer is known for any set of views. Networks are trained on
# people who have all three, and then meet people who have not. The horizontal axis is the share of views that are hidden; at its
# right end everybody has a single one left.

# %%
clinic = omics_world(people, features=20, shared=4, private=4, shared_strength=1.2, private_strengths=(0.5, 0.5, 0.8), noise=1.0)  # fmt: skip
fresh, spare = clinic.draw(tested, 901), clinic.draw(300, 902)
build, own = networks(clinic, VIEWS)
common = {"modalities": VIEWS, "validation": spare, "settings": search, "training": training, "seeds": range(seeds), "posterior": clinic.posterior}  # fmt: skip
complete = missing_modalities(
    build,
    clinic.pairs,
    fresh,
    rates=(0, 1 / 6, 1 / 3, 1 / 2, 2 / 3),
    own=own,
    **common,
)

# %% tags=["hide-input"]
# Code of Figure 1
drawn = ["zero", "imputation", "modality dropout", CEILING]
figure = lines(
    complete.scores[complete.scores["way"].isin(drawn)],
    "rate",
    "accuracy",
    by="way",
)
figure.axes[0].set(xlabel="share of views hidden", ylabel="accuracy")
ends = complete.at(2 / 3).mean["accuracy"]
show(
    figure,
    alt=(
        "Accuracy falls as more views are hidden. With a single view left, "
        + ", ".join(f"{way} has {ends[way]:.3f}" for way in drawn)
        + "."
    ),
    caption="Trained on complete people, tested with gaps; mean of the seeds with its 95 % interval. "
    + claimed(
        "imputation-vs-zero-one-view-left",
        complete.at(2 / 3).of("imputation", "accuracy"),
        complete.at(2 / 3).of("zero", "accuracy"),
        direction="higher",
        unit="%",
        better="At the right end a guess from what is there wins against zeros by {gap}.",
        worse="At the right end zeros win against a guess from what is there by {gap}.",
        undecided="At the right end a guess from what is there and zeros cannot be told apart.",
    ),
)

# %% [markdown]
# ## Six ways
#
# Write $b_m$ for the bit that says whether modality $m$ is there, and $S$ for the set of those that are. Three ways put something
# into the gap, and tell the network nothing:
#
# $$\tilde x_m = b_m x_m + (1 - b_m)\, a_m, \qquad a_m = 0, \quad \bar x_m, \quad \text{or} \quad W_S\, x_S + c_S . \tag{1}$$
#
# Zero, the mean of the training people, or what a ridge regression on the others expects, which is called *imputation*. Means and
# regressions are fitted on training people alone; a regression that had seen the test people would know more than the network may.
# Three ways say what is there:
#
# $$\ell = h\big([b_1 f_1(x_1), b_1, \dots, b_M f_M(x_M), b_M]\big) . \tag{2}$$
#
# is the *indicator*: no feature, but a bit, as in late fusion. *Modality dropout* is (2), trained with bits that are set to zero at
# random although the view is there:
#
# $$L = -\,\mathbb E_{r}\, \log p(y \mid r_1 b_1, \dots, r_M b_M), \qquad r_m \in \{0, 1\} . \tag{3}$$
#
# And in a *product of experts* whoever is absent has no vote:
#
# $$\log p = \mathrm{logsoftmax} \sum_{m \in S} \log p_m . \tag{4}$$
#
# Each fusion method of this part also has its own way, taken as it is: the gated unit renormalises its weights over what is there,
# [I2M2](i2m2.ipynb) leaves out the experts that lack something, [M3CoL](m3col.ipynb) and [IEMF](iemf.ipynb) leave the loss of
# a missing modality out, and [OGM-GE](ogm_ge.ipynb) counts it out of the race.
#
# ## When a guess costs nothing
#
# Let the optimal linear score of all modalities be $s = w^\top x$ (with a 1 among the $x$), that is, $y - s$ is uncorrelated with every $x$.
# One modality is missing. Put in its optimal linear guess $\hat x_m = W_S x_S$, for which $x_m - \hat x_m$ is uncorrelated with $x_S$:
#
# $$\hat s = w_S^\top x_S + w_m^\top \hat x_m, \qquad
#   y - \hat s = (y - s) + w_m^\top (x_m - \hat x_m) . \tag{5}$$
#
# Both terms are uncorrelated with $x_S$. So $\hat s$ is the optimal linear score of $x_S$ alone: the guess costs nothing, and one network
# does for every pattern of gaps. Two things were used. The score was *linear*; and the guess was the *optimal linear* one, which neither
# zero nor the mean is, unless the modalities are uncorrelated. On a sample, with least squares for both, it is an identity:

# %%
view = {m: clinic.pairs.tensors[m].double().numpy() for m in VIEWS}
y = 2.0 * clinic.pairs.tensors["label"].numpy() - 1
there = np.c_[view["mirna"], view["mrna"], np.ones(people)]
everything = np.c_[there, view["methylation"]]


def fitted(inputs, target):
    """Least squares: the weights."""
    return np.linalg.lstsq(inputs, target, rcond=None)[0]


guess = there @ fitted(there, view["methylation"])
with_guess = np.c_[there, guess] @ fitted(everything, y)
trained_without = there @ fitted(there, y)
np.testing.assert_allclose(with_guess, trained_without, atol=1e-6)

# %% [markdown]
# In this world the optimal classifier is linear, so (5) is about it. (The world with two moving parts, further down, is not like that.)
# Calibration is another matter: $\hat s$ is a smaller score, and a network that was never shown gaps does not know how much surer it
# may be with three views than with one. The log loss below says whether that matters here.
#
# ## Trained on complete people
#
# All rows of the table had the same steps, and chose their learning rate from the same three on the same validation people. The last
# row is the optimal answer to these very gaps. One comparison after the table is made again with more steps, there at the middle rate for both.


# %%
def by_rate(contest, measure="accuracy"):
    """One row for each way, one column for each rate: means and spreads over seeds."""
    groups = contest.scores.groupby(["way", "rate"], sort=False)[measure]
    mean, spread = groups.mean().unstack(), groups.std().unstack()
    names = [f"{rate:.2f} hidden" for rate in mean.columns]
    return mean.set_axis(names, axis=1), spread.set_axis(names, axis=1)


def rates_of(contest):
    """Which learning rate was chosen by whom, in words."""
    groups = {}
    for way, chosen in contest.chosen.items():
        groups.setdefault(chosen["lr"], []).append(way)
    return "; ".join(f"{lr:g} by {', '.join(groups[lr])}" for lr in sorted(groups))


def show_contest(contest, caption, measure="accuracy"):
    """The table of a contest: every row was allowed the same steps and tries."""
    mean, spread = by_rate(contest, measure)
    paired = contest.scores.pivot(index=["way", "seed"], columns="rate", values=measure)  # fmt: skip
    paired.columns = mean.columns
    drawn = contest.scores["seed"].nunique()
    table(
        mean,
        f"{caption} {measure.capitalize()}, mean ± deviation of {drawn} seeds. Rates chosen: {rates_of(contest)}.",
        spread=spread if seeds > 1 else None,
        best=dict.fromkeys(
            mean.columns, "higher" if measure == "accuracy" else "lower"
        ),
        reference=[CEILING],
        paired=paired if seeds > 1 else None,
        budgets=Budgets("imputation", steps_and_tries(contest)),
        ceiling=CEILING if seeds > 1 else None,
    )


def steps_and_tries(contest):
    """The budgets, less the parameters, which differ with the head."""
    from dataclasses import replace

    return {
        way: replace(spent, parameters=None) for way, spent in contest.spent.items()
    }


show_contest(complete, "Trained on complete people.")

# %% tags=["hide-input"]
# Code of the sentences
average = complete.over_rates()


def pair(contest, row, rival, measure="accuracy"):
    """Values of two ways, by seed: the mean over all rates that hide something."""
    runs = contest.over_rates()
    return runs.of(row, measure), runs.of(rival, measure)


off_centre = max(float(clinic.pairs.tensors[m].mean(0).abs().max()) for m in VIEWS)
say("Over all rates that hide something:")
claim(
    "complete-imputation-vs-zero",
    *pair(complete, "imputation", "zero"),
    direction="higher",
    unit="%",
    better="Imputation beats zeros, {ours} against {theirs}.",
    worse="Zeros beat imputation, {theirs} against {ours}.",
    undecided="Imputation ({ours}) and zeros ({theirs}) cannot be told apart.",
)
claim(
    "complete-mean-vs-zero",
    *pair(complete, "mean", "zero"),
    direction="higher",
    unit="%",
    better="The mean beats zeros, {ours} against {theirs}.",
    worse="Zeros beat the mean, {theirs} against {ours}.",
    undecided=f"The mean ({{ours}}) and zeros ({{theirs}}) cannot be told apart; no feature of the training people has a mean further than {off_centre:.2f} from zero.",
)
claim(
    "complete-indicator-vs-zero",
    *pair(complete, "indicator", "zero"),
    direction="higher",
    unit="%",
    better="The indicator beats zeros, {ours} against {theirs}, though its bits never changed in training.",
    worse="Zeros beat the indicator, {theirs} against {ours}; its bits never changed in training.",
    undecided="The indicator ({ours}) and zeros ({theirs}) cannot be told apart. Its bits never changed in training, so nothing was learnt about a gap.",
)
claim(
    "complete-imputation-vs-dropout",
    *pair(complete, "imputation", "modality dropout"),
    direction="higher",
    unit="%",
    better="Imputation beats modality dropout in accuracy, {ours} against {theirs}.",
    worse="Modality dropout beats imputation in accuracy, {theirs} against {ours}.",
    undecided="In accuracy imputation ({ours}) and modality dropout ({theirs}) cannot be told apart.",
)
claim(
    "complete-imputation-vs-dropout-log-loss",
    *pair(complete, "imputation", "modality dropout", "log loss"),
    direction="lower",
    better="In log loss imputation does better, {ours} against {theirs}.",
    worse="In log loss modality dropout does better, {theirs} against {ours}.",
    undecided="In log loss the two cannot be told apart, {ours} and {theirs}.",
)
longer = 4
patient = missing_modalities(
    build,
    clinic.pairs,
    fresh,
    rates=(1 / 3, 2 / 3),
    ways={way: WAYS[way] for way in ("imputation", "modality dropout")},
    **common
    | {
        "settings": None,
        "training": training | {"steps": longer * steps, "lr": 1e-2},
    },
)
claim(
    "longer-imputation-vs-dropout",
    *pair(patient, "imputation", "modality dropout"),
    direction="higher",
    unit="%",
    better=f"Modality dropout has more patterns to learn. With {longer} times the steps imputation beats it, too, {{ours}} against {{theirs}}.",
    worse=f"Modality dropout has more patterns to learn. With {longer} times the steps it beats imputation, {{theirs}} against {{ours}}.",
    undecided=f"Modality dropout has more patterns to learn. With {longer} times the steps imputation ({{ours}}) and it ({{theirs}}) cannot be told apart.",
)
best_own = average.best_of("accuracy", "higher", own)
claim(
    "complete-best-own-vs-imputation",
    *pair(complete, best_own, "imputation"),
    direction="higher",
    unit="%",
    better=f"Of the methods with a way of their own {best_own} has the most on these test people; it beats imputation, {{ours}} against {{theirs}}.",
    worse=f"Of the methods with a way of their own {best_own} has the most on these test people; imputation beats it, {{theirs}} against {{ours}}.",
    undecided=f"Of the methods with a way of their own {best_own} has the most on these test people ({{ours}}); imputation ({{theirs}}) cannot be told from it.",
)

# %% [markdown]
# ## Trained with gaps
#
# The training people have gaps now, too: a third of their views is hidden, completely at random. The networks that are told what is
# there can learn what it means.

# %%
third = Gaps(1 / 3)
practised = missing_modalities(
    build,
    clinic.pairs,
    fresh,
    rates=(0, 1 / 3, 2 / 3),
    trained=third,
    **common,
)
show_contest(practised, "Trained with a third of the views hidden.")

# %% tags=["hide-input"]
# Code of the sentences
claim(
    "practised-indicator-vs-zero",
    *pair(practised, "indicator", "zero"),
    direction="higher",
    unit="%",
    better="With gaps in training the indicator beats zeros, {ours} against {theirs}.",
    worse="With gaps in training zeros beat the indicator, {theirs} against {ours}.",
    undecided="Also with gaps in training indicator ({ours}) and zeros ({theirs}) cannot be told apart.",
)
claim(
    "practised-imputation-vs-indicator",
    *pair(practised, "imputation", "indicator"),
    direction="higher",
    unit="%",
    better="Imputation still beats the indicator, {ours} against {theirs}.",
    worse="The indicator now beats imputation, {ours} against {theirs}.",
    undecided="Imputation ({ours}) and indicator ({theirs}) can no longer be told apart.",
)
claim(
    "practised-dropout-vs-imputation",
    *pair(practised, "modality dropout", "imputation"),
    direction="higher",
    unit="%",
    better="Modality dropout on top of the gaps beats imputation, {ours} against {theirs}.",
    worse="Imputation beats modality dropout on top of the gaps, {theirs} against {ours}.",
    undecided="Modality dropout on top of the gaps ({ours}) and imputation ({theirs}) cannot be told apart.",
)
whole = {
    name: contest.at(0).of("zero", "accuracy")
    for name, contest in {"complete": complete, "gaps": practised}.items()
}
claim(
    "what-training-gaps-cost-complete-people",
    whole["gaps"],
    whole["complete"],
    direction="higher",
    unit="%",
    better="On complete people the network with zeros is better for having been trained with gaps, {ours} against {theirs}.",
    worse="On complete people training with gaps costs the network with zeros {gap}: {ours} against {theirs}.",
    undecided="On complete people it makes no visible difference to the network with zeros whether it was trained with gaps ({ours}) or without ({theirs}).",
)

# %% [markdown]
# ## Gaps that are evidence
#
# A test is ordered for those who look ill. Then who has no result is healthier than most, and the gap itself says something.
# Statistics knows three cases. Gaps are *completely at random* if nothing decides about them; *at random* if only what is seen
# decides, and *not at random* if what is not seen does: here the class. In the third, for a pattern $b$ and with a chance $q_y$ that
# one of the views that do not stay is hidden,
#
# $$p(y \mid x_S, b) \propto p(y \mid x_S)\; p(b \mid y), \qquad p(b \mid y) = \tfrac{|S|}{M}\, q_y^{M - |S|} (1 - q_y)^{|S| - 1} . \tag{6}$$
#
# (One view, drawn evenly, always stays; each of the others is hidden with chance $q_y$.) In the first two cases the second factor is the
# same for all classes, and drops out. The figure shows what reading the gaps would be worth to somebody who knows the law, in one draw of gaps.


# %% tags=["hide-input"]
# Code of Figure 2
def worth(strength, rates=(0, 1 / 6, 1 / 3, 1 / 2, 2 / 3)):
    """Best accuracy for who reads the gaps, and for who does not, by rate."""
    rows = []
    for rate in rates:
        law = Gaps(rate, "not at random", strength)
        items = law.draw(fresh, VIEWS, torch.Generator().manual_seed(7)).tensors
        present = torch.stack([items[f"{m}_present"] for m in sorted(VIEWS)], 1)
        blind = clinic.posterior(items)
        reads = blind * law.likelihood(present, 2)
        for name, answer in {"reads the gaps": reads, "does not": blind}.items():
            right = (answer.argmax(1) == items["label"]).double().mean()
            rows.append({"method": name, "share of views hidden": rate, "accuracy": float(right)})  # fmt: skip
    return pd.DataFrame(rows)


worths = {strength: worth(strength) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)}


def lead(strength):
    """How much is won at a third, and at two thirds."""
    found = worths[strength].pivot(index="share of views hidden", columns="method", values="accuracy")  # fmt: skip
    return (found["reads the gaps"] - found["does not"]).iloc[[2, 4]].tolist()


frames(
    {"strength": list(worths)},
    draw=lambda strength: lines(
        worths[strength], "share of views hidden", "accuracy"
    ),
    alt=lambda strength: (
        f"At strength {strength} who reads the gaps is ahead by {lead(strength)[0]:.3f} with a third hidden and by {lead(strength)[1]:.3f} with two thirds hidden."
    ),
    caption="The optimal answers with and without reading the gaps. Turn the strength with which gaps depend on the class. At the right end everybody has a single view, and gaps tell nothing.",
    start={"strength": 0.5},
)

# %% [markdown]
# Can a network learn to read them? It is trained with a third of the views hidden, not at random, and tested with the same law; and
# then with gaps that are completely at random, as after a change of practice. All six ways are told the same; those that fill with
# zeros or means are told by the filling. The learning rate is the middle one of the three, for all.

# %%
evidence = Gaps(1 / 3, "not at random")
short = {
    "rates": (1 / 3,),
    "trained": evidence,
    **common,
    "settings": None,
    "training": {**training, "lr": 1e-2},
}
same = missing_modalities(build, clinic.pairs, fresh, gaps=evidence, **short)
changed = missing_modalities(build, clinic.pairs, fresh, gaps=Gaps(), **short)
both = {"as in training": same, "completely at random": changed}
means = pd.DataFrame({name: contest.at(1 / 3).mean["accuracy"] for name, contest in both.items()})  # fmt: skip
spreads = pd.DataFrame({name: contest.at(1 / 3).spread["accuracy"] for name, contest in both.items()})  # fmt: skip
pairs = pd.DataFrame({name: contest.at(1 / 3).values["accuracy"] for name, contest in both.items()})  # fmt: skip
table(
    means,
    f"Trained with a third of the views hidden, not at random: accuracy by the law of the gaps at test, mean ± deviation of {seeds} seeds.",
    spread=spreads if seeds > 1 else None,
    best=dict.fromkeys(means, "higher"),
    reference=[CEILING],
    paired=pairs if seeds > 1 else None,
    budgets=Budgets("indicator", steps_and_tries(same)),
    ceiling=CEILING if seeds > 1 else None,
)

# %% tags=["hide-input"]
# Code of the sentences
claim(
    "evidence-indicator-vs-product",
    same.at(1 / 3).of("indicator", "accuracy"),
    same.at(1 / 3).of("product of experts", "accuracy"),
    direction="higher",
    unit="%",
    better="With the same law the indicator, which can learn $p(b \\mid y)$, beats the product of experts, to which a gap is silence: {ours} against {theirs}.",
    worse="With the same law the product of experts beats the indicator, {theirs} against {ours}.",
    undecided="With the same law indicator ({ours}) and product of experts ({theirs}) cannot be told apart.",
)
claim(
    "changed-indicator-vs-product",
    changed.at(1 / 3).of("indicator", "accuracy"),
    changed.at(1 / 3).of("product of experts", "accuracy"),
    direction="higher",
    unit="%",
    better="When the practice changes, the indicator is still better than the product, {ours} against {theirs}.",
    worse="When the practice changes, the indicator loses to the product, {ours} against {theirs}.",
    undecided="When the practice changes, indicator ({ours}) and product ({theirs}) cannot be told apart.",
)
claim(
    "change-of-practice-costs-the-indicator",
    changed.at(1 / 3).of("indicator", "accuracy"),
    same.at(1 / 3).of("indicator", "accuracy"),
    direction="higher",
    unit="%",
    better="The change of practice does not cost the indicator anything: {ours} after it, {theirs} before.",
    worse="The change of practice costs the indicator {gap}: {ours} after it, {theirs} before.",
    undecided="What the change of practice costs the indicator is undecided: {ours} after it, {theirs} before.",
)
claim(
    "change-of-practice-costs-the-product",
    changed.at(1 / 3).of("product of experts", "accuracy"),
    same.at(1 / 3).of("product of experts", "accuracy"),
    direction="higher",
    unit="%",
    better="It even helps the product: {ours} after it, {theirs} before.",
    worse="It costs the product {gap}: {ours} after it, {theirs} before.",
    undecided="What it costs the product is undecided: {ours} after it, {theirs} before.",
)

# %% [markdown]
# ## Where a guess gives nothing
#
# (5) needs a linear answer. At one end of the [dial](late_fusion.ipynb),
# {py:func}`~mmlab.data.worlds.dependency_world.dependency_world`, the class lies in nothing but whether two numbers agree in sign, and
# one of them says nothing about the other. Its optimal linear guess is zero, up to what the regression takes from chance. Whoever
# has a single modality can only toss a coin, so accuracy separates nothing there. What can be right or wrong is how *sure* the answer is: the log
# loss of a coin is $\log 2 \approx 0.693$, and a network that reads an agreement into the filling has more.

# %%
inter = {"features": 2, "intra": 0.0, "inter": 0.95}
dial = dependency_world(people, **inter, seed=0)
dialled, dial_spare = (dependency_world(n, **inter, seed=s).pairs for n, s in ((tested, 1), (500, 2)))  # fmt: skip
build, _ = networks(dial, ("x1", "x2"))
signs = missing_modalities(
    build,
    dial.pairs,
    dialled,
    rates=(0, 1 / 4, 1 / 2),
    **common
    | {
        "modalities": ("x1", "x2"),
        "validation": dial_spare,
        "posterior": dial.posterior,
        "training": training | {"steps": 2 * steps},
        "settings": {"lr": (1e-2, 3e-2, 1e-1)},
        "seeds": range(2 * seeds),
    },
)
show_contest(
    signs,
    "The dial, trained on complete items with twice the steps. The search had three rates, the highest of them higher than before.",
    "log loss",
)

# %% tags=["hide-input"]
# Code of the sentences
with_all = signs.at(0)
say(
    f"With both numbers the network that is given zeros is right {with_all.mean['accuracy']['zero']:.1%} of the time; the ceiling is "
    f"{with_all.mean['accuracy'][CEILING]:.1%}. The product of experts, which adds two opinions, is at "
    f"{with_all.mean['accuracy']['product of experts']:.1%}: no sum of a function of each number can be an agreement of signs. At the right end:"
)
lone = signs.at(1 / 2)
coin = float(np.log(2))
for way, short in {
    "imputation": "imputation",
    "modality dropout": "dropout",
}.items():
    claim(
        f"dial-{short}-vs-coin-log-loss",
        lone.of(way, "log loss"),
        coin,
        direction="lower",
        better=f"{way.capitalize()} is even better than a coin, {{ours}} against {{theirs}}, which can only be luck.",
        worse=f"{way.capitalize()} is worse than a coin, {{ours}} against {{theirs}}.",
        undecided=f"{way.capitalize()} ({{ours}}) cannot be told from a coin ({{theirs}}).",
    )
claim(
    "dial-imputation-vs-zero",
    lone.of("imputation", "log loss"),
    lone.of("zero", "log loss"),
    direction="lower",
    better="Imputation has less log loss than zeros, {ours} against {theirs}.",
    worse="Zeros have less log loss than imputation, {theirs} against {ours}.",
    undecided="Imputation ({ours}) and zeros ({theirs}) cannot be told apart.",
)
claim(
    "dial-dropout-vs-imputation-log-loss",
    lone.of("modality dropout", "log loss"),
    lone.of("imputation", "log loss"),
    direction="lower",
    better="Modality dropout, which has practised gaps, has less log loss than imputation: {ours} against {theirs}.",
    worse="Imputation has less log loss than modality dropout: {theirs} against {ours}.",
    undecided="Modality dropout ({ours}) and imputation ({theirs}) cannot be told apart.",
)
claim(
    "dial-dropout-vs-zero-complete",
    with_all.of("modality dropout", "accuracy"),
    with_all.of("zero", "accuracy"),
    direction="higher",
    unit="%",
    better="With both numbers modality dropout is more often right than the network that never practised: {ours} against {theirs}.",
    worse="With both numbers modality dropout is right {ours} of the time, and the network that never practised {theirs}.",
    undecided="With both numbers modality dropout ({ours}) and the network that never practised ({theirs}) cannot be told apart in accuracy.",
)
record(
    accuracy={
        name: contest.over_rates().mean["accuracy"].round(4).to_dict()
        for name, contest in {"complete": complete, "practised": practised, "evidence": same, "changed": changed, "dial": signs}.items()
    },
    budget=Budgets("imputation", complete.spent).plain(),
)  # fmt: skip

# %% [markdown]
# ## What goes wrong in practice
#
# - **The gap is read.** Whatever lies in the place of a missing modality must never matter. The gaps of this chapter hold NaN: a
#   method that read one would answer NaN.
# - **The filling has seen the test people.** A mean or a regression that is fitted on all people together knows those it is tested on.
# - **Zero is not nothing.** For a picture from 0 to 1 zero is black, and far from the mean. Here the views are centred; standardise
#   before you fill.
# - **One mechanism is tested.** A method that learnt to read gaps goes on reading them when their reason has changed. Test with another
#   law than you trained with.
#
# ## Exercises
#
# ```{exercise} Fill a gap (code)
# :label: missing-fill
#
# Write the guess of (1): least squares, with a constant, fitted on training people who have both views. Given are their two
# views, `seen` (N, A) and `wanted` (N, B), and `fresh` (K, A) of people who lack the second. Return (K, B).
# ```

# %% tags=["stub:fill"]
from mmlab.exercises.missing_modalities import check_fill


def fill(seen, wanted, fresh):
    return ...


check_fill(fill)

# %% [markdown]
# ```{solution-start} missing-fill
# :class: dropdown
# ```


# %% tags=["solution:fill"]
def fill(seen, wanted, fresh):
    centre, mean = seen.mean(0), wanted.mean(0)
    weights = torch.linalg.lstsq(seen - centre, wanted - mean).solution
    return mean + (fresh - centre) @ weights


check_fill(fill)

# %% [markdown]
# The constant is what centring takes care of. In high dimensions add a penalty, as the contest does.
#
# ```{solution-end}
# ```
#
# ```{exercise} What a gap says (compute)
# :label: missing-gap
#
# One in five patients is ill. A scan is missing for three quarters of the healthy and for a quarter of the ill. Among those *without* a
# scan, what share is ill? And how often is somebody right who knows nothing but whether there is a scan?
# ```

# %% tags=["stub:gap"]
from mmlab.exercises.missing_modalities import check_gap

ill_without_scan = ...
right = ...

check_gap((ill_without_scan, right))

# %% [markdown]
# ```{solution-start} missing-gap
# :class: dropdown
# ```

# %% tags=["solution:gap"]
ill_without_scan = 0.2 * 0.25 / (0.2 * 0.25 + 0.8 * 0.75)
right = max(0.2 * 0.25, 0.8 * 0.75) + max(0.2 * 0.75, 0.8 * 0.25)

check_gap((ill_without_scan, right))

# %% [markdown]
# Equation (6) without the views. Without a scan hardly anybody is ill; with one, healthy is still the likelier answer, so that whoever
# knows only the gap is right as often as whoever always says healthy. Evidence may change every probability and no decision.
#
# ```{solution-end}
# ```
#
# ```{exercise} What a zero costs (derive)
# :label: missing-zero
#
# Take a linear score $s = w^\top x$ of two centred modalities, which is the optimal one for a target $y$. Modality 2 is missing. Show that
# with a zero in its place the mean squared error exceeds that of the optimal score of modality 1 alone by
#
# $$\mathbb E\big[(w_2^\top W x_1)^2\big], \qquad W x_1 = \hat x_2 ,$$
#
# and say for which worlds zero equals the guess. Then write it as a function of `w` (B,), `W` (B, A) and the covariance of $x_1$, (A, A).
# ```

# %% tags=["stub:excess"]
from mmlab.exercises.missing_modalities import check_excess


def excess(w, W, covariance):
    return ...


check_excess(excess)

# %% [markdown]
#
# ```{solution-start} missing-zero
# :class: dropdown
# ```
#
# With a zero the score is $w_1^\top x_1 = \hat s - w_2^\top W x_1$. By (5) the error $y - \hat s$ is uncorrelated with $x_1$, and so with
# $w_2^\top W x_1$, which is linear in $x_1$. Therefore
#
# $$\mathbb E[(y - w_1^\top x_1)^2] = \mathbb E[(y - \hat s)^2] + \mathbb E[(w_2^\top W x_1)^2] .$$
#
# Zero equals the guess exactly if $w_2^\top W x_1 = 0$ almost surely: if the modalities are uncorrelated, or if what modality 1 tells about
# modality 2 lies in directions that the score ignores. Here the views are correlated by the shared factors, and by the class itself.


# %% tags=["solution:excess"]
def excess(w, W, covariance):
    return w @ W @ covariance @ W.T @ w


check_excess(excess)

# %% [markdown]
# On the training people, with least squares in place of expectations:

# %%
weights = fitted(everything, y)
known, contribution = there @ weights[: there.shape[1]], guess @ weights[there.shape[1] :]  # fmt: skip
grown = np.mean((y - known) ** 2) - np.mean((y - with_guess) ** 2)
np.testing.assert_allclose(grown, np.mean(contribution**2), atol=1e-9)
say(
    f"With a zero for methylation the mean squared error grows by {grown:.3f}; the mean square of what the guess contributes is {np.mean(contribution**2):.3f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A network with an indicator was trained on complete data. What does it do at the first gap?
# The bit was one for everybody, and its weights acted as part of the constant. Set to zero, it takes that part away: a change that nobody trained.
# ```
#
# ```{dropdown} Can a generative model that draws the missing modality make more of it than the answer's own network?
# No more than is in what is there: the drawn modality is a function of that and of noise. It can spare the training for each pattern of gaps,
# as (5) shows for the simplest case.
# ```
#
# ## In five lines
#
# - A gap can be filled, announced, or both; a filling that is not told is a claim about the world.
# - For a linear answer the optimal linear guess costs nothing (5), and one network does for all patterns.
# - Where the answer lies in how modalities belong together, a guess from one of them holds nothing of the other.
# - What is told must have been seen in training: what bits do that never changed there, nobody has trained.
# - Gaps that depend on the class are evidence (6), as long as the reason for them stays.
#
# ## Limits, and what to read next
#
# Small networks on vectors, two worlds, one width, and three learning rates; where a way settled at an end of them, another may suit it more. Each seed draws weights, order and gaps, and the worlds and their people stay the same.
# The regression is linear; with pictures a guess would have to be drawn. Gaps that depend on the hidden *value* were not tried.
#
# Read {cite:t}`neverova2016moddrop` for modality dropout and {cite:t}`hinton2002experts` for products. The contest is one call,
# {py:func}`~mmlab.compare.missing.missing_modalities`: give it your method as `own`.

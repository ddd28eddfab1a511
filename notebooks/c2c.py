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
# # Connectome to connectome
#
# **How far does linear algebra get, before anybody trains anything?**
#
# The chapters around this one carry a brain at rest to a brain in action with diffusions, flows and adversaries. Before
# that, somebody did it with two textbook tools from the last century: *principal components* and *partial least
# squares*. The method is called C2C, connectome to connectome {cite}`yoo2022c2c`. It needs no gradient, no random
# number and a fraction of a second, so it belongs beside every deeper method. {doc}`rest_to_motor` has its row, and
# [Measured](../book/measured.md) what it does on real scans.
#
# After this chapter you can write it in a few lines, you know what its two knobs do, and you can tell a bottleneck that
# drops the person from one that drops noise.
#
# You need linear algebra up to the singular value decomposition. The data and the measures are those of
# {doc}`bridge_matching`, where they are explained. Reading takes about half an hour.

# %% tags=["parameters"]
seeds = 3
components = 100
directions = 10

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle

from mmlab import generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.connectome_baselines import (
    COMPONENTS,
    PENALTIES,
    baselines,
)
from mmlab.compare.translation import LIMITS, translate
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.c2c import (
    C2C,
    partial_least_squares,
    principal_components,
)
from mmlab.metrics.connectome import evaluate
from mmlab.viz import (
    claim,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.theme import use_theme

use_theme()

# %%
worlds = {
    seed: rest_motor_world(subjects=300, regions=40, seed=seed)
    for seed in range(seeds)
}
train, test = worlds[0].pairs.split(100, 0)
edges = train.source.shape[1]

# %% [markdown]
# ## The idea in one picture
#
# A matrix of connections has hundreds of entries, and we have a few hundred people. A full linear map from every edge
# to every edge has more coefficients than we have numbers. C2C squeezes it through two bottlenecks. First each state is
# described by a few *scores* per person. Then only a few *directions* of the rest scores may speak to the task scores.

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 2.6))
axes = figure.subplots()
boxes = [
    (0.0, 2.0, "rest X", "C0"),
    (2.6, 1.0, "scores T", "C0"),
    (4.6, 0.35, "directions", "0.5"),
    (6.6, 1.0, "scores S", "C1"),
    (9.2, 2.0, "task Y", "C1"),
]
for left, height, label, colour in boxes:
    axes.add_patch(
        Rectangle((left, -height / 2), 0.5, height, color=colour, alpha=0.5)
    )
    axes.text(left + 0.25, -1.25, label, ha="center", va="top")
arrows = [
    (0.6, 1.9, "U"),
    (3.2, 1.3, "weights"),
    (5.1, 1.4, "loadings"),
    (7.2, 1.9, r"$W^\top$"),
]
for start, length, label in arrows:
    axes.add_patch(
        FancyArrow(start, 0, length, 0, width=0.02, head_width=0.14, head_length=0.14,
                   length_includes_head=True, color="black")
    )  # fmt: skip
    axes.text(start + length / 2, 0.12, label, ha="center")
axes.set(xlim=(-0.3, 10), ylim=(-1.9, 1.2))
axes.axis("off")
show(
    figure,
    alt=(
        "Five boxes in a row joined by arrows: rest edges, rest scores, a few directions, task scores, task edges. "
        "The boxes shrink towards the middle and grow again."
    ),
    caption=(
        "Edges are squeezed into scores by the principal components U, scores speak to scores through a few directions, "
        "and the principal components W of the task unfold them again."
    ),
    label="bottlenecks",
)

# %% [markdown]
# ## First bottleneck: principal components
#
# Let $X \in \mathbb R^{S \times E}$ hold the rest edges of $S$ people, one person a row. We look for $k$ directions in
# which the rows are largest. The sum of squares along a unit vector $u$ is $\lVert X u\rVert^2$, and the singular value
# decomposition $X = P\,\Sigma\,V^\top$ answers for all $k$ at once:
#
# $$U = \operatorname*{arg\,max}_{U^\top U = I_k} \lVert X U\rVert_F^2 = (v_1, \dots, v_k). \tag{1}$$
#
# The same for the task gives $W$. A person is then described by short rows of scores,
#
# $$T = X U, \qquad S = Y W. \tag{2}$$
#
# Note what is *not* done: the mean over people is not taken off first. The published method is uncentred, and that has
# a consequence which one can see.

# %% tags=["hide-input"]
mean = train.source.double().mean(0)
uncentred = principal_components(train.source.double(), 40)
strength = torch.linalg.svdvals(train.source.double())
centred_strength = torch.linalg.svdvals(train.source.double() - mean)
aligned = float((uncentred[:, 0] @ mean).abs() / mean.norm())
share = float(strength[0] ** 2 / strength.square().sum())
moved = float((strength[1:40] / centred_strength[:39] - 1).abs().max())
traits = worlds[0].latent.shape[1]
figure = Figure(figsize=(5.6, 3.4))
axes = figure.subplots()
axes.semilogy(
    range(1, 41), strength[:40], "o-", ms=3, label="uncentred, as published"
)
axes.semilogy(range(1, 41), centred_strength[:40], "s-", ms=3, label="centred")
axes.set(xlabel="component", ylabel="singular value")
axes.legend()
show(
    figure,
    alt=(
        f"Singular values of the rest edges on a log scale. Uncentred, the first is {strength[0]:.0f} and the second "
        f"{strength[1]:.0f}; from there on the two curves lie on each other, shifted by one, to within {moved:.1%}."
    ),
    caption=(
        f"Uncentred, the first component holds {share:.0%} of the sum of squares. It *is* the group mean: the cosine between "
        f"the two is {aligned:.4f}. From the second on the curve is the centred one, moved by one place, to within {moved:.1%}: the mean takes one "
        f"component. The world gives its people {traits} hidden traits: look for a step after as many components."
    ),
    label="singular",
)

# %% [markdown]
# ## Second bottleneck: partial least squares
#
# Now regress the task scores on the rest scores. Ordinary least squares would use every direction of $T$, also those in
# which there is only noise. Principal component regression would keep the directions in which $T$ itself is large.
# *Partial least squares* asks another question: in which direction of $T$ is there most to say *about $S$*?
#
# Let $T$ and $S$ be centred from here on, and $C = T^\top S$ their covariance (up to a factor). Take a score $Tr$ and a
# target $Sq$. Their covariance is $r^\top C q$, and over unit vectors it is largest for the first pair of singular
# vectors of $C$:
#
# $$r_a = \text{first left singular vector of } C_a , \qquad C_1 = T^\top S . \tag{3}$$
#
# The next direction must not say the same again. Its score $T r_{a+1}$ should be uncorrelated with all scores before:
# $r_{a+1}^\top T^\top T r_a = 0$. So $r_{a+1}$ has to be orthogonal to the *loading* $p_a = T^\top T r_a$. With
# $v_a$ the part of $p_a$ that is orthogonal to $p_1, \dots, p_{a-1}$, of length one, it is enough to take that
# direction out of the covariance:
#
# $$C_{a+1} = C_a - v_a v_a^\top C_a . \tag{4}$$
#
# The columns of $C_{a+1}$ are now orthogonal to the loadings so far, so the next left singular vector is, too. This is the
# SIMPLS algorithm {cite}`dejong1993simpls`. Scale each $r_a$ so that its score has length one, and put them side by side
# into $R$. The scores $TR$ are orthonormal, so regressing $S$ on them needs no inverse: the coefficients are
# $R^\top T^\top S$, and the map from rest scores to task scores is
#
# $$B = R\,R^\top T^\top S . \tag{5}$$
#
# Adding the means back gives the intercept $b = \bar s - \bar t B$, and the prediction for a person with rest edges
# $x$ is
#
# $$\hat y = (x U B + b)\, W^\top . \tag{6}$$
#
# With as many directions as $T$ has rank, $B$ is ordinary least squares: nothing is left to say. The number of
# directions is a dial from almost nothing to everything.
#
# Here it is without the package, and a check that the package does the same.


# %%
def by_hand(x, y, new, components, directions):
    u = torch.linalg.svd(x, full_matrices=False).Vh[:components].T
    w = torch.linalg.svd(y, full_matrices=False).Vh[:components].T
    t, s = x @ u, y @ w
    t_mean, s_mean = t.mean(0), s.mean(0)
    t, s = t - t_mean, s - s_mean
    c, weights, seen = t.T @ s, [], torch.zeros(components, 0, dtype=x.dtype)
    for _ in range(directions):
        r = torch.linalg.svd(c).U[:, 0]
        r = r / (t @ r).norm()
        p = t.T @ (t @ r)
        v = p - seen @ (seen.T @ p)
        v = v / v.norm()
        c = c - torch.outer(v, v @ c)
        weights, seen = [*weights, r], torch.cat([seen, v[:, None]], 1)
    r = torch.stack(weights, 1)
    return ((new @ u - t_mean) @ (r @ (r.T @ t.T @ s)) + s_mean) @ w.T


ours = by_hand(
    train.source.double(), train.target.double(), test.source.double(), 30, 8
)
theirs = C2C((edges,), 30, 8).solve(train).sample(test.source)
assert torch.allclose(ours.float(), theirs, atol=1e-5)
say(
    f"Both predictions agree to {float((ours - theirs).abs().max()):.0e} on every edge of every test person."
)

# %% [markdown]
# ## The experiment
#
# The published settings are 100 components of each state and 10 directions. They were chosen for other data, with
# a finer atlas. We run them as they are, and beside them a version that chooses its number of directions by
# cross-validation *inside the training set*. The rivals are those of {doc}`bridge_matching`: copy the rest matrix, the
# group mean, the mean shift, the shrunk shift, and ridge regression. Three more rows belong here. *Pairs shuffled* knows both states
# and has forgotten who is who; it is a control, and takes the number of directions that C2C chose. *40 components* narrows the first bottleneck. *On the change* is C2C from rest to the difference of task
# and rest, which is added to the person's own rest matrix: the person's own matrix has to pass no bottleneck. Both choose a number of directions of their own, by the same cross-validation. Ridge regression has two knobs and so more tries, as the table shows; the number of components of C2C was not
# searched beyond the two that have a row.

# %%
GRID = (1, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40)


def solved(pairs, count, kept=components, change=False, order=None):
    """C2C as a function from rest to task; with change, to what is added to the rest matrix."""
    given = [
        {"source": x, "target": y - x if change else y}
        for x, y in zip(
            pairs.source,
            pairs.target if order is None else pairs.target[order],
            strict=True,
        )
    ]
    made = C2C((edges,), kept, count).solve(given)
    return lambda source: made.sample(source) + (source if change else 0)


def chosen_by_cross_validation(pairs, kept=components, change=False, folds=5):
    """The number of directions with the least squared error on held-out training people; components are found once."""
    error = dict.fromkeys([count for count in GRID if count <= components], 0.0)
    for part, held_out in pairs.folds(folds, seed=0):
        x, new = part.source.double(), held_out.source.double()
        y = part.target.double() - (x if change else 0)
        truth = held_out.target.double() - (new if change else 0)
        u, w = (principal_components(values, kept) for values in (x, y))
        t, s = x @ u, y @ w
        for count in error:
            b = partial_least_squares(t - t.mean(0), s - s.mean(0), count)
            guess = ((new @ u - t.mean(0)) @ b + s.mean(0)) @ w.T  # (6)
            error[count] += float((guess - truth).square().sum())
    return min(error, key=error.get)


chosen = {}


def searched_by(name, **how):
    """A row that chooses its number of directions among the training people of each world."""

    def predict(train_set, source, seed):
        chosen[name, seed] = chosen_by_cross_validation(train_set, **how)
        return solved(train_set, chosen[name, seed], **how)(source)

    return predict


def published(train_set, source, seed):
    return solved(train_set, directions)(source)


def without_pairs(train_set, source, seed):
    order = torch.randperm(len(train_set), generator=generator(seed))
    return solved(train_set, chosen[BEST, seed], order=order)(source)


BEST = "C2C, directions by cross-validation"
SEARCHED = (BEST, "C2C, 40 components", "C2C, on the change")


def of_each(row):
    """The numbers of directions that a row chose, world by world."""
    return ", ".join(str(chosen[row, seed]) for seed in range(seeds))


found = translate(
    {
        "C2C, as published": published,
        BEST: searched_by(BEST),
        "C2C, 40 components": searched_by("C2C, 40 components", kept=40),
        "C2C, on the change": searched_by("C2C, on the change", change=True),
        "C2C, pairs shuffled": without_pairs,
    },
    worlds,
    networks=True,
)
counted = Spent(tuned=("directions",), tries=len(GRID))
searched = Spent(
    tuned=("components", "penalty"), tries=len(COMPONENTS) * len(PENALTIES)
)
budgets = Budgets(
    BEST,
    {"C2C, as published": Spent()}
    | dict.fromkeys(SEARCHED, counted)
    | dict.fromkeys(("ridge on PCA scores", "ridge on the change"), searched),
)
shown = found.runs.mean.join(budgets.columns()[["tuned", "tries"]])
table(
    shown,
    f"Test people, mean ± standard deviation over {seeds} worlds. *Tuned*: what was chosen by cross-validation among the training people, and in how many tries. The last two rows are limits.",
    spread=found.runs.spread.reindex(columns=shown.columns),
    best=found.directions,
    reference=LIMITS,
    paired=found.runs,
    called="worlds",
    budgets=budgets,
    ceiling="ceiling",
)

# %% [markdown]
# **What the table says.** First the published settings, then the tuned ones, each on the same people as its rival:

# %% tags=["hide-input"]
for row, words in (
    ("C2C, as published", f"C2C with the published {directions} directions"),
    (
        "C2C, directions by cross-validation",
        "C2C with directions by cross-validation",
    ),
):
    for rival, name in (
        ("mean shift", "the mean shift"),
        ("shrunk shift", "the shrunk shift"),
        ("ridge on the change", "ridge on the change"),
    ):
        for measure in ("RMSE", "demeaned r", "identification"):
            if rival == "shrunk shift" and measure != "RMSE":
                continue  # the same pattern as the mean shift's
            if (row, rival, measure) == (BEST, "mean shift", "RMSE"):
                continue  # said below
            short = f"{row.split(', ')[1].split()[0]}-{measure}-{rival}"
            claim(
                f"c2c-{short.lower().replace(' ', '-')}",
                found.of(row, measure),
                found.of(rival, measure),
                direction=found.directions[measure],
                called="worlds",
                better=f"- {measure}: {words} is better than {name}, {{ours}} against {{theirs}}.",
                worse=f"- {measure}: {words} is worse than {name}, {{ours}} against {{theirs}}.",
                undecided=f"- {measure}: {words} ({{ours}}) and {name} ({{theirs}}) cannot be told apart.",
            )
claim(
    "rmse-vs-mean-shift",
    found.of(BEST, "RMSE"),
    found.of("mean shift", "RMSE"),
    direction="lower",
    called="worlds",
    better="- RMSE: C2C with directions by cross-validation is better than the mean shift, {ours} against {theirs}.",
    worse="- RMSE: C2C with directions by cross-validation is worse than the mean shift, {ours} against {theirs}.",
    undecided="- RMSE: C2C with directions by cross-validation ({ours}) and the mean shift ({theirs}) cannot be told apart.",
)
claim(
    "c2c-tuned-and-published",
    found.of(BEST, "demeaned r"),
    found.of("C2C, as published", "demeaned r"),
    direction="higher",
    called="worlds",
    better="The choice of the directions, taken alone: the demeaned r is {ours} with cross-validation and less with the published number, {theirs}.",
    worse="The choice of the directions, taken alone: the demeaned r is {ours} with cross-validation and more with the published number, {theirs}.",
    undecided="The choice of the directions, taken alone: a demeaned r of {ours} with cross-validation and of {theirs} with the published number cannot be told apart.",
)
claim(
    "c2c-needs-the-pairs",
    found.of(BEST, "demeaned r"),
    found.of("C2C, pairs shuffled", "demeaned r"),
    direction="higher",
    called="worlds",
    better="With shuffled pairs the demeaned r falls from {ours} to {theirs}: what C2C knows about a person, it has learned from the pairing.",
    worse="With shuffled pairs the demeaned r is higher, {theirs} instead of {ours}: the pairing is not used.",
    undecided="With shuffled pairs the demeaned r is {theirs} instead of {ours}, which is no clear difference.",
)
say(
    f"Cross-validation chose {of_each(BEST)} directions. C2C has to rebuild the whole person from scores. What if it has not (it chose {of_each('C2C, on the change')} directions), or if the first bottleneck is narrower ({of_each('C2C, 40 components')})?"
)
for row, tag, words in (
    ("C2C, on the change", "on-the-change", "keeping the person's own matrix"),
    ("C2C, 40 components", "40-components", "40 components in place of 100"),
):
    for measure in ("demeaned r", "identification"):
        claim(
            f"c2c-{tag}-{measure.replace(' ', '-')}",
            found.of(row, measure),
            found.of(BEST, measure),
            direction="higher",
            called="worlds",
            better=f"- {measure}: {words} helps, {{ours}} against {{theirs}}.",
            worse=f"- {measure}: {words} does harm, {{ours}} against {{theirs}}.",
            undecided=f"- {measure}: what {words} does cannot be told, {{ours}} against {{theirs}}.",
        )
record(
    rmse=found.of(BEST, "RMSE").tolist(),
    demeaned_r=found.of(BEST, "demeaned r").tolist(),
    identification=found.of(BEST, "identification").tolist(),
    as_published={m: found.of("C2C, as published", m).tolist() for m in ("RMSE", "demeaned r", "identification")},
    mean_shift={m: found.of("mean shift", m).tolist() for m in ("RMSE", "demeaned r", "identification")},
    directions_chosen={row: [chosen[row, seed] for seed in range(seeds)] for row in SEARCHED},
    budget=budgets.plain(),
)  # fmt: skip

# %% [markdown]
# ## What the knobs do
#
# Turn the number of components. Each frame shows all numbers of directions at once, on the test people of the first
# world. The choice above did not look at them.

# %% tags=["hide-input"]
KEPT = (5, 10, 20, 40, 100)
swept = {}
group_mean = train.target.mean(0)
for kept in KEPT:
    for count in [c for c in GRID if c <= kept]:
        guess = C2C((edges,), kept, count).solve(train).sample(test.source)
        values = evaluate(guess, test.target, group_mean)
        swept[kept, count] = (
            values["demeaned_r"],
            values["identification_demeaned"],
        )
lines = {
    name: evaluate(prediction, test.target, group_mean)
    for name, prediction in baselines(train, test).items()
    if name in ("mean shift", "ridge on the change")
}


def draw_knobs(components):
    figure = Figure(figsize=(5.6, 5.4))
    counts = [c for c in GRID if c <= components]
    for axes, position, key, label in zip(
        figure.subplots(2, 1, sharex=True),
        (0, 1),
        ("demeaned_r", "identification_demeaned"),
        ("demeaned r", "identification"),
        strict=True,
    ):
        axes.plot(
            counts,
            [swept[components, c][position] for c in counts],
            "o-",
            ms=4,
            label="C2C",
        )
        for (name, values), style in zip(lines.items(), ("--", ":"), strict=True):
            axes.axhline(values[key], color="black", ls=style, lw=1, label=name)
        axes.set(xlabel="directions", ylabel=label, xlim=(0, 41), ylim=(0, 1))
        axes.label_outer()
    axes.legend(fontsize=9, loc="lower right")
    return figure


def describe_knobs(components):
    count = max(
        (c for c in GRID if c <= components), key=lambda c: swept[components, c][0]
    )
    r, identified = swept[components, count]
    return (
        f"With {components} components the demeaned r is highest, {r:.2f}, at {count} directions, "
        f"with an identification of {identified:.2f}."
    )


most = max(KEPT)
counts = [c for c in GRID if c <= most]
highest = max(swept[most, c][1] for c in counts)
half, nearly = (
    next(c for c in counts if swept[most, c][1] >= share * highest)
    for share in (0.5, 0.95)
)
frames(
    {"components": list(KEPT)},
    draw_knobs,
    describe_knobs,
    caption=(
        "With few components the curves end early. "
        f"With {most} components the demeaned r runs from {min(swept[most, c][0] for c in counts):.2f} to {max(swept[most, c][0] for c in counts):.2f} with the directions, and it takes {half} directions to get half of the identification that can be had, "
        f"and {nearly} to get nearly all of it. The black lines are rivals: the mean shift, which has no knobs, and ridge on the change, whose two were chosen by cross-validation in {searched.tries} tries. Their demeaned r is "
        + " and ".join(
            f"{values['demeaned_r']:.2f} ({name})" for name, values in lines.items()
        )
        + "."
    ),
    start={"components": 100},
    label="knobs",
)

# %% [markdown]
# Which directions hold the person? Partial least squares takes them in the order of covariance over people, that is, of what people *differ* in together
# in both states. The scores $TR$ are orthonormal, so by (5) the map of directions 11 to 20 is that of the first 20 less that of the first 10. And how much would one gain by choosing their number on the
# test people?

# %%
BLOCKS = ((0, 10), (10, 20), (20, 30), (0, 20))
by_block, peeked = [], []
for seed, (seen, unseen) in found.splits.items():
    x, y = seen.source.double(), seen.target.double()
    u, w = (principal_components(values, components) for values in (x, y))
    t, s = x @ u, y @ w
    scores = {}
    for count in (c for c in GRID if c <= components):
        guess = C2C((edges,), components, count).solve(seen).sample(unseen.source)
        scores[count] = evaluate(guess, unseen.target, seen.target.mean(0))
    peeked.append(
        {key: max(score[key] for score in scores.values()) - scores[chosen[BEST, seed]][key]
         for key in ("demeaned_r", "identification_demeaned")}
    )  # fmt: skip
    t_mean, s_mean = t.mean(0), s.mean(0)
    for first, last in BLOCKS:
        block = partial_least_squares(t - t_mean, s - s_mean, last)
        if first:
            block = block - partial_least_squares(t - t_mean, s - s_mean, first)
        moved = (unseen.source.double() @ u - t_mean) @ block
        guess = (moved + s_mean) @ w.T
        values = evaluate(guess.float(), unseen.target, seen.target.mean(0))
        by_block.append(
            {"directions": f"{first + 1} to {last}", "seed": seed, "demeaned r": values["demeaned_r"],
             "identification": values["identification_demeaned"]}
        )  # fmt: skip
by_block = pd.DataFrame(by_block)
table_over_seeds(
    by_block,
    f"C2C with {components} components and a block of directions only.",
    by="directions",
)
gains = pd.DataFrame(peeked).max()
say(
    f"Choosing the number on the test people would have added at most {gains['demeaned_r']:.3f} to the demeaned r, and {gains['identification_demeaned']:.3f} to the "
    f"identification, of any of the {len(peeked)} worlds. Cross-validation chose {of_each(BEST)}; the world has {traits} traits."
)

# %% [markdown]
# ## In practice
#
# - **Choose on the training people.** What the published number of directions does here, and what peeking would have added to the cross-validated one, stands above.
# - **Two algorithms share the name.** SIMPLS and the older NIPALS agree for one target, and in the first direction for
#   many. After that they differ a little. The original code, in MATLAB, uses SIMPLS; scikit-learn uses NIPALS. The tests of
#   this chapter compare where they must agree.
# - **A prediction need not be a correlation matrix.** Nothing in (6) keeps the diagonal at one or the eigenvalues
#   positive. On the upper triangle the diagonal is simply put back; negative eigenvalues are for the exercise below.
# - **More components than people** are no use: there are only as many as people. C2C leaves the rest empty.
#
# ## Exercises
#
# ```{exercise} The first direction (code)
# :label: c2c-first-direction
#
# Write the first direction $r_1$ of (3): a function of rest scores `t`, (S, p), and task scores `s`, (S, q), *not yet centred*, which
# returns a vector (p,) of length one. The sign does not matter.
# ```

# %% tags=["stub:direction"]
from mmlab.exercises.c2c import check_direction


def direction(t, s):
    return ...


check_direction(direction)

# %% [markdown]
# ```{solution-start} c2c-first-direction
# :class: dropdown
# ```


# %% tags=["solution:direction"]
def direction(t, s):
    covariance = (t - t.mean(0)).T @ (s - s.mean(0))
    left, _, _ = torch.linalg.svd(covariance)
    return left[:, 0]


check_direction(direction)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many numbers does C2C learn? (compute)
# :label: c2c-count
#
# Count the free numbers with $E = 780$ edges, $k = 100$ components of each state and $10$ directions: (a) a full linear map from edges to
# edges, without an intercept; (b) the entries of $U$ and $W$ together; (c) the numbers that are needed to write down $B$ as a product of a
# $k \times 10$ and a $10 \times k$ matrix.
# ```

# %% tags=["stub:count"]
from mmlab.exercises.c2c import check_count

full, bases, coefficients = ..., ..., ...

check_count((full, bases, coefficients))

# %% [markdown]
# ```{solution-start} c2c-count
# :class: dropdown
# ```

# %% tags=["solution:count"]
full = 780**2
bases = 2 * 780 * 100
coefficients = 100 * 10 + 10 * 100

check_count((full, bases, coefficients))

# %% [markdown]
# The bases are large, but they are not fitted to the pairing: each is found in one state alone. What is learned *about the relation*
# of the states is (c).
#
# ```{solution-end}
# ```
#
# ```{exercise} Is it a correlation matrix? (think)
# :label: c2c-valid
#
# A convex combination of correlation matrices is one. Is a prediction (6) such a combination of training matrices? Think first,
# then look at the smallest eigenvalues.
# ```
#
# ```{solution-start} c2c-valid
# :class: dropdown
# ```

# %%
from mmlab.metrics.correlation_geometry import violation

method = C2C((edges,), components, chosen[BEST, 0]).solve(train)
found, measured = violation(method.sample(test.source)), violation(test.target)
say(
    f"No: it is a linear combination with weights of both signs, and they need not sum to one. The mean over people of the smallest "
    f"eigenvalue, where it is negative, is {found['negative_eigenvalue']:.3f} for the predictions and {measured['negative_eigenvalue']:.3f} "
    f"for measured matrices. {found['share_beyond_one']:.1%} of the predicted edges lie beyond one."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why can the scores be regressed one by one, without inverting a matrix?
# Because SIMPLS makes them orthonormal: the Gram matrix of the scores is the identity.
# ```
#
# ```{dropdown} What does partial least squares see that principal component regression does not?
# The targets. A direction that is large at rest but says nothing about the task comes early in the one and late in the other.
# ```
#
# ```{dropdown} What would happen with one direction only?
# Everybody would be predicted on a line: the group mean plus a multiple of one pattern. People could hardly be told apart.
# ```
#
# ## In five lines
#
# - Two sets of principal components, and a few directions of largest covariance between their scores: that is all.
# - Without centring, the first component is the group mean.
# - The number of directions is a knob without a right value for all data; choose it on the training people.
# - A block of directions taken by itself shows what each holds, since their scores are orthonormal.
# - Ridge regression on the change keeps the person's own matrix; put both beside whatever you train.
#
# ## Limits, and what to read next
#
# In this world a few hidden traits make the differences between people, which suits a method with few scores. They act on the logarithm of a covariance, so not in
# a straight line on the edges; what that means for a linear method was not measured here. Real connectomes were not used in this
# chapter; {doc}`../book/measured` has C2C and its rivals on real scans: read it before you rely on the tables above. The paper {cite}`yoo2022c2c` predicts all seven tasks of the
# Human Connectome Project {cite}`vanessen2013` from rest, and separates what is common to the tasks from what is particular; we
# have not repeated that. Next: {doc}`bridge_matching`, which gives a distribution in place of one answer.

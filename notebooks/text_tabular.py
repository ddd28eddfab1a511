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
# # Tables with text: stacking, and the leak in it
#
# **A row of numbers and a line of text. Trees read the one, a linear model the other. How should their answers be put together?**
#
# Catalogues, tickets and patient files have rows like these. One could feed everything to one model. A study of eighteen such tables
# {cite}`text_tabular` found another recipe strongest on average: train a network that reads text and numbers, train tree models apart from it, and fit a further model on *what they
# say*. This is called stacking {cite}`wolpert1992stacked`. It has one rule, and breaking it gives no error message: the further model must see what the parts say of
# rows that they were *not* trained on.
#
# This chapter builds stacking from smaller parts, one for the words and one for the numbers, breaks the rule on purpose, and finds out when that costs little and when much.
#
# **After this chapter you can**
#
# - fuse models of different kinds by a line on their log-odds;
# - say what out-of-fold scores are, and test that a pipeline has no leak with labels that are noise;
# - tell which measure shows a leak and which may hide it;
# - put the plain average beside a stack before you praise the stack.
#
# You need logistic regression and a rough idea of boosted trees. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 10
rows_to_train: int = 600

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingClassifier

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.catalogue_world import catalogue_world
from mmlab.methods.text_tabular import TextTabular, fit_line, folds_of, out_of_fold
from mmlab.metrics.classification import area_under_curve, log_loss
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()

# %% [markdown]
# ## The parts

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "w": Box(0, 0, "words"),
    "x": Box(0, 1.2, "numbers"),
    "line": Box(1, 0, "line (1)", "trained"),
    "trees": Box(1, 1.2, "trees (2)", "trained"),
    "z": Box(2, 0.6, "scores of rows\nnot seen (3)", "changed"),
    "y": Box(3, 0.6, "line on two\nscores (4)", "trained"),
}
arrows = [
    Arrow("w", "line"),
    Arrow("x", "trees"),
    Arrow("line", "z"),
    Arrow("trees", "z"),
    Arrow("z", "y"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: words go to a line, numbers to trees. Both give scores of rows they did not see, to which a second line is fitted that gives the answer."
    ),
    caption="What goes where. Blue is fitted; the step in orange is the rule of stacking.",
)

# %% [markdown]
# **The text part** is logistic regression on counts of words. With labels $y_i \in \{0, 1\}$ and $\tilde y_i = 2y_i - 1$ it minimises
#
# $$\sum_i \log\big(1 + e^{-\tilde y_i\,(w\cdot x_i + c)}\big) + \tfrac{\alpha}{2}\lVert w \rVert^2 . \tag{1}$$
#
# The penalty $\alpha$ decides how far it learns its rows by heart, since there are hundreds of words and hundreds of rows.
#
# **The table part** is boosted trees. They add up small trees, each fitted to what is still unexplained. With $p_i$ the present
# probability, $G = \sum (y_i - p_i)$ and $H = \sum p_i(1 - p_i)$ over the rows of a leaf, the next question is the one with the largest
#
# $$\sum_{\text{leaves}} \frac{G^2}{H + \lambda}, \tag{2}$$
#
# and a leaf adds a fraction of $G/(H + \lambda)$ to the log-odds: a step of Newton's method.
#
# ## The rule
#
# Split the rows into five folds; $k(i)$ is the fold of row $i$. Fit each part five times, each time without one fold, and let
#
# $$z_{im} = s_m^{-k(i)}(x_i) \tag{3}$$
#
# be what part $m$, fitted without the fold of row $i$, says of row $i$: its log-odds. On these *out-of-fold* scores fit
#
# $$\text{log-odds} = a_0 + \sum_m a_m z_{im} \tag{4}$$
#
# by logistic regression. Then fit the parts once more, on all rows, and use (4) on what these say of new rows.
#
# The tempting short-cut skips the folds and fits the line to
#
# $$z_{im} = s_m(x_i), \tag{5}$$
#
# what the parts say of the very rows that they were fitted to. It needs a sixth of the fits. It is a *leak*: these scores know the
# labels, and the line can learn to trust them for that. In plain code:


# %%
def stacked(words, numbers, label, new, leaky=False):
    """Equations (3) to (5), with the parts of the package; probabilities of the new rows."""
    parts = TextTabular(words.shape[1], numbers.shape[1])
    views = ((parts._fit_text, words), (parts._fit_table, numbers))
    fold = folds_of(len(label), 5)
    if leaky:
        z = [fit(x, label)(x) for fit, x in views]  # (5)
    else:
        z = [out_of_fold(fit, x, label, fold) for fit, x in views]  # (3)
    a = fit_line(torch.stack(z, 1), label, 1e-3)  # (4)
    again = [
        fit(x, label)(fresh) for (fit, x), fresh in zip(views, new, strict=True)
    ]
    return torch.sigmoid(torch.stack(again, 1) @ a[:-1] + a[-1])


world = catalogue_world()
some, new = world.draw(200, 90).tensors, world.draw(50, 91).tensors
pieces = [some[key].double() for key in ("words", "table", "label")]
for leaky, name in ((False, "stack"), (True, "leaky stack")):
    ours = stacked(
        *pieces, (new["words"].double(), new["table"].double()), leaky=leaky
    )
    method = TextTabular(300, 8, name).solve(TensorData(some))
    assert torch.allclose(ours, method.predict(new)[:, 1])
say(
    "Stack and leaky stack by hand give the probabilities of the package on 50 new rows."
)

# %% [markdown]
# ## A catalogue whose truth is known
#
# In {py:func}`~mmlab.data.worlds.catalogue_world.catalogue_world` a row has eight numbers and twelve words, out of 300. The log-odds of
# the label are a table part plus a text part. The table part is made for trees (the sign of a product, and a threshold). The text part is a sum
# of word weights. Given both, the exact probability is known; it says how well anybody could do.
#
# ## What a leak looks like
#
# First the scores themselves. For one draw, what does the text part say of the rows that it was fitted to, and what do the five parts of (3) say of
# the same rows? Turn the penalty.

# %% tags=["hide-input"]
# Code of the widget: two kinds of scores
PENALTIES = [1.0, 10.0, 100.0, 1000.0, 10000.0]
first = world.draw(rows_to_train, 0).tensors
words, label = first["words"].double(), first["label"].double()
fold = folds_of(len(label), 5)
shown = {}
for penalty in PENALTIES:
    part = TextTabular(300, 8, text_penalty=penalty)
    seen = part._fit_text(words, label)(words)
    unseen = out_of_fold(part._fit_text, words, label, fold)
    shown[penalty] = {"rows it was fitted to": seen, "rows it did not see": unseen}
widest = max(float(s.abs().max()) for both in shown.values() for s in both.values())


def area(score, y):
    return area_under_curve(
        torch.stack([torch.sigmoid(-score), torch.sigmoid(score)], 1), y.long()
    )


def draw_scores(penalty):
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    for axes, (name, score) in zip(
        figure.subplots(2, 1, sharex=True), shown[penalty].items(), strict=True
    ):
        frame = pd.DataFrame(
            {"log-odds of the text part": score, "label": label.long()}
        )
        sns.histplot(
            frame, x="log-odds of the text part", hue="label", bins=30,
            binrange=(-widest, widest), element="step", ax=axes,
        )  # fmt: skip
        axes.set(title=name)
    return figure


def say_scores(penalty):
    return f"Penalty {penalty:g}: " + ", ".join(
        f"on {name} the area under the curve is {area(score, label):.2f}"
        for name, score in shown[penalty].items()
    )


frames(
    {"penalty": PENALTIES},
    draw=draw_scores,
    alt=say_scores,
    caption=(
        "Scores of the same rows, by a text part that was fitted to them (above) and by parts that were not (below). The line of the stack is fitted to one of the two."
    ),
    start={"penalty": 1.0},
)

# %% [markdown]
# ## The rivals
#
# | row | what it does |
# | --- | --- |
# | text, table | one part alone |
# | one line on everything | logistic regression on numbers and words side by side |
# | trees on everything | scikit-learn's boosted trees on numbers and words side by side |
# | average | the log-odds of both parts, added up |
# | leaky stack | (4) fitted to (5) |
# | stack | (4) fitted to (3) |
#
# Each row chooses among five settings of its own (the penalty of the words, the number of trees) on two other draws of the world, by the area
# under the curve (AUC), and is then fitted to new draws. Training sets have as many rows for all.

# %%
TEST = 3000
ROUNDS = [10, 30, 60, 120, 240]


def everything(batch):
    return torch.cat([batch["table"], batch["words"]], 1).double()


def made_by(train, test):
    """Probabilities of the test rows, by row of the table and setting; and the weights of both stacks."""
    found, weights = {"exact probabilities": [world.probability(test)]}, []
    batch, y = train.tensors, train.tensors["label"].double()
    for name in ("text", "average", "leaky stack", "stack"):
        found[name] = []
    for penalty in PENALTIES:
        parts = TextTabular(300, 8, "average", text_penalty=penalty).solve(train)
        z = parts.scores(test)
        a = fit_line(parts.scores(batch), y, 1e-3)  # (4), on (5)
        odds = {
            "text": z[:, 0],
            "average": z.sum(1),
            "leaky stack": z @ a[:-1] + a[-1],
        }
        for name, value in odds.items():
            found[name].append(torch.stack([-value, value], 1).sigmoid())
        stack = TextTabular(300, 8, "stack", text_penalty=penalty).solve(train)
        found["stack"].append(stack.predict(test))
        for name, on in (("leaky stack", a), ("stack", stack.weights)):
            for part, value in zip(("text", "table"), on.tolist(), strict=False):
                weights.append(
                    {
                        "penalty": penalty,
                        "stack": name,
                        "part": part,
                        "weight": value,
                    }
                )
    found["table"] = [
        TextTabular(300, 8, "table", rounds=r).solve(train).predict(test)
        for r in ROUNDS
    ]
    found["one line on everything"], found["trees on everything"] = [], []
    for penalty in PENALTIES:
        line = fit_line(everything(batch), y, penalty)
        chance = torch.sigmoid(everything(test) @ line[:-1] + line[-1])
        found["one line on everything"].append(torch.stack([1 - chance, chance], 1))
    for rounds in ROUNDS:
        trees = HistGradientBoostingClassifier(max_iter=rounds, max_depth=3)
        trees.fit(everything(batch).numpy(), batch["label"].numpy())
        probabilities = trees.predict_proba(everything(test).numpy())
        found["trees on everything"].append(torch.from_numpy(probabilities))
    return found, weights


def measured(draw):
    test = world.draw(TEST, 2 * draw + 1).tensors
    made, weights = made_by(world.draw(rows_to_train, 2 * draw), test)
    y = test["label"]
    scores = {
        row: [
            {"AUC": area_under_curve(p, y), "log loss": log_loss(p, y)}
            for p in tries
        ]
        for row, tries in made.items()
    }
    return scores, weights


pilots = [measured(draw)[0] for draw in (500, 501)[: min(2, seeds)]]
finals, weights = zip(*(measured(draw) for draw in range(seeds)), strict=True)
chosen = {
    row: int(np.argmax(np.mean([[s["AUC"] for s in p[row]] for p in pilots], 0)))
    for row in pilots[0]
}
scores = pd.DataFrame(
    [
        {"method": row, "seed": seed} | found[row][chosen[row]]
        for seed, found in enumerate(finals)
        for row in found
    ]
)

# %% tags=["hide-input"]
# Code of the table
order = [
    "exact probabilities",
    "text",
    "table",
    "one line on everything",
    "trees on everything",
    "average",
    "leaky stack",
    "stack",
]
by_trees = ("table", "trees on everything")
budgets = Budgets(
    "stack",
    {
        row: Spent(
            tuned=("trees" if row in by_trees else "penalty",), tries=len(PENALTIES)
        )
        for row in order[1:]
    },
)
table_over_seeds(
    scores,
    f"Test rows, after fitting to {rows_to_train} rows, each row at the setting that it chose.",
    best={"AUC": "higher", "log loss": "lower"},
    reference=["exact probabilities"],
    order=order,
    budgets=budgets,
)
settings = {
    row: (ROUNDS if row in by_trees else PENALTIES)[chosen[row]]
    for row in order[1:]
}
say(
    "Chosen on the pilot draws (penalty, or number of trees): "
    + ", ".join(f"*{row}* {value:g}" for row, value in settings.items())
    + "."
)
record(
    auc={
        row: round(float(s.mean()), 4) for row, s in scores.groupby("method")["AUC"]
    },
    budget=budgets.plain(),
)


# %%
def values(row, metric="AUC"):
    return scores[scores["method"] == row].sort_values("seed")[metric].tolist()


def against(row):
    slug = row.replace(" ", "-")
    return claimed(
        f"stack-{slug}",
        values("stack"),
        values(row),
        direction="higher",
        better=f"AUC: the stack is ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"AUC: *{row}* is ahead of the stack, {{theirs}} against {{ours}}.",
        undecided=f"AUC: the stack ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {against(row)}" for row in order[1:-1]))
for row, slug in (("leaky stack", "leaky"), ("average", "average")):
    claim(
        f"stack-log-loss-{slug}",
        values("stack", "log loss"),
        values(row, "log loss"),
        direction="lower",
        better=f"Log loss: the stack is ahead of *{row}*, {{ours}} against {{theirs}} nats.",
        worse=f"Log loss: *{row}* is ahead of the stack, {{theirs}} against {{ours}} nats.",
        undecided=f"Log loss: the stack ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart, in nats.",
    )

# %% [markdown]
# Look at both measures. AUC asks only for the order of the rows. Log loss asks whether the stated probabilities are right, too. Scores that
# know the labels can make the line trust the parts more than they deserve on new rows. Both measures are taken at the setting that was chosen by AUC.
#
# ## When does a leak cost much?
#
# The same draws, over the penalty of the text part. Does a part that learns its rows less by heart leak less? Hold three rows against each other: the
# average has no line that a leak could mislead, so a low AUC of it at a weak penalty is no leak. And does the honest stack keep its place at a strong
# penalty, where out-of-fold scores can fall *below* what the part knows (an exercise below says how)?

# %% tags=["hide-input"]
# Code of the figure: over the penalty
curve = pd.DataFrame(
    [
        {"method": row, "seed": seed, "penalty": penalty} | found[row][at]
        for seed, found in enumerate(finals)
        for row in ("text", "average", "leaky stack", "stack")
        for at, penalty in enumerate(PENALTIES)
    ]
)
alone = float(scores[scores["method"] == "table"]["AUC"].mean())
ends = curve.groupby(["method", "penalty"])[["AUC", "log loss"]].mean()
show(
    lines(curve, "penalty", ["AUC", "log loss"], log_x=True),
    alt="AUC and log loss against the penalty of the text part. "
    + " ".join(
        f"{row}: AUC {ends['AUC'][row, PENALTIES[0]]:.3f} at {PENALTIES[0]:g} and {ends['AUC'][row, PENALTIES[-1]]:.3f} at {PENALTIES[-1]:g}, "
        f"log loss {ends['log loss'][row, PENALTIES[0]]:.2f} and {ends['log loss'][row, PENALTIES[-1]]:.2f}."
        for row in ("text", "average", "leaky stack", "stack")
    ),
    caption=f"Means over {seeds} draws with 95 % intervals. The table alone has an AUC of {alone:.3f}. The leaky stack minus the stack in mean AUC: "
    + ", ".join(
        f"{ends['AUC']['leaky stack', p] - ends['AUC']['stack', p]:+.3f} at {p:g}"
        for p in PENALTIES
    )
    + ".",
    label="penalty",
)


def at_penalty(row, at, metric="AUC"):
    return [found[row][at][metric] for found in finals]


claim(
    "leaky-stack-weak-penalty-table",
    at_penalty("leaky stack", 0),
    values("table"),
    direction="higher",
    better="With the weakest penalty the leaky stack is ahead of the table alone in AUC: {ours} against {theirs}.",
    worse="With the weakest penalty the leaky stack is behind the table *alone* in AUC: {ours} against {theirs}.",
    undecided="With the weakest penalty the leaky stack ({ours}) and the table alone ({theirs}) cannot be told apart in AUC.",
)
claim(
    "stack-weak-penalty-average",
    at_penalty("stack", 0),
    at_penalty("average", 0),
    direction="higher",
    better="With the weakest penalty the stack is ahead of the average in AUC: {ours} against {theirs}. It can turn a part down, which the average cannot; the weights below say whether it did.",
    worse="With the weakest penalty the stack is behind the average in AUC: {ours} against {theirs}.",
    undecided="With the weakest penalty the stack ({ours}) and the average ({theirs}) cannot be told apart in AUC.",
)
strongest = PENALTIES.index(max(PENALTIES))
for metric, direction in (("AUC", "higher"), ("log loss", "lower")):
    claim(
        f"leaky-stack-strong-penalty-{metric.lower().replace(' ', '-')}",
        at_penalty("leaky stack", strongest, metric),
        at_penalty("stack", strongest, metric),
        direction=direction,
        better=f"With the strongest penalty the *leaky* stack is ahead of the honest one in {metric}: {{ours}} against {{theirs}}.",
        worse=f"With the strongest penalty the honest stack is ahead of the leaky one in {metric}: {{theirs}} against {{ours}}.",
        undecided=f"With the strongest penalty the leaky stack ({{ours}}) and the honest one ({{theirs}}) cannot be told apart in {metric}.",
    )

# %% [markdown]
# What did the lines make of their scores? Their weights are below, over the same penalties. A strong penalty makes the scores of the text part small, and only a large
# weight can bring them back. Does the honest line find one? Hold the deviation of its weight against the weight itself, and look at the sign: out-of-fold scores can run *against* the label, as in
# the exercise on the mean of the others, and a line that meets such scores turns the part round. On new rows, whose scores come from a part fitted to all rows, that is wrong.

# %% tags=["hide-input"]
# Code of the table: weights of the lines
trusted = pd.DataFrame(
    [line | {"seed": seed} for seed, found in enumerate(weights) for line in found]
)
trusted["line"] = trusted["stack"] + ", weight of the " + trusted["part"]
wide = trusted.pivot_table(
    index=["line", "seed"], columns="penalty", values="weight"
).reset_index()
wide.columns = [
    name if isinstance(name, str) else f"penalty {name:g}" for name in wide.columns
]
table_over_seeds(
    wide,
    "Weights of (4) on the log-odds of the two parts, over the penalty of the text part. A weight of 1 takes a part at its word.",
    by="line",
    digits=2,
)
claim(
    "leaky-line-trusts-text",
    trusted.query("stack == 'leaky stack' and part == 'text' and penalty == 1")[
        "weight"
    ].tolist(),
    trusted.query("stack == 'stack' and part == 'text' and penalty == 1")[
        "weight"
    ].tolist(),
    direction="higher",
    better="With the weakest penalty the leaky line gives the text part more weight than the honest line does: {ours} against {theirs}.",
    worse="With the weakest penalty the leaky line gives the text part less weight than the honest line does: {ours} against {theirs}.",
    undecided="With the weakest penalty the weight of the text part in the leaky line ({ours}) and in the honest line ({theirs}) cannot be told apart.",
)

# %% [markdown]
# ## The test that finds it
#
# Replace the labels by noise. There is nothing to learn, so an honest pipeline must find nothing: on its own training rows, the scores that
# the last line is fitted to must not have an AUC above one half, but for chance.

# %%
noise_honest, noise_leaky = [], []
for seed in range(seeds):
    batch = world.draw(300, 700 + seed).tensors
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 2, (300,), generator=rng)
    part = TextTabular(300, 8)
    words, y = batch["words"].double(), noise.double()
    noise_leaky.append(area(part._fit_text(words, y)(words), noise))
    noise_honest.append(
        area(out_of_fold(part._fit_text, words, y, folds_of(300, 5)), noise)
    )
claim(
    "noise-leaky-scores",
    noise_leaky,
    0.5,
    direction="higher",
    better="On labels that are noise, scores of the rows that the text part was fitted to have an AUC of {ours}: a leak, since nothing can be known.",
    worse="On labels that are noise, scores of the rows that the text part was fitted to have an AUC of {ours}, below one half.",
    undecided="On labels that are noise, scores of the rows that the text part was fitted to have an AUC of {ours}, not told from one half.",
)
claim(
    "noise-honest-scores",
    noise_honest,
    0.5,
    direction="higher",
    better="Out-of-fold scores have an AUC of {ours} on noise, above one half.",
    worse="Out-of-fold scores have an AUC of {ours} on noise, below one half. That is no leak; the exercise on the mean of the others shows one way to it.",
    undecided="Out-of-fold scores have an AUC of {ours} on noise, not told from one half.",
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Scores of rows not seen (code)
# :label: text-tabular-scores
#
# Write (3) for a part that is given as a function: `fit(x, y)` returns a function from rows to scores. You also get the rows x (N, F), labels y (N,)
# and folds (N,).
# ```

# %% tags=["stub:scores"]
from mmlab.exercises.text_tabular import check_scores


def unseen_scores(fit, x, y, fold):
    return ...


check_scores(unseen_scores)

# %% [markdown]
# ```{solution-start} text-tabular-scores
# :class: dropdown
# ```


# %% tags=["solution:scores"]
def unseen_scores(fit, x, y, fold):
    z = torch.zeros(len(x), dtype=x.dtype)
    for k in fold.unique():
        held = fold == k
        z[held] = fit(x[~held], y[~held])(x[held])
    return z


check_scores(unseen_scores)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The mean of the others (compute)
# :label: text-tabular-mean
#
# A part ignores the rows and says the mean of the labels that it was fitted to. There are 4 rows with the labels 1, 1, 0, 0, and every row is a fold
# of its own. (a) What does (3) say of a row with label 1, and (b) of a row with label 0? (c) What is the AUC of these scores?
# ```

# %% tags=["stub:mean"]
from mmlab.exercises.text_tabular import check_mean

of_ones = ...
of_zeros = ...
auc = ...

check_mean((of_ones, of_zeros, auc))

# %% [markdown]
# ```{solution-start} text-tabular-mean
# :class: dropdown
# ```

# %% tags=["solution:mean"]
of_ones = (1 + 0 + 0) / 3
of_zeros = (1 + 1 + 0) / 3
auc = 0.0  # every row with label 0 has the higher score

check_mean((of_ones, of_zeros, auc))

# %% [markdown]
# Out-of-fold scores can be *below* one half in AUC without any leak: whoever is left out is missing among the rest.
#
# ```{solution-end}
# ```
#
# ```{exercise} How much does a leak flatter? (derive)
# :label: text-tabular-flatter
#
# A part is fitted by least squares with F columns (intercept included) to N rows whose labels are pure noise of variance s². Write the expected mean squared
# error, as a function of F, N and s: on the rows that it was fitted to, and on the same rows x with *new* noise. (Hint: the fitted values are
# a projection of the labels on F dimensions.)
# ```

# %% tags=["stub:flatter"]
from mmlab.exercises.text_tabular import check_flatter


def expected_errors(columns, rows, s):
    on_fitted = ...
    on_new = ...
    return on_fitted, on_new


check_flatter(expected_errors)

# %% [markdown]
# ```{solution-start} text-tabular-flatter
# :class: dropdown
# ```
#
# With the projection $P$ of rank $F$ the fitted values are $Py$. On the same labels the error is $\lVert (I - P)y\rVert^2$, with the expectation
# $s^2(N - F)$. New labels $y'$ are independent: $\lVert y' - Py\rVert^2$ has the expectation $s^2 N + s^2 F$. Divide by $N$. The gap is $2Fs^2/N$.


# %% tags=["solution:flatter"]
def expected_errors(columns, rows, s):
    on_fitted = s**2 * (1 - columns / rows)
    on_new = s**2 * (1 + columns / rows)
    return on_fitted, on_new


check_flatter(expected_errors)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Two folds or twenty (think)
# :label: text-tabular-folds
#
# The parts of (3) are fitted to fewer rows than the ones that are used in the end. What does that do to the weights a of (4), with two folds and with
# twenty? Guess, then look.
# ```
#
# ```{solution-start} text-tabular-folds
# :class: dropdown
# ```

# %%
train = world.draw(rows_to_train, 0)
test = world.draw(TEST, 1).tensors
found = {}
for folds in (2, 5, 20):
    method = TextTabular(300, 8, folds=folds, text_penalty=100.0).solve(train)
    found[folds] = (
        method.weights[0].item(),
        log_loss(method.predict(test), test["label"]),
    )
say(
    "Weight of the text part and log loss on new rows, one draw: "
    + "; ".join(f"{k} folds {a:.2f}, {loss:.3f}" for k, (a, loss) in found.items())
    + ". One draw decides nothing."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why are the parts fitted once more, on all rows?
# New rows need one score of each part, and a part that was fitted to more rows is used for it. The line was fitted to scores of parts with a few rows less, which is
# a small mismatch, and an honest one.
# ```
#
# ```{dropdown} A colleague reports the AUC of a leaky stack on its training rows. What is it worth?
# Nothing: the rows were in the fit of the parts and of the line. On held-out rows the answers can be measured, and there the leak does not flatter.
# ```
#
# ```{dropdown} Rows belong to people, several to each. How should folds be made?
# By person. Else a part has seen other rows of the same person, and knows more of the row than it will of new people.
# ```
#
# ```{dropdown} Why does the line work on log-odds and not on probabilities?
# Evidence from sources that are independent given the label adds in log-odds. A sum of probabilities has no such reading.
# ```
#
# ## In five lines
#
# - Stacking fits a small model to what the parts say of rows that they were not fitted to.
# - Scores of the rows that a part was fitted to know the labels; a line on them can trust a part for what it learnt by heart.
# - AUC may hide a leak that log loss shows, and what the leak costs in either turns with the penalty of the parts.
# - Labels that are noise test a pipeline in three lines: its scores must know nothing.
# - The plain average of log-odds is the rival to put beside a stack.
#
# ## Limits, and what to read next
#
# - The parts are small: a line on counts of words and sixty trees. The study fine-tunes a network on text and table and stacks it with several tree libraries
#   {cite}`text_tabular`; its tables are not run here.
# - In this world the log-odds of both sources add up, which is what a line on scores can express. Where a word changes what a number means, it cannot.
# - Settings were chosen on two pilot draws, among five for each row and by AUC. Where a row chose the end of its list, a setting outside may suit it more.
# - The line's own penalty, the number of rows and the trees inside the stacks were not varied.
#
# {cite:t}`wolpert1992stacked` is where stacking begins. [Late fusion](late_fusion.ipynb) trains all parts as one.

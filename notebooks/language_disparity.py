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
# # The gap to English, and what a picture does to it
#
# **A classifier of tweets about disasters is right more often in English than in Hindi. Somebody adds the tweets' pictures, and the gap shrinks. Was the model made fairer, or would anything have done that?**
#
# Encoders of text have seen much English and little Hindi. Verma et al. {cite}`language_disparity` ask whether pictures, which speak no language, narrow the gap between English and five other languages. They fuse late: features of a text encoder and of a picture encoder, side by side, into a small network. The same
# tweet, translated, is classified in each language with its picture and without.
#
# This chapter does that in a world where everything about the gap is known. It shows what arithmetic does to a gap, before any picture is looked at. It puts a dull control beside the picture: the same text, read a second time. And it shows how a file with lost lines looks like a language.
#
# **After this chapter you can**
#
# - report the gap of each language run by run, with an interval, and the scores behind it;
# - say when the same added evidence narrows a gap in accuracy, though it leaves the gap in evidence as it is;
# - tell a gap that closes from a language that gains;
# - refuse a file whose lines do not belong to their ids, and notice a model that says one thing to all.
#
# You need PyTorch and cross-entropy. [Late fusion](late_fusion.ipynb) compares ways to fuse; here there is one. Reading takes about twenty minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 6
steps: int | None = None  # of every training run on this page

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import nn

from mmlab.compare.budget import Budgets, Spent
from mmlab.data.sets.translated_tweets import count_lines
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.tweets_world import LANGUAGES, tweets_world
from mmlab.methods.language_disparity import (
    LanguageDisparity,
    gap_report,
    predicted_classes,
    two_class_accuracy,
)
from mmlab.metrics.classification import macro_f1
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import (
    claim,
    claimed,
    frames,
    record,
    say,
    show,
    table_over_seeds,
)
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 100, "gpu": 1000}[profile]

# %% [markdown]
# ## Late fusion, once for each language

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "text": Box(0, 0, "text, in one\nlanguage"),
    "image": Box(0, 1.2, "picture"),
    "t": Box(1, 0, "frozen text\nencoder"),
    "v": Box(1, 1.2, "frozen picture\nencoder"),
    "a": Box(2, 0, "layer (1)", "trained"),
    "b": Box(2, 1.2, "layer (1)", "trained"),
    "y": Box(3, 0.6, "side by side\n(2), (3)", "loss"),
}
arrows = [
    Arrow("text", "t"),
    Arrow("image", "v"),
    Arrow("t", "a"),
    Arrow("v", "b"),
    Arrow("a", "y"),
    Arrow("b", "y"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a text in one language goes through a frozen encoder and a layer, a picture likewise; both layers' features stand side by side and give the class.",
    caption="One small network for each language; blue is trained. The picture's branch sees the same pictures in all languages.",
)

# %% [markdown]
# Frozen encoders, which are not trained here, turn the text of a tweet into features $t$ and its picture into $v$. Each goes through a layer, and where a tweet lacks its text or its picture, $a$ or $b$ is 0:
#
# $$a = \mathrm{ReLU}(A\,t + \alpha), \qquad b = \mathrm{ReLU}(B\,v + \beta). \tag{1}$$
#
# Both stand side by side before a hidden layer and a line,
#
# $$z = W_2\, \mathrm{ReLU}(W_1 [a, b] + \omega_1) + \omega_2, \tag{2}$$
#
# which are trained by the cross-entropy of the class,
#
# $$L = \operatorname*{mean}_i \big(-\log \operatorname{softmax}(z_i)_{y_i}\big). \tag{3}$$
#
# ## What a gap is
#
# With $s_l$ the score in language $l$, the gap to English is
#
# $$g_l = s_{\text{en}} - s_l, \tag{4}$$
#
# taken for each run, so that it has an interval of its own. It is a difference of two numbers, and either may move. A model that knows nothing has no gap.
#
# Now let two classes be equally frequent, with normal noise, and call the squared distance of their means, in units of the noise, their *evidence* $E$. The optimal answer is right with probability
#
# $$\mathrm{right}(E) = \Phi\big(\tfrac12 \sqrt{E}\big), \tag{5}$$
#
# and the evidence of independent views adds up: text and picture have $E_l + E_v$. So in evidence the picture leaves the gap exactly as it was, $(E_{\text{en}} + E_v) - (E_l + E_v) = E_{\text{en}} - E_l$. But (5) is concave in $E$. The same step in evidence
# is worth less to who has much. *Whatever* adds the same evidence to all languages narrows the gap in accuracy, be it a picture, the hour of the day, or a hint from a neighbour.
#
# That is said of (5), so of two equally frequent classes. If one class is far more frequent, the curve is flat at first, since a little evidence does not overrule the frequent class, and only then rises and bends: there the same step may give more to who has more, and *widen* the gap. Our world has five classes that are not equally
# frequent, and its score is another one. So what happens to its gaps is for the run to say.

# %% tags=["hide-input"]
# Code of the widget: evidence and accuracy
world = tweets_world()
alone = {name: world.evidence(name, ("text",)) for name in LANGUAGES}
picture = world.evidence("en", ("image",))
SHARES = (0.0, 0.5, 1.0, 2.0, 4.0)


def right_with(share):
    return {n: two_class_accuracy(e + share * picture) for n, e in alone.items()}


def draw_curve(share):
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0, max(alone.values()) + max(SHARES) * picture, 200)
    axes.plot(grid, [two_class_accuracy(e) for e in grid], color="0.6")
    for name, value in right_with(share).items():
        axes.plot(alone[name] + share * picture, value, "o", label=name)
    axes.set(xlabel="evidence E", ylabel="right of two classes", ylim=(0.5, 1.01))
    axes.legend(ncols=2, loc="lower right")
    return figure


def say_curve(share):
    found = right_with(share)
    listed = ", ".join(f"{n} {v:.3f}" for n, v in found.items())
    return f"With {share:g} times the picture's evidence two classes are told apart with probability {listed}; English is {found['en'] - found['hi']:.3f} ahead of Hindi."


frames(
    {"pictures": list(SHARES)},
    draw=draw_curve,
    alt=say_curve,
    caption="Equation (5), with the mean evidence of the languages of our world. Turn the knob to add so many independent pictures: all points move to the right by the same step, and the curve does the rest.",
    start={"pictures": 0.0},
)

# %% [markdown]
# The method in plain PyTorch, beside the package:


# %%
def logits_by_hand(method, batch):
    """Equations (1) and (2)."""
    a = torch.relu(method.text(batch["text"]))
    b = torch.relu(method.image(batch["image"]))
    b = b * batch["image_present"][:, None]
    return method.head(torch.relu(method.hidden(torch.cat([a, b], 1))))


demo, batch = LanguageDisparity.demo()
loss = nn.functional.cross_entropy(logits_by_hand(demo, batch), batch["label"])
assert torch.allclose(loss, demo.loss(batch, torch.Generator())["loss"])
spoilt = batch | {"image": batch["image"] / batch["image_present"][:, None]}
assert not spoilt["image"].isfinite().all()
assert torch.equal(demo.predict(spoilt), demo.predict(batch))
say(
    f"Both give a loss of {loss.item():.4f} on the demo; and what stands where a picture is absent has no effect."
)

# %% [markdown]
# ## Tweets in six languages
#
# In our world ({py:func}`~mmlab.data.worlds.tweets_world.tweets_world`) a tweet has one of five classes, and the frozen encoders give class means plus normal noise. The noise of a text has two parts. One is the vagueness of the tweet, the same in all languages. The other
# is the encoder's, and grows from English over Spanish, Portuguese, French and Chinese to Hindi; its size is made up. The picture's noise knows no language. So a gap has one cause here, and it is the one that everybody has in mind.
#
# The same 400 tweets train all languages, 300 more choose learning rates, and 1,000 are the test. The score is macro-F1, as in the paper.
#
# | row | what it sees |
# | --- | --- |
# | text | the text alone |
# | picture | the picture alone, so the same network in all languages |
# | second reading | the text, and in place of the picture the same text, read a second time with new noise of the same encoder |
# | shuffled picture | text and another tweet's picture |
# | product | answers of *text* and *picture*, multiplied, divided by the classes' shares among the training tweets; nothing more is trained |
# | line on text | logistic regression on the features of the text |
# | line on both | logistic regression on the features of text and picture |
# | both | (1) to (3) |
# | law | the most probable class under the law of the world, from text and picture |
#
# *Second reading* is a second view, with as many features, whose noise *does* know the language. It adds evidence to every language, and most to English, where the noise of the encoder is least: in evidence it *widens* every gap. *Shuffled picture* has all weights and no evidence. The world is normal with the same noise for all classes, where a line has the right form: that is the home of the two lines.
#
# **Budgets.** All networks have the same shapes, steps and starts, and choose among four learning rates; the lines choose among four penalties, given as scikit-learn's $C$. All choose for each language, on the validation tweets, by the mean over draws.

# %%
TRAIN, VALID, TEST = 400, 300, 1000
RATES, PENALTIES = (3e-3, 1e-2, 3e-2, 1e-1), (0.003, 0.03, 0.3, 3.0)
NETWORKS = ("text", "picture", "second reading", "shuffled picture", "both")


def seen_by(row, tweets):
    """What a network of this row is given."""
    seen = {k: tweets[k] for k in ("text", "image", "label")}
    there = torch.ones(len(seen["label"]), dtype=torch.bool)
    seen |= {"text_present": there, "image_present": there}
    if row == "text":
        seen["image_present"] = ~there
    if row == "picture":
        seen["text_present"] = ~there
    if row == "second reading":
        seen["image"] = tweets["again"]
    if row == "shuffled picture":
        seen["image"] = tweets["image"].roll(1, 0)
    return seen


draws = {
    d: [
        world.draw(count, 3 * d + k).tensors
        for k, count in enumerate((TRAIN, VALID, TEST))
    ]
    for d in range(seeds)
}
parts = {
    (name, d): [world.in_language(tweets, name) for tweets in draws[d]]
    for name in LANGUAGES
    for d in range(seeds)
}


def trained(parts, rows, lr):
    """Networks for rows, languages and draws, side by side: validation and test answers."""
    keys = [(row, name, d) for row in rows for name, d in parts]
    data = {key: [seen_by(key[0], part) for part in parts[key[1:]]] for key in keys}
    shapes = {"text": [12], "image": [12]}
    methods = {key: LanguageDisparity.seeded(key[2], shapes) for key in keys}
    fit_side_by_side(
        list(methods.values()), [TensorData(data[key][0]) for key in keys],
        steps=steps, batch_size=64, lr=lr, schedule="cosine", log_every=steps, progress=False,
    )  # fmt: skip
    return {
        key: [methods[key].predict(part) for part in data[key][1:]] for key in keys
    }


LINES = {"line on text": ("text",), "line on both": ("text", "image")}


def fitted_lines(strength):
    """Logistic regressions, likewise."""
    found = {}
    for row, views in LINES.items():
        for (name, d), split in parts.items():
            x = [torch.cat([p[view] for view in views], 1) for p in split]
            model = LogisticRegression(C=strength, max_iter=500)
            model.fit(x[0], split[0]["label"])
            found[row, name, d] = [
                torch.from_numpy(model.predict_proba(part)) for part in x[1:]
            ]
    return found


def choose(answers, parts):
    """For each row and language the setting with the highest validation score; its test answers."""
    kept, chosen = {}, {}
    for row, name in dict.fromkeys(key[:2] for key in next(iter(answers.values()))):
        of = [d for n, d in parts if n == name]
        mean = {
            h: np.mean(
                [
                    macro_f1(a[row, name, d][0], parts[name, d][1]["label"])
                    for d in of
                ]
            )
            for h, a in answers.items()
        }
        best = chosen[row, name] = max(mean, key=mean.get)
        kept |= {(row, name, d): answers[best][row, name, d][1] for d in of}
    return kept, chosen


test, chosen = choose({lr: trained(parts, NETWORKS, lr) for lr in RATES}, parts)
by_line, more = choose({c: fitted_lines(c) for c in PENALTIES}, parts)
test, chosen = test | by_line, chosen | more
for (name, d), (train, _, tweets) in parts.items():
    share = torch.bincount(train["label"], minlength=5) / len(train["label"])
    product = test["text", name, d] * test["picture", name, d] / share
    test["product", name, d] = product / product.sum(1, keepdim=True)
    test["law", name, d] = world.posterior(tweets, name)
scores = {}
for (row, name, d), answer in sorted(test.items(), key=lambda item: item[0][2]):
    found = macro_f1(answer, parts[name, d][2]["label"])
    scores.setdefault(row, {}).setdefault(name, []).append(found)

# %% tags=["hide-input"]
# Code of the table
ORDER = [
    "text",
    "picture",
    "second reading",
    "shuffled picture",
    "product",
    *LINES,
    "both",
    "law",
]
wide = pd.DataFrame(
    [
        {"method": row, "seed": d} | {n: scores[row][n][d] for n in LANGUAGES}
        for row in ORDER
        for d in range(seeds)
    ]
)
size = sum(
    p.numel()
    for p in LanguageDisparity.seeded(0, {"text": [12], "image": [12]}).parameters()
)
budgets = Budgets(
    "both",
    {row: Spent(steps, size, ("learning rate",), 4) for row in NETWORKS}
    | {"product": Spent(2 * steps, 2 * size, ("learning rate",), 4)}
    | {row: Spent(tuned=("penalty",), tries=4) for row in LINES},
)
table_over_seeds(
    wide,
    f"Macro-F1 on the test tweets by language; networks after {steps} steps. *law* is optimal in accuracy, which need not be so in macro-F1.",
    best=dict.fromkeys(LANGUAGES, "higher"),
    reference=["law"],
    digits=3,
    order=ORDER,
    budgets=budgets,
)


def say_chosen(row):
    """The chosen setting of each language, and how many are an end of the range."""
    settings = PENALTIES if row in LINES else RATES
    found = [chosen[row, name] for name in LANGUAGES]
    ends = sum(h in (min(settings), max(settings)) for h in found)
    listed = ", ".join(f"{n} {h:g}" for n, h in zip(LANGUAGES, found, strict=True))
    return f"- {row}: {listed}; {ends} of {len(found)} at an end of the range"


say(
    "**Chosen on validation tweets**\n\n"
    + "\n".join(say_chosen(row) for row in (*NETWORKS, *LINES))
)
record(
    scores={
        r: {n: round(float(np.mean(v)), 4) for n, v in by.items()}
        for r, by in scores.items()
    },
    budget=budgets.plain(),
)

# %% [markdown]
# ## Does each language gain, and does its gap close?
#
# These are two questions. First the scores: *both* against *text*, language by language.

# %%
TITLES = {
    "en": "English", "es": "Spanish", "pt": "Portuguese", "fr": "French", "zh": "Chinese", "hi": "Hindi",
}  # fmt: skip


def gains(row, name):
    return claimed(
        f"both-{row}-{name}",
        scores["both"][name],
        scores[row][name],
        direction="higher",
        better=f"{TITLES[name]} gains: {{ours}} with the picture, {{theirs}} from the {row} alone.",
        worse=f"{TITLES[name]} loses: {{ours}} with both, {{theirs}} from the {row} alone.",
        undecided=f"{TITLES[name]}: both ({{ours}}) and the {row} alone ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {gains('text', name)}" for name in LANGUAGES))

# %% [markdown]
# Then the gaps (4), without the picture and with it; with a second reading in its place; and the gaps of the two lines. The picture adds the same evidence to all languages, the second reading adds most to English. Where a gap in score is narrower with *second reading* all the same, this was no doing of a view without a language.

# %%
gaps = gap_report({row: scores[row] for row in ORDER})
others = [name for name in LANGUAGES if name != "en"]


def closes(row, against, name):
    return claimed(
        f"gap-{row.replace(' ', '-')}-{against.replace(' ', '-')}-{name}",
        gaps[row][name],
        gaps[against][name],
        direction="lower",
        better=f"{TITLES[name]}: the gap is narrower with *{row}*, {{ours}}, than with *{against}*, {{theirs}}.",
        worse=f"{TITLES[name]}: the gap is wider with *{row}*, {{ours}}, than with *{against}*, {{theirs}}.",
        undecided=f"{TITLES[name]}: the gaps with *{row}* ({{ours}}) and with *{against}* ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {closes('both', 'text', name)}" for name in others))
say("\n".join(f"- {closes('second reading', 'text', name)}" for name in others))
say(
    "\n".join(
        f"- {closes('line on both', 'line on text', name)}" for name in others
    )
)

# %% tags=["hide-input"]
# Code of the figure: gaps
frame = pd.DataFrame(
    [
        {
            "method": row,
            "language": TITLES[name],
            "seed": d,
            "gap to English": value,
        }
        for row in ("text", "second reading", "both", "picture")
        for name in others
        for d, value in enumerate(gaps[row][name])
    ]
)
middle = frame.groupby(["language", "method"])["gap to English"].mean()
show(
    bars(
        frame,
        "gap to English",
        panel="language",
        order=["text", "second reading", "both", "picture"],
        references={"no gap": 0.0},
    ),
    alt="Gap to English in macro-F1. "
    + " ".join(
        f"{TITLES[n]}: "
        + ", ".join(
            f"{row} {middle[TITLES[n], row]:+.3f}"
            for row in ("text", "second reading", "both", "picture")
        )
        + "."
        for n in others
    ),
    caption=f"Small dots are draws, the large dot is their mean with its 95 % interval. The panels have scales of their own. *Picture* has no gap, since it has no language; look up its score in the table. *Line on both*, which is not drawn, has a mean gap of {np.mean(gaps['line on both']['hi']):+.3f} in Hindi, beside {middle['Hindi', 'both']:+.3f} of *both*.",
    label="language-gaps",
)

# %% [markdown]
# *Picture* is the warning in this figure. It closes every gap to nothing, by construction, whatever its scores are. **A gap is no aim in itself**: report the scores with it.
#
# ## Was it the picture?
#
# Mean over the six languages, *both* against every row:

# %%
mean = {
    row: np.mean([by[n] for n in LANGUAGES], axis=0) for row, by in scores.items()
}


def against(row):
    return claimed(
        f"both-{row.replace(' ', '-')}",
        mean["both"],
        mean[row],
        direction="higher",
        better=f"*both* is ahead of *{row}*: {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of *both*: {{theirs}} against {{ours}}.",
        undecided=f"*both* ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


say("\n".join(f"- {against(row)}" for row in ORDER if row != "both"))
claim(
    "line-on-both-line-on-text",
    mean["line on both"],
    mean["line on text"],
    direction="higher",
    better="A line gains by the picture, too: {ours} on both against {theirs} on the text.",
    worse="A line loses by the picture: {ours} on both against {theirs} on the text.",
    undecided="A line on both ({ours}) and a line on the text ({theirs}) cannot be told apart.",
)
claim(
    "text-line-on-text",
    mean["text"],
    mean["line on text"],
    direction="higher",
    better="From the text alone the network is ahead of the line: {ours} against {theirs}.",
    worse="From the text alone the line is ahead of the network: {theirs} against {ours}.",
    undecided="From the text alone the network ({ours}) and the line ({theirs}) cannot be told apart.",
)
for name in ("en", "hi"):
    claim(
        f"both-picture-{name}",
        scores["both"][name],
        scores["picture"][name],
        direction="higher",
        better=f"In {TITLES[name]} the text adds to the picture: {{ours}} against {{theirs}} for the picture alone.",
        worse=f"In {TITLES[name]} the text does harm to the picture: {{ours}} against {{theirs}} for the picture alone.",
        undecided=f"In {TITLES[name]} both ({{ours}}) and the picture alone ({{theirs}}) cannot be told apart.",
    )
listed = ", ".join(
    f"{TITLES[n]} {alone[n]:.1f} and {alone[n] + picture:.1f}" for n in LANGUAGES
)
say(
    f"Evidence of the text alone and with the picture, mean over pairs of classes: {listed}. The picture adds {picture:.1f} everywhere."
)

# %% [markdown]
# *Line on both*, *product* and *both* see the same features, so what lies between them is their form and how they were fitted to 400 tweets, not what the tweets say. Between *both* and *second reading* it is the other way round: the network is the same, and the evidence differs, in size as well as in kind.
#
# ## How lost lines make a language
#
# The authors publish translations by people: a file of tweet ids, and for each language a file of texts, in which line $i$ belongs to id $i$ {cite}`language_disparity_repository`. We looked into three of them. There are 202 ids, but the Hindi file has 98 lines. It ends in the
# middle, at the tweet that is line 98 elsewhere, and nothing in it says so. In the Spanish file line 40 holds the text of id 41, as the French file shows, and line 41 is empty: a text is gone, and the number of lines is right.
#
# Code that pairs lines with ids by `zip` raises nothing in either case. The first stops at the shorter file. In the second a text has a stranger's label and picture; had the empty line been lost as well, so would all that follow.
#
# What would a file do that lost a line for good? We make one out of our world's *Spanish*: line 5 of each file of texts is lost, in training, validation and test, and the last tweet is dropped. Nothing about the language has changed.


# %%
def with_a_lost_line(tweets, line=4):
    """Texts from after the lost line move up; pictures and labels stay where they are."""
    count = len(tweets["label"])
    rows = [k for k in range(count) if k != line]
    moved = {k: tweets[k][rows] for k in ("text", "again")}
    return moved | {k: tweets[k][: count - 1] for k in ("image", "label")}


lost = {
    ("es", d): [with_a_lost_line(part) for part in parts["es", d]]
    for d in range(seeds)
}
answers, _ = choose({lr: trained(lost, ("text", "both"), lr) for lr in RATES}, lost)
broken = {
    row: {
        "en": scores[row]["en"],
        "es": [
            macro_f1(answers[row, "es", d], lost["es", d][2]["label"])
            for d in range(seeds)
        ],
    }
    for row in ("text", "both")
}
false_gap = gap_report(broken)
claim(
    "lost-line-makes-a-gap",
    false_gap["text"]["es"],
    gaps["text"]["es"],
    direction="higher",
    better="One lost line makes the gap of Spanish texts {ours}; it is {theirs} with the whole file.",
    worse="One lost line makes the gap of Spanish texts smaller, {ours}; it is {theirs} with the whole file.",
    undecided="The gap of Spanish texts with a lost line ({ours}) and with the whole file ({theirs}) cannot be told apart.",
)
claim(
    "picture-closes-a-false-gap",
    false_gap["both"]["es"],
    false_gap["text"]["es"],
    direction="lower",
    better="With pictures this false gap is narrower, {ours} against {theirs}: the table would say that pictures help a language, where they stand in for texts that belong to other tweets.",
    worse="With pictures this false gap is wider: {ours} against {theirs}.",
    undecided="This false gap with pictures ({ours}) and without ({theirs}) cannot be told apart.",
)
classes = {
    "whole file": [predicted_classes(test["text", "es", d]) for d in range(seeds)],
    "lost line": [
        predicted_classes(answers["text", "es", d]) for d in range(seeds)
    ],
}
say(
    "Classes that the text network names on the test tweets, of five, by draw: "
    + "; ".join(f"{k} {', '.join(map(str, v))}" for k, v in classes.items())
    + "."
)
alike = sum(n == 1 for n in classes["lost line"])
say(
    f"Where a line is missing, {alike} of {seeds} {'networks says' if alike == 1 else 'networks say'} one thing to all tweets, which is all that this count can find."
)
found = count_lines()
if found:
    say(
        "The files of the authors are here: "
        + ", ".join(
            f"{k} {n} {'line' if n == 1 else 'lines'}" for k, n in found.items()
        )
        + "."
    )
else:
    say(
        "The files of the authors are not here; `read_translations` of `mmlab.data.sets.translated_tweets` reads them. It refuses a file whose lines and ids differ in number, and warns of empty lines."
    )

# %% [markdown]
# The first remedy is one line, `assert len(ids) == len(texts)`, or `zip(..., strict=True)`. It finds the Hindi file and not the Spanish one, where two mistakes cancel. For that, count empty lines; or keep the id *in* the line.
#
# A second check is cheaper still, and finds something else: count the classes that a model names. A model that says one thing to all tweets has read nothing, and its macro-F1 alone does not tell you so. The lines above say in how many draws this check would have found the lost line. A network that learnt from moved lines may still name several classes, or all;
# so a count of 1 is a reason to look, and a higher one does not prove that lines and ids belong together.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} How much of a gap is closed (code)
# :label: language-closed
#
# You get four arrays with a score for each run: English and another language, from the text alone and with the picture. Return the mean gap without, the mean gap with, and the share of the mean gap that was closed.
# ```

# %% tags=["stub:closed"]
from mmlab.exercises.language_disparity import check_closed


def closed(english_text, other_text, english_both, other_both):
    return ...


check_closed(closed)

# %% [markdown]
# ```{solution-start} language-closed
# :class: dropdown
# ```


# %% tags=["solution:closed"]
def closed(english_text, other_text, english_both, other_both):
    before = (english_text - other_text).mean()
    after = (english_both - other_both).mean()
    return before, after, 1 - after / before


check_closed(closed)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A score that is none (compute)
# :label: language-degenerate
#
# In the authors' released notebooks {cite}`language_disparity_repository` the 955 test tweets (not the 202 that people translated) have classes with 235, 9, 126, 81 and 504 tweets, and the macro-F1 of Hindi is 0.14. What is, for a model that says the most frequent class to every tweet, (a) the F1 of that class, (b) the macro-F1 over the five classes, (c) the accuracy?
# ```

# %% tags=["stub:degenerate"]
from mmlab.exercises.language_disparity import check_degenerate

frequent = ...
macro = ...
right = ...

check_degenerate((frequent, macro, right))

# %% [markdown]
# ```{solution-start} language-degenerate
# :class: dropdown
# ```
#
# Its recall of that class is 1 and its precision the share $p$, so F1 is $2p/(1+p)$. All other classes have 0.

# %% tags=["solution:degenerate"]
p = 504 / (235 + 9 + 126 + 81 + 504)
frequent = 2 * p / (1 + p)
macro = frequent / 5
right = p

check_degenerate((frequent, macro, right))

# %% [markdown]
# The released number for Hindi is what such a model has, to two decimals. And the report printed with it has a recall of 1.00 for the most frequent class and of 0.00 for the four others {cite}`language_disparity_repository`: it *is* such a model. So the number says nothing about Hindi.
#
# ```{solution-end}
# ```
#
# ```{exercise} Hard: when more evidence widens a gap (derive)
# :label: language-wider
#
# Let (5) be the score. (a) Show that the same evidence $c$ for both languages narrows the gap. (b) A second reading has noise that is independent of the first, and the tweet's own vagueness is 0: then it doubles the evidence of each language. Show that the gap can widen, and
# for which $E_l < E_{\text{en}}$ it does so, in the limit of a small difference. Write the factor by which a small gap widens at evidence $E$.
# ```

# %% tags=["stub:widening"]
from mmlab.exercises.language_disparity import check_widening


def widening(evidence):
    return ...


check_widening(widening)

# %% [markdown]
# ```{solution-start} language-wider
# :class: dropdown
# ```
#
# (a) The derivative of (5) is $r'(E) = \varphi(\tfrac12\sqrt E)/(4\sqrt E)$, with $\varphi$ the normal density. Both factors fall with $E$, so $r$ is concave and $r(E_{\text{en}} + c) - r(E_l + c)$ falls with $c$.
#
# (b) For a small difference $\delta$ the gap before is $r'(E)\,\delta$, and after doubling $r'(2E)\cdot 2\delta$. Their ratio is
#
# $$\frac{2\,r'(2E)}{r'(E)} = \sqrt 2\, \frac{\varphi(\sqrt{E/2})}{\varphi(\sqrt{E}/2)} = \sqrt2\, e^{-E/4 + E/8} = \sqrt 2\, e^{-E/8},$$
#
# which is above 1 for $E < 4 \log 2$. Where texts tell little, two readings of them widen the gap; where they tell much, two readings narrow it.


# %% tags=["solution:widening"]
def widening(evidence):
    return 2**0.5 * np.exp(-evidence / 8)


check_widening(widening)

# %%
for evidence in (1.0, 4 * np.log(2), 5.0):
    near = [
        two_class_accuracy(k * evidence * 1.001) - two_class_accuracy(k * evidence)
        for k in (1, 2)
    ]
    say(
        f"At E = {evidence:.2f} a small gap is {near[1] / near[0]:.3f} times as wide after a second reading; the formula gives {widening(evidence):.3f}."
    )

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A model's gap went from 0.12 to 0.05. What else do you ask for?
# The scores. English may have lost, both may have gained, or the model may now look at something that has no language and little to say.
# ```
#
# ```{dropdown} Why is a network trained for each language, and not one for all?
# So it is in the paper's monolingual case, and so a gap has one cause here: the noise of the encoder. One network for all would add a second one, what it learns from other languages.
# ```
#
# ```{dropdown} Does a picture carry the same evidence everywhere in real life?
# Not surely. Pictures from some regions are rare in the data of picture encoders, and some pictures carry text, in a language. Then the picture's evidence has a gap of its own.
# ```
#
# ## In five lines
#
# - Late fusion puts the features of a frozen text encoder and a frozen picture encoder side by side, once for each language.
# - Equal evidence for all leaves the gap in evidence as it is, and narrows the gap in the accuracy of two equally frequent classes, because that curve bends.
# - A gap narrows when the weak gain more than the strong, or lose less, and is zero for who looks at no text: report the scores with it.
# - Put a second reading beside the picture: it is a second view that knows the language, and adds most where most was known.
# - Count lines against ids and classes against answers before you compare languages.
#
# ## Limits, and what to read next
#
# - The world's noise levels are made up, classes are normal clouds, and the picture is independent of the text given the class. Real pictures repeat what the text says, which leaves them less to add.
# - The authors' table of fused scores could not be checked, and no script of their fusion is published; none of its numbers is printed. The classes, English texts and pictures of the tweets are in CrisisMMD {cite}`alam2018crisismmd`, which is not part of this book.
# - Each row chose among four settings; steps and widths were not searched. Where the chosen one is an end of the range, a wider range might hold another; the list under the first table says how often that was so.
# - The second reading and the picture add different amounts of evidence. A control that adds just as much as the picture, and knows the language, was not run.
#
# [Missing modalities](missing_modalities.ipynb) asks what to do when a tweet has no picture; [MuMiN](mumin.ipynb) has claims in many languages, with splits that leak.

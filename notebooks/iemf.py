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
# # Inverse effectiveness: does the trick matter?
#
# **A paper adds five lines to a training loop and reports better numbers. How do you find out which of the five lines
# did it?**
#
# In the brain, two senses help each other most when each of them alone is weak: a voice in a noisy room gains more from
# seeing the lips than a voice in a quiet one. This is called *inverse effectiveness*. IEMF {cite}`iemf` builds a training
# trick from it: the weaker the unimodal classifiers are, the larger the update of the classifier that fuses them. The
# trick costs nothing, and the authors report that it helps nearly everywhere.
#
# This chapter is a lesson in controls. We build the trick exactly, take it apart, and put a dull rival beside each of its
# parts. You will learn to ask four questions of any such method: what else was switched on together with the trick? Would
# a constant have done? Does the optimiser even see it? And how many seeds stand behind the difference?
#
# You need PyTorch, and to know what a gradient step is. A first look at [fusion](late_fusion.ipynb) helps.

# %% tags=["parameters"]
profile = "cpu"
seeds = 5
steps = 200

# %%
from dataclasses import replace

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d

from mmlab import fit
from mmlab.compare.comparison import METRICS, paired_interval
from mmlab.compare.controls import controls
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.methods.iemf import IEMF, coefficient
from mmlab.viz import frames, record, say, show, table

metrics = {name: METRICS[name] for name in ("accuracy", "ECE")}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## The trick in one picture
#
# Each modality $m$ has an encoder with features $z_m$. A *fused* classifier reads all features side by side, and a *head*
# for each modality reads its own. After the forward pass, ask how sure each of them is of the truth. Let $p_{m,i}$ be the
# probability that head $m$ gives to the true class $y_i$ of item $i$,
#
# $$p_{m,i} = \operatorname{softmax}(W_m z_{m,i} + b_m)_{y_i}, \qquad s_m = \sum_{i=1}^{B} p_{m,i}, \tag{1}$$
#
# and $s_f$ the same for the fused classifier. The ratio
#
# $$r = \frac{\tfrac1M \sum_{m=1}^{M} s_m}{s_f} \tag{2}$$
#
# is small where the modalities are weak on their own and strong together. The coefficient
#
# $$\xi = 1 + \tanh(1 - r) \tag{3}$$
#
# multiplies the gradient of the fused classifier's parameters, and nothing else. (If an item lacks a modality, its mean
# in (2) runs over those it has: that is this package's choice, the paper has no missing modalities.)

# %% tags=["hide-input"]
ratios = torch.linspace(0, 2, 200)
figure = Figure(figsize=(5.4, 2.9), layout="constrained")
axes = figure.subplots()
axes.plot(ratios, coefficient(ratios), color="tab:blue")
axes.axhline(1, color="grey", lw=0.8, ls=":")
axes.axvline(1, color="grey", lw=0.8, ls=":")
axes.annotate("heads know nothing", (0, coefficient(ratios[0])), (0.2, 1.68))
axes.annotate("heads as good as the\nfused classifier", (1, 1), (1.06, 1.12))
axes.set(
    xlabel="r, heads against fused classifier", ylabel="ξ, factor on its gradient"
)
show(
    figure,
    alt=(
        f"Curve of ξ against r: it falls from {coefficient(ratios[0]):.2f} at r = 0 "
        f"through 1 at r = 1 to {coefficient(ratios[-1]):.2f} at r = 2."
    ),
    caption=(
        "The coefficient. As soon as fusion helps at all, the heads are less sure than "
        "the fused classifier, so r < 1 and the fused classifier is *sped up*."
    ),
)

# %% [markdown]
# The heads are trained too. The whole loss is the cross-entropy of the fused classifier plus that of every head,
#
# $$L = \mathrm{CE}(f) + \lambda \sum_{m=1}^{M} \mathrm{CE}(m), \tag{4}$$
#
# with $\lambda = 1$. Remember this line. The heads send gradients into the encoders, which is a classic aid to training
# {cite}`wang2020blending`, and it has nothing to do with $\xi$. In the authors' code, one switch turns on the coefficient,
# its noise, and the heads' losses {cite}`iemf_repository`.
#
# ## How to scale a gradient, and only that
#
# Multiplying a *term of the loss* by $\xi$ would change the encoders' gradients as well. So the package changes the
# gradient itself, on its way to the parameters of one module. That is an identity with another backward pass:
#
# ```python
# class Modulate(torch.autograd.Function):
#     def forward(ctx, parameter, factor):
#         ctx.factor = factor
#         return parameter.view_as(parameter)
#     def backward(ctx, gradient):
#         return ctx.factor * gradient, None
# ```
#
# {py:func}`~mmlab.nn.gradients.scale_gradients` does so for a module. Here is one step
# by hand, and the gradients with and without the trick.

# %%
method, batch = IEMF.demo()
for _ in range(60):  # a little training, so that the fused classifier is ahead
    method.zero_grad()
    method.loss(batch, generator())["loss"].backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter -= 0.1 * parameter.grad


def gradients(fixed):
    method.fixed = fixed
    method.zero_grad()
    report = method.loss(batch, generator())
    report["loss"].backward()
    method.after_backward()
    found = {name: p.grad.clone() for name, p in method.named_parameters()}
    return report, found


report, tricked = gradients(None)
plain_report, plain = gradients(1.0)
shares = {
    part: {
        "smallest": min(float((tricked[n] / plain[n]).nanmedian()) for n in names),
        "largest": max(float((tricked[n] / plain[n]).nanmedian()) for n in names),
    }
    for part in ("encoders", "heads", "fusion")
    if (names := [n for n in plain if n.startswith(part)])
}
table(
    pd.DataFrame(shares).T,
    f"Gradient with the trick over gradient without it; here ξ = {1 + torch.tanh(1 - report['ratio']):.3f}",
)
assert report["loss"] == plain_report["loss"]

# %% [markdown]
# ## What an optimiser makes of it
#
# **Gradient descent.** The step of a parameter is $-\eta\, g$. If $g$ is multiplied by a constant $\xi$, the step is
# $-(\xi\eta)\, g$. Momentum is linear in the gradients, so it does not change this. *A constant coefficient is a learning
# rate of the head, exactly.* A coefficient that hardly moves is a learning rate, nearly.
#
# **Adam** {cite}`kingma2015adam` divides the mean of the gradients by the root of the mean of their squares. Multiply all
# gradients by $\xi$, and both grow by $\xi$: nothing changes at all. Under Adam, only the *changes* of $\xi$ can be felt,
# and only until its averages have followed.
#
# Both statements can be checked to the last digits.


# %%
def descend(method, data, seed, rate=0.02, head=1.0, decay=5e-4, steps=steps):
    """Descent with momentum and one drop of the rate, as the authors train."""
    fused = list(method.fusion.parameters())
    known = {id(parameter) for parameter in fused}
    others = [p for p in method.parameters() if id(p) not in known]
    groups = [{"params": fused, "lr": rate * head}, {"params": others}]
    optimiser = torch.optim.SGD(
        groups, lr=rate, momentum=0.9, weight_decay=decay, foreach=True
    )
    drop = torch.optim.lr_scheduler.StepLR(optimiser, int(0.7 * steps))
    order, noise, trace = generator(seed), generator(1000 + seed), []
    method.train()
    for step in range(steps):
        method.progress = step / steps
        rows = torch.randint(len(data), (64,), generator=order)
        optimiser.zero_grad()
        report = method.loss(data.batch(rows), noise)
        report["loss"].backward()
        method.after_backward()
        optimiser.step()
        drop.step()
        trace.append(method.xi)
    return trace


def dial(intra, inter, items=2000, seed=0):
    return dependency_world(items, 4, intra, inter, seed=seed)


def dialled(**changes):
    torch.manual_seed(0)
    return IEMF({"x1": [4], "x2": [4]}, classes=2, width=16, **changes)


def weights(method):
    return torch.nn.utils.parameters_to_vector(method.parameters())


small = dial(0.6, 0.85).pairs
constant, rate_of_head, untouched = (
    dialled(fixed=1.4),
    dialled(fixed=1.0),
    dialled(fixed=1.0),
)
descend(constant, small, 0, decay=0, steps=60)
descend(rate_of_head, small, 0, head=1.4, decay=0, steps=60)
descend(untouched, small, 0, decay=0, steps=60)
adam = [dialled(fixed=value) for value in (1.4, 1.0)]
for each in adam:
    fit(each, small, steps=60, clip_norm=None, progress=False)
say(
    f"After 60 steps of descent, the weights under ξ = 1.4 and under a 1.4 times larger "
    f"rate of the head differ by at most "
    f"{(weights(constant) - weights(rate_of_head)).abs().max():.1e}; "
    f"from plain training they differ by up to "
    f"{(weights(constant) - weights(untouched)).abs().max():.2f}. "
    f"Under Adam, ξ = 1.4 and ξ = 1 differ by at most "
    f"{(weights(adam[0]) - weights(adam[1])).abs().max():.1e}."
)

# %% [markdown]
# So we train with descent and momentum, which gives the trick its chance. (A fourth fact: weight decay. With it, a larger
# rate also decays faster, and the two are equal only up to that.)
#
# ## What the authors report
#
# These are the numbers of the authors' README {cite}`iemf_repository`; we have not run them. The question to keep in
# mind: which of these rows has the heads' losses on *both* sides?

# %% tags=["hide-input"]
published = pd.DataFrame(
    [
        ("CREMA-D", "concatenation", 62.63, 63.44),
        ("CREMA-D", "MSLR", 64.11, 65.59),
        ("CREMA-D", "OGM-GE", 68.68, 71.10),
        ("CREMA-D", "LFM", 64.11, 63.98),
        ("Kinetics-Sounds", "concatenation", 51.58, 56.17),
        ("Kinetics-Sounds", "MSLR", 51.89, 55.86),
        ("Kinetics-Sounds", "OGM-GE", 57.63, 64.61),
        ("Kinetics-Sounds", "LFM", 55.28, 63.15),
        ("UrbanSound8K-AV", "concatenation", 97.90, 97.86),
        ("UrbanSound8K-AV", "MSLR", 97.79, 97.98),
        ("UrbanSound8K-AV", "OGM-GE", 97.60, 99.24),
        ("UrbanSound8K-AV", "LFM", 98.05, 98.63),
        ("AVQA", "question answering", 70.26, 71.36),
    ],
    columns=["data", "base method", "without", "with IEMF"],
)
published["gain"] = published["with IEMF"] - published["without"]
table(
    published.set_index("data"),
    "Accuracy in per cent, as reported in the authors' README, not reproduced here",
    digits=2,
)

# %% [markdown]
# Only the last row comes with a control: the README gives AVQA also with joint training, 70.71
# {cite}`iemf_repository`. That accounts for part of the gain.
#
# ## The experiment
#
# Three worlds, all offline and small.
#
# - **AV-MNIST-mini** at two signal-to-noise ratios: an image of a digit from which most of the energy was taken, and the
#   spectrogram of the same digit spoken in noise ({py:func}`~mmlab.data.sets.av_mnist_mini.av_mnist_mini`). Speech in noise is the very case
#   that inverse effectiveness is about. (Both are halved in size here, to save time.)
# - **The dial**, set to *inter*: two vectors, each of which alone says nothing about the label; only their agreement does
#   ({py:func}`~mmlab.data.worlds.dependency_world.dependency_world`). Unimodal cues cannot be weaker than that, so by the idea
#   of the paper the trick should help most here. The Bayes rate is known.
#
# The rows differ from one another in one thing at a time.
#
# | row | heads' losses | factor on the fused gradient |
# | --- | --- | --- |
# | joint | no | 1 |
# | joint, twice as long | no | 1, with twice the steps |
# | joint + heads | yes | 1 |
# | IEMF | yes | ξ of (3) |
# | IEMF + noise | yes | ξ, and Gaussian noise with the gradient's spread, as the authors add |
# | constant 1.2 | yes | a constant, chosen before any result was seen |
# | constant 2 | yes | 2: a fused classifier that learns twice as fast |
#
# {py:func}`~mmlab.compare.controls.controls` trains them from the same seeds on the same batches, adds chance, logistic
# regression and shuffled modalities, and measures the test set once, after the last step. Nothing is chosen on it.

# %%
variants = {
    "joint": {"unimodal_weight": 0.0, "fixed": 1.0},
    "joint, twice as long": {"unimodal_weight": 0.0, "fixed": 1.0},
    "joint + heads": {"fixed": 1.0},
    "IEMF": {},
    "IEMF + noise": {"noise": True},
    "constant 1.2": {"fixed": 1.2},
    "constant 2": {"fixed": 2.0},
}


def halved(data):
    return TensorData(
        {
            k: v if k == "label" else avg_pool2d(v, 2)
            for k, v in data.tensors.items()
        }
    )


def spoken(snr):
    world = av_mnist_mini(snr=snr, train=2000)
    return halved(world.train), halved(world.test)


loud, quiet = "AV-MNIST-mini, −9 dB", "AV-MNIST-mini, −3 dB"
inter = "dial, inter only"
worlds = {
    loud: spoken(-9.0),
    quiet: spoken(-3.0),
    inter: (dial(0.0, 0.95).pairs, dial(0.0, 0.95, 3000, seed=1).pairs),
}
traces = {name: [] for name in worlds}


def compare(name, rows, runs, rivals=()):
    train, test = worlds[name]
    names = sorted(set(train.tensors) - {"label"})
    shapes = {key: list(train.tensors[key].shape[1:]) for key in names}
    classes = int(train.tensors["label"].max()) + 1

    def builder(row):
        def build(seed):
            method = IEMF(shapes, classes=classes, width=32, **variants[row])
            method.steps = 2 * steps if "twice" in row else steps
            return method

        return build

    rate = 0.1 if name == inter else 0.02

    def training(method, data, seed):
        trace = descend(method, data, seed, rate, steps=method.steps)
        if method.fixed is None and not method.noise:
            traces[name].append(trace)

    return controls(
        {row: builder(row) for row in rows},
        "IEMF",
        train,
        test,
        modalities=names,
        training=training,
        seeds=range(runs),
        rivals=rivals,
        metrics=metrics,
    )


few = ["joint", "joint + heads", "IEMF", "constant 1.2"]
results = {
    loud: compare(loud, variants, seeds, ["logistic regression"]),
    quiet: compare(quiet, few, min(seeds, 3)),
    inter: compare(inter, few, min(seeds, 3), ["logistic regression"]),
}

# %% tags=["hide-input"]
order = [
    "chance",
    *[
        f"logistic regression{x}"
        for x in (", audio", ", image", ", x1", ", x2", "")
    ],
    *variants,
    *[f"IEMF, {x} shuffled" for x in ("audio", "image", "x1", "x2")],
]


def together(part):
    columns = {
        name: getattr(r, part)["accuracy"] * 100 for name, r in results.items()
    }
    frame = pd.DataFrame(columns)
    return frame.reindex([row for row in order if row in frame.index])


mean, spread = together("mean"), together("spread")
constants = [row for row in mean.index if row not in variants]
table(
    mean,
    f"Accuracy on the test set in per cent, mean ± standard deviation over seeds "
    f"({seeds} at −9 dB, {min(seeds, 3)} elsewhere). In italics: what does not compete. "
    f"The Bayes rate of the dial is {dial(0.0, 0.95).bayes_rate:.1%}.",
    spread=spread,
    best=dict.fromkeys(mean.columns, "higher"),
    reference=constants,
    digits=1,
)

networks = mean[loud].loc[list(variants)]
linear = mean.loc["logistic regression", loud]
word = "below" if networks.max() < linear else "above"
say(
    f"First, modesty. At −9 dB the best network has {networks.max():.1f} % and is {word} "
    f"logistic regression on the raw pixels of both modalities, {linear:.1f} %. The pair "
    "is drawn independently given the digit, so what the modalities say simply adds up, "
    "and a linear model has that built in. What follows compares the networks with one "
    "another."
)

# %% [markdown]
# Means hide the pairing: two rows of the same seed saw the same batches in the same order. So we subtract within a seed,
# and ask how sure the mean difference is. Above 0, IEMF is ahead of the row on the left.

# %% tags=["hide-input"]
figure = Figure(figsize=(8.2, 3.2), layout="constrained")
panels = figure.subplots(1, 3, sharey=True)
gaps = {
    name: r.differences().reindex([x for x in variants if x != "IEMF"]) * 100
    for name, r in results.items()
}
for axes, (name, gap) in zip(panels, gaps.items(), strict=True):
    for place, (_, row) in enumerate(gap.iterrows()):
        if row["difference"] == row["difference"]:
            axes.plot([row["low"], row["high"]], [place] * 2, color="tab:blue")
            axes.plot(row["difference"], place, "o", color="tab:blue")
    axes.axvline(0, color="grey", lw=0.8)
    axes.set(title=name, xlabel="IEMF − row, points")
    axes.set_yticks(range(len(gap)), gap.index)
    axes.set_ylim(-0.6, len(gap) - 0.4)
panels[0].invert_yaxis()
show(
    figure,
    alt=" ".join(
        f"{name}: "
        + ", ".join(
            f"IEMF minus {row} {x['difference']:+.1f} "
            f"({x['low']:+.1f} to {x['high']:+.1f})"
            for row, x in gap.dropna().iterrows()
        )
        + "."
        for name, gap in gaps.items()
    ),
    caption=(
        "Paired differences in accuracy and their 95 % intervals over seeds. A row whose "
        "interval holds 0 cannot be told from IEMF. Not every row was run in every world."
    ),
)


def verdict(name, row):
    x = gaps[name].loc[row]
    word = "ahead" if x["low"] > 0 else "behind" if x["high"] < 0 else "level"
    return f"{word} ({x['difference']:+.1f} points, {x['low']:+.1f} to {x['high']:+.1f})"


say(
    "**What the differences say of IEMF.**\n\n"
    + "\n".join(
        f"- *{name}*: against joint training it is {verdict(name, 'joint')}; against the "
        f"same losses without the coefficient, {verdict(name, 'joint + heads')}; against "
        f"a constant, {verdict(name, 'constant 1.2')}."
        for name in results
    )
    + "\n\nAnd against a fused classifier that simply learns twice as fast, at −9 dB, "
    f"it is {verdict(loud, 'constant 2')}."
)
record(
    accuracy={name: mean[name].dropna().round(2).to_dict() for name in results},
    iemf_minus={
        name: gap["difference"].dropna().round(2).to_dict()
        for name, gap in gaps.items()
    },
)

# %% [markdown]
# A paper that compares IEMF with *joint* reports the first of these differences, and writes that the trick works. What
# works is the line below it in the table: the heads' losses. Ask the same of the row *twice as long*: part of what the
# heads give is that the encoders learn faster.
#
# In the dial the heads have nothing to learn, so there the same losses cannot help. And that is the world with the weakest
# unimodal cues of all, where inverse effectiveness should matter most.
#
# ## How many seeds does a claim need?
#
# Turn the knob, and watch which rows seem to be beaten.

# %% tags=["hide-input"]
scores = results[loud].scores["accuracy"].unstack("seed")[list(range(seeds))] * 100
rivals = [row for row in variants if row != "IEMF"]
edge = float((scores.loc["IEMF"] - scores.loc[rivals]).abs().max().max()) + 1


def paired(count):
    pairs = {row: (scores.loc["IEMF"] - scores.loc[row])[:count] for row in rivals}
    return {row: (list(p), *paired_interval(list(p))) for row, p in pairs.items()}


def draw_seeds(count):
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    for place, (points, low, high) in enumerate(paired(count).values()):
        if count > 1:
            axes.plot(
                [low, high], [place, place], color="tab:blue", lw=5, alpha=0.3
            )
        axes.plot(points, [place] * count, "o", color="tab:blue", ms=4)
        axes.plot(sum(points) / count, place, "|", color="black", ms=14)
    axes.axvline(0, color="grey", lw=0.8)
    axes.set_yticks(range(len(rivals)), rivals)
    axes.invert_yaxis()
    axes.set(xlabel="IEMF − row, points of accuracy", xlim=(-edge, edge))
    return figure


def describe_seeds(count):
    parts = [
        f"{row} {sum(p) / count:+.1f}" + (f" ({a:+.1f} to {b:+.1f})" * (count > 1))
        for row, (p, a, b) in paired(count).items()
    ]
    return f"IEMF minus each row with {count} seed(s): " + ", ".join(parts) + "."


frames(
    {"seeds used": list(range(1, seeds + 1))},
    draw=draw_seeds,
    alt=describe_seeds,
    caption=(
        "AV-MNIST-mini at −9 dB. Dots: seeds. Bar: 95 % interval of the mean (it may "
        "leave the picture). With one seed there is no interval, and every row looks "
        "beaten or unbeaten by chance."
    ),
    start={"seeds used": 1},
)

# %% [markdown]
# ## Where the coefficient is
#
# Inverse effectiveness in the brain is a matter of single stimuli: *this* word was mumbled, so look at the lips. The
# coefficient (3) is computed from sums over the batch. It is one number per step, and cannot tell a mumbled word from a
# clear one. And once the first steps are over, a sum over a batch hardly moves.

# %% tags=["hide-input"]
figure = Figure(figsize=(6.4, 2.8), layout="constrained")
axes = figure.subplots()
for name, runs in traces.items():
    curve = torch.tensor(runs).mean(0)
    smooth = curve[: len(curve) // 10 * 10].view(-1, 10).mean(1)
    axes.plot(torch.arange(len(smooth)) * 10 + 5, smooth, label=name)
axes.set(xlabel="step", ylabel="ξ")
axes.axhline(1, color="grey", lw=0.8, ls=":")
axes.legend(fontsize=8)
later = {
    name: torch.tensor(runs)[:, len(runs[0]) // 2 :]
    for name, runs in traces.items()
}
said = "; ".join(
    f"{name}: mean {x.mean():.2f}, standard deviation {x.std():.2f}"
    for name, x in later.items()
)
lowest = {name: torch.tensor(runs).mean(0).min() for name, runs in traces.items()}
show(
    figure,
    alt="ξ against the step in three worlds. Its lowest values are "
    + ", ".join(f"{x:.2f} ({name})" for name, x in lowest.items())
    + f". Over the second half: {said}.",
    caption=(
        "The coefficient, mean over seeds and over ten steps. It starts at 1, where "
        "nobody knows anything. Where it is below the dotted line, the heads learn "
        "faster than the fused classifier, and the trick slows the one that is behind. "
        "Later it settles at a level that depends on the world."
    ),
)
say(
    f"Over the second half of the training, ξ has settled. {said}. A number that hardly "
    "changes is a learning rate, by the section on optimisers."
)

# %% [markdown]
# ## Under Adam
#
# Most people would try the trick with Adam. Here are the same losses with and without the coefficient, trained by
# {py:func}`mmlab.fit`, which uses AdamW.

# %%
train, test = worlds[loud]
shapes = {"audio": [1, 16, 16], "image": [1, 14, 14]}
under_adam = controls(
    {
        row: lambda seed, row=row: IEMF(shapes, width=32, **variants[row])
        for row in ("IEMF", "joint + heads")
    },
    "IEMF",
    train,
    test,
    modalities=["audio", "image"],
    training={"steps": steps, "lr": 2e-3},
    seeds=range(min(seeds, 3)),
    rivals=(),
    metrics=metrics,
)
adams = under_adam.differences().loc["joint + heads"] * 100
say(
    f"Under AdamW: IEMF {under_adam.mean.loc['IEMF', 'accuracy']:.1%}, the same without "
    f"the coefficient {under_adam.mean.loc['joint + heads', 'accuracy']:.1%}; difference "
    f"{adams['difference']:+.1f} points ({adams['low']:+.1f} to {adams['high']:+.1f})."
)

# %% [markdown]
# ## When a modality is missing, noisy, or the classifier too sure
#
# The idea of the paper is about weak cues, so perhaps the gain shows when cues are weak *at test*. The trained rows are
# measured again: without any audio, without any image, with noise added to the audio. An absent modality is zero in the
# concatenation, for which none of these rows was trained. ECE is the expected calibration error: how far the stated
# confidence is from the share of right answers.

# %% tags=["hide-input"]
items = len(test)
nothing = torch.zeros(items, dtype=torch.bool)
hiss = 1.5 * torch.randn(test.tensors["audio"].shape, generator=generator(7))
conditions = {
    "as trained": test,
    "no audio": TensorData({**test.tensors, "audio_present": nothing}),
    "no image": TensorData({**test.tensors, "image_present": nothing}),
    "noisy audio": TensorData(
        {**test.tensors, "audio": test.tensors["audio"] + hiss}
    ),
}
networks = {row: results[loud].predictors[row] for row in variants}
networks = replace(results[loud], predictors=networks)
tested = {name: networks.on(data) for name, data in conditions.items()}
rows = list(variants)
robust = pd.DataFrame(
    {name: r.mean.loc[rows, "accuracy"] * 100 for name, r in tested.items()}
)
robust["ECE"] = tested["as trained"].mean.loc[rows, "ECE"] * 100
robust["ECE, noisy audio"] = tested["noisy audio"].mean.loc[rows, "ECE"] * 100
robust_spread = pd.DataFrame(
    {name: r.spread.loc[rows, "accuracy"] * 100 for name, r in tested.items()}
)
robust_spread["ECE"] = tested["as trained"].spread.loc[rows, "ECE"] * 100
robust_spread["ECE, noisy audio"] = (
    tested["noisy audio"].spread.loc[rows, "ECE"] * 100
)
table(
    robust,
    f"AV-MNIST-mini at −9 dB: accuracy and calibration error in per cent, mean ± "
    f"standard deviation over {seeds} seeds",
    spread=robust_spread,
    best={k: "lower" if "ECE" in k else "higher" for k in robust.columns},
    digits=1,
)
off = {
    name: (r.differences() * 100).loc["joint + heads"] for name, r in tested.items()
}
say(
    "IEMF minus the same losses without the coefficient: "
    + ", ".join(
        f"{name} {x['difference']:+.1f} ({x['low']:+.1f} to {x['high']:+.1f})"
        for name, x in off.items()
    )
    + " points. (Four 95 % intervals are four chances to exclude 0 by luck.)"
)
record(
    missing={
        name: robust[name].round(2).to_dict() for name in ("no audio", "no image")
    },
    ece=robust["ECE"].round(2).to_dict(),
    coefficient={name: float(x.mean()) for name, x in later.items()},
)

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} The coefficient from logits (code)
# :label: iemf-xi
#
# Write ξ of (3). You get the logits of the heads, (M, B, K), those of the fused classifier, (B, K), and the labels, (B,).
# ```

# %% tags=["stub:xi"]
from mmlab.exercises.iemf import check_xi


def xi(unimodal, fused, label):
    return ...


check_xi(xi)

# %% [markdown]
# ```{solution-start} iemf-xi
# :class: dropdown
# ```


# %% tags=["solution:xi"]
def xi(unimodal, fused, label):
    items = torch.arange(len(label))
    heads = unimodal.softmax(-1)[:, items, label]  # (M, B), Eq. (1)
    both = fused.softmax(-1)[items, label]  # (B,)
    r = heads.mean(0).sum() / both.sum()
    return 1 + torch.tanh(1 - r)


check_xi(xi)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A constant in two optimisers (compute)
# :label: iemf-rates
#
# Everything is trained at a learning rate of 0.05, without weight decay, and the fused classifier's gradient is multiplied by a constant 1.36. (a) At which
# learning rate of the fused classifier does gradient descent take the same steps without the constant? (b) By which factor does the first step of Adam
# become longer, if its ε is negligible?
# ```

# %% tags=["stub:rates"]
from mmlab.exercises.iemf import check_rates

rate_of_descent = ...
factor_of_adam = ...

check_rates((rate_of_descent, factor_of_adam))

# %% [markdown]
# ```{solution-start} iemf-rates
# :class: dropdown
# ```

# %% tags=["solution:rates"]
gradient = torch.tensor(0.3)  # any number will do
rate_of_descent = 0.05 * (1.36 * gradient) / gradient


def first_step(
    g,
):  # the first moments of Adam, corrected for their start, are g and g²
    return g / g.square().sqrt()


factor_of_adam = first_step(1.36 * gradient) / first_step(gradient)

check_rates((rate_of_descent, factor_of_adam))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Seeds for a tenth of a point (think)
# :label: iemf-seeds
#
# Suppose the coefficient truly gained a tenth of a point over the same losses without it. How many seeds would it take until the interval of the mean
# difference excludes 0? Use the spread of the paired differences above. What does pairing buy?
# ```
#
# ```{solution-start} iemf-seeds
# :class: dropdown
# ```

# %%
paired_spread = (scores.loc["IEMF"] - scores.loc["joint + heads"]).std()
unpaired_spread = (
    scores.loc["IEMF"].var() + scores.loc["joint + heads"].var()
) ** 0.5
needed = [(1.96 * s / 0.1) ** 2 for s in (paired_spread, unpaired_spread)]
say(
    f"The paired differences have a standard deviation of {paired_spread:.2f} points. The "
    f"half-width of the interval is about two of them over the root of the number of "
    f"seeds, so about **{needed[0]:.0f} seeds**. Without pairing the spread is "
    f"{unpaired_spread:.2f} points, and it takes about {needed[1]:.0f}. A tenth of a "
    "point in a paper with one or three seeds is no result, whichever sign it has. And "
    "seeds are not the whole: another draw of people would move all rows further."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does the value of the loss not depend on ξ?
# The forward pass is the identity, whatever the factor is. Only the backward pass of the fused classifier's parameters changes. So the loss cannot be used
# to see whether the trick is on: look at the gradients.
# ```
#
# ```{dropdown} Why not multiply the fused cross-entropy in (4) by ξ instead?
# Then the encoders' gradients from that term grow by ξ too, and the balance between fused and unimodal losses shifts: another method. With Adam, that
# one would be felt.
# ```
#
# ```{dropdown} Can ξ be below 1?
# Yes: if the heads are surer of the truth than the fused classifier, r is above 1. That happens early in training, when heads learn faster, and
# for overfitted heads. Then the fused classifier is slowed down just when it is behind.
# ```
#
# ```{dropdown} Somebody shows you a gain from 64.1 to 65.6 on one data set. What do you ask?
# What else the switch turns on; the spread over seeds; whether a constant, or another learning rate, was tried with the same care; and on which data the epoch was
# chosen.
# ```
#
# ## Limits, and what to read next
#
# - The networks are small and so are the worlds. The comparison says what the trick does *here*, and what must be asked *there*. It does not
#   refute the numbers on other data; it shows that they cannot be attributed to the coefficient without the missing control.
# - The fused classifier here has a hidden layer; the authors' is one linear layer.
# - Seeds vary the start, the batches and the noise, on one training set and one test set.
# - The authors switch the trick on late on CREMA-D. `start` and `end` of {py:class}`~mmlab.methods.iemf.IEMF` do this; we left it on throughout.
#
# Next: [OGM-GE](ogm_ge.ipynb) scales the gradients of the encoders, from a theory of why modalities compete. {cite:t}`wang2020blending` is the classic on
# unimodal losses in joint training. {cite:t}`kontras2024competition` compare many such methods with ensembles.

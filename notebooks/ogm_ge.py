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
# # OGM-GE: modalities that compete
#
# **Two modalities are trained together. Why does one of them learn less than it would alone, and what is the cheapest
# cure?**
#
# A network that sees more should do no worse. Yet joint training often ends with an encoder that is worse than the same
# encoder trained by itself {cite}`wang2020blending,huang2022competition`. OGM-GE {cite}`ogm_ge` watches during training
# which modality is ahead, and slows its encoder down. The paper reports large gains on several data sets.
#
# This chapter derives the competition from two lines of calculus, builds the cure, measures both, and puts four dull cures
# beside it. You need PyTorch and the chain rule.

# %% tags=["parameters"]
profile = "cpu"
seeds = 5
steps = 250
alpha = 0.5

# %%
import math
from dataclasses import replace

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d

from mmlab.compare.comparison import METRICS, paired_interval
from mmlab.compare.controls import controls
from mmlab.data.sets.av_mnist_mini import av_mnist_mini
from mmlab.data.tensors import TensorData
from mmlab.methods.ogm_ge import OGMGE, modulation
from mmlab.viz import frames, record, say, show, table

metrics = {name: METRICS[name] for name in ("accuracy", "ECE")}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## Why the weaker modality stops learning
#
# A linear classifier on concatenated features is a sum, $f = \sum_m W_m z_m + b$. With cross-entropy, the gradient that
# reaches the encoder of modality $m$ is
#
# $$\frac{\partial L}{\partial z_m} = W_m^\top\,(p - y),$$
#
# where $p$ is the softmax of $f$ and $y$ the one-hot label. The second factor is *the same for all modalities*: the
# residual of the sum. As soon as one modality alone fits the training items, $p \approx y$, the residual is gone, and every
# encoder stops, whatever it has learned by then.
#
# How far behind is the weaker one at that moment? Take the smallest model that has an encoder: the label is
# $y = \pm 1$, modality $m$ shows $x_m = a_m y$ with strength $a_m$, its encoder multiplies by $u_m$, its part of the
# classifier by $v_m$. So the margin is $f = \sum_m a_m u_m v_m$, and descent on the logistic loss in continuous time gives
#
# $$\dot u_m = a_m v_m\,\sigma(-f), \qquad \dot v_m = a_m u_m\,\sigma(-f).$$
#
# Start all weights at $\varepsilon$. Then $u_m = v_m$ forever, and with $G(t) = \int_0^t \sigma(-f)$ the solution is
# $u_m = \varepsilon\, e^{a_m G}$. Eliminate $G$ between a leader 1 and a follower 2:
#
# $$\frac{u_2}{\varepsilon} = \left(\frac{u_1}{\varepsilon}\right)^{a_2 / a_1}. \qquad \text{(the follower's law)}$$
#
# A modality of half the strength reaches not half the weight, but the *square root* of the growth. Small differences in
# strength become large differences in what is learned, and the smaller the start, the larger. Alone, the follower would
# have kept the residual to itself, and got there a little later.
#
# Now slow the leader's *encoder* by a factor $k$, and leave the classifier alone, as OGM does: $\dot u_1 = k\,a_1 v_1
# \sigma(-f)$. Both of its weights then grow at the rate $\sqrt{k}\,a_1$, the geometric mean of its two layers. So the
# race is even if $\sqrt k\, a_1 = a_2$: a *constant* $k = (a_2 / a_1)^2$ does it in this toy. Keep that in mind.


# %%
def race(strength, k=1.0, seen=(1.0, 1.0), start=0.03, count=1500, rate=0.02):
    """Contributions a·u·v of a leader of strength 1 and a follower, by step."""
    a, seen = torch.tensor([1.0, strength]), torch.tensor(seen)
    slow = torch.tensor([k, 1.0])
    u, v = torch.full((2, 2), start)
    path = []
    for _ in range(count):
        path.append(a * u * v)
        residual = torch.sigmoid(-(seen * a * u * v).sum())
        push = rate * seen * a * residual
        u, v = u + slow * push * v, v + push * u
    return torch.stack(path), u


_, reached = race(0.5)
say(
    f"The follower's law: a modality of half the strength should stand at "
    f"{0.03 * (float(reached[0]) / 0.03) ** 0.5:.3f} when the leader's weight is "
    f"{reached[0]:.3f}; simulated, it stands at {reached[1]:.3f}."
)


# %% tags=["hide-input"]
def draw_race(strength, k):
    joint, alone = race(strength, k)[0], race(strength, 1.0, (0.0, 1.0))[0]
    figure = Figure(figsize=(6.6, 2.7), layout="constrained")
    axes = figure.subplots()
    axes.plot(joint[:, 0], color="tab:red", label="leader, joint")
    axes.plot(joint[:, 1], color="tab:blue", label="follower, joint")
    axes.plot(alone[:, 1], color="tab:blue", ls="--", label="follower, alone")
    axes.set(xlabel="step", ylabel="contribution a·u·v", ylim=(0, 5.5))
    axes.legend(fontsize=8, loc="upper left")
    return figure


def describe_race(strength, k):
    joint, alone = race(strength, k)[0][-1], race(strength, 1.0, (0.0, 1.0))[0][-1]
    return (
        f"Follower of strength {strength}, leader's encoder at k = {k}: after 1500 steps "
        f"the leader contributes {joint[0]:.2f} and the follower {joint[1]:.2f}; alone "
        f"the follower would contribute {alone[1]:.2f}."
    )


frames(
    {"strength of the follower": [0.3, 0.6, 0.9, 1.0], "k": [1.0, 0.36, 0.09]},
    draw=draw_race,
    alt=describe_race,
    caption=(
        "The toy race: what each modality contributes to the margin. Turn the strength: "
        "near 1 the two share, a little below it the leader takes nearly all. Then turn "
        "k: the race is even where k is the square of the strength, and tips over below."
    ),
    start={"strength of the follower": 0.6},
)

# %% [markdown]
# ## The cure
#
# OGM needs to know who leads. The classifier is a sum, so each modality has *its own logits*, with its share of the bias,
#
# $$f_m = W_m z_m + \frac{b}{M}, \qquad \sum_m f_m = f, \tag{1}$$
#
# and a score: the mean probability that its own logits give to the truth, over the items of the batch that have it,
#
# $$s_m = \frac1B \sum_{i=1}^{B} \operatorname{softmax}(f_{m,i})_{y_i}. \tag{2}$$
#
# The lead of a modality is its score over that of the other. The paper has two modalities; asked about more, the authors
# suggest to average pairwise ratios {cite}`ogm_ge_repository`. We divide by the mean of the others, which is the same for
# two:
#
# $$\rho_m = \frac{s_m}{\frac{1}{M-1}\sum_{j \ne m} s_j}. \tag{3}$$
#
# Whoever is ahead gets a smaller gradient in its encoder,
#
# $$k_m = \begin{cases} 1 - \tanh(\alpha\,\rho_m) & \rho_m > 1 \\ 1 & \text{otherwise} \end{cases} \tag{4}$$
#
# and to make up for the lost randomness of the gradient, noise is added (*generalisation enhancement*, GE),
#
# $$g_m \leftarrow k_m\, g_m + \epsilon, \qquad \epsilon \sim \mathcal N(0, \sigma_{g}^2), \tag{5}$$
#
# for every parameter tensor, where $\sigma_g$ is the standard deviation over the entries of its gradient. This is all,
# and it runs for the first half of the training. The heart of the method is three lines:
#
# ```python
# method.loss(batch, rng)["loss"].backward()   # as in plain joint training
# k = modulation(discrepancy(scores), alpha)   # measure
# scale_gradients(encoder[m], k[m], noise)     # scale
# optimiser.step()
# ```
#
# {py:func}`~mmlab.nn.gradients.scale_gradients` changes the gradients that the encoder's parameters hold, between the backward
# pass and the step.

# %% tags=["hide-input"]
leads = torch.linspace(0.5, 3, 501)
figure = Figure(figsize=(5.6, 2.8), layout="constrained")
axes = figure.subplots()
for value in (0.1, 0.5, 1.0):
    k = modulation(leads, value)
    behind = leads <= 1
    (line,) = axes.plot(leads[~behind], k[~behind], label=f"α = {value}")
    axes.plot(leads[behind], k[behind], color=line.get_color())
axes.set(xlabel="ρ, lead over the other", ylabel="k", ylim=(0, 1.05))
axes.legend(fontsize=8)
jumps = {value: math.tanh(value) for value in (0.1, 0.5, 1.0)}
show(
    figure,
    alt="k against ρ: it is 1 up to ρ = 1 and drops there by "
    + ", ".join(f"{drop:.2f} (α = {value})" for value, drop in jumps.items())
    + ", then falls towards 0.",
    caption=(
        "The coefficient jumps where the modalities are *equal*. With a large α, two "
        "equal encoders take turns at being nearly frozen."
    ),
)

# %% [markdown]
# ## What goes wrong in practice
#
# Reading the authors' code and its issue threads {cite}`ogm_ge_repository` shows what a user of the method should know.
#
# 1. **The jump.** At $\rho = 1$ the coefficient drops by $\tanh\alpha$ (the figure). Nothing in the idea asks for that.
# 2. **The noise does not restore the variance.** The gradient's part shrinks to $k^2$ of its variance, and the noise adds
#    a full one. It also goes to the encoder that is *not* slowed down. One of the exercises works this out.
# 3. **The optimiser.** Adam {cite}`kingma2015adam` divides by the size of the gradient. A factor that changes slowly is
#    divided out again. The paper uses descent with momentum, and so do we.
# 4. **Which parameters.** The code modulates the weights of convolutions only, and leaves the encoders' normalisation and
#    biases. Copied to a network without convolutions, it silently does nothing. Ours modulates every parameter of an encoder.
# 5. **The setting.** α is a required argument without a default, and the values behind the tables are asked for in a thread.
# 6. **The selection.** The code keeps the epoch that is best *on the test set*; there is no validation split. And a later
#    user found the same actors in training and test of the CREMA-D split in use {cite}`agm_repository`.
#
# The tests of this package pin 1, 2 and 4. Our chapter uses the last step of every run, and chose α on the validation split.
#
# ## The experiment
#
# AV-MNIST-mini with a *clear* image and speech in noise: this time the image keeps most of its energy, so that it leads
# from the first step. Both are halved in size, to save time. The rows:
#
# | row | what it is |
# | --- | --- |
# | joint | one classifier on both, trained plainly |
# | OGM | (1) to (4) |
# | OGM-GE | (1) to (5) |
# | constant k | the image's encoder at a constant share of the learning rate: the toy's advice |
# | joint + own losses | the cross-entropies of the modalities' own logits (1) are added to the loss |
# | audio alone, image alone | each modality trained by itself |
# | two models averaged | the mean of the probabilities of these two |
# | two models multiplied | their product, renormalised |
#
# In one thread a user suggests *joint + own losses* to the authors; they agree that it could help, and did not consider it
# because of its cost {cite}`ogm_ge_repository`. With a classifier that is a sum, the cost is a softmax.

# %%
world = av_mnist_mini(snr=-9.0, energy=0.6, train=2000)


def halved(data):
    return TensorData(
        {
            k: v if k == "label" else avg_pool2d(v, 2)
            for k, v in data.tensors.items()
        }
    )


train, test = halved(world.train), halved(world.test)
shapes = {name: list(train.tensors[name].shape[1:]) for name in ("audio", "image")}
traces = {"OGM": [], "OGM-GE": [], "joint": []}
plain = {"alpha": 0.0, "noise": False}
variants = {
    "joint": plain,
    "OGM": {"alpha": alpha, "noise": False},
    "OGM-GE": {"alpha": alpha},
    "constant k": {"fixed": {"image": 0.3}, "noise": False, "end": 1.0},
    "joint + own losses": {**plain, "unimodal_weight": 1.0},
    "audio alone": plain,
    "image alone": plain,
}


def builder(row):
    only = row.removesuffix(" alone")
    seen = {only: shapes[only]} if only in shapes else shapes

    def build(seed):
        method = OGMGE(seen, width=32, **variants[row])
        method.trace = traces.get(row, [])
        return method

    return build


def descend(method, data, seed):
    """Descent with momentum and one drop of the rate; the score and k of each step."""
    optimiser = torch.optim.SGD(
        method.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4, foreach=True
    )
    drop = torch.optim.lr_scheduler.StepLR(optimiser, int(0.7 * steps))
    order, noise, path = generator(seed), generator(1000 + seed), []
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
        path.append(
            {key: float(value.detach()) for key, value in report.items()}
            | {f"k {name}": k for name, k in method.k.items()}
        )
    method.trace.append(path)


trained = controls(
    {row: builder(row) for row in variants},
    "OGM-GE",
    train,
    test,
    modalities=["audio", "image"],
    training=descend,
    seeds=range(seeds),
    rivals=["logistic regression"],
    metrics=metrics,
)


def combined(pool):
    def one(seed):
        parts = [trained.predictors[f"{name} alone"][seed] for name in shapes]
        return lambda batch: pool([part(batch) for part in parts])

    return {seed: one(seed) for seed in range(seeds)}


def product(parts):
    together = parts[0] * parts[1]
    return together / together.sum(1, keepdim=True)


predictors = {
    **trained.predictors,
    "two models averaged": combined(lambda parts: sum(parts) / 2),
    "two models multiplied": combined(product),
}
results = replace(trained, predictors=predictors).on(test)

# %% [markdown]
# How good is each *encoder*? Freeze it, and fit a linear classifier on its features: a **probe**. What the joint encoder
# lost against the one trained alone is the competition, in points.


# %%
def probe(method, name):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    seen, new = (method.embed(data.tensors)[name].numpy() for data in (train, test))
    model.fit(seen, train.tensors["label"].numpy())
    return 100 * model.score(new, test.tensors["label"].numpy())


probed = {
    (row, seed, name): probe(method, name)
    for row in variants
    for seed, method in trained.trained[row].items()
    for name in method.encoders
}
probes = pd.Series(probed).rename_axis(["row", "seed", "probe"]).unstack("probe")
probes.columns = [f"{name} encoder, probed" for name in probes.columns]
names = [
    "chance",
    "logistic regression, audio",
    "logistic regression, image",
    "logistic regression",
    *variants,
    "two models averaged",
    "two models multiplied",
    "OGM-GE, audio shuffled",
    "OGM-GE, image shuffled",
]
by_row = probes.groupby(level="row")
heard = probes["audio encoder, probed"].unstack("seed")
restored = paired_interval(list(heard.loc["OGM-GE"] - heard.loc["joint"]))
shown = pd.concat(
    [results.mean[["accuracy", "ECE"]] * 100, by_row.mean()], axis=1
).loc[names]
shown_spread = pd.concat(
    [results.spread[["accuracy", "ECE"]] * 100, by_row.std()], axis=1
).loc[names]

# %% tags=["hide-input"]
judged = {"accuracy": "higher", "ECE": "lower"}
judged |= dict.fromkeys(probes.columns, "higher")
table(
    shown,
    f"Test set, per cent, mean ± standard deviation over {seeds} seeds; ECE is the "
    "expected calibration error. In italics: rows that do not compete.",
    spread=shown_spread,
    best=judged,
    reference=[
        n for n in names if n.split(",")[0] in ("chance", "logistic regression")
    ]
    + [n for n in names if n.endswith("shuffled")],
    digits=1,
)
accuracy = shown["accuracy"]
weak = shown["audio encoder, probed"]
gaps = results.differences() * 100
networks = [*variants, "two models averaged", "two models multiplied"]


def versus(row):
    x = gaps.loc[row]
    word = (
        "ahead of" if x["low"] > 0 else "behind" if x["high"] < 0 else "level with"
    )
    return f"{word} *{row}* ({x['difference']:+.1f}, {x['low']:+.1f} to {x['high']:+.1f})"


say(
    f"**The competition is real.** Trained alone, the audio encoder has a probe of "
    f"{weak['audio alone']:.1f} %; trained jointly, {weak['joint']:.1f} %. OGM brings it to "
    f"{weak['OGM']:.1f} %, OGM-GE to {weak['OGM-GE']:.1f} % (OGM-GE minus joint: "
    f"{restored[0]:+.1f} to {restored[1]:+.1f} points), the own losses to "
    f"{weak['joint + own losses']:.1f} %.\n\n"
    f"**Who wins.** Of all networks, *{accuracy[networks].idxmax()}* "
    f"({accuracy[networks].max():.1f} %). In accuracy, OGM-GE is "
    + "; ".join(versus(row) for row in networks if row != "OGM-GE")
    + " (points, 95 % interval over seeds). "
    f"OGM without the noise has {accuracy['OGM']:.1f} %. Logistic regression on the "
    f"pixels of both modalities has {accuracy['logistic regression']:.1f} %. The mean of "
    "two probabilities is often right and never sure, hence its calibration error of "
    f"{shown.loc['two models averaged', 'ECE']:.1f} %; their product is not like that."
)
record(
    accuracy=accuracy.round(2).to_dict(),
    audio_encoder_probed=weak.dropna().round(2).to_dict(),
    ece=shown["ECE"].round(2).to_dict(),
    ogm_ge_minus=gaps.loc[networks[:2] + networks[3:], "difference"]
    .round(2)
    .to_dict(),
)

# %% tags=["hide-input"]
figure = Figure(figsize=(7.2, 3.2), layout="constrained")
axes = figure.subplots()
drawn = [row for row in networks if row not in ("OGM-GE", "audio alone")]
for place, row in enumerate(drawn):
    axes.plot(gaps.loc[row, ["low", "high"]], [place] * 2, color="tab:blue")
    axes.plot(gaps.loc[row, "difference"], place, "o", color="tab:blue")
axes.axvline(0, color="grey", lw=0.8)
axes.set_yticks(range(len(drawn)), drawn)
axes.invert_yaxis()
axes.set(xlabel="OGM-GE − row, points of accuracy")
show(
    figure,
    alt="OGM-GE minus each row: "
    + ", ".join(
        f"{row} {gaps.loc[row, 'difference']:+.1f} "
        f"({gaps.loc[row, 'low']:+.1f} to {gaps.loc[row, 'high']:+.1f})"
        for row in drawn
    )
    + ".",
    caption=(
        "Paired differences and 95 % intervals over seeds; audio alone is far off to the "
        "right. Rows left of the line beat OGM-GE."
    ),
)

# %% [markdown]
# Why do the own losses and two separate models do so much? Look at the first section again. OGM slows the leader, so that
# the residual lives longer; but it is still *one* residual, and the follower still stops when it is gone. An own loss gives
# every modality a residual of its own, which ends only when *it* has learned. That attacks the cause. OGM treats the symptom.
#
# ## Who leads, and how hard is it slowed?

# %% tags=["hide-input"]


def mean_path(row, key):
    return torch.tensor([[s[key] for s in run] for run in traces[row]]).mean(0)


figure = Figure(figsize=(8, 2.9), layout="constrained")
left, right = figure.subplots(1, 2)
for row, style in (("joint", "--"), ("OGM-GE", "-")):
    for name, colour in (("image", "tab:red"), ("audio", "tab:blue")):
        left.plot(
            mean_path(row, f"score {name}"),
            style,
            color=colour,
            label=f"{name}, {row}",
        )
left.set(xlabel="step", ylabel="score s")
left.legend(fontsize=7)
right.plot(mean_path("OGM-GE", "k image"), color="tab:red", label="image")
right.plot(mean_path("OGM-GE", "k audio"), color="tab:blue", label="audio")
right.set(xlabel="step", ylabel="k, OGM-GE", ylim=(0, 1.05))
right.legend(fontsize=8)
active = mean_path("OGM-GE", "k image")[10 : steps // 2]
audio_end = {
    row: float(mean_path(row, "score audio")[-20:].mean()) for row in traces
}
show(
    figure,
    alt=(
        f"Left: the image's score rises at once, the audio's hardly; at the end the "
        f"audio's is {audio_end['joint']:.2f} in joint training and "
        f"{audio_end['OGM-GE']:.2f} under OGM-GE. Right: the image's k is "
        f"{active.mean():.2f} on average in the first half and 1 in the second."
    ),
    caption=(
        "Means over seeds. **Left:** the scores (2). **Right:** the coefficients (4); the "
        "modulation ends half-way. The leader's encoder is nearly frozen: the tanh "
        "saturates as soon as the lead is a few-fold."
    ),
)

# %% [markdown]
# ## Under Adam, without audio, with noise
#
# Three questions to every fusion method: does it survive the optimiser that people use, a missing modality, and noise?

# %%
adam = controls(
    {row: builder(row) for row in ("OGM", "joint")},
    "OGM",
    train,
    test,
    modalities=["audio", "image"],
    training={"steps": steps, "lr": 2e-3},
    seeds=range(min(seeds, 3)),
    rivals=(),
    metrics=metrics,
)
items = len(test)
absent = torch.zeros(items, dtype=torch.bool)
hiss = torch.randn(test.tensors["audio"].shape, generator=generator(7))
blur = torch.randn(test.tensors["image"].shape, generator=generator(8))
conditions = {
    "as trained": test,
    "no audio": TensorData({**test.tensors, "audio_present": absent}),
    "no image": TensorData({**test.tensors, "image_present": absent}),
    "noisy audio": TensorData(
        {**test.tensors, "audio": test.tensors["audio"] + hiss}
    ),
    "noisy image": TensorData(
        {**test.tensors, "image": test.tensors["image"] + blur}
    ),
}
kept = [row for row in networks if not row.endswith("alone")]
only = replace(results, predictors={row: predictors[row] for row in kept})
tested = {name: only.on(data) for name, data in conditions.items()}

# %% tags=["hide-input"]
robust = pd.DataFrame({n: r.mean["accuracy"] * 100 for n, r in tested.items()}).loc[
    kept
]
deviation = pd.DataFrame(
    {n: r.spread["accuracy"] * 100 for n, r in tested.items()}
).loc[kept]
table(
    robust,
    f"Accuracy in per cent when something is missing or noisy at test, mean ± standard "
    f"deviation over {seeds} seeds",
    spread=deviation,
    best=dict.fromkeys(robust.columns, "higher"),
    digits=1,
)
change = adam.differences().loc["joint"] * 100
say(
    f"Under AdamW: joint {adam.mean.loc['joint', 'accuracy']:.1%}, OGM "
    f"{adam.mean.loc['OGM', 'accuracy']:.1%}. OGM minus joint is "
    f"{change['difference']:+.1f} points ({change['low']:+.1f} to {change['high']:+.1f}); "
    f"under descent it was {accuracy['OGM'] - accuracy['joint']:+.1f}."
)
sturdy, heard = robust["noisy audio"].idxmax(), robust["no image"].idxmax()
say(
    f"With noise in the audio, *{sturdy}* is best ({robust['noisy audio'].max():.1f} %); "
    f"without the image, *{heard}* ({robust['no image'].max():.1f} %). The two go "
    "together: who has learned to listen can answer by ear, and is misled by a bad "
    "recording. Who ignores the audio cannot be misled by it, which looks like "
    "robustness and is not."
)
record(missing={n: robust[n].round(2).to_dict() for n in ("no audio", "no image")})

# %% [markdown]
# ## Reading a literature with weak baselines
#
# The gain of such a method is the distance to its baseline, so look at the baseline. All numbers here are second-hand, as
# quoted in issue threads, and we have not reproduced them.
#
# - A user of OGM-GE asks why the released weights are better than the paper: on CREMA-D plain concatenation has 59.81 instead
#   of 51.7, and OGM-GE 64.41 instead of 61.25; the authors answer that they adjusted the learning rate and other settings
#   {cite}`ogm_ge_repository`. So tuning moved the *baseline* by more than the method then adds to it, and the gain halved.
# - A later method, LFM, prints a gain of about ten points on CREMA-D; a user who ran its code got 75.8 for the *baseline*
#   and 78.76 for the method {cite}`lfm_repository`.
# - A third thread points out that the test set chose settings and epochs in that code as well {cite}`lfm_repository`.
# - {cite:t}`kontras2024competition` compare many balancing methods and find that most of them do not beat an ensemble of
#   unimodal models: the row *two models averaged* of our table.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Who is slowed down (code)
# :label: ogm-coefficients
#
# Write the coefficients (4) of two modalities. You get their two scores as a tensor, and α.
# ```

# %% tags=["stub:coefficients"]
from mmlab.exercises.ogm_ge import check_coefficients


def coefficients(scores, alpha):
    return ...


check_coefficients(coefficients)

# %% [markdown]
# ```{solution-start} ogm-coefficients
# :class: dropdown
# ```


# %% tags=["solution:coefficients"]
def coefficients(scores, alpha):
    rho = scores / scores.flip(0)
    return torch.where(rho > 1, 1 - torch.tanh(alpha * rho), 1.0)


check_coefficients(coefficients)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Does the noise restore the variance? (compute)
# :label: ogm-variances
#
# Let the gradient of one weight vary with variance 1 from batch to batch, and let $k = 0.4$. (a) What is the variance under (5), if the noise has variance 1 too and
# is independent? (b) Which variance should the noise have, so that the sum has variance 1?
# ```

# %% tags=["stub:variances"]
from mmlab.exercises.ogm_ge import check_variances

with_noise = ...
restoring = ...

check_variances((with_noise, restoring))

# %% [markdown]
# ```{solution-start} ogm-variances
# :class: dropdown
# ```

# %% tags=["solution:variances"]
k = 0.4
with_noise = k**2 + 1
restoring = 1 - k**2

check_variances((with_noise, restoring))

# %% [markdown]
# And the noise of (5) is independent between entries, with one spread for a whole tensor, and that spread is over *entries*,
# not over batches. The noise of real batches is none of this.
#
# ```{solution-end}
# ```
#
# ```{exercise} The follower's weight (code)
# :label: ogm-follower
#
# Write the follower's law as a function: the leader's weight, the strengths of leader and follower, and the common start $\varepsilon$ are given; return the
# follower's weight.
# ```

# %% tags=["stub:follower"]
from mmlab.exercises.ogm_ge import check_follower


def follower(leader, strong, weak, start):
    return ...


check_follower(follower)

# %% [markdown]
# ```{solution-start} ogm-follower
# :class: dropdown
# ```


# %% tags=["solution:follower"]
def follower(leader, strong, weak, start):
    return start * (leader / start) ** (weak / strong)


check_follower(follower)

# %%
shares = {
    start: (follower(2.0, 1.0, 0.7, start) / 2.0) ** 2 * 0.7
    for start in (0.3, 0.03, 0.003)
}
say(
    "A follower of strength 0.7, when the leader's weight is 2, contributes "
    + ", ".join(f"{share:.0%} (start {start})" for start, share in shares.items())
    + " of what the leader does. Small starts make the winner take all."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} An ensemble for free (think)
# :label: ogm-own
#
# *Joint + own losses* and *two models multiplied* give nearly the same classifier. Why? When would joint training be needed after all?
# ```
#
# ```{solution-start} ogm-own
# :class: dropdown
# ```

# %%
agree = {
    row: sum(
        float(
            (
                predictors[row][s](test.tensors).argmax(1)
                == predictors["two models multiplied"][s](test.tensors).argmax(1)
            )
            .float()
            .mean()
        )
        for s in range(seeds)
    )
    / seeds
    for row in ("joint + own losses", "OGM-GE", "joint")
}
say(
    "A sum of logits is a product of probabilities. If each summand is trained to be a "
    "classifier by itself, the sum is the product of two unimodal classifiers. They agree "
    f"with the two separate models on {agree['joint + own losses']:.0%} of the test items, "
    f"OGM-GE on {agree['OGM-GE']:.0%}, joint training on {agree['joint']:.0%}. Joint "
    "training is needed where the label is in how the modalities belong together, as on "
    "the dial's *inter* end: there neither a sum nor an ensemble can work."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A modality has a tiny gradient in joint training. Has it learned all it can?
# Not necessarily. Its gradient is the shared residual times its part of the classifier. The residual vanishes when the *sum* fits the training items.
# Probe the encoder, and compare with the same encoder trained alone.
# ```
#
# ```{dropdown} Would a larger batch, or more steps, end the competition?
# On items that one modality can fit alone, no: the residual is gone, and more of it does not come back. Items that only the other modality can tell keep a
# residual, and from these the follower learns on, slowly.
# ```
#
# ```{dropdown} Why is the score (2) a poor measure of what a modality knows?
# Own logits are trained only in sum. A modality that contributes little has a low score even if its features are good, as the probe shows; and the
# scores depend on how the bias is shared.
# ```
#
# ```{dropdown} Your network is trained with Adam. What is left of OGM, and of GE?
# Of OGM almost nothing, while k changes slowly: both moments of Adam shrink together. GE remains: its noise is as large as the gradient before scaling, so relative
# to what is left of the gradient it grows.
# ```
#
# ## Limits, and what to read next
#
# - In AV-MNIST-mini the modalities are independent given the digit, which favours sums, products and ensembles by construction. Where modalities interact, the
#   cheap cures lose ground: see [I2M2](i2m2.ipynb).
# - One data set, small perceptrons, a classifier that is a sum. The paper's other fusions (gates, FiLM) have no own logits in the sense of (1).
# - α and the constant were chosen coarsely on validation splits, the rest is as in the authors' code where it could be.
#
# Read {cite:t}`wang2020blending` for blending by overfitting, {cite:t}`huang2022competition` for a proof of competition, and
# [IEMF](iemf.ipynb) for a trick that scales the other gradient.

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
# # Whatever the scanner's clock: Brain Harmony
#
# **One hospital measures a brain every 0.735 seconds, another every two. Can one network read both, and can a handful of tokens hold what series and structure say?**
#
# Brain Harmony {cite}`brain_harmony` learns from many brains without labels: their structure, from one kind of magnetic resonance imaging, and their activity over time, from another. Two of its ideas can be looked at one by one. Its first layer reads *patches of a fixed duration*, however many samples
# there are in one. And a few *hub tokens* must hold all that the tokens of both kinds hold, because a decoder that sees nothing else has to rebuild them.
#
# This chapter builds both, lets each meet its dull rival, and shows what padding does to a loss that does not know of it. There are no people here: series and structures are drawn, so that we know what is in them.
#
# **After this chapter you can**
#
# - derive the kernel that reads a resized patch as the old kernel read the original, and say when there is none;
# - tell "the clock must be respected" from "it must be respected in this way";
# - write losses in which padding counts nowhere, and a test that would notice;
# - hold compressed features against what they compress, and against the same before training.
#
# You need linear algebra (least squares) and transformers. [MultiMAE](multimae.ipynb) has the masked autoencoder. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of the training of the hubs
people: int = 500  # to train on, without labels

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmlab import fit
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.brain_world import DURATION, FREQUENCIES, brain_world
from mmlab.methods.brain_harmony import (
    BrainHarmony,
    FlexiPatch,
    masked_mean,
    resize_kernel,
    resize_matrix,
)
from mmlab.viz import claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import COLOURS, lines, use_theme

use_theme()
steps = steps or {"cpu": 150, "gpu": 3000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "f": Box(0, 0, "series"),
    "s": Box(0, 1.2, "structure"),
    "p": Box(1, 0, "patches of\nfixed duration", "changed"),
    "ef": Box(2, 0, "encoder,\nits slow copy", "trained"),
    "es": Box(2, 1.2, "encoder", "trained"),
    "h": Box(3, 0.6, "hub tokens", "changed"),
    "d": Box(4, 0.6, "decoder", "trained"),
    "L": Box(5, 0.6, "all tokens\nrebuilt", "loss"),
}
arrows = [Arrow("f", "p"), Arrow("p", "ef"), Arrow("s", "es"), Arrow("ef", "h"), Arrow("es", "h"), Arrow("h", "d"), Arrow("d", "L")]  # fmt: skip
show(
    diagram(boxes, arrows),
    alt="A drawing: series are cut into patches of fixed duration and go into an encoder with a slow copy; structure goes into another encoder. The tokens of both go to hub tokens, from there to a decoder, and to a loss that asks for all tokens rebuilt.",
    caption="The two ideas of this chapter are in orange. The encoders have losses of their own, which are not drawn.",
)

# %% [markdown]
# ## A kernel for every repetition time
#
# A scanner takes a sample every TR seconds. A patch lasts 35.28 s: that is $p = 48$ samples at the TR of the training, and $p'$ at another. Let $M$ be the $p' \times p$ matrix that resizes a patch,
#
# $$x' = M x \tag{1}$$
#
# (cubic interpolation, smoothed where it shrinks). The first layer answers $w x$ with kernels $w$, one in each row. On the resized patch it should answer the same, for every $x$: $w' M x = w x$, that is $w' M = w$. The solution of least squares and least norm is
#
# $$w' = w\, M^{+} , \tag{2}$$
#
# with the pseudo-inverse $M^{+}$. The idea is from pictures of many sizes {cite}`beyer2023flexivit`. If the patch is stretched, $M$ has full column rank and $w' M = w$ exactly. If it is shrunk, $p' < p$ values cannot hold what $p$ values held. What $w'$ then answers is right for signals that survive the shrinking, which slow ones nearly do and white noise does not.

# %%
rng = torch.Generator().manual_seed(0)
kernel = torch.randn(4, 48, generator=rng)
white = torch.randn(48, 200, generator=rng)
wave = torch.arange(48)[:, None] * torch.rand(200, generator=rng) * 0.3
slow = (wave + 6.28 * torch.rand(200, generator=rng)).sin()
lines_of = []
for samples in (96, 72, 36, 24):
    M = resize_matrix(48, samples)
    other = resize_kernel(kernel, samples)
    apart = [(other @ M @ x - kernel @ x).norm() / (kernel @ x).norm() for x in (white, slow)]  # fmt: skip
    lines_of.append(f"{samples} samples: {apart[0]:.1e} for white noise, {apart[1]:.1e} for slow waves")  # fmt: skip
say(
    f"Relative error of the answers, for patches resized from 48 to {'; '.join(lines_of)}."
)

# %% tags=["hide-input"]
# Code of the widget
SIZES = [96, 72, 48, 36, 24, 18, 12]
one = (
    torch.exp(-((torch.arange(48) - 20.0) ** 2) / 40)
    * (torch.arange(48) * 0.5).sin()
)


def draw_kernel(samples):
    figure = Figure(figsize=(5.6, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        (torch.arange(48) + 0.5) / 48, one, color=COLOURS[6], label="48 samples"
    )
    made = resize_kernel(one[None], samples)[0]
    at = (torch.arange(samples) + 0.5) / samples
    axes.plot(at, made, "o-", ms=3, color=COLOURS[1], label=f"{samples} samples")
    axes.set(xlabel="place in the patch", ylabel="kernel", ylim=(-2.2, 2.2))
    axes.legend(fontsize=8, loc="upper right")
    return figure


def describe_kernel(samples):
    most = resize_kernel(one[None], samples).abs().max()
    return f"A wavy kernel of 48 samples and the one that (2) makes of it for {samples}; the largest value of the latter is {most:.2f}."


frames(
    {"samples": SIZES},
    draw=draw_kernel,
    alt=describe_kernel,
    caption="One kernel, resized. With fewer samples each has to count for more, with more samples for less.",
)

# %% [markdown]
# ## Does it have to be this way?
#
# {py:func}`~mmlab.data.worlds.brain_world.brain_world` draws people with one of four rhythms, by frequency, and one of two patterns in the structure; a region's series is a wave of the rhythm with a phase of its own, and noise. A small network is trained to tell the *rhythm*, at 48 samples per patch
# only: one layer (2), a nonlinearity, a mean over regions and patches, a linear map. Then people come from scanners with other repetition times. There are four ways to read them:
#
# - **repetition time ignored**: 48 samples are a patch, whatever time they take;
# - **flexible patch**: kernels by (2);
# - **stretched kernel**: the kernel is interpolated like a signal, times $p / p'$;
# - **resized series**: the series is resized to 48 samples per patch before anything reads it, which needs no new layer.


# %%
class RhythmReader(nn.Module):
    """Patches, a nonlinearity, a mean, a line."""

    def __init__(self, width=24):
        super().__init__()
        self.read = FlexiPatch(48, width)
        self.out = nn.Linear(width, len(FREQUENCIES))

    def forward(self, tokens):
        return self.out(F.gelu(tokens).mean((1, 2)))


def resized(x, size):
    """Series resized by cubic interpolation to so many samples."""
    flat = x.flatten(0, 1)[:, None, None]
    made = F.interpolate(flat, (1, size), mode="bicubic", antialias=True)
    return made[:, 0, 0].unflatten(0, x.shape[:2])


def stretched(weight, size):
    made = F.interpolate(weight[None, None], (len(weight), size), mode="bicubic", antialias=True)  # fmt: skip
    return made[0, 0] * weight.shape[1] / size


WAYS = {
    "repetition time ignored": lambda net, x, p: net.read(x),
    "flexible patch": lambda net, x, p: net.read(x, p),
    "stretched kernel": lambda net, x, p: x.unfold(-1, p, p) @ stretched(net.read.weight, p).T + net.read.bias,
    "resized series": lambda net, x, p: net.read(resized(x, x.shape[-1] * 48 // p)),
}  # fmt: skip
scanners = brain_world(shortest=4)  # all scans of one length
STEPS_A, RATE_A = min(250, 2 * steps), 1e-2
points = []
for seed in range(seeds):
    torch.manual_seed(seed)
    net = RhythmReader()
    items = scanners.draw(people, seed=seed).tensors
    x, y = items["function"], items["label"] % len(FREQUENCIES)
    optimiser = torch.optim.AdamW(net.parameters(), RATE_A, fused=True)
    for _ in range(STEPS_A):
        rows = torch.randint(len(x), (48,))
        loss = F.cross_entropy(net(net.read(x[rows])), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for samples in SIZES:
        late = scanners.draw(people, seed=1000 + seed, samples=samples).tensors
        truth = late["label"] % len(FREQUENCIES)
        for way, tokens in WAYS.items():
            with torch.no_grad():
                right = (
                    net(tokens(net, late["function"], samples)).argmax(1) == truth
                )
            points.append((way, seed, samples, right.float().mean().item()))
clock = pd.DataFrame(points, columns=["method", "seed", "samples", "accuracy"])

# %% tags=["hide-input"]
# Code of the figure
way_means = clock.groupby(["method", "samples"])["accuracy"].mean()
show(
    lines(clock, "samples", "accuracy"),
    alt="Accuracy for the rhythm against samples in a patch. "
    + "; ".join(
        f"{way}: " + ", ".join(f"{way_means[way, p]:.2f} at {p}" for p in SIZES)
        for way in WAYS
    )
    + ".",
    caption=f"Trained at 48 samples per patch, tested at {len(SIZES)} repetition times from {DURATION / SIZES[0]:.2f} to {DURATION / SIZES[-1]:.2f} s; means over seeds with 95 % intervals. Chance is one in four.",
    label="brain-harmony-clock",
)


# %%
def elsewhere(way):
    """Mean accuracy over the other repetition times, for each seed."""
    part = clock[(clock["method"] == way) & (clock["samples"] != 48)]
    return part.groupby("seed")["accuracy"].mean().tolist()


def clock_against(name, way):
    return claimed(
        f"brain-harmony-tr-{name}",
        elsewhere("flexible patch"),
        elsewhere(way),
        direction="higher",
        unit="%",
        better=f"At other repetition times the flexible patch is ahead of *{way}*, {{ours}} against {{theirs}}.",
        worse=f"At other repetition times *{way}* is ahead of the flexible patch, {{theirs}} against {{ours}}.",
        undecided=f"At other repetition times the flexible patch ({{ours}}) and *{way}* ({{theirs}}) cannot be told apart.",
    )


names = {
    "ignored": "repetition time ignored",
    "stretched-kernel": "stretched kernel",
    "resized-series": "resized series",
}
say("\n".join(f"- {clock_against(*pair)}" for pair in names.items()))
record(accuracy_elsewhere={way: [round(v, 4) for v in elsewhere(way)] for way in WAYS})  # fmt: skip

# %% [markdown]
# So read the first line and the other two apart. That the repetition time must be *respected* is one claim; that it must be respected by (2) is another, and its rivals are a few lines of code each. Four rhythms that lie far apart are an easy task, which leaves little room to tell the ways apart that respect it.
#
# ## The losses
#
# Tokens of the series are the answers of (2), one for each region and patch; each patch of the structure is a token, too. Both have encoders. The **series** are learned by predicting embeddings {cite}`assran2023jepa`: some tokens are hidden, an encoder sees the others, and a predictor must say what the
# normalised *embeddings* $z$ of the hidden ones are, as a slow copy of the encoder gives them that sees all. With $\mathcal M$ hidden, and $\ell$ the smooth absolute error,
#
# $$L_f = \operatorname*{mean}_{n \in \mathcal M} \ell(\hat z_n, z_n). \tag{3}$$
#
# The **structure** is learned by filling in the values $x$ of hidden patches,
#
# $$L_s = \operatorname*{mean}_{n \in \mathcal M} \lVert \hat x_n - x_n \rVert^2 / V. \tag{4}$$
#
# Then $K$ **hub tokens**, learned vectors $q$, look at the embeddings of all tokens of both kinds,
#
# $$h = \mathrm{encoder}([z, q])_{\text{hubs}}, \tag{5}$$
#
# and a decoder that sees nothing but $h$ rebuilds all embeddings that exist, $n \in \mathcal E$:
#
# $$L_h = \operatorname*{mean}_{n \in \mathcal E} \lVert \hat z_n(h) - z_n \rVert^2 / D. \tag{6}$$
#
# The copy follows the encoder: after each step $\bar\theta \leftarrow \mu \bar\theta + (1 - \mu)\, \theta$ with $\mu$ below 1, so that after $t$ steps
#
# $$\bar\theta_t = \mu^t\, \bar\theta_0 + (1 - \mu) \textstyle\sum_{k < t} \mu^k\, \theta_{t - k}. \tag{7}$$
#
# All means are first over the tokens of a person, then over people. The authors train the parts one after the other; here they are trained side by side, with
#
# $$L = L_f + L_s + L_h, \tag{8}$$
#
# where no gradient goes from $L_h$ into the embeddings. They take the regions' codes from the geometry of the cortex; here these are learned.
#
# ## What went wrong in practice
#
# Scans differ in length, so short ones are padded. The released code {cite}`brain_harmony_repository` hands a mask to the encoder, and then takes the loss of the hubs over *all* tokens. So the hubs must also rebuild what was made of padding. Some people, before any training, and then the same with other numbers in the padding:

# %%
world = brain_world(noise=0.5)
train = world.draw(people, seed=0)
FORM = BrainHarmony.arguments_for(train[0]) | {"heads": 2}
net = BrainHarmony.seeded(0, **FORM)
some = {k: v[:64] for k, v in train.tensors.items()}
short = some["length"] <= 2 * 48
z, exists = net.embeddings(some)
with torch.no_grad():
    each = (net.rebuild(net.compress(z, exists)) - z).square().mean(-1)
own = masked_mean(each[short], exists[short]).item()
pooled = each[short].mean().item()
changed = some | {"function": torch.where(some["function"] == 0, 50.0, some["function"])}  # fmt: skip
seed_of = lambda: torch.Generator().manual_seed(0)  # noqa: E731
with torch.no_grad():
    before, after = (net.loss(items, seed_of()) for items in (some, changed))
assert all(torch.equal(before[k], after[k]) for k in before)
say(
    f"Of the tokens of the {int(short.sum())} shortest scans of {len(short)}, {(~exists[short]).float().mean():.0%} are padding. Their loss (6) is {own:.3f}; "
    f"with padding in the mean it would be {pooled:.3f}. With other numbers in the padding, all four losses of the package are the same, bit for bit."
)

# %% [markdown]
# The released code that prepares the embeddings also stores, for the mask of a scan, the number of the batch where that of the scan should be, so that a scan may get the mask of another. One test changes the padding. It notices where its numbers get into a token that counts; it does *not* notice the first fault in this package, where tokens of padding are set to zero before an encoder reads them, so that the wrong mean would not change either. That takes a loss by hand, over the tokens that exist. The second fault is noticed by a test that takes scans alone and together. This package has all three.
#
# ## Are the hubs worth something?
#
# The hubs are trained without labels, on people scanned at 48 samples. Then a logistic regression on few labels tells the *class*, one of eight: rhythm and pattern together, so that both kinds are needed. It reads
#
# | row | what it reads |
# | --- | --- |
# | hub tokens | $h$, side by side |
# | untrained | the same before training |
# | all tokens | the embeddings $z$, side by side (zeros where there is none) |
# | mean token | the mean of the $z$ of the series beside that of the structure |
# | principal components | as many components of all tokens as the hubs have values, each of variance 1 like all that is read here |
# | spectrum and structure | powers of the first frequencies in the series, and the structure as it is |
#
# *All tokens*, *mean token* and *principal components* have the same encoders as the hubs, so they ask for the hubs alone; but the first two have other numbers of values, and of the components the weak count like the strong, which may cost them something. *Spectrum and structure* asks for all of it. The rate of the training is one of two, chosen by the accuracy of the hubs on validation people; the encoders of the other rows are those of
# the same training. The penalty of each regression is chosen there, too.

# %%
LABELS, RATES = 80, (3e-3, 1e-2)
choose, test = (
    world.draw(n, seed=s).tensors for n, s in ((people // 2, 1), (2 * people, 2))
)
fitted = train.tensors


def codes(net):
    """What the rows read that have an encoder: functions of people."""

    def every(items):
        z, there = net.embeddings(items)
        return z * there[..., None], there

    def mean_token(items):
        (z, there), cut = every(items), FORM["function"][0] * FORM["function"][1]
        parts = [z[:, :cut].sum(1) / there[:, :cut].sum(1, keepdim=True), z[:, cut:].mean(1)]  # fmt: skip
        return torch.cat(parts, 1)

    def all_tokens(items):
        return every(items)[0].flatten(1)

    size = min(
        net.embed({k: v[:2] for k, v in fitted.items()}).shape[1], people - 1
    )
    turned = PCA(size, random_state=0).fit(all_tokens(fitted).numpy())
    return {
        "hub tokens": net.embed,
        "all tokens": all_tokens,
        "mean token": mean_token,
        "principal components": lambda items: torch.from_numpy(turned.transform(all_tokens(items).numpy())),
    }  # fmt: skip


def spectrum(items):
    power = torch.fft.rfft(items["function"], n=4 * 48).abs().square().mean(1)
    return torch.cat([power[:, 1:24].clamp_min(1e-6).log(), items["structure"].flatten(1)], 1)  # fmt: skip


def probe(code, seed):
    """Accuracy on validation and on test people, with the penalty that is best on the former."""
    x = code(fitted)
    centre, scale = x.mean(0), x.std(0) + 1e-6
    x, new, late = (
        (part - centre) / scale for part in (x, code(choose), code(test))
    )
    rows = torch.randperm(people, generator=torch.Generator().manual_seed(seed))[:LABELS]  # fmt: skip
    tried = []
    for strength in (0.003, 0.03, 0.3):
        model = LogisticRegression(C=strength, max_iter=200)
        model.fit(x[rows], fitted["label"][rows])
        tried.append((model.score(new, choose["label"]), model.score(late, test["label"])))  # fmt: skip
    return max(tried, key=lambda pair: pair[0])


trained = {}
for lr in RATES:
    for seed in range(seeds):
        net = BrainHarmony.seeded(seed, **FORM)
        fit(net, train, steps=steps, batch_size=32, lr=lr, schedule="cosine", warmup=steps // 10, seed=seed, log_every=steps, progress=False)  # fmt: skip
        trained[lr, seed] = net, probe(net.embed, seed)
best_lr = max(RATES, key=lambda lr: np.mean([trained[lr, s][1][0] for s in range(seeds)]))  # fmt: skip
scores = []
for seed in range(seeds):
    for row, code in codes(trained[best_lr, seed][0]).items():
        scores.append((row, seed, probe(code, seed)[1]))
    start = BrainHarmony.seeded(seed, **FORM)
    scores.append(("untrained", seed, probe(start.embed, seed)[1]))
    scores.append(("spectrum and structure", seed, probe(spectrum, seed)[1]))
probed = pd.DataFrame(scores, columns=["method", "seed", "accuracy"])

# %% tags=["hide-input"]
# Code of the table
ORDER = ["spectrum and structure", "untrained", "all tokens", "mean token", "principal components", "hub tokens"]  # fmt: skip
count = sum(p.numel() for p in start.parameters() if p.requires_grad)
budgets = Budgets(
    "hub tokens",
    {
        row: Spent(
            steps if row in ORDER[2:] else None,
            count if row in ORDER[2:] else None,
            ("learning rate", "penalty") if row in ORDER[2:] else ("penalty",),
            3 * len(RATES) if row in ORDER[2:] else 3,
        )
        for row in ORDER
    },
)
table_over_seeds(
    probed,
    f"Accuracy on {len(test['label'])} people of a logistic regression on {LABELS} labels; chance is one in eight.",
    best={"accuracy": "higher"},
    order=ORDER,
    digits=3,
    budgets=budgets,
)
record(budget=budgets.plain(), rate=best_lr)


# %%
def of(row):
    return probed[probed["method"] == row].sort_values("seed")["accuracy"].tolist()


def hubs_against(name, row):
    return claimed(
        f"brain-harmony-hubs-{name}",
        of("hub tokens"),
        of(row),
        direction="higher",
        unit="%",
        better=f"The hub tokens are ahead of *{row}*, {{ours}} against {{theirs}}.",
        worse=f"*{row}* is ahead of the hub tokens, {{theirs}} against {{ours}}.",
        undecided=f"The hub tokens ({{ours}}) and *{row}* ({{theirs}}) cannot be told apart.",
    )


hub_rivals = {
    "untrained": "untrained",
    "all-tokens": "all tokens",
    "mean-token": "mean token",
    "components": "principal components",
    "spectrum": "spectrum and structure",
}
say("\n".join(f"- {hubs_against(*pair)}" for pair in hub_rivals.items()))

# %% [markdown]
# The line on *untrained* says what training made; without a gain there, they hold no more for this label than the same network kept before it saw anybody. If they fall behind it, is it the encoders that lost something in training, or the hubs? No run here separates the two; it would take *all tokens* before training. The next three hold the hubs against what they were made from, and the last against textbook features.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} A kernel for another clock (code)
# :label: brain-harmony-kernel
#
# Write (2): from kernels (D, p) and the matrix M (p', p), the kernels (D, p').
# ```

# %% tags=["stub:kernel"]
from mmlab.exercises.brain_harmony import check_kernel


def other_kernel(kernel, matrix):
    return ...


check_kernel(other_kernel)

# %% [markdown]
# ```{solution-start} brain-harmony-kernel
# :class: dropdown
# ```


# %% tags=["solution:kernel"]
def other_kernel(kernel, matrix):
    return kernel @ torch.linalg.pinv(matrix)


check_kernel(other_kernel)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many samples (compute)
# :label: brain-harmony-samples
#
# A patch lasts 35.28 s. How many samples has it at a TR of 0.735 s, and at one of 1.47 s? And a network that takes 48 samples for a patch at a TR of 1.47 s: at which frequency does it see a rhythm of 0.03 Hz, if it believes the TR is 0.735 s?
# ```

# %% tags=["stub:samples"]
from mmlab.exercises.brain_harmony import check_samples

usual = ...
slower = ...
seen = ...

check_samples((usual, slower, seen))

# %% [markdown]
# ```{solution-start} brain-harmony-samples
# :class: dropdown
# ```

# %% tags=["solution:samples"]
usual = 35.28 / 0.735
slower = 35.28 / 1.47
seen = 0.03 * 1.47 / 0.735

check_samples((usual, slower, seen))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} When the kernel is exact (think)
# :label: brain-harmony-exact
#
# Hard. Show that $w' = w M^{+}$ makes $w' M x = w x$ for all $x$ if $M$ has full column rank. If it has not, for which $x$ does it hold for every $w$? And show that of all $w'$ with the smallest $\lVert w' M - w \rVert$ it has the least norm. Does the *stretched kernel* have any of this?
# ```
#
# ```{solution-start} brain-harmony-exact
# :class: dropdown
# ```
#
# With full column rank $M^{+} = (M^\top M)^{-1} M^\top$, so $M^{+} M = I$. In general $P = M^{+} M$ is the orthogonal projection on the row space of $M$, and $w' M x = w P x$: right for every $w$ exactly if $P x = x$, that is for $x$ in the row space of $M$; slow waves lie near it.
# Solutions of least squares differ by rows $v$ with $v M = 0$. As $M^{+} = (M^\top M)^{+} M^\top$, each row of $w M^{+}$ is a combination of columns of $M$, transposed, and so orthogonal to every such $v$: adding one makes the norm larger. The stretched kernel is $\frac{p}{p'} w M^\top$. It is
# a Riemann sum of the same integral, close as far as kernel and signal are smooth, and in general not exact.

# %%
M = resize_matrix(48, 24)
inside = M.T @ torch.randn(24, generator=rng)  # in the row space
asked, answered = kernel @ inside, resize_kernel(kernel, 24) @ M @ inside
plain = stretched(kernel, 24) @ M @ inside
say(
    f"Shrunk to 24 samples, for a signal of the row space: relative error {(answered - asked).norm() / asked.norm():.1e} of (2), {(plain - asked).norm() / asked.norm():.1e} of the stretched kernel."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A loss that rebuilds (think)
# :label: brain-harmony-rebuild
#
# The hubs are asked to rebuild all embeddings, each entry counting alike. When would this make them hold what a label needs, and when would it not?
# ```
#
# ```{solution-start} brain-harmony-rebuild
# :class: dropdown
# ```
#
# A small code keeps what explains most of the error it is asked for: whatever varies most and in most tokens. If the label depends on that, good; if it hangs on a weak thing in few tokens, such as a pattern in the structure beside many tokens of series, it is what is left out first. The phases of the waves vary
# from person to person and mean nothing here. Principal components have the same weakness. One could weigh the two kinds alike, or ask for what both share, as in [MDiCo](mdico.ipynb).

# %%
regions, patches = FORM["function"]
say(
    f"Here {regions * patches} tokens are of the series and {FORM['structure'][0]} of the structure."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why may three ways to respect the repetition time be hard to tell apart here?
# All three keep slow waves nearly as they are, and to tell a few rhythms that lie far apart, answers need not be exact. The slower rhythms are among the waves of the first cell with numbers, the faster ones are beyond them. At the fewest samples in the figure the fastest rhythm has not quite three samples in a wave. With still faster signals the ways may part; no run here tries.
# ```
#
# ```{dropdown} Why must the decoder see nothing but the hubs?
# With another way in, rebuilding would not need them.
# ```
#
# ```{dropdown} Could padding in the loss be noticed from the loss curve?
# It need not: a loss with padding in its mean can fall all the same. Compare it with one by hand, over the tokens that exist.
# ```
#
# ## In five lines
#
# - A patch of fixed duration has as many samples as the scanner gives; the kernel is resized by a pseudo-inverse.
# - To respect the repetition time is one claim, to do it in this way another; resizing the series is a rival of a few lines.
# - Series are learned by predicting embeddings, structure by filling in, and the hubs by rebuilding all embeddings.
# - Padding must count in no mean; a test that changes its numbers is not enough, a loss by hand over what exists is needed, too.
# - Hubs are to be held against the tokens they were made from, against untrained ones, and against a textbook feature.
#
# ## Limits, and what to read next
#
# - Drawn people with pure waves; three regions and four patches, where the paper has 400 regions and 18. The hubs are trained for few steps on some hundred people, the paper's on tens of thousands for 300 epochs. What hubs are worth there, this page cannot say.
# - The three parts are trained side by side; what the hubs would be if they came last, no run here says.
# - The rate was chosen for the hubs; the rows that share their encoders may like another. The three penalties are the same for codes of all sizes.
#
# {cite:t}`brain_harmony` has the model for real brains, with codes of regions from the cortex's geometry. For predicting in embedding space see {cite:t}`assran2023jepa`; [MultiMAE](multimae.ipynb) fills in values instead.

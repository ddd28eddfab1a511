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
# # One noise for any target: AnyAttack
#
# **Somebody adds a faint noise to a picture, and a model takes it for another one. Such noise can be computed for each picture at a time, by a gradient. Can a network learn to make it for any target, without a label, and what can be done against it?**
#
# Whoever puts a tower into use, an encoder that was trained with captions, should know how far it can be misled. AnyAttack {cite}`zhang2025anyattack` trains a generator: from the vector of any target picture it makes a bounded noise that, added to *other* pictures, moves them towards the target. It is trained on the contrast of a batch with itself, so any pictures will do.
#
# This chapter is a test of robustness, on small towers that this book trained itself and on drawn pictures. Half of it is about what a defender can do, and about how a defence must be measured.
#
# **After this chapter you can**
#
# - write the loss and its schedule, and see where a bound lets no gradient through;
# - hold a learnt noise against random signs, against pixels of the target, and against noise that is computed for each picture;
# - say whether noise made for one tower misleads another;
# - measure a defence against an attacker who knows it, and its price.
#
# You need InfoNCE, as in [MobileCLIP](mobile_clip.ipynb). Reading takes a quarter of an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 4
steps: int | None = None  # of the generator

# %% tags=["hide-input"]
import math

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmlab import fit
from mmlab.bases.two_towers import ContrastedTowers, tower_family
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.shape_world import tokens_of
from mmlab.methods.any_attack import AnyAttack, attacked, temperature, toward
from mmlab.viz import claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import bars, use_theme

use_theme()
steps = steps or {"cpu": 60, "gpu": 4000}[profile]

# %% [markdown]
# ## The loss

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "x": Box(0, 0, "target"),
    "e": Box(1, 0, "encoder E", "frozen"),
    "g": Box(2, 0, "generator", "trained"),
    "o": Box(2, 1.2, "another picture"),
    "a": Box(3, 0.6, "sum (1)", "changed"),
    "f": Box(4, 0.6, "encoder E", "frozen"),
    "l": Box(5, 0, "loss (3)", "loss"),
}
arrows = [
    Arrow("x", "e"),
    Arrow("e", "g", "e"),
    Arrow("g", "a", "δ"),
    Arrow("o", "a"),
    Arrow("a", "f"),
    Arrow("f", "l"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a frozen encoder makes a vector of a target picture, a generator makes a bounded noise of the vector, the noise is added to another picture, the frozen encoder reads the sum, and the loss compares it with the target's vector.",
    caption="Blue is trained: the generator alone. The loss holds what the encoder sees at the end against the target's vector, and against those of the batch's other targets.",
)

# %% [markdown]
# Let $e_i$ be the unit vector that the encoder $E$ gives to target $i$, $\delta_i$ the noise that the generator makes of it, and $x'$ another picture with values in $[-1, 1]$. What is shown to the encoder is
#
# $$x' \oplus \delta_i = \mathrm{clip}\big(x' + \mathrm{clip}(\delta_i, -\varepsilon, \varepsilon),\, -1,\, 1\big). \tag{1}$$
#
# Both clips are exact, so no setting of the generator can pass the bound. Where one holds, its derivative is zero: a value of the noise that has run out of the box gets no gradient of its own, and is moved only by weights that it shares with others. The same noise is put on $K$ pictures, drawn from the batch itself, and their unit vectors are averaged,
#
# $$a_i = \frac{\bar a_i}{\lVert \bar a_i \rVert}, \qquad \bar a_i = \frac1K \sum_{k=1}^{K} \frac{E(x'_{ik} \oplus \delta_i)}{\lVert E(x'_{ik} \oplus \delta_i) \rVert} , \tag{2}$$
#
# so that what a single carrier shows matters less; the released code averages the vectors first and normalises their mean alone. Each target then looks for its own noise, in one direction,
#
# $$L = -\frac1B \sum_i \log \frac{\exp(e_i \cdot a_i / \tau)}{\sum_j \exp(e_i \cdot a_j / \tau)} . \tag{3}$$
#
# With $K = 1$ this is InfoNCE from targets to carriers. At first the noise knows nothing of the encoder and hardly turns a vector, so that $a_i$ is little but its carrier's. Carriers are the batch in another order, so for each target one of them is its own picture, as a rule with the noise of another target: an $a_j$ that lies nearer to $e_i$ than $a_i$ does. A small τ spends most of the gradient on that one, and on the few that lie near by chance; a large one pushes all alike. That is a reason to let τ fall, and the row *no schedule* asks what it is worth. It falls by equal factors from $\tau_0 = 1$ to $\tau_1 = 0.07$, in a share $s$ of the training, whose done part is $t$:
#
# $$\tau(t) = \tau_0\, (\tau_1 / \tau_0)^{\min(t/s,\, 1)} . \tag{4}$$
#
# The published bound is 16 of 255 grey levels {cite}`zhang2025anyattack`, which is $\varepsilon = 32/255$ where pictures reach from -1 to 1. The published generator is convolutional and $K$ is 5; ours is a perceptron with one hidden layer, and $K = 1$.

# %%
method, batch = AnyAttack.demo()
e = method.vectors(batch["image"])
a = method.vectors(
    attacked(batch["image"].roll(1, 0), method.noise(e), method.radius)
)
tau = temperature(0.4, 1.0, 0.07, 0.8)
by_hand = F.cross_entropy(e @ a.T / tau, torch.arange(len(e)))
assert torch.allclose(toward(e, a[None], tau), by_hand)
say(
    f"Half-way through its share τ is {tau:.3f}, the root of 0.07. The loss (3) on the demo is {by_hand.item():.3f} by hand and by the package."
)

# %% tags=["hide-input"]
# Code of the widget: whom the gradient is spent on
chance = torch.randn(64, generator=torch.Generator().manual_seed(0)) * 0.3


def draw_weights(tau):
    figure = Figure(figsize=(5.6, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(64), (chance / tau).softmax(0).sort(descending=True).values)
    axes.set(xlabel="carriers, nearest first", ylabel="share of the push")
    return figure


def say_weights(tau):
    p = (chance / tau).softmax(0).sort(descending=True).values
    return f"With τ = {tau:g} the four nearest of 64 carriers get {100 * float(p[:4].sum()):.0f} % of the push."


frames(
    {"τ": [0.07, 0.15, 0.3, 0.6, 1.0]},
    draw=draw_weights,
    alt=say_weights,
    caption="Softmax of 64 cosines that are drawn at random, with a deviation of 0.3: how much each carrier is pushed away from one target. The target's own picture, which would stand first, is left out.",
    start={"τ": 0.3},
)

# %% [markdown]
# ## Towers, rivals, ceiling
#
# There are two pairs of towers on the [world of shapes](focus_clip.ipynb), alike but for their seed. For each seed of this page one is the *surrogate*, for which noise is made, and the **other tower** only looks at it. Targets and carriers of the test are pictures of facts that no training showed.
#
# | row | its noise |
# | --- | --- |
# | clean | none |
# | random signs | ε or -ε in each value, at random: as much as the bound allows |
# | pixels of the target | the target less the carrier, clipped: what needs no model |
# | noise of another target | *AnyAttack*, for another target than the one that is asked for |
# | no schedule | *AnyAttack* with one τ from the first step to the last, the schedule's end, its middle or its beginning |
# | AnyAttack | (1) to (4) |
# | PGD | ten steps of ascent on the cosine, for each target and carrier by itself {cite}`madry2018towards`: the reference, which needs the carrier and the gradients of the surrogate each time |
#
# *AnyAttack* and *no schedule* have the same steps and rate, and choose on validation pictures, with a seed that is not used again: *no schedule* one of three τ, *AnyAttack* one of three shares in which τ falls.

# %%
family = tower_family()
world, TOWERS = family.world, family.right
ALL, PILOT, EPS, COUNT = range(seeds), 100, 32 / 255, 200
train = TensorData({"image": world.pictures["train"]})


def trained(seed, share, end):
    made = AnyAttack.seeded(
        seed, TOWERS[seed % 2].picture, radius=EPS, share=share, end=end
    )
    fit(made, train, steps=steps, batch_size=32, lr=4e-3, schedule="cosine", seed=seed, log_every=steps, progress=False)  # fmt: skip
    return made.eval()


def unit(tower, x):
    return F.normalize(tower.picture(x), dim=1)


def ascent(view, target, carrier, rounds, rng):
    """PGD: noise that raises the cosine of what is seen with the target, for each pair."""
    with torch.no_grad():
        e = view(target)
    noise = (2 * torch.rand(carrier.shape, generator=rng) - 1) * EPS
    for _ in range(rounds):
        noise.requires_grad_()
        cosine = (view(attacked(carrier, noise, EPS)) * e).sum()
        (slope,) = torch.autograd.grad(cosine, noise)
        noise = (noise.detach() + EPS / 5 * slope.sign()).clamp(-EPS, EPS)
    return noise


@torch.no_grad()
def measured(view, target, seen):
    """Mean cosine with the target, and for how many carriers it is among the five nearest targets."""
    s = view(seen) @ view(target).T
    five = s.topk(5).indices == torch.arange(len(s))[:, None]
    return float(s.diag().mean()), 100 * float(five.any(1).float().mean())


TRIES = {
    "no schedule": ((0.0, 0.07), (0.0, 0.07**0.5), (0.0, 1.0)),
    "AnyAttack": ((1.0, 0.07), (0.8, 0.07), (0.4, 0.07)),
}  # share and end of the schedule
half = world.pictures["validation"].split(100)
chosen = {}
for row, tries in TRIES.items():
    scores = {}
    for how in tries:
        made = trained(PILOT, *how)
        with torch.no_grad():
            seen = attacked(half[1], made.noise(made.vectors(half[0])), EPS)
        scores[how] = measured(made.vectors, half[0], seen)[0]
    chosen[row] = max(scores, key=scores.get)

# %%
rows, makers, pairs, examples = [], {}, {}, {}
for k in ALL:
    rng = torch.Generator().manual_seed(k)
    order = torch.randperm(len(world.pictures["test"]), generator=rng)
    pairs[k] = [world.pictures["test"][order[i : i + COUNT]] for i in (0, COUNT)]
    target, carrier = pairs[k]
    captions = tokens_of(world.facts["test"][order[COUNT : 2 * COUNT]])
    pairs[k].append(captions)
    surrogate, other = TOWERS[k % 2], TOWERS[(k + 1) % 2]
    noise = {
        "clean": torch.zeros_like(carrier),
        "random signs": EPS * (2 * torch.rand(carrier.shape, generator=rng) - 1).sign(),
        "pixels of the target": target - carrier,
    }  # fmt: skip
    for row in TRIES:
        maker = trained(k, *chosen[row])
        with torch.no_grad():
            noise[row] = maker.noise(maker.vectors(target))
    makers[k] = maker
    noise["noise of another target"] = noise["AnyAttack"].roll(1, 0)
    noise["PGD"] = ascent(
        lambda x, t=surrogate: unit(t, x), target, carrier, 10, rng
    )
    for row, delta in noise.items():
        seen = attacked(carrier, delta, EPS)
        assert (seen - carrier).abs().max() <= EPS + 1e-6
        found = {"method": row, "seed": k}
        for name, tower in (("surrogate", surrogate), ("other tower", other)):
            found[f"cosine, {name}"], found[f"R@5 (%), {name}"] = measured(lambda x, t=tower: unit(t, x), target, seen)  # fmt: skip
        rows.append(found)
    examples[k] = noise
runs = pd.DataFrame(rows)
ORDER = ["clean", "random signs", "pixels of the target", "noise of another target", "no schedule", "AnyAttack", "PGD"]  # fmt: skip

# %% tags=["hide-input"]
# Code of the table
COLUMNS = [c for c in runs if c not in ("method", "seed")]
size = sum(p.numel() for p in makers[0].generator.parameters())
budgets = Budgets(
    "AnyAttack",
    {row: Spent(steps, size, ("schedule",), 3) for row in TRIES},
)
table_over_seeds(
    runs,
    f"Noise within 16 of 255 grey levels: cosine with the target, and for how many of {COUNT} carriers it is among the five nearest of {COUNT} targets ({500 / COUNT:.1f} % at random). {seeds} seeds.",
    order=ORDER,
    reference=["clean", "PGD"],
    budgets=budgets,
    digits=2,
)
full = float(
    (makers[0].noise(makers[0].vectors(pairs[0][0])).abs() >= EPS).float().mean()
)
say(
    f"Chosen: *no schedule* has τ = {chosen['no schedule'][1]:.2g}, and that of *AnyAttack* falls in a share of {chosen['AnyAttack'][0]:g}. Of the values of the learnt noise {100 * full:.0f} % lie at the bound, where no gradient comes back."
)
record(
    cosine={row: runs[runs["method"] == row]["cosine, surrogate"].tolist() for row in ORDER},
    budget=budgets.plain(),
)  # fmt: skip


def values(row, column, frame=None):
    frame = runs if frame is None else frame
    return frame[frame["method"] == row].sort_values("seed")[column].tolist()


def nearer(slug, ours, theirs, where="surrogate", what="cosine"):
    return claimed(
        f"any-attack-{slug}",
        values(ours, f"{what}, {where}"),
        values(theirs, f"{what}, {where}"),
        direction="higher",
        better=f"{where.capitalize()}: *{ours}* comes nearer to the target than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"{where.capitalize()}: *{theirs}* comes nearer to the target than *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"{where.capitalize()}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )


say(
    "Cosines with the target.\n\n"
    + "\n".join(
        f"- {nearer(*line)}"
        for line in (
            ("noise", "AnyAttack", "random signs"),
            ("pixels", "AnyAttack", "pixels of the target"),
            ("another", "AnyAttack", "noise of another target"),
            ("schedule", "AnyAttack", "no schedule"),
            ("pgd", "AnyAttack", "PGD"),
            ("noise-other", "AnyAttack", "random signs", "other tower"),
            ("pixels-other", "AnyAttack", "pixels of the target", "other tower"),
            ("pgd-other", "AnyAttack", "PGD", "other tower"),
        )
    )
    + f"\n- Among the five nearest: {nearer('recall-pixels', 'AnyAttack', 'pixels of the target', 'surrogate', 'R@5 (%)')}"
)

# %% tags=["hide-input"]
# Code of the figure: what it looks like
figure = Figure(figsize=(6.4, 3.4), layout="constrained")
target, carrier = pairs[0][:2]
shown = {"target": target, "carrier": carrier, "noise, 4 times": 4 * examples[0]["AnyAttack"], "carrier and noise": attacked(carrier, examples[0]["AnyAttack"], EPS)}  # fmt: skip
for column, (name, pictures) in enumerate(shown.items()):
    for row in range(2):
        axes = figure.add_subplot(2, 4, 4 * row + column + 1)
        axes.imshow((pictures[row].permute(1, 2, 0).clamp(-1, 1) + 1) / 2)
        axes.set(xticks=[], yticks=[])
        if not row:
            axes.set_title(name, fontsize=8)
show(
    figure,
    alt="Two rows of four drawn pictures: a target, another picture, a coloured noise in patches and stripes, which has no figure of the target in it, and the other picture with the noise, in which its own figure is still to be seen.",
    caption="Two pairs of the first seed. The noise is shown four times as strong.",
)
long = runs.melt(
    ["method", "seed"],
    ["cosine, surrogate", "cosine, other tower"],
    "tower",
    "cosine with the target",
)
mean = runs.groupby("method")[COLUMNS].mean()
show(
    bars(long, "cosine with the target", order=ORDER, panel="tower"),
    alt="Mean cosines with the target. "
    + " ".join(
        f"{name.capitalize()}: "
        + ", ".join(f"{row} {mean.loc[row, f'cosine, {name}']:.2f}" for row in ORDER)
        + "."
        for name in ("surrogate", "other tower")
    ),
    caption=f"Above the tower for which the noise was made, below the other. A point is a seed. Highest on the other tower: *{mean['cosine, other tower'].idxmax()}*.",
)  # fmt: skip

# %% [markdown]
# ## What a defender can do
#
# | defence | what is done |
# | --- | --- |
# | none | |
# | blur | each value is the mean of 3 × 3 |
# | two crops | the mean of two vectors, of the picture moved by two pixels along a diagonal, one way and the other |
# | tuned, seen noise | the tower is tuned for a few steps with captions; half of the pictures carry the noise of this generator |
# | tuned, clean | as many steps, without noise: the control |
#
# The defence is put on the surrogate, so it meets the noise that was made for it. The columns: how near carriers come to their targets, for how many their **own caption** still comes first among all carriers' captions, and the same without noise, which is the price. And last the cosine under **PGD that knows the defence**: it takes its gradient through it. A defender cannot count on an attacker who does not know.


# %%
class Tuned(ContrastedTowers):
    """Tuning with captions, with the noise of a generator on half of the pictures, or none."""

    maker = None

    def loss(self, batch, rng):
        x = batch["image"]
        if self.maker is not None:
            with torch.no_grad():
                noise = self.maker.noise(self.maker.vectors(x))
            order = torch.randperm(len(x), generator=rng)
            with_noise = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
            x = torch.where(with_noise, attacked(x, noise[order], EPS), x)
        return super().loss({**batch, "image": x}, rng)


def tuned(k, maker):
    method = Tuned.seeded(k)
    method.towers.load_state_dict(TOWERS[k % 2].state_dict())
    method.__dict__["maker"] = maker
    fit(method, world.train, steps=max(1, steps // 4), batch_size=64, lr=1e-3, schedule="cosine", seed=k, log_every=steps, progress=False)  # fmt: skip
    return method.eval().towers.requires_grad_(False)


def moved(x, by):
    """Pictures moved along a diagonal; the rim is repeated."""
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return padded[:, :, 2 + by : 34 + by, 2 + by : 34 + by]


def blurred(x):
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


DEFENCES = ["none", "blur", "two crops", "tuned, seen noise", "tuned, clean"]


def views(k):
    """By defence: the towers, and what they make of pictures."""
    plain = TOWERS[k % 2]
    found = {
        "none": (plain, lambda x: unit(plain, x)),
        "blur": (plain, lambda x: unit(plain, blurred(x))),
        "two crops": (plain, lambda x: F.normalize(unit(plain, moved(x, -2)) + unit(plain, moved(x, 2)), dim=1)),
    }  # fmt: skip
    for row, maker in (("tuned, seen noise", makers[k]), ("tuned, clean", None)):
        towers = tuned(k, maker)
        found[row] = towers, lambda x, t=towers: unit(t, x)
    return found


@torch.no_grad()
def own_caption(towers, view, x, captions):
    s = view(x) @ F.normalize(towers.caption(captions), dim=1).T
    first = s.argmax(1) == torch.arange(len(s))
    return 100 * float(first.float().mean())


defended = []
for k in ALL:
    target, carrier, captions = pairs[k]
    seen = attacked(carrier, examples[k]["AnyAttack"], EPS)
    for row, (towers, view) in views(k).items():
        rng = torch.Generator().manual_seed(k)
        few = target[:64], carrier[:64]
        knowing = attacked(few[1], ascent(view, *few, 10, rng), EPS)
        defended.append(
            {
                "method": row,
                "seed": k,
                "cosine, AnyAttack": measured(view, target, seen)[0],
                "own caption (%), AnyAttack": own_caption(towers, view, seen, captions),
                "own caption (%), no noise": own_caption(towers, view, carrier, captions),
                "cosine, PGD that knows": measured(view, few[0], knowing)[0],
            }
        )  # fmt: skip
defended = pd.DataFrame(defended)
table_over_seeds(
    defended,
    f"Defences of the surrogate, {seeds} seeds: low cosines and high shares are good for the defender.",
    order=DEFENCES,
    reference=["none"],
    digits=2,
)


def helps(slug, row, column, what, direction, theirs="none"):
    return claimed(
        f"defence-{slug}",
        values(row, column, defended),
        values(theirs, column, defended),
        direction=direction,
        better=f"{what}: *{row}* is ahead of *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"{what}: *{row}* is behind *{theirs}*, {{ours}} against {{theirs}}.",
        undecided=f"{what}: *{row}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )


KNOWN, KNOWS, PRICE = "cosine, AnyAttack", "cosine, PGD that knows", "own caption (%), no noise"  # fmt: skip
say(
    "\n".join(
        f"- {line}"
        for line in (
            *(
                helps(f"{slug}-known", row, KNOWN, "Against the learnt noise, lower cosine", "lower")
                for slug, row in (("blur", "blur"), ("crops", "two crops"), ("tuned", "tuned, seen noise"))
            ),
            helps("tuned-control", "tuned, seen noise", KNOWN, "Against the learnt noise, lower cosine", "lower", "tuned, clean"),
            *(
                helps(f"{slug}-knows", row, KNOWS, "Against PGD that knows the defence, lower cosine", "lower")
                for slug, row in (("blur", "blur"), ("crops", "two crops"), ("tuned", "tuned, seen noise"))
            ),
            helps("tuned-knows-control", "tuned, seen noise", KNOWS, "Against PGD that knows the defence, lower cosine", "lower", "tuned, clean"),
            *(
                helps(f"{slug}-price", row, PRICE, "Own captions without noise, in per cent", "higher")
                for slug, row in (("blur", "blur"), ("crops", "two crops"), ("tuned", "tuned, seen noise"))
            ),
            helps("tuned-price-control", "tuned, seen noise", PRICE, "Own captions without noise, in per cent", "higher", "tuned, clean"),
            helps("tuned-captions", "tuned, seen noise", "own caption (%), AnyAttack", "Own captions under the learnt noise, in per cent", "higher", "tuned, clean"),
        )
    )
)  # fmt: skip

# %% [markdown]
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} A picture within a bound (code)
# :label: any-attack-bounded
#
# Write (1) for pictures `x` in [-1, 1], any `noise` of their shape, and ε.
# ```

# %% tags=["stub:bounded"]
from mmlab.exercises.any_attack import check_bounded


def bounded(x, noise, eps):
    return ...


check_bounded(bounded)

# %% [markdown]
# ```{solution-start} any-attack-bounded
# :class: dropdown
# ```


# %% tags=["solution:bounded"]
def bounded(x, noise, eps):
    return (x + noise.clamp(-eps, eps)).clamp(-1, 1)


check_bounded(bounded)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} When is it how cold (compute)
# :label: any-attack-share
#
# The schedule starts at 1. Return the $t$ at which it reaches `tau`, for its `end` and its `share`.
# ```

# %% tags=["stub:share"]
from mmlab.exercises.any_attack import check_share


def reached(tau, end, share):
    return ...


check_share(reached)

# %% [markdown]
# ```{solution-start} any-attack-share
# :class: dropdown
# ```


# %% tags=["solution:share"]
def reached(tau, end, share):
    return share * math.log(tau) / math.log(end)


check_share(reached)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Why random signs do so little (derive)
# :label: any-attack-gain
#
# The hard one. A score is linear in the picture, $w \cdot x$. (a) Derive the largest gain that a noise within ε can bring. (b) Derive the standard deviation of the gain of random signs, ε or -ε with equal odds in each of the $N$ values. Return both. How does their ratio grow with $N$?
# ```

# %% tags=["stub:gain"]
from mmlab.exercises.any_attack import check_gain


def gains(w, eps):
    return ...  # largest, deviation


check_gain(gains)

# %% [markdown]
# ```{solution-start} any-attack-gain
# :class: dropdown
# ```
#
# $w \cdot \delta = \sum_n w_n \delta_n$ is largest term by term, at $\delta_n = \varepsilon\, \mathrm{sign}\, w_n$: the gain is $\varepsilon \lVert w \rVert_1$. Of random signs the terms are independent, with mean 0 and variance $\varepsilon^2 w_n^2$, so the deviation is $\varepsilon \lVert w \rVert_2$. If the $w_n$ are of one size, the ratio is $\sqrt N$: in large pictures a faint noise of the right signs moves a score far beyond what noise of the same strength does by chance.


# %% tags=["solution:gain"]
def gains(w, eps):
    return eps * w.abs().sum(), eps * w.norm()


check_gain(gains)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A noise lowers a tower's accuracy. Does that show a *targeted* attack?
# No. Random signs may do so too. Targeted is what comes nearer to the target that was asked for than noise for another target does.
# ```
#
# ```{dropdown} A defence halves the success of a published generator. What has to be measured besides?
# An attacker who knows the defence and takes gradients through it, and what the defence costs on pictures without noise.
# ```
#
# ## In five lines
#
# - AnyAttack learns, from pictures alone, to make bounded noise for any target; at the time of the attack it needs neither the carrier nor a gradient.
# - Clipping is exact, and passes no gradient where it holds.
# - Its rivals are random signs, pixels of the target, and noise of another target; its reference is PGD on each pair.
# - What holds on the tower that the noise was made for must be shown again on another.
# - A defence is measured against an attacker who knows it, with its control and its price.
#
# ## Limits, and what to read next
#
# - Small towers of our own and drawn pictures. They say nothing of how robust a large model is, and none was attacked. The two towers differ in their seed alone, which is the easiest kind of transfer.
# - A perceptron of one size makes the noise, with a short training and $K = 1$; a convolutional generator is published, with $K = 5$, long training, and a second stage with further surrogates {cite}`zhang2025anyattack`. What the schedule is worth to those is not asked here; in the released code τ falls in the first ten thousand batches of a long training, and with $K = 5$ a target's own picture is a fifth of what an $a_j$ is the mean of.
# - One bound. The generator has one rate, 0.004, which both rows preferred to 0.001 in a first run. In a trial with three times the rate both came less near, and then could not be told apart. PGD's step was not searched, and more steps would bring it nearer.
# - Cosines of two defences are compared though tuning may change how near unrelated pictures lie; the share of carriers whose target is among the five nearest is not measured there. What tuning costs is to be read beside *tuned, clean*, which takes the same steps.
# - *Tuned, seen noise* was tuned with the very generator that it is then tested on; a generator trained anew on the tuned tower is not tried, only PGD is.
# - Intervals are over seeds of generator and pairs, on two towers in turn.
#
# {cite:t}`zhang2025anyattack` have the large models, {cite:t}`madry2018towards` the ascent and training against it.

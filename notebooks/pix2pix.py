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
# # Pix2pix
#
# **Somebody coloured this grey digit. Which colour did they take?**
#
# Nobody can know. A network that is punished for the distance to the right answer will not guess: it hedges, and paints
# the digit grey. Pix2pix {cite}`pix2pix` adds a second network, which is shown pairs and says whether they are real. It
# has never seen a grey answer among the real ones, so it calls the hedge a fake. To pass, the first network must commit
# itself to a colour.
#
# The paper's point was that one loss serves image translation of many kinds {cite}`pix2pix`.
#
# **After this chapter you can**
#
# - say what each of its two terms asks for, and what the first costs in units of the second;
# - work out how far the judge can see, and notice when it sees everything;
# - tell a network that commits itself to an answer from one that gives the right *spread* of answers;
# - put the adversary beside rivals that train nothing.
#
# You need PyTorch, and probability at the level of densities and medians. Reading takes half an hour.

# %% tags=["parameters"]
seeds: int = 3
steps: int = 150  # of every training run on the digits
brain_steps: int = 70  # of every training run on the connectomes
images: int = 160  # test digits
people: int = 60  # test people
regions: int = 12

# %% tags=["hide-input"]
import math
import tempfile

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from mmlab import fit, generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.connectome_baselines import (
    change_ridge,
    group_mean,
    identity,
    shrunk_shift,
)
from mmlab.compare.seeds import over_seeds
from mmlab.data.worlds.coloured_digits_world import (
    coloured_digits_world,
    paint,
    saturation,
)
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.pix2pix import (
    Pix2pix,
    discriminator_loss,
    patch_discriminator,
    receptive_field,
)
from mmlab.metrics.connectome import evaluate
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import use_theme

use_theme()

DRAWS = 4
FITTING = {"lr": 4e-3, "betas": (0.5, 0.999), "clip_norm": None, "progress": False}


# %% [markdown]
# ## The idea in one picture
#
# The world ({py:func}`~mmlab.data.worlds.coloured_digits_world.coloured_digits_world`) takes the handwritten digits that come with
# scikit-learn, 8 × 8 pixels, and paints each in one hue, drawn at random. The source is the grey digit, the target the
# coloured one. So a right answer keeps the digit, is fully saturated, and has a hue that differs from draw to draw. In a
# world that we made, we can check all three.

# %%
FIRST = 1  # the settings of the trainings were chosen in world 0
worlds = [
    coloured_digits_world(test=images, seed=FIRST + seed) for seed in range(seeds)
]
test = worlds[0].test.tensors
grey, colour = test["source"], test["target"]

# %% tags=["hide-input"]


def strip(rows, names, count=8, size=0.52):
    """Rows of images (S, 3, H, W), the first few side by side."""
    figure = Figure(
        figsize=(1.4 + size * count, size * len(rows)), layout="constrained"
    )
    for axes, images, name in zip(
        figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, names, strict=True
    ):
        wide = F.pad(
            images[:count], (0, 1, 0, 0), value=1.0
        )  # a gap between images
        axes.imshow(
            torch.cat(list(wide.clamp(0, 1)), 2).permute(1, 2, 0), aspect="equal"
        )
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.spines[:].set_visible(False)
    return figure


other = paint(grey[:, 0], torch.rand(len(grey), generator=generator(9)))
show(
    strip(
        [grey, colour, other, grey / 2],
        ["source", "target", "as likely", "the hedge"],
    ),
    alt=(
        "Eight digits in four rows: grey; in one bright colour each; in bright colours drawn anew; and in a darker grey, "
        "the answer of least mean absolute error."
    ),
    caption=(
        "Grey sources, their targets, and other targets that were as likely. **Last row:** the answer with the least "
        "expected absolute error to whatever the colour was. It looks like none of the targets."
    ),
    label="hedge",
)
show(
    in_rows(
        [
            {"source": "source $x$", "noise": "dropout $z$"},
            {"generator": "generator $G$, a U-Net"},
            {"made": "made image", "target": "target $y$"},
            {"judge": "discriminator $D$, beside the source"},
            {"distance": "absolute error to $y$, (3)", "adversarial": "$-\\log D$, (2)"},
        ],
        [
            ("source", "generator"), ("noise", "generator"), ("generator", "made"), ("made", "judge"), ("target", "judge"),
            ("judge", "adversarial"), ("made", "distance"),
        ],
        trained=["generator", "judge"],
    ),
    alt=(
        "Boxes joined by arrows. Source and dropout give the generator's image; the discriminator sees it or the target, beside the source; the "
        "generator's loss has two terms, one of the discriminator and the distance to the target."
    ),
    caption="Pix2pix. Blue is trained: the discriminator to tell the two images apart, by (1), the generator on the two terms below.",
    label="game",
)  # fmt: skip

# %% [markdown]
# ## What the absolute error asks for
#
# Let a target $Y$ have the distribution function $F$ given the source, and let the network answer $f$. Raise $f$ by a
# little. The error $|f - Y|$ grows where $Y$ lies below and shrinks where it lies above:
#
# $$\frac{\mathrm d}{\mathrm d f}\,\mathbb E|f - Y| = F(f) - (1 - F(f)) = 2F(f) - 1 .$$
#
# It is zero where $F(f) = \tfrac12$. So a network that is trained with L1 alone learns *conditional medians*, pixel by
# pixel, where squared error learns conditional means. Where values are dense around the middle, as here, the median of one pixel is a value that occurs. But
# medians of many pixels, side by side, need not make an image that ever occurs: each pixel hedges on its own.
#
# Here the hedge can be worked out. In a hue drawn at random, a channel is dark with probability one third, as bright as
# the grey digit with probability one third, and spread evenly in between otherwise. In units of the grey value, answering
# $f$ in each channel has an expected error of
#
# $$\mathbb E|f - Y| = \underbrace{\tfrac13 f}_{\text{dark}} + \underbrace{\tfrac13 (1 - f)}_{\text{bright}}
# + \underbrace{\tfrac13 \cdot \tfrac12\left(f^2 + (1-f)^2\right)}_{\text{between}},$$
#
# least at $f = \tfrac12$, where it is $\tfrac5{12}$. All three channels at one half is grey. A bright colour, taken at
# random, has $\mathbb E|Y' - Y| = \tfrac{13}{27}$ (an exercise for paper). One *fixed* bright colour has between $\tfrac{17}{36}$, for hues half-way between a
# primary and a mixed colour, and $\tfrac12$. The difference to the hedge is the price of a colour, in L1.

# %%
price = (13 / 27 - 5 / 12) * grey.mean()
cheapest = (17 / 36 - 5 / 12) * grey.mean()  # one fixed hue, such as 5/12
hedged, guessed = ((made - colour).abs().mean() for made in (grey / 2, other))
say(
    f"On the test digits the hedge has a mean absolute error of **{hedged:.3f}** ({5 / 12 * grey.mean():.3f} by the formula), a "
    f"random bright colour **{guessed:.3f}** ({13 / 27 * grey.mean():.3f}). A random colour is dearer by {price:.4f}, the cheapest fixed one by {cheapest:.4f}."
)

# %% [markdown]
# ## The game
#
# Now the second term. Call $y$ a target and $G(x, z)$ what the generator makes of a source $x$ with noise $z$. A
# discriminator $D(x, y)$, between 0 and 1, says how probable it is that the pair is real. It is trained as any classifier
# is, with cross-entropy, half of it on real pairs and half on made ones {cite}`goodfellow2014gan`:
#
# $$L_D = -\tfrac12\,\mathbb E_{x,y}\log D(x, y) - \tfrac12\,\mathbb E_{x,z}\log\big(1 - D(x, G(x, z))\big). \tag{1}$$
#
# *Which $D$ is optimal?* Fix $x$. Let the real targets have the density $p$ and the made ones $q$. Then (1) is the integral
# over $y$ of $-\tfrac12\left(p \log D + q \log (1 - D)\right)$, and $D$ may be chosen at each $y$ on its own. The derivative
# $-\tfrac12\left(p/D - q/(1-D)\right)$ vanishes at
#
# $$D^*(x, y) = \frac{p(y \mid x)}{p(y \mid x) + q(y \mid x)} .$$
#
# Put it back, and the least loss is $\log 2 - \mathrm{JS}(p, q)$, with the Jensen–Shannon divergence $\mathrm{JS}$, which is
# zero only where $p = q$. So a discriminator that is always optimal tells the generator how far its distribution is
# from the real one. Where the two are equal, $D^* = \tfrac12$ everywhere and the loss is $\log 2$. A discriminator loss far
# *below* $\log 2$ is no success of the training: it says that fakes are seen through.
#
# Is that what gradient descent finds? Take two densities that we know, and let a small network look at samples.

# %%
centres, spread = torch.tensor([-1.5, 1.5]), 0.5


def densities(y):
    """Real: two bumps. Made: one wide bump between them, a blur."""

    def normal(mean, deviation):
        return torch.exp(-((y - mean) ** 2) / (2 * deviation**2)) / (
            deviation * math.sqrt(2 * math.pi)
        )

    return (normal(-1.5, spread) + normal(1.5, spread)) / 2, normal(0, 1.0)


torch.manual_seed(0)
network = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
optimiser = torch.optim.Adam(network.parameters(), 0.02)
rng = generator(1)
for _ in range(200):
    side = torch.randint(2, (512,), generator=rng)
    real = centres[side] + spread * torch.randn(512, generator=rng)
    made = torch.randn(512, generator=rng)
    optimiser.zero_grad()
    discriminator_loss(network(real[:, None]), network(made[:, None])).backward()
    optimiser.step()

grid = torch.linspace(-6, 6, 2001)
p, q = densities(grid)
with torch.no_grad():
    learned = network(grid[:, None])[:, 0]
best = (p / (p + q)).clamp(1e-6, 1 - 1e-6)
on_learned = (
    torch.trapezoid(p * F.softplus(-learned) + q * F.softplus(learned), grid) / 2
)
least = -torch.trapezoid(p * best.log() + q * (1 - best).log(), grid) / 2

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 5.6))
left, right = figure.subplots(2, 1)
near = (grid.abs() < 2.8).nonzero()[:, 0]
left.fill_between(grid[near], p[near], alpha=0.25, label="real p", color="C0")
left.fill_between(grid[near], q[near], alpha=0.25, label="made q", color="C1")
left.plot(grid[near], best[near], "k--", lw=1.2, label="p / (p + q)")
left.plot(grid[near], learned[near].sigmoid(), color="C2", label="learned D")
left.set(xlabel="y", ylabel="density, or D")
left.legend(fontsize=9, loc="upper center", ncols=2)
left.set_ylim(0, 1.45)
logits = torch.linspace(-6, 6, 200)
right.plot(logits, torch.sigmoid(-logits), label="−log D")
right.plot(logits, torch.sigmoid(logits), label="log (1 − D)")
right.axvline(0, color="0.8", lw=0.8, zorder=0)
right.set(
    xlabel="logit of D at a made image",
    ylabel="pull on the generator",
    ylim=(0, 1.05),
)
right.legend(loc="center left")
off = torch.trapezoid((p + q) / 2 * (learned.sigmoid() - best).abs(), grid)
show(
    figure,
    alt=(
        "Above: two bumps of real data, one wide bump of made data between them; the learned discriminator follows the curve "
        f"p over p plus q where data are dense, {off:.2f} away on average over the data. Below: the pull of minus log D is 1 at very negative logits, that of "
        "log of 1 minus D is 0 there."
    ),
    caption=(
        "**Above:** a trained discriminator comes near $p/(p+q)$; it is low in the middle, where a blur puts its mass and real data have "
        "hardly any. (It is free where there are hardly any data.) **Below:** how hard two losses pull a made image towards real (the size of their slopes). Far left of "
        "zero a fake is seen through: there only $-\\log D$ pulls."
    ),
    label="best-judge",
)
say(
    f"The learned discriminator has a loss of {on_learned:.3f}; the least possible is {least:.3f}, and knowing nothing "
    f"gives $\\log 2$, {math.log(2):.3f}."
)

# %% [markdown]
# ## Why −log D, and not log(1 − D)
#
# The generator plays against (1), so it should minimise $\log(1 - D(x, G(x, z)))$. Write $D$ through its logit $d$, as
# every program does: $D = 1/(1 + e^{-d})$. The slope of $\log(1 - D)$ by $d$ is $-D$. Where a made image is seen
# through, $D \approx 0$, there is next to nothing to climb. The slope of
#
# $$L_{\mathrm{adv}} = -\,\mathbb E_{x,z}\log D(x, G(x, z)) \tag{2}$$
#
# is $-(1 - D)$: full where a fake is seen through, and zero only for an image that passes. Both losses fall for as long as $D$ rises, so they pull the same way; what differs is where they pull hard. This trade
# is called the *non-saturating* loss {cite}`goodfellow2014gan`. (It has a price: with (2), the two no longer minimise and
# maximise one number.) Pix2pix adds the absolute error, so that the answer also belongs to this source:
#
# $$L_G = L_{\mathrm{adv}} + \lambda\,\mathbb E_{x,y,z}\left|\,G(x, z) - y\,\right| , \qquad \lambda = 100 . \tag{3}$$
#
# The mean runs over pixels and channels. The 100 is the paper's. An L1 error between 0 and 1 is small beside a cross-entropy; we
# have the means to say what the weight trades: a colour raises L1 by the difference found above, times λ. Cross-entropy with natural logarithms is counted in *nats*, and so is (3).

# %%
say(
    f"With $\\lambda = 100$, a random colour raises the generator's L1 term by **{100 * price:.2f}** nats, the cheapest fixed one by **{100 * cheapest:.2f}**, averaged over images. It is worth it if the mean of $-\\log D$ falls by more than that: for a random one, "
    f"for example from $D$ = {math.exp(-math.log(2) - 100 * price):.2f} for the grey answer to one half for the coloured one. With $\\lambda = 1000$ "
    f"the grey one would have to be as unlikely as $10^{{{(-math.log(2) - 1000 * price) / math.log(10):.0f}}}$."
)

# %% [markdown]
# ## How far the judge sees
#
# The idea is that L1 takes care of what is large and certain, and that the discriminator need only see what is local: edges,
# texture. Pix2pix lets it look at patches and averages over them
# ("PatchGAN"). It is an ordinary stack of convolutions that ends in a map of logits, one per patch. How large is a patch?
# Go back from one output. It sees one place. Through a layer of kernel $k$ and stride $s$, $r$ neighbouring places see
#
# $$r \;\leftarrow\; s\,(r - 1) + k \tag{4}$$
#
# places of the layer before: $r - 1$ steps of length $s$, and one kernel. Kernels are of size 4; the last two layers
# have stride 1, those before stride 2. Each stride-2 layer more than doubles the patch.
#
# The same can be asked of the network itself: which pixels does the gradient of one logit reach? Here is the answer, for
# two sizes, and for the larger one with the batch normalisation that the published discriminator has between its layers.


# %%
def reached(network, side=40):
    """Pixels (side, side) that the gradient of the middle logit reaches."""
    image = torch.randn(1, 1, side, side, generator=generator(2)).requires_grad_()
    logit = network(image)[0, 0]
    logit[len(logit) // 2, len(logit) // 2].backward()
    return image.grad[0, 0] != 0


def normalised(network):
    """The same layers with batch normalisation after all convolutions but the first and the last."""
    layers = list(network)
    for place in range(len(layers) - 3, 1, -2):
        layers.insert(place + 1, nn.BatchNorm2d(layers[place].out_channels))
    return nn.Sequential(*layers)


torch.manual_seed(0)
judges = {
    "no halving": patch_discriminator(1, 4, 0),
    "one": patch_discriminator(1, 4, 1),
}
judges["one, batch norm"] = normalised(patch_discriminator(1, 4, 1))
seen = {name: reached(judge) for name, judge in judges.items()}
whole = reached(judges["one"], side=8).float().mean()
formula = [receptive_field([4] * (n + 2), [2] * n + [1, 1]) for n in range(4)]

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 2.4))
for axes, (name, pixels) in zip(figure.subplots(1, 3), seen.items(), strict=True):
    axes.imshow(pixels, cmap="Blues", vmin=0, vmax=1.4)
    axes.set(title=name, xlabel="pixel")
figure.axes[0].set_ylabel("pixel")
sides = {name: int(pixels.any(1).sum()) for name, pixels in seen.items()}
show(
    figure,
    alt=(
        "Pixels that one logit depends on, in images of 40 by 40: a square of "
        f"{sides['no halving']}, a square of {sides['one']}, and, with batch normalisation, {sides['one, batch norm']} of 40 rows."
    ),
    caption=(
        f"What one logit sees, measured by its gradient. (4) gives patches of {', '.join(map(str, formula))} pixels for no, one, two and "
        "three halvings. **Right:** with batch normalisation and one image per batch, every logit sees everything."
    ),
    label="patch",
)

# %% [markdown]
# The last panel is a trap. Batch normalisation takes its mean and variance over all pixels. With one image per batch, as pix2pix
# often is trained, they are that image's, and tell each patch about all the others. The formula is right about the convolutions and wrong
# about the network. The discriminator here has no normalisation.

# %%
say(
    f"One halving on the 8 × 8 digits of this chapter: one logit sees {whole:.0%} of the image. So the judge below is a few looks at the whole digit, and **no experiment on this page tests whether a patch is all that a judge needs**."
)

# %% [markdown]
# ## The whole method
#
# The generator is a U-Net, so that what source and target share, the place of every edge, goes through the skip connections. Its only noise is dropout,
# *which stays on when the network is used*: in the paper that is the $z$. Two optimisers take turns, one step each. Below is one turn by hand,
# beside that of the package.

# %%
torch.manual_seed(0)
method = Pix2pix((3, 8, 8), width=12, depth=0, halvings=1).train()
few = {"source": grey[:32], "target": colour[:32]}
made = method.sample(few["source"], rng=generator(1))  # G(x, z)
on_real, on_made = (method.judge(grey[:32], y) for y in (colour[:32], made))
critic_loss = (
    -(on_real.sigmoid().log().mean() + (-on_made).sigmoid().log().mean()) / 2
)
maker_loss = (
    -on_made.sigmoid().log().mean() + 100 * (made - colour[:32]).abs().mean()
)

critic, maker = method.objectives()
method.train()
assert torch.isclose(critic_loss, critic.loss(few, generator(1))["loss"])
assert torch.isclose(maker_loss, maker.loss(few, generator(1))["loss"])
say(
    f"Untrained, by hand and by the package: $L_D$ = {critic_loss:.3f}, close to $\\log 2$, and $L_G$ = {maker_loss:.1f}."
)

# %% [markdown]
# ## Does it survive the baselines?
#
# The rivals are the source itself, the closed-form hedge, the same network trained with L1 alone, and a stochastic one that knows the world but learns nothing: *any bright
# colour, at random*. It gives away the answer that one would like to have, so the table keeps it out of the bold; the claims below do not. Every method draws several times for each test digit. We ask four things:
#
# - *error*, mean absolute, of one draw: what L1 alone minimises;
# - *saturation*: 1 for a pure colour, 0 for grey, on the average over the image;
# - *kept*: how often a classifier that saw only grey digits still reads the right digit off the brightest channel;
# - *spread*: standard deviation over the draws of one source, per pixel, as a share of the true one; and the same for the *brightest channel* of each pixel, which does not change with the hue.


# %%
def trained(world, seed, stops=(), **changes):
    """A trained method, its history, and a draw for each test digit at each of some steps on the way."""
    torch.manual_seed(seed)
    arguments = {"width": 12, "depth": 0, "halvings": 1} | changes
    method, seen = Pix2pix((3, 8, 8), **arguments), {}
    with tempfile.TemporaryDirectory() as folder:
        for stop in [*stops, steps]:  # each goes on from the checkpoint of the last
            history = fit(
                method,
                world.pairs,
                steps=stop,
                batch_size=24,
                seed=seed,
                out=folder,
                **FITTING,
            )
            seen[stop] = method.sample(
                world.test.tensors["source"], rng=generator(0)
            )
    return method, history, seen


def draws_of(method, source):
    return torch.stack(
        [method.sample(source, rng=generator(k)) for k in range(DRAWS)]
    )


def random_hues(source):
    hues = torch.rand(DRAWS, len(source), generator=generator(100))
    return torch.stack([paint(source[:, 0], hue) for hue in hues])


def measured(world, draws):
    data = world.test.tensors
    true_spread = random_hues(data["source"]).std(0).mean()
    return {
        "error": float((draws[0] - data["target"]).abs().mean()),
        "saturation": float(saturation(draws[0].clamp(0, 1)).mean()),
        "kept": world.kept(draws[0], data["label"]),
        "spread": float(draws.std(0).mean() / true_spread),
        "spread, brightest channel": float(
            draws.amax(2).std(0).mean() / true_spread
        ),
    }


def allowed(method, steps):
    """Steps and trained parameters; L1 alone trains no discriminator."""
    parts = (part.parameters for part in method.objectives())
    return Spent(steps, sum(p.numel() for part in parts for p in part))


def table_with_parameters(frame, caption, called, spent, digits=3, **more):
    """Mean ± standard deviation over seeds or worlds, and how many parameters each row trained."""
    runs, budgets = over_seeds(frame), Budgets("Pix2pix", spent)
    shown = runs.mean.join(budgets.columns()["parameters"])
    table(
        shown,
        f"{caption} Mean ± standard deviation over {runs.n} {called}; *parameters* are those that are trained.",
        spread=runs.spread.reindex(columns=shown.columns),
        paired=runs,
        called=called,
        budgets=budgets,
        digits=digits,
        **more,
    )


results, samples, accuracy, on_the_way, spent = {}, {}, [], [], {}
for seed, world in enumerate(worlds):
    source = world.test.tensors["source"]
    answers = {
        "copied source": source.expand(DRAWS, *source.shape),
        "the hedge": (source / 2).expand(DRAWS, *source.shape),
        "any colour": random_hues(source),
    }
    method, _, _ = trained(world, FIRST + seed, adversarial_weight=0.0)
    answers["L1 alone"] = draws_of(method, source)
    spent["L1 alone"] = allowed(method, steps)
    stops = [steps // 2, 3 * steps // 4]
    method, history, seen_then = trained(world, FIRST + seed, stops)
    answers["Pix2pix"] = draws_of(method, source)
    spent["Pix2pix"] = allowed(method, steps)
    last = history.values("discriminator/accuracy")[-30:]
    accuracy.append(float(sum(last) / len(last)))
    on_the_way.append(seen_then)
    samples = samples or answers
    for name, draws in answers.items():
        results[name, seed] = measured(world, draws)

# %% tags=["hide-input"]
rows = pd.DataFrame(results).T.rename_axis(["method", "seed"])
mean = rows.groupby(level=0, sort=False).mean()
table_with_parameters(
    rows,
    f"Coloured digits, {len(grey)} test images.",
    "worlds",
    spent,
    best={"error": "lower"} | dict.fromkeys(["saturation", "kept"], "higher"),
    reference=["any colour"],
)
record(
    **{
        measure: {name: rows.loc[name, measure].tolist() for name in mean.index}
        for measure in ("saturation", "spread", "error", "kept")
    },
    budget=Budgets("Pix2pix", spent).plain(),
)
show(
    strip(
        [colour, samples["L1 alone"][0], *samples["Pix2pix"][:3]],
        ["target", "L1 alone", "pix2pix", "again", "again"],
    ),
    alt=(
        f"Eight digits in five rows: bright targets; digits by L1 alone, with a saturation of {results['L1 alone', 0]['saturation']:.2f}; and three draws of pix2pix, "
        f"with a saturation of {results['Pix2pix', 0]['saturation']:.2f}, which differ by {results['Pix2pix', 0]['spread']:.0%} of the true spread."
    ),
    caption=(
        f"The first world's test digits. Does L1 alone hedge, and pix2pix commit itself? Mean saturation over the worlds: {mean.loc['L1 alone', 'saturation']:.2f} and {mean.loc['Pix2pix', 'saturation']:.2f}. "
        f"**Last three rows:** three draws for the same sources. The rival that takes any colour, not shown, has saturation {mean.loc['any colour', 'saturation']:.2f}, and a spread of {mean.loc['any colour', 'spread']:.2f} where pix2pix has {mean.loc['Pix2pix', 'spread']:.2f}."
    ),
    label="draws",
)

# %% [markdown]
# **Does it survive?** First what the adversary changes, then the rivals that learned nothing.

# %% tags=["hide-input"]
claim(
    "saturation-vs-l1-alone",
    rows.loc["Pix2pix", "saturation"],
    rows.loc["L1 alone", "saturation"],
    direction="higher",
    called="worlds",
    better="- saturation: *Pix2pix* is better than *L1 alone*, {ours} against {theirs}.",
    worse="- saturation: *L1 alone* is better than *Pix2pix*, {theirs} against {ours}.",
    undecided="- saturation: *Pix2pix* ({ours}) and *L1 alone* ({theirs}) cannot be told apart.",
)
for rival, measure, direction, name in (
    ("L1 alone", "error", "lower", "error-vs-l1-alone"),
    ("L1 alone", "spread", "higher", "spread-vs-l1-alone"),
    ("any colour", "error", "lower", "error-vs-any-colour"),
    ("any colour", "saturation", "higher", "saturation-vs-any-colour"),
    ("any colour", "kept", "higher", "kept-vs-any-colour"),
    ("any colour", "spread", "higher", "spread-vs-any-colour"),
):
    claim(
        f"digits-{name}",
        rows.loc["Pix2pix", measure],
        rows.loc[rival, measure],
        direction=direction,
        called="worlds",
        better=f"- {measure}: *Pix2pix* is better than *{rival}*, {{ours}} against {{theirs}}.",
        worse=f"- {measure}: *{rival}* is better than *Pix2pix*, {{theirs}} against {{ours}}.",
        undecided=f"- {measure}: *Pix2pix* ({{ours}}) and *{rival}* ({{theirs}}) cannot be told apart.",
    )
say(
    f"Pix2pix has a spread of {mean.loc['Pix2pix', 'spread']:.2f}, and one of {mean.loc['Pix2pix', 'spread, brightest channel']:.2f} in the brightest channel, which no hue can move; any colour has {mean.loc['any colour', 'spread']:.2f} and {mean.loc['any colour', 'spread, brightest channel']:.2f}. "
    f"In the last steps the discriminator was right about {min(accuracy):.0%} to {max(accuracy):.0%} of its looks."
)

# %% [markdown]
# *Any colour* knows the world, and pix2pix had to learn it from pairs. Where somebody knows the law of the answers, no adversary is needed; it is for those who do not.

# %% tags=["hide-input"]
claim(
    "l1-alone-and-the-hedge",
    rows.loc["L1 alone", "error"],
    rows.loc["the hedge", "error"],
    direction="lower",
    called="worlds",
    better="L1 alone, which should find the hedge, has a smaller error: {ours} against {theirs}.",
    worse="L1 alone is not yet at the hedge: an error of {ours} against {theirs}.",
    undecided="The errors of L1 alone ({ours}) and of the hedge ({theirs}) cannot be told apart.",
)

# %% [markdown]
# How flat the country around the hedge is: put $f = \tfrac34$ into the formula above and see how little it adds.
#
# ## What λ trades
#
# Above we worked out the price of a colour: a difference in L1, times λ. At λ = 1000 a judge can only make up for it if it is as sure of the grey answer as worked out there. Does a colour come all the same? Turn the knob. (One training each. Of λ = 0 this chapter says nothing: then
# the discriminator alone ties the answer to the source, and that takes a longer training than this one.)

# %%
method, _, _ = trained(worlds[0], FIRST, l1_weight=1000.0)
shown = {
    "100": samples["Pix2pix"],
    "1000": draws_of(method, grey),
    "∞ (L1 alone)": samples["L1 alone"],
}
scores = {label: measured(worlds[0], draws) for label, draws in shown.items()}
coloured = "; ".join(
    f"λ = {label}: {score['saturation']:.2f}" for label, score in scores.items()
)


# %% tags=["hide-input"]
def draw_knob(label):
    return strip(
        [colour, shown[label][0], shown[label][1]], ["target", "made", "again"]
    )


def describe_knob(label):
    score = scores[label]
    return (
        f"Targets and two draws at λ = {label}: saturation {score['saturation']:.2f}, digit kept {score['kept']:.0%}, "
        f"error {score['error']:.3f}, spread {score['spread']:.0%} of the true one."
    )


frames(
    {"λ": list(shown)},
    draw=draw_knob,
    alt=describe_knob,
    caption=(f"One training each. Saturation: {coloured}."),
    label="price",
)

# %% [markdown]
# ## One colour for everything?
#
# A right sampler would give a digit any hue, whatever it gave before. Plot the hue of one draw against that of another draw for the same source. A sampler fills the square. A network
# that ignores its noise, but takes another hue for another digit, stays on the diagonal. Here is what ours does, at the end and on the way.


# %%
def direction(images):
    """The mean colour of images (S, 3, H, W) as a point of the colour circle: complex (S,)."""
    red, green, blue = images.clamp(0, 1).mean((2, 3)).unbind(1)
    return torch.complex(
        2 * red - green - blue, math.sqrt(3) * (green - blue)
    ).sgn()


def hue(images):
    """From 0 (red) to 1 (red again): (S,)."""
    return direction(images).angle() / (2 * math.pi) % 1


def collapse(images):
    """Length of the mean direction: 1 if all images have one hue, 0 if hues are spread evenly."""
    return float(direction(images).mean().abs())


collapsed = {"Pix2pix": [collapse(seen_then[steps]) for seen_then in on_the_way]}
collapsed["targets"] = [collapse(world.test.tensors["target"]) for world in worlds]
record(collapse=collapsed)

# %% tags=["hide-input"]
figure = Figure(figsize=(5.6, 5.4))
axes = list(figure.subplot_mosaic("ab;cc").values())
colours = {"cmap": "hsv", "vmin": 0, "vmax": 1}
for place, name in zip(axes, ("any colour", "Pix2pix"), strict=False):
    one, another = (hue(samples[name][k]) for k in (0, 1))
    place.scatter(one, another, c=one, s=10, **colours)
    place.set(
        title=name, xlabel="hue, one draw", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
axes[0].set_ylabel("hue, another draw")
hues_then = []
for marker, seen_then in zip("osD", on_the_way, strict=False):
    at = torch.tensor(list(seen_then))
    middle = torch.stack(
        [
            direction(images).mean().angle() / (2 * math.pi) % 1
            for images in seen_then.values()
        ]
    )
    hues_then.append(middle)
    axes[2].plot(at, middle, color="0.75", lw=1, zorder=0)
    axes[2].scatter(
        at, middle, c=middle, s=45, marker=marker, edgecolor="0.3", **colours
    )
axes[2].set(
    title="one training per line",
    xlabel="step",
    ylabel="mean hue of all digits",
    ylim=(0, 1),
)
low = min(collapsed["Pix2pix"])
low_then = min(collapse(made) for then in on_the_way for made in then.values())
listed = "; ".join(" to ".join(f"{h:.2f}" for h in path) for path in hues_then)
swings = "; ".join(
    " to ".join(
        f"{saturation(made.clamp(0, 1)).mean():.2f}" for made in then.values()
    )
    for then in on_the_way
)
show(
    figure,
    alt=(
        f"Hue of one draw against another for the same source: any colour fills the square; pix2pix has a mean direction of length {collapsed['Pix2pix'][0]:.3f}, where 1 is one spot on the diagonal. "
        f"Below: the mean hue of all test digits on the way, training by training: {listed}."
    ),
    caption=(
        "**Left:** a sampler that takes any colour. **Right:** pix2pix, all test digits, two draws each. **Below:** the mean hue on the way, for each "
        f"training (red is at 0 and at 1). At these steps the mean direction of the digits' hues has a length of at least {low_then:.3f}, where 1 is one hue for all."
    ),
    label="collapse",
)
say(
    f"On a scale from 0 (all hues) to 1 (one hue), the test targets are at most at {max(collapsed['targets']):.2f}, and the answers of pix2pix at least at "
    f"**{low:.3f}**, in each of {seeds} trainings. One hue for everything, whatever the source and the noise, is *mode collapse*. The saturation on the way, at the steps of the panel, training by training: {swings}. The table shows one moment of a game."
)

# %% [markdown]
# Does the discriminator not notice? One reading of the lower panel of [](#figure-collapse): it sees that too many made digits are of one colour, and learns to distrust that colour. But it sees one pair at a time, so it cannot say
# "more variety". It can say "not this colour", to all answers at once, and they move on together. Nothing on this page separates that reading from others.
#
# In theory the adversarial term asks for the spread: a discriminator that is optimal at every moment measures $\mathrm{JS}(p, q)$, which vanishes only where the made answers are distributed as the real ones are, spread included. (The loss (2) has another slope than this divergence, but rests where $D^* = \tfrac12$ everywhere, too.) Two things may work against it here: the discriminator only takes turns, and lags; and the
# L1 term, with the weight of λ, prefers a point: of all distributions of answers, the one with the least expected distance is one. Which of the two is to blame, a run with λ = 0 and many steps of the discriminator could tell; this page has none. The authors saw it themselves: only minor randomness in what comes out {cite}`pix2pix`. Where you need a distribution, take a method that has one in its objective:
# {doc}`score_diffusion` or {doc}`flow_matching`.
#
# ## Does it help brains?
#
# The same method, on matrices as images: rest to motor task, as in {doc}`bridge_matching`. Edges are put into a symmetric matrix with ones on its diagonal, for real and made alike; the answer of the
# U-Net is made symmetric. Its output is added to the source, in both rows. Both are trained for the same steps, at the rate of the digits, in batches of 16. *Demeaned r* is the correlation over edges of two deviations from the training people's mean, *identification* how often it finds the right person, and
# *attainable* what somebody would have who knows the world and sees rest alone. How far from the mean of the target given the source is its median here? The last line below the table tells. What could an adversary add?

# %%
SIMPLE = {
    "group mean": group_mean,
    "copied rest": identity,
    "shrunk shift": shrunk_shift,
    "ridge on the change": change_ridge,
}
outcomes, spent_on_brains, lean = {}, {}, []
for seed in range(seeds):
    world = rest_motor_world(subjects=150, regions=regions, seed=seed)
    train, test_people = world.pairs.split(people, seed=seed)
    predicted = {
        name: rival(train, test_people).expand(DRAWS, -1, -1)
        for name, rival in SIMPLE.items()
    }
    for name, weight in {"L1 alone": 0.0, "Pix2pix": 1.0}.items():
        torch.manual_seed(seed)
        method = Pix2pix(
            (train.source.shape[1],),
            width=8,
            depth=0,
            halvings=1,
            dropout=0.2,
            adversarial_weight=weight,
            residual=True,
        )
        fit(
            method,
            train,
            steps=brain_steps,
            batch_size=16,
            schedule="cosine",
            seed=seed,
            **FITTING,
        )
        predicted[name] = draws_of(method, test_people.source)
        spent_on_brains[name] = allowed(method, brain_steps)
    predicted["attainable"] = world.attainable_for(test_people).expand(
        DRAWS, -1, -1
    )
    best_guess = predicted["attainable"][0]
    left_open = (test_people.target - best_guess) * best_guess.sign()
    lean.append(float((left_open.median() - left_open.mean()) / left_open.std()))
    for name, draws in predicted.items():
        scored = evaluate(draws[0], test_people.target, train.target.mean(0))
        missed = (draws.mean(0) - test_people.target).square().mean().sqrt()
        outcomes[name, seed] = {
            "RMSE": scored["rmse"],
            "demeaned r": scored["demeaned_r"],
            "identification": scored["identification_demeaned"],
            # a mean of few honest draws errs by their variance over their number more
            "spread / error": float(
                ((1 + 1 / DRAWS) * draws.var(0).mean()).sqrt() / missed
            ),
        }

# %% tags=["hide-input"]
brains = pd.DataFrame(outcomes).T.rename_axis(["method", "world"])
table_with_parameters(
    brains,
    f"Rest to motor, {regions} regions, {people} test people, one draw each. *Spread / error* compares the spread of {DRAWS} draws with the error of their mean, and is 1 for an honest sampler.",
    "worlds",
    spent_on_brains,
    best={"RMSE": "lower", "demeaned r": "higher", "identification": "higher"},
    reference=["attainable"],
    digits={"RMSE": 4, "identification": 2, "spread / error": 2},
)
for ours, theirs, measure, direction, name in (
    ("Pix2pix", "L1 alone", "demeaned r", "higher", "adversary-r"),
    ("Pix2pix", "L1 alone", "RMSE", "lower", "adversary-rmse"),
    ("L1 alone", "shrunk shift", "RMSE", "lower", "network-shift"),
    ("L1 alone", "ridge on the change", "RMSE", "lower", "network-ridge"),
    ("Pix2pix", "ridge on the change", "demeaned r", "higher", "pix2pix-ridge"),
):
    claim(
        f"brains-{name}",
        brains.loc[ours, measure],
        brains.loc[theirs, measure],
        direction=direction,
        called="worlds",
        better=f"- {measure}: *{ours}* is better than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"- {measure}: *{theirs}* is better than *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"- {measure}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )
claim(
    "brains-honest-spread",
    brains.loc["Pix2pix", "spread / error"],
    1.0,
    direction="higher",
    unit="%",
    called="worlds",
    better="Pix2pix's draws have {ours} of the spread that the error of their mean calls for: more than an honest sampler, which has all of it.",
    worse="Pix2pix's draws have {ours} of the spread that the error of their mean calls for: less than an honest sampler, which has all of it.",
    undecided="Pix2pix's draws have {ours} of the spread that the error of their mean calls for; an honest sampler, which has all of it, cannot be excluded.",
)
say(
    f"(What the attainable answer leaves open, counted away from zero, has its median {abs(sum(lean)) / len(lean):.2f} of its standard deviation from its mean.)"
)
record(
    connectomes={
        measure: {name: brains.loc[name, measure].tolist() for name in brains.index.unique(0)}
        for measure in ("RMSE", "demeaned r")
    }
)  # fmt: skip

# %% [markdown]
# At least three things differ from the digits: a matrix of regions is no image, since the order of its rows is a convention; a median of edges, as near to their mean as the line above says, is no hedge between far answers; and the training is shorter. What would you run to find out which of them matters? (The shrunk shift and ridge regression see no image at all.)
#
# ## What goes wrong in practice
#
# - **The discriminator is right at once, and for good.** Made images differ from real ones in something trivial. If targets are binary masks, only the real ones have exact zeros and ones, and one look at that is enough; users of the
#   public code report it, and are told to try a least-squares loss in place of (1) {cite}`mao2017lsgan`. Our digits are such a case: their background is exactly black.
#   With matrices the trap is the diagonal: if only the real ones had ones there, the discriminator would learn nothing else.
# - **The loss says nothing.** (2) and (1) move against each other. A falling $L_G$ may mean a stronger generator or a weaker discriminator. Look at samples, and at measures of closeness *and* of spread.
# - **Dropout is left off at test time**, by `model.eval()`. The published method leaves it on; without it the network is another one than was trained. {py:meth}`~mmlab.methods.pix2pix.Pix2pix.sample`
#   draws dropout from the generator that it is handed, and from no other.
# - **The discriminator is not shown the source.** Then any good target passes, whoever it belongs to. Here source and target enter it together.
#
# ## Exercises
#
# ```{exercise} The best judge of two uniforms (compute)
# :label: pix2pix-uniform
#
# Real values are uniform on $[0, 1]$, made ones on $[0, 2]$. What is the best $D$ at $y = 0.5$, what is it at $y = 1.5$, and what is the least loss (1)?
# ```

# %% tags=["stub:uniform"]
from mmlab.exercises.pix2pix import check_uniform

best_at_half = ...
best_at_three_halves = ...
least_loss = ...

check_uniform((best_at_half, best_at_three_halves, least_loss))

# %% [markdown]
# ```{solution-start} pix2pix-uniform
# :class: dropdown
# ```

# %% tags=["solution:uniform"]
real_density, made_density = 1.0, 0.5  # both on [0, 1]; beyond 1 only made values
best_at_half = real_density / (real_density + made_density)
best_at_three_halves = 0.0
on_made_values = 0.5 * math.log(1 - best_at_half)  # the other half costs nothing
least_loss = -(math.log(best_at_half) + on_made_values) / 2

check_uniform((best_at_half, best_at_three_halves, least_loss))

# %% tags=["hide-input"]
say(
    f"Half of the made values give themselves away. The loss is {least_loss:.3f}, below $\\log 2$ by the Jensen–Shannon divergence, {math.log(2) - least_loss:.3f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The size of a patch (code)
# :label: pix2pix-patch
#
# Write the receptive field (4) of a chain of convolutions, given the lists of `kernels` and `strides` from the image to the output.
# ```

# %% tags=["stub:patch"]
from mmlab.exercises.pix2pix import check_patch


def patch(kernels, strides):
    return ...


check_patch(patch)

# %% [markdown]
# ```{solution-start} pix2pix-patch
# :class: dropdown
# ```


# %% tags=["solution:patch"]
def patch(kernels, strides):
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = stride * (field - 1) + kernel
    return field


check_patch(patch)

# %%
say(
    f"Three halvings, as published: {patch([4] * 5, [2, 2, 2, 1, 1])} pixels. With a fourth it would be {patch([4] * 6, [2] * 4 + [1, 1])}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A judge with one eye (think)
# :label: pix2pix-exact
#
# A discriminator looks at nothing but how many pixels of the answer are exactly black where the source is exactly black. How often is it right about our answers? What would you change: the generator, the data, or the loss?
# ```
#
# ```{solution-start} pix2pix-exact
# :class: dropdown
# ```

# %%
background = grey == 0


def exactly_black(images):
    """Share of the background that is exactly zero, (S,)."""
    return ((images == 0) & background).flatten(1).sum(1) / background.flatten(
        1
    ).sum(1)


called_real = [
    exactly_black(images) > 0.5 for images in (colour, samples["Pix2pix"][0])
]
right = (called_real[0].float().mean() + (~called_real[1]).float().mean()) / 2
say(
    f"It is right about {right:.0%}. A generator whose output is cut off at 0 could not be caught like this, nor data with a little noise on all images, "
    "real and made. A least-squares loss does not close the eye; it only stops the discriminator from becoming ever surer, since it is fitted to the numbers 0 and 1. The cheapest cure is to make the trivial difference "
    "impossible: multiply by the mask, or set the diagonal."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The price of one fixed colour (code)
# :label: pix2pix-fixed
#
# The text works out the expected absolute error of the hedge, and tells that of a colour drawn at random. What is it for one *fixed* bright colour, whose channels are 0, 1 and `middle`, in any order? Start from the error of one channel, take the mean over the three, and find the colour that L1 forgives most easily. Compare it with the hue on which the training settled.
# ```

# %% tags=["stub:fixed"]
from mmlab.exercises.pix2pix import check_fixed


def fixed_colour(middle):
    return ...


check_fixed(fixed_colour)

# %% [markdown]
# ```{solution-start} pix2pix-fixed
# :class: dropdown
# ```


# %% tags=["solution:fixed"]
def fixed_colour(middle):
    def channel(f):  # dark, bright, or evenly in between
        return f / 3 + (1 - f) / 3 + (f**2 + (1 - f) ** 2) / 6

    return sum(channel(f) for f in (0, 1, middle)) / 3


check_fixed(fixed_colour)

# %% [markdown]
# Hues with a middle channel of one half are 1/12, 3/12, 5/12 and so on.

# %% tags=["hide-input"]
settled = torch.stack([path[-1] for path in hues_then])
place = (6 * settled - 0.5) % 1
distance = torch.minimum(place, 1 - place) / 6
say(
    f"The trainings settled at {', '.join(f'{h:.2f}' for h in settled)}: {', '.join(f'{gap:.3f}' for gap in distance)} from the nearest of these. "
    f"A hue taken at random is {1 / 24:.3f} away on average."
)

# %% [markdown]
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} The discriminator's loss has settled at log 2. Is that good?
# It is what happens where fakes cannot be told from real images. It is also what happens where the discriminator is too weak, or broken, to tell anything. Show it fakes that are plainly wrong: if the loss does not fall, it is the second.
# ```
#
# ```{dropdown} Why is the answer of L1 alone grey, and not one of the colours?
# Each channel of each pixel is its own median. With hues drawn evenly, all three channels have the same median, and equal channels are grey. No pixel knows what the others chose.
# ```
#
# ```{dropdown} You replace the dropout by a noise image beside the source. Will the spread come back?
# Dropout is noise already, and here the hue does not listen to it, so another input alone is a weak hope; try it. In theory the game of (1) and (2) rests where the spread is right. At λ = 100 the L1 term punishes it, and a discriminator that lags may not ask for it.
# ```
#
# ## In five lines
#
# - L1 alone learns medians, pixel by pixel; with colours drawn evenly that is grey.
# - An optimal discriminator measures the Jensen–Shannon divergence, in which the spread counts. What one beside $\lambda = 100$ gets is measured above, by saturation, by spread and by hue.
# - $\lambda$ sets a price: work out the difference in L1, times $\lambda$, and compare it with what $-\log D$ can fall by.
# - A patch that is larger than the image is no patch. Measure what a logit sees.
# - Put the network with L1 alone, a rule that knows the world, and a linear model beside it: the lists above say what this run can tell apart.
#
# ## Limits, and what to read next
#
# - The images are tiny, the networks small and the trainings short, and their length and learning rate were chosen by looking at one such world, which is not among those above (though it has the same digits). Nothing here says how pix2pix compares on photographs, where textures matter more than hues.
# - The U-Net is the book's, with residual blocks and group normalisation instead of the published layers.
#
# Read {cite:t}`goodfellow2014gan` for the game, {cite:t}`pix2pix` for the ablations of loss and patch, {cite:t}`mao2017lsgan` for the least-squares loss. {doc}`wgan_qc` replaces the classifier by a critic that solves a transport problem, and
# {doc}`rest_to_motor` sets the methods of this part side by side.

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
# # Bridge matching in the tangent space
#
# **Is what our model draws a brain that could exist?**
#
# A matrix of correlations is not just a list of numbers between −1 and 1. If region A follows region B closely, and B follows C
# closely, then A and C cannot be opposed. All such demands together say one thing: the matrix has no negative eigenvalue. A bridge
# between lists of edges ({doc}`bridge_matching`) knows nothing of this. Its samples are lists of edges, and need not be
# the correlations of anything.
#
# One can repair each sample afterwards. One can also walk in other coordinates, in which *every* point is a valid
# matrix. This chapter does that, and asks whether it is worth it.
#
# After this chapter you can move between correlation matrices and their tangent space, you know why this is Fisher's $z$ for whole
# matrices, and you can ask of a gain what is due to the bridge and what to the coordinates.
#
# You need {doc}`bridge_matching` and eigenvalues. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3  # worlds, each with a training of its own
steps: int = 200  # of every training run
subjects: int | None = None
regions: int | None = None

# %% tags=["hide-input"]
import math
from functools import cache

import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeCV

from mmlab import generator
from mmlab.compare.translation import (
    DIRECTIONS,
    LIMITS,
    TRAINING,
    Trained,
    translate,
)
from mmlab.data.connectome import edges, matrices
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.tangent_bridge import TangentBridge
from mmlab.metrics.correlation_geometry import (
    affine_invariant,
    correlation_of,
    from_tangent,
    geometric_mean,
    project_to_correlation,
    to_tangent,
)
from mmlab.viz import claim, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import lines, use_theme

large = profile == "gpu"
regions = regions or (160 if large else 40)
subjects = subjects or (600 if large else 300)
use_theme()


# %% [markdown]
# ## The idea in one picture
#
# Take three regions, the third of which correlates in the same way with the other two. Two numbers describe the matrix,
# and the allowed points fill a region between a parabola and a line. Now diffuse from one allowed matrix to another. In the plane of edges the noise knows no border. In
# tangent coordinates there is none: the border has been moved to infinity.

# %% tags=["hide-input"]
START, END = (0.9, 0.75), (-0.25, -0.5)
MIRROR = [3, 1, 4, 0, 2, 5]  # exchanges regions 1 and 2 in tangent coordinates


def three(between, third):
    """Regions 1 and 2 correlate with each other, and both in the same way with region 3."""
    return torch.tensor(
        [[1, between, third], [between, 1, third], [third, third, 1]],
        dtype=torch.float64,
    )


def walk(sigma, tangent, paths=6, count=120, seed=1):
    """Brownian bridges from START to END, in tangent coordinates or on the edges themselves: (paths, count + 1, 2)."""
    ends = torch.stack([three(*START), three(*END)])
    middle = geometric_mean(ends)
    first, last = to_tangent(ends, middle) if tangent else edges(ends)[:, :2]
    step = torch.randn(
        paths, count, len(first), generator=generator(seed), dtype=torch.float64
    )
    if tangent:  # regions 1 and 2 stay alike: what is left of the noise is as strong in each direction
        step = (step + step[..., MIRROR]) / 2
    t = torch.linspace(0, 1, count + 1, dtype=torch.float64)[:, None]
    path = torch.cat(
        [torch.zeros(paths, 1, len(first)), step.cumsum(1) / count**0.5], 1
    )
    bridge = (1 - t) * first + t * last + sigma * (path - t * path[:, -1:])
    if not tangent:
        return bridge
    return edges(correlation_of(from_tangent(bridge, middle)))[..., :2]


def outside(path):
    """Share of the points at which the matrix has a negative eigenvalue."""
    between, third = path.unbind(-1)
    return float(((between > 1) | (between < 2 * third**2 - 1)).double().mean())


def draw_walks(sigma):
    figure = Figure(figsize=(5.6, 3.4))
    for axes, tangent, title in zip(
        figure.subplots(1, 2),
        (False, True),
        ("between edges", "tangent coordinates"),
        strict=True,
    ):
        third = torch.linspace(-1, 1, 101)
        axes.fill_betweenx(third, 2 * third**2 - 1, 1, color="0.9")
        path = walk(sigma, tangent)
        for one in path:
            axes.plot(one[:, 0], one[:, 1], lw=0.8, color="C0")
        axes.plot(*START, "o", color="C2")
        axes.plot(*END, "s", color="C1")
        axes.set(
            xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal",
            xlabel="$r_{12}$", ylabel="$r_{13} = r_{23}$", title=title,
        )  # fmt: skip
    return figure


def describe_walks(sigma):
    shares = [outside(walk(sigma, tangent)) for tangent in (False, True)]
    return (
        f"With σ = {sigma}, {shares[0]:.0%} of the path between edges lies outside the allowed region, and "
        f"{shares[1]:.0%} of the path in tangent coordinates. In both panels the paths run from a green point to a red square."
    )


frames(
    {"σ": [0.0, 0.2, 0.5, 1.0]},
    draw_walks,
    describe_walks,
    caption=(
        "Three regions; the grey area holds the correlation matrices. Turn σ up: on the left the paths leave "
        "it, on the right they never do, however large σ is. (Tangent units are not units of correlation, so compare the "
        "borders, not the widths.)"
    ),
    start={"σ": 0.5},
    label="border",
)

# %% [markdown]
# ## Coordinates without a border
#
# Take a correlation matrix $C$ without an eigenvalue of zero: it is positive definite. Positive definite matrices have a natural geometry, in which the
# distance does not change when all regions are mixed by an invertible matrix. Near a reference $M$ it is flattened by
# the logarithm: first whiten with $M$, so that the reference becomes the identity; then take the logarithm of the
# eigenvalues {cite}`varoquaux2010tangent`:
#
# $$\log_M C = \log\!\left(M^{-1/2}\, C\, M^{-1/2}\right). \tag{1}$$
#
# Positive definite matrices become all symmetric matrices: no condition is left. (Correlation matrices become a curved
# part of them, one dimension less for each region; the last step below leads back to it.) Write it as a vector $v$ with the diagonal as it is and the
# rest times $\sqrt2$,
#
# $$v = \left(L_{ii},\; \sqrt2\, L_{ij}\right)_{i<j}, \qquad L = \log_M C , \tag{2}$$
#
# because then $\lVert v\rVert = \lVert L\rVert_F$ is the distance from $M$ to $C$. The way back is the exponential,
#
# $$\exp_M L = M^{1/2} \exp(L)\, M^{1/2}, \tag{3}$$
#
# positive definite for every $L$: exponentials are positive. The diagonal of (3) need not be one, though. So the
# last step divides it out, as one makes correlations from covariances:
#
# $$C = D^{-1/2}\,\Sigma\,D^{-1/2}, \qquad D = \operatorname{diag}\Sigma . \tag{4}$$
#
# **Two regions.** The matrix with the single edge $r$ has eigenvalues $1 \pm r$. With $M = I$ the entry off the diagonal
# of (1) is $\tfrac12\big(\log(1+r) - \log(1-r)\big) = \operatorname{artanh} r$: that is *Fisher's z*, the transform that statisticians
# have used on single correlations for a century. And (3) with (4) give $\tanh$. So the tangent space is Fisher's $z$ for whole matrices.
#
# **Which reference?** The one with the least mean squared distance to the data: the *geometric mean*, at which the vectors of (2) average to
# zero. We take one mean per state, both from the training people. This has a pleasant consequence. "Nothing changes"
# in tangent coordinates means: as people differ from the mean at rest, so they differ from it in the task.

# %%
world = rest_motor_world(subjects=subjects, regions=regions, seed=0)
train, test = world.pairs.split(100, seed=0)
method = TangentBridge((train.source.shape[1],)).set_references(train)

# %% tags=["hide-input"]
vectors = method.tangent_vectors(train).tensors["source_tangent"]
back = method.to_edges(method.tangent_vectors(test).tensors["target_tangent"])
say(
    f"There and back again changes no edge by more than {float((back - test.target).abs().max()):.0e}. A person is now a vector of "
    f"{vectors.shape[1]} numbers, whose mean over people is zero. The mean length, which is the mean distance to the geometric mean, is "
    f"{vectors.norm(dim=1).mean():.1f}."
)

# %% [markdown]
# ## The method is one line
#
# Bridge matching does not care what its vectors mean. So: map both states to their tangent spaces, train the bridge of
# {doc}`bridge_matching` between the vectors, and map its samples back. The class
# {py:class}`~mmlab.methods.tangent_bridge.TangentBridge` overrides `loss` and `sample`, and keeps the two means with its weights.
# [](#figure-way) shows the way of a matrix.

# %% tags=["hide-input"]
show(
    in_rows(
        [
            {"rest": "rest matrix"},
            {"in": "vector of $\\log_M C$, (1) and (2)"},
            {"bridge": "bridge matching"},
            {"out": "vector near the task mean"},
            {"back": "$\\exp_{M'}$ and unit diagonal, (3) and (4)"},
            {"task": "task matrix"},
        ],
        [
            ("rest", "in", "mean $M$ at rest"), ("in", "bridge"), ("bridge", "out"),
            ("out", "back", "mean $M'$ in the task"), ("back", "task"),
        ],
        trained=["bridge"],
    ),
    alt="A column of boxes: rest matrix, its tangent vector, bridge matching, a tangent vector, exponential with unit diagonal, task matrix.",
    caption="From a rest matrix to a sampled task matrix. Blue is trained; the two means are computed once, from the training people.",
    label="way",
)  # fmt: skip

# %% [markdown]
# By hand:


# %%
def sample_by_hand(method, source, rng):
    values, axes = torch.linalg.eigh(method.source_mean)
    root = (axes * values.rsqrt()) @ axes.T
    values, axes = torch.linalg.eigh(root @ matrices(source.double()) @ root)
    logarithm = (axes * values.log()[:, None]) @ axes.mT  # Eq. (1)
    rows, columns = torch.triu_indices(regions, regions)
    weight = torch.where(rows == columns, 1.0, 2**0.5)
    v = logarithm[:, rows, columns].float() * weight  # Eq. (2)
    v = BridgeMatching.sample(method, v, steps=5, rng=rng)
    return method.to_edges(v).float()  # Eqs. (3) and (4)


ours = sample_by_hand(method.eval(), test.source[:5], generator(1))
theirs = method.sample(test.source[:5], steps=5, rng=generator(1))
assert torch.allclose(ours, theirs, atol=1e-4)

# %% [markdown]
# ## The experiment
#
# The rivals of {doc}`bridge_matching` that no gradient trains are here, and the bridge between edges itself, as it is and projected onto the correlation
# matrices afterwards. Two baselines live in the new coordinates. The *tangent shift* changes nothing in them.
# *Ridge regression in tangent coordinates* is one call of scikit-learn, its penalty chosen on the training people. If it does as
# well as the bridge, the coordinates deserve the credit. The same call on *edges*, and on *Fisher's z* of each edge by itself, tells
# what the solver and what the logarithm of the whole matrix contributes. The *line* of a bridge is the ridge regression that it starts from, by itself: the bridge
# without its network. Both bridges train with the same steps, rate and penalty. Both have σ = 0.1, each
# in its own units; a σ several times larger or smaller draws the same samples, since training and sampling go by the share of the target that a state shows. (`scale` is a guess at the size of what they see, which the regression that they start from measures.)

# %%
SAMPLES = 20
training = TRAINING | {"steps": steps}
edge_count = train.source.shape[1]


def tangent_bridge(seed):
    return TangentBridge((edge_count,), 64, 0, 0.1, dropout=0.5, scale=0.1)


def plain_bridge(seed):
    return BridgeMatching((edge_count,), 64, 0, 0.1, dropout=0.5, scale=0.2)


@cache
def chart(pairs):
    """Both means of these training people, and their tangent vectors: found once for all who need them."""
    method = tangent_bridge(0).set_references(pairs)
    return method, method.tangent_vectors(pairs)


def in_tangent_space(method, pairs):
    known, vectors = chart(pairs)
    method.source_mean.copy_(known.source_mean)
    method.target_mean.copy_(known.target_mean)
    return vectors


def tangent_shift(pairs, source, seed):
    method, _ = chart(pairs)
    return method.to_edges(method.to_source(source)).float()


def ridge_between(known, wanted, asked):
    ridge = RidgeCV(alphas=[10.0**k for k in range(-2, 6)])
    ridge.fit(known.numpy(), wanted.numpy())
    return torch.from_numpy(ridge.predict(asked.numpy())).float()


def tangent_ridge(pairs, source, seed):
    method, vectors = chart(pairs)
    known, wanted = (
        vectors.tensors[side] for side in ("source_tangent", "target_tangent")
    )
    guess = ridge_between(known, wanted, method.to_source(source))
    return method.to_edges(guess).float()


def edge_ridge(pairs, source, seed):
    return ridge_between(pairs.source, pairs.target, source)


def fisher_ridge(pairs, source, seed):
    z = ridge_between(pairs.source.atanh(), pairs.target.atanh(), source.atanh())
    return z.tanh()


def projected(pairs, source, seed):
    mean = rivals["bridge between edges"].draw(source, seed).mean(0)
    return edges(project_to_correlation(matrices(mean)))


def edge_line(pairs, source, seed):
    return rivals["bridge between edges"].methods[seed].cpu().linear(source)


def tangent_line(pairs, source, seed):
    method = rivals["tangent bridge"].methods[seed].cpu()
    return method.to_edges(method.linear(method.to_source(source))).float()


rivals = {
    "tangent shift": tangent_shift,
    "ridge on edges": edge_ridge,
    "ridge on Fisher's z": fisher_ridge,
    "ridge in tangent coordinates": tangent_ridge,
    "bridge between edges": Trained(
        plain_bridge, training, samples=SAMPLES, steps=10
    ),
    "bridge between edges, projected": projected,
    "line of the bridge between edges": edge_line,
    "tangent bridge": Trained(
        tangent_bridge,
        training,
        samples=SAMPLES,
        steps=10,
        prepare=in_tangent_space,
    ),
    "line of the tangent bridge": tangent_line,
}
worlds = {0: world} | {
    seed: rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    for seed in range(1, seeds)
}
found = translate(rivals, worlds, draws=16)
allowed = found.budgets(f"tangent bridge, mean of {SAMPLES}")
table_over_seeds(
    found.scores,
    "Test people of all worlds. The last two rows are limits.",
    over="world",
    best=DIRECTIONS,
    reference=LIMITS,
    budgets=allowed,
    ceiling="ceiling",
)

# %% [markdown]
# **What the table says**, row by row, with the same people on both sides:

# %% tags=["hide-input"]
OURS, PLAIN = (
    f"tangent bridge, mean of {SAMPLES}",
    f"bridge between edges, mean of {SAMPLES}",
)
for short, rival in (
    ("the bridge between edges", PLAIN),
    ("ridge in tangent coordinates", "ridge in tangent coordinates"),
    ("its own line", "line of the tangent bridge"),
    ("ridge on the change", "ridge on the change"),
):
    for measure, better_if in DIRECTIONS.items():
        claim(
            f"tangent-bridge-{measure.lower().replace(' ', '-')}-and-{rival.split(',')[0].replace(' ', '-')}",
            found.of(OURS, measure),
            found.of(rival, measure),
            direction=better_if,
            called="worlds",
            better=f"- {measure}: the tangent bridge is better than {short}, {{ours}} against {{theirs}}.",
            worse=f"- {measure}: the tangent bridge is worse than {short}, {{ours}} against {{theirs}}.",
            undecided=f"- {measure}: the tangent bridge ({{ours}}) and {short} ({{theirs}}) cannot be told apart.",
        )
for slug, rival in (
    ("edges", "ridge on edges"),
    ("fisher", "ridge on Fisher's z"),
):
    for measure, better_if in DIRECTIONS.items():
        claim(
            f"tangent-coordinates-{slug}-{measure.lower().replace(' ', '-')}",
            found.of("ridge in tangent coordinates", measure),
            found.of(rival, measure),
            direction=better_if,
            called="worlds",
            better=f"- The coordinates alone, {measure}: with the same solver, ridge in them is better than {rival}, {{ours}} against {{theirs}}.",
            worse=f"- The coordinates alone, {measure}: with the same solver, ridge in them is worse than {rival}, {{ours}} against {{theirs}}.",
            undecided=f"- The coordinates alone, {measure}: with the same solver, ridge in them ({{ours}}) and {rival} ({{theirs}}) cannot be told apart.",
        )
sizes = {row: allowed.spent[row].parameters for row in (OURS, PLAIN)}
say(
    f"(The diagonal comes along in tangent coordinates, so that the tangent bridge has {sizes[OURS]:,} trained parameters and the bridge between edges "
    f"{sizes[PLAIN]:,}.)"
)
record(
    **{
        key: found.of(OURS, measure).tolist()
        for key, measure in (("rmse", "RMSE"), ("demeaned_r", "demeaned r"), ("identification", "identification"))
    },
    bridge_matching={m: found.of(PLAIN, m).tolist() for m in DIRECTIONS},
    mean_shift={m: found.of("mean shift", m).tolist() for m in DIRECTIONS},
    budget=allowed.plain(),
    ridge_in_tangent_coordinates={m: found.of("ridge in tangent coordinates", m).tolist() for m in DIRECTIONS},
)  # fmt: skip

# %% [markdown]
# ### How many samples are averaged?
#
# The order of the rows may depend on it. The squared error of a mean of $k$ samples is that of infinitely many plus their variance over $k$; the dotted
# lines of [](#figure-averaging) are those limits. Dashed and dash-dotted are ridge regression in tangent coordinates and the tangent bridge's own line, which draw nothing.

# %% tags=["hide-input"]
curves = {
    name: found.curve(name, (1, 2, 5, 10, SAMPLES))
    for name in ("bridge between edges", "tangent bridge")
}
level = found.of("ridge in tangent coordinates", "RMSE").mean()
own = found.of("line of the tangent bridge", "RMSE").mean()
figure = lines(
    pd.concat([curve.assign(method=name) for name, curve in curves.items()]),
    "samples",
    "RMSE",
    log_x=True,
)
figure.axes[0].axhline(
    level, color="0.3", lw=1.2, ls="--", label="ridge in tangent coordinates"
)
figure.axes[0].axhline(
    own, color="0.3", lw=1.2, ls="-.", label="line of the tangent bridge"
)
figure.axes[0].legend(title="")
for colour, curve in zip(("C0", "C1"), curves.values(), strict=True):
    figure.axes[0].axhline(curve["RMSE, limit"].mean(), color=colour, lw=1, ls=":")
figure.axes[0].set(xlabel="samples averaged", ylabel="RMSE")
ends = {
    name: (curve[curve.samples == 1]["RMSE"].mean(), curve["RMSE, limit"].mean())
    for name, curve in curves.items()
}
show(
    figure,
    alt=(
        f"RMSE of the mean of 1 to {SAMPLES} samples for two bridges. "
        + " ".join(
            f"The {name} has {one:.4f} with one sample and {limit:.4f} in the limit."
            for name, (one, limit) in ends.items()
        )
        + f" Ridge regression in tangent coordinates has {level:.4f}, the tangent bridge's own line {own:.4f}."
    ),
    caption=(
        "The error of the mean over the number of samples, with 95 % intervals over the worlds. Dotted, in the colour of its bridge: the limit of infinitely many samples, "
        + ", ".join(
            f"{limit:.4f} for the {name}" for name, (_, limit) in ends.items()
        )
        + f". Dashed: ridge regression in tangent coordinates, {level:.4f}. Dash-dotted: the tangent bridge's own line, {own:.4f}."
    ),
    label="averaging",
)
endless = curves["tangent bridge"].groupby("world")["RMSE, limit"].first()
for slug, short, rival in (
    (
        "bridge",
        "the bridge between edges",
        curves["bridge between edges"].groupby("world")["RMSE, limit"].first(),
    ),
    (
        "ridge",
        "ridge in tangent coordinates",
        found.of("ridge in tangent coordinates", "RMSE"),
    ),
    ("line", "its own line", found.of("line of the tangent bridge", "RMSE")),
):
    claim(
        f"tangent-bridge-limit-and-{slug}",
        endless,
        rival,
        direction="lower",
        called="worlds",
        better=f"- RMSE in the limit of infinitely many samples: the tangent bridge is better than {short}, {{ours}} against {{theirs}}.",
        worse=f"- RMSE in the limit of infinitely many samples: the tangent bridge is worse than {short}, {{ours}} against {{theirs}}.",
        undecided=f"- RMSE in the limit of infinitely many samples: the tangent bridge ({{ours}}) and {short} ({{theirs}}) cannot be told apart.",
    )  # fmt: skip

# %% [markdown]
# Why should the coordinates matter at all? In this world the traits of a person enter the *logarithm* of the covariance as a sum. On
# the edges the same traits multiply and mix. The world was built that way, and so it
# may favour this chapter. On both sets of real scans on the page [Measured on real data](../book/measured.md), where nobody built anything, the bridge
# between edges comes nearer to the measured matrices than this one. {doc}`rest_to_motor` goes on from there.
#
# ### Are the samples brains?

# %% tags=["hide-input"]
drawn = {"edges": "bridge between edges", "tangent": "tangent bridge"}
smallest = {
    kind: torch.cat(
        [
            torch.linalg.eigvalsh(matrices(found.samples[name, seed].double()))[
                ..., 0
            ]
            for seed in worlds
        ]
    )
    for kind, name in drawn.items()
}
broken = {
    kind: float((values < -1e-5).double().mean())
    for kind, values in smallest.items()
}
least = {kind: float(values.min()) for kind, values in smallest.items()}
first = {kind: found.samples[name, 0][0].double() for kind, name in drawn.items()}
truth = matrices(test.target.double())


def distance(made):
    """Mean affine-invariant distance of matrices to the measured ones."""
    return float(affine_invariant(made, truth).mean())


after = {
    floor: distance(project_to_correlation(matrices(first["edges"]), floor=floor))
    for floor in (1e-3, 1e-2, 0.1)
}
inside = distance(matrices(first["tangent"]))
copied = distance(matrices(test.source.double()))


def invalid(made):
    """Share of matrices with a negative eigenvalue."""
    least = torch.linalg.eigvalsh(matrices(made.double()))[..., 0]
    return float((least < -1e-5).double().mean())


shift = test.source + (train.target - train.source).mean(0)
means = {name: invalid(found.samples[name, 0].mean(0)) for name in drawn.values()}
figure = Figure(figsize=(5.6, 3.4))
axes = figure.subplots()
bins = torch.linspace(min(least.values()) - 0.01, 0.15, 80)
for kind, colour, label in [
    ("edges", "C0", "bridge between edges"),
    ("tangent", "C1", "tangent bridge"),
]:
    axes.hist(
        smallest[kind].flatten(),
        bins,
        alpha=0.6,
        color=colour,
        label=label,
    )
measured = torch.cat(
    [
        torch.linalg.eigvalsh(matrices(held_out.target.double()))[..., 0]
        for _, held_out in found.splits.values()
    ]
)
axes.axvline(
    float(measured.mean()), color="black", lw=1, ls="--", label="measured, mean"
)
axes.axvline(0, color="black", lw=1)
axes.set(xlabel="smallest eigenvalue of a sample", ylabel="samples")
axes.legend()
show(
    figure,
    alt=(
        f"Histograms of the smallest eigenvalue of samples. {broken['edges']:.0%} of the samples of the bridge between edges lie "
        f"below zero, and {broken['tangent']:.0%} of those of the tangent bridge. A dashed line at {float(measured.mean()):.3f} marks the measured matrices."
    ),
    caption=(
        f"Of the samples of the bridge between edges, {broken['edges']:.0%} have a negative eigenvalue, down to {least['edges']:.2f}: they are "
        f"correlations of nothing. Of the tangent bridge's, {broken['tangent']:.0%}. Dashed: the mean of measured task matrices, which is {float(measured.mean()):.3f}; that of the "
        f"tangent samples is {float(smallest['tangent'].mean()):.3f}."
    ),
    label="eigenvalues",
)
say(
    f"**Is a mean valid?** In the first world a matrix with a negative eigenvalue comes from the mean of {SAMPLES} samples in {means['bridge between edges']:.0%} of the people for the "
    f"bridge between edges, {means['tangent bridge']:.0%} for the tangent bridge, and {invalid(shift):.0%} for the mean shift. Projecting the mean of the bridge between edges changes its RMSE, over all worlds, from "
    f"{found.of(PLAIN, 'RMSE').mean():.5f} to {found.of('bridge between edges, projected', 'RMSE').mean():.5f}."
)
say(
    "**Is a repaired sample near the truth?** That hangs on the least eigenvalue that the repair allows. The mean affine-invariant distance, in the first world, to the measured task matrices is "
    + ", ".join(f"{value:.1f} with {floor:g}" for floor, value in after.items())
    + f". Samples of the tangent bridge are {inside:.1f} away, and the person's own rest matrix, which draws nothing, {copied:.1f}."
)
record(share_of_invalid_samples=broken)

# %% [markdown]
# ## In practice
#
# - **A scan with fewer frames than regions has no logarithm.** Its smallest eigenvalues are exactly zero, and (1) sends them to minus
#   infinity. Shrink towards the identity first (`shrinkage`); the result depends on how much.
# - **The logarithm evens out the noise, and keeps the bias.** The noise of a scan is largest where the variance is large; after (1) it is about
#   $\sqrt{2/T}$ in all directions, if there are many more frames $T$ than regions, and more if there are not. But when frames are few, the smallest eigenvalues come out too small, and the logarithm takes ratios seriously.
#   The cell below measures both.
# - **The reference is a parameter.** It comes from the training people. Computing it from everybody lets the test people in.
# - **One reference or two?** With one for both states the mean shift has to be learned. With two it is in the coordinates.
# - **A mean of valid samples is valid**, since correlation matrices are a convex set. A *shift* of a valid matrix need not be, as the shares above show.

# %%
truth_values, truth_axes = torch.linalg.eigh(method.target_mean)
root = truth_axes * truth_values.sqrt()  # (N, N), eigen-directions in the columns
noise = {}
for frames_taken in (284, 2 * regions):
    white = torch.randn(
        400, frames_taken, regions, generator=generator(6), dtype=torch.float64
    )
    scans = root @ (white.mT @ white / frames_taken) @ root.T
    turned = truth_axes.T @ scans @ truth_axes
    values, axes = torch.linalg.eigh(white.mT @ white / frames_taken)
    logarithm = (axes * values.log()[:, None]) @ axes.mT
    noise[frames_taken] = {
        "raw": turned.diagonal(dim1=1, dim2=2).std(0)[[0, -1]].tolist(),
        "log": logarithm.diagonal(dim1=1, dim2=2).std(0)[[0, -1]].tolist(),
        "bias": values.log()[:, 0].mean().item(),
    }
say(
    "Scans from one true matrix; standard deviation in its weakest and its strongest direction: "
    + "; ".join(
        f"with {count} frames {row['raw'][0]:.3f} and {row['raw'][1]:.3f} as measured, {row['log'][0]:.3f} and {row['log'][1]:.3f} after (1), where "
        f"$\\sqrt{{2/T}}$ is {(2 / count) ** 0.5:.3f}, and the smallest eigenvalue of the whitened scan is {math.exp(row['bias']):.2f}, where that of the true matrix is 1"
        for count, row in noise.items()
    )
    + "."
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} Does the root matter? (think)
# :label: tangent-bridge-root
#
# Whitening also works with another root of $M$, say the inverse of its Cholesky factor $R$ with $R R^\top = M$: $\log(R^{-1} C R^{-\top})$. Is the distance to $M$ the
# same? Is the vector the same? Does it matter for ridge regression?
# ```
#
# ```{solution-start} tangent-bridge-root
# :class: dropdown
# ```

# %%
factor = torch.linalg.cholesky(method.source_mean)
person = matrices(test.source[:1].double())
inverse = torch.linalg.inv(factor)
values = torch.linalg.eigvalsh(inverse @ person @ inverse.T)
other = float(values.log().norm())
same = float(to_tangent(person, method.source_mean).norm())
say(
    f"The distance is the same ({other:.4f} and {same:.4f}), for the eigenvalues are. The two roots differ by a rotation $Q$, and the logarithm turns "
    "into $Q L Q^\\top$: another vector of the same length. Ridge regression does not see rotations of its input, nor of its target, so its prediction is the same."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What transitivity demands (compute)
# :label: tangent-bridge-transitivity
#
# Regions 1 and 2 correlate with 0.8, and so do 1 and 3. What are the smallest and the largest possible correlation of 2 and 3?
# ```

# %% tags=["stub:bounds"]
from mmlab.exercises.tangent_bridge import check_bounds

smallest, largest = ..., ...

check_bounds((smallest, largest))

# %% [markdown]
# ```{solution-start} tangent-bridge-transitivity
# :class: dropdown
# ```

# %% tags=["solution:bounds"]
spread = 1 - 0.8**2  # what region 1 leaves unexplained in 2, and in 3
smallest, largest = 0.8 * 0.8 - spread, 0.8 * 0.8 + spread

check_bounds((smallest, largest))

# %% [markdown]
# Regions 2 and 3 agree in what they share with region 1; what is left of each may agree fully or be opposed fully.
#
# ```{solution-end}
# ```
#
# ```{exercise} Back from the tangent space (code)
# :label: tangent-bridge-back
#
# Write (3) and (4): a function of a symmetric matrix `logarithm`, (N, N), and a positive definite `mean`, (N, N), which returns a correlation matrix.
# ```

# %% tags=["stub:back"]
from mmlab.exercises.tangent_bridge import check_back


def back(logarithm, mean):
    return ...


check_back(back)

# %% [markdown]
# ```{solution-start} tangent-bridge-back
# :class: dropdown
# ```


# %% tags=["solution:back"]
def back(logarithm, mean):
    values, axes = torch.linalg.eigh(mean)
    root = (axes * values.sqrt()) @ axes.T
    covariance = root @ torch.linalg.matrix_exp(logarithm) @ root
    deviation = covariance.diagonal().sqrt()
    return covariance / deviation[:, None] / deviation


check_back(back)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the mean over samples of the tangent bridge a correlation matrix?
# Each sample is one, and a weighted mean of matrices with ones on the diagonal and no negative eigenvalue has both properties again.
# ```
#
# ```{dropdown} What is the tangent space for two regions?
# The line of Fisher's z: artanh of the correlation. (The two entries of the diagonal come along, and are divided out on the way back.)
# ```
#
# ```{dropdown} Why not simply project each sample?
# It makes them valid, but puts what was outside onto the border, where an eigenvalue is zero. A scan with more frames than regions does not lie there.
# ```
#
# ## In five lines
#
# - Whiten with a mean, take the logarithm, and correlation matrices live in a flat space; for two regions this is Fisher's z.
# - Any method for vectors can run there, and whatever it draws is a valid matrix.
# - Nothing keeps samples of a bridge between edges valid, nor their mean; how many are not stands above, and a projection repairs them.
# - What the coordinates bring without any bridge, ridge regression and the bridge's own line show; the claims above say what is left for its network.
# - This world was built for these coordinates. Measure on your own scans first.
#
# ## Limits, and what to read next
#
# The logarithm costs an eigendecomposition per matrix, which grows with the cube of the number of regions: for each training person, two, since
# `tangent_vectors` keeps the result, and two in each round of the search for the means; and one per sample on the way back. The division in (4) bends the space a little: two tangent vectors can mean the same correlation matrix. Geometries of
# the correlation matrices alone exist and avoid this. The geometric mean is Moakher's {cite}`moakher2005mean`; the tangent space came to
# connectivity with {cite:t}`varoquaux2010tangent` and is in nilearn. Next: {doc}`c2c`, the linear rival with a name.

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
# A matrix of correlations is not just a list of numbers between −1 and 1. If region A follows region B, and B follows C,
# then A and C cannot be opposed. All such demands together say one thing: the matrix has no negative eigenvalue. A bridge
# between lists of edges ({doc}`bridge_matching`) knows nothing of this. Its samples are lists of edges, and some of them
# are correlations of nothing.
#
# One can repair each sample afterwards. One can also walk in better coordinates, in which *every* point is a valid
# matrix. This chapter does that, and asks whether it is worth it.
#
# After it you can move between correlation matrices and their tangent space, you know why this is Fisher's $z$ for whole
# matrices, and you have seen what of the gain is due to the bridge and what to the coordinates.
#
# You need {doc}`bridge_matching` and eigenvalues.

# %% tags=["parameters"]
profile = "cpu"
seeds = 3
steps = 300

# %%
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeCV

from mmlab import fit
from mmlab.compare.connectome_baselines import baselines
from mmlab.data.connectome import edges, matrices
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.tangent_bridge import TangentBridge
from mmlab.metrics.connectome import evaluate
from mmlab.metrics.correlation_geometry import (
    affine_invariant,
    correlation_of,
    from_tangent,
    geometric_mean,
    project_to_correlation,
    to_tangent,
)
from mmlab.viz import frames, record, say, show, table

large = profile == "gpu"
regions, subjects = (160, 600) if large else (40, 300)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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
    if tangent:  # regions 1 and 2 stay alike
        step = (step + step[..., MIRROR]) / 2**0.5
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
    figure = Figure(figsize=(7.8, 3.7), layout="constrained")
    for axes, tangent, title in zip(
        figure.subplots(1, 2),
        (False, True),
        ("bridges between edges", "bridges in tangent coordinates"),
        strict=True,
    ):
        third = torch.linspace(-1, 1, 101)
        axes.fill_betweenx(third, 2 * third**2 - 1, 1, color="0.9")
        path = walk(sigma, tangent)
        for one in path:
            axes.plot(one[:, 0], one[:, 1], lw=0.8, color="tab:blue")
        axes.plot(*START, "o", color="tab:green")
        axes.plot(*END, "s", color="tab:red")
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
)

# %% [markdown]
# ## Coordinates without a border
#
# Correlation matrices $C$ are positive definite. Positive definite matrices have a natural geometry, in which the
# distance does not change when all regions are mixed by an invertible matrix. Near a reference $M$ it is flattened by
# the logarithm: first whiten with $M$, so that the reference becomes the identity; then take the logarithm of the
# eigenvalues {cite}`varoquaux2010tangent`:
#
# $$\log_M C = \log\!\left(M^{-1/2}\, C\, M^{-1/2}\right). \tag{1}$$
#
# The result is any symmetric matrix: no condition is left. Write it as a vector $v$ with the diagonal as it is and the
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
# **Which reference?** The one from which the data lie least far: the *geometric mean*, at which the vectors of (2) average to
# zero. We take one mean per state, both from the training people. This has a pleasant consequence. "Nothing changes"
# in tangent coordinates means: as people differ from the mean at rest, so they differ from it in the task.

# %%
world = rest_motor_world(subjects=subjects, regions=regions, seed=0)
train, test = world.pairs.split(100, seed=0)
method = TangentBridge((train.source.shape[1],)).set_references(train)

# %% tags=["hide-input"]
vectors = method.tangent_vectors(train).tensors["source_tangent"]
flat = torch.linalg.svdvals(vectors)
back = method.to_edges(method.tangent_vectors(test).tensors["target_tangent"])
say(
    f"There and back again changes no edge by more than {float((back - test.target).abs().max()):.0e}. A person is now a vector of "
    f"{vectors.shape[1]} numbers with a mean of zero. The mean length, which is the mean distance to the geometric mean, is "
    f"{vectors.norm(dim=1).mean():.1f}."
)

# %% [markdown]
# ## The method is one line
#
# Bridge matching does not care what its vectors mean. So: map both states to their tangent spaces, train the bridge of
# {doc}`bridge_matching` between the vectors, and map its samples back. The class
# {py:class}`~mmlab.methods.tangent_bridge.TangentBridge` overrides `loss` and `sample`, and nothing else.


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
# The rivals of {doc}`bridge_matching` are all here, and the bridge between edges itself, as it is and projected onto the correlation
# matrices afterwards. Two dull rivals live in the new coordinates. The *tangent shift* changes nothing in them.
# *Ridge regression in tangent coordinates* is one call of scikit-learn, its penalty chosen on the training people. If they do as
# well as the bridge, it is the coordinates that deserve the credit.

# %%
MEASURES = {
    "rmse": "RMSE",
    "demeaned_r": "demeaned r",
    "identification_demeaned": "identification",
}


def trained(method, items, seed, weight_decay):
    fit(
        method,
        items,
        steps=steps,
        lr=3e-3,
        weight_decay=weight_decay,
        schedule="cosine",
        ema_decay=0.99,
        seed=seed,
        progress=False,
    )
    return method


def draw(method, source, samples=20, steps=10):
    repeated = source.repeat(samples, 1).to(method.device)
    rng = torch.Generator(method.device).manual_seed(7)
    drawn = method.sample(repeated, steps=steps, rng=rng)
    return drawn.cpu().unflatten(0, (samples, len(source)))


def predictions_for(world, train_set, test_set, seed):
    edge_count = train_set.source.shape[1]
    torch.manual_seed(seed)
    plain = BridgeMatching((edge_count,), 64, 0, 0.1, dropout=0.5, scale=0.2)
    trained(plain, train_set, seed, weight_decay=10.0)
    torch.manual_seed(seed)
    tangent = TangentBridge((edge_count,), 64, 0, 0.1, dropout=0.5, scale=0.1)
    tangent.set_references(train_set)
    vectors = tangent.tangent_vectors(train_set)
    trained(tangent, vectors, seed, weight_decay=30.0)
    rest = tangent.to_source(test_set.source)
    source, target = (
        vectors.tensors[f"{side}_tangent"] for side in ("source", "target")
    )
    ridge = RidgeCV(alphas=[10.0**k for k in range(-2, 6)]).fit(
        source.numpy(), target.numpy()
    )
    drawn = {
        "edges": draw(plain, test_set.source),
        "tangent": draw(tangent, test_set.source),
    }
    projected = edges(project_to_correlation(matrices(drawn["edges"].mean(0))))
    return drawn, {
        **baselines(train_set, test_set),
        "tangent shift": tangent.to_edges(rest).float(),
        "ridge in tangent coordinates": tangent.to_edges(
            torch.from_numpy(ridge.predict(rest.numpy()))
        ).float(),
        "bridge between edges": drawn["edges"].mean(0),
        "bridge between edges, projected": projected,
        "tangent bridge, one sample": drawn["tangent"][0],
        "tangent bridge, mean of 20": drawn["tangent"].mean(0),
        "attainable from rest": world.attainable_for(test_set, draws=32),
        "ceiling": world.true_motor[world.indices(test_set)],
    }


rows, broken, kept = [], [], {}
for seed in range(seeds):
    here = (
        world
        if seed == 0
        else rest_motor_world(subjects=subjects, regions=regions, seed=seed)
    )
    train_set, test_set = here.pairs.split(100, seed)
    drawn, predictions = predictions_for(here, train_set, test_set, seed)
    kept = kept or {"drawn": drawn, "predictions": predictions}
    for name, prediction in predictions.items():
        values = evaluate(prediction, test_set.target, train_set.target.mean(0))
        rows.append(
            {"method": name, "seed": seed}
            | {label: values[key] for key, label in MEASURES.items()}
        )
    for kind, samples in drawn.items():
        found = torch.linalg.eigvalsh(matrices(samples.double()))[..., 0]
        broken.append(
            {"kind": kind, "seed": seed, "broken": float((found < -1e-5).double().mean()),
             "smallest": float(found.min())}
        )  # fmt: skip
results = pd.DataFrame(rows).set_index(["method", "seed"])
average = results.groupby("method", sort=False).mean()
table(
    average,
    f"Test people of {seeds} worlds: mean ± standard deviation over worlds. The best competitor is bold; the last two rows are limits.",
    spread=results.groupby("method", sort=False).std(ddof=min(1, seeds - 1)),
    best={
        label: "lower" if label == "RMSE" else "higher"
        for label in MEASURES.values()
    },
    reference=["attainable from rest", "ceiling"],
)

# %% tags=["hide-input"]
ours, plain = (
    average.loc["tangent bridge, mean of 20"],
    average.loc["bridge between edges"],
)
shift, ridge = (
    average.loc["tangent shift"],
    average.loc["ridge in tangent coordinates"],
)
best_edges = average.loc[
    ["mean shift", "shrunk shift", "ridge on PCA scores", "ridge on the change"]
]
gain = results.xs("tangent bridge, mean of 20") - results.xs("bridge between edges")
wins = {
    label: int(((gain[label] < 0) if label == "RMSE" else (gain[label] > 0)).sum())
    for label in MEASURES.values()
}
over_ridge = results.xs("tangent bridge, mean of 20") - results.xs(
    "ridge in tangent coordinates"
)
say(
    f"""**What the table says.**

- The tangent bridge has an RMSE of {ours["RMSE"]:.4f}, the bridge between edges {plain["RMSE"]:.4f}; it is better in {wins["RMSE"]} of {seeds} worlds. Demeaned r:
  {ours["demeaned r"]:.3f} against {plain["demeaned r"]:.3f}, better in {wins["demeaned r"]}. Identification: {ours["identification"]:.3f} against {plain["identification"]:.3f}, better in {wins["identification"]}.
- The best of the linear rivals on edges has an RMSE of {best_edges["RMSE"].min():.4f} and a demeaned r of {best_edges["demeaned r"].max():.3f}.
- The tangent shift, which has no parameter but the two means, has {shift["RMSE"]:.4f} and {shift["demeaned r"]:.3f}. Ridge regression in tangent coordinates has
  {ridge["RMSE"]:.4f} and {ridge["demeaned r"]:.3f}. Seed by seed the bridge differs from that ridge by {over_ridge["RMSE"].mean():+.4f} ± {over_ridge["RMSE"].std(ddof=min(1, seeds - 1)):.4f} in RMSE and by
  {over_ridge["demeaned r"].mean():+.3f} ± {over_ridge["demeaned r"].std(ddof=min(1, seeds - 1)):.3f} in demeaned r. What helps is the *coordinates*. Anything linear that is put into them gains; the bridge adds samples, not accuracy."""
)
record(
    rmse=results.xs("tangent bridge, mean of 20")["RMSE"].tolist(),
    demeaned_r=results.xs("tangent bridge, mean of 20")["demeaned r"].tolist(),
    identification=results.xs("tangent bridge, mean of 20")["identification"].tolist(),
    bridge_matching={label: results.xs("bridge between edges")[label].tolist() for label in MEASURES.values()},
    mean_shift={label: results.xs("mean shift")[label].tolist() for label in MEASURES.values()},
    ridge_in_tangent_coordinates={label: results.xs("ridge in tangent coordinates")[label].tolist() for label in MEASURES.values()},
    worlds_better_than_bridge_matching=wins,
)  # fmt: skip

# %% [markdown]
# Why should the coordinates help so much? In this world the traits of a person enter the *logarithm* of the covariance as a sum. On
# the edges the same traits multiply and mix. The world was built that way because covariances behave that way; but it was built, and it
# favours this chapter. On real scans the gain has not been measured in this book yet.
#
# ### Are the samples brains?

# %% tags=["hide-input"]
broken = (
    pd.DataFrame(broken).groupby("kind").agg({"broken": "mean", "smallest": "min"})
)
after = affine_invariant(
    project_to_correlation(
        matrices(kept["drawn"]["edges"][0].double()), floor=1e-3
    ),
    matrices(test.target.double()),
).mean()
inside = affine_invariant(
    matrices(kept["drawn"]["tangent"][0].double()), matrices(test.target.double())
).mean()
figure = Figure(figsize=(6.6, 3.2), layout="constrained")
axes = figure.subplots()
bins = torch.linspace(broken["smallest"].min() - 0.01, 0.15, 80)
for kind, colour, label in [
    ("edges", "tab:orange", "bridge between edges"),
    ("tangent", "tab:blue", "tangent bridge"),
]:
    smallest = torch.linalg.eigvalsh(matrices(kept["drawn"][kind].double()))[..., 0]
    axes.hist(
        smallest.flatten(),
        bins,
        alpha=0.6,
        color=colour,
        label=label,
    )
measured = torch.linalg.eigvalsh(matrices(test.target.double()))[..., 0]
axes.axvline(
    float(measured.mean()), color="black", lw=1, ls="--", label="measured, mean"
)
axes.axvline(0, color="black", lw=1)
axes.set(xlabel="smallest eigenvalue of a sample", ylabel="samples")
axes.legend(fontsize=8)
show(
    figure,
    alt=(
        f"Histograms of the smallest eigenvalue of samples. {broken.loc['edges', 'broken']:.0%} of the samples of the bridge between edges lie "
        f"below zero, and {broken.loc['tangent', 'broken']:.0%} of those of the tangent bridge."
    ),
    caption=(
        f"Of the samples of the bridge between edges, {broken.loc['edges', 'broken']:.0%} have a negative eigenvalue, down to {broken.loc['edges', 'smallest']:.2f}: they are "
        f"correlations of nothing. Of the tangent bridge's, {broken.loc['tangent', 'broken']:.0%}. Repairing the former by projection makes them valid, but leaves them at the "
        f"border: their mean affine-invariant distance to the true matrices is {after:.1f}, that of the tangent samples {inside:.1f}."
    ),
)
record(share_of_invalid_samples=broken["broken"].to_dict())

# %% [markdown]
# ## In practice
#
# - **A scan with fewer frames than regions has no logarithm.** Its smallest eigenvalues are exactly zero, and (1) sends them to minus
#   infinity. Shrink towards the identity first (`shrinkage`); the result depends on how much.
# - **Small eigenvalues shout.** The logarithm stretches directions with little variance, and there the noise of a short scan is
#   largest. Coordinates that are perfect for true covariances are less so for noisy ones.
# - **The reference is a parameter.** It comes from the training people. Computing it from everybody lets the test people in.
# - **One reference or two?** With one for both states the mean shift has to be learned by the network. With two it is in the coordinates.
# - **A mean of valid samples is valid**, since correlation matrices are a convex set. A *shift* of a valid matrix is not: the mean
#   shift of the table has negative eigenvalues in some people.
#
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
# The line of Fisher's z: artanh of the correlation. (Twice the diagonal comes along and is divided out on the way back.)
# ```
#
# ```{dropdown} Why not simply project each sample?
# It makes them valid, but puts what was outside onto the border, where an eigenvalue is zero. Real matrices do not lie there.
# ```
#
# ## Limits, and what to read next
#
# The logarithm costs an eigendecomposition per matrix, which grows with the cube of the number of regions. It is done once per person here, since
# `tangent_vectors` keeps the result. The division in (4) bends the space a little: two tangent vectors can mean the same correlation matrix. Geometries of
# the correlation matrices alone exist and avoid this. The geometric mean is Moakher's {cite}`moakher2005mean`; the tangent space came to
# connectivity with {cite:t}`varoquaux2010tangent` and is in nilearn. Next: {doc}`c2c`, the linear rival with a name.

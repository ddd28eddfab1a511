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
# # DiffeoCFM: flow matching of correlation matrices
#
# **Can we draw people who were never scanned, and does it take more than a Gaussian?**
#
# Studies of the brain have a few hundred people. Methods that learn from data would like more, and scans cannot be
# shared freely. A generator of connectivity matrices promises both: draw as many people with a diagnosis, and as
# many without, as one likes. Each draw must be a correlation matrix, and all draws together must vary as people do.
#
# DiffeoCFM {cite}`collas2025diffeocfm` does this with two ideas: flat coordinates, in which every point is a valid
# matrix, and {doc}`flow matching <flow_matching>` in them, which starts from a Gaussian fitted there. That Gaussian is a
# generator too. So this chapter asks what the flow adds to it.
#
# After this chapter you can write coordinates of correlation matrices and their inverse, explain why flow matching in them is flow
# matching on a curved space, and measure a generator by four numbers that catch different faults.
#
# You need {doc}`flow_matching` and the Cholesky factorisation. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds = 5
steps = 300
people: int | None = None
regions: int | None = None

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmlab import fit, generator
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.connectome import edges, matrices
from mmlab.data.worlds.diagnosis_world import diagnosis_world
from mmlab.methods.diffeo_cfm import DiffeoCFM, geodesic, prior_velocity
from mmlab.metrics.fidelity import alpha_precision, authenticity, beta_recall
from mmlab.metrics.transport import energy_distance
from mmlab.viz import claim, claimed, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import in_rows

large = profile == "gpu"
regions = regions or (39 if large else 12)
people = people or (800 if large else 400)

# %% [markdown]
# ## The idea in one picture
#
# Take the smallest connectome: two regions and their correlation $r$. Scans of many people give many values of $r$. Fit a
# Gaussian to them and draw from it. Near the border, part of what it draws is beyond one: no correlation at all. Now fit
# the Gaussian in the coordinate $z = r/\sqrt{1-r^2}$, which runs from minus infinity to infinity, and map its draws back.

# %% tags=["hide-input"]
DRAWS = 4000


def scans(correlation, frames_of_scan=12, seed=0):
    """Correlations (DRAWS,) that scans of a few frames show."""
    rng = generator(seed)
    x, noise = torch.randn(
        2, DRAWS, frames_of_scan, generator=rng, dtype=torch.float64
    )
    y = correlation * x + (1 - correlation**2) ** 0.5 * noise
    x, y = (v - v.mean(1, keepdim=True) for v in (x, y))
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))


def gaussian(values, seed):
    """Draws from the Gaussian with the moments of values."""
    noise = torch.randn(DRAWS, generator=generator(seed), dtype=torch.float64)
    return values.mean() + values.std() * noise


def two_gaussians(correlation):
    r = scans(correlation)
    z = gaussian(r / (1 - r**2).sqrt(), 1)
    return r, gaussian(r, 1), z / (1 + z**2).sqrt()


def draw_gaussians(correlation):
    r, flat, mapped = two_gaussians(correlation)
    figure = Figure(figsize=(6.6, 3.1), layout="constrained")
    axes = figure.subplots()
    bins = torch.linspace(-0.6, 1.6, 90)
    axes.hist(r, bins, color="0.8", density=True, label="scans")
    for values, colour, label in (
        (flat, "tab:orange", "Gaussian on correlations"),
        (mapped, "tab:blue", "Gaussian on coordinates, mapped back"),
    ):
        axes.hist(
            values, bins, density=True, histtype="step", color=colour, label=label
        )
    axes.axvline(1, color="black", lw=1)
    axes.set(xlabel="correlation", ylabel="density")
    axes.legend(fontsize=8, loc="upper left")
    return figure


def describe_gaussians(correlation):
    r, flat, mapped = two_gaussians(correlation)
    return (
        f"With a true correlation of {correlation}, {float((flat.abs() > 1).double().mean()):.0%} of the draws of the Gaussian on "
        f"correlations lie beyond one, and {float((mapped.abs() > 1).double().mean()):.0%} of those of the Gaussian on coordinates. The energy distances from the scans are "
        f"{energy_distance(flat[:1000, None], r[:1000, None]):.3f} and {energy_distance(mapped[:1000, None], r[:1000, None]):.3f}."
    )


frames(
    {"true correlation": [0.0, 0.5, 0.8, 0.95]},
    draw_gaussians,
    describe_gaussians,
    caption=(
        "Turn the correlation up. The Gaussian on correlations (orange) spills over the border, and the Gaussian on coordinates (blue) "
        "cannot: its draws stay on this side, where the scans are (grey)."
    ),
    start={"true correlation": 0.8},
)

# %% [markdown]
# ## Coordinates in which every point is a matrix
#
# A correlation matrix $C$ is positive definite, so it has a Cholesky factor: $C = LL^\top$ with $L$ lower triangular and a
# positive diagonal. Divide each row of $L$ by its entry on the diagonal. What is left below the diagonal are the coordinates:
#
# $$\varphi(C) = \operatorname{lower}\!\left(D^{-1}L\right), \qquad D = \operatorname{diag} L . \tag{1}$$
#
# No condition is left on them. Put *any* numbers $z$ below a diagonal of ones, call this triangle $T$, and divide each row by
# its length. The rows are unit vectors then, and their scalar products are correlations:
#
# $$\varphi^{-1}(z) = U U^\top, \qquad U_{i\cdot} = T_{i\cdot} / \lVert T_{i\cdot}\rVert . \tag{2}$$
#
# Both ways are smooth, and they undo each other: $U$ has the rows of $L$. Such a map is a *diffeomorphism*. For
# covariances, whose diagonal is free, there are two well-known ones. The matrix logarithm, and the Cholesky factor with the logarithm of its diagonal:
#
# $$\varphi(S) = \operatorname{vec}(\log S), \tag{3}$$
#
# $$\varphi(S) = \left(\log L_{ii},\; L_{ij}\right)_{i>j}, \qquad S = LL^\top . \tag{4}$$
#
# ### Why this is flow matching on a curved space
#
# Lengths of coordinate vectors define lengths on matrices: the speed of a moving matrix is the speed of its coordinates.
# This is the *pulled-back metric*, $\lVert \dot C\rVert_C = \lVert \mathrm{D}\varphi_C\,\dot C\rVert$. With it $\varphi$ is an isometry, so that shortest paths are straight in $z$:
#
# $$\gamma(t) = \varphi^{-1}\big((1-t)\,\varphi(A) + t\,\varphi(B)\big). \tag{5}$$
#
# Flow matching on a manifold {cite}`lipman2023flow` moves along shortest paths and regresses a field $u$ of tangent vectors on their
# velocities $\dot\gamma$, with errors in the metric at $\gamma(t)$. Write the field as $u = \mathrm{D}\varphi^{-1} v$. Then the error is
# $\lVert \mathrm{D}\varphi\,(u - \dot\gamma)\rVert = \lVert v - (z_1 - z_0)\rVert$: that of ordinary flow matching of the coordinates, with the same minimum and the same
# flow. No geodesic and no exponential map has to be computed in training. The tests of this method check both statements on small matrices, with derivatives of $\varphi$.

# %% tags=["hide-input"]
ends = matrices(torch.tensor([[0.9], [0.5]], dtype=torch.float64))
middle = float(geodesic(ends[0], ends[1], 0.5)[0, 1])
say(
    f"For two regions, half-way from {float(ends[0, 0, 1]):.1f} to {float(ends[1, 0, 1]):.1f} lies {middle:.3f}, and not their mean: near the border a step in $z$ is a smaller step in $r$."
)

# %% [markdown]
# ## The flow, and where it starts
#
# Coordinates are standardised over the training people. For each class $c$ (here: with or without the diagnosis) a Gaussian
# $\mathcal N(m_c, \Sigma_c)$ is fitted to them, its covariance by shrinkage {cite}`chen2010oas`, for there are fewer people than
# coordinates squared. The flow starts there. Between a draw $z_0$ and a person $z_1$ of the class, drawn independently, run straight lines:
#
# $$z_t = (1-t)\,z_0 + t\,z_1, \qquad z_0 \sim \mathcal N(m_c, \Sigma_c), \tag{6}$$
#
# and a network that sees $z_t$, $t$ and $c$ regresses on their velocity:
#
# $$\mathcal L = \mathbb E\,\lVert v(z_t, t, c) - (z_1 - z_0)\rVert^2 . \tag{7}$$
#
# What should it find if the people of a class *are* Gaussian? Then $z_0$ and $z_1$ have one law. With $s_t^2 = (1-t)^2 + t^2$, the state has covariance $s_t^2\Sigma_c$,
# and its covariance with $z_1 - z_0$ is $(2t-1)\Sigma_c$. The regression is their quotient, in which $\Sigma_c$ cancels:
#
# $$\mathbb E[z_1 - z_0 \mid z_t = z] = \frac{2t-1}{s_t^2}\,(z - m_c) . \tag{8}$$
#
# Along this field $z_t - m_c$ first shrinks by the factor $s_t$ and then grows back: every point ends where it began. So a flow that has nothing to add must learn to stand still. We
# give it that for nothing. Our network predicts only what is missing in (8), in units of its standard deviation ($\tau$: that of the prior):
#
# $$v(z, t, c) = \frac{2t-1}{s_t^2}\,(z - m_c) + \frac{\tau}{s_t}\,f\!\left(\frac{z - m_c}{\tau s_t},\, t,\, c\right). \tag{9}$$
#
# Untrained, $f = 0$, and the flow *is* its prior. As published, the network predicts all of $v$; that is `parametrisation="velocity"`, and it has a row of its own below.

# %% tags=["hide-input"]
# Code of the drawing
show(
    in_rows(
        [
            {"people": "matrices of training people", "class": "class $c$"},
            {"z": "coordinates $z_1$, (1), standardised", "prior": "Gaussian of the class, $z_0$"},
            {"state": "state $z_t$, (6)"},
            {"network": "network $f$, (9)"},
            {"loss": "training: squared error, (7)", "back": "sampling: $z$ moves with (9), then (2)"},
        ],
        [
            ("people", "z"), ("z", "prior", "fitted"), ("class", "prior"), ("z", "state"), ("prior", "state"),
            ("state", "network", "and $t$, $c$"), ("network", "loss"), ("network", "back"),
        ],
        trained=["network"],
    ),
    alt=(
        "Boxes joined by arrows. Matrices of people become coordinates, to which a Gaussian is fitted for each class. A draw from it and a person give a "
        "state on the line between them. The network sees the state, the time and the class; its answer is compared in training and moves the state in sampling."
    ),
    caption="What goes where. Blue is trained; coordinates and Gaussian are solved. To sample, start at a draw from the Gaussian and map the end back to a matrix.",
    label="way",
)  # fmt: skip

# %% [markdown]
# ## The few lines of the method


# %%
def sample_by_hand(method, label, rng, steps=20):
    _, mean, spread = method._prior(label, None)
    z = method._prior(label, rng)[0]
    for k in range(steps):  # Euler steps
        t = torch.full((len(z), 1), k / steps)
        s = ((1 - t) ** 2 + t**2).sqrt()
        state = torch.stack([(z - mean) / (spread * s), method.classes(label)], 1)
        f = method.network(state, t[:, 0])[:, 0]
        v = prior_velocity(z, t, mean) + spread / s * f  # Eq. (9)
        z = z + v / steps
    z = z.double() * method.unit[0] + method.centre[0]
    triangle = torch.eye(regions, dtype=torch.float64).repeat(len(z), 1, 1)
    rows, columns = torch.tril_indices(regions, regions, -1)
    triangle[:, rows, columns] = z
    unit = triangle / triangle.norm(dim=-1, keepdim=True)
    return edges(unit @ unit.mT)  # Eq. (2)


# %%
size = regions * (regions - 1) // 2
world = diagnosis_world(regions=regions, seed=0)
train = world.draw(people, generator(0))
method = DiffeoCFM.seeded(0, (size,), width=128).eval()
method.start_from(train)
label = train.tensors["label"][:8]
with torch.no_grad():
    ours = sample_by_hand(method, label, generator(1))
theirs = method.sample(label, solver="euler", rng=generator(1))
assert torch.allclose(ours, theirs, atol=1e-5)

# %% [markdown]
# ## The experiment
#
# In the world of this chapter, five latent traits of a person shape the logarithm of the covariance. A diagnosis moves the first of them, up in one half of the
# patients and down in the other: two subtypes, which the one Gaussian of their class has to cover. The law is known, and new people can be drawn as
# often as we like.
#
# The rows, all fitted to the same people:
#
# - **DiffeoCFM**, and **as published** with the whole velocity as its output. Both have the same network and the same steps. Each network chooses between two learning rates in a further world.
# - **its Gaussian prior**, mapped back, without any flow: the baseline.
# - **no geometry**: flow and prior on the edges themselves.
# - **training people again**: the generator that has learnt by heart.
# - **new people**: another draw from the truth, of the same size. It shows what the measures give to a perfect generator.
#
# The measures. *Energy distance* from test people, within each class: zero for the same law and infinitely many draws. *α-precision* asks whether samples fill the balls about the
# real mean as real people do, *β-recall* whether real people have a sample near them, and *authenticity* which share of samples are no near copies of a training person {cite}`alaa2022faithful`.
# *Valid share* counts matrices without negative eigenvalues. *Classification accuracy*: a support vector machine learns the diagnosis from the samples, and is tested on real people.
# Distances are taken in standardised edges, not in the method's own coordinates; if that flatters a row, it is *no geometry*, which works on edges.

# %%
TESTED = 400
RATES = (1e-3, 3e-3)
training = {
    "steps": steps, "batch_size": 128, "schedule": "cosine", "ema_decay": 0.99, "progress": False,
}  # fmt: skip


def build(seed, geometry="normalised_cholesky", parametrisation="preconditioned"):
    return DiffeoCFM.seeded(
        seed, (size,), geometry, width=128, parametrisation=parametrisation
    )


def measured(made, label, train, test):
    """All measures of samples (N, E) that were made for the classes of the test people."""
    scaler = StandardScaler().fit(train.tensors["target"])
    x, y, known = (
        torch.from_numpy(scaler.transform(v)).double()
        for v in (made, test.tensors["target"], train.tensors["target"])
    )
    own = [label == c for c in (0, 1)]
    classifier = make_pipeline(StandardScaler(), SVC()).fit(made, label)
    return {
        "energy distance": sum(energy_distance(x[c], y[c]) for c in own) / 2,
        "α-precision": sum(alpha_precision(x[c], y[c]) for c in own) / 2,
        "β-recall": sum(beta_recall(x[c], y[c]) for c in own) / 2,
        "authenticity": authenticity(x, known),
        "valid share": float(
            (torch.linalg.eigvalsh(matrices(made.double()))[:, 0] > -1e-5)
            .double()
            .mean()
        ),
        "classification accuracy": classifier.score(
            test.tensors["target"], test.tensors["label"]
        ),
    }


NETWORKS = {
    "DiffeoCFM": {},
    "as published": {"parametrisation": "velocity"},
    "no geometry": {"geometry": "none"},
}
spent = {"its Gaussian prior": Spent()}  # solved, not trained


def trained(name, train, seed, lr):
    method = build(seed, **NETWORKS[name])
    method.start_from(train)
    fit(method, method.flat_vectors(train), seed=seed, lr=lr, **training)
    return method.eval()


def searched(name, pilot=100):
    """The rate with the smallest energy distance, in a world that is used for nothing else."""
    world = diagnosis_world("subtypes", regions=regions, seed=pilot)
    train, test = (
        world.draw(count, generator(100 * pilot + part))
        for part, count in enumerate((people, TESTED))
    )
    label, found = test.tensors["label"], {}
    for lr in RATES:
        made = trained(name, train, pilot, lr).sample(label, rng=generator(pilot))
        found[lr] = measured(made.float(), label, train, test)["energy distance"]
    return min(found, key=found.get)


rates = {name: searched(name) for name in NETWORKS}
say("Rates chosen: " + ", ".join(f"*{n}* {lr:g}" for n, lr in rates.items()) + ".")


def run(kind, seed, tuned=True):
    """All rows in one world."""
    world = diagnosis_world(kind, regions=regions, seed=seed)
    train, test, new = (
        world.draw(count, generator(100 * seed + part))
        for part, count in enumerate((people, TESTED, TESTED))
    )
    label = test.tensors["label"]
    made = {}
    for name in NETWORKS if tuned else ("DiffeoCFM",):
        method = trained(name, train, seed, rates[name])
        count = sum(p.numel() for p in method.parameters() if p.requires_grad)
        spent[name] = Spent(steps, count, ("learning rate",), len(RATES))
        made[name] = method.sample(label, rng=generator(seed))
        if name != "as published":
            prior = (
                "its Gaussian prior" if name == "DiffeoCFM" else f"{name}, prior"
            )
            made[prior] = method.sample_prior(label, rng=generator(seed))
    own = torch.stack([torch.arange(c, people, 2) for c in (0, 1)])
    again = own[
        label, torch.randint(people // 2, (TESTED,), generator=generator(seed))
    ]
    made["training people again"] = train.tensors["target"][again]
    made["new people"] = new.tensors["target"]
    for name, samples in made.items():
        yield {
            "method": name, "world": seed,
            **measured(samples.float(), label, train, test),
        }  # fmt: skip


# %%
DIRECTIONS = {
    "energy distance": "lower", "α-precision": "higher", "β-recall": "higher",
    "valid share": "higher", "classification accuracy": "higher",
}  # fmt: skip
found = pd.DataFrame(
    [row for seed in range(seeds) for row in run("subtypes", seed)]
)
table_over_seeds(
    found,
    "Two subtypes of patients. New people and training people do not compete.",
    over="world",
    best=DIRECTIONS,
    reference=["training people again", "new people"],
    budgets=Budgets("DiffeoCFM", spent),
)


# %% tags=["hide-input"]
def of(table, row, measure):
    return table[table.method == row].set_index("world")[measure]


PRIOR = "its Gaussian prior"
for measure, stem in (
    ("energy distance", "energy-distance"),
    ("β-recall", "beta-recall"),
    ("α-precision", "alpha-precision"),
    ("classification accuracy", "classification-accuracy"),
):
    claim(
        f"{stem}-vs-its-gaussian-prior",
        of(found, "DiffeoCFM", measure),
        of(found, PRIOR, measure),
        direction=DIRECTIONS[measure],
        called="worlds",
        better=f"- {measure}: the flow is better than its own prior, {{ours}} against {{theirs}}.",
        worse=f"- {measure}: the flow is worse than its own prior, {{ours}} against {{theirs}}.",
        undecided=f"- {measure}: the flow ({{ours}}) and its own prior ({{theirs}}) cannot be told apart.",
    )
for measure, stem in (("energy distance", "energy"), ("β-recall", "recall")):
    claim(
        f"preconditioned-and-published-{stem}",
        of(found, "DiffeoCFM", measure),
        of(found, "as published", measure),
        direction=DIRECTIONS[measure],
        called="worlds",
        better=f"- {measure}: the parametrisation (9) is better than that of the paper, {{ours}} against {{theirs}}.",
        worse=f"- {measure}: the parametrisation (9) is worse than that of the paper, {{ours}} against {{theirs}}.",
        undecided=f"- {measure}: the parametrisation (9) ({{ours}}) and that of the paper ({{theirs}}) cannot be told apart.",
    )
claim(
    "valid-share-vs-no-geometry",
    of(found, "DiffeoCFM", "valid share"),
    of(found, "no geometry", "valid share"),
    direction="higher",
    called="worlds",
    better="- Without geometry not every sample is a matrix of correlations: {theirs} of them are, against {ours}.",
    worse="- More samples are valid without geometry: {theirs} of them, against {ours}.",
    undecided="- That flat coordinates make more samples valid is not decided by this run: {ours} against {theirs} without.",
)
for row, rival, name in (
    ("DiffeoCFM", "no geometry", "flow"),
    (PRIOR, "no geometry, prior", "prior"),
):
    claim(
        f"{name}-and-the-same-without-geometry",
        of(found, row, "energy distance"),
        of(found, rival, "energy distance"),
        direction="lower",
        called="worlds",
        better=f"- energy distance: in the coordinates the {name} is nearer to the test people than on the edges themselves, {{ours}} against {{theirs}}.",
        worse=f"- energy distance: in the coordinates the {name} is farther from the test people than on the edges themselves, {{ours}} against {{theirs}}. Validity and likeness are two things.",
        undecided=f"- energy distance: the {name} in the coordinates ({{ours}}) and the {name} on the edges themselves ({{theirs}}) cannot be told apart.",
    )
claim(
    "flow-and-the-same-without-geometry-recall",
    of(found, "DiffeoCFM", "β-recall"),
    of(found, "no geometry", "β-recall"),
    direction="higher",
    called="worlds",
    better="- β-recall: the flow in the coordinates reaches more of the test people than the flow on the edges themselves, {ours} against {theirs}.",
    worse="- β-recall: the flow in the coordinates reaches fewer of the test people than the flow on the edges themselves, {ours} against {theirs}.",
    undecided="- β-recall: the flow in the coordinates ({ours}) and the flow on the edges themselves ({theirs}) cannot be told apart.",
)
claim(
    "flow-and-new-people",
    of(found, "DiffeoCFM", "energy distance"),
    of(found, "new people", "energy distance"),
    direction="lower",
    called="worlds",
    better="- The samples are nearer to the test people than new people are, {ours} against {theirs}.",
    worse="- The samples can be told from new people: their energy distance is {ours}, that of new people {theirs}.",
    undecided="- The energy distance of the samples ({ours}) and that of new people ({theirs}) cannot be told apart.",
)
record(
    energy_distance=of(found, "DiffeoCFM", "energy distance").tolist(),
    classification_accuracy=of(found, "DiffeoCFM", "classification accuracy").tolist(),
    valid_share=of(found, "DiffeoCFM", "valid share").tolist(),
    its_gaussian_prior={m: of(found, PRIOR, m).tolist() for m in DIRECTIONS},
    no_geometry={m: of(found, "no geometry", m).tolist() for m in DIRECTIONS},
    budget=Budgets("DiffeoCFM", spent).plain(),
)  # fmt: skip

# %% tags=["hide-input"]
AGAIN, NEW = "training people again", "new people"
claim(
    "copies-and-the-flow",
    of(found, AGAIN, "energy distance"),
    of(found, "DiffeoCFM", "energy distance"),
    direction="lower",
    called="worlds",
    better="And nothing in the row of the training people was drawn anew, yet their energy distance is less than that of the flow's samples: {ours} against {theirs}.",
    worse="Nothing in the row of the training people was drawn anew, and their energy distance is larger than that of the flow's samples: {ours} against {theirs}.",
    undecided="Nothing in the row of the training people was drawn anew, yet by energy distance they ({ours}) and the flow's samples ({theirs}) cannot be told apart.",
)
claim(
    "copies-and-new-people",
    of(found, AGAIN, "energy distance"),
    of(found, NEW, "energy distance"),
    direction="lower",
    called="worlds",
    better="New people are farther from the test people than these copies: {theirs} against {ours}.",
    worse="New people are nearer to the test people than these copies: {theirs} against {ours}.",
    undecided="New people ({theirs}) and these copies ({ours}) cannot be told apart by it.",
)
say(
    f"Authenticity is made for this: {of(found, AGAIN, 'authenticity').mean():.2f} for the copies. It is no score to be raised, since new people have {of(found, NEW, 'authenticity').mean():.2f} and the flow {of(found, 'DiffeoCFM', 'authenticity').mean():.2f}: samples can also be too far from everybody. No single number judges a generator."
)

# %% [markdown]
# ### And where each class is one cloud?
#
# Same world, but the diagnosis moves all patients the same way. Each class is one cloud now. Is there still something for a flow to find? The learning rate stays as it was chosen above.

# %%
easier = pd.DataFrame(
    [row for seed in range(seeds) for row in run("shift", seed, tuned=False)]
)
table_over_seeds(
    easier,
    "One kind of patients.",
    over="world",
    best=DIRECTIONS,
    reference=["training people again", "new people"],
)

# %% tags=["hide-input"]
gains = {}
for kind, table in (("two subtypes", found), ("one kind", easier)):
    gains[kind] = of(table, PRIOR, "energy distance") - of(
        table, "DiffeoCFM", "energy distance"
    )
told = claimed(
    "gain-by-kind",
    gains["two subtypes"],
    gains["one kind"],
    direction="higher",
    called="worlds",
    better="The flow takes more off the energy distance of its prior where patients are of two kinds ({ours}) than where they are of one ({theirs}).",
    worse="The flow takes less off the energy distance of its prior where patients are of two kinds ({ours}) than where they are of one ({theirs}).",
    undecided="Whether the flow gains more where patients are of two kinds ({ours}) than where they are of one ({theirs}) is not decided by this run.",
)
figure = Figure(figsize=(6.6, 3.2), layout="constrained")
panels = figure.subplots(1, 2, sharey=True)
order = ["its Gaussian prior", "DiffeoCFM", "training people again", "new people"]
for axes, (title, table) in zip(
    panels, (("two subtypes", found), ("one kind", easier)), strict=True
):
    for place, row in enumerate(order):
        values = of(table, row, "energy distance")
        axes.plot([place] * len(values), values, "o", color="tab:blue", alpha=0.6)
        axes.plot(place, values.mean(), "_", ms=22, color="black")
    axes.set_xticks(
        range(len(order)), ["prior", "flow", "training\nagain", "new\npeople"]
    )
    axes.set(title=title)
panels[0].set(ylabel="energy distance to test people")
means = {
    (kind, row): of(table, row, "energy distance").mean()
    for kind, table in (("two subtypes", found), ("one kind", easier))
    for row in order
}
show(
    figure,
    alt="Energy distance of four generators in two kinds of worlds. "
    + " ".join(
        f"With {kind}, the mean of {row} is {value:.3f}."
        for (kind, row), value in means.items()
    ),
    caption=f"One point per world, a bar at their mean; lower is better. {told}",
)

# %% [markdown]
# ## In practice
#
# - **A scan with fewer frames than regions has no Cholesky factor.** Mix in some identity first (`shrinkage`). How much is a choice that the samples show.
# - **The order of the regions matters.** A Cholesky factor treats the first region otherwise than the last, so another order of the regions gives other coordinates, another metric and another prior. The
#   logarithm (3) does not have this fault.
# - **Coordinates have no border, but tails.** A correlation near one lies far out, and a few such people can dominate mean and covariance of the prior.
# - **Few people, many coordinates.** The prior of a class needs at least two people, and its covariance is mostly shrinkage when there are few. Look at the prior before you train the flow.
# - **The published archives** (ABIDE, ADNI and OASIS3 in the MSDL atlas) are read by {py:func}`~mmlab.data.sets.diffeocfm_archives.diffeocfm_archive`, once they have been turned from a pickle, which runs code when it is opened, into plain
#   arrays.
# - **Not only classes.** With `condition="source"` the condition is another matrix of the same person, and the prior is a ridge regression in the coordinates with the spread of what it misses. So the method enters the contest of {doc}`rest_to_motor`.
#
# ## Exercises
#
# ```{exercise} Half-way (compute)
# :label: diffeo-cfm-half
#
# Two regions correlate by 0.6 in one person and by −0.8 in another. Which correlation lies half-way between them on the shortest path (5) of the coordinates (1)?
# ```

# %% tags=["stub:half"]
from mmlab.exercises.diffeo_cfm import check_half

half = ...

check_half(half)

# %% [markdown]
# ```{solution-start} diffeo-cfm-half
# :class: dropdown
# ```

# %% tags=["solution:half"]
z = (0.6 / (1 - 0.6**2) ** 0.5 - 0.8 / (1 - 0.8**2) ** 0.5) / 2
half = z / (1 + z**2) ** 0.5

check_half(half)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} From coordinates to correlations (code)
# :label: diffeo-cfm-back
#
# Write (2): a function of a strictly lower triangular matrix `below`, (N, N), that returns a correlation matrix.
# ```

# %% tags=["stub:back"]
from mmlab.exercises.diffeo_cfm import check_back


def back(below):
    return ...


check_back(back)

# %% [markdown]
# ```{solution-start} diffeo-cfm-back
# :class: dropdown
# ```


# %% tags=["solution:back"]
def back(below):
    triangle = below + torch.eye(len(below), dtype=below.dtype)
    unit = triangle / triangle.norm(dim=1, keepdim=True)
    return unit @ unit.T


check_back(back)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A prior that is too wide (derive)
# :label: diffeo-cfm-wide
#
# Equation (8) assumes that prior and people have one law. Let the prior be too wide by a factor: $z_0 \sim \mathcal N(m, k^2\Sigma)$ and $z_1 \sim \mathcal N(m, \Sigma)$, independent. Derive the slope $b(t, k)$ in
# $\mathbb E[z_1 - z_0 \mid z_t = z] = b\,(z - m)$. By which factor does the exact flow multiply $z - m$ from $t = 0$ to $1$?
# ```

# %% tags=["stub:wide"]
from mmlab.exercises.diffeo_cfm import check_wide


def wide(t, k):
    slope = ...
    factor = ...
    return slope, factor


check_wide(wide)

# %% [markdown]
# ```{solution-start} diffeo-cfm-wide
# :class: dropdown
# ```
#
# The state has covariance $\big((1-t)^2k^2 + t^2\big)\Sigma$, and $z_1 - z_0$ has the covariance $\big(t - (1-t)k^2\big)\Sigma$ with it. Their quotient is the derivative of
# $\tfrac12\log\big((1-t)^2k^2 + t^2\big)$, whose integral from 0 to 1 is $-\log k$: the flow divides by $k$, as it must.


# %% tags=["solution:wide"]
def wide(t, k):
    slope = (t - (1 - t) * k**2) / ((1 - t) ** 2 * k**2 + t**2)
    factor = 1 / k
    return slope, factor


check_wide(wide)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Does the order of the regions matter? (think)
# :label: diffeo-cfm-order
#
# Reverse the regions of two people, walk half of the shortest path (5) between them, and put the regions back. Is it the same matrix? What does that mean for a prior that was fitted to the coordinates?
# ```
#
# ```{solution-start} diffeo-cfm-order
# :class: dropdown
# ```

# %%
one, other = matrices(train.tensors["target"][:2].double())
there = geodesic(one, other, 0.5)
reverse = geodesic(one.flip(0, 1), other.flip(0, 1), 0.5).flip(0, 1)
apart = float((there - reverse).abs().max())
logs = [
    geodesic(a, b, 0.5, "log_euclidean")
    for a, b in ((one, other), (one.flip(0, 1), other.flip(0, 1)))
]
same = float((logs[0] - logs[1].flip(0, 1)).abs().max())
say(
    f"The two half-way matrices differ by up to {apart:.3f} in a correlation; with the logarithm (3) by {same:.0e}. So a Gaussian in the coordinates (1) is another law of matrices when the regions are listed in another order, "
    "and a flow trained for a finite time is another generator."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is every sample a correlation matrix, however badly the network is trained?
# Whatever the flow ends at is a vector of real numbers, and (2) makes unit vectors of any such numbers. Their scalar products have ones on the diagonal and no negative eigenvalue.
# ```
#
# ```{dropdown} Why does the covariance cancel in (8)?
# Both ends have the same one, so that it multiplies the covariance of state and velocity as well as that of the state.
# ```
#
# ```{dropdown} What does authenticity see that the other measures do not?
# Copies. Training people drawn again look like real people because they are.
# ```
#
# ## In five lines
#
# - Rows of a Cholesky factor, divided by its diagonal, are coordinates without any condition; back, rows are made unit vectors.
# - Flow matching in such coordinates is flow matching on the curved space with the pulled-back metric.
# - The flow starts from a Gaussian fitted per class. That prior is a generator, and the rival that counts.
# - If the prior is right, the exact velocity is (8) and the flow stands still; the network needs to learn only the rest.
# - Measure law, precision, recall, authenticity and use, beside new people and beside the training people again.
#
# ## Limits, and what to read next
#
# The world has few regions and a law that we made. Only two learning rates were tried, each once. What flow and prior reach on real scans is on the page [Measured on real data](../book/measured.md). The paper has more: other couplings of the
# flow, covariances of the electroencephalogram, and larger sets of people {cite}`collas2025diffeocfm`. Next: {doc}`rest_to_motor`, where the translators meet.

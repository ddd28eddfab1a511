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
# # A broken scoreboard
#
# **A competition ranks generators of colonoscopies by one number. Can that number rank them?**
#
# In ImageCLEFmed MEDVQA-GI 2024, teams wrote programs that draw colonoscopies from text. A script of the organisers gave
# each of them a Fréchet inception distance and an inception score. One team reports distances from 0.064 to 0.099
# {cite}`peter2024advancing`, where the paper that proposed the distance has several units for its generators {cite}`heusel2017`. Did medicine get ahead so far?
#
# No: the script measures something else. It has three faults, each a single line of code, and each of a kind that passes all tests which only ask whether a number comes out. We
# rebuild them one by one, prove what they do, and measure what is left of a ranking.
#
# **After this chapter you can**
#
# - derive the Fréchet distance, its bias on small sets, and its upper bound on probabilities;
# - say which part of a picture a scorer really sees;
# - test a metric with faults of known size before you trust it with a ranking.
#
# You need Gaussians, covariance, and what a classifier's softmax is. Reading takes about 20 minutes.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
pictures: int | None = None  # in each set

# %% tags=["hide-input"]
import functools

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch.nn.functional import avg_pool2d, interpolate

from mmlab import generator
from mmlab.bases.findings_reader import findings_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world, draw
from mmlab.metrics.features import PrincipalComponents, resize
from mmlab.metrics.frechet import excess_frechet, frechet_distance
from mmlab.metrics.kernel_distance import squared_mmd
from mmlab.viz import claim, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import image_rows, lines, use_theme

use_theme()
pictures = pictures or {"cpu": 300, "gpu": 2000}[profile]
HEIGHT, WIDTH, SIDE = 96, 120, 50  # a sixth of 576, 720 and 299

# %% [markdown]
# ## The idea in one picture

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "files": Box(0, 0.5, "pictures"),
    "size": Box(1, 0.5, "to the size of\nthe network", "changed"),
    "network": Box(2, 0.5, "classifier of\nother things", "frozen"),
    "features": Box(3, 0, "features"),
    "softmax": Box(3, 1, "probabilities", "changed"),
    "frechet": Box(4, 0.5, "Fréchet\ndistance", "loss"),
    "is": Box(4, 1.5, "inception\nscore, by\ngroups", "changed"),
}
arrows = [
    Arrow("files", "size"),
    Arrow("size", "network"),
    Arrow("network", "features"),
    Arrow("network", "softmax"),
    Arrow("features", "frechet", "meant"),
    Arrow("softmax", "frechet", "done", back=True),
    Arrow("softmax", "is"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing of the scorer: pictures are brought to the size of a network, the network gives features and probabilities. The Fréchet distance is "
        "meant to take the features and takes the probabilities; the inception score takes the probabilities by groups of files."
    ),
    caption=(
        "Where the three faults are (orange): how pictures change their size, what is taken from the network, and how the inception score groups its files."
    ),
)

# %% [markdown]
# ## What the distance is
#
# Take features of real and of generated pictures, and fit a Gaussian to each set: $\mathcal N(\mu, S)$ and
# $\mathcal N(\nu, T)$. Move the one onto the other at the least squared cost. Of all joint laws of $X \sim \mathcal N(\mu, S)$ and $Y \sim \mathcal N(\nu, T)$ with cross-covariance $C$,
#
# $$\mathbb E\lVert X - Y\rVert^2 = \lVert\mu - \nu\rVert^2 + \operatorname{tr} S + \operatorname{tr} T - 2 \operatorname{tr} C, \tag{1}$$
#
# and the largest $\operatorname{tr} C$ that leaves the joint covariance positive is $\operatorname{tr}\,(S^{1/2} T S^{1/2})^{1/2}$. What remains is the Fréchet distance {cite}`heusel2017`
#
# $$F = \lVert\mu - \nu\rVert^2 + \operatorname{tr}\big(S + T - 2\,(S^{1/2} T S^{1/2})^{1/2}\big) . \tag{2}$$
#
# ### Its upper bound
#
# Only means and covariances entered (1), so nobody has to be Gaussian. *Any* way to pair real features with generated ones has a cross-covariance that is allowed in (1), hence
#
# $$F \le \mathbb E\lVert X - Y\rVert^2 \quad \text{for every pairing} . \tag{3}$$
#
# Now let $X$ and $Y$ be probabilities of classes, as a softmax gives them. Their entries are not negative and sum to one, so $\lVert x\rVert^2 \le 1$ and $x^\top y \ge 0$. Therefore
#
# $$\lVert x - y\rVert^2 = \lVert x\rVert^2 + \lVert y\rVert^2 - 2\,x^\top y \le 2, \qquad\text{and}\qquad F \le 2 . \tag{4}$$
#
# It is reached only if the network is sure of every picture, and no class holds both real and generated ones. On such a scale a small number is no feat. The features of the same network have no such bound.
#
# ### Its lower end
#
# Two finite sets of *one* law are not at distance zero. The squared distance of their means is $\operatorname{tr} S\,(1/n + 1/m)$ on average. Their covariances differ, too: in
# the eigenbasis of $S$, entry $ij$ of a sample covariance has the variance $(1+\delta_{ij})\lambda_i\lambda_j/n$, and a small change $E$ of $S$ costs $\tfrac12\sum_{ij} E_{ij}^2/(\lambda_i+\lambda_j)$. Together, for Gaussian features,
#
# $$\mathbb E F \approx \Big(\frac1n + \frac1m\Big)\Big[\operatorname{tr} S + \frac12\sum_{ij}\frac{(1+\delta_{ij})\,\lambda_i\lambda_j}{\lambda_i+\lambda_j}\Big] . \tag{5}$$
#
# For $S = I$ the bracket is $d + d(d+1)/4$: it grows with the square of the number of features. A distance is read beside (5), and two distances are compared only if the sets have the same sizes.
#
# ## The three faults, rebuilt
#
# We draw our own colonoscopies, since the competition's data need an agreement, at a sixth of its size in each direction. The *network* is
# a classifier of something else: Inception knows photographs, ours knows handwritten digits, and has 64 hidden features and ten classes. It has never seen a polyp, and nor has Inception.

# %%
digits = load_digits()
network = MLPClassifier((64,), alpha=1e-2, max_iter=60, random_state=0, tol=0.01)
network.fit(digits.data / 16, digits.target)


def seen_by_network(squares):
    """(N, 3, SIDE, SIDE) to the 64 grey numbers that the network takes."""
    return resize(squares.mean(1, keepdim=True), 8).flatten(1).double().numpy()


def probabilities(squares):
    return torch.from_numpy(network.predict_proba(seen_by_network(squares)))


def features(squares):
    hidden = seen_by_network(squares) @ network.coefs_[0] + network.intercepts_[0]
    return torch.from_numpy(np.maximum(hidden, 0))


def refill(files):
    """Fault 1: the numbers of a picture, row by row, poured into another frame until it is full."""
    needed = SIDE * SIDE * 3
    rows = -(-needed // (3 * files.shape[-1]))  # what lies below is never read
    flat = files[:, :, :rows].movedim(1, -1).flatten(1)  # as an image is stored
    flat = flat.repeat(1, -(-needed // flat.shape[1]))[:, :needed]
    return flat.view(-1, SIDE, SIDE, 3).movedim(-1, 1)


def properly(files):
    return resize(files, SIDE)


# %% [markdown]
# **Fault 1: resizing that does not.** NumPy's `resize` changes the shape of an array, not the size of what it shows. If
# there are more numbers than needed, the rest is dropped; if fewer, they are repeated.

# %% tags=["hide-input"]
world = colonoscopy_world(4, seed=3, size=HEIGHT)
example = interpolate(
    (world.pictures + 1) / 2, size=(HEIGHT, WIDTH), mode="bilinear"
)
share = SIDE**2 / (HEIGHT * WIDTH)


def saved_at(height, width):
    return interpolate(
        example, size=(height, width), mode="bilinear", antialias=True
    )


def draw_refilled(saved):
    height, width = (int(number) for number in saved.split(" x "))
    return image_rows(
        {
            "as a file": [
                resize(one[None], 96)[0] for one in saved_at(height, width)
            ],
            "to the network": list(refill(saved_at(height, width))),
        }
    )


def describe_refilled(saved):
    height, width = (int(number) for number in saved.split(" x "))
    times = SIDE**2 / (height * width)
    what = (
        f"the first {times:.0%} of its numbers"
        if times < 1
        else f"all of its numbers, {times:.2f} times over"
    )
    return f"Four pictures saved at {saved} pixels, and below them what reaches the network: {what}, sheared, since the rows have another length."


frames(
    {"saved at": ["96 x 120", "48 x 48", "42 x 42"]},
    draw_refilled,
    describe_refilled,
    caption="Change the size at which the pictures are saved. Above they stay what they are; below is what the scorer sees of them.",
)
say(
    f"Of a real picture only the upper {share:.0%} ever reach the network. Whatever lies below, polyps included, has no influence on the score."
)

# %% [markdown]
# **Fault 2: probabilities in place of features.** The network's last layer is taken instead of the one before. Then (4) holds.
#
# **Fault 3: groups in the order of the files.** The inception score {cite}`salimans2016improved` of a group of pictures is
#
# $$\mathrm{IS} = \exp\Big(\frac1n \sum_i \mathrm{KL}\big(p(\cdot\mid x_i)\,\Vert\,\bar p\big)\Big), \qquad \bar p = \frac1n\sum_i p(\cdot\mid x_i), \tag{6}$$
#
# and the mean over ten groups is reported. The script cuts the groups from the list of files as it is, and drops what is left over. If the names of the files follow their content, each
# group is all alike, $\bar p$ is as sure as each $p$, and the score falls towards one.


# %%
def inception_score(p, groups=10):
    parts = p[: len(p) // groups * groups].reshape(groups, -1, p.shape[1])
    mean = parts.mean(1, keepdim=True)
    return float((parts * (parts / mean).log()).sum(-1).mean(1).exp().mean())


# %% [markdown]
# ## A test for metrics
#
# How can a metric be tested without people? With faults whose *order* is known. Take new real pictures, and spoil them in five
# ways, each in two doses. Whatever a good metric says, it should put dose 0 before dose 1 before dose 2 of the same fault. Three pairs for each of five faults make fifteen pairs; equal scores count half.

# %%
DOSES = {
    "no polyps": (
        0.5,
        1.0,
    ),  # share of the pictures replaced by ones without polyps
    "blur": (3, 7),  # width of the mean, in pixels
    "colour": (0.1, 0.25),  # red taken away
    "few pictures": (40, 8),  # different ones among all
    "noise below": (0.1, 0.3),  # in the lower three quarters
}


def files_of(world):
    pixels = world.pictures.add(1).div_(2)
    return interpolate(pixels, size=(HEIGHT, WIDTH), mode="bilinear")


def spoiled(fault, dose, real, healthy, rng):
    """A set of new real pictures with a fault."""
    if fault == "blur":
        return avg_pool2d(real, dose, stride=1, padding=dose // 2)
    if fault == "few pictures":
        return real[torch.arange(len(real)) % dose]
    made = real.clone()
    if fault == "no polyps":
        count = round(dose * len(real))
        made[:count] = healthy[:count]
    elif fault == "colour":
        made[:, 0].sub_(dose).clamp_(0, 1)
    else:
        below = made[:, :, HEIGHT // 4 :]
        noise = torch.randn(below.shape, generator=rng)
        below.add_(noise.mul_(dose)).clamp_(0, 1)
    return made


@functools.lru_cache(maxsize=1)
def world_of(seed, part):
    """Part 0 is what is known, part 1 what is new."""
    return colonoscopy_world(pictures, 100 + 2 * seed + part, HEIGHT)


def pictures_of(seed, part):
    return files_of(world_of(seed, part))


def healthy_pictures(seed, rng):
    """The new scenes once more, with all polyps taken out."""
    scenes = [scene._replace(positions=()) for scene in world_of(seed, 1).scenes]
    pixels = draw(scenes, HEIGHT, rng)[0].add_(1).div_(2)
    return interpolate(pixels, size=(HEIGHT, WIDTH), mode="bilinear")


# %% [markdown]
# The scorers: as in the competition; with each of the two faults repaired, and with both; and two with other features. *PCA* are the 32 leading directions of the real training pictures. *The reader* is a
# network trained to read the facts of these very pictures (polyps, their place, instruments); its features are the natural choice where one can be trained.

# %%
reader = findings_reader()


def reader_features(files):
    with torch.no_grad():
        return reader.embed(resize(files, 32) * 2 - 1).double()


def scorers(real):
    components = PrincipalComponents(resize(real, 32), min(32, len(real) - 1))
    return {
        "as in the competition": lambda x: probabilities(refill(x)),
        "proper resizing": lambda x: probabilities(properly(x)),
        "features": lambda x: features(refill(x)),
        "both repaired": lambda x: features(properly(x)),
        "PCA": lambda x: components(resize(x, 32)),
        "the reader's features": reader_features,
    }


def distance(x, y):
    return frechet_distance(x, y, rank_deficient=True)


def run(seed):
    rng = generator(seed)
    real, new = pictures_of(seed, 0), pictures_of(seed, 1)
    healthy = healthy_pictures(seed, rng)
    settings = [("none", 0), ("resaved", 0)]
    settings += [(fault, dose) for fault in DOSES for dose in (1, 2)]
    extractors = scorers(real)
    known = {name: extract(real) for name, extract in extractors.items()}
    for fault, dose in settings:
        if fault == "resaved":
            files = resize(new, 42)
        else:
            files = (
                spoiled(fault, DOSES[fault][dose - 1], new, healthy, rng)
                if dose
                else new
            )
        for name, extract in extractors.items():
            apart = distance(extract(files), known[name])
            yield {
                "scorer": name,
                "seed": seed,
                "fault": fault,
                "dose": dose,
                "distance": apart,
            }
    reader_of[seed] = known["the reader's features"], reader_features(new)
    sure_of[seed] = probabilities(properly(real))


reader_of, sure_of = {}, {}
found = pd.DataFrame([row for seed in range(seeds) for row in run(seed)])


# %%
def in_order(rows):
    """Share of the fifteen pairs whose order is right, in one run of one scorer."""
    best = rows[rows.fault == "none"].distance.item()
    right = []
    for _, of_fault in rows[rows.dose > 0].groupby("fault"):
        ladder = [best, *of_fault.sort_values("dose").distance]
        for low, high in ((0, 1), (1, 2), (0, 2)):
            gap = ladder[high] - ladder[low]
            right.append(0.5 if abs(gap) < 1e-9 else float(gap > 0))
    return sum(right) / len(right)


ranking = (
    found.groupby(["scorer", "seed"], sort=False)[["fault", "dose", "distance"]]
    .apply(
        lambda rows: pd.Series(
            {
                "pairs in order": in_order(rows),
                "largest distance": rows.distance.max(),
            }
        )
    )
    .reset_index()
)
budgets = Budgets(
    "as in the competition", {name: Spent() for name in ranking.scorer.unique()}
)
table_over_seeds(
    ranking,
    "Six scorers and fifteen pairs whose order is known. A coin has half of them in order.",
    by="scorer",
    best={"pairs in order": "higher"},
    budgets=budgets,
    digits={"pairs in order": 2, "largest distance": 3},
)


# %% tags=["hide-input"]
def of(scorer, column="pairs in order"):
    return ranking[ranking.scorer == scorer].set_index("seed")[column]


OFFICIAL = "as in the competition"
claim(
    "competition-and-coin",
    of(OFFICIAL),
    [0.5] * seeds,
    direction="higher",
    unit="%",
    better="The competition's score is better than a coin: {ours} of the pairs are in order.",
    worse="The competition's score is worse than a coin: {ours} of the pairs are in order.",
    undecided="The competition's score ({ours} of the pairs in order) cannot be told from a coin.",
)
for other, stem in (
    ("proper resizing", "proper-resizing"),
    ("features", "features-alone"),
    ("both repaired", "both-repaired"),
    ("PCA", "pca"),
    ("the reader's features", "the-reader"),
):
    claim(
        f"pairs-in-order-{stem}-and-competition",
        of(other),
        of(OFFICIAL),
        direction="higher",
        unit="%",
        better=f"- {other}: {{ours}} of the pairs are in order, against {{theirs}} in the competition.",
        worse=f"- {other}: only {{ours}} of the pairs are in order, against {{theirs}} in the competition.",
        undecided=f"- {other}: {{ours}} of the pairs are in order and {{theirs}} in the competition; the runs do not tell them apart.",
    )
assert of(OFFICIAL, "largest distance").max() <= 2
record(
    pairs_in_order={name: of(name).tolist() for name in ranking.scorer.unique()},
    budget=budgets.plain(),
    largest_official=float(of(OFFICIAL, "largest distance").max()),
)

# %% [markdown]
# Which faults does each scorer see? For every fault, the distance at dose 2 over the distance of new real pictures; one means not seen.

# %% tags=["hide-input"]
ratios = found[found.dose == 2].merge(
    found[found.fault == "none"][["scorer", "seed", "distance"]],
    on=["scorer", "seed"],
    suffixes=("", " of new"),
)
ratios["ratio"] = ratios["distance"] / ratios["distance of new"]
wide = ratios.pivot(
    index=["scorer", "seed"], columns="fault", values="ratio"
).reset_index()
wide = wide.set_index("scorer").loc[list(ranking.scorer.unique())].reset_index()
table_over_seeds(
    wide[["scorer", "seed", *DOSES]],
    "Distance at the larger dose, over that of new real pictures.",
    by="scorer",
    digits=1,
)
blind = ratios[(ratios.scorer == OFFICIAL) & (ratios.fault == "noise below")].ratio
claim(
    "noise-below-and-nothing",
    blind.to_numpy(),
    [1.0] * seeds,
    direction="higher",
    better="The competition's scorer sees the noise in the lower three quarters: {ours} times the distance without it.",
    worse="With noise in the lower three quarters the competition's distance is smaller: {ours} times that without it.",
    undecided="Noise in the lower three quarters of all pictures leaves the competition's score where it was: {ours} times the distance without it.",
)

# %% [markdown]
# ### The same pictures, saved at another size
#
# A file of another size is another picture to `refill`. We score the new real pictures once at the size of the real ones, and once saved at 42 x 42 pixels.

# %% tags=["hide-input"]
resaved = found[found.fault == "resaved"].set_index(["scorer", "seed"]).distance
blurred = found[(found.scorer == OFFICIAL) & (found.fault == "blur")]
spoilt = blurred[blurred.dose == 2].set_index("seed").distance
claim(
    "resaved-and-blurred",
    resaved[OFFICIAL],
    spoilt,
    direction="higher",
    better="By the competition's score, good pictures that were saved at 42 x 42 pixels are worse ({ours}) than pictures blurred over seven pixels ({theirs}).",
    worse="By the competition's score, good pictures that were saved at 42 x 42 pixels ({ours}) still beat pictures blurred over seven pixels ({theirs}).",
    undecided="By the competition's score, good pictures that were saved at 42 x 42 pixels ({ours}) and pictures blurred over seven pixels ({theirs}) cannot be told apart.",
)
fresh = found[found.fault == "none"].set_index(["scorer", "seed"]).distance
times = (resaved / fresh).groupby("scorer").mean()
say(
    "Over the distance of the same pictures at their own size, on average of the seeds: "
    + ", ".join(f"{name} {times[name]:.1f}" for name in ranking.scorer.unique())
    + "."
)
record(
    resaved={name: resaved[name].tolist() for name in (OFFICIAL, "both repaired")}
)

# %% [markdown]
# ### The order of the files

# %%
scores = []
for seed in range(seeds):
    p = sure_of[seed]
    shuffled = p[torch.randperm(len(p), generator=generator(seed))]
    scores.append(
        (inception_score(p[p.argmax(1).argsort()]), inception_score(shuffled))
    )
sorted_by_class, in_random_order = zip(*scores, strict=True)
claim(
    "inception-score-sorted-and-shuffled",
    sorted_by_class,
    in_random_order,
    direction="lower",
    better="The same pictures have an inception score of {ours} if their names sort them by class, and of {theirs} in random order.",
    worse="The same pictures have a higher inception score if their names sort them by class, {ours}, than in random order, {theirs}.",
    undecided="The inception score of the same pictures sorted by class ({ours}) and in random order ({theirs}) cannot be told apart.",
)
known = torch.from_numpy(network.predict_proba(digits.data / 16))
by_name = known[torch.from_numpy(digits.target).argsort(stable=True)]
mixed = known[torch.randperm(len(known), generator=generator(0))]
say(
    f"The network takes {p.argmax(1).bincount().max() / len(p):.0%} of the last run's pictures for one and the same digit, so there is little to sort. Of the digits that it knows, the score is {inception_score(by_name):.2f} "
    f"sorted and {inception_score(mixed):.2f} in random order."
)

# %% [markdown]
# ## Few pictures: what a repaired score still needs
#
# A right scorer is still biased. Score *real* pictures against real pictures, with fewer and fewer of them, by the reader's 64 features.

# %%
curve = []
sizes = [80, 110, 160, 220, 300] if pictures >= 300 else [pictures - 2, pictures]
for seed in range(seeds):
    known, new = reader_of[seed]
    for size in sizes:
        x, y = new[:size], known[:size]
        excess, floor = excess_frechet(x, y)
        for kind, value in (
            ("Fréchet distance", excess + floor),
            ("minus its floor (5)", excess),
            ("floor (5)", floor),
        ):
            curve.append(
                {"pictures": size, "value": value, "kind": kind, "seed": seed}
            )
curve = pd.DataFrame(curve)
end = curve[curve.pictures == min(sizes)].groupby("kind").value.mean()
means = curve.pivot_table("value", "pictures", "kind")
shares = means["floor (5)"] / means["Fréchet distance"]
show(
    lines(
        curve,
        "pictures",
        "value",
        by="kind",
        log_x=True,
        references={"same law": 0.0},
    ),
    alt=(
        f"Three lines over the number of pictures. With {min(sizes)} real pictures the Fréchet distance from as many others is {end['Fréchet distance']:.1f}, its floor {end['floor (5)']:.1f}, and the difference {end['minus its floor (5)']:.1f}."
    ),
    caption=(
        f"Real pictures against real pictures of one law. The floor of Eq. (5), which assumes Gaussian features, is {shares[min(sizes)]:.0%} of the Fréchet distance with {min(sizes)} pictures and "
        f"{shares[max(sizes)]:.0%} with {max(sizes)}."
    ),
    label="bias",
)
per_seed = curve[curve.pictures == min(sizes)].pivot(
    index="seed", columns="kind", values="value"
)
claim(
    "distance-minus-floor-and-zero",
    per_seed["minus its floor (5)"],
    [0.0] * seeds,
    direction="lower",
    better=f"With {min(sizes)} pictures the floor (5) takes away too much: {{ours}} is left.",
    worse=f"With {min(sizes)} pictures {{ours}} is left once the floor (5) is taken away.",
    undecided=f"With {min(sizes)} pictures nothing is left that can be told from zero once the floor (5) is taken away ({{ours}}).",
)


def left_of_gaussians(seed):
    """What the floor leaves of two sets of Gaussian draws with the mean and covariance of the reader's features."""
    every = torch.cat(reader_of[seed])
    law = every.mean(0).numpy(), torch.cov(every.T).numpy()
    drawn = np.random.default_rng(seed).multivariate_normal(*law, 2 * min(sizes))
    return excess_frechet(*torch.from_numpy(drawn).chunk(2))[0]


claim(
    "features-and-gaussian-draws-minus-floor",
    per_seed["minus its floor (5)"],
    [left_of_gaussians(seed) for seed in range(seeds)],
    direction="lower",
    better="Of as many *Gaussian* draws with the same covariance more is left than of the features: {theirs} and {ours}.",
    worse="Of as many *Gaussian* draws with the same covariance less is left, {theirs} in place of {ours}: the rest is owed to features that are not Gaussian.",
    undecided="Of as many *Gaussian* draws with the same covariance {theirs} is left; whether that is less than the {ours} of the features is undecided.",
)

# %% [markdown]
# [](#figure-bias) is why a challenge fixes the number of pictures, and prints what a second real set gets. The *kernel distance* {cite}`binkowski2018demystifying` has no floor, since it leaves out the pairs of a point with itself.

# %%
kernel = [squared_mmd(*reader_of[seed]) for seed in range(seeds)]
claim(
    "kernel-distance-and-zero",
    kernel,
    [0.0] * seeds,
    direction="lower",
    better="The kernel distance of two real sets is below zero here: {ours}.",
    worse="The kernel distance of two real sets is above zero here: {ours}.",
    undecided="The kernel distance of two real sets cannot be told from zero: {ours}.",
)

# %% [markdown]
# ## What went wrong in practice
#
# All three faults run without a warning and give numbers that look like scores. What makes one look are published values that are *too good*. Three habits find them on the first day:
#
# - score real pictures against real ones, and blurred ones, before anything else;
# - print the picture that the network sees, not the file;
# - compare with another implementation. In the first draft of a well-known library's distance the network's last layer was taken, too, and a reviewer saw it beside another
#   implementation {cite}`ignite_fid_review`.
#
# ## Exercises

# %% [markdown]
# ```{exercise} What is seen (compute)
# :label: broken-scoreboard-share
#
# The competition's pictures have 576 x 720 pixels, and the network takes 299 x 299. Which share of the numbers of a picture reaches it?
# ```

# %% tags=["stub:share"]
from mmlab.exercises.broken_scoreboard import check_share

share_seen = ...

check_share(share_seen)

# %% [markdown]
# ```{solution-start} broken-scoreboard-share
# :class: dropdown
# ```

# %% tags=["solution:share"]
share_seen = 299 * 299 / (576 * 720)
check_share(share_seen)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} The two sure classifiers (compute)
# :label: broken-scoreboard-sure
#
# A classifier is always sure. It gives real pictures each of K classes equally often, and generated pictures always the first class. What is (2) on its probabilities, for K = 2?
# ```

# %% tags=["stub:sure"]
from mmlab.exercises.broken_scoreboard import check_sure

sure = ...

check_sure(sure)

# %% [markdown]
# ```{solution-start} broken-scoreboard-sure
# :class: dropdown
# ```
#
# The means are $(\tfrac12, \tfrac12)$ and $(1, 0)$: squared distance $\tfrac12$. The generated covariance is zero, so the rest of (2) is $\operatorname{tr} S$. Each real entry has the variance $\tfrac14$.

# %% tags=["solution:sure"]
sure = 1 / 2 + 1 / 4 + 1 / 4
check_sure(sure)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} The bias of the means, exactly (derive)
# :label: broken-scoreboard-means
#
# The bracket of (5) has a part for the means and one for the covariances. Derive the whole bracket for features whose covariance has the eigenvalues $\lambda_1 \dots \lambda_d$, from the variances and the cost named above (5), and write it as a function of them. Take care of $i = j$.
# ```

# %% tags=["stub:bracket"]
from mmlab.exercises.broken_scoreboard import check_bracket


def bracket(eigenvalues):
    return ...


check_bracket(bracket)

# %% [markdown]
# ```{solution-start} broken-scoreboard-means
# :class: dropdown
# ```
#
# $\mathbb E\lVert\bar x - \bar y\rVert^2 = \sum_i \lambda_i (1/n + 1/m)$. The two sample covariances differ by $E$ with variance $(1+\delta_{ij})\lambda_i\lambda_j(1/n+1/m)$; put it into the cost. On the diagonal $\tfrac12 \cdot 2\lambda_i^2/(2\lambda_i) = \lambda_i/2$.


# %% tags=["solution:bracket"]
def bracket(eigenvalues):
    pairs = (
        eigenvalues[:, None] * eigenvalues / (eigenvalues[:, None] + eigenvalues)
    )
    return eigenvalues.sum() + (pairs.sum() + pairs.diagonal().sum()) / 2


check_bracket(bracket)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ### Check yourself
#
# ```{dropdown} Can a negative distance be right?
# The distance (2) itself is never negative. One minus its floor, or one in the limit of infinitely many pictures, is an estimate of it, and may fall below zero by chance.
# ```
#
# ```{dropdown} Is a proper Fréchet distance with Inception's features right for colonoscopies?
# It is right as a distance. Whether it sees what matters is another question: in the table above compare the features of a network of other things with the reader's.
# ```
#
# ## In five lines
#
# - The Fréchet distance compares two Gaussians fitted to features; it sees what the features see.
# - On probabilities it cannot exceed two, whatever is drawn.
# - An array that is refilled is not a picture that is resized: of the competition's pictures a fifth was judged.
# - Two sets of one law are apart by Eq. (5): print that floor, or what a second real set gets, and fix the number of pictures.
# - Test a metric with faults of known order before it ranks anybody.
#
# ## Limits
#
# The script is rebuilt from its description, with a network of digits in place of Inception and drawn pictures in place of real ones; the published systems cannot be ranked again without their pictures. The faults of our
# test are five out of many, and a scorer that has them all in order may miss a sixth. How people rank such pictures is the matter of [the arena](arena.ipynb).

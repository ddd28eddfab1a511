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
# # Pictures in words: VQGAN
#
# **Can a picture be written in words of a small language, and read back?**
#
# Language models choose one of so many words, again and again. Whoever wants one to draw needs pictures in words. VQGAN
# {cite}`esser2021taming` learns such a language: an encoder turns a picture into a grid of vectors, each vector is replaced by the
# nearest of $K$ learnt ones, its *code*, and a decoder paints the picture from them. The numbers of the codes are the words.
# What the words cannot say, no model that writes them can draw.
#
# Three things stand in the way. Choosing has no gradient. Of the $K$ codes many may never be chosen. And with few words a decoder that is trained on the
# error of pixels paints something in the middle of all pictures that the words fit: a blur. The paper's remedy for the last is to judge pictures by features and by
# an adversary. This chapter takes the parts apart.
#
# After this chapter you can derive a gradient for rounding, notice a dead codebook and revive it, say what an adaptive weight does, and hold a code
# of words against plain rivals at the same number of bits. You need PyTorch and entropy; [pix2pix](pix2pix.ipynb) explains adversaries. Reading takes about
# half an hour.

# %% tags=["parameters"]
profile = "cpu"
steps: int | None = None  # of each training of this chapter
pictures: int = 240  # test pictures

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from mmlab import fit, generator
from mmlab.bases.colonoscopy_tokens import (
    FEATURES,
    perceptual_network,
    tokenizer_of_pictures,
)
from mmlab.bases.findings_reader import findings_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world
from mmlab.methods.vqgan import (
    VQGAN,
    adaptive_weight,
    codebook_loss,
    nearest,
    perplexity,
    straight_through,
)
from mmlab.metrics.faithfulness import hits
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import image_rows, use_theme

use_theme()
steps = steps or {"cpu": 110, "gpu": 4000}[profile]

# %% [markdown]
# ## Where what goes

# %% tags=["hide-input"]
# Code of the drawing
show(
    in_rows(
        [
            {"x": "picture $x$"},
            {"E": "encoder $E$"},
            {"q": "nearest codes, (1)", "book": "codebook, (4)"},
            {"G": "decoder $G$"},
            {"made": r"$\hat x$"},
            {"error": "error", "looks": "features, (6)", "critic": "critic, (7)"},
        ],
        [
            ("x", "E"), ("E", "q"), ("book", "q"), ("q", "G"), ("G", "made"), ("made", "error"), ("made", "looks"), ("made", "critic"),
        ],
        trained=["E", "G", "book", "critic"],
    ),
    alt="Boxes joined by arrows: a picture goes through the encoder; its vectors are replaced by the nearest codes of the codebook; the decoder makes a picture, which is judged by its error, by features and by a critic.",
    caption="VQGAN. What is trained is blue. Between encoder and decoder stands a choice: all that passes is which code it was, at each place of the grid.",
)  # fmt: skip

# %% [markdown]
# ## A choice, and a gradient for it
#
# The encoder makes a grid of vectors $z$ of length $D$. Each is replaced by the nearest code,
#
# $$q(z) = e_k, \qquad k = \operatorname{arg\,min}_j \lVert z - e_j \rVert^2 . \tag{1}$$
#
# As a function of $z$ that is a staircase: flat almost everywhere, so its gradient is zero where it exists. The trick is to use the value
# of the step and the gradient of the ramp under it. With $\mathrm{sg}$, which stops gradients,
#
# $$\tilde z = z + \mathrm{sg}\,[\,q(z) - z\,] . \tag{2}$$
#
# The decoder sees $q(z)$, and hands its gradient to $z$ as if nothing had been rounded. What it says is wrong by as much as the decoder's gradient changes
# between $z$ and $q(z)$, so the two should be close. Two squares see to it:
#
# $$L_q = \bigl\lVert \mathrm{sg}[z] - q(z) \bigr\rVert^2 + \beta\, \bigl\lVert z - \mathrm{sg}[q(z)] \bigr\rVert^2 . \tag{3}$$
#
# The first pulls codes to the vectors that chose them. The second, the *commitment*, pulls vectors to their codes; $\beta$ is 0.25 in VQ-VAE {cite}`oord2017vqvae`.
# (The published code of VQGAN had $\beta$ on the other term, and diffusers keeps that fault as `legacy=True` for the sake of old weights. A test of
# this package finds both forms in it.)

# %%
z = torch.randn(2, 3, generator=generator(0)).requires_grad_()
codebook = torch.randn(4, 3, generator=generator(1))
code = codebook[nearest(z, codebook)]
seen = straight_through(z, code)
slope = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
(seen * slope).sum().backward()
assert torch.equal(z.grad, slope)
assert torch.allclose(seen, code)
of_codes, commitment = codebook_loss(z, code, beta=0.25)
say(
    f"What passes on are the codes; the gradient at $z$ is that at the decoder's input, unchanged. The two terms of (3) have one value, but for β: "
    f"{of_codes:.3f} and {commitment / 0.25:.3f}."
)

# %% [markdown]
# ## Codes that are means
#
# The minimum of the first term of (3), for fixed choices, is known: each code is the mean of its vectors. So one may leave the gradient and keep running counts $N_k$ and sums
# $m_k$ instead, of the $n_k$ vectors in a batch that chose code $k$:
#
# $$N_k \leftarrow \gamma N_k + (1-\gamma)\, n_k, \qquad m_k \leftarrow \gamma\, m_k + (1-\gamma) \sum_{z \to k} z, \qquad e_k = m_k / N_k . \tag{4}$$
#
# With $\gamma = 0$ that is one step of $k$-means; a test holds it against scikit-learn's. Either way **a code that is never chosen never moves.** Codes begin somewhere, vectors elsewhere; a
# few codes that lie in the right direction get them all. How many are in use is told by the *perplexity* of the shares $p_k$ with which codes are chosen,
#
# $$\mathrm{PP} = \exp\Bigl( -\sum_k p_k \log p_k \Bigr), \tag{5}$$
#
# which is $K$ if all are chosen alike. A remedy {cite}`dhariwal2020jukebox` is to move a code whose count has fallen below a share of the mean onto a vector of the batch, where it is wanted.
#
# Here are the three, each trained in the same way on drawn colonoscopies
# ({py:mod}`~mmlab.data.worlds.colonoscopy_world`), at first with nothing but the mean absolute error of the pixels.

# %%
K, TRAINING = (
    256,
    {"batch_size": 16, "lr": 3e-3, "warmup": 20, "schedule": "cosine"},
)
SHAPE = {"width": 32, "codes": K, "code_width": 8}
world = colonoscopy_world(2000, seed=0)
test = colonoscopy_world(pictures, seed=77)
lessons = TensorData({"image": world.pictures})
features = perceptual_network()


def trained(look=features, **arguments):
    """A VQGAN with the chapter's sizes, trained as all of them are."""
    method = VQGAN.seeded(0, **SHAPE | arguments)
    if method.features is not None and look is not None:
        method.look_with(look)
    history = fit(method, lessons, steps=steps, progress=False, **TRAINING)
    return method, history


books = {
    "gradient": trained(decay=None, revive=0.0),
    "running means": trained(revive=0.0),
    "running means, revived": trained(),
}
used = {
    name: torch.bincount(
        method.encode(test.pictures).flatten(), minlength=K
    ).float()
    for name, (method, _) in books.items()
}
errors = {
    name: (method.reconstruct(test.pictures) - test.pictures).abs().mean((1, 2, 3))
    for name, (method, _) in books.items()
}

# %% tags=["hide-input"]
# Code of the table and the figure
table(
    pd.DataFrame(
        {
            name: {
                "mean absolute error": float(errors[name].mean()),
                "perplexity (5)": float(perplexity(counts)),
                "codes never chosen": int((counts == 0).sum()),
            }
            for name, counts in used.items()
        }
    ).T,
    f"Three ways to move {K} codes, on {pictures} test pictures of {8 * 8} words each, after {steps} steps of training.",
    best={"mean absolute error": "lower"},
    paired=pd.concat(
        {name: pd.DataFrame({"mean absolute error": e.tolist()}) for name, e in errors.items()}
    ),
    called="pictures",
)  # fmt: skip
figure = Figure(figsize=(5.6, 2.6))
axes = figure.subplots()
for name, (_, history) in books.items():
    metric = next(key for key in history.series if key[1].endswith("perplexity"))
    axes.plot(*history.series[metric], label=name)
axes.set(xlabel="step", ylabel="perplexity of a batch", yscale="log")
axes.legend()
show(
    figure,
    alt="The perplexity of each batch over the training, on a logarithmic axis, of three codebooks. At the end of training the test pictures have "
    + ", ".join(
        f"{perplexity(counts):.0f} ({name})" for name, counts in used.items()
    )
    + ".",
    caption=f"How many of {K} codes are in use, as the codebooks are trained.",
    label="codes",
)
claim(
    "revived-gradient", errors["running means, revived"], errors["gradient"], direction="lower", over="items", called="pictures",
    better="Running means with revival have a smaller error than codes that follow their gradient, {ours} against {theirs}.",
    worse="Running means with revival have a larger error than codes that follow their gradient, {ours} against {theirs}.",
    undecided="The errors of running means with revival ({ours}) and of codes that follow their gradient ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "revived-not-revived", errors["running means, revived"], errors["running means"], direction="lower", over="items", called="pictures",
    better="Revival makes the error of running means smaller, {ours} against {theirs}.",
    worse="Revival makes the error of running means larger, {ours} against {theirs}.",
    undecided="The errors of running means with ({ours}) and without revival ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# ## Features, and an adversary
#
# For a given sequence of words many pictures are possible. The absolute error asks for the median of each pixel among them
# ({doc}`pix2pix` derives it), and pixels that hedge one by one make no sharp edge. A *perceptual loss* compares pictures in the features $\varphi_l$ of a network that was trained for
# something else, at each place as unit vectors {cite}`zhang2018lpips`:
#
# $$L_{\mathrm{rec}} = \lvert x - \hat x \rvert + \sum_l \operatorname{mean}_{\text{places}} \Bigl\lVert \tfrac{\varphi_l(x)}{\lVert\varphi_l(x)\rVert} - \tfrac{\varphi_l(\hat x)}{\lVert\varphi_l(\hat x)\rVert} \Bigr\rVert^2 . \tag{6}$$
#
# Usually $\varphi$ is a VGG that has learnt a thousand classes, and people's judgements weigh its channels. Ours is a small network that learnt the facts of other drawings, and has no such weights. *It is not
# the one that judges below*; but both learnt the same facts, so the judge is no stranger to it. That is why one row has a network that learnt nothing.
#
# The *critic* is a second network, with a logit $d$ for each patch of 18 pixels. It learns with hinges to tell pictures from what the decoder makes of them, and the decoder to raise its logits:
#
# $$L_D = \tfrac12\,\mathbb E \max(0, 1 - d(x)) + \tfrac12\,\mathbb E \max(0, 1 + d(\hat x)), \tag{7}$$
#
# $$L_{\mathrm{adv}} = -\,\mathbb E\, d(\hat x) . \tag{8}$$
#
# How much should it count? A logit has no unit that could be compared with an error. VQGAN compares slopes, at the weights $W$ of the decoder's last layer:
#
# $$\lambda = \frac{\lVert \nabla_W L_{\mathrm{rec}} \rVert}{\lVert \nabla_W L_{\mathrm{adv}} \rVert + \delta} . \tag{9}$$
#
# $$L = L_{\mathrm{rec}} + L_q + w\,\lambda\, L_{\mathrm{adv}} . \tag{10}$$
#
# So with $w = 1$ both terms would pull equally hard at the last layer, *whatever the scale of the critic*. The other side of it: where the error is small, so is the adversary's
# say, and where the critic's slope is nearly zero, $\lambda$ makes it loud.

# %%
steep, shallow = torch.tensor([3.0, 4.0]), torch.tensor([0.01, 0.0])
say(
    f"Slopes of length 5 and 0.01 give λ = {adaptive_weight(steep, shallow):.0f}; after it they are of one length: "
    f"{(adaptive_weight(steep, shallow) * shallow).norm():.2f}."
)

# %% [markdown]
# ## What each part does, and two rivals
#
# | row | what it is |
# | --- | --- |
# | principal components | a linear code of as many bits: components of the training pictures, each rounded to levels of its own; nothing is trained by steps |
# | error alone | the autoencoder with a codebook and the error of pixels; the last row of the table above |
# | features | with (6) |
# | random features | with (6), the network as it was initialised |
# | VQGAN | features and critic, (10), $w$ as in the code below |
# | no codebook | as VQGAN, but 8 numbers at each place instead of a word: what the choice costs |
#
# All are trained for the same number of steps on the same pictures, with one seed. Only VQGAN and *no codebook* have a critic, and its parameters. Measured are the error; *features*, the distance in the last features of the network that reads facts,
# {py:class}`~mmlab.bases.findings_reader.FindingsReader`; *facts*, the share of a picture's facts that it reads off right; and *steepness*, the mean difference of neighbouring pixels beside that of the real picture: below one is a blur, and above one there are edges or patterns that the picture does not have.
#
# For components of variance $v$, rounded to $2^b$ levels each, we give bits one by one to where they remove most error. That is how transform codes such as JPEG spend bits.

# %% tags=["hide-input"]
# Code of the linear code of as many bits


def levels(values, bits, rounds=6):
    """One-dimensional k-means for each column of (N, C): 2^bits levels, (2^bits, C)."""
    shares = (torch.arange(2**bits) + 0.5) / 2**bits
    at = torch.quantile(values, shares, dim=0)
    for _ in range(rounds):
        k = (values[:, None] - at).abs().argmin(1)  # (N, C)
        count = torch.zeros_like(at).scatter_add(0, k, torch.ones_like(values))
        total = torch.zeros_like(at).scatter_add(0, k, values)
        at = torch.where(count > 0, total / count.clamp(min=1), at)
    return at


def rounded(values, at):
    return at.gather(0, (values[:, None] - at).abs().argmin(1))


def component_code(train, most=160, deepest=5):
    """A function from pictures and a number of bits to pictures through principal components."""
    flat = train.flatten(1)
    mean = flat.mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(flat - mean, q=min(most, len(flat)), niter=2)
    scores = (flat - mean) @ axes
    books = [levels(scores, bits) for bits in range(1, deepest + 1)]
    left = [scores.square().mean(0)]
    left += [(scores - rounded(scores, at)).square().mean(0) for at in books]
    # What each further bit of a component removes, (deepest, C).
    gains = (torch.stack(left[:-1]) - torch.stack(left[1:])).cummin(0).values

    def code(pictures, total):
        spent = torch.zeros(gains.shape[1], dtype=torch.long)
        for at in gains.flatten().argsort(descending=True)[:total]:
            spent[at % gains.shape[1]] += 1
        values = (pictures.flatten(1) - mean) @ axes
        found = torch.zeros_like(values)
        for bits, at in enumerate(books, start=1):
            found[:, spent == bits] = rounded(values, at)[:, spent == bits]
        return (mean + found @ axes.T).view_as(pictures)

    return code


# %%
bits = 8 * 8 * int(math.log2(K))
linear = component_code(world.pictures)
WEIGHT = 0.3
looking = {"features": FEATURES, "perceptual_weight": 1.0}
methods = {
    "error alone": books["running means, revived"][0],
    "random features": trained(look=None, **looking)[0],
    "features": trained(**looking)[0],
    "VQGAN": trained(**looking, adversarial_weight=WEIGHT)[0],
    "no codebook": trained(**looking, adversarial_weight=WEIGHT, codes=0)[0],
}
shared = tokenizer_of_pictures()
reader = findings_reader()
made = {"real pictures": test.pictures}
made["principal components"] = linear(test.pictures, bits)
made |= {name: m.reconstruct(test.pictures) for name, m in methods.items()}
made["VQGAN, trained longer"] = shared.reconstruct(test.pictures)
facts = [scene.facts() for scene in test.scenes]
with torch.no_grad():
    seen = {name: reader.embed(x) for name, x in made.items()}


def steepness(x):
    """Mean difference of neighbouring pixels, (B,)."""
    return (
        x.diff(dim=2).abs().mean((1, 2, 3)) + x.diff(dim=3).abs().mean((1, 2, 3))
    ) / 2


def share(x):
    """Share of the facts of each picture that are read off right, (B,)."""
    return np.nanmean(np.stack(list(hits(reader.read(x), facts).values())), axis=0)


measured = {
    name: pd.DataFrame(
        {
            "error": (x - test.pictures).abs().mean((1, 2, 3)).tolist(),
            "features": (seen[name] - seen["real pictures"]).norm(dim=1).tolist(),
            "facts": share(x),
            "steepness": (steepness(x) / steepness(test.pictures)).tolist(),
        }
    )
    for name, x in made.items()
}

# %% tags=["hide-input"]
# Code of the table and the figure
rows = pd.DataFrame({name: frame.mean() for name, frame in measured.items()}).T
budgets = Budgets(
    "VQGAN",
    {name: Spent.on(method, steps) for name, method in methods.items()}
    | {"principal components": Spent()},
)
long_bits = 8 * 8 * int(math.log2(len(shared.codebook)))
table(
    rows.join(budgets.columns()["parameters"]),
    f"{pictures} test pictures. Codes of {bits} bits; *trained longer*, with more words ({long_bits} bits), "
    "wider and for more steps, is the tokenizer that the next chapter uses. *No codebook* has 8 numbers at a place.",
    best={"error": "lower", "features": "lower", "facts": "higher"},
    reference=["real pictures", "VQGAN, trained longer"],
    paired=pd.concat(measured),
    called="pictures",
    budgets=budgets,
)
record(rows=rows.round(4).to_dict("index"), budget=budgets.plain())
shown = list(range(min(7, pictures)))
top = rows["facts"].drop(["real pictures", "VQGAN, trained longer"]).idxmax()
figure = image_rows(
    {
        name: [x[i].clamp(-1, 1) / 2 + 0.5 for i in shown]
        for name, x in made.items()
    },
)
show(
    figure,
    alt=(
        "Rows of colonoscopies: real, and as each code gives them back. Of the facts, the reader sees "
        + ", ".join(f"{rows.loc[name, 'facts']:.0%} ({name})" for name in made)
        + "."
    ),
    caption=f"Test pictures, and what comes back. Of the short trainings and the linear code, most facts are read off *{top}*, {rows.loc[top, 'facts']:.0%}. Look at text, instrument and vessels.",
    label="rows",
)

# %% [markdown]
# What does each part change? All pairs are of the same test pictures.


# %% tags=["hide-input"]
def both(ours, theirs, what):
    return measured[ours][what], measured[theirs][what]


claim(
    "vqgan-features-error-alone", *both("VQGAN", "error alone", "features"), direction="lower", over="items", called="pictures",
    better="**Features.** VQGAN is nearer to the picture than the error alone, {ours} against {theirs}.",
    worse="**Features.** VQGAN is farther from the picture than the error alone, {ours} against {theirs}.",
    undecided="**Features.** VQGAN ({ours}) and the error alone ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "vqgan-error-error-alone", *both("VQGAN", "error alone", "error"), direction="lower", over="items", called="pictures",
    better="**Error.** VQGAN has a smaller one than the error alone, {ours} against {theirs}.",
    worse="**Error.** The price: VQGAN has a larger one than the error alone, {ours} against {theirs}.",
    undecided="**Error.** VQGAN ({ours}) and the error alone ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "vqgan-facts-principal-components", *both("VQGAN", "principal components", "facts"), direction="higher", unit="%", over="items", called="pictures",
    better="**Facts.** VQGAN keeps more of them than principal components of as many bits, {ours} against {theirs}.",
    worse="**Facts.** Principal components of as many bits keep more of them than VQGAN, {theirs} against {ours}.",
    undecided="**Facts.** VQGAN ({ours}) and principal components of as many bits ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "error-alone-principal-components", *both("error alone", "principal components", "error"), direction="lower", over="items", called="pictures",
    better="**Error, each at what it is made for.** The error alone is smaller with a codebook than with principal components, {ours} against {theirs}.",
    worse="**Error, each at what it is made for.** Principal components have the smaller error than the codebook, {theirs} against {ours}.",
    undecided="**Error, each at what it is made for.** Codebook ({ours}) and principal components ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "features-random", *both("features", "random features", "facts"), direction="higher", unit="%", over="items", called="pictures",
    better="**Does the network have to know anything?** The trained one keeps more facts than the same one untrained, {ours} against {theirs}.",
    worse="**Does the network have to know anything?** Untrained it keeps more facts than trained, {theirs} against {ours}.",
    undecided="**Does the network have to know anything?** Trained ({ours}) and untrained ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "random-error-alone", *both("random features", "error alone", "facts"), direction="higher", unit="%", over="items", called="pictures",
    better="**Untrained features** keep more facts than the error alone, {ours} against {theirs}.",
    worse="**Untrained features** keep fewer facts than the error alone, {ours} against {theirs}.",
    undecided="**Untrained features** ({ours}) and the error alone ({theirs}) cannot be told apart in facts.",
)  # fmt: skip
claim(
    "adversary-features", *both("VQGAN", "features", "features"), direction="lower", over="items", called="pictures",
    better="**The adversary** brings pictures nearer in features than features alone do, {ours} against {theirs}.",
    worse="**The adversary** takes pictures farther away in features than features alone do, {ours} against {theirs}.",
    undecided="**The adversary** changes nothing in features that could be told: {ours} with, {theirs} without.",
)  # fmt: skip
claim(
    "adversary-steepness", (1 - measured["VQGAN"]["steepness"]).abs(), (1 - measured["features"]["steepness"]).abs(), direction="lower", over="items", called="pictures",
    better="**The adversary** brings steepness nearer to that of real pictures: off by {ours} with it, {theirs} without.",
    worse="**The adversary** takes steepness farther from that of real pictures: off by {ours} with it, {theirs} without.",
    undecided="**The adversary** does not change how far steepness is from that of real pictures: {ours} with it, {theirs} without.",
)  # fmt: skip
claim(
    "codebook-facts", *both("VQGAN", "no codebook", "facts"), direction="higher", unit="%", over="items", called="pictures",
    better="**The choice** of a word for each place keeps more facts than numbers do, {ours} against {theirs}.",
    worse="**The choice** of a word for each place costs facts: {ours} against {theirs} with numbers.",
    undecided="**The choice** of a word for each place costs no facts that could be told: {ours}, and {theirs} with numbers.",
)  # fmt: skip

# %% [markdown]
# How few bits does the linear code need?

# %% tags=["hide-input"]
# Code of the figure
BITS = [32, 64, 128, 256, bits]
by_bits = {n: float(share(linear(test.pictures, n)).mean()) for n in BITS}
figure = Figure(figsize=(5.6, 2.8))
axes = figure.subplots()
axes.plot(BITS, list(by_bits.values()), "o-", label="principal components")
for at, name in enumerate(("error alone", "VQGAN")):
    axes.plot(bits, rows.loc[name, "facts"], "s", color=f"C{at + 1}", label=name)
axes.plot(
    long_bits, rows.loc["VQGAN, trained longer", "facts"], "^", color="C3", label="VQGAN, trained longer",
)  # fmt: skip
axes.axhline(rows.loc["real pictures", "facts"], color="0.6", ls=":", label="real pictures")  # fmt: skip
axes.set(xlabel="bits of a picture", ylabel="facts", xscale="log")
axes.set_xticks(BITS, [str(n) for n in BITS])
axes.legend(fontsize=8)
show(
    figure,
    alt="Facts that are read off right against the bits of a picture. Principal components: "
    + ", ".join(f"{n} bits {value:.0%}" for n, value in by_bits.items())
    + f"; with codebooks: error alone {rows.loc['error alone', 'facts']:.0%} and VQGAN {rows.loc['VQGAN', 'facts']:.0%} at {bits} bits, VQGAN trained longer {rows.loc['VQGAN, trained longer', 'facts']:.0%} at {long_bits}.",
    caption=f"The same test pictures. Real pictures give {rows.loc['real pictures', 'facts']:.0%}, principal components of {bits} bits {by_bits[bits]:.0%}, VQGAN of as many {rows.loc['VQGAN', 'facts']:.0%}.",
    label="bits",
)
claim(
    "longer-principal-components", measured["VQGAN, trained longer"]["facts"], share(linear(test.pictures, long_bits)), direction="higher", unit="%", over="items", called="pictures",
    better="Trained longer, VQGAN keeps more facts than principal components of as many bits, {ours} against {theirs}.",
    worse="Even trained longer, VQGAN keeps fewer facts than principal components of as many bits, {ours} against {theirs}.",
    undecided="Trained longer, VQGAN ({ours}) and principal components of as many bits ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# A linear code is fitted to pictures of one size whose polyps lie in five places, and it sees the whole picture at once. It gives numbers of different importance, not a grid of words of one kind; that is what the codebook is for.
# But as a way to store *these* pictures, hold any codebook against it.
#
# The trained features know what the facts of this world look like, and the share of facts is what they are good for; a VGG that knows a thousand classes would be a more distant relative. So of the
# rows above, that of random features and that of the error say most about features *as such*.
#
# ## What went wrong
#
# - **A codebook that nobody uses gives no error.** The loss falls and pictures come out all the same; what is wrong is seen in [](#figure-codes).
# - **Codes and vectors run away together.** The first term of (3) follows vectors, the second holds them. Without the second, vectors may grow as fast as codes follow.
# - **A batch of few vectors is a poor sample.** With (4) and a small γ, codes jump from batch to batch; γ is the memory.
# - **λ divides by a slope.** A critic that is sure of everything has hardly any, and λ is capped at ten thousand; the original begins the adversary late, when the error has done its work.
#
# ## How many words?
#
# Take the tokenizer of the next chapter, keep only its most used codes, and choose among those. Nothing is trained again, so this is a bound: a codebook made for few words would use them otherwise.

# %%
counts = torch.bincount(
    shared.encode(world.pictures[:500]).flatten(), minlength=len(shared.codebook)
)
by_use = counts.argsort(descending=True)


@torch.no_grad()
def with_few(x, keep):
    kept = shared.codebook[by_use[:keep]]
    return shared.decode(by_use[nearest(shared.vectors(x), kept)])


KEPT = [2, 8, 32, 128, len(shared.codebook)]
few = {keep: with_few(test.pictures[:6], keep) for keep in KEPT}

# %% tags=["hide-input"]
# Code of the widget
frames(
    {"codes": KEPT},
    lambda codes: image_rows(
        {
            "real": [x.clamp(-1, 1) / 2 + 0.5 for x in test.pictures[:6]],
            f"{codes} codes": [x.clamp(-1, 1) / 2 + 0.5 for x in few[codes]],
        }
    ),
    lambda codes: (
        f"Six pictures and what {codes} codes make of them: {64 * math.log2(codes):.0f} bits, mean absolute error {(few[codes] - test.pictures[:6]).abs().mean():.3f}."
    ),
    caption="Fewer words, the most used ones. Which facts go first?",
    start={"codes": 32},
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} The length of a picture (compute)
# :label: vqgan-bits
#
# A picture of 256 × 256 pixels of three colours, 8 bits each, becomes a grid with a sixteenth of its sides, of words from 1024. How many bits do the words take, and by which factor is that
# fewer than the pixels take?
# ```

# %% tags=["stub:bits"]
from mmlab.exercises.vqgan import check_bits

words, fewer = ..., ...

check_bits((words, fewer))

# %% [markdown]
# ```{solution-start} vqgan-bits
# :class: dropdown
# ```

# %% tags=["solution:bits"]
words = (256 // 16) ** 2 * math.log2(1024)
fewer = 3 * 8 * 256**2 / words

check_bits((words, fewer))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The first step of running means (code)
# :label: vqgan-means
#
# Write (4) for vectors `z` (n, D) and codes `codebook` (K, D), beginning with $N_k = 0$ and $m_k = 0$; return the new codes. A code that nobody chose stays where it is.
# ```

# %% tags=["stub:means"]
from mmlab.exercises.vqgan import check_means


def means(z, codebook, gamma):
    return ...


check_means(means)

# %% [markdown]
# ```{solution-start} vqgan-means
# :class: dropdown
# ```


# %% tags=["solution:means"]
def means(z, codebook, gamma):
    chosen = nn.functional.one_hot(nearest(z, codebook), len(codebook)).float()
    counts = (1 - gamma) * chosen.sum(0)[:, None]
    sums = (1 - gamma) * chosen.T @ z
    return torch.where((chosen.sum(0) > 0)[:, None], sums / counts, codebook)


check_means(means)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Why vectors are short (derive)
# :label: vqgan-rounding
#
# Let the $D$ numbers of a vector be independent and uniform on $[0, 1]$, and the codes a regular grid with equally many steps along each axis, $2^b$ in all. What is the expected squared error
# of one number, as a function of $b$ and $D$? (That the steps along an axis are a whole number need not trouble you.)
# ```

# %% tags=["stub:rounding"]
from mmlab.exercises.vqgan import check_rounding


def rounding(bits, D):
    return ...


check_rounding(rounding)

# %% [markdown]
# ```{solution-start} vqgan-rounding
# :class: dropdown
# ```
#
# Along each axis there are $2^{b/D}$ steps of width $w = 2^{-b/D}$. The nearest code is the middle of the cell, the error uniform on $[-w/2, w/2]$, and its variance $w^2/12$.


# %% tags=["solution:rounding"]
def rounding(bits, D):
    cell = 2 ** -(bits / D)
    return cell**2 / 12


check_rounding(rounding)

# %% tags=["hide-input"]
say(
    "Eight bits for vectors of length "
    + ", ".join(f"{D}: {rounding(8.0, D):.5f}" for D in (1, 2, 8, 64))
    + f". Without any code the error is {1 / 12:.5f}."
)

# %% [markdown]
# For independent numbers that fill a cube, a word says next to nothing about each of many. An encoder's vectors need *not* fill their space: the second term of (3) pulls them to where codes are.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does the decoder's gradient say nothing to the codes?
# In (2) the code stands behind sg. What moves codes is (3) or (4) alone.
# ```
#
# ```{dropdown} With β = 0 and codes that are means, what does the encoder know of the codebook?
# The value that the decoder sees. Its gradient is taken there, and handed to a vector that may be anywhere in the cell: nothing pulls it to the middle.
# ```
#
# ```{dropdown} Two codebooks have the same perplexity. Do their words carry the same?
# As many bits for each place, if places were independent. But neighbours may tell each other's words; then the grid as a whole carries less. The next chapter's models live on that.
# ```
#
# ## In five lines
#
# - A vector becomes the nearest code (1); its gradient is that of the decoder's input, as if nothing had been rounded (2).
# - Codes follow vectors and vectors commit to codes (3); codes that are running means (4) need no gradient.
# - A code that is never chosen never moves: look at the perplexity (5), and move idle codes to where vectors are.
# - Features (6) and a critic (7, 8), balanced at the last layer by λ (9), say in (10) what an error averaged over pixels does not.
# - The rivals of a learnt code are the same network without choice, and a linear code of as many bits; the claims above say what this run decides.
#
# ## Limits, and what to read next
#
# The pictures are drawn and small, the trainings short, with one seed each: intervals are over pictures, not over trainings. Learning rate, $\beta$, $\gamma$ and $w$ were not searched for each row. The linear code is not followed by an entropy
# coder, and neither is the codebook. The perceptual network learnt this world's facts; a downloaded one would not know them. Next: models that write these words from a prompt.

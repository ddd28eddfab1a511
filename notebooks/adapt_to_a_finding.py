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
# # Adapt to a finding
#
# **How is a trained model taught one thing more, and what does it forget?**
#
# A hospital has a model that draws colonoscopies, and a few dozen pictures of a finding that the model has never seen. It could
# go on training all weights of the U-Net and the text encoder. Then each finding costs a copy of the model, and what the model drew well before may get lost. Or
# it trains little: low-rank updates, the same on weights of four bits, or bottlenecks. Or it trains all weights and mixes in old pictures, so that less is forgotten.
# The papers on LoRA and on adapters report that they reach about what full tuning does {cite}`hu2022lora,houlsby2019parameter`. Here all of them teach
# the same model the same thing, with as many pictures in as many steps and with a small search of the rate (QLoRA takes that of LoRA), and old prompts are asked again, before and after.
#
# After this chapter you can write LoRA, NF4 and a Houlsby adapter by hand, say what each trains and stores, and read a contest of them with
# its controls. You need {doc}`latent_diffusion`. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3
steps: int | None = None  # of each training
pictures: int = 40  # of the new finding
asked: int | None = None  # prompts of each test
search: bool | None = None  # whether to choose the learning rates again
draws: int = 6  # steps of the sampler
folder: str | None = (
    None  # a saved pipeline of your own, in place of the book's base
)

# %% tags=["hide-input"]
import time
from functools import cache

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import fit, generator
from mmlab.bases.colonoscopy import codes_of, colonoscopy_base, tokenizer
from mmlab.bases.findings_reader import findings_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.seeds import over_seeds
from mmlab.data.prompts import encode_prompts
from mmlab.data.worlds.colonoscopy_world import UNSEEN, colonoscopy_world
from mmlab.methods.dreambooth import DreamBooth, with_prior
from mmlab.methods.houlsby_adapter import HoulsbyAdapter
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.methods.lora import LoRA
from mmlab.methods.qlora import (
    QLoRA,
    dequantise,
    nf4_levels,
    quantise,
)
from mmlab.metrics.faithfulness import faithfulness
from mmlab.metrics.kernel_distance import squared_mmd
from mmlab.nn.low_rank import LINEAR
from mmlab.viz import claim, frames, record, say, show, table, table_over_seeds

steps = steps or {"cpu": 16, "gpu": 1000}[profile]
asked = asked or {"cpu": 16, "gpu": 200}[profile]
search = profile == "gpu" if search is None else search
device = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 16  # pictures in a step

# %% [markdown]
# ## What the base cannot do
#
# The base was trained on three shapes of polyps: on a stalk, domes, and flat ones. A fourth, *depressed*, is a dark hollow with a pale rim. Its word is in
# the vocabulary, and its vector is what it was when training began. The autoencoder has seen the shape, in pictures without words, as that of Stable Diffusion
# has seen pictures of every kind. No way of tuning on this page changes the autoencoder. The share of real pictures whose shape survives it is therefore a mark to hold the rows against; it is no strict bound, since a tuned model
# may draw codes that no real picture has.

# %%
base = colonoscopy_base().to(device)
words = tokenizer()
if folder is not None:
    base, words = LatentDiffusion.from_pipeline(folder)
    base = base.to(device).eval()
reader = findings_reader().to(device)
new = {
    part: colonoscopy_world(n, seed=s, shapes=(UNSEEN,), least=1)
    for part, n, s in (("validation", 4 * asked, 501), ("test", asked, 502))
}
old = {
    part: colonoscopy_world(n, seed=s)
    for part, n, s in (("validation", 4 * asked, 601), ("test", asked, 602))
}


def prompts_of(world):
    """Prompts as ids, and what each tells."""
    ids = encode_prompts([p.text for p in world.prompts], words).to(device)
    return ids, [p.told for p in world.prompts]


def share(x):
    """Share of pictures in which the reader sees the new shape."""
    return np.mean([facts.get("shape") == UNSEEN for facts in reader.read(x)])


@torch.no_grad()
def distance(x, y):
    """Squared kernel distance of two sets of pictures, in the reader's features: 0 on average for one law."""
    return squared_mmd(reader.embed(x), reader.embed(y))


def examine(method, part, seed=0):
    """What is seen in pictures of new prompts (shape, distance to real ones) and of old prompts (all told facts)."""
    (ids, _), (more, told) = prompts_of(new[part]), prompts_of(old[part])
    with method.evaluating():
        made = method.sample(
            torch.cat([ids, more]), steps=draws, guidance=5.0, rng=generator(seed, device)
        )  # fmt: skip
    return {
        "shape": share(made[: len(ids)]),
        "old facts": faithfulness(reader.read(made[len(ids) :]), told)["all"],
        "distance": distance(made[: len(ids)], new[part].pictures.to(device)),
        "pictures": made[: len(ids)],
    }


before = examine(base, "test")
real = new["test"].pictures.to(device)
ceiling = share(real)
with torch.no_grad():
    decoder = share(base.decode(base.encode(real)))


# %% tags=["hide-input"]
def sheet(rows, labels, width=7.6):
    """Pictures in rows, with a label before each row."""
    columns = len(rows[0])
    figure = Figure(
        figsize=(width, width / columns * len(rows) * 1.04),
        layout="constrained",
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            grid[i, j].imshow(
                x.detach().cpu().permute(1, 2, 0).clamp(-1, 1) / 2 + 0.5
            )
            grid[i, j].set(xticks=[], yticks=[])
        grid[i, 0].set_ylabel(labels[i], fontsize=6.5)
    return figure


columns = min(8, asked)
show(
    sheet(
        [new["test"].pictures[:columns], before["pictures"][:columns]],
        ["real", "base"],
    ),
    alt=f"Two rows of {columns} pictures for the same prompts about depressed polyps. Above, real ones, dark with a pale rim; below, what the base draws. The reader finds the shape in {ceiling:.0%} of all real ones and in {before['shape']:.0%} of the base's.",
    caption=f"Prompts such as *{new['test'].prompts[0].text}* The reader sees the new shape in **{ceiling:.0%}** of the real pictures, in **{decoder:.0%}** of them after the autoencoder, and in **{before['shape']:.0%}** of the base's.",
)

# %% [markdown]
# ## LoRA
#
# A weight $W$ of size $d_\text{out} \times d_\text{in}$ is frozen. Beside it stands a product of two thin matrices {cite}`hu2022lora`,
#
# $$
# h = W x + \frac{\alpha}{r} B A x, \qquad A: r \times d_\text{in}, \quad B: d_\text{out} \times r. \tag{1}
# $$
#
# $A$ begins Gaussian, $B$ with zeros: at first the model is what it was. Had both been zero, neither would ever get a gradient, since each one's is a product with the other. It trains
# $r\,(d_\text{in} + d_\text{out})$ values in place of $d_\text{in} d_\text{out}$. Afterwards the product is added up,
#
# $$
# W' = W + \frac{\alpha}{r} B A, \tag{2}
# $$
#
# and the model costs at use what it cost before. Here is a layer by hand beside the method's. The trial adapts the four matrices of each attention; the contest below also adapts
# the two of each perceptron, and so has more layers than are counted here.


# %%
def lora_by_hand(layer, x):
    """Eq. (1) for one adapted layer."""
    return layer.base(x) + layer.scale * (x @ layer.a.T) @ layer.b.T


trial = LoRA.on(base.cpu(), rank=4)
with torch.no_grad():
    for layer in trial.adapters.values():
        layer.b.normal_(std=0.05, generator=generator(1))
    name, layer = next(iter(trial.adapters.items()))
    x = torch.randn(5, layer.base.in_features, generator=generator(2))
    assert torch.allclose(layer(x), lora_by_hand(layer, x), atol=1e-5)
    assert torch.allclose(layer(x), layer.merged()(x), atol=1e-5)
with torch.device("meta"):  # shapes without numbers
    full_size = LoRA(rank=1)
count = sum(p.numel() for p in full_size.parameters() if p.requires_grad)
say(
    f"Of the small base LoRA in this trial adapts {len(trial.adapters)} layers. On the U-Net of Stable Diffusion 1.5 it trains **{count:,} · r** values, in {len(full_size.adapters)} layers."
)
base = base.to(device)

# %% [markdown]
# ## QLoRA
#
# The frozen weights need not be exact. QLoRA {cite}`dettmers2023qlora` keeps each in four bits. Its authors find that trained weights look Gaussian, and take quantiles of a Gaussian as the sixteen levels:
# eight above zero, zero, and seven below, scaled to reach from $-1$ to $1$. With the outermost probability $p$ and $\Phi$ the normal distribution,
#
# $$
# c \in \tfrac{1}{\Phi^{-1}(p)}\Bigl\{ \Phi^{-1}\bigl(p - \tfrac{i}{8}(p-\tfrac12)\bigr)_{i<8},\; 0,\; -\Phi^{-1}\bigl(p - \tfrac{i}{7}(p-\tfrac12)\bigr)_{i<7} \Bigr\},
# \qquad p = 1 - \tfrac12\bigl(\tfrac1{30} + \tfrac1{32}\bigr). \tag{3}
# $$
#
# Each block of 64 weights is divided by its size, which is the largest absolute value in it, and each weight becomes the number of its nearest level. In single precision the blocks' sizes would cost half a bit per weight.
# So their mean is taken away, and the rest is quantised in its turn, in eight bits and blocks of 256. In use a weight is unpacked and multiplied, and the unpacked one is thrown away. Gradients go through to the input, and so to the low-rank updates of earlier layers.
#
# The layer that is packed next serves as an example. It is a convolution, and `QLoRA` itself packs the linear layers of the transformer blocks alone. In the histogram the bars at both ends are
# the largest weights of the blocks, which are at $-1$ or $1$ by construction.

# %%
levels = nf4_levels()
weight = base.unet.mid_block.attentions[0].proj_in.weight.detach().cpu().flatten(1)
held = quantise(weight)
coarse = torch.linspace(-1, 1, 16)
blocks = weight.flatten().view(-1, 64)
size = blocks.abs().amax(1, keepdim=True)
even = coarse[(blocks / size).unsqueeze(-1).sub(coarse).abs().argmin(-1)] * size
error = {
    "NF4, sizes in eight bits": (dequantise(held) - weight).abs().mean(),
    "16 even levels, exact sizes": (even.view_as(weight) - weight).abs().mean(),
}

# %% tags=["hide-input"]
figure = Figure(figsize=(6.4, 2.3), layout="constrained")
axes = figure.subplots()
axes.hist((blocks / size).flatten(), bins=60, color="0.8", density=True)
for level in levels:
    axes.axvline(level, color="tab:blue", lw=0.9)
axes.set(xlabel="weight / largest of its block", ylabel="density", yticks=[])
show(
    figure,
    alt=f"Histogram of weights divided by the largest of their block, bell-shaped, with 16 vertical lines at the levels of NF4, which are closer together near zero: {', '.join(f'{v:.2f}' for v in levels)}.",
    caption="Weights of a layer of the base, and the levels of NF4: dense where the weights are.",
)
say(
    f"A weight takes {8 * held.bytes / weight.numel():.2f} bits instead of 32 in this small layer. Mean error: "
    + "; ".join(f"{name} {float(value):.4f}" for name, value in error.items())
    + f", where the weights have a mean size of {weight.abs().mean():.4f}."
)


# %%
def shifted(held):
    """The weights with the size of block row x (inputs // 64) + column // 64."""
    rows, inputs = held.shape
    ones = held._replace(codes=torch.full_like(held.codes, 255))  # all at level 1
    sizes, right = dequantise(ones), dequantise(held)
    block = (
        torch.arange(rows)[:, None] * (inputs // 64) + torch.arange(inputs) // 64
    )
    return right / sizes * sizes.flatten()[::64][block]


try:
    import bitsandbytes
    from bitsandbytes import functional
except ImportError:
    say(
        "The package bitsandbytes is not here (it is made for Linux), so the comparison with it is left out. The method does not need it."
    )
else:
    compared = {}
    for inputs in (128, 64, 96):
        w = torch.randn(320, inputs, generator=generator(3))
        ours = quantise(w)
        theirs, state = functional.quantize_4bit(
            w, blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        compared[f"{inputs} inputs"] = {
            "codes that differ": int((ours.codes != theirs.flatten()).sum()),
            "error, ours": float((dequantise(ours) - w).abs().mean()),
            "error, bitsandbytes": float(
                (functional.dequantize_4bit(theirs, state) - w).abs().mean()
            ),
            "error, ours with shifted sizes": float(
                (shifted(ours) - w).abs().mean()
            ),
        }
    table(
        pd.DataFrame(compared).T,
        f"Gaussian weights in four bits, by this chapter and by bitsandbytes {bitsandbytes.__version__} on this processor; errors are means of sizes.",
        digits=4,
    )

# %% [markdown]
# The last column unpacks our codes with the size of block $\text{row} \cdot \lfloor \text{inputs} / 64 \rfloor + \lfloor \text{column} / 64 \rfloor$, which is the right one wherever rows end with blocks.
# Where bitsandbytes has the error of that column in place of ours, its kernel for this processor presumably counts the blocks so, and takes the sizes of others: equal mean errors suggest it, and no row here
# compares the single weights. As long as no code differs, the packed weights are right, and it is the unpacking that is not (a test of this package compares the packed sizes, too, and finds them equal up to rounding).
# Compare an unpacked weight with the original, once, on the machine that trains.
#
# ## Houlsby adapters
#
# An older idea {cite}`houlsby2019parameter` leaves the weights alone and adds layers. Behind every sublayer, attention or perceptron, stands a bottleneck of width $m$ with a connection around it:
#
# $$
# h \leftarrow h + W_\text{up}\,\mathrm{GELU}(W_\text{down} h + b_\text{down}) + b_\text{up}. \tag{4}
# $$
#
# $W_\text{up}$ and $b_\text{up}$ begin with zeros, so that the model begins as the base. The bottleneck has a non-linearity, and so cannot be merged: the model stays larger, and computes more at use. (The paper begins
# with very small numbers, and trains the layer norms, too; here these stay as they are.) Here adapters go into the text encoder and the U-Net; the low-rank
# methods of this page leave the text encoder alone.
#
# ## DreamBooth
#
# DreamBooth {cite}`ruiz2023dreambooth` trains all weights but the autoencoder's, on a few pictures with a rare word, and beside them on pictures that the model drew itself, before, for the class of the thing. These are meant to hold it in place:
#
# $$
# L = L(x, y) + \lambda\, L(x', y'), \qquad x' \sim \text{the base, given } y'. \tag{5}
# $$
#
# The old pictures are only as right as the model that drew them: where it draws something wrongly, the second term asks for the same again. Here the rare word is *depressed*, and the class prompts are ordinary ones. With $\lambda = 0$ and no old pictures this is plain full tuning, which LoRA and DreamBooth are held against below.
#
# ## The contest
#
# All rows have the same new pictures to learn from, and in each step they look at as many pictures. DreamBooth looks at half as many new ones, since the other half of its batch are old ones. Learning rates were chosen on validation prompts with the first seed,
# from five each by the mean of new shape and old facts (of equals the larger), and stand in the code; with `search` they are chosen again. Those tried for adapters are larger, as their usual rates are. QLoRA has the rate of LoRA, so that the two differ in nothing but the frozen weights.
# The seeds change the pictures to learn from, the initial values of what is added, the order, and the noise that test pictures start from; the test prompts are the same for all.
#
# To be read as forgetting, *old facts* must fall below the row *base, not tuned*. The base cannot draw all that it is asked for either, and its row has one start and no interval. So the claims compare the ways of tuning with
# one another, and no claim says that a row forgot.

# %%
WAYS = {
    "full tuning": lambda s: DreamBooth.on(
        base, prior_weight=0.0, drop_condition=0.1
    ),
    "DreamBooth": lambda s: DreamBooth.on(base, drop_condition=0.1),
    "LoRA": lambda s: LoRA.on(base, s, min_snr=None, rank=16, targets=LINEAR),
    "QLoRA": lambda s: QLoRA.on(base, s, min_snr=None, rank=16),
    "Houlsby adapters": lambda s: HoulsbyAdapter.on(
        base, s, min_snr=None, width=30
    ),
}


def lesson(seed, n):
    """New pictures as codes, and beside each an old one that the base drew."""
    world = colonoscopy_world(n, seed=700 + seed, shapes=(UNSEEN,), least=1)
    data = codes_of(base.cpu(), world)
    plain = encode_prompts(
        [p.text for p in colonoscopy_world(n, seed=800 + seed).prompts], words
    )
    return {
        "plain": data,
        "prior": with_prior(
            base, data, plain, rng=generator(seed), steps=draws, guidance=2.0
        ),
    }


def teach(name, seed, rate, n):
    """A trained method, and the seconds of a step."""
    method, old_ones = WAYS[name](seed), name == "DreamBooth"
    data = lessons[seed]["prior" if old_ones else "plain"]
    began = time.process_time()
    fit(
        method, data, steps=n, batch_size=BATCH // 2 if old_ones else BATCH, lr=rate, warmup=5,
        seed=seed, progress=False,
    )  # fmt: skip
    return method.to(device), (time.process_time() - began) / n


base = base.cpu()
lessons = {seed: lesson(seed, pictures) for seed in range(seeds)}
ALL = (0.00025, 0.0005, 0.001, 0.002, 0.004)
ADAPTERS = tuple(10 * rate for rate in ALL)
RATES = {
    "full tuning": 0.0005,
    "DreamBooth": 0.002,
    "LoRA": 0.005,
    "Houlsby adapters": 0.01,
}
for name in RATES if search else ():
    scores = {}
    for rate in ADAPTERS if name in ("LoRA", "Houlsby adapters") else ALL:
        found = examine(teach(name, 0, rate, steps)[0], "validation")
        scores[rate] = found["shape"] + found["old facts"]
    RATES[name] = max(scores, key=lambda rate: (scores[rate], rate))
RATES["QLoRA"] = RATES["LoRA"]

# %%
rows, shown, cost, lora = [], {}, {}, None
for name in WAYS:
    for seed in range(seeds):
        method, seconds = teach(name, seed, RATES[name], steps)
        found = examine(method, "test", seed)
        if seed == 0:
            shown[name] = found["pictures"]
            lora = method if name == "LoRA" else lora
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        kept = sum(
            t.numel() * t.element_size()
            for t in (
                *method.unet.parameters(),
                *method.unet.buffers(),
                *method.text_encoder.parameters(),
            )
        )
        cost[name] = {
            "trained values": trained,
            "MB, weights": kept / 1e6,
            "MB, gradients and Adam": 12 * trained / 1e6,
            "rate": RATES[name],
        }
        rows.append(
            {
                "method": name,
                "seed": seed,
                "shape": found["shape"],
                "old facts": found["old facts"],
                "distance": found["distance"],
                "seconds per step": seconds,
            }
        )
rows.append({"method": "base, not tuned", "seed": 0, "seconds per step": float("nan")} | {
    key: before[key] for key in ("shape", "old facts", "distance")
})  # fmt: skip
rows = pd.DataFrame(rows)
budgets = Budgets(
    "LoRA",
    {
        name: Spent(
            steps,
            int(cost[name]["trained values"]),
            ("lr",),
            1 if name == "QLoRA" else len(ALL),
        )
        for name in WAYS
    },
)
result = over_seeds(rows)
table_over_seeds(
    rows,
    f"Teach {pictures} pictures of a new shape in {steps} steps. *shape*: test prompts whose picture shows it (real pictures: {ceiling:.0%}, after the autoencoder: {decoder:.0%}). *old facts*: old prompts of which all is shown. *distance*: kernel distance of the new prompts' pictures to real ones, in the features of the reader.",
    best={"shape": "higher", "old facts": "higher", "distance": "lower"},
    reference=["base, not tuned"],
    budgets=budgets,
)
table(
    pd.DataFrame(cost).T,
    "What each trains and holds, in float32 but for four-bit weights, and its rate, which a search chose; QLoRA takes that of LoRA. The autoencoder is left out.",
    digits={"trained values": 0, "rate": 4},
)
record(
    shape=result.mean["shape"].to_dict(),
    old_facts=result.mean["old facts"].to_dict(),
    distance=result.mean["distance"].to_dict(),
    rates=RATES,
    budget=budgets.plain(),
)

# %% [markdown]
# **What the table says**, over the seeds:

# %% tags=["hide-input"]
claim(
    "shape-vs-full-tuning",
    result.of("LoRA", "shape"), result.of("full tuning", "shape"), direction="higher", unit="%",
    better="- LoRA shows the new shape more often than full tuning, {ours} against {theirs}.",
    worse="- LoRA shows the new shape less often than full tuning, {ours} against {theirs}.",
    undecided="- New shape: LoRA ({ours}) and full tuning ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "old-facts-lora",
    result.of("LoRA", "old facts"), result.of("full tuning", "old facts"), direction="higher", unit="%",
    better="- LoRA keeps more of the old facts than full tuning, {ours} against {theirs}.",
    worse="- LoRA keeps fewer of the old facts than full tuning, {ours} against {theirs}.",
    undecided="- Old facts: LoRA ({ours}) and full tuning ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "old-facts-dreambooth",
    result.of("DreamBooth", "old facts"), result.of("full tuning", "old facts"), direction="higher", unit="%",
    better="- DreamBooth's old pictures keep more of the old facts than full tuning, {ours} against {theirs}.",
    worse="- With its old pictures DreamBooth keeps fewer of the old facts than full tuning, {ours} against {theirs}.",
    undecided="- Old facts: DreamBooth ({ours}) and full tuning ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "shape-qlora",
    result.of("QLoRA", "shape"), result.of("LoRA", "shape"), direction="higher", unit="%",
    better="- QLoRA shows the new shape more often than LoRA on exact weights, {ours} against {theirs}.",
    worse="- QLoRA shows the new shape less often than LoRA on exact weights, {ours} against {theirs}.",
    undecided="- New shape: QLoRA ({ours}) and LoRA on exact weights ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "shape-houlsby",
    result.of("Houlsby adapters", "shape"), result.of("LoRA", "shape"), direction="higher", unit="%",
    better="- Houlsby adapters show the new shape more often than LoRA, {ours} against {theirs}.",
    worse="- Houlsby adapters show the new shape less often than LoRA, {ours} against {theirs}.",
    undecided="- New shape: Houlsby adapters ({ours}) and LoRA ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% tags=["hide-input"]
show(
    sheet(
        [
            new["test"].pictures[:columns],
            before["pictures"][:columns],
            *(shown[name][:columns] for name in WAYS),
        ],
        ["real", "base", *WAYS],
    ),
    alt="Rows of pictures for the same prompts about depressed polyps: real, base, and after each way of tuning. Share with the new shape: "
    + ", ".join(f"{name} {result.mean.loc[name, 'shape']:.0%}" for name in WAYS)
    + ".",
    caption=f"The same prompts and the same starts, after {steps} steps of each way of tuning (first seed).",
)

# %% [markdown]
# The scale $\alpha / r$ in (1) may be turned after training. Full tuning has such a knob, too, for whoever keeps the base: $W + t\,(W' - W)$. With LoRA the difference is a small file, and the scale is all there is to change.

# %%
usual = next(iter(lora.adapters.values())).scale
knob_ids = prompts_of(new["test"])[0][:4]


@cache
def at_scale(times):
    for layer in lora.adapters.values():
        layer.scale = usual * times
    made = lora.sample(
        knob_ids, steps=draws, guidance=5.0, rng=generator(0, device)
    )
    for layer in lora.adapters.values():
        layer.scale = usual
    return made


frames(
    {"scale": [0.0, 0.5, 1.0, 1.5, 2.0]},
    lambda times: sheet([at_scale(times)], [f"× {times:g}"], width=5),
    lambda times: (
        f"Four pictures with {times:g} times the trained update: {np.mean([f.get('shape') == UNSEEN for f in reader.read(at_scale(times))]):.0%} show the new shape."
    ),
    caption="From the base, at 0, to twice the trained update.",
    start={"scale": 1.0},
)

# %% [markdown]
# ## In practice
#
# **Clipping that clips nothing.** Since it uses peft, the training script of diffusers for LoRA collects the trainable parameters with `filter`, hands them to the optimiser, and later to the clipping of gradients.
# In Python a `filter` is an iterator: the optimiser uses it up.

# %%
layer = torch.nn.Linear(4, 4)
lazy = filter(lambda p: p.requires_grad, layer.parameters())
optimiser = torch.optim.SGD(lazy, lr=1.0)
(1e6 * layer(torch.ones(1, 4)).sum()).backward()
seen = float(torch.nn.utils.clip_grad_norm_(lazy, 1.0))
left = float(layer.weight.grad.norm())
say(
    f"Clipping to a norm of 1 sees a norm of {seen:g} and leaves one of {left:,.0f}. A list in place of the iterator mends it; objectives of this package hold lists, and a test clips a gradient of monstrous size."
)

# %% [markdown]
# - **Store the scale.** Files of diffusers without α are read as if α were the rank. `save_adapter` writes it, and `pipeline.load_lora_weights(folder)` reads the file.
# - **Keep the weights that it was trained on.** An adapter that was trained on four-bit weights belongs to these; merged into the exact ones it is another model.
# - **Choose on both.** If a learning rate is chosen by the new thing alone, nobody has looked at what it does to the old ones.
#
# ## Exercises
#
# ```{exercise} A low-rank layer (code)
# :label: adapt-to-a-finding-lora
#
# Write (1): the output of an adapted layer for inputs `x` (B, in), with `W` (out, in), `A` (r, in), `B` (out, r) and α.
# ```

# %% tags=["stub:lora"]
from mmlab.exercises.adapt_to_a_finding import check_lora


def adapted(x, W, A, B, alpha):
    return ...


check_lora(adapted)

# %% [markdown]
# ```{solution-start} adapt-to-a-finding-lora
# :class: dropdown
# ```


# %% tags=["solution:lora"]
def adapted(x, W, A, B, alpha):
    r = len(A)
    return x @ W.T + alpha / r * (x @ A.T) @ B.T


check_lora(adapted)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The memory of tuning (compute)
# :label: adapt-to-a-finding-memory
#
# The U-Net of Stable Diffusion 1.5 has 859,520,964 values. In half precision, with gradients in half precision and Adam's two moments in single precision: how many GB (10⁹ bytes) do
# weights, gradients and moments take in full tuning? And with LoRA of rank 4 (199,296 · r values, in single precision, with gradients and moments in single precision) on weights that take 4.127 bits each?
# ```

# %% tags=["stub:memory"]
from mmlab.exercises.adapt_to_a_finding import check_memory

full, four_bits = ..., ...

check_memory((full, four_bits))

# %% [markdown]
# ```{solution-start} adapt-to-a-finding-memory
# :class: dropdown
# ```

# %% tags=["solution:memory"]
full = 859_520_964 * (2 + 2 + 8) / 1e9
four_bits = (859_520_964 * 4.127 / 8 + 199_296 * 4 * (4 + 4 + 8)) / 1e9

check_memory((full, four_bits))

# %% [markdown]
# Activations are left out. They may be the larger part, and LoRA does not do away with them, since gradients pass through frozen layers as well. The second number is a lower bound for the `QLoRA` of this chapter,
# which packs the linear layers of the transformer blocks and leaves the convolutions as they are.
#
# ```{solution-end}
# ```
#
# ```{exercise} The first step of LoRA (derive)
# :label: adapt-to-a-finding-first
#
# Let $G = \partial L / \partial W$ be the gradient that the frozen weight would get. Plain gradient descent with rate $\eta$ makes one step from $B = 0$. By which matrix does it change the layer's effective
# weight $W + \frac{\alpha}{r} B A$? Express it by $G$, $A$, $\eta$, α and r.
# ```

# %% tags=["stub:first"]
from mmlab.exercises.adapt_to_a_finding import check_first


def first_step(G, A, eta, alpha):
    return ...


check_first(first_step)

# %% [markdown]
# ```{solution-start} adapt-to-a-finding-first
# :class: dropdown
# ```
#
# $\partial L/\partial B = \frac{\alpha}{r} G A^\top$ and $\partial L/\partial A = \frac{\alpha}{r} B^\top G = 0$. So $B$ becomes $-\eta\frac{\alpha}{r} G A^\top$ and $A$ stays.


# %% tags=["solution:first"]
def first_step(G, A, eta, alpha):
    scale = alpha / len(A)
    return -eta * scale**2 * G @ A.T @ A


check_first(first_step)

# %% [markdown]
# It is the step of full tuning times $A^\top A$, up to a factor: at first only directions in the span of the rows of $A$ can be learnt, and these were drawn by chance.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why does the forgetting of an adapter not vanish by itself, though no old weight changes?
# The update acts on old prompts, too. If the adapter is switched off, the old model is back as it was, but then the new finding is gone as well.
# ```
#
# ```{dropdown} Which control separates "it learnt the shape" from "it draws the shape on every prompt"?
# In part the old facts: an old prompt that tells a shape is wrong if the new one appears. They may fall for other reasons, and a prompt that tells no shape does not notice. The direct control would be the share of
# the new shape on old prompts, which this run does not count.
# ```
#
# ```{dropdown} Would QLoRA save memory on the small base?
# Little: four bits are for the linear layers of the transformer blocks, and most weights of the small base lie elsewhere, above all in convolutions. Hold the two columns of memory against each other, and see the exercise on memory.
# ```
#
# ## In five lines
#
# - LoRA (1) trains a product of thin matrices, begins as the base, and merges away (2).
# - NF4 (3) puts sixteen levels where Gaussian weights are; a frozen weight takes about four bits, and training goes through it.
# - Houlsby adapters (4) add layers with a non-linearity, which stay; DreamBooth (5) trains all but the autoencoder, with old pictures beside the new ones.
# - New shape and old facts are two columns: ask for both, and hold the second against the model before tuning.
# - The claims above say what this run decides between them, and what not.
#
# ## Limits
#
# One base, one new finding, few steps: the intervals are over what the seeds change, not over bases, findings or test prompts. The low-rank updates stand in the transformer blocks of the U-Net alone, so the states
# of the new word stay as they are in their rows, while full tuning, DreamBooth and the adapters reach the text encoder, too; which part of a difference comes from that, no row here says. Ranks and widths were not searched, and the Houlsby adapters train fewer values than the low-rank updates (see the table).
# Few test prompts and few seeds make the intervals wide; the base was drawn once, so whether a row forgot anything is not decided. The rates were chosen with one seed, and between two neighbours a single validation prompt may have decided; the
# rates in the code for full tuning and for DreamBooth differ, so a difference between these two may come from the rate as well as from the old pictures. With more steps the order may be another: there is no curve over steps. Seconds are those of one processor core, which other work shared; four bits are meant for the
# memory of a GPU, and nothing here runs on one.

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
# # Latent diffusion
#
# **How does a picture come out of a sentence?**
#
# A hospital would like pictures of rare findings, to train a detector with. It has many pictures, a line of text for
# each, and no wish to share them. A model that draws *an image with one small flat polyp in the upper left* would serve,
# if it draws what was asked for. Stable Diffusion {cite}`rombach2022latent` is the model that most people tune for this.
# Here is a small one with all its parts, trained on drawn colonoscopies whose every fact is known. So the question
# *does it draw what the prompt says?* gets a number.
#
# After this chapter you can say what each of the three networks does, derive the training loss and the sampler, add guidance to a
# trained model, and measure faithfulness with two ceilings and a control. You need PyTorch and Gaussians. Reading takes
# about half an hour.

# %% tags=["parameters"]
profile = "cpu"
prompts: int | None = None  # prompts of the test
seeds: int = 3
steps: int = 12
folder: str | None = (
    None  # a saved pipeline of your own, in place of the book's base
)

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import generator
from mmlab.bases.colonoscopy import SIZE, colonoscopy_base, tokenizer
from mmlab.bases.findings_reader import findings_reader
from mmlab.data.prompts import encode_prompts
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world, draw
from mmlab.methods.latent_diffusion import (
    LatentDiffusion,
    alpha_bar,
    ddim_times,
    guided,
    perturb,
)
from mmlab.metrics.faithfulness import faithfulness, hits
from mmlab.viz import claim, frames, record, say, show, table

prompts = prompts or {"cpu": 100, "gpu": 300}[profile]
device = "cuda" if torch.cuda.is_available() else "cpu"


# %% [markdown]
# ## The world, and what is asked of it
#
# {py:mod}`~mmlab.data.worlds.colonoscopy_world` draws mucosa, folds, vessels, up to three polyps of a shape and a size, an
# instrument, text and artefacts. The prompts follow the templates of ImageCLEFmed MEDVQA-GI
# {cite}`hicks2023medvqa`. A prompt tells some of the facts; the rest is free.

# %%
base = colonoscopy_base().to(device)
words = tokenizer()
if folder is not None:
    base, words = LatentDiffusion.from_pipeline(folder)
    base = base.to(device).eval()
reader = findings_reader().to(device)
test = colonoscopy_world(prompts, seed=77)
told = [prompt.told for prompt in test.prompts]
ids = encode_prompts([prompt.text for prompt in test.prompts], words).to(device)


# %% tags=["hide-input"]
def picture(x):
    return x.detach().cpu().permute(1, 2, 0).clamp(-1, 1).numpy() / 2 + 0.5


def sheet(rows, titles=(), labels=(), width=8.0):
    """Pictures in rows, with a title above each column and a label before each row."""
    columns = len(rows[0])
    figure = Figure(
        figsize=(width, width / columns * len(rows) * 1.08 + 0.35),
        layout="constrained",
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            grid[i, j].imshow(picture(x))
            grid[i, j].set(xticks=[], yticks=[])
            if i == 0 and titles:
                grid[i, j].set_title(titles[j], fontsize=6.5)
        if labels:
            grid[i, 0].set_ylabel(labels[i], fontsize=7)
    return figure


def short(text):
    body = text.removeprefix("Generate an image with ").rstrip(".")
    lines, line = [], ""
    for word in body.split():
        if len(line) + len(word) > 17:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


chosen = list(range(min(6, prompts)))
show(
    sheet([test.pictures[chosen]], [short(test.prompts[i].text) for i in chosen]),
    alt=f"{len(chosen)} drawn colonoscopies with their prompts; the first prompt is: {test.prompts[0].text}",
    caption=f"Drawn pictures of {SIZE} × {SIZE} pixels, and what their prompts tell: *Generate an image with ...*",
)

# %% [markdown]
# ## Three networks
#
# **A code for pictures.** An autoencoder turns a picture $x$ into a mean $\mu(x)$ and a spread $\sigma(x)$ of a much smaller
# tensor, and back. The code of a picture is a draw from these, times a constant $s$ that gives all codes the standard
# deviation one:
#
# $$
# z = s\,\bigl(\mu(x) + \sigma(x) \odot \xi\bigr), \qquad \xi \sim \mathcal N(0, I). \tag{1}
# $$
#
# It is trained first, on pictures alone, and frozen. What it throws away no later stage can bring back, so it is measured
# before anything else.
#
# **States for words.** A text encoder $\tau$ turns the tokens of a prompt $y$ into as many vectors. Stable Diffusion takes the frozen
# one of CLIP, which learnt from hundreds of millions of captions. Here a small one first learns to tell the facts that a prompt
# states, and then goes on together with the U-Net.
#
# **A U-Net that takes noise out.** It sees a noised code, the time, and, through cross-attention in its blocks, the states
# of the words: every place of the code asks the words what belongs there. Ours also gets one summary of the words, added to its
# embedding of the time, as DeepFloyd IF has it.

# %%
parts = {
    name: sum(p.numel() for p in part.parameters())
    for name, part in (
        ("autoencoder", base.vae),
        ("text encoder", base.text_encoder),
        ("U-Net", base.unet),
    )
}
with torch.no_grad():
    round_trip = base.decode(base.encode(test.pictures.to(device)))
    lost = (round_trip.cpu() - test.pictures).square().mean().sqrt().item()
say(
    "Values: "
    + ", ".join(f"{name} {count:,}" for name, count in parts.items())
    + f". The round trip of test pictures has a root mean square error of **{lost:.3f}**, where the pictures themselves "
    f"vary by {test.pictures.std():.3f}."
)

# %% [markdown]
# ## The noise, and the loss
#
# Let $\beta_t$ be the share of variance that step $t$ replaces by noise. Stable Diffusion lets $\sqrt{\beta_t}$ rise linearly. What is
# left of the code's variance after step $t$ is a product,
#
# $$
# \bar\alpha_t = \prod_{s \le t} (1 - \beta_s), \qquad
# \sqrt{\beta_t} = \sqrt{\beta_0} + \tfrac{t}{T-1}\bigl(\sqrt{\beta_{T-1}} - \sqrt{\beta_0}\bigr). \tag{2}
# $$
#
# Each step multiplies what is there by $\sqrt{1-\beta}$ and adds Gaussian noise of variance $\beta$. Sums of Gaussians are Gaussian, so
# all steps up to $t$ can be taken at once:
#
# $$
# z_t = \sqrt{\bar\alpha_t}\, z + \sqrt{1-\bar\alpha_t}\, \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I). \tag{3}
# $$
#
# The U-Net of Stable Diffusion 1.5 is asked for the noise:
#
# $$
# L = \mathbb E_{z, y, t, \varepsilon}\; w_t\, \bigl\lVert \varepsilon - \varepsilon_\theta(z_t, t, \tau(y)) \bigr\rVert^2. \tag{4}
# $$
#
# Why the noise? The minimum of (4) is at $\mathbb E[\varepsilon \mid z_t, y]$, and by (3) that is the expected code in other words,
# $\mathbb E[z \mid z_t, y] = \bigl(z_t - \sqrt{1-\bar\alpha_t}\,\mathbb E[\varepsilon \mid z_t, y]\bigr)/\sqrt{\bar\alpha_t}$. It is also the score: $\nabla \log p(z_t \mid y) =
# -\mathbb E[\varepsilon \mid z_t, y]/\sqrt{1-\bar\alpha_t}$ ({doc}`score_diffusion` derives it).
#
# What is asked for sets what is copied and how the times are weighed. Near $t = T$ the noise is almost $z_t$ itself, and the code has a share of
# $\sqrt{\bar\alpha_T}$ in it, so nearly all of the answer is a copy of the input. Our base is asked for the *velocity*
# {cite}`salimans2022distillation` instead,
#
# $$
# v = \sqrt{\bar\alpha_t}\, \varepsilon - \sqrt{1-\bar\alpha_t}\, z, \qquad
# z = \sqrt{\bar\alpha_t}\, z_t - \sqrt{1-\bar\alpha_t}\, v, \tag{5}
# $$
#
# which is nearly $-z$ at late times and nearly $\varepsilon$ at early ones. Code and noise are both told by it; the second half of (5)
# follows from (3). An error $e$ of the noise is an error $e\sqrt{(1-\bar\alpha_t)/\bar\alpha_t}$ of the code, and an error $e$ of the velocity is one of
# $e\sqrt{1-\bar\alpha_t}$. With $w_t = 1$ asking for the noise therefore weighs the code's squared error by the signal-to-noise ratio
# $\bar\alpha_t/(1-\bar\alpha_t)$, and asking for the velocity by that ratio plus one. Both are huge at small $t$, where the code is all but known.
# Min-SNR {cite}`hang2023minsnr` caps the weight of the code's error at $\gamma$; in terms of the noise it is
#
# $$
# w_t = \min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t, \qquad \mathrm{SNR}_t = \bar\alpha_t / (1 - \bar\alpha_t). \tag{6}
# $$
#
# Our base turns another screw: it leaves $w_t$ of the velocity at one and draws late times more often, as Stable Diffusion 3 does
# {cite}`esser2024scaling`. A uniform draw $u$ becomes the time $T \cdot 3u/(1 + 2u)$. Late times are where the sampler
# begins, and where next to nothing of the picture can be seen yet.

# %%
levels = alpha_bar(1000, 0.00085, 0.012)
z = base.encode(test.pictures[:1].to(device))
noise = torch.randn(z.shape, generator=generator(1)).to(device)
shown = [0, 100, 300, 500, 700, 999]
noised = torch.cat([perturb(z, noise, levels[t]) for t in shown])
with torch.no_grad():
    seen = base.decode(noised)

# %% tags=["hide-input"]
show(
    sheet([seen], [f"t = {t}\nᾱ = {levels[t]:.3f}" for t in shown]),
    alt=f"One picture whose code is noised at six times, decoded. At t = 0 next to no noise is in it; ᾱ falls to {levels[-1]:.3f} at t = 999, where the decoder makes a picture of what is nearly all noise.",
    caption="The idea, read from right to left: the sampler starts from noise and walks to a code that the decoder turns into a picture. Noise in a code does not look like noise: the decoder makes tissue of it, too.",
)

# %% [markdown]
# ## Guidance
#
# A network that is told the prompt may listen too little. Classifier-free guidance {cite}`ho2022guidance` exaggerates what the
# prompt changes. In training the prompt is replaced by the empty one $\varnothing$ now and then, here in a tenth of the cases, so that one
# network knows both predictions. The sampler then follows
#
# $$
# \tilde\varepsilon = \varepsilon_\theta(z_t, t, \varnothing) + g\, \bigl( \varepsilon_\theta(z_t, t, y) - \varepsilon_\theta(z_t, t, \varnothing) \bigr). \tag{7}
# $$
#
# A velocity is an affine function of the noise at the same $z_t$, so the same line may be drawn through velocities. With scores in place of noises, (7) is the score of $p(z_t)\, p(y \mid z_t)^g$ up to a constant: at $g = 1$ the prompt alone, above it
# pictures that are more typical of their prompt than real ones. What that does to faithfulness and to variety will be measured.
#
# ## The sampler
#
# Given the noise, the code that it belongs to is $\hat z = (z_t - \sqrt{1-\bar\alpha_t}\,\tilde\varepsilon)/\sqrt{\bar\alpha_t}$. DDIM {cite}`song2021ddim` keeps code and noise
# and takes the noise down to the level of an earlier time $s$:
#
# $$
# z_s = \sqrt{\bar\alpha_s}\,\hat z + \sqrt{1-\bar\alpha_s}\,\tilde\varepsilon . \tag{8}
# $$
#
# Nothing is random but the start. Here it is by hand, beside the method.


# %%
@torch.no_grad()
def by_hand(method, ids, start, steps, g):
    """Eqs. (7) and (8), from a start to a picture."""
    tau = method.read(ids)
    nothing = method.read(method.empty[None]).expand_as(tau)
    z = start
    times = ddim_times(1000, steps).tolist()
    for t, s in zip(times, [*times[1:], 0], strict=True):
        now, then = levels[t], levels[s]
        predicted = guided(
            method.unet(z, t, nothing).sample, method.unet(z, t, tau).sample, g
        )
        clean = method.expected(z, predicted, now)  # by (5)
        eps = (z - now.sqrt() * clean) / (1 - now).sqrt()
        z = then.sqrt() * clean + (1 - then).sqrt() * eps
    return method.decode(z)


few = ids[:2]
channels, side = base.unet.config.out_channels, base.unet.config.sample_size
start = torch.randn(2, channels, side, side, generator=generator(5))
ours = by_hand(base.cpu(), few.cpu(), start, 4, 3.0)
theirs = base.sample(few.cpu(), steps=4, guidance=3.0, rng=generator(5))
base = base.to(device)
assert torch.allclose(ours, theirs, atol=1e-3)
say(
    f"By hand and by the method: the pictures differ by {(ours - theirs).abs().max():.1g} at most. A test of this package finds the same of the pipeline of diffusers."
)

# %% [markdown]
# ## Does it draw what it is told?
#
# A network that was trained on drawn pictures, {py:class}`~mmlab.bases.findings_reader.FindingsReader`, reads the facts off. It makes
# errors of its own, so the scale needs its ends:
#
# - **real pictures** of the same prompts: the ceiling of the reader;
# - **real pictures through the autoencoder**: a ceiling of the generator, if not a strict one (see *Check yourself*);
# - **shuffled prompts**: the generator's pictures, each held against another's prompt. What it reaches there comes from habit, not from
#   the prompt.
#
# A prompt that does not tell a fact does not count for it. All rows use the same prompts and, for the generator, the same starts.

# %%
scales = (1.0, 3.0, 6.0)
drawn = {
    (g, seed): base.sample(
        ids, steps=steps, guidance=g, rng=generator(seed, device)
    )
    for g in scales
    for seed in range(seeds)
}
read = {key: reader.read(x) for key, x in drawn.items()}
order = np.roll(np.arange(prompts), prompts // 2)
shuffled = [told[i] for i in order]
rows = {
    "real pictures": [faithfulness(reader.read(test.pictures.to(device)), told)],
    "real, through the autoencoder": [faithfulness(reader.read(round_trip), told)],
}
for g in scales:
    rows[f"drawn, g = {g:g}"] = [
        faithfulness(read[g, seed], told) for seed in range(seeds)
    ]
rows["drawn, g = 6, shuffled prompts"] = [
    faithfulness(read[6.0, seed], shuffled) for seed in range(seeds)
]
FACTS = [
    name
    for name in (
        "presence",
        "number",
        "position",
        "shape",
        "size",
        "instrument",
        "text",
        "all",
    )
    if name in rows["real pictures"][0]
]
mean = pd.DataFrame(
    {
        name: {fact: np.mean([run[fact] for run in runs]) for fact in FACTS}
        for name, runs in rows.items()
    }
).T
table(
    mean,
    f"Share of the prompts whose fact is shown, over {prompts} prompts and {seeds} starts each; *all*: everything that was told, at once.",
    reference=list(rows)[:2],
)
record(faithfulness=mean.to_dict())


# %% tags=["hide-input"]
def per_prompt(g, fact, against=told):
    """Share of the starts that show the fact, one value for each prompt that tells it."""
    return np.mean(
        [hits(read[g, seed], against)[fact] for seed in range(seeds)], axis=0
    )


def both(ours, theirs):
    """The prompts for which both have a value: those that tell the fact."""
    use = ~(np.isnan(ours) | np.isnan(theirs))
    return ours[use], theirs[use]


own = per_prompt(6.0, "position")
elsewhere = np.mean(
    [
        [
            float(facts["position"] in read[6.0, seed][i].get("positions", ()))
            if "position" in facts
            else np.nan
            for i, facts in zip(order, told, strict=True)
        ]
        for seed in range(seeds)
    ],
    axis=0,
)
a, b = both(own, per_prompt(1.0, "position"))
claim(
    "position-vs-no-guidance", a, b, direction="higher", unit="%", over="items", called="prompts",
    better="- Position: guidance of 6 shows it more often than no guidance, {ours} against {theirs}.",
    worse="- Position: guidance of 6 shows it less often than no guidance, {ours} against {theirs}.",
    undecided="- Position: guidance of 6 ({ours}) and no guidance ({theirs}) cannot be told apart.",
)  # fmt: skip
a, b = both(own, elsewhere)
claim(
    "position-vs-shuffled-prompts", a, b, direction="higher", unit="%", over="items", called="prompts",
    better="- Position: pictures of the right prompt show it more often than pictures of another prompt, {ours} against {theirs}.",
    worse="- Position: pictures of the right prompt show it less often than pictures of another prompt, {ours} against {theirs}.",
    undecided="- Position: pictures of the right prompt ({ours}) and of another ({theirs}) cannot be told apart: here the model does not listen.",
)  # fmt: skip
a, b = both(own, per_prompt(3.0, "position"))
claim(
    "position-strong-guidance", a, b, direction="higher", unit="%", over="items", called="prompts",
    better="- Position: guidance of 6 shows it more often than guidance of 3, {ours} against {theirs}.",
    worse="- Position: guidance of 6 shows it less often than guidance of 3, {ours} against {theirs}.",
    undecided="- Position: guidance of 6 ({ours}) and of 3 ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% tags=["hide-input"]
best = [int(i) for i in np.argsort([-len(facts) for facts in told])[:6]]
show(
    sheet(
        [
            test.pictures[best],
            *(drawn[g, 0][best] for g in scales),
        ],
        [short(test.prompts[i].text) for i in best],
        ["real", *(f"g = {g:g}" for g in scales)],
    ),
    alt=(
        f"Six test prompts in columns: a drawn (real) picture, and the generator's at guidance {', '.join(f'{g:g}' for g in scales)}. "
        f"Over all prompts and starts, everything told is shown by {mean.loc['drawn, g = 1', 'all']:.0%}, {mean.loc['drawn, g = 3', 'all']:.0%} and "
        f"{mean.loc['drawn, g = 6', 'all']:.0%}."
    ),
    caption="The prompts that tell most, the same start in each column. Top: a real picture of the same prompt, which has other free facts.",
)

# %% [markdown]
# ## What guidance does to variety
#
# The same prompt again and again, with other starts: how much do the pictures differ? Measured is the mean distance of the reader's
# features between two pictures of one prompt, beside that of real pictures of the same facts. These features tell facts: two pictures
# are far apart if they differ in what the prompt leaves open, and also if one of them misses what it was asked for.

# %%
repeated, times = min(prompts, 12), 6
asked = ids[:repeated].repeat_interleave(times, 0)


def spread(x):
    """Mean distance between two pictures of one prompt, (repeated,)."""
    with torch.no_grad():
        features = reader.embed(x.to(device)).view(len(x) // times, times, -1)
    return torch.stack([torch.pdist(f).mean() for f in features]).cpu()


variety = {"real pictures, all facts the same": spread(
    draw([s for s in test.scenes[:repeated] for _ in range(times)], SIZE, generator(3))[0]
)}  # fmt: skip
for g in (1.0, 6.0):
    made = base.sample(asked, steps=steps, guidance=g, rng=generator(11, device))
    variety[f"drawn, g = {g:g}"] = spread(made)
table(
    pd.DataFrame(
        {name: {"distance": float(v.mean())} for name, v in variety.items()}
    ).T,
    f"Mean distance between two of {times} pictures of one prompt, over {repeated} prompts. Real pictures vary less in what the prompt leaves open, since here all facts are held.",
)

# %% tags=["hide-input"]
claim(
    "guidance-variety",
    variety["drawn, g = 6"].tolist(),
    variety["drawn, g = 1"].tolist(),
    direction="higher",
    over="items",
    called="prompts",
    better="Pictures of one prompt differ more under guidance of 6 than without, {ours} against {theirs}.",
    worse="Pictures of one prompt differ less under guidance of 6 than without, {ours} against {theirs}: that is its price.",
    undecided="Whether pictures of one prompt differ more or less under guidance of 6 ({ours}) than without ({theirs}) cannot be decided from these few prompts.",
)

# %% [markdown]
# How much of such a difference is variety that one would like to keep, and how much is facts that were missed? These features do not separate the two.
#
# Turn the knobs: guidance and number of steps, the same starts throughout.

# %%
knobs = {"guidance": [1.0, 3.0, 6.0, 12.0], "steps": [3, 12]}
framed = {
    (g, n): base.sample(ids[:4], steps=n, guidance=g, rng=generator(0, device))
    for g in knobs["guidance"]
    for n in knobs["steps"]
}


def draw_frame(g, n):
    return sheet([framed[g, n]], [short(p.text) for p in test.prompts[:4]])


def describe_frame(g, n):
    shown = faithfulness(reader.read(framed[g, n]), told[:4])["all"]
    return f"Four pictures with guidance {g:g} in {n} steps; {shown:.0%} of them show all that they were told."


frames(
    knobs,
    draw_frame,
    describe_frame,
    caption="Four test prompts. Look at edges for the steps, and at colours for the guidance.",
    start={"guidance": 6.0, "steps": 12},
)

# %% [markdown]
# ## In practice
#
# - **The scale of the codes.** $s$ is part of the model. Stable Diffusion's is 0.18215 {cite}`rombach2022latent`; who forgets it trains on codes of another size than the
#   schedule was made for, and gets no error.
# - **The mode is not a draw.** (1) draws the code in training. Where a picture is encoded as a *condition*, some models take the mean, unscaled, and others a draw times $s$: look it up.
# - **Prompts are cut.** CLIP reads 77 tokens, and diffusers cuts off the rest with a warning. Here a prompt that is too long is refused.
# - **A loss says little.** (4) is an average over noise that nobody can predict; it may hardly move while the pictures become right.
# - **A folder is the model.** `save_base(folder)` writes what plain `DiffusionPipeline.from_pretrained(folder)` loads, and the parameter
#   `folder` of this chapter reads such a folder, a published one included.
#
# ## Exercises
#
# ```{exercise} A guided step (code)
# :label: latent-diffusion-step
#
# Write one step of the sampler, (7) and (8): from `z` at $\bar\alpha$ = `now` to $\bar\alpha$ = `then`, given both predictions of the noise.
# ```

# %% tags=["stub:step"]
from mmlab.exercises.latent_diffusion import check_step


def step(z, without, told, g, now, then):
    return ...


check_step(step)

# %% [markdown]
# ```{solution-start} latent-diffusion-step
# :class: dropdown
# ```


# %% tags=["solution:step"]
def step(z, without, told, g, now, then):
    noise = without + g * (told - without)
    clean = (z - (1 - now) ** 0.5 * noise) / now**0.5
    return then**0.5 * clean + (1 - then) ** 0.5 * noise


check_step(step)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The size of a code (compute)
# :label: latent-diffusion-size
#
# Stable Diffusion draws 512 × 512 pixels of three colours; its codes have four channels and an eighth of the side. By which factor is a code
# smaller? And by which factor does self-attention over all places of the code need fewer pairs than over all pixels?
# ```

# %% tags=["stub:size"]
from mmlab.exercises.latent_diffusion import check_size

smaller, fewer_pairs = ..., ...

check_size((smaller, fewer_pairs))

# %% [markdown]
# ```{solution-start} latent-diffusion-size
# :class: dropdown
# ```

# %% tags=["solution:size"]
smaller = 3 * 512**2 / (4 * 64**2)
fewer_pairs = (512**2) ** 2 / (64**2) ** 2

check_size((smaller, fewer_pairs))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What guidance does to a Gaussian (derive)
# :label: latent-diffusion-gaussian
#
# Without a prompt the codes are $\mathcal N(0, 1)$, with the prompt $\mathcal N(m, v)$, both in one dimension, $0 < v < 1$. Guidance follows the score of
# $p(z)^{1-g}\, p(z \mid y)^g$, at $t = 0$. Which Gaussian is that? Give its mean and variance for $g \ge 1$.
# ```

# %% tags=["stub:gaussian"]
from mmlab.exercises.latent_diffusion import check_gaussian


def gaussian(m, v, g):
    mean = ...
    variance = ...
    return mean, variance


check_gaussian(gaussian)

# %% [markdown]
# ```{solution-start} latent-diffusion-gaussian
# :class: dropdown
# ```
#
# The exponent is $-\tfrac12\bigl[(1-g) z^2 + g (z-m)^2/v\bigr]$. The coefficient of $z^2$ is the precision $1 - g + g/v$, which is positive as $v < 1$; the linear
# term is $g m / v$, and the mean is their ratio.


# %% tags=["solution:gaussian"]
def gaussian(m, v, g):
    precision = 1 - g + g / v
    mean = g * m / v / precision
    variance = 1 / precision
    return mean, variance


check_gaussian(gaussian)

# %% tags=["hide-input"]
for g in (1, 4):
    at, wide = gaussian(1.0, 0.5, g)
    say(f"With m = 1 and v = ½, guidance {g}: mean {at:.2f}, variance {wide:.2f}.")

# %% [markdown]
# Guidance moves the mean away from the unconditional one, beyond the true mean of the prompt, and narrows.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the autoencoder's round trip a ceiling, and is it a strict one?
# The generator's pictures come out of the same decoder. But a drawn picture may be clean where a real one is
# blurred by the round trip, and then its facts are read more often. So the ceiling holds for what the decoder cannot draw, not for every score.
# ```
#
# ```{dropdown} Shuffled prompts reach a fair share for some facts. What does that say?
# How often a fact is so anyway: as most pictures have a polyp, *presence* is often right whatever was asked. Only what a prompt states is counted: that most pictures have
# no text adds nothing. Faithfulness is what is above it.
# ```
#
# ```{dropdown} Why must training see the empty prompt?
# Guidance needs the prediction without a prompt. A network that never saw the empty prompt answers it with something, and (7) exaggerates the
# difference to that.
# ```
#
# ## In five lines
#
# - Three networks: a code for pictures (1), states for words, and a U-Net that predicts the noise (4), or the velocity (5), in noised codes (3).
# - What is asked for sets how times are weighed; Min-SNR (6) caps it.
# - Guidance (7) exaggerates the prompt; for a Gaussian it shifts the mean beyond the truth and narrows.
# - DDIM (8) walks back deterministically: a start and a prompt give one picture.
# - Faithfulness is measured per fact, between shuffled prompts and the autoencoder's round trip; the claims above say what this run decides.
#
# ## Limits, and what to read next
#
# The pictures are drawn, small, and of one make; the reader was trained on the same drawings. One base is tested, from one seed of training: the intervals
# are over prompts and starts, not over trainings. Next: {doc}`broken_scoreboard` asks how a score of such pictures is made, and what it cannot see.

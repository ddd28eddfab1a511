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
# # All words at once, or one by one: Muse and CM3Leon
#
# **A picture is a grid of 64 words. In which order should they be written?**
#
# With pictures in words ([VQGAN](vqgan.ipynb)), drawing is writing. A language model writes one word after the other. CM3Leon {cite}`yu2023cm3leon` is one: captions and pictures are one
# stream for it, and it can go from either to the other. But a picture has no first word. Muse {cite}`chang2023muse` guesses all words at once, keeps those it is surest of, and
# guesses the others again with these in view. A look is one pass through the network; the paper takes 24 of them for a base picture of 256 words {cite}`chang2023muse`.
#
# Each has its own way to listen to the prompt. Each is held against plain rivals: no guidance, and a picture of the training set whose prompt is the nearest; Muse also against words that
# are kept in random order. And they are held against each other, once where they look at about as many tokens, and once where Muse takes fewer looks and more tokens.
#
# After this chapter you can derive what is lost when words are guessed side by side, write both samplers, say where each has the prediction without a prompt that guidance needs, and say
# what a comparison of samplers holds equal. You need transformers, and guidance from [latent diffusion](latent_diffusion.ipynb). Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
prompts: int | None = None  # prompts of the test
seeds: int = 2  # starts for each prompt
looks: int = 8  # of Muse

# %% tags=["hide-input"]
import itertools
import math
import time

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmlab import generator
from mmlab.bases.colonoscopy import tokenizer
from mmlab.bases.findings_reader import findings_reader
from mmlab.bases.token_family import STEPS, token_family
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.prompts import encode_prompts
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world
from mmlab.methods.cm3leon import causal_masked, contrasted, plausible
from mmlab.methods.muse import cosine_share, guided_logits, still_masked
from mmlab.metrics.faithfulness import faithfulness, hits
from mmlab.metrics.kernel_distance import squared_mmd
from mmlab.viz import claim, frames, record, say, show, table
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import image_rows, use_theme

use_theme()
prompts = prompts or {"cpu": 64, "gpu": 300}[profile]
SEARCH = 32  # prompts of the search for settings
device = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# ## The models, and how long they were trained
#
# All write the words of one tokenizer, 8 × 8 words out of 512, and all are transformers of one width and depth
# ({py:func}`~mmlab.bases.token_family.token_family`). They have seen the same pictures with the same prompts, Muse and CM3Leon for equally many steps. Muse reads the prompt through a small
# text encoder that was trained before, without pictures, to tell which facts a prompt states; CM3Leon learns the words by itself.

# %%
family = token_family()
muse, cm3leon = family.muse.to(device), family.cm3leon.to(device)
reader = findings_reader().to(device)
test = colonoscopy_world(prompts, seed=77)
told = [prompt.told for prompt in test.prompts]
ids = encode_prompts([p.text for p in test.prompts], tokenizer()).to(device)
WORDS = math.prod(muse.grid)
models = {
    "Muse": (muse, STEPS["muse"]),
    "Muse, coarse": (family.muse_coarse, STEPS["muse_coarse"]),
    "Muse, fine": (family.muse_fine, STEPS["muse_fine"]),
    "CM3Leon": (cm3leon, STEPS["cm3leon"]),
}

# %% tags=["hide-input"]
# Code of the drawing
show(
    in_rows(
        [
            {"prompt": "prompt", "before": "words, some masked"},
            {"muse": "Muse: looks in all directions", "leon": "CM3Leon: looks back"},
            {"all": "all masked words", "next": "the next word"},
            {"keep": "keep the surest, (4), (5)", "add": "add it to the stream"},
        ],
        [("prompt", "muse"), ("prompt", "leon"), ("before", "muse"), ("muse", "all"), ("leon", "next"), ("all", "keep"), ("next", "add")],
        trained=["muse", "leon"],
    ),
    alt="Two columns. Muse takes a prompt and words of which some are masked, gives all masked words, of which the surest stay. CM3Leon takes a prompt and the words so far, and gives the next.",
    caption="A look at the network gives Muse all words and CM3Leon one.",
)  # fmt: skip
say(
    "Steps of training and trained values: "
    + "; ".join(
        f"{name} {steps}, {sum(p.numel() for p in m.parameters() if p.requires_grad):,}"
        for name, (m, steps) in models.items()
    )
    + "."
)

# %% [markdown]
# ## Muse: guess, keep, guess again
#
# In training some of a picture's $N$ words $y$ are masked, and the network says them from the others and from the states $c$ of the prompt's words. The share of masks is drawn anew each
# time,
#
# $$\gamma(r) = \cos(\tfrac{\pi}{2} r), \qquad r \sim \mathcal U(0, 1), \tag{1}$$
#
# $$L = -\,\mathbb E \sum_{i \in M} \log p(y_i \mid y_{\bar M}, c). \tag{2}$$
#
# (The code divides by the number of masked words in the batch.) The cosine stays high for long: on average $2/\pi$ of the words are masked, more than with an even share. A sampler begins
# with all of them masked. In a tenth of the cases the prompt is empty, so that guidance can go beyond it, here on logits:
#
# $$\tilde\ell = \ell_\varnothing + g\,(\ell_c - \ell_\varnothing). \tag{3}$$
#
# **What does guessing side by side cost?** Given the prompt and the words in view, the network says the law of each other word, not that of pairs. If words $y_i$ and $y_j$ depend on each
# other, drawing both from their own laws draws from $p(y_i)\,p(y_j)$, and the divergence from the truth is their mutual information, $\mathrm{KL}\bigl(p(y_i, y_j) \,\Vert\,
# p(y_i)\,p(y_j)\bigr) = I(y_i; y_j)$. If one of the two is certain it is zero. That is the reason to keep those words that the network is sure of; whether it matters here is measured
# below. The confidence of a drawn word is
#
# $$\log p(y_i) + \tau\,\varepsilon_i, \qquad \varepsilon_i \sim \text{Gumbel}, \tag{4}$$
#
# with $\tau$ falling to zero, and after step $s$ of $S$ there are
#
# $$n_s = \bigl\lfloor N\,\gamma(s/S) \bigr\rfloor \tag{5}$$
#
# words masked again, those of the least confidence; at least one word more is kept in each step, whatever (5) says. Few are kept at first. With $S = N$ it is one word in each step, so no
# two are kept that were guessed side by side. The law is still not the true one: by (4), which word is kept depends on what was drawn, and likely draws are favoured.
#
# **A second stage.** Muse writes a coarse grid first. Another network of the same kind then writes the fine one, and sees the coarse words beside the prompt's:
#
# $$L_{\text{fine}} = -\,\mathbb E \sum_{i \in M} \log p(y_i \mid y_{\bar M}, y^{\text{coarse}}, c). \tag{6}$$
#
# In the paper the coarse words are a tokenizer's of smaller pictures {cite}`chang2023muse`. Ours are blocks of 2 × 2 vectors of the one tokenizer, named by $k$-means.

# %%
hidden, left = WORDS, []
for step in range(1, looks + 1):
    hidden = still_masked(step, looks, WORDS, hidden)
    left.append(hidden)
share = cosine_share(torch.rand(10_000, generator=generator(0))).mean()
say(
    f"In {looks} looks, {WORDS} words: after them {', '.join(map(str, left))} are masked. In training {share:.2f} of the words are, on average; $2/\\pi$ is {2 / math.pi:.2f}."
)

# %% [markdown]
# ## CM3Leon: one stream
#
# A document is the caption, a break, and the picture's words. A causal transformer learns to say each token from those before it. Sometimes a part of the document from $a$ to $b$ is moved
# to the end, with a mask in its place, and an infill token in front of it {cite}`aghajanyan2022cm3`:
#
# $$x' = x_{<a},\ \langle\text{mask}\rangle,\ x_{\ge b},\ \langle\text{infill}\rangle,\ x_{a}, \dots, x_{b-1}, \tag{7}$$
#
# $$L = -\,\mathbb E \sum_t \log p(x'_t \mid x'_{<t}). \tag{8}$$
#
# (The code divides by the number of tokens, and leaves out what follows the end of a caption.) So the model is trained to fill a gap with both sides in view, and to write the caption of a
# picture. And when the caption has been moved, it writes *a picture without one*. This gives the prediction without a prompt, the *untold* one, which guidance needs, with
# $\langle\text{mask}\rangle$ for the caption,
#
# $$\tilde\ell = \ell_0 + g\,(\ell_c - \ell_0). \tag{9}$$
#
# Contrastive decoding {cite}`li2023contrastive` is a relative. It asks for the word that a prompt makes *more likely than before*. Alone that would choose words that are nearly impossible
# either way, so only plausible ones are considered, those with at least a share $\alpha$ of the $k$-th largest probability; with $k = 1$ of the largest:
#
# $$V = \bigl\{ t : p(t \mid c) \ge \alpha\, \operatorname{max}_k\, p(\cdot \mid c) \bigr\}, \tag{10}$$
#
# $$\mathrm{CD}(t) = \log p(t \mid c) - \log p_0(t) \quad \text{for } t \in V, \qquad -\infty \text{ else}. \tag{11}$$
#
# Guidance at scale $g$ draws from $p_0^{1-g}\, p_c^{\,g}$, made to add up to one. Its logits divided by $g$ tend to $\log p_c - \log p_0$ for large $g$, up to a constant: contrastive
# decoding is this limit, cut to $V$.

# %%
x = torch.tensor([[1, 2, 3, 4, 5]])
moved, places = causal_masked(x, 1, 3, mask=90, infill=91)
p, p0 = (
    torch.tensor([[0.5, 0.3, 0.19, 0.01]]),
    torch.tensor([[0.6, 0.1, 0.29, 0.01]]),
)
say(
    f"{x[0].tolist()} with a part moved: {moved[0].tolist()}. Of probabilities {', '.join(f'{v:.2g}' for v in p[0].tolist())}, untold {', '.join(f'{v:.2g}' for v in p0[0].tolist())}, contrastive decoding chooses number "
    f"{int(contrasted(p.log(), p0.log(), 0.1).argmax()) + 1}; {int(plausible(p.log(), 0.1).sum())} are plausible at α = 0.1."
)

# %% [markdown]
# ## Muse by hand


# %%
@torch.no_grad()
def by_hand(ids, steps, g, rng):
    """Eqs. (3) to (5), without the noise of (4)."""
    c = muse.read(ids)
    nothing = muse.read(muse.empty[None]).expand_as(c)
    y = torch.full((len(ids), WORDS), muse.codes, device=ids.device)
    hidden = WORDS
    for step in range(1, steps + 1):
        p = guided_logits(muse(y, nothing), muse(y, c), g).softmax(-1)
        drawn = torch.multinomial(p.flatten(0, 1), 1, generator=rng).view_as(y)
        known = y != muse.codes
        y = torch.where(known, y, drawn)
        hidden = still_masked(step, steps, WORDS, hidden)
        if hidden:
            sure = p.gather(2, y[..., None])[..., 0].masked_fill(known, 2.0)
            torch.rand(sure.shape, generator=rng, device=ids.device)
            y = torch.where(sure < sure.sort(1).values[:, [hidden]], muse.codes, y)
    return y.view(-1, *muse.grid)


ours = by_hand(ids[:4], 4, 3.0, generator(5, device))
theirs = muse.sample(ids[:4], steps=4, guidance=3.0, temperature=0.0, rng=generator(5, device))  # fmt: skip
assert (ours == theirs).float().mean() > 0.98
say(
    f"By hand and by the method: {(ours == theirs).float().mean():.0%} of the words are the same. A test of this package finds the same of the scheduler of diffusers."
)

# %% [markdown]
# ## Settings, chosen on other prompts
#
# Guidance and temperature change much, so every row that writes gets the same search: six tries, each one start, on prompts that are not those of the test. Temperature is $\tau$ of (4)
# for Muse, and what the logits are divided by for CM3Leon. Where there is no guidance, six temperatures are tried; where random words are kept, (4) has no temperature, and six scales are.
# The two stages share their settings. If the chosen value is the lowest or the highest that was tried, values beyond it may show more still.

# %%
other = colonoscopy_world(min(SEARCH, prompts), seed=78)
other_told = [p.told for p in other.prompts]
other_ids = encode_prompts([p.text for p in other.prompts], tokenizer()).to(device)


def facts_of(tokens, against):
    """Share of the told facts that each picture shows, (B,)."""
    read = reader.read(family.tokenizer.decode(tokens).to(device))
    return np.nanmean(np.stack(list(hits(read, against).values())), axis=0)


def with_muse(ids, seed, steps=looks, **how):
    return muse.sample(ids, steps=steps, rng=generator(seed, device), **how)


def random_order(ids, seed, **how):
    return with_muse(ids, seed, by_confidence=False, **how)


def two_stages(ids, seed, **how):
    how |= {"steps": max(1, looks // 2), "rng": generator(seed, device)}
    low = family.muse_coarse.to(device).sample(ids, **how)
    return family.muse_fine.to(device).sample(ids, low=low, **how)


def with_leon(ids, seed, **how):
    return cm3leon.sample(ids, rng=generator(seed, device), **how)


def tries(**values):
    """All combinations, by name."""
    return [
        dict(zip(values, v, strict=True))
        for v in itertools.product(*values.values())
    ]


SCALES, SIX = (1.5, 3.0, 6.0), (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
WRITERS = {
    "Muse": (with_muse, tries(guidance=SCALES, temperature=(1.0, 4.0))),
    "Muse, no guidance": (with_muse, tries(guidance=(1.0,), temperature=(0.5, 1.0, 2.0, 4.0, 8.0, 16.0))),
    "Muse, random order": (random_order, tries(guidance=SIX)),
    "Muse, two stages": (two_stages, tries(guidance=SCALES, temperature=(1.0, 4.0))),
    "CM3Leon": (with_leon, tries(guidance=SCALES, temperature=(0.5, 1.0))),
    "CM3Leon, no guidance": (with_leon, tries(guidance=(1.0,), temperature=(0.1, 0.3, 0.5, 0.7, 0.85, 1.0))),
    "CM3Leon, contrastive": (with_leon, tries(guidance=(0.0,), alpha=(0.03, 0.1, 0.3), temperature=(0.5, 1.0))),
}  # fmt: skip


def searched(write, settings):
    """All tries with their facts on the prompts of the search, the best one first."""
    found = [
        (facts_of(write(other_ids, 9, **how), other_told).mean(), how)
        for how in settings
    ]
    return sorted(found, key=lambda one: -one[0])


found = {name: searched(*row) for name, row in WRITERS.items()}
best = {name: tried[0][1] for name, tried in found.items()}


def in_words(how):
    return ", ".join(f"{key} {value:g}" for key, value in how.items())


# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {
            name: {
                "settings": in_words(how),
                "facts": value,
                "facts, lowest of the tries": tried[-1][0],
            }
            for name, tried in found.items()
            for value, how in tried[:1]
        }
    ).T,
    f"Of six tries each, the one whose pictures show most of what {len(other)} prompts tell; and what those show that show least.",
    digits=2,
)

# %% [markdown]
# ## Do they draw what they are told?
#
# As for [latent diffusion](latent_diffusion.ipynb), a network trained on real drawings reads the facts off. Each value is the share of what a prompt tells that its picture shows. A
# sampler could show facts with few and plain pictures, so a second number says how far all pictures of a row are, as a set, from real ones: the *kernel distance* of the reader's features.
# It is zero on average for pictures drawn independently from the same law. Rows with two starts have each prompt twice; the rows of real pictures and of the fine stage alone have it once.
#
# | row | what it is |
# | --- | --- |
# | real; through the words; through the coarse words | what the reader sees in real pictures of these prompts, which is no upper bound; what is left of it through the words, and through the coarse ones |
# | nearest training picture | of the training pictures, one whose prompt shares most words with this one (as a share of the words of both): nothing is drawn |
# | Muse, CM3Leon | with the settings found above |
# | no guidance | $g = 1$: no look without the prompt, so about half as many tokens |
# | random order | Muse, but the words that are kept are random ones, not the surest |
# | two stages | coarse words, then fine ones, each with half of the looks and of the steps of training |
# | fine stage, real coarse words | the second stage alone, handed the coarse words of a real picture of the prompt |
# | contrastive | CM3Leon by (11), in place of guidance |
# | shuffled prompts | pictures held against another's prompt: what comes from habit |


# %%
def words_of(text):
    return set(text.lower().strip(".").split())


known_words = [words_of(p.text) for p in family.world.prompts]
nearness = np.array(
    [
        [len(mine & w) / len(mine | w) for w in known_words]
        for mine in (words_of(p.text) for p in test.prompts)
    ]
)  # (prompts, training pictures)


def nearest_pictures(seed):
    """For each test prompt the row of a training picture; of equally near ones a random one."""
    rng = np.random.default_rng(seed)
    equal = [np.flatnonzero(near == near.max()) for near in nearness]
    return torch.tensor([rng.choice(rows) for rows in equal])


drawn, written, seconds = {}, {}, {}
for name, (write, _) in WRITERS.items():
    began = time.process_time()
    written[name] = [write(ids, seed, **best[name]) for seed in range(seeds)]
    seconds[name] = (time.process_time() - began) / seeds / prompts
    drawn[name] = [family.tokenizer.decode(x).to(device) for x in written[name]]
drawn["nearest training picture"] = [
    family.world.pictures[nearest_pictures(s)].to(device) for s in range(seeds)
]
drawn["real"] = [test.pictures.to(device)]
in_tokens = family.tokenizer.encode(test.pictures)
low = family.coarse.encode(in_tokens)
drawn["real, through the words"] = [family.tokenizer.decode(in_tokens).to(device)]
drawn["real, through the coarse words"] = [family.coarse.decode(low).to(device)]
fine = family.muse_fine.sample(
    ids,
    low=low.to(device),
    steps=max(1, looks // 2),
    rng=generator(0, device),
    **best["Muse, two stages"],
)
drawn["fine stage, real coarse words"] = [family.tokenizer.decode(fine).to(device)]
read = {name: [reader.read(x) for x in runs] for name, runs in drawn.items()}
more = colonoscopy_world(600, seed=79).pictures.to(device)


def shares(name, against=told):
    """Share of the told facts that are shown, mean over starts, one for each prompt."""
    runs = [np.stack(list(hits(r, against).values())) for r in read[name]]
    return np.mean([np.nanmean(run, axis=0) for run in runs], axis=0)


@torch.no_grad()
def distance(name):
    """Kernel distance of the reader's features from those of other real pictures."""
    return squared_mmd(reader.embed(torch.cat(drawn[name])), reader.embed(more))


# %% tags=["hide-input"]
# Code of the tables and the figure
FACTS = ("presence", "number", "position", "shape", "size", "instrument", "text", "all")  # fmt: skip
REFERENCE = ["real", "real, through the words", "real, through the coarse words", "fine stage, real coarse words"]  # fmt: skip
order = [*REFERENCE[:3], "nearest training picture", *WRITERS, *REFERENCE[3:]]
turned = [told[i] for i in np.roll(np.arange(prompts), prompts // 2)]


def row_of(name, against=told):
    single = [faithfulness(r, against) for r in read[name]]
    return {
        "facts": shares(name, against).mean(),
        **{
            fact: np.mean([one.get(fact, np.nan) for one in single])
            for fact in FACTS
        },
    }


rows = {name: row_of(name) | {"distance": distance(name)} for name in order}
for name in ("Muse", "CM3Leon"):
    rows[f"{name}, shuffled prompts"] = row_of(name, turned)
table(
    pd.DataFrame(rows).T,
    f"Share of what is told that is shown, over {prompts} prompts and {seeds} starts each, one for real pictures and the fine stage alone; *facts*: the mean over what a prompt tells, *all*: everything at once. *distance*: from {len(more)} other real pictures, as a set.",
    reference=REFERENCE,
    digits=2,
)
record(
    faithfulness={
        name: {k: round(float(v), 4) for k, v in row.items() if np.isfinite(v)}
        for name, row in rows.items()
    }
)
most = [int(i) for i in np.argsort([-len(facts) for facts in told])[:6]]
shown = ("real", "real, through the words", "nearest training picture", "Muse", "Muse, two stages", "CM3Leon")  # fmt: skip
show(
    image_rows(
        {
            name: [drawn[name][0][i].cpu().clamp(-1, 1) / 2 + 0.5 for i in most]
            for name in shown
        }
    ),
    alt="Six test prompts in columns; in rows "
    + ", ".join(f"{name} (facts shown over all prompts: {rows[name]['facts']:.0%})" for name in shown)
    + ".",
    caption="The prompts that tell most: " + "; ".join(test.prompts[i].text.removeprefix("Generate an image with ").rstrip(".") for i in most) + ".",
    label="drawn",
)  # fmt: skip

# %% [markdown]
# What did each row take? CM3Leon keeps what it has read, so after the prompt a look is at one token, or at two with guidance; Muse looks at all of them each time. What its text encoder
# reads is not counted.


# %% tags=["hide-input"]
def tokens_looked_at(name):
    """Tokens that pass through the network for one picture."""
    twice = 1 if "no guidance" in name else 2
    if "CM3Leon" in name:
        untold = 2 + WORDS - 1
        return ids.shape[1] + 1 + WORDS - 1 + (untold if twice == 2 else 0)
    if "two stages" in name:
        coarse = math.prod(family.muse_coarse.grid)
        return twice * max(1, looks // 2) * (WORDS + coarse)
    return twice * looks * WORDS


def looks_of(name):
    if "two stages" in name:
        return 2 * max(1, looks // 2)
    return WORDS if "CM3Leon" in name else looks


def spent_on(name):
    parts = ["Muse, coarse", "Muse, fine"] if "two stages" in name else [name.split(",")[0]]  # fmt: skip
    settings = WRITERS[name][1]
    return Spent(
        sum(models[part][1] for part in parts),
        sum(p.numel() for part in parts for p in models[part][0].parameters() if p.requires_grad),
        tuple(key for key in settings[0] if len({how[key] for how in settings}) > 1),
        len(settings),
    )  # fmt: skip


budgets = Budgets("Muse", {name: spent_on(name) for name in WRITERS})
costs = pd.DataFrame(
    {
        name: {
            "looks": looks_of(name),
            "tokens looked at": tokens_looked_at(name),
            "CPU milliseconds": 1000 * seconds[name],
        }
        for name in WRITERS
    }
).T
table(
    costs.join(budgets.columns()),
    "What a picture takes: looks, which wait for each other; tokens that pass through the network, those without a prompt included; milliseconds on one thread, as measured in this run. And what each row was allowed before.",
    digits={"looks": 0, "tokens looked at": 0, "CPU milliseconds": 1},
    budgets=budgets,
)  # fmt: skip
record(budget=budgets.plain())

# %% [markdown]
# Do they listen, and does guidance make them listen more?

# %% tags=["hide-input"]
both = {"over": "items", "called": "prompts", "unit": "%", "direction": "higher"}
back = np.roll(
    np.arange(prompts), -(prompts // 2)
)  # where each prompt was turned to
claim(
    "muse-facts-shuffled-prompts", shares("Muse"), shares("Muse", turned)[back], **both,
    better="- Of what a prompt tells, its own picture by Muse shows more than another's, {ours} against {theirs}.",
    worse="- Of what a prompt tells, its own picture by Muse shows less than another's, {ours} against {theirs}.",
    undecided="- Of what a prompt tells, its own picture by Muse ({ours}) and another's ({theirs}) show no amounts that could be told apart.",
)  # fmt: skip
claim(
    "cm3leon-facts-shuffled-prompts", shares("CM3Leon"), shares("CM3Leon", turned)[back], **both,
    better="- Its own picture by CM3Leon shows more than another's, {ours} against {theirs}.",
    worse="- Its own picture by CM3Leon shows less than another's, {ours} against {theirs}.",
    undecided="- Its own picture by CM3Leon ({ours}) and another's ({theirs}) show no amounts that could be told apart.",
)  # fmt: skip
claim(
    "muse-facts-no-guidance", shares("Muse"), shares("Muse, no guidance"), **both,
    better="- Guidance makes Muse show more, {ours} against {theirs}.",
    worse="- Guidance makes Muse show less, {ours} against {theirs}.",
    undecided="- Whether guidance makes Muse show more cannot be told: {ours} with, {theirs} without.",
)  # fmt: skip
claim(
    "cm3leon-facts-no-guidance", shares("CM3Leon"), shares("CM3Leon, no guidance"), **both,
    better="- Guidance makes CM3Leon show more, {ours} against {theirs}.",
    worse="- Guidance makes CM3Leon show less, {ours} against {theirs}.",
    undecided="- Whether guidance makes CM3Leon show more cannot be told: {ours} with, {theirs} without.",
)  # fmt: skip
claim(
    "cm3leon-contrastive-facts-guidance", shares("CM3Leon, contrastive"), shares("CM3Leon"), **both,
    better="- Contrastive decoding shows more than guidance, {ours} against {theirs}.",
    worse="- Contrastive decoding shows less than guidance, {ours} against {theirs}.",
    undecided="- Contrastive decoding ({ours}) and guidance ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# Does the order matter, and the second stage? Does either show more than a picture that was looked up?

# %% tags=["hide-input"]
claim(
    "muse-facts-random-order", shares("Muse"), shares("Muse, random order"), **both,
    better="- Keeping the surest words shows more than keeping random ones, {ours} against {theirs}.",
    worse="- Keeping the surest words shows less than keeping random ones, {ours} against {theirs}.",
    undecided="- Keeping the surest words ({ours}) and keeping random ones ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "two-stages-one-stage", shares("Muse, two stages"), shares("Muse"), **both,
    better="- Two stages show more than one, {ours} against {theirs}, after as many steps and at as many looks.",
    worse="- Two stages show less than one, {ours} against {theirs}, after as many steps and at as many looks.",
    undecided="- Two stages ({ours}) and one ({theirs}) cannot be told apart, after as many steps and at as many looks.",
)  # fmt: skip
claim(
    "two-stages-real-coarse-words", shares("Muse, two stages"), shares("fine stage, real coarse words"), **both,
    better="- Two stages show more than the second one does from real coarse words, {ours} against {theirs}.",
    worse="- From real coarse words the second stage shows more, {theirs} against {ours}: what is missing was missing in the coarse words already.",
    undecided="- From real coarse words the second stage shows {theirs}, from written ones {ours}, which cannot be told apart.",
)  # fmt: skip
claim(
    "muse-facts-nearest-picture", shares("Muse"), shares("nearest training picture"), **both,
    better="- Muse shows more than the nearest training picture, {ours} against {theirs}.",
    worse="- The nearest training picture shows more than Muse, {theirs} against {ours}.",
    undecided="- Muse ({ours}) and the nearest training picture ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "cm3leon-nearest-picture", shares("CM3Leon"), shares("nearest training picture"), **both,
    better="- CM3Leon shows more than it, {ours} against {theirs}.",
    worse="- It shows more than CM3Leon, {theirs} against {ours}.",
    undecided="- CM3Leon ({ours}) and it ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% tags=["hide-input"]
say(
    f"Of the test prompts, {(nearness.max(1) == 1).mean():.0%} have a training prompt of the same words, and a looked-up picture is a real one. Its limit is another: it is somebody's picture. "
    "How a generator does where no training prompt has the same words is not judged apart here."
)

# %% [markdown]
# ## At which cost?
#
# The two families spend differently. Muse in one look and CM3Leon let about as many tokens through the network, and in one look nothing that Muse writes knows of the rest. With more looks
# Muse lets more tokens through, and its looks wait for each other. It is compared with CM3Leon in one look and in the number of looks of the table, not in as many looks as CM3Leon takes.
# For one look the six scales of guidance are searched as above. The rest of the curve has the settings that were found for the table, so other numbers of looks could show more with
# settings of their own; and the line of CM3Leon is the mean over all its starts, where a point of the curve is of one start.

# %%
LOOKS = sorted({1, 2, 4, looks, 2 * looks})
scale = searched(with_muse, tries(steps=(1,), guidance=SIX))[0][1]["guidance"]
one = with_muse(ids, 0, steps=1, guidance=scale)
curve = {("the surest", 1): one, ("random ones", 1): one}
for order, name in (("the surest", "Muse"), ("random ones", "Muse, random order")):
    curve[order, looks] = written[name][0]
    for n in LOOKS:
        if (order, n) not in curve and (n < looks or name == "Muse"):
            curve[order, n] = WRITERS[name][0](ids, 0, steps=n, **best[name])
shown_by = {key: facts_of(tokens, told) for key, tokens in curve.items()}
by_looks = {
    order: {n: shown_by[o, n].mean() for o, n in sorted(shown_by) if o == order}
    for order in ("the surest", "random ones")
}

# %% tags=["hide-input"]
# Code of the figure
figure = Figure(figsize=(6.4, 2.8))
left_axes, right_axes = figure.subplots(1, 2, sharey=True)
for order, values in by_looks.items():
    left_axes.plot(list(values), list(values.values()), "o-", label=f"Muse, keeps {order}")  # fmt: skip
left_axes.axhline(rows["CM3Leon"]["facts"], color="C2", ls="--", label=f"CM3Leon, {WORDS} looks")  # fmt: skip
left_axes.set(xscale="log", xlabel="looks at the network", ylabel="facts shown")
left_axes.set_xticks(LOOKS, [str(n) for n in LOOKS])
left_axes.legend(fontsize=8)
tops = {
    name: [
        max(v for v, how in found[f"{name}, no guidance"] + found[name] if how["guidance"] == g)
        for g in (1.0, *SCALES)
    ]
    for name in ("Muse", "CM3Leon")
}  # fmt: skip
for name, colour in (("Muse", "C0"), ("CM3Leon", "C2")):
    right_axes.plot((1.0, *SCALES), tops[name], "o-", color=colour, label=name)
right_axes.set(xscale="log", xlabel="guidance g")
right_axes.set_xticks((1.0, *SCALES), [f"{g:g}" for g in (1.0, *SCALES)])
right_axes.legend(fontsize=8)
show(
    figure,
    alt="Left: facts shown against the number of looks, for Muse keeping the surest words ("
    + ", ".join(f"{n}: {v:.0%}" for n, v in by_looks["the surest"].items())
    + ") and random ones ("
    + ", ".join(f"{n}: {v:.0%}" for n, v in by_looks["random ones"].items())
    + f"), and for CM3Leon {rows['CM3Leon']['facts']:.0%}. Right, against guidance 1, "
    + ", ".join(f"{g:g}" for g in SCALES)
    + ": "
    + "; ".join(f"{name} " + ", ".join(f"{v:.0%}" for v in values) for name, values in tops.items())
    + ".",
    caption=f"Facts shown. **Left:** by the number of looks, on the test prompts, one start for each prompt; the dashed line of CM3Leon is the mean over {seeds} starts. **Right:** by guidance, on the prompts of the search, each at the temperature that shows most; at $g = 1$ of six, else of two.",
    label="looks",
)  # fmt: skip
at_once, usual, leon = shown_by["the surest", 1], shares("Muse"), shares("CM3Leon")
claim(
    "muse-one-look-cm3leon", at_once, leon, **both,
    better="- At about as many tokens looked at, Muse in one look shows more than CM3Leon, {ours} against {theirs}.",
    worse="- At about as many tokens looked at, CM3Leon shows more than Muse in one look, {theirs} against {ours}.",
    undecided="- At about as many tokens looked at, Muse in one look ({ours}) and CM3Leon ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "muse-cm3leon", usual, leon, **both, count=looks, many=WORDS,
    better="- Muse in {count} looks shows more than CM3Leon in {many}, {ours} against {theirs}.",
    worse="- CM3Leon in {many} looks shows more than Muse in {count}, {theirs} against {ours}.",
    undecided="- Muse in {count} looks ({ours}) and CM3Leon in {many} ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "muse-looks-one", usual, at_once, **both, count=looks,
    better="- From one look to {count}, what Muse shows rises, {theirs} to {ours}.",
    worse="- From one look to {count}, what Muse shows falls, {theirs} to {ours}.",
    undecided="- One look ({theirs}) and {count} ({ours}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# The widget shows the same prompts after other numbers of looks. The pictures after one look have a guidance of their own, as in the curve.

# %%
framed = {
    n: family.tokenizer.decode(curve["the surest", n][:5]).to(device) for n in LOOKS
}

# %% tags=["hide-input"]
# Code of the widget
frames(
    {"looks": LOOKS},
    lambda n: image_rows({f"looks: {n}": [x.cpu().clamp(-1, 1) / 2 + 0.5 for x in framed[n]]}),
    lambda n: f"Five pictures by Muse, looks: {n}; of what they were told, {np.nanmean(np.stack(list(hits(reader.read(framed[n]), told[:5]).values()))):.0%} is shown.",
    caption="Five test prompts, the same start. With one look no word knows of another.",
    start={"looks": looks},
)  # fmt: skip

# %% [markdown]
# ## The other way: a caption for a picture
#
# CM3Leon has learnt documents whose caption was moved to the end. So it can write a caption behind a picture. Does the caption say the number of polyps? Two rivals: the number that most
# training pictures have, and the number in the training picture whose pixels are nearest. If captions cannot be told apart from the first, the run does not show that they look at the
# picture.

# %%
captions = cm3leon.caption(in_tokens.to(device)).cpu()
captioned = [tokenizer().decode(row, skip_special_tokens=True) for row in captions]
NUMBER = {word: n for n, word in enumerate(("no", "one", "two", "three"))}


def number_in(text):
    """The number of polyps that a caption says, or None."""
    return next((NUMBER[w] for w in text.lower().split() if w in NUMBER), None)


truth = [len(scene.positions) for scene in test.scenes]
known = [len(scene.positions) for scene in family.world.scenes]
nearest = torch.cdist(test.pictures.flatten(1), family.world.pictures.flatten(1))
says = {
    "CM3Leon": [number_in(text) for text in captioned],
    "most frequent": [max(set(known), key=known.count)] * prompts,
    "nearest picture": [known[row] for row in nearest.argmin(1).tolist()],
}
right = {
    name: [float(a == b) for a, b in zip(values, truth, strict=True)]
    for name, values in says.items()
}

# %% tags=["hide-input"]
say(
    f"For example: *{captioned[0]}*, of a picture whose prompt was *{test.prompts[0].text.lower()}* Of {prompts} captions {sum(n is None for n in says['CM3Leon'])} say no number."
)
claim(
    "caption-number-most-frequent", right["CM3Leon"], right["most frequent"], **both | {"called": "pictures"},
    better="- Captions say the number of polyps right more often than the most frequent number does, {ours} against {theirs}.",
    worse="- Captions say the number of polyps right less often than the most frequent number does, {ours} against {theirs}.",
    undecided="- Captions ({ours}) and the most frequent number ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "caption-number-nearest-picture", right["CM3Leon"], right["nearest picture"], **both | {"called": "pictures"},
    better="- They say it right more often than the nearest training picture, {ours} against {theirs}.",
    worse="- They say it right less often than the nearest training picture, {ours} against {theirs}.",
    undecided="- Captions ({ours}) and the nearest training picture ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# ## In practice
#
# - **The tokenizer sets the language.** What they cannot say, no order of writing can. Compare the rows *real* and *through the words*, in facts and in distance.
# - **Guidance acts twice.** (4) sees the guided probabilities: a word that (3) exaggerates also counts as sure.
# - **Words that both streams find nearly impossible.** Little was learnt about them, and (9) multiplies their difference; (10) leaves them out. The rows with guidance do without (10).
# - **A cache for each stream.** Guidance needs two for CM3Leon; a shared one would mix told and untold.
# - **A rival's temperature.** Cold words and strong guidance can show facts with fewer kinds of pictures: look at the distance beside the facts.
#
# ## Exercises
#
# ```{exercise} Words that stay masked (compute)
# :label: muse-masked
#
# A picture has 256 words, and there are 4 looks. How many words are masked after each?
# ```

# %% tags=["stub:masked"]
from mmlab.exercises.muse import check_masked

masked = ..., ..., ..., ...

check_masked(masked)

# %% [markdown]
# ```{solution-start} muse-masked
# :class: dropdown
# ```

# %% tags=["solution:masked"]
masked = tuple(int(256 * math.cos(math.pi * s / 8)) for s in (1, 2, 3, 4))

check_masked(masked)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Guidance and contrast (code)
# :label: muse-contrast
#
# Write (10) and (11) with $k = 1$, from logits `told` and `untold` (K,). Return the scores, with minus infinity for what is not plausible.
# ```

# %% tags=["stub:contrast"]
from mmlab.exercises.muse import check_contrast


def contrast(told, untold, alpha):
    return ...


check_contrast(contrast)

# %% [markdown]
# ```{solution-start} muse-contrast
# :class: dropdown
# ```


# %% tags=["solution:contrast"]
def contrast(told, untold, alpha):
    p, p0 = told.softmax(-1), untold.softmax(-1)
    gain = p.log() - p0.log()
    return gain.masked_fill(p < alpha * p.max(), -math.inf)


check_contrast(contrast)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What is lost side by side (derive)
# :label: muse-side
#
# Two words of $K$ each are always equal, and each of the $K$ is as likely. Both are guessed in one look. What is the divergence $\mathrm{KL}(p \Vert p_1 p_2)$ from the truth, in nats, and
# with which probability are they equal? What is the divergence if there are $n$ such words, all equal?
# ```

# %% tags=["stub:side"]
from mmlab.exercises.muse import check_side


def side(K, n):
    divergence_of_two = ...
    equal = ...
    divergence_of_n = ...
    return divergence_of_two, equal, divergence_of_n


check_side(side)

# %% [markdown]
# ```{solution-start} muse-side
# :class: dropdown
# ```
#
# The truth gives each of $K$ pairs the probability $1/K$, the product $1/K^2$; the logarithm of the ratio is $\log K$ for each. For $n$ words it is $\log\bigl(K^{-1} / K^{-n}\bigr)$.


# %% tags=["solution:side"]
def side(K, n):
    divergence_of_two = math.log(K)
    equal = 1 / K
    divergence_of_n = (n - 1) * math.log(K)
    return divergence_of_two, equal, divergence_of_n


check_side(side)

# %% [markdown]
# It is the sum of what each word tells about the next. One word kept first, and all others follow without loss: the second look is enough.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why is the share of masks drawn from a cosine, and not evenly?
# A sampler spends its first looks with nearly all words masked, where the network knows least. (1) shows it such cases more often.
# ```
#
# ```{dropdown} Muse was trained with the empty prompt in a tenth of the cases. What takes its place in CM3Leon?
# Documents whose caption was moved to the end: before the picture there are only a mask and the break.
# ```
#
# ```{dropdown} Muse in 8 looks and CM3Leon: which is cheaper?
# It depends on what is scarce. CM3Leon looks at fewer tokens, and Muse has fewer looks that must wait for each other. On a device that looks at many tokens at once the second counts. The
# table has the time on one thread.
# ```
#
# ## In five lines
#
# - Muse says masked words from the others (2), under a share of masks drawn from a cosine (1), keeps the surest (4) and masks fewer each time (5).
# - Side by side, words lose what they tell about each other: their mutual information.
# - CM3Leon writes captions and pictures as one stream (8); a part that moves to the end (7) gives infilling, captions, and the untold prediction. Whether captions look at the picture is asked above.
# - Guidance (3), (9) and contrastive decoding (10), (11) exaggerate what the prompt changes.
# - A second stage (6) writes fine words beside coarse ones; the claims above say what order, guidance, stages and the number of looks did in this run, and what a looked-up picture does.
#
# ## Limits, and what to read next
#
# Small pictures and transformers, one training of each: intervals are over prompts, not over trainings. Muse and CM3Leon were trained for as many steps, but a step of CM3Leon learns the
# caption as well, and Muse is given a text encoder that was trained before to tell the facts of prompts. The two stages share the steps of one; what more steps would change for them, or
# for the captions, is not measured. A fifth of CM3Leon's documents have the caption moved, and training shows pictures with one polyp twice. Muse draws its words at temperature one, as
# MaskGIT does {cite}`chang2022maskgit`, while CM3Leon's temperature is searched; and its guidance is one number in all looks, where the paper lets it grow {cite}`chang2023muse`. The
# reader was trained on real drawings, so what it reads off torn or blurred ones is less certain. Looked-up pictures are not judged apart on prompts whose words no training prompt has.
# Both have one learning rate, which was searched for neither. Nothing is retrieved, as it is in the paper of CM3Leon {cite}`yu2023cm3leon`, and there is no stage of instructions. All
# prompts follow templates. {cite:t}`chang2022maskgit` has the decoding without text.

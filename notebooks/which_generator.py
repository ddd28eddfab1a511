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
# # Which generator? Kandinsky's prior, and four families on the same prompts
#
# **A narrow domain, a few thousand pictures with captions, one budget. Which kind of text-to-image model should be trained?**
#
# Four kinds are on offer. [Latent diffusion](latent_diffusion.ipynb) takes noise out of a code and looks at the words while it does. [Muse and CM3Leon](muse.ipynb) write a picture in tokens,
# all at once or one by one. Kandinsky {cite}`razzhigaev2023kandinsky` goes through a third thing, the *embedding of a picture*: a prior turns the text's embedding into one, and a decoder,
# which knows pictures alone, paints it. unCLIP {cite}`ramesh2022unclip` did so before.
#
# The first half of this chapter is about that prior. The authors of Kandinsky report their lowest Fréchet distance with a prior that is nothing but a linear map
# {cite}`razzhigaev2023kandinsky`. What does a diffusion prior add? The second half is the contest: same pictures and prompts to learn from, same prompts to draw, same judge, and beside each
# row what it cost. A fifth row draws nothing: it looks up the training picture whose prompt is nearest.
#
# After this chapter you can derive the linear prior and what it leaves open, write a diffusion prior that begins where the linear one ends, and say what a contest of generators holds equal
# and what it cannot. You need noise levels and guidance from [latent diffusion](latent_diffusion.ipynb). Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 3  # trainings of the prior
steps: int | None = None  # of each of them
pictures: int | None = None  # of the test of the priors
prompts: int | None = None  # of the contest
starts: int = 1  # pictures for each prompt of the contest

# %% tags=["hide-input"]
import copy
import itertools
import time

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cosine_similarity, mse_loss

from mmlab import fit, generator
from mmlab.bases.colonoscopy import (
    ROUNDS,
    TRAINING,
    VAE,
    text_settings,
    text_stage,
    tokenizer,
)
from mmlab.bases.colonoscopy_tokens import PerceptualStage
from mmlab.bases.findings_reader import findings_reader, labels
from mmlab.bases.generators import (
    LENGTH_OF_EMBEDDING,
    ROUNDS_OF_DECODER,
    STAGES,
    generators,
)
from mmlab.bases.stages import FirstStage, TextStage
from mmlab.bases.token_family import STEPS, token_lessons
from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.intervals import decide
from mmlab.compare.seeds import over_seeds
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import colonoscopy_world
from mmlab.method import Method
from mmlab.methods.kandinsky_prior import (
    KandinskyPrior,
    cosine_levels,
    gaussian_denoiser,
    linear_prior,
    perturb,
    posterior_step,
)
from mmlab.metrics.faithfulness import faithfulness, hits
from mmlab.metrics.frechet import frechet_bias, frechet_distance
from mmlab.metrics.kernel_distance import squared_mmd
from mmlab.metrics.transport import conditional_energy_distance
from mmlab.viz import claim, frames, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import in_rows
from mmlab.viz.theme import image_rows, use_theme

use_theme()
steps = steps or {"cpu": 300, "gpu": 3000}[profile]
pictures = pictures or {"cpu": 320, "gpu": 2000}[profile]
prompts = prompts or {"cpu": 64, "gpu": 300}[profile]
SEARCH = 16  # prompts of the search for settings
WIDTH = 16  # principal components of the Fréchet distance

# %% [markdown]
# ## Two embeddings
#
# The text's embedding $y$ is the last state of a small text encoder that was trained before, without pictures, to tell which facts a prompt states. The picture's $e$ are the first principal
# components of the last features of a network that has learnt the facts of other drawings ({py:func}`~mmlab.bases.colonoscopy_tokens.perceptual_network`). It is not the network that judges
# below. CLIP learns both embeddings at once, so that they meet in one space; the prior does not need that.

# %% tags=["hide-input"]
# Code of the drawing
show(
    in_rows(
        [
            {"text": "text"},
            {"y": "embedding $y$"},
            {"prior": "prior, (1) or (6)"},
            {"e": "embedding $e$"},
            {"decoder": "decoder"},
            {"made": "picture"},
        ],
        [("text", "y"), ("y", "prior"), ("prior", "e"), ("e", "decoder"), ("decoder", "made")],
        trained=["prior", "decoder"],
    ),
    alt="Boxes in a row: a text becomes an embedding, the prior makes a picture's embedding of it, and the decoder a picture.",
    caption="Two stages that are trained apart. In training the decoder sees embeddings of real pictures, afterwards those of the prior.",
)  # fmt: skip

# %%
four = generators()
reader = findings_reader()
embed = four.embed
worlds = {
    "train": four.world,
    "validation": colonoscopy_world(min(200, pictures), seed=78),
    "test": colonoscopy_world(pictures, seed=77),
}
told = {name: [p.told for p in w.prompts] for name, w in worlds.items()}
ids = {
    name: encode_prompts([p.text for p in w.prompts], tokenizer())
    for name, w in worlds.items()
}
shown_rows, lesson_ids = token_lessons(four.world)
frozen = text_stage(four.world).text_encoder


@torch.no_grad()
def last_state(encoder, ids):
    """The state behind the last word of prompts (N, T), (N, D); each different prompt is read once."""
    different, row = ids.unique(dim=0, return_inverse=True)
    parts = [
        encoder(input_ids=part).last_hidden_state[:, -1]
        for part in different.split(512)
    ]
    return torch.cat(parts)[row]


y = {name: last_state(frozen, i) for name, i in ids.items()}
e = {name: embed(w.pictures) for name, w in worlds.items()}
taught = {"source": last_state(frozen, lesson_ids), "target": e["train"][shown_rows]}  # fmt: skip
say(
    f"A text is {y['train'].shape[1]} numbers and a picture {LENGTH_OF_EMBEDDING}, with {embed.kept:.0%} of the variance of its features. All generators and priors of this chapter learn from {len(four.world)} pictures; the autoencoder, the network that makes $e$ and the judge learnt from others."
)

# %% [markdown]
# ## First a linear map
#
# The simplest prior expects $e$ by a linear map of $y$, with a ridge penalty that is chosen by leave-one-out:
#
# $$\mu(y) = W^\top y + b . \tag{1}$$
#
# What it leaves open has the covariance $S$ of the residuals. If both embeddings were jointly Gaussian, the law of pictures given a text would be known completely,
#
# $$e \mid y \sim \mathcal N\bigl(\mu(y), S\bigr), \tag{2}$$
#
# and a draw from it would be all that a prior can do. But then $S$ is the same for every text, and has one peak. *One polyp* leaves open in which of five places it lies, and the mean
# of five places is none of them.

# %%
linear = linear_prior(taught["source"], taught["target"])
left_open = linear.covariance.trace() / taught["target"].var(0).sum()
say(
    f"By a linear map the text tells {1 - left_open:.0%} of the variance of the training embeddings; {left_open:.0%} stay open. Most texts in training tell everything about their picture; those of validation and test tell a part."
)

# %% [markdown]
# ## Then diffusion, from where the linear map ends
#
# Embeddings are noised with a schedule that leaves the share $\bar\alpha_t$ of their variance, here by squared cosines:
#
# $$\bar\alpha_t = \prod_{s \le t} (1 - \beta_s), \qquad 1 - \beta_s = \frac{c(s+1)}{c(s)}, \quad c(s) = \cos^2\Bigl(\frac{\pi}{2} \cdot \frac{s/T + \delta}{1 + \delta}\Bigr), \tag{3}$$
#
# with a small $\delta$ and no $\beta$ beyond 0.999, and
#
# $$e_t = \sqrt{\bar\alpha_t}\, e + \sqrt{1 - \bar\alpha_t}\, \varepsilon . \tag{4}$$
#
# The network predicts the embedding itself, not the noise {cite}`ramesh2022unclip`. For the Gaussian (2) the expected embedding is known: in the eigenbasis of $S$, for each eigenvalue $v$,
#
# $$\mathbb E[e \mid e_t, y] = \mu + \frac{\sqrt{\bar\alpha_t}\, v}{\bar\alpha_t v + 1 - \bar\alpha_t}\,\bigl(e_t - \sqrt{\bar\alpha_t}\, \mu\bigr) . \tag{5}$$
#
# It is linear in $e_t$. So our prior $f$ is (5) plus a network whose last layer starts at zero: untrained, it draws (2), up to the steps of the sampler. It is trained by
#
# $$L = \mathbb E\, \bigl\lVert f(e_t, t, y) - e \bigr\rVert^2 , \tag{6}$$
#
# with no text ($\varnothing$) in a tenth of the cases, for guidance with a scale $g$:
#
# $$\tilde f = f(\varnothing) + g\,\bigl(f(y) - f(\varnothing)\bigr) . \tag{7}$$
#
# A step of the sampler draws $e_s$, $s < t$, given $e_t$ and the expected embedding, from the Gaussian with, for $\kappa = \bar\alpha_t / \bar\alpha_s$,
#
# $$\text{mean} = \frac{\sqrt{\bar\alpha_s}\,(1 - \kappa)}{1 - \bar\alpha_t}\, f + \frac{\sqrt{\kappa}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, e_t, \qquad \text{variance} = \frac{(1 - \bar\alpha_s)(1 - \kappa)}{1 - \bar\alpha_t} . \tag{8}$$

# %%
levels = cosine_levels(1000)
S, mu = torch.tensor([[2.0, 0.3], [0.3, 0.1]]), torch.tensor([[1.0, -1.0]])
values, vectors = torch.linalg.eigh(S)
draws = mu + torch.randn(20_000, 2, generator=generator(0)) @ torch.linalg.cholesky(S).T  # fmt: skip
now, then = levels[500], levels[250]
noised = perturb(draws, torch.randn(draws.shape, generator=generator(1)), now)
expected = gaussian_denoiser(noised, mu, vectors, values, now)
back = posterior_step(noised, expected, now, then, torch.randn(draws.shape, generator=generator(2)))  # fmt: skip
missed, wide = (expected - draws).var(0), back.var(0)
say(
    f"A Gaussian of two numbers with variances {S[0, 0]:.2f} and {S[1, 1]:.2f}. At $t = 500$ of 1000, (5) is wrong by {missed[0]:.2f} and {missed[1]:.2f} (variances). "
    f"One step by (8) to $t = 250$ has the variances {wide[0]:.3f} and {wide[1]:.3f}; the law there has "
    f"{float(then * S[0, 0] + 1 - then):.3f} and {float(then * S[1, 1] + 1 - then):.3f}: a large step has less, because it puts the expected embedding for the embedding."
)

# %% [markdown]
# ## A mean, a draw, or the right draw?
#
# | row | what it is |
# | --- | --- |
# | linear, mean | (1): the same embedding each time |
# | linear prior | a draw from (2) |
# | untrained prior | the diffusion prior before training, which is (2) in the sampler's few steps: what these do, without what is learnt |
# | diffusion prior | trained by (6) |
# | guided | the same with (7), at that scale beyond 1 that shows most facts on validation prompts |
# | nearest text | no model: the picture of the training prompt whose embedding is nearest, of equally near ones a random one; it is its own nearest picture |
#
# *cosine*, with the embedding of the real picture, asks for one good guess, as a CLIP score does. *energy* is the energy distance between the laws given the text
# ({py:func}`~mmlab.metrics.transport.conditional_energy_distance`) and asks for the whole law; *energy, open* is that of prompts that tell at most three facts. *facts* is the share of what
# the prompt tells that is true of the training picture whose embedding is nearest. The learning rate is chosen on validation prompts by the energy distance.

# %%
FITTING = {"batch_size": 128, "schedule": "cosine", "warmup": 20, "progress": False}  # fmt: skip
RATES, SCALES, LOOKS = (1e-3, 3e-3), (1.0, 2.0, 4.0), 8
LOOKS_OF_PRIOR = 16  # they are cheap
lessons = TensorData(taught)
known_facts = [scene.facts() for scene in four.world.scenes]


def energy(found, name, rows=slice(None)):
    return conditional_energy_distance(found[rows], e[name][rows], y[name][rows])


def told_and_true(found, name):
    """Share of what each prompt tells that is true of the training picture nearest to an embedding, (N,)."""
    near = torch.cdist(found, e["train"]).argmin(1).tolist()
    true = hits([known_facts[row] for row in near], told[name])
    return np.nanmean(np.stack(list(true.values())), axis=0)


def trained(seed, lr, count=steps):
    prior = KandinskyPrior.seeded(seed, y["train"].shape[1], LENGTH_OF_EMBEDDING, width=128)  # fmt: skip
    if count:
        fit(prior, lessons, steps=count, lr=lr, seed=seed, **FITTING)
    else:
        prior.start_from(lessons)
    return prior.cpu().eval()


def drawn_by(prior, text, seed, guidance=1.0):
    return prior.sample(
        text, steps=LOOKS_OF_PRIOR, guidance=guidance, rng=generator(seed)
    )


by_rate = {
    lr: energy(drawn_by(trained(100, lr), y["validation"], 5), "validation")
    for lr in RATES
}
rate = min(by_rate, key=by_rate.get)
priors, untrained = [trained(s, rate) for s in range(seeds)], trained(0, rate, 0)
by_scale = {
    g: told_and_true(
        drawn_by(priors[0], y["validation"], 5, g), "validation"
    ).mean()
    for g in SCALES
}
scale = max((g for g in SCALES if g != 1.0), key=by_scale.get)


def nearest_text(of, seed):
    """Rows of training pictures whose prompts are nearest to texts (N, D); of equally near ones random ones."""
    near = torch.cdist(of, y["train"])
    equal = near <= near.min(1, keepdim=True).values + 1e-3
    return (equal * (1 + torch.rand(near.shape, generator=generator(seed)))).argmax(1)  # fmt: skip


WAYS = {
    "linear, mean": lambda s: linear.expect(y["test"]),
    "linear prior": lambda s: linear.sample(y["test"], generator(50 + s)),
    "untrained prior": lambda s: drawn_by(untrained, y["test"], 50 + s),
    "diffusion prior": lambda s: drawn_by(priors[s], y["test"], 50 + s),
    "guided": lambda s: drawn_by(priors[s], y["test"], 50 + s, scale),
    "nearest text": lambda s: e["train"][nearest_text(y["test"], 50 + s)],
    "real": lambda s: e["test"],
}
made = {(n, s): way(s) for n, way in WAYS.items() for s in range(seeds)}
open_rows = torch.tensor([len(facts) <= 3 for facts in told["test"]])
true_facts = {key: told_and_true(found, "test") for key, found in made.items()}
frame = pd.DataFrame(
    {
        "method": name,
        "seed": s,
        "cosine": float(cosine_similarity(found, e["test"]).mean()),
        "energy": energy(found, "test"),
        "energy, open": energy(found, "test", open_rows),
        "facts": true_facts[name, s].mean(),
    }
    for (name, s), found in made.items()
)

# %% tags=["hide-input"]
say(
    "On validation prompts: energy distance by learning rate, "
    + ", ".join(f"{lr:g}: {v:.3f}" for lr, v in by_rate.items())
    + "; facts by guidance, "
    + ", ".join(f"{g:g}: {v:.2f}" for g, v in by_scale.items())
    + f". *guided* takes {scale:g}."
)
table_over_seeds(
    frame,
    f"Embeddings for {pictures} test prompts, {int(open_rows.sum())} of them open. *real* is the embedding of the prompt's own picture.",
    best={"cosine": "higher", "energy": "lower", "energy, open": "lower", "facts": "higher"},
    reference=["real"],
)  # fmt: skip
runs = over_seeds(frame)
record(prior=runs.mean.round(4).to_dict("index"))
law = {"direction": "lower", "digits": 3}


def of(name, what):
    return runs.values.loc[name][what]


claim(
    "energy-distance-where-facts-are-open-vs-linear-prior", of("diffusion prior", "energy, open"), of("linear prior", "energy, open"), **law,
    better="- Where facts are open, the diffusion prior is nearer to the law of pictures than the linear one, {ours} against {theirs}.",
    worse="- Where facts are open, the linear prior is nearer to the law of pictures than the diffusion prior, {theirs} against {ours}.",
    undecided="- Where facts are open, the diffusion prior ({ours}) and the linear one ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "prior-energy-few-steps", of("untrained prior", "energy, open"), of("linear prior", "energy, open"), **law,
    better="- The sampler's few steps alone, before any training, are nearer than the linear prior, {ours} against {theirs}.",
    worse="- The sampler's few steps alone, before any training, are further away than the linear prior, {ours} against {theirs}.",
    undecided="- The sampler's few steps alone, before any training ({ours}), and the linear prior ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "energy-distance-where-facts-are-open-vs-untrained-prior", of("diffusion prior", "energy, open"), of("untrained prior", "energy, open"), **law,
    better="- Training brings it nearer, from {theirs} to {ours}.",
    worse="- Training takes it further away, from {theirs} to {ours}.",
    undecided="- Before training ({theirs}) and after ({ours}) cannot be told apart.",
)  # fmt: skip
claim(
    "prior-energy-nearest-text", of("diffusion prior", "energy, open"), of("nearest text", "energy, open"), **law,
    better="- It is nearer than the pictures of the nearest text, {ours} against {theirs}.",
    worse="- The pictures of the nearest text are nearer still, {theirs} against {ours}: in this world a lookup has the better law.",
    undecided="- It ({ours}) and the pictures of the nearest text ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "prior-cosine-linear-mean", of("diffusion prior", "cosine"), of("linear, mean", "cosine"), direction="higher", digits=3,
    better="- By cosine a draw of the diffusion prior is the better guess than the linear mean, {ours} against {theirs}.",
    worse="- By cosine the linear mean is the better guess, {theirs} against {ours}: whoever is judged so should give the mean.",
    undecided="- By cosine a draw of the diffusion prior ({ours}) and the linear mean ({theirs}) cannot be told apart.",
)  # fmt: skip
by_prompt = {"over": "items", "called": "prompts", "unit": "%", "direction": "higher"}  # fmt: skip


def mean_facts(name):
    return np.mean([true_facts[name, s] for s in range(seeds)], axis=0)


claim(
    "guided-facts-linear-mean", mean_facts("guided"), mean_facts("linear, mean"), **by_prompt,
    better="- The picture nearest to a guided draw has more of what was told than the one nearest to the linear mean, {ours} against {theirs}.",
    worse="- The picture nearest to the linear mean has more of what was told than the one nearest to a guided draw, {theirs} against {ours}.",
    undecided="- Of what was told, the pictures nearest to a guided draw ({ours}) and to the linear mean ({theirs}) have no amounts that could be told apart.",
)  # fmt: skip

# %% [markdown]
# ## Which text encoder?
#
# The linear prior is solved in a moment, so it can be asked again for other readings of the prompt. *Tuned with pictures* is the same encoder after it was trained together with the U-Net of
# latent diffusion. *Tuned for the prior* goes on learning here, with a linear layer behind it, to expect $e$; its learning rate is chosen on validation prompts. A *bag of words* counts the
# words, in no order. *Untrained* has random weights. For each, (1) is solved anew.


# %%
class Reading(Method):
    """A text encoder and a linear map that expect the embedding of the picture."""

    def __init__(self, encoder, length):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.head = nn.Linear(encoder.config.hidden_size, length)

    def loss(self, batch, rng):
        state = self.encoder(input_ids=batch["input_ids"]).last_hidden_state[:, -1]
        return {"loss": mse_loss(self.head(state), batch["image"])}


used = lesson_ids.unique()


def bag(ids):
    """How often each word of the lessons stands in prompts (N, T), (N, V)."""
    return (ids[:, :, None] == used).sum(1).float()


def solved(read):
    return linear_prior(read(lesson_ids), taught["target"])


def tuned(lr):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = Reading(frozen, LENGTH_OF_EMBEDDING)
    data = TensorData({"input_ids": lesson_ids, "image": taught["target"]})
    fit(method, data, steps=max(2, steps // 4), lr=lr, **FITTING | {"batch_size": 64})  # fmt: skip
    return method.encoder.cpu().eval()


def by_states(encoder):
    return lambda ids: last_state(encoder, ids)


def missed_by(read, name="validation"):
    return float((solved(read).expect(read(ids[name])) - e[name]).square().mean())


adapted = min(map(tuned, RATES), key=lambda enc: missed_by(by_states(enc)))
blank = TextStage.seeded(0, text_settings(), {"number": 4}).text_encoder.eval()
READINGS = {
    "frozen": by_states(frozen),
    "tuned with pictures": by_states(four.latent[-1].text_encoder),
    "tuned for the prior": by_states(adapted),
    "bag of words": bag,
    "untrained": by_states(blank),
}
guess = {n: solved(read).expect(read(ids["test"])) for n, read in READINGS.items()}  # fmt: skip
by_reading = {name: told_and_true(found, "test") for name, found in guess.items()}
spread = (e["test"] - e["test"].mean(0)).square().mean()

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {
            name: {
                "numbers": READINGS[name](ids["test"][:1]).shape[1],
                "variance explained": float(
                    1 - (found - e["test"]).square().mean() / spread
                ),
                "facts": by_reading[name].mean(),
            }
            for name, found in guess.items()
        }
    ).T,
    f"The linear prior's mean on {pictures} test prompts, by what reads the prompt.",
    digits={"numbers": 0, "variance explained": 3, "facts": 3},
)
for name, tag in (
    ("tuned with pictures", "tuned-with-pictures"),
    ("tuned for the prior", "tuned-for-the-prior"),
    ("bag of words", "bag-of-words"),
    ("untrained", "untrained"),
):
    claim(
        f"reading-facts-{tag}-frozen", by_reading[name], by_reading["frozen"], **by_prompt, who=name,
        better="- *{who}* finds more of what was told than *frozen*, {ours} against {theirs}.",
        worse="- *{who}* finds less of what was told than *frozen*, {ours} against {theirs}.",
        undecided="- *{who}* ({ours}) and *frozen* ({theirs}) cannot be told apart in what was told.",
    )  # fmt: skip

# %% [markdown]
# ## The contest
#
# Kandinsky's decoder is latent diffusion that is given $e$ in place of words: the same U-Net on the same codes, trained as in the first round of latent diffusion, and then in half of a last
# round ({py:class}`~mmlab.bases.embedding_decoder.EmbeddingDecoder`). Nobody told it a caption. All rows draw the same prompts, and each that draws had the same search: six settings, one
# start each, on prompts that are not those of the test. Latent diffusion, decoder and Muse look at their networks equally often for a picture, and CM3Leon once for each token.
#
# | row | what it is |
# | --- | --- |
# | latent diffusion | the base of this part |
# | Kandinsky | diffusion prior, that of the first seed, and decoder |
# | Kandinsky, linear prior | (1) and the decoder |
# | Kandinsky, nearest text | no prior: the embedding of a training picture with the nearest prompt, and the decoder |
# | Muse, CM3Leon | tokens, all at once or one by one |
# | nearest training picture | looked up by the words of its prompt: nothing is drawn |
# | real, and through ... | the test prompts' own pictures; through each first stage, and through the decoder from their own embeddings |

# %%
text_of = {part: ids[part] for part in ("validation", "test")}
few = {"validation": min(SEARCH, pictures), "test": prompts}
LATENT = {"steps": LOOKS}


def with_latent(ids, seed, guidance, model=four.latent[-1]):
    return model.sample(ids, guidance=guidance, rng=generator(seed), **LATENT)


def painted(found, seed, guidance, decoder=four.decoders[-1]):
    return decoder.sample(found, guidance=guidance, rng=generator(1000 + seed), **LATENT)  # fmt: skip


def with_kandinsky(ids, seed, guidance, prior, **more):
    found = drawn_by(priors[0], last_state(frozen, ids), seed, prior)
    return painted(found, seed, guidance, **more)


def with_linear(ids, seed, guidance):
    return painted(linear.expect(last_state(frozen, ids)), seed, guidance)


def with_nearest(ids, seed, guidance):
    rows = nearest_text(last_state(frozen, ids), seed)
    return painted(e["train"][rows], seed, guidance)


def with_muse(ids, seed, **how):
    return four.tokenizer.decode(four.muse.sample(ids, steps=LOOKS, rng=generator(seed), **how))  # fmt: skip


def with_leon(ids, seed, **how):
    return four.tokenizer.decode(four.cm3leon.sample(ids, rng=generator(seed), **how))  # fmt: skip


def tries(**values):
    """All combinations, by name."""
    return [dict(zip(values, v, strict=True)) for v in itertools.product(*values.values())]  # fmt: skip


SIX = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
FAMILIES = ("latent diffusion", "Kandinsky", "Muse", "CM3Leon")
DRAWS = {
    "latent diffusion": (with_latent, tries(guidance=SIX)),
    "Kandinsky": (with_kandinsky, tries(prior=SCALES, guidance=(1.0, 2.0))),
    "Muse": (with_muse, tries(guidance=(1.5, 3.0, 6.0), temperature=(1.0, 4.0))),
    "CM3Leon": (with_leon, tries(guidance=(1.5, 3.0, 6.0), temperature=(0.5, 1.0))),
    "Kandinsky, linear prior": (with_linear, tries(guidance=SIX)),
    "Kandinsky, nearest text": (with_nearest, tries(guidance=SIX)),
}  # fmt: skip


def facts_shown(x, against):
    """Share of what each prompt tells that its picture shows, (B,)."""
    read = hits(reader.read(x), against)
    return np.nanmean(np.stack(list(read.values())), axis=0)


def asked(part):
    return text_of[part][: few[part]], told[part][: few[part]]


found = {}
for name, (draw, settings) in DRAWS.items():
    questions, answers = asked("validation")
    found[name] = sorted(
        (
            (facts_shown(draw(questions, 9, **how), answers).mean(), i)
            for i, how in enumerate(settings)
        ),
        reverse=True,
    )
best = {name: DRAWS[name][1][tried[0][1]] for name, tried in found.items()}

# %% tags=["hide-input"]
table(
    pd.DataFrame(
        {
            name: {
                "settings": ", ".join(f"{k} {v:g}" for k, v in best[name].items()),
                "facts": tried[0][0],
                "facts, lowest of the tries": tried[-1][0],
            }
            for name, tried in found.items()
        }
    ).T,
    f"Of six tries each, the one whose pictures show most of what {few['validation']} prompts tell, and what those show that show least. *prior* is the guidance of the prior.",
    digits=2,
)

# %%
questions, answers = asked("test")
drawn, per_picture = {}, {}
for name, (draw, _) in DRAWS.items():
    began = time.process_time()
    drawn[name] = [draw(questions, s, **best[name]) for s in range(starts)]
    per_picture[name] = (time.process_time() - began) / starts / prompts

shorter = {f"latent diffusion, round {i + 1}": (with_latent, "latent diffusion", {"model": m}) for i, m in enumerate(four.latent[:-1])}  # fmt: skip
shorter["Kandinsky, decoder's round 1"] = (with_kandinsky, "Kandinsky", {"decoder": four.decoders[0]})  # fmt: skip
for name, (draw, like, more) in shorter.items():
    drawn[name] = [draw(questions, s, **best[like], **more) for s in range(starts)]


def words_of(text):
    return set(text.lower().strip(".").split())


known_words = [words_of(p.text) for p in four.world.prompts]
nearness = np.array(
    [
        [len(mine & w) / len(mine | w) for w in known_words]
        for mine in (words_of(p.text) for p in worlds["test"].prompts[:prompts])
    ]
)  # (prompts, training pictures)


def looked_up(seed):
    rng = np.random.default_rng(seed)
    rows = [rng.choice(np.flatnonzero(near == near.max())) for near in nearness]
    return four.world.pictures[torch.tensor(rows)]


LOOKED_UP = "nearest training picture"
drawn[LOOKED_UP] = [looked_up(s) for s in range(starts)]
real, autoencoder = worlds["test"].pictures[:prompts], four.latent[-1]
drawn["real"] = [real]
with torch.no_grad():
    drawn["real, through the autoencoder"] = [autoencoder.decode(autoencoder.encode(real))]  # fmt: skip
drawn["real, through the tokens"] = [four.tokenizer.decode(four.tokenizer.encode(real))]  # fmt: skip
drawn["real, through the decoder"] = [
    painted(e["test"][:prompts], s, best["Kandinsky"]["guidance"])
    for s in range(starts)
]
REFERENCE = [name for name in drawn if name.startswith("real")]
read = {name: [reader.read(x) for x in runs] for name, runs in drawn.items()}
others = worlds["test"].pictures[prompts // 2 :] if pictures <= prompts else worlds["test"].pictures[prompts:]  # fmt: skip


def shares(name, against=answers):
    """Share of what is told that is shown, mean over starts, one for each prompt."""
    every = [np.stack(list(hits(r, against).values())) for r in read[name]]
    return np.mean([np.nanmean(one, axis=0) for one in every], axis=0)


@torch.no_grad()
def distances(name):
    """From other real pictures, by the reader's features: Fréchet above its floor, and kernel distance."""
    ours, theirs = reader.embed(torch.cat(drawn[name])), reader.embed(others)
    axes = torch.linalg.eigh(torch.cov(theirs.T))[1][:, -WIDTH:]
    x, y = ours @ axes, theirs @ axes
    floor = frechet_bias(torch.cov(y.T), len(x), len(y))
    return frechet_distance(x, y, rank_deficient=True) - floor, squared_mmd(ours, theirs)  # fmt: skip


def to_nearest(name):
    """Root mean square distance of pixels to the nearest training picture, mean over starts, one for each prompt."""
    flat = four.world.pictures.flatten(1)
    every = [torch.cdist(x.flatten(1), flat).min(1).values for x in drawn[name]]
    return (torch.stack(every).mean(0) / flat.shape[1] ** 0.5).numpy()


# %% tags=["hide-input"]
# Code of the table and the figure
FACTS = ("presence", "number", "position", "all")
turned = [answers[i] for i in np.roll(np.arange(prompts), prompts // 2)]
rows = {}
for name in drawn:
    single = [faithfulness(r, answers) for r in read[name]]
    frechet, kernel = distances(name)
    rows[name] = {
        "facts": shares(name).mean(),
        **{f: np.mean([one.get(f, np.nan) for one in single]) for f in FACTS},
        "FD-reader": frechet,
        "KD-reader": kernel,
        "to nearest": to_nearest(name).mean(),
    }
for name in FAMILIES:
    rows[f"{name}, shuffled prompts"] = {"facts": shares(name, turned).mean()}
table(
    pd.DataFrame(rows).T,
    f"{prompts} prompts, {starts} {'start' if starts == 1 else 'starts'} each, one for *real* and its first stages. *facts*: mean share of what is told that is shown, with *all* for everything at once. Whole sets against {len(others)} other real pictures, by the reader's features: *FD-reader*, Fréchet distance of their {WIDTH} first principal components minus the floor of sets of these sizes, and *KD-reader*, kernel distance of all; less is nearer, and below zero is chance. *to nearest*: distance of pixels to the nearest training picture.",
    reference=REFERENCE,
    digits=2,
)
record(contest={name: {k: round(float(v), 4) for k, v in row.items() if np.isfinite(v)} for name, row in rows.items()})  # fmt: skip
most = [int(i) for i in np.argsort([-len(facts) for facts in answers])[:6]]
pictured = ("real", LOOKED_UP, *FAMILIES, "Kandinsky, linear prior")
show(
    image_rows({name: [drawn[name][0][i].clamp(-1, 1) / 2 + 0.5 for i in most] for name in pictured}),
    alt="Six test prompts in columns; in rows "
    + ", ".join(f"{name} (facts shown over all prompts: {rows[name]['facts']:.0%})" for name in pictured)
    + ".",
    caption="The prompts that tell most: " + "; ".join(worlds["test"].prompts[i].text.removeprefix("Generate an image with ").rstrip(".") for i in most) + ".",
    label="drawn",
)  # fmt: skip

# %% [markdown]
# ## What did each row cost?
#
# Nobody can hold everything equal: the first stages differ, and a step of a transformer is no step of a U-Net. So it is measured. Each network is trained for a few steps more, on a copy, and
# the seconds of a step are multiplied by the number of steps that it was given. *before* is what came first: autoencoder or tokenizer, the network behind $e$, and the text encoder, which
# CM3Leon does without.


# %%
def seconds_of_a_step(method, data, more=2, **settings):
    """CPU seconds of one step of training, as a difference, so that what comes once does not count."""

    def took(count):
        began = time.process_time()
        fit(copy.deepcopy(method), data, steps=count, progress=False, **settings)
        return time.process_time() - began

    once = took(1)
    return max(took(1 + more) - once, 0.0) / more


taken = slice(0, 96)
x, scenes = four.world.pictures[taken], four.world.scenes[taken]
facts_there = labels(scenes)
tokens, some_ids = four.tokenizer.encode(x), lesson_ids[taken]
with torch.no_grad():
    moments = autoencoder.moments(x)
    states = four.muse.read(some_ids)
unet = {"batch_size": TRAINING["batch_size"], "ema_decay": TRAINING["ema_decay"]}
MEASURED = {
    "autoencoder": (FirstStage.seeded(0, VAE), {"image": x}, {"batch_size": 8}),
    "tokenizer": (four.tokenizer, {"image": x}, {"batch_size": 16}),
    "perceptual": (PerceptualStage.seeded(0), {"image": x, **facts_there}, {"batch_size": 32}),
    "text": (TextStage.seeded(0, text_settings(), {"number": 4}), {"input_ids": some_ids, "number": facts_there["number"]}, {"batch_size": 64}),
    "latent diffusion": (four.latent[0], {"input_ids": some_ids, "moments": moments}, unet),
    "decoder": (four.decoders[0], {"embedding": e["train"][taken], "moments": moments}, unet),
    "prior": (priors[0], {name: part[:128] for name, part in taught.items()}, {"batch_size": 128}),
    "Muse": (four.muse, {"states": states, "tokens": tokens}, {"batch_size": 32}),
    "CM3Leon": (four.cm3leon, {"input_ids": some_ids, "tokens": tokens}, {"batch_size": 32}),
}  # fmt: skip
a_step = {name: seconds_of_a_step(m, TensorData(data), **how) for name, (m, data, how) in MEASURED.items()}  # fmt: skip
AFTER = np.cumsum([part["steps"] for part in ROUNDS]).tolist()  # latent diffusion
AFTER_DECODER = np.cumsum([part["steps"] for part in ROUNDS_OF_DECODER]).tolist()
BEFORE = {
    "latent diffusion": ("autoencoder", "text"),
    "Kandinsky": ("autoencoder", "perceptual", "text"),
    "Muse": ("tokenizer", "perceptual", "text"),
    "CM3Leon": ("tokenizer", "perceptual"),
}
PARTS = {
    "latent diffusion": {"latent diffusion": AFTER[-1]},
    "Kandinsky": {"prior": steps, "decoder": AFTER_DECODER[-1]},
    "Muse": {"Muse": STEPS["muse"]},
    "CM3Leon": {"CM3Leon": STEPS["cm3leon"]},
    "Kandinsky, linear prior": {"decoder": AFTER_DECODER[-1]},
    "Kandinsky, nearest text": {"decoder": AFTER_DECODER[-1]},
    "Kandinsky, decoder's round 1": {"prior": steps, "decoder": AFTER_DECODER[0]},
}
PARTS |= {f"latent diffusion, round {i + 1}": {"latent diffusion": n} for i, n in enumerate(AFTER[:-1])}  # fmt: skip


def family_of(name):
    return name.split(",")[0]


def trainable(part):
    return sum(p.numel() for p in MEASURED[part][0].parameters() if p.requires_grad)


def training_seconds(name):
    return sum(count * a_step[part] for part, count in PARTS[name].items())


def seconds_before(name):
    return sum(STAGES[stage] * a_step[stage] for stage in BEFORE[family_of(name)])


def spent_on(name):
    if name not in PARTS:
        return Spent()
    settings = DRAWS[name if name in DRAWS else family_of(name)][1]
    return Spent(
        sum(PARTS[name].values()),
        sum(map(trainable, PARTS[name])),
        tuple(k for k in settings[0] if len({how[k] for how in settings}) > 1),
        len(settings) if name in DRAWS else 1,
    )


budgets = Budgets("Kandinsky", {name: spent_on(name) for name in (*PARTS, LOOKED_UP)})  # fmt: skip
costs = pd.DataFrame(
    {
        name: {
            "facts": rows[name]["facts"],
            "training": training_seconds(name),
            "before": seconds_before(name),
            "milliseconds a picture": 1000 * per_picture.get(name, np.nan),
        }
        for name in PARTS
    }
).T
table(
    costs.join(budgets.columns()),
    f"What each row took, in CPU seconds on one thread of this run: *training* its own networks, and the stages *before*. A picture's milliseconds include its decoder. Rows of a shorter training take the settings that were found for the full one. The lookup trains nothing and shows {rows[LOOKED_UP]['facts']:.2f} of the facts.",
    digits={"facts": 2, "training": 0, "before": 0, "milliseconds a picture": 1},
    budgets=budgets,
)  # fmt: skip
record(budget=budgets.plain())
whole = {name: training_seconds(name) + seconds_before(name) for name in FAMILIES}
say(
    "Seconds of training with the stages before, from the least: "
    + ", ".join(f"{n} {whole[n]:.0f}" for n in sorted(whole, key=whole.get))
    + ". Milliseconds a picture: "
    + ", ".join(f"{n} {1000 * per_picture[n]:.0f}" for n in sorted(whole, key=per_picture.get))
    + "."
)  # fmt: skip
record(seconds={name: round(v, 1) for name, v in whole.items()})

# %% tags=["hide-input"]
# Code of the figure
figure = Figure(figsize=(6.4, 3.2))
axes = figure.subplots()
for colour, name in enumerate(FAMILIES):
    points = sorted((training_seconds(n) + seconds_before(n), rows[n]["facts"]) for n in PARTS if family_of(n) == name and "prior" not in n and "text" not in n)  # fmt: skip
    axes.plot(*zip(*points, strict=True), "o-", color=f"C{colour}", label=name)
axes.axhline(rows[LOOKED_UP]["facts"], color="0.5", ls="--", label=LOOKED_UP)
axes.set(xlabel="CPU seconds of training, stages before included", ylabel="facts shown")  # fmt: skip
axes.legend(fontsize=8)
show(
    figure,
    alt="Facts shown against CPU seconds of training: "
    + "; ".join(f"{n} {training_seconds(n) + seconds_before(n):.0f} s, {rows[n]['facts']:.0%}" for n in PARTS if "prior" not in n and "text" not in n)
    + f"; {LOOKED_UP} {rows[LOOKED_UP]['facts']:.0%}, without training.",
    caption="What each family shows after how much training. Latent diffusion and the decoder had their last round with a falling rate, the rounds before with a constant one. The dashed line is the lookup, which trains nothing.",
    label="cost",
)  # fmt: skip

# %% [markdown]
# ## Verdicts
#
# Do they listen at all? Each family's own picture is held against a picture for another prompt.

# %% tags=["hide-input"]
back_again = np.roll(np.arange(prompts), -(prompts // 2))
for name in FAMILIES:
    claim(
        f"facts-{name.lower().replace(' ', '-')}-shuffled-prompts", shares(name), shares(name, turned)[back_again], **by_prompt, who=name,
        better="- {who}: its own picture shows more of a prompt than another's, {ours} against {theirs}.",
        worse="- {who}: its own picture shows less of a prompt than another's, {ours} against {theirs}.",
        undecided="- {who}: its own picture ({ours}) and another's ({theirs}) cannot be told apart.",
    )  # fmt: skip

# %% [markdown]
# As they are, with the budgets of the table:

# %% tags=["hide-input"]
for one, other in itertools.combinations(FAMILIES, 2):
    claim(
        f"facts-{one.lower().replace(' ', '-')}-{other.lower().replace(' ', '-')}", shares(one), shares(other), **by_prompt, one=one, other=other,
        better="- {one} shows more than {other}, {ours} against {theirs}.",
        worse="- {other} shows more than {one}, {theirs} against {ours}.",
        undecided="- {one} ({ours}) and {other} ({theirs}) cannot be told apart.",
    )  # fmt: skip
outcomes = [
    decide(shares(one), shares(other), direction="higher", over="items").outcome
    for one, other in itertools.combinations(FAMILIES, 2)
]
say(
    f"- Pairs of families that can be told apart on these prompts: {sum(o != 'undecided' for o in outcomes)} of {len(outcomes)}. "
    f"The least seconds of training, stages before included, were those of {min(whole, key=whole.get)}, the most those of {max(whole, key=whole.get)}."
)
for name in FAMILIES:
    claim(
        f"facts-{name.lower().replace(' ', '-')}-nearest-picture", shares(name), shares(LOOKED_UP), **by_prompt, who=name,
        better="- {who} shows more than the nearest training picture, {ours} against {theirs}.",
        worse="- The nearest training picture shows more than {who}, {theirs} against {ours}.",
        undecided="- {who} ({ours}) and the nearest training picture ({theirs}) cannot be told apart.",
    )  # fmt: skip

# %% [markdown]
# Where budgets are nearer to each other: the U-Nets of latent diffusion and of the decoder after their first rounds, which are equally long; and that round of latent diffusion whose training
# took a time most like that of Muse, or of CM3Leon. Rounds before the last differ in more than their length: their rate does not fall at the end, as that of the token
# models does, and their settings were found for the full training.

# %% tags=["hide-input"]
rounds = [f"latent diffusion, round {i + 1}" for i in range(len(AFTER) - 1)]
rounds += ["latent diffusion"]
claim(
    "facts-equal-unet-steps", shares("Kandinsky, decoder's round 1"), shares(rounds[0]), **by_prompt, count=AFTER[0],
    better="- After {count} steps of its U-Net, Kandinsky shows more than latent diffusion after as many, {ours} against {theirs}; it has a prior and an embedding beside.",
    worse="- After {count} steps of its U-Net, Kandinsky shows less than latent diffusion after as many, {ours} against {theirs}, though it has a prior and an embedding beside.",
    undecided="- After {count} steps of their U-Nets, Kandinsky ({ours}) and latent diffusion ({theirs}) cannot be told apart.",
)  # fmt: skip
for name in ("Muse", "CM3Leon"):
    like = min(rounds, key=lambda n: abs(training_seconds(n) - training_seconds(name)))  # fmt: skip
    claim(
        f"facts-equal-seconds-{name.lower()}", shares(like), shares(name), **by_prompt, who=name, after=AFTER[rounds.index(like)], mine=training_seconds(like), other=training_seconds(name),
        better="- Latent diffusion after {after} steps ({mine:.0f} s) shows more than {who} ({other:.0f} s), {ours} against {theirs}.",
        worse="- Latent diffusion after {after} steps ({mine:.0f} s) shows less than {who} ({other:.0f} s), {ours} against {theirs}.",
        undecided="- Latent diffusion after {after} steps ({mine:.0f} s), {ours}, and {who} ({other:.0f} s), {theirs}, cannot be told apart.",
    )  # fmt: skip

# %% [markdown]
# And inside Kandinsky: which half is short of what? What the decoder makes leaves through the autoencoder, so that its losses are among those of the last line: hold them against *real, through the autoencoder* in the table.

# %% tags=["hide-input"]
claim(
    "facts-diffusion-prior-linear-prior", shares("Kandinsky"), shares("Kandinsky, linear prior"), **by_prompt,
    better="- With the same decoder, the diffusion prior makes pictures show more than the linear one, {ours} against {theirs}.",
    worse="- With the same decoder, the linear prior makes pictures show more than the diffusion prior, {theirs} against {ours}.",
    undecided="- With the same decoder, the diffusion prior ({ours}) and the linear one ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "facts-diffusion-prior-nearest-text", shares("Kandinsky"), shares("Kandinsky, nearest text"), **by_prompt,
    better="- It makes them show more than embeddings of looked-up pictures do, {ours} against {theirs}.",
    worse="- Embeddings of looked-up pictures make them show more, {theirs} against {ours}.",
    undecided="- It ({ours}) and embeddings of looked-up pictures ({theirs}) cannot be told apart.",
)  # fmt: skip
claim(
    "facts-prior-real-embedding", shares("Kandinsky"), shares("real, through the decoder"), **by_prompt,
    better="- From drawn embeddings the decoder shows more of the prompt than from those of the prompts' own pictures, {ours} against {theirs}.",
    worse="- From the embeddings of the prompts' own pictures it shows more, {theirs} against {ours}.",
    undecided="- From drawn embeddings ({ours}) and from those of the prompts' own pictures ({theirs}) it shows amounts that cannot be told apart.",
)  # fmt: skip
claim(
    "facts-real-embedding-real", shares("real, through the decoder"), shares("real"), **by_prompt,
    better="- Through embedding, decoder and autoencoder, real pictures show more than they do themselves, {ours} against {theirs}.",
    worse="- Through embedding, decoder and autoencoder, real pictures lose facts, {ours} is left of {theirs}.",
    undecided="- What embedding, decoder and autoencoder leave of real pictures ({ours}) and the pictures themselves ({theirs}) cannot be told apart.",
)  # fmt: skip

# %% [markdown]
# Are they copies? A new real picture also has a nearest training picture. It goes through the same first stage first, since autoencoders smooth, and smooth pictures are near to everything. To be nearer than these would be a sign of copies; to be further is no proof of
# the contrary, since what is drawn badly is far from everything, too.

# %% tags=["hide-input"]
for name, stage in (
    ("latent diffusion", "real, through the autoencoder"),
    ("Kandinsky", "real, through the autoencoder"),
    ("Muse", "real, through the tokens"),
    ("CM3Leon", "real, through the tokens"),
):
    claim(
        f"copies-{name.lower().replace(' ', '-')}", to_nearest(name), to_nearest(stage), direction="lower", over="items", called="prompts", digits=3, who=name,
        better="- {who}: its pictures lie nearer to a training picture than new real ones through the same stage, {ours} against {theirs}.",
        worse="- {who}: its pictures lie further from any training picture than new real ones through the same stage, {ours} against {theirs}.",
        undecided="- {who}: its pictures ({ours}) and new real ones through the same stage ({theirs}) lie at distances to a training picture that cannot be told apart.",
    )  # fmt: skip
say(
    f"Of the test prompts, {(nearness.max(1) == 1).mean():.0%} have a training prompt of the same words. There a lookup shows what was told, up to the reader's errors. Prompts without one are not judged apart."
)

# %% [markdown]
# The widget turns the guidance of the prior, with the decoder's as found above.

# %%
turns = [0.0, 1.0, 2.0, 4.0, 8.0]
at = {g: with_kandinsky(questions[most[:5]], 0, guidance=best["Kandinsky"]["guidance"], prior=g) for g in turns}  # fmt: skip

# %% tags=["hide-input"]
# Code of the widget
frames(
    {"guidance of the prior": turns},
    lambda g: image_rows({f"g = {g:g}": [x.clamp(-1, 1) / 2 + 0.5 for x in at[g]]}),
    lambda g: f"Five pictures by Kandinsky, guidance of the prior {g:g}; of what they were told, {facts_shown(at[g], [answers[i] for i in most[:5]]).mean():.0%} is shown.",
    caption="Five of the prompts of the figure above, the same starts. At 0 the prior is told nothing, at 1 the text alone.",
    start={"guidance of the prior": 1.0},
)  # fmt: skip

# %% [markdown]
# ## In practice
#
# - **Scale of the embedding.** Diffusion assumes data about as wide as its noise. The prior divides $e$ by its scale and multiplies at the end; without it the schedule (3) starts too late or
#   too early.
# - **A decoder trained on real embeddings sees drawn ones.** The rows *real, through the decoder* and *Kandinsky* are that step apart.
# - **A mean is no picture.** Among linear maps, (1) aims at the least squared error; it is no law. Compare *energy* and *cosine* above before choosing by one number.
# - **The judge.** It has learnt real drawings only. What it reads off torn or smooth ones is less certain, and *FD-reader* uses its features: it is no FID, and comparable only within this table.
# - **What is shared is not free.** Columns *before* and *training* are apart because a first stage can serve many generators.
#
# ## Exercises
#
# ```{exercise} What a text leaves open (compute)
# :label: which-generator-open
#
# Text and picture have embeddings of one number each, jointly Gaussian with mean zero: $\operatorname{Var} y = 1$, $\operatorname{Var} e = 4$, $\operatorname{Cov}(y, e) = 1.2$. What are
# $\mu$ for $y = 2$, the variance $S$ that is left, and the factor before the bracket of (5) at $\bar\alpha_t = 0.5$?
# ```

# %% tags=["stub:open"]
from mmlab.exercises.which_generator import check_open

answer = ..., ..., ...

check_open(answer)

# %% [markdown]
# ```{solution-start} which-generator-open
# :class: dropdown
# ```

# %% tags=["solution:open"]
weight = 1.2 / 1
left = 4 - weight * 1.2
answer = 2 * weight, left, 0.5**0.5 * left / (0.5 * left + 0.5)

check_open(answer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A step of the sampler (code)
# :label: which-generator-step
#
# Write mean and variance of (8) for numbers: `x` is $e_t$, `clean` is $f$, `now` and `then` are $\bar\alpha_t$ and $\bar\alpha_s$.
# ```

# %% tags=["stub:step"]
from mmlab.exercises.which_generator import check_step


def step(x, clean, now, then):
    mean = ...
    variance = ...
    return mean, variance


check_step(step)

# %% [markdown]
# ```{solution-start} which-generator-step
# :class: dropdown
# ```


# %% tags=["solution:step"]
def step(x, clean, now, then):
    kept = now / then
    mean = then**0.5 * (1 - kept) * clean + kept**0.5 * (1 - then) * x
    variance = (1 - then) * (1 - kept)
    return mean / (1 - now), variance / (1 - now)


check_step(step)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Two pictures for one text (derive)
# :label: which-generator-two
#
# Given the text, $e$ is $a$ or $-a$ with equal probability. Derive $\mathbb E[e \mid e_t = x]$, the best that (6) could learn. What does (5) say in its place, with the mean and variance of
# this $e$? And how far, in mean squared error, is a draw from the true law from another such draw, if the linear mean is $a^2$ away?
# ```

# %% tags=["stub:two"]
from mmlab.exercises.which_generator import check_two


def two(x, a, level):
    best = ...
    linear = ...
    error_of_a_draw = ...
    return best, linear, error_of_a_draw


check_two(two)

# %% [markdown]
# ```{solution-start} which-generator-two
# :class: dropdown
# ```
#
# By Bayes the two have the odds $\exp\bigl(2\sqrt{\bar\alpha}\,a x/(1 - \bar\alpha)\bigr)$, since the squares in the exponent differ by $4\sqrt{\bar\alpha}\,a x$. The mean of $\pm a$ with these odds is a
# hyperbolic tangent. (5) has $\mu = 0$ and $v = a^2$. Two draws agree half of the time, and are else $2a$ apart.


# %% tags=["solution:two"]
def two(x, a, level):
    best = a * np.tanh(level**0.5 * a * x / (1 - level))
    linear = level**0.5 * a**2 * x / (level * a**2 + 1 - level)
    error_of_a_draw = 2 * a**2
    return best, linear, error_of_a_draw


check_two(two)

# %% [markdown]
# As the noise gets less, the tangent decides for one of the two long before the linear prediction does. A draw has twice the squared error of the mean and is a picture; the mean is none.
#
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Why can a decoder of embeddings be trained without a caption?
# It is given the embedding of the picture that it has to paint. Words enter with the prior alone.
# ```
#
# ```{dropdown} A linear prior has the lower Fréchet distance and a diffusion prior is preferred by people. Can both be?
# Yes: these ask for different things. One compares sets of pictures as wholes, the other single pictures with their prompts. What this chapter's rows have, the columns *FD-reader* and *facts* tell; its linear row paints the mean and draws nothing from (2).
# ```
#
# ```{dropdown} Two generators, the same seconds of training. Is the comparison fair?
# In seconds. The one may have had a first stage before, more parameters, or a search over more settings. Say which of them was held equal, and print the rest.
# ```
#
# ## In five lines
#
# - Kandinsky draws a picture's embedding from a text's, and a picture from that; only the first half needs captions.
# - A linear prior (1) gives a mean; with the covariance that it leaves open it is exact for Gaussian embeddings (2), and its denoiser is linear (5).
# - A diffusion prior that starts from (5) has to learn only what is not Gaussian.
# - A contest of generators needs the costs beside the scores, a lookup among its rows, and the same search for all; its verdicts are the claims above.
# - What is missing in a picture may have been missing in the first stage: read each row beside the real pictures that went through it.
#
# ## Limits, and what to read next
#
# One training of each generator, small pictures, prompts from templates: intervals are over prompts, not over trainings, and say nothing of photographs or of free text; those on the prior's energy and cosine are over its trainings and draws, on one set of prompts. They are not
# corrected for the number of claims. Nearly all networks have one learning rate that was searched for none of the four families; only the prior's was. Settings were searched on few prompts, and rows of a shorter
# training had no search of their own; where the chosen setting is the last that was tried, more of it may show more. Seconds are of one thread of one machine, from a few steps of each network, so that small differences are chance; where many tokens are looked at at once the order may change. The embedding is not CLIP's, and has seen labels of facts; the text
# encoder has, too. No T5 was tried, nor any encoder that has read other text. Kandinsky's own prior is a transformer over the tokens of the text {cite}`razzhigaev2023kandinsky`, its image encoder is CLIP's, and its
# autoencoder is quantised.
#
# {cite:t}`ramesh2022unclip` compare priors, and show what a decoder makes of one embedding again and again. [Muse and CM3Leon](muse.ipynb) has the two token families with their own controls,
# [synthetic training data](synthetic_training_data.ipynb) asks what drawn pictures are good for.

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
# # Synthetic training data
#
# **A generator draws as many pictures as one likes. Do they train a detector as real ones do, and do they keep their secrets?**
#
# Two hopes pay for most generators of medical pictures. One is that a detector gets enough examples of a rare finding. The other is that drawn pictures can be handed to
# others where patients' pictures cannot. Both can be measured, and both depend on something that is easily left out of the story: *which pictures did the generator see?*
#
# So here a small hospital has a few labelled colonoscopies. It trains a finder of polyps on them, on pictures that the book's base draws, and on both. Beside these stand the dull ways
# to spend the same effort, and the pictures that the base itself was trained on. Then we look whether what is drawn is new.
#
# **After this chapter you can**
#
# - set up a fair comparison of real, synthetic and mixed training data, with the control that most of them lack;
# - take a loss of accuracy apart: too few pictures, the autoencoder, wrong labels, other looks;
# - test a generator for copies, with a test whose chance level is exact, and show a case in which it fires.
#
# You need [latent diffusion](latent_diffusion.ipynb) as far as prompts and guidance. Reading takes about 25 minutes.

# %% tags=["parameters"]
profile = "cpu"
origin = (
    "synthetic"  # "real": Kvasir-SEG under MMLAB_DATA, in place of the drawn world
)
seeds: int = 4
steps: int | None = None  # of each finder
pictures: int | None = None  # that the generator draws
largest: int = 640  # real pictures of the hospital; also a quarter and a sixteenth
tuning: int | None = None  # steps of a generator that learns a new finding
told: int | None = None  # pictures that it draws of the finding
folder: str | None = None  # a saved pipeline of your own, in place of the base

# %% tags=["hide-input"]
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, leaky_relu, unfold

from mmlab import fit, generator
from mmlab.bases.colonoscopy import PICTURES, colonoscopy_base, tokenizer
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.prompts import encode_prompts
from mmlab.data.sets.captioned_pictures import kvasir_seg
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import (
    POSITIONS,
    UNSEEN,
    colonoscopy_world,
    describe,
)
from mmlab.method import Method
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.train.side_by_side import fit_side_by_side
from mmlab.viz import claim, frames, record, say, show, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import image_rows, lines, use_theme

use_theme()
steps = steps or {"cpu": 160, "gpu": 1500}[profile]
pictures = pictures or {"cpu": 360, "gpu": 5000}[profile]
tuning = tuning or {"cpu": 60, "gpu": 300}[profile]
told = told or {"cpu": 100, "gpu": 1000}[profile]

# %% [markdown]
# ## Who has seen what

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "own": Box(0, 0, "thousands of\npictures"),
    "few": Box(0, 1.2, "few pictures"),
    "g": Box(1, 0, "generator", "frozen"),
    "s": Box(2, 0, "drawn from\nprompts"),
    "f": Box(2, 1.2, "finder", "trained"),
    "t": Box(3, 1.2, "held-out\nreal pictures", "loss"),
}
arrows = [
    Arrow("own", "g", "training"),
    Arrow("g", "s"),
    Arrow("few", "f", "real"),
    Arrow("s", "f", "synthetic"),
    Arrow("f", "t"),
]
show(
    diagram(boxes, arrows),
    alt=(
        "A drawing: thousands of pictures train the generator, which draws pictures from prompts. A finder is trained on a few real pictures, on the drawn "
        "ones, or on both, and is tested on held-out real pictures."
    ),
    caption="What the finder learns from drawn pictures has come, by way of the generator, from the pictures at the upper left. They are the control.",
)

# %% [markdown]
# ## The task, and why it is not segmentation
#
# A drawn picture is worth something for training only with a label. Where does the label come from? From the prompt: *Generate an image with one small flat polyp in the upper left.* That gives
# presence and place. It gives no mask. A mask of a drawn picture would have to come from a segmenter, which was trained on the few real masks; it could teach the next segmenter little but
# its own errors. So the task is what the prompt can label: *is there a polyp, and in which of five places?* Six classes; pictures with several polyps are left out.
#
# A label from a prompt is wrong where the generator did not listen. Let it be right with probability $1-\varepsilon$, and else any of the $K-1$ other classes, each alike. A finder that fits such
# labels perfectly learns
#
# $$\tilde p(y \mid x) = \lambda\, p(y \mid x) + \frac{1-\lambda}{K}, \qquad \lambda = 1 - \varepsilon\,\frac{K}{K-1}. \tag{1}$$
#
# The most probable class is still the right one as long as $\lambda > 0$. *Even* errors thus cost pictures, not the limit (an exercise asks how many). Uneven ones, say a generator that tends to put
# what was asked into the centre, move the limit itself.


# %%
words, base = tokenizer(), colonoscopy_base()
PLACES = ("none", *POSITIONS)


def labelled(pixels, places, prompts):
    return {
        "pixels": pixels,
        "label": torch.tensor([PLACES.index(place) for place in places]),
        "prompt": prompts,
    }


def drawn_world(count, seed, **which):
    """Real pictures of the drawn world with at most one polyp."""
    world = colonoscopy_world(count, seed=seed, **which)
    rows = [i for i, scene in enumerate(world.scenes) if len(scene.positions) < 2]
    scenes = [world.scenes[i] for i in rows]
    return labelled(
        world.pictures[rows],
        [(*scene.positions, "none")[0] for scene in scenes],
        [describe(scene).text for scene in scenes],
    )


def kvasir(part, side, sides=1):
    """Pictures of Kvasir-SEG with one polyp, whose place its mask tells."""
    data = kvasir_seg(32, part)
    rows = [i for i, text in enumerate(data.captions) if " in the " in text]
    rows = rows[side::sides]
    texts = [data.captions[i] for i in rows]
    places = [text.split(" in the ")[1].rstrip(".") for text in texts]
    return labelled(data.pictures[rows], places, texts)


if origin == "real":
    known, hospital = kvasir("train", 0, 2), kvasir("train", 1, 2)
    validation, test = kvasir("validation", 0), kvasir("test", 0)
else:
    known = drawn_world(PICTURES, 0)  # what the base was trained on
    hospital = drawn_world(920, 50)
    validation, test = drawn_world(270, 91), drawn_world(800, 92)
say(
    f"The generator was trained on {len(known['label'])} of these pictures (and, in the drawn world, on those with several polyps). The hospital has others; {len(validation['label'])} more choose "
    f"settings, and {len(test['label'])} are the test, of which {(test['label'] == 0).float().mean():.0%} show no polyp: the constant answer reaches {test['label'].bincount().max() / len(test['label']):.0%}."
)

# %% [markdown]
# ## The synthetic set
#
# It is drawn once, in a few steps and with weak guidance: how guidance changes what is shown and how much pictures differ is measured in [latent diffusion](latent_diffusion.ipynb). Prompts follow the same law as the real scenes.

# %%
if folder is not None:
    base, words = LatentDiffusion.from_pipeline(folder)
elif origin == "real":  # the base has never seen a photograph
    base = LatentDiffusion.on(base)
    lesson = {
        "image": known["pixels"],
        "input_ids": encode_prompts(known["prompt"], words),
    }
    fit(base, TensorData(lesson), steps=5 * tuning, batch_size=16, lr=1e-3, progress=False)  # fmt: skip


def draw(method, prompts, seed, guidance=2.0, steps=5):
    """Pictures of prompts, as numbers from -1 to 1."""
    ids, rng = encode_prompts(prompts, words), generator(seed)
    made = [
        method.sample(part, steps=steps, guidance=guidance, rng=rng)
        for part in ids.split(120)
    ]
    return torch.cat(made).clamp(-1, 1)


@torch.no_grad()
def through_the_autoencoder(pixels):
    made = [base.decode(base.encode(part)) for part in pixels.split(120)]
    return torch.cat(made).clamp(-1, 1)


if origin == "real":
    asked = {
        name: [known[name][i % len(known["label"])] for i in range(pictures)]
        for name in ("label", "prompt")
    }
else:
    law = drawn_world(2 * pictures, 5)
    asked = {name: law[name][:pictures] for name in ("label", "prompt")}
synthetic = {
    "pixels": draw(base, asked["prompt"], 1),
    "label": torch.as_tensor(asked["label"]),
}

# %% tags=["hide-input"]
# Code of the figure
first = {
    name: {place: part["label"].tolist().index(place) for place in part["label"].unique().tolist()}
    for name, part in (("real", test), ("synthetic", synthetic))
}  # fmt: skip
labels = sorted(first["real"].keys() & first["synthetic"].keys())
show(
    image_rows(
        {
            "real": [test["pixels"][first["real"][k]] / 2 + 0.5 for k in labels],
            "synthetic": [
                synthetic["pixels"][first["synthetic"][k]] / 2 + 0.5 for k in labels
            ],
        },
        columns=[PLACES[k] for k in labels],
        size=0.95,
    ),
    alt=f"Two rows of {len(labels)} small pictures, one for each label: real pictures above, drawn ones of the same label below.",
    caption="A real and a synthetic picture of each label.",
)

# %% [markdown]
# ## The finder, and the rows
#
# The finder looks at patches of the picture, joins four neighbours at a time, and ends in six logits. It is small on purpose: we train more than a hundred of them.

# %%
SIDE = 8  # patches in each direction, half overlapping


def patches(pixels):
    """(N, 3, 32, 32) to (N, 64, 48): patches of 4 x 4, neighbours in fours."""
    scaled = (avg_pool2d(pixels, 2) - 0.3) / 0.4  # about mean zero, spread one
    cut = unfold(scaled, 4, stride=2, padding=1).transpose(1, 2)
    fours = cut.unflatten(1, (SIDE // 2, 2, SIDE // 2, 2)).transpose(2, 3)
    return fours.flatten(1, 4).contiguous()


class Finder(Method):
    def __init__(self, patch=16, four=24, whole=32):
        super().__init__()
        self.patch, self.four = nn.Linear(48, patch), nn.Linear(4 * patch, four)
        self.whole = nn.Linear(16 * four, whole)
        self.head = nn.Linear(whole, len(PLACES))

    def forward(self, x):
        x = leaky_relu(self.patch(x), 0.1).flatten(1).unflatten(1, (16, -1))
        x = leaky_relu(self.four(x), 0.1).flatten(1)
        return self.head(leaky_relu(self.whole(x), 0.1))

    def loss(self, batch, rng):
        return {"loss": cross_entropy(self(POOL[batch["row"]]), batch["label"])}


# %% [markdown]
# | row | what the finder is trained on |
# | --- | --- |
# | real | the hospital's pictures |
# | real, augmented | each in four guises: mirrored with its label, and tinted |
# | real and synthetic | half of each batch real, half drawn |
# | ..., twice the steps | the three rows above, with more training, at the ends of the scale |
# | synthetic | drawn pictures alone |
# | what the generator saw | the base's own training pictures, with their true labels |
#
# All have the same network, batches and (but for the longer rows) steps, and each its own learning rate of two, chosen on the validation pictures with the first seed (the longer rows keep the rate of the shorter ones). Each seed has other real
# pictures. A placebo is among them, too: the fewest pictures *copied* until they are as many as real and synthetic together.

# %% tags=["hide-input"]
# Code of the training: all finders of one rate side by side
LEFT_RIGHT, UP_DOWN = [0, 2, 1, 4, 3, 5], [0, 3, 4, 1, 2, 5]
sources, POOL, LABELS = {}, None, None


def guises(x, y, rng):
    """Pictures as they are, and in three guises: mirrored with their labels, and tinted."""
    h, v = torch.tensor(LEFT_RIGHT), torch.tensor(UP_DOWN)
    flips = [(x.flip(3), h[y]), (x.flip(2), v[y]), (x.flip(2, 3), v[h[y]])]
    made = [(x, y)]
    for one, label in flips:
        tint = 0.85 + 0.3 * torch.rand(len(x), 3, 1, 1, generator=rng)
        made.append(((one + 1) * tint - 1, label))  # darker or brighter, from black
    return made


def pool(altered=(), **parts):
    """Put sets of pictures, some of them in all guises, where finders can see them.

    ``sources`` has the rows of each set, (1 or 4, N).
    """
    global POOL, LABELS
    cut, labels, start, rng = [], [], 0, generator(8)
    for name, part in parts.items():
        x, y = part["pixels"], part["label"]
        made = guises(x, y, rng) if name in altered else [(x, y)]
        cut += [patches(pixels) for pixels, _ in made]
        labels += [label for _, label in made]
        stop = start + len(made) * len(y)
        sources[name] = torch.arange(start, stop).view(len(made), len(y))
        start = stop
    POOL, LABELS = torch.cat(cut), torch.cat(labels)


def in_turn(rows, count, rng):
    """Rows in random order, again and again."""
    rounds = -(-count // len(rows))
    order = [torch.randperm(len(rows), generator=rng) for _ in range(rounds)]
    return rows[torch.cat(order)[:count]]


BATCH, RATES = 16, (5e-3, 1e-2)


def lesson(names, size, seed, augmented, length):
    """The items of a whole training, in order."""
    rng = generator(100 * seed + 7)
    parts = []
    for name in names:
        rows = sources["hospital" if name == "copies" else name]  # (1 or 4, N)
        items = torch.arange(rows.shape[1])
        if size and name in ("hospital", "copies"):
            items = torch.randperm(len(items), generator=rng)[:size]
        if name == "copies":
            items = items.repeat(1 + sources["synthetic"].shape[1] // size)
        items = in_turn(items, length * BATCH // len(names), rng)
        turns = len(rows) if augmented else 1
        parts.append(rows[torch.randint(turns, items.shape, generator=rng), items])
    rows = torch.stack(parts, 1).flatten()
    return TensorData({"row": rows, "label": LABELS[rows]})


def train(jobs, rate, length):
    """Finders of (what, seed), what being (names, size, augmented)."""
    finders = [Finder.seeded(seed) for _, seed in jobs]
    data = [
        lesson(names, size, seed, augmented, length)
        for (names, size, augmented), seed in jobs
    ]
    fit_side_by_side(
        finders, data, steps=length, batch_size=BATCH, lr=rate, schedule="cosine",
        warmup=min(10, length), log_every=length, progress=False,
    )  # fmt: skip
    return finders


@torch.no_grad()
def right(finder, part):
    """Whether each picture is found right, (N,)."""
    return (finder(part["patches"]).argmax(1) == part["label"]).float().numpy()


def all_seeds(rows, rates, length, seeds_of):
    """Finders of rows, each at its own rate."""
    made = defaultdict(list)
    for rate in sorted(set(rates.values())):
        jobs = [
            (name, seed)
            for name in rows
            for seed in seeds_of
            if rates[name] == rate
        ]
        if jobs:
            finders = train(
                [(rows[name], seed) for name, seed in jobs], rate, length
            )
            for (name, _), finder in zip(jobs, finders, strict=True):
                made[name].append(finder)
    return made


def searched(rows, length, chosen_on):
    """All seeds of all rows, each row with the better of two rates."""
    tries = {
        r: train([(what, 0) for what in rows.values()], r, length) for r in RATES
    }
    best, first = {}, {}
    for place, name in enumerate(rows):
        scores = [right(tries[r][place], chosen_on).mean() for r in RATES]
        best[name] = RATES[int(np.argmax(scores))]
        first[name] = tries[best[name]][place]
    rest = all_seeds(rows, best, length, range(1, seeds))
    return {name: [first[name], *rest[name]] for name in rows}, best


for part in (validation, test):
    part["patches"] = patches(part["pixels"])

# %% tags=["hide-input"]
# Code of the rows
fewest, some, many = (
    max(1, min(largest, len(hospital["label"])) // share) for share in (16, 4, 1)
)
sizes = sorted({fewest, some, many})
count = len(synthetic["label"])
chosen = torch.randperm(len(known["label"]), generator=generator(3))[:count]
as_many = {name: known[name][chosen] for name in ("pixels", "label")}
through = through_the_autoencoder(as_many["pixels"])
pool(
    altered=["hospital"],
    hospital=hospital,
    synthetic=synthetic,
    known=known,
    as_many=as_many,
    through=as_many | {"pixels": through},
)
rows = {}
for n in sizes:
    rows["real", n] = (["hospital"], n, False)
    rows["real, augmented", n] = (["hospital"], n, True)
    rows["real and synthetic", n] = (["hospital", "synthetic"], n, False)
rows["synthetic", 0] = (["synthetic"], 0, False)
rows["what the generator saw", 0] = (["known"], 0, False)
rows["as many of these", 0] = (["as_many"], 0, False)
rows["through the autoencoder", 0] = (["through"], 0, False)
rows["copies", fewest] = (["copies"], fewest, False)
LONG = "real, augmented, twice the steps"
BOTH = "real and synthetic, twice the steps"
PLAIN = "real, twice the steps"
made, best = searched(rows, steps, validation)
ends = (fewest, many)
longer = {(PLAIN, n): (["hospital"], n, False) for n in ends}
longer |= {(LONG, n): (["hospital"], n, True) for n in ends}
longer |= {(BOTH, n): (["hospital", "synthetic"], n, False) for n in ends}
short_of = {
    PLAIN: "real",
    LONG: "real, augmented",
    BOTH: "real and synthetic",
}
rates = {(name, n): best[short_of[name], n] for name, n in longer}
made |= all_seeds(longer, rates, 2 * steps, range(seeds))
hits = {key: [right(f, test) for f in finders] for key, finders in made.items()}
accuracy = {key: [float(h.mean()) for h in found] for key, found in hits.items()}

# %% [markdown]
# ## What synthetic pictures add

# %% tags=["hide-input"]
# Code of the table and the figure
BY_SIZE = ("real", "real, augmented", "real and synthetic", PLAIN, LONG, BOTH)
records = [
    {"row": name, "seed": seed}
    | {
        f"{n} real": accuracy[name, n][seed] if (name, n) in accuracy else np.nan
        for n in sizes
    }
    for name in BY_SIZE
    for seed in range(seeds)
]
parameters = sum(p.numel() for p in Finder().parameters())
budgets = Budgets(
    "real and synthetic",
    {
        name: Spent(
            2 * steps if name in (PLAIN, LONG, BOTH) else steps,
            parameters,
            ("learning rate",),
            len(RATES),
        )
        for name in BY_SIZE
    },
)
table_over_seeds(
    pd.DataFrame(records),
    f"Share of {len(test['label'])} held-out real pictures whose polyp, or lack of one, is found. There are {count} synthetic pictures.",
    by="row",
    best={f"{n} real": "higher" for n in sizes},
    budgets=budgets,
)
curve = pd.DataFrame(
    [
        {"row": name, "real pictures": n, "share found": value}
        for name in BY_SIZE
        for n in sizes
        for value in accuracy.get((name, n), [])
    ]
)
mean = {key: float(np.mean(values)) for key, values in accuracy.items()}
winner = {n: max(BY_SIZE, key=lambda name: mean.get((name, n), 0)) for n in sizes}
show(
    lines(
        curve, "real pictures", "share found", by="row", log_x=True,
        references={
            "synthetic alone": mean["synthetic", 0],
            "what the generator saw": mean["what the generator saw", 0],
        },
    ),
    alt=(
        "Six lines over the number of real pictures. "
        + " ".join(f"With {n} the highest is *{winner[n]}* at {mean[winner[n], n]:.2f}; real alone has {mean['real', n]:.2f}." for n in sizes)
        + f" Dashed: synthetic alone {mean['synthetic', 0]:.2f}, what the generator saw {mean['what the generator saw', 0]:.2f}."
    ),
    caption=(
        "Held-out real pictures found right. Highest: "
        + "; ".join(f"with {n} real pictures *{winner[n]}*" for n in sizes)
        + ". Dashed lines do not depend on the hospital's pictures, and belong to the shorter training."
    ),
    label="curve",
)  # fmt: skip
record(
    share_found={f"{name} {n}": values for (name, n), values in accuracy.items()},
    budget=budgets.plain(),
)

# %% tags=["hide-input"]
MIXED = "real and synthetic"
for n, stem in zip((fewest, some, many), ("few", "some", "many"), strict=True):
    pairs = {
        "mixed-vs-real": (MIXED, "real"),
        "mixed-vs-augmented": (MIXED, "real, augmented"),
    }
    if (BOTH, n) in accuracy:
        pairs["longer-mixed-vs-real"] = (BOTH, PLAIN)
        pairs["longer-mixed-vs-augmented"] = (BOTH, LONG)
    for name, (ours, theirs) in pairs.items():
        claim(
            f"with-{stem}-real-{name}",
            accuracy[ours, n],
            accuracy[theirs, n],
            direction="higher",
            unit="%",
            better=f"- {n} real pictures: *{ours}* finds more than *{theirs}*, {{ours}} against {{theirs}}.",
            worse=f"- {n} real pictures: *{ours}* finds less than *{theirs}*, {{ours}} against {{theirs}}.",
            undecided=f"- {n} real pictures: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        )
claim(
    "copies-vs-real",
    accuracy["copies", fewest],
    accuracy["real", fewest],
    direction="higher",
    unit="%",
    better=f"- Copies of {fewest} real pictures are found to help, {{ours}} against {{theirs}}: only the order differs, so this is chance.",
    worse=f"- Copies of {fewest} real pictures are found to harm, {{ours}} against {{theirs}}: only the order differs, so this is chance.",
    undecided=f"- The placebo: copies of {fewest} real pictures ({{ours}}) cannot be told from the pictures themselves ({{theirs}}).",
)

# %% [markdown]
# ## Where the rest is lost
#
# The dashed lines of [](#figure-curve) are the comparison that matters most, and it is seldom made. Whatever the drawn pictures teach, the generator has learnt from pictures that somebody had, with prompts that told
# the same labels. Who owns them can train on them.
#
# Between the two lines lie four steps that can be taken one at a time: as *many* real pictures as there are synthetic ones; the same through the base's *autoencoder*, which never saw them in
# training; synthetic pictures with *labels read off them*, by a vote of the finders that were trained on what the generator saw; and synthetic pictures labelled by their prompts.

# %%
jury = made["what the generator saw", 0]


@torch.no_grad()
def verdict(x):
    """What the jury sees in patches."""
    return sum(finder(x).softmax(1) for finder in jury).argmax(1)


seen = verdict(patches(synthetic["pixels"]))
agree = (seen == synthetic["label"]).float()
sure = (verdict(test["patches"]) == test["label"]).float().mean()
pool(relabelled=synthetic | {"label": seen})
again = {("relabelled", 0): (["relabelled"], 0, False)}
rates = {("relabelled", 0): best["synthetic", 0]}
made |= all_seeds(again, rates, steps, range(seeds))
hits["relabelled", 0] = [right(f, test) for f in made["relabelled", 0]]
accuracy["relabelled", 0] = [float(h.mean()) for h in hits["relabelled", 0]]
none = synthetic["label"] == 0
by_kind = (
    f" ({agree[none].mean():.0%} of those without a polyp, {agree[~none].mean():.0%} of the others)"
    if none.any() and not none.all()
    else ""
)
say(
    f"The jury finds {sure:.0%} of the test pictures right, and sees in {agree.mean():.0%} of the synthetic ones what their prompt says{by_kind}. The jury errs as well: followed prompts alone do not bring the second number to a hundred per cent."
)

# %% tags=["hide-input"]
LADDER = {
    "what the generator saw": "what the generator saw",
    "as many of these": "as many of these as there are synthetic",
    "through the autoencoder": "these through the autoencoder",
    "relabelled": "synthetic, labels read off",
    "synthetic": "synthetic, labels from prompts",
}
table_over_seeds(
    pd.DataFrame(
        [
            {"row": title, "seed": seed, "share found": accuracy[name, 0][seed]}
            for name, title in LADDER.items()
            for seed in range(seeds)
        ]
    ),
    "From the generator's own training pictures to what it draws, one change in each row.",
    by="row",
    best={"share found": "higher"},
)
names = list(LADDER)
for upper, lower in pairwise(names):
    claim(
        f"step-to-{lower.replace(' ', '-')}",
        accuracy[lower, 0],
        accuracy[upper, 0],
        direction="higher",
        unit="%",
        better=f"- To *{LADDER[lower]}*: a gain, {{ours}} after {{theirs}}.",
        worse=f"- To *{LADDER[lower]}*: a loss, {{ours}} after {{theirs}}.",
        undecided=f"- To *{LADDER[lower]}*: {{ours}} after {{theirs}}, undecided.",
    )
claim(
    "synthetic-vs-what-the-generator-saw",
    accuracy["synthetic", 0],
    accuracy["what the generator saw", 0],
    direction="higher",
    unit="%",
    better="All together: synthetic pictures alone beat the pictures that they were learnt from, {ours} against {theirs}.",
    worse="All together: synthetic pictures alone stay behind the pictures that they were learnt from, {ours} against {theirs}.",
    undecided="All together: synthetic pictures alone ({ours}) and the pictures that they were learnt from ({theirs}) cannot be told apart.",
)

# %% [markdown]
# ## Is what is drawn new?
#
# A picture that looks like no other may still be a copy: nobody remembers all training pictures. A distance alone says little, since there is always a nearest one. What is needed is a comparison
# with a known chance level.
#
# **Nearer to the training pictures?** Take $n$ training pictures $T$ and $n$ others $U$ of the same law that the generator never saw. If it has learnt the law and nothing of the single pictures,
# then for its samples $T$ and $U$ are exchangeable, and
#
# $$P\bigl(d(x, T) < d(x, U)\bigr) = \tfrac12, \qquad d(x, T) = \min_{t \in T} \lVert \phi(x) - \phi(t) \rVert . \tag{2}$$
#
# This holds for every feature $\phi$; ours are the pixels that the finder sees. Blur, a poor decoder, strange colours: they change both distances alike.
#
# **Does the prompt bring it back?** Ask for a training picture by its own prompt. Among the training pictures with the *same* prompt, let $r$ be the share that is farther from the answer than the one
# that was asked for. Without memory each is as likely to be the nearest, so
#
# $$\mathbb E\, r = \tfrac12 . \tag{3}$$
#
# Both tests need a case in which they fire. Ours is also the case that a hospital would have.
#
# ### A new finding, few pictures
#
# No prompt of the base's training names a *depressed* polyp, and none of the pictures with these prompts shows one, as Stable Diffusion has hardly seen a colon. (The autoencoder has seen some, without a word about them.) The hospital has forty, and tunes
# the base on them. What the new word looks like can be learnt from these alone.

# %%
FEW = 40


def only_one(count, seed, skip=0):
    """Pictures with one depressed polyp."""
    part = drawn_world(2 * (count + skip) + 20, seed, shapes=(UNSEEN,), least=1)
    return {name: values[skip : skip + count] for name, values in part.items()}


patients, strangers = only_one(FEW, 31), only_one(FEW, 31, skip=FEW)
depressed_validation, depressed_test = only_one(80, 32), only_one(200, 33)
tuned = LatentDiffusion.on(base)
with torch.no_grad():
    lesson_of_few = TensorData(
        {
            "input_ids": encode_prompts(patients["prompt"], words),
            "moments": tuned.moments(patients["pixels"]),
        }
    )


def look(pixels):
    """Features: pixels at half the size, (N, 768)."""
    return avg_pool2d(pixels.clamp(-1, 1), 2).flatten(1)


def nearest(x, reference):
    return torch.cdist(look(x), look(reference)).amin(1)


def brought_back(answers, part, asked_for, same):
    """r for each answer: the share of others of the same kind that is farther."""
    x, known_ones = look(answers), look(part["pixels"])
    found = []
    for row, own in enumerate(asked_for):
        others = [i for i in same(own) if i != own]
        if others:
            gaps = (known_ones - x[row]).norm(dim=1)
            farther = gaps[others] > gaps[own]
            found.append(float(farther.float().mean()))
    return np.array(found)


def after(method):
    """What a tuned generator answers to the patients' prompts, and whether it is nearer to them than to strangers."""
    told = draw(method, patients["prompt"], 2)
    share = (
        (nearest(told, patients["pixels"]) < nearest(told, strangers["pixels"]))
        .float()
        .numpy()
    )
    return {"told": told, "nearer": share}  # fmt: skip


stages = {0: after(tuned)}
for stage in (1, 2):
    fit(
        tuned, lesson_of_few, steps=max(1, tuning // 2), batch_size=12, lr=1e-3, betas=(0.9, 0.99),
        warmup=min(5, tuning // 2), seed=stage, progress=False,
    )  # fmt: skip
    stages[stage * max(1, tuning // 2)] = after(tuned)
last = max(stages)

# %% [markdown]
# Turn the knob: tuning on forty pictures, and what their own prompts then bring back.

# %% tags=["hide-input"]
# Code of the frames
first_ones = list(range(7))


def frame(done):
    return image_rows(
        {
            "training picture": [
                patients["pixels"][i] / 2 + 0.5 for i in first_ones
            ],
            "its prompt brings": [
                stages[done]["told"][i] / 2 + 0.5 for i in first_ones
            ],
        },
        size=0.85,
    )


def of_frame(done):
    return f"Seven training pictures, and below each what its prompt brings after {done} steps of tuning; {stages[done]['nearer'].mean():.0%} of all {FEW} answers are nearer to a training picture than to any of as many others."


frames(
    {"steps of tuning": list(stages)},
    frame,
    of_frame,
    caption="Look at the place, the size, and what else comes with them: light, folds, instruments, text.",
    start={"steps of tuning": last},
)

# %% tags=["hide-input"]
# Code of the tests
unseen = torch.cat([hospital["pixels"], validation["pixels"]])
n = min(len(unseen), len(known["label"]))
order = torch.randperm(len(known["label"]), generator=generator(4))[:n]
to_known = nearest(synthetic["pixels"], known["pixels"][order])
to_unseen = nearest(synthetic["pixels"], unseen[:n])
held = test["pixels"][:100]
smoothed = through_the_autoencoder(held)
claim(
    "base-nearer-to-training-vs-chance",
    (to_known < to_unseen).double().numpy(),
    0.5,
    direction="lower",
    over="items",
    called="pictures",
    unit="%",
    better=f"- The base, by (2) with {n} pictures on each side: {{ours}} of its pictures are nearer to a training picture. That is less than a half.",
    worse=f"- The base, by (2) with {n} pictures on each side: {{ours}} of its pictures are nearer to a training picture. That is more than a half.",
    undecided=f"- The base, by (2) with {n} pictures on each side: {{ours}} of its pictures are nearer to a training picture, which cannot be told from a half.",
)
say(
    f"  The mean distance to the nearest of these training pictures is {to_known.mean():.2f} for its pictures and {nearest(held, known['pixels'][order]).mean():.2f} for held-out real ones. A distance alone "
    f"says little: the held-out ones through the autoencoder, which smooths, have {nearest(smoothed, known['pixels'][order]).mean():.2f}."
)
of_prompt = defaultdict(list)
for i, text in enumerate(known["prompt"]):
    of_prompt[text].append(i)
shared = [
    i
    for i, text in enumerate(known["prompt"])
    if known["label"][i] > 0 and len(of_prompt[text]) > 4
]
shared = [
    shared[i]
    for i in torch.randperm(len(shared), generator=generator(5))[:80].tolist()
]
if shared:
    answers = draw(base, [known["prompt"][i] for i in shared], 6)
    back = brought_back(
        answers, known, shared, lambda i: of_prompt[known["prompt"][i]]
    )
    claim(
        "base-brings-back-vs-chance", back, 0.5, direction="lower", over="items", called="prompts", unit="%",
        better="- The base, by (3): {ours} of the others with the same prompt are farther than the picture that was asked for. That is less than a half.",
        worse="- The base, by (3): {ours} of the others with the same prompt are farther than the picture that was asked for. That is more than a half: it remembers.",
        undecided="- The base, by (3): {ours} of the others with the same prompt are farther than the picture that was asked for, which cannot be told from a half.",
    )  # fmt: skip
claim(
    "tuned-nearer-to-training-vs-chance",
    stages[last]["nearer"],
    0.5,
    direction="lower",
    over="items",
    called="pictures",
    unit="%",
    better=f"- Tuned on {FEW} pictures: {{ours}} are nearer to one of them than to any of {FEW} others, less than a half.",
    worse=f"- Tuned on {FEW} pictures: {{ours}} are nearer to one of them than to any of {FEW} others, more than a half.",
    undecided=f"- Tuned on {FEW} pictures: {{ours}} are nearer to one of them than to any of {FEW} others, which cannot be told from a half.",
)


def same_place(part):
    return lambda i: [j for j in range(FEW) if part["label"][j] == part["label"][i]]


def come_back(part, times=2):
    """r for each picture of a set, over several answers to its prompt."""
    kind = same_place(part)
    runs = [
        brought_back(draw(tuned, part["prompt"], 20 + i), part, range(FEW), kind)
        for i in range(times)
    ]
    return np.mean(runs, axis=0)


own, foreign = come_back(patients), come_back(strangers)
m = min(len(own), len(foreign))
claim(
    "tuned-brings-back-vs-strangers", own[:m], foreign[:m], direction="lower", over="items", called="prompts", unit="%",
    better="- Tuned, by (3): less of a training picture comes back for its prompt than of a picture that was never shown, {ours} and {theirs}.",
    worse="- Tuned, by (3): a training picture comes back for its prompt. Of the others in the same place {ours} are farther; for pictures that were never shown, asked for in the same way, it is {theirs}.",
    undecided="- Tuned, by (3): of the others in the same place {ours} are farther; for pictures that were never shown it is {theirs}, and the two cannot be told apart.",
)  # fmt: skip
record(
    memory={
        "base nearer": float((to_known < to_unseen).double().mean()),
        "tuned nearer": {
            str(k): float(v["nearer"].mean()) for k, v in stages.items()
        },
    }
)

# %% [markdown]
# Here the kind is the place alone, and a prompt tells more (the size, an instrument). So the answer to a prompt is a little nearer to its picture than to others even without memory: the
# comparison is with *strangers*, pictures of the same law that were never shown, asked for by their own prompts.
#
# That training pictures can be pulled out of large models has been shown {cite}`carlini2023extracting`, and of latent diffusion on medical images
# {cite}`dar2024memorise`. Is it how often a picture was shown? The base sees each of its pictures a few times, and a tuned model each of its forty again and again; but it also has far fewer of them.
#
# ### And does it help?
#
# The tuned generator draws new pictures of the finding, in all places. Finders of depressed polyps are trained on the forty, on what is drawn, and on two rivals: what the *untuned* base draws for the
# same prompts, and the real pictures of *other* polyps that it was trained on.

# %%
more = only_one(told, 34)
more_of = {
    "tuned": {"pixels": draw(tuned, more["prompt"], 7), "label": more["label"]},
    "untuned": {"pixels": draw(base, more["prompt"], 7), "label": more["label"]},
}
pool(["hospital", "tuned"], hospital=patients, other=known, **more_of)
for part in (depressed_validation, depressed_test):
    part["patches"] = patches(part["pixels"])
new_rows = {
    "real": (["hospital"], 0, False),
    "real, augmented": (["hospital"], 0, True),
    "real and tuned": (["hospital", "tuned"], 0, False),
    "real and tuned, augmented": (["hospital", "tuned"], 0, True),
    "real and untuned": (["hospital", "untuned"], 0, False),
    "real and other real polyps": (["hospital", "other"], 0, False),
}
new, _ = searched(new_rows, steps, depressed_validation)
new_hits = {
    name: np.stack([right(f, depressed_test) for f in finders])
    for name, finders in new.items()
}
table_over_seeds(
    pd.DataFrame(
        [
            {"row": name, "seed": seed, "share found": float(value)}
            for name, found in new_hits.items()
            for seed, value in enumerate(found.mean(1))
        ]
    ),
    f"Depressed polyps: share of {len(depressed_test['label'])} real test pictures whose place is found, with {FEW} real pictures.",
    by="row",
    best={"share found": "higher"},
)
for ours, theirs, stem in (
    ("real and tuned", "real", "real"),
    ("real and tuned", "real, augmented", "augmented"),
    ("real and tuned, augmented", "real, augmented", "augmented-alike"),
    ("real and tuned", "real and untuned", "untuned"),
    ("real and tuned", "real and other real polyps", "other-polyps"),
):
    claim(
        f"new-finding-tuned-vs-{stem}",
        new_hits[ours].mean(0),
        new_hits[theirs].mean(0),
        direction="higher",
        unit="%",
        over="items",
        called="pictures",
        better=f"- *{ours}* finds more than *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"- *{ours}* finds less than *{theirs}*, {{ours}} against {{theirs}}.",
        undecided=f"- *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )
record(
    new_finding={name: found.mean(1).tolist() for name, found in new_hits.items()}
)

# %% [markdown]
# One generator was tuned, on one draw of forty pictures: these intervals are over test pictures.
#
# ## What went wrong in practice
#
# - **A test picture that the generator saw.** If the generator was trained on a public set, and the test is a part of it, the finder has in a way seen the test. Ask for the list.
# - **Augmentation in too few steps.** A finder that sees each picture in many guises needs longer. Equal steps may be too few for it: hence the rows with twice the steps.
# - **Choosing by synthetic validation pictures.** Settings chosen on drawn pictures are good for drawn pictures.
# - **A privacy claim by looking.** Blurred pictures are far from everything, and near to everything. Compare with pictures that went through the same decoder.
#
# ## Exercises
#
# ```{exercise} The chance level (code)
# :label: synthetic-training-data-nearer
#
# Write the test (2): given features of samples (M, D), of training pictures (N, D) and of as many others (N, D), the share of samples that is nearer to the training pictures. Ties count half.
# ```

# %% tags=["stub:nearer"]
from mmlab.exercises.synthetic_training_data import check_nearer


def nearer(samples, trained, others):
    return ...


check_nearer(nearer)

# %% [markdown]
# ```{solution-start} synthetic-training-data-nearer
# :class: dropdown
# ```


# %% tags=["solution:nearer"]
def nearer(samples, trained, others):
    a = torch.cdist(samples, trained).amin(1)
    b = torch.cdist(samples, others).amin(1)
    return ((a < b).double() + 0.5 * (a == b).double()).mean()


check_nearer(nearer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Labels that do not listen (compute)
# :label: synthetic-training-data-deaf
#
# A generator ignores its prompts altogether. There are six classes; prompts and pictures both show no polyp with probability one third and each place with probability two fifteenths. Which share of
# labels is right by chance?
# ```

# %% tags=["stub:deaf"]
from mmlab.exercises.synthetic_training_data import check_deaf

deaf = ...

check_deaf(deaf)

# %% [markdown]
# ```{solution-start} synthetic-training-data-deaf
# :class: dropdown
# ```

# %% tags=["solution:deaf"]
deaf = (1 / 3) ** 2 + 5 * (2 / 15) ** 2

check_deaf(deaf)

# %% [markdown]
# It is more than one in six, since the classes are not equally frequent.
#
# ```{solution-end}
# ```
#
# ```{exercise} What a noisy label is worth (derive)
# :label: synthetic-training-data-worth
#
# Let $p(y = k \mid x) = \tfrac1K + \theta\, a_k(x)$ with $\sum_k a_k = 0$, and let labels be wrong with probability $\varepsilon$ as in (1). Derive the Fisher information of a label about $\theta$ at $\theta = 0$, with
# and without errors. How many noisy labels are worth one right one? Write that number as a function of $\varepsilon$ and $K$.
# ```

# %% tags=["stub:worth"]
from mmlab.exercises.synthetic_training_data import check_worth


def worth(epsilon, classes):
    return ...


check_worth(worth)

# %% [markdown]
# ```{solution-start} synthetic-training-data-worth
# :class: dropdown
# ```
#
# The information is $\sum_k (\partial_\theta p_k)^2 / p_k$. At $\theta = 0$ every $p_k$ is $1/K$, also by (1), and the derivative is $a_k$ without errors and $\lambda a_k$ with them: $K \sum_k a_k^2$ and
# $\lambda^2 K \sum_k a_k^2$. So $1/\lambda^2$ noisy labels are worth one.


# %% tags=["solution:worth"]
def worth(epsilon, classes):
    kept = 1 - epsilon * classes / (classes - 1)
    return 1 / kept**2


check_worth(worth)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} Can drawn pictures teach more than the pictures that the generator was trained on?
# They contain no observation that was not there. A finder may still learn more from them in a given number of steps or with a given network, as it may from augmentation: the generator
# brings what its makers put into it, such as that pictures are smooth. Whether it does is a matter of measurement, with that control.
# ```
#
# ```{dropdown} Suppose that a generator passes both tests. Is it safe to share?
# For these features, this sampler and these prompts it was not told from a generator without memory. Someone with the weights can try harder than we did, and one picture that was in the
# training set ten times may come back though the average does not.
# ```
#
# ```{dropdown} Why is a low distance to the nearest training picture no evidence by itself?
# With thousands of training pictures there is always a near one, and smooth pictures are nearer to everything. Only the comparison with pictures that the generator never saw has a chance level.
# ```
#
# ## In five lines
#
# - Ask first what the generator has seen: its own training pictures, with their labels, are the control for all that it draws.
# - Prompts give labels of presence and place, not masks; even label errors (1) cost pictures, uneven ones move the limit.
# - What is lost from real to synthetic can be taken apart: number, autoencoder, labels, looks; the claims above say which steps this run decides.
# - Two tests for copies have an exact chance level, (2) and (3), and need a case in which they fire.
# - A model tuned on few pictures, each shown again and again, is such a case: that a picture is "synthetic" says nothing about it.
#
# ## Limits, and what to read next
#
# The finder is tiny, the pictures are drawn and have 32 pixels a side, and one base and one synthetic set stand for all. With `origin = "real"` the same cells run on Kvasir-SEG {cite}`jha2020kvasirseg`, where no picture
# is without a polyp and the base is first tuned on one half of the training part (the new finding is drawn all the same); a serious run needs a pipeline of your own in `folder`. No defence (differential privacy, removal of doubles) was tried.
# Next: [the arena](arena.ipynb), where people say which pictures are drawn.

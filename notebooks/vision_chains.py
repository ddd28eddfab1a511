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
# # Boxes from yes and no: vision chains
#
# **A chat model can say whether there is a cup in a picture. You want a box around the cup, a mask, a map of distances. Can you get these by asking it small questions, and whose fault is it when they come out badly: the model's, or that of the questions?**
#
# A study of GPT-4o and its like {cite}`vision_chains` turns each dense task, one that wants an answer for every place in a picture, into a chain of classification questions: *is any part of the cup in this cell?*, *which of these two patches is farther away?* The answers are then put together by plain arithmetic. The authors send a specialist, too, through the same chains, answering from what it knows: its loss is to show the cost of the chain alone {cite}`vision_chains`. This chapter takes the chains apart: first without any model, then with the book's small reader of scenes.
#
# **After this chapter you can**
#
# - turn a box, a mask and a depth map into questions, and say what an errorless answerer would reach;
# - tell what wrong answers do to a chain, and compare chains within the same number of questions;
# - align depths that have no unit, in closed form;
# - separate the cost of a chain from the weakness of a model, with a specialist in the chain.
#
# You need least squares. Reading takes half an hour.

# %% tags=["parameters"]
profile = "cpu"
draws: int = 8
boxes_each: int = 200
rooms: int = 24
pictures: int = 48

# %% tags=["hide-input"]
from functools import cache

import matplotlib.pyplot as plt
import pandas as pd
import torch
from scipy.stats import rankdata
from torch.nn import functional as F

from mmlab.bases.scene_reader import scene_reader
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.conversations import prompts, tokenizer_of
from mmlab.data.worlds.scene_world import (
    COLOURS,
    QUESTIONS,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
    mask,
)
from mmlab.methods.vision_chains import (
    VisionChains,
    box_iou,
    crops,
    floor_of,
    order_by_pairs,
    scale_and_shift,
    superpixels,
    win_rates,
    zoom,
)
from mmlab.nn.answers import answer_laws
from mmlab.viz import (
    claim,
    claimed,
    frames,
    record,
    say,
    show,
    table,
    table_over_seeds,
)
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import lines, use_theme

use_theme()

# %% [markdown]
# ## Zoom: a box by nine questions at a time

# %% tags=["hide-input"]
# Code of the drawing
parts = {
    "x": Box(0, 0.6, "picture,\nwindow"),
    "q": Box(1, 0.6, "nine questions:\nis any part in here?"),
    "vlm": Box(2.2, 0, "model"),
    "oracle": Box(2.2, 0.6, "oracle"),
    "special": Box(2.2, 1.2, "specialist,\nfrom its own box"),
    "w": Box(3.4, 0.6, "rectangle of\nthe yes cells (1)"),
}
show(
    diagram(
        parts,
        [Arrow("x", "q"), Arrow("q", "vlm"), Arrow("q", "oracle"), Arrow("q", "special"), Arrow("vlm", "w"), Arrow("oracle", "w"), Arrow("special", "w")],
    ),
    alt="A drawing: a window of the picture becomes nine questions; a model, an oracle or a specialist answers them, and the rectangle around the cells with a yes is the next window.",
    caption="The chain does not care who answers. The oracle answers without errors: its result is what the chain gives to such an answerer. The specialist's result, beside its own box, is what the chain takes from this specialist.",
)  # fmt: skip

# %% [markdown]
# Cut the window $w = (x_1, y_1, x_2, y_2)$ in nine cells at the shares $0, c, 1-c, 1$ of each axis. Ask of each cell $z$ whether any part of the object is inside, $r_z \in \{0, 1\}$. The next window is the smallest rectangle around the cells with a yes:
#
# $$w' = \Big(\min_{z:\, r_z = 1} x_1^z,\; \min_{z:\, r_z = 1} y_1^z,\; \max_{z:\, r_z = 1} x_2^z,\; \max_{z:\, r_z = 1} y_2^z\Big). \tag{1}$$
#
# The cuts begin at $c = 1/4$. When nothing is cut off, $c$ becomes $1/8$; when nothing is cut off by that either, $w$ is the answer. There are at most seven rounds, and nine times no counts as nine times yes {cite}`vision_chains_repository`.
#
# **What can an errorless answerer, an oracle, reach?** Overlap is measured by IoU, intersection over union: the area that two boxes share, divided by the area that either covers. When the chain stops by itself, the object reaches into all four outer strips. So on each side less than $c$ of the window is empty, the object is wider than $1 - 2c$ of it and higher than $1 - 2c$, and
#
# $$\mathrm{IoU} > (1 - 2c)^2, \tag{2}$$
#
# which is 9/16 for $c = 1/8$: an oracle never falls below that, unless the rounds run out first. Nor does it reach 1, except on boxes whose sides lie on the cuts.


# %%
def zoom_once(box, window, c):
    """One round of (1) with an errorless answerer, on plain numbers."""
    x1, y1, x2, y2 = window
    xs = [x1 + c_ * (x2 - x1) for c_ in (0, c, 1 - c, 1)]
    ys = [y1 + c_ * (y2 - y1) for c_ in (0, c, 1 - c, 1)]
    yes = [
        (a, b)
        for a in range(3)
        for b in range(3)
        if min(xs[a + 1], box[2]) > max(xs[a], box[0])
        and min(ys[b + 1], box[3]) > max(ys[b], box[1])
    ]
    across, down = zip(*yes, strict=True)
    return (xs[min(across)], ys[min(down)], xs[max(across) + 1], ys[max(down) + 1])


def truth_of(boxes):
    """An errorless answerer."""

    def ask(cells, which):
        b = boxes[which][:, None]
        low = torch.maximum(cells[..., :2], b[..., :2])
        return (torch.minimum(cells[..., 2:], b[..., 2:]) - low > 1e-9).all(-1)

    return ask


one = torch.tensor([[0.30, 0.55, 0.42, 0.83]])
window = (0.0, 0.0, 1.0, 1.0)
for _ in range(3):
    window = zoom_once(one[0].tolist(), window, 0.25)
found, _ = zoom(truth_of(one), 1, rounds=3)
assert torch.allclose(torch.tensor([window]), found, atol=1e-6)
say(
    f"Three rounds by hand and by the package: {', '.join(f'{v:.4f}' for v in window)}. The bound (2) is {floor_of(1 / 8):.4f}."
)

# %% [markdown]
# ## Wrong answers
#
# Now each answer is flipped with probability $f$, each time anew. No model is needed to see what follows. Three rivals:
#
# - **halving**: for each of the four sides, halve the interval in which it lies. *Is any part left of this line?* (and right of it, above, below). Seven halvings of four sides are 28 questions. Fewer halvings leave room to ask each question several times and to take the majority, more of them make the answer finer;
# - **fixed grid**: ask once of each cell of a grid, and take the rectangle around the rows and columns with at least $k$ times yes;
# - **coordinates**: no questions; the four numbers are read off with a Gaussian error of standard deviation $f$ of the picture's side, sorted and clipped to the picture. That one $f$ is a share of wrong answers and the other a distance; nothing says that a model which has one has the other. The comparison is the one that a user of *this* pair of numbers would face.
#
# Halving answers with the middle of what is left for each side, and (1) with outer edges: without errors, its window covers the box. So zoom may take a margin off at the end: 0, 1/32, 1/16 or 1/8 of the last window's width and height, on each side. The grid may take off half a cell. Zoom, halving and grid have sixteen settings each, chosen for each $f$ on boxes of their own, and at most 64 questions. *Zoom, outer edges* chooses among the four settings without a margin, and *zoom as published* has nothing to choose.

# %%
FLIPS = (0.0, 0.02, 0.05, 0.1, 0.2)


def random_boxes(count, rng):
    size = 0.1 + 0.5 * torch.rand(count, 2, generator=rng)
    low = torch.rand(count, 2, generator=rng) * (1 - size)
    return torch.cat([low, low + size], 1)


def flipped(ask, rate, rng, votes=1):
    """The majority of so many answers, each flipped by itself."""

    def answer(cells, which):
        right = ask(cells, which)
        wrong = (torch.rand(votes, *right.shape, generator=rng) < rate).sum(0)
        return right ^ (wrong * 2 > votes)

    return answer


def taken_in(box, margin):
    """Boxes, less a share of their width and height on each side."""
    off = margin * (box[:, 2:] - box[:, :2])
    return torch.cat([box[:, :2] + off, box[:, 2:] - off], 1)


def in_order(x1, y1, x2, y2):
    """Boxes inside of the picture, their corners sorted."""
    box = torch.stack([torch.minimum(x1, x2), torch.minimum(y1, y2), torch.maximum(x1, x2), torch.maximum(y1, y2)], 1)  # fmt: skip
    return box.clamp(0, 1)


def halve(ask, count, bits):
    """Boxes by halving: four questions in each of so many rounds."""
    low, high, which = torch.zeros(count, 4), torch.ones(count, 4), torch.arange(count)  # fmt: skip
    zero, one = torch.zeros(count), torch.ones(count)
    for _ in range(bits):
        a, b, c, d = ((low + high) / 2).unbind(1)
        strips = [(zero, zero, a, one), (zero, zero, one, b), (c, zero, one, one), (zero, d, one, one)]  # fmt: skip
        yes = ask(torch.stack([torch.stack(s, 1) for s in strips], 1), which)
        up = torch.cat(
            [~yes[:, :2], yes[:, 2:]], 1
        )  # the side lies beyond the line
        middle = (low + high) / 2
        low, high = torch.where(up, middle, low), torch.where(up, high, middle)
    return in_order(*((low + high) / 2).unbind(1))


def grid(ask, count, side, least, off):
    """Boxes by one look at side x side cells, less a share of a cell on each side."""
    at = torch.arange(side) / side
    y, x = torch.meshgrid(at, at, indexing="ij")
    cells = torch.stack([x, y, x + 1 / side, y + 1 / side], -1).view(1, -1, 4)
    yes = ask(cells.expand(count, -1, -1), torch.arange(count)).view(count, side, side)  # fmt: skip
    ends = []
    for axis in (1, 2):  # columns, then rows
        on = yes.sum(axis) >= least
        on = torch.where(on.any(1, keepdim=True), on, True).float()
        ends.append((on.argmax(1) / side, 1 - on.flip(1).argmax(1) / side))
    (x1, x2), (y1, y2) = ends
    inner = off / side
    return torch.stack([x1 + inner, y1 + inner, x2 - inner, y2 - inner], 1)


CUTS = ((1 / 4, 1 / 8, 7, 1), (1 / 4, 1 / 16, 7, 1), (1 / 3, 1 / 8, 7, 1), (1 / 4, 1 / 8, 2, 3))  # fmt: skip
MARGINS = (0, 1 / 32, 1 / 16, 1 / 8)
HALVINGS = [(b, 1) for b in (3, 4, 5, 6, 7, 9, 12, 16)] + [(2, 3), (3, 3), (4, 3), (5, 3), (2, 5), (3, 5), (2, 7), (1, 15)]  # fmt: skip
GRIDS = [(8, 1, 1), (8, 2, 1), (8, 3, 1), (6, 1, 1), (6, 2, 1), (4, 1, 1), (4, 1, 3), (4, 2, 3)]  # fmt: skip


def zooms(margins):
    return {
        f"cuts {cut:.3g} and {fine:.3g}, {rounds} rounds, votes {votes}, margin {margin:.3g}": (cut, fine, rounds, margin, votes)
        for cut, fine, rounds, votes in CUTS for margin in margins
    }  # fmt: skip


CHAINS = {
    "zoom": zooms(MARGINS),
    "zoom, outer edges": zooms((0,)),
    "halving": {f"{bits} halvings, votes {votes}": (bits, votes) for bits, votes in HALVINGS},
    "fixed grid": {f"side {side}, at least {least}, votes {votes}, {off:g} of a cell off": (side, least, off, votes) for side, least, votes in GRIDS for off in (0, 1 / 2)},
}  # fmt: skip


def run_chain(kind, how, boxes, rate, rng):
    ask = flipped(truth_of(boxes), rate, rng, how[-1])
    if kind.startswith("zoom"):
        return taken_in(zoom(ask, len(boxes), *how[:3])[0], how[3])
    return (halve if kind == "halving" else grid)(ask, len(boxes), *how[:-1])


def overlap(kind, how, rate, seed):
    rng = torch.Generator().manual_seed(seed)
    boxes = random_boxes(boxes_each, rng)
    return box_iou(run_chain(kind, how, boxes, rate, rng), boxes).mean().item()


chosen, rows = {}, []
for rate in FLIPS:
    for kind, settings in CHAINS.items():
        chosen[kind, rate] = max(settings, key=lambda s: overlap(kind, settings[s], rate, 999))  # fmt: skip
        for d in range(draws):
            value = overlap(kind, settings[chosen[kind, rate]], rate, d)
            rows.append({"method": kind, "seed": d, "f": rate, "IoU": value})
    for d in range(draws):
        rng = torch.Generator().manual_seed(d)
        boxes = random_boxes(boxes_each, rng)
        read = in_order(*(boxes + rate * torch.randn(boxes.shape, generator=rng)).unbind(1))  # fmt: skip
        rows.append({"method": "coordinates", "seed": d, "f": rate, "IoU": box_iou(read, boxes).mean().item()})  # fmt: skip
        paper = run_chain("zoom", (1 / 4, 1 / 8, 7, 0, 1), boxes, rate, rng)
        rows.append({"method": "zoom as published", "seed": d, "f": rate, "IoU": box_iou(paper, boxes).mean().item()})  # fmt: skip
flips = pd.DataFrame(rows)
mean = flips.groupby(["method", "f"])["IoU"].mean()
ORDER = [
    "zoom as published",
    "zoom, outer edges",
    "zoom",
    "halving",
    "fixed grid",
    "coordinates",
]
show(
    lines(flips, "f", "IoU"),
    alt="Mean overlap against the share f of flipped answers, or the error of coordinates. "
    + " ".join(
        f"{kind}: " + ", ".join(f"{mean[kind, f]:.2f} at {f:g}" for f in FLIPS) + "."
        for kind in ORDER
    ),
    caption=f"Mean IoU of {boxes_each} boxes with sides of 0.1 to 0.6 of the picture's; the band is the 95 % interval over {draws} draws. For *coordinates*, $f$ is the standard deviation of each of the four numbers, which are then sorted and clipped to the picture. At 0.05, zoom was given {chosen['zoom', 0.05]}; halving {chosen['halving', 0.05]}; the grid {chosen['fixed grid', 0.05]}. The highest mean of all is that of "
    + ", ".join(f"*{max(ORDER, key=lambda k: mean[k, f])}* at {f:g}" for f in FLIPS)
    + ".",
    label="chains-flips",
)  # fmt: skip


# %%
def of(kind, rate):
    part = flips[(flips["method"] == kind) & (flips["f"] == rate)]
    return part.sort_values("seed")["IoU"].tolist()


def compared(name, ours, theirs, rate):
    return claimed(
        f"{name}-at-{round(100 * rate)}",
        of(ours, rate),
        of(theirs, rate),
        direction="higher",
        better=f"f = {rate:g}: *{ours}* is ahead of *{theirs}*, {{ours}} against {{theirs}}.",
        worse=f"f = {rate:g}: *{theirs}* is ahead of *{ours}*, {{theirs}} against {{ours}}.",
        undecided=f"f = {rate:g}: *{ours}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
    )


said = []
for rate in FLIPS:
    if rate in (0, 0.05):
        said.append(compared("zoom-outer-edges", "zoom", "zoom, outer edges", rate))  # fmt: skip
    said.append(compared("zoom-halving", "zoom", "halving", rate))
    said.append(compared("zoom-grid", "zoom", "fixed grid", rate))
    if rate > 0:  # without an error, coordinates reach 1
        said.append(compared("zoom-coordinates", "zoom", "coordinates", rate))
say("\n".join(f"- {sentence}" for sentence in said))
rng = torch.Generator().manual_seed(5)
many = random_boxes(boxes_each, rng)
ended, asked = zoom(truth_of(many), boxes_each, rounds=30)
least = box_iou(ended, many).min().item()
assert least > floor_of(1 / 8)
say(
    f"As published and with no wrong answers, zoom has a mean overlap of **{mean['zoom as published', 0.0]:.3f}**. In that sense it is the ceiling of this chain as published; a wrong *no* to a sliver may still tighten a window by luck, and a margin raises it to {mean['zoom', 0.0]:.3f}. With up to thirty rounds the least overlap of {boxes_each} boxes is {least:.3f}, above the bound (2)."
)


# %%
def one_sided(boxes, rate, rng, wrong):
    """An answerer that errs only where the right answer is yes, or only where it is no."""
    ask = truth_of(boxes)

    def answer(cells, which):
        right = ask(cells, which)
        return right ^ ((torch.rand(right.shape, generator=rng) < rate) & (right == (wrong == "no")))  # fmt: skip

    return answer


said = []
for rate in FLIPS[1:]:
    sides = {"no": [], "yes": []}
    for wrong, values in sides.items():
        for d in range(draws):
            rng = torch.Generator().manual_seed(d)
            boxes = random_boxes(boxes_each, rng)
            found, _ = zoom(one_sided(boxes, rate, rng, wrong), boxes_each)
            values.append(box_iou(found, boxes).mean().item())
    said.append(
        claimed(
            f"wrong-no-wrong-yes-at-{round(100 * rate)}",
            sides["no"],
            sides["yes"],
            direction="higher",
            better=f"f = {rate:g}: the wrong *yes* does more harm and leaves {{theirs}}, the wrong *no* {{ours}}.",
            worse=f"f = {rate:g}: the wrong *no* does more harm and leaves {{ours}}, the wrong *yes* {{theirs}}.",
            undecided=f"f = {rate:g}: the wrong *no* ({{ours}}) and the wrong *yes* ({{theirs}}) cannot be told apart.",
        )
    )
say(
    "Zoom as published, with a share f of the cells of the object answered *no*, or of the empty cells answered *yes*:\n\n"
    + "\n".join(f"- {sentence}" for sentence in said)
)

# %% [markdown]
# Of the two errors, a later round can mend a wrong *yes*, and not a wrong *no* that took a whole strip away. The list above says what the two came to, rate by rate. It does not say why: cells with a right *yes* and with a right *no* are not equally many, and the second round that cuts nothing off ends the chain, so that after a wrong *yes* there may be no later round.
#
# Asking the same question three times is a remedy as far as the three answers err apart from one another. Flips drawn by a generator do. A model that picks its likeliest answer says the same again about the same crop. Its errors follow what is in the crop; whether that does something else than flips is asked below.

# %% tags=["hide-input"]
# Code of the widget
SHOWN = torch.tensor([[0.55, 0.2, 0.8, 0.55]])


@cache
def windows(rate, seed):
    def ask():
        return flipped(truth_of(SHOWN), rate, torch.Generator().manual_seed(seed))  # fmt: skip

    return [zoom(ask(), 1, rounds=k)[0][0].tolist() for k in range(1, 8)]


def draw_windows(rate, seed):
    figure, axes = plt.subplots(figsize=(3.4, 3.4))
    x1, y1, x2, y2 = SHOWN[0].tolist()
    axes.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, color="#0072b2", alpha=0.6))  # fmt: skip
    for k, (x1, y1, x2, y2) in enumerate(windows(rate, seed)):
        axes.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=0.6 + 0.25 * k, ec="#d55e00"))  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[], yticks=[])
    return figure


def told(rate, seed):
    at = torch.tensor(windows(rate, seed))
    got = [f"{v:.2f}" for v in box_iou(at, SHOWN.expand(7, -1)).tolist()]
    return f"A blue box and the orange windows of seven rounds, with answers flipped at {rate:g}, draw {seed}. Overlap round by round: {', '.join(got)}."


frames(
    {"flips": [0.0, 0.05, 0.1, 0.2], "draw": [0, 1, 2]},
    draw_windows,
    told,
    caption="Windows of the zoom (orange, later ones thicker) on one box (blue). Turn up the flips: a wrong *yes* may leave a window too large, which a later round can mend as long as there is one (the second that cuts nothing off is the last); a wrong *no* may cut off part of the object, and no later round asks there again.",
    start={"flips": 0.05, "draw": 0},
)

# %% [markdown]
# ## Masks from pieces
#
# For a mask, the picture is cut into pieces of like colour, superpixels {cite}`achanta2012slic`, and each is asked for: does it belong to the object? What the pieces alone lose is seen when each gets the label of most of its pixels. (This makes the fewest wrong pixels, and need not make the largest overlap: for that, a piece with less than half inside may count, too.) Squares of a grid are the control that ignores the picture; there are as many as pieces at the start, of which some may end empty. With flips, each piece errs by itself; the dull remedy is a majority of the piece and all pieces that it touches.

# %%
SIDE = 8


def some_scenes(count, rng):
    """A figure anywhere in the picture, its 64 x 64 pixels, its mask."""

    def pick(options):
        return list(options)[int(torch.randint(len(options), (), generator=rng))]

    def scene():
        size, more = (
            pick(SIZES),
            (torch.rand((), generator=rng).item() * 2 - 1) * 0.07,
        )
        room = 1 - SIZES[size] * (1 + more)
        x, y = ((torch.rand(2, generator=rng) * 2 - 1) * room).tolist()
        return Scene((Figure(pick(SHAPES), pick(COLOURS), "upper left", size, (x + 0.5, y + 0.5, more)),))  # fmt: skip

    scenes = [scene() for _ in range(count)]
    masks = torch.stack([mask(s.figures[0], 64) for s in scenes])
    return scenes, draw(scenes, 64, rng), masks


def mask_iou(first, second):
    return ((first & second).sum() / (first | second).sum().clamp(min=1)).item()


rng = torch.Generator().manual_seed(1)
few = max(6, pictures // 2)
_, drawn, masks = some_scenes(few, rng)
rows, on = [], {"grid": [], "superpixels": []}
for n in range(few):
    for name, weight in (("grid", 0.0), ("superpixels", 3.0)):
        piece = superpixels(drawn[n], SIDE, weight, turns=4)
        one = F.one_hot(piece, SIDE * SIDE).flatten(0, 1).float()  # (H W, pieces)
        size = one.sum(0).clamp(min=1)
        label = (one.T @ masks[n].flatten().float()) / size > 0.5
        on[name].append(int(label.sum()))
        right, below = (one.view(64, 64, -1)[:, :-1].flatten(0, 1).T @ one.view(64, 64, -1)[:, 1:].flatten(0, 1), one.view(64, 64, -1)[:-1].flatten(0, 1).T @ one.view(64, 64, -1)[1:].flatten(0, 1))  # fmt: skip
        touch = ((right + right.T + below + below.T) > 0).float().fill_diagonal_(0)
        for rate in (0.0, 0.05, 0.1, 0.2):
            said = label ^ (torch.rand(SIDE * SIDE, generator=rng) < rate)
            voted = (said.float() + touch @ said.float()) / (1 + touch.sum(1)) > 0.5
            for remedy, labels in (("as said", said), ("neighbours vote", voted)):
                rows.append({"pieces": name, "remedy": remedy, "f": rate, "picture": n, "IoU": mask_iou(labels[piece], masks[n])})  # fmt: skip
segments = pd.DataFrame(rows)
table(
    segments.pivot_table(index=["pieces", "remedy"], columns="f", values="IoU").rename(columns=lambda f: f"f = {f:g}").rename_axis(None, axis=1).reset_index().assign(row=lambda t: t["pieces"] + ", " + t["remedy"]).set_index("row").drop(columns=["pieces", "remedy"]),
    f"Overlap of masks from {SIDE * SIDE} pieces with the true mask, mean of {few} pictures, by the share f of wrong answers.",
    digits=2,
)  # fmt: skip
say(
    f"Of the {SIDE * SIDE} pieces, on the mean {sum(on['superpixels']) / few:.1f} of like colour ({min(on['superpixels'])} to {max(on['superpixels'])}) belong to the figure, and {sum(on['grid']) / few:.1f} squares ({min(on['grid'])} to {max(on['grid'])})."
)


def segmented(name, remedy, rate):
    part = segments[(segments["pieces"] == name) & (segments["remedy"] == remedy) & (segments["f"] == rate)]  # fmt: skip
    return part.sort_values("picture")["IoU"].tolist()


claim(
    "superpixels-grid",
    segmented("superpixels", "as said", 0.0),
    segmented("grid", "as said", 0.0),
    direction="higher",
    over="items",
    better="Without wrong answers, pieces of like colour reach {ours}, squares {theirs}.",
    worse="Without wrong answers, squares reach {theirs}, pieces of like colour only {ours}.",
    undecided="Without wrong answers, pieces of like colour ({ours}) and squares ({theirs}) cannot be told apart.",
)
for rate in (0.0, 0.05, 0.2):
    claim(
        f"neighbours-as-said-at-{round(100 * rate)}",
        segmented("superpixels", "neighbours vote", rate),
        segmented("superpixels", "as said", rate),
        direction="higher",
        over="items",
        better=f"At f = {rate:g}, the vote of neighbours helps the pieces: {{ours}} against {{theirs}}.",
        worse=f"At f = {rate:g}, the vote of neighbours harms the pieces: {{ours}} against {{theirs}}.",
        undecided=f"At f = {rate:g}, the pieces as said ({{theirs}}) and with the vote of neighbours ({{ours}}) cannot be told apart.",
    )

# %% [markdown]
# ## Depth from pairs
#
# Which of two regions is farther? From answers $(i, j)$, *$i$ is farther than $j$*, a depth $x_i$ for each region follows by least squares, with a second term that wants neighbours $\mathcal N$ to be alike:
#
# $$x = \arg\min_x \sum_{(i, j)} w_{ij}\,(x_i - x_j - 1)^2 + \lambda \sum_{(i, j) \in \mathcal N} (x_i - x_j)^2. \tag{3}$$
#
# The gradient is linear in $x$, so one linear system gives $x$, up to a constant. The weights $w_{ij}$ are 1, or $2p - 1$ if the model tells a probability $p$ for its answer {cite}`vision_chains_repository`. Why ask each difference to be one? No distance was asked for; (3) counts answers, but against whom a region came out farther counts as well. The rival counts only how often,
#
# $$v_i = \frac{\#\{i \text{ farther}\} + m/2}{\#\{i \text{ asked}\} + m}, \tag{4}$$
#
# here with $m = 1$. Since neighbours tell much about a region by themselves, the rival gets them, too: $v$ is smoothed by $\sum_i n_i (x_i - v_i)^2 + \lambda \sum_{\mathcal N} (x_i - x_j)^2$, where $n_i$ counts how often $i$ was asked. Both choose $\lambda$ among the same eight, up to 100, by the rank correlation on rooms of their own, for each number of pairs and each share of right answers; the repository fixes 20 {cite}`vision_chains_repository`. And (3) also runs with next to no smoothing.
#
# A depth without a unit is compared with the truth after
#
# $$a = \frac{\sum_i (x_i - \bar x)(t_i - \bar t)}{\sum_i (x_i - \bar x)^2}, \qquad b = \bar t - a \bar x, \tag{5}$$
#
# the scale and shift that fit most closely. These are fitted to the truth that they are judged by: a constant depth gets $a = 0$ and the mean of the truth, and a depth that runs backwards gets an $a$ below zero, which turns it round (the repository sets such an $a$ to zero {cite}`vision_chains_repository`). So the table has Spearman's correlation, that of the ranks, which needs no $a$ and $b$; one sentence below is on the error after (5).

# %%
REGIONS, ROOM = 64, 8
STEPS = (1e-6, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
CELLS = [(60, 0.85), (200, 1.0), (200, 0.85), (200, 0.7), (800, 0.85), (800, 0.7)]
places = torch.arange(REGIONS).view(ROOM, ROOM)
NEAR = torch.cat([torch.stack([places[:, :-1].flatten(), places[:, 1:].flatten()], 1), torch.stack([places[:-1].flatten(), places[1:].flatten()], 1)])  # fmt: skip


def room(rng):
    """Depth of 8 x 8 regions: a tilted wall and two things before it."""
    y, x = torch.meshgrid(torch.linspace(0, 1, ROOM), torch.linspace(0, 1, ROOM), indexing="ij")  # fmt: skip
    tilt = torch.randn(2, generator=rng)
    depth = 4 + tilt[0] * x + tilt[1] * y
    for _ in range(2):
        (a, b), far = torch.randint(0, ROOM - 3, (2,), generator=rng).tolist(), torch.rand((), generator=rng)  # fmt: skip
        depth[b : b + 3, a : a + 3] = 1.5 + far
    return (depth + 0.05 * torch.randn(ROOM, ROOM, generator=rng)).flatten().double()  # fmt: skip


def answered(depth, count, right, rng):
    """Pairs, the farther first; so many of the answers are right."""
    pairs = torch.stack([torch.randperm(REGIONS, generator=rng)[:2] for _ in range(count)])  # fmt: skip
    farther = depth[pairs[:, 0]] > depth[pairs[:, 1]]
    farther ^= torch.rand(count, generator=rng) > right
    return torch.where(farther[:, None], pairs, pairs.flip(1))


def smoothed(pairs, strength):
    v, n = win_rates(pairs, REGIONS), torch.bincount(pairs.flatten(), minlength=REGIONS).double()  # fmt: skip
    touch = torch.zeros(len(NEAR), REGIONS, dtype=torch.float64)
    touch.scatter_(1, NEAR, torch.tensor([[1.0, -1.0]], dtype=torch.float64).expand(len(NEAR), -1))  # fmt: skip
    system = torch.diag(n) + strength * touch.T @ touch
    return torch.linalg.solve(system + 1e-9 * torch.eye(REGIONS, dtype=torch.float64), n * v)  # fmt: skip


def squares(pairs, strength):
    return order_by_pairs(pairs, REGIONS, strength, NEAR)


def judged(x, depth):
    a, b = scale_and_shift(x, depth)
    ranks = torch.stack([torch.from_numpy(rankdata(v)) for v in (x, depth)])
    return float(torch.corrcoef(ranks)[0, 1]), float(((a * x + b - depth).abs() / depth).mean())  # fmt: skip


WAYS = {"least squares": squares, "win rate": smoothed}
rows, picked, flat = [], {}, {}
for count, right in CELLS:
    rng = torch.Generator().manual_seed(70)
    tuning = [(depth := room(rng), answered(depth, count, right, rng)) for _ in range(8)]  # fmt: skip
    rng = torch.Generator().manual_seed(71)
    tests = [(depth := room(rng), answered(depth, count, right, rng)) for _ in range(rooms)]  # fmt: skip
    flat[count, right] = sum(float(((d.mean() - d).abs() / d).mean()) for d, _ in tests) / rooms  # fmt: skip
    for name, way in WAYS.items():
        picked[name, count, right] = max(STEPS, key=lambda s: sum(judged(way(p, s), d)[0] for d, p in tuning))  # fmt: skip
    for name, way, strength in [(name, way, picked[name, count, right]) for name, way in WAYS.items()] + [("least squares, not smoothed", squares, STEPS[0])]:  # fmt: skip
        for k, (depth, pairs) in enumerate(tests):
            spearman, error = judged(way(pairs, strength), depth)
            rows.append({"method": name, "room": k, "pairs": count, "right": right, "Spearman": spearman, "error": error})  # fmt: skip
depths = pd.DataFrame(rows)
wide = depths.assign(cell=depths["pairs"].astype(str) + " pairs, " + depths["right"].map("{:g}".format) + " right")  # fmt: skip
cells_ = list(dict.fromkeys(wide["cell"]))
room_budgets = Budgets("least squares", {name: Spent(None, None, ("smoothing",), len(STEPS)) for name in WAYS} | {"least squares, not smoothed": Spent()})  # fmt: skip
table_over_seeds(
    wide.pivot(index=["method", "room"], columns="cell", values="Spearman").reset_index()[["method", "room", *cells_]],
    f"Spearman's correlation of depths from pairs with the truth, {REGIONS} regions.",
    over="room",
    best=dict.fromkeys(cells_, "higher"),
    order=[*WAYS, "least squares, not smoothed"],
    budgets=room_budgets,
    digits=2,
)  # fmt: skip


def in_rooms(method, count, right, what="Spearman"):
    part = depths[(depths["method"] == method) & (depths["pairs"] == count) & (depths["right"] == right)]  # fmt: skip
    return part.sort_values("room")[what].tolist()


say(
    "\n".join(
        "- "
        + claimed(
            f"squares-win-rate-at-{count}-{round(100 * right)}",
            in_rooms("least squares", count, right),
            in_rooms("win rate", count, right),
            direction="higher",
            called="rooms",
            better=f"{count} pairs, {right:g} of them right: least squares is ahead of the win rate, {{ours}} against {{theirs}}.",
            worse=f"{count} pairs, {right:g} of them right: the win rate is ahead of least squares, {{theirs}} against {{ours}}.",
            undecided=f"{count} pairs, {right:g} of them right: least squares ({{ours}}) and win rate ({{theirs}}) cannot be told apart.",
        )
        for count, right in CELLS
    )
)
claim(
    "smoothed-not-smoothed",
    in_rooms("least squares", 200, 0.85),
    in_rooms("least squares, not smoothed", 200, 0.85),
    direction="higher",
    called="rooms",
    better="With 200 pairs at 0.85, the wish for like neighbours lifts least squares from {theirs} to {ours}.",
    worse="With 200 pairs at 0.85, the wish for like neighbours lowers least squares from {theirs} to {ours}.",
    undecided="With 200 pairs at 0.85, least squares with ({ours}) and without ({theirs}) the wish for like neighbours cannot be told apart.",
)
claim(
    "squares-win-rate-error",
    in_rooms("least squares", 200, 0.85, "error"),
    in_rooms("win rate", 200, 0.85, "error"),
    direction="lower",
    called="rooms",
    better="There, after (5), least squares is off by a smaller share of the depth than the win rate: {ours} against {theirs}.",
    worse="There, after (5), the win rate is off by a smaller share of the depth than least squares: {theirs} against {ours}.",
    undecided="There, after (5), least squares ({ours}) and win rate ({theirs}) cannot be told apart by the share of the depth that they are off.",
)
say(
    f"A constant depth would be off by {flat[200, 0.85]:.4f} there. The λ chosen, in the order of the columns: "
    + "; ".join(
        f"{name} {', '.join(f'{picked[name, *cell]:g}' for cell in CELLS)}"
        for name in WAYS
    )
    + f". The list ends at {STEPS[-1]:g}."
)
shown_rooms = depths.groupby(["method", "pairs", "right"])["error"].mean().round(4)
record(rooms={f"{m}, {p} pairs, {r:g}": v for (m, p, r), v in shown_rooms.items()})

# %% [markdown]
# ## A model in the chain, and a specialist
#
# Now somebody who sees. The book's reader of [scenes](tinyllava.ipynb) was taught to name shape, colour, size and quarter of one figure in a whole picture, never to say where something ends. It is frozen. A cell of the picture is drawn to its size, it is asked *which colour?*, and the answer is yes if the log-probability of the figure's colour is above a threshold. The reader was never shown an empty picture, and its figures stood near the middle of a quarter; here they stand anywhere.
#
# The **specialist** gets the same frozen vision tower and what the reader never had: 400 pictures with boxes. It maps what the reader's language model would see of the picture, the tower's features after the connector, to the four coordinates by ridge regression, a least squares with a penalty on the size of the weights. It sees the whole picture at half the resolution or its four quarters at the full one, whichever does more on the validation pictures. And because these scenes are so plain, there is a rival without any network: **brightness**, the extent of all pixels of which one colour channel is above a threshold. In the chain both answer by their own boxes.
#
# Zoom runs here as published, with outer edges; one row takes a margin off the reader's last window.
#
# | row | who | chosen on 24 validation pictures |
# | --- | --- | --- |
# | reader in the chain | zoom, the reader answers | one of four thresholds |
# | reader in the chain, margin | the same, less a margin | the same threshold, then one of four margins |
# | reader, halving | halving, the reader answers, 20 questions | one of four thresholds |
# | specialist, directly | its four numbers | one of two resolutions and four penalties |
# | specialist in the chain | zoom; it answers by its own box | the same |
# | brightness, directly | the extent of the bright pixels | one of eight thresholds, on the specialist's 400 pictures |
# | brightness in the chain | zoom; it answers by its own box | the same |
# | flips at the reader's rate | zoom; the oracle, flipped as often as the reader errs, separately for *yes* and *no*; mean of eight draws | – |
# | mean box | the mean of the specialist's 400 boxes | – |
# | oracle in the chain | zoom; the mask answers | – |

# %%
reader, world = scene_reader()
tokenizer = tokenizer_of(world.sentences())


class Asked(torch.nn.Module):
    """Log-probability that the reader calls the colour of crops so, whatever picture they are of."""

    def __init__(self, reader, word):
        super().__init__()
        self.reader, self.word = reader, word

    @torch.no_grad()
    def forward(self, x):
        found = []
        for part in x.split(144):
            one = prompts([(part[0], QUESTIONS["colour"])], tokenizer, size=32)
            n = len(part)
            batch = {"input_ids": one["input_ids"].expand(n, -1), "length": one["length"].expand(n), "images": part[:, None]}  # fmt: skip
            ids = torch.tensor([[tokenizer.encode("red")]]).expand(n, 1, -1)
            found.append(answer_laws(self.reader, batch, ids, 0)[:, 0, 0])
        return torch.cat(found)[:, self.word]


def box_of(masks):
    """The extent of masks, (N, 4)."""
    n = masks.shape[-1]
    (x1, x2), (y1, y2) = (
        (v.float().argmax(1) / n, 1 - v.flip(1).float().argmax(1) / n) for v in (masks.any(1), masks.any(2))
    )  # fmt: skip
    return torch.stack([x1, y1, x2, y2], 1)


class Answers:
    """The reader's log-probabilities for cells of pictures, and a count of its errors."""

    def __init__(self, scenes, drawn, masks):
        self.drawn, self.masks = drawn, masks
        words = [tokenizer.encode(c)[0] for c in COLOURS]
        self.colour = torch.tensor([list(COLOURS).index(s.figures[0].colour) for s in scenes])  # fmt: skip
        self.model = VisionChains([3, 32, 32], Asked(reader, words).eval())
        self.asked = []

    def truth(self, cells, which):
        return crops(self.masks[which, None].float(), cells).amax((2, 3, 4)) > 0.5

    def above(self, threshold):
        def ask(cells, which):
            asked = crops(self.drawn[which], cells, 32).flatten(0, 1)
            logs = self.model.model(asked).view(*cells.shape[:2], -1)
            logs = logs[torch.arange(len(which)), :, self.colour[which]]
            self.asked.append((cells, which, logs > threshold))
            return logs > threshold

        return ask


rng = torch.Generator().manual_seed(11)
fit = some_scenes(400, rng)
check = Answers(*some_scenes(max(4, pictures // 2), rng))
test = Answers(*some_scenes(pictures, rng))
truth, check_truth = box_of(test.masks), box_of(check.masks)
THRESHOLDS, PENALTIES, BITS = (-0.5, -1.0, -2.0, -4.0), (1.0, 30.0, 1000.0, 30000.0), 5  # fmt: skip
BRIGHT, FLIP_DRAWS = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5), 8


def chained(answers, threshold):
    return zoom(answers.above(threshold), len(answers.drawn))[0]


def halved(answers, threshold):
    return halve(answers.above(threshold), len(answers.drawn), BITS)


def chosen_of(found):
    """Which setting's boxes overlap most with those of the validation pictures."""
    return max(found, key=lambda how: box_iou(found[how], check_truth).mean().item())  # fmt: skip


zoomed = {t: chained(check, t) for t in THRESHOLDS}
best = {"zoom": chosen_of(zoomed), "halving": chosen_of({t: halved(check, t) for t in THRESHOLDS})}  # fmt: skip
margin = chosen_of({m: taken_in(zoomed[best["zoom"]], m) for m in MARGINS})


@torch.no_grad()
def features(drawn):
    """What the tower sees of whole pictures at half the resolution, and of their four quarters at the full one."""
    quarters = drawn.unfold(2, 32, 32).unfold(3, 32, 32).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)  # fmt: skip
    whole, parts = (torch.cat([reader.features(some).flatten(1) for some in x.split(100)]).double() for x in (F.avg_pool2d(drawn, 2), quarters))  # fmt: skip
    return {"half": whole, "full": parts.view(len(drawn), -1)}


boxes = box_of(fit[2]).double()
mean_box = boxes.mean(0)
seen, seen_check, seen_test = (features(x) for x in (fit[1], check.drawn, test.drawn))  # fmt: skip


def specialist(new, resolution, penalty):
    a, middle = seen[resolution], seen[resolution].mean(0)
    inner = (a - middle) @ (a - middle).T
    w = torch.linalg.solve(inner + penalty * torch.eye(len(inner), dtype=torch.float64), boxes - mean_box)  # fmt: skip
    return ((new[resolution] - middle) @ ((a - middle).T @ w) + mean_box).float()


def bright(drawn, threshold):
    """The extent of what is bright; the whole picture if nothing is."""
    on = drawn.amax(1) > threshold
    return box_of(on | ~on.any((1, 2), keepdim=True))


SETTINGS = [(r, p) for r in ("half", "full") for p in PENALTIES]
resolution, penalty = chosen_of({how: specialist(seen_check, *how) for how in SETTINGS})  # fmt: skip
level = max(BRIGHT, key=lambda t: box_iou(bright(fit[1], t), boxes.float()).mean().item())  # fmt: skip
direct, by_brightness = specialist(seen_test, resolution, penalty), bright(test.drawn, level)  # fmt: skip
test.asked = []
by_reader = chained(test, best["zoom"])
said = torch.cat([yes.flatten() for _, _, yes in test.asked])
true = torch.cat(
    [test.truth(cells, which).flatten() for cells, which, _ in test.asked]
)
missed = (~said[true]).float().mean().item()
invented = said[~true].float().mean().item()
rng = torch.Generator().manual_seed(3)


def as_often(cells, which):
    right = test.truth(cells, which)
    return right ^ (torch.rand(right.shape, generator=rng) < torch.where(right, missed, invented))  # fmt: skip


found = {
    "reader in the chain": by_reader,
    "reader in the chain, margin": taken_in(by_reader, margin),
    "reader, halving": halved(test, best["halving"]),
    "specialist, directly": direct,
    "specialist in the chain": zoom(truth_of(direct), len(direct))[0],
    "brightness, directly": by_brightness,
    "brightness in the chain": zoom(truth_of(by_brightness), len(direct))[0],
    "mean box": mean_box.float().expand(len(direct), -1),
    "oracle in the chain": zoom(test.truth, len(direct))[0],
}
overlaps = {name: box_iou(box, truth) for name, box in found.items()}
lots = torch.stack([box_iou(zoom(as_often, len(direct))[0], truth) for _ in range(FLIP_DRAWS)])  # fmt: skip
overlaps["flips at the reader's rate"] = lots.mean(0)
above = {name: (v > 0.5).float().mean().item() for name, v in overlaps.items()}
above["flips at the reader's rate"] = (lots > 0.5).float().mean().item()
seen_budgets = Budgets(
    "reader in the chain",
    {
        name: Spent(None, None, tuned, tries)
        for name, tuned, tries in (
            ("reader in the chain", ("threshold",), len(THRESHOLDS)), ("reader, halving", ("threshold",), len(THRESHOLDS)),
            ("reader in the chain, margin", ("threshold", "margin"), len(THRESHOLDS) + len(MARGINS)),
            ("specialist, directly", ("resolution", "penalty"), len(SETTINGS)), ("specialist in the chain", ("resolution", "penalty"), len(SETTINGS)),
            ("brightness, directly", ("threshold",), len(BRIGHT)), ("brightness in the chain", ("threshold",), len(BRIGHT)),
        )
    },
)  # fmt: skip
table(
    pd.DataFrame({name: {"IoU": v.mean().item(), "above a half": above[name]} for name, v in overlaps.items()}).T,
    f"Overlap with the true box, {pictures} test pictures. The oracle is what the chain gives to an answerer without errors.",
    digits=2,
    budgets=seen_budgets,
)  # fmt: skip
record(budget=seen_budgets.plain(), overlap={name: round(v.mean().item(), 4) for name, v in overlaps.items()})  # fmt: skip

# %%
PAIRED = (
    ("reader-specialist-in-chain", "reader in the chain", "specialist in the chain"),
    ("specialist-in-chain-directly", "specialist in the chain", "specialist, directly"),
    ("brightness-in-chain-directly", "brightness in the chain", "brightness, directly"),
    ("reader-brightness-in-chain", "reader in the chain", "brightness in the chain"),
    ("specialist-brightness-directly", "specialist, directly", "brightness, directly"),
    ("reader-mean-box", "reader in the chain", "mean box"),
    ("reader-oracle", "reader in the chain", "oracle in the chain"),
    ("reader-margin", "reader in the chain, margin", "reader in the chain"),
    ("reader-zoom-halving", "reader in the chain, margin", "reader, halving"),
    ("reader-independent-flips", "reader in the chain", "flips at the reader's rate"),
)  # fmt: skip
say(
    "\n".join(
        "- "
        + claimed(
            f"seen-{name}",
            overlaps[ours].tolist(),
            overlaps[theirs].tolist(),
            direction="higher",
            over="items",
            called="pictures",
            better=f"*{ours.capitalize()}* is ahead of *{theirs}*: {{ours}} against {{theirs}}.",
            worse=f"*{theirs.capitalize()}* is ahead of *{ours}*: {{theirs}} against {{ours}}.",
            undecided=f"*{ours.capitalize()}* ({{ours}}) and *{theirs}* ({{theirs}}) cannot be told apart.",
        )
        for name, ours, theirs in PAIRED
    )
)
lost = {
    name: (who, overlaps[f"{name}, directly"] - overlaps[f"{name} in the chain"])
    for name, who in (
        ("specialist", "the specialist"),
        ("brightness", "brightness"),
    )
}
say(
    "What the chain takes, as a difference of overlaps:\n\n"
    + "\n".join(
        "- "
        + claimed(
            f"loss-oracle-{name}",
            (1 - overlaps["oracle in the chain"]).tolist(),
            values.tolist(),
            direction="lower",
            over="items",
            called="pictures",
            better=f"It takes less from the oracle than from {who}, {{ours}} against {{theirs}}.",
            worse=f"It takes more from the oracle than from {who}, {{ours}} against {{theirs}}.",
            undecided=f"What it takes from the oracle ({{ours}}) and from {who} ({{theirs}}) cannot be told apart.",
        )
        for name, (who, values) in lost.items()
    )
)
say(
    f"Of the questions in its own chain the reader missed {missed:.3f} of those with a yes and invented {invented:.3f} of those with a no. The thresholds chosen are {best['zoom']:g} for zoom and {best['halving']:g} for halving, the margin {margin:g}; the specialist got the {resolution} resolution and the penalty {penalty:g}, brightness the threshold {level:g}. The lowest threshold of the reader tried is {min(THRESHOLDS):g}."
)

# %% [markdown]
# The row *flips at the reader's rate* asks whether it matters *which* answers are wrong. Its flips are spread over the questions by lot; the reader's errors follow the crops, and may crowd in some pictures. Its rates are those of all pictures and rounds together, and its chain goes its own way and meets other questions; so it is not independence alone in which the two rows differ. The claims above say on which side the reader comes out.
#
# What does the chain take away? From the oracle, what it lacks to 1; from the specialist and from brightness, the difference between its two rows. These need not agree, and the last list compares them. A box that is off is moved by the cuts to another box, and that can be nearer to the truth or farther from it; the oracle's box can only lose. What a chain takes is said of one answerer, then, not of the chain.
#
# ## What went wrong in practice
#
# - The whole picture as the first window gives the reader nine crops of which the middle one is half as wide as the picture, and the corners a sixteenth of its area: one model must answer at several magnifications.
# - Strips of the halving are drawn to a square, so the figures in them are stretched. So are the zoom's cells at the sides. Halving also asks 20 questions, the zoom up to 63, and no row shows an oracle that halves five times. Is one of these why the reader's halving comes out as it does? Crops that keep the proportions, with a rim, would tell of the first; this page does not run them.
# - All answers of the reader pass one threshold, whatever the crop's size. It was chosen by the overlap at the end of the chain; one for each round might serve it otherwise.
#
# ## Exercises
#
# ```{exercise} Where a zoom stops (derive)
# :label: vision-chains-stop
#
# An errorless zoom has stopped by itself at the cut c. Take the four empty margins, as shares of the window, to be independent and uniform between 0 and c. Write (a) the least overlap, (b) the mean overlap.
# ```

# %% tags=["stub:stop"]
from mmlab.exercises.vision_chains import check_stop


def stop(c):
    least = ...
    mean = ...
    return least, mean


check_stop(stop)

# %% [markdown]
# ```{solution-start} vision-chains-stop
# :class: dropdown
# ```
#
# The overlap is the object's share of the window, $(1 - m_1 - m_2)(1 - m_3 - m_4)$. Least: all margins at $c$. Mean: the factors are independent, and each margin has the mean $c/2$.


# %% tags=["solution:stop"]
def stop(c):
    least = (1 - 2 * c) ** 2
    mean = (1 - c) ** 2
    return least, mean


check_stop(stop)

# %%
say(
    f"At 1/8 this says {stop(1 / 8)[1]:.3f}, and the errorless zoom above, with at most seven rounds, came to {mean['zoom as published', 0.0]:.3f}."
)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Scale and shift (code)
# :label: vision-chains-align
#
# Write (5): from depths x and truth t, both (N,), to a and b.
# ```

# %% tags=["stub:align"]
from mmlab.exercises.vision_chains import check_align


def align(x, t):
    return ...


check_align(align)

# %% [markdown]
# ```{solution-start} vision-chains-align
# :class: dropdown
# ```


# %% tags=["solution:align"]
def align(x, t):
    a = ((x - x.mean()) * (t - t.mean())).sum() / (x - x.mean()).square().sum()
    return a, t.mean() - a * x.mean()


check_align(align)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Is it worth asking three times? (derive)
# :label: vision-chains-votes
#
# Each answer is wrong with probability f, independently. A chain has n questions in a row and needs all of them right. Write the probability of that (a) if each is asked once, (b) if each is asked three times and the majority counts, (c) if the model repeats itself: asked again, it always says the same.
# ```

# %% tags=["stub:votes"]
from mmlab.exercises.vision_chains import check_votes


def votes(f, n):
    once = ...
    majority = ...
    repeats = ...
    return once, majority, repeats


check_votes(votes)

# %% [markdown]
# ```{solution-start} vision-chains-votes
# :class: dropdown
# ```
#
# A majority of three is wrong if two or three are: $3 f^2 (1 - f) + f^3$, which is less than $f$ for $0 < f < 1/2$. A model that repeats itself has one answer, so (c) is (a), at three times the cost.


# %% tags=["solution:votes"]
def votes(f, n):
    once = (1 - f) ** n
    majority = (1 - 3 * f**2 * (1 - f) - f**3) ** n
    repeats = once
    return once, majority, repeats


check_votes(votes)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A model in the chain has a mean overlap of 0.75, a specialist gives 0.9 by itself and 0.77 in the chain. What did the model lose, and to whom?
# The chain takes the difference of the last two from a specialist with such boxes; from another answerer it may take more or less. The model's answers, in place of the specialist's, account for what lies between the two numbers in the chain. To hold the model against the specialist outside of the chain would blame it for the chain.
# ```
#
# ```{dropdown} Which wrong answer can a later round of the zoom mend?
# A wrong yes: the window is too large, and the next rounds ask there again, if there are any; the second that cuts nothing off is the last. Where wrong answers of no take a whole strip away, part of the object is outside of the window for good. (One wrong no does this if no other cell of the strip got a yes.)
# ```
#
# ```{dropdown} What does (3) do with a region that no pair asked about?
# Only its neighbours hold it: with smoothing it takes their mean. Without, nothing does, and it stays at the mean of all.
# ```
#
# ## In five lines
#
# - A chain of questions turns a classifier into a detector, at the price of a ceiling that an errorless answerer shows.
# - The errorless zoom, once it stops by itself, overlaps by more than $(1-2c)^2$; finer last cuts raise that bound and may take more rounds.
# - Chains are to be compared at the same limit of questions and the same kind of errors; the figure of the flips has halving, which any course on algorithms teaches, beside the zoom, and a zoom that takes a margin off its outer edges.
# - Depth from pairs is one linear system; the rival to print is the counted rate (4), smoothed alike.
# - A specialist in the chain and outside of it tells what the chain takes from that specialist, an oracle what it takes from one without errors; flips at the model's own rate ask whether its errors do the same as errors by lot.
#
# ## Limits, and what to read next
#
# - Scenes of one figure on a dark ground; the study used photographs, many classes, and far larger models {cite}`vision_chains`, and showed them the whole picture beside the cell {cite}`vision_chains_repository`. None of its results is repeated here.
# - The reader is told which colour to look for; such a figure is found without any model, by a threshold on brightness, as the table shows. The specialist is a linear map from 400 pictures, not what a detector of today can do.
# - The zoom was rebuilt from the repository's description of it; pieces here are k-means in the manner of SLIC, and answers are flipped, not asked, for masks and depth.
# - Intervals over test pictures hold for this one reader and this one specialist. Thresholds of the reader and penalties are lists of four, far apart.
#
# [nlg2choice](nlg2choice.ipynb) asks a model in words and reads its answer by a tree of names; [TinyLLaVA](tinyllava.ipynb) builds the reader.

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
# # A blind competition, and what its votes say
#
# **Thirty people judged thirty items, and one system got most of the votes. Is it better? Or did we ask the same few people
# about the same few things very often?**
#
# What an automatic score cannot see, people can: whether an explanation is understood, whether a joke is one. So one shows them
# answers without names and counts votes. There are many votes soon, and many votes look like certainty. This chapter is about how
# much of it is real.
#
# **After this chapter you can**
#
# - set up a blind competition whose page, sides and order give nothing away, and keep every vote;
# - say how far a share of votes, a share of rounds and a strength can be trusted, when votes hang together;
# - plan how many people and items it takes, before anybody is asked;
# - measure how far people agree, and say what a low agreement means.
#
# You need shares, variances and logistic regression. Reading takes about half an hour.
#
# **All respondents on this page are simulated**, but for the real votes in *Do people agree?*, where their file is here. Nobody's opinion is invented: the simulation
# serves to know the truth that an interval must cover.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 8  # blocks of simulated competitions
trials: int = 50  # competitions in each block
people: int = 20
items: int = 20
resamples: int = 600

# %% tags=["hide-input"]
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlab.arena.competition import Answer, Competition, Item
from mmlab.arena.results import judge
from mmlab.arena.store import Ballot, Store
from mmlab.compare.power import (
    independent_votes,
    plan,
    power,
    simulate_votes,
    variances,
)
from mmlab.compare.two_way import (
    TwoWay,
    mean,
    pooled_interval,
    rounds_won,
    sign_test,
)
from mmlab.data.files.registry import where
from mmlab.data.sets.partiprompts_decisions import partiprompts_decisions
from mmlab.metrics.agreement import (
    fleiss_kappa,
    krippendorff_alpha,
    value_counts,
)
from mmlab.viz import claim, frames, record, say, show, table

OWN, COMMON = (
    0.5,
    0.8,
)  # deviation of the log-odds between people, and between items

# %% [markdown]
# ## The idea in one picture
#
# Two systems are alike in merit. Every respondent judges every item. But people have tastes, and items have sides: some pictures happen
# to suit one system, for everybody. So votes are no grains of sand. They come in rows and columns, here sorted by both. (Sorting alone makes a slope, of independent votes as well.
# Whether votes hang together, the two intervals show: of independent ones the two-way interval would be about $\sqrt3$ times as wide as the pooled one, for a reason given below.)

# %% tags=["hide-input"]
drawn = simulate_votes(
    30,
    30,
    np.random.default_rng(7),
    respondent_spread=OWN,
    item_spread=COMMON,
)
drawn = drawn[np.argsort(drawn.mean(1))][:, np.argsort(drawn.mean(0))]
respondents, things = np.indices(drawn.shape)
draws = TwoWay(respondents.ravel(), things.ravel(), resamples=resamples)
both = draws.interval(*mean(draws, drawn.ravel()))
alone = pooled_interval(drawn.ravel())
figure = Figure(figsize=(7.0, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
left.imshow(drawn, cmap="cividis", aspect="equal")
left.set(
    xlabel="items, sorted",
    ylabel="respondents, sorted",
    xticks=[],
    yticks=[],
)
for height, (e, colour) in enumerate([(alone, "tab:red"), (both, "tab:blue")]):
    right.plot([e.low, e.high], [height, height], color=colour, lw=3)
    right.plot(e.value, height, "o", color=colour)
right.axvline(0.5, color="black", lw=0.8)
right.set(xlabel="share of votes for the first system", ylim=(-0.7, 1.7))
right.set_yticks([0, 1], ["pooled", "two-way"])


def where_half_lies(e):
    return "does not hold" if e.excludes(0.5) else "holds"


show(
    figure,
    alt=(
        "Left, a square of 900 votes in two colours, sorted by respondent and item, whose colours change from corner to corner. Right, two "
        f"intervals: pooled from {alone.low:.2f} to {alone.high:.2f}, two-way from {both.low:.2f} to {both.high:.2f}."
    ),
    caption=(
        f"One simulated competition of equal systems. The pooled interval {where_half_lies(alone)} one half, the truth; the two-way "
        f"interval, {(both.high - both.low) / (alone.high - alone.low):.1f} times as wide, {where_half_lies(both)} it."
    ),
)

# %% [markdown]
# ## Where the uncertainty comes from
#
# Let $R$ respondents judge $I$ items, $y_{ri} = 1$ if $r$ prefers the first system on $i$, and split a vote into what is common, what belongs to the person, what belongs to the
# item, and the rest: $y_{ri} = p + a_r + b_i + e_{ri}$, with variances $v_a, v_b, v_e$ that sum to $p(1-p)$. In the share of votes $\hat p$,
# each $a_r$ is averaged over people only, each $b_i$ over items only:
#
# $$\operatorname{Var}\hat p = \frac{v_a}{R} + \frac{v_b}{I} + \frac{v_e}{RI}. \tag{1}$$
#
# Pooling assumes $p(1-p)/RI$. It divides *everything* by the number of votes. If people or items differ at all, its interval shrinks like $1/\sqrt{RI}$ and
# the error of the share only like $1/\sqrt R$ and $1/\sqrt I$: the more votes, the further apart the two.
#
# **An interval that draws both.** Draw $R$ respondents and $I$ items with replacement. If $r$ is drawn $m_r$ times and $i$ is drawn $n_i$ times, the vote counts $m_r n_i$ times
# {cite}`owen2007pigeonhole`:
#
# $$\hat p^* = \frac{\sum_{r,i} m_r\, n_i\, y_{ri}}{\sum_{r,i} m_r\, n_i}. \tag{2}$$
#
# That is two matrix products for all draws at once, and it does not ask that everybody judged everything. Owen shows what it costs: the spread of $\hat p^*$ counts
# $v_e/RI$ three times. That alone makes the interval $\sqrt3$ times as wide as it should be where votes *are* independent. Where they are not, the part that is counted three times weighs less, and the less the more people and items there are.
#
# **Three columns.** Reports of small competitions print a *share of votes*, a *share of rounds* that went to each, and a *rating*. A round is an item, and goes to whom a majority preferred. Rounds share
# their respondents, so they hang together, too; how much that matters for a sign test over rounds is counted below. The rating of many systems is the model of Bradley and Terry {cite}`bradley1952rank`, which gives each a strength $\theta$:
#
# $$P(a \text{ beats } b) = \frac{1}{1 + e^{-(\theta_a - \theta_b) - \gamma^\top x}}, \tag{3}$$
#
# a logistic regression on $+1$ for the one and $-1$ for the other. A tie counts half for each. The covariates $x$ take out what nobody meant to judge: which answer stood first, and which was longer. With two
# systems and no covariate it is the share again, with $w$ votes for the first and $l$ against it:
#
# $$\hat\theta_a - \hat\theta_b = \log\frac{w}{l}, \qquad \text{SE} = \sqrt{\frac1w + \frac1l} \quad\text{(if votes were independent)}. \tag{4}$$
#
# With $l = 0$ no finite strength fits. A program that prints a number there prints its stopping rule.
#
# ## The few lines
#
# The core of {py:mod}`mmlab.compare.two_way`, for a full table of votes:


# %%
def two_way(votes, rng, draws):
    """Shares (draws,) of a table of votes (R, I) with respondents and items drawn anew."""
    r, i = votes.shape
    m = rng.multinomial(r, np.full(r, 1 / r), size=draws)  # (draws, R)
    n = rng.multinomial(i, np.full(i, 1 / i), size=draws)  # (draws, I)
    return ((m @ votes) * n).sum(1) / (r * i)  # Eq. (2)


own_draws = two_way(drawn, np.random.default_rng(0), 20 * resamples)
wanted = (
    drawn.mean(1).var() / 30
    + drawn.mean(0).var() / 30
    + (drawn - drawn.mean(1)[:, None] - drawn.mean(0) + drawn.mean()).var() / 900
)
say(
    f"The draws spread by {own_draws.std():.4f}. The sums of squares of rows, columns and rest predict {wanted**0.5:.4f}."
)

# %% [markdown]
# ## How often is a winner announced that there is not?
#
# The systems are alike in merit, so every announcement is a false alarm, and an interval at the usual level may give one in twenty. The rivals of the two-way interval get the same votes: pooling, a bootstrap
# that draws items alone (as one that takes the respondents for fixed), one that draws respondents alone, and the sign test over rounds.


# %%
def one_way(votes, axis, rng):
    """Whether the bootstrap over one axis alone excludes one half."""
    means = votes.mean(1 - axis)
    shares = means[rng.integers(0, len(means), (resamples, len(means)))].mean(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return not low <= 0.5 <= high


def alarms(size, seed, share=0.5, own=OWN, common=COMMON):
    """Share of competitions in which each way of counting excludes one half."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        y = simulate_votes(
            size,
            size,
            rng,
            share=share,
            respondent_spread=own,
            item_spread=common,
        )
        r, i = np.indices(y.shape)
        draws = TwoWay(
            r.ravel(),
            i.ravel(),
            resamples=resamples,
            seed=int(rng.integers(2**31)),
        )
        found.append(
            {
                "pooled": pooled_interval(y.ravel()).excludes(0.5),
                "respondents drawn": one_way(y, 0, rng),
                "items drawn": one_way(y, 1, rng),
                "two-way": draws.interval(*mean(draws, y.ravel())).excludes(0.5),
                "sign test of rounds": sign_test(rounds_won(draws, y.ravel())[2])
                < 0.05,
            }
        )
    return pd.DataFrame(found).mean()


sizes = (10, people, 30) if people > 10 else (people,)
null = {
    (size, seed): alarms(size, 100 * size + seed)
    for size in sizes
    for seed in range(seeds)
}
null = pd.DataFrame(null).T.rename_axis(["size", "seed"])
by_size = null.groupby("size").mean()
table(
    by_size.T.rename_axis("interval").rename(
        columns=lambda size: f"{size} × {size}"
    ),
    f"False alarms of equal systems, respondents × items: share of {seeds * trials} simulated competitions. One in twenty is what was promised.",
    digits=2,
)
largest = by_size.index[-1]
kept = [str(name) for name, row in by_size.T.iterrows() if row.max() <= 0.07]
say(
    f"At 7 % or below at every size: {', '.join(kept) or 'none of them'}. (With {seeds * trials} competitions a true 5 % strays by about "
    f"{196 * (0.05 * 0.95 / (seeds * trials)) ** 0.5:.0f} points.)"
)
claim(
    "false-alarms-of-pooling",
    null.xs(largest, level="size")["pooled"].tolist(),
    null.xs(largest, level="size")["two-way"].tolist(),
    direction="lower",
    better="Pooling raised fewer false alarms than the two-way interval: {ours} against {theirs}.",
    worse="At the largest size, pooling announced a winner between equals in {ours} of the competitions, the two-way interval in {theirs}.",
    undecided="At the largest size, false alarms of pooling ({ours}) and of the two-way interval ({theirs}) cannot be told apart.",
    unit="%",
)
claim(
    "sign-test-and-one-in-twenty",
    null.xs(largest, level="size")["sign test of rounds"].tolist(),
    0.05,
    direction="lower",
    better="The sign test over rounds stays below one in twenty there: {ours}.",
    worse="The sign test over rounds, which share their respondents, is above one in twenty there: {ours}.",
    undecided="That rounds share their respondents does not show in the sign test there: its {ours} cannot be told from one in twenty.",
    unit="%",
)
if len(sizes) > 1:
    claim(
        "pooling-with-more-votes",
        null.xs(largest, level="size")["pooled"].tolist(),
        null.xs(sizes[0], level="size")["pooled"].tolist(),
        direction="lower",
        better="With more votes pooling raised fewer false alarms, {ours} in place of {theirs}.",
        worse="And **more votes made pooling worse**: {ours} with the most votes, {theirs} with the fewest.",
        undecided="Whether more votes made pooling better or worse is undecided: {ours} with the most votes, {theirs} with the fewest.",
        unit="%",
    )
record(false_alarms={name: by_size[name].tolist() for name in by_size})

# %% [markdown]
# Is it the spread of people and items that does it? Take it away, and pooling must be right. That is the run that separates this cause from others.

# %%
grains = pd.DataFrame(
    [alarms(largest, 900 + seed, own=0.0, common=0.0) for seed in range(seeds)]
)
say(
    "With respondents and items that do not differ, false alarms are: "
    + ", ".join(f"{name} {share:.0%}" for name, share in grains.mean().items())
    + ". This is the price of the two-way interval: it is careful where nobody had to be."
)

# %% [markdown]
# ## A competition from the file to the verdict
#
# A {py:class}`~mmlab.arena.competition.Competition` holds items and the answers of each system. The {py:class}`~mmlab.arena.store.Store` deals them out: the items that were given least, in an order and with sides that follow from a secret
# and are different for everybody. The page (`mmlab arena serve`) talks to the same store as this cell does. A simulated respondent follows the model above, and sometimes just takes the first answer. A real store draws its
# secret; here it is given, so that the table comes out the same again.

# %%
competition = Competition(
    title="Which sentence?",
    question="Which sentence explains the picture better?",
    items=[
        Item(
            f"item-{n}",
            Answer(f"Picture {n}"),
            {
                "ours": Answer(f"Waiting for number {n} to be called."),
                "theirs": Answer(f"Some people, a door, a {n}."),
            },
        )
        for n in range(items)
    ],
    rounds=items,
)


def run_competition(share, seed, first=0.1):
    """Let simulated respondents vote; returns the rows of the store."""
    rng = np.random.default_rng(seed)
    prefers = simulate_votes(
        people,
        items,
        rng,
        share=share,
        respondent_spread=OWN,
        item_spread=COMMON,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(
            competition, Path(folder) / "votes.sqlite", secret=f"truth {share}"
        ) as store,
    ):
        for person in range(people):
            token = store.join()
            shown = store.agree(token)
            while shown is not None:
                liked = (
                    "ours"
                    if prefers[person, int(shown.item.split("-")[1])]
                    else "theirs"
                )
                place = 0 if rng.random() < first else shown.shown.index(liked)
                shown = store.vote(token, Ballot(shown.id, str(place), {}))
        return store.votes()


results = {
    share: judge(
        run_competition(share, seed),
        resamples=5 * resamples,
    )
    for seed, share in enumerate((0.5, 0.6, 0.75))
}


def shown(e, digits=2):
    text = f"{e.value:.{digits}f} ({e.low:.{digits}f} to {e.high:.{digits}f})"
    return text.replace("-", "−")


three = pd.DataFrame(
    {
        f"truth {share:.0%}": {
            "share of votes": shown(found.pairs[0].share),
            "pooled": shown(found.pairs[0].pooled),
            "rounds won": shown(found.pairs[0].rounds),
            "sign test, p": (
                "< 0.001" if (p := found.pairs[0].sign) < 0.001 else f"{p:.3f}"
            ),
            "strength, Elo": shown(found.differences["ours", "theirs"], 0),
            "first answer, log-odds": shown(found.side),
            "verdict": found.winner or "no winner",
        }
        for share, found in results.items()
    }
)
table(
    three.rename_axis("ours against theirs"),
    f"Three simulated competitions of {people} respondents and {items} items; before side effects, the first system is preferred as often as the column says.",
)
for share, found in results.items():
    say(f"Truth {share:.0%}. {found.verdict()}")
record(verdicts={f"{share:.2f}": found.winner for share, found in results.items()})

# %% [markdown]
# The report (`mmlab arena report`) writes this table as a page, and its first sentence is that verdict. It names somebody only where the strengths *and* the share of votes exclude a tie. With several systems the differences of strength
# hold for all pairs at once.
#
# ## How many do I need?
#
# Put (1), with the last part counted three times, into the power of a test, and one can ask before anybody is asked. The formula takes the share of votes for normal. First check it against simulated competitions.

# %%
shares = (0.6, 0.7)
found_share = {
    share: [
        alarms(people, 5000 + seed, share=share)["two-way"] for seed in range(seeds)
    ]
    for share in shares
}
table(
    pd.DataFrame(
        {
            "formula": {
                f"{share:.0%}": power(
                    people,
                    items,
                    share,
                    respondent_spread=OWN,
                    item_spread=COMMON,
                )
                for share in shares
            },
            "simulated": {
                f"{share:.0%}": float(np.mean(values))
                for share, values in found_share.items()
            },
        }
    ).rename_axis("true share"),
    f"Chance that the two-way interval excludes one half, with {people} respondents and as many items; {seeds * trials} simulated competitions a row.",
    digits=2,
)
for share, values in found_share.items():
    claim(
        f"power-against-its-formula-{100 * share:.0f}",
        values,
        power(people, items, share, respondent_spread=OWN, item_spread=COMMON),
        direction="higher",
        unit="%",
        better=f"- True share {share:.0%}: told from one half in {{ours}} of the competitions, more often than the {{theirs}} of the formula.",
        worse=f"- True share {share:.0%}: told from one half in {{ours}} of the competitions, less often than the {{theirs}} of the formula.",
        undecided=f"- True share {share:.0%}: told from one half in {{ours}} of the competitions; the formula says {{theirs}}, and so many competitions do not tell the two apart.",
    )
needed = plan(0.6, respondent_spread=OWN, item_spread=COMMON)
say(
    f"By the formula, to tell a true share of 60 % from one half with a chance of four in five takes **{needed.respondents} respondents who judge {needed.items} items** each: "
    f"{needed.respondents * needed.items} votes. Independent votes, each of another person on another item, would be {independent_votes(0.6)}."
)

# %% tags=["hide-input"]
axis_people = np.array([5, 10, 15, 20, 30, 40, 60, 80])


def draw_power(share, common):
    grid = np.array(
        [
            [
                power(
                    int(r),
                    int(i),
                    share,
                    respondent_spread=OWN,
                    item_spread=common,
                )
                for r in axis_people
            ]
            for i in axis_people
        ]
    )
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, origin="lower", vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(len(axis_people)), axis_people)
    axes.set_yticks(range(len(axis_people)), axis_people)
    axes.set(xlabel="respondents", ylabel="items")
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            axes.text(
                x,
                y,
                f"{value:.0%}"[:-1],
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value < 0.6 else "black",
            )
    figure.colorbar(image, label="power")
    return figure


def describe_power(share, common):
    few, many = (
        power(80, 10, share, respondent_spread=OWN, item_spread=common),
        power(10, 80, share, respondent_spread=OWN, item_spread=common),
    )
    return (
        f"Power for a true share of {share:.0%} and a spread of {common} between items: {few:.0%} with 80 respondents and 10 items, "
        f"{many:.0%} with 10 respondents and 80 items."
    )


frames(
    {"true share": [0.55, 0.6, 0.65, 0.7], "spread of items": [0.2, 0.8, 1.5]},
    draw_power,
    describe_power,
    "Turn the knobs: chance in per cent to tell the systems apart. The more items differ, the less a crowd on few items can tell.",
    start={"true share": 0.6, "spread of items": 0.8},
)

# %% [markdown]
# ## Do people agree?
#
# A share says whom people prefer on the whole, not whether they prefer *the same things*. Krippendorff's $\alpha$ {cite}`krippendorff2011alpha` compares the disagreement within items, $D_o$, with that of votes dealt out at random, $D_e$:
#
# $$\alpha = 1 - \frac{D_o}{D_e}. \tag{5}$$
#
# It takes gaps and any number of people; Fleiss' $\kappa$ {cite}`fleiss1971kappa` is nearly the same where everybody judged everything. One means that all say the same of each item, zero that they agree as often as by chance.
#
# Low agreement need not be a fault of the people. If two answers are alike, nobody can agree which one to take. In the simulated rows only the spread between items changes.

# %%
levels = {}
for name, (own, common) in {
    "items decide little": (0.5, 0.2),
    "as above": (OWN, COMMON),
    "items decide much": (OWN, 3.0),
}.items():
    y = simulate_votes(
        people,
        items,
        np.random.default_rng(3),
        respondent_spread=own,
        item_spread=common,
    )
    counts = np.stack([y.sum(0), people - y.sum(0)], 1)
    levels[f"simulated, {name}"] = {
        "alpha": krippendorff_alpha(counts),
        "kappa": fleiss_kappa(counts),
        "items": items,
    }
real = (
    where("partiprompts_decisions") / "PartiPromptsAllDecisions_Alignment.tsv"
).is_file()
if real:
    for question in ("Alignment", "Realism"):
        votes = partiprompts_decisions(question)
        counts, _ = value_counts(
            [prompt for prompt, given in votes.items() for _ in given],
            [choice for given in votes.values() for choice in given],
        )
        full = counts[counts.sum(1) == 5]
        levels[f"real votes, {question.lower()}"] = {
            "alpha": krippendorff_alpha(counts),
            "kappa": fleiss_kappa(full),
            "items": len(votes),
        }
table(
    pd.DataFrame(levels).T.astype({"items": int}).rename_axis("votes"),
    "Agreement beyond chance. Simulated respondents, and real ones where the data are here.",
)
if real:
    votes = partiprompts_decisions("Alignment")
    every = [choice for given in votes.values() for choice in given]
    generated = np.array(
        [
            np.mean([{"gen": 1.0, "ret": 0.0, "same": 0.5}[v] for v in given])
            for given in votes.values()
        ]
    )
    claim(
        "generated-vs-retrieved",
        generated,
        0.5,
        direction="higher",
        over="items",
        better="Asked which picture fits the prompt, people preferred the generated one: {ours} of the votes, ties counted half.",
        worse="Asked which picture fits the prompt, people preferred the retrieved one: {ours} of the votes went to the generated one, ties counted half.",
        undecided="Generated and retrieved pictures cannot be told apart by these votes: {ours}, ties counted half.",
        unit="%",
    )
    say(
        f"These are {len(every):,} votes on {len(votes):,} prompts, collected to decide when a model should draw a picture and when it should fetch one {{cite}}`koh2023gill`. "
        "Who gave which vote is not in the file. So people cannot be drawn anew: the interval above draws prompts alone, and what a few busy people may have decided is not in it."
    )
else:
    say(
        "The real votes are not on this machine: `mmlab data fetch partiprompts_decisions` gets them."
    )

# %% [markdown]
# ## What goes wrong in practice
#
# - **The name leaks.** A file name, an attribute of the page, the metadata of a picture. The page of the arena gets opaque codes and pictures drawn anew, and a test searches every byte that a respondent receives. <!-- in general -->
# - **The side.** Some people take what stands first. Sides are drawn for each respondent and item, and the coefficient is printed. <!-- in general -->
# - **Two votes for one click.** A slow connection, a second click. The store counts a round once, and acknowledges a vote only when it is on disk. <!-- in general -->
# - **The missing rows.** An average without the raw rows cannot be checked. The export holds each vote, with the hidden mapping joined afterwards. <!-- in general -->
# - **Looking early.** Whoever looks at the votes each evening and stops when the interval is on one side has another false alarm rate than the table says. Fix the number first. <!-- in general -->
#
# How to run one is told in {doc}`../book/how_to/run_a_competition`.
#
# ## Exercises

# %% [markdown]
# ```{exercise} How far a share strays (code)
# :label: arena-spread
#
# Write the standard deviation of the share of votes, Eq. (1), from the three variances and the numbers of respondents and items.
# ```

# %% tags=["stub:spread"]
from mmlab.exercises.arena import check_spread


def spread(people, things, votes, r, i):
    return ...


check_spread(spread)

# %% [markdown]
# ```{solution-start} arena-spread
# :class: dropdown
# ```


# %% tags=["solution:spread"]
def spread(people, things, votes, r, i):
    variance = people / r + things / i + votes / (r * i)
    return math.sqrt(variance)


check_spread(spread)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} Two systems (code)
# :label: arena-strength
#
# Write Eq. (4) for independent votes: from wins, losses and ties of the first system, the difference of strengths and its standard error. A tie is half a win and half a loss.
# ```

# %% tags=["stub:strength"]
from mmlab.exercises.arena import check_strength


def strength(wins, losses, ties):
    return ...


check_strength(strength)

# %% [markdown]
# ```{solution-start} arena-strength
# :class: dropdown
# ```


# %% tags=["solution:strength"]
def strength(wins, losses, ties):
    won, lost = wins + ties / 2, losses + ties / 2
    return math.log(won / lost), math.sqrt(1 / won + 1 / lost)


check_strength(strength)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} However many people come (derive)
# :label: arena-floor
#
# A thousand volunteers would take part, but there are few items. Let $R \to \infty$ in Eq. (1). Derive the smallest $I$ for which an interval of half-width $z\,\mathrm{sd}(\hat p)$ can exclude one half when the true share leads by $d$ and is met exactly. Write it as a function of $v_b$, $d$ and $z$, and
# say why the factor three of the two-way bootstrap does not matter here.
# ```

# %% tags=["stub:floor"]
from mmlab.exercises.arena import check_floor


def floor(v_b, lead, z):
    return ...


check_floor(floor)

# %% [markdown]
# ```{solution-start} arena-floor
# :class: dropdown
# ```

# %% [markdown]
# With $R \to \infty$, both $v_a/R$ and $v_e/RI$ vanish, the last one however often it is counted. What is left is $\operatorname{Var}\hat p \to v_b/I$. The interval excludes one half if
# $z\sqrt{v_b/I} < d$, so $I > z^2 v_b/d^2$: the next whole number above.


# %% tags=["solution:floor"]
def floor(v_b, lead, z):
    return math.floor(z**2 * v_b / lead**2) + 1


check_floor(floor)

# %%
v_b = variances(0.6, OWN, COMMON)[1]
say(
    f"For a true share of 60 % here: v_b = {v_b:.4f}, and {floor(v_b, 0.1, 1.96)} items at least, for a chance of one in two."
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Check yourself
#
# ```{dropdown} A report says 64 % of 1,200 votes, p < 0.001, from 6 respondents. What do you ask for?
# The raw rows, by respondent and item. If two of the six like one style, the share may be theirs. How much six people differ, six people hardly show, whatever the number of votes.
# ```
#
# ```{dropdown} A system won 9 of 10 rounds, but its share of votes is 55 %. How can that be?
# <!-- in general --> It wins most items narrowly. A majority counts the same whether it is by one vote or by all. That is why both columns are printed.
# ```
#
# ```{dropdown} When is a strength better than a share?
# From three systems on: not everybody met everybody equally often, and a strength takes into account against whom a vote was given. With two systems and no covariates it is the same number in other units.
# ```
#
# ## In five lines
#
# 1. Votes of one person, and votes on one item, hang together; pooling them promises a certainty that is not there.
# 2. Draw people and items anew, weight each vote by both, and the interval holds what either would change.
# 3. <!-- in general --> Print the share of votes, the rounds won and the strength, each with its interval and n; name a winner only if they support one.
# 4. Plan first: the number of items limits what any crowd can tell.
# 5. Agreement is another question than preference, and low agreement is a result.
#
# **Limits.** The simulation has one kind of respondent and a bell-shaped spread; real ones tire, learn, and leave. The intervals ask for five people and five items at least, and say nothing about people or items of another kind
# than those asked. The power formula is for competitions in which everybody judges everything.

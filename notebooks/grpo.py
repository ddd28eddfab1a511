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
# # Rewards instead of answers: GRPO and DAPO
#
# **A model looks at a plotted series, writes down what it sees, and names a class. You have no good answers to imitate, but a rule that says whether an answer is right. What can be learnt from the rule alone, and how does that compare with learning from answers?**
#
# GRPO {cite}`shao2024deepseekmath` lets the model write several answers to each prompt, scores them by a rule, and makes those above the mean of their group more probable. DAPO {cite}`yu2025dapo` changes four details, and leaves out the divergence. TimeMaster {cite}`zhang2025timemaster` tunes a vision-language model with GRPO on
# plotted series, Patho-R1 {cite}`zhang2025pathor1` with both on pathology. Users of such trainers ask the same four questions again and again: *Why is my loss about 0? Why does the reward not rise? What are groups without spread? Why do I need a warm start?* This chapter answers them on a model so small that
# tens of thousands of answers take seconds.
#
# **After this chapter you can**
#
# - write GRPO in a few lines, with its conventions named: which deviation, which two epsilons, which mean;
# - say what the value of the loss tells (almost nothing) and what to look at instead;
# - find out why a reward does not rise, by four numbers of the log;
# - compare with three plainer ways to use the same answers: imitating the right ones, correcting the wrong ones, and REINFORCE.
#
# You need the idea of a language model and of a gradient; [TinyLLaVA](tinyllava.ipynb) shows a larger model that sees and writes. Reading takes about half an hour.

# %% tags=["parameters"]
profile = "cpu"
seeds: int = 5
steps: int | None = None  # of every tuning
prompts: int = 8  # in a step, each answered eight times
rates: tuple[float, ...] = (5e-4, 1.5e-3, 4e-3)  # that are tried

# %% tags=["hide-input"]
import itertools
import time

import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

import mmlab
from mmlab.bases.series_writer import RULES, WRITER, Imitation, series_writer
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.worlds.plotted_series import (
    CLASSES,
    GUIDELINE,
    OLD_GUIDELINE,
    TRENDS,
    WAVES,
    WORDS,
    sentence,
)
from mmlab.methods.dapo import DAPO
from mmlab.methods.grpo import GRPO, clipped_surrogate, group_advantages
from mmlab.viz import claimed, frames, record, say, show, table, table_over_seeds
from mmlab.viz.diagram import Arrow, Box, diagram
from mmlab.viz.theme import use_theme

use_theme()
steps = steps or {"cpu": 30, "gpu": 300}[profile]

# %% [markdown]
# ## One step

# %% tags=["hide-input"]
# Code of the drawing
boxes = {
    "p": Box(0, 0.9, "picture\nand question"),
    "m": Box(1.2, 0.9, "policy", "trained"),
    "1": Box(2.5, 0, "answer 1"),
    "2": Box(2.5, 0.9, "answer 2"),
    "3": Box(2.5, 1.8, "answer G"),
    "r": Box(3.7, 0.9, "rule:\n$r_1 \\dots r_G$", "frozen"),
    "a": Box(4.9, 0.9, "advantages (1)"),
    "l": Box(4.9, 1.9, "surrogate (2)\nwords by (4)", "loss"),
}
arrows = [
    Arrow("p", "m"),
    *[Arrow("m", name) for name in "123"],
    *[Arrow(name, "r") for name in "123"],
    Arrow("r", "a"),
    Arrow("a", "l"),
]
show(
    diagram(boxes, arrows),
    alt="A drawing: a picture and a question go to the policy, which writes answers 1, 2 up to G. A rule gives each a reward; from the rewards of the group come advantages, and with them the surrogate, which is maximised.",
    caption="Nobody says what the answer should have been. The rule is not differentiated; it is only asked.",
)

# %% [markdown]
# To a prompt the model writes $o_1, \dots, o_G$, drawn from its own law, and each gets a reward $r_i$. The **advantage** of an answer is what it is above its group,
#
# $$A_i = \frac{r_i - \operatorname{mean}(r)}{\operatorname{std}(r) + \varepsilon}. \tag{1}$$
#
# Which deviation, that with $G-1$ or that with $G$ in the denominator? Two rewards 1 and 0 tell which one a program uses: advantages of $\pm\sqrt{1/2}$ are of the first, $\pm 1$ of the second. TimeMaster's released code has the first, and it is the default here. Advantages of a group sum to 0, and if all rewards
# are the same, all are 0.
#
# With $\rho$ the probability of a word now over that when the answer was written, the **surrogate** of a word is
#
# $$\min\big(\rho A,\; \operatorname{clip}(\rho,\, 1-\epsilon_\text{low},\, 1+\epsilon_\text{high})\, A\big). \tag{2}$$
#
# It matters only after the first update on the same answers; before, every $\rho$ is 1. A good word stops being pushed once it is $1+\epsilon_\text{high}$ times as probable, a bad one at $1-\epsilon_\text{low}$. GRPO has one epsilon, 0.2; DAPO has $\epsilon_\text{high} = 0.28$, as rare words can rise only little under a bound that is a factor.
#
# A reference model, the one that tuning starts from, may hold the policy back. GRPO estimates the divergence $\mathrm{KL}(\pi \Vert \pi_\text{ref})$ from the words that were drawn,
#
# $$e^{d} - d - 1, \qquad d = \log \pi_\text{ref} - \log \pi, \tag{3}$$
#
# which is never negative, and in expectation over the policy's words the divergence itself, since $\mathbb{E}_\pi[\pi_\text{ref}/\pi] = 1$. DAPO has no such term.
#
# Values $v_{it}$ of word $t$ in answer $i$ become one number in one of **three ways**: each answer counts the same (GRPO), each word (DAPO; TimeMaster's code), or each word by a constant {cite}`liu2025understanding`,
#
# $$\frac1n \sum_i \frac{1}{|o_i|}\sum_t v_{it}, \qquad \frac{\sum_{i,t} v_{it}}{\sum_i |o_i|}, \qquad \frac{\sum_{i,t} v_{it}}{n L}. \tag{4}$$
#
# In the first, a word of a long wrong answer is punished less than one of a short wrong answer.
#
# The **rule** is TimeMaster's without its third part. It looks for the word *class* and compares what follows with the right class; a little is for the form (a thought, *class*, one word, the end):
#
# $$r = 0.9 \cdot [\text{right}] + 0.1 \cdot [\text{form}]. \tag{5}$$
#
# DAPO adds a price for length that begins $c$ words before the most words $L$ that there may be,
#
# $$-\operatorname{clip}\Big(\frac{|o| - (L - c)}{c},\, 0,\, 1\Big), \tag{6}$$
#
# and **dynamic sampling**: it uses only groups with
#
# $$\max_i r_i > \min_i r_i, \tag{7}$$
#
# and draws further prompts until the batch is full. {py:class}`~mmlab.methods.dapo.DAPO` of this package averages over the groups that are left; with `rounds` above 1 it tries the same prompts again. Below `rounds` is 1: nothing is drawn anew.
#
# ## The world
#
# A curve falls, keeps level or rises, with no wave, a slow or a fast one. The class follows from both by a guideline. The demonstrations were mostly written by an *older guideline*, which differs in four of the nine cells. The warm start imitates them; a few demonstrations in those cells have the right class.

# %%
warm, worlds = {}, {}
for seed in range(seeds):
    warm[seed], worlds[seed] = series_writer(seed)

# %% tags=["hide-input"]
# Code of the figure: curves and their answers
shown = worlds[0].test.tensors
figure = Figure(figsize=(6.6, 2.0), layout="constrained")
picked = [
    int(((shown["facts"] == torch.tensor(cell)).all(1)).nonzero()[0])
    for cell in ((2, 0), (0, 1), (1, 0), (2, 2))
]
told = []
for axes, i in zip(figure.subplots(1, 4), picked, strict=True):
    axes.imshow(shown["images"][i, 0, 0], cmap="gray")
    axes.set_axis_off()
    trend, wave = shown["facts"][i].tolist()
    new, old = CLASSES[GUIDELINE[trend][wave]], CLASSES[OLD_GUIDELINE[trend][wave]]
    axes.set_title(
        f"{TRENDS[trend]} {WAVES[wave]}\nclass {new}, was {old}", fontsize=8
    )
    told.append(
        f"{TRENDS[trend]} {WAVES[wave]}, class {new} and by the older guideline {old}"
    )
show(
    figure,
    alt=f"Four curves as small pictures: {'; '.join(told)}.",
    caption="What the model sees, 16 by 16 pixels, and what it should write. The words that name the classes mean nothing elsewhere.",
)


# %%
def writer(cls, weights, seed=0, **more):
    """A model of the size of the warm start, with its weights or, for None, untrained."""
    made = cls.seeded(seed, WRITER, **RULES, **more)
    if weights is not None:
        made.policy.load_state_dict(weights)
    return made.eval()


def measured(model, items):
    """Share of most probable answers that are right, have the form, and see what is there."""
    asked = items.tensors
    answers = model.generate(asked)[:, None]
    correct, formed = model.judged(asked, answers)
    seen = answers[:, 0, :2] - torch.tensor(
        [WORDS.index(TRENDS[0]), WORDS.index(WAVES[0])]
    )
    true = (seen == asked["facts"]).all(1).float()
    return {
        "right": float(correct.mean()),
        "form": float(formed.mean()),
        "true thought": float(true.mean()),
    }


def some(items, count):
    return {key: value[:count] for key, value in items.tensors.items()}


starting = {s: writer(GRPO, warm[s], s) for s in range(seeds)}
batch = some(worlds[0].train, 64)
answered = starting[0].prepare(batch, torch.Generator().manual_seed(0))
cells = [tuple(facts) for facts in batch["facts"].tolist()]
spread = answered["rewards"].amax(1) > answered["rewards"].amin(1)
picked = next(
    (i for i, (a, b) in enumerate(cells) if spread[i] and GUIDELINE[a][b] != OLD_GUIDELINE[a][b]),
    0,
)  # fmt: skip
by_reward = answered["rewards"][picked].argsort(descending=True).tolist()
advantage = group_advantages(answered["rewards"])[picked]
lines = [
    f"| {sentence(answered['completions'][picked, k])} | {answered['rewards'][picked, k]:.1f} | {advantage[k]:+.2f} |"
    for k in by_reward
]
say(
    f"The warm start on a curve with trend *{TRENDS[cells[picked][0]]}* and wave *{WAVES[cells[picked][1]]}*. The right class is *{WORDS[batch['answer'][picked]]}*. Its eight answers:\n\n"
    "| answer | reward | advantage |\n| --- | --- | --- |\n" + "\n".join(lines)
)

# %% [markdown]
# ## GRPO in a few lines, and why its loss is about 0
#
# The answers are written in the method's `prepare`, which {py:func}`mmlab.fit` calls once for every step, with randomness that depends on seed and step only. A run that was stopped goes on bit for bit.
#
# When answers are fresh, $\rho = 1$ and (2) has the value $A_i$ at each word. With equally long answers, or the mean over answers in (4), the sum over the group is 0 by (1): **the loss is 0 whatever the rewards are**. Its gradient is not. As $\nabla \rho = \rho\, \nabla \log \pi$, it is
#
# $$\nabla\Big(\frac1n\sum_i \frac1{|o_i|} \sum_t \rho_{it} A_i\Big)\Big|_{\rho = 1} = \frac1n\sum_i \frac{A_i}{|o_i|} \sum_t \nabla \log \pi(o_{it}),$$
#
# the policy gradient. The code below has both.


# %%
def grpo_by_hand(model, batch):
    """The loss without divergence, and the policy gradient that it should have."""
    mask = model.mask(batch["completions"])
    r = batch["rewards"].double()
    A = (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-6)
    now = model.log_probabilities(batch, batch["completions"])
    rho = (now - batch["old"]).exp()
    A = A.float()
    word = torch.minimum(rho * A[..., None], rho.clamp(0.8, 1.2) * A[..., None])
    per_answer = (word * mask).sum(-1) / mask.sum(-1)
    plain = (now * A[..., None] * mask).sum(-1) / mask.sum(-1)
    return -per_answer.mean(), -plain.mean()


model = writer(GRPO, warm[0], kl=0.0)
loss, plain = grpo_by_hand(model, answered)
values = list(model.policy.parameters())
one, other = (
    torch.cat(
        [g.flatten() for g in torch.autograd.grad(x, values, retain_graph=True)]
    )
    for x in (loss, plain)
)
package = model.loss(answered, torch.Generator())
assert torch.allclose(package["loss"], loss, atol=1e-6)
assert torch.allclose(one, other, atol=1e-6)
norm = float(one.norm())
say(
    f"At the first update the loss is {abs(loss.item()):.1e}, the norm of its gradient {norm:.3f}, and its distance from the policy gradient {float((one - other).norm()):.1e}. "
    f"The package's loss is the same. In {package['zero_spread']:.0%} of these groups all rewards are the same: they add nothing to that gradient."
)
record(
    first_loss=abs(loss.item()),
    first_gradient=norm,
    zero_spread_warm=float(package["zero_spread"]),
)
same = torch.full((1, 8), 0.1)
rounded = (same - same.mean()) / (same.std() + 1e-6)
say(
    f"Why in double precision? Eight rewards of 0.1 have no spread. In single precision their mean is not quite 0.1, and over 1e-6 the rounding becomes an advantage of {rounded[0, 0].item():+.4f} for each of them; the package says {group_advantages(same)[0, 0].item():+.4f}."
)

# %% [markdown]
# So the value of the loss is no progress report. At a second update on the same answers $\rho$ has moved and the loss is no longer exactly 0; with a divergence, that is added. Look at the **reward**, at the share of **groups without spread**, at the share of **clipped** words, and at the **divergence**: the history of every GRPO run has these four (DAPO's has no divergence).
#
# ## Two epsilons

# %% tags=["hide-input"]
# Code of the widget: the two ends of the range
ratios = torch.linspace(0.4, 1.8, 141)


def draw_clip(high):
    figure = Figure(figsize=(6.0, 2.6), layout="constrained")
    for axes, sign in zip(figure.subplots(1, 2), (1.0, -1.0), strict=True):
        cut = clipped_surrogate(ratios.log(), torch.tensor(sign), 0.2, high)
        axes.plot(ratios, sign * ratios, color="0.7", ls="--", label="not clipped")
        axes.plot(ratios, cut, label="surrogate (2)")
        axes.axvline(1, color="0.8", lw=1)
        axes.set(xlabel="ρ", title=f"A = {sign:+.0f}")
    axes.legend(fontsize=8)
    return figure


def say_clip(high):
    return f"For a good answer the surrogate is flat above ρ = {1 + high:g}, for a bad one below ρ = 0.8; on the other sides it follows the dashed line."


frames(
    {"upper epsilon": [0.1, 0.2, 0.28, 0.5]},
    draw=draw_clip,
    alt=say_clip,
    caption="The surrogate of one word. A flat piece has no gradient; where an update went the wrong way (a good word less probable, a bad one more), nothing is cut.",
    start={"upper epsilon": 0.28},
)

# %% [markdown]
# ## The rivals
#
# All start from the same warm start, and draw the same number of answers in as many steps, with as many updates. REINFORCE clips and keeps the divergence as GRPO does; the two that imitate do neither:
#
# - **expert iteration** (rejection sampling): imitate those of one's answers that are right;
# - **supervised answers**: put the right class into one's own answers and imitate them. The rule knows the right class, so this is allowed; it can count the class alone, or the whole answer, and both are tried;
# - **REINFORCE** with the mean reward of the batch as its baseline: no groups, no deviation.
#
# Two controls: **shuffled rewards** go to other answers of the same group, and a **cold start** is GRPO without a warm start. *Right* is an answer whose word after the first *class* is the right one, whatever its form.


# %%
class Reinforce(GRPO):
    def advantages(self, rewards):
        return rewards - rewards.mean()


class ExpertIteration(Imitation):
    def prepare(self, batch, rng):
        made = GRPO.prepare(self, batch, rng)
        right, formed = self.judged(batch, made["completions"])
        chosen = (right * formed)[..., None]
        return {**made, "weights": self.mask(made["completions"]) * chosen}


class Supervised(Imitation):
    """The right class is put after the first mark; without one there is nothing to put right."""

    whole = False  # whether all words count, or the class alone

    def prepare(self, batch, rng):
        made = GRPO.prepare(self, batch, rng)
        answers = made["completions"].clone()
        marks = answers == self.mark
        place = marks.int().argmax(-1, keepdim=True) + 1
        usable = marks.any(-1, keepdim=True) & (place < self.words)
        place = place.clamp(max=self.words - 1)
        answers.scatter_(-1, place, batch["answer"][:, None, None].expand_as(place))
        only = torch.zeros(answers.shape).scatter_(-1, place, usable.float())
        weights = self.mask(answers) * usable if self.whole else only
        return {**made, "completions": answers, "weights": weights}


class SupervisedWhole(Supervised):
    whole = True


class Shuffled(GRPO):
    def prepare(self, batch, rng):
        made = super().prepare(batch, rng)
        order = torch.rand(made["rewards"].shape, generator=rng).argsort(1)
        return {**made, "rewards": made["rewards"].gather(1, order)}


ROWS = {  # classes that are tried, and their arguments
    "GRPO": ([GRPO], {}),
    "DAPO": ([DAPO], {}),
    "REINFORCE": ([Reinforce], {}),
    "expert iteration": ([ExpertIteration], {"kl": 0.0}),
    "supervised answers": ([Supervised, SupervisedWhole], {"kl": 0.0}),
    "cold start": ([GRPO], {}),
}


taken = {}  # seconds of the processor, of every tuning


def tuned(cls, rate, seed, row, **more):
    model = writer(cls, None if row == "cold start" else warm[seed], seed, **more)
    began = time.process_time()
    history = mmlab.fit(
        model, worlds[seed].train, steps=steps, batch_size=prompts, lr=rate, seed=seed, progress=False
    )  # fmt: skip
    taken.setdefault(row, []).append(time.process_time() - began)
    return model, history


# %% [markdown]
# Each row tries three rates (*supervised answers* with either way to count), and keeps what is right most often on the validation curves of the first two seeds; *shuffled rewards* take GRPO's. Then all is measured on test curves, for every seed with a world and a warm start of its own. What is measured is the most probable answer, not a drawn one.

# %%
choosing = range(min(2, seeds))  # seeds on which a row's rate is chosen
COUNTED = {Supervised: ", class", SupervisedWhole: ", all words"}
found, histories, chosen, models, searched = [], {}, {}, {}, {}
for row, (classes, more) in ROWS.items():
    tries, score = {}, {}
    for cls, rate in itertools.product(classes, rates):
        made = [tuned(cls, rate, seed, row, **more) for seed in choosing]
        rights = [
            measured(made[seed][0], worlds[seed].validation)["right"]
            for seed in choosing
        ]
        tries[cls, rate], score[cls, rate] = made, sum(rights) / len(rights)
        searched.setdefault(row + COUNTED.get(cls, ""), {})[f"{rate:g}"] = score[
            cls, rate
        ]
    chosen[row] = max(score, key=score.get)
    cls, rate = chosen[row]
    for seed in range(seeds):
        done = (
            tries[chosen[row]][seed]
            if seed in choosing
            else tuned(cls, rate, seed, row, **more)
        )
        models[row, seed], histories[row, seed] = done  # fmt: skip
for seed in range(seeds):
    models["warm start", seed] = starting[seed]
    row = "shuffled rewards"
    models[row, seed], histories[row, seed] = tuned(
        Shuffled, chosen["GRPO"][1], seed, row
    )
for (row, seed), model in models.items():
    found.append(
        {"method": row, "seed": seed, **measured(model, worlds[seed].test)}
    )
found = pd.DataFrame(found)
RIVALS = [row for row in ROWS if row != "cold start"]
ORDER = ["warm start", *RIVALS, "shuffled rewards", "cold start"]
spent = {
    row: Spent(steps, tuned=("rate",) if row in ROWS else (), tries=len(rates) * len(ROWS[row][0]) if row in ROWS else 1)
    for row in ORDER
    if row != "warm start"
}  # fmt: skip
budgets = Budgets("GRPO", {row: s for row, s in spent.items() if row in RIVALS})
table_over_seeds(
    found,
    f"Test curves, {seeds} seeds; {steps} steps of {prompts} prompts with eight answers. The last two rows are controls.",
    best={"right": "higher"},
    order=ORDER,
    reference=["shuffled rewards", "cold start"],
)  # fmt: skip
table(
    pd.DataFrame(searched).T,
    f"The search: share of right answers on validation curves, by rate. Mean of the first {len(choosing)} seeds.",
)
table(
    pd.DataFrame(
        {
            "rate": {row: f"{chosen[row][1]:g}" for row in RIVALS},
            "counted": {
                row: COUNTED.get(chosen[row][0], "").removeprefix(", ")
                for row in RIVALS
            },
            "steps": {row: spent[row].steps for row in RIVALS},
            "tries": {row: spent[row].tries for row in RIVALS},
            "answers drawn": dict.fromkeys(RIVALS, steps * prompts * 8),
            "CPU s": {
                row: f"{sum(taken[row]) / len(taken[row]):.1f}" for row in RIVALS
            },
        }
    ),
    "What was chosen, and what each row was allowed. Answers drawn and seconds of the processor are those of one tuning.",
    budgets=budgets,
)
right = {row: found[found["method"] == row].sort_values("seed")["right"].tolist() for row in ORDER}  # fmt: skip
thoughts = {row: found[found["method"] == row].sort_values("seed")["true thought"].tolist() for row in ORDER}  # fmt: skip
record(right=right, true_thought=thoughts, budget=budgets.plain())
ends = [row for row in ROWS if chosen[row][1] in (min(rates), max(rates))]
say(
    "Right answers in the worst and the best seed: "
    + "; ".join(f"*{row}* {min(right[row]):.0%} and {max(right[row]):.0%}" for row in ORDER)
    + ". "
    + (f"At an end of the rates that were tried, so that the best may lie beyond: {', '.join(ends)}." if ends else "No row chose a rate at an end of those that were tried.")
)  # fmt: skip


# %%
def ruled(name, ours, theirs, a, b, what="right answers"):
    return claimed(
        f"right-{name}",
        ours,
        theirs,
        direction="higher",
        unit="%",
        better=f"{what}: *{a}* is ahead of *{b}*, {{ours}} against {{theirs}}.",
        worse=f"{what}: *{b}* is ahead of *{a}*, {{theirs}} against {{ours}}.",
        undecided=f"{what}: *{a}* ({{ours}}) and *{b}* ({{theirs}}) cannot be told apart.",
    )


NAMES = {
    "GRPO": "grpo",
    "DAPO": "dapo",
    "REINFORCE": "reinforce",
    "expert iteration": "expert-iteration",
    "supervised answers": "supervised",
    "warm start": "warm-start",
    "shuffled rewards": "shuffled",
    "cold start": "cold",
}
PAIRS = [
    ("GRPO", "warm start"),
    ("GRPO", "shuffled rewards"),
    ("GRPO", "supervised answers"),
    ("GRPO", "expert iteration"),
    ("GRPO", "REINFORCE"),
    ("DAPO", "GRPO"),
    ("DAPO", "warm start"),
    ("supervised answers", "warm start"),
    ("expert iteration", "warm start"),
    ("REINFORCE", "expert iteration"),
    ("shuffled rewards", "warm start"),
]
say(
    "\n".join(
        f"- {ruled(f'{NAMES[a]}-{NAMES[b]}', right[a], right[b], a, b)}"
        for a, b in PAIRS
    )
)

# %% [markdown]
# The intervals are over seeds, each with a world, a warm start and draws of its own; none is widened for the number of comparisons. GRPO against *shuffled rewards* is the test of the signal: as many answers, the same rule, the same kind of update, but the reward says nothing about the answer that it stands beside.
#
# ## Why the reward does not rise

# %% tags=["hide-input"]
# Code of the figure: reward and groups without spread
curves = []
for row in ("GRPO", "REINFORCE", "shuffled rewards", "cold start"):
    for seed in range(seeds):
        history = histories[row, seed]
        for name in ("reward", "zero_spread"):
            smooth = (
                pd.Series(history.values(name)).rolling(5, min_periods=1).mean()
            )
            curves += [
                {"method": row, "step": k, "measure": name, "value": v}
                for k, v in enumerate(smooth)
            ]
curves = pd.DataFrame(curves)
figure = Figure(figsize=(6.8, 2.9), layout="constrained")
for axes, name, label in zip(
    figure.subplots(1, 2), ("reward", "zero_spread"), ("mean reward", "groups without spread"), strict=True
):  # fmt: skip
    part = curves[curves["measure"] == name]
    sns.lineplot(part, x="step", y="value", hue="method", ax=axes, legend=name == "reward", errorbar=("ci", 95), n_boot=100)  # fmt: skip
    axes.set(ylabel=label, ylim=(0, 1))
first, last = (curves[curves["step"] == step].groupby(["method", "measure"])["value"].mean() for step in (0, curves["step"].max()))  # fmt: skip
told = " ".join(
    f"{row}: reward {first[row, 'reward']:.2f} at first and {last[row, 'reward']:.2f} at the end, groups without spread {first[row, 'zero_spread']:.0%} and {last[row, 'zero_spread']:.0%}."
    for row in ("GRPO", "REINFORCE", "shuffled rewards", "cold start")
)
show(
    figure,
    alt=f"Curves over steps, means of the seeds with bands. {told}",
    caption=f"Running means over five steps of the answers that were drawn; bands are bootstrapped 95 % intervals of the mean over {seeds} seeds. {told}",
    label="grpo-curves",
)

# %%
log = histories["GRPO", 0]
half = steps // 2
table(
    pd.DataFrame(
        {
            name: [sum(log.values(name)[a:b]) / (b - a) for a, b in ((0, half), (half, steps))]
            for name in ("loss", "reward", "zero_spread", "clipped", "kl")
        },
        index=["first half", "second half"],
    ),
    "What the log of GRPO says, first seed, means over the steps; of each step the last update is logged.",
)  # fmt: skip

# %% [markdown]
# **Groups without spread.** If an answer is right with probability $p$, all of $G$ answers agree with probability
# $p^G + (1-p)^G$. Near 0 and near 1 nearly all groups are silent, and more prompts of that kind add nothing. Their share alone does not tell which of the two it is: hold it against the reward. The table sets the formula, with the $p$ of each of the nine cells, beside the answers of a warm start.

# %%
many = some(worlds[0].train, 200)
drawn = starting[0].prepare(many, torch.Generator().manual_seed(1))
hits, formed = starting[0].judged(many, drawn["completions"])
moved = torch.tensor(GUIDELINE)[tuple(many["facts"].T)] != torch.tensor(OLD_GUIDELINE)[tuple(many["facts"].T)]  # fmt: skip
p, silent = hits.mean(1), (hits.amax(1) == hits.amin(1)).float()
same_cell = (many["facts"][:, None] == many["facts"][None]).all(-1).float()
cell_p = same_cell @ p / same_cell.sum(1)
G = hits.shape[1]
formula = cell_p**G + (1 - cell_p) ** G
five = (starting[0].mask(drawn["completions"]).sum(-1) == 5)[formed.bool()].float().mean()  # fmt: skip
untrained = writer(GRPO, None)
cold = untrained.prepare(many, torch.Generator().manual_seed(1))
cold_right, cold_form = untrained.judged(many, cold["completions"])
at_once = (
    ((cold["rewards"].amax(1) - cold["rewards"].amin(1)) < 1e-6).float().mean()
)
table(
    pd.DataFrame(
        {
            "right": [float(p[part].mean()) for part in (~moved, moved)],
            "groups all right": [float((p[part] == 1).float().mean()) for part in (~moved, moved)],
            "groups all wrong": [float((p[part] == 0).float().mean()) for part in (~moved, moved)],
            "without spread": [float(silent[part].mean()) for part in (~moved, moved)],
            "by the formula": [float(formula[part].mean()) for part in (~moved, moved)],
        },
        index=["both guidelines agree", "they differ"],
    ),
    "Drawn answers of the first seed's warm start to 200 curves, eight to each, before any tuning. By the formula: as if all curves of a cell had one p.",
)  # fmt: skip
say(
    f"Of its answers in the form {float(five):.1%} have five words, the end among them. A model without a warm start: {float(cold_right.mean()):.1%} of its answers are right, {float(cold_form.mean()):.1%} have the form, and {float(at_once):.0%} of its groups are without spread."
)
record(
    zero_spread_cold=float(at_once),
    zero_spread_agree=float(silent[~moved].mean()),
    zero_spread_differ=float(silent[moved].mean()),
)

# %% [markdown]
# **A cold start** must find form and class by chance, in a vocabulary of sixteen words here and of tens of thousands elsewhere. It had the same search of its rate. Somebody who says one class always is right as often as that class occurs.

# %%
frequent = []
for seed in range(seeds):
    answers = worlds[seed].test.tensors["answer"]
    frequent.append(float(torch.bincount(answers).max() / len(answers)))
forms = found[found["method"] == "cold start"]["form"]
sentence_cold = claimed(
    "right-cold-frequent",
    right["cold start"],
    frequent,
    direction="higher",
    unit="%",
    better="its right answers, {ours}, are above the {theirs} of the most frequent class.",
    worse="its right answers, {ours}, are below the {theirs} of the most frequent class.",
    undecided="its right answers ({ours}) cannot be told from the {theirs} of the most frequent class.",
)
say(
    f"After as many steps as the others, the share of a cold start's answers that have the form is, seed by seed, {', '.join(f'{form:.0%}' for form in forms)}; {sentence_cold} "
    f"{ruled('cold-warm-start', right['cold start'], right['warm start'], 'cold start', 'warm start', 'Right answers of a cold start after its tuning, and of a warm start before any')}"
)

# %% [markdown]
# ## Learnt, or only sharpened?
#
# GRPO is told only of answers that were drawn. If one of eight answers of the warm start is right, a good chooser could have picked it. How does the tuned model's *single* answer compare with that?

# %%
any_of = []
for seed in range(seeds):
    asked = worlds[seed].test.tensors
    drawn = starting[seed].prepare(asked, torch.Generator().manual_seed(2))
    hits, _ = starting[seed].judged(asked, drawn["completions"])
    any_of.append(float(hits.amax(1).mean()))
say(
    "- "
    + ruled("grpo-any-of-eight", right["GRPO"], any_of, "GRPO, its most probable answer", "warm start, any of eight drawn")
    + "\n- "
    + ruled("thoughts-grpo-warm-start", thoughts["GRPO"], thoughts["warm start"], "GRPO", "warm start", "true thoughts")
    + "\n- "
    + ruled("thoughts-grpo-expert-iteration", thoughts["GRPO"], thoughts["expert iteration"], "GRPO", "expert iteration", "true thoughts")
    + "\n- "
    + ruled("thoughts-grpo-supervised", thoughts["GRPO"], thoughts["supervised answers"], "GRPO", "supervised answers", "true thoughts")
)  # fmt: skip

# %% [markdown]
# The rule (5) reads the class and the form, never whether the thought is true. What keeps most thoughts true all the same: the divergence, the few steps, or that the class is read off the thought? No run here separates these. If the thoughts matter to you, reward them, or at least measure them as here.
#
# ## Exercises
#
# Each begins with a cell to fill in, whose last line checks the answer. The solutions are folded, and ran with the page.
#
# ```{exercise} Advantages (code)
# :label: grpo-advantages
#
# Write (1) for rewards (B, G), with G − 1 in the denominator of the variance and $\varepsilon = 10^{-6}$ beside the deviation.
# ```

# %% tags=["stub:advantages"]
from mmlab.exercises.grpo import check_advantages


def advantages(rewards):
    return ...


check_advantages(advantages)

# %% [markdown]
# ```{solution-start} grpo-advantages
# :class: dropdown
# ```


# %% tags=["solution:advantages"]
def advantages(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True) + 1e-6)


check_advantages(advantages)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Silent groups (compute)
# :label: grpo-silent
#
# A batch has prompts of several kinds: `shares` says how many of each, `p` how probable a right answer is. Rewards are 1 and 0. Return the share of groups without spread, for groups of `G`.
# ```

# %% tags=["stub:silent"]
from mmlab.exercises.grpo import check_silent


def silent_share(shares, p, G):
    return ...


check_silent(silent_share)

# %% [markdown]
# ```{solution-start} grpo-silent
# :class: dropdown
# ```


# %% tags=["solution:silent"]
def silent_share(shares, p, G):
    return (shares * (p**G + (1 - p) ** G)).sum()


check_silent(silent_share)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What the expected step is (derive)
# :label: grpo-expected
#
# The hard one. A prompt has K possible answers of one word, with probabilities softmax of `logits` and rewards `r`. GRPO without a deviation draws G of them independently; its loss is (2) at $\rho = 1$, in the mean over the group. Derive the expected gradient of the surrogate with respect to the logits, in closed form. (Mind that each answer's own reward is
# in the mean that it is compared with.) Return it, (K,).
# ```

# %% tags=["stub:expected"]
from mmlab.exercises.grpo import check_expected


def expected_gradient(logits, r, G):
    return ...


check_expected(expected_gradient)

# %% [markdown]
# ```{solution-start} grpo-expected
# :class: dropdown
# ```
#
# With $s_i = \nabla \log \pi(o_i)$ the gradient is $\frac1G\sum_i (r_i - \bar r)\, s_i$. For $j \ne i$ the draws are independent and $\mathbb{E}\, s_i = 0$, so $\mathbb{E}[r_j s_i] = 0$, and of $\bar r$ only $r_i / G$ is left: the expectation is $(1 - 1/G)\, \mathbb{E}[r\, s]$, that is, $(G-1)/G$ of the gradient of the expected
# reward, whose entry $k$ is $\pi_k (r_k - \pi^\top r)$. For rewards 1 and 0, dividing by the deviation only changes the length of that vector; with other rewards it also turns it. A test of the package enumerates all groups.


# %% tags=["solution:expected"]
def expected_gradient(logits, r, G):
    pi = logits.softmax(0)
    return (G - 1) / G * pi * (r - pi @ r)


check_expected(expected_gradient)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Check yourself
#
# ```{dropdown} A colleague's loss has been 0.000 for an hour, and she stops the run. Should she?
# Not for that. Without a divergence, with the mean over answers and one update a step, the loss is 0 by construction. She should look at the reward, and at the share of groups without spread: if that is 1, the gradient is 0 as well.
# ```
#
# ```{dropdown} The reward of the form reached its most after ten steps, that of the class does not move. What do you print?
# How many groups have at least one right answer. If none has, rate and epsilon have nothing to work on: what is missing is a start from which some answers are right, easier prompts, or a reward for parts.
# ```
#
# ```{dropdown} A sampler draws with the fifty most probable words only, the loss uses the full softmax. What is wrong?
# The ratio in (2) is of another law than the one that wrote the answers. If the old probabilities come from the full softmax too, it is 1 at the first update all the same, and the log is silent.
# ```
#
# ## In five lines
#
# - The value of GRPO's loss, but for the divergence, is 0 by construction when answers are fresh; its gradient is the policy gradient.
# - A group whose rewards are all the same teaches nothing; the share of such groups belongs in every log.
# - Name the conventions: deviation, both epsilons, the mean over words, the law that answers are drawn from.
# - Run expert iteration, corrected answers, REINFORCE and shuffled rewards on the same number of answers before you credit the group.
# - A rule that reads only the class does not keep the thought true: measure it.
#
# ## Limits, and what to read next
#
# - A world of nine cells, a very small model, and tens of steps. Nearly all answers in the form have one length here, so two of DAPO's four changes (the mean over words, the price of length) have little to work on; the third, dynamic sampling, draws nothing anew; and the fourth, the wider range, acts on clipped words alone (their share is in the log). Its authors report their gains on long solutions of mathematical problems.
# - Rates were chosen on the first two seeds only, from three; on the other seeds the chosen rate may be a poor one (the range over seeds stands under the table); the divergence and the number of updates were not tuned, for anybody.
# - *Supervised answers* needs the right class. Where a rule can check an answer but not give it, that rival falls away, and the others stay.
# - TimeMaster's third reward, by a judging model, is left out. Nothing here is a medical device.
#
# {cite:t}`shao2024deepseekmath` introduce the method, {cite:t}`yu2025dapo` list what they changed and why, {cite:t}`liu2025understanding` look at the biases of (1) and (4).

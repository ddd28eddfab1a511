"""Tables with text: trees on the numbers, a line on the words, and a small model on what both say of rows not seen.

Symbols: y is the label, 0 or 1; s_m(x) the log-odds that part m gives to a row x; k(i) the fold of row i; z the scores
that the last model is fitted to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method
from mmlab.wording import nearest

__all__ = ["Fusion", "TextTabular", "boost", "fit_line", "folds_of", "leaf_of", "out_of_fold"]

Fusion = Literal["stack", "leaky stack", "average", "text", "table"]

Fit = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""Fits a part to rows and labels; gives back what says the log-odds of rows."""


def fit_line(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Logistic regression by Newton's method: weights and, last, intercept, (F + 1,) float64.

    Minimises Σ_i log(1 + exp(-ỹ_i (w·x_i + c))) + (penalty / 2) ‖w‖² with ỹ = 2 y - 1; the intercept is free.

    Args:
        x: Rows (N, F) float64.
        y: Labels (N,), 0 or 1.
        penalty: Weight of the squared weights, positive.
    """
    rows = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    ridge = penalty * torch.ones(rows.shape[1], dtype=x.dtype)
    ridge[-1] = 1e-8
    w = torch.zeros(rows.shape[1], dtype=x.dtype)

    def cost(w: Tensor) -> Tensor:  # Eq. (1)
        return torch.nn.functional.softplus((1 - 2 * y) * (rows @ w)).sum() + (ridge * w.square()).sum() / 2

    now = cost(w)
    for _ in range(50):
        p = torch.sigmoid(rows @ w)
        gradient = rows.T @ (p - y) + ridge * w
        curvature = (rows * (p * (1 - p))[:, None]).T @ rows + torch.diag(ridge)
        step = torch.linalg.solve(curvature, gradient)
        size = 1.0
        while cost(w - size * step) > now and size > 1e-6:
            size /= 2
        w = w - size * step
        before, now = now, cost(w)
        if before - now < 1e-10 * (1 + now.abs()):
            break
    return w


def leaf_of(x: Tensor, features: Tensor, cuts: Tensor) -> Tensor:
    """The leaf (N,) into which each row (N, F) falls: one bit for each question ``x[feature] > cut`` of the tree."""
    bits = x[:, features] > cuts  # (N, D)
    return (bits.long() * 2 ** torch.arange(len(features))).sum(1)


def boost(
    x: Tensor, y: Tensor, rounds: int, depth: int = 2, rate: float = 0.2, penalty: float = 5.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Boosted trees that ask the same question in all nodes of a level, for the log loss.

    In each round a tree is grown level by level: the question is the one with the largest Σ G² / (H + penalty) over
    leaves, and a leaf adds rate · G / (H + penalty) to the log-odds, with G = Σ (y - p) and H = Σ p (1 - p).

    Args:
        x: Rows (N, F) float64.
        y: Labels (N,), 0 or 1.
        rounds: Number of trees R.
        depth: Questions of each tree D.
        rate: Learning rate.
        penalty: λ.

    Returns:
        ``features`` (R, D) long, ``cuts`` (R, D) and ``leaves`` (R, 2^D).
    """
    levels = torch.linspace(0, 1, 17, dtype=x.dtype)[1:-1]
    grid = torch.quantile(x, levels, dim=0)  # (15, F): candidate cuts
    above = (x[:, None, :] > grid).flatten(1).to(x.dtype)  # (N, 15 F)
    score = torch.zeros(len(x), dtype=x.dtype)
    features, cuts, leaves = [], [], []
    for _ in range(rounds):
        p = torch.sigmoid(score)
        g, h = y - p, p * (1 - p)
        leaf = torch.zeros(len(x), dtype=torch.long)
        chosen = []
        for level in range(depth):
            inside = torch.nn.functional.one_hot(leaf, 2**level).to(x.dtype)  # (N, leaves)
            all_g, all_h = inside.T @ g, inside.T @ h
            up_g, up_h = (inside * g[:, None]).T @ above, (inside * h[:, None]).T @ above  # (leaves, 15 F)
            down_g, down_h = all_g[:, None] - up_g, all_h[:, None] - up_h
            gain = (up_g**2 / (up_h + penalty) + down_g**2 / (down_h + penalty)).sum(0)  # Eq. (2)
            best = int(gain.argmax())
            chosen.append(best)
            leaf = leaf + above[:, best].long() * 2**level
        inside = torch.nn.functional.one_hot(leaf, 2**depth).to(x.dtype)
        value = rate * (inside.T @ g) / (inside.T @ h + penalty)  # (2^D,)
        score = score + value[leaf]
        places = torch.tensor(chosen)
        features.append(places % x.shape[1])
        cuts.append(grid.flatten()[places])
        leaves.append(value)
    return torch.stack(features), torch.stack(cuts), torch.stack(leaves)


def folds_of(count: int, folds: int) -> Tensor:
    """k: the fold of each row, (N,), in a random order that depends on N alone."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order % folds


def out_of_fold(fit: Fit, x: Tensor, y: Tensor, fold: Tensor) -> Tensor:
    """Log-odds (N,) of each row from a model that was fitted without the fold of that row.

    Args:
        fit: Fits a part to rows and labels.
        x: Rows (N, F).
        y: Labels (N,).
        fold: k, (N,).
    """
    z = torch.zeros(len(x), dtype=x.dtype)
    for k in range(int(fold.max()) + 1):
        held = fold == k
        z[held] = fit(x[~held], y[~held])(x[held])  # Eq. (3)
    return z


class TextTabular(Method):
    """A text part and a table part, fused late by a line on their scores.

    The text part is logistic regression on counts of words; the table part is boosted trees. With ``"stack"`` the line
    is fitted to scores of rows that the parts did not see; ``"leaky stack"`` fits it to scores of the rows that they
    were fitted to, a fault, made on purpose. ``"average"`` adds both scores up.

    Args:
        words: Size V of the vocabulary.
        columns: Numbers F in a row.
        fusion: How the parts are put together; ``"text"`` and ``"table"`` use one of them.
        folds: Number of folds of the stack.
        text_penalty: Penalty of the weights of words.
        rounds: Number of trees.
        depth: Questions of each tree.

    Raises:
        ValueError: If there is no such fusion, or a number is out of its range.

    Source:
        Shi et al. 2021, the strategy of stacking, with small parts in place of a text network and tree libraries.
    """

    card = Card(
        name="Stacked text and table",
        family="fusion",
        paper="text_tabular",
        summary="Fuses a text model and trees by a small model on their scores of rows they did not see.",
        inputs=("table", "words", "label"),
        outputs=("label",),
        claims=(
            Claim("AUC", "table", "higher", name="stack-table"),
            Claim("AUC", "text", "higher", name="stack-text"),
            Claim("AUC", "average", "higher", kind="sanity", name="stack-average"),
            Claim("AUC", "leaky stack", "higher", kind="sanity", name="stack-leaky-stack"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("tables", "text", "trees", "stacking"),
        level="introductory",
    )

    def __init__(
        self,
        words: int,
        columns: int,
        fusion: Fusion = "stack",
        folds: int = 5,
        text_penalty: float = 1.0,
        rounds: int = 60,
        depth: int = 2,
    ) -> None:
        super().__init__()
        if fusion not in get_args(Fusion):
            raise ValueError(f"fusion={fusion!r} is unknown: {nearest(str(fusion), get_args(Fusion))}")
        if folds < 2 or text_penalty <= 0 or rounds < 1 or depth < 1:
            raise ValueError(
                f"folds={folds}, text_penalty={text_penalty}, rounds={rounds}, depth={depth}: there are two folds, one "
                "round and one question at least, and the penalty is positive."
            )
        self.fusion, self.folds = fusion, folds
        self.text_penalty, self.rounds, self.depth = text_penalty, rounds, depth
        self.register_buffer("line", torch.zeros(words + 1, dtype=torch.float64))
        self.register_buffer("features", torch.zeros(rounds, depth, dtype=torch.long))
        self.register_buffer("cuts", torch.zeros(rounds, depth, dtype=torch.float64))
        self.register_buffer("leaves", torch.zeros(rounds, 2**depth, dtype=torch.float64))
        self.register_buffer("weights", torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))  # text, table, intercept

    def solve(self, dataset: Any) -> Self:
        """Fit both parts to all items, and the line to their scores.

        Args:
            dataset: With ``len()`` and ``dataset[i]``: ``words`` (V,), ``table`` (F,) and ``label``, 0 or 1.
        """
        batch = read_all(dataset)
        words, table, y = batch["words"].double(), batch["table"].double(), batch["label"].double()
        self.line = fit_line(words, y, self.text_penalty)
        self.features, self.cuts, self.leaves = boost(table, y, self.rounds, self.depth)
        if self.fusion == "stack":
            fold = folds_of(len(y), min(self.folds, len(y)))
            z = torch.stack(
                [out_of_fold(self._fit_text, words, y, fold), out_of_fold(self._fit_table, table, y, fold)], 1
            )
            self.weights = fit_line(z, y, 1e-3)  # Eq. (4)
        elif self.fusion == "leaky stack":
            self.weights = fit_line(self.scores(batch), y, 1e-3)  # Eq. (5)
        else:
            parts = {"average": (1.0, 1.0), "text": (1.0, 0.0), "table": (0.0, 1.0)}[self.fusion]
            self.weights = torch.tensor([*parts, 0.0], dtype=torch.float64)
        return self

    def scores(self, batch: Batch) -> Tensor:
        """Log-odds of the two parts, text and table, (B, 2) float64."""
        words, table = batch["words"].double(), batch["table"].double()
        return torch.stack([_along(words, self.line), _of_trees(table, self.features, self.cuts, self.leaves)], 1)

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of both labels (B, 2) float64; a label in the batch is not looked at."""
        odds = _along(self.scores(batch), self.weights)
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Size of the vocabulary and number of columns."""
        return {"words": len(item["words"]), "columns": len(item["table"])}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Forty rows of three numbers and eight words."""
        rng = torch.Generator().manual_seed(seed)
        table = torch.randn(40, 3, generator=rng)
        words = torch.randint(0, 3, (40, 8), generator=rng).float()
        label = (table[:, 0] + words[:, 0] - words[:, 1] > 0).long()
        return cls(8, 3, rounds=10), {"table": table, "words": words, "label": label}

    def _fit_text(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        line = fit_line(x, y, self.text_penalty)
        return lambda rows: _along(rows, line)

    def _fit_table(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        trees = boost(x, y, self.rounds, self.depth)
        return lambda rows: _of_trees(rows, *trees)


def _along(x: Tensor, line: Tensor) -> Tensor:
    return x @ line[:-1] + line[-1]


def _of_trees(x: Tensor, features: Tensor, cuts: Tensor, leaves: Tensor) -> Tensor:
    total = torch.zeros(len(x), dtype=x.dtype)
    for question, cut, value in zip(features, cuts, leaves, strict=True):
        total = total + value[leaf_of(x, question, cut)]
    return total

"""Checks of the exercises in the chapter on TinyLLaVA; equation numbers are the chapter's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmlab.exercises.verdict import Verdict, judge
from mmlab.nn.splicing import IGNORE, IMAGE, splice

__all__ = ["check_floor", "check_loss", "check_size", "check_splice"]


def check_splice(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check the splice (1) of one text and one picture.

    Args:
        answer: A function of the word vectors, (T, D), the ids, (T,), and the picture's tokens, (P, D). It returns the
            sequence that is read, (T - 1 + P, D).
    """
    rng = torch.Generator().manual_seed(0)
    cases = []
    for length, count, place in ((5, 3, 2), (4, 2, 0), (6, 1, 5)):
        ids = torch.arange(length)
        ids[place] = IMAGE
        cases.append((torch.randn(length, 4, generator=rng), ids, torch.randn(count, 4, generator=rng)))

    def truth(words: Tensor, ids: Tensor, picture: Tensor) -> Tensor:
        length = torch.tensor([len(ids)])
        return splice(lambda _: words[None], ids[None], length, picture[None, None]).vectors[0]

    def cut(words: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        place = int((ids == IMAGE).nonzero())
        return words[:place], words[place + 1 :]

    return judge(
        answer,
        truth,
        cases,
        parts=["the sequence"],
        right="The placeholder is gone, and the language model reads the picture as if it were words.",
        mistakes=[
            ("The placeholder's own vector is still there: the words go on behind it.",
             lambda w, i, p: torch.cat([cut(w, i)[0], p, w[len(cut(w, i)[0]) :]])),
            ("The placeholder's own vector is still there: the words before it end in front of it.",
             lambda w, i, p: torch.cat([w[: len(cut(w, i)[0]) + 1], p, cut(w, i)[1]])),
            ("The picture is put in front of everything, and the placeholder's own vector is still there.",
             lambda w, i, p: torch.cat([p, w])),
            ("The picture is put in front of everything; it belongs where the placeholder stands.",
             lambda w, i, p: torch.cat([p, *cut(w, i)])),
            ("The picture is put behind everything; it belongs where the placeholder stands.",
             lambda w, i, p: torch.cat([*cut(w, i), p])),
            ("The picture's tokens are averaged into one; each keeps its own place.",
             lambda w, i, p: torch.cat([cut(w, i)[0], p.mean(0, keepdim=True), cut(w, i)[1]])),
        ],
    )  # fmt: skip


def check_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check the loss (3) of a batch.

    Args:
        answer: A function of logits, (B, T, V), and labels, (B, T), that returns one number.
    """
    rng = torch.Generator().manual_seed(0)
    cases = []
    for rows, length, first in ((1, 5, 2), (3, 6, 4), (2, 4, 1)):
        labels = torch.randint(0, 7, (rows, length), generator=rng)
        labels[:, :first] = IGNORE
        labels[0, -1] = IGNORE  # a row that is shorter, too
        cases.append((2 * torch.randn(rows, length, 7, generator=rng), labels))

    def mean(logits: Tensor, labels: Tensor, how: str = "mean") -> Tensor:
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction=how)

    def shifted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits[:, :-1], labels[:, 1:]

    def per_row(logits: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([mean(*(part[None] for part in row)) for row in zip(*shifted(logits, labels), strict=True)])

    return judge(
        answer,
        lambda logits, labels: mean(*shifted(logits, labels)),
        cases,
        parts=["the loss"],
        right="Each position is asked for the token after it, and only where an answer stands.",
        mistakes=[
            ("The logits of a position are compared with the token *at* it; they predict the one after it.", mean),
            ("The shift goes the wrong way: the logits at $t$ predict the token at $t + 1$.",
             lambda z, y: mean(z[:, 1:], y[:, :-1])),
            ("This is the sum; (3) has the mean over the answer's positions.",
             lambda z, y: mean(*shifted(z, y), "sum")),
            ("You divide by all positions; only those of the answer count.",
             lambda z, y: mean(*shifted(z, y), "sum") / y[:, 1:].numel()),
            ("You divide by the number of rows; (3) has the mean over the answer's positions.",
             lambda z, y: mean(*shifted(z, y), "sum") / len(y)),
            ("This is the mean of the rows' means: in it, tokens of short answers count more.",
             lambda z, y: per_row(z, y).nanmean()),
            ("The sign is missing: a loss is a negative logarithm.", lambda z, y: -mean(*shifted(z, y))),
        ],
    )  # fmt: skip


def check_size(answer: tuple[Any, Any, Any]) -> Verdict:
    """Check tokens of a picture, values of the connector, and pictures that fit, for the published model.

    Args:
        answer: The three numbers, in this order.
    """
    mistakes: list[tuple[str, tuple[float | None, float | None, float | None]]] = [
        ("For the picture you kept the first patch, which the published model throws away.", (729, None, None)),
        ("For the picture you counted a part of a patch at the border: what does not fill one is cut off.",
         (28**2 - 1, None, None)),
        ("For the picture you kept parts of patches by squaring a fraction: cut each side to whole patches first.",
         (math.floor((384 / 14) ** 2), None, None)),
        ("For the picture you kept parts of patches by squaring a fraction: cut each side to whole patches first.",
         (math.floor((384 / 14) ** 2) - 1, None, None)),
        ("For the picture you counted the patches of one side only.", (26, None, None)),
        ("For the connector you left out the biases.", (None, 1152 * 2560 + 2560 * 2560, None)),
        ("For the connector you left out the second layer.", (None, 1153 * 2560, None)),
        ("For the connector you left out the first layer.", (None, 2561 * 2560, None)),
        ("For the pictures you rounded up: the last one would not fit.", (None, None, 4)),
        ("For the pictures you gave a fraction; only whole ones can be read.", (None, None, 2572 / 728)),
    ]  # fmt: skip
    return judge(
        lambda: answer,
        lambda: (728, 9_507_840, 3),
        [()],
        parts=["the number of tokens", "the number of values", "the number of pictures"],
        right="A picture costs as much room as a page of text, and the connector is a tiny part of the model.",
        mistakes=[(sentence, lambda values=values: values) for sentence, values in mistakes],
    )


def check_floor(answer: Any) -> Verdict:
    """Check the smallest loss per token of a model that does not see the picture.

    Args:
        answer: The loss, in nats per token.
    """
    pairs, layouts = math.log(168), math.log(3)
    return judge(
        lambda: answer,
        lambda: (pairs + layouts) / 6,
        [()],
        parts=["the loss"],
        right="A loss below it cannot be had without the picture; above it, one cannot tell.",
        mistakes=[
            ("This is the loss of a whole caption; (3) is a mean over its six tokens.", lambda: pairs + layouts),
            ("The end is a token, too: it costs nothing, and counts in the mean.", lambda: (pairs + layouts) / 5),
            ("You left out the layout.", lambda: pairs / 6),
            ("You let each word be chosen for itself: two colours, two shapes and a layout. The pairs are fewer.",
             lambda: (4 * math.log(4) + layouts) / 6),
            ("Pairs of 16 figures that differ are 240, but three in ten are not in training.",
             lambda: (math.log(240) + layouts) / 6),
            ("This is in bits: take the natural logarithm.", lambda: (pairs + layouts) / 6 / math.log(2)),
            ("The sign: a loss is a negative logarithm of a probability.", lambda: -(pairs + layouts) / 6),
        ],
    )  # fmt: skip

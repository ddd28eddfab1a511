"""Scores of a corpus on many resamples of its items, from what each item adds to them.

BLEU and chrF are functions of counts that add up over the items, so a resample needs a weighted sum of counts and not
the texts again; CIDEr needs the weights of its n-grams anew. Each way gives what the score itself gives on the texts of
the resample.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.words import words
from mmlab.metrics.text import CorpusMetric, References, bleu, chrf, cider, cider_terms, length_ratio, sacrebleu_order

__all__ = ["MeanOf", "Resampled", "mean_of", "resampled", "sums_over_items"]

Resampled = Callable[[Tensor], Tensor]
"""From how often each item was drawn, (R, N), to the scores of the R resamples, (R,)."""

ItemMetric = Callable[[Sequence[str], References], Tensor]

_SUMS: dict[CorpusMetric, tuple[ItemMetric, Callable[[Tensor], Tensor]]] = {}


@dataclass(frozen=True)
class MeanOf:
    """A corpus score that is the mean of a score of items.

    Attributes:
        score: From N candidates and their references to (N,), as :func:`mmlab.metrics.text.rouge_l`.
    """

    score: ItemMetric

    def __call__(self, candidates: Sequence[str], references: References) -> float:
        """The mean over the items."""
        return float(self.score(candidates, references).mean())


def mean_of(score: ItemMetric) -> CorpusMetric:
    """The mean over items of ROUGE-L, CIDEr, exact answers, ..., as a score of a corpus."""
    return MeanOf(score)


def sums_over_items(metric: CorpusMetric, statistics: ItemMetric, score: Callable[[Tensor], Tensor]) -> None:
    """Declare that a score is a function of sums over items; :func:`resampled` then needs no texts.

    Args:
        metric: The score.
        statistics: From N candidates and their references to K numbers for each, (N, K).
        score: From sums of them over items, (R, K), to the scores, (R,).
    """
    _SUMS[metric] = statistics, score


def resampled(metric: CorpusMetric, candidates: Sequence[str], references: References) -> Resampled:
    """A score as a function of how often each item is drawn.

    Args:
        metric: As :func:`mmlab.metrics.text.bleu`; any function works, unknown ones are computed anew from the texts.
        candidates: N texts.
        references: N lists of texts.
    """
    if isinstance(metric, MeanOf):
        if metric.score is cider:
            scores = cider_terms(candidates, references)
            return lambda times: (times * scores(times)).sum(1) / times.sum(1)
        values = metric.score(candidates, references).double()
        return lambda times: times.double() @ values / times.sum(1)
    if isinstance(metric, Hashable) and metric in _SUMS:
        statistics, score = _SUMS[metric]
        of_items = statistics(candidates, references).double()
        return lambda times: score(times.double() @ of_items)

    def anew(times: Tensor) -> Tensor:
        drawn = [torch.arange(len(row)).repeat_interleave(row.long()).tolist() for row in times]
        found = [metric([candidates[i] for i in row], [references[i] for i in row]) for row in drawn]
        return torch.tensor(found, dtype=torch.float64)

    return anew


def _bleu_counts(candidates: Sequence[str], references: References) -> Tensor:
    """Lengths of candidate and nearest reference, n-grams found for n = 1 to 4, and n-grams written: (N, 10)."""
    from sacrebleu.metrics.bleu import BLEU

    said, streams = sacrebleu_order(candidates, references)
    return torch.tensor(BLEU(lowercase=True)._extract_corpus_statistics(said, streams))


def _bleu(sums: Tensor) -> Tensor:
    """Papineni et al. 2002, Section 2.3; orders without matches count as 1/2, 1/4, ... of one, as in sacrebleu."""
    said, wanted = sums[:, 0], sums[:, 1]
    found, made = sums[:, 2:6], sums[:, 6:10]
    halvings = (found == 0).double().cumsum(1)  # (R, 4)
    precisions = torch.where(found > 0, found, 0.5**halvings) / made.clamp(min=1)
    brevity = (1 - wanted / said.clamp(min=1)).clamp(max=0).exp()
    scores = 100 * brevity * precisions.log().mean(1).exp()
    return torch.where((made > 0).all(1) & (found > 0).any(1), scores, 0.0)


def _chrf_counts(candidates: Sequence[str], references: References) -> Tensor:
    """Character n-grams of candidate, of the best reference, and of both, for n = 1 to 6: (N, 18)."""
    from sacrebleu.metrics.chrf import CHRF

    said, streams = sacrebleu_order(candidates, references)
    return torch.tensor(CHRF(lowercase=True)._extract_corpus_statistics(said, streams))


def _chrf(sums: Tensor) -> Tensor:
    """Popović 2015: the F-score of the mean precision and the mean recall, over the orders that both texts have."""
    said, wanted, both = sums.view(len(sums), 6, 3).unbind(2)  # (R, 6) each
    used = (said > 0) & (wanted > 0)
    orders = used.sum(1).clamp(min=1)
    precision = torch.where(used, both / said.clamp(min=1), 0.0).sum(1) / orders
    recall = torch.where(used, both / wanted.clamp(min=1), 0.0).sum(1) / orders
    weighted = 4 * precision + recall  # beta = 2
    return torch.where(weighted > 0, 100 * 5 * precision * recall / weighted.where(weighted > 0, 1.0), 0.0)


def _lengths(candidates: Sequence[str], references: References) -> Tensor:
    wanted = [sum(len(words(text)) for text in texts) / len(texts) for texts in references]
    said = [len(words(text)) for text in candidates]
    return torch.tensor([said, wanted], dtype=torch.float64).T


def _length_ratio(sums: Tensor) -> Tensor:
    return torch.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1].where(sums[:, 1] > 0, 1.0), torch.inf)


sums_over_items(bleu, _bleu_counts, _bleu)
sums_over_items(chrf, _chrf_counts, _chrf)
sums_over_items(length_ratio, _lengths, _length_ratio)

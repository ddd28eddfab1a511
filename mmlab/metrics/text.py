"""How close written answers come to reference texts, and what one fixed sentence would have got.

Scores of items are tensors of shape (N,), so that :func:`mmlab.compare.bootstrap.paired_bootstrap` can compare two
systems item by item; scores of a whole corpus are numbers. What a word is, in any script, says
:func:`mmlab.data.words.words`. BLEU, chrF and ROUGE-L run from 0 to 100, as they are
published; everything else is a share from 0 to 1, except CIDEr, which runs from 0 to 10. Nothing is downloaded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmlab.data.words import normal, spaced, words

__all__ = [
    "CorpusMetric", "References", "bert_score", "bleu", "chrf", "cider", "constant_row", "distinct_n", "exact_match",
    "inverse_frequencies", "length_ratio", "metaphor_recall", "prefix_share", "rouge_l", "words",
]  # fmt: skip

References = Sequence[Sequence[str]]
"""One or more reference texts for each item."""

CorpusMetric = Callable[[Sequence[str], References], float]

_FUNCTION_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "being", "but", "by", "for", "from", "he", "her", "him", "his", "i",
        "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "she", "so", "that", "the", "their", "them",
        "they", "this", "to", "us", "was", "we", "were", "who", "will", "with", "you", "your",
    }
)  # fmt: skip


def bleu(candidates: Sequence[str], references: References) -> float:
    """Corpus BLEU-4, lower case, with sacrebleu's tokeniser ("13a").

    Papineni et al. 2002; the conventions are those of sacrebleu, Post 2018. That tokeniser knows no words in scripts
    without spaces; their characters are set apart beforehand, as its tokeniser "zh" does.

    Args:
        candidates: One text for each of N items.
        references: N lists of one or more texts; their lengths may differ.

    Returns:
        From 0 to 100.

    Raises:
        ValueError: If the numbers of items differ, there are none, or an item has no reference.
    """
    _check(candidates, references)
    from sacrebleu.metrics.bleu import BLEU

    said, streams = sacrebleu_order(candidates, references)
    return float(BLEU(lowercase=True).corpus_score(said, streams).score)


def chrf(candidates: Sequence[str], references: References) -> float:
    """Corpus chrF2: F-score of character n-grams up to 6, lower case (Popović 2015, by sacrebleu), from 0 to 100."""
    _check(candidates, references)
    from sacrebleu.metrics.chrf import CHRF

    said, streams = sacrebleu_order(candidates, references)
    return float(CHRF(lowercase=True).corpus_score(said, streams).score)


def rouge_l(candidates: Sequence[str], references: References) -> Tensor:
    """ROUGE-L, the F-score of the longest common subsequence (Lin 2004, by rouge-score), against the best reference.

    Its words are ours, cut at apostrophes, as rouge-score cuts them; for plain English both give the same.

    Returns:
        Shape (N,), from 0 to 100.
    """
    _check(candidates, references)
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_RougeWords())
    best = [
        max(scorer.score(text, candidate)["rougeL"].fmeasure for text in texts)
        for candidate, texts in zip(candidates, references, strict=True)
    ]
    return 100 * torch.tensor(best, dtype=torch.float64)


def cider(candidates: Sequence[str], references: References, sigma: float = 6.0) -> Tensor:
    r"""CIDEr-D (Vedantam et al. 2015, Section 6): consensus of n-grams, rare ones counting more.

    With :math:`g^n(s)` the counts of the n-grams of s, each times the logarithm of N over the number of items that have
    it in a reference, and :math:`\ell` the number of words, the score of a candidate c with references
    :math:`s_1 \dots s_m` is

    .. math:: \frac{10}{4m} \sum_{n=1}^{4} \sum_{j=1}^{m} e^{-(\ell(c) - \ell(s_j))^2 / 2\sigma^2}
        \frac{\min(g^n(c), g^n(s_j)) \cdot g^n(s_j)}{\|g^n(c)\| \, \|g^n(s_j)\|}.

    The weights come from the references that are handed in. On few items they say little: give N beside the score.

    Args:
        candidates: N texts.
        references: N lists of texts.
        sigma: Width of the penalty on length, in words.

    Returns:
        Shape (N,), from 0 to 10; 0 for all if there is but one item, since then every weight is zero.
    """
    _check(candidates, references)
    return cider_terms(candidates, references, sigma)(torch.ones(1, len(references), dtype=torch.float64))[0]


def cider_terms(candidates: Sequence[str], references: References, sigma: float = 6.0) -> Callable[[Tensor], Tensor]:
    """CIDEr-D as a function of how often each item counts, which the weights of the n-grams depend on.

    An n-gram's weight w is the logarithm of the number of items over the number of items that have it. Each inner
    product and each squared norm of the formula is a sum over n-grams of counts times w², so one sparse product of the
    counts with w² gives all of them at once.

    Returns:
        From counts (R, N) to the scores of the items under these counts (R, N).
    """
    from scipy.sparse import csr_array

    counts = [[_ngrams(words(text)) for text in texts] for texts in references]
    grams: dict[tuple[str, ...], int] = {}
    holds = _Entries()  # (N, grams): whether an item's references have the n-gram
    parts = _Entries()  # (3 x 4 pairs, grams): products, squares of candidate and reference, for each order and pair
    pairs: list[tuple[int, float]] = []  # item of a pair, and the penalty on its lengths over the number of references
    for item, (candidate, texts) in enumerate(zip(candidates, counts, strict=True)):
        mine = _ngrams(words(candidate))
        for gram in set().union(*texts):
            holds.add(item, grams.setdefault(gram, len(grams)), 1)
        for theirs in texts:
            row = 12 * len(pairs)
            for gram in mine.keys() | theirs.keys():
                place, order = grams.setdefault(gram, len(grams)), 3 * (len(gram) - 1)
                a, b = mine[gram], theirs[gram]
                for offset, value in enumerate((min(a, b) * b, a * a, b * b)):
                    if value:
                        parts.add(row + order + offset, place, value)
            gap = _length(mine) - _length(theirs)
            pairs.append((item, math.exp(-(gap**2) / (2 * sigma**2)) / len(texts)))
    held = csr_array(holds.triple(), shape=(len(references), len(grams)))
    products = csr_array(parts.triple(), shape=(12 * len(pairs), len(grams)))
    owner = torch.tensor([item for item, _ in pairs])
    share = torch.tensor([share for _, share in pairs], dtype=torch.float64)[:, None]

    def scores(times: Tensor) -> Tensor:
        drawn = times.double().numpy().T  # (N, R)
        having = (held.T @ drawn).clip(min=1)  # an n-gram that is in no reference counts as one in a single item
        squares = (np.log(drawn.sum(0)) - np.log(having)) ** 2  # w², (grams, R)
        inner, own, other = torch.from_numpy(products @ squares).view(len(pairs), 4, 3, -1).unbind(2)
        size = (own * other).sqrt()
        cosine = torch.where(size > 0, inner / size.where(size > 0, 1.0), 0.0)
        found = torch.zeros(len(references), times.shape[0], dtype=torch.float64)
        return found.index_add_(0, owner, 10 / 4 * share * cosine.sum(1)).T

    return scores


def inverse_frequencies(references: Sequence[str]) -> dict[str, float]:
    """The weights of BERTScore: -log of the share of texts that have a word, with one added to both counts."""
    holds = Counter(word for text in references for word in set(words(text)))
    return {word: -math.log((number + 1) / (len(references) + 1)) for word, number in holds.items()}


def bert_score(
    candidate: Sequence[str],
    reference: Sequence[str],
    embed: Callable[[Sequence[str]], Tensor],
    idf: Mapping[str, float] | None = None,
    baseline: float = 0.0,
) -> tuple[float, float, float]:
    """BERTScore's formula (Zhang et al. 2020) over any embedding: each token is matched to the most similar one.

    With one-hot embeddings it is the overlap of unigrams. The published scores need a published model's embedding.

    Args:
        candidate: Its tokens.
        reference: Its tokens.
        embed: From T tokens to their vectors, (T, D); they may depend on the context.
        idf: Weight of each token, by default one; a token that is not in it gets the largest.
        baseline: What unrelated texts score, b: the results are (x - b) / (1 - b).

    Returns:
        Precision, recall and F-score; zeros if either text is empty.
    """
    if not candidate or not reference:
        return 0.0, 0.0, 0.0
    a, b = (torch.nn.functional.normalize(embed(tokens).double(), dim=-1) for tokens in (candidate, reference))
    similarity = a @ b.T  # (T of the candidate, T of the reference)
    rare = max(idf.values(), default=1.0) if idf else 1.0
    weights = [[(idf or {}).get(token, rare) for token in tokens] for tokens in (candidate, reference)]
    means = []
    for best, weight in zip((similarity.amax(1), similarity.amax(0)), weights, strict=True):
        w = torch.tensor(weight, dtype=torch.float64)
        means.append(float((best * w).sum() / w.sum()) if float(w.sum()) > 0 else 0.0)
    precision, recall = means
    f = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    low, rest = baseline, 1 - baseline
    return (precision - low) / rest, (recall - low) / rest, (f - low) / rest


def exact_match(candidates: Sequence[str], references: References) -> Tensor:
    """Whether the words are those of a reference, in order: shape (N,), 0 or 1.

    A text without any word, such as "!!!", matches itself alone.
    """
    _check(candidates, references)

    def key(text: str) -> list[str]:
        return words(text) or [" ".join(normal(text).split())]

    pairs = zip(candidates, references, strict=True)
    return torch.tensor([float(key(text) in [key(s) for s in texts]) for text, texts in pairs]).double()


def metaphor_recall(candidates: Sequence[str], meanings: References, share: float = 0.5) -> Tensor:
    """Which part of the annotated meanings a text mentions.

    A meaning is mentioned if at least ``share`` of its content words (all but common function words) are in the text.

    Args:
        candidates: N texts.
        meanings: For each, what its metaphors mean, as in MemeCap's ``metaphors``.
        share: From 0 to 1; 1 asks for every content word.

    Returns:
        Shape (N,), from 0 to 1.
    """
    _check(candidates, meanings)
    recalls = []
    for candidate, texts in zip(candidates, meanings, strict=True):
        said = set(words(candidate))
        contents = [set(words(text)) - _FUNCTION_WORDS or set(words(text)) for text in texts]
        found = [bool(content) and len(content & said) >= share * len(content) for content in contents]
        recalls.append(sum(found) / len(found))
    return torch.tensor(recalls, dtype=torch.float64)


def distinct_n(candidates: Sequence[str], n: int = 2) -> float:
    """Different n-grams over all n-grams of all texts (Li et al. 2016): 1 / N is what one word said N times gets."""
    grams = [tuple(w[i : i + n]) for w in map(words, candidates) for i in range(len(w) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def length_ratio(candidates: Sequence[str], references: References) -> float:
    """Words written, over the words of the references (for each item the mean of its references)."""
    _check(candidates, references)
    wanted = sum(sum(len(words(text)) for text in texts) / len(texts) for texts in references)
    return sum(len(words(text)) for text in candidates) / wanted if wanted else math.inf


def prefix_share(candidates: Sequence[str], prefix: str) -> float:
    """The share of texts that begin with the words of the prefix: a style that is learnt before any content is."""
    start = words(prefix)
    return sum(words(text)[: len(start)] == start for text in candidates) / len(candidates)


def constant_row(
    references: References, metric: CorpusMetric, pool: Sequence[str], tried: int = 50
) -> tuple[str, float]:
    """The best fixed sentence, said of every item: the row that stands beside every automatic score.

    Args:
        references: References of the N test items.
        metric: From (candidates, references) to a number, larger is better, as :func:`bleu`.
        pool: Sentences to choose from, as the training captions; the most frequent are tried.
        tried: How many of them.

    Returns:
        The sentence, and its score. It is chosen on the items that it is scored on, so it is the best of the tried.
    """
    if not pool:
        raise ValueError("constant_row: the pool is empty; hand in some sentences, such as the training captions.")
    scores = {text: float(metric([text] * len(references), references)) for text, _ in Counter(pool).most_common(tried)}
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def _ngrams(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for n in range(1, 5) for i in range(len(tokens) - n + 1))


def _length(grams: Counter[tuple[str, ...]]) -> int:
    return sum(count for gram, count in grams.items() if len(gram) == 1)


class _Entries:
    """The entries of a sparse matrix, as they come."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.rows: list[int] = []
        self.columns: list[int] = []

    def add(self, row: int, column: int, value: float) -> None:
        self.values.append(value)
        self.rows.append(row)
        self.columns.append(column)

    def triple(self) -> Any:
        return np.array(self.values, dtype=np.float64), (self.rows, self.columns)


def sacrebleu_order(candidates: Sequence[str], references: References) -> tuple[list[str], Any]:
    """Sacrebleu's order: the first references of all items, the second, and so on; None where an item has no more.

    Characters of scripts without spaces are set apart on the way.
    """
    most = max(map(len, references))
    streams = [[spaced(texts[j]) if j < len(texts) else None for texts in references] for j in range(most)]
    return [spaced(text) for text in candidates], streams


class _RougeWords:
    """What rouge-score asks for words."""

    def tokenize(self, text: str) -> list[str]:
        return [part for word in words(text) for part in word.split("'")]


def _check(candidates: Sequence[str], references: References) -> None:
    if isinstance(candidates, str) or any(isinstance(texts, str) for texts in references):
        raise ValueError(
            "A text stands where a list of texts is wanted: give one candidate and a list of references per item."
        )
    if len(candidates) != len(references) or not candidates:
        raise ValueError(
            f"There are {len(candidates)} texts and references for {len(references)} items: one each is needed."
        )
    if empty := [i for i, texts in enumerate(references) if not texts]:
        raise ValueError(f"Item {empty[0]} has no reference: leave it out, or give it one.")

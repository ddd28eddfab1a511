"""Measures of written answers, beside sums by hand, a closed form and independent transcriptions."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from mmlab.compare.bootstrap import bootstrap_metric, paired_bootstrap
from mmlab.metrics.answers import normalised_answer, says_yes, vqa_accuracy, yes_no
from mmlab.metrics.text import (
    bert_score,
    bleu,
    chrf,
    cider,
    constant_row,
    distinct_n,
    exact_match,
    inverse_frequencies,
    length_ratio,
    metaphor_recall,
    prefix_share,
    rouge_l,
    words,
)

SAID = ["the cat the cat sat on the mat today", "a dog runs fast in the park"]
REFERENCES = [
    ["the cat sat on a mat today", "a cat was on the mat"],
    ["a dog runs in the green park", "the dog runs fast in the park", "dogs run"],
]
PER_ITEM = (rouge_l, cider, exact_match)


def bleu_by_hand(candidates: list[str], references: list[list[str]]) -> float:
    """Papineni et al. 2002, Section 2.3: clipped counts over the corpus, the nearest reference's length."""
    found, made, said, wanted = [0] * 4, [0] * 4, 0, 0
    for candidate, texts in zip(candidates, references, strict=True):
        mine, theirs = candidate.split(), [text.split() for text in texts]
        said += len(mine)
        wanted += min((abs(len(text) - len(mine)), len(text)) for text in theirs)[1]
        for n in range(1, 5):
            grams = Counter(zip(*(mine[i:] for i in range(n)), strict=False))
            most: Counter = Counter()
            for text in theirs:
                most |= Counter(zip(*(text[i:] for i in range(n)), strict=False))
            found[n - 1] += (grams & most).total()
            made[n - 1] += grams.total()
    brevity = min(1.0, math.exp(1 - wanted / said))
    return 100 * brevity * math.prod(f / m for f, m in zip(found, made, strict=True)) ** 0.25


def longest_common(a: list[str], b: list[str]) -> int:
    if not a or not b:
        return 0
    return longest_common(a[1:], b[1:]) + 1 if a[0] == b[0] else max(longest_common(a[1:], b), longest_common(a, b[1:]))


def test_bleu_is_the_papers() -> None:
    assert bleu(SAID, REFERENCES) == pytest.approx(bleu_by_hand(SAID, REFERENCES))
    assert 10 < bleu(SAID, REFERENCES) < 90


def test_rouge_is_that_of_the_best_reference() -> None:
    for said, texts, score in zip(SAID, REFERENCES, rouge_l(SAID, REFERENCES).tolist(), strict=True):
        mine = said.split()
        # rouge-score drops no word here: F = 2 LCS / (|a| + |b|)
        wanted = max(2 * longest_common(mine, t.split()) / (len(mine) + len(t.split())) for t in texts)
        assert score == pytest.approx(100 * wanted)


def test_cider_is_the_papers_formula() -> None:
    # Vedantam et al. 2015, eqs. (1) and (4), by dictionaries of strings
    def counts(text: str, n: int) -> Counter:
        w = text.split()
        return Counter(" ".join(w[i : i + n]) for i in range(len(w) - n + 1))

    for said, texts, score in zip(SAID, REFERENCES, cider(SAID, REFERENCES).tolist(), strict=True):
        total = 0.0
        for text in texts:
            for n in range(1, 5):
                holds = Counter(g for item in REFERENCES for g in {g for t in item for g in counts(t, n)})
                idf = {g: math.log(len(REFERENCES)) - math.log(max(1, holds[g])) for g in [*counts(said, n), *holds]}
                a, b = ({g: c * idf[g] for g, c in counts(t, n).items()} for t in (said, text))
                size = math.hypot(*a.values()) * math.hypot(*b.values())
                match = sum(min(a[g], b.get(g, 0.0)) * b.get(g, 0.0) for g in a)
                gap = len(said.split()) - len(text.split())
                total += math.exp(-(gap**2) / 72) * match / size if size else 0.0
        assert score == pytest.approx(10 * total / 4 / len(texts))


def test_identity_is_best_and_nothing_is_worst() -> None:
    texts = ["one two three four five", "six seven eight nine ten"]
    alone = [[text] for text in texts]
    assert bleu(texts, alone) == pytest.approx(100)
    assert chrf(texts, alone) == pytest.approx(100)
    assert rouge_l(texts, alone).tolist() == pytest.approx([100, 100])
    assert cider(texts, alone).tolist() == pytest.approx([10, 10])
    assert exact_match([" One two, THREE four five!", texts[1]], alone).tolist() == [1, 1]
    for metric in (bleu, chrf):
        assert metric(["", ""], alone) == pytest.approx(0)
    for metric in PER_ITEM:
        assert metric(["", ""], alone).tolist() == [0, 0]
    assert cider(texts[:1], alone[:1]).tolist() == [0]  # one item: every weight is log 1


def test_other_scripts_count_as_words() -> None:
    assert words("Привет, мир! Don’t 3") == ["привет", "мир", "don't", "3"]
    assert exact_match(["привет мир"], [["Привет, мир!"]]).tolist() == [1]


def one_hot(tokens: list[str]) -> Tensor:
    known = sorted({w for text in SAID for w in text.split()} | {w for r in REFERENCES for t in r for w in t.split()})
    return torch.eye(len(known))[[known.index(token) for token in tokens]]


def test_bert_score_of_one_hot_embeddings_is_the_overlap_of_words() -> None:
    a, b = SAID[0].split(), REFERENCES[0][0].split()
    precision, recall, f = bert_score(a, b, one_hot)
    assert precision == pytest.approx(sum(w in b for w in a) / len(a))
    assert recall == pytest.approx(sum(w in a for w in b) / len(b))
    assert f == pytest.approx(2 * precision * recall / (precision + recall))
    assert bert_score(a, a, one_hot) == pytest.approx((1, 1, 1))
    assert bert_score([], a, one_hot) == (0, 0, 0)


def test_bert_score_weighs_rare_words_and_rescales() -> None:
    idf = inverse_frequencies(["cat", "cat dog", "cat"])
    assert idf["cat"] == 0
    assert idf["dog"] == pytest.approx(-math.log(2 / 4))
    eye = {"cat": [1.0, 0.0, 0.0], "dog": [0.0, 1.0, 0.0], "cow": [0.0, 0.0, 1.0]}

    def embed(tokens: list[str]) -> Tensor:
        return torch.tensor([eye[t] for t in tokens])

    # Only the dog has weight in the reference, and it is not said; what is said has the largest weight (cow) or none.
    precision, recall, _ = bert_score(["cat", "cow"], ["cat", "dog"], embed, idf)
    assert (precision, recall) == (0, 0)
    assert bert_score(["cat"], ["cat"], embed, baseline=0.8)[0] == pytest.approx(1)
    assert bert_score(["cat"], ["dog"], embed, baseline=0.8)[0] == pytest.approx(-4)


def test_style_and_length() -> None:
    assert distinct_n(["a b", "a b"], 1) == 0.5
    assert distinct_n(["a b c", "a b d"]) == 0.75
    assert distinct_n([""]) == 0
    assert length_ratio(["a b c d"], [["a b", "a b c d e f"]]) == 1
    assert prefix_share(["Meme poster is sad.", "A cat."], "meme poster") == 0.5


def test_metaphor_recall_counts_meanings_by_content_words() -> None:
    meanings = [["the boss", "being very tired"]]
    assert metaphor_recall(["My boss is here"], meanings).tolist() == [0.5]
    assert metaphor_recall(["the being is here"], meanings).tolist() == [0]  # function words are no content
    assert metaphor_recall(["boss tired"], meanings).tolist() == [1]
    assert metaphor_recall(["boss tired"], meanings, share=1.0).tolist() == [0.5]


def test_the_constant_row_takes_the_best_sentence_of_the_pool() -> None:
    pool = ["a cow", *["the cat sat on the mat"] * 3, "green"]
    sentence, score = constant_row(REFERENCES, lambda c, r: float(rouge_l(c, r).mean()), pool)
    assert sentence == "the cat sat on the mat"
    assert score == pytest.approx(float(rouge_l([sentence] * 2, REFERENCES).mean()))
    assert constant_row(REFERENCES, lambda c, r: -len(c[0]), pool, tried=1)[0] == sentence  # the most frequent alone
    with pytest.raises(ValueError, match="pool is empty"):
        constant_row(REFERENCES, bleu, [])


@pytest.mark.parametrize("metric", [bleu, chrf, *PER_ITEM, metaphor_recall, length_ratio])
@pytest.mark.parametrize(
    ("said", "references", "told"),
    [
        (["a"], [["a"], ["b"]], "1 texts and references for 2 items"),
        ([], [], "0 texts"),
        (["a"], [[]], "Item 0 has no reference"),
        ("a", [["a"]], "A text stands where a list"),
        (["a"], ["a"], "A text stands where a list"),
    ],
)
def test_what_cannot_be_scored_is_refused(metric, said, references, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        metric(said, references)


def test_the_paired_bootstrap_is_right_where_the_answer_is_known() -> None:
    rng = torch.Generator().manual_seed(0)
    shared = torch.randn(400, generator=rng)  # differs between items, not between systems
    gap = 0.5 + torch.randn(400, generator=rng)
    found = paired_bootstrap(shared + gap, shared)
    assert found.difference == pytest.approx(float(gap.mean()), abs=1e-6)
    half = 1.96 * float(gap.std()) / 20  # the normal interval of the mean
    assert (found.low, found.high) == pytest.approx((found.difference - half, found.difference + half), abs=0.02)
    assert found.above > 0.999
    same = paired_bootstrap(shared, shared)
    assert (same.difference, same.low, same.high, same.above) == (0, 0, 0, 0.5)
    with pytest.raises(ValueError, match="no two scores"):
        paired_bootstrap(shared, shared[:3])


def test_corpus_scores_are_computed_anew_on_each_draw() -> None:
    other = ["the cat", "a dog runs"]
    found = bootstrap_metric(SAID, other, REFERENCES, bleu, resamples=20)
    assert found.difference == pytest.approx(bleu(SAID, REFERENCES) - bleu(other, REFERENCES))
    assert found.low <= found.difference <= found.high
    assert bootstrap_metric(SAID, SAID, REFERENCES, bleu, resamples=3).above == 0.5
    with pytest.raises(ValueError, match="2 and 1 texts for 2 items"):
        bootstrap_metric(SAID, SAID[:1], REFERENCES, bleu)


@pytest.mark.parametrize(("matching", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_by_hand(matching: int, score: float) -> None:
    humans = ["Two!"] * matching + [f"other {i}" for i in range(10 - matching)]
    assert vqa_accuracy("the 2", humans) == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The dog", "dog"), ("an  Apple.", "apple"), ("1,000", "1000"), ("3.5", "3.5"), ("none", "0"), ("dont", "dont"),
        ("don't", "dont"), ("black/white", "black white"), ("yes, please", "yes please"), ("ten\ncats", "10 cats"),
    ],
)  # fmt: skip
def test_answers_are_normalised(text: str, normal: str) -> None:
    assert normalised_answer(text) == normal


def test_yes_and_no_are_read_and_scored_together() -> None:
    assert says_yes("Yes, there is. No doubt.")
    assert not says_yes("There is not a dog")
    assert not says_yes("No, there is none")
    always = yes_no(["yes"] * 4, [True, False, True, False])
    assert (always.recall, always.yes_ratio, always.accuracy, always.precision) == (1, 1, 0.5, 0.5)
    assert always.f1 == pytest.approx(2 / 3)
    assert yes_no(["no"], [True]).f1 == 0
    with pytest.raises(ValueError, match="1 answers for 2"):
        yes_no(["no"], [True, False])
    with pytest.raises(ValueError, match="two or more"):
        vqa_accuracy("a", "a")

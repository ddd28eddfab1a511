"""Sentences as tensors."""

import pytest
import torch

from mmlab.data.words import as_tensor, hold_out_groups, vocabulary, words

SENTENCES = ("There's a Blue block.", "a blue BLOCK, 2 blocks", "a é")


def test_words_and_vocabulary() -> None:
    assert words(SENTENCES[0]) == ["there's", "a", "blue", "block"]
    assert words("two-tone _x_ 3") == ["two", "tone", "x", "3"]
    assert vocabulary(SENTENCES) == ("<padding>", "<unknown>", "a", "block", "blue")
    assert len(vocabulary(SENTENCES, least=1)) == 9


def test_forms() -> None:
    known = vocabulary(SENTENCES)
    tokens = as_tensor(SENTENCES, known, "tokens", 4)
    assert tokens.tolist() == [[1, 2, 4, 3], [2, 4, 3, 1], [2, 1, 0, 0]]
    bag = as_tensor(("a a block x", "", "blue"), known, "bag", 10)
    assert bag.tolist() == [[0, 1, 2, 1, 0], [0] * 5, [0, 0, 0, 0, 1]]
    one_hot = as_tensor(SENTENCES, known, "one_hot", 4)
    assert one_hot.shape == (3, 4, 5)
    assert torch.equal(one_hot.sum(-1), (tokens > 0).float())
    assert torch.equal(one_hot.argmax(-1), tokens)
    assert torch.equal(one_hot.sum(1), as_tensor(SENTENCES, known, "bag", 4))
    with pytest.raises(ValueError, match="no form 'letters' of a sentence: choose bag"):
        as_tensor(SENTENCES, known, "letters", 4)  # type: ignore[arg-type]


def test_groups_stay_together() -> None:
    groups = [str(i // 4) for i in range(100)]
    kept, held = hold_out_groups(groups, 0.2, seed=0, path="a.csv")
    assert len(held) == 20
    assert sorted(kept + held) == list(range(100))
    assert not {groups[i] for i in kept} & {groups[i] for i in held}
    assert held != hold_out_groups(groups, 0.2, seed=1, path="a.csv")[1]
    assert hold_out_groups(groups, 0.0, seed=0, path="a.csv") == (list(range(100)), [])
    with pytest.raises(ValueError, match="no share"):
        hold_out_groups(groups, 1.0, seed=0, path="a.csv")
    with pytest.raises(ValueError, match=r"^a\.csv: holding out 0\.5 of its 1 groups leaves nothing to train on"):
        hold_out_groups(["a", "a"], 0.5, seed=0, path="a.csv")

"""A tree of names: its law against enumeration, early stops that are exact, and transformers' constrained decoding."""

import itertools

import pytest
import torch

from mmlab.nn.name_trie import NameTrie

NAMES = [[3], [4, 5], [4, 6], [4, 6, 7], [5, 5, 5]]


def a_law(words=8, seed=0):
    """Log-probabilities of the next word after any prefix, as a function."""
    made = {}

    def after(prefix):
        key = tuple(prefix)
        if key not in made:
            rng = torch.Generator().manual_seed(seed + hash(key) % 100_000)
            made[key] = torch.randn(words, generator=rng, dtype=torch.float64).log_softmax(0)
        return made[key]

    return after


def laws_of(trie, after):
    return torch.stack([torch.stack([after(row[:at].tolist()) for at in range(len(row))]) for row in trie.rows])


def test_the_law_is_that_of_drawing_words_and_starting_again_where_no_name_goes_on():
    trie, after = NameTrie(NAMES), a_law()
    found = trie.log_probabilities(laws_of(trie, after)).sum(-1).exp()
    assert found.sum().item() == pytest.approx(1, abs=1e-12)
    for name, p in zip(NAMES, found, strict=True):
        product, ended = 1.0, [*name, 0]
        for at, word in enumerate(ended):
            rivals = {[*other, 0][at] for other in NAMES if len(other) + 1 > at and [*other, 0][:at] == ended[:at]}
            law = after(ended[:at]).exp()
            product *= float(law[word] / law[list(rivals)].sum())
        assert p.item() == pytest.approx(product, abs=1e-12)


def test_what_comes_after_a_name_is_alone_costs_nothing_and_without_the_tree_it_does():
    trie, after = NameTrie(NAMES), a_law()
    assert trie.depth.tolist() == [1, 2, 3, 3, 1]
    laws = laws_of(trie, after)
    each = trie.log_probabilities(laws)
    for k, depth in enumerate(trie.depth.tolist()):
        assert (each[k, depth:] == 0).all()
    short = trie.log_probabilities(laws[:, : int(trie.depth.max())])
    assert torch.equal(short.sum(-1), each.sum(-1))
    plain = laws.gather(-1, trie.rows[..., None])[..., 0] * trie.ended()
    assert (plain.sum(-1) < each.sum(-1)).all()  # each word's share of all words is less than of the allowed ones


def test_a_greedy_walk_can_miss_the_likeliest_name():
    trie = NameTrie([[1, 3], [2, 3], [2, 4], [2, 5]])
    laws = torch.full((4, 3, 6), -20.0, dtype=torch.float64)
    laws[:, 0, 1], laws[:, 0, 2] = torch.tensor(0.4).log(), torch.tensor(0.6).log()
    laws[1:, 1, 3:6] = torch.tensor(1 / 3).log()
    laws[0, 1, 3] = 0.0
    found = trie.log_probabilities(laws).sum(-1)
    assert found.argmax() == 0
    greedy = max(trie.allowed([]), key=lambda word: laws[1, 0, word])
    assert greedy == 2  # a genus of three has more of the first word, and each of its species less


def test_transformers_constrained_decoding_walks_the_same_tree():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ends = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=16, n_embd=8, n_layer=1, n_head=2, **ends)).eval()
    trie = NameTrie(NAMES)
    prompt = torch.tensor([[2, 3, 1]])

    def allowed(_, ids):
        return trie.allowed(ids[prompt.shape[1] :].tolist())

    made = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), prefix_allowed_tokens_fn=allowed, do_sample=False,
        max_new_tokens=5,
    )[0, 3:].tolist()  # fmt: skip
    walked = []
    while not walked or walked[-1] != 0:
        scores = model(torch.tensor([[*prompt[0].tolist(), *walked]])).logits[0, -1]
        walked.append(max(trie.allowed(walked), key=lambda word: scores[word].item()))
    assert made[: len(walked)] == walked
    assert walked[:-1] in NAMES


def test_one_name_is_certain_and_nested_names_end_where_they_end():
    one = NameTrie([[4, 5]])
    assert one.depth.tolist() == [0]
    assert one.log_probabilities(torch.randn(1, 3, 8).log_softmax(-1)).sum() == 0
    trie = NameTrie(NAMES)
    assert sorted(trie.allowed([4, 6])) == [0, 7]
    assert trie.allowed([4, 6, 7]) == [0]
    assert trie.allowed([7, 7]) == [0]
    assert len(trie) == 5
    assert trie.ended().sum(1).tolist() == [2, 3, 3, 4, 4]


@pytest.mark.parametrize("names", [[], [[]], [[1, 2], [1, 2]], [[1, 0]]])
def test_names_that_cannot_be_told_apart_are_refused(names):
    with pytest.raises(ValueError, match="NameTrie takes one name or more"):
        NameTrie(names)


def test_the_sum_over_all_names_of_a_random_tree_is_one():
    rng = torch.Generator().manual_seed(1)
    every = [list(row) for n in (1, 2, 3) for row in itertools.product(range(1, 4), repeat=n)]
    for draw in range(5):
        chosen = [every[i] for i in torch.randperm(len(every), generator=rng)[:9].tolist()]
        trie = NameTrie(chosen)
        found = trie.log_probabilities(laws_of(trie, a_law(4, 7 * draw))).sum(-1).exp()
        assert found.sum().item() == pytest.approx(1, abs=1e-12)

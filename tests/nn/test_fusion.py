"""Fusion heads: closed forms, missing modalities, and the invariants that published heads broke."""

from typing import get_args

import pytest
import torch

from mmlab.nn.fusion import FusionKind, low_rank_product, make_fusion, mean_of_probabilities, product_of_experts

KINDS = get_args(FusionKind)
NAMES = ("audio", "image", "text")
every_kind = pytest.mark.parametrize("kind", KINDS)


def head(kind, modalities=NAMES, width=8, classes=5, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_fusion(kind, modalities, width, classes, **arguments)


def normal(*shape, seed=1, **arguments):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **arguments)


def features(items=7, seed=1):
    return dict(zip(NAMES, normal(3, items, 8, seed=seed), strict=True))


def some_missing():
    """Presence of seven items: all, each one alone, two of three, and nothing at all."""
    table = [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 0]]
    return dict(zip(NAMES, torch.tensor(table).bool().unbind(1), strict=True))


@every_kind
def test_shape_gradients_and_registration(kind):
    fusion = head(kind)
    given = {name: values.requires_grad_() for name, values in features().items()}
    logits = fusion(given, {})
    assert logits.shape == (7, 5)
    (logits * normal(7, 5, seed=3)).sum().backward()  # a plain sum has no gradient where probabilities are normalised
    assert not [name for name, p in fusion.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(values.grad.any() for values in given.values())
    trainable = {id(p) for p in fusion.parameters()}
    assert all(id(p) in trainable for p in getattr(fusion, "factors", []))


@every_kind
def test_what_is_absent_never_matters(kind):
    fusion, given, there = head(kind), features(), some_missing()
    logits = fusion(given, there)
    assert logits.isfinite().all()
    for junk in (1e6, torch.nan):
        other = {name: torch.where(there[name][:, None], given[name], junk) for name in NAMES}
        assert torch.equal(fusion(other, there), logits)
    changed = {name: torch.where(there[name][:, None], given[name].roll(1, 1), given[name]) for name in NAMES}
    assert not torch.isclose(fusion(changed, there)[:6], logits[:6]).all(1).any(), "what is present must matter"


@every_kind
def test_absent_features_get_no_gradient_and_harm_none(kind):
    fusion, there = head(kind), some_missing()
    given = {name: values.requires_grad_() for name, values in features().items()}
    (fusion(given, there) * normal(7, 5, seed=3)).sum().backward()
    for name in NAMES:
        assert not given[name].grad[~there[name]].any()
        assert given[name].grad.isfinite().all()


@every_kind
def test_the_order_of_names_does_not_matter(kind):
    given, there = features(), some_missing()
    backwards = {name: given[name] for name in reversed(NAMES)}
    one, other = head(kind), head(kind, modalities=NAMES[::-1])
    assert torch.equal(one(given, there), other(backwards, there))


@every_kind
def test_an_item_does_not_depend_on_its_neighbours(kind):
    fusion, given, there = head(kind, dropout=0.5).eval(), features(), some_missing()
    together = fusion(given, there)
    assert torch.equal(together, fusion(given, there))
    for i in range(7):
        alone = fusion({n: x[i : i + 1] for n, x in given.items()}, {n: x[i : i + 1] for n, x in there.items()})
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


def test_product_of_experts():
    shown = torch.ones(4, 3, dtype=torch.bool)
    experts = normal(4, 3, 5, dtype=torch.float64).log_softmax(-1)
    made = product_of_experts(experts, shown)
    by_hand = experts.exp().prod(1)
    torch.testing.assert_close(made.exp(), by_hand / by_hand.sum(1, keepdim=True))
    torch.testing.assert_close(made.exp().sum(1), torch.ones(4).double())
    constants = normal(4, 3, 1, seed=2, dtype=torch.float64)
    torch.testing.assert_close(product_of_experts(experts + constants, shown), made)


def test_a_uniform_expert_is_the_identity_and_an_absent_one_is_uniform():
    shown = torch.ones(4, 2, dtype=torch.bool)
    experts = normal(4, 2, 5).log_softmax(-1)
    experts[:, 1] = -torch.tensor(5.0).log()
    torch.testing.assert_close(product_of_experts(experts, shown), experts[:, 0])
    shown[:, 1] = False
    experts[:, 1] = normal(4, 5, seed=3)
    torch.testing.assert_close(product_of_experts(experts, shown), experts[:, 0])
    torch.testing.assert_close(mean_of_probabilities(experts, shown), experts[:, 0])
    nobody = product_of_experts(experts, torch.zeros_like(shown)), mean_of_probabilities(experts, ~(shown | True))
    for answer in nobody:
        torch.testing.assert_close(answer.exp(), torch.full((4, 5), 0.2))


def test_mean_of_probabilities():
    experts = normal(2, 3, 5).log_softmax(-1)
    shown = torch.tensor([[True, True, True], [True, False, True]])
    made = mean_of_probabilities(experts, shown).exp()
    torch.testing.assert_close(made[0], experts[0].exp().mean(0))
    torch.testing.assert_close(made[1], experts[1, [0, 2]].exp().mean(0))


def test_product_equals_bayes_where_modalities_are_independent_given_the_class():
    """With balanced classes; otherwise the prior is counted twice, once by each expert."""
    means = normal(2, 5, 3, dtype=torch.float64)  # two modalities, five classes, three features, unit variance
    x = normal(2, 6, 3, seed=4, dtype=torch.float64)
    likelihood = -(x[:, :, None] - means[:, None]).square().sum(-1) / 2  # (M, B, K)
    for prior in (torch.full((5,), 0.2), torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1])):
        experts = (likelihood + prior.double().log()).log_softmax(-1).transpose(0, 1)
        bayes = (likelihood.sum(0) + prior.double().log()).log_softmax(-1)
        product = product_of_experts(experts, torch.ones(6, 2, dtype=torch.bool))
        corrected = (product - prior.double().log()).log_softmax(-1)
        torch.testing.assert_close(corrected, bayes)
        assert torch.allclose(product, bayes) == (prior.max() < 0.3)


@pytest.mark.parametrize("kind", ["low_rank", "bilinear"])
def test_low_rank_is_the_explicit_tensor(kind):
    """Form the outer product of all vectors and the whole weight tensor, and contract them."""
    fusion = head(kind, width=3, rank=2).double()
    given = {name: values[:, :3].double() for name, values in features().items()}
    vectors = list(given.values())
    if kind == "low_rank":
        vectors = [torch.cat([torch.ones(7, 1).double(), values], 1) for values in vectors]
    outer = torch.einsum("bi,bj,bk->bijk", *vectors)
    whole = torch.einsum("r,rih,rjh,rkh->ijkh", fusion.weights, *fusion.factors)
    expected = torch.einsum("bijk,ijkh->bh", outer, whole)
    torch.testing.assert_close(low_rank_product(vectors, list(fusion.factors), fusion.weights), expected)
    torch.testing.assert_close(fusion(given, {}), fusion.answer(expected))


def test_low_rank_without_a_modality_keeps_the_terms_of_the_others():
    fusion, given = head("low_rank", NAMES[:2], width=3, rank=2).double(), features()
    given = {name: given[name][:, :3].double() for name in NAMES[:2]}
    gone = {"image": torch.zeros(7, dtype=torch.bool)}
    ones = torch.ones(7, 1).double()
    vectors = [torch.cat([ones, given["audio"]], 1), torch.cat([ones, torch.zeros(7, 3).double()], 1)]
    expected = fusion.answer(low_rank_product(vectors, list(fusion.factors), fusion.weights))
    torch.testing.assert_close(fusion(given, gone), expected)


def test_bilinear_treats_an_absent_modality_as_a_factor_of_one():
    fusion, given = head("bilinear", NAMES[:2]), features()
    gone = {"image": torch.zeros(7, dtype=torch.bool)}
    expected = torch.einsum("r,bd,rdh->bh", fusion.weights, given["audio"], fusion.factors[0])
    torch.testing.assert_close(fusion(given, gone), fusion.answer(expected))


def test_two_gates_are_a_sigmoid():
    fusion, given = head("gated", NAMES[:2]), features()
    both = torch.cat([given[name] for name in NAMES[:2]], 1)
    scores = fusion.gates(both)
    gate = (scores[:, :8] - scores[:, 8:]).sigmoid()
    first, second = (layer(given[name]).tanh() for layer, name in zip(fusion.values, NAMES, strict=False))
    torch.testing.assert_close(fusion(given, {}), fusion.answer(gate * first + (1 - gate) * second))


def test_a_bit_of_presence_is_a_learned_stand_in():
    fusion, given = head("concatenation"), features()
    gone = {"text": torch.zeros(7, dtype=torch.bool)}
    zeros = given | {"text": torch.zeros(7, 8)}
    assert not torch.allclose(fusion(given, gone), fusion(zeros, {})), "absent is not the same as present and zero"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="no fusion 'concat'"):
        make_fusion("concat", NAMES, 8, 5)
    with pytest.raises(ValueError, match="different names"):
        make_fusion("mean", ["image", "image"], 8, 5)
    with pytest.raises(KeyError, match="no features of 'text'"):
        head("mean")({name: features()[name] for name in NAMES[:2]}, {})

"""Low-rank updates of any matrix: the same as those of a layer, and nothing else moves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmlab.nn.low_rank import LowRank
from mmlab.nn.low_rank_weights import adapt_weights, merged_weights

NAMES = ("weight_ih_l0", "weight_hh_l0")


def test_on_a_linear_layer_it_is_the_layer_with_its_update() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 7), torch.randn(3, 5)
    known = LowRank(copy.deepcopy(layer), 2, 6.0)
    adapt_weights(layer, ["weight"], 2, 6.0)
    update = layer.parametrizations["weight"][0]  # type: ignore[index]
    with torch.no_grad():
        known.b.normal_()
        update.a.copy_(known.a)
        update.b.copy_(known.b)
    assert torch.allclose(layer(x), known(x), atol=1e-6)
    merged = merged_weights(layer)
    assert torch.allclose(merged["weight"], known.merged().weight, atol=1e-6)
    assert torch.allclose(merged["bias"], known.base.bias)


def test_a_recurrent_network_is_tuned_by_its_factors_alone() -> None:
    torch.manual_seed(0)
    network, x = nn.GRU(4, 6, batch_first=True), torch.randn(2, 5, 4)
    before, names = network(x)[0], dict(network.state_dict())
    frozen = {name: value.clone() for name, value in names.items()}
    factors = adapt_weights(network, NAMES, 2)
    assert torch.equal(network(x)[0], before)  # B is zero
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in factors}
    optimiser = torch.optim.Adam(factors, lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        network(x)[0].square().mean().backward()
        optimiser.step()
    assert network(x)[0].square().mean() < before.square().mean() / 2
    plain = nn.GRU(4, 6, batch_first=True)
    plain.load_state_dict(merged_weights(network))
    assert torch.allclose(plain(x)[0], network(x)[0], atol=1e-6)
    assert plain.state_dict().keys() == names.keys()
    for name in NAMES:
        assert torch.equal(network.parametrizations[name].original, frozen[name])  # type: ignore[union-attr, index]
        assert torch.linalg.matrix_rank(plain.state_dict()[name] - frozen[name], atol=1e-4) == 2
    assert torch.equal(plain.state_dict()["bias_ih_l0"], frozen["bias_ih_l0"])


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="'bias' is no matrix"):
        adapt_weights(nn.Linear(2, 2), ["bias"], 1)
    with pytest.raises(ValueError, match="rank=0"):
        adapt_weights(nn.Linear(2, 2), ["weight"], 0)

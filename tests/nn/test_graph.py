"""Message passing: the mean of who is there, tables of neighbours, and a layer beside edge lists."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.nn.graph import SageLayer, mean_over, neighbour_table


def test_the_mean_is_over_those_that_are_there():
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [torch.nan, 0.0]], [[torch.nan, 1.0]] * 3])
    there = torch.tensor([[True, True, False], [False, False, False]])
    torch.testing.assert_close(mean_over(values, there), torch.tensor([[2.0, 4.0], [0.0, 0.0]]))


def test_a_table_holds_the_neighbours_of_each_node_and_no_other():
    rng = torch.Generator().manual_seed(0)
    edges = torch.randint(0, 20, (2, 90), generator=rng).unique(dim=1)
    table, there = neighbour_table(edges, 20, 30, rng)
    for node in range(20):
        expected = edges[0, edges[1] == node].tolist()
        assert sorted(table[node, there[node]].tolist()) == sorted(expected)
    few, there = neighbour_table(edges, 20, 2, rng)
    degree = torch.bincount(edges[1], minlength=20)
    assert torch.equal(there.sum(1), degree.clamp(max=2))
    for node in range(20):
        chosen = few[node, there[node]].tolist()
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(edges[0, edges[1] == node].tolist())


def test_neighbours_beyond_the_limit_are_drawn_evenly():
    edges = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])
    rng = torch.Generator().manual_seed(0)
    counts = torch.zeros(5)
    for _ in range(400):
        counts[neighbour_table(edges, 5, 2, rng)[0][0]] += 1
    assert counts[0] == 0
    assert (abs(counts[1:] / 400 - 0.5) < 0.1).all()


def test_a_layer_is_the_adjacency_matrix_times_the_features():
    rng = torch.Generator().manual_seed(1)
    adjacency = (torch.rand(8, 8, generator=rng) < 0.4).float()  # row: who hears, column: who is heard
    adjacency[3] = 0
    table, there = neighbour_table(adjacency.T.nonzero().T, 8, 8, rng)
    x = torch.randn(8, 5, generator=rng)
    torch.manual_seed(0)
    layer = SageLayer(5, {"near": 5}, 6)
    means = adjacency @ x / adjacency.sum(1, keepdim=True).clamp(min=1)
    expected = x @ layer.own.weight.T + layer.own.bias + means @ layer.told["near"].weight.T
    expected = F.layer_norm(expected, (6,)).relu()
    torch.testing.assert_close(layer(x, {"near": x[table]}, {"near": there}), expected)


def test_what_leads_out_of_the_graph_is_refused():
    rng = torch.Generator()
    with pytest.raises(ValueError, match="2 nodes"):
        neighbour_table(torch.tensor([[0], [2]]), 2, 3, rng)
    with pytest.raises(ValueError, match="limit=0"):
        neighbour_table(torch.zeros(2, 0, dtype=torch.long), 2, 0, rng)
    table, there = neighbour_table(torch.zeros(2, 0, dtype=torch.long), 2, 3, rng)
    assert table.shape == there.shape == (2, 3)
    assert not there.any()

"""Message passing: the mean of who is there, tables of neighbours, and a layer beside edge lists."""

import torch
from torch.nn import functional as F

from mmlab.data.neighbours import neighbour_table
from mmlab.nn.graph import SageLayer, mean_over


def test_the_mean_is_over_those_that_are_there():
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [torch.nan, 0.0]], [[torch.nan, 1.0]] * 3])
    there = torch.tensor([[True, True, False], [False, False, False]])
    torch.testing.assert_close(mean_over(values, there), torch.tensor([[2.0, 4.0], [0.0, 0.0]]))


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

"""Tables of neighbours: who is in them, how many, and drawn how."""

import pytest
import torch

from mmlab.data.neighbours import neighbour_table


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


def test_what_leads_out_of_the_graph_is_refused():
    rng = torch.Generator()
    with pytest.raises(ValueError, match="2 nodes"):
        neighbour_table(torch.tensor([[0], [2]]), 2, 3, rng)
    with pytest.raises(ValueError, match="limit=0"):
        neighbour_table(torch.zeros(2, 0, dtype=torch.long), 2, 0, rng)
    table, there = neighbour_table(torch.zeros(2, 0, dtype=torch.long), 2, 3, rng)
    assert table.shape == there.shape == (2, 3)
    assert not there.any()

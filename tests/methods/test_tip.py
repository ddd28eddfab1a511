"""Oracles of TIP: the reconstruction of the released code, attention by hand, and cells that must have no effect."""

import math

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.tip import TIP, draw_wrong, reconstruction, sees


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def columns(seed=0):
    """Answers for two categorical columns and three with numbers, the truth, and what is hidden."""
    rng = generator(seed)
    scores, numbers = torch.randn(5, 2, 7, generator=rng), torch.randn(5, 3, generator=rng)
    categories = [torch.randint(0, n, (5,), generator=rng) for n in (3, 4)]
    table = torch.cat([torch.stack(categories, 1).float(), torch.randn(5, 3, generator=rng)], 1)
    return scores.log_softmax(-1), numbers, table, torch.rand(5, 5, generator=rng) < 0.5, torch.tensor([0, 3])


def test_the_reconstruction_has_the_value_of_the_released_code():
    """ReconstructionLoss in utils/reconstruct_loss.py gives 1.9163 on the same numbers."""
    found = reconstruction(*columns())
    assert ((found["categories"] + found["numbers"]) / 2).item() == pytest.approx(1.9163311, abs=1e-5)


def test_the_reconstruction_by_hand():
    log_p, numbers, table, hidden, offsets = columns(3)
    cost = {"categories": [], "numbers": []}
    for b in range(5):
        for j in range(5):
            if hidden[b, j] and j < 2:
                cost["categories"].append(-float(log_p[b, j, int(table[b, j]) + [0, 3][j]]))
            elif hidden[b, j]:
                cost["numbers"].append(float(numbers[b, j - 2] - table[b, j]) ** 2)
    found = reconstruction(log_p, numbers, table, hidden, offsets)
    for name, values in cost.items():
        assert found[name].item() == pytest.approx(sum(values) / len(values), abs=1e-5)


def test_nothing_hidden_costs_nothing_and_what_is_not_hidden_may_be_anything():
    log_p, numbers, table, hidden, offsets = columns()
    nothing = reconstruction(log_p, numbers, table, torch.zeros_like(hidden), offsets)
    assert nothing["categories"] == nothing["numbers"] == 0
    spoilt = torch.where(hidden, table, torch.nan)
    assert reconstruction(log_p, numbers, spoilt, hidden, offsets) == reconstruction(
        log_p, numbers, table, hidden, offsets
    )
    method, batch = TIP.demo()
    empty = batch | {"table_known": torch.zeros(16, 3, dtype=torch.bool)}
    made = method.loss(empty, generator())
    assert made["reconstruction"] == 0
    made["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_tokens_see_known_cells_the_class_token_and_themselves():
    mask = sees(torch.tensor([[True, False, True]]))[0]
    wanted = [[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 0, 1]]
    assert mask.int().tolist() == wanted


def test_the_transformer_of_the_table_is_that_of_torch_with_the_same_weights():
    method, batch = TIP.demo()
    block, known = method.table_blocks[0], batch["table_known"]
    count = len(method.categories)
    x = torch.where(known, batch["table"], 0)
    cells = [method.category.weight[x[:, 0].long()], method.category.weight[x[:, 1].long() + 2]]
    cells.append(x[:, count:] @ method.number.weight.T + method.number.bias)
    cells = [torch.where(known[:, j, None], c, method.missing) for j, c in enumerate(cells)]
    tokens = torch.stack([method.start.expand(16, -1), *cells], 1) + method.column
    tokens = F.layer_norm(tokens, (8,), method.table_norm.weight, method.table_norm.bias)
    seen = block.norms[0](tokens)
    parts = [block.own.query, block.own.key, block.own.value]
    weights, biases = [p.weight for p in parts], [parts[0].bias, torch.zeros(8), parts[2].bias]
    forbidden = ~sees(known).repeat_interleave(2, 0)  # for each head
    own, _ = F.multi_head_attention_forward(
        *[seen.transpose(0, 1)] * 3, 8, 2, torch.cat(weights), torch.cat(biases), None, None, False, 0.0,
        block.own.out.weight, block.own.out.bias, attn_mask=forbidden,
    )  # fmt: skip
    tokens = tokens + own.transpose(0, 1)
    tokens = tokens + block.perceptron(block.norms[1](tokens))
    torch.testing.assert_close(method.tokens_of_table(batch["table"], known), tokens, atol=1e-5, rtol=1e-5)


def test_only_the_tokens_that_are_asked_for_are_computed_and_they_are_the_same():
    method, batch = TIP.demo()
    cells = method.tokens_of_table(batch["table"], batch["table_known"])
    picture = method.tokens_of_picture(batch["image"])
    torch.testing.assert_close(method.both(cells, picture, 1), method.both(cells, picture)[:, :1])


def test_patches_are_cut_as_unfold_cuts_them():
    method = TIP.seeded(0, (2, 4, 6), [2], 1, width=8, patch=2)
    image = torch.randn(3, 2, 4, 6, generator=generator())
    wanted = method.patches(F.unfold(image, 2, stride=2).mT) + method.positions
    torch.testing.assert_close(method.tokens_of_picture(image), wanted)


def test_wrong_partners_are_never_the_item_itself_and_follow_their_law():
    rng = generator()
    s = 3 * torch.randn(5, 5, generator=rng)
    draws = torch.stack([draw_wrong(s, u) for u in torch.rand(20000, 5, generator=rng)])
    weight = s.softmax(1) + 1e-4
    weight.fill_diagonal_(0)
    shares = torch.stack([(draws == j).double().mean(0) for j in range(5)], 1)
    assert (shares.diagonal() == 0).all()
    torch.testing.assert_close(shares, (weight / weight.sum(1, keepdim=True)).double(), atol=0.015, rtol=0)
    for u in (0.0, 1 - 2**-24):
        assert not (draw_wrong(s, torch.full((5,), u)) == torch.arange(5)).any()


def test_the_loss_by_hand():
    method, batch = TIP.demo()
    known = batch["table_known"]
    u = torch.rand(16, 11, generator=generator(1))
    found = method.loss(batch | {"uniforms": u}, generator())
    table = torch.nan_to_num(batch["table"])
    donor, swap = (u[:, 3:6] * 16).long(), u[:, :3] < 0.3
    other, other_known = table.clone(), known.clone()
    for b, j in swap.nonzero().tolist():
        other[b, j], other_known[b, j] = table[donor[b, j], j], known[donor[b, j], j]
    picture = method.tokens_of_picture(batch["image"])
    cells = method.tokens_of_table(other, other_known)
    a = F.normalize(method.project_picture(picture.mean(1)), dim=1)
    b = F.normalize(method.project_table(cells[:, 0]), dim=1)
    s, right = a @ b.T / 0.1, torch.arange(16)
    contrast = (F.cross_entropy(s, right) + F.cross_entropy(s.T, right)) / 2
    t, p = draw_wrong(s, u[:, 9]), draw_wrong(s.T, u[:, 10])
    pairs = [(cells, picture), (cells[t], picture), (cells, picture[p])]
    answers = torch.cat([method.match(method.both(x, y)[:, 0]) for x, y in pairs])
    matching = F.cross_entropy(answers, torch.tensor([1] * 16 + [0] * 32))
    hidden = (u[:, 6:9] < 0.5) & known
    tokens = method.both(method.tokens_of_table(table, known & ~hidden), picture)
    made = method.to_categories(tokens[:, 1:3]).log_softmax(-1), method.to_number(tokens[:, 3:])[..., 0]
    costs = reconstruction(*made, table, hidden, torch.tensor([0, 2]))
    rebuilt = (costs["categories"] + costs["numbers"]) / 2
    cells = method.tokens_of_table(table, known)
    seen = [picture.mean(1), cells[:, 0], method.both(cells, picture)[:, 0]]
    answer = sum(head(x) for head, x in zip(method.heads, seen, strict=True)) / 3
    classes = F.cross_entropy(answer, batch["label"])
    wanted = {"contrast": contrast, "matching": matching, "reconstruction": rebuilt, "classes": classes}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(found["loss"], (contrast + matching + rebuilt) / 3 + 3 * classes)
    torch.testing.assert_close(method.predict(batch), answer.softmax(1))


def test_what_stands_in_a_missing_cell_changes_nothing():
    method, batch = TIP.demo()
    known = batch["table_known"]
    assert not known.all()
    other = batch | {"table": torch.where(known, batch["table"], 99.0)}
    assert torch.equal(method.predict(other), method.predict(batch))
    for name, value in method.loss(batch, generator()).items():
        assert value == method.loss(other, generator())[name], name
    assert torch.equal(method.impute(other), method.impute(batch))
    seen = {"table": torch.where(known, -batch["table"], batch["table"]).clamp(0, 1)}
    assert not torch.equal(method.predict(batch | seen), method.predict(batch))


def test_holes_are_filled_with_categories_of_their_column_and_known_cells_stay():
    method, batch = TIP.demo()
    filled = method.impute(batch)
    known = batch["table_known"]
    assert torch.equal(filled[known], batch["table"][known])
    assert filled.isfinite().all()
    for j, size in enumerate(method.categories):
        assert set(filled[:, j].tolist()) <= set(range(size))
    categories, numbers = method.cells(batch)
    assert [part.shape[1] for part in categories] == [2, 3]
    assert numbers.shape == (16, 1)
    torch.testing.assert_close(categories[1].sum(1), torch.ones(16))


def test_phases_use_their_part_of_the_loss():
    method, batch = TIP.demo()
    first = TIP(**method.config | {"labelled": 0.0})
    assert set(first.loss(batch, generator())) == {"loss", "contrast", "matching", "reconstruction"}
    second = TIP(**method.config | {"pretraining": 0.0})
    second.load_state_dict(first.state_dict())
    assert set(second.loss(batch, generator())) == {"loss", "classes"}
    none = batch | {"label_present": torch.zeros(16, dtype=torch.bool), "label": batch["label"] - 9}
    assert second.loss(none, generator())["loss"] == 0


def test_a_pair_alone_has_no_wrong_partner():
    method, batch = TIP.demo()
    found = method.loss({name: value[:1] for name, value in batch.items()}, generator())
    assert found["contrast"].item() == pytest.approx(0, abs=1e-6)
    assert math.isfinite(found["matching"].item())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 3}, "patch=3 does not divide a picture of 2 x 2"),
        ({"categories": [1]}, r"categories=\[1\], numbers=1"),
        ({"width": 7}, "width=7"),
        ({"hidden": 0.0}, "hidden=0.0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    method, _ = TIP.demo()
    with pytest.raises(ValueError, match=message):
        TIP(**method.config | change)


def test_columns_are_told_by_the_data():
    item = {"image": torch.zeros(1, 4, 4), "table": torch.zeros(3), "table_sizes": torch.tensor([3, 2, 0])}
    assert TIP.arguments_for(item) == {"shape": [1, 4, 4], "categories": [3, 2], "numbers": 1}
    with pytest.raises(ValueError, match=r"table_sizes is \[0, 2\]: categorical columns come first"):
        TIP.arguments_for(item | {"table_sizes": torch.tensor([0, 2])})
    with pytest.raises(ValueError, match="the data have no table_sizes"):
        TIP.arguments_for({name: item[name] for name in ("image", "table")})

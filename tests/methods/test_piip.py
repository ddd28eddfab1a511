"""Oracles of PIIP: the cost is exact, shut gates leave the branches alone, and the order of branches means nothing."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmlab.methods.piip import PIIP, Injector, block_cost, injector_cost

SHAPE = (1, 16, 16)


def opened(method, seed=0):
    """The same method with gates that are not zero."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in method.modules():
            if isinstance(part, Injector):
                part.gate.copy_(torch.randn(part.gate.shape, generator=rng))
                part.second_gate.copy_(torch.randn(part.gate.shape, generator=rng))
    return method


def pictures(count=3, shape=SHAPE):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("branches", "depth"), [(((16, 1),), 1), (((32, 2), (16, 1)), 2), (((16, 4), (12, 2), (8, 1)), 3)]
)
def test_the_cost_is_what_torch_counts(branches, depth):
    method = PIIP(SHAPE, branches=branches, depth=depth)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # others it does not count
        method.predict({"image": pictures(1)})
    assert counter.get_total_flops() == 2 * method.cost()  # it counts additions, too


def test_the_cost_by_hand():
    assert block_cost(4, 32) == 4 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 4 * 4 * 32
    injector = 16 * 8 * 32 + 2 * 16 * 32 * 32 + 2 * 4 * 32 * 32 + 2 * 4 * 16 * 32 + 2 * 4 * 32 * 8
    assert injector_cost(4, 32, 16, 8) == injector
    one = PIIP(SHAPE, branches=((32, 2),), depth=2)
    assert one.cost() == 4 * 16 * 32 + 2 * block_cost(4, 32) + 32 * 12


def test_halving_the_patch_costs_at_least_four_times_as_much():
    costs = [PIIP((1, 32, 32), branches=((16, 1),), patch=patch).cost() for patch in (8, 4, 2)]
    assert costs[1] > 3.5 * costs[0]
    assert costs[2] > 4 * costs[1]


def test_shut_gates_leave_each_branch_alone():
    """At first the two branches together are two vision transformers whose logits are averaged."""
    method = PIIP.seeded(0, SHAPE, branches=((32, 2), (16, 1)))
    images = pictures()
    both = method.logits({"image": images})
    for k, branch in enumerate(method.branches):
        alone = PIIP(SHAPE, branches=(branch,))
        state = {}
        for name, value in method.state_dict().items():
            parts = name.split(".")
            place = 2 if parts[0] == "blocks" else 1
            if parts[0] != "injectors" and parts[place] == str(k):
                parts[place] = "0"
                state[".".join(parts)] = value
        alone.load_state_dict(state)
        torch.testing.assert_close(alone.logits({"image": images})[:, 0], both[:, k])
    assert not torch.allclose(opened(method).logits({"image": images}), both, atol=1e-3)


def test_the_injector_by_hand():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        injector = Injector(8, 6, 2)
        torch.nn.init.normal_(injector.gate)
        torch.nn.init.normal_(injector.second_gate)
    x, other = torch.randn(5, 8), torch.randn(7, 6)
    n = [lambda v, k=k: F.layer_norm(v, (8,), injector.norms[k].weight, injector.norms[k].bias) for k in range(3)]
    seen = n[1](injector.bridge(other))
    q, k, v = injector.query(n[0](x)), injector.key(seen), injector.value(seen)
    heads = [
        (q[:, s] @ k[:, s].T / 2).softmax(1) @ v[:, s]  # 2 is the root of the four values of a head
        for s in (slice(0, 4), slice(4, 8))
    ]
    y = x + injector.gate * injector.out(torch.cat(heads, 1))
    y = y + injector.second_gate * injector.perceptron(n[2](y))
    torch.testing.assert_close(injector(x[None], other[None])[0], y)


def test_the_order_of_branches_means_nothing():
    method = opened(PIIP.seeded(0, SHAPE, branches=((32, 2), (16, 1))))
    turned = PIIP(SHAPE, branches=((16, 1), (32, 2)))
    state = {}
    for name, value in method.state_dict().items():
        parts = name.split(".")
        place = {"blocks": 2, "injectors": 3}.get(parts[0], 1)
        parts[place] = str(1 - int(parts[place]))
        state[".".join(parts)] = value
    turned.load_state_dict(state)
    images = pictures()
    torch.testing.assert_close(turned.predict({"image": images}), method.predict({"image": images}))


def test_a_branch_sees_only_its_own_size_until_gates_open():
    """A texture of single pixels is not in the small picture."""
    method = PIIP.seeded(0, SHAPE, branches=((32, 2), (16, 1)))
    texture = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 16, 16)
    plain, with_texture = pictures(), pictures() + texture
    one, other = (method.logits({"image": x}) for x in (plain, with_texture))
    torch.testing.assert_close(one[:, 0], other[:, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(one[:, 1], other[:, 1], atol=1e-2)
    one, other = (opened(method).logits({"image": x}) for x in (plain, with_texture))
    assert not torch.allclose(one[:, 0], other[:, 0], atol=1e-2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="branches is empty"):
        PIIP(SHAPE, branches=())
    with pytest.raises(ValueError, match="cannot be cut into patches of 4"):
        PIIP((1, 20, 20), branches=((8, 2),))
    method, batch = PIIP.demo()
    with pytest.raises(ValueError, match=r"but \(1, 8, 8\) was promised"):
        method.predict({"image": batch["image"][..., 1:]})

"""Encoders: shapes, gradients, and nothing that depends on the other items of the batch."""

import pytest
import torch

from mmlab.nn.encoders import AttentionBlock, LeNet, TokenTransformer, make_encoder

CASES = [
    ("perceptron", (7,)),
    ("perceptron", (1, 8, 8)),
    ("convolutional", (1, 8, 8)),
    ("convolutional", (3, 5, 9)),
    ("lenet", (1, 28, 28)),
    ("lenet", (1, 8, 8)),
    ("lenet", (2, 9, 20)),
    ("recurrent", (12, 5)),
    ("transformer", (12, 5)),
]
every_case = pytest.mark.parametrize(("kind", "shape"), CASES)


def encoder(kind, shape, width=8, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_encoder(kind, shape, width, **arguments)


def items(shape, number=5):
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(1))


@every_case
def test_features_and_gradients(kind, shape):
    network = encoder(kind, shape)
    features = network(items(shape))
    assert features.shape == (5, 8)
    features.square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@every_case
def test_an_item_does_not_depend_on_its_neighbours_even_in_training(kind, shape):
    network, x = encoder(kind, shape).train(), items(shape)
    alone = torch.cat([network(one) for one in x.split(1)])
    torch.testing.assert_close(network(x), alone, rtol=1e-4, atol=1e-5)


def test_lenet_is_that_of_multibench():
    for side, stages, features in ((28, 4, 8 * 6), (112, 6, 32 * 6)):
        network = LeNet((1, side, side), 10)
        convolutions = [layer for layer in network.maps if isinstance(layer, torch.nn.Conv2d)]
        assert [layer.kernel_size[0] for layer in convolutions] == [5] + [3] * (stages - 1)
        assert [layer.out_channels for layer in convolutions] == [6 * 2**i for i in range(stages)]
        assert network.out[1].in_features == features


def test_attention_by_hand():
    """One head, one query: a softmax over scaled products, of the values that the mask allows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = AttentionBlock(4, heads=1).double()
    rng = torch.Generator().manual_seed(2)
    tokens, context = (torch.randn(1, n, 4, generator=rng, dtype=torch.float64) for n in (1, 3))
    mask = torch.tensor([[True, False, True]])
    seen, asked = block.norms[1](context)[0], block.query(block.norms[0](tokens))[0, 0]
    scores = (block.key(seen)[[0, 2]] @ asked / 2).softmax(0)
    expected = tokens[0, 0] + block.out(scores @ block.value(seen)[[0, 2]])
    expected = expected + block.perceptron(block.norms[2](expected))
    torch.testing.assert_close(block(tokens, context, mask)[0, 0], expected)
    context[0, 1] = 100.0
    torch.testing.assert_close(block(tokens, context, mask)[0, 0], expected)


def test_several_heads_are_those_of_torch():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block, theirs = AttentionBlock(8, heads=2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([block.query.weight, block.key.weight, block.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([block.query.bias, torch.zeros(8), block.value.bias]))
        theirs.out_proj.load_state_dict(block.out.state_dict())
    x = items((6, 8))
    queries, keys = block.norms[0](x), block.norms[1](x)
    middle = x + theirs(queries, keys, keys, need_weights=False)[0]
    torch.testing.assert_close(block(x, x), middle + block.perceptron(block.norms[2](middle)), rtol=1e-4, atol=1e-5)


def test_the_transformer_sees_the_order():
    network, x = TokenTransformer((6, 3), 8), items((6, 3))
    assert not torch.allclose(network(x), network(x.flip(1)), atol=1e-3)


@every_case
def test_dropout_is_off_in_evaluation(kind, shape):
    network, x = encoder(kind, shape, dropout=0.5).eval(), items(shape)
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("percepton", (3,), "no encoder 'percepton'"),
        ("lenet", (3,), r"\(C, H, W\), not \(3,\)"),
        ("recurrent", (1, 8, 8), r"\(T, C\), not"),
        ("lenet", (1, 1, 9), "too small"),
    ],
)
def test_what_does_not_fit_is_refused(kind, shape, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(kind, shape, 8)
    with pytest.raises(ValueError, match="4 attention heads cannot share a width of 6"):
        AttentionBlock(6)

"""Connectors: shapes, sizes, what they may depend on, and that peft can train them."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from mmlab.nn.connectors import ConnectorKind, QueryConnector, make_connector, tokens_after

KINDS = get_args(ConnectorKind)
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: Any, vision: int = 6, language: int = 8, queries: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return make_connector(kind, vision, language, queries)


def tokens(count: int = 7, rows: int = 3, width: int = 6) -> Tensor:
    return torch.randn(rows, count, width, generator=torch.Generator().manual_seed(1))


@every_kind
def test_shapes(kind: str) -> None:
    connector = made(kind)
    for count in (1, 4, 7):
        after = tokens_after(connector, count)
        assert after == (count if kind in ("linear", "mlp") else 5)
        assert connector(tokens(count)).shape == (3, after, 8)


def test_the_number_of_parameters_by_hand() -> None:
    v, d, q = 6, 8, 5
    attention, norm, think = 4 * (d * d + d), 2 * d, 2 * d * 2 * d + 3 * d + 2 * d  # of one round
    read = attention + 2 * norm + think
    ends = q * d + (v * d + d) + norm + (d * d + d)
    expected = {
        "linear": v * d + d,
        "mlp": (v * d + d) + (d * d + d),
        "resampler": ends + 2 * read,
        "q_former": ends + 2 * (read + attention + norm),
    }
    assert {kind: sum(p.numel() for p in made(kind).parameters()) for kind in KINDS} == expected


def test_the_perceptron_of_the_published_model() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make_connector("mlp", 1152, 2560).parameters()) == 9_507_840
    names = {name: tuple(p.shape) for name, p in made("mlp").named_parameters()}
    assert names == {"0.weight": (8, 6), "0.bias": (8,), "2.weight": (8, 8), "2.bias": (8,)}
    w, x = made("mlp").state_dict(), tokens()
    hidden = x @ w["0.weight"].T + w["0.bias"]
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2  # the exact GELU, not its approximation by tanh
    torch.testing.assert_close(made("mlp")(x), hidden @ w["2.weight"].T + w["2.bias"])


@every_kind
def test_the_order_of_patches_matters_only_where_they_are_kept(kind: str) -> None:
    connector, x = made(kind), tokens()
    turned = connector(x.flip(1))
    if kind in ("linear", "mlp"):
        torch.testing.assert_close(turned, connector(x).flip(1))
    else:  # a set is read: where a patch stood must be in its vector already, and towers see to it
        torch.testing.assert_close(turned, connector(x))


@every_kind
def test_every_patch_and_every_parameter_counts(kind: str) -> None:
    connector, x = made(kind), tokens().requires_grad_()
    (connector(x) * torch.randn(8, generator=torch.Generator().manual_seed(2))).square().sum().backward()
    assert x.grad is not None
    assert x.grad.any(2).all()
    assert [name for name, p in connector.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_kind
def test_rows_are_read_one_by_one(kind: str) -> None:
    connector, x = made(kind), tokens()
    torch.testing.assert_close(connector(x)[1:2], connector(x[1:2]))


def test_queries_see_one_another_in_the_q_former_before_they_read() -> None:
    """Change one query, and the others' outputs change in both kinds; how they come to see it is what differs."""
    for kind in ("resampler", "q_former"):
        connector, x = made(kind), tokens()
        assert isinstance(connector, QueryConnector)
        before = connector(x)
        with torch.no_grad():
            connector.queries[0] *= -1
        changed = (connector(x) - before).abs().amax((0, 2))
        assert (changed > 1e-6).all()
    readers: Any = made("q_former")
    assert [reader.mutual is not None for reader in readers.layers] == [True, True]
    readers = made("resampler")
    assert [reader.mutual is None for reader in readers.layers] == [True, True]


@every_kind
def test_peft_trains_a_copy_of_it(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    body = nn.ModuleDict({"connector": made(kind), "other": nn.Linear(8, 8)})
    model: Any = get_peft_model(body, LoraConfig(target_modules=["other"], modules_to_save=["connector"]))
    trained = {name for name, p in model.named_parameters() if p.requires_grad and "modules_to_save" in name}
    assert len(trained) == len(list(made(kind).parameters()))
    assert tokens_after(body["connector"], 7) == (7 if kind in ("linear", "mlp") else 5)
    assert body["connector"](tokens()).shape == made(kind)(tokens()).shape


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="no connector 'mlp3': choose linear, mlp, resampler or q_former"):
        make_connector("mlp3", 6, 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Widths 0, 8 and queries=16 must be 1 or more"):
        make_connector("linear", 0, 8)
    with pytest.raises(ValueError, match="queries=0"):
        make_connector("resampler", 6, 8, 0)
    with pytest.raises(ValueError, match="language_width=6 is no multiple of 4 heads"):
        make_connector("q_former", 6, 6)

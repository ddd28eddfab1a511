"""Parts of the user's own inside a method, and the law that what saves also loads."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.utils import parametrize, prune

from mmlab.card import Card
from mmlab.method import Batch, Method
from mmlab.registry import list_methods, load
from mmlab.store.weights import FILE


class Mine(nn.Module):
    """A network that no library knows."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.last = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).relu())


class Hosting(Method):
    """Takes a network, and empties its last layer as some methods do.

    Args:
        width: Number of values.
        network: A network in place of the method's own.
    """

    card: ClassVar[Card] = Card("Hosting", "toys", "toy2020", "Hosts.", inputs=("x",))

    def __init__(self, width: int = 3, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network if network is not None else nn.Linear(width, width)
        if network is not None:
            nn.init.zeros_(network.last.bias)  # type: ignore[union-attr, arg-type]

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        return cls.seeded(seed), {"x": torch.ones(2, 3)}


class Encoding(Method):
    """Takes networks by modality.

    Args:
        encoders: Networks by modality.
    """

    card: ClassVar[Card] = Hosting.card

    def __init__(self, encoders: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"image": nn.Linear(3, 2), **(encoders or {})})


class Speaking(Method):
    """Takes a configuration of transformers.

    Args:
        language_model: A configuration of transformers.
    """

    card: ClassVar[Card] = Hosting.card

    def __init__(self, language_model: Any) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM

        self.language_model = AutoModelForCausalLM.from_config(language_model)


def _fill(module: nn.Module) -> None:
    with torch.no_grad():
        for number, value in enumerate(module.parameters()):
            value.fill_(0.5 + number)


def _same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_network_of_ones_own_is_noted_saved_and_taken_back(tmp_path: Path) -> None:
    method = Hosting(network=Mine(7))
    _fill(method)
    method.save_pretrained(tmp_path)
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept == {"width": 3, "network": {"own part": f"{Mine.__module__}.Mine"}}
    assert all(value.unique().numel() == 1 for value in method.parameters()), "saving changed the network"
    mine = Mine(7)
    loaded = Hosting.from_pretrained(tmp_path, network=mine)
    assert loaded.network is mine
    assert _same(loaded, method)
    assert loaded.config == method.config
    loaded.save_pretrained(tmp_path / "again")
    assert _same(Hosting.from_pretrained(tmp_path / "again", network=Mine(7)), method)


def test_a_network_by_position_is_one_too(tmp_path: Path) -> None:
    Hosting(3, Mine()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="network of your own"):
        Hosting.from_pretrained(tmp_path)


def test_without_it_the_error_names_the_argument_and_its_remedy_works(tmp_path: Path) -> None:
    Hosting(network=Mine()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="of your own") as caught:
        Hosting.from_pretrained(tmp_path)
    said = str(caught.value)
    assert "\n" not in said
    assert f"{Mine.__module__}.Mine" in said
    remedy = said.rpartition("from_pretrained(..., ")[2].rstrip(".").removesuffix(")")
    assert remedy == "network=Mine(...)"
    assert isinstance(Hosting.from_pretrained(tmp_path, network=Mine()), Hosting)


def test_another_network_is_refused_before_it_is_changed(tmp_path: Path) -> None:
    Hosting(network=Mine(7)).save_pretrained(tmp_path)
    other = Mine(8)
    _fill(other)
    with pytest.raises(ValueError, match=r"network.first.weight has shape \(7, 3\), not \(8, 3\)"):
        Hosting.from_pretrained(tmp_path, network=other)
    assert (other.last.bias != 0).all(), "the constructor ran on the network that does not fit"


def test_networks_by_modality(tmp_path: Path) -> None:
    method = Encoding(encoders={"audio": Mine(), "text": nn.Linear(2, 2)})
    assert method.config["encoders"]["text"] == {"own part": "torch.nn.modules.linear.Linear"}
    method.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"encoders of your own .*Mine, torch.* from_pretrained\(..., encoders="):
        Encoding.from_pretrained(tmp_path)
    assert _same(Encoding.from_pretrained(tmp_path, encoders={"audio": Mine(), "text": nn.Linear(2, 2)}), method)
    with pytest.raises(ValueError, match=r"unknown encoders\.text"):
        Encoding.from_pretrained(tmp_path, encoders={"audio": Mine()})


def _llama() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, id2label={0: "no", 1: "yes"},
    )  # fmt: skip


def test_a_configuration_of_transformers_is_built_again(tmp_path: Path) -> None:
    config = _llama()
    config._name_or_path = "/home/somebody/model"
    method = Speaking(config)
    method.save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert "somebody" not in text
    assert json.loads(text)["language_model"]["transformers"]["model_type"] == "llama"
    loaded = Speaking.from_pretrained(tmp_path)
    assert _same(loaded, method)
    assert loaded.language_model.config.hidden_size == 8
    assert loaded.language_model.config.id2label == {0: "no", 1: "yes"}
    assert loaded.config == method.config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "nonsense"}, "of the kind 'nonsense', which the installed transformers does not know"),
        ({"model_type": None}, "of the kind None"),
        ({"num_attention_heads": "many"}, "language_model"),
    ],
)
def test_a_configuration_that_transformers_cannot_read_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    Speaking(_llama()).save_pretrained(tmp_path)
    state = load_file(tmp_path / FILE)
    save_file(state, tmp_path / FILE)
    config = json.loads((tmp_path / "config.json").read_text())
    config["language_model"]["transformers"].update(change)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message) as caught:
        Speaking.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_code_of_others_is_run(tmp_path: Path) -> None:
    Speaking(_llama()).save_pretrained(tmp_path)
    save_file(load_file(tmp_path / FILE), tmp_path / FILE)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    config["language_model"]["transformers"] |= {
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.M"}
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert isinstance(Speaking.from_pretrained(tmp_path), Speaking)


# --- what saves, loads


class Half(nn.Module):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value / 2


def _first_linear(method: nn.Module) -> nn.Module:
    return next(m for m in method.modules() if isinstance(getattr(m, "weight", None), nn.Parameter))


def _lora(method: Any) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    layer = next((name for name, m in method.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    if layer is not None:
        inject_adapter_in_model(LoraConfig(r=1, target_modules=[layer]), method)


def _renormed(method: Any) -> None:
    parametrize.register_parametrization(_first_linear(method), "weight", Half())


def _more(method: Any) -> None:
    method.more = nn.Linear(2, 2)


def _wider(method: Any) -> None:
    layer = _first_linear(method)
    layer.weight = nn.Parameter(torch.cat([layer.weight, layer.weight]))  # type: ignore[list-item]


def _less(method: Any) -> None:
    layer = _first_linear(method)
    layer.weight = None  # type: ignore[assignment]


def _tied(method: Any) -> None:
    by_shape: dict[Any, list[tuple[nn.Module, str]]] = {}
    for module in method.modules():
        for name, value in module.named_parameters(recurse=False):
            by_shape.setdefault(value.shape, []).append((module, name))
    for places in by_shape.values():
        if len(places) > 1:
            (one, first), (other, second) = places[:2]
            setattr(other, second, getattr(one, first))
            return


STATES: dict[str, Callable[[Any], object]] = {
    "as made": lambda method: None,
    "in half precision": lambda method: method.to(torch.bfloat16),
    "in double precision": lambda method: method.double(),
    "frozen": lambda method: method.requires_grad_(False),
    "not finite": lambda method: [p.data.fill_(float("nan")) for p in method.parameters()],
    "with an adapter": _lora,
    "parametrised": _renormed,
    "pruned": lambda method: prune.l1_unstructured(_first_linear(method), "weight", 0.5),
    "with a module more": _more,
    "with a wider layer": _wider,
    "with a layer less": _less,
    "tied by hand": _tied,
    "with a complex buffer": lambda method: method.register_buffer("c", torch.zeros(1, dtype=torch.complex64)),
    "with a sparse buffer": lambda method: method.register_buffer("s", torch.zeros(2).to_sparse()),
    "sixteen bits without a sign": lambda method: method.register_buffer("u", torch.zeros(1, dtype=torch.uint16)),
    "without data": lambda method: method.to("meta"),
}


def _refusal(function: Callable[..., object], *args: object) -> str:
    try:
        function(*args)
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("stem", list_methods())
def test_what_saves_also_loads(stem: str, tmp_path: Path) -> None:
    loaded, refused = [], []
    for number, (name, change) in enumerate(STATES.items()):
        method, _ = load(stem).demo()
        if not list(method.parameters()) and name not in ("as made", "with a module more"):
            continue
        change(method)
        folder = tmp_path / str(number)
        if said := _refusal(method.save_pretrained, folder):
            assert "\n" not in said
            assert not folder.exists() or not list(folder.iterdir()), "a save that was refused left something"
            refused.append(name)
            continue
        again = type(method).from_pretrained(folder)
        for key, value in method.state_dict().items():
            assert torch.equal(again.state_dict()[key].nan_to_num(), value.nan_to_num()), f"{name}: {key}"
        loaded.append(name)
    assert "as made" in loaded
    assert "with a module more" in refused
    assert not {"with an adapter", "parametrised", "pruned", "with a wider layer"} & set(loaded), "it was not changed"


def test_an_adapter_inside_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    method = Hosting()
    model = get_peft_model(method, LoraConfig(r=1, target_modules=["network"]))
    with pytest.raises(ValueError, match=r"merge the adapter into it \(merge_and_unload\) or save that alone"):
        method.save_pretrained(tmp_path / "refused")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    assert _same(Hosting.from_pretrained(tmp_path / "merged"), method)


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Extra(Hosting):
        def get_extra_state(self) -> dict:
            return {"notes": 1}

        def set_extra_state(self, state: object) -> None:
            pass

    with pytest.raises(TypeError, match="keeps '_extra_state' as a dict; only tensors can be saved"):
        Extra().save_pretrained(tmp_path)


# --- what a configuration asks for


@pytest.mark.parametrize("value", ["x", None, [1], -1, 2.5, 10**30, True, {"a": 1}])
@pytest.mark.parametrize("stem", ["late_fusion", "bridge_matching", "wgan_qc", "c2c"])
def test_values_of_a_wrong_type_are_refused(stem: str, value: Any, tmp_path: Path) -> None:
    method, _ = load(stem).demo()
    method.save_pretrained(tmp_path)
    save_file(method.state_dict(), tmp_path / FILE)  # as another program would, without our header
    for name, kept in method.config.items():
        (tmp_path / "config.json").write_text(json.dumps({**method.config, name: value}))
        if said := _refusal(type(method).from_pretrained, tmp_path):
            assert "\n" not in said
            continue
        loaded = type(method).from_pretrained(tmp_path)
        kind = type(loaded.config[name])
        assert kind is type(kept) or (kind is int and isinstance(kept, float)) or None in (value, kept), name


@pytest.mark.parametrize(("name", "value"), [("width", 20000), ("depth", 10**6), ("width", 10**9), ("width", 10**30)])
def test_more_than_the_file_holds_is_refused_before_memory_is_taken(name: str, value: int, tmp_path: Path) -> None:
    method, _ = load("bridge_matching").demo()
    method.save_pretrained(tmp_path)
    save_file(method.state_dict(), tmp_path / FILE)
    (tmp_path / "config.json").write_text(json.dumps({**method.config, name: value}))
    taken: list[int] = []

    def count(module: nn.Module, key: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            taken.append(parameter.numel())

    handle = register_module_parameter_registration_hook(count)
    try:
        with pytest.raises(ValueError, match=f"{FILE} does not fit|no BridgeMatching can be built"):
            type(method).from_pretrained(tmp_path)
    finally:
        handle.remove()
    assert sum(taken) < 10**6


def test_nothing_is_said_twice(tmp_path: Path) -> None:
    Hosting().save_pretrained(tmp_path)
    good = (tmp_path / FILE).read_bytes()
    size = int.from_bytes(good[:8], "little")
    header = good[8 : 8 + size].decode().rstrip()
    for entry in ('"network.bias": {"dtype":"F32","shape":[3],"data_offsets":[0,12]}', '"__metadata__": {}'):
        text = f"{header[:-1]}, {entry}}}"
        text += " " * (-len(text) % 8)
        (tmp_path / FILE).write_bytes(len(text).to_bytes(8, "little") + text.encode() + good[8 + size :])
        with pytest.raises(ValueError, match="twice"):
            Hosting.from_pretrained(tmp_path)
    (tmp_path / FILE).write_bytes(good)
    (tmp_path / "config.json").write_text('{"width": 3, "network": null, "width": 3}')
    with pytest.raises(ValueError, match="'width' twice"):
        Hosting.from_pretrained(tmp_path)

"""LoRA on the language model alone: nothing changes before the first step, nothing else ever, and all is saved."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.store.adapters import load_adapter, save_adapter
from mmlab.train.tuning import adapter_off, add_lora, language_targets, require_gradients, train_only, trainable

# peft asks transformers in a way that transformers warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Layer(nn.Module):
    """Named as in Phi."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.fc1 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc1(torch.tanh(self.q_proj(x)))


class Language(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width) for _ in range(2))
        self.lm_head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(x)


class Toy(Method):
    """A tower, a connector and a language model under the names of TinyLLaVA."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_tower, self.connector, self.language_model = Layer(6), nn.Linear(6, 8), Language()

    def logits(self, batch: Batch) -> Tensor:
        return self.language_model(self.connector(self.vision_tower(batch["image"])))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": nn.functional.cross_entropy(self.logits(batch), batch["label"])}


def toy() -> tuple[Toy, Batch]:
    torch.manual_seed(0)
    return Toy(), {"image": torch.randn(12, 6), "label": torch.arange(12) % 5}


def tuned(**settings: Any) -> tuple[Toy, Batch, Any]:
    method, batch = toy()
    model = add_lora(method, 2, **settings)
    fit(method, TensorData(batch), steps=5, batch_size=4, lr=1e-2, progress=False)
    return method, batch, model


def copy_of(method: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def answers(method: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        return method.logits(batch)


def test_only_linear_layers_of_the_language_model_are_targets() -> None:
    method, _ = toy()
    assert language_targets(method) == r"language_model\..*\.(fc1|q_proj)"
    model = add_lora(method, 2)
    hit = [name for name, module in method.named_modules() if hasattr(module, "lora_A")]
    assert hit == [f"language_model.layers.{i}.{name}" for i in (0, 1) for name in ("q_proj", "fc1")]
    assert model.get_base_model() is method
    assert trainable(method) == 4 * 2 * (8 + 8) + (6 * 8 + 8)


def test_nothing_changes_before_the_first_step() -> None:
    method, batch = toy()
    before, state = answers(method, batch), torch.get_rng_state()
    add_lora(method, 4)
    assert torch.equal(answers(method, batch), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides_the_start() -> None:
    starts = []
    for seed in (0, 0, 1):
        method, _ = toy()
        add_lora(method, 2, seed=seed)
        starts.append(method.language_model.layers[0].q_proj.lora_A["default"].weight.clone())
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_training_moves_the_adapter_and_the_connector_alone() -> None:
    method, _ = toy()
    before = copy_of(method)
    method, _, _ = tuned()
    after = method.state_dict()
    for name, tensor in before.items():
        path = name.replace("q_proj.", "q_proj.base_layer.").replace("fc1.", "fc1.base_layer.")
        path = name if name.startswith("vision_tower") else path
        path = path.replace("connector.", "connector.original_module.")
        assert torch.equal(after[path], tensor), name
    moved = {n for n, p in method.named_parameters() if "lora_B" in n and p.any()}
    assert len(moved) == 4
    assert not torch.equal(after["connector.modules_to_save.default.weight"], before["connector.weight"])


@pytest.mark.parametrize(("rank", "alpha", "scale"), [(2, None, 2.0), (4, 2.0, 0.5), (1, 16, 16.0)])
def test_the_change_is_the_product_times_alpha_over_rank(rank: int, alpha: float | None, scale: float) -> None:
    method, batch = toy()
    before = method.language_model.layers[0].q_proj.weight.clone()
    model = add_lora(method, rank, alpha)
    layer = method.language_model.layers[0].q_proj
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_(generator=torch.Generator().manual_seed(0))
    change = scale * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    adapted = answers(method, batch)
    merged = model.merge_and_unload()
    assert merged is method
    assert torch.allclose(method.language_model.layers[0].q_proj.weight, before + change, atol=1e-6)
    assert torch.allclose(answers(method, batch), adapted, atol=1e-5)
    assert not any("lora" in name for name in method.state_dict())


def test_the_adapter_off_is_the_base_to_the_bit() -> None:
    base, batch = toy()
    method, _, model = tuned()
    on = answers(method, batch)
    with adapter_off(model) as off:
        assert off is method
        assert torch.equal(answers(method, batch), answers(base, batch))
    assert torch.equal(answers(method, batch), on)
    assert not torch.equal(on, answers(base, batch))


@pytest.mark.parametrize("connector", [True, False])
def test_what_was_trained_is_saved_and_comes_back(tmp_path: Path, connector: bool) -> None:
    method, batch, model = tuned(train_connector=connector)
    save_adapter(model, tmp_path)
    loaded = load_adapter(toy()[0], tmp_path).get_base_model()
    assert torch.equal(answers(loaded, batch), answers(method, batch))
    from peft import PeftModel

    plain = PeftModel.from_pretrained(toy()[0], tmp_path).get_base_model()
    assert torch.equal(answers(plain, batch), answers(method, batch))


def test_a_wrong_base_is_refused(tmp_path: Path) -> None:
    _, _, model = tuned()
    save_adapter(model, tmp_path)

    class Renamed(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.model = self.language_model
            del self.language_model

    with pytest.raises(ValueError, match="does not fit Renamed"):
        load_adapter(Renamed(), tmp_path)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_part_also_with_checkpointing(checkpointing: bool) -> None:
    method, batch = toy()
    add_lora(method, 2)
    require_gradients(method, batch, torch.Generator())
    fit(method, TensorData(batch), steps=2, lr=1e-2, gradient_checkpointing=checkpointing, progress=False)
    require_gradients(method, batch, torch.Generator())  # now A is asked for, too
    assert all(p.any() for n, p in method.named_parameters() if "lora_B" in n)
    assert all(p.grad is None for p in method.parameters())


def test_a_part_that_gets_no_gradient_is_named() -> None:
    method, batch = toy()
    add_lora(method, 2)

    def cut(batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():  # what reentrant checkpointing over frozen embeddings comes to
            x = method.connector(method.vision_tower(batch["image"]))
        return {"loss": method.language_model(x).square().mean()}

    method.loss = cut  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match=r"No gradient reaches connector.*weight, connector.*bias"):
        require_gradients(method, batch, torch.Generator())
    method.loss = lambda batch, rng: {"loss": torch.zeros(())}  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="and 3 more"):
        require_gradients(method, batch, torch.Generator())


def test_the_stages_train_what_they_name() -> None:
    method, batch = toy()
    before = copy_of(method)
    assert train_only(method, "connector") == 6 * 8 + 8
    fit(method, TensorData(batch), steps=2, progress=False)
    changed = {name for name, tensor in method.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"connector.weight", "connector.bias"}
    every = sum(p.numel() for p in method.parameters())
    assert train_only(method, "connector", "language_model", "vision_tower") == every
    assert train_only(method) == 0
    assert train_only(method, "language_model.lm_head.bias") == 5


def test_what_cannot_be_done_is_refused_in_one_sentence() -> None:
    method, _ = toy()
    with pytest.raises(ValueError, match="no part 'connect'; there are connector, language_model, vision_tower"):
        train_only(method, "connect")
    for settings in ({"rank": 0}, {"rank": 2, "alpha": 0.0}, {"rank": 2, "dropout": 1.0}):
        with pytest.raises(ValueError, match="they must be"):
            add_lora(method, **settings)
    add_lora(method, 2)
    with pytest.raises(ValueError, match="an adapter already"):
        add_lora(method, 2)
    with pytest.raises(ValueError, match="decides what is trained"):
        train_only(method, "connector")
    with pytest.raises(ValueError, match="has no language_model"):
        add_lora(nn.Linear(2, 2), 2)
    bare = toy()[0]
    del bare.connector
    with pytest.raises(ValueError, match="train_connector=False"):
        add_lora(bare, 2)
    bare.language_model = nn.ModuleDict({"lm_head": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="no linear layer but its head"):
        add_lora(bare, 2, train_connector=False)

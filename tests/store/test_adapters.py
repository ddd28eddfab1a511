"""LoRA adapters: plain peft's are read, ours are read by plain peft, and what does not fit is refused."""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmlab.store.adapters import CONFIG, WEIGHTS, Adapter, load_adapter, read_adapter, save_adapter, write_adapter
from mmlab.store.model_card import Provenance

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# peft asks transformers in a way that transformers warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TOKENS = torch.tensor([[1, 5, 2, 7, 3]])


def base(width: int = 16, seed: int = 0, layers: int = 2) -> Any:
    from transformers import PhiConfig, PhiForCausalLM

    torch.manual_seed(seed)
    config = PhiConfig(
        vocab_size=24,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
    return PhiForCausalLM(config).eval()


def adapted(model: nn.Module | None = None, name: str = "default", **settings: Any) -> Any:
    """The base with an adapter that changes something: B is not zero."""
    from peft import LoraConfig, get_peft_model

    chosen = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | settings
    torch.manual_seed(1)
    model = get_peft_model(model or base(), LoraConfig(init_lora_weights=False, **chosen), adapter_name=name)
    return model.eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"use_rslora": True, "lora_dropout": 0.1},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 5}},
    {"target_modules": r".*\.layers\.1\.(self_attn\.dense|mlp\.fc1)"},
    {"target_modules": "all-linear"},
    {"modules_to_save": ["lm_head"]},
    {"trainable_token_indices": [3, 5]},
    {"use_dora": True, "bias": "lora_only"},
    {"target_modules": ["embed_tokens", "q_proj"]},
]


# --- both ways


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_ours_is_loaded_by_plain_peft(settings: dict[str, Any], tmp_path: Path) -> None:
    from peft import PeftModel

    model = adapted(**settings)
    save_adapter(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, WEIGHTS, "README.md"}
    loaded = PeftModel.from_pretrained(base(), tmp_path)
    assert torch.equal(logits(loaded.eval()), logits(model))
    assert not torch.allclose(logits(model), logits(base()))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_plain_pefts_is_loaded_by_ours(settings: dict[str, Any], tmp_path: Path) -> None:
    model = adapted(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it saves the embeddings as well
        model.save_pretrained(tmp_path)
    loaded = load_adapter(base(), tmp_path)
    assert torch.equal(logits(loaded), logits(model))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_loading_leaves_the_random_state(tmp_path: Path) -> None:
    save_adapter(adapted(), tmp_path)
    model = base()
    before = torch.random.get_rng_state()
    load_adapter(model, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_merged_equals_unmerged(tmp_path: Path) -> None:
    save_adapter(adapted(), tmp_path)
    loaded = load_adapter(base(), tmp_path)
    apart = logits(loaded)
    merged = loaded.merge_and_unload()
    assert type(merged).__name__ == "PhiForCausalLM"
    assert (logits(merged) - apart).abs().max() < 1e-6


def test_an_untrained_adapter_changes_nothing(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base(), LoraConfig(r=4, target_modules=["q_proj"]))  # B = 0
    save_adapter(model, tmp_path)
    assert torch.equal(logits(load_adapter(base(), tmp_path)), logits(base()))


def test_switching_it_off_gives_the_base(tmp_path: Path) -> None:
    save_adapter(adapted(modules_to_save=["lm_head"]), tmp_path)
    loaded = load_adapter(base(), tmp_path)
    with loaded.disable_adapter():
        assert torch.equal(logits(loaded), logits(base()))


def test_training_goes_on(tmp_path: Path) -> None:
    save_adapter(adapted(), tmp_path / "a")
    loaded = load_adapter(base(), tmp_path / "a", trainable=True)
    assert loaded.training
    trained = {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    loaded(input_ids=TOKENS, labels=TOKENS).loss.backward()
    torch.optim.SGD([p for p in loaded.parameters() if p.requires_grad], lr=0.5).step()
    save_adapter(loaded, tmp_path / "b")
    again = load_adapter(base(), tmp_path / "b")
    assert torch.equal(logits(again), logits(loaded.eval()))
    assert not torch.equal(logits(again), logits(adapted()))


def test_several_adapters_on_one_base(tmp_path: Path) -> None:
    from peft import LoraConfig

    model = adapted()
    torch.manual_seed(2)
    model.add_adapter("second", LoraConfig(r=2, target_modules=["fc1"], init_lora_weights=False))
    save_adapter(model, tmp_path / "one")
    save_adapter(model, tmp_path / "two", name="second")
    loaded = load_adapter(base(), tmp_path / "one", name="first")
    loaded = load_adapter(loaded, tmp_path / "two", name="other")
    model.set_adapter("second")
    assert torch.equal(logits(loaded), logits(model))
    loaded.set_adapter("first")
    model.set_adapter("default")
    assert torch.equal(logits(loaded), logits(model))
    with pytest.raises(ValueError, match="has an adapter 'first' already"):
        load_adapter(loaded, tmp_path / "one", name="first")


def test_a_base_in_lower_precision_is_the_same_base(tmp_path: Path) -> None:
    save_adapter(adapted(), tmp_path)
    loaded = load_adapter(base().to(torch.bfloat16), tmp_path)
    assert (logits(loaded).float() - logits(adapted())).abs().max() < 0.05


def test_an_adapter_that_was_written_by_hand(tmp_path: Path) -> None:
    """As the chapter on LoRA does it, without peft: W + (alpha / r) B A."""
    from peft import PeftModel

    torch.manual_seed(4)
    down, up, layer = torch.randn(2, 16), torch.randn(16, 2), "model.layers.0.self_attn.q_proj"
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": [layer]}
    tensors = {f"base_model.model.{layer}.lora_A.weight": down, f"base_model.model.{layer}.lora_B.weight": up}
    write_adapter(tmp_path, Adapter(config, tensors))
    model = base()
    with torch.no_grad():
        model.get_submodule(layer).weight += 3 / 2 * up @ down
    for loaded in (PeftModel.from_pretrained(base(), tmp_path).eval(), load_adapter(base(), tmp_path)):
        assert (logits(loaded) - logits(model)).abs().max() < 1e-5
    adapter = read_adapter(tmp_path)
    assert adapter.config == config
    assert same(adapter.tensors, tensors)


# --- what is refused, and that the model is as it was


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def retensor(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Other tensors, in a file without a hash: as another program would write it."""
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(change(tensors), folder / WEIGHTS)


def flip(file: Path, at: int, bit: int = 4) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << bit
    file.write_bytes(content)


def _renamed(tensors: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def _without_one(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(tensors.items())[1:])


def _foreign(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        retensor(folder, lambda tensors: tensors)
        edit(folder, **changes)

    return damage


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "wrong prefix": (lambda f: retensor(f, lambda t: _renamed(t, "base_model.model.", "")), "it lacks .*; unknown "),
    "prefix of another wrapper": (lambda f: retensor(f, lambda t: _renamed(t, ".layers.", ".blocks.")), "it lacks"),
    "adapter name in the keys": (lambda f: retensor(f, lambda t: _renamed(t, ".weight", ".default.weight")), "unknown"),
    "missing tensor": (lambda f: retensor(f, _without_one), "it lacks base_model.*lora_A.weight"),
    "tensor too many": (lambda f: retensor(f, lambda t: {**t, "extra": torch.zeros(2)}), "unknown extra"),
    "no tensors": (lambda f: retensor(f, lambda t: {}), "it lacks"),
    "whole numbers": (lambda f: retensor(f, lambda t: {k: v.long() for k, v in t.items()}), "is torch.int64, not"),
    "wrong rank": (_foreign(r=8), r"with r=8: .*lora_A.weight has shape \(4, 16\), not \(8, 16\)"),
    "wrong rank, ours": (lambda f: edit(f, r=8), "not saved together: r is 8 in one and 4 in the other"),
    "wrong scale, ours": (lambda f: edit(f, lora_alpha=4), "lora_alpha is 4 in one and 12 in the other"),
    "rank zero": (_foreign(r=0), "r is 0; it must be a whole number"),
    "rank as text": (_foreign(r="4"), "r is '4'; it must be a whole number"),
    "rank yes": (_foreign(r=True), "r is True"),
    "scale infinite": (_foreign(lora_alpha=float("inf")), "lora_alpha is inf; it must be a positive number"),
    "other targets": (_foreign(target_modules=["fc1"]), "it lacks .*fc1.*; unknown "),
    "more targets": (_foreign(target_modules=["q_proj", "v_proj", "fc1"]), "it lacks .*fc1"),
    "no such targets": (_foreign(target_modules=["query"]), "does not fit PhiForCausalLM: .*[Tt]arget modules"),
    "targets a number": (_foreign(target_modules=3), "target_modules is 3; it must be"),
    "bad expression": (_foreign(target_modules="(q_proj"), "target_modules is no regular expression"),
    "rank pattern": (_foreign(rank_pattern={"q_proj": 3}), "has shape"),
    "rank pattern a list": (_foreign(rank_pattern=["q_proj"]), "rank_pattern is"),
    "another kind": (_foreign(peft_type="LOHA"), "peft_type is 'LOHA'"),
    "prompt tuning": (_foreign(peft_type="PROMPT_TUNING"), "peft_type is 'PROMPT_TUNING'"),
    "unknown kind": (_foreign(peft_type="NEW"), "peft_type is 'NEW'"),
    "unknown field": (_foreign(shiny=True), r"the installed peft [\d.]+ does not know: shiny\. Update peft, or remove"),
    "runtime field": (_foreign(runtime_config={}), "does not know: runtime_config"),
    "changes the base": (_foreign(init_lora_weights="pissa"), "init_lora_weights is 'pissa'"),
    "imports a module": (_foreign(megatron_config={"x": 1}, megatron_core="os"), "megatron_config is"),
    "repeats layers": (_foreign(layer_replication=[[0, 1], [0, 1]]), "layer_replication is"),
    "another task": (_foreign(task_type="BREWING"), "Invalid task type: 'BREWING'"),
    "further module": (_foreign(modules_to_save=["lm_head"]), "it lacks .*lm_head"),
    "no configuration": (lambda f: (f / CONFIG).unlink(), "holds no adapter_config.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "holds no adapter_model.safetensors"),
    "half a configuration": (lambda f: (f / CONFIG).write_text('{"peft_type": "LO'), "adapter_config.json is damaged"),
    "a list": (lambda f: (f / CONFIG).write_text("[1]"), "no configuration of an adapter"),
    "nested without end": (lambda f: (f / CONFIG).write_text("[" * 100_000), "adapter_config.json is damaged"),
    "no kind": (lambda f: (f / CONFIG).write_text('{"r": 4}'), "it has no peft_type"),
    "truncated": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), "is damaged"),
    "header only": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:200]), "is damaged"),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), "is damaged"),
    "bit of a value": (lambda f: flip(f / WEIGHTS, -7), "is damaged .it is not what was saved"),
    "bit of the header": (lambda f: flip(f / WEIGHTS, 40), "is damaged|is not what was saved"),
    "a pickle": (lambda f: (f / WEIGHTS).write_bytes(b"cposix\nsystem\n(S'false'\ntR."), "is damaged"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    save_adapter(adapted(), folder)
    return folder


@pytest.fixture(scope="module")
def untouched() -> Any:
    return base()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    fault: str, good: Path, untouched: Any, tmp_path: Path
) -> None:
    damage, sentence = FAULTS[fault]
    for name in (CONFIG, WEIGHTS):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    damage(tmp_path)
    before, modules = state(untouched), list(untouched.named_modules())
    wanted = [parameter.requires_grad for parameter in untouched.parameters()]
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        load_adapter(untouched, tmp_path)
    assert "\n" not in str(caught.value).rstrip()
    assert same(state(untouched), before)
    assert [name for name, _ in untouched.named_modules()] == [name for name, _ in modules]
    assert [parameter.requires_grad for parameter in untouched.parameters()] == wanted


def test_every_bit_of_the_file_counts(good: Path, tmp_path: Path) -> None:
    """A flipped bit is refused, or it is in the padding and the tensors are those that were saved."""
    content, tensors = (good / WEIGHTS).read_bytes(), load_file(good / WEIGHTS)
    (tmp_path / CONFIG).write_bytes((good / CONFIG).read_bytes())
    refused = []
    for number in range(200):
        (tmp_path / WEIGHTS).write_bytes(content)
        flip(tmp_path / WEIGHTS, (number * 7919) % len(content), number % 8)
        try:
            read = read_adapter(tmp_path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert same(read.tensors, tensors)
    assert all("damaged" in sentence for sentence in refused)
    assert len(refused) > 180


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"width": 32}, r"lora_A.weight has shape \(4, 16\), not \(4, 32\)"),
        ({"layers": 3}, "it lacks .*layers.2"),
        ({"layers": 1}, "unknown .*layers.1"),
        ({"seed": 9}, "trained on a base with other weights than this PhiForCausalLM has"),
    ],
)
def test_another_base_is_refused(other: dict[str, Any], sentence: str, good: Path) -> None:
    model = base(**other)
    before = state(model)
    with pytest.raises(ValueError, match=sentence):
        load_adapter(model, good)
    assert same(state(model), before)


def test_a_model_of_another_kind_is_refused(good: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="does not fit Sequential"):
        load_adapter(model, good)
    assert isinstance(model[0], nn.Linear)


def test_a_refused_second_adapter_leaves_the_first(good: Path, tmp_path: Path) -> None:
    for name in (CONFIG, WEIGHTS):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    retensor(tmp_path, _without_one)
    model = load_adapter(base(), good)
    before = state(model)
    with pytest.raises(ValueError, match="it lacks"):
        load_adapter(model, tmp_path, name="second")
    assert same(state(model), before)
    assert list(model.peft_config) == ["default"]


def test_a_pickle_beside_is_never_tried(tmp_path: Path) -> None:
    """Plain peft would open it."""
    mark = tmp_path / "mark"
    (tmp_path / "adapter_model.bin").write_bytes(f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode())
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}')
    with pytest.raises(
        FileNotFoundError, match=r"reads adapters from adapter_config.json and adapter_model.safetensors"
    ):
        load_adapter(base(), tmp_path)
    assert not mark.exists()


# --- saving


def test_what_would_be_lost_is_said(tmp_path: Path) -> None:
    model = adapted()
    model.base_model.model.lm_head.weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"lm_head\.weight would be lost.*Name the module in modules_to_save"):
        save_adapter(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("build", "kind", "sentence"),
    [
        (lambda: base(), TypeError, "is no peft model"),
        (lambda: adapted(name="other"), ValueError, "There is no adapter 'default': there are other"),
    ],
)
def test_what_is_no_adapter_is_not_saved(build: Any, kind: type[Exception], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=sentence):
        save_adapter(build(), tmp_path)


def test_another_kind_is_not_saved(tmp_path: Path) -> None:
    from peft import LoHaConfig, get_peft_model

    with pytest.raises(ValueError, match="peft_type is 'LOHA'"):
        save_adapter(get_peft_model(base(), LoHaConfig(target_modules=["q_proj"])), tmp_path)


@pytest.mark.parametrize("place", ["adapters.write_tensors", "adapters.card_text", "folders._to_disk"])
def test_a_save_that_fails_leaves_the_old_one(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_adapter(adapted(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"mmlab.store.{place}", fail)
    with pytest.raises(OSError, match="No space left"):
        save_adapter(adapted(r=2), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_same_adapter_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_adapter(adapted(), tmp_path / name)
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    assert (tmp_path / "a" / CONFIG).read_bytes() == (tmp_path / "b" / CONFIG).read_bytes()
    with safe_open(tmp_path / "a" / WEIGHTS, "pt") as file:
        assert file.metadata()["format"] == "pt"


def test_the_card(tmp_path: Path) -> None:
    model = base()
    model.name_or_path = "lab/phi"
    save_adapter(
        adapted(copy.deepcopy(model)), tmp_path, provenance=Provenance(data="Memes.", metrics={"f1": [0.5, 0.7]})
    )
    text = (tmp_path / "README.md").read_text()
    for part in ("library_name: peft", "base_model: lab/phi", "Memes.", "| f1 | 0.6 |", '"r": 4', "load_adapter"):
        assert part in text
    (tmp_path / "README.md").write_text("Mine.")
    save_adapter(adapted(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "Mine."


def test_the_hub(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo: str, name: str, revision: str | None = None) -> str:
        asked.append((repo, name, revision))
        return os.fspath(good / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert read_adapter("lab/adapter", revision="v1").config["r"] == 4
    assert asked == [("lab/adapter", CONFIG, "v1"), ("lab/adapter", WEIGHTS, "v1")]

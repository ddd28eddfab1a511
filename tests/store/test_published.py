"""A folder in the published layout: what is in it comes out, and each way to spoil it gives one clear sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.store.published import PHI_2, SIGLIP_SO400M, _ours, is_published, load_published, read_published

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
LANGUAGE = PHI_2 | SIZE | WORDS | {"partial_rotary_factor": 0.5}
VISION = SIGLIP_SO400M | SIZE | {"image_size": 16, "patch_size": 8}
SHARDS = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]


def random_model(**changes: Any) -> TinyLLaVA:
    torch.manual_seed(0)
    method = TinyLLaVA(LANGUAGE, VISION, **changes)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method.eval()


def under_their_names(method: TinyLLaVA, level: str = "vision_model.") -> dict[str, Tensor]:
    """By hand, part after part; ``level`` is what SigLIP's names had in older releases."""
    state = {f"language_model.{name}": t for name, t in method.language_model.state_dict().items()}
    state |= {f"vision_tower._vision_tower.{level}{name}": t for name, t in method.vision_tower.state_dict().items()}
    return state | {f"connector._connector.{name}": t for name, t in method.connector.state_dict().items()}


CONFIG: dict[str, Any] = {
    "architectures": ["TinyLlavaForConditionalGeneration"],
    "model_type": "tinyllava",
    "connector_type": "mlp2x_gelu",
    "image_token_index": -200,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "patch",
    "text_config": LANGUAGE | {"model_type": "phi", "torch_dtype": "float16"},
    "vision_config": VISION | {"model_type": "siglip_vision_model"},
}


def write(folder: Path, state: dict[str, Tensor], shards: bool = True, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if not shards:
        save_file(state, folder / "model.safetensors")
        return folder
    names = list(state)
    places = {name: SHARDS[number % 2] for number, name in enumerate(names)}
    for shard in SHARDS:
        save_file({name: state[name] for name in names if places[name] == shard}, folder / shard)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def batch() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.tensor([[1, -200, 2, 3], [4, 5, 0, 0]]),
        "length": torch.tensor([4, 2]),
        "images": torch.rand(2, 1, 3, 16, 16, generator=rng) * 2 - 1,
    }


@pytest.mark.parametrize("level", ["vision_model.", ""])
@pytest.mark.parametrize("shards", [True, False])
def test_what_is_in_the_folder_comes_out(tmp_path: Path, level: str, shards: bool) -> None:
    method = random_model()
    state = under_their_names(method, level)
    assert "language_model.lm_head.bias" in state
    assert "connector._connector.2.weight" in state
    write(tmp_path, state, shards)
    assert is_published(tmp_path)
    loaded = TinyLLaVA.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in method.state_dict().items())
    with torch.no_grad():
        assert torch.equal(loaded.logits(batch()), method.logits(batch()))
    assert not loaded.training
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in method.parameters()]
    assert loaded.config == method.config


def test_every_name_of_the_full_size() -> None:
    """The key map against the published model on the meta device: nothing is missing, nothing left over."""
    with torch.device("meta"):
        method = TinyLLaVA()
    theirs = under_their_names(method)
    assert {_ours(name): tuple(tensor.shape) for name, tensor in theirs.items()} == {
        name: tuple(tensor.shape) for name, tensor in method.state_dict().items()
    }
    assert theirs["language_model.lm_head.bias"].shape == (51_200,)
    assert theirs["vision_tower._vision_tower.vision_model.embeddings.position_embedding.weight"].shape == (729, 1152)
    assert sum(tensor.numel() for tensor in theirs.values()) == 3_217_417_280


def test_settings_are_read_and_the_rest_is_as_published(tmp_path: Path) -> None:
    method = random_model(connector="linear", drop_first_patch=False, vision_layer=-1)
    state = under_their_names(method)
    state = {name.replace("_connector.0.", "_connector."): tensor for name, tensor in state.items()}
    said = {"connector_type": "linear", "vision_feature_select_strategy": "cls_patch", "vision_feature_layer": -1}
    loaded = TinyLLaVA.from_pretrained(write(tmp_path / "linear", state, **said))
    with torch.no_grad():
        assert torch.equal(loaded.logits(batch()), method.logits(batch()))
    folder = write(tmp_path / "bare", under_their_names(random_model()))
    (folder / "config.json").write_text('{"model_type": "tinyllava"}', encoding="utf-8")
    assert read_published(folder)[0] == {
        "language_model": PHI_2,
        "vision_tower": SIGLIP_SO400M,
        "connector": "mlp",
        "drop_first_patch": True,
        "vision_layer": -2,
    }


def test_an_argument_replaces_what_the_folder_says(tmp_path: Path) -> None:
    write(tmp_path, under_their_names(random_model()))
    assert TinyLLaVA.from_pretrained(tmp_path).image_tokens == 3
    assert TinyLLaVA.from_pretrained(tmp_path, drop_first_patch=False).image_tokens == 4
    assert load_published(TinyLLaVA, tmp_path, drop_first_patch=False).image_tokens == 4


def test_derived_tensors_of_older_files_are_passed_over(tmp_path: Path) -> None:
    state = under_their_names(random_model())
    state["vision_tower._vision_tower.vision_model.embeddings.position_ids"] = torch.arange(4)[None]
    state["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(2)
    TinyLLaVA.from_pretrained(write(tmp_path, state))


def test_half_precision_stays_and_writes(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in under_their_names(random_model()).items()}
    loaded = TinyLLaVA.from_pretrained(write(tmp_path, state))
    assert {p.dtype for p in loaded.parameters()} == {torch.float16}
    assert loaded.generate(batch(), max_new_tokens=3).shape[0] == 2
    again = TinyLLaVA.from_pretrained(tmp_path).float()
    with torch.no_grad():
        torch.testing.assert_close(loaded.logits(batch()).float(), again.logits(batch()), atol=0.02, rtol=0.02)


def test_a_published_model_is_saved_in_our_own_layout(tmp_path: Path) -> None:
    loaded = TinyLLaVA.from_pretrained(write(tmp_path / "theirs", under_their_names(random_model())))
    loaded.save_pretrained(tmp_path / "ours")
    assert not is_published(tmp_path / "ours")
    ours = TinyLLaVA.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(ours.logits(batch()), loaded.logits(batch()))


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    write(tmp_path, under_their_names(random_model()))
    state = torch.get_rng_state()
    TinyLLaVA.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_other_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    assert not is_published(tmp_path)
    assert not is_published(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "phi"}', encoding="utf-8")
    assert not is_published(tmp_path)
    assert not is_published("tinyllava/some-name")


# --- what goes wrong ----------------------------------------------------------------------------------------------


def config(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")

    return spoil


def index(weight_map: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file = folder / "model.safetensors.index.json"
        file.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")

    return spoil


def shard(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        state = load_file(folder / SHARDS[0])
        change(state)
        save_file(state, folder / SHARDS[0])

    return spoil


def only_pickle(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never opened")


def cut(folder: Path) -> None:
    whole = (folder / SHARDS[1]).read_bytes()
    (folder / SHARDS[1]).write_bytes(whole[: len(whole) // 2])


def no_bias(state: dict[str, Tensor]) -> None:
    state.pop(next(name for name in state if name.endswith("bias")))


def turned(state: dict[str, Tensor]) -> None:
    name = next(name for name in state if "fc1.weight" in name)
    state[name] = state[name].T.contiguous()


def whole_numbers(state: dict[str, Tensor]) -> None:
    name = next(iter(state))
    state[name] = state[name].to(torch.int64)


TEXT, SEEN = CONFIG["text_config"], CONFIG["vision_config"]
SPOILT: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "a missing shard": (lambda f: (f / SHARDS[1]).unlink(), FileNotFoundError, r"lacks model-00002.*safetensors: get"),
    "a path in the index": (index({"x": "../model.safetensors"}), FileNotFoundError, r"lacks \.\./model\.safetensors"),
    "an absolute path": (index({"x": "/etc/passwd"}), FileNotFoundError, "lacks /etc/passwd"),
    "a number in the index": (index({"x": 3}), FileNotFoundError, "lacks 3: get the whole"),
    "a list for an index": (index([1]), ValueError, "weight_map is no JSON object"),
    "pickle only": (only_pickle, FileNotFoundError, "lacks model.safetensors: get the whole .* as safetensors"),
    "a shard cut short": (cut, ValueError, "model-00002-of-00002.safetensors is damaged"),
    "a tensor missing": (shard(no_bias), ValueError, r"does not fit TinyLLaVA: it lacks .*bias"),
    "a tensor too many": (shard(lambda s: s.update(more=torch.zeros(1))), ValueError, "TinyLLaVA: unknown more"),
    "a tensor turned": (shard(turned), ValueError, r"fc1\.weight has shape \(16, 32\), not \(32, 16\)"),
    "whole numbers": (shard(whole_numbers), ValueError, "is torch.int64, not torch.float32"),
    "another connector": (config(connector_type="qformer"), ValueError, "'qformer'; known are mlp2x_gelu"),
    "a list for a connector": (config(connector_type=["linear"]), ValueError, r"connector_type \['linear'\]; known"),
    "another strategy": (config(vision_feature_select_strategy="cls"), ValueError, "'cls'; known are patch, cls"),
    "a part that is none": (config(text_config=[1]), ValueError, "text_config is no JSON object"),
    "a layer that is none": (config(vision_feature_layer=[-2]), ValueError, r"vision_feature_layer is \[-2\]"),
    "a layer too deep": (config(vision_feature_layer=-9), ValueError, "reads layer -9 of a tower with 2"),
    "a width in words": (config(text_config=TEXT | {"hidden_size": "wide"}), ValueError, "hidden_size is 'wide'"),
    "half a head": (config(vision_config=SEEN | {"num_attention_heads": 0.5}), ValueError, "must be a whole number"),
    "no head": (config(text_config=TEXT | {"num_attention_heads": 0}), ValueError, "no model that can be built"),
    "a negative size": (config(text_config=TEXT | {"vocab_size": -4}), ValueError, "no model that can be built"),
    "another size": (config(text_config=TEXT | {"vocab_size": 25}), ValueError, r"shape \(24, 16\), not \(25, 16\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_what_is_spoilt_is_said_in_one_sentence(tmp_path: Path, what: str) -> None:
    spoil, kind, message = SPOILT[what]
    spoil(write(tmp_path, under_their_names(random_model())))
    with pytest.raises(kind, match=message) as caught:
        TinyLLaVA.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value), "the sentence does not name the folder"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is damaged"), ("[]", "holds no JSON object"), ("[" * 10**5, "is damaged")]
)
def test_a_configuration_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, under_their_names(random_model()))
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    for read in (is_published, read_published):
        with pytest.raises(ValueError, match=message):
            read(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        read_published(tmp_path)

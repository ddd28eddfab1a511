"""TinyLLaVA with other language models and towers of transformers: without a change of any module."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.from_transformers import has_plain_head, settings
from mmlab.nn.splicing import IGNORE, IMAGE
from mmlab.store.adapters import load_adapter, save_adapter
from mmlab.train.tuning import add_lora

# peft asks transformers in a way that transformers warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ENDS = {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LANGUAGE: dict[str, dict[str, Any]] = {
    "phi": SIZE,
    "qwen2": SIZE | {"num_key_value_heads": 1},
    "llama": SIZE | {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "gpt_neox": SIZE,
    "gemma2": SIZE | {"num_key_value_heads": 1, "head_dim": 8, "final_logit_softcapping": 2.0},
}
VISION: dict[str, dict[str, Any]] = {
    "siglip_vision_model": SIZE,
    "clip_vision_model": SIZE,
    "vit": SIZE,
    "dinov2": SIZE,
    "dinov2_with_registers": SIZE | {"num_register_tokens": 3},
}
STATES = {"siglip_vision_model": 4, "dinov2_with_registers": 8}  # 4 patches, a class token, registers
MIXED = [[1, IMAGE, 2, 3, 4, 5], [6, 7, 8, 9], [IMAGE, 1, 2, IMAGE, 3, 4, 5, 6, 7], [9, 8, IMAGE, 7, 6, 0]]


def said(kind: str) -> dict[str, Any]:
    if kind in LANGUAGE:
        return {"model_type": kind, **LANGUAGE[kind], **ENDS}
    return {"model_type": kind, **VISION[kind], "image_size": 16, "patch_size": 8}


def model(language: Any = "phi", vision: Any = "siglip_vision_model", **changes: Any) -> TinyLLaVA:
    """Every weight is random, what starts at zero included."""
    parts = [said(part) if isinstance(part, str) else part for part in (language, vision)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = TinyLLaVA(*parts, **changes)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return method.eval()


def batch_of(rows: list[list[int]], answer: int = 3) -> dict[str, Tensor]:
    width, most = max(map(len, rows)), max(row.count(IMAGE) for row in rows)
    rng = torch.Generator().manual_seed(1)
    labels = torch.full((len(rows), width), IGNORE)
    for b, row in enumerate(rows):
        labels[b, len(row) - answer : len(row)] = torch.tensor(row[-answer:])
    return {
        "input_ids": torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        "length": torch.tensor([len(row) for row in rows]),
        "labels": labels,
        "images": torch.rand(len(rows), most, 3, 16, 16, generator=rng) * 2 - 1,
    }


def greedy_by_hand(method: TinyLLaVA, batch: Batch, b: int, count: int) -> list[int]:
    """One row alone, the whole sequence anew for every word."""
    end, made = int(batch["length"][b]), []
    ids = batch["input_ids"][b : b + 1, :end]
    images = batch["images"][b : b + 1, : int((ids == IMAGE).sum())]
    while len(made) < count and (not made or made[-1] != 0):
        item = {"input_ids": ids, "length": torch.tensor([ids.shape[1]]), "images": images}
        with torch.no_grad():
            made.append(int(method.logits(item)[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([[made[-1]]])], 1)
    return made + [0] * (count - len(made))


PAIRS = [*((language, "siglip_vision_model") for language in LANGUAGE), *(("phi", vision) for vision in VISION)]
PAIRS += [("qwen2", "clip_vision_model"), ("gpt2", "dinov2"), ("llama", "vit")]


@pytest.mark.parametrize(("language", "vision"), PAIRS)
def test_a_batch_is_written_as_a_loop_by_hand_writes_it(language: str, vision: str) -> None:
    method, batch = model(language, vision), batch_of(MIXED)
    assert method.states == STATES.get(vision, 5)
    assert method.features(batch["images"][:, 0]).shape == (4, method.image_tokens, 16)
    made = method.generate({k: v for k, v in batch.items() if k != "labels"}, max_new_tokens=5)
    for b in range(4):
        assert made[b].tolist() == greedy_by_hand(method, batch, b, 5)[: made.shape[1]]


@pytest.mark.parametrize("language", LANGUAGE)
def test_the_loss_is_that_over_all_logits(language: str) -> None:
    """Also where the model does something to its logits, as Gemma 2 caps them."""
    method, batch = model(language), batch_of(MIXED)
    labels = method.embed(batch).labels
    assert labels is not None
    expected = cross_entropy(method.logits(batch)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    loss = method.loss(batch, torch.Generator())["loss"]
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert has_plain_head(method.language_model) == (language != "gemma2")


@pytest.mark.parametrize(("language", "vision"), PAIRS)
def test_it_is_loaded_from_its_settings_alone(language: str, vision: str, tmp_path: Path) -> None:
    method, batch = model(language, vision), batch_of(MIXED)
    method.save_pretrained(tmp_path)
    loaded = TinyLLaVA.from_pretrained(tmp_path)
    assert type(loaded.language_model) is type(method.language_model)
    assert type(loaded.vision_tower) is type(method.vision_tower)
    with torch.no_grad():
        assert torch.equal(loaded.logits(batch), method.logits(batch))


@pytest.mark.parametrize("way", ["settings", "configuration", "model"])
def test_three_ways_to_say_a_part_give_the_same(way: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    parts = []
    for auto, kind in ((AutoModelForCausalLM, "qwen2"), (AutoModel, "dinov2")):
        values = said(kind)
        config = AutoConfig.for_model(**values)
        torch.manual_seed(3)
        parts.append({"settings": values, "configuration": config, "model": auto.from_config(config)}[way])
    method = TinyLLaVA(*parts)
    if way == "model":
        assert method.language_model is parts[0], "a model is taken as it is"
        assert method.vision_tower is parts[1]
    assert not any(p.requires_grad for p in method.vision_tower.parameters())
    assert [method.config[name]["model_type"] for name in ("language_model", "vision_tower")] == ["qwen2", "dinov2"]
    method.save_pretrained(tmp_path)
    loaded, batch = TinyLLaVA.from_pretrained(tmp_path), batch_of(MIXED)
    with torch.no_grad():
        assert torch.equal(loaded.logits(batch), method.eval().logits(batch))


def test_a_model_of_another_precision_keeps_it(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    half = AutoModelForCausalLM.from_config(AutoConfig.for_model(**said("llama"))).to(torch.bfloat16)
    assert settings(half)["dtype"] == "bfloat16"
    TinyLLaVA(half, said("vit")).save_pretrained(tmp_path)
    assert TinyLLaVA.from_pretrained(tmp_path).language_model.dtype == torch.bfloat16


@pytest.mark.parametrize("language", ["qwen2", "gpt2", "gpt_neox"])
def test_lora_goes_on_any_language_model(language: str, tmp_path: Path) -> None:
    """GPT-2 has no linear layers but one-dimensional convolutions; the head is never adapted."""
    method, batch = model(language, "vit"), batch_of(MIXED)
    peft = add_lora(method, 2)
    adapted = {name for name, _ in method.named_parameters() if "lora_A" in name}
    assert adapted
    assert all(name.startswith("language_model.") for name in adapted)
    assert not any(part in name for name in adapted for part in ("head", "embed_out"))
    data = TensorData(batch)
    history = fit(method, data, steps=30, batch_size=4, lr=2e-2, progress=False).values()
    assert history[-1] < history[0]
    save_adapter(peft, tmp_path)
    again = load_adapter(model(language, "vit"), tmp_path).get_base_model()
    with torch.no_grad():
        torch.testing.assert_close(again.logits(batch), method.eval().logits(batch))


def test_pixels_are_scaled_as_the_tower_was_trained() -> None:
    mean, std = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
    method, plain = model(vision="clip_vision_model", pixel_mean=mean, pixel_std=std), model(vision="clip_vision_model")
    images = torch.rand(2, 3, 16, 16)
    scaled = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(method.features(images * 2 - 1), plain.features(scaled))
    assert not torch.allclose(plain.features(images * 2 - 1), plain.features(scaled), atol=1e-2)
    half = model(vision="clip_vision_model", pixel_mean=[0.5] * 3, pixel_std=[0.5] * 3)
    torch.testing.assert_close(half.features(images * 2 - 1), plain.features(images * 2 - 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language_model": said("qwen2") | {"model_type": "qwen22"}}, "no model_type 'qwen22': did you mean 'qwen2'"),
        ({"language_model": {"model_type": 3}}, "language_model: transformers has no model_type 3"),
        ({"language_model": {"model_type": "bert"}}, "also looks at the words to come: set is_decoder=True"),
        ({"language_model": said("vit")}, "language_model: 'vit' cannot be built"),
        ({"language_model": said("phi") | {"auto_map": {"AutoConfig": "x.Y"}}}, "auto_map would run or fetch code"),
        (
            {"language_model": said("phi") | {"attn_implementation": "a/kernel"}},
            "attn_implementation='a/kernel' is none",
        ),
        ({"language_model": said("phi") | {"hidden_size": "wide"}}, "language_model: .*(make no|cannot be built)"),
        ({"vision_tower": {"model_type": "clip"}}, "also reads text: hand over its vision part"),
        ({"vision_tower": said("qwen2")}, "vision_tower: 'qwen2' has image_size=None"),
        ({"vision_tower": said("vit") | {"image_size": [16, 24]}}, r"image_size=\[16, 24\]; one number"),
        ({"vision_tower": said("vit"), "vision_layer": 3}, "vision_layer=3: the tower has 3 hidden states, 0 to 2"),
        ({"pixel_mean": [0.5] * 3}, "pixel_std=None: both"),
        ({"pixel_mean": [0.5] * 3, "pixel_std": [1, 0, 1]}, "three numbers, the second above 0"),
    ],
)
def test_what_is_no_part_is_refused_in_a_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TinyLLaVA(**({"language_model": said("phi"), "vision_tower": said("vit")} | arguments))
    assert "\n" not in str(caught.value)


def test_a_part_that_is_no_part_of_transformers_is_refused() -> None:
    with pytest.raises(TypeError, match="language_model is a list; hand over a configuration or model of transformers"):
        TinyLLaVA(language_model=[1], vision_tower=said("vit"))
    from transformers import AutoConfig, AutoModel

    bare = AutoModel.from_config(AutoConfig.for_model(**said("gpt2")))
    with pytest.raises(ValueError, match="GPT2Model cannot write: use its class that ends in ForCausalLM"):
        TinyLLaVA(language_model=bare, vision_tower=said("vit"))

"""Diffusion pipelines and adapters of their U-Nets: plain diffusers reads ours, we read theirs, damage is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmlab.store.folders import recover, replaced_folder
from mmlab.store.model_card import Provenance
from mmlab.store.pipelines import load_pipeline, save_pipeline
from mmlab.store.unet_adapters import WEIGHTS, load_unet_adapter, save_unet_adapter

os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def unet(width: int = 8, seed: int = 0) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ).eval()


def pipeline() -> Any:
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    coder = AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    tokens = ["<|startoftext|>", "<|endoftext|>", "a", "b", "a</w>", "b</w>", "ab</w>"]
    # From files it would be built with two tokens only, without a word.
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)}, merges=[("a", "b</w>")], model_max_length=8
    )
    assert tokenizer("a ab")["input_ids"] == [0, 4, 6, 1]
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return StableDiffusionPipeline(
        vae=coder.eval(),
        text_encoder=CLIPTextModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def image(made: Any, steps: int = 2) -> np.ndarray:
    made.set_progress_bar_config(disable=True)
    rng = torch.Generator().manual_seed(0)
    return made("a ab", num_inference_steps=steps, height=16, width=16, generator=rng, output_type="np").images


@pytest.fixture(scope="module")
def made() -> Any:
    return pipeline()


@pytest.fixture(scope="module")
def good(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipelines") / "good"
    save_pipeline(made, folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "pipeline")


# --- whole pipelines


def test_ours_is_loaded_by_plain_diffusers(made: Any, good: Path) -> None:
    from diffusers import DiffusionPipeline

    loaded = DiffusionPipeline.from_pretrained(good)
    assert type(loaded) is type(made)
    assert np.array_equal(image(loaded), image(made))


def test_plain_diffusers_is_loaded_by_ours(made: Any, tmp_path: Path) -> None:
    made.save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path)
    assert type(loaded) is type(made)
    assert np.array_equal(image(loaded), image(made))


def test_ours_is_loaded_by_ours_again_and_again(made: Any, good: Path, tmp_path: Path) -> None:
    save_pipeline(load_pipeline(good), tmp_path / "again")
    assert np.array_equal(image(load_pipeline(tmp_path / "again")), image(made))
    for name in (UNET, TEXT):
        assert (tmp_path / "again" / name).read_bytes() == (good / name).read_bytes()
    for file in (tmp_path / "again").rglob("*.json"):
        assert str(good.parent) not in file.read_text()  # nobody needs to know where it lay


def test_another_precision(good: Path) -> None:
    loaded: Any = load_pipeline(good, dtype=torch.bfloat16)
    assert {next(part.parameters()).dtype for part in (loaded.unet, loaded.vae, loaded.text_encoder)} == {
        torch.bfloat16
    }


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def retensor(file: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file(change(tensors), file, metadata={"format": "pt"})


def foreign(damage: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Damage to a folder of another program, which has no hashes."""

    def apply(folder: Path) -> None:
        (folder / "mmlab.json").unlink()
        damage(folder)

    return apply


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 16
    file.write_bytes(content)


def _drop(file: Path, name: str) -> None:
    content = json.loads(file.read_text())
    del content[name]
    file.write_text(json.dumps(content))


def first(tensors: dict[str, Tensor]) -> str:
    return min(tensors)


def _index(**changes: Any) -> Callable[[Path], None]:
    return foreign(lambda f: edit(f / "model_index.json", **changes))


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "bit of a weight": (lambda f: flip(f / UNET), "safetensors is damaged"),
    "bit of the text encoder": (lambda f: flip(f / TEXT), "safetensors is damaged"),
    "other setting": (lambda f: edit(f / "unet/config.json", act_fn="gelu"), "config.json is damaged"),
    "other schedule": (
        lambda f: edit(f / "scheduler/scheduler_config.json", beta_end=0.5),
        "scheduler_config.json is damaged",
    ),
    "file gone": (lambda f: (f / UNET).unlink(), "lacks the file unet/"),
    "damaged hashes": (lambda f: (f / "mmlab.json").write_text("[]"), "mmlab.json is damaged"),
    "no hashes in it": (lambda f: (f / "mmlab.json").write_text("{}"), "it holds no hashes"),
    "truncated": (foreign(lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-9])), "unet does not fit"),
    "empty weights": (foreign(lambda f: (f / TEXT).write_bytes(b"")), "text_encoder does not fit"),
    "no weights": (foreign(lambda f: (f / UNET).unlink()), "unet holds no safetensors file"),
    "missing tensor": (
        foreign(lambda f: retensor(f / UNET, lambda t: dict(sorted(t.items())[1:]))),
        "it lacks conv_in",
    ),
    "missing tensor, text": (
        foreign(lambda f: retensor(f / TEXT, lambda t: dict(sorted(t.items())[1:]))),
        "CLIPTextModel: it lacks",
    ),
    "tensor too many": (foreign(lambda f: retensor(f / UNET, lambda t: {**t, "x": torch.ones(1)})), "unknown x"),
    "tensor too many, text": (foreign(lambda f: retensor(f / TEXT, lambda t: {**t, "x": torch.ones(1)})), "unknown x"),
    "wrong prefix": (
        foreign(lambda f: retensor(f / UNET, lambda t: {f"unet.{k}": v for k, v in t.items()})),
        "it lacks .*; unknown unet",
    ),
    "wrong shape": (
        foreign(lambda f: retensor(f / UNET, lambda t: {**t, "conv_in.bias": torch.ones(3)})),
        "unet does not fit UNet2DConditionModel: .*conv_in.bias",
    ),
    "wrong shape, text": (
        foreign(lambda f: retensor(f / TEXT, lambda t: {**t, first(t): torch.ones(3)})),
        "text_encoder does not fit CLIPTextModel",
    ),
    "other width": (foreign(lambda f: edit(f / "unet/config.json", block_out_channels=[16, 32])), "unet does not fit"),
    "unknown field": (foreign(lambda f: edit(f / "unet/config.json", shiny=1)), "does not know: shiny"),
    "other class's settings": (
        foreign(lambda f: shutil.copy(f / "vae/config.json", f / "unet/config.json")),
        "is that of AutoencoderKL, not of UNet2DConditionModel",
    ),
    "half a config": (foreign(lambda f: (f / "unet/config.json").write_text('{"a')), "config.json is damaged"),
    "code of its own": (
        foreign(lambda f: edit(f / "unet/config.json", auto_map={"a": "b.C"})),
        "names code of its own",
    ),
    "no index": (lambda f: (f / "model_index.json").unlink(), "holds no model_index.json"),
    "half an index": (lambda f: (f / "model_index.json").write_text('{"_class'), "model_index.json is damaged"),
    "a list": (lambda f: (f / "model_index.json").write_text("[]"), "model_index.json is damaged"),
    "unknown pipeline": (_index(_class_name="MyPipeline"), "'MyPipeline' is no pipeline of diffusers"),
    "no pipeline": (_index(_class_name="UNet2DConditionModel"), "is no pipeline of diffusers"),
    "custom pipeline": (_index(_class_name=["pipeline", "Mine"]), "is no pipeline of diffusers"),
    "other pipeline": (
        _index(_class_name="StableDiffusionXLPipeline"),
        "names requires_safety_checker, safety_checker, which StableDiffusionXLPipeline does not have",
    ),
    "part not named": (foreign(lambda f: _drop(f / "model_index.json", "vae")), "cannot be loaded: "),
    "unknown class": (_index(unet=["diffusers", "Nothing"]), "unet is .*'Nothing'.*, which is no class"),
    "class from elsewhere": (_index(unet=["os", "system"]), "unet is .*'os'"),
    "function": (_index(unet=["transformers", "pipeline"]), "unet is .*'pipeline'"),
    "module": (_index(unet=["diffusers", "utils"]), "unet is .*'utils'"),
    "odd entry": (_index(unet=["diffusers"]), "which is no class"),
    "path": (_index(**{"../unet": ["diffusers", "UNet2DConditionModel"]}), r"names \.\./unet, which"),
    "folder gone": (foreign(lambda f: shutil.rmtree(f / "vae")), "lacks the folder vae"),
    **{
        f"a {suffix}": (lambda f, s=suffix: (f / f"unet/x{s}").write_bytes(b"cposix\nsystem\n"), "could run code")
        for suffix in (".bin", ".ckpt", ".pt", ".pkl", ".py")
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_damaged_or_does_not_fit_is_refused(fault: str, folder: Path) -> None:
    damage, sentence = FAULTS[fault]
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        load_pipeline(folder)
    assert "\n" not in str(caught.value)


def test_a_failed_save_leaves_the_old_one(made: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    for place in ("mmlab.store.pipelines.card_text", "mmlab.store.folders._to_disk", "mmlab.store.pipelines._hash"):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            with pytest.raises(OSError, match="No space left"):
                save_pipeline(made, folder)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    for content in ("old", "new"):
        with replaced_folder(target) as new:
            (new / content).write_text(content)
    assert [path.name for path in target.iterdir()] == ["new"]
    rename = Path.rename

    def torn(self: Path, other: Path) -> Path:
        if self.name.startswith(".x.") and self.name.endswith(".tmp"):
            raise KeyboardInterrupt
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", torn)  # between the two renames
    with pytest.raises(KeyboardInterrupt), replaced_folder(target) as new:
        (new / "newer").write_text("")
    monkeypatch.undo()
    assert [path.name for path in target.iterdir()] == ["new"]
    target.rename(tmp_path / ".x.0123abcd.before")  # as a kill in that moment leaves it
    recover(target)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_else_is_in_the_folder_is_not_lost(made: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"thesis\.tex, which is no part of a pipeline and would be lost"):
        save_pipeline(made, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_card(made: Any, folder: Path) -> None:
    save_pipeline(made, folder, provenance=Provenance(data="Drawings.", clinical=True))
    text = (folder / "README.md").read_text()
    for part in (
        "library_name: diffusers",
        "Drawings.",
        "Not for clinical use",
        "UNet2DConditionModel, ",
        "load_pipeline",
    ):
        assert part in text
    (folder / "README.md").write_text("Mine.")
    save_pipeline(made, folder)
    assert (folder / "README.md").read_text() == "Mine."


class Own(nn.Linear):
    def save_pretrained(self, *_: Any, **__: Any) -> None: ...


def test_what_plain_diffusers_could_not_load_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Linear is no pipeline"):
        save_pipeline(nn.Linear(1, 1), tmp_path / "x")  # type: ignore[arg-type]
    made = pipeline()
    made.unet = Own(1, 1)
    with pytest.raises(ValueError, match="unet is a Own, which plain diffusers does not know"):
        save_pipeline(made, tmp_path / "x")
    made.unet = adapted()
    with pytest.raises(ValueError, match="unet has adapters inside"):
        save_pipeline(made, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# --- adapters of the U-Net


def adapted(**settings: Any) -> Any:
    from peft import LoraConfig

    made = unet()
    chosen = {"r": 4, "lora_alpha": 12, "target_modules": ["to_q", "to_k", "to_v", "to_out.0"]} | settings
    torch.manual_seed(1)
    made.add_adapter(LoraConfig(init_lora_weights=False, **chosen))
    return made


def drawn(made: Any, network: Any) -> np.ndarray:
    held, made.unet = made.unet, network
    try:
        return image(made)
    finally:
        made.unet = held


SETTINGS: list[dict[str, Any]] = [{}, {"rank_pattern": {"to_q": 2}}, {"target_modules": ["conv1"], "use_rslora": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_our_adapter_is_loaded_by_plain_diffusers(settings: dict[str, Any], made: Any, tmp_path: Path) -> None:
    network = adapted(**settings)
    save_unet_adapter(network, tmp_path)
    plain = pipeline()
    assert not np.array_equal(image(plain), drawn(made, network))
    plain.load_lora_weights(tmp_path)
    assert np.array_equal(image(plain), drawn(made, network))  # with the right scale


@pytest.mark.parametrize("with_settings", [True, False], ids=["scale in the header", "scale not stated"])
def test_plain_diffusers_adapter_is_loaded_by_ours(with_settings: bool, made: Any, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    network = adapted(lora_alpha=12 if with_settings else 4)
    tensors = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
    config = network.peft_config["default"].to_dict() if with_settings else None
    if config:
        config["target_modules"] = sorted(config["target_modules"])
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=tensors, unet_lora_adapter_metadata=config)
    loaded = unet()
    load_unet_adapter(loaded, tmp_path)
    assert np.array_equal(drawn(made, loaded), drawn(made, network))
    plain = pipeline()
    plain.load_lora_weights(tmp_path)
    assert np.array_equal(drawn(made, loaded), image(plain))


def test_an_adapter_is_trained_on(tmp_path: Path) -> None:
    save_unet_adapter(adapted(), tmp_path)
    loaded = unet()
    load_unet_adapter(loaded, tmp_path, trainable=True)
    trained = {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    with pytest.raises(ValueError, match="has an adapter 'default' already"):
        load_unet_adapter(loaded, tmp_path)
    save_unet_adapter(loaded, tmp_path / "again")
    first, second = (load_file(place / WEIGHTS) for place in (tmp_path, tmp_path / "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    loaded.conv_in.bias.requires_grad_(True)
    with pytest.raises(ValueError, match=r"conv_in\.bias would be lost"):
        save_unet_adapter(loaded, tmp_path / "lost")
    with pytest.raises(ValueError, match="no adapter 'style' in UNet2DConditionModel: there are default"):
        save_unet_adapter(loaded, tmp_path, name="style")


def _lora(change: Callable[[dict[str, Tensor]], dict[str, Tensor]], **settings: Any) -> Callable[[Path], None]:
    """The adapter as another program would have written it, with other tensors or settings."""

    def damage(folder: Path) -> None:
        with safe_open(folder / WEIGHTS, "pt") as file:
            said = json.loads(file.metadata()["lora_adapter_metadata"])
        said |= {f"unet.{name}": value for name, value in settings.items()}
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
        save_file(change(tensors), folder / WEIGHTS, metadata={"lora_adapter_metadata": json.dumps(said)})

    return damage


def _same(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors


LORA_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "bit of a value": (lambda f: flip(f / WEIGHTS), "is damaged"),
    "truncated": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]), "is damaged"),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), "is damaged"),
    "gone": (
        lambda f: (f / WEIGHTS).rename(f / "pytorch_lora_weights.bin"),
        "holds no pytorch_lora_weights.safetensors",
    ),
    "missing tensor": (_lora(lambda t: dict(sorted(t.items())[1:])), "it lacks"),
    "tensor too many": (_lora(lambda t: {**t, "unet.x": torch.ones(1)}), "unknown"),
    "of the text encoder, too": (_lora(lambda t: {**t, "text_encoder.x": torch.ones(1)}), "is no part of a U-Net"),
    "no prefix": (_lora(lambda t: {k.removeprefix("unet."): v for k, v in t.items()}), "is no part of a U-Net"),
    "other blocks": (_lora(lambda t: {k.replace("down_blocks", "blocks"): v for k, v in t.items()}), "it lacks"),
    "wrong rank": (_lora(_same, r=8), "with r=8: .* has shape"),
    "other targets": (_lora(_same, target_modules=["to_q"]), "unknown"),
    "unknown field": (_lora(_same, shiny=1), "does not know: shiny"),
    "another kind": (_lora(_same, peft_type="LOKR"), "peft_type is 'LOKR'"),
    "no tensors": (_lora(lambda t: {}), "it lacks"),
}


@pytest.mark.parametrize("fault", LORA_FAULTS)
def test_an_adapter_that_does_not_fit_is_refused(fault: str, tmp_path: Path) -> None:
    damage, sentence = LORA_FAULTS[fault]
    save_unet_adapter(adapted(), tmp_path)
    damage(tmp_path)
    network = unet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        load_unet_adapter(network, tmp_path)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("other", "sentence"), [({"width": 16}, "has shape"), ({"seed": 7}, "on a base with other weights")]
)
def test_an_adapter_of_another_network_is_refused(other: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    save_unet_adapter(adapted(), tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load_unet_adapter(unet(**other), tmp_path)

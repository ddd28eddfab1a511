"""A folder in GILL's layout, with the keys that its repository writes: it loads and is written, never unpickled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmlab.methods.gill import GILL
from mmlab.store.gill_layout import CONVERT, is_gill, read_gill, save_gill

R = 3


def demo(seed: int = 0) -> GILL:
    """With fewer words than the language model has vectors, as the published one."""
    config = GILL.demo()[0].config
    method = GILL.seeded(seed, **{**config, "vocabulary": 15})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method.eval()


ARGS: dict[str, Any] = {  # as in checkpoints/gill_opt, but for the numbers
    "opt_version": "facebook/opt-6.7b",
    "freeze_lm": True,
    "visual_encoder": "openai/clip-vit-large-patch14",
    "freeze_vm": True,
    "n_visual_tokens": 2,
    "ret_emb_dim": 8,
    "gen_emb_dim": 6,
    "text_emb_layers": [-1],
    "text_fc_mode": "gill_mapper",
    "ret_text_fc_mode": "linear",
    "num_gen_tokens": R,
    "num_ret_tokens": R,
    "num_clip_tokens": 4,
    "share_ret_gen": True,
    "retrieval_token_idx": [15, 16, 17],
    "gen_token_idx": [15, 16, 17],
}


def under_their_names(method: GILL, whole: bool = False) -> dict[str, Tensor]:
    """By hand, part after part; ``whole``: an embedding that was not pruned."""
    rows = [method.language_model.get_input_embeddings().weight[:15]] if whole else []
    state = {
        "model.logit_scale": method.log_scale,
        "model.input_embeddings.weight": torch.cat([*rows, method.image_embedding]),
        "model.visual_embeddings.weight": method.prefix.weight,
        "model.visual_embeddings.bias": method.prefix.bias,
        "model.visual_fc.weight": method.find_image.weight,
        "model.visual_fc.bias": method.find_image.bias,
        "model.ret_text_hidden_fcs.0.model.weight": method.find_text.weight,
        "model.ret_text_hidden_fcs.0.model.bias": method.find_text.bias,
        "model.gen_text_hidden_fcs.0.query_embs": method.mapper.query_embs,
    }
    for name in ("fc", "tfm", "model"):
        part = getattr(method.mapper, name)
        state |= {f"model.gen_text_hidden_fcs.0.{name}.{key}": value for key, value in part.state_dict().items()}
    return {name: value.detach().clone() for name, value in state.items()}


def write(folder: Path, method: GILL, whole: bool = False, prefix: str = "", **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_args.json").write_text(json.dumps(ARGS | changes), encoding="utf-8")
    state = {prefix + name: value for name, value in under_their_names(method, whole).items()}
    save_file(state, folder / "pretrained_ckpt.safetensors")
    decision = {f"1.{name}": value.detach() for name, value in method.decision[1].named_parameters()}
    save_file(decision, folder / "decision_model.safetensors")
    return folder


def load(folder: Path, method: GILL, **changes: Any) -> GILL:
    how = {"language_model": method.language_model, "vision_tower": method.vision_tower, "concatenate": 0.0}
    return GILL.from_pretrained(folder, **{**how, "mapper": method.config["mapper"], **changes})


def assert_same(one: GILL, other: GILL) -> None:
    _, batch = GILL.demo()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    batch["input_ids"] = batch["input_ids"].clamp(max=17)
    a, b = (m.loss(batch, torch.Generator())["loss"] for m in (one, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize(("whole", "prefix"), [(False, ""), (True, ""), (False, "module.")])
def test_their_folder_loads(tmp_path: Path, whole: bool, prefix: str) -> None:
    method = demo()
    assert is_gill(write(tmp_path / "theirs", method, whole, prefix))
    assert_same(load(tmp_path / "theirs", method), method)


def test_what_is_written_has_their_keys_and_comes_back(tmp_path: Path) -> None:
    method = demo()
    save_gill(method, tmp_path / "ours", "opt", "clip")
    theirs = under_their_names(method)
    written = load_file(tmp_path / "ours" / "pretrained_ckpt.safetensors")
    assert set(written) == set(theirs)
    assert all(torch.equal(written[name], theirs[name]) for name in theirs)
    assert set(load_file(tmp_path / "ours" / "decision_model.safetensors")) == {"1.weight", "1.bias"}
    args = json.loads((tmp_path / "ours" / "model_args.json").read_text("utf-8"))
    assert {name: args[name] for name in ARGS if not name.startswith(("opt", "visual"))} == {
        name: value for name, value in ARGS.items() if not name.startswith(("opt", "visual"))
    }
    assert_same(load(tmp_path / "ours", method), method)


def test_their_pickles_are_refused_and_what_converts_them_is_named(tmp_path: Path) -> None:
    """The program that the message names turns the files of ``torch.save`` into what is read."""
    method = demo()
    (tmp_path / "model_args.json").write_text(json.dumps(ARGS), encoding="utf-8")
    torch.save({"state_dict": under_their_names(method)}, tmp_path / "pretrained_ckpt.pth.tar")
    decision = {f"1.{name}": value.detach() for name, value in method.decision[1].named_parameters()}
    torch.save({"state_dict": decision}, tmp_path / "decision_model.pth.tar")
    with pytest.raises(FileNotFoundError, match=r"gill_layout\.CONVERT"):
        load(tmp_path, method)
    files = [str(tmp_path / f"{name}.pth.tar") for name in ("pretrained_ckpt", "decision_model")]
    subprocess.run([sys.executable, "-c", CONVERT, *files], check=True)
    assert_same(load(tmp_path, method), method)


def test_a_missing_decision_model_leaves_a_fresh_one(tmp_path: Path) -> None:
    method = demo()
    (write(tmp_path, method) / "decision_model.safetensors").unlink()
    loaded = load(tmp_path, method)
    assert torch.equal(loaded.prefix.weight, method.prefix.weight)
    assert not torch.equal(loaded.decision[1].weight, method.decision[1].weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_gen_tokens": 4}, "num_tokens or num_gen_tokens or num_ret_tokens must be one number"),
        ({"text_fc_mode": "linear"}, "only 'gill_mapper' is read"),
        ({"gen_token_idx": [15, 17, 16]}, "one after the other"),
        ({"gen_token_idx": 3}, "must be the 3 ids"),
        ({"ret_emb_dim": "8"}, "ret_emb_dim must be one number"),
        ({"n_visual_tokens": 3}, "does not fit GILL"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    method = demo()
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, method, **changes), method)


def test_a_folder_without_settings_or_with_damaged_ones(tmp_path: Path) -> None:
    method = demo()
    write(tmp_path, method)
    with pytest.raises(ValueError, match="holds no vision_tower"):
        load(tmp_path, method, vision_tower=None)
    (tmp_path / "model_args.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path, method)
    (tmp_path / "model_args.json").unlink()
    assert not is_gill(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model_args\.json is missing"):
        read_gill(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    method = demo()
    write(tmp_path, method)
    state = under_their_names(method)
    del state["model.visual_fc.bias"]
    save_file(state, tmp_path / "pretrained_ckpt.safetensors")
    with pytest.raises(ValueError, match=r"it lacks find_image\.bias"):
        load(tmp_path, method)


def test_another_mapper_cannot_be_written(tmp_path: Path) -> None:
    method = GILL(**{**GILL.demo()[0].config, "mapper": {"kind": "linear"}})
    with pytest.raises(ValueError, match="use save_pretrained"):
        save_gill(method, tmp_path)
    assert not list(tmp_path.iterdir())

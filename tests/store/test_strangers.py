"""What somebody else wrote into an adapter, a card or a name decides nothing but what it is for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from torch import nn

from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.store.adapters import Adapter, load_adapter, save_adapter, write_adapter
from mmlab.store.expressions import check_matching
from mmlab.store.model_card import Provenance, card_text, code, plain
from mmlab.store.weights import described, read_tensors
from mmlab.train.tuning import add_lora, require_gradients

# peft asks transformers in a way that transformers warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.multi_modal_projector_language_model_of_a_long_name = nn.Linear(4, 4)


def config(**changes: Any) -> dict[str, Any]:
    return {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": [next(iter(Base()._modules))]} | changes


def adapter(**changes: Any) -> Adapter:
    name = f"base_model.model.{next(iter(Base()._modules))}"
    return Adapter(
        config(**changes), {f"{name}.lora_A.weight": torch.zeros(2, 4), f"{name}.lora_B.weight": torch.zeros(4, 2)}
    )


HOSTILE = [
    "x\nlicense: mit\ntags:\n- verified\n---\n\n# Official model\n<script>alert(1)</script>",
    "x # comment",
    "---",
    "[a, b]",
    "yes",
    "`` ` ``<img src=x onerror=alert(1)>",
    "x: {y: z}",
    "\u2028# heading\r## another",
    "!!python/object:os.system",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_name_of_a_base_is_a_name_and_nothing_else(tmp_path: Path, name: str) -> None:
    write_adapter(tmp_path / "a", adapter(base_model_name_or_path=name))
    save_adapter(load_adapter(Base(), tmp_path / "a"), tmp_path / "b")
    text = (tmp_path / "b" / "README.md").read_text("utf-8")
    usual_tags = ["mmlab", "lora"]
    assert yaml.safe_load(text.split("---")[1]) == {"library_name": "peft", "base_model": name, "tags": usual_tags}
    plain_adapter = adapter(base_model_name_or_path="x")
    write_adapter(tmp_path / "c", plain_adapter)
    usual = (tmp_path / "c" / "README.md").read_text("utf-8")

    def headings(card: str) -> list[str]:
        return [line for line in card.split("---", 2)[2].splitlines() if line.startswith("#")]

    assert headings(text) == headings(usual)


def test_names_of_metrics_make_no_markup() -> None:
    names = ["a|b", "<script>alert(1)</script>", "[x](javascript:alert(1))", "a\n# b", "$\\href{javascript:x}{y}$"]
    card = card_text("x\n# y", {}, {}, Provenance(metrics=dict.fromkeys(names, 1.0)), {})
    rows = [line for line in card.splitlines() if line.startswith("| ") and "one run only" in line]
    assert len(rows) == len(names)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert "<script>" not in card
    assert "](" not in card.replace("\\](", "")
    assert [line for line in card.splitlines() if line.startswith("# ")] == ["# x \\# y"]
    assert code("a`b") == "`` a`b ``"
    assert plain("a_b *c*") == r"a\_b \*c\*"


EVIL = ["(([a-z_.]+)+)+X", r"(\w+\s?)+$X", "(.*.*.*.*.*.*.*.*.*.*.*.*)X", r"([a-z]+_?)+X", r"((\w+)_?)*X"]


@pytest.mark.parametrize("expression", EVIL)
@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"])
def test_an_expression_without_end_is_stopped(tmp_path: Path, expression: str, field: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("mmlab.store.expressions.check_matching.__defaults__", (0.5,))
    value: Any = {expression: 2} if field.endswith("pattern") else expression
    begin = time.monotonic()
    with pytest.raises(ValueError, match=rf"regular expression in .*{field}.* took more than 0.5 s") as caught:
        check_matching(config(**{field: value}), [f"{next(iter(Base()._modules))}_{i}" for i in range(20)], "file")
    assert time.monotonic() - begin < 10
    assert "list the modules' names" in str(caught.value)


@pytest.mark.parametrize("expression", ["(q", "[", "*", "(?P<1>x)", "a{2,1}"])
def test_what_is_no_expression_is_named(tmp_path: Path, expression: str) -> None:
    write_adapter(tmp_path, adapter(target_modules=expression))
    with pytest.raises(ValueError, match="target_modules is no regular expression"):
        load_adapter(Base(), tmp_path)


def test_usual_expressions_work(tmp_path: Path) -> None:
    for expression in (
        r".*language_model.*\.?of_a_long_name",
        r"(multi|other)_.*",
        r"(?:.*?(?:model|x).*?(?:long).*?)",
    ):
        write_adapter(tmp_path, adapter(target_modules=expression))
        assert load_adapter(Base(), tmp_path).peft_config["default"].target_modules == expression


@pytest.mark.parametrize("value", [None, False, [], {}, ""])
def test_fields_of_a_newer_peft_that_say_nothing_are_passed_over(tmp_path: Path, value: Any) -> None:
    save_adapter(add_lora(TinyLLaVA.demo()[0], 2), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"future_config": value}), encoding="utf-8-sig")
    loaded = load_adapter(TinyLLaVA.demo()[0], tmp_path)
    save_adapter(loaded, tmp_path / "again")
    load_adapter(TinyLLaVA.demo()[0], tmp_path / "again")


@pytest.mark.parametrize("value", [True, 1, "x", [0], {"a": None}])
def test_fields_of_a_newer_peft_that_say_something_name_the_remedy(tmp_path: Path, value: Any) -> None:
    save_adapter(add_lora(TinyLLaVA.demo()[0], 2), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"future_config": value}))
    with pytest.raises(ValueError, match=r"installed peft .* does not know: future_config\. Update peft, or remove"):
        load_adapter(TinyLLaVA.demo()[0], tmp_path)


def test_a_method_with_an_adapter_inside_is_not_saved_as_if_it_could_be_loaded(tmp_path: Path) -> None:
    method, batch = TinyLLaVA.demo()
    peft = add_lora(method, rank=2)
    with pytest.raises(ValueError, match=r"merge the adapter into it .*save_adapter"):
        method.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    save_adapter(peft, tmp_path / "adapter")  # the remedies work
    merged = peft.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    loaded = TinyLLaVA.from_pretrained(tmp_path / "merged")
    assert torch.equal(loaded.logits(batch), merged.eval().logits(batch))


def test_modules_to_save_that_are_not_there_are_named() -> None:
    method, batch = TinyLLaVA.demo()
    how = {"r": 2, "target_modules": r"language_model\..*\.q_proj"}
    model = get_peft_model(method, LoraConfig(**how, modules_to_save=["projector"]))
    for refused in (
        lambda: save_adapter(model, "nowhere"),
        lambda: require_gradients(method, batch, torch.Generator()),
    ):
        with pytest.raises(ValueError, match=r"names 'projector', but TinyLLaVA has no such module.*'connector'"):
            refused()
    assert not Path("nowhere").exists()


def test_modules_to_save_may_be_named_by_the_end_of_their_names(tmp_path: Path) -> None:
    for name in ("connector", "connector.2", "lm_head"):
        how = {"r": 2, "target_modules": r"language_model\..*\.q_proj", "modules_to_save": [name]}
        save_adapter(get_peft_model(TinyLLaVA.demo()[0], LoraConfig(**how)), tmp_path)
        load_adapter(TinyLLaVA.demo()[0], tmp_path)


def test_an_adapter_whose_modules_to_save_are_not_there_is_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path, adapter(modules_to_save=["projector"]))
    with pytest.raises(ValueError, match="names 'projector', but Base has no such module"):
        load_adapter(Base(), tmp_path)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"a": {"dtype": "F32", "shape": [0, *[10**9] * 5], "data_offsets": [0, 0]}}, "Stride"),
        ({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_001)}, "50,001 tensors"),
        ({"__metadata__": {"mmlab": "[" * 100_000}}, "is damaged"),
    ],
    ids=["sizes that overflow", "very many tensors", "deep facts"],
)
def test_a_header_that_no_model_has_is_refused_at_once(tmp_path: Path, header: dict[str, Any], why: str) -> None:
    text = json.dumps(header).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    start = time.process_time()
    for read in (read_tensors, described):
        with pytest.raises(ValueError, match=rf"model\.safetensors is damaged.*{why}|{why}"):
            read(file)
    assert time.process_time() - start < 2

"""Laws of what reads text: what was written comes back, and all else is refused in one sentence."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from mmlab.command.arguments import parse
from mmlab.publish.run.parameters import check, declared
from mmlab.store.weights import read_tensors, safetensors_chunks, saved_facts, write_tensors
from mmlab.wording import nearest

law = settings(max_examples=25, deadline=None, derandomize=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def _target(
    count: int = 1,
    rate: float = 0.1,
    on: bool = False,
    text: str = "",
    sizes: list[int] = [],  # noqa: B006
    maybe: float | None = None,
    kind: Literal["a", "b"] = "a",
    table: dict[str, Any] | None = None,
) -> None: ...


# --- arguments


@law
@given(st.integers(), finite, st.booleans(), words, st.lists(st.integers(), max_size=5), st.none() | finite)
def test_arguments_that_were_written_come_back(count, rate, on, text, sizes, maybe):
    written = [f"count={count}", f"rate={rate!r}", f"on={on}", f"text={text}", f"sizes={json.dumps(sizes)}"]
    written += [f"maybe={'none' if maybe is None else repr(maybe)}"]
    expected = {"count": count, "rate": rate, "on": on, "text": text, "sizes": sizes, "maybe": maybe}
    found = parse(_target, written)
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in expected.items()}
    if sizes:
        assert parse(_target, [f"sizes={','.join(map(str, sizes))}"]) == {"sizes": sizes}


@law
@given(st.dictionaries(st.text(max_size=5), finite, max_size=3), st.sampled_from(["a", "b"]))
def test_objects_and_choices_come_back(table, kind):
    assert parse(_target, [f"table={json.dumps(table)}", f"kind={kind}"]) == {"table": table, "kind": kind}


@law
@given(st.sampled_from(["count", "rate", "on", "sizes", "maybe", "kind", "table", "other", ""]), words)
def test_any_text_is_read_or_refused_in_one_sentence(name, text):
    try:
        (value,) = parse(_target, [f"{name}={text}"]).values()
    except ValueError as error:
        message = str(error)
    else:
        message = "."
        json.dumps(value)
        expected = {"count": int, "rate": float, "on": bool, "sizes": list}.get(name)
        assert expected is None or type(value) is expected
    assert message.endswith((".", "?"))


@law
@given(st.lists(st.text("abc_", min_size=1, max_size=6), min_size=1, max_size=5, unique=True), st.text(max_size=8))
def test_the_nearest_name_is_one_of_those_there_are(known, name):
    hint = nearest(name, known)
    assert any(repr(there) in hint or there in hint for there in known)
    assert repr(known[0]) in nearest(known[0], known)


# --- parameter cells


values = st.booleans() | st.integers() | finite | st.text(max_size=8) | st.lists(st.integers(), max_size=3)
cells = st.dictionaries(st.sampled_from(["steps", "sigma", "names", "on", "seed"]), values, max_size=5)


@law
@given(cells)
def test_a_parameter_cell_declares_what_it_says(cell):
    source = "\n".join(f"{name} = {value!r}" for name, value in cell.items())
    assert {name: value for name, (_, value) in declared(source).items()} == cell
    check(source, cell)
    with pytest.raises(ValueError, match="has no parameter 'unknown'"):
        check(source, {"unknown": 1})


@law
@given(st.sampled_from(["int", "float", "bool", "str"]), values)
def test_a_parameter_of_another_type_is_refused(kind, value):
    right = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }[kind]
    default = {"int": 1, "float": 0.5, "bool": True, "str": ""}[kind]
    source = f"x: {kind} = {default!r}"
    if right:
        check(source, {"x": value})
        return
    with pytest.raises(ValueError, match=f"the notebook declares {kind}"):
        check(source, {"x": value})


# --- weights


dtypes = st.sampled_from(
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
shapes = st.lists(st.integers(0, 4), max_size=3)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda n: n != "__metadata__")


def _tensors(kinds: dict[str, tuple[torch.dtype, list[int]]]) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(len(kinds))
    return {name: (3 * torch.randn(shape, generator=rng)).to(dtype) for name, (dtype, shape) in kinds.items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


@law
@given(st.dictionaries(names, st.tuples(dtypes, shapes), max_size=4), st.dictionaries(st.text(), finite, max_size=3))
def test_any_tensors_come_back_with_their_facts(kinds, facts):
    tensors = _tensors(kinds)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.safetensors"
        write_tensors(file, tensors, facts)
        assert _same(read_tensors(file)[0], tensors)
        assert saved_facts(file) == facts
        content = file.read_bytes()
        write_tensors(file, tensors, facts)
        assert file.read_bytes() == content


@law
@given(st.dictionaries(names, st.tuples(dtypes, shapes), max_size=4))
def test_our_writer_and_the_librarys_agree(kinds):
    tensors = _tensors(kinds)
    ours = b"".join(bytes(chunk) for chunk in safetensors_chunks(tensors))
    assert _same(load(ours), tensors)
    assert _same(load(save(tensors)), tensors)


@law
@given(st.data())
def test_a_wrong_bit_never_passes_for_other_tensors(data):
    tensors = _tensors({"a": (torch.float32, [3, 2]), "b": (torch.int64, [4])})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.safetensors"
        write_tensors(file, tensors, {"rate": math.pi})
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        try:
            read, _ = read_tensors(file)
        except ValueError as error:
            assert "is damaged" in str(error)  # noqa: PT017
        else:
            assert _same(read, tensors)

"""What all that writes or scores words about pictures must keep, as checks of a small random model.

Who is checked is found by what it can do. A reader takes ``input_ids``, with a place for each picture, ``length`` and
``images``, and writes (``generate``) or chooses (``predict``): among the methods, the classes of :mod:`mmlab.bases`
and the models that its functions ``untrained_...`` build. All other methods that see pictures beside text are held to
the part that needs no such layout: an item alone, beside others, in any order.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
import torch
from contract.small_worlds import SMALL
from torch import Tensor

import mmlab.bases
from mmlab.bases.drawing_gill import LANGUAGE, PromptReader
from mmlab.bases.frozen_towers import TEXT, VISION, KeywordReader, Towers, lexicon
from mmlab.bases.support_system import SupportParts, untrained_parts
from mmlab.data.conversations import IMAGE, Conversations, Turn, tokenizer_of
from mmlab.data.worlds.described_connectomes import DescribedConnectomes
from mmlab.method import Batch, Method
from mmlab.nn.answers import answer_laws
from mmlab.registry import list_methods, load

CLOSE = {"rtol": 1e-3, "atol": 2e-5}
PICTURES = {"image", "images", "picture", "pictures", "regions"}
TEXTS = {"input_ids", "question", "text", "words", "claim", "tweets", "caption"}
VERBS = ("generate", "predict", "embed")
LAYOUT = {"input_ids", "length", "images"}


@dataclass(frozen=True)
class Reader:
    """A model that reads prompts with places for pictures.

    Attributes:
        name: Its stem, or its module and what builds it.
        build: Makes it, small and with random weights, and the shape of its pictures.
    """

    name: str
    build: Callable[[], tuple[Any, tuple[int, ...]]]

    def __str__(self) -> str:
        return self.name


# --- who is checked ---------------------------------------------------------------------------------------------------


@cache
def readers() -> tuple[Reader, ...]:
    """All readers: of the methods and of the bases."""
    found = [Reader(stem, partial(_from_demo, load(stem))) for stem in list_methods() if _reads(load(stem))]
    for module in pkgutil.iter_modules(mmlab.bases.__path__):
        held = importlib.import_module(f"mmlab.bases.{module.name}")
        for name, thing in vars(held).items():
            if getattr(thing, "__module__", "") != held.__name__:
                continue
            if isinstance(thing, type) and issubclass(thing, Method) and _reads(thing):
                found.append(Reader(f"{module.name}.{name}", partial(_from_demo, thing)))
            if inspect.isfunction(thing) and name.startswith("untrained_"):
                made = typing.get_type_hints(thing).get("return")
                if isinstance(made, type) and issubclass(made, Method) and _reads(made):
                    found.append(Reader(f"{module.name}.{name}", partial(_untrained, thing)))
    return tuple(found)


@cache
def others() -> tuple[str, ...]:
    """Methods that see pictures beside text, and are no readers."""
    names = {reader.name for reader in readers()}
    seen = [stem for stem in list_methods() if stem not in names and set(load(stem).card.inputs) & PICTURES]
    return tuple(stem for stem in seen if set(load(stem).demo()[1]) & TEXTS and _verb(load(stem)))


def _reads(cls: type[Method]) -> bool:
    """Whether its prompts have places for pictures, and it writes or chooses: GILL's show it in ``read``."""
    if not (hasattr(cls, "generate") or hasattr(cls, "predict")) or not hasattr(cls, "card") or "demo" not in dir(cls):
        return False
    inputs = set(cls.card.inputs)
    return inputs >= LAYOUT or (inputs >= {"input_ids", "length"} and hasattr(cls, "read"))


def _verb(cls: Any) -> str | None:
    return next((verb for verb in VERBS if hasattr(cls, verb)), None)


def _from_demo(cls: Any) -> tuple[Any, tuple[int, ...]]:
    method, batch = cls.demo()
    pictures = batch["images"] if "images" in batch else batch["image"]
    return method, tuple(pictures.shape[-3:])


def _untrained(function: Any) -> tuple[Any, tuple[int, ...]]:
    """What a base builds before its training, its arguments by their annotations."""
    hints = typing.get_type_hints(function)
    needed = [
        p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind < p.VAR_POSITIONAL
    ]
    missing = [p.name for p in needed if hints.get(p.name) not in parts() and not _is_world(hints.get(p.name))]
    assert not missing, f"{function.__module__}.{function.__name__}: say in `parts` how {missing} are made, small"
    made = function(*[parts()[kind]() if (kind := hints[p.name]) in parts() else _world(kind) for p in needed])
    side = int(made.vision_tower.config.image_size)
    return made, (3, side, side)


def parts() -> dict[Any, Callable[[], Any]]:
    """How the untrained parts of bases are made, by their class."""
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    words = {**LANGUAGE, **ends, "vocab_size": len(lexicon()), "max_position_embeddings": 48}

    return {
        KeywordReader: lambda: KeywordReader.seeded(0, words),
        PromptReader: lambda: PromptReader.seeded(0, {**words, "vocab_size": 400}),
        Towers: lambda: Towers.seeded(0, VISION, {**TEXT, **ends, "vocab_size": len(lexicon())}),
        SupportParts: lambda: copy.deepcopy(_support()),
    }


@cache
def _support() -> SupportParts:
    scans = _world(DescribedConnectomes)
    return untrained_parts(scans, torch.arange(len(scans.scans.source)))


def _is_world(kind: Any) -> bool:
    return getattr(kind, "__module__", "").rpartition(".")[2] in SMALL


@cache
def _world(kind: Any) -> Any:
    name = kind.__module__.rpartition(".")[2]
    settings = dict(setting.split("=", 1) for setting in SMALL[name])
    build = getattr(importlib.import_module(kind.__module__), name)
    return build(**{key: ast.literal_eval(value) for key, value in settings.items()})


# --- what they read and say -------------------------------------------------------------------------------------------


def items_of(shape: tuple[int, ...], seed: int = 0) -> list[Batch]:
    """Prompts with one picture, none, two, nothing but one, and one behind the words."""
    rng = torch.Generator().manual_seed(seed)
    rows = [[IMAGE, 3, 4], [5, 6, 7, 8, 2], [IMAGE, 3, IMAGE, 5, 6, 7], [IMAGE], [2, 4, IMAGE]]
    return [item(row, torch.rand(row.count(IMAGE), *shape, generator=rng) * 2 - 1) for row in rows]


def item(row: Sequence[int], pictures: Tensor) -> Batch:
    """One prompt as a batch."""
    return {
        "input_ids": torch.tensor([list(row)], dtype=torch.long),
        "length": torch.tensor([len(row)]),
        "images": pictures[None],
    }


def together(items: Sequence[Batch], more: int = 0, filler: int = 0, spare: int = 0) -> Batch:
    """Items as one batch.

    Args:
        items: Batches of one.
        more: Places of padding beyond the longest.
        filler: What stands in the padding; a place for a picture there is none.
        spare: Pictures that no text has a place for, of noise.
    """
    width = max(each["input_ids"].shape[1] for each in items) + more
    most = max(each["images"].shape[1] for each in items) + spare
    pad = torch.nn.functional.pad
    ids = [pad(each["input_ids"], (0, width - each["input_ids"].shape[1]), value=filler) for each in items]
    images = [pad(each["images"], (*(0,) * 6, 0, most - each["images"].shape[1]), value=0.3) for each in items]
    length = torch.cat([each["length"] for each in items])
    return {"input_ids": torch.cat(ids), "length": length, "images": torch.cat(images)}


def ready(reader: Reader) -> tuple[Any, list[Batch]]:
    """The model, every weight of which matters, and items for it."""
    model, shape = reader.build()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
    return model.eval(), items_of(shape)


def says(model: Any, batch: Batch) -> Tensor:
    """Its words (B, T), or the probabilities of its choices (B, K)."""
    if not hasattr(model, "generate"):
        made: Tensor = model.predict(batch)
        return made
    made = model.generate(batch, max_new_tokens=3)
    ends = _ends(model)
    ended = torch.isin(made, torch.tensor(ends))
    made = torch.where(ended.cumsum(1) > 0, -1, made)  # what stands behind an end is of no use
    return torch.nn.functional.pad(made, (0, 8 - made.shape[1]), value=-1)


def _ends(model: Any) -> list[int]:
    if hasattr(model, "language_model"):
        end = model.language_model.generation_config.eos_token_id
        return [end] if isinstance(end, int) else list(end or [])
    return [0]


class Scores:
    """What ``answer_laws`` asks for, of any reader: ``logits(batch)``, and how many places a picture takes."""

    def __init__(self, model: Any) -> None:
        inner = next((getattr(model, name) for name in ("policy", "model") if hasattr(model, name)), model)
        self.model = inner
        self.image_tokens = getattr(inner, "prefix_tokens", None) or inner.image_tokens

    def logits(self, batch: Batch) -> Any:
        """Scores of the next word at every place, (B, T, V)."""
        with torch.no_grad():
            if hasattr(self.model, "states") and callable(self.model.states):
                read = self.model.read(batch, side="right")
                return self.model.logits(self.model.states(read.vectors, read.mask))
            return self.model.logits(batch)


ANSWERS = torch.tensor([[3, 4, 5], [6, 0, 0]])


def laws(model: Any, batch: Batch) -> Tensor:
    """Log-probabilities of all words at the places of two answers, (B, 2, 3, V)."""
    return answer_laws(Scores(model), batch, ANSWERS.expand(len(batch["length"]), -1, -1), 0)


def same(one: Tensor, other: Tensor) -> bool:
    """The same words, or the same numbers but for rounding."""
    return torch.equal(one, other) if one.dtype == torch.long else torch.allclose(one, other, **CLOSE)


def in_one_sentence(call: Callable[[], Any], what: str) -> None:
    """A call is refused by one sentence that a reader can act on."""
    try:
        call()
    except (ValueError, TypeError) as error:
        text = str(error)
        assert "\n" not in text, f"{what} is refused by more than a line: {text!r}"
        assert text.endswith("."), f"{what} is refused by no sentence: {text!r}"
        return
    except Exception as error:
        pytest.fail(f"{what} ends in {type(error).__name__}: {str(error)[:90]!r}")
    pytest.fail(f"{what} is taken without a word")


# --- the checks -------------------------------------------------------------------------------------------------------


def answers_are_those_of_an_item_alone(reader: Reader) -> None:
    """Beside others, in rows padded further, with anything in the padding, and pictures that no text asks for."""
    model, items = ready(reader)
    alone = [says(model, each)[0] for each in items]
    for how in ({}, {"more": 3, "filler": 1}, {"more": 2, "filler": IMAGE}, {"spare": 1}):
        made = says(model, together(items, **how))
        for number, one in enumerate(alone):
            assert same(made[number], one), f"item {number} is answered {made[number]} beside others, {one} alone"


def order_does_not_matter(reader: Reader) -> None:
    """Items in another order have the same answers, and one that is there twice has the same twice."""
    model, items = ready(reader)
    made = says(model, together(items))
    order = [3, 0, 4, 2, 1, 0]
    for place, row in zip(order, says(model, together([items[place] for place in order])), strict=True):
        assert same(row, made[place]), f"item {place} is answered {row} in another order, {made[place]} before"


def log_probabilities_are_those_of_an_item_alone(reader: Reader) -> None:
    """Of answers behind prompts of any length and number of pictures, padded on the right."""
    model, items = ready(reader)
    alone = [laws(model, each)[0] for each in items]
    for how in ({}, {"more": 3, "filler": 1}, {"spare": 1}):
        made = laws(model, together(items, **how))
        for number, one in enumerate(alone):
            assert same(made[number], one), f"an answer to item {number} is less or more probable beside others"


def padding_on_the_left_changes_nothing(reader: Reader) -> None:
    """Of models that pad on either side: the laws at the last place, where an answer begins, are the same."""
    model, items = ready(reader)
    read = getattr(model, "read", None) or (model.embed if hasattr(model, "embed") else None)
    if read is None or "side" not in inspect.signature(read).parameters:
        pytest.skip("it is padded on one side alone")
    batch = together(items)
    found = []
    with torch.no_grad():
        for side in ("left", "right"):
            sequence = read(batch, side=side)
            places = (sequence.mask.cumsum(1) - 1).clamp(min=0)
            inputs = {"inputs_embeds": sequence.vectors, "attention_mask": sequence.mask}
            if "position_ids" in inspect.signature(model.language_model.forward).parameters:
                inputs["position_ids"] = places
            states = model.language_model(**inputs).logits.log_softmax(-1)
            found.append(torch.stack([row[mask.bool()][-1] for row, mask in zip(states, sequence.mask, strict=True)]))
    assert same(*found), "the side of the padding changes what is said first"


def each_picture_counts(reader: Reader) -> None:
    """Another picture changes the law of the answer, and so does another order of two."""
    model, items = ready(reader)
    for number, each in enumerate(items):
        if not each["images"].shape[1]:
            continue
        before = laws(model, each)
        for place in range(each["images"].shape[1]):
            changed = each["images"].clone()
            changed[:, place] = -changed[:, place]
            after = laws(model, {**each, "images": changed})
            assert not same(before, after), f"picture {place} of item {number} changes nothing"
    two = items[2]
    turned = {**two, "images": two["images"].flip(1)}
    assert not same(laws(model, two), laws(model, turned)), "the order of two pictures changes nothing"


def long_prompts_keep_their_pictures(reader: Reader) -> None:
    """What the language part reads has a place for every word and every token of the pictures, however many words."""
    model, items = ready(reader)
    scores = Scores(model)
    room = _room(model)
    words = 300 if room is None else room - 2 * scores.image_tokens - 4
    prompt = item([IMAGE, 3, IMAGE, *[4] * (words - 1)], items[2]["images"][0])
    inner = scores.model
    read = inner.read(prompt) if hasattr(inner, "read") else inner.embed(prompt)
    vectors = getattr(read, "vectors", read)
    assert vectors.shape[1] == words + 2 * scores.image_tokens, (
        f"{words} words and two pictures become {vectors.shape[1]} places, not {words + 2 * scores.image_tokens}"
    )
    changed = {**prompt, "images": -prompt["images"]}
    other = inner.read(changed) if hasattr(inner, "read") else inner.embed(changed)
    moved = (vectors != getattr(other, "vectors", other)).any(-1).sum().item()
    assert moved == 2 * scores.image_tokens, f"{moved} places hold pictures, not {2 * scores.image_tokens}"


def prompts_beyond_its_room_are_refused(reader: Reader) -> None:
    """A model with learned positions says in one sentence that a prompt is too long; it cuts nothing off."""
    model, items = ready(reader)
    room = _room(model)
    if room is None:
        pytest.skip("its positions have no end")
    prompt = item([IMAGE, *[4] * room], items[0]["images"][0])
    in_one_sentence(lambda: says(model, prompt), "a prompt that is too long")


def a_missing_picture_is_refused(reader: Reader) -> None:
    """More places than pictures: one item too few, none at all, or no ``images`` in the batch."""
    model, items = ready(reader)
    one = items[0]
    few = item([IMAGE, 3, IMAGE], one["images"][0])
    in_one_sentence(lambda: says(model, few), "a text with two places and one picture")
    in_one_sentence(lambda: says(model, {**one, "images": one["images"][:, :0]}), "a batch of no pictures")
    beside = together([items[2], few])  # there are two pictures an item, of which the second is not the text's own
    assert len(says(model, beside)) == 2


def a_batch_without_images_is_refused_or_read(reader: Reader) -> None:
    """Without ``images``, a text with a place is refused in one sentence, and one without is read."""
    model, items = ready(reader)
    bare = {key: value for key, value in items[0].items() if key != "images"}
    in_one_sentence(lambda: says(model, bare), "a text with a place for a picture, in a batch without images")
    words = {key: value for key, value in items[1].items() if key != "images"}
    assert same(says(model, words)[0], says(model, items[1])[0])


def an_empty_prompt_is_refused_or_read_alike(reader: Reader) -> None:
    """A prompt of no word and no picture is refused in one sentence, or answered alike alone and beside others."""
    model, items = ready(reader)
    empty = item([], items[1]["images"][0])
    try:
        alone = says(model, empty)[0]
    except ValueError:
        in_one_sentence(lambda: says(model, empty), "an empty prompt")
        in_one_sentence(lambda: says(model, together([empty, items[1]])), "an empty prompt beside others")
        return
    except Exception as error:
        pytest.fail(f"an empty prompt ends in {type(error).__name__}: {str(error)[:90]!r}")
    assert same(says(model, together([empty, items[1]]))[0], alone), "an empty prompt is answered by its neighbours"


CHECKS = (
    answers_are_those_of_an_item_alone,
    order_does_not_matter,
    log_probabilities_are_those_of_an_item_alone,
    padding_on_the_left_changes_nothing,
    each_picture_counts,
    long_prompts_keep_their_pictures,
    prompts_beyond_its_room_are_refused,
    a_missing_picture_is_refused,
    a_batch_without_images_is_refused_or_read,
    an_empty_prompt_is_refused_or_read_alike,
)


def _room(model: Any) -> int | None:
    """Places for which a model has learned positions; None where it knows them by a formula."""
    inner = Scores(model).model
    config = getattr(getattr(inner, "language_model", None), "config", None)
    if config is None or getattr(config, "rope_parameters", None):
        return None
    return int(config.max_position_embeddings)


def cut_conversations(dataset: Any = Conversations) -> None:
    """At every ``max_length``, all pictures are kept or the item is refused in one sentence; empty questions work."""
    pictures = torch.zeros(2, 3, 4, 4)
    tokenizer = tokenizer_of(["what is seen here , and where", "a red dot"])
    for question in ("", "what is seen here, and where"):
        for count in range(3):
            held = [(list(pictures[:count]), [Turn(question, "a red dot")], None)]
            whole = dataset(held, tokenizer, size=4, image_tokens=5)
            most = len(whole.encoded[0].input_ids) + 4 * count
            kept = []
            for length in range(most + 2):
                build = partial(dataset, held, tokenizer, size=4, max_length=length, image_tokens=5)
                try:
                    ids = build().encoded[0].input_ids
                except ValueError:
                    in_one_sentence(build, f"max_length={length}")
                    continue
                assert int((ids == IMAGE).sum()) == count, f"max_length={length} cuts a picture off"
                kept.append(length)
            assert kept[-2:] == [most, most + 1], "what fits is refused"


def an_item_alone(cls: Any) -> None:
    """Of any method that sees pictures and text: items alone, and in another order, are told the same."""
    method, batch = cls.demo()
    if cls.is_solved():
        method.solve([{key: value[row] for key, value in batch.items()} for row in range(_size(batch))])
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    method.eval()
    verb = getattr(method, _verb(cls) or "predict")
    with torch.no_grad():
        whole = list(_rows(verb(batch)))
        order = torch.randperm(_size(batch), generator=rng)
        turned = list(_rows(verb({key: value[order] for key, value in batch.items()})))
        for one, other in zip(whole, turned, strict=True):
            assert same(one[order], other), "items in another order are told something else"
        for row in range(_size(batch)):
            alone = _rows(verb({key: value[row : row + 1] for key, value in batch.items()}))
            for one, other in zip(whole, alone, strict=True):
                width = min(one[row].numel(), other[0].numel()) if one.dtype == torch.long else None
                assert same(one[row].flatten()[:width], other[0].flatten()[:width]), (
                    f"item {row} alone is told otherwise"
                )


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _rows(made: Any) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, dict):
        for name in sorted(made):
            yield from _rows(made[name])
    else:
        for part in made:
            yield from _rows(part)

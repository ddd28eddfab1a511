"""TinyLLaVA beside transformers' Llava, beside plain loops, and at its published size."""

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlab import fit
from mmlab.data.conversations import tokenizer_of
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.splicing import IGNORE, IMAGE
from mmlab.train.tuning import add_lora, train_only

# peft asks transformers in a way that transformers warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LANGUAGE = SIZE | {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
VISION = SIZE | {"image_size": 16, "patch_size": 8}
ID = 23  # stands for a picture where transformers' Llava reads


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(seed: int = 0, **changes: Any) -> TinyLLaVA:
    """Every weight is random, the biases and what starts at zero included."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = TinyLLaVA(**({"language_model": LANGUAGE, "vision_tower": VISION} | changes))
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return method.eval()


def batch_of(rows: list[list[int]], images: int | None = None, answer: int = 3) -> dict[str, Tensor]:
    """Texts of these ids, padded with 0; the last words of each are the answer."""
    width, most = max(map(len, rows)), max(row.count(IMAGE) for row in rows) if images is None else images
    batch = {
        "input_ids": torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        "length": torch.tensor([len(row) for row in rows]),
        "labels": torch.full((len(rows), width), IGNORE),
        "images": torch.rand(len(rows), most, 3, 16, 16, generator=rng(1)) * 2 - 1,
    }
    for b, row in enumerate(rows):
        batch["labels"][b, len(row) - answer : len(row)] = torch.tensor(row[-answer:])
    return batch


MIXED = [[1, IMAGE, 2, 3, 4, 5], [6, 7, 8, 9], [IMAGE, 1, 2, IMAGE, 3, 4, 5, 6, 7], [9, 8, IMAGE, 7, 6, 0]]


def row_of(batch: Batch, b: int) -> dict[str, Tensor]:
    """One item, without the padding of others and without unused pictures."""
    end = int(batch["length"][b])
    item = {key: value[b : b + 1] for key, value in batch.items()}
    item |= {key: item[key][:, :end] for key in ("input_ids", "labels") if key in item}
    return item | {"images": item["images"][:, : int((item["input_ids"] == IMAGE).sum())]}


# --- beside transformers ------------------------------------------------------------------------------------------


def llava(method: TinyLLaVA, head_bias: bool = True) -> Any:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    theirs = LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=method.language_model.config.to_dict(),
            vision_config=method.vision_tower.config.to_dict(),
            image_token_id=ID,
            vision_feature_layer=method.vision_layer,
            vision_feature_select_strategy="default" if method.drop_first_patch else "full",
            projector_hidden_act="gelu",
        )
    ).eval()
    ours: Any = method.connector
    projector = theirs.model.multi_modal_projector
    assert theirs.lm_head.bias is None, "transformers' Llava has a biased head now: the trap is gone"
    if head_bias:
        theirs.lm_head = nn.Linear(16, 24)
    for mine, its in (
        (method.language_model.model, theirs.model.language_model),
        (method.vision_tower, theirs.model.vision_tower),
        (ours[0], projector.linear_1),
        (ours[2], projector.linear_2),
        (method.language_model.lm_head, theirs.lm_head),
    ):
        its.load_state_dict(mine.state_dict(), strict=head_bias or its is not theirs.lm_head)
    return theirs


def as_llava_reads(method: TinyLLaVA, batch: Batch) -> dict[str, Tensor]:
    """A picture's placeholder repeated as often as it has tokens, pictures in one list."""
    rows, labels, pictures = [], [], []
    for b in range(len(batch["length"])):
        item = row_of(batch, b)
        times = torch.where(item["input_ids"][0] == IMAGE, method.image_tokens, 1)
        rows.append(item["input_ids"][0].masked_fill(item["input_ids"][0] == IMAGE, ID).repeat_interleave(times))
        labels.append(item["labels"][0].repeat_interleave(times))
        pictures.append(item["images"][0])
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(rows, batch_first=True),
        "attention_mask": pad([torch.ones_like(row) for row in rows], batch_first=True),
        "labels": pad(labels, batch_first=True, padding_value=IGNORE),
        "pixel_values": torch.cat(pictures),
    }


@pytest.mark.parametrize("drop_first_patch", [True, False])
@pytest.mark.parametrize("layer", [-2, -1])
def test_logits_are_those_of_transformers_to_the_bit(drop_first_patch: bool, layer: int) -> None:
    method, batch = model(drop_first_patch=drop_first_patch, vision_layer=layer), batch_of(MIXED)
    theirs, read = llava(method), as_llava_reads(method, batch)
    with torch.no_grad():
        logits, reference = method.logits(batch), theirs(**read)
        loss = method.loss(batch, rng())["loss"]
    real = read["attention_mask"].bool()
    assert logits.shape == reference.logits.shape
    assert (logits - reference.logits)[real].abs().max() == 0.0
    assert loss.item() == pytest.approx(reference.loss.item(), abs=1e-6)


def test_transformers_llava_alone_is_another_model() -> None:
    """Its head has no bias, Phi-2's has one: what the weights of the latter give in it is another model's answer."""
    method, batch = model(), batch_of(MIXED[:1])
    read = as_llava_reads(method, batch)
    with torch.no_grad():
        logits, wrong = method.logits(batch), llava(method, head_bias=False)(**read).logits
    torch.testing.assert_close(logits - wrong, method.language_model.lm_head.bias.expand_as(wrong))
    assert (logits - wrong).abs().max() > 0.3


def test_the_loss_has_the_gradients_of_transformers() -> None:
    method, batch = model(), batch_of(MIXED)
    theirs = llava(method)
    method.loss(batch, rng())["loss"].backward()
    theirs(**as_llava_reads(method, batch)).loss.backward()
    assert all(p.grad is None for p in method.vision_tower.parameters())
    named = dict(theirs.model.language_model.named_parameters())
    for name, parameter in method.language_model.model.named_parameters():
        if name != "embed_tokens.weight":  # theirs embeds the placeholder
            torch.testing.assert_close(parameter.grad, named[name].grad, atol=1e-6, rtol=1e-4)
    connector: Any = method.connector
    torch.testing.assert_close(connector[2].weight.grad, theirs.model.multi_modal_projector.linear_2.weight.grad)


# --- sizes --------------------------------------------------------------------------------------------------------


def test_published_size_and_that_of_its_lora() -> None:
    with torch.device("meta"):
        method = TinyLLaVA()
    parts = (method.language_model, method.vision_tower, method.connector)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [2_779_683_840, 428_225_600, 9_507_840]
    assert sum(p.numel() for p in method.parameters()) == 3_217_417_280
    assert method.image_tokens == 728
    method.drop_first_patch = False
    assert method.image_tokens == 729
    add_lora(method, 128, train_connector=False)
    adapter = [p.numel() for name, p in method.named_parameters() if "lora_" in name]
    assert len(adapter) == 2 * 192
    assert sum(adapter) == 188_743_680
    assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 188_743_680


@pytest.mark.parametrize(("drop", "strategy", "count"), [(True, "default", 728), (False, "full", 729)])
def test_the_processor_of_transformers_counts_the_same(drop: bool, strategy: str, count: int) -> None:
    from transformers import LlavaProcessor, SiglipImageProcessorPil

    tokenizer = tokenizer_of(["a <image>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = SiglipImageProcessorPil(size={"height": 384, "width": 384})
    how = {"vision_feature_select_strategy": strategy, "num_additional_image_tokens": 0, "image_token": "<image>"}
    processor: Any = LlavaProcessor(images, tokenizer, patch_size=14, **how)
    read = processor(images=[torch.zeros(3, 50, 60)], text=["<image> a"], return_tensors="pt")
    with torch.device("meta"):
        method = TinyLLaVA(language_model=LANGUAGE, drop_first_patch=drop)
    assert (read["input_ids"] == tokenizer.convert_tokens_to_ids("<image>")).sum() == count
    assert method.image_tokens == count
    assert method.features(read["pixel_values"].to("meta")).shape == (1, count, 16)


@pytest.mark.parametrize("kind", ["linear", "mlp", "resampler", "q_former"])
@pytest.mark.parametrize("drop", [True, False])
def test_image_tokens_is_what_a_picture_takes(kind: Any, drop: bool) -> None:
    method = model(connector=kind, queries=3, drop_first_patch=drop)
    count = {"linear": 4 - drop, "mlp": 4 - drop}.get(kind, 3)
    assert method.image_tokens == count
    assert method.features(torch.zeros(2, 3, 16, 16)).shape == (2, count, 16)
    assert method.embed(batch_of(MIXED)).mask.sum(1).tolist() == [5 + count, 4, 7 + 2 * count, 5 + count]
    add_lora(method, 1)
    assert method.image_tokens == count


def test_the_dropped_patch_is_a_patch() -> None:
    """SigLIP has no class token: what the published selection throws away is the picture's upper left corner."""
    batch = batch_of(MIXED[:1])
    towers = [model(drop_first_patch=drop, vision_layer=0) for drop in (True, False)]  # before patches see another
    corner = dict(batch, images=batch["images"].clone())
    corner["images"][..., :8, :8] = 1
    same = [torch.equal(t.embed(batch).vectors, t.embed(corner).vectors) for t in towers]
    assert same == [True, False]


# --- the loss -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_that_over_all_logits(weighted: bool) -> None:
    method, batch = model(), batch_of(MIXED)
    if weighted:
        batch["weights"] = torch.rand(batch["labels"].shape, generator=rng(2))
    sequence = method.embed(batch)
    assert sequence.labels is not None
    logits, labels = method.logits(batch)[:, :-1], sequence.labels[:, 1:]
    if sequence.weights is None:
        expected = cross_entropy(logits.flatten(0, 1), labels.flatten())
    else:
        expected = (sequence.weights[:, 1:] * cross_entropy(logits.mT, labels, reduction="none")).sum() / 4
    assert method.loss(batch, rng())["loss"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_loss_is_that_of_each_row_alone() -> None:
    """Each row with its own length, beside others that are longer, with the id that pads also ending an answer."""
    method, batch = model(), batch_of(MIXED)
    assert batch["input_ids"][3, 5] == 0 == batch["input_ids"][0, 6]
    alone = [method.loss(row_of(batch, b), rng())["loss"].item() for b in range(4)]
    assert method.loss(batch, rng())["loss"].item() == pytest.approx(sum(alone) / 4, abs=1e-6)
    for b in range(4):
        batch["input_ids"][b, batch["length"][b] :] = 17
    assert method.loss(batch, rng())["loss"].item() == pytest.approx(sum(alone) / 4, abs=1e-6)


def test_left_padding_gives_the_same_logits() -> None:
    method, batch = model(), batch_of(MIXED)
    left, right = method.embed(batch, side="left"), method.embed(batch)
    positions = (left.mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = method.language_model(
            inputs_embeds=left.vectors, attention_mask=left.mask, position_ids=positions
        ).logits
        torch.testing.assert_close(logits[left.mask.bool()], method.logits(batch)[right.mask.bool()])


def test_pictures_may_be_left_out() -> None:
    method, batch = model(), batch_of([[1, 2, 3, 4], [5, 6, 7]])
    assert batch["images"].shape[1] == 0
    without = {key: value for key, value in batch.items() if key != "images"}
    assert torch.equal(method.logits(batch), method.logits(without))
    with pytest.raises(ValueError, match="1 places for pictures, but the batch holds 0"):
        method.logits(without | {"input_ids": torch.tensor([[1, IMAGE, 2], [1, 2, 3]])})


def test_the_end_of_a_round_is_learnt_although_it_pads() -> None:
    """torch would give the id that pads no gradient; in a second round it is read as the end of the first."""
    method, batch = model(), batch_of([[1, 0, 2, 3, 4, 0]])
    method.loss(batch, rng())["loss"].backward()
    gradient = method.language_model.get_input_embeddings().weight.grad
    assert gradient.any(1).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


def test_training_needs_labels() -> None:
    method, batch = model(), batch_of(MIXED)
    del batch["labels"]
    with pytest.raises(ValueError, match=r"needs labels; mmlab\.data\.conversations makes them"):
        method.loss(batch, rng())


# --- training -----------------------------------------------------------------------------------------------------


def items(count: int = 8, weighted: bool = True) -> TensorData:
    """Texts of several lengths with one picture each; weights of 1 / (mean number of answer tokens)."""
    rows = [
        [1, IMAGE, 2 + i % 3, *range(4, 5 + i % 4), *(6 + (i + k) % 17 for k in range(1 + i % 3))] for i in range(8)
    ]
    batch = batch_of(rows[:count])
    for b, row in enumerate(rows[:count]):
        batch["labels"][b] = IGNORE
        asked = slice(len(row) - 1 - b % 3, len(row))
        batch["labels"][b, asked] = batch["input_ids"][b, asked]
    if weighted:
        asked_in_all = (batch["labels"] != IGNORE).sum()
        batch["weights"] = torch.full(batch["labels"].shape, count / float(asked_in_all))
    return TensorData(batch)


def gradients(accumulation: int, weighted: bool) -> dict[str, Tensor]:
    """What one step of plain gradient descent would do, from the pieces that fit cuts a batch into."""
    method, data = model(), items(weighted=weighted)
    for piece in torch.arange(8).chunk(accumulation):
        (method.loss(data.batch(piece), rng())["loss"] / accumulation).backward()
    return {name: p.grad for name, p in method.named_parameters() if p.grad is not None}


def test_four_pieces_of_two_are_eight() -> None:
    """With weights the pieces' losses add up; a mean over each piece's own tokens counts short answers double."""
    whole, pieces, naive = gradients(1, True), gradients(4, True), gradients(4, False)
    largest = max(float(g.abs().max()) for g in whole.values())
    assert max(float((whole[name] - pieces[name]).abs().max()) for name in whole) < 1e-5 * largest
    assert max(float((whole[name] - naive[name]).abs().max()) for name in whole) > 0.03 * largest
    one, four = (fit(model(), items(), steps=3, batch_size=8, accumulation=n, progress=False) for n in (1, 4))
    assert one.values() == pytest.approx(four.values(), rel=1e-4)


STAGES: dict[str, Callable[[TinyLLaVA], Any]] = {
    "the connector alone": lambda method: train_only(method, "connector"),
    "connector and language model": lambda method: None,
    "LoRA": lambda method: add_lora(method, 2),
}


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_frozen_stays_to_the_bit(stage: str) -> None:
    method = model()
    STAGES[stage](method)
    before = {name: p.clone() for name, p in method.named_parameters()}
    frozen = {name for name, p in method.named_parameters() if not p.requires_grad}
    assert {name for name in before if name.startswith("vision_tower")} <= frozen
    fit(method, items(), steps=3, lr=1e-2, weight_decay=0.1, progress=False)
    moved = {name for name, p in method.named_parameters() if not torch.equal(p, before[name])}
    assert moved == before.keys() - frozen


def test_the_same_seed_gives_the_same_curve_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    dropout = {"language_model": LANGUAGE | {"resid_pdrop": 0.2}}

    def run(steps: int, out: str, seed: int = 0) -> tuple[dict[str, Tensor], list[float]]:
        method = model(**dropout)
        history = fit(
            method, items(), steps=steps, batch_size=3, seed=seed, lr=1e-2, out=tmp_path / out, progress=False
        )
        return method.state_dict(), history.values()

    state, curve = run(6, "one")
    again, same = run(6, "two")
    _, short = run(3, "three")
    resumed, whole = run(6, "three")
    assert curve == same == whole
    assert short == curve[:3]
    assert all(torch.equal(state[name], again[name]) and torch.equal(state[name], resumed[name]) for name in state)
    assert run(6, "four", seed=1)[1] != curve


@pytest.mark.parametrize("stage", [*STAGES, "layers of the language model"])
@pytest.mark.parametrize("rows", [MIXED, [[1, 2, 3, 4, 5]]], ids=["pictures", "text only"])
def test_checkpointing_changes_no_gradient(rows: list[list[int]], stage: str) -> None:
    """Also where what enters the trained layers, embeddings of words alone, is frozen."""
    if stage == "the connector alone" and rows is not MIXED:
        return  # there is nothing to train
    found = []
    for checkpointing in (False, True):
        method = model(checkpointing=checkpointing)
        method.train()
        assert all(layer.gradient_checkpointing == checkpointing for layer in method.language_model.model.layers)
        STAGES.get(stage, lambda m: train_only(m, "language_model.model.layers"))(method)
        method.loss(batch_of(rows), rng())["loss"].backward()
        found.append({name: p.grad for name, p in method.named_parameters() if p.grad is not None and p.grad.any()})
    assert found[0].keys() == found[1].keys()
    assert any("layers.0" in name for name in found[0]) == (stage != "the connector alone")
    assert any("connector" in name for name in found[0]) == (rows is MIXED and "layers" not in stage)
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-5, atol=1e-7)


def test_pictures_are_learnt_by_heart() -> None:
    """Eight pictures, one question: the answers can only come from the pictures."""
    answers = [[3 + i % 4, 8 + i // 4, 0] for i in range(8)]
    data = TensorData(batch_of([[1, IMAGE, 2, *answer] for answer in answers]))
    method = model()
    fit(method, data, steps=150, batch_size=8, lr=1e-2, progress=False)
    batch = {key: value[:, :3] if key == "input_ids" else value for key, value in data.batch(torch.arange(8)).items()}
    batch["length"] = torch.full((8,), 3)
    made = method.generate(batch, max_new_tokens=3)
    assert made.tolist() == answers
    batch["images"] = batch["images"].roll(1, 0)
    turned = method.generate(batch, max_new_tokens=3)
    assert turned.tolist() == answers[-1:] + answers[:-1]


# --- generation ---------------------------------------------------------------------------------------------------


def prompts() -> dict[str, Tensor]:
    batch = batch_of(MIXED)
    del batch["labels"]
    return batch


def greedy_by_hand(method: TinyLLaVA, batch: Batch, count: int) -> list[int]:
    """The whole sequence anew for every word."""
    item, made = dict(batch), []
    while len(made) < count and (not made or made[-1] != 0):
        with torch.no_grad():
            word = int(method.logits(item)[0, -1].argmax())
        made.append(word)
        item["input_ids"] = torch.cat([item["input_ids"], torch.tensor([[word]])], 1)
        item["length"] = item["length"] + 1
    return made + [0] * (count - len(made))


@pytest.mark.parametrize("cached", [True, False])
def test_greedy_rows_of_a_batch_are_those_of_a_loop(cached: bool) -> None:
    """Rows of several lengths with no, one and two pictures; also what stops early and is padded."""
    for seed in range(3):
        method, batch = model(seed), prompts()
        made = method.generate(batch, max_new_tokens=6, use_cache=cached)
        for b in range(4):
            expected = greedy_by_hand(method, row_of(batch, b), 6)
            assert made[b].tolist() == expected[: made.shape[1]]
            assert not any(expected[made.shape[1] :])


def test_what_ends_is_padded() -> None:
    method, batch = model(), prompts()
    first = method.generate(batch, max_new_tokens=4)
    with torch.no_grad():
        method.language_model.lm_head.bias[0] += 100
    assert first.shape == (4, 4)
    assert method.generate(batch, max_new_tokens=4).tolist() == [[0]] * 4


def log_probability(method: TinyLLaVA, batch: Batch, words: list[int]) -> float:
    ids = torch.cat([batch["input_ids"], torch.tensor([words])], 1)
    with torch.no_grad():
        logits = method.logits(batch | {"input_ids": ids, "length": batch["length"] + len(words)})
    of_words = logits[0, -len(words) - 1 : -1].log_softmax(-1)
    return float(of_words[torch.arange(len(words)), torch.tensor(words)].sum())


def test_beam_search_that_keeps_all_finds_the_best() -> None:
    method = model()
    with torch.no_grad():
        method.language_model.lm_head.bias[0] -= 100  # nothing ends: all candidates are of one length
        method.language_model.lm_head.weight.mul_(3)
    batch = {key: value[:1] for key, value in batch_of([[1, IMAGE, 2]]).items() if key != "labels"}
    words = list(product(range(1, 24), repeat=2))
    ids = torch.tensor([[1, IMAGE, 2, *pair] for pair in words])
    many = {
        "input_ids": ids,
        "length": torch.full((len(ids),), 5),
        "images": batch["images"].expand(len(ids), -1, -1, -1, -1),
    }
    with torch.no_grad():
        logits = method.logits(many)[:, -3:-1].log_softmax(-1)
    scores = logits.gather(2, ids[:, 3:, None]).sum((1, 2))
    best = list(words[int(scores.argmax())])
    assert log_probability(method, batch, best) == pytest.approx(float(scores.max()), abs=1e-4)
    made = method.generate(batch, max_new_tokens=2, num_beams=23)
    assert made[0].tolist() == best


def test_sampling_is_seeded_by_the_generator_handed_in() -> None:
    method, batch = model(), prompts()
    how = {"max_new_tokens": 8, "do_sample": True, "temperature": 2.0}
    state, given = torch.get_rng_state(), rng(3)
    first = method.generate(batch, rng=given, **how)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was moved"
    second = method.generate(batch, rng=given, **how)
    assert torch.equal(method.generate(batch, rng=rng(3), **how), first)
    assert not torch.equal(first, second), "the generator is not used up"
    torch.manual_seed(0)
    free = method.generate(batch, **how)
    torch.manual_seed(0)
    assert torch.equal(method.generate(batch, **how), free)


def test_sampled_words_have_the_model_s_frequencies() -> None:
    method = model()
    item = {key: value for key, value in batch_of([[1, IMAGE, 2]]).items() if key != "labels"}
    with torch.no_grad():
        expected = method.logits(item)[0, -1].softmax(-1)
    many = {key: value.expand(2000, *value.shape[1:]) for key, value in item.items()}
    made = method.generate(many, rng=rng(), max_new_tokens=1, do_sample=True, top_k=0)
    found = torch.bincount(made[:, 0], minlength=24) / 2000
    assert ((found - expected).abs() < 4 * (expected * (1 - expected) / 2000).sqrt() + 1e-3).all()


def test_words_are_streamed_as_they_come() -> None:
    class Streamer:
        def __init__(self) -> None:
            self.words: list[int] = []
            self.ended = False

        def put(self, value: Tensor) -> None:
            self.words += value.flatten().tolist()

        def end(self) -> None:
            self.ended = True

    method, batch, streamer = model(), {key: value[:1] for key, value in prompts().items()}, Streamer()
    made = method.generate(batch, max_new_tokens=5, streamer=streamer)
    assert streamer.words == made[0].tolist()
    assert streamer.ended


def test_answers_are_held_to_a_grammar() -> None:
    """5, then 6 or 7, then the end, in every row, whatever the model would rather say."""
    method, batch, seen = model(), prompts(), []

    def allowed(row: int, written: Tensor) -> list[int]:
        seen.append((row, len(written)))
        return [[5], [6, 7], [0]][len(written)]

    for how in ({}, {"num_beams": 2}, {"do_sample": True}):
        made = method.generate(batch, rng=rng(), max_new_tokens=3, prefix_allowed_tokens_fn=allowed, **how)
        assert made[:, 0].tolist() == [5] * 4
        assert set(made[:, 1].tolist()) <= {6, 7}
        assert made[:, 2].tolist() == [0] * 4
    assert {row for row, _ in seen} == {0, 1, 2, 3}


def test_writing_leaves_no_trace() -> None:
    method, batch = model(language_model=LANGUAGE | {"resid_pdrop": 0.5}), prompts()
    expected = method.generate(batch, max_new_tokens=4)
    before = {key: value.clone() for key, value in batch.items()}
    method.train()
    assert torch.equal(method.generate(batch, max_new_tokens=4), expected), "dropout was on"
    assert method.training
    assert all(torch.equal(batch[key], value) for key, value in before.items())
    assert method.loss(batch_of(MIXED), rng())["loss"].requires_grad
    assert math.isfinite(method.loss(batch_of(MIXED), rng())["loss"].item())


def test_saved_and_loaded_it_writes_the_same(tmp_path: Path) -> None:
    method, batch = model(connector="resampler", queries=3, vision_layer=-1), prompts()
    method.save_pretrained(tmp_path)
    loaded = TinyLLaVA.from_pretrained(tmp_path)
    assert loaded.image_tokens == 3
    assert torch.equal(loaded.generate(batch, max_new_tokens=5), method.generate(batch, max_new_tokens=5))
    assert torch.equal(loaded.logits(batch), method.logits(batch))

"""GILL beside a plain transcription of its three readings, at its published size, and the faults that it invites."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mmlab import fit
from mmlab.data.image_words import end_in_image, join_pairs
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.methods.gill import GILL, rescale, token_distance
from mmlab.nn.from_transformers import clip_pixels
from mmlab.nn.picture_words import may_emit
from mmlab.nn.splicing import IGNORE, IMAGE

R = 3  # picture words of the demo


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(seed: int = 0, **changes: Any) -> tuple[GILL, Batch]:
    """The demo with every weight random, biases included."""
    method, batch = GILL.demo(seed)
    if changes:
        method = GILL.seeded(seed, **{**method.config, **changes})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed + 1)
        for parameter in method.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return method, batch


# --- the published size -------------------------------------------------------------------------------------------


def test_at_the_published_size_exactly_these_blocks_are_trained() -> None:
    with torch.device("meta"):
        method = GILL()
    blocks = {
        "prefix": 16_793_600,
        "mapper": 31_958_784,
        "find_text": 1_048_832,
        "find_image": 262_400,
        "image_embedding": 32_768,
        "log_scale": 1,
    }
    counted = dict.fromkeys([*blocks, "decision"], 0)
    for name, parameter in method.named_parameters():
        block = name.split(".")[0]
        if block in counted:
            counted[block] += parameter.numel()
            assert parameter.requires_grad == (block != "decision")
        else:
            assert block in ("language_model", "vision_tower")
            assert not parameter.requires_grad
    assert counted == {**blocks, "decision": 2 * 4096 + 2}  # the seventh, which is trained apart
    assert sum(blocks.values()) == 50_096_385
    assert sum(p.numel() for p in method.language_model.parameters()) == 6_658_473_984
    assert sum(p.numel() for p in method.vision_tower.parameters()) == 303_179_776
    parts = {"tfm": 29_427_712, "fc": 2_097_664, "model": 393_984, "query_embs": 39_424}
    mapper = {n: sum(p.numel() for q, p in method.mapper.named_parameters() if q.split(".")[0] == n) for n in parts}
    assert mapper == parts
    assert method.mapper(torch.empty(2, 8, 4096, device="meta")).shape == (2, 77, 768)
    assert method.words == 50_266


# --- the losses, written out as the released code computes them, one item after the other -------------------------


def rows_of(batch: Batch) -> list[list[int]]:
    return [ids[:end].tolist() for ids, end in zip(batch["input_ids"], batch["length"].tolist(), strict=True)]


def vectors_of(method: GILL, ids: list[int]) -> Tensor:
    table = method.language_model.get_input_embeddings().weight
    return torch.stack([method.image_embedding[i - method.words] if i >= method.words else table[i] for i in ids])


def run(method: GILL, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """States and logits of one sequence; the head is the table with the picture words' vectors behind it."""
    out = method.language_model(inputs_embeds=vectors[None], output_hidden_states=True)
    h = out.hidden_states[-1][0]
    table = torch.cat([method.language_model.get_input_embeddings().weight[: method.words], method.image_embedding])
    return h, h @ table.mT


def by_hand(method: GILL, batch: Batch, pairs: bool = False) -> dict[str, Tensor]:
    """Three readings: captions, texts for retrieval, texts for generation."""
    v = method.vision_tower(clip_pixels(batch["image"])).pooler_output
    k, rows = method.prefix_tokens, rows_of(batch)

    def joined(items: list[tuple[Tensor, list[int]]], start: int) -> list[tuple[Tensor, list[int], list[int]]]:
        """Vectors, labels, and where each item's picture words begin."""
        found = []
        step = 2 if pairs else 1
        for i in range(0, len(items), step):
            group = items[i : i + step]
            x, labels = group[0]
            begins = [len(labels) - R]
            for more, said in group[1:]:
                begins.append(len(labels) + len(said) - 1 - R)
                x = torch.cat([x, more[:start], more[start + 1 :]])
                labels = labels + said[:start] + said[start + 1 :]
            found.append((x, labels, begins))
        return found

    def cross(sequences: list[tuple[Tensor, list[int], list[int]]]) -> Tensor:
        losses = []
        for x, labels, _ in sequences:
            _, logits = run(method, x)
            losses += [cross_entropy(logits[t], torch.tensor(y)) for t, y in enumerate(labels[1:]) if y != IGNORE]
        return torch.stack(losses).mean()

    captions = []
    for row, ids in enumerate(rows):
        picture = (method.prefix.weight @ v[row] + method.prefix.bias).view(k, -1)
        captions.append((torch.cat([picture, vectors_of(method, ids[:-R])]), [IGNORE] * k + ids[:-R]))
    texts = joined([(vectors_of(method, ids), ids[: 1 - R] + [IGNORE] * (R - 1)) for ids in rows], 0)
    h = torch.stack([run(method, x)[0][b : b + R] for x, _, begins in texts for b in begins])
    a = normalize(v @ method.find_image.weight.mT + method.find_image.bias, dim=-1)
    b = normalize(h[:, 0] @ method.find_text.weight.mT + method.find_text.bias, dim=-1)
    scores = method.log_scale.exp() * a @ b.mT
    own = torch.arange(len(a))
    made = method.mapper(h + method.image_embedding)
    found = {
        "captioning": cross(joined(captions, k)),
        "words": cross(texts),
        "retrieval": (cross_entropy(scores, own) + cross_entropy(scores.mT, own)) / 2,
        "generation": ((made - batch["target"]) ** 2).sum(-1).sqrt().mean(),
    }
    # retrieval and generation each weigh their own cross-entropy by a half
    loss = found["captioning"] + 0.5 * found["words"] + found["retrieval"] + 0.5 * found["words"] + found["generation"]
    return {**found, "loss": loss}


@pytest.mark.parametrize("pairs", [False, True])
def test_the_losses_are_those_written_out(pairs: bool) -> None:
    method, batch = model(concatenate=float(pairs))
    ours, theirs = method.loss(batch, rng()), by_hand(method, batch, pairs)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value.detach() if name != "loss" else value, atol=2e-5, rtol=1e-5)
    names = [name for name, p in method.named_parameters() if p.requires_grad]
    wanted = torch.autograd.grad(theirs["loss"], [dict(method.named_parameters())[name] for name in names])
    ours["loss"].backward()
    for name, gradient in zip(names, wanted, strict=True):
        torch.testing.assert_close(dict(method.named_parameters())[name].grad, gradient, atol=2e-5, rtol=1e-4)


def test_what_is_kept_gives_the_same_loss_and_gradients_without_the_tower() -> None:
    (method, batch), (other, _) = model(), model()
    kept = {name: value for name, value in {**batch, **method.cache(batch)}.items() if name != "image"}
    del other.vision_tower
    ours, theirs = other.loss(kept, rng()), method.loss(batch, rng())
    assert "image" not in kept
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5)
    ours["loss"].backward()
    theirs["loss"].backward()
    for (name, a), (_, b) in zip(
        [(n, p) for n, p in other.named_parameters() if p.requires_grad],
        [(n, p) for n, p in method.named_parameters() if p.requires_grad],
        strict=True,
    ):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_states_that_depend_on_a_neighbour_are_not_kept() -> None:
    method, batch = model(concatenate=0.5)
    assert set(method.cache(batch)) == {"pooled"}


def test_retrieval_and_generation_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = model()
    reads: list[int] = []
    whole = method.states
    monkeypatch.setattr(method, "states", lambda *a: (reads.append(a[0].shape[1]), whole(*a))[1])
    method.loss(batch, rng())
    assert reads == [method.prefix_tokens + 5, 8]  # captions after their pictures, and texts, once


def test_losses_of_weight_zero_are_not_computed_and_train_nothing() -> None:
    method, batch = model(weights={"captioning": 0.0, "retrieval": 0.0})
    del method.vision_tower
    assert set(method.loss(batch, rng())) == {"loss", "words", "generation"}
    trained = {name.split(".")[0] for name, p in method.named_parameters() if p.requires_grad}
    assert trained == {"mapper", "image_embedding"}


def test_generation_loss_of_a_hand_made_pair() -> None:
    """Distance 3-4-5: five, not 25, nor its mean over the width; zero and five average over the positions."""
    target = torch.tensor([[[3.0, 4.0, 0.0, 0.0]]])
    assert token_distance(torch.zeros(1, 1, 4), target).item() == 5.0
    two = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    assert token_distance(torch.zeros(1, 2, 2), two).item() == 2.5


def test_infonce_at_its_ends() -> None:
    method, _ = model()
    v, h = torch.ones(4, 16), torch.ones(4, R, 16)
    assert method.retrieval_loss(v, h).item() == pytest.approx(math.log(4), abs=1e-5)
    with torch.no_grad():
        for part in (method.find_image, method.find_text):
            part.weight.copy_(torch.eye(8, 16))
            part.bias.zero_()
    eye = torch.eye(4, 16)
    order = torch.tensor([2, 0, 3, 1])
    aligned = method.retrieval_loss(eye, eye[:, None].expand(-1, R, -1))
    assert aligned < 1e-4
    mixed = torch.randn(4, 16, generator=rng())
    one, same = (method.retrieval_loss(mixed[o], eye[o][:, None]) for o in (torch.arange(4), order))
    assert one.item() == pytest.approx(same.item(), abs=1e-5)
    assert one.item() == pytest.approx(method.retrieval_loss(eye, mixed[:, None]).item(), abs=1e-5)


# --- the traps ----------------------------------------------------------------------------------------------------


def test_training_moves_what_is_learnt_and_not_one_bit_of_what_is_frozen() -> None:
    """The picture words are a parameter of their own: no mask, so no weight decay of frozen rows, and a gradient."""
    method, batch = model()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    fit(method, TensorData(batch), steps=20, batch_size=4, lr=1e-2, weight_decay=0.1, progress=False)
    for name, value in method.state_dict().items():
        frozen = name.startswith(("language_model.", "vision_tower.", "decision."))
        assert torch.equal(value, before[name]) == frozen, name


def test_a_gradient_reaches_the_picture_words_of_captions_without_any() -> None:
    """The head is tied: at every word of a caption they are told not to come yet."""
    method, batch = model(weights={"retrieval": 0.0, "generation": 0.0})
    method.loss(batch, rng())["loss"].backward()
    assert method.image_embedding.grad is not None
    assert (method.image_embedding.grad.abs().sum(1) > 0).all()


def test_the_accident_of_old_libraries_is_gone() -> None:
    """Freezing and then resizing used to leave the whole embedding trainable; now it would train nothing."""
    method, _ = model()
    lm = method.language_model
    lm.resize_token_embeddings(method.words + R, mean_resizing=False)
    assert not lm.get_input_embeddings().weight.requires_grad


def test_masked_gradients_and_weight_decay_shrink_rows_that_were_to_be_frozen() -> None:
    """Why there is no mask: over GILL's schedule the rows come down to 0.889 of their size, though not in bfloat16."""
    rates = [1e-3 * min(1, (step + 1) / 2000) * (0.1 if step >= 10_000 else 1.0) for step in range(20_000)]
    left = math.prod(1 - 0.01 * rate for rate in rates)
    assert left == pytest.approx(0.889, abs=0.02)
    for dtype, moved in ((torch.float32, True), (torch.bfloat16, False)):
        rows = torch.nn.Parameter(torch.randn(50, 4, generator=rng()).to(dtype))
        start = rows.detach().clone()
        optimiser = torch.optim.AdamW([rows], lr=1e-3, weight_decay=0.01)
        for _ in range(5):
            rows.grad = torch.zeros_like(rows)
            optimiser.step()
        assert (not torch.equal(rows, start)) == moved


def test_new_rows_are_not_drawn_from_the_old_ones() -> None:
    """The library's default start of new rows depends on all the old ones; this one does not."""
    one, other = GILL.demo(0)[0], GILL.demo(0)[0]
    assert torch.equal(one.image_embedding, other.image_embedding)
    assert one.image_embedding.std().item() == pytest.approx(0.02, rel=0.3)


def test_only_the_picture_words_logits_depend_on_their_vectors() -> None:
    method, _ = model()
    h = torch.randn(2, 16, generator=rng())
    before = method.logits(h)
    with torch.no_grad():
        method.image_embedding.add_(1)
    after = method.logits(h)
    assert torch.equal(before[:, : method.words], after[:, : method.words])
    assert (before[:, method.words :] != after[:, method.words :]).all()
    assert after.shape == (2, method.words + R)


def test_after_a_step_each_picture_word_has_the_mean_norm_of_the_words() -> None:
    method, _ = model(vocabulary=11)
    direction = normalize(method.image_embedding.detach(), dim=-1)
    method.after_step()
    table = method.language_model.get_input_embeddings().weight[:11]
    size = table.norm(dim=1).mean()
    torch.testing.assert_close(method.image_embedding.norm(dim=1), size.expand(R), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(normalize(method.image_embedding, dim=-1), direction)
    assert rescale(torch.tensor([[3.0, 4.0]]), 10.0).tolist() == [[6.0, 8.0]]


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    method, _ = model()
    method.train()
    assert method.training
    assert method.mapper.training
    assert not method.language_model.training
    assert not method.vision_tower.training


def test_retrieval_looks_at_the_first_picture_word_and_generation_at_all() -> None:
    method, _ = model()
    h = torch.randn(1, R, 16, generator=rng())
    found, made = method.text_vectors(h), method.prompt_embeds(h)
    for place in range(R):
        moved = h.clone()
        moved[0, place] += 1
        assert torch.equal(method.text_vectors(moved), found) == (place > 0)
        assert (method.prompt_embeds(moved) - made).abs().max() > 1e-4
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))


def test_each_query_sees_the_others_and_the_mapper_adds_the_words_vectors() -> None:
    method, _ = model()
    h = torch.randn(1, R, 16, generator=rng())
    before = method.prompt_embeds(h)
    torch.testing.assert_close(before, method.mapper(h + method.image_embedding))
    with torch.no_grad():
        method.mapper.query_embs[0, -1] += torch.arange(16.0)  # the last moves the first: no mask
    assert (method.prompt_embeds(h) - before)[0, 0].abs().max() > 1e-5


# --- writing ------------------------------------------------------------------------------------------------------


def test_only_the_first_picture_word_can_begin_and_its_logit_can_be_scaled() -> None:
    logits = torch.tensor([[1.0, 2.0, -3.0, 9.0, 9.0]])  # two words, three picture words
    assert may_emit(logits, 2).tolist() == [[1.0, 2.0, -3.0, -math.inf, -math.inf]]
    assert may_emit(logits, 2, scale=2.0)[0, 2] == 6.0
    assert may_emit(logits, 2, scale=2.0, allowed=False)[0, 2] == -math.inf
    assert logits[0, 3] == 9.0


def prompts() -> Batch:
    """Interleaved: no picture, one, two; of different lengths."""
    ids = torch.tensor([[0, 3, 4, 5, 6], [0, IMAGE, 7, 0, 0], [IMAGE, 8, IMAGE, 9, 0]])
    pictures = torch.rand(3, 2, 3, 16, 16, generator=rng(5)) * 2 - 1
    return {"input_ids": ids, "length": torch.tensor([5, 3, 4]), "images": pictures}


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_writing_with_and_without_cache_says_the_same(scale: float) -> None:
    method, batch = model()[0], prompts()
    how = {"max_new_tokens": 7, "scale": scale, "min_words": 2, "stop": [19]}
    assert torch.equal(method.generate(batch, **how), method.generate(batch, cached=False, **how))


def test_an_item_writes_the_same_alone() -> None:
    method, batch = model()[0], prompts()
    made = method.generate(batch, max_new_tokens=5, stop=[19])
    for row, images in enumerate((0, 1, 2)):
        end = int(batch["length"][row])
        alone = {"input_ids": batch["input_ids"][row : row + 1, :end], "length": batch["length"][row : row + 1]}
        alone["images"] = batch["images"][row : row + 1, :images]
        one = method.generate(alone, max_new_tokens=5, stop=[19])[0]
        assert made[row, : len(one)].tolist() == one.tolist()


def test_after_the_first_picture_word_all_others_follow_even_beyond_the_limit() -> None:
    method = model()[0]
    tokens = method.generate(prompts(), max_new_tokens=3, min_words=2, scale=1e5, stop=[19])
    first = method.words
    assert tokens.shape[1] == 2 + R
    for row in tokens.tolist():
        if 19 not in row:
            assert row[2:] == [first + i for i in range(R)]
            assert all(token < first for token in row[:2])


def test_states_of_forced_words_are_those_of_a_fresh_reading() -> None:
    """With the published loop the last ones were never computed; here one reading of everything gives them."""
    method, batch = model()[0], prompts()
    tokens = method.generate(batch, max_new_tokens=1, scale=1e5, stop=[19])
    h, places = method.image_states(batch, tokens)
    assert h.shape == (3, R, 16)
    assert places.tolist() == [[0, 0], [1, 0], [2, 0]]
    for row in range(3):
        pictures = iter(method.read_pictures(method.pooled(batch["images"][row])))
        table = method.language_model.get_input_embeddings().weight
        parts = [
            next(pictures) if i == IMAGE else table[i][None] for i in batch["input_ids"][row, : batch["length"][row]]
        ]
        fresh, _ = run(method, torch.cat([*parts, vectors_of(method, tokens[row].tolist())]))
        torch.testing.assert_close(h[row], fresh[-R:], atol=1e-5, rtol=1e-5)


def test_drawn_words_depend_on_the_generator_alone() -> None:
    method, batch = model()[0], prompts()
    how = {"max_new_tokens": 6, "temperature": 2.0, "stop": [19]}
    one, same, other = (method.generate(batch, rng(seed), **how) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert one.shape != other.shape or not torch.equal(one, other)
    with pytest.raises(ValueError, match="needs rng"):
        method.generate(batch, **how)


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 99}, "has 20 word vectors"),
        ({"concatenate": 2.0}, "probability"),
        ({"weights": {"drawing": 1.0}}, "'drawing' is none of"),
        ({"mapper": {"kind": "deep"}}, "'deep' is none of"),
        ({"mapper": {"hidden": 10, "heads": 4}}, "multiple of heads"),
    ],
)
def test_impossible_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GILL(**{**GILL.demo()[0].config, **changes})


def test_a_head_of_its_own_is_refused() -> None:
    settings = {**GILL.demo()[0].config["language_model"], "tie_word_embeddings": False}
    with pytest.raises(ValueError, match="whose head is its embedding"):
        GILL(**{**GILL.demo()[0].config, "language_model": settings})


def test_captions_of_the_demo_are_what_the_helper_makes() -> None:
    _, batch = GILL.demo()
    rows = rows_of(batch)
    again = end_in_image([row[1:-R] for row in rows], 20, R, start=0)
    assert torch.equal(again["input_ids"], batch["input_ids"])
    assert [len(row) for row in join_pairs([torch.tensor(row) for row in rows])] == [
        len(rows[0]) + len(rows[1]) - 1,
        len(rows[2]) + len(rows[3]) - 1,
    ]

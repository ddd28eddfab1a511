"""Oracles of MathGlance: padding done and undone, areas by counting, made-up files of the benchmark's layout."""

import json
import math

import numpy as np
import pytest
import torch

from mmlab.data.worlds.diagram_world import QUESTIONS, diagram_world, one_by_one, profiles
from mmlab.methods.mathglance import (
    MathGlance,
    Question,
    area_of,
    bin_of,
    box_said,
    middle_of,
    overlap,
    picture_at,
    read_benchmark,
    read_responses,
    read_structure,
    score,
    write_structure,
)
from mmlab.methods.medrega import iou_table


@pytest.mark.parametrize("size", [(400, 280), (200, 500), (300, 300)])
def test_a_box_of_the_padded_square_comes_back(size):
    w, h = size
    picture = np.zeros((h, w), bool)
    picture[60:130, 40:180] = True
    longest = max(size)
    above, before = (longest - h) // 2, (longest - w) // 2
    square = np.pad(picture, ((above, longest - h - above), (before, longest - w - before)))
    rows, columns = np.nonzero(square.any(1))[0], np.nonzero(square.any(0))[0]
    ends = columns[0] / longest, rows[0] / longest, (columns[-1] + 1) / longest, (rows[-1] + 1) / longest
    assert box_said(str(list(map(float, ends))), size, "padded") == pytest.approx((40, 60, 180, 130))


def test_the_other_conventions():
    assert box_said("(10, 20), (30, 40.5)", (400, 280), "pixels") == (10, 20, 30, 40.5)
    assert box_said("[0,0,999,999]", (400, 280), "grid") == (0, 0, 400, 280)
    assert box_said("[.25, -0.1, 0.5, 1.]", (100, 100), "padded") == (25, 0, 50, 100)  # what is outside is cut off
    for unreadable in ("", "I cannot tell", "[1, 2, 3]", "[30, 20, 10, 40]", "[10, 40, 30, 40]"):
        assert box_said(unreadable, (400, 280), "pixels") is None


def test_overlaps_are_those_of_another_transcription():
    rng = torch.Generator().manual_seed(0)
    boxes = torch.rand(60, 4, generator=rng).sort(-1).values.double()
    table = iou_table(boxes, boxes)
    for i in range(0, 60, 7):
        for j in range(60):
            assert overlap(boxes[i].tolist(), boxes[j].tolist()) == pytest.approx(float(table[i, j]))
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


@pytest.fixture
def layout(tmp_path):
    """Made-up files: an annotation, answers, and a picture under _aux that the annotation has under aux."""
    choices = "Which?\nChoices:\nA:disc\nB:line\nC:cube"

    def entry(at, task, answer, image, level="one", text=choices):
        more = {"attribute": {}, "relation": {}, "aux": "", "level": level}
        rest = {"image": image, "answer": answer, "question_type": "x", "metadata": more}
        return {"sample_index": at, "problem_version": f"task_{task}", "source": "plane", "question": text} | rest

    entries = [
        entry(0, "cls", "A", "p/a.png"),
        entry(1, "cls", "B", "p/a.png"),
        entry(2, "cnt", "C", "visual_distractors/aux/b.png", "other"),
        entry(3, "grd", [10, 20, 110, 120], "p/a.png", text="Where is the disc?"),
        entry(4, "grd", [0, 0, 50, 50], "p/a.png", text="Where is the line?"),
        entry(5, "rlat", "D", "p/a.png"),
    ]
    (tmp_path / "annotation.json").write_text(json.dumps(entries))
    said = {0: "A", 1: "either A or B", 2: None, 3: "[10, 20, 110, 120]", 4: "no box", 5: "D"}
    lines = [json.dumps({"sample_index": at, "response": text}) for at, text in said.items()]
    (tmp_path / "answers.json").write_text("\n".join(lines) + "\n")
    (tmp_path / "visual_distractors" / "_aux").mkdir(parents=True)
    (tmp_path / "visual_distractors" / "_aux" / "b.png").touch()
    return tmp_path


def test_the_benchmark_is_read_and_scored(layout):
    questions = read_benchmark(layout / "annotation.json")
    assert [q.task for q in questions] == ["cls", "cls", "cnt", "grd", "grd", "rlat"]
    assert questions[0].letters == ["A", "B", "C"]
    assert questions[3].answer == (10, 20, 110, 120)
    sizes = {3: (200, 200), 4: (200, 200)}
    said = read_responses(layout / "answers.json")
    scores = score(questions, said, sizes, "pixels")
    assert scores["cls"] == {"right": 1, "unreadable": 1, "of": 2}
    assert scores["cnt"] == {"right": 0, "unreadable": 1, "of": 1}
    assert scores["grd"] == {"right": 1, "unreadable": 1, "of": 2}
    assert scores["rlat"] == {"right": 0, "unreadable": 1, "of": 1}  # D is none of its options
    assert score(questions, said, sizes, "padded")["grd"]["right"] == 0
    assert score(questions, {}, sizes, "pixels", by="level")["other"] == {"right": 0, "unreadable": 1, "of": 1}
    image = questions[2].image
    assert picture_at(layout, image).parent.name == "_aux"
    with pytest.raises(FileNotFoundError, match="nor under _aux"):
        picture_at(layout, "p/a.png")


def test_the_threshold_counts_from_its_edge():
    at = Question(0, "grd", "", "", "", "", (0.0, 0.0, 100.0, 100.0))
    for x2, right in ((65, 1), (64, 0)):
        assert score([at], {0: f"[0, 0, {x2}, 100]"}, {0: (100, 100)}, "pixels")["grd"]["right"] == right


def test_areas_are_those_of_counted_points():
    at = (torch.arange(400) + 0.5) / 400
    y, x = torch.meshgrid(at, at, indexing="ij")
    u, v = (x - 0.5) / 0.3, (y - 0.4) / 0.3
    inside = [u**2 + v**2 < 1, torch.maximum(u.abs(), v.abs()) < 1, (v < 1) & (2 * u.abs() < v + 1)]
    for shape, mask in enumerate(inside):
        box = torch.tensor([0.2, 0.1, 0.8, 0.7])
        assert float(area_of(torch.tensor(shape), box)) == pytest.approx(float(mask.float().mean()), abs=2e-3)


def test_bins_and_their_middles():
    value = torch.linspace(0, 1, 101)
    assert (middle_of(bin_of(value, 10), 10) - value).abs().max() <= 0.05 + 1e-6
    assert bin_of(torch.tensor([0.0, 1.0]), 10).tolist() == [0, 9]


def test_structures_come_back_and_what_is_missing_is_minus_one():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        facts = [*torch.randint(3, (3,), generator=rng).tolist(), *torch.randint(12, (12,), generator=rng).tolist(),
                 *torch.randint(2, (3,), generator=rng).tolist()]  # fmt: skip
        text = write_structure(facts)
        assert read_structure(text) == facts
        assert read_structure(" ; ".join(reversed(text.split(" ; ")))) == facts
    assert read_structure("red circle [1,2,3") == [0, *[-1] * 17]
    assert read_structure("") == [-1] * 18


def test_facts_asked_one_by_one_are_the_same_facts():
    facts = torch.tensor([[2, 0, 1, *range(12), 1, 0, 1], [-1] * 18])
    found = one_by_one(facts)
    assert found[0, :3, 1:].flatten().tolist() == list(range(12))
    assert found[0, 3:6, 0].tolist() == [2, 0, 1]
    assert found[0, 6:, 0].tolist() == [0, 1, 0]  # A is yes
    assert (found[0] >= 0).sum() == 18
    assert (found[1] == -1).all()
    assert QUESTIONS[6].startswith("Is red left of green? A: yes")


@pytest.mark.parametrize("apart", [False, True])
def test_the_loss_is_that_of_each_word_by_itself(apart):
    method, batch = MathGlance.demo()
    method.apart = apart
    batch = {k: v.clone() for k, v in batch.items()}
    batch["facts"][::2] = -1
    batch["ask"][1::2] = -1
    batch["words"][1::2] = -1
    losses = method.loss(batch, torch.Generator())
    every = torch.arange(9).expand(24, -1)
    with torch.no_grad():
        answers, structure = method.answers(batch["profiles"], every), method.structure(batch["profiles"])
    asked, told = [], []
    for n in range(24):
        if n % 2 == 0:
            law = answers[n, batch["ask"][n]].softmax(-1)
            asked += [-math.log(law[k, w]) for k, w in enumerate(batch["words"][n].tolist()) if w >= 0]
        elif apart:
            right = one_by_one(batch["facts"])[n]
            told += [-math.log(answers[n, q].softmax(-1)[k, right[q, k]])
                     for q in range(9) for k in range(5) if right[q, k] >= 0]  # fmt: skip
        else:
            law = structure[n].softmax(-1)
            told += [-math.log(law[k, w]) for k, w in enumerate(batch["facts"][n].tolist())]
    assert losses["asked"].item() == pytest.approx(np.mean(asked), rel=1e-4)
    assert losses["described"].item() == pytest.approx(np.mean(told), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(np.mean(asked) + np.mean(told), rel=1e-4)


def test_answers_and_descriptions_are_texts_of_the_likeliest_words():
    method, batch = MathGlance.demo()
    for ask, words, text in zip(
        batch["ask"].tolist(), method.predict(batch).tolist(), method.write(batch), strict=True
    ):
        if ask < 3:
            box = [(k + 0.5) / 4 for k in words[1:]]
            assert text == "[" + ", ".join(f"{n:.3f}" for n in box) + "]"
        else:
            assert text == "ABCD"[words[0]]
    facts = torch.tensor([read_structure(text) for text in method.describe(batch["profiles"])])
    assert (facts >= 0).all()
    assert (facts[:, :3] < 3).all()
    assert (facts[:, 15:] < 2).all()


def test_profiles_are_means_of_rows_and_columns():
    images = torch.rand(2, 3, 5, 5)
    seen = profiles(images)
    assert seen.shape == (2, 30)
    torch.testing.assert_close(seen[:, :5], images[:, 0].mean(1))
    torch.testing.assert_close(seen[:, -5:], images[:, 2].mean(2))


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="bins=2"):
        MathGlance(6, 2)
    (tmp_path / "a.json").write_text(json.dumps([{"sample_index": 0}]))
    with pytest.raises(ValueError, match="entry 0 has no field"):
        read_benchmark(tmp_path / "a.json")


def test_words_of_the_world_are_those_of_its_figures():
    world = diagram_world()
    images, shape, box = world.draw(40, torch.Generator().manual_seed(0))
    facts, words = world.facts(shape, box), world.words(shape, box)
    assert torch.equal(facts[:, 3:15].reshape(-1, 3, 4), bin_of(box, 10))
    area = area_of(shape, box)
    assert torch.equal(words[:, 9, 0], (area[:, 0] < area[:, 1]).long())
    assert (words[:, 9:, 1:] == -1).all()
    ink = torch.einsum(
        "nchw,ck->nkhw", images + 0.1, torch.linalg.inv(torch.tensor([[1, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 1]]))
    )
    columns = (ink > 0.6).any(2)
    first = columns.float().argmax(2) / 20
    assert ((first - box[..., 0]).abs() < 0.1).float().mean() > 0.9
    with pytest.raises(ValueError, match="noise=-1"):
        diagram_world(noise=-1.0)

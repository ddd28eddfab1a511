"""Prototypes, measures and triplets beside scikit-learn and loops; the layout of the release is read, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, top_k_accuracy_score
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.methods.music_two_tower import (
    MusicTwoTower,
    centred,
    leave_one_out,
    measures,
    prototypes,
    read_release,
    triplet_accuracy,
    triplets,
)


def sounds(count: int = 60, classes: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (count,), generator=rng)
    label[: 2 * classes] = torch.arange(2 * classes) % classes
    means = torch.randn(classes, 9, generator=rng, dtype=torch.float64)
    return means[label] + torch.randn(count, 9, generator=rng, dtype=torch.float64), label


def test_prototypes_are_directions_of_raw_means() -> None:
    a, label = sounds()
    for k, c in enumerate(prototypes(a, label, 6)):
        m = a[label == k].mean(0)
        assert torch.allclose(c, m / m.norm())
    with pytest.raises(ValueError, match="class 6 of 7 has no sound"):
        prototypes(a, label, 7)


def test_leaving_one_out_is_the_loop() -> None:
    a, label = sounds()
    found = leave_one_out(a, label, 6)
    for i in range(len(a)):
        others = torch.arange(len(a)) != i
        for k, c in enumerate(prototypes(a[others], label[others], 6)):
            if k == label[i] or k not in label[i : i + 1]:
                expected = F.cosine_similarity(a[i], prototypes(a[others], label[others], 6)[k], dim=0)
                assert torch.allclose(found[i, k], expected), c
    with pytest.raises(ValueError, match="needs two sounds"):
        leave_one_out(a[:7], torch.arange(7) % 6, 6)


def test_measures_are_those_of_scikit_learn_in_the_calls_of_the_release() -> None:
    a, label = sounds(200)
    scores = (F.normalize(a, dim=1) @ prototypes(a, label, 6).T).float()
    scores[::7] = scores[::7].round(decimals=1)  # some equal scores within a class's column
    found, truth = measures(scores.double(), label), F.one_hot(label, 6).numpy()
    s = scores.double().numpy()
    assert found["F1"] == pytest.approx(f1_score(label, s.argmax(1), average="weighted"), abs=1e-12)
    assert found["ROC-AUC"] == pytest.approx(roc_auc_score(truth, s), abs=1e-12)
    assert found["PR-AUC"] == pytest.approx(average_precision_score(truth, s), abs=1e-12)
    a, label = sounds(200, seed=1)
    s = (F.normalize(a, dim=1) @ prototypes(a, label, 6).T).numpy()  # without ties, which count as misses here
    found = measures(torch.from_numpy(s), label)
    for k in range(1, 6):
        assert found[f"top-{k}"] == pytest.approx(top_k_accuracy_score(label, s, k=k, labels=range(6)), abs=1e-6)


def test_centring_takes_away_what_all_share() -> None:
    a, label = sounds()
    t = prototypes(a, label, 6)
    shift = 5 * torch.ones(9, dtype=torch.float64)
    assert (F.normalize(a + shift, dim=1) @ F.normalize(t - shift, dim=1).T).max() < 0
    unit_a, unit_t = F.normalize(a, dim=1), F.normalize(t, dim=1)
    expected = F.cosine_similarity((unit_a - unit_a.mean(0))[:, None], (unit_t - unit_t.mean(0))[None], dim=-1)
    assert torch.allclose(centred(a, t), expected)


def test_triplets_by_loops_and_what_later_classes_leave_out() -> None:
    S = torch.randint(-1, 4, (7, 7), generator=torch.Generator().manual_seed(0))
    S = (S + S.T) // 2
    for later in (False, True):
        start = range(7)
        by_hand = [
            [a, p, n]
            for a in start
            for p in (range(a + 1, 7) if later else start)
            for n in (range(a + 1, 7) if later else start)
            if len({a, p, n}) == 3 and S[a, p] > -1 and S[a, p] > S[a, n]
        ]
        assert triplets(S, -1, later).tolist() == by_hand
    family = torch.tensor([0, 0, 1, 1])
    S = (family[:, None] == family).long()
    assert len(triplets(S)) == 8
    assert len(triplets(S, later=True)) == 2
    order = torch.tensor([0, 2, 1, 3])
    assert len(triplets(S[order][:, order], later=True)) == 3
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert triplet_accuracy(x, triplets(S)).mean() == 1
    assert triplet_accuracy(torch.ones(4, 2), triplets(S)).sum() == 0


def test_solved_from_sounds_or_from_words() -> None:
    method, batch = MusicTwoTower.demo()
    found = method.solve(TensorData(batch)).predict(batch)
    cosines = F.normalize(batch["audio"], dim=1) @ prototypes(batch["audio"], batch["label"], 3).T
    assert torch.allclose(found, (20 * cosines).softmax(1), atol=1e-6)
    read = MusicTwoTower(8, 3, source="words").solve(TensorData(batch))
    assert torch.allclose(read.classes, F.normalize(batch["prompt"][:3], dim=1), atol=1e-6)
    with pytest.raises(ValueError, match="sounds or words"):
        MusicTwoTower(8, 3, source="both")  # type: ignore[arg-type]


def made_up(root: Path, home: str = "model_embeddings") -> tuple[torch.Tensor, torch.Tensor]:
    """Files in the layout of the release: six classes, twenty sounds."""
    a, label = sounds(20)
    for kind, name, x in (("audio", "tinysol", a.numpy()), ("text", "muscall_prompt", np.eye(6, 9))):
        folder = root / home / "muscall" / kind / "joint_space"
        folder.mkdir(parents=True)
        np.save(folder / f"{name}.npy", x.astype(np.float32))
    rows = [f"note{i}," + ",".join(str(int(k == y)) for k in range(6)) for i, y in enumerate(label.tolist())]
    table = "\n".join(["song,tuba,horn,trombone,trumpet,cello,viola", *rows, ""])
    (root / "tinysol_groundtruth_reordered.csv").write_text(table)
    np.save(root / "tinysol_instrument_similarity.npy", np.eye(6, dtype=np.int64))
    return a, label


@pytest.mark.parametrize("home", ["model_embeddings", "model_evaluation"])
def test_the_layout_of_the_release_is_read(tmp_path: Path, home: str) -> None:
    a, label = made_up(tmp_path, home)
    read = read_release(tmp_path, "muscall", "muscall_prompt")
    assert torch.allclose(read.audio, a, atol=1e-6)
    assert torch.equal(read.label, label)
    assert read.names == ["tuba", "horn", "trombone", "trumpet", "cello", "viola"]
    assert read.text.shape == (6, 9)
    assert torch.equal(read.kinship, torch.eye(6).double())


def test_what_is_not_the_release_is_refused_in_a_sentence(tmp_path: Path) -> None:
    made_up(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model_evaluation/clap"):
        read_release(tmp_path, "clap", "muscall_prompt")
    with pytest.raises(FileNotFoundError):
        read_release(tmp_path, "muscall", "definition")
    text = tmp_path / "model_embeddings" / "muscall" / "text" / "joint_space" / "muscall_prompt.npy"
    np.save(text, np.eye(5, 9))
    with pytest.raises(ValueError, match="20 sounds of 6 classes do not fit 20 vectors of sounds, 5 of prompts"):
        read_release(tmp_path, "muscall", "muscall_prompt")
    text.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="is no array of numbers"):
        read_release(tmp_path, "muscall", "muscall_prompt")
    np.save(text, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ValueError, match="is no array of numbers"):
        read_release(tmp_path, "muscall", "muscall_prompt")
    (tmp_path / "tinysol_groundtruth_reordered.csv").write_text("song,a,b\nx,1,1\n")
    np.save(text, np.eye(6, 9))
    with pytest.raises(ValueError, match="must have one 1 in each row"):
        read_release(tmp_path, "muscall", "muscall_prompt")

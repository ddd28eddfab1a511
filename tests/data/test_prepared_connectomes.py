"""The two prepared sets of real connectivity: what they hold, and facts that wrong pairing would break."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmlab.data.connectome import ConnectomePairs, matrices
from mmlab.data.sets.hcp_rest_task30 import acknowledgement, hcp_rest_task30, rest_activation
from mmlab.data.sets.mist122_rest_pain import mist122_rest_pain, unpaired_rest_task
from mmlab.metrics.connectome import correlate, identification

DATA = os.environ.get("MMLAB_DATA")


def real(test: Callable[..., None]) -> Callable[..., None]:
    skip = pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
    marked: Callable[..., None] = pytest.mark.data(skip(test))
    return marked


def identified(pairs: ConnectomePairs) -> float:
    return identification(correlate(pairs.source, pairs.target))


@real
def test_halves_of_a_rest_scan() -> None:
    pairs = hcp_rest_task30()
    assert pairs.source.shape == pairs.target.shape == (30, 64620)
    assert pairs.source.dtype == torch.float32
    assert identified(pairs) == 1.0  # every person's half 1 finds their half 2
    similarity = correlate(pairs.source, pairs.target)
    assert float(similarity.diagonal().mean()) == pytest.approx(0.78, abs=0.01)
    assert "WU-Minn Consortium" in pairs.acknowledgement == acknowledgement()
    whole = hcp_rest_task30("whole", "half1")
    assert torch.equal(whole.target, pairs.source)
    assert float(torch.linalg.eigvalsh(matrices(whole.source[:3].double())).min()) > 0.02


@real
def test_activation_is_on_the_side_that_the_regions_say() -> None:
    data = rest_activation()
    assert data.activation.shape == (30, 24, 360)
    hands = [data.conditions.index(f"MOTOR:{hand}") for hand in ("rh", "lh")]
    difference = (data.activation[:, hands[0]] - data.activation[:, hands[1]]).mean(0)
    assert data.regions.networks[int(difference.argmax())] == "left hemisphere"
    assert data.regions.networks[int(difference.argmin())] == "right hemisphere"
    assert torch.equal(data.connectivity, hcp_rest_task30("whole", "half1").source)


@real
def test_passive_and_regulated_pain_are_of_the_same_people() -> None:
    pairs = mist122_rest_pain()
    assert len(pairs) == 32
    assert pairs.source.shape == (32, 7381)
    assert identified(mist122_rest_pain("passive", "run03")) > 0.6  # 0 if the runs were paired one off
    assert identified(mist122_rest_pain("run03", "run07")) == pytest.approx(27 / 33)


@real
def test_states_follow_the_instruction() -> None:
    third, seventh = mist122_rest_pain("run03", "run07").source, mist122_rest_pain("run03", "run07").target
    both = mist122_rest_pain("regulate", "passive")
    assert torch.allclose(both.source, (third + seventh)[:32] / 2, atol=1e-6)
    pairs = mist122_rest_pain("up", "down")
    assert len(pairs) == 32
    for i, subject in enumerate(pairs.subjects):
        person = int(subject.removeprefix("pain-"))
        runs = {seventh[person].numpy().tobytes(), third[person].numpy().tobytes()}
        assert runs == {pairs.source[i].numpy().tobytes(), pairs.target[i].numpy().tobytes()}


@real
def test_rest_people_are_others() -> None:
    data = unpaired_rest_task()
    assert data.rest.shape == (90, 7381)
    assert data.task.shape == (32, 7381)
    assert set(data.site) == {"bochum", "essen"}
    assert bool(torch.isfinite(data.task).all())
    assert len(set(data.regions.networks)) == 7


def test_unknown_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no part 'motor' of the rest scan: choose from half1"):
        hcp_rest_task30("half1", "motor")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (hcp_rest_task30, "hcp_rest_task30 needs .*HCP Open Access Data Use Terms.*MMLAB_DATA"),
        (mist122_rest_pain, "mist122_rest_pain needs .*connattractor.*MMLAB_DATA"),
    ],
)
def test_missing_sets_say_where_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[], object], sentence: str
) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=sentence):
        load()


def test_mist_states_on_made_up_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which run is which state, without the real data."""
    from mmlab.data.files import registry

    rng = np.random.default_rng(0)
    fc = rng.uniform(-1, 1, (4, 3, 3)).astype(np.float32)
    fc[3, 0] = np.nan  # the last person has no passive run
    arrays = {
        "fc": fc,
        "condition": np.array(["run01", "run03", "run07"]),
        "regulate": np.array(
            [["n/a", "up", "down"], ["n/a", "down", "up"], ["n/a", "n/a", "up"], ["n/a", "up", "down"]]
        ),
        "region": np.array(["a", "b", "c"]),
        "module": np.array(["x", "x", "y"]),
    }
    monkeypatch.setattr(registry, "load_arrays", lambda name, file: arrays)
    pairs = mist122_rest_pain("up", "down")
    assert pairs.subjects == ("pain-00", "pain-01", "pain-03")
    assert np.array_equal(pairs.source, fc[[0, 1, 3], [1, 2, 1]])
    assert np.array_equal(pairs.target, fc[[0, 1, 3], [2, 1, 2]])
    pairs = mist122_rest_pain()
    assert pairs.subjects == ("pain-00", "pain-01", "pain-02")
    assert np.allclose(pairs.target, fc[:3, 1:].mean(1))
    with pytest.raises(ValueError, match="no state 'rest'"):
        mist122_rest_pain("rest", "passive")  # type: ignore[arg-type]

"""Our own code agrees with rivals that were asked in environments of their own; here their answers are only read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mmlab.diffusion.coupling import entropic_plan, optimal_partners
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.methods.flow_matching import point_on_path, straight_velocity

ROOT = Path(__file__).parents[1]
RIVALS = sorted(path.parent.name for path in (ROOT / "benchmarks" / "rivals").glob("*/measure.py"))


def answers(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / "rivals" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RIVALS)
def test_answers_say_what_they_are_answers_to(name) -> None:
    """Lock and question are those that lie here, or the rival has to be asked again."""
    folder, said = ROOT / "benchmarks" / "rivals" / name, answers(name)["provenance"]
    again = f"run {said['command']}"
    assert said["lock"] == hashlib.sha256((folder / "requirements.txt").read_bytes()).hexdigest(), again
    assert said["question"] == hashlib.sha256((folder / "measure.py").read_bytes()).hexdigest(), again
    asked = (folder / "requirements.in").read_text(encoding="utf-8").split("\n")[0]
    package, version = asked.split("==")
    assert said["versions"][package] == version
    lock = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert f"{package}=={version}" in lock
    for block in lock.replace("\\\n", " ").splitlines():
        assert "--hash=sha256:" in block, block.split()[0]


def test_the_contrastive_loss_is_that_of_open_clip() -> None:
    said = answers("open_clip")
    image, text = (torch.tensor(said[key], dtype=torch.float64) for key in ("image", "text"))
    ours = soft_contrastive(image, text, identity_targets(len(image), image), 1 / said["scale"])
    assert float(ours) == pytest.approx(said["clip loss"], abs=1e-9)


def test_the_optimal_plan_and_its_pairs_are_those_of_torchcfm() -> None:
    said = answers("torchcfm")
    x0, x1 = torch.tensor(said["x0"]), torch.tensor(said["x1"])
    assert optimal_partners(x0, x1).tolist() == said["partners"]


def test_the_entropic_plan_is_that_of_torchcfm() -> None:
    said = answers("torchcfm")
    plan = entropic_plan(torch.tensor(said["x0"]), torch.tensor(said["x1"]), said["regularisation"])
    np.testing.assert_allclose(plan.numpy(), np.array(said["entropic plan"]), atol=1e-5)


def test_points_and_velocities_of_the_paths_are_those_of_torchcfm() -> None:
    said = answers("torchcfm")
    x0, x1, noise = (torch.tensor(said[key]) for key in ("x0", "x1", "noise"))
    t = torch.tensor(said["t"])[:, None]
    torch.testing.assert_close(point_on_path(x0, x1, t, said["sigma"], noise), torch.tensor(said["point"]))
    torch.testing.assert_close(straight_velocity(x0, x1), torch.tensor(said["velocity"]))


def test_bradley_terry_of_evalica_is_the_maximum_of_the_likelihood() -> None:
    """What our own statistics are to be held against is right itself: by another road to the same strengths."""
    said = answers("evalica")
    names = list(said["bradley_terry"])
    first, second = (np.array([names.index(vote[k]) for vote in said["votes"]]) for k in (0, 1))
    share = np.array([{"first": 1.0, "second": 0.0, "tie": 0.5}[vote[2]] for vote in said["votes"]])

    def loss(strength: np.ndarray) -> float:
        odds = strength[first] - strength[second]
        return float((np.logaddexp(0, odds) - share * odds).sum())

    found = minimize(loss, np.zeros(len(names)), tol=1e-12).x
    theirs = np.log(list(said["bradley_terry"].values()))
    np.testing.assert_allclose(found - found.mean(), theirs - theirs.mean(), atol=2e-4)


def test_krippendorffs_alpha_of_evalica_is_that_of_its_definition() -> None:
    said = answers("evalica")
    ratings = [[row[unit] for row in said["ratings"] if row[unit] is not None] for unit in range(40)]
    units = [unit for unit in ratings if len(unit) > 1]
    every = [value for unit in units for value in unit]

    def disagreement(pairs: list[tuple[int, int]], weight: float) -> tuple[float, float]:
        return weight * sum(a != b for a, b in pairs), weight * sum((a - b) ** 2 for a, b in pairs)

    within = np.zeros(2)
    for unit in units:
        pairs = [(a, b) for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j]
        within += disagreement(pairs, 1 / (len(unit) - 1))
    pairs = [(a, b) for i, a in enumerate(every) for j, b in enumerate(every) if i != j]
    without = np.array(disagreement(pairs, 1 / (len(every) - 1)))
    nominal, interval = 1 - within / without
    assert nominal == pytest.approx(said["alpha"]["nominal"], abs=1e-9)
    assert interval == pytest.approx(said["alpha"]["interval"], abs=1e-9)


def projection(view: np.ndarray) -> np.ndarray:
    """Onto the columns of a centred view, (N, N)."""
    q = np.linalg.qr(view - view.mean(0))[0]
    return q @ q.T


def test_canonical_correlations_of_cca_zoo_are_the_cosines_between_the_views() -> None:
    said = answers("cca_zoo")
    views = [np.array(view) for view in said["views"]]
    first, second = (np.linalg.qr(view - view.mean(0))[0] for view in views[:2])
    cosines = np.linalg.svd(first.T @ second, compute_uv=False)
    np.testing.assert_allclose(cosines[:3], said["correlations"], atol=1e-6)


def test_the_shared_variables_of_cca_zoo_are_eigenvectors_of_the_sum_of_projections() -> None:
    said = answers("cca_zoo")
    total = sum(projection(np.array(view)) for view in said["views"])
    values, vectors = np.linalg.eigh(total)
    assert values[-2] > values[-3] + 1e-3
    for k in range(2):
        assert abs(vectors[:, -1 - k] @ np.array(said["shared variables"])[:, k]) == pytest.approx(1, abs=1e-6)

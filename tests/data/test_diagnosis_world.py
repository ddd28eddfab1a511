"""The world of diagnoses: its laws, its ceiling, and that the same arguments make the same world."""

import math

import pytest
import torch

from mmlab.data.connectome import matrices
from mmlab.data.worlds.diagnosis_world import diagnosis_world


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_same_arguments_make_the_same_world() -> None:
    one, same, other = diagnosis_world(seed=3), diagnosis_world(seed=3), diagnosis_world(seed=4)
    assert torch.equal(one.draw(6, _rng()).tensors["target"], same.draw(6, _rng()).tensors["target"])
    assert not torch.equal(one.root, other.root)
    data = one.draw(6, _rng())
    assert data.tensors["label"].tolist() == [0, 1, 0, 1, 0, 1]
    full = matrices(data.tensors["target"].double())
    assert full.shape == (6, 16, 16)
    assert torch.linalg.eigvalsh(full).min() > 0


def test_long_scans_show_the_covariance_of_their_latents() -> None:
    """The mean over many people, by the frames and by the formula."""
    world = diagnosis_world("shift", 5, separation=3.0, frames=400)
    made = matrices(world.draw(1200, _rng()).tensors["target"][1::2].double()).mean(0)
    z = torch.randn(4000, 5, generator=_rng(1), dtype=torch.float64)
    z[:, 0] += 3.0
    covariance = world.root @ torch.linalg.matrix_exp(torch.einsum("sk,kij->sij", z, world.directions)) @ world.root
    scale = covariance.diagonal(dim1=1, dim2=2).rsqrt()
    expected = (covariance * scale[:, :, None] * scale[:, None, :]).mean(0)
    torch.testing.assert_close(made, expected, atol=0.06, rtol=0)
    assert float((made - matrices(world.draw(1200, _rng()).tensors["target"][::2].double()).mean(0)).abs().max()) > 0.15


@pytest.mark.parametrize("kind", ["shift", "subtypes"])
def test_the_ceiling_is_the_accuracy_of_the_likelihood_ratio(kind) -> None:
    world = diagnosis_world(kind, 4, separation=1.7)
    z = torch.randn(400_000, generator=_rng(), dtype=torch.float64)
    sign = torch.randint(0, 2, z.shape, generator=_rng(1)) * 2 - 1 if kind == "subtypes" else 1
    ill = z + 1.7 * sign

    def ratio(x: torch.Tensor) -> torch.Tensor:
        up = 1.7 * x - 1.7**2 / 2
        return torch.logaddexp(up, -1.7 * x - 1.7**2 / 2) - math.log(2) if kind == "subtypes" else up

    found = float(((ratio(z) < 0).double().mean() + (ratio(ill) > 0).double().mean()) / 2)
    assert world.ceiling() == pytest.approx(found, abs=3e-3)


def test_subtypes_have_nearly_the_mean_of_the_controls() -> None:
    gaps = {}
    for kind in ("shift", "subtypes"):
        data = diagnosis_world(kind, 6, separation=3.0).draw(2000, _rng()).tensors
        ill = data["label"] == 1
        gaps[kind] = float((data["target"][ill].mean(0) - data["target"][~ill].mean(0)).norm())
    assert gaps["subtypes"] < gaps["shift"] / 3


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean"):
        diagnosis_world("subtype")
    with pytest.raises(ValueError, match="frames"):
        diagnosis_world(regions=30, frames=20)
    with pytest.raises(ValueError, match="positive, finite"):
        diagnosis_world(separation=0.0)

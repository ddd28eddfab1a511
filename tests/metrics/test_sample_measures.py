"""Kernel distance, precision and recall, and feature extraction, by hand and in expectation."""

import sys

import pytest
import torch
from torch import nn

from mmlab.metrics.features import PrincipalComponents, alignment, extract, inception, resize
from mmlab.metrics.kernel_distance import kernel_distance, squared_mmd
from mmlab.metrics.precision_recall import expected_coverage, precision_recall


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_squared_discrepancy_by_hand():
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    # k(a, b) = (ab + 1)^3: inside x 27, inside y 1, between (1, 64, 1, 343)
    assert squared_mmd(x, y) == pytest.approx(27 + 1 - 2 * (1 + 64 + 1 + 343) / 4)


def test_it_is_zero_on_average_for_one_law_even_at_a_hundred_points():
    rng = generator()
    draws = torch.tensor([squared_mmd(*torch.randn(2, 100, 16, generator=rng)) for _ in range(200)])
    assert abs(draws.mean()) < 3 * draws.std() / 200**0.5
    assert squared_mmd(*torch.randn(2, 100, 16, generator=rng) + torch.tensor([0.0, 0.5])[:, None, None]) > draws.max()


def test_subsets_as_large_as_the_sets_all_give_the_same():
    x, y = torch.randn(2, 30, 4, generator=generator())
    mean, deviation = kernel_distance(x, y, generator(), subsets=5)
    assert mean == pytest.approx(squared_mmd(x, y))
    assert deviation == pytest.approx(0, abs=1e-12)
    assert kernel_distance(x, y, generator(), subsets=5, size=10).deviation > 0


def test_four_measures_on_a_line_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # to the nearest other one: 1, 1, 1, 8
    generated = torch.tensor([[0.5], [4.0], [50.0]])  # 3.5, 3.5, 46
    found = precision_recall(generated, real, neighbours=1)
    assert found.precision == pytest.approx(2 / 3)  # 0.5 among the first three, 4 in the ball of 10, 50 nowhere
    assert found.recall == pytest.approx(1)  # 10 is 6 from 4 but 40 from 50
    assert found.density == pytest.approx((2 + 1 + 0) / 3)
    assert found.coverage == pytest.approx(3 / 4)  # the ball about 2 reaches from 1 to 3


def test_coverage_and_density_of_a_perfect_sampler():
    rng = generator()
    found = [precision_recall(*torch.randn(2, 300, 6, generator=rng)) for _ in range(5)]
    assert sum(one.coverage for one in found) / 5 == pytest.approx(expected_coverage(300, 300), abs=0.01)
    assert sum(one.density for one in found) / 5 == pytest.approx(1, abs=0.05)
    assert expected_coverage(1000, 1000) == pytest.approx(0.96898, abs=1e-5)
    assert sum(one.precision for one in found) / 5 < 0.97  # not one, though the sampler is perfect


def test_a_sampler_of_one_mode_is_precise_and_covers_half():
    rng = generator()
    real = torch.randn(400, 2, generator=rng) + 20 * torch.randint(0, 2, (400, 1), generator=rng)
    found = precision_recall(torch.randn(400, 2, generator=rng), real)
    assert found.precision > 0.9
    assert 0.4 < found.coverage < 0.6


def test_pictures_go_to_features_in_pieces_and_bytes_as_numbers():
    pictures = torch.randint(0, 256, (7, 3, 8, 8), generator=generator(), dtype=torch.uint8)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Dropout(0.5)).train()
    whole = extract(pictures, network)
    torch.testing.assert_close(extract(pictures.float() / 255, network, batch_size=2), whole)
    assert network.training
    assert whole.shape == (7, 5)
    assert whole.dtype == torch.float64


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        (torch.zeros(4, 8, 8, 3), r"movedim"),
        (torch.zeros(4, 3, 8), r"\(N, C, H, W\)"),
        (torch.zeros(0, 3, 8, 8), r"\(N, C, H, W\)"),
        (torch.full((4, 3, 8, 8), -1.0), r"-1 to -1 .* \(x \+ 1\) / 2"),
        (torch.full((4, 3, 8, 8), 255.0), r"x / 255"),
        (torch.full((4, 3, 8, 8), float("nan")), r"nan"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.int64), r"uint8"),
    ],
)
def test_pictures_as_people_have_them_get_a_sentence(pictures, says):
    with pytest.raises(ValueError, match=says):
        extract(pictures, nn.Flatten())


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN or infinity"):
        extract(torch.zeros(2, 1, 4, 4), lambda x: x.flatten(1) / 0)


def test_resizing_averages_what_it_leaves_out():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    torch.testing.assert_close(resize(stripes, 16)[..., 4:-4], torch.full((1, 1, 16, 8), 0.5), atol=0.02, rtol=0)
    assert resize(stripes, 64) is stripes


def test_principal_components_are_those_of_the_covariance():
    pictures = torch.randn(50, 1, 3, 3, generator=generator())
    found = PrincipalComponents(pictures, 4)(pictures)
    values = torch.linalg.eigvalsh(torch.cov(pictures.flatten(1).double().T)).flip(0)[:4]
    torch.testing.assert_close(torch.cov(found.T), values.diag(), atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="dimensions=10"):
        PrincipalComponents(pictures, 10)


def test_alignment_is_a_mean_cosine_and_not_negative():
    pictures = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    texts = torch.tensor([[3.0, 4.0], [-1.0, 0.0]])
    assert alignment(pictures, texts) == pytest.approx(100 * (0.6 + 0) / 2)
    with pytest.raises(ValueError, match="pairs"):
        alignment(pictures, texts[:1])


def test_inception_needs_its_file_and_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(FileNotFoundError, match="Inception weights"):
        inception(tmp_path / "none.pth")
    (tmp_path / "some.pth").write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match="pip install torch-fidelity"):
        inception(tmp_path / "some.pth")

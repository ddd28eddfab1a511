"""Oracles of I2M2: closed forms of the product, the published loss, and what training, testing and absence may do."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.method import Batch
from mmlab.methods.i2m2 import I2M2, Joint, posterior
from mmlab.methods.late_fusion import LateFusion
from mmlab.methods.unimodal import Unimodal

SHAPES = {"image": (1, 4, 4), "audio": (6,)}
UNIFORM = torch.full((5,), 1 / 5)
SKEWED = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(**changes: object) -> tuple[I2M2, Batch]:
    _, batch = I2M2.demo()
    torch.manual_seed(0)
    return I2M2(**{"shapes": SHAPES, "classes": 3, "width": 8, **changes}), batch


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# The product


@pytest.mark.parametrize("prior", [UNIFORM, SKEWED])
def test_the_product_sums_to_one(prior: Tensor) -> None:
    product = posterior(10 * draw(7, 3, 5), prior.double())
    torch.testing.assert_close(product.exp().sum(-1), torch.ones(7, dtype=torch.float64))


def test_the_product_by_hand() -> None:
    experts = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]]).log()
    plain = torch.tensor([[0.05, 0.18, 0.06]]) / 0.29
    torch.testing.assert_close(posterior(experts, torch.full((3,), 1 / 3)).exp(), plain)
    corrected = torch.tensor([[0.05 / 0.5, 0.18 / 0.25, 0.06 / 0.25]])
    given = posterior(experts, torch.tensor([0.5, 0.25, 0.25])).exp()
    torch.testing.assert_close(given, corrected / corrected.sum())


def test_a_uniform_expert_is_the_identity() -> None:
    experts = draw(7, 2, 5)
    more = torch.cat([experts, torch.full((7, 1, 5), 3.0, dtype=torch.float64)], 1)
    torch.testing.assert_close(posterior(more, UNIFORM), posterior(experts, UNIFORM))


def test_with_a_prior_the_expert_that_knows_only_it_is_the_identity() -> None:
    experts = draw(7, 2, 5)
    more = torch.cat([experts, SKEWED.double().log().expand(7, 1, 5)], 1)
    torch.testing.assert_close(posterior(more, SKEWED), posterior(experts, SKEWED))


def test_an_absent_expert_is_not_in_the_product_and_without_any_the_prior_is_left() -> None:
    experts = draw(3, 2, 5)
    shown = torch.tensor([[True, True], [True, False], [False, False]])
    made = posterior(experts, SKEWED.double(), shown)
    torch.testing.assert_close(made[0], posterior(experts[:1], SKEWED.double())[0])
    torch.testing.assert_close(made[1], experts[1, 0].log_softmax(-1))
    torch.testing.assert_close(made[2].exp(), SKEWED.double())


def test_constants_cancel() -> None:
    experts = draw(7, 3, 5)
    shifted = experts + 4 * draw(7, 3, 1, seed=1)
    torch.testing.assert_close(posterior(shifted, SKEWED), posterior(experts, SKEWED))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("balanced", [True, False])
def test_exact_posteriors_multiply_to_the_posterior_of_bayes(count: int, balanced: bool) -> None:
    """Each modality takes one of four values, independently given the class."""
    prior = (UNIFORM if balanced else SKEWED).double()
    likelihoods = draw(count, 5, 4).softmax(-1)  # p(x_m | y)
    values = torch.cartesian_prod(*[torch.arange(4)] * count).T  # every combination: (count, B)
    seen = torch.stack([table[:, x].T for table, x in zip(likelihoods, values, strict=True)], 1)  # (B, count, K)
    bayes = seen.prod(1) * prior
    bayes = bayes / bayes.sum(-1, keepdim=True)
    experts = (seen * prior).log()  # unimodal posteriors, up to a constant
    torch.testing.assert_close(posterior(experts, prior).exp(), bayes)
    plain = posterior(experts, UNIFORM.double()).exp()  # as published
    assert torch.allclose(plain, bayes) == balanced


def test_the_selection_variable_completes_what_independent_modalities_miss() -> None:
    """Modalities tied by p(v=1 | x, x', y): the joint expert p(y) p(v=1 | x, x', y) makes the product exact."""
    prior = SKEWED.double()
    image, audio, tie = draw(5, 4).softmax(-1), draw(5, 3, seed=1).softmax(-1), draw(5, 4, 3, seed=2).sigmoid()
    joint = torch.einsum("k,ki,kj,kij->kij", prior, image, audio, tie)  # p(y, x, x', v=1)
    bayes = (joint / joint.sum(0)).flatten(1).T  # (B, K), all combinations
    seen = [image[:, :, None].expand_as(tie), audio[:, None, :].expand_as(tie), tie]
    experts = torch.stack([(prior[:, None, None] * factor).log().flatten(1).T for factor in seen], 1)
    torch.testing.assert_close(posterior(experts, prior).exp(), bayes)
    assert not torch.allclose(posterior(experts[:, :2], prior).exp(), bayes, atol=1e-2)


# The loss


def test_every_expert_gets_the_same_residual() -> None:
    logits, label = draw(7, 3, 5).requires_grad_(), torch.arange(7) % 5
    product = posterior(logits, SKEWED.double())
    F.nll_loss(product, label, reduction="sum").backward()
    assert logits.grad is not None
    residual = product.detach().exp() - F.one_hot(label, 5)
    for gradient in logits.grad.unbind(1):
        torch.testing.assert_close(gradient, residual)


@pytest.mark.parametrize("experts", [("image",), ("joint",), ("audio", "image"), ("audio", "image", "joint")])
def test_the_loss_is_the_cross_entropy_of_summed_log_softmaxes(experts: tuple[str, ...]) -> None:
    """Written again from the published description; all modalities present, no prior."""
    method, batch = built(experts=experts)
    batch = {key: value for key, value in batch.items() if key != "audio_present"}
    total = torch.zeros(len(batch["label"]), 3)
    for name in experts:
        seen = [batch["audio"], batch["image"]] if name == "joint" else [batch[name]]
        total = total + F.log_softmax(method.experts[name](*seen), dim=1)
    expected = nn.CrossEntropyLoss()(total, batch["label"])
    values = method.loss(batch, rng())
    torch.testing.assert_close(values["loss"], expected)
    torch.testing.assert_close(values["accuracy"], (total.argmax(1) == batch["label"]).float().mean())
    assert set(values) == {"loss", "accuracy", *(f"accuracy_{name}" for name in experts)}


@pytest.mark.parametrize("fusion", ["concatenation", "low_rank", "bilinear"])
def test_a_gradient_reaches_every_parameter(fusion: str) -> None:
    """The published low-rank head keeps its factors in a plain list: they are no parameters, and never move."""
    method, batch = built(fusion=fusion)
    method.loss(batch, rng())["loss"].backward()
    dead = [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead
    before = method.log_probabilities(batch)
    for parameter in method.parameters():
        nn.init.zeros_(parameter)
    assert not torch.allclose(method.log_probabilities(batch), before)
    torch.testing.assert_close(method.predict(batch), torch.full((24, 3), 1 / 3))  # nothing is left beside parameters


def test_testing_uses_the_product_that_was_trained() -> None:
    """The published intra-modality code trains a product and tests a mixture."""
    method, batch = built()
    probabilities = method.train().predict(batch)
    assert method.training
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(24))
    torch.testing.assert_close(F.nll_loss(probabilities.log(), batch["label"]), method.loss(batch, rng())["loss"])
    logits, shown = method.expert_logits(batch)
    mixture = logits.softmax(-1).mean(1)
    assert shown[0].all()
    assert not torch.allclose(probabilities[0], mixture[0], atol=1e-3)


def test_prediction_is_in_evaluation_mode_and_asks_no_gradient() -> None:
    method, batch = built(dropout=0.5)
    method.train()
    assert torch.equal(method.predict(batch), method.predict(batch))
    assert not method.predict(batch).requires_grad


# Absence


@pytest.mark.parametrize("experts", [None, ("audio",), ("joint",), ("audio", "image")])
def test_the_value_of_an_absent_item_never_matters(experts: tuple[str, ...] | None) -> None:
    method, batch = built(experts=experts)
    other = {**batch, "audio": batch["audio"].clone()}
    other["audio"][~batch["audio_present"]] = float("nan")
    assert torch.equal(method.predict(batch), method.predict(other))
    one, two = method.loss(batch, rng()), method.loss(other, rng())
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_without_the_sound_the_image_decides_and_without_both_the_prior() -> None:
    method, batch = built()
    method.set_prior(torch.tensor([0, 0, 1, 2]))
    absent = torch.zeros(24, dtype=torch.bool)
    batch["audio_present"] = absent
    expected = method.experts["image"](batch["image"]).softmax(-1)
    torch.testing.assert_close(method.predict(batch), expected)
    batch["image_present"] = absent
    torch.testing.assert_close(method.predict(batch), torch.tensor([0.5, 0.25, 0.25]).expand(24, 3))
    assert method.loss(batch, rng())["accuracy_joint"] == 0


# The prior, warm starts, own experts


def test_the_prior_is_that_of_the_labels_and_is_saved(tmp_path: Path) -> None:
    method, _ = built()
    torch.testing.assert_close(method.prior, torch.full((3,), 1 / 3))
    method.set_prior(torch.tensor([0, 0, 1, 2]))
    assert method.prior.tolist() == [0.5, 0.25, 0.25]
    method.save_pretrained(tmp_path)
    assert I2M2.from_pretrained(tmp_path).prior.tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 1, 2, 3]])
def test_a_prior_of_other_classes_is_refused(labels: list[int]) -> None:
    method, _ = built()
    with pytest.raises(ValueError, match="3 classes"):
        method.set_prior(torch.tensor(labels))


def test_a_warm_start_is_the_product_of_its_parts() -> None:
    method, batch = built()
    torch.manual_seed(1)
    parts = {name: I2M2(SHAPES, 3, (name,), width=8) for name in ("audio", "image", "joint")}
    assert method.warm_start(parts) is method
    expected = torch.stack([part.predict(batch).log() for part in parts.values()], 1)
    shown = torch.stack([batch["audio_present"], torch.ones(24, dtype=torch.bool), batch["audio_present"]], 1)
    torch.testing.assert_close(method.log_probabilities(batch), posterior(expected, method.prior, shown))


def test_trained_unimodal_and_late_fusion_models_start_the_experts() -> None:
    method, batch = built()
    torch.manual_seed(1)
    parts = {name: Unimodal(name, SHAPES[name], 3, width=8) for name in SHAPES}
    joint = LateFusion(SHAPES, 3, width=8)
    method.warm_start({**parts, "joint": joint})
    logits, shown = method.expert_logits(batch)
    for column, part in enumerate([parts["audio"], parts["image"], joint]):
        there = shown[:, column]
        torch.testing.assert_close(logits[there, column].softmax(-1), part.predict(batch)[there])


def test_a_warm_start_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    method, _ = built()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    other, _ = built(classes=3, experts=("image",))
    wide = I2M2(SHAPES, 3, ("joint",), width=9)
    with pytest.raises(ValueError, match="does not fit the expert 'joint'"):
        method.warm_start({"image": other, "joint": wide})
    with pytest.raises(ValueError, match="no expert 'video', only audio, image, joint"):
        method.warm_start({"video": other})
    with pytest.raises(ValueError, match="the Linear does not fit the expert 'image'"):
        method.warm_start({"image": nn.Linear(2, 2)})
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


class Sum(nn.Module):
    """A joint expert of the reader's own: two tensors in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.audio = nn.Linear(16, 3), nn.Linear(6, 3)

    def forward(self, audio: Tensor, image: Tensor) -> Tensor:
        return self.image(image.flatten(1)) + self.audio(audio)


def test_experts_of_the_readers_own(tmp_path: Path) -> None:
    _, batch = built()
    image = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    method = I2M2.of({"image": image, "joint": Sum()}, SHAPES, classes=3)
    method.loss(batch, rng())["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())
    with pytest.raises(TypeError, match=r"modules of your own \(image, joint\): save"):
        method.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    more, _ = built(experts=("audio",))
    more.experts["image"] = image
    with pytest.raises(TypeError, match=r"modules of your own \(image\): save"):
        more.save_pretrained(tmp_path)
    replaced, _ = built()
    replaced.experts["image"] = image
    with pytest.raises(TypeError, match=r"modules of your own \(image\): save"):
        replaced.save_pretrained(tmp_path)


def test_three_modalities() -> None:
    shapes = {"image": (1, 4, 4), "audio": (6,), "text": (2,)}
    method = I2M2(shapes, classes=3, width=4)
    assert list(method.experts) == ["audio", "image", "text", "joint"]
    _, batch = built()
    batch["text"], batch["text_present"] = torch.randn(24, 2, generator=rng()), torch.arange(24) > 2
    assert method.predict(batch).shape == (24, 3)
    assert isinstance(method.experts["joint"], Joint)
    assert list(method.experts["joint"].encoders) == ["audio", "image", "text"]


@pytest.mark.parametrize("experts", [(), ("video",), ("image", "image"), ("joint", "joint")])
def test_impossible_experts_are_refused(experts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be different names out of audio, image, joint"):
        I2M2(SHAPES, 3, experts)


def test_no_modality_is_called_joint() -> None:
    with pytest.raises(ValueError, match="no modality can be called 'joint'"):
        I2M2({"image": (1,), "joint": (2,)}, 3)


def test_arguments_come_from_an_item() -> None:
    _, batch = I2M2.demo()
    item = {key: value[0] for key, value in batch.items()}
    assert I2M2.arguments_for(item) == {"shapes": {"audio": [6], "image": [1, 4, 4]}}

"""I2M2: classify from several modalities by a product of experts, one for each modality and one for their tie.

The label y causes each modality x_m and a selection variable v, which is always seen as 1 and ties the modalities
together. An expert q_e(y) is a classifier that sees one modality, or all of them (the expert called ``"joint"``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind, make_encoder
from mmlab.nn.fusion import FusionKind, classifier, make_fusion, product_of_experts
from mmlab.nn.modalities import AV_MNIST, read

__all__ = ["I2M2", "Joint", "posterior"]

Shapes = Mapping[str, Sequence[int]]
JOINT = "joint"


def posterior(logits: Tensor, prior: Tensor, shown: Tensor | None = None) -> Tensor:
    """Log of p(y) Π_e q_e(y) / p(y), renormalised: every expert adds what it knows beyond the prior.

    With a uniform prior this is the product of the experts, as published. An absent expert adds nothing, and without
    any the prior is left.

    Args:
        logits: Of E experts, (B, E, K); log-probabilities do as well.
        prior: Class probabilities p(y), (K,), positive.
        shown: Which experts have their inputs, bool (B, E); None for all.

    Returns:
        Log-probabilities, (B, K).
    """
    shown = torch.ones_like(logits[..., 0], dtype=torch.bool) if shown is None else shown
    gains = logits.log_softmax(-1) - prior.log()  # (B, E, K): log q_e(y) / p(y)
    return (prior.log() + product_of_experts(gains, shown)).log_softmax(-1)  # Eqs. (1) and (2)


class Joint(nn.Module):
    """The joint expert: an encoder for each modality and a head, with the parameters of late fusion.

    Args:
        encoders: By modality, to features (B, D).
        fusion: The head, to logits (B, K).
    """

    def __init__(self, encoders: Mapping[str, nn.Module], fusion: nn.Module) -> None:
        super().__init__()
        self.encoders, self.fusion = nn.ModuleDict(encoders), fusion

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (B, K) from one tensor (B, ...) per modality, in sorted order of their names."""
        return self.fusion({m: f(x) for (m, f), x in zip(self.encoders.items(), inputs, strict=True)}, {})


class I2M2(Method):
    """Inter- and intra-modality modelling: multiply the experts' class probabilities, and train the product.

    Which experts there are makes the model: ``("image",)`` is unimodal, ``("joint",)`` inter-modality only,
    ``("audio", "image")`` intra-modality only, and all of them are I2M2. ``experts`` is an ``nn.ModuleDict``; put a
    module of your own in it, or build from your own by :meth:`of`. A modality that is absent takes its expert out of
    the product, and the joint expert too, which needs all: about a tie with something unseen it knows nothing.

    Args:
        shapes: The modalities, and the shape of one item of each; by default those of AV-MNIST-mini.
        classes: Number of classes K.
        experts: Names of modalities and ``"joint"``; None for all of them.
        encoder: Kind of the encoders; no expert shares them with another.
        width: Number of features D of each modality.
        fusion: Kind of the joint expert's head.
        dropout: Share of features dropped in training.

    Attributes:
        prior: Class probabilities p(y), (K,): uniform as in the paper, until :meth:`set_prior` is called.

    Raises:
        ValueError: If there is no expert, an unknown one, or one named twice.

    Source:
        Madaan et al. 2024, arXiv 2405.17613. It has no p(y) in the product, which is right for balanced classes.
    """

    card = Card(
        name="I2M2",
        family="fusion",
        paper="madaan2024i2m2",
        summary="Multiplies the class probabilities of unimodal classifiers and a joint one, and trains the product.",
        inputs=("audio", "image", "label"),
        outputs=("label",),
        claims=(Claim("accuracy", "late_fusion", "higher"), Claim("accuracy", "intra-modality", "higher")),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )

    def __init__(
        self, shapes: Shapes = AV_MNIST, classes: int = 10, experts: Sequence[str] | None = None,
        encoder: EncoderKind = "perceptron", width: int = 64, fusion: FusionKind = "concatenation",
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self.classes = classes
        names = [*self.shapes, JOINT] if experts is None else list(experts)
        known = [*self.shapes, JOINT]
        if not names or len(set(names)) < len(names) or not set(known) >= set(names) or JOINT in self.shapes:
            choices = f"different names out of {', '.join(known)}; no modality can be called {JOINT!r}"
            raise ValueError(f"experts={names} must be {choices}.")

        def encode(modality: str) -> nn.Module:
            return make_encoder(encoder, self.shapes[modality], width, dropout)

        def expert(name: str) -> nn.Module:  # its parameters are called as those of Unimodal and LateFusion
            if name == JOINT:
                head = make_fusion(fusion, list(self.shapes), width, classes, dropout=dropout)
                return Joint({m: encode(m) for m in self.shapes}, head)
            parts = {"encoder": encode(name), "answer": classifier(width, width, classes, dropout)}
            return nn.Sequential(OrderedDict(parts))

        self.experts = nn.ModuleDict({name: expert(name) for name in names})
        self.prior: Tensor
        self.register_buffer("prior", torch.full((classes,), 1 / classes))

    @classmethod
    def of(cls, experts: Mapping[str, nn.Module], shapes: Shapes, classes: int) -> Self:
        """Build from modules of your own.

        Args:
            experts: Name of a modality, or ``"joint"``, to a module. It is called with one tensor (B, ...) for each
                modality that it sees, in sorted order of their names, and returns logits (B, K).
            shapes: As in the constructor.
            classes: As in the constructor.
        """
        method = cls(shapes, classes, tuple(experts), width=1)
        for name, expert in experts.items():
            method.experts[name] = expert
        return method

    def expert_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the experts say, in their order: logits (B, E, K), and which of them have their inputs (B, E)."""
        inputs, present = read(batch, self.shapes)
        logits, shown = [], []
        for name, expert in self.experts.items():
            seen = list(self.shapes) if name == JOINT else [name]
            logits.append(expert(*(inputs[m] for m in seen)))
            shown.append(torch.stack([present[m] for m in seen]).all(0))
        return torch.stack(logits, 1), torch.stack(shown, 1)

    def log_probabilities(self, batch: Batch) -> Tensor:
        """The model: log p(y | what is present, v = 1), shape (B, K), in training as in testing."""
        logits, shown = self.expert_logits(batch)
        return posterior(logits, self.prior, shown)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the product, with its accuracy and that of each expert where it is present.

        Args:
            batch: The modalities, (B, ...) each, ``label`` (B,), and ``<modality>_present`` (B,) where some are absent.
            rng: Not used: nothing is drawn.
        """
        label = batch["label"]
        logits, shown = self.expert_logits(batch)
        product = posterior(logits, self.prior, shown)
        right = (logits.argmax(-1) == label[:, None]) & shown  # (B, E)
        accuracies = right.sum(0) / shown.sum(0).clamp(min=1)
        return {
            "loss": F.nll_loss(product, label),  # Eq. (3)
            "accuracy": (product.argmax(-1) == label).float().mean(),
            **{f"accuracy_{name}": value for name, value in zip(self.experts, accuracies, strict=True)},
        }

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K) of the product, in evaluation mode."""
        with self.evaluating():
            return self.log_probabilities(batch).exp()

    def set_prior(self, labels: Tensor) -> Self:
        """Correct the product for unbalanced classes, whose prior the paper multiplies in once per expert.

        Args:
            labels: Labels of the training set, (N,), with every class among them.

        Raises:
            ValueError: If a class has no label: its probability would be 0 whatever the experts say.
        """
        counts = torch.bincount(labels, minlength=self.classes)
        if len(counts) != self.classes or not counts.all():
            raise ValueError(
                f"The prior needs labels of all {self.classes} classes; their counts are {counts.tolist()}."
            )
        self.prior.copy_(counts / counts.sum())
        return self

    def warm_start(self, parts: Mapping[str, nn.Module]) -> Self:
        """Start the experts from trained parts.

        Args:
            parts: Name of an expert to where its weights come from: another :class:`I2M2` that has this expert, or a
                module with the same parameters, as a trained ``Unimodal`` or ``LateFusion`` of the same size has.

        Raises:
            ValueError: If there is no such expert, or the part does not fit it; then nothing is changed.
        """
        states = {}
        for name, part in parts.items():
            if name not in self.experts:
                raise ValueError(f"warm_start: there is no expert {name!r}, only {', '.join(self.experts)}.")
            source = part.experts[name] if isinstance(part, I2M2) and name in part.experts else part
            state, own = source.state_dict(), self.experts[name].state_dict()
            if wrong := {(k, v.shape) for k, v in own.items()} ^ {(k, v.shape) for k, v in state.items()}:
                raise ValueError(
                    f"warm_start: the {type(part).__name__} does not fit the expert {name!r} (see {min(wrong)[0]}): "
                    "build both with the same shapes, classes, encoder, width and fusion."
                )
            states[name] = state
        for name, state in states.items():
            self.experts[name].load_state_dict(state)
        return self

    def save_pretrained(self, save_directory: str | Path, **arguments: Any) -> str | None:  # type: ignore[override]
        """Save as every method does.

        Raises:
            TypeError: If an expert is a module of your own, which the configuration cannot build again.
        """
        with torch.device("meta"):
            again = type(self)(**self.config).experts
        built = {name: str(expert) for name, expert in again.items()}
        if own := [name for name, expert in self.experts.items() if str(expert) != built.get(name)]:
            raise TypeError(
                f"I2M2 cannot be built again from its configuration with modules of your own ({', '.join(own)}): save "
                "its state_dict() with safetensors, and build it by I2M2.of before you load that."
            )
        return super().save_pretrained(save_directory, **arguments)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three classes; an image and a sound that each show two of them apart, and one sound missing."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls({"image": (1, 4, 4), "audio": (6,)}, classes=3, width=8)
        label = torch.arange(24) % 3
        image = torch.randn(24, 1, 4, 4, generator=rng) + (label == 0)[:, None, None, None] * 2.0
        audio = torch.randn(24, 6, generator=rng) + (label == 1)[:, None] * 2.0
        present = torch.arange(24) != 5
        return method, {"image": image, "audio": audio, "audio_present": present, "label": label}

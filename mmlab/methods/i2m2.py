"""I2M2: classify from several modalities by a product of experts, one for each modality and one for their interaction.

The label y causes each modality x_m and a selection variable v, which is always seen as 1 and makes the modalities
interact. An expert q_e(y) is a classifier that sees one modality, or all of them (the expert called ``"joint"``).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import FusionKind, classifier, make_fusion, product_of_experts
from mmlab.nn.modalities import ModalityEncoders, read, sorted_shapes

__all__ = ["I2M2", "Joint", "posterior"]

Shapes = Mapping[str, Sequence[int]]
JOINT = "joint"


def posterior(logits: Tensor, prior: Tensor, present: Tensor | None = None) -> Tensor:
    """Log of p(y) Π_e q_e(y) / p(y), renormalised: every expert adds what it knows beyond the prior.

    With a uniform prior this is the product of the experts, as published. An absent expert adds nothing, and without
    any the prior is left.

    Args:
        logits: Logits of E experts, (B, E, K); log-probabilities do as well.
        prior: Class probabilities p(y), (K,), positive.
        present: Which experts have their inputs, bool (B, E); None for all.

    Returns:
        Log-probabilities, (B, K).
    """
    present = torch.ones_like(logits[..., 0], dtype=torch.bool) if present is None else present
    gains = logits.log_softmax(-1) - prior.log()  # (B, E, K): log q_e(y) / p(y)
    return (prior.log() + product_of_experts(gains, present)).log_softmax(-1)  # Eqs. (1) and (2)


class Single(nn.Module):
    """The expert of one modality: an encoder and a classifier, with the parameters of a unimodal classifier.

    Args:
        encoders: The modality's, by its name, to features (B, D).
        answer: The classifier, to logits (B, K).
    """

    def __init__(self, encoders: nn.ModuleDict, answer: nn.Module) -> None:
        super().__init__()
        self.encoders = encoders
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) from the modality (B, ...)."""
        (encoder,) = self.encoders.values()
        return self.answer(encoder(x))


class Joint(nn.Module):
    """The joint expert: an encoder for each modality and a head, with the parameters of late fusion.

    Args:
        encoders: By modality, to features (B, D).
        fusion: The head, to logits (B, K).
    """

    def __init__(self, encoders: nn.ModuleDict, fusion: nn.Module) -> None:
        super().__init__()
        self.encoders = encoders
        self.fusion = fusion

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (B, K) from one tensor (B, ...) per modality, in sorted order of their names."""
        z = {}
        for (name, encoder), x in zip(self.encoders.items(), inputs, strict=True):
            z[name] = encoder(x)  # (B, D)
        return self.fusion(z, {})


class I2M2(Method):
    """Inter- and intra-modality modelling: multiply the experts' class probabilities, and train the product.

    Which experts there are makes the model: ``("image",)`` is unimodal, ``("joint",)`` inter-modality only,
    ``("audio", "image")`` intra-modality only, and all of them are I2M2. ``experts`` is an ``nn.ModuleDict``; put a
    module of your own in it, or build from your own by :meth:`of`. A modality that is absent takes its expert out of
    the product, and the joint expert too, which needs all: about an interaction with something unseen it knows nothing.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        experts: Names of modalities and ``"joint"``; None for all of them.
        encoder: Kind of the encoders; no expert shares them with another.
        width: Number of features D of each modality.
        fusion: Kind of the joint expert's head.
        dropout: Dropout probability of the hidden features.
        encoders: Encoders of your own by modality, from items (B, *shape) to features (B, D); the joint expert gets
            copies of them.

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
        claims=(
            Claim("accuracy", "late_fusion", "higher", published="72.38 % (I2M2 on AV-MNIST)", sure="second-hand"),
            Claim("accuracy", "intra-modality", "higher"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("MRI", "knee", "meme", "audio", "image"),
    )

    def __init__(
        self,
        shapes: Shapes,
        classes: int = 10,
        experts: Sequence[str] | None = None,
        encoder: EncoderKind = "perceptron",
        width: int = 64,
        fusion: FusionKind = "concatenation",
        dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.shapes = sorted_shapes(shapes)
        self.classes = classes
        known = [*self.shapes, JOINT]
        names = known if experts is None else list(experts)
        if not names or len(set(names)) < len(names) or not set(known) >= set(names) or JOINT in self.shapes:
            choices = f"different names out of {', '.join(known)}; no modality can be called {JOINT!r}"
            raise ValueError(f"experts={names} must be {choices}.")

        def expert(name: str) -> nn.Module:  # its parameters are called as those of Unimodal and LateFusion
            seen = self.shapes if name == JOINT else {name: self.shapes[name]}
            own = {m: copy.deepcopy(f) for m, f in (encoders or {}).items() if m in seen}
            parts = ModalityEncoders(seen, encoder, width, dropout, own)
            if name == JOINT:
                return Joint(parts, make_fusion(fusion, list(seen), width, classes, dropout=dropout))
            return Single(parts, classifier(width, width, classes, dropout))

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
        logits = []
        complete = []  # which items have all that the expert sees
        for name, expert in self.experts.items():
            seen = list(self.shapes) if name == JOINT else [name]
            logits.append(expert(*(inputs[m] for m in seen)))
            complete.append(torch.stack([present[m] for m in seen]).all(0))
        return torch.stack(logits, 1), torch.stack(complete, 1)

    def log_probabilities(self, batch: Batch) -> Tensor:
        """The model: log p(y | what is present, v = 1), shape (B, K), in training as in testing."""
        logits, present = self.expert_logits(batch)
        return posterior(logits, self.prior, present)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the product, with its accuracy and that of each expert where it is present.

        Args:
            batch: The modalities (B, ...), optionally their masks, and ``label`` (B,).
            rng: Not used: nothing is drawn.
        """
        label = batch["label"]
        logits, present = self.expert_logits(batch)
        product = posterior(logits, self.prior, present)  # (B, K)
        right = (logits.argmax(-1) == label[:, None]) & present  # (B, E)
        accuracies = right.sum(0) / present.sum(0).clamp(min=1)
        return {
            "loss": cross_entropy(product, label),  # Eq. (3)
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
            state = source.state_dict()
            own = self.experts[name].state_dict()
            wrong = [key for key in {**own, **state} if key not in own or key not in state]
            wrong += [key for key in own if key in state and own[key].shape != state[key].shape]
            if wrong:
                raise ValueError(
                    f"warm_start: the {type(part).__name__} does not fit the expert {name!r} (see {min(wrong)}): "
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

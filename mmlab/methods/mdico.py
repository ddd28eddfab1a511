"""MDiCo: trained with every sensor, used with one: what sensors share is pulled together, what is its own is kept.

Symbols: x_m is what sensor m measures; s_m, u_m and c_m are the parts of its code: its own part, the unused part,
and the part that it shares with the others; y is the target, a class or a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy, mean_over_present
from mmlab.losses.contrastive import nt_xent
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import classifier
from mmlab.nn.modalities import ModalityEncoders, presence, sorted_shapes
from mmlab.wording import nearest

__all__ = ["MDiCo", "contrast", "told_apart"]


def contrast(shared: Mapping[str, Tensor], present: Mapping[str, Tensor], temperature: float) -> Tensor:
    """Mean over pairs of sensors of the NT-Xent loss between their shared parts.

    Args:
        shared: c_m (B, D) by sensor.
        present: Which items a sensor measured, (B,) by sensor; without an entry, all. A pair of sensors is compared on
            the items that both measured, and counts 0 if there is none.
        temperature: τ.
    """
    losses = []
    for one, other in combinations(sorted(shared), 2):
        masks = [present[m] for m in (one, other) if m in present]
        rows = [masks[0] & masks[-1]] if masks else []
        a, b = (shared[m][rows[0]] if rows else shared[m] for m in (one, other))
        losses.append(nt_xent(a, b, temperature) if len(a) else (a.sum() + b.sum()) * 0)  # Eq. (4)
    return torch.stack(losses).mean()


def told_apart(logits: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy of the question which sensor a part comes from, mean over the sensors.

    Args:
        logits: (B, M) by sensor; its place among the sorted names is the right answer.
        present: Which items each sensor measured, (B,) by sensor.
    """
    names = sorted(logits)
    losses = [
        cross_entropy(logits[name], torch.full_like(present[name], k, dtype=torch.long), present[name])
        for k, name in enumerate(names)
    ]
    return torch.stack(losses).mean()  # Eq. (5)


class MDiCo(Method):
    """Two encoders for each sensor, one for what is its own and one for what it shares, and a head for each sensor.

    At test any subset of the sensors will do: each answers for itself. Items may lack a sensor in training
    (``radar_present``), and the label (``label_present``): the contrast needs none.

    Three things differ from the released code. Which sensor it was is asked of the own and of the *unused* part, where
    the code asks it of the own and of the shared part. The pairs of sensors are averaged, where the code adds up every
    pair twice. And there is no batch normalisation, so that absent items change nothing.

    Args:
        shapes: Shape of one item of each sensor.
        classes: Number of classes K; 0 if the target is a number, best standardised.
        width: Size of a code; its own and its unused part have half of it each.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        contrast: Weight of the contrast between shared parts.
        auxiliary: Weight of the answers from each part alone.
        discrimination: Weight of the question which sensor it was.
        temperature: τ of the contrast.
        dropout: Dropout probability of the hidden features.

    Raises:
        ValueError: If there are fewer than two sensors, or an odd width.

    Source:
        Mena et al. 2025.
    """

    card = Card(
        name="MDiCo",
        family="fusion",
        paper="mdico",
        summary="Trains with all sensors and answers with one, by a contrast between the shared parts of their codes.",
        inputs=("audio", "text", "video", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "single sensor", "higher", name="mdico-common-text-single-sensor"),
            Claim("accuracy", "without contrast", "higher", name="mdico-common-text-without-contrast"),
            Claim("accuracy", "shuffled pairs", "higher", kind="sanity", name="mdico-common-text-shuffled-pairs"),
            Claim("accuracy", "CCA and a line", "higher", kind="sanity", name="mdico-common-text-cca-and-a-line"),
            Claim(
                "accuracy",
                "CCA beside the sensor",
                "higher",
                kind="sanity",
                name="mdico-common-text-cca-beside-the-sensor",
            ),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("privileged information", "missing modality", "contrastive", "Earth observation", "remote sensing"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 4,
        width: int = 32,
        encoder: EncoderKind = "perceptron",
        contrast: float = 1.0,
        auxiliary: float = 1.0,
        discrimination: float = 1.0,
        temperature: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(shapes) < 2 or width % 2:
            raise ValueError(f"There are {len(shapes)} sensors and width={width}: give two or more, and an even width.")
        self.sensors, half = list(sorted_shapes(shapes)), width // 2
        self.classes, self.temperature = classes, temperature
        self.weights = {"auxiliary": auxiliary, "contrast": contrast, "discrimination": discrimination}
        self.own = ModalityEncoders(shapes, encoder, width, dropout)
        self.common = ModalityEncoders(shapes, encoder, width, dropout)
        self.shared = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(width, half), nn.LayerNorm(half), nn.ReLU()) for m in self.sensors}
        )
        answers = classes or 1
        self.heads = nn.ModuleDict({m: classifier(width, width, answers, dropout) for m in self.sensors})
        self.part_head = classifier(half, width, answers, dropout)  # one for all parts of all sensors
        self.which_own = classifier(half, width, len(shapes), dropout)
        self.which_unused = classifier(half, width, len(shapes), dropout)

    def parts(self, batch: Batch, sensors: Sequence[str] | None = None) -> dict[str, dict[str, Tensor]]:
        """The parts of the codes.

        Args:
            batch: Sensors (B, ...); only those asked for are looked at.
            sensors: Names; by default all.

        Returns:
            By sensor: its ``specific`` (B, D/2), ``unused`` (B, D/2) and ``shared`` (B, D/2) part.
        """
        found = {}
        for m in sensors or self.sensors:
            x = batch[m].where(presence(batch, m).view(-1, *[1] * (batch[m].ndim - 1)), 0)
            specific, unused = self.own[m](x).chunk(2, -1)
            shared = self.shared[m](self.common[m](x))  # Eq. (1)
            found[m] = {"specific": specific, "unused": unused, "shared": shared}
        return found

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The answers, the answers from parts, the contrast, and the question which sensor it was.

        Args:
            batch: Sensors (B, ...) with their masks where items lack them, and ``label`` (B,), or ``target`` (B,).
            rng: Handed to :meth:`pull`.

        Returns:
            ``loss`` and the four terms in it.
        """
        parts = self.parts(batch)
        there = {m: presence(batch, m) for m in self.sensors}
        lacking = {m: mask for m, mask in there.items() if f"{m}_present" in batch}
        key = "label" if self.classes else "target"
        known = presence(batch, key)
        wanted = batch[key].where(known, 0)
        main, auxiliary = [], []
        for m, part in parts.items():
            counts = known & there[m]
            main.append(mean_over_present(self._error(self._answer(m, part), wanted), counts))  # Eq. (2)
            halves = [self._error(self.part_head(part[name]), wanted) for name in ("specific", "shared")]
            auxiliary.append(mean_over_present((halves[0] + halves[1]) / 2, counts))  # Eq. (3)
        which = [
            told_apart({m: head(part[key]) for m, part in parts.items()}, there)
            for head, key in ((self.which_own, "specific"), (self.which_unused, "unused"))
        ]
        terms = {
            "main": torch.stack(main).mean(),
            "auxiliary": torch.stack(auxiliary).mean(),
            "contrast": self.pull({m: part["shared"] for m, part in parts.items()}, lacking, rng),
            "discrimination": (which[0] + which[1]) / 2,
        }
        total = terms["main"] + sum(weight * terms[name] for name, weight in self.weights.items())
        return {"loss": total, **terms}  # Eq. (6)

    def pull(self, shared: Mapping[str, Tensor], present: Mapping[str, Tensor], rng: torch.Generator) -> Tensor:
        """What draws the shared parts (B, D/2) of the sensors together: here :func:`contrast`; override it at will.

        Args:
            shared: By sensor.
            present: Which items a sensor measured, (B,) by sensor; without an entry, all.
            rng: Not used.
        """
        return contrast(shared, present, self.temperature)

    def predict(self, batch: Batch, sensor: str | None = None) -> Tensor:
        """Class probabilities (B, K), or the expected number (B,).

        Args:
            batch: At least the sensors that answer.
            sensor: The one that answers; by default the mean over those of ``batch`` that each item has.

        Raises:
            KeyError: If the batch has no sensor that could answer.
            ValueError: If there is no such sensor.
        """
        if sensor is not None and sensor not in self.sensors:
            raise ValueError(f"There is no sensor {sensor!r}: {nearest(sensor, self.sensors)}")
        asked = [m for m in self.sensors if m in batch] if sensor is None else [sensor]
        if not asked:
            raise KeyError(f"The batch has none of the sensors {', '.join(self.sensors)}: give at least one.")
        with self.evaluating():
            made = [self._answer(m, part) for m, part in self.parts(batch, asked).items()]
            answers = torch.stack([a.softmax(-1) if self.classes else a for a in made])  # (M, B, K)
        weight = torch.stack([presence(batch, m) for m in asked]).to(answers) + 1e-9  # all alike where none is there
        mean = (weight / weight.sum(0))[..., None].mul(answers).sum(0)
        return mean if self.classes else mean[:, 0]

    def _answer(self, sensor: str, part: Mapping[str, Tensor]) -> Tensor:
        return self.heads[sensor](torch.cat([part["specific"], part["shared"]], -1))

    def _error(self, answer: Tensor, wanted: Tensor) -> Tensor:
        if self.classes:
            return F.cross_entropy(answer, wanted, reduction="none")
        return (answer[:, 0] - wanted).square()

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three short vectors that show two hidden numbers, of whose signs the class is made; some items lack one."""
        rng = torch.Generator().manual_seed(seed)
        shapes = {"audio": (3,), "text": (8,), "video": (2, 2)}
        method = cls.seeded(seed, shapes, width=16)
        hidden = torch.randn(32, 2, generator=rng)
        batch: Batch = {
            name: (hidden @ torch.randn(2, torch.Size(shape).numel(), generator=rng)).view(32, *shape)
            for name, shape in shapes.items()
        }
        batch["label"] = 2 * (hidden[:, 0] > 0).long() + (hidden[:, 1] > 0).long()
        return method, batch | {"audio_present": torch.arange(32) % 8 != 5}

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shapes of the sensors; a ``target`` without a ``label`` is a number."""
        number = "target" in item and "label" not in item
        found = super().arguments_for({key: value for key, value in item.items() if key != "target"})
        return found | {"classes": 0} if number else found

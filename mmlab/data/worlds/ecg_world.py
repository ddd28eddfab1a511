"""Drawn heartbeats in four leads, with findings, and reports that name the signs of a finding and never its name.

Six findings come independently of each other, but that nobody is slow and fast at once. A finding brings signs; each of
the seven measurable things s of a record has a size

    q_s ~ N(m_s, 1),    m_s = δ if a finding is there that brings sign s, -δ for a slow rate, and else 0,

which says how irregular the beats are, how small the P wave is, how fast the heart, how wide and how tall the main
wave, how high the segment after it, and how far the T wave is turned over. A record is drawn from the sizes: beats one
after the other, each a sum of bumps, mixed into four leads, with noise and a wandering base line. Who measured the
sizes exactly would know the findings by :meth:`EcgWorld.posterior`, in closed form.

A report mentions each sign that is there with some probability, in one of three ways, and now and then says something
of no consequence. It is drawn, too; nothing of this is a medical device, nor was it looked at by a physician.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = [
    "FINDINGS",
    "PROPOSED",
    "SIGNS",
    "WORDS",
    "EcgWorld",
    "Records",
    "ecg_world",
    "signs_of",
    "tokens_of",
    "waves_of",
    "words_of",
]

SIGNS: dict[str, tuple[str, str, str]] = {
    "irregular": ("irregular rhythm", "variable intervals", "chaotic beats"),
    "flat p": ("absent p", "no p visible", "fibrillatory baseline"),
    "wide": ("wide complexes", "broad qrs", "prolonged qrs"),
    "raised": ("raised st", "st elevation", "current of injury"),
    "turned t": ("inverted t", "negative t", "strain pattern"),
    "tall": ("tall complexes", "high voltage", "large amplitudes"),
    "slow": ("slow rate", "rate below sixty", "long intervals"),
    "fast": ("fast rate", "rate above hundred", "short intervals"),
}
"""What a report may say of each sign: three terms."""

FINDINGS: dict[str, tuple[str, ...]] = {
    "atrial fibrillation": ("irregular", "flat p"),
    "bundle branch block": ("wide", "turned t"),
    "myocardial infarction": ("raised",),
    "ventricular hypertrophy": ("tall", "turned t"),
    "bradycardia": ("slow",),
    "tachycardia": ("fast",),
}
"""The signs that each finding brings."""

PROPOSED: dict[str, tuple[str, ...]] = {
    "atrial fibrillation": ("irregular rhythm", "absent p", "fibrillatory baseline", "sawtooth waves"),
    "bundle branch block": ("wide complexes", "prolonged qrs", "negative t", "notched r"),
    "myocardial infarction": ("st elevation", "current of injury", "pathological q"),
    "ventricular hypertrophy": ("high voltage", "tall complexes", "strain pattern"),
    "bradycardia": ("slow rate", "rate below sixty", "sinus arrest"),
    "tachycardia": ("fast rate", "rate above hundred"),
}
"""What somebody with a good memory proposes as descriptions: among them terms that no report of this world has."""

_IDLE = ("normal axis", "good quality tracing", "compared with earlier", "baseline steady")
_NOTHING = ("unremarkable tracing", "within limits", "nothing found")
_SIZES = ("irregular", "flat p", "wide", "raised", "turned t", "tall", "rate")
_PHRASES = [term for terms in SIGNS.values() for term in terms] + [*_IDLE, *_NOTHING]

WORDS = (
    "",
    *dict.fromkeys(
        word for text in [*_PHRASES, *FINDINGS, *itertools.chain(*PROPOSED.values())] for word in text.split()
    ),
)
"""The vocabulary: the token of a word is its number here; 0 fills up."""

_NUMBER = {word: number for number, word in enumerate(WORDS)}
_LEADS = torch.tensor([[0.6, 0.9, 0.4, -0.2], [0.8, 1.1, -0.7, 0.9], [0.3, 0.5, 0.9, 0.7], [0.5, 0.7, -0.3, 0.8]])

_RATE, _LENGTH, _TOKENS = 40, 240, 20
_BEATS = 16


@dataclass(frozen=True, eq=False)
class Records:
    """Records and what is known of them.

    Attributes:
        ecg: (N, 4, 240) float32, six seconds in four leads; the deviation of a lead is about one.
        report: (N, 20) tokens, filled up with 0.
        findings: (N, 6) float, 1 where a finding is there.
        sizes: (N, 7), the sizes q.
    """

    ecg: Tensor
    report: Tensor
    findings: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.ecg)

    @property
    def pairs(self) -> TensorData:
        """``ecg``, ``report`` and ``findings``."""
        return TensorData({"ecg": self.ecg, "report": self.report, "findings": self.findings})

    def first(self, count: int) -> Records:
        """The first so many records."""
        return replace(self, **{name: getattr(self, name)[:count] for name in ("ecg", "report", "findings", "sizes")})


@dataclass(frozen=True, eq=False)
class EcgWorld:
    """The law of records and reports; :meth:`draw` makes as many as one likes.

    Attributes:
        prevalence: Probability of each finding; of slow and fast together, those that have both are drawn again.
        distance: δ, how far a sign moves a size, in deviations.
        told: Probability with which a report mentions a sign that is there.
        named: Probability with which a report also says the name of a finding that is there.
        noise: Deviation of the noise of each sample.
        items: Records that :attr:`pairs` has.
        seed: Seed of the parts.
    """

    prevalence: float
    distance: float
    told: float
    named: float
    noise: float
    items: int
    seed: int

    @cached_property
    def pairs(self) -> TensorData:
        """Training pairs ``ecg`` and ``report``; ``findings`` stand beside them."""
        return self.draw(self.items, self.seed).pairs

    def draw(self, count: int, seed: int = 0) -> Records:
        """Records, always the same ones for the same arguments.

        Args:
            count: N.
            seed: Seed.
        """
        rng = torch.Generator().manual_seed(seed)
        slow, fast = (list(FINDINGS).index(name) for name in ("bradycardia", "tachycardia"))
        findings = (torch.rand(count, len(FINDINGS), generator=rng) < self.prevalence).float()
        while (both := findings[:, slow] * findings[:, fast] > 0).any():
            again = (torch.rand(int(both.sum()), 2, generator=rng) < self.prevalence).float()
            findings[both.nonzero()[:, 0, None], torch.tensor([slow, fast])] = again
        sizes = self.means(findings) + torch.randn(count, len(_SIZES), generator=rng)
        ecg = waves_of(sizes, rng)
        time = torch.arange(_LENGTH) / _RATE
        swing = torch.rand(count, 4, 1, generator=rng) * 0.6
        turn = 6.283 * (0.25 * time + torch.rand(count, 4, 1, generator=rng))
        ecg = ecg + swing * turn.sin() + self.noise * torch.randn(ecg.shape, generator=rng)
        return Records(ecg, self._reports(findings, rng), findings, sizes)

    def means(self, findings: Tensor) -> Tensor:
        """M (N, 7) of findings (N, 6)."""
        there = signs_of(findings)
        slow = list(SIGNS).index("slow")
        rate = there[:, slow + 1] - there[:, slow]
        return self.distance * torch.cat([there[:, :slow], rate[:, None]], 1)

    def posterior(self, sizes: Tensor) -> Tensor:
        """Probability of each finding given sizes that somebody measured exactly, (N, 6) float64.

        It sums over all combinations of findings: what nobody who looks at noisy waves can be better than.
        """
        combinations = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(FINDINGS))), dtype=torch.float64)
        names = list(FINDINGS)
        slow, fast = (names.index(name) for name in ("bradycardia", "tachycardia"))
        combinations = combinations[combinations[:, slow] * combinations[:, fast] == 0]
        p = torch.tensor(self.prevalence, dtype=torch.float64)
        log_prior = (combinations * p.log() + (1 - combinations) * (1 - p).log()).sum(1)
        apart = sizes.double()[:, None] - self.means(combinations)  # (N, combinations, 7)
        return (log_prior - apart.square().sum(2) / 2).softmax(1) @ combinations

    def _reports(self, findings: Tensor, rng: torch.Generator) -> Tensor:
        """Tokens of the reports."""
        there = signs_of(findings)
        told = (torch.rand(there.shape, generator=rng) < self.told) & (there > 0)
        way = torch.randint(3, there.shape, generator=rng)
        idle = torch.rand(len(there), len(_IDLE), generator=rng) < 0.2
        nothing = torch.randint(len(_NOTHING), (len(there),), generator=rng)
        named = (torch.rand(findings.shape, generator=rng) < self.named) & (findings > 0)
        made = []
        for row in range(len(there)):
            terms = [SIGNS[sign][int(way[row, s])] for s, sign in enumerate(SIGNS) if told[row, s]]
            terms += [name for k, name in enumerate(FINDINGS) if named[row, k]]
            terms = terms or [_NOTHING[int(nothing[row])]]
            made.append(" ".join(terms + [term for i, term in enumerate(_IDLE) if idle[row, i]]))
        return tokens_of(made, max(_TOKENS, max(len(text.split()) for text in made)))[:, :_TOKENS]


def ecg_world(
    items: int = 2000,
    distance: float = 3.0,
    named: float = 0.0,
    told: float = 0.6,
    prevalence: float = 0.25,
    noise: float = 0.15,
    seed: int = 0,
) -> EcgWorld:
    """Make a world. The same arguments make the same one.

    Args:
        items: Records of its training part.
        distance: δ; 0 for findings that cannot be seen.
        named: How often a report says the name of a finding.
        told: How often a report mentions a sign.
        prevalence: Probability of each finding.
        noise: Deviation of the noise of the waves.
        seed: Seed of the training part.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(items=(items, 1))
    if not (0 < prevalence < 1 and 0 <= named <= 1 and 0 <= told <= 1) or min(distance, noise) < 0:
        raise ValueError(
            f"ecg_world: prevalence={prevalence}, named={named}, told={told}, distance={distance}, noise={noise}: the "
            "first three are probabilities, the first one strictly, and the others are not negative."
        )
    return EcgWorld(prevalence, distance, told, named, noise, items, seed)


def signs_of(findings: Tensor) -> Tensor:
    """Which of :data:`SIGNS` are there, (N, 8), given findings (N, 6)."""
    brings = torch.tensor([[float(sign in signs) for sign in SIGNS] for signs in FINDINGS.values()])
    return (findings @ brings.to(findings)).clamp(max=1)


def tokens_of(texts: Sequence[str], length: int = _TOKENS) -> Tensor:
    """Tokens (N, T) of texts whose words are all in :data:`WORDS`.

    Raises:
        ValueError: If a word is not, or a text is too long.
    """
    made = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        words = text.split()
        if unknown := [word for word in words if word not in _NUMBER]:
            raise ValueError(f"tokens_of: the word {unknown[0]!r} is not in the vocabulary of ecg_world.")
        if len(words) > length:
            raise ValueError(f"tokens_of: {text!r} has more than {length} words.")
        made[row, : len(words)] = torch.tensor([_NUMBER[word] for word in words])
    return made


def words_of(tokens: Tensor) -> str:
    """The text of one report (T,)."""
    return " ".join(WORDS[token] for token in tokens.tolist() if token)


def waves_of(sizes: Tensor, rng: torch.Generator) -> Tensor:
    """Six seconds of beats without noise, (N, 4, 240).

    Args:
        sizes: (N, 7): irregular, flat P, wide, raised, turned T, tall, and rate.
        rng: Draws where the beats begin, how they are shaken, and how the heart lies.
    """
    irregular, flat, wide, raised, turned, tall, rate = sizes.float()[:, :, None].unbind(1)  # (N, 1) each
    interval = 0.83 * torch.exp(-0.13 * rate)
    shake = (0.02 * torch.exp(0.75 * irregular)).clamp(max=0.3)
    gaps = interval * (1 + shake * torch.randn(len(sizes), _BEATS, generator=rng)).clamp(0.45, 1.8)
    start = -interval * torch.rand(len(sizes), 1, generator=rng)
    beat = (start + gaps.cumsum(1))[:, :, None]  # (N, beats, 1)
    time = torch.arange(_LENGTH) / _RATE  # (240,)
    since = time - beat
    stretch = (interval / 0.83).sqrt()[:, :, None]
    main = 0.022 * torch.exp(0.2 * wide)[:, :, None]
    heights = (
        0.6 * torch.exp(-0.6 * flat),
        1.8 * torch.exp(0.18 * tall),
        0.22 * raised,
        0.5 - 0.25 * turned,
    )
    one = torch.ones_like(main)
    shapes = (
        (-0.17 * stretch, 0.035 * one),
        (0 * one, main),
        (0.12 * stretch, 0.05 * one),
        (0.28 * stretch, 0.05 * one),
    )
    bumps = []
    for height, (at, width) in zip(heights, shapes, strict=True):
        bump = torch.exp(-((since - at) / width).square() / 2).sum(1)  # (N, 240)
        bumps.append(height * bump)
    turn = 1 + 0.2 * torch.randn(len(sizes), 1, 4, generator=rng)  # how the heart lies
    return torch.einsum("nbt,nbl->nlt", torch.stack(bumps, 1), _LEADS * turn)

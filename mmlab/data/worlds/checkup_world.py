"""Check-ups: a drawn chest X-ray, a drawn heart trace, and one report on both; nobody need have had both examinations.

Seven facts of a person are independent and uniform. Who shows and who tells which one is the law of this world:

============  ======  =====  =====  ======
fact          values  X-ray  ECG    report
============  ======  =====  =====  ======
heart size    6       yes    yes    yes
wires         3       yes    yes    yes
axis          4       yes    yes    **no**
congestion    4       yes    no     yes
effusion      3       yes    no     yes
rate          4       no     yes    yes
ST segment    3       no     yes    yes
============  ======  =====  =====  ======

On the X-ray the heart is an ellipse, as wide as the heart is large and turned by its axis; the wires of a pacemaker are
bright lines, congestion is streaks in the lungs, and an effusion hides the foot of one lung. In the ECG the size is the
height of the beats, each wire a spike before the beat, and the axis shares the height out between two leads. A report
has a word for each told fact, and leaves each one out with some probability. Everything is drawn: no picture and no
report is anybody's, and nothing that is learnt here says anything about a person.

Who knows what two examinations share can tell how far one can be found from the other at best; see
:meth:`CheckupWorld.known`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["FACTS", "SHARED", "TOLD", "WORDS", "CheckupWorld", "checkup_world", "draw_ecg", "draw_xray", "sentence_of"]

FACTS = {"size": 6, "wires": 3, "axis": 4, "congestion": 4, "effusion": 3, "rate": 4, "st": 3}
"""Number of values of each fact, in the order of the columns of ``facts``."""
SHARED = ("size", "wires", "axis")
"""What both examinations show."""
TOLD = ("size", "wires", "congestion", "effusion", "rate", "st")
"""What reports tell; not the axis."""
WORDS = (
    ("tiny heart", "small heart", "slender heart", "full heart", "wide heart", "huge heart"),
    ("no wire", "one wire", "two wires"),
    ("clear lungs", "faint streaks", "streaks", "dense streaks"),
    ("no effusion", "effusion left", "effusion right"),
    ("slow", "even", "brisk", "racing"),
    ("ST level", "ST raised", "ST lowered"),
)
"""For each told fact, what a report says of each value."""
SIDE, SAMPLES = 24, 64
_STARTS = tuple(sum(map(len, WORDS[:n])) for n in range(len(WORDS)))
_COLUMN = {name: at for at, name in enumerate(FACTS)}


@dataclass(frozen=True, eq=False)
class CheckupWorld:
    """People of three parts, each with both examinations and a report; a training may take of them what it likes.

    Attributes:
        parts: By ``train``, ``validation`` and ``test`` the items: ``xray`` (N, 1, 24, 24) and ``ecg`` (N, 2, 64),
            ``report`` (N, 23), 1 where a phrase of :data:`WORDS` is said, ``xray_present`` and ``ecg_present`` (N,),
            and ``facts`` (N, 7).
    """

    parts: dict[str, TensorData]

    @property
    def pairs(self) -> TensorData:
        """The training part: every person has a report and one of the two examinations."""
        return self.parts["train"]

    @staticmethod
    def known(facts: Tensor, names: tuple[str, ...], rng: torch.Generator) -> Tensor:
        """Similarities (N, N) of somebody who knows some facts of two examinations exactly, and guesses among equals.

        Args:
            facts: (N, 7).
            names: Which facts, of :data:`SHARED` for what can be known of both.
            rng: Breaks the ties.
        """
        seen = facts[:, [_COLUMN[name] for name in names]]
        equal = (seen[:, None] == seen[None]).all(2).double()
        return equal + 0.5 * torch.rand(equal.shape, generator=rng, dtype=torch.float64)


def checkup_world(
    items: int = 1200,
    seed: int = 0,
    *,
    validation: int = 200,
    test: int = 400,
    omitted: float = 0.1,
    noise: float = 0.15,
) -> CheckupWorld:
    """Draw people. In training, one half of them had an X-ray and the other half an ECG, each with a report on both.

    Args:
        items: Number of people in training.
        seed: Seed of people, pictures and reports.
        validation: Number of people for choices.
        test: Number of people for tests; like those for choices, they had both examinations.
        omitted: Probability that a report leaves a fact out.
        noise: Deviation of the noise of pictures and traces.

    Raises:
        ValueError: If a number is too small, or the probability is none.
    """
    require_at_least(items=(items, 4), validation=(validation, 1), test=(test, 1))
    if not 0 <= omitted < 1 or not noise >= 0:
        raise ValueError(f"omitted={omitted} and noise={noise}: the first is in [0, 1), the second not negative.")
    rng = torch.Generator().manual_seed(seed)
    counts = {"train": items, "validation": validation, "test": test}
    return CheckupWorld({name: _people(count, name == "train", omitted, noise, rng) for name, count in counts.items()})


def _people(count: int, once: bool, omitted: float, noise: float, rng: torch.Generator) -> TensorData:
    facts = torch.stack([torch.randint(values, (count,), generator=rng) for values in FACTS.values()], 1)
    first = torch.arange(count) % 2 == 0
    return TensorData(
        {
            "xray": draw_xray(facts, rng, noise),
            "ecg": draw_ecg(facts, rng, noise),
            "report": _report(facts, rng, omitted),
            "xray_present": first | (not once),
            "ecg_present": ~first | (not once),
            "facts": facts,
        }
    )


def _report(facts: Tensor, rng: torch.Generator, omitted: float) -> Tensor:
    report = torch.zeros(len(facts), sum(map(len, WORDS)))
    for start, name in zip(_STARTS, TOLD, strict=True):
        said = torch.rand(len(facts), generator=rng) >= omitted
        report[said, start + facts[said, _COLUMN[name]]] = 1.0
    return report


def sentence_of(report: Tensor) -> str:
    """A report (23,) in words."""
    words = [word for group in WORDS for word in group]
    return ", ".join(word for word, said in zip(words, report.tolist(), strict=True) if said) or "nothing to report"


def draw_xray(facts: Tensor, rng: torch.Generator, noise: float = 0.15) -> Tensor:
    """X-rays (N, 1, 24, 24) of facts (N, 7), about 0, brighter where less gets through; also dark lungs of any depth.

    Args:
        facts: Values of :data:`FACTS`.
        rng: Draws where the heart lies, how bright the picture is, and the noise.
        noise: Its deviation.
    """
    size, wires, axis, congestion, effusion = (
        facts[:, _COLUMN[n]].float()[:, None, None] for n in ("size", "wires", "axis", "congestion", "effusion")
    )
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    at = torch.randn(2, len(facts), 1, 1, generator=rng)
    dy, dx = y - 13 - 0.5 * at[0], x - 12 - 0.5 * at[1]
    turn = (axis - 1.5) * math.pi / 5
    along, across = dx * turn.cos() + dy * turn.sin(), dy * turn.cos() - dx * turn.sin()
    heart = ((along / (3.0 + 1.1 * size)).square() + (across / (1.8 + 0.7 * size)).square() < 1).float()
    lungs = (((x - 6.5).abs() < 4.5) | ((x - 17.5).abs() < 4.5)) & ((y - 12).abs() < 9)
    streaks = congestion / 3 * (torch.sin(2.2 * y + 0.4 * x) > 0.4).float()
    side = torch.where(effusion == 1, x < 12, x > 12) & (effusion > 0)
    fluid = (side & (y > 17)).float()
    line = ((x - 4 - 0.25 * y).abs() < 0.6).float() * (wires > 0) + ((x - 9 - 0.2 * y).abs() < 0.6).float() * (
        wires > 1
    )
    seen = 0.6 * lungs * (streaks - 1) + 0.9 * heart + 0.7 * fluid + 1.6 * line * (y < 12)
    seen = seen * (1 + 0.05 * torch.randn(len(facts), 1, 1, generator=rng))
    return (seen + noise * torch.randn(seen.shape, generator=rng))[:, None]


def draw_ecg(facts: Tensor, rng: torch.Generator, noise: float = 0.15) -> Tensor:
    """Heart traces (N, 2, 64) of facts (N, 7): two leads, cut at the beginning of a beat.

    Args:
        facts: Values of :data:`FACTS`.
        rng: Draws where the cut is, to two samples, the wander of the line, and the noise.
        noise: Its deviation.
    """
    size, wires, axis, rate, st = (
        facts[:, _COLUMN[n]].float()[:, None] for n in ("size", "wires", "axis", "rate", "st")
    )
    period = 30.0 - 5 * rate  # samples from beat to beat
    t = (torch.arange(SAMPLES) + 2 * torch.rand(len(facts), 1, generator=rng)) % period  # since the beat began

    def hill(at: float, wide: float) -> Tensor:
        return (-((t - at) / wide).square() / 2).exp()

    beat = (1 + 0.8 * size) * (hill(6, 1.0) - 0.3 * hill(8, 1.0))
    after = (st == 1).float() - (st == 2).float()
    rest = 0.8 * after * ((t > 9) & (t < 13)) + 0.4 * hill(12.5, 1.2)
    spikes = 1.5 * (wires > 0) * hill(3, 0.6) - 1.5 * (wires > 1) * hill(12, 0.6)
    turn = (axis - 1.5) * math.pi / 5 + math.pi / 4
    leads = torch.stack([turn.cos() * beat, turn.sin() * beat], 1)
    wander = 0.1 * torch.randn(len(facts), 2, 1, generator=rng)
    seen = leads + (rest + spikes)[:, None] + wander
    return seen + noise * torch.randn(seen.shape, generator=rng)

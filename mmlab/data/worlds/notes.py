"""Single notes of twelve synthetic instruments in four families, and captions that name them more or less often.

A note is a sum of partials of one pitch. How it begins and ends, whether it trembles and how much breath is in it, is
its family's; how its partials fall off, where they are strengthened, and which pitches it has, is its own. The names
are those of real instruments that gave the idea: no recording is in here.

A caption is a bag of words: the instrument's name with a given probability, its family, its register, how loud it is,
and words that say nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.worlds.speech import RATE, SAMPLES, log_spectrogram
from mmlab.wording import require_at_least

__all__ = ["FAMILIES", "FILLERS", "INSTRUMENTS", "LENGTH", "WORDS", "Notes", "captions_of", "kinship", "play"]

FAMILIES = ("bowed", "plucked", "blown", "brass")
# Of each family: attack in s, decay in s, depth of the vibrato, breath.
_MANNER = ((0.09, 4.0, 0.012, 0.03), (0.005, 0.16, 0.0, 0.01), (0.05, 4.0, 0.006, 0.12), (0.03, 4.0, 0.0, 0.02))
# Of each instrument: lowest and highest pitch in Hz, fall of the partials, share of the even ones, resonance in Hz.
_BODY = {
    "violin": (260, 700, 1.0, 1.0, 2400), "viola": (180, 520, 1.2, 1.0, 1500), "cello": (90, 350, 1.4, 1.0, 800),
    "harp": (130, 700, 1.8, 1.0, 900), "guitar": (110, 500, 1.2, 0.8, 1600), "lute": (150, 500, 0.8, 1.0, 2600),
    "flute": (260, 800, 2.4, 0.7, 1200), "oboe": (240, 700, 0.6, 1.0, 2800), "clarinet": (150, 600, 1.0, 0.1, 1500),
    "trumpet": (200, 700, 0.5, 1.0, 2200), "horn": (100, 450, 1.3, 1.0, 600), "tuba": (60, 240, 1.1, 1.0, 400),
}  # fmt: skip
INSTRUMENTS = tuple(_BODY)
"""Twelve names, three of each family in the order of :data:`FAMILIES`."""

_REGISTERS = ("low", "middling", "high")
_LOUDNESS = ("soft", "loud")
FILLERS = ("slow", "calm", "happy", "old", "recorded", "dance", "evening", "sad")
"""Words that say nothing of a note."""

WORDS = (*INSTRUMENTS, *FAMILIES, *_REGISTERS, *_LOUDNESS, *FILLERS)
"""The vocabulary: the token of a word is its number here."""

LENGTH = 6
"""Words of a caption."""


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes and what is known of them.

    Attributes:
        sound: Log-spectrograms, (N, 32, 32): band, frame; in nepers of power.
        label: The instrument, (N,).
        pitch: In Hz, (N,).
        loud: Whether it was played loudly, (N,) long.
    """

    sound: Tensor
    label: Tensor
    pitch: Tensor
    loud: Tensor

    def __len__(self) -> int:
        return len(self.label)


def play(each: int, seed: int = 0, noise: float = 0.3) -> Notes:
    """Notes of all instruments, in the order of the instruments.

    Args:
        each: Notes of each instrument.
        seed: Seed of everything that is random.
        noise: Share of the power of a note that is added as white noise.

    Raises:
        ValueError: If there is no note, or the noise is negative.
    """
    require_at_least(each=(each, 1))
    if noise < 0:
        raise ValueError(f"play: noise={noise} must not be negative.")
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(len(INSTRUMENTS)).repeat_interleave(each)
    body = torch.tensor(list(_BODY.values()))[label]  # (N, 5)
    manner = torch.tensor(_MANNER)[label // 3]  # (N, 4)
    N = len(label)
    low, high = body[:, 0], body[:, 1]
    pitch = low * (high / low) ** torch.rand(N, generator=rng)
    loud = torch.randint(2, (N,), generator=rng)
    fall = body[:, 2] * (1 + 0.1 * torch.randn(N, generator=rng)) + 0.3 * (1 - loud)  # soft notes are darker
    time = torch.arange(SAMPLES) / RATE
    attack, decay, depth, breath = manner.T[:, :, None]
    envelope = (time / attack).clamp(max=1) * torch.exp(-time / decay)
    tremble = depth * torch.sin(2 * torch.pi * (5.5 * time + torch.rand(N, 1, generator=rng))) / (2 * torch.pi * 5.5)
    phase = 2 * torch.pi * pitch[:, None] * (time + tremble)
    wave = torch.zeros(N, SAMPLES)
    for k in range(1, 13):
        frequency = k * pitch
        strength = k**-fall * (1 + 3 * torch.exp(-0.5 * ((frequency - body[:, 4]) / 400).square()))
        strength = strength * (body[:, 3] if k % 2 == 0 else 1) * (frequency < 0.48 * RATE)
        wave += strength[:, None] * torch.sin(k * phase + 2 * torch.pi * torch.rand(N, 1, generator=rng))
    wave = wave * envelope
    wave = wave / wave.square().mean(1, keepdim=True).sqrt()
    wave = wave + (breath * envelope + noise / 10) * torch.randn(N, SAMPLES, generator=rng)
    return Notes(log_spectrogram(wave), label, pitch, loud)


def captions_of(told: Notes, named: float, rng: torch.Generator) -> Tensor:
    """Captions of notes: tokens (N, 6), in the order name, family, register, loudness and two words that say nothing.

    A word that is left out has a word that says nothing in its place: the name is told with the given probability, each
    other fact with one half.

    Args:
        told: Notes.
        named: Probability with which a caption has the name.
        rng: Draws what is told.

    Raises:
        ValueError: If the probability is none.
    """
    if not 0 <= named <= 1:
        raise ValueError(f"captions_of: named={named} must lie between 0 and 1.")
    N = len(told)
    token = {word: number for number, word in enumerate(WORDS)}
    register = (told.pitch > 190).long() + (told.pitch > 380).long()
    facts = torch.stack(
        [told.label, token["bowed"] + told.label // 3, token["low"] + register, token["soft"] + told.loud], 1
    )
    nothing = token[FILLERS[0]] + torch.randint(len(FILLERS), (N, LENGTH), generator=rng)
    kept = torch.rand(N, 4, generator=rng) < torch.tensor([named, 0.5, 0.5, 0.5])
    nothing[:, :4] = torch.where(kept, facts, nothing[:, :4])
    return nothing


def kinship() -> Tensor:
    """What a book says of how related two instruments are, (12, 12).

    An instrument has 3 with itself, 2 within its family, 1 if both have strings or both are blown, and 0 else.
    """
    family = torch.arange(len(INSTRUMENTS)) // 3
    one, kind = family[:, None] == family, (family // 2)[:, None] == family // 2
    return one.long() + kind.long() + torch.eye(len(INSTRUMENTS)).long()

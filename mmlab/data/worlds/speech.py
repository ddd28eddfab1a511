"""Short spoken words at 8 kHz: a synthetic speaker, noise, log-spectrograms, and reading WAV files.

The speaker is a source-filter model. A train of pulses at the pitch, or white noise for consonants, is shaped by the
resonances of a vocal tract whose formants move from sound to sound. Speakers differ in pitch, length of the vocal
tract (which scales all formants) and tempo; takes of a speaker differ a little in all of these. The formants are
rounded values for American English, after Peterson and Barney 1952, Control methods used in a study of the vowels. It
is no natural voice, but its spectrograms have what tells spoken digits apart.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.paths import expand
from mmlab.wording import require_at_least

__all__ = ["RATE", "SAMPLES", "Clips", "babble", "brown", "log_spectrogram", "mix", "read_wav", "spoken_digits"]

RATE = 8000
"""Samples per second."""
BANDS = 32
FRAMES = 32
_WINDOW = 256
_HOP = 160
_STEP = 128  # samples between the frames in which the speaker's sounds are shaped
SAMPLES = _WINDOW + (FRAMES - 1) * _HOP
"""Length of a clip: 0.652 s, 32 frames of 32 ms, one every 20 ms."""

# Formants 1 to 3 in Hz; loudness of voice and of friction; centre and width of the friction in Hz; duration in ms.
_SOUNDS = {
    "a": (730, 1090, 2440, 1.0, 0.0, 2000, 900, 110), "e": (530, 1840, 2480, 1.0, 0.0, 2000, 900, 90),
    "ey": (480, 1950, 2550, 1.0, 0.0, 2000, 900, 90), "i": (390, 1990, 2550, 0.9, 0.0, 2000, 900, 80),
    "iy": (270, 2290, 3010, 0.9, 0.0, 2000, 900, 140), "o": (570, 840, 2410, 1.0, 0.0, 2000, 900, 110),
    "ow": (420, 780, 2350, 0.9, 0.0, 2000, 900, 100), "u": (300, 870, 2240, 0.9, 0.0, 2000, 900, 150),
    "uh": (640, 1190, 2390, 1.0, 0.0, 2000, 900, 100), "er": (450, 1300, 1690, 0.8, 0.0, 2000, 900, 60),
    "w": (300, 610, 2200, 0.6, 0.0, 2000, 900, 60), "r": (330, 1060, 1380, 0.7, 0.0, 2000, 900, 60),
    "n": (250, 1150, 2250, 0.5, 0.0, 2000, 900, 80), "v": (250, 1000, 2200, 0.3, 0.15, 2500, 1500, 60),
    "z": (260, 1400, 2500, 0.3, 0.5, 3600, 500, 90), "s": (300, 1500, 2500, 0.0, 0.9, 3700, 500, 100),
    "f": (300, 1200, 2300, 0.0, 0.3, 2700, 1600, 90), "th": (300, 1400, 2500, 0.0, 0.25, 3000, 1300, 80),
    "-": (300, 1400, 2500, 0.0, 0.0, 2500, 900, 40), "t": (300, 1700, 2600, 0.0, 0.9, 3200, 700, 30),
    "k": (300, 1900, 2400, 0.0, 0.8, 1900, 400, 30),
}  # fmt: skip
_DIGITS = (
    "z i r ow", "w uh n", "- t u", "th r iy", "f o er", "f a i v", "s i - k s", "s e v uh n", "ey i - t", "n a i n",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Clips:
    """Recordings of single words.

    Attributes:
        waves: (N, SAMPLES) float32, from the start of the word, zeros after its end; mean power 1 while it lasts.
        lengths: (N,) int64, samples until the end of the word, at most SAMPLES.
        label: (N,) int64, the word.
        speaker: (N,) int64.
        take: (N,) int64, which of the speaker's recordings of this word.
    """

    waves: Tensor
    lengths: Tensor
    label: Tensor
    speaker: Tensor
    take: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def where(self, chosen: Tensor) -> Clips:
        """The clips at these positions, or where a mask is true."""
        return Clips(*(part[chosen] for part in (self.waves, self.lengths, self.label, self.speaker, self.take)))


def spoken_digits(takes: int = 16, speakers: int = 6, seed: int = 0) -> Clips:
    """Digits 0 to 9, spoken by synthetic speakers.

    Args:
        takes: Recordings of each digit by each speaker.
        speakers: Their number; half of them have long vocal tracts and low voices.
        seed: Seed of everything that is random.

    Returns:
        10·takes·speakers clips.

    Raises:
        ValueError: If there are no takes or no speakers.
    """
    require_at_least(takes=(takes, 1), speakers=(speakers, 1))
    rng = np.random.default_rng(seed)
    pitch = np.where(np.arange(speakers) % 2, 200, 115) * rng.uniform(0.85, 1.15, speakers)
    scale = np.where(np.arange(speakers) % 2, 1.12, 0.97) * rng.uniform(0.95, 1.05, speakers)
    tempo = rng.uniform(0.85, 1.15, speakers)
    grid = np.indices((speakers, 10, takes)).reshape(3, -1)
    speaker, digit, take = grid
    count = grid.shape[1]
    scales = scale[speaker] * rng.normal(1, 0.03, count)
    tempos = tempo[speaker] * rng.uniform(0.85, 1.15, count)
    pitches = pitch[speaker] * rng.normal(1, 0.08, count)
    frames = 1 + SAMPLES // _STEP
    controls = np.stack(
        [_controls(_DIGITS[d], t, frames, rng) for d, t in zip(digit, tempos, strict=True)]
    )  # (N, F, 7)
    controls[:, :, :3] *= scales[:, None, None]
    lengths = np.minimum([_duration(_DIGITS[d], t) for d, t in zip(digit, tempos, strict=True)], SAMPLES)
    waves = _synthesise(torch.from_numpy(controls).float(), torch.from_numpy(pitches).float(), rng)
    ends = torch.from_numpy(lengths).long()
    waves = _level(waves, ends)
    return Clips(waves, ends, *(torch.from_numpy(part) for part in (digit, speaker, take)))


def babble(clips: Clips, samples: int, rng: torch.Generator, voices: int = 6) -> Tensor:
    """Several people speaking at once: words in random order, added up; mean power 1.

    Args:
        clips: Words to take.
        samples: Length.
        rng: Source of randomness.
        voices: How many speak.

    Returns:
        (samples,) float32.
    """
    total = torch.zeros(samples)
    for _ in range(voices):
        words, filled = [], 0
        while filled < samples:
            for index in torch.randperm(len(clips), generator=rng).tolist():
                words.append(clips.waves[index, : clips.lengths[index]])
                filled += len(words[-1])
                if filled >= samples:
                    break
        total += torch.cat(words)[:samples]
    return total / total.square().mean().sqrt()


def brown(samples: int, rng: torch.Generator, lowest: float = 45.0) -> Tensor:
    """Brown noise: power falls with the square of the frequency above ``lowest`` Hz, and is flat below; mean power 1.

    Returns:
        (samples,) float32.
    """
    spectrum = torch.fft.rfft(torch.randn(samples, generator=rng))
    frequency = torch.fft.rfftfreq(samples, 1 / RATE)
    shaped = torch.fft.irfft(spectrum / (1 + (frequency / lowest).square()).sqrt(), samples)
    return shaped / shaped.square().mean().sqrt()


def mix(clips: Clips, track: Tensor, snr: float, rng: torch.Generator) -> Tensor:
    """Put each word at a random place of its clip, and add a random stretch of a noise track.

    Args:
        clips: B clips.
        track: (L,), noise of mean power 1, at least as long as a clip.
        snr: Ratio of the mean power of the word, while it lasts, to that of the track, in dB.
        rng: Source of randomness.

    Returns:
        (B, SAMPLES).
    """
    room = SAMPLES - clips.lengths
    delay = (torch.rand(len(clips), generator=rng) * (room + 1)).long()
    moved = clips.waves.gather(1, (torch.arange(SAMPLES) - delay[:, None]) % SAMPLES)  # what wraps around is zero
    start = torch.randint(len(track) - SAMPLES + 1, (len(clips),), generator=rng)
    return moved + 10 ** (-snr / 20) * track.unfold(0, SAMPLES, 1)[start]


def log_spectrogram(waves: Tensor) -> Tensor:
    """Log power in 32 bands of 125 Hz, in 32 frames.

    Args:
        waves: (B, SAMPLES).

    Returns:
        (B, 32, 32): band (low to high), frame. In nepers of power, with a floor 80 dB below mean power 1.
    """
    frames = waves.unfold(1, _WINDOW, _HOP) * torch.hann_window(_WINDOW)  # (B, 32, 256)
    power = torch.fft.rfft(frames).abs().square()[..., 1:] / _WINDOW  # (B, 32, 128)
    bands = power.reshape(*power.shape[:2], BANDS, -1).mean(-1)
    return (bands + 1e-8).log().mT.contiguous()


def read_wav(path: Path) -> NDArray[np.int16]:
    """Samples of a mono 16-bit WAV file at 8 kHz.

    Returns:
        (T,) int16.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no such file, or holds no sound; the message names the file.
    """
    path = expand(path)
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if form != (1, 2, RATE):
                raise ValueError(f"it has {form[0]} channels of {8 * form[1]} bits at {form[2]} Hz")
            raw = file.readframes(file.getnframes())
        if len(raw) < 2:
            raise ValueError("it holds no samples")
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        detail = str(error) or type(error).__name__
        raise ValueError(
            f"{path} is not a mono 16-bit WAV file at 8 kHz ({detail}): get it again, or convert it with "
            f"`ffmpeg -i in.wav -ac 1 -ar {RATE} -sample_fmt s16 out.wav`."
        ) from None
    return np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2").astype(np.int16)


def _level(waves: Tensor, lengths: Tensor) -> Tensor:
    """Zeros after the end of the word, mean power 1 before it."""
    waves = waves * (torch.arange(waves.shape[1]) < lengths[:, None])
    power = waves.square().sum(1, keepdim=True) / lengths[:, None]
    return waves / power.clamp_min(1e-12).sqrt()


def _duration(word: str, tempo: float) -> int:
    return int(RATE * sum(_SOUNDS[sound][7] for sound in word.split()) / 1000 / tempo)


def _controls(word: str, tempo: float, frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Formants, loudness and friction in each frame of 16 ms (F, 7): steady within a sound, gliding between sounds."""
    sounds = [_SOUNDS[sound] for sound in word.split()]
    spans = np.array([sound[7] for sound in sounds]) * rng.uniform(0.8, 1.25, len(sounds))
    spans *= _duration(word, tempo) / spans.sum()  # samples
    starts = np.cumsum(spans) - spans
    places = np.stack([starts + 0.25 * spans, starts + 0.75 * spans], 1).ravel()
    values = np.repeat([sound[:7] for sound in sounds], 2, axis=0) * rng.normal(1, 0.03, (2 * len(sounds), 7))
    time = _STEP * np.arange(frames)
    return np.stack([np.interp(time, places, column) for column in values.T], 1)


def _synthesise(controls: Tensor, pitch: Tensor, rng: np.random.Generator) -> Tensor:
    """Shape pulses and white noise frame by frame: controls (N, F, 7), pitch in Hz (N,) -> (N, SAMPLES)."""
    noise = torch.from_numpy(rng.standard_normal((len(pitch), SAMPLES), dtype=np.float32))
    fall = torch.linspace(1.1, 0.85, SAMPLES)  # the pitch falls while one speaks
    start = torch.from_numpy(rng.random((len(pitch), 1), dtype=np.float32))
    phase = (pitch[:, None] / RATE * fall).cumsum(1) + start
    pulses = (phase.floor().diff(dim=1, prepend=start.floor()) > 0).float() * (RATE / pitch[:, None]).sqrt()
    window = torch.hann_window(_WINDOW)
    voice, hiss = (torch.stft(x, _WINDOW, _STEP, window=window, return_complex=True) for x in (pulses, noise))
    frequency = torch.linspace(0, RATE / 2, _WINDOW // 2 + 1)  # (129,)
    tract = torch.rsqrt(1 + (frequency / 600).square())  # the larynx and the lips
    fourth = 3500 / 2450 * controls[:, :, 2:3].mean(1, keepdim=True).expand(-1, len(controls[0]), -1)
    for k, width in enumerate((70, 100, 160, 250)):
        formant = controls[:, :, k, None] if k < 3 else fourth  # (N, F, 1)
        tract = (
            tract
            * formant.square()
            * torch.rsqrt((frequency.square() - formant.square()).square() + (width * frequency).square())
        )
    loud, rub, centre, spread = controls[:, :, 3:, None].unbind(2)
    friction = rub * torch.exp(-0.5 * ((frequency - centre) / spread).square())
    shaped = voice * (loud * tract).mT + 0.3 * hiss * friction.mT
    return torch.istft(shaped, _WINDOW, _STEP, window=window, length=SAMPLES)

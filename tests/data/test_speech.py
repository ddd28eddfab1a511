"""Synthetic speech, noise and spectrograms: their stated laws, and WAV files that are read or refused."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from mmlab.data.worlds.speech import (
    RATE,
    SAMPLES,
    Clips,
    babble,
    brown,
    log_spectrogram,
    mix,
    read_wav,
    spoken_digits,
)


@pytest.fixture(scope="module")
def clips() -> Clips:
    return spoken_digits(takes=2, seed=1)


def write_wav(path: Path, samples: np.ndarray, channels: int = 1, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_every_speaker_says_every_digit(clips: Clips) -> None:
    assert len(clips) == 120
    assert len({*zip(clips.label.tolist(), clips.speaker.tolist(), clips.take.tolist(), strict=True)}) == 120
    assert clips.waves.dtype == torch.float32
    again = spoken_digits(takes=2, seed=1)
    assert torch.equal(again.waves, clips.waves)
    assert not torch.equal(spoken_digits(takes=2, seed=2).waves, clips.waves)


def test_words_have_mean_power_one_and_then_silence(clips: Clips) -> None:
    for wave_, length in zip(clips.waves, clips.lengths.tolist(), strict=True):
        assert float(wave_[:length].square().mean()) == pytest.approx(1, rel=1e-4)
        assert not wave_[length:].any()
        assert 0.1 * RATE < length <= SAMPLES


def test_the_voice_has_the_formants_and_the_pitch() -> None:
    """In the last third of "two" the lips are round: F1 near 300, F2 near 870 Hz. The pitch is the speaker's."""
    two = spoken_digits(takes=20, seed=0)
    two = two.where((two.label == 2) & (two.speaker == 0))  # a low voice
    spectra, pitches = [], []
    for sound, length in zip(two.waves.numpy(), two.lengths.tolist(), strict=True):
        vowel = sound[int(0.6 * length) : int(0.9 * length)]
        spectra.append(np.abs(np.fft.rfft(vowel * np.hanning(len(vowel)), 4096)) ** 2)
        correlation = np.correlate(vowel, vowel, "full")[len(vowel) - 1 :]
        pitches.append(RATE / (40 + correlation[40:120].argmax()))
    mean = np.mean(spectra, 0)
    frequency = np.fft.rfftfreq(4096, 1 / RATE)

    def energy(low: float, high: float) -> float:
        return float(mean[(frequency >= low) & (frequency < high)].mean())

    assert energy(200, 450) > 5 * energy(500, 700)  # F1
    assert energy(700, 1000) > 5 * energy(1300, 1900)  # F2 stands out from what is above it
    assert 80 < np.median(pitches) < 150


def test_s_hisses_and_n_hums(clips: Clips) -> None:
    spectrogram = log_spectrogram(clips.waves)  # (N, 32 bands, 32 frames)
    start = spectrogram[:, :, 1:4].exp()
    share = start[:, 16:].sum((1, 2)) / start.sum((1, 2))  # above 2 kHz, as the word begins
    assert float(share[clips.label == 6].min()) > 0.6
    assert float(share[clips.label == 9].max()) < 0.2


def test_brown_noise_falls_with_the_square_of_the_frequency() -> None:
    track = brown(2**17, torch.Generator().manual_seed(0)).double().numpy()
    assert (track**2).mean() == pytest.approx(1, rel=1e-4)
    power = np.abs(np.fft.rfft(track)) ** 2
    frequency = np.fft.rfftfreq(len(track), 1 / RATE)
    means = [power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (500, 1000, 2000)]
    assert means[0] / means[1] == pytest.approx(4, rel=0.2)
    assert means[1] / means[2] == pytest.approx(4, rel=0.2)


def test_babble_is_made_of_the_given_words(clips: Clips) -> None:
    one = clips.where(torch.tensor([3]))
    track = babble(one, 3 * SAMPLES, torch.Generator().manual_seed(0), voices=1)
    word = one.waves[0, : one.lengths[0]]
    assert torch.allclose(track / track.abs().max(), word.repeat(20)[: 3 * SAMPLES] / word.abs().max(), atol=1e-5)
    crowd = babble(clips, RATE, torch.Generator().manual_seed(0))
    assert float(crowd.square().mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("snr", [-12.0, 0.0, 6.0])
def test_mix_keeps_the_ratio(clips: Clips, snr: float) -> None:
    track = torch.randn(10 * RATE, generator=torch.Generator().manual_seed(0))
    mixed = mix(clips, track, snr, torch.Generator().manual_seed(1))
    quiet = mix(clips, 0 * track, snr, torch.Generator().manual_seed(1))  # the same places of the words
    noise = float((mixed - quiet).square().mean())
    assert 10 * np.log10(1 / noise) == pytest.approx(snr, abs=0.1)
    assert torch.allclose(quiet.square().sum(1), clips.lengths.float(), rtol=1e-3)  # nothing of a word is lost
    moved = quiet.ne(0).float().argmax(1) - clips.waves.ne(0).float().argmax(1)
    assert bool((moved >= 0).all())
    assert len(set(moved.tolist())) > 60


def test_spectrogram_by_hand() -> None:
    time = np.arange(SAMPLES) / RATE
    tone = np.sin(2 * np.pi * 1062.5 * time).astype(np.float32)
    got = log_spectrogram(torch.from_numpy(tone)[None])[0].numpy()
    assert got.shape == (32, 32)
    assert set(got.argmax(0)) == {8}  # 8 * 125 to 9 * 125 Hz
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    power = np.abs(np.fft.rfft(tone[160 * 5 : 160 * 5 + 256] * window)) ** 2 / 256
    assert got[:, 5] == pytest.approx(np.log(power[1:].reshape(32, 4).mean(1) + 1e-8), abs=1e-3)


def test_wav_files_come_back(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 32767, -32768], dtype=np.int16)
    assert np.array_equal(read_wav(write_wav(tmp_path / "a.wav", samples)), samples)


def test_other_files_are_refused(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "stereo.wav", np.zeros(8), channels=2)
    fast = write_wav(tmp_path / "fast.wav", np.zeros(8), rate=44_100)
    empty = write_wav(tmp_path / "empty.wav", np.zeros(0))
    text = tmp_path / "text.wav"
    text.write_text("hello")
    for path, reason in ((stereo, "2 channels"), (fast, "44100 Hz"), (empty, "no samples"), (text, "EOFError|RIFF")):
        with pytest.raises(ValueError, match=rf"{path.name} is not a mono 16-bit WAV file at 8 kHz \(.*({reason})"):
            read_wav(path)
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "none.wav")


@pytest.mark.parametrize("arguments", [{"takes": 0}, {"speakers": -1}])
def test_nobody_and_nothing_spoken_are_refused(arguments: dict[str, int]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name}={value} is too small: choose at least 1"):
        spoken_digits(**arguments)

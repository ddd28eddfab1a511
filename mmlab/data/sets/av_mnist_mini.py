"""Pictures and sounds of digits: AV-MNIST rebuilt small, from free parts, and named so.

AV-MNIST pairs MNIST images, of whose energy 75 % were removed by PCA, with log-spectrograms of spoken digits in noise.
No script that makes it is public, and its speech is said to be licensed (TIDIGITS). This set follows the same recipe
with other parts: numbers measured on it are not comparable with those of papers.

An image and a spoken digit are drawn *independently* given the digit. So the product of what the two modalities say is
the true model by construction, here and in AV-MNIST itself.

Three sources give items of the same meaning:

* synthetic, without any download: the 8 x 8 digits of scikit-learn, enlarged to 28 x 28, and a synthetic speaker;
* real: MNIST and the Free Spoken Digit Dataset (CC BY-SA 4.0), in the prepared form of the registry, or the latter as
  its own folder of WAV files;
* original: the files of AV-MNIST as MultiBench and I2M2 read them, if you have them.

Takes of the speaker, and images, are disjoint between training, validation and test, and so are the stretches of noise.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from mmlab.data.files import registry
from mmlab.data.files.arrays import read_arrays
from mmlab.data.files.odd import tell_left_out
from mmlab.data.sets.av_mnist import original_av_mnist
from mmlab.data.splits import Splits
from mmlab.data.tensors import TensorData
from mmlab.data.worlds import speech
from mmlab.data.worlds.speech import Clips
from mmlab.paths import expand, folder_from_environment
from mmlab.wording import naming

__all__ = ["av_mnist_mini", "recordings", "strip_energy"]

Origin = Literal["auto", "synthetic", "real", "original"]
Standardise = Literal["bin", "whole"]

_SIZES = {"synthetic": (3000, 500, 1500), "real": (6000, 1000, 3000), "original": (55_000, 5000, 10_000)}
_TRACK = 120 * speech.RATE  # two minutes of noise for each split
_BABBLE = 0.01  # share of the noise's power: 20 dB below the brown noise, which lies below most of speech
_THANKS = "Speech: Free Spoken Digit Dataset, Jakobovski et al., CC BY-SA 4.0. Images: MNIST, LeCun et al. 1998."


@dataclass(frozen=True, eq=False)
class _Parts:
    """Images and clips of one split; ``label`` is that of the images."""

    image: Tensor
    label: Tensor
    clips: Clips


def av_mnist_mini(
    root: str | Path | None = None,
    snr: float = -12.0,
    seed: int = 0,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    energy: float = 0.25,
    origin: Origin = "auto",
    standardise: Standardise = "bin",
) -> Splits:
    """Build the pairs. The same arguments and files give the same pairs.

    Args:
        root: Folder of real files: either one with ``mnist/mnist.npz`` and ``fsdd/fsdd.npz`` (or ``fsdd/recordings``
            with WAV files), or the original AV-MNIST with ``image/train_data.npy``. Default: ``$MMLAB_DATA``.
        snr: Ratio of the mean power of the word to that of the noise, in dB. The noise is brown above 45 Hz, with a
            babble of six voices 20 dB below it. Not used for original files.
        seed: Seed of everything that is random.
        train: Number of pairs to train on; default 3000 synthetic, 6000 real, or all original ones but the last 5000.
        validation: Number of pairs to choose by; default 500, 1000 or 5000.
        test: Number of pairs to report on; default 1500, 3000 or 10000.
        energy: Share of the variance of the images that PCA keeps: the fewest components that reach it. The
            components are fitted on the training images. Not used for original files.
        origin: ``"synthetic"``, ``"real"`` or ``"original"``; ``"auto"`` takes what ``root`` holds, or else what the
            folder in ``MMLAB_DATA`` holds, or else the synthetic one.
        standardise: Spectrograms by the mean and deviation of each of the 32 x 32 values in training (``"bin"``), or
            by one of all (``"whole"``): then the spectrum of the noise, the same in every item, drowns the words, and
            a network learns them slowly. Not used for original files.

    Returns:
        Splits with keys ``image`` (1, 28, 28), standardised by one mean and deviation of the training images;
        ``audio`` (1, 32, 32) log-spectrograms (original files: (1, 112, 112) from 0 to 1, like the images there); and
        ``label``, 0 to 9.

    Raises:
        FileNotFoundError: If files are missing; the message says which, and how to get them.
        ValueError: If an argument is out of its range, or a file is not as it should be.
    """
    if not np.isfinite(snr) or not 0 < energy <= 1:
        raise ValueError(f"snr={snr} and energy={energy}: give decibels, and a share above 0 and up to 1.")
    if standardise not in get_args(Standardise):
        raise ValueError(f"standardise is 'bin' or 'whole', not {standardise!r}.")
    kind, folder = _locate(root, origin)
    given = zip((train, validation, test), _SIZES[kind], strict=True)
    sizes = tuple(default if size is None else size for size, default in given)
    if min(sizes) < 1:
        raise ValueError(f"A split of {min(sizes)} pairs is empty: give at least 1.")
    if kind == "original" and folder is not None:
        return original_av_mnist(folder, train, sizes[1], test)
    if folder is None:
        with naming("The synthetic speaker"):
            splits = [dict(split) for split in _synthetic_pairs(sizes, snr, seed)]
    else:
        rng = torch.Generator().manual_seed(seed)
        parts = _real_parts(folder, rng)
        with naming(folder):
            splits = _pairs(parts, sizes, snr, rng)
    _prepare(splits, energy, standardise)
    names = ("synthetic",) if kind == "synthetic" else ("mnist", "fsdd")
    said = {"synthetic": "digits of scikit-learn and a synthetic speaker", "real": "MNIST and FSDD"}[kind]
    train_pairs, validation_pairs, test_pairs = (TensorData(split) for split in splits)
    return Splits(
        train_pairs,
        validation_pairs,
        test_pairs,
        description=(
            f"AV-MNIST-mini from {said}: {energy:.0%} of the variance of the images, speech at {snr:g} dB in brown "
            "noise with babble, pairs drawn independently given the digit. Not the published AV-MNIST."
        ),
        source=names,
        acknowledgement="" if kind == "synthetic" else _THANKS,
    )


def strip_energy(train: Tensor, others: list[Tensor], energy: float) -> list[Tensor]:
    """Project images on the fewest principal components of the training images that hold a share of their variance.

    Args:
        train: (N, P) training images.
        others: More images (.., P).
        energy: The share to keep.

    Returns:
        The projected training images, then the others.
    """
    mean = train.mean(0)
    centred = (train - mean).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    values, vectors = values.flip(0), vectors.flip(1)
    # The small allowance keeps all components for a share of 1, despite rounding.
    count = int((values.cumsum(0) < (energy - 1e-9) * values.sum()).sum()) + 1
    basis = vectors[:, :count].float()
    return [(images - mean) @ basis @ basis.T + mean for images in (train, *others)]


def recordings(folder: Path) -> Clips:
    """The Free Spoken Digit Dataset: ``fsdd.npz`` as the registry has it, or ``recordings/<digit>_<name>_<take>.wav``.

    A recording that is longer than a clip is cut to the stretch around the middle of its energy.

    Raises:
        FileNotFoundError: If neither is there; the message says how to get it.
        ValueError: If the prepared file is not as it should be, or no recording is. Single recordings that are damaged,
            silent or of another kind are left out, with a warning that counts and names them.
    """
    folder = expand(folder, "folder")
    prepared = folder / "fsdd.npz"
    entry = registry.source("fsdd")
    if prepared.is_file():
        arrays = read_arrays(prepared, entry.files["fsdd.npz"].arrays, "check with `mmlab data verify fsdd`.")
        ends = arrays["offset"]
        if ends[0] != 0 or ends[-1] != len(arrays["audio"]) or (np.diff(ends) < 1).any():
            raise ValueError(f"{prepared}: array 'offset' does not rise from 0 to the end: get the file again.")
        sounds = np.split(arrays["audio"], ends[1:-1])
        about = [arrays[key].astype(np.int64) for key in ("label", "speaker", "index")]
        with naming(prepared):
            return _clips(sounds, *about)
    files = sorted((folder / "recordings").glob("*.wav"))
    matches = [re.fullmatch(r"([0-9])_(.+)_([0-9]{1,6})", file.stem) for file in files]
    named = [match.groups() for match in matches if match]  # digit, speaker, take
    if not named:
        raise FileNotFoundError(
            f"There is neither {prepared} nor recordings/0_name_0.wav beside it: {entry.how_to_get}"
        )
    people = sorted({name for _, name, _ in named})
    sounds, odd = [], []
    facts: list[tuple[int, int, int]] = []
    for file, match in zip(files, matches, strict=True):
        if not match:
            continue
        try:
            sound = speech.read_wav(file)
            if not sound.any():
                raise ValueError(f"{file} is silent.")
        except ValueError as error:
            odd.append(str(error).rstrip("."))
            continue
        digit, name, take = match.groups()
        sounds.append(sound)
        facts.append((int(digit), people.index(name), int(take)))
    tell_left_out(folder / "recordings", odd, len(named), "recordings", entry.how_to_get)
    return _clips(sounds, *(np.array(column) for column in zip(*facts, strict=True)))


def _locate(root: str | Path | None, origin: str) -> tuple[str, Path | None]:
    """What to build from, and the folder that holds it."""
    if origin not in (*_SIZES, "auto"):
        raise ValueError(f"There is no origin {origin!r}: choose from auto, {', '.join(_SIZES)}.")
    if origin == "synthetic":
        return origin, None
    folder = expand(root, "root") if root else folder_from_environment("MMLAB_DATA")
    if folder is not None:
        if origin != "original" and (folder / "mnist").is_dir() and (folder / "fsdd").is_dir():
            return "real", folder
        for place in (folder, folder / "av_mnist"):
            if origin != "real" and (place / "image" / "train_data.npy").is_file():
                return "original", place
    if origin == "auto" and root is None:
        return "synthetic", None
    names = {"real": "mnist/mnist.npz and fsdd/fsdd.npz", "original": "image/train_data.npy"}
    sought = names.get(origin, " nor ".join(names.values()))
    where = f"in {folder}" if folder else "since MMLAB_DATA names no folder"
    raise FileNotFoundError(
        f"av_mnist_mini finds no {sought} {where}: give the folder above them as root, or take origin='synthetic'; "
        f"{registry.source('fsdd').how_to_get}"
    )


@functools.lru_cache(maxsize=1)
def _synthetic_pairs(sizes: tuple[int, ...], snr: float, seed: int) -> list[dict[str, Tensor]]:
    """What was drawn last, kept: the same pairs, standardised in another way, are not drawn again."""
    return _pairs(_synthetic_parts(seed), sizes, snr, torch.Generator().manual_seed(seed))


@functools.lru_cache(maxsize=1)
def _synthetic_parts(seed: int) -> list[_Parts]:
    """The 1797 digits of scikit-learn, and 10 takes of each digit by 6 speakers, of which 2 and 1 are held out."""
    from sklearn.datasets import load_digits

    pixels, label = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    where = torch.tensor_split(order, [7 * len(order) // 10, 8 * len(order) // 10])
    clips = speech.spoken_digits(takes=10, seed=seed)
    takes = (clips.take >= 3, clips.take == 2, clips.take < 2)
    return [
        _Parts(pixels[i].float() / 16, label[i].long(), clips.where(chosen))
        for i, chosen in zip(where, takes, strict=True)
    ]


def _real_parts(folder: Path, rng: torch.Generator) -> list[_Parts]:
    """Takes 0 to 9 of 50 are for the test, 10 to 14 for validation; MNIST's own test images are for the test."""
    path = folder / "mnist" / "mnist.npz"
    entry = registry.source("mnist")
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {entry.how_to_get}")
    arrays = read_arrays(path, entry.files["mnist.npz"].arrays, "check with `mmlab data verify mnist`.")
    pixels = {name: torch.from_numpy(arrays[f"x_{name}"]).flatten(1) for name in ("train", "test")}
    labels = {name: torch.from_numpy(arrays[f"y_{name}"]).long() for name in ("train", "test")}
    order = torch.randperm(60_000, generator=rng)
    clips = recordings(folder / "fsdd")
    takes = (clips.take >= 15, (clips.take >= 10) & (clips.take < 15), clips.take < 10)
    rows = (("train", order[:50_000]), ("train", order[50_000:]), ("test", torch.arange(10_000)))
    return [
        _Parts(pixels[name][i], labels[name][i], clips.where(chosen))
        for (name, i), chosen in zip(rows, takes, strict=True)
    ]


def _clips(sounds: list[NDArray[Any]], label: NDArray[Any], speaker: NDArray[Any], take: NDArray[Any]) -> Clips:
    """Recordings of any length, cut or padded to clips, at mean power 1."""
    waves = torch.zeros(len(sounds), speech.SAMPLES)
    lengths = torch.zeros(len(sounds), dtype=torch.long)
    for i, sound in enumerate(sounds):
        wave = sound.astype(np.float32)
        if len(wave) > speech.SAMPLES:
            energy = np.cumsum(wave.astype(np.float64) ** 2)
            middle = int(np.searchsorted(energy, energy[-1] / 2))
            start = min(max(middle - speech.SAMPLES // 2, 0), len(wave) - speech.SAMPLES)
            wave = wave[start : start + speech.SAMPLES]
        power = float((wave.astype(np.float64) ** 2).mean())
        if power == 0:
            raise ValueError(f"Recording {i} (digit {label[i]}, take {take[i]}) is silent: get the files again.")
        waves[i, : len(wave)] = torch.from_numpy(wave / power**0.5)
        lengths[i] = len(wave)
    return Clips(waves, lengths, *(torch.from_numpy(part) for part in (label, speaker, take)))


def _pairs(parts: list[_Parts], sizes: tuple[int, ...], snr: float, rng: torch.Generator) -> list[dict[str, Tensor]]:
    """The pairs of each split."""
    return [_pair(part, size, snr, rng) for part, size in zip(parts, sizes, strict=True)]


def _pair(parts: _Parts, count: int, snr: float, rng: torch.Generator) -> dict[str, Tensor]:
    """Pairs of the same digit: as many of each digit, images and clips drawn independently and used evenly."""
    label = (torch.arange(count) % 10)[torch.randperm(count, generator=rng)]
    image = _draw(label, parts.label, rng)
    clip = _draw(label, parts.clips.label, rng)
    voices = speech.babble(parts.clips, _TRACK, rng)
    track = _BABBLE**0.5 * voices + (1 - _BABBLE) ** 0.5 * speech.brown(_TRACK, rng)
    audio = torch.cat([
        speech.log_spectrogram(speech.mix(parts.clips.where(some), track, snr, rng)) for some in torch.split(clip, 500)
    ])  # fmt: skip
    return {"image": parts.image[image].float(), "audio": audio[:, None], "label": label}


def _draw(label: Tensor, pool: Tensor, rng: torch.Generator) -> Tensor:
    """For each label the position of one in the pool; none is drawn twice before all were drawn once."""
    chosen = torch.empty_like(label)
    for digit in range(10):
        wanted = torch.nonzero(label == digit)[:, 0]
        there = torch.nonzero(pool == digit)[:, 0]
        if not len(there):
            raise ValueError(f"There is no recording or image of digit {digit} in a split: get all files.")
        rounds = -(-len(wanted) // len(there))
        drawn = [there[torch.randperm(len(there), generator=rng)] for _ in range(rounds)]
        chosen[wanted] = torch.cat([*drawn, there[:0]])[: len(wanted)]
    return chosen


def _prepare(splits: list[dict[str, Tensor]], energy: float, standardise: Standardise) -> None:
    """Strip the images of energy and enlarge them; then mean 0 and deviation 1, by the training pairs, in place."""
    train, *others = strip_energy(splits[0]["image"], [split["image"] for split in splits[1:]], energy)
    for split, image in zip(splits, (train, *others), strict=True):
        side = round(image.shape[1] ** 0.5)
        square = image.reshape(-1, 1, side, side)
        split["image"] = square if side == 28 else interpolate(square, (28, 28), mode="bilinear")
    for key in ("image", "audio"):
        over = (0,) if key == "audio" and standardise == "bin" else (0, 1, 2, 3)
        mean, deviation = splits[0][key].mean(over), splits[0][key].std(over).clamp_min(1e-2)
        for split in splits:
            split[key] = (split[key] - mean) / deviation
    for split in splits:
        split["label"] = split["label"].clone()  # nothing that is handed out is what was kept

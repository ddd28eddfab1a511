"""Twelve-lead ECGs of the PhysioNet/CinC Challenge 2021 with diagnosis codes: fifty prepared ones, or files as given.

The challenge's records are pairs of a header (``.hea``: leads, units, age, sex, codes) and samples (``.mat``). Fifty of
them are in ``DeepPSP/torch_ecg``; :func:`read_challenge` reads such a folder as it is. Fifty records are enough to see
real waves and to try a tower on them, and not enough to measure anything. Nothing made of them is a medical device.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out
from mmlab.data.files.text import read_lines
from mmlab.paths import expand

__all__ = ["CODES", "Ecg12", "ecg12_cinc2021", "read_challenge"]

CODES = {
    "427084000": "sinus tachycardia",
    "284470004": "premature atrial contraction",
    "426783006": "sinus rhythm",
    "164934002": "t wave abnormal",
    "698252002": "nonspecific intraventricular conduction disorder",
}
"""What the most frequent SNOMED CT codes of the fifty records say."""

_COLUMNS = {"record": "i", "source": "U", "age": "U", "sex": "U", "dx_snomed": "U"}
_SIGNAL = re.compile(r"16(?:x1)?\+(\d+)", re.ASCII)
_GAIN = re.compile(r"(\d+(?:\.\d+)?)(?:\((-?\d+)\))?(?:/mV)?", re.ASCII)

Record = tuple[Tensor, tuple[str, ...], int, tuple[str, ...], float, str, str]


@dataclass(frozen=True, eq=False)
class Ecg12:
    """N records of one length.

    Attributes:
        ecg: (N, leads, T) float32, in millivolt.
        leads: Names of the leads.
        rate: Samples per second.
        codes: For each record its diagnosis codes.
        age: In years, nan where it is not told, (N,).
        sex: ``"Male"``, ``"Female"``, or empty.
        source: Where each record comes from.
    """

    ecg: Tensor
    leads: tuple[str, ...]
    rate: int
    codes: tuple[tuple[str, ...], ...]
    age: Tensor
    sex: tuple[str, ...]
    source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ecg)

    def labels(self, codes: tuple[str, ...] = tuple(CODES)) -> Tensor:
        """Which of these codes each record has, (N, codes) float."""
        return torch.tensor([[float(code in own) for code in codes] for own in self.codes])

    def at_rate(self, rate: int) -> Tensor:
        """The records with fewer samples, each the mean of those it stands for, (N, leads, T rate / self.rate).

        Raises:
            ValueError: If the rate does not divide that of the records, or is not positive.
        """
        if rate < 1 or self.rate % rate:
            raise ValueError(f"at_rate: rate={rate} must divide {self.rate} samples per second.")
        step = self.rate // rate
        kept = self.ecg[..., : self.ecg.shape[-1] // step * step]
        return kept.reshape(*kept.shape[:-1], -1, step).mean(-1)


def ecg12_cinc2021() -> Ecg12:
    """The fifty prepared records.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If the files are not as they should be; the message names the file.
    """
    name = "ecg12_cinc2021"
    table = registry.load_table(name, "ecg_meta.csv", _COLUMNS)
    arrays = registry.load_arrays(name, "ecg.npz")
    path = registry.where(name) / "ecg_meta.csv"
    if len(table["record"]) != len(arrays["signal_uv"]) or table["record"] != list(range(len(table["record"]))):
        raise ValueError(
            f"{path} has {len(table['record'])} records for {len(arrays['signal_uv'])} signals, and they are counted "
            f"from 0: put the right file there (check: mmlab data verify ecg12_cinc2021)."
        )
    return Ecg12(
        torch.from_numpy(arrays["signal_uv"].astype(np.float32)) / 1000,
        tuple(arrays["lead"].tolist()),
        int(arrays["sample_rate"]),
        tuple(_codes(text) for text in table["dx_snomed"]),
        torch.tensor([_age(text) for text in table["age"]]),
        tuple(_sex(text) for text in table["sex"]),
        tuple(table["source"]),
    )


def read_challenge(folder: str | Path) -> Ecg12:
    """Records of the challenge as its files have them: all ``.hea`` of a folder and those below it, in order of names.

    Args:
        folder: Where they are; a record's source is the folder that holds it.

    Raises:
        FileNotFoundError: If there is no header.
        ValueError: If no record can be read. Single records that are damaged, or that have other leads, another rate or
            another length than the first, are left out, with a warning that counts and names them.
    """
    root = expand(folder, "folder")
    headers = sorted(root.rglob("*.hea"))
    if not headers:
        raise FileNotFoundError(f"There is no .hea file in {root}: put the headers and the .mat files there.")
    made: list[Record] = []
    odd = []
    for header in headers:
        try:
            record = _read_record(header)
            if made and (record[1:3], record[0].shape) != (made[0][1:3], made[0][0].shape):
                raise ValueError("has other leads, another rate or another length than the first record")
        except (ValueError, OSError) as error:
            odd.append(f"{header.relative_to(root)} {error}")
        else:
            made.append(record)
    tell_left_out(root, odd, len(headers), "records", "get the files again.")
    signals, leads, rates, codes, ages, sexes, sources = zip(*made, strict=True)
    return Ecg12(torch.stack(signals), leads[0], rates[0], codes, torch.tensor(ages), sexes, sources)


def _read_record(header: Path) -> Record:
    """One record of a header and its samples: 16-bit integers, all leads of a moment one after the other."""
    lines = [line.strip() for line in read_lines(header) if line.strip()]
    said = dict(line[1:].strip().split(":", 1) for line in lines if line.startswith("#") and ":" in line)
    rows = [line.split() for line in lines if not line.startswith("#")]
    first = rows[0] if rows else []
    if len(first) < 4 or not all(re.fullmatch(r"[1-9]\d{0,7}", part, re.ASCII) for part in first[1:4]):
        raise ValueError("does not begin with a name and the numbers of leads, rate and samples")
    count, rate, length = (int(part) for part in first[1:4])
    if len(rows) != count + 1 or any(len(row) < 9 for row in rows[1:]):
        raise ValueError(f"does not have a line for each of {count} leads")
    file, (starts, gains) = rows[1][0], zip(*(_lead_line(row) for row in rows[1:]), strict=True)
    if Path(file).name != file or any(row[0] != file for row in rows[1:]) or len(set(starts)) != 1:
        raise ValueError("has its samples in more than one file, or in another folder")
    samples = (header.parent / file).read_bytes()[starts[0] :]
    if len(samples) != 2 * count * length:
        raise ValueError(f"has {len(samples)} bytes of samples instead of {2 * count * length}")
    raw = np.frombuffer(samples, "<i2").reshape(length, count).T.astype(np.float32)
    gain, zero = np.array(gains, np.float32).T[:, :, None]
    leads = tuple(row[8] for row in rows[1:])
    known = {key.strip().lower(): value.strip() for key, value in said.items()}
    codes, age, sex = _codes(known.get("dx", "")), _age(known.get("age", "")), _sex(known.get("sex", ""))
    return torch.from_numpy((raw - zero) / gain), leads, rate, codes, age, sex, header.parent.name


def _lead_line(row: list[str]) -> tuple[int, tuple[float, float]]:
    """Where the samples begin, in bytes; samples per millivolt, and which sample is zero."""
    layout, gain = _SIGNAL.fullmatch(row[1]), _GAIN.fullmatch(row[2])
    if not layout or not gain or not float(gain[1]) > 0:
        raise ValueError(f"has the layout {row[1][:20]!r} and the gain {row[2][:20]!r}, expected 16+24 and 1000/mV")
    baseline = gain[2] if gain[2] is not None else row[4]
    if not re.fullmatch(r"-?\d{1,7}", baseline, re.ASCII):
        raise ValueError(f"has the zero {baseline[:20]!r}, which is no number")
    return int(layout[1]), (float(gain[1]), float(baseline))


def _codes(text: str) -> tuple[str, ...]:
    row = next(csv.reader(io.StringIO(text)), [])
    return tuple(part.strip() for part in row if re.fullmatch(r"\d+", part.strip(), re.ASCII))


def _age(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,3}(\.\d+)?", text.strip(), re.ASCII) else float("nan")


def _sex(text: str) -> str:
    said = text.strip().lower()
    return {"m": "Male", "male": "Male", "f": "Female", "female": "Female"}.get(said, "")

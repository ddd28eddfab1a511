"""MRI from k-space: reading fastMRI's single-coil files, the centred Fourier transform, and cropping.

A file is HDF5 that came from somewhere else. What it says about itself is checked before anything is read: it may
neither point to other files nor ask for more memory than its size can account for. The HDF5 library itself was not made
for hostile input, and can hang or crash on it: read files from their owners, not from strangers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmlab.data.files import registry
from mmlab.paths import expand

if TYPE_CHECKING:
    import h5py

__all__ = ["About", "about", "centre_crop", "centred_inverse", "read_kspace", "root_sum_of_squares"]

_REMEDY = "get the file again."
_LARGEST = 2**28  # values; the largest knee file has 50 slices of 640 x 454
_COMPRESSION = 2000  # a file that holds less than this share of what it says it holds is damaged or hostile


class About(NamedTuple):
    """What a file says about itself.

    Attributes:
        slices: Their number.
        scale: Largest reconstructed value: its attribute ``max``.
        acquisition: ``"CORPD_FBK"``, ``"CORPDFS_FBK"`` or whatever it says; empty unless it was asked for.
    """

    slices: int
    scale: float
    acquisition: str


def read_kspace(path: str | Path, number: int | None = None) -> Tensor:
    """The k-space of a single-coil file.

    Args:
        path: An HDF5 file.
        number: Read only this slice; default all.

    Returns:
        (slices, H, W) or (H, W) complex64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no HDF5 file, is damaged, has no ``kspace``, or it is of another kind or shape, or holds
            NaN or infinity; the message names file and dataset.
        IndexError: If there is no such slice.
    """
    place = expand(path)
    with _opened(place) as file:
        dataset = _kspace(file)
        count = len(dataset)
        rows = slice(None) if number is None else slice(number, number + 1)
        array = np.asarray(dataset[rows] if number is None or 0 <= number < count else [], dtype=np.complex64)
        if bad := int((~np.isfinite(array)).sum()):
            raise _ContentError(f"dataset 'kspace' holds NaN or infinity ({bad} of {array.size} values)")
    if number is not None and not len(array):
        raise IndexError(f"{place} has {count} slices: there is no slice {number}.")
    return torch.from_numpy(array if number is None else array[0])


def about(path: Path, acquisition: bool = False) -> About:
    """Number of slices, largest reconstructed value, and acquisition of a file, without reading its k-space.

    Args:
        path: An HDF5 file.
        acquisition: Whether to read this too. It is text of any length, where damage can make the library hang.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not as it should be; the message names file and dataset or attribute.
    """
    with _opened(expand(path)) as file:
        count = len(_kspace(file))
        scale: Any = file.attrs.get("max", np.nan)
        kind = file.attrs.get("acquisition", "") if acquisition else ""
        if "max" not in file.attrs:
            raise _OtherFileError(
                "it has no attribute 'max', as files of fastMRI's test part have none, whose images are secret: take "
                "the files of the training or the validation part"
            )
        value = float(scale) if np.ndim(scale) == 0 and np.asarray(scale).dtype.kind in "fiu" else np.nan
        if not (np.isfinite(value) and value > 0):
            raise _ContentError(f"attribute 'max' is {str(scale)[:50]!r}, expected a number above 0")
    return About(count, value, kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind))


def centred_inverse(kspace: Tensor) -> Tensor:
    """Inverse Fourier transform over the last two axes, with the zero frequency and the image in the centre.

    It keeps the sum of squares, as fastMRI's own transform does.

    Args:
        kspace: (..., H, W) complex.

    Returns:
        (..., H, W) complex.
    """
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Cut a square from the centre of the last two axes; a shorter axis is padded with zeros on both sides."""
    for axis in (-2, -1):
        length = image.shape[axis]
        if length >= size:
            image = image.narrow(axis, (length - size) // 2, size)
        else:
            shape = list(image.shape)
            shape[axis] = size
            padded = image.new_zeros(shape)
            padded.narrow(axis, (size - length) // 2, length).copy_(image)
            image = padded
    return image


def root_sum_of_squares(images: Tensor) -> Tensor:
    """Magnitude of a multi-coil image: (C coils, H, W) complex to (H, W)."""
    return images.abs().square().sum(0).sqrt()


class _ContentError(Exception):
    """Why a file was refused; the caller adds its name."""


class _OtherFileError(Exception):
    """What a whole file is that is not for this reader, with what to take in its place."""


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: {registry.source('fastmri').how_to_get}")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _OtherFileError as error:
        raise ValueError(f"{path}: {error}.") from None
    except _ContentError as error:
        raise ValueError(f"{path}: {error}: {_REMEDY}") from None
    except PermissionError:
        raise
    except Exception as error:  # the HDF5 library raises almost anything on damaged input
        detail = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: dataset 'kspace' cannot be read ({type(error).__name__}: {detail}): {_REMEDY}"
        ) from None


def _kspace(file: h5py.File) -> h5py.Dataset:
    """The dataset, checked before anything is read: a file must not point elsewhere or ask for more than it holds."""
    import h5py

    link = file.get("kspace", getlink=True) if "kspace" in file else None
    if link is None:
        held = ", ".join(sorted(map(str, file)))[:200] or "nothing"
        raise _ContentError(f"dataset 'kspace' is not in the file, which holds {held}")
    dataset = file["kspace"] if isinstance(link, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise _ContentError("dataset 'kspace' is no array in the file itself")
    if dataset.dtype.kind == "c" and dataset.ndim == 4:
        raise _OtherFileError(
            f"it is a multi-coil file, kspace {dataset.shape} (slices, coils, H, W): take the single-coil files of "
            "fastMRI's knees (singlecoil_train, singlecoil_val)"
        )
    if dataset.dtype.kind != "c" or dataset.ndim != 3 or 0 in dataset.shape:
        raise _ContentError(f"dataset 'kspace' is {dataset.dtype} {dataset.shape}, expected complex (slices, H, W)")
    stored = dataset.id.get_storage_size()
    if dataset.size > _LARGEST or dataset.size * dataset.dtype.itemsize > _COMPRESSION * stored:
        raise _ContentError(f"dataset 'kspace' says {dataset.shape}, but holds {stored} bytes")
    return dataset

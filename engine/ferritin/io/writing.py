"""Files under their final names only when they are whole: NIfTI streamed through isal, JSON, and any other content."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np
from isal import igzip_threaded

from ferritin.backend import cpu_count
from ferritin.errors import InputError, ShapeError

_SLAB_BYTES = 4 << 20
_STORED = {"bool": "uint8", "float64": "float32"}
_KEPT = ("uint8", "int16", "int32", "float32", "complex64")


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a binary file for writing that takes its name only when the block ends without an error.

    It is written beside its final place, synced to the disk and renamed; on an error it is removed, and what stood
    under the name before stays.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def require_folder(folder: str | os.PathLike) -> None:
    """Raise InputError when files cannot be made in a folder, which need not be there yet: before any work."""
    folder = Path(folder)
    there = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
    if not os.path.isdir(there):
        raise InputError(f"{there} is a file, expected a folder for the results; give another with -o")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} cannot be written to (no permission); give another folder with -o")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text as UTF-8."""
    with atomic(path) as stream:
        stream.write(text.encode())


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON that any reader takes: numpy values as numbers and lists, NaN and infinity as null."""
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """What JSON can say of a value: numpy arrays, dataclasses, mappings, tuples, paths; the rest as text."""
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return str(value)


def write_nifti(
    path: str | os.PathLike,
    volume: np.ndarray,
    affine: np.ndarray,
    *,
    each: Callable[[np.ndarray], np.ndarray] | None = None,
    description: str = "",
) -> None:
    """Write an array as NIfTI-1, compressed when the name ends in .gz; no second copy of it is made.

    Parameters
    ----------
    volume : (x, y, z) or (x, y, z, n) host array, in any memory order
        bool is stored as uint8 and float64 as float32.
    affine : (4, 4) [mm]
        Voxel index to RAS+ world; both sform and qform say it, as scanner coordinates. The qform cannot hold shear.
    each : callable, optional
        Applied to one slab (x, y, some z) after the other, np.abs for example; its result's dtype is stored.

    Raises
    ------
    ShapeError, InputError
        The array has other axes, or a dtype that is not stored.
    """
    if volume.ndim not in (3, 4):
        raise ShapeError(f"{Path(path).name}: array of shape {volume.shape}; expected (x, y, z) or (x, y, z, n)")
    empty = volume[:0]
    dtype = np.dtype((each(empty) if each else empty).dtype)
    dtype = np.dtype(_STORED.get(dtype.name, dtype.name))
    if dtype.name not in _KEPT:
        raise InputError(f"{Path(path).name}: dtype {dtype} is not stored; convert to one of {', '.join(_KEPT)}")
    header = _header(volume.shape, dtype, affine, description)
    with atomic(path) as raw, _stream(raw, str(path)) as stream:
        header.write_to(stream)
        for slab in _slabs(volume):
            slab = each(slab) if each else slab
            stream.write(np.ascontiguousarray(slab.T, dtype).data)


def _header(shape: tuple[int, ...], dtype: np.dtype, affine: np.ndarray, description: str) -> nibabel.Nifti1Header:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(1.0, 0.0)
    header["vox_offset"] = 352
    header["descrip"] = description.encode("ascii", "replace")[:79]
    return header


def _slabs(volume: np.ndarray) -> Iterator[np.ndarray]:
    """Slabs of some z of one volume after the other, small enough to convert and transpose on the side."""
    nx, ny, nz = volume.shape[:3]
    step = max(1, _SLAB_BYTES // (nx * ny * volume.itemsize))
    for one in np.moveaxis(volume, -1, 0) if volume.ndim == 4 else (volume,):
        for z in range(0, nz, step):
            yield one[:, :, z : z + step]


@contextmanager
def _stream(raw: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """The file itself, or its compressor on all cores at isal's fast level."""
    if not name.endswith(".gz"):
        yield raw
        return
    with igzip_threaded.open(raw, "wb", compresslevel=1, threads=cpu_count()) as stream:
        yield stream

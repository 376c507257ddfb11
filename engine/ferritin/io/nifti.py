"""NIfTI files in, plain or gzipped: one volume at a time, as stored or scaled, with an affine in mm."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import nibabel
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ferritin.errors import FormatError, HeaderError
from ferritin.io.checks import existing
from ferritin.scan import Finding

_MAX_AXIS, _MAX_VOXELS = 8192, 2**31
_MAX_OFFSET = 2**31
_SCANNER = 1
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True, eq=False)
class Nifti:
    """Header facts of a NIfTI file; its voxels stay on disk.

    shape : (x, y, z). n_volumes : length of the fourth axis. slope, intercept : value = slope * stored + intercept.
    doubts : why the affine may not be the scanner's. repairs : what was mended in the header to read it.
    """

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int
    affine: np.ndarray
    dtype: np.dtype
    slope: float
    intercept: float
    doubts: tuple[Finding, ...]
    repairs: tuple[str, ...]
    _offset: int

    def volumes(self) -> Iterator[np.ndarray]:
        """Stored values, volume by volume: (x, y, z) in the file's dtype, Fortran order."""
        n_bytes = math.prod(self.shape) * self.dtype.itemsize
        with _stream(self.path) as stream:
            stream.seek(self._offset)
            for i in range(self.n_volumes):
                content = stream.read(n_bytes)
                if len(content) < n_bytes:
                    raise FormatError(
                        f"{self.path} ends in volume {i + 1} of {self.n_volumes} ({len(content)} of {n_bytes} bytes); "
                        "the file is truncated, copy it again"
                    )
                yield np.frombuffer(content, self.dtype).reshape(self.shape, order="F")


def open_nifti(path: str | Path) -> Nifti:
    """Read and check the header of a .nii or .nii.gz file.

    Raises
    ------
    FormatError
        Not NIfTI, truncated, or of a voxel type that is not a number.
    HeaderError
        Absurd dimensions.
    """
    path = existing(path)
    with _stream(path) as stream:
        size = int.from_bytes(stream.read(4), "little")
        kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
        kind = kinds.get(size) or kinds.get(int.from_bytes(size.to_bytes(4, "little"), "big"))
        if kind is None:
            raise FormatError(
                f"{path} is not a NIfTI file (header size {size}, expected 348 or 540); convert it to NIfTI"
            )
        stream.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # header extensions, which are not used
                header = kind.from_fileobj(stream, check=False)
            header.check_fix(repairs := _Repairs(), error_level=40)
            shape, dtype = header.get_data_shape(), header.get_data_dtype()
            affines = _affines(header)
        except (HeaderDataError, WrapStructError, ValueError, KeyError) as why:
            raise FormatError(
                f"{path}: NIfTI header cannot be read ({' '.join(str(why).split())}); convert it again"
            ) from None
        offset = max(int(header.get_data_offset()), stream.tell())
    if offset > _MAX_OFFSET:
        raise FormatError(f"{path}: voxels start at byte {offset}, expected up to {_MAX_OFFSET}; convert it again")
    if dtype.fields or dtype.kind not in "iufc":
        raise FormatError(f"{path} has voxels of type {dtype}, expected numbers; convert it to float or integer")
    slope, intercept = (float(header[key]) for key in ("scl_slope", "scl_inter"))
    if not (math.isfinite(slope) and slope and math.isfinite(intercept)):
        slope, intercept = 1.0, 0.0
    sizes = _dimensions(shape, path)
    to_mm = _MM.get(int(header["xyzt_units"]) & 7, 1.0)
    affines = {name: (code, np.diag([to_mm, to_mm, to_mm, 1.0]) @ a) for name, (code, a) in affines.items()}
    affine, doubts = _chosen(affines, sizes[0], path.name)
    return Nifti(
        path,
        *sizes,
        affine=affine,
        dtype=dtype,
        slope=slope,
        intercept=intercept,
        repairs=tuple(repairs),
        doubts=doubts,
        _offset=offset,
    )


def load_volume(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """One NIfTI file with its scale applied: a mask, a map, or a series.

    Returns
    -------
    values : (x, y, z), or (x, y, z, t) when the file has a fourth axis longer than one; float32 or complex64, C order
    affine : (4, 4) float64 [mm], RAS+
    """
    file = open_nifti(path)
    out = np.empty((*file.shape, file.n_volumes), np.complex64 if file.dtype.kind == "c" else np.float32)
    for i, stored in enumerate(file.volumes()):
        np.multiply(stored, file.slope, out=out[..., i], casting="unsafe")
        if file.intercept:
            out[..., i] += np.float32(file.intercept)
    return (out[..., 0] if file.n_volumes == 1 else out), file.affine


def distance_mm(shape: tuple[int, int, int], first: np.ndarray, second: np.ndarray) -> float:
    """How far [mm] two affines put the same voxel apart, at the worst corner of the grid."""
    corners = np.array(np.meshgrid(*((0, n - 1) for n in shape))).reshape(3, -1)
    ends = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(((first - second) @ ends)[:3], axis=0).max())


def _affines(header: nibabel.Nifti1Header) -> dict[str, tuple[int, np.ndarray]]:
    """The header's affines with their codes, sform first; the one without a meaning when it states none."""
    found = {}
    for name in ("sform", "qform"):
        if code := int(header[f"{name}_code"]):
            try:
                found[name] = code, getattr(header, f"get_{name}")().astype(np.float64)
            except HeaderDataError:  # a quaternion that is none: of use only when it is all there is
                if not found:
                    raise
    return found or {"none": (0, header.get_base_affine().astype(np.float64))}


def _chosen(
    affines: dict[str, tuple[int, np.ndarray]], shape: tuple[int, int, int], name: str
) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """The affine that leads to the scanner's axes, and doubts about it.

    Programs that register images write the result into the sform (code 2 or 4) and leave the qform (code 1) alone; in
    the registered axes B0 is no longer along z.
    """
    taken = min(affines, key=lambda n: affines[n][0] != _SCANNER)
    code, affine = affines[taken]
    if not code:
        return affine, (Finding(f"{name} states no orientation", "taken as axial: check the direction of B0"),)
    level = "warning"
    codes = " and ".join(f"{n} (code {c})" for n, (c, _) in affines.items())
    apart = max(distance_mm(shape, affine, other) for _, other in affines.values())
    if not apart <= 0.05 * np.linalg.norm(affine[:3, :3], axis=0).min():
        said = f"{name}: {codes} put voxels {apart:.3g} mm apart"
    elif code != _SCANNER:
        said = f"{name}: {codes} leads to aligned axes, not to the scanner's (code {_SCANNER})"
        level = "warning" if len(affines) > 1 else "info"  # many programs never write another code
    else:
        return affine, ()
    return affine, (Finding(said, f"the {taken} is taken: check the direction of B0", level),)


class _Repairs(list):
    """Takes the place of a logger, and keeps what nibabel says of a header."""

    def log(self, level: int, message: str) -> None:
        if level >= 30:
            self.append(message)


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed bytes; damage of the compressed ones is said with the file's name."""
    opener = igzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rb") as stream:
            yield stream
    except (OSError, EOFError, isal_zlib.error) as why:
        raise FormatError(f"{path} is damaged ({' '.join(str(why).split())}); copy or export it again") from None


def _dimensions(shape: tuple[int, ...], path: Path) -> tuple[tuple[int, int, int], int]:
    sizes = (*shape, 1, 1, 1, 1)[: max(4, len(shape))]
    if min(sizes) < 1 or max(sizes[:4]) > _MAX_AXIS or math.prod(sizes[:3]) > _MAX_VOXELS:
        raise HeaderError(
            f"{path} has dimensions {shape}, expected 1 to {_MAX_AXIS} voxels along each axis; mend the header"
        )
    if math.prod(sizes[4:]) > 1:
        raise HeaderError(f"{path} has {len(shape)} dimensions {shape}, expected three, or four with the echoes last")
    return tuple(int(n) for n in sizes[:3]), int(sizes[3])

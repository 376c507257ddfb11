"""Files in: raw k-space and NIfTI images to a Scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ferritin.errors import InputError
from ferritin.io import checks
from ferritin.scan import Scan


def read(
    path: str | Path,
    *,
    te_ms: Sequence[float] | None = None,
    b0: float | None = None,
    polarity: str | Sequence[int] | None = None,
    phase_scaling: str | None = None,
    phase_sign: str | int = "+",
    sequence: str | None = None,
    before_voxels: Callable[[Scan], None] | None = None,
) -> Scan:
    """Read a scan: an ISMRMRD .h5 file, a BIDS dataset or subject folder, or a folder of mag/phase NIfTI files.

    Parameters
    ----------
    path : file or folder
    te_ms : echo times [ms], optional
        Instead of those in the file, one for each echo.
    b0 : float [T], optional
        Instead of the file's field strength.
    polarity : "+-+-" or signs, optional
        Readout direction of each echo; from the raw lines' flags when not given, all + for NIfTI.
    phase_scaling : optional
        What NIfTI phase values mean: "rad", "4096" (±4096 is ±π), "0..4095" (-π to π), "mrad", "degrees", "header" (the
        file's slope and intercept give rad), or the number that is π. Recognised from the values when not given.
    phase_sign : "+" or "-"
        "-" negates the phase, for scanners whose phase falls where the field is higher (GE, as a rule).
    sequence : "gradient echo" or "spin echo", optional
        Which images of a folder to take. When not given: gradient echoes with magnitude and phase, and magnitudes of
        spin echoes (BIDS suffix MESE) where there are none.
    before_voxels : optional
        Called with the scan as its headers tell it, before voxels are read; what it raises ends the reading.

    Returns
    -------
    Scan
        Its data hold `raw` (a RawFile, no sample read yet) or `echoes` (echo, x, y, z) complex64.

    Raises
    ------
    FormatError, HeaderError, ShapeError, AmbiguousError
        One line with the file, the value and the remedy.
    """
    path = checks.existing(path)
    if path.is_dir():
        from ferritin.io import bids

        return bids.read(
            path, te_ms=te_ms, b0=b0, polarity=polarity, phase_scaling=phase_scaling, phase_sign=phase_sign,
            sequence=sequence, before_voxels=before_voxels,
        )  # fmt: skip
    if sequence == "spin echo":
        raise InputError(f"{path} is a raw file, which is read as gradient echoes; give a folder of MESE images")
    from ferritin.io import ismrmrd

    scan = ismrmrd.read(path, te_ms=te_ms, b0=b0, polarity=polarity, phase_sign=phase_sign)
    if before_voxels:
        before_voxels(scan)
    return scan


def read_headers(path: str | Path, *, te_ms: Sequence[float] | None = None, b0: float | None = None) -> Scan:
    """What `read` would find, without reading samples or voxels: the data are empty for images."""
    path = checks.existing(path)
    if not path.is_dir():
        return read(path, te_ms=te_ms, b0=b0)
    from ferritin.io import bids, echoes

    return echoes.headers_of_series(path, bids.find_series(path), te_ms=te_ms, b0=b0)[0]

"""THE MAP: what flows between the stages (name, unit, shape, dtype) and the stages in order.

Sign contract: S(TE) = M0 exp(-R2* TE) exp(+i(phi0 + 2 pi f TE)), f the field in Hz. A higher field makes the phase
grow; paramagnetic tissue is positive in chi. Arrays are (x, y, z), the echo and coil axes come first, in C order.

A method of a stage is a plain function. Its positional arguments are named after the artifacts that it consumes (and
`scan`); an argument with a default is used when it is there. It returns one of the named tuples below, whose fields
are the artifacts that it produces, and a Record of what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ferritin.errors import InputError, ShapeError


@dataclass(frozen=True)
class Record:
    """What a method did beside its result.

    iterations: of the outermost loop; 0 for a closed form.
    residual: the last value of the quantity that the stopping rule watches; None for a closed form.
    stopped_by: "closed form", "tolerance", "iterations", or the rule's own words.
    notes: findings that the report must show.
    """

    iterations: int = 0
    residual: float | None = None
    stopped_by: str = "closed form"
    notes: tuple[str, ...] = ()


class CoilImages(NamedTuple):
    """Result of the stage `image`."""

    coil_images: Any
    record: Record = Record()


class Echoes(NamedTuple):
    """Result of the stage `coils`."""

    echoes: Any
    noise_sd: float | None
    record: Record = Record()


class Mask(NamedTuple):
    """Result of the stages `mask` and `refine`."""

    mask: Any
    record: Record = Record()


class UnwrappedPhase(NamedTuple):
    """Result of the stage `unwrap`."""

    unwrapped_phase: Any
    record: Record = Record()


class TotalField(NamedTuple):
    """Result of the stage `field`; reliability and offset from methods that know them."""

    total_field: Any
    field_noise: Any
    record: Record = Record()
    field_reliability: Any = None
    phase_offset: Any = None


class LocalField(NamedTuple):
    """Result of the stage `background`: the mask is where the local field is valid."""

    local_field: Any
    mask: Any
    record: Record = Record()


class Susceptibility(NamedTuple):
    """Result of the stage `dipole`; chi_sd when it was asked for."""

    chi: Any
    record: Record = Record()
    chi_sd: Any = None


class Relaxation(NamedTuple):
    """Result of the stage `r2star`."""

    r2star: Any
    r2star_se: Any
    s0: Any
    record: Record = Record()


class ReversibleRelaxation(NamedTuple):
    """Result of the stage `r2prime`."""

    r2prime: Any
    r2prime_se: Any
    record: Record = Record()


class Iron(NamedTuple):
    """Result of the stage `iron`."""

    iron: Any
    record: Record = Record()


class SusceptibilityTensor(NamedTuple):
    """Result of the stage `orientations` when it finds tensors: their mean, anisotropy and elements."""

    chi: Any
    chi_anisotropy: Any
    chi_tensor: Any
    record: Record = Record()


class Sources(NamedTuple):
    """Result of the stage `sources`."""

    chi_positive: Any
    chi_negative: Any
    record: Record = Record()


class TransverseRelaxation(NamedTuple):
    """Result of the stage `r2`; b1 is None where the method does not find it."""

    r2: Any
    r2_se: Any
    b1: Any
    record: Record = Record()


@dataclass(frozen=True)
class Artifact:
    """One quantity on its way through the stages.

    axes: names of the array axes, () for a scalar; file: BIDS entities and suffix of the written map, None when the
    artifact is not written by itself.
    """

    name: str
    unit: str
    axes: tuple[str, ...]
    dtype: str
    meaning: str
    file: str | None = None


_XYZ = ("x", "y", "z")
ARTIFACTS: Mapping[str, Artifact] = {
    a.name: a
    for a in (
        Artifact("raw", "", (), "object", "raw k-space file, opened and not yet read"),
        Artifact(
            "coil_images",
            "noise sd",
            ("coil", "echo", *_XYZ),
            "complex64",
            "whitened coil images; read one [coil, echo] at a time",
        ),
        Artifact("echoes", "arbitrary", ("echo", *_XYZ), "complex64", "coil-combined complex echoes"),
        Artifact("noise_sd", "as echoes", (), "float", "noise sd of the real and of the imaginary part of the echoes"),
        Artifact("mask", "", _XYZ, "bool", "where there is tissue with signal", "desc-brain_mask"),
        Artifact("r2star", "1/s", _XYZ, "float32", "effective transverse relaxation rate", "R2starmap"),
        Artifact("r2star_se", "1/s", _XYZ, "float32", "standard error of R2*", "desc-se_R2starmap"),
        Artifact("s0", "arbitrary", _XYZ, "float32", "magnitude extrapolated to TE = 0", "S0map"),
        Artifact("r2", "1/s", _XYZ, "float32", "transverse relaxation rate", "R2map"),
        Artifact("r2_se", "1/s", _XYZ, "float32", "standard error of R2", "desc-se_R2map"),
        Artifact("b1", "1", _XYZ, "float32", "refocusing angle over the nominal one", "TB1map"),
        Artifact("r2prime", "1/s", _XYZ, "float32", "reversible relaxation rate, R2* - R2", "R2primemap"),
        Artifact("r2prime_se", "1/s", _XYZ, "float32", "standard error of R2'", "desc-se_R2primemap"),
        Artifact("unwrapped_phase", "rad", ("echo", *_XYZ), "float32", "phase without 2 pi jumps"),
        Artifact("total_field", "Hz", _XYZ, "float32", "offset from the transmitter frequency", "desc-total_fieldmap"),
        Artifact(
            "field_reliability", "1", _XYZ, "float32", "chance that no turn is wrong", "desc-reliability_fieldmap"
        ),
        Artifact("phase_offset", "rad", _XYZ, "float32", "phase of the echoes at TE = 0"),
        Artifact("field_noise", "Hz", _XYZ, "float32", "standard deviation of total_field", "desc-noise_fieldmap"),
        Artifact("local_field", "Hz", _XYZ, "float32", "field of the sources inside the mask", "desc-local_fieldmap"),
        Artifact("field_mask", "", _XYZ, "bool", "where the total field can be trusted", "desc-field_mask"),
        Artifact("local_mask", "", _XYZ, "bool", "where the local field is valid", "desc-local_mask"),
        Artifact("chi", "ppm", _XYZ, "float32", "volume susceptibility (SI), relative to a stated reference", "Chimap"),
        Artifact("chi_sd", "ppm", _XYZ, "float32", "standard deviation of the error of chi", "desc-noise_Chimap"),
        Artifact(
            "local_fields",
            "Hz",
            ("orientation", *_XYZ),
            "float32",
            "local fields of several head orientations",
        ),
        Artifact("field_noises", "Hz", ("orientation", *_XYZ), "float32", "their standard deviations"),
        Artifact("b0_dirs", "", ("orientation", "axis"), "float64", "B0 along the grid's axes in each orientation"),
        Artifact(
            "chi_orientations", "ppm", _XYZ, "float32", "susceptibility from several orientations", "desc-cosmos_Chimap"
        ),
        Artifact(
            "chi_tensor",
            "ppm",
            ("element", *_XYZ),
            "float32",
            "susceptibility tensor along the grid's axes: xx, yy, zz, yz, xz, xy",
            "desc-tensor_Chimap",
        ),
        Artifact(
            "chi_anisotropy",
            "ppm",
            _XYZ,
            "float32",
            "largest principal susceptibility less the mean of the others",
            "desc-anisotropy_Chimap",
        ),
        Artifact(
            "chi_positive", "ppm", _XYZ, "float32", "paramagnetic sources (iron), >= 0", "desc-paramagnetic_Chimap"
        ),
        Artifact(
            "chi_negative", "ppm", _XYZ, "float32", "diamagnetic sources (myelin), <= 0", "desc-diamagnetic_Chimap"
        ),
        Artifact("iron", "mg/kg", _XYZ, "float32", "iron in fresh tissue, valid in grey matter alone", "Ironmap"),
    )
}


@dataclass(frozen=True)
class Stage:
    """A step of the reconstruction: what it makes, the folder of its methods, and the default one.

    The first product is what the stage is for; it names the stage in a plan. min_echoes, min_slices (voxels along the
    shortest axis): fewer make the stage impossible. one_echo: the default method when there is one echo.

    Methods speak of `mask`, and the map says which one that is at their place in the chain: takes and gives rename what
    a method consumes and produces. sequence: the kind of echoes that the stage can use (Scan.sequence); None: any.
    """

    name: str
    folder: str
    produces: tuple[str, ...]
    default: str
    meaning: str
    min_echoes: int = 0
    min_slices: int = 0
    one_echo: str | None = None
    sequence: str | None = None
    takes: Mapping[str, str] = field(default_factory=dict)
    gives: Mapping[str, str] = field(default_factory=dict)


STAGES: Mapping[str, Stage] = {
    s.name: s
    for s in (
        Stage("image", "kspace", ("coil_images",), "cartesian", "raw k-space to whitened coil images"),
        Stage(
            "coils",
            "coils",
            ("echoes", "noise_sd"),
            "mcpc3ds",
            "coil images to combined complex echoes",
            one_echo="inati",
        ),
        Stage("mask", "mask", ("mask",), "brain", "where there is tissue with signal"),
        Stage(
            "r2star",
            "relax",
            ("r2star", "r2star_se", "s0"),
            "nonlinear",
            "decay of the magnitude over the echoes",
            min_echoes=2,
            sequence="gradient echo",
        ),
        Stage(
            "r2",
            "relax",
            ("r2", "r2_se", "b1"),
            "epg",
            "decay of spin echoes",
            min_echoes=2,
            sequence="spin echo",
        ),
        Stage("r2prime", "relax", ("r2prime", "r2prime_se"), "difference", "what the field's inhomogeneity adds to R2"),
        Stage("unwrap", "field", ("unwrapped_phase",), "least_squares", "phase without 2 pi jumps"),
        Stage(
            "field",
            "field",
            ("total_field", "field_noise", "field_reliability"),
            "joint",
            "frequency from the phase of all echoes",
            min_echoes=2,
            sequence="gradient echo",
        ),
        Stage(
            "refine",
            "mask",
            ("field_mask",),
            "smoothness",
            "where the field can be trusted",
            min_slices=3,
            gives={"mask": "field_mask"},
        ),
        Stage(
            "background",
            "background",
            ("local_field", "local_mask"),
            "tfi",
            "fields of outside sources removed",
            min_slices=3,
            takes={"mask": "field_mask"},
            gives={"mask": "local_mask"},
        ),
        Stage(
            "dipole",
            "dipole",
            ("chi", "chi_sd"),
            "tv",
            "susceptibility from the local field",
            min_slices=3,
            takes={"mask": "local_mask"},
        ),
        Stage(
            "orientations",
            "dipole",
            ("chi_orientations",),
            "cosmos",
            "susceptibility from several orientations of the head",
            gives={"chi": "chi_orientations"},
        ),
        Stage(
            "sources",
            "sources",
            ("chi_positive", "chi_negative"),
            "joint_r2star",
            "paramagnetic and diamagnetic sources apart",
            takes={"mask": "local_mask"},
        ),
        Stage("iron", "iron", ("iron",), "r2star", "iron concentration by a linear calibration"),
    )
}


def check(name: str, value: Any, scan: Any = None) -> Any:
    """Check one artifact against its row of the map and return it.

    Raises ShapeError or InputError with the name, what was met and what was expected. Reads no voxel.
    """
    row = ARTIFACTS[name]
    if not row.axes or value is None:
        return value
    shape, dtype = tuple(value.shape), np.dtype(value.dtype)
    if len(shape) != len(row.axes):
        raise ShapeError(f"{name} has shape {shape}, expected the axes ({', '.join(row.axes)})")
    if dtype != np.dtype(row.dtype):
        raise InputError(f"{name} has dtype {dtype}, expected {row.dtype}; convert it with .astype('{row.dtype}')")
    if scan is not None:
        lengths = dict(zip(_XYZ, scan.shape)) | {"echo": scan.n_echoes}
        expected = tuple(lengths.get(axis, n) for axis, n in zip(row.axes, shape))
        if shape != expected:
            raise ShapeError(f"{name} has shape {shape}, expected {expected} from the scan's header")
    return value

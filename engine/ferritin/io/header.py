"""The XML header of an ISMRMRD file: parsed safely, checked, with units converted. No samples, no arrays."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from ferritin.errors import FormatError, HeaderError
from ferritin.units import ms_to_s

_MAX_XML_BYTES = 16 << 20
_MAX_AXIS, _MAX_VOXELS = 8192, 2**31


@dataclass(frozen=True)
class Space:
    """Matrix size and field of view [mm] along read, phase and slice."""

    matrix: tuple[int, int, int]
    fov_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Limits:
    """First, last and central k-space step of a phase-encoded axis."""

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True)
class Encoding:
    """One encoding space; `acceleration` along step 1 and step 2."""

    encoded: Space
    recon: Space
    step_1: Limits | None
    step_2: Limits | None
    trajectory: str
    acceleration: tuple[int, int]


@dataclass(frozen=True)
class Header:
    """What the XML says of the scan; None where it says nothing."""

    encodings: tuple[Encoding, ...]
    te_s: tuple[float, ...]
    tr_s: float | None
    flip_deg: float | None
    b0_t: float | None
    f0_hz: float | None
    noise_bandwidth: float | None
    patient_position: str | None
    facts: dict[str, str]


def parse(xml: bytes, name: str) -> Header:
    """Read the header of the file `name` (used in messages only).

    Raises
    ------
    FormatError
        Broken XML, XML with a document type or entities (refused: they can be made to exhaust memory), or too long.
    HeaderError
        No encoding, or a matrix size or field of view that cannot be.
    """
    root = _Node(_tree(xml, name))
    blocks = root.all("encoding")
    if not blocks:
        raise HeaderError(f"{name}: the XML header has no <encoding>; expected matrix size and field of view there")
    sequence, system = root.child("sequenceParameters"), root.child("acquisitionSystemInformation")
    measurement = root.child("measurementInformation")
    facts = {
        "vendor": system.text("systemVendor"), "model": system.text("systemModel"),
        "software": system.text("systemSoftwareVersion"), "institution": system.text("institutionName"),
        "protocol": measurement.text("protocolName"), "sequence": sequence.text("sequence_type"),
        "series": measurement.text("seriesDescription"),
    }  # fmt: skip
    tr = sequence.number("TR", name)
    return Header(
        encodings=tuple(_encoding(b, name) for b in blocks),
        te_s=tuple(ms_to_s(_float(node.text(), "TE", name)) for node in sequence.all("TE")),
        tr_s=None if tr is None else ms_to_s(tr),
        flip_deg=sequence.number("flipAngle_deg", name),
        b0_t=system.number("systemFieldStrength_T", name),
        f0_hz=root.child("experimentalConditions").number("H1resonanceFrequency_Hz", name),
        noise_bandwidth=system.number("relativeReceiverNoiseBandwidth", name),
        patient_position=measurement.text("patientPosition"),
        facts={key: value for key, value in facts.items() if value},
    )


class _Node:
    """An element, found by local name whatever the namespace; a missing one answers None to everything."""

    def __init__(self, element: ElementTree.Element | None) -> None:
        self.element = element

    def all(self, name: str) -> list[_Node]:
        there = () if self.element is None else self.element
        return [_Node(e) for e in there if e.tag.rpartition("}")[2] == name]

    def child(self, name: str) -> _Node:
        return next(iter(self.all(name)), _Node(None))

    def text(self, name: str | None = None) -> str | None:
        element = self.element if name is None else self.child(name).element
        return None if element is None else (element.text or "").strip()

    def number(self, name: str, file: str) -> float | None:
        text = self.text(name)
        return None if text is None else _float(text, name, file)


def _tree(xml: bytes, name: str) -> ElementTree.Element:
    if len(xml) > _MAX_XML_BYTES:
        raise FormatError(
            f"{name}: the XML header has {len(xml)} bytes, expected at most {_MAX_XML_BYTES}; write it anew"
        )
    try:
        return defusedxml.ElementTree.fromstring(xml, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as why:
        raise FormatError(
            f"{name}: the XML header declares a document type or entities ({type(why).__name__}), which are refused; "
            "remove the <!DOCTYPE ...> part"
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError) as why:
        raise FormatError(f"{name}: the XML header cannot be parsed ({why}); convert the scan again") from None


def _float(text: str | None, what: str, name: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HeaderError(f"{name}: <{what}> is {text!r}, expected a number; mend the XML header")
    return value


def _int(text: str | None, what: str, name: str) -> int:
    value = _float(text, what, name)
    if value != int(value):
        raise HeaderError(f"{name}: <{what}> is {text!r}, expected a whole number; mend the XML header")
    return int(value)


def _encoding(node: _Node, name: str) -> Encoding:
    factor = node.child("parallelImaging").child("accelerationFactor")
    steps = ("kspace_encoding_step_1", "kspace_encoding_step_2")
    limits = node.child("encodingLimits")
    return Encoding(
        encoded=_space(node.child("encodedSpace"), "encodedSpace", name),
        recon=_space(node.child("reconSpace"), "reconSpace", name),
        step_1=_limits(limits.child(steps[0]), name),
        step_2=_limits(limits.child(steps[1]), name),
        trajectory=(node.text("trajectory") or "").lower(),
        acceleration=tuple(_int(factor.text(s) or "1", s, name) for s in steps),
    )


def _space(node: _Node, what: str, name: str) -> Space:
    matrix = tuple(_int(node.child("matrixSize").text(axis), f"{what} matrixSize {axis}", name) for axis in "xyz")
    fov = tuple(
        _float(node.child("fieldOfView_mm").text(axis), f"{what} fieldOfView_mm {axis}", name) for axis in "xyz"
    )
    if min(matrix) < 1 or max(matrix) > _MAX_AXIS or math.prod(matrix) > _MAX_VOXELS:
        raise HeaderError(
            f"{name}: {what} has matrix size {matrix[0]} x {matrix[1]} x {matrix[2]}, expected 1 to {_MAX_AXIS} "
            f"along each axis and at most {_MAX_VOXELS} in all; mend the XML header"
        )
    if min(fov) <= 0 or max(fov) > 5000:
        raise HeaderError(f"{name}: {what} has field of view {fov} mm, expected 0 to 5000 mm; mend the XML header")
    return Space(matrix, fov)


def _limits(node: _Node, name: str) -> Limits | None:
    if node.element is None:
        return None
    return Limits(*(_int(node.text(key), key, name) for key in ("minimum", "maximum", "center")))

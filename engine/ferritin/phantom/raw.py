"""Write raw k-space as ISMRMRD (Inati et al., Magn Reson Med 2017;77:411), some lines at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from xml.etree import ElementTree

import h5py
import numpy as np

_COUNTERS = (
    "kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set",
    "segment",
)  # fmt: skip
HEAD = np.dtype(
    [("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4")]
    + [("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)), ("number_of_samples", "<u2")]
    + [("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,))]
    + [("discard_pre", "<u2"), ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2")]
    + [("trajectory_dimensions", "<u2"), ("sample_time_us", "<f4")]
    + [(name, "<f4", (3,)) for name in ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")]
    + [("idx", [(name, "<u2") for name in _COUNTERS] + [("user", "<u2", (8,))])]
    + [("user_int", "<i4", (8,)), ("user_float", "<f4", (8,))]
)
RECORD = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, LAST = 19, 20, 21, 22, 25
"""Flags, as bit numbers counted from one."""

_NAMESPACE = "http://www.ismrm.org/ISMRMRD"


def bit(flag: int) -> np.uint64:
    """A flag's value in the header's field."""
    return np.uint64(1 << (flag - 1))


def header_xml(content: Mapping) -> str:
    """The XML header from nested mappings; a list repeats its element."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.Element(f"{{{_NAMESPACE}}}ismrmrdHeader")

    def fill(parent: ElementTree.Element, inside: Mapping) -> None:
        for name, value in inside.items():
            for one in value if isinstance(value, list) else [value]:
                child = ElementTree.SubElement(parent, f"{{{_NAMESPACE}}}{name}")
                if isinstance(one, Mapping):
                    fill(child, one)
                else:
                    child.text = str(one)

    fill(root, content)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def triple(values: Sequence[float]) -> dict[str, float]:
    """x, y, z of the header's sizes."""
    return dict(zip("xyz", values))


class RawFile:
    """An ISMRMRD file being written; a context manager. Acquisitions are appended and none is kept in memory."""

    def __init__(self, path, xml: str, geometry: Mapping[str, Sequence[float]]) -> None:
        self.name = path
        self._file = h5py.File(path, "w")
        group = self._file.create_group("dataset")
        group.create_dataset("xml", data=[xml], dtype=h5py.string_dtype())
        self._data = group.create_dataset("data", (0,), RECORD, maxshape=(None,), chunks=(64,))
        self._geometry = geometry

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def append(
        self,
        data: np.ndarray,
        *,
        flags: np.ndarray | np.uint64,
        dwell_us: float,
        counters: Mapping[str, np.ndarray | int] | None = None,
    ) -> None:
        """Append acquisitions.

        Parameters
        ----------
        data : (acquisition, coil, sample) complex64
        flags : uint64, one or one per acquisition
            Made with `bit`.
        dwell_us : float [µs]
        counters : mapping of encoding counter to values
        """
        n, n_coil, n_sample = data.shape
        record = np.zeros(n, RECORD)
        head, start = record["head"], len(self._data)
        head["version"], head["flags"] = 1, flags
        head["scan_counter"] = start + np.arange(n)
        head["number_of_samples"], head["center_sample"] = n_sample, n_sample // 2
        head["active_channels"] = head["available_channels"] = n_coil
        head["sample_time_us"] = dwell_us
        for name, vector in self._geometry.items():
            head[name] = vector
        for name, values in (counters or {}).items():
            head["idx"][name] = values
        flat = np.ascontiguousarray(data, np.complex64).view(np.float32).reshape(n, -1)
        none = np.empty(0, np.float32)
        for i in range(n):
            record["data"][i], record["traj"][i] = flat[i], none
        self._data.resize((start + n,))
        self._data[start:] = record

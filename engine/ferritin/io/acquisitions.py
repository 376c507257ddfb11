"""The HDF5 side of an ISMRMRD file: headers of all acquisitions at once, samples of some of them in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ferritin.errors import AmbiguousError, FerritinError, FormatError
from ferritin.io.header import Header, parse
from ferritin.io.lines import BOTH, IMAGING, table_of

BLOCK_ACQUISITIONS = 256
_DIRECTIONS = ("position", "read_dir", "phase_dir", "slice_dir")


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading. Raises FormatError in one line for whatever is broken in it."""
    if not h5py.is_hdf5(path):
        raise FormatError(
            f"{path} is not an HDF5 file; expected ISMRMRD raw data (.h5), or give a folder of NIfTI files"
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FerritinError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as why:  # what h5py raises on broken structures
        raise FormatError(f"{path} is truncated or damaged ({_reason(why)}); copy or export it again") from None


def _reason(why: Exception) -> str:
    """HDF5's own words, without its preamble, on one line."""
    text = " ".join(str(why).split())
    return text.partition("(")[2].removesuffix(")") or text


def read_rows(selection: Any, start: int, stop: int, path: Path) -> np.ndarray:
    """Acquisitions start to stop - 1 of a dataset or of its fields. Raises FormatError naming them."""
    try:
        return selection[int(start) : int(stop)]
    except (OSError, RuntimeError, ValueError) as why:
        raise FormatError(
            f"{path}: acquisitions {start} to {stop - 1} cannot be read ({_reason(why)}); copy or export the file again"
        ) from None


@dataclass(frozen=True, eq=False)
class Group:
    """The acquisitions of one group of the file: table (lines.TABLE), positions and directions (acquisition, 4, 3)."""

    name: str
    table: np.ndarray
    directions: np.ndarray

    @property
    def has_images(self) -> bool:
        """Whether there are imaging lines among them."""
        return bool(np.isin(self.table["kind"], (IMAGING, BOTH)).any())


def read_groups(path: Path) -> tuple[Group, tuple[Group, ...]]:
    """The group with the imaging lines, and the others: converters may put the noise scan into one of its own.

    Raises FormatError when there is none, AmbiguousError when several have imaging lines.
    """
    with opened(path) as file:
        names = [name for name, g in file.items() if isinstance(g, h5py.Group) and {"xml", "data"} <= set(g)]
        if not names:
            raise FormatError(
                f"{path} holds {list(file)[:8]}, expected a group with 'xml' and 'data' (ISMRMRD raw data); "
                "convert the scan to ISMRMRD"
            )
        faults = {name: _fault(file, name) for name in names}
        if all(faults.values()):
            raise FormatError(f"{path}{faults[names[0]]}")
        groups = [_group(file, name, path) for name in names if not faults[name]]
    imaging = [g for g in groups if g.has_images] or groups[:1]
    if len(imaging) > 1:
        said = ", ".join(f"{g.name} with {len(g.table)} acquisitions" for g in imaging[:4])
        raise AmbiguousError(
            f"{path}: {len(imaging)} groups have imaging lines ({said}); expected one scan, copy each group to a file "
            "of its own"
        )
    return imaging[0], tuple(g for g in groups if g is not imaging[0])


def _fault(file: h5py.File, name: str) -> str:
    """What makes a group useless, "" when nothing does."""
    data, xml = file[f"{name}/data"], file[f"{name}/xml"]
    fields = data.dtype.names or () if isinstance(data, h5py.Dataset) else ()
    if not {"head", "data"} <= set(fields) or data.ndim != 1:
        return f": '{name}/data' does not hold acquisitions with 'head' and 'data'; convert the scan again"
    if len(data) == 0:
        return " holds no acquisition; export the scan again"
    if not isinstance(xml, h5py.Dataset) or not xml.size:
        return f": '{name}/xml' does not hold a header, expected its XML text; convert the scan again"
    return ""


def _group(file: h5py.File, name: str, path: Path) -> Group:
    tables, directions = [], []
    for heads in _head_blocks(file[f"{name}/data"], path):
        tables.append(table_of(heads))
        directions.append(np.stack([heads[n] for n in _DIRECTIONS], axis=1))
    return Group(name, np.concatenate(tables), np.concatenate(directions))


def read_header(path: Path, group: str) -> Header:
    """The XML header of a group."""
    with opened(path) as file:
        xml = file[f"{group}/xml"]
        text = read_rows(xml, 0, 1, path)[0] if xml.ndim else xml[()]
    return parse(text.encode() if isinstance(text, str) else bytes(text), str(path))


def _head_blocks(dataset: h5py.Dataset, path: Path) -> Iterator[np.ndarray]:
    """Acquisition headers, block by block.

    An uncompressed chunk holds the headers and only references to the samples, so its bytes are taken as they are;
    otherwise whole acquisitions are read (never the field 'head' alone: HDF5 keeps all samples of the file then).
    """
    head, offset = dataset.dtype.fields["head"][:2]
    plain = dataset.chunks and not dataset.id.get_create_plist().get_nfilters()
    if plain and dataset.id.get_type().get_size() == dataset.dtype.itemsize:
        n_chunk = dataset.chunks[0]
        step = n_chunk * max(1, BLOCK_ACQUISITIONS * 16 // n_chunk)
        for start in range(0, len(dataset), step):
            stop = min(start + step, len(dataset))
            try:
                chunks = [dataset.id.read_direct_chunk((at,))[1] for at in range(start, stop, n_chunk)]
            except OSError as why:
                raise FormatError(
                    f"{path}: acquisitions from {start} on cannot be read ({_reason(why)}); copy the file again"
                ) from None
            rows = np.frombuffer(b"".join(chunks), np.uint8).reshape(-1, dataset.dtype.itemsize)[: stop - start]
            yield np.ascontiguousarray(rows[:, offset : offset + head.itemsize]).view(head)[:, 0]
    else:
        for start in range(0, len(dataset), BLOCK_ACQUISITIONS):
            yield read_rows(dataset, start, min(start + BLOCK_ACQUISITIONS, len(dataset)), path)["head"]

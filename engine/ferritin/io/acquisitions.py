"""The HDF5 side of an ISMRMRD file: headers of all acquisitions at once, samples of some of them in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ferritin.errors import FerritinError, FormatError
from ferritin.io.header import Header, parse
from ferritin.io.lines import table_of

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


def read_headers(path: Path) -> tuple[Header, np.ndarray, np.ndarray, str]:
    """XML header, table of acquisitions, their positions and directions (acquisition, 4, 3), and the group's name."""
    with opened(path) as file:
        groups = [name for name, g in file.items() if isinstance(g, h5py.Group) and {"xml", "data"} <= set(g)]
        if not groups:
            raise FormatError(
                f"{path} holds {list(file)[:8]}, expected a group with 'xml' and 'data' (ISMRMRD raw data); "
                "convert the scan to ISMRMRD"
            )
        group = "dataset" if "dataset" in groups else groups[0]
        dataset = file[f"{group}/data"]
        if not {"head", "data"} <= set(dataset.dtype.names or ()) or dataset.ndim != 1:
            raise FormatError(
                f"{path}: '{group}/data' does not hold acquisitions with 'head' and 'data'; convert the scan again"
            )
        if len(dataset) == 0:
            raise FormatError(f"{path} holds no acquisition; export the scan again")
        xml = file[f"{group}/xml"]
        text = read_rows(xml, 0, 1, path)[0] if xml.ndim else xml[()]
        header = parse(text.encode() if isinstance(text, str) else bytes(text), str(path))
        tables, directions = [], []
        for heads in _head_blocks(dataset, path):
            tables.append(table_of(heads))
            directions.append(np.stack([heads[name] for name in _DIRECTIONS], axis=1))
    return header, np.concatenate(tables), np.concatenate(directions), group


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

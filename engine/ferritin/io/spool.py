"""A temporary file of half-reconstructed lines, so that memory never grows with the number of coils."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np

from ferritin.errors import InputError, MemoryLimitError


def default_scratch() -> str:
    """Folder for temporary files: TMPDIR when set, else /var/tmp (a disk, where /tmp may be memory)."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):
        return "/var/tmp"
    return tempfile.gettempdir()


class Spool:
    """Lines by coil and echo on disk: [coil][echo][line][x] complex64.

    The file has no name, so it is gone when the process ends in whatever way. Within one coil and echo the lines lie
    in the order in which they were written: every write and every read is one contiguous stretch.

    Parameters
    ----------
    n_coils : int
    n_lines : tuple of int
        Lines of each echo.
    n_x : int
        Samples of a line.
    scratch : folder, optional

    Raises
    ------
    InputError
        The folder is not there or cannot be written to.
    MemoryLimitError
        The folder's disk has not enough room.
    """

    def __init__(self, n_coils: int, n_lines: tuple[int, ...], n_x: int, scratch: str | Path | None = None) -> None:
        self.n_coils, self.n_lines, self.n_x = n_coils, tuple(n_lines), n_x
        self._start = np.concatenate([[0], np.cumsum(n_lines)])
        self._written = [0] * len(n_lines)
        folder = str(scratch or default_scratch())
        if not os.path.isdir(folder):
            raise InputError(f"scratch folder {folder} is not there; make it or name another")
        free = shutil.disk_usage(folder).free
        if self.nbytes > free:
            raise MemoryLimitError(
                f"{folder} has {free / 2**30:.1f} GiB free, but this scan's lines need {self.nbytes / 2**30:.1f} GiB "
                "for a while; set TMPDIR to a folder on a larger disk"
            )
        try:
            self._fd, name = tempfile.mkstemp(dir=folder, prefix="ferritin-")
        except OSError as why:
            raise InputError(f"scratch folder {folder} cannot be written to ({why.strerror}); name another") from why
        os.unlink(name)
        self.close = weakref.finalize(self, os.close, self._fd)
        """Give the disk space back, at once rather than with the object."""

    @property
    def nbytes(self) -> int:
        """Size of the full file."""
        return 8 * self.n_coils * int(self._start[-1]) * self.n_x

    def append(self, echo: int, lines: np.ndarray) -> None:
        """Add lines, (coil, line, x) complex64 with each coil's part contiguous, at the end of an echo."""
        for coil in range(self.n_coils):
            self._write(
                np.ascontiguousarray(lines[coil]), self._offset(coil, echo) + 8 * self.n_x * self._written[echo]
            )
        self._written[echo] += lines.shape[1]

    def read(self, coil: int, echo: int) -> np.ndarray:
        """All lines of a coil and an echo, (line, x) complex64, in the order in which they came."""
        out = np.empty((self._written[echo], self.n_x), np.complex64)
        view, at = memoryview(out).cast("B"), self._offset(coil, echo)
        while view.nbytes:
            got = os.preadv(self._descriptor(), [view], at)
            if not got:
                raise InputError(f"scratch file ended at byte {at}; the disk of the scratch folder may be full")
            view, at = view[got:], at + got
        return out

    def _descriptor(self) -> int:
        """The open file; a number that was closed may already belong to another one."""
        if not self.close.alive:
            raise InputError("the scratch file of the coil images was closed; make the images again")
        return self._fd

    def _offset(self, coil: int, echo: int) -> int:
        return 8 * self.n_x * int(coil * self._start[-1] + self._start[echo])

    def _write(self, lines: np.ndarray, at: int) -> None:
        view = memoryview(lines).cast("B")
        while view.nbytes:
            put = os.pwrite(self._descriptor(), view, at)
            view, at = view[put:], at + put

"""Memory that each fit takes beyond its inputs, over that of its outputs; every fit in a fresh process.

Called by kernels.py; alone, `python bench/speed/kernel_memory.py NAME SIZE` prints one fit's figures at SIZE³ voxels.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kernel_accuracy import TE, decays, line

import ferritin_kernels
from ferritin import backend
from ferritin.scan import Scan

FITS = {
    "r2star.nonlinear": ("relax", "nonlinear", {}),
    "r2star.nonlinear, floor": ("relax", "nonlinear", {"noise": "floor"}),
    "r2star.nonlinear, gradient": ("relax", "nonlinear", {"gradient": "box"}),
    "r2star.complex": ("relax", "complex_fit", {}),
    "r2star.log_linear": ("relax", "log_linear", {}),
    "field.complexfit": ("field", "complexfit", {}),
    "field.linear": ("field", "linear", {}),
    "epg": ("kernels", "epg", {}),
}
_NO_REUSE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""What was freed before is given back to the system at once, so that it cannot hide what a fit takes."""


def lines(size: int) -> list[dict]:
    """One line a fit."""
    out = []
    for name in FITS:
        words = [sys.executable, __file__, name, str(size)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ | _NO_REUSE)
        row = json.loads(done.stdout.splitlines()[-1])
        what = f"memory of {name}: taken beyond its inputs over its outputs"
        out.append(line(what, row["taken"] / row["outputs"], 2, "x", **row))
    return out


def program(name: str, size: int) -> Callable[[], tuple]:
    """The fit on decays of size³ voxels, ready to be called."""
    folder, function, options = FITS[name]
    shape = (size, size, size)
    echoes = decays(size**3, 0, (20, 100), (5, 100))[0].reshape(-1, *shape)
    if folder == "kernels":
        magnitude = np.abs(echoes)
        return lambda: getattr(ferritin_kernels, function)(magnitude, 0.01 * np.arange(1, TE.size + 1))
    values = {"echoes": echoes, "mask": np.ones(shape, bool)}
    if folder == "field" or "complex" in name:
        values["unwrapped_phase"] = np.angle(echoes)
    if "gradient" in name:
        values["total_field"] = np.zeros(shape, np.float32)
    method = getattr(importlib.import_module(f"ferritin.{folder}"), function)
    return lambda: method(**values, scan=Scan(tuple(TE), 3.0, np.eye(4), shape), noise_sd=0.02, **options)


def peak_of(name: str, size: int) -> dict:
    """Bytes taken and made by one fit in this process."""
    program(name, 4)()  # libraries are loaded now
    run = program(name, size)
    backend.reset_peak_memory()
    before = backend.peak_memory()
    result = run()
    taken = backend.peak_memory() - before
    return {"taken": taken, "outputs": sum(value.nbytes for value in result if hasattr(value, "nbytes"))}


if __name__ == "__main__":
    print(json.dumps(peak_of(sys.argv[1], int(sys.argv[2]))))

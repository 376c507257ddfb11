"""Time and peak memory from a raw file to all its coil images, each file in a process of its own.

    python bench/speed/read_image.py RAW.h5 [RAW.h5 ...]

Writes bench/results/read_image.json. Files of one scan with few and many coils show that coils do not enter the memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def measure(path: str) -> dict:
    """Seconds of reading the headers, of the pass over the samples and of all volumes; peak resident memory."""
    from ferritin.backend import peak_memory
    from ferritin.io import read
    from ferritin.kspace.cartesian import cartesian

    at = [time.perf_counter()]
    before = peak_memory()
    scan = read(path)
    at.append(time.perf_counter())
    images = cartesian(scan.data["raw"], scan).coil_images
    at.append(time.perf_counter())
    for coil in range(images.shape[0]):
        for echo in range(images.shape[1]):
            images[coil, echo]
    at.append(time.perf_counter())
    seconds = {name: round(at[i + 1] - at[i], 3) for i, name in enumerate(("headers", "lines", "volumes"))}
    return {
        "file_bytes": Path(path).stat().st_size,
        "shape": images.shape,
        "seconds": seconds,
        "peak_bytes": peak_memory(),
        "bytes_before": before,
    }


def main() -> None:
    from machine import describe

    rows = []
    for path in sys.argv[1:]:
        done = subprocess.run([sys.executable, __file__, "--one", path], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1])
    out = Path(__file__).resolve().parents[1] / "results" / "read_image.json"
    out.write_text(json.dumps({"machine": describe(), "files": rows}, indent=1, default=str) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()

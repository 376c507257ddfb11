"""Picture of where each way to a field map fails: field errors in one sagittal slice, methods down, scans across."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHOWN = (
    "7 T, TE 4/12/20/28, seed 1",
    "7 T, TE 4/8/12/16, seed 1",
    "7 T, TE 4/12/20/28, bipolar",
    "7 T, TE 4/12/20/28, SNR 25",
)
RANGE_HZ = 20.0


def picture(work: Path, folders: dict[str, str], path: Path) -> None:
    """Write the picture of the errors that field_map.py has kept in its work folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    errors = {case: np.load(work / folders[case] / "errors.npz") for case in SHOWN if case in folders}
    rows = list(next(iter(errors.values())).files)
    figure, axes = plt.subplots(len(rows), len(errors), figsize=(2.6 * len(errors), 2.3 * len(rows)), squeeze=False)
    for across, (case, kept) in enumerate(errors.items()):
        for down, method in enumerate(rows):
            axis = axes[down, across]
            axis.set(xticks=[], yticks=[])
            if method in kept:
                error = kept[method].astype(np.float32)
                error = np.where(error != 0, error - np.median(error[error != 0]), np.nan)
                shown = axis.imshow(error.T, origin="lower", cmap="RdBu_r", vmin=-RANGE_HZ, vmax=RANGE_HZ)
            if down == 0:
                axis.set_title(case.replace(", ", "\n"), fontsize=8)
            if across == 0:
                axis.set_ylabel(method.replace(" + ", "\n+ "), fontsize=8)
    figure.colorbar(shown, ax=axes, label="error of the field [Hz]", shrink=0.3)
    figure.savefig(path, dpi=70, bbox_inches="tight")
